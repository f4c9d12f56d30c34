//! Rules on what code may say where.

use crate::source::{code_only, production, without_comments};
use crate::tree::Tree;

/// Texts that may stand nowhere in code.
const UNFINISHED: [&str; 7] =
    ["#[ignore", "todo!(", "unimplemented!(", "dbg!(", "allow(dead_code", "expect(dead_code", "allow(unused"];

/// What would let a rule of `backlog` read the world.
const IMPURE: [&str; 9] = [
    "async fn",
    "async move",
    "tokio",
    "std::fs",
    "std::net",
    "std::env",
    "Timestamp::now",
    "SystemTime",
    "Instant::now",
];

/// A boundary of the product: who may cross it, told by the texts that doing so takes.
struct Boundary {
    what: &'static str,
    texts: &'static [&'static str],
    /// Whether the texts stand in string literals.
    in_strings: bool,
    /// Whether tests may cross it too.
    tests_may: bool,
    /// Beginnings of the paths that may.
    owners: &'static [&'static str],
}

const BOUNDARIES: [Boundary; 3] = [
    Boundary {
        what: "only `git` and `runner` start processes",
        texts: &["tokio::process", "std::process::Command", "Command::new("],
        in_strings: false,
        tests_may: true,
        owners: &["crates/git/", "crates/runner/"],
    },
    Boundary {
        what: "only `store` knows SQL",
        texts: &["sqlx"],
        in_strings: false,
        tests_may: true,
        owners: &["crates/store/"],
    },
    Boundary {
        what: "only `forge/github` knows GitHub's interface",
        texts: &["api.github.com", "\"/repos/", "{}/repos/"],
        in_strings: true,
        tests_may: true,
        // The configuration holds the default address, and nothing else of it.
        owners: &["crates/forge/src/github", "crates/ccm/src/config"],
    },
];

pub(crate) fn unfinished(tree: &Tree) -> Vec<String> {
    let mut offences = Vec::new();
    for file in tree.rust() {
        offences.extend(places(&file.path, &code_only(&file.text), &UNFINISHED, "may stand nowhere"));
    }
    offences
}

pub(crate) fn boundaries(tree: &Tree) -> Vec<String> {
    let mut offences = Vec::new();
    for boundary in &BOUNDARIES {
        for file in tree.rust() {
            let owner = boundary.owners.iter().any(|owner| file.path.starts_with(owner));
            if owner || (boundary.tests_may && file.is_test()) {
                continue;
            }
            let blanked = if boundary.in_strings { without_comments(&file.text) } else { code_only(&file.text) };
            let code = if boundary.tests_may { production(&blanked) } else { &blanked };
            offences.extend(places(&file.path, code, boundary.texts, boundary.what));
        }
    }
    offences
}

pub(crate) fn purity(tree: &Tree) -> Vec<String> {
    let mut offences = Vec::new();
    for file in tree.rust() {
        if file.owner() == Some("backlog") && !file.is_test() {
            let code = code_only(&file.text);
            offences.extend(places(&file.path, production(&code), &IMPURE, "`backlog` reads nothing"));
        }
    }
    offences
}

/// `path:line: text: why` for every line of `code` that holds one of the texts.
fn places(path: &str, code: &str, texts: &[&str], why: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (number, line) in code.lines().enumerate() {
        for text in texts.iter().filter(|text| holds(line, text)) {
            found.push(format!("{path}:{}: `{text}`: {why}", number + 1));
        }
    }
    found
}

/// Whether the line holds the text, not as the end of a longer word.
fn holds(line: &str, text: &str) -> bool {
    line.match_indices(text).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let joined = |c: char| c.is_alphanumeric() || c == '_';
        !(before.is_some_and(joined) && text.starts_with(joined))
    })
}

#[test]
fn unfinished_code_is_an_offence_and_words_about_it_are_not() {
    let tree = Tree::of(&[(
        "a.rs",
        "// todo!()\nlet text = \"todo!(\";\n#[ignore]\nfn a() { todo!() }\n#![allow(dead_code)]\nmy_todo!()",
    )]);
    insta::assert_snapshot!(unfinished(&tree).join("\n"), @r"
    a.rs:3: `#[ignore`: may stand nowhere
    a.rs:4: `todo!(`: may stand nowhere
    a.rs:5: `allow(dead_code`: may stand nowhere
    ");
}

#[test]
fn crossing_a_boundary_elsewhere_is_an_offence() {
    let process = "fn a() { Command::new(\"git\") }";
    let tests = "#[cfg(test)]\nmod tests { fn a() { Command::new(\"git\") } }";
    let tree = Tree::of(&[
        ("crates/ccm/tests/it/main.rs", process),
        ("crates/ccm/src/config.rs", "const URL: &str = \"https://api.github.com\";"),
        ("crates/forge/src/github/writes.rs", "format!(\"/repos/{name}\")"),
        ("crates/pipeline/src/run.rs", process),
        ("crates/pipeline/src/rank.rs", tests),
        ("crates/runner/src/process.rs", process),
        ("crates/store/src/sqlite.rs", "use sqlx::Row;"),
        ("crates/web/src/lib.rs", "// sqlx\nuse sqlx::Row;\nlet path = \"/repos/x\";"),
    ]);
    insta::assert_snapshot!(boundaries(&tree).join("\n"), @r#"
    crates/pipeline/src/run.rs:1: `Command::new(`: only `git` and `runner` start processes
    crates/web/src/lib.rs:2: `sqlx`: only `store` knows SQL
    crates/web/src/lib.rs:3: `"/repos/`: only `forge/github` knows GitHub's interface
    "#);
}

#[test]
fn reading_the_world_in_backlog_is_an_offence() {
    let tree = Tree::of(&[
        ("crates/backlog/src/rank.rs", "//! no tokio\nasync fn a() {}\nstd::fs::read()"),
        ("crates/git/src/lib.rs", "async fn a() {}"),
    ]);
    insta::assert_snapshot!(purity(&tree).join("\n"), @r"
    crates/backlog/src/rank.rs:2: `async fn`: `backlog` reads nothing
    crates/backlog/src/rank.rs:3: `std::fs`: `backlog` reads nothing
    ");
}
