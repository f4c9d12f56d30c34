//! The source `issue-label`: open issues that carry one of the labels of `[sources.issue-label]`.

use anyhow::Result;
use async_trait::async_trait;
use backlog::finding::{self, Finding};

use super::issue::{finding, has_any, of_people};
use super::source::{Look, Moves, Source};
use super::stale_issue::DAY;
use crate::settings::{RepositoryPolicy, Sources};

/// See the module.
pub struct IssueLabel;

#[async_trait]
impl Source for IssueLabel {
    fn name(&self) -> finding::Source {
        finding::Source::IssueLabel
    }

    fn is_on(&self, settings: &Sources, policy: &RepositoryPolicy) -> bool {
        !settings.issue_label.labels.is_empty() && policy.sources.issue_label != Some(false)
    }

    fn moves(&self) -> Moves {
        Moves { with_host: true, every: Some(DAY), sleeps: true, ..Moves::default() }
    }

    fn signature(&self, settings: &Sources) -> String {
        settings.issue_label.labels.join(",")
    }

    async fn findings(&self, look: &Look<'_>) -> Result<Vec<Finding>> {
        let labels = look.ctx.settings().sources.issue_label.labels.clone();
        let found = of_people(look, &labels).await?;
        let with = |one| {
            let label = labels.iter().find(|label| has_any(one, std::slice::from_ref(label)))?;
            Some(finding(look, self.name(), label, one))
        };
        Ok(found.iter().filter_map(with).collect())
    }
}
