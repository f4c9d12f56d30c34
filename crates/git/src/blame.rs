//! Who wrote lines last, and when.
//!
//! *Wanted properties.* One run of git for a file, however many lines of it are asked for. A line that is not there and a
//! file that is not in the commit are no failures: nothing is known of them. No filter, text conversion or hook of the
//! repository runs: what is blamed is a commit, not the work tree. Where the history is cut, what is older counts as written
//! in the oldest commit that is here.

use std::collections::{BTreeMap, HashMap};

use backlog::names::CommitId;
use backlog::time::Timestamp;

use crate::checkout::Author;
use crate::error::GitError;
use crate::process::Call;

/// With more lines than this the whole file is blamed: they would not fit into the arguments.
const MOST_LINES: usize = 500;

/// Who wrote a line last, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blame {
    /// The author of the commit.
    pub author: Author,
    /// When it was written, by the author's clock.
    pub at: Timestamp,
    /// The line as it is in the commit, lossily decoded.
    pub text: String,
}

/// Blames `lines` (from 1) of `path` in `commit`; `call` gives `git` with these arguments. By line; without those that are
/// not there.
pub(crate) async fn blame(
    call: impl Fn(&[&str]) -> Call,
    commit: &CommitId,
    path: &str,
    lines: &[u64],
) -> Result<BTreeMap<u64, Blame>, GitError> {
    let lines: Vec<u64> = lines.iter().copied().filter(|line| *line > 0).collect();
    if lines.is_empty() {
        return Ok(BTreeMap::new());
    }
    let mut ranges: Vec<String> = lines.iter().map(|line| format!("-L{line},{line}")).collect();
    if ranges.len() > MOST_LINES {
        ranges.clear();
    }
    loop {
        let mut args = vec!["blame", "--porcelain", "--no-textconv"];
        args.extend(ranges.iter().map(String::as_str));
        args.extend([commit.as_str(), "--", path]);
        let (bytes, ended) = call(&args).bulk().output().await?;
        if ended.code == Some(0) {
            let mut found = parse(&String::from_utf8_lossy(&bytes)).ok_or_else(|| ended.garbled("blame"))?;
            found.retain(|line, _| lines.contains(line));
            return Ok(found);
        }
        // One line too many spoils the answer for all of them.
        if ended.stderr.contains("has only") && ranges.len() > 1 {
            ranges.clear();
            continue;
        }
        let absent = ["no such path", "has only"].iter().any(|words| ended.stderr.contains(words));
        return if absent { Ok(BTreeMap::new()) } else { Err(ended.into_error()) };
    }
}

/// Reads what `--porcelain` prints: for each line the commit with its old and new number, what is said of a commit the
/// first time, and after a tab the line.
fn parse(text: &str) -> Option<BTreeMap<u64, Blame>> {
    #[derive(Clone, Default)]
    struct Written {
        name: String,
        email: String,
        at: i64,
    }
    let (mut commits, mut found) = (HashMap::<&str, Written>::new(), BTreeMap::new());
    let mut lines = text.lines();
    while let Some(head) = lines.next() {
        let mut fields = head.split(' ');
        let (commit, number) = (fields.next()?, fields.nth(1)?.parse().ok()?);
        let written = commits.entry(commit).or_default();
        let content = loop {
            let line = lines.next()?;
            match line.split_once(' ') {
                _ if line.starts_with('\t') => break &line[1..],
                Some(("author", name)) => name.clone_into(&mut written.name),
                Some(("author-mail", mail)) => mail.trim_matches(['<', '>']).clone_into(&mut written.email),
                Some(("author-time", seconds)) => written.at = seconds.parse().ok()?,
                _ => {}
            }
        };
        let Written { name, email, at } = written.clone();
        let at = Timestamp(at.saturating_mul(1000));
        found.insert(number, Blame { author: Author { name, email }, at, text: content.to_owned() });
    }
    Some(found)
}
