//! The dashboard's buttons: each is a form that is handed to `pipeline::approve`.

use std::sync::Arc;

use axum::Form;
use axum::extract::rejection::FormRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use backlog::approval::{ContentHash, parse_usd};
use backlog::event::Channel;
use backlog::names::TaskId;
use pipeline::approve::{self, Decision};
use serde::Deserialize;

use super::repositories::Draft;
use super::{repo_name, repositories, task, task_id};
use crate::Site;
use crate::fault::Fault;
use crate::guard::actor;

/// The fields of all forms of a task.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Fields {
    content: String,
    text: String,
    agent: String,
    budget: String,
}

fn whole<T>(form: Result<Form<T>, FormRejection>) -> Result<T, Fault> {
    form.map(|Form(fields)| fields).map_err(|refused| Fault::BadRequest(refused.status(), refused.body_text()))
}

/// `POST /tasks/{id}/{action}`: does it and goes back to the task, or shows the task with the reason why not.
pub(super) async fn act(
    State(site): State<Arc<Site>>,
    Path((id, action)): Path<(String, String)>,
    headers: HeaderMap,
    form: Result<Form<Fields>, FormRejection>,
) -> Result<Response, Fault> {
    let id = task_id(&id)?;
    let fields = whole(form)?;
    let done = perform(&site, &id, &action, &fields).await;
    if action == "message" && headers.contains_key("hx-request") {
        let problem = done.err().map(|fault| fault.to_string());
        let text = if problem.is_some() { fields.text } else { String::new() };
        return Ok(task::say(&site, &id, &text, problem).await?.into_response());
    }
    match done {
        Ok(()) => Ok(Redirect::to(&format!("/tasks/{id}")).into_response()),
        Err(fault @ (Fault::InvalidState(_) | Fault::Refused(_))) => {
            let (status, _) = fault.kind();
            Ok((status, task::show(&site, &id, None, &fault.to_string()).await?).into_response())
        }
        Err(fault) => Err(fault),
    }
}

async fn perform(site: &Arc<Site>, id: &TaskId, action: &str, fields: &Fields) -> Result<(), Fault> {
    let by = actor(site, Channel::Dashboard);
    let decisions = match action {
        "approve" => vec![approval(&fields.content)?],
        "reject" => vec![Decision::Reject],
        "cancel" => vec![Decision::Cancel],
        "retry" => vec![Decision::Retry],
        "options" => options(site, id, fields).await?,
        "message" => return Ok(approve::message(&site.ctx, id, &fields.text, by).await?),
        "merge" => return Ok(approve::merge(&site.ctx, id, by).await?),
        _ => return Err(Fault::NotFound("There is no such button.".to_owned())),
    };
    for decision in decisions {
        approve::decide(&site.ctx, id, decision, by.clone()).await?;
    }
    Ok(())
}

/// An approval of the content whose hash the page carried; `pipeline` compares it with what is stored.
pub(crate) fn approval(content: &str) -> Result<Decision, Fault> {
    let content: ContentHash = serde_json::from_value(content.into()).map_err(anyhow::Error::from)?;
    Ok(Decision::Approve(Some(content)))
}

/// The options that differ from the present ones.
async fn options(site: &Site, id: &TaskId, fields: &Fields) -> Result<Vec<Decision>, Fault> {
    let task = site.ctx.store.task(id).await?.ok_or_else(|| Fault::no_task(id.as_str()))?;
    let mut decisions = Vec::new();
    let budget = fields.budget.trim();
    if !budget.is_empty() {
        let micro = parse_usd(budget)
            .ok_or_else(|| Fault::Refused("The budget is an amount in dollars above 0, such as 2.50.".to_owned()))?;
        if Some(micro) != task.budget_micro_usd {
            decisions.push(Decision::Budget(micro));
        }
    }
    if !fields.agent.is_empty() && Some(&fields.agent) != task.agent.as_ref() {
        decisions.push(Decision::Agent(fields.agent.clone()));
    }
    Ok(decisions)
}

/// `POST /tasks`: a person's own task.
pub(super) async fn add(
    State(site): State<Arc<Site>>,
    form: Result<Form<Draft>, FormRejection>,
) -> Result<Response, Fault> {
    let draft = whole(form)?;
    let Some(repository) = repo_name(&draft.repository) else {
        let page = repositories::show(&site, &draft, "Choose a repository.").await?;
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response());
    };
    let agent = Some(draft.agent.clone()).filter(|agent| !agent.is_empty());
    let by = actor(&site, Channel::Dashboard);
    match approve::add(&site.ctx, repository, &draft.title, &draft.body, agent, by).await.map_err(Fault::from) {
        Ok(task) => Ok(Redirect::to(&format!("/tasks/{}", task.id)).into_response()),
        Err(Fault::Refused(why)) => {
            let page = repositories::show(&site, &draft, &why).await?;
            Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
        }
        Err(fault) => Err(fault),
    }
}
