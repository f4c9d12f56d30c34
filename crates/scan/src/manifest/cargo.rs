//! `Cargo.toml`: the dependencies of a package, those for one platform, and those of a workspace.

use toml::de::{DeTable, DeValue};

use super::{Ecosystem, Found, Need, UnreadableManifest, tree};

const SECTIONS: [(&str, Need); 5] = [
    ("dependencies", Need::Run),
    ("dev-dependencies", Need::Development),
    ("dev_dependencies", Need::Development),
    ("build-dependencies", Need::Build),
    ("build_dependencies", Need::Build),
];
/// With one of these a dependency does not come from the public registry, or is stated elsewhere.
const FROM_ELSEWHERE: [&str; 5] = ["path", "git", "registry", "registry-index", "workspace"];

pub(super) fn read(text: &str, found: &mut Found<'_>) -> Result<(), UnreadableManifest> {
    let root = tree::parse(text)?;
    let platforms = tree::tables(tree::table(&root, &["target"]));
    for package in std::iter::once(&root).chain(platforms) {
        for (section, need) in SECTIONS {
            add(tree::table(package, &[section]), need, found);
        }
    }
    add(tree::table(&root, &["workspace", "dependencies"]), Need::Run, found);
    Ok(())
}

fn add(table: Option<&DeTable<'_>>, need: Need, found: &mut Found<'_>) {
    for (key, value) in table.into_iter().flatten() {
        let (name, requirement) = match value.get_ref() {
            DeValue::String(requirement) => (key.get_ref().as_ref(), requirement.as_ref()),
            DeValue::Table(details) if !FROM_ELSEWHERE.iter().any(|word| details.contains_key(*word)) => {
                let Some(requirement) = tree::text(details, "version") else { continue };
                (tree::text(details, "package").unwrap_or(key.get_ref()), requirement)
            }
            _ => continue,
        };
        found.add(key.span().start, Ecosystem::Cargo, name, requirement, need);
    }
}
