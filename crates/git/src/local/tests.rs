use std::fs;

use backlog::names::CommitId;

use crate::testing::{AT, World, bot, branch};
use crate::{GitError, LocalRepository, MergeOutcome};

async fn merge(local: &LocalRepository) -> MergeOutcome {
    local.merge(&branch("fix"), &branch("main"), "Merge the fix", &bot(), AT).await.unwrap()
}

/// Upstream on `main` with the branch `fix`, one commit ahead.
async fn with_fix(files: &[(&str, &str)], fix: &[(&str, &str)]) -> (World, LocalRepository, CommitId) {
    let world = World::new().await;
    world.upstream.commit(files).await;
    world.upstream.run(&["checkout", "--quiet", "-b", "fix"]).await;
    let fix = world.upstream.commit(fix).await;
    world.upstream.run(&["checkout", "--quiet", "main"]).await;
    let local = LocalRepository::open(&world.git, &world.upstream.dir).await.unwrap();
    (world, local, fix)
}

#[tokio::test]
async fn a_folder_without_a_usable_repository_says_why() {
    let world = World::new().await;
    let missing = LocalRepository::open(&world.git, &world.path("none")).await;
    assert!(matches!(missing, Err(GitError::NotFound { .. })), "{missing:?}");
    let plain = LocalRepository::open(&world.git, world.temp.path()).await;
    assert!(matches!(plain, Err(GitError::NotARepository { .. })), "{plain:?}");
    let empty = LocalRepository::open(&world.git, &world.upstream.dir).await;
    assert!(matches!(empty, Err(GitError::NoCommits { .. })), "{empty:?}");
    world.upstream.commit(&[("sub/a", "1")]).await;
    let inside = LocalRepository::open(&world.git, &world.upstream.dir.join("sub")).await;
    assert!(matches!(inside, Err(GitError::NotARepository { .. })), "{inside:?}");
}

#[tokio::test]
async fn an_unmoved_branch_is_fast_forwarded_with_its_files() {
    let (world, local, fix) = with_fix(&[("a", "1\n")], &[("a", "2\n")]).await;
    assert_eq!(local.head_branch().await.unwrap(), branch("main"));
    assert!(!local.is_merged(&fix, &branch("main")).await.unwrap());
    assert!(!local.is_merged(&"a".repeat(40).parse().unwrap(), &branch("main")).await.unwrap());
    assert_eq!(merge(&local).await, MergeOutcome::Merged(fix.clone()));
    assert_eq!(merge(&local).await, MergeOutcome::AlreadyMerged);
    assert!(local.is_merged(&fix, &branch("main")).await.unwrap());
    assert_eq!(fs::read_to_string(world.upstream.dir.join("a")).unwrap(), "2\n");
    assert_eq!(world.upstream.run(&["status", "--porcelain"]).await, "");
}

#[tokio::test]
async fn two_lines_of_work_are_merged_and_local_edits_stay() {
    let (world, local, fix) = with_fix(&[("a", "1\n"), ("mine", "1\n")], &[("a", "2\n")]).await;
    let ours = world.upstream.commit(&[("b", "1\n")]).await;
    fs::write(world.upstream.dir.join("mine"), "edited\n").unwrap();
    let MergeOutcome::Merged(commit) = merge(&local).await else { panic!("it merges") };
    let shown = world.upstream.run(&["log", "-1", "--format=%P|%an|%s", "main"]).await;
    assert_eq!(shown, format!("{ours} {fix}|Bot|Merge the fix"));
    assert_eq!(local.branch_head(&branch("main")).await.unwrap(), Some(commit));
    assert_eq!(fs::read_to_string(world.upstream.dir.join("a")).unwrap(), "2\n");
    assert_eq!(world.upstream.run(&["diff", "--name-only"]).await, "mine");
}

#[tokio::test]
async fn a_conflict_names_its_files_and_changes_nothing() {
    let (world, local, _) = with_fix(&[("a b", "1\n")], &[("a b", "2\n")]).await;
    let ours = world.upstream.commit(&[("a b", "3\n")]).await;
    assert_eq!(merge(&local).await, MergeOutcome::Conflict { files: vec!["a b".into()] });
    assert_eq!(local.branch_head(&branch("main")).await.unwrap(), Some(ours));
    assert_eq!(world.upstream.run(&["status", "--porcelain"]).await, "");
}

#[tokio::test]
async fn local_edits_in_the_way_are_kept() {
    let (world, local, _) = with_fix(&[("a", "1\n")], &[("a", "2\n"), ("new ü", "2\n")]).await;
    let ours = world.upstream.head("main").await;
    for (path, content) in [("a", "precious\n"), ("new ü", "untracked\n")] {
        fs::write(world.upstream.dir.join(path), content).unwrap();
        let MergeOutcome::Dirty { files } = merge(&local).await else { panic!("it refuses") };
        assert!(files.contains(&path.to_owned()), "{files:?}");
        assert_eq!(fs::read_to_string(world.upstream.dir.join(path)).unwrap(), content);
        assert_eq!(world.upstream.head("main").await, ours);
    }
    world.upstream.run(&["add", "a"]).await;
    let MergeOutcome::Dirty { files } = merge(&local).await else { panic!("it refuses") };
    assert!(files.contains(&"a".to_owned()), "also when staged: {files:?}");
}

#[tokio::test]
async fn a_branch_that_is_checked_out_nowhere_or_elsewhere_is_merged_too() {
    let (world, local, fix) = with_fix(&[("a", "1\n")], &[("a", "2\n")]).await;
    world.upstream.run(&["checkout", "--quiet", "--detach"]).await;
    assert!(matches!(local.head_branch().await, Err(GitError::NoDefaultBranch { .. })));
    assert_eq!(merge(&local).await, MergeOutcome::Merged(fix.clone()));
    assert_eq!(fs::read_to_string(world.upstream.dir.join("a")).unwrap(), "1\n");

    world.upstream.run(&["update-ref", "refs/heads/main", "HEAD"]).await;
    let second = world.path("second tree");
    world.upstream.run(&["worktree", "add", "--quiet", second.to_str().unwrap(), "main"]).await;
    assert_eq!(merge(&local).await, MergeOutcome::Merged(fix));
    assert_eq!(fs::read_to_string(second.join("a")).unwrap(), "2\n");
}

#[tokio::test]
async fn a_bare_repository_is_merged_into() {
    let (world, _, fix) = with_fix(&[("a", "1\n")], &[("a", "2\n")]).await;
    world.upstream.commit(&[("b", "1\n")]).await;
    let bare = world.path("bare.git");
    world.upstream.run(&["clone", "--quiet", "--bare", ".", bare.to_str().unwrap()]).await;
    let local = LocalRepository::open(&world.git, &bare).await.unwrap();
    let MergeOutcome::Merged(commit) = merge(&local).await else { panic!("it merges") };
    assert_eq!(local.branch_head(&branch("main")).await.unwrap(), Some(commit));
    assert!(local.is_merged(&fix, &branch("main")).await.unwrap());
    let unknown = local.merge(&branch("none"), &branch("main"), "x", &bot(), AT).await;
    assert!(matches!(unknown, Err(GitError::UnknownBranch { .. })), "{unknown:?}");
}

#[tokio::test]
async fn lines_of_a_file_are_blamed_at_once_and_one_that_is_not_there_spoils_none() {
    let world = World::new().await;
    let commit = world.upstream.commit(&[("a", "one\ntwo\nthree\n")]).await;
    let local = LocalRepository::open(&world.git, &world.upstream.dir).await.unwrap();
    let many: Vec<u64> = (0..2_000).collect();
    for (lines, expected) in [(&[1, 3][..], &[1, 3][..]), (&[0, 2, 9], &[2]), (&many, &[1, 2, 3]), (&[], &[])] {
        let found = local.blame(&commit, "a", lines).await.unwrap();
        assert_eq!(found.keys().copied().collect::<Vec<_>>(), expected);
        assert!(found.values().all(|blame| blame.author.name == "Dev"), "{found:?}");
    }
    assert!(local.blame(&commit, "none", &[1]).await.unwrap().is_empty());
}
