//! The numbers: what is counted, and how it is read.
//!
//! **Wanted properties.** Names are part of the outward contract; no label grows with tasks, repositories or addresses;
//! nothing grows when nobody reads.

mod process;
mod samples;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

pub(crate) use process::Process;
pub(crate) use samples::Samples;

use crate::fault::Fault;
use crate::{Site, guard, sign_in};

/// How often measured values are folded into buckets.
const UPKEEP: Duration = Duration::from_secs(5);

/// What a metric is, for `# TYPE`.
#[derive(Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// Every metric of the service: name, kind, meaning.
const METRICS: &[(&str, Kind, &str)] = &[
    ("ccm_event_loop_lag_seconds", Kind::Histogram, "How much later than asked the event loop came round."),
    ("ccm_queue_depth", Kind::Gauge, "Entries that wait in a queue."),
    ("ccm_operations_in_flight", Kind::Gauge, "Operations at work."),
    ("ccm_operation_duration_seconds", Kind::Histogram, "How long operations took."),
    ("ccm_operations_total", Kind::Counter, "Operations that ended, by outcome."),
    ("ccm_tasks_total", Kind::Gauge, "Tasks by state."),
    ("ccm_mirrors_bytes", Kind::Gauge, "What mirrors take on the disk."),
    ("ccm_git_calls_total", Kind::Counter, "Calls to code hosts over git, by what they do."),
    ("ccm_looks_total", Kind::Counter, "Looks at repositories, by how their files were reached."),
    ("ccm_git_processes_total", Kind::Counter, "Runs of the git program."),
    ("ccm_files_read_total", Kind::Counter, "Contents of files that looks have read, each once for all sources."),
    ("ccm_github_requests_total", Kind::Counter, "Requests to GitHub."),
    ("ccm_github_request_duration_seconds", Kind::Histogram, "How long requests to GitHub took."),
    ("ccm_github_budget", Kind::Gauge, "What a window of a limit at GitHub has."),
    ("ccm_github_budget_remaining", Kind::Gauge, "What is left of a window of a limit at GitHub."),
    ("ccm_webhooks_total", Kind::Counter, "Deliveries of GitHub, by what became of the request."),
    ("ccm_deliveries_total", Kind::Counter, "Stored deliveries that were taken up, by what they were good for."),
    ("ccm_agent_cost_usd_total", Kind::Gauge, "What agents have cost since the start, in US dollars."),
    ("ccm_agent_tokens_total", Kind::Counter, "Tokens that agents have used."),
    ("ccm_http_requests_total", Kind::Counter, "Requests to this service."),
    ("ccm_http_request_duration_seconds", Kind::Histogram, "How long requests to this service took."),
];

/// Buckets of durations, in seconds: from a page to an agent's hour.
const SECONDS: &[f64] = &[0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0];
/// Buckets of lag, in seconds.
const LAG_SECONDS: &[f64] = &[0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];
/// Buckets of HTTP answers, in seconds.
const HTTP_SECONDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0];

/// Reads what the process has counted.
#[derive(Clone)]
pub struct Metrics {
    handle: PrometheusHandle,
}

/// Makes this process count. Counting is per process: a second call gives the same numbers.
///
/// # Errors
/// When something else in the process counts already.
pub fn install() -> Result<Metrics> {
    static INSTALLED: OnceLock<Metrics> = OnceLock::new();
    static INSTALLING: Mutex<()> = Mutex::new(());
    let _one = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(metrics) = INSTALLED.get() {
        return Ok(metrics.clone());
    }
    let handle = PrometheusBuilder::new()
        .set_buckets(SECONDS)
        .and_then(|b| b.set_buckets_for_metric(Matcher::Full("ccm_event_loop_lag_seconds".to_owned()), LAG_SECONDS))
        .and_then(|b| b.set_buckets_for_metric(Matcher::Prefix("ccm_http_".to_owned()), HTTP_SECONDS))
        .and_then(|b| b.set_buckets_for_metric(Matcher::Prefix("ccm_github_".to_owned()), HTTP_SECONDS))
        .and_then(PrometheusBuilder::install_recorder)
        .context("the metrics recorder could not be installed")?;
    describe();
    Ok(INSTALLED.get_or_init(|| Metrics { handle }).clone())
}

/// Names every metric, and starts those at zero whose labels are known, so that a first increase is seen as one.
fn describe() {
    for (name, kind, what) in METRICS {
        match kind {
            Kind::Counter => metrics::describe_counter!(*name, *what),
            Kind::Gauge => metrics::describe_gauge!(*name, *what),
            Kind::Histogram => metrics::describe_histogram!(*name, *what),
        }
    }
    for operation in ["scan", "run", "verify", "deliver"] {
        metrics::gauge!("ccm_operations_in_flight", "operation" => operation).set(0.0);
        for outcome in ["ok", "failed"] {
            metrics::counter!("ccm_operations_total", "operation" => operation, "outcome" => outcome).increment(0);
        }
    }
    for way in ["archive", "git"] {
        metrics::counter!("ccm_looks_total", "way" => way).increment(0);
    }
    for kind in ["look", "fetch", "push"] {
        metrics::counter!("ccm_git_calls_total", "kind" => kind).increment(0);
    }
    for outcome in ["received", "duplicate", "refused", "busy", "recovered", "lost"] {
        metrics::counter!("ccm_webhooks_total", "outcome" => outcome).increment(0);
    }
    for outcome in ["used", "old", "own", "ignored"] {
        metrics::counter!("ccm_deliveries_total", "outcome" => outcome).increment(0);
    }
    metrics::gauge!("ccm_agent_cost_usd_total").set(0.0);
}

impl Metrics {
    /// The sum of a counter over all its labels.
    #[must_use]
    pub fn total(&self, name: &str) -> u64 {
        // Counters hold whole numbers, far below 2^53.
        Samples::parse(&self.handle.render()).sum(name, &[]) as u64
    }

    /// Everything as Prometheus text.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = self.handle.render();
        for (name, kind, what) in METRICS {
            if !text.contains(&format!("# TYPE {name} ")) {
                let kind = match kind {
                    Kind::Counter => "counter",
                    Kind::Gauge => "gauge",
                    Kind::Histogram => "histogram",
                };
                text.push_str(&format!("# HELP {name} {what}\n# TYPE {name} {kind}\n\n"));
            }
        }
        if let Some(process) = Process::read() {
            text.push_str(&process.render());
        }
        text
    }

    /// The values for the health page.
    pub(crate) fn samples(&self) -> Samples {
        Samples::parse(&self.handle.render())
    }
}

/// Folds measurements until the service stops: without it they would pile up while nobody scrapes.
pub(crate) async fn keep_up(site: Arc<Site>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(UPKEEP) => site.metrics.handle.run_upkeep(),
            () = site.stop.cancelled() => return,
        }
    }
}

/// `/metrics`: open to this machine, else with a session or the API token.
pub(crate) async fn scrape(
    State(site): State<Arc<Site>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
) -> Response {
    // Behind a proxy on this machine every request comes from here.
    let forwarded = headers.contains_key("x-forwarded-for") || headers.contains_key("forwarded");
    let near = peer.ip().to_canonical().is_loopback() && !forwarded;
    let known =
        near || guard::has_token(&site, &headers) || matches!(sign_in::session(&site, &headers).await, Ok(Some(_)));
    if !known {
        return crate::fault::ApiFault(Fault::Unauthorized).into_response();
    }
    for forge in site.ctx.forges.all() {
        for limit in forge.limits() {
            let (actor, resource) = (limit.actor, limit.resource);
            metrics::gauge!("ccm_github_budget", "actor" => actor.clone(), "resource" => resource.clone())
                .set(limit.limit as f64);
            metrics::gauge!("ccm_github_budget_remaining", "actor" => actor, "resource" => resource)
                .set(limit.remaining as f64);
        }
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], site.metrics.render()).into_response()
}

/// Counts and times each request by its route, never by its path.
pub(crate) async fn measure(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("other", MatchedPath::as_str).to_owned();
    // A client may invent methods.
    let method = match request.method().as_str() {
        "GET" | "HEAD" => "GET",
        "POST" => "POST",
        _ => "other",
    };
    let began = Instant::now();
    let response = next.run(request).await;
    let status = format!("{}xx", response.status().as_u16() / 100);
    metrics::counter!("ccm_http_requests_total", "method" => method, "route" => route.clone(), "status" => status)
        .increment(1);
    metrics::histogram!("ccm_http_request_duration_seconds", "route" => route).record(began.elapsed().as_secs_f64());
    response
}
