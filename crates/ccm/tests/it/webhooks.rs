//! What GitHub tells, and what it does not: the service behind its own door, with all that may happen on the way.

use std::time::Duration;

use backlog::task::Stage;
use pipeline::settings::Settings;
use pipeline::{Nudge, news};
use testkit::github::{AlertKind, Fault, Mishap};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::story::{SOURCE, Story, WEBHOOK_SECRET};

const MINUTE: Duration = Duration::from_secs(60);

/// A story whose service looks by itself only once a day, with one proposal, and the GitHub of which tells it
/// everything from now on.
async fn told() -> Story {
    told_with(|_| {}).await
}

/// The same, with other settings.
async fn told_with(change: impl FnOnce(&mut Settings)) -> Story {
    let mut t = Story::start().await;
    t.set(change).await;
    t.looks_once_a_day().await;
    t.settle().await;
    listen(&t).await;
    t
}

/// Brings what is to be told, and lets a minute pass.
async fn a_minute_later(t: &Story) {
    assert!(t.github.deliver_all().await.iter().all(|status| *status == 202));
    t.beat(MINUTE).await;
}

/// Titles of the issues that are open, without the one that stories begin with.
fn open(t: &Story) -> Vec<String> {
    let all = t.github.issues().into_iter().filter(|issue| issue.open && issue.number > 1);
    all.map(|issue| issue.title).collect()
}

/// Opens the door of the service that runs now.
async fn listen(t: &Story) {
    t.github.app_hook(&door(t).await, WEBHOOK_SECRET, 1);
}

/// The address of that door.
async fn door(t: &Story) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let metrics = web::metrics::install().unwrap();
    let site = web::Site::new(t.ctx.clone(), "token", "ada".to_owned(), metrics, address.clone()).await.unwrap();
    tokio::spawn(web::serve(site, listener, CancellationToken::new()));
    format!("{address}/webhooks/github")
}

/// A story of an App that looks by itself only once a day, with one proposal.
async fn app() -> Story {
    let mut t = Story::start_as_app().await;
    t.looks_once_a_day().await;
    t.settle().await;
    t
}

/// What the deliveries that came so far ask for.
async fn asked(t: &Story) -> Vec<Nudge> {
    news::take_in(&t.ctx).await.unwrap();
    t.ctx.nudges.take().into_values().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn r48_an_event_is_a_hint_and_the_state_is_fetched() {
    let t = told().await;
    t.github.comment(1, "maintainer", "/ccm approve");
    t.step().await;
    assert_eq!(t.stage().await, Stage::Proposed, "nobody told of it yet");
    assert_eq!(t.github.deliver_all().await, [202]);
    t.step().await;
    assert_eq!(t.stage().await, Stage::Approved);
    t.settle().await;
    t.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r48_what_an_event_says_decides_nothing() {
    let t = told().await;
    // Rightly signed, and the comment in it was never written.
    let body = r#"{"action": "created", "repository": {"full_name": "me/app"}, "sender": {"id": 1},
        "issue": {"number": 1}, "comment": {"id": 1, "body": "/ccm approve", "user": {"login": "maintainer"}}}"#;
    assert_eq!(t.github.deliver_text("issue_comment", body).await, 202);
    t.step().await;
    assert_eq!(t.stage().await, Stage::Proposed);
    t.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r48_a_push_has_the_code_read_at_once() {
    let t = told().await;
    let more = format!("{SOURCE}\n\ndef part(name):\n    # TODO: say goodbye\n    return name\n");
    t.github.commit("me/app", "Part", &[("app.py", &more)]).await;
    t.step().await;
    assert_eq!(t.tasks().await.len(), 1, "nobody told of it yet");
    t.github.deliver_all().await;
    t.step().await;
    assert_eq!(t.tasks().await.len(), 2);
    t.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn checks_that_end_have_the_default_branch_looked_at_once_a_minute_at_most() {
    let t = told().await;
    let head = t.github.branch("me/app", "main").unwrap();
    for n in 0..20 {
        t.github.check(&head, &format!("part {n}"), if n == 7 { "failure" } else { "success" }, "boom");
    }
    let looks = || t.github.requests_matching("GET /repos/{owner}/{repo}/commits/{ref}/check-runs").len();
    assert_eq!((t.github.deliver_all().await.len() >= 20, looks()), (true, 0));
    t.step().await;
    assert_eq!(open(&t), ["The check part 7 of the default branch is red, in the step Run"]);
    let (first, asked) = (looks(), t.github.request_count());
    t.github.check(&head, "part 9", "failure", "boom");
    t.github.check(&head, "part 10", "failure", "boom");
    assert!(t.github.deliver_all().await.iter().all(|status| *status == 202));
    t.step().await;
    assert_eq!(looks(), first, "it was looked at within this minute");
    t.beat(MINUTE).await;
    assert_eq!((looks(), open(&t).len()), (2 * first, 3));
    assert!(t.github.request_count() - asked < 40, "{:?}", t.github.requests_by_route());
    t.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_and_its_end_are_looked_at_when_they_are_told() {
    let t = told_with(|settings| settings.sources.security_alert.enabled = true).await;
    t.github.alert("me/app", AlertKind::Dependabot, "high", "django", "Django leaks", "requirements.txt");
    a_minute_later(&t).await;
    assert_eq!(open(&t), ["django: Django leaks"]);
    t.github.settle_alert("me/app", AlertKind::Dependabot, 1);
    a_minute_later(&t).await;
    assert_eq!(open(&t), [""; 0]);
    t.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_label_makes_an_issue_work_when_it_is_told() {
    let t = told_with(|settings| settings.sources.issue_label.labels = vec!["agent".to_owned()]).await;
    t.github.open_issue("outsider", "Greet nobody", "Say hello to nobody.");
    t.github.label(2, "agent", "maintainer");
    a_minute_later(&t).await;
    assert!(t.github.issue(2).comments.iter().any(|comment| comment.body.contains("/ccm approve")));
    t.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_source_listens_to_costs_no_look() {
    let t = told_with(|settings| settings.sources.ci.enabled = false).await;
    t.step().await;
    t.github.check(&t.github.branch("me/app", "main").unwrap(), "test", "failure", "boom");
    t.github.alert("me/app", AlertKind::Dependabot, "high", "django", "Django leaks", "requirements.txt");
    let asked = t.github.requests_by_route().get("POST /graphql").copied();
    a_minute_later(&t).await;
    assert_eq!((t.github.requests_by_route().get("POST /graphql").copied(), open(&t).len()), (asked, 0));
    t.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_about_the_installation_reads_the_list_of_repositories() {
    let t = told().await;
    t.github.repo("me/two").await;
    t.github.deliver_all().await;
    t.step().await;
    let watched = t.ctx.store.repositories().await.unwrap();
    assert!(watched.iter().any(|repository| repository.name.as_str() == "me/two"), "{watched:?}");
    t.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r47_what_was_stored_before_a_crash_is_taken_up_once_after_it() {
    let mut t = told().await;
    t.github.deliveries_suffer(Mishap::Twice, 1);
    t.github.comment(1, "maintainer", "/ccm approve");
    assert_eq!(t.github.deliver_all().await, [202, 202]);
    // Nobody was nudged yet when the process dies.
    t.restart().await;
    assert_eq!(asked(&t).await, [Nudge::Work]);
    t.restart().await;
    listen(&t).await;
    t.github.deliver_again(t.github.deliveries()[0].id).await;
    assert_eq!(asked(&t).await, []);
    t.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f52_an_event_that_is_twenty_minutes_late_changes_nothing() {
    let t = told().await;
    t.github.deliveries_suffer(Mishap::Late(MINUTE * 20), 1);
    t.github.open_issue("outsider", "One", "");
    assert_eq!(t.github.deliver_all().await.len(), 0);
    t.github.deliveries_recover();
    t.clock.advance(MINUTE);
    // Edited before it was opened, as far as we hear.
    t.github.edit_issue(2, "outsider", Some("Two"), None);
    assert_eq!(t.github.deliver_all().await, [202]);
    assert_eq!(asked(&t).await, [Nudge::Work]);
    t.clock.advance(MINUTE * 20);
    assert_eq!(t.github.deliver_all().await, [202]);
    assert_eq!(asked(&t).await, []);
    t.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f52_what_comes_backwards_ends_the_same() {
    let t = told().await;
    t.github.deliver_backwards(true);
    t.github.comment(1, "maintainer", "/ccm reject");
    t.github.comment(1, "outsider", "Why?");
    t.github.label(1, "bug", "outsider");
    assert_eq!(t.github.deliver_all().await, [202, 202, 202]);
    t.step().await;
    assert_eq!(t.stage().await, Stage::Rejected);
    t.settle().await;
    t.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f57_what_we_did_ourselves_is_ignored() {
    let mut t = Story::start().await;
    t.looks_once_a_day().await;
    listen(&t).await;
    t.settle().await;
    assert_eq!(t.stage().await, Stage::Proposed);
    let told = t.github.deliver_all().await;
    assert!(!told.is_empty() && told.iter().all(|status| *status == 202), "{told:?}");
    assert!(t.github.deliveries().iter().any(|delivery| delivery.event == "issues"));
    assert_eq!(asked(&t).await, []);
    t.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f56_what_github_never_tells_is_found_within_65_minutes() {
    let t = told().await;
    t.step().await;
    t.github.deliveries_suffer(Mishap::NeverProduced, 1);
    t.github.comment(1, "maintainer", "/ccm approve");
    assert_eq!(t.github.deliver_all().await.len(), 0);
    assert_eq!(t.github.deliveries().len(), 0, "it is in no list");
    let mut minutes = 0;
    while t.stage().await == Stage::Proposed {
        minutes += 5;
        assert!(minutes <= 65, "not found in {minutes} minutes");
        t.clock.advance(MINUTE * 5);
        t.step().await;
    }
    assert!(minutes > 5, "it would have been found without the sweep");
    t.settle().await;
    t.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r49_without_any_way_in_what_happened_is_known_five_minutes_later() {
    let t = app().await;
    t.github.app_hook("http://127.0.0.1:9/webhooks/github", WEBHOOK_SECRET, 1);
    t.github.comment(1, "maintainer", "/ccm approve");
    assert_eq!(t.github.deliver_all().await, [0]);
    t.step().await;
    assert_eq!(t.stage().await, Stage::Proposed, "nobody asked yet");
    t.clock.advance(MINUTE * 5);
    t.step().await;
    assert_eq!(t.stage().await, Stage::Approved);
    t.settle().await;
    t.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f55_half_of_the_deliveries_are_lost_and_all_are_recovered() {
    let t = app().await;
    t.github.app_hook(&door(&t).await, WEBHOOK_SECRET, 1);
    t.step().await;
    // With a status code in GitHub's list, and without one.
    for lost in [502, 0] {
        t.github.deliveries_recover();
        t.github.deliveries_suffer(Mishap::Lost(lost), 2);
        for n in 0..60 {
            t.github.comment(1, "outsider", &format!("Comment {n}"));
        }
        let answers = t.github.deliver_all().await;
        assert_eq!(answers.iter().filter(|status| **status == lost).count(), 30);
    }
    assert_eq!(t.ctx.store.delivery_counts().await.unwrap().received, 60);
    t.clock.advance(MINUTE * 5);
    t.step().await;
    let counts = t.ctx.store.delivery_counts().await.unwrap();
    assert_eq!((counts.received, counts.recovered, counts.open), (60, 60, 0));
    for delivery in t.github.deliveries() {
        assert!(t.ctx.store.knows_delivery(&delivery.guid).await.unwrap(), "{}", delivery.guid);
    }
    // What is known is never asked for again.
    let asked = t.github.requests_matching("/app/hook/deliveries/{delivery_id}").len();
    t.clock.advance(MINUTE * 5);
    t.step().await;
    assert_eq!(t.github.requests_matching("/app/hook/deliveries/{delivery_id}").len(), asked);
    t.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r49_what_was_brought_at_the_second_attempt_is_not_asked_for() {
    let t = app().await;
    t.github.app_hook(&door(&t).await, WEBHOOK_SECRET, 1);
    t.github.deliveries_suffer(Mishap::Lost(504), 1);
    t.github.comment(1, "outsider", "Hello");
    t.github.deliver_all().await;
    assert_eq!(t.github.deliver_again(t.github.deliveries()[0].id).await, 202);
    t.clock.advance(MINUTE * 5);
    t.step().await;
    assert_eq!(t.ctx.store.delivery_counts().await.unwrap().recovered, 0);
    t.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r49_where_a_delivery_is_gone_everything_is_looked_at_instead() {
    let t = app().await;
    t.github.app_hook("http://127.0.0.1:9/webhooks/github", WEBHOOK_SECRET, 1);
    t.step().await;
    t.github.comment(1, "maintainer", "/ccm approve");
    t.github.deliver_all().await;
    t.github.fail(Fault::status(404, "Not Found").on("GET /app/hook/deliveries/{delivery_id}").forever());
    t.clock.advance(MINUTE * 5);
    t.step().await;
    assert_eq!(t.stage().await, Stage::Approved);
    assert_eq!(t.ctx.store.delivery_counts().await.unwrap().recovered, 0);
    t.github.stop_failing();
    t.settle().await;
    t.end().await;
}
