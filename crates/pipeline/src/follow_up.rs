//! Following up: what a pull request asks for until it is merged or closed.

use std::sync::Arc;

use anyhow::Result;
use backlog::event::{Actor, Channel, EventKind, NewEvent};
use backlog::names::RepoName;
use backlog::review::{FollowUp, PullState, follow_up as decide};
use backlog::run::RunOutcome;
use backlog::task::{Command, Pull, Revision, Stage, Task, TaskState};
use backlog::time::Timestamp;
use forge::ForgeError;
use store::{Commit, StoreError, TaskFilter};

use crate::{Context, keep_going};

/// Reconciler: looks at every delivered pull request of a repository and does what it asks for.
///
/// # Errors
/// When the code host or the store cannot be asked; it is tried again at the next activation.
pub async fn follow_up(ctx: &Arc<Context>, repository: &RepoName) -> Result<()> {
    let filter = TaskFilter {
        repository: Some(repository.clone()),
        stages: vec![Stage::Approved, Stage::Running, Stage::Verifying, Stage::InReview, Stage::Failed],
        ..TaskFilter::default()
    };
    let tasks = ctx.store.tasks(&filter).await?;
    let delivered: Vec<(Task, Pull)> =
        tasks.into_iter().filter_map(|task| task.state.pull().cloned().map(|pull| (task, pull))).collect();
    if delivered.is_empty() {
        return Ok(());
    }
    let forge = ctx.forges.of(repository)?.clone();
    let base = forge.repository(repository).await?.default_branch;
    let mut failed = None;
    for (task, pull) in delivered {
        let status = match forge.pull_status(repository, &pull, &base).await {
            Ok(status) => status,
            Err(ForgeError::NotFound(what)) => {
                tracing::warn!(task = %task.id, what, "a pull request is not there any more");
                continue;
            }
            Err(error) => {
                keep_going(Err(error.into()), &mut failed)?;
                continue;
            }
        };
        let next = match (&task.state, &status.state) {
            (TaskState::InReview { work, .. }, _) => decide(&status, &pull, work, &ctx.settings().verification.retry()),
            (_, PullState::Merged { at, by }) => FollowUp::Merged { at: *at, by: by.clone() },
            (_, PullState::Closed { by }) => FollowUp::Closed { by: by.clone() },
            (_, PullState::Open) => FollowUp::Wait,
        };
        match next {
            FollowUp::Wait => {}
            FollowUp::Merged { at, by } => {
                merged(ctx, task, at, Actor::person(by.as_deref().unwrap_or("somebody"), Channel::Forge)).await?;
            }
            FollowUp::Closed { by } => {
                let by = Actor::person(by.as_deref().unwrap_or("somebody"), Channel::Forge);
                close(ctx, task, by).await?;
            }
            FollowUp::Revise(revision) => revise(ctx, task, revision).await?,
            FollowUp::GiveUp { why, revision } => {
                // What is still asked for stays with the task, so that a retry takes it up.
                let task = task.apply(Command::Revise(revision), ctx.now())?;
                let kind = EventKind::Failed { reason: why.clone() };
                commit(ctx, task, Command::GiveUp(why), kind, Actor::Service).await?;
            }
        }
    }
    failed.map_or(Ok(()), Err)
}

/// The pull request was merged: the task is done.
///
/// # Errors
/// When the store fails.
pub async fn merged(ctx: &Arc<Context>, task: Task, at: Timestamp, by: Actor) -> Result<()> {
    stop(ctx, &task);
    commit(ctx, task, Command::Merge(at), EventKind::Merged, by).await
}

async fn close(ctx: &Arc<Context>, task: Task, by: Actor) -> Result<()> {
    stop(ctx, &task);
    commit(ctx, task, Command::ClosePull(by.clone()), EventKind::PullClosed, by).await
}

/// Stops the agent that works on a task whose pull request is decided.
fn stop(ctx: &Context, task: &Task) {
    if let Some(live) = task.state.run().and_then(|run| ctx.live.get(run)) {
        live.cancel.cancel();
    }
}

async fn revise(ctx: &Arc<Context>, task: Task, revision: Revision) -> Result<()> {
    let why = match (revision.notes.len(), revision.red_checks.len()) {
        (0, _) => format!("{} is red", names(&revision)),
        (1, 0) => format!("{} asks for a change", revision.notes[0].by),
        (n, 0) => format!("{n} review comments"),
        (n, _) => format!("{n} review comments, and {} is red", names(&revision)),
    };
    let (id, repository, now) = (task.id.clone(), task.repository.clone(), ctx.now());
    let task = task.apply(Command::Revise(revision), now)?;
    let kind = EventKind::RevisionAsked { why };
    let event = NewEvent { at: now, repository, task: Some(id), actor: Actor::Service, kind };
    let job = crate::approve::run_job(&task, now);
    store(ctx, Commit { tasks: vec![task], enqueue: vec![job], events: vec![event], ..Commit::default() }).await?;
    ctx.work.notify_one();
    Ok(())
}

fn names(revision: &Revision) -> String {
    revision.red_checks.iter().map(|check| check.name.as_str()).collect::<Vec<_>>().join(", ")
}

async fn commit(ctx: &Arc<Context>, task: Task, command: Command, kind: EventKind, by: Actor) -> Result<()> {
    let (id, repository, now) = (task.id.clone(), task.repository.clone(), ctx.now());
    let nudged = repository.clone();
    let runs = crate::run::cut_short(ctx, &task, RunOutcome::Cancelled).await?;
    let task = task.apply(command, now)?;
    let event = NewEvent { at: now, repository, task: Some(id.clone()), actor: by, kind };
    let (tasks, drop_jobs, events) = (vec![task], vec![id], vec![event]);
    store(ctx, Commit { tasks, runs, drop_jobs, events, ..Commit::default() }).await?;
    ctx.nudges.ask(&nudged);
    Ok(())
}

/// Commits; when somebody was faster, the next activation looks again.
async fn store(ctx: &Arc<Context>, commit: Commit) -> Result<()> {
    match ctx.store.commit(commit).await {
        Ok(_) | Err(StoreError::Conflict(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
