//! The clock of tests: it stands still until a test moves it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use backlog::time::{Clock, Timestamp};

/// A clock that only moves by [`TestClock::advance`] and [`TestClock::set`]. Share it as an `Arc`.
#[derive(Debug)]
pub struct TestClock(AtomicI64);

impl TestClock {
    /// Where every new test clock stands: 2026-01-01T00:00:00Z.
    pub const START: Timestamp = Timestamp(1_767_225_600_000);

    /// A clock standing at [`TestClock::START`].
    #[must_use]
    pub fn new() -> Arc<Self> {
        Self::at(Self::START)
    }

    /// A clock standing at `now`.
    #[must_use]
    pub fn at(now: Timestamp) -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(now.0)))
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.0.fetch_add(by, Ordering::SeqCst);
    }

    /// Puts the clock to `now`, forward or back.
    pub fn set(&self, now: Timestamp) {
        self.0.store(now.0, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_moves_only_when_told() {
        let clock = TestClock::new();
        assert_eq!(clock.now().to_string(), "2026-01-01T00:00:00Z");
        clock.advance(Duration::from_secs(90));
        assert_eq!(clock.now().to_string(), "2026-01-01T00:01:30Z");
        clock.set(Timestamp(0));
        assert_eq!(clock.now(), Timestamp(0));
    }
}
