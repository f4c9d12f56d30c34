//! Pull requests: their heads follow the real branches, and merging makes a real commit.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use serde_json::{Value, json};

use super::bare::{self, MergeTree};
use super::call::{Answer, Call, Reply};
use super::hub::Hub;
use super::issues::{apply_edit, check_texts, open, shown};
use super::permission::Permission;
use super::render::{self, PullDetails};
use super::world::{Issue, Pull, World};
use backlog::time::Timestamp;

/// The permission that pull request writes need.
pub(super) const NEEDED: &str = "pull_requests=write";

/// The issue and its pull request part.
pub(super) fn find(world: &World, at: usize, number: u64) -> Result<(&Issue, &Pull), Answer> {
    let issue = world.repos[at].issue(number).ok_or_else(Answer::not_found)?;
    Ok((issue, issue.pull.as_ref().ok_or_else(Answer::not_found)?))
}

/// The branch in `head` or `owner:head`.
fn branch_of(head: &str) -> &str {
    head.split_once(':').map_or(head, |(_, branch)| branch)
}

/// `GET /repos/{owner}/{repo}/pulls`
pub(super) fn list(call: &Call, world: &mut World) -> Reply {
    let at = call.repo(world)?;
    world.observe(at, call.now);
    let owner = &world.repos[at].owner;
    let state = call.query("state").unwrap_or("open");
    // GitHub ignores a head without its owner, which makes such a filter match everything.
    let head = call.query("head").filter(|head| head.contains(':'));
    let mut found: Vec<(&Issue, &Pull)> =
        world.repos[at].issues.iter().filter_map(|i| Some((i, i.pull.as_ref()?))).collect();
    found.retain(|(issue, pull)| {
        shown(issue.hidden_until, call.now)
            && (state == "all" || issue.open == (state == "open"))
            && head.is_none_or(|head| head.eq_ignore_ascii_case(&format!("{owner}:{}", pull.head)))
            && call.query("base").is_none_or(|base| base == pull.base)
    });
    let sort = call.query("sort").unwrap_or("created");
    match sort {
        "updated" => found.sort_by_key(|(issue, _)| (issue.updated_at, issue.number)),
        _ => found.sort_by_key(|(issue, _)| (issue.created_at, issue.number)),
    }
    let usual = if sort == "created" { "desc" } else { "asc" };
    if call.query("direction").unwrap_or(usual) == "desc" {
        found.reverse();
    }
    Ok(call.page(found.into_iter().map(|(issue, pull)| render::pull(call, world, at, issue, pull, None)).collect()))
}

/// What a new pull request is made of.
pub(super) struct Draft<'a> {
    pub(super) title: &'a str,
    pub(super) body: Option<&'a str>,
    pub(super) head: &'a str,
    pub(super) base: &'a str,
    pub(super) draft: bool,
    pub(super) by: &'a str,
    pub(super) now: Timestamp,
    pub(super) hidden_until: Timestamp,
}

/// `POST /repos/{owner}/{repo}/pulls`
pub(super) async fn create(call: Arc<Call>, hub: Arc<Hub>) -> Reply {
    let at = call.repo_to_change(&hub.world(), Permission::Write, NEEDED)?;
    let field =
        |name: &'static str| call.text(name).ok_or_else(|| Answer::invalid("PullRequest", name, "missing_field", None));
    let (head, base) = (field("head")?, field("base")?);
    let title = call.text("title").ok_or_else(|| Answer::invalid("PullRequest", "title", "missing_field", None))?;
    check_texts("PullRequest", Some(title), call.text("body"))?;
    let draft = Draft {
        title,
        body: call.text("body"),
        head: branch_of(head),
        base,
        draft: call.body["draft"].as_bool().unwrap_or(false),
        by: call.who(),
        now: call.now,
        hidden_until: call.now.plus(call.hide),
    };
    let number = propose(&hub, at, draft).await?;
    let answer = whole(&call, &hub, at, number, 201).await?;
    let location = format!("{}{}/{number}", call.base, call.path);
    Ok(answer.with("location", location))
}

/// Opens a pull request, whoever does it; gives its number.
pub(super) async fn propose(hub: &Hub, at: usize, draft: Draft<'_>) -> Result<u64, Answer> {
    let invalid = |field: &str| Answer::invalid("PullRequest", field, "invalid", None);
    let (dir, head_sha, base_sha) = {
        let repo = &hub.world().repos[at];
        let head_sha = repo.branch(draft.head).ok_or_else(|| invalid("head"))?;
        (repo.git_dir.clone(), head_sha, repo.branch(draft.base).ok_or_else(|| invalid("base"))?)
    };
    let ahead = bare::commits_between(&dir, &base_sha, &head_sha).await.map_err(|error| Answer::broken(&error))?;
    if ahead == 0 {
        let text = format!("No commits between {} and {}", draft.base, draft.head);
        return Err(Answer::invalid("PullRequest", "", "custom", Some(&text)));
    }
    let mut world = hub.world();
    let same =
        |issue: &Issue| issue.open && issue.pull.as_ref().is_some_and(|p| p.head == draft.head && p.base == draft.base);
    if world.repos[at].issues.iter().any(same) {
        let text = format!("A pull request already exists for {}:{}.", world.repos[at].owner, draft.head);
        return Err(Answer::invalid("PullRequest", "", "custom", Some(&text)));
    }
    let mut issue = open(&world, at, draft.by, draft.title, draft.body, draft.now);
    issue.hidden_until = draft.hidden_until;
    issue.pull = Some(Pull {
        head: draft.head.to_owned(),
        base: draft.base.to_owned(),
        draft: draft.draft,
        head_sha,
        base_sha,
        head_changed_at: draft.now,
        merged_at: None,
        merged_by: None,
        merge_commit_sha: None,
        reviews: Vec::new(),
        review_comments: Vec::new(),
        requested_reviewers: Vec::new(),
    });
    let number = issue.number;
    world.repos[at].issues.push(issue);
    Ok(number)
}

/// A snapshot of a pull request after looking at the branches.
fn look(call: &Call, hub: &Hub, at: usize, number: u64) -> Result<(Issue, Pull, PathBuf), Answer> {
    let mut world = hub.world();
    world.observe(at, call.now);
    let (issue, pull) = find(&world, at, number)?;
    Ok((issue.clone(), pull.clone(), world.repos[at].git_dir.clone()))
}

/// The whole pull request as an answer.
async fn whole(call: &Call, hub: &Hub, at: usize, number: u64, status: u16) -> Reply {
    let (issue, pull, dir) = look(call, hub, at, number)?;
    let details = details(call, hub, &issue, &pull, &dir).await.map_err(|error| Answer::broken(&error))?;
    let body = render::pull(call, &hub.world(), at, &issue, &pull, Some(&details));
    Ok(Answer::json(status, body).modified(issue.updated_at))
}

async fn details(
    call: &Call,
    hub: &Hub,
    issue: &Issue,
    pull: &Pull,
    dir: &std::path::Path,
) -> anyhow::Result<PullDetails> {
    let files = bare::changed_files(dir, &pull.base_sha, &pull.head_sha).await?;
    let commits = bare::commits_between(dir, &pull.base_sha, &pull.head_sha).await?;
    let computing = call.now < pull.head_changed_at.plus(hub.world().mergeable_after);
    let (mergeable, mergeable_state) = if !issue.open || computing {
        (None, "unknown")
    } else if let MergeTree::Conflict = bare::merge_tree(dir, &pull.base_sha, &pull.head_sha).await? {
        (Some(false), "dirty")
    } else {
        (Some(true), if pull.draft { "draft" } else { "clean" })
    };
    Ok(PullDetails {
        mergeable,
        mergeable_state,
        commits,
        additions: files.iter().map(|file| file.additions).sum(),
        deletions: files.iter().map(|file| file.deletions).sum(),
        changed_files: files.len(),
    })
}

/// `GET /repos/{owner}/{repo}/pulls/{pull_number}`
pub(super) async fn get(call: Arc<Call>, hub: Arc<Hub>) -> Reply {
    let at = call.repo(&hub.world())?;
    whole(&call, &hub, at, call.number("pull_number")?, 200).await
}

/// `PATCH /repos/{owner}/{repo}/pulls/{pull_number}`
pub(super) async fn edit(call: Arc<Call>, hub: Arc<Hub>) -> Reply {
    let number = call.number("pull_number")?;
    let at = {
        let mut world = hub.world();
        let at = call.repo_to_change(&world, Permission::Read, NEEDED)?;
        let (issue, pull) = find(&world, at, number)?;
        if issue.user != call.who() && world.permission(at, call.actor.as_deref()) < Permission::Write {
            return Err(Answer::denied(NEEDED));
        }
        check_texts("PullRequest", call.text("title"), call.text("body"))?;
        if call.text("state") == Some("open")
            && (pull.merged_at.is_some() || world.repos[at].branch(&pull.head).is_none())
        {
            let text = "state cannot be changed. The branch was deleted or merged.";
            return Err(Answer::invalid("PullRequest", "state", "custom", Some(text)));
        }
        if call.text("base").is_some_and(|base| world.repos[at].branch(base).is_none()) {
            return Err(Answer::invalid("PullRequest", "base", "invalid", None));
        }
        let World { repos, next_id, .. } = &mut *world;
        let issue = repos[at].issue_mut(number).ok_or_else(Answer::not_found)?;
        apply_edit(&call, issue, next_id);
        if let (Some(base), Some(pull)) = (call.text("base"), &mut issue.pull) {
            base.clone_into(&mut pull.base);
        }
        at
    };
    whole(&call, &hub, at, number, 200).await
}

/// `GET /repos/{owner}/{repo}/pulls/{pull_number}/files`
pub(super) async fn files(call: Arc<Call>, hub: Arc<Hub>) -> Reply {
    let at = call.repo(&hub.world())?;
    let (_, pull, dir) = look(&call, &hub, at, call.number("pull_number")?)?;
    let found = files_of(&call, &hub, at, &pull, &dir).await.map_err(|error| Answer::broken(&error))?;
    Ok(call.page(found))
}

async fn files_of(call: &Call, hub: &Hub, at: usize, pull: &Pull, dir: &std::path::Path) -> anyhow::Result<Vec<Value>> {
    let (home, html) = {
        let repo = &hub.world().repos[at];
        (render::repository_url(&call.base, repo), format!("{}/{}", call.base, repo.full_name()))
    };
    let range = format!("{}...{}", pull.base_sha, pull.head_sha);
    let mut found = Vec::new();
    for file in bare::changed_files(dir, &pull.base_sha, &pull.head_sha).await? {
        let text = bare::git_text(dir, &["diff", "--no-renames", &range, "--", &file.path]).await?;
        let (path, sha) = (&file.path, &pull.head_sha);
        let mut object = json!({
            "sha": file.blob, "filename": path, "status": file.status, "additions": file.additions,
            "deletions": file.deletions, "changes": file.additions + file.deletions,
            "blob_url": format!("{html}/blob/{sha}/{path}"), "raw_url": format!("{html}/raw/{sha}/{path}"),
            "contents_url": format!("{home}/contents/{path}?ref={sha}"),
        });
        if let Some(start) = text.find("\n@@") {
            object["patch"] = json!(text[start + 1..]);
        }
        found.push(object);
    }
    Ok(found)
}

/// `PUT /repos/{owner}/{repo}/pulls/{pull_number}/merge`
pub(super) async fn merge(call: Arc<Call>, hub: Arc<Hub>) -> Reply {
    let at = call.repo_to_change(&hub.world(), Permission::Write, "contents=write")?;
    let number = call.number("pull_number")?;
    let order = Order {
        expected: call.text("sha"),
        method: call.text("merge_method").unwrap_or("merge"),
        title: call.text("commit_title"),
        message: call.text("commit_message"),
        by: call.who(),
        now: call.now,
    };
    let sha = carry_out(&hub, at, number, order).await?;
    Ok(Answer::ok(json!({"sha": sha, "merged": true, "message": "Pull Request successfully merged"})))
}

/// An order to merge.
pub(super) struct Order<'a> {
    pub(super) expected: Option<&'a str>,
    pub(super) method: &'a str,
    pub(super) title: Option<&'a str>,
    pub(super) message: Option<&'a str>,
    pub(super) by: &'a str,
    pub(super) now: Timestamp,
}

/// Merges a pull request, whoever does it; gives the commit made.
pub(super) async fn carry_out(hub: &Hub, at: usize, number: u64, order: Order<'_>) -> Result<String, Answer> {
    let _alone = hub.git_writes.lock().await;
    let (issue, pull, dir, owner) = {
        let mut world = hub.world();
        world.observe(at, order.now);
        let (issue, pull) = find(&world, at, number)?;
        (issue.clone(), pull.clone(), world.repos[at].git_dir.clone(), world.repos[at].owner.clone())
    };
    if pull.draft && issue.open {
        return Err(Answer::error(405, "Pull Request is still a draft"));
    }
    if !issue.open || order.method == "rebase" {
        let text = if issue.open {
            "Rebase merges are not allowed on this repository."
        } else {
            "Pull Request is not mergeable"
        };
        return Err(Answer::error(405, text));
    }
    if order.expected.is_some_and(|sha| sha != pull.head_sha) {
        return Err(Answer::error(409, "Head branch was modified. Review and try the merge again."));
    }
    let broken = |error: anyhow::Error| Answer::broken(&error);
    let MergeTree::Clean(tree) = bare::merge_tree(&dir, &pull.base_sha, &pull.head_sha).await.map_err(broken)? else {
        return Err(Answer::error(405, "Pull Request is not mergeable"));
    };
    let squash = order.method == "squash";
    let usual = if squash {
        format!("{} (#{number})", issue.title)
    } else {
        format!("Merge pull request #{number} from {owner}/{}", pull.head)
    };
    let message = order.message.unwrap_or(if squash { "" } else { &issue.title });
    let message = format!("{}\n\n{message}", order.title.unwrap_or(&usual)).trim_end().to_owned() + "\n";
    let both = [pull.base_sha.as_str(), pull.head_sha.as_str()];
    let parents = if squash { &both[..1] } else { &both[..] };
    let made = bare::commit_tree(&dir, &tree, parents, order.by, order.now, &message).await.map_err(broken)?;
    let base = format!("refs/heads/{}", pull.base);
    let moved = bare::git(&dir, &["update-ref", &base, &made, &pull.base_sha], b"").await;
    if moved.context("the base moved").is_err() {
        return Err(Answer::error(405, "Base branch was modified. Review and try the merge again."));
    }
    settle(&mut hub.world(), at, number, &made, order.by, order.now);
    Ok(made)
}

/// Writes down that a pull request is merged, and closes the issues it names.
fn settle(world: &mut World, at: usize, number: u64, made: &str, by: &str, now: Timestamp) {
    let full_name = world.repos[at].full_name();
    let World { repos, next_id, .. } = &mut *world;
    let default_branch = repos[at].default_branch.clone();
    let mut closes = Vec::new();
    if let Some(issue) = repos[at].issue_mut(number) {
        if let Some(pull) = &mut issue.pull {
            pull.merged_at = Some(now);
            pull.merged_by = Some(by.to_owned());
            pull.merge_commit_sha = Some(made.to_owned());
            if pull.base == default_branch {
                closes = closing_numbers(issue.body.as_deref().unwrap_or_default(), &full_name);
            }
        }
        issue.record("merged", by, now, next_id);
        if let Some(event) = issue.events.last_mut() {
            event.commit = Some(made.to_owned());
        }
        issue.set_open(false, None, by, now, next_id);
    }
    for (name, closed) in closes {
        let Some(repo) = repos.iter_mut().find(|repo| repo.full_name().eq_ignore_ascii_case(&name)) else {
            continue;
        };
        if let Some(issue) = repo.issue_mut(closed) {
            issue.set_open(false, Some("completed"), by, now, next_id);
        }
    }
    world.observe(at, now);
}

/// The issues a text closes: a keyword, then `#n` or `owner/repo#n`.
fn closing_numbers(text: &str, here: &str) -> Vec<(String, u64)> {
    const KEYWORDS: [&str; 9] =
        ["close", "closes", "closed", "fix", "fixes", "fixed", "resolve", "resolves", "resolved"];
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut found = Vec::new();
    for pair in words.windows(2) {
        if !KEYWORDS.contains(&pair[0].trim_end_matches(':').to_ascii_lowercase().as_str()) {
            continue;
        }
        let Some((repo, number)) = pair[1].split_once('#') else {
            continue;
        };
        let number = number.trim_end_matches(|c: char| !c.is_ascii_digit());
        if let Ok(number) = number.parse() {
            found.push((if repo.is_empty() { here } else { repo }.to_owned(), number));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_keywords_name_their_issues() {
        let table = [
            ("Closes #7", "me/app#7"),
            ("This fixes: #1, and resolved you/lib#22.", "me/app#1 you/lib#22"),
            ("fixes #1, #2", "me/app#1"),
            ("see #3; closes nothing; discloses #4", ""),
        ];
        for (text, expected) in table {
            let found: Vec<String> =
                closing_numbers(text, "me/app").iter().map(|(repo, n)| format!("{repo}#{n}")).collect();
            assert_eq!(found.join(" "), expected, "{text}");
        }
    }
}
