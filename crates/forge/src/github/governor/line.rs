//! The line of operations that wait.
//!
//! **Definition.** One lane for each kind that waits for the same things; in a lane those first for whom a person
//! waits, then in order of coming, or in random order after a stop (R15).
//!
//! **Wanted properties.** Only the first of a lane looks whether it may go, so that a thousand waiting operations cost
//! one look, not a thousand. Whoever goes away leaves its place, and the next one learns of it.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Notify;

use super::{Priority, Resource};

/// Writes wait with writes, and reads with reads of the same resource.
pub(super) type Lane = (bool, Resource);
/// Where one stands: priority, order, and a number that no other has.
pub(super) type Place = (Reverse<Priority>, u64, u64);

/// See the module.
#[derive(Default)]
pub(super) struct Line {
    lanes: BTreeMap<Lane, BTreeMap<Place, Arc<Notify>>>,
    number: u64,
}

impl Line {
    /// Stands in line; `order` in place of the order of coming.
    pub(super) fn join(&mut self, lane: Lane, priority: Priority, order: Option<u64>) -> (Place, Arc<Notify>) {
        self.number += 1;
        let place = (Reverse(priority), order.unwrap_or(self.number), self.number);
        let bell = Arc::new(Notify::new());
        self.lanes.entry(lane).or_default().insert(place, Arc::clone(&bell));
        (place, bell)
    }

    /// Leaves it, and lets the others look.
    pub(super) fn leave(&mut self, lane: Lane, place: Place) {
        if let Some(places) = self.lanes.get_mut(&lane) {
            places.remove(&place);
        }
        self.ring();
    }

    /// Whether somebody is before this place, or before one who has none yet.
    pub(super) fn is_behind(&self, lane: Lane, place: Option<Place>, priority: Priority) -> bool {
        let place = place.unwrap_or((Reverse(priority), u64::MAX, u64::MAX));
        self.lanes.get(&lane).and_then(|places| places.keys().next()).is_some_and(|first| *first < place)
    }

    /// How many wait for whom a person waits, at the head of a lane.
    pub(super) fn urgent(&self) -> usize {
        let heads = self.lanes.values().filter_map(|places| places.keys().next());
        heads.filter(|(priority, ..)| priority.0 == Priority::Urgent).count()
    }

    pub(super) fn len(&self) -> usize {
        self.lanes.values().map(BTreeMap::len).sum()
    }

    /// Lets the first of each lane look again.
    pub(super) fn ring(&self) {
        for bell in self.lanes.values().filter_map(|places| places.values().next()) {
            bell.notify_one();
        }
    }
}
