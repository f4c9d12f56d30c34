//! The files of a folder, as `.gitignore` allows.
//!
//! **Design.** A file is read into memory that its thread keeps, at most [`MAX_FILE_BYTES`] of it; symbolic links are not
//! followed and what is no plain file is not read. Folders that cannot be listed are told among what was left out: their
//! files would be missed without a word.
//!
//! **Known race.** The folder changes between the passes: what is gone or has become a pipe or a link by then is opened
//! so that nothing waits and nothing is followed, and counts as unreadable or no plain file. A folder above it that has
//! become a link is followed; whoever can do that can place the files themselves.

#[cfg(test)]
mod tests;

use std::fs::OpenOptions;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ::scan::{MAX_FILE_BYTES, Skip};
use ignore::{WalkBuilder, WalkState};
use rustix::fs::OFlags;

use super::files::{Entry, Reader, UNREADABLE_FOLDER};

/// Why neither pipes nor devices are read.
const NO_PLAIN_FILE: &str = "no plain file";

/// Reads the files of this folder.
#[derive(Clone)]
pub(super) struct Folder<'a>(pub(super) &'a Path);

impl Reader for Folder<'_> {
    fn read(&self, entry: &Entry, buffer: &mut Vec<u8>) -> Result<(), &'static str> {
        read_file(&entry.at(self.0), buffer)
    }
}

impl Entry {
    fn of(root: &Path, full: &Path, skip: Option<&'static str>) -> Self {
        let inside = full.strip_prefix(root).unwrap_or(full);
        let odd = inside.to_str().is_none().then(|| inside.to_owned());
        Self { path: inside.to_string_lossy().into_owned(), odd, oid: String::new(), skip }
    }

    /// Where it is below `root`.
    fn at(&self, root: &Path) -> PathBuf {
        root.join(self.odd.as_deref().unwrap_or(Path::new(&self.path)))
    }
}

/// Every file below `root`, by path.
pub(super) fn list(root: &Path) -> Vec<Entry> {
    let entries = Mutex::new(Vec::new());
    let walk = WalkBuilder::new(root).hidden(false).filter_entry(|entry| entry.file_name() != ".git").build_parallel();
    walk.run(|| {
        Box::new(|entry| {
            let entry = match &entry {
                Ok(entry) => {
                    let skip = match entry.file_type() {
                        Some(kind) if kind.is_file() => None,
                        Some(kind) if kind.is_symlink() => Some("symbolic link"),
                        Some(kind) if kind.is_dir() => return WalkState::Continue,
                        Some(_) | None => Some(NO_PLAIN_FILE),
                    };
                    Entry::of(root, entry.path(), skip)
                }
                Err(error) => match failed_at(error) {
                    Some(path) => Entry::of(root, path, Some(UNREADABLE_FOLDER)),
                    None => return WalkState::Continue,
                },
            };
            entries.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
            WalkState::Continue
        })
    });
    let mut entries = entries.into_inner().unwrap_or_else(PoisonError::into_inner);
    entries.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    entries
}

/// Where a walk could not go on.
fn failed_at(error: &ignore::Error) -> Option<&Path> {
    match error {
        ignore::Error::WithPath { path, .. } => Some(path),
        ignore::Error::WithDepth { err, .. } | ignore::Error::WithLineNumber { err, .. } => failed_at(err),
        ignore::Error::Partial(errors) => errors.iter().find_map(failed_at),
        _ => None,
    }
}

/// Reads a file into `buffer`; one that grows meanwhile is read no further than a file may be. What has become a pipe or
/// a link since it was listed is neither waited for nor followed.
fn read_file(path: &Path, buffer: &mut Vec<u8>) -> Result<(), &'static str> {
    buffer.clear();
    let unreadable = |_| "unreadable";
    let careful = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(careful).open(path).map_err(unreadable)?;
    let status = file.metadata().map_err(unreadable)?;
    if !status.is_file() {
        return Err(NO_PLAIN_FILE);
    }
    let size = status.len();
    if size > MAX_FILE_BYTES {
        return Err(Skip::TooLarge.as_str());
    }
    buffer.reserve(usize::try_from(size).unwrap_or(0) + 1);
    file.take(MAX_FILE_BYTES + 1).read_to_end(buffer).map_err(unreadable)?;
    Ok(())
}
