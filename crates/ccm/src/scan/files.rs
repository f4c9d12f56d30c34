//! Reading the files of a place, as its `.gitattributes` allow.
//!
//! **Design.** Two passes: every `.gitattributes` is known before the second one reads the files, on all cores. What was
//! left out is counted by reason.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ::scan::{FileTodos, LeftOut, Selection, TodoOptions};
use indicatif::ProgressBar;

/// The most files, and the most tags, that are explained one by one.
const MAX_EXPLAINED: usize = 10_000;

/// Why files are missing that nobody could list.
pub(super) const UNREADABLE_FOLDER: &str = "unreadable folder";

/// How many files a thread takes at once.
const TURN: usize = 64;

/// What a place holds.
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

/// What is wanted of a place.
pub(super) struct Look<'a> {
    pub(super) options: &'a TodoOptions,
    pub(super) selection: Selection,
    /// Only these files, by their path from the top.
    pub(super) only: Option<&'a [String]>,
    pub(super) explain: bool,
}

/// What became of one file.
enum Outcome {
    Todos(Vec<::scan::Todo>),
    Skipped(&'static str),
}

/// One file.
pub(super) struct Entry {
    /// From the top.
    pub(super) path: String,
    /// The path as it is on the disk, where that is no UTF-8.
    pub(super) odd: Option<PathBuf>,
    /// Names the content of a committed file; empty in a folder.
    pub(super) oid: String,
    /// Why it is not even opened.
    pub(super) skip: Option<&'static str>,
}

/// Reads files; every thread has one of its own.
pub(super) trait Reader: Clone + Send {
    /// Reads a file into `buffer`, or says why it is left out.
    fn read(&self, entry: &Entry, buffer: &mut Vec<u8>) -> Result<(), &'static str>;
}

impl Look<'_> {
    /// Reads the files of a place.
    pub(super) fn read(mut self, mut entries: Vec<Entry>, reader: impl Reader) -> Report {
        let attributes = entries.iter().filter(|entry| entry.path.rsplit('/').next() == Some(".gitattributes"));
        for entry in attributes.filter(|entry| entry.skip.is_none()) {
            let mut bytes = Vec::new();
            if reader.read(entry, &mut bytes).is_ok() {
                self.selection.attributes(&entry.path, &bytes);
            }
        }
        if let Some(only) = self.only {
            let only: std::collections::HashSet<&str> = only.iter().map(String::as_str).collect();
            entries.retain(|entry| only.contains(entry.path.as_str()));
        }
        let bar = progress(entries.len());
        let (all, files) =
            (entries.len(), entries.iter().filter(|entry| entry.skip != Some(UNREADABLE_FOLDER)).count());
        let next = AtomicUsize::new(0);
        let readers = Mutex::new(reader);
        // Every thread takes the next few files, and keeps its reader to the end.
        let read = rayon::broadcast(|_| {
            let reader = readers.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let (mut buffer, mut outcomes) = (Vec::new(), Vec::new());
            loop {
                let first = next.fetch_add(TURN, Ordering::Relaxed);
                let Some(turn) = entries.get(first..all.min(first + TURN)).filter(|turn| !turn.is_empty()) else {
                    return outcomes;
                };
                for (place, entry) in (first..).zip(turn) {
                    let (outcome, left_out) = self.one(&reader, entry, &mut buffer);
                    if !left_out.is_empty() || !matches!(&outcome, Outcome::Todos(todos) if todos.is_empty()) {
                        outcomes.push((place, outcome, left_out));
                    }
                }
                bar.inc(turn.len() as u64);
            }
        });
        let mut outcomes: Vec<(usize, Outcome, Vec<LeftOut>)> = read.into_iter().flatten().collect();
        outcomes.sort_unstable_by_key(|(place, ..)| *place);
        let mut path = |place: usize| std::mem::take(&mut entries[place].path);
        let outcomes =
            outcomes.into_iter().map(|(place, outcome, left_out)| (path(place), outcome, left_out)).collect();
        bar.finish_and_clear();
        self.report(files, outcomes)
    }

    fn one(&self, reader: &impl Reader, entry: &Entry, buffer: &mut Vec<u8>) -> (Outcome, Vec<LeftOut>) {
        if let Some(skip) = entry.skip {
            return (Outcome::Skipped(skip), Vec::new());
        }
        if let Some(skip) = self.selection.skip_unread(&entry.path, 0) {
            return (Outcome::Skipped(skip.as_str()), Vec::new());
        }
        if let Err(skip) = reader.read(entry, buffer) {
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
