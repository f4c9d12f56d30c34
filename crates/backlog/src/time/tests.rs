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
