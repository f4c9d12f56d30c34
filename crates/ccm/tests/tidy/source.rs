//! Rust text with its comments, and if wanted its literals, blanked out. Line numbers stay as they were.

/// The text without comments.
pub(crate) fn without_comments(text: &str) -> String {
    blank(text, false)
}

/// The text without comments and without what stands in string and character literals.
pub(crate) fn code_only(text: &str) -> String {
    blank(text, true)
}

/// Of a text that [`without_comments`] or [`code_only`] made, the part that is in the product: up to a test module
/// written into the same file.
pub(crate) fn production(code: &str) -> &str {
    const MARK: &str = "#[cfg(test)]";
    for (at, _) in code.match_indices(MARK) {
        let rest = code[at + MARK.len()..].trim_start();
        let Some(name) = rest.strip_prefix("mod ") else {
            continue;
        };
        let name = name.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_');
        if name.trim_start().starts_with('{') {
            return &code[..at];
        }
    }
    code
}

fn blank(text: &str, literals: bool) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let (end, hide) = match next_token(&chars, at) {
            Token::Comment(end) => (end, true),
            Token::Literal(end) => (end, literals),
            Token::Other => (at + 1, false),
        };
        let shown = |c: &char| if hide && *c != '\n' { ' ' } else { *c };
        out.extend(chars[at..end].iter().map(shown));
        at = end;
    }
    out
}

enum Token {
    /// A comment that ends before this index.
    Comment(usize),
    /// A string or character literal that ends before this index.
    Literal(usize),
    Other,
}

fn next_token(chars: &[char], at: usize) -> Token {
    let next = chars.get(at + 1).copied();
    match chars[at] {
        '/' if next == Some('/') => Token::Comment(until(chars, at, |c| c == '\n')),
        '/' if next == Some('*') => Token::Comment(block_comment_end(chars, at)),
        '"' => Token::Literal(quoted_end(chars, at + 1, '"')),
        '\'' if next == Some('\\') || chars.get(at + 2) == Some(&'\'') => {
            Token::Literal(quoted_end(chars, at + 1, '\''))
        }
        'r' if !is_name_before(chars, at) => raw_string_end(chars, at).map_or(Token::Other, Token::Literal),
        _ => Token::Other,
    }
}

/// Whether the `r` at this index ends a longer name instead of beginning a raw string; `br"…"` and `cr"…"` begin one.
fn is_name_before(chars: &[char], at: usize) -> bool {
    let name = |i: usize| chars[i].is_alphanumeric() || chars[i] == '_';
    match at {
        0 => false,
        1 => name(0) && !matches!(chars[0], 'b' | 'c'),
        _ => name(at - 1) && (!matches!(chars[at - 1], 'b' | 'c') || name(at - 2)),
    }
}

fn until(chars: &[char], from: usize, stop: impl Fn(char) -> bool) -> usize {
    let found = chars[from..].iter().position(|c| stop(*c));
    found.map_or(chars.len(), |length| from + length)
}

fn block_comment_end(chars: &[char], from: usize) -> usize {
    let (mut depth, mut at) = (0, from);
    while at + 1 < chars.len() {
        match (chars[at], chars[at + 1]) {
            ('/', '*') => depth += 1,
            ('*', '/') => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return at;
        }
    }
    chars.len()
}

fn quoted_end(chars: &[char], from: usize, quote: char) -> usize {
    let mut at = from;
    while at < chars.len() {
        match chars[at] {
            '\\' => at += 2,
            c if c == quote => return at + 1,
            _ => at += 1,
        }
    }
    chars.len()
}

fn raw_string_end(chars: &[char], from: usize) -> Option<usize> {
    let quote = until(chars, from + 1, |c| c != '#');
    let marks = quote - from - 1;
    if chars.get(quote) != Some(&'"') {
        return None;
    }
    let ends =
        |i: &usize| chars[*i] == '"' && chars[i + 1..].iter().take(marks).filter(|c| **c == '#').count() == marks;
    Some((quote + 1..chars.len()).find(ends).map_or(chars.len(), |i| i + 1 + marks))
}

#[test]
fn comments_and_literals_are_blanked() {
    let cases = [
        ("a // b\nc", "a     \nc"),
        ("a /* b /* c */ d */ e", "a                   e"),
        (r#"f("x // y")"#, "f(        )"),
        (r#"f("\"b")g"#, "f(     )g"),
        ("r#\"a\"b\"# c", "         c"),
        ("br\"a\" c", "b     c"),
        ("for\"a\"", "for   "),
        ("fn f<'a>(c: &'a str) { '\"' }", "fn f<'a>(c: &'a str) {     }"),
        ("'\\'' x", "     x"),
    ];
    for (text, expected) in cases {
        assert_eq!(code_only(text), expected, "{text}");
    }
    assert_eq!(without_comments("f(\"a // b\") // c"), "f(\"a // b\")     ");
}

#[test]
fn a_test_module_in_the_same_file_is_not_the_product() {
    assert_eq!(production("a\n#[cfg(test)]\nmod tests {\nb }"), "a\n");
    assert_eq!(production("#[cfg(test)]\nmod tests;\nfn a() {}"), "#[cfg(test)]\nmod tests;\nfn a() {}");
}
