use backlog::names::CommitId;
use testkit::clock::TestClock;
use testkit::github::{FakeGitHub, PushRule};
use testkit::scissors::{Scissors, Way};

use crate::testing::{AT, World, bot, branch, script};
use crate::{Deleted, Git, GitError, Pushed, Rejection, Remote, RemoteAuth};

fn rejection(result: Result<Pushed, GitError>) -> Rejection {
    match result {
        Err(GitError::Rejected { reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn r31_a_branch_moves_only_from_where_it_is_expected() {
    let world = World::new().await;
    let one = world.upstream.commit(&[("a", "1")]).await;
    let two = world.upstream.commit(&[("a", "2")]).await;
    let mirror = world.mirror().await;
    mirror.fetch().await.unwrap();
    let fix = branch("ccm/fix");

    assert_eq!(mirror.push(&one, &fix, None).await.unwrap(), Pushed::Created);
    assert_eq!(mirror.push(&one, &fix, None).await.unwrap(), Pushed::AlreadyThere);
    assert_eq!(rejection(mirror.push(&two, &fix, None).await), Rejection::Stale);
    assert_eq!(mirror.push(&two, &fix, Some(&one)).await.unwrap(), Pushed::Updated);
    assert_eq!(rejection(mirror.push(&one, &fix, Some(&one)).await), Rejection::Stale);
    assert_eq!(mirror.branch_head(&fix).await.unwrap(), Some(two.clone()));
    assert_eq!(mirror.push(&one, &fix, Some(&two)).await.unwrap(), Pushed::Updated, "back, as expected");

    assert!(mirror.delete_branch(&fix, &two).await.is_err());
    assert_eq!(mirror.delete_branch(&fix, &one).await.unwrap(), Deleted::Gone);
    assert_eq!(mirror.delete_branch(&fix, &one).await.unwrap(), Deleted::AlreadyGone);
    assert_eq!(world.upstream.run(&["branch", "--format=%(refname)"]).await, "refs/heads/main");
}

#[tokio::test]
async fn f24_a_branch_that_is_there_is_adopted_when_it_is_ours_and_left_alone_otherwise() {
    let world = World::new().await;
    let ours = world.upstream.commit(&[("a", "1")]).await;
    let theirs = world.upstream.commit(&[("a", "2")]).await;
    world.upstream.run(&["branch", "ccm/ours", ours.as_str()]).await;
    world.upstream.run(&["branch", "ccm/theirs", theirs.as_str()]).await;
    let mirror = world.mirror().await;
    mirror.fetch().await.unwrap();
    assert_eq!(mirror.push(&ours, &branch("ccm/ours"), None).await.unwrap(), Pushed::AlreadyThere);
    assert_eq!(rejection(mirror.push(&ours, &branch("ccm/theirs"), None).await), Rejection::Stale);
    assert_eq!(mirror.branch_head(&branch("ccm/theirs")).await.unwrap(), Some(theirs));
}

/// What is expected travels with the push: the remote itself refuses, and the caller looks again and decides.
#[tokio::test]
async fn f25_a_push_that_expects_another_head_changes_nothing() {
    let world = World::new().await;
    let one = world.upstream.commit(&[("a", "1")]).await;
    let two = world.upstream.commit(&[("a", "2")]).await;
    let three = world.upstream.commit(&[("a", "3")]).await;
    let mirror = world.mirror().await;
    mirror.fetch().await.unwrap();
    let fix = branch("ccm/fix");
    mirror.push(&two, &fix, None).await.unwrap();
    assert_eq!(rejection(mirror.push(&three, &fix, Some(&one)).await), Rejection::Stale);
    let found = mirror.branch_head(&fix).await.unwrap();
    assert_eq!(found.as_ref(), Some(&two));
    assert_eq!(mirror.push(&three, &fix, found.as_ref()).await.unwrap(), Pushed::Updated);
}

#[tokio::test]
async fn the_remotes_own_rules_are_told_apart() {
    let world = World::new().await;
    let one = world.upstream.commit(&[("a", "1")]).await;
    let two = world.upstream.commit(&[("a", "2")]).await;
    let mirror = world.mirror().await;
    mirror.fetch().await.unwrap();
    let main = mirror.push(&one, &branch("main"), Some(&two)).await;
    assert_eq!(rejection(main), Rejection::CheckedOut);

    let hooks = world.upstream.dir.join(".git/hooks");
    std::fs::create_dir_all(&hooks).unwrap();
    script(&hooks.join("pre-receive"), "echo no work on Sundays >&2; exit 1").await;
    let declined = mirror.push(&one, &branch("fix"), None).await;
    assert!(declined.as_ref().is_err_and(|e| e.to_string().contains("no work on Sundays")), "{declined:?}");
    assert_eq!(rejection(declined), Rejection::Hook);
}

#[tokio::test]
async fn f61_what_github_refuses_to_take_is_classified() {
    let github = FakeGitHub::start(TestClock::new()).await;
    github.repo("me/app").await;
    github.commit("me/app", "First", &[("a", "1")]).await;
    let rules =
        [PushRule::Protected("main"), PushRule::NoWorkflows, PushRule::LargestFile(1000), PushRule::NoSecret("hush")];
    github.set_push_rules("me/app", &rules);
    let long = "x".repeat(1001);
    let table = [
        ("main", "a", "2", Rejection::Protected, "GH006"),
        ("fix", ".github/workflows/ci.yml", "on: push", Rejection::Permission, "`.github/workflows/ci.yml`"),
        ("fix", "long", long.as_str(), Rejection::Hook, "GH001"),
        ("fix", "a", "hush", Rejection::Protected, "GH013"),
    ];
    for (onto, file, content, reason, said) in table {
        let temp = tempfile::tempdir().unwrap();
        let auth = RemoteAuth { username: "x-access-token".into(), password: github.token_for("ccm-bot").into() };
        let remote = Remote { url: format!("{}/me/app.git", github.url()), auth: Some(auth) };
        let mirror = Git::new("git".into()).open_mirror(temp.path().join("mirror"), remote).await.unwrap();
        let base = mirror.fetch().await.unwrap().head.unwrap();
        let checkout = mirror.checkout(&temp.path().join("checkout"), &base, &branch("ccm/fix")).await.unwrap();
        crate::testing::write(checkout.dir(), file, content);
        let commit = checkout.commit(&bot(), "Fix it", AT).await.unwrap().unwrap();
        let expected = (onto == "main").then_some(&base);
        let pushes = github.requests_matching("POST /git-receive-pack").len();
        let refused = mirror.push(&commit, &branch(onto), expected).await;
        assert!(refused.as_ref().is_err_and(|error| error.to_string().contains(said)), "{file}: {refused:?}");
        assert_eq!(rejection(refused), reason, "{file}");
        assert_eq!(github.requests_matching("POST /git-receive-pack").len(), pushes + 1, "sent once");
    }
    assert_eq!(github.branches("me/app"), ["main"]);
}

/// A push is cut after one byte more and more, in either direction, by the death of its process; whoever comes next
/// pushes the same again.
#[tokio::test]
async fn r31_a_branch_is_pushed_once_whatever_byte_is_the_last() {
    let github = FakeGitHub::start(TestClock::new()).await;
    github.repo("me/app").await;
    let one: CommitId = github.commit("me/app", "first", &[("a", "1")]).await.parse().unwrap();
    let scissors = Scissors::before(github.url()).await;
    let auth = RemoteAuth { username: "x-access-token".into(), password: github.token_for("robot").into() };
    let remote = Remote { url: format!("{}/me/app.git", scissors.url()), auth: Some(auth) };
    let folder = tempfile::tempdir().unwrap();
    // Each time another process, with a pace of its own.
    let mirror =
        async || Git::new("git".into()).open_mirror(folder.path().join("m.git"), remote.clone()).await.unwrap();
    mirror().await.fetch().await.unwrap();
    for (way, step) in [(Way::There, 211), (Way::Back, 131)] {
        let (mut byte, mut cuts) = (1, 0);
        loop {
            let mirror = mirror().await;
            let fix = branch(&format!("ccm/{way:?}-{byte}").to_lowercase());
            scissors.cut_after(way, byte);
            // What was kept open for the next request was closed by mending, which costs a try.
            let push = async || match mirror.push(&one, &fix, None).await {
                Err(_) => mirror.push(&one, &fix, None).await,
                pushed => pushed,
            };
            let whole = tokio::select! {
                biased;
                () = scissors.cut() => false,
                pushed = push() => pushed.is_ok(),
            };
            scissors.mend();
            push().await.unwrap();
            assert_eq!(mirror.branch_head(&fix).await.unwrap(), Some(one.clone()), "{way:?} {byte}");
            if whole {
                break;
            }
            (byte, cuts) = (byte + step, cuts + 1);
        }
        assert!(cuts > 5, "{way:?}: it was cut {cuts} times only");
    }
}
