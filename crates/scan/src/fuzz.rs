//! Every reader of this crate, fed with anything.
//!
//! **Definition.** A *target* is a function from any bytes to nothing: it gives them to a reader and judges what comes
//! out. The first line of the bytes is the path of a file, the rest is what the file holds.
//!
//! **Wanted properties.** No input makes a target panic. What is judged holds of every file: spans lie in it, in order,
//! and never overlap; lines are lines of it; paths and names stay where they belong.
//!
//! **Design.** `crates/scan/fuzz` hands these functions to a fuzzer that is guided by coverage; the tests feed them with its
//! seeds, with what it found, and with changed seeds. The property tests of the readers use the same judgements.

use crate::functions::{Function, enclosing, functions};
use crate::language::Language;
use crate::lexer::{code, comments};
use crate::manifest::{MAX_DEPENDENCIES, dependencies};
use crate::sarif;
use crate::skip::Selection;
use crate::todo::TodoOptions;

/// A target.
pub type Target = fn(&[u8]);
/// Every target, by the name of its folder of seeds.
pub const TARGETS: [(&str, Target); 4] =
    [("lexer", lexer), ("functions", spans), ("manifest", manifest), ("sarif", sarif)];

/// The path and the bytes of a file.
fn file(input: &[u8]) -> (String, &[u8]) {
    let end = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
    (String::from_utf8_lossy(&input[..end]).into_owned(), input.get(end + 1..).unwrap_or_default())
}

fn lines_of(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.iter().filter(|byte| **byte == b'\n').count() + 1).expect("a file that fits into memory")
}

/// Comments, and the requests for work in them.
pub fn lexer(input: &[u8]) {
    let (path, source) = file(input);
    let Some(language) = Language::of(&path, source) else { return };
    lexed(language, source);
    let (selection, options) = (Selection::default(), TodoOptions::default().with_markdown_fences(true));
    for todo in selection.todos("a", source, &options).iter().chain(&selection.todos(&path, source, &options)).flatten()
    {
        assert!(todo.line >= 1 && todo.line <= todo.end_line && todo.end_line <= lines_of(source), "{todo:?}");
        assert!(todo.title.chars().count() <= 120 && todo.text.chars().count() <= 4_000, "{todo:?}");
    }
    let _ = selection.left_out(&path, source, &options);
}

/// Comments and literals are in order, in the file, and apart from each other.
pub(crate) fn lexed(language: &Language, source: &[u8]) {
    let mut last = 0;
    for comment in comments(language, source, true) {
        assert!(last <= comment.start, "{}: comments overlap", language.name);
        assert!(comment.start < comment.body_start, "{}: no marker", language.name);
        assert!(comment.body_start <= comment.body_end, "{}: body backwards", language.name);
        assert!(comment.body_end <= comment.end && comment.end <= source.len(), "{}: out of bounds", language.name);
        last = comment.end;
    }
    let Some(code) = code(language, source) else { return };
    assert_eq!(code.len(), source.len(), "{}: every byte keeps its place", language.name);
    let blank = |(code, byte): (&u8, &u8)| code == byte || (b"\" ".contains(code) && *byte != b'\n');
    assert!(code.iter().zip(source).all(blank), "{}: what is left is as it was", language.name);
}

/// Functions.
pub fn spans(input: &[u8]) {
    let (path, source) = file(input);
    if let Some(language) = Language::of(&path, source) {
        nested(language, source);
    }
}

/// Functions lie in the file and in each other, or side by side.
pub(crate) fn nested(language: &Language, source: &[u8]) {
    let (found, lines) = (functions(language, source), lines_of(source));
    let mut around: Vec<&Function> = Vec::new();
    for function in &found {
        assert!(function.first_line >= 1 && function.first_line <= function.last_line && function.last_line <= lines);
        assert!(!function.name.is_empty() && function.name.chars().count() <= 100 && function.complexity >= 1);
        around.retain(|outer| outer.last_line > function.first_line || outer.last_line >= function.last_line);
        let apart = around
            .last()
            .is_none_or(|outer| function.last_line <= outer.last_line || function.first_line >= outer.last_line);
        assert!(apart, "{}: {function:?} overlaps {:?}", language.name, around.last());
        around.push(function);
        assert!(enclosing(&found, function.last_line).is_some_and(|inner| inner.first_line >= function.first_line));
    }
}

/// Dependencies.
pub fn manifest(input: &[u8]) {
    let (path, bytes) = file(input);
    depended(&path, bytes);
}

/// Dependencies have names that fit into an address, and stand in order on lines of the file.
pub(crate) fn depended(path: &str, bytes: &[u8]) {
    let Ok(found) = dependencies(path, bytes) else { return };
    assert!(found.len() <= MAX_DEPENDENCIES);
    let mut before = 1;
    for one in found {
        assert!(one.line >= before && one.line <= lines_of(bytes), "{one:?} in {} lines", lines_of(bytes));
        before = one.line;
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~@/".contains(&byte);
        assert!(!one.name.is_empty() && one.name.len() <= 214 && one.name.bytes().all(fits), "{one:?}");
        assert!(!one.name.starts_with(['.', '/']) && !one.name.contains("/.") && !one.name.contains("//"), "{one:?}");
        for newest in ["0.0.1", "1.0.0", "99999999999999999999.1.1", "2.0.0-rc.1", one.requirement.as_str()] {
            let _ = one.behind(newest);
        }
    }
}

/// Results of other tools.
pub fn sarif(input: &[u8]) {
    reported(input);
}

/// Results are bounded, and about files of the repository.
pub(crate) fn reported(bytes: &[u8]) {
    for root in [None, Some("/checkout")] {
        for result in sarif::read(bytes, root).map(|report| report.results).unwrap_or_default() {
            let plain = |part: &str| !part.is_empty() && part != ".." && part != ".";
            assert!(result.path.is_empty() || result.path.split('/').all(plain), "{:?}", result.path);
            assert!(!result.path.chars().any(char::is_control) && result.path.len() <= sarif::MAX_PATH_BYTES);
            assert!(result.end_line >= result.line && (result.line > 0 || result.end_line == 0));
            assert!(result.message.chars().count() <= 4_000 && result.rule.chars().count() <= 200);
            assert!(result.fingerprint.is_none_or(|code| !code.is_empty() && !code.contains(char::is_whitespace)));
        }
    }
}

#[cfg(test)]
mod tests;
