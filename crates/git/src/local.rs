//! A developer's own repository in a folder of this machine: where its branches are, and merging one of them.
//!
//! *Wanted property.* Nothing of the developer's is ever lost: the merge is made beside the work tree; only when it is
//! whole does the branch move, and where that branch is checked out, git itself moves the files and refuses to touch
//! those with local changes.
//!
//! *Known race.* A commit that the developer makes between our reading and moving of the branch: both ways of moving
//! refuse then, with [`Rejection::Stale`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use backlog::names::{BranchName, CommitId};
use backlog::time::Timestamp;

use crate::blame::{Blame, blame};
use crate::checkout::{Author, commit_tree};
use crate::error::{GitError, Rejection};
use crate::objects::Objects;
use crate::process::{Call, Git};
use crate::remove::io_error;

/// A repository on this machine that people work in, bare or with a work tree.
#[derive(Clone, Debug)]
pub struct LocalRepository {
    git: Git,
    path: PathBuf,
}

/// How a merge went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MergeOutcome {
    /// The branch is at this commit now: a merge, or the merged branch's own commit when nothing else had happened.
    Merged(CommitId),
    /// Everything was in the branch already.
    AlreadyMerged,
    /// Both sides changed the same places of these files; nothing was changed.
    Conflict {
        /// Paths from the top.
        files: Vec<String>,
    },
    /// Local changes to these files would be overwritten; nothing was changed.
    Dirty {
        /// Paths from the top.
        files: Vec<String>,
    },
}

impl LocalRepository {
    /// The repository in the folder `path` itself, not in one above it. Errors: [`GitError::NotFound`] (no folder),
    /// [`GitError::NotARepository`], [`GitError::NoCommits`].
    pub async fn open(git: &Git, path: &Path) -> Result<Self, GitError> {
        if !tokio::fs::try_exists(path).await.map_err(io_error(path))? {
            return Err(GitError::NotFound { repository: path.display().to_string() });
        }
        let path = tokio::fs::canonicalize(path).await.map_err(io_error(path))?;
        let repository = Self { git: git.clone(), path };
        let (_, ended) = repository.call(&["rev-parse", "--git-dir"]).output().await?;
        if ended.code != Some(0) {
            return Err(GitError::NotARepository { path: repository.path });
        }
        if repository.call(&["rev-list", "--max-count=1", "--all"]).ok().await?.is_empty() {
            return Err(GitError::NoCommits { path: repository.path });
        }
        Ok(repository)
    }

    /// Makes a repository in the new folder `path`, with one commit of `files` (path and content; those that begin
    /// with `#!` are executable) on the branch `main`. Error: [`GitError::Occupied`] when the folder is there already.
    pub async fn create(
        git: &Git,
        path: &Path,
        files: &[(&str, &str)],
        author: &Author,
        message: &str,
        at: Timestamp,
    ) -> Result<Self, GitError> {
        if tokio::fs::try_exists(path).await.map_err(io_error(path))? {
            return Err(GitError::Occupied { path: path.to_owned() });
        }
        for (name, content) in files {
            let file = path.join(name);
            let folder = file.parent().unwrap_or(path);
            tokio::fs::create_dir_all(folder).await.map_err(io_error(folder))?;
            tokio::fs::write(&file, content).await.map_err(io_error(&file))?;
            if content.starts_with("#!") {
                let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
                tokio::fs::set_permissions(&file, mode).await.map_err(io_error(&file))?;
            }
        }
        let path = tokio::fs::canonicalize(path).await.map_err(io_error(path))?;
        let repository = Self { git: git.clone(), path };
        repository.call(&["init", "--quiet", "--template=", "--initial-branch=main"]).ok().await?;
        repository.call(&["add", "--all"]).ok().await?;
        let tree = repository.call(&["write-tree"]).text().await?;
        let commit = commit_tree(repository.call(&["commit-tree", tree.trim()]), author, message, at).await?;
        repository.call(&["update-ref", "HEAD", commit.as_str()]).ok().await?;
        Ok(repository)
    }

    /// The commit that is checked out. Error: [`GitError::NoCommits`].
    pub async fn head(&self) -> Result<CommitId, GitError> {
        let (bytes, _) = self.call(&["rev-parse", "--verify", "--quiet", "HEAD^{commit}"]).output().await?;
        let head = String::from_utf8_lossy(&bytes).trim().parse();
        head.map_err(|_| GitError::NoCommits { path: self.path.clone() })
    }

    /// Who wrote `lines` (from 1) of `path` in `commit`, by line; without those that are not there.
    pub async fn blame(&self, commit: &CommitId, path: &str, lines: &[u64]) -> Result<BTreeMap<u64, Blame>, GitError> {
        blame(|args| self.call(args), commit, path, lines).await
    }

    /// The objects of a bare repository; `None` where there is a work tree.
    pub async fn bare(&self) -> Result<Option<Objects>, GitError> {
        let text = self.call(&["rev-parse", "--is-bare-repository", "--git-path", "objects"]).text().await?;
        match text.trim_end().split_once('\n') {
            Some(("true", folder)) => Objects::open(self.path.join(folder)).map(Some),
            _ => Ok(None),
        }
    }

    /// The paths that differ between `revision` and the work tree, with untracked ones, without ignored ones; in a bare
    /// repository between `revision` and its head. Error: [`GitError::UnknownCommit`] or [`GitError::Failed`] when there is no such revision.
    pub async fn changed_since(&self, revision: &str) -> Result<Vec<String>, GitError> {
        let name = format!("{revision}^{{commit}}");
        let commit = self.call(&["rev-parse", "--verify", "--end-of-options", &name]).text().await?;
        let tracked = ["diff", "--name-only", "--no-renames", "-z", "--no-ext-diff", commit.trim(), "--"];
        let committed = ["diff-tree", "-r", "--name-only", "--no-renames", "-z", commit.trim(), "HEAD", "--"];
        let untracked = ["ls-files", "--others", "--exclude-standard", "-z"];
        let mut paths = Vec::new();
        let calls =
            if self.bare().await?.is_some() { vec![&committed[..]] } else { vec![&tracked[..], &untracked[..]] };
        for args in calls {
            let text = self.call(args).bulk().text().await?;
            paths.extend(text.split('\0').filter(|path| !path.is_empty()).map(str::to_owned));
        }
        Ok(paths)
    }

    /// Deletes a branch, merged or not; one that is gone already is no error.
    pub async fn delete_branch(&self, branch: &BranchName) -> Result<(), GitError> {
        match self.branch_head(branch).await? {
            Some(_) => self.call(&["branch", "-D", "--quiet", "--", branch.as_str()]).ok().await.map(drop),
            None => Ok(()),
        }
    }

    /// The repository's folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The branch that `HEAD` names. Error: [`GitError::NoDefaultBranch`] when it is detached.
    pub async fn head_branch(&self) -> Result<BranchName, GitError> {
        let (bytes, _) = self.call(&["symbolic-ref", "--quiet", "HEAD"]).output().await?;
        let name = String::from_utf8_lossy(&bytes);
        let branch = name.trim().strip_prefix("refs/heads/").and_then(|name| name.parse().ok());
        branch.ok_or_else(|| GitError::NoDefaultBranch { repository: self.path.display().to_string() })
    }

    /// The commit of a branch, if it is there.
    pub async fn branch_head(&self, branch: &BranchName) -> Result<Option<CommitId>, GitError> {
        let name = format!("refs/heads/{branch}");
        let (bytes, _) = self.call(&["rev-parse", "--verify", "--quiet", &name]).output().await?;
        Ok(String::from_utf8_lossy(&bytes).trim().parse().ok())
    }

    /// Whether `commit` is in the branch `into`; a commit or branch that is not here is not.
    pub async fn is_merged(&self, commit: &CommitId, into: &BranchName) -> Result<bool, GitError> {
        let Some(tip) = self.branch_head(into).await? else {
            return Ok(false);
        };
        match self.is_ancestor(commit, &tip).await {
            Err(GitError::UnknownCommit { .. }) => Ok(false),
            other => other,
        }
    }

    /// Merges `branch` into `into`: a fast-forward when `into` has not moved, else a merge commit by `author` at `at`.
    /// Safe to repeat. Errors: [`GitError::UnknownBranch`]; [`GitError::Rejected`] when `into` moved meanwhile.
    pub async fn merge(
        &self,
        branch: &BranchName,
        into: &BranchName,
        message: &str,
        author: &Author,
        at: Timestamp,
    ) -> Result<MergeOutcome, GitError> {
        let (theirs, ours) = (self.tip(branch).await?, self.tip(into).await?);
        if self.is_ancestor(&theirs, &ours).await? {
            return Ok(MergeOutcome::AlreadyMerged);
        }
        let merged = if self.is_ancestor(&ours, &theirs).await? {
            theirs
        } else {
            let tree = match self.merge_trees(&ours, &theirs).await? {
                Ok(tree) => tree,
                Err(files) => return Ok(MergeOutcome::Conflict { files }),
            };
            let call = self.call(&["commit-tree", &tree, "-p", ours.as_str(), "-p", theirs.as_str()]);
            commit_tree(call, author, message, at).await?
        };
        match self.work_tree_of(into).await? {
            Some(folder) => self.fast_forward(&folder, into, &merged).await,
            None => self.move_branch(into, &ours, &merged).await,
        }
    }

    async fn tip(&self, branch: &BranchName) -> Result<CommitId, GitError> {
        let tip = self.branch_head(branch).await?;
        tip.ok_or_else(|| GitError::UnknownBranch { branch: branch.clone() })
    }

    async fn is_ancestor(&self, ancestor: &CommitId, commit: &CommitId) -> Result<bool, GitError> {
        self.call(&["merge-base", "--is-ancestor", ancestor.as_str(), commit.as_str()]).test().await
    }

    /// The tree of the merge, or the files in conflict.
    async fn merge_trees(&self, ours: &CommitId, theirs: &CommitId) -> Result<Result<String, Vec<String>>, GitError> {
        let args = ["merge-tree", "--write-tree", "--name-only", "--no-messages", "-z", ours.as_str(), theirs.as_str()];
        let (bytes, ended) = self.call(&args).bulk().output().await?;
        let text = String::from_utf8_lossy(&bytes);
        let mut records = text.split('\0').filter(|record| !record.is_empty());
        match (ended.code, records.next()) {
            (Some(0), Some(tree)) => Ok(Ok(tree.trim().to_owned())),
            (Some(1), Some(_)) => Ok(Err(records.map(str::to_owned).collect())),
            _ => Err(ended.into_error()),
        }
    }

    /// The work tree in which `branch` is checked out, if any.
    async fn work_tree_of(&self, branch: &BranchName) -> Result<Option<PathBuf>, GitError> {
        let text = self.call(&["worktree", "list", "--porcelain", "-z"]).text().await?;
        let wanted = format!("branch refs/heads/{branch}");
        let mut folder = None;
        for record in text.split('\0') {
            if let Some(path) = record.strip_prefix("worktree ") {
                folder = Some(PathBuf::from(path));
            } else if record == wanted {
                return Ok(folder);
            }
        }
        Ok(None)
    }

    async fn fast_forward(
        &self,
        folder: &Path,
        into: &BranchName,
        commit: &CommitId,
    ) -> Result<MergeOutcome, GitError> {
        let args = ["merge", "--ff-only", "--no-stat", "--quiet", "--no-autostash", "--no-verify-signatures"];
        let (_, ended) = self.call(&args).arg(commit.as_str()).folder(folder).users_settings().bulk().output().await?;
        if ended.code == Some(0) {
            return Ok(MergeOutcome::Merged(commit.clone()));
        }
        if ["would be overwritten by merge", "would lose untracked files"].iter().any(|s| ended.stderr.contains(s)) {
            let files = ended.stderr.lines().filter_map(|line| line.strip_prefix('\t'));
            return Ok(MergeOutcome::Dirty { files: files.map(str::to_owned).collect() });
        }
        if ended.stderr.contains("Not possible to fast-forward") {
            return Err(stale(into, ended.stderr));
        }
        Err(ended.into_error())
    }

    async fn move_branch(&self, branch: &BranchName, old: &CommitId, new: &CommitId) -> Result<MergeOutcome, GitError> {
        let name = format!("refs/heads/{branch}");
        let call = self.call(&["update-ref", "-m", "ccm: merge", &name, new.as_str(), old.as_str()]);
        let (_, ended) = call.output().await?;
        if ended.code == Some(0) {
            Ok(MergeOutcome::Merged(new.clone()))
        } else if ended.stderr.contains("but expected") {
            Err(stale(branch, ended.stderr))
        } else {
            Err(ended.into_error())
        }
    }

    fn call(&self, args: &[&str]) -> Call {
        let above = self.path.parent().unwrap_or(&self.path);
        self.git.call(args).folder(&self.path).env("GIT_CEILING_DIRECTORIES", above)
    }
}

fn stale(branch: &BranchName, message: String) -> GitError {
    GitError::Rejected { branch: branch.clone(), reason: Rejection::Stale, message }
}

#[cfg(test)]
mod tests;
