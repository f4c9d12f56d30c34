//! The primary rate limit: one bucket per caller and resource, windows of an hour on the virtual clock.

use std::collections::BTreeMap;
use std::time::Duration;

use backlog::time::Timestamp;
use serde_json::{Value, json};

const WINDOW: Duration = Duration::from_secs(3600);

/// One bucket.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    pub(super) limit: u64,
    pub(super) used: u64,
    pub(super) reset: Timestamp,
}

impl Bucket {
    /// What is left in this window.
    pub(super) fn remaining(&self) -> u64 {
        self.limit.saturating_sub(self.used)
    }

    /// The moment of the reset in whole seconds since the epoch, rounded up.
    pub(super) fn reset_seconds(&self) -> i64 {
        (self.reset.0 + 999) / 1000
    }

    /// The body of one resource in `GET /rate_limit`.
    pub(super) fn json(&self, resource: &str) -> Value {
        let (limit, remaining) = (self.limit, self.remaining());
        json!({"limit": limit, "used": self.used, "remaining": remaining, "reset": self.reset_seconds(), "resource": resource})
    }
}

/// All buckets.
#[derive(Debug, Default)]
pub(super) struct Limits {
    buckets: BTreeMap<(String, &'static str), Bucket>,
    sizes: BTreeMap<String, u64>,
}

impl Limits {
    /// The bucket as it stands, opened anew when its window is over.
    pub(super) fn look(&mut self, actor: &str, resource: &'static str, now: Timestamp) -> Bucket {
        *self.bucket(actor, resource, now)
    }

    /// Takes one request; `Err` when nothing is left.
    pub(super) fn charge(&mut self, actor: &str, resource: &'static str, now: Timestamp) -> Result<(), Bucket> {
        let bucket = self.bucket(actor, resource, now);
        if bucket.remaining() == 0 {
            return Err(*bucket);
        }
        bucket.used += 1;
        Ok(())
    }

    /// Gives one request back, as for a 304.
    pub(super) fn refund(&mut self, actor: &str, resource: &'static str, now: Timestamp) {
        let bucket = self.bucket(actor, resource, now);
        bucket.used = bucket.used.saturating_sub(1);
    }

    /// Empties a bucket until `now + wait`.
    pub(super) fn exhaust(&mut self, actor: &str, resource: &'static str, now: Timestamp, wait: Duration) {
        let bucket = self.bucket(actor, resource, now);
        bucket.used = bucket.limit;
        bucket.reset = now.plus(wait);
    }

    /// Sets how many requests an actor has per window, from now on and in the present window.
    pub(super) fn resize(&mut self, actor: &str, limit: u64) {
        self.sizes.insert(actor.to_owned(), limit);
        for ((have, _), bucket) in &mut self.buckets {
            if have == actor {
                bucket.limit = limit;
            }
        }
    }

    fn bucket(&mut self, actor: &str, resource: &'static str, now: Timestamp) -> &mut Bucket {
        let usual = match (resource, actor) {
            ("search", _) => 30,
            (_, super::ANONYMOUS) => 60,
            _ => 5000,
        };
        let limit = self.sizes.get(actor).copied().unwrap_or(usual);
        let fresh = Bucket { limit, used: 0, reset: now.plus(WINDOW) };
        let bucket = self.buckets.entry((actor.to_owned(), resource)).or_insert(fresh);
        if bucket.reset <= now {
            *bucket = fresh;
        }
        bucket
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_empties_and_opens_again_after_its_window() {
        let (mut limits, start) = (Limits::default(), Timestamp(0));
        limits.resize("bot", 2);
        assert!(limits.charge("bot", "core", start).is_ok());
        assert!(limits.charge("bot", "core", start).is_ok());
        let empty = limits.charge("bot", "core", start).expect_err("two are gone");
        assert_eq!((empty.remaining(), empty.reset_seconds()), (0, 3600));
        assert!(limits.charge("other", "core", start).is_ok(), "each actor has its own");
        limits.refund("bot", "core", start);
        assert!(limits.charge("bot", "core", start).is_ok());
        assert!(limits.charge("bot", "core", start.plus(WINDOW)).is_ok());
    }
}
