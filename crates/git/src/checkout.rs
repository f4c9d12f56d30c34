//! A disposable clone in which an agent works, and the service's own view of what it did there.
//!
//! *Definition.* The checkout is a work tree with a small `.git` of its own, which belongs to the agent: it borrows the
//! mirror's objects, knows no remote and has no hooks. Beside it, in `<folder>.git`, lies the service's private git
//! folder for the same work tree.
//!
//! *Wanted property.* Whatever the agent writes into the checkout – hooks, configuration, filters, a monitor, commits,
//! nested repositories, links – makes the service execute nothing and write nowhere else. So the service never reads
//! the checkout's `.git`: it stages the work tree through the private folder, whose configuration it alone writes.
//! Submodules are taken out of the index before and put back after staging, so that git has no reason to look into
//! their folders, with the configuration there, to see whether they changed. What counts is the work tree: commits made by the agent are
//! ignored on purpose.
//!
//! *Known race.* An agent that still runs may change files while they are staged: the commit then holds a mixture.
//! Callers end the sandbox first.

use std::fs;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use backlog::names::{BranchName, CommitId};
use backlog::time::Timestamp;
use tokio::sync::Mutex;

use crate::error::GitError;
use crate::mirror::{MADE, Mirror};
use crate::process::Call;
use crate::read::{DiffFile, numstat};
use crate::remove::{io_error, remove_folder};

const BASE: &str = "refs/ccm-checkout/base";

/// For the agent's own commits and tools; nothing of it reaches what is delivered.
const AGENT_CONFIG: &str =
    "[user]\n\tname = agent\n\temail = agent@localhost\n[core]\n\thooksPath = /dev/null\n[gc]\n\tauto = 0\n";

/// Whose work a commit is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Author {
    /// The name; must not be empty.
    pub name: String,
    /// The mail address; may be empty.
    pub email: String,
}

/// A checkout. Dropping it leaves the folders; [`Checkout::remove`] deletes them.
#[derive(Debug)]
pub struct Checkout {
    mirror: Mirror,
    dir: PathBuf,
    private: PathBuf,
    base: CommitId,
    branch: BranchName,
    staging: Mutex<()>,
}

impl Mirror {
    /// Makes a checkout of `commit` in the folder `dir`, on the branch `branch`. What an earlier checkout left there is
    /// replaced. Errors: [`GitError::Occupied`] when `dir` holds something else, [`GitError::UnknownCommit`].
    pub async fn checkout(&self, dir: &Path, commit: &CommitId, branch: &BranchName) -> Result<Checkout, GitError> {
        if !self.contains(commit).await? {
            return Err(GitError::UnknownCommit { command: format!("checkout {commit}") });
        }
        let dir = prepare(dir).await?;
        let checkout = Checkout {
            mirror: self.clone(),
            private: private_dir(&dir),
            dir,
            base: commit.clone(),
            branch: branch.clone(),
            staging: Mutex::default(),
        };
        checkout.fill().await?;
        Ok(checkout)
    }

    /// The checkout that [`Mirror::checkout`] made in `dir` before a restart; `None` when there is no whole one.
    pub async fn open_checkout(&self, dir: &Path) -> Result<Option<Checkout>, GitError> {
        let private = private_dir(dir);
        if !exists(&private).await? || !exists(dir).await? {
            return Ok(None);
        }
        let dir = tokio::fs::canonicalize(dir).await.map_err(io_error(dir))?;
        let private = private_dir(&dir);
        let read = |args: [&str; 4]| self.git.call(args).git_dir(&private).output();
        let (base, _) = read(["rev-parse", "--verify", "--quiet", BASE]).await?;
        let (branch, _) = read(["symbolic-ref", "--quiet", "--short", "HEAD"]).await?;
        let (base, branch) = (String::from_utf8_lossy(&base), String::from_utf8_lossy(&branch));
        let (Ok(base), Ok(branch)) = (base.trim().parse(), branch.trim().parse()) else {
            return Ok(None);
        };
        Ok(Some(Checkout { mirror: self.clone(), dir, private, base, branch, staging: Mutex::default() }))
    }
}

impl Checkout {
    /// The folder to work in.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The commit that the work starts from.
    #[must_use]
    pub fn base(&self) -> &CommitId {
        &self.base
    }

    /// The branch that the work is for.
    #[must_use]
    pub fn branch(&self) -> &BranchName {
        &self.branch
    }

    /// What the work tree changes against the base, with new files, without ignored ones.
    /// Error: [`GitError::NestedRepository`].
    pub async fn changed_files(&self) -> Result<Vec<DiffFile>, GitError> {
        let _staging = self.staging.lock().await;
        let tree = self.stage().await?;
        numstat(self.mirror.git.call([""; 0]).git_dir(&self.private), self.base.as_str(), &tree).await
    }

    /// Commits the whole work tree on top of the base and makes the commit known to the mirror; `None` when nothing
    /// differs from the base. The same work, author, message and time give the same commit.
    /// Error: [`GitError::NestedRepository`].
    pub async fn commit(&self, author: &Author, message: &str, at: Timestamp) -> Result<Option<CommitId>, GitError> {
        let _staging = self.staging.lock().await;
        let tree = self.stage().await?;
        let unchanged = self.call(&["rev-parse", "--verify"]).arg(format!("{}^{{tree}}", self.base)).text().await?;
        if tree == unchanged {
            return Ok(None);
        }
        let call = self.call(&["commit-tree", &tree, "-p", self.base.as_str()]);
        let commit = commit_tree(call, author, message, at).await?;
        let local = format!("refs/heads/{}", self.branch);
        self.call(&["update-ref", &local, commit.as_str()]).ok().await?;
        let _writing = self.mirror.write().await?;
        // Fetched rather than written there: only what the commit needs gets in, and it is checked on the way.
        self.mirror
            .call(["fetch", "--quiet", "--no-tags", "--force", "--no-write-fetch-head", "--no-auto-maintenance", "--"])
            .config("fetch.fsckObjects", "true")
            .arg(&self.private)
            .arg(format!("+{local}:{MADE}{}", self.branch))
            .bulk()
            .ok()
            .await?;
        Ok(Some(commit))
    }

    /// Deletes the folder and the private git folder.
    pub async fn remove(self) -> Result<(), GitError> {
        remove_folder(&self.dir).await?;
        remove_folder(&self.private).await
    }

    /// Fills the two empty folders; the base is recorded last, so that a half made checkout is not taken for a whole.
    async fn fill(&self) -> Result<(), GitError> {
        let git = &self.mirror.git;
        let init = ["init", "--quiet", "--template=", "--initial-branch=main"];
        git.call(init).arg("--bare").arg("--").arg(&self.private).ok().await?;
        self.borrow_objects(&self.private).await?;
        self.call(&["read-tree", "--reset", "-u", self.base.as_str()]).bulk().ok().await?;

        let agents = self.dir.join(".git");
        git.call(init).arg("--").arg(&self.dir).ok().await?;
        self.borrow_objects(&agents).await?;
        let head = format!("refs/heads/{}", self.branch);
        for dir in [&agents, &self.private] {
            git.call(["symbolic-ref", "HEAD", &head]).git_dir(dir).ok().await?;
            git.call(["update-ref", &head, self.base.as_str()]).git_dir(dir).ok().await?;
        }
        copy_index(&self.private.join("index"), &agents.join("index")).await?;
        let config = agents.join("config");
        on_disk(&config, |config| fs::OpenOptions::new().append(true).open(config)?.write_all(AGENT_CONFIG.as_bytes()))
            .await?;
        self.call(&["update-ref", BASE, self.base.as_str()]).ok().await?;
        Ok(())
    }

    async fn borrow_objects(&self, git_dir: &Path) -> Result<(), GitError> {
        let alternates = git_dir.join("objects/info/alternates");
        let objects = self.mirror.objects_dir();
        let shallow = (self.mirror.dir().join("shallow"), git_dir.join("shallow"));
        on_disk(&alternates, move |alternates| {
            let mut line = objects.into_os_string();
            line.push("\n");
            fs::create_dir_all(alternates.parent().unwrap_or(alternates))?;
            fs::write(alternates, line.as_encoded_bytes())?;
            if shallow.0.exists() { fs::copy(shallow.0, shallow.1).map(|_| ()) } else { Ok(()) }
        })
        .await
    }

    /// Writes the work tree into a tree object. The checkout's index stays as it was: a copy is staged.
    async fn stage(&self) -> Result<String, GitError> {
        let index = self.private.join("index.stage");
        // A killed git may have left the lock; nobody else stages now.
        let _ = tokio::fs::remove_file(self.private.join("index.stage.lock")).await;
        copy_index(&self.private.join("index"), &index).await?;
        let staged = |args: &[&str]| self.call(args).env("GIT_INDEX_FILE", &index);

        let submodules = gitlinks(staged(&[])).await?;
        if !submodules.is_empty() {
            let gone = index_info(&submodules, "0");
            staged(&["update-index", "-z", "--index-info"]).stdin(gone).ok().await?;
        }
        let add = ["add", "--all", "--pathspec-from-file=-", "--pathspec-file-nul"];
        let (_, added) = staged(&add).stdin(all_but(&submodules)).bulk().output().await?;
        if added.code != Some(0) {
            return Err(match unborn_repository(&added.stderr) {
                Some(path) => GitError::NestedRepository { path },
                None => added.into_error(),
            });
        }
        if let Some(nested) = gitlinks(staged(&[])).await?.first() {
            return Err(GitError::NestedRepository { path: String::from_utf8_lossy(&nested.path).into_owned() });
        }
        if !submodules.is_empty() {
            let back = index_info(&submodules, "160000");
            staged(&["update-index", "-z", "--index-info"]).stdin(back).ok().await?;
        }
        staged(&["write-tree"]).text().await
    }

    /// `git <args>` with the private git folder on the checkout's files.
    fn call(&self, args: &[&str]) -> Call {
        self.mirror
            .git
            .call(args)
            .git_dir(&self.private)
            .env("GIT_WORK_TREE", &self.dir)
            .folder(&self.dir)
            .config("core.attributesFile", "/dev/null")
            .config("core.excludesFile", "/dev/null")
    }
}

/// Writes a commit of what `call` (a `commit-tree`) names, by `author` at `at`, and returns its id.
pub(crate) async fn commit_tree(
    call: Call,
    author: &Author,
    message: &str,
    at: Timestamp,
) -> Result<CommitId, GitError> {
    let time = format!("@{} +0000", at.0.div_euclid(1000).max(0));
    let (bytes, ended) = call
        .env("GIT_AUTHOR_NAME", author.name.replace('\0', ""))
        .env("GIT_AUTHOR_EMAIL", author.email.replace('\0', ""))
        .env("GIT_AUTHOR_DATE", &time)
        .env("GIT_COMMITTER_NAME", author.name.replace('\0', ""))
        .env("GIT_COMMITTER_EMAIL", author.email.replace('\0', ""))
        .env("GIT_COMMITTER_DATE", &time)
        .stdin(message.replace('\0', "").into_bytes())
        .output()
        .await?;
    let text = String::from_utf8_lossy(&bytes);
    match (ended.code, text.trim().parse()) {
        (Some(0), Ok(commit)) => Ok(commit),
        (Some(0), Err(_)) => Err(ended.garbled(&text)),
        _ => Err(ended.into_error()),
    }
}

/// A link to a commit of another repository, in an index.
struct Gitlink {
    oid: String,
    path: Vec<u8>,
}

async fn gitlinks(staged: Call) -> Result<Vec<Gitlink>, GitError> {
    let mut links = Vec::new();
    let call = ["ls-files", "--stage", "-z"].iter().fold(staged, |call, arg| call.arg(arg)).bulk();
    call.records(&mut |record| {
        // <mode> SP <oid> SP <stage> TAB <path>
        if let Some(rest) = record.strip_prefix(b"160000 ")
            && let Some(tab) = rest.iter().position(|byte| *byte == b'\t')
        {
            let oid = rest[..tab].split(|byte| *byte == b' ').next().unwrap_or_default();
            links.push(Gitlink { oid: String::from_utf8_lossy(oid).into_owned(), path: rest[tab + 1..].to_vec() });
        }
        ControlFlow::Continue(())
    })
    .await?;
    Ok(links)
}

/// Input for `update-index -z --index-info`; the mode 0 removes.
fn index_info(links: &[Gitlink], mode: &str) -> Vec<u8> {
    let entry = |link: &Gitlink| [format!("{mode} {} 0\t", link.oid).as_bytes(), &link.path, b"\0"].concat();
    links.iter().flat_map(entry).collect()
}

/// Pathspecs for everything but the submodules.
fn all_but(links: &[Gitlink]) -> Vec<u8> {
    let excluded = links.iter().flat_map(|link| [b":(exclude,top,literal)", link.path.as_slice(), b"\0"].concat());
    b":(top)\0".iter().copied().chain(excluded).collect()
}

/// The nested repository without commits that git complains about, if that is its complaint.
fn unborn_repository(stderr: &str) -> Option<String> {
    let complaint = stderr.lines().find(|line| line.contains("does not have a commit checked out"))?;
    Some(complaint.split('\'').nth(1)?.trim_end_matches('/').to_owned())
}

fn private_dir(dir: &Path) -> PathBuf {
    let mut name = dir.as_os_str().to_owned();
    name.push(".git");
    name.into()
}

/// Makes the two folders, empty, and returns the checkout's absolute path.
async fn prepare(dir: &Path) -> Result<PathBuf, GitError> {
    if exists(&private_dir(dir)).await? {
        remove_folder(dir).await?;
        remove_folder(&private_dir(dir)).await?;
    }
    let fresh = dir.to_owned();
    let empty = on_disk(dir, move |_| {
        fs::create_dir_all(&fresh)?;
        Ok(fs::read_dir(&fresh)?.next().is_none())
    });
    if !empty.await? {
        return Err(GitError::Occupied { path: dir.to_owned() });
    }
    let dir = tokio::fs::canonicalize(dir).await.map_err(io_error(dir))?;
    on_disk(&private_dir(&dir), |private| fs::DirBuilder::new().mode(0o700).create(private)).await?;
    Ok(dir)
}

async fn exists(path: &Path) -> Result<bool, GitError> {
    tokio::fs::try_exists(path).await.map_err(io_error(path))
}

/// Copies an index with its modification time, by which git tells files that changed in the same instant.
async fn copy_index(from: &Path, to: &Path) -> Result<(), GitError> {
    let from = from.to_owned();
    on_disk(to, move |to| {
        fs::copy(&from, to)?;
        let times = fs::FileTimes::new().set_modified(fs::metadata(&from)?.modified()?);
        fs::File::options().write(true).open(to)?.set_times(times)
    })
    .await
}

/// Runs file work off the event loop.
async fn on_disk<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
) -> Result<T, GitError> {
    let owned = path.to_owned();
    let done = tokio::task::spawn_blocking(move || work(&owned)).await;
    done.unwrap_or_else(|panicked| Err(io::Error::other(panicked))).map_err(io_error(path))
}

#[cfg(test)]
mod tests;
