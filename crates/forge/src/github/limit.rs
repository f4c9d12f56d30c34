//! What an answer says about limits.
//!
//! **Wanted properties.** A limit is never taken for a refusal, nor a refusal for a limit: the first would go on
//! hammering, the second would wait for what never comes.

use std::time::Duration;

use backlog::time::Timestamp;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;

use super::model::ErrorBody;

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
    let wait = text_of(headers, "retry-after").and_then(|value| retry_after(value, now));
    if text.contains("blocked from content creation") || text.contains("submitted too quickly") {
        return Some(Limit::Content(wait));
    }
    if let Some(wait) = wait {
        return Some(Limit::Pause(wait));
    }
    if let Some(reset) = empty_until(headers) {
        return Some(Limit::Empty(reset));
    }
    let docs = error.documentation_url.to_ascii_lowercase();
    let secondary = ["secondary rate", "abuse", "too quickly"].iter().any(|word| text.contains(word))
        || ["secondary-rate", "abuse-rate"].iter().any(|word| docs.contains(word));
    (secondary || status == StatusCode::TOO_MANY_REQUESTS).then_some(Limit::Secondary)
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
    let wait = text_of(headers, "retry-after").and_then(|value| retry_after(value, now));
    errors.iter().find_map(|error| {
        let message = text(error, "message").unwrap_or_default();
        if message.contains("submitted too quickly") || message.contains("blocked from content creation") {
            return Some(Limit::Content(wait));
        }
        let secondary = ["secondary rate", "abuse"].iter().any(|word| message.contains(word));
        if !secondary && text(error, "type").as_deref() != Some("rate_limited") {
            return None;
        }
        let empty = empty_until(headers).filter(|_| !secondary);
        Some(wait.map(Limit::Pause).or(empty.map(Limit::Empty)).unwrap_or(Limit::Secondary))
    })
}

/// Until when a resource with nothing left is closed.
fn empty_until(headers: &HeaderMap) -> Option<Timestamp> {
    let reset = number(headers, "x-ratelimit-reset")?;
    (number(headers, "x-ratelimit-remaining")? == 0).then(|| epoch(reset))
}

/// The wait of a `retry-after` in seconds or as an HTTP date.
fn retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let at = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(value.trim()).ok()?;
    Some(Timestamp(at.as_millisecond()).since(now))
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
