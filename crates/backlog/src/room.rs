//! How many more proposals there is room for.
//!
//! **Definition.** [`Caps`] are what an operator allows, [`Load`] is what waits for people already; [`room`] compares.
//!
//! **Wanted properties.** Never more than any cap allows; whoever asks why nothing is proposed gets the one cap that has
//! to give way, the one closest to the people who could make it: their pull requests first.

#[cfg(test)]
mod tests;

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
