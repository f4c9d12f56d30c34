//! Proposing: shows the best tasks to people, and keeps what was shown true.
//!
//! **Definition.** [`propose_next`] fills a repository's free slots with its best tasks; [`reflect`] brings each
//! proposal's issue in line with where its task stands now.
//!
//! **Wanted properties.** Never more open proposals than the cap; never a second issue for a task; a closed
//! proposal stays closed; an issue is closed with a word when its work is gone.
//!
//! **Known races.** *A crash between creating the issue and storing the proposal*: the issue is found again by its
//! marker, so the next activation stores the same one. *Somebody closes the issue in between*: it is found closed,
//! and the task is rejected instead of proposed.

use std::sync::Arc;

use anyhow::Result;
use backlog::approval::ContentHash;
use backlog::event::{Actor, Channel, EventKind, NewEvent};
use backlog::names::RepoName;
use backlog::task::{Command, IssueLink, Proposal, Stage, Task, TaskState};
use backlog::time::Timestamp;
use forge::{Forge, ForgeError, IssueClose, IssueDraft, IssuePatch};
use store::{Commit, StoreError, TaskFilter};

use crate::settings::RepositoryPolicy;
use crate::{Context, keep_going, wording};

/// Reconciler: proposes the best tasks of a repository as far as the cap allows.
///
/// # Errors
/// When the code host or the store cannot be asked; it is tried again at the next activation.
pub async fn propose_next(ctx: &Arc<Context>, repository: &RepoName, policy: &RepositoryPolicy) -> Result<()> {
    let forge = ctx.forges.of(repository)?.clone();
    let settings = ctx.settings();
    let filter = TaskFilter {
        repository: Some(repository.clone()),
        stages: vec![Stage::Found, Stage::Proposed],
        ..TaskFilter::default()
    };
    let tasks = ctx.store.tasks(&filter).await?;
    let open = tasks.iter().filter(|task| task.state.stage() == Stage::Proposed).count();
    let slots = policy.max_open(&settings.proposals).saturating_sub(open);
    let mut failed = None;
    for id in backlog::rank::select(&tasks, slots) {
        let Some(task) = tasks.iter().find(|task| task.id == id) else { continue };
        keep_going(propose(ctx, forge.as_ref(), task.clone()).await, &mut failed)?;
    }
    failed.map_or(Ok(()), Err)
}

async fn propose(ctx: &Arc<Context>, forge: &dyn Forge, task: Task) -> Result<()> {
    let now = ctx.now();
    let (proposal, open) = if forge.has_issues() {
        let shown = first_shown(ctx, &task).await?;
        let settings = ctx.settings();
        let (title, mut body) = wording::proposal(&task);
        body.push_str(&wording::how_to_decide(&settings.proposals.approval_label));
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
        (Proposal { issue: Some(view.link), content, title: view.title, body: view.body, at }, view.open || again)
    } else {
        (crate::approve::card(&task, now), true)
    };
    if let Some(issue) = &proposal.issue {
        crate::approve::read_again_since(ctx, &issue.repository, proposal.at).await?;
    }
    let url = proposal.issue.as_ref().map(|issue| issue.url.clone());
    let (id, repository) = (task.id.clone(), task.repository.clone());
    let event =
        |actor: Actor, kind| NewEvent { at: now, repository: repository.clone(), task: Some(id.clone()), actor, kind };
    let mut events = vec![event(Actor::Service, EventKind::Proposed { url })];
    let mut task = task.apply(Command::Propose(proposal), now)?;
    if !open {
        let by = Actor::person("somebody", Channel::Forge);
        task = task.apply(Command::Reject(by.clone()), now)?;
        events.push(event(by, EventKind::Rejected));
    }
    match ctx.store.commit(Commit { tasks: vec![task], events, ..Commit::default() }).await {
        // Somebody was faster; the issue is found again by its marker.
        Ok(_) | Err(StoreError::Conflict(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
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
    let shown = ctx.store.note("reflected", task.id.as_str(), ctx.now()).await?;
    if shown.as_deref() != Some(Stage::Obsolete.as_str()) {
        return Ok(false);
    }
    forge.update_issue(issue, &close(IssueClose::Reopen)).await?;
    ctx.store.put_note("reflected", task.id.as_str(), Stage::Proposed.as_str(), None).await?;
    Ok(true)
}

/// Reconciler: makes the issues of a repository's tasks say where the tasks stand.
///
/// # Errors
/// When the code host or the store cannot be asked; it is tried again at the next activation.
pub async fn reflect(ctx: &Arc<Context>, repository: &RepoName) -> Result<()> {
    let forge = ctx.forges.of(repository)?.clone();
    if !forge.has_issues() {
        return Ok(());
    }
    let stages = Stage::ALL.into_iter().filter(|stage| *stage != Stage::Found).collect();
    let filter = TaskFilter { repository: Some(repository.clone()), stages, ..TaskFilter::default() };
    let mut failed = None;
    for task in ctx.store.tasks(&filter).await? {
        keep_going(reflect_one(ctx, forge.as_ref(), &task).await, &mut failed)?;
    }
    failed.map_or(Ok(()), Err)
}

async fn reflect_one(ctx: &Arc<Context>, forge: &dyn Forge, task: &Task) -> Result<()> {
    let issue = task.state.proposal().and_then(|proposal| proposal.issue.as_ref());
    if issue.is_none() && task.state.pull().is_none() {
        return Ok(());
    }
    let shown = ctx.store.note("reflected", task.id.as_str(), ctx.now()).await?;
    let stage = task.state.stage();
    let standing = match &task.state {
        TaskState::Failed { work, .. } => format!("{stage} {}", work.runs),
        _ => stage.to_string(),
    };
    if shown.as_deref() == Some(standing.as_str()) {
        return Ok(());
    }
    if let (TaskState::Rejected { .. } | TaskState::Cancelled { .. }, Some(pull)) = (&task.state, task.state.pull()) {
        still_there(forge.close_pull(&task.repository, pull).await)?;
    }
    if let Some(issue) = issue {
        still_there(show(ctx, forge, task, issue).await)?;
    }
    ctx.store.put_note("reflected", task.id.as_str(), &standing, None).await?;
    Ok(())
}

/// What was deleted or moved away shows nothing any more.
fn still_there(done: Result<(), ForgeError>) -> Result<(), ForgeError> {
    if let Err(ForgeError::NotFound(_)) = done { Ok(()) } else { done }
}

/// Makes one issue say where its task stands.
async fn show(ctx: &Arc<Context>, forge: &dyn Forge, task: &Task, issue: &IssueLink) -> Result<(), ForgeError> {
    match &task.state {
        TaskState::Failed { reason, .. } => {
            forge.ensure_comment(issue, &task.id, "status", &wording::failed_comment(reason)).await?;
            // Setting the label once more asks for another try.
            let patch = IssuePatch {
                remove_labels: vec![ctx.settings().proposals.approval_label.clone()],
                ..IssuePatch::default()
            };
            forge.update_issue(issue, &patch).await?;
        }
        TaskState::Obsolete { .. } => {
            let body = wording::obsolete_comment(&task.source);
            forge.ensure_comment(issue, &task.id, "status", &body).await?;
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
