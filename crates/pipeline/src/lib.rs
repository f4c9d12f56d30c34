//! What the program does: one file per step of a task's way.
//!
//! **Definition.** [`discover`] → [`rank`] → [`propose`] → [`approve`] → [`run`] → [`verify`] → [`deliver`] →
//! [`follow_up`]; [`driver`] activates the reconcilers, [`worker`] runs the jobs, [`housekeep`] tidies.
//!
//! **Wanted properties.** Every step loads, decides purely (in `backlog`), commits once, and only then touches the
//! world; every touch may be repeated. No SQL, no HTTP status and no agent's output format appears here.
//!
//! **Design.** Two kinds of motion. A *reconciler* takes no input, looks at state, makes it right and is
//! idempotent; it runs on a timer and on a nudge. A *job* is a durable row with a lease and ends in an explicit
//! done, retry or fail. Everything that both need is in one [`Context`].

pub mod approve;
pub mod deliver;
pub mod discover;
pub mod driver;
pub mod follow_up;
pub mod housekeep;
pub mod ledger;
pub mod local;
pub mod news;
pub mod progress;
pub mod prompt;
pub mod propose;
pub mod rank;
pub mod rehearse;
pub mod run;
pub mod settings;
pub mod sweep;
pub mod verify;
pub mod wording;
pub mod worker;

use std::collections::{BTreeMap, HashMap};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use anyhow::{Context as _, Result};
use backlog::names::{RepoName, RunId};
use backlog::time::{Clock, Timestamp};
use forge::Forge;
use forge::github::webhook::Secrets;
use settings::Settings;
use store::Store;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

/// Everything the steps need, made once by the binary or by a test.
pub struct Context {
    /// Durable state.
    pub store: Arc<dyn Store>,
    /// The code hosts.
    pub forges: Forges,
    /// The git program.
    pub git: git::Git,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The registries of packages.
    pub registries: registry::Registries,
    /// The way to the model.
    pub gateway: gateway::Gateway,
    /// What confines agents and checks.
    pub sandbox: Arc<dyn runner::sandbox::Sandbox>,
    /// Folders.
    pub paths: Paths,
    /// This process among all that share the database: a machine part and a part unique to this start.
    pub worker: String,
    /// The agents at work in this process.
    pub live: Live,
    /// Wakes reconcilers before their time.
    pub nudges: Nudges,
    /// What proposing remembers.
    pub proposing: propose::Proposing,
    /// How far the looks at repositories have come.
    pub progress: progress::Progress,
    /// Wakes workers when a job was queued.
    pub work: Notify,
    /// Where code is read: CPU work never runs on the event loop.
    pub cpu: rayon::ThreadPool,
    settings: RwLock<Arc<Settings>>,
}

/// How far the threads that read code stand back for the event loop, in steps of `nice`.
const READING_GIVES_WAY: i32 = 10;

impl Context {
    /// Puts the parts together.
    ///
    /// # Errors
    /// When the folders or the thread pool cannot be made.
    #[expect(clippy::too_many_arguments, reason = "each part is made by the binary, once")]
    pub fn new(
        store: Arc<dyn Store>,
        forges: Forges,
        git: git::Git,
        clock: Arc<dyn Clock>,
        gateway: gateway::Gateway,
        sandbox: Arc<dyn runner::sandbox::Sandbox>,
        paths: Paths,
        worker: String,
        settings: Settings,
    ) -> Result<Arc<Self>> {
        for dir in [&paths.data, &paths.mirrors(), &paths.runs()] {
            // Private code, and the sockets of runs: for this user only, also where the data folder was there before
            // and is open to others.
            let private = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
            private.with_context(|| format!("cannot make the folder {}", dir.display()))?;
        }
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let cpu = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|n| format!("scan-{n}"))
            // Whoever waits for an answer comes before code that is read, where both want the same processor. On Linux
            // this is about the calling thread alone; where it is refused, all are equal.
            .start_handler(|_| {
                let _ = rustix::process::nice(READING_GIVES_WAY);
            })
            .build()
            .context("cannot start the threads that read code")?;
        let memory = Arc::new(ledger::StoreLedger::new(store.clone(), clock.clone()));
        let user_agent = format!("ccm/{} (Claude Code Manager)", env!("CARGO_PKG_VERSION"));
        Ok(Arc::new(Self {
            registries: registry::Registries::new(&user_agent, memory, clock.clone()),
            store,
            forges,
            git,
            clock,
            gateway,
            sandbox,
            paths,
            worker,
            live: Live::default(),
            nudges: Nudges::default(),
            proposing: propose::Proposing::default(),
            progress: progress::Progress::default(),
            work: Notify::new(),
            cpu,
            settings: RwLock::new(Arc::new(settings)),
        }))
    }

    /// The present.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The settings in force.
    #[must_use]
    pub fn settings(&self) -> Arc<Settings> {
        self.settings.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts new settings in force; what runs already keeps the old ones.
    pub fn set_settings(&self, settings: Settings) {
        *self.settings.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
    }

    /// Runs CPU work on the scanning threads and waits for it without blocking the event loop.
    ///
    /// # Errors
    /// When the work panicked.
    pub async fn on_cpu<T: Send + 'static>(self: &Arc<Self>, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let (tx, rx) = tokio::sync::oneshot::channel();
        self.cpu.spawn(move || {
            let _ = tx.send(work());
        });
        rx.await.context("reading code failed unexpectedly; this is a bug worth reporting")
    }
}

/// Within a loop over many: what went wrong with one of them alone is kept in `first` and the others go on; what would
/// go wrong with each ends the loop.
pub(crate) fn keep_going(done: Result<()>, first: &mut Option<anyhow::Error>) -> Result<()> {
    use forge::ForgeError::{Conflict, Denied, NotFound, Unexpected};
    match done {
        Err(error)
            if matches!(error.downcast_ref(), Some(NotFound(_) | Denied { .. } | Conflict(_) | Unexpected(_))) =>
        {
            first.get_or_insert(error);
            Ok(())
        }
        done => done,
    }
}

/// The code hosts that are configured.
#[derive(Clone, Default)]
pub struct Forges {
    /// GitHub.
    pub github: Option<Arc<dyn Forge>>,
    /// Folders on this machine.
    pub local: Option<Arc<dyn Forge>>,
    /// What GitHub signs its webhooks with; without it none are taken.
    pub webhook_secrets: Option<Secrets>,
}

impl Forges {
    /// The one that hosts `repository`.
    ///
    /// # Errors
    /// When it is not configured.
    pub fn of(&self, repository: &RepoName) -> Result<&Arc<dyn Forge>> {
        let (forge, mend) = if repository.is_local() {
            (&self.local, "start ccm with its folder: `ccm serve PATH`")
        } else {
            (&self.github, "add a [github] section with a token to ccm.toml")
        };
        forge.as_ref().with_context(|| format!("no code host is configured for {repository}; {mend}"))
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Arc<dyn Forge>> {
        self.github.iter().chain(self.local.iter())
    }
}

/// The folders of one installation.
#[derive(Clone, Debug)]
pub struct Paths {
    /// Everything durable is below it.
    pub data: PathBuf,
    /// This program, which is also the sandbox's bridge to the gateway.
    pub program: PathBuf,
}

impl Paths {
    /// Bare mirrors.
    #[must_use]
    pub fn mirrors(&self) -> PathBuf {
        self.data.join("mirrors")
    }

    /// The mirror of one repository.
    #[must_use]
    pub fn mirror(&self, repository: &RepoName) -> PathBuf {
        self.mirrors().join(format!("{}.git", repository.as_str().replace('/', "~")))
    }

    /// What looks read one repository through, where it is not its mirror.
    #[must_use]
    pub fn glance(&self, repository: &RepoName) -> PathBuf {
        self.mirrors().join(format!("{}.look", repository.as_str().replace('/', "~")))
    }

    /// Checkouts, homes and sockets of runs.
    #[must_use]
    pub fn runs(&self) -> PathBuf {
        self.data.join("runs")
    }

    /// One run's folder: `checkout`, `home`, `gateway.sock`.
    #[must_use]
    pub fn run(&self, run: &RunId) -> PathBuf {
        self.runs().join(run.as_str())
    }

    /// What marks the processes of a run on this machine: two installations may work at the same repository, where
    /// runs have the same names, and must not end each other's processes.
    #[must_use]
    pub fn marker(&self, run: &str) -> String {
        let installation = backlog::names::digest(&[&self.data.to_string_lossy()]);
        format!("{run}@{}", &installation[..12])
    }

    /// Whether `path` lies below the runs' folder: nothing else is ever deleted.
    #[must_use]
    pub fn owns(&self, path: &Path) -> bool {
        path.starts_with(self.runs()) && path != self.runs()
    }
}

/// What has just happened: reconcilers run before their time.
#[derive(Default)]
pub struct Nudges {
    waiting: Mutex<Waiting>,
    some: Notify,
    whole: Notify,
}

/// What is asked for. Asking twice is asking once, so it never grows beyond the repositories.
#[derive(Default)]
struct Waiting {
    repositories: BTreeMap<RepoName, Nudge>,
    hints: BTreeMap<RepoName, Hint>,
    list: bool,
    news: bool,
}

/// How a repository is to be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Nudge {
    /// Its issues and pull requests.
    Work,
    /// Its code too.
    Code,
    /// Everything, also what the code host alone knows: something happened there.
    All,
}

/// What somebody says has happened in a repository, of which it is to be asked whether it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hint {
    /// Something that the question what changed tells of: its code, its checks, an issue, a pull request.
    Change,
    /// Something that this question does not tell of: an alert.
    Alert,
}

impl Nudges {
    /// Asks for it to be looked up, soon and together with others, whether what happened in a repository matters.
    pub fn hint(&self, repository: &RepoName, hint: Hint) {
        let mut waiting = self.lock();
        let noted = waiting.hints.entry(repository.clone()).or_insert(hint);
        *noted = hint.max(*noted);
        drop(waiting);
        self.whole.notify_one();
    }

    /// Whether there are hints.
    pub(crate) fn has_hints(&self) -> bool {
        !self.lock().hints.is_empty()
    }

    /// Takes the hints since the last call.
    pub(crate) fn take_hints(&self) -> BTreeMap<RepoName, Hint> {
        std::mem::take(&mut self.lock().hints)
    }

    /// Asks for one repository's issues and pull requests to be looked at soon.
    pub fn ask(&self, repository: &RepoName) {
        self.ask_for(repository, Nudge::Work);
    }

    /// As [`Nudges::ask`], and for its code too.
    pub fn ask_for_code(&self, repository: &RepoName) {
        self.ask_for(repository, Nudge::Code);
    }

    /// As [`Nudges::ask_for_code`], and for what the code host alone knows.
    pub fn ask_for_all(&self, repository: &RepoName) {
        self.ask_for(repository, Nudge::All);
    }

    fn ask_for(&self, repository: &RepoName, nudge: Nudge) {
        let mut waiting = self.lock();
        let asked = waiting.repositories.entry(repository.clone()).or_insert(nudge);
        *asked = nudge.max(*asked);
        drop(waiting);
        self.some.notify_one();
    }

    /// Asks for the list of repositories to be read soon.
    pub fn ask_for_list(&self) {
        self.lock().list = true;
        self.whole.notify_one();
    }

    /// Says that deliveries were stored.
    pub fn news(&self) {
        self.lock().news = true;
        self.whole.notify_one();
    }

    /// Waits until somebody asks for a repository.
    pub async fn asked(&self) {
        self.some.notified().await;
    }

    /// Waits until there is news, or somebody asks for the list.
    pub async fn told(&self) {
        self.whole.notified().await;
    }

    /// Takes the repositories that were asked for.
    #[must_use]
    pub fn take(&self) -> BTreeMap<RepoName, Nudge> {
        std::mem::take(&mut self.lock().repositories)
    }

    /// Whether the list was asked for since the last call.
    #[must_use]
    pub fn take_list(&self) -> bool {
        std::mem::take(&mut self.lock().list)
    }

    /// Whether there was news since the last call.
    #[must_use]
    pub fn take_news(&self) -> bool {
        std::mem::take(&mut self.lock().news)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The agents at work in this process: how to speak to them and how to stop them.
#[derive(Default)]
pub struct Live {
    runs: Mutex<HashMap<RunId, LiveRun>>,
}

/// One agent at work.
#[derive(Clone)]
pub struct LiveRun {
    /// Messages and interrupts; bounded.
    pub inbox: mpsc::Sender<runner::session::Inbox>,
    /// Stops it.
    pub cancel: CancellationToken,
}

impl Live {
    /// Enters a run; it leaves when the guard is dropped.
    #[must_use]
    pub fn enter(self: &Live, run: RunId, live: LiveRun) -> LiveGuard<'_> {
        let inbox = live.inbox.clone();
        self.lock().insert(run.clone(), live);
        LiveGuard { live: self, run, inbox }
    }

    /// One run, if it is at work here.
    #[must_use]
    pub fn get(&self, run: &RunId) -> Option<LiveRun> {
        self.lock().get(run).cloned()
    }

    /// The runs at work here.
    #[must_use]
    pub fn all(&self) -> Vec<RunId> {
        self.lock().keys().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RunId, LiveRun>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps a run in [`Live`] while it works.
pub struct LiveGuard<'a> {
    live: &'a Live,
    run: RunId,
    inbox: mpsc::Sender<runner::session::Inbox>,
}

impl Drop for LiveGuard<'_> {
    fn drop(&mut self) {
        let mut runs = self.live.lock();
        // After a lease was lost while the machine slept, the same run may have been taken up anew here.
        if runs.get(&self.run).is_some_and(|live| live.inbox.same_channel(&self.inbox)) {
            runs.remove(&self.run);
        }
    }
}
