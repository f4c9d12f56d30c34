//! Where the comments of a file are.
//!
//! **Definition.** A comment is what the language's rules say is one, outside strings; documentation strings are
//! strings. Comments are reported in order and never overlap.
//!
//! **Wanted properties.** Linear time and no panic on any bytes. One misread quote must not spoil the rest of a file:
//! strings of one line end with their line, and a string of many lines that would swallow the rest of the file is
//! taken for a stray quote.
//!
//! **Design.** One loop over an explicit stack: code at the bottom, a string above it, code again inside the string's
//! `${ … }`, and so on up to [`MAX_DEPTH`]. A table of 256 flags skips bytes that start nothing. What no table of rules
//! can hold is in `literals.rs`; languages inside HTML and PHP are in `markup.rs`, those inside Markdown in `markdown.rs`.
//!
//! **Verdict on ambiguity.** Some languages cannot be lexed without parsing (Perl, Ruby, JSX text). There the lexer
//! guesses as editors do, and the two recoveries above bound the damage of a wrong guess.

mod literals;
mod markdown;
mod markup;
#[cfg(test)]
mod tests;

use memchr::{memchr, memmem};

use crate::language::{At, Block, Escape, Heredoc, Hole, Language, Markup, Quirk, Rules, Text};

/// How deep strings and the code inside them may nest; deeper ones are read as plain text.
const MAX_DEPTH: usize = 64;
/// How often one file may be read again from a stray quote or a heredoc without an end.
const MAX_REWINDS: u32 = 16;
/// How often one file may guess wrong about a literal of bounded length.
const MAX_WRONG_GUESSES: u32 = 5_000;

/// How a comment ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommentKind {
    /// With its line.
    Line,
    /// With an end marker.
    Block,
}

/// One comment, as byte offsets into the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Comment {
    /// The first byte of the opening marker.
    pub start: usize,
    /// One past the last byte; a line comment does not hold its line break.
    pub end: usize,
    /// One past the opening marker.
    pub body_start: usize,
    /// The first byte of the end marker, or `end` where there is none.
    pub body_end: usize,
    /// How it ends.
    pub kind: CommentKind,
}

impl Comment {
    /// The same comment in a source that has `by` bytes more in front.
    fn moved(self, by: usize) -> Self {
        let Self { start, end, body_start, body_end, kind } = self;
        Self { start: start + by, end: end + by, body_start: body_start + by, body_end: body_end + by, kind }
    }
}

/// The comments of `source`, written in `language`, in order; with `fences` also those of the code in Markdown's fences.
#[must_use]
pub fn comments(language: &Language, source: &[u8], fences: bool) -> Vec<Comment> {
    match language.rules.markup {
        Some(Markup::Html) => markup::html(language.rules, source),
        Some(Markup::Markdown) => markdown::comments(source, fences),
        Some(Markup::Php) => markup::php(language.rules, source),
        None => Lexer::new(language.rules, source, 0).finish(),
    }
}

/// `source` with blanks for everything that is no code: comments, and quotation marks for every byte of a literal. Line
/// breaks stay, so that each byte of code is where it was. `None` for languages that hold others, except PHP.
pub(crate) fn code(language: &Language, source: &[u8]) -> Option<Vec<u8>> {
    let (comments, literals) = match language.rules.markup {
        Some(Markup::Html | Markup::Markdown) => return None,
        Some(Markup::Php) => markup::php_literals(language.rules, source),
        None => {
            let mut lexer = Lexer::new(language.rules, source, 0);
            lexer.literals = Some(Vec::new());
            lexer.run();
            (lexer.comments, lexer.literals.unwrap_or_default())
        }
    };
    let mut code = source.to_vec();
    let mut fill = |from: usize, to: usize, with: u8| {
        code[from..to].iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = with);
    };
    literals.into_iter().for_each(|(from, to)| fill(from, to, b'"'));
    comments.into_iter().for_each(|comment| fill(comment.start, comment.end, b' '));
    Some(code)
}

enum Frame {
    /// Inside a string; where it began and how many comments were known then.
    Text { text: &'static Text, start: usize, comments: usize },
    /// Inside a string's code, until as many `down` as `up`.
    Code { up: u8, down: u8, depth: u32 },
}

struct PendingHeredoc<'a> {
    label: &'a [u8],
    style: Heredoc,
}

struct Lexer<'a> {
    rules: &'static Rules,
    source: &'a [u8],
    /// Where this lexer began; it never looks further back.
    start: usize,
    pos: usize,
    /// What ends the code of this language inside another one: `?>`.
    stop: Option<&'static [u8]>,
    starts_something: [bool; 256],
    stack: Vec<Frame>,
    heredocs: Vec<PendingHeredoc<'a>>,
    comments: Vec<Comment>,
    /// Where the bytes of literals are, when somebody wants to know.
    literals: Option<Vec<(usize, usize)>>,
    rewinds: u32,
    wrong_guesses: u32,
}

impl<'a> Lexer<'a> {
    fn new(rules: &'static Rules, source: &'a [u8], start: usize) -> Self {
        Self {
            rules,
            source,
            start,
            pos: start,
            stop: None,
            starts_something: literals::first_bytes(rules),
            stack: Vec::new(),
            heredocs: Vec::new(),
            comments: Vec::new(),
            literals: None,
            rewinds: MAX_REWINDS,
            wrong_guesses: MAX_WRONG_GUESSES,
        }
    }

    fn finish(mut self) -> Vec<Comment> {
        self.run();
        self.comments
    }

    /// Reads up to the end, or up to `stop` in code; `pos` tells which.
    fn run(&mut self) {
        loop {
            while self.pos < self.source.len() {
                match self.stack.last() {
                    Some(Frame::Text { text, .. }) => {
                        let (text, from) = (*text, self.pos);
                        self.read_text(text);
                        self.literal(from);
                    }
                    Some(Frame::Code { .. }) | None => {
                        if self.stack.is_empty() && self.stop.is_some_and(|stop| self.rest().starts_with(stop)) {
                            return;
                        }
                        self.read_code();
                    }
                }
            }
            self.pos = self.source.len();
            if !self.rewind() {
                return;
            }
        }
    }

    /// Notes that everything since `from` is part of a literal.
    fn literal(&mut self, from: usize) {
        if let Some(literals) = &mut self.literals {
            literals.push((from, self.pos.min(self.source.len())));
        }
    }

    fn rest(&self) -> &'a [u8] {
        &self.source[self.pos..]
    }

    /// The byte before `pos`, if this lexer has read one.
    fn previous(&self) -> Option<u8> {
        if self.pos > self.start { Some(self.source[self.pos - 1]) } else { None }
    }

    fn after_word(&self) -> bool {
        self.previous().is_some_and(is_word)
    }

    /// A string of many lines that reached the end of the file began with a stray quote: go on right after it.
    fn rewind(&mut self) -> bool {
        let stray = self.stack.iter().position(|frame| matches!(frame, Frame::Text { text, .. } if text.multiline));
        let Some(index) = stray.filter(|_| self.rewinds > 0) else {
            return false;
        };
        let Frame::Text { text, start, comments } = &self.stack[index] else {
            return false;
        };
        self.rewinds -= 1;
        self.pos = start + text.open.len();
        self.comments.truncate(*comments);
        if let Some(literals) = &mut self.literals {
            let known = literals.partition_point(|(from, _)| from < start);
            literals.truncate(known);
        }
        self.stack.truncate(index);
        self.heredocs.clear();
        true
    }

    fn read_text(&mut self, text: &'static Text) {
        let (open, close) = (text.open, text.close.as_bytes());
        debug_assert!(!open.is_empty() && !close.is_empty(), "a rule has markers");
        let escape = if let Escape::Byte(byte) = text.escape { byte } else { close[0] };
        let ends_something = |byte: u8| byte == close[0] || byte == escape || byte == b'\n';
        while self.pos < self.source.len() {
            let rest = self.rest();
            if text.holes.is_empty() && !ends_something(rest[0]) {
                self.pos += rest.iter().position(|byte| ends_something(*byte)).unwrap_or(rest.len());
                continue;
            }
            match text.escape {
                Escape::Byte(byte) if rest[0] == byte => {
                    self.pos += if rest.starts_with(b"\\\r\n") { 3 } else { 2 };
                    continue;
                }
                Escape::Doubled if rest.starts_with(close) && rest[close.len()..].starts_with(close) => {
                    self.pos += 2 * close.len();
                    continue;
                }
                Escape::NixIndented if is_nix_escape(rest) => {
                    self.pos += 3;
                    continue;
                }
                Escape::Byte(_) | Escape::Doubled | Escape::NixIndented | Escape::None => {}
            }
            if rest.starts_with(close) {
                self.pos += close.len();
                self.stack.pop();
                return;
            }
            if rest[0] == b'\n' && !text.multiline {
                self.stack.pop();
                return;
            }
            if self.enter_hole(text) {
                return;
            }
            self.pos += 1;
        }
    }

    /// Steps into code inside a string, or over its brackets; whether it did step into code.
    fn enter_hole(&mut self, text: &'static Text) -> bool {
        for hole in text.holes {
            match hole {
                Hole::Code { open, up, down } if self.rest().starts_with(open.as_bytes()) => {
                    if self.stack.len() >= MAX_DEPTH {
                        return false;
                    }
                    self.pos += open.len();
                    self.stack.push(Frame::Code { up: *up, down: *down, depth: 0 });
                    return true;
                }
                Hole::Braces { open } if self.rest().starts_with(open.as_bytes()) => {
                    self.skip_braces();
                    // The loop of the caller steps over the last brace.
                    self.pos -= 1;
                    return false;
                }
                Hole::Code { .. } | Hole::Braces { .. } => {}
            }
        }
        false
    }

    fn read_code(&mut self) {
        let byte = self.source[self.pos];
        if let Some(Frame::Code { up, down, depth }) = self.stack.last_mut() {
            if byte == *up {
                *depth += 1;
            } else if byte == *down {
                if *depth == 0 {
                    self.stack.pop();
                    self.pos += 1;
                    self.literal(self.pos - 1);
                    return;
                }
                *depth -= 1;
            }
        }
        if byte == b'\n' && !self.heredocs.is_empty() {
            let from = self.pos;
            self.skip_heredocs();
            self.literal(from);
            return;
        }
        if !self.starts_something[usize::from(byte)] {
            self.pos += 1;
            // Most code is plain: nothing but a bracket of a string's code and a line break before a heredoc counts.
            if self.stack.is_empty() && self.heredocs.is_empty() && self.stop.is_none() {
                let plain = self.rest().iter().position(|byte| self.starts_something[usize::from(*byte)]);
                self.pos = plain.map_or(self.source.len(), |length| self.pos + length);
            }
            return;
        }
        let from = self.pos;
        if self.read_quirk() {
            self.literal(from);
        } else if !self.read_block_comment() && !self.read_line_comment() {
            if self.open_text() {
                self.literal(from);
            } else {
                self.pos += 1;
            }
        }
    }

    fn read_quirk(&mut self) -> bool {
        self.rules.quirks.iter().any(|quirk| self.try_quirk(*quirk))
    }

    fn try_quirk(&mut self, quirk: Quirk) -> bool {
        match quirk {
            Quirk::RustRaw => self.rust_raw(),
            Quirk::CppRaw => self.cpp_raw(),
            Quirk::Char => self.char_literal(),
            Quirk::CharNotAfterWord => self.char_not_after_word(),
            Quirk::CharPrefix(prefix) => self.char_prefix(prefix),
            Quirk::Regex => self.regex(),
            Quirk::RubyRegex => self.ruby_regex(),
            Quirk::DollarQuote => self.dollar_quote(),
            Quirk::Heredoc(style) => self.heredoc(style),
            Quirk::ShellBraces => self.rest().starts_with(b"${") && self.skip_braces(),
            Quirk::LongBracket => self.long_bracket(),
            Quirk::Percent => self.percent(),
            Quirk::PerlQuote => self.perl_quote(),
            Quirk::Pod => self.pod(),
            Quirk::EndMarker => self.end_marker(),
            Quirk::OcamlQuoted => self.ocaml_quoted(),
            Quirk::CssUrl => self.css_url(),
            Quirk::Backslash => self.backslash(),
        }
    }

    fn allowed(&self, at: At, marker: &str) -> bool {
        let previous = self.previous();
        match at {
            At::Anywhere => true,
            At::AfterSpace => previous.is_none_or(|byte| byte.is_ascii_whitespace()),
            At::WordStart => previous.is_none_or(|byte| byte.is_ascii_whitespace() || b";&|()`".contains(&byte)),
            At::Loose => {
                let after = self.rest().get(marker.len());
                let ends = after.is_none_or(|byte| byte.is_ascii_whitespace() || marker.as_bytes().contains(byte));
                ends && previous.is_none_or(|byte| byte.is_ascii_whitespace())
            }
            At::NotBeforeBracket => self.rest().get(marker.len()) != Some(&b'['),
            At::Column1 => previous.is_none_or(|byte| byte == b'\n'),
            At::NotAfterDollar => previous != Some(b'$'),
            At::LineStart => {
                let before = &self.source[self.start..self.pos];
                before.iter().rev().find(|byte| !matches!(byte, b' ' | b'\t')).is_none_or(|byte| *byte == b'\n')
            }
            At::NotOperator => {
                let after = self.rest()[marker.len()..].iter().find(|byte| **byte != b'-');
                !previous.is_some_and(is_operator) && !after.is_some_and(|byte| is_operator(*byte))
            }
        }
    }

    fn read_line_comment(&mut self) -> bool {
        let found = self
            .rules
            .line
            .iter()
            .find(|line| self.rest().starts_with(line.open.as_bytes()) && self.allowed(line.at, line.open));
        let Some(line) = found else { return false };
        let body_start = self.pos + line.open.len();
        let line_end = memchr(b'\n', &self.source[body_start..]).map_or(self.source.len(), |at| body_start + at);
        let stop = self.stop.and_then(|stop| memmem::find(&self.source[body_start..line_end], stop));
        let mut end = stop.map_or(line_end, |at| body_start + at);
        if end > body_start && self.source[end - 1] == b'\r' {
            end -= 1;
        }
        self.comments.push(Comment { start: self.pos, end, body_start, body_end: end, kind: CommentKind::Line });
        self.pos = end;
        true
    }

    fn read_block_comment(&mut self) -> bool {
        let found = self
            .rules
            .block
            .iter()
            .find(|block| self.rest().starts_with(block.open.as_bytes()) && self.allowed(block.at, block.open));
        let Some(block) = found else { return false };
        let comment = block_comment(block, self.source, self.pos);
        self.comments.push(comment);
        self.pos = comment.end;
        true
    }

    fn open_text(&mut self) -> bool {
        let not_operand = !self.previous().is_some_and(|byte| is_word(byte) || b")]}'.".contains(&byte));
        let found = self
            .rules
            .strings
            .iter()
            .find(|text| self.rest().starts_with(text.open.as_bytes()) && (!text.not_after_word || not_operand));
        let Some(text) = found else { return false };
        if self.stack.len() >= MAX_DEPTH {
            return false;
        }
        self.stack.push(Frame::Text { text, start: self.pos, comments: self.comments.len() });
        self.pos += text.open.len();
        true
    }
}

/// The block comment that opens at `start`; one without an end reaches to the end of the file.
fn block_comment(block: &Block, source: &[u8], start: usize) -> Comment {
    let (open, close) = (block.open.as_bytes(), block.close.as_bytes());
    let body_start = start + open.len();
    let mut depth = 1_u32;
    let mut from = body_start;
    while let Some(at) = memmem::find(&source[from.min(source.len())..], close).map(|at| from + at) {
        // Every opening before this end marker makes one more end marker necessary.
        while block.nested
            && let Some(inner) = memmem::find(&source[from..at], open)
        {
            depth += 1;
            from += inner + open.len();
        }
        depth -= 1;
        from = at + close.len();
        if depth == 0 {
            return Comment { start, end: from, body_start, body_end: at, kind: CommentKind::Block };
        }
    }
    let end = source.len();
    Comment { start, end, body_start: body_start.min(end), body_end: end, kind: CommentKind::Block }
}

fn is_nix_escape(rest: &[u8]) -> bool {
    rest.starts_with(b"''") && rest.get(2).is_some_and(|byte| b"'$\\".contains(byte))
}

fn is_word(byte: u8) -> bool {
    byte == b'_' || byte.is_ascii_alphanumeric() || byte >= 0x80
}

fn is_operator(byte: u8) -> bool {
    b"!#$%&*+./<=>?@\\^|~:".contains(&byte)
}
