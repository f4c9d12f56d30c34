//! The site as its visitors meet it: over HTTP, on a real store.

mod api;
mod door;
mod live;
mod pages;
mod sample;
mod webhooks;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use backlog::names::RepoName;
use backlog::task::Task;
use backlog::time::{Clock, Timestamp};
use pipeline::settings::{AgentSettings, Settings};
use pipeline::{Context, Forges, Paths};
use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde_json::Value;
use store::sqlite::SqliteStore;
use store::{Commit, Repository};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use tokio_util::sync::CancellationToken;

use crate::{Site, metrics, serve};

const TOKEN: &str = "a-token-of-the-tests";
/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(20);

/// A clock that stands still until it is moved.
struct Standing(AtomicI64);

impl Clock for Standing {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

/// A running site with one visitor.
struct Visit {
    ctx: Arc<Context>,
    clock: Arc<Standing>,
    address: String,
    link: String,
    session: Option<String>,
    client: Client,
    stop: CancellationToken,
    serving: Option<JoinHandle<()>>,
    dir: tempfile::TempDir,
}

type Socket = WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>>;

impl Visit {
    /// A site with one watched repository, and a visitor who has not signed in.
    async fn start() -> Self {
        Self::start_with(Forges::default()).await
    }

    async fn start_with(forges: Forges) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(SqliteStore::open(&dir.path().join("ccm.db")).await.unwrap());
        let clock = Arc::new(Standing(AtomicI64::new(sample::NOW.0)));
        let gateway = gateway::GatewayConfig::new("http://127.0.0.1:9".parse().unwrap(), None);
        let paths = Paths { data: dir.path().to_owned(), program: "ccm".into() };
        let agents = ["default", "careful"].map(|name| (name.to_owned(), AgentSettings::default()));
        let settings = Settings { agents: agents.into(), ..Settings::default() };
        let ctx = Context::new(
            store,
            forges,
            git::Git::new("git".into()),
            clock.clone(),
            gateway::Gateway::new(gateway).unwrap(),
            runner::Kind::None.sandbox().into(),
            paths,
            "machine:1".to_owned(),
            settings,
        )
        .unwrap();
        ctx.store.put_repository(&repository("acme/app")).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let site = Site::new(ctx.clone(), TOKEN, "ada".to_owned(), metrics::install().unwrap(), address.clone());
        let site = site.await.unwrap();
        let link = site.sign_in_link().await.unwrap();
        let stop = CancellationToken::new();
        let serving = Some(tokio::spawn(serve(site, listener, stop.clone())));
        let client = Client::builder().redirect(Policy::none()).build().unwrap();
        Self { ctx, clock, address, link, session: None, client, stop, serving, dir }
    }

    /// The same, signed in by the link.
    async fn signed_in() -> Self {
        let mut visit = Self::start().await;
        let code = visit.code();
        let answer = visit.post("/sign-in", &[("secret", &code)]).await;
        assert_eq!(answer.status(), StatusCode::SEE_OTHER);
        visit.session = Some(cookie(&answer));
        visit
    }

    fn code(&self) -> String {
        self.link.split_once("code=").unwrap().1.to_owned()
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.address)
    }

    fn dressed(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.session {
            Some(session) => request.header(COOKIE, session),
            None => request,
        }
    }

    async fn get(&self, path: &str) -> Response {
        self.dressed(self.client.get(self.url(path))).send().await.unwrap()
    }

    async fn page(&self, path: &str) -> String {
        let answer = self.get(path).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        answer.text().await.unwrap()
    }

    /// A form of our own page.
    async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Response {
        self.post_from(path, fields, &self.address).await
    }

    async fn post_from(&self, path: &str, fields: &[(&str, &str)], origin: &str) -> Response {
        let body: Vec<String> = fields.iter().map(|(k, v)| format!("{k}={}", v.replace(' ', "+"))).collect();
        let request = self.client.post(self.url(path)).header("origin", origin).body(body.join("&"));
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        self.dressed(request).send().await.unwrap()
    }

    /// A program's request.
    async fn api(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        let method = method.parse().unwrap();
        let mut request = self.client.request(method, self.url(path)).bearer_auth(TOKEN);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default())
    }

    /// Opens a socket with the visitor's session; the error is the refusing status.
    async fn socket(&self, path: &str, origin: &str) -> Result<Socket, u16> {
        let mut request = self.url(path).replace("http://", "ws://").into_client_request().unwrap();
        request.headers_mut().insert("origin", origin.parse().unwrap());
        if let Some(session) = &self.session {
            request.headers_mut().insert("cookie", session.parse().unwrap());
        }
        match tokio_tungstenite::connect_async(request).await {
            Ok((socket, _)) => Ok(socket),
            Err(tokio_tungstenite::tungstenite::Error::Http(answer)) => Err(answer.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    async fn store(&self, task: &Task) -> Task {
        let event = sample::event(task, backlog::event::EventKind::Added);
        let commit = Commit { tasks: vec![task.clone()], events: vec![event], ..Commit::default() };
        self.ctx.store.commit(commit).await.unwrap();
        self.ctx.store.task(&task.id).await.unwrap().unwrap()
    }

    async fn stop(mut self) {
        self.stop.cancel();
        let serving = self.serving.take().unwrap();
        tokio::time::timeout(PATIENCE, serving).await.expect("the site stops").unwrap();
    }
}

fn repository(name: &str) -> Repository {
    Repository {
        name: name.parse::<RepoName>().unwrap(),
        path: None,
        default_branch: Some("main".to_owned()),
        scanned: None,
        scanned_at: None,
        parked: None,
        failures: 0,
        retry_at: None,
    }
}

fn cookie(answer: &Response) -> String {
    let cookie = answer.headers()[SET_COOKIE].to_str().unwrap();
    cookie.split(';').next().unwrap().to_owned()
}

fn location(answer: &Response) -> &str {
    answer.headers()[LOCATION].to_str().unwrap()
}

/// The next text message; `None` when the socket ends.
async fn heard(socket: &mut Socket) -> Option<String> {
    use futures::StreamExt as _;
    loop {
        match tokio::time::timeout(PATIENCE, socket.next()).await.expect("a message comes") {
            Some(Ok(Message::Text(text))) => return Some(text.to_string()),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(_) | Err(_)) | None => return None,
        }
    }
}

/// The next message that says `what`.
async fn heard_about(socket: &mut Socket, what: &str) -> String {
    loop {
        let text = heard(socket).await.unwrap_or_else(|| panic!("the socket ended before it said {what}"));
        if text.contains(what) {
            return text;
        }
    }
}
