//! What tests share: a temporary folder with a developer's repository, driven through the real git.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use backlog::names::{BranchName, CommitId};
use backlog::time::Timestamp;
use tempfile::TempDir;

use crate::{Author, Git, Mirror, Remote};

/// A point in time for commits.
pub(crate) const AT: Timestamp = Timestamp(1_800_000_000_000);

/// A temporary folder with the repository `upstream` in it.
pub(crate) struct World {
    pub(crate) temp: TempDir,
    pub(crate) git: Git,
    pub(crate) upstream: Repo,
}

/// A repository with a work tree.
pub(crate) struct Repo {
    git: Git,
    pub(crate) dir: PathBuf,
}

impl World {
    /// With an empty upstream.
    pub(crate) async fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let git = Git::new("git".into());
        let upstream = Repo::init(&git, &temp.path().join("upstream")).await;
        Self { temp, git, upstream }
    }

    /// The mirror of upstream.
    pub(crate) async fn mirror(&self) -> Mirror {
        self.mirror_with(&self.git).await
    }

    /// The mirror of upstream through another program.
    pub(crate) async fn mirror_with(&self, git: &Git) -> Mirror {
        let remote = Remote::public(self.upstream.dir.to_str().unwrap());
        git.open_mirror(self.path("mirror"), remote).await.unwrap()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    /// An executable shell script.
    pub(crate) async fn script(&self, name: &str, body: &str) -> PathBuf {
        let path = self.path(name);
        script(&path, body).await;
        path
    }
}

impl Repo {
    pub(crate) async fn init(git: &Git, dir: &Path) -> Self {
        git.call(["init", "--quiet", "--initial-branch=main"]).arg(dir).ok().await.unwrap();
        Self { git: git.clone(), dir: dir.to_owned() }
    }

    /// Runs git in the work tree and returns what it says.
    pub(crate) async fn run(&self, args: &[&str]) -> String {
        self.git
            .call(args)
            .folder(&self.dir)
            .env("GIT_AUTHOR_NAME", "Dev")
            .env("GIT_AUTHOR_EMAIL", "dev@example.org")
            .env("GIT_COMMITTER_NAME", "Dev")
            .env("GIT_COMMITTER_EMAIL", "dev@example.org")
            .env("GIT_AUTHOR_DATE", "@1700000000 +0000")
            .env("GIT_COMMITTER_DATE", "@1700000000 +0000")
            .text()
            .await
            .unwrap()
    }

    /// Writes files and commits everything on the branch that is checked out.
    pub(crate) async fn commit(&self, files: &[(&str, &str)]) -> CommitId {
        for (path, content) in files {
            write(&self.dir, path, content);
        }
        self.run(&["add", "--all"]).await;
        self.run(&["commit", "--quiet", "--allow-empty", "--message=work"]).await;
        self.head("HEAD").await
    }

    pub(crate) async fn head(&self, revision: &str) -> CommitId {
        self.run(&["rev-parse", revision]).await.parse().unwrap()
    }
}

pub(crate) fn write(dir: &Path, path: &str, content: &str) {
    let path = dir.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// An executable shell script. Another process copies it into place: were it ever open for writing here, a process
/// that a test on another thread starts just then could hold it open, and running it would fail as "text file busy".
pub(crate) async fn script(path: &Path, body: &str) {
    let draft = path.with_extension("draft");
    fs::write(&draft, format!("#!/bin/sh\n{body}\n")).unwrap();
    fs::set_permissions(&draft, fs::Permissions::from_mode(0o755)).unwrap();
    let copied = tokio::process::Command::new("cp").arg("-p").arg(&draft).arg(path).status().await.unwrap();
    assert!(copied.success());
    fs::remove_file(draft).unwrap();
}

pub(crate) fn branch(name: &str) -> BranchName {
    name.parse().unwrap()
}

pub(crate) fn bot() -> Author {
    Author { name: "Bot".into(), email: "bot@example.org".into() }
}
