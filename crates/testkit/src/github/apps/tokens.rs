//! The credentials of Apps: web tokens that they sign, and the tokens of their installations.

use std::collections::BTreeSet;
use std::time::Duration;

use backlog::time::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::call::{Answer, Call, Reply};
use super::super::credentials::Actor;
use super::super::render;
use super::super::world::World;
use super::{Apps, Grant, Permissions, Token, client_id, key};

/// How long a token of an installation is good.
const LIFE: Duration = Duration::from_secs(3600);
/// The most repositories that one token can name.
const MOST: usize = 500;

#[derive(Deserialize)]
struct Claims {
    iss: Value,
    iat: i64,
    exp: i64,
}

/// Who bears this token, when it belongs to an App or an installation.
pub(in super::super) fn caller(world: &World, token: &str, now: Timestamp) -> Option<Actor> {
    if let Some(found) = world.apps.tokens.get(token) {
        return Some(bearer(world, token, found, now));
    }
    let parts = token.split('.').count();
    (parts == 3).then(|| app_of(&world.apps, token, now).map_or_else(Actor::Refused, Actor::App))
}

fn bearer(world: &World, token: &str, found: &Token, now: Timestamp) -> Actor {
    let bad = || Actor::Refused(Answer::error(401, "Bad credentials"));
    if let Some((wait, status)) = world.apps.unknown
        && now.since(found.minted) < wait
    {
        let text = match status {
            401 => "Bad credentials",
            403 => "Resource not accessible by integration",
            _ => "Not Found",
        };
        return Actor::Refused(Answer::error(status, text));
    }
    if found.revoked || now.since(found.minted) >= LIFE {
        return bad();
    }
    let Some(installation) = world.apps.installation(found.installation) else { return bad() };
    if installation.suspended_at.is_some() {
        return Actor::Refused(Answer::error(403, "This installation has been suspended"));
    }
    let mut repositories = world.installed(installation);
    if let Some(only) = &found.repositories {
        repositories.retain(|id| only.contains(id));
    }
    // What the owner took back since the token was minted is gone for it too.
    let still = |(name, level): (&String, &String)| {
        let granted = installation.permissions.get(name)?;
        Some((name.clone(), if granted == "read" { granted.clone() } else { level.clone() }))
    };
    Actor::Installation(Box::new(Grant {
        token: token.to_owned(),
        installation: installation.id,
        name: format!("installation-{}", installation.id),
        bot: world.apps.app(installation.app).map(super::Registered::bot).unwrap_or_default(),
        repositories,
        permissions: found.permissions.iter().filter_map(still).collect(),
    }))
}

/// The App that signed a web token, or why it is refused.
fn app_of(apps: &Apps, token: &str, now: Timestamp) -> Result<u64, Answer> {
    let refused = |text: &str| Answer::error(401, text);
    let mut validation = Validation::new(Algorithm::RS256);
    validation.validate_exp = false;
    validation.required_spec_claims.clear();
    let public = DecodingKey::from_rsa_der(&key::key().public_der);
    let claims = decode::<Claims>(token, &public, &validation)
        .map_err(|_| refused("A JSON web token could not be decoded"))?
        .claims;
    let now = apps.time(now).0 / 1000;
    if claims.exp <= now {
        return Err(refused(
            "'Expiration time' claim ('exp') must be a numeric value representing the future time at which the assertion expires",
        ));
    }
    if claims.exp > now + 600 {
        return Err(refused("'Expiration time' claim ('exp') is too far in the future"));
    }
    if claims.iat > now {
        return Err(refused(
            "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued",
        ));
    }
    let issuer = claims.iss.as_str().map_or_else(|| claims.iss.to_string(), str::to_owned);
    let named = |app: &&super::Registered| issuer == app.id.to_string() || issuer == client_id(app.id);
    apps.apps.iter().find(named).map(|app| app.id).ok_or_else(|| Answer::error(404, "Integration not found"))
}

/// `POST /app/installations/{installation_id}/access_tokens`
pub(in super::super) fn mint(call: &Call, world: &mut World) -> Reply {
    let (app, id) = (call.app()?, call.number("installation_id")?);
    let installation = world.apps.installation(id).filter(|there| there.app == app).ok_or_else(Answer::not_found)?;
    if installation.suspended_at.is_some() {
        return Err(Answer::error(403, "This installation has been suspended"));
    }
    let permissions = asked_permissions(call, &installation.permissions)?;
    let repositories = asked_repositories(call, world, &world.installed(installation))?;
    let minted = call.now;
    let selected = if repositories.is_some() { "selected" } else { "all" };
    let token = format!("ghs_{app}_{:0>width$}", world.id(), width = world.apps.token_length.saturating_sub(6));
    let mut body = json!({
        "token": token, "expires_at": world.apps.time(minted.plus(LIFE)).to_string(), "permissions": permissions,
        "repository_selection": selected,
    });
    if let Some(ids) = &repositories {
        let at: Vec<usize> = (0..world.repos.len()).filter(|at| ids.contains(&world.repos[*at].id)).collect();
        body["repositories"] = at.into_iter().map(|at| render::repository(call, world, at, false)).collect();
    }
    world.apps.tokens.insert(token, Token { installation: id, repositories, permissions, minted, revoked: false });
    Ok(Answer::json(201, body))
}

fn asked_permissions(call: &Call, granted: &Permissions) -> Result<Permissions, Answer> {
    let Some(asked) = call.body.get("permissions").and_then(Value::as_object) else { return Ok(granted.clone()) };
    let mut found = Permissions::new();
    for (name, level) in asked {
        let level = level.as_str().unwrap_or_default();
        match (granted.get(name).map(String::as_str), level) {
            (Some("write"), "read" | "write") | (Some("read"), "read") => {
                found.insert(name.clone(), level.to_owned());
            }
            _ => {
                return Err(Answer::error(422, "The permissions requested are not granted to this installation."));
            }
        }
    }
    // Whoever sees anything sees the metadata.
    found.insert("metadata".to_owned(), "read".to_owned());
    Ok(found)
}

fn asked_repositories(call: &Call, world: &World, there: &BTreeSet<u64>) -> Result<Option<BTreeSet<u64>>, Answer> {
    let names = call.texts("repositories");
    let ids = call.body.get("repository_ids").and_then(Value::as_array);
    if names.is_empty() && ids.is_none() {
        return Ok(None);
    }
    let mut found: BTreeSet<u64> = ids.into_iter().flatten().filter_map(Value::as_u64).collect();
    let named = |name: &String| {
        let mine = world.repos.iter().filter(|repo| there.contains(&repo.id));
        mine.into_iter().find(|repo| repo.name.eq_ignore_ascii_case(name)).map_or(0, |repo| repo.id)
    };
    found.extend(names.iter().map(named));
    if found.len() > MOST || !found.is_subset(there) {
        return Err(Answer::error(
            422,
            "There is at least one repository that does not exist or is not accessible to the parent installation.",
        ));
    }
    Ok(Some(found))
}

/// `DELETE /installation/token`
pub(in super::super) fn revoke(call: &Call, world: &mut World) -> Reply {
    let grant = call.grant.as_ref().ok_or_else(|| Answer::error(403, "Resource not accessible by integration"))?;
    if let Some(token) = world.apps.tokens.get_mut(&grant.token) {
        token.revoked = true;
    }
    Ok(Answer::empty(204))
}
