//! Quiet hours: a daily time in which nothing is written that nobody asked for.
//!
//! **Definition.** [`QuietHours`] is `22:00-07:00` in a [`Zone`]; [`QuietHours::end`] says whether a point in time lies
//! within, and when that ends.
//!
//! **Wanted properties.** The end lies in the future, also on the days on which a zone's clocks change. The zones are
//! built into the program, so that the same settings mean the same everywhere.

#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

use jiff::civil::Time;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, ToSpan as _};
use serde::{Deserialize, Serialize};

use crate::names::InvalidName;
use crate::time::Timestamp;

/// A daily time, from the first minute to before the last; over midnight when it ends before it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct QuietHours {
    from: Time,
    to: Time,
}

impl QuietHours {
    /// When the quiet hours end in which `now` lies; `None` outside of them.
    #[must_use]
    pub fn end(&self, zone: &Zone, now: Timestamp) -> Option<Timestamp> {
        let instant = jiff::Timestamp::from_millisecond(now.0).ok()?;
        let here = instant.to_zoned(zone.0.clone());
        let time = here.time();
        let over_midnight = self.to < self.from;
        let quiet = match over_midnight {
            false => self.from <= time && time < self.to,
            true => self.from <= time || time < self.to,
        };
        if !quiet {
            return None;
        }
        let date =
            if over_midnight && time >= self.from { here.date().checked_add(1.day()).ok()? } else { here.date() };
        let end = date.to_datetime(self.to).to_zoned(zone.0.clone()).ok()?.timestamp();
        // In the hour that a clock goes through twice, the end may be the earlier one of two.
        let end = if end > instant { end } else { instant + SignedDuration::from_mins(1) };
        Some(Timestamp(end.as_millisecond()))
    }
}

impl FromStr for QuietHours {
    type Err = InvalidName;
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let time = |text: &str| {
            let (hour, minute) = text.trim().split_once(':')?;
            let digits = |part: &str| part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit());
            let valid = digits(hour) && digits(minute);
            Time::new(hour.parse().ok().filter(|_| valid)?, minute.parse().ok()?, 0, 0).ok()
        };
        let hours = text.split_once('-').and_then(|(from, to)| Some(Self { from: time(from)?, to: time(to)? }));
        hours.filter(|hours| hours.from != hours.to).ok_or_else(|| InvalidName {
            text: text.chars().take(120).collect(),
            expected: "a daily time such as 22:00-07:00",
        })
    }
}

impl fmt::Display for QuietHours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to } = self;
        write!(f, "{:02}:{:02}-{:02}:{:02}", from.hour(), from.minute(), to.hour(), to.minute())
    }
}

impl TryFrom<String> for QuietHours {
    type Error = InvalidName;
    fn try_from(text: String) -> Result<Self, InvalidName> {
        text.parse()
    }
}

impl From<QuietHours> for String {
    fn from(hours: QuietHours) -> Self {
        hours.to_string()
    }
}

/// A time zone of the IANA list, such as `Europe/Berlin`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Zone(TimeZone);

impl Default for Zone {
    fn default() -> Self {
        Self(TimeZone::UTC)
    }
}

impl FromStr for Zone {
    type Err = InvalidName;
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        TimeZoneDatabase::bundled().get(text).map(Self).map_err(|_| InvalidName {
            text: text.chars().take(120).collect(),
            expected: "a time zone such as Europe/Berlin or UTC",
        })
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.iana_name().unwrap_or("UTC"))
    }
}

impl TryFrom<String> for Zone {
    type Error = InvalidName;
    fn try_from(text: String) -> Result<Self, InvalidName> {
        text.parse()
    }
}

impl From<Zone> for String {
    fn from(zone: Zone) -> Self {
        zone.to_string()
    }
}
