//! Bodies of events: the objects of the REST interface in the form that webhooks have them.

use std::time::Duration;

use backlog::time::Timestamp;
use http::HeaderMap;
use serde_json::{Value, json};

use super::super::alerts::Alert;
use super::super::call::Call;
use super::super::render::{self, merge_into};
use super::super::world::{CheckRun, Comment, Issue, Repository, Review, ReviewComment, WorkflowRun, World};

/// Fields that the REST interface has and webhooks do not.
const NOT_IN_WEBHOOKS: &[&str] = &["user_view_type", "closed_by", "permissions", "subject_type"];

/// An object without what webhooks leave out, at any depth.
fn pruned(value: Value) -> Value {
    match value {
        Value::Object(object) => object
            .into_iter()
            .filter(|(name, _)| !NOT_IN_WEBHOOKS.contains(&name.as_str()))
            .map(|(name, value)| (name, pruned(value)))
            .collect(),
        Value::Array(values) => values.into_iter().map(pruned).collect(),
        value => value,
    }
}

/// A request by nobody in particular, for objects that link to others.
fn call(base: &str, now: Timestamp) -> Call {
    Call {
        method: "GET".to_owned(),
        path: String::new(),
        query: Vec::new(),
        headers: HeaderMap::new(),
        body: Value::Null,
        params: Vec::new(),
        actor: None,
        account: String::new(),
        app: None,
        grant: None,
        now,
        base: base.to_owned(),
        elsewhere: String::new(),
        hide: Duration::ZERO,
    }
}

pub(super) fn user(base: &str, login: &str) -> Value {
    pruned(render::user(base, login, "User"))
}

fn repository(base: &str, world: &World, at: usize, now: Timestamp) -> Value {
    let mut object = render::repository(&call(base, now), world, at, false);
    object["custom_properties"] = json!({});
    pruned(object)
}

fn organization(base: &str, repo: &Repository) -> Value {
    let url = format!("{base}/orgs/{}", repo.owner);
    json!({
        "login": repo.owner, "id": render::user_id(&repo.owner), "node_id": "O_1", "url": url,
        "repos_url": format!("{url}/repos"), "events_url": format!("{url}/events"),
        "hooks_url": format!("{url}/hooks"), "issues_url": format!("{url}/issues"),
        "members_url": format!("{url}/members{{/member}}"),
        "public_members_url": format!("{url}/public_members{{/member}}"),
        "avatar_url": format!("{base}/avatars/u/1"), "description": null,
    })
}

/// What every event of a repository has, with what only this one has; a push has no action.
pub(super) fn event(
    base: &str,
    world: &World,
    at: usize,
    now: Timestamp,
    action: &str,
    sender: &str,
    rest: Value,
) -> Value {
    let repo = &world.repos[at];
    let mut body = json!({"repository": repository(base, world, at, now), "sender": user(base, sender)});
    if repo.owner_kind == "Organization" {
        body["organization"] = organization(base, repo);
    }
    if action.is_empty() {
        // Pushes alone have these times as numbers.
        for name in ["created_at", "pushed_at"] {
            let at = if name == "created_at" { repo.created_at } else { repo.pushed_at };
            body["repository"][name] = json!(at.0 / 1000);
        }
    } else {
        body["action"] = json!(action);
    }
    merge_into(&mut body, rest);
    body
}

/// The issue or pull request of an event named `event`.
pub(super) fn of_issue(base: &str, world: &World, at: usize, now: Timestamp, issue: &Issue, event: &str) -> Value {
    let repo = &world.repos[at];
    let Some(pull) = issue.pull.as_ref().filter(|_| event != "issues") else {
        return json!({"issue": pruned(render::issue(base, repo, issue))});
    };
    let details = render::PullDetails {
        mergeable: None,
        mergeable_state: "unknown",
        commits: 1,
        additions: 1,
        deletions: 1,
        changed_files: 1,
    };
    // Events of reviews have the short form.
    let details = Some(&details).filter(|_| event == "pull_request");
    let mut object = pruned(render::pull(&call(base, now), world, at, issue, pull, details));
    if event != "pull_request" {
        return json!({"pull_request": object});
    }
    for side in ["head", "base"] {
        object[side]["repo"]["custom_properties"] = json!({});
    }
    json!({"number": issue.number, "pull_request": object})
}

pub(super) fn of_comment(base: &str, repo: &Repository, issue: &Issue, comment: &Comment) -> Value {
    let issue_object = pruned(render::issue(base, repo, issue));
    json!({"issue": issue_object, "comment": pruned(render::comment(base, repo, issue, comment))})
}

pub(super) fn label(base: &str, repo: &Repository, name: &str) -> Value {
    let found = repo.labels.iter().find(|label| label.name.eq_ignore_ascii_case(name));
    found.map_or(Value::Null, |label| render::label(base, repo, label))
}

pub(super) fn review(base: &str, repo: &Repository, number: u64, review: &Review) -> Value {
    let mut object = pruned(render::review(base, repo, number, review));
    // Webhooks write the state small.
    object["state"] = json!(review.state.to_lowercase());
    object
}

pub(super) fn review_comment(base: &str, repo: &Repository, number: u64, comment: &ReviewComment) -> Value {
    pruned(render::review_comment(base, repo, number, comment))
}

/// Where a branch went.
pub(super) fn push(
    base: &str,
    repo: &Repository,
    branch: &str,
    before: Option<&String>,
    after: Option<&String>,
    now: Timestamp,
) -> Value {
    let nothing = "0".repeat(40);
    let html = format!("{base}/{}", repo.full_name());
    let (from, to) = (before.unwrap_or(&nothing), after.unwrap_or(&nothing));
    let author = json!({"name": repo.owner, "email": format!("{}@users.noreply.example.org", repo.owner)});
    let commit = after.map(|sha| {
        json!({
            "id": sha, "tree_id": sha, "distinct": true, "message": "A commit", "timestamp": now.to_string(),
            "url": format!("{html}/commit/{sha}"), "author": author, "committer": author,
            "added": [], "removed": [], "modified": [],
        })
    });
    json!({
        "ref": format!("refs/heads/{branch}"), "before": from, "after": to, "created": before.is_none(),
        "deleted": after.is_none(), "forced": false, "base_ref": null, "compare": format!("{html}/compare/x...y"),
        "commits": commit.iter().collect::<Vec<_>>(), "head_commit": commit, "pusher": author,
    })
}

/// A check run; its suite is that of the workflow run.
pub(super) fn check_run(base: &str, repo: &Repository, run: &CheckRun) -> Value {
    let mut object = pruned(render::check_run(base, repo, run));
    object["app"] = app(base, repo);
    object["check_suite"] = json!({
        "id": run.run, "node_id": "CS_1", "head_branch": branch_of(repo, &run.sha), "head_sha": run.sha,
        "status": run.status, "conclusion": run.conclusion, "url": suite_url(base, repo, run.run),
        "before": run.sha, "after": run.sha, "pull_requests": [], "app": app(base, repo),
        "created_at": run.started_at.to_string(), "updated_at": run.started_at.to_string(),
    });
    object
}

fn suite_url(base: &str, repo: &Repository, id: u64) -> String {
    format!("{}/check-suites/{id}", render::repository_url(base, repo))
}

fn branch_of(repo: &Repository, sha: &str) -> Option<String> {
    repo.heads.iter().find(|(_, head)| *head == sha).map(|(branch, _)| branch.clone())
}

fn app(base: &str, repo: &Repository) -> Value {
    json!({
        "id": 15368, "slug": "github-actions", "node_id": "MDM6QXBwMTUzNjg=", "name": "GitHub Actions",
        "owner": user(base, "github"), "description": "Automate your workflow from idea to production",
        "external_url": "https://help.github.com/en/actions", "html_url": format!("{base}/apps/github-actions"),
        "created_at": repo.created_at.to_string(), "updated_at": repo.created_at.to_string(),
        "permissions": {"checks": "write"}, "events": [],
    })
}

pub(super) fn check_suite(base: &str, repo: &Repository, run: &WorkflowRun) -> Value {
    let url = suite_url(base, repo, run.id);
    let author = json!({"name": repo.owner, "email": "someone@users.noreply.example.org"});
    json!({
        "id": run.id, "node_id": "CS_1", "head_branch": run.branch, "head_sha": run.sha, "status": run.status,
        "conclusion": run.conclusion, "url": url, "before": run.sha, "after": run.sha, "pull_requests": [],
        "app": app(base, repo), "created_at": run.at.to_string(), "updated_at": run.at.to_string(),
        "latest_check_runs_count": 1, "check_runs_url": format!("{url}/check-runs"),
        "head_commit": {
            "id": run.sha, "tree_id": run.sha, "message": "A commit", "timestamp": run.at.to_string(),
            "author": author, "committer": author,
        },
    })
}

/// An alert, as far as all kinds are alike.
pub(super) fn alert(base: &str, repo: &Repository, alert: &Alert, now: Timestamp) -> Value {
    let (path, number) = (alert.kind.name(), alert.number);
    json!({
        "number": number, "state": if alert.open { "open" } else { alert.kind.ended() },
        "created_at": alert.at.to_string(), "updated_at": now.to_string(),
        "url": format!("{}/{path}/alerts/{number}", render::repository_url(base, repo)),
        "html_url": format!("{base}/{}/security/{path}/{number}", repo.full_name()),
    })
}

pub(super) fn installation_lite(id: u64) -> Value {
    json!({"id": id, "node_id": "MDIzOkludGVncmF0aW9uSW5zdGFsbGF0aW9uMQ=="})
}

/// An event about the installation itself.
pub(super) fn installation(base: &str, world: &World, id: u64, action: &str) -> Value {
    let owner = world.repos.first().map_or("github", |repo| repo.owner.as_str());
    let kind = world.repos.first().map_or("User", |repo| repo.owner_kind);
    let by = user(base, owner);
    let suspended = action == "suspend";
    let at = world.repos.first().map_or(Timestamp(0), |repo| repo.created_at).to_string();
    let brief = |repo: &Repository| {
        json!({
            "id": repo.id, "node_id": "R_1", "name": repo.name, "full_name": repo.full_name(), "private": repo.private,
        })
    };
    json!({
        "action": action, "sender": by, "repositories": world.repos.iter().map(brief).collect::<Vec<_>>(),
        "installation": {
            "id": id, "account": pruned(render::user(base, owner, kind)), "repository_selection": "all",
            "access_tokens_url": format!("{base}/app/installations/{id}/access_tokens"),
            "repositories_url": format!("{base}/installation/repositories"),
            "html_url": format!("{base}/settings/installations/{id}"), "app_id": 1, "app_slug": "ccm",
            "target_id": render::user_id(owner), "target_type": kind,
            "permissions": {"contents": "write", "issues": "write", "metadata": "read"}, "events": ["issues", "push"],
            "created_at": at, "updated_at": at, "single_file_name": null,
            "suspended_at": suspended.then_some(&at), "suspended_by": suspended.then_some(&by),
        },
    })
}
