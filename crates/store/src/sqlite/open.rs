//! Opening a database: engine, file, settings, migrations.

use std::io;
use std::path::Path;
use std::time::Duration;

use sqlx::migrate::{Migrate, MigrateError, Migration, MigrationType, Migrator};
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection, SqlSafeStr, Sqlite, SqliteConnection};

use super::failure::is_disk_full;
use crate::StoreError;

/// The first SQLite without the bug by which a reset of the write-ahead log can corrupt the database.
const OLDEST_ENGINE: [u32; 3] = [3, 51, 3];
/// How long a statement waits for another process that holds the database, such as a backup.
const BUSY: Duration = Duration::from_secs(5);
/// How long a caller waits for a connection.
const QUEUE: Duration = Duration::from_secs(30);
/// Connections that read.
const READERS: u32 = 4;

/// The migrations, oldest first. An entry never changes once it was released: add the next one.
pub(super) fn migrations() -> Migrator {
    let list = [
        (1, "tables", include_str!("../../migrations/0001_tables.sql")),
        (2, "deliveries", include_str!("../../migrations/0002_deliveries.sql")),
        (3, "readings", include_str!("../../migrations/0003_readings.sql")),
        (4, "spent", include_str!("../../migrations/0004_spent.sql")),
    ];
    let migration = |(version, name, sql): (i64, &'static str, &'static str)| {
        Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    Migrator::with_migrations(list.map(migration).to_vec())
}

/// The writer (one connection) and the readers of the database at `path`, which is made if there is none.
pub(super) async fn open(path: &Path) -> Result<(SqlitePool, SqlitePool), StoreError> {
    let failed = |source: sqlx::Error| {
        if is_disk_full(&source) {
            StoreError::DiskFull(path.parent().unwrap_or(path).display().to_string())
        } else {
            StoreError::Open { path: path.display().to_string(), source }
        }
    };
    check_engine(&engine_version().await.map_err(failed)?)?;
    create(path).await.map_err(|error| failed(error.into()))?;
    let writer = writer(path).await.map_err(failed)?;
    migrate(&writer, path).await?.map_err(failed)?;
    Ok((writer, readers(path)))
}

async fn engine_version() -> Result<String, sqlx::Error> {
    let mut memory = SqliteConnection::connect("sqlite::memory:").await?;
    sqlx::query_scalar("SELECT sqlite_version()").fetch_one(&mut memory).await
}

/// Refuses an engine older than [`OLDEST_ENGINE`], and one whose version is no version.
pub(super) fn check_engine(version: &str) -> Result<(), StoreError> {
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
    let found: [u32; 3] = std::array::from_fn(|_| numbers.next().unwrap_or(0));
    if found < OLDEST_ENGINE { Err(StoreError::EngineTooOld(version.to_owned())) } else { Ok(()) }
}

/// Makes an empty file that only its owner may read; SQLite gives the same mode to the files beside it. Leaves a file
/// that exists as it is.
async fn create(path: &Path) -> io::Result<()> {
    let mut options = tokio::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    options.mode(0o600);
    match options.open(path).await {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other.map(drop),
    }
}

fn settings(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .busy_timeout(BUSY)
        .foreign_keys(true)
        .synchronous(SqliteSynchronous::Full)
        .pragma("mmap_size", "0")
}

fn pool() -> SqlitePoolOptions {
    // Connections to a file do not age.
    SqlitePoolOptions::new().acquire_timeout(QUEUE).idle_timeout(None).max_lifetime(None)
}

async fn writer(path: &Path) -> Result<SqlitePool, sqlx::Error> {
    pool()
        .max_connections(1)
        // After some errors (full disk, failed read or write) SQLite ends the transaction by itself. The driver still
        // counts it as open then and would refuse the next BEGIN for good: such a connection is replaced.
        .before_acquire(|connection, _| {
            Box::pin(async move {
                if connection.is_in_transaction() {
                    return Ok(false);
                }
                // Whoever had it last may have lowered it, and may have been dropped since.
                sqlx::query("PRAGMA synchronous = FULL").execute(connection).await?;
                Ok(true)
            })
        })
        .connect_with(settings(path).journal_mode(SqliteJournalMode::Wal))
        .await
}

/// The writer for something that may be lost with the machine's power, but not with the process: it does not wait for the
/// disk. What is committed after it with `FULL` takes it along.
pub(super) async fn unsynced(writer: &SqlitePool) -> Result<PoolConnection<Sqlite>, sqlx::Error> {
    let mut connection = writer.acquire().await?;
    sqlx::query("PRAGMA synchronous = NORMAL").execute(&mut *connection).await?;
    Ok(connection)
}

fn readers(path: &Path) -> SqlitePool {
    pool().max_connections(READERS).connect_lazy_with(settings(path).pragma("query_only", "ON"))
}

/// Brings the tables up to date. The outer error is final, the inner one is the database's.
async fn migrate(writer: &SqlitePool, path: &Path) -> Result<Result<(), sqlx::Error>, StoreError> {
    let migrator = migrations();
    match migrator.run(writer).await {
        Ok(()) => Ok(Ok(())),
        Err(MigrateError::VersionMissing(version)) => {
            let found = newest(writer, &migrator).await.unwrap_or(version);
            Err(StoreError::Newer { path: path.display().to_string(), found })
        }
        Err(error) => Ok(Err(error.into())),
    }
}

async fn newest(writer: &SqlitePool, migrator: &Migrator) -> Option<i64> {
    let mut connection = writer.acquire().await.ok()?;
    let applied = connection.list_applied_migrations(&migrator.table_name).await.ok()?;
    applied.last().map(|migration| migration.version)
}
