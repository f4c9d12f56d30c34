//! A model API whose answers are a script.
//!
//! **Definition.** [`ScriptedModel`] is an HTTP server on loopback that speaks Anthropic's Messages API (streamed and
//! whole, token counting, model list). What it answers is decided by a [`Script`]: a function from the parsed request
//! to a [`Turn`].
//!
//! **Wanted properties.** The real Claude Code program runs against it and cannot tell the difference. Answers, ids
//! and usage numbers depend on the script and on the order of requests alone. Every request is kept, with its headers,
//! because what leaves a sandbox is what the tests want to see.
//!
//! **Design.** [`conversation`] reads a request, [`script`] holds the ready scripts, [`wire`] writes answers. A path
//! `/m/<name>` before the API's own path selects a script registered under that name, so that one server plays several
//! models at once. Calls without tools (titles, summaries) get a short text whatever the script says.
//!
//! **Known races.** Two agents that share one [`script::sequence`] take its turns in the order of arrival; give each
//! its own name.

mod conversation;
mod script;
mod wire;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, State};
use axum::response::Response;
use futures::StreamExt;
use http::{HeaderMap, Method, StatusCode, Uri};
use serde_json::{Value, json};
use tokio::sync::watch;

pub use conversation::Conversation;
pub use script::{Script, ToolCall, Turn, edit_file, errors, hang, replace, sequence, text};
pub use wire::TokenCounts;

/// Requests that one server keeps; later ones are refused, because a test that sends so many is running in circles.
pub const MAX_LOGGED: usize = 10_000;
const MAX_BODY_BYTES: usize = 40 * 1024 * 1024;

/// One request as it arrived.
#[derive(Debug, Clone)]
pub struct Logged {
    /// The HTTP method.
    pub method: Method,
    /// Path and query, with a leading `/m/<name>` still on it.
    pub path: String,
    /// All headers, the credential included.
    pub headers: HeaderMap,
    /// The body as JSON; `null` when there was none or it was something else.
    pub body: Value,
}

impl Logged {
    /// The header's value as text, if there is one.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

struct Shared {
    state: Mutex<Inner>,
    count: watch::Sender<usize>,
}

struct Inner {
    script: Script,
    named: BTreeMap<String, Script>,
    tokens: TokenCounts,
    key: Option<String>,
    requests: Vec<Logged>,
}

impl Shared {
    fn with<T>(&self, act: impl FnOnce(&mut Inner) -> T) -> T {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The server; it stops accepting when this is dropped.
pub struct ScriptedModel {
    shared: Arc<Shared>,
    origin: String,
    server: tokio::task::JoinHandle<()>,
}

impl ScriptedModel {
    /// Starts a server on a free loopback port that answers `Done.` to everything.
    ///
    /// # Panics
    /// When no loopback port can be bound.
    pub async fn start() -> Self {
        let inner = Inner {
            script: text("Done."),
            named: BTreeMap::new(),
            tokens: TokenCounts::default(),
            key: None,
            requests: Vec::new(),
        };
        let shared = Arc::new(Shared { state: Mutex::new(inner), count: watch::Sender::new(0) });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let app =
            Router::new().fallback(answer).layer(DefaultBodyLimit::max(MAX_BODY_BYTES)).with_state(Arc::clone(&shared));
        let server = tokio::spawn(async move {
            axum::serve(listener, app).await.expect("axum's accept loop never ends with an error");
        });
        Self { shared, origin: format!("http://127.0.0.1:{port}"), server }
    }

    /// Starts a server with `script` as its default.
    pub async fn with_script(script: Script) -> Self {
        let model = Self::start().await;
        model.set_script(script);
        model
    }

    /// The base URL, without a slash at the end: what `ANTHROPIC_BASE_URL` is set to.
    #[must_use]
    pub fn url(&self) -> String {
        self.origin.clone()
    }

    /// The base URL that selects the script registered as `name`.
    #[must_use]
    pub fn url_of(&self, name: &str) -> String {
        format!("{}/m/{name}", self.origin)
    }

    /// Replaces the default script.
    pub fn set_script(&self, script: Script) {
        self.shared.with(|inner| inner.script = script);
    }

    /// Registers a script under a name; see [`ScriptedModel::url_of`].
    pub fn register(&self, name: &str, script: Script) {
        self.shared.with(|inner| inner.named.insert(name.to_owned(), script));
    }

    /// The usage that every later answer reports.
    pub fn set_tokens(&self, tokens: TokenCounts) {
        self.shared.with(|inner| inner.tokens = tokens);
    }

    /// From now on only this key is accepted (as `x-api-key` or bearer token); anything else gets a 401.
    pub fn require_key(&self, key: &str) {
        self.shared.with(|inner| inner.key = Some(key.to_owned()));
    }

    /// Every request so far, oldest first.
    #[must_use]
    pub fn requests(&self) -> Vec<Logged> {
        self.shared.with(|inner| inner.requests.clone())
    }

    /// The requests to `POST /v1/messages` so far: what an agent asked the model.
    #[must_use]
    pub fn messages(&self) -> Vec<Logged> {
        let is_message = |logged: &Logged| matches!(route(&logged.path), (_, "/v1/messages"));
        self.requests().into_iter().filter(is_message).collect()
    }

    /// Waits until at least `count` requests have arrived; the caller bounds the wait.
    pub async fn wait_for_requests(&self, count: usize) {
        let mut seen = self.shared.count.subscribe();
        seen.wait_for(|arrived| *arrived >= count).await.expect("the sender lives in self");
    }
}

impl Drop for ScriptedModel {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Splits the script's name and the query off a path.
fn route(path: &str) -> (Option<&str>, &str) {
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    let Some(rest) = path.strip_prefix("/m/") else {
        return (None, path);
    };
    let end = rest.find('/').unwrap_or(rest.len());
    (Some(&rest[..end]), &rest[end..])
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    bytes: Bytes,
) -> Response {
    let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let body: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    let logged = Logged { method: method.clone(), path: path.clone(), headers: headers.clone(), body: body.clone() };
    let (number, tokens, key) = shared.with(|inner| {
        if inner.requests.len() < MAX_LOGGED {
            inner.requests.push(logged);
            (Some(inner.requests.len()), inner.tokens, inner.key.clone())
        } else {
            (None, inner.tokens, None)
        }
    });
    let Some(number) = number else {
        return wire::error(500, "api_error", "This test sent more requests than the scripted model keeps.", None);
    };
    shared.count.send_replace(number);
    if key.is_some_and(|key| !presents(&headers, &key)) {
        return wire::error(401, "authentication_error", "invalid x-api-key", None);
    }
    let (name, route) = route(&path);
    match (method.as_str(), route) {
        ("POST", "/v1/messages") => messages(&shared, name, number, tokens, body).await,
        ("POST", "/v1/messages/count_tokens") => wire::json(200, &json!({"input_tokens": tokens.input})),
        ("GET", "/v1/models") => wire::json(200, &wire::model_list()),
        ("HEAD", "" | "/") => Response::new(Body::empty()),
        _ => wire::error(404, "not_found_error", "Not found", None),
    }
}

fn presents(headers: &HeaderMap, key: &str) -> bool {
    let value = |name| headers.get(name).and_then(|value| value.to_str().ok());
    value("x-api-key") == Some(key) || value("authorization").and_then(|v| v.strip_prefix("Bearer ")) == Some(key)
}

async fn messages(shared: &Shared, name: Option<&str>, number: usize, tokens: TokenCounts, body: Value) -> Response {
    let conversation = match Conversation::parse(body) {
        Ok(conversation) => conversation,
        Err(missing) => {
            return wire::error(400, "invalid_request_error", &format!("{missing}: Field required"), None);
        }
    };
    let script = shared.with(|inner| match name {
        Some(name) => inner.named.get(name).cloned(),
        None => Some(Arc::clone(&inner.script)),
    });
    let Some(script) = script else {
        return wire::error(404, "not_found_error", "No script is registered under this name.", None);
    };
    let turn =
        if conversation.tools.is_empty() { Turn::Text("A small change".to_owned()) } else { script(&conversation) };
    play(turn, &wire::Reply { number, model: conversation.model, tokens, stream: conversation.stream }).await
}

async fn play(mut turn: Turn, reply: &wire::Reply) -> Response {
    let mut pause = None;
    while let Turn::Slow(each, then) = turn {
        pause = Some(each);
        turn = *then;
    }
    let ending = match &turn {
        Turn::CutStream => wire::Ending::Cut,
        Turn::Stall(_) => wire::Ending::Silent,
        Turn::Text(_) | Turn::Tools(_) | Turn::Error { .. } | Turn::Hang | Turn::Slow(..) => wire::Ending::Complete,
    };
    let blocks = match turn {
        Turn::Text(text) | Turn::Stall(text) => vec![wire::text_block(&text)],
        Turn::CutStream => vec![wire::text_block("This answer breaks off")],
        Turn::Tools(calls) => reply.tool_blocks(&calls),
        Turn::Error { status, kind, retry_after } => {
            return wire::error(status, kind, "A scripted error.", retry_after);
        }
        Turn::Hang | Turn::Slow(..) => futures::future::pending().await,
    };
    if !reply.stream && ending == wire::Ending::Complete {
        tokio::time::sleep(pause.unwrap_or_default()).await;
        return wire::json(200, &reply.whole(&blocks));
    }
    let events = futures::stream::iter(reply.events(&blocks, ending)).then(move |event| async move {
        if let Some(pause) = pause {
            tokio::time::sleep(pause).await;
        }
        Ok::<_, std::io::Error>(event)
    });
    let body = match ending {
        wire::Ending::Complete => Body::from_stream(events),
        wire::Ending::Cut => {
            let broken = futures::stream::once(async {
                tokio::task::yield_now().await; // hyper sends what it has when the body makes it wait
                Err(std::io::Error::other("the script cuts this stream"))
            });
            Body::from_stream(events.chain(broken))
        }
        wire::Ending::Silent => Body::from_stream(events.chain(futures::stream::pending())),
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::OK;
    wire::content_type(response, "text/event-stream; charset=utf-8")
}
