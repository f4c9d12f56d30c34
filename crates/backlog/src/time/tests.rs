use rstest::rstest;

use super::*;

#[rstest]
#[case("2026-11-23T16:40:00Z", Some("2026-11-23T16:40:00Z"))]
#[case("2026-11-23T16:40:00.987Z", Some("2026-11-23T16:40:00Z"))]
#[case("2026-11-23T17:40:00+01:00", Some("2026-11-23T16:40:00Z"))]
#[case("1969-12-31T23:59:59Z", Some("1969-12-31T23:59:59Z"))]
#[case("2024-02-29T00:00:00Z", Some("2024-02-29T00:00:00Z"))]
#[case("2026-02-29T00:00:00Z", None)]
#[case("2026-11-23T16:40:00", None)]
#[case("2026-11-23", None)]
#[case("yesterday", None)]
#[case("", None)]
fn a_time_is_read_and_shown_in_utc(#[case] text: &str, #[case] shown: Option<&str>) {
    assert_eq!(Timestamp::parse_rfc3339(text).map(|at| at.to_string()).as_deref(), shown, "{text}");
}

#[test]
fn milliseconds_are_kept_and_the_extremes_are_shown_too() {
    assert_eq!(Timestamp::parse_rfc3339("1970-01-01T00:00:01.5Z"), Some(Timestamp(1_500)));
    assert_eq!(Timestamp(i64::MAX).to_string(), "9223372036854775807 ms");
    assert_eq!(Timestamp(i64::MIN).to_string(), "-9223372036854775808 ms");
    assert_eq!(serde_json::to_string(&Timestamp(5)).unwrap(), "5");
}

#[test]
fn counting_with_time_saturates() {
    let (first, last) = (Timestamp(i64::MIN), Timestamp(i64::MAX));
    assert_eq!(last.plus(Duration::from_millis(1)), last);
    assert_eq!(first.plus(Duration::MAX), Timestamp(-1));
    assert_eq!(last.since(first), Duration::from_millis(i64::MAX.unsigned_abs()));
    assert_eq!(first.since(last), Duration::ZERO);
    assert_eq!(Timestamp(0).since(Timestamp(1)), Duration::ZERO);
    let day = 86_400_000;
    assert_eq!([day - 1, day, 2 * day].map(|ms| Timestamp(ms).days_since(Timestamp(0))), [0, 1, 2]);
    assert_eq!(Timestamp(0).days_since(Timestamp(day)), 0);
}

#[rstest]
#[case("2027-01-31", true)]
#[case("2028-02-29", true)]
#[case("2027-02-29", false)]
#[case("2027-13-01", false)]
#[case("2027-1-31", false)]
#[case("20270131", false)]
#[case("2027-01-31T00:00:00", false)]
#[case("-2027-01-3", false)]
#[case("", false)]
fn a_day_is_read_only_as_it_is_shown(#[case] text: &str, #[case] fits: bool) {
    let day = text.parse::<Day>();
    assert_eq!(day.as_ref().map(Day::to_string).ok().as_deref(), fits.then_some(text), "{day:?}");
    assert_eq!(serde_json::from_value::<Day>(serde_json::json!(text)).ok(), day.ok());
}

#[test]
fn days_begin_at_midnight_in_utc() {
    let day = |text: &str| text.parse::<Day>().unwrap();
    let of = |text: &str| Day::of(Timestamp::parse_rfc3339(text).unwrap());
    assert_eq!((of("2027-01-31T23:59:59Z"), of("2027-02-01T00:00:00Z")), (day("2027-01-31"), day("2027-02-01")));
    assert_eq!(day("2028-03-01").days_since(day("2028-02-28")), 2);
    assert_eq!(day("2028-02-28").days_since(day("2028-03-01")), 0);
    assert!(
        Day::of(Timestamp(i64::MIN)) < Day::of(Timestamp(0)) && Day::of(Timestamp(0)) < Day::of(Timestamp(i64::MAX))
    );
    assert!(Day::of(Timestamp(i64::MAX)).days_since(Day::of(Timestamp(i64::MIN))) > 7_000_000);
}
