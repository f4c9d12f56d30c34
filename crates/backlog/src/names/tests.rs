use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::sample::repo;

#[rstest]
#[case("acme/web", true)]
#[case("a/b", true)]
#[case("Acme-1/my_repo.js", true)]
#[case("local/folder", true)]
#[case("acme/.github", true)]
#[case("acme", false)]
#[case("/web", false)]
#[case("acme/", false)]
#[case("acme/web/x", false)]
#[case("acme/..", false)]
#[case("../web", false)]
#[case("./web", false)]
#[case("ac me/web", false)]
#[case("acme/wéb", false)]
#[case("acme/web\n", false)]
#[case("acme\\web", false)]
#[case("", false)]
fn a_repository_has_an_owner_and_a_name(#[case] text: &str, #[case] valid: bool) {
    assert_eq!(text.parse::<RepoName>().is_ok(), valid, "{text:?}");
}

#[test]
fn a_repository_name_is_bounded_and_knows_its_parts() {
    let (fits, long) = ("n".repeat(100), "n".repeat(101));
    assert!(format!("{fits}/{fits}").parse::<RepoName>().is_ok());
    assert!(format!("{fits}/{long}").parse::<RepoName>().is_err());
    assert_eq!((repo().owner(), repo().name(), repo().is_local()), ("acme", "web", false));
    assert!("local/web".parse::<RepoName>().unwrap().is_local());
}

#[rstest]
#[case("3k9d0fz2ha", true)]
#[case("zzzzzzzzzz", true)]
#[case("3k9d0fz2h", false)]
#[case("3k9d0fz2haa", false)]
#[case("3K9D0FZ2HA", false)]
#[case("3k9d0fz2hi", false)] // Crockford leaves out i, l, o, u
#[case("3k9d0fz2hu", false)]
#[case("", false)]
fn a_task_id_has_ten_characters(#[case] text: &str, #[case] valid: bool) {
    assert_eq!(text.parse::<TaskId>().is_ok(), valid, "{text:?}");
}

#[rstest]
#[case("3k9d0fz2ha-1", true)]
#[case("3k9d0fz2ha-4294967295", true)]
#[case("3k9d0fz2ha-0", false)]
#[case("3k9d0fz2ha-01", false)]
#[case("3k9d0fz2ha-+1", false)]
#[case("3k9d0fz2ha--1", false)]
#[case("3k9d0fz2ha-4294967296", false)]
#[case("3k9d0fz2ha-", false)]
#[case("3k9d0fz2ha", false)]
#[case("3k9d0fz2ha-1-2", false)]
fn a_run_id_has_one_spelling(#[case] text: &str, #[case] valid: bool) {
    assert_eq!(text.parse::<RunId>().is_ok(), valid, "{text:?}");
}

#[rstest]
#[case(&"a1".repeat(20), true)]
#[case(&"0f".repeat(32), true)]
#[case(&"A1".repeat(20), false)]
#[case(&"g1".repeat(20), false)]
#[case(&"a".repeat(39), false)]
#[case(&"a".repeat(41), false)]
#[case("HEAD", false)]
#[case("", false)]
fn a_commit_is_a_whole_object_id(#[case] text: &str, #[case] valid: bool) {
    assert_eq!(text.parse::<CommitId>().is_ok(), valid, "{text:?}");
}

#[rstest]
#[case("main", true)]
#[case("ccm/3k9d0fz2ha-sort-the-menu", true)]
#[case("feature/ünïcode", true)]
#[case("a.b/c-d_e", true)]
#[case("locked", true)]
#[case("a@b", true)]
#[case("", false)]
#[case("@", false)]
#[case("HEAD", false)]
#[case("-b", false)]
#[case("/a", false)]
#[case("a/", false)]
#[case("a//b", false)]
#[case(".a", false)]
#[case("a/.b", false)]
#[case("a.", false)]
#[case("a..b", false)]
#[case("a.lock", false)]
#[case("a.lock/b", false)]
#[case("a@{1}", false)]
#[case("a b", false)]
#[case("a\tb", false)]
#[case("a\nb", false)]
#[case("a\u{7f}b", false)]
#[case("a~1", false)]
#[case("a^", false)]
#[case("a:b", false)]
#[case("a?", false)]
#[case("a*", false)]
#[case("a[b", false)]
#[case("a\\b", false)]
fn a_branch_is_what_git_takes_for_one(#[case] text: &str, #[case] valid: bool) {
    assert_eq!(text.parse::<BranchName>().is_ok(), valid, "{text:?}");
}

#[test]
fn a_wrong_name_is_shown_cut_with_what_was_expected() {
    let error = "x".repeat(5_000).parse::<TaskId>().unwrap_err();
    assert_eq!(error.text.len(), 120);
    let error = "nope".parse::<RepoName>().unwrap_err();
    insta::assert_snapshot!(error, @"`nope` is not a repository name such as owner/name");
    assert!(serde_json::from_str::<RepoName>("\"nope\"").is_err());
}

#[rstest]
#[case("Sort the menu!", 40, "sort-the-menu")]
#[case("  --TODO(#12): x--  ", 40, "todo-12-x")]
#[case("Grüße an alle", 40, "gr-e-an-alle")]
#[case("日本語", 40, "")]
#[case("one two three", 8, "one-two")]
#[case("one two three", 7, "one-two")]
#[case("anything", 0, "")]
fn a_slug_is_plain(#[case] text: &str, #[case] max: usize, #[case] expected: &str) {
    assert_eq!(slug(text, max), expected);
}

/// Issues, branches and a lost database are found again by this: it must never change.
#[test]
fn the_id_of_a_task_is_pinned() {
    let id = TaskId::derive(&repo(), "0123456789abcdef0123456789abcdef");
    insta::assert_snapshot!(id, @"t51ctkayx0");
    assert_ne!(id, TaskId::derive(&"acme/web2".parse().unwrap(), "0123456789abcdef0123456789abcdef"));
    let run = RunId::of(&id, 12);
    assert_eq!((run.task(), run.as_str().parse()), (id.clone(), Ok(run.clone())));
    assert_eq!(BranchName::of_task(&id, "日本語").as_str(), format!("ccm/{id}"));
}

#[test]
fn a_digest_knows_where_its_parts_end() {
    let lists: [&[&str]; 6] = [&["ab", "c"], &["a", "bc"], &["abc"], &["abc", ""], &["", "abc"], &[]];
    let digests: std::collections::BTreeSet<String> = lists.iter().map(|parts| digest(parts)).collect();
    assert_eq!(digests.len(), lists.len());
    insta::assert_snapshot!(digest(&["ab", "c"]), @"43ee655579de01ca739b3f95c1c2d3f46d353b2c0df818064ea594506cdb2617");
}

proptest! {
    #[test]
    fn derived_names_are_valid(subject in ".{0,80}", title in ".{0,200}", attempt in 1u32..) {
        let id = TaskId::derive(&repo(), &subject);
        prop_assert_eq!(id.as_str().parse::<TaskId>(), Ok(id.clone()));
        let run = RunId::of(&id, attempt);
        prop_assert_eq!(run.as_str().parse::<RunId>(), Ok(run.clone()));
        let branch = BranchName::of_task(&id, &title);
        prop_assert_eq!(branch.as_str().parse::<BranchName>(), Ok(branch.clone()));
    }

    #[test]
    fn lists_of_parts_do_not_collide(a in prop::collection::vec("[ab]{0,3}", 0..4), b in prop::collection::vec("[ab]{0,3}", 0..4)) {
        let of = |parts: &[String]| digest(&parts.iter().map(String::as_str).collect::<Vec<_>>());
        prop_assert_eq!(of(&a) == of(&b), a == b);
    }
}
