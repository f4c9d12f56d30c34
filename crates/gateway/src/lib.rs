//! The only way out of a sandbox: model APIs with the key added, metered and capped.
//!
//! **Definition.** A [`Gateway`] stands for one model API. [`Gateway::open`] gives one run an address of its own, a
//! [`RunGateway`]: a Unix socket that is put into the sandbox, or a loopback port where there is no sandbox. What the
//! agent sends there goes to the model API with the real key.
//!
//! **Wanted properties.**
//! - The agent never sees the key: whatever credential it sends is dropped, and the real one is in no answer, error,
//!   log or `Debug` output.
//! - Nothing but the calls of [`question`] passes, and no question makes the API reach out on the agent's behalf.
//! - Answers are passed on piece by piece, as they arrive.
//! - What a run spends is counted here, whatever the agent says or however it dies, and ends at its budget.
//! - Everything has a bound: connections, requests at once, sizes, times. Nothing is repeated here; the agent does
//!   that.
//!
//! **Design.** [`listen`] accepts, [`question`] judges, [`ledger`] reserves, [`relay`] passes on, [`meter`] reads the
//! usage with the prices of [`price`]. Refusals carry the API's own error envelope, with statuses on which agents give
//! up: 402 for a spent budget, 403 for what is not allowed. Dropping the body of an answer is enough to settle
//! it, so a connection may end in any way.
//!
//! **Known races.** Between bind and chmod the socket has the process's umask: put it into a folder that only its owner
//! may enter. A loopback port is open to every process of the machine; there the random path is the guard.

mod ledger;
mod listen;
mod meter;
mod price;
mod question;
mod refusal;
mod relay;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use backlog::names::RunId;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;
use url::Url;

pub use ledger::Usage;
pub use listen::{Address, Listen, RunGateway};
pub use price::{Price, Rates};

/// Why there is no gateway.
#[derive(Debug, Error)]
pub enum GatewayError {
    /// The configured address of the model API cannot be used.
    #[error("the model API's address must be an http or https URL with a host, {0}; correct it in the configuration")]
    Upstream(&'static str),
    /// The credential cannot be sent in a header.
    #[error("the model API's key holds characters that no header can carry; check for a line break at its end")]
    Credential,
    /// The client for the model API could not be built.
    #[error("the client for the model API cannot be set up; check the machine's TLS certificates")]
    Client(#[source] reqwest::Error),
    /// The socket's path is longer than the system allows.
    #[error(
        "the socket path {path} has {length} bytes but the system allows {}; use a shorter data folder",
        listen::MAX_SOCKET_PATH
    )]
    PathTooLong {
        /// The path asked for.
        path: PathBuf,
        /// Its length in bytes.
        length: usize,
    },
    /// The system refuses to listen there.
    #[error("cannot listen at {at}; check that its folder exists and is writable")]
    Listen {
        /// The socket's path, or `loopback`.
        at: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The system has no randomness for the guard of a loopback port.
    #[error("the system gives no random bytes, so that a loopback port cannot be guarded; use a sandbox")]
    Random,
}

/// How the model API wants its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialKind {
    /// In the header `x-api-key`.
    ApiKey,
    /// In the header `authorization`, after `Bearer`.
    Bearer,
}

/// The real credential for the model API.
#[derive(Debug, Clone)]
pub struct Credential {
    /// The header it goes into.
    pub kind: CredentialKind,
    /// The key or token itself.
    pub secret: SecretString,
}

impl Credential {
    fn header(&self) -> Result<(HeaderName, HeaderValue), GatewayError> {
        let secret = self.secret.expose_secret();
        let (name, text) = match self.kind {
            CredentialKind::ApiKey => (HeaderName::from_static("x-api-key"), secret.to_owned()),
            CredentialKind::Bearer => (AUTHORIZATION, format!("Bearer {secret}")),
        };
        let mut value = HeaderValue::try_from(text).map_err(|_| GatewayError::Credential)?;
        value.set_sensitive(true);
        Ok((name, value))
    }
}

/// The bounds of every run's gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The largest request body, in bytes.
    pub body_bytes: usize,
    /// Requests of one run that are with the model API at once; further ones wait.
    pub concurrent: usize,
    /// Connections of one run; further ones are not accepted until one ends.
    pub connections: usize,
    /// How long connecting to the model API may take.
    pub connect: Duration,
    /// How long an answer may be silent.
    pub idle: Duration,
    /// How long one request may take as a whole, and how long it may wait for room in the budget.
    pub total: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 32 * 1024 * 1024,
            concurrent: 8,
            connections: 64,
            connect: Duration::from_secs(10),
            idle: Duration::from_secs(120),
            total: Duration::from_secs(15 * 60),
        }
    }
}

/// What a gateway needs to know.
#[derive(Clone)]
pub struct GatewayConfig {
    /// The model API's base URL, such as `https://api.anthropic.com`; a path in it is kept.
    pub upstream: Url,
    /// The real credential; without one, requests go out without any.
    pub credential: Option<Credential>,
    /// The models that may be used, by exact name or by a beginning and `*`; `None` allows all.
    pub allowed_models: Option<Vec<String>>,
    /// Prices that come before the built-in list.
    pub prices: Vec<Price>,
    /// Whether questions may make the API itself reach out: web tools, code execution, MCP connectors, content by URL.
    pub allow_server_tools: bool,
    /// The bounds.
    pub limits: Limits,
}

impl GatewayConfig {
    /// All models of `upstream` at list prices, within the usual limits.
    #[must_use]
    pub fn new(upstream: Url, credential: Option<Credential>) -> Self {
        Self {
            upstream,
            credential,
            allowed_models: None,
            prices: Vec::new(),
            allow_server_tools: false,
            limits: Limits::default(),
        }
    }
}

/// A URL may carry a password, so only its origin is shown.
impl fmt::Debug for GatewayConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { upstream, credential, allowed_models, prices, allow_server_tools, limits } = self;
        f.debug_struct("GatewayConfig")
            .field("upstream", &upstream.origin().ascii_serialization())
            .field("credential", credential)
            .field("allowed_models", allowed_models)
            .field("prices", prices)
            .field("allow_server_tools", allow_server_tools)
            .field("limits", limits)
            .finish()
    }
}

/// One model API, shared by all runs.
#[derive(Debug, Clone)]
pub struct Gateway {
    upstream: Arc<relay::Upstream>,
}

impl Gateway {
    /// Checks the configuration and builds the client.
    ///
    /// # Errors
    /// [`GatewayError::Upstream`], [`GatewayError::Credential`], [`GatewayError::Client`].
    pub fn new(config: GatewayConfig) -> Result<Self, GatewayError> {
        Ok(Self { upstream: Arc::new(relay::Upstream::new(config)?) })
    }

    /// Opens the way out for `run`, which may spend `budget_micro_usd` in all.
    ///
    /// # Errors
    /// [`GatewayError::PathTooLong`], [`GatewayError::Listen`], [`GatewayError::Random`].
    pub async fn open(&self, run: &RunId, budget_micro_usd: u64, at: Listen) -> Result<RunGateway, GatewayError> {
        listen::open(Arc::clone(&self.upstream), run.clone(), budget_micro_usd, at).await
    }
}
