//! Verifying: the service runs the repository's own checks itself, on exactly the commit that would be delivered.
//!
//! **Wanted properties.** The agent cannot touch what judges it: a fresh checkout, the checks of the *base* commit's
//! policy, a sandbox without network. A check that is red on the base too is no fault of the agent's: it is named as
//! such, and nothing is tried again in vain.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use backlog::event::{Actor, EventKind, NewEvent};
use backlog::names::{BranchName, CommitId};
use backlog::run::{CheckResult, Run};
use backlog::task::{Task, TaskState, Work};
use backlog::verdict::{Verdict, judge};
use git::{Mirror, Tree};
use runner::checks::{CheckCommand, CheckLimits, CheckReport, RootFiles, detect};
use store::{Commit, Job, JobEnd, JobKind, NewJob};
use tokio_util::sync::CancellationToken;

use crate::deliver::done;
use crate::run::{changed, confinement, fall_back};
use crate::settings::RepositoryPolicy;
use crate::{Context, discover};

/// Job: judges what a run made.
///
/// # Errors
/// When a checkout cannot be made or the store fails; the worker tries the job again.
pub async fn verify_run(ctx: &Arc<Context>, job: &Job, cancel: &CancellationToken) -> Result<()> {
    let Some(task) = ctx.store.task(&job.task).await? else { return done(ctx, job).await };
    let TaskState::Verifying { work, run } = &task.state else { return done(ctx, job).await };
    let mut run = ctx.store.run(run).await?.context("the run of a task is stored")?;
    let commit = run.commit.clone().context("a run to verify has a commit")?;
    let mirror = discover::mirror(ctx, &task.repository).await?;
    let base = before(&mirror, &run, work).await?;
    // What judges the work comes from before the work.
    let tree = mirror.files(&base).await?;
    let policy = discover::policy(&mirror, &tree).await?;
    let diff = mirror.diff(&base, &commit).await?;
    run.files = changed(diff.files);
    run.diff = diff.text;

    let settings = ctx.settings();
    let limits = policy.diff(&settings.verification);
    let commands = commands(&mirror, &tree, &policy).await?;
    run.checks = check(ctx, job, &run, &mirror, &commit, "verify", &commands, cancel).await?;
    if cancel.is_cancelled() {
        return put_back(ctx, job).await;
    }
    let mut objections = match judge(&run.files, &run.checks, &limits) {
        Verdict::Good => Vec::new(),
        Verdict::NotGood { objections } => objections,
    };
    let red: Vec<CheckCommand> = commands
        .iter()
        .filter(|command| run.checks.iter().any(|check| check.name == command.name && !check.passed))
        .cloned()
        .collect();
    let mut retryable = true;
    if !red.is_empty() {
        let before = check(ctx, job, &run, &mirror, &base, "baseline", &red, cancel).await?;
        if cancel.is_cancelled() {
            // A check that was stopped says nothing about the base.
            return put_back(ctx, job).await;
        }
        for check in before.iter().filter(|check| !check.passed) {
            retryable = false;
            objections.push(format!(
                "The check `{}` does not pass without the change either. Mend the default branch, or name other checks \
                 in .github/ccm.toml, then retry.",
                check.name
            ));
        }
    }
    conclude(ctx, job, task, run, objections, retryable).await
}

/// Shutdown: the next start judges it from the beginning.
async fn put_back(ctx: &Arc<Context>, job: &Job) -> Result<()> {
    let end = JobEnd::Retry { at: ctx.now(), counts: false };
    ctx.store.commit(Commit { job: Some((job.lease(), Some(end))), ..Commit::default() }).await?;
    Ok(())
}

/// The commit that the whole work is judged against: where the run began, and for a later round where the branch left
/// the default branch, so that no round can bring in what one run may not.
async fn before(mirror: &Mirror, run: &Run, work: &Work) -> Result<CommitId> {
    let began = run.base.clone().context("a run to verify has a base")?;
    if work.pull.is_none() {
        return Ok(began);
    }
    let trunk = mirror.fetch().await?.head.context("the repository has no commits any more")?;
    Ok(mirror.merge_base(&trunk, &began).await?.unwrap_or(began))
}

async fn conclude(
    ctx: &Arc<Context>,
    job: &Job,
    task: Task,
    mut run: Run,
    objections: Vec<String>,
    retryable: bool,
) -> Result<()> {
    let now = ctx.now();
    let event = |kind| NewEvent {
        at: now,
        repository: task.repository.clone(),
        task: Some(task.id.clone()),
        actor: Actor::Service,
        kind,
    };
    let mut events: Vec<NewEvent> = run
        .checks
        .iter()
        .map(|check| event(EventKind::Checked { name: check.name.clone(), passed: check.passed }))
        .collect();
    events.push(event(EventKind::Judged { good: objections.is_empty(), reasons: objections.clone() }));
    run.objections.clone_from(&objections);
    if !objections.is_empty() {
        return fall_back(ctx, job, task, run, objections, retryable, events).await;
    }
    let commit = Commit {
        job: Some((job.lease(), Some(JobEnd::Done))),
        runs: vec![run],
        enqueue: vec![NewJob { kind: JobKind::Deliver, ..crate::approve::run_job(&task, now) }],
        events,
        ..Commit::default()
    };
    ctx.store.commit(commit).await?;
    ctx.work.notify_one();
    Ok(())
}

/// The checks of a repository: those it names, else those that are recognised.
async fn commands(mirror: &Mirror, tree: &Tree, policy: &RepositoryPolicy) -> Result<Vec<CheckCommand>> {
    if let Some(lines) = &policy.checks {
        return Ok(lines.iter().map(|line| CheckCommand::new(line)).collect());
    }
    let mut names: Vec<String> = tree
        .files
        .iter()
        .map(|file| file.path.split_once('/').map_or(file.path.clone(), |(folder, _)| format!("{folder}/")))
        .collect();
    names.sort();
    names.dedup();
    let mut python_config = String::new();
    for name in ["pyproject.toml", "setup.cfg", "tox.ini"] {
        python_config.push_str(&discover::read_file(mirror, tree, name).await?.unwrap_or_default());
    }
    let roots = RootFiles {
        names,
        package_json: discover::read_file(mirror, tree, "package.json").await?,
        makefile: discover::read_file(mirror, tree, "Makefile").await?,
        python_config,
    };
    Ok(detect(&roots))
}

/// Runs checks on a commit in a fresh checkout of its own, which is removed afterwards.
#[expect(clippy::too_many_arguments, reason = "two call sites; each part is needed")]
async fn check(
    ctx: &Arc<Context>,
    job: &Job,
    run: &Run,
    mirror: &Mirror,
    commit: &CommitId,
    purpose: &str,
    commands: &[CheckCommand],
    cancel: &CancellationToken,
) -> Result<Vec<CheckResult>> {
    if commands.is_empty() {
        return Ok(Vec::new());
    }
    let dir = ctx.paths.run(&run.id).join(format!("{purpose}-{}", job.epoch));
    tokio::fs::create_dir_all(ctx.paths.run(&run.id)).await.context("cannot make the run's folder")?;
    let branch: BranchName = run.branch.clone();
    let checkout = mirror.checkout(&dir, commit, &branch).await?;
    let marker = format!("{}-{purpose}", run.id);
    let confinement = confinement(ctx, &marker, checkout.dir(), mirror);
    let minutes = ctx.settings().verification.check_minutes;
    let limits = CheckLimits { each: Duration::from_secs(minutes * 60), ..CheckLimits::default() };
    let reports =
        runner::run_checks(&confinement, commands, ctx.sandbox.as_ref(), &limits, cancel, &mut |_, _| {}).await?;
    checkout.remove().await?;
    Ok(reports.into_iter().map(result).collect())
}

fn result(report: CheckReport) -> CheckResult {
    let reason = if report.passed {
        String::new()
    } else if report.timed_out {
        format!("timed out after {} s", report.duration.as_secs())
    } else {
        report.exit.map_or("ended by a signal".to_owned(), |code| format!("exit code {code}"))
    };
    CheckResult {
        name: report.name,
        command: report.command,
        passed: report.passed,
        reason,
        millis: u64::try_from(report.duration.as_millis()).unwrap_or(u64::MAX),
        log: report.log_tail,
    }
}
