//! Folders on this machine as a code host.
//!
//! **Definition.** [`Local`] is a [`Forge`] without issues: a proposal is a card on the dashboard, a pull request is
//! a branch in the folder's own repository, and whoever runs the service may decide.
//!
//! **Wanted properties.** It never starts git by itself ([`Branches`] does), never touches a branch that is not the
//! pull request's or its base, and what a person does with git at the same time is seen, not overwritten.
//!
//! **Known races.** A person may move the branch between the look and the merge: the merge takes what the branch
//! holds then, which the person put there. A squash merge by hand is not recognised: the deleted branch counts as
//! closed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use backlog::approval::Permission;
use backlog::names::{BranchName, CommitId, RepoName, TaskId};
use backlog::review::{PullState, PullStatus};
use backlog::task::{IssueLink, Pull};
use backlog::time::{Clock, Timestamp};

use crate::{
    Activity, Change, Forge, ForgeError, GitAccess, GitUse, IssueDraft, IssuePatch, IssueView, Known, LimitView,
    PullDraft, RepositoryView,
};

/// What [`Local`] needs of git.
#[async_trait]
pub trait Branches: Send + Sync + 'static {
    /// The branch that the folder's repository has checked out, or would.
    async fn default_branch(&self, path: &Path) -> Result<String, BranchError>;
    /// The head of a branch; `None` when there is no such branch.
    async fn head(&self, path: &Path, branch: &str) -> Result<Option<CommitId>, BranchError>;
    /// Whether `commit` is an ancestor of (or is) the head of `into`.
    async fn is_merged(&self, path: &Path, commit: &CommitId, into: &str) -> Result<bool, BranchError>;
    /// Merges `branch` into `into` with a merge commit; the working files follow when `into` is checked out.
    async fn merge(&self, path: &Path, branch: &str, into: &str, message: &str) -> Result<(), BranchError>;
    /// Deletes a branch, merged or not; it is no error when it is gone.
    async fn delete(&self, path: &Path, branch: &str) -> Result<(), BranchError>;
}

/// Why git did not do it. Each holds a finished sentence for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BranchError {
    /// The branches conflict.
    #[error("{0}")]
    Conflict(String),
    /// The working files hold changes that a merge would lose.
    #[error("{0}")]
    Dirty(String),
    /// Anything else.
    #[error("{0}")]
    Failed(String),
}

impl From<BranchError> for ForgeError {
    fn from(error: BranchError) -> Self {
        match error {
            BranchError::Conflict(why) | BranchError::Dirty(why) => Self::Conflict(why),
            BranchError::Failed(why) => Self::Unexpected(why),
        }
    }
}

/// See the module.
pub struct Local {
    login: String,
    repositories: Vec<(RepoName, PathBuf)>,
    branches: Arc<dyn Branches>,
    clock: Arc<dyn Clock>,
}

impl Local {
    /// The code host of these folders, for the local user `login`.
    #[must_use]
    pub fn new(
        login: String,
        repositories: Vec<(RepoName, PathBuf)>,
        branches: Arc<dyn Branches>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { login, repositories, branches, clock }
    }

    fn path(&self, name: &RepoName) -> Result<&Path, ForgeError> {
        let found = self.repositories.iter().find(|(known, _)| known == name);
        found
            .map(|(_, path)| path.as_path())
            .ok_or_else(|| ForgeError::NotFound(format!("the local repository {name}")))
    }

    async fn view(&self, name: &RepoName, path: &Path) -> Result<RepositoryView, ForgeError> {
        Ok(RepositoryView {
            name: name.clone(),
            default_branch: self.branches.default_branch(path).await?,
            archived: false,
            has_issues: false,
            can_push: true,
            path: Some(path.display().to_string()),
            pushed_at: None,
        })
    }

    fn no_issues(what: &str) -> ForgeError {
        ForgeError::Denied {
            what: what.to_owned(),
            why: "local folders have no issues; use the dashboard or `ccm tasks`".to_owned(),
        }
    }
}

/// A branch by its address for people: `<path>#<branch>`.
fn address(path: &Path, branch: &BranchName) -> String {
    format!("{}#{branch}", path.display())
}

#[async_trait]
impl Forge for Local {
    fn has_issues(&self) -> bool {
        false
    }

    async fn login(&self) -> Result<String, ForgeError> {
        Ok(self.login.clone())
    }

    /// A folder that git cannot read is left out and logged, so that it does not stop the others.
    async fn repositories(&self) -> Result<Vec<RepositoryView>, ForgeError> {
        let mut views = Vec::new();
        for (name, path) in &self.repositories {
            match self.view(name, path).await {
                Ok(view) => views.push(view),
                Err(error) => tracing::warn!(repository = %name, %error, "left out"),
            }
        }
        Ok(views)
    }

    async fn changes(&self, known: &[Known]) -> Result<Vec<(RepoName, Change)>, ForgeError> {
        Ok(known.iter().map(|one| (one.name.clone(), Change::Unasked)).collect())
    }

    async fn repository(&self, name: &RepoName) -> Result<RepositoryView, ForgeError> {
        self.view(name, self.path(name)?).await
    }

    async fn git_access(&self, name: &RepoName, _: GitUse) -> Result<GitAccess, ForgeError> {
        Ok(GitAccess { url: self.path(name)?.display().to_string(), login: None })
    }

    async fn permission(&self, _repository: &RepoName, login: &str) -> Result<Permission, ForgeError> {
        Ok(if login == self.login { Permission::Admin } else { Permission::None })
    }

    async fn ensure_issue(&self, _draft: &IssueDraft) -> Result<IssueView, ForgeError> {
        Err(Self::no_issues("creating an issue"))
    }

    async fn changed_issues(&self, _repository: &RepoName, _since: Timestamp) -> Result<Vec<IssueView>, ForgeError> {
        Err(Self::no_issues("listing issues"))
    }

    async fn activity(&self, _issue: &IssueLink) -> Result<Vec<Activity>, ForgeError> {
        Err(Self::no_issues("reading an issue"))
    }

    async fn update_issue(&self, _issue: &IssueLink, _patch: &IssuePatch) -> Result<(), ForgeError> {
        Err(Self::no_issues("changing an issue"))
    }

    async fn ensure_comment(
        &self,
        _issue: &IssueLink,
        _task: &TaskId,
        _name: &str,
        _body: &str,
    ) -> Result<(), ForgeError> {
        Err(Self::no_issues("commenting"))
    }

    async fn ensure_pull_request(&self, draft: &PullDraft) -> Result<Pull, ForgeError> {
        let path = self.path(&draft.repository)?;
        let PullDraft { branch, head, .. } = draft;
        match self.branches.head(path, branch.as_str()).await? {
            Some(found) if found == *head => {
                Ok(Pull { number: None, url: address(path, branch), branch: branch.clone(), head: head.clone() })
            }
            Some(found) => Err(ForgeError::Conflict(format!(
                "the branch {branch} stands at {} instead of {}; somebody moved it",
                found.short(),
                head.short()
            ))),
            None => Err(ForgeError::NotFound(format!("the branch {branch} in {}", path.display()))),
        }
    }

    async fn pull_status(&self, repository: &RepoName, pull: &Pull, base: &str) -> Result<PullStatus, ForgeError> {
        let path = self.path(repository)?;
        let head = self.branches.head(path, pull.branch.as_str()).await?;
        let state = if self.branches.is_merged(path, &pull.head, base).await? {
            PullState::Merged { at: self.clock.now(), by: None }
        } else if head.is_none() {
            PullState::Closed { by: None }
        } else {
            PullState::Open
        };
        let head = head.unwrap_or_else(|| pull.head.clone());
        Ok(PullStatus { state, head, conflicts: None, checks: Vec::new(), notes: Vec::new() })
    }

    async fn merge(&self, repository: &RepoName, pull: &Pull, base: &str, message: &str) -> Result<(), ForgeError> {
        let path = self.path(repository)?;
        if self.branches.is_merged(path, &pull.head, base).await? {
            return Ok(());
        }
        match self.branches.head(path, pull.branch.as_str()).await? {
            Some(head) if head == pull.head => {
                Ok(self.branches.merge(path, pull.branch.as_str(), base, message).await?)
            }
            Some(_) => Err(ForgeError::Conflict(format!(
                "the branch {} has moved since it was delivered; look at it again",
                pull.branch
            ))),
            None => Err(ForgeError::NotFound(format!("the branch {} in {}", pull.branch, path.display()))),
        }
    }

    async fn close_pull(&self, repository: &RepoName, pull: &Pull) -> Result<(), ForgeError> {
        Ok(self.branches.delete(self.path(repository)?, pull.branch.as_str()).await?)
    }

    fn limits(&self) -> Vec<LimitView> {
        Vec::new()
    }

    fn notices(&self) -> Vec<String> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests;
