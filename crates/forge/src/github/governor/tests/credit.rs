//! R1 to R6: whose budget, and how it is spent.

use super::*;

#[tokio::test]
async fn r01_two_tokens_of_one_actor_share_everything() {
    let bench = Bench::new();
    let (one, two) =
        (bench.governor_of("token:a", Limits::default()).await, bench.governor_of("token:b", Limits::default()).await);
    for governor in [&one, &two] {
        bench.send(governor, Traffic::Read, Duration::ZERO).await;
        governor.remember_under("user:7".to_owned()).await.unwrap();
    }
    let permit = one.admit(Traffic::Read).await.unwrap();
    one.limited(Limit::Pause(seconds(600)), &HeaderMap::new(), &permit).await.unwrap();
    assert!(bench.refused(&two, Traffic::Read).await.is_some());
    let restarted = bench.governor_of("token:a", Limits::default()).await;
    assert!(bench.refused(&restarted, Traffic::Read).await.is_some(), "the token's record leads to the user's");
}

#[tokio::test]
async fn r03_late_answers_never_raise_what_is_left() {
    let bench = Bench::new();
    let governor = bench.governor(Limits::default()).await;
    let reset = TestClock::START.plus(HOUR);
    let next = reset.plus(HOUR);
    for (remaining, reset, expected) in [
        (4_100, reset, 4_100),
        (4_090, reset, 4_090),
        (4_095, reset, 4_090),
        (4_096, reset.plus(seconds(1)), 4_090),
        (4_999, next, 4_999),
        (3_000, reset, 4_999),
    ] {
        let permit = governor.admit(Traffic::Read).await.unwrap();
        governor.observe(&permit, StatusCode::NOT_MODIFIED, &told(5_000, remaining, reset)).await.unwrap();
        assert_eq!(governor.view()[0].remaining, expected);
    }
}

#[tokio::test]
async fn r03_the_resource_is_what_the_host_calls_it() {
    let bench = Bench::new();
    let governor = bench.governor(Limits::default()).await;
    let permit = governor.admit(Ask::of(Traffic::Read, Resource::Search)).await.unwrap();
    let reset = (TestClock::START.plus(seconds(60)).0 / 1000).to_string();
    let given = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", &reset), ("x-ratelimit-resource", "search_two")];
    governor.observe(&permit, StatusCode::OK, &headers(&given)).await.unwrap();
    drop(permit);
    assert!(bench.refused(&governor, Ask::of(Traffic::Read, Resource::Search)).await.is_some());
    assert!(bench.refused(&governor, Traffic::Read).await.is_none());
}

#[tokio::test]
async fn r04_background_work_stops_at_a_fifth_and_a_person_goes_on_to_the_last() {
    let bench = Bench::new();
    let governor = bench.governor(Limits::default()).await;
    let permit = governor.admit(Traffic::Read).await.unwrap();
    let reset = TestClock::START.plus(seconds(100));
    governor.observe(&permit, StatusCode::OK, &told(5_000, 1_000, reset)).await.unwrap();
    drop(permit);
    assert_eq!(bench.refused(&governor, Traffic::Read).await, Some(101_000));
    assert_eq!(urgent(bench.refused(&governor, urgently(Traffic::Read))).await, None);
    let permit = governor.admit(urgently(Traffic::Read)).await.unwrap();
    governor.observe(&permit, StatusCode::FORBIDDEN, &told(5_000, 0, reset)).await.unwrap();
    assert_eq!(bench.refused(&governor, urgently(Traffic::Read)).await, Some(101_000));
}

#[tokio::test]
async fn r04_who_a_person_waits_for_overtakes() {
    let bench = Bench::new();
    let governor = bench.governor(Limits { concurrency: 1, concurrency_most: 1, ..Limits::default() }).await;
    let background = join_all((0..20).map(|_| bench.send(&governor, Traffic::Read, seconds(1))));
    let person = async {
        bench.clock.sleep(Duration::from_millis(1_500)).await;
        urgent(bench.send(&governor, Traffic::Read, seconds(1))).await
    };
    let (_, at) = futures::future::join(background, person).await;
    assert_eq!(at, 2_000);
}

#[tokio::test]
async fn r05_half_a_window_runs_freely_and_the_rest_is_spread_over_its_time() {
    let bench = Bench::new();
    let governor = bench.governor(Limits { points_per_minute: 900, ..Limits::default() }).await;
    let reset = TestClock::START.plus(HOUR);
    let left = std::cell::Cell::new(2_600_u64);
    let read = async || {
        let permit = governor.admit(urgently(Traffic::Read)).await.ok()?;
        let at = bench.at();
        left.set(left.get() - 1);
        governor.observe(&permit, StatusCode::OK, &told(5_000, left.get(), reset)).await.unwrap();
        Some(at)
    };
    for _ in 0..100 {
        assert_eq!(read().await, Some(0), "above half");
    }
    let mut spread = Vec::new();
    for _ in 0..100 {
        spread.push(read().await.expect("the waits are short"));
    }
    assert_eq!(spread.iter().filter(|at| **at == 0).count(), 20, "the burst");
    let seconds_between = 3_600.0 / 2_480.0;
    let last = *spread.last().unwrap() as f64 / 1_000.0;
    assert!((last / 80.0 / seconds_between - 1.0).abs() < 0.05, "{last} s for 80");
}

#[tokio::test]
async fn r06_a_success_that_used_the_last_call_closes_the_bucket() {
    let bench = Bench::new();
    let governor = bench.governor(Limits::default()).await;
    let permit = governor.admit(Traffic::Read).await.unwrap();
    governor.observe(&permit, StatusCode::OK, &told(5_000, 0, TestClock::START.plus(seconds(100)))).await.unwrap();
    drop(permit);
    let until = bench.refused(&governor, urgently(Traffic::Read)).await.unwrap();
    assert!((101_000..=131_000).contains(&until), "{until}");
    assert!(bench.refused(&governor, Ask::of(Traffic::Read, Resource::Graphql)).await.is_none());
}

#[tokio::test]
async fn resources_are_bounded() {
    let bench = Bench::new();
    let governor = bench.governor(Limits::default()).await;
    for n in 0..100 {
        let permit = governor.admit(Traffic::Read).await.unwrap();
        let name = format!("resource-{n}");
        let given = [("x-ratelimit-remaining", "1"), ("x-ratelimit-reset", "1"), ("x-ratelimit-resource", &name)];
        governor.observe(&permit, StatusCode::OK, &headers(&given)).await.unwrap();
    }
    assert_eq!(governor.view().iter().filter(|view| view.resource.starts_with("resource-")).count(), RESOURCES);
}
