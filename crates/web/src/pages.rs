//! The dashboard's pages.
//!
//! **Design.** A page is a frame around *parts*; each part is rendered by one function from the store, for the page
//! and for the live push alike. Buttons are plain forms: they work without JavaScript.

mod actions;
mod board;
mod diff;
mod health;
mod ranking;
mod repositories;
mod task;
pub(crate) mod transcript;

use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::Router;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use backlog::names::{RepoName, RunId, TaskId};
use backlog::time::Timestamp;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::Site;
use crate::fault::Fault;
pub(crate) use actions::approval;
pub(crate) use board::BoardFilter;

/// Every page and every button.
pub(crate) fn router() -> Router<Arc<Site>> {
    Router::new()
        .route("/", get(board::page))
        .route("/tasks/{id}", get(task::page))
        .route("/tasks/{id}/transcript", get(transcript::earlier))
        .route("/tasks/{id}/{action}", post(actions::act))
        .route("/tasks", post(actions::add))
        .route("/repositories", get(repositories::page))
        .route("/ranking", get(ranking::page))
        .route("/health", get(health::page))
        .fallback(not_found)
}

/// Answers a path that is none.
async fn not_found() -> Fault {
    Fault::NotFound("There is no such page.".to_owned())
}

/// What every page has around its content.
pub(crate) struct Frame<'a> {
    title: String,
    /// Which entry of the navigation is this page.
    active: &'static str,
    owner: &'a str,
    /// The address of the page's live socket.
    live: String,
}

impl<'a> Frame<'a> {
    fn new(site: &'a Site, title: impl Into<String>, active: &'static str, view: &View) -> Self {
        Self { title: title.into(), active, owner: &site.owner, live: view.live() }
    }
}

/// A piece of a page that can be replaced by itself.
pub(crate) struct Part {
    /// The element's id.
    pub(crate) id: &'static str,
    /// Identifies the content.
    pub(crate) digest: String,
    inner: String,
}

impl Part {
    fn new(id: &'static str, template: &impl Template) -> Result<Self, Fault> {
        let inner = template.render()?;
        Ok(Self { id, digest: hex::encode(&Sha256::digest(inner.as_bytes())[..8]), inner })
    }

    /// The element, as it stands in the page and as it is pushed.
    pub(crate) fn html(&self) -> String {
        format!("<div id=\"{}\" class=\"part\" data-v=\"{}\">{}</div>\n", self.id, self.digest, self.inner)
    }
}

/// The parts, found by id in a template.
pub(crate) struct Parts(Vec<Part>);

impl Parts {
    fn get(&self, id: &str) -> String {
        self.0.iter().find(|part| part.id == id).map(Part::html).unwrap_or_default()
    }
}

/// Which page is shown.
#[derive(Clone, Debug)]
pub(crate) enum View {
    /// The board.
    Board(BoardFilter),
    /// A task, with the run that was chosen, if one was.
    Task(TaskId, Option<RunId>),
    /// The repositories.
    Repositories,
    /// How tasks are ranked.
    Ranking,
    /// How the service is.
    Health,
}

/// A view as the address of its live socket names it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ViewQuery {
    view: String,
    task: String,
    run: String,
    #[serde(flatten)]
    filter: board::FilterQuery,
}

impl View {
    /// The view that an address names.
    pub(crate) fn parse(query: ViewQuery) -> Result<Self, Fault> {
        match query.view.as_str() {
            "board" => Ok(Self::Board(query.filter.into())),
            "task" => Ok(Self::task(task_id(&query.task)?, &query.run)),
            "repositories" => Ok(Self::Repositories),
            "ranking" => Ok(Self::Ranking),
            "health" => Ok(Self::Health),
            _ => Err(Fault::NotFound("There is no such page.".to_owned())),
        }
    }

    /// A task with one of its runs; another task's run is not shown.
    fn task(id: TaskId, run: &str) -> Self {
        let run = run.parse().ok().filter(|run: &RunId| run.task() == id);
        Self::Task(id, run)
    }

    fn live(&self) -> String {
        match self {
            Self::Board(filter) => format!("/live?view=board&{}", filter.query()),
            Self::Task(id, None) => format!("/live?view=task&task={id}"),
            Self::Task(id, Some(run)) => format!("/live?view=task&task={id}&run={run}"),
            Self::Repositories => "/live?view=repositories".to_owned(),
            Self::Ranking => "/live?view=ranking".to_owned(),
            Self::Health => "/live?view=health".to_owned(),
        }
    }

    /// The parts as they look now, without a transcript.
    pub(crate) async fn parts(&self, site: &Arc<Site>) -> Result<Vec<Part>, Fault> {
        match self {
            Self::Board(filter) => board::parts(site, filter).await,
            Self::Task(id, run) => task::parts(site, id, run.as_ref()).await,
            Self::Repositories => repositories::parts(site).await,
            Self::Ranking => ranking::parts(site).await,
            Self::Health => health::parts(site).await,
        }
    }

    /// The run whose transcript the page shows.
    pub(crate) async fn shown_run(&self, site: &Site) -> Result<Option<RunId>, Fault> {
        match self {
            Self::Task(_, Some(run)) => Ok(Some(run.clone())),
            Self::Task(id, None) => Ok(site.ctx.store.runs(Some(id), 1).await?.pop().map(|run| run.id)),
            Self::Board(_) | Self::Repositories | Self::Ranking | Self::Health => Ok(None),
        }
    }
}

/// Reads a task's id.
pub(crate) fn task_id(text: &str) -> Result<TaskId, Fault> {
    text.parse().map_err(|_| Fault::no_task(&text.chars().take(40).collect::<String>()))
}

/// Reads a repository's name; an empty one is none.
fn repo_name(text: &str) -> Option<RepoName> {
    text.parse().ok()
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage {
    status: u16,
    message: String,
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        self.log();
        let (status, _) = self.kind();
        let page = ErrorPage { status: status.as_u16(), message: self.to_string() };
        match page.render() {
            Ok(html) => (status, Html(html)).into_response(),
            Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, self.to_string()).into_response(),
        }
    }
}

/// A point in time: `2026-11-23 16:40 UTC`; the page's script turns it into "5 min ago".
pub(crate) struct When(pub(crate) Timestamp);

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        let (date, time) = text.split_once('T').unwrap_or((&text, ""));
        write!(f, "{date} {}", time.get(..5).unwrap_or(time))?;
        f.write_str(" UTC")
    }
}

/// A length of time for people: `3.2 ms`, `12 s`, `4 min 10 s`, `2 h 5 min`, `3 d 4 h`.
pub(crate) fn duration(length: Duration) -> String {
    let (seconds, millis) = (length.as_secs(), length.as_secs_f64() * 1000.0);
    match seconds {
        0 if millis < 10.0 => format!("{millis:.1} ms"),
        0 => format!("{millis:.0} ms"),
        1..=9 => format!("{:.1} s", length.as_secs_f64()),
        10..=59 => format!("{seconds} s"),
        60..=3_599 => format!("{} min {} s", seconds / 60, seconds % 60),
        3_600..=86_399 => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

/// A number with its thousands set apart: `1,234,567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A text for a query string.
fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// The first `limit` characters of a text, with a sign of what is missing.
fn cut(text: &str, limit: usize) -> String {
    let mut cut: String = text.chars().take(limit).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_short_and_plain() {
        for (millis, text) in [
            (0, "0.0 ms"),
            (3, "3.0 ms"),
            (250, "250 ms"),
            (3_200, "3.2 s"),
            (59_000, "59 s"),
            (250_000, "4 min 10 s"),
            (7_500_000, "2 h 5 min"),
            (273_600_000, "3 d 4 h"),
        ] {
            assert_eq!(duration(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn a_query_cannot_break_out_of_its_value() {
        assert_eq!(encoded("a&b=\"c\" ü"), "a%26b%3D%22c%22%20%C3%BC");
        assert_eq!(cut("üüü", 2), "üü…");
        assert_eq!((grouped(0), grouped(999), grouped(1_234_567)), ("0".into(), "999".into(), "1,234,567".into()));
    }
}
