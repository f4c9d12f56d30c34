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
    let mut answer = backend(hub, arrived, actor, &format!("/{id}.git/{service}")).await;
    if let (true, Ok(Answer { payload: Payload::Raw(_, body), .. })) = (push, &mut answer)
        && let Some(reason) = reason(hub, id)
    {
        *body = reworded(body, &reason).into();
    }
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

/// Why the last push was refused, if a rule said so.
fn reason(hub: &Hub, id: u64) -> Option<String> {
    let path = hub.root.join(format!("{id}.git/push-reason"));
    let reason = std::fs::read_to_string(&path).ok()?;
    std::fs::remove_file(path).ok()?;
    Some(reason.trim().to_owned())
}

/// What git says of a branch that any hook refused.
const DECLINED: &str = "pre-receive hook declined";

/// The report of a push with GitHub's own reason in place of git's. The report is a list of lines with their length in
/// front, wrapped in such a line again (band 1) beside what hooks said (band 2).
fn reworded(body: &[u8], reason: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for line in lines(body) {
        match line {
            Some([1, report @ ..]) => {
                let mut inner = vec![1];
                for line in lines(report) {
                    let text = line.map(|line| String::from_utf8_lossy(line).replace(DECLINED, reason));
                    put(&mut inner, text.as_deref().map(str::as_bytes));
                }
                put(&mut out, Some(&inner));
            }
            other => put(&mut out, other),
        }
    }
    out
}

/// The lines of git's protocol; `None` is the empty one that ends a list.
fn lines(mut bytes: &[u8]) -> Vec<Option<&[u8]>> {
    let mut found = Vec::new();
    while let Some((length, rest)) = bytes.split_at_checked(4) {
        let length = std::str::from_utf8(length).ok().and_then(|hex| usize::from_str_radix(hex, 16).ok()).unwrap_or(0);
        let (line, after) = rest.split_at(length.saturating_sub(4).min(rest.len()));
        found.push((length > 0).then_some(line));
        bytes = after;
    }
    found
}

fn put(out: &mut Vec<u8>, line: Option<&[u8]>) {
    out.extend_from_slice(format!("{:04x}", line.map_or(0, |line| line.len() + 4)).as_bytes());
    out.extend_from_slice(line.unwrap_or_default());
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
