//! What is said on an issue and what happened to it: comments, events, the timeline.

use serde_json::{Value, json};

use super::call::{Answer, Call, Reply};
use super::issues::{NEEDED, check_texts, shown};
use super::permission::Permission;
use super::render;
use super::world::{Comment, Issue, Repository, World};
use backlog::time::Timestamp;

/// `GET /repos/{owner}/{repo}/issues/{issue_number}/comments`
pub(super) fn list(call: &Call, world: &mut World) -> Reply {
    let repo = &world.repos[call.repo(world)?];
    let issue = repo.issue(call.number("issue_number")?).ok_or_else(Answer::not_found)?;
    let found = chosen(call, std::slice::from_ref(issue));
    Ok(call.page(found.iter().map(|(issue, comment)| render::comment(&call.base, repo, issue, comment)).collect()))
}

/// `GET /repos/{owner}/{repo}/issues/comments`
pub(super) fn of_repository(call: &Call, world: &mut World) -> Reply {
    let repo = &world.repos[call.repo(world)?];
    let mut found = chosen(call, &repo.issues);
    match call.query("sort").unwrap_or("created") {
        "updated" => found.sort_by_key(|(_, comment)| (comment.updated_at, comment.id)),
        _ => found.sort_by_key(|(_, comment)| (comment.created_at, comment.id)),
    }
    if call.query("direction") == Some("desc") {
        found.reverse();
    }
    Ok(call.page(found.iter().map(|(issue, comment)| render::comment(&call.base, repo, issue, comment)).collect()))
}

/// The comments of some issues that the caller asked for.
fn chosen<'a>(call: &Call, issues: &'a [Issue]) -> Vec<(&'a Issue, &'a Comment)> {
    let since = call.query("since").and_then(Timestamp::parse_rfc3339);
    let all = issues.iter().flat_map(|issue| issue.comments.iter().map(move |comment| (issue, comment)));
    all.filter(|(_, comment)| shown(comment.hidden_until, call.now))
        .filter(|(_, comment)| since.is_none_or(|since| comment.updated_at.0 / 1000 >= since.0 / 1000))
        .collect()
}

/// Writes a comment, whoever does it; gives its id.
pub(super) fn say(world: &mut World, at: usize, number: u64, user: &str, body: &str, now: Timestamp) -> Option<u64> {
    let (id, association) = (world.id(), world.association(at, user));
    let issue = world.repos[at].issue_mut(number)?;
    issue.updated_at = now;
    issue.comments.push(Comment {
        id,
        user: user.to_owned(),
        body: body.to_owned(),
        created_at: now,
        updated_at: now,
        association,
        hidden_until: now,
    });
    Some(id)
}

/// `POST /repos/{owner}/{repo}/issues/{issue_number}/comments`
pub(super) fn create(call: &Call, world: &mut World) -> Reply {
    let at = call.repo_to_change(world, Permission::Read, NEEDED)?;
    let number = call.number("issue_number")?;
    let issue = world.repos[at].issue(number).ok_or_else(Answer::not_found)?;
    if issue.locked && world.permission(at, call.actor.as_deref()) < Permission::Write {
        return Err(Answer::error(403, "Unable to create comment because issue is locked."));
    }
    let body = call.text("body").ok_or_else(|| Answer::missing("body"))?;
    if body.trim().is_empty() {
        return Err(Answer::invalid("IssueComment", "body", "missing_field", None));
    }
    check_texts("IssueComment", None, Some(body))?;
    let id = say(world, at, number, call.who(), body, call.now).ok_or_else(Answer::not_found)?;
    let hidden_until = call.now.plus(call.hide);
    if let Some(comment) = world.repos[at].issue_mut(number).and_then(|issue| issue.comments.last_mut()) {
        comment.hidden_until = hidden_until;
    }
    let body = body_of(call, &world.repos[at], id)?;
    let location = body["url"].as_str().unwrap_or_default().to_owned();
    Ok(Answer::json(201, body).with("location", location))
}

fn body_of(call: &Call, repo: &Repository, id: u64) -> Result<Value, Answer> {
    let mut all = repo.issues.iter().flat_map(|issue| issue.comments.iter().map(move |comment| (issue, comment)));
    let (issue, comment) = all.find(|(_, comment)| comment.id == id).ok_or_else(Answer::not_found)?;
    Ok(render::comment(&call.base, repo, issue, comment))
}

/// `GET /repos/{owner}/{repo}/issues/comments/{comment_id}`
pub(super) fn get(call: &Call, world: &mut World) -> Reply {
    let repo = &world.repos[call.repo(world)?];
    let body = body_of(call, repo, call.number("comment_id")?)?;
    let changed = body["updated_at"].as_str().and_then(Timestamp::parse_rfc3339).unwrap_or_default();
    Ok(Answer::ok(body).modified(changed))
}

/// The comment a caller may change: the own one, or any with push access.
fn to_change<'a>(call: &Call, world: &'a mut World) -> Result<(usize, &'a mut Issue, usize), Answer> {
    let at = call.repo_to_change(world, Permission::Read, NEEDED)?;
    let id = call.number("comment_id")?;
    let may = world.permission(at, call.actor.as_deref()) >= Permission::Write;
    for issue in &mut world.repos[at].issues {
        let Some(index) = issue.comments.iter().position(|comment| comment.id == id) else {
            continue;
        };
        if issue.comments[index].user != call.who() && !may {
            return Err(Answer::denied(NEEDED));
        }
        return Ok((at, issue, index));
    }
    Err(Answer::not_found())
}

/// `PATCH /repos/{owner}/{repo}/issues/comments/{comment_id}`
pub(super) fn edit(call: &Call, world: &mut World) -> Reply {
    let (at, issue, index) = to_change(call, world)?;
    let body = call.text("body").ok_or_else(|| Answer::missing("body"))?;
    check_texts("IssueComment", None, Some(body))?;
    let comment = &mut issue.comments[index];
    body.clone_into(&mut comment.body);
    comment.updated_at = call.now;
    let id = comment.id;
    issue.updated_at = call.now;
    Ok(Answer::ok(body_of(call, &world.repos[at], id)?))
}

/// `DELETE /repos/{owner}/{repo}/issues/comments/{comment_id}`
pub(super) fn delete(call: &Call, world: &mut World) -> Reply {
    let (_, issue, index) = to_change(call, world)?;
    issue.comments.remove(index);
    issue.updated_at = call.now;
    Ok(Answer::empty(204))
}

/// `GET /repos/{owner}/{repo}/issues/{issue_number}/events`
pub(super) fn events(call: &Call, world: &mut World) -> Reply {
    let repo = &world.repos[call.repo(world)?];
    let issue = repo.issue(call.number("issue_number")?).ok_or_else(Answer::not_found)?;
    Ok(call.page(issue.events.iter().map(|event| render::event(&call.base, repo, event)).collect()))
}

/// `GET /repos/{owner}/{repo}/issues/events`: newest first, each with its issue.
pub(super) fn events_of_repository(call: &Call, world: &mut World) -> Reply {
    let repo = &world.repos[call.repo(world)?];
    let mut all: Vec<_> =
        repo.issues.iter().flat_map(|issue| issue.events.iter().map(move |event| (event, issue))).collect();
    all.sort_by_key(|(event, _)| std::cmp::Reverse(event.id));
    let with_issue = all.into_iter().map(|(event, issue)| {
        let mut object = render::event(&call.base, repo, event);
        object["issue"] = render::issue(&call.base, repo, issue);
        object
    });
    Ok(call.page(with_issue.collect()))
}

/// `GET /repos/{owner}/{repo}/issues/{issue_number}/timeline`: events, comments and reviews in order.
pub(super) fn timeline(call: &Call, world: &mut World) -> Reply {
    let repo = &world.repos[call.repo(world)?];
    let issue = repo.issue(call.number("issue_number")?).ok_or_else(Answer::not_found)?;
    let base = &call.base;
    let mut lines: Vec<(Timestamp, u64, Value)> = Vec::new();
    for event in &issue.events {
        lines.push((event.at, event.id, render::event(base, repo, event)));
    }
    for comment in issue.comments.iter().filter(|comment| shown(comment.hidden_until, call.now)) {
        let mut object = render::comment(base, repo, issue, comment);
        object["event"] = json!("commented");
        object["actor"] = object["user"].clone();
        lines.push((comment.created_at, comment.id, object));
    }
    for review in issue.pull.iter().flat_map(|pull| &pull.reviews) {
        let mut object = render::review(base, repo, issue.number, review);
        object["event"] = json!("reviewed");
        lines.push((review.submitted_at, review.id, object));
    }
    lines.sort_by_key(|(at, id, _)| (*at, *id));
    Ok(call.page(lines.into_iter().map(|(_, _, object)| object).collect()))
}
