//! Running: an agent works at an approved task in a sandboxed checkout.
//!
//! **Definition.** [`run_task`] is a job: checkout → prompt → sandboxed agent → events → outcome. What the agent made
//! is committed by the service, never by the agent, and is only a claim until [`crate::verify`] has looked at it.
//!
//! **Wanted properties.** Killed at any moment, the run goes on: its state, session and checkout are found again, and
//! the agent resumes its own conversation or begins anew in a fresh checkout. Nothing of it is alive afterwards.
//!
//! **Known races.** *The task is cancelled while the agent works*: the job is dropped, so the lease is lost and the
//! last commit is refused; the agent is stopped by the same decision, or at the next renewal of the lease.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use backlog::event::{Actor, EventKind, NewEvent};
use backlog::names::{BranchName, RunId};
use backlog::retry::Next;
use backlog::run::{ChangedFile, Run, RunOutcome, RunState, Usage};
use backlog::task::{Command, Task, TaskState, Work};
use backlog::verdict::DiffPolicy;
use gateway::{Address, Listen, RunGateway};
use git::{Author, Checkout, Mirror};
use runner::RunnerError;
use runner::agent::{Agent, AgentOutcome, ClaudeCode, CommandAgent, GatewayAddress, Policy, SessionSpec};
use runner::sandbox::{Confinement, GatewayBridge, Kind, Toolchains};
use runner::session::{Limits, RunSpec, SessionEnd, SessionOutcome};
use runner::transcript::AgentEvent;
use store::{Commit, Job, JobEnd, JobKind, Lease, NewJob, StoreError};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::deliver::{done, give_up};
use crate::discover::BadPolicy;
use crate::settings::{AgentKind, AgentSettings, PromptBy, RepositoryPolicy};
use crate::{Context, LiveRun, discover, prompt, wording};

/// Who the service commits as.
pub const COMMITTER: (&str, &str) = ("Claude Code Manager", "ccm@localhost");
/// How many messages wait for an agent at most.
const INBOX: usize = 16;
/// How many agent events wait to be written at most.
const EVENTS: usize = 256;
/// How often a run's use of money is written while it works.
const METER: Duration = Duration::from_secs(2);
/// How long a run waits when the model's provider is out of capacity.
const PROVIDER_PAUSE: Duration = Duration::from_secs(900);

/// How long a task waits whose repository was taken out, until it is looked at again.
const REST: Duration = Duration::from_secs(600);

/// Job: lets an agent work at a task.
///
/// # Errors
/// When the checkout cannot be made or the store fails; the worker tries the job again.
pub async fn run_task(ctx: &Arc<Context>, job: &Job, cancel: &CancellationToken) -> Result<()> {
    let Some(task) = ctx.store.task(&job.task).await? else { return done(ctx, job).await };
    if ctx.store.repository(&task.repository).await?.is_none() {
        return rest(ctx, job, "its repository is not watched any more").await;
    }
    let mirror = discover::mirror(ctx, &task.repository).await?;
    let fetched = mirror.fetch().await?;
    let head = fetched.head.context("the repository has no commits any more")?;
    let policy = match discover::policy(&mirror, &mirror.files(&head).await?).await {
        Err(error) if error.is::<BadPolicy>() => return rest(ctx, job, &error.to_string()).await,
        policy => policy?,
    };
    if policy.enabled == Some(false) {
        return rest(ctx, job, "the repository's own policy says `enabled = false`").await;
    }
    let (name, agent) = match chosen(ctx, &task, &policy) {
        Ok(chosen) => chosen,
        Err(reason) if task.state.work().is_some() => return give_up(ctx, job, task, reason).await,
        Err(_) => return done(ctx, job).await,
    };
    let (task, mut run) = match &task.state {
        TaskState::Approved { .. } => match budget(ctx, &task, &agent).await? {
            Ok(budget) => begin(ctx, job, task, &name, budget).await?,
            Err(reason) => return give_up(ctx, job, task, reason).await,
        },
        TaskState::Running { run, .. } => {
            let run = ctx.store.run(run).await?.context("the run of a task is stored")?;
            runner::kill_leftovers(&ctx.paths.marker(run.id.as_str())).await?;
            (task, run)
        }
        _ => return done(ctx, job).await,
    };
    let work = task.state.work().context("a running task has its work")?.clone();
    let checkout = checkout(ctx, &mirror, &head, &work, &mut run).await?;
    run.state = RunState::Working;
    run.base = Some(checkout.base().clone());
    ctx.store.update_run(&job.lease(), &run).await?;

    let mut attended = attend(ctx, job, &task, &work, &mirror, &checkout, &mut run, &agent, &policy, cancel).await?;
    if matches!(&attended.outcome, SessionOutcome::Ended(AgentOutcome::UnknownSession { .. })) {
        // The agent has forgotten its conversation: begin a new one in the same checkout.
        run.session = None;
        attended = attend(ctx, job, &task, &work, &mirror, &checkout, &mut run, &agent, &policy, cancel).await?;
    }
    if attended.outcome == SessionOutcome::Cancelled {
        // Shutdown: the next start goes on with it. If somebody cancelled the task, the lease is lost and this fails.
        let end = JobEnd::Retry { at: ctx.now(), counts: false };
        ctx.store.update_run(&job.lease(), &run).await?;
        let text = "The service stopped and the agent with it. The run goes on at the next start.".to_owned();
        let notice = serde_json::to_string(&AgentEvent::Notice { text })?;
        ctx.store.append_transcript(&run.id, ctx.now(), &[notice]).await?;
        ctx.store.commit(Commit { job: Some((job.lease(), Some(end))), ..Commit::default() }).await?;
        return Ok(());
    }
    conclude(ctx, job, task, run, &checkout, attended).await
}

/// No agent starts where the operator or the repository has taken the repository out; the task waits for its return.
async fn rest(ctx: &Arc<Context>, job: &Job, why: &str) -> Result<()> {
    tracing::info!(task = %job.task, why, "an approved task waits");
    let end = JobEnd::Retry { at: ctx.now().plus(REST), counts: false };
    ctx.store.commit(Commit { job: Some((job.lease(), Some(end))), ..Commit::default() }).await?;
    Ok(())
}

/// The agent for a task: chosen by a person, by the repository, or the default.
fn chosen(ctx: &Context, task: &Task, policy: &RepositoryPolicy) -> Result<(String, AgentSettings), String> {
    let settings = ctx.settings();
    let name = task.agent.as_deref().or(policy.agent.as_deref()).unwrap_or("default");
    let Some(agent) = settings.agents.get(name) else {
        let known: Vec<_> = settings.agents.keys().map(String::as_str).collect();
        return Err(format!(
            "No agent is called `{name}`; configured are: {}. Choose one, then retry.",
            known.join(", ")
        ));
    };
    Ok((name.to_owned(), policy.narrow(agent.clone())))
}

/// What the next run may cost, in micro-USD: what is granted for one run, within what is left for the whole task. Else
/// why none begins.
async fn budget(ctx: &Context, task: &Task, agent: &AgentSettings) -> Result<Result<u64, String>> {
    let granted = task.budget_micro_usd.unwrap_or_else(|| agent.budget_micro_usd());
    // Who grants more for one run than is meant for a task means it.
    let most = agent.task_micro_usd().max(granted);
    let spent: u64 = ctx.store.runs(Some(&task.id), 0).await?.iter().map(|run| run.usage.cost_micro_usd).sum();
    if spent > 0 && spent >= most {
        return Ok(Err(format!(
            "The task has cost {} so far, and {} is the most for one task. Raise max_task_usd of its agent, then retry.",
            wording::usd(spent),
            wording::usd(most)
        )));
    }
    Ok(Ok(granted.min(most.saturating_sub(spent))))
}

/// Approved → Running, with a new run.
async fn begin(ctx: &Arc<Context>, job: &Job, task: Task, name: &str, budget: u64) -> Result<(Task, Run)> {
    let now = ctx.now();
    let attempt = task.state.work().map_or(0, |work| work.runs) + 1;
    let id = RunId::of(&task.id, attempt);
    let run = Run {
        id: id.clone(),
        repository: task.repository.clone(),
        agent: name.to_owned(),
        state: RunState::Preparing,
        started_at: now,
        finished_at: None,
        base: None,
        branch: BranchName::of_task(&task.id, &task.title),
        commit: None,
        session: None,
        usage: Usage::default(),
        budget_micro_usd: budget,
        sandbox: ctx.sandbox.level().to_string(),
        files: Vec::new(),
        diff: String::new(),
        checks: Vec::new(),
        objections: Vec::new(),
    };
    let task = task.apply(Command::Start(id.clone()), now)?;
    let event = NewEvent {
        at: now,
        repository: task.repository.clone(),
        task: Some(task.id.clone()),
        actor: Actor::Agent { name: name.to_owned() },
        kind: EventKind::RunStarted { run: id },
    };
    let commit = Commit {
        job: Some((job.lease(), None)),
        tasks: vec![task.clone()],
        runs: vec![run.clone()],
        events: vec![event],
        ..Commit::default()
    };
    ctx.store.commit(commit).await?;
    // The store counts versions up.
    let task = ctx.store.task(&task.id).await?.context("a task that was just written is there")?;
    Ok((task, run))
}

/// The checkout of a run: the one it had before a restart if its agent can resume there, else a fresh one.
async fn checkout(
    ctx: &Context,
    mirror: &Mirror,
    head: &backlog::names::CommitId,
    work: &Work,
    run: &mut Run,
) -> Result<Checkout> {
    let folder = ctx.paths.run(&run.id);
    tokio::fs::create_dir_all(folder.join("home"))
        .await
        .with_context(|| format!("cannot make {}", folder.display()))?;
    let dir = folder.join("checkout");
    if run.session.is_some() && run.base.is_some() {
        if let Some(checkout) = mirror.open_checkout(&dir).await? {
            return Ok(checkout);
        }
        run.session = None;
    }
    let base = match &work.pull {
        // Others may have pushed to it: go on from what is there.
        Some(pull) => mirror.fetch_branch(&pull.branch).await?.unwrap_or_else(|| pull.head.clone()),
        None => head.clone(),
    };
    Ok(mirror.checkout(&dir, &base, &run.branch).await?)
}

/// What came of a session.
struct Attended {
    outcome: SessionOutcome,
    over_budget: bool,
}

/// Runs one session and keeps its transcript and meter.
#[expect(clippy::too_many_arguments, reason = "one call site; each part is needed")]
async fn attend(
    ctx: &Arc<Context>,
    job: &Job,
    task: &Task,
    work: &Work,
    mirror: &Mirror,
    checkout: &Checkout,
    run: &mut Run,
    agent: &AgentSettings,
    policy: &RepositoryPolicy,
    cancel: &CancellationToken,
) -> Result<Attended> {
    let folder = ctx.paths.run(&run.id);
    let kind = ctx.sandbox.level().kind;
    let spent = run.usage;
    let left = run.budget_micro_usd.saturating_sub(spent.cost_micro_usd);
    let listen = match kind {
        Kind::Bubblewrap => Listen::Unix(folder.join("gateway.sock")),
        Kind::None => Listen::Loopback,
    };
    let gateway = ctx.gateway.open(&run.id, left, listen).await?;
    let text = match &run.session {
        Some(_) => "You were interrupted. Go on with the task where you stopped.".to_owned(),
        None => prompt::prompt(task, &work.proposal, &run.id, work.revision.as_ref(), &work.objections),
    };
    let diff = policy.diff(&ctx.settings().verification);
    let spec = spec(ctx, mirror, checkout, run, agent, &gateway, &diff, text);
    let stop = cancel.child_token();
    let (inbox_tx, inbox) = mpsc::channel(INBOX);
    let _live = ctx.live.enter(run.id.clone(), LiveRun { inbox: inbox_tx, cancel: stop.clone() });
    let (events_tx, events) = mpsc::channel(EVENTS);
    let session =
        runner::run_session(spec, protocol(agent), ctx.sandbox.as_ref(), inbox, events_tx, stop, ctx.clock.clone());
    let lease = job.lease();
    let (end, ()) = tokio::join!(session, record(ctx, &lease, run, spent, &gateway, events));
    let end: SessionEnd = match end {
        // A matter of installation, the same at every try: a person has to see it.
        Err(error @ RunnerError::ProgramMissing { .. }) => {
            let outcome = AgentOutcome::Failed { reason: error.to_string(), retryable: false };
            return Ok(Attended { outcome: SessionOutcome::Ended(outcome), over_budget: false });
        }
        end => end?,
    };
    if run.session.is_none() {
        run.session = end.session_id;
    }
    let used = gateway.close().await;
    run.usage = added(spent, &used);
    let succeeded = matches!(end.outcome, SessionOutcome::Ended(AgentOutcome::Succeeded { .. }));
    Ok(Attended { outcome: end.outcome, over_budget: used.cost_micro_usd >= left && !succeeded })
}

/// The protocol machine of an agent.
fn protocol(agent: &AgentSettings) -> Box<dyn Agent> {
    match agent.kind {
        AgentKind::Claude => {
            let program = agent.program.as_deref().unwrap_or("claude");
            Box::new(ClaudeCode::new(program).with_args(agent.args.clone()))
        }
        AgentKind::Command => {
            let by = match agent.prompt {
                PromptBy::Stdin => runner::agent::PromptBy::Stdin,
                PromptBy::File => runner::agent::PromptBy::File,
            };
            Box::new(CommandAgent::new(agent.program.as_deref().unwrap_or("false"), agent.args.clone(), by))
        }
    }
}

#[expect(clippy::too_many_arguments, reason = "one call site; each part is needed")]
fn spec(
    ctx: &Context,
    mirror: &Mirror,
    checkout: &Checkout,
    run: &Run,
    agent: &AgentSettings,
    gateway: &RunGateway,
    diff: &DiffPolicy,
    text: String,
) -> RunSpec {
    let confined = ctx.sandbox.level().kind != Kind::None;
    let mut confinement = confinement(ctx, run.id.as_str(), checkout.dir(), mirror);
    confinement.home = Some(ctx.paths.run(&run.id).join("home"));
    let mut address = None;
    match gateway.address() {
        Address::Unix(socket) => {
            let program = ctx.paths.program.clone();
            confinement.gateway = Some(GatewayBridge { socket: socket.clone(), program });
        }
        Address::Loopback(url) => {
            address = Some(GatewayAddress { base_url: url.as_str().trim_end_matches('/').to_owned() });
        }
    }
    let total = Duration::from_secs(agent.max_minutes * 60);
    RunSpec {
        session: SessionSpec {
            prompt: text,
            model: agent.model.clone(),
            max_turns: Some(agent.max_turns),
            resume: run.session.clone(),
            gateway: address,
            policy: Policy { edits_elsewhere: confined, protected: diff.protected_paths.clone(), ..Policy::default() },
            checkout: PathBuf::new(),
        },
        confinement,
        limits: Limits {
            silence: Duration::from_secs(agent.max_silent_minutes * 60),
            turn: total,
            total,
            ..Limits::default()
        },
    }
}

/// What a process that works on `dir` may see: the checkout, the mirror's objects it borrows, the toolchains.
#[must_use]
pub fn confinement(ctx: &Context, marker: &str, dir: &Path, mirror: &Mirror) -> Confinement {
    let mut confinement = Confinement::new(ctx.paths.marker(marker), dir);
    confinement.read_only.push(mirror.objects_dir());
    confinement.toolchains = Toolchains { paths: ctx.settings().sandbox.toolchains.clone(), env: Vec::new() };
    confinement
}

/// Writes what the agent says and what it costs, as it happens.
async fn record(
    ctx: &Arc<Context>,
    lease: &Lease,
    run: &mut Run,
    spent: Usage,
    gateway: &RunGateway,
    mut events: mpsc::Receiver<AgentEvent>,
) {
    let mut batch = Vec::new();
    let mut meter = tokio::time::interval(METER);
    meter.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            n = events.recv_many(&mut batch, EVENTS) => {
                if n == 0 {
                    return;
                }
                let id = batch.iter().find_map(|event| match event {
                    AgentEvent::Session { id, .. } => Some(id.clone()),
                    _ => None,
                });
                let lines: Vec<String> = batch.drain(..).filter_map(|event| serde_json::to_string(&event).ok()).collect();
                if let Err(error) = ctx.store.append_transcript(&run.id, ctx.now(), &lines).await {
                    tracing::warn!(run = %run.id, error = %error, "a part of the transcript could not be written");
                }
                if let Some(id) = id.filter(|id| run.session.as_ref() != Some(id)) {
                    run.session = Some(id);
                    save(ctx, lease, run).await;
                }
            }
            _ = meter.tick() => {
                let usage = added(spent, &gateway.usage());
                if usage != run.usage {
                    run.usage = usage;
                    save(ctx, lease, run).await;
                }
            }
        }
    }
}

async fn save(ctx: &Context, lease: &Lease, run: &Run) {
    if let Err(error) = ctx.store.update_run(lease, run).await {
        tracing::warn!(run = %run.id, error = %error, "the run's progress could not be written");
    }
}

fn added(spent: Usage, used: &gateway::Usage) -> Usage {
    Usage {
        input_tokens: spent.input_tokens.saturating_add(used.input_tokens),
        output_tokens: spent.output_tokens.saturating_add(used.output_tokens),
        cost_micro_usd: spent.cost_micro_usd.saturating_add(used.cost_micro_usd),
        requests: spent.requests.saturating_add(used.requests),
    }
}

/// Turns the end of a session into the run's outcome, and that into the task's next state.
async fn conclude(
    ctx: &Arc<Context>,
    job: &Job,
    task: Task,
    mut run: Run,
    checkout: &Checkout,
    attended: Attended,
) -> Result<()> {
    let now = ctx.now();
    if let SessionOutcome::Ended(AgentOutcome::LimitedByProvider { reason }) = &attended.outcome
        && !attended.over_budget
    {
        return pause(ctx, job, task, run, reason).await;
    }
    let outcome = outcome(&task, &mut run, checkout, attended).await?;
    run.finished_at = Some(now);
    run.state = RunState::Finished(outcome.clone());
    let finished = NewEvent {
        at: now,
        repository: task.repository.clone(),
        task: Some(task.id.clone()),
        actor: Actor::Agent { name: run.agent.clone() },
        kind: EventKind::RunFinished {
            run: run.id.clone(),
            outcome: outcome.word().to_owned(),
            cost_micro_usd: run.usage.cost_micro_usd,
        },
    };
    let problem = match &outcome {
        RunOutcome::Succeeded => None,
        RunOutcome::NoChange { summary } => Some((format!("The agent changed nothing. {summary}"), false)),
        RunOutcome::Failed { reason, retryable } => Some((reason.clone(), *retryable)),
        RunOutcome::TimedOut => Some(("The run took longer than it may.".to_owned(), true)),
        RunOutcome::Stalled => Some(("The agent fell silent.".to_owned(), true)),
        RunOutcome::Cancelled => Some(("The run was stopped.".to_owned(), true)),
        RunOutcome::OverBudget => {
            let budget = wording::usd(run.budget_micro_usd);
            Some((format!("The run's budget of {budget} is spent. Give it more, then retry."), false))
        }
    };
    match problem {
        None => {
            let next = NewJob { kind: JobKind::Verify, ..crate::approve::run_job(&task, now) };
            let commit = Commit {
                job: Some((job.lease(), Some(JobEnd::Done))),
                tasks: vec![task.apply(Command::Verify, now)?],
                runs: vec![run],
                enqueue: vec![next],
                events: vec![finished],
                ..Commit::default()
            };
            ctx.store.commit(commit).await?;
            ctx.work.notify_one();
            Ok(())
        }
        Some((reason, retryable)) => {
            run.objections.push(reason.clone());
            fall_back(ctx, job, task, run, vec![reason], retryable, vec![finished]).await
        }
    }
}

/// What a session's end means for its run; commits what the agent made.
async fn outcome(task: &Task, run: &mut Run, checkout: &Checkout, attended: Attended) -> Result<RunOutcome> {
    Ok(match attended.outcome {
        _ if attended.over_budget => RunOutcome::OverBudget,
        SessionOutcome::Ended(AgentOutcome::Succeeded { summary }) => {
            let author = Author { name: COMMITTER.0.to_owned(), email: COMMITTER.1.to_owned() };
            let message = wording::commit_message(task, run);
            match checkout.commit(&author, &message, run.started_at).await {
                Ok(Some(commit)) => {
                    run.commit = Some(commit);
                    RunOutcome::Succeeded
                }
                Ok(None) => {
                    RunOutcome::NoChange { summary: wording::sentence(&summary.chars().take(500).collect::<String>()) }
                }
                Err(error @ git::GitError::NestedRepository { .. }) => {
                    RunOutcome::Failed { reason: wording::sentence(&error.to_string()), retryable: true }
                }
                Err(error) => return Err(error.into()),
            }
        }
        SessionOutcome::Ended(AgentOutcome::NoResult { reason }) => failed(&reason, true),
        SessionOutcome::Ended(AgentOutcome::Failed { reason, retryable }) => failed(&reason, retryable),
        SessionOutcome::Ended(AgentOutcome::UnknownSession { id }) => {
            failed(&format!("the session {id} is unknown"), true)
        }
        SessionOutcome::Ended(AgentOutcome::LimitedByProvider { reason }) => failed(&reason, true),
        SessionOutcome::TimedOut { .. } => RunOutcome::TimedOut,
        SessionOutcome::Stalled { .. } => RunOutcome::Stalled,
        SessionOutcome::OverLimit { reason } => failed(&reason, true),
        SessionOutcome::Cancelled => RunOutcome::Cancelled,
    })
}

fn failed(reason: &str, retryable: bool) -> RunOutcome {
    RunOutcome::Failed { reason: wording::sentence(reason), retryable }
}

/// The provider has no capacity: the same run goes on later, in its own conversation and with what is left of its
/// budget. A new run would begin with a whole budget each time, without an end.
async fn pause(ctx: &Arc<Context>, job: &Job, task: Task, run: Run, reason: &str) -> Result<()> {
    let now = ctx.now();
    let why = format!("The model's provider asks to wait: {}", wording::sentence(reason));
    let event = NewEvent {
        at: now,
        repository: task.repository,
        task: Some(task.id),
        actor: Actor::Service,
        kind: EventKind::Retried { why },
    };
    let end = JobEnd::Retry { at: now.plus(PROVIDER_PAUSE), counts: false };
    let job = Some((job.lease(), Some(end)));
    ctx.store.commit(Commit { job, runs: vec![run], events: vec![event], ..Commit::default() }).await?;
    Ok(())
}

/// The run that a task is at work with, ended from outside: by a person, or because its step never ends.
///
/// # Errors
/// When the store fails.
pub async fn cut_short(ctx: &Context, task: &Task, outcome: RunOutcome) -> Result<Vec<Run>, StoreError> {
    let TaskState::Running { run, .. } = &task.state else { return Ok(Vec::new()) };
    let run = ctx.store.run(run).await?;
    let ended = |run| Run { state: RunState::Finished(outcome), finished_at: Some(ctx.now()), ..run };
    Ok(run.map(ended).into_iter().collect())
}

/// After work that was no good: another attempt with the objections in its prompt, or the end.
///
/// # Errors
/// When the lease is lost or the store fails.
pub async fn fall_back(
    ctx: &Arc<Context>,
    job: &Job,
    task: Task,
    run: Run,
    mut objections: Vec<String>,
    retryable: bool,
    mut events: Vec<NewEvent>,
) -> Result<()> {
    let now = ctx.now();
    let attempts = task.state.work().map_or(0, |work| work.attempts);
    let (id, repository) = (task.id.clone(), task.repository.clone());
    let event = |kind| NewEvent {
        at: now,
        repository: repository.clone(),
        task: Some(id.clone()),
        actor: Actor::Service,
        kind,
    };
    // The next prompt gets the logs, the timeline only the sentences.
    let red = run.checks.iter().filter(|check| !check.passed && !check.log.trim().is_empty());
    let logs: Vec<String> = red
        .map(|check| format!("The end of the output of `{}`:\n{}", check.name, prompt::tail(&check.log, 4_000)))
        .collect();
    let mut commit = Commit { job: Some((job.lease(), Some(JobEnd::Done))), runs: vec![run], ..Commit::default() };
    let reason = objections.join(" ");
    match ctx.settings().verification.retry().after_run(attempts, retryable) {
        Next::RetryAfter(pause) => {
            commit.enqueue.push(crate::approve::run_job(&task, now.plus(pause)));
            events.push(event(EventKind::Retried { why: reason }));
            objections.extend(logs);
            commit.tasks.push(task.apply(Command::TryAgain(objections), now)?);
        }
        Next::GiveUp => {
            events.push(event(EventKind::Failed { reason: reason.clone() }));
            commit.tasks.push(task.apply(Command::GiveUp(reason), now)?);
        }
    }
    commit.events = events;
    ctx.store.commit(commit).await?;
    ctx.work.notify_one();
    Ok(())
}

/// The files of a change, as a run keeps them.
#[must_use]
pub fn changed(files: Vec<git::DiffFile>) -> Vec<ChangedFile> {
    files.into_iter().map(|file| ChangedFile { path: file.path, added: file.added, removed: file.removed }).collect()
}
