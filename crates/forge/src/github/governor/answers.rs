//! What answers tell the governor: what is left, limits, success, and that the host stumbles.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use backlog::time::Timestamp;
use http::{HeaderMap, StatusCode};

use super::record::{Door, Record, Voice};
use super::{
    CONTENT_CLOSED, CONTENT_DOUBLINGS, Governor, Inner, MINUTE, Permit, SECONDARY, STRIKES, Traffic, random_part,
};
use crate::LedgerError;
use crate::github::limit::{LONGEST, Limit, epoch, number, text_of};

impl Governor {
    /// Reads the limit headers of any answer (R3, R6), and takes note that the request is over.
    pub(in crate::github) async fn observe(
        &self,
        permit: &Permit,
        status: StatusCode,
        headers: &HeaderMap,
    ) -> Result<(), LedgerError> {
        let (inner, now) = (&*self.0, self.0.clock.now());
        permit.end();
        if status.is_client_error() {
            permit.refused.store(true, Ordering::Relaxed);
        }
        let numbers = number(headers, "x-ratelimit-remaining").zip(number(headers, "x-ratelimit-reset"));
        let Some((remaining, reset)) = numbers else { return Ok(()) };
        let (limit, reset_at) =
            (number(headers, "x-ratelimit-limit").unwrap_or(remaining), epoch(reset).min(now.plus(LONGEST)));
        let name = text_of(headers, "x-ratelimit-resource");
        let name = {
            let mut local = inner.local();
            let Some(bucket) = local.pools.told(permit.resource, name) else { return Ok(()) };
            // A refusal is never out of date.
            bucket.observe(limit, remaining, reset_at, status.is_client_error(), now);
            name.map_or_else(|| local.pools.name(permit.resource).to_owned(), |name| name.chars().take(40).collect())
        };
        if remaining > 0 || reset_at <= now || status.is_client_error() {
            return Ok(());
        }
        let until = reset_at.plus(Duration::from_secs(1)).plus(random_part(Duration::from_secs(30)));
        let close = |record: &mut Record| {
            if let Some(door) = record.resource(&name) {
                door.close(until, "used up");
            }
        };
        inner.change(now, close).await
    }

    /// Applies a limit that the answer to `permit`'s request spoke about; gives the time until which it holds, and
    /// whether it was one too many in a row (R9).
    pub(in crate::github) async fn limited(
        &self,
        limit: Limit,
        headers: &HeaderMap,
        permit: &Permit,
    ) -> Result<(Timestamp, bool), LedgerError> {
        let (inner, traffic, granted_at) = (Arc::clone(&self.0), permit.traffic, permit.granted_at);
        let name = inner.local().pools.name(permit.resource).to_owned();
        let resource = text_of(headers, "x-ratelimit-resource").map_or(name, |name| name.chars().take(40).collect());
        // In a task of its own: a caller that goes away must not take the pause along.
        let applied = tokio::spawn(async move { inner.apply(limit, &resource, traffic, granted_at).await }).await;
        let (until, one_too_many) = applied.map_err(|error| LedgerError(error.to_string()))??;
        tracing::warn!(?limit, %until, "GitHub limits this account");
        if one_too_many {
            tracing::error!(
                "GitHub's secondary limit was met {STRIKES} times in a row; lower the pace, or look whether something \
                else uses the same account"
            );
        }
        Ok((until, one_too_many))
    }

    /// A request was dealt with: when it was sent after the last limit, that is over.
    pub(in crate::github) async fn succeeded(&self, permit: &Permit) -> Result<(), LedgerError> {
        let (inner, now) = (&*self.0, self.0.clock.now());
        inner.local().pools.clean(&inner.limits);
        inner.breaker.note(false, now);
        let granted_at = permit.granted_at;
        let over = |door: &Door| door.strikes > 0 && !door.probing && granted_at > door.last_limit;
        let struck = over(&inner.record.look().door);
        if struck || !permit.probes.is_empty() {
            let open = |record: &mut Record| {
                for scope in &permit.probes {
                    if let Some(door) = record.scope(scope)
                        && granted_at >= door.last_limit
                    {
                        door.proved_open(now);
                    }
                }
                if over(&record.door) {
                    record.door.strikes = 0;
                }
            };
            inner.change(now, open).await?;
            inner.local().line.ring();
        }
        if permit.traffic.is_content() && over(&inner.voice.look().door) {
            inner.voice.change(now, |voice| voice.door.strikes = 0).await?;
        }
        Ok(())
    }

    /// A request ended badly: with a 5xx (`status`), or without an answer.
    pub(in crate::github) fn stumbled(&self, permit: &Permit, status: Option<StatusCode>) {
        let now = self.0.clock.now();
        permit.end();
        self.0.breaker.note(true, now);
        if status.is_none_or(|status| matches!(status.as_u16(), 502..=504)) {
            self.0.local().pools.halve(permit.granted_at, now);
        }
    }

    /// Sleeps before the `n`-th repetition (from 1) of a read: a random part of 2, 4, 8 … units, at most 30 (R24).
    pub(in crate::github) async fn back_off(&self, n: u32) {
        let most = self.0.limits.backoff.saturating_mul(2u32.saturating_pow(n).min(30));
        self.0.sleep.sleep(random_part(most)).await;
    }

    /// Lets time pass between steps that belong together, such as the tries of a merge.
    pub(in crate::github) async fn rest(&self, units: u32) {
        self.0.sleep.sleep(self.0.limits.backoff.saturating_mul(units)).await;
    }
}

impl Inner {
    async fn apply(
        &self,
        limit: Limit,
        resource: &str,
        traffic: Traffic,
        granted_at: Timestamp,
    ) -> Result<(Timestamp, bool), LedgerError> {
        let now = self.clock.now();
        // All in flight at once meet different random parts of the same pause: the longest counts.
        let jitter = random_part(Duration::from_millis(100)).as_secs_f64();
        let actor = |record: &mut Record| {
            let door = &mut record.door;
            // Sent before the last limit was known: the same event, which must not escalate twice.
            let news = granted_at > door.last_limit || door.closed_until <= now;
            let mut one_too_many = false;
            match limit {
                Limit::Pause(wait) => door.close(now.plus(wait).plus(wait.mul_f64(jitter)), "asked to wait"),
                Limit::Secondary if news => {
                    door.strikes = (door.strikes + 1).min(STRIKES);
                    one_too_many = door.strikes == STRIKES;
                    door.close(now.plus(SECONDARY * 2u32.pow(door.strikes - 1)), "secondary limit");
                }
                Limit::Content(wait) => door.close(now.plus(wait.unwrap_or(MINUTE)), "too much content"),
                Limit::Secondary => {}
                Limit::Empty(reset) => {
                    let until = reset.max(now).plus(Duration::from_secs(1));
                    let Some(door) = record.resource(resource) else { return (until, false) };
                    door.close(until, "used up");
                    return (door.closed_until, false);
                }
            }
            door.last_limit = now;
            (door.closed_until, one_too_many)
        };
        let (until, one_too_many) = self.change(now, actor).await?;
        let Limit::Content(wait) = limit else { return Ok((until, one_too_many)) };
        let content = |voice: &mut Voice| {
            let news = granted_at > voice.door.last_limit || voice.door.closed_until <= now;
            if news {
                let closed = CONTENT_CLOSED * 2u32.pow(voice.door.strikes.min(CONTENT_DOUBLINGS));
                voice.door.closed_until = voice.door.closed_until.max(now.plus(closed.max(wait.unwrap_or_default())));
                "too much content".clone_into(&mut voice.door.reason);
                voice.door.strikes += 1;
                voice.door.last_limit = now;
                if traffic == Traffic::NewPull {
                    let limits = &self.limits;
                    let allowed = voice.pulls_allowed(limits.pulls_per_hour, limits.pulls_per_hour_most, now);
                    voice.pulls_allowed = Some((allowed as f64 / 2.0).max(1.0));
                    voice.pulls_since = now;
                }
            }
            voice.door.closed_until
        };
        let closed = self.voice.change(now, content).await?;
        Ok((if traffic.is_content() { closed } else { until }, one_too_many))
    }
}
