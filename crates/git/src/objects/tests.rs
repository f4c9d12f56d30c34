use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::testing::{World, write};
use crate::{ChangeStatus, MAX_FILES};

/// A developer's repository and its objects.
struct There(World);

impl There {
    async fn new() -> Self {
        Self(World::new().await)
    }

    fn folder(&self) -> PathBuf {
        self.0.upstream.dir.join(".git/objects")
    }

    fn objects(&self) -> Objects {
        Objects::open(self.folder()).unwrap()
    }

    async fn run(&self, args: &[&str]) -> String {
        self.0.upstream.run(args).await
    }

    /// Stores an object as it is, valid or not.
    async fn object(&self, kind: &str, bytes: &[u8]) -> String {
        let file = self.0.path("object");
        fs::write(&file, bytes).unwrap();
        let name = file.to_str().unwrap().to_owned();
        self.run(&["hash-object", "-w", "--literally", "-t", kind, &name]).await.trim().to_owned()
    }

    /// A commit of a tree of these entries: mode, name, object.
    async fn tree(&self, entries: &[(&str, &str, &str)]) -> String {
        let mut bytes = Vec::new();
        for (mode, name, oid) in entries {
            bytes.extend_from_slice(format!("{mode} {name}\0").as_bytes());
            bytes.extend_from_slice(&hex::decode(oid).unwrap());
        }
        self.object("tree", &bytes).await
    }

    async fn commit_of(&self, tree: &str) -> CommitId {
        self.run(&["commit-tree", "-m", "made", tree]).await.parse().unwrap()
    }
}

/// Trees that hold the one before 16 times each, so many levels deep.
async fn nested(t: &There, lowest: &str, levels: usize) -> String {
    let mut tree = lowest.to_owned();
    for _ in 0..levels {
        let names: Vec<String> = (0..16).map(|n| format!("{n:x}")).collect();
        let entries: Vec<(&str, &str, &str)> =
            names.iter().map(|name| ("40000", name.as_str(), tree.as_str())).collect();
        tree = t.tree(&entries).await;
    }
    tree
}

#[tokio::test]
async fn trees_and_differences_are_those_that_git_tells() {
    let t = There::new().await;
    let many: Vec<String> = (0..300).map(|n| format!("d{}/e{}/f{n}", n % 7, n % 3)).collect();
    let files: Vec<(&str, &str)> = many.iter().map(|path| (path.as_str(), path.as_str())).collect();
    let old = t.0.upstream.commit(&files).await;
    // A file becomes a folder, a folder a file; names that sort in odd ways.
    fs::remove_dir_all(t.0.upstream.dir.join("d1")).unwrap();
    fs::remove_file(t.0.upstream.dir.join("d2/e0/f9")).unwrap();
    let new =
        t.0.upstream
            .commit(&[("d1", "a file"), ("d2/e0/f9/x", "y"), ("d2.x", "1"), ("d2-", "2"), ("d3/e0/f3", "3")])
            .await;
    for packed in [false, true] {
        if packed {
            t.run(&["gc", "--quiet", "--aggressive", "--prune=now"]).await;
        }
        for commit in [&old, &new] {
            let tree = t.objects().files(commit, true).unwrap();
            let told = t.run(&["ls-tree", "-r", "-z", "-l", "--full-tree", commit.as_str()]).await;
            let told: Vec<&str> = told.split('\0').filter(|record| !record.is_empty()).collect();
            let ours = tree.files.iter();
            let ours: Vec<String> =
                ours.map(|f| format!("{:o} blob {} {:>7}\t{}", f.mode, f.oid, f.size, f.path)).collect();
            assert_eq!(ours, told, "packed: {packed}");
        }
        let told = t.run(&["diff-tree", "-r", "--no-renames", "--name-status", old.as_str(), new.as_str()]).await;
        let ours: BTreeSet<String> = t
            .objects()
            .changed(&old, &new)
            .unwrap()
            .into_iter()
            .map(|change| {
                let letter = match change.status {
                    ChangeStatus::Added => "A",
                    ChangeStatus::Modified => "M",
                    ChangeStatus::Deleted => "D",
                };
                format!("{letter}\t{}", change.path)
            })
            .collect();
        assert_eq!(ours, told.lines().map(str::to_owned).collect(), "packed: {packed}");
    }
}

#[tokio::test]
async fn what_is_packed_meanwhile_is_still_found() {
    let t = There::new().await;
    let first = t.0.upstream.commit(&[("a", "1")]).await;
    let objects = t.objects();
    assert_eq!(objects.files(&first, true).unwrap().files.len(), 1);
    let second = t.0.upstream.commit(&[("b", "2")]).await;
    t.run(&["gc", "--quiet", "--prune=now"]).await;
    assert_eq!(objects.files(&second, true).unwrap().files.len(), 2);
    assert!(objects.has_commit(&first).unwrap());
}

#[tokio::test]
async fn a_missing_object_is_told_apart_from_a_damaged_one() {
    let t = There::new().await;
    let commit = t.0.upstream.commit(&[("deep/a", "one"), ("b", "two")]).await;
    let oid = |path: &str| {
        let (revision, t) = (format!("{commit}:{path}"), &t);
        async move { t.run(&["rev-parse", &revision]).await.trim().to_owned() }
    };
    let file = |oid: &str| t.folder().join(&oid[..2]).join(&oid[2..]);
    let (blob, tree) = (oid("b").await, oid("deep").await);
    fs::remove_file(file(&blob)).unwrap();
    assert_eq!(t.objects().blob(&blob, 100).unwrap(), Blob::Missing);
    assert_eq!(t.objects().size(&blob).unwrap(), None);
    assert_eq!(t.objects().files(&commit, false).unwrap().files.len(), 2, "trees need no blobs");
    fs::remove_file(file(&tree)).unwrap();
    let missing = t.objects().files(&commit, false).unwrap_err().to_string();
    assert!(missing.contains(&tree) && missing.contains("missing"), "{missing}");
    for garbage in [&b""[..], b"no zlib", &[0x78, 0x9c, 0x01]] {
        fs::write(file(&tree), garbage).unwrap();
        let damaged = t.objects().files(&commit, false);
        assert!(matches!(damaged, Err(GitError::Damaged { .. })), "{damaged:?}");
    }
}

#[tokio::test]
async fn objects_that_are_not_what_they_should_be_are_errors() {
    let t = There::new().await;
    let blob = t.object("blob", b"x").await;
    let broken = t.object("tree", b"100644 no end").await;
    let cut = t.object("tree", b"100644 a\0short").await;
    let odd = t.object("tree", &[b"999 a\0".as_slice(), &[7; 20]].concat()).await;
    let above = t.tree(&[("40000", "a", &blob)]).await;
    for tree in [&broken, &cut, &odd, &above] {
        let commit = t.object("commit", format!("tree {tree}\n\n").as_bytes()).await.parse().unwrap();
        let files = t.objects().files(&commit, true);
        assert!(matches!(files, Err(GitError::Damaged { .. })), "{files:?}");
    }
    let no_tree = t.object("commit", b"author nobody\n").await.parse().unwrap();
    assert!(matches!(t.objects().files(&no_tree, true), Err(GitError::Damaged { .. })));
    for unknown in [blob.parse().unwrap(), "d".repeat(40).parse().unwrap()] {
        assert!(matches!(t.objects().files(&unknown, true), Err(GitError::UnknownCommit { .. })));
        assert!(!t.objects().has_commit(&unknown).unwrap());
    }
}

/// Every byte of a pack and its index is changed once, three ways: there is an answer or an error, never a panic.
#[tokio::test]
async fn damaged_packs_never_panic() {
    let t = There::new().await;
    let long = "a line that is in both\n".repeat(50);
    t.0.upstream.commit(&[("a", &long), ("d/b", "1")]).await;
    let commit = t.0.upstream.commit(&[("a", &format!("{long}more\n")), ("d/c", "2")]).await;
    t.run(&["gc", "--quiet", "--aggressive", "--prune=now"]).await;
    let oids: Vec<String> = t.objects().files(&commit, true).unwrap().files.into_iter().map(|file| file.oid).collect();
    let packs: Vec<PathBuf> =
        fs::read_dir(t.folder().join("pack")).unwrap().map(|entry| entry.unwrap().path()).collect();
    let (mut errors, mut tried) = (0, 0);
    for file in packs.iter().filter(|file| ["pack", "idx"].iter().any(|ext| file.extension().unwrap() == *ext)) {
        let whole = fs::read(file).unwrap();
        fs::remove_file(file).unwrap();
        for place in
            (0..whole.len()).filter(|place| place % 7 == 0 || *place < 64 || file.extension().unwrap() == "pack")
        {
            for change in [0xff, 0x01, 0x80] {
                let mut bytes = whole.clone();
                bytes[place] ^= change;
                fs::write(file, &bytes).unwrap();
                errors += usize::from(read_all(&t.folder(), &commit, &oids).is_err());
                tried += 1;
            }
        }
        for end in 0..whole.len().min(2_000) {
            fs::write(file, &whole[..end]).unwrap();
            errors += usize::from(read_all(&t.folder(), &commit, &oids).is_err());
        }
        fs::write(file, &whole).unwrap();
    }
    assert!(tried > 1_000 && errors > 100, "{errors} errors of {tried}");
    read_all(&t.folder(), &commit, &oids).unwrap();
}

fn read_all(folder: &Path, commit: &CommitId, oids: &[String]) -> Result<(), GitError> {
    let objects = Objects::open(folder.to_owned())?;
    objects.files(commit, true)?;
    for oid in oids {
        objects.blob(oid, 1 << 20)?;
    }
    Ok(())
}

#[tokio::test]
async fn trees_that_hold_each_other_a_thousand_times_have_bounds() {
    let t = There::new().await;
    let blob = t.object("blob", b"x").await;
    for lowest in [vec![("100644", "f", blob.as_str())], vec![]] {
        let lowest = t.tree(&lowest).await;
        let (bomb, other) = (nested(&t, &lowest, 12).await, t.tree(&[]).await);
        let (commit, empty) = (t.commit_of(&bomb).await, t.commit_of(&other).await);
        t.run(&["update-ref", "refs/heads/bomb", commit.as_str()]).await;
        t.run(&["repack", "-a", "-d", "--quiet"]).await;
        let tree = t.objects().files(&commit, true).unwrap();
        assert!(tree.truncated && tree.files.len() <= MAX_FILES);
        let changed = t.objects().changed(&empty, &commit);
        assert!(matches!(changed, Err(GitError::TooLarge { .. })), "{:?}", changed.map(|c| c.len()));
    }
}

#[tokio::test]
async fn listings_and_differences_end_at_their_bound() {
    let t = There::new().await;
    let blob = t.object("blob", b"x").await;
    let names: Vec<String> = (0..=MAX_FILES).map(|n| format!("{n:06}")).collect();
    let entries: Vec<(&str, &str, &str)> = names.iter().map(|name| ("100644", name.as_str(), blob.as_str())).collect();
    let all = t.tree(&entries).await;
    let fewer = t.tree(&entries[1..]).await;
    let (all, fewer) = (t.commit_of(&all).await, t.commit_of(&fewer).await);
    let none = t.tree(&[]).await;
    let none = t.commit_of(&none).await;
    let tree = t.objects().files(&all, false).unwrap();
    assert!(tree.files.len() == MAX_FILES && tree.truncated);
    assert_eq!(tree.files[0].path, "000000");
    assert!(!t.objects().files(&fewer, false).unwrap().truncated);
    let changed = t.objects().changed(&none, &all);
    assert!(matches!(changed, Err(GitError::TooLarge { .. })), "{:?}", changed.map(|c| c.len()));
    assert_eq!(t.objects().changed(&none, &fewer).unwrap().len(), MAX_FILES);
}

#[tokio::test]
async fn paths_that_fit_nowhere_are_left_out() {
    let t = There::new().await;
    let blob = t.object("blob", b"x").await;
    let mut tree = t.tree(&[("100644", "f", &blob)]).await;
    for _ in 0..40 {
        tree = t.tree(&[("100644", "here", &blob), ("40000", &"n".repeat(200), &tree)]).await;
    }
    let commit = t.commit_of(&tree).await;
    let files = t.objects().files(&commit, true).unwrap();
    assert!(files.truncated && files.files.len() == 21 && files.files.iter().all(|file| file.path.len() < 4_400));
}

#[tokio::test]
async fn what_unpacks_to_more_than_the_bound_is_too_large() {
    let t = There::new().await;
    // 80 MB of nothing, a few bytes when packed.
    let large = t.0.path("large");
    fs::File::create(&large).unwrap().set_len(80_000_000).unwrap();
    let oid = t.run(&["hash-object", "-w", large.to_str().unwrap()]).await.trim().to_owned();
    let objects = t.objects();
    assert_eq!(objects.blob(&oid, 1 << 20).unwrap(), Blob::TooLarge(80_000_000));
    assert_eq!(objects.blob(&oid, 1 << 40).unwrap(), Blob::TooLarge(80_000_000), "more than fits in memory");
    let mut buffer = Vec::new();
    assert!(objects.object(&id(&oid).unwrap(), Kind::Tree, &mut buffer).is_err());
}

#[tokio::test]
async fn whoever_waits_no_longer_ends_the_work() {
    let t = There::new().await;
    write(&t.0.upstream.dir, "a", "1");
    let commit = t.0.upstream.commit(&[]).await;
    let (begun, seen) = (tokio::sync::oneshot::channel(), tokio::sync::oneshot::channel());
    let git = t.0.git.clone();
    let folder = t.folder();
    let waits = tokio::spawn(async move {
        git.with_objects(&folder, move |objects| {
            begun.0.send(()).unwrap();
            while !objects.stop.0.load(Ordering::Relaxed) {
                std::thread::yield_now();
            }
            seen.0.send(objects.files(&commit, true).is_err()).unwrap();
            Ok(())
        })
        .await
    });
    begun.1.await.unwrap();
    waits.abort();
    assert!(seen.1.await.unwrap(), "it reads nothing more");
}

#[tokio::test]
async fn a_reader_that_fails_is_an_error() {
    let t = There::new().await;
    let failed = t.0.git.with_objects::<()>(&t.folder(), |_| panic!("as a library could")).await;
    assert!(matches!(failed, Err(GitError::Damaged { .. })), "{failed:?}");
    let nowhere = t.0.git.with_objects(Path::new("/nonexistent"), |_| Ok(())).await;
    assert!(matches!(nowhere, Err(GitError::Io { .. })), "{nowhere:?}");
}
