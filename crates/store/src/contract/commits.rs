//! What belongs together is written together.

use std::sync::Arc;

use backlog::event::EventKind;
use backlog::run::{RunOutcome, RunState};
use backlog::task::{Stage, Task};

use super::sample::{NOW, REPO, at, claim, event, job, queued, run, states, stored, task};
use crate::{Commit, EventQuery, JobEnd, JobKind, Store, StoreError, TaskFilter};

/// A commit that touches everything about `task`.
fn whole(task: Task) -> Commit {
    Commit {
        job: None,
        runs: vec![run(&task, 1)],
        enqueue: vec![job(&task, JobKind::Verify)],
        drop_jobs: Vec::new(),
        events: vec![event(&task, EventKind::Added), event(&task, EventKind::Approved)],
        tasks: vec![task],
    }
}

/// Nothing but what `count` whole commits of different tasks wrote is there.
async fn assert_commits(store: &dyn Store, count: usize) {
    assert_eq!(store.tasks(&TaskFilter::default()).await.unwrap().len(), count);
    assert_eq!(store.runs(None, 0).await.unwrap().len(), count);
    assert_eq!(store.jobs().await.unwrap().len(), count);
    assert_eq!(store.events(&EventQuery::default()).await.unwrap().len(), 2 * count);
}

pub(crate) async fn everything_is_written_together(store: Arc<dyn Store>) {
    let task = task(REPO, "one");
    let told = store.commit(whole(task.clone())).await.unwrap();
    assert_eq!(told, store.events(&EventQuery::default()).await.unwrap());
    assert_eq!(
        told.iter().map(|event| &event.event.kind).collect::<Vec<_>>(),
        [&EventKind::Added, &EventKind::Approved]
    );
    assert_eq!(store.task(&task.id).await.unwrap(), Some(Task { version: 1, ..task.clone() }));
    assert_eq!(store.run(&run(&task, 1).id).await.unwrap(), Some(run(&task, 1)));
    let jobs = store.jobs().await.unwrap();
    assert_eq!((jobs[0].kind, &jobs[0].task, jobs[0].claims, &jobs[0].held), (JobKind::Verify, &task.id, 0, &None));
    assert_commits(&*store, 1).await;
}

pub(crate) async fn every_state_is_read_as_it_was_written(store: Arc<dyn Store>) {
    let mut task = stored(&*store, task(REPO, "one")).await;
    let states = states(&task);
    assert_eq!(states.iter().map(|state| state.stage()).collect::<Vec<_>>(), Stage::ALL);
    for state in states {
        task.state = state;
        let read = stored(&*store, task.clone()).await;
        task.version += 1;
        assert_eq!(read, task);
    }
    let outcomes = [
        RunOutcome::Succeeded,
        RunOutcome::NoChange { summary: "\"'\\ \u{0}ü".into() },
        RunOutcome::Failed { reason: "No network.".into(), retryable: true },
        RunOutcome::TimedOut,
        RunOutcome::Stalled,
        RunOutcome::Cancelled,
        RunOutcome::OverBudget,
    ];
    let finished = outcomes.map(RunState::Finished);
    for state in [RunState::Preparing, RunState::Working].into_iter().chain(finished) {
        let mut run = run(&task, 1);
        run.state = state;
        run.finished_at = Some(NOW);
        store.commit(Commit { runs: vec![run.clone()], ..Commit::default() }).await.unwrap();
        assert_eq!(store.run(&run.id).await.unwrap(), Some(run));
    }
}

pub(crate) async fn a_conflict_writes_nothing(store: Arc<dyn Store>) {
    store.commit(whole(task(REPO, "one"))).await.unwrap();
    let loaded = store.tasks(&TaskFilter::default()).await.unwrap().remove(0);
    let changed = stored(&*store, Task { title: "first".into(), ..loaded.clone() }).await;
    assert_eq!(changed.version, 2);

    let mut commit = whole(task(REPO, "two"));
    commit.tasks.push(Task { title: "second".into(), ..loaded.clone() });
    let refused = store.commit(commit).await;
    assert!(matches!(&refused, Err(StoreError::Conflict(id)) if *id == loaded.id), "{refused:?}");
    assert_commits(&*store, 1).await;
    assert_eq!(store.task(&loaded.id).await.unwrap(), Some(changed));

    let unknown = Task { version: 3, ..task(REPO, "never stored") };
    let refused = store.commit(whole(unknown.clone())).await;
    assert!(matches!(&refused, Err(StoreError::Conflict(id)) if *id == unknown.id), "{refused:?}");
    assert_commits(&*store, 1).await;
}

pub(crate) async fn a_known_task_is_not_inserted_again(store: Arc<dyn Store>) {
    let task = task(REPO, "one");
    store.commit(whole(task.clone())).await.unwrap();
    let refused = store.commit(whole(task.clone())).await;
    assert!(matches!(&refused, Err(StoreError::Conflict(id)) if *id == task.id), "{refused:?}");
    assert_commits(&*store, 1).await;
}

pub(crate) async fn one_of_many_racing_writers_wins(store: Arc<dyn Store>) {
    let loaded = stored(&*store, task(REPO, "one")).await;
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let (store, task) = (Arc::clone(&store), Task { title: format!("by {writer}"), ..loaded.clone() });
            let events = vec![event(&task, EventKind::Edited)];
            tokio::spawn(async move { store.commit(Commit { tasks: vec![task], events, ..Commit::default() }).await })
        })
        .collect();
    let mut won = 0;
    for writer in writers {
        match writer.await.unwrap() {
            Ok(_) => won += 1,
            Err(refused) => assert!(matches!(refused, StoreError::Conflict(_)), "{refused:?}"),
        }
    }
    assert_eq!(won, 1);
    assert_eq!(store.task(&loaded.id).await.unwrap().unwrap().version, 2);
    assert_eq!(store.events(&EventQuery::default()).await.unwrap().len(), 1);
}

pub(crate) async fn a_lost_lease_writes_nothing(store: Arc<dyn Store>) {
    let task = queued(&*store, "one", JobKind::Run).await;
    let old = claim(&*store, "old", 0).await.unwrap();
    let new = claim(&*store, "new", 61).await.unwrap();
    assert_eq!((new.id, new.epoch > old.epoch), (old.id, true));

    for end in [None, Some(JobEnd::Done), Some(JobEnd::Retry { at: NOW, counts: false })] {
        let mut commit = whole(task.clone());
        commit.drop_jobs = vec![task.id.clone()];
        commit.job = Some((old.lease(), end));
        let refused = store.commit(commit).await;
        assert!(matches!(refused, Err(StoreError::LeaseLost(id)) if id == old.id), "{refused:?}");
    }
    assert!(matches!(store.update_run(&old.lease(), &run(&task, 1)).await, Err(StoreError::LeaseLost(_))));
    assert!(matches!(store.renew(&old.lease(), at(999)).await, Err(StoreError::LeaseLost(_))));
    assert_eq!(store.task(&task.id).await.unwrap(), Some(task.clone()));
    assert_eq!(store.runs(None, 0).await.unwrap(), []);
    assert_eq!(store.events(&EventQuery::default()).await.unwrap(), []);
    assert_eq!(store.jobs().await.unwrap(), std::slice::from_ref(&new));

    store.update_run(&new.lease(), &run(&task, 1)).await.unwrap();
    store.commit(Commit { job: Some((new.lease(), Some(JobEnd::Done))), ..whole(task) }).await.unwrap();
    assert_commits(&*store, 1).await;
}

pub(crate) async fn a_cancelled_caller_leaves_all_or_nothing(store: Arc<dyn Store>) {
    for number in 0..20 {
        let caller = Arc::clone(&store);
        let task = task(REPO, &format!("number {number}"));
        let commit = tokio::spawn(async move { caller.commit(whole(task)).await.map(drop) });
        for _ in 0..number {
            tokio::task::yield_now().await;
        }
        commit.abort();
    }
    // Queued behind everything that had begun.
    let last = task(REPO, "last");
    store.commit(whole(last)).await.unwrap();
    let count = store.tasks(&TaskFilter::default()).await.unwrap().len();
    assert_commits(&*store, count).await;
}
