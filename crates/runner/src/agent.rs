//! Coding agents as protocol machines without I/O.
//!
//! An [`Agent`] says how its program is started, turns each line of output into [`Step`]s, and judges the end. It
//! never touches a process, a file or the clock; recorded transcripts are its tests.

pub mod claude;
pub mod command;
mod policy;

use std::fmt;
use std::path::PathBuf;

pub use claude::ClaudeCode;
pub use command::{CommandAgent, PromptBy};
pub use policy::{Decision, Policy};

use crate::transcript::AgentEvent;

/// Stands in a program's arguments for the path of the file that holds the prompt.
pub const PROMPT_FILE: &str = "{prompt_file}";

/// What an agent is asked to do in one session.
#[derive(Clone, Debug, Default)]
pub struct SessionSpec {
    /// The task, in words.
    pub prompt: String,
    /// The model, where the agent should not choose itself.
    pub model: Option<String>,
    /// Most model turns, where the agent can count them.
    pub max_turns: Option<u32>,
    /// The id of an earlier session of the same home to go on with.
    pub resume: Option<String>,
    /// Where model calls go.
    pub gateway: Option<GatewayAddress>,
    /// What the agent may do when it asks.
    pub policy: Policy,
    /// The checkout as the agent sees it; [`crate::run_session`] fills it in from the sandbox.
    pub checkout: PathBuf,
}

/// The gateway as seen from where the agent runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayAddress {
    /// For instance `http://127.0.0.1:9901`, with a path where the gateway tells runs apart by path.
    pub base_url: String,
}

impl GatewayAddress {
    /// The address inside a sandbox whose bridge leads to the gateway's socket.
    #[must_use]
    pub fn bridged() -> Self {
        Self { base_url: format!("http://127.0.0.1:{}", crate::bridge::PORT) }
    }
}

/// A program to be run inside a sandbox.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Program {
    /// A name to be found on the sandbox's `PATH`, or an absolute path.
    pub path: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// Variables to set, in order; nothing is inherited.
    pub env: Vec<(String, String)>,
    /// Files and folders it needs besides itself, visible read-only at the same path.
    pub read_only: Vec<PathBuf>,
}

/// How an agent's program is started and first spoken to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentCommand {
    /// The program; [`PROMPT_FILE`] in its arguments is replaced.
    pub program: Program,
    /// Lines to write to its input at the start.
    pub stdin: Vec<String>,
    /// Whether its input is closed after these lines.
    pub close_stdin_after_prompt: bool,
    /// The content of the prompt file, when the program wants one.
    pub prompt_file: Option<String>,
}

/// What an agent wants done after a line.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Keep this in the transcript.
    Event(AgentEvent),
    /// Write this line to the agent's input.
    Write(String),
    /// Close the agent's input.
    CloseStdin,
    /// The agent has said all; what remains is to let it go.
    Finished,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    /// Its exit code, unless a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it. Behind a sandbox a signal shows as code 128 + signal.
    pub signal: Option<i32>,
}

impl Exit {
    /// The signal that ended the process, directly or behind a shell or sandbox.
    #[must_use]
    pub fn ended_by_signal(&self) -> Option<i32> {
        self.signal.or_else(|| self.code.filter(|code| (129..=159).contains(code)).map(|code| code - 128))
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code, self.signal) {
            (_, Some(signal)) => write!(f, "signal {signal}"),
            (Some(code), None) => write!(f, "exit code {code}"),
            (None, None) => write!(f, "no exit code"),
        }
    }
}

/// How an agent says that its session ended. A claim: the checks decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AgentOutcome {
    /// The agent reported success and was denied nothing.
    Succeeded {
        /// Its closing words.
        summary: String,
    },
    /// The process ended without the agent's word on the task.
    NoResult {
        /// How it ended.
        reason: String,
    },
    /// The agent or its set-up failed.
    Failed {
        /// What happened, for people.
        reason: String,
        /// Whether the same session may succeed later with nothing changed.
        retryable: bool,
    },
    /// The session to resume does not exist: start a new one.
    UnknownSession {
        /// The id that was asked for.
        id: String,
    },
    /// The model's provider is out of capacity or quota: wait, it is nobody's failure.
    LimitedByProvider {
        /// What the provider said.
        reason: String,
    },
}

/// A coding agent.
pub trait Agent: Send {
    /// How the agent is started for `spec`; called once, before anything else.
    fn command(&mut self, spec: &SessionSpec) -> AgentCommand;
    /// Takes one line of the agent's output.
    fn on_line(&mut self, line: &str) -> Vec<Step>;
    /// A person speaks to the running agent.
    fn message(&mut self, text: &str) -> Vec<Step>;
    /// Asks the agent to stop what it does; empty when it knows no such request.
    fn interrupt(&mut self) -> Vec<Step>;
    /// Judges the end, from what was said before, how the process ended and the end of its error output.
    fn outcome(&mut self, exit: &Exit, stderr_tail: &str) -> AgentOutcome;
}

/// The last non-empty line of an error output, for a reason that people read.
fn last_line(text: &str) -> Option<&str> {
    text.lines().rev().map(str::trim).find(|line| !line.is_empty())
}
