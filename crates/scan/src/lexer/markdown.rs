//! Markdown: comments of HTML between paragraphs, and code in fences.

use memchr::{memchr, memmem};

use super::{Comment, CommentKind};
use crate::language::Language;

/// The comments of Markdown, with those of fenced code when `fences` says so.
pub(super) fn comments(source: &[u8], fences: bool) -> Vec<Comment> {
    let mut found = Vec::new();
    let mut pos = 0;
    let mut unclosed = false;
    while pos < source.len() {
        let end = line_end(source, pos);
        let line = &source[pos..end];
        if let Some(fence) = Fence::open(line) {
            let body = (end + 1).min(source.len());
            let (body_end, after) = fence.close(source, body);
            if let Some(language) = fence.language.filter(|_| fences) {
                let inside = super::comments(language, &source[body..body_end], false);
                found.extend(inside.into_iter().map(|comment| comment.moved(body)));
            }
            pos = after;
            continue;
        }
        match memmem::find(line, b"<!--").filter(|at| !unclosed && !in_code(line, *at)) {
            Some(at) => {
                let (start, body_start) = (pos + at, pos + at + 4);
                let Some(length) = memmem::find(&source[body_start..], b"-->") else {
                    unclosed = true;
                    continue;
                };
                let body_end = body_start + length;
                let comment = Comment { start, end: body_end + 3, body_start, body_end, kind: CommentKind::Block };
                pos = comment.end;
                found.push(comment);
            }
            None => pos = end + 1,
        }
    }
    found
}

fn line_end(source: &[u8], from: usize) -> usize {
    memchr(b'\n', &source[from..]).map_or(source.len(), |length| from + length)
}

/// Whether the byte at `at` is inside `` `code` ``.
fn in_code(line: &[u8], at: usize) -> bool {
    line[..at].iter().filter(|byte| **byte == b'`').count() % 2 == 1
}

struct Fence {
    mark: u8,
    length: usize,
    language: Option<&'static Language>,
}

impl Fence {
    fn open(line: &[u8]) -> Option<Self> {
        let text = line.trim_ascii();
        let mark = *text.first().filter(|byte| matches!(byte, b'`' | b'~'))?;
        let length = text.iter().take_while(|byte| **byte == mark).count();
        let info = String::from_utf8_lossy(&text[length..]);
        // Backticks after the mark make it code inside a line.
        if length < 3 || (mark == b'`' && info.contains('`')) {
            return None;
        }
        let name = info.trim().split([' ', ',', '{', ':']).next().unwrap_or_default();
        Some(Self { mark, length, language: Language::called(name) })
    }

    /// Where the code that begins at `from` ends, and where the line after the closing fence begins.
    fn close(&self, source: &[u8], from: usize) -> (usize, usize) {
        let mut pos = from;
        while pos < source.len() {
            let end = line_end(source, pos);
            let text = source[pos..end].trim_ascii();
            if text.len() >= self.length && text.iter().all(|byte| *byte == self.mark) {
                return (pos, end + 1);
            }
            pos = end + 1;
        }
        (source.len(), source.len())
    }
}
