//! The breaker of a host (R34): when most requests end badly, all actors let it be for a minute.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use backlog::time::Timestamp;

const LOOKED_AT: usize = 20;
const OPEN_FOR: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Default)]
pub(in crate::github) struct Breaker(Mutex<State>);

#[derive(Default)]
struct State {
    /// Whether each of the last requests ended badly.
    last: VecDeque<bool>,
    open_until: Timestamp,
}

impl Breaker {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Until when nothing is sent to the host; in the past when it may be.
    pub(super) fn open_until(&self) -> Timestamp {
        self.state().open_until
    }

    /// A request ended: badly with a 5xx, a broken connection or none, well otherwise.
    pub(super) fn note(&self, badly: bool, now: Timestamp) {
        let mut state = self.state();
        state.last.push_back(badly);
        if state.last.len() > LOOKED_AT {
            state.last.pop_front();
        }
        if state.last.iter().filter(|badly| **badly).count() * 2 > LOOKED_AT {
            state.last.clear();
            state.open_until = now.plus(OPEN_FOR);
            tracing::error!(until = %state.open_until, "GitHub answers most requests with errors; nothing is sent for a minute");
        }
    }
}
