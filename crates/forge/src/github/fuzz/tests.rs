use std::collections::BTreeSet;

use testkit::fuzz::Corpus;

use super::*;

/// Texts that mean something to a parser.
const WORDS: [&[u8]; 28] = [
    b"null",
    b"\"id\":null",
    b"[]",
    b"{}",
    b"{\"",
    b"\\ud800",
    b"\\u0000",
    b"1e999",
    b"-1",
    b"18446744073709551615",
    b"99999999999999999999",
    b"retry-after: ",
    b"x-ratelimit-remaining: 0\n",
    b"x-ratelimit-reset: ",
    b"Sun, 09 Sep 2001 01:47:10 GMT",
    b"secondary rate limit",
    b"RATE_LIMITED",
    b"status: 403\n",
    b"status: 429\n",
    b"rel=\"next\"",
    b"<https://evil.example/>",
    b"//evil.example",
    b"<!-- ccm:v1 ",
    b"<!-- cc",
    b"-->",
    b"\xe2\x80\x8b",
    b"\xff",
    b"W/\"",
];

const CORPUS: Corpus<'_> =
    Corpus { of: env!("CARGO_MANIFEST_DIR"), targets: &TARGETS, words: &WORDS, longest: 8 * 1024 };

#[test]
fn every_seed_is_read() {
    CORPUS.seeds_are_read();
}

#[test]
fn what_fuzzing_once_found_stays_mended() {
    CORPUS.regressions_are_read();
}

#[test]
fn thousands_of_changed_seeds_break_nothing() {
    CORPUS.changed_seeds_are_read();
}

#[test]
fn the_seeds_reach_what_they_are_for() {
    let seeds = |name| CORPUS.inputs("seeds", name).into_iter().map(|(_, seed)| seed).collect::<Vec<_>>();
    let signed = seeds("webhook").iter().any(|seed| {
        let ((headers, body), secrets) = (message(seed), webhook::Secrets::new(KEY.into(), None).unwrap());
        secrets.check(&headers, body).is_ok() && webhook::read(&headers, body).is_ok()
    });
    assert!(signed, "a delivery with a right signature");
    let classes: BTreeSet<&str> = seeds("limit").iter().map(|seed| class_of(seed)).collect();
    assert_eq!(classes.into_iter().collect::<Vec<_>>(), ["content", "empty", "none", "pause", "secondary"]);
    let marked = seeds("marker").iter().any(|seed| find(KEY.as_bytes(), &String::from_utf8_lossy(seed)).is_some());
    assert!(marked, "a text with a valid marker");
}

fn class_of(seed: &[u8]) -> &'static str {
    let (headers, body) = message(seed);
    let status = StatusCode::from_bytes(headers["status"].as_bytes()).unwrap();
    match classify(status, &headers, body, headers.contains_key("graphql"), NOW) {
        Some(Limit::Pause(_)) => "pause",
        Some(Limit::Empty(_)) => "empty",
        Some(Limit::Secondary) => "secondary",
        Some(Limit::Content(_)) => "content",
        None => "none",
    }
}
