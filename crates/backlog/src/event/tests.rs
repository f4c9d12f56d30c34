use super::*;
use crate::sample::{NOW, person, repo, run_id};

/// One of every kind. A new kind does not compile in [`place`] until it is thought of here.
fn kinds() -> Vec<EventKind> {
    let text = || "Some words.".to_owned();
    let kinds = vec![
        EventKind::Found,
        EventKind::Added,
        EventKind::Proposed { url: Some("https://forge.test/12".to_owned()) },
        EventKind::Edited,
        EventKind::Approved,
        EventKind::Refused { why: text() },
        EventKind::Rejected,
        EventKind::Obsolete,
        EventKind::RunStarted { run: run_id(1) },
        EventKind::RunFinished { run: run_id(1), outcome: "succeeded".to_owned(), cost_micro_usd: 420_000 },
        EventKind::Checked { name: "test".to_owned(), passed: true },
        EventKind::Judged { good: false, reasons: vec![text()] },
        EventKind::Delivered { url: "https://forge.test/34".to_owned() },
        EventKind::RevisionAsked { why: text() },
        EventKind::Retried { why: text() },
        EventKind::Merged,
        EventKind::PullClosed,
        EventKind::Cancelled,
        EventKind::Failed { reason: text() },
        EventKind::Changed { what: text() },
        EventKind::Messaged { text: text() },
        EventKind::Watched,
        EventKind::Parked { reason: text() },
        EventKind::Scanned { findings: 3 },
    ];
    for (n, kind) in kinds.iter().enumerate() {
        assert_eq!(n, place(kind));
    }
    assert_eq!(kinds.len(), 24);
    kinds
}

fn place(kind: &EventKind) -> usize {
    match kind {
        EventKind::Found => 0,
        EventKind::Added => 1,
        EventKind::Proposed { .. } => 2,
        EventKind::Edited => 3,
        EventKind::Approved => 4,
        EventKind::Refused { .. } => 5,
        EventKind::Rejected => 6,
        EventKind::Obsolete => 7,
        EventKind::RunStarted { .. } => 8,
        EventKind::RunFinished { .. } => 9,
        EventKind::Checked { .. } => 10,
        EventKind::Judged { .. } => 11,
        EventKind::Delivered { .. } => 12,
        EventKind::RevisionAsked { .. } => 13,
        EventKind::Retried { .. } => 14,
        EventKind::Merged => 15,
        EventKind::PullClosed => 16,
        EventKind::Cancelled => 17,
        EventKind::Failed { .. } => 18,
        EventKind::Changed { .. } => 19,
        EventKind::Messaged { .. } => 20,
        EventKind::Watched => 21,
        EventKind::Parked { .. } => 22,
        EventKind::Scanned { .. } => 23,
    }
}

/// Stored timelines and the live feed have this form: it must not change silently.
#[test]
fn every_kind_has_its_stored_form() {
    let lines: Vec<String> = kinds().iter().map(|kind| serde_json::to_string(kind).unwrap()).collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    {"event":"found"}
    {"event":"added"}
    {"event":"proposed","url":"https://forge.test/12"}
    {"event":"edited"}
    {"event":"approved"}
    {"event":"refused","why":"Some words."}
    {"event":"rejected"}
    {"event":"obsolete"}
    {"event":"run_started","run":"3k9d0fz2ha-1"}
    {"event":"run_finished","run":"3k9d0fz2ha-1","outcome":"succeeded","cost_micro_usd":420000}
    {"event":"checked","name":"test","passed":true}
    {"event":"judged","good":false,"reasons":["Some words."]}
    {"event":"delivered","url":"https://forge.test/34"}
    {"event":"revision_asked","why":"Some words."}
    {"event":"retried","why":"Some words."}
    {"event":"merged"}
    {"event":"pull_closed"}
    {"event":"cancelled"}
    {"event":"failed","reason":"Some words."}
    {"event":"changed","what":"Some words."}
    {"event":"messaged","text":"Some words."}
    {"event":"watched"}
    {"event":"parked","reason":"Some words."}
    {"event":"scanned","findings":3}
    "#);
}

#[test]
fn an_event_is_read_back_as_it_was_stored() {
    let actors = [Actor::Service, Actor::Agent { name: "default".to_owned() }, person()];
    for (n, kind) in kinds().into_iter().enumerate() {
        let actor = actors[n % actors.len()].clone();
        let task = (n % 2 == 0).then(|| "3k9d0fz2ha".parse().unwrap());
        let event = Event { seq: 7, event: NewEvent { at: NOW, repository: repo(), task, actor, kind } };
        let json = serde_json::to_string(&event).unwrap();
        assert_eq!(serde_json::from_str::<Event>(&json).unwrap(), event, "{json}");
    }
}

#[test]
fn a_whole_event_has_its_stored_form() {
    let kind = EventKind::Approved;
    let event =
        NewEvent { at: NOW, repository: repo(), task: Some("3k9d0fz2ha".parse().unwrap()), actor: person(), kind };
    insta::assert_snapshot!(serde_json::to_string(&Event { seq: 7, event }).unwrap(), @r#"{"seq":7,"at":1800000000000,"repository":"acme/web","task":"3k9d0fz2ha","actor":{"kind":"person","login":"ada","channel":"dashboard"},"kind":{"event":"approved"}}"#);
}

#[test]
fn actors_have_names_for_people() {
    let agent = Actor::Agent { name: "default".to_owned() };
    assert_eq!([Actor::Service.name(), agent.name(), person().name()], ["ccm", "default", "ada"]);
    let channels = [
        Channel::Label,
        Channel::Comment,
        Channel::Dashboard,
        Channel::Api,
        Channel::Cli,
        Channel::Policy,
        Channel::Forge,
    ];
    let json = serde_json::to_string(&channels).unwrap();
    insta::assert_snapshot!(json, @r#"["label","comment","dashboard","api","cli","policy","forge"]"#);
    assert_eq!(serde_json::from_str::<Vec<Channel>>(&json).unwrap(), channels);
}
