//! A value that several processes change together.
//!
//! **Definition.** [`Kept`] is a value in the ledger with a copy here. [`Kept::change`] works on the copy and writes it
//! by compare-and-swap; when another process was faster it works again on what that one wrote.
//!
//! **Wanted properties.** No change is lost, whoever else changes; the copy is never older than the last own change.
//!
//! **Known races.** A caller that goes away during the swap leaves open whether the copy is old: it is marked as such,
//! and read anew.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use backlog::time::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Ledger, LedgerError};

const SPACE: &str = "github-governor";
/// How often a change is tried against others. Each try that fails is one that another process made.
const TRIES: u32 = 100;
/// How long a record outlives its last change. Longer than every window and pause in it.
const KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

/// See the module.
pub(super) struct Kept<T> {
    ledger: Arc<dyn Ledger>,
    copy: Mutex<Copy<T>>,
    /// One change at a time, or an older copy could replace a newer one.
    turn: tokio::sync::Mutex<()>,
}

struct Copy<T> {
    key: String,
    raw: Option<String>,
    value: T,
    old: bool,
}

/// What is known, for as long as it is held.
pub(super) struct Look<'a, T>(MutexGuard<'a, Copy<T>>);

impl<T> std::ops::Deref for Look<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.value
    }
}

impl<T: Clone + Default + Serialize + DeserializeOwned> Kept<T> {
    pub(super) fn new(ledger: Arc<dyn Ledger>, key: String) -> Self {
        let copy = Mutex::new(Copy { key, raw: None, value: T::default(), old: true });
        Self { ledger, copy, turn: tokio::sync::Mutex::default() }
    }

    fn copy(&self) -> MutexGuard<'_, Copy<T>> {
        self.copy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The copy.
    pub(super) fn look(&self) -> Look<'_, T> {
        Look(self.copy())
    }

    pub(super) fn key(&self) -> String {
        self.copy().key.clone()
    }

    /// Whether the copy must be read before it is believed.
    pub(super) fn is_old(&self) -> bool {
        self.copy().old
    }

    /// Goes over to another key. The copy stays until it is read.
    pub(super) fn go_to(&self, key: &str) {
        let mut copy = self.copy();
        if copy.key != key {
            copy.key = key.to_owned();
            copy.raw = None;
            copy.old = true;
        }
    }

    /// Reads what the ledger has.
    pub(super) async fn read(&self) -> Result<(), LedgerError> {
        let _turn = self.turn.lock().await;
        self.read_in_turn().await
    }

    async fn read_in_turn(&self) -> Result<(), LedgerError> {
        let key = self.key();
        let raw = self.ledger.recall(SPACE, &key).await?;
        let mut copy = self.copy();
        if copy.key == key {
            if copy.raw != raw || copy.old {
                // What cannot be read was written by another version: begin anew.
                copy.value = raw.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
            }
            copy.raw = raw;
            copy.old = false;
        }
        Ok(())
    }

    /// Changes the value for all. `change` may run several times, each time on what is there then; what it returns the
    /// last time is returned.
    pub(super) async fn change<R>(&self, now: Timestamp, change: impl Fn(&mut T) -> R) -> Result<R, LedgerError> {
        let _turn = self.turn.lock().await;
        if self.is_old() {
            self.read_in_turn().await?;
        }
        for _ in 0..TRIES {
            let (key, raw, mut value) = {
                let copy = self.copy();
                (copy.key.clone(), copy.raw.clone(), copy.value.clone())
            };
            let result = change(&mut value);
            let text = serde_json::to_string(&value).map_err(|error| LedgerError(error.to_string()))?;
            if raw.as_ref() == Some(&text) {
                return Ok(result);
            }
            let mut doubt = Doubt { kept: self, over: false };
            let swapped = self.ledger.swap(SPACE, &key, raw.as_deref(), &text, Some(now.plus(KEPT))).await?;
            doubt.over = true;
            if swapped {
                let mut copy = self.copy();
                if copy.key == key {
                    *copy = Copy { key, raw: Some(text), value, old: false };
                }
                return Ok(result);
            }
            self.read_in_turn().await?;
        }
        Err(LedgerError(format!("{TRIES} changes of the limits' record were each overtaken by another process")))
    }
}

/// A swap under way; dropped before its end, the copy is old.
struct Doubt<'a, T> {
    kept: &'a Kept<T>,
    over: bool,
}

impl<T> Drop for Doubt<'_, T> {
    fn drop(&mut self) {
        if !self.over {
            self.kept.copy.lock().unwrap_or_else(PoisonError::into_inner).old = true;
        }
    }
}
