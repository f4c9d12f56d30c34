//! Which tasks take the places that an owner has left.
//!
//! **Definition.** [`share`] chooses the tasks of one repository that are proposed now; [`pass_on`] tells the others that
//! a place has become free.
//!
//! **Wanted properties.** The best of all repositories of an owner take its places, whichever was looked at first. A
//! repository that is broken or slow holds back no more places than it may take itself.
//!
//! **Design.** Where all repositories of an owner together may have no more than the owner, each takes what it may.
//! Else the places are counted out over what waits in all of them (`backlog::room::shares`); of a repository that this
//! process has not looked at yet nothing is known, so as many places are held back as it might take. Whoever counts
//! proposes its own share, and nudges the others that have one: once for each task, so that two of them whose proposals
//! fail do not keep each other going.
//!
//! **Known race.** A repository fails to propose what a place was counted out for: the place stays free until it works, it
//! is parked, or the best of it is another one. Bounded by what the repository may take.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Result;
use backlog::names::{RepoName, TaskId};
use backlog::room::{Full, Load, Waiting, room, shares};
use backlog::task::Stage;
use store::{Repository, TaskFilter};

use crate::settings::RepositoryPolicy;
use crate::{Context, wording};

/// The tasks of a repository to propose now, best first, and why it is not more, if so.
pub(super) async fn share(
    ctx: &Arc<Context>,
    mine: Waiting,
    policy: &RepositoryPolicy,
) -> Result<(Vec<TaskId>, Option<String>)> {
    let (name, caps) = (mine.repository.clone(), policy.caps(&ctx.settings().proposals));
    let open = proposed(ctx, name.owner()).await?;
    let load = Load { pulls: mine.pulls, repository: mine.proposed, owner: open };
    let free = match room(&caps, &load) {
        Ok(free) => free,
        Err(full) => {
            if let Full::Owner(_) = full {
                ctx.proposing.known().tight.insert(name.owner().to_owned());
            } else {
                pass_on(ctx, &name).await?;
            }
            return Ok((Vec::new(), Some(wording::full(full, &name))));
        }
    };
    let (wanted, left) = (free.min(mine.found.len()), caps.per_owner.saturating_sub(open));
    let rivals = rivals(ctx, &name).await?;
    // More than all may take together: nobody has to wait for anybody.
    if (rivals.len() + 1).saturating_mul(ctx.settings().proposals.max_open_per_repository) <= left {
        ctx.proposing.known().tight.remove(name.owner());
        let room = mine.room(&caps);
        return Ok((shares(&[(mine, room)], left).into_iter().map(|(_, id)| id).collect(), None));
    }
    let (chosen, unseen) = count_out(ctx, &name, &rivals, left).await?;
    let why = match (chosen.len() < wanted, unseen) {
        (false, _) => None,
        (true, 0) => Some(wording::better_elsewhere(name.owner())),
        (true, _) => Some(wording::others_first(name.owner())),
    };
    Ok((chosen, why))
}

/// Tells the repositories of the same owner that a place has become free, where its cap holds something back.
pub(super) async fn pass_on(ctx: &Arc<Context>, name: &RepoName) -> Result<()> {
    let proposals = &ctx.settings().proposals;
    if !ctx.proposing.known().tight.contains(name.owner()) || proposals.quiet_until(ctx.now()).is_some() {
        return Ok(());
    }
    let left = proposals.max_open_per_owner.saturating_sub(proposed(ctx, name.owner()).await?);
    if left > 0 {
        count_out(ctx, name, &rivals(ctx, name).await?, left).await?;
    }
    Ok(())
}

/// Counts the places out: gives those of this repository, nudges the others that have some, and says how many
/// repositories are still to be looked at.
async fn count_out(
    ctx: &Arc<Context>,
    name: &RepoName,
    rivals: &[Repository],
    left: usize,
) -> Result<(Vec<TaskId>, usize)> {
    let proposals = ctx.settings().proposals.clone();
    let each = proposals.max_open_per_repository;
    let unseen = rivals.iter().filter(|rival| is_unseen(ctx, &rival.name)).count();
    let left = left.saturating_sub(unseen.saturating_mul(each));
    let waiting = if left == 0 { Vec::new() } else { ctx.store.waiting(name.owner(), each).await? };
    let reachable = |here: &Waiting| here.repository == *name || rivals.iter().any(|one| one.name == here.repository);
    let with_room = waiting.into_iter().filter(reachable).filter_map(|here| {
        let room = here.room(&ctx.proposing.policy(&here.repository)?.caps(&proposals));
        Some((here, room))
    });
    let with_room: Vec<(Waiting, usize)> = with_room.collect();
    let wanted: usize = with_room.iter().map(|(here, room)| here.found.len().min(*room)).sum();
    let mut known = ctx.proposing.known();
    if unseen > 0 || wanted > left {
        known.tight.insert(name.owner().to_owned());
    } else {
        known.tight.remove(name.owner());
    }
    let mut best: BTreeMap<RepoName, Vec<TaskId>> = BTreeMap::new();
    for (repository, id) in shares(&with_room, left) {
        best.entry(repository).or_default().push(id);
    }
    let own = best.remove(name).unwrap_or_default();
    if own.is_empty() {
        known.told.remove(name);
    }
    for (repository, ids) in best {
        let first = ids.into_iter().next();
        if first.is_some() && known.told.get(&repository) != first.as_ref() {
            ctx.nudges.ask(&repository);
            known.told.extend(first.map(|id| (repository, id)));
        }
    }
    Ok((own, unseen))
}

/// How many proposals are open in all repositories of an owner.
async fn proposed(ctx: &Context, owner: &str) -> Result<usize> {
    let (owner, stages) = (Some(owner.to_owned()), vec![Stage::Proposed]);
    Ok(ctx.store.tasks(&TaskFilter { owner, stages, ..TaskFilter::default() }).await?.len())
}

/// The other repositories of the owner that can be worked.
async fn rivals(ctx: &Context, name: &RepoName) -> Result<Vec<Repository>> {
    let mut all = ctx.store.repositories().await?;
    all.retain(|one| one.name.owner() == name.owner() && one.name != *name && one.parked.is_none());
    Ok(all)
}

/// Whether this process has not looked at a repository yet, so that nobody knows what waits there.
fn is_unseen(ctx: &Context, name: &RepoName) -> bool {
    ctx.proposing.policy(name).is_none() && !ctx.progress.was_looked_at(name)
}
