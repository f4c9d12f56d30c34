//! What waits on a code host: open issues, checks of the default branch, alerts. Plain data.

use backlog::alert::{AlertKind, Severity};
use backlog::review::CheckState;
use backlog::time::Timestamp;

use crate::IssueView;

/// An open issue with what people made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenIssue {
    /// The issue.
    pub issue: IssueView,
    /// Login of the author; empty when the account is gone.
    pub author: String,
    /// Its labels.
    pub labels: Vec<String>,
    /// How many people reacted to it with an emoji.
    pub reactions: u64,
    /// How many comments it has, those of programs included.
    pub replies: u64,
    /// When it was opened.
    pub created_at: Timestamp,
    /// When a person wrote something last, by opening it or in a comment that is no command to us. Not earlier than that
    /// where programs wrote the newest comments, or where comments could not be read.
    pub last_word: Timestamp,
    /// Whether the service itself opened it.
    pub ours: bool,
}

/// How the checks of a commit stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeadChecks {
    /// Those that are known, each name once; nothing where the code host is known to be content.
    pub checks: Vec<HeadCheck>,
    /// Whether nothing is waited for.
    pub settled: bool,
}

/// One check of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadCheck {
    /// Its name, which is a job's name where a workflow runs it.
    pub name: String,
    /// How it stands. One that was cancelled or skipped has passed.
    pub state: CheckState,
    /// Where a person reads about it.
    pub url: String,
    /// The step that failed, where known.
    pub step: Option<String>,
    /// For a failed one: the last lines that the step printed, at most 3,000 bytes, without hidden characters and without
    /// what looks like a secret.
    pub log: String,
}

/// An open alert. Never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// What raised it.
    pub kind: AlertKind,
    /// Its number among those of its kind in the repository.
    pub number: u64,
    /// Where a person reads about it.
    pub url: String,
    /// How bad it is.
    pub severity: Severity,
    /// The ecosystem and the name of the package that it is about, such as `npm lodash`, at most 200 characters; empty for
    /// other kinds, and where that is not told.
    pub package: String,
    /// What is wrong, in a line.
    pub title: String,
    /// The whole of it, as plain text of at most 3,000 characters.
    pub text: String,
    /// The file that it is about; empty when it is not known.
    pub path: String,
    /// Its first line there, from 1; 0 when it is not about a line.
    pub line: u32,
    /// Its last line there.
    pub end_line: u32,
    /// When it was raised.
    pub opened_at: Timestamp,
}

/// The open alerts of a repository.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Alerts {
    /// Oldest first, at most 1,000 of each kind.
    pub open: Vec<Alert>,
    /// The kinds that are switched off there, or that the credential may not read.
    pub unread: Vec<AlertKind>,
}
