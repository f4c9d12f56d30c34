use std::time::Duration;

use backlog::intent::{IntentKind, IntentState};
use backlog::names::TaskId;
use backlog::time::Clock;
use testkit::clock::TestClock;
use testkit::github::Fault;

use crate::github::tests::{World, app, draft, link, seconds, task};
use crate::github::{GitHub, Limits};
use crate::marker::{Marker, marker};
use crate::{Forge, ForgeError, IssueClose, IssueDraft, IssuePatch};

const ISSUE: &str = "issue:3k9d0fz2ha";
const CREATE: &str = "POST /repos/{owner}/{repo}/issues";

#[tokio::test]
async fn an_issue_asked_for_twice_is_one() {
    let world = World::new().await;
    let github = world.github();
    let (first, second) = tokio::join!(async { github.ensure_issue(&draft()).await.unwrap() }, async {
        github.ensure_issue(&draft()).await.unwrap()
    });
    assert_eq!(first, second);
    assert_eq!(world.github().ensure_issue(&draft()).await.unwrap(), first);
    assert_eq!(world.fake.issues().len(), 1);
    assert_eq!((first.title.as_str(), first.open), ("Handle the empty list", true));
    assert_eq!(first.body, draft().body, "without the marker");
    assert_eq!(world.fake.issue(1).labels, ["task-proposal"]);
    world.fair();
}

#[tokio::test]
async fn r27_whatever_breaks_there_is_one_issue() {
    let story = |name: &'static str, fault: Fault, sends: usize| (name, fault.on(CREATE), sends);
    let table = [
        story("executed, then 502", Fault::execute_then_status(502), 1),
        story("executed, then 504", Fault::execute_then_status(504), 1),
        story("executed, then reset", Fault::execute_then_drop(), 1),
        story("executed, then silence", Fault::execute_then_hang(), 1),
        story("executed, unreadable", Fault::invalid_json(), 1),
        story("executed, a page for people", Fault::html(), 1),
        story("executed, nothing said", Fault::empty_body(), 1),
        story("not executed, 502", Fault::bad_gateway(), 2),
        story("not executed, reset", Fault::drop_connection(), 2),
        story("not executed, limit", Fault::retry_after(429, seconds(60)), 2),
    ];
    for (name, fault, sends) in table {
        let world = World::new().await;
        let limits = Limits { request_timeout: Duration::from_secs(1), ..Limits::default() };
        let github = world.github_with(limits);
        world.fake.fail(fault);
        github.ensure_issue(&draft()).await.expect_err(name);
        let issue = world.patiently(async || github.ensure_issue(&draft()).await).await.expect(name);
        assert_eq!((world.fake.issues().len(), world.count(CREATE)), (1, sends), "{name}");
        assert_eq!(issue.link.number, world.fake.issues()[0].number);
        assert!(matches!(world.ledger.intent_of(ISSUE).unwrap().state, IntentState::Done { .. }), "{name}");
        world.fair();
    }
}

/// Whatever the n-th request of a proposal meets, for every n, there is one issue in the end.
#[tokio::test]
async fn r27_every_request_may_fail() {
    for n in 1..=5 {
        for fault in [
            Fault::execute_then_drop(),
            Fault::execute_then_status(502),
            Fault::drop_connection(),
            Fault::html(),
            Fault::secondary_limit(),
            Fault::exhausted(403, seconds(100)),
        ] {
            let (world, name) = (World::new().await, format!("request {n}: {fault:?}"));
            world.fake.fail_nth_request(n, fault);
            let github = world.github();
            for _ in 0..3 {
                // What stays unexplained is asked again, as a reconciler does.
                if world.patiently(async || github.ensure_issue(&draft()).await).await.is_ok() {
                    break;
                }
            }
            assert_eq!(world.fake.issues().len(), 1, "{name}");
            assert!(matches!(world.ledger.intent_of(ISSUE).unwrap().state, IntentState::Done { .. }), "{name}");
            assert_eq!(world.fake.violations(), Vec::<String>::new(), "{name}");
        }
    }
}

#[tokio::test]
async fn r29_a_crash_during_every_request_leaves_one_issue() {
    for n in 1..=5 {
        let world = World::new().await;
        world.fake.fail_nth_request(n, Fault::execute_then_hang());
        let github = world.github();
        let crashed = tokio::time::timeout(Duration::from_millis(200), github.ensure_issue(&draft())).await;
        assert!(crashed.is_err(), "request {n} hangs");
        drop(github);
        let restarted = world.github();
        world.patiently(async || restarted.ensure_issue(&draft()).await).await.unwrap();
        assert_eq!((world.fake.issues().len(), world.count(CREATE)), (1, 1), "request {n}");
        world.fair();
    }
}

#[tokio::test]
async fn r20_a_hundred_proposals_break_no_published_limit() {
    let world = World::new().await;
    let github = world.github();
    for n in 0..100 {
        let task = TaskId::derive(&app(), &n.to_string());
        let draft = IssueDraft { task, title: format!("Proposal {n}"), ..draft() };
        world.patiently(async || github.ensure_issue(&draft).await).await.unwrap();
    }
    assert_eq!(world.fake.issues().len(), 100);
    let took = world.clock.now().since(TestClock::START).as_secs();
    assert!((297..330).contains(&took), "three seconds apart: {took}");
    world.fair();
}

#[tokio::test]
async fn r27_three_looks_come_before_a_second_send() {
    let world = World::new().await;
    let github = world.github();
    world.fake.fail(Fault::bad_gateway().on(CREATE));
    let draft = IssueDraft { labels: Vec::new(), ..draft() };
    let mut waits = Vec::new();
    loop {
        let before = world.clock.now();
        match github.ensure_issue(&draft).await {
            Err(ForgeError::Transient { retry_at: Some(at), .. }) => {
                assert!(github.ensure_issue(&draft).await.is_err(), "asking earlier changes nothing");
                waits.push(at.since(before).as_secs());
                world.clock.set(at);
            }
            done => break assert_eq!(done.unwrap().link.number, 1),
        }
    }
    assert_eq!(waits, [2, 15, 60]);
    assert_eq!(world.count(CREATE), 2);
    world.fair();
}

#[tokio::test]
async fn r27_two_sends_without_a_trace_ask_a_person() {
    let world = World::new().await;
    let github = world.github();
    world.fake.fail(Fault::bad_gateway().on(CREATE).forever());
    let error = world.patiently(async || github.ensure_issue(&draft()).await).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the issue of task 3k9d0fz2ha was sent to me/app 2 times and never seen; look there for it, and cancel or \
         retry the task"
    );
    assert_eq!(world.count(CREATE), 2);
    world.fake.stop_failing();
    assert!(github.ensure_issue(&draft()).await.is_err(), "and nothing more is sent");
    world.fair();
}

#[tokio::test]
async fn r28_a_limit_leaves_the_intent_unsent() {
    let world = World::new().await;
    let github = world.github();
    world.fake.fail(Fault::retry_after(403, seconds(60)).on(CREATE));
    assert!(matches!(github.ensure_issue(&draft()).await, Err(ForgeError::Limited { .. })));
    let intent = world.ledger.intent_of(ISSUE).unwrap();
    assert_eq!((intent.state, intent.sends), (IntentState::Planned, 0));
}

#[tokio::test]
async fn r29_a_crash_between_send_and_answer_is_found_after_the_restart() {
    let world = World::new().await;
    world.fake.fail(Fault::execute_then_hang().on(CREATE));
    let github = world.github();
    let crashed = tokio::time::timeout(Duration::from_millis(300), github.ensure_issue(&draft())).await;
    assert!(crashed.is_err(), "no answer came");
    drop(github);
    assert_eq!(world.ledger.intent_of(ISSUE).unwrap().state, IntentState::Sent);
    let restarted = world.github();
    let issue = world.patiently(async || restarted.ensure_issue(&draft()).await).await.unwrap();
    assert_eq!((issue.link.number, world.fake.issues().len(), world.count(CREATE)), (1, 1, 1));
    world.fair();
}

#[tokio::test]
async fn r29_what_an_earlier_process_left_open_is_looked_for_before_anything_new_is_written() {
    let world = World::new().await;
    world.fake.fail(Fault::execute_then_hang().on(CREATE));
    let github = world.github();
    let crashed = tokio::time::timeout(Duration::from_millis(300), github.ensure_issue(&draft())).await;
    assert!(crashed.is_err(), "no answer came");
    drop(github);
    // It leaves the record of those that send, so that the next one need not wait to be noticed.
    tokio::task::yield_now().await;
    let restarted = world.github();
    let other = IssueDraft { task: TaskId::derive(&app(), "other"), ..draft() };
    let error = restarted.ensure_issue(&other).await.unwrap_err();
    assert!(matches!(error, ForgeError::Transient { retry_at: Some(_), .. }), "{error}");
    let close = IssuePatch { state: Some(IssueClose::Completed), ..IssuePatch::default() };
    assert!(restarted.update_issue(&link(1), &close).await.is_err(), "an edit waits as well");
    assert_eq!((world.count(CREATE), world.count("PATCH")), (1, 0));
    world.patiently(async || restarted.ensure_issue(&other).await).await.unwrap();
    assert!(matches!(world.ledger.intent_of(ISSUE).unwrap().state, IntentState::Done { number: 1, .. }));
    assert_eq!((world.fake.issues().len(), world.count(CREATE)), (2, 2));
    world.fair();
}

#[tokio::test]
async fn r29_what_cannot_be_looked_for_any_more_stops_nothing() {
    let world = World::new().await;
    let github = world.github();
    let number = world.fake.open_issue("ann", "Slow", "");
    world.fake.fail(Fault::bad_gateway().on("POST /comments"));
    github.ensure_comment(&link(number), &task(), "status", "working").await.unwrap_err();
    world.fake.fail(Fault::status(404, "Not Found").on("GET /comments").forever());
    let restarted = world.github();
    world.patiently(async || restarted.ensure_issue(&draft()).await).await.unwrap();
    assert_eq!(world.count(CREATE), 1);
    world.fair();
}

/// Two processes over one memory: of each step of an intent one of them takes it.
#[tokio::test]
async fn r29_of_two_processes_that_want_the_same_one_sends_it() {
    let world = World::new().await;
    let (one, two) = (world.github(), world.github());
    let (draft, link) = (draft(), link(world.fake.open_issue("ann", "Slow", "")));
    let (first, second) = tokio::join!(one.ensure_issue(&draft), two.ensure_issue(&draft));
    assert!(first.is_ok() || second.is_ok());
    let comment = async |github: &GitHub| github.ensure_comment(&link, &task(), "status", "working").await;
    let (third, fourth) = tokio::join!(comment(&one), comment(&two));
    assert!(third.is_ok() || fourth.is_ok());
    for github in [&one, &two] {
        world.patiently(async || github.ensure_issue(&draft).await).await.unwrap();
        world.patiently(async || comment(github).await).await.unwrap();
    }
    assert_eq!((world.count(CREATE), world.count("POST /comments")), (1, 1));
    world.fair();
}

#[tokio::test]
async fn f21_a_list_that_lags_makes_no_second_issue() {
    let world = World::new().await;
    let github = world.github();
    world.fake.open_issue("ann", "older", "");
    world.fake.fail(Fault::hide_new(seconds(12 * 60)).on(CREATE));
    let issue = github.ensure_issue(&draft()).await.unwrap();
    assert_eq!(world.github().ensure_issue(&draft()).await.unwrap(), issue, "its number is known");

    // As if the answer had not been stored: three looks at the list find nothing, the number next to the last does.
    world.ledger.put_back(ISSUE, IntentState::Sent);
    assert_eq!(world.patiently(async || github.ensure_issue(&draft()).await).await.unwrap(), issue);
    assert_eq!(world.count(CREATE), 1);
    world.fair();
}

#[tokio::test]
async fn a_number_of_another_repository_is_not_believed() {
    let world = World::new().await;
    world.fake.repo("me/backlog").await;
    world.fake.open_issue_in("me/backlog", "ann", "something else", "");
    world.github().ensure_issue(&draft()).await.unwrap();
    let elsewhere = IssueDraft { repository: "me/backlog".parse().unwrap(), ..draft() };
    let issue = world.github().ensure_issue(&elsewhere).await.unwrap();
    assert_eq!((issue.link.repository.as_str(), issue.link.number), ("me/backlog", 2));
    world.fair();
}

#[tokio::test]
async fn f59_an_outsider_who_copies_the_marker_is_not_adopted() {
    let world = World::new().await;
    let copied = marker(b"a key", &Marker::of(IntentKind::Issue, &task()));
    world.fake.open_issue("mallory", "Handle the empty list", &format!("Do something else.\n\n{copied}"));
    let issue = world.github().ensure_issue(&draft()).await.unwrap();
    assert_eq!(issue.link.number, 2);
    world.fair();
}

#[tokio::test]
async fn a_lost_database_finds_its_issue_again_and_leaves_it_closed() {
    let world = World::new().await;
    world.github().ensure_issue(&draft()).await.unwrap();
    for n in 0..120 {
        world.fake.open_issue("robot", &format!("by hand {n}"), "");
    }
    world.fake.close(1, "ann");
    world.ledger.lose();
    let issue = world.github().ensure_issue(&draft()).await.unwrap();
    assert_eq!((issue.link.number, issue.open, world.count(CREATE)), (1, false, 1));
    world.fair();
}

#[tokio::test]
async fn f50_switched_off_issues_are_a_refusal_with_its_mend() {
    let world = World::new().await;
    world.fake.set_issues_enabled("me/app", false);
    let error = world.github().ensure_issue(&draft()).await.unwrap_err();
    assert!(matches!(&error, ForgeError::Denied { why, .. } if why.contains("switch issues on")), "{error}");
    world.fair();
}

#[tokio::test]
async fn a_comment_is_one_and_says_the_newest() {
    let world = World::new().await;
    let github = world.github();
    let number = world.fake.open_issue("ann", "Slow", "");
    let (link, task) = (link(number), task());
    for body in ["working", "working", "done"] {
        github.ensure_comment(&link, &task, "status", body).await.unwrap();
    }
    github.ensure_comment(&link, &task, "cost", "1 USD").await.unwrap();
    let comments = world.fake.issue(number).comments;
    assert!(comments.len() == 2 && comments[0].body.starts_with("done\n") && comments[1].body.starts_with("1 USD\n"));
    assert_eq!(world.count("PATCH /comments/{comment_id}"), 1, "what says the same is not written");

    world.ledger.lose();
    github.ensure_comment(&link, &task, "status", "done").await.unwrap();
    assert_eq!(world.fake.issue(number).comments.len(), 2, "found by its marker");
    world.fair();
}

#[tokio::test]
async fn a_deleted_comment_is_written_again() {
    let world = World::new().await;
    let github = world.github();
    let (link, task) = (link(world.fake.open_issue("ann", "Slow", "")), task());
    github.ensure_comment(&link, &task, "status", "done").await.unwrap();
    world.fake.delete_comment(1, world.fake.issue(1).comments[0].id);
    github.ensure_comment(&link, &task, "status", "done").await.unwrap();
    assert_eq!(world.fake.issue(1).comments.len(), 1);
    assert_eq!(world.fake.violations().len(), 1, "the referee counts two creations, and here that is right");
}

#[tokio::test]
async fn r27_a_comment_that_broke_off_is_one() {
    for (fault, sends) in
        [(Fault::execute_then_status(502), 1), (Fault::execute_then_drop(), 1), (Fault::bad_gateway(), 2)]
    {
        let world = World::new().await;
        let github = world.github();
        let (link, task) = (link(world.fake.open_issue("ann", "Slow", "")), task());
        world.fake.fail(fault.on("POST /comments"));
        world.patiently(async || github.ensure_comment(&link, &task, "status", "working").await).await.unwrap();
        assert_eq!((world.fake.issue(1).comments.len(), world.count("POST /comments")), (1, sends));
        world.fair();
    }
}
