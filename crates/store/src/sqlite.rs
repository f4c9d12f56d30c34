//! The embedded database.
//!
//! **Definition.** [`SqliteStore`] keeps everything in one SQLite file in WAL mode, with `synchronous = FULL`: what a
//! method has returned survives a crash of the machine. Notes, readings and the rows of watched repositories survive one of
//! the process, and are forgotten or as before when the machine loses its power at once: each can be made anew from what the
//! code hosts show, and a look at a repository would else wait for the disk a dozen times.
//!
//! **Wanted properties.** Writers never wait for readers nor see `SQLITE_BUSY` from each other; a full disk or a
//! cancelled caller leaves the store usable; events are told in the order of their numbers.
//!
//! **Design.** One connection writes (a pool of one is the queue in front of it) and begins with `BEGIN IMMEDIATE`, so
//! that no transaction reads first and then fails to write; four connections read. One file per topic holds the SQL,
//! in the subset that PostgreSQL shares; engine, settings and migrations are in `open`.
//!
//! **Known races.**
//! - A caller that goes away in the middle of [`Store::commit`]: the commit goes on in its own task to the end and its
//!   events are told. Harmless.
//! - A caller that goes away in the middle of [`Store::claim`]: the job may stay held by nobody until the lease ends.
//!   Accepted: it costs one lease's time and one claim.
//! - A transcript line is told after it was stored, maybe later than the line after it. Harmless: listeners read on
//!   from the last line they have.

mod deliveries;
mod events;
mod failure;
mod intents;
mod jobs;
mod notes;
mod open;
mod readings;
mod repositories;
mod runs;
mod tasks;
mod transcripts;

#[cfg(test)]
mod tests;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use backlog::delivery::Delivery;
use backlog::event::Event;
use backlog::expect::Worked;
use backlog::intent::WriteIntent;
use backlog::names::{RepoName, RunId, TaskId};
use backlog::room::Waiting;
use backlog::run::Run;
use backlog::task::{Stage, Task};
use backlog::time::Timestamp;
use sqlx::sqlite::SqlitePool;
use sqlx::{Connection as _, Sqlite, SqliteConnection, Transaction};
use tokio::sync::{Mutex, broadcast};

use self::failure::Failure;
use crate::{
    Change, Commit, DELIVERIES_KEPT, DeliveryCounts, EventQuery, Job, JobKind, Lease, OpenDelivery, READINGS_KEPT,
    Reading, Repository, Store, StoreError, TaskFilter, TranscriptLine,
};

/// How many changes a listener may lag behind before it loses the oldest.
const CHANGES: usize = 1_024;

/// A store in one SQLite file. Clones share it.
#[derive(Clone, Debug)]
pub struct SqliteStore {
    path: Arc<Path>,
    writer: SqlitePool,
    readers: SqlitePool,
    /// Held from a commit's first statement until its events were told, so that they are told in their order.
    telling: Arc<Mutex<()>>,
    changes: broadcast::Sender<Change>,
}

impl SqliteStore {
    /// Opens the database at `path` and brings its tables up to date. A new file is made readable by its owner only;
    /// its folder has to exist.
    ///
    /// # Errors
    /// [`StoreError::EngineTooOld`], [`StoreError::Newer`], [`StoreError::DiskFull`], and [`StoreError::Open`] when
    /// the file cannot be made or read or is no database.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let (writer, readers) = open::open(path).await?;
        let (changes, _) = broadcast::channel(CHANGES);
        Ok(Self { path: path.into(), writer, readers, telling: Arc::default(), changes })
    }

    /// Writes a copy of the database as it is now to the file `to`, which must not be there yet, and closes it.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`], [`StoreError::Database`].
    pub async fn copy(self, to: &Path) -> Result<(), StoreError> {
        let copied = sqlx::query("VACUUM INTO $1").bind(to.to_string_lossy()).execute(&self.writer).await;
        let copied = self.told(copied.map(drop).map_err(Failure::from));
        self.close().await;
        copied
    }

    /// Waits for the statements under way, then closes the file; every later call fails.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    async fn begin(&self) -> Result<Transaction<'static, Sqlite>, Failure> {
        Ok(self.writer.begin_with("BEGIN IMMEDIATE").await?)
    }

    async fn commit_and_tell(&self, commit: Commit) -> Result<Vec<Event>, Failure> {
        let _telling = self.telling.lock().await;
        let mut transaction = self.begin().await?;
        let events = apply(&mut transaction, commit).await?;
        transaction.commit().await?;
        for event in &events {
            self.tell(Change::Event(Box::new(event.clone())));
        }
        Ok(events)
    }

    async fn write_run(&self, lease: &Lease, run: &Run) -> Result<(), Failure> {
        let mut transaction = self.begin().await?;
        jobs::hold(&mut transaction, lease).await?;
        runs::save(&mut transaction, run).await?;
        Ok(transaction.commit().await?)
    }

    async fn write_transcript(&self, run: &RunId, at: Timestamp, lines: &[String]) -> Result<(), Failure> {
        let mut transaction = self.begin().await?;
        let written = transcripts::append(&mut transaction, run, at, lines).await?;
        transaction.commit().await?;
        if written {
            self.tell(Change::Transcript(run.clone()));
        }
        Ok(())
    }

    async fn delete_old(&self, now: Timestamp, keep_after: Timestamp) -> Result<(), Failure> {
        let mut transaction = self.begin().await?;
        notes::tidy(&mut transaction, now, keep_after).await?;
        deliveries::tidy(&mut transaction, now, DELIVERIES_KEPT).await?;
        readings::tidy(&mut transaction, READINGS_KEPT).await?;
        Ok(transaction.commit().await?)
    }

    async fn write_deliveries(
        &self,
        deliveries: &[Delivery],
        at: Timestamp,
        recovered: bool,
    ) -> Result<Vec<bool>, Failure> {
        let mut transaction = self.begin().await?;
        let new = deliveries::put(&mut transaction, deliveries, at, recovered).await?;
        transaction.commit().await?;
        Ok(new)
    }

    async fn write_readings(&self, read: &[Reading], at: Timestamp) -> Result<(), Failure> {
        let mut writer = open::unsynced(&self.writer).await?;
        let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await?;
        readings::put(&mut transaction, read, at).await?;
        Ok(transaction.commit().await?)
    }

    async fn finish_deliveries(&self, ids: &[String]) -> Result<(), Failure> {
        let mut transaction = self.begin().await?;
        deliveries::end(&mut transaction, ids).await?;
        Ok(transaction.commit().await?)
    }

    fn tell(&self, change: Change) {
        // Fails only when nobody listens.
        let _ = self.changes.send(change);
    }

    fn told<T>(&self, result: Result<T, Failure>) -> Result<T, StoreError> {
        result.map_err(|failure| failure.at(&self.path))
    }
}

/// Writes a commit's parts in the order that its documentation gives.
async fn apply(db: &mut SqliteConnection, commit: Commit) -> Result<Vec<Event>, Failure> {
    let Commit { job, tasks, runs, enqueue, drop_jobs, events } = commit;
    if let Some((lease, _)) = &job {
        jobs::hold(db, lease).await?;
    }
    for task in tasks {
        tasks::save(db, task).await?;
    }
    for run in &runs {
        runs::save(db, run).await?;
    }
    if let Some((lease, Some(end))) = &job {
        jobs::end(db, lease, end).await?;
    }
    for task in &drop_jobs {
        jobs::drop_of(db, task).await?;
    }
    for job in &enqueue {
        jobs::enqueue(db, job).await?;
    }
    let mut stored = Vec::with_capacity(events.len());
    for event in events {
        stored.push(events::append(db, event).await?);
    }
    Ok(stored)
}

#[async_trait]
impl Store for SqliteStore {
    async fn commit(&self, commit: Commit) -> Result<Vec<Event>, StoreError> {
        let store = self.clone();
        match tokio::spawn(async move { store.told(store.commit_and_tell(commit).await) }).await {
            Ok(result) => result,
            Err(stopped) => match stopped.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime shuts down.
                Err(_) => Err(StoreError::Database(sqlx::Error::WorkerCrashed)),
            },
        }
    }

    async fn task(&self, id: &TaskId) -> Result<Option<Task>, StoreError> {
        self.told(tasks::one(&self.readers, id).await)
    }

    async fn tasks(&self, filter: &TaskFilter) -> Result<Vec<Task>, StoreError> {
        self.told(tasks::list(&self.readers, filter).await)
    }

    async fn waiting(&self, owner: &str, of_each: usize) -> Result<Vec<Waiting>, StoreError> {
        self.told(tasks::waiting(&self.readers, owner, of_each).await)
    }

    async fn stage_counts(&self) -> Result<Vec<(Stage, u64)>, StoreError> {
        self.told(tasks::stage_counts(&self.readers).await)
    }

    async fn worked(&self, limit: usize) -> Result<Vec<Worked>, StoreError> {
        self.told(tasks::worked(&self.readers, limit).await)
    }

    async fn run(&self, id: &RunId) -> Result<Option<Run>, StoreError> {
        self.told(runs::one(&self.readers, id).await)
    }

    async fn runs(&self, task: Option<&TaskId>, limit: usize) -> Result<Vec<Run>, StoreError> {
        self.told(runs::list(&self.readers, task, limit).await)
    }

    async fn update_run(&self, lease: &Lease, run: &Run) -> Result<(), StoreError> {
        self.told(self.write_run(lease, run).await)
    }

    async fn claim(
        &self,
        worker: &str,
        kinds: &[JobKind],
        per_repository: u32,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Job>, StoreError> {
        self.told(jobs::claim(&self.writer, worker, kinds, per_repository, now, until).await)
    }

    async fn renew(&self, lease: &Lease, until: Timestamp) -> Result<(), StoreError> {
        self.told(jobs::renew(&self.writer, lease, until).await)
    }

    async fn jobs(&self) -> Result<Vec<Job>, StoreError> {
        self.told(jobs::list(&self.readers).await)
    }

    async fn release(&self, worker_prefix: &str, now: Timestamp) -> Result<u64, StoreError> {
        self.told(jobs::release(&self.writer, worker_prefix, now).await)
    }

    async fn events(&self, query: &EventQuery) -> Result<Vec<Event>, StoreError> {
        self.told(events::list(&self.readers, query).await)
    }

    async fn append_transcript(&self, run: &RunId, at: Timestamp, lines: &[String]) -> Result<(), StoreError> {
        self.told(self.write_transcript(run, at, lines).await)
    }

    async fn transcript(&self, run: &RunId, after: u64, limit: usize) -> Result<Vec<TranscriptLine>, StoreError> {
        self.told(transcripts::list(&self.readers, run, after, limit).await)
    }

    async fn repositories(&self) -> Result<Vec<Repository>, StoreError> {
        self.told(repositories::list(&self.readers).await)
    }

    async fn repository(&self, name: &RepoName) -> Result<Option<Repository>, StoreError> {
        self.told(repositories::get(&self.readers, name).await)
    }

    async fn put_repository(&self, repository: &Repository) -> Result<(), StoreError> {
        self.told(repositories::put(&self.writer, repository).await)
    }

    async fn remove_repository(&self, name: &RepoName) -> Result<(), StoreError> {
        self.told(repositories::remove(&self.writer, name).await)
    }

    async fn intent(&self, id: &str) -> Result<Option<WriteIntent>, StoreError> {
        self.told(intents::one(&self.readers, id).await)
    }

    async fn swap_intent(&self, expected: Option<&WriteIntent>, intent: &WriteIntent) -> Result<bool, StoreError> {
        self.told(intents::swap(&self.writer, expected, intent).await)
    }

    async fn open_intents(&self) -> Result<Vec<WriteIntent>, StoreError> {
        self.told(intents::open(&self.readers).await)
    }

    async fn put_deliveries(
        &self,
        deliveries: &[Delivery],
        at: Timestamp,
        recovered: bool,
    ) -> Result<Vec<bool>, StoreError> {
        self.told(self.write_deliveries(deliveries, at, recovered).await)
    }

    async fn open_deliveries(&self, limit: usize) -> Result<Vec<OpenDelivery>, StoreError> {
        self.told(deliveries::open(&self.readers, limit).await)
    }

    async fn end_deliveries(&self, ids: &[String]) -> Result<(), StoreError> {
        self.told(self.finish_deliveries(ids).await)
    }

    async fn knows_delivery(&self, id: &str) -> Result<bool, StoreError> {
        self.told(deliveries::is_known(&self.readers, id).await)
    }

    async fn delivery_counts(&self) -> Result<DeliveryCounts, StoreError> {
        self.told(deliveries::counts(&self.readers).await)
    }

    async fn readings(&self, reader: &str, blobs: &[String]) -> Result<Vec<(String, Option<String>)>, StoreError> {
        self.told(readings::of(&self.readers, reader, blobs).await)
    }

    async fn put_readings(&self, readings: &[Reading], at: Timestamp) -> Result<(), StoreError> {
        self.told(self.write_readings(readings, at).await)
    }

    async fn note(&self, space: &str, key: &str, now: Timestamp) -> Result<Option<String>, StoreError> {
        self.told(notes::one(&self.readers, space, key, now).await)
    }

    async fn put_note(
        &self,
        space: &str,
        key: &str,
        value: &str,
        expires: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        self.told(notes::put(&self.writer, space, key, value, expires).await)
    }

    async fn swap_note(
        &self,
        place: (&str, &str),
        expected: Option<&str>,
        value: &str,
        expires: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.told(notes::swap(&self.writer, place, expected, (value, expires), now).await)
    }

    async fn take_note(&self, space: &str, key: &str, now: Timestamp) -> Result<Option<String>, StoreError> {
        self.told(notes::take(&self.writer, space, key, now).await)
    }

    async fn tidy(&self, now: Timestamp, keep_after: Timestamp) -> Result<(), StoreError> {
        self.told(self.delete_old(now, keep_after).await)
    }

    fn changes(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }

    async fn probe(&self, patience: Duration) -> Result<(), StoreError> {
        match tokio::time::timeout(patience, self.put_note("store", "probe", "", None)).await {
            Ok(result) => result,
            Err(_) => {
                let late = format!("no write came through within {} ms", patience.as_millis());
                Err(StoreError::Database(io::Error::new(io::ErrorKind::TimedOut, late).into()))
            }
        }
    }
}
