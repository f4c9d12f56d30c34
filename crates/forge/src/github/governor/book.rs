//! What is booked in the record before a request leaves: the write gate, content, mints and probes.

use std::sync::atomic::Ordering;
use std::time::Duration;

use backlog::names::RepoName;
use backlog::time::Timestamp;

use super::record::{Hold, Passage, Record, Voice};
use super::{Ask, HOUR, Inner, LOOK_AGAIN, Local, MINUTE, Permit, Traffic};
use crate::github::client::Failure;

/// What a timer is late by at most: a write that starts so late counts as having started in time. Without this every
/// write would be late by all the lateness before it, and the pace slower than the one that is configured.
const LATE: Duration = Duration::from_millis(5);

impl Inner {
    /// When a write may start: alone, at its distance from the last one, within the budget of content.
    pub(super) fn gate_at(&self, ask: &Ask, record: &Record, local: &Local, now: Timestamp) -> Timestamp {
        let limits = &self.limits;
        let mut at = record.last_write.max(local.last_write).plus(limits.write_spacing);
        if let Some(hold) = record.gate.as_ref().filter(|hold| hold.member != self.me && hold.until > now) {
            at = at.max(hold.until.min(now.plus(LOOK_AGAIN)));
        }
        if ask.traffic.is_content() {
            at = at.max(record.last_notice.max(local.last_notice).plus(limits.notice_spacing));
            at = at.max(self.voice_at(ask.traffic, &self.voice.look(), now));
        }
        if let Some(repository) = &ask.repository {
            let merged = [record.merges.get(&repository.to_string()), local.merges.get(repository)];
            at = merged.into_iter().flatten().map(|last| last.plus(limits.merge_spacing)).fold(at, Timestamp::max);
        }
        at
    }

    /// When this identity may say one more thing (R12, R20).
    fn voice_at(&self, traffic: Traffic, voice: &Voice, now: Timestamp) -> Timestamp {
        let limits = &self.limits;
        let at = voice
            .door
            .closed_until
            .max(voice.content.opens(limits.content_per_minute, MINUTE))
            .max(voice.content.opens(limits.content_per_hour, HOUR));
        if traffic == Traffic::NewPull {
            let allowed = voice.pulls_allowed(limits.pulls_per_hour, limits.pulls_per_hour_most, now);
            return at.max(voice.pulls.opens(allowed, HOUR));
        }
        at
    }

    /// Books in the record what all processes must know of before the request leaves. `Err` inside says when to look
    /// again, because another process was faster.
    pub(super) async fn commit(&self, mut permit: Permit, ask: &Ask) -> Result<Result<Permit, Timestamp>, Failure> {
        let (write, mint) = (ask.traffic.is_write(), ask.traffic == Traffic::Mint);
        if !write && !mint && permit.probes.is_empty() {
            return Ok(Ok(permit));
        }
        let now = permit.granted_at;
        let until = now.plus(self.limits.request_timeout).plus(Duration::from_secs(10));
        let hold = Hold { member: self.me.clone(), number: permit.number, until };
        permit.gate = write;
        let start = match self.change(now, |record| self.book(record, ask, &permit.probes, &hold, now)).await? {
            Ok(start) => start,
            Err(at) => {
                permit.gate = false;
                permit.probes.clear();
                return Ok(Err(at));
            }
        };
        if write {
            let mut local = self.local();
            local.last_write = start;
            if ask.traffic.is_content() {
                local.last_notice = start;
            }
        }
        if ask.traffic.is_content() {
            let said = self.voice.change(now, |voice| self.say(voice, ask.traffic, now)).await?;
            if let Err(at) = said {
                permit.refused.store(true, Ordering::Relaxed);
                return Ok(Err(at));
            }
        }
        Ok(Ok(permit))
    }

    /// Gives the start that the next write keeps its distance from.
    fn book(
        &self,
        record: &mut Record,
        ask: &Ask,
        probes: &[String],
        hold: &Hold,
        now: Timestamp,
    ) -> Result<Timestamp, Timestamp> {
        let mut start = now;
        if let Passage::Closed(until) = record.door.passage(now) {
            return Err(until);
        }
        for scope in probes {
            match record.scope(scope).map(|door| door.passage(now)) {
                Some(Passage::Probe) => {}
                Some(Passage::Closed(until)) => return Err(until),
                _ => return Err(now.plus(LOOK_AGAIN)),
            }
        }
        if ask.traffic.is_write() {
            let at = self.gate_at(ask, record, &self.local(), now);
            if at > now {
                return Err(at);
            }
            if now.since(at) <= LATE {
                start = at;
            }
            record.gate = Some(hold.clone());
            record.last_write = start;
            if ask.traffic.is_content() {
                record.last_notice = start;
            }
        }
        if ask.traffic == Traffic::Mint {
            let at = record.mints.opens(self.limits.mints_per_hour, HOUR);
            if at > now {
                return Err(at);
            }
            record.mints.book(now);
        }
        for scope in probes {
            if let Some(door) = record.scope(scope) {
                door.probe = Some(hold.clone());
            }
        }
        Ok(start)
    }

    fn say(&self, voice: &mut Voice, traffic: Traffic, now: Timestamp) -> Result<(), Timestamp> {
        let at = self.voice_at(traffic, voice, now);
        if at > now {
            return Err(at);
        }
        voice.content.book(now);
        if traffic == Traffic::NewPull {
            voice.pulls.book(now);
            if voice.pulls_since == Timestamp::default() {
                voice.pulls_since = now;
            }
        }
        Ok(())
    }

    /// Gives back what a request held.
    pub(super) async fn give_back(&self, number: u64, at: Timestamp, probes: &[String], merged: Option<RepoName>) {
        let ours =
            |hold: &Option<Hold>| hold.as_ref().is_some_and(|hold| hold.member == self.me && hold.number == number);
        let change = |record: &mut Record| {
            if ours(&record.gate) {
                record.gate = None;
            }
            for scope in probes {
                if let Some(door) = record.scope(scope)
                    && ours(&door.probe)
                {
                    door.probe = None;
                }
            }
            if let Some(repository) = &merged {
                record.merges.insert(repository.to_string(), at);
            }
        };
        if let Err(error) = self.change(self.clock.now(), change).await {
            tracing::warn!(%error, "what a request held at GitHub's limits is free again when its time is over");
        }
        self.local().line.ring();
    }
}
