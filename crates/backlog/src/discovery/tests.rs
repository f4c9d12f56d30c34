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
    assert_eq!(changes, [Discovery::New(finding("TODO", "sort")), Discovery::New(finding("TODO", "fold"))]);
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
    let unimportant = Finding { age_days: Some(3), author: None, commit: None, ..same };
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
            Discovery::New(finding) => tasks.push(Task::of_finding(finding, NOW)),
            Discovery::Moved(id, finding) => {
                let at = at(&tasks, &id);
                tasks[at].finding = Some(finding);
            }
            Discovery::Vanished(id) => {
                let at = at(&tasks, &id);
                tasks[at] = tasks[at].clone().apply(Command::Vanish, NOW).unwrap();
            }
            Discovery::Returned(id, finding) => {
                let at = at(&tasks, &id);
                tasks[at] = Task::of_finding(finding, NOW);
            }
        }
    }
    tasks
}

proptest! {
    #[test]
    fn the_same_look_again_changes_nothing(
        old in prop::collection::btree_map(0u8..12, 0usize..11, 0..12),
        seen in prop::collection::vec((0u8..12, 1u32..3), 0..20),
    ) {
        let tasks: Vec<Task> = old.iter().map(|(n, at)| known(&format!("work {n}"), state(Stage::ALL[*at]))).collect();
        let findings: Vec<Finding> = seen
            .iter()
            .map(|(n, line)| Finding { line: *line, ..finding("TODO", &format!("work {n}")) })
            .collect();
        let changes = compare(&tasks, &Source::Todo, findings.clone());
        let tasks = after(tasks, changes);
        prop_assert_eq!(compare(&tasks, &Source::Todo, findings), []);
    }
}
