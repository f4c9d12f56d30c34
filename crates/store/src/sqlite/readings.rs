//! What was kept of files, by their content.

use backlog::time::Timestamp;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection, SqlitePool};

use super::failure::Failure;
use crate::Reading;

/// Blobs in one statement; the engine takes 32,766 values.
const BATCH: usize = 1_000;

/// What `reader` kept of those of `blobs` that it has read.
pub(super) async fn of(
    db: &SqlitePool,
    reader: &str,
    blobs: &[String],
) -> Result<Vec<(String, Option<String>)>, Failure> {
    let mut found = Vec::new();
    for batch in blobs.chunks(BATCH) {
        let mut query = QueryBuilder::<Sqlite>::new("SELECT blob, text FROM readings WHERE reader = ");
        query.push_bind(reader).push(" AND blob IN (");
        let mut list = query.separated(", ");
        for blob in batch {
            list.push_bind(blob);
        }
        query.push(")");
        found.extend(query.build_query_as::<(String, Option<String>)>().fetch_all(db).await?);
    }
    Ok(found)
}

/// Remembers what was kept.
pub(super) async fn put(db: &mut SqliteConnection, readings: &[Reading], at: Timestamp) -> Result<(), Failure> {
    for batch in readings.chunks(BATCH) {
        let mut query = QueryBuilder::<Sqlite>::new("INSERT INTO readings (reader, blob, text, at) ");
        query.push_values(batch, |mut row, Reading { reader, blob, text }| {
            row.push_bind(reader).push_bind(blob).push_bind(text).push_bind(at.0);
        });
        query.push(" ON CONFLICT (reader, blob) DO UPDATE SET text = excluded.text, at = excluded.at");
        query.build().execute(&mut *db).await?;
    }
    Ok(())
}

/// Forgets the oldest beyond `most`.
pub(super) async fn tidy(db: &mut SqliteConnection, most: usize) -> Result<(), Failure> {
    let count: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM readings").fetch_one(&mut *db).await?;
    let beyond = count.saturating_sub(i64::try_from(most).unwrap_or(i64::MAX));
    if beyond > 0 {
        sqlx::query(
            "DELETE FROM readings WHERE (reader, blob) IN
             (SELECT reader, blob FROM readings ORDER BY at, reader, blob LIMIT $1)",
        )
        .bind(beyond)
        .execute(&mut *db)
        .await?;
    }
    Ok(())
}
