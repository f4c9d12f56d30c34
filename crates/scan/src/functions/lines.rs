//! Functions of languages that indent their bodies, with or without an `end`.

use super::tokens::{self, Token, Tokens, is_word};
use super::{Function, name};

/// Words that may stand before the one that begins a function.
const MODIFIERS: [&str; 16] = [
    "async",
    "local",
    "private",
    "public",
    "protected",
    "static",
    "export",
    "override",
    "final",
    "shared",
    "friend",
    "inline",
    "pub",
    "overrides",
    "overridable",
    "private_class_method",
];
/// Words in the column of a function's head that do not end it.
const GO_ON: [&str; 5] = ["rescue", "ensure", "else", "catch", "after"];
/// How wide a tab is.
const TAB: usize = 8;

struct Open {
    function: usize,
    indent: usize,
}

pub(super) fn functions(code: &[u8], openers: &[&str], end: bool) -> Vec<Function> {
    let mut reader = Reader { openers, end, functions: Vec::new(), open: Vec::new(), brackets: 0, last: 0 };
    let mut before: Option<Token<'_>> = None;
    for token in Tokens::of(code, false) {
        // The rest of a literal of many lines begins at the margin.
        if token.first && !(token.kind == tokens::Kind::Literal && token.at_margin) {
            reader.begin_line(code, &token);
        }
        let closes = before.as_ref().is_some_and(|before| before.line < token.line);
        if closes {
            reader.close_one_liner(code, before.as_ref());
        }
        reader.brackets = match token.text {
            b"(" | b"[" | b"{" => reader.brackets.saturating_add(1),
            b")" | b"]" | b"}" => reader.brackets.saturating_sub(1),
            _ => reader.brackets,
        };
        if tokens::forks(code, &token, before.as_ref(), false)
            && let Some(open) = reader.open.last()
        {
            let complexity = &mut reader.functions[open.function].complexity;
            *complexity = complexity.saturating_add(1);
        }
        reader.last = token.line;
        before = Some(token);
    }
    while let Some(open) = reader.open.pop() {
        reader.functions[open.function].last_line = reader.last;
    }
    reader.functions
}

struct Reader<'a> {
    openers: &'a [&'a str],
    end: bool,
    functions: Vec<Function>,
    open: Vec<Open>,
    /// How many brackets are open; inside them indentation means nothing.
    brackets: u32,
    /// The last line with code so far.
    last: u32,
}

impl Reader<'_> {
    fn begin_line(&mut self, code: &[u8], token: &Token<'_>) {
        let head = self.head(code, token);
        // A head at the start of a line is never inside brackets: one of them was misread.
        if self.brackets > 0 && head.is_none() {
            return;
        }
        self.brackets = 0;
        let indent = indent(code, token.start);
        self.close(token, indent);
        if let Some(name) = head {
            self.open.push(Open { function: self.functions.len(), indent });
            self.functions.push(Function { name, first_line: token.line, last_line: token.line, complexity: 1 });
        }
    }

    /// Ends the functions that a line with this indentation is no longer part of.
    fn close(&mut self, token: &Token<'_>, indent: usize) {
        let is_end = self.end && token.text.get(..3).is_some_and(|start| start.eq_ignore_ascii_case(b"end"));
        while let Some(open) = self.open.last().filter(|open| indent <= open.indent) {
            if self.end && open.indent == indent && GO_ON.iter().any(|word| token.is(word)) {
                return;
            }
            let mine = is_end && open.indent == indent;
            self.functions[open.function].last_line = if mine { token.line } else { self.last };
            self.open.pop();
            if mine {
                return;
            }
        }
    }

    /// `def name; …; end` ends on its own line, whose last piece is `last`.
    fn close_one_liner(&mut self, code: &[u8], last: Option<&Token<'_>>) {
        let Some(last) = last.filter(|last| self.end && last.is("end")) else { return };
        let here = |open: &&Open| self.functions[open.function].first_line == last.line;
        // An `end` on a line of its own has ended its function already.
        if let Some(open) = self.open.last().filter(here).filter(|_| !begins_line(code, last.start)) {
            self.functions[open.function].last_line = last.line;
            self.open.pop();
        }
    }

    /// The name of the function whose head begins at `token`, the first of its line.
    fn head(&self, code: &[u8], token: &Token<'_>) -> Option<String> {
        if !token.is_word() {
            return None;
        }
        let end = memchr::memchr(b'\n', &code[token.start..]).map_or(code.len(), |length| token.start + length);
        let mut rest = &code[token.start..end];
        loop {
            let word = run(rest);
            if self.openers.iter().any(|opener| word == opener.as_bytes() || opener.as_bytes() == with_mark(rest, word))
            {
                return name_after(&rest[with_mark(rest, word).len().max(word.len())..]);
            }
            let after = rest[word.len()..].trim_ascii_start();
            if MODIFIERS.iter().any(|modifier| word.eq_ignore_ascii_case(modifier.as_bytes())) {
                rest = after;
                continue;
            }
            // `M.name = function(…)`
            let assigned = after.strip_prefix(b"=").map(<[u8]>::trim_ascii_start)?;
            let opened = self.end && self.openers.iter().any(|opener| run(assigned) == opener.as_bytes());
            return name(word).filter(|_| opened);
        }
    }
}

/// `function!` where the word is `function`.
fn with_mark<'a>(rest: &'a [u8], word: &[u8]) -> &'a [u8] {
    &rest[..word.len() + usize::from(rest.get(word.len()) == Some(&b'!'))]
}

/// The name behind the word that begins a function: `Foo.bar?`, `name=`, `==`, and in MATLAB `b` of `[a] = b(c)`.
fn name_after(rest: &[u8]) -> Option<String> {
    let mut rest = rest.strip_prefix(b" ").or_else(|| rest.strip_prefix(b"\t"))?.trim_ascii_start();
    let head = rest.split(|byte| *byte == b'(').next().unwrap_or(rest);
    if let Some(at) = memchr::memmem::find(head, b" = ").filter(|at| rest.len() > head.len() && *at > 0) {
        rest = rest[at + 3..].trim_ascii_start();
    }
    let mut word = run(rest);
    if word.is_empty() {
        let operator = rest.iter().take_while(|byte| !byte.is_ascii_whitespace() && **byte != b'(').count();
        return name(&rest[..operator]);
    }
    if let Some([b'?' | b'!', ..] | [b'=', b'(', ..]) = rest.get(word.len()..) {
        word = &rest[..=word.len()];
    }
    name(word)
}

/// The name at the start of `rest`, with its dots and colons.
fn run(rest: &[u8]) -> &[u8] {
    let length = rest.iter().take_while(|byte| is_word(**byte) || b".:-".contains(byte)).count();
    let run = &rest[..length];
    let end = run.iter().rposition(|byte| is_word(*byte)).map_or(0, |last| last + 1);
    &run[..end]
}

fn begins_line(code: &[u8], start: usize) -> bool {
    code[..start].iter().rev().take_while(|byte| **byte != b'\n').all(u8::is_ascii_whitespace)
}

/// How far the byte at `start` is indented.
fn indent(code: &[u8], start: usize) -> usize {
    let line = memchr::memrchr(b'\n', &code[..start]).map_or(0, |at| at + 1);
    code[line..start].iter().fold(0, |column, byte| if *byte == b'\t' { (column / TAB + 1) * TAB } else { column + 1 })
}
