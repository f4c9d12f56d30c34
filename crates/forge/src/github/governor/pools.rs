//! What one process may use of what GitHub counts: buckets by resource, points, work time and concurrency.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use backlog::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::record::ramp;
use super::{Ask, Limits, MINUTE, Priority, RESOURCES, Resource};

/// An answer whose window ends this much later than the known one is of another window; less is rounding.
const SAME_WINDOW: Duration = Duration::from_secs(10);
/// How many clean answers add one to the concurrency (R18).
const CLEAN: u32 = 20;

/// Sums of the last minute: points and milliseconds of work, by REST and by GraphQL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Usage {
    pub(super) points: [u64; 2],
    pub(super) work: [u64; 2],
}

/// Amounts over the last minute.
#[derive(Debug, Default)]
pub(super) struct Window {
    entries: VecDeque<(Timestamp, u64)>,
    sum: u64,
}

impl Window {
    fn forget(&mut self, now: Timestamp) {
        while self.entries.front().is_some_and(|(at, _)| now.since(*at) >= MINUTE) {
            self.sum -= self.entries.pop_front().map_or(0, |(_, amount)| amount);
        }
    }

    pub(super) fn add(&mut self, now: Timestamp, amount: u64) {
        self.forget(now);
        if amount > 0 {
            self.entries.push_back((now, amount));
            self.sum += amount;
        }
    }

    pub(super) fn sum(&mut self, now: Timestamp) -> u64 {
        self.forget(now);
        self.sum
    }

    /// When `amount` more stays within `most`; `now` when it does already.
    fn room_at(&mut self, amount: u64, most: u64, now: Timestamp) -> Timestamp {
        self.forget(now);
        let (mut sum, amount) = (self.sum, amount.min(most));
        if sum + amount <= most {
            return now;
        }
        for (at, gone) in &self.entries {
            sum -= gone;
            if sum + amount <= most {
                return at.plus(MINUTE);
            }
        }
        now
    }
}

/// A resource, as the headers tell of it.
#[derive(Debug, Default)]
pub(super) struct Bucket {
    pub(super) limit: u64,
    pub(super) remaining: u64,
    pub(super) reset_at: Timestamp,
    pub(super) under_way: u64,
    last_start: Option<Timestamp>,
    tokens: f64,
    tokens_at: Timestamp,
    /// Somebody was sent away until the window ends: then all come at once (R15).
    ramp_since: Option<Timestamp>,
    pub(super) ramp_next: Timestamp,
}

impl Bucket {
    /// Takes over what an answer tells (R3).
    pub(super) fn observe(&mut self, limit: u64, remaining: u64, reset_at: Timestamp, refused: bool, now: Timestamp) {
        let next = reset_at > self.reset_at && (reset_at > self.reset_at.plus(SAME_WINDOW) || self.reset_at <= now);
        if next || (remaining == 0 && refused) {
            (self.limit, self.remaining, self.reset_at) = (limit, remaining, reset_at);
        } else if reset_at.plus(SAME_WINDOW) >= self.reset_at {
            self.remaining = self.remaining.min(remaining);
        }
    }

    /// What is left when those under way are back.
    fn left(&self) -> u64 {
        self.remaining.saturating_sub(self.under_way)
    }

    /// R4, R5: when a request of this priority may use it. A share of one in `members`.
    fn open_at(&mut self, priority: Priority, limits: &Limits, members: u64, now: Timestamp) -> Timestamp {
        if let Some(since) = self.ramp_since.filter(|since| *since <= now) {
            match ramp(since, now) {
                Some(_) => return self.ramp_next,
                None => self.ramp_since = None,
            }
        }
        if self.limit == 0 || self.reset_at <= now {
            self.tokens = f64::from(limits.burst);
            self.tokens_at = now;
            return now;
        }
        let floor = if priority == Priority::Urgent { 0 } else { self.limit * limits.background_floor / 100 };
        if self.left() <= floor {
            let reopens = self.reset_at.plus(Duration::from_secs(1));
            self.ramp_since = Some(reopens);
            return reopens;
        }
        if self.remaining * 100 >= self.limit * limits.spread_below {
            self.tokens = f64::from(limits.burst);
            self.tokens_at = now;
            return now;
        }
        let seconds = self.reset_at.since(now).as_secs_f64().max(1.0);
        let rate = (self.left() as f64 / seconds / members as f64).max(1e-6);
        let most = (f64::from(limits.burst) / members as f64).max(1.0);
        self.tokens = (self.tokens + rate * now.since(self.tokens_at).as_secs_f64()).min(most);
        self.tokens_at = now;
        if self.tokens >= 1.0 { now } else { now.plus(Duration::from_secs_f64((1.0 - self.tokens) / rate)).plus(TICK) }
    }
}

/// The clock's step: a wait is rounded up to it.
const TICK: Duration = Duration::from_millis(1);

/// See the module.
pub(super) struct Pools {
    pub(super) buckets: BTreeMap<String, Bucket>,
    /// What the host calls a resource, once it has told.
    names: BTreeMap<Resource, String>,
    points: [Window; 2],
    work: [Window; 2],
    /// How long an answer takes, about, in milliseconds.
    average: [u64; 2],
    /// Under way by kind, and the sum of their starts.
    open: [(u64, i64); 2],
    pub(super) slots: usize,
    clean: u32,
    halved_at: Timestamp,
}

/// When one may go, as far as the pools are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    At(Timestamp),
    /// When something under way ends.
    WhenOneEnds,
}

impl Pools {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            buckets: BTreeMap::new(),
            names: BTreeMap::new(),
            points: Default::default(),
            work: Default::default(),
            average: [0; 2],
            open: [(0, 0); 2],
            slots: limits.concurrency,
            clean: 0,
            halved_at: Timestamp::default(),
        }
    }

    /// What the host calls the resource, or our guess.
    pub(super) fn name(&self, resource: Resource) -> &str {
        self.names.get(&resource).map_or(resource.guess(), String::as_str)
    }

    /// The bucket that an answer is about; `None` when there are as many as there may be.
    pub(super) fn told(&mut self, resource: Resource, name: Option<&str>) -> Option<&mut Bucket> {
        let name: String = name.unwrap_or_else(|| self.name(resource)).chars().take(40).collect();
        if self.buckets.len() >= RESOURCES && !self.buckets.contains_key(&name) {
            return None;
        }
        if !self.names.contains_key(&resource) {
            // Those under way were counted under the guess.
            if name != resource.guess()
                && let Some(guessed) = self.buckets.remove(resource.guess())
            {
                self.buckets.entry(name.clone()).or_insert(guessed);
            }
            self.names.insert(resource, name.clone());
        }
        Some(self.buckets.entry(name).or_default())
    }

    pub(super) fn under_way(&self) -> usize {
        usize::try_from(self.open[0].0 + self.open[1].0).unwrap_or(usize::MAX)
    }

    pub(super) fn usage(&mut self, now: Timestamp) -> Usage {
        let sums = |windows: &mut [Window; 2]| windows.each_mut().map(|window| window.sum(now));
        Usage { points: sums(&mut self.points), work: sums(&mut self.work) }
    }

    /// Others used this in the last minute, of which all together may use `limits` and this process one in `members`:
    /// what they used above their own share is taken from this one's.
    pub(super) fn owe(&mut self, usage: Usage, limits: &Limits, members: u64, now: Timestamp) {
        let above = |used: u64, most: u64| used.saturating_sub(most - most / members);
        for kind in 0..2 {
            self.points[kind].add(now, above(usage.points[kind], most_points(limits, kind)));
            self.work[kind].add(now, above(usage.work[kind], most_work(limits, kind)));
        }
    }

    /// When `ask` may go, as one of `members` that share the budget, of which `living` send. `reserved` slots are not for
    /// it.
    pub(super) fn room(
        &mut self,
        ask: &Ask,
        limits: &Limits,
        (members, living): (u64, usize),
        reserved: usize,
        now: Timestamp,
    ) -> Room {
        let kind = ask.resource.kind();
        let name = self.name(ask.resource).to_owned();
        let bucket = self.buckets.entry(name).or_default();
        let mut at = bucket.open_at(ask.priority, limits, members, now);
        let mut full = false;
        if let Some(spacing) = ask.resource.spacing(limits) {
            full = bucket.under_way > 0;
            let spacing = spacing * u32::try_from(members).unwrap_or(1);
            at = at.max(bucket.last_start.map_or(now, |last| last.plus(spacing)));
        }
        let points = most_points(limits, kind) / members;
        at = at.max(self.points[kind].room_at(ask.points(), points, now));
        let (work, waits_for_work) = self.work_room(kind, limits, members, now);
        let slots = (self.slots / living).max(1);
        full |= waits_for_work || self.under_way() + reserved >= slots;
        at = at.max(work);
        if full && at.since(now) <= limits.patience { Room::WhenOneEnds } else { Room::At(at) }
    }

    /// R17: when there is work time for one more, and whether only the end of one under way can tell.
    fn work_room(&mut self, kind: usize, limits: &Limits, members: u64, now: Timestamp) -> (Timestamp, bool) {
        let coming: [u64; 2] = std::array::from_fn(|kind| {
            let (count, starts) = self.open[kind];
            let so_far = i64::try_from(count).unwrap_or(0).saturating_mul(now.0).saturating_sub(starts);
            u64::try_from(so_far).unwrap_or(0).max(count * self.average[kind])
        });
        let graphql = self.work[1].sum(now) + coming[1];
        let all = self.work[0].sum(now) + coming[0] + graphql;
        let mine = self.average[kind];
        let most_all = most_work(limits, 0) / members;
        let most_graphql = most_work(limits, 1) / members;
        let fits = |used: u64, most: u64| used == 0 || used + mine <= most;
        if fits(all, most_all) && (kind == 0 || fits(graphql, most_graphql)) {
            return (now, false);
        }
        let oldest = self.work.iter().filter_map(|window| window.entries.front()).map(|(at, _)| *at).min();
        match oldest {
            Some(at) => (at.plus(MINUTE).max(now.plus(TICK)), false),
            None => (now, true),
        }
    }

    /// A request starts.
    pub(super) fn start(&mut self, ask: &Ask, members: u64, now: Timestamp) {
        let kind = ask.resource.kind();
        self.points[kind].add(now, ask.points());
        self.open[kind].0 += 1;
        self.open[kind].1 = self.open[kind].1.saturating_add(now.0);
        let name = self.name(ask.resource).to_owned();
        let bucket = self.buckets.entry(name).or_default();
        bucket.under_way += 1;
        bucket.last_start = Some(now);
        bucket.tokens = (bucket.tokens - 1.0).max(0.0);
        if let Some(rate) = bucket.ramp_since.filter(|since| *since <= now).and_then(|since| ramp(since, now)) {
            bucket.ramp_next = now.plus(Duration::from_secs_f64(members as f64 / rate));
        }
    }

    /// A request is over; it began at `start`.
    pub(super) fn end(&mut self, resource: Resource, start: Timestamp, now: Timestamp) {
        let kind = resource.kind();
        self.open[kind].0 = self.open[kind].0.saturating_sub(1);
        self.open[kind].1 = if self.open[kind].0 == 0 { 0 } else { self.open[kind].1.saturating_sub(start.0) };
        let took = u64::try_from(now.since(start).as_millis()).unwrap_or(u64::MAX);
        self.work[kind].add(now, took);
        self.average[kind] = (self.average[kind] * 7 + took) / 8;
        let name = self.name(resource).to_owned();
        if let Some(bucket) = self.buckets.get_mut(&name) {
            bucket.under_way = bucket.under_way.saturating_sub(1);
        }
    }

    /// A clean answer (R18).
    pub(super) fn clean(&mut self, limits: &Limits) {
        self.clean += 1;
        if self.clean >= CLEAN {
            self.clean = 0;
            self.slots = (self.slots + 1).min(limits.concurrency_most);
        }
    }

    /// A timeout or 502, 503, 504 to a request that began at `start`: those of one moment halve once (R18).
    pub(super) fn halve(&mut self, start: Timestamp, now: Timestamp) {
        self.clean = 0;
        if start >= self.halved_at {
            self.slots = (self.slots / 2).max(1);
            self.halved_at = now.plus(TICK);
        }
    }
}

pub(super) fn most_points(limits: &Limits, kind: usize) -> u64 {
    if kind == 0 { limits.points_per_minute } else { limits.graphql_points_per_minute }
}

/// In milliseconds: of all work, or of GraphQL's.
pub(super) fn most_work(limits: &Limits, kind: usize) -> u64 {
    let most = if kind == 0 { limits.work_per_minute } else { limits.graphql_work_per_minute };
    u64::try_from(most.as_millis()).unwrap_or(u64::MAX)
}
