//! Whether a line of a comment opens a request for work.
//!
//! **Verdict on doubt.** A tag that opens a paragraph is a request unless its next word says that the sentence is about
//! tags. A tag in the middle of a line needs a `:`, or a sentence that ends before it.

use super::blocks::CommentLine;
use super::line::{self, is_bullet};
use super::{Reason, spellings};

/// How a line stands to the line above it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// It opens a paragraph or a sentence.
    Opens,
    /// It may do either.
    Unclear,
    /// It continues the sentence above.
    Continues,
}

/// A tag that opens a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Tag {
    /// As the options write it.
    pub(super) kind: String,
    /// Where the request begins in the line's text.
    pub(super) start: usize,
    /// One past the tag and everything glued to it that is no text.
    pub(super) end: usize,
    /// The bracket around the tag alone, in `[TODO]`, that has yet to be closed.
    pub(super) bracketed: bool,
    /// Whether a list bullet stands before it.
    pub(super) bulleted: bool,
}

/// A tag in the middle of a line counts up to here, in bytes; the search looks back from every tag it meets.
const MAX_MIDDLE: usize = 500;
/// After a tag these words make a sentence about such comments.
const ABOUT_TAGS: [&str; 30] = [
    "comment",
    "comments",
    "item",
    "items",
    "list",
    "lists",
    "marker",
    "markers",
    "tag",
    "tags",
    "entry",
    "entries",
    "note",
    "notes",
    "keyword",
    "keywords",
    "label",
    "labels",
    "are",
    "was",
    "were",
    "app",
    "apps",
    "application",
    "annotation",
    "annotations",
    "file",
    "files",
    "count",
    "counts",
];
/// After "TODO is", these words tell rather than ask.
const AFTER_IS: [&str; 14] = [
    "a", "an", "the", "not", "now", "no", "used", "still", "done", "handled", "fixed", "reported", "always", "resolved",
];
/// A report or its number, not a request: "BUG fixes", "BUG 4711".
const AFTER_BUG: [&str; 9] = ["fix", "fixes", "fixed", "report", "reports", "tracker", "number", "id", "ids"];
/// Before a tag in the middle of a line these words make it a part of the sentence.
const BEFORE_PROSE: [&str; 44] = [
    "the", "a", "an", "this", "that", "these", "those", "no", "any", "each", "every", "all", "of", "see", "with",
    "like", "as", "say", "says", "e.g.", "eg", "i.e.", "per", "about", "case", "is", "are", "and", "or", "to", "your",
    "my", "our", "its", "add", "find", "write", "use", "using", "called", "named", "marked", "from", "default",
];
/// The tags that count in other letters too.
const USUAL: [&str; 5] = ["TODO", "FIXME", "HACK", "XXX", "BUG"];
/// Values that make `todo: true` a field and no request.
const VALUES: [&str; 6] = ["true", "false", "null", "None", "string", "number"];
const DECORATION: [char; 13] = ['*', '-', '+', '/', '#', '!', ';', '%', '=', '~', '>', '•', '|'];

/// The request that `line` opens at its `place`; in a licence only the clearest form counts.
pub(super) fn find(line: &CommentLine, place: Place, licence: bool, tags: &[String]) -> Option<Tag> {
    if line.fenced {
        return None;
    }
    let at_start = at_start(&line.text, place, licence, tags);
    if at_start.is_some() || licence { at_start } else { in_the_middle(&line.text, tags) }
}

/// Why the first tag in `text`, which [`find`] did not take, asks for nothing.
pub(super) fn why_not(text: &str, tags: &[String]) -> Reason {
    let spelled = tags.iter().flat_map(|tag| spellings(tag));
    let Some((at, tag)) = spelled.filter_map(|tag| Some((text.find(&tag)?, tag))).min() else {
        return Reason::InASentence;
    };
    let (before, rest) = (&text[..at], &text[at + tag.len()..]);
    // An apostrophe inside a word, as in "it's", quotes nothing.
    let apostrophe = |(at, _): &(usize, &str)| !before[..*at].ends_with(char::is_alphanumeric);
    let quoted = ['`', '"', '“'].iter().any(|quote| before.matches(*quote).count() % 2 == 1)
        || before.match_indices('\'').filter(apostrophe).count() % 2 == 1;
    if quoted {
        Reason::Quoted
    } else if is_call(rest) || line::is_code(text) || rest.trim_start().starts_with('=') || rest.starts_with("::") {
        Reason::Code
    } else if is_prose(rest, &tag.to_ascii_uppercase(), tags) {
        Reason::AboutTags
    } else {
        Reason::InASentence
    }
}

/// Whether a line ends in the middle of a phrase, so that a tag below belongs to the phrase.
pub(super) fn leads_into_tag(text: &str) -> bool {
    text.ends_with([',', '`', '"']) || BEFORE_PROSE.contains(&last_word(text).as_str())
}

fn last_word(text: &str) -> String {
    text.rsplit(char::is_whitespace).next().unwrap_or_default().to_lowercase()
}

fn at_start(text: &str, place: Place, licence: bool, tags: &[String]) -> Option<Tag> {
    let (start, bulleted) = skip_decoration(text);
    let bracket = text[start..].starts_with(['[', '(', '{']);
    let sigil_at = start + usize::from(bracket);
    let sigil = text[sigil_at..].starts_with(['@', '\\']);
    let tag_at = sigil_at + usize::from(sigil);
    let Some(kind) = tag_named(&text[tag_at..], tags, sigil) else {
        return in_other_case(text, start, tag_at, place, tags).filter(|_| !licence);
    };
    let mut end = tag_at + kind.len();
    let mut bracketed = bracket;
    if bracket && text[end..].starts_with([']', ')', '}']) {
        bracketed = false;
        end += 1;
    }
    end += text[end..].len() - text[end..].trim_start_matches("**").len();
    let rest = &text[end..];
    if !is_word_end(rest, tags) {
        return None;
    }
    // `TODO/FIXME: text`: the first one names the kind.
    end += usize::from(rest.starts_with(['/', '|', '-']));
    let strong = place == Place::Opens || bulleted || bracket || sigil;
    let likely = strong || (place == Place::Unclear && is_phrase(rest, kind, 3));
    let accepted = is_clear(rest) || (!licence && likely && !is_prose(rest, kind, tags));
    (accepted && !is_call(rest)).then(|| Tag { kind: kind.to_owned(), start, end, bracketed, bulleted })
}

/// `todo: text`, `Hack(bob): text`, `Todo in v2, do so`: one of the usual tags in other letters, where only a request
/// can be meant.
fn in_other_case(text: &str, start: usize, tag_at: usize, place: Place, tags: &[String]) -> Option<Tag> {
    let named = |tag: &&String| {
        let word = text.get(tag_at..tag_at + tag.len());
        USUAL.contains(&tag.as_str()) && word.is_some_and(|word| spellings(tag).iter().any(|known| known == word))
    };
    let kind = tags.iter().find(named).filter(|_| place == Place::Opens)?;
    let end = tag_at + kind.len();
    let rest = &text[end..];
    let after = rest.strip_prefix('(').and_then(|inside| Some(inside.split_once(')')?.1)).unwrap_or(rest);
    let said = after.trim_start_matches([':', ',', ' ']);
    let words = said.split_whitespace().count();
    let field = words == 1 && (said.ends_with([',', ';', '{', '[']) || VALUES.contains(&said));
    let labelled = after.starts_with(':') && !after.starts_with("::") && !field && !said.starts_with("http");
    // "Bug in the linker" and "hack around it" tell of what is there; "fixme later" asks.
    let asks = ["TODO", "FIXME"].contains(&kind.as_str());
    let begins = said.starts_with(|c: char| c.is_alphanumeric());
    let sentence = asks && rest.starts_with([' ', ',']) && begins && words >= 3 && !is_prose(rest, kind, tags);
    let request = (labelled && words > 0) || (sentence && !line::is_code(text) && !text.contains("(["));
    request.then(|| Tag { kind: kind.clone(), start, end, bracketed: false, bulleted: is_bullet(text) })
}

/// Whether enough words follow to make a request of a tag that may be a part of a sentence.
fn is_phrase(rest: &str, kind: &str, words: usize) -> bool {
    kind != "BUG" && rest.starts_with(' ') && rest.split_whitespace().count() >= words
}

fn skip_decoration(text: &str) -> (usize, bool) {
    let mut rest = text;
    loop {
        let before = rest.len();
        rest = rest.trim_start_matches(DECORATION).trim_start();
        for opening in ["[ ]", "[x]", "[]", "<!--", "<p>", "<li>", "<br>", "<b>"] {
            rest = rest.strip_prefix(opening).unwrap_or(rest);
        }
        let digits = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        if digits.len() < rest.len() {
            rest = digits.strip_prefix(". ").or_else(|| digits.strip_prefix(") ")).unwrap_or(rest);
        }
        if rest.len() == before {
            return (text.len() - rest.len(), is_bullet(text) || rest.len() < text.len());
        }
    }
}

/// The tag that `text` begins with; after `@` or `\` it may be in lower case.
fn tag_named<'a>(text: &str, tags: &'a [String], sigil: bool) -> Option<&'a str> {
    let fits = |tag: &&String| {
        text.starts_with(tag.as_str())
            || (sigil && text.get(..tag.len()).is_some_and(|word| word == tag.to_ascii_lowercase()))
    };
    tags.iter().filter(fits).max_by_key(|tag| tag.len()).map(String::as_str)
}

/// Whether a word ends before `rest`, and is no part of a path, a name or a quotation.
fn is_word_end(rest: &str, tags: &[String]) -> bool {
    let mut chars = rest.chars();
    let Some(next) = chars.next() else { return true };
    let after = chars.next();
    match next {
        '/' | '|' => tag_named(&rest[1..], tags, false).is_some() || is_capitals_and_colon(&rest[1..]),
        '-' => !after.is_some_and(char::is_alphanumeric) || is_version_and_colon(&rest[1..]),
        '.' => !after.is_some_and(char::is_alphanumeric),
        ':' => !is_path(rest),
        _ => next.is_whitespace() || "([,;!?…—–)]}*@#>".contains(next),
    }
}

/// `TODO-v2: text`.
fn is_version_and_colon(text: &str) -> bool {
    let version = text.strip_prefix('v').unwrap_or(text);
    let after = version.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    after.len() < version.len() && after.starts_with(": ")
}

/// `TODO/MAYBE: text`.
fn is_capitals_and_colon(text: &str) -> bool {
    let after = text.trim_start_matches(|c: char| c.is_ascii_uppercase());
    after.len() < text.len() && after.starts_with(": ")
}

/// Whether a tag is followed by what only a request has: a colon, an owner, an issue.
fn is_clear(rest: &str) -> bool {
    let spaced = rest.trim_start();
    let colon = spaced.starts_with(':') && !is_path(spaced);
    let number = spaced.strip_prefix('#').is_some_and(|number| number.starts_with(|c: char| c.is_ascii_digit()));
    let owner = rest.starts_with('(') && !rest.starts_with("()");
    colon || number || owner || rest.starts_with("():") || rest.starts_with('[') || spaced.starts_with("- ")
}

/// Whether `::name` follows; `TODO:: text` is a slip of the hand.
fn is_path(rest: &str) -> bool {
    rest.strip_prefix("::").is_some_and(|after| after.starts_with(|c: char| !c.is_whitespace()))
}

/// `BUG();` or `XXX(a, b);`: a call in commented-out code. `TODO(b/12). Text` is none.
fn is_call(rest: &str) -> bool {
    let Some(inside) = rest.strip_prefix('(') else {
        return false;
    };
    let after = inside.find(')').map_or("", |close| inside[close + 1..].trim_start());
    let method =
        after.strip_prefix('.').is_some_and(|name| name.starts_with(|c: char| c.is_alphanumeric() || c == '_'));
    method || after.starts_with([';', '{', '?']) || (inside.starts_with(')') && !after.starts_with(':'))
}

fn is_prose(rest: &str, kind: &str, tags: &[String]) -> bool {
    let mut rest = rest.trim_start();
    if rest.starts_with(['=', '<', '>', '+']) {
        return true;
    }
    let mut chained = false;
    while let Some(next) = after_chain(rest, tags) {
        chained = true;
        rest = next;
    }
    if chained {
        return !is_clear(rest);
    }
    // "TODO Are these needed?" and "XXX Note that …" begin a sentence of their own, and "TODO tags?" asks.
    let own = ["Are ", "Was ", "Were ", "Note "].iter().any(|word| rest.starts_with(word)) || rest.ends_with('?');
    if own {
        return false;
    }
    let mut words =
        rest.split_whitespace().map(|word| word.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase());
    let (first, second) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    ABOUT_TAGS.contains(&first.as_str())
        || (first == "is" && AFTER_IS.contains(&second.as_str()))
        || (kind == "BUG" && (AFTER_BUG.contains(&first.as_str()) || first.starts_with(|c: char| c.is_ascii_digit())))
}

/// What follows the next tag of a list such as `TODO, FIXME and XXX`.
fn after_chain<'a>(rest: &'a str, tags: &[String]) -> Option<&'a str> {
    let mut next = rest.trim_start_matches([',', '/', '|', '&']).trim_start();
    for word in ["and ", "or "] {
        next = next.strip_prefix(word).unwrap_or(next);
    }
    let tag = tag_named(next, tags, false).filter(|_| next.len() < rest.len())?;
    let after = &next[tag.len()..];
    let whole = !after.starts_with(|c: char| c.is_alphanumeric() || c == '_');
    whole.then(|| after.trim_start())
}

fn in_the_middle(text: &str, tags: &[String]) -> Option<Tag> {
    let mut best: Option<Tag> = None;
    for tag in tags {
        for (at, _) in text.match_indices(tag.as_str()).take_while(|(at, _)| *at < MAX_MIDDLE) {
            let end = at + tag.len();
            let first = best.as_ref().is_none_or(|best| at < best.start);
            let (before, rest) = (&text[..at], &text[end..]);
            let begins = is_nested_comment(before) || (ends_sentence(before) && is_phrase(rest, tag, 2));
            let sentence = begins && !is_prose(rest, tag, tags) && !is_call(rest);
            if first && is_open_before(before) && (is_request_after(rest) || sentence) && is_word_end(rest, tags) {
                let end = end + usize::from(rest.starts_with(['/', '|']));
                best = Some(Tag { kind: tag.clone(), start: at, end, bracketed: false, bulleted: false });
            }
        }
    }
    best
}

/// Whether a comment inside a comment opens before a tag: `# noqa # TODO`.
fn is_nested_comment(before: &str) -> bool {
    let trimmed = before.trim_end();
    trimmed.ends_with(" #") || trimmed.ends_with(" //")
}

/// Whether a sentence ends before a tag, or a lone `@deprecated` stands there.
fn ends_sentence(before: &str) -> bool {
    let trimmed = before.trim_end();
    let dashed = [" -", " --", " —", " –"].iter().any(|dash| trimmed.ends_with(dash));
    let label = trimmed.starts_with('@') && !trimmed.contains(' ');
    dashed || label || trimmed.ends_with(['.', ';', '!', '?'])
}

/// Whether a request may begin after `before`, the start of its line.
fn is_open_before(before: &str) -> bool {
    let quoted = ['`', '"', '“'].iter().any(|quote| before.matches(*quote).count() % 2 == 1 && !before.ends_with("”"));
    let trimmed = before.trim_end();
    let spaced = trimmed.len() < before.len();
    let glued = ["(", "[", "*", " //", ";//", " #", " --"].iter().any(|mark| before.ends_with(mark));
    let either = before.strip_suffix('/').is_some_and(|word| word.ends_with(|c: char| c.is_ascii_uppercase()));
    if quoted || !(spaced || glued || either) || trimmed.ends_with(['{', '<', '$', '&', '=']) {
        return false;
    }
    !BEFORE_PROSE.contains(&last_word(trimmed).as_str())
}

/// In the middle of a sentence only `TODO: text` and `TODO(name): text` are requests.
fn is_request_after(rest: &str) -> bool {
    let after = match rest.strip_prefix('(') {
        Some(inside) => match inside.split_once(')') {
            Some((owner, after)) if !owner.trim().is_empty() && owner.len() <= 80 => after,
            Some(_) | None => return false,
        },
        None => rest,
    };
    after.starts_with(':') && !after.starts_with("::")
}
