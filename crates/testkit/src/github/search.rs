//! Searches of issues and of code: a bucket and a window of their own, and an index that lags behind.

use std::sync::Arc;

use serde_json::{Value, json};

use super::bare;
use super::call::{Answer, Call, Reply};
use super::hub::Hub;
use super::permission::Permission;
use super::render;
use super::world::{Issue, Repository, World};
use backlog::time::Timestamp;

/// The longest query.
const LONGEST: usize = 256;
/// How many results can be reached by paging.
const MOST: usize = 1_000;

/// A query: qualifiers such as `repo:me/app`, and words.
struct Wanted {
    qualifiers: Vec<(String, String)>,
    words: Vec<String>,
}

impl Wanted {
    fn read(call: &Call) -> Result<Self, Answer> {
        let text = call.query("q").ok_or_else(|| Answer::invalid("Search", "q", "missing", None))?;
        if text.chars().count() > LONGEST {
            let message = "The search is longer than 256 characters.";
            return Err(Answer::invalid("Search", "q", "invalid", Some(message)));
        }
        let (mut qualifiers, mut words) = (Vec::new(), Vec::new());
        for part in text.split_whitespace() {
            match part.split_once(':') {
                Some((name, value)) if name.chars().all(|c| c.is_ascii_lowercase()) => {
                    qualifiers.push((name.to_owned(), value.trim_matches('"').to_owned()));
                }
                _ => words.push(part.trim_matches('"').to_lowercase()),
            }
        }
        Ok(Self { qualifiers, words })
    }

    fn all(&self, fits: impl Fn(&str, &str) -> bool) -> bool {
        self.qualifiers.iter().all(|(name, value)| fits(name, value))
    }

    fn names(&self, repo: &Repository) -> bool {
        self.all(|name, value| match name {
            "repo" => repo.has_name(value),
            "org" | "user" => repo.owner.eq_ignore_ascii_case(value),
            _ => true,
        })
    }

    fn means(&self, issue: &Issue) -> bool {
        let text = format!("{} {}", issue.title, issue.body.as_deref().unwrap_or_default()).to_lowercase();
        self.words.iter().all(|word| text.contains(word))
            && self.all(|name, value| match (name, value) {
                ("is" | "type" | "state", "issue") => issue.pull.is_none(),
                ("is" | "type" | "state", "pr") => issue.pull.is_some(),
                ("is" | "type" | "state", "open") => issue.open,
                ("is" | "type" | "state", "closed") => !issue.open,
                ("author", login) => issue.user.eq_ignore_ascii_case(login),
                ("label", label) => issue.labels.iter().any(|have| have.eq_ignore_ascii_case(label)),
                ("updated", since) => {
                    let since = since.trim_start_matches(">=").trim_start_matches('>');
                    Timestamp::parse_rfc3339(since).is_none_or(|since| issue.updated_at >= since)
                }
                _ => true,
            })
    }
}

/// The page asked for of what was found; the rest of a long list cannot be reached.
fn page(call: &Call, mut found: Vec<Value>) -> Reply {
    let total = found.len();
    found.truncate(MOST);
    for item in &mut found {
        item["score"] = json!(1.0);
    }
    let mut answer = call.page_in("items", found);
    if let super::call::Payload::Json(body) = &mut answer.payload {
        body["total_count"] = json!(total);
        body["incomplete_results"] = json!(false);
    }
    Ok(answer)
}

/// `GET /search/issues`
pub(super) fn issues(call: &Call, world: &mut World) -> Reply {
    let wanted = Wanted::read(call)?;
    let indexed = |issue: &&Issue| issue.created_at.plus(world.search_lag) <= call.now;
    let mut found: Vec<(&Repository, &Issue)> = Vec::new();
    for (at, repo) in world.repos.iter().enumerate() {
        if wanted.names(repo) && call.permission(world, at) > Permission::None {
            found.extend(repo.issues.iter().filter(indexed).filter(|issue| wanted.means(issue)).map(|i| (repo, i)));
        }
    }
    match call.query("sort") {
        Some("updated") => found.sort_by_key(|(_, issue)| issue.updated_at),
        _ => found.sort_by_key(|(_, issue)| issue.created_at),
    }
    if call.query("order") != Some("asc") {
        found.reverse();
    }
    page(call, found.into_iter().map(|(repo, issue)| render::issue(&call.base, repo, issue)).collect())
}

/// `GET /search/code`: files of default branches that have all words.
pub(super) async fn code(call: Arc<Call>, hub: Arc<Hub>) -> Reply {
    let wanted = Wanted::read(&call)?;
    if wanted.words.is_empty() {
        return Err(Answer::invalid("Search", "q", "missing", Some("A code search needs a word.")));
    }
    let places: Vec<_> = {
        let world = hub.world();
        let seen = |at: &usize| wanted.names(&world.repos[*at]) && call.permission(&world, *at) > Permission::None;
        (0..world.repos.len())
            .filter(seen)
            .map(|at| {
                let repo = &world.repos[at];
                let object = render::repository(&call, &world, at, false);
                (object, repo.git_dir.clone(), repo.default_branch.clone(), repo.full_name())
            })
            .collect()
    };
    let mut found = Vec::new();
    for (repository, dir, branch, full_name) in places {
        let mut args = vec!["grep", "--files-with-matches", "--all-match", "--ignore-case", "--fixed-strings"];
        for word in &wanted.words {
            args.extend(["-e", word]);
        }
        args.push(&branch);
        // Nothing found is a failure to git.
        let text = bare::git_text(&dir, &args).await.unwrap_or_default();
        for path in text.lines().filter_map(|line| line.split_once(':').map(|(_, path)| path)) {
            let sha = bare::git_text(&dir, &["rev-parse", &format!("{branch}:{path}")]).await;
            let (sha, home) =
                (sha.map_err(|error| Answer::broken(&error))?, format!("{}/repos/{full_name}", call.base));
            found.push(json!({
                "name": path.rsplit('/').next(), "path": path, "sha": sha,
                "url": format!("{home}/contents/{path}?ref={branch}"), "git_url": format!("{home}/git/blobs/{sha}"),
                "html_url": format!("{}/{full_name}/blob/{branch}/{path}", call.base), "repository": repository,
            }));
        }
    }
    page(&call, found)
}
