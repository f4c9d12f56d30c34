//! `/api/v1/tasks`

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use backlog::approval::parse_usd;
use backlog::event::Channel;
use backlog::names::RepoName;
use backlog::task::{Stage, Task};
use pipeline::approve::{self, Decision};
use pipeline::rank;
use serde::{Deserialize, Serialize};
use store::TaskFilter;
use utoipa::{IntoParams, ToSchema};

use super::views::TaskView;
use super::{Answer, Asked, Done, Input, bad};
use crate::Site;
use crate::fault::{ApiFault, ErrorEnvelope, Fault};
use crate::guard::actor;
use crate::pages::{approval, task_id};

/// The most tasks one request lists.
const MOST: usize = 1_000;

/// Which tasks.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Only of this state; several are separated by commas.
    state: Option<String>,
    /// Only of this repository, `owner/name`.
    repository: Option<String>,
    /// Only with this text in the title or the body, ignoring case.
    search: Option<String>,
    /// At most so many: 1 to 1,000, usually 100.
    limit: Option<usize>,
}

/// Tasks.
#[derive(Serialize, ToSchema)]
pub(super) struct TaskList {
    tasks: Vec<TaskView>,
}

/// Lists tasks, the most important first.
#[utoipa::path(get, path = "/api/v1/tasks", tag = "tasks", params(Which), responses(
    (status = 200, body = TaskList), (status = 400, body = ErrorEnvelope), (status = 401, body = ErrorEnvelope)))]
pub(super) async fn list(State(site): State<Arc<Site>>, Asked(which): Asked<Which>) -> Answer<TaskList> {
    let mut stages = Vec::new();
    for state in which.state.iter().flat_map(|states| states.split(',')) {
        stages.push(Stage::parse(state).ok_or_else(|| bad(format!("`{state}` is no state of a task.")))?);
    }
    let repository = which.repository.map(|name| repository(&name)).transpose()?;
    let limit = which.limit.unwrap_or(100).clamp(1, MOST);
    let filter = TaskFilter { stages, repository, search: which.search, limit, ..TaskFilter::default() };
    let tasks = site.ctx.store.tasks(&filter).await?;
    let expectations = rank::expectations(&site.ctx).await?;
    Ok(Json(TaskList { tasks: tasks.iter().map(|task| TaskView::of(task, &expectations)).collect() }))
}

/// One task as programs see it.
async fn view(site: &Site, task: &Task) -> Result<Json<TaskView>, ApiFault> {
    Ok(Json(TaskView::of(task, &rank::expectations(&site.ctx).await?)))
}

fn repository(name: &str) -> Result<RepoName, ApiFault> {
    name.parse().map_err(|error| bad(format!("{error}.")))
}

/// A person's own task.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewTask {
    /// One of the watched repositories, `owner/name`.
    repository: String,
    /// One line.
    title: String,
    /// What is to be done.
    #[serde(default)]
    body: String,
    /// The agent to use, by its name in the configuration.
    agent: Option<String>,
}

/// Adds a task of one's own.
#[utoipa::path(post, path = "/api/v1/tasks", tag = "tasks", request_body = NewTask, responses(
    (status = 201, body = TaskView), (status = 400, body = ErrorEnvelope), (status = 422, body = ErrorEnvelope)))]
pub(super) async fn create(State(site): State<Arc<Site>>, Input(new): Input<NewTask>) -> Result<Response, ApiFault> {
    let repository = repository(&new.repository)?;
    let by = actor(&site, Channel::Api);
    let task = approve::add(&site.ctx, repository, &new.title, &new.body, new.agent, by).await?;
    Ok((StatusCode::CREATED, view(&site, &task).await?).into_response())
}

/// Shows one task.
#[utoipa::path(get, path = "/api/v1/tasks/{id}", tag = "tasks", params(("id" = String, Path)), responses(
    (status = 200, body = TaskView), (status = 404, body = ErrorEnvelope)))]
pub(super) async fn get(State(site): State<Arc<Site>>, Path(id): Path<String>) -> Answer<TaskView> {
    let task = site.ctx.store.task(&task_id(&id)?).await?.ok_or_else(|| Fault::no_task(&id))?;
    view(&site, &task).await
}

async fn decide(site: &Arc<Site>, id: &str, decision: Decision) -> Answer<TaskView> {
    let task = approve::decide(&site.ctx, &task_id(id)?, decision, actor(site, Channel::Api)).await?;
    view(site, &task).await
}

/// An approval.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Approve {
    /// The `content` of the task as it was read; the approval is refused when the text has changed since. Left out,
    /// what is stored now is approved.
    content: Option<String>,
}

/// Has a task done.
#[utoipa::path(post, path = "/api/v1/tasks/{id}/approve", tag = "tasks", params(("id" = String, Path)),
    request_body = Option<Approve>, responses((status = 200, body = TaskView), (status = 404, body = ErrorEnvelope),
    (status = 409, body = ErrorEnvelope), (status = 422, body = ErrorEnvelope)))]
pub(super) async fn approve(
    State(site): State<Arc<Site>>,
    Path(id): Path<String>,
    Input(input): Input<Approve>,
) -> Answer<TaskView> {
    let decision = match input.content {
        Some(content) => approval(&content)?,
        None => Decision::Approve(None),
    };
    decide(&site, &id, decision).await
}

/// Says no, for good.
#[utoipa::path(post, path = "/api/v1/tasks/{id}/reject", tag = "tasks", params(("id" = String, Path)), responses(
    (status = 200, body = TaskView), (status = 404, body = ErrorEnvelope), (status = 409, body = ErrorEnvelope)))]
pub(super) async fn reject(State(site): State<Arc<Site>>, Path(id): Path<String>) -> Answer<TaskView> {
    decide(&site, &id, Decision::Reject).await
}

/// Stops a task, and its agent.
#[utoipa::path(post, path = "/api/v1/tasks/{id}/cancel", tag = "tasks", params(("id" = String, Path)), responses(
    (status = 200, body = TaskView), (status = 404, body = ErrorEnvelope), (status = 409, body = ErrorEnvelope)))]
pub(super) async fn cancel(State(site): State<Arc<Site>>, Path(id): Path<String>) -> Answer<TaskView> {
    decide(&site, &id, Decision::Cancel).await
}

/// Tries a failed task again.
#[utoipa::path(post, path = "/api/v1/tasks/{id}/retry", tag = "tasks", params(("id" = String, Path)), responses(
    (status = 200, body = TaskView), (status = 404, body = ErrorEnvelope), (status = 409, body = ErrorEnvelope)))]
pub(super) async fn retry(State(site): State<Arc<Site>>, Path(id): Path<String>) -> Answer<TaskView> {
    decide(&site, &id, Decision::Retry).await
}

/// A message.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Message {
    /// What to say; at most 10,000 characters are passed on.
    text: String,
}

/// Speaks to the agent at work.
#[utoipa::path(post, path = "/api/v1/tasks/{id}/message", tag = "tasks", params(("id" = String, Path)),
    request_body = Message, responses((status = 200, body = Done), (status = 404, body = ErrorEnvelope),
    (status = 422, body = ErrorEnvelope)))]
pub(super) async fn message(
    State(site): State<Arc<Site>>,
    Path(id): Path<String>,
    Input(input): Input<Message>,
) -> Answer<Done> {
    approve::message(&site.ctx, &task_id(&id)?, &input.text, actor(&site, Channel::Api)).await?;
    Ok(Done::DONE)
}

/// A choice of agent.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Agent {
    /// Its name in the configuration.
    agent: String,
}

/// Chooses the agent of the next run.
#[utoipa::path(post, path = "/api/v1/tasks/{id}/agent", tag = "tasks", params(("id" = String, Path)),
    request_body = Agent, responses((status = 200, body = TaskView), (status = 404, body = ErrorEnvelope),
    (status = 422, body = ErrorEnvelope)))]
pub(super) async fn agent(
    State(site): State<Arc<Site>>,
    Path(id): Path<String>,
    Input(input): Input<Agent>,
) -> Answer<TaskView> {
    decide(&site, &id, Decision::Agent(input.agent)).await
}

/// A limit of cost.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Budget {
    /// The most one run may cost: US dollars, above 0, at most 10,000.
    usd: f64,
}

/// Sets the budget of the next run.
#[utoipa::path(post, path = "/api/v1/tasks/{id}/budget", tag = "tasks", params(("id" = String, Path)),
    request_body = Budget, responses((status = 200, body = TaskView), (status = 404, body = ErrorEnvelope),
    (status = 422, body = ErrorEnvelope)))]
pub(super) async fn budget(
    State(site): State<Arc<Site>>,
    Path(id): Path<String>,
    Input(input): Input<Budget>,
) -> Answer<TaskView> {
    let micro = parse_usd(&input.usd.to_string())
        .ok_or_else(|| Fault::Refused("A budget is above 0 and at most 10,000 dollars.".to_owned()))?;
    decide(&site, &id, Decision::Budget(micro)).await
}

/// Merges the branch of a local repository's task in review.
#[utoipa::path(post, path = "/api/v1/tasks/{id}/merge", tag = "tasks", params(("id" = String, Path)), responses(
    (status = 200, body = Done), (status = 404, body = ErrorEnvelope), (status = 422, body = ErrorEnvelope)))]
pub(super) async fn merge(State(site): State<Arc<Site>>, Path(id): Path<String>) -> Answer<Done> {
    approve::merge(&site.ctx, &task_id(&id)?, actor(&site, Channel::Api)).await?;
    Ok(Done::DONE)
}
