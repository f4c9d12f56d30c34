//! What may go wrong on purpose: which request is hit, and what happens to it.

use std::time::Duration;

/// A fault: what happens ([`Effect`]), to which requests, and how often. Made by its constructors and narrowed by
/// [`Fault::on`], [`Fault::nth`], [`Fault::times`] and [`Fault::forever`]. Unless told otherwise it hits the next
/// request once.
#[derive(Clone, Debug)]
pub struct Fault {
    pub(super) effect: Effect,
    route: String,
    arrival: Option<u64>,
    skip: u64,
    left: u64,
    delay: Duration,
    chance: Option<Chance>,
}

/// A throw of dice for every matching request, the same in every run.
#[derive(Clone, Debug)]
struct Chance {
    percent: u64,
    state: u64,
}

impl Chance {
    fn throw(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }

    /// A failure of the server, or nothing. Half of the failures come after the deed.
    fn failure(&mut self) -> Option<Effect> {
        if self.throw() % 100 >= self.percent {
            return None;
        }
        let status = [500, 502, 503][usize::try_from(self.throw() % 3).unwrap_or(0)];
        let done = self.throw().is_multiple_of(2);
        let body = r#"{"message":"Server Error"}"#.to_owned();
        Some(if done {
            Effect::ExecuteThenStatus(status)
        } else {
            Effect::Answer { status, body, headers: Vec::new() }
        })
    }
}

/// What a fault does.
#[derive(Clone, Debug)]
pub(super) enum Effect {
    /// This answer instead; nothing is executed.
    Answer { status: u16, body: String, headers: Vec<(String, String)> },
    /// 403 or 429 with `retry-after`.
    RetryAfter { status: u16, wait: Duration, as_date: bool },
    /// The bucket of the caller is empty until then.
    Exhausted { status: u16, wait: Duration },
    /// Executed, then this status instead of the answer.
    ExecuteThenStatus(u16),
    /// Executed, then the connection is closed without an answer.
    ExecuteThenDrop,
    /// Executed, then silence until the client gives up.
    ExecuteThenHang,
    /// Executed and answered, but late; real time.
    ExecuteThenWait(Duration),
    /// Not executed; the connection is closed without an answer.
    Drop,
    /// Executed; what it makes stays out of lists for this long on the virtual clock.
    HideNew(Duration),
    /// Executed; the body is not what it says.
    Body(&'static str, &'static str),
    /// Executed; no `x-ratelimit-*` in the answer.
    WithoutRateHeaders,
    /// Executed; these headers are added.
    Headers(Vec<(String, String)>),
    /// Not executed; 302 to another host that records what arrives there.
    RedirectElsewhere,
    /// Executed; the body comes one byte at a time.
    Drip(Duration),
    /// Executed; only the first half of the body comes.
    Half,
    /// Executed; the links of the paging lead to another host.
    LinkElsewhere,
    /// Executed; one value of the JSON is another.
    Field(String, serde_json::Value),
    /// GraphQL: executed; only the first so many fields at the top have data.
    PartialData(usize),
    /// GraphQL: not executed; the mutation came too fast.
    TooQuickly,
    /// Status 200 and a body that goes on until the client gives up.
    EndlessBody { chunk: usize, every: Duration },
}

const SECONDARY: &str = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.";
const CONTENT: &str = "You have exceeded a secondary rate limit and have been temporarily blocked from content creation. Please retry your request again later.";

impl Fault {
    fn new(effect: Effect) -> Self {
        Self { effect, route: String::new(), arrival: None, skip: 0, left: 1, delay: Duration::ZERO, chance: None }
    }

    /// A status with GitHub's error shape and this message; nothing is executed.
    #[must_use]
    pub fn status(status: u16, message: &str) -> Self {
        let body = serde_json::json!({"message": message, "documentation_url": "https://docs.github.com/rest"});
        Self::answer(status, &body.to_string())
    }

    /// A status with exactly this body; nothing is executed.
    #[must_use]
    pub fn answer(status: u16, body: &str) -> Self {
        Self::new(Effect::Answer { status, body: body.to_owned(), headers: Vec::new() })
    }

    /// Adds a header to a [`Fault::status`] or [`Fault::answer`], or to the real answer for any other fault made by
    /// [`Fault::headers`].
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        if let Effect::Answer { headers, .. } | Effect::Headers(headers) = &mut self.effect {
            headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    /// 502 from the load balancer; nothing is executed.
    #[must_use]
    pub fn bad_gateway() -> Self {
        Self::status(502, "Server Error")
    }

    /// `status` (403 or 429) with `retry-after` in whole seconds.
    #[must_use]
    pub fn retry_after(status: u16, wait: Duration) -> Self {
        Self::new(Effect::RetryAfter { status, wait, as_date: false })
    }

    /// As [`Fault::retry_after`], with an HTTP date.
    #[must_use]
    pub fn retry_after_date(status: u16, wait: Duration) -> Self {
        Self::new(Effect::RetryAfter { status, wait, as_date: true })
    }

    /// The secondary limit as it often arrives: a 403 that only its text tells from a refusal.
    #[must_use]
    pub fn secondary_limit() -> Self {
        Self::status(403, SECONDARY)
    }

    /// The secondary limit on creating things, told only by its text.
    #[must_use]
    pub fn content_blocked() -> Self {
        Self::status(403, CONTENT)
    }

    /// The caller's primary limit is used up until `wait` from now; answered with `status` (403 or 429).
    #[must_use]
    pub fn exhausted(status: u16, wait: Duration) -> Self {
        Self::new(Effect::Exhausted { status, wait })
    }

    /// A refusal that no waiting cures.
    #[must_use]
    pub fn denied() -> Self {
        Self::status(403, "Resource not accessible by integration")
            .with_header("x-accepted-github-permissions", "issues=write")
    }

    /// The merge race that is worth another try.
    #[must_use]
    pub fn base_modified() -> Self {
        Self::status(405, "Base branch was modified. Review and try the merge again.").on("PUT /merge")
    }

    /// Executed, then `status` (such as 502 or 504) instead of the answer.
    #[must_use]
    pub fn execute_then_status(status: u16) -> Self {
        Self::new(Effect::ExecuteThenStatus(status))
    }

    /// Executed, then the connection is closed without an answer.
    #[must_use]
    pub fn execute_then_drop() -> Self {
        Self::new(Effect::ExecuteThenDrop)
    }

    /// Executed, then silence until the client gives up.
    #[must_use]
    pub fn execute_then_hang() -> Self {
        Self::new(Effect::ExecuteThenHang)
    }

    /// Executed and answered after this much real time.
    #[must_use]
    pub fn slow(wait: Duration) -> Self {
        Self::new(Effect::ExecuteThenWait(wait))
    }

    /// The connection is closed without an answer; nothing is executed.
    #[must_use]
    pub fn drop_connection() -> Self {
        Self::new(Effect::Drop)
    }

    /// What the request makes stays out of lists for `hidden` on the virtual clock.
    #[must_use]
    pub fn hide_new(hidden: Duration) -> Self {
        Self::new(Effect::HideNew(hidden))
    }

    /// Executed; the body says JSON and is not.
    #[must_use]
    pub fn invalid_json() -> Self {
        Self::new(Effect::Body("application/json; charset=utf-8", "{\"id\": 1, \"title\": \"cut o"))
    }

    /// Executed; the body is a page for people.
    #[must_use]
    pub fn html() -> Self {
        Self::new(Effect::Body("text/html", "<!DOCTYPE html><html><body><h1>Unicorn!</h1></body></html>"))
    }

    /// Executed; the body is empty.
    #[must_use]
    pub fn empty_body() -> Self {
        Self::new(Effect::Body("application/json; charset=utf-8", ""))
    }

    /// Executed; the answer has no `x-ratelimit-*` headers, as on some enterprise servers.
    #[must_use]
    pub fn without_rate_headers() -> Self {
        Self::new(Effect::WithoutRateHeaders)
    }

    /// Executed; the answer carries an extra header. More with [`Fault::with_header`].
    #[must_use]
    pub fn headers(name: &str, value: &str) -> Self {
        Self::new(Effect::Headers(vec![(name.to_owned(), value.to_owned())]))
    }

    /// A 304 although the client may know nothing or something else.
    #[must_use]
    pub fn stuck_not_modified() -> Self {
        Self::answer(304, "")
    }

    /// 302 to another host; the referee reports credentials that arrive there.
    #[must_use]
    pub fn redirect_elsewhere() -> Self {
        Self::new(Effect::RedirectElsewhere)
    }

    /// Executed; the body comes one byte at a time, so often.
    #[must_use]
    pub fn dripping_body(every: Duration) -> Self {
        Self::new(Effect::Drip(every))
    }

    /// Executed; the body ends in the middle, as a pack does when the connection breaks.
    #[must_use]
    pub fn half_a_body() -> Self {
        Self::new(Effect::Half)
    }

    /// Executed; the next pages are said to be on another host.
    #[must_use]
    pub fn link_elsewhere() -> Self {
        Self::new(Effect::LinkElsewhere)
    }

    /// Executed; the value at a JSON pointer of the answer is another one, such as a state that nobody knows.
    #[must_use]
    pub fn field(pointer: &str, value: serde_json::Value) -> Self {
        Self::new(Effect::Field(pointer.to_owned(), value))
    }

    /// The shapes in which GitHub tells what is wrong with a request: a list of objects, an object, a text, a list of
    /// texts; nothing is executed.
    #[must_use]
    pub fn unprocessable() -> [Self; 4] {
        let errors = [
            r#"[{"resource":"Issue","field":"title","code":"invalid"}]"#,
            r#"{"title":"is invalid"}"#,
            r#""title is invalid""#,
            r#"["title is invalid"]"#,
        ];
        errors.map(|errors| Self::answer(422, &format!(r#"{{"message":"Validation Failed","errors":{errors}}}"#)))
    }

    /// 500, 502 or 503 for so many of a hundred requests from now on, half of them after the deed; the same ones for the
    /// same seed.
    #[must_use]
    pub fn at_random(percent: u64, seed: u64) -> Self {
        let chance = Some(Chance { percent, state: seed | 1 });
        Self { chance, ..Self::bad_gateway().forever() }
    }

    /// Waits so long before anything happens.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// A GraphQL document that used up what GitHub gives to one: only its first `kept` fields at the top have data.
    #[must_use]
    pub fn partial_data(kept: usize) -> Self {
        Self::new(Effect::PartialData(kept)).on("POST /graphql")
    }

    /// The limit on creating things as GraphQL says it: 200 and "was submitted too quickly".
    #[must_use]
    pub fn submitted_too_quickly() -> Self {
        Self::new(Effect::TooQuickly).on("POST /graphql")
    }

    /// A body that never ends: `chunk` bytes every so often, in real time.
    #[must_use]
    pub fn endless_body(chunk: usize, every: Duration) -> Self {
        Self::new(Effect::EndlessBody { chunk, every })
    }

    /// Only requests of this route: an optional method, a space, and the end of the route's template, such as
    /// `POST /repos/{owner}/{repo}/issues`, `POST /issues` or just `GET`.
    #[must_use]
    pub fn on(mut self, route: &str) -> Self {
        route.clone_into(&mut self.route);
        self
    }

    /// Only the n-th matching request from now on, counted from 1.
    #[must_use]
    pub fn nth(mut self, n: u64) -> Self {
        self.skip = n.saturating_sub(1);
        self
    }

    /// So many matching requests in a row.
    #[must_use]
    pub fn times(mut self, n: u64) -> Self {
        self.left = n;
        self
    }

    /// Every matching request.
    #[must_use]
    pub fn forever(self) -> Self {
        self.times(u64::MAX)
    }

    /// Only the request with this number of arrival, counted from the start of the server.
    pub(super) fn at_arrival(mut self, n: u64) -> Self {
        self.arrival = Some(n);
        self
    }
}

/// Whether a route filter means this request. See [`Fault::on`].
pub(super) fn matches(filter: &str, method: &str, template: &str) -> bool {
    let (wanted, path) = match filter.split_once(' ') {
        Some((wanted, path)) => (wanted, path),
        None if filter.starts_with('/') => ("", filter),
        None => (filter, ""),
    };
    (wanted.is_empty() || wanted == method) && template.ends_with(path)
}

/// The faults that wait for their request.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<Fault>);

impl Faults {
    /// Adds a fault; earlier ones are asked first.
    pub(super) fn add(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    /// Removes all faults.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// The effect for this request and how long it waits before, used up by the call.
    pub(super) fn take(&mut self, arrival: u64, method: &str, template: &str) -> Option<(Effect, Duration)> {
        for fault in &mut self.0 {
            if !matches(&fault.route, method, template)
                || fault.arrival.is_some_and(|n| n != arrival)
                || fault.left == 0
            {
                continue;
            }
            if fault.skip > 0 {
                fault.skip -= 1;
                continue;
            }
            let effect = match &mut fault.chance {
                None => fault.effect.clone(),
                Some(chance) => match chance.failure() {
                    Some(effect) => effect,
                    None => continue,
                },
            };
            fault.left -= 1;
            return Some((effect, fault.delay));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_a_method_and_the_end_of_a_route() {
        let route = "/repos/{owner}/{repo}/issues";
        let table = [("", true), ("POST", true), ("GET", false), ("POST /issues", true), ("/issues", true)];
        for (filter, expected) in table {
            assert_eq!(matches(filter, "POST", route), expected, "{filter}");
        }
        assert!(!matches("POST /comments", "POST", route));
    }

    #[test]
    fn a_fault_waits_for_its_turn_and_ends() {
        let mut faults = Faults::default();
        faults.add(Fault::bad_gateway().on("GET").nth(2).times(2));
        faults.add(Fault::denied().at_arrival(6));
        let mut hits = Vec::new();
        for (n, method) in [(1, "GET"), (2, "POST"), (3, "GET"), (4, "GET"), (5, "GET"), (6, "POST")] {
            if faults.take(n, method, "/x").is_some() {
                hits.push(n);
            }
        }
        assert_eq!(hits, [3, 4, 6]);
    }
}
