//! Write intents: what is about to be created on a code host, stored before it is sent.
//!
//! **Definition.** No create call of a code host is idempotent. An intent is the durable memory of one, so that
//! after a crash or an ambiguous answer we look for the thing by its marker before we create it again.

#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::names::{RepoName, TaskId};
use crate::time::Timestamp;

/// What is created.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IntentKind {
    /// An issue.
    Issue,
    /// A pull request.
    PullRequest,
    /// A comment.
    Comment,
}

impl IntentKind {
    /// The name in the database and in markers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Issue => "issue",
            Self::PullRequest => "pull_request",
            Self::Comment => "comment",
        }
    }
}

/// How far a write got.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum IntentState {
    /// Stored, not sent; also after an answer that proves it was not executed (a limit).
    Planned,
    /// Sent; no answer yet. After a restart this is as good as unknown.
    Sent,
    /// The answer was ambiguous (5xx, reset, timeout): it may exist or not.
    Unknown {
        /// How often we looked for it and did not find it.
        looks: u32,
        /// When to look again.
        next_look: Timestamp,
    },
    /// It exists.
    Done {
        /// Its number (issue, pull request) or id (comment).
        number: u64,
        /// Where a person reads it.
        url: String,
    },
    /// Sent twice without a trace; a person has to look.
    GivenUp,
}

/// One write before it is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteIntent {
    /// Unique: kind, task and, for comments, the comment's name.
    pub id: String,
    /// What is created.
    pub kind: IntentKind,
    /// In which repository.
    pub repository: RepoName,
    /// For which task.
    pub task: TaskId,
    /// Where in the repository: the number of the conversation for a comment, the branch for a pull request; nothing
    /// for an issue.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub target: String,
    /// Hash of what is sent.
    pub hash: String,
    /// How often it was sent.
    pub sends: u32,
    /// How far it got.
    pub state: IntentState,
    /// When it was stored first.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// How often a lost write is looked for before it is sent again (R27 of GitHub's polite client: lists lag).
pub const LOOKS: u32 = 3;
/// How often a write is sent at most.
pub const SENDS: u32 = 2;

/// How long after an ambiguous answer the `look`-th look (from 0) comes: 2, 15, 60 s.
#[must_use]
pub fn look_after(look: u32) -> Duration {
    Duration::from_secs(match look {
        0 => 2,
        1 => 15,
        _ => 60,
    })
}
