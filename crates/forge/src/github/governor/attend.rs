//! Being one of the processes that send for an actor; see the governor's text for the protocol.

use backlog::time::Timestamp;

use super::pools::{Usage, most_points, most_work};
use super::record::{LEASE, Member, Record};
use super::{Inner, Limits, NOTICED_AFTER, READ_EVERY};
use crate::LedgerError;

/// One part in so many of a minute's budget may be used before the record learns of it.
const AHEAD: u64 = 5;

/// What has to be done before the next admission.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Due {
    Nothing,
    /// Others write into the record.
    Read,
    /// Our word in the record is too old, or we used more than it says.
    Sign,
}

impl Inner {
    /// Makes sure that the others know of us, and we of what they wrote.
    pub(super) async fn attend(&self) -> Result<(), LedgerError> {
        match self.due() {
            Due::Nothing => return Ok(()),
            Due::Read => {
                self.record.read().await?;
                if self.record.look().leads_to.is_none() {
                    return Ok(());
                }
                // Another process learnt who the actor is: what counts is elsewhere now.
                self.local().lease = Timestamp::default();
            }
            Due::Sign => {}
        }
        let _attending = self.attending.lock().await;
        if self.due() == Due::Sign { self.sign().await } else { Ok(()) }
    }

    fn due(&self) -> Due {
        let (now, old, mut local) = (self.clock.now(), self.record.is_old(), self.local());
        let used = local.pools.usage(now);
        if now >= local.lease || (local.owing && now >= local.known_at) || !used.is_within(local.declared) {
            return Due::Sign;
        }
        if local.alone {
            return if old || now.since(local.read_at) >= READ_EVERY { Due::Sign } else { Due::Nothing };
        }
        if local.lease.since(now) <= LEASE / 2 { Due::Sign } else { Due::Read }
    }

    /// Writes ourselves into the record for another while, with what we may have used before we do so again.
    async fn sign(&self) -> Result<(), LedgerError> {
        let now = self.clock.now();
        if self.voice.is_old() {
            self.voice.read().await?;
        }
        let (declared, joining) = {
            let mut local = self.local();
            (local.pools.usage(now).plus(self.shares(AHEAD)), local.lease <= now)
        };
        let sign = |record: &mut Record| {
            record.tidy(now);
            record.members.remove(&self.me);
            let others = record.living(now);
            let unaware = record.members.values().any(|member| member.until > now && member.alone);
            let theirs = record.members.values().map(|member| member.usage).fold(Usage::default(), Usage::plus);
            let member = Member { until: now.plus(LEASE), alone: others == 0, usage: declared };
            record.members.insert(self.me.clone(), member);
            (others, unaware, theirs)
        };
        let (others, unaware, theirs) = self.change(now, sign).await?;
        let members = self.record.look().members.len() as u64;
        let mut local = self.local();
        local.lease = now.plus(LEASE);
        local.alone = others == 0;
        local.read_at = now;
        local.declared = declared;
        if joining {
            local.owing = true;
            local.known_at = if unaware { now.plus(NOTICED_AFTER) } else { now };
        }
        // Not before the others know of us: until then they may use all.
        if local.owing && now >= local.known_at {
            local.owing = false;
            local.pools.owe(theirs, &self.limits, members, now);
        }
        Ok(())
    }

    /// Changes the record; when the one at hand leads to another, because a process learnt who the actor is, that one.
    pub(super) async fn change<R>(&self, now: Timestamp, change: impl Fn(&mut Record) -> R) -> Result<R, LedgerError> {
        let here = |record: &mut Record| match &record.leads_to {
            Some(key) => Err(key.clone()),
            None => Ok(change(record)),
        };
        let key = match self.record.change(now, here).await? {
            Ok(changed) => return Ok(changed),
            Err(key) => key,
        };
        self.record.go_to(&key);
        self.voice.go_to(&format!("voice:{key}"));
        self.local().lease = Timestamp::default();
        self.voice.read().await?;
        let changed = self.record.change(now, here).await?;
        changed.map_err(|key| LedgerError(format!("the limits' record of {key} leads to another one again")))
    }

    /// Goes over to another record, taking along what this one knows of closed doors.
    pub(super) async fn move_to(&self, key: String) -> Result<(), LedgerError> {
        let now = self.clock.now();
        let _attending = self.attending.lock().await;
        let from = self.record.key();
        if from == key {
            return Ok(());
        }
        let taken = self.record.look().clone();
        if from.starts_with("token:") {
            self.record
                .change(now, |record| *record = Record { leads_to: Some(key.clone()), ..Record::default() })
                .await?;
        }
        self.record.go_to(&key);
        self.record.read().await?;
        self.local().lease = Timestamp::default();
        if taken.door.closed_until <= now && taken.resources.is_empty() {
            return Ok(());
        }
        let merge = |record: &mut Record| {
            record.door.merge(&taken.door);
            for (name, door) in &taken.resources {
                if let Some(here) = record.resource(name) {
                    here.merge(door);
                }
            }
        };
        self.record.change(now, merge).await
    }

    /// Leaves the record; what was used stays in it for a minute.
    pub(super) async fn depart(&self) {
        let now = self.clock.now();
        let usage = self.local().pools.usage(now);
        let leave = |record: &mut Record| {
            let there = record.members.remove(&self.me).is_some();
            if there && usage != Usage::default() {
                record.members.insert(self.me.clone(), Member { until: now, alone: false, usage });
            }
        };
        if let Err(error) = self.change(now, leave).await {
            tracing::debug!(%error, "the record of GitHub's limits forgets this process by itself");
        }
    }

    /// What this process may use in a minute as one of `members`: points and work by kind.
    pub(super) fn shares(&self, members: u64) -> Usage {
        let share = |most: fn(&Limits, usize) -> u64| std::array::from_fn(|kind| most(&self.limits, kind) / members);
        Usage { points: share(most_points), work: share(most_work) }
    }
}

impl Usage {
    fn is_within(self, most: Self) -> bool {
        (0..2).all(|kind| self.points[kind] <= most.points[kind] && self.work[kind] <= most.work[kind])
    }

    fn plus(self, other: Self) -> Self {
        let sum = |one: [u64; 2], two: [u64; 2]| [one[0] + two[0], one[1] + two[1]];
        Self { points: sum(self.points, other.points), work: sum(self.work, other.work) }
    }
}
