//! Text from a code host on its way to an agent.
//!
//! **Definition.** [`sanitize`] leaves of Markdown what a person sees: no HTML comments, no invisible characters, no
//! characters that turn the reading direction around. [`visible`] does the same for plain text such as logs. [`masked`]
//! takes out what looks like a secret. [`shown`] is for what strangers wrote.
//!
//! **Wanted properties.** Nobody can tell an agent something that a reviewer of the same text does not see. The
//! result of sanitizing twice is the result of sanitizing once.

use std::sync::LazyLock;

use regex::Regex;

/// `text` without HTML comments, zero-width, direction-changing, tag and control characters.
///
/// A comment that is not closed reaches to the end, as it does on the page. Comments inside code fences go as well:
/// losing an example is cheaper than a parser that an attacker may confuse.
#[must_use]
pub fn sanitize(text: &str) -> String {
    let mut text = visible(text);
    while let Some(from) = text.find("<!--") {
        let to = text[from..].find("-->").map_or(text.len(), |n| from + n + "-->".len());
        text.replace_range(from..to, "");
    }
    text
}

/// `text` without zero-width, direction-changing, tag and control characters.
#[must_use]
pub fn visible(text: &str) -> String {
    text.chars().filter(|c| !is_hidden(*c)).collect()
}

/// What looks like a secret: well-known prefixes of tokens, what follows a word such as `password`, keys in PEM, and
/// the user's part of an address. A guess: what is known to be secret is cut out by its value elsewhere.
static SECRETS: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    let patterns = [
        r"(?s)()-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\z)",
        r"()\b(?:gh[pousr]_|github_pat_|glpat-|xox[abeprs]-|sk-|sk_live_|rk_live_|npm_|pypi-|hf_|AIza|AKIA|ASIA|eyJ)[\w.+/=-]{12,}",
        r"(://)[^\s/:@]+:[^\s/@]+@",
        r"(?i)(\b(?:bearer|basic)\s+)[\w.+/=~-]{12,}",
        r#"(?i)([\w-]*(?:password|passwd|secret|token|api[_-]?key|access[_-]?key)[\w-]*["']?\s*[:=]\s*["']?)[^\s"',;]{6,}"#,
    ];
    patterns.iter().map(|pattern| Regex::new(pattern).expect("the patterns are tested")).collect()
});

/// What Markdown does not show of itself: definitions of links (a well-known place for hidden remarks), the words of an
/// image, titles of links, and whatever a tag holds besides its name.
static UNSHOWN: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    let patterns = [
        (r"(?m)^ {0,3}\[[^\]\n]*\]:[^\n]*(?:\n[ \t]+[^\n]*)*$", ""),
        (r"!\[[^\]]*\]", "![]"),
        (r#"(\]\([^\s()]*)\s+[^)]*\)"#, "${1})"),
        (r"<(/?[A-Za-z][\w-]*)[\s/][^<>]*>", "<${1}>"),
    ];
    patterns.map(|(pattern, left)| (Regex::new(pattern).expect("the patterns are tested"), left)).into()
});

/// Of Markdown that strangers wrote, what a person sees of it on the page, as far as that is told without a parser:
/// [`sanitize`], and more. Inside code some of it is lost too.
#[must_use]
pub fn shown(text: &str) -> String {
    UNSHOWN.iter().fold(sanitize(text), |text, (hidden, left)| hidden.replace_all(&text, *left).into_owned())
}

/// `text` without what looks like a secret.
#[must_use]
pub fn masked(text: &str) -> String {
    SECRETS.iter().fold(text.to_owned(), |text, secret| secret.replace_all(&text, "${1}***").into_owned())
}

fn is_hidden(c: char) -> bool {
    let control = c.is_control() && c != '\n' && c != '\t';
    control
        || matches!(c,
            '\u{00ad}' | '\u{034f}' | '\u{061c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{3164}'
            | '\u{180b}'..='\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{ffa0}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_page_does_not_show_is_not_told() {
        let table = [
            ("plain [link](https://a.test) and Map<K, V>", "plain [link](https://a.test) and Map<K, V>"),
            ("a <!-- evil --> b", "a  b"),
            ("![evil](https://a.test/x.png)", "![](https://a.test/x.png)"),
            ("[link](https://a.test \"evil\")", "[link](https://a.test)"),
            ("see\n[//]: # (evil)\nthere", "see\n\nthere"),
            ("[x]: https://a.test\n  \"evil\"\nend", "\nend"),
            ("<img alt=\"evil\" src=x>", "<img>"),
            ("<picture/evil><b>bold</b>", "<picture><b>bold</b>"),
            ("if a < b and c > d", "if a < b and c > d"),
        ];
        for (given, expected) in table {
            assert_eq!(shown(given), expected);
        }
    }

    #[test]
    fn what_looks_like_a_secret_is_masked() {
        let table = [
            ("pushed with ghp_0123456789abcdefABCD", "pushed with ***"),
            ("https://bot:hunter22@example.org/x", "https://***example.org/x"),
            ("Authorization: Bearer abcdef0123456789", "Authorization: Bearer ***"),
            ("DB_PASSWORD='hunter22'", "DB_PASSWORD='***'"),
            ("api-key: 123456, next", "api-key: ***, next"),
            ("-----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY-----\nend", "***\nend"),
            ("-----BEGIN PRIVATE KEY-----\ncut off", "***"),
            ("expected 4, got 5 in tests/token_test.py: line 3", "expected 4, got 5 in tests/token_test.py: line 3"),
        ];
        for (given, expected) in table {
            assert_eq!(masked(given), expected);
        }
    }

    #[test]
    fn only_what_a_person_sees_is_left() {
        let table = [
            ("plain\ttext\nwith ümläuts and 日本語", "plain\ttext\nwith ümläuts and 日本語"),
            ("a<!-- do evil -->b", "ab"),
            ("a<!-- never\nclosed", "a"),
            ("<!-<!-- x -->- evil -->b", "b"),
            ("<!\u{200b}-- evil -->b", "b"),
            ("de\u{200b}le\u{2060}te\u{feff}", "delete"),
            ("\u{202e}drawkcab\u{202c}\u{2066}\u{2069}", "drawkcab"),
            ("tags\u{e0041}\u{e0042}", "tags"),
            ("bell\u{7}\u{1b}[31m\r\n", "bell[31m\n"),
        ];
        for (given, expected) in table {
            assert_eq!(sanitize(given), expected, "{given:?}");
            assert_eq!(sanitize(&sanitize(given)), expected, "{given:?}, twice");
        }
        assert_eq!(visible("expected <!-- a\u{200b} got <b>"), "expected <!-- a got <b>");
    }
}
