use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::sample::{NOW, finding, state};
use crate::task::{Command, TaskState, Work};

fn known(text: &str, state: TaskState) -> Task {
    Task { state, ..Task::of_finding(finding("TODO", text), NOW) }
}

fn moved(text: &str) -> Finding {
    Finding { line: 99, end_line: 99, ..finding("TODO", text) }
}

fn words(changes: &[Discovery]) -> String {
    let word = |change: &Discovery| match change {
        Discovery::New(_) => "new",
        Discovery::Moved(..) => "moved",
        Discovery::Vanished(_) => "vanished",
        Discovery::Returned(..) => "returned",
    };
    changes.iter().map(word).collect::<Vec<_>>().join(" ")
}

#[rstest]
#[case(Stage::Found, "", "moved", "vanished")]
#[case(Stage::Proposed, "", "moved", "vanished")]
#[case(Stage::Approved, "", "moved", "vanished")]
#[case(Stage::Running, "", "", "")]
#[case(Stage::Verifying, "", "", "")]
#[case(Stage::InReview, "", "moved", "")]
#[case(Stage::Done, "", "", "")]
#[case(Stage::Failed, "", "", "")]
#[case(Stage::Rejected, "", "", "")]
#[case(Stage::Obsolete, "returned", "returned", "")]
#[case(Stage::Cancelled, "", "", "")]
fn a_look_changes_a_task_by_its_stage(
    #[case] stage: Stage,
    #[case] seen: &str,
    #[case] seen_elsewhere: &str,
    #[case] not_seen: &str,
) {
    let tasks = [known("sort", state(stage))];
    let look = |findings| words(&compare(&tasks, &Source::Todo, findings));
    assert_eq!(look(vec![finding("TODO", "sort")]), seen);
    assert_eq!(look(vec![moved("sort")]), seen_elsewhere);
    assert_eq!(look(vec![]), not_seen);
}

#[test]
fn work_that_a_run_has_begun_does_not_vanish_while_it_waits_for_the_next() {
    let TaskState::Approved { work } = state(Stage::Approved) else { unreachable!("the sample is approved") };
    let tasks = [known("sort", TaskState::Approved { work: Work { runs: 1, ..work } })];
    assert_eq!(compare(&tasks, &Source::Todo, vec![]), []);
}

#[test]
fn a_new_finding_counts_once_in_a_look() {
    let changes = compare(&[], &Source::Todo, vec![finding("TODO", "sort"), moved("sort"), finding("TODO", "fold")]);
    let mut found: Vec<String> = changes.iter().map(|change| format!("{change:?}")).collect();
    let mut expected = [finding("TODO", "sort"), finding("TODO", "fold")]
        .map(|finding| format!("{:?}", Discovery::New(vec![finding])));
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
}

#[test]
fn every_part_of_the_place_and_the_wording_counts_as_a_move() {
    let tasks = [known("sort", TaskState::Found)];
    let same = finding("TODO", "sort");
    for finding in [
        Finding { path: "src/new.rs".to_owned(), ..same.clone() },
        Finding { line: 8, ..same.clone() },
        Finding { end_line: 9, ..same.clone() },
        Finding { text: "TODO:  Sort".to_owned(), ..same.clone() },
    ] {
        assert_eq!(words(&compare(&tasks, &Source::Todo, vec![finding])), "moved");
    }
    let unimportant = Finding { written_on: Some("2026-01-31".parse().unwrap()), author: None, commit: None, ..same };
    assert_eq!(compare(&tasks, &Source::Todo, vec![unimportant]), []);
}

#[test]
fn a_look_at_one_source_leaves_the_others_alone() {
    let other = Task { source: Source::Ci, ..known("red", TaskState::Found) };
    assert_eq!(compare(&[other], &Source::Todo, vec![]), []);
}

/// The backlog after `changes`, as discovery carries them out.
fn after(mut tasks: Vec<Task>, changes: Vec<Discovery>) -> Vec<Task> {
    for change in changes {
        let at = |tasks: &[Task], id: &TaskId| tasks.iter().position(|task| task.id == *id).unwrap();
        match change {
            Discovery::New(members) => {
                let task = Task::of_finding(members[0].clone(), NOW).about(members);
                assert!(tasks.iter().all(|known| known.id != task.id), "two tasks with one name");
                tasks.push(task);
            }
            Discovery::Moved(id, members) => {
                let at = at(&tasks, &id);
                tasks[at] = tasks[at].clone().about(members);
            }
            Discovery::Vanished(id) => {
                let at = at(&tasks, &id);
                tasks[at] = tasks[at].clone().apply(Command::Vanish, NOW).unwrap();
            }
            Discovery::Returned(id, members) => {
                let at = at(&tasks, &id);
                tasks[at] = Task { id, ..Task::of_finding(members[0].clone(), NOW) }.about(members);
            }
        }
    }
    tasks
}

/// A finding of a group at a line.
fn grouped(text: &str, group: &str, line: u32) -> Finding {
    let group = (!group.is_empty()).then(|| group.to_owned());
    Finding { line, end_line: line, group, ..finding("TODO", text) }
}

/// The backlog after looks, one after the other.
fn looks(tasks: Vec<Task>, looks: &[&[Finding]]) -> Vec<Task> {
    looks.iter().fold(tasks, |tasks, findings| {
        let changes = compare(&tasks, &Source::Todo, findings.to_vec());
        after(tasks, changes)
    })
}

/// What each task is about, and where it stands.
fn told(tasks: &[Task]) -> Vec<String> {
    let text = |task: &Task| task.members().map(|finding| finding.text[6..].to_owned()).collect::<Vec<_>>().join("+");
    let mut told: Vec<String> = tasks.iter().map(|task| format!("{} {}", text(task), task.state.stage())).collect();
    told.sort();
    told
}

#[test]
fn findings_of_a_group_are_one_task_and_others_are_their_own() {
    let found = [grouped("a", "f", 9), grouped("b", "f", 7), grouped("c", "g", 1), grouped("d", "", 2)];
    assert_eq!(told(&looks(vec![], &[&found])), ["b+a found", "c found", "d found"]);
}

#[test]
fn a_group_keeps_its_id_when_a_member_goes_and_closes_with_the_last() {
    let (a, b, c) = (grouped("a", "f", 1), grouped("b", "f", 2), grouped("c", "f", 3));
    let whole = looks(vec![], &[&[a.clone(), b.clone(), c.clone()]]);
    let id = whole[0].id.clone();
    let shrunk = looks(whole, &[&[b.clone(), c.clone()], std::slice::from_ref(&c)]);
    assert_eq!((told(&shrunk), &shrunk[0].id), (vec!["c found".to_owned()], &id));
    let gone = looks(shrunk, &[&[]]);
    assert_eq!(told(&gone), ["c obsolete"]);
    // What the task is named after finds back to it.
    let back = looks(gone, &[&[a, c]]);
    assert_eq!((told(&back), &back[0].id), (vec!["a+c found".to_owned()], &id));
}

#[test]
fn moved_lines_and_another_function_around_them_keep_a_group_together() {
    let whole = looks(vec![], &[&[grouped("a", "f", 1), grouped("b", "f", 2)]]);
    let moved = looks(whole.clone(), &[&[grouped("a", "f", 41), grouped("b", "f", 43)]]);
    assert_eq!((told(&moved), &moved[0].id, moved[0].more[0].line), (told(&whole), &whole[0].id, 43));
    let parted = looks(whole, &[&[grouped("a", "f", 1), grouped("b", "g", 2)]]);
    assert_eq!(told(&parted), ["a+b found"]);
}

#[test]
fn a_group_that_people_were_shown_never_grows() {
    let (a, b) = (grouped("a", "f", 1), grouped("b", "f", 2));
    let found = looks(vec![], &[std::slice::from_ref(&a)]);
    assert_eq!(told(&looks(found.clone(), &[&[a.clone(), b.clone()]])), ["a+b found"]);
    let shown = vec![Task { state: state(Stage::Proposed), ..found[0].clone() }];
    assert_eq!(told(&looks(shown, &[&[a, b]])), ["a proposed", "b found"]);
}

#[test]
fn a_rejected_group_stays_rejected_whichever_part_of_it_is_seen() {
    let (a, b) = (grouped("a", "f", 1), grouped("b", "f", 2));
    let mut tasks = looks(vec![], &[&[a.clone(), b.clone()]]);
    tasks[0].state = state(Stage::Rejected);
    let later = looks(tasks, &[std::slice::from_ref(&b), &[], &[a], &[grouped("b", "", 9)]]);
    assert_eq!(told(&later), ["a+b rejected"]);
}

#[test]
fn a_group_has_a_bound() {
    let many: Vec<Finding> = (0..45).map(|n| grouped(&format!("work {n}"), "f", n + 1)).collect();
    let tasks = looks(vec![], &[&many]);
    let sizes: Vec<usize> = tasks.iter().map(|task| task.members().count()).collect();
    assert_eq!(sizes, [MEMBERS, MEMBERS, 5]);
    assert_eq!(compare(&tasks, &Source::Todo, many), []);
}

proptest! {
    #[test]
    fn the_same_look_again_changes_nothing(
        old in prop::collection::btree_map(0u8..12, 0usize..11, 0..12),
        seen in prop::collection::vec((0u8..12, 1u32..3, 0u8..4), 0..20),
    ) {
        let tasks: Vec<Task> = old.iter().map(|(n, at)| known(&format!("work {n}"), state(Stage::ALL[*at]))).collect();
        let findings: Vec<Finding> = seen
            .iter()
            .map(|(n, line, group)| {
                let group = (*group > 0).then(|| group.to_string());
                Finding { line: *line, group, ..finding("TODO", &format!("work {n}")) }
            })
            .collect();
        let changes = compare(&tasks, &Source::Todo, findings.clone());
        let tasks = after(tasks, changes);
        prop_assert_eq!(compare(&tasks, &Source::Todo, findings), []);
    }
}
