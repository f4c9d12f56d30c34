//! The files of the last commit in a bare repository.

use ::scan::{MAX_FILE_BYTES, Skip};
use backlog::names::CommitId;
use git::{Blob, GitError, Objects};

use super::files::{Entry, Reader};

/// The mode of a symbolic link.
const LINK: u32 = 0o120_000;

/// All files of `commit`, and whether there are more.
///
/// # Errors
/// Those of [`Objects::files`].
pub(super) fn list(objects: &Objects, commit: &CommitId) -> Result<(Vec<Entry>, bool), GitError> {
    let tree = objects.files(commit, false)?;
    let entry = |file: git::TreeFile| Entry {
        path: file.path,
        odd: None,
        oid: file.oid,
        skip: (file.mode == LINK).then_some("symbolic link"),
    };
    Ok((tree.files.into_iter().map(entry).collect(), tree.truncated))
}

impl Reader for Objects {
    fn read(&self, entry: &Entry, buffer: &mut Vec<u8>) -> Result<(), &'static str> {
        match self.blob(&entry.oid, MAX_FILE_BYTES) {
            Ok(Blob::Content(bytes)) => *buffer = bytes,
            Ok(Blob::TooLarge(_)) => return Err(Skip::TooLarge.as_str()),
            Ok(Blob::Missing) => return Err("not fetched"),
            Err(_) => return Err("unreadable"),
        }
        Ok(())
    }
}
