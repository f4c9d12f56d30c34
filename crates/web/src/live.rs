//! Live pages: pushes what looks different now.
//!
//! **Definition.** A browser opens `/live` for the page it shows. The service renders the page's parts again when
//! something changed, and sends those that differ from what it sent last; htmx puts them in their place.
//!
//! **Wanted properties.** A slow browser holds no memory: no fragment is ever queued, only "something changed" is
//! remembered, and a browser that lost count gets every part anew. Sockets are bounded in number, size, silence and
//! time of a send; none outlives its session or the service.
//!
//! **Known races.** *A change between rendering the page and opening the socket*: the first push sends every part, and
//! the page drops those that it shows already (each carries a digest). *Two changes at once*: one push shows both.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use backlog::names::RunId;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::time::{Instant, Interval};

use crate::fault::Fault;
use crate::feed::{POLL, Signal};
use crate::guard::{self, Visitor};
use crate::pages::{View, ViewQuery, transcript};
use crate::{Site, sign_in};

/// How often a ping is sent, and the session is looked at.
const PING: Duration = Duration::from_secs(30);
/// How long a browser may be silent, pongs included.
const IDLE: Duration = Duration::from_secs(75);
/// How long one send may take.
const SEND: Duration = Duration::from_secs(30);
/// Changes within this time are shown together.
const TOGETHER: Duration = Duration::from_millis(100);
/// The largest message that is read: bytes. Nothing of what browsers send here is used.
const INBOUND_BYTES: usize = 4 * 1024;

/// One WebSocket with its bounds.
pub(crate) struct Line {
    socket: WebSocket,
    heard: Instant,
    ping: Interval,
    _permit: OwnedSemaphorePermit,
}

impl Line {
    /// Sends a text; `false` when the other side is gone or too slow.
    pub(crate) async fn send(&mut self, text: String) -> bool {
        self.put(Message::Text(text.into())).await
    }

    async fn put(&mut self, message: Message) -> bool {
        matches!(tokio::time::timeout(SEND, self.socket.send(message)).await, Ok(Ok(())))
    }

    /// Waits for the next ping and sends it, reading meanwhile; `false` when the other side is gone or silent.
    /// May be dropped at any time.
    pub(crate) async fn keep(&mut self) -> bool {
        loop {
            tokio::select! {
                _ = self.ping.tick() => {
                    let alive = self.heard.elapsed() < IDLE;
                    return alive && self.put(Message::Ping(Vec::new().into())).await;
                }
                message = self.socket.recv() => match message {
                    None | Some(Err(_) | Ok(Message::Close(_))) => return false,
                    Some(Ok(Message::Text(_) | Message::Binary(_) | Message::Ping(_) | Message::Pong(_))) => {
                        self.heard = Instant::now();
                    }
                },
            }
        }
    }

    /// Says goodbye.
    pub(crate) async fn close(mut self) {
        let _ = tokio::time::timeout(Duration::from_secs(1), self.socket.send(Message::Close(None))).await;
    }
}

/// Upgrades a request, within the bound on sockets; `work` gets the line.
pub(crate) fn open<W, F>(
    site: &Arc<Site>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
    work: W,
) -> Result<Response, Fault>
where
    W: FnOnce(Line) -> F + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let upgrade = upgrade.map_err(|refused| Fault::BadRequest(refused.status(), refused.body_text()))?;
    let permit = site.sockets.clone().try_acquire_owned();
    let permit = permit.map_err(|_| Fault::Busy("Too many pages are open live at once. Close some, then reload."))?;
    let tracker = site.tracker.clone();
    Ok(upgrade.max_message_size(INBOUND_BYTES).max_frame_size(INBOUND_BYTES).on_upgrade(move |socket| {
        let ping = tokio::time::interval_at(Instant::now() + PING, PING);
        let line = Line { socket, heard: Instant::now(), ping, _permit: permit };
        tracker.track_future(work(line))
    }))
}

/// `/live`: the fragments of one page.
pub(crate) async fn connect(
    State(site): State<Arc<Site>>,
    Extension(visitor): Extension<Visitor>,
    Query(query): Query<ViewQuery>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    // An upgrade is a GET, which the guard lets pass from anywhere.
    if visitor == Visitor::Session && !guard::origin_is_host(&headers) {
        return Fault::Forbidden("This connection comes from another site.").into_response();
    }
    let view = match View::parse(query) {
        Ok(view) => view,
        Err(fault) => return fault.into_response(),
    };
    let live = site.clone();
    match open(&site, upgrade, move |line| push(live, view, headers, visitor, line)) {
        Ok(response) => response,
        Err(fault) => fault.into_response(),
    }
}

/// What has to be looked at again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum News {
    Nothing,
    /// The transcript's new lines.
    Lines,
    /// Every part.
    Parts,
}

/// What a browser was sent.
#[derive(Default)]
struct Sent {
    parts: HashMap<&'static str, String>,
    transcript: Option<(RunId, u64)>,
}

async fn push(site: Arc<Site>, view: View, headers: HeaderMap, visitor: Visitor, mut line: Line) {
    let mut signals = site.feed.listen();
    let mut poll = tokio::time::interval(POLL);
    let mut sent = Sent::default();
    let mut news = News::Parts;
    loop {
        if news > News::Nothing {
            match changed(&site, &view, news, &mut sent).await {
                Ok(html) if html.is_empty() => {}
                Ok(html) => {
                    if !line.send(html).await {
                        return;
                    }
                }
                Err(Fault::NotFound(_)) => return line.close().await,
                Err(fault) => fault.log(),
            }
        }
        news = tokio::select! {
            signal = signals.recv() => match signal {
                Ok(signal) => view.concerns(&signal),
                Err(RecvError::Lagged(_)) => {
                    sent = Sent::default();
                    News::Parts
                }
                Err(RecvError::Closed) => return,
            },
            _ = poll.tick() => view.moves_by_itself(),
            alive = line.keep() => {
                if !alive || !is_signed_in(&site, visitor, &headers).await {
                    return line.close().await;
                }
                News::Nothing
            }
            () = site.stop.cancelled() => return line.close().await,
        };
        if news > News::Nothing {
            tokio::time::sleep(TOGETHER).await;
            loop {
                match signals.try_recv() {
                    Ok(signal) => news = news.max(view.concerns(&signal)),
                    Err(TryRecvError::Lagged(_)) => (news, sent) = (News::Parts, Sent::default()),
                    Err(TryRecvError::Empty | TryRecvError::Closed) => break,
                }
            }
        }
    }
}

/// Signing out ends the live pages of that session too.
pub(crate) async fn is_signed_in(site: &Site, visitor: Visitor, headers: &HeaderMap) -> bool {
    match visitor {
        Visitor::Token => true,
        // A database that fails just now is no reason to sign anybody out.
        Visitor::Session => sign_in::session(site, headers).await.map_or(true, |session| session.is_some()),
    }
}

/// The parts that differ from what was sent, and the transcript's new lines.
async fn changed(site: &Arc<Site>, view: &View, news: News, sent: &mut Sent) -> Result<String, Fault> {
    let mut html = String::new();
    let parts = if news == News::Parts { view.parts(site).await? } else { Vec::new() };
    for part in parts {
        if sent.parts.get(part.id) != Some(&part.digest) {
            html.push_str(&part.html());
            sent.parts.insert(part.id, part.digest);
        }
    }
    if let Some(run) = view.shown_run(site).await? {
        let known = sent.transcript.as_ref().filter(|(known, _)| *known == run).map(|(_, seq)| *seq);
        let (fragment, seq) = match known {
            Some(seq) => transcript::appended(site, &run, seq).await?,
            None => transcript::whole(site, &run).await?,
        };
        html.push_str(&fragment);
        sent.transcript = Some((run, seq));
    }
    Ok(html)
}

impl View {
    /// What a signal changes of what is shown.
    fn concerns(&self, signal: &Signal) -> News {
        let concerned = match (self, signal) {
            (_, Signal::Anything) | (Self::Repositories, Signal::Event(_)) => true,
            (Self::Board(_), Signal::Event(task)) => task.is_some(),
            (Self::Task(id, _), Signal::Event(task)) => task.as_ref() == Some(id),
            (Self::Task(id, _), Signal::Transcript(run)) if run.task() == *id => return News::Lines,
            (Self::Task(..) | Self::Board(_) | Self::Repositories, Signal::Transcript(_)) => false,
            // It changes when a task ends; whoever reads the rules can wait for the next visit.
            (Self::Ranking, Signal::Event(_) | Signal::Transcript(_)) => false,
            // Measured anew by the clock.
            (Self::Health, Signal::Event(_) | Signal::Transcript(_)) => false,
        };
        if concerned { News::Parts } else { News::Nothing }
    }

    /// What changes without an event in this process: measurements, and transcripts of other processes' agents.
    fn moves_by_itself(&self) -> News {
        match self {
            Self::Health => News::Parts,
            Self::Task(..) => News::Lines,
            Self::Board(_) | Self::Repositories | Self::Ranking => News::Nothing,
        }
    }
}
