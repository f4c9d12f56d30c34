//! GitHub's own OpenAPI description as a judge over HTTP traffic.
//!
//! **Definition.** [`Judge`] stands between a client and a server. The program `prism` compares every request and
//! every answer with the description; a small proxy of ours in front of it keeps what prism says, sentence by sentence.
//!
//! GraphQL is in no OpenAPI description. Its exchanges are kept, and [`Judge::graphql`] has them compared with GitHub's
//! published schema by `graphql-js`: documents are validated, answers are completed by their types.
//!
//! **Known blind spots** of prism: an issue without a title passes, and so does a text that is a number. It follows
//! redirects by itself, credentials and all; the logs of jobs and archives, which are behind one, therefore go past it.

use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, State};
use axum::response::Response;
use http::{HeaderMap, Method, Uri};
use reqwest::redirect::Policy;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::process::Child;
use tokio::task::JoinHandle;

use crate::counterparts;
use crate::program::{START, listening, node, plain, serve};

/// The largest body of a request.
const LARGEST_BODY: usize = 16 << 20;
/// Headers that belong to one connection.
const OF_THE_CONNECTION: [&str; 5] = ["host", "connection", "keep-alive", "content-length", "transfer-encoding"];

/// A running judge; ends when dropped.
pub struct Judge {
    url: String,
    said: Arc<Said>,
    prism: Child,
    tasks: [JoinHandle<()>; 2],
    _dir: TempDir,
}

#[derive(Default)]
struct Said {
    requests: Mutex<Vec<String>>,
    answers: Mutex<Vec<String>>,
    graphql: Mutex<Vec<Value>>,
}

struct Proxy {
    prism: String,
    upstream: String,
    said: Arc<Said>,
    http: reqwest::Client,
}

impl Drop for Judge {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Judge {
    /// Stands before the server at `upstream`.
    ///
    /// # Errors
    /// When prism does not start in time.
    pub async fn start(upstream: &str) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let mut command = node(dir.path());
        command.arg(counterparts::prism_entry()).args(["proxy", "-h", "127.0.0.1", "-p", "0", "--errors", "false"]);
        command.arg(counterparts::openapi()).arg(upstream);
        let (prism, address, drain) = listening(command, "Prism is listening on ").await.context("prism")?;
        let http = reqwest::Client::builder().no_proxy().timeout(START).redirect(Policy::none()).build()?;
        let said = Arc::<Said>::default();
        let proxy = Arc::new(Proxy { prism: address, upstream: upstream.to_owned(), said: Arc::clone(&said), http });
        let app = Router::new().fallback(pass_on).layer(DefaultBodyLimit::max(LARGEST_BODY)).with_state(proxy);
        let (url, task) = serve(app).await?;
        Ok(Self { url, said, prism, tasks: [drain, task], _dir: dir })
    }

    /// The address for the client.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What the description does not allow of the requests so far.
    #[must_use]
    pub fn wrong_requests(&self) -> Vec<String> {
        self.said.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What the description does not allow of the answers so far.
    #[must_use]
    pub fn wrong_answers(&self) -> Vec<String> {
        self.said.answers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What GitHub's schema does not allow of the GraphQL documents so far, and of the answers to them.
    ///
    /// # Errors
    /// When Node cannot be run.
    pub async fn graphql(&self) -> Result<(Vec<String>, Vec<String>)> {
        let exchanges = Value::Array(self.said.graphql.lock().unwrap_or_else(PoisonError::into_inner).clone());
        let mut command = node(&counterparts::graphql_folder());
        command.args(["--input-type=module", "-e", include_str!("../counterparts/graphql.mjs")]).stdin(Stdio::piped());
        let mut child = command.spawn().context("Node")?;
        let mut input = child.stdin.take().context("it has an input")?;
        input.write_all(exchanges.to_string().as_bytes()).await?;
        drop(input);
        let wrong: Value = serde_json::from_slice(&child.wait_with_output().await?.stdout).context("Node's words")?;
        let list = |name: &str| wrong[name].as_array().into_iter().flatten().map(ToString::to_string).collect();
        Ok((list("requests"), list("answers")))
    }

    /// How many GraphQL documents were sent so far.
    #[must_use]
    pub fn documents(&self) -> usize {
        self.said.graphql.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Ends prism and waits until it is gone.
    ///
    /// # Errors
    /// When it cannot be ended.
    pub async fn end(&mut self) -> Result<()> {
        Ok(self.prism.kill().await?)
    }
}

async fn pass_on(
    State(proxy): State<Arc<Proxy>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let graphql = uri.path() == "/graphql";
    let redirects = uri.path().ends_with("/logs") || uri.path().contains("/tarball/");
    let next = if graphql || redirects { &proxy.upstream } else { &proxy.prism };
    let mut request = proxy.http.request(method.clone(), format!("{next}{path}")).body(body.clone());
    for (name, value) in headers.iter().filter(|(name, _)| !OF_THE_CONNECTION.contains(&name.as_str())) {
        request = request.header(name, value);
    }
    let answer = match request.send().await {
        Ok(answer) => answer,
        Err(error) => return plain(502, &format!("{error:#}")),
    };
    let mut response = Response::builder().status(answer.status());
    for (name, value) in answer.headers() {
        if name == "sl-violations" {
            proxy.keep(&format!("{method} {path}"), value.as_bytes());
        } else if !OF_THE_CONNECTION.contains(&name.as_str()) {
            response = response.header(name, value);
        }
    }
    match answer.bytes().await {
        Ok(bytes) if graphql => {
            proxy.keep_graphql(&body, &bytes);
            response.body(Body::from(bytes)).unwrap_or_else(|error| plain(502, &error.to_string()))
        }
        Ok(bytes) => response.body(Body::from(bytes)).unwrap_or_else(|error| plain(502, &error.to_string())),
        Err(error) => plain(502, &format!("{error:#}")),
    }
}

impl Proxy {
    fn keep_graphql(&self, request: &[u8], answer: &[u8]) {
        let request: Value = serde_json::from_slice(request).unwrap_or_default();
        let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
        let exchange = json!({"query": request["query"], "variables": request["variables"], "answer": answer});
        self.said.graphql.lock().unwrap_or_else(PoisonError::into_inner).push(exchange);
    }

    /// Undocumented statuses of answers are only warnings, and GitHub does give them: 304 and 404 on many routes.
    fn keep(&self, what: &str, violations: &[u8]) {
        let violations: Value = serde_json::from_slice(violations).unwrap_or_else(|_| {
            // A long list is cut off in the middle; what is wrong with the request comes first in it.
            let cut = String::from_utf8_lossy(violations);
            let of = if cut.contains("\"location\":[\"request\"") { "request" } else { "response" };
            json!([{ "location": [of], "severity": "Error", "message": cut }])
        });
        for one in violations.as_array().into_iter().flatten() {
            let of_request = one["location"][0] == "request";
            if !of_request && one["severity"] != "Error" {
                continue;
            }
            let list = if of_request { &self.said.requests } else { &self.said.answers };
            let sentence = format!("{what}: {} {}", one["location"], one["message"]);
            list.lock().unwrap_or_else(PoisonError::into_inner).push(sentence);
        }
    }
}
