//! Precision and recall on lines of real source trees, labelled by hand. See `sample/README.md`.

use std::collections::HashSet;

use rstest::rstest;
use scan::{Selection, TodoOptions};
use serde_json::Value;

/// Drawn and labelled before the scanner was tuned to them.
const CANDIDATES: &str = include_str!("sample/candidates.jsonl");
/// Drawn and labelled afterwards: nothing was tuned to them.
const SECOND: &str = include_str!("sample/second.jsonl");

struct Candidate {
    id: u64,
    path: String,
    /// The line in the excerpt, from 1.
    line: u32,
    excerpt: String,
    label: String,
    kind: Option<String>,
}

fn candidates(sample: &str) -> Vec<Candidate> {
    sample.lines().map(|line| candidate(&serde_json::from_str(line).expect("a line of JSON"))).collect()
}

fn candidate(json: &Value) -> Candidate {
    let text = |name: &str| json[name].as_str().unwrap_or_default().to_owned();
    let lines = json["lines"].as_array().expect("line numbers");
    let at = lines.iter().position(|line| *line == json["line"]).expect("the candidate is in its excerpt");
    Candidate {
        id: json["id"].as_u64().expect("a number"),
        path: text("path"),
        line: u32::try_from(at + 1).expect("a short excerpt"),
        excerpt: text("excerpt"),
        label: text("label"),
        kind: json["kind"].as_str().map(str::to_owned),
    }
}

/// The tags of the requests that the scanner sees open on the candidate's line.
fn seen(candidate: &Candidate) -> Vec<String> {
    let bytes = candidate.excerpt.as_bytes();
    let found = Selection::default().todos(&candidate.path, bytes, &TodoOptions::default());
    found.unwrap_or_default().into_iter().filter(|todo| todo.line == candidate.line).map(|todo| todo.kind).collect()
}

#[rstest]
#[case::first_draw(CANDIDATES)]
#[case::second_draw(SECOND)]
fn precision_and_recall_are_at_least_98_percent(#[case] sample: &str) {
    let (mut right, mut wrong, mut missed) = (0_u32, Vec::new(), Vec::new());
    for candidate in candidates(sample).iter().filter(|candidate| candidate.label != "border") {
        let seen = seen(candidate);
        match &candidate.kind {
            Some(kind) if seen.contains(kind) => right += 1,
            Some(_) => missed.push(candidate.id),
            None if seen.is_empty() => {}
            None => wrong.push(candidate.id),
        }
    }
    let part = |others: usize| f64::from(right) / (f64::from(right) + others as f64);
    let (precision, recall) = (part(wrong.len()), part(missed.len()));
    println!("precision {precision:.3}, recall {recall:.3}; wrong {wrong:?}, missed {missed:?}");
    assert!(precision >= 0.98, "precision {precision:.3}: {wrong:?} are no requests");
    assert!(recall >= 0.98, "recall {recall:.3}: {missed:?} are requests");
}

#[test]
fn the_sample_is_large_and_mixed() {
    let field = |name: &str| {
        let lines = CANDIDATES.lines().map(|line| serde_json::from_str::<Value>(line).expect("a line of JSON"));
        lines.map(|json| json[name].as_str().expect("text").to_owned()).collect::<HashSet<_>>().len()
    };
    assert!(field("package") >= 10 && field("language") >= 8, "{} {}", field("package"), field("language"));
    let candidates = candidates(CANDIDATES);
    let scored = candidates.iter().filter(|candidate| candidate.label != "border").count();
    assert!(scored >= 400, "{scored}");
    for candidate in &candidates {
        assert_eq!(candidate.label == "request", candidate.kind.is_some(), "{}", candidate.id);
    }
}
