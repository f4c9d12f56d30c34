use backlog::names::CommitId;
use serde_json::json;

use super::super::tests::{World, app};
use super::*;
use crate::{Forge as _, Known};

async fn head(world: &World) -> CommitId {
    world.fake.branch("me/app", "main").unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_red_head_tells_job_step_and_the_end_of_the_log() {
    let world = World::new().await;
    let head = head(&world).await;
    let log = "compiling\ntest_sum: expected 4, got 5\nTOKEN=abcdefgh\n##[error]Process completed with exit code 1.\nCleaning up";
    world.fake.check(head.as_str(), "build", "success", "fine");
    world.fake.check(head.as_str(), "test", "failure", log);
    world.fake.check(head.as_str(), "lint", "cancelled", "");
    let found = world.github().head_checks(&app(), &head).await.unwrap();
    let states: Vec<_> = found.checks.iter().map(|check| (check.name.as_str(), check.state)).collect();
    assert_eq!(states, [("build", CheckState::Passed), ("lint", CheckState::Passed), ("test", CheckState::Failed)]);
    assert_eq!((found.settled, found.checks[2].step.as_deref()), (true, Some("Run")));
    assert!(
        found.checks[2].log.ends_with("got 5\nTOKEN=***\n##[error]Process completed with exit code 1."),
        "{found:?}"
    );
    world.fair();
}

#[tokio::test]
async fn a_head_that_is_known_to_be_calm_or_pending_costs_nothing() {
    let world = World::new().await;
    let (github, head) = (world.github(), head(&world).await);
    let sweep = async || github.changes(&[Known { name: app(), mark: String::new() }]).await.unwrap();
    for (conclusion, settled, requests) in [("success", true, 0), ("in_progress", false, 0), ("failure", true, 4)] {
        world.fake.check(head.as_str(), "test", conclusion, "boom");
        let marks = sweep().await;
        assert_eq!(sweep().await, marks);
        let before = world.fake.request_count();
        let found = github.head_checks(&app(), &head).await.unwrap();
        assert_eq!((found.settled, world.fake.request_count() - before), (settled, requests), "{conclusion}");
    }
    world.fair();
}

#[test]
fn only_the_failing_steps_lines_are_kept() {
    let step = json!({"name": "Test", "started_at": "2026-01-02T03:04:05Z", "completed_at": "2026-01-02T03:04:07Z"});
    let step: Step = serde_json::from_value(step).unwrap();
    let line = |second: u32, text: &str| format!("2026-01-02T03:04:{second:02}.1234567Z {text}\n");
    let log = [line(1, "checkout"), line(5, "##[group]Run"), line(6, "boom"), line(7, "##[endgroup]"), line(9, "post")];
    assert_eq!(end_of(&log.concat(), Some(&step)), "##[group]Run\nboom");
    assert_eq!(end_of("no times\nhere", Some(&step)), "no times\nhere");
    let long: String = (0..10_000).map(|n| format!("line {n} ü\n")).collect();
    let end = end_of(&long, None);
    assert!(end.lines().count() <= LINES && end.ends_with("line 9999 ü"));
    assert!(end_of(&"ü".repeat(5_000), None).len() <= BYTES);
}
