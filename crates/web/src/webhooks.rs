//! `/webhooks/github`: where GitHub says what has just happened.
//!
//! **Wanted properties.** Nothing is believed before its signature was found right; what was answered with 202 is on
//! disk; a thousand deliveries at once are all answered within a second (R47); nobody makes the service hold more than
//! [`ROOM`] of bodies or [`QUEUE`] deliveries.
//!
//! **Design.** No session and no host is asked for here: the signature is the way in. A request without one is refused
//! before its body is read. What was read waits at the *desk*, which writes all that wait in one transaction, so that a
//! storm costs a few writes to disk. Then the pipeline is nudged: it looks itself, the delivery only says where.
//!
//! **Known races.**
//! - The service dies after a delivery was written and before anybody was nudged: it is still open and is taken up at
//!   the next start. Harmless.
//! - It dies after the write and before the answer: GitHub counts it as failed, and it is known when it comes again.
//!   Harmless.
//! - Somebody without the secret sends large bodies slowly: they hold the room for bodies until [`PATIENCE`] ends, and
//!   deliveries get 503 meanwhile. Accepted: those are asked for later (`pipeline::news`).

use std::sync::Arc;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use backlog::delivery::Delivery;
use forge::github::webhook::{BODY_BYTES, Refused, Secrets};
use futures::StreamExt as _;
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::Site;

/// How long a delivery may take; GitHub itself gives up after ten seconds.
const PATIENCE: Duration = Duration::from_secs(9);
/// Bytes of bodies at once.
const ROOM: usize = 128 * 1024 * 1024;
/// Deliveries that wait for the desk at once.
const QUEUE: usize = 4_096;
/// Deliveries written in one transaction.
const BATCH: usize = 512;
/// Bodies above this are not hashed on the event loop: bytes.
const LARGE: usize = 64 * 1024;

/// What becomes of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Received,
    Duplicate,
    /// No signature, or a wrong one.
    Unsigned,
    TooLarge,
    Malformed,
    /// No secret is configured.
    Unconfigured,
    Busy,
}

impl Outcome {
    /// The label of `ccm_webhooks_total`.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Duplicate => "duplicate",
            Self::Unsigned | Self::TooLarge | Self::Malformed | Self::Unconfigured => "refused",
            Self::Busy => "busy",
        }
    }

    /// What GitHub shows in its list of deliveries.
    fn answer(self) -> (StatusCode, &'static str) {
        match self {
            Self::Received => (StatusCode::ACCEPTED, "stored\n"),
            Self::Duplicate => (StatusCode::ACCEPTED, "known already\n"),
            Self::Unsigned => (
                StatusCode::UNAUTHORIZED,
                "The signature is missing or does not fit. Give GitHub and ccm the same webhook secret.\n",
            ),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "The body is longer than 25 MiB.\n"),
            Self::Malformed => (StatusCode::BAD_REQUEST, "This is no delivery of GitHub.\n"),
            Self::Unconfigured => (
                StatusCode::NOT_FOUND,
                "No webhook secret is configured. Set webhook_secret_env in [github] of ccm.toml and restart ccm.\n",
            ),
            Self::Busy => (StatusCode::SERVICE_UNAVAILABLE, "It cannot be stored just now; it is asked for later.\n"),
        }
    }
}

impl From<Refused> for Outcome {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Signature(_) => Self::Unsigned,
            Refused::Malformed(_) => Self::Malformed,
        }
    }
}

/// A delivery that waits to be written, and who waits for that.
type Entry = (Delivery, oneshot::Sender<Outcome>);

/// Where deliveries wait to be written.
pub(crate) struct Desk {
    queue: mpsc::Sender<Entry>,
    inbox: Mutex<Option<mpsc::Receiver<Entry>>>,
    room: Semaphore,
}

impl Default for Desk {
    fn default() -> Self {
        Self::new(QUEUE)
    }
}

impl Desk {
    /// With room for so many.
    pub(crate) fn new(size: usize) -> Self {
        let (queue, inbox) = mpsc::channel(size);
        Self { queue, inbox: Mutex::new(Some(inbox)), room: Semaphore::new(ROOM) }
    }

    /// How many more may wait.
    #[cfg(test)]
    pub(crate) fn free(&self) -> usize {
        self.queue.capacity()
    }

    /// Waits until the delivery is on disk. A full queue is told at once.
    pub(crate) async fn hand_in(&self, delivery: Delivery) -> Outcome {
        let (done, told) = oneshot::channel();
        match self.queue.try_send((delivery, done)) {
            Ok(()) => told.await.unwrap_or(Outcome::Busy),
            Err(_) => Outcome::Busy,
        }
    }
}

/// Writes what waits at the desk, until the service stops. What is not written then is answered as busy.
pub(crate) async fn keep(site: Arc<Site>) {
    let inbox = site.desk.inbox.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(mut inbox) = inbox else { return };
    loop {
        let mut batch = Vec::new();
        tokio::select! {
            read = inbox.recv_many(&mut batch, BATCH) => if read == 0 { return },
            () = site.stop.cancelled() => return,
        }
        let (deliveries, waiting): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
        let written = site.ctx.store.put_deliveries(&deliveries, site.ctx.now(), false).await;
        let new = written.unwrap_or_else(|error| {
            tracing::warn!(error = format!("{:#}", anyhow::Error::from(error)), "deliveries could not be stored");
            Vec::new()
        });
        if new.contains(&true) {
            site.ctx.nudges.news();
        }
        let outcome = |new: Option<&bool>| match new {
            Some(true) => Outcome::Received,
            Some(false) => Outcome::Duplicate,
            None => Outcome::Busy,
        };
        for (n, waiting) in waiting.into_iter().enumerate() {
            // Fails only when GitHub did not wait.
            let _ = waiting.send(outcome(new.get(n)));
        }
    }
}

/// `POST /webhooks/github`
pub(crate) async fn receive(State(site): State<Arc<Site>>, request: Request) -> Response {
    let outcome = tokio::time::timeout(PATIENCE, take(&site, request)).await.unwrap_or(Outcome::Busy);
    metrics::counter!("ccm_webhooks_total", "outcome" => outcome.label()).increment(1);
    if outcome.label() == "refused" {
        tracing::warn!(outcome = ?outcome, "a webhook was refused");
    }
    outcome.answer().into_response()
}

async fn take(site: &Site, request: Request) -> Outcome {
    let (parts, body) = request.into_parts();
    let Some(secrets) = &site.ctx.forges.webhook_secrets else { return refuse(body, Outcome::Unconfigured).await };
    if Secrets::signature(&parts.headers).is_err() {
        return refuse(body, Outcome::Unsigned).await;
    }
    let length = length(&parts.headers).unwrap_or(BODY_BYTES);
    if length > BODY_BYTES {
        return refuse(body, Outcome::TooLarge).await;
    }
    let Ok(_room) = site.desk.room.acquire_many(u32::try_from(length.max(1)).unwrap_or(u32::MAX)).await else {
        return Outcome::Busy;
    };
    // One byte more, to tell a body that is too long from one that just fits.
    let Ok(bytes) = to_bytes(body, BODY_BYTES).await else { return Outcome::TooLarge };
    match read(secrets.clone(), parts.headers, bytes).await {
        Ok(delivery) => site.desk.hand_in(delivery).await,
        Err(refused) => refused.into(),
    }
}

/// Checks the signature, then reads.
async fn read(secrets: Secrets, headers: HeaderMap, bytes: Bytes) -> Result<Delivery, Refused> {
    let large = bytes.len() > LARGE;
    let read = move || {
        secrets.check(&headers, &bytes)?;
        forge::github::webhook::read(&headers, &bytes)
    };
    if !large {
        return read();
    }
    tokio::task::spawn_blocking(read).await.unwrap_or(Err(Refused::Malformed("it could not be read")))
}

fn length(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Reads what is left of a body without keeping it, so that whoever sends it gets to see the answer.
async fn refuse(body: Body, outcome: Outcome) -> Outcome {
    let mut left = 2 * BODY_BYTES;
    let mut stream = body.into_data_stream();
    while let Some(Ok(chunk)) = stream.next().await {
        left = left.saturating_sub(chunk.len());
        if left == 0 {
            break;
        }
    }
    outcome
}
