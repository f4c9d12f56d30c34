//! `ccm tasks` and `ccm add`: the backlog from the terminal.
//!
//! They work on the database directly, so they need no running service; one that runs sees what they change.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use backlog::event::{Actor, Channel};
use backlog::names::{RepoName, TaskId};
use backlog::task::{Stage, Task};
use pipeline::approve::{self, Decision};
use pipeline::{Context, rank, wording};
use runner::AgentEvent;
use store::{EventQuery, Store, TaskFilter};

use crate::cli::{Common, Tasks};
use crate::config::{self, ConfigError};
use crate::{DONE, output, wire};

async fn open(common: &Common) -> Result<Arc<Context>> {
    let mut config = config::load(common.config.as_deref())?.config;
    // Nothing here talks to a code host: no token is needed.
    config.github = None;
    wire::context(common, &config, Vec::new()).await
}

fn me() -> Actor {
    Actor::person(wire::local_user(), Channel::Cli)
}

/// `ccm add`
///
/// # Errors
/// When the repository is not watched or the store fails.
pub async fn add(common: &Common, title: &str, repo: &str, body: &str, agent: Option<String>) -> Result<u8> {
    let repository: RepoName = repo.parse().map_err(|error| ConfigError(format!("--repo: {error}")))?;
    let ctx = open(common).await?;
    let task = approve::add(&ctx, repository, title, body, agent, me()).await?;
    if common.json {
        return output::json(&task);
    }
    output::line(task.id.as_str());
    output::remark(&format!("Added. `ccm tasks approve {}` has it done.", task.id));
    Ok(DONE)
}

/// `ccm tasks …`
///
/// # Errors
/// When there is no such task, it cannot be done in its state, or the store fails.
pub async fn tasks(common: &Common, action: Option<Tasks>) -> Result<u8> {
    let ctx = open(common).await?;
    match action.unwrap_or(Tasks::List { state: None, repo: None, limit: 50 }) {
        Tasks::List { state, repo, limit } => list(common, &ctx, state.as_deref(), repo.as_deref(), limit).await,
        Tasks::Show { task } => show(common, &ctx, &task).await,
        Tasks::Approve { task } => decide(common, &ctx, &task, Decision::Approve(None), "Approved").await,
        Tasks::Reject { task } => decide(common, &ctx, &task, Decision::Reject, "Rejected").await,
        Tasks::Cancel { task } => decide(common, &ctx, &task, Decision::Cancel, "Cancelled").await,
        Tasks::Retry { task } => decide(common, &ctx, &task, Decision::Retry, "Queued again").await,
        Tasks::Logs { task, follow } => logs(common, &ctx, &task, follow).await,
    }
}

/// The task with that id, or the only one whose id begins so.
async fn find(store: &dyn Store, text: &str) -> Result<Task> {
    if let Ok(id) = text.parse::<TaskId>()
        && let Some(task) = store.task(&id).await?
    {
        return Ok(task);
    }
    let all = store.tasks(&TaskFilter::default()).await?;
    let mut matching = all.into_iter().filter(|task| !text.is_empty() && task.id.as_str().starts_with(text));
    match (matching.next(), matching.next()) {
        (Some(task), None) => Ok(task),
        (Some(_), Some(_)) => bail!("several tasks begin with {text}; give more of the id"),
        (None, _) => bail!("there is no task {text}; `ccm tasks list` shows them"),
    }
}

async fn list(common: &Common, ctx: &Context, state: Option<&str>, repo: Option<&str>, limit: usize) -> Result<u8> {
    let stages = match state {
        Some(text) => vec![Stage::parse(text).ok_or_else(|| {
            let known: Vec<_> = Stage::ALL.iter().map(|stage| stage.as_str()).collect();
            ConfigError(format!("`{text}` is no state; there are {}", known.join(", ")))
        })?],
        None => Stage::ALL.into_iter().filter(|stage| !matches!(stage, Stage::Obsolete | Stage::Rejected)).collect(),
    };
    let repository = repo.map(str::parse).transpose().map_err(|error| ConfigError(format!("--repo: {error}")))?;
    let tasks = ctx.store.tasks(&TaskFilter { stages, repository, limit, ..TaskFilter::default() }).await?;
    if common.json {
        return output::json(&tasks);
    }
    if tasks.is_empty() {
        output::remark("No tasks. `ccm serve` looks for work; `ccm add` adds one of your own.");
        return Ok(DONE);
    }
    let rows = tasks
        .iter()
        .map(|task| {
            vec![
                task.id.to_string(),
                task.score.points.to_string(),
                task.state.stage().to_string(),
                task.repository.to_string(),
                task.title.chars().take(80).collect(),
            ]
        })
        .collect();
    output::line(&output::table(&["TASK", "POINTS", "STATE", "REPOSITORY", "TITLE"], rows));
    Ok(DONE)
}

async fn show(common: &Common, ctx: &Context, text: &str) -> Result<u8> {
    let task = find(ctx.store.as_ref(), text).await?;
    let query = EventQuery { task: Some(task.id.clone()), ..EventQuery::default() };
    let events = ctx.store.events(&query).await?;
    let expectations = rank::expectations(ctx).await?;
    let expected = expectations.about(&task.source, &task.kind);
    if common.json {
        return output::json(&serde_json::json!({ "task": task, "expected": expected, "events": events }));
    }
    output::line(&format!("{}  {}  {}", task.id, task.state.stage(), task.repository));
    output::line(&task.title);
    if let Some(finding) = task.finding.as_ref().filter(|finding| !finding.path.is_empty()) {
        let place = format!("{}:{}", finding.path, finding.line);
        let parts = [place, wording::origin(finding)];
        output::line(&parts.iter().filter(|part| !part.is_empty()).cloned().collect::<Vec<_>>().join(", "));
    }
    output::line(&format!("\n{}\n", task.body.trim()));
    output::line(&format!("{} points", task.score.points));
    for reason in &task.score.reasons {
        output::line(&format!("  {:+} {}", reason.points, reason.name));
    }
    if let Some(expected) = expected {
        output::line(&wording::expected(expected));
    }
    output::line("");
    for event in events {
        output::line(&format!("{}  {}", event.event.at, wording::event(&event)));
    }
    if let (Stage::InReview, true, Some(pull)) = (task.state.stage(), task.repository.is_local(), task.state.pull()) {
        output::remark(&format!("Merge it on the dashboard, or with `git merge {}`.", pull.branch));
    }
    Ok(DONE)
}

async fn decide(common: &Common, ctx: &Arc<Context>, text: &str, decision: Decision, done: &str) -> Result<u8> {
    let task = find(ctx.store.as_ref(), text).await?;
    let task = approve::decide(ctx, &task.id, decision, me()).await?;
    if common.json {
        return output::json(&task);
    }
    output::remark(&format!("{done}: {} {}", task.id, task.title));
    Ok(DONE)
}

async fn logs(common: &Common, ctx: &Context, text: &str, follow: bool) -> Result<u8> {
    let id = find(ctx.store.as_ref(), text).await?.id;
    let mut run = None;
    let mut after = 0;
    loop {
        let runs = ctx.store.runs(Some(&id), 1_000).await?;
        let Some(last) = runs.last() else { bail!("no agent has worked on {id} yet") };
        if run.as_ref() != Some(&last.id) {
            output::remark(&format!("run {}", last.id));
            run = Some(last.id.clone());
            after = 0;
        }
        let finished = matches!(last.state, backlog::run::RunState::Finished(_));
        let lines = ctx.store.transcript(&last.id, after, 1_000).await?;
        for line in &lines {
            after = line.seq;
            if common.json {
                output::line(&line.line);
            } else if let Some(text) = said(&line.line) {
                output::line(&format!("{}  {text}", line.at));
            }
        }
        if lines.is_empty() {
            if !follow || finished {
                return Ok(DONE);
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
}

/// A transcript line for people; `None` for what only programs care about.
fn said(line: &str) -> Option<String> {
    let short = |text: &str| text.lines().next().unwrap_or("").chars().take(160).collect::<String>();
    Some(match serde_json::from_str(line).ok()? {
        AgentEvent::Text { text } => text,
        AgentEvent::ToolUse { name, input, .. } => format!("{name} {}", short(&input.to_string())),
        AgentEvent::ToolResult { text, is_error: true, .. } => format!("  failed: {}", short(&text)),
        AgentEvent::ToolResult { text, .. } => format!("  {}", short(&text)),
        AgentEvent::Retry { attempt, of, error, .. } => {
            format!("the model did not answer ({error}), try {attempt} of {of}")
        }
        AgentEvent::PermissionAsked { tool, allowed: false, reason } => {
            format!("{tool} was denied: {}", reason.unwrap_or_default())
        }
        AgentEvent::PersonMessage { text } => format!("you: {text}"),
        AgentEvent::Notice { text } | AgentEvent::Stderr { text } => text,
        AgentEvent::Result { succeeded, reason, .. } => {
            if succeeded {
                "finished".to_owned()
            } else {
                format!("ended: {reason}")
            }
        }
        AgentEvent::Session { .. }
        | AgentEvent::Thinking { .. }
        | AgentEvent::Usage(_)
        | AgentEvent::PermissionAsked { .. }
        | AgentEvent::Raw { .. } => return None,
    })
}
