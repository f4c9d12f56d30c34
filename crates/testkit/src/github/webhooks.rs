//! Webhooks as GitHub sends them.
//!
//! **Definition.** A hook is an address and a secret. [`FakeGitHub::deliver_all`] looks what changed in the world since
//! the last look, makes an event of each change, and brings it to every hook over real HTTP, signed.
//!
//! **Wanted properties.** Headers, bodies and the list of deliveries are GitHub's; like GitHub it never sends anything
//! again by itself, and has no order to rely on. Everything that happens to deliveries on their way can be ordered
//! ([`Mishap`]).
//!
//! **Design.** `notice` compares the world with what was seen last, so that no verb and no route needs to know of hooks;
//! `bodies` renders. The body tells the state of that look, as GitHub's do when they are late.
//!
//! **Known differences.** The pusher of a branch is its repository's owner. No events of workflows and statuses.

mod bodies;
mod log;
mod notice;

use std::time::Duration;

use backlog::time::Timestamp;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

use super::FakeGitHub;
use super::hub::Hub;
pub(super) use log::{attempt, get, list};
use notice::Seen;

/// How long GitHub waits for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// What may happen to a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// It does not arrive; the list shows this status, or 0 when no connection was made.
    Lost(u16),
    /// GitHub never makes it: it is in no list.
    NeverProduced,
    /// It arrives twice.
    Twice,
    /// It arrives only after so much virtual time.
    Late(Duration),
    /// It is signed with another secret.
    WrongSignature,
    /// It has no signature.
    NoSignature,
    /// Its signature is empty.
    EmptySignature,
    /// It has the old signature only.
    Sha1Only,
    /// Its body has 26 MB.
    Huge,
}

/// Where deliveries go.
#[derive(Clone, Debug)]
struct Hook {
    id: u64,
    url: String,
    secret: String,
    client: reqwest::Client,
}

/// One delivery, as the list of them shows it.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Its id in the list; each attempt has its own.
    pub id: u64,
    /// `X-GitHub-Delivery`, shared by all attempts.
    pub guid: String,
    /// The event's name.
    pub event: String,
    /// Its action, if it has one.
    pub action: Option<String>,
    /// The body, as it was sent.
    pub body: Value,
    /// When it was tried.
    pub at: Timestamp,
    /// What was answered; 0 when no connection was made.
    pub status: u16,
    /// Whether somebody ordered it again.
    pub redelivery: bool,
    repository: Option<u64>,
    hook: u64,
}

/// A delivery on its way.
#[derive(Clone, Debug)]
struct Parcel {
    due: Timestamp,
    mishap: Option<Mishap>,
    delivery: Delivery,
}

/// An event before it is known who hears of it.
#[derive(Clone, Debug)]
struct Event {
    name: &'static str,
    repository: Option<u64>,
    body: Value,
}

/// Everything about hooks.
#[derive(Debug, Default)]
pub(super) struct Webhooks {
    hooks: Vec<Hook>,
    seen: Seen,
    log: Vec<Delivery>,
    waiting: Vec<Parcel>,
    mishaps: Vec<(Mishap, u64, u64)>,
    reversed: bool,
    /// The installation that events of an app's hook come through.
    installation: Option<u64>,
    made: u64,
}

impl Webhooks {
    /// What happens to the next delivery: every n-th of each order.
    fn fate(&mut self) -> Option<Mishap> {
        let mut fate = None;
        for (mishap, every, count) in &mut self.mishaps {
            *count += 1;
            if (*count).is_multiple_of(*every) {
                fate = fate.or(Some(*mishap));
            }
        }
        fate
    }

    /// Addresses an event to every hook that hears of it.
    fn post(&mut self, event: &Event, id: impl Fn() -> u64, now: Timestamp) {
        self.made += 1;
        let guid = format!("{:08x}-fa4e-11f0-8000-{:012x}", self.made, self.made);
        let action = event.body["action"].as_str().map(str::to_owned);
        for hook in self.hooks.clone() {
            let mishap = self.fate();
            if mishap == Some(Mishap::NeverProduced) {
                continue;
            }
            let mut body = event.body.clone();
            if let Some(installation) = self.installation
                && body.get("installation").is_none()
            {
                body["installation"] = bodies::installation_lite(installation);
            }
            let due = if let Some(Mishap::Late(wait)) = mishap { now.plus(wait) } else { now };
            let delivery = Delivery {
                id: id(),
                guid: guid.clone(),
                event: event.name.to_owned(),
                action: action.clone(),
                body,
                at: now,
                status: 0,
                redelivery: false,
                repository: event.repository,
                hook: hook.id,
            };
            if mishap == Some(Mishap::Twice) {
                self.waiting.push(Parcel { due, mishap: None, delivery: delivery.clone() });
            }
            self.waiting.push(Parcel { due, mishap, delivery });
        }
    }

    /// Takes what is due.
    fn take_due(&mut self, now: Timestamp) -> Vec<Parcel> {
        let (mut due, later): (Vec<_>, Vec<_>) = self.waiting.drain(..).partition(|parcel| parcel.due <= now);
        self.waiting = later;
        if self.reversed {
            due.reverse();
        }
        due
    }
}

/// Hooks and what they are told.
impl FakeGitHub {
    /// From now on everything that happens anywhere is told to `url`, as the hook of an app that is installed
    /// everywhere as `installation`.
    pub fn app_hook(&self, url: &str, secret: &str, installation: u64) {
        self.hub.webhooks().installation = Some(installation);
        let id = self.hub.world().id();
        // What happened before is nobody's news.
        self.hub.notice(false);
        let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().expect("a client can be made");
        let hook = Hook { id, url: url.to_owned(), secret: secret.to_owned(), client };
        self.hub.webhooks().hooks.push(hook);
    }

    /// Signs with another secret from now on.
    pub fn change_hook_secret(&self, secret: &str) {
        for hook in &mut self.hub.webhooks().hooks {
            secret.clone_into(&mut hook.secret);
        }
    }

    /// From now on this happens to every `every`-th delivery.
    pub fn deliveries_suffer(&self, mishap: Mishap, every: u64) {
        self.hub.webhooks().mishaps.push((mishap, every.max(1), 0));
    }

    /// From now on nothing happens to deliveries on their way.
    pub fn deliveries_recover(&self) {
        self.hub.webhooks().mishaps.clear();
    }

    /// From now on what is sent at once arrives newest first, or in order again.
    pub fn deliver_backwards(&self, backwards: bool) {
        self.hub.webhooks().reversed = backwards;
    }

    /// Tells of everything that happened since the last call, one after the other; gives the answers' status codes.
    pub async fn deliver_all(&self) -> Vec<u16> {
        self.hub.notice(true);
        let now = self.hub.clock.now();
        let due = self.hub.webhooks().take_due(now);
        let mut answers = Vec::new();
        for parcel in due {
            answers.push(send(&self.hub, parcel).await);
        }
        answers
    }

    /// As [`FakeGitHub::deliver_all`], all at once.
    pub async fn deliver_at_once(&self) -> Vec<u16> {
        self.hub.notice(true);
        let now = self.hub.clock.now();
        let due = self.hub.webhooks().take_due(now);
        futures::future::join_all(due.into_iter().map(|parcel| send(&self.hub, parcel))).await
    }

    /// Makes an event of `action` about the installation; it goes out with the next delivery.
    pub fn installation_event(&self, action: &str) {
        let hub = &self.hub;
        let Some(installation) = hub.webhooks().installation else { panic!("make an app_hook first") };
        let (body, now) = (bodies::installation(&hub.base, &hub.world(), installation, action), hub.clock.now());
        let event = Event { name: "installation", repository: None, body };
        let id = hub.world().id();
        hub.webhooks().post(&event, || id, now);
    }

    /// Sends one delivery again, as an operator does by hand; gives the answer's status code.
    pub async fn deliver_again(&self, id: u64) -> u16 {
        let found = self.deliveries().into_iter().find(|delivery| delivery.id == id).expect("it was delivered");
        let delivery = Delivery { id: self.hub.world().id(), redelivery: true, ..found };
        send(&self.hub, Parcel { due: self.hub.clock.now(), mishap: None, delivery }).await
    }

    /// Sends this text, rightly signed, as an event of the first hook; gives the answer's status code.
    pub async fn deliver_text(&self, event: &str, text: &str) -> u16 {
        let hook = self.hub.webhooks().hooks.first().cloned().expect("a hook was made");
        let guid = format!("text-{}", self.hub.world().id());
        knock(&hook, event, &guid, text.as_bytes().to_vec(), None).await.unwrap_or(0)
    }

    /// Everything that was tried, oldest first.
    #[must_use]
    pub fn deliveries(&self) -> Vec<Delivery> {
        self.hub.webhooks().log.clone()
    }
}

impl Hub {
    /// Looks what changed, and with `tell` makes events of it.
    fn notice(&self, tell: bool) {
        let now = self.clock.now();
        let mut world = self.world();
        for at in 0..world.repos.len() {
            world.observe(at, now);
        }
        let mut webhooks = self.webhooks();
        let events = webhooks.seen.compare(&self.base, &world, now);
        if tell {
            for event in &events {
                webhooks.post(event, || world.id(), now);
            }
        }
    }
}

/// Brings one delivery to its hook and writes down what became of it.
async fn send(hub: &Hub, parcel: Parcel) -> u16 {
    let Parcel { mishap, mut delivery, .. } = parcel;
    let hook = hub.webhooks().hooks.iter().find(|hook| hook.id == delivery.hook).cloned();
    delivery.status = match (mishap, hook) {
        (Some(Mishap::Lost(status)), _) => status,
        (_, None) => 0,
        (mishap, Some(hook)) => {
            let mut bytes = delivery.body.to_string().into_bytes();
            if mishap == Some(Mishap::Huge) {
                bytes.resize(26 << 20, b' ');
            }
            knock(&hook, &delivery.event, &delivery.guid, bytes, mishap).await.unwrap_or(0)
        }
    };
    delivery.at = hub.clock.now();
    let status = delivery.status;
    hub.webhooks().log.push(delivery);
    status
}

/// One request to a hook; `None` when nobody answers.
async fn knock(hook: &Hook, event: &str, guid: &str, bytes: Vec<u8>, mishap: Option<Mishap>) -> Option<u16> {
    let secret = if mishap == Some(Mishap::WrongSignature) { "another secret" } else { hook.secret.as_str() };
    let request = hook
        .client
        .post(&hook.url)
        .header("user-agent", "GitHub-Hookshot/0fa4e00")
        .header("accept", "*/*")
        .header("content-type", "application/json")
        .header("x-github-delivery", guid)
        .header("x-github-event", event)
        .header("x-github-hook-id", hook.id)
        .header("x-github-hook-installation-target-id", 1)
        .header("x-github-hook-installation-target-type", "integration");
    let request = match mishap {
        Some(Mishap::NoSignature) => request,
        Some(Mishap::EmptySignature) => request.header("x-hub-signature-256", ""),
        Some(Mishap::Sha1Only) => request.header("x-hub-signature", format!("sha1={:040x}", hook.id)),
        _ => request.header("x-hub-signature-256", sign(secret, &bytes)),
    };
    Some(request.body(bytes).send().await.ok()?.status().as_u16())
}

fn sign(secret: &str, body: &[u8]) -> String {
    let mut code = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes a key of any length");
    code.update(body);
    format!("sha256={}", hex::encode(code.finalize().into_bytes()))
}
