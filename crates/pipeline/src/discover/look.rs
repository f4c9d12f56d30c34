//! One look at a repository: sees what is there now and asks the sources whose answer may have changed.
//!
//! **Wanted properties.** Nothing is asked when nothing moved. A source that cannot answer changes nothing, and keeps no
//! other from being asked. A source that is switched off loses its findings.
//!
//! **Design.** A repository in which nobody has pushed for long is dormant: what mere time changes there is asked for more
//! seldom. What somebody changes is not: the sweep and deliveries tell of it. What was asked last, at which commit and under
//! which settings is one note for each repository.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use backlog::discovery::{Discovery, compare};
use backlog::event::{Actor, EventKind, NewEvent};
use backlog::expect::Expectations;
use backlog::finding::{self, Finding, Fingerprint};
use backlog::names::RepoName;
use backlog::task::{Command, Task};
use backlog::time::Timestamp;
use forge::ForgeError;
use git::{Blob, Mirror, Tree};
use serde::{Deserialize, Serialize};
use store::{Commit, Repository, StoreError, TaskFilter};

use super::content::{Content, Rules};
use super::reading::read;
use super::sarif::ToolFailed;
use super::source::{self, Look, Source};
use super::{LOOKED_AT_AGAIN, park, tell};
use crate::settings::{POLICY_PATH, RepositoryPolicy};
use crate::{Context, rank};

/// The largest configuration or manifest file that is read, in bytes.
const SMALL_FILE: u64 = 1 << 20;
/// The most characters of a finding's text where several findings make one proposal: with as many as may be, what people
/// are shown, and how they decide, still fits into an issue of 60,000.
const TEXT_IN_A_GROUP: usize = 2_500;
/// So many times longer the time of a source is that may sleep, in a dormant repository: a day becomes a week.
const SLOWER: u32 = 7;
/// Where it is kept what was asked last.
const SPACE: &str = "looks";

/// What a look at a repository came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Looked {
    /// It was read, and its own policy is kept for proposing.
    Read,
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
    let Some(content) = Content::now(ctx, name, repository.scanned.is_none()).await? else {
        park(ctx, repository.clone(), "It has no commits yet. Push one.".to_owned(), Some(LOOKED_AT_AGAIN)).await?;
        return Ok(Looked::Parked);
    };
    let rules = match content.rules(ctx).await {
        Err(error) if error.is::<BadPolicy>() => {
            // The repository can be reached: what was begun there goes on, and a mended file is seen at the next look.
            park(ctx, repository.clone(), error.to_string(), Some(LOOKED_AT_AGAIN)).await?;
            return Ok(Looked::Parked);
        }
        rules => rules?,
    };
    let policy = &rules.policy;
    if policy.enabled == Some(false) {
        let reason = format!("Its {POLICY_PATH} says `enabled = false`.");
        park(ctx, repository.clone(), reason, Some(LOOKED_AT_AGAIN)).await?;
        return Ok(Looked::Parked);
    }
    // What its guides say to others does not bind the person in whose folder it is.
    if let Some(why) = &rules.unwelcome
        && !name.is_local()
        && !ctx.settings().proposals.ignores_ai_policy(name)
    {
        park(ctx, repository.clone(), why.clone(), Some(LOOKED_AT_AGAIN)).await?;
        return Ok(Looked::Parked);
    }
    let before = ctx.store.note(SPACE, name.as_str(), ctx.now()).await?;
    let mut asked: BTreeMap<String, Asked> =
        before.as_ref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let done = ask(Look::of(ctx, name, &content, policy), &rules, told, &mut asked).await;
    let text = serde_json::to_string(&asked)?;
    if before.as_ref() != Some(&text) {
        ctx.store.put_note(SPACE, name.as_str(), &text, None).await?;
    }
    done?;
    let healthy = Repository {
        scanned: Some(content.commit.to_string()),
        scanned_at: Some(ctx.now()),
        default_branch: Some(content.default_branch.to_string()),
        // Whether the reason is gone shows when the work there goes on.
        retry_at: None,
        ..repository.clone()
    };
    ctx.store.put_repository(&healthy).await?;
    ctx.proposing.keep(name, Some(rules.policy));
    Ok(Looked::Read)
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
    let Some(content) = Content::now(ctx, name, true).await? else { return Ok(Vec::new()) };
    let Rules { policy, selection, of, .. } = content.rules(ctx).await?;
    let settings = ctx.settings();
    let mut sources = source::all(&settings.sources);
    sources.retain(|source| wanted(&source.name()) && source.is_on(&settings.sources, &policy));
    let mut look = Look::of(ctx, name, &content, &policy);
    let kept = read(&look, &selection, &of, &sources.iter().map(Box::as_ref).collect::<Vec<_>>()).await?;
    let mut found = Vec::new();
    for (source, kept) in sources.iter().zip(kept) {
        look.kept = kept;
        let findings = source.findings(&look).await;
        found.extend(findings.with_context(|| format!("the source {} could not be asked", source.name()))?);
    }
    Ok(found)
}

/// Asks the sources that are due, and records what they say.
async fn ask(mut look: Look<'_>, rules: &Rules, told: bool, asked: &mut BTreeMap<String, Asked>) -> Result<()> {
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
    let dormant = ctx.progress.is_dormant(look.repository, now);
    for source in on {
        let (name, moves) = (source.name().to_string(), source.moves());
        let commit = if moves.with_code { look.content.commit.as_str() } else { "" };
        let of = format!("{commit} {}", source.signature(&settings.sources));
        let last = asked.get(&name);
        let changed = last.is_none_or(|last| last.of != of);
        let every = moves.every.map(|every| if moves.sleeps && dormant { every * SLOWER } else { every });
        let late = last.zip(every).is_some_and(|(last, every)| now.since(last.at) >= every);
        // What could not answer is asked at every look, which is no news.
        moved |= changed && last.is_none_or(|last| !last.of.is_empty());
        if changed || late || (told && moves.with_host) {
            due.push((source, name, of));
        }
    }
    let readers: Vec<&dyn Source> = due.iter().map(|(source, ..)| source.as_ref()).collect();
    let kept = read(&look, &rules.selection, &rules.of, &readers).await?;
    let (mut found, mut failed, mut silent) = (0, None, Vec::new());
    for ((source, name, of), kept) in due.into_iter().zip(kept) {
        look.kept = kept;
        match source.findings(&look).await {
            Ok(mut findings) => {
                findings.iter_mut().for_each(shorten);
                found += findings.len() as u64;
                record(ctx, look.repository, &source.name(), findings).await?;
                asked.insert(name, Asked { of, at: now });
            }
            // It is asked again at the next look; the rest of the repository goes on.
            Err(error) if is_its_own(source.as_ref(), &error) => {
                tracing::warn!(repository = %look.repository, source = name, %error, "a source could not be asked");
                silent.push(format!("The source {name} could not be asked: {error}."));
                asked.insert(name, Asked { of: String::new(), at: now });
            }
            Err(error) => {
                failed.get_or_insert(error.context(format!("the source {name} could not be asked")));
            }
        }
    }
    ctx.progress.unanswered(look.repository, &silent);
    if moved && failed.is_none() {
        tell(ctx, look.repository, EventKind::Scanned { findings: found }).await?;
    }
    failed.map_or(Ok(()), Err)
}

/// Bounds the text of a finding that may be one of several.
fn shorten(finding: &mut Finding) {
    if finding.group.is_some()
        && let Some((end, _)) = finding.text.char_indices().nth(TEXT_IN_A_GROUP)
    {
        finding.text.truncate(end);
    }
}

/// Whether an error says nothing of the repository: a tool failed, or what the host alone knows cannot be had just now.
fn is_its_own(source: &dyn Source, error: &anyhow::Error) -> bool {
    let passing = || {
        let said = error.downcast_ref();
        matches!(said, Some(ForgeError::Transient { .. } | ForgeError::Unexpected(_) | ForgeError::Conflict(_)))
    };
    error.is::<ToolFailed>() || (source.moves().with_host && passing())
}

/// A repository's own policy that is not valid; holds the finished sentence that says where.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BadPolicy(pub(super) String);

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

/// The task that is named after the first of its members.
fn born(members: &[Finding], now: Timestamp) -> Result<Task> {
    let first = members.first().context("a task that was found has a finding")?;
    Ok(Task::of_finding(first.clone(), now))
}

/// Adds to findings that are known what was learnt of who wrote them and when; it is asked for once.
fn remember(known: &[Task], findings: &mut [Finding]) {
    let known: BTreeMap<&Fingerprint, &Finding> =
        known.iter().flat_map(Task::members).map(|member| (&member.fingerprint, member)).collect();
    for finding in findings.iter_mut().filter(|it| it.author.is_none() && it.written_on.is_none()) {
        if let Some(old) = known.get(&finding.fingerprint).filter(|old| old.source == finding.source) {
            finding.author.clone_from(&old.author);
            finding.written_on = old.written_on;
        }
    }
}

fn recorded(
    ctx: &Context,
    known: &[Task],
    expectations: &Expectations,
    repository: &RepoName,
    source: &finding::Source,
    mut findings: Vec<Finding>,
) -> Result<Commit> {
    let now = ctx.now();
    remember(known, &mut findings);
    let policy = ctx.settings().rank;
    let by_id = |id| known.iter().find(|task| task.id == id).cloned().context("a task that was compared is known");
    let mut commit = Commit::default();
    for change in compare(known, source, findings) {
        let (task, kind) = match change {
            Discovery::New(members) => (born(&members, now)?.about(members), Some(EventKind::Found)),
            Discovery::Moved(id, members) => (Task { updated_at: now, ..by_id(id)? }.about(members), None),
            Discovery::Vanished(id) => {
                commit.drop_jobs.push(id.clone());
                (by_id(id)?.apply(Command::Vanish, now)?, Some(EventKind::Obsolete))
            }
            Discovery::Returned(id, members) => {
                let Task { version, .. } = by_id(id.clone())?;
                let task = Task { id, version, ..born(&members, now)? }.about(members);
                (task, Some(EventKind::Found))
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
