//! The source `dependency`: direct dependencies whose requirement does not permit the newest version.
//!
//! **Definition.** One finding for each package, whatever many manifests require it, about the largest step among them.
//! Later versions of the same step (2.1, 2.2) are the same finding; the next step (3.0) is another one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use backlog::finding::{self, Finding, Fingerprint};
use futures::StreamExt as _;
use globset::{Glob, GlobSet, GlobSetBuilder};
use registry::{Addresses, MOST_AT_ONCE, Registry};
use scan::manifest::{self, Behind, Dependency as Required, Ecosystem, Step};
use scan::{Selection, Skip};

use super::source::{Look, Moves, Reader, Source};
use crate::settings::{DependencySource, RepositoryPolicy, Sources, UpdateLevel};

/// The most packages of one repository that registries are asked about; the first by name.
const MOST_PACKAGES: usize = 1_000;
/// The most places that a finding names.
const MOST_PLACES: usize = 50;
/// How often registries may have news.
const EVERY: Duration = Duration::from_hours(12);

/// See the module.
pub(super) struct Dependency;

#[async_trait]
impl Source for Dependency {
    fn name(&self) -> finding::Source {
        finding::Source::Dependency
    }

    fn is_on(&self, settings: &Sources, policy: &RepositoryPolicy) -> bool {
        settings.dependency.enabled && policy.sources.dependency != Some(false)
    }

    fn moves(&self) -> Moves {
        Moves { with_code: true, every: Some(EVERY), sleeps: true, ..Moves::default() }
    }

    fn signature(&self, settings: &Sources) -> String {
        format!("engine={} {:?}", scan::ENGINE_VERSION, settings.dependency)
    }

    fn reader(&self, _: &Sources, selection: &Selection) -> Result<Option<Arc<dyn Reader>>> {
        Ok(Some(Arc::new(Manifests { selection: selection.clone() })))
    }

    async fn findings(&self, look: &Look<'_>) -> Result<Vec<Finding>> {
        let settings = look.ctx.settings();
        let (settings, mut packages) = (&settings.sources.dependency, packages(&look.kept)?);
        let ignored = ignored(&settings.ignore)?;
        packages.retain(|(_, name), _| !ignored.is_match(name));
        let addresses = addresses(settings)?;
        let asked = packages.into_iter().take(MOST_PACKAGES).map(|((ecosystem, name), places)| {
            let addresses = &addresses;
            async move {
                let newest = look.ctx.registries.newest(addresses, registry(ecosystem), &name).await;
                (ecosystem, name, places, newest)
            }
        });
        let mut answers = futures::stream::iter(asked).buffered(MOST_AT_ONCE);
        let (mut found, mut unknown) = (Vec::new(), 0);
        while let Some((ecosystem, name, places, newest)) = answers.next().await {
            match newest {
                Ok(Some(newest)) => {
                    let behind = behind(&places, &newest, least(settings.level));
                    found.extend(behind.map(|behind| finding(look, ecosystem, &name, &newest, &places, behind)));
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::debug!(error = %error, "a package stays unknown");
                    unknown += 1;
                }
            }
        }
        if unknown > 0 {
            tracing::warn!(repository = %look.repository, packages = unknown, "registries could not be asked; they are asked again later");
        }
        Ok(found)
    }
}

/// Reads manifests.
struct Manifests {
    selection: Selection,
}

impl Reader for Manifests {
    fn wants(&self, path: &str, size: u64) -> Option<String> {
        let refused = self.selection.skip_unread(path, size);
        let name = path.rsplit('/').next().unwrap_or(path);
        let readable = refused.is_none_or(|why| why == Skip::UnknownLanguage);
        (manifest::is_manifest(path) && readable).then(|| format!("manifest {} {name}", scan::ENGINE_VERSION))
    }

    fn read(&self, path: &str, bytes: &[u8]) -> Option<String> {
        match manifest::dependencies(path, bytes) {
            Ok(found) if found.is_empty() => None,
            Ok(found) => serde_json::to_string(&found).ok(),
            Err(error) => {
                tracing::debug!(path, error = %error, "a manifest cannot be read");
                None
            }
        }
    }
}

/// A manifest's path and what it requires there.
type Place = (String, Required);

/// What is required, by package, with every place in the order of paths and lines.
fn packages(kept: &BTreeMap<String, String>) -> Result<BTreeMap<(Ecosystem, String), Vec<Place>>> {
    let mut packages: BTreeMap<_, Vec<Place>> = BTreeMap::new();
    for (path, kept) in kept {
        let required: Vec<Required> =
            serde_json::from_str(kept).context("what was kept of a manifest cannot be read")?;
        for one in required {
            packages.entry((one.ecosystem, one.name.clone())).or_default().push((path.clone(), one));
        }
    }
    Ok(packages)
}

/// The largest step that any place is behind, if it is at least `least`; of equal steps the first.
fn behind(places: &[Place], newest: &str, least: Step) -> Option<Behind> {
    let steps = places.iter().filter_map(|(_, required)| required.behind(newest));
    steps.filter(|behind| behind.step >= least).reduce(|best, next| if next.step > best.step { next } else { best })
}

fn finding(
    look: &Look<'_>,
    ecosystem: Ecosystem,
    name: &str,
    newest: &str,
    places: &[Place],
    behind: Behind,
) -> Finding {
    let outdated: Vec<&Place> = places.iter().filter(|(_, required)| required.behind(newest).is_some()).collect();
    let mut text = format!("The newest version of `{name}` is {newest}. Update what is required here:\n");
    for (path, required) in outdated.iter().take(MOST_PLACES) {
        text.push_str(&format!("\n- {path}, line {}: `{}`", required.line, required.requirement));
    }
    if outdated.len() > MOST_PLACES {
        text.push_str(&format!("\n- and {} more", outdated.len() - MOST_PLACES));
    }
    let first = outdated.first().copied().or_else(|| places.first());
    let (path, line) = first.map_or((String::new(), 0), |(path, required)| (path.clone(), required.line));
    let kind = behind.step.as_str();
    let identity = format!("{ecosystem} {name} {}", behind.step_to);
    Finding {
        fingerprint: Fingerprint::of(&finding::Source::Dependency, kind, &identity, 0),
        source: finding::Source::Dependency,
        kind: kind.to_owned(),
        repository: look.repository.clone(),
        commit: Some(look.content.commit.clone()),
        path,
        line,
        end_line: line,
        title: crate::wording::one_line(&format!("Update {name} from {} to {}", behind.from, behind.to), 120),
        text,
        author: None,
        written_on: None,
        owner: None,
        issue: None,
        due: None,
        interest: 0,
        group: None,
        url: String::new(),
    }
}

fn registry(ecosystem: Ecosystem) -> Registry {
    match ecosystem {
        Ecosystem::Cargo => Registry::Crates,
        Ecosystem::Npm => Registry::Npm,
        Ecosystem::PyPi => Registry::PyPi,
    }
}

fn least(level: UpdateLevel) -> Step {
    match level {
        UpdateLevel::Patch => Step::Patch,
        UpdateLevel::Minor => Step::Minor,
        UpdateLevel::Major => Step::Major,
    }
}

fn addresses(settings: &DependencySource) -> Result<Addresses> {
    let url = |text: &str| text.parse().with_context(|| format!("{text} is no address of a registry"));
    Ok(Addresses { crates: url(&settings.crates_url)?, npm: url(&settings.npm_url)?, pypi: url(&settings.pypi_url)? })
}

fn ignored(patterns: &[String]) -> Result<GlobSet> {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        set.add(Glob::new(pattern).context("sources.dependency.ignore")?);
    }
    set.build().context("sources.dependency.ignore")
}
