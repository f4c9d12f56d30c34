//! Tasks: their states, and the commands that move them.
//!
//! **Definition.** A task is a unit of the backlog, born from a finding or from a person.
//!
//! **Wanted properties.** A state carries its data; a command consumes the state and either gives the next one
//! or says why it cannot; a final state never changes again; nothing is approved but what was shown.
//!
//! **Design.** [`TaskState`] × [`Command`] → [`TaskState::apply`]. Every pair is in the table test.

#[cfg(test)]
mod tests;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::approval::{Approval, ContentHash};
use crate::event::Actor;
use crate::finding::{Finding, Source};
use crate::names::{BranchName, CommitId, RepoName, RunId, TaskId};
use crate::rank::{Score, value_of};
use crate::review::{RemoteCheck, ReviewNote};
use crate::time::{Day, Timestamp};

/// An issue on a code host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssueLink {
    /// The repository it is in: the task's own, or the manager repository.
    pub repository: RepoName,
    /// Its number.
    pub number: u64,
    /// Where a person reads it.
    pub url: String,
}

/// What was shown to people: the snapshot that an approval binds and a run takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// The issue; `None` for a dashboard card.
    pub issue: Option<IssueLink>,
    /// The hash of `title` and `body`.
    pub content: ContentHash,
    /// The title as shown.
    pub title: String,
    /// The body as shown.
    pub body: String,
    /// When.
    pub at: Timestamp,
}

/// A delivered pull request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pull {
    /// Its number; `None` for a branch in a local repository.
    pub number: Option<u64>,
    /// Where a person reads it.
    pub url: String,
    /// The branch.
    pub branch: BranchName,
    /// The head commit we delivered last.
    pub head: CommitId,
}

/// What a review or red checks ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    /// What reviewers asked for.
    pub notes: Vec<ReviewNote>,
    /// The red checks with their logs.
    pub red_checks: Vec<RemoteCheck>,
    /// The head whose checks were red.
    pub red_head: Option<CommitId>,
}

/// What a task carries from its approval on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// What was shown.
    pub proposal: Proposal,
    /// Who said yes to it.
    pub approval: Approval,
    /// Runs started so far, over the task's whole life: numbers the runs.
    pub runs: u32,
    /// Runs since the last delivery or retry by a person.
    pub attempts: u32,
    /// Rounds of follow-up so far.
    pub rounds: u32,
    /// The pull request, once delivered.
    pub pull: Option<Pull>,
    /// What the next run has to see to, after a review.
    pub revision: Option<Revision>,
    /// Why the last run was not good; goes into the next prompt.
    pub objections: Vec<String>,
    /// Review notes handed to an agent already, the last 500.
    pub handled_notes: Vec<String>,
    /// The last head whose red checks were handed to an agent.
    pub red_head: Option<CommitId>,
}

impl Work {
    /// The work on a proposal that was just approved.
    #[must_use]
    pub fn new(proposal: Proposal, approval: Approval) -> Self {
        Self {
            proposal,
            approval,
            runs: 0,
            attempts: 0,
            rounds: 0,
            pull: None,
            revision: None,
            objections: Vec::new(),
            handled_notes: Vec::new(),
            red_head: None,
        }
    }
}

/// Where a task stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum TaskState {
    /// Known, not shown to anybody yet.
    Found,
    /// Shown; waits for a person.
    Proposed {
        /// What was shown.
        proposal: Proposal,
    },
    /// A person said yes; waits for a run.
    Approved {
        /// The work.
        work: Work,
    },
    /// An agent works.
    Running {
        /// The work.
        work: Work,
        /// The run.
        run: RunId,
    },
    /// The service checks what the agent made.
    Verifying {
        /// The work.
        work: Work,
        /// The run.
        run: RunId,
    },
    /// A pull request waits for people.
    InReview {
        /// The work.
        work: Work,
        /// The run that was delivered last.
        run: RunId,
        /// The pull request.
        pull: Pull,
    },
    /// Merged.
    Done {
        /// The work.
        work: Work,
        /// When it was merged.
        merged_at: Timestamp,
    },
    /// Somebody said no. Stays so: nothing is proposed twice.
    Rejected {
        /// Who.
        by: Actor,
        /// The issue that was closed with it, if any.
        proposal: Option<Proposal>,
        /// The pull request that was closed without a merge, if it came that far.
        pull: Option<Pull>,
    },
    /// The work went away by itself before any run.
    Obsolete {
        /// What had been shown.
        proposal: Option<Proposal>,
    },
    /// Somebody stopped it.
    Cancelled {
        /// Who.
        by: Actor,
        /// What had been shown.
        proposal: Option<Proposal>,
        /// The pull request, if it came that far.
        pull: Option<Pull>,
    },
    /// No attempts are left. A person may retry it.
    Failed {
        /// Why, as a finished sentence.
        reason: String,
        /// The work.
        work: Work,
    },
}

/// The name of a state: the columns of the board, the label of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// [`TaskState::Found`]
    Found,
    /// [`TaskState::Proposed`]
    Proposed,
    /// [`TaskState::Approved`]
    Approved,
    /// [`TaskState::Running`]
    Running,
    /// [`TaskState::Verifying`]
    Verifying,
    /// [`TaskState::InReview`]
    InReview,
    /// [`TaskState::Done`]
    Done,
    /// [`TaskState::Rejected`]
    Rejected,
    /// [`TaskState::Obsolete`]
    Obsolete,
    /// [`TaskState::Cancelled`]
    Cancelled,
    /// [`TaskState::Failed`]
    Failed,
}

impl Stage {
    /// All stages, in the order of the board.
    pub const ALL: [Self; 11] = [
        Self::Found,
        Self::Proposed,
        Self::Approved,
        Self::Running,
        Self::Verifying,
        Self::InReview,
        Self::Done,
        Self::Failed,
        Self::Rejected,
        Self::Obsolete,
        Self::Cancelled,
    ];

    /// The name in the database, the API and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::Proposed => "proposed",
            Self::Approved => "approved",
            Self::Running => "running",
            Self::Verifying => "verifying",
            Self::InReview => "in_review",
            Self::Done => "done",
            Self::Rejected => "rejected",
            Self::Obsolete => "obsolete",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }

    /// The stage with that name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.as_str() == text)
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What moves a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// It was shown to people.
    Propose(Proposal),
    /// What was shown has changed since; an approval that no run has taken up is void.
    Edit(Proposal),
    /// A person said yes. From `Found` the proposal is what the person saw on the dashboard.
    Approve(Proposal, Approval),
    /// A person said no.
    Reject(Actor),
    /// The finding is gone.
    Vanish,
    /// An agent begins.
    Start(RunId),
    /// The agent made something; it is checked now.
    Verify,
    /// The run was no good and is tried again, with the objections in its prompt.
    TryAgain(Vec<String>),
    /// The run was no good, or the pull request cannot be finished, and nothing more is tried.
    GiveUp(String),
    /// Branch and pull request were seen on the code host.
    Deliver(Pull),
    /// Hand the pull request back to the agent.
    Revise(Revision),
    /// The pull request was merged.
    Merge(Timestamp),
    /// The pull request was closed without a merge.
    ClosePull(Actor),
    /// A person wants a failed task tried again.
    Retry,
    /// A person stops it.
    Cancel(Actor),
}

impl Command {
    /// What it does to a task, as a participle: "a task that is done cannot be *approved*".
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Propose(_) => "proposed",
            Self::Edit(_) => "edited",
            Self::Approve(..) => "approved",
            Self::Reject(_) => "rejected",
            Self::Vanish => "called obsolete",
            Self::Start(_) => "started",
            Self::Verify => "verified",
            Self::TryAgain(_) => "tried again",
            Self::GiveUp(_) => "given up",
            Self::Deliver(_) => "delivered",
            Self::Revise(_) => "handed back to the agent",
            Self::Merge(_) => "merged",
            Self::ClosePull(_) => "closed without a merge",
            Self::Retry => "retried",
            Self::Cancel(_) => "cancelled",
        }
    }
}

/// A command that does not fit the state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a task that is {} cannot be {command}{why}", .stage.as_str().replace('_', " "))]
pub struct InvalidTransition {
    /// Where the task stands.
    pub stage: Stage,
    /// What was asked, as a participle.
    pub command: &'static str,
    /// The reason, beginning with `: `, where there is more to say.
    pub why: &'static str,
}

/// How many handled notes a task remembers.
const HANDLED_NOTES: usize = 500;

impl TaskState {
    /// Which stage this is.
    #[must_use]
    pub fn stage(&self) -> Stage {
        match self {
            Self::Found => Stage::Found,
            Self::Proposed { .. } => Stage::Proposed,
            Self::Approved { .. } => Stage::Approved,
            Self::Running { .. } => Stage::Running,
            Self::Verifying { .. } => Stage::Verifying,
            Self::InReview { .. } => Stage::InReview,
            Self::Done { .. } => Stage::Done,
            Self::Rejected { .. } => Stage::Rejected,
            Self::Obsolete { .. } => Stage::Obsolete,
            Self::Cancelled { .. } => Stage::Cancelled,
            Self::Failed { .. } => Stage::Failed,
        }
    }

    /// Whether nothing happens to it any more by itself. `Failed` is final until a person retries it.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self {
            Self::Done { .. }
            | Self::Rejected { .. }
            | Self::Obsolete { .. }
            | Self::Cancelled { .. }
            | Self::Failed { .. } => true,
            Self::Found
            | Self::Proposed { .. }
            | Self::Approved { .. }
            | Self::Running { .. }
            | Self::Verifying { .. }
            | Self::InReview { .. } => false,
        }
    }

    /// The work, from the approval on.
    #[must_use]
    pub fn work(&self) -> Option<&Work> {
        match self {
            Self::Approved { work }
            | Self::Running { work, .. }
            | Self::Verifying { work, .. }
            | Self::InReview { work, .. }
            | Self::Done { work, .. }
            | Self::Failed { work, .. } => Some(work),
            Self::Found
            | Self::Proposed { .. }
            | Self::Rejected { .. }
            | Self::Obsolete { .. }
            | Self::Cancelled { .. } => None,
        }
    }

    /// What was shown to people, if anything was.
    #[must_use]
    pub fn proposal(&self) -> Option<&Proposal> {
        match self {
            Self::Found => None,
            Self::Proposed { proposal } => Some(proposal),
            Self::Rejected { proposal, .. } | Self::Obsolete { proposal } | Self::Cancelled { proposal, .. } => {
                proposal.as_ref()
            }
            Self::Approved { work }
            | Self::Running { work, .. }
            | Self::Verifying { work, .. }
            | Self::InReview { work, .. }
            | Self::Done { work, .. }
            | Self::Failed { work, .. } => Some(&work.proposal),
        }
    }

    /// The pull request, once there is one.
    #[must_use]
    pub fn pull(&self) -> Option<&Pull> {
        match self {
            Self::InReview { pull, .. } => Some(pull),
            Self::Rejected { pull, .. } | Self::Cancelled { pull, .. } => pull.as_ref(),
            Self::Approved { work }
            | Self::Running { work, .. }
            | Self::Verifying { work, .. }
            | Self::Done { work, .. }
            | Self::Failed { work, .. } => work.pull.as_ref(),
            Self::Found | Self::Proposed { .. } | Self::Obsolete { .. } => None,
        }
    }

    /// The run that is under way or was delivered last.
    #[must_use]
    pub fn run(&self) -> Option<&RunId> {
        match self {
            Self::Running { run, .. } | Self::Verifying { run, .. } | Self::InReview { run, .. } => Some(run),
            Self::Found
            | Self::Proposed { .. }
            | Self::Approved { .. }
            | Self::Done { .. }
            | Self::Rejected { .. }
            | Self::Obsolete { .. }
            | Self::Cancelled { .. }
            | Self::Failed { .. } => None,
        }
    }

    /// The next state.
    ///
    /// # Errors
    /// [`InvalidTransition`] when the command does not fit the state; nothing has changed then.
    #[expect(clippy::too_many_lines, reason = "the transition table is read as one thing")]
    pub fn apply(self, command: Command) -> Result<Self, InvalidTransition> {
        let refused = InvalidTransition { stage: self.stage(), command: command.name(), why: "" };
        match command {
            Command::Propose(proposal) => match self {
                Self::Found => Ok(Self::Proposed { proposal }),
                _ => Err(refused),
            },
            Command::Edit(proposal) => match self {
                Self::Proposed { .. } => Ok(Self::Proposed { proposal }),
                Self::Approved { work } if work.runs == 0 => Ok(Self::Proposed { proposal }),
                _ => Err(refused),
            },
            Command::Approve(proposal, approval) => self.approve(proposal, approval, refused),
            Command::Reject(by) => match self {
                Self::Found => Ok(Self::Rejected { by, proposal: None, pull: None }),
                Self::Proposed { proposal } => Ok(Self::Rejected { by, proposal: Some(proposal), pull: None }),
                Self::Approved { work } if work.runs == 0 => {
                    Ok(Self::Rejected { by, proposal: Some(work.proposal), pull: None })
                }
                Self::Approved { .. }
                | Self::Running { .. }
                | Self::Verifying { .. }
                | Self::InReview { .. }
                | Self::Failed { .. } => {
                    Err(InvalidTransition { why: ": work has begun, cancel it instead", ..refused })
                }
                Self::Done { .. } | Self::Rejected { .. } | Self::Obsolete { .. } | Self::Cancelled { .. } => {
                    Err(refused)
                }
            },
            Command::Vanish => match self {
                Self::Found => Ok(Self::Obsolete { proposal: None }),
                Self::Proposed { proposal } => Ok(Self::Obsolete { proposal: Some(proposal) }),
                Self::Approved { work } if work.runs == 0 => Ok(Self::Obsolete { proposal: Some(work.proposal) }),
                _ => Err(refused),
            },
            Command::Start(run) => match self {
                Self::Approved { mut work } => {
                    work.runs += 1;
                    work.attempts += 1;
                    Ok(Self::Running { work, run })
                }
                _ => Err(refused),
            },
            Command::Verify => match self {
                Self::Running { work, run } => Ok(Self::Verifying { work, run }),
                _ => Err(refused),
            },
            Command::TryAgain(objections) => match self {
                Self::Running { mut work, .. } | Self::Verifying { mut work, .. } => {
                    work.objections = objections;
                    Ok(Self::Approved { work })
                }
                _ => Err(refused),
            },
            Command::GiveUp(reason) => match self {
                Self::Approved { work }
                | Self::Running { work, .. }
                | Self::Verifying { work, .. }
                | Self::InReview { work, .. } => Ok(Self::Failed { reason, work }),
                _ => Err(refused),
            },
            Command::Deliver(pull) => match self {
                Self::Verifying { mut work, run } => {
                    work.pull = Some(pull.clone());
                    work.attempts = 0;
                    work.objections.clear();
                    work.revision = None;
                    Ok(Self::InReview { work, run, pull })
                }
                _ => Err(refused),
            },
            Command::Revise(revision) => match self {
                Self::InReview { work, .. } => Ok(Self::Approved { work: revised(work, revision) }),
                _ => Err(refused),
            },
            Command::Merge(merged_at) => match self.delivered() {
                Some((work, _)) => Ok(Self::Done { work, merged_at }),
                None => Err(refused),
            },
            Command::ClosePull(by) => match self.delivered() {
                Some((work, pull)) => Ok(Self::Rejected { by, proposal: Some(work.proposal), pull: Some(pull) }),
                None => Err(refused),
            },
            Command::Retry => match self {
                Self::Failed { mut work, .. } => {
                    work.attempts = 0;
                    work.rounds = 0;
                    Ok(Self::Approved { work })
                }
                _ => Err(refused),
            },
            Command::Cancel(by) => {
                if self.is_final() && self.stage() != Stage::Failed {
                    return Err(refused);
                }
                let (proposal, pull) = (self.proposal().cloned(), self.pull().cloned());
                Ok(Self::Cancelled { by, proposal, pull })
            }
        }
    }

    fn approve(
        self,
        seen: Proposal,
        approval: Approval,
        refused: InvalidTransition,
    ) -> Result<Self, InvalidTransition> {
        let shown = match self {
            Self::Found => seen,
            Self::Proposed { proposal } => proposal,
            Self::Approved { .. } | Self::Running { .. } | Self::Verifying { .. } | Self::InReview { .. } => {
                return Err(InvalidTransition { why: ": somebody approved it already", ..refused });
            }
            Self::Failed { .. } => return Err(InvalidTransition { why: ": retry it instead", ..refused }),
            Self::Done { .. } | Self::Rejected { .. } | Self::Obsolete { .. } | Self::Cancelled { .. } => {
                return Err(refused);
            }
        };
        if shown.content != approval.content {
            return Err(InvalidTransition { why: ": its text has changed since, read it again", ..refused });
        }
        Ok(Self::Approved { work: Work::new(shown, approval) })
    }

    /// The work and the pull request of a task that has one and is not final.
    fn delivered(self) -> Option<(Work, Pull)> {
        match self {
            Self::InReview { work, pull, .. } => Some((work, pull)),
            Self::Approved { work }
            | Self::Running { work, .. }
            | Self::Verifying { work, .. }
            | Self::Failed { work, .. } => {
                let pull = work.pull.clone()?;
                Some((work, pull))
            }
            _ => None,
        }
    }
}

fn revised(mut work: Work, revision: Revision) -> Work {
    work.rounds += 1;
    work.attempts = 0;
    work.handled_notes.extend(revision.notes.iter().map(|note| note.id.clone()));
    let excess = work.handled_notes.len().saturating_sub(HANDLED_NOTES);
    work.handled_notes.drain(..excess);
    if let Some(head) = &revision.red_head {
        work.red_head = Some(head.clone());
    }
    work.revision = Some(revision);
    work
}

/// A unit of the backlog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Its id.
    pub id: TaskId,
    /// Where the work is.
    pub repository: RepoName,
    /// What yielded it.
    pub source: Source,
    /// Its kind within the source.
    pub kind: String,
    /// One line for people.
    pub title: String,
    /// What is to be done.
    pub body: String,
    /// The finding it was born from; `None` for a person's own task.
    pub finding: Option<Finding>,
    /// Further findings that are one piece of work with it, by path and line.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub more: Vec<Finding>,
    /// The agent to use instead of the configured one.
    pub agent: Option<String>,
    /// The most one run may cost, in micro-USD, instead of the agent's own limit.
    pub budget_micro_usd: Option<u64>,
    /// When it was first seen.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// Why it comes before others.
    pub score: Score,
    /// Where it stands.
    pub state: TaskState,
    /// Counts its commits; a write of an older version is refused by the store.
    pub version: u64,
}

impl Task {
    /// The task born from `finding` at `now`, without a score yet.
    #[must_use]
    pub fn of_finding(finding: Finding, now: Timestamp) -> Self {
        Self {
            id: finding.task_id(),
            repository: finding.repository.clone(),
            source: finding.source.clone(),
            kind: finding.kind.clone(),
            title: finding.title.clone(),
            body: finding.text.clone(),
            finding: Some(finding),
            more: Vec::new(),
            agent: None,
            budget_micro_usd: None,
            created_at: now,
            updated_at: now,
            score: Score::default(),
            state: TaskState::Found,
            version: 0,
        }
    }

    /// The task about these findings instead of the ones before; nothing changes when there are none. Its title is the
    /// first one's, its kind that of the most valuable one.
    #[must_use]
    pub fn about(mut self, members: Vec<Finding>) -> Self {
        let mut members = members.into_iter();
        let Some(first) = members.next() else { return self };
        self.more = members.collect();
        self.title.clone_from(&first.title);
        // Of equal ones the first.
        let worth = |finding: &&Finding| value_of(&finding.source, &finding.kind);
        let best = std::iter::once(&first).chain(&self.more).rev().max_by_key(worth);
        best.into_iter().for_each(|best| self.kind.clone_from(&best.kind));
        let texts: Vec<&str> = std::iter::once(&first).chain(&self.more).map(|finding| finding.text.as_str()).collect();
        self.body = texts.join("\n\n");
        self.finding = Some(first);
        self
    }

    /// The findings that it is about.
    pub fn members(&self) -> impl Iterator<Item = &Finding> {
        self.finding.iter().chain(&self.more)
    }

    /// The earliest day by which a part of it is to be done, where one is named.
    #[must_use]
    pub fn due(&self) -> Option<Day> {
        self.members().filter_map(|finding| finding.due).min()
    }

    /// A person's own task.
    #[must_use]
    pub fn of_person(repository: RepoName, title: String, body: String, now: Timestamp) -> Self {
        Self {
            id: TaskId::derive(&repository, &format!("person {now:?} {title}")),
            repository,
            source: Source::Person,
            kind: String::new(),
            title,
            body,
            finding: None,
            more: Vec::new(),
            agent: None,
            budget_micro_usd: None,
            created_at: now,
            updated_at: now,
            score: Score::default(),
            state: TaskState::Found,
            version: 0,
        }
    }

    /// The number of the person's issue that it was born from, which is its proposal too and is never ours to close.
    #[must_use]
    pub fn born_of(&self) -> Option<u64> {
        match self.source {
            Source::StaleIssue | Source::IssueLabel => self.finding.as_ref()?.issue,
            Source::Todo
            | Source::Ci
            | Source::SecurityAlert
            | Source::Dependency
            | Source::Hotspot
            | Source::Sarif(_)
            | Source::Person => None,
        }
    }

    /// The task after `command` at `now`.
    ///
    /// # Errors
    /// [`InvalidTransition`] when the command does not fit the state.
    pub fn apply(mut self, command: Command, now: Timestamp) -> Result<Self, InvalidTransition> {
        self.state = self.state.apply(command)?;
        self.updated_at = now;
        Ok(self)
    }
}
