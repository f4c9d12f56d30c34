//! The checks of a branch's head: what is red, in which step, and the end of what that step printed.
//!
//! **Wanted properties.** A head that the last query for changes showed without red checks costs no request. Of a log
//! only the failing step's last lines are told, and nothing in them that looks like a secret.
//!
//! **Design.** Checks and logs are read as for pull requests (`checks`); the job tells its steps and their times, and the
//! log has a time in front of each line.

use std::time::Duration;

use backlog::names::{CommitId, RepoName};
use backlog::review::CheckState;
use backlog::time::Timestamp;

use super::GitHub;
use super::checks::{reported, state_of_run, state_of_status};
use super::client::Failure;
use super::model::{CheckRun, Job, Step, time};
use crate::sanitize::{masked, visible};
use crate::{ForgeError, HeadCheck, HeadChecks};

/// Red checks of which more than their name is told.
const DETAILS: usize = 10;
/// The last lines of a step that are told, and how many bytes of them.
const LINES: usize = 40;
const BYTES: usize = 3_000;
/// Steps say when they ended in whole seconds.
const SLACK: Duration = Duration::from_secs(1);

/// What the checks of a head amounted to when it was last asked for together with others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rollup {
    /// Nothing is red and nothing waited for.
    Calm,
    /// Nothing is red yet.
    Pending,
    /// Something is.
    Red,
}

impl Rollup {
    /// Of GitHub's word; none is a commit without checks.
    pub(super) fn of(word: Option<&str>) -> Self {
        match word {
            Some("FAILURE" | "ERROR") => Self::Red,
            Some("PENDING" | "EXPECTED") => Self::Pending,
            _ => Self::Calm,
        }
    }
}

impl GitHub {
    /// See [`crate::Forge::head_checks`].
    pub(super) async fn head_checks_of(
        &self,
        repository: &RepoName,
        head: &CommitId,
    ) -> Result<HeadChecks, ForgeError> {
        match self.rollup_of(repository, head) {
            Some(Rollup::Calm) => return Ok(HeadChecks { checks: Vec::new(), settled: true }),
            Some(Rollup::Pending) => return Ok(HeadChecks::default()),
            Some(Rollup::Red) | None => {}
        }
        let mut checks: Vec<HeadCheck> = Vec::new();
        let mut details = 0;
        for run in self.check_runs(repository, head).await? {
            let mut check = HeadCheck {
                name: run.name.clone(),
                state: of_branch(&run),
                url: run.html_url.clone(),
                step: None,
                log: String::new(),
            };
            if check.state == CheckState::Failed && details < DETAILS {
                details += 1;
                (check.step, check.log) = self.failure(repository, &run).await?;
            }
            checks.push(check);
        }
        for status in self.statuses(repository, head).await? {
            let said = status.description.unwrap_or_default();
            checks.push(HeadCheck {
                name: status.context,
                state: state_of_status(&status.state),
                url: status.target_url.unwrap_or_default(),
                step: None,
                log: end_of(&said, None),
            });
        }
        // Jobs of one name may come from several workflows: the worst counts.
        let badness = |check: &HeadCheck| match check.state {
            CheckState::Failed => 0,
            CheckState::Pending => 1,
            CheckState::Passed => 2,
        };
        checks.sort_by(|a, b| (&a.name, badness(a)).cmp(&(&b.name, badness(b))));
        checks.dedup_by(|later, first| later.name == first.name);
        let settled = checks.iter().all(|check| check.state != CheckState::Pending);
        Ok(HeadChecks { checks, settled })
    }

    /// The failing step of a red check, where it is a job, and the end of its log.
    async fn failure(&self, repository: &RepoName, run: &CheckRun) -> Result<(Option<String>, String), ForgeError> {
        if run.app.as_ref().is_none_or(|app| app.slug != "github-actions") {
            return Ok((None, end_of(&reported(run), None)));
        }
        let id = run.id.to_string();
        let url = self.repository_url(repository, &["actions", "jobs", &id], &[]);
        let job = match self.client_of(repository).await?.get_json::<Job>(&url).await {
            // A check of another program under the same name, or a token that may not see jobs.
            Err(Failure::Refused(refusal)) if matches!(refusal.status.as_u16(), 403 | 404) => Job::default(),
            job => job?,
        };
        let is_red = |step: &&Step| matches!(step.conclusion.as_deref(), Some("failure" | "timed_out"));
        let step = job.steps.iter().find(is_red);
        let log = match self.job_log(repository, run).await? {
            log if log.trim().is_empty() => end_of(&reported(run), None),
            log => end_of(&log, step),
        };
        Ok((step.map(|step| visible(&step.name)), log))
    }
}

/// How a check of a branch stands: one that somebody cancelled, or that was overtaken, says nothing about the code.
fn of_branch(run: &CheckRun) -> CheckState {
    match (run.status.as_str(), run.conclusion.as_deref()) {
        ("completed", Some("cancelled" | "stale" | "action_required")) => CheckState::Passed,
        _ => state_of_run(run),
    }
}

/// The last lines of a log, of one step where its lines can be told from the others.
fn end_of(log: &str, step: Option<&Step>) -> String {
    let lines: Vec<(Option<Timestamp>, &str)> = log.lines().map(timed).collect();
    let within = step.map(|step| (time(step.started_at.as_deref()), time(step.completed_at.as_deref()).plus(SLACK)));
    let of_step = |(at, _): &&(Option<Timestamp>, &str)| match (at, within) {
        (Some(at), Some((from, to))) => from <= *at && *at <= to,
        _ => false,
    };
    let mut kept: Vec<&str> = lines.iter().filter(of_step).map(|(_, line)| *line).collect();
    if kept.is_empty() {
        kept = lines.iter().map(|(_, line)| *line).collect();
    }
    // What comes after the error is tidying up.
    if let Some(last) = kept.iter().rposition(|line| line.starts_with("##[error]")) {
        kept.truncate(last + 1);
    }
    let kept: Vec<&str> = kept.into_iter().filter(|line| !line.starts_with("##[endgroup]")).collect();
    let end = kept[kept.len().saturating_sub(LINES)..].join("\n");
    let end = masked(&visible(&end));
    let from = end.ceil_char_boundary(end.len().saturating_sub(BYTES));
    end[from..].trim().to_owned()
}

/// A line of a job's log and its time: `2026-01-02T03:04:05.1234567Z words`.
fn timed(line: &str) -> (Option<Timestamp>, &str) {
    let line = line.trim_start_matches('\u{feff}');
    match line.split_once(' ').unwrap_or((line, "")) {
        (first, rest) if first.ends_with('Z') => match Timestamp::parse_rfc3339(first) {
            Some(at) => (Some(at), rest),
            None => (None, line),
        },
        _ => (None, line),
    }
}

#[cfg(test)]
mod tests;
