//! What stands between a tag and the text: an owner, an issue, a date.

use backlog::time::Day;

use super::shorten;

/// The longest owner, in characters.
const MAX_OWNER_CHARS: usize = 40;
/// A first sentence shorter than this is no title of its own.
const MIN_SENTENCE: usize = 20;

/// What follows the tag on its line.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Head<'a> {
    pub(super) owner: Option<String>,
    pub(super) issue: Option<u64>,
    pub(super) due: Option<Day>,
    /// The text after all of these.
    pub(super) rest: &'a str,
}

impl<'a> Head<'a> {
    /// Reads `(name, #12, 2027-01-01):`, `#12:` and `@name:`; `bracketed` says that a bracket around the tag is open.
    pub(super) fn parse(after_tag: &'a str, bracketed: bool) -> Self {
        let mut head = Head { rest: after_tag, ..Head::default() };
        if let Some((inside, rest)) = parenthesis(after_tag)
            && head.marks(inside)
        {
            head.rest = rest;
        }
        head.rest = skip_separators(head.rest);
        if let Some((issue, rest)) = leading_issue(head.rest).filter(|_| head.issue.is_none()) {
            head.issue = Some(issue);
            head.rest = skip_separators(rest);
        }
        if let Some((owner, rest)) = leading_owner(head.rest).filter(|_| head.owner.is_none()) {
            head.owner = Some(owner.to_owned());
            head.rest = skip_separators(rest);
        }
        if bracketed {
            head.rest = head.rest.trim_end().trim_end_matches([')', ']', '}']);
        }
        head
    }

    /// Takes what stands in the parentheses; `false` when that is prose, which belongs to the text.
    fn marks(&mut self, inside: &str) -> bool {
        if inside.split_whitespace().count() > 6 {
            return false;
        }
        for part in inside.split([',', ';']).map(str::trim).filter(|part| !part.is_empty()) {
            let words = part.split_whitespace().count();
            if let Some(issue) = issue_number(part, part == inside.trim()) {
                self.issue = self.issue.or(Some(issue));
            } else if let Some(date) = part.split_whitespace().next_back().and_then(|date| date.parse().ok()) {
                self.due = Some(date);
            } else if self.owner.is_none() && words <= 2 && is_owner(part) {
                self.owner = Some(part.trim_start_matches('@').to_owned());
            } else if words > 2 {
                *self = Self { rest: self.rest, ..Head::default() };
                return false;
            }
        }
        true
    }
}

/// What a parenthesis glued to the tag holds, and what follows. After a space it must end with a colon.
fn parenthesis(text: &str) -> Option<(&str, &str)> {
    let trimmed = text.trim_start();
    let close = match trimmed.chars().next()? {
        '(' => ')',
        '[' => ']',
        _ => return None,
    };
    let (inside, rest) = trimmed[1..].split_once(close)?;
    (trimmed.len() == text.len() || rest.starts_with(':')).then_some((inside, rest))
}

/// What follows a tag before its text begins. Dots and dashes count only where white space ends them: `.gitignore`.
fn skip_separators(text: &str) -> &str {
    let mut text = text.trim_start();
    loop {
        // The end of `**TODO:** text`.
        let rest = text.strip_prefix("** ").unwrap_or(text);
        let rest = rest.trim_start_matches([':', ',', ';', ')', ']', '}']);
        let loose = rest.trim_start_matches(['-', '–', '—', '!', '.', '=', '>', '?', '…']);
        let ends = loose.is_empty() || loose.starts_with(char::is_whitespace);
        let next = if ends { loose } else { rest }.trim_start();
        if next.len() == text.len() {
            return text;
        }
        text = next;
    }
}

/// `#12`, `GH-12`, `issue 12`, and where it stands `alone`, `12`.
fn issue_number(part: &str, alone: bool) -> Option<u64> {
    let lower = part.to_ascii_lowercase();
    let marked = ["#", "gh-", "issue #", "issue "].iter().find_map(|prefix| lower.strip_prefix(prefix));
    let number = marked.or(alone.then_some(lower.as_str()))?;
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) { None } else { number.parse().ok() }
}

/// `#12` at the start, which a colon, white space or the end follows.
fn leading_issue(text: &str) -> Option<(u64, &str)> {
    let digits = text.strip_prefix('#')?;
    let length = digits.bytes().take_while(u8::is_ascii_digit).count();
    let rest = &digits[length..];
    let ends = rest.is_empty() || rest.starts_with(|c: char| c.is_whitespace() || ":,;-)]".contains(c));
    digits[..length].parse().ok().filter(|_| ends).map(|issue| (issue, rest))
}

/// `@name:` at the start.
fn leading_owner(text: &str) -> Option<(&str, &str)> {
    let (owner, rest) = text.strip_prefix('@')?.split_once(':')?;
    (is_owner(owner) && !owner.contains(' ')).then_some((owner, rest))
}

fn is_owner(part: &str) -> bool {
    let allowed = |c: char| c.is_alphanumeric() || "_-.@ '".contains(c);
    part.chars().count() <= MAX_OWNER_CHARS && part.chars().all(allowed) && part.contains(char::is_alphabetic)
}

/// The date after `due`, `by`, `until` or `before`.
pub(super) fn due_date(text: &str) -> Option<Day> {
    announced(text).find_map(|date| date.parse().ok())
}

/// What follows the words that announce a date.
fn announced(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split_whitespace().map(|word| word.trim_matches(|c: char| !c.is_ascii_alphanumeric()));
    let mut before = "";
    words.filter(|word| !word.is_empty()).filter(move |word| {
        let before = std::mem::replace(&mut before, word);
        ["due", "by", "until", "before"].iter().any(|due| before.eq_ignore_ascii_case(due))
    })
}

/// What stands where a date is read, looks like one and is none: `2027-02-30`, `01.02.2027`. `after_tag` is the request
/// without its tag.
pub(super) fn no_date(after_tag: &str) -> Option<&str> {
    let marks = parenthesis(after_tag).map_or("", |(inside, _)| inside);
    let marks = marks.split([',', ';']).filter_map(|part| part.split_whitespace().next_back());
    marks.chain(announced(after_tag)).find(|date| looks_like_date(date) && date.parse::<Day>().is_err())
}

/// Whether it is three numbers of which the first or the last has four digits.
fn looks_like_date(text: &str) -> bool {
    let numbers: Vec<&str> = text.split(['-', '/', '.']).collect();
    let lengths: Vec<usize> = numbers.iter().map(|number| number.len()).collect();
    numbers.iter().all(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
        && matches!(lengths[..], [4, 1 | 2, 1 | 2] | [1 | 2, 1 | 2, 4])
}

/// One line for people: the first sentence, at most 120 characters; empty when nothing is said.
pub(super) fn title(spoken: &str) -> String {
    let line = spoken.split_whitespace().collect::<Vec<_>>().join(" ");
    let line = skip_separators(&line);
    if !line.contains(|c: char| c.is_alphanumeric()) {
        return String::new();
    }
    let ends = |at: &usize| {
        let after = line[at + 2..].chars().next();
        *at >= MIN_SENTENCE && after.is_some_and(|c| !c.is_lowercase()) && !line[..*at].ends_with("e.g")
    };
    let sentence = line.match_indices(". ").map(|(at, _)| at).find(ends).map_or(line, |at| &line[..at]);
    let sentence = sentence.trim_end();
    shorten(sentence.strip_suffix('.').filter(|text| !text.ends_with('.')).unwrap_or(sentence))
}
