//! One look of the service at a large repository after a commit that changed three files.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::fleet::{self, SCAN, Service};
use crate::report::{Report, median, of, seconds};
use crate::server::{Server, Setup};

const FILES: usize = 10_000;
/// Commits that are measured.
const COMMITS: usize = 9;

/// What one look took.
struct Took {
    processor: f64,
    wall: f64,
    read: f64,
    processes: f64,
    git: usize,
}

/// Measures and prints.
pub async fn run(report: &mut Report) -> Result<()> {
    let title = format!("A look at {FILES} files after a commit that changed three, no latency");
    report.table(&title, &["Commit", "Processor", "Wall", "Files read", "Runs of git", "Requests of git"]);
    let setup =
        Setup { owners: 1, repositories: 1, app: false, files: FILES, latency_ms: 0, lax: false, hourly: 20_000 };
    let mut server = Server::start(&setup).await?;
    let mut service = Service::start(&fleet::program()?, &server.entrance, None).await?;
    service.first_pass(1).await?;
    // The first look took an archive, the second fetches all trees; from then on only what changed is fetched.
    look(&mut server, &service).await?;
    let mut all = Vec::new();
    for n in 0..COMMITS {
        let took = look(&mut server, &service).await?;
        let counts = [took.read, took.processes].map(|count| format!("{count}"));
        let [read, processes] = counts;
        let cells =
            [(n + 1).to_string(), seconds(took.processor), seconds(took.wall), read, processes, took.git.to_string()];
        report.row(&cells);
        all.push(took);
    }
    let processor = median(all.iter().map(|took| took.processor).collect());
    let wall = median(all.iter().map(|took| took.wall).collect());
    report.promise(
        &format!("under 100 ms of work: {}, {} by the clock", seconds(processor), seconds(wall)),
        processor < 0.1,
    );
    let read: Vec<f64> = all.iter().map(|took| took.read).collect();
    report.promise(&format!("only the changed files are read: {read:?}"), read.iter().all(|read| *read == 3.0));
    service.stop().await
}

/// Pushes a commit and watches the look that follows. Processor time is what goes beyond that of a quiet time as long.
async fn look(server: &mut Server, service: &Service) -> Result<Took> {
    fleet::settled(server).await?;
    let quiet = async |service: &Service| -> Result<f64> {
        let (begun, before) = (Instant::now(), service.processor()?);
        tokio::time::sleep(Duration::from_secs(3)).await;
        Ok((service.processor()? - before) / of(begun.elapsed()))
    };
    let names = [
        "ccm_operation_duration_seconds_sum{operation=\"scan\"}",
        "ccm_files_read_total",
        "ccm_git_processes_total",
        "ccm_operation_duration_seconds_count{operation=\"scan\"}",
    ];
    let numbers = async || -> [f64; 4] {
        let mut numbers = [0.0; 4];
        for (number, name) in numbers.iter_mut().zip(names) {
            *number = service.metric(name).await;
        }
        numbers
    };
    let idle = quiet(service).await?;
    let (before, asked) = (numbers().await, server.seen().await?);
    server.push_three().await?;
    let (begun, processor) = (Instant::now(), service.processor()?);
    // Whoever asks for metrics gives the service work: the fake is asked whether anything happens.
    while server.seen().await?.git == asked.git {
        ensure!(begun.elapsed() < SCAN * 3, "the commit was not seen");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let seen = fleet::settled(server).await?;
    let processor = service.processor()? - processor - idle * of(begun.elapsed());
    let after = numbers().await;
    ensure!(after[3] > before[3], "no look was counted");
    let [wall, read, processes, _] = std::array::from_fn(|n| after[n] - before[n]);
    Ok(Took { processor: processor.max(0.0), wall, read, processes, git: seen.git - asked.git })
}
