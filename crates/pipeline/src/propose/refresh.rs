//! Keeps what an open proposal says about places in step with the code.
//!
//! **Definition.** A proposal quotes what is to be done and says where. When lines move, or one of several comments is
//! gone, [`refresh`] writes it anew in place.
//!
//! **Wanted properties.** An edit of ours neither voids an approval nor makes one count for more than was shown; a text
//! that a person has edited is theirs and is never written over; nothing is written when nothing that people are told has
//! changed (points age every day).
//!
//! **Design.** A task that people were shown never wins members. Where the old text quotes all that the new one asks for,
//! a yes to the old one holds: the time of the first showing stays. Else (a dependency that one more manifest names) only
//! what is decided from then on counts. What we wrote last is noted before it is sent, and is taken over from the issue
//! without a word. Only while a task waits
//! for a decision: once it is approved, what was approved stands.
//!
//! **Known races.** *A person edits the issue between our look and our write*: the code host is asked to change only the
//! text that we know, which leaves the time between its two requests, well below a second. *A crash between noting and
//! sending, or sending and storing*: the next activation writes or takes over the same text.

use std::sync::Arc;

use anyhow::Result;
use backlog::approval::ContentHash;
use backlog::finding::Finding;
use backlog::names::{TaskId, digest};
use backlog::task::{Command, Proposal, Task, TaskState};
use backlog::time::Timestamp;
use forge::{Forge, ForgeError, IssuePatch};
use store::{Commit, StoreError};

use crate::{Context, wording};

/// Where it is noted what we wrote last.
const SPACE: &str = "written";

/// What we wrote last into a proposal.
struct Written {
    /// The hash of the whole text.
    content: String,
    /// What it told of the work: its title, quotes and places.
    told: String,
}

fn told(task: &Task) -> String {
    let (title, body) = wording::proposal(task);
    told_by(&title, &body)
}

fn told_by(title: &str, body: &str) -> String {
    digest(&[title, &wording::order(body)])
}

async fn written(ctx: &Context, id: &TaskId) -> Result<Option<Written>, StoreError> {
    let note = ctx.store.note(SPACE, id.as_str(), ctx.now()).await?;
    let parts = note.as_deref().and_then(|note| note.split_once(' '));
    Ok(parts.map(|(content, told)| Written { content: content.to_owned(), told: told.to_owned() }))
}

async fn note(ctx: &Context, task: &Task, content: &ContentHash) -> Result<(), StoreError> {
    let text = format!("{} {}", content.as_str(), told(task));
    ctx.store.put_note(SPACE, task.id.as_str(), &text, None).await
}

/// Notes that `sent` was written for a task, unless people see something else: then the text is not ours.
pub(super) async fn wrote(ctx: &Context, task: &Task, sent: &ContentHash, seen: &ContentHash) -> Result<()> {
    if sent == seen {
        note(ctx, task, sent).await?;
    }
    Ok(())
}

/// Whether a text that people see is the one that we wrote last.
///
/// # Errors
/// When the store fails.
pub(crate) async fn is_ours(ctx: &Context, id: &TaskId, content: &ContentHash) -> Result<bool> {
    Ok(written(ctx, id).await?.is_some_and(|written| written.content == content.as_str()))
}

/// Since when a decision about a task counts that was shown as `before` and is written anew at `now`.
pub(crate) fn counts_since(task: &Task, before: &Proposal, now: Timestamp) -> Timestamp {
    let quoted = |finding: &Finding| before.body.contains(wording::visible(&finding.text).trim_end());
    if task.members().all(quoted) { before.at } else { now }
}

/// Writes an open proposal anew when what it tells has changed. Gives back when quiet hours end that it waits for.
pub(super) async fn refresh(ctx: &Arc<Context>, forge: &dyn Forge, task: &Task) -> Result<Option<Timestamp>> {
    let TaskState::Proposed { proposal } = &task.state else { return Ok(None) };
    let written = match &proposal.issue {
        Some(_) => written(ctx, &task.id).await?,
        // Nobody but us writes on a card.
        None => Some(Written {
            content: proposal.content.as_str().to_owned(),
            told: told_by(&proposal.title, &proposal.body),
        }),
    };
    let Some(written) = written else { return Ok(None) };
    if written.told == told(task) || written.content != proposal.content.as_str() {
        return Ok(None);
    }
    if proposal.issue.is_some()
        && let Some(until) = ctx.settings().proposals.quiet_until(ctx.now())
    {
        return Ok(Some(until));
    }
    let now = ctx.now();
    let (title, body) = match &proposal.issue {
        Some(_) => super::text(ctx, task).await?,
        None => wording::proposal(task),
    };
    let content = ContentHash::of(&title, &body);
    if let Some(issue) = &proposal.issue {
        note(ctx, task, &content).await?;
        let patch = IssuePatch {
            content: Some((title.clone(), body.clone())),
            instead_of: Some(proposal.content.clone()),
            ..IssuePatch::default()
        };
        match forge.update_issue(issue, &patch).await {
            Ok(()) => {}
            // A person was faster: reading the decisions takes that text over.
            Err(ForgeError::Conflict(_)) => return Ok(None),
            // What was deleted or moved away shows nothing any more.
            Err(ForgeError::NotFound(_)) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
    let at = counts_since(task, proposal, now);
    let anew = Proposal { content, title, body, at, ..proposal.clone() };
    let task = task.clone().apply(Command::Edit(anew), now)?;
    match ctx.store.commit(Commit { tasks: vec![task], ..Commit::default() }).await {
        // Somebody decided just now. What they said yes to asks for no less.
        Ok(_) | Err(StoreError::Conflict(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_yes_to_a_text_holds_for_the_same_or_less_and_not_for_more() {
        let mut task = Task::of_person("acme/app".parse().unwrap(), "Two".to_owned(), String::new(), Timestamp(1));
        let finding = |text: &str| -> Finding {
            let json = serde_json::json!({
                "fingerprint": text, "source": "todo", "kind": "TODO", "repository": "acme/app", "commit": null,
                "path": "a.py", "line": 1, "end_line": 1, "title": text, "text": text, "author": null,
                "written_on": null, "owner": null, "issue": null,
            });
            serde_json::from_value(json).unwrap()
        };
        task = task.about(vec![finding("TODO: a"), finding("TODO: b")]);
        let (title, body) = wording::proposal(&task);
        let before = Proposal { issue: None, content: ContentHash::of(&title, &body), title, body, at: Timestamp(5) };
        let since = |members| counts_since(&task.clone().about(members), &before, Timestamp(9)).0;
        assert_eq!(since(vec![finding("TODO: b")]), 5);
        assert_eq!(since(vec![finding("TODO: a"), finding("TODO: b")]), 5);
        assert_eq!(since(vec![finding("TODO: a\nand one more place")]), 9);
    }
}
