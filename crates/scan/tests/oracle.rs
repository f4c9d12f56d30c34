//! The lexer against the Rust compiler's own, on every Rust file of the crates this workspace is built from.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use ra_ap_rustc_lexer::{FrontmatterAllowed, TokenKind, strip_shebang, tokenize};
use scan::{Language, comments};
use serde_json::Value;

/// Larger files are left out, or an unoptimised build reads for a minute. Without this limit 13,829 files with 797,232
/// comments agreed too.
const MAX_BYTES: usize = 16 << 10;

type Spans = BTreeSet<(usize, usize)>;

/// The folders of all crates in `Cargo.lock` that come from a registry.
#[expect(clippy::disallowed_methods, reason = "a test that asks cargo once where its crates are")]
fn crates() -> Vec<PathBuf> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let asked = Command::new(cargo).args(["metadata", "--format-version", "1", "--offline", "--locked"]).output();
    let asked = asked.expect("cargo can be started");
    let metadata: Value = serde_json::from_slice(&asked.stdout).expect("cargo metadata prints JSON");
    let packages = metadata["packages"].as_array().expect("a list of packages").iter();
    let foreign = packages.filter(|package| !package["source"].is_null());
    let manifests = foreign.map(|package| package["manifest_path"].as_str().expect("a path").to_owned());
    manifests.map(|manifest| Path::new(&manifest).parent().expect("a folder").to_owned()).collect()
}

/// Comments as the compiler sees them.
fn compilers(source: &str) -> Spans {
    let mut at = strip_shebang(source).unwrap_or(0);
    let mut spans = Spans::new();
    for token in tokenize(&source[at..], FrontmatterAllowed::No) {
        let end = at + token.len as usize;
        if matches!(token.kind, TokenKind::LineComment { .. } | TokenKind::BlockComment { .. }) {
            spans.insert((at, at + source[at..end].trim_end_matches('\r').len()));
        }
        at = end;
    }
    spans
}

fn ours(source: &str) -> Spans {
    let language = Language::of("a.rs", b"").expect("Rust is a language");
    comments(language, source.as_bytes(), false).iter().map(|comment| (comment.start, comment.end)).collect()
}

#[test]
fn rust_comments_are_where_the_compiler_sees_them() {
    let (mut files, mut seen, mut differing) = (0, 0, Vec::new());
    for folder in crates() {
        let walk = ignore::WalkBuilder::new(folder).standard_filters(false).build();
        let paths = walk.filter_map(Result::ok).map(ignore::DirEntry::into_path);
        for path in paths.filter(|path| path.extension().is_some_and(|extension| extension == "rs")) {
            let Ok(source) = std::fs::read_to_string(&path) else { continue };
            if source.len() > MAX_BYTES {
                continue;
            }
            let (ours, compilers) = (ours(&source), compilers(&source));
            files += 1;
            seen += compilers.len();
            if ours != compilers {
                let first = ours.symmetric_difference(&compilers).next().copied().unwrap_or_default();
                differing.push(format!("{} {first:?} {:?}", path.display(), source.get(first.0..first.1)));
            }
        }
    }
    println!("{files} files, {seen} comments");
    assert!(files >= 2_000 && seen >= 50_000, "too little to compare with: {files} files, {seen} comments");
    assert_eq!(differing, [""; 0]);
}
