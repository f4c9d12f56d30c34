//! `for_each_failure`: the n-th outside call fails, the service dies after the n-th commit, for every n.
//!
//! After each the invariants hold, and with time the task is done all the same: once.

use std::time::Duration;

use backlog::task::Stage;
use testkit::github::Fault;

use crate::story::Story;

/// The main story in short, as far as it gets in each step. Safe to go on with after a failure.
async fn walk(t: &mut Story) {
    t.settle().await;
    decide(t);
    t.settle().await;
    finish(t).await;
    t.settle().await;
}

/// A maintainer approves what waits for approval.
fn decide(t: &Story) {
    for issue in
        t.github.issues().iter().filter(|issue| issue.open && !issue.labels.contains(&"approved-for-dev".to_owned()))
    {
        t.github.label(issue.number, "approved-for-dev", "maintainer");
    }
}

/// A maintainer merges what is open.
async fn finish(t: &Story) {
    for pull in t.github.pulls().iter().filter(|pull| pull.issue.open) {
        t.github.merge(pull.issue.number, "maintainer").await;
    }
}

/// Time heals: the same people look again every hour.
async fn heal(t: &mut Story, what: &str) {
    for _ in 0..8 {
        if matches!(t.tasks().await.as_slice(), [task] if task.state.stage() == Stage::Done) {
            break;
        }
        t.clock.advance(Duration::from_secs(3600));
        walk(t).await;
        t.check_invariants().await;
    }
    assert_eq!(t.stage().await, Stage::Done, "{what}:\n{}", t.timeline().await);
    assert_eq!((t.github.issues().len(), t.github.pulls().len()), (1, 1), "{what}");
    assert!(!t.github.issue(1).open, "{what}");
}

/// Tells the story once for every request in it, each time with a fault that `order` orders at that request.
async fn for_each_request(order: impl Fn(&Story, u64), name: &str) {
    let mut plain = Story::start().await;
    walk(&mut plain).await;
    let requests = plain.github.request_count();
    plain.end().await;
    assert!(requests > 20, "{requests} requests are too few to be the whole story");
    for n in 1..=requests {
        let what = format!("{name} at request {n} of {requests}");
        let mut t = Story::start().await;
        order(&t, n);
        walk(&mut t).await;
        t.check_invariants().await;
        t.github.stop_failing();
        heal(&mut t, &what).await;
        t.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn any_request_may_fail_before_it_is_executed() {
    for_each_request(|t, n| t.github.fail_nth_request(n, Fault::bad_gateway()), "502").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn any_request_may_be_executed_and_its_answer_lost() {
    for_each_request(|t, n| t.github.fail_nth_request(n, Fault::execute_then_drop()), "lost answer").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn github_may_go_away_at_any_request_until_somebody_mends_it() {
    for_each_request(|t, n| t.github.fail(Fault::bad_gateway().nth(n).forever()), "502 for good").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_may_die_after_any_commit() {
    let mut n = 0;
    loop {
        n += 1;
        let mut t = Story::start().await;
        let died = t.dies_after_commit(n, async |t: &mut Story| walk(t).await).await;
        t.restart().await;
        t.check_invariants().await;
        heal(&mut t, &format!("death after commit {n}")).await;
        t.end().await;
        if !died {
            break;
        }
    }
    assert!(n > 10, "{n} commits are too few to be the whole story");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_stops_nothing_for_good() {
    let mut t = Story::start().await;
    for step in 0..3 {
        t.disk_is_full(true);
        t.struggle().await;
        t.disk_is_full(false);
        t.check_invariants().await;
        match step {
            0 => t.settle().await,
            1 => {
                decide(&t);
                t.settle().await;
            }
            _ => finish(&t).await,
        }
        t.clock.advance(Duration::from_secs(600));
    }
    heal(&mut t, "a full disk").await;
    t.end().await;
}
