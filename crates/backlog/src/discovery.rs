//! What one look at a source changes in the backlog.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use crate::finding::{Finding, Source};
use crate::names::TaskId;
use crate::task::{Stage, Task};

/// One change that a look at a source asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Discovery {
    /// Work nobody knew of.
    New(Finding),
    /// Known work whose place or wording changed; the task's identity stays.
    Moved(TaskId, Finding),
    /// Known work that is gone, and that no run has begun.
    Vanished(TaskId),
    /// Work that had gone away and is there again.
    Returned(TaskId, Finding),
}

/// Compares what is known of one repository and `source` with what was just found there.
///
/// A task that a run has begun, and one that somebody decided about, never vanishes or returns. A task at which an
/// agent or a check is at work stays as it is: a new version of it would refuse what they write at their end.
#[must_use]
pub fn compare(known: &[Task], source: &Source, findings: Vec<Finding>) -> Vec<Discovery> {
    let known: BTreeMap<&TaskId, &Task> =
        known.iter().filter(|task| task.source == *source).map(|task| (&task.id, task)).collect();
    let mut seen = BTreeSet::new();
    let mut changes = Vec::new();
    for finding in findings {
        let id = finding.task_id();
        if !seen.insert(id.clone()) {
            continue;
        }
        match known.get(&id) {
            None => changes.push(Discovery::New(finding)),
            Some(task) if task.state.stage() == Stage::Obsolete => changes.push(Discovery::Returned(id, finding)),
            Some(task) if task.state.is_final() => {}
            Some(task) if matches!(task.state.stage(), Stage::Running | Stage::Verifying) => {}
            Some(task) => {
                let moved = task.finding.as_ref().is_none_or(|old| {
                    (&old.path, old.line, old.end_line, &old.text)
                        != (&finding.path, finding.line, finding.end_line, &finding.text)
                });
                if moved {
                    changes.push(Discovery::Moved(id, finding));
                }
            }
        }
    }
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
        if waits && !seen.contains(id) {
            changes.push(Discovery::Vanished(id.clone()));
        }
    }
    changes
}
