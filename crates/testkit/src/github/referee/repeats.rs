//! Creations with the same marker: two that were executed, or one sent again after an unknown outcome without a look in
//! between.

use std::collections::BTreeMap;

use super::{Request, Verdict};

/// What is known of the creations with one marker at one path.
#[derive(Debug, Default)]
struct Creation {
    /// The first that was executed.
    executed: Option<u64>,
    last: u64,
    last_status: Option<u16>,
    /// How often the actor had looked when the last one was sent.
    looks: u64,
    /// Whether the last one was sent without a look.
    blind: bool,
}

/// All creations with a marker.
#[derive(Debug, Default)]
pub(super) struct Repeats(BTreeMap<(String, String), Creation>);

impl Repeats {
    /// A creation arrives.
    pub(super) fn arrive(&mut self, request: &Request, marker: &str, looks: u64) {
        let key = (request.path.clone(), marker.to_owned());
        let known = self.0.contains_key(&key);
        let creation = self.0.entry(key).or_default();
        let unknown = known && creation.last_status.is_none_or(|status| status >= 500);
        creation.blind = unknown && creation.looks == looks;
        creation.last = request.arrival;
        creation.last_status = None;
        creation.looks = looks;
    }

    /// A creation is over; says what is wrong with it.
    pub(super) fn leave(&mut self, arrival: u64, path: &str, marker: &str, verdict: &Verdict) -> Option<String> {
        let creation = self.0.get_mut(&(path.to_owned(), marker.to_owned()))?;
        let last = creation.last == arrival;
        if last {
            creation.last_status = verdict.status;
        }
        let first = if verdict.executed { *creation.executed.get_or_insert(arrival) } else { arrival };
        if first != arrival {
            return Some(format!("requests {first} and {arrival} both created {marker} at {path}"));
        }
        let blind = last && creation.blind;
        blind.then(|| format!("request {arrival} repeated the creation of {marker} at {path} without looking first"))
    }
}
