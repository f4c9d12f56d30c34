//! Dashboard, REST, WebSocket, health and metrics.
//!
//! **Definition.** [`Site`] is everything that answers HTTP; [`serve`] runs it on a listener until it is told to stop.
//!
//! **Wanted properties.** This crate parses, calls and renders, it decides nothing: every wish goes to
//! `pipeline::approve`. Nobody gets in without a session or the API token; nothing that comes from outside (a title, a
//! log, a transcript) is ever markup; a page is useful without JavaScript; a slow browser holds no memory.
//!
//! **Design.** `guard` is the way in: host, credential, origin, limits of every request. `sign_in` keeps codes and
//! sessions. `pages` renders each page from *parts*; `live` renders the same parts again when something changed and
//! pushes those that differ, so that page and push can never disagree. `feed` says that something changed, also when
//! another process did it. `webhooks` takes in what GitHub sends. `api` is the REST interface, [`metrics`] the numbers, `lag` the probe of the event loop.

mod api;
mod assets;
mod fault;
mod feed;
mod guard;
mod health;
mod lag;
mod live;
pub mod metrics;
mod pages;
mod sign_in;
mod webhooks;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use axum::{Router, middleware};
use backlog::time::Timestamp;
use pipeline::Context;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;

pub use api::openapi;

/// The largest request body: bytes.
const BODY_BYTES: usize = 256 * 1024;
/// WebSockets at once; one more is told to come back later.
const SOCKETS: usize = 128;
/// How long open requests may take after the stop signal.
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// The dashboard and the API of one service.
pub struct Site {
    ctx: Arc<Context>,
    /// Hash of the API token.
    token: [u8; 32],
    /// Who a signed-in visitor is on the timeline.
    owner: String,
    metrics: metrics::Metrics,
    /// Where the service listens: `http://127.0.0.1:7878`.
    address: String,
    started: Timestamp,
    feed: feed::Feed,
    lag: lag::Lag,
    attempts: sign_in::Attempts,
    desk: webhooks::Desk,
    sockets: Arc<Semaphore>,
    /// WebSockets and background work, which [`serve`] waits for.
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Site {
    /// Puts the parts together. `api_token` opens the API, `owner` is the name of the person at this machine, and
    /// `address` is where the service listens, with scheme and port.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn new(
        ctx: Arc<Context>,
        api_token: &str,
        owner: String,
        metrics: metrics::Metrics,
        address: String,
    ) -> Result<Self> {
        let feed = feed::Feed::new(ctx.store.as_ref()).await?;
        Ok(Self {
            token: sign_in::digest(api_token),
            owner,
            metrics,
            address,
            started: ctx.now(),
            feed,
            lag: lag::Lag::default(),
            attempts: sign_in::Attempts::default(),
            desk: webhooks::Desk::default(),
            sockets: Arc::new(Semaphore::new(SOCKETS)),
            tracker: TaskTracker::new(),
            stop: CancellationToken::new(),
            ctx,
        })
    }

    /// A link that signs one browser in, once, within a quarter of an hour.
    ///
    /// # Errors
    /// When the store cannot be written or the system gives no random numbers.
    pub async fn sign_in_link(&self) -> Result<String> {
        Ok(format!("{}/sign-in?code={}", self.address, sign_in::new_code(self).await?))
    }
}

/// Answers requests until `stop` is cancelled, then closes sockets, lets open requests end, and returns.
pub async fn serve(mut site: Site, listener: TcpListener, stop: CancellationToken) {
    site.stop = stop.clone();
    let site = Arc::new(site);
    site.tracker.spawn(feed::run(site.clone()));
    site.tracker.spawn(lag::watch(site.clone()));
    site.tracker.spawn(metrics::keep_up(site.clone()));
    site.tracker.spawn(webhooks::keep(site.clone()));
    let app = router(site.clone()).into_make_service_with_connect_info::<SocketAddr>();
    let serving = axum::serve(listener, app).with_graceful_shutdown(stop.clone().cancelled_owned());
    let too_late = async {
        stop.cancelled().await;
        tokio::time::sleep(STOP_WITHIN).await;
    };
    tokio::select! {
        result = serving => if let Err(error) = result {
            tracing::error!(error = %error, "the dashboard ended");
        },
        () = too_late => tracing::warn!("some requests did not end in time and were cut off"),
    }
    stop.cancel();
    site.tracker.close();
    site.tracker.wait().await;
}

/// Every route; all but one behind the guard.
fn router(site: Arc<Site>) -> Router {
    let inside = Router::new()
        .merge(pages::router())
        .merge(api::router())
        .route("/live", get(live::connect))
        .layer(middleware::from_fn_with_state(site.clone(), guard::signed_in));
    Router::new()
        .merge(inside)
        .merge(sign_in::router())
        .route("/assets/{*path}", get(assets::serve))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(metrics::scrape))
        .layer(middleware::from_fn_with_state(site.clone(), guard::check))
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        // Behind its own guard, the signature: it comes through any host name and has no session.
        .route("/webhooks/github", post(webhooks::receive))
        .layer(middleware::from_fn(metrics::measure))
        .layer(CompressionLayer::new())
        .layer(middleware::from_fn(guard::headers))
        .layer(CatchPanicLayer::custom(guard::panicked))
        .with_state(site)
}
