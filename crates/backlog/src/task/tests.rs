use proptest::prelude::*;

use super::*;
use crate::sample::{NOW, approval, commands, note, person, proposal, pull, repo, run_id, state, with_pull, work};

/// One line a stage: the commands it takes and where they lead. What is not named is refused.
fn table(stages: impl IntoIterator<Item = TaskState>) -> String {
    let mut lines = Vec::new();
    for from in stages {
        let taken: Vec<String> = commands()
            .into_iter()
            .filter_map(|command| {
                let word = command.name();
                from.clone().apply(command).ok().map(|to| format!("{word} → {}", to.stage()))
            })
            .collect();
        lines.push(format!("{}: {}", from.stage(), if taken.is_empty() { "–".to_owned() } else { taken.join(", ") }));
    }
    lines.join("\n")
}

#[test]
fn every_state_takes_these_commands_and_no_other() {
    assert_eq!(Stage::ALL.len() * commands().len(), 165);
    insta::assert_snapshot!(table(Stage::ALL.map(state)), @"
    found: proposed → proposed, approved → approved, rejected → rejected, called obsolete → obsolete, cancelled → cancelled
    proposed: edited → proposed, approved → approved, rejected → rejected, called obsolete → obsolete, cancelled → cancelled
    approved: edited → proposed, rejected → rejected, called obsolete → obsolete, started → running, given up → failed, cancelled → cancelled
    running: verified → verifying, tried again → approved, given up → failed, cancelled → cancelled
    verifying: tried again → approved, given up → failed, delivered → in_review, cancelled → cancelled
    in_review: given up → failed, handed back to the agent → approved, merged → done, closed without a merge → rejected, cancelled → cancelled
    done: –
    failed: retried → approved, cancelled → cancelled
    rejected: –
    obsolete: –
    cancelled: –
    ");
}

#[test]
fn a_task_that_had_a_run_or_a_pull_request_is_not_taken_back() {
    let begun = TaskState::Approved { work: Work { runs: 1, ..work() } };
    let with_pull = [Stage::Approved, Stage::Running, Stage::Verifying, Stage::Failed].map(|at| with_pull(state(at)));
    insta::assert_snapshot!(table([begun].into_iter().chain(with_pull)), @"
    approved: started → running, given up → failed, cancelled → cancelled
    approved: started → running, given up → failed, merged → done, closed without a merge → rejected, cancelled → cancelled
    running: verified → verifying, tried again → approved, given up → failed, merged → done, closed without a merge → rejected, cancelled → cancelled
    verifying: tried again → approved, given up → failed, delivered → in_review, merged → done, closed without a merge → rejected, cancelled → cancelled
    failed: merged → done, closed without a merge → rejected, retried → approved, cancelled → cancelled
    ");
}

#[test]
fn stages_have_unique_names_in_the_order_of_the_board() {
    for stage in Stage::ALL {
        assert_eq!(state(stage).stage(), stage);
        assert_eq!(Stage::parse(stage.as_str()), Some(stage));
        assert_eq!(serde_json::to_value(stage).unwrap(), stage.as_str());
        let ends = [Stage::Done, Stage::Rejected, Stage::Obsolete, Stage::Cancelled, Stage::Failed];
        assert_eq!(state(stage).is_final(), ends.contains(&stage));
    }
    assert_eq!(Stage::parse("InReview"), None);
}

#[test]
fn a_refusal_says_what_to_do_instead() {
    let refusal = |stage, command| state(stage).apply(command).unwrap_err().to_string();
    let approve = || Command::Approve(proposal("Body"), approval("Body"));
    let refusals = [
        state(Stage::Proposed).apply(Command::Approve(proposal("Body"), approval("Old"))).unwrap_err().to_string(),
        refusal(Stage::InReview, approve()),
        refusal(Stage::Failed, approve()),
        refusal(Stage::Done, approve()),
        refusal(Stage::Running, Command::Reject(person())),
        refusal(Stage::Done, Command::Reject(person())),
        refusal(Stage::Found, Command::Retry),
        refusal(Stage::Done, Command::Cancel(person())),
    ];
    insta::assert_snapshot!(refusals.join("\n"), @"
    a task that is proposed cannot be approved: its text has changed since, read it again
    a task that is in review cannot be approved: somebody approved it already
    a task that is failed cannot be approved: retry it instead
    a task that is done cannot be approved
    a task that is running cannot be rejected: work has begun, cancel it instead
    a task that is done cannot be rejected
    a task that is found cannot be retried
    a task that is done cannot be cancelled
    ");
}

#[test]
fn an_approval_binds_exactly_what_was_shown() {
    // From the dashboard: what the person saw is the proposal.
    let card = state(Stage::Found).apply(Command::Approve(proposal("Card"), approval("Card"))).unwrap();
    assert_eq!(card.proposal().unwrap().body, "Card");
    assert!(state(Stage::Found).apply(Command::Approve(proposal("Card"), approval("Body"))).is_err());
    // From an issue: what is stored counts, whatever the caller hands in.
    let issue = state(Stage::Proposed).apply(Command::Approve(proposal("Forged"), approval("Body"))).unwrap();
    assert_eq!(issue.proposal().unwrap().body, "Body");
    assert!(state(Stage::Proposed).apply(Command::Approve(proposal("Forged"), approval("Forged"))).is_err());
    // An edit voids it.
    let edited = issue.apply(Command::Edit(proposal("Edited"))).unwrap();
    assert_eq!((edited.stage(), edited.work()), (Stage::Proposed, None));
}

#[test]
fn attempts_count_since_the_last_delivery() {
    let mut at = state(Stage::Approved);
    let counts = |at: &TaskState| at.work().map(|work| (work.runs, work.attempts, work.rounds)).unwrap();
    for (command, expected) in [
        (Command::Start(run_id(1)), (1, 1, 0)),
        (Command::TryAgain(vec!["No.".to_owned()]), (1, 1, 0)),
        (Command::Start(run_id(2)), (2, 2, 0)),
        (Command::Verify, (2, 2, 0)),
        (Command::Deliver(pull()), (2, 0, 0)),
        (Command::Revise(Revision::default()), (2, 0, 1)),
        (Command::Start(run_id(3)), (3, 1, 1)),
        (Command::GiveUp("No.".to_owned()), (3, 1, 1)),
        (Command::Retry, (3, 0, 0)),
    ] {
        at = at.apply(command.clone()).unwrap();
        assert_eq!(counts(&at), expected, "after {command:?}");
    }
}

#[test]
fn a_delivery_clears_what_was_asked_and_a_revision_is_remembered_once() {
    let asked = Revision { notes: vec![note("line-1")], ..Revision::default() };
    let revised = state(Stage::InReview).apply(Command::Revise(asked.clone())).unwrap();
    let work = revised.work().unwrap();
    assert_eq!((work.revision.as_ref(), &work.handled_notes), (Some(&asked), &vec!["line-1".to_owned()]));
    let again = [Command::Start(run_id(2)), Command::TryAgain(vec!["No.".to_owned()]), Command::Start(run_id(3))];
    let tried = again.into_iter().fold(revised, |at, command| at.apply(command).unwrap());
    let work = tried.work().unwrap();
    assert_eq!((work.revision.as_ref(), work.objections.len()), (Some(&asked), 1));
    let delivered = tried.apply(Command::Verify).unwrap().apply(Command::Deliver(pull())).unwrap();
    let work = delivered.work().unwrap();
    assert_eq!((&work.revision, work.objections.len(), work.handled_notes.len()), (&None, 0, 1));
}

#[test]
fn the_last_500_handled_notes_are_remembered() {
    let notes = (0..700).map(|n| note(&format!("line-{n}"))).collect();
    let revised = state(Stage::InReview).apply(Command::Revise(Revision { notes, ..Revision::default() })).unwrap();
    let handled = &revised.work().unwrap().handled_notes;
    assert_eq!((handled.len(), handled[0].as_str(), handled[499].as_str()), (500, "line-200", "line-699"));
}

#[test]
fn a_task_of_a_person_is_named_by_its_time_and_title() {
    let task = |title: &str, at| Task::of_person(repo(), title.to_owned(), String::new(), at);
    let one = task("Sort the menu", NOW);
    assert_eq!((one.state.stage(), &one.source, one.version), (Stage::Found, &Source::Person, 0));
    assert_eq!(one.id, task("Sort the menu", NOW).id);
    assert_ne!(one.id, task("Sort the menu", Timestamp(NOW.0 + 1)).id);
    assert_ne!(one.id, task("Sort the list", NOW).id);
    let later = Timestamp(NOW.0 + 5);
    let proposed = one.clone().apply(Command::Propose(proposal("Body")), later).unwrap();
    assert_eq!((proposed.updated_at, proposed.created_at, proposed.version), (later, NOW, 0));
    assert!(one.apply(Command::Verify, later).is_err());
}

#[test]
fn every_state_is_read_back_as_it_was_stored() {
    for stage in Stage::ALL {
        for state in [state(stage), with_pull(state(stage))] {
            let json = serde_json::to_string(&state).unwrap();
            assert!(json.starts_with(&format!("{{\"state\":\"{stage}\"")), "{json}");
            assert_eq!(serde_json::from_str::<TaskState>(&json).unwrap(), state);
            let task = Task { state, ..crate::sample::task("TODO", "sort the menu") };
            assert_eq!(serde_json::from_str::<Task>(&serde_json::to_string(&task).unwrap()).unwrap(), task);
        }
    }
}

#[test]
fn the_stored_form_of_a_state_does_not_change_silently() {
    insta::assert_snapshot!(serde_json::to_string(&with_pull(state(Stage::Running))).unwrap(), @r#"{"state":"running","work":{"proposal":{"issue":{"repository":"acme/web","number":12,"url":"https://forge.test/acme/web/issues/12"},"content":"ecc17b1fe23f0f8a070b58c2f367d6d88b4391d4aa0a854ab86c6a64ed903854","title":"Title","body":"Body","at":1800000000000},"approval":{"by":"ada","channel":"label","at":1800000000000,"content":"ecc17b1fe23f0f8a070b58c2f367d6d88b4391d4aa0a854ab86c6a64ed903854"},"runs":1,"attempts":1,"rounds":0,"pull":{"number":34,"url":"https://forge.test/acme/web/pull/34","branch":"ccm/3k9d0fz2ha-title","head":"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"},"revision":null,"objections":[],"handled_notes":[],"red_head":null},"run":"3k9d0fz2ha-1"}"#);
}

proptest! {
    #[test]
    fn whatever_happens_the_books_are_right(order in prop::collection::vec(0usize..15, 0..60)) {
        let commands = commands();
        let mut at = TaskState::Found;
        for pick in order {
            let before = at.clone();
            let Ok(after) = before.clone().apply(commands[pick].clone()) else { continue };
            if before.is_final() {
                let by = matches!(
                    commands[pick],
                    Command::Retry | Command::Cancel(_) | Command::Merge(_) | Command::ClosePull(_)
                );
                prop_assert!(before.stage() == Stage::Failed && by, "{} left {before:?}", commands[pick].name());
            }
            if let Some(work) = after.work() {
                prop_assert_eq!(&work.approval.content, &work.proposal.content);
                prop_assert!(work.attempts <= work.runs);
                prop_assert!(work.handled_notes.len() <= 500);
                prop_assert!(work.runs >= before.work().map_or(0, |work| work.runs));
            }
            at = after;
        }
    }
}
