//! How far a requirement is behind a version.
//!
//! **Design.** Whether a requirement permits a version is answered by the library of its ecosystem. How large the step
//! is follows from the numbers alone: the first that differs, where below 1.0 the second one counts as the first, as
//! Semantic Versioning has it.

use std::str::FromStr;

use super::Ecosystem;

/// How large the step to a version is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// Mended only.
    Patch,
    /// Something was added.
    Minor,
    /// Something may break.
    Major,
}

impl Step {
    /// The word for it: `patch`, `minor`, `major`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Patch => "patch",
            Self::Minor => "minor",
            Self::Major => "major",
        }
    }
}

/// A requirement that does not permit the newest version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Behind {
    /// How large the step is.
    pub step: Step,
    /// What is required now, without operators: `1.0`; with one when it names only what is too new: `<2`.
    pub from: String,
    /// The newest version, as exact as `from`: `2.1`.
    pub to: String,
    /// The newest version up to the number that makes the step: `2`. Later versions of the same step share it.
    pub step_to: String,
}

/// Whether a requirement names any version at all, other than by a word such as `latest`.
pub(super) fn states_a_version(requirement: &str) -> bool {
    requirement.contains(|c: char| c.is_ascii_digit())
}

pub(super) fn behind(ecosystem: Ecosystem, requirement: &str, newest: &str) -> Option<Behind> {
    if permits(ecosystem, requirement, newest)? {
        return None;
    }
    let new = numbers(newest);
    let short = |places: usize| new.iter().take(places).map(u64::to_string).collect::<Vec<_>>().join(".");
    let Some(from) = required(requirement) else {
        let bound = requirement.trim().to_owned();
        return (bound.contains('<') && new >= numbers(&bound)).then(|| Behind {
            step: Step::Major,
            from: bound,
            to: short(2),
            step_to: short(1),
        });
    };
    let old = numbers(from);
    let step = step(&old, &new)?;
    // The place that differs is always shown.
    let differs = (0..new.len()).find(|place| new.get(*place) != old.get(*place)).map_or(1, |place| place + 1);
    let to = short(old.len().max(differs));
    Some(Behind { step, from: from.to_owned(), to, step_to: short(differs) })
}

/// Whether `requirement` takes `version`; `None` when one of them cannot be read.
fn permits(ecosystem: Ecosystem, requirement: &str, version: &str) -> Option<bool> {
    match ecosystem {
        Ecosystem::Cargo => semantic(requirement, version),
        Ecosystem::Npm => {
            let range = nodejs_semver::Range::from_str(requirement).ok()?;
            Some(range.satisfies(&nodejs_semver::Version::from_str(version).ok()?))
        }
        // Poetry's `^1.2` and `~1.2` mean what Cargo's do.
        Ecosystem::PyPi if requirement.contains('^') || requirement.replace("~=", "").contains('~') => {
            let mut numbers = numbers(version);
            numbers.resize(3, 0);
            semantic(requirement, &numbers.iter().map(u64::to_string).collect::<Vec<_>>().join("."))
        }
        Ecosystem::PyPi => {
            let specifiers = pep440_rs::VersionSpecifiers::from_str(requirement).ok()?;
            Some(specifiers.contains(&pep440_rs::Version::from_str(version).ok()?))
        }
    }
}

fn semantic(requirement: &str, version: &str) -> Option<bool> {
    let requirement = semver::VersionReq::parse(requirement).ok()?;
    Some(requirement.matches(&semver::Version::parse(version).ok()?))
}

/// The first version in a requirement that is no upper bound and not forbidden.
fn required(requirement: &str) -> Option<&str> {
    let mut rest = requirement;
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, version) = rest.split_at(at);
        let length = version.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
        let operator = before.trim_end_matches([' ', 'v']);
        if !operator.ends_with('<') && !operator.ends_with("<=") && !operator.ends_with("!=") {
            return Some(version[..length].trim_end_matches('.'));
        }
        let after = version[length..].find([',', ' ', '|']).map_or(version.len(), |gap| length + gap);
        rest = &version[after..];
    }
    None
}

/// The numbers at the start of a version: `1.2` of `1.2.x`, `2.0.1` of `<2.0.1rc1`.
fn numbers(version: &str) -> Vec<u64> {
    let start = version.find(|c: char| c.is_ascii_digit()).unwrap_or(version.len());
    let end = version[start..].find(|c: char| !c.is_ascii_digit() && c != '.').map_or(version.len(), |at| start + at);
    version[start..end].split('.').map_while(|number| number.parse().ok()).take(6).collect()
}

fn step(old: &[u64], new: &[u64]) -> Option<Step> {
    let at = |numbers: &[u64], place: usize| numbers.get(place).copied().unwrap_or(0);
    let place = (0..new.len().max(old.len())).find(|place| at(old, *place) != at(new, *place))?;
    if at(new, place) < at(old, place) {
        return None;
    }
    let leading_zeros = (0..2).take_while(|place| at(new, *place) == 0).count();
    Some(match place.saturating_sub(leading_zeros) {
        0 => Step::Major,
        1 => Step::Minor,
        _ => Step::Patch,
    })
}
