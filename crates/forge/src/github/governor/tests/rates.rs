//! R16 to R22: paces.

use super::*;

#[tokio::test]
async fn r16_points_of_a_minute_are_bounded_and_writes_cost_five() {
    let bench = Bench::new();
    let governor = bench.governor(Limits::default()).await;
    let reads = join_all((0..1_000).map(|_| bench.insist(&governor, Traffic::Read.into(), Duration::ZERO))).await;
    assert_eq!(most_within(reads, 60_000), 450);
    let graphql = Ask::of(Traffic::Read, Resource::Graphql);
    let queries = join_all((0..1_500).map(|_| bench.insist(&governor, graphql.clone(), Duration::ZERO))).await;
    assert_eq!(most_within(queries, 60_000), 1_000, "GraphQL has its own pool");
    let fast = Limits { points_per_minute: 50, write_spacing: Duration::ZERO, ..Limits::default() };
    let governor = bench.governor_of("another", fast).await;
    let writes = join_all((0..40).map(|_| bench.insist(&governor, Traffic::Edit.into(), Duration::ZERO))).await;
    assert_eq!(most_within(writes, 60_000), 10);
}

#[tokio::test]
async fn r17_the_sum_of_response_times_is_bounded() {
    let bench = Bench::new();
    let governor = bench.governor(Limits::default()).await;
    let rest = join_all((0..300).map(|_| bench.insist(&governor, Traffic::Read.into(), seconds(1)))).await;
    let most = most_within(rest, 60_000);
    assert!((40..=46).contains(&most), "{most} seconds of work in a minute");
    let graphql = Ask::of(Traffic::Read, Resource::Graphql);
    bench.clock.sleep(seconds(61)).await;
    let queries = join_all((0..200).map(|_| bench.insist(&governor, graphql.clone(), seconds(1)))).await;
    let most = most_within(queries, 60_000);
    assert!((25..=31).contains(&most), "{most} seconds of GraphQL in a minute");
}

#[tokio::test]
async fn r18_concurrency_starts_at_ten_grows_to_its_bound_and_halves_on_a_timeout() {
    let bench = Bench::new();
    let governor = bench.governor(Limits { points_per_minute: 900, ..Limits::default() }).await;
    let slots = || governor.0.local().pools.slots;
    let first: Vec<u64> = join_all((0..11).map(|_| bench.send(&governor, Traffic::Read, seconds(1)))).await;
    assert_eq!(first.iter().filter(|at| **at == 0).count(), 10, "the eleventh waits");
    for _ in 0..600 {
        bench.insist(&governor, Traffic::Read.into(), Duration::ZERO).await;
    }
    assert_eq!(slots(), 25);
    let (one, two) = (governor.admit(Traffic::Read).await.unwrap(), governor.admit(Traffic::Read).await.unwrap());
    governor.stumbled(&one, None);
    governor.stumbled(&two, Some(StatusCode::BAD_GATEWAY));
    assert_eq!(slots(), 12, "both of one moment count once");
    let three = governor.admit(Traffic::Read).await.unwrap();
    governor.stumbled(&three, Some(StatusCode::INTERNAL_SERVER_ERROR));
    assert_eq!(slots(), 12, "a 500 says nothing of load");
}

#[tokio::test]
async fn r18_no_setting_goes_above_the_published_ceiling() {
    let limits = Limits { concurrency: 1_000, concurrency_most: 1_000, ..Limits::default() }.sane();
    assert_eq!((limits.concurrency, limits.concurrency_most), (100, 100));
    let limits = Limits { concurrency: 0, concurrency_most: 0, ..Limits::default() }.sane();
    assert_eq!((limits.concurrency, limits.concurrency_most), (1, 1));
}

#[tokio::test]
async fn r19_writes_keep_their_distance_and_reads_need_none() {
    let bench = Bench::new();
    let governor = bench.governor(Limits::default()).await;
    let mut at = Vec::new();
    for traffic in
        [Traffic::Edit, Traffic::Edit, Traffic::Read, Traffic::Notice, Traffic::Edit, Traffic::NewPull, Traffic::Read]
    {
        at.push(bench.send(&governor, traffic, Duration::ZERO).await);
    }
    assert_eq!(at, [0, 1000, 1000, 2000, 3000, 5000, 5000]);
}

#[tokio::test]
async fn r19_writes_are_serial() {
    let bench = Bench::new();
    let governor = bench.governor(Limits::default()).await;
    let write = || bench.send(&governor, Traffic::Edit, seconds(4));
    let (mut writes, read) =
        futures::future::join(join_all((0..3).map(|_| write())), bench.send(&governor, Traffic::Read, Duration::ZERO))
            .await;
    writes.sort_unstable();
    assert_eq!(writes, [0, 4_000, 8_000]);
    assert_eq!(read, 0, "reads need not wait for them");
}

#[tokio::test]
async fn r20_content_has_a_budget_a_minute_and_an_hour_that_survives_a_restart() {
    let bench = Bench::new();
    let limits = Limits { notice_spacing: Duration::ZERO, write_spacing: Duration::ZERO, ..Limits::default() };
    let governor = bench.governor(limits.clone()).await;
    let mut sent = Vec::new();
    for _ in 0..300 {
        sent.push(bench.insist(&governor, Traffic::Notice.into(), Duration::ZERO).await);
    }
    assert_eq!(
        (most_within(sent.clone(), 60_000), bench.refused(&governor, Traffic::Notice).await),
        (40, Some(3_600_000))
    );
    drop(governor);
    let again = bench.governor(limits).await;
    assert!(bench.refused(&again, Traffic::Notice).await.is_some());
    assert!(bench.refused(&again, Traffic::Edit).await.is_none());
}

#[tokio::test]
async fn r20_all_installations_of_an_app_speak_with_one_voice() {
    let bench = Bench::new();
    let limits = Limits { content_per_minute: 5, ..Limits::default() };
    let (one, two) = (bench.governor_of("1", limits.clone()).await, bench.governor_of("2", limits).await);
    one.speak_as("app");
    two.speak_as("app");
    let sends = (0..10).map(|n| bench.insist([&one, &two][n % 2], Traffic::Notice.into(), Duration::ZERO));
    assert_eq!(most_within(join_all(sends).await, 60_000), 5);
}

#[tokio::test]
async fn r20_the_budget_of_pull_requests_halves_on_a_limit_and_grows_by_a_tenth_an_hour() {
    let bench = Bench::new();
    let governor = bench.governor(Limits { pulls_per_hour: 10, ..Limits::default() }).await;
    let pulls = || governor.0.voice.look().pulls_allowed(10, 150, bench.clock.now());
    let mut sent = Vec::new();
    for _ in 0..30 {
        sent.push(bench.insist(&governor, Traffic::NewPull.into(), Duration::ZERO).await);
    }
    assert!(most_within(sent, 3_600_000) <= 12, "ten, eleven, twelve");
    bench.clock.sleep(seconds(2 * 3600)).await;
    let permit = governor.admit(Traffic::NewPull).await.unwrap();
    let before = pulls();
    governor.limited(Limit::Content(None), &HeaderMap::new(), &permit).await.unwrap();
    drop(permit);
    assert_eq!(pulls(), before / 2);
    bench.clock.sleep(seconds(30 * 24 * 3600)).await;
    assert_eq!(pulls(), 150, "up to its bound");
    assert!(bench.refused(&governor, Traffic::Notice).await.is_none());
}

#[tokio::test]
async fn r21_a_repository_is_merged_into_once_a_minute_and_others_meanwhile() {
    let bench = Bench::new();
    let governor = bench.governor(Limits::default()).await;
    let merge = |name: &str| Ask::merge(&name.parse().unwrap());
    assert_eq!(bench.send(&governor, merge("me/app"), Duration::ZERO).await, 0);
    assert_eq!(bench.refused(&governor, merge("me/app")).await, Some(60_000));
    assert_eq!(bench.send(&governor, merge("me/other"), Duration::ZERO).await, 3_000);
    let refused = governor.admit(merge("me/third")).await.unwrap();
    governor.observe(&refused, StatusCode::METHOD_NOT_ALLOWED, &HeaderMap::new()).await.unwrap();
    drop(refused);
    assert!(bench.refused(&governor, merge("me/third")).await.is_none(), "a refused one was none");
}

#[tokio::test]
async fn r22_searches_are_serial_and_spaced() {
    let bench = Bench::new();
    let governor = bench.governor(Limits::default()).await;
    for (resource, spacing) in [(Resource::Search, 2_100), (Resource::CodeSearch, 7_000)] {
        let start = bench.at();
        let ask = Ask::of(Traffic::Read, resource);
        let mut starts = join_all((0..4).map(|_| bench.insist(&governor, ask.clone(), Duration::ZERO))).await;
        starts.sort_unstable();
        assert_eq!(starts, [0, 1, 2, 3].map(|n| start + n * spacing));
    }
    let slow = Ask::of(Traffic::Read, Resource::Search);
    let mut starts = join_all((0..2).map(|_| bench.insist(&governor, slow.clone(), seconds(9)))).await;
    starts.sort_unstable();
    assert_eq!(starts[1] - starts[0], 9_000);
}

#[tokio::test]
async fn r22_an_app_mints_a_thousand_tokens_an_hour_and_needs_no_write_gate() {
    let bench = Bench::new();
    let governor = bench.governor(Limits { mints_per_hour: 20, ..Limits::default() }).await;
    let mints = join_all((0..30).map(|_| bench.insist(&governor, Traffic::Mint.into(), seconds(1)))).await;
    assert_eq!(most_within(mints.clone(), 3_600_000), 20);
    assert_eq!(mints.iter().filter(|at| **at == 0).count(), 10, "side by side");
    assert_eq!(Limits::default().mints_per_hour, 1_000);
}

/// All wait in the line, none is sent away.
fn patient() -> Limits {
    Limits { waiting: 10_000, patience: seconds(1_000_000), ..Limits::default() }
}

#[tokio::test]
async fn r19_ten_thousand_waiting_writes_leave_at_exactly_the_configured_pace() {
    let bench = Bench::new();
    let governor = bench.governor(patient()).await;
    let takes = Duration::from_millis(400);
    let mut starts = join_all((0..10_000).map(|_| bench.insist(&governor, Traffic::Edit.into(), takes))).await;
    starts.sort_unstable();
    assert!(starts == (0..10_000).map(|n| n * 1_000).collect::<Vec<u64>>(), "the last leaves at {:?}", starts.last());
}

#[tokio::test]
async fn r20_ten_thousand_waiting_issues_use_up_each_hour_and_no_more() {
    let bench = Bench::new();
    let limits = patient();
    let (hourly, governor) = (limits.content_per_hour as u64, bench.governor(limits).await);
    let mut starts =
        join_all((0..10_000).map(|_| bench.insist(&governor, Traffic::Notice.into(), Duration::ZERO))).await;
    starts.sort_unstable();
    let planned: Vec<u64> = (0..10_000).map(|n| n / hourly * 3_600_000 + n % hourly * 3_000).collect();
    assert!(starts == planned, "{} an hour; the last one leaves at {:?}", hourly, starts.last());
}

#[tokio::test]
async fn r19_a_late_timer_makes_no_later_write_late_but_a_late_write_starts_anew() {
    let bench = Bench::new();
    let governor = bench.governor(Limits::default()).await;
    bench.send(&governor, Traffic::Edit, Duration::ZERO).await;
    for (at, next) in [(1_004, 2_000), (3_900, 4_900)] {
        bench.clock.sleep(Duration::from_millis(at - bench.at())).await;
        assert_eq!(bench.send(&governor, Traffic::Edit, Duration::ZERO).await, at);
        assert_eq!(bench.send(&governor, Traffic::Edit, Duration::ZERO).await, next);
    }
}
