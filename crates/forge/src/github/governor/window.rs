//! When something was done within the last hour.
//!
//! **Definition.** A [`Window`] says when a rolling window has room for one more.
//!
//! **Wanted properties.** Never earlier than the rolling window allows. Its size follows from the hour, not from how much
//! was done: it is stored with every write.
//!
//! **Design.** What was done within one second is kept as one entry, under its latest time: then it counts for up to a
//! second longer than it has to.

use std::collections::VecDeque;
use std::time::Duration;

use backlog::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::HOUR;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Window(VecDeque<(Timestamp, u32)>);

impl Window {
    /// When `window`, at most an hour, has room for one more, with room for `most` at all; in the past when it has now.
    pub(super) fn opens(&self, most: usize, window: Duration) -> Timestamp {
        let mut newer = 0;
        for (at, count) in self.0.iter().rev() {
            newer += *count as usize;
            if newer >= most.max(1) {
                return at.plus(window);
            }
        }
        Timestamp::default()
    }

    /// Notes one more; what is older than an hour is forgotten.
    pub(super) fn book(&mut self, now: Timestamp) {
        while self.0.front().is_some_and(|(at, _)| now.since(*at) >= HOUR) {
            self.0.pop_front();
        }
        match self.0.back_mut() {
            Some((at, count)) if at.0.div_euclid(1000) == now.0.div_euclid(1000) => {
                (*at, *count) = (now.max(*at), count.saturating_add(1));
            }
            _ => self.0.push_back((now, 1)),
        }
    }

    /// How many there were within `window` before `now`, and when the first of them was.
    pub(super) fn count(&self, window: Duration, now: Timestamp) -> (u64, Option<Timestamp>) {
        let recent = self.0.iter().filter(|(at, _)| now.since(*at) < window);
        (recent.clone().map(|(_, count)| u64::from(*count)).sum(), recent.map(|(at, _)| *at).next())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use backlog::time::Timestamp;

    use super::Window;

    #[test]
    fn it_is_never_early_by_a_moment_nor_late_by_more_than_a_second() {
        for step in [1, 7, 350, 999, 1_000, 3_000] {
            let (mut window, mut exact) = (Window::default(), Vec::new());
            for n in 0..5_000 {
                let now = Timestamp(1_700_000_000_123 + n * step);
                window.book(now);
                exact.push(now);
                if let Some(at) = exact.len().checked_sub(80) {
                    let (opens, due) = (window.opens(80, Duration::from_secs(60)), exact[at].0 + 60_000);
                    assert!((due..due + 1_000).contains(&opens.0), "step {step}, {n}: {opens:?} for {due}");
                }
            }
            assert!(window.0.len() <= 3_601, "step {step}: {}", window.0.len());
        }
    }
}
