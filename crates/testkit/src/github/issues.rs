//! Issues. A pull request is an issue too, so these routes also serve its issue side.

use serde_json::Value;

use super::call::{Answer, Call, Reply};
use super::permission::Permission;
use super::render;
use super::world::{Issue, World};
use backlog::time::Timestamp;

/// The permission that issue writes need.
pub(super) const NEEDED: &str = "issues=write; pull_requests=write";

const LONGEST_TITLE: usize = 256;
const LONGEST_BODY: usize = 65_536;

/// Refuses texts that GitHub refuses.
pub(super) fn check_texts(resource: &str, title: Option<&str>, body: Option<&str>) -> Result<(), Answer> {
    if title.is_some_and(|title| title.trim().is_empty()) {
        return Err(Answer::invalid(resource, "title", "missing_field", None));
    }
    if title.is_some_and(|title| title.chars().count() > LONGEST_TITLE) {
        let text = format!("title is too long (maximum is {LONGEST_TITLE} characters)");
        return Err(Answer::invalid(resource, "title", "custom", Some(&text)));
    }
    if body.is_some_and(|body| body.chars().count() > LONGEST_BODY) {
        let text = format!("body is too long (maximum is {LONGEST_BODY} characters)");
        return Err(Answer::invalid(resource, "body", "custom", Some(&text)));
    }
    Ok(())
}

/// The repository of a call about issues, if it has issues.
fn with_issues(world: &World, at: usize) -> Result<usize, Answer> {
    if world.repos[at].has_issues { Ok(at) } else { Err(Answer::error(410, "Issues are disabled for this repo")) }
}

/// Whether an object may show up in lists by now.
pub(super) fn shown(hidden_until: Timestamp, now: Timestamp) -> bool {
    hidden_until <= now
}

/// `GET /repos/{owner}/{repo}/issues`
pub(super) fn list(call: &Call, world: &mut World) -> Reply {
    let at = with_issues(world, call.repo(world)?)?;
    let repo = &world.repos[at];
    let state = call.query("state").unwrap_or("open");
    let since = call.query("since").and_then(Timestamp::parse_rfc3339);
    let wanted: Vec<&str> =
        call.query("labels").map(|names| names.split(',').map(str::trim).collect()).unwrap_or_default();
    let has = |issue: &Issue, name: &str| issue.labels.iter().any(|have| have.eq_ignore_ascii_case(name));
    let mut found: Vec<&Issue> = repo.issues.iter().collect();
    found.retain(|issue| {
        shown(issue.hidden_until, call.now)
            && (state == "all" || issue.open == (state == "open"))
            && since.is_none_or(|since| issue.updated_at.0 / 1000 >= since.0 / 1000)
            && call.query("creator").is_none_or(|creator| issue.user.eq_ignore_ascii_case(creator))
            && call.query("assignee").is_none_or(|who| who == "*" || issue.assignees.iter().any(|have| have == who))
            && wanted.iter().all(|name| has(issue, name))
    });
    match call.query("sort").unwrap_or("created") {
        "updated" => found.sort_by_key(|issue| (issue.updated_at, issue.number)),
        "comments" => found.sort_by_key(|issue| (issue.comments.len(), issue.number)),
        _ => found.sort_by_key(|issue| (issue.created_at, issue.number)),
    }
    if call.query("direction") != Some("asc") {
        found.reverse();
    }
    Ok(call.page(found.into_iter().map(|issue| render::issue(&call.base, repo, issue)).collect()))
}

/// `GET /repos/{owner}/{repo}/issues/{issue_number}`
pub(super) fn get(call: &Call, world: &mut World) -> Reply {
    let at = call.repo(world)?;
    let issue = world.repos[at].issue(call.number("issue_number")?).ok_or_else(Answer::not_found)?;
    if issue.pull.is_none() {
        with_issues(world, at)?;
    }
    Ok(Answer::ok(render::issue(&call.base, &world.repos[at], issue)).modified(issue.updated_at))
}

/// `POST /repos/{owner}/{repo}/issues`
pub(super) fn create(call: &Call, world: &mut World) -> Reply {
    let at = with_issues(world, call.repo_to_change(world, Permission::Read, "issues=write")?)?;
    let title = match &call.body["title"] {
        Value::String(title) => title.clone(),
        Value::Number(title) => title.to_string(),
        _ => return Err(Answer::missing("title")),
    };
    check_texts("Issue", Some(&title), call.text("body"))?;
    let number = world.repos[at].next_number();
    let hidden_until = call.now.plus(call.hide);
    let issue = open(world, at, call.who(), &title, call.text("body"), call.now);
    world.repos[at].issues.push(Issue { hidden_until, ..issue });
    if world.permission(at, call.actor.as_deref()) >= Permission::Write {
        put_labels(world, at, number, &call.texts("labels"), call.who(), call.now);
        let assignees = call.texts("assignees");
        if let Some(issue) = world.repos[at].issue_mut(number) {
            issue.assignees = assignees;
        }
    }
    answer(call, world, at, number, 201)
}

/// A new issue that is not in the repository yet.
pub(super) fn open(world: &World, at: usize, user: &str, title: &str, body: Option<&str>, now: Timestamp) -> Issue {
    Issue {
        id: world.id(),
        number: world.repos[at].next_number(),
        title: title.to_owned(),
        body: body.map(str::to_owned),
        open: true,
        state_reason: None,
        labels: Vec::new(),
        user: user.to_owned(),
        assignees: Vec::new(),
        reactions: 0,
        locked: false,
        created_at: now,
        updated_at: now,
        closed_at: None,
        closed_by: None,
        comments: Vec::new(),
        events: Vec::new(),
        pull: None,
        association: world.association(at, user),
        hidden_until: now,
    }
}

/// Adds labels to an issue; unknown ones become defined.
pub(super) fn put_labels(world: &mut World, at: usize, number: u64, names: &[String], by: &str, now: Timestamp) {
    for name in names {
        world.ensure_label(at, name);
        let World { repos, next_id, .. } = world;
        let known = repos[at].labels.iter().find(|label| label.name.eq_ignore_ascii_case(name));
        let name = known.map_or_else(|| name.clone(), |label| label.name.clone());
        if let Some(issue) = repos[at].issue_mut(number) {
            issue.add_label(&name, by, now, next_id);
        }
    }
}

fn answer(call: &Call, world: &World, at: usize, number: u64, status: u16) -> Reply {
    let issue = world.repos[at].issue(number).ok_or_else(Answer::not_found)?;
    let body = render::issue(&call.base, &world.repos[at], issue);
    let location = body["url"].as_str().unwrap_or_default().to_owned();
    let answer = Answer::json(status, body);
    Ok(if status == 201 { answer.with("location", location) } else { answer })
}

/// `PATCH /repos/{owner}/{repo}/issues/{issue_number}`
pub(super) fn edit(call: &Call, world: &mut World) -> Reply {
    let at = call.repo_to_change(world, Permission::Read, NEEDED)?;
    let number = call.number("issue_number")?;
    let issue = world.repos[at].issue(number).ok_or_else(Answer::not_found)?;
    let permission = world.permission(at, call.actor.as_deref());
    if issue.user != call.who() && permission < Permission::Triage {
        return Err(
            Answer::error(403, "Must have admin rights to Repository.").with("x-accepted-github-permissions", NEEDED)
        );
    }
    check_texts("Issue", call.text("title"), call.text("body"))?;
    if call.text("state").is_some_and(|state| !matches!(state, "open" | "closed")) {
        return Err(Answer::invalid("Issue", "state", "invalid", None));
    }
    if call.body.get("labels").is_some() && permission >= Permission::Triage {
        let names = call.texts("labels");
        let gone: Vec<String> = issue.labels.iter().filter(|have| !names.contains(have)).cloned().collect();
        put_labels(world, at, number, &names, call.who(), call.now);
        let World { repos, next_id, .. } = &mut *world;
        if let Some(issue) = repos[at].issue_mut(number) {
            for name in gone {
                issue.remove_label(&name, call.who(), call.now, next_id);
            }
        }
    }
    let World { repos, next_id, .. } = &mut *world;
    let issue = repos[at].issue_mut(number).ok_or_else(Answer::not_found)?;
    apply_edit(call, issue, next_id);
    answer(call, world, at, number, 200)
}

/// What issues and pull requests share: title, body, state, assignees.
pub(super) fn apply_edit(call: &Call, issue: &mut Issue, next_id: &std::sync::atomic::AtomicU64) {
    if let Some(title) = call.text("title") {
        issue.rename(title, call.who(), call.now, next_id);
    }
    match call.body.get("body") {
        Some(Value::String(body)) if issue.body.as_ref() != Some(body) => {
            issue.body = Some(body.clone());
            issue.updated_at = call.now;
        }
        Some(Value::Null) => issue.body = None,
        _ => {}
    }
    if call.body.get("assignees").is_some() {
        issue.assignees = call.texts("assignees");
        issue.updated_at = call.now;
    }
    if let Some(state) = call.text("state") {
        issue.set_open(state == "open", call.text("state_reason"), call.who(), call.now, next_id);
    }
}
