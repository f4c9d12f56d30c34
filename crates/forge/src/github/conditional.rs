//! Conditional reads: asking "has it changed?" instead of "what is it?".
//!
//! **Definition.** Every JSON read is revalidated with the `ETag` (or `Last-Modified`) of the stored answer; a 304
//! costs nothing of GitHub's budget and gives the stored body. Equal reads under way at once share one request.
//!
//! **Wanted properties.** Nothing is served without asking; nothing is shared between accounts; once in 24 hours an
//! answer is fetched whole, in case a 304 was wrong.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use backlog::time::Timestamp;
use bytes::Bytes;
use http::header::LINK;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;
use url::Url;

use super::client::{ACCEPT, API_VERSION, Answer, Client, Failure};

const SPACE: &str = "http-cache";
/// How long an answer that nobody asks for is kept.
const KEPT: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long a body is believed on the strength of 304s alone (R41).
const BELIEVED: Duration = Duration::from_secs(24 * 3600);
/// Longer bodies are not stored.
const STORED_BYTES: usize = 1 << 20;

/// An answer as the ledger keeps it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Stored {
    pub(super) etag: Option<String>,
    pub(super) last_modified: Option<String>,
    link: Option<String>,
    body: String,
    fetched_at: Timestamp,
}

/// Reads under way, by key.
#[derive(Default)]
pub(super) struct Flights(Mutex<HashMap<String, Weak<OnceCell<Answer>>>>);

impl Flights {
    /// The cell that all who ask for `key` at this time share.
    fn join(&self, key: &str) -> Arc<OnceCell<Answer>> {
        let mut flights = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cell) = flights.get(key).and_then(Weak::upgrade) {
            return cell;
        }
        // The others are gone: nobody holds their cells any more.
        flights.retain(|_, cell| cell.strong_count() > 0);
        let cell = Arc::new(OnceCell::new());
        flights.insert(key.to_owned(), Arc::downgrade(&cell));
        cell
    }

    /// The answer is there: whoever comes now asks anew.
    fn land(&self, key: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

impl Client {
    /// Reads an address, conditionally where an answer is stored.
    pub(super) async fn get(&self, url: &Url) -> Result<Answer, Failure> {
        let account = self.account().await?.id;
        let key = format!("{account} GET {url} {ACCEPT} {API_VERSION}");
        let cell = self.flights.join(&key);
        let answer = cell
            .get_or_try_init(|| async {
                let answer = self.revalidate(&key, url).await;
                self.flights.land(&key);
                answer
            })
            .await?;
        Ok(answer.clone())
    }

    async fn revalidate(&self, key: &str, url: &Url) -> Result<Answer, Failure> {
        let now = self.wire.clock.now();
        let stored = self.wire.ledger.recall(SPACE, key).await?;
        let stored = stored.and_then(|text| serde_json::from_str::<Stored>(&text).ok());
        let stored = stored.filter(|stored| now.since(stored.fetched_at) < BELIEVED);
        let mut answer = self.read(url.clone(), stored.as_ref()).await?;
        if answer.status == StatusCode::NOT_MODIFIED {
            if let Some(stored) = stored {
                return Ok(stored.into_answer(answer));
            }
            // A 304 to a read without a condition: once more (R40).
            answer = self.read(url.clone(), None).await?;
        }
        if answer.status != StatusCode::OK {
            return Err(Failure::Unexpected(format!("{} was answered with {}", answer.what, answer.status.as_u16())));
        }
        self.store(key, &answer, now).await?;
        Ok(answer)
    }

    async fn store(&self, key: &str, answer: &Answer, now: Timestamp) -> Result<(), Failure> {
        let (etag, last_modified) = Self::validators(answer);
        let Ok(body) = std::str::from_utf8(&answer.body) else { return Ok(()) };
        // What is no JSON, such as an error page with a success status, must not come back with every 304.
        let whole = serde_json::from_str::<serde::de::IgnoredAny>(body).is_ok();
        if (etag.is_none() && last_modified.is_none()) || body.len() > STORED_BYTES || !whole {
            return Ok(());
        }
        let link = answer.header(LINK).map(str::to_owned);
        let stored = Stored { etag, last_modified, link, body: body.to_owned(), fetched_at: now };
        let text = serde_json::to_string(&stored).map_err(|error| Failure::Unexpected(error.to_string()))?;
        Ok(self.wire.ledger.remember(SPACE, key, &text, Some(now.plus(KEPT))).await?)
    }

    /// Reads one object.
    pub(super) async fn get_json<T: DeserializeOwned>(&self, url: &Url) -> Result<T, Failure> {
        self.get(url).await?.json()
    }

    /// Reads a list, at most `most` pages of it.
    pub(super) async fn pages<T: DeserializeOwned>(&self, url: Url, most: usize) -> Result<Vec<T>, Failure> {
        let (mut url, mut all) = (url, Vec::new());
        for _ in 0..most {
            let answer = self.get(&url).await?;
            all.extend(answer.json::<Vec<T>>()?);
            match self.wire.next_page(&url, &answer)? {
                Some(next) => url = next,
                None => return Ok(all),
            }
        }
        tracing::warn!(path = url.path(), pages = most, "the list is longer than what is read of it");
        Ok(all)
    }
}

impl Stored {
    /// The stored answer in place of the 304.
    fn into_answer(self, not_modified: Answer) -> Answer {
        let mut headers = HeaderMap::new();
        if let Some(link) = self.link.and_then(|link| HeaderValue::from_str(&link).ok()) {
            headers.insert(LINK, link);
        }
        Answer { status: StatusCode::OK, headers, body: Bytes::from(self.body), what: not_modified.what }
    }
}
