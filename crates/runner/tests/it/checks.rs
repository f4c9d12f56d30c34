//! The repository's own checks as real processes.

use std::time::Duration;

use rstest::rstest;
use runner::{CheckCommand, CheckLimits, CheckReport, Kind, processes_of, run_checks};
use tokio_util::sync::CancellationToken;

use crate::harness::{Bench, sandbox};

async fn run(bench: &Bench, kind: Kind, lines: &[&str], limits: CheckLimits) -> (Vec<CheckReport>, Vec<String>) {
    let commands: Vec<CheckCommand> = lines.iter().map(|line| CheckCommand::new(line)).collect();
    let mut heard = Vec::new();
    let mut on_line = |name: &str, line: &str| heard.push(format!("{name}: {line}"));
    let reports =
        run_checks(&bench.confinement, &commands, sandbox(kind).as_ref(), &limits, &bench.cancel, &mut on_line)
            .await
            .unwrap();
    assert_eq!(processes_of(&bench.confinement.run), []);
    (reports, heard)
}

#[rstest]
#[tokio::test]
async fn each_check_is_reported(#[values(Kind::None, Kind::Bubblewrap)] kind: Kind) {
    let bench = Bench::new();
    let lines = ["echo fine", "echo broken >&2; exit 3", "kill -TERM $$", "no-such-tool"];
    let (reports, heard) = run(&bench, kind, &lines, CheckLimits::default()).await;
    let passed: Vec<bool> = reports.iter().map(|report| report.passed).collect();
    assert_eq!(passed, [true, false, false, false]);
    assert_eq!((reports[1].exit, reports[1].log_tail.as_str()), (Some(3), "broken\n"));
    assert_eq!(reports[3].exit, Some(127));
    assert_eq!(heard[0], "echo fine: fine");
}

#[rstest]
#[tokio::test]
async fn a_check_has_a_deadline_and_leaves_nothing_for_the_next(#[values(Kind::None, Kind::Bubblewrap)] kind: Kind) {
    let bench = Bench::new();
    let limits = CheckLimits { each: Duration::from_millis(600), ..CheckLimits::default() };
    let lines = ["setsid sleep 30 & echo started; sleep 30", "true"];
    let (reports, _) = run(&bench, kind, &lines, limits).await;
    assert!(reports[0].timed_out && !reports[0].passed && reports[0].exit.is_none());
    assert_eq!(reports[0].log_tail, "started\nStopped after 0.6 s, the most a check may take.\n");
    assert!(reports[1].passed);
}

#[rstest]
#[tokio::test]
async fn a_server_left_running_does_not_hold_up_its_check(#[values(Kind::None, Kind::Bubblewrap)] kind: Kind) {
    let (reports, _) = run(&Bench::new(), kind, &["setsid sleep 30 & echo ok"], CheckLimits::default()).await;
    assert!(reports[0].passed && reports[0].duration < Duration::from_secs(10), "{reports:?}");
}

#[tokio::test]
async fn a_noisy_check_keeps_its_end_and_a_flooding_one_is_stopped() {
    let limits = CheckLimits { output_bytes: 1 << 20, ..CheckLimits::default() };
    let (reports, _) = run(&Bench::new(), Kind::None, &["seq 50000; echo last", "yes"], limits).await;
    assert!(reports[0].passed && reports[0].log_tail.len() <= 64 * 1024);
    assert!(reports[0].log_tail.ends_with("50000\nlast\n"));
    assert!(!reports[1].passed && reports[1].log_tail.ends_with("Stopped after 1048576 bytes of output.\n"));
}

#[tokio::test]
async fn cancelling_stops_the_check_and_skips_the_rest() {
    let bench = Bench::new();
    let cancel: CancellationToken = bench.cancel.clone();
    let commands = [CheckCommand::new("echo on; sleep 30"), CheckCommand::new("true")];
    let mut on_line = |_: &str, _: &str| cancel.cancel();
    let limits = CheckLimits::default();
    let reports = run_checks(
        &bench.confinement,
        &commands,
        sandbox(Kind::Bubblewrap).as_ref(),
        &limits,
        &bench.cancel,
        &mut on_line,
    )
    .await
    .unwrap();
    assert_eq!(reports.len(), 1);
    assert!(!reports[0].passed && reports[0].log_tail.contains("cancelled"));
}
