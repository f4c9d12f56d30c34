//! Branches and raw refs.

use std::sync::Arc;

use serde_json::{Value, json};

use super::bare;
use super::call::{Answer, Call, Reply};
use super::contents;
use super::hub::Hub;
use super::permission::Permission;
use super::render::repository_url;
use super::world::{Repository, World};

const NEEDED: &str = "contents=write";

fn json_of(call: &Call, repo: &Repository, name: &str, sha: &str) -> Value {
    let home = repository_url(&call.base, repo);
    json!({
        "ref": name, "node_id": format!("REF_{}:{name}", repo.id), "url": format!("{home}/git/{name}"),
        "object": {"type": "commit", "sha": sha, "url": format!("{home}/git/commits/{sha}")},
    })
}

/// `GET /repos/{owner}/{repo}/git/ref/{ref}`, where `{ref}` is such as `heads/main`.
pub(super) fn get(call: &Call, world: &mut World) -> Reply {
    let at = call.repo(world)?;
    let name = format!("refs/{}", call.param("ref"));
    let sha = bare::read_ref(&world.repos[at].git_dir, &name).ok_or_else(Answer::not_found)?;
    Ok(Answer::ok(json_of(call, &world.repos[at], &name, &sha)))
}

/// `GET /repos/{owner}/{repo}/branches`
pub(super) fn branches(call: &Call, world: &mut World) -> Reply {
    let at = call.repo(world)?;
    let repo = &world.repos[at];
    let all = bare::branches(&repo.git_dir);
    Ok(call.page(all.iter().map(|(name, sha)| short(call, repo, name, sha)).collect()))
}

/// `GET /repos/{owner}/{repo}/branches/{branch}`
pub(super) async fn branch(call: Arc<Call>, hub: Arc<Hub>) -> Reply {
    let name = call.param("branch");
    let (sha, home, html) = {
        let world = hub.world();
        let repo = &world.repos[call.repo(&world)?];
        let sha = repo.branch(name).ok_or_else(|| Answer::error(404, "Branch not found"))?;
        (sha, repository_url(&call.base, repo), format!("{}/{}", call.base, repo.full_name()))
    };
    Ok(Answer::ok(json!({
        "name": name, "commit": contents::commit_object(&call, &hub, &sha).await?, "protected": false,
        "_links": {"self": format!("{home}/branches/{name}"), "html": format!("{html}/tree/{name}")},
        "protection": {"enabled": false}, "protection_url": format!("{home}/branches/{name}/protection"),
    })))
}

fn short(call: &Call, repo: &Repository, name: &str, sha: &str) -> Value {
    let url = format!("{}/commits/{sha}", repository_url(&call.base, repo));
    json!({"name": name, "commit": {"sha": sha, "url": url}, "protected": false})
}

/// The folder of the repository of a change, if the caller may push.
fn to_change(call: &Call, hub: &Hub) -> Result<(usize, std::path::PathBuf), Answer> {
    let world = hub.world();
    let at = call.repo_to_change(&world, Permission::Write, NEEDED)?;
    Ok((at, world.repos[at].git_dir.clone()))
}

/// Whether the repository has this commit.
async fn has_commit(dir: &std::path::Path, sha: &str) -> bool {
    sha.len() == 40 && bare::git(dir, &["cat-file", "-e", &format!("{sha}^{{commit}}")], b"").await.is_ok()
}

/// `POST /repos/{owner}/{repo}/git/refs`
pub(super) async fn create(call: Arc<Call>, hub: Arc<Hub>) -> Reply {
    let (at, dir) = to_change(&call, &hub)?;
    let name = call.text("ref").ok_or_else(|| Answer::missing("ref"))?;
    let sha = call.text("sha").ok_or_else(|| Answer::missing("sha"))?;
    if !name.starts_with("refs/") || name.matches('/').count() < 2 {
        return Err(Answer::error(422, "Reference name must start with 'refs/' and contain at least two slashes."));
    }
    if !has_commit(&dir, sha).await {
        return Err(Answer::error(422, "Object does not exist"));
    }
    let _alone = hub.git_writes.lock().await;
    if bare::read_ref(&dir, name).is_some() {
        return Err(Answer::error(422, "Reference already exists"));
    }
    if bare::git(&dir, &["update-ref", name, sha, ""], b"").await.is_err() {
        return Err(Answer::error(422, &format!("{name} is not a valid ref name.")));
    }
    let mut world = hub.world();
    world.observe(at, call.now);
    Ok(Answer::json(201, json_of(&call, &world.repos[at], name, sha)))
}

/// `PATCH /repos/{owner}/{repo}/git/refs/{ref}`
pub(super) async fn update(call: Arc<Call>, hub: Arc<Hub>) -> Reply {
    let (at, dir) = to_change(&call, &hub)?;
    let name = format!("refs/{}", call.param("ref"));
    let sha = call.text("sha").ok_or_else(|| Answer::missing("sha"))?;
    let _alone = hub.git_writes.lock().await;
    let Some(old) = bare::read_ref(&dir, &name) else {
        return Err(Answer::error(422, "Reference does not exist"));
    };
    if !has_commit(&dir, sha).await {
        return Err(Answer::error(422, "Object does not exist"));
    }
    let force = call.body["force"].as_bool().unwrap_or(false);
    if !force && bare::git(&dir, &["merge-base", "--is-ancestor", &old, sha], b"").await.is_err() {
        return Err(Answer::error(422, "Update is not a fast forward"));
    }
    bare::git(&dir, &["update-ref", &name, sha, &old], b"").await.map_err(|error| Answer::broken(&error))?;
    let mut world = hub.world();
    world.observe(at, call.now);
    Ok(Answer::ok(json_of(&call, &world.repos[at], &name, sha)))
}

/// `DELETE /repos/{owner}/{repo}/git/refs/{ref}`
pub(super) async fn delete(call: Arc<Call>, hub: Arc<Hub>) -> Reply {
    let (at, dir) = to_change(&call, &hub)?;
    let name = format!("refs/{}", call.param("ref"));
    let _alone = hub.git_writes.lock().await;
    if bare::read_ref(&dir, &name).is_none() {
        return Err(Answer::error(422, "Reference does not exist"));
    }
    bare::git(&dir, &["update-ref", "-d", &name], b"").await.map_err(|error| Answer::broken(&error))?;
    hub.world().observe(at, call.now);
    Ok(Answer::empty(204))
}
