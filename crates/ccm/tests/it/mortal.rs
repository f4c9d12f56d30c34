//! A store that dies: after a set number of commits every call hangs for ever, as if the process were gone.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
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
use store::sqlite::SqliteStore;
use store::{
    Change, Commit, DeliveryCounts, EventQuery, Job, JobKind, Lease, OpenDelivery, Reading, Repository, Store,
    StoreError, TaskFilter, TranscriptLine,
};
use tokio::sync::{Notify, broadcast};

/// How long a store lives.
#[derive(Default)]
pub struct Life {
    /// Commits left, counted down; 0 means for ever, 1 that it is over.
    left: AtomicUsize,
    over: Notify,
    full: AtomicBool,
}

impl Life {
    /// Ends after `n` more commits.
    pub fn ends_after(&self, n: usize) {
        self.left.store(n + 1, Ordering::SeqCst);
    }

    /// Waits for the end.
    pub async fn ended(&self) {
        self.over.notified().await;
    }

    /// From now on, or no longer, the disk is full: nothing can be written.
    pub fn disk_is_full(&self, full: bool) {
        self.full.store(full, Ordering::SeqCst);
    }

    fn room(&self) -> Result<(), StoreError> {
        if self.full.load(Ordering::SeqCst) { Err(StoreError::DiskFull("the data folder".to_owned())) } else { Ok(()) }
    }

    fn commit(&self) {
        if self.left.load(Ordering::SeqCst) > 1 && self.left.fetch_sub(1, Ordering::SeqCst) == 2 {
            self.over.notify_one();
        }
    }

    async fn living(&self) {
        if self.left.load(Ordering::SeqCst) == 1 {
            std::future::pending::<()>().await;
        }
    }
}

/// See the module.
pub struct Mortal {
    pub store: SqliteStore,
    pub life: std::sync::Arc<Life>,
}

#[async_trait]
impl Store for Mortal {
    async fn commit(&self, commit: Commit) -> Result<Vec<Event>, StoreError> {
        self.life.living().await;
        self.life.room()?;
        let events = self.store.commit(commit).await?;
        self.life.commit();
        self.life.living().await;
        Ok(events)
    }
    async fn task(&self, id: &TaskId) -> Result<Option<Task>, StoreError> {
        self.life.living().await;
        self.store.task(id).await
    }
    async fn tasks(&self, filter: &TaskFilter) -> Result<Vec<Task>, StoreError> {
        self.life.living().await;
        self.store.tasks(filter).await
    }
    async fn waiting(&self, owner: &str, of_each: usize) -> Result<Vec<Waiting>, StoreError> {
        self.life.living().await;
        self.store.waiting(owner, of_each).await
    }
    async fn stage_counts(&self) -> Result<Vec<(Stage, u64)>, StoreError> {
        self.life.living().await;
        self.store.stage_counts().await
    }
    async fn worked(&self, limit: usize) -> Result<Vec<Worked>, StoreError> {
        self.life.living().await;
        self.store.worked(limit).await
    }
    async fn run(&self, id: &RunId) -> Result<Option<Run>, StoreError> {
        self.life.living().await;
        self.store.run(id).await
    }
    async fn runs(&self, task: Option<&TaskId>, limit: usize) -> Result<Vec<Run>, StoreError> {
        self.life.living().await;
        self.store.runs(task, limit).await
    }
    async fn update_run(&self, lease: &Lease, run: &Run) -> Result<(), StoreError> {
        self.life.living().await;
        self.life.room()?;
        self.store.update_run(lease, run).await
    }
    async fn claim(
        &self,
        worker: &str,
        kinds: &[JobKind],
        per_repository: u32,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Job>, StoreError> {
        self.life.living().await;
        self.life.room()?;
        self.store.claim(worker, kinds, per_repository, now, until).await
    }
    async fn renew(&self, lease: &Lease, until: Timestamp) -> Result<(), StoreError> {
        self.life.living().await;
        self.life.room()?;
        self.store.renew(lease, until).await
    }
    async fn jobs(&self) -> Result<Vec<Job>, StoreError> {
        self.life.living().await;
        self.store.jobs().await
    }
    async fn release(&self, worker_prefix: &str, now: Timestamp) -> Result<u64, StoreError> {
        self.life.living().await;
        self.store.release(worker_prefix, now).await
    }
    async fn events(&self, query: &EventQuery) -> Result<Vec<Event>, StoreError> {
        self.life.living().await;
        self.store.events(query).await
    }
    async fn append_transcript(&self, run: &RunId, at: Timestamp, lines: &[String]) -> Result<(), StoreError> {
        self.life.living().await;
        self.life.room()?;
        self.store.append_transcript(run, at, lines).await
    }
    async fn transcript(&self, run: &RunId, after: u64, limit: usize) -> Result<Vec<TranscriptLine>, StoreError> {
        self.life.living().await;
        self.store.transcript(run, after, limit).await
    }
    async fn repository(&self, name: &RepoName) -> Result<Option<Repository>, StoreError> {
        self.life.living().await;
        self.store.repository(name).await
    }
    async fn repositories(&self) -> Result<Vec<Repository>, StoreError> {
        self.life.living().await;
        self.store.repositories().await
    }
    async fn put_repository(&self, repository: &Repository) -> Result<(), StoreError> {
        self.life.living().await;
        self.life.room()?;
        self.store.put_repository(repository).await
    }
    async fn remove_repository(&self, name: &RepoName) -> Result<(), StoreError> {
        self.life.living().await;
        self.store.remove_repository(name).await
    }
    async fn intent(&self, id: &str) -> Result<Option<WriteIntent>, StoreError> {
        self.life.living().await;
        self.store.intent(id).await
    }
    async fn swap_intent(&self, expected: Option<&WriteIntent>, intent: &WriteIntent) -> Result<bool, StoreError> {
        self.life.living().await;
        self.life.room()?;
        self.store.swap_intent(expected, intent).await
    }
    async fn open_intents(&self) -> Result<Vec<WriteIntent>, StoreError> {
        self.life.living().await;
        self.store.open_intents().await
    }
    async fn put_deliveries(
        &self,
        deliveries: &[Delivery],
        at: Timestamp,
        recovered: bool,
    ) -> Result<Vec<bool>, StoreError> {
        self.life.living().await;
        self.life.room()?;
        self.store.put_deliveries(deliveries, at, recovered).await
    }
    async fn open_deliveries(&self, limit: usize) -> Result<Vec<OpenDelivery>, StoreError> {
        self.life.living().await;
        self.store.open_deliveries(limit).await
    }
    async fn end_deliveries(&self, ids: &[String]) -> Result<(), StoreError> {
        self.life.living().await;
        self.life.room()?;
        self.store.end_deliveries(ids).await
    }
    async fn knows_delivery(&self, id: &str) -> Result<bool, StoreError> {
        self.life.living().await;
        self.store.knows_delivery(id).await
    }
    async fn delivery_counts(&self) -> Result<DeliveryCounts, StoreError> {
        self.life.living().await;
        self.store.delivery_counts().await
    }
    async fn readings(&self, reader: &str, blobs: &[String]) -> Result<Vec<(String, Option<String>)>, StoreError> {
        self.life.living().await;
        self.store.readings(reader, blobs).await
    }
    async fn put_readings(&self, readings: &[Reading], at: Timestamp) -> Result<(), StoreError> {
        self.life.living().await;
        self.life.room()?;
        self.store.put_readings(readings, at).await
    }
    async fn note(&self, space: &str, key: &str, now: Timestamp) -> Result<Option<String>, StoreError> {
        self.life.living().await;
        self.store.note(space, key, now).await
    }
    async fn put_note(
        &self,
        space: &str,
        key: &str,
        value: &str,
        expires: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        self.life.living().await;
        self.life.room()?;
        self.store.put_note(space, key, value, expires).await
    }
    async fn swap_note(
        &self,
        place: (&str, &str),
        expected: Option<&str>,
        value: &str,
        expires: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.life.living().await;
        self.life.room()?;
        self.store.swap_note(place, expected, value, expires, now).await
    }
    async fn take_note(&self, space: &str, key: &str, now: Timestamp) -> Result<Option<String>, StoreError> {
        self.life.living().await;
        self.store.take_note(space, key, now).await
    }
    async fn tidy(&self, now: Timestamp, keep_after: Timestamp) -> Result<(), StoreError> {
        self.life.living().await;
        self.store.tidy(now, keep_after).await
    }
    fn changes(&self) -> broadcast::Receiver<Change> {
        self.store.changes()
    }
    async fn probe(&self, patience: Duration) -> Result<(), StoreError> {
        self.life.living().await;
        self.store.probe(patience).await
    }
}
