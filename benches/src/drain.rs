//! 10,000 writes that wait, a configured pace, and a process that is killed again and again.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use backlog::names::TaskId;
use forge::github::Limits;
use forge::{Forge as _, ForgeError, IssueDraft};
use futures::{StreamExt as _, TryStreamExt as _};
use serde::{Deserialize, Serialize};

use crate::clients::Ours;
use crate::report::{Report, of, seconds};
use crate::server::{Entrance, Server, Setup};

const WRITES: usize = 10_000;
/// The pace of this benchmark: 25 times what GitHub allows, so that it ends within minutes. Each write is stored five
/// times before its turn is over, which takes this long on no machine.
const SPACING: Duration = Duration::from_millis(40);
/// How often the process is killed, and after how long each time.
const KILLS: u32 = 3;
const KILLED_AFTER: Duration = Duration::from_secs(20);

/// What the child is told.
#[derive(Serialize, Deserialize)]
struct Work {
    entrance: Entrance,
    database: PathBuf,
}

pub async fn run(report: &mut Report) -> Result<()> {
    report.table("10,000 issues at a pace of one in 40 ms, killed three times with SIGKILL", &["What", "Value"]);
    let setup =
        Setup { owners: 1, repositories: 100, app: false, files: 0, latency_ms: 1, lax: true, hourly: 10_000_000 };
    let mut server = Server::start(&setup).await?;
    let dir = tempfile::tempdir()?;
    let work = Work { entrance: server.entrance.clone(), database: dir.path().join("ccm.db") };
    let started = Instant::now();
    for _ in 0..KILLS {
        let mut child = start(&work)?;
        tokio::time::sleep(KILLED_AFTER).await;
        child.kill().await?;
    }
    let killed_at = server.seen().await?.issues;
    let last = Instant::now();
    let status = start(&work)?.wait().await?;
    if !status.success() {
        bail!("the last process failed: {status}");
    }
    let (rest, seen) = (of(last.elapsed()), server.seen().await?);
    let doubled = seen.violations.iter().filter(|text| text.contains("both created")).count();
    let pace = rest / (seen.issues - killed_at).max(1) as f64;
    report.row(&["issues created".to_owned(), seen.issues.to_string()]);
    report.row(&["created twice".to_owned(), doubled.to_string()]);
    report.row(&["created before the last kill".to_owned(), killed_at.to_string()]);
    report.row(&["from one to the next after it, on average".to_owned(), seconds(pace)]);
    report.row(&["whole time".to_owned(), seconds(of(started.elapsed()))]);
    report.promise(&format!("none lost: {} of {WRITES}", seen.issues), seen.issues == WRITES);
    report.promise(&format!("none doubled: {doubled}"), doubled == 0);
    let exact = SPACING.as_secs_f64();
    report.promise(
        &format!(
            "the pace is what is configured, never faster and at most a fiftieth slower: {} for {}",
            seconds(pace),
            seconds(exact)
        ),
        pace >= exact && pace <= exact * 1.02,
    );
    Ok(())
}

fn start(work: &Work) -> Result<tokio::process::Child> {
    let child = tokio::process::Command::new(std::env::current_exe()?)
        .args(["drain-child", &serde_json::to_string(work)?])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    Ok(child)
}

/// The child: makes every issue be there, and ends.
pub async fn child(arguments: &[String]) -> Result<()> {
    let work: Work = serde_json::from_str(arguments.first().context("the work is missing")?)?;
    let ours = Ours::new(&work.entrance, fast(), Path::new(&work.database)).await?;
    futures::stream::iter(0..WRITES)
        .map(|n| make(&ours, n))
        .buffer_unordered(WRITES)
        .try_for_each(async |()| Ok(()))
        .await
}

/// As a reconciler does: again and again until it is there.
async fn make(ours: &Ours, n: usize) -> Result<()> {
    let repository = ours.names[n % ours.names.len()].clone();
    let task: TaskId = backlog::names::digest(&[&n.to_string()])[..10].parse()?;
    let (title, body) = (format!("Issue {n}"), "Something to do.".to_owned());
    let draft = IssueDraft { repository, task, title, body, labels: Vec::new() };
    loop {
        match ours.github.ensure_issue(&draft).await {
            Ok(_) => return Ok(()),
            Err(ForgeError::Limited { .. } | ForgeError::Transient { .. }) => {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Every limit out of the way but the spacing of writes.
fn fast() -> Limits {
    Limits {
        concurrency: 25,
        write_spacing: SPACING,
        notice_spacing: SPACING,
        points_per_minute: 100_000_000,
        work_per_minute: Duration::from_secs(100_000),
        content_per_minute: 1_000_000,
        content_per_hour: 1_000_000,
        patience: Duration::from_secs(3_600),
        waiting: 2 * WRITES,
        ..Limits::default()
    }
}
