//! What one look at a source changes in the backlog.
//!
//! **Definition.** A task is about one finding, or about several that are one piece of work: its members. [`compare`] puts
//! what is known beside what was found, and says what to change.
//!
//! **Wanted properties.** A finding belongs to at most one task, and stays there for good: whoever rejected a task is not
//! asked again about a part of it. A task keeps its id when any of its members goes; only when the last is gone is its
//! work gone. What people were shown never grows.
//!
//! **Design.** Tasks remember their members' fingerprints; a group of findings is only looked at when a finding has no
//! task yet. Then it joins a task of its group that nobody was shown, else those of a group become a new task, named after
//! its first member. Comments of the same words keep their tasks by their places (`equals.rs`).
//!
//! **Known race.** With the database lost, a group is named after the first member that is left, which may be another one
//! than before: then it is proposed once more. Accepted; a single finding is found again.

mod equals;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::finding::{Finding, Fingerprint, Source};
use crate::names::TaskId;
use crate::task::{Stage, Task, TaskState};

/// The most findings that one task is about; more of a group become further tasks.
pub const MEMBERS: usize = 20;

/// One change that a look at a source asks for. Findings are at least one and at most [`MEMBERS`], by path and line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Discovery {
    /// Work nobody knew of.
    New(Vec<Finding>),
    /// Known work whose place or wording changed, or that lost or won members; the task's identity stays.
    Moved(TaskId, Vec<Finding>),
    /// Known work that is gone, and that no run has begun.
    Vanished(TaskId),
    /// Work that had gone away and is there again.
    Returned(TaskId, Vec<Finding>),
}

/// Compares what is known of one repository and `source` with what was just found there.
///
/// A task that a run has begun, and one that somebody decided about, never vanishes or returns. A task at which an
/// agent or a check is at work stays as it is: a new version of it would refuse what they write at their end.
#[must_use]
pub fn compare(known: &[Task], source: &Source, findings: Vec<Finding>) -> Vec<Discovery> {
    let known: BTreeMap<&TaskId, &Task> =
        known.iter().filter(|task| task.source == *source).map(|task| (&task.id, task)).collect();
    let (present, fresh) = sorted_out(&known, source, findings);
    let mut changes = Vec::new();
    for (id, members) in &present {
        let Some(task) = known.get(id) else { continue };
        match task.state.stage() {
            Stage::Obsolete => changes.push(Discovery::Returned(id.clone(), members.clone())),
            Stage::Done | Stage::Failed | Stage::Rejected | Stage::Cancelled => {}
            Stage::Running | Stage::Verifying => {}
            Stage::Found | Stage::Proposed | Stage::Approved | Stage::InReview => {
                if !same(task, members) {
                    changes.push(Discovery::Moved(id.clone(), members.clone()));
                }
            }
        }
    }
    changes.extend(fresh.into_iter().map(Discovery::New));
    for (id, task) in known {
        let waits = match task.state.stage() {
            Stage::Found | Stage::Proposed => true,
            Stage::Approved => task.state.work().is_some_and(|work| work.runs == 0),
            Stage::Running
            | Stage::Verifying
            | Stage::InReview
            | Stage::Done
            | Stage::Rejected
            | Stage::Obsolete
            | Stage::Cancelled
            | Stage::Failed => false,
        };
        if waits && !present.contains_key(id) {
            changes.push(Discovery::Vanished(id.clone()));
        }
    }
    changes
}

/// What there is of each known task, and the members of each new one.
fn sorted_out(
    known: &BTreeMap<&TaskId, &Task>,
    source: &Source,
    mut findings: Vec<Finding>,
) -> (BTreeMap<TaskId, Vec<Finding>>, Vec<Vec<Finding>>) {
    findings.sort_by(|a, b| place(a).cmp(&place(b)));
    let mut seen = BTreeSet::new();
    findings.retain(|finding| seen.insert(finding.fingerprint.clone()));
    if *source == Source::Todo {
        equals::tell_apart(known.values().copied(), &mut findings);
    }
    let owners: HashMap<&Fingerprint, &TaskId> =
        known.values().flat_map(|task| task.members().map(|member| (&member.fingerprint, &task.id))).collect();
    let mut present: BTreeMap<TaskId, Vec<Finding>> = BTreeMap::new();
    let mut homes: HashMap<String, TaskId> = HashMap::new();
    let mut left = Vec::new();
    for finding in findings {
        // Also the one that a task is named after and that it lost: two tasks cannot have one name.
        let id = finding.task_id();
        let owner = owners.get(&finding.fingerprint).copied().or_else(|| known.get(&id).map(|task| &task.id));
        let Some(owner) = owner else {
            left.push(finding);
            continue;
        };
        let open = known.get(owner).is_some_and(|task| matches!(task.state, TaskState::Found));
        if let (Some(group), true) = (&finding.group, open) {
            homes.entry(group.clone()).or_insert_with(|| owner.clone());
        }
        present.entry(owner.clone()).or_default().push(finding);
    }
    let mut fresh: Vec<Vec<Finding>> = Vec::new();
    let mut begun: HashMap<String, usize> = HashMap::new();
    for finding in left {
        let Some(group) = finding.group.clone() else {
            fresh.push(vec![finding]);
            continue;
        };
        let home = homes.get(&group).and_then(|id| present.get_mut(id)).filter(|members| members.len() < MEMBERS);
        let begun_at = begun.get(&group).copied().filter(|at| fresh[*at].len() < MEMBERS);
        match (home, begun_at) {
            (Some(members), _) => members.push(finding),
            (None, Some(at)) => fresh[at].push(finding),
            (None, None) => {
                begun.insert(group, fresh.len());
                fresh.push(vec![finding]);
            }
        }
    }
    for members in present.values_mut() {
        members.sort_by(|a, b| place(a).cmp(&place(b)));
    }
    (present, fresh)
}

/// The order of findings.
fn place(finding: &Finding) -> (&str, u32, &Fingerprint) {
    (&finding.path, finding.line, &finding.fingerprint)
}

/// Whether a task is about exactly these members, in these places and words.
fn same(task: &Task, members: &[Finding]) -> bool {
    task.members().map(told).eq(members.iter().map(told))
}

/// What of a finding people are told.
fn told(finding: &Finding) -> (&Fingerprint, &str, u32, u32, &str) {
    (&finding.fingerprint, &finding.path, finding.line, finding.end_line, &finding.text)
}
