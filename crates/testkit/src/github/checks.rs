//! Check runs, commit statuses, workflow runs and the logs of their jobs.

use serde_json::{Value, json};

use super::bare;
use super::call::{Answer, Call, Reply};
use super::permission::Permission;
use super::render::{self, repository_url};
use super::world::{CheckRun, Repository, Status, WorkflowRun, World};

/// The commit a `{ref}` means: a branch, `heads/branch`, or a SHA.
fn commit(call: &Call, repo: &Repository) -> String {
    let name = call.param("ref");
    let as_ref = bare::read_ref(&repo.git_dir, &format!("refs/{name}"));
    repo.branch(name).or(as_ref).unwrap_or_else(|| name.to_owned())
}

/// `GET /repos/{owner}/{repo}/commits/{ref}/check-runs`: the newest of each name, unless all are asked for.
pub(super) fn of_commit(call: &Call, world: &mut World) -> Reply {
    let repo = &world.repos[call.repo(world)?];
    let sha = commit(call, repo);
    let mut found: Vec<&CheckRun> = repo.check_runs.iter().rev().filter(|run| run.sha == sha).collect();
    if call.query("filter") != Some("all") {
        let mut seen = std::collections::BTreeSet::new();
        found.retain(|run| seen.insert(run.name.clone()));
    }
    found.retain(|run| call.query("check_name").is_none_or(|name| name == run.name));
    found.retain(|run| call.query("status").is_none_or(|status| status == run.status));
    Ok(call.page_in("check_runs", found.into_iter().map(|run| render::check_run(&call.base, repo, run)).collect()))
}

/// `GET /repos/{owner}/{repo}/check-runs/{check_run_id}`
pub(super) fn get(call: &Call, world: &mut World) -> Reply {
    let repo = &world.repos[call.repo(world)?];
    let id = call.number("check_run_id")?;
    let run = repo.check_runs.iter().find(|run| run.id == id).ok_or_else(Answer::not_found)?;
    Ok(Answer::ok(render::check_run(&call.base, repo, run)))
}

fn status_json(call: &Call, repo: &Repository, status: &Status) -> Value {
    let at = status.at.to_string();
    json!({
        "id": status.id, "node_id": format!("SC_{}", status.id), "state": status.state, "context": status.context,
        "description": status.description, "target_url": status.target_url, "created_at": at, "updated_at": at,
        "url": format!("{}/statuses/{}", repository_url(&call.base, repo), status.sha),
        "avatar_url": format!("{}/avatars/u/{}", call.base, render::user_id(&status.creator)),
    })
}

/// `GET /repos/{owner}/{repo}/commits/{ref}/status`: the newest of each context, and what they amount to.
pub(super) fn status(call: &Call, world: &mut World) -> Reply {
    let at = call.repo(world)?;
    let repo = &world.repos[at];
    let sha = commit(call, repo);
    let mut seen = std::collections::BTreeSet::new();
    let mine = repo.statuses.iter().rev().filter(|status| status.sha == sha);
    let newest: Vec<&Status> = mine.filter(|status| seen.insert(status.context.clone())).collect();
    let any = |states: &[&str]| newest.iter().any(|status| states.contains(&status.state.as_str()));
    let state = if any(&["failure", "error"]) {
        "failure"
    } else if newest.is_empty() || any(&["pending"]) {
        "pending"
    } else {
        "success"
    };
    let url = format!("{}/commits/{sha}", repository_url(&call.base, repo));
    Ok(Answer::ok(json!({
        "state": state, "sha": sha, "total_count": newest.len(), "commit_url": url, "url": format!("{url}/status"),
        "statuses": newest.iter().map(|status| status_json(call, repo, status)).collect::<Vec<_>>(),
        "repository": render::repository(call, world, at, false),
    })))
}

/// What the checks and statuses of a commit amount to, in the words of GraphQL; `None` when it has none.
pub(super) fn rollup(repo: &Repository, sha: &str) -> Option<&'static str> {
    let mut seen = std::collections::BTreeSet::new();
    let runs = repo.check_runs.iter().rev().filter(|run| run.sha == sha && seen.insert(run.name.as_str()));
    let mut words: Vec<&str> = runs.map(|run| run.conclusion.as_deref().unwrap_or("pending")).collect();
    let mut seen = std::collections::BTreeSet::new();
    let statuses = repo.statuses.iter().rev().filter(|status| status.sha == sha);
    words.extend(statuses.filter(|status| seen.insert(&status.context)).map(|status| status.state.as_str()));
    let any = |wanted: &[&str]| words.iter().any(|word| wanted.contains(word));
    if words.is_empty() {
        None
    } else if any(&["failure", "timed_out", "startup_failure", "cancelled", "action_required", "error"]) {
        Some("FAILURE")
    } else if any(&["pending"]) {
        Some("PENDING")
    } else {
        Some("SUCCESS")
    }
}

/// `GET /repos/{owner}/{repo}/commits/{ref}/statuses`: all, newest first.
pub(super) fn statuses(call: &Call, world: &mut World) -> Reply {
    let repo = &world.repos[call.repo(world)?];
    let sha = commit(call, repo);
    let mine = repo.statuses.iter().rev().filter(|status| status.sha == sha);
    let with_creator = mine.map(|status| {
        let mut object = status_json(call, repo, status);
        object["creator"] = render::user(&call.base, &status.creator, "User");
        object
    });
    Ok(call.page(with_creator.collect()))
}

/// `POST /repos/{owner}/{repo}/statuses/{sha}`
pub(super) fn set_status(call: &Call, world: &mut World) -> Reply {
    let at = call.repo_to_change(world, Permission::Write, "statuses=write")?;
    let state = call.text("state").unwrap_or_default();
    if !matches!(state, "error" | "failure" | "pending" | "success") {
        return Err(Answer::invalid("Status", "state", "inclusion", None));
    }
    let status = Status {
        id: world.id(),
        sha: call.param("sha").to_owned(),
        context: call.text("context").unwrap_or("default").to_owned(),
        state: state.to_owned(),
        description: call.text("description").map(str::to_owned),
        target_url: call.text("target_url").map(str::to_owned),
        creator: call.who().to_owned(),
        at: call.now,
    };
    let mut body = status_json(call, &world.repos[at], &status);
    body["creator"] = render::user(&call.base, call.who(), "User");
    world.repos[at].statuses.push(status);
    Ok(Answer::json(201, body))
}

fn run_json(call: &Call, world: &World, at: usize, run: &WorkflowRun) -> Value {
    let repo = &world.repos[at];
    let home = repository_url(&call.base, repo);
    let (url, time) = (format!("{home}/actions/runs/{}", run.id), run.at.to_string());
    let short = render::repository(call, world, at, false);
    let actor = render::user(&call.base, &repo.owner, repo.owner_kind);
    let mut object = json!({
        "id": run.id, "name": run.name, "display_title": run.name, "node_id": format!("WFR_{}", run.id),
        "head_branch": run.branch, "head_sha": run.sha, "path": ".github/workflows/ci.yml", "run_number": run.id,
        "run_attempt": 1, "event": run.event, "status": run.status, "conclusion": run.conclusion, "workflow_id": 1,
        "check_suite_id": run.id, "check_suite_node_id": format!("CS_{}", run.id), "url": url,
        "html_url": format!("{}/{}/actions/runs/{}", call.base, repo.full_name(), run.id), "pull_requests": [],
    });
    let links = json!({
        "created_at": time, "updated_at": time, "run_started_at": time, "actor": actor, "triggering_actor": actor,
        "jobs_url": format!("{url}/jobs"), "logs_url": format!("{url}/logs"), "artifacts_url": format!("{url}/artifacts"),
        "check_suite_url": format!("{home}/check-suites/{}", run.id), "cancel_url": format!("{url}/cancel"),
        "rerun_url": format!("{url}/rerun"), "previous_attempt_url": null,
        "workflow_url": format!("{home}/actions/workflows/1"), "repository": short, "head_repository": short,
        "head_commit": {
            "id": run.sha, "tree_id": run.sha, "message": run.name, "timestamp": time,
            "author": {"name": repo.owner, "email": "a@example.com"}, "committer": {"name": repo.owner, "email": "a@example.com"},
        },
    });
    render::merge_into(&mut object, links);
    object
}

/// `GET /repos/{owner}/{repo}/actions/runs`: newest first.
pub(super) fn runs(call: &Call, world: &mut World) -> Reply {
    let at = call.repo(world)?;
    let fits = |name: &str, have: &str| call.query(name).is_none_or(|want| want == have);
    let found = world.repos[at].runs.iter().rev().filter(|run| {
        let conclusion = run.conclusion.as_deref().unwrap_or_default();
        fits("branch", &run.branch)
            && fits("event", run.event)
            && fits("head_sha", &run.sha)
            && (fits("status", run.status) || fits("status", conclusion))
    });
    Ok(call.page_in("workflow_runs", found.map(|run| run_json(call, world, at, run)).collect()))
}

fn find_run(call: &Call, world: &World) -> Result<(usize, WorkflowRun), Answer> {
    let at = call.repo(world)?;
    let id = call.number("run_id")?;
    let run = world.repos[at].runs.iter().find(|run| run.id == id).ok_or_else(Answer::not_found)?;
    Ok((at, run.clone()))
}

/// `GET /repos/{owner}/{repo}/actions/runs/{run_id}`
pub(super) fn run(call: &Call, world: &mut World) -> Reply {
    let (at, run) = find_run(call, world)?;
    Ok(Answer::ok(run_json(call, world, at, &run)))
}

fn job_json(call: &Call, repo: &Repository, job: &CheckRun) -> Value {
    let home = repository_url(&call.base, repo);
    let run_url = format!("{home}/actions/runs/{}", job.run);
    let (started, completed) = (job.started_at.to_string(), job.completed_at.map(|at| at.to_string()));
    let branch = repo.runs.iter().find(|run| run.id == job.run).map(|run| &run.branch);
    json!({
        "id": job.id, "run_id": job.run, "run_url": run_url, "run_attempt": 1, "node_id": format!("CR_{}", job.id),
        "head_sha": job.sha, "head_branch": branch, "url": format!("{home}/actions/jobs/{}", job.id),
        "html_url": format!("{}/{}/actions/runs/{}/job/{}", call.base, repo.full_name(), job.run, job.id),
        "status": job.status, "conclusion": job.conclusion, "created_at": started, "started_at": started,
        "completed_at": completed, "name": job.name, "workflow_name": "CI",
        "check_run_url": format!("{home}/check-runs/{}", job.id), "labels": ["ubuntu-latest"], "runner_id": 1,
        "runner_name": "runner", "runner_group_id": 1, "runner_group_name": "GitHub Actions",
        "steps": job.steps.iter().enumerate().map(|(n, (name, conclusion))| {
            json!({
                "name": name, "number": n + 1, "status": job.status, "started_at": started, "completed_at": completed,
                "conclusion": if job.completed_at.is_some() { json!(conclusion) } else { Value::Null },
            })
        }).collect::<Vec<_>>(),
    })
}

/// `GET /repos/{owner}/{repo}/actions/runs/{run_id}/jobs`
pub(super) fn jobs(call: &Call, world: &mut World) -> Reply {
    let (at, run) = find_run(call, world)?;
    let repo = &world.repos[at];
    let found = repo.check_runs.iter().filter(|job| job.run == run.id);
    Ok(call.page_in("jobs", found.map(|job| job_json(call, repo, job)).collect()))
}

fn find_job<'a>(call: &Call, world: &'a World) -> Result<(&'a Repository, &'a CheckRun), Answer> {
    let repo = &world.repos[call.repo(world)?];
    let id = call.number("job_id")?;
    Ok((repo, repo.check_runs.iter().find(|job| job.id == id).ok_or_else(Answer::not_found)?))
}

/// `GET /repos/{owner}/{repo}/actions/jobs/{job_id}`
pub(super) fn job(call: &Call, world: &mut World) -> Reply {
    let (repo, job) = find_job(call, world)?;
    Ok(Answer::ok(job_json(call, repo, job)))
}

/// `GET /repos/{owner}/{repo}/actions/jobs/{job_id}/logs`: the text is on another host.
pub(super) fn logs(call: &Call, world: &mut World) -> Reply {
    if call.actor.is_none() {
        return Err(Answer::error(403, "Must have admin rights to Repository."));
    }
    let (_, job) = find_job(call, world)?;
    Ok(Answer::empty(302).with("location", format!("{}/logs/{}", call.elsewhere, job.id)))
}
