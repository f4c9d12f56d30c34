//! Files and commits, read by git.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::bare;
use super::call::{Answer, Call, Reply};
use super::hub::Hub;
use super::render::{self, repository_url};

/// What a handler of this file needs to know about the repository.
struct Place {
    dir: PathBuf,
    home: String,
    html: String,
    default_branch: String,
}

fn place(call: &Call, hub: &Hub) -> Result<Place, Answer> {
    let world = hub.world();
    let repo = &world.repos[call.repo(&world)?];
    Ok(Place {
        dir: repo.git_dir.clone(),
        home: repository_url(&call.base, repo),
        html: format!("{}/{}", call.base, repo.full_name()),
        default_branch: repo.default_branch.clone(),
    })
}

/// The commit behind a branch, tag or SHA; without guessing from abbreviations of other things.
async fn resolve(dir: &Path, name: &str) -> Option<String> {
    if name.starts_with('-') || name.contains("..") {
        return None;
    }
    for full in [format!("refs/heads/{name}"), format!("refs/{name}"), format!("refs/tags/{name}")] {
        if let Some(sha) = bare::read_ref(dir, &full) {
            return Some(sha);
        }
    }
    bare::git_text(dir, &["rev-parse", "--verify", "--quiet", &format!("{name}^{{commit}}")]).await.ok()
}

/// `GET /repos/{owner}/{repo}/contents/{path}`
pub(super) async fn get(call: Arc<Call>, hub: Arc<Hub>) -> Reply {
    let place = place(&call, &hub)?;
    let name = call.query("ref").unwrap_or(&place.default_branch);
    let Some(commit) = resolve(&place.dir, name).await else {
        return Err(Answer::error(404, &format!("No commit found for the ref {name}")));
    };
    let path = call.param("path").trim_matches('/');
    let object = format!("{commit}:{path}");
    let kind = bare::git_text(&place.dir, &["cat-file", "-t", &object]).await.map_err(|_| Answer::not_found())?;
    if kind == "tree" {
        return folder(&place, name, path, &object).await.map_err(|error| Answer::broken(&error));
    }
    let bytes =
        bare::git(&place.dir, &["cat-file", "blob", &object], b"").await.map_err(|error| Answer::broken(&error))?;
    if call.wants("raw") {
        return Ok(Answer::raw("application/vnd.github.raw+json; charset=utf-8", bytes));
    }
    let sha = bare::git_text(&place.dir, &["rev-parse", &object]).await.map_err(|error| Answer::broken(&error))?;
    let mut file = entry(&place, name, path, "file", &sha, bytes.len() as u64);
    let encoded = STANDARD.encode(&bytes);
    let lines: Vec<&str> = encoded.as_bytes().chunks(60).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    file["content"] = json!(lines.iter().map(|line| format!("{line}\n")).collect::<String>());
    file["encoding"] = json!("base64");
    Ok(Answer::ok(file))
}

/// `GET /repos/{owner}/{repo}/git/trees/{tree_sha}`, with `recursive` down to the last file.
pub(super) async fn tree(call: Arc<Call>, hub: Arc<Hub>) -> Reply {
    let place = place(&call, &hub)?;
    let commit = resolve(&place.dir, call.param("tree_sha")).await;
    let name = commit.unwrap_or_else(|| call.param("tree_sha").to_owned());
    let sha = bare::git_text(&place.dir, &["rev-parse", "--verify", "--quiet", &format!("{name}^{{tree}}")]).await;
    let sha = sha.map_err(|_| Answer::not_found())?;
    let mut args = vec!["-c", "core.quotepath=false", "ls-tree", "--long", "-t", &sha];
    if call.query("recursive").is_some() {
        args.insert(4, "-r");
    }
    let text = bare::git_text(&place.dir, &args).await.map_err(|error| Answer::broken(&error))?;
    let most = hub.world().most_tree_entries;
    let entries = text.lines().take(most).filter_map(|line| {
        let (meta, path) = line.split_once('\t')?;
        let meta: Vec<&str> = meta.split_whitespace().collect();
        let (mode, kind, sha) = (meta.first()?, meta.get(1)?, meta.get(2)?);
        let url = format!("{}/git/{kind}s/{sha}", place.home);
        let mut entry = json!({"path": path, "mode": mode, "type": kind, "sha": sha, "url": url});
        if let Some(size) = meta.get(3).and_then(|size| size.parse::<u64>().ok()) {
            entry["size"] = json!(size);
        }
        Some(entry)
    });
    let entries: Vec<Value> = entries.collect();
    let url = format!("{}/git/trees/{sha}", place.home);
    let truncated = text.lines().count() > most;
    Ok(Answer::ok(json!({"sha": sha, "url": url, "tree": entries, "truncated": truncated})))
}

/// How many entries of a folder the contents route gives at most.
const LARGEST_FOLDER: usize = 1_000;

async fn folder(place: &Place, name: &str, path: &str, object: &str) -> anyhow::Result<Answer> {
    let text = bare::git_text(&place.dir, &["-c", "core.quotepath=false", "ls-tree", "--long", object]).await?;
    let entries = text.lines().take(LARGEST_FOLDER).filter_map(|line| {
        let (meta, file) = line.split_once('\t')?;
        let meta: Vec<&str> = meta.split_whitespace().collect();
        let kind = if meta.get(1) == Some(&"tree") { "dir" } else { "file" };
        let full = if path.is_empty() { file.to_owned() } else { format!("{path}/{file}") };
        Some(entry(place, name, &full, kind, meta.get(2)?, meta.get(3)?.parse().unwrap_or(0)))
    });
    Ok(Answer::ok(Value::Array(entries.collect())))
}

fn entry(place: &Place, name: &str, path: &str, kind: &str, sha: &str, size: u64) -> Value {
    let url = format!("{}/contents/{path}?ref={name}", place.home);
    let git_kind = if kind == "dir" { "trees" } else { "blobs" };
    let git_url = format!("{}/git/{git_kind}/{sha}", place.home);
    let html = format!("{}/blob/{name}/{path}", place.html);
    json!({
        "type": kind, "name": path.rsplit('/').next(), "path": path, "sha": sha, "size": size, "url": url,
        "git_url": git_url, "html_url": html,
        "download_url": (kind == "file").then(|| format!("{}/raw/{name}/{path}", place.html)),
        "_links": {"self": url, "git": git_url, "html": html},
    })
}

/// `GET /repos/{owner}/{repo}/tarball/{ref}`: the archive is on another host.
pub(super) async fn tarball(call: Arc<Call>, hub: Arc<Hub>) -> Reply {
    let place = place(&call, &hub)?;
    let Some(sha) = resolve(&place.dir, call.param("ref")).await else { return Err(Answer::not_found()) };
    let id = place.dir.file_stem().map(|id| id.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(Answer::empty(302).with("location", format!("{}/archive/{id}/{sha}", call.elsewhere)))
}

/// `GET /repos/{owner}/{repo}/commits/{ref}`; with the `sha` media type the SHA alone, which is its own entity tag.
pub(super) async fn commit(call: Arc<Call>, hub: Arc<Hub>) -> Reply {
    let place = place(&call, &hub)?;
    let name = call.param("ref");
    let Some(sha) = resolve(&place.dir, name).await else {
        return Err(Answer::error(422, &format!("No commit found for SHA: {name}")));
    };
    if call.wants("sha") {
        return Ok(
            Answer::raw("application/vnd.github.sha; charset=utf-8", sha.clone()).with("etag", format!("\"{sha}\""))
        );
    }
    Ok(Answer::ok(describe(&call, &place, &sha).await?))
}

/// A commit as an object, also for `GET …/branches/{branch}`.
pub(super) async fn commit_object(call: &Call, hub: &Hub, sha: &str) -> Result<Value, Answer> {
    describe(call, &place(call, hub)?, sha).await
}

async fn describe(call: &Call, place: &Place, sha: &str) -> Result<Value, Answer> {
    let format = "--format=%T%x00%P%x00%an%x00%ae%x00%aI%x00%cn%x00%ce%x00%cI%x00%B";
    let text =
        bare::git_text(&place.dir, &["show", "--no-patch", format, sha]).await.map_err(|e| Answer::broken(&e))?;
    let fields: Vec<&str> = text.splitn(9, '\0').collect();
    let field = |at: usize| fields.get(at).copied().unwrap_or_default();
    let url = format!("{}/commits/{sha}", place.home);
    let parents: Vec<Value> = field(1)
        .split_whitespace()
        .map(|sha| json!({"sha": sha, "url": format!("{}/commits/{sha}", place.home), "html_url": format!("{}/commit/{sha}", place.html)}))
        .collect();
    Ok(json!({
        "sha": sha, "node_id": format!("C_{sha}"), "url": url, "html_url": format!("{}/commit/{sha}", place.html),
        "comments_url": format!("{url}/comments"), "parents": parents,
        "author": render::user(&call.base, field(2), "User"), "committer": render::user(&call.base, field(5), "User"),
        "commit": {
            "url": format!("{}/git/commits/{sha}", place.home), "message": field(8).trim_end(), "comment_count": 0,
            "author": {"name": field(2), "email": field(3), "date": field(4)},
            "committer": {"name": field(5), "email": field(6), "date": field(7)},
            "tree": {"sha": field(0), "url": format!("{}/git/trees/{}", place.home, field(0))},
            "verification": {"verified": false, "reason": "unsigned", "signature": null, "payload": null, "verified_at": null},
        },
    }))
}
