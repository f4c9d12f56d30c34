//! `/healthz` and `/readyz`, and what they and the health page know.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::{Site, lag};

/// How long the database may take to write.
const DATABASE_PATIENCE: Duration = Duration::from_secs(2);

/// One condition of being ready.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Condition {
    /// `database`, `forge` or `event_loop`.
    pub(crate) name: &'static str,
    /// Whether it holds.
    pub(crate) ok: bool,
    /// How it stands, for people.
    pub(crate) detail: String,
}

impl Condition {
    /// The name for people.
    pub(crate) fn words(&self) -> String {
        match self.name {
            "forge" => "code host".to_owned(),
            name => name.replace('_', " "),
        }
    }
}

/// The process answers: that is all.
pub(crate) async fn alive() -> &'static str {
    "ok\n"
}

#[derive(Serialize)]
struct Readiness {
    ready: bool,
    checks: Vec<Condition>,
}

/// 200 when the service can do its work, else 503 with the reasons.
pub(crate) async fn ready(State(site): State<Arc<Site>>) -> Response {
    let checks = conditions(&site).await;
    let ready = checks.iter().all(|check| check.ok);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Readiness { ready, checks })).into_response()
}

/// Every condition.
pub(crate) async fn conditions(site: &Site) -> Vec<Condition> {
    vec![database(site).await, forge(site).await, event_loop(site)]
}

async fn database(site: &Site) -> Condition {
    let began = std::time::Instant::now();
    match site.ctx.store.probe(DATABASE_PATIENCE).await {
        Ok(()) => {
            let detail = format!("wrote in {}", crate::pages::duration(began.elapsed()));
            Condition { name: "database", ok: true, detail }
        }
        Err(error) => {
            tracing::warn!(error = format!("{:#}", anyhow::Error::from(error)), "the database is not ready");
            let detail = "does not take writes; look at its disk and at the service's log".to_owned();
            Condition { name: "database", ok: false, detail }
        }
    }
}

/// The code host as last known: nothing is asked of it here. It counts as out of reach when every watched repository
/// of it failed last time.
async fn forge(site: &Site) -> Condition {
    let name = "forge";
    let repositories = match site.ctx.store.repositories().await {
        Ok(repositories) => repositories,
        Err(_) => return Condition { name, ok: false, detail: "not known: the database does not answer".to_owned() },
    };
    let failing = repositories.iter().filter(|repository| repository.failures > 0).count();
    let pause = site.ctx.forges.all().flat_map(|forge| forge.limits()).filter_map(|limit| limit.paused_until).max();
    let paused = pause.filter(|until| *until > site.ctx.now());
    let detail = match (repositories.len(), paused) {
        (_, Some(until)) => format!("waits for a limit of the code host until {until}"),
        (0, None) => "no repository is watched yet".to_owned(),
        (all, None) => format!("{} of {all} repositories answered last time", all - failing),
    };
    Condition { name, ok: repositories.is_empty() || failing < repositories.len(), detail }
}

fn event_loop(site: &Site) -> Condition {
    let recent = site.lag.summary().recent;
    let detail = format!("at most {} late in the last ten seconds", crate::pages::duration(recent));
    Condition { name: "event_loop", ok: recent < lag::TOO_LATE, detail }
}
