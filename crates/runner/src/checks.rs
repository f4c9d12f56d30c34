//! The repository's own checks: finding out which there are, and running them confined.
//!
//! Each runs in the sandbox without network, with a deadline of its own; its tree is killed and searched for before
//! the next one starts, so that a server left running by one test suite does not answer to the next.

mod detect;

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use detect::{RootFiles, detect};

use crate::RunnerError;
use crate::agent::{Exit, Program};
use crate::process::{self, Output};
use crate::sandbox::{Confinement, Sandbox};
use crate::session::Tail;

/// How much of a check's output is kept.
const LOG_TAIL: usize = 64 * 1024;
/// How long output is still read after the exit.
const DRAIN: Duration = Duration::from_secs(1);

/// A verification command.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct CheckCommand {
    /// What people call it, such as `cargo test`.
    pub name: String,
    /// The line for the shell, run at the root of the checkout.
    pub line: String,
}

impl CheckCommand {
    /// A check whose name is its line.
    #[must_use]
    pub fn new(line: &str) -> Self {
        Self { name: line.to_owned(), line: line.to_owned() }
    }
}

/// What one check may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckLimits {
    /// Longest time of one check.
    pub each: Duration,
    /// Most bytes of output of one check.
    pub output_bytes: u64,
}

impl Default for CheckLimits {
    fn default() -> Self {
        Self { each: Duration::from_secs(20 * 60), output_bytes: 256 << 20 }
    }
}

/// How a check went.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct CheckReport {
    /// The check's name.
    pub name: String,
    /// The line that was run.
    pub command: String,
    /// Whether it ended by itself with exit code 0.
    pub passed: bool,
    /// Its exit code, if it ended by itself.
    pub exit: Option<i32>,
    /// How long it took.
    pub duration: Duration,
    /// The end of its output, at most 64 KiB.
    pub log_tail: String,
    /// Whether it was stopped for taking too long.
    pub timed_out: bool,
}

/// How the wait for a check ended.
enum Wait {
    Exited,
    TimedOut,
    Flooded,
    Cancelled,
}

/// Runs `commands` one after the other and returns a report for each; after `cancel` the remaining ones are left out.
/// `on_line` gets each check's name and each line of its output.
///
/// # Errors
/// When a check could not be started, or some of its processes could not be killed.
pub async fn run_checks(
    confinement: &Confinement,
    commands: &[CheckCommand],
    sandbox: &dyn Sandbox,
    limits: &CheckLimits,
    cancel: &CancellationToken,
    on_line: &mut (dyn FnMut(&str, &str) + Send),
) -> Result<Vec<CheckReport>, RunnerError> {
    let mut confinement = confinement.clone();
    confinement.gateway = None;
    let mut reports = Vec::new();
    for command in commands {
        if cancel.is_cancelled() {
            break;
        }
        reports.push(run_check(&confinement, command, sandbox, limits, cancel, on_line).await?);
    }
    Ok(reports)
}

async fn run_check(
    confinement: &Confinement,
    command: &CheckCommand,
    sandbox: &dyn Sandbox,
    limits: &CheckLimits,
    cancel: &CancellationToken,
    on_line: &mut (dyn FnMut(&str, &str) + Send),
) -> Result<CheckReport, RunnerError> {
    let program = Program { path: "sh".into(), args: vec!["-c".into(), command.line.clone()], ..Program::default() };
    let spec = sandbox.wrap(&program, confinement)?;
    let began = Instant::now();
    let mut started = process::start(&spec, &confinement.run, false, sandbox.level().processes_contained).await?;
    let mut tail = Tail::new(LOG_TAIL);
    let mut keep = |line: &str| {
        tail.push(line);
        on_line(&command.name, line);
    };
    let waited = tokio::select! {
        biased;
        () = cancel.cancelled() => Wait::Cancelled,
        () = tokio::time::sleep(limits.each) => Wait::TimedOut,
        waited = follow(&mut started, limits.output_bytes, &mut keep) => waited,
    };
    let duration = began.elapsed();
    let (exit, _) = started.tree.end(&mut started.child).await?;
    match waited {
        Wait::Exited => {}
        Wait::TimedOut => keep(&format!("Stopped after {} s, the most a check may take.", limits.each.as_secs_f32())),
        Wait::Flooded => keep(&format!("Stopped after {} bytes of output.", limits.output_bytes)),
        Wait::Cancelled => keep("Stopped because the run was cancelled."),
    }
    let code = exit.filter(|_| matches!(waited, Wait::Exited)).and_then(|Exit { code, .. }| code);
    Ok(CheckReport {
        name: command.name.clone(),
        command: command.line.clone(),
        passed: code == Some(0),
        exit: code,
        duration,
        log_tail: tail.text(),
        timed_out: matches!(waited, Wait::TimedOut),
    })
}

/// Reads output until the exit, and then what is still to be read for a bounded time.
async fn follow(started: &mut process::Started, most_bytes: u64, keep: &mut (dyn FnMut(&str) + Send)) -> Wait {
    let mut left = most_bytes;
    let mut drain_until = None;
    loop {
        let until = drain_until.unwrap_or_else(|| Instant::now() + DRAIN);
        tokio::select! {
            biased;
            _ = started.child.wait(), if drain_until.is_none() => drain_until = Some(Instant::now() + DRAIN),
            () = tokio::time::sleep_until(until), if drain_until.is_some() => return Wait::Exited,
            output = started.output.recv() => match output {
                Some(Output::Line { text, .. }) => {
                    left = left.saturating_sub(text.len() as u64 + 1);
                    keep(&text);
                }
                Some(Output::Dropping(bytes)) => left = left.saturating_sub(bytes),
                None => {
                    // Its outputs are closed; whether it goes on is for the deadline.
                    let _ = started.child.wait().await;
                    return Wait::Exited;
                }
            },
        }
        if left == 0 {
            return Wait::Flooded;
        }
    }
}
