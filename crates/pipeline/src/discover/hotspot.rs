//! The source `hotspot`: complex functions in files that change often.
//!
//! **Definition.** A function counts when its complexity and the number of recent commits that changed its file both reach
//! the settings. Of each file the most complex one counts, and of a repository those with the highest product.
//!
//! **Wanted properties.** A proposal does not come and go with every commit: a function that is known stays, whatever its
//! rank, as long as it reaches the settings, and what is said of it names rounded numbers only.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use backlog::finding::{self, Finding, Fingerprint};
use backlog::names::TaskId;
use scan::Selection;
use scan::functions::Function;
use store::TaskFilter;

use super::source::{Look, Moves, Reader, Source};
use crate::settings::{HotspotSource, RepositoryPolicy, Sources};

/// The least complexity of a function that is kept of a file.
const KEPT: u32 = 5;

/// See the module.
pub(super) struct Hotspot;

#[async_trait]
impl Source for Hotspot {
    fn name(&self) -> finding::Source {
        finding::Source::Hotspot
    }

    fn is_on(&self, settings: &Sources, policy: &RepositoryPolicy) -> bool {
        settings.hotspot.enabled && policy.sources.hotspot != Some(false)
    }

    fn moves(&self) -> Moves {
        Moves { with_code: true, ..Moves::default() }
    }

    fn signature(&self, settings: &Sources) -> String {
        format!("engine={} {:?}", scan::ENGINE_VERSION, settings.hotspot)
    }

    fn reader(&self, settings: &Sources, selection: &Selection) -> Result<Option<Arc<dyn Reader>>> {
        let selection = selection.clone().without(&settings.hotspot.exclude)?;
        Ok(Some(Arc::new(Functions { selection })))
    }

    async fn findings(&self, look: &Look<'_>) -> Result<Vec<Finding>> {
        let settings = look.ctx.settings();
        let settings = &settings.sources.hotspot;
        if look.kept.is_empty() {
            return Ok(Vec::new());
        }
        let changes = look.mirror().await?.change_counts(&look.content.commit, settings.commits).await?;
        let mut candidates = Vec::new();
        for (path, kept) in &look.kept {
            let function: Function = serde_json::from_str(kept).context("what was kept of a file cannot be read")?;
            let changes = changes.get(path).copied().unwrap_or(0);
            if function.complexity >= settings.complexity && changes >= settings.changes {
                candidates.push((u64::from(function.complexity) * u64::from(changes), path, function, changes));
            }
        }
        candidates.sort_by(|(one, path, ..), (other, other_path, ..)| (other, path).cmp(&(one, other_path)));
        let filter = TaskFilter { repository: Some(look.repository.clone()), ..TaskFilter::default() };
        let tasks = look.ctx.store.tasks(&filter).await?;
        let known: BTreeSet<TaskId> =
            tasks.into_iter().filter(|task| !task.state.is_final()).map(|task| task.id).collect();
        let mut ordinals = BTreeMap::new();
        let found = candidates.into_iter().map(|(_, path, function, changes)| {
            let name = path.rsplit('/').next().unwrap_or(path);
            let identity = format!("{name} {}", function.name);
            let ordinal = ordinals.entry(identity.clone()).or_insert(0_usize);
            *ordinal += 1;
            finding(look, settings, path, &function, changes, &identity, *ordinal - 1)
        });
        let (stay, fresh): (Vec<_>, Vec<_>) = found.partition(|finding| known.contains(&finding.task_id()));
        let room = settings.most.saturating_sub(stay.len());
        Ok(stay.into_iter().chain(fresh.into_iter().take(room)).collect())
    }
}

/// Finds the most complex function of a file.
struct Functions {
    selection: Selection,
}

impl Reader for Functions {
    fn wants(&self, path: &str, size: u64) -> Option<String> {
        self.selection.skip_unread(path, size).is_none().then(|| self.selection.class(path))
    }

    fn read(&self, path: &str, bytes: &[u8]) -> Option<String> {
        let functions = self.selection.functions(path, bytes).ok()?;
        // The first of equals.
        let most = functions.into_iter().rev().max_by_key(|function| function.complexity)?;
        (most.complexity >= KEPT).then(|| serde_json::to_string(&most).ok())?
    }
}

fn finding(
    look: &Look<'_>,
    settings: &HotspotSource,
    path: &str,
    function: &Function,
    changes: u32,
    identity: &str,
    ordinal: usize,
) -> Finding {
    let kind = "complexity";
    let (name, complexity, changes) = (&function.name, rounded(function.complexity), rounded(changes));
    let text = format!(
        "The function `{name}` has {complexity} or more ways through it, and its file was changed in {changes} or more of \
         the last {} commits. Make it simpler without changing what it does: name its parts, flatten what is nested, \
         take out what is not needed. Where it has no tests, add some first.",
        settings.commits
    );
    Finding {
        fingerprint: Fingerprint::of(&finding::Source::Hotspot, kind, identity, ordinal),
        source: finding::Source::Hotspot,
        kind: kind.to_owned(),
        repository: look.repository.clone(),
        commit: Some(look.content.commit.clone()),
        path: path.to_owned(),
        line: function.first_line,
        end_line: function.last_line,
        title: crate::wording::one_line(&format!("Simplify the function {name}"), 120),
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

/// The number, rounded down to 1, 2 or 5 and zeros, so that it is another one seldom.
fn rounded(number: u32) -> u32 {
    let mut unit = 1;
    while number / unit >= 10 {
        unit *= 10;
    }
    let lead = [5, 2, 1].into_iter().find(|lead| number / unit >= *lead);
    lead.map_or(number, |lead| lead * unit)
}

#[test]
fn numbers_are_rounded_down() {
    assert_eq!(
        [0, 1, 4, 9, 15, 49, 50, 199, 1_000, u32::MAX].map(rounded),
        [0, 1, 2, 5, 10, 20, 50, 100, 1_000, 2_000_000_000]
    );
}
