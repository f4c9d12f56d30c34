use super::*;
use crate::github::tests::seconds;

const SECONDARY_TEXT: &str = r#"{"message":"You have exceeded a secondary rate limit. Please wait."}"#;
const CONTENT_TEXT: &str = r#"{"message":"temporarily blocked from content creation"}"#;

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap())).collect()
}

#[test]
fn r07_to_r12_every_answer_has_its_class() {
    let now = Timestamp(1_000_000_000_000);
    let (far, docs) =
        ("1000003000", r#"{"message":"x","documentation_url":"https://docs/#about-secondary-rate-limits"}"#);
    type Row<'a> = (u16, &'a [(&'static str, &'a str)], &'a str, Option<Limit>);
    let table: &[Row] = &[
        (403, &[("retry-after", "30"), ("x-ratelimit-remaining", "4000")], "{}", Some(Limit::Pause(seconds(30)))),
        (429, &[("retry-after", "Sun, 09 Sep 2001 01:47:10 GMT")], "{}", Some(Limit::Pause(seconds(30)))),
        (429, &[("retry-after", "Sun, 09 Sep 2001 01:46:00 GMT")], "{}", Some(Limit::Pause(Duration::ZERO))),
        (403, &[("retry-after", "soon")], SECONDARY_TEXT, Some(Limit::Secondary)),
        (
            403,
            &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", far)],
            "{}",
            Some(Limit::Empty(Timestamp(1_000_003_000_000))),
        ),
        (
            429,
            &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", far)],
            "{}",
            Some(Limit::Empty(Timestamp(1_000_003_000_000))),
        ),
        (403, &[("x-ratelimit-remaining", "4000"), ("x-ratelimit-reset", far)], SECONDARY_TEXT, Some(Limit::Secondary)),
        (403, &[], docs, Some(Limit::Secondary)),
        (403, &[], r#"{"message":"You have triggered an abuse detection mechanism"}"#, Some(Limit::Secondary)),
        (429, &[], "<html>", Some(Limit::Secondary)),
        (429, &[("x-ratelimit-remaining", "0")], "", Some(Limit::Secondary)),
        (403, &[("retry-after", "soon")], "{}", Some(Limit::Secondary)),
        (403, &[("retry-after", "99999999999999999999")], "{}", Some(Limit::Secondary)),
        (403, &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "x")], "{}", Some(Limit::Secondary)),
        (403, &[("retry-after", "18446744073709551615")], "{}", Some(Limit::Pause(LONGEST))),
        (
            429,
            &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1000003000000")],
            "{}",
            Some(Limit::Empty(now.plus(LONGEST))),
        ),
        (403, &[], CONTENT_TEXT, Some(Limit::Content(None))),
        (403, &[("retry-after", "90")], CONTENT_TEXT, Some(Limit::Content(Some(seconds(90))))),
        (403, &[], r#"{"message":"was submitted too quickly"}"#, Some(Limit::Content(None))),
        (403, &[("x-ratelimit-remaining", "4999")], r#"{"message":"Resource not accessible by integration"}"#, None),
        (403, &[], "", None),
        (401, &[("retry-after", "30")], SECONDARY_TEXT, None),
        (502, &[("retry-after", "30")], "", None),
        (200, &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", far)], "", None),
    ];
    for (status, given, body, expected) in table {
        let found = classify(StatusCode::from_u16(*status).unwrap(), &headers(given), body.as_bytes(), false, now);
        assert_eq!(found, *expected, "{status} {given:?} {body}");
    }
}

#[test]
fn r10_r11_a_429_is_always_a_limit_and_a_bare_403_never() {
    let now = Timestamp(1_000_000_000_000);
    let none = HeaderMap::new();
    for body in ["", "<html>", r#"{"message":"Not Found"}"#] {
        assert_eq!(classify(StatusCode::TOO_MANY_REQUESTS, &none, body.as_bytes(), false, now), Some(Limit::Secondary));
        assert_eq!(classify(StatusCode::FORBIDDEN, &none, body.as_bytes(), false, now), None);
    }
}

#[test]
fn r13_graphql_tells_of_limits_with_a_200() {
    let now = Timestamp(1_000_000_000_000);
    let empty = headers(&[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1000003000")]);
    let (left, wait) = (headers(&[("x-ratelimit-remaining", "9")]), headers(&[("retry-after", "30")]));
    let limited = r#"{"errors":[{"type":"RATE_LIMITED","message":"API rate limit exceeded"}]}"#;
    let secondary = r#"{"data":null,"errors":[{"message":"You have exceeded a secondary rate limit"}]}"#;
    let quickly = r#"{"errors":[{"message":"was submitted too quickly"}]}"#;
    let missing = r#"{"data":{"a":null},"errors":[{"type":"NOT_FOUND","message":"no repository secondary"}]}"#;
    let table = [
        (limited, &empty, Some(Limit::Empty(Timestamp(1_000_003_000_000)))),
        (limited, &left, Some(Limit::Secondary)),
        (secondary, &empty, Some(Limit::Secondary)),
        (secondary, &wait, Some(Limit::Pause(seconds(30)))),
        (quickly, &left, Some(Limit::Content(None))),
        (missing, &empty, None),
        (r#"{"data":{"a":1}}"#, &empty, None),
        ("no json", &empty, None),
    ];
    for (body, given, expected) in table {
        assert_eq!(classify(StatusCode::OK, given, body.as_bytes(), true, now), expected, "{body}");
        assert_eq!(classify(StatusCode::OK, given, body.as_bytes(), false, now), None, "only GraphQL: {body}");
    }
}
