//! Linux namespaces by the program `bwrap`.
//!
//! **Profile.** Everything unshared: user, mounts, processes, network, IPC, host name, cgroup view. Inside: `/usr` and
//! its merged links, the least of `/etc`, a new `/proc` and `/dev`, an empty bounded `/tmp`, the checkout at
//! `/checkout`, a home at `/home/agent`, the gateway's socket and bridge below `/run/ccm`, and what is named. Who is
//! inside has uid 1000, no capability and no variable of ours.
//!
//! **Started by root**, the kernel still takes the inside user for the owner of root's files. Files of `/proc` that
//! guard themselves by owner alone – `/proc/sys/kernel/core_pattern` would be a way out – are therefore covered
//! read-only or with `/dev/null`, and [`probe`] checks that. The kernel's bound on processes does not hold for root
//! either; the level says so. Run the service as an ordinary user.
//!
//! **Known race.** `--die-with-parent` means the *thread* that started `bwrap`. Tokio's worker threads live as long as
//! the runtime unless `block_in_place` hands their work over; nothing in this product uses it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Confinement, Kind, Level, Probe, Sandbox, base_env, find_own, find_program, limited};
use crate::RunnerError;
use crate::agent::Program;
use crate::bridge;
use crate::process::{self, ProcessSpec};

const CHECKOUT: &str = "/checkout";
const HOME: &str = "/home/agent";
const SOCKET: &str = "/run/ccm/gateway.sock";
const BRIDGE: &str = "/run/ccm/bridge";
/// What of `/etc` programs need and what tells nothing about the host.
const ETC: [&str; 7] = ["alternatives", "ca-certificates", "ld.so.cache", "ld.so.conf", "localtime", "pki", "ssl"];
/// Who one is inside: written by the first shell, because bubblewrap takes contents by descriptor only.
const IDENTITY: &str = "printf 'agent:x:1000:1000::/home/agent:/bin/sh\\n' >/etc/passwd; \
     printf 'agent:x:1000:\\n' >/etc/group; printf '127.0.0.1 localhost\\n' >/etc/hosts; ";
const INSTALL: &str = "sudo apt-get install --yes bubblewrap";

/// Confines by `bwrap`.
#[derive(Clone, Debug)]
pub struct Bubblewrap {
    program: PathBuf,
    root: bool,
}

impl Default for Bubblewrap {
    fn default() -> Self {
        Self::new()
    }
}

impl Bubblewrap {
    /// Uses the `bwrap` on the service's `PATH`.
    #[must_use]
    pub fn new() -> Self {
        Self { program: "bwrap".into(), root: rustix::process::geteuid().is_root() }
    }

    fn arguments(&self, program: &Program, found: &Path, c: &Confinement) -> Args {
        let mut args = Args::default();
        args.words(&["--unshare-all", "--die-with-parent", "--new-session", "--clearenv", "--cap-drop", "ALL"]);
        args.words(&["--uid", "1000", "--gid", "1000", "--hostname", "sandbox"]);
        system_files(&mut args);
        proc_files(&mut args);
        args.words(&["--dev", "/dev", "--size", &c.memory.to_string(), "--tmpfs", "/tmp", "--dir", "/run/ccm"]);
        match &c.home {
            Some(home) => args.bind("--bind", home, Path::new(HOME)),
            None => args.words(&["--size", &c.memory.to_string(), "--tmpfs", HOME]),
        }
        args.bind("--bind", &c.checkout, Path::new(CHECKOUT));
        for path in c.read_only.iter().chain(&c.toolchains.paths).chain(&program.read_only) {
            args.bind("--ro-bind", path, path);
        }
        let in_sight = c.toolchains.paths.iter().any(|path| found.starts_with(path));
        if !found.starts_with("/usr") && !in_sight {
            let real = fs::canonicalize(found).unwrap_or_else(|_| found.to_owned());
            args.bind("--ro-bind", &real, found);
        }
        if let Some(gateway) = &c.gateway {
            args.bind("--bind", &gateway.socket, Path::new(SOCKET));
            args.bind("--ro-bind", &gateway.program, Path::new(BRIDGE));
        }
        for (name, value) in base_env(c, Path::new(HOME)).iter().chain(&program.env) {
            args.words(&["--setenv", name, value]);
        }
        args.words(&["--chdir", CHECKOUT, "--", "/bin/sh", "-c"]);
        args.words(&[&format!("{IDENTITY}{}", limited(c, !self.root)), "sh"]);
        if c.gateway.is_some() {
            let port = bridge::PORT.to_string();
            args.words(&[BRIDGE, bridge::SUBCOMMAND, "--socket", SOCKET, "--port", &port, "--"]);
        }
        args.words(&[&found.display().to_string()]);
        args
    }
}

impl Sandbox for Bubblewrap {
    fn level(&self) -> Level {
        Level {
            kind: Kind::Bubblewrap,
            network_closed: true,
            files_hidden: true,
            processes_contained: true,
            memory_bounded: true,
            processes_bounded: !self.root,
        }
    }

    fn checkout(&self, _: &Confinement) -> PathBuf {
        CHECKOUT.into()
    }

    fn home(&self, _: &Confinement) -> PathBuf {
        HOME.into()
    }

    fn wrap(&self, program: &Program, confinement: &Confinement) -> Result<ProcessSpec, RunnerError> {
        let bwrap = find_own(&self.program)?;
        let found = find_program(&program.path, &confinement.toolchains)?;
        let mut args = self.arguments(program, &found, confinement).0;
        args.extend(program.args.iter().cloned());
        Ok(ProcessSpec { program: bwrap, args, env: Vec::new(), cwd: "/".into() })
    }
}

#[derive(Default)]
struct Args(Vec<String>);

impl Args {
    fn words(&mut self, words: &[&str]) {
        self.0.extend(words.iter().map(|&word| word.to_owned()));
    }

    fn bind(&mut self, how: &str, from: &Path, to: &Path) {
        self.words(&[how, &from.display().to_string(), &to.display().to_string()]);
    }
}

/// `/usr`, the links or folders that belong to it, and the least of `/etc`.
fn system_files(args: &mut Args) {
    args.bind("--ro-bind", Path::new("/usr"), Path::new("/usr"));
    for name in ["bin", "sbin", "lib", "lib32", "lib64", "libx32"] {
        let path = Path::new("/").join(name);
        match fs::read_link(&path) {
            Ok(target) => args.bind("--symlink", &target, &path),
            Err(_) if path.is_dir() => args.bind("--ro-bind", &path, &path),
            Err(_) => {}
        }
    }
    args.words(&["--dir", "/etc"]);
    for name in ETC {
        let path = Path::new("/etc").join(name);
        args.bind("--ro-bind-try", &path, &path);
    }
}

/// A new `/proc` in which nothing of the kernel can be written, nor read where only root may.
fn proc_files(args: &mut Args) {
    args.words(&["--proc", "/proc"]);
    let Ok(entries) = fs::read_dir("/proc") else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let of_a_process = entry.file_name().to_string_lossy().starts_with(|c: char| c.is_ascii_digit());
        let Ok(about) = fs::symlink_metadata(&path) else {
            continue;
        };
        let mode = about.permissions().mode();
        if of_a_process || about.is_symlink() {
            continue;
        }
        if about.is_dir() {
            args.bind("--ro-bind-try", &path, &path);
        } else if mode & 0o222 != 0 || mode & 0o004 == 0 {
            args.bind("--ro-bind", Path::new("/dev/null"), &path);
        }
    }
}

/// Runs the real profile and looks around in it.
pub(super) async fn probe(patience: Duration) -> Probe {
    let sandbox = Bubblewrap::new();
    let level = sandbox.level();
    let broken = |reason: String, mend: String| Probe { level, works: false, reason: Some(reason), mend: Some(mend) };
    if find_own(&sandbox.program).is_err() {
        return broken("The program `bwrap` is not installed.".into(), INSTALL.into());
    }
    let folder = std::env::temp_dir().join(format!("ccm-probe-{}", std::process::id()));
    if let Err(error) = fs::create_dir_all(&folder) {
        return broken(format!("The folder {} cannot be made: {error}.", folder.display()), "set TMPDIR".into());
    }
    let looks = "test ! -e /etc/shadow && test ! -w /proc/sys/kernel/core_pattern && test -w /checkout";
    let program = Program { path: "sh".into(), args: vec!["-c".into(), looks.into()], ..Program::default() };
    let confinement = Confinement::new(format!("probe-{}", std::process::id()), &folder);
    let seen = match sandbox.wrap(&program, &confinement) {
        Ok(spec) => process::output(spec, patience).await.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    // An empty folder of ours: if it stays, the next probe uses it again.
    let _ = fs::remove_dir(&folder);
    match seen {
        Ok((Some(0), _)) => Probe {
            level,
            works: true,
            reason: sandbox.root.then(|| "Started as root the kernel does not bound the number of processes.".into()),
            mend: sandbox.root.then(|| "run the service as an ordinary user".into()),
        },
        Ok((_, said)) => {
            let said = said.trim();
            let (reason, mend) = diagnosis(said);
            broken(format!("{reason} bwrap said: {}", if said.is_empty() { "nothing" } else { said }), mend)
        }
        Err(error) => broken(error, INSTALL.into()),
    }
}

/// Why namespaces do not work here, and the command that mends it.
fn diagnosis(said: &str) -> (String, String) {
    let setting = |name: &str| fs::read_to_string(format!("/proc/sys/{name}")).unwrap_or_default().trim().to_owned();
    let mend = |name: &str, value: &str| format!("sudo sysctl -w {}={value}", name.replace('/', "."));
    for (name, off, on) in [
        ("kernel/apparmor_restrict_unprivileged_userns", "1", "0"),
        ("kernel/unprivileged_userns_clone", "0", "1"),
        ("user/max_user_namespaces", "0", "15000"),
    ] {
        if setting(name) == off {
            return (format!("The kernel's setting {name} is {off}: no user namespaces."), mend(name, on));
        }
    }
    if said.contains("Unknown option") {
        return ("bubblewrap is older than 0.8.".into(), INSTALL.into());
    }
    (
        "Namespaces do not work here, as in most containers.".into(),
        "start the container with `--security-opt seccomp=unconfined --security-opt apparmor=unconfined`".into(),
    )
}
