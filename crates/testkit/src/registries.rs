//! The registries of packages, as one stateful model behind real HTTP.
//!
//! **Definition.** [`FakeRegistries`] is an HTTP server on loopback with a sparse index of crates (`/crates`), a registry
//! of npm (`/npm`) and one of PyPI (`/pypi-host`), which know what tests publish.
//!
//! **Wanted properties.** Answers follow from what is published, with entity tags of their content; a request with the
//! tag of the present answer gets 304. Every request is kept.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, StatusCode, header};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::task::JoinHandle;

/// Requests that are kept at most; a test that sends more is running in circles.
const MOST_REQUESTS: usize = 10_000;

/// One version of a package.
#[derive(Clone, Debug)]
struct Release {
    version: String,
    yanked: bool,
}

#[derive(Default)]
struct World {
    /// Releases by registry (`crates`, `npm`, `pypi`) and package, in the order of publishing.
    packages: BTreeMap<(String, String), Vec<Release>>,
    requests: Vec<String>,
    user_agents: Vec<String>,
    not_modified: usize,
    failing: Option<(u16, Option<u64>)>,
    padding: usize,
}

/// See the module.
pub struct FakeRegistries {
    url: String,
    world: Arc<Mutex<World>>,
    server: JoinHandle<()>,
}

impl FakeRegistries {
    /// Starts with nothing published.
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a loopback port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let world = Arc::new(Mutex::new(World::default()));
        let router = Router::new().fallback(answer).with_state(world.clone());
        let server = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Self { url, world, server }
    }

    /// The addresses of the index of crates, of npm and of PyPI.
    #[must_use]
    pub fn urls(&self) -> [String; 3] {
        ["crates", "npm", "pypi-host"].map(|part| format!("{}/{part}/", self.url))
    }

    /// Publishes a version of a package at `crates`, `npm` or `pypi`.
    pub fn publish(&self, registry: &str, name: &str, version: &str) {
        let release = Release { version: version.to_owned(), yanked: false };
        self.world().packages.entry((registry.to_owned(), name.to_owned())).or_default().push(release);
    }

    /// Withdraws a version.
    pub fn yank(&self, registry: &str, name: &str, version: &str) {
        let mut world = self.world();
        let releases = world.packages.get_mut(&(registry.to_owned(), name.to_owned())).expect("a published package");
        for release in releases.iter_mut().filter(|release| release.version == version) {
            release.yanked = true;
        }
    }

    /// From now on every request is answered with this status, and with `Retry-After`; `None` ends that.
    pub fn fail(&self, how: Option<(u16, Option<u64>)>) {
        self.world().failing = how;
    }

    /// From now on every answer is longer by so many bytes.
    pub fn pad(&self, bytes: usize) {
        self.world().padding = bytes;
    }

    /// The paths that were asked for.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        self.world().requests.clone()
    }

    /// In whose name requests came, each once.
    #[must_use]
    pub fn user_agents(&self) -> Vec<String> {
        let mut agents = self.world().user_agents.clone();
        agents.sort();
        agents.dedup();
        agents
    }

    /// How many requests were answered with 304.
    #[must_use]
    pub fn not_modified(&self) -> usize {
        self.world().not_modified
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for FakeRegistries {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn answer(State(world): State<Arc<Mutex<World>>>, request: Request) -> Response {
    let mut world = world.lock().unwrap_or_else(PoisonError::into_inner);
    let (path, headers) = (request.uri().path().to_owned(), request.headers());
    assert!(world.requests.len() < MOST_REQUESTS, "{MOST_REQUESTS} requests to registries are too many");
    world.requests.push(path.clone());
    world.user_agents.push(text(headers, header::USER_AGENT));
    if let Some((status, wait)) = world.failing {
        let status = StatusCode::from_u16(status).expect("a status");
        let headers: HeaderMap = wait.map(|seconds| (header::RETRY_AFTER, seconds.into())).into_iter().collect();
        return (status, headers).into_response();
    }
    let Some(mut body) = page(&world, &path) else { return StatusCode::NOT_FOUND.into_response() };
    let tag = format!("\"{}\"", &hex::encode(Sha256::digest(&body))[..16]);
    body.push_str(&" ".repeat(world.padding));
    if text(headers, header::IF_NONE_MATCH) == tag {
        world.not_modified += 1;
        return (StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response();
    }
    ([(header::ETAG, tag)], body).into_response()
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> String {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

/// What the registry shows there.
fn page(world: &World, path: &str) -> Option<String> {
    let releases = |registry: &str, name: &str| world.packages.get(&(registry.to_owned(), name.to_owned()));
    if let Some(file) = path.strip_prefix("/crates/") {
        let (folder, name) = file.rsplit_once('/')?;
        let expected = match name.len() {
            1 | 2 => name.len().to_string(),
            3 => format!("3/{}", &name[..1]),
            _ => format!("{}/{}", &name[..2], &name[2..4]),
        };
        let line = |release: &Release| {
            format!("{}\n", json!({ "name": name, "vers": release.version, "yanked": release.yanked, "deps": [] }))
        };
        return releases("crates", name).filter(|_| folder == expected).map(|all| all.iter().map(line).collect());
    }
    if let Some(name) = path.strip_prefix("/npm/").and_then(|rest| rest.strip_suffix("/latest")) {
        let name = name.replace("%2F", "/").replace("%40", "@");
        let latest = releases("npm", &name)?.last()?;
        return Some(json!({ "name": name, "version": latest.version }).to_string());
    }
    let name = path.strip_prefix("/pypi-host/pypi/")?.strip_suffix("/json")?;
    let all = releases("pypi", name)?;
    let latest = all.iter().rev().find(|release| !release.yanked).or_else(|| all.last())?;
    Some(
        json!({ "info": { "name": name, "version": latest.version, "yanked": latest.yanked }, "urls": [] }).to_string(),
    )
}
