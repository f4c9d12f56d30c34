//! One job, one holder.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::sample::{NOW, REPO, at, claim, job, queued, run, task};
use crate::{Commit, JobEnd, JobKind, NewJob, Store, StoreError};

pub(crate) async fn workers_never_get_the_same_job(store: Arc<dyn Store>) {
    let tasks: Vec<_> = (0..200).map(|number| task(REPO, &format!("number {number}"))).collect();
    let enqueue = tasks.iter().map(|task| job(task, JobKind::Run)).collect();
    store.commit(Commit { tasks, enqueue, ..Commit::default() }).await.unwrap();
    let workers: Vec<_> = (0..8)
        .map(|worker| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let mut mine = Vec::new();
                while let Some(job) = claim(&*store, &format!("worker {worker}"), 0).await {
                    mine.push(job.id);
                }
                mine
            })
        })
        .collect();
    let mut claimed = Vec::new();
    for worker in workers {
        claimed.extend(worker.await.unwrap());
    }
    assert_eq!(claimed.len(), 200);
    assert_eq!(claimed.into_iter().collect::<BTreeSet<_>>().len(), 200);
}

pub(crate) async fn a_lease_ends_with_its_time_and_fences_its_holder(store: Arc<dyn Store>) {
    let task = queued(&*store, "one", JobKind::Run).await;
    let old = claim(&*store, "old", 0).await.unwrap();
    assert_eq!((old.claims, &old.held), (1, &Some(("old".to_owned(), at(60)))));
    assert_eq!(claim(&*store, "new", 59).await, None);
    let new = claim(&*store, "new", 60).await.unwrap();
    assert_eq!((new.id, new.claims), (old.id, 2));
    let end = |job: &crate::Job| Commit { job: Some((job.lease(), Some(JobEnd::Done))), ..Commit::default() };
    assert!(matches!(store.commit(end(&old)).await, Err(StoreError::LeaseLost(_))));
    assert!(matches!(store.renew(&old.lease(), at(200)).await, Err(StoreError::LeaseLost(_))));
    assert!(matches!(store.update_run(&old.lease(), &run(&task, 1)).await, Err(StoreError::LeaseLost(_))));
    store.commit(end(&new)).await.unwrap();
    assert_eq!(store.jobs().await.unwrap(), []);
}

pub(crate) async fn a_lease_that_nobody_else_claimed_still_holds(store: Arc<dyn Store>) {
    let task = queued(&*store, "one", JobKind::Run).await;
    let late = claim(&*store, "late", 0).await.unwrap();
    store.update_run(&late.lease(), &run(&task, 1)).await.unwrap();
    store.renew(&late.lease(), at(500)).await.unwrap();
    assert_eq!(claim(&*store, "new", 499).await, None);
}

pub(crate) async fn a_renewed_lease_is_not_claimed(store: Arc<dyn Store>) {
    queued(&*store, "one", JobKind::Run).await;
    let job = claim(&*store, "one", 0).await.unwrap();
    store.renew(&job.lease(), at(120)).await.unwrap();
    assert_eq!(claim(&*store, "two", 119).await, None);
    assert_eq!(store.jobs().await.unwrap()[0].held, Some(("one".to_owned(), at(120))));
}

pub(crate) async fn a_repository_has_so_many_leases(store: Arc<dyn Store>) {
    let tasks = ["acme/busy", "acme/busy", "acme/busy", "acme/quiet"];
    let tasks: Vec<_> = tasks.iter().enumerate().map(|(n, name)| task(name, &format!("number {n}"))).collect();
    let rank = |task: &backlog::task::Task| i64::from(task.repository.name() == "busy");
    let enqueue = tasks.iter().map(|task| NewJob { rank: rank(task), ..job(task, JobKind::Run) }).collect();
    store.commit(Commit { tasks, enqueue, ..Commit::default() }).await.unwrap();
    let claim = async |seconds| {
        let claimed = store.claim("w", &JobKind::ALL, 2, at(seconds), at(seconds + 60)).await.unwrap();
        claimed.map(|job| job.repository.name().to_owned())
    };
    assert_eq!(claim(0).await.as_deref(), Some("busy"));
    assert_eq!(claim(1).await.as_deref(), Some("busy"));
    assert_eq!(claim(2).await.as_deref(), Some("quiet"));
    assert_eq!(claim(3).await, None);
    assert_eq!(claim(60).await.as_deref(), Some("busy"), "the first lease is over");
    assert_eq!(store.claim("w", &JobKind::ALL, 0, at(999), at(1_000)).await.unwrap(), None);
}

pub(crate) async fn a_retry_waits_and_may_not_count(store: Arc<dyn Store>) {
    queued(&*store, "one", JobKind::Run).await;
    for (counts, claims) in [(true, 1), (false, 2), (false, 2), (true, 2)] {
        let job = claim(&*store, "w", 0).await.unwrap();
        assert_eq!(job.claims, claims);
        let retry = |seconds| Some((job.lease(), Some(JobEnd::Retry { at: at(seconds), counts })));
        store.commit(Commit { job: retry(0), ..Commit::default() }).await.unwrap();
        let again = store.commit(Commit { job: retry(0), ..Commit::default() }).await;
        assert!(matches!(again, Err(StoreError::LeaseLost(_))), "an ended lease is lost");
    }
    let job = claim(&*store, "w", 0).await.unwrap();
    let retry = JobEnd::Retry { at: at(30), counts: true };
    store.commit(Commit { job: Some((job.lease(), Some(retry))), ..Commit::default() }).await.unwrap();
    assert_eq!(claim(&*store, "w", 29).await, None);
    assert_eq!(claim(&*store, "w", 30).await.map(|job| job.claims), Some(4));
}

pub(crate) async fn a_done_job_is_gone_for_good(store: Arc<dyn Store>) {
    let task = queued(&*store, "one", JobKind::Run).await;
    let old = claim(&*store, "w", 0).await.unwrap();
    // The next job of the same kind is queued by the commit that ends this one.
    let end = Some((old.lease(), Some(JobEnd::Done)));
    let enqueue = vec![job(&task, JobKind::Run)];
    store.commit(Commit { job: end, enqueue, ..Commit::default() }).await.unwrap();
    let new = claim(&*store, "w", 0).await.unwrap();
    assert_eq!((new.claims, new.id == old.id), (1, false), "an id is never used again");
    assert!(matches!(store.renew(&old.lease(), at(99)).await, Err(StoreError::LeaseLost(_))));
}

pub(crate) async fn an_open_job_is_queued_once(store: Arc<dyn Store>) {
    let task = queued(&*store, "one", JobKind::Run).await;
    let again = || vec![NewJob { rank: 9, ..job(&task, JobKind::Run) }, job(&task, JobKind::Verify)];
    store.commit(Commit { enqueue: again(), ..Commit::default() }).await.unwrap();
    claim(&*store, "w", 0).await.unwrap();
    store.commit(Commit { enqueue: again(), ..Commit::default() }).await.unwrap();
    let jobs: Vec<_> = store.jobs().await.unwrap().into_iter().map(|job| (job.kind, job.held.is_some())).collect();
    assert_eq!(jobs, [(JobKind::Run, true), (JobKind::Verify, false)]);
}

pub(crate) async fn dropped_jobs_take_the_lease_along(store: Arc<dyn Store>) {
    let (kept, dropped) =
        (queued(&*store, "kept", JobKind::Run).await, queued(&*store, "dropped", JobKind::Verify).await);
    let holder = store.claim("w", &[JobKind::Verify], 9, NOW, at(60)).await.unwrap().unwrap();
    let enqueue = vec![job(&dropped, JobKind::Verify), job(&dropped, JobKind::Deliver)];
    let commit = Commit { drop_jobs: vec![dropped.id.clone()], enqueue, ..Commit::default() };
    store.commit(commit).await.unwrap();
    let late = Commit { job: Some((holder.lease(), None)), ..Commit::default() };
    assert!(matches!(store.commit(late).await, Err(StoreError::LeaseLost(_))));
    let jobs: Vec<_> = store.jobs().await.unwrap().into_iter().map(|job| (job.task, job.kind, job.held)).collect();
    assert_eq!(
        jobs,
        [
            (kept.id, JobKind::Run, None),
            (dropped.id.clone(), JobKind::Verify, None),
            (dropped.id, JobKind::Deliver, None),
        ]
    );
}

pub(crate) async fn dead_workers_are_released(store: Arc<dyn Store>) {
    for title in ["one", "two", "three"] {
        queued(&*store, title, JobKind::Run).await;
    }
    let mine = claim(&*store, "host%-1/a", 0).await.unwrap();
    claim(&*store, "host%-1/b", 0).await.unwrap();
    let other = claim(&*store, "hostess-1/a", 0).await.unwrap();
    assert_eq!(store.release("host%-", at(-10)).await.unwrap(), 2, "the prefix is no pattern");
    assert!(matches!(store.renew(&mine.lease(), at(99)).await, Err(StoreError::LeaseLost(_))));
    store.renew(&other.lease(), at(60)).await.unwrap();
    let due = [claim(&*store, "new", -10).await, claim(&*store, "new", -10).await, claim(&*store, "new", -10).await];
    assert_eq!(due.map(|job| job.map(|job| job.claims)), [Some(2), Some(2), None]);
    assert_eq!(store.release("nobody", NOW).await.unwrap(), 0);
}

pub(crate) async fn only_the_wanted_kinds_are_claimed(store: Arc<dyn Store>) {
    queued(&*store, "one", JobKind::Verify).await;
    for kinds in [&[][..], &[JobKind::Run, JobKind::Deliver]] {
        assert_eq!(store.claim("w", kinds, 9, NOW, at(60)).await.unwrap(), None);
    }
    let claimed = store.claim("w", &[JobKind::Verify], 9, NOW, at(60)).await.unwrap();
    assert_eq!(claimed.map(|job| job.kind), Some(JobKind::Verify));
}
