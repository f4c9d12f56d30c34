//! One request's way to the model API and back.
//!
//! **Design.** Judge, wait for a free place, reserve, pass on. The answer's body owns the [`Meter`] and the place, so
//! that both end with it. `accept-encoding` is always `identity`, because usage is read from what passes by. Redirects
//! are not followed: they would carry the key to another host.

use std::fmt;
use std::io;
use std::sync::Arc;

use backlog::names::RunId;
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use secrecy::ExposeSecret;
use subtle::ConstantTimeEq;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

use crate::ledger::Ledger;
use crate::meter::Meter;
use crate::price::Tariff;
use crate::question::{Question, Route, is_allowed};
use crate::refusal::{Body, Refusal, whole};
use crate::{GatewayConfig, GatewayError};

/// The longest query and the largest error body that are passed on.
const MAX_QUERY_BYTES: usize = 512;
const MAX_ERROR_BYTES: usize = 64 * 1024;
const BODY_TIME: std::time::Duration = std::time::Duration::from_secs(60);

/// Headers that belong to one connection and not to the message.
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
/// Headers of a request that are set anew here, or are nobody's business outside.
const REPLACED: [&str; 9] = [
    "accept-encoding",
    "authorization",
    "content-length",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "x-api-key",
    "x-forwarded-for",
];

/// The model API and the client for it.
pub(crate) struct Upstream {
    pub(crate) config: GatewayConfig,
    client: reqwest::Client,
    /// The base URL without a slash at its end.
    base: String,
    credential: Option<(HeaderName, HeaderValue)>,
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Upstream {
    pub(crate) fn new(config: GatewayConfig) -> Result<Self, GatewayError> {
        let url = &config.upstream;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(GatewayError::Upstream("which this one is not"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(GatewayError::Upstream("without user and password"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(GatewayError::Upstream("without query and fragment"));
        }
        let is_here = match url.host() {
            Some(url::Host::Domain(name)) => name == "localhost",
            Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
            Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
            None => false,
        };
        if url.scheme() == "http" && !is_here && config.credential.is_some() {
            tracing::warn!("the model API's address is http: the key and all code travel unencrypted");
        }
        let credential = config.credential.as_ref().map(crate::Credential::header).transpose()?;
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_gzip()
            .connect_timeout(config.limits.connect);
        // A proxy of the environment is for the world outside, not for this machine.
        let client = if is_here { client.no_proxy() } else { client };
        let client = client.build().map_err(|error| GatewayError::Client(error.without_url()))?;
        let base = url.as_str().trim_end_matches('/').to_owned();
        Ok(Self { config, client, base, credential })
    }

    /// `body` with the real key replaced, in case an API repeats what it was sent.
    fn redact(&self, body: Vec<u8>) -> Bytes {
        let Some(credential) = &self.config.credential else {
            return body.into();
        };
        let secret = credential.secret.expose_secret();
        if secret.is_empty() || !body.windows(secret.len()).any(|window| window == secret.as_bytes()) {
            return body.into();
        }
        String::from_utf8_lossy(&body).replace(secret, "[key]").into()
    }
}

/// What all requests of one run share.
pub(crate) struct Run {
    pub(crate) id: RunId,
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) permits: Arc<Semaphore>,
    /// The first part of every path, where the address itself is open to strangers.
    pub(crate) guard: Option<String>,
}

/// Answers one request: from the model API, or with a refusal.
pub(crate) async fn answer(run: &Run, request: Request<Incoming>) -> Response<Body> {
    let (outcome, response) = match pass_on(run, request).await {
        Ok(response) if response.status().is_success() => ("answered", response),
        Ok(response) => ("upstream_error", response),
        Err(refusal) => {
            let is_ours = !matches!(refusal, Refusal::Unreachable | Refusal::Silent);
            if is_ours {
                run.ledger.count_refusal();
            }
            tracing::info!(run = %run.id, outcome = refusal.outcome(), "a request of the run was not answered");
            (refusal.outcome(), refusal.response())
        }
    };
    metrics::counter!("ccm_gateway_requests_total", "outcome" => outcome).increment(1);
    response
}

async fn pass_on(run: &Run, request: Request<Incoming>) -> Result<Response<Body>, Refusal> {
    let limits = &run.upstream.config.limits;
    let path = guarded_path(request.uri().path(), run.guard.as_deref())?;
    let route = Route::of(request.method(), path).ok_or(Refusal::Path)?;
    let query = request.uri().query().map_or(String::new(), |query| format!("?{query}"));
    if query.len() > MAX_QUERY_BYTES {
        return Err(Refusal::Path);
    }
    let url = format!("{}{path}{query}", run.upstream.base);
    let permit = Arc::clone(&run.permits).acquire_owned().await.expect("the semaphore is never closed");
    let (parts, body) = request.into_parts();
    let bytes = timeout(BODY_TIME, read_body(body, limits.body_bytes)).await.map_err(|_| Refusal::Slow)??;
    let question = match route {
        Route::Messages | Route::CountTokens => Some(judge(&run.upstream.config, &bytes)?),
        Route::Models => None,
    };
    let meter = match &question {
        Some(question) if route == Route::Messages => Some(reserve(run, question, bytes.len()).await?),
        Some(_) | None => None,
    };
    let call = Call {
        method: parts.method,
        url,
        headers: request_headers(&parts.headers, run.upstream.credential.as_ref()),
        bytes,
        streams: question.is_some_and(|question| question.streams()),
    };
    call.send(run, meter, permit).await
}

fn guarded_path<'a>(path: &'a str, guard: Option<&str>) -> Result<&'a str, Refusal> {
    let Some(guard) = guard else { return Ok(path) };
    let rest = path.strip_prefix('/').unwrap_or(path);
    let (given, rest) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let is_right = bool::from(given.as_bytes().ct_eq(guard.as_bytes()));
    if is_right { Ok(rest) } else { Err(Refusal::Stranger) }
}

/// Reads a body of at most `most` bytes. Of a larger one, as much again is read and dropped, so that the sender gets
/// to see the refusal.
async fn read_body(mut body: Incoming, most: usize) -> Result<Bytes, Refusal> {
    let mut bytes = Vec::new();
    let mut dropped = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Refusal::Body("its body broke off"))?;
        let Ok(data) = frame.into_data() else { continue };
        if dropped > 0 || bytes.len() + data.len() > most {
            bytes.clear();
            dropped += data.len();
            if dropped > most {
                break;
            }
        } else {
            bytes.extend_from_slice(&data);
        }
    }
    if dropped > 0 { Err(Refusal::TooLarge(most)) } else { Ok(bytes.into()) }
}

fn judge(config: &GatewayConfig, bytes: &[u8]) -> Result<Question, Refusal> {
    let wrong = |_| Refusal::Body("it must be JSON with a model and its messages, each given once");
    let question: Question = serde_json::from_slice(bytes).map_err(wrong)?;
    if config.allowed_models.as_ref().is_some_and(|allowed| !is_allowed(&question.model, allowed)) {
        let shown = question.model.chars().take(100).collect();
        return Err(Refusal::Model(shown));
    }
    match question.reaches_out() {
        Some(what) if !config.allow_server_tools => Err(Refusal::ReachesOut(what)),
        Some(_) | None => Ok(question),
    }
}

async fn reserve(run: &Run, question: &Question, body_bytes: usize) -> Result<Meter, Refusal> {
    let config = &run.upstream.config;
    let tariff = Tariff::of(&question.model, question.is_fast(), &config.prices);
    let estimate = tariff.cost(&question.estimate(body_bytes));
    let admitted = timeout(config.limits.total, run.ledger.admit(tariff, estimate)).await;
    let reservation = admitted.map_err(|_| Refusal::NoRoom)?.map_err(Refusal::Spent)?;
    Ok(Meter::new(reservation, question.fallback(body_bytes)))
}

fn request_headers(from: &HeaderMap, credential: Option<&(HeaderName, HeaderValue)>) -> HeaderMap {
    let mut headers = end_to_end(from, &REPLACED);
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    if let Some((name, value)) = credential {
        headers.insert(name, value.clone());
    }
    headers
}

/// The headers that are not for one connection only, without those of `dropped`.
fn end_to_end(from: &HeaderMap, dropped: &[&str]) -> HeaderMap {
    let named: Vec<String> = from
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    let stays = |name: &HeaderName| {
        let name = name.as_str();
        !HOP_BY_HOP.contains(&name) && !dropped.contains(&name) && !named.iter().any(|other| other == name)
    };
    from.iter().filter(|(name, _)| stays(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// A request that may go out.
struct Call {
    method: Method,
    url: String,
    headers: HeaderMap,
    bytes: Bytes,
    streams: bool,
}

impl Call {
    async fn send(
        self,
        run: &Run,
        mut meter: Option<Meter>,
        permit: OwnedSemaphorePermit,
    ) -> Result<Response<Body>, Refusal> {
        let limits = &run.upstream.config.limits;
        let deadline = Instant::now() + limits.total;
        // A whole answer is silent until it is finished, so only a stream can be idle.
        let head = if self.streams { Instant::now() + limits.idle } else { deadline };
        run.ledger.count_request();
        let client = &run.upstream.client;
        let sent = client.request(self.method, self.url).headers(self.headers).body(self.bytes).send();
        let response = match timeout_at(head, sent).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                meter.iter_mut().for_each(Meter::forgive);
                let error = error.without_url();
                tracing::warn!(run = %run.id, error = &error as &dyn std::error::Error, "the model API was not reached");
                return Err(Refusal::Unreachable);
            }
            Err(_) => return Err(Refusal::Silent),
        };
        let (status, headers) = (response.status(), end_to_end(response.headers(), &["set-cookie", "content-length"]));
        let body = if status.is_success() {
            let is_plain = response.headers().get(header::CONTENT_ENCODING).is_none_or(|coding| coding == "identity");
            if let Some(meter) = meter.as_mut().filter(|_| is_plain) {
                meter.begin(is_event_stream(response.headers()));
            }
            let relay = Relay { response, meter, idle: limits.idle, deadline, ended: false, _permit: permit };
            let pieces = futures::stream::unfold(relay, |mut relay| async move {
                let piece = relay.next().await?;
                Some((piece.map(Frame::data), relay))
            });
            BodyExt::boxed_unsync(StreamBody::new(pieces))
        } else {
            meter.iter_mut().for_each(Meter::forgive);
            tracing::warn!(run = %run.id, %status, "the model API refused a request");
            whole(run.upstream.redact(error_body(response, head).await))
        };
        let mut answer = Response::new(body);
        *answer.status_mut() = status;
        *answer.headers_mut() = headers;
        Ok(answer)
    }
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    kind.is_some_and(|kind| kind.starts_with("text/event-stream"))
}

/// The beginning of an error's body; what cannot be read in time is left out.
async fn error_body(mut response: reqwest::Response, deadline: Instant) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Ok(Some(piece))) = timeout_at(deadline, response.chunk()).await {
        let room = MAX_ERROR_BYTES - body.len();
        body.extend_from_slice(&piece[..piece.len().min(room)]);
        if body.len() == MAX_ERROR_BYTES {
            break;
        }
    }
    body
}

/// An answer on its way to the agent.
struct Relay {
    response: reqwest::Response,
    meter: Option<Meter>,
    idle: std::time::Duration,
    deadline: Instant,
    ended: bool,
    _permit: OwnedSemaphorePermit,
}

impl Relay {
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        if self.ended {
            return None;
        }
        let until = self.deadline.min(Instant::now() + self.idle);
        let broken = match timeout_at(until, self.response.chunk()).await {
            Ok(Ok(Some(piece))) => return Some(Ok(self.metered(piece))),
            Ok(Ok(None)) => return None,
            Ok(Err(_)) => io::Error::other("the model API's answer broke off"),
            Err(_) => io::Error::new(io::ErrorKind::TimedOut, "the model API's answer took too long"),
        };
        self.ended = true;
        Some(Err(broken))
    }

    /// The piece itself; or, when the budget is spent in the middle of a stream, its whole events and a last one that
    /// says so.
    fn metered(&mut self, piece: Bytes) -> Bytes {
        let Some(meter) = &mut self.meter else { return piece };
        meter.feed(&piece);
        let Some(spent) = meter.must_cut() else { return piece };
        let Some(end) = piece.windows(2).rposition(|two| two == b"\n\n") else {
            return piece;
        };
        self.ended = true;
        [&piece[..end + 2], &Refusal::Spent(spent).event()].concat().into()
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue};

    use super::{end_to_end, guarded_path, request_headers};
    use crate::refusal::Refusal;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn credentials_and_connection_headers_stay_behind() {
        let from = headers(&[
            ("authorization", "Bearer dummy"),
            ("x-api-key", "dummy"),
            ("cookie", "a=b"),
            ("connection", "keep-alive, X-Private"),
            ("x-private", "1"),
            ("accept-encoding", "gzip, br"),
            ("host", "localhost"),
            ("anthropic-version", "2023-06-01"),
        ]);
        let key = (HeaderName::from_static("x-api-key"), HeaderValue::from_static("real"));
        let expected = [("x-api-key", "real"), ("accept-encoding", "identity"), ("anthropic-version", "2023-06-01")];
        assert_eq!(request_headers(&from, Some(&key)), headers(&expected));
        assert_eq!(request_headers(&from, None), headers(&expected[1..]));
        assert_eq!(end_to_end(&headers(&[("te", "trailers"), ("request-id", "1")]), &[]).len(), 1);
    }

    #[test]
    fn a_guarded_path_needs_its_guard() {
        let cases = [
            ("/abc/v1/messages", Ok("/v1/messages")),
            ("/abc", Ok("")),
            ("/v1/messages", Err(Refusal::Stranger)),
            ("/abcd/v1/messages", Err(Refusal::Stranger)),
            ("/ab/v1/messages", Err(Refusal::Stranger)),
            ("/", Err(Refusal::Stranger)),
        ];
        for (path, expected) in cases {
            assert_eq!(guarded_path(path, Some("abc")), expected, "{path}");
        }
        assert_eq!(guarded_path("/v1/models", None), Ok("/v1/models"));
    }
}
