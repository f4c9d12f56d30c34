//! Deliveries: what a code host says has just happened.
//!
//! **Definition.** A code host delivers an event by a request to us (a webhook). What we keep of one is a [`Delivery`]:
//! who it is about, never what it says.
//!
//! **Wanted properties.** A delivery is a hint: it says where to look, and the look alone decides. So a lost, doubled,
//! late, forged-from-old or reordered one can cost a look, and change nothing by itself.

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::names::RepoName;
use crate::time::Timestamp;

/// Where to look.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "about", content = "repository", rename_all = "snake_case")]
pub enum About {
    /// At the code of a repository: its default branch moved.
    Code(RepoName),
    /// At the issues and pull requests of a repository.
    Work(RepoName),
    /// There too, and whether its issues are work now.
    Issues(RepoName),
    /// There too, and at the checks of its default branch.
    Checks(RepoName),
    /// At the security alerts of a repository.
    Alerts(RepoName),
    /// At which repositories there are and what may be done in them.
    Repositories,
    /// Nowhere: the event is of no interest, or this version does not know it.
    Nothing,
}

/// One event of a code host, as far as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// The code host's id of it, the same when it is sent again; at most [`ID_CHARS`] characters.
    pub id: String,
    /// The code host's name of the event with its action, such as `issues.labeled`.
    pub event: String,
    /// Where to look.
    #[serde(flatten)]
    pub about: About,
    /// Id of the installation it came through, for an app.
    pub installation: Option<u64>,
    /// Id of the account that caused it.
    pub sender: Option<u64>,
    /// The thing that changed, such as `acme/app issue 12`; empty when it has no time of change.
    pub subject: String,
    /// When that thing changed last, as the event says.
    pub updated_at: Option<Timestamp>,
}

/// The most characters of a delivery's id; GitHub's have 36.
pub const ID_CHARS: usize = 100;

impl Delivery {
    /// Whether a later state of the same thing was looked at already, so that this one can tell nothing new (R48).
    /// Two events of one second have the same time: the second still counts.
    #[must_use]
    pub fn is_older_than(&self, seen: Option<Timestamp>) -> bool {
        !self.subject.is_empty() && matches!((self.updated_at, seen), (Some(at), Some(seen)) if at < seen)
    }
}
