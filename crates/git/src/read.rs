//! Reading a mirror: trees, changes, blobs, blame and diffs. All answers are bounded or streamed.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use backlog::names::CommitId;

use crate::blame::{self, Blame};
use crate::error::GitError;
use crate::mirror::{Extent, Mirror};
use crate::process::Call;

mod blobs;

pub use blobs::Blob;

/// The most files that one listing returns.
pub const MAX_FILES: usize = 200_000;
/// The most bytes of diff text.
pub const MAX_DIFF_BYTES: usize = 512 * 1024;

/// The files of one commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    /// In the order of git, at most [`MAX_FILES`]; without submodules.
    pub files: Vec<TreeFile>,
    /// There are more files than that, or some whose paths are too long.
    pub truncated: bool,
}

/// One file of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeFile {
    /// The path from the top, with `/`; bytes that are no UTF-8 are replaced.
    pub path: String,
    /// The blob's object id, for [`Mirror::read_blobs`].
    pub oid: String,
    /// Its size in bytes; 0 when that is not known, because the blob is not here yet ([`crate::Glance`]).
    pub size: u64,
    /// Octal: 0o100644, 0o100755 (executable) or 0o120000 (symbolic link).
    pub mode: u32,
}

/// One file that differs between two commits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The path as in [`TreeFile`].
    pub path: String,
    /// The new blob; `None` when the file was deleted.
    pub oid: Option<String>,
    /// What happened to it.
    pub status: ChangeStatus,
}

/// What happened to a file. A rename is a deletion and an addition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeStatus {
    /// It is new.
    Added,
    /// Its content, mode or kind changed.
    Modified,
    /// It is gone.
    Deleted,
}

/// The difference of two commits, for people and for limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diff {
    /// A unified diff of at most [`MAX_DIFF_BYTES`], ending with a whole line.
    pub text: String,
    /// The text is not all.
    pub truncated: bool,
    /// Every changed file, also those beyond the text.
    pub files: Vec<DiffFile>,
}

/// The extent of the change of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiffFile {
    /// The path as in [`TreeFile`].
    pub path: String,
    /// Lines added; 0 for binary files.
    pub added: u64,
    /// Lines removed; 0 for binary files.
    pub removed: u64,
    /// Git takes the content for binary.
    pub binary: bool,
}

impl Mirror {
    /// All files of `commit`, with their sizes if all objects are here. Errors: [`GitError::UnknownCommit`],
    /// [`GitError::Damaged`].
    pub async fn files(&self, commit: &CommitId) -> Result<Tree, GitError> {
        let (commit, sizes) = (commit.clone(), self.extent == Extent::Whole);
        self.with_objects(move |objects| objects.files(&commit, sizes)).await
    }

    /// The files that differ between two commits, without submodules. Errors: [`GitError::UnknownCommit`] when either
    /// is not here, [`GitError::TooLarge`] beyond [`MAX_FILES`]: then list the files instead, [`GitError::Damaged`].
    pub async fn changed(&self, from: &CommitId, to: &CommitId) -> Result<Vec<Change>, GitError> {
        let (from, to) = (from.clone(), to.clone());
        self.with_objects(move |objects| objects.changed(&from, &to)).await
    }

    /// How often each file was changed in the last `commits` commits before and with `commit`, merges left out; by path,
    /// at most [`MAX_FILES`]. Renames start anew. Error: [`GitError::UnknownCommit`].
    pub async fn change_counts(&self, commit: &CommitId, commits: u32) -> Result<BTreeMap<String, u32>, GitError> {
        let most = format!("--max-count={commits}");
        let args = ["log", "--no-merges", "--no-renames", "--name-only", "-z", "--format=", &most];
        let mut counts = BTreeMap::new();
        self.call(args)
            .arg(commit.as_str())
            .arg("--")
            .bulk()
            .records(&mut |record| {
                let path = String::from_utf8_lossy(record);
                // Between two commits git writes a line break of its own.
                let path = path.trim_start_matches('\n');
                if let Some(count) = counts.get_mut(path) {
                    *count += 1;
                } else if !path.is_empty() && counts.len() < MAX_FILES {
                    counts.insert(path.to_owned(), 1);
                }
                ControlFlow::Continue(())
            })
            .await?;
        Ok(counts)
    }

    /// Who wrote line `line` (from 1) of `path` in `commit`; `None` when there is no such line.
    pub async fn blame(&self, commit: &CommitId, path: &str, line: u64) -> Result<Option<Blame>, GitError> {
        let call = |args: &[&str]| self.call(args.iter().copied());
        Ok(blame::blame(call, commit, path, &[line]).await?.remove(&line))
    }

    /// The difference from `base` to `head`, as they are (for a pull request's view, take the merge base first).
    pub async fn diff(&self, base: &CommitId, head: &CommitId) -> Result<Diff, GitError> {
        let files = numstat(self.call([]), base.as_str(), head.as_str()).await?;
        let args = ["diff-tree", "-r", "-p", "-M", "--no-ext-diff", "--no-textconv", "--no-color", "--full-index"];
        let call = self.call(args).arg(base.as_str()).arg(head.as_str()).env("GIT_ATTR_SOURCE", base.as_str()).bulk();
        let (mut bytes, ended) = call.prefix(MAX_DIFF_BYTES).await?;
        let truncated = ended.stopped;
        if !truncated && ended.code != Some(0) {
            return Err(ended.into_error());
        }
        if truncated {
            let whole_lines = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            bytes.truncate(whole_lines);
        }
        Ok(Diff { text: String::from_utf8_lossy(&bytes).into_owned(), truncated, files })
    }
}

/// The extent of the change from `base` to `head` (commits or trees) in the repository that `call` is set up for.
/// Attributes are those of `base`: a change cannot hide itself by declaring its files binary.
pub(crate) async fn numstat(call: Call, base: &str, head: &str) -> Result<Vec<DiffFile>, GitError> {
    let args = ["diff-tree", "-r", "-z", "--numstat", "--no-renames", "--no-ext-diff", "--no-textconv"];
    let call = args
        .iter()
        .fold(call, |call, arg| call.arg(arg))
        .arg("--ignore-submodules=none")
        .arg(base)
        .arg(head)
        .env("GIT_ATTR_SOURCE", base);
    let mut files = Vec::new();
    call.bulk()
        .records(&mut |record| {
            files.extend(diff_file(&String::from_utf8_lossy(record)));
            if files.len() > MAX_FILES { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .await?;
    if files.len() > MAX_FILES {
        return Err(GitError::TooLarge { what: "the change", limit: format!("{MAX_FILES} files") });
    }
    Ok(files)
}

/// Reads `<added> TAB <removed> TAB <path>`, with dashes for binary files.
fn diff_file(record: &str) -> Option<DiffFile> {
    let mut parts = record.splitn(3, '\t');
    let (added, removed, path) = (parts.next()?, parts.next()?, parts.next()?);
    let count = |text: &str| text.parse().unwrap_or(0);
    Some(DiffFile { path: path.to_owned(), added: count(added), removed: count(removed), binary: added == "-" })
}

#[cfg(test)]
mod tests;
