//! Runs: one attempt of one agent at one task.

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::names::{BranchName, CommitId, RepoName, RunId};
use crate::time::Timestamp;

/// How an agent's work ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum RunOutcome {
    /// The agent finished and files changed. Says nothing about their quality: that is the verdict's part.
    Succeeded,
    /// The agent finished and nothing changed.
    NoChange {
        /// What the agent said about it.
        summary: String,
    },
    /// The agent, or what it needs, failed.
    Failed {
        /// Why, as a finished sentence.
        reason: String,
        /// Whether trying again may help.
        retryable: bool,
    },
    /// The total or the turn limit was reached.
    TimedOut,
    /// No output for the length of the silence limit.
    Stalled,
    /// A person, or the service's shutdown, stopped it.
    Cancelled,
    /// The budget was spent.
    OverBudget,
}

impl RunOutcome {
    /// A short word for events, metrics and labels.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::NoChange { .. } => "no_change",
            Self::Failed { .. } => "failed",
            Self::TimedOut => "timed_out",
            Self::Stalled => "stalled",
            Self::Cancelled => "cancelled",
            Self::OverBudget => "over_budget",
        }
    }
}

/// Where a run stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum RunState {
    /// Checkout and sandbox are being made.
    Preparing,
    /// The agent works.
    Working,
    /// The agent stopped.
    Finished(RunOutcome),
}

/// What a run has used, as counted by the gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens sent to the model, without cached ones.
    pub input_tokens: u64,
    /// Tokens the model wrote.
    pub output_tokens: u64,
    /// Cost in micro-USD (1 USD = 1,000,000).
    pub cost_micro_usd: u64,
    /// Requests to the model.
    pub requests: u64,
}

/// One verification command's result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckResult {
    /// Its name, such as `cargo test`.
    pub name: String,
    /// The command as it was run.
    pub command: String,
    /// Whether it passed.
    pub passed: bool,
    /// Why it did not pass, in a few words: `exit code 1`, `timed out after 600 s`; empty when it passed.
    pub reason: String,
    /// How long it took, in milliseconds.
    pub millis: u64,
    /// The end of its output, at most 64 KiB.
    pub log: String,
}

/// One changed file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedFile {
    /// Path from the repository's root.
    pub path: String,
    /// Lines added; 0 for binary files.
    pub added: u64,
    /// Lines removed; 0 for binary files.
    pub removed: u64,
}

/// One attempt of one agent at one task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Its id.
    pub id: RunId,
    /// Where it works.
    pub repository: RepoName,
    /// The agent's name in the configuration.
    pub agent: String,
    /// Where it stands.
    pub state: RunState,
    /// When it began.
    pub started_at: Timestamp,
    /// When the agent stopped.
    pub finished_at: Option<Timestamp>,
    /// The commit it started from.
    pub base: Option<CommitId>,
    /// The branch it is delivered on.
    pub branch: BranchName,
    /// The commit the service made of its work.
    pub commit: Option<CommitId>,
    /// The agent's own conversation, for resuming.
    pub session: Option<String>,
    /// What it used so far.
    pub usage: Usage,
    /// The most it may cost, in micro-USD.
    pub budget_micro_usd: u64,
    /// What confined it, in words: `bubblewrap: no network, …`.
    pub sandbox: String,
    /// The changed files.
    pub files: Vec<ChangedFile>,
    /// The unified diff, at most 512 KiB.
    pub diff: String,
    /// The checks the service ran on the commit.
    pub checks: Vec<CheckResult>,
    /// Why the work was not good; empty when it was, or is not judged yet.
    pub objections: Vec<String>,
}
