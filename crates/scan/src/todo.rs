//! Comments that ask for work.
//!
//! **Definition.** A [`Todo`] is a comment, or a part of one, that a tag such as `TODO` opens. The tag is a whole word
//! in its own case; it opens a paragraph of the comment, or a `:` or `(` follows it. The usual tags count in other
//! letters too where nothing but a request can be meant: `todo: text`.
//!
//! **Wanted properties.** What a person would call noise is not reported: prose about such comments, quotations,
//! identifiers, URLs, placeholders, licence texts. What a person would call a request is reported whole: the lines
//! that continue it belong to it.
//!
//! **Design.** `blocks` turns comments into lines without decoration, `tag` decides whether a line opens a request,
//! `head` reads the owner, the issue and the date that follow the tag, and this file joins the lines. `left_out` says
//! why a tag was not reported.

mod blocks;
mod head;
mod left_out;
mod line;
mod tag;
#[cfg(test)]
mod tests;

use aho_corasick::{AhoCorasick, MatchKind};
use backlog::time::Day;

use crate::language::Language;
use crate::lexer::{self, Comment};
pub(crate) use left_out::left_out;
pub use left_out::{LeftOut, Reason};

use blocks::{Block, CommentLine, Lines};
use head::Head;
use tag::Place;

/// The most tags that can be looked for at once.
pub const MAX_TAGS: usize = 32;
/// The longest tag, in characters.
const MAX_TAG_CHARS: usize = 40;
/// The longest title, in characters.
const MAX_TITLE_CHARS: usize = 120;
/// The longest text, in characters.
const MAX_TEXT_CHARS: usize = 4_000;
/// How many lines above and below a bare tag are searched for code.
const MAX_LINES_AROUND: usize = 20;
/// How much of a code line is looked at, in bytes.
const MAX_LINE_BYTES: usize = 500;
/// How much of a code line the title of a bare tag shows, in characters.
const MAX_CODE_CHARS: usize = 80;

/// Why a list of tags cannot be looked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTag {
    /// A tag is no word.
    #[error("`{0}` cannot be a tag: use a letter followed by letters, digits or `_`, at most 40 characters")]
    NoWord(String),
    /// There are none, or too many.
    #[error("{0} tags cannot be looked for: name between 1 and 32")]
    Count(usize),
}

/// What to look for.
#[derive(Clone, Debug)]
pub struct TodoOptions {
    tags: Vec<String>,
    prefilter: Option<AhoCorasick>,
    markdown_fences: bool,
}

impl TodoOptions {
    /// Looks for `tags`, each of them in the case it is written in.
    ///
    /// # Errors
    ///
    /// [`InvalidTag`] when a tag is no word of ASCII letters, digits and `_`, or when there are none or more than
    /// [`MAX_TAGS`].
    pub fn new(tags: Vec<String>) -> Result<Self, InvalidTag> {
        if tags.is_empty() || tags.len() > MAX_TAGS {
            return Err(InvalidTag::Count(tags.len()));
        }
        if let Some(tag) = tags.iter().find(|tag| !is_tag(tag)) {
            return Err(InvalidTag::NoWord(tag.chars().take(MAX_TAG_CHARS).collect()));
        }
        let spellings = tags.iter().flat_map(|tag| spellings(tag));
        let builder = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(spellings);
        // Without a prefilter every file is read, which is slower and just as right.
        Ok(Self { tags, prefilter: builder.ok(), markdown_fences: false })
    }

    /// Whether code in Markdown's fences is read too; it is not by default, since it mostly shows how things look.
    #[must_use]
    pub fn with_markdown_fences(self, markdown_fences: bool) -> Self {
        Self { markdown_fences, ..self }
    }

    /// What is looked for.
    #[must_use]
    pub fn tags(&self) -> &[String] {
        &self.tags
    }

    /// Whether `source` holds a tag that could open a request.
    pub(crate) fn may_match(&self, source: &[u8]) -> bool {
        self.words(source).is_none_or(|mut words| words.next().is_some())
    }

    /// Where tags stand in `source` that could open a request; `None` when nobody knows.
    fn words<'a>(&'a self, source: &'a [u8]) -> Option<impl Iterator<Item = (usize, usize)> + 'a> {
        let is_word = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
        let whole = move |(start, end): &(usize, usize)| {
            !is_word(start.checked_sub(1).map(|before| &source[before])) && !is_word(source.get(*end))
        };
        let prefilter = self.prefilter.as_ref()?;
        let found = prefilter.find_iter(source).map(|found| (found.start(), found.end()));
        Some(found.filter(whole).filter(|(start, end)| self.may_open(source, *start, *end)))
    }

    /// Whether the tag there is written as the options write it, or followed by what [`tag`] demands in other letters.
    fn may_open(&self, source: &[u8], start: usize, end: usize) -> bool {
        let word = &source[start..end];
        let sigil = start.checked_sub(1).is_some_and(|before| matches!(source[before], b'@' | b'\\'));
        let exact = || self.tags.iter().any(|tag| tag.as_bytes() == word);
        match source.get(end) {
            Some(b':') => source.get(end + 1) != Some(&b':') || exact(),
            Some(b'(') => true,
            Some(b' ' | b',') if word.eq_ignore_ascii_case(b"todo") || word.eq_ignore_ascii_case(b"fixme") => true,
            Some(_) | None => sigil || exact(),
        }
    }
}

/// A tag as written, in lower case, and in lower case with a capital: what can open a request. See `tag.rs`.
pub(crate) fn spellings(tag: &str) -> [String; 3] {
    let lower = tag.to_ascii_lowercase();
    let capital = format!("{}{}", lower[..1].to_ascii_uppercase(), &lower[1..]);
    [tag.to_owned(), lower, capital]
}

/// `TODO`, `FIXME`, `HACK`, `XXX` and `BUG`.
impl Default for TodoOptions {
    fn default() -> Self {
        let tags = ["TODO", "FIXME", "HACK", "XXX", "BUG"].map(str::to_owned).to_vec();
        Self::new(tags).expect("these five are words")
    }
}

fn is_tag(tag: &str) -> bool {
    tag.len() <= MAX_TAG_CHARS
        && tag.starts_with(|c: char| c.is_ascii_alphabetic())
        && tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// One request for work in a comment.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Todo {
    /// The tag, as the options write it.
    pub kind: String,
    /// The first line, from 1.
    pub line: u32,
    /// The last line, inclusive.
    pub end_line: u32,
    /// One line for people, at most 120 characters: what follows the tag, or the code next to a bare tag.
    pub title: String,
    /// The tag and everything that belongs to it, lines joined by `\n`, at most 4,000 characters.
    pub text: String,
    /// The name in `TODO(name)`.
    pub owner: Option<String>,
    /// The number in `TODO(#12)`.
    pub issue: Option<u64>,
    /// The date in `TODO: due 2027-01-01`.
    pub due: Option<Day>,
    /// The first line of the function around it; looked for only where a file asks for more than one thing.
    #[serde(default)]
    pub function: Option<u32>,
}

impl Todo {
    /// Whether there is nothing but the tag, so that the title speaks of the code next to it.
    pub(crate) fn is_bare(&self) -> bool {
        self.title.starts_with(&format!("{} at ", self.kind)) && !self.text.contains(&self.title)
    }

    /// What makes this request this one: its text; a bare tag is told apart by the code next to it.
    pub(crate) fn identity(&self) -> &str {
        if self.is_bare() { &self.title } else { &self.text }
    }

    /// The order inside a file, total so that results never depend on the order of the input.
    pub(crate) fn order(&self) -> (u32, u32, &str, &str, &str) {
        (self.line, self.end_line, &self.kind, &self.text, &self.title)
    }
}

/// The requests for work in the comments of a file in `language`, in order.
pub(crate) fn in_language(language: &Language, source: &[u8], options: &TodoOptions) -> Vec<Todo> {
    let comments = lexer::comments(language, source, options.markdown_fences);
    let lines = Lines::of(source);
    let tags: Option<Vec<usize>> = options.words(source).map(|words| words.map(|(start, _)| start).collect());
    // Only a block with a tag in it is worth taking apart.
    let wanted = |start: usize, end: usize| {
        let next = |tags: &Vec<usize>| tags.get(tags.partition_point(|tag| *tag < start)).copied();
        tags.as_ref().is_none_or(|tags| next(tags).is_some_and(|tag| tag < end))
    };
    let mut found = Vec::new();
    for block in blocks::blocks(source, &lines, &comments, wanted) {
        in_block(&block, source, &lines, &comments, options, &mut found);
    }
    found
}

fn in_block(
    block: &Block,
    source: &[u8],
    lines: &Lines,
    comments: &[Comment],
    options: &TodoOptions,
    found: &mut Vec<Todo>,
) {
    let mut index = 0;
    let mut after_tag = false;
    while index < block.lines.len() {
        let line = &block.lines[index];
        let place = if after_tag { Place::Opens } else { place(block, index) };
        let Some(tag) = tag::find(line, place, block.licence, &options.tags) else {
            after_tag = false;
            index += 1;
            continue;
        };
        let end = continuation_end(block, index, &tag, &options.tags);
        let mut todo = build(&block.lines[index..end], &tag);
        if todo.title.is_empty() {
            todo.title =
                format!("{} at {}", todo.kind, nearby_code(&line.text[..tag.start], block, source, lines, comments));
        }
        found.push(todo);
        after_tag = end == index + 1;
        index = end;
    }
}

fn place(block: &Block, index: usize) -> Place {
    let Some(before) = index.checked_sub(1).map(|before| &block.lines[before]) else {
        return Place::Opens;
    };
    if before.is_empty() || before.text.ends_with(['.', '!', '?', ':', ';', ')', '}']) {
        Place::Opens
    } else if tag::leads_into_tag(&before.text) {
        Place::Continues
    } else {
        Place::Unclear
    }
}

/// One past the last line that belongs to the request at `index`.
fn continuation_end(block: &Block, index: usize, tag: &tag::Tag, tags: &[String]) -> usize {
    let first = &block.lines[index];
    let hanging = block.lines.get(index + 1).is_some_and(|line| !line.is_empty() && line.column > first.column);
    let mut end = index + 1;
    while let Some(line) = block.lines.get(end) {
        let place = if end == index + 1 { Place::Opens } else { place(block, end) };
        let ends = line.is_empty()
            || line.fenced
            || (hanging && line.column <= first.column)
            || (tag.bulleted && line.column <= first.column && line::is_bullet(&line.text))
            || line::is_label(&line.text)
            || line::is_code(&line.text)
            || line::is_directive(&line.text)
            || tag::find(line, place, false, tags).is_some();
        if ends {
            break;
        }
        end += 1;
    }
    end
}

fn build(lines: &[CommentLine], tag: &tag::Tag) -> Todo {
    let first = &lines[0];
    let head = Head::parse(&first.text[tag.end..], tag.bracketed);
    let mut text = first.text[tag.start..].to_owned();
    let mut spoken = head.rest.to_owned();
    for line in &lines[1..] {
        text.push('\n');
        text.push_str(&line.text);
        spoken.push(' ');
        spoken.push_str(&line.text);
    }
    Todo {
        kind: tag.kind.clone(),
        line: first.number,
        end_line: lines[lines.len() - 1].number,
        title: head::title(&spoken),
        text: text.chars().take(MAX_TEXT_CHARS).collect(),
        owner: head.owner,
        issue: head.issue,
        due: head.due.or_else(|| head::due_date(&spoken)),
        function: None,
    }
}

/// The code a bare tag is about: on its own line, else commented out before it, else below, else above.
fn nearby_code(before: &str, block: &Block, source: &[u8], lines: &Lines, comments: &[Comment]) -> String {
    let code_in = |number: usize| {
        let (start, end) = lines.range(number);
        let end = end.min(start + MAX_LINE_BYTES);
        let mut code = source[start..end].to_vec();
        let from = comments.partition_point(|comment| comment.end <= start);
        for comment in comments[from..].iter().take_while(|comment| comment.start < end) {
            code[comment.start.max(start) - start..comment.end.min(end) - start].fill(b' ');
        }
        let code = String::from_utf8_lossy(&code).split_whitespace().collect::<Vec<_>>().join(" ");
        code.contains(|c: char| c.is_alphanumeric()).then_some(code)
    };
    let (first, last) = (lines.number_at(block.start), lines.number_at(block.end.saturating_sub(1)));
    let below = (last + 1..=lines.count()).take(MAX_LINES_AROUND).find_map(|number| {
        // A closing brace below says less than the line above.
        let (start, end) = lines.range(number);
        let closing = source[start..end].trim_ascii_start().first().is_some_and(|byte| b")]}".contains(byte));
        if closing { Some(None) } else { code_in(number).map(Some) }
    });
    let above = || (1..first).rev().take(MAX_LINES_AROUND).find_map(code_in);
    let commented_out = before.trim_end_matches([' ', '/', '#']);
    let commented_out = commented_out.contains(|c: char| c.is_alphanumeric()).then(|| commented_out.to_owned());
    match code_in(first).or_else(|| code_in(last)).or(commented_out).or_else(|| below.flatten()).or_else(above) {
        Some(code) => format!("`{}`", clip(&code, MAX_CODE_CHARS)),
        None => "a comment without code around it".to_owned(),
    }
}

/// At most 120 characters, cut at a word where possible.
pub(crate) fn shorten(text: &str) -> String {
    clip(text, MAX_TITLE_CHARS)
}

fn clip(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    let kept: String = text.chars().take(limit - 1).collect();
    let cut = kept.rfind(' ').filter(|at| *at > kept.len() / 2).unwrap_or(kept.len());
    format!("{}…", kept[..cut].trim_end())
}
