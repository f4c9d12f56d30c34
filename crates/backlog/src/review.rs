//! What a pull request's state asks for next.

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::names::CommitId;
use crate::retry::RetryPolicy;
use crate::task::{Pull, Revision, Work};
use crate::time::Timestamp;

/// Whether a pull request is open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PullState {
    /// Open.
    Open,
    /// Merged.
    Merged {
        /// When.
        at: Timestamp,
        /// By whom, where known.
        by: Option<String>,
    },
    /// Closed without a merge.
    Closed {
        /// By whom, where known.
        by: Option<String>,
    },
}

/// How one check on the code host stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CheckState {
    /// Queued or running.
    Pending,
    /// Success, neutral or skipped.
    Passed,
    /// Failure, timed out, cancelled, action required.
    Failed,
}

/// One check on the code host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteCheck {
    /// Its name.
    pub name: String,
    /// How it stands.
    pub state: CheckState,
    /// What is known of its output, at most 64 KiB; empty where the code host gives none.
    pub log: String,
}

/// Something a reviewer said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReviewNote {
    /// Stable id, unique within the pull request: `review-7`, `comment-12`, `line-99`.
    pub id: String,
    /// Who.
    pub by: String,
    /// Whether the author may decide in this repository. Others are shown, never handed to an agent.
    pub trusted: bool,
    /// What was said.
    pub text: String,
    /// The file it is about, and the line.
    pub place: Option<(String, u64)>,
    /// Whether it asks for changes: a review "request changes", a line comment, or a comment that mentions us.
    pub asks_for_change: bool,
}

/// A pull request as the code host shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullStatus {
    /// Open, merged or closed.
    pub state: PullState,
    /// The head commit.
    pub head: CommitId,
    /// Whether it conflicts with its base; `None` while the code host computes it.
    pub conflicts: Option<bool>,
    /// The checks of the head commit.
    pub checks: Vec<RemoteCheck>,
    /// Reviews and comments, oldest first, without our own.
    pub notes: Vec<ReviewNote>,
}

/// What to do next about a pull request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FollowUp {
    /// Nothing yet.
    Wait,
    /// Hand it back to the agent.
    Revise(Revision),
    /// It was merged.
    Merged {
        /// When.
        at: Timestamp,
        /// By whom, where known.
        by: Option<String>,
    },
    /// It was closed without a merge.
    Closed {
        /// By whom, where known.
        by: Option<String>,
    },
    /// The rounds are used up; a person has to look.
    GiveUp {
        /// A finished sentence that says what to do next.
        why: String,
        /// What is still asked for; a retry takes it up.
        revision: Revision,
    },
}

/// Decides what `status` of the delivered `pull` asks for.
///
/// Notes count once (their ids are remembered in `work`); red checks count once per head commit and only when no
/// check is pending, so that one round sees all of them; a head that is not ours is left alone.
#[must_use]
pub fn follow_up(status: &PullStatus, pull: &Pull, work: &Work, policy: &RetryPolicy) -> FollowUp {
    match &status.state {
        PullState::Merged { at, by } => return FollowUp::Merged { at: *at, by: by.clone() },
        PullState::Closed { by } => return FollowUp::Closed { by: by.clone() },
        PullState::Open => {}
    }
    let notes: Vec<&ReviewNote> = status
        .notes
        .iter()
        .filter(|note| note.trusted && note.asks_for_change && !work.handled_notes.contains(&note.id))
        .collect();
    let settled = !status.checks.iter().any(|check| check.state == CheckState::Pending);
    let red: Vec<&RemoteCheck> = status.checks.iter().filter(|check| check.state == CheckState::Failed).collect();
    let red_is_new =
        settled && !red.is_empty() && status.head == pull.head && work.red_head.as_ref() != Some(&status.head);
    if notes.is_empty() && !red_is_new {
        return FollowUp::Wait;
    }
    let revision = Revision {
        notes: notes.into_iter().cloned().collect(),
        red_checks: if red_is_new { red.into_iter().cloned().collect() } else { Vec::new() },
        red_head: red_is_new.then(|| status.head.clone()),
    };
    if work.rounds >= policy.max_rounds {
        let what = if revision.notes.is_empty() { "its checks are red" } else { "reviewers ask for changes" };
        let before = match work.rounds {
            0 => "The pull request may not go back to the agent".to_owned(),
            1 => "The pull request went back to the agent once".to_owned(),
            n => format!("The pull request went back to the agent {n} times"),
        };
        let why = format!("{before}, and {what}. Finish it by hand, or retry the task.");
        return FollowUp::GiveUp { why, revision };
    }
    FollowUp::Revise(revision)
}
