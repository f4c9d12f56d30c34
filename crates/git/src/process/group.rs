//! The process group that a call of git runs in, and its end.

use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, Signal, WaitId, WaitIdOptions, kill_process_group, prlimit, waitid};
use tokio::process::Child;

/// How long a group may tidy up after its deadline.
const GRACE: Duration = Duration::from_secs(2);

/// The process group of a child. Killed on drop unless the child was waited for.
pub(super) struct Group {
    leader: Option<Pid>,
    pub(super) finished: bool,
}

impl Group {
    pub(super) fn of(child: &Child) -> Self {
        let leader = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        Self { leader, finished: false }
    }

    /// Bounds the files that the group writes. The leader hands it down to what it starts, which is what writes: it has
    /// to hear from a server first.
    pub(super) fn limit_files(&self, bytes: u64) {
        if let Some(leader) = self.leader {
            // Fails only when the leader is gone already.
            let _ = prlimit(Some(leader), Resource::Fsize, Rlimit { current: Some(bytes), maximum: Some(bytes) });
        }
    }

    pub(super) fn signal(&self, signal: Signal) {
        if let Some(leader) = self.leader {
            // Fails only when the group is gone already, which is what is wanted.
            let _ = kill_process_group(leader, signal);
        }
    }

    /// Asks the group to end, so that git removes its lock files, then kills it. The leader stays unreaped until then,
    /// so its id cannot belong to anybody else.
    pub(super) async fn end(&self) {
        self.signal(Signal::TERM);
        let ended = async {
            while !self.leader_ended() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        // Ended or not, the kill below takes what is left of the group.
        let _ = tokio::time::timeout(GRACE, ended).await;
        self.signal(Signal::KILL);
    }

    fn leader_ended(&self) -> bool {
        let Some(leader) = self.leader else { return true };
        let peek = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        !matches!(waitid(WaitId::Pid(leader), peek), Ok(None))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if !self.finished {
            self.signal(Signal::KILL);
        }
    }
}
