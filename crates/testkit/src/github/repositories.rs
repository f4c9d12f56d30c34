//! Users, repositories, and who may do what in them.

use serde_json::{Value, json};

use super::call::{Answer, Call, Reply};
use super::permission::Permission;
use super::render;
use super::world::World;

/// `GET /user`
pub(super) fn me(call: &Call, _world: &mut World) -> Reply {
    let Some(login) = &call.actor else {
        return Err(Answer::error(401, "Requires authentication"));
    };
    Ok(Answer::ok(profile(call, login)))
}

/// `GET /users/{username}`
pub(super) fn user(call: &Call, world: &mut World) -> Reply {
    let login = call.param("username");
    if !world.users.contains(login) && !world.organizations.contains(login) {
        return Err(Answer::not_found());
    }
    Ok(Answer::ok(profile(call, login)))
}

fn profile(call: &Call, login: &str) -> Value {
    let mut user = render::user(&call.base, login, "User");
    let born = "2020-01-01T00:00:00Z";
    let extra = json!({
        "name": login, "company": null, "blog": "", "location": null, "email": null, "hireable": null, "bio": null,
        "public_repos": 0, "public_gists": 0, "followers": 0, "following": 0, "created_at": born, "updated_at": born,
    });
    for (name, value) in extra.as_object().into_iter().flatten() {
        user[name] = value.clone();
    }
    user
}

/// Repositories the caller may see and that pass a filter, in the order asked for, as a page.
fn listed(call: &Call, world: &World, chosen: impl Fn(usize) -> bool) -> Vec<Value> {
    let visible = |at: &usize| call.permission(world, *at) > Permission::None;
    let mut found: Vec<usize> = (0..world.repos.len()).filter(visible).filter(|at| chosen(*at)).collect();
    let sort = call.query("sort").unwrap_or("full_name");
    found.sort_by(|a, b| {
        let (a, b) = (&world.repos[*a], &world.repos[*b]);
        match sort {
            "created" => a.created_at.cmp(&b.created_at),
            "updated" => a.updated_at.cmp(&b.updated_at),
            "pushed" => a.pushed_at.cmp(&b.pushed_at),
            _ => a.full_name().cmp(&b.full_name()),
        }
    });
    let usual = if sort == "full_name" { "asc" } else { "desc" };
    if call.query("direction").unwrap_or(usual) == "desc" {
        found.reverse();
    }
    found.into_iter().map(|at| render::repository(call, world, at, false)).collect()
}

/// `GET /user/repos`: those the caller has a role in.
pub(super) fn of_user(call: &Call, world: &mut World) -> Reply {
    let Some(login) = call.actor.clone() else {
        return Err(Answer::error(401, "Requires authentication"));
    };
    let has_role = |at: usize| {
        let repo = &world.repos[at];
        repo.owner == login || repo.access.contains_key(&login) || world.everywhere.contains_key(&login)
    };
    Ok(call.page(listed(call, world, has_role)))
}

/// `GET /orgs/{org}/repos`
pub(super) fn of_organization(call: &Call, world: &mut World) -> Reply {
    let org = call.param("org");
    if !world.organizations.contains(org) {
        return Err(Answer::not_found());
    }
    Ok(call.page(listed(call, world, |at| world.repos[at].owner == org)))
}

/// `GET /users/{username}/repos`
pub(super) fn of_owner(call: &Call, world: &mut World) -> Reply {
    let owner = call.param("username");
    Ok(call.page(listed(call, world, |at| world.repos[at].owner == owner)))
}

/// `GET /installation/repositories`
pub(super) fn of_installation(call: &Call, world: &mut World) -> Reply {
    let Some(grant) = &call.grant else {
        return Err(Answer::error(
            403,
            "You must authenticate with an installation access token in order to list repositories for an installation.",
        ));
    };
    let reached = |at: usize| grant.repositories.contains(&world.repos[at].id);
    Ok(call.page_in("repositories", listed(call, world, reached)))
}

/// `GET /meta`
pub(super) fn meta(_call: &Call, _world: &mut World) -> Reply {
    Ok(Answer::ok(
        json!({"verifiable_password_authentication": false, "web": ["127.0.0.0/8"], "api": ["127.0.0.0/8"], "git": ["127.0.0.0/8"]}),
    ))
}

/// `GET /versions`
pub(super) fn versions(_call: &Call, _world: &mut World) -> Reply {
    Ok(Answer::ok(json!(["2022-11-28", "2026-03-10"])))
}

/// `GET /repos/{owner}/{repo}`
pub(super) fn get(call: &Call, world: &mut World) -> Reply {
    let at = call.repo(world)?;
    Ok(Answer::ok(render::repository(call, world, at, true)).modified(world.repos[at].updated_at))
}

/// `GET /repos/{owner}/{repo}/collaborators/{username}/permission`
pub(super) fn permission(call: &Call, world: &mut World) -> Reply {
    let at = call.repo(world)?;
    if call.actor.is_none() {
        return Err(Answer::error(401, "Requires authentication"));
    }
    let login = call.param("username");
    if !world.users.contains(login) {
        return Err(Answer::error(404, &format!("{login} is not a user")));
    }
    let access = world.access(at, Some(login));
    let mut user = render::user(&call.base, login, "User");
    user["role_name"] = json!(access.role_name);
    user["permissions"] = json!({
        "admin": access.permission >= Permission::Admin, "maintain": access.permission >= Permission::Maintain,
        "push": access.permission >= Permission::Write, "triage": access.permission >= Permission::Triage,
        "pull": access.permission >= Permission::Read,
    });
    Ok(Answer::ok(
        json!({"permission": super::permission::legacy(access.permission), "role_name": access.role_name, "user": user}),
    ))
}
