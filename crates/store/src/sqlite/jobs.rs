//! Jobs and their leases.

use backlog::names::TaskId;
use backlog::time::Timestamp;
use sqlx::{FromRow, QueryBuilder, Sqlite, SqliteConnection, SqlitePool};

use super::failure::{Failure, integer, word};
use crate::{Job, JobEnd, JobKind, Lease, MAX_ROWS, NewJob, StoreError};

#[derive(FromRow)]
struct JobRow {
    id: i64,
    kind: String,
    task: String,
    repository: String,
    claims: i64,
    run_after: i64,
    held_by: Option<String>,
    held_until: Option<i64>,
    epoch: i64,
}

impl JobRow {
    fn into_job(self) -> Result<Job, Failure> {
        Ok(Job {
            id: self.id,
            kind: word("kind of job", self.kind)?,
            task: word("task id", self.task)?,
            repository: word("repository name", self.repository)?,
            claims: u32::try_from(self.claims).unwrap_or(u32::MAX),
            run_after: Timestamp(self.run_after),
            held: self.held_by.zip(self.held_until.map(Timestamp)),
            epoch: self.epoch,
        })
    }
}

/// Queues a job unless an open one of its kind exists for its task.
pub(super) async fn enqueue(db: &mut SqliteConnection, job: &NewJob) -> Result<(), Failure> {
    sqlx::query(
        "INSERT INTO jobs (kind, task, repository, rank, run_after) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (task, kind) DO NOTHING",
    )
    .bind(job.kind.as_str())
    .bind(job.task.as_str())
    .bind(job.repository.as_str())
    .bind(job.rank)
    .bind(job.run_after.0)
    .execute(db)
    .await?;
    Ok(())
}

/// Refuses a lease that is over: ended, dropped, or claimed by somebody else since.
///
/// A lease whose time is up but that nobody claimed since still holds: nobody else can have worked on the job.
pub(super) async fn hold(db: &mut SqliteConnection, lease: &Lease) -> Result<(), Failure> {
    let held: i64 =
        sqlx::query_scalar("SELECT count(*) FROM jobs WHERE id = $1 AND epoch = $2 AND held_by IS NOT NULL")
            .bind(lease.job)
            .bind(lease.epoch)
            .fetch_one(db)
            .await?;
    if held == 1 { Ok(()) } else { Err(StoreError::LeaseLost(lease.job).into()) }
}

/// Ends the work on a job whose lease was checked in the same transaction.
pub(super) async fn end(db: &mut SqliteConnection, lease: &Lease, end: &JobEnd) -> Result<(), Failure> {
    match end {
        JobEnd::Done => sqlx::query("DELETE FROM jobs WHERE id = $1").bind(lease.job).execute(db).await?,
        JobEnd::Retry { at, counts } => {
            sqlx::query(
                "UPDATE jobs SET held_by = NULL, held_until = NULL, run_after = $2, claims = claims - $3
                 WHERE id = $1",
            )
            .bind(lease.job)
            .bind(at.0)
            .bind(i64::from(!*counts))
            .execute(db)
            .await?
        }
    };
    Ok(())
}

/// Drops the open jobs of a task, held or not.
pub(super) async fn drop_of(db: &mut SqliteConnection, task: &TaskId) -> Result<(), Failure> {
    sqlx::query("DELETE FROM jobs WHERE task = $1").bind(task.as_str()).execute(db).await?;
    Ok(())
}

/// Claims the best job that is due. One statement, so that no two workers get the same.
pub(super) async fn claim(
    writer: &SqlitePool,
    worker: &str,
    kinds: &[JobKind],
    per_repository: u32,
    now: Timestamp,
    until: Timestamp,
) -> Result<Option<Job>, Failure> {
    if kinds.is_empty() {
        return Ok(None);
    }
    // All rows although there is one at most: only then does the driver step to the statement's end, where SQLite
    // commits and may still fail.
    let mut statement = claim_statement(worker, kinds, per_repository, now, until);
    let claimed: Vec<JobRow> = statement.build_query_as().fetch_all(writer).await?;
    claimed.into_iter().next().map(JobRow::into_job).transpose()
}

pub(super) fn claim_statement(
    worker: &str,
    kinds: &[JobKind],
    per_repository: u32,
    now: Timestamp,
    until: Timestamp,
) -> QueryBuilder<Sqlite> {
    let mut query = QueryBuilder::<Sqlite>::new("UPDATE jobs SET claims = claims + 1, epoch = epoch + 1, held_by = ");
    query.push_bind(worker.to_owned()).push(", held_until = ").push_bind(until.0);
    query.push(" WHERE id = (SELECT due.id FROM jobs AS due WHERE due.run_after <= ").push_bind(now.0);
    query.push(" AND (due.held_until IS NULL OR due.held_until <= ").push_bind(now.0).push(") AND due.kind IN (");
    let mut listed = query.separated(", ");
    for kind in kinds {
        listed.push_bind(kind.as_str());
    }
    query
        .push(") AND (SELECT count(*) FROM jobs AS held WHERE held.repository = due.repository AND held.held_until > ");
    query.push_bind(now.0).push(") < ").push_bind(i64::from(per_repository));
    query.push(" ORDER BY due.rank DESC, due.run_after, due.id LIMIT 1)");
    query.push(" RETURNING id, kind, task, repository, claims, run_after, held_by, held_until, epoch");
    query
}

pub(super) async fn renew(writer: &SqlitePool, lease: &Lease, until: Timestamp) -> Result<(), Failure> {
    let renewed = sqlx::query("UPDATE jobs SET held_until = $3 WHERE id = $1 AND epoch = $2 AND held_by IS NOT NULL")
        .bind(lease.job)
        .bind(lease.epoch)
        .bind(until.0)
        .execute(writer)
        .await?;
    if renewed.rows_affected() == 1 { Ok(()) } else { Err(StoreError::LeaseLost(lease.job).into()) }
}

pub(super) async fn list(db: &SqlitePool) -> Result<Vec<Job>, Failure> {
    let found: Vec<JobRow> = sqlx::query_as(
        "SELECT id, kind, task, repository, claims, run_after, held_by, held_until, epoch FROM jobs
         ORDER BY rank DESC, run_after, id LIMIT $1",
    )
    .bind(integer(MAX_ROWS as u64))
    .fetch_all(db)
    .await?;
    found.into_iter().map(JobRow::into_job).collect()
}

/// Ends the leases of workers whose name begins with `prefix`. A job that was claimed by a clock ahead of `now` is
/// due at once, too.
pub(super) async fn release(writer: &SqlitePool, prefix: &str, now: Timestamp) -> Result<u64, Failure> {
    let released = sqlx::query(
        "UPDATE jobs SET held_by = NULL, held_until = NULL,
         run_after = CASE WHEN run_after > $2 THEN $2 ELSE run_after END
         WHERE substr(held_by, 1, length($1)) = $1",
    )
    .bind(prefix)
    .bind(now.0)
    .execute(writer)
    .await?;
    Ok(released.rows_affected())
}
