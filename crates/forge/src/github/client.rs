//! One request to GitHub and its answer.
//!
//! **Definition.** [`Client`] is one actor's. It sends requests over the host's [`Wire`] under the permits of the
//! actor's [`Governor`], repeats reads, follows redirects on the same origin, and turns whatever comes back into an
//! [`Answer`] or a [`Failure`].
//!
//! **Wanted properties.** The token goes to one origin only and stands in no error; every body, page list and
//! redirect chain has a bound; a write is never repeated here.
//!
//! **Known races.** A connection that breaks after a request was written leaves open whether it was executed:
//! [`Failure::Ambiguous`], which only `writes` may resolve.

use std::sync::{Arc, Mutex};

use backlog::time::Timestamp;
use bytes::Bytes;
use http::header::{AUTHORIZATION, DATE, IF_MODIFIED_SINCE, IF_NONE_MATCH, LOCATION, USER_AGENT};
use http::{HeaderMap, Method, StatusCode};
use serde::de::DeserializeOwned;
use tokio::sync::OnceCell;
use url::Url;

use super::auth::{Bearer, Scope, Token};
use super::conditional::{Condition, Flights};
use super::governor::{Ask, Governor, Permit, Resource, Traffic};
use super::limit::classify;
use super::model::{self, ErrorBody, User};
use super::wire::Wire;
use crate::{ForgeError, LedgerError};

/// The API version that is asked for (R45).
pub(super) const API_VERSION: &str = "2022-11-28";
/// The media type that is asked for.
pub(super) const ACCEPT: &str = "application/vnd.github+json";
/// How many redirects a read follows.
const HOPS: u32 = 5;

/// Why a request gave no usable answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// A limit; nothing was executed.
    Limited { until: Timestamp },
    /// An answer in the 4xx that is no limit; nothing was executed.
    Refused(Refusal),
    /// The server was not reached; nothing was executed.
    NotSent(String),
    /// Executed or not, nobody knows.
    Ambiguous(String),
    /// A write was answered by a redirect; nothing was executed.
    Moved,
    /// The answer makes no sense; what was asked may have been executed.
    Unexpected(String),
    /// Our own memory failed.
    Memory(LedgerError),
}

/// A refusal.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    /// Method and path.
    pub(super) what: String,
    /// What GitHub said, in one line.
    pub(super) said: String,
    /// The permissions that would do, from `X-Accepted-GitHub-Permissions`.
    pub(super) needs: Option<String>,
    /// GitHub's time.
    pub(super) date: Option<Timestamp>,
}

impl From<LedgerError> for Failure {
    fn from(error: LedgerError) -> Self {
        Self::Memory(error)
    }
}

impl From<Failure> for ForgeError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Limited { until } => Self::Limited { until },
            Failure::Refused(refusal) => refusal.into(),
            Failure::NotSent(why) | Failure::Ambiguous(why) => Self::Transient { why, retry_at: None },
            Failure::Moved => Self::Conflict("the repository has a new name; update the configuration".to_owned()),
            Failure::Unexpected(what) => Self::Unexpected(what),
            Failure::Memory(error) => error.into(),
        }
    }
}

impl From<Refusal> for ForgeError {
    fn from(refusal: Refusal) -> Self {
        let Refusal { status, what, said, needs, date: _ } = refusal;
        match status.as_u16() {
            401 => Self::BadCredential(said),
            403 => {
                let needs = needs.map(|needs| format!("; the credential needs {needs}")).unwrap_or_default();
                Self::Denied { what, why: format!("{said}{needs}") }
            }
            404 => Self::NotFound(what),
            410 if said.contains("deleted") => Self::NotFound(what),
            410 if said.contains("version") => Self::Unexpected(format!("{said}; update ccm")),
            409 => Self::Conflict(said),
            410 => Self::Denied { what, why: format!("{said}; switch issues on in the repository's settings") },
            451 => Self::Denied { what, why: format!("{said}; the repository is blocked for legal reasons") },
            422 if said.contains("already") => Self::Conflict(said),
            code => Self::Unexpected(format!("{code} to {what}: {said}")),
        }
    }
}

/// A whole answer.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// What was asked, for errors.
    pub(super) what: String,
    /// The token that it was asked for with.
    pub(super) token: Option<Arc<Token>>,
}

impl Answer {
    pub(super) fn header(&self, name: impl http::header::AsHeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_slice(&self.body).map_err(|error| {
            Failure::Unexpected(format!(
                "{} was answered with something that is not the JSON it should be ({error})",
                self.what
            ))
        })
    }
}

/// The account behind the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) id: u64,
    pub(super) login: String,
}

impl Account {
    pub(super) fn is(&self, user: &User) -> bool {
        user.id == self.id || (user.id == 0 && user.login.eq_ignore_ascii_case(&self.login))
    }
}

/// See the module.
pub(super) struct Client {
    pub(super) wire: Arc<Wire>,
    pub(super) bearer: Bearer,
    account: OnceCell<Account>,
    /// What GitHub said to a token that nobody renews, and until when nothing is asked with it.
    pub(super) not_accepted: Mutex<Option<(String, Timestamp)>>,
    pub(super) flights: Flights,
    pub(super) governor: Governor,
}

impl Client {
    /// The client of whoever bears these tokens.
    pub(super) fn new(wire: Arc<Wire>, bearer: Bearer) -> Self {
        let (account, flights) = (OnceCell::new(), Flights::default());
        Self { governor: wire.governor(), wire, bearer, account, not_accepted: Mutex::default(), flights }
    }

    /// Who the actor is to GitHub: a user, an App, or (without a login) an installation. Asked once; loads what the
    /// governor remembers.
    pub(super) async fn account(&self) -> Result<&Account, Failure> {
        let ask = || async {
            let host = self.wire.api_url.host_str().unwrap_or_default();
            match &self.bearer {
                Bearer::Fixed(token) => {
                    self.governor.remember_under(format!("token:{}", token.hash)).await?;
                    let user: User = self.read(self.wire.url(&["user"], &[]), None).await?.json()?;
                    if user.login.is_empty() {
                        return Err(Failure::Unexpected("GitHub does not say whose token it is".to_owned()));
                    }
                    self.governor.remember_under(format!("user:{host}:{}", user.id)).await?;
                    Ok(Account { id: user.id, login: user.login })
                }
                Bearer::App(signer) => {
                    self.governor.remember_under(format!("app:{host}:{}", signer.id())).await?;
                    let app: model::App = self.read(self.wire.url(&["app"], &[]), None).await?.json()?;
                    Ok(Account { id: app.id, login: app.slug })
                }
                Bearer::Installation(minter) => {
                    let id = minter.id();
                    self.governor.remember_under(format!("installation:{host}:{id}")).await?;
                    // GitHub counts what people are told for the App, over all its installations.
                    self.governor.speak_as(&format!("voice:app:{host}:{}", minter.app_id()));
                    Ok(Account { id, login: String::new() })
                }
            }
        };
        // In a box: it is asked once, and whoever waits for something else would hold the room for it.
        self.account.get_or_try_init(|| Box::pin(ask())).await
    }

    /// Sends a read, again after what may pass (R24), following redirects on the same origin (R32). With a condition
    /// it is conditional and may give a 304.
    pub(super) async fn read(&self, url: Url, condition: Option<&Condition>) -> Result<Answer, Failure> {
        let (mut url, mut hops, mut tries, mut renewed) = (url, 0, 0, false);
        loop {
            let token = self.token(&Scope::of(&Method::GET, &url)).await?;
            let permit = self.governor.admit(Ask::of(Traffic::Read, Resource::of_path(url.path()))).await?;
            let answer = match Box::pin(self.exchange(&permit, &token, Method::GET, &url, None, condition)).await {
                Err(Failure::Refused(refusal)) if !renewed && self.renews(&token, &refusal) => {
                    renewed = true;
                    continue;
                }
                Err(Failure::NotSent(why) | Failure::Ambiguous(why)) => {
                    drop(permit);
                    tries += 1;
                    if tries >= self.wire.limits.tries {
                        return Err(Failure::NotSent(why));
                    }
                    self.governor.back_off(tries).await;
                    continue;
                }
                answer => answer?,
            };
            if !is_redirect(answer.status) {
                return Ok(answer);
            }
            hops += 1;
            url = self.wire.same_origin(&url, answer.header(LOCATION).unwrap_or_default())?;
            if hops > HOPS {
                return Err(Failure::Unexpected(format!("{} was redirected more than {HOPS} times", answer.what)));
            }
        }
    }

    /// Sends one write, once, under a permit that was got for it. A redirect is [`Failure::Moved`].
    pub(super) async fn send(
        &self,
        permit: &Permit,
        method: Method,
        url: &Url,
        body: Option<&serde_json::Value>,
    ) -> Result<Answer, Failure> {
        let token = self.token(&Scope::of(&method, url)).await?;
        let answer = match Box::pin(self.exchange(permit, &token, method, url, body, None)).await {
            // Nothing was executed: it may be sent again with another token.
            Err(Failure::Refused(refusal)) if self.renews(&token, &refusal) => {
                return Err(Failure::Limited { until: self.wire.clock.now() });
            }
            answer => answer?,
        };
        if is_redirect(answer.status) { Err(Failure::Moved) } else { Ok(answer) }
    }

    /// One write that may be repeated without harm.
    pub(super) async fn edit(
        &self,
        ask: impl Into<Ask>,
        method: Method,
        url: &Url,
        body: Option<&serde_json::Value>,
    ) -> Result<Answer, Failure> {
        let ask = ask.into();
        self.account().await?;
        let scope = Scope::of(&method, url);
        let mut renewed = false;
        loop {
            let token = self.token(&scope).await?;
            let permit = self.governor.admit(ask.clone()).await?;
            let answer = match Box::pin(self.exchange(&permit, &token, method.clone(), url, body, None)).await {
                Err(Failure::Refused(refusal)) if !renewed && self.renews(&token, &refusal) => {
                    renewed = true;
                    continue;
                }
                answer => answer?,
            };
            return if is_redirect(answer.status) { Err(Failure::Moved) } else { Ok(answer) };
        }
    }

    /// Sends one request and waits for its answer. Callers put this in a box of its own: else whoever only waits for leave
    /// to send would hold the room that sending takes.
    pub(super) async fn exchange(
        &self,
        permit: &Permit,
        token: &Arc<Token>,
        method: Method,
        url: &Url,
        body: Option<&serde_json::Value>,
        condition: Option<&Condition>,
    ) -> Result<Answer, Failure> {
        let what = format!("{method} {}", url.path());
        let mut request = self
            .wire
            .http
            .request(method.clone(), url.clone())
            .header(AUTHORIZATION, token.header.clone())
            .header(USER_AGENT, self.wire.user_agent.clone())
            .header("accept", ACCEPT)
            .header("x-github-api-version", API_VERSION);
        request = match condition {
            Some(Condition::Tag(etag)) => request.header(IF_NONE_MATCH, etag),
            Some(Condition::Since(at)) => request.header(IF_MODIFIED_SINCE, at),
            None => request,
        };
        if let Some(body) = body {
            request = request.json(body);
        }
        let started = tokio::time::Instant::now();
        let got = self.wire.receive(request, &what, self.wire.limits.body_bytes).await;
        let status = got.as_ref().map_or("error", |answer| status_class(answer.status));
        let conditional = if condition.is_some() { "true" } else { "false" };
        metrics::counter!("ccm_github_requests_total", "method" => method.to_string(), "status_class" => status,
            "conditional" => conditional)
        .increment(1);
        metrics::histogram!("ccm_github_request_duration_seconds").record(started.elapsed().as_secs_f64());
        if matches!(got, Err(Failure::NotSent(_) | Failure::Ambiguous(_))) {
            self.governor.stumbled(permit, None);
        }
        self.judge(permit, Answer { token: Some(Arc::clone(token)), ..got? }).await
    }

    /// What an answer means: limits go to the governor, refusals and failures become errors.
    async fn judge(&self, permit: &Permit, answer: Answer) -> Result<Answer, Failure> {
        self.governor.observe(permit, answer.status, &answer.headers).await?;
        self.wire.routes.observe(&answer);
        let now = self.wire.clock.now();
        if let Some(limit) = classify(answer.status, &answer.headers, &answer.body, permit.is_graphql(), now) {
            let (until, one_too_many) = self.governor.limited(limit, &answer.headers, permit).await?;
            return Err(if one_too_many { given_up(answer.what) } else { Failure::Limited { until } });
        }
        if answer.status.is_server_error() {
            self.governor.stumbled(permit, Some(answer.status));
            return Err(Failure::Ambiguous(format!("{} was answered with {}", answer.what, answer.status.as_u16())));
        }
        self.governor.succeeded(permit).await?;
        if answer.status.is_client_error() {
            return Err(Failure::Refused(Refusal {
                status: answer.status,
                // Before anything is cut, or half a token would stay.
                said: ErrorBody::read(self.wire.redact(&String::from_utf8_lossy(&answer.body)).as_bytes()).sentence(),
                needs: answer.header("x-accepted-github-permissions").map(|needs| self.wire.redact(needs)),
                date: date_of(&answer),
                what: answer.what,
            }));
        }
        Ok(answer)
    }

    /// Reads what GitHub may keep on another host, such as a job's log or an archive, of at most `most` bytes: the
    /// redirect there is followed once, without the token and never from TLS to plain text.
    pub(super) async fn read_elsewhere(&self, url: Url, most: usize) -> Result<Bytes, Failure> {
        self.account().await?;
        let token = self.token(&Scope::Read).await?;
        let permit = self.governor.admit(Traffic::Read).await?;
        let mut answer = Box::pin(self.exchange(&permit, &token, Method::GET, &url, None, None)).await?;
        if is_redirect(answer.status) {
            let target = url.join(answer.header(LOCATION).unwrap_or_default());
            let target =
                target.map_err(|_| Failure::Unexpected(format!("{} was redirected to nowhere", answer.what)))?;
            let same = target.origin() == self.wire.api_url.origin();
            if target.scheme() != "https" && self.wire.api_url.scheme() == "https" {
                return Err(Failure::Unexpected(format!("{} was redirected to an address without TLS", answer.what)));
            }
            let request = self.wire.http.get(target.clone()).header(USER_AGENT, self.wire.user_agent.clone());
            let request = if same { request.header(AUTHORIZATION, token.header.clone()) } else { request };
            answer = self.wire.receive(request, &format!("GET {}", target.path()), most).await?;
            if !answer.status.is_success() {
                return Err(Failure::NotSent(format!("{} was answered with {}", answer.what, answer.status.as_u16())));
            }
        }
        Ok(answer.body)
    }
}

/// What a request ends with that met one secondary limit too many (R9).
fn given_up(what: String) -> Failure {
    let said = "GitHub's secondary limit was met five times in a row; lower the pace under [github.limits], or look \
        whether something else uses the same account";
    Failure::Refused(Refusal { status: StatusCode::FORBIDDEN, what, said: said.to_owned(), needs: None, date: None })
}

/// The time that an answer shows.
fn date_of(answer: &Answer) -> Option<Timestamp> {
    let at = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(answer.header(DATE)?).ok()?;
    Some(Timestamp(at.as_millisecond()))
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

fn status_class(status: StatusCode) -> &'static str {
    match status.as_u16() / 100 {
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        5 => "5xx",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_without_an_id_is_known_by_login() {
        let us = Account { id: 7, login: "robot".to_owned() };
        let user = |id, login: &str| User { id, login: login.to_owned(), kind: String::new() };
        assert!(us.is(&user(7, "renamed")) && us.is(&user(0, "Robot")));
        assert!(!us.is(&user(8, "robot")) && !us.is(&user(0, "")));
    }
}
