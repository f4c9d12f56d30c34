//! Objects as GitHub's JSON. Everything an object links to is an address of this server.

use serde_json::{Map, Value, json};

use super::call::Call;
use super::permission::Permission;
use super::world::{CheckRun, Comment, Issue, IssueEvent, Label, Pull, Repository, Review, ReviewComment, World};

/// A stable id for a login, so that users need no table of ids.
pub(super) fn user_id(login: &str) -> u64 {
    let hash = login
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    hash >> 40
}

/// The opaque id of an object.
pub(super) fn node(kind: &str, id: u64) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(format!("{kind}{id}"))
}

/// A user, bot or organisation as it appears inside other objects.
pub(super) fn user(base: &str, login: &str, kind: &str) -> Value {
    let kind = if login.ends_with("[bot]") { "Bot" } else { kind };
    let in_path = login.replace('[', "%5B").replace(']', "%5D");
    let url = format!("{base}/users/{in_path}");
    json!({
        "login": login, "id": user_id(login), "node_id": node("User", user_id(login)),
        "avatar_url": format!("{base}/avatars/u/{}", user_id(login)), "gravatar_id": "", "url": url,
        "html_url": format!("{base}/{in_path}"), "followers_url": format!("{url}/followers"),
        "following_url": format!("{url}/following{{/other_user}}"), "gists_url": format!("{url}/gists{{/gist_id}}"),
        "starred_url": format!("{url}/starred{{/owner}}{{/repo}}"), "subscriptions_url": format!("{url}/subscriptions"),
        "organizations_url": format!("{url}/orgs"), "repos_url": format!("{url}/repos"),
        "events_url": format!("{url}/events{{/privacy}}"), "received_events_url": format!("{url}/received_events"),
        "type": kind, "user_view_type": "public", "site_admin": false,
    })
}

/// The names of a repository's links and what follows its own address in each.
const REPOSITORY_LINKS: &[(&str, &str)] = &[
    ("archive", "/{archive_format}{/ref}"),
    ("assignees", "/assignees{/user}"),
    ("blobs", "/git/blobs{/sha}"),
    ("branches", "/branches{/branch}"),
    ("collaborators", "/collaborators{/collaborator}"),
    ("comments", "/comments{/number}"),
    ("commits", "/commits{/sha}"),
    ("compare", "/compare/{base}...{head}"),
    ("contents", "/contents/{+path}"),
    ("contributors", "/contributors"),
    ("deployments", "/deployments"),
    ("downloads", "/downloads"),
    ("events", "/events"),
    ("forks", "/forks"),
    ("git_commits", "/git/commits{/sha}"),
    ("git_refs", "/git/refs{/sha}"),
    ("git_tags", "/git/tags{/sha}"),
    ("hooks", "/hooks"),
    ("issue_comment", "/issues/comments{/number}"),
    ("issue_events", "/issues/events{/number}"),
    ("issues", "/issues{/number}"),
    ("keys", "/keys{/key_id}"),
    ("labels", "/labels{/name}"),
    ("languages", "/languages"),
    ("merges", "/merges"),
    ("milestones", "/milestones{/number}"),
    ("notifications", "/notifications{?since,all,participating}"),
    ("pulls", "/pulls{/number}"),
    ("releases", "/releases{/id}"),
    ("stargazers", "/stargazers"),
    ("statuses", "/statuses/{sha}"),
    ("subscribers", "/subscribers"),
    ("subscription", "/subscription"),
    ("tags", "/tags"),
    ("teams", "/teams"),
    ("trees", "/git/trees{/sha}"),
];

/// A repository; `full` adds what only `GET /repos/{owner}/{repo}` has.
pub(super) fn repository(call: &Call, world: &World, at: usize, full: bool) -> Value {
    let (base, repo) = (&call.base, &world.repos[at]);
    let url = repository_url(base, repo);
    let html = format!("{base}/{}", repo.full_name());
    let open = repo.issues.iter().filter(|issue| issue.open).count();
    let permission = world.permission(at, call.actor.as_deref());
    let mut object = json!({
        "id": repo.id, "node_id": node("Repository", repo.id), "name": repo.name, "full_name": repo.full_name(),
        "private": repo.private, "owner": user(base, &repo.owner, repo.owner_kind), "html_url": html,
        "description": repo.description, "fork": false, "url": url, "homepage": null, "language": null, "license": null,
        "git_url": format!("git:{}.git", html.trim_start_matches("http:")), "ssh_url": format!("git@127.0.0.1:{}.git", repo.full_name()),
        "clone_url": format!("{html}.git"), "svn_url": html, "mirror_url": null,
    });
    let state = json!({
        "size": 1, "default_branch": repo.default_branch, "open_issues_count": open, "open_issues": open,
        "is_template": false, "topics": [], "has_issues": repo.has_issues, "has_projects": true, "has_wiki": true,
        "has_pages": false, "has_downloads": true, "has_discussions": false, "archived": repo.archived, "disabled": false,
        "visibility": if repo.private { "private" } else { "public" }, "pushed_at": repo.pushed_at.to_string(),
        "created_at": repo.created_at.to_string(), "updated_at": repo.updated_at.to_string(),
        "stargazers_count": 0, "watchers_count": 0, "watchers": 0, "forks_count": 0, "forks": 0,
        "allow_forking": true, "web_commit_signoff_required": false,
        // A token of an installation is told nothing of what it may do.
        "permissions": if call.grant.is_some() { json!({"admin": false, "push": false, "pull": false}) } else { json!({
            "admin": permission >= Permission::Admin, "maintain": permission >= Permission::Maintain,
            "push": permission >= Permission::Write, "triage": permission >= Permission::Triage,
            "pull": permission >= Permission::Read,
        }) },
    });
    merge_into(&mut object, state);
    for (name, rest) in REPOSITORY_LINKS {
        object[format!("{name}_url")] = json!(format!("{url}{rest}"));
    }
    if full {
        let extra = json!({
            "network_count": 0, "subscribers_count": 0, "allow_merge_commit": true, "allow_squash_merge": true,
            "allow_rebase_merge": false, "allow_auto_merge": false, "delete_branch_on_merge": false,
            "allow_update_branch": false, "temp_clone_token": null,
        });
        merge_into(&mut object, extra);
    }
    object
}

/// Adds the fields of one object to another.
pub(super) fn merge_into(object: &mut Value, extra: Value) {
    if let (Value::Object(object), Value::Object(extra)) = (object, extra) {
        object.extend(extra);
    }
}

/// The API address of a repository.
pub(super) fn repository_url(base: &str, repo: &Repository) -> String {
    format!("{base}/repos/{}", repo.full_name())
}

/// A label.
pub(super) fn label(base: &str, repo: &Repository, label: &Label) -> Value {
    let in_path: String = url::form_urlencoded::byte_serialize(label.name.as_bytes()).collect();
    json!({
        "id": label.id, "node_id": node("Label", label.id), "name": label.name, "color": label.color, "default": false,
        "description": label.description, "url": format!("{}/labels/{}", repository_url(base, repo), in_path.replace('+', "%20")),
    })
}

fn labels(base: &str, repo: &Repository, names: &[String]) -> Vec<Value> {
    let find = |name: &String| repo.labels.iter().find(|label| label.name.eq_ignore_ascii_case(name));
    names.iter().filter_map(find).map(|found| label(base, repo, found)).collect()
}

fn reactions(url: &str, thumbs: u64) -> Value {
    let mut reactions = Map::new();
    for name in ["+1", "-1", "laugh", "hooray", "confused", "heart", "rocket", "eyes", "total_count"] {
        reactions.insert(name.to_owned(), json!(0));
    }
    for name in ["+1", "total_count"] {
        reactions.insert(name.to_owned(), json!(thumbs));
    }
    reactions.insert("url".to_owned(), json!(format!("{url}/reactions")));
    Value::Object(reactions)
}

fn state(open: bool) -> &'static str {
    if open { "open" } else { "closed" }
}

fn users(base: &str, logins: &[String]) -> Vec<Value> {
    logins.iter().map(|login| user(base, login, "User")).collect()
}

/// An issue, also for a pull request seen as an issue.
pub(super) fn issue(base: &str, repo: &Repository, issue: &Issue) -> Value {
    let home = repository_url(base, repo);
    let url = format!("{home}/issues/{}", issue.number);
    let html = format!(
        "{base}/{}/{}/{}",
        repo.full_name(),
        if issue.pull.is_some() { "pull" } else { "issues" },
        issue.number
    );
    let assignees = users(base, &issue.assignees);
    let mut object = json!({
        "id": issue.id, "node_id": node("Issue", issue.id), "url": url, "repository_url": home, "html_url": html,
        "labels_url": format!("{url}/labels{{/name}}"), "comments_url": format!("{url}/comments"),
        "events_url": format!("{url}/events"), "timeline_url": format!("{url}/timeline"),
        "number": issue.number, "title": issue.title, "user": user(base, &issue.user, "User"),
        "labels": labels(base, repo, &issue.labels), "state": state(issue.open), "state_reason": issue.state_reason,
        "locked": issue.locked, "active_lock_reason": null, "assignee": assignees.first(), "assignees": assignees,
        "milestone": null, "comments": issue.comments.len(), "created_at": issue.created_at.to_string(),
        "updated_at": issue.updated_at.to_string(), "closed_at": issue.closed_at.map(|at| at.to_string()),
        "closed_by": issue.closed_by.as_ref().map(|login| user(base, login, "User")),
        "author_association": issue.association, "body": issue.body, "reactions": reactions(&url, issue.reactions),
        "performed_via_github_app": null,
    });
    if let Some(pull) = &issue.pull {
        object["draft"] = json!(pull.draft);
        object["pull_request"] = json!({
            "url": format!("{home}/pulls/{}", issue.number), "html_url": html, "diff_url": format!("{html}.diff"),
            "patch_url": format!("{html}.patch"), "merged_at": pull.merged_at.map(|at| at.to_string()),
        });
    }
    object
}

/// A comment on an issue or pull request.
pub(super) fn comment(base: &str, repo: &Repository, issue: &Issue, comment: &Comment) -> Value {
    let home = repository_url(base, repo);
    let url = format!("{home}/issues/comments/{}", comment.id);
    let kind = if issue.pull.is_some() { "pull" } else { "issues" };
    json!({
        "id": comment.id, "node_id": node("IssueComment", comment.id), "url": url,
        "html_url": format!("{base}/{}/{kind}/{}#issuecomment-{}", repo.full_name(), issue.number, comment.id),
        "issue_url": format!("{home}/issues/{}", issue.number), "user": user(base, &comment.user, "User"),
        "body": comment.body, "created_at": comment.created_at.to_string(), "updated_at": comment.updated_at.to_string(),
        "author_association": comment.association, "reactions": reactions(&url, 0), "performed_via_github_app": null,
    })
}

/// A line of an issue's history.
pub(super) fn event(base: &str, repo: &Repository, event: &IssueEvent) -> Value {
    let home = repository_url(base, repo);
    let mut object = json!({
        "id": event.id, "node_id": node("Event", event.id), "url": format!("{home}/issues/events/{}", event.id),
        "actor": user(base, &event.actor, "User"), "event": event.kind, "commit_id": event.commit,
        "commit_url": event.commit.as_ref().map(|sha| format!("{home}/commits/{sha}")),
        "created_at": event.at.to_string(), "performed_via_github_app": null,
    });
    if let Some(name) = &event.label {
        let color = repo.labels.iter().find(|label| label.name == *name).map_or("ededed", |label| &label.color);
        object["label"] = json!({"name": name, "color": color});
    }
    if let Some((from, to)) = &event.rename {
        object["rename"] = json!({"from": from, "to": to});
    }
    object
}

/// What only the answer for a single pull request has.
pub(super) struct PullDetails {
    pub(super) mergeable: Option<bool>,
    pub(super) mergeable_state: &'static str,
    pub(super) commits: u64,
    pub(super) additions: u64,
    pub(super) deletions: u64,
    pub(super) changed_files: usize,
}

/// A pull request as in lists, or whole with details.
pub(super) fn pull(
    call: &Call,
    world: &World,
    at: usize,
    issue: &Issue,
    pull: &Pull,
    details: Option<&PullDetails>,
) -> Value {
    let (base, repo) = (&call.base, &world.repos[at]);
    let home = repository_url(base, repo);
    let (url, as_issue) = (format!("{home}/pulls/{}", issue.number), format!("{home}/issues/{}", issue.number));
    let html = format!("{base}/{}/pull/{}", repo.full_name(), issue.number);
    let side = |branch: &str, sha: &str| {
        json!({
            "label": format!("{}:{branch}", repo.owner), "ref": branch, "sha": sha,
            "user": user(base, &repo.owner, repo.owner_kind), "repo": repository(call, world, at, false),
        })
    };
    let assignees = users(base, &issue.assignees);
    let link = |href: String| json!({"href": href});
    let mut object = json!({
        "id": issue.id, "node_id": node("PullRequest", issue.id), "url": url, "html_url": html, "issue_url": as_issue,
        "diff_url": format!("{html}.diff"), "patch_url": format!("{html}.patch"), "commits_url": format!("{url}/commits"),
        "review_comments_url": format!("{url}/comments"), "review_comment_url": format!("{home}/pulls/comments{{/number}}"),
        "comments_url": format!("{as_issue}/comments"), "statuses_url": format!("{home}/statuses/{}", pull.head_sha),
    });
    let content = json!({
        "number": issue.number, "state": state(issue.open), "locked": issue.locked, "active_lock_reason": null,
        "title": issue.title, "user": user(base, &issue.user, "User"), "body": issue.body,
        "labels": labels(base, repo, &issue.labels), "milestone": null, "draft": pull.draft,
        "created_at": issue.created_at.to_string(), "updated_at": issue.updated_at.to_string(),
        "closed_at": issue.closed_at.map(|at| at.to_string()), "merged_at": pull.merged_at.map(|at| at.to_string()),
        "merge_commit_sha": pull.merge_commit_sha, "assignee": assignees.first(), "assignees": assignees,
        "requested_reviewers": users(base, &pull.requested_reviewers), "requested_teams": [],
        "head": side(&pull.head, &pull.head_sha), "base": side(&pull.base, &pull.base_sha),
        "author_association": issue.association, "auto_merge": null,
        "_links": {
            "self": link(url.clone()), "html": link(html.clone()), "issue": link(as_issue.clone()),
            "comments": link(format!("{as_issue}/comments")), "review_comments": link(format!("{url}/comments")),
            "review_comment": link(format!("{home}/pulls/comments{{/number}}")), "commits": link(format!("{url}/commits")),
            "statuses": link(format!("{home}/statuses/{}", pull.head_sha)),
        },
    });
    merge_into(&mut object, content);
    if let Some(details) = details {
        let extra = json!({
            "merged": pull.merged_at.is_some(), "mergeable": details.mergeable, "rebaseable": details.mergeable,
            "mergeable_state": details.mergeable_state, "comments": issue.comments.len(),
            "merged_by": pull.merged_by.as_ref().map(|login| user(base, login, "User")),
            "review_comments": pull.review_comments.len(), "maintainer_can_modify": false, "commits": details.commits,
            "additions": details.additions, "deletions": details.deletions, "changed_files": details.changed_files,
        });
        merge_into(&mut object, extra);
    }
    object
}

/// A review.
pub(super) fn review(base: &str, repo: &Repository, number: u64, review: &Review) -> Value {
    let url = format!("{}/pulls/{number}", repository_url(base, repo));
    let html = format!("{base}/{}/pull/{number}#pullrequestreview-{}", repo.full_name(), review.id);
    json!({
        "id": review.id, "node_id": node("PullRequestReview", review.id), "user": user(base, &review.user, "User"),
        "body": review.body, "state": review.state, "html_url": html, "pull_request_url": url,
        "_links": {"html": {"href": html}, "pull_request": {"href": url}},
        "submitted_at": review.submitted_at.to_string(), "commit_id": review.commit, "author_association": "COLLABORATOR",
    })
}

/// A comment on a line of a diff.
pub(super) fn review_comment(base: &str, repo: &Repository, number: u64, comment: &ReviewComment) -> Value {
    let home = repository_url(base, repo);
    let (pull, url) = (format!("{home}/pulls/{number}"), format!("{home}/pulls/comments/{}", comment.id));
    let html = format!("{base}/{}/pull/{number}#discussion_r{}", repo.full_name(), comment.id);
    json!({
        "id": comment.id, "node_id": node("PullRequestReviewComment", comment.id), "url": url, "html_url": html,
        "pull_request_review_id": comment.review, "pull_request_url": pull, "diff_hunk": "", "path": comment.path,
        "line": comment.line, "original_line": comment.line, "start_line": null, "original_start_line": null,
        "start_side": null, "side": "RIGHT", "position": comment.line, "original_position": comment.line,
        "subject_type": "line", "commit_id": comment.commit, "original_commit_id": comment.commit,
        "user": user(base, &comment.user, "User"), "body": comment.body, "created_at": comment.created_at.to_string(),
        "updated_at": comment.created_at.to_string(), "author_association": "COLLABORATOR", "reactions": reactions(&url, 0),
        "_links": {"self": {"href": url}, "html": {"href": html}, "pull_request": {"href": pull}},
    })
}

/// A check run.
pub(super) fn check_run(base: &str, repo: &Repository, run: &CheckRun) -> Value {
    let home = repository_url(base, repo);
    let url = format!("{home}/check-runs/{}", run.id);
    let details = format!("{base}/{}/actions/runs/{}/job/{}", repo.full_name(), run.run, run.id);
    let (title, summary, text) = &run.output;
    let pulls = repo.issues.iter().filter_map(|issue| Some((issue.number, issue.pull.as_ref()?)));
    let pulls: Vec<Value> = pulls
        .filter(|(_, pull)| pull.head_sha == run.sha)
        .map(|(number, pull)| {
            let side = |branch: &str, sha: &str| {
                json!({"ref": branch, "sha": sha, "repo": {"id": repo.id, "url": home, "name": repo.name}})
            };
            json!({
                "id": number, "number": number, "url": format!("{home}/pulls/{number}"),
                "head": side(&pull.head, &pull.head_sha), "base": side(&pull.base, &pull.base_sha),
            })
        })
        .collect();
    json!({
        "id": run.id, "node_id": node("CheckRun", run.id), "name": run.name, "head_sha": run.sha, "external_id": "",
        "url": url, "html_url": details, "details_url": details, "status": run.status, "conclusion": run.conclusion,
        "started_at": run.started_at.to_string(), "completed_at": run.completed_at.map(|at| at.to_string()),
        "output": {
            "title": title, "summary": summary, "text": text, "annotations_count": 0, "annotations_url": format!("{url}/annotations"),
        },
        "check_suite": {"id": run.run}, "pull_requests": pulls,
        "app": {
            "id": 15368, "slug": "github-actions", "node_id": node("App", 15368), "name": "GitHub Actions",
            "owner": user(base, "github", "Organization"), "description": "Automate your workflow from idea to production",
            "external_url": "https://help.github.com/en/actions", "html_url": format!("{base}/apps/github-actions"),
            "created_at": repo.created_at.to_string(), "updated_at": repo.created_at.to_string(),
            "permissions": {"checks": "write"}, "events": [],
        },
    })
}
