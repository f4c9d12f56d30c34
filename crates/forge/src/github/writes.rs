//! Creating things exactly once on a code host where no create call can be repeated safely.
//!
//! **Definition.** A [`Creation`] knows how to look for the thing it makes; [`GitHub::ensure`] stores a
//! [`WriteIntent`] before it sends, and after an answer that says nothing it looks before it sends again (R27).
//!
//! **Wanted properties.** At most one of each, whatever breaks and whenever; nothing is sent twice without three
//! looks in between; after two sends without a trace a person is asked.
//!
//! **Known races.** Lists lag. A thing that no list shows 77 seconds after its creation would be created again;
//! [`Creation::look_closely`] therefore reads single objects as well before anything is sent a second time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use backlog::intent::{IntentState, LOOKS, SENDS, WriteIntent, look_after};
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
    /// Looks for it by marker and author. `deep` when nothing is remembered of it, not even whether it was sent.
    async fn look(&self, github: &GitHub, deep: bool) -> Result<Option<Self::Thing>, ForgeError>;
    /// Looks for it beyond lists, which lag, before it is sent a second time.
    async fn look_closely(&self, github: &GitHub) -> Result<Option<Self::Thing>, ForgeError>;
    /// Reads it by its number. `None` when it is gone and may be created anew.
    async fn read(&self, github: &GitHub, number: u64) -> Result<Option<Self::Thing>, ForgeError>;
    /// Reads it from the answer to the send.
    fn parse(&self, answer: &Answer) -> Result<Self::Thing, Failure>;
    /// Its number or id, and where a person reads it.
    fn receipt(&self, thing: &Self::Thing) -> (u64, String);
    /// Whether a refusal says that it is there already.
    fn exists_already(&self, refusal: &Refusal) -> bool;
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
        let intent = creation.intent(self.now());
        let lock = self.locks.of(&intent.id);
        let _locked = lock.lock().await;
        let stored = self.ledger.intent(&intent.id).await?;
        // A number means something only in the repository it was given in.
        let elsewhere = |stored: &WriteIntent| {
            stored.repository != intent.repository && matches!(stored.state, IntentState::Done { .. })
        };
        let Some(stored) = stored.filter(|stored| !elsewhere(stored)) else {
            // Nothing is remembered: perhaps the database was lost, or the repository has a new name.
            return match creation.look(self, true).await? {
                Some(thing) => self.found(creation, intent, thing).await,
                None => self.create(creation, intent).await,
            };
        };
        match stored.state {
            IntentState::Done { number, .. } => match creation.read(self, number).await? {
                Some(thing) => Ok(Ensured { thing, fresh: false }),
                None => self.create(creation, WriteIntent { sends: 0, ..stored }).await,
            },
            IntentState::Planned => self.create(creation, stored).await,
            IntentState::Sent => {
                let next_look = stored.updated_at.plus(look_after(0));
                self.look_again(creation, stored, 0, next_look).await
            }
            IntentState::Unknown { looks, next_look } => self.look_again(creation, stored, looks, next_look).await,
            IntentState::GivenUp => match creation.look(self, true).await? {
                Some(thing) => self.found(creation, stored, thing).await,
                None => Err(given_up(&stored)),
            },
        }
    }

    async fn look_again<C: Creation>(
        &self,
        creation: &C,
        mut intent: WriteIntent,
        looks: u32,
        next_look: Timestamp,
    ) -> Result<Ensured<C::Thing>, ForgeError> {
        if self.now() < next_look {
            return Err(looking(&intent, next_look));
        }
        if let Some(thing) = creation.look(self, false).await? {
            return self.found(creation, intent, thing).await;
        }
        let looks = looks + 1;
        if looks < LOOKS {
            let next_look = self.now().plus(look_after(looks));
            self.put(&mut intent, IntentState::Unknown { looks, next_look }).await?;
            return Err(looking(&intent, next_look));
        }
        if let Some(thing) = creation.look_closely(self).await? {
            return self.found(creation, intent, thing).await;
        }
        if intent.sends >= SENDS {
            self.put(&mut intent, IntentState::GivenUp).await?;
            return Err(given_up(&intent));
        }
        self.create(creation, intent).await
    }

    async fn create<C: Creation>(
        &self,
        creation: &C,
        mut intent: WriteIntent,
    ) -> Result<Ensured<C::Thing>, ForgeError> {
        self.put(&mut intent, IntentState::Planned).await?;
        creation.prepare(self).await?;
        let Request { url, body, traffic } = creation.request(self);
        let client = self.client_of(&intent.repository).await?;
        let permit = client.governor.admit(traffic).await?;
        intent.sends += 1;
        self.put(&mut intent, IntentState::Sent).await?;
        let answer = client.send(&permit, Method::POST, &url, Some(&body)).await;
        drop(permit);
        let why = match answer.and_then(|answer| creation.parse(&answer)) {
            Ok(thing) => {
                self.done(creation, &mut intent, &thing).await?;
                return Ok(Ensured { thing, fresh: true });
            }
            Err(failure @ (Failure::Limited { .. } | Failure::Refused(_) | Failure::NotSent(_) | Failure::Moved)) => {
                intent.sends -= 1;
                self.put(&mut intent, IntentState::Planned).await?;
                return self.not_executed(creation, intent, failure).await;
            }
            Err(Failure::Ambiguous(why) | Failure::Unexpected(why)) => why,
            Err(Failure::Memory(error)) => error.to_string(),
        };
        let next_look = self.now().plus(look_after(0));
        self.put(&mut intent, IntentState::Unknown { looks: 0, next_look }).await?;
        tracing::warn!(intent = intent.id, why, "nobody knows whether it was created; it is looked for");
        Err(ForgeError::Transient { why, retry_at: Some(next_look) })
    }

    async fn not_executed<C: Creation>(
        &self,
        creation: &C,
        intent: WriteIntent,
        failure: Failure,
    ) -> Result<Ensured<C::Thing>, ForgeError> {
        match failure {
            Failure::Refused(refusal) if creation.exists_already(&refusal) => match creation.look(self, true).await? {
                Some(thing) => self.found(creation, intent, thing).await,
                None => Err(ForgeError::Transient { why: refusal.said, retry_at: None }),
            },
            Failure::Moved => Err(self.moved(&intent.repository).await),
            failure => Err(failure.into()),
        }
    }

    async fn found<C: Creation>(
        &self,
        creation: &C,
        mut intent: WriteIntent,
        thing: C::Thing,
    ) -> Result<Ensured<C::Thing>, ForgeError> {
        self.done(creation, &mut intent, &thing).await?;
        Ok(Ensured { thing, fresh: false })
    }

    async fn done<C: Creation>(
        &self,
        creation: &C,
        intent: &mut WriteIntent,
        thing: &C::Thing,
    ) -> Result<(), ForgeError> {
        let (number, url) = creation.receipt(thing);
        self.put(intent, IntentState::Done { number, url }).await
    }

    async fn put(&self, intent: &mut WriteIntent, state: IntentState) -> Result<(), ForgeError> {
        intent.state = state;
        intent.updated_at = self.now();
        Ok(self.ledger.put_intent(intent).await?)
    }

    /// What a write that was answered by a redirect tells the caller: the new name.
    pub(super) async fn moved(&self, old: &RepoName) -> ForgeError {
        match self.repository_model(old).await {
            Ok(repository) => ForgeError::Conflict(format!(
                "{old} is called {} now; put the new name into the configuration",
                repository.full_name
            )),
            Err(error) => error,
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
mod tests;
