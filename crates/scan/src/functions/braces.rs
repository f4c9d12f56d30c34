//! Functions of languages with `{ }`: what stands before a brace tells whether it opens one.

use super::table::{Bare, Braces};
use super::tokens::{Kind, Token, Tokens, forks, is_word};
use super::{Function, name};

/// How much of a head is looked at, in pieces.
const MAX_HEAD: usize = 300;

/// Words before `(…) {` that are no name of a function.
const NO_NAMES: [&str; 26] = [
    "if",
    "for",
    "foreach",
    "while",
    "switch",
    "catch",
    "until",
    "unless",
    "with",
    "using",
    "lock",
    "fixed",
    "when",
    "synchronized",
    "try",
    "else",
    "elif",
    "elsif",
    "elseif",
    "return",
    "throw",
    "await",
    "sizeof",
    "match",
    "select",
    "do",
];
/// Words before `(…)` that belong to a head but do not name it.
const ATTRIBUTES: [&str; 9] =
    ["__attribute__", "__declspec", "alignas", "noexcept", "decltype", "requires", "explicit", "throw", "extern"];
/// With one of these before it, a `{` holds members, not statements.
const MEMBERS: [&str; 16] = [
    "class",
    "struct",
    "interface",
    "enum",
    "union",
    "record",
    "trait",
    "impl",
    "namespace",
    "object",
    "extension",
    "module",
    "protocol",
    "actor",
    "contract",
    "new",
];
/// Words before the name of what is assigned.
const DECLARES: [&str; 13] = [
    "export",
    "default",
    "const",
    "let",
    "var",
    "public",
    "private",
    "protected",
    "static",
    "readonly",
    "declare",
    "override",
    "my",
];
/// Words at the start of a line that go on with a head.
const GO_ON: [&str; 8] = ["where", "throws", "rethrows", "extends", "implements", "async", "returns", "noexcept"];

struct Frame<'a> {
    function: Option<usize>,
    /// Whether its code is a function's, though it may be no function itself.
    in_function: bool,
    /// The head that goes on behind the brace, when it stands inside one.
    head: Option<(Vec<Token<'a>>, u32)>,
}

pub(super) fn functions(code: &[u8], openers: &[&str], braces: Braces) -> Vec<Function> {
    let mut reader = Reader {
        code,
        openers,
        braces,
        functions: Vec::new(),
        frames: Vec::new(),
        head: Vec::new(),
        parentheses: 0,
        last_line: 0,
    };
    let mut before: Option<Token<'_>> = None;
    for token in Tokens::of(code, braces.c) {
        if forks(code, &token, before.as_ref(), braces.arms) {
            reader.fork();
        }
        reader.read(token);
        reader.last_line = token.line;
        before = Some(token);
    }
    while !reader.frames.is_empty() {
        reader.close(reader.last_line);
    }
    reader.functions
}

struct Reader<'a> {
    code: &'a [u8],
    openers: &'a [&'a str],
    braces: Braces,
    functions: Vec<Function>,
    frames: Vec<Frame<'a>>,
    /// What was read since the last statement ended.
    head: Vec<Token<'a>>,
    /// How many brackets are open in it.
    parentheses: u32,
    last_line: u32,
}

impl<'a> Reader<'a> {
    fn fork(&mut self) {
        if let Some(function) = self.frames.iter().rev().find_map(|frame| frame.function) {
            let complexity = &mut self.functions[function].complexity;
            *complexity = complexity.saturating_add(1);
        }
    }

    fn read(&mut self, token: Token<'a>) {
        if token.first && self.braces.lines && self.parentheses == 0 && self.begins_statement(&token) {
            self.head.clear();
        }
        match token.text {
            b"{" => self.open(token),
            b"}" => {
                // In C a brace at the margin ends the function, however many others a preprocessor left open.
                let outermost = self.frames.iter().position(|frame| frame.function.is_some());
                let until = outermost.filter(|_| self.braces.c && token.at_margin);
                let until = until.unwrap_or(self.frames.len().saturating_sub(1));
                while self.frames.len() > until {
                    self.close(token.line);
                }
                if self.frames.is_empty() && until == 0 && self.head.is_empty() {
                    self.parentheses = 0;
                }
            }
            b";" if self.parentheses == 0 => self.head.clear(),
            _ => {
                match token.text {
                    b"(" | b"[" => self.parentheses += 1,
                    b")" | b"]" => self.parentheses = self.parentheses.saturating_sub(1),
                    _ => {}
                }
                self.push(token);
            }
        }
    }

    fn push(&mut self, token: Token<'a>) {
        if self.head.len() >= MAX_HEAD {
            self.head.drain(..MAX_HEAD / 2);
        }
        self.head.push(token);
    }

    /// Whether a statement ended with the line before `token`.
    fn begins_statement(&self, token: &Token<'_>) -> bool {
        let Some(last) = self.head.last() else { return false };
        let complete = last.kind != Kind::Sign || last.is(")") || last.is("]") || last.is(">");
        let opens = (token.is_word() && !GO_ON.iter().any(|word| token.is(word))) || token.is("@");
        // A declared word alone, as a modifier on a line of its own, goes on.
        complete && opens && !DECLARES.iter().any(|word| last.is(word))
    }

    fn open(&mut self, token: Token<'a>) {
        if self.braces.c && token.at_margin && self.frames.iter().any(|frame| frame.function.is_some()) {
            let line = self.head.first().map_or(token.line, |first| first.line);
            while self.frames.iter().any(|frame| frame.function.is_some()) {
                let head = std::mem::take(&mut self.head);
                self.close(line.saturating_sub(1));
                self.head = head;
            }
        }
        let head = Head::of(&self.head);
        let in_function = self.frames.last().is_some_and(|frame| frame.in_function);
        let initialises = self.braces.c && head.initialises();
        let named = if initialises { None } else { self.name(&head, in_function) };
        let holds_members = head.items.iter().any(|item| MEMBERS.iter().any(|word| item.is(word)));
        let function = named.map(|(name, first_line)| {
            self.functions.push(Function { name, first_line, last_line: token.line, complexity: 1 });
            self.functions.len() - 1
        });
        let goes_on = self.parentheses > 0 || initialises;
        let (saved, parentheses) = (std::mem::take(&mut self.head), std::mem::take(&mut self.parentheses));
        self.frames.push(Frame {
            function,
            in_function: function.is_some() || (in_function && !holds_members),
            head: goes_on.then_some((saved, parentheses)),
        });
    }

    /// Ends the innermost brace on `line`.
    fn close(&mut self, line: u32) {
        let Some(frame) = self.frames.pop() else { return };
        if let Some(function) = frame.function {
            let function = &mut self.functions[function];
            function.last_line = line.max(function.last_line);
        }
        (self.head, self.parentheses) = frame.head.unwrap_or_default();
        if let Some(last) = self.head.last().copied() {
            self.push(Token { kind: Kind::Block, text: b"{}", first: false, ..last });
        }
    }

    /// The name and the first line of the function that a brace behind `head` opens.
    fn name(&self, head: &Head<'a>, in_function: bool) -> Option<(String, u32)> {
        let first = head.items.first()?.line;
        if let Some(at) = head.items.iter().rposition(|item| self.openers.iter().any(|word| item.is(word))) {
            let line = if head.is_argument { head.items[at].line } else { first };
            return self.after_opener(head, at).or_else(|| assigned(head)).map(|name| (name, line));
        }
        if self.braces.arrows && head.items.last().is_some_and(|last| last.is("=>")) {
            return assigned(head).map(|name| (name, first));
        }
        let allowed = match self.braces.bare {
            Bare::Nowhere => false,
            Bare::OutsideFunctions => !in_function,
            Bare::Anywhere => true,
        };
        if !allowed || head.is_argument {
            return None;
        }
        self.bare(head).map(|name| (name, first))
    }

    /// The name behind the word at `at`: `fn name`, `func (receiver) name`, `fun <T> Type.name`.
    fn after_opener(&self, head: &Head<'a>, at: usize) -> Option<String> {
        let mut rest = head.items[at + 1..].iter().peekable();
        if rest.peek()?.is("(") {
            rest.next();
            let name = rest.next().filter(|name| name.is_word())?;
            return rest.next().filter(|next| next.is("(") || next.is("[")).and_then(|_| self.forward(name));
        }
        if rest.peek()?.is("<") {
            rest.find(|item| item.is(">"))?;
        }
        let named = rest.find(|item| !["*", "&", ">"].iter().any(|sign| item.is(sign)))?;
        if named.kind == Kind::Literal {
            return Some("`…`".to_owned());
        }
        if named.is_word() { self.forward(named) } else { None }
    }

    /// The name that begins with `token`, with what belongs to it.
    fn forward(&self, token: &Token<'_>) -> Option<String> {
        let rest = &self.code[token.start..];
        // Rust's `r#type` is called `type`.
        let rest = rest.strip_prefix(b"r#").unwrap_or(rest);
        let more = |byte: &u8| is_word(*byte) || b".:".contains(byte) || (self.braces.dashes && *byte == b'-');
        let run = &rest[..rest.iter().take_while(|byte| more(byte)).count()];
        let end = run.iter().rposition(|byte| is_word(*byte)).map_or(0, |last| last + 1);
        name(&run[..end])
    }

    /// The name in `type name(…) {`.
    fn bare(&self, head: &Head<'a>) -> Option<String> {
        let items = &head.items;
        if (items[0].is("-") || items[0].is("+")) && items.get(1).is_some_and(|item| item.is("(")) {
            return items.get(2).filter(|name| name.is_word()).and_then(|name| self.forward(name));
        }
        if items.iter().any(|item| NO_NAMES.iter().any(|word| item.is(word))) {
            return None;
        }
        let operator = items.iter().position(|item| item.is("operator"));
        if let Some(at) = operator
            && let Some(sign) = items.get(at + 1).filter(|next| !next.is_word())
        {
            return name(&[b"operator", sign.text].concat());
        }
        for (at, item) in items.iter().enumerate() {
            if operator.is_none() && (item.is("=") || item.is("new") || item.is("->")) {
                return None;
            }
            if item.is("(") && at > 0 {
                let end = if items[at - 1].is(">") { items[..at].iter().rposition(|item| item.is("<"))? } else { at };
                let before = items.get(end.checked_sub(1)?)?;
                let annotation = end >= 2 && (items[end - 2].is("@") || items[end - 2].is("."));
                if before.is_word() && !annotation && !ATTRIBUTES.iter().any(|word| before.is(word)) {
                    return self.backward(before);
                }
            }
        }
        None
    }

    /// The name that ends with `token`, with what belongs to it: `Parser::next`, `~Parser`, `do-it`.
    fn backward(&self, token: &Token<'_>) -> Option<String> {
        let end = token.start + token.text.len();
        let more = |byte: &u8| {
            is_word(*byte) || (self.braces.c && b":~".contains(byte)) || (self.braces.dashes && *byte == b'-')
        };
        let length = self.code[..end].iter().rev().take(1_000).take_while(|byte| more(byte)).count();
        let run = &self.code[end - length..end];
        name(run.strip_prefix(b"::").unwrap_or(run))
    }
}

/// The last statement before a brace, with everything in brackets left out but the brackets themselves: `(` and `[` stand
/// for a whole pair.
struct Head<'a> {
    items: Vec<Token<'a>>,
    /// Whether it stands in brackets that are still open.
    is_argument: bool,
}

impl<'a> Head<'a> {
    fn of(tokens: &[Token<'a>]) -> Self {
        let (mut items, mut depth, mut is_argument) = (Vec::new(), 0_u32, false);
        for token in tokens.iter().rev() {
            if token.is(")") || token.is("]") {
                depth += 1;
            } else if token.is("(") || token.is("[") {
                let Some(outer) = depth.checked_sub(1) else {
                    is_argument = true;
                    break;
                };
                depth = outer;
                if depth == 0 {
                    items.push(*token);
                }
            } else if depth == 0 {
                items.push(*token);
            }
        }
        items.reverse();
        if is_argument && let Some(comma) = items.iter().rposition(|item| item.is(",")) {
            items.drain(..=comma);
        }
        Self { items, is_argument }
    }

    /// Whether the brace gives a value to a field before the body of a constructor: `A(int x) : x{x} {`.
    fn initialises(&self) -> bool {
        let parameters = self.items.iter().position(|item| item.is("("));
        let colon = self.items.iter().rposition(|item| item.is(":"));
        let last_is_field = self.items.last().is_some_and(|last| last.is_word() || last.is(">"));
        // `- (void)name:(int)x` is a method of Objective-C.
        let is_method = self.items.first().is_some_and(|first| first.is("-") || first.is("+"));
        last_is_field && !is_method && parameters.zip(colon).is_some_and(|(parameters, colon)| parameters < colon)
    }
}

/// The name in `const name = …`, `name: …`, `a.b.name = …`.
fn assigned(head: &Head<'_>) -> Option<String> {
    if head.is_argument {
        return None;
    }
    let mut items = head.items.iter().skip_while(|item| DECLARES.iter().any(|word| item.is(word))).peekable();
    let mut named = items.next()?;
    while items.peek().is_some_and(|next| next.is(".")) {
        items.next();
        named = items.next()?;
    }
    let gives = items.next().is_some_and(|next| ["=", ":", ":=", "<", "?"].iter().any(|sign| next.is(sign)));
    if named.is_word() && gives { name(named.text) } else { None }
}
