//! The clients that are compared: ours, octocrab as it comes, and PyGithub in a pool of threads.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use backlog::names::RepoName;
use forge::Forge as _;
use forge::github::{Credential, GitHub, GitHubConfig, Limits};
use futures::{StreamExt as _, TryStreamExt as _};
use pipeline::ledger::StoreLedger;
use store::sqlite::SqliteStore;

use crate::server::{Entrance, SystemClock};

/// Our client over a database of its own, as the service makes it.
pub struct Ours {
    pub github: Arc<GitHub>,
    pub names: Vec<RepoName>,
}

impl Ours {
    /// Over the database at `database`; several may share it.
    pub async fn new(entrance: &Entrance, limits: Limits, database: &Path) -> Result<Self> {
        let clock = Arc::new(SystemClock);
        let store = Arc::new(SqliteStore::open(database).await?);
        let credential = match &entrance.app {
            Some((id, key)) => Credential::App { id: id.to_string(), private_key: key.clone().into() },
            None => Credential::Token(entrance.token.clone().into()),
        };
        let config = GitHubConfig {
            api_url: entrance.url.parse()?,
            git_url: None,
            credential,
            repositories: vec!["*/*".to_owned()],
            marker_key: "the key of the benchmarks".to_owned().into(),
            contact: "https://example.org/benches".to_owned(),
            limits,
        };
        let ledger = Arc::new(StoreLedger::new(store, clock.clone()));
        let names = entrance.names.iter().map(|name| name.parse()).collect::<Result<_, _>>()?;
        Ok(Self { github: Arc::new(GitHub::new(config, ledger, clock)?), names })
    }

    /// Reads every repository, so many at once as the caller wants and the governor lets.
    pub async fn sweep(&self, at_once: usize) -> Result<Duration> {
        let started = Instant::now();
        futures::stream::iter(&self.names)
            .map(|name| self.github.repository(name))
            .buffer_unordered(at_once)
            .try_for_each(async |_| Ok(()))
            .await?;
        Ok(started.elapsed())
    }
}

/// octocrab with its defaults.
pub async fn octocrab(entrance: &Entrance, at_once: usize) -> Result<Duration> {
    let client =
        octocrab::Octocrab::builder().base_uri(&entrance.url)?.personal_token(entrance.token.clone()).build()?;
    let started = Instant::now();
    futures::stream::iter(&entrance.names)
        .map(|name| {
            let (owner, short) = name.split_once('/').unwrap_or_default();
            let client = client.clone();
            async move { client.repos(owner, short).get().await.map(drop) }
        })
        .buffer_unordered(at_once)
        .try_for_each(async |()| Ok(()))
        .await?;
    Ok(started.elapsed())
}

/// PyGithub in so many threads, one repository after the other in each; `None` where it is not installed.
pub async fn pygithub(entrance: &Entrance, threads: usize) -> Result<Option<Duration>> {
    let Some(python) = std::env::var_os("CCM_BENCH_PYTHON") else { return Ok(None) };
    let mut child = tokio::process::Command::new(python)
        .args([concat!(env!("CARGO_MANIFEST_DIR"), "/pygithub.py"), &entrance.url, &threads.to_string()])
        .env("BENCH_TOKEN", &entrance.token)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut stdin = child.stdin.take().context("the child has a standard input")?;
    tokio::io::AsyncWriteExt::write_all(&mut stdin, entrance.names.join("\n").as_bytes()).await?;
    drop(stdin);
    let output = child.wait_with_output().await?;
    if !output.status.success() {
        bail!("PyGithub failed: {}", output.status);
    }
    let seconds: f64 = String::from_utf8(output.stdout)?.trim().parse()?;
    Ok(Some(Duration::from_secs_f64(seconds)))
}
