//! `package.json`: `dependencies`, `devDependencies`, `optionalDependencies`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Ecosystem, Found, Need, UnreadableManifest};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Package<'a> {
    #[serde(borrow)]
    dependencies: Option<&'a RawValue>,
    #[serde(borrow)]
    dev_dependencies: Option<&'a RawValue>,
    #[serde(borrow)]
    optional_dependencies: Option<&'a RawValue>,
}

pub(super) fn read(text: &str, found: &mut Found<'_>) -> Result<(), UnreadableManifest> {
    let package: Package<'_> =
        serde_json::from_str(text).map_err(|error| UnreadableManifest::Json(error.to_string()))?;
    let sections = [
        (package.dependencies, Need::Run),
        (package.dev_dependencies, Need::Development),
        (package.optional_dependencies, Need::Optional),
    ];
    for (section, need) in sections {
        let Some(section) = section else { continue };
        // A section of another form holds no dependencies; the others count.
        let Ok(entries) = serde_json::from_str::<BTreeMap<String, &RawValue>>(section.get()) else { continue };
        for (key, value) in entries {
            let Ok(stated) = serde_json::from_str::<String>(value.get()) else { continue };
            let Some((name, requirement)) = from_registry(&key, &stated) else { continue };
            found.add(offset(text, value.get()), Ecosystem::Npm, name, requirement, need);
        }
    }
    Ok(())
}

/// The name and the requirement to ask the registry about. Addresses, files, workspaces, catalogues and tags are none.
fn from_registry<'a>(key: &'a str, stated: &'a str) -> Option<(&'a str, &'a str)> {
    if let Some(alias) = stated.strip_prefix("npm:") {
        let (name, requirement) = alias.rsplit_once('@').filter(|(name, _)| !name.is_empty())?;
        return Some((name, requirement));
    }
    (!stated.contains([':', '/', '#'])).then_some((key, stated))
}

/// Where `part` begins in `text`, of which it is a part.
fn offset(text: &str, part: &str) -> usize {
    (part.as_ptr() as usize).saturating_sub(text.as_ptr() as usize)
}
