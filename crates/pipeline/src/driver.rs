//! The driver: activates the reconcilers, on a timer and on a nudge.
//!
//! **Wanted properties.** Repositories are worked concurrently with a bound, and a slow or broken one holds up no
//! other; an activation that finds nothing to do costs next to nothing; a reconciler never runs twice at once for
//! the same repository.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use backlog::names::RepoName;
use backlog::time::Timestamp;
use forge::ForgeError;
use futures::StreamExt as _;
use store::Repository;
use tokio_util::sync::CancellationToken;

use crate::discover::Look;
use crate::settings::RepositoryPolicy;
use crate::{Context, approve, discover, follow_up, housekeep, propose, rank};

/// The longest nap between two looks at what is due.
const TICK: Duration = Duration::from_secs(1);
/// How often the list of repositories is read anew.
const WATCH_EVERY: Duration = Duration::from_secs(900);
/// How often scores age.
const RERANK_EVERY: Duration = Duration::from_secs(3600);
/// How often leftovers are looked for.
const HOUSEKEEP_EVERY: Duration = Duration::from_secs(600);

/// When things were activated last, and the policies that were read.
#[derive(Default)]
pub struct Driver {
    last: Mutex<HashMap<String, Timestamp>>,
    policies: Mutex<HashMap<RepoName, RepositoryPolicy>>,
}

impl Driver {
    /// A driver for which everything is due.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Activates what is due until `stop` is cancelled.
    pub async fn drive(&self, ctx: Arc<Context>, stop: CancellationToken) {
        let mut nudged = true;
        while !stop.is_cancelled() {
            self.activate(&ctx, nudged, &stop).await;
            nudged = tokio::select! {
                () = ctx.nudge.notified() => true,
                () = tokio::time::sleep(TICK) => false,
                () = stop.cancelled() => false,
            };
        }
    }

    /// Activates everything that is due; with `nudged`, also what follows decisions.
    pub async fn activate(&self, ctx: &Arc<Context>, nudged: bool, stop: &CancellationToken) {
        if self.due(ctx, "watch", WATCH_EVERY) {
            log("watch", None, discover::watch(ctx).await);
        }
        let repositories = match ctx.store.repositories().await {
            Ok(repositories) => repositories,
            Err(error) => return log("repositories", None, Err(error.into())),
        };
        let bound = ctx.settings().limits.concurrent_repositories.max(1) as usize;
        futures::stream::iter(repositories)
            .for_each_concurrent(bound, |repository| async move {
                if !stop.is_cancelled() {
                    self.repository(ctx, &repository, nudged).await;
                }
            })
            .await;
        if self.due(ctx, "rerank", RERANK_EVERY) {
            log("rerank", None, rank::rerank(ctx).await);
        }
        if self.due(ctx, "housekeep", HOUSEKEEP_EVERY) {
            log("housekeep", None, housekeep::housekeep(ctx).await);
        }
    }

    /// Everything about one repository that is due. What was begun there goes on even where nothing new is proposed;
    /// a repository that cannot be reached rests as a whole.
    async fn repository(&self, ctx: &Arc<Context>, repository: &Repository, nudged: bool) {
        let (name, limits) = (&repository.name, ctx.settings().limits.clone());
        if repository.failures > 0 && repository.retry_at.is_some_and(|at| at > ctx.now()) {
            return;
        }
        if self.due(ctx, &format!("scan {name}"), limits.scan_every()) {
            match discover::scan(ctx, repository).await {
                Ok(Look::Read(policy)) => self.remember(name, Some(*policy)),
                Ok(Look::Parked) => self.remember(name, None),
                Ok(Look::Later) => {}
                Err(error) => log("scan", Some(name), Err(error)),
            }
        }
        if self.due(ctx, &format!("poll {name}"), limits.poll_every()) || nudged {
            log("read decisions", Some(name), approve::read_decisions(ctx, name).await);
            log("follow up", Some(name), follow_up::follow_up(ctx, name).await);
            if let Some(policy) = self.policy(name) {
                log("propose", Some(name), propose::propose_next(ctx, name, &policy).await);
            }
            log("reflect", Some(name), propose::reflect(ctx, name).await);
        }
    }

    /// Makes everything due at the next activation.
    pub fn forget(&self) {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn due(&self, ctx: &Context, what: &str, every: Duration) -> bool {
        let now = ctx.now();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match last.get(what) {
            Some(at) if now.since(*at) < every => false,
            _ => {
                last.insert(what.to_owned(), now);
                true
            }
        }
    }

    fn remember(&self, name: &RepoName, policy: Option<RepositoryPolicy>) {
        let mut policies = self.policies.lock().unwrap_or_else(PoisonError::into_inner);
        match policy {
            Some(policy) => policies.insert(name.clone(), policy),
            None => policies.remove(name),
        };
    }

    fn policy(&self, name: &RepoName) -> Option<RepositoryPolicy> {
        self.policies.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }
}

fn log(what: &str, repository: Option<&RepoName>, result: Result<()>) {
    let repository = repository.map_or("", RepoName::as_str);
    let outcome = if result.is_ok() { "ok" } else { "failed" };
    metrics::counter!("ccm_operations_total", "operation" => what.replace(' ', "_"), "outcome" => outcome).increment(1);
    match result {
        Ok(()) => {}
        Err(error) if matches!(error.downcast_ref(), Some(ForgeError::Limited { .. })) => {
            tracing::info!(repository, what, error = format!("{error:#}"), "waits for a limit of the code host");
        }
        Err(error) => tracing::warn!(repository, what, error = format!("{error:#}"), "failed and is tried again"),
    }
}
