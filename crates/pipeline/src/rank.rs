//! Ranking: gives every waiting task its present score.

use std::sync::Arc;

use anyhow::Result;
use backlog::expect::Expectations;
use backlog::task::{Stage, Task};
use store::{Commit, StoreError, TaskFilter};

use crate::Context;

/// How many tasks are written in one commit.
const BATCH: usize = 500;

/// How many ended tasks of all kinds are looked back at.
const LOOKED_BACK: usize = 5_000;

/// What tasks are likely to take, by what was worked here before.
///
/// # Errors
/// When the store fails.
pub async fn expectations(ctx: &Context) -> Result<Expectations, StoreError> {
    Ok(Expectations::of(&ctx.store.worked(LOOKED_BACK).await?))
}

/// Reconciler: scores the tasks that wait for a decision or a run. Writes only scores that changed.
///
/// # Errors
/// When the store fails.
pub async fn rerank(ctx: &Arc<Context>) -> Result<()> {
    let filter = TaskFilter { stages: vec![Stage::Found, Stage::Proposed, Stage::Approved], ..TaskFilter::default() };
    let (policy, expectations, now) = (ctx.settings().rank, expectations(ctx).await?, ctx.now());
    let changed: Vec<Task> = ctx
        .store
        .tasks(&filter)
        .await?
        .into_iter()
        .filter_map(|mut task| {
            let expected = expectations.about(&task.source, &task.kind);
            let score = backlog::rank::score(&task, &policy, expected, now);
            (score != task.score).then(|| {
                task.score = score;
                task
            })
        })
        .collect();
    for batch in changed.chunks(BATCH) {
        match ctx.store.commit(Commit { tasks: batch.to_vec(), ..Commit::default() }).await {
            // Somebody decided about one of them just now: the next activation scores the rest.
            Ok(_) | Err(StoreError::Conflict(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
