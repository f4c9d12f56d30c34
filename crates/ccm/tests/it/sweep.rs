//! Noticing changes in many repositories with few requests.

use std::time::Duration;

use backlog::event::EventKind;

use crate::story::Story;

const TEN_MINUTES: Duration = Duration::from_secs(600);

/// Requests since the story's `before`-th that are not about `me/app`, by route.
fn asked(t: &Story, before: u64) -> Vec<String> {
    let new = t.github.requests().into_iter().skip(usize::try_from(before).unwrap());
    let others = new.filter(|request| !request.path.contains("me/app"));
    others.map(|request| format!("{} {}", request.method, request.route)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn r43_an_idle_fleet_costs_a_few_queries_a_sweep_and_no_look() {
    let t = Story::start().await;
    for n in 0..79 {
        t.github.repo(&format!("me/quiet{n:02}")).await;
    }
    t.beat(Duration::ZERO).await;
    t.beat(TEN_MINUTES).await;
    t.beat(TEN_MINUTES).await;
    let before = t.github.request_count();
    t.beat(TEN_MINUTES).await;
    assert_eq!(asked(&t, before), ["POST /graphql"; 2], "80 repositories, 50 in a query");
    t.beat(TEN_MINUTES).await;
    t.github.commit("me/quiet07", "New work", &[("a.py", "# TODO: handle the empty list\n")]).await;
    let before = t.github.request_count();
    t.beat(TEN_MINUTES).await;
    let looked: Vec<_> = t.github.requests().into_iter().skip(usize::try_from(before).unwrap()).collect();
    let at: std::collections::BTreeSet<_> =
        looked.iter().filter(|one| one.path.contains("quiet")).map(|one| one.path.contains("quiet07")).collect();
    assert_eq!(at.into_iter().collect::<Vec<_>>(), [true], "only where something changed");
    assert!(t.tasks().await.iter().any(|task| task.repository.as_str() == "me/quiet07"));
    t.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn repositories_that_cannot_be_worked_any_more_are_parked_with_a_reason() {
    let t = Story::start().await;
    for name in ["me/archived", "me/renamed", "me/forbidden"] {
        t.github.repo(name).await;
    }
    t.beat(Duration::ZERO).await;
    t.github.set_archived("me/archived", true);
    t.github.rename_repo("me/renamed", "me/elsewhere");
    t.github.set_forbidden("me/forbidden", true);
    let before = t.github.request_count();
    t.beat(TEN_MINUTES).await;
    let reasons = t.ctx.store.repositories().await.unwrap();
    let reason = |name: &str| {
        let found = reasons.iter().find(|repository| repository.name.as_str() == name).unwrap();
        found.parked.clone().unwrap_or_default()
    };
    assert!(reason("me/archived").contains("Unarchive it"), "{}", reason("me/archived"));
    assert!(reason("me/renamed").contains("is called me/elsewhere now"), "{}", reason("me/renamed"));
    assert!(reason("me/forbidden").contains("single sign-on"), "{}", reason("me/forbidden"));
    assert_eq!(reason("me/app"), "");
    assert_eq!(asked(&t, before).iter().filter(|route| route.contains("git-upload-pack")).count(), 0);
    let events = t.ctx.store.events(&store::EventQuery::default()).await.unwrap();
    let parked = events.iter().filter(|event| match &event.event.kind {
        EventKind::Parked { reason } => !reason.contains("no commits"),
        _ => false,
    });
    assert_eq!(parked.count(), 3, "told once each");
    t.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_interface_git_tells_what_moved() {
    let t = Story::start().await;
    t.github.repo("me/other").await;
    t.beat(Duration::ZERO).await;
    t.github.fail(testkit::github::Fault::status(403, "Forbidden for this token").on("POST /graphql").forever());
    t.beat(TEN_MINUTES).await;
    t.github.commit("me/other", "New work", &[("a.py", "# TODO: handle the empty list\n")]).await;
    let before = t.github.request_count();
    t.beat(TEN_MINUTES).await;
    let routes = asked(&t, before);
    assert!(!routes.iter().any(|route| route.contains("graphql")), "{routes:?}");
    assert!(t.tasks().await.iter().any(|task| task.repository.as_str() == "me/other"));
    assert!(t.ctx.forges.github.as_ref().unwrap().notices()[0].contains("Forbidden for this token"));
    t.end().await;
}
