//! Says that something changed, whoever did it.
//!
//! **Definition.** [`Feed`] passes on what this process commits at once, and what other processes commit to the same
//! database (`ccm tasks approve`, a worker elsewhere) within [`POLL`]. A signal carries no content: listeners read
//! again.
//!
//! **Known races.** *A signal may come twice*, once from the commit and once from the poll, when commits of two
//! processes interleave. Harmless: what is shown is compared with what was sent.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use backlog::names::{RunId, TaskId};
use store::{Change, EventQuery, Store, StoreError};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::Site;

/// How often other processes' events are looked for.
pub(crate) const POLL: Duration = Duration::from_secs(2);
/// How many signals a listener may lag behind before it reads everything again.
const SIGNALS: usize = 256;
/// Events read at once.
const PAGE: usize = 500;

/// What may look different now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// An event was stored, about this task if any.
    Event(Option<TaskId>),
    /// A run's transcript has grown.
    Transcript(RunId),
    /// Signals were lost: anything.
    Anything,
}

/// Passes signals on to listeners.
pub(crate) struct Feed {
    signals: broadcast::Sender<Signal>,
    /// The newest event when the feed was made.
    newest: u64,
}

impl Feed {
    /// A feed of what comes after now.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) async fn new(store: &dyn Store) -> Result<Self, StoreError> {
        let query = EventQuery { newest_first: true, limit: 1, ..EventQuery::default() };
        let newest = store.events(&query).await?.first().map_or(0, |event| event.seq);
        Ok(Self { signals: broadcast::channel(SIGNALS).0, newest })
    }

    /// Listens from now on.
    pub(crate) fn listen(&self) -> broadcast::Receiver<Signal> {
        self.signals.subscribe()
    }

    fn tell(&self, signal: Signal) {
        // Fails only when nobody listens.
        let _ = self.signals.send(signal);
    }
}

/// Feeds until the service stops.
pub(crate) async fn run(site: Arc<Site>) {
    let mut changes = site.ctx.store.changes();
    let mut poll = tokio::time::interval(POLL);
    poll.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut seen = site.feed.newest;
    loop {
        tokio::select! {
            change = changes.recv() => match change {
                Ok(Change::Event(event)) => {
                    // A gap is another process's event; the poll finds it.
                    if event.seq == seen + 1 {
                        seen = event.seq;
                    }
                    site.feed.tell(Signal::Event(event.event.task));
                }
                Ok(Change::Transcript(run)) => site.feed.tell(Signal::Transcript(run)),
                Err(RecvError::Lagged(_)) => site.feed.tell(Signal::Anything),
                Err(RecvError::Closed) => return,
            },
            _ = poll.tick() => match catch_up(&site, seen).await {
                Ok(newest) => seen = newest,
                Err(error) => tracing::warn!(error = %error, "events of other processes could not be read"),
            },
            () = site.stop.cancelled() => return,
        }
    }
}

async fn catch_up(site: &Site, after: u64) -> Result<u64, StoreError> {
    let mut seen = after;
    loop {
        let events = site.ctx.store.events(&EventQuery { after: seen, limit: PAGE, ..EventQuery::default() }).await?;
        let whole = events.len() == PAGE;
        for event in events {
            seen = event.seq;
            site.feed.tell(Signal::Event(event.event.task));
        }
        if !whole {
            return Ok(seen);
        }
    }
}
