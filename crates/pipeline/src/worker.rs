//! The worker: claims jobs, keeps their leases alive, and ends them.
//!
//! **Definition.** A worker is the loop that runs jobs. One service process serves a data folder: a run's commit is in
//! that folder's mirror, so its verification and delivery belong to the same machine.
//!
//! **Wanted properties.** A job is worked by one holder at a time; a holder that lost its lease stops and commits
//! nothing; every claim ends in done, retry or fail; a stop signal lets jobs finish for a while, then puts them
//! back without counting an attempt.
//!
//! **Known races.** *A frozen process wakes after its lease ended*: every commit carries the lease's epoch and is
//! refused; what it may still do outside is safe to repeat (branch by compare-and-swap, pull request by marker).

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use backlog::retry::{JOB_MAX_CLAIMS, backoff};
use forge::ForgeError;
use store::{Commit, Job, JobEnd, JobKind, StoreError};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{Context, deliver, discover, run, verify};

/// How long a claim is good for without a renewal.
pub const LEASE: Duration = Duration::from_secs(60);
/// How often a lease is renewed.
const RENEW: Duration = Duration::from_secs(15);
/// How often the queue is looked at without a nudge.
const POLL: Duration = Duration::from_secs(2);
/// Where it is kept why a step failed last.
const WHY: &str = "why";
/// For how long.
const KEEP_WHY: Duration = Duration::from_secs(7 * 86_400);

/// Claims and runs jobs until `stop` is cancelled, then waits for the running ones; `kill` ends those at once.
pub async fn work(ctx: Arc<Context>, stop: CancellationToken, kill: CancellationToken) {
    let mut running = JoinSet::new();
    loop {
        while running.try_join_next().is_some() {}
        let free = (ctx.settings().limits.concurrent_runs.max(1) as usize).saturating_sub(running.len());
        if free > 0 && !stop.is_cancelled() {
            match claim(&ctx).await {
                Ok(Some(job)) => {
                    let (ctx, kill) = (ctx.clone(), kill.clone());
                    running.spawn(async move { perform(&ctx, job, &kill).await });
                    continue;
                }
                Ok(None) => {}
                Err(error) => tracing::error!(error = format!("{error:#}"), "no job could be claimed"),
            }
        }
        if stop.is_cancelled() && running.is_empty() {
            return;
        }
        tokio::select! {
            () = ctx.work.notified() => {}
            () = stop.cancelled(), if !stop.is_cancelled() => {}
            _ = running.join_next(), if !running.is_empty() => {}
            () = tokio::time::sleep(POLL) => {}
        }
    }
}

/// Runs due jobs one after the other until none is left; says whether there was any. For tests and `demo`.
///
/// # Errors
/// When the store fails.
pub async fn drain(ctx: &Arc<Context>) -> Result<bool> {
    let mut any = false;
    while let Some(job) = claim(ctx).await? {
        perform(ctx, job, &CancellationToken::new()).await;
        any = true;
    }
    Ok(any)
}

async fn claim(ctx: &Arc<Context>) -> Result<Option<Job>> {
    let now = ctx.now();
    let per_repository = ctx.settings().limits.runs_per_repository.max(1);
    Ok(ctx.store.claim(&ctx.worker, &JobKind::ALL, per_repository, now, now.plus(LEASE)).await?)
}

/// Works one claimed job to its end.
async fn perform(ctx: &Arc<Context>, job: Job, kill: &CancellationToken) {
    let cancel = kill.child_token();
    let kind = job.kind.as_str();
    let gauge = metrics::gauge!("ccm_operations_in_flight", "operation" => kind);
    gauge.increment(1.0);
    let began = std::time::Instant::now();
    let outcome = {
        let renewing = renew(ctx, &job, &cancel);
        let working = step(ctx, &job, &cancel);
        tokio::pin!(renewing, working);
        tokio::select! {
            result = &mut working => result,
            () = &mut renewing => {
                // The lease is lost: stop the work, and let it end in order.
                cancel.cancel();
                working.await
            }
        }
    };
    gauge.decrement(1.0);
    let word = if outcome.is_ok() { "ok" } else { "failed" };
    metrics::counter!("ccm_operations_total", "operation" => kind, "outcome" => word).increment(1);
    metrics::histogram!("ccm_operation_duration_seconds", "operation" => kind).record(began.elapsed().as_secs_f64());
    if let Err(error) = outcome {
        end_failed(ctx, &job, &error).await;
    }
}

async fn step(ctx: &Arc<Context>, job: &Job, cancel: &CancellationToken) -> Result<()> {
    if job.claims > JOB_MAX_CLAIMS {
        return match ctx.store.task(&job.task).await? {
            Some(task) if !task.state.is_final() => {
                let why = ctx
                    .store
                    .note(WHY, task.id.as_str(), ctx.now())
                    .await?
                    .map_or("Look at the service's log, then retry the task.".to_owned(), |why| {
                        format!("{} Mend that, then retry the task.", crate::wording::sentence(&why))
                    });
                let reason = format!(
                    "The step `{}` was begun {} times and never ended. {why}",
                    job.kind.as_str(),
                    job.claims - 1
                );
                deliver::give_up(ctx, job, task, reason).await
            }
            _ => deliver::done(ctx, job).await,
        };
    }
    match job.kind {
        JobKind::Run => run::run_task(ctx, job, cancel).await,
        JobKind::Verify => verify::verify_run(ctx, job, cancel).await,
        JobKind::Deliver => deliver::deliver_run(ctx, job).await,
    }
}

/// Renews the lease until it is lost.
async fn renew(ctx: &Arc<Context>, job: &Job, cancel: &CancellationToken) {
    let lease = job.lease();
    loop {
        tokio::select! {
            () = tokio::time::sleep(RENEW) => {}
            // Cancelled means the work is ending; the lease is still needed for its last commit.
            () = cancel.cancelled() => std::future::pending().await,
        }
        match ctx.store.renew(&lease, ctx.now().plus(LEASE)).await {
            Ok(()) => {}
            Err(StoreError::LeaseLost(_)) => return,
            Err(error) => tracing::warn!(error = %error, "a lease could not be renewed; it is tried again"),
        }
    }
}

/// Whether the code host or the way to it is the trouble: it may last for hours and is no fault of a task, so the
/// pauses grow but the task never fails by it.
fn is_outside(error: &anyhow::Error) -> bool {
    use git::GitError::{Limited, Timeout, Transient};
    matches!(error.downcast_ref(), Some(ForgeError::Transient { .. } | ForgeError::BadCredential(_)))
        || matches!(error.downcast_ref(), Some(Limited { .. } | Timeout { .. } | Transient { .. }))
        || is_refused(error)
}

/// Whether somebody has to change a permission first: the repository tells it, and its tasks wait.
fn is_refused(error: &anyhow::Error) -> bool {
    use git::GitError::{Denied, NotFound};
    matches!(error.downcast_ref(), Some(ForgeError::Denied { .. }))
        || matches!(error.downcast_ref(), Some(Denied { .. } | NotFound { .. }))
}

/// Puts a job back whose step failed; a limit of the code host is no failure.
async fn end_failed(ctx: &Arc<Context>, job: &Job, error: &anyhow::Error) {
    if error.downcast_ref::<StoreError>().is_some_and(|error| matches!(error, StoreError::LeaseLost(_))) {
        tracing::info!(task = %job.task, "the task was decided otherwise while a job worked on it");
        return;
    }
    let now = ctx.now();
    let later = now.plus(backoff(job.claims, Duration::from_secs(5), Duration::from_secs(900)));
    let counted = !is_outside(error) || job.claims + 1 < JOB_MAX_CLAIMS;
    let git_waits = match error.downcast_ref() {
        Some(git::GitError::Limited { retry_after, .. }) => *retry_after,
        _ => None,
    };
    let (at, counts) = match error.downcast_ref::<ForgeError>() {
        Some(ForgeError::Limited { until }) => (*until, false),
        Some(ForgeError::Transient { retry_at: Some(at), .. }) => (*at, counted),
        _ => git_waits.map_or((later, counted), |wait| (now.plus(wait), false)),
    };
    tracing::warn!(task = %job.task, step = job.kind.as_str(), error = format!("{error:#}"), "a step failed and is tried again");
    if let Some(ForgeError::Denied { what, why }) = error.downcast_ref()
        && let Err(error) = discover::refused(ctx, &job.repository, what, why).await
    {
        tracing::warn!(error = format!("{error:#}"), "a repository that refuses could not be parked");
    } else if is_refused(error) {
        // A look at it parks it with the reason.
        ctx.nudges.ask_for_code(&job.repository);
    }
    let why: String = format!("{error:#}").chars().take(500).collect();
    if let Err(error) = ctx.store.put_note(WHY, job.task.as_str(), &why, Some(now.plus(KEEP_WHY))).await {
        tracing::warn!(error = %error, "why a step failed could not be kept");
    }
    let end = Commit { job: Some((job.lease(), Some(JobEnd::Retry { at, counts }))), ..Commit::default() };
    if let Err(error) = ctx.store.commit(end).await {
        tracing::warn!(error = %error, "a job could not be put back; its lease will end");
    }
}
