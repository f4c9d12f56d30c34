//! Tasks, runs, repositories and events as programs see them. A change here is a change of the outward contract.

use backlog::expect::{Expectations, Expected};
use backlog::run::RunState;
use backlog::task::TaskState;
use backlog::time::Timestamp;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

fn dollars(micro: u64) -> f64 {
    micro as f64 / 1_000_000.0
}

fn time(at: Timestamp) -> String {
    at.to_string()
}

/// A unit of the backlog.
#[derive(Serialize, ToSchema)]
pub(crate) struct TaskView {
    /// Ten characters.
    id: String,
    /// `owner/name`.
    repository: String,
    /// `found`, `proposed`, `approved`, `running`, `verifying`, `in_review`, `done`, `rejected`, `obsolete`,
    /// `cancelled` or `failed`.
    state: &'static str,
    /// What yielded it: `todo`, `person`, …
    source: String,
    /// Its kind within the source, such as `FIXME`.
    kind: String,
    title: String,
    body: String,
    /// The file it is about.
    path: Option<String>,
    /// The line in that file, from 1.
    line: Option<u32>,
    /// Who wrote it, where known.
    author: Option<String>,
    /// The day on which it was written or opened, where known: `2026-01-31`.
    written_on: Option<String>,
    /// The earliest day by which a part of it is to be done, where it names one: `2027-01-31`.
    due: Option<String>,
    /// More is earlier.
    points: i64,
    /// The parts of the points.
    reasons: Vec<ReasonView>,
    /// What it is likely to take, once enough tasks like it were worked here.
    expected: Option<ExpectedView>,
    /// The hash of what people are shown. Hand it back with an approval.
    content: String,
    /// The agent chosen for it.
    agent: Option<String>,
    /// The most one run may cost, in US dollars, where chosen.
    budget_usd: Option<f64>,
    /// The issue that proposes it.
    issue_url: Option<String>,
    /// The pull request.
    pull_url: Option<String>,
    /// The branch of its work, once delivered.
    branch: Option<String>,
    /// The run under way or delivered last.
    run: Option<String>,
    /// Runs so far.
    runs: u32,
    /// Why the last run was not good.
    objections: Vec<String>,
    /// Why it failed.
    failure: Option<String>,
    created_at: String,
    updated_at: String,
}

/// A part of a score.
#[derive(Serialize, ToSchema)]
pub(crate) struct ReasonView {
    name: String,
    points: i64,
}

/// What a task is likely to take, by the tasks like it that were worked here.
#[derive(Serialize, ToSchema)]
pub(crate) struct ExpectedView {
    /// All its runs together, in US dollars.
    cost_usd: f64,
    /// Time that agents work at it.
    seconds: f64,
    /// How many of `tasks` were merged.
    merged: usize,
    /// How many tasks this is taken from, 5 to 50.
    tasks: usize,
    /// What they have in common: a source and a kind, or a source.
    like: String,
}

impl ExpectedView {
    fn of(expected: &Expected) -> Self {
        Self {
            cost_usd: dollars(expected.cost_micro_usd),
            seconds: expected.millis as f64 / 1000.0,
            merged: expected.merged,
            tasks: expected.tasks,
            like: expected.like.clone(),
        }
    }
}

impl TaskView {
    pub(crate) fn of(task: &backlog::task::Task, expectations: &Expectations) -> Self {
        let finding = task.finding.as_ref();
        let place = finding.filter(|finding| !finding.path.is_empty());
        let work = task.state.work();
        let failure = match &task.state {
            TaskState::Failed { reason, .. } => Some(reason.clone()),
            _ => None,
        };
        Self {
            id: task.id.to_string(),
            repository: task.repository.to_string(),
            state: task.state.stage().as_str(),
            source: task.source.to_string(),
            kind: task.kind.clone(),
            title: task.title.clone(),
            body: task.body.clone(),
            path: place.map(|finding| finding.path.clone()),
            line: place.map(|finding| finding.line),
            author: finding.and_then(|finding| finding.author.clone()),
            written_on: finding.and_then(|finding| finding.written_on).map(|day| day.to_string()),
            due: task.due().map(|day| day.to_string()),
            points: task.score.points,
            reasons: task
                .score
                .reasons
                .iter()
                .map(|reason| ReasonView { name: reason.name.clone(), points: reason.points })
                .collect(),
            expected: expectations.about(&task.source, &task.kind).map(ExpectedView::of),
            content: pipeline::approve::seen(task).as_str().to_owned(),
            agent: task.agent.clone(),
            budget_usd: task.budget_micro_usd.map(dollars),
            issue_url: task
                .state
                .proposal()
                .and_then(|proposal| proposal.issue.as_ref())
                .map(|issue| issue.url.clone()),
            pull_url: task.state.pull().map(|pull| pull.url.clone()),
            branch: task.state.pull().map(|pull| pull.branch.to_string()),
            run: task.state.run().map(ToString::to_string),
            runs: work.map_or(0, |work| work.runs),
            objections: work.map_or(Vec::new(), |work| work.objections.clone()),
            failure,
            created_at: time(task.created_at),
            updated_at: time(task.updated_at),
        }
    }
}

/// One attempt of one agent at one task.
#[derive(Serialize, ToSchema)]
pub(crate) struct RunView {
    /// The task's id, a dash, the number from 1.
    id: String,
    task: String,
    repository: String,
    agent: String,
    /// `preparing`, `working` or `finished`.
    state: &'static str,
    /// `succeeded`, `no_change`, `failed`, `timed_out`, `stalled`, `cancelled` or `over_budget`, once finished.
    outcome: Option<&'static str>,
    started_at: String,
    finished_at: Option<String>,
    /// The commit it started from.
    base: Option<String>,
    branch: String,
    /// The commit of its work.
    commit: Option<String>,
    cost_usd: f64,
    budget_usd: f64,
    input_tokens: u64,
    output_tokens: u64,
    /// What confined it, in words.
    sandbox: String,
    files: Vec<FileView>,
    /// The unified diff.
    diff: String,
    checks: Vec<CheckView>,
    /// Why the work was not good.
    objections: Vec<String>,
}

/// A changed file.
#[derive(Serialize, ToSchema)]
pub(crate) struct FileView {
    path: String,
    added: u64,
    removed: u64,
}

/// One verification command's result.
#[derive(Serialize, ToSchema)]
pub(crate) struct CheckView {
    name: String,
    command: String,
    passed: bool,
    /// Why it did not pass.
    reason: String,
    seconds: f64,
    /// The end of its output.
    log: String,
}

impl RunView {
    pub(crate) fn of(run: &backlog::run::Run) -> Self {
        let (state, outcome) = match &run.state {
            RunState::Preparing => ("preparing", None),
            RunState::Working => ("working", None),
            RunState::Finished(outcome) => ("finished", Some(outcome.word())),
        };
        let file = |file: &backlog::run::ChangedFile| FileView {
            path: file.path.clone(),
            added: file.added,
            removed: file.removed,
        };
        let check = |check: &backlog::run::CheckResult| CheckView {
            name: check.name.clone(),
            command: check.command.clone(),
            passed: check.passed,
            reason: check.reason.clone(),
            seconds: check.millis as f64 / 1000.0,
            log: check.log.clone(),
        };
        Self {
            id: run.id.to_string(),
            task: run.id.task().to_string(),
            repository: run.repository.to_string(),
            agent: run.agent.clone(),
            state,
            outcome,
            started_at: time(run.started_at),
            finished_at: run.finished_at.map(time),
            base: run.base.as_ref().map(ToString::to_string),
            branch: run.branch.to_string(),
            commit: run.commit.as_ref().map(ToString::to_string),
            cost_usd: dollars(run.usage.cost_micro_usd),
            budget_usd: dollars(run.budget_micro_usd),
            input_tokens: run.usage.input_tokens,
            output_tokens: run.usage.output_tokens,
            sandbox: run.sandbox.clone(),
            files: run.files.iter().map(file).collect(),
            diff: run.diff.clone(),
            checks: run.checks.iter().map(check).collect(),
            objections: run.objections.clone(),
        }
    }
}

/// One line of a transcript.
#[derive(Serialize, ToSchema)]
pub(crate) struct LineView {
    /// From 1.
    seq: u64,
    at: String,
    /// The record, with a `type`.
    #[schema(value_type = Object)]
    event: Value,
}

impl LineView {
    pub(crate) fn of(line: store::TranscriptLine) -> Self {
        let event = serde_json::from_str(&line.line).unwrap_or(Value::String(line.line));
        Self { seq: line.seq, at: time(line.at), event }
    }
}

/// A watched repository.
#[derive(Serialize, ToSchema)]
pub(crate) struct RepositoryView {
    name: String,
    /// The folder, for a local one.
    path: Option<String>,
    default_branch: Option<String>,
    /// Why it cannot be worked now, and what mends it.
    parked: Option<String>,
    /// Why nothing more is proposed there for now although there is more.
    waits: Option<String>,
    /// Which sources could not answer at the last look, and why; what they found before still holds.
    silent: Option<String>,
    /// The commit that was read last.
    scanned: Option<String>,
    scanned_at: Option<String>,
}

impl RepositoryView {
    pub(crate) fn of(repository: store::Repository, waits: Option<String>, silent: Option<String>) -> Self {
        Self {
            waits,
            silent,
            name: repository.name.to_string(),
            path: repository.path,
            default_branch: repository.default_branch,
            parked: repository.parked,
            scanned: repository.scanned,
            scanned_at: repository.scanned_at.map(time),
        }
    }
}

/// One line of a timeline.
#[derive(Serialize, ToSchema)]
pub(crate) struct EventView {
    /// Its place in the change log: ask for what comes after the last one you have.
    seq: u64,
    at: String,
    repository: String,
    task: Option<String>,
    /// On whose behalf: `kind` is `service`, `agent` or `person`.
    #[schema(value_type = Object)]
    actor: Value,
    /// What happened; `event` names it, further fields depend on it.
    #[schema(value_type = Object)]
    what: Value,
    /// The same for people.
    text: String,
}

impl EventView {
    pub(crate) fn of(event: &backlog::event::Event) -> Self {
        Self {
            seq: event.seq,
            at: time(event.event.at),
            repository: event.event.repository.to_string(),
            task: event.event.task.as_ref().map(ToString::to_string),
            actor: serde_json::to_value(&event.event.actor).unwrap_or_default(),
            what: serde_json::to_value(&event.event.kind).unwrap_or_default(),
            text: pipeline::wording::event(event),
        }
    }
}
