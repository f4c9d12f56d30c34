use std::collections::HashSet;

use backlog::finding::Finding;
use proptest::prelude::*;

use super::{FileTodos, findings};
use crate::{Selection, TodoOptions};

fn scan(files: &[(&str, &str)]) -> Vec<Finding> {
    let repository = "owner/name".parse().expect("a repository name");
    let options = TodoOptions::default();
    let files = files
        .iter()
        .map(|(path, source)| {
            let todos = Selection::default().todos(path, source.as_bytes(), &options).expect("a readable file");
            FileTodos { path: (*path).to_owned(), todos }
        })
        .collect();
    findings(&repository, None, files)
}

fn fingerprints(files: &[(&str, &str)]) -> Vec<String> {
    scan(files).into_iter().map(|finding| finding.fingerprint.to_string()).collect()
}

#[test]
fn a_finding_says_what_where_and_who() {
    let found = scan(&[("a.rs", "\n// TODO(bob, #12): handle the empty list\n// and the full one\n")]);
    let [finding] = found.as_slice() else { panic!("one finding, not {}", found.len()) };
    assert_eq!(finding.title, "TODO: handle the empty list and the full one");
    assert_eq!(finding.text, "TODO(bob, #12): handle the empty list\nand the full one");
    assert_eq!((finding.path.as_str(), finding.line, finding.end_line), ("a.rs", 2, 3));
    assert_eq!((finding.owner.as_deref(), finding.issue), (Some("bob"), Some(12)));
    assert_eq!((finding.source.to_string(), finding.kind.as_str()), ("todo".to_owned(), "TODO"));
}

#[test]
fn the_order_of_files_does_not_matter() {
    let (a, b) = (("a.rs", "// TODO: x\n// FIXME: y"), ("b.rs", "// TODO: x"));
    assert_eq!(scan(&[a, b]), scan(&[b, a]));
    let paths: Vec<_> = scan(&[b, a]).into_iter().map(|finding| (finding.path, finding.line)).collect();
    assert_eq!(paths, [("a.rs".to_owned(), 1), ("a.rs".to_owned(), 2), ("b.rs".to_owned(), 1)]);
}

#[test]
fn equal_comments_stay_two_and_keep_their_identities() {
    let both = fingerprints(&[("a.rs", "// TODO: x\nf();\n// TODO:   X\n")]);
    assert_ne!(both[0], both[1]);
    assert_eq!(fingerprints(&[("a.rs", "f();\n// TODO: x\n"), ("b.rs", "// TODO: x\n")]), both);
}

#[test]
fn a_bare_tag_is_known_by_its_code() {
    let found = scan(&[("a.rs", "// TODO\nfn foo() {}\n\n// TODO\nfn bar() {}\n")]);
    let titles: Vec<_> = found.iter().map(|finding| finding.title.as_str()).collect();
    assert_eq!(titles, ["TODO at `fn foo() {}`", "TODO at `fn bar() {}`"]);
    assert_eq!(found[0].text, "TODO");
    assert_eq!(fingerprints(&[("a.rs", "// TODO\nfn bar() {}\n")]), [found[1].fingerprint.to_string()]);
}

#[test]
fn a_title_stays_within_its_limit() {
    let found = scan(&[("a.rs", &format!("// TODO: {}", "word ".repeat(100)))]);
    assert!(found[0].title.chars().count() <= 120 && found[0].title.ends_with('…'), "{}", found[0].title);
}

proptest! {
    #[test]
    fn identities_survive_indentation_moved_lines_and_renamed_files(
        texts in prop::collection::vec("[a-z]{2,8}( [a-z]{2,8}){0,4}", 1..6),
        indent in 0_usize..12,
        above in 0_usize..5,
    ) {
        let source = |indent: usize| {
            let pad = " ".repeat(indent);
            texts.iter().map(|text| format!("{pad}// TODO: {text}\n{pad}// more of it\n{pad}f();\n")).collect::<String>()
        };
        let before = fingerprints(&[("a.rs", &source(0))]);
        let moved = format!("{}{}", "fn f() {}\n".repeat(above), source(indent));
        prop_assert_eq!(&before, &fingerprints(&[("other/b.rs", &moved)]));
        prop_assert_eq!(before.len(), texts.len());
        prop_assert_eq!(before.iter().collect::<HashSet<_>>().len(), texts.len());
    }
}
