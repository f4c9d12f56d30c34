use std::collections::BTreeMap;

use backlog::time::Clock as _;
use testkit::github::Fault;

use super::super::tests::{World, seconds};
use super::*;
use crate::Forge as _;

const QUERY: &str = "POST /graphql";

fn name(text: &str) -> RepoName {
    text.parse().unwrap()
}

/// Repositories `acme/r0000` and so on, with a commit each.
async fn fleet(size: usize) -> (World, Vec<Known>) {
    let world = World::new().await;
    world.fake.organization("acme");
    let mut known = Vec::new();
    for n in 0..size {
        let name = format!("acme/r{n:04}");
        world.clock.advance(seconds(1));
        world.fake.repo(&name).await;
        known.push(Known { name: name.parse().unwrap(), mark: String::new() });
    }
    (world, known)
}

/// The same with the marks of now.
fn marked(known: &[Known], changes: &[(RepoName, Change)]) -> Vec<Known> {
    let marks: BTreeMap<&RepoName, &Change> = changes.iter().map(|(name, change)| (name, change)).collect();
    let mark = |one: &Known| match marks[&one.name] {
        Change::Something(mark) => mark.clone(),
        _ => one.mark.clone(),
    };
    known.iter().map(|one| Known { mark: mark(one), ..one.clone() }).collect()
}

/// Those to which something happened.
fn news(changes: Vec<(RepoName, Change)>) -> Vec<(RepoName, Change)> {
    changes.into_iter().filter(|(_, change)| *change != Change::Nothing).collect()
}

fn without_marks(changes: Vec<(RepoName, Change)>) -> Vec<String> {
    let short = |(name, change): (RepoName, Change)| match change {
        Change::Something(_) => format!("{name} something"),
        Change::Closed(why) => format!("{name} {}", &why[..20]),
        Change::Renamed(to) => format!("{name} is {to}"),
        other => format!("{name} {other:?}"),
    };
    let mut all: Vec<String> = news(changes).into_iter().map(short).collect();
    all.sort();
    all
}

#[tokio::test]
async fn r43_a_thousand_unchanged_repositories_cost_twenty_requests() {
    let (world, known) = fleet(1000).await;
    let github = world.github();
    let first = github.changes(&known).await.unwrap();
    assert!(first.iter().all(|(_, change)| matches!(change, Change::Something(_))));
    let (known, before) = (marked(&known, &first), world.fake.request_count());
    assert_eq!(news(github.changes(&known).await.unwrap()), []);
    assert_eq!(world.fake.request_count() - before, 20);
    world.fair();
}

#[tokio::test]
async fn every_kind_of_change_is_seen_by_query() {
    let (world, known) = fleet(9).await;
    let github = world.github();
    let known = marked(&known, &github.changes(&known).await.unwrap());
    world.clock.advance(seconds(60));
    let issue = world.fake.open_issue_in("acme/r0002", "ann", "Slow", "");
    world.fake.commit("acme/r0001", "Second", &[("b", "2")]).await;
    world.fake.rename_repo("acme/r0003", "acme/renamed");
    world.fake.set_archived("acme/r0004", true);
    world.fake.set_forbidden("acme/r0005", true);
    let asked = github.changes(&known).await.unwrap();
    assert_eq!(
        without_marks(asked.clone()),
        [
            "acme/r0001 something",
            "acme/r0002 something",
            "acme/r0003 is acme/renamed",
            "acme/r0004 It is archived and t",
            "acme/r0005 The credential may n",
        ]
    );
    let known = marked(&known, &asked);
    world.clock.advance(seconds(60));
    world.fake.comment(("acme/r0002", issue), "ann", "/ccm approve");
    assert_eq!(without_marks(github.changes(&known).await.unwrap())[0], "acme/r0002 something", "comments show");
    world.fair();
}

#[tokio::test]
async fn r43_f44_one_repository_that_is_gone_holds_up_no_other() {
    let (world, mut known) = fleet(5).await;
    known.insert(2, Known { name: name("acme/gone"), mark: "query old".to_owned() });
    let found = github_changes(&world, &known).await;
    assert_eq!(found.iter().filter(|line| line.ends_with("something")).count(), 5);
    assert!(found.contains(&"acme/gone It is not there any ".to_owned()), "{found:?}");
    world.fair();
}

async fn github_changes(world: &World, known: &[Known]) -> Vec<String> {
    without_marks(world.github().changes(known).await.unwrap())
}

#[tokio::test]
async fn r43_f42_a_batch_that_is_too_large_is_halved_until_it_fits() {
    let (world, known) = fleet(60).await;
    let github = world.github();
    world.fake.fail(Fault::status(502, "Server Error").on(QUERY).times(2));
    assert_eq!(without_marks(github.changes(&known).await.unwrap()).len(), 60);
    // 50 and 25 fail, then five times 12.
    assert_eq!(world.count(QUERY), 7);
    assert!(github.notices()[0].contains("up to 12 repositories"), "{:?}", github.notices());
    for _ in 0..3 {
        world.clock.advance(seconds(3600));
    }
    assert!(github.notices()[0].contains("up to 15 repositories"), "{:?}", github.notices());
    world.fair();
}

#[tokio::test]
async fn r43_a_host_that_answers_nothing_is_not_asked_for_each_repository() {
    let (world, known) = fleet(60).await;
    world.fake.fail(Fault::status(502, "Server Error").on(QUERY).forever());
    let failed = world.github().changes(&known).await.unwrap_err();
    assert!(matches!(failed, ForgeError::Transient { .. }), "{failed}");
    assert!(world.count(QUERY) < 12, "{}", world.count(QUERY));
}

#[tokio::test]
async fn r43_f43_what_is_missing_in_a_cut_answer_is_asked_for_again() {
    let (world, known) = fleet(50).await;
    world.fake.fail(Fault::partial_data(20).on(QUERY));
    assert_eq!(github_changes(&world, &known).await.len(), 50);
    // 50 give 20, then 25 and 5.
    assert_eq!(world.count(QUERY), 3);
    world.fair();
}

#[tokio::test]
async fn r13_f09_an_empty_bucket_is_told_with_a_200() {
    let (world, known) = fleet(2).await;
    let github = world.github();
    world.fake.fail(Fault::exhausted(200, seconds(600)).on(QUERY));
    let limited = github.changes(&known).await.unwrap_err();
    let ForgeError::Limited { until } = limited else { panic!("{limited}") };
    assert!(until >= world.clock.now().plus(seconds(600)), "{until}");
    assert!(matches!(github.changes(&known).await, Err(ForgeError::Limited { .. })));
    assert_eq!(world.count(QUERY), 1);
    world.fair();
}

#[tokio::test]
async fn r30_the_query_is_no_mutation_and_names_are_no_part_of_it() {
    let (_, known) = fleet(2).await;
    let text = document(2);
    assert!(text.starts_with("query(") && !text.contains("mutation") && !text.contains("acme"), "{text}");
    assert_eq!(variables(&known.iter().collect::<Vec<_>>())["n1"], "r0001");
}

#[tokio::test]
async fn a_credential_without_graphql_reads_lists_up_to_the_watermark() {
    let (world, known) = fleet(250).await;
    world.fake.fail(Fault::status(404, "Not Found").on(QUERY).forever());
    let github = world.github();
    let known = marked(&known, &github.changes(&known).await.unwrap());
    assert_eq!(world.count("GET /orgs/{org}/repos"), 3);
    world.clock.advance(seconds(600));
    world.fake.commit("acme/r0007", "Second", &[("b", "2")]).await;
    assert_eq!(without_marks(github.changes(&known).await.unwrap()), ["acme/r0007 something"]);
    assert_eq!(world.count("GET /orgs/{org}/repos"), 4, "the first page reaches below the watermark");
    assert_eq!(world.count(QUERY), 1, "not tried again within the hour");
    assert!(github.notices()[0].contains("GraphQL is refused: Not Found"), "{:?}", github.notices());
    let few = github.changes(&[Known { name: name("me/app"), mark: String::new() }]).await.unwrap();
    assert_eq!(few, [(name("me/app"), Change::Unasked)], "one repository is not worth a list");
    world.clock.advance(seconds(3600));
    github.changes(&known[..5]).await.unwrap();
    assert_eq!(world.count(QUERY), 2);
    world.fair();
}
