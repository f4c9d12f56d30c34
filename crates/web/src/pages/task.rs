//! One task: what it is, why it matters, what to decide, and what agents did about it.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::Html;
use backlog::event::{Actor, Channel, Event, EventKind};
use backlog::expect::Expected;
use backlog::names::{RunId, TaskId};
use backlog::rank::Reason;
use backlog::run::{Run, RunOutcome, RunState};
use backlog::task::{Command, Stage, Task, TaskState};
use pipeline::wording::{self, usd};
use pipeline::{approve, rank};
use serde::Deserialize;
use store::EventQuery;

use super::diff::{self, Diff};
use super::{Frame, Part, Parts, View, When, duration, grouped, task_id, transcript};
use crate::Site;
use crate::fault::Fault;

/// Events on the timeline.
const EVENTS: usize = 200;
/// Runs in the list.
const RUNS: usize = 50;

#[derive(Template)]
#[template(path = "task_head.html")]
struct Head {
    id: String,
    repository: String,
    title: String,
    stage: Stage,
    stage_name: String,
    points: i64,
    created: When,
    issue: Option<String>,
    pull: Option<String>,
    branch: Option<String>,
    reason: Option<String>,
    /// The hash of the text below, which an approval hands back.
    content: String,
    shown: String,
    approve: bool,
    reject: bool,
    cancel: bool,
    retry: bool,
    merge: bool,
    next: &'static str,
}

impl Head {
    fn of(site: &Site, task: &Task) -> Self {
        // The rules themselves say which buttons there are.
        let by = Actor::person(&site.owner, Channel::Dashboard);
        let can = |command: Command| task.state.clone().apply(command).is_ok();
        let stage = task.state.stage();
        let undecided = matches!(stage, Stage::Found | Stage::Proposed);
        let shown = task.state.proposal().cloned().unwrap_or_else(|| approve::card(task, site.ctx.now()));
        let pull = task.state.pull();
        let reason = match &task.state {
            TaskState::Failed { reason, .. } => Some(reason.clone()),
            _ => None,
        };
        Self {
            id: task.id.to_string(),
            repository: task.repository.to_string(),
            title: task.title.clone(),
            stage,
            stage_name: stage.as_str().replace('_', " "),
            points: task.score.points,
            created: When(task.created_at),
            issue: shown.issue.as_ref().and_then(|issue| web_link(&issue.url)),
            pull: pull.and_then(|pull| web_link(&pull.url)),
            branch: pull.map(|pull| pull.branch.to_string()),
            reason,
            content: approve::seen(task).as_str().to_owned(),
            shown: shown.body,
            approve: undecided,
            reject: can(Command::Reject(by.clone())),
            cancel: !undecided && can(Command::Cancel(by)),
            retry: can(Command::Retry),
            merge: stage == Stage::InReview && task.repository.is_local(),
            next: next(task),
        }
    }
}

/// What a person can do about it now.
fn next(task: &Task) -> &'static str {
    match task.state.stage() {
        Stage::Found => "Not proposed yet. Approve it now, or leave it: the best tasks are proposed by themselves.",
        Stage::Proposed => "Waits for you: approve it and an agent begins, or reject it and it is not proposed again.",
        Stage::Approved => "Waits for a free agent. Nothing to do.",
        Stage::Running => "An agent works on it. You can watch it, speak to it, or cancel.",
        Stage::Verifying => "The repository's checks run on exactly the commit that was made.",
        Stage::InReview if task.repository.is_local() => "Read the change below, then merge it.",
        Stage::InReview => "Review the pull request. A request for changes goes back to the agent.",
        Stage::Done => "Merged. Nothing to do.",
        Stage::Failed => "No attempts are left. Read why, then retry or cancel.",
        Stage::Rejected => "Rejected. It is not proposed again.",
        Stage::Obsolete => "The work went away by itself. Nothing to do.",
        Stage::Cancelled => "Cancelled. Nothing to do.",
    }
}

/// An address that is safe to link to.
fn web_link(url: &str) -> Option<String> {
    (url.starts_with("https://") || url.starts_with("http://")).then(|| url.to_owned())
}

#[derive(Template)]
#[template(path = "task_why.html")]
struct Why<'a> {
    points: i64,
    reasons: &'a [Reason],
    /// What it is likely to take, once enough like it were worked.
    likely: Option<String>,
    source: String,
    kind: &'a str,
    place: Option<String>,
    text: &'a str,
    /// What else it is about: places, who wrote it and when, and texts.
    more: Vec<(String, String, &'a str)>,
    /// Who wrote it and when, and when it is due.
    origin: String,
    commit: Option<&'a str>,
}

impl<'a> Why<'a> {
    fn of(task: &'a Task, expected: Option<&Expected>) -> Self {
        let finding = task.finding.as_ref();
        let place = finding.filter(|finding| !finding.path.is_empty());
        Self {
            points: task.score.points,
            reasons: &task.score.reasons,
            likely: expected.map(wording::expected),
            source: task.source.to_string(),
            kind: &task.kind,
            place: place.map(|finding| format!("{}:{}", finding.path, finding.line)),
            text: finding.map_or(task.body.as_str(), |finding| finding.text.as_str()),
            more: task
                .more
                .iter()
                .map(|more| (format!("{}:{}", more.path, more.line), wording::origin(more), more.text.as_str()))
                .collect(),
            origin: finding.map_or(String::new(), wording::origin),
            commit: finding.and_then(|finding| finding.commit.as_ref()).map(|commit| commit.short()),
        }
    }
}

#[derive(Template)]
#[template(path = "task_options.html")]
struct Options {
    id: String,
    agents: Vec<String>,
    agent: String,
    budget: String,
    usual: String,
    open: bool,
}

impl Options {
    fn of(site: &Site, task: &Task) -> Self {
        let settings = site.ctx.settings();
        let agent = task.agent.clone().unwrap_or_else(|| "default".to_owned());
        let usual = settings.agents.get(&agent).map_or(String::new(), |agent| usd(agent.budget_micro_usd()));
        Self {
            id: task.id.to_string(),
            agents: settings.agents.keys().cloned().collect(),
            agent,
            budget: task.budget_micro_usd.map_or(String::new(), |micro| usd(micro).trim_start_matches('$').to_owned()),
            usual,
            open: matches!(
                task.state.stage(),
                Stage::Found | Stage::Proposed | Stage::Approved | Stage::InReview | Stage::Failed
            ),
        }
    }
}

struct RunRow {
    id: String,
    number: String,
    shown: bool,
    agent: String,
    state: String,
    tone: &'static str,
    started: When,
    took: String,
    cost: String,
}

impl RunRow {
    fn of(run: &Run, shown: bool) -> Self {
        let (state, tone) = standing(&run.state);
        let took = run.finished_at.map_or(String::new(), |at| duration(at.since(run.started_at)));
        let number = run.id.as_str().rsplit('-').next().unwrap_or_default().to_owned();
        let cost = usd(run.usage.cost_micro_usd);
        let (id, agent) = (run.id.to_string(), run.agent.clone());
        Self { id, number, shown, agent, state, tone, started: When(run.started_at), took, cost }
    }
}

#[derive(Template)]
#[template(path = "task_runs.html")]
struct Runs {
    task: String,
    runs: Vec<RunRow>,
}

/// A run's state in words, and its colour.
fn standing(state: &RunState) -> (String, &'static str) {
    match state {
        RunState::Preparing => ("preparing".to_owned(), "busy"),
        RunState::Working => ("working".to_owned(), "busy"),
        RunState::Finished(outcome) => {
            let tone = match outcome {
                RunOutcome::Succeeded => "good",
                RunOutcome::NoChange { .. } | RunOutcome::Cancelled => "plain",
                RunOutcome::Failed { .. } | RunOutcome::TimedOut | RunOutcome::Stalled | RunOutcome::OverBudget => {
                    "bad"
                }
            };
            (outcome.word().replace('_', " "), tone)
        }
    }
}

struct CheckRow {
    name: String,
    command: String,
    passed: bool,
    reason: String,
    took: String,
    log: String,
}

#[derive(Template)]
#[template(path = "task_run.html")]
struct RunPart<'a> {
    run: Option<&'a Run>,
    number: String,
    state: String,
    tone: &'static str,
    said: Option<String>,
    cost: String,
    budget: String,
    tokens: String,
    took: String,
    checks: Vec<CheckRow>,
}

impl<'a> RunPart<'a> {
    fn of(run: Option<&'a Run>) -> Self {
        let (state, tone) = run.map_or((String::new(), ""), |run| standing(&run.state));
        let said = run.and_then(|run| match &run.state {
            RunState::Finished(RunOutcome::Failed { reason, .. }) => Some(reason.clone()),
            RunState::Finished(RunOutcome::NoChange { summary }) => Some(summary.clone()),
            _ => None,
        });
        let checks = run.map_or(&[][..], |run| &run.checks[..]).iter().map(|check| CheckRow {
            name: check.name.clone(),
            command: check.command.clone(),
            passed: check.passed,
            reason: check.reason.clone(),
            took: duration(std::time::Duration::from_millis(check.millis)),
            log: check.log.clone(),
        });
        Self {
            run,
            number: run.map_or(String::new(), |run| run.id.as_str().rsplit('-').next().unwrap_or_default().to_owned()),
            state,
            tone,
            said,
            cost: run.map_or(String::new(), |run| usd(run.usage.cost_micro_usd)),
            budget: run.map_or(String::new(), |run| usd(run.budget_micro_usd)),
            tokens: run
                .map_or(String::new(), |run| grouped(run.usage.input_tokens.saturating_add(run.usage.output_tokens))),
            took: run.and_then(|run| Some(duration(run.finished_at?.since(run.started_at)))).unwrap_or_default(),
            checks: checks.collect(),
        }
    }
}

#[derive(Template)]
#[template(path = "task_diff.html")]
struct DiffPart {
    /// There is nothing to show before an agent has changed something.
    any: bool,
    diff: Diff,
    files: usize,
    added: u64,
    removed: u64,
}

impl DiffPart {
    fn of(run: Option<&Run>) -> Self {
        let diff = run.map_or(Diff::default(), |run| diff::parse(&run.diff, &run.files));
        let added = diff.files.iter().map(|file| file.added).sum();
        let removed = diff.files.iter().map(|file| file.removed).sum();
        Self { any: !diff.files.is_empty(), files: diff.files.len(), diff, added, removed }
    }
}

struct EventRow {
    at: When,
    words: String,
    tone: &'static str,
}

#[derive(Template)]
#[template(path = "task_timeline.html")]
struct Timeline {
    events: Vec<EventRow>,
}

impl Timeline {
    fn of(events: &[Event]) -> Self {
        let row = |event: &Event| EventRow {
            at: When(event.event.at),
            words: wording::event(event),
            tone: tone(&event.event.kind),
        };
        Self { events: events.iter().map(row).collect() }
    }
}

fn tone(kind: &EventKind) -> &'static str {
    match kind {
        EventKind::Approved | EventKind::Merged | EventKind::Delivered { .. } => "good",
        EventKind::Judged { good, .. } | EventKind::Checked { passed: good, .. } => {
            if *good {
                "good"
            } else {
                "bad"
            }
        }
        EventKind::Failed { .. } | EventKind::Refused { .. } | EventKind::Parked { .. } => "bad",
        _ => "plain",
    }
}

#[derive(Template)]
#[template(path = "task_say.html")]
struct Say<'a> {
    id: String,
    open: bool,
    text: &'a str,
    problem: Option<String>,
}

/// The message box, after a message was sent or was not.
pub(super) async fn say(site: &Site, id: &TaskId, text: &str, problem: Option<String>) -> Result<Html<String>, Fault> {
    let task = load(site, id).await?;
    let open = task.state.stage() == Stage::Running;
    Ok(Html(Say { id: id.to_string(), open, text, problem }.render()?))
}

async fn load(site: &Site, id: &TaskId) -> Result<Task, Fault> {
    site.ctx.store.task(id).await?.ok_or_else(|| Fault::no_task(id.as_str()))
}

/// The parts of a task with one of its runs, the last one unless another is chosen.
pub(super) async fn parts(site: &Arc<Site>, id: &TaskId, chosen: Option<&RunId>) -> Result<Vec<Part>, Fault> {
    let task = load(site, id).await?;
    let runs = site.ctx.store.runs(Some(id), RUNS).await?;
    let run = match chosen {
        Some(chosen) => site.ctx.store.run(chosen).await?,
        None => runs.last().cloned(),
    };
    let shown = run.as_ref().map(|run| run.id.clone());
    let rows = runs.iter().rev().map(|run| RunRow::of(run, shown.as_ref() == Some(&run.id))).collect();
    let query = EventQuery { task: Some(id.clone()), newest_first: true, limit: EVENTS, ..EventQuery::default() };
    let events = site.ctx.store.events(&query).await?;
    let expectations = rank::expectations(&site.ctx).await?;
    let open = task.state.stage() == Stage::Running;
    let name = task.id.to_string();
    Ok(vec![
        Part::new("task-head", &Head::of(site, &task))?,
        Part::new("task-run", &RunPart::of(run.as_ref()))?,
        Part::new("task-say", &Say { id: name.clone(), open, text: "", problem: None })?,
        Part::new("task-diff", &DiffPart::of(run.as_ref()))?,
        Part::new("task-why", &Why::of(&task, expectations.about(&task.source, &task.kind)))?,
        Part::new("task-options", &Options::of(site, &task))?,
        Part::new("task-runs", &Runs { task: name, runs: rows })?,
        Part::new("task-timeline", &Timeline::of(&events))?,
    ])
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
pub(super) struct Chosen {
    run: String,
}

#[derive(Template)]
#[template(path = "task.html")]
struct TaskPage<'a> {
    frame: Frame<'a>,
    parts: Parts,
    transcript: String,
    problem: &'a str,
}

/// `/tasks/{id}`
pub(super) async fn page(
    State(site): State<Arc<Site>>,
    Path(id): Path<String>,
    Query(chosen): Query<Chosen>,
) -> Result<Html<String>, Fault> {
    show(&site, &task_id(&id)?, Some(&chosen.run), "").await
}

/// The page, with the reason why a button did not work.
pub(super) async fn show(
    site: &Arc<Site>,
    id: &TaskId,
    run: Option<&str>,
    problem: &str,
) -> Result<Html<String>, Fault> {
    let task = load(site, id).await?;
    let view = View::task(id.clone(), run.unwrap_or_default());
    let transcript = match view.shown_run(site).await? {
        Some(run) => transcript::whole(site, &run).await?.0,
        None => "<div id=\"transcript\" class=\"part\"></div>".to_owned(),
    };
    let page = TaskPage {
        frame: Frame::new(site, task.title.clone(), "board", &view),
        parts: Parts(view.parts(site).await?),
        transcript,
        problem,
    };
    Ok(Html(page.render()?))
}
