//! `ccm demo`: the whole way of a task on sample repositories, with embedded defaults.
//!
//! The service is the real one: SQLite, the local forge, the sandbox where it works. Only the agent is not: it
//! replays a recorded session, and says so.

pub mod agent;
pub mod sample;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use backlog::event::{Actor, Channel};
use backlog::names::TaskId;
use backlog::task::{Stage, Task};
use pipeline::approve::{self, Decision};
use pipeline::settings::{AgentSettings, SandboxKind};
use pipeline::{Context, wording};
use store::{Change, EventQuery, TaskFilter};

use crate::cli::Common;
use crate::config::{Config, Loaded};
use crate::serve::Service;
use crate::{DONE, output, wire};

/// The longest a step of the headless demo may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs the demo.
///
/// # Errors
/// When the sample cannot be made, the service cannot start, or, headless, a task does not get through.
pub async fn demo(common: &Common, headless: bool, listen: &str) -> Result<u8> {
    let folder = tempfile::Builder::new().prefix("ccm-demo-").tempdir().context("cannot make a temporary folder")?;
    let git = git::Git::new("git".into());
    let repositories = sample::make(&git, folder.path(), &wire::SystemClock).await?;
    let config = config(headless, listen).await?;
    let common = Common { data_dir: Some(folder.path().join("data")), config: None, ..common.clone() };
    let locals = wire::local_repositories(&git, &repositories).await?;
    let service = Service::start(&common, Loaded { file: None, config }, locals).await?;
    output::remark(
        "The agent of this demo replays a recorded session; no model is asked and nothing leaves this machine.",
    );
    output::remark(&format!("Sandbox: {}", service.ctx.sandbox.level()));
    if !headless {
        output::remark("Approve a task on the board, watch it being done, read the diff, merge. Ctrl-C ends the demo.");
        return service.run().await;
    }
    let outcome = walk(&service.ctx).await;
    service.end().await;
    let task = outcome?;
    if common.json {
        return output::json(&task);
    }
    let merged = repositories.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
    output::remark(&format!("Merged. The sample repositories were {merged}; they go away now."));
    Ok(DONE)
}

/// Embedded defaults: the replaying agent, short intervals, a sandbox if one works.
async fn config(headless: bool, listen: &str) -> Result<Config> {
    let program = std::env::current_exe().context("the path of this program is not known")?;
    let mut config = Config::default();
    config.server.listen = if headless { "127.0.0.1:0".to_owned() } else { listen.to_owned() };
    let agent = AgentSettings {
        program: Some(program.display().to_string()),
        args: vec!["demo-agent".to_owned()],
        max_minutes: 5,
        ..AgentSettings::default()
    };
    config.agents.insert("default".to_owned(), agent);
    config.limits.poll_seconds = 2;
    config.limits.scan_seconds = 10;
    let probe = runner::probe(runner::Kind::Bubblewrap).await;
    if !probe.works {
        let why = probe.reason.unwrap_or_default();
        let mend = probe.mend.map_or(String::new(), |mend| format!(" With {mend} the demo runs in one."));
        output::remark(&format!("No sandbox on this machine: {why}{mend}"));
        config.sandbox.kind = SandboxKind::None;
    }
    Ok(config)
}

/// Waits until everything is proposed, approves the best task, waits for its review, merges it, and prints what happened.
async fn walk(ctx: &Arc<Context>) -> Result<Task> {
    let mut changes = ctx.store.changes();
    let best = wait(ctx, &mut changes, "a proposal", |ctx| async move {
        let everything_read = ctx.store.repositories().await?.iter().all(|repository| repository.scanned_at.is_some());
        let filter = TaskFilter { stages: vec![Stage::Found, Stage::Proposed], ..TaskFilter::default() };
        let tasks = ctx.store.tasks(&filter).await?;
        let all_shown = everything_read && tasks.iter().all(|task| task.state.stage() == Stage::Proposed);
        Ok(tasks.into_iter().next().filter(|_| all_shown))
    })
    .await?;
    let me = Actor::person(wire::local_user(), Channel::Cli);
    approve::decide(ctx, &best.id, Decision::Approve(Some(approve::seen(&best))), me.clone()).await?;
    wait(ctx, &mut changes, "a pull request", |ctx| at(ctx, best.id.clone(), Stage::InReview)).await?;
    approve::merge(ctx, &best.id, me).await?;
    let task = wait(ctx, &mut changes, "the merge", |ctx| at(ctx, best.id.clone(), Stage::Done)).await?;
    let events = ctx.store.events(&EventQuery { task: Some(best.id.clone()), ..EventQuery::default() }).await?;
    output::line(&format!("{}  {}\n", task.id, task.title));
    for event in events {
        output::line(&format!("{}  {}", event.event.at, wording::event(&event)));
    }
    if let Some(run) = ctx.store.runs(Some(&task.id), 1).await?.last() {
        output::line(&format!("\n{}", run.diff.trim_end()));
    }
    Ok(task)
}

/// The task once it is at a stage; an error once it can no longer get there.
async fn at(ctx: Arc<Context>, id: TaskId, stage: Stage) -> Result<Option<Task>> {
    let task = ctx.store.task(&id).await?.context("the task is there")?;
    if task.state.stage() == stage {
        return Ok(Some(task));
    }
    if task.state.is_final() {
        let events = ctx.store.events(&EventQuery { task: Some(id), ..EventQuery::default() }).await?;
        let last = events.last().map_or(String::new(), wording::event);
        bail!("the task is {} instead of {stage}: {last}", task.state.stage());
    }
    Ok(None)
}

/// Looks after every change until `look` finds something.
async fn wait<F: Future<Output = Result<Option<Task>>>>(
    ctx: &Arc<Context>,
    changes: &mut tokio::sync::broadcast::Receiver<Change>,
    what: &str,
    look: impl Fn(Arc<Context>) -> F,
) -> Result<Task> {
    let waiting = async {
        loop {
            if let Some(task) = look(ctx.clone()).await? {
                return Ok(task);
            }
            // A lagging or closed channel means: look again.
            let _ = tokio::time::timeout(Duration::from_millis(500), changes.recv()).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| {
        bail!("waited {} s for {what} in vain; `ccm -v demo --headless` says more", PATIENCE.as_secs())
    })
}

/// Where the demo's sample repositories are made.
#[must_use]
pub fn places(folder: &std::path::Path) -> Vec<(PathBuf, &'static [(&'static str, &'static str)])> {
    vec![(folder.join("greeter"), sample::GREETER), (folder.join("wordtools"), sample::WORDTOOLS)]
}
