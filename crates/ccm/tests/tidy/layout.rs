//! Rules on crates, file sizes and names.

use crate::tree::Tree;

/// Which of our crates a crate may depend on. The same table stands in ARCHITECTURE.md.
const TABLE: [(&str, &[&str]); 12] = [
    ("backlog", &[]),
    ("scan", &["backlog"]),
    ("git", &["backlog"]),
    ("forge", &["backlog"]),
    ("runner", &["backlog"]),
    ("gateway", &["backlog"]),
    ("store", &["backlog"]),
    ("registry", &["backlog"]),
    ("pipeline", &["backlog", "scan", "git", "forge", "runner", "gateway", "store", "registry"]),
    ("web", &["backlog", "store", "forge", "pipeline"]),
    ("ccm", &["backlog", "scan", "git", "forge", "runner", "gateway", "store", "registry", "pipeline", "web"]),
    (
        "testkit",
        &["backlog", "scan", "git", "forge", "runner", "gateway", "store", "registry", "pipeline", "web", "ccm"],
    ),
];

/// Lines of a Rust file, with its tests.
const MAX_LINES: usize = 800;

const VAGUE: [&str; 12] = [
    "utils", "util", "common", "core", "types", "services", "service", "manager", "helpers", "helper", "misc", "shared",
];
const BESIDE: [&str; 4] = ["enhanced_", "advanced_", "improved_", "new_"];

pub(crate) fn dependencies(tree: &Tree) -> Vec<String> {
    let mut offences = Vec::new();
    for name in tree.crates() {
        let path = format!("crates/{name}/Cargo.toml");
        let Some((_, allowed)) = TABLE.iter().find(|(crate_name, _)| *crate_name == name) else {
            offences.push(format!("crates/{name} is not in the dependency table"));
            continue;
        };
        let manifest: toml::Table = match tree.text(&path).map(toml::from_str) {
            Some(Ok(manifest)) => manifest,
            Some(Err(error)) => panic!("{path} cannot be read: {error}"),
            None => {
                offences.push(format!("{path} is missing: a folder in crates/ is a crate"));
                continue;
            }
        };
        for (section, dependency) in listed(&manifest) {
            let ours = TABLE.iter().any(|(crate_name, _)| *crate_name == dependency);
            // The tests of the dashboard make a whole `Context`, and that has all parts.
            let for_tests = section == "dev-dependencies" && (dependency == "testkit" || name == "web");
            if ours && !for_tests && !allowed.contains(&dependency.as_str()) {
                offences.push(format!("{path}: {name} must not depend on {dependency} [{section}]"));
            }
        }
    }
    offences
}

/// Every (section, dependency) of a manifest, those for one platform too.
fn listed(manifest: &toml::Table) -> Vec<(&'static str, String)> {
    let mut tables = vec![manifest];
    let platforms = manifest.get("target").and_then(toml::Value::as_table);
    tables.extend(platforms.into_iter().flat_map(|all| all.values().filter_map(toml::Value::as_table)));
    let mut found = Vec::new();
    for table in tables {
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let names = table.get(section).and_then(toml::Value::as_table);
            found.extend(names.into_iter().flat_map(|names| names.keys().map(move |name| (section, name.clone()))));
        }
    }
    found
}

pub(crate) fn sizes(tree: &Tree) -> Vec<String> {
    let long = tree.rust().map(|file| (&file.path, file.text.lines().count()));
    long.filter(|(_, lines)| *lines > MAX_LINES)
        .map(|(path, lines)| format!("{path}: {lines} lines, at most {MAX_LINES}"))
        .collect()
}

pub(crate) fn names(tree: &Tree) -> Vec<String> {
    let mut offences = Vec::new();
    for file in &tree.files {
        let bad = file.path.split('/').find(|part| !says_something(part));
        offences.extend(bad.map(|part| format!("{}: `{part}` is not a name here", file.path)));
    }
    offences
}

fn says_something(part: &str) -> bool {
    let stem = part.split('.').find(|piece| !piece.is_empty()).unwrap_or(part);
    let stem = stem.to_lowercase().replace('-', "_");
    let version = stem.rsplit_once("_v").is_some_and(|(_, number)| number.parse::<u32>().is_ok());
    !VAGUE.contains(&stem.as_str()) && !BESIDE.iter().any(|prefix| stem.starts_with(prefix)) && !version
}

#[test]
fn a_forbidden_dependency_is_an_offence() {
    let tree = Tree::of(&[
        ("crates/extra/Cargo.toml", ""),
        (
            "crates/git/Cargo.toml",
            "[dependencies]\nbacklog.workspace = true\n[dev-dependencies]\ntestkit.workspace = true\n",
        ),
        ("crates/loose/src/lib.rs", ""),
        ("crates/scan/Cargo.toml", "[target.'cfg(unix)'.dependencies]\ngit.workspace = true\n"),
        ("crates/store/Cargo.toml", "[dependencies]\ntestkit.workspace = true\n"),
        ("crates/web/src/lib.rs", ""),
    ]);
    insta::assert_snapshot!(dependencies(&tree).join("\n"), @r"
    crates/extra is not in the dependency table
    crates/loose is not in the dependency table
    crates/scan/Cargo.toml: scan must not depend on git [dependencies]
    crates/store/Cargo.toml: store must not depend on testkit [dependencies]
    crates/web/Cargo.toml is missing: a folder in crates/ is a crate
    ");
}

#[test]
fn a_long_file_is_an_offence() {
    let lines = "x\n".repeat(MAX_LINES);
    let tree = Tree::of(&[("a.rs", &lines), ("b.rs", &format!("{lines}x\n"))]);
    assert_eq!(sizes(&tree), ["b.rs: 801 lines, at most 800"]);
}

#[test]
fn a_vague_name_is_an_offence() {
    let good = ["new.rs", "v2", "typesetting.rs", ".config", "newest_v.rs", "coreutils.md"];
    let bad = [
        "utils.rs",
        "common",
        "types.rs",
        "Helpers",
        "rank_v2.rs",
        "enhanced-board.html",
        "new_rank.rs",
        "core.test.js",
    ];
    assert_eq!(good.map(says_something), [true; 6]);
    assert_eq!(bad.map(says_something), [false; 8]);
    let tree = Tree::of(&[("crates/web/utils/page.rs", "")]);
    assert_eq!(names(&tree), ["crates/web/utils/page.rs: `utils` is not a name here"]);
}
