//! The driver: activates the reconcilers, on a timer and on a nudge.
//!
//! **Wanted properties.** Repositories are worked concurrently with a bound, and a slow or broken one holds up no
//! other; an activation that finds nothing to do costs next to nothing; a reconciler never runs twice at once for
//! the same repository.
//!
//! **Design.** A repository's code is looked at when the driver first sees it, when the sweep or the code host says that
//! something happened there, and when a failed look is to be tried again. Its proposals and pull requests are looked at
//! then too, and in between only while there are open ones: the more repositories have some, and the more the code host
//! tells by itself, the more seldom.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use backlog::names::RepoName;
use backlog::task::Stage;
use backlog::time::Timestamp;
use forge::ForgeError;
use store::{Repository, TaskFilter};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::discover::Looked;
use crate::settings::Limits;
use crate::{Context, Nudge, approve, discover, follow_up, housekeep, news, propose, rank, sweep};

/// The longest nap between two looks at what is due.
const TICK: Duration = Duration::from_secs(1);
/// How often the list of repositories is read anew.
const WATCH_EVERY: Duration = Duration::from_secs(900);
/// How often deliveries are looked for that nobody told of, such as those of an earlier process.
const TAKE_IN_EVERY: Duration = Duration::from_secs(60);
/// How often scores age.
const RERANK_EVERY: Duration = Duration::from_secs(3600);
/// How often it is looked up which repositories have open work.
const OPEN_EVERY: Duration = Duration::from_secs(30);
/// So many repositories with open work are looked at in one round; more of them take more rounds.
const POLLED_AT_ONCE: usize = 50;
/// How much more seldom open work is looked at where the code host tells of what happens.
const WHERE_TOLD: u32 = 10;
/// How often leftovers are looked for.
const HOUSEKEEP_EVERY: Duration = Duration::from_secs(600);

/// When things were activated last.
#[derive(Default)]
pub struct Driver {
    last: Mutex<HashMap<String, Timestamp>>,
    open: Mutex<Arc<BTreeSet<RepoName>>>,
    again: Mutex<HashMap<RepoName, (Timestamp, Nudge)>>,
}

impl Driver {
    /// A driver for which everything is due.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Activates what is due until `stop` is cancelled; returns when what was activated has ended.
    pub async fn drive(self: Arc<Self>, ctx: Arc<Context>, stop: CancellationToken) {
        // First of all what is watched: a repository of an earlier start may not be any more.
        self.whole(&ctx).await;
        tokio::join!(self.drive_whole(&ctx, &stop), self.drive_repositories(&ctx, &stop));
    }

    async fn drive_whole(&self, ctx: &Arc<Context>, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            self.whole(ctx).await;
            tokio::select! {
                () = ctx.nudges.told() => {}
                () = tokio::time::sleep(TICK) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    /// Each repository is a task of its own, so that a slow one holds up no other; at most so many at once.
    async fn drive_repositories(self: &Arc<Self>, ctx: &Arc<Context>, stop: &CancellationToken) {
        let (mut running, mut busy) = (JoinSet::new(), HashMap::new());
        let mut nudged = BTreeMap::new();
        while !stop.is_cancelled() {
            let mut waiting = self.waiting(ctx, &mut nudged, &busy).await;
            let most = ctx.settings().limits.concurrent_repositories.max(1) as usize;
            let listed = tokio::time::sleep(TICK);
            tokio::pin!(listed);
            // The list holds for a while: reading it anew for each of a thousand repositories would read a million.
            loop {
                while running.len() < most
                    && let Some(name) = waiting.next()
                {
                    let Some(asked) = nudged.remove(&name) else { continue };
                    let (driver, ctx, at_work) = (self.clone(), ctx.clone(), name.clone());
                    let handle = running.spawn(async move { driver.repository_as_it_is(&ctx, &name, asked).await });
                    busy.insert(handle.id(), at_work);
                }
                tokio::select! {
                    Some(ended) = running.join_next_with_id() => {
                        busy.remove(&ended.map_or_else(|error| error.id(), |(id, ())| id));
                        if waiting.len() == 0 {
                            break;
                        }
                    }
                    () = ctx.nudges.asked() => break,
                    () = &mut listed => break,
                    () = stop.cancelled() => break,
                }
            }
        }
        while running.join_next().await.is_some() {}
    }

    /// The repositories that are to be looked at and are not `busy`, the first one first. Adds to `nudged` for what.
    async fn waiting(
        &self,
        ctx: &Arc<Context>,
        nudged: &mut BTreeMap<RepoName, Nudge>,
        busy: &HashMap<tokio::task::Id, RepoName>,
    ) -> std::vec::IntoIter<RepoName> {
        for (name, nudge) in ctx.nudges.take() {
            let asked = nudged.entry(name).or_insert(nudge);
            *asked = nudge.max(*asked);
        }
        let mut waiting = ctx.store.repositories().await.unwrap_or_else(|error| {
            log("repositories", None, Err(error.into()));
            Vec::new()
        });
        let reachable = |repository: &&Repository| !discover::is_closed(repository) && !rests(ctx, repository);
        ctx.progress.expect(waiting.iter().filter(reachable).count());
        let names: BTreeSet<&RepoName> = waiting.iter().map(|repository| &repository.name).collect();
        nudged.retain(|name, _| names.contains(name));
        let open = self.open(ctx).await;
        for repository in &waiting {
            if let Some(wanted) = self.wanted(ctx, repository, &open) {
                let asked = nudged.entry(repository.name.clone()).or_insert(wanted);
                *asked = wanted.max(*asked);
            }
        }
        let busy: BTreeSet<&RepoName> = busy.values().collect();
        waiting.retain(|repository| {
            !busy.contains(&repository.name) && !rests(ctx, repository) && nudged.contains_key(&repository.name)
        });
        // What was never looked at comes first, the active before the sleepy; then whoever has waited longest, so that
        // none is starved by the others.
        waiting
            .sort_by_cached_key(|repository| (self.last(&poll(&repository.name)), ctx.progress.tier(&repository.name)));
        waiting.into_iter().map(|repository| repository.name).collect::<Vec<_>>().into_iter()
    }

    /// Looks at one repository as it is when its turn comes.
    async fn repository_as_it_is(&self, ctx: &Arc<Context>, name: &RepoName, asked: Nudge) {
        match ctx.store.repository(name).await {
            Ok(Some(repository)) => self.repository(ctx, &repository, asked).await,
            Ok(None) => {}
            Err(error) => {
                self.look_again(name, ctx.now().plus(TICK), asked);
                log("repository", Some(name), Err(error.into()));
            }
        }
    }

    /// Activates everything that is due, and every repository as if it had been nudged, and waits for it: for tests.
    pub async fn activate(&self, ctx: &Arc<Context>) {
        self.whole(ctx).await;
        match ctx.store.repositories().await {
            Ok(repositories) => repositories.iter().for_each(|repository| ctx.nudges.ask(&repository.name)),
            Err(error) => drop(log("repositories", None, Err(error.into()))),
        }
        self.step(ctx).await;
    }

    /// Activates everything that is due or nudged, one after the other, and waits for it: for tests.
    pub async fn step(&self, ctx: &Arc<Context>) {
        self.whole(ctx).await;
        let nudged = ctx.nudges.take();
        match ctx.store.repositories().await {
            Ok(repositories) => {
                let open = self.open(ctx).await;
                for repository in repositories {
                    let asked = nudged.get(&repository.name).copied();
                    if let Some(asked) = asked.max(self.wanted(ctx, &repository, &open)) {
                        self.repository(ctx, &repository, asked).await;
                    }
                }
            }
            Err(error) => drop(log("repositories", None, Err(error.into()))),
        }
    }

    /// What is about no single repository.
    async fn whole(&self, ctx: &Arc<Context>) {
        if ctx.nudges.take_news() || self.due(ctx, "take in", TAKE_IN_EVERY) {
            log("take in", None, news::take_in(ctx).await);
        }
        if ctx.nudges.has_hints() && self.due(ctx, "hints", sweep::HINTED_EVERY) {
            log("hints", None, sweep::hinted(ctx, &ctx.nudges.take_hints()).await);
        }
        if self.due(ctx, "recover", news::RECOVER_EVERY) {
            log("recover", None, news::recover(ctx).await);
        }
        if self.due(ctx, "everything", sweep::EVERYTHING_EVERY) {
            log("look at everything", None, sweep::everything(ctx).await);
        }
        // Not `||` the other way round: what was asked for has to be taken.
        if ctx.nudges.take_list() | self.due(ctx, "watch", WATCH_EVERY) {
            log("watch", None, discover::watch(ctx).await);
        }
        // After the list, so that what is new in it is asked for too.
        if self.due(ctx, "sweep", ctx.settings().limits.scan_every()) {
            log("sweep", None, sweep::changed(ctx).await);
        }
        let settings = ctx.settings();
        if let Some(manager) = &settings.manager_repository
            && self.due(ctx, "read decisions", settings.limits.poll_every())
        {
            log("read decisions", Some(manager), approve::read_decisions(ctx, manager).await);
        }
        if self.due(ctx, "rerank", RERANK_EVERY) {
            log("rerank", None, rank::rerank(ctx).await);
        }
        if self.due(ctx, "housekeep", HOUSEKEEP_EVERY) {
            log("housekeep", None, housekeep::housekeep(ctx).await);
        }
    }

    /// Looks at one repository. What was begun there goes on even where nothing new is proposed; a repository that
    /// cannot be reached rests as a whole.
    async fn repository(&self, ctx: &Arc<Context>, repository: &Repository, asked: Nudge) {
        let (name, retry) = (&repository.name, ctx.now().plus(ctx.settings().limits.poll_every()));
        if rests(ctx, repository) {
            return;
        }
        self.again.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        self.done(&poll(name), ctx.now());
        // Before the look: what somebody has approved is not called off by the same reply. Also beside a manager repository:
        // older proposals may be in the repository itself.
        let mut steps = vec![("read decisions", approve::read_decisions(ctx, name).await)];
        let mut read = false;
        if asked >= Nudge::Code {
            self.done(&look(name), ctx.now());
            match discover::scan(ctx, repository, asked == Nudge::All).await {
                Ok(Looked::Read) => {
                    read = true;
                    log("maintain", Some(name), housekeep::maintain(ctx, name).await);
                }
                Ok(Looked::Parked) => {}
                Ok(Looked::Later(until)) => self.look_again(name, until, asked),
                Err(error) => {
                    self.look_again(name, retry, asked);
                    log("scan", Some(name), Err(error));
                }
            }
        }
        steps.push(("follow up", follow_up::follow_up(ctx, name).await));
        let quiet = |done: Result<Option<Timestamp>>| {
            done.map(|until| until.into_iter().for_each(|until| self.look_again(name, until, Nudge::Work)))
        };
        steps.push(("propose", quiet(propose::propose_next(ctx, name).await)));
        steps.push(("reflect", quiet(propose::reflect(ctx, name).await)));
        let refusal = steps.iter().find_map(|(_, done)| match done.as_ref().err()?.downcast_ref()? {
            ForgeError::Denied { what, why } => Some((what.clone(), why.clone())),
            _ => None,
        });
        let well = steps.into_iter().fold(true, |well, (what, done)| log(what, Some(name), done) && well);
        if let Some((what, why)) = refusal {
            log("park", Some(name), discover::refused(ctx, name, &what, &why).await);
        } else if read {
            log("park", Some(name), discover::works(ctx, name).await);
        }
        if !well {
            self.look_again(name, retry, Nudge::Work);
        }
    }

    /// What a repository is to be looked at for by now without a nudge, if anything.
    fn wanted(&self, ctx: &Context, repository: &Repository, open: &BTreeSet<RepoName>) -> Option<Nudge> {
        let (name, now) = (&repository.name, ctx.now());
        let again = self.again.lock().unwrap_or_else(PoisonError::into_inner).get(name).copied();
        let again = again.filter(|(at, _)| *at <= now).map(|(_, nudge)| nudge);
        if self.last(&look(name)).is_none() || repository.retry_at.is_some_and(|at| at <= now) {
            return Some(Nudge::All);
        }
        // Only what looks at everything looks there, in case the work that was begun can be ended.
        if discover::is_closed(repository) {
            return None;
        }
        let told = !name.is_local() && ctx.forges.webhook_secrets.is_some();
        let every = poll_every(&ctx.settings().limits, open.len(), told);
        let polled = open.contains(name) && self.last(&poll(name)).is_none_or(|at| now.since(at) >= every);
        again.max(polled.then_some(Nudge::Work))
    }

    /// The repositories with open work, as of at most [`OPEN_EVERY`] ago.
    async fn open(&self, ctx: &Context) -> Arc<BTreeSet<RepoName>> {
        if self.due(ctx, "open", OPEN_EVERY) {
            let stages = vec![
                Stage::Proposed,
                Stage::Approved,
                Stage::Running,
                Stage::Verifying,
                Stage::InReview,
                Stage::Failed,
            ];
            match ctx.store.tasks(&TaskFilter { stages, ..TaskFilter::default() }).await {
                Ok(tasks) => {
                    let open = tasks.into_iter().map(|task| task.repository).collect();
                    *self.open.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(open);
                }
                Err(error) => drop(log("open", None, Err(error.into()))),
            }
        }
        Arc::clone(&self.open.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn look_again(&self, name: &RepoName, at: Timestamp, nudge: Nudge) {
        let mut again = self.again.lock().unwrap_or_else(PoisonError::into_inner);
        let noted = again.entry(name.clone()).or_insert((at, nudge));
        // What waits for longer is looked at with it, and says again until when it waits.
        *noted = (at.min(noted.0), nudge.max(noted.1));
    }

    /// Makes everything due at the next activation.
    pub fn forget(&self) {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Whether it is time for `what`; if so, it is taken as done now.
    fn due(&self, ctx: &Context, what: &str, every: Duration) -> bool {
        let now = ctx.now();
        let due = self.last(what).is_none_or(|at| now.since(at) >= every);
        if due {
            self.done(what, now);
        }
        due
    }

    fn done(&self, what: &str, now: Timestamp) {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).insert(what.to_owned(), now);
    }

    fn last(&self, what: &str) -> Option<Timestamp> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).get(what).copied()
    }
}

/// Whether a repository that could not be read is left alone for now.
fn rests(ctx: &Context, repository: &Repository) -> bool {
    repository.failures > 0 && repository.retry_at.is_some_and(|at| at > ctx.now())
}

/// The name of reading a repository's code.
fn look(name: &RepoName) -> String {
    format!("scan {name}")
}

/// The name of looking at its proposals and pull requests.
fn poll(name: &RepoName) -> String {
    format!("poll {name}")
}

/// How often open work is looked at when so many repositories have some.
fn poll_every(limits: &Limits, open: usize, told: bool) -> Duration {
    let rounds = u32::try_from(open.div_ceil(POLLED_AT_ONCE)).unwrap_or(u32::MAX).max(1);
    let every = limits.poll_every().saturating_mul(rounds).saturating_mul(if told { WHERE_TOLD } else { 1 });
    every.min(sweep::EVERYTHING_EVERY.max(limits.poll_every()))
}

/// Counts and tells how something ended; says whether it went well.
fn log(what: &str, repository: Option<&RepoName>, result: Result<()>) -> bool {
    let repository = repository.map_or("", RepoName::as_str);
    let outcome = if result.is_ok() { "ok" } else { "failed" };
    metrics::counter!("ccm_operations_total", "operation" => what.replace(' ', "_"), "outcome" => outcome).increment(1);
    let well = result.is_ok();
    match result {
        Ok(()) => {}
        Err(error) if matches!(error.downcast_ref(), Some(ForgeError::Limited { .. })) => {
            tracing::info!(repository, what, error = format!("{error:#}"), "waits for a limit of the code host");
        }
        Err(error) => tracing::warn!(repository, what, error = format!("{error:#}"), "failed and is tried again"),
    }
    well
}
