use testkit::fuzz::Corpus;

use super::*;

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

const CORPUS: Corpus<'_> =
    Corpus { of: env!("CARGO_MANIFEST_DIR"), targets: &TARGETS, words: &WORDS, longest: 4 * 1024 };

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
