//! Tasks.

use std::collections::BTreeMap;

use backlog::expect::Worked;
use backlog::names::{RepoName, TaskId};
use backlog::room::{Candidate, Waiting};
use backlog::task::{Stage, Task};
use backlog::time::Timestamp;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection, SqlitePool};

use super::failure::{Failure, count, decode, encode, integer, rows, word};
use crate::{MAX_ROWS, SEARCH_CHARS, StoreError, TaskFilter};

/// Inserts a task of version 0, updates one of a greater version; either way it is stored with the next version.
pub(super) async fn save(db: &mut SqliteConnection, mut task: Task) -> Result<(), Failure> {
    let loaded = integer(task.version);
    task.version += 1;
    let statement = if loaded == 0 {
        "INSERT INTO tasks (id, repository, source, stage, points, created_at, updated_at, search, data, version, kind)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10 + 1, $11) ON CONFLICT (id) DO NOTHING"
    } else {
        "UPDATE tasks SET repository = $2, source = $3, stage = $4, points = $5, created_at = $6, updated_at = $7,
         search = $8, data = $9, version = $10 + 1, kind = $11 WHERE id = $1 AND version = $10"
    };
    let written = sqlx::query(statement)
        .bind(task.id.as_str())
        .bind(task.repository.as_str())
        .bind(task.source.to_string())
        .bind(task.state.stage().as_str())
        .bind(task.score.points)
        .bind(task.created_at.0)
        .bind(task.updated_at.0)
        .bind(folded(&format!("{}\u{1f}{}", task.title, task.body)))
        .bind(encode(&task))
        .bind(loaded)
        .bind(&task.kind)
        .execute(db)
        .await?;
    if written.rows_affected() == 1 { Ok(()) } else { Err(StoreError::Conflict(task.id).into()) }
}

pub(super) async fn one(db: &SqlitePool, id: &TaskId) -> Result<Option<Task>, Failure> {
    let data: Option<String> =
        sqlx::query_scalar("SELECT data FROM tasks WHERE id = $1").bind(id.as_str()).fetch_optional(db).await?;
    data.map(|data| decode("task", &data)).transpose()
}

pub(super) async fn list(db: &SqlitePool, filter: &TaskFilter) -> Result<Vec<Task>, Failure> {
    let mut query = QueryBuilder::<Sqlite>::new("SELECT data FROM tasks WHERE TRUE");
    if !filter.stages.is_empty() {
        let mut stages = query.push(" AND stage IN (").separated(", ");
        for stage in &filter.stages {
            stages.push_bind(stage.as_str());
        }
        query.push(")");
    }
    if let Some(repository) = &filter.repository {
        query.push(" AND repository = ").push_bind(repository.as_str().to_owned());
    }
    if let Some(owner) = &filter.owner {
        // All that begins with `owner/`: `0` is the character after the slash.
        query.push(" AND repository >= ").push_bind(format!("{owner}/"));
        query.push(" AND repository < ").push_bind(format!("{owner}0"));
    }
    if let Some(search) = &filter.search {
        query.push(" AND search LIKE ").push_bind(containing(search)).push(r" ESCAPE '\'");
    }
    query.push(" ORDER BY points DESC, created_at, id LIMIT ").push_bind(rows(filter.limit, MAX_ROWS));
    let found: Vec<String> = query.build_query_scalar().fetch_all(db).await?;
    found.iter().map(|data| decode("task", data)).collect()
}

pub(super) async fn waiting(db: &SqlitePool, owner: &str, of_each: usize) -> Result<Vec<Waiting>, Failure> {
    // All that begins with `owner/`, as in `list`.
    let (from, to) = (format!("{owner}/"), format!("{owner}0"));
    let counts: Vec<(String, String, i64)> = sqlx::query_as(
        "SELECT repository, stage, count(*) FROM tasks WHERE repository >= $1 AND repository < $2
         AND stage IN ('found', 'proposed', 'in_review') GROUP BY repository, stage",
    )
    .bind(&from)
    .bind(&to)
    .fetch_all(db)
    .await?;
    let mut all: BTreeMap<RepoName, Waiting> = BTreeMap::new();
    for (repository, stage, tasks) in counts {
        let repository: RepoName = word("repository", repository)?;
        let empty = || Waiting { repository: repository.clone(), proposed: 0, pulls: 0, found: Vec::new() };
        let here = all.entry(repository.clone()).or_insert_with(empty);
        match word("stage", stage)? {
            Stage::Proposed => here.proposed = count(tasks) as usize,
            Stage::InReview => here.pulls = count(tasks) as usize,
            _ => {}
        }
    }
    let best: Vec<(String, String, i64, i64)> = sqlx::query_as(
        "SELECT repository, id, points, created_at FROM (SELECT repository, id, points, created_at, row_number() OVER
         (PARTITION BY repository ORDER BY points DESC, created_at / 86400000, id) AS place
         FROM tasks WHERE stage = 'found' AND repository >= $1 AND repository < $2) WHERE place <= $3",
    )
    .bind(&from)
    .bind(&to)
    .bind(rows(of_each, MAX_ROWS))
    .fetch_all(db)
    .await?;
    for (repository, id, points, created_at) in best {
        let candidate = Candidate { id: word("task", id)?, points, created_at: Timestamp(created_at) };
        all.get_mut(&word("repository", repository)?).into_iter().for_each(|here| here.found.push(candidate.clone()));
    }
    Ok(all.into_values().collect())
}

/// What an agent worked on and has ended, newest first.
pub(super) async fn worked(db: &SqlitePool, limit: usize) -> Result<Vec<Worked>, Failure> {
    let found: Vec<(String, String, String, i64, i64)> = sqlx::query_as(
        "SELECT t.source, t.kind, t.stage, sum(r.cost), sum(coalesce(r.finished_at, r.started_at) - r.started_at)
         FROM tasks t JOIN runs r ON r.task = t.id WHERE t.stage IN ('done', 'failed', 'rejected')
         GROUP BY t.id, t.source, t.kind, t.stage, t.updated_at ORDER BY t.updated_at DESC, t.id LIMIT $1",
    )
    .bind(rows(limit, MAX_ROWS))
    .fetch_all(db)
    .await?;
    let one = |(source, kind, stage, cost, millis): (String, String, String, i64, i64)| {
        let merged = stage == Stage::Done.as_str();
        Ok(Worked { source: word("source", source)?, kind, merged, cost_micro_usd: count(cost), millis: count(millis) })
    };
    found.into_iter().map(one).collect()
}

/// Every stage in the order of the board, also those without tasks.
pub(super) async fn stage_counts(db: &SqlitePool) -> Result<Vec<(Stage, u64)>, Failure> {
    let found: Vec<(String, i64)> =
        sqlx::query_as("SELECT stage, count(*) FROM tasks GROUP BY stage").fetch_all(db).await?;
    let mut counts = Stage::ALL.map(|stage| (stage, 0));
    for (stage, tasks) in found {
        let stage: Stage = word("stage", stage)?;
        counts.iter_mut().filter(|(known, _)| *known == stage).for_each(|(_, counted)| *counted = count(tasks));
    }
    Ok(counts.to_vec())
}

/// Text as it is searched: in lower case, and without NUL, which ends a text for some databases.
fn folded(text: &str) -> String {
    text.to_lowercase().replace('\0', " ")
}

/// The pattern of texts that contain `search`, letter by letter.
fn containing(search: &str) -> String {
    let mut pattern = String::from("%");
    for c in folded(search).chars().take(SEARCH_CHARS) {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}
