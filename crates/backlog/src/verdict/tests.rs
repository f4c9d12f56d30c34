use rstest::rstest;

use super::*;

fn file(path: &str, added: u64, removed: u64) -> ChangedFile {
    ChangedFile { path: path.to_owned(), added, removed }
}

fn files(count: usize) -> Vec<ChangedFile> {
    (0..count).map(|n| file(&format!("src/{n}.rs"), 1, 1)).collect()
}

fn check(name: &str, reason: &str) -> CheckResult {
    CheckResult {
        name: name.to_owned(),
        command: name.to_owned(),
        passed: reason.is_empty(),
        reason: reason.to_owned(),
        millis: 10,
        log: String::new(),
    }
}

fn sentences(files: &[ChangedFile], checks: &[CheckResult], policy: &DiffPolicy) -> String {
    match judge(files, checks, policy) {
        Verdict::Good => "good".to_owned(),
        Verdict::NotGood { objections } => objections.join("\n"),
    }
}

#[rstest]
#[case(".github/workflows/ci.yml", Some(".github/"))]
#[case(".GitHub/workflows/ci.yml", Some(".github/"))]
#[case(".github", Some(".github/"))] // a link in the folder's place
#[case(".githubber/ci.yml", None)]
#[case("sub/.github/workflows/ci.yml", None)]
#[case("CODEOWNERS", Some("CODEOWNERS"))]
#[case("docs/codeowners", Some("docs/CODEOWNERS"))]
#[case("CODEOWNERS.md", None)]
#[case("Claude.md", Some("**/CLAUDE.md"))]
#[case("docs/CLAUDE.md", Some("**/CLAUDE.md"))]
#[case(".claude/settings.json", Some(".claude/"))]
#[case(".mcp.json", Some(".mcp.json"))]
#[case(".gitmodules", Some(".gitmodules"))]
#[case("src/main.rs", None)]
#[case("ü", None)]
#[case("", None)]
fn the_default_protects_what_steers_machines(#[case] path: &str, #[case] rule: Option<&str>) {
    assert_eq!(DiffPolicy::default().protecting(path), rule, "{path}");
}

#[rstest]
#[case("ci", "ci/run.sh", true)]
#[case("ci/", "ci/run.sh", true)]
#[case("ci/**", "ci/deep/run.sh", true)]
#[case("/ci/", "ci/run.sh", true)]
#[case("./ci", "ci", true)]
#[case("ci", "circus/x", false)]
#[case("ci", "sub/ci/x", false)]
#[case("*.lock", "Cargo.lock", true)]
#[case("*.lock", "sub/Cargo.LOCK", true)]
#[case("*.lock", "locker.rs", false)]
#[case("**/AGENTS.md", "AGENTS.md", true)]
#[case("**/AGENTS.md", "sub/deep/agents.md", true)]
#[case("**/AGENTS.md", "sub/MY-AGENTS.md", false)]
#[case("**/secrets/", "sub/secrets/key", true)]
#[case("grün/", "GRüN/x", true)]
#[case("gr", "gü", false)]
#[case("", "anything", false)]
fn a_rule_names_a_file_a_folder_or_an_ending(#[case] rule: &str, #[case] path: &str, #[case] expected: bool) {
    let policy = DiffPolicy { protected_paths: vec![rule.to_owned()], ..DiffPolicy::default() };
    assert_eq!(policy.protecting(path).is_some(), expected, "{rule} {path}");
}

#[test]
fn limits_hold_exactly_at_their_boundary() {
    let policy = DiffPolicy { max_files: 3, max_lines: 8, ..DiffPolicy::default() };
    assert_eq!(sentences(&[], &[], &policy), "good");
    assert_eq!(sentences(&files(3), &[], &policy), "good");
    assert_eq!(sentences(&[file("a", 5, 3)], &[], &policy), "good");
    insta::assert_snapshot!(sentences(&files(4), &[], &policy), @"The change touches 4 files, and the limit is 3. Change less.");
    insta::assert_snapshot!(sentences(&[file("a", 5, 4)], &[], &policy), @"The change adds and removes 9 lines, and the limit is 8. Change less.");
    insta::assert_snapshot!(sentences(&[file("a", u64::MAX, 1), file("b", 1, 1)], &[], &policy), @"The change adds and removes 18446744073709551615 lines, and the limit is 8. Change less.");
}

#[test]
fn every_objection_is_a_finished_sentence() {
    let policy = DiffPolicy { max_files: 1, max_lines: 1, ..DiffPolicy::default() };
    let files = [file(".github/workflows/ci.yml", 2, 0), file("src/main.rs", 1, 1)];
    let checks = [check("cargo test", "exit code 101"), check("cargo fmt", ""), check("lint", "timed out after 600 s")];
    insta::assert_snapshot!(sentences(&files, &checks, &policy), @"
    `.github/workflows/ci.yml` may not be changed here: the rule `.github/` protects it.
    The change touches 2 files, and the limit is 1. Change less.
    The change adds and removes 4 lines, and the limit is 1. Change less.
    The check `cargo test` did not pass (exit code 101).
    The check `lint` did not pass (timed out after 600 s).
    ");
}

#[test]
fn a_thousand_protected_files_are_not_named_one_by_one() {
    let files: Vec<ChangedFile> = (0..1_000).map(|n| file(&format!(".github/{n}"), 0, 0)).collect();
    let policy = DiffPolicy { max_files: 5_000, ..DiffPolicy::default() };
    let text = sentences(&files, &[], &policy);
    assert_eq!(text.lines().count(), 21);
    insta::assert_snapshot!(text.lines().last().unwrap(), @"The change touches 980 more protected files.");
}
