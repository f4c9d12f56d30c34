//! Finding out that 1,000 repositories have not changed.

use std::time::Instant;

use anyhow::{Result, ensure};
use forge::github::Limits;
use forge::{Change, Forge as _, Known};
use futures::{StreamExt as _, TryStreamExt as _};
use git::{Git, Remote};

use crate::clients::Ours;
use crate::report::{RUNS, Report, median, of, seconds};
use crate::server::{Server, Setup};

const REPOSITORIES: usize = 1_000;

/// What one look cost.
#[derive(Default)]
struct Cost {
    times: Vec<f64>,
    requests: usize,
    git: usize,
    broken: Vec<String>,
}

pub async fn run(report: &mut Report) -> Result<()> {
    let setup = Setup {
        owners: 10,
        repositories: REPOSITORIES / 10,
        app: false,
        files: 1,
        latency_ms: 50,
        lax: false,
        hourly: 100_000,
    };
    let mut server = Server::start(&setup).await?;
    let dir = tempfile::tempdir()?;
    // The limits of an hour are not what is measured: several ways follow each other within minutes.
    let limits = Limits {
        points_per_minute: 100_000,
        work_per_minute: std::time::Duration::from_secs(3_600),
        ..Limits::default()
    };
    let ours = Ours::new(&server.entrance, limits, &dir.path().join("ccm.db")).await?;
    report.table(
        "1,000 repositories that have not changed, 50 ms latency",
        &["Way", "Time", "API requests", "Requests of git"],
    );
    let query = changes(&ours, &mut server).await?;
    row(report, "GraphQL, adaptive batches of 50", &query);
    let heads = ls_refs(&server.entrance.names.clone(), &mut server).await?;
    row(report, "git `ls-refs`, 8 at a time", &heads);
    let conditional = conditional(&ours, &mut server).await?;
    row(report, "REST, one conditional request each", &conditional);
    server.refuse_queries().await?;
    let listing = changes(&ours, &mut server).await?;
    row(report, "listing of 10 owners with a watermark", &listing);
    let (time, requests) = (median(query.times), query.requests);
    report.promise(&format!("GraphQL: at most 20 requests, has {requests}"), requests <= 20);
    report.promise(&format!("GraphQL: at most 5 s, has {}", seconds(time)), time <= 5.0);
    let time = median(heads.times);
    report.promise(&format!("ls-refs: at most 15 s, has {}", seconds(time)), time <= 15.0);
    Ok(())
}

fn row(report: &mut Report, way: &str, cost: &Cost) {
    let time = seconds(median(cost.times.clone()));
    report.row(&[way.to_owned(), time, cost.requests.to_string(), cost.git.to_string()]);
    for broken in &cost.broken {
        println!("\nRule broken: {broken}");
    }
}

/// One look, several times; the first is not counted, since nothing is known before it.
async fn changes(ours: &Ours, server: &mut Server) -> Result<Cost> {
    let mut known: Vec<Known> =
        ours.names.iter().map(|name| Known { name: name.clone(), mark: String::new() }).collect();
    let mut cost = Cost::default();
    for look in 0..=RUNS {
        let (before, started) = (server.seen().await?, Instant::now());
        let changes = ours.github.changes(&known).await?;
        let (time, after) = (of(started.elapsed()), server.seen().await?);
        let unchanged = changes.iter().filter(|(_, change)| *change == Change::Nothing).count();
        for (name, change) in changes {
            if let (Change::Something(mark), Some(known)) = (change, known.iter_mut().find(|known| known.name == name))
            {
                known.mark = mark;
            }
        }
        if look == 0 {
            continue;
        }
        ensure!(unchanged == REPOSITORIES, "{unchanged} of {REPOSITORIES} are unchanged");
        cost.add(time, &before, &after);
    }
    Ok(cost)
}

impl Cost {
    fn add(&mut self, time: f64, before: &crate::server::Seen, after: &crate::server::Seen) {
        self.times.push(time);
        self.requests = after.requests - before.requests;
        self.git = after.git - before.git;
        self.broken = after.violations.clone();
    }
}

async fn ls_refs(names: &[String], server: &mut Server) -> Result<Cost> {
    let git = Git::new("git".into());
    let mut cost = Cost::default();
    for _ in 0..RUNS {
        let (before, started) = (server.seen().await?, Instant::now());
        let url = server.entrance.url.clone();
        futures::stream::iter(names)
            .map(|name| git.remote_head(Remote::public(format!("{url}/{name}.git"))))
            .buffer_unordered(1_000)
            .try_for_each(async |_| Ok(()))
            .await?;
        cost.add(of(started.elapsed()), &before, &server.seen().await?);
    }
    Ok(cost)
}

async fn conditional(ours: &Ours, server: &mut Server) -> Result<Cost> {
    let mut cost = Cost::default();
    ours.sweep(1_000).await?;
    for _ in 0..RUNS {
        let before = server.seen().await?;
        let time = ours.sweep(1_000).await?;
        cost.add(of(time), &before, &server.seen().await?);
    }
    Ok(cost)
}
