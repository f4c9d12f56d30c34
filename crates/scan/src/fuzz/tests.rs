use std::collections::BTreeSet;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use super::*;

/// Changed seeds for each target in one run of this test; the fuzzer itself makes millions.
const CHANGED: usize = 4_000;
/// The longest changed seed, in bytes.
const LONGEST_INPUT: usize = 4 * 1024;
/// Texts that mean something to a reader.
const WORDS: [&[u8]; 32] = [
    b"\"",
    b"'",
    b"`",
    b"\"\"\"",
    b"'''",
    b"/*",
    b"*/",
    b"//",
    b"#",
    b"--",
    b"{-",
    b"<!--",
    b"${",
    b"{",
    b"}",
    b"(",
    b")",
    b"\n",
    b"\r\n",
    b"    ",
    b"end\n",
    b"TODO: ",
    b"=",
    b"[a.b]\n",
    b"a = \"1\"\n",
    b"\\ud800",
    b"null",
    b"[[[[",
    b"..",
    b"%2e%2e/",
    b"file:///checkout/",
    b"\xff",
];

/// The inputs in a folder of `crates/scan/fuzz` for one target, with their paths, ordered.
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
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % end.max(1)
    }

    /// One to four changes of `seed`, or a part of `other` in it.
    fn changed(&mut self, seed: &[u8], other: &[u8]) -> Vec<u8> {
        let mut input = seed.to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(input.len() + 1);
            let end = (at + self.below(40)).min(input.len());
            let from = self.below(other.len() + 1);
            let part = match self.below(5) {
                0 => &[][..],
                1 => &other[from..],
                2 => &seed[at.min(seed.len())..end.min(seed.len())],
                _ => WORDS[self.below(WORDS.len())],
            };
            let until = if self.below(2) == 0 { at } else { end };
            input.splice(at..until, part.iter().copied());
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
        let mut numbers = Numbers(2_026);
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
    for seed in seeds("lexer").iter().chain(&seeds("functions")) {
        let (path, source) = file(seed);
        let language = Language::of(&path, source).expect("a language");
        assert!(!comments(language, source, true).is_empty() || !functions(language, source).is_empty(), "{path}");
    }
    assert!(seeds("functions").iter().all(|seed| {
        let (path, source) = file(seed);
        !functions(Language::of(&path, source).unwrap(), source).is_empty()
    }));
    assert!(seeds("manifest").iter().all(|seed| !dependencies(&file(seed).0, file(seed).1).unwrap().is_empty()));
    assert!(seeds("sarif").iter().all(|seed| !sarif::read(seed, None).unwrap().results.is_empty()));
}
