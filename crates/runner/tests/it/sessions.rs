//! What agents do to a session, in every sandbox.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rstest::rstest;
use runner::agent::{AgentOutcome, ClaudeCode, CommandAgent, PromptBy};
use runner::transcript::TEXT_LIMIT;
use runner::{AgentEvent, Inbox, Kind, SessionOutcome, kill_leftovers, processes_of, run_session};
use tokio::sync::mpsc;

use crate::harness::{Bench, Still, marker, said, sandbox};

fn succeeded(summary: &str) -> SessionOutcome {
    SessionOutcome::Ended(AgentOutcome::Succeeded { summary: summary.into() })
}

#[rstest]
#[tokio::test]
async fn an_agent_edits_the_checkout(#[values(Kind::None, Kind::Bubblewrap)] kind: Kind) {
    let bench = Bench::new();
    let (end, events) =
        bench.script(kind, "read -r prompt; echo \"$prompt\" > done.txt; echo fixed; echo hm >&2").await;
    assert_eq!(end.outcome, succeeded("fixed"));
    assert_eq!(std::fs::read_to_string(bench.checkout().join("done.txt")).unwrap(), "Fix the typo.\n");
    assert_eq!(said(&events), "fixed");
    assert!(events.contains(&AgentEvent::Stderr { text: "hm".into() }));
    assert_eq!((end.stderr_tail.as_str(), end.level.kind), ("hm\n", kind));
    // A sandbox's init may still be on its way out when its leader is gone; there is none without a sandbox.
    assert!(end.killed_processes <= usize::from(kind == Kind::Bubblewrap), "{}", end.killed_processes);
}

#[rstest]
#[tokio::test]
async fn a_prompt_can_be_a_file(#[values(Kind::None, Kind::Bubblewrap)] kind: Kind) {
    let args = ["-c", "cat \"$1\"", "sh", "{prompt_file}"].map(String::from).to_vec();
    let (end, events) = Bench::new().run(kind, Box::new(CommandAgent::new("sh", args, PromptBy::File))).await;
    assert_eq!(end.outcome, succeeded("Fix the typo."));
    assert_eq!(said(&events), "Fix the typo.");
}

#[rstest]
#[tokio::test]
async fn silence_ends_a_session(#[values(Kind::None, Kind::Bubblewrap)] kind: Kind) {
    let mut bench = Bench::new();
    bench.limits.silence = Duration::from_millis(500);
    let (end, _) = bench.script(kind, "echo working; trap '' TERM; while :; do sleep 5; done").await;
    assert_eq!(end.outcome, SessionOutcome::Stalled { silence: bench.limits.silence });
    assert!(end.killed_processes >= 1, "{}", end.killed_processes);
}

#[rstest]
#[tokio::test]
async fn talking_does_not_save_from_the_limit_in_all(#[values(Kind::None, Kind::Bubblewrap)] kind: Kind) {
    let mut bench = Bench::new();
    bench.limits.total = Duration::from_millis(700);
    bench.limits.silence = Duration::from_millis(500);
    let (end, _) = bench.script(kind, "while :; do echo still here; sleep 0.05; done").await;
    assert_eq!(end.outcome, SessionOutcome::TimedOut { limit: bench.limits.total });
}

#[tokio::test]
async fn one_message_has_a_limit_of_its_own() {
    let mut bench = Bench::new();
    bench.limits.turn = Duration::from_millis(300);
    let (end, _) = bench.script(Kind::None, "while :; do echo still here; sleep 0.05; done").await;
    assert_eq!(end.outcome, SessionOutcome::TimedOut { limit: bench.limits.turn });
}

#[rstest]
#[tokio::test]
async fn who_obeys_the_first_signal_is_not_killed(#[values(Kind::None, Kind::Bubblewrap)] kind: Kind) {
    let mut bench = Bench::new();
    bench.limits.total = Duration::from_millis(500);
    bench.limits.grace = Duration::from_secs(10);
    let began = Instant::now();
    let script = "trap 'echo tidied > tidied.txt; exit 0' TERM; while :; do sleep 0.05; done";
    let (end, _) = bench.script(kind, script).await;
    assert_eq!(end.outcome, SessionOutcome::TimedOut { limit: bench.limits.total });
    assert!(bench.checkout().join("tidied.txt").exists());
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[rstest]
#[tokio::test]
async fn cancelling_ends_a_session(#[values(Kind::None, Kind::Bubblewrap)] kind: Kind) {
    let bench = Bench::new();
    bench.cancel.cancel();
    let (end, _) = bench.script(kind, "sleep 30").await;
    assert_eq!(end.outcome, SessionOutcome::Cancelled);
}

#[rstest]
#[case::of_lines("yes")]
#[case::of_one_line("cat /dev/zero | tr '\\0' x")]
#[case::of_errors("yes >&2")]
#[tokio::test]
async fn a_flood_ends_the_session_and_stays_bounded(
    #[case] script: &str,
    #[values(Kind::None, Kind::Bubblewrap)] kind: Kind,
) {
    let mut bench = Bench::new();
    bench.limits.output_bytes = 100_000;
    let (end, events) = bench.script(kind, script).await;
    assert_eq!(end.outcome, SessionOutcome::OverLimit { reason: "The agent wrote more than 100000 bytes.".into() });
    assert!(events.len() <= 50_001, "{}", events.len());
    assert!(end.stderr_tail.len() <= 64 * 1024, "{}", end.stderr_tail.len());
}

#[tokio::test]
async fn a_long_line_is_cut_in_the_transcript_and_a_longer_one_before() {
    let mut bench = Bench::new();
    bench.limits.output_bytes = 64 << 20;
    let script = "head -c 100000 /dev/zero | tr '\\0' x; echo; head -c 5000000 /dev/zero | tr '\\0' y; echo";
    let (end, events) = bench.script(Kind::None, script).await;
    assert!(matches!(end.outcome, SessionOutcome::Ended(AgentOutcome::Succeeded { .. })), "{:?}", end.outcome);
    let longest = said(&events).lines().map(str::len).max().unwrap();
    assert!((TEXT_LIMIT..TEXT_LIMIT + 60).contains(&longest), "{longest}");
    let dropped = 5_000_000 - 4 * 1024 * 1024;
    let notice = format!("A line of the agent was too long; {dropped} bytes of it were left out.");
    assert!(events.contains(&AgentEvent::Notice { text: notice }));
}

#[rstest]
#[tokio::test]
async fn what_leaves_the_session_and_its_group_is_dead_too(#[values(Kind::None, Kind::Bubblewrap)] kind: Kind) {
    let bench = Bench::new();
    let script = "setsid bash -c 'trap \"\" TERM HUP; while :; do sleep 1; done' </dev/null >/dev/null 2>&1 & \
                  sleep 0.3; echo left one behind";
    let (end, _) = bench.script(kind, script).await;
    assert_eq!(end.outcome, succeeded("left one behind"));
    if kind == Kind::None {
        assert!(end.killed_processes >= 1, "the grandchild was not there to be killed");
    }
}

#[tokio::test]
async fn in_a_sandbox_even_who_drops_the_marker_is_dead() {
    let bench = Bench::new();
    // A sleep of a length that nobody else sleeps, so that it can be looked for on the host.
    let length = format!("3{}.25", std::process::id());
    let script = format!("setsid env -i sleep {length} </dev/null >/dev/null 2>&1 & sleep 0.3; echo hidden");
    let (end, _) = bench.script(Kind::Bubblewrap, &script).await;
    assert_eq!(end.outcome, succeeded("hidden"));
    let alive = std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        line == format!("sleep\0{length}\0").into_bytes()
    });
    assert!(!alive, "a process without the marker outlived its sandbox");
}

#[rstest]
#[tokio::test]
async fn a_helper_that_keeps_the_pipe_does_not_keep_the_session(#[values(Kind::None, Kind::Bubblewrap)] kind: Kind) {
    let began = Instant::now();
    let (end, _) = Bench::new().script(kind, "setsid sleep 30 & echo done").await;
    assert_eq!(end.outcome, succeeded("done"));
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[rstest]
#[tokio::test]
async fn dying_by_a_signal_is_no_success(#[values(Kind::None, Kind::Bubblewrap)] kind: Kind) {
    let (end, _) = Bench::new().script(kind, "kill -SEGV $$; sleep 5").await;
    assert!(matches!(end.outcome, SessionOutcome::Ended(AgentOutcome::NoResult { .. })), "{:?}", end.outcome);
    assert_eq!(end.exit.unwrap().ended_by_signal(), Some(11));
}

#[tokio::test]
async fn too_many_processes_end_the_session() {
    let mut bench = Bench::new();
    bench.confinement.processes = 20;
    let (end, _) = bench.script(Kind::None, "for i in $(seq 40); do sleep 20 & done; wait").await;
    assert!(matches!(&end.outcome, SessionOutcome::OverLimit { reason } if reason.contains("processes")), "{end:?}");
}

#[tokio::test]
async fn a_missing_program_is_named() {
    let bench = Bench::new();
    let (_say, inbox) = mpsc::channel(1);
    let (events, _gone) = mpsc::channel(1);
    let agent = Box::new(CommandAgent::new("no-such-agent", vec![], PromptBy::Stdin));
    let sandbox = sandbox(Kind::None);
    let ended =
        run_session(bench.spec(), agent, sandbox.as_ref(), inbox, events, bench.cancel.clone(), Arc::new(Still)).await;
    let error = ended.unwrap_err().to_string();
    assert!(error.starts_with("the program `no-such-agent` was not found; install it"), "{error}");
}

#[rstest]
#[case::who_never_reads(false)]
#[case::who_is_gone(true)]
#[tokio::test]
async fn a_listener_does_not_hold_up_a_session(#[case] gone: bool) {
    let mut bench = Bench::new();
    bench.limits.total = Duration::from_millis(500);
    let (_say, inbox) = mpsc::channel(1);
    let (events, listener) = mpsc::channel(1);
    let _listener = (!gone).then_some(listener);
    let script = vec!["-c".into(), "seq 1000; echo done".into()];
    let agent = Box::new(CommandAgent::new("bash", script, PromptBy::Stdin));
    let sandbox = sandbox(Kind::None);
    let end = run_session(bench.spec(), agent, sandbox.as_ref(), inbox, events, bench.cancel.clone(), Arc::new(Still))
        .await
        .unwrap();
    assert_eq!(end.outcome, succeeded("done"));
    assert_eq!(end.events_lost > 900, !gone, "{}", end.events_lost);
    assert_eq!(processes_of(&bench.confinement.run), []);
}

/// A program that speaks like the real agent: it reads the greeting and the prompt, then writes the recorded lines and
/// waits for an answer where one is due. At the end it does what `after` says, with our lines on descriptor 3.
fn replay(transcript: &str, after: &str) -> (Bench, Box<ClaudeCode>) {
    let bench = Bench::new();
    let recorded = format!("{}/tests/transcripts/{transcript}.jsonl", env!("CARGO_MANIFEST_DIR"));
    // The home is what every sandbox shows to the program.
    std::fs::copy(recorded, bench.folder.path().join("home/recorded.jsonl")).unwrap();
    let script = format!(
        r#"#!/bin/bash
exec 3<&0
read -r hello <&3
read -r prompt <&3
while IFS= read -r line; do
    printf '%s\n' "$line"
    case "$line" in *can_use_tool*) read -r answer <&3; printf '%s\n' "$answer" >> answers.txt ;; esac
done < "$HOME/recorded.jsonl"
{after}
"#
    );
    let program = bench.folder.path().join("claude");
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    (bench, Box::new(ClaudeCode::new(program)))
}

#[rstest]
#[tokio::test]
async fn a_recorded_session_is_driven_to_its_end(#[values(Kind::None, Kind::Bubblewrap)] kind: Kind) {
    let (bench, agent) = replay("done", "cat <&3 >/dev/null; exit 1");
    let (end, events) = bench.run(kind, agent).await;
    assert_eq!(end.outcome, succeeded("hello.txt is written."), "{}", end.stderr_tail);
    assert!(end.session_id.is_some());
    assert!(end.usage.cost_usd > 0.0);
    assert!(events.iter().any(|e| matches!(e, AgentEvent::PermissionAsked { allowed: true, .. })));
    let answers = std::fs::read_to_string(bench.checkout().join("answers.txt")).unwrap();
    assert!(answers.contains("updatedInput"), "{answers}");
}

#[tokio::test]
async fn hanging_after_the_result_costs_the_grace_and_not_the_success() {
    let (bench, agent) = replay("done", "while :; do sleep 1; done");
    let began = Instant::now();
    let (end, _) = bench.run(Kind::Bubblewrap, agent).await;
    assert_eq!(end.outcome, succeeded("hello.txt is written."));
    assert!(end.killed_processes >= 1);
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
}

#[tokio::test]
async fn ending_well_without_a_result_is_no_success() {
    let (bench, agent) = replay("sigterm", "exit 0");
    let (end, _) = bench.run(Kind::None, agent).await;
    assert!(matches!(end.outcome, SessionOutcome::Ended(AgentOutcome::NoResult { .. })), "{:?}", end.outcome);
}

#[tokio::test]
async fn a_person_reaches_the_running_agent() {
    let (mut bench, agent) =
        replay("sigterm", "read -r one <&3; read -r two <&3; printf '%s\\n' \"$one\" \"$two\" > heard.txt");
    bench.inbox = vec![Inbox::Message("Mind the tests.".into()), Inbox::Interrupt];
    let (_, events) = bench.run(Kind::None, agent).await;
    assert!(events.contains(&AgentEvent::PersonMessage { text: "Mind the tests.".into() }));
    let answers = std::fs::read_to_string(bench.checkout().join("answers.txt")).unwrap_or_default();
    let heard = answers + &std::fs::read_to_string(bench.checkout().join("heard.txt")).unwrap();
    assert!(heard.contains("Mind the tests.") && heard.contains("interrupt"), "{heard}");
}

#[tokio::test]
async fn after_a_crash_of_the_service_its_leftovers_are_found_and_killed() {
    let run = marker();
    let mut left = tokio::process::Command::new("sh")
        .args(["-c", "sleep 30 & setsid sleep 30 & wait"])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("CCM_RUN", &run)
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    while processes_of(&run).len() < 3 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(kill_leftovers(&format!("{run}-other")).await.unwrap(), 0);
    assert_eq!(kill_leftovers(&run).await.unwrap(), 3);
    assert_eq!(processes_of(&run), []);
    left.wait().await.unwrap();
}
