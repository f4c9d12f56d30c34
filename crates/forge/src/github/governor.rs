//! Every limit of GitHub in one place.
//!
//! **Definition.** No request leaves without a [`Permit`]. There is one governor per actor and process; what the
//! processes on one database send together stays within one actor's limits. An actor is a user, an installation or an
//! App of one host, never a token.
//!
//! **Wanted properties.**
//! - A limit answer silences everything it speaks about, in every process, exactly as long as it says; a refusal that
//!   is no limit silences nothing. Pauses and the windows of content survive a restart.
//! - Writes of an actor are serial and spaced, whichever process sends them.
//! - Fast while nothing is wrong: one process alone is admitted without touching the ledger, but for one write every
//!   two seconds.
//! - Whoever goes away while waiting or sending leaves no slot, gate, probe or place behind.
//!
//! **Design.** `limit` turns an answer into a limit without any state; [`Governor::limited`] applies it.
//! - `pools` is what one process counts for itself: buckets by resource, points, work time, concurrency. With `n`
//!   processes each takes one `n`th of it.
//! - `record` is what they share, changed by compare-and-swap (`kept`): who sends, doors that a limit closed, the write
//!   gate, merges, mints. The voice of a bot identity has a record of its own, because GitHub counts content for an App
//!   over all its installations.
//! - A *door* that a limit closed opens for one probe; after it the rate doubles every ten seconds.
//! - Who may not go stands in a `line`. Only the first of a lane looks; everybody else costs nothing.
//!
//! Waits up to [`Limits::patience`] are slept here, longer ones return [`Failure::Limited`] at once. Waiting for a slot
//! or for a probe has no such bound: a request under way ends. The clock decides about pauses and windows; sleeping goes
//! through [`Sleep`], so that a test can let virtual time pass.
//!
//! **The protocol of several processes.** A process that wants to send writes itself into the record for ten seconds.
//! With its name it writes what it used in the last minute and a fifth more; before it uses more than that it writes
//! again. If another is there that believes itself alone, the newcomer waits until that one must have read the record
//! again. From then on all read it before each admission. What the others used in the last minute above their new
//! shares is taken from the newcomer's, so that no minute holds more than one actor's budget. A process that died or left
//! keeps its share for a minute, because what it used counts as long.
//!
//! **Known races.** Requests in flight when a pause begins finish; their own limit answers do not escalate it. Between
//! the look at the record and the start of a request another process may meet a limit: that one request goes out, as if
//! it had been in flight. A gate or probe whose process died is free again when its time is over, at the latest after
//! [`Limits::request_timeout`] and ten seconds. Work time is known when a request ends, so those under way may carry a
//! process above what it wrote; the defaults leave half of what GitHub allows for that.

mod answers;
mod ask;
mod attend;
mod book;
mod breaker;
mod kept;
mod limits;
mod line;
mod pools;
mod record;
mod view;
mod window;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use backlog::names::RepoName;
use backlog::time::{Clock, Timestamp};
use tokio::sync::Notify;

use super::client::Failure;
use crate::{Ledger, LedgerError};
pub use ask::urgent;
pub(super) use ask::{Ask, Priority, Resource, Traffic};
pub(super) use breaker::Breaker;
use kept::Kept;
pub use limits::Limits;
use line::{Lane, Line, Place};
use pools::{Pools, Room, Usage};
use record::{Passage, Record, Voice};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
/// The first pause after a secondary limit without a number (R9); it doubles until the last.
const SECONDARY: Duration = MINUTE;
const STRIKES: u32 = 5;
/// The first closing of content creation (R12) and how often it doubles.
const CONTENT_CLOSED: Duration = Duration::from_secs(15 * 60);
const CONTENT_DOUBLINGS: u32 = 2;
/// How many resources are told apart.
const RESOURCES: usize = 32;
/// The scope of the whole actor.
const ACTOR: &str = "";
/// How often a process alone reads the record, and how long a newcomer waits for it.
const READ_EVERY: Duration = Duration::from_secs(2);
const NOTICED_AFTER: Duration = Duration::from_millis(2_500);
/// How soon one looks again at what another process holds.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// How the client lets time pass.
#[async_trait]
pub trait Sleep: Send + Sync + 'static {
    /// Returns after `time`.
    async fn sleep(&self, time: Duration);

    /// Returns when a request that begins now has taken too long (R33): after `time` in the time that requests take.
    async fn deadline(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

/// Real time.
pub(super) struct RealSleep;

#[async_trait]
impl Sleep for RealSleep {
    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

/// A random part of `most`.
pub(super) fn random_part(most: Duration) -> Duration {
    most.mul_f64(f64::from((random() >> 32) as u32) / f64::from(u32::MAX))
}

/// A number that nobody foresees. In the soak it follows from the seed.
fn random() -> u64 {
    #[cfg(test)]
    if let Some(number) = super::soak::thrown() {
        return number;
    }
    getrandom::u64().unwrap_or_else(|_| std::process::id().into())
}

/// What this process knows for itself.
struct Local {
    pools: Pools,
    line: Line,
    /// One write of this process is under way.
    writing: bool,
    last_write: Timestamp,
    last_notice: Timestamp,
    merges: BTreeMap<RepoName, Timestamp>,
    /// The next start while the actor's door is half open.
    ramp_next: Timestamp,
    /// We are in the record until then, believing ourselves alone or not, and read it last then.
    lease: Timestamp,
    alone: bool,
    read_at: Timestamp,
    /// The others know of us from then on.
    known_at: Timestamp,
    /// What the others used before they knew of us is not taken into account yet.
    owing: bool,
    /// What the record says that we may have used.
    declared: Usage,
}

struct Inner {
    limits: Limits,
    me: String,
    numbers: AtomicU64,
    local: Mutex<Local>,
    record: Kept<Record>,
    voice: Kept<Voice>,
    /// Writing ourselves into the record, one at a time.
    attending: tokio::sync::Mutex<()>,
    breaker: Arc<Breaker>,
    clock: Arc<dyn Clock>,
    sleep: Arc<dyn Sleep>,
}

/// See the module.
pub(super) struct Governor(Arc<Inner>);

impl Drop for Governor {
    fn drop(&mut self) {
        let inner = Arc::clone(&self.0);
        if let Ok(runtime) = tokio::runtime::Handle::try_current()
            && inner.local().lease > Timestamp::default()
        {
            runtime.spawn(async move { inner.depart().await });
        }
    }
}

/// Leave to send one request. Holds its slot, and for a write the actor's one write gate, until it is dropped.
pub(super) struct Permit {
    inner: Arc<Inner>,
    pub(super) traffic: Traffic,
    resource: Resource,
    repository: Option<RepoName>,
    granted_at: Timestamp,
    number: u64,
    /// Scopes that this request is the probe of.
    probes: Vec<String>,
    gate: bool,
    /// Whether its answer was dealt with.
    ended: AtomicBool,
    refused: AtomicBool,
}

impl Permit {
    /// Whether it is for GraphQL.
    pub(super) fn is_graphql(&self) -> bool {
        self.resource == Resource::Graphql
    }

    /// The request is over: books its work, once.
    fn end(&self) {
        if !self.ended.swap(true, Ordering::Relaxed) {
            let (now, mut local) = (self.inner.clock.now(), self.inner.local());
            local.pools.end(self.resource, self.granted_at, now);
            local.line.ring();
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.end();
        let now = self.inner.clock.now();
        let merged = (self.traffic == Traffic::Merge && self.gate && !self.refused.load(Ordering::Relaxed))
            .then(|| self.repository.take())
            .flatten();
        {
            let mut local = self.inner.local();
            if self.traffic.is_write() {
                local.writing = false;
            }
            if let Some(repository) = &merged {
                local.merges.retain(|_, at| now.since(*at) < HOUR);
                local.merges.insert(repository.clone(), self.granted_at);
            }
            local.line.ring();
        }
        let probes = std::mem::take(&mut self.probes);
        if !self.gate && probes.is_empty() {
            return;
        }
        // Without a runtime the hold ends with its time.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (inner, number, at) = (Arc::clone(&self.inner), self.number, self.granted_at);
            runtime.spawn(async move { inner.give_back(number, at, &probes, merged).await });
        }
    }
}

/// A place in the line; left when dropped.
struct Standing<'a> {
    inner: &'a Inner,
    lane: Lane,
    place: Place,
    bell: Arc<Notify>,
}

impl Drop for Standing<'_> {
    fn drop(&mut self) {
        self.inner.local().line.leave(self.lane, self.place);
    }
}

/// What a look at everything gives.
enum Entry {
    Go(Permit),
    /// Not before then.
    At(Timestamp),
    /// When the bell rings.
    Bell,
}

impl Governor {
    pub(super) fn new(
        limits: Limits,
        ledger: Arc<dyn Ledger>,
        breaker: Arc<Breaker>,
        clock: Arc<dyn Clock>,
        sleep: Arc<dyn Sleep>,
    ) -> Self {
        let limits = limits.sane();
        let me = format!("{:016x}", random());
        let local = Mutex::new(Local {
            pools: Pools::new(&limits),
            line: Line::default(),
            writing: false,
            last_write: Timestamp::default(),
            last_notice: Timestamp::default(),
            merges: BTreeMap::new(),
            ramp_next: Timestamp::default(),
            lease: Timestamp::default(),
            alone: true,
            read_at: Timestamp::default(),
            known_at: Timestamp::default(),
            owing: false,
            declared: Usage::default(),
        });
        // Until it is known whose it is, nobody shares it.
        let (record, voice) = (format!("nobody:{me}"), format!("voice:nobody:{me}"));
        let record = Kept::new(Arc::clone(&ledger), record);
        let voice = Kept::new(ledger, voice);
        let (attending, numbers) = (tokio::sync::Mutex::default(), AtomicU64::new(1));
        Self(Arc::new(Inner { limits, me, numbers, local, record, voice, attending, breaker, clock, sleep }))
    }

    /// Takes over what was remembered under `key` and remembers under it from now on. The key is the actor, or the
    /// hash of the token until the actor is known; then the token's record leads to the actor's from the next start on.
    pub(super) async fn remember_under(&self, key: String) -> Result<(), LedgerError> {
        self.speak_as(&format!("voice:{key}"));
        self.0.move_to(key).await
    }

    /// Counts content under this bot identity, after [`Governor::remember_under`].
    pub(super) fn speak_as(&self, voice: &str) {
        self.0.voice.go_to(voice);
    }

    /// Waits for a short while, or says until when to wait.
    pub(super) async fn admit(&self, ask: impl Into<Ask>) -> Result<Permit, Failure> {
        let (ask, inner) = (ask.into(), &*self.0);
        let mut standing: Option<Standing<'_>> = None;
        loop {
            inner.attend().await?;
            let until = match Inner::enter(&self.0, &ask, standing.as_ref().map(|standing| standing.place)) {
                Entry::Go(permit) => match inner.commit(permit, &ask).await? {
                    Ok(permit) => return Ok(permit),
                    Err(until) => Some(until),
                },
                Entry::At(until) => Some(until),
                Entry::Bell => None,
            };
            let now = inner.clock.now();
            if let Some(until) = until.filter(|until| until.since(now) > inner.limits.patience) {
                return Err(Failure::Limited { until });
            }
            if standing.is_none() {
                standing = Some(inner.join(&ask, now)?);
                // Whatever changed between the look and the place in the line rang no bell for us.
                continue;
            }
            let bell = standing.as_ref().map(|standing| &standing.bell).expect("we stand in line");
            match until {
                Some(until) => tokio::select! {
                    () = bell.notified() => {}
                    () = inner.sleep.sleep(until.since(now).max(Duration::from_millis(1))) => {}
                },
                None => bell.notified().await,
            }
        }
    }
}

impl Inner {
    fn local(&self) -> MutexGuard<'_, Local> {
        self.local.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stands in line; in random order when many were stopped together.
    fn join(&self, ask: &Ask, now: Timestamp) -> Result<Standing<'_>, Failure> {
        let stopped = self.record.look().door.passage(now) != Passage::Open;
        let order = stopped.then(random);
        let (lane, mut local) = (ask.lane(), self.local());
        if local.line.len() >= self.limits.waiting {
            return Err(Failure::Limited { until: now.plus(self.limits.patience) });
        }
        let (place, bell) = local.line.join(lane, ask.priority, order);
        Ok(Standing { inner: self, lane, place, bell })
    }

    /// Looks at everything that this process knows, and takes a slot when nothing stands against it.
    fn enter(this: &Arc<Self>, ask: &Ask, place: Option<Place>) -> Entry {
        let now = this.clock.now();
        let record = this.record.look();
        let mut local = this.local();
        let local = &mut *local;
        if local.line.is_behind(ask.lane(), place, ask.priority) {
            return Entry::Bell;
        }
        let (members, living) = (record.sharing(now).max(1), record.living(now).max(1));
        let mut at = local.known_at.max(this.breaker.open_until());
        let (mut bell, mut half_open, mut probes) = (false, None, Vec::new());
        let name = local.pools.name(ask.resource);
        let doors = [(ACTOR, Some(&record.door)), (name, record.resources.get(name))];
        for (scope, door) in doors.into_iter().filter_map(|(scope, door)| Some((scope, door?))) {
            match door.passage(now) {
                Passage::Open => {}
                Passage::Closed(until) => at = at.max(until),
                Passage::Probe => probes.push(scope.to_owned()),
                Passage::Probed => at = at.max(now.plus(LOOK_AGAIN)),
                Passage::Ramp(rate) => {
                    at = at.max(local.ramp_next);
                    half_open = Some(half_open.map_or(rate, |slower: f64| slower.min(rate)));
                }
            }
        }
        if ask.traffic.is_write() {
            let gate = this.gate_at(ask, &record, local, now);
            bell |= local.writing;
            at = at.max(gate);
        }
        if ask.traffic == Traffic::Mint {
            at = at.max(record.mints.opens(this.limits.mints_per_hour, HOUR));
        }
        let reserved = if ask.priority == Priority::Urgent { 0 } else { local.line.urgent() };
        match local.pools.room(ask, &this.limits, (members, living), reserved, now) {
            Room::At(room) => at = at.max(room),
            Room::WhenOneEnds => bell = true,
        }
        if at > now && (!bell || at.since(now) > this.limits.patience) {
            return Entry::At(at);
        }
        if bell {
            return Entry::Bell;
        }
        local.pools.start(ask, members, now);
        local.writing |= ask.traffic.is_write();
        if let Some(rate) = half_open {
            local.ramp_next = now.plus(Duration::from_secs_f64(members as f64 / rate));
        }
        Entry::Go(Permit {
            inner: Arc::clone(this),
            traffic: ask.traffic,
            resource: ask.resource,
            repository: ask.repository.clone(),
            granted_at: now,
            number: this.numbers.fetch_add(1, Ordering::Relaxed),
            probes,
            gate: false,
            ended: AtomicBool::new(false),
            refused: AtomicBool::new(false),
        })
    }
}

#[cfg(test)]
mod tests;
