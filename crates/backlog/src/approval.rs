//! Who said yes, when, by which channel, to exactly which content.

#[cfg(test)]
mod tests;

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
    /// The first command in a comment: a line that begins with `/ccm`, outside quotes and code.
    #[must_use]
    pub fn parse(comment: &str) -> Option<Self> {
        let mut open: Option<Fence> = None;
        for line in comment.lines() {
            let Some(line) = unindented(line) else { continue };
            if let Some(fence) = &open {
                if fence.is_closed_by(line) {
                    open = None;
                }
                continue;
            }
            open = Fence::opened_by(line);
            let Some(rest) = line.strip_prefix("/ccm") else { continue };
            if rest.is_empty() || rest.starts_with(char::is_whitespace) {
                return Some(Self::of_words(rest.trim()));
            }
        }
        None
    }

    fn of_words(text: &str) -> Self {
        let words: Vec<&str> = text.split_whitespace().collect();
        let known = match words.as_slice() {
            ["approve"] => Some(Self::Approve),
            ["reject"] => Some(Self::Reject),
            ["retry"] => Some(Self::Retry),
            ["cancel"] => Some(Self::Cancel),
            ["agent", name] if name.len() <= SHOWN => Some(Self::Agent((*name).to_owned())),
            ["budget", usd] => parse_usd(usd).map(Self::Budget),
            _ => None,
        };
        known.unwrap_or_else(|| Self::Unknown(text.chars().take(SHOWN).collect()))
    }
}

/// How much of a command that is not understood is kept, and the longest name of an agent.
const SHOWN: usize = 80;

/// A line without its indentation and without white space at its end; `None` when Markdown shows it as code.
fn unindented(line: &str) -> Option<&str> {
    let text = line.trim_start_matches(' ');
    (line.len() - text.len() < 4 && !text.starts_with('\t')).then_some(text.trim_end())
}

/// An open code fence.
struct Fence {
    mark: char,
    length: usize,
}

impl Fence {
    fn opened_by(line: &str) -> Option<Self> {
        let mark = line.chars().next().filter(|mark| matches!(mark, '`' | '~'))?;
        let rest = line.trim_start_matches(mark);
        let length = line.len() - rest.len();
        (length >= 3 && !(mark == '`' && rest.contains('`'))).then_some(Self { mark, length })
    }

    fn is_closed_by(&self, line: &str) -> bool {
        line.len() >= self.length && line.chars().all(|c| c == self.mark)
    }
}

/// Micro-USD of an amount such as `5`, `2.50` or `$0.75`; `None` when it is no amount, less than one micro-USD, or
/// above 10,000 USD.
#[must_use]
pub fn parse_usd(text: &str) -> Option<u64> {
    let text = text.strip_prefix('$').unwrap_or(text);
    if !text.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return None;
    }
    let usd: f64 = text.parse().ok()?;
    if usd > 10_000.0 {
        return None;
    }
    // In range by the check above: at most 10^10.
    let micro = (usd * 1_000_000.0).round() as u64;
    (micro > 0).then_some(micro)
}
