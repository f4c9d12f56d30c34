use std::fs;

use testkit::clock::TestClock;
use testkit::github::{FakeGitHub, Fault};

use crate::testing::{AT, World, bot, branch};
use crate::{Git, GitError, Remote};

#[tokio::test]
async fn a_fetch_tells_whether_the_default_branch_moved() {
    let world = World::new().await;
    let first = world.upstream.commit(&[("a", "1")]).await;
    let mirror = world.mirror().await;
    assert_eq!(mirror.head().await.unwrap(), None);

    let fetched = mirror.fetch().await.unwrap();
    assert_eq!((fetched.head, fetched.moved), (Some(first.clone()), true));
    assert_eq!(fetched.default_branch, branch("main"));
    assert!(!mirror.fetch().await.unwrap().moved);

    let second = world.upstream.commit(&[("a", "2")]).await;
    assert_eq!(mirror.fetch().await.unwrap().head, Some(second.clone()));
    assert_eq!(world.mirror().await.head().await.unwrap(), Some(second.clone()), "opened again");
    assert!(mirror.is_ancestor(&first, &second).await.unwrap());
    assert!(!mirror.is_ancestor(&second, &first).await.unwrap());
    assert_eq!(mirror.merge_base(&second, &first).await.unwrap(), Some(first));
}

#[tokio::test]
async fn an_empty_remote_has_no_head_until_its_first_commit() {
    let world = World::new().await;
    let mirror = world.mirror().await;
    let fetched = mirror.fetch().await.unwrap();
    assert_eq!((fetched.head, fetched.moved), (None, false));
    assert_eq!(fetched.default_branch, branch("main"));
    let first = world.upstream.commit(&[]).await;
    assert_eq!(mirror.fetch().await.unwrap().head, Some(first));
}

#[tokio::test]
async fn a_remote_that_was_emptied_has_no_head_any_more() {
    let world = World::new().await;
    world.upstream.commit(&[]).await;
    let mirror = world.mirror().await;
    mirror.fetch().await.unwrap();
    world.upstream.run(&["update-ref", "-d", "refs/heads/main"]).await;
    let fetched = mirror.fetch().await.unwrap();
    assert_eq!((fetched.head, fetched.moved), (None, true));
    assert_eq!(mirror.head().await.unwrap(), None);
}

#[tokio::test]
async fn a_force_push_is_followed_and_the_old_commit_stays_readable() {
    let world = World::new().await;
    let base = world.upstream.commit(&[("a", "1")]).await;
    let dropped = world.upstream.commit(&[("a", "2")]).await;
    let mirror = world.mirror().await;
    mirror.fetch().await.unwrap();
    world.upstream.run(&["reset", "--quiet", "--hard", base.as_str()]).await;
    let rewritten = world.upstream.commit(&[("a", "3")]).await;
    let fetched = mirror.fetch().await.unwrap();
    assert_eq!((fetched.head, fetched.moved), (Some(rewritten.clone()), true));
    assert!(mirror.contains(&dropped).await.unwrap());
    assert_eq!(mirror.changed(&dropped, &rewritten).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_renamed_default_branch_replaces_the_old_one() {
    let world = World::new().await;
    let first = world.upstream.commit(&[]).await;
    let mirror = world.mirror().await;
    mirror.fetch().await.unwrap();
    for name in ["trunk", "trunk/next"] {
        world.upstream.run(&["branch", "--move", name]).await;
        let fetched = mirror.fetch().await.unwrap();
        assert_eq!((fetched.head, fetched.moved), (Some(first.clone()), false));
        assert_eq!(fetched.default_branch, branch(name));
        let refs = mirror.call(["for-each-ref", "--format=%(refname)"]).text().await.unwrap();
        assert_eq!(refs, format!("refs/remotes/origin/{name}"));
    }
}

#[tokio::test]
async fn what_was_tracked_before_is_in_nobodys_way() {
    let world = World::new().await;
    let first = world.upstream.commit(&[]).await;
    let mirror = world.mirror().await;
    mirror.fetch().await.unwrap();
    world.upstream.run(&["branch", "--move", "trunk"]).await;
    mirror.fetch().await.unwrap();
    // As if it had died before it let go of the old one.
    mirror.call(["update-ref", "refs/remotes/origin/main"]).arg(first.as_str()).ok().await.unwrap();
    mirror.maintain().await.unwrap();
    assert_eq!(mirror.head().await.unwrap(), Some(first.clone()), "packed");
    world.upstream.run(&["branch", "--move", "main/next"]).await;
    assert_eq!(mirror.fetch().await.unwrap().head, Some(first));
    let refs = mirror.call(["for-each-ref", "--format=%(refname)"]).text().await.unwrap();
    assert_eq!(refs, "refs/remotes/origin/main/next");
}

#[tokio::test]
async fn a_detached_head_falls_back_to_the_known_branch() {
    let world = World::new().await;
    let first = world.upstream.commit(&[]).await;
    world.upstream.run(&["checkout", "--quiet", "--detach"]).await;
    world.upstream.commit(&[]).await;
    let mirror = world.mirror().await;
    assert_eq!(mirror.fetch().await.unwrap().head, Some(first));
    world.upstream.run(&["branch", "--quiet", "--move", "main", "odd"]).await;
    let other = world.git.open_mirror(world.path("other"), (*mirror.remote).clone()).await.unwrap();
    assert!(matches!(other.fetch().await, Err(GitError::NoDefaultBranch { .. })));
}

#[tokio::test]
async fn other_branches_are_asked_for_by_name() {
    let world = World::new().await;
    world.upstream.commit(&[]).await;
    world.upstream.run(&["checkout", "--quiet", "-b", "ccm/fix"]).await;
    let fix = world.upstream.commit(&[("b", "1")]).await;
    world.upstream.run(&["checkout", "--quiet", "main"]).await;
    let mirror = world.mirror().await;
    mirror.fetch().await.unwrap();
    assert!(!mirror.contains(&fix).await.unwrap());
    assert_eq!(mirror.branch_head(&branch("ccm/fix")).await.unwrap(), Some(fix.clone()));
    assert_eq!(mirror.branch_head(&branch("fix")).await.unwrap(), None, "only whole names match");
    assert_eq!(mirror.fetch_branch(&branch("ccm/fix")).await.unwrap(), Some(fix.clone()));
    assert!(mirror.contains(&fix).await.unwrap());
    assert_eq!(mirror.fetch_branch(&branch("none")).await.unwrap(), None);
    mirror.forget(&branch("ccm/fix")).await.unwrap();
    mirror.forget(&branch("ccm/fix")).await.unwrap();
    mirror.maintain().await.unwrap();
    assert!(mirror.contains(&fix).await.unwrap(), "kept for 30 days");
}

#[tokio::test]
async fn what_is_no_repository_is_not_found() {
    let world = World::new().await;
    let remote = Remote::public(world.path("nothing").to_str().unwrap());
    let mirror = world.git.open_mirror(world.path("mirror"), remote).await.unwrap();
    let missing = mirror.fetch().await;
    assert!(matches!(missing, Err(GitError::NotFound { .. })), "{missing:?}");
}

#[tokio::test]
async fn lock_files_of_a_killed_service_do_not_stop_the_next_one() {
    let world = World::new().await;
    let first = world.upstream.commit(&[]).await;
    drop(world.mirror().await);
    let lock = world.path("mirror/refs/remotes/origin/main.lock");
    fs::create_dir_all(lock.parent().unwrap()).unwrap();
    fs::write(lock, "").unwrap();
    let mirror = world.mirror().await;
    assert_eq!(mirror.fetch().await.unwrap().head, Some(first));
    fs::write(world.path("mirror/HEAD.lock"), "").unwrap();
    let second = world.upstream.commit(&[]).await;
    assert_eq!(mirror.fetch().await.unwrap().head, Some(second), "also while it is open");
}

#[tokio::test]
async fn an_interrupted_creation_is_finished() {
    let world = World::new().await;
    world.upstream.commit(&[]).await;
    drop(world.mirror().await);
    fs::remove_dir_all(world.path("mirror/objects")).unwrap();
    assert!(world.mirror().await.fetch().await.unwrap().head.is_some());
}

#[tokio::test]
async fn calls_can_be_spawned() {
    let world = World::new().await;
    let first = world.upstream.commit(&[("a", "1")]).await;
    let (mirror, dir) = (world.mirror().await, world.path("checkout"));
    let task = tokio::spawn(async move {
        mirror.fetch().await?;
        let oids: Vec<_> = mirror.files(&first).await?.files.into_iter().map(|file| file.oid).collect();
        let mut read = 0;
        mirror.read_blobs(&oids, 10, |_, _| read += 1).await?;
        mirror.changed(&first, &first).await?;
        mirror.diff(&first, &first).await?;
        let checkout = mirror.checkout(&dir, &first, &branch("fix")).await?;
        checkout.changed_files().await?;
        checkout.commit(&bot(), "x", AT).await?;
        checkout.remove().await?;
        mirror.push(&first, &branch("fix"), None).await?;
        Ok::<_, GitError>(read)
    });
    assert_eq!(task.await.unwrap().unwrap(), 1);
}

#[tokio::test]
async fn two_fetches_at_once_wait_for_each_other() {
    let world = World::new().await;
    let first = world.upstream.commit(&[]).await;
    let (a, b) = (world.mirror().await, world.mirror().await);
    let (a, b) = tokio::join!(a.fetch(), b.fetch());
    assert_eq!((a.unwrap().head, b.unwrap().head), (Some(first.clone()), Some(first)));
}

#[tokio::test]
async fn f60_a_broken_pack_a_lost_branch_and_a_forced_one() {
    let github = FakeGitHub::start(TestClock::new()).await;
    github.repo("me/app").await;
    let first = github.commit("me/app", "First", &[("a", "1")]).await;
    let temp = tempfile::tempdir().unwrap();
    let remote = Remote::public(format!("{}/me/app.git", github.url()));
    let mirror = Git::new("git".into()).open_mirror(temp.path().join("mirror"), remote).await.unwrap();
    // The first answer names the branch, the next one brings its commits.
    github.fail(Fault::half_a_body().on("POST /git-upload-pack").nth(3).forever());
    let broken = mirror.fetch().await.unwrap_err();
    assert!(matches!(broken, GitError::Transient { .. }), "{broken:?}");
    github.stop_failing();
    assert_eq!(mirror.fetch().await.unwrap().head, Some(first.parse().unwrap()), "the next fetch mends it");

    github.commit_on("me/app", "fix", "Fix", &[("a", "2")]).await;
    assert!(mirror.fetch_branch(&branch("fix")).await.unwrap().is_some());
    github.delete_branch("me/app", "fix").await;
    assert_eq!(mirror.fetch_branch(&branch("fix")).await.unwrap(), None);

    let second = github.commit("me/app", "Second", &[("a", "3")]).await;
    assert_eq!(mirror.fetch().await.unwrap().head, Some(second.parse().unwrap()));
    github.reset_branch("me/app", "main", &first).await;
    let forced = mirror.fetch().await.unwrap();
    assert_eq!((forced.head, forced.moved), (Some(first.parse().unwrap()), true));

    github.set_partial_clones("me/app", false).await;
    github.many_branches("me/app", 20_000).await;
    let third = github.commit("me/app", "Third", &[("a", "4")]).await;
    assert_eq!(mirror.fetch().await.unwrap().head, Some(third.parse().unwrap()), "among 20,000 branches");
    github.fail(Fault::status(429, "slow down").forever());
    let limited = mirror.fetch().await;
    assert!(matches!(limited, Err(GitError::Limited { .. })), "{limited:?}");
}
