//! What the server and the tests share.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use backlog::time::Clock;

use super::faults::Faults;
use super::limits::Limits;
use super::referee::Referee;
use super::world::World;

/// The connection is closed without an answer.
#[derive(Debug)]
pub(super) struct Dropped;

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection is closed on purpose")
    }
}

impl std::error::Error for Dropped {}

/// Everything the server and the tests share.
pub(super) struct Hub {
    world: Mutex<World>,
    limits: Mutex<Limits>,
    faults: Mutex<Faults>,
    referee: Mutex<Referee>,
    pub(super) etag_salt: Mutex<String>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) base: String,
    pub(super) elsewhere: String,
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
    pub(super) fn new(clock: Arc<dyn Clock>, base: String, elsewhere: String, root: PathBuf) -> Self {
        Self {
            world: Mutex::new(World::new()),
            limits: Mutex::default(),
            faults: Mutex::default(),
            referee: Mutex::default(),
            etag_salt: Mutex::default(),
            clock,
            base,
            elsewhere,
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

    pub(super) fn referee(&self) -> MutexGuard<'_, Referee> {
        lock(&self.referee)
    }
}
