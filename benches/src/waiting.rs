//! Thousands of operations that wait at once: what they hold, and what they do to the event loop.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use forge::Forge as _;
use forge::github::Limits;

use crate::clients::Ours;
use crate::report::{RUNS, Report, median, resident};
use crate::server::{Server, Setup};

const OPERATIONS: usize = 5_000;
/// How often lag is measured.
const PERIOD: Duration = Duration::from_millis(10);
/// For how long the operations are watched while they wait.
const WATCHED: Duration = Duration::from_secs(5);

pub async fn run(report: &mut Report) -> Result<()> {
    report.table("5,000 operations that wait at once, 100 ms latency", &["What", "Value"]);
    let (mut bytes, mut p99, mut worst) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let run = measured().await?;
        bytes.push(run.bytes);
        p99.push(run.p99);
        worst.push(run.worst);
    }
    // The first run counts for memory: the later ones find room that it left.
    let (bytes, p99, worst) = (bytes[0], median(p99), median(worst));
    report.row(&["memory for each".to_owned(), format!("{:.1} KiB", bytes / 1024.0)]);
    report.row(&["lag of the event loop, 99 of 100 below".to_owned(), format!("{p99:.1} ms")]);
    report.row(&["the worst lag".to_owned(), format!("{worst:.1} ms")]);
    report.promise(&format!("less than 10 KiB for each, has {:.1}", bytes / 1024.0), bytes < 10.0 * 1024.0);
    report.promise(&format!("lag p99 below 10 ms, has {p99:.1}"), p99 < 10.0);
    Ok(())
}

struct Run {
    bytes: f64,
    p99: f64,
    worst: f64,
}

async fn measured() -> Result<Run> {
    let setup =
        Setup { owners: 1, repositories: 500, app: false, files: 0, latency_ms: 100, lax: false, hourly: 1_000_000 };
    let server = Server::start(&setup).await?;
    let dir = tempfile::tempdir()?;
    let limits = Limits {
        points_per_minute: 1_000_000,
        work_per_minute: Duration::from_secs(100_000),
        patience: Duration::from_secs(3_600),
        ..Limits::default()
    };
    let ours = Ours::new(&server.entrance, limits, &dir.path().join("ccm.db")).await?;
    ours.github.login().await?;
    // Whatever a first round allocates once for all is no cost of waiting.
    ours.sweep(500).await?;
    let lag = Arc::new(std::sync::Mutex::new(Vec::new()));
    let probe = tokio::spawn(watch(lag.clone()));
    let before = resident();
    let operations: Vec<_> = (0..OPERATIONS)
        .map(|n| {
            let (github, name) = (ours.github.clone(), ours.names[n % ours.names.len()].clone());
            // Each asks something else: nothing that could be coalesced.
            tokio::spawn(async move { github.permission(&name, &format!("user{n}")).await.map(drop) })
        })
        .collect();
    tokio::time::sleep(WATCHED).await;
    let (held, waiting) =
        (resident().saturating_sub(before), operations.iter().filter(|one| !one.is_finished()).count());
    ensure!(waiting > OPERATIONS / 2, "only {waiting} operations wait");
    for operation in &operations {
        operation.abort();
    }
    probe.abort();
    let mut lag = std::mem::take(&mut *lag.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    lag.sort_by(f64::total_cmp);
    let p99 = lag.get(lag.len() * 99 / 100).copied().unwrap_or_default();
    Ok(Run { bytes: held as f64 / OPERATIONS as f64, p99, worst: lag.last().copied().unwrap_or_default() })
}

/// How late a timer fires, in milliseconds.
async fn watch(lag: Arc<std::sync::Mutex<Vec<f64>>>) {
    loop {
        let asked = Instant::now();
        tokio::time::sleep(PERIOD).await;
        let late = asked.elapsed().saturating_sub(PERIOD).as_secs_f64() * 1000.0;
        lag.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(late);
    }
}
