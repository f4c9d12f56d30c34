//! What mirrors take of the disk, and its bound.
//!
//! **Wanted properties.** What a run reads from is never deleted. What is deleted can be fetched again: the next look or
//! run does, and what was kept of files is not lost. Nothing is kept of a repository that is not watched and has no run.
//!
//! **Known races.** A look that goes on while its folder is deleted fails and is tried again. What was used last goes
//! last, so that takes a budget below what the looks of one moment need.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Context as _, Result};
use backlog::names::RepoName;
use backlog::task::Stage;
use store::TaskFilter;

use crate::Context;

/// A folder below that of the mirrors.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Kept {
    /// When it was used last.
    used: SystemTime,
    name: String,
    bytes: u64,
}

/// Deletes mirrors of repositories that are not watched any more, then those that were used longest ago, until the rest
/// is within the budget.
///
/// # Errors
/// When the store or the disk fails.
pub(super) async fn tidy(ctx: &Arc<Context>) -> Result<()> {
    let budget = ctx.settings().limits.mirrors_gib.saturating_mul(1 << 30);
    let folder = ctx.paths.mirrors();
    let listed = tokio::task::spawn_blocking({
        let folder = folder.clone();
        move || kept(&folder)
    });
    let kept = listed.await.context("the mirrors could not be measured")??;
    let names = |repositories: &BTreeSet<RepoName>| -> BTreeSet<String> {
        let paths = repositories.iter().flat_map(|name| [ctx.paths.mirror(name), ctx.paths.glance(name)]);
        paths.filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect()
    };
    let watched = ctx.store.repositories().await?.into_iter().map(|repository| repository.name).collect();
    let (lent, watched) = (names(&lent(ctx).await?), names(&watched));
    let total: u64 = kept.iter().map(|one| one.bytes).sum();
    let mut left = total;
    for one in to_delete(&kept, &watched, &lent, budget) {
        let path = folder.join(&one.name);
        git::remove_folder(&path).await.with_context(|| format!("cannot delete {}", path.display()))?;
        left -= one.bytes;
        tracing::info!(
            mirror = one.name,
            bytes = one.bytes,
            "a mirror was deleted; it is fetched again when it is needed"
        );
    }
    if left > budget {
        tracing::warn!(
            bytes = left,
            budget,
            "mirrors that runs read from take more than [limits] mirrors_gib; raise it, or free them by ending tasks"
        );
    }
    metrics::gauge!("ccm_mirrors_bytes").set(left as f64);
    Ok(())
}

/// The repositories whose mirrors runs read from, or soon will.
async fn lent(ctx: &Arc<Context>) -> Result<BTreeSet<RepoName>> {
    let stages = vec![Stage::Approved, Stage::Running, Stage::Verifying];
    let tasks = ctx.store.tasks(&TaskFilter { stages, ..TaskFilter::default() }).await?;
    let mut lent: BTreeSet<RepoName> = tasks.into_iter().map(|task| task.repository).collect();
    for run in super::folders(ctx).await? {
        lent.extend(ctx.store.run(&run).await?.map(|run| run.repository));
    }
    Ok(lent)
}

/// What is to be deleted: all that is neither watched nor lent, then the longest unused that is not lent.
fn to_delete<'a>(kept: &'a [Kept], watched: &BTreeSet<String>, lent: &BTreeSet<String>, budget: u64) -> Vec<&'a Kept> {
    let (unwatched, rest): (Vec<&Kept>, Vec<&Kept>) =
        kept.iter().filter(|one| !lent.contains(&one.name)).partition(|one| !watched.contains(&one.name));
    let mut deleted = unwatched;
    let mut left = kept.iter().map(|one| one.bytes).sum::<u64>() - deleted.iter().map(|one| one.bytes).sum::<u64>();
    let mut oldest = rest;
    oldest.sort();
    for one in oldest {
        if left <= budget {
            break;
        }
        left -= one.bytes;
        deleted.push(one);
    }
    deleted
}

/// What lies in the folder of mirrors. A folder that goes meanwhile counts as empty.
fn kept(folder: &Path) -> Result<Vec<Kept>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let entry = entry?;
        let Ok(meta) = entry.metadata() else { continue };
        let name = entry.file_name().to_string_lossy().into_owned();
        found.push(Kept { used: meta.modified()?, name, bytes: size(entry.path()) });
    }
    Ok(found)
}

/// The bytes of the files below a folder.
fn size(folder: PathBuf) -> u64 {
    let (mut bytes, mut folders) = (0, vec![folder]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(meta) if meta.is_dir() => folders.push(entry.path()),
                Ok(meta) => bytes += meta.len(),
                Err(_) => {}
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_longest_unused_goes_first_and_what_is_lent_never() {
        let kept: Vec<Kept> = ["a", "b", "c", "d", "gone"]
            .iter()
            .zip(1..)
            .map(|(name, day)| Kept {
                used: SystemTime::UNIX_EPOCH + Duration::from_secs(86_400 * day),
                name: (*name).to_owned(),
                bytes: 10,
            })
            .collect();
        let set = |names: &str| names.split_terminator(' ').map(str::to_owned).collect::<BTreeSet<_>>();
        for (lent, budget, expected) in [
            ("", 40, "gone"),
            ("", 39, "gone a"),
            ("", 20, "gone a b"),
            ("", 0, "gone a b c d"),
            ("a", 30, "gone b"),
            ("a b", 0, "gone c d"),
            ("gone", 50, ""),
            ("gone", 40, "a"),
        ] {
            let deleted = to_delete(&kept, &set("a b c d"), &set(lent), budget);
            let names: Vec<&str> = deleted.iter().map(|one| one.name.as_str()).collect();
            assert_eq!(names.join(" "), expected, "{lent} {budget}");
        }
    }
}
