//! Who said yes, when, by which channel, to exactly which content.

use serde::{Deserialize, Serialize};

use crate::event::Channel;
use crate::names::digest;
use crate::time::Timestamp;

/// The hash of exactly what a person was shown: title and body. An edit changes it and voids the approval.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ContentHash(String);

impl ContentHash {
    /// The hash of a proposal's `title` and `body`. Line ends and outer white space do not count, because code
    /// hosts rewrite both.
    #[must_use]
    pub fn of(title: &str, body: &str) -> Self {
        let body = body.replace("\r\n", "\n");
        Self(digest(&[title.trim(), body.trim()]))
    }

    /// The hash as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A person's yes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// The login on the code host, or the name of the local user.
    pub by: String,
    /// How it reached us.
    pub channel: Channel,
    /// When.
    pub at: Timestamp,
    /// What exactly was approved.
    pub content: ContentHash,
}

/// What a user may do in a repository; GitHub's built-in roles in ascending order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Permission {
    /// Nothing, or not known.
    None,
    /// May read.
    Read,
    /// May label and close issues; may not approve, because issue forms label with this role.
    Triage,
    /// May push.
    Write,
    /// May manage the repository without its secrets.
    Maintain,
    /// May everything.
    Admin,
}

impl Permission {
    /// Whether the user may approve, reject, retry and cancel: `write` or more.
    #[must_use]
    pub fn may_decide(self) -> bool {
        self >= Self::Write
    }
}

/// What a comment `/ccm …` asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommentCommand {
    /// `/ccm approve`
    Approve,
    /// `/ccm reject`
    Reject,
    /// `/ccm retry`
    Retry,
    /// `/ccm cancel`
    Cancel,
    /// `/ccm agent NAME`
    Agent(String),
    /// `/ccm budget USD`, in micro-USD
    Budget(u64),
    /// A command with our prefix that is none of the above; holds what stood there.
    Unknown(String),
}

impl CommentCommand {
    /// The first command in a comment: a line that begins with `/ccm`, outside quotes and code fences.
    #[must_use]
    pub fn parse(comment: &str) -> Option<Self> {
        let mut fenced = false;
        for line in comment.lines() {
            let line = line.trim();
            if line.starts_with("```") || line.starts_with("~~~") {
                fenced = !fenced;
            }
            let Some(rest) = line.strip_prefix("/ccm") else { continue };
            if fenced || !(rest.is_empty() || rest.starts_with(char::is_whitespace)) {
                continue;
            }
            let words: Vec<&str> = rest.split_whitespace().collect();
            return Some(match words.as_slice() {
                ["approve"] => Self::Approve,
                ["reject"] => Self::Reject,
                ["retry"] => Self::Retry,
                ["cancel"] => Self::Cancel,
                ["agent", name] => Self::Agent((*name).to_owned()),
                ["budget", usd] => match parse_usd(usd) {
                    Some(micro) => Self::Budget(micro),
                    None => Self::Unknown(rest.trim().chars().take(80).collect()),
                },
                _ => Self::Unknown(rest.trim().chars().take(80).collect()),
            });
        }
        None
    }
}

/// Micro-USD of an amount such as `5`, `2.50` or `$0.75`; `None` when it is no amount, zero, or above 10,000 USD.
#[must_use]
pub fn parse_usd(text: &str) -> Option<u64> {
    let text = text.trim_start_matches('$');
    let usd: f64 = text.parse().ok()?;
    if !(usd.is_finite() && usd > 0.0 && usd <= 10_000.0) {
        return None;
    }
    // In range by the check above: at most 10^10.
    Some((usd * 1_000_000.0).round() as u64)
}
