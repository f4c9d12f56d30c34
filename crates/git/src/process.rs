//! Starts the git program: one fixed environment, a deadline, bounds on what it may answer, and a whole process group
//! that is gone afterwards.
//!
//! *Wanted properties.* The environment is cleared, so that neither the machine's configuration nor a prompt can reach
//! a call. Answers are bounded or streamed. At the deadline the group gets a moment to remove its lock files, then it
//! is killed; a dropped call kills its group at once. Every shown text is free of the remote's secrets.
//!
//! *Known races.* Between the end of git and the end of a process it left in its group, that process lives on; git
//! starts none that matter, since automatic maintenance is off.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use rustix::process::Signal;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::Semaphore;

use crate::error::{GitError, classify};
use crate::ls_refs::Web;
use crate::objects::AT_ONCE;
use crate::pace::{Kind, Pace};
use crate::remote::Remote;

mod environment;
mod group;

use environment::{CONFIG, ENVIRONMENT, INHERITED};
use group::Group;

/// The oldest git that has everything needed (`merge-tree --write-tree`).
pub const OLDEST_GIT: GitVersion = GitVersion { major: 2, minor: 38 };

/// Git processes at one time, over all mirrors.
const MAX_PROCESSES: usize = 32;
/// Bytes of a collected answer.
pub(crate) const MAX_STDOUT: usize = 16 * 1024 * 1024;
/// Bytes of one record of a streamed answer.
const MAX_RECORD: usize = 1024 * 1024;
const STDERR_BUFFER: usize = 16 * 1024;
const STDERR_SHOWN: usize = 4 * 1024;
const COMMAND_SHOWN: usize = 300;

/// How git tells that one of its programs met the bound on files (`SIGXFSZ`).
const FILE_TOO_LARGE: &str = "died of signal 25";

/// How long calls may take.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// Fetches, pushes, checkouts and bulk reads.
    pub network: Duration,
    /// Everything else.
    pub local: Duration,
}

impl Default for Deadlines {
    /// Ten minutes and one minute.
    fn default() -> Self {
        Self { network: Duration::from_secs(600), local: Duration::from_secs(60) }
    }
}

/// A version of the git program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GitVersion {
    /// The first number.
    pub major: u32,
    /// The second number.
    pub minor: u32,
}

impl fmt::Display for GitVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// Serialises what writes to one mirror.
pub(crate) type Writing = Arc<tokio::sync::Mutex<()>>;

struct Inner {
    program: PathBuf,
    deadlines: Deadlines,
    inherited: Vec<(OsString, OsString)>,
    processes: Semaphore,
    reading: Arc<Semaphore>,
    mirrors: Mutex<HashMap<PathBuf, Weak<tokio::sync::Mutex<()>>>>,
    web: Web,
    pace: Pace,
}

/// The git program. Cheap to clone; clones share the bound on processes.
#[derive(Clone)]
pub struct Git(Arc<Inner>);

impl fmt::Debug for Git {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Git").field(&self.0.program).finish()
    }
}

/// Where in `path` a program is that is only named. With a place of its own it is started without a copy of this process
/// being made first, which would hold up every thread here: some milliseconds, thousands of times in a large pass.
fn found(program: &Path, path: &OsStr) -> Option<PathBuf> {
    let named = program.components().count() == 1 && program.is_relative();
    let mut places = std::env::split_paths(path).filter(|_| named).map(|folder| folder.join(program));
    places.find(|place| place.is_absolute() && place.metadata().is_ok_and(|it| it.is_file() && it.mode() & 0o111 != 0))
}

impl Git {
    /// The program at `program` (a path, or a name looked up in `PATH`), with the usual deadlines.
    #[must_use]
    pub fn new(program: PathBuf) -> Self {
        Self::with_deadlines(program, Deadlines::default())
    }

    /// The program at `program` with other deadlines.
    #[must_use]
    pub fn with_deadlines(program: PathBuf, deadlines: Deadlines) -> Self {
        let mut inherited: Vec<(OsString, OsString)> =
            INHERITED.iter().filter_map(|name| Some(((*name).into(), std::env::var_os(name)?))).collect();
        if !inherited.iter().any(|(name, _)| name == "PATH") {
            inherited.push(("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into()));
        }
        let path = inherited.iter().find(|(name, _)| name == "PATH").map(|(_, path)| path.as_os_str());
        let program = path.and_then(|path| found(&program, path)).unwrap_or(program);
        let processes = Semaphore::new(MAX_PROCESSES);
        Self(Arc::new(Inner {
            program,
            deadlines,
            inherited,
            processes,
            reading: Arc::new(Semaphore::new(AT_ONCE)),
            mirrors: Mutex::default(),
            web: Web::default(),
            pace: Pace::default(),
        }))
    }

    /// The program's version. Refuses one older than [`OLDEST_GIT`] with [`GitError::TooOld`].
    pub async fn version(&self) -> Result<GitVersion, GitError> {
        let text = self.call(["version"]).text().await?;
        let found = text.strip_prefix("git version ").unwrap_or(&text).to_owned();
        let mut numbers = found.split('.').map_while(|part| part.parse().ok());
        match (numbers.next(), numbers.next()) {
            (Some(major), Some(minor)) if GitVersion { major, minor } >= OLDEST_GIT => Ok(GitVersion { major, minor }),
            _ => Err(GitError::TooOld { found }),
        }
    }

    /// The turns of reading objects in this process.
    pub(crate) fn reading(&self) -> Arc<Semaphore> {
        self.0.reading.clone()
    }

    pub(crate) fn deadlines(&self) -> Deadlines {
        self.0.deadlines
    }

    /// The pace at the hosts.
    pub(crate) fn pace(&self) -> &Pace {
        &self.0.pace
    }

    /// The way to the hosts.
    pub(crate) fn web(&self) -> &Web {
        &self.0.web
    }

    /// The lock of the mirror in `dir`; one per folder, however often it is opened.
    pub(crate) fn writing(&self, dir: &Path) -> Writing {
        let mut mirrors = self.0.mirrors.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(writing) = mirrors.get(dir).and_then(Weak::upgrade) {
            return writing;
        }
        mirrors.retain(|_, writing| writing.strong_count() > 0);
        let writing = Writing::default();
        mirrors.insert(dir.to_owned(), Arc::downgrade(&writing));
        writing
    }

    /// Prepares `git <args>`.
    pub(crate) fn call<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Call {
        Call {
            git: self.clone(),
            args: args.into_iter().map(|arg| arg.as_ref().to_owned()).collect(),
            folder: None,
            environment: Vec::new(),
            config: CONFIG.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            stdin: Vec::new(),
            secrets: Vec::new(),
            remote: None,
            deadline: self.0.deadlines.local,
            file_bytes: None,
            users_settings: false,
        }
    }
}

/// One run of the program, being prepared.
pub(crate) struct Call {
    git: Git,
    args: Vec<OsString>,
    folder: Option<PathBuf>,
    environment: Vec<(OsString, OsString)>,
    config: Vec<(String, String)>,
    stdin: Vec<u8>,
    secrets: Vec<String>,
    remote: Option<Remote>,
    deadline: Duration,
    /// The most bytes of one file that the program may write.
    file_bytes: Option<u64>,
    users_settings: bool,
}

/// How a run ended that was not stopped at its deadline.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    /// The end of stderr, without secrets.
    pub(crate) stderr: String,
    /// The reader had enough and the program was killed.
    pub(crate) stopped: bool,
    command: String,
    remote: Option<String>,
}

impl Ended {
    /// The error that this end means.
    pub(crate) fn into_error(self) -> GitError {
        classify(self.command, self.code, self.stderr, self.remote.as_deref())
    }

    /// The same for one that is no success.
    fn error(&self) -> Option<GitError> {
        let failed = self.code != Some(0) && !self.stopped;
        failed.then(|| classify(self.command.clone(), self.code, self.stderr.clone(), self.remote.as_deref()))
    }

    /// The error for an answer that cannot be understood.
    pub(crate) fn garbled(self, what: &str) -> GitError {
        GitError::Failed { command: self.command, code: self.code, stderr: format!("unexpected answer: {what}") }
    }

    fn success(self) -> Result<(), GitError> {
        if self.code == Some(0) || self.stopped { Ok(()) } else { Err(self.into_error()) }
    }
}

impl Call {
    /// Adds one argument.
    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Works on the repository in `dir`, without looking for another one.
    pub(crate) fn git_dir(self, dir: &Path) -> Self {
        self.env("GIT_DIR", dir)
    }

    /// Runs in `folder`.
    pub(crate) fn folder(mut self, folder: &Path) -> Self {
        self.folder = Some(folder.to_owned());
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.into(), value.as_ref().to_owned()));
        self
    }

    pub(crate) fn config(mut self, key: &str, value: &str) -> Self {
        self.config.push((key.to_owned(), value.to_owned()));
        self
    }

    /// What the program reads from its standard input; nothing otherwise.
    pub(crate) fn stdin(mut self, bytes: Vec<u8>) -> Self {
        self.stdin = bytes;
        self
    }

    /// May take as long as a network call.
    pub(crate) fn bulk(mut self) -> Self {
        self.deadline = self.git.0.deadlines.network;
        self
    }

    /// Writes no file, so no pack either, of more than `bytes`.
    pub(crate) fn at_most(mut self, bytes: u64) -> Self {
        self.file_bytes = Some(bytes);
        self
    }

    /// Talks to `remote`, with its login.
    pub(crate) fn remote(mut self, remote: &Remote) -> Self {
        if let Some(authorization) = remote.authorization() {
            self.config.push(("http.extraHeader".to_owned(), format!("Authorization: {authorization}")));
        }
        self.secrets = remote.secrets();
        self.remote = Some(remote.clone());
        self.bulk()
    }

    /// With the configuration of the person whose service this is, for their own work tree (line ends, LFS).
    pub(crate) fn users_settings(mut self) -> Self {
        self.users_settings = true;
        self
    }

    /// Collects the whole answer, whatever the exit code.
    pub(crate) async fn output(self) -> Result<(Vec<u8>, Ended), GitError> {
        let (bytes, ended) = self.prefix(MAX_STDOUT).await?;
        if ended.stopped {
            return Err(GitError::TooLarge { what: "an answer of git", limit: format!("{MAX_STDOUT} bytes") });
        }
        Ok((bytes, ended))
    }

    /// Collects the first `max` bytes and stops the program there.
    pub(crate) async fn prefix(self, max: usize) -> Result<(Vec<u8>, Ended), GitError> {
        let mut bytes = Vec::new();
        let ended = self
            .drive(&mut |chunk| {
                let room = max - bytes.len();
                bytes.extend_from_slice(&chunk[..chunk.len().min(room)]);
                if chunk.len() > room { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
            .await?;
        Ok((bytes, ended))
    }

    /// Collects the whole answer; any exit code but 0 is an error.
    pub(crate) async fn ok(self) -> Result<Vec<u8>, GitError> {
        let (bytes, ended) = self.output().await?;
        ended.success().map(|()| bytes)
    }

    /// The answer as text without its last line end.
    pub(crate) async fn text(self) -> Result<String, GitError> {
        let bytes = self.ok().await?;
        Ok(String::from_utf8_lossy(&bytes).trim_end_matches('\n').to_owned())
    }

    /// Exit code 0 means yes, 1 means no.
    pub(crate) async fn test(self) -> Result<bool, GitError> {
        let (_, ended) = self.output().await?;
        match ended.code {
            Some(0) => Ok(true),
            Some(1) => Ok(false),
            _ => Err(ended.into_error()),
        }
    }

    /// Hands every NUL-terminated record to `each` until it breaks; then the program is stopped.
    pub(crate) async fn records(self, each: &mut (dyn FnMut(&[u8]) -> ControlFlow<()> + Send)) -> Result<(), GitError> {
        let mut rest: Vec<u8> = Vec::new();
        let mut oversized = false;
        let ended = self
            .drive(&mut |chunk| {
                let mut chunk = chunk;
                while let Some(end) = chunk.iter().position(|byte| *byte == 0) {
                    rest.extend_from_slice(&chunk[..end]);
                    each(&rest)?;
                    rest.clear();
                    chunk = &chunk[end + 1..];
                }
                rest.extend_from_slice(chunk);
                oversized = rest.len() > MAX_RECORD;
                if oversized { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
            .await?;
        if oversized {
            return Err(GitError::TooLarge { what: "a record of git", limit: format!("{MAX_RECORD} bytes") });
        }
        ended.success()
    }

    /// Runs the program and hands its output to `sink` as it comes; when `sink` breaks, the program is killed.
    pub(crate) async fn drive(
        mut self,
        sink: &mut (dyn FnMut(&[u8]) -> ControlFlow<()> + Send),
    ) -> Result<Ended, GitError> {
        let git = self.git.clone();
        let turn = match &self.remote {
            Some(remote) => Some(git.pace().turn(remote, self.kind()).await?),
            None => None,
        };
        let _slot = git.0.processes.acquire().await.expect("the semaphore is never closed");
        let stdin = std::mem::take(&mut self.stdin);
        let command = self.shown();
        let mut child = self.spawn(!stdin.is_empty())?;
        metrics::counter!("ccm_git_processes_total").increment(1);
        let mut group = Group::of(&child);
        if let Some(bytes) = self.file_bytes {
            group.limit_files(bytes);
        }
        let (input, output, complaints) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let talk = async {
            let drain = async {
                let stopped = read_all(output, sink).await;
                if stopped {
                    group.signal(Signal::KILL);
                }
                stopped
            };
            let (_, stopped, stderr) = tokio::join!(feed(input, &stdin), drain, tail(complaints));
            (child.wait().await, stopped, stderr)
        };
        let Ok((status, stopped, stderr)) = tokio::time::timeout(self.deadline, talk).await else {
            group.end().await;
            // The group is dead; this only collects the program's exit status.
            let _ = child.wait().await;
            group.finished = true;
            return Err(GitError::Timeout { command, after: self.deadline });
        };
        group.finished = true;
        let status = status.map_err(|source| GitError::Io { path: git.0.program.clone(), source })?;
        let stderr = last_bytes(redact(String::from_utf8_lossy(&stderr).into_owned(), &self.secrets), STDERR_SHOWN);
        tracing::trace!(command, code = status.code(), "git ended");
        let ended =
            Ended { code: status.code(), stderr, stopped, command, remote: self.remote.map(|remote| remote.url) };
        if let Some(bytes) = self.file_bytes.filter(|_| ended.stderr.contains(FILE_TOO_LARGE)) {
            return Err(GitError::TooLarge { what: "what one fetch brings", limit: format!("{bytes} bytes") });
        }
        if let Some(turn) = turn {
            turn.ended(ended.error().as_ref());
        }
        Ok(ended)
    }

    fn spawn(&self, with_stdin: bool) -> Result<Child, GitError> {
        let inner = &self.git.0;
        let mut command = Command::new(&inner.program);
        command.args(&self.args).env_clear().envs(inner.inherited.iter().map(|(name, value)| (name, value)));
        command.envs(ENVIRONMENT.iter().copied());
        if self.users_settings {
            let home = ["HOME", "XDG_CONFIG_HOME"].into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
            command.envs(home);
        } else {
            command.env("HOME", "/nonexistent").env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
        }
        command.env("GIT_CONFIG_COUNT", self.config.len().to_string());
        for (n, (key, value)) in self.config.iter().enumerate() {
            command.env(format!("GIT_CONFIG_KEY_{n}"), key).env(format!("GIT_CONFIG_VALUE_{n}"), value);
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        command.stdin(if with_stdin { Stdio::piped() } else { Stdio::null() });
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).kill_on_drop(true);
        command.spawn().map_err(|source| match (source.kind(), &self.folder) {
            (io::ErrorKind::NotFound, Some(folder)) if !folder.is_dir() => {
                GitError::NotFound { repository: folder.display().to_string() }
            }
            (io::ErrorKind::NotFound, _) => GitError::NotInstalled { program: inner.program.clone() },
            _ => GitError::Io { path: inner.program.clone(), source },
        })
    }

    /// What the call does at its remote.
    fn kind(&self) -> Kind {
        match self.args.first().and_then(|arg| arg.to_str()) {
            Some("push") => Kind::Push,
            Some("ls-remote") => Kind::Look,
            _ => Kind::Fetch,
        }
    }

    fn shown(&self) -> String {
        let words: Vec<_> = self.args.iter().map(|arg| arg.to_string_lossy()).collect();
        let mut shown = redact(words.join(" "), &self.secrets);
        shown.truncate(shown.floor_char_boundary(COMMAND_SHOWN));
        shown
    }
}

async fn feed(stdin: Option<ChildStdin>, bytes: &[u8]) {
    if let Some(mut stdin) = stdin {
        // A program that stops reading says why on stderr and in its exit code.
        let _ = stdin.write_all(bytes).await;
        let _ = stdin.shutdown().await;
    }
}

async fn read_all(stdout: Option<ChildStdout>, sink: &mut (dyn FnMut(&[u8]) -> ControlFlow<()> + Send)) -> bool {
    let Some(mut stdout) = stdout else { return false };
    let mut buffer = vec![0; 64 * 1024];
    while let Some(chunk) = read_some(&mut stdout, &mut buffer).await {
        if sink(chunk).is_break() {
            return true;
        }
    }
    false
}

async fn tail(stderr: Option<ChildStderr>) -> Vec<u8> {
    let mut kept = Vec::new();
    let Some(mut stderr) = stderr else { return kept };
    let mut buffer = vec![0; 4 * 1024];
    while let Some(chunk) = read_some(&mut stderr, &mut buffer).await {
        kept.extend_from_slice(chunk);
        kept.drain(..kept.len().saturating_sub(STDERR_BUFFER));
    }
    kept
}

/// The next bytes; `None` at the end. A pipe that breaks has ended.
async fn read_some<'b>(pipe: &mut (impl AsyncRead + Unpin), buffer: &'b mut [u8]) -> Option<&'b [u8]> {
    match pipe.read(buffer).await {
        Ok(read) if read > 0 => Some(&buffer[..read]),
        _ => None,
    }
}

fn redact(mut text: String, secrets: &[String]) -> String {
    for secret in secrets {
        text = text.replace(secret.as_str(), "***");
    }
    text
}

/// The end of `text`. It is shorter than the buffer it was cut from, so that no half of a secret is left at its start.
fn last_bytes(text: String, max: usize) -> String {
    let start = text.ceil_char_boundary(text.len().saturating_sub(max));
    text[start..].trim().to_owned()
}

#[cfg(test)]
mod tests;
