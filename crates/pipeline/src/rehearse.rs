//! A dry run over all repositories: what would be proposed, before anything is written anywhere.
//!
//! **Definition.** [`rehearse`] looks at every repository once, ranks what it finds, and proposes as far as the caps allow,
//! on a copy of the state and with cards in place of issues.
//!
//! **Wanted properties.** It takes the same way as the service, so that what it says is what would happen. A repository
//! that hangs or is broken keeps no other from being looked at. The same state gives the same answer.
//!
//! **Design.** The caller gives a context whose store is a copy and whose code hosts only read
//! ([`forge::read_only::ReadOnly`]); here proposals go to the dashboard and quiet hours do not count. What was proposed on
//! the code host before is looked up there once for each repository: the database may be a new one. An issue that is open
//! is taken over instead of a second one; one that was closed stays closed, and the next best is proposed in its place.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::Result;
use backlog::event::{Actor, Channel};
use backlog::expect::Expectations;
use backlog::finding::Fingerprint;
use backlog::names::{RepoName, TaskId};
use backlog::task::{IssueLink, Stage, Task};
use forge::IssueView;
use futures::StreamExt as _;
use store::TaskFilter;

use crate::approve::{self, Decision};
use crate::discover::{self, Looked};
use crate::settings::Place;
use crate::{Context, follow_up, propose, rank};

/// How often the places of closed proposals are filled: the next best may have been closed as well.
const ROUNDS: usize = 20;

/// What a dry run came to.
#[derive(Clone, Debug)]
pub struct Rehearsal {
    /// What would be proposed, the best first.
    pub proposals: Vec<Task>,
    /// Proposals that say the same in several repositories, such as forks: the ids of each such group, what is open already
    /// first.
    pub duplicates: Vec<Vec<TaskId>>,
    /// What is proposed already and stays so, with the issue of each that is one.
    pub open: Vec<(Task, Option<IssueLink>)>,
    /// What people said no to, which stays so, with the issue of each that was one.
    pub closed: Vec<(Task, Option<IssueLink>)>,
    /// How many repositories there are, and how many of them were looked at.
    pub repositories: usize,
    /// See there.
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
    let as_issues = settings.proposals.place == Place::Issue;
    settings.proposals.place = Place::Dashboard;
    settings.proposals.quiet_hours = None;
    let at_once = settings.limits.concurrent_repositories.max(1) as usize;
    ctx.set_settings(settings);
    let before = in_stage(ctx, Stage::Proposed).await?;
    let before: BTreeSet<&TaskId> = before.iter().map(|task| &task.id).collect();
    discover::watch(ctx).await?;
    let mut repositories = ctx.store.repositories().await?;
    repositories.sort_by_cached_key(|repository| ctx.progress.tier(&repository.name));
    ctx.progress.expect(repositories.iter().filter(|repository| !discover::is_closed(repository)).count());
    let looks = futures::stream::iter(repositories.iter().map(|repository| async move {
        decided_meanwhile(ctx, &repository.name).await;
        let looked = discover::scan(ctx, repository, true).await;
        (&repository.name, looked)
    }));
    let looks: BTreeMap<&RepoName, Result<Looked>> = looks.buffer_unordered(at_once).collect().await;
    rank::rerank(ctx).await?;
    let (mut held, mut read) = (Vec::new(), Vec::new());
    for (name, looked) in looks {
        let why = match looked {
            Ok(Looked::Read) => {
                read.push(name.clone());
                continue;
            }
            Ok(Looked::Later(until)) => Some(format!("A limit of the code host came in between, until {until}.")),
            Ok(Looked::Parked) => parked(ctx, name).await?,
            Err(error) => Some(format!("{error:#}")),
        };
        held.extend(why.map(|why| (name.clone(), why)));
    }
    let there = propose_all(ctx, &read, as_issues, &mut held).await?;
    held.extend(read.iter().filter_map(|name| Some((name.clone(), ctx.proposing.waits(name)?))));
    held.sort();
    let link = |task: &Task| {
        let known = task.state.proposal().and_then(|proposal| proposal.issue.clone());
        known.or_else(|| there.get(&task.id).map(|view| view.link.clone()))
    };
    let (mut proposals, mut open) = (Vec::new(), Vec::new());
    for task in in_stage(ctx, Stage::Proposed).await? {
        let link = link(&task);
        if link.is_some() || before.contains(&task.id) {
            open.push((task, link));
        } else {
            proposals.push(task);
        }
    }
    // Which of equals was found first says nothing here.
    proposals.sort_by_key(|task| (Reverse(task.score.points), task.repository.clone(), task.id.clone()));
    let closed = in_stage(ctx, Stage::Rejected).await?.into_iter().map(|task| (link(&task), task));
    Ok(Rehearsal {
        duplicates: duplicates(&proposals, &open),
        closed: closed.map(|(link, task)| (task, link)).collect(),
        repositories: repositories.len(),
        looked_at: read.len(),
        expectations: rank::expectations(ctx).await?,
        proposals,
        open,
        held,
    })
}

/// What people did on the code host since the service ran last.
async fn decided_meanwhile(ctx: &Arc<Context>, name: &RepoName) {
    for done in [approve::read_decisions(ctx, name).await, follow_up::follow_up(ctx, name).await] {
        if let Err(error) = done {
            tracing::warn!(repository = %name, error = format!("{error:#}"), "what people decided there is not known");
        }
    }
}

/// Proposes in all repositories, until no place is left that an issue which was closed before would not take. Gives what
/// was proposed on the code host before, by task.
async fn propose_all(
    ctx: &Arc<Context>,
    read: &[RepoName],
    as_issues: bool,
    held: &mut Vec<(RepoName, String)>,
) -> Result<BTreeMap<TaskId, IssueView>> {
    let (mut there, mut asked) = (BTreeMap::new(), BTreeSet::new());
    for round in 0..ROUNDS {
        for name in read {
            propose::propose_next(ctx, name).await?;
        }
        let new = in_stage(ctx, Stage::Proposed).await?;
        let new = new.iter().filter(|task| as_issues && task.state.proposal().is_some_and(|it| it.issue.is_none()));
        let mut closed = false;
        for task in new.filter(|task| task.born_of().is_none()) {
            let host = ctx.settings().manager_repository.clone().unwrap_or_else(|| task.repository.clone());
            if asked.insert(host.clone()) {
                match ctx.forges.of(&host)?.proposals(&host).await {
                    Ok(found) => there.extend(found),
                    Err(error) => held.push((host, format!("What was proposed there before is not known: {error}."))),
                }
            }
            if there.get(&task.id).is_some_and(|view| !view.open) {
                let by = Actor::person("somebody", Channel::Forge);
                approve::decide(ctx, &task.id, Decision::Reject, by).await?;
                closed = true;
            }
        }
        // What a repository waits for is right only when all have taken their places.
        if !closed && round > 0 {
            break;
        }
    }
    Ok(there)
}

async fn in_stage(ctx: &Context, stage: Stage) -> Result<Vec<Task>> {
    Ok(ctx.store.tasks(&TaskFilter { stages: vec![stage], ..TaskFilter::default() }).await?)
}

async fn parked(ctx: &Context, name: &RepoName) -> Result<Option<String>> {
    Ok(ctx.store.repository(name).await?.and_then(|known| known.parked))
}

/// The proposals that are about the same in several repositories, what is open there already included: a fingerprint knows
/// no repository.
fn duplicates(proposals: &[Task], open: &[(Task, Option<IssueLink>)]) -> Vec<Vec<TaskId>> {
    let mut same: BTreeMap<&Fingerprint, Vec<TaskId>> = BTreeMap::new();
    for task in open.iter().map(|(task, _)| task).chain(proposals) {
        if let Some(finding) = &task.finding {
            same.entry(&finding.fingerprint).or_default().push(task.id.clone());
        }
    }
    let new = |id: &TaskId| proposals.iter().any(|task| task.id == *id);
    same.into_values().filter(|tasks| tasks.len() > 1 && tasks.iter().any(new)).collect()
}
