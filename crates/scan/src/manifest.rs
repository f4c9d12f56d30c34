//! What a repository depends on directly, from the manifests of Cargo, npm and Python.
//!
//! **Definition.** A [`Dependency`] is a name and a requirement that a person wrote into a manifest and that a public
//! registry could answer. What comes from elsewhere (a path, a repository, another registry, a workspace's own table)
//! is none, and neither is what a program wrote: lock files, compiled requirements.
//!
//! **Wanted properties.** Any bytes are fine. A manifest that cannot be read as a whole yields an error, never a part of
//! its dependencies. Nesting, size and the number of dependencies are bounded; nothing here expands anything, so that a
//! small file cannot become a large one.
//!
//! **Design.** One file for each ecosystem takes a manifest apart; `version` tells how far a requirement is behind.

mod cargo;
mod npm;
mod python;
#[cfg(test)]
mod tests;
mod tree;
mod version;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use version::{Behind, Step};

/// The largest manifest that is read, in bytes.
pub const MAX_MANIFEST_BYTES: usize = 1 << 20;
/// The most dependencies of one manifest; the others are left out.
pub const MAX_DEPENDENCIES: usize = 2_000;
/// The longest name of a package, in bytes: npm's limit, the highest of the three.
const MAX_NAME_BYTES: usize = 214;
/// The longest requirement, in bytes.
const MAX_REQUIREMENT_BYTES: usize = 200;

/// Whose registry answers for a dependency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ecosystem {
    /// `Cargo.toml`.
    Cargo,
    /// `package.json`.
    Npm,
    /// `pyproject.toml`, `requirements.txt`.
    PyPi,
}

impl fmt::Display for Ecosystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cargo => "cargo",
            Self::Npm => "npm",
            Self::PyPi => "pypi",
        })
    }
}

/// What a dependency is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Need {
    /// To run.
    Run,
    /// To work on it: tests, linters.
    Development,
    /// To build it.
    Build,
    /// Only when it is asked for: extras, optional dependencies.
    Optional,
}

/// One direct dependency, as a manifest states it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependency {
    /// Whose registry answers for it.
    pub ecosystem: Ecosystem,
    /// The name in the registry; for Python in its normal form.
    pub name: String,
    /// The requirement, as the ecosystem writes it: `1.0`, `^1.2`, `>=2,<3`.
    pub requirement: String,
    /// What it is there for.
    pub need: Need,
    /// The line that states it, from 1.
    pub line: u32,
}

impl Dependency {
    /// How far the requirement is behind the version `newest`; `None` when it permits that version, or when nobody can
    /// tell.
    #[must_use]
    pub fn behind(&self, newest: &str) -> Option<Behind> {
        version::behind(self.ecosystem, &self.requirement, newest)
    }
}

/// Why a manifest cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum UnreadableManifest {
    /// It is larger than [`MAX_MANIFEST_BYTES`].
    #[error("it is larger than 1 MiB; no manifest that people write is")]
    TooLarge,
    /// It is not UTF-8.
    #[error("it is not UTF-8")]
    NotText,
    /// It nests deeper than anything that people write.
    #[error("its keys nest too deep")]
    TooDeep,
    /// It is no TOML.
    #[error("it is no TOML: {0}")]
    Toml(String),
    /// It is no JSON object.
    #[error("it is no JSON object: {0}")]
    Json(String),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Cargo,
    Npm,
    Pyproject,
    Requirements,
}

/// Which form the file at `path` (with `/`) has, by its name.
fn form(path: &str) -> Option<Form> {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    match name {
        "Cargo.toml" => Some(Form::Cargo),
        "package.json" => Some(Form::Npm),
        "pyproject.toml" => Some(Form::Pyproject),
        _ => {
            let stem = name.strip_suffix(".txt")?;
            let in_folder = folder.rsplit('/').next() == Some("requirements");
            (in_folder || stem.starts_with("requirements") || stem.ends_with("requirements"))
                .then_some(Form::Requirements)
        }
    }
}

/// Whether the file at `path` (with `/`) is a manifest, by its name.
#[must_use]
pub fn is_manifest(path: &str) -> bool {
    form(path).is_some()
}

/// The direct dependencies in the manifest at `path`, by line; none when the file is no manifest.
///
/// # Errors
///
/// [`UnreadableManifest`] when it cannot be read as a whole.
pub fn dependencies(path: &str, bytes: &[u8]) -> Result<Vec<Dependency>, UnreadableManifest> {
    let Some(form) = form(path) else { return Ok(Vec::new()) };
    if bytes.len() > MAX_MANIFEST_BYTES {
        return Err(UnreadableManifest::TooLarge);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| UnreadableManifest::NotText)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut found = Found { text, dependencies: Vec::new() };
    match form {
        Form::Cargo => cargo::read(text, &mut found)?,
        Form::Npm => npm::read(text, &mut found)?,
        Form::Pyproject => python::pyproject(text, &mut found)?,
        Form::Requirements => python::requirements(text, &mut found),
    }
    Ok(found.in_order())
}

/// What was found so far in a text; dependencies hold their offset instead of their line.
struct Found<'a> {
    text: &'a str,
    dependencies: Vec<(usize, Dependency)>,
}

impl Found<'_> {
    fn add(&mut self, offset: usize, ecosystem: Ecosystem, name: &str, requirement: &str, need: Need) {
        let requirement = requirement.trim();
        let fits = requirement.len() <= MAX_REQUIREMENT_BYTES && !requirement.chars().any(char::is_control);
        let name = if ecosystem == Ecosystem::PyPi { python::normal_name(name) } else { name.to_owned() };
        if fits && is_name(ecosystem, &name) && version::states_a_version(requirement) {
            let requirement = requirement.to_owned();
            self.dependencies.push((offset, Dependency { ecosystem, name, requirement, need, line: 0 }));
        }
    }

    fn in_order(mut self) -> Vec<Dependency> {
        self.dependencies.sort_by(|(at, one), (other_at, other)| (at, &one.name).cmp(&(other_at, &other.name)));
        self.dependencies.truncate(MAX_DEPENDENCIES);
        let (mut line, mut counted) = (1_u32, 0);
        let bytes = self.text.as_bytes();
        let number = |(offset, dependency): (usize, Dependency)| {
            let offset = offset.min(bytes.len());
            let breaks = memchr::memchr_iter(b'\n', &bytes[counted..offset]).count();
            line = line.saturating_add(u32::try_from(breaks).unwrap_or(u32::MAX));
            counted = offset;
            Dependency { line, ..dependency }
        };
        self.dependencies.into_iter().map(number).collect()
    }
}

/// Whether a registry could have a package of that name; it becomes a part of an address.
fn is_name(ecosystem: Ecosystem, name: &str) -> bool {
    let word = |part: &str, more: &[u8]| {
        part.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte))
    };
    let whole = match ecosystem {
        Ecosystem::Cargo => name.len() <= 64 && word(name, b"_-"),
        Ecosystem::PyPi => word(name, b"-") && !name.starts_with('_'),
        Ecosystem::Npm => match name.strip_prefix('@').map(|scoped| scoped.split_once('/')) {
            Some(Some((scope, name))) => word(scope, b"._~-") && word(name, b"._~-"),
            Some(None) => false,
            None => word(name, b"._~-"),
        },
    };
    whole && name.len() <= MAX_NAME_BYTES
}
