//! Benchmarks of the GitHub client, of whole passes and of scanning, as ratios side by side in one run.
//!
//! **Definition.** Each benchmark times the same work done in two or more ways against the same fake GitHub, which runs
//! in a process of its own with real latency, and prints one row per way: time, ratio, requests, and what the fake's
//! referee objected to. `./check bench` runs all of them; `benches NAME…` some.
//!
//! **Wanted properties.** A ratio compares runs of the same minute on the same machine; a bound that the project
//! promises is checked on the median of the runs, and a missed one makes the exit code 1. Time is only measured here,
//! never in tests; tests count requests.

mod clients;
mod drain;
mod fleet;
mod overhead;
mod report;
mod rescan;
mod scan;
mod server;
mod sweep;
mod unchanged;
mod waiting;

use anyhow::{Result, bail};
use report::Report;

/// Every benchmark by name, in the order of the page.
const ALL: [&str; 9] = ["sweep", "unchanged", "overhead", "drain", "waiting", "fleet", "pass", "rescan", "scan"];

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("serve-fake") => return server::serve(&arguments[1..]).await,
        Some("drain-child") => return drain::child(&arguments[1..]).await,
        _ => {}
    }
    let chosen: Vec<&str> =
        if arguments.is_empty() { ALL.to_vec() } else { arguments.iter().map(String::as_str).collect() };
    let mut report = Report::default();
    for name in chosen {
        match name {
            "fleet" => fleet::few(&mut report).await?,
            "pass" => fleet::many(&mut report).await?,
            "rescan" => rescan::run(&mut report).await?,
            "scan" => scan::run(&mut report)?,
            "sweep" => sweep::run(&mut report).await?,
            "unchanged" => unchanged::run(&mut report).await?,
            "overhead" => overhead::run(&mut report).await?,
            "drain" => drain::run(&mut report).await?,
            "waiting" => waiting::run(&mut report).await?,
            other => bail!("there is no benchmark `{other}`; there are {}", ALL.join(", ")),
        }
    }
    report.finish()
}
