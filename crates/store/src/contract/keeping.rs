//! Repositories, write intents, notes, tidying.

use std::sync::Arc;
use std::time::Duration;

use backlog::event::{EventKind, NewEvent};
use backlog::intent::{IntentKind, IntentState, WriteIntent};
use backlog::task::Task;

use super::sample::{NOW, REPO, at, event, repo, run, states, stored, task};
use crate::{Commit, EventQuery, Reading, Repository, Store};

fn repository(name: &str) -> Repository {
    Repository {
        name: repo(name),
        path: None,
        default_branch: None,
        scanned: None,
        scanned_at: None,
        parked: None,
        failures: 0,
        retry_at: None,
    }
}

pub(crate) async fn a_repository_is_replaced_and_forgotten(store: Arc<dyn Store>) {
    let (a, b) = (repository("acme/a"), repository("acme/b"));
    for repository in [&b, &a] {
        store.put_repository(repository).await.unwrap();
    }
    let kept = stored(&*store, task("acme/b", "stays")).await;
    let scanned = Repository { default_branch: Some("main".into()), scanned_at: Some(NOW), failures: 2, ..a };
    store.put_repository(&scanned).await.unwrap();
    assert_eq!(store.repositories().await.unwrap(), [scanned.clone(), b.clone()]);
    assert_eq!(store.repository(&b.name).await.unwrap(), Some(b.clone()));
    store.remove_repository(&b.name).await.unwrap();
    store.remove_repository(&b.name).await.unwrap();
    assert_eq!(store.repositories().await.unwrap(), [scanned]);
    assert_eq!(store.repository(&b.name).await.unwrap(), None);
    assert_eq!(store.task(&kept.id).await.unwrap(), Some(kept));
}

pub(crate) async fn open_intents_come_oldest_first(store: Arc<dyn Store>) {
    let intent = |id: &str, seconds, state| WriteIntent {
        id: id.to_owned(),
        kind: IntentKind::Issue,
        repository: repo(REPO),
        task: task(REPO, id).id,
        target: String::new(),
        hash: "h".into(),
        sends: 0,
        state,
        created_at: at(seconds),
        updated_at: at(seconds),
    };
    let done = IntentState::Done { number: 3, url: "https://example.org/3".into() };
    let young = intent("issue:a", 9, IntentState::Unknown { looks: 1, next_look: at(2) });
    let old = intent("issue:z", 1, IntentState::GivenUp);
    let closed = intent("issue:c", 0, done.clone());
    for intent in [&young, &old, &closed] {
        assert!(store.swap_intent(None, intent).await.unwrap());
        assert_eq!(store.intent(&intent.id).await.unwrap().as_ref(), Some(intent));
    }
    assert_eq!(store.open_intents().await.unwrap(), [old.clone(), young.clone()]);
    let finished = WriteIntent { state: done, sends: 1, ..young.clone() };
    assert!(!store.swap_intent(None, &finished).await.unwrap(), "there is one");
    assert!(!store.swap_intent(Some(&closed), &finished).await.unwrap(), "it is another");
    assert!(store.swap_intent(Some(&young), &finished).await.unwrap());
    assert!(!store.swap_intent(Some(&young), &finished).await.unwrap(), "it is that no more");
    assert_eq!(store.open_intents().await.unwrap(), [old]);
    assert_eq!(store.intent(&finished.id).await.unwrap(), Some(finished));
    assert_eq!(store.intent("issue:nobody").await.unwrap(), None);
}

pub(crate) async fn a_note_expires(store: Arc<dyn Store>) {
    store.put_note("etag", "k", "v", Some(at(10))).await.unwrap();
    store.put_note("session", "k", "other", None).await.unwrap();
    assert_eq!(store.note("etag", "k", at(9)).await.unwrap().as_deref(), Some("v"));
    assert_eq!(store.note("etag", "k", at(10)).await.unwrap(), None);
    assert_eq!(store.take_note("etag", "k", at(10)).await.unwrap(), None);
    assert_eq!(store.note("session", "k", at(1_000_000)).await.unwrap().as_deref(), Some("other"));
    store.put_note("session", "k", "new", Some(at(5))).await.unwrap();
    assert_eq!(store.note("session", "k", at(4)).await.unwrap().as_deref(), Some("new"));
    assert_eq!(store.note("session", "k", at(5)).await.unwrap(), None);
}

pub(crate) async fn a_note_is_taken_once(store: Arc<dyn Store>) {
    store.put_note("login", "token", "ada", None).await.unwrap();
    let takers: Vec<_> = (0..8)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.take_note("login", "token", NOW).await.unwrap() })
        })
        .collect();
    let mut taken = Vec::new();
    for taker in takers {
        taken.extend(taker.await.unwrap());
    }
    assert_eq!(taken, ["ada"]);
}

pub(crate) async fn a_note_is_swapped_only_when_it_is_as_expected(store: Arc<dyn Store>) {
    let swap = async |expected: Option<&str>, value: &str, expires: Option<i64>, now: i64| {
        store.swap_note(("governor", "k"), expected, value, expires.map(at), at(now)).await.unwrap()
    };
    assert!(!swap(Some("old"), "new", None, 0).await, "there is none yet");
    assert!(swap(None, "one", Some(10), 0).await);
    assert!(!swap(None, "two", None, 9).await, "there is one");
    assert!(!swap(Some("two"), "three", None, 9).await, "it is another");
    assert!(!swap(Some("one"), "two", None, 10).await, "it has expired");
    assert!(swap(None, "two", None, 10).await);
    assert!(swap(Some("two"), "three", None, 1_000).await);
    assert_eq!(store.note("governor", "k", at(1_000_000)).await.unwrap().as_deref(), Some("three"));
}

pub(crate) async fn one_of_many_swaps_wins(store: Arc<dyn Store>) {
    for expected in [None, Some("0"), Some("1"), Some("2")] {
        let racers: Vec<_> = (0..8)
            .map(|_| {
                let store = Arc::clone(&store);
                let next = expected.map_or(0, |n| n.parse::<u32>().unwrap() + 1).to_string();
                tokio::spawn(async move { store.swap_note(("g", "k"), expected, &next, None, NOW).await.unwrap() })
            })
            .collect();
        let mut won = 0;
        for racer in racers {
            won += u32::from(racer.await.unwrap());
        }
        assert_eq!(won, 1, "{expected:?}");
    }
}

pub(crate) async fn tidying_keeps_what_is_young_or_open(store: Arc<dyn Store>) {
    let mut kept = Vec::new();
    for state in states(&task(REPO, "any")) {
        let task = task(REPO, state.stage().as_str());
        let task = stored(&*store, Task { state, ..task }).await;
        let old = event(&task, EventKind::Edited);
        let young = NewEvent { at: at(100), ..old.clone() };
        let events = store.commit(Commit { events: vec![old, young], ..Commit::default() }).await.unwrap();
        kept.extend(events.into_iter().skip(usize::from(task.state.is_final())));
    }
    let task = task(REPO, "found");
    let watched = |seconds| NewEvent { at: at(seconds), task: None, ..event(&task, EventKind::Watched) };
    let events = vec![watched(0), watched(100)];
    kept.extend(store.commit(Commit { events, ..Commit::default() }).await.unwrap().pop());
    for (attempt, finished) in [(1, Some(at(49))), (2, Some(at(50))), (3, None)] {
        let mut run = run(&task, attempt);
        run.finished_at = finished;
        store.append_transcript(&run.id, NOW, &["line".to_owned()]).await.unwrap();
        store.commit(Commit { runs: vec![run], ..Commit::default() }).await.unwrap();
    }
    store.put_note("s", "expired", "v", Some(at(10))).await.unwrap();
    store.put_note("s", "live", "v", Some(at(300))).await.unwrap();
    store.put_note("s", "lasting", "v", None).await.unwrap();

    store.tidy(at(200), at(50)).await.unwrap();
    store.tidy(at(200), at(50)).await.unwrap();

    assert_eq!(store.events(&EventQuery::default()).await.unwrap(), kept);
    for (attempt, lines) in [(1, 0), (2, 1), (3, 1)] {
        let id = run(&task, attempt).id;
        assert_eq!(store.transcript(&id, 0, 0).await.unwrap().len(), lines, "attempt {attempt}");
        assert!(store.run(&id).await.unwrap().is_some());
    }
    // A time before the note's end shows whether it is still there.
    for (key, there) in [("expired", false), ("live", true), ("lasting", true)] {
        assert_eq!(store.note("s", key, NOW).await.unwrap().is_some(), there, "{key}");
    }
}

pub(crate) async fn a_content_is_read_once_by_each_reader(store: Arc<dyn Store>) {
    // More than one statement takes.
    let blobs: Vec<String> = (0..2_500).map(|n| format!("{n:040x}")).collect();
    let text = |n: usize| n.is_multiple_of(7).then(|| format!("kept of {n}"));
    let read: Vec<_> = blobs.iter().take(2_400).enumerate().map(|(n, blob)| (blob.clone(), text(n))).collect();
    let reading = |(blob, text): (String, Option<String>)| Reading { reader: "todo 1".to_owned(), blob, text };
    let readings: Vec<Reading> = read.iter().cloned().map(reading).collect();
    store.put_readings(&readings, NOW).await.unwrap();
    store.put_readings(&[], NOW).await.unwrap();
    let mut found = store.readings("todo 1", &blobs).await.unwrap();
    found.sort();
    assert_eq!(found, read, "what was never read is not there");
    assert_eq!(store.readings("todo 2", &blobs).await.unwrap(), []);
    assert_eq!(store.readings("todo 1", &[]).await.unwrap(), []);
    store.put_readings(&[reading((blobs[0].clone(), None))], at(1)).await.unwrap();
    assert_eq!(store.readings("todo 1", &blobs[..1]).await.unwrap(), [(blobs[0].clone(), None)]);
}

pub(crate) async fn a_probe_writes(store: Arc<dyn Store>) {
    store.probe(Duration::from_secs(30)).await.unwrap();
    store.probe(Duration::from_secs(30)).await.unwrap();
}
