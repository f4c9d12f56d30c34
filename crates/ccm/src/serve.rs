//! `ccm serve`: the service and its life.
//!
//! Two-stage shutdown: the first signal claims nothing new and lets agents finish for a while; the second, or the
//! end of that while, ends them, and their runs go back to the queue. SIGHUP reads the configuration again; a bad
//! one keeps the last good one.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use backlog::names::RepoName;
use pipeline::driver::Driver;
use pipeline::{Context, housekeep, worker};
use secrecy::ExposeSecret as _;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::cli::Common;
use crate::config::{self, ConfigError, Loaded};
use crate::{DONE, INTERRUPTED, output, progress, wire};

/// How often tasks and queues are counted for the metrics.
const MEASURE_EVERY: Duration = Duration::from_secs(10);

/// Runs the service until a signal ends it.
///
/// # Errors
/// When it cannot start; the message says what to do.
pub async fn serve(common: &Common, paths: &[PathBuf]) -> Result<u8> {
    let loaded = config::load(common.config.as_deref())?;
    let paths = match (paths, &loaded.config.github) {
        ([], None) => vec![PathBuf::from(".")],
        _ => paths.to_vec(),
    };
    let locals = wire::local_repositories(&git::Git::new("git".into()), &paths).await?;
    Service::start(common, loaded, locals).await?.run().await
}

/// A started service.
pub struct Service {
    common: Common,
    /// The parts.
    pub ctx: Arc<Context>,
    /// Where the dashboard is.
    pub address: String,
    /// A link that signs its first visitor in.
    pub sign_in: String,
    tracker: TaskTracker,
    stop: CancellationToken,
    kill: CancellationToken,
    _lock: wire::DataLock,
}

impl Service {
    /// Starts everything: recovery first, then the dashboard, the reconcilers and the worker.
    ///
    /// # Errors
    /// When the data folder is held, the database cannot be opened, the sandbox does not work or the port is taken.
    pub async fn start(common: &Common, loaded: Loaded, locals: Vec<(RepoName, PathBuf)>) -> Result<Self> {
        let metrics = web::metrics::install()?;
        let config = loaded.config;
        let ctx = wire::context(common, &config, locals).await?;
        let lock = wire::lock(&ctx.paths.data)?;
        ctx.git.version().await?;
        let kind = ctx.sandbox.level().kind;
        let probe = runner::probe(kind).await;
        if !probe.works {
            let why = probe.reason.unwrap_or_default();
            let mend = probe.mend.map_or(String::new(), |mend| format!(" Mend it with: {mend}."));
            let choice = "Or choose in ccm.toml to run agents without one: [sandbox] kind = \"none\".";
            return Err(ConfigError(format!("the sandbox {kind} does not work here: {why}{mend} {choice}")).into());
        }
        let listener = TcpListener::bind(&config.server.listen).await.map_err(|error| {
            let listen = &config.server.listen;
            anyhow::anyhow!(
                "cannot listen on {listen}: {error}; name another address in [server] listen, such as 127.0.0.1:0"
            )
        })?;
        housekeep::recover(&ctx, &wire::machine()).await?;
        let token = wire::kept_secret(&ctx.paths.data, "api.token")?;
        let (stop, kill) = (CancellationToken::new(), CancellationToken::new());
        let address = format!("http://{}", listener.local_addr()?);
        let site =
            web::Site::new(ctx.clone(), token.expose_secret(), wire::local_user(), metrics, address.clone()).await?;
        let sign_in = site.sign_in_link().await?;
        let tracker = TaskTracker::new();
        tracker.spawn(web::serve(site, listener, stop.clone()));
        let driver = Arc::new(Driver::new());
        tracker.spawn({
            let (ctx, stop) = (ctx.clone(), stop.clone());
            async move { driver.drive(ctx, stop).await }
        });
        tracker.spawn(worker::work(ctx.clone(), stop.clone(), kill.clone()));
        tracker.spawn(measure(ctx.clone(), stop.clone()));
        tracker.spawn({
            let (ctx, stop) = (ctx.clone(), stop.clone());
            async move {
                tokio::select! {
                    () = progress::show(ctx) => {}
                    () = stop.cancelled() => {}
                }
            }
        });
        tracker.close();
        Ok(Self { common: common.clone(), ctx, address, sign_in, tracker, stop, kill, _lock: lock })
    }

    /// Tells the person where the dashboard is, and runs until a signal.
    ///
    /// # Errors
    /// When signals cannot be listened to.
    pub async fn run(self) -> Result<u8> {
        // Before anything is said: whoever reads it may signal at once.
        let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen to signals")?;
        let mut terminate = signal(SignalKind::terminate()).context("cannot listen to signals")?;
        let mut hangup = signal(SignalKind::hangup()).context("cannot listen to signals")?;
        output::remark(&format!("ccm is at {}\nSign in once with {}", self.address, self.sign_in));
        let interrupted = loop {
            tokio::select! {
                _ = interrupt.recv() => break true,
                _ = terminate.recv() => break false,
                _ = hangup.recv() => self.reload(),
            }
        };
        let patience = Duration::from_secs(self.ctx.settings().limits.shutdown_seconds);
        if !self.ctx.live.all().is_empty() {
            output::remark(&format!("Waiting {} s for agents to finish; once more ends them now.", patience.as_secs()));
        }
        self.stop.cancel();
        tokio::select! {
            () = self.tracker.wait() => {}
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            () = tokio::time::sleep(patience) => {}
        }
        let cut_short = self.ctx.live.all().len();
        self.end().await;
        if cut_short > 0 {
            output::remark(&format!("Stopped. Runs cut short: {cut_short}; they go on at the next start."));
        }
        Ok(if interrupted { INTERRUPTED } else { DONE })
    }

    /// Ends everything now; running agents go back to the queue.
    pub async fn end(&self) {
        self.stop.cancel();
        self.kill.cancel();
        if tokio::time::timeout(Duration::from_secs(30), self.tracker.wait()).await.is_err() {
            tracing::error!("some work did not end within 30 s; it is taken up at the next start");
        }
    }

    fn reload(&self) {
        match config::load(self.common.config.as_deref()) {
            Ok(loaded) => {
                self.ctx.set_settings(loaded.config.settings());
                output::remark(
                    "The configuration was read again. [github], [server], [model] and [sandbox] need a restart.",
                );
            }
            Err(error) => {
                output::remark(&format!("The configuration is not valid, the last good one stays: {error:#}"))
            }
        }
    }
}

async fn measure(ctx: Arc<Context>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        if let Err(error) = housekeep::measure(&ctx).await {
            tracing::warn!(error = format!("{error:#}"), "the tasks could not be counted");
        }
        tokio::select! {
            () = tokio::time::sleep(MEASURE_EVERY) => {}
            () = stop.cancelled() => {}
        }
    }
}
