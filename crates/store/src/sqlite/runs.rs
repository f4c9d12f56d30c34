//! Runs.

use backlog::names::{RunId, TaskId};
use backlog::run::Run;
use sqlx::{SqliteConnection, SqlitePool};

use super::failure::{Failure, decode, encode, integer, rows};
use crate::MAX_ROWS;

/// Inserts or replaces a run.
pub(super) async fn save(db: &mut SqliteConnection, run: &Run) -> Result<(), Failure> {
    sqlx::query(
        "INSERT INTO runs (id, task, attempt, started_at, finished_at, data, cost) VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (id) DO UPDATE SET started_at = $4, finished_at = $5, data = $6, cost = $7",
    )
    .bind(run.id.as_str())
    .bind(run.id.task().as_str())
    .bind(attempt(&run.id))
    .bind(run.started_at.0)
    .bind(run.finished_at.map(|at| at.0))
    .bind(encode(run))
    .bind(integer(run.usage.cost_micro_usd))
    .execute(db)
    .await?;
    Ok(())
}

pub(super) async fn one(db: &SqlitePool, id: &RunId) -> Result<Option<Run>, Failure> {
    let data: Option<String> =
        sqlx::query_scalar("SELECT data FROM runs WHERE id = $1").bind(id.as_str()).fetch_optional(db).await?;
    data.map(|data| decode("run", &data)).transpose()
}

/// The newest `limit` runs: of a task oldest first, of all newest first.
pub(super) async fn list(db: &SqlitePool, task: Option<&TaskId>, limit: usize) -> Result<Vec<Run>, Failure> {
    let limit = rows(limit, MAX_ROWS);
    let mut found: Vec<String> = match task {
        Some(task) => {
            sqlx::query_scalar("SELECT data FROM runs WHERE task = $1 ORDER BY attempt DESC LIMIT $2")
                .bind(task.as_str())
                .bind(limit)
                .fetch_all(db)
                .await?
        }
        None => {
            sqlx::query_scalar("SELECT data FROM runs ORDER BY started_at DESC, task, attempt DESC LIMIT $1")
                .bind(limit)
                .fetch_all(db)
                .await?
        }
    };
    if task.is_some() {
        found.reverse();
    }
    found.iter().map(|data| decode("run", data)).collect()
}

/// The number at the end of a run's id: text would sort 10 before 2.
fn attempt(id: &RunId) -> i64 {
    id.as_str().rsplit_once('-').and_then(|(_, attempt)| attempt.parse().ok()).unwrap_or(0)
}
