//! The source `ci`: red checks of the default branch's head, with the failing step and the end of its log.
//!
//! A finding is one time that a check is red: it lasts over commits until the check passes or is gone, so that a refused
//! one stays refused for that long, and a check that breaks anew is new work. While a check is under way nothing changes.
//!
//! What is red is one note for each repository. A process that dies after writing it records the same the next time.

use std::collections::BTreeMap;

use anyhow::Result;
use async_trait::async_trait;
use backlog::finding::{self, Finding, Fingerprint};
use backlog::review::CheckState;
use forge::{HeadCheck, HeadChecks};

use super::issue::{TEXT, TITLE};
use super::source::{Look, Moves, Source};
use super::stale_issue::DAY;
use crate::settings::{RepositoryPolicy, Sources};
use crate::wording::one_line;

/// How many red checks of one repository are work.
const MOST: usize = 20;
const SPACE: &str = "red-checks";

/// See the module.
pub struct Ci;

/// Red checks by name.
type Red = BTreeMap<String, Finding>;

#[async_trait]
impl Source for Ci {
    fn name(&self) -> finding::Source {
        finding::Source::Ci
    }

    fn is_on(&self, settings: &Sources, policy: &RepositoryPolicy) -> bool {
        settings.ci.enabled && policy.sources.ci != Some(false)
    }

    fn moves(&self) -> Moves {
        Moves { with_code: true, with_host: true, every: Some(DAY), sleeps: true }
    }

    fn signature(&self, _settings: &Sources) -> String {
        String::new()
    }

    async fn findings(&self, look: &Look<'_>) -> Result<Vec<Finding>> {
        let (store, now, key) = (&look.ctx.store, look.ctx.now(), look.repository.as_str());
        let before = store.note(SPACE, key, now).await?;
        let red: Red = before.as_ref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        let head = look.ctx.forges.of(look.repository)?.head_checks(look.repository, &look.content.commit).await?;
        let red = red_now(look, red, &head);
        let text = serde_json::to_string(&red)?;
        if before.unwrap_or_else(|| "{}".to_owned()) != text {
            store.put_note(SPACE, key, &text, None).await?;
        }
        Ok(red.into_values().collect())
    }
}

/// What is red now, after what was.
fn red_now(look: &Look<'_>, mut red: Red, head: &HeadChecks) -> Red {
    let state = |name: &str| head.checks.iter().find(|check| check.name == name).map(|check| check.state);
    red.retain(|name, _| match state(name) {
        Some(CheckState::Passed) => false,
        Some(CheckState::Failed | CheckState::Pending) => true,
        // It may not have begun yet.
        None => !head.settled,
    });
    for check in head.checks.iter().filter(|check| check.state == CheckState::Failed) {
        let full = red.len() >= MOST;
        let fresh = finding(look, check);
        match red.get_mut(&check.name) {
            // Each commit has another log; what matters is that it fails in another step.
            Some(known) if known.title == fresh.title => {}
            Some(known) => {
                let fingerprint = known.fingerprint.clone();
                *known = Finding { fingerprint, ..fresh };
            }
            None if full => {}
            None => {
                red.insert(check.name.clone(), fresh);
            }
        }
    }
    red
}

fn finding(look: &Look<'_>, check: &HeadCheck) -> Finding {
    let (name, commit) = (one_line(&check.name, TITLE), &look.content.commit);
    let step = check.step.as_deref().map_or(String::new(), |step| format!(", in the step {}", one_line(step, TITLE)));
    let log = match check.log.trim() {
        "" => "Its log is not known.".to_owned(),
        log => format!("The end of its log:\n\n{log}"),
    };
    let text = format!("The check {name} of the default branch is red at {commit}{step}. {log}");
    Finding {
        fingerprint: Fingerprint::of(&finding::Source::Ci, "", &format!("{} {commit}", check.name), 0),
        source: finding::Source::Ci,
        kind: String::new(),
        repository: look.repository.clone(),
        commit: Some(commit.clone()),
        path: String::new(),
        line: 0,
        end_line: 0,
        title: one_line(&format!("The check {name} of the default branch is red{step}"), TITLE),
        text: text.chars().take(TEXT).collect(),
        author: None,
        written_on: None,
        owner: None,
        issue: None,
        due: None,
        url: check.url.clone(),
        interest: 0,
        group: None,
    }
}
