use crate::testing::{World, branch, script};
use crate::{Deleted, GitError, Pushed, Rejection};

fn rejection(result: Result<Pushed, GitError>) -> Rejection {
    match result {
        Err(GitError::Rejected { reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_branch_moves_only_from_where_it_is_expected() {
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
