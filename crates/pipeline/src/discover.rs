//! Discovery: which repositories there are, and what work is in them.
//!
//! **Definition.** [`watch`] keeps the list of repositories; [`scan`](fn@scan) looks at one and records what changed in the
//! backlog. Each source is one file below this one and yields findings of one look.
//!
//! **Wanted properties.** Nothing is fetched when nothing moved; a repository that cannot be worked is parked with
//! a reason and what mends it, and is tried again later and later; one bad repository holds up no other.

pub mod todo;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use backlog::discovery::{Discovery, compare};
use backlog::event::{Actor, EventKind, NewEvent};
use backlog::finding::{Finding, Source};
use backlog::names::RepoName;
use backlog::retry::backoff;
use backlog::task::{Command, Task, TaskState};
use backlog::time::Timestamp;
use forge::{ForgeError, GitAccess, GitUse, RepositoryView};
use git::{Blob, Mirror, Tree};
use store::{Commit, Repository, StoreError, TaskFilter};

use crate::Context;
use crate::settings::{POLICY_PATH, RepositoryPolicy};

/// The largest configuration or manifest file that is read, in bytes.
const SMALL_FILE: u64 = 1 << 20;

/// When a repository that nobody can work yet is looked at again unless something happens in it before.
const LOOKED_AT_AGAIN: Duration = Duration::from_secs(3600);

/// Reconciler: makes the watched repositories those that the configuration selects.
///
/// # Errors
/// When the store fails. A code host that does not answer keeps the list as it is.
pub async fn watch(ctx: &Arc<Context>) -> Result<()> {
    let known = ctx.store.repositories().await?;
    let mut seen = BTreeSet::new();
    let mut complete = true;
    for forge in ctx.forges.all() {
        match forge.repositories().await {
            Ok(views) => {
                for view in views {
                    seen.insert(view.name.clone());
                    enter(ctx, known.iter().find(|known| known.name == view.name), &view).await?;
                }
            }
            Err(error) => {
                complete = false;
                tracing::warn!(error = %error, "the list of repositories could not be read; the known ones go on");
            }
        }
    }
    if complete {
        let unreachable: Vec<_> = ctx.forges.all().flat_map(|forge| forge.unreachable()).collect();
        for gone in known.iter().filter(|known| !seen.contains(&known.name)) {
            match unreachable.iter().find(|there| there.owner.eq_ignore_ascii_case(gone.name.owner())) {
                Some(there) if there.lasting => park(ctx, gone.clone(), there.why.clone(), None).await?,
                Some(_) => {}
                None => ctx.store.remove_repository(&gone.name).await?,
            }
        }
    }
    Ok(())
}

async fn enter(ctx: &Arc<Context>, known: Option<&Repository>, view: &RepositoryView) -> Result<()> {
    let blocked = if view.archived {
        Some("It is archived and takes no changes. Unarchive it, or exclude it in ccm.toml.".to_owned())
    } else if !view.can_push {
        Some(
            "The credential may not push to it. Give it write access to contents, or exclude the repository."
                .to_owned(),
        )
    } else {
        None
    };
    let mut repository = known.cloned().unwrap_or_else(|| Repository {
        name: view.name.clone(),
        path: view.path.clone(),
        default_branch: None,
        scanned: None,
        scanned_at: None,
        parked: None,
        failures: 0,
        retry_at: None,
    });
    repository.path = view.path.clone();
    repository.default_branch = Some(view.default_branch.clone()).filter(|branch| !branch.is_empty());
    if let Some(reason) = blocked {
        return park(ctx, repository, reason, None).await;
    }
    // What has a time to be tried again was parked by a look at its code, which alone can say that the reason is gone.
    if repository.parked.is_some() && repository.failures == 0 && repository.retry_at.is_none() {
        repository.parked = None;
    }
    if known != Some(&repository) {
        ctx.store.put_repository(&repository).await?;
    }
    if known.is_none() {
        tell(ctx, &view.name, EventKind::Watched).await?;
    }
    Ok(())
}

/// Parks a repository: it is left alone until `retry`, or until [`watch`] sees that the reason is gone.
pub(crate) async fn park(
    ctx: &Arc<Context>,
    mut repository: Repository,
    reason: String,
    retry: Option<Duration>,
) -> Result<()> {
    let news = repository.parked.as_ref() != Some(&reason);
    repository.parked = Some(reason.clone());
    repository.retry_at = retry.map(|after| ctx.now().plus(after));
    ctx.store.put_repository(&repository).await?;
    if news {
        tell(ctx, &repository.name, EventKind::Parked { reason }).await?;
    }
    Ok(())
}

async fn tell(ctx: &Arc<Context>, repository: &RepoName, kind: EventKind) -> Result<()> {
    let event = NewEvent { at: ctx.now(), repository: repository.clone(), task: None, actor: Actor::Service, kind };
    ctx.store.commit(Commit { events: vec![event], ..Commit::default() }).await?;
    Ok(())
}

/// What a look at a repository came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Look {
    /// It was read; this is its own policy.
    Read(Box<RepositoryPolicy>),
    /// It is not to be proposed to for now.
    Parked,
    /// A limit of the code host came in between, which ends then; nothing is known that was not known before.
    Later(Timestamp),
}

/// Reconciler: looks at one repository and records what changed.
///
/// # Errors
/// When the store fails; what goes wrong with the repository itself parks it instead.
pub async fn scan(ctx: &Arc<Context>, repository: &Repository) -> Result<Look> {
    let name = &repository.name;
    if repository.parked.is_some() && repository.failures == 0 && repository.retry_at.is_none() {
        return Ok(Look::Parked);
    }
    let in_flight = metrics::gauge!("ccm_operations_in_flight", "operation" => "scan");
    in_flight.increment(1.0);
    let began = std::time::Instant::now();
    let looked = look(ctx, repository).await;
    in_flight.decrement(1.0);
    let outcome = if looked.is_ok() { "ok" } else { "failed" };
    metrics::counter!("ccm_operations_total", "operation" => "scan", "outcome" => outcome).increment(1);
    metrics::histogram!("ccm_operation_duration_seconds", "operation" => "scan").record(began.elapsed().as_secs_f64());
    match looked {
        Ok(look) => Ok(look),
        Err(error) => {
            let limited = error.downcast_ref::<ForgeError>().and_then(|error| match error {
                ForgeError::Limited { until } => Some(*until),
                _ => None,
            });
            if let Some(until) = limited {
                tracing::info!(repository = %name, %until, "reading waits for a limit of the code host");
                return Ok(Look::Later(until));
            }
            let failures = repository.failures.saturating_add(1);
            let wait = backoff(failures, Duration::from_secs(60), Duration::from_secs(6 * 3600));
            let reason = crate::wording::sentence(&format!("{error:#}"));
            tracing::warn!(repository = %name, failures, error = %reason, "a repository could not be read");
            park(ctx, Repository { failures, ..repository.clone() }, reason, Some(wait)).await?;
            Ok(Look::Parked)
        }
    }
}

/// Brings the mirror of a repository up to date.
///
/// # Errors
/// When the code host or git refuses.
pub async fn mirror(ctx: &Arc<Context>, name: &RepoName) -> Result<Mirror> {
    Ok(ctx.git.open_mirror(ctx.paths.mirror(name), remote(ctx, name).await?).await?)
}

/// How git reaches a repository now.
///
/// # Errors
/// When the code host gives no access.
pub async fn remote(ctx: &Arc<Context>, name: &RepoName) -> Result<git::Remote> {
    Ok(reached(ctx.forges.of(name)?.git_access(name, GitUse::Read).await?))
}

/// The remote of git that an access describes.
pub(crate) fn reached(access: GitAccess) -> git::Remote {
    let auth = access.login.map(|(username, password)| git::RemoteAuth { username, password });
    git::Remote { url: access.url, auth }
}

async fn look(ctx: &Arc<Context>, repository: &Repository) -> Result<Look> {
    let mirror = mirror(ctx, &repository.name).await?;
    let fetched = mirror.fetch().await?;
    let Some(head) = fetched.head else {
        park(ctx, repository.clone(), "It has no commits yet. Push one.".to_owned(), Some(LOOKED_AT_AGAIN)).await?;
        return Ok(Look::Parked);
    };
    let tree = mirror.files(&head).await?;
    let policy = match policy(&mirror, &tree).await {
        Err(error) if error.is::<BadPolicy>() => {
            // The repository can be reached: what was begun there goes on, and a mended file is seen at the next look.
            park(ctx, repository.clone(), error.to_string(), Some(LOOKED_AT_AGAIN)).await?;
            return Ok(Look::Parked);
        }
        policy => policy?,
    };
    if policy.enabled == Some(false) {
        let reason = format!("Its {POLICY_PATH} says `enabled = false`.");
        park(ctx, repository.clone(), reason, Some(LOOKED_AT_AGAIN)).await?;
        return Ok(Look::Parked);
    }
    let signature = format!("{head} {}", sources_signature(ctx, &policy));
    if repository.scanned.as_deref() != Some(signature.as_str()) {
        let mut found = 0;
        if ctx.settings().sources.todo.enabled && policy.sources.todo != Some(false) {
            let findings = todo::findings(ctx, &mirror, &repository.name, &head, &tree).await?;
            found += findings.len() as u64;
            record(ctx, &repository.name, &Source::Todo, findings).await?;
        } else {
            record(ctx, &repository.name, &Source::Todo, Vec::new()).await?;
        }
        tell(ctx, &repository.name, EventKind::Scanned { findings: found }).await?;
    }
    let healthy = Repository {
        scanned: Some(signature),
        scanned_at: Some(ctx.now()),
        default_branch: Some(fetched.default_branch.to_string()),
        parked: None,
        failures: 0,
        retry_at: None,
        ..repository.clone()
    };
    ctx.store.put_repository(&healthy).await?;
    Ok(Look::Read(Box::new(policy)))
}

/// What, besides the commit, decides what a scan yields.
fn sources_signature(ctx: &Context, policy: &RepositoryPolicy) -> String {
    let todo = &ctx.settings().sources.todo;
    let enabled = todo.enabled && policy.sources.todo != Some(false);
    let (tags, exclude, fences) = (todo.tags.join(","), todo.exclude.join(","), todo.markdown_fences);
    format!("engine={} todo={enabled} tags={tags} exclude={exclude} fences={fences}", scan::ENGINE_VERSION)
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
async fn record(ctx: &Arc<Context>, repository: &RepoName, source: &Source, findings: Vec<Finding>) -> Result<()> {
    let filter = TaskFilter { repository: Some(repository.clone()), ..TaskFilter::default() };
    for _ in 0..5 {
        let known = ctx.store.tasks(&filter).await?;
        let commit = recorded(ctx, &known, repository, source, findings.clone())?;
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
    repository: &RepoName,
    source: &Source,
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
        let score = backlog::rank::score(&task, &policy, now);
        commit.tasks.push(Task { score, ..task });
    }
    Ok(commit)
}
