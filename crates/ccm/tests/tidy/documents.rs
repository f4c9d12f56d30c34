//! Rules on what the documents must mention.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::source::{production, without_comments};
use crate::tree::Tree;

const ARCHITECTURE: &str = "ARCHITECTURE.md";
const CHANGELOG: &str = "CHANGELOG.md";
const MANUAL: &str = "docs/manual.md";

pub(crate) fn crate_texts(tree: &Tree) -> Vec<String> {
    let mut offences = Vec::new();
    for name in tree.crates() {
        for root in ["lib.rs", "main.rs"] {
            let path = format!("crates/{name}/src/{root}");
            let text = tree.text(&path);
            if text.is_some_and(|text| !text.starts_with("//! ")) {
                offences.push(format!("{path}: no module text"));
            }
        }
    }
    offences
}

pub(crate) fn architecture(tree: &Tree) -> Vec<String> {
    let Some(text) = tree.text(ARCHITECTURE) else {
        return vec![format!("{ARCHITECTURE} is missing")];
    };
    let mut parts: BTreeSet<&str> = tree.crates().into_iter().collect();
    for file in tree.rust() {
        let step = file.path.strip_prefix("crates/pipeline/src/");
        parts.extend(step.filter(|step| !step.contains('/') && *step != "lib.rs" && *step != "tests.rs"));
    }
    let missing = parts.into_iter().filter(|part| !text.contains(&format!("`{part}`")));
    missing.map(|part| format!("{ARCHITECTURE} does not mention `{part}`")).collect()
}

pub(crate) fn changelog(tree: &Tree) -> Vec<String> {
    let Some(text) = tree.text(CHANGELOG) else {
        return vec![format!("{CHANGELOG} is missing")];
    };
    let heading = |line: &str| line.starts_with("## ") && (line.contains("Unreleased") || line.contains("0.1.0"));
    if text.lines().any(heading) {
        return Vec::new();
    }
    vec![format!("{CHANGELOG} has no heading `## Unreleased` or `## 0.1.0`")]
}

/// Every string literal that is nothing but a metric's name must stand in a file of docs/.
pub(crate) fn metrics(tree: &Tree) -> Vec<String> {
    let docs: Vec<_> =
        tree.files.iter().filter(|file| file.path.starts_with("docs/") && file.path.ends_with(".md")).collect();
    let mut offences = Vec::new();
    for file in tree.rust().filter(|file| file.owner().is_some() && !file.is_test()) {
        let code = without_comments(&file.text);
        let literals = production(&code).split('"').skip(1);
        let names: BTreeSet<&str> = literals.filter(|literal| is_metric(literal)).collect();
        for name in names {
            if !docs.iter().any(|doc| mentions(&doc.text, name)) {
                offences.push(format!("{}: metric `{name}` stands in no file of docs/", file.path));
            }
        }
    }
    offences
}

fn is_metric(literal: &str) -> bool {
    let name = literal.strip_prefix("ccm_");
    name.is_some_and(|name| !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
}

/// Every key of the configuration's JSON schema must stand in the manual.
pub(crate) fn configuration(schema: &Value, tree: &Tree) -> Vec<String> {
    let Some(manual) = tree.text(MANUAL) else {
        return vec![format!("{MANUAL} is missing")];
    };
    let mut keys = BTreeSet::new();
    collect_keys(schema, &mut keys);
    if keys.is_empty() {
        return vec!["`ccm config schema` describes no key".to_owned()];
    }
    let missing = keys.iter().filter(|key| !mentions(manual, key));
    missing.map(|key| format!("{MANUAL} does not mention the key `{key}`")).collect()
}

fn collect_keys(schema: &Value, keys: &mut BTreeSet<String>) {
    match schema {
        Value::Object(map) => {
            if let Some(Value::Object(properties)) = map.get("properties") {
                keys.extend(properties.keys().cloned());
            }
            map.values().for_each(|value| collect_keys(value, keys));
        }
        Value::Array(values) => values.iter().for_each(|value| collect_keys(value, keys)),
        _ => {}
    }
}

/// Whether the text holds the name as a whole word.
fn mentions(text: &str, name: &str) -> bool {
    let joined = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    text.match_indices(name).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + name.len()..].chars().next();
        !before.is_some_and(joined) && !after.is_some_and(joined)
    })
}

#[test]
fn an_unmentioned_part_is_an_offence() {
    let tree = Tree::of(&[
        (ARCHITECTURE, "`git` reads; `rank.rs` orders"),
        ("crates/git/src/lib.rs", "//! Mirrors."),
        ("crates/pipeline/src/discover/todo.rs", ""),
        ("crates/pipeline/src/lib.rs", "mod rank;"),
        ("crates/pipeline/src/rank.rs", ""),
        ("crates/pipeline/src/run.rs", ""),
    ]);
    insta::assert_snapshot!(architecture(&tree).join("\n"), @r"
    ARCHITECTURE.md does not mention `pipeline`
    ARCHITECTURE.md does not mention `run.rs`
    ");
    assert_eq!(crate_texts(&tree), ["crates/pipeline/src/lib.rs: no module text"]);
}

#[test]
fn a_changelog_without_a_current_heading_is_an_offence() {
    assert!(changelog(&Tree::of(&[(CHANGELOG, "# Changelog\n\n## Unreleased\n")])).is_empty());
    assert_eq!(
        changelog(&Tree::of(&[(CHANGELOG, "# Changelog\n\nUnreleased\n")])),
        ["CHANGELOG.md has no heading `## Unreleased` or `## 0.1.0`"]
    );
}

#[test]
fn an_undocumented_metric_is_an_offence() {
    let tree = Tree::of(&[
        (
            "crates/web/src/lib.rs",
            "counter!(\"ccm_runs_total\"); gauge!(\"ccm_queue\"); env(\"ccm_V\"); // \"ccm_old\"",
        ),
        ("docs/operating.md", "`ccm_queue_size`, `ccm_runs_total`"),
    ]);
    assert_eq!(metrics(&tree), ["crates/web/src/lib.rs: metric `ccm_queue` stands in no file of docs/"]);
}

#[test]
fn an_undocumented_key_is_an_offence() {
    let schema = serde_json::json!({
        "properties": { "server": { "$ref": "#/$defs/Server" } },
        "$defs": { "Server": { "properties": { "listen": {}, "database": {} } } },
    });
    let tree = Tree::of(&[(MANUAL, "[server]\nlisten = 1, database_url = 2")]);
    assert_eq!(configuration(&schema, &tree), ["docs/manual.md does not mention the key `database`"]);
}
