//! The rules on working GitHub, and the faults they are tried against: each has a test that is named after it, and
//! stands with it in docs/github.md.

use std::collections::{BTreeMap, BTreeSet};

use crate::tree::Tree;

const PAGE: &str = "docs/github.md";
/// How many rules and faults the page has; the numbers never change their meaning.
const NUMBERED: [(char, u32); 2] = [('r', 49), ('f', 64)];

/// The tests in the code that are named after a rule or a fault, by its key (`r07`, `f58`).
fn named_tests(tree: &Tree) -> BTreeMap<String, BTreeSet<&str>> {
    let mut found: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for file in tree.rust().filter(|file| file.owner().is_some()) {
        for line in file.text.lines() {
            let Some(rest) = line.trim_start().trim_start_matches("async ").strip_prefix("fn ") else { continue };
            let name = rest.split(['(', '<']).next().unwrap_or_default();
            // `f17_f18_…` belongs to both.
            for key in name.split('_').take_while(|part| is_key(part)) {
                found.entry(key.to_owned()).or_default().insert(name);
            }
        }
    }
    found
}

fn is_key(part: &str) -> bool {
    let digits = part.strip_prefix(['r', 'f']);
    digits.is_some_and(|digits| digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The rows of the page's tables: key, and the tests in its last cell.
fn rows(page: &str) -> BTreeMap<String, BTreeSet<&str>> {
    let mut rows = BTreeMap::new();
    for line in page.lines().filter(|line| line.starts_with("| R") || line.starts_with("| F")) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let (Some(first), Some(last)) = (cells.first(), cells.last()) else { continue };
        let Ok(number) = first.trim_start_matches(['R', 'F']).parse::<u32>() else { continue };
        let key = format!("{}{number:02}", first[..1].to_ascii_lowercase());
        rows.insert(key, last.split('`').skip(1).step_by(2).collect());
    }
    rows
}

/// Every rule and fault has a row and a test, and page and code name the same tests.
pub(crate) fn github(tree: &Tree) -> Vec<String> {
    let Some(page) = tree.text(PAGE) else { return vec![format!("{PAGE} is missing")] };
    let (rows, tests) = (rows(page), named_tests(tree));
    let mut offences = Vec::new();
    for (letter, most) in NUMBERED {
        for number in 1..=most {
            let key = format!("{letter}{number:02}");
            match (rows.get(&key), tests.get(&key)) {
                (None, _) => offences.push(format!("{PAGE} has no row {}", key.to_ascii_uppercase())),
                (Some(_), None) => offences.push(format!("no test is named {key}_…")),
                (Some(row), Some(tests)) => {
                    offences.extend(tests.difference(row).map(|test| format!("{PAGE}, {key}: `{test}` is missing")));
                    offences.extend(row.difference(tests).map(|test| format!("{PAGE}, {key}: there is no `{test}`")));
                }
            }
        }
    }
    let known =
        |key: &&String| NUMBERED.iter().any(|(letter, most)| (1..=*most).any(|n| **key == format!("{letter}{n:02}")));
    offences
        .extend(tests.keys().filter(|key| !known(key)).map(|key| format!("{key}_…: there is no such rule or fault")));
    offences
}

#[test]
fn a_rule_without_its_test_is_an_offence() {
    let page = "| R1 | Text | `r01_one` |\n| R2 | Text | `r02_gone` |\n";
    let code =
        "#[test]\nfn r01_one() {}\nasync fn r01_other() {}\nfn r99_x() {}\nfn rest() {}\nfn f01_f02_both<T>() {}";
    let tree = Tree::of(&[(PAGE, page), ("crates/forge/src/tests.rs", code)]);
    let offences = github(&tree);
    for expected in [
        "docs/github.md, r01: `r01_other` is missing",
        "no test is named r02_…",
        "docs/github.md has no row R03",
        "docs/github.md has no row F01",
        "r99_…: there is no such rule or fault",
    ] {
        assert!(offences.iter().any(|offence| offence == expected), "{expected}: {offences:?}");
    }
    assert_eq!(offences.len(), 2 + 47 + 64 + 1);
}
