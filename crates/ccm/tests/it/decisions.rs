//! Who may decide, about what exactly, and what follows.

use std::time::Duration;

use backlog::task::Stage;
use testkit::github::Permission;

use crate::story::{SOURCE, Story};

#[tokio::test(flavor = "multi_thread")]
async fn f58_only_people_with_write_access_approve() {
    let t = Story::start().await;
    t.github.user("triager", Permission::Triage);
    t.github.user("robot[bot]", Permission::Admin);
    t.settle().await;
    for who in ["outsider", "triager", "robot[bot]"] {
        t.github.comment(1, who, "/ccm approve");
        t.github.label(1, "approved-for-dev", who);
        t.settle().await;
        t.github.unlabel(1, "approved-for-dev", who);
        assert_eq!(t.stage().await, Stage::Proposed, "{who}");
    }
    assert_eq!(t.timeline().await.matches("was refused").count(), 6, "{}", t.timeline().await);
    t.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f58_an_edit_after_the_approval_voids_it() {
    let t = Story::start().await;
    t.settle().await;
    let body = t.github.issue(1).body.unwrap();
    t.clock.advance(Duration::from_secs(60));
    t.github.label(1, "approved-for-dev", "maintainer");
    t.github.edit_issue(1, "outsider", None, Some(&body.replace("greet the world", "delete the world")));
    t.settle().await;
    // What was approved is not what stands there: the label is read together with the edit.
    let timeline = t.timeline().await;
    assert!(timeline.contains("the text of the proposal changed"), "{timeline}");
    t.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn taking_the_label_away_before_a_run_takes_the_approval_back() {
    let t = Story::start().await;
    t.settle().await;
    t.clock.advance(Duration::from_secs(60));
    t.github.label(1, "approved-for-dev", "maintainer");
    t.github.unlabel(1, "approved-for-dev", "maintainer");
    t.settle().await;
    assert_eq!((t.stage().await, t.github.pulls().len()), (Stage::Proposed, 0), "{}", t.timeline().await);
    t.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_comment_cannot_spend_more_than_the_operator_grants() {
    let t = Story::start().await;
    t.settle().await;
    t.clock.advance(Duration::from_secs(60));
    t.github.comment(1, "maintainer", "/ccm budget 100");
    t.settle().await;
    assert_eq!(t.task().await.budget_micro_usd, None);
    assert!(t.timeline().await.contains("At most $5.00 are granted for one run."), "{}", t.timeline().await);
    t.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn work_that_comes_back_opens_its_proposal_again() {
    let t = Story::start().await;
    t.settle().await;
    t.github.commit("me/app", "Do it by hand", &[("app.py", "def greet(name='world'):\n    return name\n")]).await;
    t.later(Duration::from_secs(3600)).await;
    t.github.commit("me/app", "Undo that", &[("app.py", SOURCE)]).await;
    t.later(Duration::from_secs(3600)).await;
    assert_eq!((t.stage().await, t.github.issues().len()), (Stage::Proposed, 1), "{}", t.timeline().await);
    assert!(t.github.issue(1).open);
    t.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_proposal_stays_closed() {
    let t = Story::start().await;
    t.settle().await;
    t.clock.advance(Duration::from_secs(60));
    t.github.close(1, "maintainer");
    t.settle().await;
    assert_eq!(t.stage().await, Stage::Rejected);
    t.github.commit("me/app", "Move the comment", &[("app.py", &format!("import os\n\n{SOURCE}"))]).await;
    t.later(Duration::from_secs(3600)).await;
    assert_eq!((t.stage().await, t.github.issues().len()), (Stage::Rejected, 1));
    t.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn work_that_goes_away_closes_its_proposal_with_a_word() {
    let t = Story::start().await;
    t.settle().await;
    t.github.commit("me/app", "Do it by hand", &[("app.py", "def greet(name='world'):\n    return name\n")]).await;
    t.later(Duration::from_secs(3600)).await;
    assert_eq!(t.stage().await, Stage::Obsolete);
    let issue = t.github.issue(1);
    assert!(!issue.open && issue.comments[0].body.contains("The comment is gone from the code"), "{issue:?}");
    t.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn open_proposals_are_capped() {
    let t = Story::start().await;
    let many: String = (0..20).map(|n| format!("# TODO: handle the case number {n}\nx = {n}\n")).collect();
    t.github.commit("me/app", "Much to do", &[("many.py", &many)]).await;
    t.settle().await;
    assert_eq!(t.github.issues().len(), 5);
    t.clock.advance(Duration::from_secs(60));
    t.github.comment(1, "maintainer", "/ccm reject");
    t.settle().await;
    assert_eq!(t.github.issues().iter().filter(|issue| issue.open).count(), 5);
    assert_eq!(t.github.issues().len(), 6);
    t.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_comment_chooses_the_agent_and_the_budget_and_a_wrong_one_is_told() {
    let t = Story::start().await;
    t.settle().await;
    t.clock.advance(Duration::from_secs(60));
    t.github.comment(1, "maintainer", "/ccm budget 2.50");
    t.github.comment(1, "maintainer", "/ccm agent nobody");
    t.github.comment(1, "maintainer", "/ccm aprove");
    t.settle().await;
    let timeline = t.timeline().await;
    assert_eq!(t.task().await.budget_micro_usd, Some(2_500_000));
    assert!(timeline.contains("No agent is called `nobody`; configured are: default."), "{timeline}");
    assert!(timeline.contains("`/ccm aprove` is not a command"), "{timeline}");
    t.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_task_ends_with_a_closed_issue_and_pull_request() {
    let t = Story::start().await;
    t.settle().await;
    t.github.label(1, "approved-for-dev", "maintainer");
    t.settle().await;
    t.clock.advance(Duration::from_secs(60));
    t.github.comment(1, "maintainer", "/ccm cancel");
    t.settle().await;
    assert_eq!(t.stage().await, Stage::Cancelled);
    assert!(!t.github.issue(1).open && !t.github.issue(2).open);
    t.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn proposals_of_all_repositories_go_to_the_manager_repository() {
    let mut t = Story::start().await;
    t.github.repo("me/backlog").await;
    t.github.commit("me/backlog", "Begin", &[("README.md", "Proposals")]).await;
    t.manage_in("me/backlog").await;
    t.settle().await;
    assert_eq!((t.github.issues().len(), t.github.issues_in("me/backlog").len()), (0, 1));
    t.clock.advance(Duration::from_secs(60));
    t.github.label(("me/backlog", 1), "approved-for-dev", "outsider");
    t.settle().await;
    assert_eq!(t.stage().await, Stage::Proposed);
    t.github.comment(("me/backlog", 1), "maintainer", "/ccm approve");
    t.settle().await;
    assert!(t.github.pull(1).issue.body.unwrap().contains("For me/backlog#1."));
    t.github.merge(1, "maintainer").await;
    t.later(Duration::from_secs(60)).await;
    assert!(!t.github.issue(("me/backlog", 1)).open);
    assert_eq!(t.stage().await, Stage::Done);
    t.end().await;
}
