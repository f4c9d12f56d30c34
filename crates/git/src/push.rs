//! Changing one branch of the remote, and only if it is where the caller believes it to be.
//!
//! *Known race.* Between asking where the branch is and pushing, somebody may move it: the lease makes the remote
//! refuse, and the caller gets [`Rejection::Stale`].

use backlog::names::{BranchName, CommitId};

use crate::error::{GitError, Rejection};
use crate::mirror::Mirror;

/// How a push went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// The branch did not exist and does now.
    Created,
    /// The branch was moved to the commit.
    Updated,
    /// The branch was at the commit already: a repeated push.
    AlreadyThere,
}

/// How a deletion went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deleted {
    /// The branch is gone now.
    Gone,
    /// There was no such branch.
    AlreadyGone,
}

impl Mirror {
    /// Moves `branch` of the remote from `expected` (`None`: it must not exist) to `commit`. Safe to repeat. The move may
    /// drop commits when `expected` names them: whoever expects a commit has seen it.
    /// Errors: [`GitError::Rejected`], [`GitError::Denied`], [`GitError::Limited`], [`GitError::Transient`],
    /// [`GitError::Timeout`] (then the push may have worked; repeat it).
    pub async fn push(
        &self,
        commit: &CommitId,
        branch: &BranchName,
        expected: Option<&CommitId>,
    ) -> Result<Pushed, GitError> {
        if self.branch_head(branch).await?.as_ref() == Some(commit) {
            return Ok(Pushed::AlreadyThere);
        }
        self.push_ref(commit.as_str(), branch, expected).await?;
        Ok(if expected.is_some() { Pushed::Updated } else { Pushed::Created })
    }

    /// Deletes `branch` of the remote if it is at `expected`. Safe to repeat. Errors as for [`Mirror::push`].
    pub async fn delete_branch(&self, branch: &BranchName, expected: &CommitId) -> Result<Deleted, GitError> {
        if self.branch_head(branch).await?.is_none() {
            return Ok(Deleted::AlreadyGone);
        }
        self.push_ref("", branch, Some(expected)).await?;
        Ok(Deleted::Gone)
    }

    async fn push_ref(&self, from: &str, branch: &BranchName, expected: Option<&CommitId>) -> Result<(), GitError> {
        let name = format!("refs/heads/{branch}");
        let lease = format!("--force-with-lease={name}:{}", expected.map_or("", CommitId::as_str));
        let (bytes, ended) = self
            .call(["push", "--porcelain", "--no-verify", "--no-follow-tags", "--no-signed", &lease, "--"])
            .remote(&self.remote)
            .arg(&self.remote.url)
            .arg(format!("{from}:{name}"))
            .output()
            .await?;
        if ended.code == Some(0) {
            return Ok(());
        }
        let report = String::from_utf8_lossy(&bytes);
        let Some(summary) = report.lines().find_map(|line| line.strip_prefix("!\t")?.split('\t').nth(1)) else {
            return Err(ended.into_error());
        };
        let reason = Rejection::of_summary(summary);
        let words: Vec<&str> = ended.stderr.lines().filter_map(|line| line.strip_prefix("remote:")).collect();
        let message = [&[summary], words.as_slice()].concat().join("\n").trim().to_owned();
        Err(GitError::Rejected { branch: branch.clone(), reason, message })
    }
}

#[cfg(test)]
mod tests;
