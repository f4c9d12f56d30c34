//! Reviews of pull requests.

use serde_json::Value;

use super::call::{Answer, Call, Reply};
use super::permission::Permission;
use super::pulls::{NEEDED, find};
use super::render;
use super::world::{Review, World};
use backlog::time::Timestamp;

/// `GET /repos/{owner}/{repo}/pulls/{pull_number}/merge`: 204 when merged.
pub(super) fn is_merged(call: &Call, world: &mut World) -> Reply {
    let (_, pull) = find(world, call.repo(world)?, call.number("pull_number")?)?;
    if pull.merged_at.is_some() { Ok(Answer::empty(204)) } else { Err(Answer::not_found()) }
}

/// `GET /repos/{owner}/{repo}/pulls/{pull_number}/reviews`
pub(super) fn list(call: &Call, world: &mut World) -> Reply {
    let at = call.repo(world)?;
    let (issue, pull) = find(world, at, call.number("pull_number")?)?;
    let render = |review| render::review(&call.base, &world.repos[at], issue.number, review);
    Ok(call.page(pull.reviews.iter().map(render).collect()))
}

/// Writes a review, whoever does it; gives its id.
pub(super) fn judge(
    world: &mut World,
    at: usize,
    number: u64,
    user: &str,
    state: &str,
    body: &str,
    now: Timestamp,
) -> Result<u64, Answer> {
    let id = world.id();
    let issue = world.repos[at].issue_mut(number).ok_or_else(Answer::not_found)?;
    let pull = issue.pull.as_mut().ok_or_else(Answer::not_found)?;
    pull.requested_reviewers.retain(|login| login != user);
    pull.reviews.push(Review {
        id,
        user: user.to_owned(),
        state: state.to_owned(),
        body: body.to_owned(),
        commit: pull.head_sha.clone(),
        submitted_at: now,
    });
    issue.updated_at = now;
    Ok(id)
}

/// `POST /repos/{owner}/{repo}/pulls/{pull_number}/reviews`
pub(super) fn create(call: &Call, world: &mut World) -> Reply {
    let at = call.repo_to_change(world, Permission::Read, NEEDED)?;
    let number = call.number("pull_number")?;
    let (issue, _) = find(world, at, number)?;
    let state = match call.text("event") {
        Some("APPROVE") => "APPROVED",
        Some("REQUEST_CHANGES") => "CHANGES_REQUESTED",
        Some("COMMENT") => "COMMENTED",
        _ => return Err(Answer::invalid("PullRequestReview", "event", "invalid", None)),
    };
    if issue.user == call.who() && state != "COMMENTED" {
        return Err(Answer::error(422, "Can not approve or request changes on your own pull request"));
    }
    let id = judge(world, at, number, call.who(), state, call.text("body").unwrap_or_default(), call.now)?;
    let (_, pull) = find(world, at, number)?;
    let review = pull.reviews.iter().find(|review| review.id == id).ok_or_else(Answer::not_found)?;
    Ok(Answer::ok(render::review(&call.base, &world.repos[at], number, review)))
}

/// `GET /repos/{owner}/{repo}/pulls/{pull_number}/comments`
pub(super) fn comments(call: &Call, world: &mut World) -> Reply {
    let at = call.repo(world)?;
    let (issue, pull) = find(world, at, call.number("pull_number")?)?;
    let since = call.query("since").and_then(Timestamp::parse_rfc3339).unwrap_or_default();
    let found = pull.review_comments.iter().filter(|comment| comment.created_at.0 / 1000 >= since.0 / 1000);
    let render = |comment| render::review_comment(&call.base, &world.repos[at], issue.number, comment);
    Ok(call.page(found.map(render).collect()))
}

/// `GET /repos/{owner}/{repo}/pulls/{pull_number}/requested_reviewers`
pub(super) fn requested(call: &Call, world: &mut World) -> Reply {
    let (_, pull) = find(world, call.repo(world)?, call.number("pull_number")?)?;
    let users: Vec<Value> =
        pull.requested_reviewers.iter().map(|login| render::user(&call.base, login, "User")).collect();
    Ok(Answer::ok(serde_json::json!({"users": users, "teams": []})))
}

/// `POST /repos/{owner}/{repo}/pulls/{pull_number}/requested_reviewers`
pub(super) fn request(call: &Call, world: &mut World) -> Reply {
    let at = call.repo_to_change(world, Permission::Write, NEEDED)?;
    let number = call.number("pull_number")?;
    let author = find(world, at, number)?.0.user.clone();
    for login in call.texts("reviewers") {
        if login == author {
            return Err(Answer::error(422, "Review cannot be requested from pull request author."));
        }
        let explicit = world.repos[at].access.contains_key(&login) || world.everywhere.contains_key(&login);
        if !explicit && world.repos[at].owner != login {
            let text = "Reviews may only be requested from collaborators. One or more of the users or teams you specified \
                        is not a collaborator of the repository.";
            return Err(Answer::error(422, text));
        }
        let pull = world.repos[at].issue_mut(number).and_then(|issue| issue.pull.as_mut());
        if let Some(pull) = pull.filter(|pull| !pull.requested_reviewers.contains(&login)) {
            pull.requested_reviewers.push(login);
        }
    }
    let (issue, pull) = find(world, at, number)?;
    Ok(Answer::json(201, render::pull(call, world, at, issue, pull, None)))
}
