//! The source `stale-issue`: open issues in which no person has written anything for the days of
//! `[sources.stale-issue]`. Comments of programs and commands to us are no writing.
//!
//! What carries a label of `issue-label` is that source's. A reply ends such a finding, but none that somebody has
//! approved: who answers "go ahead" must not call it off.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;
use async_trait::async_trait;
use backlog::finding::{self, Finding};
use backlog::task::Stage;
use store::TaskFilter;

use super::issue::{finding, has_any, of_people};
use super::source::{Look, Moves, Source};
use crate::settings::{RepositoryPolicy, Sources};

/// How often time alone is a reason to ask.
pub(super) const DAY: Duration = Duration::from_secs(86_400);

/// See the module.
pub struct StaleIssue;

#[async_trait]
impl Source for StaleIssue {
    fn name(&self) -> finding::Source {
        finding::Source::StaleIssue
    }

    fn is_on(&self, settings: &Sources, policy: &RepositoryPolicy) -> bool {
        settings.stale_issue.enabled && policy.sources.stale_issue != Some(false)
    }

    fn moves(&self) -> Moves {
        Moves { with_host: true, every: Some(DAY), sleeps: true, ..Moves::default() }
    }

    fn signature(&self, settings: &Sources) -> String {
        let rule = &settings.stale_issue;
        let (skip, labels) = (rule.skip_labels.join(","), settings.issue_label.labels.join(","));
        format!("days={} reactions={} skip={skip} labels={labels}", rule.days, rule.min_reactions)
    }

    async fn findings(&self, look: &Look<'_>) -> Result<Vec<Finding>> {
        let settings = look.ctx.settings();
        let (rule, now) = (&settings.sources.stale_issue, look.ctx.now());
        let labels = match look.policy.sources.issue_label {
            Some(false) => &[],
            _ => settings.sources.issue_label.labels.as_slice(),
        };
        let approved = approved(look).await?;
        let mut found = of_people(look, &[]).await?;
        found.retain(|one| {
            let quiet = now.days_since(one.last_word) >= rule.days || approved.contains(&one.issue.link.number);
            quiet && one.reactions >= rule.min_reactions && !has_any(one, &rule.skip_labels) && !has_any(one, labels)
        });
        Ok(found.iter().map(|one| finding(look, self.name(), "", one)).collect())
    }
}

/// The issues that somebody has approved.
async fn approved(look: &Look<'_>) -> Result<BTreeSet<u64>> {
    let filter = TaskFilter {
        repository: Some(look.repository.clone()),
        stages: vec![Stage::Approved],
        ..TaskFilter::default()
    };
    let tasks = look.ctx.store.tasks(&filter).await?;
    Ok(tasks
        .iter()
        .filter(|task| task.source == finding::Source::StaleIssue)
        .filter_map(|task| task.born_of())
        .collect())
}
