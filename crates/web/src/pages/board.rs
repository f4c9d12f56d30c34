//! The board: tasks by state.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Html;
use backlog::names::RepoName;
use backlog::task::{Stage, Task, TaskState};
use serde::Deserialize;
use store::TaskFilter;

use super::{Frame, Part, Parts, View, When, cut, encoded, repo_name};
use crate::Site;
use crate::fault::Fault;

/// The most cards in a column.
const CARDS: usize = 50;
/// The most tasks that are read for a column.
const READ: usize = 1_000;
/// The most parked repositories that are named.
const PARKED: usize = 3;
/// The reasons shown on a card.
const REASONS: usize = 2;

/// Which tasks the board shows.
#[derive(Clone, Debug, Default)]
pub(crate) struct BoardFilter {
    repository: Option<RepoName>,
    search: String,
    /// Rejected, vanished and cancelled tasks instead of the others.
    closed: bool,
}

/// A filter as it stands in an address.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct FilterQuery {
    repository: String,
    q: String,
    closed: String,
}

impl From<FilterQuery> for BoardFilter {
    fn from(query: FilterQuery) -> Self {
        let search = query.q.trim().chars().take(200).collect();
        Self { repository: repo_name(&query.repository), search, closed: query.closed == "1" }
    }
}

impl BoardFilter {
    /// As it stands in an address.
    pub(crate) fn query(&self) -> String {
        let repository = self.repository.as_ref().map_or("", RepoName::as_str);
        let closed = if self.closed { "1" } else { "" };
        format!("repository={}&q={}&closed={closed}", encoded(repository), encoded(&self.search))
    }

    fn narrows(&self) -> bool {
        self.repository.is_some() || !self.search.is_empty()
    }
}

struct Column {
    id: &'static str,
    name: &'static str,
    stages: &'static [Stage],
    /// What an empty column says.
    empty: &'static str,
}

const OPEN: [Column; 7] = [
    Column { id: "col-found", name: "Found", stages: &[Stage::Found], empty: "Nothing new in the code." },
    Column { id: "col-proposed", name: "Proposed", stages: &[Stage::Proposed], empty: "Nothing waits for you." },
    Column { id: "col-approved", name: "Approved", stages: &[Stage::Approved], empty: "Nothing waits for an agent." },
    Column {
        id: "col-running",
        name: "Running",
        stages: &[Stage::Running, Stage::Verifying],
        empty: "No agent is at work.",
    },
    Column { id: "col-review", name: "In review", stages: &[Stage::InReview], empty: "Nothing to review." },
    Column { id: "col-done", name: "Done", stages: &[Stage::Done], empty: "Nothing merged yet." },
    Column { id: "col-failed", name: "Failed", stages: &[Stage::Failed], empty: "Nothing failed." },
];

const CLOSED: [Column; 3] = [
    Column { id: "col-rejected", name: "Rejected", stages: &[Stage::Rejected], empty: "Nothing was rejected." },
    Column { id: "col-obsolete", name: "Obsolete", stages: &[Stage::Obsolete], empty: "No work went away by itself." },
    Column { id: "col-cancelled", name: "Cancelled", stages: &[Stage::Cancelled], empty: "Nothing was cancelled." },
];

fn columns(filter: &BoardFilter) -> &'static [Column] {
    if filter.closed { &CLOSED } else { &OPEN }
}

struct Card {
    id: String,
    title: String,
    repository: String,
    points: i64,
    reasons: Vec<String>,
    place: String,
    note: String,
    at: When,
}

impl Card {
    fn of(task: &Task) -> Self {
        let place = task.finding.as_ref().filter(|finding| !finding.path.is_empty());
        let reasons =
            task.score.reasons.iter().take(REASONS).map(|reason| format!("{:+} {}", reason.points, reason.name));
        let note = match &task.state {
            TaskState::Running { work, .. } => format!("An agent works, attempt {}.", work.attempts),
            TaskState::Verifying { .. } => "Its checks are running.".to_owned(),
            TaskState::Approved { work } if work.revision.is_some() => "Goes back to the agent.".to_owned(),
            TaskState::Approved { work } if work.attempts > 0 => "Will be tried again.".to_owned(),
            TaskState::Failed { reason, .. } => cut(reason, 120),
            _ => String::new(),
        };
        Self {
            id: task.id.to_string(),
            title: cut(&task.title, 140),
            repository: task.repository.to_string(),
            points: task.score.points,
            reasons: reasons.collect(),
            place: place.map_or(String::new(), |finding| format!("{}:{}", brief(&finding.path), finding.line)),
            note,
            at: When(task.updated_at),
        }
    }
}

/// A path that fits on a card: only its last part when it is long.
fn brief(path: &str) -> String {
    match path.rsplit_once('/') {
        Some((_, name)) if path.chars().count() > 18 => format!("…/{name}"),
        _ => path.to_owned(),
    }
}

#[derive(Template)]
#[template(path = "column.html")]
struct ColumnPart {
    name: &'static str,
    id: &'static str,
    empty: &'static str,
    cards: Vec<Card>,
    total: String,
    more: Option<String>,
    ranked: bool,
}

struct Jump {
    id: &'static str,
    name: &'static str,
    total: u64,
}

#[derive(Template)]
#[template(path = "summary.html")]
struct Summary {
    jumps: Vec<Jump>,
    others: String,
    closed: bool,
    /// Nothing is known at all: say what to do first.
    nothing: bool,
    repositories: usize,
    /// Repositories that cannot be worked, why, and what mends it.
    parked: Vec<(String, String)>,
    more_parked: usize,
}

/// The board's parts: the summary, then each column.
pub(crate) async fn parts(site: &Arc<Site>, filter: &BoardFilter) -> Result<Vec<Part>, Fault> {
    let counts = site.ctx.store.stage_counts().await?;
    let count =
        |stages: &[Stage]| counts.iter().filter(|(stage, _)| stages.contains(stage)).map(|(_, n)| n).sum::<u64>();
    let mut parts = vec![summary(site, filter, &count).await?];
    for column in columns(filter) {
        let tasks = tasks(site, filter, column.stages).await?;
        let shown = tasks.len().min(CARDS);
        let (total, known) =
            if filter.narrows() { (tasks.len() as u64, tasks.len() < READ) } else { (count(column.stages), true) };
        let total_text = if known { total.to_string() } else { format!("{READ}+") };
        let rest = total.saturating_sub(shown as u64);
        let more = (rest > 0).then(|| if known { format!("{rest} more") } else { format!("more than {rest} more") });
        let part = ColumnPart {
            name: column.name,
            id: column.id,
            empty: if filter.narrows() { "Nothing matches." } else { column.empty },
            cards: tasks.iter().take(CARDS).map(Card::of).collect(),
            total: total_text,
            more,
            ranked: column.id == "col-found",
        };
        parts.push(Part::new(column.id, &part)?);
    }
    Ok(parts)
}

/// A column's tasks: what waits by rank, what has ended by time.
async fn tasks(site: &Site, filter: &BoardFilter, stages: &[Stage]) -> Result<Vec<Task>, Fault> {
    let ended = stages.iter().any(|stage| {
        matches!(stage, Stage::Done | Stage::Failed | Stage::Rejected | Stage::Obsolete | Stage::Cancelled)
    });
    let query = TaskFilter {
        stages: stages.to_vec(),
        repository: filter.repository.clone(),
        search: Some(filter.search.clone()).filter(|search| !search.is_empty()),
        limit: if ended || filter.narrows() { READ } else { CARDS },
        ..TaskFilter::default()
    };
    let mut tasks = site.ctx.store.tasks(&query).await?;
    if ended {
        tasks.sort_by_key(|task| std::cmp::Reverse(task.updated_at));
    }
    Ok(tasks)
}

async fn summary(site: &Site, filter: &BoardFilter, count: &impl Fn(&[Stage]) -> u64) -> Result<Part, Fault> {
    let jumps = columns(filter)
        .iter()
        .map(|column| Jump { id: column.id, name: column.name, total: count(column.stages) })
        .collect();
    let others: Vec<String> = CLOSED
        .iter()
        .map(|column| (count(column.stages), column.name.to_lowercase()))
        .filter(|(n, _)| *n > 0)
        .map(|(n, name)| format!("{n} {name}"))
        .collect();
    let nothing = count(&Stage::ALL) == 0;
    let repositories = site.ctx.store.repositories().await?;
    let parked = repositories.iter().filter(|one| filter.repository.as_ref().is_none_or(|only| one.name == *only));
    let parked = parked.filter_map(|one| Some((one.name.to_string(), cut(one.parked.as_ref()?, 400))));
    let mut parked: Vec<(String, String)> = parked.collect();
    let more_parked = parked.len().saturating_sub(PARKED);
    parked.truncate(PARKED);
    let (repositories, others) = (repositories.len(), others.join(", "));
    let summary = Summary { jumps, others, closed: filter.closed, nothing, repositories, parked, more_parked };
    Part::new("summary", &summary)
}

#[derive(Template)]
#[template(path = "board.html")]
struct BoardPage<'a> {
    frame: Frame<'a>,
    repositories: Vec<String>,
    chosen: String,
    search: String,
    closed: bool,
    parts: Parts,
    columns: &'static [Column],
}

/// `/`
pub(super) async fn page(
    State(site): State<Arc<Site>>,
    Query(query): Query<FilterQuery>,
) -> Result<Html<String>, Fault> {
    let filter = BoardFilter::from(query);
    let names = site.ctx.store.repositories().await?.into_iter().map(|repository| repository.name.to_string());
    let view = View::Board(filter.clone());
    let page = BoardPage {
        frame: Frame::new(&site, "Board", "board", &view),
        repositories: names.collect(),
        chosen: filter.repository.as_ref().map_or(String::new(), ToString::to_string),
        search: filter.search.clone(),
        closed: filter.closed,
        parts: Parts(view.parts(&site).await?),
        columns: columns(&filter),
    };
    Ok(Html(page.render()?))
}
