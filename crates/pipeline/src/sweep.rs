//! The sweep: asking which repositories changed, instead of looking at each.
//!
//! **Definition.** [`changed`] asks the code hosts about all repositories at once and nudges those in which something
//! happened; [`hinted`] asks so about a few of which somebody says so; [`everything`] nudges all of them, for what nobody
//! told of.
//!
//! **Wanted properties.** A thousand repositories in which nothing happens cost twenty requests a sweep and no look at
//! any of them. A repository that was renamed, archived, deleted or closed to the credential is parked with a reason
//! and what mends it. What could not be asked is asked the next time, and never passes for unchanged.
//!
//! **Design.** Reconcilers. Each repository has a mark, kept in one note; another mark is a nudge. Where the code host
//! is not asked or gives no answer, git is asked for the default branch's commit: one small request, eight at once.
//!
//! **Known races.** The process dies after a new mark was kept and before the nudge was followed: at its next start
//! everything is looked at once anyway. Harmless. A change of the way of asking changes all marks: everything is
//! looked at once more.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use backlog::names::RepoName;
use forge::{Change, Forge, ForgeError, Known};
use futures::StreamExt as _;
use git::{GitError, RemoteHead};
use store::Repository;

use crate::discover::{is_closed, park};
use crate::{Context, Hint, discover};

/// How often everything is looked at, whatever the code hosts say (R49).
pub(crate) const EVERYTHING_EVERY: Duration = Duration::from_secs(3600);
/// How often hints are followed: what comes in between is one question.
pub(crate) const HINTED_EVERY: Duration = Duration::from_secs(60);
/// Questions to git at once; a host's own bound is the same.
const AT_ONCE: usize = 8;
const SPACE: &str = "sweep";
const KEY: &str = "marks";

type Marks = BTreeMap<RepoName, String>;

/// Reconciler: nudges the repositories in which something happened since the last sweep.
///
/// # Errors
/// When the store fails, or a code host: the next sweep asks again.
pub async fn changed(ctx: &Arc<Context>) -> Result<()> {
    asked(ctx, |_| true, true).await
}

/// Reconciler: nudges those of the hinted repositories in which something happened.
///
/// # Errors
/// As [`changed`]; then the next sweep asks.
pub async fn hinted(ctx: &Arc<Context>, hints: &BTreeMap<RepoName, Hint>) -> Result<()> {
    for (name, _) in hints.iter().filter(|(_, hint)| **hint == Hint::Alert) {
        ctx.nudges.ask_for_all(name);
    }
    asked(ctx, |name| hints.get(name) == Some(&Hint::Change), false).await
}

/// Asks about the repositories that `wanted` selects, and git where the code host is not asked, if `by_git`; else those are
/// nudged: git knows neither checks nor issues.
async fn asked(ctx: &Arc<Context>, wanted: impl Fn(&RepoName) -> bool, by_git: bool) -> Result<()> {
    let repositories = ctx.store.repositories().await?;
    let before = ctx.store.note(SPACE, KEY, ctx.now()).await?;
    let mut marks: Marks = before.as_ref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    marks.retain(|name, _| repositories.iter().any(|repository| repository.name == *name));
    let mut failed = None;
    for (forge, local) in [(&ctx.forges.github, false), (&ctx.forges.local, true)] {
        let Some(forge) = forge else { continue };
        let here =
            repositories.iter().filter(|one| one.name.is_local() == local && !is_closed(one) && wanted(&one.name));
        let here: Vec<&Repository> = here.collect();
        let done = match ask(ctx, forge, &here, &mut marks).await {
            Ok(unasked) if by_git => ask_git(ctx, unasked, &mut marks).await,
            Ok(unasked) => {
                unasked.iter().for_each(|name| ctx.nudges.ask_for_all(name));
                Ok(())
            }
            Err(error) => Err(error),
        };
        if let Err(error) = done {
            failed.get_or_insert(error);
        }
    }
    let text = serde_json::to_string(&marks)?;
    if before.as_ref() != Some(&text) {
        ctx.store.put_note(SPACE, KEY, &text, None).await?;
    }
    failed.map_or(Ok(()), Err)
}

/// Reconciler: has every repository looked at, as if something had happened in it.
///
/// # Errors
/// When the store fails.
pub async fn everything(ctx: &Arc<Context>) -> Result<()> {
    ctx.nudges.ask_for_list();
    for repository in ctx.store.repositories().await? {
        ctx.nudges.ask_for_code(&repository.name);
    }
    Ok(())
}

/// Why a repository cannot be worked, and what mends it.
pub(crate) fn why_closed(change: &Change) -> Option<String> {
    match change {
        Change::Nothing | Change::Something(_) | Change::Unasked => None,
        Change::Renamed(to) => Some(format!(
            "It is called {to} now. Put that name into ccm.toml if no pattern there selects it; tasks under the old name \
             can be finished or cancelled."
        )),
        Change::Closed(reason) => Some(reason.clone()),
    }
}

/// Asks a code host; gives the repositories that it was not asked for.
async fn ask(
    ctx: &Arc<Context>,
    forge: &Arc<dyn Forge>,
    here: &[&Repository],
    marks: &mut Marks,
) -> Result<Vec<RepoName>> {
    let mark = |name: &RepoName| marks.get(name).cloned().unwrap_or_default();
    let known: Vec<Known> = here.iter().map(|one| Known { name: one.name.clone(), mark: mark(&one.name) }).collect();
    if known.is_empty() {
        return Ok(Vec::new());
    }
    let mut unasked = Vec::new();
    for (name, change) in forge.changes(&known).await? {
        match change {
            Change::Nothing => {}
            Change::Something(mark) => {
                ctx.nudges.ask_for_all(&name);
                marks.insert(name, mark);
            }
            Change::Unasked => unasked.push(name),
            Change::Renamed(_) | Change::Closed(_) => {
                let closed = here.iter().find(|repository| repository.name == name);
                if let (Some(closed), Some(reason)) = (closed, why_closed(&change)) {
                    park(ctx, (*closed).clone(), reason, None).await?;
                }
            }
        }
    }
    Ok(unasked)
}

/// Asks git for the heads of what the code host was not asked for.
async fn ask_git(ctx: &Arc<Context>, unasked: Vec<RepoName>, marks: &mut Marks) -> Result<()> {
    let mut heads = futures::stream::iter(unasked)
        .map(|name| async {
            let head = head(ctx, &name).await;
            (name, head)
        })
        .buffer_unordered(AT_ONCE);
    let mut failed = None;
    while let Some((name, head)) = heads.next().await {
        match head {
            Ok(RemoteHead { branch, commit }) => {
                let branch = branch.map_or(String::new(), |branch| branch.to_string());
                let mark = format!("git {} {branch}", commit.map_or(String::new(), |commit| commit.to_string()));
                if marks.get(&name) != Some(&mark) {
                    ctx.nudges.ask_for_code(&name);
                    marks.insert(name, mark);
                }
            }
            // Asking on would only prolong it.
            Err(error)
                if matches!(error.downcast_ref(), Some(GitError::Limited { .. }))
                    || matches!(error.downcast_ref(), Some(ForgeError::Limited { .. })) =>
            {
                return Err(error);
            }
            // A look at it parks it with the reason.
            Err(error) if matches!(error.downcast_ref(), Some(GitError::NotFound { .. } | GitError::Denied { .. })) => {
                ctx.nudges.ask_for_code(&name);
            }
            Err(error) => {
                failed.get_or_insert(error);
            }
        }
    }
    failed.map_or(Ok(()), Err)
}

async fn head(ctx: &Arc<Context>, name: &RepoName) -> Result<RemoteHead> {
    Ok(ctx.git.remote_head(discover::remote(ctx, name).await?).await?)
}
