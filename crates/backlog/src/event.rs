//! Events: the lines of a task's timeline, and of the live feed.

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::names::{RepoName, RunId, TaskId};
use crate::time::Timestamp;

/// How a person reached us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channel {
    /// A label on the proposal.
    Label,
    /// A comment on the proposal or the pull request.
    Comment,
    /// The dashboard.
    Dashboard,
    /// The REST API.
    Api,
    /// The command line.
    Cli,
    /// A rule in the configuration.
    Policy,
    /// The code host itself: merging or closing there.
    Forge,
}

/// On whose behalf something happened. Every event has one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Actor {
    /// The service by itself.
    Service,
    /// A coding agent, by its configured name.
    Agent {
        /// The name in the configuration.
        name: String,
    },
    /// A person.
    Person {
        /// The login on the code host, or the local user.
        login: String,
        /// How the person reached us.
        channel: Channel,
    },
}

impl Actor {
    /// A person.
    #[must_use]
    pub fn person(login: impl Into<String>, channel: Channel) -> Self {
        Self::Person { login: login.into(), channel }
    }

    /// A short name for people: the login, the agent's name, or `ccm`.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Service => "ccm",
            Self::Agent { name } => name,
            Self::Person { login, .. } => login,
        }
    }
}

/// What happened. The words for people are in `pipeline::wording`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum EventKind {
    /// Discovery found work.
    Found,
    /// A person added a task.
    Added,
    /// The task was proposed; `url` of the issue, none for a dashboard card.
    Proposed {
        /// Where a person can read it.
        url: Option<String>,
    },
    /// The proposal's text changed after it was shown; an approval is void.
    Edited,
    /// Somebody allowed to said yes.
    Approved,
    /// Somebody tried to decide and was not allowed to.
    Refused {
        /// What was tried and why it was refused, as a finished sentence.
        why: String,
    },
    /// Somebody allowed to said no.
    Rejected,
    /// The work went away by itself.
    Obsolete,
    /// A run began.
    RunStarted {
        /// Which.
        run: RunId,
    },
    /// The agent stopped working.
    RunFinished {
        /// Which.
        run: RunId,
        /// How, as a short word: `succeeded`, `no_change`, `failed`, `timed_out`, `stalled`, `cancelled`, `over_budget`.
        outcome: String,
        /// What it cost, in micro-USD, as counted by the gateway.
        cost_micro_usd: u64,
    },
    /// One check was run on the commit.
    Checked {
        /// The check's name.
        name: String,
        /// Whether it passed.
        passed: bool,
    },
    /// The verdict over a run.
    Judged {
        /// Whether the work is good.
        good: bool,
        /// Why not, one finished sentence each.
        reasons: Vec<String>,
    },
    /// Branch and pull request were seen on the code host.
    Delivered {
        /// The pull request, or the branch for a local repository.
        url: String,
    },
    /// A review or a red check asks for more.
    RevisionAsked {
        /// Why, in a few words.
        why: String,
    },
    /// The run is tried again.
    Retried {
        /// Why, as a finished sentence.
        why: String,
    },
    /// The pull request was merged.
    Merged,
    /// The pull request was closed without a merge.
    PullClosed,
    /// Somebody cancelled the task.
    Cancelled,
    /// No attempts are left.
    Failed {
        /// Why, as a finished sentence that says what to do next.
        reason: String,
    },
    /// A person changed an option: the agent or the budget.
    Changed {
        /// What, in a few words.
        what: String,
    },
    /// A person spoke to the running agent.
    Messaged {
        /// What was said.
        text: String,
    },
    /// A repository can be worked.
    Watched,
    /// A repository cannot be worked for now.
    Parked {
        /// Why and what would mend it, as a finished sentence.
        reason: String,
    },
    /// A repository was read.
    Scanned {
        /// How many findings there are.
        findings: u64,
    },
}

/// An event that is not stored yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewEvent {
    /// When it happened.
    pub at: Timestamp,
    /// The repository it belongs to.
    pub repository: RepoName,
    /// The task it belongs to, if any.
    pub task: Option<TaskId>,
    /// On whose behalf.
    pub actor: Actor,
    /// What.
    pub kind: EventKind,
}

/// A stored event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Its place in the change log; grows by commit order, without reuse.
    pub seq: u64,
    /// The event.
    #[serde(flatten)]
    pub event: NewEvent,
}
