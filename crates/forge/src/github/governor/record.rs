//! What the processes of one actor share, as it is stored.

use std::collections::BTreeMap;
use std::time::Duration;

use backlog::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::pools::Usage;
use super::window::Window;
use super::{HOUR, MINUTE, RESOURCES};

/// How long a process counts as one that sends, after it last said so.
pub(super) const LEASE: Duration = Duration::from_secs(10);
/// How many processes are told apart; the oldest are forgotten.
const MEMBERS: usize = 64;
/// How many repositories' merges are remembered; each for a minute.
const MERGES: usize = 256;
/// The rate doubles so often before it counts as normal (R15): 1, 2, 4, then 8 a second and more.
const DOUBLINGS: u32 = 3;
const DOUBLES_EVERY: Duration = Duration::from_secs(10);

/// One actor.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Record {
    /// The record under which this actor really goes: a token's record leads to its user's.
    pub(super) leads_to: Option<String>,
    pub(super) members: BTreeMap<String, Member>,
    /// The whole actor's.
    pub(super) door: Door,
    pub(super) resources: BTreeMap<String, Door>,
    /// The one write under way.
    pub(super) gate: Option<Hold>,
    pub(super) last_write: Timestamp,
    pub(super) last_notice: Timestamp,
    /// The last merge of each repository.
    pub(super) merges: BTreeMap<String, Timestamp>,
    pub(super) mints: Window,
}

/// What one bot identity said, through whichever actor.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Voice {
    pub(super) door: Door,
    pub(super) content: Window,
    pub(super) pulls: Window,
    /// Pull requests an hour at `pulls_since`; it grows from there.
    pub(super) pulls_allowed: Option<f64>,
    pub(super) pulls_since: Timestamp,
}

/// A process that sends.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Member {
    /// It counts until then.
    pub(super) until: Timestamp,
    /// It knows of no other, and so reads this record seldom.
    pub(super) alone: bool,
    /// What it used in the last minute, and may use before its next word.
    pub(super) usage: Usage,
}

/// Something that one process has, until it gives it back or its time is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Hold {
    pub(super) member: String,
    pub(super) number: u64,
    pub(super) until: Timestamp,
}

/// What an actor, a resource or a voice goes through.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Door {
    pub(super) closed_until: Timestamp,
    pub(super) reason: String,
    /// Limits without a number in a row.
    pub(super) strikes: u32,
    pub(super) last_limit: Timestamp,
    /// Whether one request goes ahead before the others.
    pub(super) probing: bool,
    pub(super) probe: Option<Hold>,
    /// When the probe came back well.
    pub(super) ramp_since: Option<Timestamp>,
}

/// How a door lets through.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Passage {
    Open,
    Closed(Timestamp),
    /// Whoever is first may go ahead alone.
    Probe,
    /// One went ahead.
    Probed,
    /// So many requests a second.
    Ramp(f64),
}

/// The requests a second at this time after a stop; `None` when any rate is fine again.
pub(super) fn ramp(since: Timestamp, now: Timestamp) -> Option<f64> {
    let doublings = u32::try_from(now.since(since).as_secs() / DOUBLES_EVERY.as_secs()).unwrap_or(u32::MAX);
    (doublings < DOUBLINGS).then(|| f64::from(1u32 << doublings))
}

impl Door {
    pub(super) fn passage(&self, now: Timestamp) -> Passage {
        if self.closed_until > now {
            return Passage::Closed(self.closed_until);
        }
        if self.probing {
            return if self.probe.as_ref().is_some_and(|hold| hold.until > now) {
                Passage::Probed
            } else {
                Passage::Probe
            };
        }
        self.ramp_since.and_then(|since| ramp(since, now)).map_or(Passage::Open, Passage::Ramp)
    }

    pub(super) fn close(&mut self, until: Timestamp, reason: &str) {
        if until > self.closed_until {
            self.closed_until = until;
            reason.clone_into(&mut self.reason);
        }
        self.probing = true;
        self.probe = None;
        self.ramp_since = None;
    }

    pub(super) fn proved_open(&mut self, now: Timestamp) {
        if self.probing {
            self.ramp_since = Some(now);
        }
        self.probing = false;
        self.probe = None;
        self.strikes = 0;
    }

    /// Keeps the stricter of two.
    pub(super) fn merge(&mut self, other: &Self) {
        if other.closed_until > self.closed_until {
            *self = other.clone();
        }
    }
}

impl Record {
    /// How many processes share a minute's budget: those that send, and those whose use still counts.
    pub(super) fn sharing(&self, now: Timestamp) -> u64 {
        self.members.values().filter(|member| member.until.plus(MINUTE) > now).count() as u64
    }

    /// How many processes send at present.
    pub(super) fn living(&self, now: Timestamp) -> usize {
        self.members.values().filter(|member| member.until > now).count()
    }

    /// A resource's door; `None` when there are as many as there may be.
    pub(super) fn resource(&mut self, name: &str) -> Option<&mut Door> {
        if self.resources.len() >= RESOURCES && !self.resources.contains_key(name) {
            return None;
        }
        Some(self.resources.entry(name.to_owned()).or_default())
    }

    /// The door of a scope: the actor's own, or a resource's.
    pub(super) fn scope(&mut self, name: &str) -> Option<&mut Door> {
        if name == super::ACTOR { Some(&mut self.door) } else { self.resources.get_mut(name) }
    }

    /// Forgets what is over.
    pub(super) fn tidy(&mut self, now: Timestamp) {
        self.members.retain(|_, member| member.until.plus(MINUTE) > now);
        while self.members.len() > MEMBERS {
            let oldest = self.members.iter().min_by_key(|(_, member)| member.until).map(|(name, _)| name.clone());
            self.members.remove(&oldest.unwrap_or_default());
        }
        self.merges.retain(|_, at| at.plus(HOUR) > now);
        while self.merges.len() > MERGES {
            let oldest = self.merges.iter().min_by_key(|(_, at)| **at).map(|(name, _)| name.clone());
            self.merges.remove(&oldest.unwrap_or_default());
        }
        self.resources.retain(|_, door| door.closed_until.plus(HOUR) > now || door.probing);
    }
}

impl Voice {
    /// Pull requests an hour at present: a tenth more for each hour without a limit.
    pub(super) fn pulls_allowed(&self, start: usize, most: usize, now: Timestamp) -> usize {
        let hours =
            if self.pulls_since == Timestamp::default() { 0 } else { now.since(self.pulls_since).as_secs() / 3600 };
        let grown =
            self.pulls_allowed.unwrap_or(start as f64) * 1.1f64.powi(i32::try_from(hours.min(1_000)).unwrap_or(0));
        (grown.min(most as f64) as usize).max(1)
    }
}
