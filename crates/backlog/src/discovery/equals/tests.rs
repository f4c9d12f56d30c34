use proptest::prelude::*;
use rstest::rstest;

use super::tell_apart;
use crate::finding::{Finding, Fingerprint, Source};
use crate::sample::{NOW, finding, state};
use crate::task::{Stage, Task};

/// The n-th comment of the same words.
fn fingerprint(n: usize) -> Fingerprint {
    Fingerprint::of(&Source::Todo, "TODO", "sort", n)
}

/// `a 3`: line 3 of the file a.
fn at(place: &str, n: usize) -> Finding {
    let (path, line) = place.split_once(' ').unwrap();
    Finding {
        path: path.to_owned(),
        line: line.parse().unwrap(),
        fingerprint: fingerprint(n),
        ..finding("TODO", "sort")
    }
}

/// The tasks that there are, as `a 3 proposed`; the n-th has the n-th fingerprint.
fn tasks(texts: &[(&str, Stage)]) -> Vec<Task> {
    let numbered = texts.iter().enumerate();
    numbered.map(|(n, (place, stage))| Task { state: state(*stage), ..Task::of_finding(at(place, n), NOW) }).collect()
}

/// What a look finds: comments of the same words, counted by place.
fn found(places: &[&str]) -> Vec<Finding> {
    let mut found: Vec<Finding> = places.iter().map(|place| at(place, 0)).collect();
    found.sort_by(|a, b| (&a.path, a.line).cmp(&(&b.path, b.line)));
    found.iter_mut().enumerate().for_each(|(n, finding)| finding.fingerprint = fingerprint(n));
    found
}

/// For each place the number of the fingerprint that it has; `new` where no task has it.
fn told(known: &[Task], places: &[&str]) -> String {
    let mut findings = found(places);
    tell_apart(known.iter(), &mut findings);
    let name =
        |finding: &Finding| known.iter().position(|task| task.members().any(|m| m.fingerprint == finding.fingerprint));
    let one = |finding: &Finding| name(finding).map_or("new".to_owned(), |n| n.to_string());
    findings.iter().map(one).collect::<Vec<_>>().join(" ")
}

use Stage::{Done, Found, InReview, Obsolete, Proposed, Rejected};

#[rstest]
#[case::done_work_takes_no_other_with_it(&[("a 1", Done), ("a 3", Proposed)], &["a 2"], "1")]
#[case::merged_while_under_review(&[("a 1", InReview), ("a 3", Proposed)], &["a 2"], "1")]
#[case::done_in_another_file(&[("a 1", Done), ("b 1", Found), ("c 1", Found)], &["b 1", "c 1"], "1 2")]
#[case::done_and_still_there(&[("a 1", Done)], &["a 4"], "0")]
#[case::a_new_one_above_a_rejected_one(&[("a 10", Rejected)], &["a 3", "a 13"], "new 0")]
#[case::a_new_file_before_a_rejected_one(&[("b 1", Rejected)], &["a 1", "b 1"], "new 0")]
#[case::all_moved_by_the_distance_between_them(&[("a 10", Rejected), ("a 20", Found)], &["a 20", "a 30"], "0 1")]
#[case::files_renamed(&[("a 1", Found), ("b 1", Found)], &["c 1", "d 1"], "0 1")]
#[case::one_file_renamed_past_another(&[("a 1", Rejected), ("b 1", Found)], &["b 1", "z 1"], "1 0")]
#[case::one_stays_where_it_was(&[("a 1", Found), ("b 1", Rejected)], &["a 1", "b 2"], "0 1")]
#[case::done_where_the_next_one_moves(&[("a 1", Done), ("a 2", Found)], &["a 1"], "1")]
#[case::a_file_split(&[("a 1", Found), ("a 9", Rejected)], &["a 1", "b 2"], "0 1")]
#[case::gone_work_returns_last(&[("a 1", Obsolete), ("b 1", Found)], &["c 1"], "1")]
#[case::all_of_them_done_and_new_ones(&[("a 1", Done), ("a 2", Done)], &["a 1", "a 2", "b 1", "b 2"], "0 1 new new")]
fn equal_comments_are_known_by_their_places(
    #[case] known: &[(&str, Stage)],
    #[case] places: &[&str],
    #[case] expected: &str,
) {
    assert_eq!(told(&tasks(known), places), expected);
}

proptest! {
    /// Whatever is known: no two comments get one fingerprint, and a second look at the same gives the same.
    #[test]
    fn each_comment_has_a_fingerprint_of_its_own(
        known in prop::collection::vec(("[ab]", 1_u32..6, prop::sample::select(Stage::ALL.to_vec())), 0..8),
        now in prop::collection::btree_set(("[ab]", 1_u32..6), 0..8),
    ) {
        let known: Vec<(String, Stage)> = known.into_iter().map(|(path, line, stage)| (format!("{path} {line}"), stage)).collect();
        let known = tasks(&known.iter().map(|(place, stage)| (place.as_str(), *stage)).collect::<Vec<_>>());
        let now: Vec<String> = now.into_iter().map(|(path, line)| format!("{path} {line}")).collect();
        let mut once = found(&now.iter().map(String::as_str).collect::<Vec<_>>());
        let mut twice = once.clone();
        tell_apart(known.iter(), &mut once);
        tell_apart(known.iter().rev(), &mut twice);
        prop_assert_eq!(&once, &twice);
        let mut fingerprints: Vec<&Fingerprint> = once.iter().map(|finding| &finding.fingerprint).collect();
        fingerprints.sort();
        fingerprints.dedup();
        prop_assert_eq!(fingerprints.len(), once.len());
    }
}
