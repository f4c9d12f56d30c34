//! Housekeeping: deletes only what is provably ours and dead.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use backlog::names::{RepoName, RunId};
use backlog::run::RunState;
use backlog::task::Stage;

use crate::Context;
use crate::discover::TOOL;

mod mirrors;

/// Reconciler: frees the folders of runs that nothing can need any more, mirrors beyond their budget, and old rows.
///
/// # Errors
/// When the store or the disk fails.
pub async fn housekeep(ctx: &Arc<Context>) -> Result<()> {
    let keep = Duration::from_secs(ctx.settings().limits.keep_days.saturating_mul(86_400));
    let now = ctx.now();
    let keep_after =
        backlog::time::Timestamp(now.0.saturating_sub(i64::try_from(keep.as_millis()).unwrap_or(i64::MAX)));
    ctx.store.tidy(now, keep_after).await?;
    mirrors::tidy(ctx).await?;
    for run in folders(ctx).await? {
        if is_dead(ctx, &run).await?
            && let Err(error) = remove(ctx, &run).await
        {
            tracing::warn!(run = %run, error = format!("{error:#}"), "a run's folder could not be deleted; the others go on");
        }
    }
    Ok(())
}

/// How often what is kept of a repository is packed.
const MAINTAIN_EVERY: Duration = Duration::from_secs(7 * 86_400);

/// Reconciler: packs what is here of a repository now and then. Every fetch adds to it, and git is told not to tidy by
/// itself.
///
/// # Errors
/// When the store or git fails; it is tried again when the next time has come.
pub async fn maintain(ctx: &Arc<Context>, repository: &RepoName) -> Result<()> {
    let (glance, mirror) =
        (is_there(&ctx.paths.glance(repository)).await?, is_there(&ctx.paths.mirror(repository)).await?);
    let (space, key, now) = ("maintained", repository.as_str(), ctx.now());
    if !(glance || mirror) || ctx.store.note(space, key, now).await?.is_some() {
        return Ok(());
    }
    ctx.store.put_note(space, key, "", Some(now.plus(MAINTAIN_EVERY))).await?;
    if glance {
        crate::discover::glance(ctx, repository).await?.maintain().await?;
    }
    if mirror {
        crate::discover::mirror(ctx, repository).await?.maintain().await?;
    }
    Ok(())
}

async fn is_there(folder: &Path) -> Result<bool> {
    tokio::fs::try_exists(folder).await.with_context(|| format!("cannot use {}", folder.display()))
}

/// At the start of the service: ends what an earlier process of this machine left behind.
///
/// Its leases end at once, and the processes of its runs and of tools that looked at code are killed: an agent without its
/// supervisor is neither metered nor watched.
///
/// # Errors
/// When the store fails or a process cannot be ended.
pub async fn recover(ctx: &Arc<Context>, machine: &str) -> Result<()> {
    let released = ctx.store.release(machine, ctx.now()).await?;
    if released > 0 {
        tracing::info!(released, "jobs of an earlier process of this machine are due again");
    }
    for run in folders(ctx).await? {
        let mut killed = 0;
        for what in ["", "-verify", "-baseline"] {
            killed += runner::kill_leftovers(&ctx.paths.marker(&format!("{run}{what}"))).await?;
        }
        if killed > 0 {
            tracing::warn!(run = %run, killed, "processes that an earlier service process left behind were ended");
        }
    }
    end_tools(ctx).await
}

/// Ends what tools of an earlier process left behind, and deletes their folders: a tool is run anew.
async fn end_tools(ctx: &Context) -> Result<()> {
    for name in names(ctx).await?.into_iter().filter(|name| name.starts_with(TOOL)) {
        let killed = runner::kill_leftovers(&ctx.paths.marker(&name)).await?;
        if killed > 0 {
            tracing::warn!(tool = name, killed, "processes that an earlier service process left behind were ended");
        }
        let folder = ctx.paths.runs().join(&name);
        git::remove_folder(&folder).await.with_context(|| format!("cannot delete {}", folder.display()))?;
    }
    Ok(())
}

/// The runs that have a folder.
async fn folders(ctx: &Context) -> Result<Vec<RunId>> {
    Ok(names(ctx).await?.iter().filter_map(|name| name.parse().ok()).collect())
}

/// The names of what lies in the folder of runs.
async fn names(ctx: &Context) -> Result<Vec<String>> {
    let mut entries = tokio::fs::read_dir(ctx.paths.runs()).await.context("the folder of runs cannot be read")?;
    let mut names = Vec::new();
    while let Some(entry) = entries.next_entry().await? {
        names.extend(entry.file_name().to_str().map(str::to_owned));
    }
    Ok(names)
}

/// A run is dead when it or its task is over and the task is not at work with it; an unknown one is left alone.
async fn is_dead(ctx: &Context, run: &RunId) -> Result<bool> {
    if ctx.live.get(run).is_some() {
        return Ok(false);
    }
    let Some(stored) = ctx.store.run(run).await? else { return Ok(false) };
    let Some(task) = ctx.store.task(&run.task()).await? else { return Ok(false) };
    let at_work = matches!(task.state.stage(), Stage::Running | Stage::Verifying) && task.state.run() == Some(run);
    let over = matches!(stored.state, RunState::Finished(_)) || task.state.is_final();
    Ok(over && !at_work)
}

/// Deletes a run's folder.
///
/// # Errors
/// When it is not ours, or cannot be deleted.
pub async fn remove(ctx: &Context, run: &RunId) -> Result<()> {
    let folder = ctx.paths.run(run);
    anyhow::ensure!(ctx.paths.owns(&folder), "{} is not a run's folder", folder.display());
    git::remove_folder(&folder).await.with_context(|| format!("cannot delete {}", folder.display()))
}

/// How many tasks wait in each stage, as a metric.
///
/// # Errors
/// When the store fails.
pub async fn measure(ctx: &Arc<Context>) -> Result<()> {
    let counts = ctx.store.stage_counts().await?;
    for stage in Stage::ALL {
        let count = counts.iter().find(|(known, _)| *known == stage).map_or(0, |(_, count)| *count);
        metrics::gauge!("ccm_tasks_total", "state" => stage.as_str()).set(count as f64);
    }
    let jobs = ctx.store.jobs().await?;
    for kind in store::JobKind::ALL {
        let depth = jobs.iter().filter(|job| job.kind == kind).count();
        metrics::gauge!("ccm_queue_depth", "queue" => kind.as_str()).set(depth as f64);
    }
    let found = counts.iter().find(|(stage, _)| *stage == Stage::Found).map_or(0, |(_, count)| *count);
    metrics::gauge!("ccm_queue_depth", "queue" => "proposals").set(found as f64);
    Ok(())
}
