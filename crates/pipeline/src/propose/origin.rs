//! Who wrote what is about to be proposed, and when.
//!
//! **Wanted properties.** Only what people are about to be shown is asked for; nothing is asked for twice; a proposal
//! never waits for the answer; which tasks are proposed does not depend on it, so that the same findings give the same
//! proposals whether or not the code host answers.
//!
//! **Design.** A look at a code host has no history (ADR 0013). So the host is asked, once the tasks are chosen and before
//! their issues are written, for all of a repository at once. Age only adds points, and only to tasks that are chosen. The
//! answer is stored before anything is written; that there is none is noted.
//!
//! **Known races.** *A crash between the answer and its commit*: it is asked for again.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use backlog::finding::{Finding, Source};
use backlog::names::digest;
use backlog::task::{Stage, Task};
use forge::{Forge, Line, Origin};
use store::{Commit, StoreError};

use crate::{Context, rank};

/// Where it is noted of which lines the code host knows nothing.
const SPACE: &str = "no-origin";
/// How long that is kept.
const KEPT_FOR: Duration = Duration::from_secs(30 * 86_400);
/// How many lines of one repository are asked for at once; further ones are proposed without.
const LINES: usize = 50;

/// The line that a finding is about, if its author is to be asked for.
fn line(finding: &Finding) -> Option<Line> {
    let known = finding.author.is_some() || finding.written_on.is_some();
    let wanted = finding.source == Source::Todo && finding.line > 0 && !known;
    let commit = finding.commit.clone().filter(|_| wanted)?;
    Some(Line { repository: finding.repository.clone(), commit, path: finding.path.clone(), number: finding.line })
}

fn key(line: &Line) -> String {
    digest(&[line.repository.as_str(), line.commit.as_str(), &line.path, &line.number.to_string()])
}

/// The same tasks, with what the code host says of their findings, stored.
///
/// # Errors
/// When the store fails.
pub(super) async fn learn(ctx: &Arc<Context>, forge: &dyn Forge, tasks: Vec<Task>) -> Result<Vec<Task>> {
    let mut lines = Vec::new();
    for line in tasks.iter().flat_map(Task::members).filter_map(line) {
        if lines.len() < LINES && ctx.store.note(SPACE, &key(&line), ctx.now()).await?.is_none() {
            lines.push(line);
        }
    }
    if lines.is_empty() {
        return Ok(tasks);
    }
    let origins: Vec<(Line, Origin)> =
        forge.origins(&lines).await.into_iter().zip(lines).map(|(o, l)| (l, o)).collect();
    for (line, _) in origins.iter().filter(|(_, origin)| *origin == Origin::Unknown) {
        let until = Some(ctx.now().plus(KEPT_FOR));
        ctx.store.put_note(SPACE, &key(line), "", until).await?;
    }
    let (policy, expectations, now) = (ctx.settings().rank, rank::expectations(ctx).await?, ctx.now());
    let mut learnt = Vec::with_capacity(tasks.len());
    for task in tasks {
        let Some(mut known) = told(&task, &origins) else {
            learnt.push(task);
            continue;
        };
        known.score = backlog::rank::score(&known, &policy, expectations.about(&known.source, &known.kind), now);
        match ctx.store.commit(Commit { tasks: vec![known], ..Commit::default() }).await {
            // Somebody who decided about it just now was faster: then it is not to be proposed any more.
            Ok(_) | Err(StoreError::Conflict(_)) => {
                let now = ctx.store.task(&task.id).await?;
                learnt.extend(now.filter(|task| task.state.stage() == Stage::Found));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(learnt)
}

/// The task with what was said of its members; `None` when nothing was.
fn told(task: &Task, origins: &[(Line, Origin)]) -> Option<Task> {
    let mut task = task.clone();
    let mut news = false;
    for finding in task.finding.iter_mut().chain(&mut task.more) {
        let about = line(finding).and_then(|wanted| origins.iter().find(|(line, _)| *line == wanted));
        if let Some((_, Origin::Written { by, on })) = about {
            (finding.author, finding.written_on, news) = (by.clone(), Some(*on), true);
        }
    }
    news.then_some(task)
}
