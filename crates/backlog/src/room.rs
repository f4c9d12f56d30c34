//! How many more proposals there is room for.
//!
//! **Definition.** [`Caps`] are what an operator allows, [`Load`] is what waits for people already; [`room`] compares.
//! [`shares`] gives the places that an owner has left to the best tasks of all its repositories.
//!
//! **Wanted properties.** Never more than any cap allows; whoever asks why nothing is proposed gets the one cap that has
//! to give way, the one closest to the people who could make it: their pull requests first. The same tasks get the same
//! places, whichever repository was looked at first.

#[cfg(test)]
mod tests;

use std::cmp::Reverse;

use crate::names::{RepoName, TaskId};
use crate::task::{Stage, Task};
use crate::time::Timestamp;

/// The most that may wait for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Pull requests of ours in one repository; when so many are open, nothing new is proposed there.
    pub pulls_per_repository: usize,
    /// Open proposals in one repository.
    pub per_repository: usize,
    /// Open proposals in all repositories of one owner.
    pub per_owner: usize,
}

/// What waits for people now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Pull requests of ours in the repository.
    pub pulls: usize,
    /// Open proposals of work in the repository.
    pub repository: usize,
    /// Open proposals of work in all repositories of its owner.
    pub owner: usize,
}

/// Which cap is reached, and what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// As many pull requests wait for people as may.
    Pulls(usize),
    /// As many proposals are open in the repository as may be.
    Repository(usize),
    /// As many proposals are open in the owner's repositories as may be.
    Owner(usize),
}

/// How many more tasks may be proposed: more than none, or which cap is reached.
///
/// # Errors
/// [`Full`], which is an answer and no failure.
pub fn room(caps: &Caps, load: &Load) -> Result<usize, Full> {
    if load.pulls >= caps.pulls_per_repository {
        return Err(Full::Pulls(caps.pulls_per_repository));
    }
    let here = caps.per_repository.saturating_sub(load.repository);
    let owner = caps.per_owner.saturating_sub(load.owner);
    match here.min(owner) {
        0 if here == 0 => Err(Full::Repository(caps.per_repository)),
        0 => Err(Full::Owner(caps.per_owner)),
        free => Ok(free),
    }
}

/// What waits in one repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Which.
    pub repository: RepoName,
    /// How many proposals are open.
    pub proposed: usize,
    /// How many pull requests of ours wait for people.
    pub pulls: usize,
    /// What could be proposed.
    pub found: Vec<Candidate>,
}

/// A task that could be proposed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Which.
    pub id: TaskId,
    /// Its points.
    pub points: i64,
    /// When it was found first.
    pub created_at: Timestamp,
}

impl Candidate {
    /// Best first. Of equal points it is the one that was found on an earlier day, then the one with the smaller id: which
    /// repository was looked at first must not decide.
    fn order(&self) -> (Reverse<i64>, i64, &TaskId) {
        const DAY: i64 = 86_400_000;
        (Reverse(self.points), self.created_at.0.div_euclid(DAY), &self.id)
    }
}

impl Waiting {
    /// What waits in a repository, by its tasks.
    #[must_use]
    pub fn of(repository: &RepoName, tasks: &[Task]) -> Self {
        let count = |stage| tasks.iter().filter(|task| task.state.stage() == stage).count();
        let found = tasks.iter().filter(|task| task.state.stage() == Stage::Found).map(|task| Candidate {
            id: task.id.clone(),
            points: task.score.points,
            created_at: task.created_at,
        });
        Self {
            repository: repository.clone(),
            proposed: count(Stage::Proposed),
            pulls: count(Stage::InReview),
            found: found.collect(),
        }
    }

    /// How many more proposals its own caps leave room for, whatever its owner's other repositories have.
    #[must_use]
    pub fn room(&self, caps: &Caps) -> usize {
        let load = Load { pulls: self.pulls, repository: self.proposed, owner: 0 };
        room(&Caps { per_owner: usize::MAX, ..*caps }, &load).unwrap_or(0)
    }
}

/// The tasks that get the `places` that an owner has left: the best of all repositories, in each at most as many as it has
/// room for. Best first.
#[must_use]
pub fn shares(waiting: &[(Waiting, usize)], places: usize) -> Vec<(RepoName, TaskId)> {
    let mut best: Vec<(&RepoName, &Candidate)> = Vec::new();
    for (here, room) in waiting {
        let mut found: Vec<&Candidate> = here.found.iter().collect();
        found.sort_by_key(|one| one.order());
        best.extend(found.into_iter().take(*room).map(|one| (&here.repository, one)));
    }
    best.sort_by_key(|(_, one)| one.order());
    best.into_iter().take(places).map(|(repository, one)| (repository.clone(), one.id.clone())).collect()
}
