use super::*;
use crate::sample::{NOW, repo};

#[test]
fn a_lost_write_is_looked_for_later_and_later() {
    let pauses: Vec<u64> = (0..LOOKS).chain([LOOKS, u32::MAX]).map(|look| look_after(look).as_secs()).collect();
    assert_eq!(pauses, [2, 15, 60, 60, 60]);
}

#[test]
fn an_intent_is_read_back_as_it_was_stored() {
    let states = [
        IntentState::Planned,
        IntentState::Sent,
        IntentState::Unknown { looks: 1, next_look: NOW },
        IntentState::Done { number: 12, url: "https://forge.test/12".to_owned() },
        IntentState::GivenUp,
    ];
    let mut lines = Vec::new();
    for state in states {
        let intent = WriteIntent {
            id: "issue 3k9d0fz2ha".to_owned(),
            kind: IntentKind::Issue,
            repository: repo(),
            task: "3k9d0fz2ha".parse().unwrap(),
            target: "7".to_owned(),
            hash: "00".to_owned(),
            sends: 1,
            state: state.clone(),
            created_at: NOW,
            updated_at: NOW,
        };
        let json = serde_json::to_string(&intent).unwrap();
        assert_eq!(serde_json::from_str::<WriteIntent>(&json).unwrap(), intent);
        lines.push(serde_json::to_string(&state).unwrap());
    }
    insta::assert_snapshot!(lines.join("\n"), @r#"
    {"state":"planned"}
    {"state":"sent"}
    {"state":"unknown","looks":1,"next_look":1800000000000}
    {"state":"done","number":12,"url":"https://forge.test/12"}
    {"state":"given_up"}
    "#);
    for kind in [IntentKind::Issue, IntentKind::PullRequest, IntentKind::Comment] {
        assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
    }
}
