//! The text of a result (§3.11): given, or a template of its rule, with its arguments filled in and links made plain.

use super::document::{Component, Rule, Stated, Wording};

/// The longest message that is made, in bytes; the reader cuts it further.
const MAX_BYTES: usize = 64 << 10;

/// What the result says. Without any text its rule's short description speaks.
pub(super) fn of(stated: &Stated, rule: Option<&Rule>, driver: &Component) -> String {
    let message = stated.message.as_ref();
    let template = message.and_then(|message| message.id.as_deref()).and_then(|id| {
        let of_rule = rule.and_then(|rule| rule.message_strings.as_ref()).and_then(|texts| texts.get(id));
        let of_tool = || driver.global_message_strings.as_ref().and_then(|texts| texts.get(id));
        of_rule.or_else(of_tool).and_then(|wording| wording.text.as_deref())
    });
    let described = || rule.and_then(|rule| rule.short_description.as_ref()).and_then(text);
    let arguments = message.and_then(|message| message.arguments.as_ref()).map(|list| list.items.as_slice());
    let filled = match (message.and_then(text), template) {
        (Some(text), _) => arguments.map_or_else(|| text.to_owned(), |arguments| fill(text, arguments)),
        (None, Some(template)) => fill(template, arguments.unwrap_or_default()),
        (None, None) => described().unwrap_or_default().to_owned(),
    };
    plain(&filled)
}

fn text(wording: &Wording) -> Option<&str> {
    wording.text.as_deref().filter(|text| !text.trim().is_empty())
}

/// `{0}` becomes the first argument, `{{` and `}}` become braces (§3.11.5).
fn fill(template: &str, arguments: &[String]) -> String {
    let mut filled = String::new();
    let mut rest = template;
    while let Some(at) = rest.find(['{', '}']) {
        filled.push_str(&rest[..at]);
        let (brace, after) = rest[at..].split_at(1);
        let number = after.split_once('}').and_then(|(number, after)| Some((number.parse::<usize>().ok()?, after)));
        rest = match (after.strip_prefix(brace), number.filter(|_| brace == "{")) {
            (Some(after), _) => {
                filled.push_str(brace);
                after
            }
            (None, Some((number, after))) => {
                filled.push_str(arguments.get(number).map_or("…", String::as_str));
                after
            }
            (None, None) => {
                filled.push_str(brace);
                after
            }
        };
        if filled.len() > MAX_BYTES {
            return filled;
        }
    }
    filled + rest
}

/// Links to other places of the report are only their text: `[this value](1)` (§3.11.6).
fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some(middle) = rest.find("](") {
        let (before, after) = (&rest[..middle], &rest[middle + 2..]);
        let digits = after.bytes().take_while(u8::is_ascii_digit).count();
        match before.rfind('[') {
            Some(open) if digits > 0 && after[digits..].starts_with(')') => {
                plain.push_str(&before[..open]);
                plain.push_str(&before[open + 1..]);
                rest = &after[digits + 1..];
            }
            Some(_) | None => {
                plain.push_str(&rest[..middle + 2]);
                rest = after;
            }
        }
    }
    plain + rest
}
