//! Values for stories, with everything unimportant filled in.

use backlog::approval::{Approval, ContentHash};
use backlog::event::{Actor, Channel, EventKind, NewEvent};
use backlog::names::{BranchName, CommitId, RepoName, RunId};
use backlog::run::{Run, RunState, Usage};
use backlog::task::{Proposal, Pull, Task, TaskState, Work};
use backlog::time::Timestamp;

use crate::{Commit, Job, JobKind, NewJob, Store};

pub(crate) const NOW: Timestamp = Timestamp(1_767_225_600_000);
pub(crate) const REPO: &str = "acme/app";

/// So many seconds after [`NOW`].
pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp(NOW.0 + seconds * 1_000)
}

pub(crate) fn repo(name: &str) -> RepoName {
    name.parse().unwrap()
}

pub(crate) fn task(repository: &str, title: &str) -> Task {
    Task::of_person(repo(repository), title.to_owned(), "Do it.".to_owned(), NOW)
}

pub(crate) fn job(task: &Task, kind: JobKind) -> NewJob {
    NewJob { kind, task: task.id.clone(), repository: task.repository.clone(), rank: 0, run_after: NOW }
}

pub(crate) fn event(task: &Task, kind: EventKind) -> NewEvent {
    let (repository, task) = (task.repository.clone(), Some(task.id.clone()));
    NewEvent { at: NOW, repository, task, actor: Actor::person("ada", Channel::Dashboard), kind }
}

pub(crate) fn run(task: &Task, attempt: u32) -> Run {
    Run {
        id: RunId::of(&task.id, attempt),
        repository: task.repository.clone(),
        agent: "claude".to_owned(),
        state: RunState::Preparing,
        started_at: NOW,
        finished_at: None,
        base: None,
        branch: BranchName::of_task(&task.id, &task.title),
        commit: None,
        session: None,
        usage: Usage::default(),
        budget_micro_usd: 5_000_000,
        sandbox: "none".to_owned(),
        files: Vec::new(),
        diff: String::new(),
        checks: Vec::new(),
        objections: Vec::new(),
    }
}

fn work() -> Work {
    let content = ContentHash::of("title", "body");
    let proposal =
        Proposal { issue: None, content: content.clone(), title: "title".into(), body: "body".into(), at: NOW };
    Work::new(proposal, Approval { by: "ada".into(), channel: Channel::Label, at: NOW, content })
}

/// One state of every stage.
pub(crate) fn states(task: &Task) -> Vec<TaskState> {
    let (work, run, by) = (work(), RunId::of(&task.id, 1), Actor::Service);
    let (proposal, reason) = (work.proposal.clone(), "It is stuck.".to_owned());
    let head: CommitId = "a".repeat(40).parse().unwrap();
    let branch = BranchName::of_task(&task.id, "x");
    let pull = Pull { number: Some(7), url: "https://example.org/7".into(), branch, head };
    vec![
        TaskState::Found,
        TaskState::Proposed { proposal: proposal.clone() },
        TaskState::Approved { work: work.clone() },
        TaskState::Running { work: work.clone(), run: run.clone() },
        TaskState::Verifying { work: work.clone(), run: run.clone() },
        TaskState::InReview { work: work.clone(), run, pull: pull.clone() },
        TaskState::Done { work: work.clone(), merged_at: NOW },
        TaskState::Failed { reason, work },
        TaskState::Rejected { by: by.clone(), proposal: Some(proposal), pull: Some(pull) },
        TaskState::Obsolete { proposal: None },
        TaskState::Cancelled { by, proposal: None, pull: None },
    ]
}

/// Stores a task and returns it as stored.
pub(crate) async fn stored(store: &dyn Store, task: Task) -> Task {
    store.commit(Commit { tasks: vec![task.clone()], ..Commit::default() }).await.unwrap();
    store.task(&task.id).await.unwrap().unwrap()
}

/// Stores a task with a queued job of `kind`; returns the task as stored.
pub(crate) async fn queued(store: &dyn Store, title: &str, kind: JobKind) -> Task {
    let task = task(REPO, title);
    let enqueue = vec![job(&task, kind)];
    store.commit(Commit { tasks: vec![task.clone()], enqueue, ..Commit::default() }).await.unwrap();
    store.task(&task.id).await.unwrap().unwrap()
}

/// Claims the best run that is due at `seconds`, for one minute, without a limit per repository.
pub(crate) async fn claim(store: &dyn Store, worker: &str, seconds: i64) -> Option<Job> {
    store.claim(worker, &JobKind::ALL, u32::MAX, at(seconds), at(seconds + 60)).await.unwrap()
}
