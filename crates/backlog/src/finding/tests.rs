use super::*;
use crate::sample::finding;

#[test]
fn every_source_has_its_outward_name() {
    let sources = [
        Source::Todo,
        Source::StaleIssue,
        Source::IssueLabel,
        Source::Ci,
        Source::SecurityAlert,
        Source::Dependency,
        Source::Hotspot,
        Source::Sarif("clippy".to_owned()),
        Source::Person,
    ];
    let names: Vec<String> = sources.iter().map(Source::to_string).collect();
    insta::assert_snapshot!(names.join(" "), @"todo stale-issue issue-label ci security-alert dependency hotspot sarif:clippy person");
    for source in sources {
        assert_eq!(source.to_string().parse(), Ok(source.clone()));
        assert_eq!(serde_json::from_str::<Source>(&serde_json::to_string(&source).unwrap()).unwrap(), source);
    }
    for wrong in ["", "Todo", "sarif", "sarif:", "todos"] {
        assert!(wrong.parse::<Source>().is_err(), "{wrong}");
    }
}

#[test]
fn a_finding_keeps_its_identity_when_it_is_moved_or_reformatted() {
    let of = |kind, text, ordinal| Fingerprint::of(&Source::Todo, kind, text, ordinal);
    let one = of("TODO", "sort the menu", 0);
    assert_eq!(one, of("TODO", "  Sort\n\tthe   MENU ", 0));
    assert_ne!(one, of("TODO", "sort the menu", 1));
    assert_ne!(one, of("FIXME", "sort the menu", 0));
    assert_ne!(one, Fingerprint::of(&Source::Ci, "TODO", "sort the menu", 0));
    // Pinned: tasks, issues and branches hang on it.
    insta::assert_snapshot!(one, @"9b32ca21b3de0108e20556257a859655");
}

#[test]
fn a_finding_is_read_back_as_it_was_stored() {
    let finding = finding("TODO", "sort the menu");
    let json = serde_json::to_string(&finding).unwrap();
    assert_eq!(serde_json::from_str::<Finding>(&json).unwrap(), finding);
    insta::assert_snapshot!(json, @r#"{"fingerprint":"9b32ca21b3de0108e20556257a859655","source":"todo","kind":"TODO","repository":"acme/web","commit":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","path":"src/cart.rs","line":7,"end_line":7,"title":"TODO: sort the menu","text":"TODO: sort the menu","author":"ada","written_on":null,"owner":null,"issue":null}"#);
}
