use super::*;
use crate::sample::{NOW, commit, repo, run_id};

fn outcomes() -> Vec<RunOutcome> {
    let outcomes = vec![
        RunOutcome::Succeeded,
        RunOutcome::NoChange { summary: "Nothing to do.".to_owned() },
        RunOutcome::Failed { reason: "The agent died.".to_owned(), retryable: true },
        RunOutcome::TimedOut,
        RunOutcome::Stalled,
        RunOutcome::Cancelled,
        RunOutcome::OverBudget,
    ];
    for (n, outcome) in outcomes.iter().enumerate() {
        // A new outcome does not compile here until it has a place above.
        let place = match outcome {
            RunOutcome::Succeeded => 0,
            RunOutcome::NoChange { .. } => 1,
            RunOutcome::Failed { .. } => 2,
            RunOutcome::TimedOut => 3,
            RunOutcome::Stalled => 4,
            RunOutcome::Cancelled => 5,
            RunOutcome::OverBudget => 6,
        };
        assert_eq!(n, place);
    }
    outcomes
}

/// Stored runs have this form: it must not change silently.
#[test]
fn every_state_of_a_run_has_its_stored_form() {
    let states =
        [RunState::Preparing, RunState::Working].into_iter().chain(outcomes().into_iter().map(RunState::Finished));
    let lines: Vec<String> = states.map(|state| serde_json::to_string(&state).unwrap()).collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    {"state":"preparing"}
    {"state":"working"}
    {"state":"finished","outcome":"succeeded"}
    {"state":"finished","outcome":"no_change","summary":"Nothing to do."}
    {"state":"finished","outcome":"failed","reason":"The agent died.","retryable":true}
    {"state":"finished","outcome":"timed_out"}
    {"state":"finished","outcome":"stalled"}
    {"state":"finished","outcome":"cancelled"}
    {"state":"finished","outcome":"over_budget"}
    "#);
}

#[test]
fn the_word_of_an_outcome_is_its_stored_name() {
    for outcome in outcomes() {
        assert_eq!(serde_json::to_value(&outcome).unwrap()["outcome"], outcome.word());
    }
}

#[test]
fn a_run_is_read_back_as_it_was_stored() {
    for outcome in outcomes() {
        let run = Run {
            id: run_id(2),
            repository: repo(),
            agent: "default".to_owned(),
            state: RunState::Finished(outcome),
            started_at: NOW,
            finished_at: Some(NOW),
            base: Some(commit('a')),
            branch: "ccm/3k9d0fz2ha-title".parse().unwrap(),
            commit: None,
            session: Some("s".to_owned()),
            usage: Usage { input_tokens: 1, output_tokens: 2, cost_micro_usd: 3, requests: 4 },
            budget_micro_usd: 5_000_000,
            sandbox: "bubblewrap".to_owned(),
            files: vec![ChangedFile { path: "a".to_owned(), added: 1, removed: 2 }],
            diff: "+a".to_owned(),
            checks: vec![CheckResult {
                name: "test".to_owned(),
                command: "make test".to_owned(),
                passed: false,
                reason: "exit code 1".to_owned(),
                millis: 5,
                log: "no".to_owned(),
            }],
            objections: vec!["No.".to_owned()],
        };
        assert_eq!(serde_json::from_str::<Run>(&serde_json::to_string(&run).unwrap()).unwrap(), run);
    }
}
