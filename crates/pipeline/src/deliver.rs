//! Delivering: pushes one branch, opens the pull request, and proves on the code host that both are there.
//!
//! **Wanted properties.** One ref is pushed, never over somebody else's commits; a crash at any point repeats
//! harmlessly: the branch is already there, and the pull request is found by its branch and marker.

use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use backlog::event::{Actor, EventKind, NewEvent};
use backlog::names::CommitId;
use backlog::review::PullState;
use backlog::run::{Run, RunOutcome};
use backlog::task::{Command, Stage, Task, TaskState};
use forge::{GitUse, PullDraft};
use git::{GitError, Mirror, Rejection};
use store::{Commit, Job, JobEnd, StoreError};

use crate::{Context, discover, wording};

/// Job: delivers the verified commit of a task.
///
/// # Errors
/// When the code host or git cannot be reached; the worker tries the job again.
pub async fn deliver_run(ctx: &Arc<Context>, job: &Job) -> Result<()> {
    let Some(task) = ctx.store.task(&job.task).await? else { return done(ctx, job).await };
    let TaskState::Verifying { work, run } = &task.state else { return done(ctx, job).await };
    let run = ctx.store.run(run).await?.context("the run of a task is stored")?;
    let commit = run.commit.clone().context("a verified run has a commit")?;
    let forge = ctx.forges.of(&task.repository)?.clone();
    let view = forge.repository(&task.repository).await?;

    let access = forge.git_access(&task.repository, GitUse::Push).await?;
    let password = access.login.as_ref().map(|(_, password)| password.clone());
    let mirror = ctx.git.open_mirror(ctx.paths.mirror(&task.repository), discover::reached(access)).await?;
    let pushed = push(&mirror, &commit, &run, work.pull.is_none()).await;
    if let Some(password) = password {
        forge.give_back(&task.repository, &password).await;
    }
    match pushed {
        Ok(()) => {}
        Err(GitError::Rejected { message, reason, .. }) if reason != Rejection::Stale => {
            let why = format!("The code host refused the branch `{}`: {}", run.branch, message.trim());
            return give_up(ctx, job, task, wording::sentence(&why)).await;
        }
        Err(GitError::Rejected { .. }) => {
            let why = "Somebody pushed to the task's branch while the agent worked. Retry the task, and it goes on from there.".to_owned();
            return give_up(ctx, job, task, why).await;
        }
        Err(error) => return Err(error.into()),
    }
    let cost = ctx.store.runs(Some(&task.id), 0).await?.iter().map(|run| run.usage.cost_micro_usd).sum();
    let (title, body) = wording::pull_request(&task, &work.proposal, &work.approval.by, &run, cost);
    let draft = PullDraft {
        repository: task.repository.clone(),
        task: task.id.clone(),
        title,
        body,
        branch: run.branch.clone(),
        head: commit.clone(),
        base: view.default_branch.clone(),
        draft: false,
    };
    let pull = forge.ensure_pull_request(&draft).await?;

    // The proof: what the code host shows, not what we sent.
    let seen = forge.pull_status(&task.repository, &pull, &view.default_branch).await?;
    if seen.head != commit && seen.state == PullState::Open {
        bail!("the code host does not show the new commit in the pull request yet");
    }
    let now = ctx.now();
    let event = NewEvent {
        at: now,
        repository: task.repository.clone(),
        task: Some(task.id.clone()),
        actor: Actor::Service,
        kind: EventKind::Delivered { url: pull.url.clone() },
    };
    let task = task.apply(Command::Deliver(pull.clone()), now)?;
    let commit = Commit {
        job: Some((job.lease(), Some(JobEnd::Done))),
        tasks: vec![task],
        events: vec![event],
        ..Commit::default()
    };
    match ctx.store.commit(commit).await {
        Ok(_) => Ok(()),
        Err(error @ StoreError::LeaseLost(_)) => {
            // Somebody cancelled it meanwhile, when nobody knew of the pull request yet.
            let now = ctx.store.task(&job.task).await?;
            if now.is_some_and(|task| task.state.stage() == Stage::Cancelled && task.state.pull().is_none()) {
                forge.close_pull(&job.repository, &pull).await?;
            }
            Err(error.into())
        }
        Err(error) => Err(error.into()),
    }
}

/// Pushes the commit to the run's branch, which is as the run found it.
async fn push(mirror: &Mirror, commit: &CommitId, run: &Run, first: bool) -> Result<(), GitError> {
    let expected = if first { None } else { run.base.as_ref() };
    match mirror.push(commit, &run.branch, expected).await {
        Err(error @ GitError::Rejected { reason: Rejection::Stale, .. }) if first => {
            // The branch exists from before a lost database: it is ours by its name, and nobody reviewed it.
            let Some(found) = mirror.branch_head(&run.branch).await? else { return Err(error) };
            mirror.push(commit, &run.branch, Some(&found)).await.map(drop)
        }
        pushed => pushed.map(drop),
    }
}

/// Ends a job that has nothing to do any more.
///
/// # Errors
/// When the lease is lost or the store fails.
pub async fn done(ctx: &Arc<Context>, job: &Job) -> Result<()> {
    ctx.store.commit(Commit { job: Some((job.lease(), Some(JobEnd::Done))), ..Commit::default() }).await?;
    Ok(())
}

/// Ends a job by failing its task.
///
/// # Errors
/// When the lease is lost or the store fails.
pub async fn give_up(ctx: &Arc<Context>, job: &Job, task: Task, reason: String) -> Result<()> {
    let now = ctx.now();
    let event = NewEvent {
        at: now,
        repository: task.repository.clone(),
        task: Some(task.id.clone()),
        actor: Actor::Service,
        kind: EventKind::Failed { reason: reason.clone() },
    };
    let id = task.id.clone();
    let outcome = RunOutcome::Failed { reason: reason.clone(), retryable: false };
    let runs = crate::run::cut_short(ctx, &task, outcome).await?;
    let task = task.apply(Command::GiveUp(reason), now)?;
    let commit = Commit {
        job: Some((job.lease(), Some(JobEnd::Done))),
        tasks: vec![task],
        runs,
        drop_jobs: vec![id],
        events: vec![event],
        ..Commit::default()
    };
    ctx.store.commit(commit).await?;
    Ok(())
}
