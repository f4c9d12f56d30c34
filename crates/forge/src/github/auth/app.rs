//! A GitHub App and the accounts where it is installed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use backlog::time::Timestamp;
use tokio::sync::OnceCell;

use super::super::client::{Account, Client, Failure};
use super::super::model;
use super::super::wire::Wire;
use super::token::{covers, refused};
use super::{Bearer, Minter, Signer};

/// Everything that the service does needs these permissions of a token or an App.
pub const NEEDED: [(&str, &str); 7] = [
    ("metadata", "read"),
    ("contents", "write"),
    ("issues", "write"),
    ("pull_requests", "write"),
    ("checks", "read"),
    ("statuses", "read"),
    ("actions", "read"),
];

/// Pages of installations: 10,000 of them.
const PAGES: usize = 100;
/// How long one waits before it looks again for an installation that was not there.
const AGAIN: Duration = Duration::from_secs(60);

/// The App in one account.
pub(in super::super) struct Installed {
    pub(in super::super) owner: String,
    pub(in super::super) client: Arc<Client>,
    pub(in super::super) suspended: bool,
    pub(in super::super) permissions: BTreeMap<String, String>,
}

impl Installed {
    /// What it lacks of [`NEEDED`], as `name: level`.
    pub(in super::super) fn lacks(&self) -> Vec<String> {
        let lacks = NEEDED.iter().filter(|(name, level)| !covers(self.permissions.get(*name), level));
        lacks.map(|(name, level)| format!("{name}: {level}")).collect()
    }

    /// Its client, or why nothing can be done there.
    pub(in super::super) fn works(&self) -> Result<&Arc<Client>, Failure> {
        let lacks: Vec<String> = self.lacks().into_iter().filter(|lack| lack.ends_with("write")).collect();
        if self.suspended {
            return Err(refused(&self.owner, "its installation is suspended"));
        }
        match lacks.is_empty() {
            true => Ok(&self.client),
            false => Err(refused(&self.owner, &format!("its installation lacks the permission {}", lacks.join(", ")))),
        }
    }

    fn minter(&self) -> Option<&Minter> {
        if let Bearer::Installation(minter) = &self.client.bearer { Some(minter) } else { None }
    }
}

/// An account without the App.
pub(in super::super) fn not_installed(owner: &str) -> Failure {
    refused(owner, "the App is not installed there")
}

/// See the module.
pub(in super::super) struct App {
    wire: Arc<Wire>,
    pub(super) client: Arc<Client>,
    bot: OnceCell<Account>,
    /// By owner in small letters.
    known: Mutex<BTreeMap<String, Arc<Installed>>>,
    listed_at: tokio::sync::Mutex<Option<Timestamp>>,
}

impl App {
    pub(super) fn new(wire: &Arc<Wire>, signer: Signer) -> Self {
        Self {
            client: Arc::new(Client::new(Arc::clone(wire), Bearer::App(signer))),
            wire: Arc::clone(wire),
            bot: OnceCell::new(),
            known: Mutex::default(),
            listed_at: tokio::sync::Mutex::default(),
        }
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Installed>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All installations, as GitHub lists them now.
    pub(in super::super) async fn installations(&self) -> Result<Vec<Arc<Installed>>, Failure> {
        let mut listed_at = self.listed_at.lock().await;
        self.list().await?;
        *listed_at = Some(self.wire.clock.now());
        Ok(self.known().values().cloned().collect())
    }

    async fn list(&self) -> Result<(), Failure> {
        let url = self.wire.url(&["app", "installations"], &[("per_page", "100")]);
        let listed: Vec<model::Installation> = self.client.pages(url, PAGES).await?;
        let mut known = self.known();
        let mut before = std::mem::take(&mut *known);
        for model::Installation { id, account, permissions, suspended_at } in listed {
            let owner = account.login.to_ascii_lowercase();
            let same = before.remove(&owner).filter(|there| there.minter().is_some_and(|minter| minter.id() == id));
            let client = match &same {
                Some(there) => Arc::clone(&there.client),
                None => {
                    let minter = Minter::new(Arc::clone(&self.client), account.login.clone(), id, permissions.clone());
                    Arc::new(Client::new(Arc::clone(&self.wire), Bearer::Installation(minter)))
                }
            };
            let suspended = suspended_at.is_some();
            let there = Installed { owner: account.login, client, suspended, permissions };
            if let Some(minter) = there.minter() {
                minter.granted().clone_from(&there.permissions);
            }
            known.insert(owner, Arc::new(there));
        }
        Ok(())
    }

    /// The installation in an account; looks for a new one at most once a minute.
    async fn of(&self, owner: &str) -> Result<Arc<Installed>, Failure> {
        let key = owner.to_ascii_lowercase();
        if let Some(there) = self.known().get(&key) {
            return Ok(Arc::clone(there));
        }
        let mut listed_at = self.listed_at.lock().await;
        if listed_at.is_none_or(|at| self.wire.clock.now().since(at) >= AGAIN) {
            self.list().await?;
            *listed_at = Some(self.wire.clock.now());
        }
        self.known().get(&key).cloned().ok_or_else(|| not_installed(owner))
    }

    pub(super) async fn client_of(&self, owner: &str) -> Result<Arc<Client>, Failure> {
        Ok(Arc::clone(self.of(owner).await?.works()?))
    }

    pub(super) fn clients(&self) -> Vec<Arc<Client>> {
        let mut clients = vec![Arc::clone(&self.client)];
        clients.extend(self.known().values().map(|there| Arc::clone(&there.client)));
        clients
    }

    /// `slug[bot]`.
    pub(in super::super) async fn login(&self) -> Result<String, Failure> {
        Ok(format!("{}[bot]", self.client.account().await?.login))
    }

    pub(super) async fn us(&self) -> Result<&Account, Failure> {
        let ask = || async {
            let login = self.login().await?;
            if self.known().is_empty() {
                self.installations().await?;
            }
            let there = self.known().values().find(|there| !there.suspended).cloned();
            let there = there.ok_or_else(|| refused("any account", "the App is not installed anywhere"))?;
            let user: model::User = there.client.get_json(&self.wire.url(&["users", &login], &[])).await?;
            Ok(Account { id: user.id, login })
        };
        // In a box: it is asked once, and whoever waits for something else would hold the room for it.
        self.bot.get_or_try_init(|| Box::pin(ask())).await
    }
}
