//! What discovery observes: findings and their identity.

#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::names::{CommitId, InvalidName, RepoName, TaskId, digest};
use crate::time::Day;

/// What yields findings. The text form is part of the outward contract (`scan --format json`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Source {
    /// Comments that ask for work: `TODO`, `FIXME` and their kin.
    Todo,
    /// Issues nobody has touched for long.
    StaleIssue,
    /// Issues that carry a label the configuration names.
    IssueLabel,
    /// A red default branch.
    Ci,
    /// Dependabot, code scanning and secret scanning alerts.
    SecurityAlert,
    /// Outdated direct dependencies.
    Dependency,
    /// Complex and much-changed code.
    Hotspot,
    /// Any tool that writes SARIF, by name.
    Sarif(String),
    /// A person's own task.
    Person,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Todo => f.write_str("todo"),
            Self::StaleIssue => f.write_str("stale-issue"),
            Self::IssueLabel => f.write_str("issue-label"),
            Self::Ci => f.write_str("ci"),
            Self::SecurityAlert => f.write_str("security-alert"),
            Self::Dependency => f.write_str("dependency"),
            Self::Hotspot => f.write_str("hotspot"),
            Self::Sarif(tool) => write!(f, "sarif:{tool}"),
            Self::Person => f.write_str("person"),
        }
    }
}

impl FromStr for Source {
    type Err = InvalidName;
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        Ok(match text {
            "todo" => Self::Todo,
            "stale-issue" => Self::StaleIssue,
            "issue-label" => Self::IssueLabel,
            "ci" => Self::Ci,
            "security-alert" => Self::SecurityAlert,
            "dependency" => Self::Dependency,
            "hotspot" => Self::Hotspot,
            "person" => Self::Person,
            other => match other.strip_prefix("sarif:") {
                Some(tool) if !tool.is_empty() => Self::Sarif(tool.to_owned()),
                _ => return Err(InvalidName { text: text.to_owned(), expected: "a source such as `todo`" }),
            },
        })
    }
}

impl TryFrom<String> for Source {
    type Error = InvalidName;
    fn try_from(text: String) -> Result<Self, InvalidName> {
        text.parse()
    }
}

impl From<Source> for String {
    fn from(source: Source) -> Self {
        source.to_string()
    }
}

/// The identity of a finding: 32 hex digits that survive moved lines, renamed files and rebases.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// The fingerprint of the `ordinal`-th (from 0, in path and line order) of several equal findings.
    ///
    /// Neither path nor line takes part: `text` is folded to lower case with white space collapsed, so that
    /// reindentation and a rename keep the identity, and `ordinal` keeps two equal comments two.
    #[must_use]
    pub fn of(source: &Source, kind: &str, text: &str, ordinal: usize) -> Self {
        let folded = text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
        let mut hex = digest(&[&source.to_string(), kind, &folded, &ordinal.to_string()]);
        hex.truncate(32);
        Self(hex)
    }

    /// The fingerprint of one more of several equal findings, the `n`-th (from 1) beyond those that are counted, where
    /// theirs belong to work that is over.
    #[must_use]
    pub fn again(&self, n: usize) -> Self {
        let mut hex = digest(&["again", &self.0, &n.to_string()]);
        hex.truncate(32);
        Self(hex)
    }

    /// The fingerprint as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One observed sign of work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Its identity.
    pub fingerprint: Fingerprint,
    /// What yielded it.
    pub source: Source,
    /// Its kind within the source; for `todo` the tag in upper case: `TODO`, `FIXME`, `HACK`, `XXX`, `BUG`.
    pub kind: String,
    /// Where it was seen.
    pub repository: RepoName,
    /// The commit it was seen at, when it was seen in code under version control.
    pub commit: Option<CommitId>,
    /// The path from the repository's root with `/`, lossily decoded; empty when it is not about a file.
    pub path: String,
    /// The first line, from 1; 0 when it is not about a line.
    pub line: u32,
    /// The last line, inclusive.
    pub end_line: u32,
    /// One line for people, at most 120 characters.
    pub title: String,
    /// The whole comment with continuation lines joined by `\n`, at most 4,000 characters.
    pub text: String,
    /// Who wrote it, where known.
    pub author: Option<String>,
    /// The day on which it was written, where known; of an issue or an alert, when it was opened.
    #[serde(default)]
    pub written_on: Option<Day>,
    /// The name in `TODO(name)`.
    pub owner: Option<String>,
    /// The number in `TODO(#12)`, or of the issue that it is.
    pub issue: Option<u64>,
    /// The day by which it is to be done, as in `TODO: due 2027-01-01`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Day>,
    /// Where a person reads about it, such as an alert's page; empty when it is in code alone.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub url: String,
    /// How many people's reactions and replies it has.
    #[serde(default, skip_serializing_if = "nobody")]
    pub interest: u64,
    /// What it is one piece of work with: those of one look at a source that say the same here become one task, as far as
    /// none of them has one yet. Means nothing from one look to the next; `None` stands by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
}

fn nobody(people: &u64) -> bool {
    *people == 0
}

impl Finding {
    /// The id of the task that this finding gives birth to.
    #[must_use]
    pub fn task_id(&self) -> TaskId {
        TaskId::derive(&self.repository, self.fingerprint.as_str())
    }
}
