//! How the service is: event loop, queues, operations, limits, the process itself.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::extract::State;
use axum::response::Html;
use store::JobKind;

use super::{Frame, Part, Parts, View, When, duration};
use crate::fault::Fault;
use crate::health::{Condition, conditions};
use crate::metrics::{Process, Samples};
use crate::{Site, lag};

struct Operation {
    name: String,
    in_flight: u64,
    done: u64,
    failed: u64,
    rate: String,
    p50: String,
    p90: String,
    p99: String,
}

struct Limit {
    actor: String,
    resource: String,
    remaining: u64,
    limit: u64,
    reset: When,
    paused: Option<When>,
    reason: String,
    members: usize,
}

/// What GitHub sent since the start, and when the last delivery of all came.
struct Webhooks {
    taken: bool,
    last: Option<When>,
    received: u64,
    duplicates: u64,
    refused: u64,
    recovered: u64,
    lost: u64,
}

impl Webhooks {
    async fn of(site: &Site, samples: &Samples) -> Result<Self, Fault> {
        let count = |outcome| samples.sum("ccm_webhooks_total", &[("outcome", outcome)]) as u64;
        Ok(Self {
            taken: site.ctx.forges.webhook_secrets.is_some(),
            last: site.ctx.store.delivery_counts().await?.last.map(When),
            received: count("received"),
            duplicates: count("duplicate"),
            refused: count("refused"),
            recovered: count("recovered"),
            lost: count("lost"),
        })
    }
}

/// How repositories were read since the start, and what is kept of them on the disk.
struct Reading {
    archive: u64,
    git: u64,
    files: u64,
    calls: u64,
    mirrors: String,
    /// Whether they take more than they may.
    over: bool,
}

impl Reading {
    fn of(site: &Site, samples: &Samples) -> Self {
        const GIB: f64 = 1_073_741_824.0;
        let looks = |way| samples.sum("ccm_looks_total", &[("way", way)]) as u64;
        let (bytes, most) = (samples.sum("ccm_mirrors_bytes", &[]), site.ctx.settings().limits.mirrors_gib);
        Self {
            archive: looks("archive"),
            git: looks("git"),
            files: samples.sum("ccm_files_read_total", &[]) as u64,
            calls: samples.sum("ccm_git_calls_total", &[]) as u64,
            mirrors: format!("{:.2} of {most} GiB", bytes / GIB),
            over: bytes > most as f64 * GIB,
        }
    }
}

struct Queue {
    name: &'static str,
    waiting: usize,
    held: usize,
}

#[derive(Template)]
#[template(path = "health_part.html")]
struct HealthPart {
    conditions: Vec<Condition>,
    p50: String,
    p99: String,
    max: String,
    /// The points of the lag's curve, and its upper end.
    curve: String,
    ceiling: String,
    queues: Vec<Queue>,
    agents: usize,
    operations: Vec<Operation>,
    requests: Vec<Operation>,
    github: bool,
    webhooks: Webhooks,
    reading: Reading,
    limits: Vec<Limit>,
    /// How changes are asked for, and what else should be known of GitHub.
    notices: Vec<String>,
    cost: String,
    process: Option<ProcessRow>,
    uptime: String,
    sandbox: String,
    worker: String,
    version: &'static str,
}

struct ProcessRow {
    memory: String,
    cpu: String,
    files: String,
    threads: u64,
}

impl ProcessRow {
    fn of(process: &Process, uptime: Duration) -> Self {
        let share = process.cpu_seconds / uptime.as_secs_f64().max(1.0) * 100.0;
        let files = process.max_fds.map_or(String::new(), |max| format!(" of {max}"));
        Self {
            memory: format!("{:.0} MiB", process.resident_bytes as f64 / 1_048_576.0),
            cpu: format!(
                "{} used, {share:.1} % of one core on average",
                duration(Duration::from_secs_f64(process.cpu_seconds))
            ),
            files: format!("{}{files}", process.open_fds),
            threads: process.threads,
        }
    }
}

fn seconds(value: Option<f64>) -> String {
    value.map_or("–".to_owned(), |value| duration(Duration::from_secs_f64(value.clamp(0.0, 1e9))))
}

fn rate(good: u64, all: u64) -> String {
    if all == 0 { "–".to_owned() } else { format!("{:.1} %", good as f64 / all as f64 * 100.0) }
}

/// The operations: what is done about repositories and tasks.
fn operations(samples: &Samples) -> Vec<Operation> {
    const DURATION: &str = "ccm_operation_duration_seconds";
    let row = |name: String| {
        let of = ("operation", name.as_str());
        let done = samples.sum("ccm_operations_total", &[of, ("outcome", "ok")]) as u64;
        let all = samples.sum("ccm_operations_total", &[of]) as u64;
        let quantile = |quantile| seconds(samples.quantile(DURATION, &[of], quantile));
        Operation {
            in_flight: samples.sum("ccm_operations_in_flight", &[of]).max(0.0) as u64,
            done,
            failed: all - done,
            rate: rate(done, all),
            p50: quantile(0.5),
            p90: quantile(0.9),
            p99: quantile(0.99),
            name: name.replace('_', " "),
        }
    };
    samples.values("ccm_operations_total", "operation").into_iter().map(row).collect()
}

/// The answers of this site by route.
fn requests(samples: &Samples) -> Vec<Operation> {
    const DURATION: &str = "ccm_http_request_duration_seconds";
    let row = |name: String| {
        let of = ("route", name.as_str());
        let all = samples.sum("ccm_http_requests_total", &[of]) as u64;
        let failed = samples.sum("ccm_http_requests_total", &[of, ("status", "5xx")]) as u64;
        let quantile = |quantile| seconds(samples.quantile(DURATION, &[of], quantile));
        let (p50, p90, p99) = (quantile(0.5), quantile(0.9), quantile(0.99));
        Operation { in_flight: 0, done: all - failed, failed, rate: rate(all - failed, all), p50, p90, p99, name }
    };
    samples.values("ccm_http_requests_total", "route").into_iter().map(row).collect()
}

/// The curve of lag over the last minute in a box of 600 by 60, and its upper end.
fn curve(seconds: &[Duration]) -> (String, Duration) {
    let ceiling = seconds.iter().max().copied().unwrap_or_default().max(Duration::from_millis(10));
    let left = 60_usize.saturating_sub(seconds.len());
    let point = |(n, lag): (usize, &Duration)| {
        let height = lag.as_secs_f64() / ceiling.as_secs_f64() * 56.0;
        format!("{},{:.1}", (left + n) * 10 + 5, 58.0 - height)
    };
    (seconds.iter().enumerate().map(point).collect::<Vec<_>>().join(" "), ceiling)
}

/// The one part of the page.
pub(super) async fn parts(site: &Arc<Site>) -> Result<Vec<Part>, Fault> {
    let ctx = &site.ctx;
    let summary: lag::Summary = site.lag.summary();
    let (points, ceiling) = curve(&site.lag.seconds());
    let jobs = ctx.store.jobs().await?;
    let queues = JobKind::ALL.map(|kind| {
        let held = jobs.iter().filter(|job| job.kind == kind && job.held.is_some()).count();
        let all = jobs.iter().filter(|job| job.kind == kind).count();
        Queue { name: kind.as_str(), waiting: all - held, held }
    });
    let samples = site.metrics.samples();
    let uptime = ctx.now().since(site.started);
    let limits = ctx.forges.all().flat_map(|forge| forge.limits()).map(|limit| Limit {
        actor: limit.actor,
        resource: limit.resource,
        remaining: limit.remaining,
        limit: limit.limit,
        reset: When(limit.reset_at),
        paused: limit.paused_until.filter(|until| *until > ctx.now()).map(When),
        reason: limit.reason.unwrap_or_default(),
        members: limit.members,
    });
    let part = HealthPart {
        conditions: conditions(site).await,
        p50: duration(summary.p50),
        p99: duration(summary.p99),
        max: duration(summary.max),
        curve: points,
        ceiling: duration(ceiling),
        queues: queues.into(),
        agents: ctx.live.all().len(),
        operations: operations(&samples),
        requests: requests(&samples),
        github: ctx.forges.github.is_some() || ctx.forges.webhook_secrets.is_some(),
        webhooks: Webhooks::of(site, &samples).await?,
        reading: Reading::of(site, &samples),
        limits: limits.collect(),
        notices: ctx.forges.github.as_ref().map(|forge| forge.notices()).unwrap_or_default(),
        cost: format!("${:.2}", samples.sum("ccm_agent_cost_usd_total", &[])),
        process: Process::read().map(|process| ProcessRow::of(&process, uptime)),
        uptime: duration(uptime),
        sandbox: ctx.sandbox.level().to_string(),
        worker: ctx.worker.clone(),
        version: env!("CARGO_PKG_VERSION"),
    };
    Ok(vec![Part::new("health", &part)?])
}

#[derive(Template)]
#[template(path = "health.html")]
struct HealthPage<'a> {
    frame: Frame<'a>,
    parts: Parts,
}

/// `/health`
pub(super) async fn page(State(site): State<Arc<Site>>) -> Result<Html<String>, Fault> {
    let view = View::Health;
    let frame = Frame::new(&site, "Health", "health", &view);
    Ok(Html(HealthPage { frame, parts: Parts(view.parts(&site).await?) }.render()?))
}
