//! The watched repositories, and a person's own tasks.

use std::collections::BTreeMap;
use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Html;
use backlog::names::RepoName;
use backlog::task::Stage;
use pipeline::wording;
use store::TaskFilter;

use super::{Frame, Part, Parts, View, When, encoded};
use crate::Site;
use crate::fault::Fault;

struct Row {
    name: String,
    link: String,
    path: String,
    branch: String,
    parked: Option<String>,
    retry: Option<When>,
    /// Why nothing more is proposed there.
    waits: Option<String>,
    /// Which sources could not answer there.
    silent: Option<String>,
    scanned: Option<When>,
    commit: String,
    open: u64,
    found: u64,
}

#[derive(Template)]
#[template(path = "repository_table.html")]
struct Table {
    /// How far the first look at all of them has come.
    far: Option<String>,
    rows: Vec<Row>,
}

/// The table.
pub(super) async fn parts(site: &Arc<Site>) -> Result<Vec<Part>, Fault> {
    let stages = Stage::ALL.into_iter().filter(|stage| is_open(*stage) || *stage == Stage::Found).collect();
    let mut counts: BTreeMap<RepoName, (u64, u64)> = BTreeMap::new();
    for task in site.ctx.store.tasks(&TaskFilter { stages, ..TaskFilter::default() }).await? {
        let (open, found) = counts.entry(task.repository).or_default();
        *(if task.state.stage() == Stage::Found { found } else { open }) += 1;
    }
    let rows = site.ctx.store.repositories().await?.into_iter().map(|repository| {
        let (open, found) = counts.get(&repository.name).copied().unwrap_or_default();
        Row {
            link: format!("/?repository={}", encoded(repository.name.as_str())),
            waits: site.ctx.proposing.waits(&repository.name).filter(|_| repository.parked.is_none()),
            silent: site.ctx.progress.silent(&repository.name),
            name: repository.name.to_string(),
            path: repository.path.unwrap_or_default(),
            branch: repository.default_branch.unwrap_or_default(),
            parked: repository.parked,
            retry: repository.retry_at.map(When),
            scanned: repository.scanned_at.map(When),
            commit: repository.scanned.unwrap_or_default().chars().take(10).collect(),
            open,
            found,
        }
    });
    Ok(vec![Part::new(
        "repository-table",
        &Table { far: wording::far(&site.ctx.progress.far()), rows: rows.collect() },
    )?])
}

fn is_open(stage: Stage) -> bool {
    match stage {
        Stage::Proposed | Stage::Approved | Stage::Running | Stage::Verifying | Stage::InReview => true,
        Stage::Found | Stage::Done | Stage::Rejected | Stage::Obsolete | Stage::Cancelled | Stage::Failed => false,
    }
}

/// What a person typed into the form, shown again when it was refused.
#[derive(Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct Draft {
    pub(super) repository: String,
    pub(super) title: String,
    pub(super) body: String,
    pub(super) agent: String,
}

#[derive(Template)]
#[template(path = "repositories.html")]
struct RepositoriesPage<'a> {
    frame: Frame<'a>,
    parts: Parts,
    repositories: Vec<String>,
    agents: Vec<String>,
    draft: &'a Draft,
    problem: &'a str,
}

/// `/repositories`
pub(super) async fn page(State(site): State<Arc<Site>>) -> Result<Html<String>, Fault> {
    show(&site, &Draft::default(), "").await
}

/// The page, with a draft that was refused and why.
pub(super) async fn show(site: &Arc<Site>, draft: &Draft, problem: &str) -> Result<Html<String>, Fault> {
    let view = View::Repositories;
    let names = site.ctx.store.repositories().await?.into_iter().map(|repository| repository.name.to_string());
    let page = RepositoriesPage {
        frame: Frame::new(site, "Repositories", "repositories", &view),
        parts: Parts(view.parts(site).await?),
        repositories: names.collect(),
        agents: site.ctx.settings().agents.keys().cloned().collect(),
        draft,
        problem,
    };
    Ok(Html(page.render()?))
}
