//! How far the looks at repositories have come, for whoever waits.
//!
//! **Definition.** [`Progress`] knows which repositories are being looked at in this process, and how many were since its
//! start, and where somebody pushed last, which is looked at first. **Wanted properties.** A look that is cut short is not at work any more.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use backlog::names::RepoName;
use backlog::time::Timestamp;

/// After so long without a push a repository is dormant.
pub(crate) const DORMANT_AFTER: Duration = Duration::from_hours(90 * 24);

/// See the module. Bounded by the number of repositories.
#[derive(Default)]
pub struct Progress {
    looks: Mutex<Looks>,
}

#[derive(Default)]
struct Looks {
    pushed: BTreeMap<RepoName, Timestamp>,
    expected: usize,
    at_work: BTreeSet<RepoName>,
    done: BTreeSet<RepoName>,
    silent: BTreeMap<RepoName, String>,
}

/// How far it has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Far {
    /// How many repositories there are to look at; 0 when that is not known yet.
    pub of: usize,
    /// How many of them were looked at since the start, whatever came of it.
    pub done: usize,
    /// Those that are being looked at, by name.
    pub at_work: Vec<RepoName>,
}

impl Far {
    /// Whether there is something left to look at for the first time.
    #[must_use]
    pub fn is_under_way(&self) -> bool {
        self.done < self.of
    }
}

impl Progress {
    /// Says how many repositories there are to look at.
    pub fn expect(&self, repositories: usize) {
        self.lock().expected = repositories;
    }

    /// Notes when somebody last pushed to a repository.
    pub(crate) fn pushed(&self, name: &RepoName, at: Timestamp) {
        self.lock().pushed.insert(name.clone(), at);
    }

    /// The order of first looks: where somebody pushed last comes first, sleepy ones and those of which it is not known
    /// come last, by name.
    #[must_use]
    pub fn tier(&self, name: &RepoName) -> (Reverse<Option<Timestamp>>, RepoName) {
        (Reverse(self.lock().pushed.get(name).copied()), name.clone())
    }

    /// Whether a repository was looked at since the start, whatever came of it.
    pub(crate) fn was_looked_at(&self, name: &RepoName) -> bool {
        self.lock().done.contains(name)
    }

    /// Whether nobody has pushed to a repository for [`DORMANT_AFTER`]. One of which that is not known is awake.
    pub(crate) fn is_dormant(&self, name: &RepoName, now: Timestamp) -> bool {
        self.lock().pushed.get(name).is_some_and(|pushed| now.since(*pushed) >= DORMANT_AFTER)
    }

    /// How far it has come.
    #[must_use]
    pub fn far(&self) -> Far {
        let looks = self.lock();
        Far { of: looks.expected, done: looks.done.len(), at_work: looks.at_work.iter().cloned().collect() }
    }

    /// Notes which sources could not answer at the last look at a repository, as finished sentences.
    pub(crate) fn unanswered(&self, name: &RepoName, sentences: &[String]) {
        let mut looks = self.lock();
        match sentences {
            [] => looks.silent.remove(name),
            _ => looks.silent.insert(name.clone(), sentences.join(" ")),
        };
    }

    /// Which sources could not answer at the last look at a repository, and why: their findings are those of before.
    #[must_use]
    pub fn silent(&self, name: &RepoName) -> Option<String> {
        self.lock().silent.get(name).cloned()
    }

    /// Begins a look; it ends when the guard is dropped.
    pub(crate) fn begin(&self, name: &RepoName) -> AtWork<'_> {
        self.lock().at_work.insert(name.clone());
        AtWork { progress: self, name: name.clone() }
    }

    fn lock(&self) -> MutexGuard<'_, Looks> {
        self.looks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A look that is under way.
pub(crate) struct AtWork<'a> {
    progress: &'a Progress,
    name: RepoName,
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        let mut looks = self.progress.lock();
        looks.at_work.remove(&self.name);
        looks.done.insert(self.name.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_somebody_pushed_last_comes_first_and_the_unknown_last() {
        let progress = Progress::default();
        let mut names: Vec<RepoName> = ["a/a", "a/b", "a/c", "a/d"].map(|name| name.parse().unwrap()).to_vec();
        progress.pushed(&names[1], Timestamp(5));
        progress.pushed(&names[3], Timestamp(9));
        names.sort_by_key(|name| progress.tier(name));
        assert_eq!(names.iter().map(RepoName::name).collect::<Vec<_>>(), ["d", "b", "a", "c"]);
    }

    #[test]
    fn a_repository_sleeps_ninety_days_after_its_last_push() {
        let (progress, [asleep, awake, unknown]) =
            (Progress::default(), ["a/a", "a/b", "a/c"].map(|name| name.parse::<RepoName>().unwrap()));
        let now = Timestamp(0).plus(DORMANT_AFTER);
        progress.pushed(&asleep, Timestamp(0));
        progress.pushed(&awake, Timestamp(1));
        assert_eq!([asleep, awake, unknown].map(|name| progress.is_dormant(&name, now)), [true, false, false]);
    }

    #[test]
    fn a_look_is_at_work_until_it_ends_and_counts_once() {
        let progress = Progress::default();
        let name: RepoName = "acme/app".parse().unwrap();
        assert!(!progress.far().is_under_way());
        progress.expect(1);
        assert!(progress.far().is_under_way());
        for _ in 0..2 {
            let at_work = progress.begin(&name);
            assert_eq!(progress.far().at_work, std::slice::from_ref(&name));
            drop(at_work);
        }
        assert_eq!(progress.far(), Far { of: 1, done: 1, at_work: Vec::new() });
    }
}
