//! Where a registry keeps what it knows of a package, and how that reads.

use semver::Version;
use serde::Deserialize;
use url::Url;

use super::Registry;

/// The address of what the registry at `base` knows of `name`; `None` for a name that would lead elsewhere.
pub(super) fn address(registry: Registry, base: &Url, name: &str) -> Option<Url> {
    let mut url = base.clone();
    {
        let mut path = url.path_segments_mut().ok()?;
        path.pop_if_empty();
        match registry {
            Registry::Crates => path.extend(index_path(name)?),
            // The slash of `@scope/name` is a part of the name there.
            Registry::Npm => path.extend([name, "latest"]),
            Registry::PyPi => path.extend(["pypi", name, "json"]),
        };
    }
    let harmless = !name.is_empty() && !name.starts_with('.') && !name.contains("..");
    harmless.then_some(url)
}

/// Where the sparse index has a crate: `1/a`, `2/ab`, `3/a/abc`, `ab/cd/abcd`.
fn index_path(name: &str) -> Option<Vec<String>> {
    let name = name.to_ascii_lowercase();
    let folders = match name.len() {
        1 | 2 => vec![name.len().to_string()],
        3 => vec!["3".to_owned(), name.get(..1)?.to_owned()],
        _ => vec![name.get(..2)?.to_owned(), name.get(2..4)?.to_owned()],
    };
    Some(folders.into_iter().chain([name]).collect())
}

/// The newest version in an answer.
pub(super) fn newest(registry: Registry, body: &[u8]) -> Result<Option<String>, String> {
    let unread = |error: serde_json::Error| format!("its answer cannot be read: {error}");
    match registry {
        Registry::Crates => in_index(body).map_err(unread),
        Registry::Npm => {
            let latest: Latest = serde_json::from_slice(body).map_err(unread)?;
            Ok(Some(latest.version).filter(|version| !version.contains('-')))
        }
        Registry::PyPi => {
            let project: Project = serde_json::from_slice(body).map_err(unread)?;
            let stable = !project.info.version.replace("post", "").contains(|c: char| c.is_ascii_alphabetic());
            Ok(Some(project.info.version).filter(|_| stable && !project.info.yanked.unwrap_or(false)))
        }
    }
}

/// A line of the index.
#[derive(Deserialize)]
struct Line {
    vers: String,
    #[serde(default)]
    yanked: bool,
}

#[derive(Deserialize)]
struct Latest {
    version: String,
}

#[derive(Deserialize)]
struct Project {
    info: Info,
}

#[derive(Deserialize)]
struct Info {
    version: String,
    yanked: Option<bool>,
}

fn in_index(body: &[u8]) -> Result<Option<String>, serde_json::Error> {
    let mut newest: Option<Version> = None;
    for line in body.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
        let line: Line = serde_json::from_slice(line)?;
        let Ok(version) = Version::parse(&line.vers) else { continue };
        if !line.yanked && version.pre.is_empty() && newest.as_ref().is_none_or(|newest| *newest < version) {
            newest = Some(version);
        }
    }
    // What is behind a `+` tells builds apart, not versions.
    Ok(newest.map(|version| format!("{}.{}.{}", version.major, version.minor, version.patch)))
}
