//! GitHub Apps: who they are, where they are installed, and what their tokens may do.
//!
//! **Definition.** An App calls with a JSON web token of its own key; it mints tokens for its installations, which act
//! as `slug[bot]`. A token is good for one hour of virtual time, for the repositories and permissions it was asked for,
//! and, when a story says so, unknown for its first seconds.
//!
//! **Wanted properties.** Nothing that the real one refuses is let through: signatures, times, scopes, suspended and
//! removed installations.

mod key;
mod rules;
mod tokens;
mod verbs;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use backlog::time::Timestamp;
use serde_json::{Value, json};

use super::call::{Answer, Call, Reply};
use super::render;
use super::world::{Repository, World};

pub(super) use rules::{admit, admit_git, sees};
pub(super) use tokens::{caller, mint, revoke};
pub use verbs::{App, Selection};

/// Permissions by name: `read` or `write`.
pub(super) type Permissions = BTreeMap<String, String>;

/// A registered App.
#[derive(Debug)]
pub(super) struct Registered {
    pub(super) id: u64,
    pub(super) slug: String,
    pub(super) owner: String,
    pub(super) permissions: Permissions,
    pub(super) events: Vec<String>,
    pub(super) webhook_secret: String,
}

impl Registered {
    /// The login it acts with.
    pub(super) fn bot(&self) -> String {
        format!("{}[bot]", self.slug)
    }
}

/// One App in one account.
#[derive(Debug)]
pub(super) struct Installation {
    pub(super) id: u64,
    pub(super) app: u64,
    pub(super) owner: String,
    pub(super) selection: Selection,
    pub(super) permissions: Permissions,
    pub(super) suspended_at: Option<Timestamp>,
    pub(super) removed: bool,
    pub(super) created_at: Timestamp,
}

impl Installation {
    fn reaches(&self, repo: &Repository) -> bool {
        let chosen = match &self.selection {
            Selection::All => true,
            Selection::Only(names) => {
                names.iter().any(|name| repo.has_name(name) || repo.former_names.iter().any(|old| old == name))
            }
        };
        chosen && repo.owner.eq_ignore_ascii_case(&self.owner)
    }
}

/// A token of an installation.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) installation: u64,
    /// Only these repositories; all of the installation when `None`.
    pub(super) repositories: Option<BTreeSet<u64>>,
    pub(super) permissions: Permissions,
    pub(super) minted: Timestamp,
    pub(super) revoked: bool,
}

/// What an installation's token lets its bearer do, as of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Grant {
    pub(super) token: String,
    pub(super) installation: u64,
    /// The limits' name of the installation.
    pub(super) name: String,
    pub(super) bot: String,
    pub(super) repositories: BTreeSet<u64>,
    pub(super) permissions: Permissions,
}

/// Everything about Apps.
#[derive(Debug, Default)]
pub(super) struct Apps {
    pub(super) apps: Vec<Registered>,
    pub(super) installations: Vec<Installation>,
    pub(super) tokens: BTreeMap<String, Token>,
    /// Codes of the manifest flow: the App and when the code ends.
    pub(super) codes: BTreeMap<String, (u64, Timestamp)>,
    /// For how long a new token is unknown, and what is answered to it.
    pub(super) unknown: Option<(Duration, u16)>,
    pub(super) token_length: usize,
    /// How far the server's clock is ahead of the tests' (behind when negative).
    pub(super) ahead_ms: i64,
}

impl Apps {
    pub(super) fn app(&self, id: u64) -> Option<&Registered> {
        self.apps.iter().find(|app| app.id == id)
    }

    pub(super) fn installation(&self, id: u64) -> Option<&Installation> {
        self.installations.iter().find(|installation| installation.id == id && !installation.removed)
    }

    /// The time as the server sees it.
    pub(super) fn time(&self, now: Timestamp) -> Timestamp {
        Timestamp(now.0 + self.ahead_ms)
    }
}

impl World {
    /// The ids of the repositories that an installation reaches.
    pub(super) fn installed(&self, installation: &Installation) -> BTreeSet<u64> {
        self.repos.iter().filter(|repo| installation.reaches(repo)).map(|repo| repo.id).collect()
    }

    /// Whether `login` is the bot of an App that is installed on a repository.
    pub(super) fn is_bot_of(&self, repo: usize, login: &str) -> bool {
        let Some(app) = self.apps.apps.iter().find(|app| app.bot() == login) else { return false };
        let live = self.apps.installations.iter().filter(|there| !there.removed && there.suspended_at.is_none());
        live.into_iter().any(|there| there.app == app.id && there.reaches(&self.repos[repo]))
    }
}

/// `GET /app`
pub(super) fn me(call: &Call, world: &mut World) -> Reply {
    let app = world.apps.app(call.app()?).ok_or_else(Answer::not_found)?;
    Ok(Answer::ok(app_json(call, world, app)))
}

/// An App as GitHub shows it.
pub(super) fn app_json(call: &Call, world: &World, app: &Registered) -> Value {
    let count = world.apps.installations.iter().filter(|there| there.app == app.id && !there.removed).count();
    let born = "2020-01-01T00:00:00Z";
    json!({
        "id": app.id, "client_id": client_id(app.id), "slug": app.slug, "node_id": render::node("App", app.id),
        "owner": render::user(&call.base, &app.owner, "User"), "name": app.slug, "description": "",
        "external_url": "https://example.org", "html_url": format!("{}/apps/{}", call.base, app.slug),
        "created_at": born, "updated_at": born, "permissions": app.permissions, "events": app.events,
        "installations_count": count,
    })
}

/// The other name of an App.
pub(super) fn client_id(app: u64) -> String {
    format!("Iv23li{app:014}")
}

fn installation_json(call: &Call, world: &World, installation: &Installation) -> Value {
    let (base, id) = (&call.base, installation.id);
    let kind = if world.organizations.contains(&installation.owner) { "Organization" } else { "User" };
    let slug = world.apps.app(installation.app).map_or("", |app| app.slug.as_str());
    let selected = if installation.selection == Selection::All { "all" } else { "selected" };
    let at = installation.created_at.to_string();
    json!({
        "id": id, "account": render::user(base, &installation.owner, kind), "app_id": installation.app,
        "client_id": client_id(installation.app), "app_slug": slug, "target_id": render::user_id(&installation.owner),
        "target_type": kind, "repository_selection": selected, "permissions": installation.permissions, "events": [],
        "access_tokens_url": format!("{base}/app/installations/{id}/access_tokens"),
        "repositories_url": format!("{base}/installation/repositories"), "html_url": format!("{base}/settings/installations/{id}"),
        "created_at": at, "updated_at": at, "single_file_name": null, "has_multiple_single_files": false,
        "single_file_paths": [], "suspended_at": installation.suspended_at.map(|at| at.to_string()), "suspended_by": null,
    })
}

/// `GET /app/installations`
pub(super) fn installations(call: &Call, world: &mut World) -> Reply {
    let app = call.app()?;
    let mine = world.apps.installations.iter().filter(|there| there.app == app && !there.removed);
    Ok(call.page(mine.map(|there| installation_json(call, world, there)).collect()))
}

/// `GET /app/installations/{installation_id}`
pub(super) fn installation(call: &Call, world: &mut World) -> Reply {
    let (app, id) = (call.app()?, call.number("installation_id")?);
    let found = world.apps.installation(id).filter(|there| there.app == app).ok_or_else(Answer::not_found)?;
    Ok(Answer::ok(installation_json(call, world, found)))
}

/// `GET /repos/{owner}/{repo}/installation`
pub(super) fn of_repository(call: &Call, world: &mut World) -> Reply {
    let app = call.app()?;
    let at = call.here(world)?;
    let there = |found: &&Installation| found.app == app && !found.removed && found.reaches(&world.repos[at]);
    let found = world.apps.installations.iter().find(there).ok_or_else(Answer::not_found)?;
    Ok(Answer::ok(installation_json(call, world, found)))
}

/// `GET /orgs/{org}/installation` and `GET /users/{username}/installation`
pub(super) fn of_account(call: &Call, world: &mut World) -> Reply {
    let app = call.app()?;
    let (org, user) = (call.param("org"), call.param("username"));
    let owner = if org.is_empty() { user } else { org };
    let there = |found: &&Installation| found.app == app && !found.removed && found.owner.eq_ignore_ascii_case(owner);
    let found = world.apps.installations.iter().find(there).ok_or_else(Answer::not_found)?;
    Ok(Answer::ok(installation_json(call, world, found)))
}

/// `POST /app-manifests/{code}/conversions`: good once, within an hour.
pub(super) fn convert(call: &Call, world: &mut World) -> Reply {
    let (app, until) = world.apps.codes.remove(call.param("code")).ok_or_else(Answer::not_found)?;
    if call.now >= until {
        return Err(Answer::not_found());
    }
    let app = world.apps.app(app).ok_or_else(Answer::not_found)?;
    let mut body = app_json(call, world, app);
    let secrets = json!({
        "pem": key::key().private_pem, "webhook_secret": app.webhook_secret,
        "client_secret": format!("{:0>40}", app.id),
    });
    render::merge_into(&mut body, secrets);
    Ok(Answer::json(201, body))
}
