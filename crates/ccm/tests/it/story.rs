//! The harness of stories: the whole service around a fake GitHub, with a clock of its own.
//!
//! `settle()` drives reconcilers and jobs until nothing moves. Time moves only when a story advances it, or when the
//! GitHub client paces itself. Every story ends by [`Story::end`], which checks the invariants and looks for leftovers.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use backlog::names::TaskId;
use backlog::task::{Stage, Task};
use backlog::time::Clock;
use forge::github::webhook::Secrets;
use forge::github::{Credential, GitHub, GitHubConfig, Limits, Sleep};
use pipeline::driver::Driver;
use pipeline::ledger::StoreLedger;
use pipeline::settings::{AgentKind, AgentSettings, Settings};
use pipeline::{Context, Forges, Paths, housekeep, wording, worker};
use secrecy::SecretString;
use store::sqlite::SqliteStore;
use store::{EventQuery, Store, TaskFilter};
use tempfile::TempDir;
use testkit::clock::TestClock;
use testkit::github::{FakeGitHub, Kind, Permission, Request, Selection};

use crate::mortal::{Life, Mortal};

/// The most rounds after which a story that still moves is thought to run in circles.
const ROUNDS: usize = 40;

/// The source file that stories begin with.
pub const SOURCE: &str =
    "def greet(name):\n    # TODO: greet the world when there is no name\n    return 'Hello ' + name\n";
/// The check of the sample repository.
pub const POLICY: &str = "checks = [\"sh check.sh\"]\n";
/// Passes when the source no longer says TODO.
pub const CHECK: &str = "set -e\ntest -f app.py\n! grep -q BROKEN app.py\n";

/// A repository with one TODO and its check.
pub const FILES: [(&str, &str); 3] = [("app.py", SOURCE), ("check.sh", CHECK), (".github/ccm.toml", POLICY)];

/// What GitHub signs its webhooks with.
pub const WEBHOOK_SECRET: &str = "a secret of both";

/// Lets the client's paces pass on the story's own clock.
struct ClockSleep(Arc<TestClock>);

#[async_trait]
impl Sleep for ClockSleep {
    async fn sleep(&self, time: Duration) {
        self.0.advance(time);
        tokio::task::yield_now().await;
    }
}

/// The requests that changed something on the code host, pushes included: method and route.
pub fn writes(github: &FakeGitHub) -> Vec<String> {
    let is_write = |request: &&Request| match request.kind {
        Kind::Read | Kind::Query | Kind::Search | Kind::CodeSearch | Kind::Mint => false,
        Kind::Write | Kind::Content | Kind::Mutation | Kind::ContentMutation => true,
        Kind::Git => request.path.contains("git-receive-pack"),
    };
    let requests = github.requests();
    requests.iter().filter(is_write).map(|request| format!("{} {}", request.method, request.path)).collect()
}

/// The whole service around a fake GitHub.
pub struct Story {
    pub github: FakeGitHub,
    pub clock: Arc<TestClock>,
    pub ctx: Arc<Context>,
    driver: Driver,
    dir: TempDir,
    credential: Credential,
    repositories: Vec<String>,
    settings: Settings,
    life: Arc<Life>,
}

impl Story {
    /// A repository `me/app` with one TODO, a maintainer with write access, and an outsider.
    pub async fn start() -> Self {
        Self::start_as(|github| Credential::Token(github.token_for("ccm-user").into())).await
    }

    /// The same, with the service acting as an App that is installed for `me`.
    pub async fn start_as_app() -> Self {
        Self::start_as(|github| {
            let app = github.app("ccm");
            let _installation = github.install(&app, "me", Selection::All);
            Credential::App { id: app.id.to_string(), private_key: app.private_key.into() }
        })
        .await
    }

    /// The same, with the service acting as whoever `as_whom` makes.
    pub async fn start_as(as_whom: impl FnOnce(&FakeGitHub) -> Credential) -> Self {
        let clock = TestClock::new();
        let github = FakeGitHub::start(clock.clone()).await;
        github.repo("me/app").await;
        github.user("maintainer", Permission::Write);
        github.user("outsider", Permission::Read);
        github.commit("me/app", "Begin", &FILES).await;
        let (credential, repositories) = (as_whom(&github), vec!["me/*".to_owned()]);
        let dir = tempfile::tempdir().unwrap();
        let mut settings = Settings::default();
        let agent = AgentSettings {
            kind: AgentKind::Command,
            program: Some(dir.path().join("agent.sh").display().to_string()),
            max_minutes: 2,
            ..AgentSettings::default()
        };
        settings.agents.insert("default".to_owned(), agent);
        settings.limits.runs_per_repository = 4;
        let life = Arc::new(Life::default());
        let ctx = context(&dir, &github, &clock, (&credential, &repositories), settings.clone(), 1, &life).await;
        let story = Self { github, clock, ctx, driver: Driver::new(), dir, credential, repositories, settings, life };
        story.agent("sed -i '/TODO/d' app.py");
        story
    }

    /// What the agent does from now on: lines of a shell script, run in the checkout.
    pub fn agent(&self, script: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.dir.path().join("agent.sh");
        std::fs::write(&path, format!("#!/bin/sh\nset -e\ncat > \"$HOME/prompt\"\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Takes the agent's program away.
    pub fn no_agent(&self) {
        std::fs::remove_file(self.dir.path().join("agent.sh")).unwrap();
    }

    /// Drives reconcilers and jobs until nothing moves.
    pub async fn settle(&self) {
        // One look at the code is enough: it does not change while a story settles.
        self.driver.forget();
        for _ in 0..ROUNDS {
            let before = self.fingerprint().await;
            self.driver.activate(&self.ctx).await;
            let worked = worker::drain(&self.ctx).await.unwrap();
            if !worked && before == self.fingerprint().await {
                return;
            }
        }
        panic!("still moving after {ROUNDS} rounds:\n{}", self.everything().await);
    }

    /// Activates once what is due or was asked for.
    pub async fn step(&self) {
        self.driver.step(&self.ctx).await;
    }

    /// From now on the service looks by itself only once a day.
    pub async fn looks_once_a_day(&mut self) {
        self.set(|settings| {
            settings.limits.poll_seconds = 86_400;
            settings.limits.scan_seconds = 86_400;
        })
        .await;
    }

    /// Lets time pass, then does once what is due or nudged, and nothing that is not.
    pub async fn beat(&self, time: Duration) {
        self.clock.advance(time);
        self.driver.step(&self.ctx).await;
    }

    /// Lets time pass, then settles.
    pub async fn later(&self, time: Duration) {
        self.clock.advance(time);
        self.settle().await;
    }

    /// The process dies and another one starts on the same data.
    pub async fn restart(&mut self) {
        let n = self.ctx.worker.rsplit('-').next().and_then(|n| n.parse::<u32>().ok()).unwrap_or(1) + 1;
        self.life = Arc::new(Life::default());
        let settings = self.settings.clone();
        let acts = (&self.credential, &self.repositories[..]);
        self.ctx = context(&self.dir, &self.github, &self.clock, acts, settings, n, &self.life).await;
        self.driver = Driver::new();
        housekeep::recover(&self.ctx, "story:").await.unwrap();
    }

    /// From now on these repositories are watched.
    pub async fn watch(&mut self, globs: &[&str]) {
        self.repositories = globs.iter().map(|glob| (*glob).to_owned()).collect();
        self.restart().await;
    }

    /// From now on proposals go to this repository.
    pub async fn manage_in(&mut self, repository: &str) {
        let repository = repository.parse().unwrap();
        self.set(|settings| settings.manager_repository = Some(repository)).await;
    }

    /// Changes the settings; the service starts anew with them.
    pub async fn set(&mut self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.settings);
        self.restart().await;
    }

    /// Does `act`, during which the service dies after its `n`-th commit: nothing goes on from there. Says whether it
    /// came that far.
    pub async fn dies_after_commit(&mut self, n: usize, act: impl AsyncFnOnce(&mut Self)) -> bool {
        let life = self.life.clone();
        life.ends_after(n);
        tokio::select! {
            biased;
            () = life.ended() => true,
            () = act(self) => false,
        }
    }

    /// From now on, or no longer, nothing can be written to the database.
    pub fn disk_is_full(&self, full: bool) {
        self.life.disk_is_full(full);
    }

    /// Drives reconcilers and jobs a few times while something outside is broken; what they say is in the log.
    pub async fn struggle(&self) {
        for _ in 0..3 {
            self.driver.forget();
            self.driver.activate(&self.ctx).await;
            // A queue that cannot be written to is the very case.
            let _ = worker::drain(&self.ctx).await;
        }
    }

    async fn fingerprint(&self) -> String {
        let query = EventQuery { newest_first: true, limit: 1, ..EventQuery::default() };
        let seq = self.ctx.store.events(&query).await.unwrap().first().map_or(0, |event| event.seq);
        let jobs = self.ctx.store.jobs().await.unwrap();
        format!("{seq} {jobs:?}")
    }

    /// How many requests made something that notifies people, which is what GitHub counts most strictly.
    pub fn content_calls(&self) -> usize {
        let is_content = |request: &&Request| matches!(request.kind, Kind::Content | Kind::ContentMutation);
        self.github.requests().iter().filter(is_content).count()
    }

    /// See [`writes`].
    pub fn writes(&self) -> Vec<String> {
        writes(&self.github)
    }

    /// The only task.
    pub async fn task(&self) -> Task {
        let mut tasks = self.tasks().await;
        assert_eq!(tasks.len(), 1, "{tasks:#?}");
        tasks.remove(0)
    }

    /// All tasks, best first.
    pub async fn tasks(&self) -> Vec<Task> {
        self.ctx.store.tasks(&TaskFilter::default()).await.unwrap()
    }

    /// Where the only task stands.
    pub async fn stage(&self) -> Stage {
        self.task().await.state.stage()
    }

    /// The timeline of the only task, one line an event, with the task's id and commit ids left out.
    pub async fn timeline(&self) -> String {
        let id = self.task().await.id;
        self.timeline_of(&id).await
    }

    /// The timeline of a task.
    pub async fn timeline_of(&self, id: &TaskId) -> String {
        let query = EventQuery { task: Some(id.clone()), ..EventQuery::default() };
        let events = self.ctx.store.events(&query).await.unwrap();
        let lines: Vec<String> = events.iter().map(wording::event).collect();
        lines.join("\n").replace(id.as_str(), "TASK").replace(self.github.url(), "GITHUB")
    }

    /// Everything that happened, for a message of despair.
    async fn everything(&self) -> String {
        let events = self.ctx.store.events(&EventQuery::default()).await.unwrap();
        events.iter().map(|event| format!("{} {}\n", event.event.at, wording::event(event))).collect()
    }

    /// What must hold after every test and every injected failure.
    pub async fn check_invariants(&self) {
        let (tasks, jobs) = (self.tasks().await, self.ctx.store.jobs().await.unwrap());
        for task in &tasks {
            let of_task = jobs.iter().filter(|job| job.task == task.id).count();
            if task.state.is_final() {
                assert_eq!(of_task, 0, "a {} task has a queued job", task.state.stage());
            }
            if matches!(task.state.stage(), Stage::Approved | Stage::Running | Stage::Verifying) {
                assert_eq!(of_task, 1, "a {} task needs exactly one job", task.state.stage());
            }
            let issues = self.github.issues().iter().filter(|issue| mentions(issue.body.as_deref(), task)).count();
            assert!(issues <= 1, "{issues} issues for one task");
            let pulls = self.github.pulls().iter().filter(|pull| mentions(pull.issue.body.as_deref(), task)).count();
            assert!(pulls <= 1, "{pulls} pull requests for one task");
            for run in self.ctx.store.runs(Some(&task.id), 100).await.unwrap() {
                assert!(run.usage.cost_micro_usd <= run.budget_micro_usd, "{} spent more than granted", run.id);
            }
        }
        assert_eq!(self.github.violations(), Vec::<String>::new());
    }

    /// Checks the invariants, and that nothing is left over.
    pub async fn end(self) {
        self.check_invariants().await;
        assert_eq!(self.ctx.live.all(), [], "an agent is at work");
        for job in self.ctx.store.jobs().await.unwrap() {
            assert_eq!(job.held, None, "a lease is left");
        }
        for task in self.tasks().await {
            for run in self.ctx.store.runs(Some(&task.id), 100).await.unwrap() {
                assert_eq!(
                    runner::processes_of(&self.ctx.paths.marker(run.id.as_str())),
                    [],
                    "processes of {} are left",
                    run.id
                );
                let folder = self.ctx.paths.run(&run.id);
                assert!(!folder.join("gateway.sock").exists(), "the socket of {} is left", run.id);
            }
        }
        housekeep::housekeep(&self.ctx).await.unwrap();
        let left: Vec<PathBuf> =
            std::fs::read_dir(self.ctx.paths.runs()).unwrap().map(|entry| entry.unwrap().path()).collect();
        let running = self.tasks().await.iter().any(|task| !task.state.is_final());
        assert!(running || left.is_empty(), "folders are left: {left:?}");
    }
}

fn mentions(body: Option<&str>, task: &Task) -> bool {
    body.is_some_and(|body| body.contains(&format!("task={}", task.id)))
}

async fn context(
    dir: &TempDir,
    github: &FakeGitHub,
    clock: &Arc<TestClock>,
    (credential, repositories): (&Credential, &[String]),
    settings: Settings,
    n: u32,
    life: &Arc<Life>,
) -> Arc<Context> {
    let store = SqliteStore::open(&dir.path().join("ccm.db")).await.unwrap();
    let store: Arc<dyn Store> = Arc::new(Mortal { store, life: life.clone() });
    let config = GitHubConfig {
        api_url: github.url().parse().unwrap(),
        git_url: None,
        credential: credential.clone(),
        repositories: repositories.to_vec(),
        marker_key: SecretString::from("a key of forty characters, made for tests".to_owned()),
        contact: "https://example.com".to_owned(),
        limits: Limits::default(),
    };
    let ledger = Arc::new(StoreLedger::new(store.clone(), clock.clone()));
    let forge = GitHub::with_sleep(config, ledger, clock.clone(), Arc::new(ClockSleep(clock.clone()))).unwrap();
    let upstream = "http://127.0.0.1:9/".parse().unwrap();
    let gateway = gateway::Gateway::new(gateway::GatewayConfig::new(upstream, None)).unwrap();
    let clock: Arc<dyn Clock> = clock.clone();
    let paths = Paths { data: dir.path().join("data"), program: env!("CARGO_BIN_EXE_ccm").into() };
    let forges = Forges {
        github: Some(Arc::new(forge)),
        webhook_secrets: Secrets::new(WEBHOOK_SECRET.into(), None),
        ..Forges::default()
    };
    let sandbox = runner::Kind::Bubblewrap.sandbox().into();
    let git = git::Git::new("git".into());
    Context::new(store, forges, git, clock, gateway, sandbox, paths, format!("story:-{n}"), settings).unwrap()
}
