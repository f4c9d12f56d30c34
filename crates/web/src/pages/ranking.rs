//! How tasks are ranked: the rules at their present weights, and what past work says about the next.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::extract::State;
use axum::response::Html;
use backlog::rank::{Rule, rules};
use pipeline::rank;
use pipeline::wording::usd;

use super::{Frame, Part, Parts, View, duration};
use crate::Site;
use crate::fault::Fault;

/// What is expected of one kind of task.
struct Row {
    like: String,
    tasks: usize,
    merged: usize,
    cost: String,
    time: String,
}

#[derive(Template)]
#[template(path = "ranking_part.html")]
struct Rules {
    rules: Vec<Rule>,
    rows: Vec<Row>,
    enough: usize,
    counted: usize,
}

/// The rules and the experience.
pub(super) async fn parts(site: &Arc<Site>) -> Result<Vec<Part>, Fault> {
    let expectations = rank::expectations(&site.ctx).await?;
    let rows = expectations.all().map(|of| Row {
        like: of.like.clone(),
        tasks: of.tasks,
        merged: of.merged,
        cost: usd(of.cost_micro_usd),
        time: duration(Duration::from_millis(of.millis)),
    });
    let part = Rules {
        rules: rules(&site.ctx.settings().rank),
        rows: rows.collect(),
        enough: backlog::expect::ENOUGH,
        counted: backlog::expect::COUNTED,
    };
    Ok(vec![Part::new("ranking", &part)?])
}

#[derive(Template)]
#[template(path = "ranking.html")]
struct RankingPage<'a> {
    frame: Frame<'a>,
    parts: Parts,
}

/// `/ranking`
pub(super) async fn page(State(site): State<Arc<Site>>) -> Result<Html<String>, Fault> {
    let view = View::Ranking;
    let frame = Frame::new(&site, "Ranking", "ranking", &view);
    Ok(Html(RankingPage { frame, parts: Parts(view.parts(&site).await?) }.render()?))
}
