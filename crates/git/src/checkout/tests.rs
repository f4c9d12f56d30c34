use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use backlog::names::CommitId;

use crate::testing::{AT, Repo, World, bot, branch, script, write};
use crate::{Checkout, DiffFile, GitError, Mirror};

struct Work {
    world: World,
    mirror: Mirror,
    base: CommitId,
    checkout: Checkout,
}

async fn work(files: &[(&str, &str)]) -> Work {
    let world = World::new().await;
    let base = world.upstream.commit(files).await;
    let mirror = world.mirror().await;
    mirror.fetch().await.unwrap();
    let checkout = mirror.checkout(&world.path("checkout"), &base, &branch("ccm/fix")).await.unwrap();
    Work { world, mirror, base, checkout }
}

impl Work {
    fn dir(&self) -> &Path {
        self.checkout.dir()
    }

    async fn commit(&self) -> Option<CommitId> {
        self.checkout.commit(&bot(), "Fix it", AT).await.unwrap()
    }

    /// Runs git as the agent would.
    async fn agent(&self, args: &[&str]) -> String {
        agent(self.dir(), args).await
    }
}

/// Runs git with the configuration of the repository in `dir` in force.
async fn agent(dir: &Path, args: &[&str]) -> String {
    let mut git = tokio::process::Command::new("git");
    git.args(args).current_dir(dir).env_clear().env("PATH", std::env::var_os("PATH").unwrap());
    git.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    let output = git.output().await.unwrap();
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[tokio::test]
async fn the_agent_gets_a_repository_of_its_own() {
    let work = work(&[("a", "1\n"), ("dir/b", "2\n")]).await;
    assert_eq!(work.agent(&["status", "--porcelain", "--branch"]).await, "## ccm/fix");
    assert_eq!(work.agent(&["log", "--format=%H %an"]).await, format!("{} Dev", work.base));
    assert_eq!(work.agent(&["remote"]).await, "");
    write(work.dir(), "a", "mine\n");
    work.agent(&["commit", "--quiet", "--all", "--message=own"]).await;
    assert_eq!(work.agent(&["show", "--format=%an", "--name-only"]).await, "agent\n\na");
    let alternates = fs::read_to_string(work.dir().join(".git/objects/info/alternates")).unwrap();
    assert_eq!(alternates.trim_end(), work.mirror.objects_dir().to_str().unwrap());
}

#[tokio::test]
async fn the_work_tree_is_committed_and_known_to_the_mirror() {
    let work = work(&[("a", "1\n"), ("gone", "1\n"), (".gitignore", "target/\n")]).await;
    assert_eq!(work.commit().await, None, "nothing to commit");
    assert!(work.checkout.changed_files().await.unwrap().is_empty());
    fs::remove_file(work.dir().join("gone")).unwrap();
    for (path, content) in [("a", "2\n"), ("new\nü", "3\n"), ("target/out", "no")] {
        write(work.dir(), path, content);
    }
    // What the agent does with its own repository has no effect.
    work.agent(&["add", "a"]).await;
    work.agent(&["commit", "--quiet", "--message=mine"]).await;
    work.agent(&["reset", "--quiet", "--soft", "HEAD~"]).await;

    let file = |path: &str, added, removed| DiffFile { path: path.into(), added, removed, binary: false };
    let expected = [file("a", 1, 1), file("gone", 0, 1), file("new\nü", 1, 0)];
    assert_eq!(work.checkout.changed_files().await.unwrap(), expected);
    let commit = work.commit().await.unwrap();
    assert_eq!(work.commit().await, Some(commit.clone()), "repeated");
    assert_eq!(work.mirror.diff(&work.base, &commit).await.unwrap().files, expected);
    let shown = work.mirror.call(["log", "-1", "--format=%P|%an <%ae>|%cn|%at|%ct|%B", commit.as_str()]).text().await;
    let time = AT.0 / 1000;
    assert_eq!(shown.unwrap().trim(), format!("{}|Bot <bot@example.org>|Bot|{time}|{time}|Fix it", work.base));
    let pushed = work.mirror.push(&commit, &branch("ccm/fix"), None).await;
    pushed.unwrap();
    assert_eq!(work.world.upstream.head("ccm/fix").await, commit);
}

#[tokio::test]
async fn a_second_round_builds_on_the_first() {
    let work = work(&[("a", "1\n")]).await;
    write(work.dir(), "a", "2\n");
    let first = work.commit().await.unwrap();
    let dir = work.dir().to_owned();
    work.checkout.remove().await.unwrap();
    assert!(!dir.exists() && !work.world.path("checkout.git").exists());

    let again = work.mirror.checkout(&dir, &first, &branch("ccm/fix")).await.unwrap();
    assert_eq!(fs::read_to_string(dir.join("a")).unwrap(), "2\n");
    write(&dir, "a", "3\n");
    let second = again.commit(&bot(), "More", AT).await.unwrap().unwrap();
    for (revision, commit) in [(format!("{second}^"), &first), ("refs/ccm/ccm/fix".to_owned(), &second)] {
        let named = work.mirror.call(["rev-parse", &revision]).text().await.unwrap();
        assert_eq!(named.trim(), commit.as_str());
    }
}

#[tokio::test]
async fn what_the_agent_plants_does_not_run() {
    let work = work(&[("a", "1\n"), (".gitattributes", "a filter=planted diff=planted\n")]).await;
    let trace = work.world.path("trace");
    let planted = work.world.script("planted", &format!("echo \"$0 $*\" >>{}; cat", trace.display())).await;
    let config = format!(
        "[core]\n\tfsmonitor = {0}\n\thooksPath = hooks\n\tsshCommand = {0}\n\teditor = {0}\n\
         [filter \"planted\"]\n\tclean = {0}\n\tsmudge = {0}\n\trequired = true\n\
         [diff \"planted\"]\n\tcommand = {0}\n\ttextconv = {0}\n[alias]\n\tadd = !{0}\n\
         [uploadpack]\n\tpackObjectsHook = {0}\n",
        planted.display()
    );
    fs::write(work.dir().join(".git/config"), config).unwrap();
    for hook in ["pre-commit", "post-index-change", "reference-transaction", "post-commit", "commit-msg"] {
        for folder in [".git/hooks", "hooks"] {
            fs::create_dir_all(work.dir().join(folder)).unwrap();
            script(&work.dir().join(folder).join(hook), &format!("exec {}", planted.display())).await;
        }
    }
    write(work.dir(), "a", "2\n");
    work.checkout.changed_files().await.unwrap();
    let commit = work.commit().await.unwrap();
    work.mirror.diff(&work.base, &commit).await.unwrap();
    assert!(!trace.exists(), "{}", fs::read_to_string(&trace).unwrap());
    let fresh = work.mirror.checkout(&work.world.path("fresh"), &commit, &branch("check")).await.unwrap();
    assert_eq!(fs::read_to_string(fresh.dir().join("a")).unwrap(), "2\n");
    assert!(!trace.exists());
    work.agent(&["status"]).await;
    assert!(trace.exists(), "the plants are alive: a plain git runs them");
}

#[tokio::test]
async fn a_git_folder_that_points_elsewhere_or_is_gone_does_not_matter() {
    let work = work(&[("a", "1\n")]).await;
    fs::remove_dir_all(work.dir().join(".git")).unwrap();
    write(work.dir(), "a", "2\n");
    let commit = work.commit().await.unwrap();
    let elsewhere = work.world.upstream.dir.join(".git");
    fs::write(work.dir().join(".git"), format!("gitdir: {}\n", elsewhere.display())).unwrap();
    assert_eq!(work.commit().await, Some(commit));
    assert_eq!(work.world.upstream.head("main").await, work.base);
}

#[tokio::test]
async fn nested_repositories_are_refused() {
    let work = work(&[("a", "1\n")]).await;
    let unborn = Repo::init(&work.world.git, &work.dir().join("sub/one")).await;
    for committed in [false, true] {
        if committed {
            unborn.commit(&[("x", "1")]).await;
            write(work.dir(), ".gitmodules", "[submodule \"s\"]\n\tpath = sub/one\n\turl = ./x\n\tignore = all\n");
        }
        let refused = work.checkout.commit(&bot(), "x", AT).await;
        let path = match &refused {
            Err(GitError::NestedRepository { path }) => path.as_str(),
            other => panic!("{other:?}"),
        };
        assert_eq!(path, "sub/one");
    }
    fs::remove_dir_all(work.dir().join("sub")).unwrap();
    fs::remove_file(work.dir().join(".gitmodules")).unwrap();
    assert_eq!(work.commit().await, None, "the refusal left nothing behind");
}

#[tokio::test]
async fn submodules_of_the_base_stay_as_they_are_and_run_nothing() {
    let world = World::new().await;
    let first = world.upstream.commit(&[("a", "1\n")]).await;
    world.upstream.run(&["update-index", "--add", "--cacheinfo", &format!("160000,{first},sub [x]")]).await;
    world.upstream.run(&["commit", "--quiet", "--message=submodule"]).await;
    let base = world.upstream.head("HEAD").await;
    let mirror = world.mirror().await;
    mirror.fetch().await.unwrap();
    let checkout = mirror.checkout(&world.path("checkout"), &base, &branch("fix")).await.unwrap();
    assert!(checkout.changed_files().await.unwrap().is_empty());

    let trace = world.path("trace");
    let planted = world.script("planted", &format!("echo ran >>{}", trace.display())).await;
    let sub = Repo::init(&world.git, &checkout.dir().join("sub [x]")).await;
    sub.commit(&[("x", "1")]).await;
    write(&sub.dir, "x", "changed");
    let config = fs::read_to_string(sub.dir.join(".git/config")).unwrap();
    fs::write(sub.dir.join(".git/config"), format!("{config}[core]\n\tfsmonitor = {}\n", planted.display())).unwrap();
    write(checkout.dir(), "a", "2\n");
    let commit = checkout.commit(&bot(), "x", AT).await.unwrap().unwrap();
    assert!(!trace.exists());
    let changed = mirror.call(["diff-tree", "-r", "--name-only", base.as_str(), commit.as_str()]).text().await;
    assert_eq!(changed.unwrap(), "a");
    agent(&sub.dir, &["status"]).await;
    assert!(trace.exists(), "the plant is alive: a plain git runs it");
}

#[tokio::test]
async fn a_git_folder_beside_tracked_files_hides_nothing() {
    let work = work(&[("lib/a", "1\n")]).await;
    let nested = Repo::init(&work.world.git, &work.dir().join("lib")).await;
    nested.commit(&[("a", "2\n"), ("b", "1\n")]).await;
    let commit = work.commit().await.unwrap();
    let changes = work.mirror.changed(&work.base, &commit).await.unwrap();
    assert_eq!(changes.into_iter().map(|change| change.path).collect::<Vec<_>>(), ["lib/a", "lib/b"]);
}

#[tokio::test]
async fn a_change_cannot_declare_itself_binary() {
    let work = work(&[("a", "1\n")]).await;
    write(work.dir(), ".gitattributes", "* binary\n");
    write(work.dir(), "a", "2\n");
    let file = |path: &str, removed| DiffFile { path: path.into(), added: 1, removed, binary: false };
    let expected = [file(".gitattributes", 0), file("a", 1)];
    assert_eq!(work.checkout.changed_files().await.unwrap(), expected);
    let commit = work.commit().await.unwrap();
    let diff = work.mirror.diff(&work.base, &commit).await.unwrap();
    assert!(diff.files == expected && diff.text.contains("+2\n"), "{diff:?}");
}

#[tokio::test]
async fn links_are_committed_as_links_and_not_followed() {
    let work = work(&[("dir/a", "1\n")]).await;
    let outside = work.world.path("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("a"), "secret of the host").unwrap();
    symlink(outside.join("a"), work.dir().join("link")).unwrap();
    fs::remove_dir_all(work.dir().join("dir")).unwrap();
    symlink(&outside, work.dir().join("dir")).unwrap();
    let commit = work.commit().await.unwrap();
    let files = work.mirror.files(&commit).await.unwrap().files;
    let listed: Vec<_> = files.iter().map(|file| (file.path.as_str(), file.mode)).collect();
    assert_eq!(listed, [("dir", 0o120_000), ("link", 0o120_000)]);
    assert!(!work.mirror.diff(&work.base, &commit).await.unwrap().text.contains("secret of the host"));
}

#[tokio::test]
async fn a_change_in_the_same_instant_and_of_the_same_size_is_seen() {
    for round in 0..5 {
        let work = work(&[("a", "1\n")]).await;
        write(work.dir(), "a", "2\n");
        assert!(work.commit().await.is_some(), "round {round}");
    }
}

#[tokio::test]
async fn a_restarted_service_finds_its_checkout_again() {
    let work = work(&[("a", "1\n")]).await;
    write(work.dir(), "a", "2\n");
    fs::write(work.world.path("checkout.git/index.stage.lock"), "").unwrap();
    let found = work.mirror.open_checkout(work.dir()).await.unwrap().expect("it is there");
    assert_eq!((found.base(), found.branch()), (&work.base, &branch("ccm/fix")));
    assert_eq!(found.commit(&bot(), "Fix it", AT).await.unwrap(), work.commit().await);
    assert!(work.mirror.open_checkout(&work.world.path("none")).await.unwrap().is_none());
    // Half made: the base is recorded last.
    fs::remove_dir_all(work.world.path("checkout.git/refs/ccm-checkout")).unwrap();
    assert!(work.mirror.open_checkout(work.dir()).await.unwrap().is_none());
}

#[tokio::test]
async fn only_an_earlier_checkout_is_replaced() {
    let work = work(&[("a", "1\n")]).await;
    write(work.dir(), "left over", "x");
    let again = work.mirror.checkout(work.dir(), &work.base, &branch("other")).await.unwrap();
    assert!(!again.dir().join("left over").exists());
    let occupied = work.mirror.checkout(&work.world.upstream.dir, &work.base, &branch("x")).await;
    assert!(matches!(occupied, Err(GitError::Occupied { .. })), "{occupied:?}");
    let unknown = work.mirror.checkout(&work.world.path("new"), &"a".repeat(40).parse().unwrap(), &branch("x")).await;
    assert!(matches!(unknown, Err(GitError::UnknownCommit { .. })), "{unknown:?}");
}
