//! Literals that need more than a pair of markers. Every function here either steps over one whole literal and says
//! so, or leaves the position alone.

use memchr::{memchr, memchr_iter, memmem};

use super::{Lexer, PendingHeredoc, is_word};
use crate::language::{At, Heredoc, Quirk, Rules};

/// The longest regular expression literal and the longest `${…}`, in bytes.
const MAX_GUESS: usize = 1_000;
/// The longest regular expression over many lines, in bytes.
const MAX_REGEX_BYTES: usize = 8_000;
/// The longest character literal, in bytes: `'\u{10ffff}'`.
const MAX_CHAR: usize = 12;
/// How many heredocs may wait for the end of one line.
const MAX_HEREDOCS: usize = 16;
/// How many comments the search for the operand before a `/` looks through.
const MAX_COMMENTS_BEFORE_REGEX: usize = 16;

/// After these words an operand follows, so a `/` begins a regular expression.
const BEFORE_OPERAND: [&[u8]; 28] = [
    b"return",
    b"typeof",
    b"case",
    b"in",
    b"of",
    b"delete",
    b"void",
    b"throw",
    b"new",
    b"else",
    b"do",
    b"instanceof",
    b"await",
    b"yield",
    b"if",
    b"unless",
    b"while",
    b"until",
    b"and",
    b"or",
    b"not",
    b"when",
    b"split",
    b"grep",
    b"map",
    b"join",
    b"then",
    b"elsif",
];

/// Which bytes can start anything but plain code.
pub(super) fn first_bytes(rules: &Rules) -> [bool; 256] {
    let mut flags = [false; 256];
    let markers = rules.line.iter().map(|line| line.open);
    let markers = markers.chain(rules.block.iter().map(|block| block.open));
    let markers = markers.chain(rules.strings.iter().map(|text| text.open));
    let quirks = rules.quirks.iter().flat_map(|quirk| match quirk {
        Quirk::RustRaw => b"rbc",
        Quirk::CppRaw => b"R".as_slice(),
        Quirk::Char | Quirk::CharNotAfterWord => b"'",
        Quirk::CharPrefix(b'?') => b"?",
        Quirk::CharPrefix(_) | Quirk::ShellBraces | Quirk::DollarQuote => b"$",
        Quirk::Regex | Quirk::RubyRegex => b"/",
        Quirk::Heredoc(_) => b"<",
        Quirk::LongBracket => b"[-",
        Quirk::Percent => b"%",
        Quirk::PerlQuote => b"qmsty",
        Quirk::Pod => b"=",
        Quirk::EndMarker => b"_",
        Quirk::OcamlQuoted => b"{",
        Quirk::CssUrl => b"u",
        Quirk::Backslash => b"\\",
    });
    for byte in markers.filter_map(|marker| marker.as_bytes().first()).chain(quirks) {
        flags[usize::from(*byte)] = true;
    }
    flags
}

impl<'a> Lexer<'a> {
    /// Goes to `end` bytes after the position.
    fn step(&mut self, length: usize) -> bool {
        self.pos = (self.pos + length).min(self.source.len());
        true
    }

    pub(super) fn rust_raw(&mut self) -> bool {
        let rest = self.rest();
        let prefix = if rest.starts_with(b"br") || rest.starts_with(b"cr") { 2 } else { 1 };
        if self.after_word() || rest.get(prefix - 1) != Some(&b'r') {
            return false;
        }
        let hashes = rest[prefix..].iter().take(255).take_while(|byte| **byte == b'#').count();
        let body = prefix + hashes + 1;
        if rest.get(prefix + hashes) != Some(&b'"') {
            return false;
        }
        let is_close = |at: &usize| {
            let after = &rest[body + at + 1..];
            after.len() >= hashes && after[..hashes].iter().all(|byte| *byte == b'#')
        };
        let close = memchr_iter(b'"', &rest[body..]).find(is_close);
        self.step(close.map_or(rest.len(), |at| body + at + 1 + hashes))
    }

    pub(super) fn cpp_raw(&mut self) -> bool {
        let rest = self.rest();
        let before = &self.source[self.start..self.pos];
        let prefixed = [&b"u8"[..], b"u", b"U", b"L"].iter().any(|prefix| {
            before.strip_suffix(*prefix).is_some_and(|before| !before.last().is_some_and(|byte| is_word(*byte)))
        });
        if !rest.starts_with(b"R\"") || (self.after_word() && !prefixed) || self.rewinds == 0 {
            return false;
        }
        let Some(length) = rest[2..].iter().take(17).position(|byte| *byte == b'(') else {
            return false;
        };
        let mut close = vec![b')'];
        close.extend_from_slice(&rest[2..2 + length]);
        close.push(b'"');
        let Some(at) = memmem::find(&rest[2 + length..], &close) else {
            self.rewinds -= 1;
            return false;
        };
        self.step(2 + length + at + close.len())
    }

    /// `'a'`, `'\n'`, `'é'`; anything else is a lifetime, a digit separator, an attribute: just a quote.
    pub(super) fn char_literal(&mut self) -> bool {
        let rest = self.rest();
        if rest.first() != Some(&b'\'') {
            return false;
        }
        let length = match rest.get(1) {
            Some(b'\\') => rest.iter().take(MAX_CHAR).skip(3).position(|byte| *byte == b'\'').map(|at| at + 4),
            Some(byte) if *byte != b'\n' => {
                let width = 1 + rest[2..].iter().take(3).take_while(|byte| **byte & 0xc0 == 0x80).count();
                (rest.get(1 + width) == Some(&b'\'')).then_some(width + 2)
            }
            Some(_) | None => None,
        };
        self.step(length.unwrap_or(1))
    }

    pub(super) fn char_not_after_word(&mut self) -> bool {
        if self.rest().first() != Some(&b'\'') {
            return false;
        }
        if self.after_word() || self.previous() == Some(b'\'') { self.step(1) } else { self.char_literal() }
    }

    pub(super) fn char_prefix(&mut self, prefix: u8) -> bool {
        let rest = self.rest();
        if rest.first() != Some(&prefix) || self.after_word() {
            return false;
        }
        match rest.get(1) {
            Some(b'\\') => self.step(3),
            Some(byte) if !byte.is_ascii_whitespace() && !rest.get(2).is_some_and(|after| is_word(*after)) => {
                self.step(2)
            }
            Some(_) | None => false,
        }
    }

    /// `` $` ``, `$'`, `$"`: variables, not quotes.
    pub(super) fn dollar_quote(&mut self) -> bool {
        matches!(self.rest(), [b'$', b'`' | b'\'' | b'"' | b'/', ..]) && self.step(2)
    }

    pub(super) fn backslash(&mut self) -> bool {
        // A line break keeps its meaning: line markers and heredocs depend on it.
        let rest = self.rest();
        rest.first() == Some(&b'\\') && rest.get(1).is_some_and(|byte| *byte != b'\n') && self.step(2)
    }

    /// `${…}` with balanced braces; only the opening when it is not closed soon.
    pub(super) fn skip_braces(&mut self) -> bool {
        let rest = self.rest();
        let limit = if self.wrong_guesses > 0 { rest.len().min(MAX_GUESS) } else { 2 };
        let (mut depth, mut at) = (0_u32, 0);
        while at < limit {
            match rest[at] {
                b'\\' => at += 1,
                b'{' => depth += 1,
                b'}' if depth == 1 => return self.step(at + 1),
                b'}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            at += 1;
        }
        self.wrong_guesses = self.wrong_guesses.saturating_sub(1);
        self.step(2)
    }

    /// Whether an operand may start here, judged by what stands before.
    fn operand_may_start(&self) -> bool {
        let mut end = self.pos;
        let mut comments = self.comments.iter().rev().take(MAX_COMMENTS_BEFORE_REGEX);
        let mut comment = comments.next();
        loop {
            while end > self.start && self.source[end - 1].is_ascii_whitespace() {
                end -= 1;
            }
            match comment {
                Some(before) if before.end == end => {
                    end = before.start.max(self.start);
                    comment = comments.next();
                }
                Some(_) | None => break,
            }
        }
        let before = &self.source[self.start..end];
        let Some(last) = before.last() else { return true };
        if !is_word(*last) {
            return !b")]\"'`$".contains(last);
        }
        let length = before.iter().rev().take(16).take_while(|byte| is_word(**byte)).count();
        let word = &before[before.len() - length..];
        let member = before[..before.len() - length].last().is_some_and(|byte| *byte == b'.');
        if BEFORE_OPERAND.contains(&word) {
            return !member;
        }
        // `puts /x/` calls with a regular expression, `a / b` divides.
        let spaced =
            end < self.pos && self.rest().get(1).is_some_and(|byte| !byte.is_ascii_whitespace() && *byte != b'=');
        spaced && self.rules.quirks.contains(&Quirk::Percent) && !word[0].is_ascii_digit()
    }

    pub(super) fn regex(&mut self) -> bool {
        let rest = self.rest();
        if rest.first() != Some(&b'/') || self.wrong_guesses == 0 {
            return false;
        }
        // `//` and `/*` are comments where they exist, `/>` and `</` are JSX.
        let comment = self.rules.line.iter().any(|line| line.open == "//");
        let tag = self.previous() == Some(b'<') || rest.get(1) == Some(&b'>');
        if comment && (tag || matches!(rest.get(1), Some(b'/' | b'*'))) {
            return false;
        }
        self.short_regex(false)
    }

    /// A regular expression on one line, where an operand may start or is `sure` to.
    fn short_regex(&mut self, sure: bool) -> bool {
        let rest = self.rest();
        if !sure && !self.operand_may_start() {
            return false;
        }
        let (mut class, mut at) = (false, 1);
        while at < rest.len().min(MAX_GUESS) {
            match rest[at] {
                b'\n' => break,
                b'\\' => at += 1,
                b'[' => class = true,
                b']' => class = false,
                b'/' if !class => return self.step(at + 1),
                _ => {}
            }
            at += 1;
        }
        self.wrong_guesses -= 1;
        false
    }

    /// Ruby's `/…/`: also at the start of a line, and over many lines where the slash ends its line: `= /`, `/x`.
    pub(super) fn ruby_regex(&mut self) -> bool {
        let rest = self.rest();
        if rest.first() != Some(&b'/') || self.wrong_guesses == 0 {
            return false;
        }
        let at_line_start = self.allowed(At::LineStart, "/");
        let line_end = memchr(b'\n', rest).unwrap_or(rest.len());
        if rest[1..line_end].trim_ascii().is_empty() && self.operand_may_start() {
            let lines = memchr_iter(b'\n', &rest[..rest.len().min(MAX_REGEX_BYTES)]);
            let close = |at: usize| {
                let line = rest[at + 1..].trim_ascii_start();
                let flags = line.strip_prefix(b"/")?.iter().take_while(|byte| byte.is_ascii_lowercase()).count();
                Some(rest.len() - line.len() + 1 + flags)
            };
            return match lines.into_iter().find_map(close) {
                Some(length) => self.step(length),
                None => {
                    self.wrong_guesses -= 1;
                    false
                }
            };
        }
        self.short_regex(at_line_start)
    }

    /// Notes the label of a heredoc; its text begins with the next line.
    pub(super) fn heredoc(&mut self, style: Heredoc) -> bool {
        let rest = self.rest();
        let open: &[u8] = if style == Heredoc::Php { b"<<<" } else { b"<<" };
        let Some(mut after) = rest.strip_prefix(open) else {
            return false;
        };
        if style != Heredoc::Php && after.starts_with(b"<") {
            return self.step(3);
        }
        let wide = style != Heredoc::Tight;
        after = match after {
            [b'-' | b'~', more @ ..] if style != Heredoc::Php => more,
            _ => after,
        };
        if wide {
            let spaces = after.iter().take(20).take_while(|byte| **byte == b' ').count();
            after = &after[spaces..];
        }
        let quote = after.first().copied().filter(|byte| matches!(byte, b'"' | b'\''));
        after = if quote.is_some() { &after[1..] } else { after.strip_prefix(b"\\").unwrap_or(after) };
        let length =
            after.iter().take(100).take_while(|byte| is_word(**byte) || (quote.is_some() && **byte == b' ')).count();
        let label = &after[..length];
        let closed = quote.is_none() || after.get(length).copied() == quote;
        let named = label.first().is_some_and(|byte| !byte.is_ascii_digit() && *byte != b' ');
        if !closed || !named || self.heredocs.len() >= MAX_HEREDOCS || self.rewinds == 0 {
            return false;
        }
        let consumed = rest.len() - after.len() + length + usize::from(quote.is_some());
        self.heredocs.push(PendingHeredoc { label, style });
        self.step(consumed)
    }

    /// At the end of a line with heredocs: goes behind the last one that has an end.
    pub(super) fn skip_heredocs(&mut self) {
        self.pos += 1;
        for heredoc in std::mem::take(&mut self.heredocs) {
            match self.heredoc_end(&heredoc) {
                Some(end) => self.pos = end,
                None => self.rewinds = self.rewinds.saturating_sub(1),
            }
        }
    }

    fn heredoc_end(&self, heredoc: &PendingHeredoc<'a>) -> Option<usize> {
        let mut at = self.pos;
        while self.rewinds > 0 && at < self.source.len() {
            let end = memchr(b'\n', &self.source[at..]).map_or(self.source.len(), |length| at + length);
            let line = self.source[at..end].trim_ascii();
            match line.strip_prefix(heredoc.label) {
                Some(b"") => return Some(end),
                Some(code @ [next, ..]) if heredoc.style == Heredoc::Php && !is_word(*next) => {
                    return Some(end - code.len());
                }
                Some(_) | None => at = end + 1,
            }
        }
        None
    }

    /// `[==[ … ]==]`, and `--[==[ … ]==]` as a comment.
    pub(super) fn long_bracket(&mut self) -> bool {
        let rest = self.rest();
        let dashes = if rest.starts_with(b"--[") { 2 } else { 0 };
        let Some(after) = rest[dashes..].strip_prefix(b"[") else {
            return false;
        };
        let level = after.iter().take(100).take_while(|byte| **byte == b'=').count();
        if after.get(level) != Some(&b'[') || self.rewinds == 0 {
            return false;
        }
        let mut close = vec![b'='; level + 2];
        close[0] = b']';
        close[level + 1] = b']';
        let body = dashes + level + 2;
        let Some(at) = memmem::find(&rest[body..], &close) else {
            self.rewinds -= 1;
            return false;
        };
        if dashes > 0 {
            self.comments.push(super::Comment {
                start: self.pos,
                end: self.pos + body + at + close.len(),
                body_start: self.pos + body,
                body_end: self.pos + body + at,
                kind: super::CommentKind::Block,
            });
        }
        self.step(body + at + close.len())
    }

    /// The length of what is delimited by the byte at `from` (brackets nest), both delimiters included.
    fn delimited(&self, from: usize) -> Option<usize> {
        let rest = &self.rest()[from..];
        let open = *rest.first()?;
        let close = match open {
            b'(' => b')',
            b'[' => b']',
            b'{' => b'}',
            b'<' => b'>',
            other => other,
        };
        let (mut depth, mut at) = (0_u32, 1);
        while at < rest.len() {
            match rest[at] {
                b'\\' => at += 1,
                byte if byte == close && depth == 0 => return Some(at + 1),
                byte if byte == close => depth -= 1,
                byte if byte == open => depth += 1,
                _ => {}
            }
            at += 1;
        }
        None
    }

    pub(super) fn percent(&mut self) -> bool {
        let rest = self.rest();
        if rest.first() != Some(&b'%') || self.rewinds == 0 || !self.operand_may_start() {
            return false;
        }
        let letter = usize::from(rest.get(1).is_some_and(|byte| b"qQwWiIrsx".contains(byte)));
        let delimiter = rest.get(1 + letter).copied().unwrap_or(b' ');
        if is_word(delimiter) || delimiter.is_ascii_whitespace() || (letter == 0 && !b"([{<|!".contains(&delimiter)) {
            return false;
        }
        match self.delimited(1 + letter) {
            Some(length) => self.step(1 + letter + length),
            None => {
                self.rewinds -= 1;
                false
            }
        }
    }

    pub(super) fn perl_quote(&mut self) -> bool {
        let rest = self.rest();
        let operators: [&[u8]; 8] = [b"qq", b"qw", b"qr", b"tr", b"q", b"m", b"s", b"y"];
        let Some(operator) = operators.into_iter().find(|operator| rest.starts_with(operator)) else {
            return false;
        };
        let word = self.previous().is_some_and(|byte| is_word(byte) || b"$@%&->{:".contains(&byte));
        if !b"qmsty".contains(&rest[0]) || word || self.rewinds == 0 {
            return false;
        }
        let spaces = rest[operator.len()..].iter().take(20).take_while(|byte| **byte == b' ').count();
        let first = operator.len() + spaces;
        let delimiter = rest.get(first).copied().unwrap_or(b'=');
        let refused = is_word(delimiter) || delimiter.is_ascii_whitespace() || b"=,;)}>$-.?:".contains(&delimiter);
        if refused || (delimiter == b'#' && spaces > 0) {
            return false;
        }
        let mut length = self.delimited(first).map(|length| first + length);
        if let (Some(end), b"s" | b"tr" | b"y") = (length, operator) {
            let same = !b"([{<".contains(&delimiter);
            let gap = rest[end..].iter().take(200).take_while(|byte| byte.is_ascii_whitespace()).count();
            let second = if same { end - 1 } else { end + gap };
            length = self.delimited(second).map(|length| second + length);
        }
        match length {
            Some(length) => self.step(length),
            None => {
                self.rewinds -= 1;
                false
            }
        }
    }

    pub(super) fn pod(&mut self) -> bool {
        let rest = self.rest();
        let starts = rest.first() == Some(&b'=') && rest.get(1).is_some_and(u8::is_ascii_alphabetic);
        if !starts || self.previous().is_some_and(|byte| byte != b'\n') {
            return false;
        }
        let end = memmem::find(rest, b"\n=cut").map_or(rest.len(), |at| at + 5);
        self.step(end)
    }

    pub(super) fn end_marker(&mut self) -> bool {
        let rest = self.rest();
        let line = rest[..rest.len().min(16)].split(|byte| *byte == b'\n').next().unwrap_or(b"").trim_ascii_end();
        let marks = line == b"__END__" || line == b"__DATA__";
        marks && self.previous().is_none_or(|byte| byte == b'\n') && self.step(rest.len())
    }

    pub(super) fn ocaml_quoted(&mut self) -> bool {
        let rest = self.rest();
        if rest.first() != Some(&b'{') || self.rewinds == 0 {
            return false;
        }
        let id = rest[1..].iter().take(40).take_while(|byte| byte.is_ascii_lowercase() || **byte == b'_').count();
        if rest.get(1 + id) != Some(&b'|') {
            return false;
        }
        let mut close = vec![b'|'];
        close.extend_from_slice(&rest[1..=id]);
        close.push(b'}');
        let Some(at) = memmem::find(&rest[id + 2..], &close) else {
            self.rewinds -= 1;
            return false;
        };
        self.step(id + 2 + at + close.len())
    }

    pub(super) fn css_url(&mut self) -> bool {
        let Some(inside) = self.rest().strip_prefix(b"url(") else {
            return false;
        };
        if matches!(inside.trim_ascii_start().first(), Some(b'"' | b'\'')) {
            return false;
        }
        let end = inside.iter().take(MAX_GUESS).position(|byte| matches!(byte, b')' | b'\n'));
        end.is_some_and(|at| self.step(4 + at))
    }
}
