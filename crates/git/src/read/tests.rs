use std::collections::BTreeMap;
use std::fs;

use backlog::names::CommitId;
use backlog::time::Timestamp;

use super::{Blob, ChangeStatus, MAX_DIFF_BYTES};
use crate::testing::{World, write};
use crate::{Author, DiffFile, GitError, Mirror};

async fn blobs(mirror: &Mirror, oids: &[String], max: u64) -> BTreeMap<usize, Blob> {
    let mut found = BTreeMap::new();
    mirror.read_blobs(oids, max, |place, blob| assert!(found.insert(place, blob).is_none(), "twice")).await.unwrap();
    found
}

#[tokio::test]
async fn odd_paths_modes_and_sizes_are_listed() {
    let world = World::new().await;
    write(&world.upstream.dir, "new\nline", "1");
    std::os::unix::fs::symlink("ü/-x", world.upstream.dir.join("link")).unwrap();
    let commit = world.upstream.commit(&[("ü/-x", "four"), ("-r", "")]).await;
    let mirror = world.mirror().await;
    mirror.fetch().await.unwrap();
    let tree = mirror.files(&commit).await.unwrap();
    let listed: Vec<_> = tree.files.iter().map(|file| (file.path.as_str(), file.size, file.mode)).collect();
    let plain = 0o100_644;
    assert_eq!(listed, [("-r", 0, plain), ("link", 5, 0o120_000), ("new\nline", 1, plain), ("ü/-x", 4, plain)]);
    assert!(!tree.truncated);
}

#[tokio::test]
async fn changes_between_two_commits_leave_submodules_out() {
    let world = World::new().await;
    let first = world.upstream.commit(&[("kept", "1"), ("gone", "1"), ("changed", "1"), ("linked", "1")]).await;
    fs::remove_file(world.upstream.dir.join("gone")).unwrap();
    let link = |path: &str| format!("160000,{first},{path}");
    world.upstream.run(&["update-index", "--add", "--cacheinfo", &link("sub")]).await;
    world.upstream.run(&["update-index", "--cacheinfo", &link("linked")]).await;
    write(&world.upstream.dir, "changed", "2");
    write(&world.upstream.dir, "new\nline", "1");
    world.upstream.run(&["add", "changed", "new\nline"]).await;
    world.upstream.run(&["rm", "--quiet", "--cached", "gone"]).await;
    world.upstream.run(&["commit", "--quiet", "--message=mixed"]).await;
    let second = world.upstream.head("HEAD").await;
    let mirror = world.mirror().await;
    mirror.fetch().await.unwrap();

    let changes = mirror.changed(&first, &second).await.unwrap();
    let listed: Vec<_> = changes.iter().map(|c| (c.path.as_str(), c.status, c.oid.is_some())).collect();
    assert_eq!(
        listed,
        [
            ("changed", ChangeStatus::Modified, true),
            ("gone", ChangeStatus::Deleted, false),
            ("linked", ChangeStatus::Deleted, false),
            ("new\nline", ChangeStatus::Added, true),
        ]
    );
    let files = mirror.files(&second).await.unwrap().files;
    assert_eq!(files.iter().map(|f| f.path.as_str()).collect::<Vec<_>>(), ["changed", "kept", "new\nline"]);
    let unknown: CommitId = "a".repeat(40).parse().unwrap();
    for missing in [mirror.changed(&unknown, &second).await.err(), mirror.files(&unknown).await.err()] {
        assert!(matches!(missing, Some(GitError::UnknownCommit { .. })), "{missing:?}");
    }
}

#[tokio::test]
async fn blobs_are_read_unless_missing_or_too_large() {
    let world = World::new().await;
    let large = "x".repeat(300_000);
    let commit = world.upstream.commit(&[("small", "two\nlines"), ("empty", ""), ("large", &large)]).await;
    let mirror = world.mirror().await;
    mirror.fetch().await.unwrap();
    let oid = |path: &str| {
        let (mirror, revision) = (mirror.clone(), format!("{commit}:{path}"));
        async move { mirror.call(["rev-parse", &revision]).text().await.unwrap().trim().to_owned() }
    };
    let oids = [
        oid("large").await,
        oid("small").await,
        "b".repeat(40),
        "HEAD\nHEAD".to_owned(),
        commit.to_string(),
        oid("empty").await,
        oid("small").await,
    ];
    let found = blobs(&mirror, &oids, 1000).await;
    let small = Blob::Content(b"two\nlines".to_vec());
    assert_eq!(
        found.into_values().collect::<Vec<_>>(),
        [
            Blob::TooLarge(300_000),
            small.clone(),
            Blob::Missing,
            Blob::Missing,
            Blob::Missing,
            Blob::Content(Vec::new()),
            small,
        ]
    );
    assert_eq!(blobs(&mirror, &oids[..1], 300_000).await[&0], Blob::Content(large.into_bytes()));
    assert!(blobs(&mirror, &[], 1).await.is_empty());
}

#[tokio::test]
async fn more_blobs_than_a_pipe_holds_do_not_block() {
    let world = World::new().await;
    let commit = world.upstream.commit(&[("a", &"y".repeat(50_000))]).await;
    let mirror = world.mirror().await;
    mirror.fetch().await.unwrap();
    let oid = mirror.files(&commit).await.unwrap().files[0].oid.clone();
    let found = blobs(&mirror, &vec![oid; 3000], 1 << 20).await;
    assert!(found.len() == 3000 && found.values().all(|blob| matches!(blob, Blob::Content(c) if c.len() == 50_000)));
}

#[tokio::test]
async fn blame_names_the_author_of_a_line() {
    let world = World::new().await;
    let commit = world.upstream.commit(&[("dir/a b", "one\ntwo\n")]).await;
    let mirror = world.mirror().await;
    mirror.fetch().await.unwrap();
    let blame = mirror.blame(&commit, "dir/a b", 2).await.unwrap().unwrap();
    assert_eq!(blame.author, Author { name: "Dev".into(), email: "dev@example.org".into() });
    assert_eq!((blame.at, blame.text.as_str()), (Timestamp(1_700_000_000_000), "two"));
    for (path, line) in [("dir/a b", 3), ("dir/a b", 0), ("none", 1), ("-L1", 1)] {
        assert_eq!(mirror.blame(&commit, path, line).await.unwrap(), None, "{path}:{line}");
    }
}

#[tokio::test]
async fn a_diff_counts_every_file_and_bounds_its_text() {
    let world = World::new().await;
    let base = world.upstream.commit(&[("a", "1\n2\n"), ("old name", "same\n")]).await;
    fs::remove_file(world.upstream.dir.join("old name")).unwrap();
    let changed = [("a", "1\n3\n4\n"), ("bin", "\0\x01"), ("new name", "same\n")];
    let small = world.upstream.commit(&changed).await;
    let large = world.upstream.commit(&[("big", &"a line of text\n".repeat(100_000)), ("z", "1\n")]).await;
    let mirror = world.mirror().await;
    mirror.fetch().await.unwrap();

    let diff = mirror.diff(&base, &small).await.unwrap();
    let file = |path: &str, added, removed, binary| DiffFile { path: path.into(), added, removed, binary };
    let files = [file("a", 2, 1, false), file("bin", 0, 0, true), file("new name", 1, 0, false)];
    assert_eq!(diff.files, [files.as_slice(), &[file("old name", 0, 1, false)]].concat());
    assert!(diff.text.contains("+3\n+4\n") && diff.text.contains("rename from old name") && !diff.truncated);

    let diff = mirror.diff(&small, &large).await.unwrap();
    assert!(diff.truncated && diff.text.len() <= MAX_DIFF_BYTES && diff.text.ends_with("+a line of text\n"));
    assert_eq!(diff.files, [file("big", 100_000, 0, false), file("z", 1, 0, false)]);
    let none = mirror.diff(&small, &small).await.unwrap();
    assert!(none.text.is_empty() && none.files.is_empty());
}

#[tokio::test]
async fn changes_are_counted_by_file_over_the_last_commits() {
    let world = World::new().await;
    world.upstream.commit(&[("a", "1"), ("sub/new\nline", "1")]).await;
    world.upstream.commit(&[("a", "2")]).await;
    let last = world.upstream.commit(&[("a", "3"), ("ü", "1")]).await;
    let mirror = world.mirror().await;
    mirror.fetch().await.unwrap();
    let counts = |commits| {
        let (mirror, last) = (mirror.clone(), last.clone());
        async move { mirror.change_counts(&last, commits).await.unwrap().into_iter().collect::<Vec<_>>() }
    };
    let expected = [("a", 3), ("sub/new\nline", 1), ("ü", 1)].map(|(path, count)| (path.to_owned(), count));
    assert_eq!(counts(100).await, expected);
    assert_eq!(counts(2).await, [("a".to_owned(), 2), ("ü".to_owned(), 1)]);
    let unknown: CommitId = "0123456789abcdef0123456789abcdef01234567".parse().unwrap();
    assert!(matches!(mirror.change_counts(&unknown, 1).await, Err(GitError::UnknownCommit { .. })));
}
