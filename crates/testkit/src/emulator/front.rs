//! The two servers of ours in front of the emulator: the referee's mouth, and git over HTTP.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, State};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, Method, Uri, header};
use serde_json::Value;

use super::bridge::Bridge;
use crate::github::cgi;

/// The largest body: a push.
const LARGEST_BODY: usize = 64 << 20;
/// Headers that belong to one connection.
const OF_THE_CONNECTION: [&str; 5] = ["host", "connection", "keep-alive", "content-length", "transfer-encoding"];

struct Referee {
    judged: String,
    said: Arc<Mutex<Vec<String>>>,
    http: reqwest::Client,
}

/// Passes everything on to prism and keeps what it says about requests.
pub(super) fn referee(judged: String, said: Arc<Mutex<Vec<String>>>, http: &reqwest::Client) -> Router {
    let state = Arc::new(Referee { judged, said, http: http.clone() });
    Router::new().fallback(pass_on).layer(DefaultBodyLimit::max(LARGEST_BODY)).with_state(state)
}

async fn pass_on(
    State(referee): State<Arc<Referee>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut request = referee.http.request(method.clone(), format!("{}{path}", referee.judged)).body(body);
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
            referee.keep(&format!("{method} {path}"), value.as_bytes());
        } else if !OF_THE_CONNECTION.contains(&name.as_str()) {
            response = response.header(name, value);
        }
    }
    match answer.bytes().await {
        Ok(bytes) => response.body(Body::from(bytes)).unwrap_or_else(|error| plain(502, &error.to_string())),
        Err(error) => plain(502, &format!("{error:#}")),
    }
}

impl Referee {
    /// Keeps what is wrong with a request; what is wrong with the emulator's answers is not ours.
    fn keep(&self, what: &str, violations: &[u8]) {
        let violations: Value = serde_json::from_slice(violations).unwrap_or_default();
        let of_request = violations.as_array().into_iter().flatten().filter(|one| one["location"][0] == "request");
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.extend(of_request.map(|one| format!("{what}: {} {}", one["location"], one["message"])));
    }
}

fn plain(status: u16, text: &str) -> Response {
    let mut response = Response::new(Body::from(text.to_owned()));
    *response.status_mut() = status.try_into().expect("only real statuses are used here");
    response
}

struct Git {
    root: PathBuf,
    /// The path below which the repository is served, such as `/me/app.git/`.
    prefix: String,
    /// Every token that is good, and whether it may push.
    tokens: BTreeMap<String, bool>,
    bridge: Arc<Bridge>,
}

/// Git over HTTP for the holders of `tokens`; what is pushed goes over the bridge before the push is answered.
pub(super) fn git(root: PathBuf, repository: &str, tokens: BTreeMap<String, bool>, bridge: Arc<Bridge>) -> Router {
    let state = Arc::new(Git { root, prefix: format!("/{repository}.git/"), tokens, bridge });
    Router::new().fallback(answer_git).layer(DefaultBodyLimit::max(LARGEST_BODY)).with_state(state)
}

async fn answer_git(
    State(git): State<Arc<Git>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let query = uri.query().unwrap_or_default();
    let push = uri.path().ends_with("/git-receive-pack");
    let Some(may_push) = password(&headers).and_then(|token| git.tokens.get(&token)) else {
        let mut refusal = plain(401, "Authentication required.\n");
        refusal.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Basic realm=\"git\""));
        return refusal;
    };
    if !may_push && (push || query.contains("git-receive-pack")) {
        return plain(403, "No leave to push.\n");
    }
    if !uri.path().starts_with(&git.prefix) {
        return plain(404, "No such repository.\n");
    }
    let request = cgi::Request {
        root: &git.root,
        method: method.as_str(),
        path_info: uri.path(),
        query,
        headers: &headers,
        body: &body,
        user: Some("somebody"),
    };
    let reply = match cgi::http_backend(request).await {
        Ok(reply) => reply,
        Err(error) => return plain(500, &format!("{error:#}\n")),
    };
    if push && let Err(error) = git.bridge.mirror().await {
        return plain(500, &format!("{error:#}\n"));
    }
    let mut response = Response::builder().status(reply.status).header(header::CONTENT_TYPE, reply.content_type);
    for (name, value) in reply.headers {
        response = response.header(name, value);
    }
    response.body(Body::from(reply.body)).unwrap_or_else(|error| plain(500, &error.to_string()))
}

/// The password of basic authentication; the name does not matter, as on GitHub.
fn password(headers: &HeaderMap) -> Option<String> {
    let coded = headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Basic ")?;
    let plain = String::from_utf8(STANDARD.decode(coded).ok()?).ok()?;
    plain.split_once(':').map(|(_, password)| password.to_owned())
}
