use proptest::prelude::*;
use rstest::rstest;

use super::*;

fn at(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text).unwrap()
}

#[rstest]
#[case::before("22:00-07:00", "UTC", "2026-11-23T21:59:59Z", None)]
#[case::the_first_minute("22:00-07:00", "UTC", "2026-11-23T22:00:00Z", Some("2026-11-24T07:00:00Z"))]
#[case::after_midnight("22:00-07:00", "UTC", "2026-11-24T06:59:59Z", Some("2026-11-24T07:00:00Z"))]
#[case::the_end_is_not_quiet("22:00-07:00", "UTC", "2026-11-24T07:00:00Z", None)]
#[case::within_a_day("12:00-13:30", "UTC", "2026-11-23T13:00:00Z", Some("2026-11-23T13:30:00Z"))]
#[case::not_the_rest_of_the_day("12:00-13:30", "UTC", "2026-11-23T22:00:00Z", None)]
#[case::in_a_zone("22:00-07:00", "Europe/Berlin", "2026-11-23T21:00:00Z", Some("2026-11-24T06:00:00Z"))]
#[case::in_its_summer("22:00-07:00", "Europe/Berlin", "2026-07-01T20:00:00Z", Some("2026-07-02T05:00:00Z"))]
#[case::clocks_go_forward("22:00-07:00", "Europe/Berlin", "2026-03-28T21:00:00Z", Some("2026-03-29T05:00:00Z"))]
#[case::the_end_is_left_out("01:00-02:30", "Europe/Berlin", "2026-03-29T00:30:00Z", Some("2026-03-29T01:30:00Z"))]
#[case::twice_the_same_hour("01:00-02:30", "Europe/Berlin", "2026-10-25T01:10:00Z", Some("2026-10-25T01:11:00Z"))]
#[case::half_an_hour_off("22:00-07:00", "Asia/Kolkata", "2026-11-23T17:00:00Z", Some("2026-11-24T01:30:00Z"))]
fn quiet_hours_end(#[case] hours: &str, #[case] zone: &str, #[case] now: &str, #[case] end: Option<&str>) {
    let hours: QuietHours = hours.parse().unwrap();
    assert_eq!(hours.end(&zone.parse().unwrap(), at(now)), end.map(at));
}

#[rstest]
#[case("22:00-07:00")]
#[case("00:00-23:59")]
fn quiet_hours_are_written_as_they_were_read(#[case] text: &str) {
    assert_eq!(text.parse::<QuietHours>().unwrap().to_string(), text);
}

#[rstest]
#[case("22-7")]
#[case("7:00-8:00")]
#[case("24:00-07:00")]
#[case("22:00")]
#[case("22:00-22:00")]
#[case("+2:00-07:00")]
#[case("")]
fn what_is_no_daily_time_is_refused(#[case] text: &str) {
    let said = text.parse::<QuietHours>().unwrap_err().to_string();
    assert!(said.ends_with("is not a daily time such as 22:00-07:00"), "{said}");
}

#[test]
fn an_unknown_zone_is_refused_and_a_known_one_is_named() {
    assert_eq!("europe/berlin".parse::<Zone>().unwrap().to_string(), "Europe/Berlin");
    assert_eq!(Zone::default().to_string(), "UTC");
    let said = "Europe/Atlantis".parse::<Zone>().unwrap_err().to_string();
    assert_eq!(said, "`Europe/Atlantis` is not a time zone such as Europe/Berlin or UTC");
}

proptest! {
    #[test]
    fn the_end_is_always_ahead_and_within_a_day(minute in 0i64..600_000, from in 0u32..1_440, length in 1u32..1_440) {
        let to = (from + length) % 1_440;
        let text = format!("{:02}:{:02}-{:02}:{:02}", from / 60, from % 60, to / 60, to % 60);
        let now = Timestamp(at("2026-01-01T00:00:00Z").0 + minute * 60_000);
        for zone in ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"] {
            let end = text.parse::<QuietHours>().unwrap().end(&zone.parse().unwrap(), now);
            prop_assert!(end.is_none_or(|end| end > now && end.0 - now.0 <= 25 * 3_600_000));
        }
    }
}
