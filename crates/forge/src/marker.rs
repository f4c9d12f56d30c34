//! Hidden markers: how we find our own issues, pull requests and comments again.
//!
//! **Definition.** An HTML comment at the end of a body, `<!-- ccm:v1 task=… kind=… mac=… -->`.
//!
//! **Wanted properties.** A marker proves that this installation wrote it (HMAC-SHA-256 cut to 128 bits, compared
//! in constant time); it survives a lost database, because the task's id is derived from what the task is about.
//!
//! **Known races.** A marker can be copied by anybody who reads it, so a caller must compare the author as well;
//! [`strip`] takes foreign markers out of a text before we send it, and [`find`] takes the last valid one.

use backlog::intent::IntentKind;
use backlog::names::TaskId;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

const OPEN: &str = "<!-- ccm:v1 ";
const CLOSE: &str = "-->";
/// Hex digits of the code, half of SHA-256.
const MAC_DIGITS: usize = 32;
/// The longest name of a comment.
const NAME_MAX: usize = 40;

/// What a marker says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marker {
    /// What carries it.
    pub kind: IntentKind,
    /// The task it belongs to.
    pub task: TaskId,
    /// The name of a comment; empty for an issue and a pull request.
    pub name: String,
}

impl Marker {
    /// The marker of an issue or a pull request.
    #[must_use]
    pub fn of(kind: IntentKind, task: &TaskId) -> Self {
        Self { kind, task: task.clone(), name: String::new() }
    }

    /// The marker of the comment called `name`. Anything but ASCII letters, digits, `-` and `_` becomes `-`, and
    /// what is longer than 40 characters is cut.
    #[must_use]
    pub fn of_comment(task: &TaskId, name: &str) -> Self {
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '-' };
        Self { kind: IntentKind::Comment, task: task.clone(), name: name.chars().take(NAME_MAX).map(plain).collect() }
    }
}

/// The comment to put at the end of a body.
#[must_use]
pub fn marker(key: &[u8], marker: &Marker) -> String {
    let Marker { kind, task, name } = marker;
    let mac = mac(key, marker);
    let name = if name.is_empty() { String::new() } else { format!(" name={name}") };
    format!("{OPEN}task={task} kind={}{name} mac={mac} {CLOSE}", kind.as_str())
}

/// The last valid marker in `body`; `None` when there is none or none verifies under `key`. One that was begun and not
/// finished before it hides nothing.
#[must_use]
pub fn find(key: &[u8], body: &str) -> Option<Marker> {
    // What follows the last end is in no comment.
    body.rsplit(CLOSE).skip(1).find_map(|piece| read(key, piece.rsplit_once(OPEN)?.1))
}

/// `body` without any marker, valid or not, whole or only begun, and without white space at its end.
#[must_use]
pub fn strip(body: &str) -> String {
    let mut text = body.to_owned();
    // Taking one out can join the halves of another.
    while let Some(from) = text.find(OPEN) {
        match text[from..].find(CLOSE) {
            Some(length) => text.replace_range(from..from + length + CLOSE.len(), ""),
            None => text = text.replace(OPEN, ""),
        }
    }
    text.trim_end().to_owned()
}

fn read(key: &[u8], fields: &str) -> Option<Marker> {
    let (mut kind, mut task, mut name, mut given) = (None, None, String::new(), "");
    for field in fields.split_ascii_whitespace() {
        match field.split_once('=')? {
            ("task", value) => task = value.parse::<TaskId>().ok(),
            ("kind", "issue") => kind = Some(IntentKind::Issue),
            ("kind", "pull_request") => kind = Some(IntentKind::PullRequest),
            ("kind", "comment") => kind = Some(IntentKind::Comment),
            ("name", value) => value.clone_into(&mut name),
            ("mac", value) => given = value,
            _ => return None,
        }
    }
    let marker = Marker { kind: kind?, task: task?, name };
    bool::from(mac(key, &marker).as_bytes().ct_eq(given.as_bytes())).then_some(marker)
}

fn mac(key: &[u8], marker: &Marker) -> String {
    let mut code = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    code.update(format!("ccm:v1\n{}\n{}\n{}", marker.kind.as_str(), marker.task, marker.name).as_bytes());
    let mut digits = hex::encode(code.finalize().into_bytes());
    digits.truncate(MAC_DIGITS);
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &[u8] = b"a key of this installation";

    fn task() -> TaskId {
        "3k9d0fz2ha".parse().unwrap()
    }

    #[test]
    fn a_marker_is_found_again() {
        for given in [
            Marker::of(IntentKind::Issue, &task()),
            Marker::of(IntentKind::PullRequest, &task()),
            Marker::of_comment(&task(), "status"),
        ] {
            let body = format!("Do this.\n\n{}\n", marker(KEY, &given));
            assert_eq!(find(KEY, &body), Some(given));
            assert_eq!(strip(&body), "Do this.");
        }
        insta::assert_snapshot!(
            marker(KEY, &Marker::of_comment(&task(), "run log -->")),
            @"<!-- ccm:v1 task=3k9d0fz2ha kind=comment name=run-log---- mac=b5cb53e5a78be519757148918812a215 -->"
        );
    }

    #[test]
    fn nothing_that_was_changed_verifies() {
        let real = marker(KEY, &Marker::of(IntentKind::Issue, &task()));
        let table = [
            real.replace("issue", "comment"),
            real.replace("3k9d0fz2ha", "3k9d0fz2hb"),
            real.replace("mac=", "mac=0"),
            real.replace(" mac=", " name=x mac="),
            real.replace(" mac=", " more=x mac="),
            real.replace("-->", ""),
            "<!-- ccm:v1 -->".to_owned(),
            "<!-- ccm:v1 task=3k9d0fz2ha kind=issue mac= -->".to_owned(),
            String::new(),
        ];
        for body in table {
            assert_eq!(find(KEY, &body), None, "{body}");
        }
        assert_eq!(find(b"another key", &real), None);
    }

    #[test]
    fn a_copied_marker_in_the_text_neither_wins_nor_survives() {
        let copied = marker(KEY, &Marker::of(IntentKind::Issue, &"zzzzzzzzzz".parse().unwrap()));
        let own = Marker::of(IntentKind::Issue, &task());
        assert_eq!(find(KEY, &format!("{copied} text {}", marker(KEY, &own))), Some(own));
        assert_eq!(strip(&format!("a {copied}b")), "a b");
        assert_eq!(strip("a <!-- ccm:v1 <!-- ccm:v1 x -->y -->"), "a y -->");
        assert_eq!(strip("a <!-- cc<!-- ccm:v1 x -->m:v1 y --> b"), "a  b");
        assert_eq!(strip("a <!-- other --> b"), "a <!-- other --> b");
    }

    #[test]
    fn a_marker_that_is_only_begun_hides_none() {
        let own = Marker::of(IntentKind::Issue, &task());
        let marked = |body: &str| format!("{body}\n\n{}", marker(KEY, &own));
        let begun = "We look for `<!-- ccm:v1 ` in a body.";
        assert_eq!(find(KEY, &marked(begun)), Some(own.clone()));
        assert_eq!(strip(begun), "We look for `` in a body.");
        assert_eq!(strip(&marked(&strip(begun))), strip(begun), "what is read again is what was written");
    }

    #[test]
    fn markers_within_markers_need_no_stack() {
        let deep = ["<!-- cc".repeat(3000), "<!-- ccm:v1 x -->".to_owned(), "m:v1 x -->".repeat(3000)].concat();
        assert_eq!(strip(&deep), "");
    }
}
