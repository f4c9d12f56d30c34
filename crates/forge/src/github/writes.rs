//! Creating things exactly once on a code host where no create call can be repeated safely.
//!
//! **Definition.** A [`Creation`] is a thing to be there once; [`GitHub::ensure`] stores a [`WriteIntent`] before it
//! sends, and after an answer that says nothing it looks before it sends again (R27). [`GitHub::settle`] does so for
//! whatever an earlier process left behind, before anything new is written to a repository (R29).
//!
//! **Wanted properties.** At most one of each, whatever breaks and whenever, also with several processes on one memory;
//! nothing is sent twice without three looks in between; after two sends without a trace a person is asked.
//!
//! **Design.** Each step of an intent is a compare-and-swap: of two processes that want to send the same, one does. Only
//! that it exists is written whatever another process wrote meanwhile. What is looked for follows from the intent alone,
//! so that it can be found by who knows nothing else of it.
//!
//! **Known races.** *Lists lag.* A thing that no list shows 77 seconds after its creation would be created again;
//! [`Depth::Close`] therefore reads single objects as well before anything is sent a second time. *A process that stands
//! still between storing and sending*, such as on a machine that sleeps, for longer than three looks take: another one may
//! have sent it. The gap holds no waiting of ours, and [`GitHub::create`] asks the clock once more after storing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use backlog::intent::{IntentKind, IntentState, LOOKS, SENDS, WriteIntent, look_after};
use backlog::names::RepoName;
use backlog::time::Timestamp;
use http::Method;
use serde_json::Value;
use url::Url;

use super::GitHub;
use super::client::{Answer, Failure, Refusal};
use super::governor::Traffic;
use crate::ForgeError;

/// Something to be created once.
#[async_trait]
pub(super) trait Creation: Sync {
    /// What comes into being.
    type Thing: Send;

    /// The intent to store before the first send.
    fn intent(&self, now: Timestamp) -> WriteIntent;
    /// What is sent.
    fn request(&self, github: &GitHub) -> Request;
    /// Brings about what must be there before it is sent.
    async fn prepare(&self, github: &GitHub) -> Result<(), ForgeError>;
    /// Reads it by its number. `None` when it is gone and may be created anew.
    async fn read(&self, github: &GitHub, number: u64) -> Result<Option<Self::Thing>, ForgeError>;
    /// Reads it from the answer to the send.
    fn parse(&self, answer: &Answer) -> Result<Self::Thing, Failure>;
    /// Its number or id, and where a person reads it.
    fn receipt(&self, thing: &Self::Thing) -> Receipt;
    /// Whether a refusal says that it is there already.
    fn exists_already(&self, refusal: &Refusal) -> bool;
}

/// The number or id of a thing, and where a person reads it.
pub(super) type Receipt = (u64, String);

/// How hard to look for a thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// Among the newest: it was sent moments ago.
    Shallow,
    /// Among all: nothing is remembered of it, not even whether it was sent.
    Deep,
    /// Beyond lists, which lag: it would be sent a second time now.
    Close,
}

/// A create call.
pub(super) struct Request {
    pub(super) url: Url,
    pub(super) body: Value,
    pub(super) traffic: Traffic,
}

/// What [`GitHub::ensure`] gives: the thing, and whether it was created just now.
pub(super) struct Ensured<T> {
    pub(super) thing: T,
    pub(super) fresh: bool,
}

/// One lock per intent: two callers of this process never create the same thing side by side.
#[derive(Default)]
pub(super) struct Locks(Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>);

impl Locks {
    pub(super) fn of(&self, id: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lock) = locks.get(id).and_then(Weak::upgrade) {
            return lock;
        }
        locks.retain(|_, lock| lock.strong_count() > 0);
        let lock = Arc::default();
        locks.insert(id.to_owned(), Arc::downgrade(&lock));
        lock
    }
}

impl GitHub {
    /// Finds or creates it.
    pub(super) async fn ensure<C: Creation>(&self, creation: &C) -> Result<Ensured<C::Thing>, ForgeError> {
        let wanted = creation.intent(self.now());
        self.settle(&wanted.repository).await?;
        let lock = self.locks.of(&wanted.id);
        let _locked = lock.lock().await;
        let known = self.known(&wanted).await?;
        let known = match known.state {
            IntentState::Done { number, .. } => match creation.read(self, number).await? {
                Some(thing) => return Ok(Ensured { thing, fresh: false }),
                None => self.gone(known).await?,
            },
            _ => known,
        };
        creation.prepare(self).await?;
        self.create(creation, known, wanted).await
    }

    /// What is known of an intent after looking as far as need be: that its thing is there ([`IntentState::Done`]), or
    /// that it may be sent ([`IntentState::Planned`]).
    async fn known(&self, wanted: &WriteIntent) -> Result<WriteIntent, ForgeError> {
        let stored = self.ledger.intent(&wanted.id).await?;
        // A number means something only in the repository it was given in.
        let elsewhere = |stored: &WriteIntent| {
            stored.repository != wanted.repository && matches!(stored.state, IntentState::Done { .. })
        };
        match stored {
            Some(stored) if !elsewhere(&stored) => match stored.state {
                IntentState::Done { .. } | IntentState::Planned => Ok(stored),
                IntentState::Sent | IntentState::Unknown { .. } => self.reconcile(stored).await,
                IntentState::GivenUp => match self.seek(&stored, Depth::Deep).await? {
                    Some((number, url)) => self.done(stored, number, url).await,
                    None => Err(given_up(&stored)),
                },
            },
            stored => {
                // Nothing is remembered: perhaps the database was lost, or the repository has a new name.
                let found = self.seek(wanted, Depth::Deep).await?;
                let state = found.map_or(IntentState::Planned, |(number, url)| IntentState::Done { number, url });
                self.swap(stored.as_ref(), WriteIntent { state, ..wanted.clone() }).await
            }
        }
    }

    /// What was done may be done anew, when no list shows it either: a single answer may be wrong for a while.
    async fn gone(&self, known: WriteIntent) -> Result<WriteIntent, ForgeError> {
        if self.seek(&known, Depth::Deep).await?.is_some() {
            let why = format!("the {} of task {} is listed and yet not there", words(&known), known.task);
            return Err(ForgeError::Transient { why, retry_at: None });
        }
        self.step(&known, WriteIntent { sends: 0, ..known.clone() }, IntentState::Planned).await
    }

    /// R29: looks for everything that an earlier process sent to a repository without seeing an answer, once per process
    /// and repository, before anything new is written there.
    pub(super) async fn settle(&self, repository: &RepoName) -> Result<(), ForgeError> {
        if self.settled().contains(repository) {
            return Ok(());
        }
        let lock = self.locks.of(&format!("settle:{repository}"));
        let _locked = lock.lock().await;
        if self.settled().contains(repository) {
            return Ok(());
        }
        let mut waiting = Ok(());
        for open in self.ledger.open_intents(repository).await? {
            let lock = self.locks.of(&open.id);
            let _locked = lock.lock().await;
            let Some(intent) = self.ledger.intent(&open.id).await? else { continue };
            match self.reconcile(intent).await {
                Err(error @ (ForgeError::Transient { .. } | ForgeError::Limited { .. })) => waiting = Err(error),
                // A person was asked, or it cannot be looked for any more: nothing that other writes have to wait for.
                Err(error) => tracing::warn!(intent = open.id, %error, "what became of an earlier write stays open"),
                Ok(_) => {}
            }
        }
        waiting?;
        self.settled().insert(repository.clone());
        Ok(())
    }

    /// Looks for what was sent without a clear answer, when it is time to. Gives the intent done, or planned again after
    /// [`LOOKS`] looks in vain.
    async fn reconcile(&self, intent: WriteIntent) -> Result<WriteIntent, ForgeError> {
        let (looks, next_look) = match intent.state {
            IntentState::Sent => (0, intent.updated_at.plus(look_after(0))),
            IntentState::Unknown { looks, next_look } => (looks, next_look),
            IntentState::Planned | IntentState::Done { .. } | IntentState::GivenUp => return Ok(intent),
        };
        if self.now() < next_look {
            return Err(looking(&intent, next_look));
        }
        let looks = looks + 1;
        let found = match self.seek(&intent, Depth::Shallow).await? {
            None if looks >= LOOKS => self.seek(&intent, Depth::Close).await?,
            found => found,
        };
        if let Some((number, url)) = found {
            return self.done(intent, number, url).await;
        }
        if looks < LOOKS {
            let next_look = self.now().plus(look_after(looks));
            let intent = self.step(&intent, intent.clone(), IntentState::Unknown { looks, next_look }).await?;
            return Err(looking(&intent, next_look));
        }
        if intent.sends >= SENDS {
            return Err(given_up(&self.step(&intent, intent.clone(), IntentState::GivenUp).await?));
        }
        self.step(&intent, intent.clone(), IntentState::Planned).await
    }

    async fn seek(&self, intent: &WriteIntent, depth: Depth) -> Result<Option<Receipt>, ForgeError> {
        match intent.kind {
            IntentKind::Issue => self.seek_issue(intent, depth).await,
            IntentKind::Comment | IntentKind::PullRequest if depth == Depth::Close => Ok(None),
            IntentKind::Comment => self.seek_comment(intent).await,
            IntentKind::PullRequest => self.seek_pull(intent).await,
        }
    }

    /// Sends it. `planned` is the intent as stored, `wanted` says what is to be created now.
    async fn create<C: Creation>(
        &self,
        creation: &C,
        planned: WriteIntent,
        wanted: WriteIntent,
    ) -> Result<Ensured<C::Thing>, ForgeError> {
        let Request { url, body, traffic } = creation.request(self);
        let client = self.client_of(&wanted.repository).await?;
        let permit = client.governor.admit(traffic).await?;
        let sends = planned.sends + 1;
        let next = WriteIntent { sends, created_at: planned.created_at, ..wanted };
        let sent = self.step(&planned, next, IntentState::Sent).await?;
        if self.now() >= sent.updated_at.plus(look_after(0)) {
            // This process stood still: another one may have begun to look for what was never sent.
            return Err(looking(&sent, self.now()));
        }
        let answer = client.send(&permit, Method::POST, &url, Some(&body)).await;
        drop(permit);
        let why = match answer.and_then(|answer| creation.parse(&answer)) {
            Ok(thing) => {
                let (number, url) = creation.receipt(&thing);
                self.done(sent, number, url).await?;
                return Ok(Ensured { thing, fresh: true });
            }
            Err(failure @ (Failure::Limited { .. } | Failure::Refused(_) | Failure::NotSent(_) | Failure::Moved)) => {
                let planned = WriteIntent { sends: sends - 1, ..sent.clone() };
                let planned = self.step(&sent, planned, IntentState::Planned).await?;
                return self.not_executed(creation, planned, failure).await;
            }
            Err(Failure::Ambiguous(why) | Failure::Unexpected(why)) => why,
            Err(Failure::Memory(error)) => error.to_string(),
        };
        let next_look = self.now().plus(look_after(0));
        let unknown = self.step(&sent, sent.clone(), IntentState::Unknown { looks: 0, next_look }).await?;
        tracing::warn!(intent = unknown.id, why, "nobody knows whether it was created; it is looked for");
        Err(ForgeError::Transient { why, retry_at: Some(next_look) })
    }

    async fn not_executed<C: Creation>(
        &self,
        creation: &C,
        intent: WriteIntent,
        failure: Failure,
    ) -> Result<Ensured<C::Thing>, ForgeError> {
        match failure {
            Failure::Refused(refusal) if creation.exists_already(&refusal) => {
                let unseen = ForgeError::Transient { why: refusal.said, retry_at: None };
                let (number, url) = self.seek(&intent, Depth::Deep).await?.ok_or(unseen)?;
                let gone = ForgeError::NotFound(url.clone());
                self.done(intent, number, url).await?;
                let thing = creation.read(self, number).await?.ok_or(gone)?;
                Ok(Ensured { thing, fresh: false })
            }
            Failure::Moved => Err(self.moved(&intent.repository).await),
            failure => Err(failure.into()),
        }
    }

    /// Stores the next step of an intent.
    async fn step(&self, from: &WriteIntent, next: WriteIntent, state: IntentState) -> Result<WriteIntent, ForgeError> {
        self.swap(Some(from), WriteIntent { state, updated_at: self.now(), ..next }).await
    }

    async fn swap(&self, from: Option<&WriteIntent>, next: WriteIntent) -> Result<WriteIntent, ForgeError> {
        if self.ledger.swap_intent(from, &next).await? {
            return Ok(next);
        }
        Err(looking(&next, self.now().plus(look_after(0))))
    }

    /// Stores that it exists, whatever another process made of the intent meanwhile.
    async fn done(&self, mut from: WriteIntent, number: u64, url: String) -> Result<WriteIntent, ForgeError> {
        loop {
            let state = IntentState::Done { number, url: url.clone() };
            let next = WriteIntent { state, updated_at: self.now(), ..from.clone() };
            if self.ledger.swap_intent(Some(&from), &next).await? {
                return Ok(next);
            }
            match self.ledger.intent(&from.id).await? {
                // An intent moves a handful of times in its life, so this ends.
                Some(stored) if !matches!(stored.state, IntentState::Done { .. }) => from = stored,
                _ => return Ok(next),
            }
        }
    }
}

fn looking(intent: &WriteIntent, next_look: Timestamp) -> ForgeError {
    let why = format!("whether the {} of task {} was created is not known yet", words(intent), intent.task);
    ForgeError::Transient { why, retry_at: Some(next_look) }
}

fn given_up(intent: &WriteIntent) -> ForgeError {
    let what = words(intent);
    ForgeError::Conflict(format!(
        "the {what} of task {} was sent to {} {} times and never seen; look there for it, and cancel or retry the task",
        intent.task, intent.repository, intent.sends
    ))
}

fn words(intent: &WriteIntent) -> String {
    intent.kind.as_str().replace('_', " ")
}

/// How long a permission that was looked up is believed.
pub(super) const PERMISSION_BELIEVED: Duration = Duration::from_secs(600);

#[cfg(test)]
mod faults;
#[cfg(test)]
mod killed;
#[cfg(test)]
mod tests;
