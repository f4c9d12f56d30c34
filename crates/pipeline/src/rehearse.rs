//! A dry run over all repositories: what would be proposed, before anything is written anywhere.
//!
//! **Definition.** [`rehearse`] looks at every repository once, ranks what it finds, and proposes as far as the caps allow,
//! on a copy of the state and with cards in place of issues.
//!
//! **Wanted properties.** It takes the same way as the service, so that what it says is what would happen. A repository
//! that hangs or is broken keeps no other from being looked at. The same state gives the same answer.
//!
//! **Design.** The caller gives a context whose store is a copy and whose code hosts only read
//! ([`forge::read_only::ReadOnly`]); here proposals go to the dashboard and quiet hours do not count.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::Result;
use backlog::expect::Expectations;
use backlog::finding::Fingerprint;
use backlog::names::{RepoName, TaskId};
use backlog::task::{Stage, Task};
use futures::StreamExt as _;
use store::TaskFilter;

use crate::discover::{self, Looked};
use crate::settings::Place;
use crate::{Context, propose, rank};

/// What a dry run came to.
#[derive(Clone, Debug)]
pub struct Rehearsal {
    /// What would be proposed, the best first.
    pub proposals: Vec<Task>,
    /// Proposals that say the same in several repositories, such as forks: the ids of each such group.
    pub duplicates: Vec<Vec<TaskId>>,
    /// The repositories that were looked at.
    pub looked_at: usize,
    /// Those that nothing (more) would be proposed in, and why, by name.
    pub held: Vec<(RepoName, String)>,
    /// What tasks are likely to take.
    pub expectations: Expectations,
}

impl Rehearsal {
    /// What all proposals together are expected to cost, in micro-USD, and for how many of them that is known.
    #[must_use]
    pub fn expected_cost(&self) -> (u64, usize) {
        let costs = self.proposals.iter().filter_map(|task| self.expectations.about(&task.source, &task.kind));
        costs.fold((0, 0), |(sum, known), of| (sum.saturating_add(of.cost_micro_usd), known + 1))
    }
}

/// Looks at everything once and says what would be proposed.
///
/// # Errors
/// When the store fails.
pub async fn rehearse(ctx: &Arc<Context>) -> Result<Rehearsal> {
    let mut settings = (*ctx.settings()).clone();
    settings.proposals.place = Place::Dashboard;
    settings.proposals.quiet_hours = None;
    let at_once = settings.limits.concurrent_repositories.max(1) as usize;
    ctx.set_settings(settings);
    let before = proposed(ctx).await?;
    let before: BTreeSet<&TaskId> = before.iter().map(|task| &task.id).collect();
    discover::watch(ctx).await?;
    let mut repositories = ctx.store.repositories().await?;
    repositories.sort_by_cached_key(|repository| ctx.progress.tier(&repository.name));
    ctx.progress.expect(repositories.iter().filter(|repository| !discover::is_closed(repository)).count());
    let looks = futures::stream::iter(repositories.iter().map(|repository| async move {
        let looked = discover::scan(ctx, repository, true).await;
        (&repository.name, looked)
    }));
    let looks: BTreeMap<&RepoName, Result<Looked>> = looks.buffer_unordered(at_once).collect().await;
    rank::rerank(ctx).await?;
    let (mut held, mut looked_at) = (Vec::new(), 0);
    for (name, looked) in looks {
        let why = match looked {
            Ok(Looked::Read(policy)) => {
                looked_at += 1;
                propose::propose_next(ctx, name, &policy).await?;
                ctx.proposing.waits(name)
            }
            Ok(Looked::Later(until)) => Some(format!("A limit of the code host came in between, until {until}.")),
            Ok(Looked::Parked) => parked(ctx, name).await?,
            Err(error) => Some(format!("{error:#}")),
        };
        held.extend(why.map(|why| (name.clone(), why)));
    }
    let proposals: Vec<Task> = proposed(ctx).await?.into_iter().filter(|task| !before.contains(&task.id)).collect();
    let duplicates = duplicates(&proposals);
    Ok(Rehearsal { proposals, duplicates, looked_at, held, expectations: rank::expectations(ctx).await? })
}

async fn proposed(ctx: &Context) -> Result<Vec<Task>> {
    Ok(ctx.store.tasks(&TaskFilter { stages: vec![Stage::Proposed], ..TaskFilter::default() }).await?)
}

async fn parked(ctx: &Context, name: &RepoName) -> Result<Option<String>> {
    let known = ctx.store.repositories().await?;
    Ok(known.into_iter().find(|known| known.name == *name).and_then(|known| known.parked))
}

/// The proposals that are about the same in several repositories: a fingerprint knows no repository.
fn duplicates(proposals: &[Task]) -> Vec<Vec<TaskId>> {
    let mut same: BTreeMap<&Fingerprint, Vec<TaskId>> = BTreeMap::new();
    for task in proposals {
        if let Some(finding) = &task.finding {
            same.entry(&finding.fingerprint).or_default().push(task.id.clone());
        }
    }
    same.into_values().filter(|tasks| tasks.len() > 1).collect()
}
