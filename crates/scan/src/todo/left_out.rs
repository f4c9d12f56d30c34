//! Why a tag, or a date beside it, was not reported, for people who wonder.
//!
//! **Design.** Nothing is kept while requests are looked for. Whoever asks pays for a second look, which goes over the
//! tags that no request opens with and asks the same rules again.

use std::fmt;

use super::blocks::{self, Block, Lines};
use super::{Todo, TodoOptions, head, in_language, shorten, tag};
use crate::language::Language;
use crate::lexer;

/// The most tags of one file that are explained.
const MAX_LEFT_OUT: usize = 1_000;

/// A line with a tag that asks for nothing, or with a part of a request that is not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Its number, from 1.
    pub line: u32,
    /// Why.
    pub reason: Reason,
    /// The line, at most 120 characters.
    pub text: String,
}

/// Why a tag asks for nothing, or a part of a request is ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// It is code, or inside a string.
    NotAComment,
    /// A part of a longer name: `MY_TODO`, `TODO.md`, `https://x.y/TODO`.
    Name,
    /// It belongs to the request above it.
    Continues,
    /// Inside a fenced example.
    Example,
    /// In a licence text.
    Licence,
    /// In quotes.
    Quoted,
    /// Commented-out code.
    Code,
    /// The sentence is about tags.
    AboutTags,
    /// In the middle of a sentence, or in other letters without a `:`.
    InASentence,
    /// The request is reported; the date in it is none, or not written as one.
    NoDate,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAComment => "not in a comment",
            Self::Name => "part of a name",
            Self::Continues => "belongs to the request above",
            Self::Example => "in an example",
            Self::Licence => "in a licence",
            Self::Quoted => "quoted",
            Self::Code => "commented-out code",
            Self::AboutTags => "speaks about tags",
            Self::InASentence => "in a sentence",
            Self::NoDate => "its date is not one like 2027-01-31",
        })
    }
}

/// The lines of a file in `language` that hold a tag and ask for nothing, or a date that is none, in order, at most 1,000.
pub(crate) fn left_out(language: &Language, source: &[u8], options: &TodoOptions) -> Vec<LeftOut> {
    let Some(prefilter) = &options.prefilter else { return Vec::new() };
    let lines = Lines::of(source);
    let comments = lexer::comments(language, source, options.markdown_fences);
    let blocks = blocks::blocks(source, &lines, &comments, |_, _| true);
    let found = in_language(language, source, options);
    let text = |number: usize| {
        let (from, to) = lines.range(number);
        shorten(String::from_utf8_lossy(&source[from..to.min(from + 1_000)]).trim())
    };
    let dateless = found.iter().filter(|todo| has_no_date(todo)).take(MAX_LEFT_OUT);
    let mut left: Vec<LeftOut> = dateless
        .map(|todo| LeftOut { line: todo.line, reason: Reason::NoDate, text: text(todo.line as usize) })
        .collect();
    for hit in prefilter.find_iter(source) {
        let (start, end) = (hit.start(), hit.end());
        let number = lines.number_at(start);
        let line = u32::try_from(number).unwrap_or(u32::MAX);
        let exact = options.tags.iter().any(|tag| tag.as_bytes() == &source[start..end]);
        let named = is_part_of_name(source, start, end);
        let known = left.last().is_some_and(|last| last.line == line) || found.iter().any(|todo| todo.line == line);
        // `debug` and `hackathon` interest nobody.
        if known || (named && !exact) {
            continue;
        }
        let reason = if found.iter().any(|todo| (todo.line..=todo.end_line).contains(&line)) {
            Reason::Continues
        } else if named {
            Reason::Name
        } else {
            let inside = |block: &&Block| block.start <= start && start < block.end;
            blocks.iter().find(inside).map_or(Reason::NotAComment, |block| in_comment(block, line, options))
        };
        if left.len() >= MAX_LEFT_OUT {
            break;
        }
        left.push(LeftOut { line, reason, text: text(number) });
    }
    left.sort_by_key(|left| left.line);
    left
}

/// Whether a request names a date that cannot be understood, and no other.
fn has_no_date(todo: &Todo) -> bool {
    todo.due.is_none() && todo.text.get(todo.kind.len()..).and_then(head::no_date).is_some()
}

fn is_part_of_name(source: &[u8], start: usize, end: usize) -> bool {
    let is_word = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || b"_$".contains(byte));
    let before = start.checked_sub(1).map(|at| &source[at]);
    let path = matches!(source.get(end), Some(b'.' | b'-' | b'/')) && is_word(source.get(end + 1));
    is_word(before) || is_word(source.get(end)) || path || matches!(before, Some(b'/' | b'.' | b'-'))
}

fn in_comment(block: &Block, line: u32, options: &TodoOptions) -> Reason {
    match block.lines.iter().find(|candidate| candidate.number == line) {
        Some(_) if block.licence => Reason::Licence,
        Some(line) if line.fenced => Reason::Example,
        Some(line) => tag::why_not(&line.text, &options.tags),
        None => Reason::NotAComment,
    }
}
