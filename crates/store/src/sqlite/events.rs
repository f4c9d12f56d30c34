//! Events.

use backlog::event::{Event, NewEvent};
use backlog::time::Timestamp;
use sqlx::{FromRow, QueryBuilder, Sqlite, SqliteConnection, SqlitePool};

use super::failure::{Failure, count, decode, encode, integer, rows, word};
use crate::EventQuery;

/// How many events a query without a limit returns.
const LIMIT: usize = 1_000;

#[derive(FromRow)]
struct EventRow {
    seq: i64,
    at: i64,
    repository: String,
    task: Option<String>,
    actor: String,
    kind: String,
}

impl EventRow {
    fn into_event(self) -> Result<Event, Failure> {
        let event = NewEvent {
            at: Timestamp(self.at),
            repository: word("repository name", self.repository)?,
            task: self.task.map(|task| word("task id", task)).transpose()?,
            actor: decode("actor", &self.actor)?,
            kind: decode("event", &self.kind)?,
        };
        Ok(Event { seq: count(self.seq), event })
    }
}

pub(super) async fn append(db: &mut SqliteConnection, event: NewEvent) -> Result<Event, Failure> {
    let seq: i64 = sqlx::query_scalar(
        "INSERT INTO events (at, repository, task, actor, kind) VALUES ($1, $2, $3, $4, $5) RETURNING seq",
    )
    .bind(event.at.0)
    .bind(event.repository.as_str())
    .bind(event.task.as_ref().map(|task| task.as_str()))
    .bind(encode(&event.actor))
    .bind(encode(&event.kind))
    .fetch_one(db)
    .await?;
    Ok(Event { seq: count(seq), event })
}

pub(super) async fn list(db: &SqlitePool, query: &EventQuery) -> Result<Vec<Event>, Failure> {
    let mut sql = QueryBuilder::<Sqlite>::new("SELECT seq, at, repository, task, actor, kind FROM events WHERE seq > ");
    sql.push_bind(integer(query.after));
    if let Some(task) = &query.task {
        sql.push(" AND task = ").push_bind(task.as_str().to_owned());
    }
    if let Some(repository) = &query.repository {
        sql.push(" AND repository = ").push_bind(repository.as_str().to_owned());
    }
    sql.push(if query.newest_first { " ORDER BY seq DESC LIMIT " } else { " ORDER BY seq LIMIT " });
    let found: Vec<EventRow> = sql.push_bind(rows(query.limit, LIMIT)).build_query_as().fetch_all(db).await?;
    found.into_iter().map(EventRow::into_event).collect()
}
