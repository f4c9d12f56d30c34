use rstest::rstest;

use super::*;
use crate::sample::{NOW, check, commit, note, pull, work};
use crate::task::{Command, TaskState};

const POLICY: RetryPolicy = RetryPolicy { max_attempts: 3, max_rounds: 2 };

fn open(checks: &[CheckState], notes: Vec<ReviewNote>) -> PullStatus {
    let checks = checks.iter().enumerate().map(|(n, state)| check(&format!("check-{n}"), *state)).collect();
    PullStatus { state: PullState::Open, head: pull().head, conflicts: Some(false), checks, notes }
}

fn outsiders(id: &str) -> ReviewNote {
    ReviewNote { trusted: false, ..note(id) }
}

fn praise(id: &str) -> ReviewNote {
    ReviewNote { asks_for_change: false, ..note(id) }
}

/// What is decided, in a word: how many notes and red checks go back to the agent.
fn decided(status: &PullStatus, work: &Work) -> String {
    match follow_up(status, &pull(), work, &POLICY) {
        FollowUp::Wait => "wait".to_owned(),
        FollowUp::Revise(revision) => format!("{} notes, {} red", revision.notes.len(), revision.red_checks.len()),
        FollowUp::Merged { by, .. } => format!("merged by {}", by.unwrap_or_default()),
        FollowUp::Closed { by } => format!("closed by {}", by.unwrap_or_default()),
        FollowUp::GiveUp { why, .. } => why,
    }
}

#[rstest]
#[case::nothing(&[], vec![], "wait")]
#[case::green(&[CheckState::Passed], vec![], "wait")]
#[case::pending(&[CheckState::Pending], vec![], "wait")]
#[case::red(&[CheckState::Passed, CheckState::Failed, CheckState::Failed], vec![], "0 notes, 2 red")]
#[case::red_waits_for_all(&[CheckState::Failed, CheckState::Pending], vec![], "wait")]
#[case::a_note(&[], vec![note("line-1")], "1 notes, 0 red")]
#[case::a_note_does_not_wait(&[CheckState::Failed, CheckState::Pending], vec![note("line-1")], "1 notes, 0 red")]
#[case::both_in_one_round(&[CheckState::Failed], vec![note("line-1"), note("line-2")], "2 notes, 1 red")]
#[case::an_outsider(&[], vec![outsiders("line-1")], "wait")]
#[case::praise(&[], vec![praise("review-1")], "wait")]
#[case::only_what_counts(&[], vec![outsiders("line-1"), praise("review-1"), note("line-2")], "1 notes, 0 red")]
fn an_open_pull_request_goes_back_for_what_is_new(
    #[case] checks: &[CheckState],
    #[case] notes: Vec<ReviewNote>,
    #[case] expected: &str,
) {
    assert_eq!(decided(&open(checks, notes), &work()), expected);
}

#[test]
fn what_was_handed_back_once_is_not_handed_back_again() {
    let status = open(&[CheckState::Failed], vec![note("line-1")]);
    let FollowUp::Revise(revision) = follow_up(&status, &pull(), &work(), &POLICY) else { panic!("it is red") };
    assert_eq!(revision.red_head, Some(pull().head));
    let state = TaskState::InReview { work: work(), run: crate::sample::run_id(1), pull: pull() };
    let state = state.apply(Command::Revise(revision)).unwrap();
    let work = state.work().unwrap();
    assert_eq!(decided(&status, work), "wait");
    let more = PullStatus { notes: vec![note("line-1"), note("line-2")], ..status.clone() };
    assert_eq!(decided(&more, work), "1 notes, 0 red");
    // The next delivery has a head of its own, and its checks count anew.
    let next = Pull { head: commit('c'), ..pull() };
    let status = PullStatus { head: commit('c'), ..status };
    assert!(matches!(follow_up(&status, &next, work, &POLICY), FollowUp::Revise(_)));
}

#[test]
fn red_checks_of_a_commit_that_is_not_ours_are_left_alone() {
    let status = PullStatus { head: commit('f'), ..open(&[CheckState::Failed], vec![]) };
    assert_eq!(decided(&status, &work()), "wait");
    let status = PullStatus { notes: vec![note("line-1")], ..status };
    assert_eq!(decided(&status, &work()), "1 notes, 0 red");
}

#[test]
fn used_up_rounds_end_in_a_sentence() {
    let used = |rounds| Work { rounds, ..work() };
    let limited = RetryPolicy { max_rounds: 0, ..POLICY };
    let red = open(&[CheckState::Failed], vec![]);
    let FollowUp::GiveUp { why: never, .. } = follow_up(&red, &pull(), &work(), &limited) else {
        panic!("no round is allowed")
    };
    let sentences = [
        decided(&red, &used(1)),
        decided(&red, &used(2)),
        decided(&open(&[CheckState::Failed], vec![note("line-1")]), &used(3)),
        decided(&open(&[CheckState::Passed], vec![]), &used(9)),
        never,
    ];
    insta::assert_snapshot!(sentences.join("\n"), @"
    0 notes, 1 red
    The pull request went back to the agent 2 times, and its checks are red. Finish it by hand, or retry the task.
    The pull request went back to the agent 3 times, and reviewers ask for changes. Finish it by hand, or retry the task.
    wait
    The pull request may not go back to the agent, and its checks are red. Finish it by hand, or retry the task.
    ");
}

#[test]
fn merged_and_closed_win_over_everything() {
    let busy = open(&[CheckState::Pending, CheckState::Failed], vec![note("line-1")]);
    let by = Some("grace".to_owned());
    let merged = PullStatus { state: PullState::Merged { at: NOW, by: by.clone() }, ..busy.clone() };
    let closed = PullStatus { state: PullState::Closed { by }, head: commit('f'), ..busy };
    let used = Work { rounds: 9, ..work() };
    assert_eq!(decided(&merged, &used), "merged by grace");
    assert_eq!(decided(&closed, &used), "closed by grace");
}
