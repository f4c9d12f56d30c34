//! Every limit of GitHub in one place.
//!
//! **Definition.** No request leaves without a [`Permit`]. There is one governor per actor (a user of one GitHub
//! server); pauses belong to the actor, not to the token or the request that met them.
//!
//! **Wanted properties.** A limit answer silences everything it speaks about, exactly as long as it says; a refusal
//! that is no limit silences nothing; pauses and the content windows survive a restart; writes are serial and spaced.
//!
//! **Design.** `limit` turns an answer into a [`Limit`] without any state; [`Governor::limited`] applies it. Waits up to [`Limits::patience`] are slept here, longer ones return [`Failure::Limited`] at once. The clock
//! decides about pauses and windows; sleeping goes through [`Sleep`], so that a test can let virtual time pass.
//!
//! **Known races.** Requests in flight when a pause begins finish; their own limit answers do not escalate it.
//! Two processes with one token do not see each other's windows: run one service per credential.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use backlog::time::{Clock, Timestamp};
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

use super::client::Failure;
use super::limit::{Limit, epoch, number, text_of};
use crate::{Ledger, LedgerError, LimitView};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
/// The first pause after a secondary limit without a number (R9) and how often it doubles.
const SECONDARY: Duration = MINUTE;
const SECONDARY_DOUBLINGS: u32 = 4;
/// The first closing of content creation (R12) and its longest.
const CONTENT_CLOSED: Duration = Duration::from_secs(15 * 60);
const SPACE: &str = "github-governor";
/// What a server that does not name its resource means.
const CORE: &str = "core";
/// How many resources are told apart.
const RESOURCES: usize = 32;

/// The paces that the client keeps. The defaults stay well below what GitHub publishes; lower is always fine.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Requests under way at once, 1 to 100.
    pub concurrency: usize,
    /// From the start of one write to the start of the next.
    pub write_spacing: Duration,
    /// The same for a write that notifies people.
    pub notice_spacing: Duration,
    /// Points a minute: a read is one, a write five.
    pub points_per_minute: u64,
    /// Issues, comments, pull requests and merges a minute.
    pub content_per_minute: usize,
    /// Issues, comments, pull requests and merges an hour.
    pub content_per_hour: usize,
    /// Pull requests an hour.
    pub pulls_per_hour: usize,
    /// Waits up to this are slept; longer ones are returned as `Limited`.
    pub patience: Duration,
    /// For one request from start to end, body included. GitHub itself gives up after 10 s.
    pub request_timeout: Duration,
    /// For a connection.
    pub connect_timeout: Duration,
    /// The longest body, in bytes.
    pub body_bytes: usize,
    /// How often a read is tried.
    pub tries: u32,
    /// The unit of the growing, random delay between tries of a read.
    pub backoff: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            concurrency: 10,
            write_spacing: Duration::from_secs(1),
            notice_spacing: Duration::from_secs(3),
            points_per_minute: 450,
            content_per_minute: 40,
            content_per_hour: 300,
            pulls_per_hour: 60,
            patience: Duration::from_secs(5),
            request_timeout: Duration::from_secs(20),
            connect_timeout: Duration::from_secs(5),
            body_bytes: 32 << 20,
            tries: 4,
            backoff: Duration::from_secs(1),
        }
    }
}

/// How the client lets time pass.
#[async_trait]
pub trait Sleep: Send + Sync + 'static {
    /// Returns after `time`.
    async fn sleep(&self, time: Duration);
}

/// Real time.
pub(super) struct RealSleep;

#[async_trait]
impl Sleep for RealSleep {
    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

/// What a request is to the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Traffic {
    /// Looks.
    Read,
    /// Changes something without telling anybody.
    Edit,
    /// Tells people: counts as content.
    Notice,
    /// As [`Traffic::Notice`], for a new pull request.
    NewPull,
}

impl Traffic {
    fn points(self) -> u64 {
        if self == Self::Read { 1 } else { 5 }
    }

    fn is_content(self) -> bool {
        matches!(self, Self::Notice | Self::NewPull)
    }
}

/// A random part of `most`.
pub(super) fn random_part(most: Duration) -> Duration {
    let random = getrandom::u32().unwrap_or(u32::MAX / 2);
    most.mul_f64(f64::from(random) / f64::from(u32::MAX))
}

#[derive(Clone, Debug, Default)]
struct Bucket {
    limit: u64,
    remaining: u64,
    reset_at: Timestamp,
}

/// What survives a restart.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Memory {
    pause_until: Timestamp,
    secondary: u32,
    content_until: Timestamp,
    content_closings: u32,
    closed: BTreeMap<String, Timestamp>,
    content: VecDeque<Timestamp>,
    pulls: VecDeque<Timestamp>,
}

#[derive(Debug, Default)]
struct State {
    memory: Memory,
    buckets: BTreeMap<String, Bucket>,
    points: VecDeque<(Timestamp, u64)>,
    last_limit: Timestamp,
    probing: bool,
    last_write: Option<Timestamp>,
    last_notice: Option<Timestamp>,
    keys: Vec<String>,
}

/// See the module.
pub(super) struct Governor {
    limits: Limits,
    slots: Arc<Semaphore>,
    writing: Arc<tokio::sync::Mutex<()>>,
    state: Mutex<State>,
    ledger: Arc<dyn Ledger>,
    clock: Arc<dyn Clock>,
    sleep: Arc<dyn Sleep>,
}

/// Leave to send one request. Holds its slot, and for a write the actor's one write gate, until it is dropped.
pub(super) struct Permit {
    pub(super) traffic: Traffic,
    granted_at: Timestamp,
    _slots: OwnedSemaphorePermit,
    _gate: Option<OwnedMutexGuard<()>>,
}

impl Governor {
    pub(super) fn new(limits: Limits, ledger: Arc<dyn Ledger>, clock: Arc<dyn Clock>, sleep: Arc<dyn Sleep>) -> Self {
        let slots = Arc::new(Semaphore::new(limits.concurrency.clamp(1, 100)));
        Self { limits, slots, writing: Arc::default(), state: Mutex::default(), ledger, clock, sleep }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Takes over what was remembered under `key` and remembers under it from now on. The key is the actor, or the
    /// hash of the token until the actor is known.
    pub(super) async fn remember_under(&self, key: String) -> Result<(), LedgerError> {
        let stored = self.ledger.recall(SPACE, &key).await?;
        let stored: Memory = stored.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        let mut state = self.state();
        if stored.pause_until > self.clock.now() {
            state.probing = true;
        }
        state.memory.take_over(stored);
        state.keys.push(key);
        Ok(())
    }

    async fn save(&self) -> Result<(), LedgerError> {
        let (keys, text) = {
            let state = self.state();
            (state.keys.clone(), serde_json::to_string(&state.memory).map_err(|error| LedgerError(error.to_string()))?)
        };
        for key in keys {
            self.ledger.remember(SPACE, &key, &text, None).await?;
        }
        Ok(())
    }

    /// Waits for a short while, or says until when to wait.
    pub(super) async fn admit(&self, traffic: Traffic) -> Result<Permit, Failure> {
        let gate = if traffic == Traffic::Read { None } else { Some(Arc::clone(&self.writing).lock_owned().await) };
        // After a pause one request goes alone and tells whether the others may follow (R15).
        let probing = self.state().probing;
        let wanted = if probing { self.limits.concurrency.clamp(1, 100) } else { 1 };
        let wanted = u32::try_from(wanted).unwrap_or(1);
        let slots = Arc::clone(&self.slots).acquire_many_owned(wanted).await.expect("the slots are never closed");
        let spacing = self.spacing(traffic);
        if !spacing.is_zero() {
            self.sleep.sleep(spacing).await;
        }
        let open_at = self.open_at(traffic);
        let wait = open_at.since(self.clock.now());
        if wait > self.limits.patience {
            return Err(Failure::Limited { until: open_at });
        }
        if !wait.is_zero() {
            self.sleep.sleep(wait).await;
            let open_at = self.open_at(traffic);
            if open_at > self.clock.now() {
                return Err(Failure::Limited { until: open_at });
            }
        }
        let granted_at = self.clock.now();
        self.book(traffic, granted_at);
        if traffic.is_content() {
            self.save().await.map_err(Failure::Memory)?;
        }
        Ok(Permit { traffic, granted_at, _slots: slots, _gate: gate })
    }

    /// How long this write keeps its distance from the one before (R19).
    fn spacing(&self, traffic: Traffic) -> Duration {
        if traffic == Traffic::Read {
            return Duration::ZERO;
        }
        let (state, now) = (self.state(), self.clock.now());
        let rest = |last: Option<Timestamp>, distance: Duration| {
            last.map_or(Duration::ZERO, |at| at.plus(distance).since(now).min(distance))
        };
        let notice =
            if traffic.is_content() { rest(state.last_notice, self.limits.notice_spacing) } else { Duration::ZERO };
        notice.max(rest(state.last_write, self.limits.write_spacing))
    }

    /// When such a request may be sent; in the past when now.
    fn open_at(&self, traffic: Traffic) -> Timestamp {
        let now = self.clock.now();
        let mut state = self.state();
        let memory = &state.memory;
        // All our calls draw on one resource, whatever a server calls it.
        let mut at = memory.closed.values().copied().fold(memory.pause_until, Timestamp::max);
        if traffic.is_content() {
            at = at
                .max(memory.content_until)
                .max(opens(&memory.content, self.limits.content_per_minute, MINUTE))
                .max(opens(&memory.content, self.limits.content_per_hour, HOUR));
        }
        if traffic == Traffic::NewPull {
            at = at.max(opens(&memory.pulls, self.limits.pulls_per_hour, HOUR));
        }
        while state.points.front().is_some_and(|(at, _)| now.since(*at) >= MINUTE) {
            state.points.pop_front();
        }
        let mut used: u64 = state.points.iter().map(|(_, points)| points).sum();
        for (sent, points) in &state.points {
            if used + traffic.points() <= self.limits.points_per_minute {
                break;
            }
            used -= points;
            at = at.max(sent.plus(MINUTE));
        }
        at
    }

    fn book(&self, traffic: Traffic, now: Timestamp) {
        let mut state = self.state();
        state.points.push_back((now, traffic.points()));
        if traffic != Traffic::Read {
            state.last_write = Some(now);
        }
        if traffic.is_content() {
            state.last_notice = Some(now);
            book(&mut state.memory.content, now);
        }
        if traffic == Traffic::NewPull {
            book(&mut state.memory.pulls, now);
        }
    }

    /// Reads the limit headers of any answer (R3, R6).
    pub(super) async fn observe(&self, status: StatusCode, headers: &HeaderMap) -> Result<(), LedgerError> {
        let (Some(remaining), Some(reset)) =
            (number(headers, "x-ratelimit-remaining"), number(headers, "x-ratelimit-reset"))
        else {
            return Ok(());
        };
        let resource: String = text_of(headers, "x-ratelimit-resource").unwrap_or(CORE).chars().take(40).collect();
        let (limit, reset_at) = (number(headers, "x-ratelimit-limit").unwrap_or(remaining), epoch(reset));
        let closes = {
            let mut state = self.state();
            if state.buckets.len() >= RESOURCES && !state.buckets.contains_key(&resource) {
                return Ok(());
            }
            let bucket = state.buckets.entry(resource.clone()).or_default();
            // A refusal is never out of date.
            if reset_at > bucket.reset_at || (remaining == 0 && status.is_client_error()) {
                *bucket = Bucket { limit, remaining, reset_at };
            } else if reset_at == bucket.reset_at {
                bucket.remaining = bucket.remaining.min(remaining);
            }
            metrics::gauge!("ccm_github_budget_remaining", "resource" => resource.clone()).set(remaining as f64);
            let closes = remaining == 0 && reset_at > self.clock.now() && !status.is_client_error();
            if closes {
                let until = reset_at.plus(Duration::from_secs(1)).plus(random_part(Duration::from_secs(30)));
                let closed = state.memory.closed.entry(resource).or_default();
                *closed = (*closed).max(until);
            }
            closes
        };
        if closes { self.save().await } else { Ok(()) }
    }

    /// Applies a limit that the answer to `permit`'s request spoke about; gives the time until which it holds.
    pub(super) async fn limited(
        &self,
        limit: Limit,
        headers: &HeaderMap,
        permit: &Permit,
    ) -> Result<Timestamp, LedgerError> {
        let now = self.clock.now();
        let until = {
            let mut state = self.state();
            // Sent before the last limit was known: the same event, which must not escalate twice.
            let news = permit.granted_at > state.last_limit || state.memory.pause_until <= now;
            state.last_limit = now;
            state.probing = true;
            let memory = &mut state.memory;
            match limit {
                Limit::Pause(wait) => {
                    memory.pause_until = memory.pause_until.max(now.plus(wait).plus(random_part(wait / 10)));
                    memory.pause_until
                }
                Limit::Empty(reset) => {
                    let resource = text_of(headers, "x-ratelimit-resource").unwrap_or(CORE).chars().take(40).collect();
                    let closed: &mut Timestamp = memory.closed.entry(resource).or_default();
                    *closed = (*closed).max(reset.max(now).plus(Duration::from_secs(1)));
                    *closed
                }
                Limit::Secondary => {
                    if news {
                        let wait = SECONDARY * 2u32.pow(memory.secondary.min(SECONDARY_DOUBLINGS));
                        memory.secondary += 1;
                        memory.pause_until = memory.pause_until.max(now.plus(wait));
                        if memory.secondary > SECONDARY_DOUBLINGS {
                            tracing::error!(
                                times = memory.secondary,
                                "GitHub's secondary limit was met again and again; \
                                lower the pace, or look whether something else uses the same account"
                            );
                        }
                    }
                    memory.pause_until
                }
                Limit::Content(wait) => {
                    let closed =
                        (CONTENT_CLOSED * 2u32.pow(memory.content_closings.min(2))).max(wait.unwrap_or_default());
                    if news {
                        memory.content_closings += 1;
                        memory.content_until = memory.content_until.max(now.plus(closed));
                    }
                    memory.pause_until = memory.pause_until.max(now.plus(wait.unwrap_or(MINUTE)));
                    if permit.traffic.is_content() { memory.content_until } else { memory.pause_until }
                }
            }
        };
        self.save().await?;
        tracing::warn!(?limit, %until, "GitHub limits this account");
        Ok(until)
    }

    /// A request was dealt with: when it was sent after the last limit, that is over.
    pub(super) async fn succeeded(&self, permit: &Permit) -> Result<(), LedgerError> {
        let changed = {
            let mut state = self.state();
            if permit.granted_at < state.last_limit {
                return Ok(());
            }
            state.probing = false;
            let content = permit.traffic.is_content() && state.memory.content_closings > 0;
            if content {
                state.memory.content_closings = 0;
            }
            std::mem::take(&mut state.memory.secondary) > 0 || content
        };
        if changed { self.save().await } else { Ok(()) }
    }

    /// Sleeps before the `n`-th repetition (from 1) of a read: a random part of 2, 4, 8 … units, at most 30 (R24).
    pub(super) async fn back_off(&self, n: u32) {
        let most = self.limits.backoff.saturating_mul(2u32.saturating_pow(n).min(30));
        self.sleep.sleep(random_part(most)).await;
    }

    /// Lets time pass between steps that belong together, such as the tries of a merge.
    pub(super) async fn rest(&self, units: u32) {
        self.sleep.sleep(self.limits.backoff.saturating_mul(units)).await;
    }

    /// The limits as last seen.
    pub(super) fn view(&self) -> Vec<LimitView> {
        let now = self.clock.now();
        let state = self.state();
        let mut views: Vec<LimitView> = state
            .buckets
            .iter()
            .map(|(resource, bucket)| {
                let closed = state.memory.closed.get(resource).copied().unwrap_or_default();
                let until = closed.max(state.memory.pause_until);
                LimitView {
                    resource: resource.clone(),
                    limit: bucket.limit,
                    remaining: bucket.remaining,
                    reset_at: bucket.reset_at,
                    paused_until: (until > now).then_some(until),
                }
            })
            .collect();
        views.push(self.content_view(&state, now));
        views
    }

    /// Our own hourly budget of content, shown like a bucket of GitHub's.
    fn content_view(&self, state: &State, now: Timestamp) -> LimitView {
        let recent = state.memory.content.iter().filter(|at| now.since(**at) < HOUR);
        let (used, limit) = (recent.clone().count() as u64, self.limits.content_per_hour as u64);
        let until = state.memory.content_until;
        LimitView {
            resource: "content".to_owned(),
            limit,
            remaining: limit.saturating_sub(used),
            reset_at: recent.min().map_or(now, |oldest| oldest.plus(HOUR)),
            paused_until: (until > now).then_some(until),
        }
    }
}

impl Memory {
    fn take_over(&mut self, stored: Self) {
        self.pause_until = self.pause_until.max(stored.pause_until);
        self.secondary = self.secondary.max(stored.secondary);
        self.content_until = self.content_until.max(stored.content_until);
        self.content_closings = self.content_closings.max(stored.content_closings);
        for (resource, until) in stored.closed {
            let closed = self.closed.entry(resource).or_default();
            *closed = (*closed).max(until);
        }
        if self.content.len() < stored.content.len() {
            self.content = stored.content;
        }
        if self.pulls.len() < stored.pulls.len() {
            self.pulls = stored.pulls;
        }
    }
}

/// When a rolling window of this size has room for one more.
fn opens(sent: &VecDeque<Timestamp>, most: usize, window: Duration) -> Timestamp {
    let most = most.max(1);
    sent.len().checked_sub(most).and_then(|at| sent.get(at)).map_or(Timestamp::default(), |at| at.plus(window))
}

/// Notes one more; what is older than an hour is forgotten.
fn book(sent: &mut VecDeque<Timestamp>, now: Timestamp) {
    while sent.front().is_some_and(|at| now.since(*at) >= HOUR) {
        sent.pop_front();
    }
    sent.push_back(now);
}

#[cfg(test)]
mod tests;
