use testkit::github::Fault;

use super::super::tests::World;
use crate::{Forge as _, ForgeError};

#[tokio::test]
async fn a_commit_comes_in_one_request_and_the_token_stays() {
    let world = World::new().await;
    let github = world.github();
    world.fake.repo("acme/files").await;
    let commit = world.fake.commit("acme/files", "First", &[("a.py", "# TODO: a\n")]).await;
    let files = "acme/files".parse().unwrap();
    let tip = github.tip(&files).await.unwrap().unwrap();
    assert_eq!((tip.branch.as_str(), tip.commit.as_str(), tip.tree.len()), ("main", commit.as_str(), 40));
    let before = world.fake.request_count();
    let archive = github.archive(&files, &tip.commit).await.unwrap().unwrap();
    assert_eq!(&archive[..2], b"\x1f\x8b", "gzip");
    assert_eq!((world.fake.request_count() - before, world.fake.request_count_elsewhere()), (1, 1));
    assert_eq!(world.fake.violations(), Vec::<String>::new());
    let gone = github.archive(&files, &"1".repeat(40).parse().unwrap()).await;
    assert!(matches!(gone, Err(ForgeError::NotFound(_))), "{gone:?}");
}

#[tokio::test]
async fn where_queries_are_refused_no_tip_is_told() {
    let world = World::new().await;
    let github = world.github();
    world.fake.repo("acme/files").await;
    let files = "acme/files".parse().unwrap();
    assert_eq!(github.tip(&files).await.unwrap(), None, "no commits");
    world.fake.fail(Fault::status(403, "Forbidden for this token").on("POST /graphql").forever());
    assert!(github.tip(&files).await.is_err());
}
