//! GitHub (and GitHub Enterprise Server) over REST and GraphQL, with a token or as a GitHub App.
//!
//! **Definition.** [`GitHub`] is the [`Forge`] of the accounts of one credential on one server. It knows GitHub's JSON; nobody else does.
//!
//! **Wanted properties.** Fast and polite: unchanged things cost nothing, every published limit is kept with room to
//! spare, nothing is created twice, the token leaves for one origin only and stands in no text.
//!
//! **Design.** `wire` is the way to the host, `client` sends one request of one actor, `governor` says when,
//! `conditional` asks only for changes, `route` remembers what the host does on each route, `writes` creates once, `graphql` asks for many
//! repositories at once;
//! `repositories`, `issues`, `pulls`, `checks`, `open_issues`, `head`, `alerts` and `blame` are the calls. What has to survive a restart is in the
//! [`Ledger`].

mod alerts;
mod archive;
mod auth;
#[cfg(feature = "bench")]
pub mod bench;
mod blame;
mod changes;
mod checks;
mod client;
mod conditional;
mod deliveries;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod governor;
mod graphql;
mod head;
mod issues;
mod limit;
pub mod manifest;
mod model;
mod open_issues;
mod pulls;
mod repositories;
mod route;
pub mod webhook;
mod wire;
mod writes;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use backlog::alert::AlertKind;
use backlog::approval::Permission;
use backlog::delivery::Delivery;
use backlog::names::{CommitId, RepoName, TaskId};
use backlog::review::PullStatus;
use backlog::task::{IssueLink, Pull};
use backlog::time::{Clock, Timestamp};
use bytes::Bytes;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::{
    Activity, Alerts, Change, Forge, ForgeError, GitAccess, GitUse, HeadChecks, IssueDraft, IssuePatch, IssueView,
    Known, Ledger, LimitView, Line, Missed, OpenIssue, Origin, PullDraft, RepositoryView, Tip, Undelivered,
    Unreachable,
};
pub use alerts::permission as alert_permission;
use auth::{Auth, Scope};
pub use auth::{Credential, NEEDED};
use changes::Queries;
use client::{Account, Client, Failure};
use governor::RealSleep;
pub use governor::{Limits, Sleep, urgent};
use graphql::Batches;
use repositories::Selection;
use wire::Wire;
use writes::Locks;

/// How to reach GitHub, and what of it is meant.
#[derive(Clone, Debug)]
pub struct GitHubConfig {
    /// `https://api.github.com`, or `https://host/api/v3` of an enterprise server.
    pub api_url: Url,
    /// Where git repositories are; `None` derives it from `api_url`.
    pub git_url: Option<Url>,
    /// What it acts with.
    pub credential: Credential,
    /// Globs over `owner/name`; those with `!` take away.
    pub repositories: Vec<String>,
    /// The key of the hidden markers. Who loses it loses the markers, not the intents.
    pub marker_key: SecretString,
    /// An address where GitHub's operators reach whoever runs this.
    pub contact: String,
    /// The paces.
    pub limits: Limits,
}

/// Why a configuration cannot work.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A pattern of repositories is none.
    #[error("`{0}` selects no repositories: {1}")]
    Pattern(String, String),
    /// The token, the contact or the system does not allow a client.
    #[error("GitHub cannot be reached with this configuration: {0}")]
    Client(String),
}

/// See the module.
pub struct GitHub {
    wire: Arc<Wire>,
    auth: Auth,
    git_url: Url,
    marker_key: SecretString,
    selection: Selection,
    ledger: Arc<dyn Ledger>,
    clock: Arc<dyn Clock>,
    locks: Locks,
    /// The repositories where nothing of an earlier process is open any more.
    settled: Mutex<BTreeSet<RepoName>>,
    labels: Mutex<BTreeSet<(RepoName, String)>>,
    permissions: Mutex<Permissions>,
    batches: Batches,
    blames: blame::Blames,
    queries: Mutex<Queries>,
    unreachable: Mutex<Vec<Unreachable>>,
    unread_alerts: Mutex<alerts::Unread>,
    /// Where redirects of writes led.
    renamed: Mutex<BTreeMap<RepoName, RepoName>>,
}

type Permissions = BTreeMap<(RepoName, String), (Permission, Timestamp)>;

impl GitHub {
    /// The GitHub of this configuration. Nothing is sent yet.
    ///
    /// # Errors
    /// [`SetupError`] when a pattern or the token cannot be one.
    pub fn new(config: GitHubConfig, ledger: Arc<dyn Ledger>, clock: Arc<dyn Clock>) -> Result<Self, SetupError> {
        Self::with_sleep(config, ledger, clock, Arc::new(RealSleep))
    }

    /// As [`GitHub::new`], with an own way to let time pass: a test moves its clock instead of waiting.
    ///
    /// # Errors
    /// As [`GitHub::new`].
    pub fn with_sleep(
        config: GitHubConfig,
        ledger: Arc<dyn Ledger>,
        clock: Arc<dyn Clock>,
        sleep: Arc<dyn Sleep>,
    ) -> Result<Self, SetupError> {
        let GitHubConfig { api_url, git_url, credential, repositories, marker_key, contact, limits } = config;
        let git_url = git_url.unwrap_or_else(|| derived_git_url(&api_url));
        let user_agent = format!("ccm/{} (Claude Code Manager; {contact})", env!("CARGO_PKG_VERSION"));
        let wire = Wire::new(api_url, &user_agent, limits, Arc::clone(&ledger), Arc::clone(&clock), sleep);
        let wire = Arc::new(wire.map_err(SetupError::Client)?);
        Ok(Self {
            auth: Auth::new(&wire, credential).map_err(SetupError::Client)?,
            wire,
            git_url,
            marker_key,
            selection: Selection::new(&repositories)?,
            ledger,
            batches: Batches::of_at_most(changes::MOST_AT_ONCE, clock.now()),
            blames: blame::Blames::new(clock.now()),
            queries: Mutex::default(),
            clock,
            locks: Locks::default(),
            settled: Mutex::default(),
            labels: Mutex::default(),
            permissions: Mutex::default(),
            unreachable: Mutex::default(),
            unread_alerts: Mutex::default(),
            renamed: Mutex::default(),
        })
    }

    /// The client of the actor that works in a repository.
    async fn client_of(&self, repository: &RepoName) -> Result<Arc<Client>, Failure> {
        self.auth.client_of(&self.present(repository)).await
    }

    /// The account that acts.
    async fn us(&self) -> Result<&Account, Failure> {
        self.auth.us().await
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn key(&self) -> &[u8] {
        self.marker_key.expose_secret().as_bytes()
    }

    fn labels(&self) -> MutexGuard<'_, BTreeSet<(RepoName, String)>> {
        self.labels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn settled(&self) -> MutexGuard<'_, BTreeSet<RepoName>> {
        self.settled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn permissions(&self) -> MutexGuard<'_, Permissions> {
        self.permissions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where git is when only the API's address is known.
fn derived_git_url(api_url: &Url) -> Url {
    let mut url = api_url.clone();
    url.set_query(None);
    url.set_fragment(None);
    let path = url.path().trim_end_matches('/').trim_end_matches("/api/v3").to_owned();
    url.set_path(&path);
    if url.host_str() == Some("api.github.com") && url.set_host(Some("github.com")).is_err() {
        return api_url.clone();
    }
    url
}

#[async_trait]
impl Forge for GitHub {
    fn has_issues(&self) -> bool {
        true
    }

    async fn login(&self) -> Result<String, ForgeError> {
        match &self.auth {
            // An App that is not installed yet has a name already.
            Auth::App(app) => Ok(app.login().await?),
            Auth::Token(client) => Ok(client.account().await?.login.clone()),
        }
    }

    async fn repositories(&self) -> Result<Vec<RepositoryView>, ForgeError> {
        self.repositories_of_selection().await
    }

    async fn changes(&self, known: &[Known]) -> Result<Vec<(RepoName, Change)>, ForgeError> {
        self.changes_of(known).await
    }

    async fn tip(&self, name: &RepoName) -> Result<Option<Tip>, ForgeError> {
        self.tip_of(name).await
    }

    async fn archive(&self, name: &RepoName, commit: &CommitId) -> Result<Option<Bytes>, ForgeError> {
        self.archive_of(name, commit).await
    }

    fn unreachable(&self) -> Vec<Unreachable> {
        self.unreachable.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn repository(&self, name: &RepoName) -> Result<RepositoryView, ForgeError> {
        self.repository_view(name).await
    }

    async fn git_access(&self, name: &RepoName, git_use: GitUse) -> Result<GitAccess, ForgeError> {
        let mut url = self.git_url.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend([name.owner(), &format!("{}.git", name.name())]);
        }
        let client = self.client_of(name).await?;
        let token = match git_use {
            GitUse::Read => client.token(&Scope::Read).await?,
            GitUse::Push => client.token_to_push(name).await?,
        };
        let login = Some(("x-access-token".to_owned(), token.secret.clone()));
        Ok(GitAccess { url: url.to_string(), login })
    }

    async fn give_back(&self, name: &RepoName, password: &SecretString) {
        let revoked = match self.client_of(name).await {
            Ok(client) => client.revoke(password).await,
            Err(failure) => Err(failure),
        };
        if let Err(failure) = revoked {
            let error = ForgeError::from(failure);
            tracing::info!(repository = %name, %error, "a token for a push ends by itself within the hour");
        }
    }

    async fn permission(&self, repository: &RepoName, login: &str) -> Result<Permission, ForgeError> {
        self.permission_of(repository, login).await
    }

    async fn ensure_issue(&self, draft: &IssueDraft) -> Result<IssueView, ForgeError> {
        self.ensure_issue_of(draft).await
    }

    async fn proposals(&self, repository: &RepoName) -> Result<Vec<(TaskId, IssueView)>, ForgeError> {
        self.proposals_of(repository).await
    }

    async fn changed_issues(&self, repository: &RepoName, since: Timestamp) -> Result<Vec<IssueView>, ForgeError> {
        self.changed_issues_of(repository, since).await
    }

    async fn open_issues(&self, repository: &RepoName, labels: &[String]) -> Result<Vec<OpenIssue>, ForgeError> {
        self.open_issues_of(repository, labels).await
    }

    async fn issue(&self, issue: &IssueLink) -> Result<IssueView, ForgeError> {
        let found = self.issue_model(&issue.repository, issue.number).await?;
        Ok(self.issue_view(&issue.repository, &found))
    }

    async fn origins(&self, lines: &[Line]) -> Vec<Origin> {
        self.origins_of(lines).await
    }

    async fn head_checks(&self, repository: &RepoName, head: &CommitId) -> Result<HeadChecks, ForgeError> {
        self.head_checks_of(repository, head).await
    }

    async fn alerts(&self, repository: &RepoName, kinds: &[AlertKind]) -> Result<Alerts, ForgeError> {
        self.alerts_of(repository, kinds).await
    }

    async fn activity(&self, issue: &IssueLink) -> Result<Vec<Activity>, ForgeError> {
        self.activity_of(issue).await
    }

    async fn update_issue(&self, issue: &IssueLink, patch: &IssuePatch) -> Result<(), ForgeError> {
        self.update_issue_of(issue, patch).await
    }

    async fn ensure_comment(&self, issue: &IssueLink, task: &TaskId, name: &str, body: &str) -> Result<(), ForgeError> {
        self.ensure_comment_of(issue, task, name, body).await
    }

    async fn ensure_pull_request(&self, draft: &PullDraft) -> Result<Pull, ForgeError> {
        self.ensure_pull_request_of(draft).await
    }

    async fn pull_status(&self, repository: &RepoName, pull: &Pull, _base: &str) -> Result<PullStatus, ForgeError> {
        self.pull_status_of(repository, pull).await
    }

    async fn merge(&self, repository: &RepoName, pull: &Pull, base: &str, message: &str) -> Result<(), ForgeError> {
        self.merge_of(repository, pull, base, message).await
    }

    async fn close_pull(&self, repository: &RepoName, pull: &Pull) -> Result<(), ForgeError> {
        self.close_pull_of(repository, pull).await
    }

    async fn undelivered(&self, since: Timestamp) -> Result<Option<Undelivered>, ForgeError> {
        match self.auth.app() {
            Some(app) => Ok(Some(deliveries::undelivered(app, since, deliveries::PAGES).await?)),
            None => Ok(None),
        }
    }

    async fn delivery(&self, missed: &Missed) -> Result<Delivery, ForgeError> {
        match self.auth.app() {
            Some(app) => Ok(deliveries::delivery(app, missed).await?),
            None => Err(ForgeError::NotFound(format!("the delivery {}", missed.guid))),
        }
    }

    async fn is_us(&self, account: u64) -> Result<bool, ForgeError> {
        Ok(self.us().await?.id == account)
    }

    fn limits(&self) -> Vec<LimitView> {
        self.auth.clients().iter().flat_map(|client| client.governor.view()).collect()
    }

    fn notices(&self) -> Vec<String> {
        let tokens = self.auth.clients().iter().filter_map(|client| client.notice()).collect();
        [vec![self.way_of_asking()], self.alert_notices(), tokens, self.wire.routes.notices()].concat()
    }
}

#[cfg(test)]
mod soak;
#[cfg(test)]
mod tests;
