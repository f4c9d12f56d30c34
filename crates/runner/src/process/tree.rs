//! All processes of one run: finding them, ending them, and proving that they are gone.

use std::collections::HashSet;
use std::fs;
use std::process::ExitStatus;
use std::time::Duration;

use std::os::unix::process::ExitStatusExt;

use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open, pidfd_send_signal};
use tokio::process::Child;

use crate::RunnerError;
use crate::agent::Exit;
use crate::sandbox::RUN_VARIABLE;

/// How often the search is repeated, and the pause in between: two seconds in all.
const TRIES: usize = 100;
const PAUSE: Duration = Duration::from_millis(20);

/// How long a sandbox may take to get its first process.
const LEARNING: Duration = Duration::from_secs(2);

/// How long the leader may take to be reaped after SIGKILL; only a process stuck in the kernel takes longer.
const REAPING: Duration = Duration::from_secs(10);

/// The processes of one run.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    run: String,
    leader: Option<Pid>,
    namespace: Option<u64>,
}

impl Tree {
    pub(super) fn new(run: &str, leader: Option<u32>) -> Self {
        Self { run: run.to_owned(), leader: leader.and_then(|id| Pid::from_raw(id.cast_signed())), namespace: None }
    }

    /// Waits, for a bounded time, until the leader has a child in a namespace of its own. A sandbox takes milliseconds
    /// to that point and tens of them for what follows, so the wait cannot miss it unless the sandbox failed.
    pub(super) async fn learn_namespace(&mut self) {
        let Some(leader) = self.leader.map(|pid| pid.as_raw_pid()) else { return };
        let until = tokio::time::Instant::now() + LEARNING;
        while self.namespace.is_none() && tokio::time::Instant::now() < until {
            // The file is gone with the leader, and empty while it has no child.
            let Ok(children) = fs::read_to_string(format!("/proc/{leader}/task/{leader}/children")) else { return };
            let children: Vec<Pid> =
                children.split_whitespace().filter_map(|id| Pid::from_raw(id.parse().ok()?)).collect();
            self.namespace = foreign_namespace(&children);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Who is alive now, and learns the run's process-id namespace on the way.
    pub(crate) async fn members(&mut self) -> HashSet<Pid> {
        let (run, known) = (self.run.clone(), self.namespace);
        let search = move || {
            let marked = processes_of(&run);
            let namespace = known.or_else(|| foreign_namespace(&marked));
            let mut all: HashSet<Pid> = marked.into_iter().collect();
            if let Some(inode) = namespace {
                all.extend(processes().filter(|&pid| lives_in(pid, inode)));
            }
            (all, namespace)
        };
        // The search cannot panic; should the runtime be shutting down, there is nothing left to search for.
        let (all, namespace) = tokio::task::spawn_blocking(search).await.unwrap_or_default();
        self.namespace = namespace;
        all
    }

    /// Asks every process of the run to end. The sandbox's own process is not asked: it would take the others with it.
    pub(crate) async fn terminate(&mut self) {
        for pid in self.members().await {
            send(pid, &self.run, self.namespace, Signal::TERM);
        }
    }

    /// Kills what is alive and proves that nothing is left. Returns how the leader ended and how many were killed.
    pub(crate) async fn end(&mut self, child: &mut Child) -> Result<(Option<Exit>, usize), RunnerError> {
        let mut killed = self.members().await;
        if let Ok(Some(_)) = child.try_wait() {
            // Only the leader is gone; its group may not be.
        } else {
            // Already gone is what we want; everything else shows in the wait below.
            let _ = child.start_kill();
        }
        self.kill_group();
        let status = tokio::time::timeout(REAPING, child.wait()).await;
        self.kill_group();
        let mut left = self.members().await;
        for _ in 0..TRIES {
            if left.is_empty() {
                break;
            }
            for &pid in &left {
                send(pid, &self.run, self.namespace, Signal::KILL);
            }
            killed.extend(left.drain());
            tokio::time::sleep(PAUSE).await;
            left = self.members().await;
        }
        if !left.is_empty() {
            let pids = left.iter().map(|pid| pid.as_raw_pid()).collect();
            return Err(RunnerError::Survivors { run: self.run.clone(), pids });
        }
        Ok((status.ok().and_then(Result::ok).map(exit_of), killed.len()))
    }

    fn kill_group(&self) {
        if let Some(leader) = self.leader {
            // No such group is the wished state.
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}

fn exit_of(status: ExitStatus) -> Exit {
    Exit { code: status.code(), signal: status.signal() }
}

/// The processes that carry the marker of the run `run`, except this one.
#[must_use]
pub fn processes_of(run: &str) -> Vec<Pid> {
    let marker = format!("{RUN_VARIABLE}={run}");
    processes().filter(|&pid| carries(pid, &marker)).collect()
}

/// Kills what an earlier life of the service left of the run `run`, and returns how many processes that were.
///
/// # Errors
/// When some of them survive.
pub async fn kill_leftovers(run: &str) -> Result<usize, RunnerError> {
    let mut tree = Tree::new(run, None);
    let mut killed = HashSet::new();
    for _ in 0..TRIES {
        let mut left = tree.members().await;
        if left.is_empty() {
            return Ok(killed.len());
        }
        for &pid in &left {
            send(pid, run, tree.namespace, Signal::KILL);
        }
        killed.extend(left.drain());
        tokio::time::sleep(PAUSE).await;
    }
    let pids = tree.members().await.iter().map(|pid| pid.as_raw_pid()).collect();
    Err(RunnerError::Survivors { run: run.to_owned(), pids })
}

fn processes() -> impl Iterator<Item = Pid> {
    let own = rustix::process::getpid();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter_map(Pid::from_raw).filter(move |&pid| pid != own)
}

/// A process that is dead but not reaped has no environment, and so does not count.
fn carries(pid: Pid, marker: &str) -> bool {
    let environment = fs::read(format!("/proc/{}/environ", pid.as_raw_pid())).unwrap_or_default();
    environment.split(|&byte| byte == 0).any(|variable| variable == marker.as_bytes())
}

/// A sandbox's init waits, dead, for the machine's init to reap it, and still has its namespace: only who is alive
/// counts.
fn lives_in(pid: Pid, namespace: u64) -> bool {
    namespace_of(pid) == Some(namespace) && is_alive(pid)
}

/// The state is the letter behind the program's name, which may itself hold brackets and spaces.
fn is_alive(pid: Pid) -> bool {
    let about = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_pid())).unwrap_or_default();
    about.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

fn namespace_of(pid: Pid) -> Option<u64> {
    namespace_at(&format!("/proc/{}/ns/pid", pid.as_raw_pid()))
}

/// A link such as `pid:[4026531836]`.
fn namespace_at(path: &str) -> Option<u64> {
    let link = fs::read_link(path).ok()?;
    link.to_str()?.strip_prefix("pid:[")?.strip_suffix(']')?.parse().ok()
}

/// The process-id namespace of one of these processes, when it is not ours.
fn foreign_namespace(among: &[Pid]) -> Option<u64> {
    let own = namespace_at("/proc/self/ns/pid");
    among.iter().filter_map(|&pid| namespace_of(pid)).find(|&inode| Some(inode) != own)
}

/// Signals `pid` if it still is a process of the run.
fn send(pid: Pid, run: &str, namespace: Option<u64>, signal: Signal) {
    let Ok(descriptor) = pidfd_open(pid, PidfdFlags::empty()) else {
        return;
    };
    let still_ours =
        carries(pid, &format!("{RUN_VARIABLE}={run}")) || namespace.is_some_and(|inode| lives_in(pid, inode));
    if still_ours {
        // It ended in between: as wished.
        let _ = pidfd_send_signal(descriptor, signal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_is_dead_but_not_reaped_is_not_alive() {
        let mut child = tokio::process::Command::new("true").env(RUN_VARIABLE, "zombie").spawn().unwrap();
        let pid = Pid::from_raw(child.id().unwrap().cast_signed()).unwrap();
        while is_alive(pid) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(namespace_of(pid).is_some(), "reaped already");
        assert!(!lives_in(pid, namespace_of(pid).unwrap()));
        assert_eq!(processes_of("zombie"), []);
        child.wait().await.unwrap();
    }

    #[test]
    fn this_process_is_alive_and_never_found() {
        assert!(is_alive(rustix::process::getpid()));
        assert!(processes().all(|pid| pid != rustix::process::getpid()));
    }
}
