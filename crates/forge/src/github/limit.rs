//! What an answer says about limits.
//!
//! **Wanted properties.** A limit is never taken for a refusal, nor a refusal for a limit: the first would go on
//! hammering, the second would wait for what never comes.

use std::time::Duration;

use backlog::time::Timestamp;
use http::{HeaderMap, StatusCode};

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

/// Whether an answer is a limit; `None` for a refusal that no waiting cures (R11).
pub(super) fn classify(status: StatusCode, headers: &HeaderMap, body: &[u8], now: Timestamp) -> Option<Limit> {
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
    if number(headers, "x-ratelimit-remaining") == Some(0)
        && let Some(reset) = number(headers, "x-ratelimit-reset")
    {
        return Some(Limit::Empty(epoch(reset)));
    }
    let docs = error.documentation_url.to_ascii_lowercase();
    let secondary = ["secondary rate", "abuse", "too quickly"].iter().any(|word| text.contains(word))
        || ["secondary-rate", "abuse-rate"].iter().any(|word| docs.contains(word));
    (secondary || status == StatusCode::TOO_MANY_REQUESTS).then_some(Limit::Secondary)
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
