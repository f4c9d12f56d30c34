//! R7 to R15, R24 and R34: what limits silence, and how it goes on.

use super::*;

impl Bench {
    /// A request that meets a limit; gives the time until which it holds, and whether it was one too many.
    async fn meet(&self, governor: &Governor, ask: impl Into<Ask>, limit: Limit) -> (u64, bool) {
        let permit = governor.admit(ask).await.unwrap_or_else(|failure| panic!("{failure:?}"));
        let (until, one_too_many) = governor.limited(limit, &HeaderMap::new(), &permit).await.unwrap();
        (u64::try_from(until.since(TestClock::START).as_millis()).unwrap(), one_too_many)
    }
}

#[tokio::test]
async fn r07_retry_after_silences_the_actor() {
    let bench = Bench::new();
    let governor = bench.governor(Limits::default()).await;
    let (until, _) = bench.meet(&governor, Traffic::Read, Limit::Pause(seconds(30))).await;
    assert!((30_000..=33_000).contains(&until), "{until}");
    let asks = [Resource::Core, Resource::Graphql, Resource::Search].map(|it| Ask::of(Traffic::Read, it));
    for ask in asks.into_iter().chain([Traffic::Edit.into(), urgently(Traffic::Read)]) {
        assert_eq!(bench.refused(&governor, ask).await, Some(until));
    }
}

#[tokio::test]
async fn r08_an_empty_resource_silences_itself_only() {
    let bench = Bench::new();
    let governor = bench.governor(Limits::default()).await;
    let empty = Limit::Empty(TestClock::START.plus(seconds(50)));
    let search = Ask::of(Traffic::Read, Resource::Search);
    assert_eq!(bench.meet(&governor, search.clone(), empty).await.0, 51_000);
    assert_eq!(bench.refused(&governor, search).await, Some(51_000));
    assert_eq!(bench.refused(&governor, Traffic::Read).await, None);
}

#[tokio::test]
async fn r09_pauses_without_a_number_double_and_the_fifth_fails_the_job() {
    let bench = Bench::new();
    let governor = bench.governor(Limits::default()).await;
    for (wait, last) in [(60, false), (120, false), (240, false), (480, false), (960, true)] {
        let now = bench.at();
        assert_eq!(bench.meet(&governor, Traffic::Read, Limit::Secondary).await, (now + wait * 1_000, last));
        bench.clock.sleep(seconds(wait)).await;
    }
    bench.send(&governor, Traffic::Read, Duration::ZERO).await;
    bench.clock.sleep(seconds(60)).await;
    let now = bench.at();
    assert_eq!(bench.meet(&governor, Traffic::Read, Limit::Secondary).await, (now + 60_000, false), "anew");
}

#[tokio::test]
async fn r09_those_in_flight_together_are_one_event() {
    let bench = Bench::new();
    let governor = bench.governor(Limits::default()).await;
    let in_flight = join_all((0..10).map(|_| governor.admit(Traffic::Read))).await;
    for permit in &in_flight {
        let permit = permit.as_ref().unwrap();
        let (until, last) = governor.limited(Limit::Secondary, &HeaderMap::new(), permit).await.unwrap();
        assert_eq!((until, last), (TestClock::START.plus(seconds(60)), false));
    }
}

#[tokio::test]
async fn r12_too_much_content_silences_the_voice_longer_than_the_actor() {
    let bench = Bench::new();
    let governor = bench.governor(Limits::default()).await;
    for minutes in [15, 30, 60, 60] {
        let now = bench.at();
        let (until, _) = bench.meet(&governor, Traffic::Notice, Limit::Content(None)).await;
        assert_eq!(until, now + minutes * 60_000);
        assert_eq!(bench.refused(&governor, Traffic::Read).await, Some(now + 60_000));
        bench.clock.sleep(seconds(60)).await;
        bench.send(&governor, Traffic::Read, Duration::ZERO).await;
        assert_eq!(bench.refused(&governor, Traffic::Notice).await, Some(until));
        bench.clock.sleep(seconds(60 * minutes)).await;
    }
    bench.send(&governor, Traffic::Notice, Duration::ZERO).await;
    bench.clock.sleep(seconds(9)).await;
    let now = bench.at();
    assert_eq!(bench.meet(&governor, Traffic::Notice, Limit::Content(None)).await.0, now + 15 * 60_000, "anew");
}

#[tokio::test]
async fn r12_a_longer_retry_after_counts() {
    let bench = Bench::new();
    let governor = bench.governor(Limits::default()).await;
    let (until, _) = bench.meet(&governor, Traffic::Notice, Limit::Content(Some(seconds(7_200)))).await;
    assert_eq!(until, 7_200_000);
    assert_eq!(bench.refused(&governor, Traffic::Read).await, Some(7_200_000));
}

#[tokio::test]
async fn r14_pauses_survive_a_restart() {
    let bench = Bench::new();
    let governor = bench.governor(Limits::default()).await;
    let (until, _) = bench.meet(&governor, Traffic::Read, Limit::Pause(seconds(300))).await;
    drop(governor);
    let again = bench.governor(Limits::default()).await;
    assert_eq!(bench.refused(&again, Traffic::Read).await, Some(until));
}

#[tokio::test]
async fn r14_a_caller_that_goes_away_does_not_take_the_pause_along() {
    let bench = Bench::new();
    let governor = bench.governor(Limits::default()).await;
    let permit = governor.admit(Traffic::Read).await.unwrap();
    {
        let (pause, no_headers) = (Limit::Pause(seconds(300)), HeaderMap::new());
        let mut limited = std::pin::pin!(governor.limited(pause, &no_headers, &permit));
        assert!(futures::poll!(&mut limited).is_pending());
    }
    drop(permit);
    tokio::task::yield_now().await;
    assert!(bench.refused(&governor, Traffic::Read).await.is_some());
}

/// A thousand wait behind a pause: one goes ahead, then 1, 2, 4 a second, and then as fast as always.
#[tokio::test]
async fn r15_after_a_pause_one_request_goes_ahead_and_the_rate_doubles() {
    let bench = Bench::new();
    let governor = bench.governor(Limits::default()).await;
    let (until, _) = bench.meet(&governor, Traffic::Read, Limit::Empty(TestClock::START.plus(seconds(3)))).await;
    let takes = Duration::from_millis(50);
    let mut starts = join_all((0..1_000).map(|_| bench.insist(&governor, Traffic::Read.into(), takes))).await;
    starts.sort_unstable();
    assert_eq!(starts[0], until);
    assert_eq!(starts[1], until + 50, "the second waits for the first one's answer");
    let open = starts[1];
    let within =
        |from: u64, to: u64| starts.iter().filter(|at| (open + from * 1_000..open + to * 1_000).contains(at)).count();
    assert_eq!((within(0, 10), within(10, 20), within(20, 30)), (10, 20, 40));
    assert!(within(30, 40) > 200, "{}", within(30, 40));
}

#[tokio::test]
async fn r15_those_who_were_stopped_go_on_in_random_order() {
    let bench = Bench::new();
    let governor = bench.governor(Limits::default()).await;
    bench.meet(&governor, Traffic::Read, Limit::Pause(seconds(3))).await;
    let order = Mutex::new(Vec::new());
    let wait = async |n: usize| {
        bench.insist(&governor, Traffic::Read.into(), Duration::ZERO).await;
        order.lock().unwrap().push(n);
    };
    join_all((0..100).map(wait)).await;
    let mut order = order.into_inner().unwrap();
    assert!(!order.is_sorted(), "once in 100! tries this is chance");
    order.sort_unstable();
    assert!(order.into_iter().eq(0..100), "nobody is forgotten");
}

#[tokio::test]
async fn r15_a_probe_that_breaks_is_followed_by_another() {
    let bench = Bench::new();
    let governor = bench.governor(Limits::default()).await;
    bench.meet(&governor, Traffic::Read, Limit::Pause(seconds(3))).await;
    let probe = governor.admit(Traffic::Read).await.unwrap();
    governor.stumbled(&probe, Some(StatusCode::BAD_GATEWAY));
    let second = async {
        let at = bench.send(&governor, Traffic::Read, Duration::ZERO).await;
        assert!(at >= 6_000, "it waits for the probe");
    };
    let first = async {
        bench.clock.sleep(seconds(3)).await;
        drop(probe);
    };
    futures::future::join(first, second).await;
}

#[tokio::test]
async fn r24_the_delay_between_tries_is_random_and_bounded() {
    let bench = Bench::new();
    let governor = bench.governor(Limits::default()).await;
    for (n, most) in [(1, 2_000), (2, 4_000), (3, 8_000), (5, 30_000), (40, 30_000)] {
        let before = bench.at();
        governor.back_off(n).await;
        assert!(bench.at() - before <= most);
    }
    assert_eq!(Limits::default().tries, 4);
}

#[tokio::test]
async fn r34_a_host_that_mostly_fails_is_let_be_for_a_minute() {
    let bench = Bench::new();
    let governor = bench.governor(Limits::default()).await;
    for bad in [true, false].repeat(9) {
        let permit = governor.admit(Traffic::Read).await.unwrap();
        if bad {
            governor.stumbled(&permit, Some(StatusCode::INTERNAL_SERVER_ERROR));
        } else {
            governor.succeeded(&permit).await.unwrap();
        }
    }
    for _ in 0..2 {
        let permit = governor.admit(Traffic::Read).await.unwrap();
        governor.stumbled(&permit, None);
    }
    assert_eq!(bench.refused(&governor, Traffic::Read).await, Some(60_000));
    bench.clock.sleep(seconds(60)).await;
    assert_eq!(bench.refused(&governor, Traffic::Read).await, None);
}
