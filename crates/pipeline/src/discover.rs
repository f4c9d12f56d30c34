//! Discovery: which repositories there are, and what work is in them.
//!
//! **Definition.** [`watch`] keeps the list of repositories; [`scan`](fn@scan) looks at one and records what changed in the
//! backlog. Each source is one file below this one; `look.rs` asks them.
//!
//! **Wanted properties.** Nothing is fetched when nothing moved; a repository that cannot be worked is parked with
//! a reason and what mends it, and is tried again later and later; one bad repository holds up no other.

pub mod ci;
pub mod content;
mod dependency;
mod hotspot;
mod issue;
pub mod issue_label;
mod look;
mod reading;
mod sarif;
pub mod security_alert;
pub mod source;
pub mod stale_issue;
pub mod todo;

pub(crate) use sarif::TOOL;

pub use look::{BadPolicy, Looked, once, policy, read_file};

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use backlog::event::{Actor, EventKind, NewEvent};
use backlog::names::RepoName;
use backlog::retry::backoff;
use forge::{ForgeError, GitAccess, GitUse, Known, RepositoryView};
use git::{GitError, Glance, Mirror};
use store::{Commit, Repository, TaskFilter};

use crate::{Context, sweep};

/// When a repository that nobody can work yet is looked at again unless something happens in it before.
const LOOKED_AT_AGAIN: Duration = Duration::from_secs(3600);
/// When something that was refused is tried again for the first time; at most [`LOOKED_AT_AGAIN`] later.
pub(crate) const REFUSED_AGAIN: Duration = Duration::from_secs(600);
/// Why a repository with open work is parked that can be read but is not in the list.
const NOT_LISTED: &str = "It is not in the list of repositories any more: ccm.toml does not select it, or the credential \
    does not reach it. Select it there, or in the installation of the GitHub App; or finish or cancel its tasks.";

/// Reconciler: makes the watched repositories those that the configuration selects.
///
/// # Errors
/// When the store fails. A code host that does not answer keeps the list as it is.
pub async fn watch(ctx: &Arc<Context>) -> Result<()> {
    let known = ctx.store.repositories().await?;
    let (mut seen, mut doubtful) = (BTreeSet::new(), Vec::new());
    let mut complete = true;
    for forge in ctx.forges.all() {
        match forge.repositories().await {
            Ok(views) => {
                for view in views {
                    seen.insert(view.name.clone());
                    view.pushed_at.into_iter().for_each(|at| ctx.progress.pushed(&view.name, at));
                    let before = known.iter().find(|known| known.name == view.name);
                    doubtful.extend(enter(ctx, before, &view).await?.map(|closed| (closed, true)));
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
        for there in unreachable.iter().filter(|there| there.lasting) {
            let Some(named) = there.repository.as_ref().filter(|named| !seen.contains(*named)) else { continue };
            if !known.iter().any(|known| known.name == *named) {
                park(ctx, unseen(named), there.why.clone(), None).await?;
            }
        }
        for gone in known.iter().filter(|known| !seen.contains(&known.name)) {
            match unreachable.iter().find(|there| there.covers(&gone.name)) {
                Some(there) if there.lasting => park(ctx, gone.clone(), there.why.clone(), None).await?,
                Some(_) => {}
                None if !gone.name.is_local() && has_work(ctx, &gone.name).await? => {
                    doubtful.push((gone.clone(), false));
                }
                None => ctx.store.remove_repository(&gone.name).await?,
            }
        }
    }
    ask_again(ctx, doubtful).await
}

/// A repository that nothing is known of yet.
fn unseen(name: &RepoName) -> Repository {
    Repository {
        name: name.clone(),
        path: None,
        default_branch: None,
        scanned: None,
        scanned_at: None,
        parked: None,
        failures: 0,
        retry_at: None,
    }
}

/// Whether a repository has tasks that may still be worked: then people have to see why they are not.
async fn has_work(ctx: &Arc<Context>, name: &RepoName) -> Result<bool> {
    let filter = TaskFilter { repository: Some(name.clone()), ..TaskFilter::default() };
    Ok(ctx.store.tasks(&filter).await?.iter().any(|task| !task.state.is_final()))
}

/// Asks what became of closed repositories that the list shows as usual, and of known ones that it does not show.
async fn ask_again(ctx: &Arc<Context>, doubtful: Vec<(Repository, bool)>) -> Result<()> {
    let Some(forge) = ctx.forges.github.as_ref().filter(|_| !doubtful.is_empty()) else { return Ok(()) };
    let known = |(one, _): &(Repository, bool)| Known { name: one.name.clone(), mark: String::new() };
    let known: Vec<Known> = doubtful.iter().map(known).collect();
    let changes = match forge.changes(&known).await {
        Ok(changes) => changes,
        Err(error) => {
            tracing::warn!(error = %error, "what became of some repositories could not be asked; they stay as they are");
            return Ok(());
        }
    };
    for (repository, listed) in doubtful {
        let change = changes.iter().find(|(name, _)| *name == repository.name).map(|(_, change)| change);
        match change.and_then(sweep::why_closed) {
            Some(reason) => park(ctx, repository, reason, None).await?,
            None if listed => reopen(ctx, repository).await?,
            None => park(ctx, repository, NOT_LISTED.to_owned(), None).await?,
        }
    }
    Ok(())
}

/// Whether a repository is parked until the list of repositories says otherwise.
pub(crate) fn is_closed(repository: &Repository) -> bool {
    repository.parked.is_some() && repository.failures == 0 && repository.retry_at.is_none()
}

/// Ends the parking of a repository, and has it looked at.
async fn reopen(ctx: &Arc<Context>, repository: Repository) -> Result<()> {
    ctx.nudges.ask_for_code(&repository.name);
    ctx.store.put_repository(&Repository { parked: None, failures: 0, retry_at: None, ..repository }).await?;
    Ok(())
}

/// Enters what the list shows of a repository. Gives it back when it was closed and nothing in the list speaks for that.
async fn enter(ctx: &Arc<Context>, known: Option<&Repository>, view: &RepositoryView) -> Result<Option<Repository>> {
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
    let mut repository = known.cloned().unwrap_or_else(|| unseen(&view.name));
    repository.path = view.path.clone();
    repository.default_branch = Some(view.default_branch.clone()).filter(|branch| !branch.is_empty());
    if let Some(reason) = blocked {
        park(ctx, repository, reason, None).await?;
        return Ok(None);
    }
    // What has a time to be tried again was parked by a look at its code, which alone can say that the reason is gone.
    if is_closed(&repository) {
        if !repository.name.is_local() {
            return Ok(Some(repository));
        }
        repository.parked = None;
    }
    if known != Some(&repository) {
        ctx.store.put_repository(&repository).await?;
    }
    if known.is_none() {
        tell(ctx, &view.name, EventKind::Watched).await?;
    }
    Ok(None)
}

/// Parks a repository in which the code host refused something: as a whole, since the rest would be refused as well or
/// is soon asked for again.
pub(crate) async fn refused(ctx: &Arc<Context>, name: &RepoName, what: &str, why: &str) -> Result<()> {
    let Some(known) = ctx.store.repository(name).await?.filter(|known| !is_closed(known)) else { return Ok(()) };
    let failures = known.failures.saturating_add(1);
    let wait = backoff(failures, REFUSED_AGAIN, LOOKED_AT_AGAIN);
    let reason = format!(
        "The code host refused {what}: {why}. Mend that, or exclude the repository in ccm.toml; it is tried again by \
         itself."
    );
    park(ctx, Repository { failures, ..known }, reason, Some(wait)).await
}

/// Ends the parking of a repository in which everything went well.
pub(crate) async fn works(ctx: &Arc<Context>, name: &RepoName) -> Result<()> {
    let Some(known) = ctx.store.repository(name).await?.filter(|known| known.parked.is_some()) else { return Ok(()) };
    ctx.store.put_repository(&Repository { parked: None, failures: 0, retry_at: None, ..known }).await?;
    Ok(())
}

/// Parks a repository: it is left alone until `retry`, or until [`watch`] sees that the reason is gone.
pub(crate) async fn park(
    ctx: &Arc<Context>,
    mut repository: Repository,
    reason: String,
    retry: Option<Duration>,
) -> Result<()> {
    let reason = crate::wording::sentence(&reason);
    // What is refused is told once, however the texts of further refusals differ.
    let again = repository.failures > 0 && retry.is_some() && repository.parked.is_some();
    let news = !again && repository.parked.as_ref() != Some(&reason);
    repository.parked = Some(reason.clone());
    repository.retry_at = retry.map(|after| ctx.now().plus(after));
    if retry.is_none() {
        repository.failures = 0;
    }
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

/// Reconciler: looks at one repository and records what changed. `told` says that something happened there on the code
/// host, so that what is asked there is asked again.
///
/// # Errors
/// When the store fails; what goes wrong with the repository itself parks it instead.
pub async fn scan(ctx: &Arc<Context>, repository: &Repository, told: bool) -> Result<Looked> {
    let name = &repository.name;
    if is_closed(repository) {
        ctx.proposing.keep(name, None);
        return Ok(Looked::Parked);
    }
    let at_work = ctx.progress.begin(name);
    let looked = measured(ctx, repository, told).await;
    if let Ok(Looked::Parked) = looked {
        ctx.proposing.keep(name, None);
    }
    // Only now: what waits in a repository that was looked at is known.
    drop(at_work);
    looked
}

async fn measured(ctx: &Arc<Context>, repository: &Repository, told: bool) -> Result<Looked> {
    let in_flight = metrics::gauge!("ccm_operations_in_flight", "operation" => "scan");
    in_flight.increment(1.0);
    let began = std::time::Instant::now();
    let looked = look::look(ctx, repository, told).await;
    in_flight.decrement(1.0);
    let outcome = if looked.is_ok() { "ok" } else { "failed" };
    metrics::counter!("ccm_operations_total", "operation" => "scan", "outcome" => outcome).increment(1);
    metrics::histogram!("ccm_operation_duration_seconds", "operation" => "scan").record(began.elapsed().as_secs_f64());
    match looked {
        Ok(looked) => Ok(looked),
        Err(error) => failed(ctx, repository, &error).await,
    }
}

/// What becomes of a look that failed.
async fn failed(ctx: &Arc<Context>, repository: &Repository, error: &anyhow::Error) -> Result<Looked> {
    let name = &repository.name;
    if let Some(ForgeError::Limited { until }) = error.downcast_ref() {
        tracing::info!(repository = %name, %until, "reading waits for a limit of the code host");
        return Ok(Looked::Later(*until));
    }
    let reason = match why(ctx, name, error).await {
        // That is no fault of the repository; the code host's notices tell it.
        Some(ForgeError::BadCredential(_)) => return Ok(Looked::Later(ctx.now().plus(REFUSED_AGAIN))),
        Some(said) => said.to_string(),
        None => format!("{error:#}"),
    };
    let failures = repository.failures.saturating_add(1);
    let wait = backoff(failures, Duration::from_secs(60), Duration::from_secs(6 * 3600));
    tracing::warn!(repository = %name, failures, error = %reason, "a repository could not be read");
    park(ctx, Repository { failures, ..repository.clone() }, reason, Some(wait)).await?;
    Ok(Looked::Parked)
}

/// What the code host says to a look that failed; git alone does not say whether it is the credential's fault.
async fn why(ctx: &Arc<Context>, name: &RepoName, error: &anyhow::Error) -> Option<ForgeError> {
    match (error.downcast_ref::<ForgeError>(), error.downcast_ref::<GitError>()) {
        (Some(ForgeError::BadCredential(said)), _) => Some(ForgeError::BadCredential(said.clone())),
        (_, Some(GitError::Denied { .. } | GitError::NotFound { .. })) => {
            let said = ctx.forges.of(name).ok()?.repository(name).await.err();
            said.filter(|said| matches!(said, ForgeError::BadCredential(_) | ForgeError::Denied { .. }))
        }
        _ => None,
    }
}

/// The mirror of a repository, with its history: what runs borrow from.
///
/// # Errors
/// When the code host gives no access, or the disk fails.
pub async fn mirror(ctx: &Arc<Context>, name: &RepoName) -> Result<Mirror> {
    Ok(ctx.git.open_mirror(ctx.paths.mirror(name), remote(ctx, name).await?).await?)
}

/// What looks read a repository through.
///
/// # Errors
/// When the code host gives no access, or the disk fails.
pub async fn glance(ctx: &Arc<Context>, name: &RepoName) -> Result<Glance> {
    let (glance, mirror) = (ctx.paths.glance(name), ctx.paths.mirror(name));
    Ok(ctx.git.open_glance(glance, mirror, remote(ctx, name).await?).await?)
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
