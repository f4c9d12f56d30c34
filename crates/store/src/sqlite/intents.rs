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

pub(super) async fn put(writer: &SqlitePool, intent: &WriteIntent) -> Result<(), Failure> {
    sqlx::query(
        "INSERT INTO intents (id, done, created_at, data) VALUES ($1, $2, $3, $4)
         ON CONFLICT (id) DO UPDATE SET done = $2, created_at = $3, data = $4",
    )
    .bind(&intent.id)
    .bind(i64::from(matches!(intent.state, IntentState::Done { .. })))
    .bind(intent.created_at.0)
    .bind(encode(intent))
    .execute(writer)
    .await?;
    Ok(())
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
