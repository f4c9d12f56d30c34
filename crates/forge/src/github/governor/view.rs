//! The limits as people see them: one meter for each thing that is counted.

use std::time::Duration;

use backlog::time::Timestamp;

use super::record::Door;
use super::window::Window;
use super::{Governor, HOUR, MINUTE};
use crate::LimitView;

impl Governor {
    /// The limits as last seen.
    pub(in crate::github) fn view(&self) -> Vec<LimitView> {
        let (inner, now) = (&*self.0, self.0.clock.now());
        let (record, voice) = (inner.record.look().clone(), inner.voice.look().clone());
        let members = record.living(now).max(1);
        let key = inner.record.key();
        let known = !key.starts_with("nobody:") && !key.starts_with("token:");
        let actor = if known { key } else { "an account not yet known".to_owned() };
        let meter = |resource: &str, used: u64, limit: u64, reset_at: Timestamp| LimitView {
            actor: actor.clone(),
            resource: resource.to_owned(),
            limit,
            remaining: limit.saturating_sub(used),
            reset_at,
            paused_until: None,
            reason: None,
            members,
        };
        let mut local = inner.local();
        let mut views = Vec::new();
        for (name, bucket) in local.pools.buckets.iter().filter(|(_, bucket)| bucket.limit > 0) {
            let door = record.resources.get(name).filter(|door| door.closed_until > record.door.closed_until);
            let door = door.unwrap_or(&record.door);
            let used = bucket.limit.saturating_sub(bucket.remaining);
            views.push(paused(meter(name, used, bucket.limit, bucket.reset_at), door, now));
        }
        let (used, most) = (local.pools.usage(now), inner.shares(members as u64));
        let minute = now.plus(MINUTE);
        views.push(meter("points-minute", used.points[0], most.points[0], minute));
        views.push(meter("graphql-points-minute", used.points[1], most.points[1], minute));
        views.push(meter("work-ms-minute", used.work[0] + used.work[1], most.work[0], minute));
        views.push(meter("graphql-work-ms-minute", used.work[1], most.work[1], minute));
        let mut slots = meter("concurrency", local.pools.under_way() as u64, local.pools.slots as u64, now);
        let host = inner.breaker.open_until();
        if host > now {
            slots.paused_until = Some(host);
            slots.reason = Some("most requests to the host fail".to_owned());
        }
        views.push(slots);
        let limits = &inner.limits;
        let count = |sent: &Window, window: Duration| {
            let (used, oldest) = sent.count(window, now);
            (used, oldest.map_or(now, |oldest| oldest.plus(window)))
        };
        let pulls = voice.pulls_allowed(limits.pulls_per_hour, limits.pulls_per_hour_most, now);
        let windows = [
            ("content-minute", count(&voice.content, MINUTE), limits.content_per_minute),
            ("content", count(&voice.content, HOUR), limits.content_per_hour),
            ("pulls", count(&voice.pulls, HOUR), pulls),
        ];
        for (name, (used, reset_at), most) in windows {
            views.push(paused(meter(name, used, most as u64, reset_at), &voice.door, now));
        }
        views
    }
}

fn paused(view: LimitView, door: &Door, now: Timestamp) -> LimitView {
    let closed = door.closed_until > now;
    LimitView {
        paused_until: closed.then_some(door.closed_until),
        reason: closed.then(|| door.reason.clone()).filter(|reason| !reason.is_empty()),
        ..view
    }
}
