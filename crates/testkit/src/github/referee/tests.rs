use super::*;

const MINUTE: Duration = Duration::from_secs(60);

fn request(at: i64, kind: Kind) -> Request {
    Request {
        arrival: 0,
        method: "POST".to_owned(),
        route: "/issues",
        path: "/issues".to_owned(),
        actor: "bot".to_owned(),
        identity: "bot".to_owned(),
        at: Timestamp(at),
        conditional: false,
        kind,
        status: Some(201),
        executed: true,
        took: Duration::ZERO,
        marker: None,
    }
}

fn judged(arrivals: impl IntoIterator<Item = (i64, Kind)>) -> Vec<String> {
    let mut referee = Referee::default();
    for (at, kind) in arrivals {
        let n = referee.arrive(request(at, kind));
        referee.leave(&n, Timestamp(at), &Verdict { status: Some(200), ..Verdict::default() });
    }
    referee.violations()
}

#[test]
fn published_limits_hold_over_sliding_windows() {
    assert!(judged((0..900).map(|n| (n, Kind::Read))).is_empty());
    assert_eq!(judged((0..901).map(|n| (n, Kind::Read))), ["bot used 901 points in a minute, 900 are allowed"]);
    assert!(judged((0..901).map(|n| (n * 67, Kind::Read))).is_empty(), "spread over more than a minute");
    assert_eq!(judged((0..181).map(|n| (n, Kind::Write))), ["bot used 905 points in a minute, 900 are allowed"]);
    let per_minute = "bot used 81 content-creating requests in a minute, 80 are allowed";
    assert_eq!(judged((0..81).map(|n| (n * 700, Kind::Content))), [per_minute]);
    let per_hour = "bot used 501 content-creating requests in an hour, 500 are allowed";
    assert_eq!(judged((0..501).map(|n| (n * 1000, Kind::Content))), [per_hour]);
}

#[test]
fn more_than_a_hundred_open_requests_are_too_many() {
    let mut referee = Referee::default();
    for _ in 0..101 {
        referee.arrive(request(0, Kind::Read));
    }
    assert_eq!(referee.violations(), ["bot had 101 requests open at once, 100 are allowed"]);
}

#[test]
fn tolerated_late_requests_are_forgiven_once_per_pause() {
    let mut referee = Referee::default();
    referee.tolerate(1);
    let first = referee.arrive(request(0, Kind::Read));
    let pause = Verdict { status: Some(429), silence: Some(MINUTE), ..Verdict::default() };
    referee.leave(&first, Timestamp(0), &pause);
    referee.arrive(request(0, Kind::Read));
    assert!(referee.violations().is_empty());
    referee.arrive(request(59_999, Kind::Read));
    assert_eq!(referee.violations().len(), 1);
    referee.arrive(request(60_000, Kind::Read));
    assert_eq!(referee.violations().len(), 1, "the pause is over");
}

/// Each kind of request up to what is allowed, and one more.
#[test]
fn every_window_is_judged() {
    let table = [
        (Kind::Query, 2_000, 29, "bot used 2001 GraphQL points in a minute, 2000 are allowed"),
        (Kind::Search, 30, 1_900, "bot used 31 searches in a minute, 30 are allowed"),
        (Kind::CodeSearch, 9, 6_600, "bot used 10 code searches in a minute, 9 are allowed"),
        (Kind::Mint, 2_000, 1_700, "bot used 2001 new tokens in an hour, 2000 are allowed"),
        (Kind::ContentMutation, 80, 700, "bot used 81 content-creating requests in a minute, 80 are allowed"),
    ];
    for (kind, allowed, apart, expected) in table {
        assert_eq!(judged((0..allowed).map(|n| (n * apart, kind))), [""; 0], "{kind:?}");
        assert_eq!(judged((0..=allowed).map(|n| (n * apart, kind))), [expected], "{kind:?}");
    }
}

#[test]
fn content_is_counted_for_the_bot_and_points_for_the_actor() {
    let mut referee = Referee::default();
    for n in 0..1_800 {
        let actor = format!("installation {}", n % 2);
        referee.arrive(Request { actor, ..request(n, Kind::Read) });
    }
    let open = |violation: &String| !violation.contains("open at once");
    assert_eq!(referee.violations().into_iter().filter(open).count(), 0, "900 each");
    for n in 0..81 {
        let actor = format!("installation {}", n % 2);
        let ticket = referee.arrive(Request { actor, ..request(120_000 + n, Kind::Content) });
        referee.leave(&ticket, Timestamp(120_000 + n), &Verdict::default());
    }
    let last = referee.violations().pop().expect("one too many");
    assert_eq!(last, "bot used 81 content-creating requests in a minute, 80 are allowed");
}

#[test]
fn answers_are_work() {
    let table = [
        (Kind::Read, 4, 22_500, vec![]),
        (Kind::Read, 4, 22_501, vec!["bot used 90004 milliseconds of answers in a minute, 90000 are allowed"]),
        (Kind::Query, 2, 30_000, vec![]),
        (Kind::Query, 2, 30_001, vec!["bot used 60002 milliseconds of GraphQL answers in a minute, 60000 are allowed"]),
    ];
    for (kind, requests, took, expected) in table {
        let mut referee = Referee::default();
        for _ in 0..requests {
            let ticket = referee.arrive(request(0, kind));
            referee.leave(&ticket, Timestamp(took), &Verdict::default());
        }
        assert_eq!(referee.violations(), expected, "{kind:?} {took}");
    }
}

#[test]
fn an_empty_budget_closes_its_resource_only() {
    let mut referee = Referee::default();
    let empty = Verdict { empty_until: Some(Timestamp(60_000)), ..Verdict::default() };
    let ticket = referee.arrive(request(0, Kind::Search));
    referee.leave(&ticket, Timestamp(0), &empty);
    referee.arrive(request(1, Kind::Read));
    assert_eq!(referee.violations(), [""; 0]);
    referee.arrive(request(1, Kind::Search));
    assert!(referee.violations()[0].contains("although the budget was used up"));
}

#[test]
fn blocked_content_closes_it_for_the_whole_bot() {
    let mut referee = Referee::default();
    let blocked = Verdict { no_content: Some(MINUTE), ..Verdict::default() };
    let ticket = referee.arrive(request(0, Kind::Content));
    referee.leave(&ticket, Timestamp(0), &blocked);
    referee.arrive(Request { actor: "installation 2".to_owned(), ..request(1, Kind::Read) });
    assert_eq!(referee.violations(), [""; 0]);
    referee.arrive(Request { actor: "installation 2".to_owned(), ..request(1, Kind::Content) });
    assert!(referee.violations()[0].contains("although making content was blocked"));
}

#[test]
fn writes_come_one_at_a_time_and_apart_where_that_is_demanded() {
    let mut referee = Referee::default();
    referee.demand_manners(Duration::from_secs(1));
    let first = referee.arrive(request(0, Kind::Write));
    referee.arrive(request(500, Kind::Read));
    referee.leave(&first, Timestamp(500), &Verdict::default());
    let second = referee.arrive(request(1_000, Kind::Content));
    assert_eq!(referee.violations(), [""; 0]);
    referee.arrive(request(2_000, Kind::Write));
    assert!(referee.violations()[0].contains("was a second write at once"));
    referee.leave(&second, Timestamp(2_000), &Verdict::default());
    referee.arrive(request(2_900, Kind::Write));
    assert!(referee.violations().last().is_some_and(|last| last.contains("came 900ms after the write before")));
}

#[test]
fn a_shortened_log_forgets_requests_and_no_rule() {
    let mut referee = Referee::default();
    referee.keep(10);
    for n in 0..901 {
        let ticket = referee.arrive(request(n, Kind::Read));
        referee.leave(&ticket, Timestamp(n), &Verdict { status: Some(200), ..Verdict::default() });
    }
    assert_eq!((referee.log().len(), referee.arrivals()), (10, 901));
    assert_eq!(referee.log()[9].arrival, 901);
    assert_eq!(referee.violations(), ["bot used 901 points in a minute, 900 are allowed"]);
}
