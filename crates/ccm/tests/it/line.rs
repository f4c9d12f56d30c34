//! The line from a TODO to a merged pull request.

use std::time::Duration;

use backlog::task::Stage;
use insta::assert_snapshot;

use crate::story::Story;

#[tokio::test(flavor = "multi_thread")]
async fn a_todo_becomes_a_merged_pull_request() {
    let t = Story::start().await;
    t.settle().await;
    let issue = &t.github.issues()[0];
    assert_eq!(issue.labels, ["task-proposal"]);
    let body = issue.body.clone().unwrap();
    assert!(body.contains("greet the world when there is no name") && body.contains("**Why this one:**"), "{body}");
    assert!(body.contains("<!-- ccm:v1 "), "{body}");

    t.github.label(1, "approved-for-dev", "outsider");
    t.settle().await;
    assert_eq!(t.stage().await, Stage::Proposed);
    t.github.unlabel(1, "approved-for-dev", "outsider");
    t.github.label(1, "approved-for-dev", "maintainer");
    t.settle().await;
    assert_eq!(t.stage().await, Stage::InReview);
    let pull = t.github.pull(2);
    assert!(pull.issue.body.as_deref().unwrap().contains("Closes #1."));
    assert!(!t.github.file_at("me/app", &pull.pull.head, "app.py").await.unwrap().contains("TODO"));

    t.clock.advance(Duration::from_secs(60));
    t.agent("grep -q 'why not a default' \"$HOME/prompt\"\nsed -i 's/(name)/(name=\"world\")/' app.py");
    t.github.review(2, "maintainer", "CHANGES_REQUESTED", "why not a default argument?");
    t.settle().await;
    assert_eq!(t.stage().await, Stage::InReview);
    let second = t.github.pull(2);
    assert_ne!(second.pull.head_sha, pull.pull.head_sha);
    assert!(t.github.file_at("me/app", &pull.pull.head, "app.py").await.unwrap().contains("name=\"world\""));

    t.github.merge(2, "maintainer").await;
    t.later(Duration::from_secs(60)).await;
    assert!(!t.github.issue(1).open);
    assert_snapshot!(t.timeline().await, @r#"
    found in the code
    proposed: GITHUB/me/app/issues/1
    outsider (by label) was refused: outsider has no write access to this repository, so this does not count.
    approved by maintainer (by label)
    run TASK-1 started
    run TASK-1 ended: succeeded, $0.00
    check passed: sh check.sh
    verified
    in review: GITHUB/me/app/pull/2
    back to the agent: maintainer asks for a change
    run TASK-2 started
    run TASK-2 ended: succeeded, $0.00
    check passed: sh check.sh
    verified
    in review: GITHUB/me/app/pull/2
    merged by maintainer (on the code host)
    "#);
    assert_eq!(t.github.pulls().len(), 1);
    assert_eq!(t.content_calls(), 2, "the issue and the pull request; all else is edited in place");
    t.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_red_check_goes_back_to_the_agent_at_most_three_times() {
    let t = Story::start().await;
    t.settle().await;
    t.github.comment(1, "maintainer", "/ccm approve");
    t.settle().await;
    for round in 1..=4 {
        assert_eq!(t.stage().await, Stage::InReview, "round {round}");
        t.agent(&format!("grep -q 'expected 4, got 5' \"$HOME/prompt\"\necho '# round {round}' >> app.py"));
        t.clock.advance(Duration::from_secs(60));
        t.github.check(2, "build", "failure", "test_sum: expected 4, got 5");
        t.settle().await;
    }
    let task = t.task().await;
    assert_eq!(task.state.stage(), Stage::Failed);
    assert_eq!(task.state.work().unwrap().runs, 4);
    assert!(
        t.github.issue(1).comments[1].body.contains("went back to the agent 3 times"),
        "{:?}",
        t.github.issue(1).comments
    );
    t.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn work_that_breaks_the_checks_is_never_delivered() {
    let t = Story::start().await;
    t.agent("echo BROKEN >> app.py");
    t.settle().await;
    t.github.label(1, "approved-for-dev", "maintainer");
    for _ in 0..4 {
        t.later(Duration::from_secs(3600)).await;
    }
    assert_eq!(t.stage().await, Stage::Failed);
    assert_eq!(t.github.pulls().len(), 0);
    assert_snapshot!(t.timeline().await, @r#"
    found in the code
    proposed: GITHUB/me/app/issues/1
    approved by maintainer (by label)
    run TASK-1 started
    run TASK-1 ended: succeeded, $0.00
    check did not pass: sh check.sh
    not good: The check `sh check.sh` did not pass (exit code 1).
    tried again: The check `sh check.sh` did not pass (exit code 1).
    run TASK-2 started
    run TASK-2 ended: succeeded, $0.00
    check did not pass: sh check.sh
    not good: The check `sh check.sh` did not pass (exit code 1).
    tried again: The check `sh check.sh` did not pass (exit code 1).
    run TASK-3 started
    run TASK-3 ended: succeeded, $0.00
    check did not pass: sh check.sh
    not good: The check `sh check.sh` did not pass (exit code 1).
    failed: The check `sh check.sh` did not pass (exit code 1).
    "#);
    let comment = &t.github.issue(1).comments[0].body;
    assert!(comment.contains("`sh check.sh` did not pass") && comment.contains("/ccm retry"), "{comment}");
    assert_eq!(t.content_calls(), 2, "the issue and its one sticky comment");
    t.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_changes_nothing_or_touches_protected_paths_delivers_nothing() {
    for (script, why) in [
        ("true", "The agent changed nothing."),
        ("echo 'enabled = false' > .github/ccm.toml", "`.github/ccm.toml` may not be changed here"),
        ("exit 3", "exit code 3"),
    ] {
        let t = Story::start().await;
        t.agent(script);
        t.settle().await;
        t.github.label(1, "approved-for-dev", "maintainer");
        for _ in 0..4 {
            t.later(Duration::from_secs(3600)).await;
        }
        let task = t.task().await;
        assert_eq!(task.state.stage(), Stage::Failed, "{script}");
        assert!(t.timeline().await.contains(why), "{script}: {}", t.timeline().await);
        assert_eq!(t.github.pulls().len(), 0);
        t.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_not_installed_fails_the_task_at_once_and_says_what_to_do() {
    let t = Story::start().await;
    t.no_agent();
    t.settle().await;
    t.github.label(1, "approved-for-dev", "maintainer");
    t.settle().await;
    assert_eq!(t.stage().await, Stage::Failed);
    let timeline = t.timeline().await;
    assert!(timeline.contains("was not found; install it or set its full path in the configuration"), "{timeline}");
    t.end().await;
}
