//! Migrations are applied one at a time, with rows in every table before the next one.

use std::path::Path;

use backlog::names::TaskId;
use backlog::task::Stage;
use sqlx::sqlite::SqlitePool;

use crate::contract::sample::{NOW, REPO, at, repo, run, task};
use crate::sqlite::failure::encode;
use crate::sqlite::{SqliteStore, open};
use crate::{EventQuery, JobKind, Store, StoreError, TaskFilter};

/// Rows as the program of that migration wrote them, in every table it knew. `{task}`, `{run}` and so on are filled in
/// by [`fill`]. One entry per migration; what an entry says never changes once its migration was released.
const ROWS: &[&[&[&str]]] =
    &[&[TABLES], &[TABLES, DELIVERIES], &[TABLES, DELIVERIES, READINGS], &[TABLES, DELIVERIES, READINGS]];

const TABLES: &[&str] = &[
    "INSERT INTO tasks (id, repository, source, stage, points, created_at, updated_at, version, search, data)
     VALUES ('{task}', 'acme/app', 'person', 'found', 3, 1767225600000, 1767225600000, 1, '{title}', '{task_json}')",
    "INSERT INTO runs (id, task, attempt, started_at, data)
     VALUES ('{task}-1', '{task}', 1, 1767225600000, '{run_json}')",
    "INSERT INTO jobs (kind, task, repository, rank, run_after)
     VALUES ('run', '{task}', 'acme/app', 3, 1767225600000)",
    "INSERT INTO events (at, repository, task, actor, kind)
     VALUES (1767225600000, 'acme/app', '{task}', '{\"kind\":\"service\"}', '{\"event\":\"added\"}')",
    "INSERT INTO transcripts (run, seq, at, bytes, line) VALUES ('{task}-1', 1, 1767225600000, 3, '{}')",
    "INSERT INTO intents (id, done, created_at, data) VALUES ('{title}', 0, 1767225600000, '{\"id\":\"{title}\",
     \"kind\":\"issue\",\"repository\":\"acme/app\",\"task\":\"{task}\",\"hash\":\"h\",\"sends\":0,
     \"state\":{\"state\":\"planned\"},\"created_at\":1767225600000,\"updated_at\":1767225600000}')",
    "INSERT INTO repositories (name, data) VALUES ('acme/{title}', '{\"name\":\"acme/{title}\",\"path\":null,
     \"default_branch\":\"main\",\"scanned\":null,\"scanned_at\":null,\"parked\":null,\"failures\":0,\"retry_at\":null}')",
    "INSERT INTO notes (space, key, value, expires_at) VALUES ('s', '{title}', 'v', 1767225700000)",
];

const DELIVERIES: &[&str] =
    &["INSERT INTO deliveries (id, at, recovered, subject, updated_at, data) VALUES ('{title}', 1767225600000, 0,
     'acme/app issue 1', 1767225600000, '{\"id\":\"{title}\",\"event\":\"issues.labeled\",\"about\":\"work\",
     \"repository\":\"acme/app\",\"installation\":null,\"sender\":7,\"subject\":\"acme/app issue 1\",
     \"updated_at\":1767225600000}')"];

const READINGS: &[&str] =
    &["INSERT INTO readings (reader, blob, text, at) VALUES ('r', '{title}', 'v', 1767225600000)"];

/// Inserts the sample rows of the `version`-th migration; returns the id of their task.
async fn fill(pool: &SqlitePool, version: usize) -> TaskId {
    let title = format!("migration{version}");
    let task = backlog::task::Task { version: 1, ..task(REPO, &title) };
    for row in ROWS[version - 1].iter().copied().flatten() {
        let row = row
            .replace("{task_json}", &encode(&task))
            .replace("{run_json}", &encode(&run(&task, 1)))
            .replace("{title}", &title)
            .replace("{task}", task.id.as_str());
        sqlx::query(sqlx::AssertSqlSafe(row)).execute(pool).await.unwrap();
    }
    task.id
}

async fn raw(path: &Path) -> SqlitePool {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).create_if_missing(true);
    SqlitePool::connect_with(options).await.unwrap()
}

#[tokio::test]
async fn rows_of_every_age_are_readable() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ccm.db");
    let (pool, migrator) = (raw(&path).await, open::migrations());
    assert_eq!(ROWS.len(), migrator.iter().count(), "each migration has its sample rows");
    let mut tasks = Vec::new();
    for (index, migration) in migrator.iter().enumerate() {
        assert_eq!(migration.version, index as i64 + 1);
        migrator.run_to(migration.version, &pool).await.unwrap();
        tasks.push(fill(&pool, index + 1).await);
    }
    pool.close().await;

    let store = SqliteStore::open(&path).await.unwrap();
    assert_eq!(store.tasks(&TaskFilter::default()).await.unwrap().len(), tasks.len());
    assert_eq!(store.stage_counts().await.unwrap()[0], (Stage::Found, tasks.len() as u64));
    assert_eq!(store.jobs().await.unwrap().len(), tasks.len());
    assert_eq!(store.events(&EventQuery::default()).await.unwrap().len(), tasks.len());
    assert_eq!(store.open_intents().await.unwrap().len(), tasks.len());
    assert_eq!(store.repositories().await.unwrap().len(), tasks.len());
    assert_eq!(store.open_deliveries(0).await.unwrap().len(), tasks.len() - 1);
    for (index, id) in tasks.iter().enumerate() {
        let title = format!("migration{}", index + 1);
        let task = store.task(id).await.unwrap().unwrap();
        assert_eq!((&task.title, &task.repository), (&title, &repo(REPO)));
        let search = TaskFilter { search: Some(title.clone()), ..TaskFilter::default() };
        assert_eq!(store.tasks(&search).await.unwrap(), [task]);
        let runs = store.runs(Some(id), 0).await.unwrap();
        assert_eq!(store.transcript(&runs[0].id, 0, 0).await.unwrap().len(), 1);
        assert_eq!(store.note("s", &title, NOW).await.unwrap().as_deref(), Some("v"));
        let read = store.readings("r", std::slice::from_ref(&title)).await.unwrap();
        assert_eq!(read, if index < 2 { Vec::new() } else { vec![(title.clone(), Some("v".to_owned()))] });
        assert!(store.claim("w", &[JobKind::Run], 99, at(0), at(60)).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ccm.db");
    SqliteStore::open(&path).await.unwrap().close().await;
    let pool = raw(&path).await;
    for version in [998, 999] {
        sqlx::query(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
             VALUES ($1, 'from the future', TRUE, x'00', 0)",
        )
        .bind(version)
        .execute(&pool)
        .await
        .unwrap();
    }
    pool.close().await;
    let refused = SqliteStore::open(&path).await.unwrap_err();
    let StoreError::Newer { path: named, found } = &refused else { panic!("{refused:?}") };
    assert_eq!((named, *found), (&path.display().to_string(), 999));
}

#[tokio::test]
async fn a_migration_that_was_changed_afterwards_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ccm.db");
    SqliteStore::open(&path).await.unwrap().close().await;
    let pool = raw(&path).await;
    sqlx::query("UPDATE _sqlx_migrations SET checksum = x'00'").execute(&pool).await.unwrap();
    pool.close().await;
    let refused = SqliteStore::open(&path).await.unwrap_err();
    assert!(matches!(refused, StoreError::Open { .. }), "{refused:?}");
}
