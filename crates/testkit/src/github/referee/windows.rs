//! What is counted over sliding windows, for each actor and for each bot.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use backlog::time::Timestamp;

use super::Kind;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// The published limits: what is counted, in which window, and how much is allowed.
const POINTS: (&str, Duration, u64) = ("points in a minute", MINUTE, 900);
const GRAPHQL_POINTS: (&str, Duration, u64) = ("GraphQL points in a minute", MINUTE, 2_000);
const WORK: (&str, Duration, u64) = ("milliseconds of answers in a minute", MINUTE, 90_000);
const GRAPHQL_WORK: (&str, Duration, u64) = ("milliseconds of GraphQL answers in a minute", MINUTE, 60_000);
const SEARCHES: (&str, Duration, u64) = ("searches in a minute", MINUTE, 30);
const CODE_SEARCHES: (&str, Duration, u64) = ("code searches in a minute", MINUTE, 9);
const MINTS: (&str, Duration, u64) = ("new tokens in an hour", HOUR, 2_000);
const CONTENT_MINUTE: (&str, Duration, u64) = ("content-creating requests in a minute", MINUTE, 80);
const CONTENT_HOUR: (&str, Duration, u64) = ("content-creating requests in an hour", HOUR, 500);

/// What was counted, how much, and how much is allowed.
pub(super) type Excess = (&'static str, u64, u64);

/// A sum over the last so much time.
#[derive(Debug)]
struct Window {
    rule: (&'static str, Duration, u64),
    entries: VecDeque<(Timestamp, u64)>,
    sum: u64,
}

impl Window {
    fn new(rule: (&'static str, Duration, u64)) -> Self {
        Self { rule, entries: VecDeque::new(), sum: 0 }
    }

    /// Forgets what is older than the window.
    fn sum(&mut self, now: Timestamp) -> u64 {
        while let Some((at, weight)) = self.entries.front().copied()
            && now.since(at) >= self.rule.1
        {
            self.sum -= weight;
            self.entries.pop_front();
        }
        self.sum
    }

    /// Adds to the sum; says so when that is too much.
    fn add(&mut self, now: Timestamp, weight: u64) -> Option<Excess> {
        let before = self.sum(now);
        self.sum = before + weight;
        self.entries.push_back((now, weight));
        self.is_over().then_some((self.rule.0, self.sum, self.rule.2))
    }

    fn is_over(&self) -> bool {
        self.sum > self.rule.2
    }
}

/// A time of silence that was announced.
#[derive(Debug, Default)]
pub(super) struct Pause {
    pub(super) until: Timestamp,
    /// When it was announced for the first time.
    since: Timestamp,
    /// How many requests came all the same.
    pub(super) late: usize,
}

impl Pause {
    /// Makes it last until then at least.
    pub(super) fn prolong(&mut self, now: Timestamp, until: Timestamp) {
        if self.until <= now {
            *self = Self { until, since: now, late: 0 };
        }
        self.until = self.until.max(until);
    }

    /// Forgets it when it was announced `within` this time before `now`.
    pub(super) fn forget(&mut self, now: Timestamp, within: Duration) {
        if now.since(self.since) < within {
            self.until = Timestamp::default();
        }
    }
}

/// Everything that is counted for one actor.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) open: usize,
    pub(super) open_writes: usize,
    pub(super) last_write: Option<Timestamp>,
    /// How often it looked, ever.
    pub(super) looks: u64,
    pub(super) silent: Pause,
    /// By resource.
    pub(super) empty: BTreeMap<&'static str, Pause>,
    points: Window,
    graphql_points: Window,
    work: Window,
    graphql_work: Window,
    searches: Window,
    code_searches: Window,
    mints: Window,
}

impl Default for Account {
    fn default() -> Self {
        Self {
            open: 0,
            open_writes: 0,
            last_write: None,
            looks: 0,
            silent: Pause::default(),
            empty: BTreeMap::new(),
            points: Window::new(POINTS),
            graphql_points: Window::new(GRAPHQL_POINTS),
            work: Window::new(WORK),
            graphql_work: Window::new(GRAPHQL_WORK),
            searches: Window::new(SEARCHES),
            code_searches: Window::new(CODE_SEARCHES),
            mints: Window::new(MINTS),
        }
    }
}

impl Account {
    /// Counts an arrival; gives what is too much now.
    pub(super) fn arrive(&mut self, kind: Kind, at: Timestamp) -> Vec<Excess> {
        let points = if kind.is_graphql() { &mut self.graphql_points } else { &mut self.points };
        let counted = match kind {
            Kind::Search => self.searches.add(at, 1),
            Kind::CodeSearch => self.code_searches.add(at, 1),
            Kind::Mint => self.mints.add(at, 1),
            _ => None,
        };
        points.add(at, kind.points()).into_iter().chain(counted).collect()
    }

    /// Counts the work of a request that is over; gives what is too much now.
    pub(super) fn leave(&mut self, kind: Kind, now: Timestamp, took: Duration) -> Vec<Excess> {
        let work = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        if work == 0 {
            return Vec::new();
        }
        let graphql = if kind.is_graphql() { self.graphql_work.add(now, work) } else { None };
        self.work.add(now, work).into_iter().chain(graphql).collect()
    }
}

/// What is counted for everybody who acts as one bot.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) blocked: Pause,
    minute: Window,
    hour: Window,
}

impl Default for Identity {
    fn default() -> Self {
        Self { blocked: Pause::default(), minute: Window::new(CONTENT_MINUTE), hour: Window::new(CONTENT_HOUR) }
    }
}

impl Identity {
    /// Counts something made; gives what is too much now.
    pub(super) fn arrive(&mut self, at: Timestamp) -> Vec<Excess> {
        self.minute.add(at, 1).into_iter().chain(self.hour.add(at, 1)).collect()
    }

    /// Whether too much was made lately.
    pub(super) fn is_over(&mut self, now: Timestamp) -> bool {
        self.minute.sum(now);
        self.hour.sum(now);
        self.minute.is_over() || self.hour.is_over()
    }
}
