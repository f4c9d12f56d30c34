//! `ccm serve --dry-run`: what the service would propose, before anything is written anywhere.
//!
//! It works on a copy of the database in a folder of its own, reads the code hosts and changes nothing there.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use backlog::names::{RepoName, TaskId};
use backlog::task::{IssueLink, Task};
use forge::Forge;
use forge::read_only::ReadOnly;
use pipeline::Context;
use pipeline::rehearse::{Rehearsal, rehearse};
use pipeline::wording::usd;
use serde_json::{Value, json};

use crate::cli::Common;
use crate::config;
use crate::{DONE, output, progress, wire};

/// The most lines of one list for people.
const LINES: usize = 50;

/// Looks at everything once and prints what would be proposed.
///
/// # Errors
/// When it cannot start; the message says what to do.
pub async fn dry_run(common: &Common, paths: &[PathBuf]) -> Result<u8> {
    let mut config = config::load(common.config.as_deref())?.config;
    let metrics = web::metrics::install()?;
    let paths = match (paths, &config.github) {
        ([], None) => vec![PathBuf::from(".")],
        _ => paths.to_vec(),
    };
    let locals = wire::local_repositories(&git::Git::new("git".into()), &paths).await?;
    let folder = tempfile::tempdir().context("cannot make a temporary folder for the dry run")?;
    let data = config::data_dir(common.data_dir.as_deref())?;
    wire::make_private(&data)?;
    // A running service would spend the same limits without knowing of this run.
    let _lock = wire::lock(&data)?;
    wire::copy_store(common, &config, &folder.path().join("ccm.db")).await?;
    // What proves which issues are ours, also where the database is a new one.
    let key = data.join("marker.key");
    if key.exists() {
        std::fs::copy(&key, folder.path().join("marker.key")).context("cannot copy the data folder's marker.key")?;
    }
    config.server.database = None;
    let aside = Common { data_dir: Some(folder.path().to_owned()), ..common.clone() };
    let mut ctx = wire::context(&aside, &config, locals).await?;
    let parts = Arc::get_mut(&mut ctx).context("the parts are shared before they are used")?;
    let mut hosts = Vec::new();
    for forge in [&mut parts.forges.github, &mut parts.forges.local] {
        if let Some(inner) = forge.take() {
            let host = Arc::new(ReadOnly::new(inner));
            hosts.push(host.clone());
            *forge = Some(host as Arc<dyn Forge>);
        }
    }
    let shown = tokio::spawn(progress::show(ctx.clone()));
    let done = rehearse(&ctx).await;
    shown.abort();
    // Waits until the bar is gone.
    let _ = shown.await;
    let asked = Asked {
        requests: metrics.total("ccm_github_requests_total"),
        calls: metrics.total("ccm_git_calls_total"),
        refused: hosts.iter().map(|host| host.refused()).sum(),
    };
    print(common, &ctx, &done?, &asked)
}

/// What the code hosts were asked for.
struct Asked {
    /// Requests to GitHub's interface.
    requests: u64,
    /// Calls over git.
    calls: u64,
    /// Changes that were refused here, before they were sent.
    refused: u64,
}

/// What all proposals together are likely to cost.
struct Money {
    /// In micro-USD, for those that there is experience with.
    expected: u64,
    /// How many these are.
    known: usize,
    /// What none of them goes beyond, in micro-USD.
    most: u64,
}

fn print(common: &Common, ctx: &Context, done: &Rehearsal, asked: &Asked) -> Result<u8> {
    let (expected, known) = done.expected_cost();
    let each = ctx.settings().agents.get("default").map_or(0, |agent| agent.task_micro_usd());
    let money = Money { expected, known, most: (done.proposals.len() as u64).saturating_mul(each) };
    if common.json {
        return output::json(&as_json(done, asked, &money));
    }
    if !done.proposals.is_empty() {
        output::line(&output::table(&["REPOSITORY", "POINTS", "COST", "MERGED", "TITLE"], rows(done)));
        output::line("");
    }
    section("Nothing (more) is proposed in", done.held.iter().map(|(name, why)| format!("{name}: {why}")));
    section("Open already, and left as it is", done.open.iter().map(named));
    section("Said no to before, and never proposed again", done.closed.iter().map(named));
    let all = || done.open.iter().map(|(task, _)| task).chain(&done.proposals);
    let alike = done.duplicates.iter().filter_map(|same| {
        let tasks: Vec<&Task> = same.iter().filter_map(|id| all().find(|task| task.id == *id)).collect();
        let places: Vec<&str> = tasks.iter().map(|task| task.repository.as_str()).collect();
        Some(format!("{}: {}", title(tasks.first()?), places.join(", ")))
    });
    section("The same in several repositories", alike);
    totals(done, asked, &money);
    Ok(DONE)
}

fn rows(done: &Rehearsal) -> Vec<Vec<String>> {
    let row = |task: &Task| {
        let likely = done.expectations.about(&task.source, &task.kind);
        vec![
            task.repository.to_string(),
            task.score.points.to_string(),
            likely.map_or("–".to_owned(), |of| usd(of.cost_micro_usd)),
            likely.map_or("–".to_owned(), |of| format!("{} of {}", of.merged, of.tasks)),
            title(task),
        ]
    };
    done.proposals.iter().map(row).collect()
}

fn totals(done: &Rehearsal, asked: &Asked, money: &Money) {
    // Each that is not the first of its kind.
    let is_new = |id: &&TaskId| done.proposals.iter().any(|task| task.id == **id);
    let alike: usize = done.duplicates.iter().map(|same| same.iter().skip(1).filter(is_new).count()).sum();
    let total = |what: &str, how_many: String| output::line(&format!("{what:<24} {how_many}"));
    total("Repositories looked at", format!("{} of {}", done.looked_at, done.repositories));
    total("New proposals", format!("{}, {alike} of them a duplicate of another one", done.proposals.len()));
    total("Open already", done.open.len().to_string());
    total("Said no to before", done.closed.len().to_string());
    total("Requests", format!("{} to GitHub's interface, {} calls over git", asked.requests, asked.calls));
    let expected = match (money.known, done.proposals.len()) {
        (0, _) => "not known before five tasks of a kind were worked".to_owned(),
        (known, all) => {
            format!("{}, for {known} of {all}; the others are of kinds without experience", usd(money.expected))
        }
    };
    total("Expected cost", expected);
    total("At most", format!("{}, if all are approved", usd(money.most)));
    match asked.refused {
        0 => output::line("Nothing was written."),
        refused => output::line(&format!("Nothing was written: {refused} changes were refused before they were sent.")),
    }
}

fn title(task: &Task) -> String {
    pipeline::wording::one_line(&pipeline::wording::proposal(task).0, 80)
}

fn named((task, link): &(Task, Option<IssueLink>)) -> String {
    let place = link.as_ref().map_or(String::new(), |link| format!(" ({})", link.url));
    format!("{}: {}{place}", task.repository, title(task))
}

/// A few lines under a heading; nothing when there are none.
fn section(heading: &str, lines: impl Iterator<Item = String>) {
    let lines: Vec<String> = lines.collect();
    if lines.is_empty() {
        return;
    }
    output::line(&format!("{heading}:"));
    lines.iter().take(LINES).for_each(|line| output::line(&format!("  {line}")));
    if lines.len() > LINES {
        output::line(&format!("  and {} more; --json lists all", lines.len() - LINES));
    }
    output::line("");
}

fn as_json(done: &Rehearsal, asked: &Asked, money: &Money) -> Value {
    let dollars = |micro: u64| micro as f64 / 1_000_000.0;
    let proposal = |task: &Task| {
        json!({
            "id": task.id, "repository": task.repository, "source": task.source, "kind": task.kind, "title": task.title,
            "findings": task.members().count(), "points": task.score.points, "reasons": task.score.reasons,
            "expected": done.expectations.about(&task.source, &task.kind),
        })
    };
    let known = |(task, link): &(Task, Option<IssueLink>)| {
        let url = link.as_ref().map(|link| &link.url);
        json!({ "id": task.id, "repository": task.repository, "title": task.title, "issue": url })
    };
    let held = |(name, why): &(RepoName, String)| json!({ "repository": name, "why": why });
    json!({
        "proposals": done.proposals.iter().map(proposal).collect::<Vec<_>>(),
        "duplicates": done.duplicates,
        "open": done.open.iter().map(known).collect::<Vec<_>>(),
        "closed": done.closed.iter().map(known).collect::<Vec<_>>(),
        "repositories": done.repositories,
        "looked_at": done.looked_at,
        "held": done.held.iter().map(held).collect::<Vec<_>>(),
        "requests": asked.requests,
        "git_calls": asked.calls,
        "refused_writes": asked.refused,
        "expected_usd": dollars(money.expected),
        "expected_for": money.known,
        "at_most_usd": dollars(money.most),
    })
}
