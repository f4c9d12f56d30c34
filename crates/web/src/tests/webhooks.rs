//! GitHub at the door: the fake GitHub delivers to a running site.

use forge::github::webhook::Secrets;
use pipeline::Nudge;
use testkit::clock::TestClock;
use testkit::github::{FakeGitHub, Mishap};

use super::*;
use crate::webhooks::Desk;

const SECRET: &str = "a secret of both";

/// A site and a GitHub that tells it what happens in `acme/app`, which has issue 1.
async fn met(previous: Option<&str>) -> (Visit, FakeGitHub) {
    let webhook_secrets = Secrets::new(SECRET.into(), previous.map(Into::into));
    let visit = Visit::start_with(Forges { webhook_secrets, ..Forges::default() }).await;
    let github = FakeGitHub::start(TestClock::new()).await;
    github.repo("acme/app").await;
    github.open_issue("acme", "One", "");
    github.app_hook(&visit.url("/webhooks/github"), SECRET, 1);
    (visit, github)
}

fn app() -> RepoName {
    "acme/app".parse().unwrap()
}

async fn stored(visit: &Visit) -> usize {
    visit.ctx.store.open_deliveries(0).await.unwrap().len()
}

#[tokio::test]
async fn r47_an_answered_delivery_is_on_disk_and_asks_for_a_look() {
    let (visit, github) = met(None).await;
    github.label(1, "bug", "acme");
    assert_eq!(github.deliver_all().await, [202]);
    let open = visit.ctx.store.open_deliveries(0).await.unwrap();
    assert_eq!(open[0].delivery.event, "issues.labeled");
    pipeline::news::take_in(&visit.ctx).await.unwrap();
    assert_eq!(visit.ctx.nudges.take().into_iter().collect::<Vec<_>>(), [(app(), Nudge::Work)]);
    assert_eq!(stored(&visit).await, 0);
    visit.stop().await;
}

#[tokio::test]
async fn f52_a_duplicate_is_answered_and_has_no_effect() {
    let (visit, github) = met(None).await;
    github.deliveries_suffer(Mishap::Twice, 1);
    github.label(1, "bug", "acme");
    assert_eq!(github.deliver_all().await, [202, 202]);
    assert_eq!(stored(&visit).await, 1);
    pipeline::news::take_in(&visit.ctx).await.unwrap();
    assert_eq!(visit.ctx.nudges.take().len(), 1);
    // GitHub is asked to send it again, days later.
    let id = github.deliveries()[0].id;
    assert_eq!(github.deliver_again(id).await, 202);
    pipeline::news::take_in(&visit.ctx).await.unwrap();
    assert_eq!(visit.ctx.nudges.take().len(), 0);
    visit.stop().await;
}

#[tokio::test]
async fn f53_what_is_not_signed_right_is_refused_and_leaves_no_trace() {
    let (visit, github) = met(None).await;
    for (mishap, status) in [
        (Mishap::WrongSignature, 401),
        (Mishap::NoSignature, 401),
        (Mishap::EmptySignature, 401),
        (Mishap::Sha1Only, 401),
        (Mishap::Huge, 413),
    ] {
        github.deliveries_recover();
        github.deliveries_suffer(mishap, 1);
        github.comment(1, "acme", "Hello");
        assert_eq!(github.deliver_all().await, [status], "{mishap:?}");
    }
    assert_eq!(stored(&visit).await, 0);
    visit.stop().await;
}

#[tokio::test]
async fn f53_a_body_without_a_length_has_the_same_bound() {
    let (visit, _github) = met(None).await;
    let chunk = axum::body::Bytes::from(vec![b' '; 1 << 20]);
    let endless = futures::stream::iter((0..27).map(move |_| Ok::<_, std::io::Error>(chunk.clone())));
    let request = visit.client.post(visit.url("/webhooks/github")).body(reqwest::Body::wrap_stream(endless));
    let answer = request.header("x-hub-signature-256", format!("sha256={}", "0".repeat(64))).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
    visit.stop().await;
}

#[tokio::test]
async fn r46_both_secrets_open_while_one_is_changed() {
    let (visit, github) = met(Some("the old secret")).await;
    for (secret, status) in [(SECRET, 202), ("the old secret", 202), ("an older secret", 401)] {
        github.change_hook_secret(secret);
        github.comment(1, "acme", "Hello");
        assert_eq!(github.deliver_all().await, [status], "{secret}");
    }
    visit.stop().await;
}

#[tokio::test]
async fn without_a_secret_the_answer_says_what_to_configure() {
    let visit = Visit::start().await;
    let answer = visit.client.post(visit.url("/webhooks/github")).body("{}").send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    assert!(answer.text().await.unwrap().contains("webhook_secret_env"));
    visit.stop().await;
}

#[tokio::test]
async fn a_tunnel_may_bring_any_host_name() {
    let (visit, github) = met(None).await;
    let answer = visit.client.post(visit.url("/webhooks/github")).header("host", "ccm.example.org").send().await;
    assert_eq!(answer.unwrap().status(), StatusCode::UNAUTHORIZED);
    assert_eq!(visit.client.get(visit.url("/")).header("host", "ccm.example.org").send().await.unwrap().status(), 403);
    drop(github);
    visit.stop().await;
}

#[tokio::test]
async fn a_body_that_is_signed_but_no_delivery_is_malformed() {
    let (visit, github) = met(None).await;
    assert_eq!(github.deliver_text("issues", "no JSON").await, 400);
    assert_eq!(github.deliver_text("an_event_of_next_year", "{}").await, 202);
    visit.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f54_a_storm_of_a_thousand_is_answered_whole() {
    let (visit, github) = met(None).await;
    for _ in 0..1_000 {
        github.comment(1, "acme", "Hello");
    }
    let answers = github.deliver_at_once().await;
    assert_eq!(answers.len(), 1_000);
    assert!(answers.iter().all(|status| *status == 202), "{answers:?}");
    assert_eq!(stored(&visit).await, 1_000);
    pipeline::news::take_in(&visit.ctx).await.unwrap();
    assert_eq!((stored(&visit).await, visit.ctx.nudges.take().len()), (0, 1));
    visit.stop().await;
}

#[tokio::test]
async fn a_full_desk_says_so_at_once() {
    // Nobody writes: the queue of two is full with two.
    let desk = Arc::new(Desk::new(2));
    let delivery =
        |n: usize| forge::github::webhook::read_event(&format!("guid-{n}"), "ping", b"{}").expect("it is a delivery");
    let waiting: Vec<_> = (0..2)
        .map(|n| {
            let desk = desk.clone();
            tokio::spawn(async move { desk.hand_in(delivery(n)).await })
        })
        .collect();
    while desk.free() > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(desk.hand_in(delivery(3)).await.label(), "busy");
    waiting.iter().for_each(JoinHandle::abort);
}

#[tokio::test]
async fn the_health_page_tells_of_deliveries() {
    let (mut visit, github) = met(None).await;
    github.label(1, "bug", "acme");
    github.deliver_all().await;
    let code = visit.code();
    let answer = visit.post("/sign-in", &[("secret", &code)]).await;
    visit.session = Some(cookie(&answer));
    let page = visit.page("/health").await;
    assert!(page.contains("Webhooks"), "{page}");
    visit.stop().await;
}
