//! What can go wrong with git, as the branches that callers take.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use backlog::names::BranchName;

/// Why a git call gave no answer. No text in here holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// The program is not there.
    #[error("git was not found as `{}`; install git and see that it is on the PATH", program.display())]
    NotInstalled {
        /// What was tried to start.
        program: PathBuf,
    },
    /// The program is older than [`crate::OLDEST_GIT`].
    #[error("git {found} is too old; install git 2.38 or newer")]
    TooOld {
        /// The version as git tells it.
        found: String,
    },
    /// The remote's address is not one that this program uses.
    #[error("the repository's address cannot be used: {reason}")]
    InvalidRemote {
        /// What is wrong with it, without the address.
        reason: &'static str,
    },
    /// The repository does not exist, or the login may not see it.
    #[error("no repository at `{repository}`; check its name, and that it may be read")]
    NotFound {
        /// Address or path.
        repository: String,
    },
    /// There is a folder, but no git repository in it.
    #[error("`{}` is not a git repository; run `git init` there, or name the repository's top folder", path.display())]
    NotARepository {
        /// The folder.
        path: PathBuf,
    },
    /// The repository has no commit yet.
    #[error("`{}` has no commits yet; commit something first", path.display())]
    NoCommits {
        /// The folder.
        path: PathBuf,
    },
    /// `HEAD` names no branch (detached), so there is nothing to follow.
    #[error("`{repository}` has no default branch; check out a branch there")]
    NoDefaultBranch {
        /// Address or path.
        repository: String,
    },
    /// The branch is not there.
    #[error("there is no branch `{branch}`")]
    UnknownBranch {
        /// The branch.
        branch: BranchName,
    },
    /// A commit or object is not in this repository; fetch first, or scan from the start.
    #[error("`git {command}` knows no such commit; fetch again")]
    UnknownCommit {
        /// The arguments.
        command: String,
    },
    /// The login is missing, wrong or not allowed to do this.
    #[error("`{repository}` denies access; check the token and its permissions: {message}")]
    Denied {
        /// Address or path.
        repository: String,
        /// The remote's last words.
        message: String,
    },
    /// The code host asks for fewer requests (HTTP 429); try again later.
    #[error("`{repository}` asks for fewer requests; try again later")]
    Limited {
        /// Address or path.
        repository: String,
        /// For how long, when the host said so.
        retry_after: Option<Duration>,
    },
    /// Network or server trouble; the same call may work in a moment.
    #[error("`{repository}` cannot be reached now; try again: {message}")]
    Transient {
        /// Address or path.
        repository: String,
        /// The last words on stderr.
        message: String,
    },
    /// The call was stopped at its deadline, with everything it had started.
    #[error("`git {command}` took longer than {} s and was stopped", after.as_secs_f32())]
    Timeout {
        /// The arguments.
        command: String,
        /// The deadline.
        after: Duration,
    },
    /// The remote refuses this change of a branch.
    #[error("`{branch}` was not changed on the remote ({reason}): {message}")]
    Rejected {
        /// The branch.
        branch: BranchName,
        /// Which rule it broke.
        reason: Rejection,
        /// The remote's words.
        message: String,
    },
    /// An answer is beyond its bound.
    #[error("{what} has more than {limit}; narrow what is asked for")]
    TooLarge {
        /// What was read.
        what: &'static str,
        /// The bound with its unit: "200000 files".
        limit: String,
    },
    /// Objects of a repository cannot be read, or are missing though others need them.
    #[error("`{}` holds something that cannot be read ({what}); run `git fsck` there, or remove it and fetch again", folder.display())]
    Damaged {
        /// The folder of the objects.
        folder: PathBuf,
        /// Which one, and why.
        what: String,
    },
    /// The work tree holds a repository of its own, which would be committed as a link to nowhere.
    #[error("`{path}` is a git repository inside the checkout; remove its `.git` or the folder")]
    NestedRepository {
        /// The folder inside the checkout.
        path: String,
    },
    /// The folder for a checkout holds something that is no checkout.
    #[error("`{}` is not empty and not a checkout; choose another folder", path.display())]
    Occupied {
        /// The folder.
        path: PathBuf,
    },
    /// A file or folder could not be used.
    #[error("cannot use `{}`", path.display())]
    Io {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Anything else: what ran and what it said last.
    #[error("`git {command}` failed ({}): {stderr}", code.map_or("killed".to_owned(), |code| format!("exit code {code}")))]
    Failed {
        /// The arguments, without secrets.
        command: String,
        /// The exit code; `None` when a signal ended it.
        code: Option<i32>,
        /// The end of stderr, or what was unexpected about stdout.
        stderr: String,
    },
}

/// Which rule of the remote a push broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// The branch is not where the caller expected it: somebody else moved it.
    Stale,
    /// The change would drop commits of the branch.
    NonFastForward,
    /// The branch is protected by a rule of the code host.
    Protected,
    /// The token lacks a permission for this content, such as changing workflow files.
    Permission,
    /// A hook of the remote said no.
    Hook,
    /// The branch is checked out in the remote's own work tree.
    CheckedOut,
    /// Something else; the message says what.
    Other,
}

impl std::fmt::Display for Rejection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Stale => "somebody else moved it; fetch and try again",
            Self::NonFastForward => "commits would be lost; fetch and merge first",
            Self::Protected => "it is protected; push to another branch",
            Self::Permission => "the token lacks a permission",
            Self::Hook => "a hook of the remote declined",
            Self::CheckedOut => "it is checked out there",
            Self::Other => "see the message",
        })
    }
}

impl Rejection {
    /// Reads the reason out of the summary that `git push --porcelain` gives for one ref.
    pub(crate) fn of_summary(summary: &str) -> Self {
        let says = |needles: &[&str]| needles.iter().any(|needle| summary.contains(needle));
        if says(&["stale info", "cannot lock ref", "reference already exists", "failed to update ref"]) {
            Self::Stale
        } else if says(&["non-fast-forward", "fetch first", "needs force"]) {
            Self::NonFastForward
        } else if says(&["without `workflow", "refusing to allow"]) {
            Self::Permission
        } else if says(&["protected branch", "rule violations", "prohibited"]) {
            Self::Protected
        } else if says(&["currently checked out"]) {
            Self::CheckedOut
        } else if says(&["hook declined"]) {
            Self::Hook
        } else {
            Self::Other
        }
    }
}

const LIMITED: &[&str] = &["error: 429", "HTTP 429", "rate limit", "rate-limit", "too many requests"];
const BROKEN: &[&str] = &["error: 500", "error: 502", "error: 503", "error: 504", "Internal Server Error"];
const DENIED: &[&str] = &[
    "error: 401",
    "error: 403",
    "Authentication failed",
    "could not read Username",
    "could not read Password",
    "Permission denied",
    "Permission to ",
    "Write access to repository not granted",
    "dubious ownership",
    "not allowed",
    "insufficient permission",
];
const MISSING: &[&str] = &["error: 404", "not found", "does not appear to be a git repository", "does not exist"];
const UNREACHABLE: &[&str] = &[
    "Could not resolve host",
    "Couldn't connect",
    "Failed to connect",
    "Connection refused",
    "Connection reset",
    "Connection timed out",
    "Operation timed out",
    "Operation too slow",
    "Empty reply from server",
    "early EOF",
    "RPC failed",
    "unexpected disconnect",
    "hung up unexpectedly",
    "Recv failure",
    "Send failure",
    "transfer closed",
    "HTTP/2 stream",
    "SSL_ERROR_SYSCALL",
];
const UNKNOWN: &[&str] =
    &["bad object", "ot a valid object name", "ot a valid commit name", "not a tree object", "bad revision"];

fn mentions(text: &str, needles: &[&str]) -> bool {
    let text = text.to_ascii_lowercase();
    needles.iter().any(|needle| text.contains(&needle.to_ascii_lowercase()))
}

/// What a failed command means. `remote` is the address it talked to, when it did.
pub(crate) fn classify(command: String, code: Option<i32>, stderr: String, remote: Option<&str>) -> GitError {
    if let Some(remote) = remote {
        let repository = remote.to_owned();
        let message = stderr.clone();
        if mentions(&stderr, LIMITED) {
            return GitError::Limited { repository, retry_after: None };
        } else if mentions(&stderr, BROKEN) {
            return GitError::Transient { repository, message };
        } else if mentions(&stderr, DENIED) {
            return GitError::Denied { repository, message };
        } else if mentions(&stderr, UNREACHABLE) {
            return GitError::Transient { repository, message };
        } else if mentions(&stderr, MISSING) {
            return GitError::NotFound { repository };
        }
    }
    if mentions(&stderr, UNKNOWN) {
        return GitError::UnknownCommit { command };
    }
    GitError::Failed { command, code, stderr }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_remotes_say_becomes_a_branch_for_callers() {
        let host = "https://github.com/acme/shop.git/";
        for (stderr, want) in [
            (format!("fatal: unable to access '{host}': The requested URL returned error: 429"), "Limited"),
            (format!("fatal: unable to access '{host}': The requested URL returned error: 503"), "Transient"),
            (format!("fatal: unable to access '{host}': Could not resolve host: github.com"), "Transient"),
            ("error: RPC failed; curl 56 Recv failure\nfatal: early EOF".into(), "Transient"),
            (format!("fatal: unable to access '{host}': The requested URL returned error: 403"), "Denied"),
            (format!("fatal: Authentication failed for '{host}'"), "Denied"),
            ("fatal: could not read Username for 'https://github.com': terminal prompts disabled".into(), "Denied"),
            (format!("remote: Repository not found.\nfatal: repository '{host}' not found"), "NotFound"),
            ("fatal: '/srv/x' does not appear to be a git repository".into(), "NotFound"),
            ("fatal: bad object 1234".into(), "UnknownCommit"),
            ("fatal: something new".into(), "Failed"),
        ] {
            let error = classify("fetch".into(), Some(128), stderr.clone(), Some(host));
            assert!(format!("{error:?}").starts_with(want), "{stderr}: {error:?}");
        }
    }

    #[test]
    fn push_summaries_become_reasons() {
        for (summary, want) in [
            ("[rejected] (stale info)", Rejection::Stale),
            ("[rejected] (non-fast-forward)", Rejection::NonFastForward),
            ("[remote rejected] (protected branch hook declined)", Rejection::Protected),
            ("[remote rejected] (push declined due to repository rule violations)", Rejection::Protected),
            ("[remote rejected] (pre-receive hook declined)", Rejection::Hook),
            ("[remote rejected] (branch is currently checked out)", Rejection::CheckedOut),
            (
                "[remote rejected] (refusing to allow a GitHub App to create or update workflow `.github/workflows/a.yml` \
                 without `workflows` permission)",
                Rejection::Permission,
            ),
            ("[remote rejected] (disk quota)", Rejection::Other),
        ] {
            assert_eq!(Rejection::of_summary(summary), want, "{summary}");
        }
    }
}
