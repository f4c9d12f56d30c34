//! Proposing: shows the best tasks to people, and keeps what was shown true.
//!
//! **Definition.** [`propose_next`] fills a repository's free slots with its best tasks; [`reflect`] brings each
//! proposal's issue in line with where its task stands now. A task that was born from a person's issue is proposed on that
//! issue, by one comment that always says where the task stands.
//!
//! **Wanted properties.** Never more open proposals than the caps allow; nothing that nobody asked for is written in
//! quiet hours; never a second issue for a task; a closed proposal stays closed; an issue is closed with a word when its
//! work is gone, and a person's issue never; whoever asks why nothing more is proposed is told ([`Proposing::waits`]).
//!
//! **Known races.** *A crash between creating the issue and storing the proposal*: the issue is found again by its
//! marker, so the next activation stores the same one. *Somebody closes the issue in between*: it is found closed,
//! and the task is rejected instead of proposed.

mod origin;
pub(crate) mod refresh;
mod share;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use backlog::approval::ContentHash;
use backlog::event::{Actor, Channel, EventKind, NewEvent};
use backlog::names::{RepoName, TaskId};
use backlog::room::Waiting;
use backlog::task::{Command, IssueLink, Proposal, Stage, Task, TaskState};
use backlog::time::Timestamp;
use forge::{Forge, ForgeError, IssueClose, IssueDraft, IssuePatch};
use store::{Commit, StoreError, TaskFilter};

use crate::settings::{Place, RepositoryPolicy};
use crate::{Context, keep_going, rank, wording};

/// What proposing remembers within this process. Bounded by the number of repositories.
#[derive(Default)]
pub struct Proposing {
    /// One owner's repositories take turns: else two of them could take the same last free slot.
    turns: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    waits: BTreeMap<RepoName, String>,
    policies: BTreeMap<RepoName, RepositoryPolicy>,
    /// Owners whose cap holds something back.
    tight: BTreeSet<String>,
    /// The repositories that were told that a place is theirs, and for which task.
    told: BTreeMap<RepoName, TaskId>,
}

impl Proposing {
    /// Why nothing more is proposed in a repository where there is more to propose, as finished sentences.
    #[must_use]
    pub fn waits(&self, repository: &RepoName) -> Option<String> {
        self.known().waits.get(repository).cloned()
    }

    /// Keeps a repository's own policy, as the last look read it; `None` where nothing is to be proposed for now.
    pub(crate) fn keep(&self, repository: &RepoName, policy: Option<RepositoryPolicy>) {
        let mut known = self.known();
        match policy {
            Some(policy) => known.policies.insert(repository.clone(), policy),
            None => known.policies.remove(repository),
        };
    }

    fn policy(&self, repository: &RepoName) -> Option<RepositoryPolicy> {
        self.known().policies.get(repository).cloned()
    }

    fn say(&self, repository: &RepoName, why: Option<String>) {
        let mut known = self.known();
        match why {
            Some(why) => known.waits.insert(repository.clone(), why),
            None => known.waits.remove(repository),
        };
    }

    fn turn(&self, owner: &str) -> Arc<tokio::sync::Mutex<()>> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner).entry(owner.to_owned()).or_default().clone()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reconciler: proposes the best tasks of a repository as far as the caps allow. Gives back when it is to be asked again
/// because quiet hours end then. Nothing is proposed in a repository that no look has read, or that is parked.
///
/// # Errors
/// When the code host or the store cannot be asked; it is tried again at the next activation.
pub async fn propose_next(ctx: &Arc<Context>, repository: &RepoName) -> Result<Option<Timestamp>> {
    let forge = ctx.forges.of(repository)?.clone();
    let settings = ctx.settings();
    let stages = vec![Stage::Found, Stage::Proposed, Stage::InReview];
    let here = TaskFilter { repository: Some(repository.clone()), stages, ..TaskFilter::default() };
    let turn = ctx.proposing.turn(repository.owner());
    let _turn = turn.lock().await;
    let Some(policy) = ctx.proposing.policy(repository) else { return Ok(None) };
    let tasks = ctx.store.tasks(&here).await?;
    let mine = Waiting::of(repository, &tasks);
    if mine.found.is_empty() {
        ctx.proposing.say(repository, None);
        share::pass_on(ctx, repository).await?;
        return Ok(None);
    }
    if let Some(until) = settings.proposals.quiet_until(ctx.now()) {
        ctx.proposing.say(repository, Some(wording::quiet(until)));
        return Ok(Some(until));
    }
    let (chosen, waits) = share::share(ctx, mine, &policy).await?;
    let mut failed = None;
    let best = chosen.iter().filter_map(|id| tasks.iter().find(|task| task.id == *id)).cloned();
    if forge.has_issues() && settings.proposals.place == Place::Issue {
        for task in origin::learn(ctx, forge.as_ref(), best.collect()).await? {
            keep_going(propose(ctx, forge.as_ref(), task).await, &mut failed)?;
        }
    } else {
        // Nothing outside is touched between them: one commit for all.
        let (mut commit, now) = (Commit::default(), ctx.now());
        for task in best {
            add(&mut commit, task.clone(), crate::approve::card(&task, now), true, now)?;
        }
        if !store(ctx, commit).await? {
            ctx.nudges.ask(repository);
        }
    }
    ctx.proposing.say(repository, waits);
    failed.map_or(Ok(None), Err)
}

async fn propose(ctx: &Arc<Context>, forge: &dyn Forge, task: Task) -> Result<()> {
    let now = ctx.now();
    let settings = ctx.settings();
    let (proposal, open) = if let Some(number) = task.born_of() {
        match on_issue(ctx, forge, &task, number).await? {
            Some(proposal) => (proposal, true),
            None => return Ok(()),
        }
    } else {
        let shown = first_shown(ctx, &task).await?;
        let (title, body) = text(ctx, &task).await?;
        let sent = ContentHash::of(&title, &body);
        let draft = IssueDraft {
            repository: settings.manager_repository.clone().unwrap_or_else(|| task.repository.clone()),
            task: task.id.clone(),
            title,
            body,
            labels: vec![settings.proposals.label.clone()],
        };
        let view = forge.ensure_issue(&draft).await?;
        let again = !view.open && reopened(ctx, forge, &task, &view.link).await?;
        let at = if again { now } else { shown };
        // What people see is what counts, not what we sent.
        let content = ContentHash::of(&view.title, &view.body);
        refresh::wrote(ctx, &task, &sent, &content).await?;
        (Proposal { issue: Some(view.link), content, title: view.title, body: view.body, at }, view.open || again)
    };
    if let Some(issue) = &proposal.issue {
        crate::approve::read_again_since(ctx, &issue.repository, proposal.at).await?;
    }
    let mut commit = Commit::default();
    add(&mut commit, task, proposal, open, now)?;
    store(ctx, commit).await.map(drop)
}

/// Adds a proposal to what is committed; one that is closed already was rejected.
fn add(commit: &mut Commit, task: Task, proposal: Proposal, open: bool, now: Timestamp) -> Result<()> {
    let url = proposal.issue.as_ref().map(|issue| issue.url.clone());
    let (id, repository) = (task.id.clone(), task.repository.clone());
    let event =
        |actor: Actor, kind| NewEvent { at: now, repository: repository.clone(), task: Some(id.clone()), actor, kind };
    commit.events.push(event(Actor::Service, EventKind::Proposed { url }));
    let mut task = task.apply(Command::Propose(proposal), now)?;
    if !open {
        let by = Actor::person("somebody", Channel::Forge);
        task = task.apply(Command::Reject(by.clone()), now)?;
        commit.events.push(event(by, EventKind::Rejected));
    }
    commit.tasks.push(task);
    Ok(())
}

/// Commits it; says whether nobody was faster.
async fn store(ctx: &Arc<Context>, commit: Commit) -> Result<bool> {
    if commit.tasks.is_empty() {
        return Ok(true);
    }
    match ctx.store.commit(commit).await {
        // Somebody was faster; what is there already is found again, by the marker if it is an issue.
        Ok(_) => Ok(true),
        Err(StoreError::Conflict(_)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The name of the one comment that says where a task stands.
const STATUS: &str = "status";

/// Proposes a task on the issue that it was born from. None when the issue is closed or gone: the next look ends the task.
async fn on_issue(ctx: &Arc<Context>, forge: &dyn Forge, task: &Task, number: u64) -> Result<Option<Proposal>> {
    let shown = first_shown(ctx, task).await?;
    let url = task.finding.as_ref().map(|finding| finding.url.clone()).unwrap_or_default();
    let view = match forge.issue(&IssueLink { repository: task.repository.clone(), number, url }).await {
        Ok(view) if view.open => view,
        Ok(_) | Err(ForgeError::NotFound(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let expectations = rank::expectations(ctx).await?;
    let likely = expectations.about(&task.source, &task.kind);
    let body = wording::proposal_on_issue(task, &ctx.settings().proposals.approval_label, likely);
    forge.ensure_comment(&view.link, &task.id, STATUS, &body).await?;
    // What was said about an earlier proposal does not count for this one.
    let at = if was_obsolete(ctx, task).await? { ctx.now() } else { shown };
    let content = ContentHash::of(&view.title, &view.body);
    Ok(Some(Proposal { issue: Some(view.link), content, title: view.title, body: view.body, at }))
}

/// Whether the last that people were shown is that the work has gone away.
async fn was_obsolete(ctx: &Arc<Context>, task: &Task) -> Result<bool> {
    let shown = ctx.store.note("reflected", task.id.as_str(), ctx.now()).await?;
    Ok(shown.as_deref() == Some(Stage::Obsolete.as_str()))
}

/// Title and body of the issue that proposes a task.
async fn text(ctx: &Context, task: &Task) -> Result<(String, String)> {
    let (title, mut body) = wording::proposal(task);
    let expectations = rank::expectations(ctx).await?;
    let likely = expectations.about(&task.source, &task.kind);
    body.push_str(&wording::how_to_decide(&ctx.settings().proposals.approval_label, likely));
    Ok((title, body))
}

/// When we first tried to show a task. A decision counts from then on: somebody may read the issue and decide while we
/// still do not know that it exists.
async fn first_shown(ctx: &Arc<Context>, task: &Task) -> Result<Timestamp> {
    let (space, key, now) = ("shown", task.id.as_str(), ctx.now());
    if let Some(at) = ctx.store.note(space, key, now).await?.and_then(|text| text.parse().ok()) {
        return Ok(Timestamp(at));
    }
    ctx.store.put_note(space, key, &now.0.to_string(), None).await?;
    Ok(now)
}

/// Opens an issue again that we closed ourselves because its work had gone away, now that the work is back.
async fn reopened(ctx: &Arc<Context>, forge: &dyn Forge, task: &Task, issue: &IssueLink) -> Result<bool> {
    if !was_obsolete(ctx, task).await? {
        return Ok(false);
    }
    forge.update_issue(issue, &close(IssueClose::Reopen)).await?;
    ctx.store.put_note("reflected", task.id.as_str(), Stage::Proposed.as_str(), None).await?;
    Ok(true)
}

/// Reconciler: makes the issues of a repository's tasks say where the tasks stand. Gives back when it is to be asked
/// again because quiet hours end then.
///
/// # Errors
/// When the code host or the store cannot be asked; it is tried again at the next activation.
pub async fn reflect(ctx: &Arc<Context>, repository: &RepoName) -> Result<Option<Timestamp>> {
    let forge = ctx.forges.of(repository)?.clone();
    let stages = Stage::ALL.into_iter().filter(|stage| *stage != Stage::Found).collect();
    let filter = TaskFilter { repository: Some(repository.clone()), stages, ..TaskFilter::default() };
    let (mut failed, mut waits) = (None, None);
    for task in ctx.store.tasks(&filter).await? {
        let done = reflect_one(ctx, forge.as_ref(), &task).await;
        keep_going(done.map(|until| waits = waits.max(until)), &mut failed)?;
    }
    failed.map_or(Ok(waits), Err)
}

async fn reflect_one(ctx: &Arc<Context>, forge: &dyn Forge, task: &Task) -> Result<Option<Timestamp>> {
    if task.state.stage() == Stage::Proposed {
        return refresh::refresh(ctx, forge, task).await;
    }
    let issue = task.state.proposal().and_then(|proposal| proposal.issue.as_ref());
    if !forge.has_issues() || (issue.is_none() && task.state.pull().is_none()) {
        return Ok(None);
    }
    let shown = ctx.store.note("reflected", task.id.as_str(), ctx.now()).await?;
    let stage = task.state.stage();
    let standing = match &task.state {
        TaskState::Failed { work, .. } => format!("{stage} {}", work.runs),
        _ => stage.to_string(),
    };
    if shown.as_deref() == Some(standing.as_str()) {
        return Ok(None);
    }
    // That the work is gone nobody asked to be told; every other standing is what a person's decision came to.
    if stage == Stage::Obsolete
        && issue.is_some()
        && let Some(until) = ctx.settings().proposals.quiet_until(ctx.now())
    {
        return Ok(Some(until));
    }
    if let (TaskState::Rejected { .. } | TaskState::Cancelled { .. }, Some(pull)) = (&task.state, task.state.pull()) {
        still_there(forge.close_pull(&task.repository, pull).await)?;
    }
    if let Some(issue) = issue {
        still_there(show(ctx, forge, task, issue).await)?;
    }
    ctx.store.put_note("reflected", task.id.as_str(), &standing, None).await?;
    Ok(None)
}

/// What was deleted or moved away shows nothing any more.
fn still_there(done: Result<(), ForgeError>) -> Result<(), ForgeError> {
    if let Err(ForgeError::NotFound(_)) = done { Ok(()) } else { done }
}

/// Makes one issue say where its task stands.
async fn show(ctx: &Arc<Context>, forge: &dyn Forge, task: &Task, issue: &IssueLink) -> Result<(), ForgeError> {
    if task.born_of().is_some()
        && let Some(body) = wording::standing_on_issue(task)
    {
        return forge.ensure_comment(issue, &task.id, STATUS, &body).await;
    }
    match &task.state {
        TaskState::Failed { reason, .. } => {
            forge.ensure_comment(issue, &task.id, STATUS, &wording::failed_comment(reason)).await?;
            // Setting the label once more asks for another try.
            let patch = IssuePatch {
                remove_labels: vec![ctx.settings().proposals.approval_label.clone()],
                ..IssuePatch::default()
            };
            forge.update_issue(issue, &patch).await?;
        }
        TaskState::Obsolete { .. } => {
            let body = wording::obsolete_comment(task);
            forge.ensure_comment(issue, &task.id, STATUS, &body).await?;
            forge.update_issue(issue, &close(IssueClose::NotPlanned)).await?;
        }
        TaskState::Rejected { .. } | TaskState::Cancelled { .. } => {
            forge.update_issue(issue, &close(IssueClose::NotPlanned)).await?;
        }
        TaskState::Done { .. } => forge.update_issue(issue, &close(IssueClose::Completed)).await?,
        TaskState::Found
        | TaskState::Proposed { .. }
        | TaskState::Approved { .. }
        | TaskState::Running { .. }
        | TaskState::Verifying { .. }
        | TaskState::InReview { .. } => {}
    }
    Ok(())
}

fn close(state: IssueClose) -> IssuePatch {
    IssuePatch { state: Some(state), ..IssuePatch::default() }
}
