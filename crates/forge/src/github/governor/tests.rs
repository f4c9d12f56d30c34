use std::sync::Arc;

use testkit::clock::TestClock;

use super::*;
use crate::github::tests::{MemoryLedger, VirtualSleep, seconds};

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap())).collect()
}

struct Bench {
    governor: Governor,
    clock: Arc<TestClock>,
    ledger: Arc<MemoryLedger>,
}

fn bench(limits: Limits) -> Bench {
    let (clock, ledger) = (TestClock::new(), Arc::new(MemoryLedger::default()));
    let governor = Governor::new(limits, ledger.clone(), clock.clone(), Arc::new(VirtualSleep(clock.clone())));
    Bench { governor, clock, ledger }
}

impl Bench {
    /// Milliseconds since the start at which a request of this kind is let go.
    async fn go(&self, traffic: Traffic) -> u128 {
        self.governor.admit(traffic).await.unwrap_or_else(|failure| panic!("{failure:?}"));
        self.clock.now().since(TestClock::START).as_millis()
    }
}

#[tokio::test]
async fn r19_writes_keep_their_distance_and_reads_need_none() {
    let bench = bench(Limits::default());
    let mut at = Vec::new();
    for traffic in
        [Traffic::Edit, Traffic::Edit, Traffic::Read, Traffic::Notice, Traffic::Edit, Traffic::NewPull, Traffic::Read]
    {
        at.push(bench.go(traffic).await);
    }
    assert_eq!(at, [0, 1000, 1000, 2000, 3000, 5000, 5000]);
}

#[tokio::test]
async fn r19_writes_are_serial() {
    let bench = bench(Limits::default());
    let first = bench.governor.admit(Traffic::Edit).await;
    let second = tokio::time::timeout(Duration::from_millis(20), bench.governor.admit(Traffic::Edit)).await;
    assert!(second.is_err(), "the second write waits for the first");
    assert!(bench.governor.admit(Traffic::Read).await.is_ok(), "reads do not");
    drop(first);
    assert!(bench.governor.admit(Traffic::Edit).await.is_ok());
}

#[tokio::test]
async fn r18_no_more_than_the_slots_are_under_way() {
    let bench = bench(Limits { concurrency: 2, ..Limits::default() });
    let _held = (bench.governor.admit(Traffic::Read).await, bench.governor.admit(Traffic::Read).await);
    assert!(tokio::time::timeout(Duration::from_millis(20), bench.governor.admit(Traffic::Read)).await.is_err());
}

#[tokio::test]
async fn r20_content_has_a_budget_a_minute_and_an_hour_that_survives_a_restart() {
    let limits = Limits { notice_spacing: Duration::ZERO, write_spacing: Duration::ZERO, ..Limits::default() };
    let mut bench = bench(limits.clone());
    bench.governor.remember_under("user".to_owned()).await.unwrap();
    let mut sent = 0;
    let until = loop {
        match bench.governor.admit(Traffic::Notice).await {
            Ok(_) => sent += 1,
            Err(Failure::Limited { until }) if sent % 40 == 0 && sent < 300 => bench.clock.set(until),
            Err(Failure::Limited { until }) => break until,
            Err(other) => panic!("{other:?}"),
        }
    };
    assert_eq!((sent, until), (300, TestClock::START.plus(HOUR)));
    let governor =
        Governor::new(limits, bench.ledger.clone(), bench.clock.clone(), Arc::new(VirtualSleep(bench.clock.clone())));
    bench.governor = governor;
    bench.governor.remember_under("user".to_owned()).await.unwrap();
    assert!(matches!(bench.governor.admit(Traffic::Notice).await, Err(Failure::Limited { .. })));
    assert!(bench.governor.admit(Traffic::Edit).await.is_ok());
}

#[tokio::test]
async fn r20_pull_requests_have_their_own_budget() {
    let bench = bench(Limits { pulls_per_hour: 2, ..Limits::default() });
    bench.go(Traffic::NewPull).await;
    bench.go(Traffic::NewPull).await;
    assert!(matches!(bench.governor.admit(Traffic::NewPull).await, Err(Failure::Limited { .. })));
    bench.go(Traffic::Notice).await;
}

#[tokio::test]
async fn r03_late_answers_never_raise_what_is_left() {
    let bench = bench(Limits::default());
    let reset = TestClock::START.plus(HOUR).0 / 1000;
    for (remaining, reset, expected) in
        [(100, reset, 100), (90, reset, 90), (95, reset, 90), (4999, reset + 3600, 4999), (1, reset, 4999)]
    {
        let (remaining, reset) = (remaining.to_string(), reset.to_string());
        let given = headers(&[
            ("x-ratelimit-limit", "5000"),
            ("x-ratelimit-remaining", &remaining),
            ("x-ratelimit-reset", &reset),
            ("x-ratelimit-resource", "core"),
        ]);
        bench.governor.observe(StatusCode::OK, &given).await.unwrap();
        assert_eq!(bench.governor.view()[0].remaining, expected);
    }
}

#[tokio::test]
async fn r06_a_success_that_used_the_last_call_closes_the_bucket() {
    let bench = bench(Limits::default());
    let reset = (TestClock::START.plus(seconds(100)).0 / 1000).to_string();
    let given = headers(&[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", &reset)]);
    bench.governor.observe(StatusCode::OK, &given).await.unwrap();
    match bench.governor.admit(Traffic::Read).await {
        Err(Failure::Limited { until }) => assert!((101..=131).contains(&until.since(TestClock::START).as_secs())),
        _ => panic!("the bucket is open"),
    }
}

#[tokio::test]
async fn r15_after_a_pause_one_request_goes_ahead_alone() {
    let bench = bench(Limits::default());
    let permit = bench.governor.admit(Traffic::Read).await.unwrap();
    bench.governor.limited(Limit::Pause(seconds(3)), &HeaderMap::new(), &permit).await.unwrap();
    drop(permit);
    let probe = bench.governor.admit(Traffic::Read).await.unwrap();
    assert!(bench.clock.now() >= TestClock::START.plus(seconds(3)), "a short pause is slept");
    assert!(tokio::time::timeout(Duration::from_millis(20), bench.governor.admit(Traffic::Read)).await.is_err());
    bench.governor.succeeded(&probe).await.unwrap();
    drop(probe);
    let _both =
        (bench.governor.admit(Traffic::Read).await.unwrap(), bench.governor.admit(Traffic::Read).await.unwrap());
}

#[tokio::test]
async fn resources_are_bounded() {
    let bench = bench(Limits::default());
    for n in 0..100 {
        let name = format!("resource-{n}");
        let given =
            headers(&[("x-ratelimit-remaining", "1"), ("x-ratelimit-reset", "1"), ("x-ratelimit-resource", &name)]);
        bench.governor.observe(StatusCode::OK, &given).await.unwrap();
    }
    assert_eq!(bench.governor.view().len(), RESOURCES + 1);
}
