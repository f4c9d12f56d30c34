//! The claim that the project started from: reading many repositories at once instead of one after the other.

use anyhow::Result;
use forge::Forge as _;
use forge::github::Limits;

use crate::clients::{Ours, octocrab, pygithub};
use crate::report::{RUNS, Report, median, of, seconds};
use crate::server::{Server, Setup};

struct Way {
    name: &'static str,
    at_least: f64,
    owners: usize,
    repositories: usize,
    limits: Limits,
}

fn ways() -> [Way; 3] {
    let ceiling = Limits { concurrency: 100, concurrency_most: 100, ..Limits::default() };
    [
        Way {
            name: "200 repositories, one actor, default bounds",
            at_least: 9.0,
            owners: 1,
            repositories: 200,
            limits: Limits::default(),
        },
        Way {
            name: "200 repositories, one actor, the published ceiling of 100 at once",
            at_least: 40.0,
            owners: 1,
            repositories: 200,
            limits: ceiling,
        },
        Way {
            name: "2,000 repositories in 20 installations, default bounds",
            at_least: 80.0,
            owners: 20,
            repositories: 100,
            limits: Limits::default(),
        },
    ]
}

pub async fn run(report: &mut Report) -> Result<()> {
    report.table(
        "Reading many repositories, 100 ms latency",
        &["What", "Client", "One at a time", "Concurrent", "Times faster", "Requests", "Rules broken"],
    );
    let mut promises = Vec::new();
    for way in ways() {
        let setup = Setup {
            owners: way.owners,
            repositories: way.repositories,
            app: way.owners > 1,
            files: 0,
            latency_ms: 100,
            lax: false,
            hourly: 100_000,
        };
        // One after the other takes minutes where the concurrent way takes seconds: it is measured once.
        let alone = measured(&setup, &way.limits, 1).await?;
        let (mut times, mut requests, mut broken) = (Vec::new(), 0, alone.broken.clone());
        for _ in 0..RUNS {
            let run = measured(&setup, &way.limits, 10_000).await?;
            times.push(run.time);
            requests = run.requests;
            broken.extend(run.broken);
        }
        let time = median(times);
        let ratio = alone.time / time;
        report.row(&[
            way.name.to_owned(),
            "ccm".to_owned(),
            seconds(alone.time),
            seconds(time),
            format!("{ratio:.1}"),
            requests.to_string(),
            broken.len().to_string(),
        ]);
        promises.push((
            format!("{}: at least {} times faster, has {ratio:.1}", way.name, way.at_least),
            ratio >= way.at_least,
        ));
        promises.push((format!("{}: no rule broken {broken:?}", way.name), broken.is_empty()));
    }
    others(report).await?;
    for (what, holds) in promises {
        report.promise(&what, holds);
    }
    Ok(())
}

struct Run {
    time: f64,
    requests: usize,
    broken: Vec<String>,
}

/// One sweep with a fresh client, a fresh fake and a fresh database. Finding out who the actors are is part of it.
async fn measured(setup: &Setup, limits: &Limits, at_once: usize) -> Result<Run> {
    let mut server = Server::start(setup).await?;
    let dir = tempfile::tempdir()?;
    // One at a time is read by hand for as long as it takes: pauses of the governor would make it slower still.
    let ours = Ours::new(&server.entrance, limits.clone(), &dir.path().join("ccm.db")).await?;
    ours.github.login().await?;
    let time = of(ours.sweep(at_once).await?);
    let seen = server.seen().await?;
    Ok(Run { time, requests: seen.requests, broken: seen.violations })
}

/// The same with clients that others wrote, with as many requests at once as the published ceiling.
async fn others(report: &mut Report) -> Result<()> {
    let setup =
        Setup { owners: 1, repositories: 200, app: false, files: 0, latency_ms: 100, lax: false, hourly: 100_000 };
    for (name, at_once) in [("octocrab 0.54, its defaults", 100), ("PyGithub in threads", 100)] {
        let (mut alone, mut together, mut requests, mut broken) = (Vec::new(), Vec::new(), 0, 0);
        for (at_once, times, runs) in [(1, &mut alone, 1), (at_once, &mut together, RUNS)] {
            for _ in 0..runs {
                let mut server = Server::start(&setup).await?;
                let time = if name.starts_with("octocrab") {
                    Some(octocrab(&server.entrance, at_once).await?)
                } else {
                    pygithub(&server.entrance, at_once).await?
                };
                let Some(time) = time else {
                    report.row(&["200 repositories".to_owned(), format!("{name}: not installed, left out")]);
                    return Ok(());
                };
                times.push(of(time));
                let seen = server.seen().await?;
                (requests, broken) = (seen.requests, broken.max(seen.violations.len()));
            }
        }
        let (alone, together) = (median(alone), median(together));
        report.row(&[
            format!("200 repositories, {at_once} at once, no governor"),
            name.to_owned(),
            seconds(alone),
            seconds(together),
            format!("{:.1}", alone / together),
            requests.to_string(),
            broken.to_string(),
        ]);
    }
    Ok(())
}
