use backlog::time::{Clock, Timestamp};
use testkit::clock::TestClock;
use testkit::github::{Fault, Permission as Role};

use super::*;
use crate::Forge;
use crate::github::tests::{World, app, draft, link, seconds, task};

#[test]
fn titles_and_bodies_fit_what_github_takes() {
    assert_eq!(title("two\nlines  and spaces"), "two lines and spaces");
    assert_eq!(title(&"ü".repeat(256)).chars().count(), 256);
    assert_eq!(title(&"ü".repeat(257)).chars().count(), 256);
    assert!(title(&"ü".repeat(257)).ends_with('…'));
    let mark = Marker::of(IntentKind::Issue, &task());
    let long = marked(b"key", &"ü".repeat(70_000), &mark);
    assert!(long.chars().count() < 60_200 && long.contains("This text was cut"));
    assert_eq!(marker::find(b"key", &long), Some(mark.clone()), "the marker is not cut off");
    let foreign = marker::marker(b"key", &Marker::of(IntentKind::Issue, &"zzzzzzzzzz".parse().unwrap()));
    assert_eq!(marked(b"key", &format!("a{foreign}b"), &mark).matches("ccm:v1").count(), 1);
}

#[tokio::test]
async fn f49_a_long_draft_is_accepted() {
    let world = World::new().await;
    let long = IssueDraft { title: "t".repeat(300), body: "b".repeat(70_000), ..draft() };
    let issue = world.github().ensure_issue(&long).await.unwrap();
    assert_eq!((issue.title.chars().count(), issue.body.chars().count()), (256, 60_000));
    world.fair();
}

#[tokio::test]
async fn what_was_proposed_is_known_by_marker_and_author_closed_or_not() {
    let world = World::new().await;
    let issue = world.github().ensure_issue(&draft()).await.unwrap();
    world.fake.open_issue("outsider", "Copied", world.fake.issue(1).body.as_deref().unwrap());
    world.fake.open_issue("ccm-user", "By hand", "No marker");
    let found = world.github().proposals(&app()).await.unwrap();
    assert_eq!(found.iter().map(|(of, view)| (of, view.open)).collect::<Vec<_>>(), [(&task(), true)]);
    assert_eq!((&found[0].1.link, &found[0].1.body), (&issue.link, &draft().body));
    world.fake.close(1, "ccm-user");
    assert!(!world.github().proposals(&app()).await.unwrap()[0].1.open);
    world.fair();
}

#[tokio::test]
async fn an_update_changes_only_what_differs() {
    let world = World::new().await;
    let github = world.github();
    let issue = github.ensure_issue(&draft()).await.unwrap();
    let same = IssuePatch {
        content: Some((draft().title, draft().body)),
        state: Some(IssueClose::Reopen),
        add_labels: vec!["Task-Proposal".to_owned()],
        remove_labels: vec!["absent".to_owned()],
        instead_of: Some(ContentHash::of(&issue.title, &issue.body)),
    };
    let before = world.fake.request_count();
    github.update_issue(&issue.link, &same).await.unwrap();
    assert_eq!(world.fake.request_count(), before + 1, "one look, no write");

    let other = IssuePatch {
        content: Some(("New title".to_owned(), "New body".to_owned())),
        state: Some(IssueClose::NotPlanned),
        add_labels: vec!["done by hand".to_owned()],
        remove_labels: vec!["task-proposal".to_owned()],
        instead_of: None,
    };
    github.update_issue(&issue.link, &other).await.unwrap();
    let now = world.fake.issue(1);
    assert_eq!((now.title.as_str(), now.open, now.state_reason.as_deref()), ("New title", false, Some("not_planned")));
    assert_eq!(now.labels, ["done by hand"]);
    assert_eq!(marker::find(b"a key", now.body.as_deref().unwrap()), Some(Marker::of(IntentKind::Issue, &task())));
    github
        .update_issue(&issue.link, &IssuePatch { state: Some(IssueClose::Reopen), ..IssuePatch::default() })
        .await
        .unwrap();
    assert!(world.fake.issue(1).open);
    world.fair();
}

#[tokio::test]
async fn a_text_that_somebody_has_edited_is_not_written_over() {
    let world = World::new().await;
    let github = world.github();
    let issue = github.ensure_issue(&draft()).await.unwrap();
    let instead_of = Some(ContentHash::of(&issue.title, &issue.body));
    let anew = IssuePatch { content: Some(("New".to_owned(), "New".to_owned())), instead_of, ..IssuePatch::default() };
    world.fake.edit_issue(1, "ann", Some("By ann"), Some("By ann"));
    let refused = github.update_issue(&issue.link, &anew).await.unwrap_err();
    assert!(matches!(refused, ForgeError::Conflict(_)), "{refused:?}");
    assert_eq!(world.fake.issue(1).title, "By ann");
    world.fair();
}

#[tokio::test]
async fn an_issue_of_somebody_else_gets_no_marker() {
    let world = World::new().await;
    let number = world.fake.open_issue("ann", "Slow", "It is slow.");
    let patch =
        IssuePatch { content: Some(("Slow".to_owned(), "It is very slow.".to_owned())), ..IssuePatch::default() };
    world.github().update_issue(&link(number), &patch).await.unwrap();
    assert_eq!(world.fake.issue(number).body.as_deref(), Some("It is very slow."));
    world.fair();
}

#[tokio::test]
async fn changed_issues_come_without_pull_requests_and_markers() {
    let world = World::new().await;
    let github = world.github();
    world.fake.open_issue("ann", "old", "");
    world.clock.advance(seconds(100));
    let since = world.clock.now();
    world.fake.commit_on("me/app", "fix", "fix", &[("a.txt", "b\n")]).await;
    world.fake.open_pull("ann", "fix", "Fix", "").await;
    github.ensure_issue(&draft()).await.unwrap();
    let changed = github.changed_issues(&app(), since).await.unwrap();
    assert_eq!(changed.len(), 1);
    assert_eq!((changed[0].link.number, changed[0].body.as_str()), (3, draft().body.as_str()));
    assert!(changed[0].updated_at >= since);
    world.fair();
}

#[tokio::test]
async fn activity_tells_who_did_what_when() {
    let world = World::new().await;
    let github = world.github();
    let issue = github.ensure_issue(&draft()).await.unwrap();
    world.fake.user("ann", Role::Write);
    let step = || world.clock.advance(seconds(10));
    step();
    world.fake.comment(1, "ann", "/ccm approve<!-- hidden\u{200b} -->");
    step();
    world.fake.label(1, "approved-for-dev", "ann");
    step();
    world.fake.comment(1, "dependabot[bot]", "/ccm approve");
    step();
    world.fake.unlabel(1, "approved-for-dev", "ann");
    step();
    github.ensure_comment(&issue.link, &task(), "status", "working").await.unwrap();
    step();
    world.fake.comment(1, "robot", "by hand, with the same account");
    step();
    world.fake.close(1, "ann");
    step();
    world.fake.reopen(1, "ann");
    let told: Vec<String> = github
        .activity(&issue.link)
        .await
        .unwrap()
        .into_iter()
        .filter(|activity| activity.at > TestClock::START.plus(seconds(9)))
        .map(|a| format!("{} person={} us={} {:?}", a.by, a.by_person, a.by_us, a.what))
        .collect();
    insta::assert_snapshot!(told.join("\n"), @r#"
    ann person=true us=false Commented("/ccm approve")
    ann person=true us=false Labeled("approved-for-dev")
    dependabot[bot] person=false us=false Commented("/ccm approve")
    ann person=true us=false Unlabeled("approved-for-dev")
    robot person=true us=true Commented("working")
    robot person=true us=false Commented("by hand, with the same account")
    ann person=true us=false Closed
    ann person=true us=false Reopened
    "#);
    world.fair();
}

#[tokio::test]
async fn f51_labels_that_were_dropped_are_noticed() {
    let world = World::new().await;
    world.fake.user("robot", Role::Read);
    let issue = world.github().ensure_issue(&draft()).await.unwrap();
    assert_eq!(issue.link.number, 1);
    assert!(world.fake.issue(1).labels.is_empty());
    assert_eq!(world.count("POST /issues/{issue_number}/labels"), 1, "it was tried once");
    world.fair();
}

#[tokio::test]
async fn an_edit_that_breaks_off_may_be_repeated() {
    let world = World::new().await;
    let github = world.github();
    let number = world.fake.open_issue("ann", "Slow", "");
    let close = IssuePatch { state: Some(IssueClose::Completed), ..IssuePatch::default() };
    world.fake.fail(Fault::execute_then_drop().on("PATCH /issues/{issue_number}"));
    assert!(matches!(github.update_issue(&link(number), &close).await, Err(ForgeError::Transient { .. })));
    github.update_issue(&link(number), &close).await.unwrap();
    assert_eq!(world.count("PATCH /issues/{issue_number}"), 1, "the second call saw that it is done");
    world.fair();
}

#[tokio::test]
async fn times_that_are_none_are_the_epoch() {
    assert_eq!(time(Some("yesterday")), Timestamp(0));
    assert_eq!(time(None), Timestamp(0));
}
