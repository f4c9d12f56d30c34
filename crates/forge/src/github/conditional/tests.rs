use std::time::Duration;

use backlog::time::Clock;
use testkit::clock::TestClock;
use testkit::github::Fault;

use super::super::auth::{Auth, Credential};
use super::super::tests::{World, app, ask, seconds};
use super::*;
use crate::{Forge, ForgeError, LimitView};

#[tokio::test]
async fn r39_what_is_unchanged_costs_nothing_and_is_used() {
    let world = World::new().await;
    let github = world.github();
    let number = world.fake.open_issue("ann", "Slow", "It is slow.");
    let first = github.changed_issues(&app(), Timestamp(0)).await.unwrap();
    let left = |limits: Vec<LimitView>| limits.iter().find(|limit| limit.resource == "core").unwrap().remaining;
    let before = left(github.limits());
    for _ in 0..5 {
        assert_eq!(github.changed_issues(&app(), Timestamp(0)).await.unwrap(), first);
    }
    assert_eq!(left(github.limits()), before);
    let asked = world.fake.requests_matching("GET /issues");
    assert!(asked[1..].iter().all(|request| request.conditional && request.status == Some(304)), "{asked:?}");
    world.fake.edit_issue(number, "ann", Some("Very slow"), None);
    assert_eq!(github.changed_issues(&app(), Timestamp(0)).await.unwrap()[0].title, "Very slow");
    world.fair();
}

#[tokio::test]
async fn r39_equal_reads_at_once_share_one_request() {
    let world = World::new().await;
    let github = world.github();
    github.login().await.unwrap();
    world.fake.fail(Fault::slow(Duration::from_millis(100)));
    let answers = futures::future::join_all((0..20).map(|_| ask(&github))).await;
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(world.count("GET /repos/{owner}/{repo}"), 1);
    ask(&github).await.unwrap();
    assert_eq!(world.count("GET /repos/{owner}/{repo}"), 2, "a later one asks itself");
    world.fair();
}

#[tokio::test]
async fn r40_f40_a_304_without_a_stored_body_is_asked_once_more() {
    let world = World::new().await;
    let github = world.github();
    github.login().await.unwrap();
    world.fake.fail(Fault::stuck_not_modified());
    assert_eq!(ask(&github).await.unwrap().name, app());
    world.fake.fail(Fault::stuck_not_modified().times(2));
    world.ledger.lose();
    assert!(matches!(ask(&github).await, Err(ForgeError::Unexpected(_))));
    world.fair();
}

#[tokio::test]
async fn r41_f39_a_stuck_304_is_found_out_within_a_day() {
    let world = World::new().await;
    let github = world.github();
    let number = world.fake.open_issue("ann", "Slow", "It is slow.");
    github.changed_issues(&app(), Timestamp(0)).await.unwrap();
    world.fake.edit_issue(number, "ann", Some("Very slow"), None);
    world.fake.fail(Fault::stuck_not_modified().times(2));
    assert_eq!(github.changed_issues(&app(), Timestamp(0)).await.unwrap()[0].title, "Slow");
    world.clock.advance(seconds(24 * 3600));
    assert_eq!(github.notices().len(), 1, "only how changes are asked for");
    assert_eq!(github.changed_issues(&app(), Timestamp(0)).await.unwrap()[0].title, "Very slow");
    assert!(github.notices()[1].contains("said 1 times"), "{:?}", github.notices());
    assert!(!world.fake.requests_matching("GET /issues").last().unwrap().conditional);
    world.fair();
}

#[tokio::test]
async fn r44_all_pages_are_read() {
    let world = World::new().await;
    for n in 0..250 {
        world.fake.open_issue("ann", &format!("Issue {n}"), "");
        world.clock.advance(seconds(1));
    }
    let found = world.github().changed_issues(&app(), TestClock::START).await.unwrap();
    let numbers: Vec<u64> = found.iter().map(|issue| issue.link.number).collect();
    assert_eq!(numbers, (1..=250).collect::<Vec<u64>>(), "oldest change first");
    assert_eq!(world.count("GET /issues"), 3);
    world.fair();
}

#[tokio::test]
async fn r39_nothing_is_shared_between_actors() {
    let mut world = World::new().await;
    world.fake.open_issue("ann", "Slow", "It is slow.");
    world.github().changed_issues(&app(), Timestamp(0)).await.unwrap();
    world.token = world.fake.token_for("another-robot");
    world.github().changed_issues(&app(), Timestamp(0)).await.unwrap();
    let asked = world.fake.requests_matching("GET /issues");
    assert!(asked.iter().all(|request| !request.conditional && request.status == Some(200)), "{asked:?}");
    world.fair();
}

#[test]
fn r39_stored_answers_are_bounded_in_number_and_believed_for_about_a_day() {
    let slots: std::collections::BTreeSet<String> = (0..50_000).map(|n| slot(7, &format!("key {n}"))).collect();
    assert_eq!(slots.len() as u64, SLOTS);
    let days: Vec<Duration> = (0..1000).map(|n| believed(&format!("key {n}"))).collect();
    assert!(days.iter().all(|day| *day <= BELIEVED && *day >= BELIEVED * 9 / 10));
    assert!(days.iter().max() > days.iter().min(), "not all end at once");
}

#[tokio::test]
async fn r39_long_answers_are_not_stored() {
    let world = World::new().await;
    let long = format!("[{}1]", "1,".repeat(STORED_BYTES / 2));
    let github = world.github();
    github.us().await.unwrap();
    world.fake.fail(Fault::answer(200, &long).with_header("etag", "\"a\""));
    let url = world.fake.url().parse().unwrap();
    github.client_of(&app()).await.unwrap().get_json::<Vec<u8>>(&url).await.unwrap();
    assert_eq!(world.ledger.count(SPACE), 0);
    github.repository(&app()).await.unwrap();
    assert_eq!(world.ledger.count(SPACE), 1);
}

#[tokio::test]
async fn r40_f38_a_new_token_knows_what_the_old_one_read_until_the_formula_changes() {
    let mut world = World::new().await;
    world.fake.open_issue("ann", "Slow", "It is slow.");
    let github = world.github();
    github.changed_issues(&app(), Timestamp(0)).await.unwrap();
    ask(&github).await.unwrap();
    // A process that starts with another token has not checked the formula yet: what has a date is asked for by it.
    world.token = world.fake.token_for("robot");
    let github = world.github();
    ask(&github).await.unwrap();
    github.changed_issues(&app(), Timestamp(0)).await.unwrap();
    assert_eq!(last_of(&world, "GET /repos/{owner}/{repo}"), (true, Some(304)));
    assert_eq!(last_of(&world, "GET /issues"), (false, Some(200)));
    // From then on it has, and each further token's tags are computed.
    for _ in 0..3 {
        world.token = world.fake.token_for("robot");
        let github = renewed(&world, github.wire.clone());
        github.changed_issues(&app(), Timestamp(0)).await.unwrap();
        assert_eq!(last_of(&world, "GET /issues"), (true, Some(304)));
    }
    world.fake.change_etag_formula("salt");
    let same = renewed(&world, github.wire.clone());
    same.changed_issues(&app(), Timestamp(0)).await.unwrap();
    assert_eq!(last_of(&world, "GET /issues"), (true, Some(200)), "a wrong guess costs one request and is noticed");
    world.token = world.fake.token_for("robot");
    let github = renewed(&world, github.wire.clone());
    github.changed_issues(&app(), Timestamp(0)).await.unwrap();
    assert_eq!(last_of(&world, "GET /issues"), (false, Some(200)), "no more guesses there");
    world.fair();
}

/// The same host with the world's present token.
fn renewed(world: &World, wire: Arc<super::super::wire::Wire>) -> super::super::GitHub {
    let mut github = world.github();
    github.auth = Auth::new(&wire, Credential::Token(world.token.clone().into())).unwrap();
    github.wire = wire;
    github
}

/// Whether the last request of a route was conditional, and its status.
fn last_of(world: &World, route: &str) -> (bool, Option<u16>) {
    world.fake.requests_matching(route).last().map(|request| (request.conditional, request.status)).unwrap()
}

#[tokio::test]
async fn r42_f41_an_announced_interval_is_the_shortest_between_two_polls() {
    let world = World::new().await;
    let github = world.github();
    world.fake.fail(Fault::headers("x-poll-interval", "300").on("GET /issues").times(2));
    let app = app();
    let poll = || github.changed_issues(&app, Timestamp(0));
    for round in 1..=2 {
        poll().await.unwrap();
        let until = world.clock.now().plus(seconds(300));
        world.clock.advance(seconds(299));
        assert!(matches!(poll().await, Err(ForgeError::Limited { until: at }) if at == until));
        assert_eq!(world.count("GET /issues"), round);
        world.clock.advance(seconds(1));
    }
    poll().await.unwrap();
    poll().await.unwrap();
    world.fake.fail(Fault::headers("x-poll-interval", "99999999999").on("GET /issues"));
    poll().await.unwrap();
    world.clock.advance(LONGEST_POLL);
    poll().await.unwrap();
    world.fair();
}

#[tokio::test]
async fn r44_f62_a_part_of_a_list_never_passes_for_all() {
    let world = World::new().await;
    for n in 0..250 {
        world.fake.open_issue("ann", &format!("Issue {n}"), "");
    }
    let github = world.github();
    let url = github.wire.url(&["repos", "me", "app", "issues"], &[("per_page", "100")]);
    let client = github.client_of(&app()).await.unwrap();
    let read = |most| client.pages::<serde_json::Value>(url.clone(), most);
    assert_eq!(read(3).await.unwrap().len(), 250);
    let error = ForgeError::from(read(2).await.unwrap_err());
    assert!(error.to_string().contains("longer than 2 pages"), "{error}");
    let statuses = r#"{"total_count": 3, "statuses": [{"context": "ci", "state": "success"}]}"#;
    world.fake.fail(Fault::answer(200, statuses).on("GET /status"));
    let head = world.fake.branch("me/app", "main").unwrap().parse().unwrap();
    let error = github.checks_of(&app(), &head).await.unwrap_err();
    assert!(error.to_string().contains("must not pass for all"), "{error}");
}

#[tokio::test]
async fn r44_a_list_is_read_up_to_the_watermark() {
    let world = World::new().await;
    for n in 0..250 {
        world.fake.open_issue("ann", &format!("Issue {n}"), "");
    }
    let github = world.github();
    let url = github.wire.url(&["repos", "me", "app", "issues"], &[("per_page", "100")]);
    let page = |page: &[serde_json::Value]| page.iter().any(|issue| issue["number"] == 140);
    let (read, whole) = github.client_of(&app()).await.unwrap().first_pages(url, 10, page).await.unwrap();
    assert_eq!((read.len(), whole, world.count("GET /issues")), (200, false, 2));
}

#[tokio::test]
async fn r44_f31_a_page_on_another_host_is_not_asked_for() {
    let world = World::new().await;
    let github = world.github();
    let next = format!("<{}/repos/me/app/issues?page=2>; rel=\"next\"", world.fake.elsewhere());
    world.fake.fail(Fault::headers("link", &next).on("GET /issues"));
    let error = github.changed_issues(&app(), Timestamp(0)).await.unwrap_err();
    assert!(error.to_string().contains("another host"), "{error}");
    world.fair();
}

#[tokio::test]
async fn r45_f63_an_announced_end_is_told_once_for_each_route() {
    let world = World::new().await;
    let github = world.github();
    let sunset = "Sat, 31 Oct 2026 23:59:59 GMT";
    world.fake.fail(Fault::headers("sunset", sunset).on("GET /repos/{owner}/{repo}").times(2));
    ask(&github).await.unwrap();
    ask(&github).await.unwrap();
    let gone = Fault::status(410, "This version of the API is no longer supported");
    world.fake.fail(gone.with_header("sunset", sunset).on("GET /issues"));
    let error = github.changed_issues(&app(), Timestamp(0)).await.unwrap_err();
    assert!(matches!(&error, ForgeError::Unexpected(what) if what.contains("update ccm")), "{error}");
    let notices = github.notices().split_off(1);
    assert_eq!(notices.len(), 2, "{notices:?}");
    assert!(notices.iter().all(|notice| notice.contains(sunset) && notice.contains("update ccm")), "{notices:?}");
    assert_eq!(world.count("GET /issues"), 1, "never repeated");
    world.fair();
}

#[tokio::test]
async fn r45_every_request_says_who_asks_and_for_which_version() {
    use tokio::io::AsyncReadExt as _;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = World::new().await.config(crate::github::Limits { tries: 1, ..Default::default() });
    config.api_url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let ledger = Arc::new(super::super::tests::MemoryLedger::default());
    let github = super::super::GitHub::new(config, ledger, TestClock::new()).unwrap();
    let asked = tokio::spawn(async move { github.login().await });
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        stream.read_buf(&mut request).await.unwrap();
    }
    drop((stream, listener));
    assert!(asked.await.unwrap().is_err());
    let request = String::from_utf8(request).unwrap().to_ascii_lowercase();
    for header in [format!("x-github-api-version: {API_VERSION}"), "user-agent: ccm/".to_owned()] {
        assert!(request.contains(&header), "{header}: {request}");
    }
    assert!(request.contains("https://example.org/ccm"), "whom to reach");
}
