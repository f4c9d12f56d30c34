//! Package registries: which version of a package is the newest.
//!
//! **Definition.** The *newest* version of a package is the highest that is stable and not withdrawn, as its registry
//! says: of crates.io the sparse index, of npm the tag `latest`, of PyPI the JSON interface.
//!
//! **Wanted properties.** Registries are strangers' machines that serve everybody for nothing: a package is asked about at
//! most once a day, with its entity tag, so that an unchanged answer costs nobody anything; [`MOST_AT_ONCE`] requests are
//! under way at most. A registry that fails is left alone for a while, and what it said before goes on to hold. Bodies,
//! waits and names are bounded.
//!
//! **Design.** [`Registries`] asks and remembers through [`Memory`]; `answers` holds where a package is at each registry
//! and how its answer reads.
//!
//! **Known races.** Two looks at the same time may ask about the same package twice; both answers are right, the later
//! one is kept.

mod answers;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use backlog::time::{Clock, Timestamp};
use reqwest::StatusCode;
use reqwest::header::{ETAG, IF_NONE_MATCH, RETRY_AFTER};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use url::Url;

/// How many requests are under way at once, at all registries together.
pub const MOST_AT_ONCE: usize = 4;
/// How long an answer counts as new.
pub const FRESH: Duration = Duration::from_hours(24);
/// The largest answer that is read, in bytes. The largest packages of PyPI have three million.
pub const MAX_BODY_BYTES: usize = 8 << 20;
/// How long an answer is kept to be asked about again by its tag.
const KEPT: Duration = Duration::from_hours(24 * 90);
/// After how many failures in a row a registry is left alone.
const FAILURES: u32 = 3;
/// For how long, unless it asks for longer; and the longest time that it may ask for.
const PAUSE: Duration = Duration::from_mins(15);
const LONGEST_PAUSE: Duration = Duration::from_hours(24);
/// How long a connection, and a whole answer, may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_secs(30);
/// The longest tag that is remembered, in bytes.
const MAX_TAG_BYTES: usize = 200;
/// Where answers are remembered.
const SPACE: &str = "registry";

/// A public registry of packages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Registry {
    /// Of Rust.
    Crates,
    /// Of JavaScript.
    Npm,
    /// Of Python.
    PyPi,
}

impl Registry {
    fn as_str(self) -> &'static str {
        match self {
            Self::Crates => "crates",
            Self::Npm => "npm",
            Self::PyPi => "pypi",
        }
    }
}

/// Where the registries are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// A sparse index as Cargo reads it.
    pub crates: Url,
    /// A registry as npm reads it.
    pub npm: Url,
    /// A host with PyPI's `/pypi/<name>/json`.
    pub pypi: Url,
}

impl Addresses {
    fn of(&self, registry: Registry) -> &Url {
        match registry {
            Registry::Crates => &self.crates,
            Registry::Npm => &self.npm,
            Registry::PyPi => &self.pypi,
        }
    }
}

/// What outlives the process.
#[async_trait]
pub trait Memory: Send + Sync {
    /// What was remembered under `key`, if it has not expired.
    ///
    /// # Errors
    /// A finished sentence when the memory cannot be read.
    async fn recall(&self, space: &str, key: &str) -> Result<Option<String>, String>;

    /// Remembers `value` until `expires`.
    ///
    /// # Errors
    /// A finished sentence when the memory cannot be written.
    async fn remember(&self, space: &str, key: &str, value: &str, expires: Timestamp) -> Result<(), String>;
}

/// Why nothing is known of a package.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The registry could not be asked, or its answer could not be read.
    #[error("{what} could not be asked about: {why}; it is asked again later")]
    Unavailable {
        /// Registry and package.
        what: String,
        /// What went wrong.
        why: String,
    },
    /// The registry is left alone for a while.
    #[error("{what} is not asked about before {until}, because its registry failed or asked for a pause")]
    Paused {
        /// Registry and package.
        what: String,
        /// When it is asked again.
        until: Timestamp,
    },
    /// The memory of earlier answers failed.
    #[error("what registries said cannot be remembered: {0}")]
    Memory(String),
}

/// An answer of a registry.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Answer {
    /// The newest version; none where the registry has no such package, or no version that counts.
    newest: Option<String>,
    tag: Option<String>,
    at: Timestamp,
    /// Where it came from: another address answers for itself.
    from: String,
}

/// How a registry behaves.
#[derive(Clone, Copy, Debug, Default)]
struct Health {
    failures: u32,
    until: Option<Timestamp>,
}

/// Asks registries.
pub struct Registries {
    http: Result<[reqwest::Client; 2], String>,
    memory: Arc<dyn Memory>,
    clock: Arc<dyn Clock>,
    places: Semaphore,
    health: Mutex<BTreeMap<String, Health>>,
}

impl Registries {
    /// Asks in the name of `user_agent` and remembers through `memory`.
    #[must_use]
    pub fn new(user_agent: &str, memory: Arc<dyn Memory>, clock: Arc<dyn Clock>) -> Self {
        let client = |proxied: bool| {
            let builder = reqwest::Client::builder()
                .user_agent(user_agent)
                .redirect(reqwest::redirect::Policy::limited(3))
                .referer(false)
                .connect_timeout(CONNECT_TIMEOUT)
                .timeout(TIMEOUT);
            let builder = if proxied { builder } else { builder.no_proxy() };
            builder.build().map_err(|error| format!("the HTTP client cannot start: {error}"))
        };
        let http = client(true).and_then(|outside| Ok([outside, client(false)?]));
        Self { http, memory, clock, places: Semaphore::new(MOST_AT_ONCE), health: Mutex::default() }
    }

    /// The newest version of the package `name`; `None` where the registry has no such package or no stable version of it.
    /// An answer may be a day old, and older while the registry cannot be asked.
    ///
    /// # Errors
    ///
    /// [`RegistryError`] when nothing is known of the package.
    pub async fn newest(
        &self,
        addresses: &Addresses,
        registry: Registry,
        name: &str,
    ) -> Result<Option<String>, RegistryError> {
        let (what, base) = (format!("{} {name}", registry.as_str()), addresses.of(registry));
        let known = self.memory.recall(SPACE, &what).await.map_err(RegistryError::Memory)?;
        let known = known.and_then(|text| serde_json::from_str::<Answer>(&text).ok());
        let known = known.filter(|answer| answer.from == base.as_str());
        if let Some(answer) = known.as_ref().filter(|answer| self.clock.now().since(answer.at) < FRESH) {
            return Ok(answer.newest.clone());
        }
        match self.ask(base, registry, name, &what, known.as_ref()).await {
            Ok(answer) => {
                let text = serde_json::to_string(&answer).map_err(|error| RegistryError::Memory(error.to_string()))?;
                let expires = answer.at.plus(KEPT);
                self.memory.remember(SPACE, &what, &text, expires).await.map_err(RegistryError::Memory)?;
                Ok(answer.newest)
            }
            Err(error) => match known {
                Some(answer) => {
                    tracing::debug!(error = %error, "an older answer holds");
                    Ok(answer.newest)
                }
                None => Err(error),
            },
        }
    }

    /// One request.
    async fn ask(
        &self,
        base: &Url,
        registry: Registry,
        name: &str,
        what: &str,
        known: Option<&Answer>,
    ) -> Result<Answer, RegistryError> {
        let unavailable = |why: String| RegistryError::Unavailable { what: what.to_owned(), why };
        let address = answers::address(registry, base, name).ok_or_else(|| unavailable("it has no address".into()))?;
        let _place = self.places.acquire().await.map_err(|error| unavailable(error.to_string()))?;
        let now = self.clock.now();
        if let Some(until) = self.health_of(base).until.filter(|until| *until > now) {
            return Err(RegistryError::Paused { what: what.to_owned(), until });
        }
        let [outside, loopback] = self.http.as_ref().map_err(|why| unavailable(why.clone()))?;
        let is_loopback = matches!(base.host(), Some(url::Host::Ipv4(host)) if host.is_loopback());
        let mut request = if is_loopback { loopback } else { outside }.get(address);
        if let Some(tag) = known.and_then(|answer| answer.tag.as_deref()) {
            request = request.header(IF_NONE_MATCH, tag);
        }
        let answered = self.receive(request, base, registry).await;
        let (newest, tag) = match answered {
            Ok(Received::Unchanged) => match known {
                Some(answer) => (answer.newest.clone(), answer.tag.clone()),
                None => return Err(unavailable("it says that nothing changed, but nothing is known".into())),
            },
            Ok(Received::Newest(newest, tag)) => (newest, tag),
            Err(why) => return Err(unavailable(why)),
        };
        Ok(Answer { newest, tag, at: now, from: base.as_str().to_owned() })
    }

    async fn receive(
        &self,
        request: reqwest::RequestBuilder,
        base: &Url,
        registry: Registry,
    ) -> Result<Received, String> {
        let failed = |error: reqwest::Error| {
            self.fails(base, None);
            error.without_url().to_string()
        };
        let mut response = request.send().await.map_err(failed)?;
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let (status, tag) = (response.status(), header(ETAG).filter(|tag| tag.len() <= MAX_TAG_BYTES));
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            let asked = header(RETRY_AFTER).and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
            self.fails(base, asked);
            return Err(format!("it answered with {}", status.as_u16()));
        }
        self.answers(base);
        match status {
            StatusCode::NOT_MODIFIED => return Ok(Received::Unchanged),
            // The index says 451 of what was taken down, and 410 of what never came back.
            StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS => {
                return Ok(Received::Newest(None, None));
            }
            status if !status.is_success() => return Err(format!("it answered with {}", status.as_u16())),
            _ => {}
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > MAX_BODY_BYTES {
                return Err(format!("its answer is longer than {MAX_BODY_BYTES} bytes"));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Received::Newest(answers::newest(registry, &body)?, tag))
    }

    fn health_of(&self, base: &Url) -> Health {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).get(base.as_str()).copied().unwrap_or_default()
    }

    /// A registry failed, or asked for a pause.
    fn fails(&self, base: &Url, pause: Option<Duration>) {
        let mut all = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        let health = all.entry(base.as_str().to_owned()).or_default();
        health.failures += 1;
        if pause.is_some() || health.failures >= FAILURES {
            let pause = pause.unwrap_or(PAUSE).clamp(PAUSE, LONGEST_PAUSE);
            *health = Health { failures: 0, until: Some(self.clock.now().plus(pause)) };
        }
    }

    fn answers(&self, base: &Url) {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).remove(base.as_str());
    }
}

enum Received {
    Unchanged,
    /// The newest version, and the tag of the answer.
    Newest(Option<String>, Option<String>),
}
