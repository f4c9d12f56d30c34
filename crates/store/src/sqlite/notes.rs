//! Small values that expire, and tidying up.

use backlog::time::Timestamp;
use sqlx::{SqliteConnection, SqlitePool};

use super::failure::Failure;
use super::open::unsynced;

pub(super) async fn one(db: &SqlitePool, space: &str, key: &str, now: Timestamp) -> Result<Option<String>, Failure> {
    let value = sqlx::query_scalar(
        "SELECT value FROM notes WHERE space = $1 AND key = $2 AND (expires_at IS NULL OR expires_at > $3)",
    )
    .bind(space)
    .bind(key)
    .bind(now.0)
    .fetch_optional(db)
    .await?;
    Ok(value)
}

pub(super) async fn put(
    writer: &SqlitePool,
    space: &str,
    key: &str,
    value: &str,
    expires: Option<Timestamp>,
) -> Result<(), Failure> {
    sqlx::query(
        "INSERT INTO notes (space, key, value, expires_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (space, key) DO UPDATE SET value = $3, expires_at = $4",
    )
    .bind(space)
    .bind(key)
    .bind(value)
    .bind(expires.map(|at| at.0))
    .execute(&mut *unsynced(writer).await?)
    .await?;
    Ok(())
}

/// Writes a note if it is still as expected, in one statement, which is what makes it one of many that wins.
pub(super) async fn swap(
    writer: &SqlitePool,
    (space, key): (&str, &str),
    expected: Option<&str>,
    (value, expires): (&str, Option<Timestamp>),
    now: Timestamp,
) -> Result<bool, Failure> {
    let statement = match expected {
        Some(_) => {
            "UPDATE notes SET value = $3, expires_at = $4 WHERE space = $1 AND key = $2 AND value = $6
             AND (expires_at IS NULL OR expires_at > $5)"
        }
        None => {
            "INSERT INTO notes (space, key, value, expires_at) VALUES ($1, $2, $3, $4)
             ON CONFLICT (space, key) DO UPDATE SET value = $3, expires_at = $4 WHERE expires_at <= $5"
        }
    };
    let query = sqlx::query(statement).bind(space).bind(key).bind(value).bind(expires.map(|at| at.0)).bind(now.0);
    let query = if let Some(expected) = expected { query.bind(expected) } else { query };
    Ok(query.execute(&mut *unsynced(writer).await?).await?.rows_affected() == 1)
}

/// Deletes a note; returns its value unless it had expired.
pub(super) async fn take(
    writer: &SqlitePool,
    space: &str,
    key: &str,
    now: Timestamp,
) -> Result<Option<String>, Failure> {
    // All rows although there is one at most, for the reason given in `jobs::claim`.
    let taken: Vec<(String, Option<i64>)> =
        sqlx::query_as("DELETE FROM notes WHERE space = $1 AND key = $2 RETURNING value, expires_at")
            .bind(space)
            .bind(key)
            .fetch_all(writer)
            .await?;
    let live = |(value, expires): (String, Option<i64>)| expires.is_none_or(|at| at > now.0).then_some(value);
    Ok(taken.into_iter().next().and_then(live))
}

/// Deletes expired notes, transcripts of runs that finished before `keep_after`, and events before it that belong to
/// no task or to a final one.
pub(super) async fn tidy(db: &mut SqliteConnection, now: Timestamp, keep_after: Timestamp) -> Result<(), Failure> {
    sqlx::query("DELETE FROM notes WHERE expires_at <= $1").bind(now.0).execute(&mut *db).await?;
    sqlx::query("DELETE FROM transcripts WHERE run IN (SELECT id FROM runs WHERE finished_at < $1)")
        .bind(keep_after.0)
        .execute(&mut *db)
        .await?;
    sqlx::query(
        "DELETE FROM events WHERE at < $1 AND (task IS NULL OR task IN (SELECT id FROM tasks
         WHERE stage IN ('done', 'rejected', 'obsolete', 'cancelled', 'failed')))",
    )
    .bind(keep_after.0)
    .execute(&mut *db)
    .await?;
    Ok(())
}
