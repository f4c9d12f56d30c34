//! The pace of calls to code hosts over git (R21, R23).
//!
//! **Definition.** A [`Turn`] is leave for one call to a host: at most 8 at one host at a time, 2 fetches or
//! pushes a second and 4 pushes a minute for one repository. A host that asks for fewer requests is let be: for as long as it says, else for one
//! minute, then two, four, eight and sixteen.
//!
//! **Wanted properties.** Every call over the network takes a turn, whether the git program makes it or we do; a
//! pause is an error at once, not a wait; what is remembered of repositories has a bound.
//!
//! **Known races.** Two processes each keep this pace by themselves: work at one repository is one job's in all of
//! them, and the hosts' numbers leave room.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};

use crate::error::GitError;
use crate::remote::Remote;

/// Calls at one host at one time.
pub(crate) const AT_ONCE: usize = 8;
/// Fetches and pushes of one repository in one second.
const A_SECOND: usize = 2;
/// Pushes to one repository in one minute.
const PUSHES: usize = 4;
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
/// How often the pause without a number doubles.
const DOUBLINGS: u32 = 4;
/// Repositories of one host that are remembered before those of more than a minute ago are forgotten.
const REPOSITORIES: usize = 10_000;

/// The pace at all hosts. There are as many hosts as the configuration names.
#[derive(Default)]
pub(crate) struct Pace(Mutex<HashMap<String, Arc<Host>>>);

struct Host {
    turns: Arc<Semaphore>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    paused_until: Option<Instant>,
    /// Pauses without a number in a row.
    strikes: u32,
    repositories: HashMap<String, Recent>,
}

#[derive(Default)]
struct Recent {
    calls: VecDeque<Instant>,
    pushes: VecDeque<Instant>,
}

/// What a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Asks where branches are.
    Look,
    /// Reads objects.
    Fetch,
    /// Moves a branch.
    Push,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Look => "look",
            Self::Fetch => "fetch",
            Self::Push => "push",
        }
    }
}

/// Leave for one call.
pub(crate) struct Turn {
    host: Option<Arc<Host>>,
    _slot: Option<OwnedSemaphorePermit>,
}

impl Pace {
    /// Waits for a turn. Errors: [`GitError::Limited`] while the host is let be.
    pub(crate) async fn turn(&self, remote: &Remote, kind: Kind) -> Result<Turn, GitError> {
        // A folder of this machine needs no pace.
        let Some(host) = origin(&remote.url).map(|origin| self.host(origin)) else {
            return Ok(Turn { host: None, _slot: None });
        };
        loop {
            let slot = Arc::clone(&host.turns).acquire_owned().await.expect("the turns are never closed");
            match host.start(&remote.url, kind, Instant::now())? {
                None => {
                    metrics::counter!("ccm_git_calls_total", "kind" => kind.as_str()).increment(1);
                    return Ok(Turn { host: Some(host), _slot: Some(slot) });
                }
                Some(later) => {
                    // A call that waits for its repository holds up no other.
                    drop(slot);
                    sleep_until(later).await;
                }
            }
        }
    }

    fn host(&self, origin: &str) -> Arc<Host> {
        let mut hosts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Host { turns: Arc::new(Semaphore::new(AT_ONCE)), state: Mutex::default() });
        Arc::clone(hosts.entry(origin.to_owned()).or_insert_with(new))
    }
}

impl Host {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Books a call to a repository that may start now; else gives when to ask again.
    fn start(&self, repository: &str, kind: Kind, now: Instant) -> Result<Option<Instant>, GitError> {
        let mut state = self.state();
        if let Some(until) = state.paused_until.filter(|until| *until > now) {
            let (repository, retry_after) = (repository.to_owned(), Some(until.duration_since(now)));
            return Err(GitError::Limited { repository, retry_after });
        }
        if kind == Kind::Look {
            return Ok(None);
        }
        if state.repositories.len() >= REPOSITORIES {
            state.repositories.retain(|_, recent| !recent.is_over(now));
        }
        let recent = state.repositories.entry(repository.to_owned()).or_default();
        let mut start = next(&mut recent.calls, A_SECOND, SECOND, now);
        if kind == Kind::Push {
            start = start.max(next(&mut recent.pushes, PUSHES, MINUTE, now));
        }
        if start > now {
            return Ok(Some(start));
        }
        recent.calls.push_back(now);
        if kind == Kind::Push {
            recent.pushes.push_back(now);
        }
        Ok(None)
    }
}

impl Recent {
    fn is_over(&self, now: Instant) -> bool {
        self.calls.iter().chain(&self.pushes).all(|at| *at + MINUTE <= now)
    }
}

/// When one more call stays within `most` in any `window`.
fn next(calls: &mut VecDeque<Instant>, most: usize, window: Duration, now: Instant) -> Instant {
    while calls.front().is_some_and(|at| *at + window <= now) {
        calls.pop_front();
    }
    calls.len().checked_sub(most).and_then(|at| calls.get(at)).map_or(now, |at| *at + window)
}

impl Turn {
    /// Tells how the call ended: a limit pauses the host.
    pub(crate) fn ended(&self, error: Option<&GitError>) {
        let Some(host) = &self.host else { return };
        let mut state = host.state();
        match error {
            None => state.strikes = 0,
            Some(GitError::Limited { retry_after, .. }) => {
                let now = Instant::now();
                // Those that were under way together met one limit, not several.
                let news = state.paused_until.is_none_or(|until| until <= now);
                let pause = retry_after.unwrap_or(MINUTE * 2u32.pow(state.strikes.min(DOUBLINGS)));
                if news {
                    state.strikes += u32::from(retry_after.is_none());
                }
                if news || retry_after.is_some() {
                    let until = now + pause.min(MINUTE * 60 * 24);
                    state.paused_until = state.paused_until.max(Some(until));
                }
            }
            Some(_) => {}
        }
    }
}

/// Scheme, host and port of a web address.
fn origin(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))?;
    let host = rest.find('/').unwrap_or(rest.len());
    Some(&url[..url.len() - rest.len() + host])
}

#[cfg(test)]
mod tests;
