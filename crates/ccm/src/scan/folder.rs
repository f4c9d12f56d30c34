//! Reading a folder, as `.gitignore` and `.gitattributes` allow.
//!
//! **Design.** Two passes, both on all cores: the first lists the files, so that every `.gitattributes` is known before
//! the second reads them. A file is read into memory that its thread keeps, at most [`MAX_FILE_BYTES`] of it; symbolic
//! links are not followed and what is no plain file is not read. What was left out is counted by reason, folders that
//! cannot be listed among it: their files would be missed without a word.
//!
//! **Known race.** The folder changes between the passes: what is gone or has become a pipe or a link by then is opened
//! so that nothing waits and nothing is followed, and counts as unreadable or no plain file. A folder above it that has
//! become a link is followed; whoever can do that can place the files themselves.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{IsTerminal as _, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ::scan::{FileTodos, LeftOut, MAX_FILE_BYTES, Selection, Skip, TodoOptions};
use ignore::{WalkBuilder, WalkState};
use indicatif::ProgressBar;
use rayon::prelude::*;
use rustix::fs::OFlags;

/// Why files are missing that nobody could list.
const UNREADABLE_FOLDER: &str = "unreadable folder";
/// Why neither pipes nor devices are read.
const NO_PLAIN_FILE: &str = "no plain file";

/// The most files, and the most tags, that are explained one by one.
const MAX_EXPLAINED: usize = 10_000;

/// What a folder holds.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// The files with requests.
    pub(super) found: Vec<FileTodos>,
    /// How many files were looked at.
    pub(super) files: usize,
    /// How many files were left out, by reason.
    pub(super) skipped: BTreeMap<&'static str, usize>,
    /// The files left out, by path, when they are explained.
    pub(super) skipped_files: Vec<(String, &'static str)>,
    /// The tags left out, by path, when they are explained.
    pub(super) left_out: Vec<(String, LeftOut)>,
}

/// What is wanted of a folder.
pub(super) struct Look<'a> {
    pub(super) options: &'a TodoOptions,
    pub(super) selection: Selection,
    /// Only these files, by their path from the folder.
    pub(super) only: Option<&'a [String]>,
    pub(super) explain: bool,
}

/// What became of one file.
enum Outcome {
    Todos(Vec<::scan::Todo>),
    Skipped(&'static str),
}

struct Entry {
    path: String,
    /// The path as it is on the disk, where that is no UTF-8.
    odd: Option<PathBuf>,
    /// Why it is not even opened.
    skip: Option<&'static str>,
}

impl Entry {
    fn of(root: &Path, full: &Path, skip: Option<&'static str>) -> Self {
        let inside = full.strip_prefix(root).unwrap_or(full);
        let odd = inside.to_str().is_none().then(|| inside.to_owned());
        Self { path: inside.to_string_lossy().into_owned(), odd, skip }
    }

    /// Where it is below `root`.
    fn at(&self, root: &Path) -> PathBuf {
        root.join(self.odd.as_deref().unwrap_or(Path::new(&self.path)))
    }
}

impl Look<'_> {
    /// Reads the folder at `root`.
    pub(super) fn read(mut self, root: &Path) -> Report {
        let mut entries = list(root);
        let attributes = entries.iter().filter(|entry| entry.path.rsplit('/').next() == Some(".gitattributes"));
        for entry in attributes.filter(|entry| entry.skip.is_none()) {
            let mut bytes = Vec::new();
            if read_file(&entry.at(root), &mut bytes).is_ok() {
                self.selection.attributes(&entry.path, &bytes);
            }
        }
        if let Some(only) = self.only {
            let only: std::collections::HashSet<&str> = only.iter().map(String::as_str).collect();
            entries.retain(|entry| only.contains(entry.path.as_str()));
        }
        let bar = progress(entries.len());
        let files = entries.iter().filter(|entry| entry.skip != Some(UNREADABLE_FOLDER)).count();
        let outcomes: Vec<(String, Outcome, Vec<LeftOut>)> = entries
            .into_par_iter()
            .map_init(Vec::new, |buffer, entry| {
                bar.inc(1);
                let (outcome, left_out) = self.one(root, &entry, buffer);
                (entry.path, outcome, left_out)
            })
            .filter(|(_, outcome, left_out)| {
                !left_out.is_empty() || !matches!(outcome, Outcome::Todos(todos) if todos.is_empty())
            })
            .collect();
        bar.finish_and_clear();
        self.report(files, outcomes)
    }

    fn one(&self, root: &Path, entry: &Entry, buffer: &mut Vec<u8>) -> (Outcome, Vec<LeftOut>) {
        if let Some(skip) = entry.skip {
            return (Outcome::Skipped(skip), Vec::new());
        }
        if let Some(skip) = self.selection.skip_unread(&entry.path, 0) {
            return (Outcome::Skipped(skip.as_str()), Vec::new());
        }
        if let Err(skip) = read_file(&entry.at(root), buffer) {
            return (Outcome::Skipped(skip), Vec::new());
        }
        let outcome = match self.selection.todos(&entry.path, buffer, self.options) {
            Ok(todos) => Outcome::Todos(todos),
            Err(skip) => Outcome::Skipped(skip.as_str()),
        };
        let explained = self.explain.then(|| self.selection.left_out(&entry.path, buffer, self.options));
        (outcome, explained.and_then(Result::ok).unwrap_or_default())
    }

    fn report(&self, files: usize, outcomes: Vec<(String, Outcome, Vec<LeftOut>)>) -> Report {
        let mut report = Report { files, ..Report::default() };
        for (path, outcome, left_out) in outcomes {
            let room = MAX_EXPLAINED.saturating_sub(report.left_out.len());
            report.left_out.extend(left_out.into_iter().take(room).map(|left| (path.clone(), left)));
            match outcome {
                Outcome::Todos(todos) if todos.is_empty() => {}
                Outcome::Todos(todos) => report.found.push(FileTodos { path, todos }),
                Outcome::Skipped(reason) => {
                    *report.skipped.entry(reason).or_default() += 1;
                    if self.explain && report.skipped_files.len() < MAX_EXPLAINED {
                        report.skipped_files.push((path, reason));
                    }
                }
            }
        }
        report
    }
}

/// Every file below `root`, by path.
fn list(root: &Path) -> Vec<Entry> {
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

fn progress(files: usize) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(files as u64).with_message("files read");
    let style = indicatif::ProgressStyle::with_template("{wide_bar} {pos}/{len} {msg}");
    bar.set_style(style.unwrap_or_else(|_| indicatif::ProgressStyle::default_bar()));
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}
