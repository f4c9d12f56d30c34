//! What owners and GitHub itself do with Apps, for stories.

use std::time::Duration;

use serde_json::Value;

use super::super::FakeGitHub;
use super::{Installation, Permissions, Registered, key};

/// An App as its maker knows it.
#[derive(Clone, Debug)]
pub struct App {
    /// Its number.
    pub id: u64,
    /// Its name in addresses; it acts as `slug[bot]`.
    pub slug: String,
    /// Its private key.
    pub private_key: String,
    /// The secret of its webhooks.
    pub webhook_secret: String,
}

/// Which repositories of an owner an installation reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// All, also later ones.
    All,
    /// These, by `owner/name`.
    Only(Vec<String>),
}

/// What [`FakeGitHub::app`] may do everywhere it is installed.
const USUAL: [(&str, &str); 7] = [
    ("metadata", "read"),
    ("contents", "write"),
    ("issues", "write"),
    ("pull_requests", "write"),
    ("checks", "write"),
    ("statuses", "read"),
    ("actions", "read"),
];

fn permissions(pairs: &[(&str, &str)]) -> Permissions {
    pairs.iter().map(|(name, level)| ((*name).to_owned(), (*level).to_owned())).collect()
}

impl FakeGitHub {
    /// Registers an App with all permissions that the service asks for.
    #[must_use]
    pub fn app(&self, slug: &str) -> App {
        self.register(slug, "owner-of-the-app", permissions(&USUAL), Vec::new())
    }

    fn register(&self, slug: &str, owner: &str, permissions: Permissions, events: Vec<String>) -> App {
        let mut world = self.hub.world();
        let id = world.id();
        let (slug, owner, webhook_secret) = (slug.to_owned(), owner.to_owned(), format!("webhook-secret-{id}"));
        let app = App {
            id,
            slug: slug.clone(),
            private_key: key::key().private_pem.clone(),
            webhook_secret: webhook_secret.clone(),
        };
        world.users.insert(format!("{slug}[bot]"));
        world.apps.apps.push(Registered { id, slug, owner, permissions, events, webhook_secret });
        app
    }

    /// Somebody sends the form with an App's manifest; gives the code that GitHub puts into the address it leads to.
    #[must_use]
    pub fn register_from_manifest(&self, owner: &str, manifest: &Value) -> String {
        let name = manifest["name"].as_str().expect("a manifest has a name");
        let slug: String =
            name.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let asked = manifest["default_permissions"].as_object().into_iter().flatten();
        let asked = asked.filter_map(|(name, level)| Some((name.clone(), text(level)?))).collect();
        let events = manifest["default_events"].as_array().into_iter().flatten().filter_map(text).collect();
        let app = self.register(&slug, owner, asked, events);
        let mut world = self.hub.world();
        let code = format!("code{}", world.id());
        let until = self.hub.clock.now().plus(Duration::from_secs(3600));
        world.apps.codes.insert(code.clone(), (app.id, until));
        code
    }

    /// An owner installs an App; gives the installation's id.
    pub fn install(&self, app: &App, owner: &str, selection: Selection) -> u64 {
        let mut world = self.hub.world();
        let (id, created_at) = (world.id(), self.hub.clock.now());
        let permissions = world.apps.app(app.id).expect("the App is registered").permissions.clone();
        world.apps.installations.push(Installation {
            id,
            app: app.id,
            owner: owner.to_owned(),
            selection,
            permissions,
            suspended_at: None,
            removed: false,
            created_at,
        });
        id
    }

    fn with_installation(&self, id: u64, change: impl FnOnce(&mut Installation)) {
        let mut world = self.hub.world();
        change(world.apps.installations.iter_mut().find(|there| there.id == id).expect("it is installed"));
    }

    /// An owner suspends an installation.
    pub fn suspend(&self, installation: u64) {
        let now = self.hub.clock.now();
        self.with_installation(installation, |there| there.suspended_at = Some(now));
    }

    /// An owner lets a suspended installation go on.
    pub fn unsuspend(&self, installation: u64) {
        self.with_installation(installation, |there| there.suspended_at = None);
    }

    /// An owner removes an App; its tokens are dead.
    pub fn uninstall(&self, installation: u64) {
        self.with_installation(installation, |there| there.removed = true);
    }

    /// An owner removes an App and installs it again: the same, under a new id.
    pub fn reinstall(&self, app: &App, installation: u64) -> u64 {
        let mut old = None;
        self.with_installation(installation, |there| {
            there.removed = true;
            old = Some((there.owner.clone(), there.selection.clone()));
        });
        let (owner, selection) = old.expect("it was installed");
        self.install(app, &owner, selection)
    }

    /// An owner changes which repositories an installation reaches.
    pub fn select(&self, installation: u64, selection: Selection) {
        self.with_installation(installation, |there| there.selection = selection);
    }

    /// An owner grants an installation exactly these permissions.
    pub fn grant(&self, installation: u64, pairs: &[(&str, &str)]) {
        self.with_installation(installation, |there| there.permissions = permissions(pairs));
    }

    /// For so long a new token of an installation is answered with this status: 401, 403 or 404.
    pub fn new_tokens_are_unknown_for(&self, wait: Duration, status: u16) {
        self.hub.world().apps.unknown = Some((wait, status));
    }

    /// How many characters new tokens of installations have; about 40 unless told.
    pub fn set_token_length(&self, length: usize) {
        self.hub.world().apps.token_length = length;
    }

    /// Makes every token of every installation invalid.
    pub fn revoke_installation_tokens(&self) {
        self.hub.world().apps.tokens.values_mut().for_each(|token| token.revoked = true);
    }

    /// All tokens of installations that were ever minted, with whether they still live.
    #[must_use]
    pub fn installation_tokens(&self) -> Vec<(String, bool)> {
        let world = self.hub.world();
        world.apps.tokens.iter().map(|(text, token)| (text.clone(), !token.revoked)).collect()
    }

    /// Puts the server's clock ahead of the tests' by so many seconds, or behind.
    pub fn put_clock_ahead(&self, seconds: i64) {
        self.hub.world().apps.ahead_ms = seconds * 1000;
    }
}
