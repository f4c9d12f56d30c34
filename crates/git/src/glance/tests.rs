use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};

use testkit::clock::TestClock;
use testkit::github::FakeGitHub;

use super::*;
use crate::ChangeStatus;
use crate::testing::{World, branch};

/// A glance of `me/app` on a fake GitHub.
struct There {
    github: FakeGitHub,
    temp: tempfile::TempDir,
    glance: Glance,
    seen: AtomicUsize,
}

impl There {
    async fn new() -> Self {
        Self::through(&Git::new("git".into())).await
    }

    async fn through(git: &Git) -> Self {
        let github = FakeGitHub::start(TestClock::new()).await;
        github.repo("me/app").await;
        let temp = tempfile::tempdir().unwrap();
        let remote = Remote::public(format!("{}/me/app.git", github.url()));
        let glance = git.open_glance(temp.path().join("glance"), temp.path().join("mirror"), remote).await.unwrap();
        Self { github, temp, glance, seen: AtomicUsize::new(0) }
    }

    async fn commit(&self, files: &[(&str, &str)]) -> CommitId {
        self.github.commit("me/app", "Work", files).await.parse().unwrap()
    }

    /// The files of a commit, with what is in those that can be read.
    async fn read(&self, commit: &CommitId) -> Vec<(String, String)> {
        let files = self.glance.files(commit).await.unwrap().files;
        let oids: Vec<String> = files.iter().map(|file| file.oid.clone()).collect();
        let mut read = Vec::new();
        let take = |place: usize, blob| {
            if let Blob::Content(bytes) = blob {
                read.push((files[place].path.clone(), String::from_utf8(bytes).unwrap()));
            }
        };
        self.glance.bring(&oids).await.unwrap();
        self.glance.read_blobs(&oids, 1 << 20, take).await.unwrap();
        read
    }

    async fn missing(&self, commit: &CommitId) -> usize {
        let files = self.glance.files(commit).await.unwrap().files;
        let oids: Vec<String> = files.into_iter().map(|file| file.oid).collect();
        self.glance.mirror.missing(&oids).await.unwrap().len()
    }

    /// Requests since the last call: looks at branches and fetches, and questions for capabilities.
    fn requests(&self) -> (usize, usize) {
        let all = self.github.requests();
        let new = &all[self.seen.swap(all.len(), Ordering::SeqCst)..];
        let count = |method: &str| new.iter().filter(|request| request.method == method).count();
        (count("POST"), count("GET"))
    }
}

fn text(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect()
}

#[tokio::test]
async fn trees_come_first_and_the_blobs_wanted_in_one_request() {
    let t = There::new().await;
    t.commit(&[("a.py", "1"), ("deep/b.py", "2")]).await;
    let head = t.commit(&[("deep/c.py", "3")]).await;
    t.requests();
    assert_eq!(t.glance.fetch().await.unwrap().head, Some(head.clone()));
    assert_eq!(t.requests(), (3, 1), "where the branch is, twice, and the trees");
    assert_eq!(t.missing(&head).await, 3);
    assert_eq!(t.requests(), (0, 0), "a missing blob is never fetched by itself");
    assert_eq!(t.read(&head).await, text(&[("a.py", "1"), ("deep/b.py", "2"), ("deep/c.py", "3")]));
    assert_eq!(t.requests(), (1, 1));
    t.read(&head).await;
    assert!(!t.glance.fetch().await.unwrap().moved);
    assert_eq!(t.requests(), (1, 0), "nothing moved");
    let config = fs::read_to_string(t.temp.path().join("glance/config")).unwrap();
    assert!(!config.contains("promisor") && !config.contains("http"), "{config}");
}

#[tokio::test]
async fn what_changed_comes_with_its_blobs_and_nothing_else() {
    let t = There::new().await;
    let files: Vec<(String, String)> = (0..100).map(|n| (format!("d{}/f{n}", n % 7), n.to_string())).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let old = t.commit(&files).await;
    t.glance.fetch().await.unwrap();
    let new = t.commit(&[("d1/f1", "changed"), ("d1/new", "new")]).await;
    t.glance.fetch().await.unwrap();
    let changed = t.glance.changed(&old, &new).await.unwrap();
    let seen: Vec<_> = changed.iter().map(|change| (change.path.as_str(), change.status)).collect();
    assert_eq!(seen, [("d1/f1", ChangeStatus::Modified), ("d1/new", ChangeStatus::Added)]);
    assert_eq!(t.missing(&new).await, 99, "what changed has come along");
    assert!(t.glance.contains(&old).await.unwrap() && !t.temp.path().join("mirror").exists());
    assert_eq!(t.glance.blame(&new, "d1/new", 1).await.unwrap(), None, "there is no history");
}

#[tokio::test]
async fn a_change_that_is_too_much_comes_without_its_blobs() {
    let mut t = There::new().await;
    // What cannot be packed smaller.
    let noise: String = (0..20_000u64).map(|n| format!("{:x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect();
    t.commit(&[("a", "1")]).await;
    t.glance.fetch().await.unwrap();
    let large = "x".repeat(1 << 20);
    let head = t.commit(&[("largest", &large), ("larger", &format!("{large}x")), ("b", "2")]).await;
    t.glance.fetch().await.unwrap();
    assert_eq!(t.missing(&head).await, 2, "the first one, and the one that is larger than any source reads");
    t.glance.mirror.fetch_bytes = 50_000;
    let head = t.commit(&[("noise", &noise)]).await;
    assert_eq!(t.glance.fetch().await.unwrap().head, Some(head.clone()));
    assert_eq!(t.missing(&head).await, 3);
}

#[tokio::test]
async fn a_server_that_does_not_filter_sends_all_and_is_asked_no_more() {
    let t = There::new().await;
    t.github.set_partial_clones("me/app", false).await;
    let head = t.commit(&[("a", "1"), ("b", "2")]).await;
    assert_eq!(t.glance.fetch().await.unwrap().head, Some(head.clone()));
    t.requests();
    assert_eq!(t.read(&head).await, text(&[("a", "1"), ("b", "2")]));
    assert_eq!(t.requests(), (0, 0));
}

#[tokio::test]
async fn from_a_server_that_gives_no_single_objects_all_files_are_fetched() {
    let world = World::new().await;
    let program = world
        .script(
            "git-without-objects",
            "case \"$*\" in *--stdin*origin*) echo 'fatal: Server does not allow request for unadvertised object' >&2; \
             exit 128;; esac\nexec git \"$@\"",
        )
        .await;
    let t = There::through(&Git::new(program)).await;
    t.commit(&[("a", "1")]).await;
    for (n, want) in [("2", [("a", "1"), ("b", "2")]), ("3", [("a", "1"), ("b", "3")])] {
        let head = t.commit(&[("b", n)]).await;
        t.glance.fetch().await.unwrap();
        assert_eq!(t.read(&head).await, text(&want));
    }
    assert!(t.temp.path().join("glance").join(UNFILTERED).exists());
}

#[tokio::test]
async fn a_fetch_brings_no_more_than_its_bound() {
    let mut t = There::new().await;
    // What cannot be packed smaller.
    let noise: String = (0..20_000u64).map(|n| format!("{:x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect();
    let head = t.commit(&[("small", "1"), ("noise", &noise)]).await;
    t.glance.mirror.fetch_bytes = 50_000;
    t.glance.fetch().await.unwrap();
    let oids: Vec<String> = t.glance.files(&head).await.unwrap().files.into_iter().map(|file| file.oid).collect();
    let refused = t.glance.bring(&oids).await;
    assert!(matches!(refused, Err(GitError::TooLarge { .. })), "{refused:?}");
    t.glance.mirror.fetch_bytes = FETCH_BYTES;
    assert_eq!(t.read(&head).await.len(), 2);
}

#[tokio::test]
async fn after_a_force_push_the_old_trees_are_still_there() {
    let t = There::new().await;
    let first = t.commit(&[("a", "1")]).await;
    let dropped = t.commit(&[("a", "2")]).await;
    t.glance.fetch().await.unwrap();
    t.github.reset_branch("me/app", "main", first.as_str()).await;
    let fetched = t.glance.fetch().await.unwrap();
    assert_eq!((fetched.head, fetched.moved), (Some(first.clone()), true));
    assert_eq!(t.glance.changed(&dropped, &first).await.unwrap().len(), 1);
    assert_eq!(t.read(&first).await, text(&[("a", "1")]));
}

#[tokio::test]
async fn one_with_many_packs_is_made_anew() {
    let t = There::new().await;
    let head = t.commit(&[("a", "1")]).await;
    t.glance.fetch().await.unwrap();
    let pack = t.temp.path().join("glance/objects/pack");
    for n in 0..PACKS {
        t.glance.maintain().await.unwrap();
        fs::write(pack.join(format!("pack-{n}.pack")), "").unwrap();
    }
    t.glance.maintain().await.unwrap();
    assert!(!pack.exists());
    let (git, remote) = (&t.glance.mirror.git, (*t.glance.mirror.remote).clone());
    let anew = git.open_glance(t.temp.path().join("glance"), t.temp.path().join("mirror"), remote).await.unwrap();
    assert_eq!(anew.fetch().await.unwrap().head, Some(head));
}

#[tokio::test]
async fn a_folder_of_this_machine_is_looked_at_through_its_mirror() {
    let world = World::new().await;
    let head = world.upstream.commit(&[("a", "1")]).await;
    let remote = Remote::public(world.upstream.dir.to_str().unwrap());
    let glance = world.git.open_glance(world.path("glance"), world.path("mirror"), remote).await.unwrap();
    glance.fetch().await.unwrap();
    assert_eq!(glance.files(&head).await.unwrap().files[0].size, 1);
    assert_eq!(glance.blame(&head, "a", 1).await.unwrap().unwrap().author.name, "Dev");
    assert!(!world.path("glance").exists() && world.path("mirror").exists());
    let whole = world.mirror().await;
    assert!(whole.checkout(&world.path("checkout"), &head, &branch("x")).await.is_ok());
}
