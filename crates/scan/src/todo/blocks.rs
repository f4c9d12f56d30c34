//! Comments as lines without decoration, grouped into the blocks that people read as one.

use memchr::memchr_iter;

use crate::lexer::{Comment, CommentKind};

/// Licence texts stand at the top; a block that begins after this line is none.
const LAST_LICENCE_LINE: u32 = 40;
/// What only licence texts say, in lower case.
const LICENCE_WORDS: [&str; 8] = [
    "copyright",
    "spdx-license",
    "all rights reserved",
    "permission is hereby",
    "licensed under",
    "public license",
    "the software is provided",
    "redistribution and use",
];

/// Where the lines of a source begin.
pub(super) struct Lines {
    starts: Vec<usize>,
    length: usize,
}

impl Lines {
    pub(super) fn of(source: &[u8]) -> Self {
        let starts = std::iter::once(0).chain(memchr_iter(b'\n', source).map(|at| at + 1)).collect();
        Self { starts, length: source.len() }
    }

    pub(super) fn count(&self) -> usize {
        self.starts.len()
    }

    /// The number, from 1, of the line that holds the byte at `offset`.
    pub(super) fn number_at(&self, offset: usize) -> usize {
        self.starts.partition_point(|start| *start <= offset)
    }

    /// Where line `number` (from 1) begins and ends, without its line break.
    pub(super) fn range(&self, number: usize) -> (usize, usize) {
        let start = self.starts[number - 1];
        (start, self.starts.get(number).map_or(self.length, |next| next - 1))
    }
}

/// One line of a comment.
#[derive(Debug)]
pub(super) struct CommentLine {
    /// Its number in the file, from 1.
    pub(super) number: u32,
    /// How many bytes of its line stand before the text.
    pub(super) column: usize,
    /// What it says, without markers, decoration and white space around it.
    pub(super) text: String,
    /// Whether it is inside a fenced example.
    pub(super) fenced: bool,
}

impl CommentLine {
    /// Whether it says nothing: white space, or a ruler such as `-----`.
    pub(super) fn is_empty(&self) -> bool {
        !self.text.contains(|c: char| c.is_alphanumeric())
    }
}

/// Lines of comments that belong together.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) lines: Vec<CommentLine>,
    /// The first byte of the first comment.
    pub(super) start: usize,
    /// One past the last byte of the last comment.
    pub(super) end: usize,
    /// Whether it is a licence header.
    pub(super) licence: bool,
}

/// The blocks of a file that `wanted` accepts by their first byte and the one past their last: each block comment is one,
/// and so are line comments below each other that look the same.
pub(super) fn blocks(
    source: &[u8],
    lines: &Lines,
    comments: &[Comment],
    wanted: impl Fn(usize, usize) -> bool,
) -> Vec<Block> {
    let mut groups: Vec<std::ops::Range<usize>> = Vec::new();
    let mut last: Option<(usize, usize, &[u8])> = None;
    for (index, comment) in comments.iter().enumerate() {
        let number = lines.number_at(comment.start);
        let (line_start, _) = lines.range(number);
        let column = comment.start - line_start;
        let shape = match comment.kind {
            CommentKind::Line => Some((number, column, marker(source, comment))),
            CommentKind::Block => None,
        };
        let continues = match (last, shape) {
            (Some((above, above_column, above_marker)), Some((_, _, marker))) => {
                above + 1 == number
                    && above_column == column
                    && above_marker == marker
                    && source[line_start..comment.start].iter().all(u8::is_ascii_whitespace)
            }
            _ => false,
        };
        match groups.last_mut().filter(|_| continues) {
            Some(group) => group.end = index + 1,
            None => groups.push(index..index + 1),
        }
        last = shape;
    }
    let groups = groups.into_iter().map(|group| &comments[group]);
    groups
        .filter(|group| wanted(group[0].start, group[group.len() - 1].end))
        .map(|group| block(source, lines, group))
        .collect()
}

fn block(source: &[u8], lines: &Lines, comments: &[Comment]) -> Block {
    let mut block = Block {
        lines: comments.iter().flat_map(|comment| comment_lines(source, lines, comment)).collect(),
        start: comments[0].start,
        end: comments[comments.len() - 1].end,
        licence: false,
    };
    block.licence = is_licence(&block);
    mark_fences(&mut block);
    block
}

/// The marker as written: `//`, `///`, `##`.
fn marker<'a>(source: &'a [u8], comment: &Comment) -> &'a [u8] {
    let text = &source[comment.start..comment.end];
    let opening = comment.body_start - comment.start;
    let more = text[opening..].iter().take(8).take_while(|byte| b"/!#;%<".contains(byte)).count();
    &text[..opening + more]
}

fn comment_lines(source: &[u8], lines: &Lines, comment: &Comment) -> Vec<CommentLine> {
    let first = lines.number_at(comment.body_start);
    let last = lines.number_at(comment.body_end.max(comment.body_start + 1) - 1).max(first);
    (first..=last)
        .map(|number| {
            let (start, end) = lines.range(number);
            let from = start.max(comment.body_start);
            let body = &source[from..end.min(comment.body_end).max(from)];
            let (skipped, text) = strip(body, number == first, comment.kind);
            CommentLine {
                number: u32::try_from(number).unwrap_or(u32::MAX),
                column: from - start + skipped,
                text,
                fenced: false,
            }
        })
        .collect()
}

/// The text of one line and how many bytes of decoration stand before it.
fn strip(body: &[u8], first: bool, kind: CommentKind) -> (usize, String) {
    let body = String::from_utf8_lossy(body);
    let decoration: &[char] = match (kind, first) {
        (CommentKind::Line, _) => &['/', '!', '#', ';', '%', '<'],
        (CommentKind::Block, true) => &['*', '!', '<'],
        (CommentKind::Block, false) => &[],
    };
    let mut text = body.trim_start_matches(decoration).trim_start();
    if kind == CommentKind::Block && !first {
        let rest = text.trim_start_matches('*');
        // `*emphasis*` is no decoration.
        let emphasis = rest.starts_with(|c: char| c.is_alphanumeric()) && text[text.len() - rest.len()..].contains('*');
        text = if emphasis { text } else { rest.trim_start() };
    }
    let skipped = body.len() - text.len();
    let mut text = text.trim_end();
    // The right side of a box.
    while let Some(inner) = text.strip_suffix(['*', '#', '|']) {
        if !inner.is_empty() && !inner.ends_with([' ', '\t', '*', '#', '|']) {
            break;
        }
        text = inner.trim_end();
    }
    (skipped, text.to_owned())
}

fn is_licence(block: &Block) -> bool {
    let starts_early = block.lines.first().is_some_and(|line| line.number <= LAST_LICENCE_LINE);
    starts_early
        && block.lines.iter().any(|line| {
            let text = line.text.to_lowercase();
            LICENCE_WORDS.iter().any(|word| text.contains(word))
        })
}

/// Marks what stands between pairs of code fences; an odd fence out is no fence.
fn mark_fences(block: &mut Block) {
    let is_fence = |line: &CommentLine| line.text.starts_with("```") || line.text.starts_with("~~~");
    let mut left = block.lines.iter().filter(|line| is_fence(line)).count() / 2 * 2;
    let mut inside = false;
    for line in &mut block.lines {
        if left > 0 && is_fence(line) {
            left -= 1;
            inside = !inside;
            line.fenced = true;
        } else {
            line.fenced = inside;
        }
    }
}
