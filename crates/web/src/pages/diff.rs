//! A unified diff, taken apart for reading.

use backlog::run::ChangedFile;

/// The most lines that are shown.
const LINES: usize = 5_000;
/// A file with more lines is folded.
const FOLD: usize = 400;

/// One line of a diff.
#[derive(Debug, PartialEq)]
pub(super) struct DiffLine {
    /// The CSS class: `add`, `del`, `ctx`, `hunk`.
    pub(super) class: &'static str,
    /// Its number before the change.
    pub(super) old: Option<u64>,
    /// Its number after the change.
    pub(super) new: Option<u64>,
    pub(super) text: String,
}

/// One file of a diff.
#[derive(Debug, PartialEq)]
pub(super) struct FileDiff {
    pub(super) path: String,
    pub(super) added: u64,
    pub(super) removed: u64,
    pub(super) lines: Vec<DiffLine>,
    /// Whether it starts unfolded.
    pub(super) open: bool,
}

/// A whole diff, as far as it is shown.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Diff {
    pub(super) files: Vec<FileDiff>,
    /// Lines that are left out.
    pub(super) left_out: usize,
}

/// Takes a unified diff apart; `counts` are git's own, and name files whose text is missing.
pub(super) fn parse(text: &str, counts: &[ChangedFile]) -> Diff {
    let mut files: Vec<FileDiff> = Vec::new();
    let (mut old, mut new, mut in_hunk) = (0, 0, false);
    let mut kept = 0;
    let mut left_out = 0;
    for line in text.lines() {
        if line.starts_with("diff --git ") {
            in_hunk = false;
            files.push(file(path_of_header(line)));
            continue;
        }
        let Some(file) = files.last_mut() else { continue };
        let entry = if let Some(start) = hunk_start(line) {
            (old, new) = start;
            in_hunk = true;
            DiffLine { class: "hunk", old: None, new: None, text: line.to_owned() }
        } else if in_hunk {
            hunk_line(line, &mut old, &mut new)
        } else {
            if let Some(path) = line.strip_prefix("+++ b/").or_else(|| line.strip_prefix("--- a/")) {
                file.path = path.to_owned();
            }
            continue;
        };
        if kept < LINES {
            kept += 1;
            file.lines.push(entry);
        } else {
            left_out += 1;
        }
    }
    for count in counts {
        let known = files.iter_mut().find(|file| file.path == count.path);
        let entry = match known {
            Some(file) => file,
            None => {
                files.push(file(count.path.clone()));
                let last = files.len() - 1;
                &mut files[last]
            }
        };
        (entry.added, entry.removed) = (count.added, count.removed);
    }
    for file in &mut files {
        file.open = !file.lines.is_empty() && file.lines.len() <= FOLD;
    }
    Diff { files, left_out }
}

fn file(path: String) -> FileDiff {
    FileDiff { path, added: 0, removed: 0, lines: Vec::new(), open: true }
}

/// The path after the change, from `diff --git a/x b/x`; the `+++` line corrects it where spaces make it unclear.
fn path_of_header(line: &str) -> String {
    line.rsplit_once(" b/").map_or(line, |(_, path)| path).trim_end_matches('"').to_owned()
}

/// The first numbers of `@@ -1,2 +3,4 @@`.
fn hunk_start(line: &str) -> Option<(u64, u64)> {
    let mut words = line.strip_prefix("@@ -")?.split(' ');
    let number = |word: Option<&str>| word?.split(',').next()?.parse().ok();
    Some((number(words.next())?, number(words.next()?.strip_prefix('+'))?))
}

fn hunk_line(line: &str, old: &mut u64, new: &mut u64) -> DiffLine {
    let next = |n: &mut u64| {
        *n += 1;
        Some(*n - 1)
    };
    // Every character before the text is ASCII, or the line is no diff and is shown whole.
    let text = line.get(1..).unwrap_or(line).to_owned();
    match line.as_bytes().first() {
        Some(b'+') => DiffLine { class: "add", old: None, new: next(new), text },
        Some(b'-') => DiffLine { class: "del", old: next(old), new: None, text },
        Some(b'\\') => DiffLine { class: "hunk", old: None, new: None, text },
        Some(_) | None => DiffLine { class: "ctx", old: next(old), new: next(new), text },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "diff --git a/src/a b.rs b/src/a b.rs\nindex 1..2 100644\n--- a/src/a b.rs\n+++ b/src/a b.rs\n\
                        @@ -1,3 +1,3 @@ fn x\n one\n-two\n--- three\n+zwei\n+++ drei\n four\n\\ No newline at end of file\n";

    #[test]
    fn lines_are_numbered_and_told_apart() {
        let counts = [
            ChangedFile { path: "src/a b.rs".into(), added: 2, removed: 2 },
            ChangedFile { path: "logo.png".into(), added: 0, removed: 0 },
        ];
        let diff = parse(TEXT, &counts);
        let shown: Vec<String> = diff.files[0]
            .lines
            .iter()
            .map(|l| format!("{} {} {} {}", l.class, l.old.unwrap_or(0), l.new.unwrap_or(0), l.text))
            .collect();
        insta::assert_snapshot!(shown.join("\n"), @r"
        hunk 0 0 @@ -1,3 +1,3 @@ fn x
        ctx 1 1 one
        del 2 0 two
        del 3 0 -- three
        add 0 2 zwei
        add 0 3 ++ drei
        ctx 4 4 four
        hunk 0 0  No newline at end of file
        ");
        assert_eq!((diff.files[0].path.as_str(), diff.files[0].added), ("src/a b.rs", 2));
        assert_eq!((diff.files[1].path.as_str(), diff.files[1].open), ("logo.png", false));
    }

    #[test]
    fn a_huge_diff_is_cut_and_says_so() {
        let text = format!("diff --git a/x b/x\n@@ -0,0 +1,9000 @@\n{}", "+line\n".repeat(9_000));
        let diff = parse(&text, &[]);
        assert_eq!((diff.files[0].lines.len(), diff.left_out), (LINES, 4_001));
        assert!(!diff.files[0].open);
    }

    #[test]
    fn what_is_no_diff_does_no_harm() {
        assert_eq!(parse("", &[]), Diff::default());
        assert_eq!(parse("@@ nonsense\n+x", &[]), Diff::default());
        assert_eq!(parse("diff --git x\n@@ -1 +1 @@\nü", &[]).files[0].lines[1].text, "ü");
    }
}
