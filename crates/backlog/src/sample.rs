//! What the tests of this crate start from.

use crate::approval::{Approval, ContentHash};
use crate::event::{Actor, Channel};
use crate::finding::{Finding, Fingerprint, Source};
use crate::names::{CommitId, RepoName, RunId};
use crate::review::{CheckState, RemoteCheck, ReviewNote};
use crate::task::{Command, IssueLink, Proposal, Pull, Revision, Stage, Task, TaskState, Work};
use crate::time::Timestamp;

pub(crate) const NOW: Timestamp = Timestamp(1_800_000_000_000);

pub(crate) fn repo() -> RepoName {
    "acme/web".parse().unwrap()
}

pub(crate) fn commit(digit: char) -> CommitId {
    digit.to_string().repeat(40).parse().unwrap()
}

pub(crate) fn run_id(number: u32) -> RunId {
    RunId::of(&"3k9d0fz2ha".parse().unwrap(), number)
}

pub(crate) fn finding(kind: &str, text: &str) -> Finding {
    Finding {
        fingerprint: Fingerprint::of(&Source::Todo, kind, text, 0),
        source: Source::Todo,
        kind: kind.to_owned(),
        repository: repo(),
        commit: Some(commit('a')),
        path: "src/cart.rs".to_owned(),
        line: 7,
        end_line: 7,
        title: format!("{kind}: {text}"),
        text: format!("{kind}: {text}"),
        author: Some("ada".to_owned()),
        written_on: None,
        owner: None,
        issue: None,
        due: None,
        url: String::new(),
        interest: 0,
        group: None,
    }
}

pub(crate) fn task(kind: &str, text: &str) -> Task {
    Task::of_finding(finding(kind, text), NOW)
}

pub(crate) fn person() -> Actor {
    Actor::person("ada", Channel::Dashboard)
}

pub(crate) fn proposal(body: &str) -> Proposal {
    Proposal {
        issue: Some(IssueLink {
            repository: repo(),
            number: 12,
            url: "https://forge.test/acme/web/issues/12".to_owned(),
        }),
        content: ContentHash::of("Title", body),
        title: "Title".to_owned(),
        body: body.to_owned(),
        at: NOW,
    }
}

pub(crate) fn approval(body: &str) -> Approval {
    Approval { by: "ada".to_owned(), channel: Channel::Label, at: NOW, content: ContentHash::of("Title", body) }
}

pub(crate) fn work() -> Work {
    Work::new(proposal("Body"), approval("Body"))
}

pub(crate) fn pull() -> Pull {
    Pull {
        number: Some(34),
        url: "https://forge.test/acme/web/pull/34".to_owned(),
        branch: "ccm/3k9d0fz2ha-title".parse().unwrap(),
        head: commit('b'),
    }
}

pub(crate) fn note(id: &str) -> ReviewNote {
    ReviewNote {
        id: id.to_owned(),
        by: "grace".to_owned(),
        trusted: true,
        text: "Name it better.".to_owned(),
        place: Some(("src/cart.rs".to_owned(), 8)),
        asks_for_change: true,
    }
}

pub(crate) fn check(name: &str, state: CheckState) -> RemoteCheck {
    RemoteCheck { name: name.to_owned(), state, log: format!("the log of {name}") }
}

/// Every command, in the order of the enum.
pub(crate) fn commands() -> Vec<Command> {
    let all = vec![
        Command::Propose(proposal("Body")),
        Command::Edit(proposal("Another body")),
        Command::Approve(proposal("Body"), approval("Body")),
        Command::Reject(person()),
        Command::Vanish,
        Command::Start(run_id(1)),
        Command::Verify,
        Command::TryAgain(vec!["The check `test` did not pass.".to_owned()]),
        Command::GiveUp("Nothing helped.".to_owned()),
        Command::Deliver(pull()),
        Command::Revise(Revision {
            notes: vec![note("line-1")],
            red_checks: vec![check("test", CheckState::Failed)],
            red_head: Some(commit('b')),
        }),
        Command::Merge(NOW),
        Command::ClosePull(person()),
        Command::Retry,
        Command::Cancel(person()),
    ];
    for (place, command) in all.iter().enumerate() {
        // A new command does not compile here until it has a place above.
        let expected = match command {
            Command::Propose(_) => 0,
            Command::Edit(_) => 1,
            Command::Approve(..) => 2,
            Command::Reject(_) => 3,
            Command::Vanish => 4,
            Command::Start(_) => 5,
            Command::Verify => 6,
            Command::TryAgain(_) => 7,
            Command::GiveUp(_) => 8,
            Command::Deliver(_) => 9,
            Command::Revise(_) => 10,
            Command::Merge(_) => 11,
            Command::ClosePull(_) => 12,
            Command::Retry => 13,
            Command::Cancel(_) => 14,
        };
        assert_eq!(place, expected);
    }
    assert_eq!(all.len(), 15);
    all
}

/// A task's state at `stage`, without a pull request where it may be without one.
pub(crate) fn state(stage: Stage) -> TaskState {
    let run = run_id(1);
    match stage {
        Stage::Found => TaskState::Found,
        Stage::Proposed => TaskState::Proposed { proposal: proposal("Body") },
        Stage::Approved => TaskState::Approved { work: work() },
        Stage::Running => TaskState::Running { work: begun(), run },
        Stage::Verifying => TaskState::Verifying { work: begun(), run },
        Stage::InReview => TaskState::InReview { work: delivered(), run, pull: pull() },
        Stage::Done => TaskState::Done { work: delivered(), merged_at: NOW },
        Stage::Rejected => TaskState::Rejected { by: person(), proposal: Some(proposal("Body")), pull: None },
        Stage::Obsolete => TaskState::Obsolete { proposal: Some(proposal("Body")) },
        Stage::Cancelled => TaskState::Cancelled { by: person(), proposal: None, pull: Some(pull()) },
        Stage::Failed => TaskState::Failed { reason: "Nothing helped.".to_owned(), work: begun() },
    }
}

/// The state with a pull request in its work, where it has work.
pub(crate) fn with_pull(state: TaskState) -> TaskState {
    match state {
        TaskState::Approved { .. } => TaskState::Approved { work: delivered() },
        TaskState::Running { run, .. } => TaskState::Running { work: delivered(), run },
        TaskState::Verifying { run, .. } => TaskState::Verifying { work: delivered(), run },
        TaskState::Failed { reason, .. } => TaskState::Failed { reason, work: delivered() },
        other => other,
    }
}

fn begun() -> Work {
    Work { runs: 1, attempts: 1, ..work() }
}

fn delivered() -> Work {
    Work { pull: Some(pull()), ..begun() }
}
