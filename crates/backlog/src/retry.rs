//! Whether and when to try again.

#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The limits of trying again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryPolicy {
    /// Runs of one task without a delivery before it fails; at least 1.
    pub max_attempts: u32,
    /// Rounds of follow-up (red checks, review comments) of one pull request.
    pub max_rounds: u32,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { max_attempts: 3, max_rounds: 3 }
    }
}

/// What to do after something went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Try again after this long.
    RetryAfter(Duration),
    /// No attempts are left, or none would help.
    GiveUp,
}

impl RetryPolicy {
    /// After the `attempts`-th run of a task went wrong.
    #[must_use]
    pub fn after_run(&self, attempts: u32, retryable: bool) -> Next {
        if retryable && attempts < self.max_attempts {
            Next::RetryAfter(backoff(attempts, Duration::from_secs(30), Duration::from_secs(1800)))
        } else {
            Next::GiveUp
        }
    }
}

/// The most often a job is claimed before it is given up.
pub const JOB_MAX_CLAIMS: u32 = 8;

/// The pause after the `attempts`-th failure (from 1): doubles from `first`, never above `most`.
#[must_use]
pub fn backoff(attempts: u32, first: Duration, most: Duration) -> Duration {
    first.saturating_mul(1u32.checked_shl(attempts.saturating_sub(1)).unwrap_or(u32::MAX)).min(most)
}
