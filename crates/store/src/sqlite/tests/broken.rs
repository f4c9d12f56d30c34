//! Full disks and connections that SQLite has reset.

use super::open_plain;
use crate::contract::sample::{NOW, REPO, at, claim, run, stored, task};
use crate::sqlite::SqliteStore;
use crate::{Commit, JobKind, Store, StoreError, TaskFilter};

/// Sets how many pages the writer's connection may fill; at least those that the database has.
async fn allow_pages(store: &SqliteStore, pages: i64) {
    let sql = sqlx::AssertSqlSafe(format!("PRAGMA max_page_count = {pages}"));
    sqlx::query(sql).execute(&store.writer).await.unwrap();
}

#[tokio::test]
async fn a_full_disk_loses_nothing_and_can_be_mended() {
    let (store, folder) = open_plain().await;
    let first = crate::contract::sample::queued(&store, "first", JobKind::Run).await;
    let pages: i64 = sqlx::query_scalar("PRAGMA page_count").fetch_one(&store.writer).await.unwrap();
    allow_pages(&store, pages + 30).await;

    let mut written = vec![first.id.clone()];
    let refused = loop {
        assert!(written.len() < 1_000, "the bound was never reached");
        let mut task = task(REPO, &format!("number {}", written.len()));
        task.body = "long ".repeat(2_000);
        let (id, runs) = (task.id.clone(), vec![run(&task, 1)]);
        match store.commit(Commit { tasks: vec![task], runs, ..Commit::default() }).await {
            Ok(_) => written.push(id),
            Err(refused) => break refused,
        }
    };
    let named = folder.path().display().to_string();
    assert!(matches!(&refused, StoreError::DiskFull(place) if *place == named), "{refused:?}");

    // SQLite ended that transaction by itself, so the connection was replaced: its limit has to be set again.
    allow_pages(&store, 1).await;
    let long = vec!["x".repeat(1_000_000)];
    let again = store.append_transcript(&run(&first, 1).id, NOW, &long).await;
    assert!(matches!(again, Err(StoreError::DiskFull(_))), "{again:?}");
    assert_eq!(store.task(&first.id).await.unwrap(), Some(first.clone()), "earlier data can be read");
    assert_eq!(store.runs(None, 0).await.unwrap().len(), written.len() - 1, "the refused commit left no part");

    allow_pages(&store, 1_000_000).await;
    store.append_transcript(&run(&first, 1).id, NOW, &long).await.unwrap();
    assert!(claim(&store, "w", 0).await.is_some());
    let last = stored(&store, task(REPO, "last")).await;
    written.push(last.id);
    let mut read: Vec<_> = store.tasks(&TaskFilter::default()).await.unwrap().into_iter().map(|task| task.id).collect();
    read.sort();
    written.sort();
    assert_eq!(read, written);
}

#[tokio::test]
async fn a_transaction_that_sqlite_ended_by_itself_does_not_block_the_writer() {
    let (store, _folder) = open_plain().await;
    let mut transaction = store.begin().await.unwrap();
    sqlx::query("ROLLBACK").execute(&mut *transaction).await.unwrap();
    drop(transaction);
    let task = stored(&store, task(REPO, "one")).await;
    assert_eq!(task.version, 1);
    store.put_note("s", "k", "v", Some(at(1))).await.unwrap();
}

#[tokio::test]
async fn an_abandoned_transaction_is_rolled_back() {
    let (store, _folder) = open_plain().await;
    let mut transaction = store.begin().await.unwrap();
    sqlx::query("INSERT INTO notes (space, key, value) VALUES ('s', 'k', 'v')")
        .execute(&mut *transaction)
        .await
        .unwrap();
    drop(transaction);
    store.put_note("s", "other", "v", None).await.unwrap();
    assert_eq!(store.note("s", "k", NOW).await.unwrap(), None);
    assert_eq!(store.note("s", "other", NOW).await.unwrap().as_deref(), Some("v"));
}
