//! Issues of people as work: what the sources `stale-issue` and `issue-label` share.
//!
//! **Wanted properties.** Nothing of ours is work: no issue with our marker, none with the label of proposals. A task of
//! such an issue is one for as long as the issue lives, and its proposal is the issue itself.

use anyhow::Result;
use backlog::finding::{self, Finding, Fingerprint};
use backlog::time::Day;
use forge::OpenIssue;

use super::source::Look;
use crate::wording::one_line;

/// The longest text of a finding, in characters.
pub(super) const TEXT: usize = 4_000;
/// The longest title of a finding, in characters.
pub(super) const TITLE: usize = 120;

/// The open issues that people opened; only those with one of `labels` if there are some.
///
/// # Errors
/// When the code host cannot be asked.
pub(super) async fn of_people(look: &Look<'_>, labels: &[String]) -> Result<Vec<OpenIssue>> {
    let mut found = look.ctx.forges.of(look.repository)?.open_issues(look.repository, labels).await?;
    let proposals = look.ctx.settings().proposals.label.clone();
    found.retain(|one| !one.ours && !has_any(one, std::slice::from_ref(&proposals)));
    Ok(found)
}

/// Whether an issue carries one of these labels.
pub(super) fn has_any(issue: &OpenIssue, labels: &[String]) -> bool {
    labels.iter().any(|wanted| issue.labels.iter().any(|label| label.eq_ignore_ascii_case(wanted)))
}

/// The finding that an issue is.
pub(super) fn finding(look: &Look<'_>, source: finding::Source, kind: &str, one: &OpenIssue) -> Finding {
    let link = &one.issue.link;
    Finding {
        fingerprint: Fingerprint::of(&source, "", &link.number.to_string(), 0),
        source,
        kind: kind.to_owned(),
        repository: look.repository.clone(),
        commit: None,
        path: String::new(),
        line: 0,
        end_line: 0,
        title: one_line(&one.issue.title, TITLE),
        text: one.issue.body.trim().chars().take(TEXT).collect(),
        author: Some(one.author.clone()).filter(|author| !author.is_empty()),
        written_on: Some(Day::of(one.created_at)),
        owner: None,
        issue: Some(link.number),
        due: None,
        url: link.url.clone(),
        interest: one.reactions.saturating_add(one.replies),
        group: None,
    }
}
