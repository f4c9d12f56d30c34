//! The referee: writes down every arrival and says which of GitHub's rules were broken.
//!
//! Limits over time are judged on the virtual clock. A request that arrives while a pause is in force is a violation,
//! except for as many late ones as the test tolerates ([`Referee::tolerate`]): requests that were on their way when the
//! pause was announced cannot be told from disobedience.

use std::collections::BTreeMap;
use std::time::Duration;

use backlog::time::Timestamp;

use super::faults;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// The published limits.
const CONCURRENT: usize = 100;
const POINTS_PER_MINUTE: u64 = 900;
const CONTENT_PER_MINUTE: u64 = 80;
const CONTENT_PER_HOUR: u64 = 500;

/// What a request is to the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Looks only: 1 point.
    Read,
    /// Changes something: 5 points.
    Write,
    /// Makes something that people are notified of: 5 points, and counts as content.
    Content,
    /// Reads through GraphQL: 1 point of its own pool.
    Query,
    /// Changes something through GraphQL: 5 points.
    Mutation,
    /// As [`Kind::Content`], through GraphQL.
    ContentMutation,
    /// Searches issues, repositories or users.
    Search,
    /// Searches code.
    CodeSearch,
    /// Git over HTTP: outside the API's limits.
    Git,
}

impl Kind {
    fn points(self) -> u64 {
        match self {
            Self::Read | Self::Query | Self::Search | Self::CodeSearch => 1,
            Self::Write | Self::Content | Self::Mutation | Self::ContentMutation => 5,
            Self::Git => 0,
        }
    }

    /// Whether people are notified of it.
    pub(super) fn is_content(self) -> bool {
        matches!(self, Self::Content | Self::ContentMutation)
    }

    /// Whether it goes through GraphQL.
    pub(super) fn is_graphql(self) -> bool {
        matches!(self, Self::Query | Self::Mutation | Self::ContentMutation)
    }

    /// The bucket of the primary limit that it is taken from.
    pub(super) fn resource(self) -> &'static str {
        match self {
            Self::Query | Self::Mutation | Self::ContentMutation => "graphql",
            Self::Search => "search",
            Self::CodeSearch => "code_search",
            Self::Read | Self::Write | Self::Content | Self::Git => "core",
        }
    }
}

/// One request as it arrived, and how it ended.
#[derive(Clone, Debug)]
pub struct Request {
    /// Number of arrival, from 1.
    pub arrival: u64,
    /// HTTP method.
    pub method: String,
    /// Template of the route, such as `/repos/{owner}/{repo}/issues`; the plain path when no route fits.
    pub route: &'static str,
    /// Path and query as sent.
    pub path: String,
    /// Login behind the token, `anonymous`, or `unknown` for a bad token.
    pub actor: String,
    /// Virtual time of arrival.
    pub at: Timestamp,
    /// Whether it asked "only if changed".
    pub conditional: bool,
    /// What it is to the limits.
    pub kind: Kind,
    /// Status that was sent; `None` while it runs or when no answer was sent.
    pub status: Option<u16>,
    /// Whether it really did its work, whatever was answered.
    pub executed: bool,
    pub(super) marker: Option<String>,
}

/// What the referee learns from an answer.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    pub(super) status: Option<u16>,
    pub(super) executed: bool,
    /// How long the answer told the caller to be silent.
    pub(super) silence: Option<Duration>,
    /// Until when the answer said that nothing is left.
    pub(super) empty_until: Option<Timestamp>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Referee {
    log: Vec<Request>,
    open: BTreeMap<String, usize>,
    silent: BTreeMap<String, (Timestamp, usize)>,
    empty: BTreeMap<String, (Timestamp, usize)>,
    tolerated: usize,
    broken: Vec<String>,
}

impl Referee {
    /// How many requests per pause may still arrive because they were on their way.
    pub(super) fn tolerate(&mut self, late: usize) {
        self.tolerated = late;
    }

    /// Writes down something that is wrong by itself.
    pub(super) fn object(&mut self, violation: String) {
        self.broken.push(violation);
    }

    /// A request arrives; gives its number.
    pub(super) fn arrive(&mut self, mut request: Request) -> u64 {
        request.arrival = self.log.len() as u64 + 1;
        let (arrival, actor) = (request.arrival, request.actor.clone());
        if request.kind != Kind::Git {
            let free = request.route == "/rate_limit";
            let name = format!("request {arrival} ({} {}) by {actor}", request.method, request.path);
            let pauses =
                [(&mut self.silent, "a pause was in force", false), (&mut self.empty, "the budget was used up", free)];
            for (pauses, why, exempt) in pauses {
                if let Some((until, late)) = pauses.get_mut(&actor)
                    && request.at < *until
                    && !exempt
                {
                    *late += 1;
                    if *late > self.tolerated {
                        self.broken.push(format!("{name} was sent at {} although {why} until {until}", request.at));
                    }
                }
            }
            let open = self.open.entry(actor.clone()).or_default();
            *open += 1;
            if *open > CONCURRENT {
                self.broken.push(format!("{actor} had {open} requests open at once, {CONCURRENT} are allowed"));
            }
        }
        self.log.push(request);
        arrival
    }

    /// The request with this number is over.
    pub(super) fn leave(&mut self, arrival: u64, now: Timestamp, verdict: &Verdict) {
        let Some(request) = self.log.get_mut(usize::try_from(arrival).unwrap_or(0).wrapping_sub(1)) else {
            return;
        };
        request.status = verdict.status;
        request.executed = verdict.executed;
        if request.kind == Kind::Git {
            return;
        }
        if let Some(open) = self.open.get_mut(&request.actor) {
            *open = open.saturating_sub(1);
        }
        let longer = |pauses: &mut BTreeMap<String, (Timestamp, usize)>, until: Timestamp| {
            let pause = pauses.entry(request.actor.clone()).or_insert((until, 0));
            if pause.0 <= now {
                *pause = (until, 0);
            }
            pause.0 = pause.0.max(until);
        };
        if let Some(wait) = verdict.silence {
            longer(&mut self.silent, now.plus(wait));
        }
        if let Some(until) = verdict.empty_until.filter(|until| *until > now) {
            longer(&mut self.empty, until);
        }
    }

    /// Whether an actor tried to make more content than GitHub lets it, counting the last arrival.
    pub(super) fn content_exceeded(&self, actor: &str, now: Timestamp) -> bool {
        let made_since = |window| {
            let recent = self.log.iter().rev().take_while(|request| now.since(request.at) < window);
            recent.filter(|request| request.actor == actor && request.kind.is_content()).count() as u64
        };
        made_since(MINUTE) > CONTENT_PER_MINUTE || made_since(HOUR) > CONTENT_PER_HOUR
    }

    /// All requests so far, in order of arrival.
    pub(super) fn log(&self) -> &[Request] {
        &self.log
    }

    /// Requests of one route (see [`super::Fault::on`]).
    pub(super) fn matching(&self, filter: &str) -> Vec<Request> {
        self.log.iter().filter(|r| faults::matches(filter, &r.method, r.route)).cloned().collect()
    }

    /// How many requests each route had.
    pub(super) fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for request in &self.log {
            *counts.entry(format!("{} {}", request.method, request.route)).or_default() += 1;
        }
        counts
    }

    /// Every rule that was broken so far, as sentences.
    pub(super) fn violations(&self) -> Vec<String> {
        let mut found = self.broken.clone();
        let mut actors: Vec<&str> = self.log.iter().map(|request| request.actor.as_str()).collect();
        actors.sort_unstable();
        actors.dedup();
        for actor in actors {
            let mine: Vec<&Request> = self.log.iter().filter(|request| request.actor == actor).collect();
            let content = |request: &Request| u64::from(request.kind.is_content());
            let rules: [Rule<'_>; 3] = [
                ("points in a minute", MINUTE, POINTS_PER_MINUTE, &|request| request.kind.points()),
                ("content-creating requests in a minute", MINUTE, CONTENT_PER_MINUTE, &content),
                ("content-creating requests in an hour", HOUR, CONTENT_PER_HOUR, &content),
            ];
            for (what, window, allowed, weight) in rules {
                let most = most_in_window(&mine, window, weight);
                if most > allowed {
                    found.push(format!("{actor} used {most} {what}, {allowed} are allowed"));
                }
            }
        }
        found.extend(self.blind_repeats());
        found
    }

    /// Creations with the same marker: two that were executed, or one sent again after an unknown outcome without a
    /// look in between.
    fn blind_repeats(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (at, request) in self.log.iter().enumerate() {
            let Some(marker) = &request.marker else { continue };
            let same = |other: &&Request| other.marker.as_ref() == Some(marker) && other.path == request.path;
            let earlier: Vec<&Request> = self.log[..at].iter().filter(same).collect();
            let (n, path) = (request.arrival, &request.path);
            if request.executed
                && let Some(first) = earlier.iter().find(|other| other.executed)
            {
                found.push(format!("requests {} and {n} both created {marker} at {path}", first.arrival));
            } else if let Some(last) = earlier.last()
                && last.status.is_none_or(|status| status >= 500)
            {
                let between = &self.log[usize::try_from(last.arrival).unwrap_or(0)..at];
                if !between.iter().any(|other| other.kind == Kind::Read && other.actor == request.actor) {
                    found
                        .push(format!("request {n} repeated the creation of {marker} at {path} without looking first"));
                }
            }
        }
        found
    }
}

/// What is counted, in which window, how much is allowed, and how much each request adds.
type Rule<'a> = (&'a str, Duration, u64, &'a dyn Fn(&Request) -> u64);

/// The largest sum of weights within any window of this length.
fn most_in_window(requests: &[&Request], window: Duration, weight: &dyn Fn(&Request) -> u64) -> u64 {
    let (mut most, mut sum, mut oldest) = (0, 0, 0);
    for request in requests {
        sum += weight(request);
        while request.at.since(requests[oldest].at) >= window {
            sum -= weight(requests[oldest]);
            oldest += 1;
        }
        most = most.max(sum);
    }
    most
}

/// The hidden marker in a body: its first HTML comment.
pub(super) fn marker(body: &str) -> Option<String> {
    let start = body.find("<!--")?;
    let end = body[start..].find("-->")?;
    Some(body[start..start + end + 3].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(at: i64, kind: Kind) -> Request {
        Request {
            arrival: 0,
            method: "POST".to_owned(),
            route: "/issues",
            path: "/issues".to_owned(),
            actor: "bot".to_owned(),
            at: Timestamp(at),
            conditional: false,
            kind,
            status: Some(201),
            executed: true,
            marker: None,
        }
    }

    fn judged(arrivals: impl IntoIterator<Item = (i64, Kind)>) -> Vec<String> {
        let mut referee = Referee::default();
        for (at, kind) in arrivals {
            let n = referee.arrive(request(at, kind));
            referee.leave(n, Timestamp(at), &Verdict { status: Some(200), ..Verdict::default() });
        }
        referee.violations()
    }

    #[test]
    fn published_limits_hold_over_sliding_windows() {
        assert!(judged((0..900).map(|n| (n, Kind::Read))).is_empty());
        assert_eq!(judged((0..901).map(|n| (n, Kind::Read))), ["bot used 901 points in a minute, 900 are allowed"]);
        assert!(judged((0..901).map(|n| (n * 67, Kind::Read))).is_empty(), "spread over more than a minute");
        assert_eq!(judged((0..181).map(|n| (n, Kind::Write))), ["bot used 905 points in a minute, 900 are allowed"]);
        let per_minute = "bot used 81 content-creating requests in a minute, 80 are allowed";
        assert_eq!(judged((0..81).map(|n| (n * 700, Kind::Content))), [per_minute]);
        let per_hour = "bot used 501 content-creating requests in an hour, 500 are allowed";
        assert_eq!(judged((0..501).map(|n| (n * 1000, Kind::Content))), [per_hour]);
    }

    #[test]
    fn more_than_a_hundred_open_requests_are_too_many() {
        let mut referee = Referee::default();
        for _ in 0..101 {
            referee.arrive(request(0, Kind::Read));
        }
        assert_eq!(referee.violations(), ["bot had 101 requests open at once, 100 are allowed"]);
    }

    #[test]
    fn tolerated_late_requests_are_forgiven_once_per_pause() {
        let mut referee = Referee::default();
        referee.tolerate(1);
        let first = referee.arrive(request(0, Kind::Read));
        let pause = Verdict { status: Some(429), silence: Some(MINUTE), ..Verdict::default() };
        referee.leave(first, Timestamp(0), &pause);
        referee.arrive(request(0, Kind::Read));
        assert!(referee.violations().is_empty());
        referee.arrive(request(59_999, Kind::Read));
        assert_eq!(referee.violations().len(), 1);
        referee.arrive(request(60_000, Kind::Read));
        assert_eq!(referee.violations().len(), 1, "the pause is over");
    }
}
