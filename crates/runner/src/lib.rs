//! Agents, sandboxes and checks: starts and supervises processes.
//!
//! **Definition.** An *agent* is a program that edits a checkout after a prompt; a *sandbox* is what confines it; a
//! *session* is one life of one agent process; a *check* is one verification command of the repository.
//!
//! **Properties wanted.** (1) Nothing that a session or a check started is alive after it returned, and this is looked
//! up in `/proc`, not assumed. (2) Whatever an agent does – hang, flood, fork, die, lie – the session ends in
//! bounded time with a reason. (3) No secret, and no variable of the service, reaches an agent. (4) "Succeeded" needs the
//! agent's own result and is still only a claim: verification is done elsewhere.
//!
//! **Design.** [`agent::Agent`] is a protocol machine without I/O, so that recorded transcripts are its tests.
//! [`sandbox::Sandbox`] turns a program into the program that confines it. [`process`] is the only place that starts
//! either, and [`session::run_session`] and [`checks::run_checks`] drive it.

pub mod agent;
pub mod bridge;
pub mod checks;
pub mod process;
pub mod sandbox;
pub mod session;
pub mod transcript;

pub use agent::{Agent, AgentCommand, AgentOutcome, Exit, GatewayAddress, Policy, Program, SessionSpec, Step};
pub use checks::{CheckCommand, CheckLimits, CheckReport, RootFiles, detect, run_checks};
pub use process::{kill_leftovers, processes_of};
pub use sandbox::{Confinement, GatewayBridge, Kind, Level, Probe, Sandbox, Toolchains, probe};
pub use session::{Inbox, Limits, RunSpec, SessionEnd, SessionOutcome, run_session};
pub use transcript::{AgentEvent, Usage};

/// Why a session or a check could not be run at all, or not be cleaned up. What an agent does wrong is no error but
/// an outcome.
#[derive(Debug, thiserror::Error)]
pub enum RunnerError {
    /// The agent's program is not on this machine: a matter of installation, the same for every task.
    #[error("the program `{program}` was not found; install it or set its full path in the configuration")]
    ProgramMissing {
        /// The name or path that was looked for.
        program: String,
    },
    /// The sandbox or the program could not be started.
    #[error("could not start `{program}`; run `ccm doctor` to see what is missing on this machine")]
    Start {
        /// The program that the system refused to start.
        program: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file or folder that the run needs could not be read or written.
    #[error("could not use {path}; check that it exists and belongs to this user")]
    Files {
        /// The file or folder.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Processes of the run outlived every attempt to kill them.
    #[error("{} processes of run {run} outlived SIGKILL ({pids:?}); end them before the next try", pids.len())]
    Survivors {
        /// The run's marker.
        run: String,
        /// Their process ids.
        pids: Vec<i32>,
    },
}
