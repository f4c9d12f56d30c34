//! Label definitions, and labels on issues.

use serde_json::Value;

use super::call::{Answer, Call, Reply};
use super::issues::{NEEDED, put_labels};
use super::permission::Permission;
use super::render;
use super::world::{Label, World};

/// `GET /repos/{owner}/{repo}/labels`
pub(super) fn list(call: &Call, world: &mut World) -> Reply {
    let repo = &world.repos[call.repo(world)?];
    Ok(call.page(repo.labels.iter().map(|label| render::label(&call.base, repo, label)).collect()))
}

/// `GET /repos/{owner}/{repo}/labels/{name}`
pub(super) fn get(call: &Call, world: &mut World) -> Reply {
    let repo = &world.repos[call.repo(world)?];
    let found = repo.labels.iter().find(|label| label.name.eq_ignore_ascii_case(call.param("name")));
    Ok(Answer::ok(render::label(&call.base, repo, found.ok_or_else(Answer::not_found)?)))
}

/// `POST /repos/{owner}/{repo}/labels`
pub(super) fn create(call: &Call, world: &mut World) -> Reply {
    let at = call.repo_to_change(world, Permission::Write, NEEDED)?;
    let name = call.text("name").ok_or_else(|| Answer::missing("name"))?;
    if world.repos[at].labels.iter().any(|label| label.name.eq_ignore_ascii_case(name)) {
        return Err(Answer::invalid("Label", "name", "already_exists", None));
    }
    let color = call.text("color").unwrap_or("ededed");
    if color.len() != 6 || !color.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Answer::invalid("Label", "color", "invalid", None));
    }
    let description = call.text("description").map(str::to_owned);
    if description.as_ref().is_some_and(|text| text.chars().count() > 100) {
        let text = "description is too long (maximum is 100 characters)";
        return Err(Answer::invalid("Label", "description", "custom", Some(text)));
    }
    let label = Label { id: world.id(), name: name.to_owned(), color: color.to_owned(), description };
    let body = render::label(&call.base, &world.repos[at], &label);
    world.repos[at].labels.push(label);
    Ok(Answer::json(201, body))
}

fn page(call: &Call, world: &World, at: usize, number: u64) -> Reply {
    let repo = &world.repos[at];
    let issue = repo.issue(number).ok_or_else(Answer::not_found)?;
    let known = repo.labels.iter().filter(|label| issue.labels.contains(&label.name));
    let labels: Vec<Value> = known.map(|label| render::label(&call.base, repo, label)).collect();
    Ok(call.page(labels))
}

/// `GET /repos/{owner}/{repo}/issues/{issue_number}/labels`
pub(super) fn of_issue(call: &Call, world: &mut World) -> Reply {
    page(call, world, call.repo(world)?, call.number("issue_number")?)
}

/// `POST /repos/{owner}/{repo}/issues/{issue_number}/labels`
pub(super) fn add(call: &Call, world: &mut World) -> Reply {
    let at = call.repo_to_change(world, Permission::Triage, NEEDED)?;
    let number = call.number("issue_number")?;
    world.repos[at].issue(number).ok_or_else(Answer::not_found)?;
    put_labels(world, at, number, &call.texts("labels"), call.who(), call.now);
    page(call, world, at, number)
}

/// `DELETE /repos/{owner}/{repo}/issues/{issue_number}/labels/{name}`
pub(super) fn remove(call: &Call, world: &mut World) -> Reply {
    let at = call.repo_to_change(world, Permission::Triage, NEEDED)?;
    let number = call.number("issue_number")?;
    let World { repos, next_id, .. } = &mut *world;
    let issue = repos[at].issue_mut(number).ok_or_else(Answer::not_found)?;
    if !issue.remove_label(call.param("name"), call.who(), call.now, next_id) {
        return Err(Answer::error(404, "Label does not exist"));
    }
    page(call, world, at, number)
}
