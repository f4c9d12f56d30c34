//! Events, what is told of them, and transcripts.

use std::sync::Arc;

use backlog::event::{Event, EventKind, NewEvent};
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

use super::sample::{NOW, REPO, at, event, repo, run, stored, task};
use crate::{Change, Commit, EventQuery, Store, TRANSCRIPT_BYTES};

async fn tell(store: &dyn Store, events: Vec<NewEvent>) -> Vec<Event> {
    store.commit(Commit { events, ..Commit::default() }).await.unwrap()
}

pub(crate) async fn events_are_numbered_ordered_and_filtered(store: Arc<dyn Store>) {
    let (one, two) = (stored(&*store, task("acme/a", "one")).await, stored(&*store, task("acme/b", "two")).await);
    let watched = NewEvent { task: None, ..event(&one, EventKind::Watched) };
    let parked = NewEvent { task: None, ..event(&two, EventKind::Parked { reason: "It's \"%_\\\" gone.".into() }) };
    let first = tell(&*store, vec![event(&one, EventKind::Added), watched, event(&two, EventKind::Added)]).await;
    let second = tell(&*store, vec![event(&one, EventKind::Approved), parked]).await;
    let all: Vec<Event> = first.into_iter().chain(second).collect();
    assert!(all.is_sorted_by(|a, b| a.seq < b.seq) && all[0].seq > 0);

    let ask = async |query: EventQuery| store.events(&query).await.unwrap();
    let pick = |indices: &[usize]| indices.iter().map(|&index| all[index].clone()).collect::<Vec<_>>();
    let query = EventQuery::default;
    assert_eq!(ask(query()).await, all);
    assert_eq!(ask(EventQuery { after: all[2].seq, ..query() }).await, all[3..]);
    assert_eq!(ask(EventQuery { after: u64::MAX, ..query() }).await, []);
    assert_eq!(ask(EventQuery { task: Some(one.id.clone()), ..query() }).await, pick(&[0, 3]));
    assert_eq!(ask(EventQuery { repository: Some(repo("acme/b")), ..query() }).await, pick(&[2, 4]));
    assert_eq!(ask(EventQuery { newest_first: true, limit: 2, ..query() }).await, pick(&[4, 3]));
    assert_eq!(ask(EventQuery { limit: 2, ..query() }).await, pick(&[0, 1]));
}

pub(crate) async fn a_list_of_events_has_a_bound(store: Arc<dyn Store>) {
    let task = stored(&*store, task(REPO, "one")).await;
    tell(&*store, vec![event(&task, EventKind::Edited); 1_200]).await;
    for (limit, rows) in [(0, 1_000), (1_100, 1_100), (usize::MAX, 1_200)] {
        let query = EventQuery { limit, ..EventQuery::default() };
        assert_eq!(store.events(&query).await.unwrap().len(), rows);
    }
}

pub(crate) async fn changes_are_told_in_order(store: Arc<dyn Store>) {
    let mut changes = store.changes();
    let task = stored(&*store, task(REPO, "one")).await;
    let writers: Vec<_> = (0..20)
        .map(|_| {
            let (store, event) = (Arc::clone(&store), event(&task, EventKind::Edited));
            tokio::spawn(async move { tell(&*store, vec![event; 3]).await })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let mut told = Vec::new();
    while let Ok(change) = changes.try_recv() {
        match change {
            Change::Event(event) => told.push(*event),
            Change::Transcript(run) => panic!("nobody wrote a transcript of {run}"),
        }
    }
    assert_eq!(told, store.events(&EventQuery::default()).await.unwrap());
    assert_eq!(told.len(), 60);
}

pub(crate) async fn a_refused_commit_tells_nothing(store: Arc<dyn Store>) {
    let task = task(REPO, "one");
    stored(&*store, task.clone()).await;
    let mut changes = store.changes();
    let events = vec![event(&task, EventKind::Added)];
    store.commit(Commit { tasks: vec![task], events, ..Commit::default() }).await.unwrap_err();
    assert_eq!(changes.try_recv(), Err(TryRecvError::Empty));
}

pub(crate) async fn a_listener_that_lags_learns_of_it(store: Arc<dyn Store>) {
    let task = stored(&*store, task(REPO, "one")).await;
    let mut changes = store.changes();
    let events = tell(&*store, vec![event(&task, EventKind::Edited); 1_100]).await;
    assert_eq!(changes.recv().await, Err(RecvError::Lagged(1_100 - 1_024)));
    assert_eq!(changes.recv().await, Ok(Change::Event(Box::new(events[1_100 - 1_024].clone()))));
}

pub(crate) async fn an_event_number_is_never_used_again(store: Arc<dyn Store>) {
    let task = stored(&*store, task(REPO, "one")).await;
    let old = tell(&*store, vec![NewEvent { task: None, ..event(&task, EventKind::Watched) }]).await;
    store.tidy(at(1), at(1)).await.unwrap();
    assert_eq!(store.events(&EventQuery::default()).await.unwrap(), []);
    let new = tell(&*store, vec![event(&task, EventKind::Added)]).await;
    assert!(new[0].seq > old[0].seq);
}

pub(crate) async fn a_transcript_is_numbered_and_paged(store: Arc<dyn Store>) {
    let task = stored(&*store, task(REPO, "one")).await;
    let (run, other) = (run(&task, 1).id, run(&task, 2).id);
    let mut changes = store.changes();
    let lines = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
    store.append_transcript(&run, NOW, &lines(&["a", "b"])).await.unwrap();
    store.append_transcript(&other, NOW, &lines(&["x"])).await.unwrap();
    store.append_transcript(&run, NOW, &[]).await.unwrap();
    store.append_transcript(&run, at(1), &lines(&["", "ü'\"\\"])).await.unwrap();
    let all = store.transcript(&run, 0, 0).await.unwrap();
    let read: Vec<_> = all.iter().map(|line| (line.seq, line.at, line.line.as_str())).collect();
    assert_eq!(read, [(1, NOW, "a"), (2, NOW, "b"), (3, at(1), ""), (4, at(1), "ü'\"\\")]);
    assert_eq!(store.transcript(&run, 1, 2).await.unwrap(), all[1..3]);
    assert_eq!(store.transcript(&run, 4, 9).await.unwrap(), []);
    for told in [&run, &other, &run] {
        assert_eq!(changes.try_recv(), Ok(Change::Transcript(told.clone())));
    }
    assert_eq!(changes.try_recv(), Err(TryRecvError::Empty), "no lines, no change");
}

pub(crate) async fn a_transcript_has_a_bound(store: Arc<dyn Store>) {
    let task = stored(&*store, task(REPO, "one")).await;
    let id = run(&task, 1).id;
    let part = "x".repeat(1024 * 1024);
    for _ in 0..5 {
        store.append_transcript(&id, NOW, &vec![part.clone(); 5]).await.unwrap();
    }
    store.append_transcript(&id, NOW, &["a short one".to_owned()]).await.unwrap();
    let lines = store.transcript(&id, 0, 0).await.unwrap();
    let (last, kept) = lines.split_last().unwrap();
    assert!(kept.iter().all(|line| line.line == part));
    let bytes: u64 = kept.iter().map(|line| line.line.len() as u64 + 1).sum();
    assert!(bytes <= TRANSCRIPT_BYTES && bytes + part.len() as u64 + 1 > TRANSCRIPT_BYTES, "{bytes}");
    let notice: serde_json::Value = serde_json::from_str(&last.line).unwrap();
    assert_eq!(notice["type"], "notice");
    assert_eq!(
        notice["text"],
        "The transcript was cut here: at most 16 MiB are kept of one run. The run itself went on."
    );

    let other = run(&task, 2).id;
    store.append_transcript(&other, NOW, &["x".repeat(17 * 1024 * 1024), "y".to_owned()]).await.unwrap();
    let lines = store.transcript(&other, 0, 0).await.unwrap();
    assert_eq!(lines.into_iter().map(|line| line.line).collect::<Vec<_>>(), [last.line.as_str()]);
}
