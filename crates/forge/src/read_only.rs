//! A code host that is only read.
//!
//! **Definition.** [`ReadOnly`] passes on every question and refuses whatever would change something there, a credential
//! for pushing included. It counts what it refused.
//!
//! **Wanted properties.** A method that is added to [`Forge`] later and not listed here asks nothing and changes nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use backlog::alert::AlertKind;
use backlog::approval::Permission;
use backlog::names::{CommitId, RepoName, TaskId};
use backlog::review::PullStatus;
use backlog::task::{IssueLink, Pull};
use backlog::time::Timestamp;
use bytes::Bytes;

use crate::{
    Activity, Alerts, Change, Forge, ForgeError, GitAccess, GitUse, HeadChecks, IssueDraft, IssuePatch, IssueView,
    Known, LimitView, Line, OpenIssue, Origin, PullDraft, RepositoryView, Tip, Unreachable,
};

/// See the module.
pub struct ReadOnly {
    inner: Arc<dyn Forge>,
    refused: AtomicU64,
}

impl ReadOnly {
    /// Reads `inner`, and changes nothing there.
    #[must_use]
    pub fn new(inner: Arc<dyn Forge>) -> Self {
        Self { inner, refused: AtomicU64::new(0) }
    }

    /// How many changes were refused so far.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    fn refuse<T>(&self, what: &str) -> Result<T, ForgeError> {
        self.refused.fetch_add(1, Ordering::Relaxed);
        Err(ForgeError::Denied { what: what.to_owned(), why: "this is a dry run, which changes nothing".to_owned() })
    }
}

#[async_trait]
impl Forge for ReadOnly {
    fn has_issues(&self) -> bool {
        self.inner.has_issues()
    }

    async fn login(&self) -> Result<String, ForgeError> {
        self.inner.login().await
    }

    async fn repositories(&self) -> Result<Vec<RepositoryView>, ForgeError> {
        self.inner.repositories().await
    }

    async fn changes(&self, known: &[Known]) -> Result<Vec<(RepoName, Change)>, ForgeError> {
        self.inner.changes(known).await
    }

    fn unreachable(&self) -> Vec<Unreachable> {
        self.inner.unreachable()
    }

    async fn repository(&self, name: &RepoName) -> Result<RepositoryView, ForgeError> {
        self.inner.repository(name).await
    }

    async fn tip(&self, name: &RepoName) -> Result<Option<Tip>, ForgeError> {
        self.inner.tip(name).await
    }

    async fn archive(&self, name: &RepoName, commit: &CommitId) -> Result<Option<Bytes>, ForgeError> {
        self.inner.archive(name, commit).await
    }

    async fn git_access(&self, name: &RepoName, git_use: GitUse) -> Result<GitAccess, ForgeError> {
        match git_use {
            GitUse::Read => self.inner.git_access(name, GitUse::Read).await,
            GitUse::Push => self.refuse("a push"),
        }
    }

    async fn origins(&self, lines: &[Line]) -> Vec<Origin> {
        self.inner.origins(lines).await
    }

    async fn permission(&self, repository: &RepoName, login: &str) -> Result<Permission, ForgeError> {
        self.inner.permission(repository, login).await
    }

    async fn ensure_issue(&self, _draft: &IssueDraft) -> Result<IssueView, ForgeError> {
        self.refuse("an issue")
    }

    async fn proposals(&self, repository: &RepoName) -> Result<Vec<(TaskId, IssueView)>, ForgeError> {
        self.inner.proposals(repository).await
    }

    async fn changed_issues(&self, repository: &RepoName, since: Timestamp) -> Result<Vec<IssueView>, ForgeError> {
        self.inner.changed_issues(repository, since).await
    }

    async fn open_issues(&self, repository: &RepoName, labels: &[String]) -> Result<Vec<OpenIssue>, ForgeError> {
        self.inner.open_issues(repository, labels).await
    }

    async fn issue(&self, issue: &IssueLink) -> Result<IssueView, ForgeError> {
        self.inner.issue(issue).await
    }

    async fn head_checks(&self, repository: &RepoName, head: &CommitId) -> Result<HeadChecks, ForgeError> {
        self.inner.head_checks(repository, head).await
    }

    async fn alerts(&self, repository: &RepoName, kinds: &[AlertKind]) -> Result<Alerts, ForgeError> {
        self.inner.alerts(repository, kinds).await
    }

    async fn activity(&self, issue: &IssueLink) -> Result<Vec<Activity>, ForgeError> {
        self.inner.activity(issue).await
    }

    async fn update_issue(&self, _issue: &IssueLink, _patch: &IssuePatch) -> Result<(), ForgeError> {
        self.refuse("a change of an issue")
    }

    async fn ensure_comment(&self, _: &IssueLink, _: &TaskId, _: &str, _: &str) -> Result<(), ForgeError> {
        self.refuse("a comment")
    }

    async fn ensure_pull_request(&self, _draft: &PullDraft) -> Result<Pull, ForgeError> {
        self.refuse("a pull request")
    }

    async fn pull_status(&self, repository: &RepoName, pull: &Pull, base: &str) -> Result<PullStatus, ForgeError> {
        self.inner.pull_status(repository, pull, base).await
    }

    async fn merge(&self, _: &RepoName, _: &Pull, _: &str, _: &str) -> Result<(), ForgeError> {
        self.refuse("a merge")
    }

    async fn close_pull(&self, _repository: &RepoName, _pull: &Pull) -> Result<(), ForgeError> {
        self.refuse("closing a pull request")
    }

    async fn is_us(&self, account: u64) -> Result<bool, ForgeError> {
        self.inner.is_us(account).await
    }

    fn limits(&self) -> Vec<LimitView> {
        self.inner.limits()
    }

    fn notices(&self) -> Vec<String> {
        self.inner.notices()
    }
}
