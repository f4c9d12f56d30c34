//! Git over HTTP: the real `git http-backend`, behind GitHub's rules about who may read and push.

use std::sync::Arc;

use anyhow::Result;

use super::apps;
use super::call::{Answer, Payload};
use super::cgi;
use super::credentials::Actor;
use super::hub::Hub;
use super::permission::Permission;
use super::serve::Arrived;
use super::world::Found;

/// Answers one request below `/{owner}/{repo}.git`.
pub(super) async fn serve(
    hub: &Arc<Hub>,
    arrived: &Arrived,
    actor: &Actor,
    params: &[(&'static str, String)],
) -> Answer {
    let value = |name: &str| params.iter().find(|(have, _)| *have == name).map_or("", |(_, value)| value.as_str());
    let push = arrived.path.ends_with("/git-receive-pack") || arrived.query.contains("service=git-receive-pack");
    let (repo, id) = match admit(hub, actor, value("owner"), value("repo"), push, arrived) {
        Ok(admitted) => admitted,
        Err(refusal) => return refusal,
    };
    let service = arrived.path.split_once(".git/").map_or("", |(_, service)| service);
    let lock = if push { Some(hub.git_writes.lock().await) } else { None };
    let answer = backend(hub, arrived, actor, &format!("/{id}.git/{service}")).await;
    drop(lock);
    if push {
        hub.world().observe(repo, hub.clock.now());
    }
    answer.unwrap_or_else(|error| Answer::broken(&error))
}

/// Index and id of the repository, if the caller may do this there.
fn admit(
    hub: &Hub,
    actor: &Actor,
    owner: &str,
    name: &str,
    push: bool,
    arrived: &Arrived,
) -> Result<(usize, u64), Answer> {
    let world = hub.world();
    let unknown = || text(401, "Authentication required.").with("www-authenticate", "Basic realm=\"GitHub\"");
    if matches!(actor, Actor::Unknown | Actor::Refused(_) | Actor::App(_)) {
        return Err(text(401, "Invalid username or token.").with("www-authenticate", "Basic realm=\"GitHub\""));
    }
    let at = match world.find(owner, name) {
        Found::Here(at) => at,
        Found::Moved(at) => {
            let service = arrived.path.split_once(".git/").map_or("", |(_, service)| service);
            let mut location = format!("{}/{}.git/{service}", hub.base, world.repos[at].full_name());
            if !arrived.query.is_empty() {
                location = format!("{location}?{}", arrived.query);
            }
            return Err(Answer::empty(301).with("location", location));
        }
        Found::Nowhere if actor.login().is_none() => return Err(unknown()),
        Found::Nowhere => return Err(text(404, "Repository not found.")),
    };
    let permission = world.permission(at, actor.login());
    if permission == Permission::None || (push && actor.login().is_none()) {
        return Err(if actor.login().is_none() { unknown() } else { text(404, "Repository not found.") });
    }
    if let Err(refusal) = apps::admit_git(actor, world.repos[at].id, !world.repos[at].private, push) {
        return Err(text(refusal.status, "Write access to repository not granted."));
    }
    if world.repos[at].blocked {
        return Err(text(451, "Repository unavailable due to DMCA takedown."));
    }
    if push && world.repos[at].archived {
        return Err(text(403, "This repository was archived so it is read-only."));
    }
    if push && permission < Permission::Write {
        let refusal = format!("Permission to {} denied to {}.", world.repos[at].full_name(), actor.name());
        return Err(text(403, &refusal));
    }
    Ok((at, world.repos[at].id))
}

fn text(status: u16, message: &str) -> Answer {
    let mut answer = Answer::raw("text/plain; charset=utf-8", format!("{message}\n"));
    answer.status = status;
    answer
}

/// Lets git answer.
async fn backend(hub: &Hub, arrived: &Arrived, actor: &Actor, path_info: &str) -> Result<Answer> {
    let request = cgi::Request {
        root: &hub.root,
        method: &arrived.method,
        path_info,
        query: &arrived.query,
        headers: &arrived.headers,
        body: &arrived.bytes,
        user: actor.login(),
    };
    let cgi::Reply { status, content_type, headers, body } = cgi::http_backend(request).await?;
    Ok(Answer { status, payload: Payload::Raw(content_type, body.into()), headers, last_modified: None })
}
