//! Folders on this machine: gives the local forge its branches through git.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use backlog::names::{BranchName, CommitId};
use backlog::time::Clock;
use forge::local::{BranchError, Branches};
use git::{Author, Git, GitError, LocalRepository, MergeOutcome};

/// Branches of repositories in folders.
pub struct GitBranches {
    git: Git,
    clock: Arc<dyn Clock>,
    author: Author,
}

impl GitBranches {
    /// Merges are made by `author`.
    #[must_use]
    pub fn new(git: Git, clock: Arc<dyn Clock>, author: Author) -> Self {
        Self { git, clock, author }
    }

    async fn open(&self, path: &Path) -> Result<LocalRepository, BranchError> {
        LocalRepository::open(&self.git, path).await.map_err(failed)
    }
}

fn failed(error: GitError) -> BranchError {
    BranchError::Failed(error.to_string())
}

fn branch_name(text: &str) -> Result<BranchName, BranchError> {
    text.parse().map_err(|error: backlog::names::InvalidName| BranchError::Failed(error.to_string()))
}

#[async_trait]
impl Branches for GitBranches {
    async fn default_branch(&self, path: &Path) -> Result<String, BranchError> {
        Ok(self.open(path).await?.head_branch().await.map_err(failed)?.to_string())
    }

    async fn head(&self, path: &Path, branch: &str) -> Result<Option<CommitId>, BranchError> {
        self.open(path).await?.branch_head(&branch_name(branch)?).await.map_err(failed)
    }

    async fn is_merged(&self, path: &Path, commit: &CommitId, into: &str) -> Result<bool, BranchError> {
        self.open(path).await?.is_merged(commit, &branch_name(into)?).await.map_err(failed)
    }

    async fn merge(&self, path: &Path, branch: &str, into: &str, message: &str) -> Result<(), BranchError> {
        let repository = self.open(path).await?;
        let (branch, target) = (branch_name(branch)?, branch_name(into)?);
        let merged = repository.merge(&branch, &target, message, &self.author, self.clock.now());
        match merged.await.map_err(failed)? {
            MergeOutcome::Merged(_) | MergeOutcome::AlreadyMerged => Ok(()),
            MergeOutcome::Conflict { files } => Err(BranchError::Conflict(format!(
                "The branch conflicts with {into} in {}. Merge it by hand, or cancel the task.",
                files.join(", ")
            ))),
            MergeOutcome::Dirty { files } => Err(BranchError::Dirty(format!(
                "The folder has uncommitted changes in {} that the merge would overwrite. Commit or stash them, then \
                 merge again.",
                files.join(", ")
            ))),
        }
    }

    async fn delete(&self, path: &Path, branch: &str) -> Result<(), BranchError> {
        self.open(path).await?.delete_branch(&branch_name(branch)?).await.map_err(failed)
    }
}
