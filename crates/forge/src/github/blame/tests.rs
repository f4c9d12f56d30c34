use testkit::github::Fault;

use super::super::tests::{World, seconds};
use super::*;
use crate::Forge as _;

const QUERY: &str = "POST /graphql";
const DAY: u64 = 86_400;

/// Repositories `acme/r0` and so on with the file `a.py`, whose second line was written ten days after the first.
async fn fleet(size: usize) -> (World, Vec<Line>) {
    let world = World::new().await;
    world.fake.organization("acme");
    let mut lines = Vec::new();
    for n in 0..size {
        let name = format!("acme/r{n}");
        world.fake.repo(&name).await;
        world.fake.commit(&name, "Begin", &[("a.py", "# TODO: one\n")]).await;
        lines.push(Line {
            repository: name.parse().unwrap(),
            commit: "0".repeat(40).parse().unwrap(),
            path: "a.py".into(),
            number: 2,
        });
    }
    world.clock.advance(seconds(10 * DAY));
    for line in &mut lines {
        let commit =
            world.fake.commit(line.repository.as_str(), "Add", &[("a.py", "# TODO: one\n# TODO: two\n")]).await;
        line.commit = commit.parse().unwrap();
    }
    (world, lines)
}

fn written(on: &str) -> Origin {
    Origin::Written { by: Some("acme".to_owned()), on: on.parse().unwrap() }
}

fn queries(world: &World) -> usize {
    world.fake.requests().iter().filter(|request| request.path == "/graphql").count()
}

#[tokio::test]
async fn lines_of_several_repositories_cost_one_request_and_each_file_is_asked_for_once() {
    let (world, two) = fleet(3).await;
    let one: Vec<Line> = two.iter().map(|line| Line { number: 1, ..line.clone() }).collect();
    let first = world.fake.requests().len();
    let origins = world.github().origins(&[two, one].concat()).await;
    let (second, begun) = (written("2026-01-11"), written("2026-01-01"));
    assert_eq!(origins, [second.clone(), second.clone(), second, begun.clone(), begun.clone(), begun]);
    assert_eq!(queries(&world), 1, "{:?}", world.fake.requests().split_off(first));
    world.fair();
}

#[tokio::test]
async fn what_github_does_not_know_costs_its_own_file_only() {
    let (world, mut lines) = fleet(5).await;
    lines[0].path = "gone.py".to_owned();
    lines[1].number = 3;
    lines[2].commit = "1".repeat(40).parse().unwrap();
    lines[3].repository = "acme/none".parse().unwrap();
    let origins = world.github().origins(&lines).await;
    let unknown = || Origin::Unknown;
    assert_eq!(origins, [unknown(), unknown(), unknown(), unknown(), written("2026-01-11")]);
    assert_eq!(queries(&world), 1);
    world.fair();
}

#[tokio::test]
async fn r43_blame_that_takes_too_long_is_asked_for_fewer_files_at_once() {
    let (world, lines) = fleet(12).await;
    world.fake.set_most_aliases(4);
    let origins = world.github().origins(&lines).await;
    assert_eq!(origins, vec![written("2026-01-11"); 12]);
    // Ten and five are too many; then six times two.
    assert_eq!(queries(&world), 8);
    world.fair();
}

#[tokio::test]
async fn r43_a_cut_answer_is_used_and_the_rest_asked_for_again() {
    let (world, lines) = fleet(6).await;
    world.fake.fail(Fault::partial_data(2).on(QUERY));
    assert_eq!(world.github().origins(&lines).await, vec![written("2026-01-11"); 6]);
    world.fair();
}

#[tokio::test]
async fn nobody_waits_for_what_is_refused_limited_or_broken() {
    let (world, lines) = fleet(2).await;
    let github = world.github();
    let unasked = vec![Origin::Unasked; 2];
    world.fake.fail(Fault::status(502, "no").on(QUERY).times(2));
    assert_eq!(github.origins(&lines).await, unasked);
    assert_eq!(queries(&world), 2, "both, then one");
    world.fake.fail(Fault::status(403, "Resource not accessible").on(QUERY));
    assert_eq!(github.origins(&lines).await, unasked);
    assert_eq!((github.origins(&lines).await, queries(&world)), (unasked, 3), "it is not asked within the hour");
    world.clock.advance(seconds(3600));
    assert_eq!(github.origins(&lines).await, vec![written("2026-01-11"); 2]);
    world.fair();
}
