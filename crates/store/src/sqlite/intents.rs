//! Write intents.

use backlog::intent::{IntentState, WriteIntent};
use sqlx::SqlitePool;

use super::failure::{Failure, decode, encode, rows};
use crate::MAX_ROWS;

pub(super) async fn one(db: &SqlitePool, id: &str) -> Result<Option<WriteIntent>, Failure> {
    let data: Option<String> =
        sqlx::query_scalar("SELECT data FROM intents WHERE id = $1").bind(id).fetch_optional(db).await?;
    data.map(|data| decode("write intent", &data)).transpose()
}

/// Writes an intent if it is still as expected, in one statement.
pub(super) async fn swap(
    writer: &SqlitePool,
    expected: Option<&WriteIntent>,
    intent: &WriteIntent,
) -> Result<bool, Failure> {
    let statement = match expected {
        Some(_) => "UPDATE intents SET done = $2, created_at = $3, data = $4 WHERE id = $1 AND data = $5",
        None => "INSERT INTO intents (id, done, created_at, data) VALUES ($1, $2, $3, $4) ON CONFLICT (id) DO NOTHING",
    };
    let query = sqlx::query(statement)
        .bind(&intent.id)
        .bind(i64::from(matches!(intent.state, IntentState::Done { .. })))
        .bind(intent.created_at.0)
        .bind(encode(intent));
    let query = if let Some(expected) = expected { query.bind(encode(expected)) } else { query };
    Ok(query.execute(writer).await?.rows_affected() == 1)
}

/// All but those that exist on the code host, given-up ones included.
pub(super) async fn open(db: &SqlitePool) -> Result<Vec<WriteIntent>, Failure> {
    let found: Vec<String> =
        sqlx::query_scalar("SELECT data FROM intents WHERE done = 0 ORDER BY created_at, id LIMIT $1")
            .bind(rows(0, MAX_ROWS))
            .fetch_all(db)
            .await?;
    found.iter().map(|data| decode("write intent", data)).collect()
}
