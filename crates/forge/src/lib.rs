//! The code host.
//!
//! **Definition.** Where issues, pull requests and permissions live: [`github`] over REST, or [`local`] folders on
//! this machine, where a pull request is a branch reviewed on the dashboard.
//!
//! **Wanted properties.** Callers never see a header, a status or JSON; a limit is a state with an end, never a
//! failure; every `ensure_*` may be repeated at any time and creates at most once.
//!
//! **Design.** [`Forge`] is the trait, [`ForgeError`] what callers branch on. Durable memory (intents, cached
//! answers, pauses) comes in through [`Ledger`], because this crate does not see the store.

pub mod github;
pub mod local;
pub mod marker;
mod open;
pub mod read_only;
pub mod sanitize;

use async_trait::async_trait;
use backlog::alert::AlertKind;
use backlog::approval::{ContentHash, Permission};
use backlog::delivery::Delivery;
use backlog::intent::WriteIntent;
use backlog::names::{BranchName, CommitId, RepoName, TaskId};
use backlog::review::PullStatus;
use backlog::task::{IssueLink, Pull};
use backlog::time::{Day, Timestamp};
use bytes::Bytes;
use secrecy::SecretString;

pub use github::urgent;
pub use open::{Alert, Alerts, HeadCheck, HeadChecks, OpenIssue};

/// What callers branch on.
#[derive(Debug, thiserror::Error)]
pub enum ForgeError {
    /// It is not there, or this credential may not know that it is.
    #[error("{0} is not there, or the credential may not see it")]
    NotFound(String),
    /// The credential may not do that. Final until somebody changes a permission.
    #[error("{what} was refused: {why}")]
    Denied {
        /// What was tried.
        what: String,
        /// What the code host said, and what would mend it.
        why: String,
    },
    /// The credential itself is not accepted.
    #[error("the code host does not accept the credential ({0}); check the token that the configuration names")]
    BadCredential(String),
    /// It collides with what is there.
    #[error("{0}")]
    Conflict(String),
    /// A limit is reached: ask again at `until`. Nothing was executed.
    #[error("the code host asks to wait until {until}")]
    Limited {
        /// When to ask again.
        until: Timestamp,
    },
    /// It may work soon: a timeout, a 5xx, a connection that broke, or a write whose outcome is looked for.
    #[error("the code host did not answer properly ({why}); it is tried again")]
    Transient {
        /// What happened.
        why: String,
        /// Not before this, where known.
        retry_at: Option<Timestamp>,
    },
    /// The answer makes no sense to this version.
    #[error("the code host answered something unexpected: {0}")]
    Unexpected(String),
}

/// A repository as the code host shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepositoryView {
    /// Its present name.
    pub name: RepoName,
    /// The branch that work starts from.
    pub default_branch: String,
    /// Read-only.
    pub archived: bool,
    /// Whether it has issues.
    pub has_issues: bool,
    /// Whether the credential may push.
    pub can_push: bool,
    /// The folder, for a local one.
    pub path: Option<String>,
    /// When somebody last pushed to it, where that is told.
    pub pushed_at: Option<Timestamp>,
}

/// A repository as [`Forge::changes`] knew it the last time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its name.
    pub name: RepoName,
    /// The mark of then; empty for one that is asked for the first time.
    pub mark: String,
}

/// What became of a repository since it was known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing that matters.
    Nothing,
    /// Its code, an issue or a pull request changed; this is its mark now.
    Something(String),
    /// It has another name now.
    Renamed(RepoName),
    /// It cannot be worked any more; a finished text says why, and what would mend it.
    Closed(String),
    /// The code host was not asked for it, or gave no answer: git can tell.
    Unasked,
}

/// Where a repository's default branch is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tip {
    /// The branch.
    pub branch: BranchName,
    /// Its commit.
    pub commit: CommitId,
    /// The id of that commit's tree.
    pub tree: String,
}

/// What git is to do with a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GitUse {
    /// Fetch.
    Read,
    /// Push, once or a few times in a row.
    Push,
}

/// How git reaches a repository.
#[derive(Debug)]
pub struct GitAccess {
    /// An URL without a credential, or a path.
    pub url: String,
    /// User and password for HTTP Basic.
    pub login: Option<(String, SecretString)>,
}

/// An issue to be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssueDraft {
    /// Where.
    pub repository: RepoName,
    /// For which task; goes into the marker.
    pub task: TaskId,
    /// At most 256 characters.
    pub title: String,
    /// Markdown without a marker, at most 60,000 characters.
    pub body: String,
    /// Labels; created when the repository lacks them.
    pub labels: Vec<String>,
}

/// An issue as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssueView {
    /// Which.
    pub link: IssueLink,
    /// The title.
    pub title: String,
    /// The body, without our marker.
    pub body: String,
    /// Whether it is open.
    pub open: bool,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// What to change on an issue. `None` and empty leave as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IssuePatch {
    /// New title and body (without marker).
    pub content: Option<(String, String)>,
    /// The hash of the title and body that the new ones replace: when others are there, nothing changes and it is a
    /// [`ForgeError::Conflict`].
    pub instead_of: Option<ContentHash>,
    /// Open or close (as completed, or as not planned).
    pub state: Option<IssueClose>,
    /// Labels to add.
    pub add_labels: Vec<String>,
    /// Labels to take away.
    pub remove_labels: Vec<String>,
}

/// How an issue is closed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IssueClose {
    /// Closed as completed.
    Completed,
    /// Closed as not planned.
    NotPlanned,
    /// Open again.
    Reopen,
}

/// One thing somebody did to an issue or a pull request's conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Activity {
    /// Stable and unique within the issue: `event-12`, `comment-7`.
    pub id: String,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: String,
    /// Whether a person did it; apps and bots are never approvers.
    pub by_person: bool,
    /// Whether the service itself did it: our account and, for a comment, our marker in it, because with a personal
    /// token the same account comments by hand as well.
    pub by_us: bool,
    /// What.
    pub what: ActivityKind,
}

/// What somebody did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActivityKind {
    /// Added a label.
    Labeled(String),
    /// Took a label away.
    Unlabeled(String),
    /// Wrote a comment.
    Commented(String),
    /// Closed it.
    Closed,
    /// Opened it again.
    Reopened,
}

/// A pull request to be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullDraft {
    /// Where.
    pub repository: RepoName,
    /// For which task; goes into the marker.
    pub task: TaskId,
    /// The title, at most 256 characters.
    pub title: String,
    /// Markdown without a marker, at most 60,000 characters.
    pub body: String,
    /// The branch with the work; has been pushed.
    pub branch: BranchName,
    /// Its head.
    pub head: CommitId,
    /// The branch it goes into.
    pub base: String,
    /// Whether it opens as a draft.
    pub draft: bool,
}

/// One limit of the code host, or one that the client sets itself, for the health page and metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitView {
    /// Whose limit: a user, an installation or an App.
    pub actor: String,
    /// What is counted: a resource of the host (`core`, `search`, …), or what the client counts itself:
    /// `points-minute` and `graphql-points-minute`, `work-ms-minute` and `graphql-work-ms-minute` (milliseconds of
    /// response time), `concurrency`, `content-minute`, `content` and `pulls` (both an hour).
    pub resource: String,
    /// How much a window has, of which this process has its share.
    pub limit: u64,
    /// How much is left.
    pub remaining: u64,
    /// When the window ends.
    pub reset_at: Timestamp,
    /// Until when nothing is sent, if so.
    pub paused_until: Option<Timestamp>,
    /// Why it is paused.
    pub reason: Option<String>,
    /// How many processes share it.
    pub members: usize,
}

/// A delivery that a code host could not bring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missed {
    /// The delivery's own id, as in [`Delivery::id`].
    pub guid: String,
    /// What the code host calls the last attempt to bring it.
    pub attempt: u64,
}

/// The deliveries that a code host could not bring.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Undelivered {
    /// Each once, newest first.
    pub missed: Vec<Missed>,
    /// Whether these are all; else there are more than are read at once.
    pub complete: bool,
}

/// An account, or one repository, that cannot be worked at present.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreachable {
    /// The owner of the repositories.
    pub owner: String,
    /// The only one that it is about, when the configuration names it.
    pub repository: Option<RepoName>,
    /// Why, and what would mend it.
    pub why: String,
    /// Whether it stays so until somebody mends it.
    pub lasting: bool,
}

impl Unreachable {
    /// What an error with an account's repositories means.
    #[must_use]
    pub fn new(owner: &str, error: &ForgeError) -> Self {
        let lasting = matches!(error, ForgeError::Denied { .. } | ForgeError::NotFound(_));
        let why = match error {
            ForgeError::NotFound(_) => format!("{error}. Correct github.repositories in ccm.toml, or give it access."),
            _ => error.to_string(),
        };
        Self { owner: owner.to_owned(), repository: None, why, lasting }
    }

    /// What an error with a repository means that the configuration names.
    #[must_use]
    pub fn named(name: &RepoName, error: &ForgeError) -> Self {
        let mend = "Restore its access, or correct github.repositories in ccm.toml";
        let why = format!("The configuration names it, but {error}. {mend}.");
        Self { repository: Some(name.clone()), why, ..Self::new(name.owner(), error) }
    }

    /// Whether it is about this repository.
    #[must_use]
    pub fn covers(&self, name: &RepoName) -> bool {
        self.owner.eq_ignore_ascii_case(name.owner()) && self.repository.as_ref().is_none_or(|named| named == name)
    }
}

/// A line of a file as it is in a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The repository.
    pub repository: RepoName,
    /// The commit.
    pub commit: CommitId,
    /// The path from the top.
    pub path: String,
    /// Its number, from 1.
    pub number: u32,
}

/// Where a line comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Somebody wrote it.
    Written {
        /// The name of the commit's author, as written there; a text from outside.
        by: Option<String>,
        /// The day, by the author's clock.
        on: Day,
    },
    /// The code host was asked and does not know.
    Unknown,
    /// It was not asked: it cannot be, or not now.
    Unasked,
}

/// A code host. At most about 25 methods; every one may be repeated.
#[async_trait]
pub trait Forge: Send + Sync + 'static {
    /// Whether proposals are issues here; otherwise they are cards on the dashboard.
    fn has_issues(&self) -> bool;
    /// The login that acts.
    async fn login(&self) -> Result<String, ForgeError>;
    /// The repositories that the configuration's globs select.
    async fn repositories(&self) -> Result<Vec<RepositoryView>, ForgeError>;
    /// What became of these repositories, asked for all at once with as few requests as the credential allows.
    async fn changes(&self, known: &[Known]) -> Result<Vec<(RepoName, Change)>, ForgeError>;
    /// The accounts whose repositories the last listing left out, although they may be meant.
    fn unreachable(&self) -> Vec<Unreachable> {
        Vec::new()
    }
    /// One repository.
    async fn repository(&self, name: &RepoName) -> Result<RepositoryView, ForgeError>;
    /// Where its default branch is; `None` when it has no commits, or where that is not told in one small request.
    async fn tip(&self, _name: &RepoName) -> Result<Option<Tip>, ForgeError> {
        Ok(None)
    }
    /// The files of a commit as a gzipped tar, below one folder; `None` where there are no archives.
    async fn archive(&self, _name: &RepoName, _commit: &CommitId) -> Result<Option<Bytes>, ForgeError> {
        Ok(None)
    }
    /// How git reaches it, with a credential that is good for ten minutes of reading, or an hour of pushing.
    async fn git_access(&self, name: &RepoName, git_use: GitUse) -> Result<GitAccess, ForgeError>;
    /// Ends a credential that was got for pushing, where that can be; it would end by itself as well.
    async fn give_back(&self, _name: &RepoName, _password: &SecretString) {}
    /// What a user may do.
    async fn permission(&self, repository: &RepoName, login: &str) -> Result<Permission, ForgeError>;

    /// Finds the task's issue by its marker or creates it. A closed one is found too.
    async fn ensure_issue(&self, draft: &IssueDraft) -> Result<IssueView, ForgeError>;
    /// The issues with our marker in a repository, closed ones too, newest first, each with its task: what was proposed
    /// there, whatever is remembered of it.
    async fn proposals(&self, _repository: &RepoName) -> Result<Vec<(TaskId, IssueView)>, ForgeError> {
        Ok(Vec::new())
    }
    /// The issues of a repository that changed at or after `since`, oldest change first.
    async fn changed_issues(&self, repository: &RepoName, since: Timestamp) -> Result<Vec<IssueView>, ForgeError>;
    /// The open issues of a repository, oldest first, the thousand oldest at most; only those that carry one of `labels`
    /// if there are some.
    async fn open_issues(&self, _repository: &RepoName, _labels: &[String]) -> Result<Vec<OpenIssue>, ForgeError> {
        Ok(Vec::new())
    }
    /// An issue as it stands.
    async fn issue(&self, issue: &IssueLink) -> Result<IssueView, ForgeError> {
        Err(ForgeError::NotFound(format!("issue {} of {}", issue.number, issue.repository)))
    }
    /// Who wrote lines and when, in the order of `lines`, asked for in as few requests as there can be. It is never worth
    /// waiting for: what cannot be had now is [`Origin::Unasked`].
    async fn origins(&self, lines: &[Line]) -> Vec<Origin> {
        vec![Origin::Unasked; lines.len()]
    }
    /// How the checks of the default branch's head stand.
    async fn head_checks(&self, _repository: &RepoName, _head: &CommitId) -> Result<HeadChecks, ForgeError> {
        Ok(HeadChecks { checks: Vec::new(), settled: true })
    }
    /// The open alerts of these kinds.
    async fn alerts(&self, _repository: &RepoName, _kinds: &[AlertKind]) -> Result<Alerts, ForgeError> {
        Ok(Alerts::default())
    }
    /// What people did to an issue, oldest first.
    async fn activity(&self, issue: &IssueLink) -> Result<Vec<Activity>, ForgeError>;
    /// Changes an issue in place.
    async fn update_issue(&self, issue: &IssueLink, patch: &IssuePatch) -> Result<(), ForgeError>;
    /// Makes the one comment of that `name` on an issue or pull request say `body`.
    async fn ensure_comment(&self, issue: &IssueLink, task: &TaskId, name: &str, body: &str) -> Result<(), ForgeError>;

    /// Finds the task's pull request (by its branch and marker) or opens it; brings title and body up to date.
    async fn ensure_pull_request(&self, draft: &PullDraft) -> Result<Pull, ForgeError>;
    /// How a pull request stands, with checks, reviews and comments.
    async fn pull_status(&self, repository: &RepoName, pull: &Pull, base: &str) -> Result<PullStatus, ForgeError>;
    /// Merges it if its head is still `pull.head`.
    async fn merge(&self, repository: &RepoName, pull: &Pull, base: &str, message: &str) -> Result<(), ForgeError>;
    /// Closes it without a merge.
    async fn close_pull(&self, repository: &RepoName, pull: &Pull) -> Result<(), ForgeError>;

    /// Whether the account with this id is the service itself.
    async fn is_us(&self, _account: u64) -> Result<bool, ForgeError> {
        Ok(false)
    }
    /// The deliveries since `since` that could not be brought; `None` where there is no list of them.
    async fn undelivered(&self, _since: Timestamp) -> Result<Option<Undelivered>, ForgeError> {
        Ok(None)
    }
    /// What such a delivery says.
    async fn delivery(&self, missed: &Missed) -> Result<Delivery, ForgeError> {
        Err(ForgeError::NotFound(format!("the delivery {}", missed.guid)))
    }

    /// The limits as last seen.
    fn limits(&self) -> Vec<LimitView>;
    /// What whoever runs this should know of the code host, as finished sentences: how changes are asked for and why,
    /// announced ends, wrong answers.
    fn notices(&self) -> Vec<String>;
}

/// The durable memory that a forge needs; implemented over the store by `pipeline`.
#[async_trait]
pub trait Ledger: Send + Sync + 'static {
    /// One intent.
    async fn intent(&self, id: &str) -> Result<Option<WriteIntent>, LedgerError>;
    /// Writes an intent if the stored one is still `expected` (`None`: if there is none), and says whether it did. It is
    /// on disk when this returns. Of several that expect the same, in whichever process on this memory, one succeeds.
    async fn swap_intent(&self, expected: Option<&WriteIntent>, intent: &WriteIntent) -> Result<bool, LedgerError>;
    /// The intents of a repository that are not done, oldest first.
    async fn open_intents(&self, repository: &RepoName) -> Result<Vec<WriteIntent>, LedgerError>;
    /// A remembered value, such as a cached answer or a pause.
    async fn recall(&self, space: &str, key: &str) -> Result<Option<String>, LedgerError>;
    /// Remembers a value.
    async fn remember(
        &self,
        space: &str,
        key: &str,
        value: &str,
        expires: Option<Timestamp>,
    ) -> Result<(), LedgerError>;
    /// Remembers a value if the present one is still `expected` (`None`: if there is none), and says whether it did.
    /// Of several that expect the same, in whichever process on this memory, exactly one succeeds.
    async fn swap(
        &self,
        space: &str,
        key: &str,
        expected: Option<&str>,
        value: &str,
        expires: Option<Timestamp>,
    ) -> Result<bool, LedgerError>;
}

/// The ledger could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("the service's own memory failed: {0}")]
pub struct LedgerError(pub String);

impl From<LedgerError> for ForgeError {
    fn from(error: LedgerError) -> Self {
        Self::Transient { why: error.to_string(), retry_at: None }
    }
}
