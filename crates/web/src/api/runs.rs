//! `/api/v1/runs` and `/api/v1/repositories`

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use backlog::names::RunId;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::views::{LineView, RepositoryView, RunView};
use super::{Answer, Asked};
use crate::Site;
use crate::fault::{ErrorEnvelope, Fault};

/// The most lines one request reads.
const MOST: usize = 1_000;

fn run_id(text: &str) -> Result<RunId, Fault> {
    text.parse().map_err(|_| no_run(text))
}

fn no_run(text: &str) -> Fault {
    Fault::NotFound(format!("There is no run {}.", text.chars().take(40).collect::<String>()))
}

/// Shows one run.
#[utoipa::path(get, path = "/api/v1/runs/{id}", tag = "runs", params(("id" = String, Path)), responses(
    (status = 200, body = RunView), (status = 404, body = ErrorEnvelope)))]
pub(super) async fn get(State(site): State<Arc<Site>>, Path(id): Path<String>) -> Answer<RunView> {
    let run = site.ctx.store.run(&run_id(&id)?).await?.ok_or_else(|| no_run(&id))?;
    Ok(Json(RunView::of(&run)))
}

/// Which lines.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Page {
    /// Only lines after this number.
    #[serde(default)]
    after: u64,
    /// At most so many: 1 to 1,000, usually 200.
    limit: Option<usize>,
}

/// A part of a transcript.
#[derive(Serialize, ToSchema)]
pub(super) struct Transcript {
    lines: Vec<LineView>,
    /// The `after` of the next request; nothing new came when it is the one you sent.
    next: u64,
}

/// Reads a run's transcript, oldest line first.
#[utoipa::path(get, path = "/api/v1/runs/{id}/transcript", tag = "runs", params(("id" = String, Path), Page), responses(
    (status = 200, body = Transcript), (status = 404, body = ErrorEnvelope)))]
pub(super) async fn transcript(
    State(site): State<Arc<Site>>,
    Path(id): Path<String>,
    Asked(page): Asked<Page>,
) -> Answer<Transcript> {
    let run = run_id(&id)?;
    if site.ctx.store.run(&run).await?.is_none() {
        return Err(no_run(&id).into());
    }
    let limit = page.limit.unwrap_or(200).clamp(1, MOST);
    let lines = site.ctx.store.transcript(&run, page.after, limit).await?;
    let next = lines.last().map_or(page.after, |line| line.seq);
    Ok(Json(Transcript { lines: lines.into_iter().map(LineView::of).collect(), next }))
}

/// The watched repositories.
#[derive(Serialize, ToSchema)]
pub(super) struct RepositoryList {
    repositories: Vec<RepositoryView>,
}

/// Lists the watched repositories, by name.
#[utoipa::path(get, path = "/api/v1/repositories", tag = "repositories", responses(
    (status = 200, body = RepositoryList)))]
pub(super) async fn repositories(State(site): State<Arc<Site>>) -> Answer<RepositoryList> {
    let repositories = site.ctx.store.repositories().await?;
    let view = |repository: store::Repository| {
        let waits = site.ctx.proposing.waits(&repository.name);
        let silent = site.ctx.progress.silent(&repository.name);
        RepositoryView::of(repository, waits, silent)
    };
    Ok(Json(RepositoryList { repositories: repositories.into_iter().map(view).collect() }))
}
