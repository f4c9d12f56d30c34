//! Conditional reads: asking "has it changed?" instead of "what is it?".
//!
//! **Definition.** Every JSON read is revalidated with the `ETag` (or `Last-Modified`) of the stored answer; a 304
//! costs nothing of GitHub's budget and gives the stored body. Equal reads under way at once share one request (R39).
//!
//! **Wanted properties.** Nothing is served without asking; nothing is shared between accounts; a new token of the
//! same account does not make everything unknown; about once a day each answer is fetched whole, in case a 304 was
//! wrong; stored answers are bounded in size and number.
//!
//! **Design.** GitHub's entity tags depend on the token, which with an App changes every hour. Where the tags of a
//! route can be computed (`route`), the tag for the new token is (R40); else the date of the last change is sent, else
//! nothing. An answer is kept in one of a fixed number of slots, chosen by its key: one that gets in another's way
//! takes its place.
//!
//! **Known races.** A change between a 304 and the whole read that checks it is counted as missed; it is a matter of
//! milliseconds once a day.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use backlog::time::Timestamp;
use bytes::Bytes;
use http::header::{ETAG, LAST_MODIFIED, LINK, VARY};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::OnceCell;
use url::Url;

use super::auth::{Scope, Token};
use super::client::{ACCEPT, API_VERSION, Answer, Client, Failure};
use super::route::computed_tag;

const SPACE: &str = "http-cache";
/// How long an answer that nobody asks for is kept.
const KEPT: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long a body is believed on the strength of 304s alone (R41); up to a tenth less, so that not all end at once.
const BELIEVED: Duration = Duration::from_secs(24 * 3600);
/// Longer bodies are not stored.
const STORED_BYTES: usize = 1 << 20;
/// How many answers are stored for one account: at most 4 GiB, and in practice some MiB.
const SLOTS: u64 = 4096;
/// The longest time between two polls that a server can ask for (R42).
const LONGEST_POLL: Duration = Duration::from_secs(3600);

/// An answer as the ledger keeps it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Stored {
    /// Of what: slots are shared.
    key: String,
    etag: Option<String>,
    last_modified: Option<String>,
    /// The request's headers that the answer depends on.
    vary: String,
    /// Names the token that the tag belongs to.
    token: String,
    link: Option<String>,
    body: String,
    /// When it was last read without a condition.
    whole_at: Timestamp,
    /// Not to be asked for again before this (R42).
    poll_at: Option<Timestamp>,
}

/// What makes a read conditional.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// `If-None-Match`
    Tag(String),
    /// `If-Modified-Since`
    Since(String),
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
        let key = key(account, url);
        let cell = self.flights.join(&key);
        let answer = cell
            .get_or_try_init(|| async {
                // In a box, since the cell would hold the room for it twice, and there may be thousands that wait.
                let answer = Box::pin(self.revalidate(account, &key, url)).await;
                self.flights.land(&key);
                answer
            })
            .await?;
        Ok(answer.clone())
    }

    async fn revalidate(&self, account: u64, key: &str, url: &Url) -> Result<Answer, Failure> {
        let now = self.wire.clock.now();
        let slot = slot(account, key);
        let stored = self.wire.ledger.recall(SPACE, &slot).await?;
        let stored = stored.and_then(|text| serde_json::from_str::<Stored>(&text).ok());
        let stored = stored.filter(|stored| stored.key == key);
        if let Some(until) = stored.as_ref().and_then(|stored| stored.poll_at).filter(|at| *at > now) {
            return Err(Failure::Limited { until });
        }
        let token = self.token(&Scope::of(&Method::GET, url)).await?;
        let condition = stored.as_ref().and_then(|stored| self.condition(stored, url, &token));
        let mut answer = self.read(url.clone(), condition.as_ref()).await?;
        if answer.status == StatusCode::NOT_MODIFIED {
            match stored {
                Some(mut stored) if now.since(stored.whole_at) < believed(key) => {
                    stored.poll_at = poll_at(&answer, now);
                    if stored.poll_at.is_some() {
                        self.keep(&slot, &stored, now).await?;
                    }
                    return Ok(stored.into_answer(answer));
                }
                // A 304 to a read without a condition, or one that was believed for long enough: once whole.
                stored => {
                    answer = self.read(url.clone(), None).await?;
                    self.compare(stored, &answer);
                }
            }
        }
        if answer.status != StatusCode::OK {
            return Err(Failure::Unexpected(format!("{} was answered with {}", answer.what, answer.status.as_u16())));
        }
        self.store(&slot, key, &answer, now).await?;
        Ok(answer)
    }

    /// What to send so that an unchanged answer costs nothing (R40).
    fn condition(&self, stored: &Stored, url: &Url, token: &Token) -> Option<Condition> {
        let tag = match &stored.etag {
            Some(etag) if stored.token == token.hash => Some(etag.clone()),
            Some(etag) if self.wire.routes.computable(&format!("GET {}", url.path())) => {
                computed_tag(etag, &stored.vary, &token.header, stored.body.as_bytes())
            }
            _ => None,
        };
        tag.map(Condition::Tag).or_else(|| stored.last_modified.clone().map(Condition::Since))
    }

    /// Whether what 304s had us believe was true (R41).
    fn compare(&self, stored: Option<Stored>, answer: &Answer) {
        if answer.status == StatusCode::OK && stored.is_some_and(|stored| stored.body.as_bytes() != answer.body) {
            self.wire.routes.missed(&answer.what);
        }
    }

    async fn store(&self, slot: &str, key: &str, answer: &Answer, now: Timestamp) -> Result<(), Failure> {
        let text = |name| answer.header(name).map(str::to_owned);
        let vary: Vec<&str> = answer.headers.get_all(VARY).iter().filter_map(|value| value.to_str().ok()).collect();
        let vary = vary.join(",");
        let Some(token) = &answer.token else { return Ok(()) };
        self.wire.routes.check_tag(answer, &vary, &token.header);
        let (etag, last_modified) = (text(ETAG), text(LAST_MODIFIED));
        let poll_at = poll_at(answer, now);
        let Ok(body) = std::str::from_utf8(&answer.body) else { return Ok(()) };
        // What is no JSON, such as an error page with a success status, must not come back with every 304.
        let whole = serde_json::from_str::<serde::de::IgnoredAny>(body).is_ok();
        let useful = etag.is_some() || last_modified.is_some() || poll_at.is_some();
        if !useful || body.len() > STORED_BYTES || !whole {
            return Ok(());
        }
        let stored = Stored {
            key: key.to_owned(),
            etag,
            last_modified,
            vary,
            token: token.hash.clone(),
            link: answer.header(LINK).map(str::to_owned),
            body: body.to_owned(),
            whole_at: now,
            poll_at,
        };
        self.keep(slot, &stored, now).await
    }

    async fn keep(&self, slot: &str, stored: &Stored, now: Timestamp) -> Result<(), Failure> {
        let text = serde_json::to_string(stored).map_err(|error| Failure::Unexpected(error.to_string()))?;
        Ok(self.wire.ledger.remember(SPACE, slot, &text, Some(now.plus(KEPT))).await?)
    }

    /// Reads one object.
    pub(super) async fn get_json<T: DeserializeOwned>(&self, url: &Url) -> Result<T, Failure> {
        Ok(self.get_page(url).await?.0)
    }

    /// Reads one object, or one page of a list with the answer that leads to the next. What cannot be understood is
    /// stored no longer: it would come back with every 304.
    pub(super) async fn get_page<T: DeserializeOwned>(&self, url: &Url) -> Result<(T, Answer), Failure> {
        let answer = self.get(url).await?;
        match answer.json() {
            Ok(page) => Ok((page, answer)),
            Err(failure) => {
                let account = self.account().await?.id;
                let slot = slot(account, &key(account, url));
                self.wire.ledger.remember(SPACE, &slot, "", Some(self.wire.clock.now())).await?;
                Err(failure)
            }
        }
    }

    /// Reads a whole list. One of more than `most` pages is an error: a part of it must not pass for all (R44).
    pub(super) async fn pages<T: DeserializeOwned>(&self, url: Url, most: usize) -> Result<Vec<T>, Failure> {
        let path = url.path().to_owned();
        match self.first_pages(url, most, |_| false).await? {
            (all, true) => Ok(all),
            (_, false) => Err(too_long(&path, most)),
        }
    }

    /// Reads a list page by page, up to `most` pages or until one is `enough`. Says too whether that was the whole list.
    pub(super) async fn first_pages<T: DeserializeOwned>(
        &self,
        mut url: Url,
        most: usize,
        enough: impl Fn(&[T]) -> bool,
    ) -> Result<(Vec<T>, bool), Failure> {
        let mut all = Vec::new();
        for _ in 0..most {
            let (page, answer): (Vec<T>, Answer) = self.get_page(&url).await?;
            let ends = enough(&page);
            all.extend(page);
            match self.wire.next_page(&url, &answer)? {
                None => return Ok((all, true)),
                Some(_) if ends => return Ok((all, false)),
                Some(next) => url = next,
            }
        }
        Ok((all, false))
    }
}

/// A list that is longer than what is read of it.
pub(super) fn too_long(what: &str, pages: usize) -> Failure {
    Failure::Unexpected(format!("the list {what} is longer than {pages} pages, and a part of it must not pass for all"))
}

/// The earliest time of the next poll, where the server says one (R42).
pub(super) fn poll_at(answer: &Answer, now: Timestamp) -> Option<Timestamp> {
    let seconds = answer.header("x-poll-interval")?.trim().parse().ok()?;
    Some(now.plus(Duration::from_secs(seconds).min(LONGEST_POLL)))
}

/// What an answer answers.
fn key(account: u64, url: &Url) -> String {
    format!("{account} GET {url} {ACCEPT} {API_VERSION}")
}

/// Where an answer is kept.
fn slot(account: u64, key: &str) -> String {
    format!("{account}:{}", number(key) % SLOTS)
}

/// How long the answer of this key is believed.
fn believed(key: &str) -> Duration {
    let tenth = number(key) % (BELIEVED.as_secs() / 10);
    BELIEVED - Duration::from_secs(tenth)
}

/// A number that a key always has.
fn number(key: &str) -> u64 {
    let digest = Sha256::digest(key);
    digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

impl Stored {
    /// The stored answer in place of the 304.
    fn into_answer(self, not_modified: Answer) -> Answer {
        let mut headers = HeaderMap::new();
        if let Some(link) = self.link.and_then(|link| HeaderValue::from_str(&link).ok()) {
            headers.insert(LINK, link);
        }
        Answer { status: StatusCode::OK, headers, body: Bytes::from(self.body), what: not_modified.what, token: None }
    }
}

#[cfg(test)]
mod tests;
