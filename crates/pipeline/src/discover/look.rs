//! One look at a repository: brings its mirror up to date and asks the sources whose answer may have changed.
//!
//! **Wanted properties.** Nothing is asked when nothing moved. A source that cannot answer changes nothing, and keeps no
//! other from being asked. A source that is switched off loses its findings.
//!
//! **Design.** What was asked last, at which commit and under which settings is one note for each repository.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use backlog::discovery::{Discovery, compare};
use backlog::event::{Actor, EventKind, NewEvent};
use backlog::expect::Expectations;
use backlog::finding::{self, Finding};
use backlog::names::RepoName;
use backlog::task::{Command, Task, TaskState};
use backlog::time::Timestamp;
use git::{Blob, Mirror, Tree, TreeFile};
use scan::Selection;
use serde::{Deserialize, Serialize};
use store::{Commit, Repository, StoreError, TaskFilter};

use super::source::{self, Look, Reader, Source};
use super::{LOOKED_AT_AGAIN, mirror, park, tell};
use crate::settings::{POLICY_PATH, RepositoryPolicy};
use crate::{Context, rank};

/// The largest configuration or manifest file that is read, in bytes.
const SMALL_FILE: u64 = 1 << 20;
/// How many files are handed to the reading threads at once.
const BATCH: usize = 256;
/// The largest `.gitattributes` that is read, in bytes, and how many of them.
const ATTRIBUTES_BYTES: u64 = 64 << 10;
const ATTRIBUTES: usize = 1_000;
/// Where it is kept what was asked last.
const SPACE: &str = "looks";

/// What a look at a repository came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Looked {
    /// It was read; this is its own policy.
    Read(Box<RepositoryPolicy>),
    /// It is not to be proposed to for now.
    Parked,
    /// A limit of the code host came in between, which ends then; nothing is known that was not known before.
    Later(Timestamp),
}

/// When a source was asked last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Asked {
    /// The commit and the settings of then.
    of: String,
    /// When.
    at: Timestamp,
}

pub(super) async fn look(ctx: &Arc<Context>, repository: &Repository, told: bool) -> Result<Looked> {
    let name = &repository.name;
    let mirror = mirror(ctx, name).await?;
    let fetched = mirror.fetch().await?;
    let Some(head) = fetched.head else {
        park(ctx, repository.clone(), "It has no commits yet. Push one.".to_owned(), Some(LOOKED_AT_AGAIN)).await?;
        return Ok(Looked::Parked);
    };
    let tree = mirror.files(&head).await?;
    let policy = match policy(&mirror, &tree).await {
        Err(error) if error.is::<BadPolicy>() => {
            // The repository can be reached: what was begun there goes on, and a mended file is seen at the next look.
            park(ctx, repository.clone(), error.to_string(), Some(LOOKED_AT_AGAIN)).await?;
            return Ok(Looked::Parked);
        }
        policy => policy?,
    };
    if policy.enabled == Some(false) {
        let reason = format!("Its {POLICY_PATH} says `enabled = false`.");
        park(ctx, repository.clone(), reason, Some(LOOKED_AT_AGAIN)).await?;
        return Ok(Looked::Parked);
    }
    let before = ctx.store.note(SPACE, name.as_str(), ctx.now()).await?;
    let mut asked: BTreeMap<String, Asked> =
        before.as_ref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let look = Look {
        ctx,
        repository: name,
        commit: &head,
        files: &tree.files,
        policy: &policy,
        mirror: &mirror,
        kept: BTreeMap::new(),
    };
    let done = ask(look, told, &mut asked).await;
    let text = serde_json::to_string(&asked)?;
    if before.as_ref() != Some(&text) {
        ctx.store.put_note(SPACE, name.as_str(), &text, None).await?;
    }
    done?;
    let healthy = Repository {
        scanned: Some(head.to_string()),
        scanned_at: Some(ctx.now()),
        default_branch: Some(fetched.default_branch.to_string()),
        // Whether the reason is gone shows when the work there goes on.
        retry_at: None,
        ..repository.clone()
    };
    ctx.store.put_repository(&healthy).await?;
    Ok(Looked::Read(Box::new(policy)))
}

/// What the sources that `wanted` selects find in a repository now; nothing is recorded. None where it has no commits.
///
/// # Errors
/// When it cannot be read, its own policy is not valid, or a source cannot be asked.
pub async fn once(
    ctx: &Arc<Context>,
    name: &RepoName,
    wanted: impl Fn(&finding::Source) -> bool,
) -> Result<Vec<Finding>> {
    let mirror = mirror(ctx, name).await?;
    let Some(head) = mirror.fetch().await?.head else { return Ok(Vec::new()) };
    let tree = mirror.files(&head).await?;
    let (policy, settings) = (policy(&mirror, &tree).await?, ctx.settings());
    let mut sources = source::all(&settings.sources);
    sources.retain(|source| wanted(&source.name()) && source.is_on(&settings.sources, &policy));
    let mut look = Look {
        ctx,
        repository: name,
        commit: &head,
        files: &tree.files,
        policy: &policy,
        mirror: &mirror,
        kept: BTreeMap::new(),
    };
    let kept = read(&look, &sources.iter().map(Box::as_ref).collect::<Vec<_>>()).await?;
    let mut found = Vec::new();
    for (source, kept) in sources.iter().zip(kept) {
        look.kept = kept;
        found.extend(source.findings(&look).await?);
    }
    Ok(found)
}

/// Asks the sources that are due, and records what they say.
async fn ask(mut look: Look<'_>, told: bool, asked: &mut BTreeMap<String, Asked>) -> Result<()> {
    let (ctx, settings, now) = (look.ctx, look.ctx.settings(), look.ctx.now());
    let mut on = source::all(&settings.sources);
    on.retain(|source| source.is_on(&settings.sources, look.policy));
    let names: BTreeSet<String> = on.iter().map(|source| source.name().to_string()).collect();
    let off: Vec<String> = asked.keys().filter(|name| !names.contains(*name)).cloned().collect();
    for name in off {
        if let Ok(source) = name.parse() {
            record(ctx, look.repository, &source, Vec::new()).await?;
        }
        asked.remove(&name);
    }
    let (mut due, mut moved) = (Vec::new(), false);
    for source in on {
        let (name, moves) = (source.name().to_string(), source.moves());
        let commit = if moves.with_code { look.commit.as_str() } else { "" };
        let of = format!("{commit} {}", source.signature(&settings.sources));
        let last = asked.get(&name);
        let changed = last.is_none_or(|last| last.of != of);
        let late = last.zip(moves.every).is_some_and(|(last, every)| now.since(last.at) >= every);
        moved |= changed;
        if changed || late || (told && moves.with_host) {
            due.push((source, name, of));
        }
    }
    let kept = read(&look, &due.iter().map(|(source, ..)| source.as_ref()).collect::<Vec<_>>()).await?;
    let (mut found, mut failed) = (0, None);
    for ((source, name, of), kept) in due.into_iter().zip(kept) {
        look.kept = kept;
        match source.findings(&look).await {
            Ok(findings) => {
                found += findings.len() as u64;
                record(ctx, look.repository, &source.name(), findings).await?;
                asked.insert(name, Asked { of, at: now });
            }
            Err(error) => {
                failed.get_or_insert(error.context(format!("the source {name} could not be asked")));
            }
        }
    }
    if moved && failed.is_none() {
        tell(ctx, look.repository, EventKind::Scanned { findings: found }).await?;
    }
    failed.map_or(Ok(()), Err)
}

/// What the readers of `sources` keep of the files that they want, each file read once; in the order of `sources`.
async fn read(look: &Look<'_>, sources: &[&dyn Source]) -> Result<Vec<BTreeMap<String, String>>> {
    let mut kept = vec![BTreeMap::new(); sources.len()];
    let settings = look.ctx.settings();
    let selection = selection(look).await?;
    let mut readers: Vec<(usize, Arc<dyn Reader>)> = Vec::new();
    for (place, source) in sources.iter().enumerate() {
        readers.extend(source.reader(&settings.sources, &selection)?.map(|reader| (place, reader)));
    }
    let wanted = |file: &&TreeFile| readers.iter().any(|(_, reader)| reader.wants(&file.path, file.size).is_some());
    let wanted: Vec<&TreeFile> = look.files.iter().filter(wanted).collect();
    let readers = Arc::new(readers);
    for batch in wanted.chunks(BATCH) {
        let oids: Vec<String> = batch.iter().map(|file| file.oid.clone()).collect();
        let mut bytes = Vec::with_capacity(batch.len());
        look.mirror
            .read_blobs(&oids, scan::MAX_FILE_BYTES, |index, blob| {
                if let Blob::Content(content) = blob {
                    bytes.push((batch[index].path.clone(), content));
                }
            })
            .await?;
        let readers = readers.clone();
        for (place, path, text) in look.ctx.on_cpu(move || read_batch(&bytes, &readers)).await? {
            kept[place].insert(path, text);
        }
    }
    Ok(kept)
}

fn read_batch(files: &[(String, Vec<u8>)], readers: &[(usize, Arc<dyn Reader>)]) -> Vec<(usize, String, String)> {
    use rayon::prelude::*;
    files
        .par_iter()
        .flat_map_iter(|(path, bytes)| {
            readers.iter().filter_map(move |(place, reader)| {
                reader.wants(path, bytes.len() as u64)?;
                Some((*place, path.clone(), reader.read(path, bytes)?))
            })
        })
        .collect()
}

/// What the tree's own `.gitattributes` say of its files.
async fn selection(look: &Look<'_>) -> Result<Selection> {
    let mut selection = Selection::default();
    let is_attributes = |file: &&TreeFile| file.path.rsplit('/').next() == Some(".gitattributes");
    let files: Vec<&TreeFile> = look.files.iter().filter(is_attributes).take(ATTRIBUTES).collect();
    if files.is_empty() {
        return Ok(selection);
    }
    let oids: Vec<String> = files.iter().map(|file| file.oid.clone()).collect();
    look.mirror
        .read_blobs(&oids, ATTRIBUTES_BYTES, |index, blob| {
            if let Blob::Content(bytes) = blob {
                selection.attributes(&files[index].path, &bytes);
            }
        })
        .await?;
    Ok(selection)
}

/// A repository's own policy that is not valid; holds the finished sentence that says where.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BadPolicy(String);

/// The repository's own policy at a commit; the default where it has none.
///
/// # Errors
/// [`BadPolicy`], and when git fails.
pub async fn policy(mirror: &Mirror, tree: &Tree) -> Result<RepositoryPolicy> {
    match read_file(mirror, tree, POLICY_PATH).await? {
        Some(text) => Ok(RepositoryPolicy::parse(&text).map_err(BadPolicy)?),
        None => Ok(RepositoryPolicy::default()),
    }
}

/// A small text file of a tree; `None` when it is not there or larger than [`SMALL_FILE`].
///
/// # Errors
/// When git fails.
pub async fn read_file(mirror: &Mirror, tree: &Tree, path: &str) -> Result<Option<String>> {
    let Some(file) = tree.files.iter().find(|file| file.path == path) else { return Ok(None) };
    let mut text = None;
    mirror
        .read_blobs(std::slice::from_ref(&file.oid), SMALL_FILE, |_, blob| {
            if let Blob::Content(bytes) = blob {
                text = Some(String::from_utf8_lossy(&bytes).into_owned());
            }
        })
        .await?;
    Ok(text)
}

/// Records what one look at a source changes in the backlog.
async fn record(
    ctx: &Arc<Context>,
    repository: &RepoName,
    source: &finding::Source,
    findings: Vec<Finding>,
) -> Result<()> {
    let filter = TaskFilter { repository: Some(repository.clone()), ..TaskFilter::default() };
    let expectations = rank::expectations(ctx).await?;
    for _ in 0..5 {
        let known = ctx.store.tasks(&filter).await?;
        let commit = recorded(ctx, &known, &expectations, repository, source, findings.clone())?;
        if commit.tasks.is_empty() {
            return Ok(());
        }
        match ctx.store.commit(commit).await {
            Ok(_) => return Ok(()),
            Err(StoreError::Conflict(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    anyhow::bail!("the tasks of {repository} change all the time just now")
}

fn recorded(
    ctx: &Context,
    known: &[Task],
    expectations: &Expectations,
    repository: &RepoName,
    source: &finding::Source,
    findings: Vec<Finding>,
) -> Result<Commit> {
    let now = ctx.now();
    let policy = ctx.settings().rank;
    let by_id = |id| known.iter().find(|task| task.id == id).cloned().context("a task that was compared is known");
    let mut commit = Commit::default();
    for change in compare(known, source, findings) {
        let (task, kind) = match change {
            Discovery::New(finding) => (Task::of_finding(finding, now), Some(EventKind::Found)),
            Discovery::Moved(id, finding) => (Task { finding: Some(finding), updated_at: now, ..by_id(id)? }, None),
            Discovery::Vanished(id) => {
                commit.drop_jobs.push(id.clone());
                (by_id(id)?.apply(Command::Vanish, now)?, Some(EventKind::Obsolete))
            }
            Discovery::Returned(id, finding) => {
                let old = by_id(id)?;
                (
                    Task { state: TaskState::Found, version: old.version, ..Task::of_finding(finding, now) },
                    Some(EventKind::Found),
                )
            }
        };
        if let Some(kind) = kind {
            let task = Some(task.id.clone());
            commit.events.push(NewEvent { at: now, repository: repository.clone(), task, actor: Actor::Service, kind });
        }
        let score = backlog::rank::score(&task, &policy, expectations.about(&task.source, &task.kind), now);
        commit.tasks.push(Task { score, ..task });
    }
    Ok(commit)
}
