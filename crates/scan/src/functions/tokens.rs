//! Code in pieces: words, literals, operators that matter, single bytes.

/// What a piece is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Word,
    /// Bytes of a literal.
    Literal,
    /// A single byte, or one of the operators of two bytes below.
    Sign,
    /// A `{ … }` that is over; `braces` puts it where one was.
    Block,
}

/// One piece.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    pub(super) text: &'a [u8],
    /// Where it begins.
    pub(super) start: usize,
    /// Its line, from 1.
    pub(super) line: u32,
    /// Whether it is the first on its line, and whether nothing at all stands before it there.
    pub(super) first: bool,
    pub(super) at_margin: bool,
}

impl Token<'_> {
    pub(super) fn is(&self, text: &str) -> bool {
        self.kind != Kind::Literal && self.text == text.as_bytes()
    }

    pub(super) fn is_word(&self) -> bool {
        self.kind == Kind::Word
    }
}

/// Operators whose bytes mean something else alone.
const PAIRS: [&[u8]; 11] = [b"=>", b"->", b"==", b"!=", b"<=", b">=", b"&&", b"||", b"::", b":=", b"?."];

/// Words that let the way fork, of all languages.
const FORKS: [&str; 17] = [
    "if", "elif", "elsif", "elseif", "unless", "for", "foreach", "while", "until", "case", "when", "catch", "except",
    "rescue", "guard", "and", "or",
];

/// The pieces of `code`, one after the other.
pub(super) struct Tokens<'a> {
    code: &'a [u8],
    pos: usize,
    line: u32,
    first: bool,
    /// Whether lines that begin with `#` are left out, with those that a `\` joins to them.
    preprocessor: bool,
}

impl<'a> Tokens<'a> {
    pub(super) fn of(code: &'a [u8], preprocessor: bool) -> Self {
        Self { code, pos: 0, line: 1, first: true, preprocessor }
    }

    fn skip_directive(&mut self) {
        while let Some(length) = memchr::memchr(b'\n', &self.code[self.pos..]) {
            let line = &self.code[self.pos..self.pos + length];
            self.pos += length;
            if !line.trim_ascii_end().ends_with(b"\\") {
                return;
            }
            self.pos += 1;
            self.line = self.line.saturating_add(1);
        }
        self.pos = self.code.len();
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        loop {
            let byte = *self.code.get(self.pos)?;
            if byte == b'\n' {
                self.line = self.line.saturating_add(1);
                self.first = true;
            } else if byte == b'#' && self.first && self.preprocessor {
                self.skip_directive();
                continue;
            } else if !byte.is_ascii_whitespace() {
                break;
            }
            self.pos += 1;
        }
        let rest = &self.code[self.pos..];
        let run = |part: fn(u8) -> bool| rest.iter().take_while(|byte| part(**byte)).count();
        let (kind, length) = match rest[0] {
            byte if is_word(byte) => (Kind::Word, run(is_word)),
            b'"' => (Kind::Literal, run(|byte| byte == b'"')),
            _ if PAIRS.iter().any(|pair| rest.starts_with(pair)) => (Kind::Sign, 2),
            _ => (Kind::Sign, 1),
        };
        let (start, first) = (self.pos, self.first);
        let at_margin = start.checked_sub(1).is_none_or(|before| self.code[before] == b'\n');
        self.pos += length;
        self.first = false;
        Some(Token { kind, text: &rest[..length], start, line: self.line, first, at_margin })
    }
}

/// Whether the way forks at `token`, which stands in `code` after `before`.
pub(super) fn forks(code: &[u8], token: &Token<'_>, before: Option<&Token<'_>>, arms: bool) -> bool {
    let member = before.is_some_and(|before| before.is(".") || before.is("?.") || before.is("::") || before.is("@"));
    match token.kind {
        Kind::Word => !member && FORKS.iter().any(|word| token.is(word)),
        Kind::Sign if token.text == b"?" => {
            let blank = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_whitespace);
            blank(token.start.checked_sub(1).and_then(|at| code.get(at))) && blank(code.get(token.start + 1))
        }
        Kind::Sign => token.is("&&") || token.is("||") || (arms && token.is("=>")),
        Kind::Literal | Kind::Block => false,
    }
}

pub(super) fn is_word(byte: u8) -> bool {
    byte == b'_' || byte == b'$' || byte.is_ascii_alphanumeric() || byte >= 0x80
}
