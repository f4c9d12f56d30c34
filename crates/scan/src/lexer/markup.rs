//! Languages that hold others: HTML with scripts and styles, PHP inside HTML.

use memchr::{memchr, memmem};

use super::{Comment, Lexer, block_comment};
use crate::language::{LANGUAGES, Rules};

/// The longest `<script …>` tag that is read.
const MAX_TAG_BYTES: usize = 2_000;

/// The comments of markup, with those of its `<script>` and `<style>` elements.
pub(super) fn html(rules: &'static Rules, source: &[u8]) -> Vec<Comment> {
    let mut comments = Vec::new();
    html_part(rules, source, 0, &mut comments);
    comments
}

/// The comments of the code between `<?php` and `?>`, and of the HTML around it.
pub(super) fn php(rules: &'static Rules, source: &[u8]) -> Vec<Comment> {
    let outside = rules_of("XML");
    let mut comments = Vec::new();
    let mut lexer = Lexer::new(rules, source, 0);
    lexer.stop = Some(b"?>");
    let mut at = 0;
    while let Some((tag, code)) = php_tag(source, at) {
        if let Some(outside) = outside {
            html_part(outside, &source[..tag], at, &mut comments);
        }
        lexer.start = code;
        lexer.pos = code;
        lexer.run();
        comments.append(&mut lexer.comments);
        lexer.stack.clear();
        lexer.heredocs.clear();
        at = (lexer.pos + 2).min(source.len());
    }
    if let Some(outside) = outside {
        html_part(outside, source, at, &mut comments);
    }
    comments
}

/// The comments and the literals of PHP; what is outside its tags counts as a literal.
pub(super) fn php_literals(rules: &'static Rules, source: &[u8]) -> (Vec<Comment>, Vec<(usize, usize)>) {
    let mut lexer = Lexer::new(rules, source, 0);
    lexer.stop = Some(b"?>");
    lexer.literals = Some(Vec::new());
    let mut at = 0;
    while let Some((_, code)) = php_tag(source, at) {
        lexer.pos = code.min(source.len());
        lexer.literal(at);
        lexer.start = lexer.pos;
        lexer.run();
        lexer.stack.clear();
        lexer.heredocs.clear();
        at = lexer.pos;
    }
    lexer.pos = source.len();
    lexer.literal(at);
    (lexer.comments, lexer.literals.unwrap_or_default())
}

/// Where the next `<?php` or `<?=` begins, and where its code does.
fn php_tag(source: &[u8], from: usize) -> Option<(usize, usize)> {
    memmem::find_iter(&source[from..], b"<?").find_map(|at| {
        let tag = from + at;
        let after = &source[tag + 2..];
        if after.starts_with(b"=") {
            Some((tag, tag + 3))
        } else if after.len() >= 3 && after[..3].eq_ignore_ascii_case(b"php") {
            Some((tag, tag + 5))
        } else {
            None
        }
    })
}

fn rules_of(name: &str) -> Option<&'static Rules> {
    LANGUAGES.iter().find(|language| language.name == name).map(|language| language.rules)
}

/// Reads `source` as markup from `from` on.
fn html_part(rules: &'static Rules, source: &[u8], from: usize, comments: &mut Vec<Comment>) {
    let mut unclosed = vec![false; rules.block.len()];
    let mut pos = from;
    while let Some(at) = source[pos..].iter().position(|byte| matches!(byte, b'<' | b'{')) {
        pos += at;
        pos = markup_comment(rules, source, pos, &mut unclosed, comments)
            .or_else(|| element(source, pos, comments))
            .unwrap_or(pos + 1);
    }
}

/// The end of the comment that opens at `pos`. Once a marker had no end, no later one has.
fn markup_comment(
    rules: &'static Rules,
    source: &[u8],
    pos: usize,
    unclosed: &mut [bool],
    comments: &mut Vec<Comment>,
) -> Option<usize> {
    let index = rules.block.iter().position(|block| source[pos..].starts_with(block.open.as_bytes()))?;
    if unclosed[index] {
        return None;
    }
    let comment = block_comment(&rules.block[index], source, pos);
    if comment.end == comment.body_end {
        unclosed[index] = true;
        return None;
    }
    comments.push(comment);
    Some(comment.end)
}

/// The end of the `<script>` or `<style>` that opens at `pos`, after reading what is inside.
fn element(source: &[u8], pos: usize, comments: &mut Vec<Comment>) -> Option<usize> {
    let rest = &source[pos..];
    let name: &[u8] = if starts_with_name(rest, b"<script") {
        b"script"
    } else if starts_with_name(rest, b"<style") {
        b"style"
    } else {
        return None;
    };
    let body = pos + memchr(b'>', &rest[..rest.len().min(MAX_TAG_BYTES)])? + 1;
    let tag = String::from_utf8_lossy(&source[pos..body]).to_ascii_lowercase();
    let end = closing_tag(source, body, name);
    if let Some(rules) = embedded(name, &tag).filter(|_| !tag.ends_with("/>")) {
        comments.append(&mut Lexer::new(rules, &source[..end], body).finish());
        return Some(end);
    }
    if tag.ends_with("/>") { Some(body) } else { Some(end) }
}

fn embedded(name: &[u8], tag: &str) -> Option<&'static Rules> {
    if name == b"style" {
        return rules_of(if tag.contains("scss") || tag.contains("less") || tag.contains("sass") {
            "SCSS"
        } else {
            "CSS"
        });
    }
    let data =
        ["json", "template", "text/x-", "text/html", "x-shader", "importmap"].iter().any(|kind| tag.contains(kind));
    if data { None } else { rules_of("JavaScript") }
}

fn starts_with_name(rest: &[u8], open: &[u8]) -> bool {
    rest.len() > open.len()
        && rest[..open.len()].eq_ignore_ascii_case(open)
        && !rest[open.len()].is_ascii_alphanumeric()
        && rest[open.len()] != b'-'
}

fn closing_tag(source: &[u8], from: usize, name: &[u8]) -> usize {
    let found = memmem::find_iter(&source[from..], b"</").find(|at| {
        let after = &source[from + at + 2..];
        after.len() >= name.len() && after[..name.len()].eq_ignore_ascii_case(name)
    });
    found.map_or(source.len(), |at| from + at)
}
