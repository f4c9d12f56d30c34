//! R2: several processes send no more than one.

use super::*;

/// A newcomer waits until the one that believed itself alone has read the record; then both keep one budget.
#[tokio::test]
async fn r02_two_processes_together_stay_within_one_budget() {
    let bench = Bench::new();
    let (one, two) = (bench.governor(Limits::default()).await, bench.governor(Limits::default()).await);
    let sends = (0..1_500).map(|n| bench.insist([&one, &two][n % 2], Traffic::Read.into(), Duration::ZERO));
    let starts = join_all(sends).await;
    assert!(most_within(starts.clone(), 60_000) <= 450, "{}", most_within(starts, 60_000));
}

#[tokio::test]
async fn r02_work_and_concurrency_are_shared_too() {
    let bench = Bench::new();
    let (one, two) = (bench.governor(Limits::default()).await, bench.governor(Limits::default()).await);
    let sends = (0..200).map(|n| bench.insist([&one, &two][n % 2], Traffic::Read.into(), seconds(1)));
    let starts = join_all(sends).await;
    let most = most_within(starts, 60_000);
    assert!(most <= 47, "{most} seconds of work in a minute");
}

#[tokio::test]
async fn r02_writes_of_two_processes_are_serial_and_spaced() {
    let bench = Bench::new();
    let (one, two) = (bench.governor(Limits::default()).await, bench.governor(Limits::default()).await);
    let sends = (0..20).map(|n| bench.insist([&one, &two][n % 2], Traffic::Edit.into(), Duration::from_millis(1_500)));
    let mut starts = join_all(sends).await;
    starts.sort_unstable();
    assert!(starts.windows(2).all(|pair| pair[1] - pair[0] >= 1_500), "{starts:?}");
}

#[tokio::test]
async fn r02_a_pause_that_one_met_silences_the_other_at_once() {
    let bench = Bench::new();
    let (one, two) = (bench.governor(Limits::default()).await, bench.governor(Limits::default()).await);
    bench.send(&one, Traffic::Read, Duration::ZERO).await;
    bench.send(&two, Traffic::Read, Duration::ZERO).await;
    bench.clock.sleep(seconds(3)).await;
    bench.send(&one, Traffic::Read, Duration::ZERO).await;
    let permit = one.admit(Traffic::Read).await.unwrap();
    one.limited(Limit::Pause(seconds(100)), &HeaderMap::new(), &permit).await.unwrap();
    assert!(bench.refused(&two, Traffic::Read).await.is_some());
}

/// A process that is killed and started again and again spends no more than one that lives.
#[tokio::test]
async fn r02_a_restarted_process_knows_what_its_predecessor_used() {
    let bench = Bench::new();
    let mut starts = Vec::new();
    for _ in 0..10 {
        let governor = bench.governor(Limits::default()).await;
        for _ in 0..450 {
            let Ok(_permit) = governor.admit(Traffic::Read).await else { break };
            starts.push(bench.at());
            bench.clock.sleep(Duration::from_millis(10)).await;
        }
        // Killed: it does not say goodbye.
        std::mem::forget(governor);
    }
    let most = most_within(starts, 60_000);
    assert!(most <= 450, "{most} requests in a minute");
}

#[tokio::test]
async fn r02_a_gate_of_a_process_that_died_is_free_when_its_time_is_over() {
    let bench = Bench::new();
    let dead = bench.governor(Limits::default()).await;
    let permit = dead.admit(Traffic::Edit).await.unwrap();
    std::mem::forget(permit);
    let living = bench.governor(Limits::default()).await;
    let at = bench.insist(&living, Traffic::Edit.into(), Duration::ZERO).await;
    assert!((30_000..31_000).contains(&at), "{at}");
}

#[tokio::test]
async fn one_process_alone_asks_the_ledger_once_in_two_seconds() {
    let bench = Bench::new();
    let governor = bench.governor(Limits { points_per_minute: 100_000, ..Limits::default() }).await;
    bench.send(&governor, Traffic::Read, Duration::ZERO).await;
    let before = bench.ledger.touched();
    for _ in 0..1_000 {
        bench.send(&governor, Traffic::Read, Duration::ZERO).await;
    }
    assert_eq!(bench.ledger.touched(), before);
    bench.clock.sleep(seconds(2)).await;
    bench.send(&governor, Traffic::Read, Duration::ZERO).await;
    assert_eq!(bench.ledger.touched(), before + 1);
}

#[tokio::test]
async fn members_and_merges_in_the_record_are_bounded() {
    let (mut record, now) = (Record::default(), TestClock::START);
    for n in 0..1_000 {
        let member = Member { until: now.plus(seconds(n)), alone: false, usage: Usage::default() };
        record.members.insert(n.to_string(), member);
        record.merges.insert(format!("me/{n}"), now);
    }
    record.tidy(now);
    assert_eq!((record.members.len(), record.merges.len()), (64, 256));
    assert!(record.members.contains_key("999"), "the oldest go");
    assert!(serde_json::to_string(&record).unwrap().len() < 64 << 10);
}
