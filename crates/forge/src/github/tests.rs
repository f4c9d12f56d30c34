//! The harness of this module's stories, and what is true of every call.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use backlog::intent::{IntentState, WriteIntent};
use backlog::task::IssueLink;
use testkit::clock::TestClock;
use testkit::github::{FakeGitHub, Fault, Permission as Role};

use super::*;
use crate::LedgerError;

mod limits;
mod robust;

/// A ledger that lasts as long as the test.
#[derive(Default)]
pub(super) struct MemoryLedger {
    intents: Mutex<HashMap<String, WriteIntent>>,
    values: Mutex<HashMap<(String, String), String>>,
    touched: AtomicUsize,
    slow: AtomicBool,
}

impl MemoryLedger {
    pub(super) fn intent_of(&self, id: &str) -> Option<WriteIntent> {
        self.intents.lock().unwrap().get(id).cloned()
    }

    /// Every intent there is.
    pub(super) fn intents(&self) -> Vec<WriteIntent> {
        self.intents.lock().unwrap().values().cloned().collect()
    }

    /// Puts an intent into a state, as if what came after had been lost.
    pub(super) fn put_back(&self, id: &str, state: IntentState) {
        self.intents.lock().unwrap().get_mut(id).unwrap().state = state;
    }

    /// Forgets everything, as a lost database does.
    pub(super) fn lose(&self) {
        self.intents.lock().unwrap().clear();
        self.values.lock().unwrap().clear();
    }

    /// How many values are remembered in a space.
    pub(super) fn count(&self, space: &str) -> usize {
        self.values.lock().unwrap().keys().filter(|(of, _)| of == space).count()
    }

    /// How often a value was read or written.
    pub(super) fn touched(&self) -> usize {
        self.touched.load(Ordering::SeqCst)
    }

    /// From now on each value takes a turn of the scheduler before and after it is read or written.
    pub(super) fn be_slow(&self, slow: bool) {
        self.slow.store(slow, Ordering::SeqCst);
    }

    async fn turn(&self) {
        if self.slow.load(Ordering::SeqCst) {
            tokio::task::yield_now().await;
        }
    }

    /// Everything that is remembered, as one text.
    pub(super) fn text(&self) -> String {
        format!("{:?} {:?}", self.intents.lock().unwrap(), self.values.lock().unwrap())
    }
}

#[async_trait]
impl Ledger for MemoryLedger {
    async fn intent(&self, id: &str) -> Result<Option<WriteIntent>, LedgerError> {
        Ok(self.intent_of(id))
    }

    async fn swap_intent(&self, expected: Option<&WriteIntent>, intent: &WriteIntent) -> Result<bool, LedgerError> {
        let mut intents = self.intents.lock().unwrap();
        let as_expected = intents.get(&intent.id) == expected;
        if as_expected {
            intents.insert(intent.id.clone(), intent.clone());
        }
        Ok(as_expected)
    }

    async fn open_intents(&self, repository: &RepoName) -> Result<Vec<WriteIntent>, LedgerError> {
        let intents = self.intents.lock().unwrap();
        let is_open = |intent: &&WriteIntent| {
            intent.repository == *repository && !matches!(intent.state, IntentState::Done { .. })
        };
        let mut open: Vec<WriteIntent> = intents.values().filter(is_open).cloned().collect();
        open.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        Ok(open)
    }

    async fn recall(&self, space: &str, key: &str) -> Result<Option<String>, LedgerError> {
        self.touched.fetch_add(1, Ordering::SeqCst);
        self.turn().await;
        Ok(self.values.lock().unwrap().get(&(space.to_owned(), key.to_owned())).cloned())
    }

    async fn remember(&self, space: &str, key: &str, value: &str, _: Option<Timestamp>) -> Result<(), LedgerError> {
        self.values.lock().unwrap().insert((space.to_owned(), key.to_owned()), value.to_owned());
        Ok(())
    }

    async fn swap(
        &self,
        space: &str,
        key: &str,
        expected: Option<&str>,
        value: &str,
        _: Option<Timestamp>,
    ) -> Result<bool, LedgerError> {
        self.touched.fetch_add(1, Ordering::SeqCst);
        self.turn().await;
        let as_expected = {
            let (mut values, place) = (self.values.lock().unwrap(), (space.to_owned(), key.to_owned()));
            let as_expected = values.get(&place).map(String::as_str) == expected;
            if as_expected {
                values.insert(place, value.to_owned());
            }
            as_expected
        };
        self.turn().await;
        Ok(as_expected)
    }
}

/// Waiting moves the clock.
pub(super) struct VirtualSleep(pub(super) Arc<TestClock>);

#[async_trait]
impl Sleep for VirtualSleep {
    async fn sleep(&self, time: Duration) {
        self.0.advance(time);
    }
}

/// A fake GitHub with the repository `me/app`, the account `robot`, and a ledger that outlives clients.
pub(super) struct World {
    pub(super) fake: FakeGitHub,
    pub(super) clock: Arc<TestClock>,
    pub(super) ledger: Arc<MemoryLedger>,
    pub(super) token: String,
}

pub(super) fn app() -> RepoName {
    "me/app".parse().unwrap()
}

pub(super) fn task() -> TaskId {
    "3k9d0fz2ha".parse().unwrap()
}

pub(super) fn draft() -> IssueDraft {
    IssueDraft {
        repository: app(),
        task: task(),
        title: "Handle the empty list".to_owned(),
        body: "`first()` fails on an empty list.".to_owned(),
        labels: vec!["task-proposal".to_owned()],
    }
}

pub(super) fn link(number: u64) -> IssueLink {
    IssueLink { repository: app(), number, url: String::new() }
}

pub(super) fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

impl World {
    pub(super) async fn new() -> Self {
        let clock = TestClock::new();
        let fake = FakeGitHub::start(clock.clone()).await;
        fake.repo("me/app").await;
        fake.commit("me/app", "first", &[("a.txt", "a\n")]).await;
        let token = fake.token_for("robot");
        Self { fake, clock, ledger: Arc::default(), token }
    }

    /// A client as after a restart: a new one over the same ledger.
    pub(super) fn github(&self) -> GitHub {
        self.github_with(Limits::default())
    }

    pub(super) fn config(&self, limits: Limits) -> GitHubConfig {
        GitHubConfig {
            api_url: self.fake.url().parse().unwrap(),
            git_url: None,
            credential: Credential::Token(self.token.clone().into()),
            repositories: vec!["me/*".to_owned()],
            marker_key: "a key".to_owned().into(),
            contact: "https://example.org/ccm".to_owned(),
            limits,
        }
    }

    pub(super) fn github_with(&self, limits: Limits) -> GitHub {
        self.github_as(self.config(limits))
    }

    pub(super) fn github_as(&self, config: GitHubConfig) -> GitHub {
        let sleep = Arc::new(VirtualSleep(self.clock.clone()));
        GitHub::with_sleep(config, self.ledger.clone(), self.clock.clone(), sleep).unwrap()
    }

    /// Requests of one route so far.
    pub(super) fn count(&self, route: &str) -> usize {
        self.fake.requests_matching(route).len()
    }

    /// The referee's judgement; call it at the end.
    pub(super) fn fair(&self) {
        assert_eq!(self.fake.violations(), Vec::<String>::new());
    }

    /// Calls again, each time as late as the answer asks for, until something else than a wait comes out.
    pub(super) async fn patiently<T>(&self, call: impl AsyncFn() -> Result<T, ForgeError>) -> Result<T, ForgeError> {
        for _ in 0..20 {
            match call().await {
                Err(ForgeError::Transient { retry_at: Some(at), .. } | ForgeError::Limited { until: at }) => {
                    self.clock.set(at.max(self.clock.now()));
                }
                done => return done,
            }
        }
        panic!("still waiting after 20 calls");
    }
}

fn wait_of(error: &ForgeError, now: Timestamp) -> Duration {
    match error {
        ForgeError::Limited { until } => until.since(now),
        other => panic!("not a limit: {other}"),
    }
}

/// Asks for a repository; every call with another query would be as good.
pub(super) async fn ask(github: &GitHub) -> Result<RepositoryView, ForgeError> {
    github.repository(&app()).await
}

#[tokio::test]
async fn globs_find_repositories_of_users_and_organisations() {
    let world = World::new().await;
    world.fake.organization("org");
    for name in ["me/lib", "org/service-a", "org/service-b", "org/other", "robot/own"] {
        world.fake.repo(name).await;
    }
    world.fake.set_private("robot/own", true);
    world.fake.set_archived("me/lib", true);
    let mut config = world.config(Limits::default());
    let patterns = ["me/*", "org/service-*", "!org/service-b", "robot/*", "me/missing", "nobody/*"];
    config.repositories = patterns.map(str::to_owned).to_vec();
    let github = GitHub::new(config, world.ledger.clone(), world.clock.clone()).unwrap();
    let found = github.repositories().await.unwrap();
    let shown: Vec<String> = found.iter().map(|r| format!("{} {} {}", r.name, r.default_branch, r.archived)).collect();
    assert_eq!(shown, ["me/app main false", "me/lib main true", "org/service-a main false", "robot/own main false"]);
    world.fair();
}

#[tokio::test]
async fn git_is_reached_beside_the_api_with_the_token_apart() {
    let world = World::new().await;
    let access = world.github().git_access(&app(), GitUse::Push).await.unwrap();
    assert_eq!(access.url, format!("{}/me/app.git", world.fake.url()));
    let (user, password) = access.login.unwrap();
    assert_eq!((user.as_str(), password.expose_secret()), ("x-access-token", world.token.as_str()));
}

#[test]
fn the_address_of_git_follows_from_the_api() {
    let table = [
        ("https://api.github.com", "https://github.com/"),
        ("https://api.github.com/", "https://github.com/"),
        ("https://git.example.org/api/v3", "https://git.example.org/"),
        ("http://127.0.0.1:4001/api/v3/", "http://127.0.0.1:4001/"),
        ("http://127.0.0.1:4001", "http://127.0.0.1:4001/"),
    ];
    for (api, expected) in table {
        assert_eq!(derived_git_url(&api.parse().unwrap()).as_str(), expected);
    }
}

#[tokio::test]
async fn permissions_are_roles_and_strangers_have_none() {
    let world = World::new().await;
    world.fake.set_private("me/app", true);
    world.fake.permit("me/app", "robot", Role::Admin);
    world.fake.permit("me/app", "tina", Role::Triage);
    world.fake.permit("me/app", "mona", Role::Maintain);
    world.fake.permit_as("me/app", "carl", Role::Write, "release captain");
    let github = world.github();
    let table = [
        ("tina", Permission::Triage),
        ("mona", Permission::Maintain),
        ("carl", Permission::Write),
        ("nobody/../x", Permission::None),
    ];
    for (login, expected) in table {
        assert_eq!(github.permission(&app(), login).await.unwrap(), expected, "{login}");
    }
    world.fair();
}

#[tokio::test]
async fn r16_a_burst_stays_below_the_points_of_a_minute() {
    let world = World::new().await;
    let github = world.github();
    let mut limited = 0;
    for n in 0..500 {
        let name: RepoName = format!("me/app{n}").parse().unwrap();
        limited += usize::from(matches!(github.repository(&name).await, Err(ForgeError::Limited { .. })));
    }
    assert_eq!((limited, world.fake.request_count()), (51, 450));
    world.clock.advance(seconds(60));
    ask(&github).await.unwrap();
    world.fair();
}

#[tokio::test]
async fn r24_reads_are_tried_again_and_not_forever() {
    let world = World::new().await;
    let github = world.github();
    github.login().await.unwrap();
    world.fake.fail(Fault::bad_gateway());
    world.fake.fail(Fault::drop_connection());
    world.fake.fail(Fault::status(503, "try later"));
    ask(&github).await.unwrap();
    world.fake.fail(Fault::status(500, "down").forever());
    let error = ask(&github).await.unwrap_err();
    assert!(matches!(error, ForgeError::Transient { .. }), "{error}");
    assert_eq!(world.count("GET /repos/{owner}/{repo}"), 8, "four tries each");
    world.fair();
}

#[tokio::test]
async fn r25_final_refusals_are_asked_once() {
    for (status, is_final) in [
        (404, (|e| matches!(e, ForgeError::NotFound(_))) as fn(&ForgeError) -> bool),
        (401, |e| matches!(e, ForgeError::BadCredential(_))),
        (451, |e| matches!(e, ForgeError::Denied { .. })),
        (409, |e| matches!(e, ForgeError::Conflict(_))),
        (422, |e| matches!(e, ForgeError::Unexpected(_))),
        (400, |e| matches!(e, ForgeError::Unexpected(_))),
    ] {
        let world = World::new().await;
        let github = world.github();
        github.login().await.unwrap();
        world.fake.fail(Fault::status(status, "no"));
        let error = ask(&github).await.unwrap_err();
        assert!(is_final(&error), "{status}: {error}");
        assert_eq!(world.count("GET /repos/{owner}/{repo}"), 1);
        world.fair();
    }
}

#[tokio::test]
async fn r32_a_renamed_repository_is_read_and_a_write_goes_to_the_new_name_once() {
    let world = World::new().await;
    let github = world.github();
    world.fake.rename_repo("me/app", "me/application");
    assert_eq!(ask(&github).await.unwrap().name.as_str(), "me/application");
    let error = github.ensure_issue(&draft()).await.unwrap_err();
    assert!(error.to_string().contains("me/app is called me/application now"), "{error}");
    assert!(world.fake.issues_in("me/application").is_empty(), "not followed blindly");
    world.patiently(async || github.ensure_issue(&draft()).await).await.unwrap();
    world.patiently(async || github.ensure_issue(&draft()).await).await.unwrap();
    assert_eq!(world.fake.issues_in("me/application").len(), 1);
    world.fair();
}

#[tokio::test]
async fn r32_a_redirect_to_another_host_is_refused() {
    let world = World::new().await;
    let github = world.github();
    github.login().await.unwrap();
    world.fake.fail(Fault::redirect_elsewhere());
    let error = ask(&github).await.unwrap_err();
    assert!(matches!(&error, ForgeError::Unexpected(why) if why.contains("another host")), "{error}");
    world.fake.fail(Fault::headers("link", &format!("<{}/steal>; rel=\"next\"", world.fake.elsewhere())));
    let error = github.changed_issues(&app(), Timestamp(0)).await.unwrap_err();
    assert!(matches!(&error, ForgeError::Unexpected(why) if why.contains("another host")), "{error}");
    world.fair();
}

#[tokio::test]
async fn r33_a_body_without_end_and_a_silent_server_are_cut_off() {
    let world = World::new().await;
    let limits = Limits { body_bytes: 100_000, request_timeout: Duration::from_secs(1), tries: 2, ..Limits::default() };
    let github = world.github_with(limits);
    github.login().await.unwrap();
    world.fake.fail(Fault::endless_body(50_000, Duration::from_millis(1)));
    let error = ask(&github).await.unwrap_err();
    assert!(matches!(&error, ForgeError::Unexpected(why) if why.contains("longer than 100000 bytes")), "{error}");
    world.fake.fail(Fault::endless_body(1, Duration::from_millis(50)).times(2));
    let error = ask(&github).await.unwrap_err();
    assert!(matches!(error, ForgeError::Transient { .. }), "{error}");
    world.fair();
}

#[tokio::test]
async fn r37_no_error_and_no_memory_tells_the_token() {
    let mut world = World::new().await;
    world.token = world.fake.token_of_length("robot", 8192);
    let github = world.github();
    github.ensure_issue(&draft()).await.unwrap();
    let echo = format!("your token {} is odd", world.token);
    let faults = [
        Fault::status(401, &echo),
        Fault::status(403, &echo).with_header("x-accepted-github-permissions", &world.token),
        Fault::status(404, &echo),
        Fault::status(409, &echo),
        Fault::status(422, &echo),
        Fault::answer(200, &echo),
        Fault::drop_connection().times(4),
    ];
    for fault in faults {
        world.fake.fail(fault);
        let error = format!("{0} {0:?}", ask(&github).await.unwrap_err());
        assert!(!error.contains("ghp_"), "{error}");
    }
    assert!(!world.ledger.text().contains("ghp_"));
    assert!(!format!("{:?}", world.config(Limits::default())).contains("ghp_"));
    world.fair();
}

#[tokio::test]
async fn f47_answers_that_make_no_sense_are_typed_errors() {
    let world = World::new().await;
    let github = world.github();
    github.login().await.unwrap();
    for fault in [Fault::invalid_json(), Fault::html(), Fault::empty_body(), Fault::answer(200, "[1, 2]")] {
        world.fake.fail(fault);
        let error = ask(&github).await.unwrap_err();
        assert!(matches!(error, ForgeError::Unexpected(_)), "{error}");
    }
    world.fair();
}

#[tokio::test]
async fn f47_an_answer_that_makes_no_sense_does_not_come_back_with_a_304() {
    let world = World::new().await;
    let github = world.github();
    world.fake.fail(Fault::field("/full_name", serde_json::Value::Null).on("GET /repos/{owner}/{repo}"));
    let error = ask(&github).await.unwrap_err();
    assert!(matches!(error, ForgeError::Unexpected(_)), "{error}");
    ask(&github).await.unwrap();
    world.fair();
}

#[tokio::test]
async fn f48_a_server_without_limit_headers_is_fine() {
    let world = World::new().await;
    world.fake.fail(Fault::without_rate_headers().forever());
    let github = world.github();
    github.ensure_issue(&draft()).await.unwrap();
    assert!(github.limits().iter().all(|limit| limit.resource != "core"), "nothing is known of it");
    world.fair();
}

#[test]
fn a_token_that_cannot_be_one_is_refused_before_anything_is_sent() {
    for token in ["", "  ", "ghp_a\nb"] {
        let config = GitHubConfig {
            api_url: "http://127.0.0.1:9".parse().unwrap(),
            git_url: None,
            credential: Credential::Token(token.to_owned().into()),
            repositories: Vec::new(),
            marker_key: String::new().into(),
            contact: String::new(),
            limits: Limits::default(),
        };
        let made = GitHub::new(config, Arc::new(MemoryLedger::default()), TestClock::new());
        assert!(matches!(made, Err(SetupError::Client(_))), "{token:?}");
    }
}
