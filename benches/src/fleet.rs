//! The whole service from nothing to proposals, beside a straightforward program that reads one file after the other.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use tokio::process::{Child, Command};

use crate::report::{Report, median, of, seconds};
use crate::server::{Entrance, Seen, Server, Setup};

/// Files of a repository: with its own record and its five listings, 48 requests for who reads one after the other.
const FILES: usize = 42;
/// Comments among them that ask for work.
const FOUND: usize = 3;
/// Repositories of the comparison, and how many of them the slow way is measured on: it takes 20 minutes for all.
const FEW: usize = 200;
const MEASURED: usize = 10;
/// Repositories of the large fleet.
const MANY: usize = 1_000;
/// How often the service asks what has changed.
pub const SCAN: Duration = Duration::from_secs(20);
const GIVEN_UP: Duration = Duration::from_secs(900);

pub fn program() -> Result<PathBuf> {
    std::env::var_os("CCM_BENCH_PROGRAM").map(PathBuf::from).context("CCM_BENCH_PROGRAM names no `ccm`; see ./check")
}

/// 200 repositories: ratios of time and of requests.
pub async fn few(report: &mut Report) -> Result<()> {
    let program = &program()?;
    let title = format!("{FEW} repositories of {FILES} files, from nothing to proposals, at 100 ms latency");
    report.table(&title, &["Way", "Time", "Times faster", "Requests to the API", "Requests of git", "Rules broken"]);
    let setup = Setup {
        owners: 4,
        repositories: FEW / 4,
        app: false,
        files: FILES,
        latency_ms: 100,
        lax: false,
        hourly: 20_000,
    };
    let mut server = Server::start(&setup).await?;
    let before = server.seen().await?;
    let started = Instant::now();
    let found = one_by_one(&server.entrance, MEASURED).await?;
    ensure!(found == FOUND * MEASURED, "the slow way found {found}");
    let scale = (FEW / MEASURED) as f64;
    let (slow, seen) = (of(started.elapsed()) * scale, server.seen().await?);
    let asked = (seen.requests - before.requests) * (FEW / MEASURED);
    let name = format!("one request after the other, contents API ({MEASURED} repositories, times {scale})");
    report.row(&[name, seconds(slow), "1".into(), asked.to_string(), "0".into(), "–".into()]);
    for (at_once, promised) in [(None, 60.0), (Some(50), 200.0)] {
        let (mut times, mut most, mut again) = (Vec::new(), 0, Vec::new());
        for _ in 0..crate::report::RUNS {
            let mut server = Server::start(&setup).await?;
            let mut service = Service::start(program, &server.entrance, at_once).await?;
            let time = service.first_pass(FEW).await? + service.proposed(FEW * FOUND).await?;
            let first = server.seen().await?;
            let name = at_once.map_or("ccm, defaults".to_owned(), |n| format!("ccm, bounds raised to {n}"));
            let (time, broken) = (of(time), first.violations.len().to_string());
            let ratio = format!("{:.1}", slow / time);
            report.row(&[name, seconds(time), ratio, first.requests.to_string(), first.git.to_string(), broken]);
            times.push(slow / time);
            most = most.max(first.requests);
            let quiet = settled(&mut server).await?;
            again.push(next_pass(&mut server, &quiet).await?);
            service.stop().await?;
        }
        let (ratio, bounds) =
            (median(times), at_once.map_or("the default bounds".to_owned(), |n| format!("bounds of {n}")));
        report.promise(&format!("at least {promised} times faster with {bounds}: {ratio:.1}"), ratio >= promised);
        report.promise(&format!("at most a twentieth of the requests: {most} of {asked}"), most * 20 <= asked);
        let requests = again.iter().map(|seen| seen.requests).max().unwrap_or_default();
        report.promise(&format!("a second pass takes at most 10 requests: {requests}"), requests <= 10);
        let git = again.iter().map(|seen| seen.git).max().unwrap_or_default();
        report.promise(&format!("and none of git: {git}"), git == 0);
        let longest = median(again.iter().map(|seen| seen.took).collect());
        report.promise(&format!("and at most one second: {}", seconds(longest)), longest <= 1.0);
    }
    Ok(())
}

/// 1,000 repositories: memory and lag.
pub async fn many(report: &mut Report) -> Result<()> {
    let program = &program()?;
    let title = format!("{MANY} repositories of {FILES} files, one pass at 50 ms latency, default bounds");
    report.table(&title, &["What", "Value"]);
    let setup = Setup {
        owners: 10,
        repositories: MANY / 10,
        app: false,
        files: FILES,
        latency_ms: 50,
        lax: false,
        hourly: 20_000,
    };
    let mut server = Server::start(&setup).await?;
    let mut service = Service::start(program, &server.entrance, None).await?;
    let half = service.first_pass(MANY / 2).await?;
    let in_between = service.resident()?;
    let whole = half + service.first_pass(MANY).await?;
    // Before the proposals are counted: a list of a thousand of them is no part of the pass.
    let most = service.most_resident()?;
    service.proposed(MANY * FOUND).await?;
    let (listed, seen) = (service.most_resident()?, server.seen().await?);
    let mib = |bytes: u64| format!("{:.0} MiB", bytes as f64 / 1_048_576.0);
    let late = service.late().await?;
    report.row(&["time".into(), seconds(of(whole))]);
    report.row(&["requests to the API, of git".into(), format!("{}, {}", seen.requests, seen.git)]);
    report.row(&["memory after half of them".into(), mib(in_between)]);
    report.row(&["the most memory of the pass".into(), mib(most)]);
    report.row(&["with a list of 1,000 tasks".into(), mib(listed)]);
    report.row(&["rules broken".into(), seen.violations.len().to_string()]);
    report.promise(&format!("memory stays under 300 MiB: {}", mib(listed)), listed < 300 << 20);
    let flat = most <= in_between + in_between / 4;
    report.promise(&format!("and flat: {} after half, {} at most", mib(in_between), mib(most)), flat);
    let quiet = settled(&mut server).await?;
    let looked = service.looks().await;
    server.push_to_ten().await?;
    let mut again = next_pass(&mut server, &quiet).await?;
    // A sweep in the middle of the pushes sees some of them, the one after it the others.
    while service.looks().await - looked < 10.0 {
        let quiet = server.seen().await?;
        let rest = next_pass(&mut server, &quiet).await?;
        again =
            Again { requests: again.requests + rest.requests, git: again.git + rest.git, took: again.took + rest.took };
    }
    let asked = format!("{} to the API and {} of git in {}", again.requests, again.git, seconds(again.took));
    report.row(&["a pass in which 10 had changed".into(), asked.clone()]);
    report.promise(&format!("at most 150 requests when 10 have changed: {asked}"), again.requests + again.git <= 150);
    report.promise("and at most 10 s", again.took <= 10.0);
    report
        .promise(&format!("event-loop lag above 10 ms in at most 1 of 100: {:.2} of 100", late * 100.0), late <= 0.01);
    service.stop().await
}

/// What a pass asked for in which nothing had changed, and from its first request to the end of its last.
struct Again {
    requests: usize,
    git: usize,
    took: f64,
}

/// Waits for the next sweep after it was quiet, and watches it.
async fn next_pass(server: &mut Server, quiet: &Seen) -> Result<Again> {
    let started = Instant::now();
    loop {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let seen = server.seen().await?;
        if seen.requests + seen.git > quiet.requests + quiet.git {
            let begun = Instant::now();
            let over = settled(server).await?;
            // How long it was quiet before it counted as over is not part of it.
            let took = of(begun.elapsed()) - of(QUIET);
            return Ok(Again { requests: over.requests - quiet.requests, git: over.git - quiet.git, took });
        }
        if started.elapsed() > SCAN * 3 {
            bail!("no second pass began");
        }
    }
}

/// So long without a request, nothing more comes of a pass.
const QUIET: Duration = Duration::from_millis(1_500);

pub async fn settled(server: &mut Server) -> Result<Seen> {
    let mut last = server.seen().await?;
    let mut since = Instant::now();
    while since.elapsed() < QUIET {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let seen = server.seen().await?;
        if seen.requests + seen.git != last.requests + last.git {
            since = Instant::now();
        }
        last = seen;
    }
    Ok(last)
}

/// The straightforward way: every repository, its folders, its files; each request waits for the one before.
async fn one_by_one(entrance: &Entrance, repositories: usize) -> Result<usize> {
    let client = reqwest::Client::new();
    let get = async |path: String| -> Result<Value> {
        let request = client.get(format!("{}{path}", entrance.url)).bearer_auth(&entrance.token);
        Ok(request.header("user-agent", "straightforward").send().await?.error_for_status()?.json().await?)
    };
    let mut found = 0;
    for name in &entrance.names[..repositories] {
        get(format!("/repos/{name}")).await?;
        let mut folders = vec![String::new()];
        while let Some(folder) = folders.pop() {
            let listing = get(format!("/repos/{name}/contents/{folder}")).await?;
            for entry in listing.as_array().context("a listing")? {
                let path = entry["path"].as_str().context("a path")?.to_owned();
                if entry["type"] == "dir" {
                    folders.push(path);
                } else {
                    let file = get(format!("/repos/{name}/contents/{path}")).await?;
                    let text = file["content"].as_str().context("a content")?.replace('\n', "");
                    found += usize::from(decoded(&text).contains("TODO"));
                }
            }
        }
    }
    Ok(found)
}

/// Base64, as the contents API gives files.
fn decoded(text: &str) -> String {
    let value = |byte: u8| match byte {
        b'A'..=b'Z' => u32::from(byte - b'A'),
        b'a'..=b'z' => u32::from(byte - b'a') + 26,
        b'0'..=b'9' => u32::from(byte - b'0') + 52,
        b'+' => 62,
        _ => 63,
    };
    let mut bytes = Vec::new();
    for group in text.trim_end_matches('=').as_bytes().chunks(4) {
        let bits = group.iter().fold(0, |bits, byte| bits << 6 | value(*byte)) << (6 * (4 - group.len()));
        bytes.extend_from_slice(&bits.to_be_bytes()[1..group.len()]);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The service, as people start it.
pub struct Service {
    child: Child,
    started: Instant,
    url: String,
    folder: tempfile::TempDir,
}

impl Service {
    pub async fn start(program: &Path, entrance: &Entrance, at_once: Option<usize>) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let (mut limits, mut hosts) = (String::new(), String::new());
        if let Some(n) = at_once {
            limits = format!("concurrent_repositories = {n}\n");
            hosts = format!(
                "[github.limits]\nallow_raising = true\nconcurrency = {n}\nconcurrency_most = {n}\n\
                 points_per_minute = 900\nwork_seconds_per_minute = 90\n"
            );
        }
        let config = format!(
            "[github]\napi_url = \"{}\"\ntoken_env = \"BENCH_TOKEN\"\nrepositories = [\"*/*\"]\n{hosts}\
             [server]\nlisten = \"127.0.0.1:{port}\"\n[proposals]\nwhere = \"dashboard\"\nmax_open_per_owner = 10000\n\
             [sandbox]\nkind = \"none\"\n[limits]\nscan_seconds = {}\n{limits}",
            entrance.url,
            SCAN.as_secs()
        );
        let file = folder.path().join("ccm.toml");
        std::fs::write(&file, config)?;
        let log = std::fs::File::create(folder.path().join("log"))?;
        let started = Instant::now();
        let child = Command::new(program)
            .args([
                "--config",
                &file.to_string_lossy(),
                "--data-dir",
                &folder.path().join("data").to_string_lossy(),
                "serve",
            ])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", folder.path())
            .env("BENCH_TOKEN", &entrance.token)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Self { child, started, url: format!("http://127.0.0.1:{port}"), folder })
    }

    /// Waits until so many repositories were looked at and proposed from; gives the time since the last call, or since
    /// the start.
    pub async fn first_pass(&mut self, repositories: usize) -> Result<Duration> {
        let began = self.started;
        while self.metric("ccm_operations_total{operation=\"propose\",outcome=\"ok\"}").await < repositories as f64 {
            tokio::time::sleep(Duration::from_millis(50)).await;
            if let Some(status) = self.child.try_wait()? {
                bail!("the service ended with {status}: {}", self.log());
            }
            if began.elapsed() > GIVEN_UP {
                bail!("the pass does not end: {}", self.log());
            }
        }
        self.started = Instant::now();
        Ok(began.elapsed())
    }

    /// Waits until there are so many proposals; counts to 1,000 at most. Gives the time it took.
    async fn proposed(&mut self, expected: usize) -> Result<Duration> {
        let token = std::fs::read_to_string(self.folder.path().join("data/api.token"))?;
        let url = format!("{}/api/v1/tasks?state=proposed&limit=1000", self.url);
        let (client, began) = (reqwest::Client::new(), Instant::now());
        loop {
            let tasks: Value = client.get(&url).bearer_auth(token.trim()).send().await?.json().await?;
            let count = tasks.as_array().or_else(|| tasks["tasks"].as_array()).map_or(0, Vec::len);
            if count >= expected.min(1_000) {
                return Ok(began.elapsed());
            }
            ensure!(began.elapsed() < SCAN, "{count} proposals instead of {expected}: {}", self.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Looks at repositories so far.
    async fn looks(&self) -> f64 {
        self.metric("ccm_operations_total{operation=\"scan\",outcome=\"ok\"}").await
    }

    async fn metrics(&self) -> String {
        match reqwest::get(format!("{}/metrics", self.url)).await {
            Ok(answer) => answer.text().await.unwrap_or_default(),
            Err(_) => String::new(),
        }
    }

    pub async fn metric(&self, name: &str) -> f64 {
        let text = self.metrics().await;
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|value| value.trim().parse().ok()).unwrap_or(0.0)
    }

    /// The part of all looks at the event loop that came more than 10 ms late.
    async fn late(&self) -> Result<f64> {
        let all = self.metric("ccm_event_loop_lag_seconds_count").await;
        let soon = self.metric("ccm_event_loop_lag_seconds_bucket{le=\"0.01\"}").await;
        ensure!(all > 0.0, "no lag was measured");
        Ok(1.0 - soon / all)
    }

    fn memory(&self, name: &str) -> Result<u64> {
        let id = self.child.id().context("the service runs")?;
        let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix(name)).context("a line of memory")?;
        Ok(line.split_whitespace().next().context("a number")?.parse::<u64>()? * 1024)
    }

    /// Processor time of the service, and of the programs that it started and that have ended, in seconds.
    pub fn processor(&self) -> Result<f64> {
        let id = self.child.id().context("the service runs")?;
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat"))?;
        let fields = stat.rsplit(')').next().context("the fields after the name")?.split_whitespace();
        // User and system time, its own and of its children, in hundredths of a second.
        let ticks: Vec<f64> = fields.skip(11).take(4).map(str::parse).collect::<Result<_, _>>()?;
        Ok(ticks.iter().sum::<f64>() / 100.0)
    }

    fn resident(&self) -> Result<u64> {
        self.memory("VmRSS:")
    }

    fn most_resident(&self) -> Result<u64> {
        self.memory("VmHWM:")
    }

    fn log(&self) -> String {
        let text = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        text.lines().rev().take(20).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    pub async fn stop(mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }
}
