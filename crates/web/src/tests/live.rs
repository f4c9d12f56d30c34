//! What is pushed.

use backlog::event::EventKind;
use backlog::task::Stage;
use futures::SinkExt as _;

use super::*;

#[tokio::test]
async fn a_commit_moves_the_card_on_an_open_board() {
    let visit = Visit::signed_in().await;
    let task = visit.store(&sample::task("Mend the parser")).await;
    let mut socket = visit.socket("/live?view=board", &visit.address).await.unwrap();
    let first = heard_about(&mut socket, "col-found").await;
    assert!(first.contains("Mend the parser") && first.contains(r#"id="col-done""#), "{first}");

    visit.store(&sample::at(task, Stage::Proposed)).await;
    let second = heard_about(&mut socket, "Mend the parser").await;
    let pushed: Vec<&str> = second.matches(r#"class="part""#).collect();
    assert!(second.contains(r#"id="col-proposed""#) && second.contains(r#"id="col-found""#), "{second}");
    assert_eq!(pushed.len(), 3, "only what differs: the summary and two columns\n{second}");
    visit.stop().await;
}

#[tokio::test]
async fn a_transcript_grows_line_by_line() {
    let visit = Visit::signed_in().await;
    let task = visit.store(&sample::at(sample::task("One"), Stage::Running)).await;
    let run = sample::run(&task, "");
    visit.ctx.store.commit(Commit { runs: vec![run.clone()], ..Commit::default() }).await.unwrap();
    let say = async |text: &str| {
        let line = serde_json::json!({ "type": "text", "text": text }).to_string();
        visit.ctx.store.append_transcript(&run.id, sample::NOW, &[line]).await.unwrap();
    };
    say("first").await;
    let mut socket = visit.socket(&format!("/live?view=task&task={}", task.id), &visit.address).await.unwrap();
    assert!(heard_about(&mut socket, "first").await.contains(r#"<div id="transcript""#));
    say("second").await;
    let second = heard_about(&mut socket, "second").await;
    assert!(second.starts_with(r#"<div hx-swap-oob="beforeend:#transcript-lines">"#), "{second}");
    assert!(!second.contains("first"), "{second}");
    visit.stop().await;
}

#[tokio::test]
async fn a_browser_that_lost_count_gets_everything_anew() {
    let visit = Visit::signed_in().await;
    let task = visit.store(&sample::task("One")).await;
    let mut socket = visit.socket("/live?view=board", &visit.address).await.unwrap();
    heard_about(&mut socket, "col-done").await;
    // More than any buffer between commit and browser holds, in one go.
    let events = (0..3_000).map(|_| sample::event(&task, EventKind::Edited)).collect();
    visit.ctx.store.commit(Commit { events, ..Commit::default() }).await.unwrap();
    let anew = heard_about(&mut socket, "col-done").await;
    assert!(anew.contains("col-found") && anew.contains("One"), "{anew}");
    visit.stop().await;
}

#[tokio::test]
async fn programs_follow_events_from_where_they_were() {
    let visit = Visit::signed_in().await;
    let one = visit.store(&sample::task("One")).await;
    let mut socket = visit.socket("/api/v1/events?after=0", &visit.address).await.unwrap();
    let first: Value = serde_json::from_str(&heard(&mut socket).await.unwrap()).unwrap();
    assert_eq!((&first["seq"], &first["task"]), (&1.into(), &one.id.to_string().into()));

    // Another process writes to the same database.
    let other = SqliteStore::open(&visit.dir.path().join("ccm.db")).await.unwrap();
    let events = vec![sample::event(&one, EventKind::Proposed { url: None })];
    store::Store::commit(&other, Commit { events, ..Commit::default() }).await.unwrap();
    let second: Value = serde_json::from_str(&heard(&mut socket).await.unwrap()).unwrap();
    assert_eq!((&second["seq"], &second["text"]), (&2.into(), &"proposed on the dashboard".into()));

    let mut again = visit.socket("/api/v1/events?after=1", &visit.address).await.unwrap();
    assert!(heard(&mut again).await.unwrap().contains(r#""seq":2"#));
    visit.stop().await;
}

#[tokio::test]
async fn sockets_are_bounded_and_end_with_the_service() {
    let visit = Visit::signed_in().await;
    let mut talker = visit.socket("/live?view=board", &visit.address).await.unwrap();
    talker.send(Message::text("x".repeat(5_000))).await.unwrap();
    while heard(&mut talker).await.is_some() {}

    let mut open = Vec::new();
    let refused = loop {
        match visit.socket("/live?view=repositories", &visit.address).await {
            Ok(socket) => open.push(socket),
            Err(status) => break status,
        }
    };
    assert_eq!((refused, open.len() <= crate::SOCKETS), (503, true));
    let mut last = open.pop().unwrap();
    visit.stop().await;
    while heard(&mut last).await.is_some() {}
}
