//! The durable memory of forges and registries, kept in the store.

use std::sync::Arc;

use async_trait::async_trait;
use backlog::intent::WriteIntent;
use backlog::names::RepoName;
use backlog::time::{Clock, Timestamp};
use forge::{Ledger, LedgerError};
use store::{Store, StoreError};

/// Gives a forge and the registries their memory.
pub struct StoreLedger {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
}

impl StoreLedger {
    /// Over this store.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock }
    }
}

fn failed(error: StoreError) -> LedgerError {
    LedgerError(format!("{:#}", anyhow::Error::from(error)))
}

#[async_trait]
impl Ledger for StoreLedger {
    async fn intent(&self, id: &str) -> Result<Option<WriteIntent>, LedgerError> {
        self.store.intent(id).await.map_err(failed)
    }

    async fn swap_intent(&self, expected: Option<&WriteIntent>, intent: &WriteIntent) -> Result<bool, LedgerError> {
        self.store.swap_intent(expected, intent).await.map_err(failed)
    }

    async fn open_intents(&self, repository: &RepoName) -> Result<Vec<WriteIntent>, LedgerError> {
        let open = self.store.open_intents().await.map_err(failed)?;
        Ok(open.into_iter().filter(|intent| intent.repository == *repository).collect())
    }

    async fn recall(&self, space: &str, key: &str) -> Result<Option<String>, LedgerError> {
        self.store.note(space, key, self.clock.now()).await.map_err(failed)
    }

    async fn remember(
        &self,
        space: &str,
        key: &str,
        value: &str,
        expires: Option<Timestamp>,
    ) -> Result<(), LedgerError> {
        self.store.put_note(space, key, value, expires).await.map_err(failed)
    }

    async fn swap(
        &self,
        space: &str,
        key: &str,
        expected: Option<&str>,
        value: &str,
        expires: Option<Timestamp>,
    ) -> Result<bool, LedgerError> {
        self.store.swap_note((space, key), expected, value, expires, self.clock.now()).await.map_err(failed)
    }
}

#[async_trait]
impl registry::Memory for StoreLedger {
    async fn recall(&self, space: &str, key: &str) -> Result<Option<String>, String> {
        Ledger::recall(self, space, key).await.map_err(|error| error.to_string())
    }

    async fn remember(&self, space: &str, key: &str, value: &str, expires: Timestamp) -> Result<(), String> {
        Ledger::remember(self, space, key, value, Some(expires)).await.map_err(|error| error.to_string())
    }
}
