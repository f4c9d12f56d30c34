use std::collections::BTreeSet;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use super::*;

/// Changed seeds for each target in one run of this test; the fuzzer itself makes millions.
const CHANGED: usize = 4_000;
/// The longest changed seed, in bytes.
const LONGEST_INPUT: usize = 8 * 1024;
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

/// The inputs in a folder of `crates/forge/fuzz` for one target, with their paths, ordered.
fn inputs(folder: &str, target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(folder).join(target);
    let Ok(entries) = fs::read_dir(&folder) else { return Vec::new() };
    let paths: BTreeSet<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

/// The same numbers in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap() % end.max(1)
    }

    /// One to four changes of `seed`, or a part of `other` in it.
    fn changed(&mut self, seed: &[u8], other: &[u8]) -> Vec<u8> {
        let mut input = seed.to_vec();
        for _ in 0..=self.below(4) {
            let (at, length) = (self.below(input.len() + 1), self.below(40));
            let end = (at + length).min(input.len());
            let word = WORDS[self.below(WORDS.len())];
            match self.below(8) {
                0 => input.truncate(at),
                1 => drop(input.drain(at..end)),
                2 => drop(input.splice(at..end, word.iter().copied())),
                3 | 4 => drop(input.splice(at..at, word.iter().copied())),
                5 => input = [&input[..end], &input[at..]].concat(),
                6 => input = [&input[..at], &other[self.below(other.len() + 1)..]].concat(),
                _ if at < input.len() => input[at] ^= 1 << self.below(8),
                _ => {}
            }
            input.truncate(LONGEST_INPUT);
        }
        input
    }
}

#[test]
fn every_seed_is_read() {
    for (name, target) in TARGETS {
        let seeds = inputs("seeds", name);
        assert!(seeds.len() >= 4, "{name} has {} seeds", seeds.len());
        for (path, seed) in seeds {
            assert!(catch_unwind(|| target(&seed)).is_ok(), "{}", path.display());
        }
    }
}

#[test]
fn what_fuzzing_once_found_stays_mended() {
    for (name, target) in TARGETS {
        for (path, input) in inputs("regressions", name) {
            assert!(catch_unwind(|| target(&input)).is_ok(), "{}", path.display());
        }
    }
}

#[test]
fn thousands_of_changed_seeds_break_nothing() {
    for (name, target) in TARGETS {
        let seeds = [inputs("seeds", name), inputs("regressions", name)].concat();
        let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
        for _ in 0..CHANGED {
            let [seed, other] = [(); 2].map(|()| &seeds[numbers.below(seeds.len())].1);
            let input = numbers.changed(seed, other);
            let shown = input.escape_ascii();
            assert!(catch_unwind(|| target(&input)).is_ok(), "{name}: keep this in regressions/: {shown}");
        }
    }
}

#[test]
fn the_seeds_reach_what_they_are_for() {
    let seeds = |name| inputs("seeds", name).into_iter().map(|(_, seed)| seed).collect::<Vec<_>>();
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
