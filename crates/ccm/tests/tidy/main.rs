//! Tidy: what the architecture promises and a machine can read off the files.
//!
//! **Definition.** A rule is a function from the tree's files to offences, one finished line each with its place.
//!
//! **Wanted properties.** Every offence is listed at once, with what to do about it. A rule looks at code without
//! its comments, and without its string literals where words in them would mislead. Each rule is shown to fire on a
//! small made-up tree.
//!
//! **Design.** [`tree`] reads the files, [`source`] blanks comments and strings; [`layout`] holds the rules on crates
//! and names, [`usage`] those on what code may say where, [`documents`] those on what the documents must mention, [`rules`]
//! the one that binds the rules on GitHub to their tests.

mod documents;
mod layout;
mod rules;
mod source;
mod tree;
mod usage;

use tree::Tree;

/// Fails with every offence and with what to do when there is one.
fn hold(to_do: &str, offences: &[String]) {
    assert!(offences.is_empty(), "{} offences:\n  {}\nWhat to do: {to_do}", offences.len(), offences.join("\n  "));
}

#[test]
fn crates_depend_only_on_what_the_table_allows() {
    hold(
        "move the code, or change the table in ARCHITECTURE.md and in layout.rs together; a new crate needs an ADR",
        &layout::dependencies(&Tree::load()),
    );
}

#[test]
fn no_file_is_too_long() {
    hold("split the file along its parts", &layout::sizes(&Tree::load()));
}

#[test]
fn names_say_what_a_thing_is() {
    hold(
        "name the file after what is in it; replace the old version instead of adding one beside it",
        &layout::names(&Tree::load()),
    );
}

#[test]
fn nothing_is_unfinished_or_switched_off() {
    hold("finish it, fix it or delete it", &usage::unfinished(&Tree::load()));
}

#[test]
fn each_boundary_is_crossed_in_one_place() {
    hold("call the crate that owns this boundary (ARCHITECTURE.md, invariants)", &usage::boundaries(&Tree::load()));
}

#[test]
fn backlog_is_pure() {
    hold(
        "pass the value in (rules take `now`), and do the reading in the crate that calls",
        &usage::purity(&Tree::load()),
    );
}

#[test]
fn every_crate_says_what_it_is() {
    hold(
        "begin the file with a `//!` text: definition, wanted properties, design",
        &documents::crate_texts(&Tree::load()),
    );
}

#[test]
fn the_architecture_mentions_every_part() {
    hold("write the part into ARCHITECTURE.md, in backticks", &documents::architecture(&Tree::load()));
}

#[test]
fn every_rule_on_github_has_its_test() {
    hold(
        "name the test after its rule or fault (`r07_…`, `f17_…`), and enter it in the last column of docs/github.md",
        &rules::github(&Tree::load()),
    );
}

#[test]
fn the_changelog_is_kept() {
    hold("keep CHANGELOG.md with a heading for what is not released yet", &documents::changelog(&Tree::load()));
}

#[test]
fn every_metric_is_documented() {
    hold("describe the metric in docs/: what it counts, its unit and its labels", &documents::metrics(&Tree::load()));
}

#[tokio::test]
async fn every_configuration_key_is_documented() {
    let schema = tokio::process::Command::new(env!("CARGO_BIN_EXE_ccm"))
        .args(["config", "schema"])
        .env_clear()
        .output()
        .await
        .expect("the program starts");
    let errors = String::from_utf8_lossy(&schema.stderr);
    assert!(schema.status.success(), "`ccm config schema` failed: {errors}");
    let schema = serde_json::from_slice(&schema.stdout).expect("`ccm config schema` prints JSON");
    hold(
        "describe the key in docs/manual.md: what it is, its default and its range",
        &documents::configuration(&schema, &Tree::load()),
    );
}
