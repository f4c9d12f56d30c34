//! The checks of a commit: check runs, commit statuses, and the logs of what failed.

use std::time::Duration;

use backlog::names::{CommitId, RepoName};
use backlog::review::{CheckState, RemoteCheck};
use url::Url;

use super::GitHub;
use super::client::Failure;
use super::conditional::too_long;
use super::model::{CheckRun, CheckRuns, CombinedStatus, Status};
use crate::ForgeError;
use crate::sanitize::visible;

/// The longest log that is kept, in bytes; the end is what matters.
const LOG_BYTES: usize = 64 << 10;
/// Pages of check runs.
const PAGES: usize = 5;
/// Failed checks whose logs are fetched; the others show only what their check run says.
const LOGS: usize = 10;
const LOG_SPACE: &str = "check-log";
const LOG_KEPT: Duration = Duration::from_secs(24 * 3600);

impl GitHub {
    /// The checks of a commit. A credential that may not see check runs sees the commit statuses only.
    pub(super) async fn checks_of(
        &self,
        repository: &RepoName,
        head: &CommitId,
    ) -> Result<Vec<RemoteCheck>, ForgeError> {
        let mut checks = Vec::new();
        let mut logs = 0;
        for run in self.check_runs(repository, head).await? {
            let state = state_of_run(&run);
            let mut log = String::new();
            if state == CheckState::Failed {
                logs += 1;
                log = reported(&run);
                if logs <= LOGS && run.app.as_ref().is_some_and(|app| app.slug == "github-actions") {
                    log.push_str(&self.job_log(repository, &run).await?);
                }
            }
            checks.push(RemoteCheck { name: run.name, state, log: tail(&visible(&log)) });
        }
        for status in self.statuses(repository, head).await? {
            let state = state_of_status(&status.state);
            let log = [status.description, status.target_url].into_iter().flatten().collect::<Vec<_>>().join("\n");
            let log = if state == CheckState::Failed { tail(&visible(&log)) } else { String::new() };
            checks.push(RemoteCheck { name: status.context, state, log });
        }
        Ok(checks)
    }

    fn commit_url(&self, repository: &RepoName, head: &CommitId, what: &str) -> Url {
        self.repository_url(repository, &["commits", head.as_str(), what], &[("per_page", "100")])
    }

    pub(super) async fn check_runs(&self, repository: &RepoName, head: &CommitId) -> Result<Vec<CheckRun>, ForgeError> {
        let client = self.client_of(repository).await?;
        let (mut url, mut all) = (self.commit_url(repository, head, "check-runs"), Vec::new());
        for _ in 0..PAGES {
            let (page, answer): (CheckRuns, _) = match client.get_page(&url).await {
                Err(Failure::Refused(refusal)) if matches!(refusal.status.as_u16(), 403 | 404) => {
                    tracing::warn!(%repository, said = refusal.said, needs = refusal.needs, "check runs cannot be read");
                    return Ok(all);
                }
                answer => answer?,
            };
            all.extend(page.check_runs);
            match self.wire.next_page(&url, &answer)? {
                Some(next) => url = next,
                None => return Ok(all),
            }
        }
        // One that is not seen may be red (R44).
        Err(too_long(url.path(), PAGES).into())
    }

    pub(super) async fn statuses(&self, repository: &RepoName, head: &CommitId) -> Result<Vec<Status>, ForgeError> {
        let client = self.client_of(repository).await?;
        match client.get_json::<CombinedStatus>(&self.commit_url(repository, head, "status")).await {
            Err(Failure::Refused(refusal)) if matches!(refusal.status.as_u16(), 403 | 404) => Ok(Vec::new()),
            combined => {
                let combined = combined?;
                if combined.total_count > combined.statuses.len() as u64 {
                    return Err(too_long("of the statuses", 1).into());
                }
                Ok(combined.statuses)
            }
        }
    }

    /// The log of an Actions job, which has its check run's id. Fetched once; none is no failure, because logs
    /// expire and may be forbidden.
    pub(super) async fn job_log(&self, repository: &RepoName, run: &CheckRun) -> Result<String, ForgeError> {
        let id = run.id.to_string();
        let key = format!("{repository} {id} {}", run.completed_at.as_deref().unwrap_or_default());
        if let Some(log) = self.ledger.recall(LOG_SPACE, &key).await? {
            return Ok(log);
        }
        let url = self.repository_url(repository, &["actions", "jobs", &id, "logs"], &[]);
        match self.client_of(repository).await?.read_elsewhere(url, self.wire.limits.body_bytes).await {
            Ok(log) => {
                let log = tail(&String::from_utf8_lossy(&log));
                self.ledger.remember(LOG_SPACE, &key, &log, Some(self.now().plus(LOG_KEPT))).await?;
                Ok(log)
            }
            Err(failure @ Failure::Limited { .. }) => Err(failure.into()),
            Err(failure) => {
                tracing::info!(%repository, job = id, error = %ForgeError::from(failure), "the job's log cannot be read");
                Ok(String::new())
            }
        }
    }
}

/// What a check run says about itself.
pub(super) fn reported(run: &CheckRun) -> String {
    let parts = [&run.output.title, &run.output.summary, &run.output.text].into_iter().flatten();
    parts.filter(|part| !part.trim().is_empty()).fold(String::new(), |log, part| log + part + "\n")
}

/// The last 64 KiB of a log, from the beginning of a line where there is one.
fn tail(log: &str) -> String {
    if log.len() <= LOG_BYTES {
        return log.to_owned();
    }
    let from = log.ceil_char_boundary(log.len() - LOG_BYTES);
    let end = &log[from..];
    end.split_once('\n').map_or(end, |(_, rest)| rest).to_owned()
}

pub(super) fn state_of_run(run: &CheckRun) -> CheckState {
    match (run.status.as_str(), run.conclusion.as_deref()) {
        ("completed", Some("success" | "neutral" | "skipped")) => CheckState::Passed,
        ("completed", _) => CheckState::Failed,
        _ => CheckState::Pending,
    }
}

pub(super) fn state_of_status(state: &str) -> CheckState {
    match state {
        "success" => CheckState::Passed,
        "failure" | "error" => CheckState::Failed,
        _ => CheckState::Pending,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_github_become_states() {
        let table = [
            ("completed", Some("success"), CheckState::Passed),
            ("completed", Some("neutral"), CheckState::Passed),
            ("completed", Some("skipped"), CheckState::Passed),
            ("completed", Some("failure"), CheckState::Failed),
            ("completed", Some("timed_out"), CheckState::Failed),
            ("completed", Some("cancelled"), CheckState::Failed),
            ("completed", Some("action_required"), CheckState::Failed),
            ("completed", Some("a new word"), CheckState::Failed),
            ("completed", None, CheckState::Failed),
            ("in_progress", None, CheckState::Pending),
            ("queued", None, CheckState::Pending),
            ("a new word", None, CheckState::Pending),
        ];
        for (status, conclusion, expected) in table {
            let run = serde_json::json!({"id": 1, "status": status, "conclusion": conclusion});
            assert_eq!(state_of_run(&serde_json::from_value(run).unwrap()), expected, "{status} {conclusion:?}");
        }
        assert_eq!(state_of_status("error"), CheckState::Failed);
        assert_eq!(state_of_status("expected"), CheckState::Pending);
    }

    #[test]
    fn a_log_keeps_its_end_and_its_bound() {
        let log = format!("{}\nlast line ü", "0123456789ü\n".repeat(10_000));
        let end = tail(&log);
        assert!(end.len() <= LOG_BYTES && end.starts_with("0123456789ü\n") && end.ends_with("last line ü"));
        assert!(tail(&"ü".repeat(LOG_BYTES)).len() <= LOG_BYTES);
        assert_eq!(tail("short"), "short");
    }
}
