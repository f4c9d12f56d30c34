//! What the server and the tests share.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use backlog::time::Clock;

use super::faults::Faults;
use super::latency::{Latencies, Waiting};
use super::limits::Limits;
use super::referee::Referee;
use super::webhooks::Webhooks;
use super::world::World;
use crate::clock::TestClock;

/// The connection is closed without an answer.
#[derive(Debug)]
pub(super) struct Dropped;

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection is closed on purpose")
    }
}

impl std::error::Error for Dropped {}

/// The time in which a server answers.
pub(super) enum Time {
    /// Answers wait in real time, whatever the clock says.
    Real(Arc<dyn Clock>),
    /// Answers wait on this clock.
    Virtual(Arc<TestClock>),
}

/// Everything the server and the tests share.
pub(super) struct Hub {
    world: Mutex<World>,
    limits: Mutex<Limits>,
    faults: Mutex<Faults>,
    referee: Mutex<Referee>,
    latencies: Mutex<Latencies>,
    virtual_time: Option<Arc<TestClock>>,
    webhooks: Mutex<Webhooks>,
    pub(super) etag_salt: Mutex<String>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) base: String,
    pub(super) elsewhere: String,
    /// Requests that the other host has answered.
    pub(super) elsewhere_count: AtomicU64,
    pub(super) root: PathBuf,
    /// Held while branches are changed by more than one git process.
    pub(super) git_writes: tokio::sync::Mutex<()>,
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("base", &self.base).finish_non_exhaustive()
    }
}

/// A poisoned lock only means that another test thread failed; the data is still good to look at.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hub {
    pub(super) fn new(time: Time, base: String, elsewhere: String, root: PathBuf) -> Self {
        let (clock, virtual_time): (Arc<dyn Clock>, _) = match time {
            Time::Real(clock) => (clock, None),
            Time::Virtual(clock) => (Arc::clone(&clock) as Arc<dyn Clock>, Some(clock)),
        };
        Self {
            world: Mutex::new(World::new()),
            limits: Mutex::default(),
            faults: Mutex::default(),
            referee: Mutex::default(),
            latencies: Mutex::default(),
            virtual_time,
            webhooks: Mutex::default(),
            etag_salt: Mutex::default(),
            clock,
            base,
            elsewhere,
            elsewhere_count: AtomicU64::new(0),
            root,
            git_writes: tokio::sync::Mutex::default(),
        }
    }

    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.world)
    }

    pub(super) fn limits(&self) -> MutexGuard<'_, Limits> {
        lock(&self.limits)
    }

    pub(super) fn faults(&self) -> MutexGuard<'_, Faults> {
        lock(&self.faults)
    }

    pub(super) fn latencies(&self) -> MutexGuard<'_, Latencies> {
        lock(&self.latencies)
    }

    /// The waiting of a request that arrives now.
    pub(super) fn waiting(&self) -> Waiting {
        Waiting::begin(self.virtual_time.as_ref())
    }

    pub(super) fn referee(&self) -> MutexGuard<'_, Referee> {
        lock(&self.referee)
    }

    pub(super) fn webhooks(&self) -> MutexGuard<'_, Webhooks> {
        lock(&self.webhooks)
    }
}
