//! The source `todo`: comments that ask for work.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Result;
use backlog::finding::Finding;
use backlog::names::{CommitId, RepoName, TaskId};
use backlog::task::Task;
use futures::StreamExt as _;
use git::{Blob, Mirror, Tree, TreeFile};
use scan::{FileTodos, Selection, TodoOptions};
use store::TaskFilter;

use crate::Context;

/// How many files are handed to the scanning threads at once.
const BATCH: usize = 256;
/// How many new findings of one look are given author and age; the others stay without.
const BLAMED: usize = 1_000;
/// How many blames run at once.
const BLAMES: usize = 4;

/// The largest `.gitattributes` that is read, in bytes, and how many of them.
const ATTRIBUTES_BYTES: u64 = 64 << 10;
const ATTRIBUTES: usize = 1_000;

/// The comments that ask for work at `commit`, new ones with author and age from blame.
///
/// # Errors
/// When git fails.
pub async fn findings(
    ctx: &Arc<Context>,
    mirror: &Mirror,
    repository: &RepoName,
    commit: &CommitId,
    tree: &Tree,
) -> Result<Vec<Finding>> {
    let todo = &ctx.settings().sources.todo;
    let options = Arc::new(TodoOptions::new(todo.tags.clone())?.with_markdown_fences(todo.markdown_fences));
    let selection = Arc::new(selection(mirror, tree, &todo.exclude).await?);
    let mut found = Vec::new();
    let wanted: Vec<&TreeFile> =
        tree.files.iter().filter(|file| selection.skip_unread(&file.path, file.size).is_none()).collect();
    for batch in wanted.chunks(BATCH) {
        let oids: Vec<String> = batch.iter().map(|file| file.oid.clone()).collect();
        let mut read = Vec::with_capacity(batch.len());
        mirror
            .read_blobs(&oids, scan::MAX_FILE_BYTES, |index, blob| {
                if let Blob::Content(bytes) = blob {
                    read.push((batch[index].path.clone(), bytes));
                }
            })
            .await?;
        let (selection, options) = (selection.clone(), options.clone());
        found.extend(ctx.on_cpu(move || read_batch(&read, &selection, &options)).await?);
    }
    let mut findings = scan::findings(repository, Some(commit), found);
    blame(ctx, mirror, commit, repository, &mut findings).await?;
    Ok(findings)
}

/// Which files are read: what the settings and the tree's own `.gitattributes` say.
async fn selection(mirror: &Mirror, tree: &Tree, exclude: &[String]) -> Result<Selection> {
    let mut selection = Selection::excluding(exclude)?;
    let is_attributes = |file: &&TreeFile| file.path.rsplit('/').next() == Some(".gitattributes");
    let files: Vec<&TreeFile> = tree.files.iter().filter(is_attributes).take(ATTRIBUTES).collect();
    if files.is_empty() {
        return Ok(selection);
    }
    let oids: Vec<String> = files.iter().map(|file| file.oid.clone()).collect();
    mirror
        .read_blobs(&oids, ATTRIBUTES_BYTES, |index, blob| {
            if let Blob::Content(bytes) = blob {
                selection.attributes(&files[index].path, &bytes);
            }
        })
        .await?;
    Ok(selection)
}

fn read_batch(files: &[(String, Vec<u8>)], selection: &Selection, options: &TodoOptions) -> Vec<FileTodos> {
    use rayon::prelude::*;
    let todos = |(path, bytes): &(String, Vec<u8>)| {
        let todos = selection.todos(path, bytes, options).unwrap_or_default();
        (!todos.is_empty()).then(|| FileTodos { path: path.clone(), todos })
    };
    files.par_iter().filter_map(todos).collect()
}

/// Adds author and age to findings that no task knows yet. What blame cannot say stays unknown: it is a help, not a
/// condition.
async fn blame(
    ctx: &Arc<Context>,
    mirror: &Mirror,
    commit: &CommitId,
    repository: &RepoName,
    findings: &mut [Finding],
) -> Result<()> {
    let now = ctx.now();
    let filter = TaskFilter { repository: Some(repository.clone()), ..TaskFilter::default() };
    let known: BTreeMap<TaskId, Task> =
        ctx.store.tasks(&filter).await?.into_iter().map(|task| (task.id.clone(), task)).collect();
    let mut fresh = Vec::new();
    for finding in findings {
        match known.get(&finding.task_id()).and_then(|task| task.finding.as_ref()) {
            Some(old) => {
                finding.author.clone_from(&old.author);
                finding.age_days = old.age_days;
            }
            None if fresh.len() < BLAMED => fresh.push(finding),
            None => {}
        }
    }
    futures::stream::iter(fresh)
        .for_each_concurrent(BLAMES, |finding| async move {
            match mirror.blame(commit, &finding.path, u64::from(finding.line)).await {
                Ok(Some(blame)) => {
                    finding.author = Some(blame.author.name);
                    finding.age_days = Some(now.days_since(blame.at));
                }
                Ok(None) => {}
                Err(error) => tracing::debug!(path = finding.path, error = %error, "no blame"),
            }
        })
        .await;
    Ok(())
}
