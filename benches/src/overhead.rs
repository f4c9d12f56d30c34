//! What the governor adds to a request.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, anyhow};
use forge::github::Limits;
use forge::github::bench::Admissions;
use pipeline::ledger::StoreLedger;
use store::sqlite::SqliteStore;

use crate::report::{RUNS, Report, median, of};
use crate::server::SystemClock;

/// Admissions of one measurement.
const ADMISSIONS: u32 = 100_000;

pub async fn run(report: &mut Report) -> Result<()> {
    report.table("The governor alone, one process on an actor", &["What", "For each request"]);
    let dir = tempfile::tempdir()?;
    // What is measured is the work of admitting, not the waiting that the limits ask for.
    let limits = Limits { points_per_minute: u64::from(ADMISSIONS) * 100, ..Limits::default() };
    let mut times = Vec::new();
    for run in 0..RUNS {
        let clock = Arc::new(SystemClock);
        let store = Arc::new(SqliteStore::open(&dir.path().join(format!("{run}.db"))).await?);
        let ledger = Arc::new(StoreLedger::new(store, clock.clone()));
        let admissions = Admissions::new(limits.clone(), ledger, clock).await.map_err(|why| anyhow!(why))?;
        let started = Instant::now();
        for _ in 0..ADMISSIONS {
            admissions.pass().await.map_err(|why| anyhow!(why))?;
        }
        times.push(of(started.elapsed()) / f64::from(ADMISSIONS));
    }
    let time = median(times) * 1e6;
    report.row(&["a read admitted, its answer accounted for".to_owned(), format!("{time:.1} µs")]);
    report.promise(&format!("less than 50 µs, has {time:.1}"), time < 50.0);
    Ok(())
}
