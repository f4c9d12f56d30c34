//! What goes wrong inside a statement, before it is known which database it was; and values as text.

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::StoreError;

/// An error on its way out of a statement.
#[derive(Debug)]
pub(super) enum Failure {
    /// Finished: the caller branches on it.
    Store(StoreError),
    /// The database's own; [`Failure::at`] tells the full disk apart.
    Database(sqlx::Error),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

impl Failure {
    /// The error that callers see, of the database at `path`.
    pub(super) fn at(self, path: &Path) -> StoreError {
        match self {
            Self::Store(error) => error,
            Self::Database(error) if is_disk_full(&error) => {
                StoreError::DiskFull(path.parent().unwrap_or(path).display().to_string())
            }
            Self::Database(error) => StoreError::Database(error),
        }
    }
}

/// `SQLITE_FULL`, to which SQLite also maps a write that the system refuses with `ENOSPC`.
const FULL: i32 = 13;
/// `SQLITE_IOERR_SHMSIZE`: the index of the write-ahead log cannot grow; the disk is full when it is opened.
const SHARED_MEMORY_SIZE: i32 = 4874;

pub(super) fn is_disk_full(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(error) => error
            .code()
            .and_then(|code| code.parse::<i32>().ok())
            .is_some_and(|code| code & 0xff == FULL || code == SHARED_MEMORY_SIZE),
        sqlx::Error::Io(error) => error.kind() == std::io::ErrorKind::StorageFull,
        sqlx::Error::Migrate(error) => match error.as_ref() {
            sqlx::migrate::MigrateError::Execute(error) | sqlx::migrate::MigrateError::ExecuteMigration(error, _) => {
                is_disk_full(error)
            }
            _ => false,
        },
        _ => false,
    }
}

/// A value as JSON.
pub(super) fn encode(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("the backlog's types are plain data, which always has a JSON form")
}

/// A `what` from its JSON.
pub(super) fn decode<T: DeserializeOwned>(what: &'static str, json: &str) -> Result<T, Failure> {
    serde_json::from_str(json).map_err(|source| StoreError::Corrupt { what, source }.into())
}

/// A `what` whose JSON is a string, from that string: a name, a stage, a kind of job.
pub(super) fn word<T: DeserializeOwned>(what: &'static str, text: String) -> Result<T, Failure> {
    serde_json::from_value(serde_json::Value::String(text))
        .map_err(|source| StoreError::Corrupt { what, source }.into())
}

/// A count as the database's integer; saturates.
pub(super) fn integer(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// The database's integer as a count; a negative one, which no statement writes, is 0.
pub(super) fn count(integer: i64) -> u64 {
    u64::try_from(integer).unwrap_or(0)
}

/// How many rows to ask for: `limit`, or `default` when it is 0, and never above [`crate::MAX_ROWS`].
pub(super) fn rows(limit: usize, default: usize) -> i64 {
    let limit = if limit == 0 { default } else { limit };
    integer(limit.min(crate::MAX_ROWS) as u64)
}
