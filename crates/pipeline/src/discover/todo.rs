//! The source `todo`: comments that ask for work.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use backlog::finding::{self, Finding, Fingerprint};
use backlog::task::Task;
use backlog::time::Day;
use futures::StreamExt as _;
use scan::{FileTodos, Selection, TodoOptions};
use store::TaskFilter;

use super::source::{Look, Moves, Reader, Source};
use crate::settings::{RepositoryPolicy, Sources};

/// How many new findings of one look are given author and age; the others stay without.
const BLAMED: usize = 1_000;
/// How many blames run at once.
const BLAMES: usize = 4;

/// See the module.
pub struct Todo;

#[async_trait]
impl Source for Todo {
    fn name(&self) -> finding::Source {
        finding::Source::Todo
    }

    fn is_on(&self, settings: &Sources, policy: &RepositoryPolicy) -> bool {
        settings.todo.enabled && policy.sources.todo != Some(false)
    }

    fn moves(&self) -> Moves {
        Moves { with_code: true, ..Moves::default() }
    }

    fn signature(&self, settings: &Sources) -> String {
        let todo = &settings.todo;
        let (tags, exclude, fences) = (todo.tags.join(","), todo.exclude.join(","), todo.markdown_fences);
        format!("engine={} tags={tags} exclude={exclude} fences={fences}", scan::ENGINE_VERSION)
    }

    fn reader(&self, settings: &Sources, selection: &Selection) -> Result<Option<Arc<dyn Reader>>> {
        let todo = &settings.todo;
        let options = TodoOptions::new(todo.tags.clone())?.with_markdown_fences(todo.markdown_fences);
        Ok(Some(Arc::new(Comments { selection: selection.clone().without(&todo.exclude)?, options })))
    }

    async fn findings(&self, look: &Look<'_>) -> Result<Vec<Finding>> {
        let mut found = Vec::with_capacity(look.kept.len());
        for (path, kept) in &look.kept {
            let todos = serde_json::from_str(kept).context("what was kept of a file cannot be read")?;
            found.push(FileTodos { path: path.clone(), todos });
        }
        let mut findings = scan::findings(look.repository, Some(&look.content.commit), found);
        blame(look, &mut findings).await?;
        Ok(findings)
    }
}

/// Reads the comments of a file.
struct Comments {
    selection: Selection,
    options: TodoOptions,
}

impl Reader for Comments {
    fn wants(&self, path: &str, size: u64) -> Option<String> {
        self.selection.skip_unread(path, size).is_none().then(|| self.selection.class(path))
    }

    fn read(&self, path: &str, bytes: &[u8]) -> Option<String> {
        let mut todos = self.selection.todos(path, bytes, &self.options).ok()?;
        self.selection.place(path, bytes, &mut todos).ok()?;
        if todos.is_empty() { None } else { serde_json::to_string(&todos).ok() }
    }
}

/// Adds author and age to findings that no task knows yet, where the history is here; what tasks know of the others is
/// remembered when they are recorded. What blame cannot say stays unknown: it is a help, not a condition.
async fn blame(look: &Look<'_>, findings: &mut [Finding]) -> Result<()> {
    let content = look.content;
    if !content.has_history() {
        return Ok(());
    }
    let filter = TaskFilter { repository: Some(look.repository.clone()), ..TaskFilter::default() };
    let tasks = look.ctx.store.tasks(&filter).await?;
    let known: BTreeSet<&Fingerprint> = tasks.iter().flat_map(Task::members).map(|known| &known.fingerprint).collect();
    let fresh = findings.iter_mut().filter(|finding| !known.contains(&finding.fingerprint)).take(BLAMED);
    futures::stream::iter(fresh)
        .for_each_concurrent(BLAMES, |finding| async move {
            match content.blame(&finding.path, u64::from(finding.line)).await {
                Ok(Some(blame)) => {
                    finding.author = Some(blame.author.name);
                    finding.written_on = Some(Day::of(blame.at));
                }
                Ok(None) => {}
                Err(error) => tracing::debug!(path = finding.path, error = %error, "no blame"),
            }
        })
        .await;
    Ok(())
}
