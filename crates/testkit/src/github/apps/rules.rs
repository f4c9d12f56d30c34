//! What a credential of an App may ask for: the permission that each route needs.

use super::super::call::Answer;
use super::super::credentials::Actor;
use super::super::world::{Found, World};
use super::Grant;

/// The permissions of which one is enough for a route, as GitHub's header writes them.
fn needed(method: &str, template: &str) -> &'static [(&'static str, &'static str)] {
    let rest = template.strip_prefix("/repos/{owner}/{repo}").unwrap_or_default();
    let part = rest.split('/').nth(1).unwrap_or_default();
    match (part, matches!(method, "GET" | "HEAD")) {
        ("pulls", false) if rest.ends_with("/merge") => &[("contents", "write")],
        ("issues" | "labels", true) => &[("issues", "read"), ("pull_requests", "read")],
        ("issues", false) if rest == "/issues" => &[("issues", "write")],
        ("issues" | "labels", false) => &[("issues", "write"), ("pull_requests", "write")],
        ("pulls", true) => &[("pull_requests", "read")],
        ("pulls", false) => &[("pull_requests", "write")],
        ("commits", true) if rest.ends_with("/check-runs") => &[("checks", "read")],
        ("check-runs", true) => &[("checks", "read")],
        ("check-runs", false) => &[("checks", "write")],
        ("commits", true) if rest.ends_with("/status") || rest.ends_with("/statuses") => &[("statuses", "read")],
        ("statuses", false) => &[("statuses", "write")],
        ("dependabot", true) => &[("vulnerability_alerts", "read")],
        ("code-scanning", true) => &[("security_events", "read")],
        ("secret-scanning", true) => &[("secret_scanning_alerts", "read")],
        ("actions", true) => &[("actions", "read")],
        ("git" | "branches" | "contents" | "commits" | "compare", true) => &[("contents", "read")],
        ("git" | "branches" | "contents" | "merges", false) => &[("contents", "write")],
        _ => &[("metadata", "read")],
    }
}

/// Whether a route answers only an App's own web token.
fn for_apps(template: &str) -> bool {
    template == "/app" || template.starts_with("/app/") || template.ends_with("/installation")
}

/// Refuses what this caller may not ask of this route.
pub(in super::super) fn admit(
    world: &World,
    actor: &Actor,
    method: &str,
    template: &str,
    params: &[(&'static str, String)],
) -> Result<(), Answer> {
    match actor {
        Actor::App(_) if for_apps(template) || template == "/rate_limit" => Ok(()),
        Actor::App(_) => Err(Answer::error(403, "Resource not accessible by integration")),
        _ if for_apps(template) => Err(Answer::error(401, "A JSON web token could not be decoded")),
        Actor::Installation(grant) => {
            if template == "/user" || template.starts_with("/user/") {
                return Err(Answer::error(403, "Resource not accessible by integration"));
            }
            let needed = needed(method, template);
            let reads = needed.iter().all(|(_, level)| *level == "read");
            // Everybody may read what is public.
            if reads && params_lead_outside(world, grant, params) {
                return Ok(());
            }
            may(grant, needed)
        }
        _ => Ok(()),
    }
}

/// As [`admit`], for git; the repository is known.
pub(in super::super) fn admit_git(actor: &Actor, repo: u64, public: bool, push: bool) -> Result<(), Answer> {
    let Actor::Installation(grant) = actor else { return Ok(()) };
    match (grant.repositories.contains(&repo), push) {
        (true, true) => may(grant, &[("contents", "write")]),
        (true, false) if !public => may(grant, &[("contents", "read")]),
        (true, false) => Ok(()),
        (false, false) if public => Ok(()),
        (false, _) => Err(Answer::not_found()),
    }
}

/// Whether this token reaches a repository; everybody sees public ones.
pub(in super::super) fn sees(world: &World, grant: &Grant, repo: usize) -> bool {
    let repo = &world.repos[repo];
    !repo.private || grant.repositories.contains(&repo.id)
}

fn params_lead_outside(world: &World, grant: &Grant, params: &[(&'static str, String)]) -> bool {
    let value = |name: &str| params.iter().find(|(have, _)| *have == name).map_or("", |(_, value)| value.as_str());
    match world.find(value("owner"), value("repo")) {
        Found::Here(at) | Found::Moved(at) => !grant.repositories.contains(&world.repos[at].id),
        Found::Nowhere => true,
    }
}

fn may(grant: &Grant, needed: &[(&str, &str)]) -> Result<(), Answer> {
    let enough = |(name, level): &(&str, &str)| match grant.permissions.get(*name).map(String::as_str) {
        Some("write") => true,
        Some("read") => *level == "read",
        _ => false,
    };
    if needed.iter().any(enough) {
        return Ok(());
    }
    let header: Vec<String> = needed.iter().map(|(name, level)| format!("{name}={level}")).collect();
    let refusal = Answer::error(403, "Resource not accessible by integration");
    Err(refusal.with("x-accepted-github-permissions", header.join("; ")))
}
