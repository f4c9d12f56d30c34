//! Tasks and runs for stories, with everything unimportant filled in.

use backlog::approval::{Approval, ContentHash};
use backlog::event::{Actor, Channel, EventKind, NewEvent};
use backlog::names::{BranchName, CommitId, RunId};
use backlog::rank::{Reason, Score};
use backlog::run::{ChangedFile, CheckResult, Run, RunOutcome, RunState, Usage};
use backlog::task::{Proposal, Pull, Stage, Task, TaskState, Work};
use backlog::time::Timestamp;

pub(super) const NOW: Timestamp = Timestamp(1_767_225_600_000);

pub(super) fn task(title: &str) -> Task {
    let mut task = Task::of_person("acme/app".parse().unwrap(), title.to_owned(), "Do it well.".to_owned(), NOW);
    let reasons = vec![Reason { name: "person".to_owned(), points: 100 }];
    task.score = Score { points: 100, reasons };
    task
}

pub(super) fn event(task: &Task, kind: EventKind) -> NewEvent {
    let (repository, id) = (task.repository.clone(), Some(task.id.clone()));
    NewEvent { at: NOW, repository, task: id, actor: Actor::person("ada", Channel::Dashboard), kind }
}

pub(super) fn proposal(task: &Task) -> Proposal {
    let content = ContentHash::of(&task.title, &task.body);
    Proposal { issue: None, content, title: task.title.clone(), body: task.body.clone(), at: NOW }
}

/// The task as it stands in a stage.
pub(super) fn at(mut task: Task, stage: Stage) -> Task {
    let proposal = proposal(&task);
    let (content, by) = (proposal.content.clone(), Actor::person("ada", Channel::Dashboard));
    let approval = Approval { by: "ada".to_owned(), channel: Channel::Dashboard, at: NOW, content };
    let mut work = Work::new(proposal.clone(), approval);
    work.runs = 1;
    let run = RunId::of(&task.id, 1);
    let pull = Pull {
        number: None,
        url: "branch ccm/x".to_owned(),
        branch: BranchName::of_task(&task.id, &task.title),
        head: commit('a'),
    };
    task.state = match stage {
        Stage::Found => TaskState::Found,
        Stage::Proposed => TaskState::Proposed { proposal },
        Stage::Approved => TaskState::Approved { work },
        Stage::Running => TaskState::Running { work, run },
        Stage::Verifying => TaskState::Verifying { work, run },
        Stage::InReview => TaskState::InReview { work: Work { pull: Some(pull.clone()), ..work }, run, pull },
        Stage::Done => TaskState::Done { work, merged_at: NOW },
        Stage::Failed => TaskState::Failed { reason: "The checks stay red. Read the log.".to_owned(), work },
        Stage::Rejected => TaskState::Rejected { by, proposal: Some(proposal), pull: None },
        Stage::Obsolete => TaskState::Obsolete { proposal: None },
        Stage::Cancelled => TaskState::Cancelled { by, proposal: None, pull: None },
    };
    task
}

pub(super) fn commit(digit: char) -> CommitId {
    digit.to_string().repeat(40).parse().unwrap()
}

pub(super) fn run(task: &Task, diff: &str) -> Run {
    Run {
        id: RunId::of(&task.id, 1),
        repository: task.repository.clone(),
        agent: "default".to_owned(),
        state: RunState::Finished(RunOutcome::Succeeded),
        started_at: NOW,
        finished_at: Some(Timestamp(NOW.0 + 252_000)),
        base: Some(commit('b')),
        branch: BranchName::of_task(&task.id, &task.title),
        commit: Some(commit('a')),
        session: None,
        usage: Usage { input_tokens: 41_200, output_tokens: 3_900, cost_micro_usd: 420_000, requests: 14 },
        budget_micro_usd: 5_000_000,
        sandbox: "bubblewrap: no network but the gateway".to_owned(),
        files: vec![ChangedFile { path: "src/lib.rs".to_owned(), added: 2, removed: 1 }],
        diff: diff.to_owned(),
        checks: vec![CheckResult {
            name: "cargo test".to_owned(),
            command: "cargo test".to_owned(),
            passed: true,
            reason: String::new(),
            millis: 8_300,
            log: "test result: ok".to_owned(),
        }],
        objections: Vec::new(),
    }
}
