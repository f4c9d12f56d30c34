//! Decisions of people: approve, reject, cancel, retry, choose an agent or a budget, speak to the agent, merge.
//!
//! **Definition.** Label, comment, dashboard, REST and command line all come through [`decide`]; nothing else in
//! the product turns a wish into a decision.
//!
//! **Wanted properties.** Only somebody with write permission decides; an approval binds exactly the content that
//! was shown; a refused wish leaves a trace on the timeline and changes nothing.
//!
//! **Design.** [`decide`] is the command. [`read_decisions`] is the reconciler that turns labels and comments on
//! proposals into calls of it: an activity counts once (its id is remembered with the task), and only if a person
//! with permission did it after the proposal was shown.
//!
//! **Known races.** *Somebody edits the issue between reading and approving*: the approval carries the hash of
//! what was read last; an edit seen later voids it while no run has begun ([`Command::Edit`]). *Two people decide
//! at once*: the store refuses the second with a conflict; it is loaded and judged again.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use backlog::approval::{Approval, CommentCommand, ContentHash};
use backlog::event::{Actor, Channel, EventKind, NewEvent};
use backlog::names::{RepoName, TaskId};
use backlog::run::RunOutcome;
use backlog::task::{Command, InvalidTransition, Proposal, Stage, Task, TaskState};
use backlog::time::Timestamp;
use forge::{Activity, ActivityKind, Forge, IssueView};
use store::{Commit, JobKind, NewJob, StoreError, TaskFilter};

use crate::run::cut_short;
use crate::{Context, keep_going, propose, rank, wording};

/// How many handled activities of an issue are remembered.
const HANDLED: usize = 1_000;

/// What somebody wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Go ahead with exactly this content; `None` takes what is stored now.
    Approve(Option<ContentHash>),
    /// Not yet after all: back to where it waits for an approval, as long as no run has begun.
    Withdraw,
    /// No, and never again.
    Reject,
    /// Stop.
    Cancel,
    /// Try a failed task again.
    Retry,
    /// Use another agent.
    Agent(String),
    /// Another limit of cost for one run, in micro-USD.
    Budget(u64),
}

/// Why a decision did not take effect.
#[derive(Debug, thiserror::Error)]
pub enum DecideError {
    /// There is no such task.
    #[error("there is no task {0}")]
    NotFound(TaskId),
    /// The task's state does not allow it.
    #[error(transparent)]
    Invalid(#[from] InvalidTransition),
    /// It is not possible, with a finished sentence why.
    #[error("{0}")]
    Refused(String),
    /// Something else failed.
    #[error("the decision could not be stored")]
    Other(#[source] anyhow::Error),
}

impl From<StoreError> for DecideError {
    fn from(error: StoreError) -> Self {
        Self::Other(error.into())
    }
}

/// The hash a person has to hand back to prove what was seen.
#[must_use]
pub fn seen(task: &Task) -> ContentHash {
    task.state.proposal().map_or_else(|| ContentHash::of(&task.title, &task.body), |proposal| proposal.content.clone())
}

/// Carries out what `by`, who may decide, wants of a task. Returns the task afterwards.
///
/// # Errors
/// See [`DecideError`]; nothing has changed then.
pub async fn decide(ctx: &Arc<Context>, id: &TaskId, decision: Decision, by: Actor) -> Result<Task, DecideError> {
    for _ in 0..5 {
        let task = ctx.store.task(id).await?.ok_or_else(|| DecideError::NotFound(id.clone()))?;
        let (run, repository) = (task.state.run().cloned(), task.repository.clone());
        let runs = match decision {
            Decision::Cancel => cut_short(ctx, &task, RunOutcome::Cancelled).await?,
            _ => Vec::new(),
        };
        let commit = Commit { runs, ..decided(ctx, task, decision.clone(), by.clone())? };
        match ctx.store.commit(commit).await {
            Ok(_) => {
                if decision == Decision::Cancel
                    && let Some(live) = run.and_then(|run| ctx.live.get(&run))
                {
                    live.cancel.cancel();
                }
                ctx.work.notify_one();
                ctx.nudges.ask(&repository);
                return ctx.store.task(id).await?.ok_or_else(|| DecideError::NotFound(id.clone()));
            }
            Err(StoreError::Conflict(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(DecideError::Refused("The task changes all the time just now. Try once more.".to_owned()))
}

/// What a decision changes.
fn decided(ctx: &Context, task: Task, decision: Decision, by: Actor) -> Result<Commit, DecideError> {
    let now = ctx.now();
    let (id, repository) = (task.id.clone(), task.repository.clone());
    let mut commit = Commit::default();
    let (task, kind) = match decision {
        Decision::Approve(content) => {
            let seen = seen(&task);
            if content.is_some_and(|content| content != seen) {
                return Err(DecideError::Refused(
                    "The text has changed since you read it. Read it again, then approve.".to_owned(),
                ));
            }
            let proposal = task.state.proposal().cloned().unwrap_or_else(|| card(&task, now));
            let Actor::Person { login, channel } = &by else {
                return Err(DecideError::Refused("Only a person can approve.".to_owned()));
            };
            let approval =
                Approval { by: login.clone(), channel: *channel, at: now, content: proposal.content.clone() };
            commit.enqueue.push(run_job(&task, now));
            (task.apply(Command::Approve(proposal, approval), now)?, EventKind::Approved)
        }
        Decision::Withdraw => {
            let Some(shown) = task.state.proposal().cloned() else {
                return Err(DecideError::Refused("Nothing was approved yet.".to_owned()));
            };
            commit.drop_jobs.push(id.clone());
            (task.apply(Command::Edit(shown), now)?, EventKind::Changed { what: "to wait with it".to_owned() })
        }
        Decision::Reject => {
            commit.drop_jobs.push(id.clone());
            (task.apply(Command::Reject(by.clone()), now)?, EventKind::Rejected)
        }
        Decision::Cancel => {
            commit.drop_jobs.push(id.clone());
            (task.apply(Command::Cancel(by.clone()), now)?, EventKind::Cancelled)
        }
        Decision::Retry => {
            commit.enqueue.push(run_job(&task, now));
            (task.apply(Command::Retry, now)?, EventKind::Retried { why: format!("{} asked for it.", by.name()) })
        }
        Decision::Agent(name) => {
            if !ctx.settings().agents.contains_key(&name) {
                let known: Vec<_> = ctx.settings().agents.keys().cloned().collect();
                return Err(DecideError::Refused(format!(
                    "No agent is called `{name}`; configured are: {}.",
                    known.join(", ")
                )));
            }
            open_for_options(&task)?;
            let what = format!("agent {name}");
            (Task { agent: Some(name), updated_at: now, ..task }, EventKind::Changed { what })
        }
        Decision::Budget(micro) => {
            open_for_options(&task)?;
            within_means(ctx, &task, micro, &by)?;
            let what = format!("budget {}", wording::usd(micro));
            (Task { budget_micro_usd: Some(micro), updated_at: now, ..task }, EventKind::Changed { what })
        }
    };
    commit.tasks.push(task);
    commit.events.push(NewEvent { at: now, repository, task: Some(id), actor: by, kind });
    Ok(commit)
}

/// Who writes in a repository does not pay for the agents: only the operator goes beyond what the configuration grants.
fn within_means(ctx: &Context, task: &Task, micro: u64, by: &Actor) -> Result<(), DecideError> {
    let settings = ctx.settings();
    let granted =
        settings.agents.get(task.agent.as_deref().unwrap_or("default")).map_or(0, |agent| agent.budget_micro_usd());
    match by {
        Actor::Person { channel: Channel::Comment | Channel::Label | Channel::Forge, .. } if micro > granted => {
            Err(DecideError::Refused(format!(
                "At most {} are granted for one run. The operator can give more on the dashboard.",
                wording::usd(granted)
            )))
        }
        Actor::Person { .. } | Actor::Service | Actor::Agent { .. } => Ok(()),
    }
}

fn open_for_options(task: &Task) -> Result<(), DecideError> {
    match task.state.stage() {
        Stage::Found | Stage::Proposed | Stage::Approved | Stage::InReview | Stage::Failed => Ok(()),
        stage => Err(DecideError::Refused(format!("The task is {stage}; this can be changed before a run begins."))),
    }
}

/// What the dashboard shows of a task that was not proposed as an issue.
#[must_use]
pub fn card(task: &Task, now: Timestamp) -> Proposal {
    let (title, body) = wording::proposal(task);
    Proposal { issue: None, content: ContentHash::of(&title, &body), title, body, at: now }
}

/// The job that runs an approved task.
#[must_use]
pub fn run_job(task: &Task, after: Timestamp) -> NewJob {
    NewJob {
        kind: JobKind::Run,
        task: task.id.clone(),
        repository: task.repository.clone(),
        rank: task.score.points,
        run_after: after,
    }
}

/// Says something to the agent that works on a task.
///
/// # Errors
/// When no agent works on it in this process, or it is not listening.
pub async fn message(ctx: &Arc<Context>, id: &TaskId, text: &str, by: Actor) -> Result<(), DecideError> {
    let text: String = text.trim().chars().take(10_000).collect();
    if text.is_empty() {
        return Err(DecideError::Refused("The message is empty.".to_owned()));
    }
    let task = ctx.store.task(id).await?.ok_or_else(|| DecideError::NotFound(id.clone()))?;
    let live = task.state.run().and_then(|run| ctx.live.get(run));
    let Some(live) = live else {
        return Err(DecideError::Refused("No agent is at work on this task on this machine just now.".to_owned()));
    };
    live.inbox
        .try_send(runner::session::Inbox::Message(text.clone()))
        .map_err(|_| DecideError::Refused("The agent does not listen just now. Try again in a moment.".to_owned()))?;
    let kind = EventKind::Messaged { text };
    let event = NewEvent { at: ctx.now(), repository: task.repository, task: Some(task.id), actor: by, kind };
    ctx.store.commit(Commit { events: vec![event], ..Commit::default() }).await?;
    Ok(())
}

/// Merges a local task's branch, as the dashboard's button does.
///
/// # Errors
/// When the task has no pull request to merge, or the merge is refused.
pub async fn merge(ctx: &Arc<Context>, id: &TaskId, by: Actor) -> Result<(), DecideError> {
    let task = ctx.store.task(id).await?.ok_or_else(|| DecideError::NotFound(id.clone()))?;
    let TaskState::InReview { pull, .. } = &task.state else {
        return Err(DecideError::Refused(format!(
            "The task is {}; only one in review can be merged.",
            task.state.stage()
        )));
    };
    if !task.repository.is_local() {
        return Err(DecideError::Refused(format!("Merge the pull request where it is: {}", pull.url)));
    }
    let forge = ctx.forges.of(&task.repository).map_err(DecideError::Other)?;
    let view = forge.repository(&task.repository).await.map_err(|error| DecideError::Refused(error.to_string()))?;
    let message = wording::merge_message(&task, by.name());
    forge
        .merge(&task.repository, pull, &view.default_branch, &message)
        .await
        .map_err(|error| DecideError::Refused(wording::sentence(&error.to_string())))?;
    crate::follow_up::merged(ctx, task, ctx.now(), by).await.map_err(DecideError::Other)?;
    Ok(())
}

/// Whether somebody may decide in all of these repositories.
async fn may_decide_in(
    forge: &dyn Forge,
    repositories: [&RepoName; 2],
    login: &str,
) -> Result<bool, forge::ForgeError> {
    for repository in repositories {
        if !forge.permission(repository, login).await?.may_decide() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A person's own task.
///
/// # Errors
/// When the repository is not watched or the title is empty.
pub async fn add(
    ctx: &Arc<Context>,
    repository: RepoName,
    title: &str,
    body: &str,
    agent: Option<String>,
    by: Actor,
) -> Result<Task, DecideError> {
    let title: String = title.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(200).collect();
    if title.is_empty() {
        return Err(DecideError::Refused("A task needs a title.".to_owned()));
    }
    if ctx.store.repository(&repository).await?.is_none() {
        return Err(DecideError::Refused(format!(
            "{repository} is not watched. Add it to the configuration, or start ccm with its folder."
        )));
    }
    if let Some(agent) = &agent
        && !ctx.settings().agents.contains_key(agent)
    {
        return Err(DecideError::Refused(format!("No agent is called `{agent}`.")));
    }
    let now = ctx.now();
    let mut task = Task::of_person(repository.clone(), title, body.chars().take(20_000).collect(), now);
    task.agent = agent;
    let expectations = rank::expectations(ctx).await?;
    let expected = expectations.about(&task.source, &task.kind);
    task.score = backlog::rank::score(&task, &ctx.settings().rank, expected, now);
    let event = NewEvent { at: now, repository, task: Some(task.id.clone()), actor: by, kind: EventKind::Added };
    ctx.store.commit(Commit { tasks: vec![task.clone()], events: vec![event], ..Commit::default() }).await?;
    ctx.nudges.ask(&task.repository);
    ctx.store.task(&task.id).await?.ok_or(DecideError::NotFound(task.id))
}

/// Reconciler: turns what people did to the open proposals in one repository, be they about it or about others, into
/// decisions.
///
/// # Errors
/// When the code host or the store cannot be asked; it is tried again at the next activation.
pub async fn read_decisions(ctx: &Arc<Context>, host: &RepoName) -> Result<()> {
    let forge = ctx.forges.of(host)?.clone();
    if !forge.has_issues() {
        return Ok(());
    }
    let managed = ctx.settings().manager_repository.as_ref() == Some(host);
    let filter = TaskFilter {
        repository: (!managed).then(|| host.clone()),
        stages: UNDECIDED.to_vec(),
        ..TaskFilter::default()
    };
    let tasks = ctx.store.tasks(&filter).await?;
    let open: BTreeMap<u64, &Task> = tasks
        .iter()
        .filter_map(|task| {
            let issue = task.state.proposal()?.issue.as_ref().filter(|issue| issue.repository == *host)?;
            Some((issue.number, task))
        })
        .collect();
    let Some(oldest) = open.values().filter_map(|task| Some(task.state.proposal()?.at)).min() else { return Ok(()) };
    let since = watermark(ctx, host).await?.unwrap_or(oldest);
    let changed = forge.changed_issues(host, since).await?;
    let newest = changed.iter().map(|view| view.updated_at).max();
    let mut failed = None;
    for view in changed {
        if let Some(task) = open.get(&view.link.number) {
            keep_going(read_issue(ctx, forge.as_ref(), &task.id, &view).await, &mut failed)?;
        }
    }
    if let Some(error) = failed {
        // It is read again next time, with all that came after it.
        return Err(error);
    }
    if let Some(newest) = newest {
        // The same second may bring more: look at it again next time, handled activity is remembered by id.
        ctx.store.put_note(WATERMARK, host.as_str(), &newest.0.to_string(), None).await?;
    }
    Ok(())
}

/// The stages in which a word on the proposal still counts.
const UNDECIDED: [Stage; 6] =
    [Stage::Proposed, Stage::Approved, Stage::Running, Stage::Verifying, Stage::InReview, Stage::Failed];

/// Where it is kept up to when a repository's proposals were read.
const WATERMARK: &str = "decisions";

async fn watermark(ctx: &Context, host: &RepoName) -> Result<Option<Timestamp>> {
    let stored = ctx.store.note(WATERMARK, host.as_str(), ctx.now()).await?;
    Ok(stored.and_then(|text| text.parse().ok()).map(Timestamp))
}

/// Makes sure that what people did to an issue since `at` is read: we may learn late that we opened it.
///
/// # Errors
/// When the store fails.
pub async fn read_again_since(ctx: &Context, host: &RepoName, at: Timestamp) -> Result<()> {
    if watermark(ctx, host).await?.is_some_and(|read| read > at) {
        ctx.store.put_note(WATERMARK, host.as_str(), &at.0.to_string(), None).await?;
    }
    Ok(())
}

/// Reads one changed proposal: first its text, then what people did to it.
async fn read_issue(ctx: &Arc<Context>, forge: &dyn Forge, id: &TaskId, view: &IssueView) -> Result<()> {
    let activities = forge.activity(&view.link).await?;
    edited(ctx, id, view).await?;
    let key = id.as_str().to_owned();
    let handled = ctx.store.note("activity", &key, ctx.now()).await?.unwrap_or_default();
    let mut handled: Vec<String> = handled.split_whitespace().map(str::to_owned).collect();
    for activity in activities {
        let mark = format!("{}@{}", activity.id, activity.at.0);
        if handled.contains(&mark) || forgotten(&handled, activity.at) {
            continue;
        }
        let acted = act(ctx, forge, id, view, &activity).await?;
        handled.push(mark);
        let excess = handled.len().saturating_sub(HANDLED);
        handled.drain(..excess);
        if acted {
            ctx.store.put_note("activity", &key, &handled.join(" "), None).await?;
        }
    }
    Ok(ctx.store.put_note("activity", &key, &handled.join(" "), None).await?)
}

/// Whether what happened at `at` may have been handled and forgotten since: anybody can write a thousand comments, and
/// none of the decisions before them counts twice.
fn forgotten(handled: &[String], at: Timestamp) -> bool {
    let oldest = handled.first().filter(|_| handled.len() >= HANDLED).and_then(|mark| mark.split_once('@'));
    oldest.and_then(|(_, oldest)| oldest.parse().ok()).is_some_and(|oldest: i64| at.0 < oldest)
}

/// Takes over an edit of the proposal's text; an approval that no run has taken up is void then.
async fn edited(ctx: &Arc<Context>, id: &TaskId, view: &IssueView) -> Result<()> {
    let Some(task) = ctx.store.task(id).await? else { return Ok(()) };
    let Some(proposal) = task.state.proposal().cloned() else { return Ok(()) };
    let content = ContentHash::of(&view.title, &view.body);
    if content == proposal.content {
        return Ok(());
    }
    let now = ctx.now();
    if propose::refresh::is_ours(ctx, id, &content).await? {
        // We wrote it anew where the lines moved: no approval is void, and what was done since the first showing counts
        // unless it asks for more than before.
        let at = propose::refresh::counts_since(&task, &proposal, now);
        let anew = Proposal { content, title: view.title.clone(), body: view.body.clone(), at, ..proposal };
        if let (TaskState::Proposed { .. }, Ok(task)) = (&task.state, task.clone().apply(Command::Edit(anew), now)) {
            let commit = Commit { tasks: vec![task], ..Commit::default() };
            ctx.store.commit(commit).await.context("a refreshed proposal could not be stored")?;
        }
        return Ok(());
    }
    let edited = Proposal { content, title: view.title.clone(), body: view.body.clone(), at: now, ..proposal };
    let repository = task.repository.clone();
    let Ok(task) = task.apply(Command::Edit(edited), now) else { return Ok(()) };
    let event =
        NewEvent { at: now, repository, task: Some(id.clone()), actor: Actor::Service, kind: EventKind::Edited };
    let commit = Commit { tasks: vec![task], drop_jobs: vec![id.clone()], events: vec![event], ..Commit::default() };
    ctx.store.commit(commit).await.context("an edited proposal could not be stored")?;
    Ok(())
}

/// What an activity wishes, if anything.
fn wish(activity: &Activity, approval_label: &str, task: &Task) -> Option<Result<Decision, String>> {
    let stage = task.state.stage();
    match &activity.what {
        ActivityKind::Labeled(label) if label.eq_ignore_ascii_case(approval_label) => match stage {
            Stage::Proposed => Some(Ok(Decision::Approve(None))),
            Stage::Failed => Some(Ok(Decision::Retry)),
            _ => None,
        },
        ActivityKind::Labeled(label) => {
            label.strip_prefix("agent:").map(|name| Ok(Decision::Agent(name.trim().to_owned())))
        }
        ActivityKind::Unlabeled(label) if label.eq_ignore_ascii_case(approval_label) && stage == Stage::Approved => {
            Some(Ok(Decision::Withdraw))
        }
        ActivityKind::Unlabeled(_) | ActivityKind::Reopened => None,
        ActivityKind::Closed => match stage {
            // Whoever closes a person's issue says that it is done with, not that it may never be proposed: opened again,
            // it is work again.
            Stage::Proposed | Stage::Found if task.born_of().is_some() => None,
            Stage::Proposed | Stage::Found => Some(Ok(Decision::Reject)),
            // Merging a pull request closes the issue too: from there on the pull request says what becomes of the task,
            // and while the work is verified and delivered there may be one that we do not know of yet.
            Stage::Approved | Stage::Running if task.state.pull().is_none() => Some(Ok(Decision::Cancel)),
            _ => None,
        },
        ActivityKind::Commented(text) => CommentCommand::parse(text).map(|command| match command {
            CommentCommand::Approve => Ok(Decision::Approve(None)),
            CommentCommand::Reject => Ok(Decision::Reject),
            CommentCommand::Retry => Ok(Decision::Retry),
            CommentCommand::Cancel => Ok(Decision::Cancel),
            CommentCommand::Agent(name) => Ok(Decision::Agent(name)),
            CommentCommand::Budget(micro) => Ok(Decision::Budget(micro)),
            CommentCommand::Unknown(text) => Err(wording::unknown_command(&text)),
        }),
    }
}

/// Carries out what an activity wishes; says whether it wished anything.
async fn act(
    ctx: &Arc<Context>,
    forge: &dyn Forge,
    id: &TaskId,
    view: &IssueView,
    activity: &Activity,
) -> Result<bool> {
    let Some(task) = ctx.store.task(id).await? else { return Ok(false) };
    let shown_at = task.state.proposal().map_or(Timestamp(0), |proposal| proposal.at);
    // Who uses a personal token acts under the same account as we do. We write marked comments and take the approval
    // label away, and nothing else that could be a wish: everything else under our account is that person's.
    let ours = activity.by_us && matches!(activity.what, ActivityKind::Commented(_) | ActivityKind::Unlabeled(_));
    // Code hosts count in whole seconds: what happened within the second of the proposal still counts.
    if ours || activity.at.0 / 1000 < shown_at.0 / 1000 {
        return Ok(false);
    }
    let Some(wish) = wish(activity, &ctx.settings().proposals.approval_label, &task) else {
        return Ok(false);
    };
    let channel = match activity.what {
        ActivityKind::Labeled(_) | ActivityKind::Unlabeled(_) => Channel::Label,
        ActivityKind::Commented(_) => Channel::Comment,
        ActivityKind::Closed | ActivityKind::Reopened => Channel::Forge,
    };
    let by = Actor::person(&activity.by, channel);
    let why = if !activity.by_person {
        Some(wording::refused_bot(&activity.by))
    } else if !forge::urgent(may_decide_in(forge, [&view.link.repository, &task.repository], &activity.by)).await? {
        Some(wording::refused_outsider(&activity.by))
    } else {
        match wish {
            Ok(decision) => match decide(ctx, id, decision, by.clone()).await {
                Ok(_) => None,
                Err(DecideError::Other(error)) => return Err(error),
                Err(error) => Some(wording::sentence(&error.to_string())),
            },
            Err(why) => Some(why),
        }
    };
    if let Some(why) = why {
        let kind = EventKind::Refused { why };
        let event = NewEvent { at: ctx.now(), repository: task.repository, task: Some(id.clone()), actor: by, kind };
        ctx.store.commit(Commit { events: vec![event], ..Commit::default() }).await?;
    }
    Ok(true)
}
