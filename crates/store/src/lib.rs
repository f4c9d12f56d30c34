//! Durable state.
//!
//! **Definition.** Everything the service must not forget: tasks, runs, jobs with leases, events, transcripts,
//! write intents, deliveries of code hosts, what was kept of files, watched repositories, sessions and small notes.
//!
//! **Wanted properties.** One method is one transaction and no transaction handle leaves this crate; the state
//! change, the job it causes and the event that tells of it are committed together or not at all; a worker that
//! lost its lease can commit nothing; every list has a bound.
//!
//! **Design.** [`Store`] is the trait; [`sqlite`] is the embedded implementation; the SQL keeps to the subset that
//! PostgreSQL shares. The module `contract`, compiled for tests only, holds the suite that every implementation passes.

#[cfg(test)]
mod contract;
pub mod sqlite;

use std::time::Duration;

use async_trait::async_trait;
use backlog::delivery::Delivery;
use backlog::event::{Event, NewEvent};
use backlog::expect::Worked;
use backlog::intent::WriteIntent;
use backlog::names::{RepoName, RunId, TaskId};
use backlog::room::Waiting;
use backlog::run::Run;
use backlog::task::{Stage, Task};
use backlog::time::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;

/// What callers of the store branch on.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Somebody else changed the task first: load it again and decide anew.
    #[error("task {0} was changed by somebody else in the meantime")]
    Conflict(TaskId),
    /// The lease is over or belongs to another worker: stop working on that job.
    #[error("the lease on job {0} is lost")]
    LeaseLost(i64),
    /// The disk is full.
    #[error("the disk is full; free some space at {0} and nothing is lost")]
    DiskFull(String),
    /// The database was written by a newer version of this program.
    #[error(
        "the database {path} was written by a newer version of ccm (it has migration {found}); update ccm, or point --data-dir elsewhere"
    )]
    Newer {
        /// The database.
        path: String,
        /// The newest migration it has.
        found: i64,
    },
    /// SQLite is too old to be trusted with a WAL database.
    #[error("SQLite {0} can corrupt a database in WAL mode; at least 3.51.3 is needed")]
    EngineTooOld(String),
    /// The database cannot be opened.
    #[error("cannot open the database {path}")]
    Open {
        /// The database.
        path: String,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
    /// A stored value cannot be read.
    #[error("a stored {what} cannot be read; the database may be damaged")]
    Corrupt {
        /// Which kind of value.
        what: &'static str,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// Anything else.
    #[error("the database failed")]
    Database(#[source] sqlx::Error),
}

/// What a job does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobKind {
    /// Run the agent at an approved task.
    Run,
    /// Check what a run made.
    Verify,
    /// Push it and open the pull request.
    Deliver,
}

impl JobKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Run, Self::Verify, Self::Deliver];

    /// The name in the database and in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Verify => "verify",
            Self::Deliver => "deliver",
        }
    }
}

/// A job to be queued. At most one open job of a kind exists for a task: a second one is ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewJob {
    /// What it does.
    pub kind: JobKind,
    /// For which task.
    pub task: TaskId,
    /// In which repository.
    pub repository: RepoName,
    /// Higher is claimed first.
    pub rank: i64,
    /// Not before this.
    pub run_after: Timestamp,
}

/// A job that somebody claimed: the right to work on it until the lease ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The job.
    pub job: i64,
    /// Grows with each claim; every write of the holder carries it.
    pub epoch: i64,
}

/// A queued or running job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Its id.
    pub id: i64,
    /// What it does.
    pub kind: JobKind,
    /// For which task.
    pub task: TaskId,
    /// In which repository.
    pub repository: RepoName,
    /// How often it was claimed, this time included.
    pub claims: u32,
    /// Not before this.
    pub run_after: Timestamp,
    /// Who holds it, and until when.
    pub held: Option<(String, Timestamp)>,
    /// The claim's epoch.
    pub epoch: i64,
}

impl Job {
    /// The lease of the claim that returned this job.
    #[must_use]
    pub fn lease(&self) -> Lease {
        Lease { job: self.id, epoch: self.epoch }
    }
}

/// How a claimed job ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobEnd {
    /// It is done and leaves the queue.
    Done,
    /// It goes back to the queue.
    Retry {
        /// Not before this.
        at: Timestamp,
        /// Whether the claim counts as one (a shutdown's does not).
        counts: bool,
    },
}

/// Changes that belong together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commit {
    /// The lease under which this is written: refused as a whole when it is lost. With how the job ends.
    pub job: Option<(Lease, Option<JobEnd>)>,
    /// Tasks to insert (`version` 0) or to update (`version` as loaded); the store adds one.
    pub tasks: Vec<Task>,
    /// Runs to insert or replace.
    pub runs: Vec<Run>,
    /// Jobs to queue.
    pub enqueue: Vec<NewJob>,
    /// Tasks whose open jobs are dropped (a final state has no queued jobs). Jobs of this commit's own `enqueue`
    /// are queued afterwards. The holder of a dropped job loses its lease.
    pub drop_jobs: Vec<TaskId>,
    /// What to tell.
    pub events: Vec<NewEvent>,
}

/// Which tasks.
#[derive(Clone, Debug, Default)]
pub struct TaskFilter {
    /// Only these stages; empty: all.
    pub stages: Vec<Stage>,
    /// Only this repository.
    pub repository: Option<RepoName>,
    /// Only repositories of this owner: the part of their names before the slash, as it is written there.
    pub owner: Option<String>,
    /// Only titles and bodies that contain this (its first [`SEARCH_CHARS`] characters), ignoring case.
    pub search: Option<String>,
    /// At most so many; 0: [`MAX_ROWS`].
    pub limit: usize,
}

/// How much of a search counts: characters.
pub const SEARCH_CHARS: usize = 1_000;

/// The most rows any list returns.
pub const MAX_ROWS: usize = 100_000;

/// Which events.
#[derive(Clone, Debug, Default)]
pub struct EventQuery {
    /// Only those with a greater sequence number.
    pub after: u64,
    /// Only of this task.
    pub task: Option<TaskId>,
    /// Only of this repository.
    pub repository: Option<RepoName>,
    /// Newest first instead of oldest first.
    pub newest_first: bool,
    /// At most so many; 0: 1,000.
    pub limit: usize,
}

/// One line of a run's transcript.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TranscriptLine {
    /// Its place within the run, from 1.
    pub seq: u64,
    /// When it was written.
    pub at: Timestamp,
    /// JSON of a `runner` agent event.
    pub line: String,
}

/// The most transcript that is kept of one run: bytes. What comes later is dropped, and the last line says so.
pub const TRANSCRIPT_BYTES: u64 = 16 * 1024 * 1024;

/// A watched repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repository {
    /// Its name.
    pub name: RepoName,
    /// The folder, for a local one.
    pub path: Option<String>,
    /// The branch that work starts from, once known.
    pub default_branch: Option<String>,
    /// The commit that was read last.
    pub scanned: Option<String>,
    /// When that was.
    pub scanned_at: Option<Timestamp>,
    /// Why it cannot be worked for now, and what would mend it.
    pub parked: Option<String>,
    /// How often in a row reading it failed.
    pub failures: u32,
    /// Not to be touched before this, after failures.
    pub retry_at: Option<Timestamp>,
}

/// How many days a delivery is remembered after it came (R47): GitHub keeps and repeats its own for three.
pub const DELIVERY_DAYS: i64 = 7;

/// The most deliveries that are remembered; above it the oldest that were taken up are forgotten first.
pub const DELIVERIES_KEPT: usize = 1_000_000;

/// The most readings that are remembered; above it the oldest are forgotten first, which costs reading those again.
pub const READINGS_KEPT: usize = 1_000_000;

/// What a reader kept of a content.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reading {
    /// What read it, how, and under which settings and version: a digest.
    pub reader: String,
    /// The content's id.
    pub blob: String,
    /// What was kept; `None` for nothing.
    pub text: Option<String>,
}

/// A delivery that nobody has taken up yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenDelivery {
    /// What it says.
    pub delivery: Delivery,
    /// The last change of the same thing that was taken up.
    pub seen: Option<Timestamp>,
}

/// How many deliveries are remembered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeliveryCounts {
    /// Those that the code host brought.
    pub received: u64,
    /// Those that were asked for, because the code host could not bring them.
    pub recovered: u64,
    /// Those that nobody has taken up yet.
    pub open: u64,
    /// When the last one came.
    pub last: Option<Timestamp>,
}

/// What is told to listeners in this process after a commit. Lost messages only mean: read again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// An event was stored.
    Event(Box<Event>),
    /// A run's transcript has grown.
    Transcript(RunId),
}

/// Durable state. See the module's documentation for the rules.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Writes changes that belong together, and tells listeners of the events. Returns the stored events.
    async fn commit(&self, commit: Commit) -> Result<Vec<Event>, StoreError>;

    /// One task.
    async fn task(&self, id: &TaskId) -> Result<Option<Task>, StoreError>;
    /// Tasks by descending points, then age, then id.
    async fn tasks(&self, filter: &TaskFilter) -> Result<Vec<Task>, StoreError>;
    /// What waits in the repositories of one owner, by name: how much is open, and the best `of_each` tasks of each that
    /// could be proposed. Repositories in which nothing waits are left out.
    async fn waiting(&self, owner: &str, of_each: usize) -> Result<Vec<Waiting>, StoreError>;
    /// How many tasks there are in each stage; every stage in the order of the board, also those without tasks.
    async fn stage_counts(&self) -> Result<Vec<(Stage, u64)>, StoreError>;

    /// Tasks that an agent worked on and that were merged, failed, or had their pull request closed, with what their
    /// runs took; the newest `limit` (0: [`MAX_ROWS`]) first.
    async fn worked(&self, limit: usize) -> Result<Vec<Worked>, StoreError>;

    /// One run.
    async fn run(&self, id: &RunId) -> Result<Option<Run>, StoreError>;
    /// The newest `limit` runs (0: [`MAX_ROWS`]): of a task, oldest first; with `None` of all, newest first.
    async fn runs(&self, task: Option<&TaskId>, limit: usize) -> Result<Vec<Run>, StoreError>;
    /// Replaces a run without touching its task, under a lease.
    async fn update_run(&self, lease: &Lease, run: &Run) -> Result<(), StoreError>;

    /// Claims the best job that is due at `now` and of one of `kinds`, unless `per_repository` jobs of the same
    /// repository are held already. A job whose lease has ended is due again. Counts the claim.
    async fn claim(
        &self,
        worker: &str,
        kinds: &[JobKind],
        per_repository: u32,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Job>, StoreError>;
    /// Prolongs a lease.
    async fn renew(&self, lease: &Lease, until: Timestamp) -> Result<(), StoreError>;
    /// Open jobs, best first.
    async fn jobs(&self) -> Result<Vec<Job>, StoreError>;
    /// Ends the leases of workers that are known to be dead (this machine's earlier process), so that their jobs
    /// are due at once. Returns how many.
    async fn release(&self, worker_prefix: &str, now: Timestamp) -> Result<u64, StoreError>;

    /// Stored events.
    async fn events(&self, query: &EventQuery) -> Result<Vec<Event>, StoreError>;
    /// Appends to a run's transcript, within [`TRANSCRIPT_BYTES`].
    async fn append_transcript(&self, run: &RunId, at: Timestamp, lines: &[String]) -> Result<(), StoreError>;
    /// A run's transcript after `after`, at most `limit` lines.
    async fn transcript(&self, run: &RunId, after: u64, limit: usize) -> Result<Vec<TranscriptLine>, StoreError>;

    /// The watched repositories, by name.
    async fn repositories(&self) -> Result<Vec<Repository>, StoreError>;
    /// One watched repository.
    async fn repository(&self, name: &RepoName) -> Result<Option<Repository>, StoreError>;
    /// Inserts or replaces a watched repository. It outlives the process at once, and a loss of power a little later.
    async fn put_repository(&self, repository: &Repository) -> Result<(), StoreError>;
    /// Forgets a repository that is not watched any more; its tasks stay.
    async fn remove_repository(&self, name: &RepoName) -> Result<(), StoreError>;

    /// One write intent.
    async fn intent(&self, id: &str) -> Result<Option<WriteIntent>, StoreError>;
    /// Writes a write intent if the stored one is still `expected` (`None`: if there is none); says whether it did. Of
    /// several that expect the same, in whichever process, one succeeds.
    async fn swap_intent(&self, expected: Option<&WriteIntent>, intent: &WriteIntent) -> Result<bool, StoreError>;
    /// The intents that are not done, given-up ones included, oldest first.
    async fn open_intents(&self) -> Result<Vec<WriteIntent>, StoreError>;

    /// Remembers deliveries; says of each whether it was new. They are on disk when this returns.
    async fn put_deliveries(
        &self,
        deliveries: &[Delivery],
        at: Timestamp,
        recovered: bool,
    ) -> Result<Vec<bool>, StoreError>;
    /// At most `limit` deliveries that nobody has taken up, oldest first.
    async fn open_deliveries(&self, limit: usize) -> Result<Vec<OpenDelivery>, StoreError>;
    /// Marks deliveries as taken up.
    async fn end_deliveries(&self, ids: &[String]) -> Result<(), StoreError>;
    /// Whether a delivery is remembered.
    async fn knows_delivery(&self, id: &str) -> Result<bool, StoreError>;
    /// How many deliveries are remembered.
    async fn delivery_counts(&self) -> Result<DeliveryCounts, StoreError>;

    /// What `reader` kept of the contents with the ids `blobs`: those that it has read, in any order. `None`: nothing.
    async fn readings(&self, reader: &str, blobs: &[String]) -> Result<Vec<(String, Option<String>)>, StoreError>;
    /// Remembers what was kept of contents. It outlives the process at once, and a loss of power a little later.
    async fn put_readings(&self, readings: &[Reading], at: Timestamp) -> Result<(), StoreError>;

    /// A small value under (`space`, `key`), unless it has expired at `now`.
    async fn note(&self, space: &str, key: &str, now: Timestamp) -> Result<Option<String>, StoreError>;
    /// Writes a small value, with the time it expires. It outlives the process at once, and a loss of power a little later.
    async fn put_note(&self, space: &str, key: &str, value: &str, expires: Option<Timestamp>)
    -> Result<(), StoreError>;
    /// Writes a small value if the present one is still `expected`; `None` and an expired one count as absent. Says
    /// whether it did. Of several that expect the same, in whichever process, one succeeds. It outlives the process at
    /// once, and a loss of power a little later.
    async fn swap_note(
        &self,
        place: (&str, &str),
        expected: Option<&str>,
        value: &str,
        expires: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<bool, StoreError>;
    /// Forgets a small value; says whether it was there.
    async fn take_note(&self, space: &str, key: &str, now: Timestamp) -> Result<Option<String>, StoreError>;
    /// Deletes what has expired at `now`, transcripts of runs that finished before `keep_after`, events before
    /// it that belong to final tasks or to no task, deliveries that are older than [`DELIVERY_DAYS`], and readings
    /// beyond [`READINGS_KEPT`].
    async fn tidy(&self, now: Timestamp, keep_after: Timestamp) -> Result<(), StoreError>;

    /// Listens to what this process commits.
    fn changes(&self) -> broadcast::Receiver<Change>;
    /// Proves that the database can be written, within `patience`.
    async fn probe(&self, patience: Duration) -> Result<(), StoreError>;
}
