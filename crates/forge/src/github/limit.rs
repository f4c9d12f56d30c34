//! What an answer says about limits.
//!
//! **Wanted properties.** A limit is never taken for a refusal, nor a refusal for a limit: the first would go on
//! hammering, the second would wait for what never comes.

use std::time::Duration;

use backlog::time::Timestamp;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;

use super::model::ErrorBody;

/// The longest wait that is believed. GitHub's end within an hour or so; a number that something on the way made up must
/// not silence an actor for years, over every restart.
pub(super) const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// A limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    /// R7: silence for everything.
    Pause(Duration),
    /// R8: the resource is used up until then.
    Empty(Timestamp),
    /// R9, R10: too much, without saying how long.
    Secondary,
    /// R12: no more content for a while.
    Content(Option<Duration>),
}

/// Whether an answer is a limit; `None` for a refusal that no waiting cures (R11). `graphql` says whether it answers a
/// GraphQL query, where a limit comes with a 200 as well (R13).
pub(super) fn classify(
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    graphql: bool,
    now: Timestamp,
) -> Option<Limit> {
    if graphql && status == StatusCode::OK {
        return in_graphql(headers, body, now);
    }
    if status != StatusCode::FORBIDDEN && status != StatusCode::TOO_MANY_REQUESTS {
        return None;
    }
    let error = ErrorBody::read(body);
    let text = error.message.to_ascii_lowercase();
    let wait = retry_after(headers, now);
    if text.contains("blocked from content creation") || text.contains("submitted too quickly") {
        return Some(Limit::Content(wait));
    }
    if let Some(wait) = wait {
        return Some(Limit::Pause(wait));
    }
    if let Some(reset) = empty_until(headers, now) {
        return Some(Limit::Empty(reset));
    }
    // A wait that cannot be read is one all the same.
    let unread = headers.contains_key("retry-after") || number(headers, "x-ratelimit-remaining") == Some(0);
    let docs = error.documentation_url.to_ascii_lowercase();
    let secondary = ["secondary rate", "abuse", "too quickly"].iter().any(|word| text.contains(word))
        || ["secondary-rate", "abuse-rate"].iter().any(|word| docs.contains(word));
    (secondary || unread || status == StatusCode::TOO_MANY_REQUESTS).then_some(Limit::Secondary)
}

/// What a GraphQL answer with a 200 says about limits.
fn in_graphql(headers: &HeaderMap, body: &[u8], now: Timestamp) -> Option<Limit> {
    #[derive(Deserialize)]
    struct Reply {
        #[serde(default)]
        errors: Vec<serde_json::Value>,
    }
    let errors = serde_json::from_slice::<Reply>(body).ok()?.errors;
    let text = |error: &serde_json::Value, name: &str| error.get(name)?.as_str().map(str::to_ascii_lowercase);
    let wait = retry_after(headers, now);
    errors.iter().find_map(|error| {
        let message = text(error, "message").unwrap_or_default();
        if message.contains("submitted too quickly") || message.contains("blocked from content creation") {
            return Some(Limit::Content(wait));
        }
        let secondary = ["secondary rate", "abuse"].iter().any(|word| message.contains(word));
        if !secondary && text(error, "type").as_deref() != Some("rate_limited") {
            return None;
        }
        let empty = empty_until(headers, now).filter(|_| !secondary);
        Some(wait.map(Limit::Pause).or(empty.map(Limit::Empty)).unwrap_or(Limit::Secondary))
    })
}

/// Until when a resource with nothing left is closed.
fn empty_until(headers: &HeaderMap, now: Timestamp) -> Option<Timestamp> {
    let reset = number(headers, "x-ratelimit-reset")?;
    (number(headers, "x-ratelimit-remaining")? == 0).then(|| epoch(reset).min(now.plus(LONGEST)))
}

/// The wait of a `retry-after` in seconds or as an HTTP date.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let value = text_of(headers, "retry-after")?.trim();
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(Duration::from_secs(seconds).min(LONGEST));
    }
    let at = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(value).ok()?;
    Some(Timestamp(at.as_millisecond()).since(now).min(LONGEST))
}

/// A header's text.
pub(super) fn text_of<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// A header's number.
pub(super) fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    text_of(headers, name)?.trim().parse().ok()
}

/// The time of a number of seconds since the epoch.
pub(super) fn epoch(seconds: u64) -> Timestamp {
    Timestamp(i64::try_from(seconds).unwrap_or(i64::MAX / 1000).saturating_mul(1000))
}

#[cfg(test)]
mod tests;
