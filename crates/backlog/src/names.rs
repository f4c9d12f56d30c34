//! What things are called: repositories, tasks, runs, commits, branches.

#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Why a text is not the name it was taken for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {expected}")]
pub struct InvalidName {
    /// The text, as it came.
    pub text: String,
    /// What it should have been, with its article: "a repository name such as owner/name".
    pub expected: &'static str,
}

macro_rules! text_name {
    ($(#[$doc:meta])* $name:ident, $expected:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl FromStr for $name {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, InvalidName> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(InvalidName { text: text.chars().take(120).collect(), expected: $expected })
                }
            }
        }
        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(text: String) -> Result<Self, InvalidName> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

fn is_repo_part(part: &str) -> bool {
    !part.is_empty()
        && part.len() <= 100
        && part != "."
        && part != ".."
        && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

text_name!(
    /// A watched repository, `owner/name`, with GitHub's alphabet (letters, digits, `-`, `_`, `.`), at most 100
    /// characters a part. A folder on this machine is `local/<folder name>`.
    RepoName,
    "a repository name such as owner/name",
    |text| matches!(text.split_once('/'), Some((owner, name)) if is_repo_part(owner) && is_repo_part(name))
);

impl RepoName {
    /// The part before the slash.
    #[must_use]
    pub fn owner(&self) -> &str {
        self.0.split_once('/').map_or("", |(owner, _)| owner)
    }

    /// The part after the slash.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.split_once('/').map_or("", |(_, name)| name)
    }

    /// Whether this is a folder on this machine rather than a repository on a code host.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.owner() == "local"
    }
}

const TASK_ID_ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

text_name!(
    /// A task: ten characters of Crockford's base 32 (50 bits), derived from what the task is about, so that a
    /// lost database finds its own issues and branches again.
    TaskId,
    "a task id of ten characters, such as `3k9d0fz2ha`",
    |text| text.len() == 10 && text.bytes().all(|b| TASK_ID_ALPHABET.contains(&b))
);

impl TaskId {
    /// The id of the task about `subject` (a fingerprint, or a person's title with its time) in `repo`.
    #[must_use]
    pub fn derive(repo: &RepoName, subject: &str) -> Self {
        let digest = Sha256::digest(format!("{repo}\n{subject}").as_bytes());
        let text = digest.iter().take(10).map(|b| char::from(TASK_ID_ALPHABET[usize::from(b % 32)])).collect();
        Self(text)
    }
}

text_name!(
    /// One attempt of one agent at one task: the task's id, a dash and the attempt's number from 1.
    RunId,
    "a run id such as `3k9d0fz2ha-1`",
    |text| matches!(text.split_once('-'), Some((task, n))
        if task.parse::<TaskId>().is_ok() && n.parse::<u32>().is_ok_and(|number| number > 0 && number.to_string() == n))
);

impl RunId {
    /// The `attempt`-th run (from 1) of `task`.
    #[must_use]
    pub fn of(task: &TaskId, attempt: u32) -> Self {
        Self(format!("{task}-{attempt}"))
    }

    /// The task that this run works on.
    #[must_use]
    pub fn task(&self) -> TaskId {
        TaskId(self.0.split_once('-').map_or(String::new(), |(task, _)| task.to_owned()))
    }
}

text_name!(
    /// A git object id of a commit: 40 (SHA-1) or 64 (SHA-256) lower-case hex digits.
    CommitId,
    "a commit id of 40 or 64 hex digits",
    |text| matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
);

impl CommitId {
    /// The first ten digits, for people.
    #[must_use]
    pub fn short(&self) -> &str {
        &self.0[..10]
    }
}

text_name!(
    /// A branch name without `refs/heads/`, inside the rules of `git check-ref-format --branch`.
    BranchName,
    "a branch name",
    |text| !text.is_empty()
        && text.len() <= 200
        && !text.starts_with('-')
        && !text.ends_with('.')
        && text != "@"
        && text != "HEAD"
        && !text.contains("..")
        && !text.contains("@{")
        && text.split('/').all(|part| !part.is_empty() && !part.starts_with('.') && !part.ends_with(".lock"))
        && !text.bytes().any(|b| b <= b' ' || b == 0x7f || b"~^:?*[\\".contains(&b))
);

impl BranchName {
    /// The branch a task's work is delivered on: `ccm/<task-id>-<slug of the title>`.
    #[must_use]
    pub fn of_task(task: &TaskId, title: &str) -> Self {
        let slug = slug(title, 40);
        Self(if slug.is_empty() { format!("ccm/{task}") } else { format!("ccm/{task}-{slug}") })
    }
}

/// Lower-case ASCII letters and digits of `text`, other runs of characters as one dash, at most `max` long.
#[must_use]
pub fn slug(text: &str, max: usize) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if out.len() >= max {
            break;
        }
        if c.is_ascii_alphanumeric() {
            out.push(c.to_ascii_lowercase());
        } else if !out.is_empty() && !out.ends_with('-') {
            out.push('-');
        }
    }
    out.trim_matches('-').to_owned()
}

/// Hex SHA-256 of `parts`, each preceded by its length so that no two lists collide.
#[must_use]
pub fn digest(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    hex::encode(hash.finalize())
}
