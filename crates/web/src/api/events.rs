//! `/api/v1/events`: the change log, as a list and as a socket.
//!
//! The socket sends one event per message, in order and without a gap: it reads the log from where the client is,
//! and a signal only says that there is more. A client that reads slowly holds one page of events, no more.

use std::sync::Arc;

use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use store::EventQuery;
use tokio::sync::broadcast::error::RecvError;
use utoipa::{IntoParams, ToSchema};

use super::Asked;
use super::views::EventView;
use crate::Site;
use crate::fault::{ApiFault, ErrorEnvelope, Fault};
use crate::feed::POLL;
use crate::guard::{self, Visitor};
use crate::live::{self, Line};

/// The most events of one answer, and read at once for a socket.
const MOST: usize = 1_000;

/// Which events.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Page {
    /// Only events after this number.
    #[serde(default)]
    after: u64,
    /// At most so many: 1 to 1,000, usually 100. Does not count for a socket.
    limit: Option<usize>,
}

/// A part of the change log.
#[derive(Serialize, ToSchema)]
pub(super) struct EventList {
    events: Vec<EventView>,
    /// The `after` of the next request.
    next: u64,
}

/// Lists events, oldest first. Asked for as a WebSocket, it sends what there is after `after` and then goes on: one
/// event per message; connect again with the last `seq`.
#[utoipa::path(get, path = "/api/v1/events", tag = "events", params(Page), responses(
    (status = 200, body = EventList), (status = 101, description = "WebSocket: one event per message"),
    (status = 401, body = ErrorEnvelope)))]
pub(super) async fn list(
    State(site): State<Arc<Site>>,
    Extension(visitor): Extension<Visitor>,
    Asked(page): Asked<Page>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ApiFault> {
    if headers.contains_key(header::UPGRADE) {
        if visitor == Visitor::Session && !guard::origin_is_host(&headers) {
            return Err(Fault::Forbidden("This connection comes from another site.").into());
        }
        let after = page.after;
        let following = site.clone();
        return Ok(live::open(&site, upgrade, move |line| follow(following, after, headers, visitor, line))?);
    }
    let limit = page.limit.unwrap_or(100).clamp(1, MOST);
    let events = site.ctx.store.events(&EventQuery { after: page.after, limit, ..EventQuery::default() }).await?;
    let next = events.last().map_or(page.after, |event| event.seq);
    Ok(Json(EventList { events: events.iter().map(EventView::of).collect(), next }).into_response())
}

async fn follow(site: Arc<Site>, mut after: u64, headers: HeaderMap, visitor: Visitor, mut line: Line) {
    let mut signals = site.feed.listen();
    let mut poll = tokio::time::interval(POLL);
    loop {
        match send_page(&site, &mut after, &mut line).await {
            Ok(Sent::More) => continue,
            Ok(Sent::All) => {}
            Ok(Sent::Gone) => return,
            Err(error) => tracing::warn!(error = %error, "events could not be read for a socket; it is tried again"),
        }
        tokio::select! {
            signal = signals.recv() => if matches!(signal, Err(RecvError::Closed)) {
                return;
            },
            _ = poll.tick() => {}
            alive = line.keep() => if !alive || !live::is_signed_in(&site, visitor, &headers).await {
                return line.close().await;
            },
            () = site.stop.cancelled() => return line.close().await,
        }
    }
}

enum Sent {
    /// There may be more to send at once.
    More,
    All,
    /// The client is gone or too slow.
    Gone,
}

async fn send_page(site: &Site, after: &mut u64, line: &mut Line) -> Result<Sent, store::StoreError> {
    let events = site.ctx.store.events(&EventQuery { after: *after, limit: MOST, ..EventQuery::default() }).await?;
    let whole = events.len() == MOST;
    for event in &events {
        let text = serde_json::to_string(&EventView::of(event)).unwrap_or_default();
        if !line.send(text).await {
            return Ok(Sent::Gone);
        }
        *after = event.seq;
    }
    Ok(if whole && !site.stop.is_cancelled() { Sent::More } else { Sent::All })
}
