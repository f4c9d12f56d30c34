//! The source `security-alert`: open alerts of Dependabot, code scanning and secret scanning, as bad as
//! `[sources.security-alert]` asks for or worse.
//!
//! Alerts about one package are one piece of work, in however many manifests it is required: one update mends them. A kind
//! that cannot be read any more ends nothing: what is known of it stays.

use anyhow::Result;
use async_trait::async_trait;
use backlog::alert::AlertKind;
use backlog::finding::{self, Finding, Fingerprint};
use backlog::time::Day;
use forge::Alert;
use store::TaskFilter;

use super::issue::{TEXT, TITLE};
use super::source::{Look, Moves, Source};
use super::stale_issue::DAY;
use crate::settings::{RepositoryPolicy, Sources};
use crate::wording::one_line;

/// See the module.
pub struct SecurityAlert;

#[async_trait]
impl Source for SecurityAlert {
    fn name(&self) -> finding::Source {
        finding::Source::SecurityAlert
    }

    fn is_on(&self, settings: &Sources, policy: &RepositoryPolicy) -> bool {
        let alerts = &settings.security_alert;
        alerts.enabled && !alerts.kinds.is_empty() && policy.sources.security_alert != Some(false)
    }

    fn moves(&self) -> Moves {
        Moves { with_host: true, every: Some(DAY), ..Moves::default() }
    }

    fn signature(&self, settings: &Sources) -> String {
        let kinds: Vec<&str> = settings.security_alert.kinds.iter().map(|kind| kind.as_str()).collect();
        format!("{} {}", kinds.join(","), settings.security_alert.min_severity.as_str())
    }

    async fn findings(&self, look: &Look<'_>) -> Result<Vec<Finding>> {
        let settings = look.ctx.settings();
        let rule = &settings.sources.security_alert;
        let alerts = look.ctx.forges.of(look.repository)?.alerts(look.repository, &rule.kinds).await?;
        let bad = alerts.open.iter().filter(|alert| alert.severity >= rule.min_severity);
        let mut found: Vec<Finding> = bad.map(|alert| finding(look, alert)).collect();
        if !alerts.unread.is_empty() {
            let filter = TaskFilter { repository: Some(look.repository.clone()), ..TaskFilter::default() };
            let tasks = look.ctx.store.tasks(&filter).await?;
            let known = tasks.into_iter().filter(|task| task.source == self.name() && !task.state.is_final());
            let of_unread =
                |finding: &Finding| alerts.unread.iter().any(|kind| finding.kind.starts_with(kind.as_str()));
            found.extend(known.flat_map(|task| task.members().cloned().collect::<Vec<_>>()).filter(of_unread));
        }
        Ok(found)
    }
}

fn finding(look: &Look<'_>, alert: &Alert) -> Finding {
    let source = finding::Source::SecurityAlert;
    let what = match alert.kind {
        AlertKind::Dependabot => "a weak dependency",
        AlertKind::CodeScanning => "weak code",
        AlertKind::SecretScanning => "a secret in the code",
    };
    let text = format!("An alert about {what}, severity {}.\n\n{}", alert.severity.as_str(), alert.text);
    Finding {
        fingerprint: Fingerprint::of(&source, alert.kind.as_str(), &alert.number.to_string(), 0),
        source,
        kind: format!("{} {}", alert.kind.as_str(), alert.severity.as_str()),
        repository: look.repository.clone(),
        commit: Some(look.content.commit.clone()),
        path: alert.path.clone(),
        line: alert.line,
        end_line: alert.end_line,
        title: one_line(&alert.title, TITLE),
        text: text.chars().take(TEXT).collect(),
        author: None,
        written_on: Some(Day::of(alert.opened_at)),
        owner: None,
        issue: None,
        due: None,
        url: alert.url.clone(),
        interest: 0,
        group: (!alert.package.is_empty()).then(|| alert.package.clone()),
    }
}
