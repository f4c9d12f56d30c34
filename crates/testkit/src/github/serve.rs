//! The way of one request: written down, perhaps struck by a fault, authenticated, charged, answered, made
//! conditional, given its headers.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use backlog::time::Timestamp;
use bytes::Bytes;
use http::{HeaderMap, Request as HttpRequest, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming as IncomingBody};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::call::{Answer, Call, Payload};
use super::faults::Effect;
use super::hub::{Dropped, Hub, lock};
use super::latency::Waiting;
use super::referee::{Kind, Request, Ticket, Verdict, marker};
use super::routes::{self, Handler, RATE_LIMIT, Route};
use super::{apps, bare, credentials, graphql, smart_http};

/// The largest body the server reads; a push is the largest there is.
const LARGEST_BODY: usize = 256 << 20;

/// How many seconds a client must wait after a secondary limit that does not say it.
const UNSAID_WAIT: Duration = Duration::from_secs(60);

pub(super) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// A request, read whole.
pub(super) struct Arrived {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) headers: HeaderMap,
    pub(super) bytes: Bytes,
}

impl Arrived {
    /// A header as text; empty when absent or not text.
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// One request in the referee's book; leaves it when dropped, so that a client that goes away is noticed.
struct Visit {
    hub: Arc<Hub>,
    ticket: Ticket,
    verdict: Verdict,
    waiting: Waiting,
}

impl Visit {
    /// Lets the client wait, and writes it down.
    async fn wait(&mut self, time: Duration) {
        self.verdict.waited += time;
        self.waiting.sleep(time).await;
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.hub.referee().leave(&self.ticket, self.hub.clock.now(), &self.verdict);
    }
}

/// Answers one request of the API's host.
pub(super) async fn serve(hub: Arc<Hub>, request: HttpRequest<IncomingBody>) -> Result<Response<Body>, Dropped> {
    let waiting = hub.waiting();
    let (parts, body) = request.into_parts();
    let bytes = Limited::new(body, LARGEST_BODY).collect().await.map_err(|_| Dropped)?.to_bytes();
    let arrived = Arrived {
        method: parts.method.to_string(),
        path: present_path(&hub, parts.uri.path()),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers,
        bytes,
    };
    let found = routes::find(&arrived.method, &arrived.path);
    let actor = credentials::actor(&hub, &arrived);
    let route = found.as_ref().map_or("(no such route)", |(route, _)| route.template);
    let kind = match found.as_ref().map(|(route, _)| route.kind) {
        Some(Kind::Query) => graphql::kind(&arrived.bytes),
        Some(kind) => kind,
        None => Kind::Read,
    };
    let sent = parts.uri.path_and_query().map_or_else(String::new, ToString::to_string);
    if let Some(careless) = found.as_ref().and_then(|(route, _)| careless(route, kind, &arrived.bytes)) {
        hub.referee().object(careless);
    }
    let ticket = hub.referee().arrive(Request {
        arrival: 0,
        method: arrived.method.clone(),
        route,
        path: sent,
        actor: actor.name().to_owned(),
        identity: actor.identity().to_owned(),
        at: hub.clock.now(),
        conditional: ["if-none-match", "if-modified-since"].iter().any(|name| arrived.headers.contains_key(*name)),
        kind,
        status: None,
        executed: false,
        took: Duration::ZERO,
        marker: kind.is_content().then(|| marker_of(&arrived.bytes)).flatten(),
    });
    let effect = hub.faults().take(ticket.arrival, &arrived.method, route);
    let mut visit = Visit { hub: hub.clone(), ticket, verdict: Verdict::default(), waiting };
    let latency = hub.latencies().of(&arrived.method, route);
    let job = Job { hub: &hub, arrived: &arrived, found, kind, actor: &actor };
    let (effect, delay) = effect.map_or((None, Duration::ZERO), |(effect, delay)| (Some(effect), delay));
    visit.wait(latency + delay).await;
    suffer(job, effect, &mut visit).await
}

/// `/repositories/{id}/…` is another name for `/repos/{owner}/{repo}/…`.
fn present_path(hub: &Hub, path: &str) -> String {
    let by_id = |path: &str| {
        let (id, rest) = path.strip_prefix("/repositories/")?.split_once('/').map_or_else(
            || Some((path.strip_prefix("/repositories/")?, String::new())),
            |(id, rest)| Some((id, format!("/{rest}"))),
        )?;
        let id: u64 = id.parse().ok()?;
        let world = hub.world();
        let repo = world.repos.iter().find(|repo| repo.id == id)?;
        Some(format!("/repos/{}{rest}", repo.full_name()))
    };
    by_id(path).unwrap_or_else(|| path.to_owned())
}

fn marker_of(bytes: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(bytes).ok()?;
    let text = body.get("body").or_else(|| body.pointer("/variables/input/body"));
    marker(text?.as_str()?)
}

/// What is wrong with a write by itself: a merge that does not say which head it means, several mutations at once.
fn careless(route: &Route, kind: Kind, bytes: &[u8]) -> Option<String> {
    if kind.is_graphql() {
        return graphql::careless(bytes);
    }
    let merge = route.method == "PUT" && route.template.ends_with("/merge");
    let body: Value = serde_json::from_slice(bytes).unwrap_or_default();
    (merge && body["sha"].as_str().is_none()).then(|| "a merge did not say which head it means".to_owned())
}

/// What is needed to execute a request.
struct Job<'a> {
    hub: &'a Arc<Hub>,
    arrived: &'a Arrived,
    found: Option<(&'static Route, Vec<(&'static str, String)>)>,
    kind: Kind,
    actor: &'a credentials::Actor,
}

/// Executes a request, or what the fault makes of it, and sends the answer.
async fn suffer(job: Job<'_>, effect: Option<Effect>, visit: &mut Visit) -> Result<Response<Body>, Dropped> {
    let hub = Arc::clone(job.hub);
    let Some(effect) = effect else {
        let answer = job.execute(visit, Duration::ZERO).await;
        return Ok(job.send(answer, true, visit));
    };
    if let Some(answer) = job.instead(&effect, visit) {
        return Ok(job.send(answer, true, visit));
    }
    match effect {
        Effect::Drop => return Err(Dropped),
        Effect::EndlessBody { chunk, every } => {
            visit.verdict.status = Some(200);
            return Ok(endless(chunk, every, hub.waiting()));
        }
        _ => {}
    }
    let hidden = if let Effect::HideNew(hidden) = effect { hidden } else { Duration::ZERO };
    let mut answer = job.execute(visit, hidden).await;
    let mut with_rate = true;
    match effect {
        Effect::ExecuteThenStatus(status) => answer = Answer::error(status, "Server Error"),
        Effect::ExecuteThenDrop => return Err(Dropped),
        Effect::ExecuteThenHang => {
            visit.waiting.hang().await;
            return Err(Dropped);
        }
        Effect::ExecuteThenWait(wait) => visit.wait(wait).await,
        Effect::Body(content_type, text) => {
            answer.payload = Payload::Raw(content_type.to_owned(), Bytes::from_static(text.as_bytes()));
        }
        Effect::PartialData(kept) => {
            if let Payload::Json(body) = &mut answer.payload {
                graphql::cut(&job.arrived.bytes, body, kept);
            }
        }
        Effect::WithoutRateHeaders => with_rate = false,
        Effect::Headers(extra) => answer.headers.extend(extra),
        Effect::Half => {
            let bytes = bytes_of(&answer.payload);
            answer.payload = Payload::Raw(content_type_of(&answer.payload), bytes.slice(..bytes.len() / 2));
        }
        Effect::LinkElsewhere => {
            for (_, value) in answer.headers.iter_mut().filter(|(name, _)| name == "link") {
                *value = value.replace(&hub.base, &hub.elsewhere);
            }
        }
        Effect::Field(pointer, value) => {
            if let Payload::Json(body) = &mut answer.payload
                && let Some(place) = body.pointer_mut(&pointer)
            {
                *place = value;
            }
        }
        Effect::Drip(every) => {
            let (parts, body) = job.send(answer, true, visit).into_parts();
            let bytes = body.collect().await.map_or_else(|never| match never {}, |body| body.to_bytes());
            return Ok(Response::from_parts(parts, drip(bytes, every, hub.waiting())));
        }
        _ => {}
    }
    Ok(job.send(answer, with_rate, visit))
}

impl Job<'_> {
    /// What some faults answer without executing anything.
    fn instead(&self, effect: &Effect, visit: &mut Visit) -> Option<Answer> {
        let (hub, now) = (self.hub, self.hub.clock.now());
        Some(match effect {
            Effect::Answer { status, body, headers } => {
                let payload = Payload::Raw("application/json; charset=utf-8".to_owned(), body.clone().into());
                Answer { status: *status, payload, headers: headers.clone(), last_modified: None }
            }
            Effect::RetryAfter { status, wait, as_date } => {
                let value = if *as_date { http_date(now.plus(*wait)) } else { wait.as_secs().to_string() };
                visit.verdict.silence = Some(*wait);
                Answer::error(*status, "You have exceeded a secondary rate limit.").with("retry-after", value)
            }
            Effect::Exhausted { status, wait } => {
                hub.limits().exhaust(self.actor.name(), self.kind.resource(), now, *wait);
                match self.kind.is_graphql() {
                    true => Answer::ok(graphql::rate_limited(self.actor.name())),
                    false => Answer::error(*status, "API rate limit exceeded"),
                }
            }
            Effect::TooQuickly => Answer::ok(graphql::too_quickly(&self.arrived.bytes)),
            Effect::RedirectElsewhere => Answer::empty(302).with("location", format!("{}/elsewhere", hub.elsewhere)),
            _ => return None,
        })
    }
}

impl Job<'_> {
    /// Authenticates, charges and answers.
    async fn execute(&self, visit: &mut Visit, hide: Duration) -> Answer {
        let now = self.hub.clock.now();
        let answer = match self.found.as_ref() {
            Some((route, params)) if matches!(route.handler, Handler::Git) => {
                smart_http::serve(self.hub, self.arrived, self.actor, params).await
            }
            _ => match self.admit(now) {
                Err(refusal) => refusal,
                Ok(()) => {
                    let answer = self.dispatch(now, hide).await;
                    self.conditional(answer, now)
                }
            },
        };
        if self.kind.is_graphql() && answer.status == 502 && visit.waiting.is_virtual() {
            visit.wait(graphql::GIVING_UP).await;
        }
        let refused = matches!(&answer.payload, Payload::Json(body) if body.get("errors").is_some());
        visit.verdict.executed = answer.status < 400 && !refused;
        answer
    }

    /// Everything that may refuse a request before its route is asked.
    fn admit(&self, now: Timestamp) -> Result<(), Answer> {
        let actor = self.actor.name();
        if self.arrived.header("user-agent").is_empty() {
            let text =
                "Request forbidden by administrative rules. Please make sure your request has a User-Agent header.";
            return Err(Answer::error(403, text));
        }
        if matches!(self.actor, credentials::Actor::Unknown) {
            return Err(Answer::error(401, "Bad credentials"));
        }
        if let credentials::Actor::Refused(answer) = self.actor {
            return Err(answer.clone());
        }
        if let Some((route, params)) = &self.found {
            apps::admit(&self.hub.world(), self.actor, &self.arrived.method, route.template, params)?;
        }
        let free = self.found.as_ref().is_some_and(|(route, _)| std::ptr::eq(*route, &raw const RATE_LIMIT));
        // A document is charged once its cost is known.
        let charged = free || self.kind.is_graphql();
        if !charged && self.hub.limits().charge(actor, self.kind.resource(), 1, now).is_err() {
            return Err(Answer::error(403, &format!("API rate limit exceeded for user {actor}.")));
        }
        if self.kind == Kind::ContentMutation && self.hub.referee().content_exceeded(self.actor.identity(), now) {
            return Err(Answer::ok(graphql::too_quickly(&self.arrived.bytes)));
        }
        if self.kind.is_content() && self.hub.referee().content_exceeded(self.actor.identity(), now) {
            let text = "You have exceeded a secondary rate limit and have been temporarily blocked from content creation. \
                        Please retry your request again later.";
            return Err(Answer::error(403, text));
        }
        Ok(())
    }

    /// Asks the route.
    async fn dispatch(&self, now: Timestamp, hide: Duration) -> Answer {
        let Some((route, params)) = &self.found else {
            return Answer::not_found();
        };
        let body = match self.arrived.bytes.is_empty() {
            true => Value::Null,
            false => match serde_json::from_slice(&self.arrived.bytes) {
                Ok(body) => body,
                Err(_) => return Answer::error(400, "Problems parsing JSON"),
            },
        };
        if std::ptr::eq(*route, &raw const RATE_LIMIT) {
            return self.rate_limit(now);
        }
        let query = url::form_urlencoded::parse(self.arrived.query.as_bytes()).into_owned().collect();
        let call = Call {
            method: self.arrived.method.clone(),
            path: self.arrived.path.clone(),
            query,
            headers: self.arrived.headers.clone(),
            body,
            params: params.clone(),
            actor: self.actor.login().map(str::to_owned),
            account: self.actor.name().to_owned(),
            app: if let credentials::Actor::App(id) = self.actor { Some(*id) } else { None },
            grant: if let credentials::Actor::Installation(grant) = self.actor {
                Some((**grant).clone())
            } else {
                None
            },
            now,
            base: self.hub.base.clone(),
            elsewhere: self.hub.elsewhere.clone(),
            hide,
        };
        let reply = match route.handler {
            Handler::Now(handler) => handler(&call, &mut self.hub.world()),
            Handler::Later(handler) => handler(Arc::new(call), self.hub.clone()).await,
            Handler::Git => Err(Answer::not_found()),
        };
        reply.unwrap_or_else(|early| early)
    }

    fn rate_limit(&self, now: Timestamp) -> Answer {
        let mut limits = self.hub.limits();
        let mut resources = serde_json::Map::new();
        for resource in ["core", "search", "code_search", "graphql"] {
            resources.insert(resource.to_owned(), limits.look(self.actor.name(), resource, now).json(resource));
        }
        Answer::ok(serde_json::json!({"rate": resources["core"], "resources": resources}))
    }

    /// Adds the validators, and turns the answer into a 304 when the client has it already.
    fn conditional(&self, mut answer: Answer, now: Timestamp) -> Answer {
        let arrived = self.arrived;
        if !matches!(arrived.method.as_str(), "GET" | "HEAD") || answer.status != 200 {
            return answer;
        }
        let given = answer.headers.iter().find(|(name, _)| name == "etag").map(|(_, value)| value.clone());
        let etag = given.unwrap_or_else(|| {
            let etag = format!("W/\"{}\"", self.fingerprint(&answer.payload));
            answer.headers.push(("etag".to_owned(), etag.clone()));
            etag
        });
        if let Some(at) = answer.last_modified {
            answer.headers.push(("last-modified".to_owned(), http_date(at)));
        }
        let asked = arrived.header("if-none-match");
        let same = if asked.is_empty() {
            let since = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(arrived.header("if-modified-since"));
            let changed = answer.last_modified.map(|at| at.0 / 1000);
            since.ok().zip(changed).is_some_and(|(since, changed)| changed <= since.as_second())
        } else {
            let strong = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
            asked.split(',').any(|tag| strong(tag) == strong(&etag))
        };
        if same {
            if self.actor.login().is_some() {
                self.hub.limits().refund(self.actor.name(), self.kind.resource(), now);
            }
            answer.status = 304;
            answer.payload = Payload::Empty;
        }
        answer
    }

    /// The entity tag as GitHub seems to compute it: over `Accept`, `Authorization`, `Cookie` and the body.
    fn fingerprint(&self, payload: &Payload) -> String {
        let mut hash = Sha256::new();
        for name in ["accept", "authorization", "cookie"] {
            for value in self.arrived.headers.get_all(name) {
                hash.update(value.as_bytes());
                hash.update(b":");
            }
        }
        hash.update(lock(&self.hub.etag_salt).as_bytes());
        hash.update(bytes_of(payload));
        hex::encode(hash.finalize())
    }

    /// Adds the headers that every answer has, and tells the referee what was said.
    fn send(&self, answer: Answer, with_rate: bool, visit: &mut Visit) -> Response<Body> {
        let (hub, now) = (self.hub, self.hub.clock.now());
        let mut response = Response::builder()
            .status(StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR))
            .header("date", http_date(hub.world().apps.time(now)))
            .header("server", "github.com")
            .header("x-github-request-id", format!("FAKE:{:04X}", visit.ticket.arrival));
        visit.verdict.status = Some(answer.status);
        if self.kind != Kind::Git {
            let resource = self.kind.resource();
            let bucket = hub.limits().look(self.actor.name(), resource, now);
            if with_rate {
                response = response
                    .header("x-ratelimit-limit", bucket.limit)
                    .header("x-ratelimit-remaining", bucket.remaining())
                    .header("x-ratelimit-used", bucket.used)
                    .header("x-ratelimit-reset", bucket.reset_seconds())
                    .header("x-ratelimit-resource", resource);
                visit.verdict.empty_until = (bucket.remaining() == 0).then_some(bucket.reset);
            }
            response = response
                .header("x-github-media-type", "github.v3; format=json")
                .header(
                    "vary",
                    "Accept, Authorization, Cookie, X-GitHub-OTP, Accept-Encoding, Accept, X-Requested-With",
                )
                .header("cache-control", "private, max-age=60, s-maxage=60");
        }
        for (name, value) in &answer.headers {
            response = response.header(name, value);
            if name.eq_ignore_ascii_case("retry-after")
                && matches!(answer.status, 403 | 429)
                && visit.verdict.silence.is_none()
            {
                visit.verdict.silence = value.parse().ok().map(Duration::from_secs);
            }
        }
        let bytes = bytes_of(&answer.payload);
        let said = String::from_utf8_lossy(&bytes);
        let blocked = said.contains("blocked from content creation") || said.contains("was submitted too quickly");
        if blocked && (answer.status == 403 || self.kind.is_graphql()) {
            visit.verdict.no_content = Some(UNSAID_WAIT);
        }
        let limited =
            (matches!(answer.status, 403 | 429) || self.kind.is_graphql()) && said.contains("secondary rate limit");
        if limited && visit.verdict.silence.is_none() {
            visit.verdict.silence = Some(UNSAID_WAIT);
        }
        match &answer.payload {
            Payload::Empty => {}
            Payload::Json(_) => response = response.header("content-type", "application/json; charset=utf-8"),
            Payload::Raw(content_type, _) => response = response.header("content-type", content_type),
        }
        let body = if self.arrived.method == "HEAD" { Bytes::new() } else { bytes };
        response.body(Full::new(body).boxed_unsync()).unwrap_or_else(|_| Response::new(Full::default().boxed_unsync()))
    }
}

fn content_type_of(payload: &Payload) -> String {
    match payload {
        Payload::Raw(content_type, _) => content_type.clone(),
        Payload::Json(_) | Payload::Empty => "application/json; charset=utf-8".to_owned(),
    }
}

fn bytes_of(payload: &Payload) -> Bytes {
    match payload {
        Payload::Empty => Bytes::new(),
        Payload::Json(value) => value.to_string().into(),
        Payload::Raw(_, bytes) => bytes.clone(),
    }
}

/// A body that comes one byte at a time.
fn drip(bytes: Bytes, every: Duration, waiting: Waiting) -> Body {
    let stream = futures::stream::unfold((bytes, waiting), move |(mut bytes, waiting)| async move {
        if bytes.is_empty() {
            return None;
        }
        waiting.sleep(every).await;
        let first = bytes.split_to(1);
        Some((Ok(Frame::data(first)), (bytes, waiting)))
    });
    StreamBody::new(stream).boxed_unsync()
}

/// A body that goes on for as long as somebody listens.
fn endless(chunk: usize, every: Duration, waiting: Waiting) -> Response<Body> {
    let piece = Bytes::from(vec![b' '; chunk]);
    let stream = futures::stream::unfold((piece, waiting), move |(piece, waiting)| async move {
        waiting.sleep(every).await;
        Some((Ok(Frame::data(piece.clone())), (piece, waiting)))
    });
    let mut response = Response::new(StreamBody::new(stream).boxed_unsync());
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json; charset=utf-8"));
    response
}

/// Answers on the other host: logs of jobs, archives, and a note to the referee about credentials that should not be
/// here.
pub(super) async fn serve_elsewhere(
    hub: Arc<Hub>,
    request: HttpRequest<IncomingBody>,
) -> Result<Response<Body>, Dropped> {
    let path = request.uri().path();
    if request.headers().contains_key("authorization") {
        hub.referee().object(format!("credentials were sent to another host: {path}"));
    }
    hub.elsewhere_count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    let latency = hub.latencies().of("GET", "(elsewhere)");
    hub.waiting().sleep(latency).await;
    let (content_type, found) = match path.strip_prefix("/archive/").and_then(|rest| rest.split_once('/')) {
        Some((id, commit)) => {
            let (dir, folder) = (hub.root.join(format!("{id}.git")), format!("archive-{commit:.7}"));
            ("application/x-gzip", bare::archive(&dir, &folder, commit).await.ok())
        }
        None => {
            let job: Option<u64> = path.strip_prefix("/logs/").and_then(|id| id.parse().ok());
            let world = hub.world();
            let mut runs = world.repos.iter().flat_map(|repo| &repo.check_runs);
            let run = runs.find(|run| Some(run.id) == job);
            ("text/plain; charset=utf-8", run.map(|run| run.log.clone().into_bytes()))
        }
    };
    let gone = found.is_none();
    let mut response = Response::new(Full::new(Bytes::from(found.unwrap_or_default())).boxed_unsync());
    response.headers_mut().insert("content-type", http::HeaderValue::from_static(content_type));
    if gone {
        *response.status_mut() = StatusCode::NOT_FOUND;
    }
    Ok(response)
}

/// A time as HTTP writes it.
pub(super) fn http_date(at: Timestamp) -> String {
    let at = jiff::Timestamp::from_millisecond(at.0).unwrap_or_default();
    jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&at).unwrap_or_default()
}
