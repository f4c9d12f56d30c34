//! The primary rate limit: one bucket per caller and resource, windows of an hour (a minute for searches) on the
//! virtual clock.

use std::collections::BTreeMap;
use std::time::Duration;

use backlog::time::Timestamp;
use serde_json::{Value, json};

const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);

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
    sizes: BTreeMap<(String, String), u64>,
}

impl Limits {
    /// The bucket as it stands, opened anew when its window is over.
    pub(super) fn look(&mut self, actor: &str, resource: &'static str, now: Timestamp) -> Bucket {
        *self.bucket(actor, resource, now)
    }

    /// Takes so many points; `Err` when nothing is left. The last request may cost more than what is left.
    pub(super) fn charge(
        &mut self,
        actor: &str,
        resource: &'static str,
        points: u64,
        now: Timestamp,
    ) -> Result<(), Bucket> {
        let bucket = self.bucket(actor, resource, now);
        if bucket.remaining() == 0 {
            return Err(*bucket);
        }
        bucket.used = (bucket.used + points).min(bucket.limit);
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

    /// Sets how many points of a resource an actor has per window, from now on and in the present window.
    pub(super) fn resize(&mut self, actor: &str, resource: &str, limit: u64) {
        self.sizes.insert((actor.to_owned(), resource.to_owned()), limit);
        for ((have, of), bucket) in &mut self.buckets {
            if have == actor && *of == resource {
                bucket.limit = limit;
            }
        }
    }

    fn bucket(&mut self, actor: &str, resource: &'static str, now: Timestamp) -> &mut Bucket {
        let usual = match (resource, actor) {
            ("search", super::ANONYMOUS) => 10,
            ("search", _) => 30,
            ("code_search", _) => 9,
            (_, super::ANONYMOUS) => 60,
            _ => 5000,
        };
        let limit = self.sizes.get(&(actor.to_owned(), resource.to_owned())).copied().unwrap_or(usual);
        let window = if matches!(resource, "search" | "code_search") { MINUTE } else { HOUR };
        let fresh = Bucket { limit, used: 0, reset: now.plus(window) };
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
        limits.resize("bot", "core", 2);
        assert!(limits.charge("bot", "core", 1, start).is_ok());
        assert!(limits.charge("bot", "core", 1, start).is_ok());
        let empty = limits.charge("bot", "core", 1, start).expect_err("two are gone");
        assert_eq!((empty.remaining(), empty.reset_seconds()), (0, 3600));
        assert!(limits.charge("other", "core", 1, start).is_ok(), "each actor has its own");
        limits.refund("bot", "core", start);
        assert!(limits.charge("bot", "core", 1, start).is_ok());
        assert!(limits.charge("bot", "core", 1, start.plus(HOUR)).is_ok());
    }
}
