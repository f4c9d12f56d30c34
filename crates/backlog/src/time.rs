//! Points in time, days of the calendar, and the clock that hands out the time.

#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

/// A point in time: milliseconds since the Unix epoch, UTC. Stored as an integer in every database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The point `after` this one; saturates instead of overflowing.
    #[must_use]
    pub fn plus(self, after: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(after.as_millis()).unwrap_or(i64::MAX)))
    }

    /// How long ago `earlier` was; zero when it lies in the future.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Whole days since `earlier`; zero when it lies in the future.
    #[must_use]
    pub fn days_since(self, earlier: Self) -> u64 {
        self.since(earlier).as_secs() / 86_400
    }

    /// Reads an RFC 3339 time such as GitHub sends; `None` when it is not one.
    #[must_use]
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        text.parse::<jiff::Timestamp>().ok().map(|at| Self(at.as_millisecond()))
    }
}

/// RFC 3339 in UTC with seconds, such as `2026-11-23T16:40:00Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(at) => write!(f, "{}", at.strftime("%Y-%m-%dT%H:%M:%SZ")),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

/// A day of the calendar, in UTC. As text, here and in every database, `2027-01-31`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Day(Date);

impl Day {
    /// The day of a point in time; of one that no calendar has, the first or the last day.
    #[must_use]
    pub fn of(at: Timestamp) -> Self {
        let end = if at.0 < 0 { Date::MIN } else { Date::MAX };
        Self(jiff::Timestamp::from_millisecond(at.0).map_or(end, |at| at.to_zoned(TimeZone::UTC).date()))
    }

    /// Whole days since `earlier`; zero when it lies in the future.
    #[must_use]
    pub fn days_since(self, earlier: Self) -> u64 {
        let days = self.0.duration_since(earlier.0).as_hours() / 24;
        u64::try_from(days).unwrap_or(0)
    }
}

/// A text that is no day of the calendar.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no day of the calendar such as 2027-01-31")]
pub struct NoDay(String);

impl FromStr for Day {
    type Err = NoDay;

    fn from_str(text: &str) -> Result<Self, NoDay> {
        let fits = |(at, byte): (usize, u8)| if matches!(at, 4 | 7) { byte == b'-' } else { byte.is_ascii_digit() };
        let written = text.len() == 10 && text.bytes().enumerate().all(fits);
        text.parse().ok().filter(|_| written).map(Self).ok_or_else(|| NoDay(text.to_owned()))
    }
}

impl TryFrom<String> for Day {
    type Error = NoDay;

    fn try_from(text: String) -> Result<Self, NoDay> {
        text.parse()
    }
}

impl From<Day> for String {
    fn from(day: Day) -> Self {
        day.to_string()
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where everything that acts gets the time from; injected, so that tests own it.
pub trait Clock: Send + Sync + 'static {
    /// The present.
    fn now(&self) -> Timestamp;
}
