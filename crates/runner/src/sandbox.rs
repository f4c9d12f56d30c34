//! What confines an agent or a check.
//!
//! **Definition.** A [`Sandbox`] turns a program into the program that starts it confined. **Wanted:** no network but
//! the gateway's socket, no file of the host but the checkout, the tools and what is named, no variable of the service,
//! no capability, bounded memory and processes, and an end that takes every process along. **Design:** bubblewrap;
//! *none* exists for machines where nothing else works and must be chosen in words. What a sandbox really gives on this
//! machine is its [`Level`], which is tried out by [`probe`] and shown, never assumed.

mod bubblewrap;
mod none;

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

pub use bubblewrap::Bubblewrap;
pub use none::NoSandbox;

use crate::RunnerError;
use crate::agent::Program;
use crate::process::{self, ProcessSpec};

/// The variable that marks every process of a run.
pub const RUN_VARIABLE: &str = "CCM_RUN";

/// Where programs are looked for, in a sandbox and without one, after the toolchains.
const SYSTEM_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// How long a probe may take.
const PROBE_TIME: Duration = Duration::from_secs(20);

/// Which sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Linux namespaces by the program `bwrap`.
    Bubblewrap,
    /// No confinement.
    None,
}

impl Kind {
    /// The sandbox of this kind.
    #[must_use]
    pub fn sandbox(self) -> Box<dyn Sandbox> {
        match self {
            Self::Bubblewrap => Box::new(Bubblewrap::new()),
            Self::None => Box::new(NoSandbox),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bubblewrap => "bubblewrap",
            Self::None => "none",
        })
    }
}

impl FromStr for Kind {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "bubblewrap" => Ok(Self::Bubblewrap),
            "none" => Ok(Self::None),
            other => Err(format!("`{other}` is no sandbox; choose `bubblewrap`, or `none` to run without one")),
        }
    }
}

/// What a sandbox gives on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Level {
    /// Which sandbox.
    pub kind: Kind,
    /// There is no network but the gateway.
    pub network_closed: bool,
    /// The host's files are out of sight but for those named.
    pub files_hidden: bool,
    /// No process can leave the run: they end together.
    pub processes_contained: bool,
    /// Memory of each process is bounded by the kernel. There is no bound over all of them together.
    pub memory_bounded: bool,
    /// The number of processes is bounded by the kernel; otherwise it is counted every two seconds.
    pub processes_bounded: bool,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            (self.network_closed, "no network but the gateway", "the whole network"),
            (self.files_hidden, "host files hidden", "host files readable"),
            (self.processes_contained, "processes contained", "processes followed by their marker"),
            (self.memory_bounded, "memory bounded", "memory not bounded"),
            (self.processes_bounded, "number of processes bounded", "number of processes watched"),
        ];
        let words: Vec<&str> = parts.iter().map(|(holds, yes, no)| if *holds { *yes } else { *no }).collect();
        write!(f, "{}: {}", self.kind, words.join(", "))
    }
}

/// Tools for the repository's language that live outside `/usr`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Toolchains {
    /// Folders, visible read-only at the same path. A folder named `bin`, or the `bin` inside one, goes on `PATH`;
    /// a folder named `.rustup` sets `RUSTUP_HOME`.
    pub paths: Vec<PathBuf>,
    /// Further variables without secrets, such as `CARGO_NET_OFFLINE=true`.
    pub env: Vec<(String, String)>,
}

/// The way from inside a sandbox to the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayBridge {
    /// The gateway's Unix socket of this run.
    pub socket: PathBuf,
    /// A program that offers `sandbox-bridge` (our own binary, see [`crate::bridge`]).
    pub program: PathBuf,
}

/// What one run may see and use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confinement {
    /// The run's marker: unique on this machine, found in the environment of each of its processes.
    pub run: String,
    /// The checkout, writable.
    pub checkout: PathBuf,
    /// Further folders to see, read-only at the same path, such as the mirror that the checkout borrows objects from.
    pub read_only: Vec<PathBuf>,
    /// A folder of this run that serves as home, kept for resuming; without one the home is empty and forgotten.
    pub home: Option<PathBuf>,
    /// Tools outside `/usr`.
    pub toolchains: Toolchains,
    /// The way to the gateway; without one there is no network at all.
    pub gateway: Option<GatewayBridge>,
    /// Most memory for the data of one process, in bytes; also the size of `/tmp` in a sandbox. Claude Code needs
    /// 1 GiB.
    pub memory: u64,
    /// Most processes and threads.
    pub processes: u32,
}

impl Confinement {
    /// A confinement to `checkout` for the run `run` without home, tools or gateway, with 4 GiB of memory for a
    /// process and 1,024 processes.
    #[must_use]
    pub fn new(run: impl Into<String>, checkout: impl Into<PathBuf>) -> Self {
        Self {
            run: run.into(),
            checkout: checkout.into(),
            read_only: Vec::new(),
            home: None,
            toolchains: Toolchains::default(),
            gateway: None,
            memory: 4 << 30,
            processes: 1024,
        }
    }
}

/// Something that confines a program.
pub trait Sandbox: Send + Sync {
    /// What it gives on this machine.
    fn level(&self) -> Level;
    /// Where the confined program sees the checkout.
    fn checkout(&self, confinement: &Confinement) -> PathBuf;
    /// Where the confined program sees its home.
    fn home(&self, confinement: &Confinement) -> PathBuf;
    /// The program that starts `program` confined.
    ///
    /// # Errors
    /// When the program or a folder of the confinement does not exist.
    fn wrap(&self, program: &Program, confinement: &Confinement) -> Result<ProcessSpec, RunnerError>;
}

/// What came of trying a sandbox out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// What the sandbox gives, if it works.
    pub level: Level,
    /// Whether it works here.
    pub works: bool,
    /// Why not, or what is weaker than it could be.
    pub reason: Option<String>,
    /// The command that mends it.
    pub mend: Option<String>,
}

/// Tries the sandbox out on this machine with the profile that runs get.
pub async fn probe(kind: Kind) -> Probe {
    match kind {
        Kind::Bubblewrap => bubblewrap::probe(PROBE_TIME).await,
        Kind::None => Probe {
            level: NoSandbox.level(),
            works: true,
            reason: Some("Agents see the files and the network of this machine as its user does.".into()),
            mend: Some("set `kind = \"bubblewrap\"` under [sandbox]".into()),
        },
    }
}

/// The variables every confined program starts with, before those of its own: nothing of them is inherited.
fn base_env(confinement: &Confinement, home: &Path) -> Vec<(String, String)> {
    let mut path: Vec<String> = tool_folders(&confinement.toolchains).iter().map(|p| p.display().to_string()).collect();
    path.push(SYSTEM_PATH.to_owned());
    let mut env: Vec<(String, String)> = [
        (RUN_VARIABLE, confinement.run.clone()),
        ("PATH", path.join(":")),
        ("HOME", home.display().to_string()),
        ("USER", "agent".to_owned()),
        ("LOGNAME", "agent".to_owned()),
        ("SHELL", "/bin/sh".to_owned()),
        ("LANG", "C.UTF-8".to_owned()),
        ("TERM", "dumb".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec();
    if let Some(rustup) =
        confinement.toolchains.paths.iter().find(|path| path.file_name() == Some(OsStr::new(".rustup")))
    {
        env.push(("RUSTUP_HOME".to_owned(), rustup.display().to_string()));
    }
    env.extend(confinement.toolchains.env.iter().cloned());
    env
}

/// The folders of the toolchains that hold programs.
fn tool_folders(toolchains: &Toolchains) -> Vec<PathBuf> {
    let folder = |path: &PathBuf| {
        if path.file_name() == Some(OsStr::new("bin")) {
            return Some(path.clone());
        }
        Some(path.join("bin")).filter(|bin| bin.is_dir())
    };
    toolchains.paths.iter().filter_map(folder).collect()
}

/// Finds a program by name or path.
fn find_program(path: &Path, toolchains: &Toolchains) -> Result<PathBuf, RunnerError> {
    let missing = || RunnerError::ProgramMissing { program: path.display().to_string() };
    if path.components().count() > 1 {
        return std::path::absolute(path).ok().filter(|path| process::is_program(path)).ok_or_else(missing);
    }
    let folders = tool_folders(toolchains).into_iter().chain(std::env::split_paths(SYSTEM_PATH));
    let host = std::env::var_os("PATH").unwrap_or_default();
    folders
        .chain(std::env::split_paths(&host))
        .map(|folder| folder.join(path))
        .find(|candidate| process::is_program(candidate))
        .ok_or_else(missing)
}

/// A program of the service's own, such as the sandbox's: looked for on its `PATH` only.
fn find_own(name: &Path) -> Result<PathBuf, RunnerError> {
    let host = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&host)
        .map(|folder| folder.join(name))
        .find(|candidate| process::is_program(candidate))
        .ok_or_else(|| RunnerError::ProgramMissing { program: name.display().to_string() })
}

/// The shell line that bounds what a program may use and then becomes it. The data segment is bounded, not the address
/// space: runtimes such as Node's and Bun's reserve far more addresses than they use.
fn limited(confinement: &Confinement, bound_processes: bool) -> String {
    let memory = (confinement.memory / 1024).max(1);
    let processes = if bound_processes { format!("ulimit -u {} 2>&-; ", confinement.processes) } else { String::new() };
    format!("ulimit -c 0 2>&-; {processes}ulimit -d {memory} 2>&-; exec \"$@\"")
}
