//! `ccm serve --dry-run`: what the service would propose, before anything is written anywhere.
//!
//! It works on a copy of the database in a folder of its own, reads the code hosts and changes nothing there.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use forge::Forge;
use forge::read_only::ReadOnly;
use pipeline::Context;
use pipeline::rehearse::{Rehearsal, rehearse};
use pipeline::wording::usd;
use serde_json::{Value, json};

use crate::cli::Common;
use crate::config;
use crate::{DONE, output, progress, wire};

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
        refused: hosts.iter().map(|host| host.refused()).sum(),
    };
    print(common, &ctx, &done?, &asked)
}

/// What the code hosts were asked for.
struct Asked {
    /// Requests to GitHub.
    requests: u64,
    /// Changes that were refused here, before they were sent.
    refused: u64,
}

fn print(common: &Common, ctx: &Context, done: &Rehearsal, asked: &Asked) -> Result<u8> {
    let (expected, known) = done.expected_cost();
    let most =
        done.proposals.len() as u64 * ctx.settings().agents.get("default").map_or(0, |agent| agent.task_micro_usd());
    if common.json {
        return output::json(&as_json(done, asked, expected, known, most));
    }
    let rows = done.proposals.iter().map(|task| {
        let likely = done.expectations.about(&task.source, &task.kind);
        vec![
            task.repository.to_string(),
            task.score.points.to_string(),
            likely.map_or("–".to_owned(), |of| usd(of.cost_micro_usd)),
            likely.map_or("–".to_owned(), |of| format!("{} of {}", of.merged, of.tasks)),
            pipeline::wording::proposal(task).0.chars().take(80).collect(),
        ]
    });
    if !done.proposals.is_empty() {
        output::line(&output::table(&["REPOSITORY", "POINTS", "COST", "MERGED", "TITLE"], rows.collect()));
        output::line("");
    }
    for (repository, why) in &done.held {
        output::line(&format!("{repository}: {why}"));
    }
    let alike: usize = done.duplicates.iter().map(Vec::len).sum();
    output::line(&format!("Repositories looked at: {}", done.looked_at));
    output::line(&format!("Proposals: {}; of these say the same as another one: {alike}", done.proposals.len()));
    output::line(&format!("Requests to GitHub: {}; changes refused: {}", asked.requests, asked.refused));
    if known > 0 {
        output::line(&format!("Expected cost of the {known} that there is experience with: {}", usd(expected)));
    }
    output::line(&format!("All together may cost at most {}.", usd(most)));
    Ok(DONE)
}

fn as_json(done: &Rehearsal, asked: &Asked, expected: u64, known: usize, most: u64) -> Value {
    let dollars = |micro: u64| micro as f64 / 1_000_000.0;
    let proposal = |task: &backlog::task::Task| {
        json!({
            "id": task.id, "repository": task.repository, "source": task.source, "kind": task.kind, "title": task.title,
            "findings": task.members().count(), "points": task.score.points, "reasons": task.score.reasons,
            "expected": done.expectations.about(&task.source, &task.kind),
        })
    };
    let held = |(name, why): &(backlog::names::RepoName, String)| json!({ "repository": name, "why": why });
    json!({
        "proposals": done.proposals.iter().map(proposal).collect::<Vec<_>>(),
        "duplicates": done.duplicates,
        "repositories": done.looked_at,
        "held": done.held.iter().map(held).collect::<Vec<_>>(),
        "requests": asked.requests,
        "refused_writes": asked.refused,
        "expected_usd": dollars(expected),
        "expected_for": known,
        "at_most_usd": dollars(most),
    })
}
