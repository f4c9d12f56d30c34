//! What only the embedded database promises; the rest is in `contract`.

mod broken;
mod migrations;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use backlog::time::Timestamp;
use tempfile::TempDir;

use super::SqliteStore;
use crate::contract::sample::{NOW, REPO, stored, task};
use crate::{JobKind, Reading, Store, StoreError};

/// An empty store in a folder of its own.
pub(super) async fn open() -> (Arc<dyn Store>, TempDir) {
    let (store, folder) = open_plain().await;
    (Arc::new(store), folder)
}

pub(super) async fn open_plain() -> (SqliteStore, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("ccm.db")).await.unwrap();
    (store, folder)
}

mod stories {
    crate::contract::contract!(crate::sqlite::tests::open);
}

#[tokio::test]
async fn a_store_is_found_again() {
    let (store, folder) = open_plain().await;
    let task = stored(&store, task(REPO, "one")).await;
    store.close().await;
    let again = SqliteStore::open(&folder.path().join("ccm.db")).await.unwrap();
    assert_eq!(again.task(&task.id).await.unwrap(), Some(task));
}

#[tokio::test]
async fn so_many_deliveries_are_remembered() {
    use backlog::delivery::{About, Delivery};
    let (store, _folder) = open_plain().await;
    for n in 0..5 {
        let (id, event, subject) = (n.to_string(), "ping".to_owned(), String::new());
        let delivery =
            Delivery { id, event, about: About::Nothing, installation: None, sender: None, subject, updated_at: None };
        store.put_deliveries(&[delivery], Timestamp(NOW.0 + n), false).await.unwrap();
    }
    store.end_deliveries(&["0", "1", "2", "3"].map(str::to_owned)).await.unwrap();
    let mut transaction = store.begin().await.unwrap();
    super::deliveries::tidy(&mut transaction, NOW, 2).await.unwrap();
    transaction.commit().await.unwrap();
    for (id, known) in [("0", false), ("1", false), ("2", true), ("3", true), ("4", true)] {
        assert_eq!(store.knows_delivery(id).await.unwrap(), known, "{id}");
    }
}

#[tokio::test]
async fn beyond_the_bound_the_oldest_readings_are_forgotten() {
    let (store, _folder) = open_plain().await;
    for second in 0..5 {
        let read = Reading { reader: "r".to_owned(), blob: second.to_string(), text: None };
        store.put_readings(&[read], Timestamp(NOW.0 + second)).await.unwrap();
    }
    let mut transaction = store.begin().await.unwrap();
    for _ in 0..2 {
        super::readings::tidy(&mut transaction, 2).await.unwrap();
    }
    transaction.commit().await.unwrap();
    let blobs: Vec<String> = (0..5).map(|n| n.to_string()).collect();
    assert_eq!(store.readings("r", &blobs).await.unwrap(), [("3".to_owned(), None), ("4".to_owned(), None)]);
}

#[tokio::test]
async fn connections_are_set_up_to_survive_a_crash() {
    let (store, _folder) = open_plain().await;
    // What does not wait for the disk must not lower the others.
    assert!(store.swap_note(("space", "key"), None, "value", None, NOW).await.unwrap());
    let read = Reading { reader: "r".to_owned(), blob: "b".to_owned(), text: None };
    store.put_readings(&[read], NOW).await.unwrap();
    for (pool, only_reads) in [(&store.writer, 0), (&store.readers, 1)] {
        let pragma = async |sql: &'static str| sqlx::query_scalar::<_, i64>(sql).fetch_one(pool).await.unwrap();
        assert_eq!(pragma("PRAGMA synchronous").await, 2, "FULL");
        assert_eq!(pragma("PRAGMA foreign_keys").await, 1);
        assert_eq!(pragma("PRAGMA busy_timeout").await, 5_000);
        assert_eq!(pragma("PRAGMA query_only").await, only_reads);
        let mode: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(pool).await.unwrap();
        assert_eq!(mode, "wal");
        let mapped: Option<i64> = sqlx::query_scalar("PRAGMA mmap_size").fetch_optional(pool).await.unwrap();
        assert_eq!(mapped.unwrap_or(0), 0);
    }
    assert_eq!((store.writer.options().get_max_connections(), store.readers.options().get_max_connections()), (1, 4));
}

/// Two processes are two stores over one file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_processes_that_swap_the_same_note_exactly_one_wins() {
    let (one, folder) = open_plain().await;
    let two = SqliteStore::open(&folder.path().join("ccm.db")).await.unwrap();
    let (one, two): (Arc<dyn Store>, Arc<dyn Store>) = (Arc::new(one), Arc::new(two));
    let mut present: Option<String> = None;
    for round in 0..20 {
        let swap = |store: &Arc<dyn Store>, who: &str| {
            let (store, expected, value) = (Arc::clone(store), present.clone(), format!("{round} {who}"));
            tokio::spawn(async move {
                store.swap_note(("g", "k"), expected.as_deref(), &value, None, NOW).await.unwrap().then_some(value)
            })
        };
        let (first, second) = (swap(&one, "one"), swap(&two, "two"));
        let winners = [first.await.unwrap(), second.await.unwrap()];
        let winners: Vec<String> = winners.into_iter().flatten().collect();
        assert_eq!(winners.len(), 1, "round {round}");
        assert_eq!(one.note("g", "k", NOW).await.unwrap().as_ref(), winners.first());
        present = winners.into_iter().next();
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_new_database_is_the_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let (store, folder) = open_plain().await;
    stored(&store, task(REPO, "one")).await;
    let mut files = 0;
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", file.file_name());
        files += 1;
    }
    assert_eq!(files, 3, "the database, its log and the log's index");
}

#[tokio::test]
async fn readers_do_not_wait_for_a_writer() {
    let (store, _folder) = open_plain().await;
    let task = stored(&store, task(REPO, "one")).await;
    let writing = store.begin().await.unwrap();
    assert_eq!(store.task(&task.id).await.unwrap(), Some(task));
    drop(writing);
}

#[tokio::test]
async fn a_probe_gives_up_on_a_stuck_writer() {
    let (store, _folder) = open_plain().await;
    let stuck = store.begin().await.unwrap();
    let late = store.probe(Duration::from_millis(20)).await.unwrap_err();
    assert!(
        matches!(&late, StoreError::Database(sqlx::Error::Io(error)) if error.kind() == std::io::ErrorKind::TimedOut)
    );
    drop(stuck);
    store.probe(Duration::from_secs(30)).await.unwrap();
}

#[tokio::test]
async fn a_claim_walks_the_queue_in_its_order() {
    let (store, _folder) = open_plain().await;
    let statement = super::jobs::claim_statement("w", &JobKind::ALL, 1, NOW, NOW);
    let explain = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {}", statement.sql().as_str()));
    let plan: Vec<(i64, i64, i64, String)> = sqlx::query_as(explain).fetch_all(&store.writer).await.unwrap();
    let plan: Vec<_> = plan.into_iter().map(|(_, _, _, step)| step).collect();
    assert!(plan.contains(&"SCAN due USING INDEX jobs_by_rank".to_owned()), "{plan:?}");
    assert!(!plan.iter().any(|step| step.contains("TEMP B-TREE")), "every claim would sort all jobs: {plan:?}");
}

#[tokio::test]
async fn a_damaged_value_is_named() {
    let (store, _folder) = open_plain().await;
    let task = stored(&store, task(REPO, "one")).await;
    sqlx::query("UPDATE tasks SET data = '{'").execute(&store.writer).await.unwrap();
    assert!(matches!(store.task(&task.id).await, Err(StoreError::Corrupt { what: "task", .. })));
}

#[test]
fn an_old_engine_is_refused() {
    for (version, good) in [
        ("3.51.3", true),
        ("3.51.10", true),
        ("3.52.0", true),
        ("4.0", true),
        ("3.51.2", false),
        ("3.9.99", false),
        ("", false),
    ] {
        assert_eq!(super::open::check_engine(version).is_ok(), good, "{version}");
    }
}

#[tokio::test]
async fn what_cannot_be_opened_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text");
    std::fs::write(&text, "This is a letter to grandmother, and no database at all.".repeat(100)).unwrap();
    let cases: [(&Path, &str); 3] = [
        (&text, "file is not a database"),
        (&folder.path().join("missing/ccm.db"), "No such file or directory"),
        (folder.path(), "unable to open database file"),
    ];
    for (path, why) in cases {
        let refused = SqliteStore::open(path).await.unwrap_err();
        let StoreError::Open { path: named, source } = &refused else { panic!("{refused:?}") };
        assert_eq!(named, &path.display().to_string());
        assert!(source.to_string().contains(why), "{source}");
    }
    let kept = std::fs::read_to_string(&text).unwrap();
    assert!(kept.starts_with("This is a letter"), "a file that is no database is left alone");
}
