//! The fault cases of writes, by name.

use testkit::github::Fault;

use crate::github::tests::{World, app, draft, seconds, task};
use crate::{Forge, ForgeError};

const CREATE: &str = "POST /repos/{owner}/{repo}/issues";

/// Whatever `fault` does to the create call, there is one issue in the end, after so many sends.
async fn one_issue(fault: Fault, sends: usize) {
    let world = World::new().await;
    let github = world.github();
    world.fake.fail(fault.on(CREATE));
    github.ensure_issue(&draft()).await.unwrap_err();
    world.patiently(async || github.ensure_issue(&draft()).await).await.unwrap();
    assert_eq!((world.fake.issues().len(), world.count(CREATE)), (1, sends));
    world.fair();
}

#[tokio::test]
async fn f16_the_last_answer_of_a_window_is_used() {
    let world = World::new().await;
    world.fake.set_hourly_limit("robot", 2);
    let github = world.github();
    assert_eq!(github.repository(&app()).await.unwrap().name, app());
    let before = world.fake.request_count();
    assert!(matches!(github.repository(&"me/other".parse().unwrap()).await, Err(ForgeError::Limited { .. })));
    assert_eq!((before, world.fake.request_count()), (2, 2), "nothing more is sent");
    world.fair();
}

#[tokio::test]
async fn f17_made_and_answered_with_502() {
    one_issue(Fault::execute_then_status(502), 1).await;
}

#[tokio::test]
async fn f18_made_and_the_connection_reset() {
    one_issue(Fault::execute_then_drop(), 1).await;
}

#[tokio::test]
async fn f19_made_and_answered_with_504() {
    one_issue(Fault::execute_then_status(504), 1).await;
}

#[tokio::test]
async fn f20_not_made_and_answered_with_502() {
    one_issue(Fault::bad_gateway(), 2).await;
}

#[tokio::test]
async fn f49_every_shape_of_a_422_is_read() {
    let table = [
        (
            r#"{"message":"Validation Failed","errors":[{"resource":"Issue","field":"title","code":"missing"}]}"#,
            "title",
        ),
        (r#"{"message":"Validation Failed","errors":{"field":"body","message":"body is too long"}}"#, "too long"),
        (r#"{"message":"Validation Failed","errors":"body is too long"}"#, "too long"),
        (r#"{"message":"Validation Failed","errors":["title is too long","no"]}"#, "title is too long"),
        (r#""body is too long""#, "too long"),
    ];
    for (body, said) in table {
        let world = World::new().await;
        let github = world.github();
        world.fake.fail(Fault::answer(422, body).on(CREATE));
        let error = github.ensure_issue(&draft()).await.unwrap_err();
        assert!(matches!(&error, ForgeError::Unexpected(why) if why.contains(said)), "{body}: {error}");
        github.ensure_issue(&draft()).await.unwrap();
        assert_eq!(world.count(CREATE), 2, "a refusal is not repeated by itself");
        world.fair();
    }
}

/// A single 404 is not proof that a comment is gone: a new token is not known everywhere for seconds.
#[tokio::test]
async fn r27_a_comment_that_cannot_be_seen_for_a_moment_is_not_written_again() {
    let world = World::new().await;
    let github = world.github();
    let link = crate::github::tests::link(world.fake.open_issue("ann", "Slow", ""));
    github.ensure_comment(&link, &task(), "status", "working").await.unwrap();
    world.fake.fail(Fault::status(404, "Not Found").on("GET /comments/{comment_id}"));
    let error = github.ensure_comment(&link, &task(), "status", "done").await.unwrap_err();
    assert!(matches!(error, ForgeError::Transient { .. }), "{error}");
    world.clock.advance(seconds(10));
    github.ensure_comment(&link, &task(), "status", "done").await.unwrap();
    assert_eq!((world.fake.issue(1).comments.len(), world.count("POST /comments")), (1, 1));
    world.fair();
}
