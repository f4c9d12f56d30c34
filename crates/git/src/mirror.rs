//! A bare repository that follows one remote.
//!
//! *Design.* `HEAD` names `refs/remotes/origin/<default branch>`, the only ref there besides while it is renamed.
//! `refs/fetched/<branch>` are other branches that were asked for, `refs/ccm/<branch>` what agents made: these refs keep
//! commits alive, so that checkouts and pushes work from the mirror alone. The remote's address is stored nowhere.
//!
//! *Wanted property.* One writer at a time: fetches, commits and maintenance take the mirror's lock. Whoever
//! takes it first removes lock files that a killed git left behind.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use backlog::names::{BranchName, CommitId};
use tokio::sync::OwnedMutexGuard;

use crate::error::GitError;
use crate::glance::FETCH_BYTES;
use crate::objects::Objects;
use crate::process::{Call, Git, Writing};
use crate::refs;
use crate::remote::Remote;
use crate::remove::{io_error, remove_stale_locks};

const TRACKED: &str = "refs/remotes/origin/";
const FETCHED: &str = "refs/fetched/";
/// Where commits made by agents are kept.
pub(crate) const MADE: &str = "refs/ccm/";

/// A mirror. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Mirror {
    pub(crate) git: Git,
    pub(crate) dir: Arc<PathBuf>,
    pub(crate) remote: Arc<Remote>,
    writing: Writing,
    pub(crate) extent: Extent,
    /// The most bytes that one fetch into a glance brings.
    pub(crate) fetch_bytes: u64,
}

/// How much of a remote's objects is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// All of the branches that were fetched.
    Whole,
    /// The trees of the default branch's commit, and the blobs that were asked for. See [`crate::Glance`].
    Partial,
}

/// What a fetch found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// The default branch's commit; `None` when the remote has no commits.
    pub head: Option<CommitId>,
    /// The remote's default branch; of an empty remote the last known one, or `main`.
    pub default_branch: BranchName,
    /// Whether `head` is another one than before.
    pub moved: bool,
}

impl Git {
    /// The mirror of `remote` in the folder `dir`, created when it is missing. Cheap enough for every job, so that each
    /// gets a fresh login. Remotes with SHA-256 object ids are not supported. Errors: [`GitError::InvalidRemote`], [`GitError::Io`].
    pub async fn open_mirror(&self, dir: PathBuf, remote: Remote) -> Result<Mirror, GitError> {
        self.open(dir, remote, Extent::Whole).await
    }

    pub(crate) async fn open(&self, dir: PathBuf, remote: Remote, extent: Extent) -> Result<Mirror, GitError> {
        let remote = remote.validated()?;
        tokio::fs::create_dir_all(&dir).await.map_err(io_error(&dir))?;
        let dir = tokio::fs::canonicalize(&dir).await.map_err(io_error(&dir))?;
        let writing = self.writing(&dir);
        {
            let _writing = writing.lock().await;
            // The last thing that `init` makes; without it an earlier one was interrupted.
            if !tokio::fs::try_exists(dir.join("objects/info")).await.map_err(io_error(&dir))? {
                let init = ["init", "--quiet", "--bare", "--template=", "--initial-branch=main", "--"];
                self.call(init).arg(&dir).ok().await?;
            }
        }
        mark_used(&dir);
        Ok(Mirror {
            git: self.clone(),
            dir: Arc::new(dir),
            remote: Arc::new(remote),
            writing,
            extent,
            fetch_bytes: FETCH_BYTES,
        })
    }
}

impl Mirror {
    /// The mirror's folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The object folder that checkouts borrow from. A sandbox needs it read-only at this very path.
    #[must_use]
    pub fn objects_dir(&self) -> PathBuf {
        self.dir.join("objects")
    }

    /// Brings the mirror up to the remote's default branch, whatever that is called now, with one request when nothing
    /// has moved. Errors: those of the network, [`GitError::NoDefaultBranch`].
    pub async fn fetch(&self) -> Result<Fetched, GitError> {
        let _writing = self.write().await?;
        let (before, known) = (self.head().await?, self.default_branch().await?);
        let Some((default_branch, tip)) = self.remote_head(known.as_ref()).await? else {
            self.forget_tracked(None).await?;
            let default_branch = known.unwrap_or_else(main_branch);
            return Ok(Fetched { head: None, default_branch, moved: before.is_some() });
        };
        let tracked = format!("{TRACKED}{default_branch}");
        if known.as_ref() != Some(&default_branch) {
            let keep = known.filter(|known| !in_each_others_way(known, &default_branch));
            self.forget_tracked(keep.map(|known| format!("{TRACKED}{known}")).as_deref()).await?;
            self.fetch_ref(&default_branch, &tracked).await?;
            self.call(["symbolic-ref", "HEAD"]).arg(&tracked).ok().await?;
            self.forget_tracked(Some(&tracked)).await?;
        } else if before.as_ref() != Some(&tip) {
            self.fetch_ref(&default_branch, &tracked).await?;
        }
        let head = refs::commit(&self.dir, &tracked).await?;
        Ok(Fetched { moved: head != before, head, default_branch })
    }

    /// Fetches another branch of the remote and returns its commit; `None` when the remote has no such branch.
    pub async fn fetch_branch(&self, branch: &BranchName) -> Result<Option<CommitId>, GitError> {
        let _writing = self.write().await?;
        let into = format!("{FETCHED}{branch}");
        if self.branch_head(branch).await?.is_none() {
            self.call(["update-ref", "-d"]).arg(&into).ok().await?;
            return Ok(None);
        }
        self.fetch_ref(branch, &into).await?;
        refs::commit(&self.dir, &into).await
    }

    /// The commit of the default branch at the last fetch; `None` before the first one or for an empty remote.
    pub async fn head(&self) -> Result<Option<CommitId>, GitError> {
        match self.default_branch().await? {
            Some(branch) => refs::commit(&self.dir, &format!("{TRACKED}{branch}")).await,
            None => Ok(None),
        }
    }

    /// The default branch at the last fetch that found one.
    pub async fn default_branch(&self) -> Result<Option<BranchName>, GitError> {
        let name = refs::head(&self.dir).await?;
        Ok(name.and_then(|name| name.strip_prefix(TRACKED)?.parse().ok()))
    }

    /// The commit of `branch` on the remote now; `None` when there is no such branch.
    pub async fn branch_head(&self, branch: &BranchName) -> Result<Option<CommitId>, GitError> {
        let wanted = format!("refs/heads/{branch}");
        let listed = self.git.ls_refs(&self.remote, &[&wanted]).await?;
        Ok(listed.refs.into_iter().find(|(name, _)| *name == wanted).map(|(_, commit)| commit))
    }

    /// Whether the mirror has `commit`.
    pub async fn contains(&self, commit: &CommitId) -> Result<bool, GitError> {
        let commit = commit.clone();
        self.with_objects(move |objects| objects.has_commit(&commit)).await
    }

    /// Whether `ancestor` is `commit` or one of its ancestors. Error: [`GitError::UnknownCommit`].
    pub async fn is_ancestor(&self, ancestor: &CommitId, commit: &CommitId) -> Result<bool, GitError> {
        self.call(["merge-base", "--is-ancestor"]).arg(ancestor.as_str()).arg(commit.as_str()).test().await
    }

    /// The best common ancestor; `None` for unrelated histories. Error: [`GitError::UnknownCommit`].
    pub async fn merge_base(&self, a: &CommitId, b: &CommitId) -> Result<Option<CommitId>, GitError> {
        let (bytes, ended) = self.call(["merge-base"]).arg(a.as_str()).arg(b.as_str()).output().await?;
        let text = String::from_utf8_lossy(&bytes);
        match (ended.code, text.lines().next()) {
            (Some(0), Some(line)) => match line.parse() {
                Ok(commit) => Ok(Some(commit)),
                Err(_) => Err(ended.garbled(line)),
            },
            (Some(1), None) => Ok(None),
            _ => Err(ended.into_error()),
        }
    }

    /// Lets go of what was made for or fetched from `branch`; nothing to do is fine.
    pub async fn forget(&self, branch: &BranchName) -> Result<(), GitError> {
        let _writing = self.write().await?;
        for prefix in [MADE, FETCHED] {
            self.call(["update-ref", "-d"]).arg(format!("{prefix}{branch}")).ok().await?;
        }
        Ok(())
    }

    /// Packs the objects and drops those that nothing has reached for 30 days, which outlives every checkout.
    pub async fn maintain(&self) -> Result<(), GitError> {
        let _writing = self.write().await?;
        let call = self.call(["gc", "--quiet", "--prune=30.days.ago"]).config("gc.autoDetach", "false");
        call.bulk().ok().await?;
        Ok(())
    }

    /// Runs `work` on the objects that are here, on a blocking thread.
    pub(crate) async fn with_objects<T: Send + 'static>(
        &self,
        work: impl FnOnce(Objects) -> Result<T, GitError> + Send + 'static,
    ) -> Result<T, GitError> {
        self.git.with_objects(&self.objects_dir(), work).await
    }

    /// Waits until nobody else writes, and removes the lock files of a git that was killed while it wrote.
    pub(crate) async fn write(&self) -> Result<OwnedMutexGuard<()>, GitError> {
        let writing = Arc::clone(&self.writing).lock_owned().await;
        remove_stale_locks(&self.dir).await?;
        Ok(writing)
    }

    /// `git <args>` in this repository.
    pub(crate) fn call<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Call {
        self.git.call(args).git_dir(&self.dir)
    }

    /// Fetches one branch by its name: by a bare commit id, servers would negotiate nothing and send everything.
    async fn fetch_ref(&self, branch: &BranchName, into: &str) -> Result<(), GitError> {
        let refspec = format!("+refs/heads/{branch}:{into}");
        match self.extent {
            Extent::Whole => self.fetch_call().arg("--").arg(&self.remote.url).arg(refspec).ok().await.map(drop),
            Extent::Partial => self.fetch_trees(&refspec).await,
        }
    }

    /// `git fetch` without anything that would go beyond what is asked for.
    pub(crate) fn fetch_call(&self) -> Call {
        self.call(["fetch", "--quiet", "--no-tags", "--force", "--no-write-fetch-head", "--no-auto-maintenance"])
            .remote(&self.remote)
    }

    /// Deletes the tracked refs, all but `keep`.
    async fn forget_tracked(&self, keep: Option<&str>) -> Result<(), GitError> {
        let refs = self.call(["for-each-ref", "--format=%(refname)", TRACKED]).text().await?;
        for name in refs.lines().filter(|name| Some(*name) != keep) {
            self.call(["update-ref", "--no-deref", "-d", name]).ok().await?;
        }
        Ok(())
    }

    /// The remote's default branch and its commit; `None` when it has no commits. A detached `HEAD` names no branch:
    /// then the one known so far counts, or `main`, or `master`.
    async fn remote_head(&self, known: Option<&BranchName>) -> Result<Option<(BranchName, CommitId)>, GitError> {
        let listed = self.git.ls_refs(&self.remote, &["HEAD"]).await?;
        let Some((_, tip)) = listed.refs.into_iter().find(|(name, _)| name == "HEAD") else {
            return Ok(None);
        };
        if let Some(branch) = listed.head {
            return Ok(Some((branch, tip)));
        }
        let usual = ["main", "master"].into_iter().filter_map(|name| name.parse().ok());
        for branch in known.cloned().into_iter().chain(usual) {
            if let Some(tip) = self.branch_head(&branch).await? {
                return Ok(Some((branch, tip)));
            }
        }
        Err(GitError::NoDefaultBranch { repository: self.remote.url.clone() })
    }
}

/// The folder's time tells when it was used last. Fails only when the folder goes just now, and then the next call says
/// so.
fn mark_used(dir: &Path) {
    let now = rustix::fs::Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW };
    let times = rustix::fs::Timestamps { last_access: now, last_modification: now };
    let _ = rustix::fs::utimensat(rustix::fs::CWD, dir, &times, rustix::fs::AtFlags::empty());
}

fn main_branch() -> BranchName {
    "main".parse().expect("main is a branch name")
}

/// Whether one branch's ref would have to be a file where the other's needs a folder.
fn in_each_others_way(a: &BranchName, b: &BranchName) -> bool {
    let (a, b) = (format!("{a}/"), format!("{b}/"));
    a != b && (a.starts_with(&b) || b.starts_with(&a))
}

#[cfg(test)]
mod tests;
