//! Drives one agent session from start to a proven end.
//!
//! **Design.** One loop waits for the first of: output, exit, a person, cancellation, a deadline. Deadlines run on
//! their own clock, because an agent whose model call hangs says nothing at all. Whoever has to stop is asked first
//! (the agent's own interrupt), then terminated, then killed, each after [`Limits::grace`]. In every case the tree is
//! killed and searched for at the end.
//!
//! **Known races.** Helpers inherit the pipes, so the end of output may come long after the exit, or never: after the
//! exit output is drained for a bounded time. An agent may hang after its result: then the result counts and the
//! process is killed after the grace. A reader of events that does not keep up holds the loop, until a deadline or
//! cancellation; the time it takes is not taken for the agent's silence.

use std::collections::VecDeque;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use backlog::time::{Clock, Timestamp};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::RunnerError;
use crate::agent::{Agent, AgentCommand, AgentOutcome, Exit, GatewayAddress, PROMPT_FILE, SessionSpec, Step};
use crate::process::{self, Output, Started, Stream};
use crate::sandbox::{Confinement, Kind, Level, Sandbox};
use crate::transcript::{AgentEvent, Usage, bounded};

/// How much of the error output is kept.
const STDERR_TAIL: usize = 64 * 1024;
/// How long output is still read after the exit.
const DRAIN: Duration = Duration::from_secs(1);
/// How often the processes of the run are counted.
const COUNTING: Duration = Duration::from_secs(2);
/// The name of the prompt file in the run's home.
const PROMPT_NAME: &str = "ccm-prompt.md";

/// What a session may use; every bound ends it with a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest time without any output. Agents are silent while a command runs: not less than that may take.
    pub silence: Duration,
    /// Longest time from a message (the prompt, or a person's) to its result.
    pub turn: Duration,
    /// Longest time in all.
    pub total: Duration,
    /// How long it may take to react to each of: the own result, an interrupt, SIGTERM.
    pub grace: Duration,
    /// Most bytes of output.
    pub output_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            silence: Duration::from_secs(15 * 60),
            turn: Duration::from_secs(60 * 60),
            total: Duration::from_secs(60 * 60),
            grace: Duration::from_secs(5),
            output_bytes: 256 << 20,
        }
    }
}

/// One session to run.
#[derive(Clone, Debug)]
pub struct RunSpec {
    /// What the agent is asked to do. Its `checkout` is filled in from the sandbox, and so is its `gateway` when the
    /// confinement has a bridge.
    pub session: SessionSpec,
    /// What it may see and use.
    pub confinement: Confinement,
    /// How long and how much.
    pub limits: Limits,
}

/// What a person says to a running session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inbox {
    /// Tell the agent.
    Message(String),
    /// Make it stop what it does.
    Interrupt,
}

/// How a session ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionOutcome {
    /// By itself; this is the agent's own word.
    Ended(AgentOutcome),
    /// It took longer than it may in all, or for one message.
    TimedOut {
        /// The limit.
        limit: Duration,
    },
    /// It said nothing for so long.
    Stalled {
        /// The limit.
        silence: Duration,
    },
    /// It used more than it may of something else than time.
    OverLimit {
        /// What, for people.
        reason: String,
    },
    /// We stopped it.
    Cancelled,
}

/// A session that is over: nothing of it is alive.
#[derive(Clone, Debug)]
pub struct SessionEnd {
    /// How it ended.
    pub outcome: SessionOutcome,
    /// The agent's own id of the conversation, for resuming.
    pub session_id: Option<String>,
    /// How its process ended; `None` if the system did not tell.
    pub exit: Option<Exit>,
    /// What the agent says it used.
    pub usage: Usage,
    /// How many processes were still alive and had to be killed. A sandbox's own init may be among them.
    pub killed_processes: usize,
    /// The end of its error output, at most 64 KiB.
    pub stderr_tail: String,
    /// What confined it.
    pub level: Level,
    /// How many events nobody took in time; the transcript lacks them.
    pub events_lost: u64,
    /// When it began.
    pub began: Timestamp,
    /// When it was over.
    pub ended: Timestamp,
}

/// Runs one session of `agent` in `sandbox` and returns when nothing of it is alive. `events` should be read all the
/// time; a receiver that is gone is no failure. An inbox whose sender is gone is empty.
///
/// # Errors
/// When the session could not be started, or some of its processes could not be killed.
pub async fn run_session(
    spec: RunSpec,
    mut agent: Box<dyn Agent>,
    sandbox: &dyn Sandbox,
    mut inbox: mpsc::Receiver<Inbox>,
    events: mpsc::Sender<AgentEvent>,
    cancel: CancellationToken,
    clock: Arc<dyn Clock>,
) -> Result<SessionEnd, RunnerError> {
    let began = clock.now();
    let started = start(&spec, agent.as_mut(), sandbox).await?;
    let mut session = Session::new(agent, started, events, spec.limits, &cancel);
    session.drive(&mut inbox, spec.confinement.processes).await;
    let Session { mut agent, mut started, stop, stderr, usage, session_id, events_lost, .. } = session;
    let (exit, killed_processes) = started.tree.end(&mut started.child).await?;
    let stderr_tail = stderr.text();
    let outcome = match stop {
        Some(stop) => stop.outcome(&spec.limits),
        None => {
            let exit = exit.unwrap_or(Exit { code: None, signal: None });
            SessionOutcome::Ended(agent.outcome(&exit, &stderr_tail))
        }
    };
    let level = sandbox.level();
    let ended = clock.now();
    Ok(SessionEnd { outcome, session_id, exit, usage, killed_processes, stderr_tail, level, events_lost, began, ended })
}

async fn start(spec: &RunSpec, agent: &mut dyn Agent, sandbox: &dyn Sandbox) -> Result<Started, RunnerError> {
    let confinement = &spec.confinement;
    let mut session = spec.session.clone();
    session.checkout = sandbox.checkout(confinement);
    if confinement.gateway.is_some() && sandbox.level().kind == Kind::Bubblewrap {
        session.gateway.get_or_insert_with(GatewayAddress::bridged);
    }
    let mut command = agent.command(&session);
    write_prompt(&mut command, confinement, sandbox)?;
    let process = sandbox.wrap(&command.program, confinement)?;
    let piped = !command.stdin.is_empty() || !command.close_stdin_after_prompt;
    let mut started = process::start(&process, &confinement.run, piped, sandbox.level().processes_contained).await?;
    for line in command.stdin {
        // The queue is empty and holds more than any agent's first lines.
        started.input.write(line);
    }
    if command.close_stdin_after_prompt {
        started.input.close();
    }
    Ok(started)
}

fn write_prompt(
    command: &mut AgentCommand,
    confinement: &Confinement,
    sandbox: &dyn Sandbox,
) -> Result<(), RunnerError> {
    let Some(prompt) = &command.prompt_file else {
        return Ok(());
    };
    let failed = |path: String, source| RunnerError::Files { path, source };
    let home = confinement.home.as_ref().ok_or_else(|| {
        failed("the run's home".into(), std::io::Error::other("an agent that reads its prompt from a file needs one"))
    })?;
    let path = home.join(PROMPT_NAME);
    // The home belongs to the agent. A run that goes on after a restart finds there what its first session left: a link
    // in this place would make us write wherever it points to.
    let write = || {
        if path.symlink_metadata().is_ok() {
            std::fs::remove_file(&path)?;
        }
        std::fs::File::create_new(&path)?.write_all(prompt.as_bytes())
    };
    write().map_err(|source| failed(path.display().to_string(), source))?;
    let seen = sandbox.home(confinement).join(PROMPT_NAME).display().to_string();
    for arg in &mut command.program.args {
        *arg = arg.replace(PROMPT_FILE, &seen);
    }
    Ok(())
}

/// Why we stop a session.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Stop {
    Total,
    Turn,
    Silence,
    Output,
    Processes(usize),
    Cancelled,
}

impl Stop {
    fn outcome(self, limits: &Limits) -> SessionOutcome {
        match self {
            Self::Total => SessionOutcome::TimedOut { limit: limits.total },
            Self::Turn => SessionOutcome::TimedOut { limit: limits.turn },
            Self::Silence => SessionOutcome::Stalled { silence: limits.silence },
            Self::Output => SessionOutcome::OverLimit {
                reason: format!("The agent wrote more than {} bytes.", limits.output_bytes),
            },
            Self::Processes(n) => {
                SessionOutcome::OverLimit { reason: format!("The agent ran {n} processes, more than it may.") }
            }
            Self::Cancelled => SessionOutcome::Cancelled,
        }
    }
}

/// How far a session is on its way to the end, with the deadline of the phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Working,
    /// The agent said all.
    Finishing(Instant),
    /// It was asked to stop.
    Interrupted(Instant),
    /// It was terminated.
    Terminated(Instant),
    /// Its process is gone, its output perhaps not.
    Draining(Instant),
    Over,
}

struct Session<'a> {
    agent: Box<dyn Agent>,
    started: Started,
    events: mpsc::Sender<AgentEvent>,
    limits: Limits,
    cancel: &'a CancellationToken,
    phase: Phase,
    stop: Option<Stop>,
    total_until: Instant,
    turn_until: Instant,
    silent_until: Instant,
    output_left: u64,
    stderr: Tail,
    usage: Usage,
    session_id: Option<String>,
    events_lost: u64,
}

impl<'a> Session<'a> {
    fn new(
        agent: Box<dyn Agent>,
        started: Started,
        events: mpsc::Sender<AgentEvent>,
        limits: Limits,
        cancel: &'a CancellationToken,
    ) -> Self {
        let now = Instant::now();
        Self {
            agent,
            started,
            events,
            limits,
            cancel,
            phase: Phase::Working,
            stop: None,
            total_until: now + limits.total,
            turn_until: now + limits.turn,
            silent_until: now + limits.silence,
            output_left: limits.output_bytes,
            stderr: Tail::new(STDERR_TAIL),
            usage: Usage::default(),
            session_id: None,
            events_lost: 0,
        }
    }

    async fn drive(&mut self, inbox: &mut mpsc::Receiver<Inbox>, most_processes: u32) {
        let (mut inbox_open, mut output_open) = (true, true);
        let mut counting = tokio::time::interval(COUNTING);
        counting.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while self.phase != Phase::Over {
            let draining = matches!(self.phase, Phase::Draining(_));
            if draining && !output_open {
                return;
            }
            if Instant::now() >= self.deadline() {
                // A timer may fire a moment late, and what else is ready must not win by that.
                self.on_deadline().await;
                continue;
            }
            let cancel = self.cancel;
            tokio::select! {
                biased;
                () = cancel.cancelled(), if self.stop.is_none() && !draining => self.stop(Stop::Cancelled).await,
                () = sleep_until(self.deadline()) => self.on_deadline().await,
                _ = self.started.child.wait(), if !draining => self.phase = Phase::Draining(Instant::now() + DRAIN),
                message = inbox.recv(), if inbox_open && self.phase == Phase::Working => match message {
                    Some(message) => self.on_inbox(message).await,
                    None => inbox_open = false,
                },
                _ = counting.tick(), if !draining => {
                    let alive = self.started.tree.members().await.len();
                    if alive > most_processes as usize && self.stop.is_none() {
                        self.stop(Stop::Processes(alive)).await;
                    }
                }
                output = self.started.output.recv(), if output_open => match output {
                    Some(output) => self.on_output(output).await,
                    None => output_open = false,
                },
            }
        }
    }

    fn deadline(&self) -> Instant {
        match self.phase {
            Phase::Working => self.total_until.min(self.turn_until).min(self.silent_until),
            Phase::Finishing(until) | Phase::Interrupted(until) | Phase::Terminated(until) | Phase::Draining(until) => {
                until
            }
            Phase::Over => Instant::now(),
        }
    }

    async fn on_deadline(&mut self) {
        match self.phase {
            Phase::Working => {
                let now = Instant::now();
                if self.started.child.try_wait().is_ok_and(|ended| ended.is_some()) {
                    // It ended by itself, in time; a slow listener kept us from seeing it.
                    self.phase = Phase::Draining(now + DRAIN);
                    return;
                }
                let why = if now >= self.total_until {
                    Stop::Total
                } else if now >= self.turn_until {
                    Stop::Turn
                } else {
                    Stop::Silence
                };
                self.stop(why).await;
            }
            Phase::Interrupted(_) => self.terminate().await,
            Phase::Finishing(_) | Phase::Terminated(_) | Phase::Draining(_) | Phase::Over => self.phase = Phase::Over,
        }
    }

    /// Stops the session for a reason that then is its outcome, unless the agent has finished already.
    async fn stop(&mut self, why: Stop) {
        if matches!(self.phase, Phase::Finishing(_)) {
            self.phase = Phase::Over;
            return;
        }
        let harmful = matches!(why, Stop::Output | Stop::Processes(_));
        self.stop = Some(why);
        let steps = if harmful { Vec::new() } else { self.agent.interrupt() };
        if steps.is_empty() {
            return self.terminate().await;
        }
        self.phase = Phase::Interrupted(Instant::now() + self.limits.grace);
        self.take(steps).await;
    }

    async fn terminate(&mut self) {
        self.started.input.close();
        self.started.tree.terminate().await;
        self.phase = Phase::Terminated(Instant::now() + self.limits.grace);
    }

    async fn on_inbox(&mut self, message: Inbox) {
        let steps = match message {
            Inbox::Message(text) => {
                self.turn_until = Instant::now() + self.limits.turn;
                self.agent.message(&text)
            }
            Inbox::Interrupt => {
                let steps = self.agent.interrupt();
                if steps.is_empty() {
                    let text = "This agent cannot be interrupted. Cancel the run to stop it.".to_owned();
                    vec![Step::Event(AgentEvent::Notice { text })]
                } else {
                    steps
                }
            }
        };
        self.take(steps).await;
    }

    async fn on_output(&mut self, output: Output) {
        let bytes = match &output {
            Output::Line { text, .. } => text.len() as u64 + 1,
            Output::Dropping(bytes) => *bytes,
        };
        if self.output_left < bytes {
            self.output_left = 0;
            if self.stop.is_none() && !matches!(self.phase, Phase::Draining(_)) {
                self.stop(Stop::Output).await;
            }
            return;
        }
        self.output_left -= bytes;
        match output {
            Output::Line { stream: Stream::Stdout, text, dropped } => {
                if dropped > 0 {
                    let text = format!("A line of the agent was too long; {dropped} bytes of it were left out.");
                    self.emit(AgentEvent::Notice { text }).await;
                }
                let steps = self.agent.on_line(&text);
                self.take(steps).await;
            }
            Output::Line { stream: Stream::Stderr, text, .. } => {
                self.stderr.push(&text);
                self.emit(AgentEvent::Stderr { text: bounded(&text) }).await;
            }
            Output::Dropping(_) => {}
        }
        self.silent_until = Instant::now() + self.limits.silence;
    }

    async fn take(&mut self, steps: Vec<Step>) {
        for step in steps {
            match step {
                Step::Event(event) => self.emit(event).await,
                Step::Write(line) => {
                    if !self.started.input.write(line) {
                        let text = "The agent does not read its input; a line to it was dropped.".to_owned();
                        self.emit(AgentEvent::Notice { text }).await;
                    }
                }
                Step::CloseStdin => self.started.input.close(),
                Step::Finished if matches!(self.phase, Phase::Working | Phase::Interrupted(_)) => {
                    self.phase = Phase::Finishing(Instant::now() + self.limits.grace);
                }
                Step::Finished => {}
            }
        }
    }

    async fn emit(&mut self, event: AgentEvent) {
        if let AgentEvent::Session { id, .. } = &event {
            self.session_id = Some(id.clone());
        } else if let AgentEvent::Usage(usage) = &event {
            self.usage.add(usage);
        } else if matches!(event, AgentEvent::Result { .. }) {
            self.turn_until = Instant::now() + self.limits.turn;
        }
        let before = Instant::now();
        let patience = if self.stop.is_none() { self.total_until } else { self.deadline() };
        tokio::select! {
            biased;
            // A receiver that is gone does not want to know; the session goes on.
            _ = self.events.send(event) => {}
            () = sleep_until(patience) => self.events_lost += 1,
            () = self.cancel.cancelled(), if self.stop.is_none() => self.events_lost += 1,
        }
        // Neither the agent's silence nor a pipe that stays open is the listener's fault.
        if let Phase::Draining(until) = &mut self.phase
            && self.stop.is_none()
        {
            *until += before.elapsed();
        }
        self.silent_until += before.elapsed();
    }
}

/// The end of a long text, by whole lines.
pub(crate) struct Tail {
    lines: VecDeque<String>,
    bytes: usize,
    limit: usize,
}

impl Tail {
    pub(crate) fn new(limit: usize) -> Self {
        Self { lines: VecDeque::new(), bytes: 0, limit }
    }

    pub(crate) fn push(&mut self, line: &str) {
        let line = bounded(line);
        self.bytes += line.len() + 1;
        self.lines.push_back(line);
        while self.bytes > self.limit {
            let Some(first) = self.lines.pop_front() else { return };
            self.bytes -= first.len() + 1;
        }
    }

    pub(crate) fn text(&self) -> String {
        self.lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
    }
}
