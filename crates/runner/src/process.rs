//! Starts processes and ends whole trees of them: the only place that does.
//!
//! **The end of a tree is looked up, not assumed.** Every process of a run carries the variable `CCM_RUN` with the
//! run's marker, and in a sandbox a process-id namespace of its own. After the leader is gone both are searched in
//! `/proc`, what is found is killed by a process descriptor, and the search is repeated until nothing is left or the
//! tries are used up, which is an error.
//!
//! **Known races.** A process id may be reused between finding and killing: the signal goes through a descriptor that
//! was opened before the marker was read again. The process group is killed once more just after its leader was reaped:
//! its number could name a new group only if the kernel had gone once around all numbers in that moment. Without a
//! sandbox a program can drop the marker and leave its group; that is what the sandbox is for, and
//! [`crate::sandbox::Level`] says so.

mod lines;
mod tree;

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc;

pub(crate) use lines::{Output, Stream};
pub(crate) use tree::Tree;
pub use tree::{kill_leftovers, processes_of};

use crate::RunnerError;

/// Lines that wait to be written to a process; a process that reads none of so many is not listening.
const INPUT_QUEUE: usize = 64;

/// Lines read from a process that wait to be handled; a line is at most [`lines::LINE_LIMIT`] long.
const OUTPUT_QUEUE: usize = 8;

/// A process to start, with nothing inherited but what is written here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessSpec {
    /// Its program, an absolute path.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its whole environment.
    pub env: Vec<(String, String)>,
    /// Its working directory.
    pub cwd: PathBuf,
}

/// A running process with its pipes.
pub(crate) struct Started {
    pub(crate) child: Child,
    pub(crate) input: Input,
    pub(crate) output: mpsc::Receiver<Output>,
    pub(crate) tree: Tree,
}

/// A process's standard input behind a bounded queue, so that writing never waits for the process.
pub(crate) struct Input(Option<mpsc::Sender<String>>);

impl Input {
    /// Queues a line; `false` when the queue is full or the input closed.
    pub(crate) fn write(&self, line: String) -> bool {
        self.0.as_ref().is_some_and(|queue| queue.try_send(line).is_ok())
    }

    /// Closes the input after what is queued.
    pub(crate) fn close(&mut self) {
        self.0 = None;
    }
}

fn command(spec: &ProcessSpec) -> Command {
    let mut command = Command::new(&spec.program);
    command.args(&spec.args).env_clear().envs(spec.env.iter().cloned()).current_dir(&spec.cwd);
    command.process_group(0).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Starts `spec` as the leader of the run `run`, with pipes on all sides. If the run is `contained`, its process-id
/// namespace is learned before anything else happens.
pub(crate) async fn start(
    spec: &ProcessSpec,
    run: &str,
    piped_input: bool,
    contained: bool,
) -> Result<Started, RunnerError> {
    let mut command = command(spec);
    if piped_input {
        command.stdin(Stdio::piped());
    }
    let failed = |source| RunnerError::Start { program: spec.program.display().to_string(), source };
    let mut child = command.spawn().map_err(failed)?;
    let (sender, output) = mpsc::channel(OUTPUT_QUEUE);
    if let Some(pipe) = child.stdout.take() {
        tokio::spawn(lines::read(pipe, Stream::Stdout, sender.clone()));
    }
    if let Some(pipe) = child.stderr.take() {
        tokio::spawn(lines::read(pipe, Stream::Stderr, sender));
    }
    let input = Input(child.stdin.take().map(|pipe| {
        let (queue, lines) = mpsc::channel(INPUT_QUEUE);
        tokio::spawn(write_lines(pipe, lines));
        queue
    }));
    let mut tree = Tree::new(run, child.id());
    if contained {
        tree.learn_namespace().await;
    }
    Ok(Started { child, input, output, tree })
}

async fn write_lines(mut pipe: ChildStdin, mut lines: mpsc::Receiver<String>) {
    while let Some(mut line) = lines.recv().await {
        line.push('\n');
        // A process that closed its input does not want to hear more; its end is seen elsewhere.
        if pipe.write_all(line.as_bytes()).await.is_err() || pipe.flush().await.is_err() {
            return;
        }
    }
}

/// Runs `spec` to its end, at most for `patience`: its exit code and the first 4 KiB of its error output.
pub(crate) async fn output(spec: ProcessSpec, patience: Duration) -> io::Result<(Option<i32>, String)> {
    let mut child = command(&spec).stdout(Stdio::null()).spawn()?;
    let mut said = Vec::new();
    let finished = async {
        if let Some(pipe) = child.stderr.take() {
            pipe.take(4096).read_to_end(&mut said).await?;
        }
        child.wait().await
    };
    let status = tokio::time::timeout(patience, finished).await.map_err(io::Error::other)??;
    Ok((status.code(), String::from_utf8_lossy(&said).into_owned()))
}

/// Starts a program that shares the caller's environment, input and output: the bridge's child.
pub(crate) fn inheriting(program: &str, args: &[String]) -> io::Result<Child> {
    Command::new(program).args(args).kill_on_drop(true).spawn()
}

/// Whether `path` is a file that may be executed.
pub(crate) fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0)
}
