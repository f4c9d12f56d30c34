//! The probe of the event loop.
//!
//! **Definition.** Lag is how much later than asked the event loop comes round. A timer of 100 ms measures its own
//! lateness; a plain thread outside the event loop asks it to answer, which also notices when no timer fires at all.

use std::collections::VecDeque;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::Site;

/// How often the timer fires.
const PERIOD: Duration = Duration::from_millis(100);
/// How often the thread asks.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// From this lag on the service is not ready.
pub(crate) const TOO_LATE: Duration = Duration::from_secs(1);
/// Samples kept: about a minute.
const SAMPLES: usize = 600;
/// Samples that count for readiness: about ten seconds.
const RECENT: usize = 100;

/// The lag of the last minute.
#[derive(Default)]
pub(crate) struct Lag(Mutex<VecDeque<Duration>>);

/// The distribution of lag.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Summary {
    /// Half of the samples were at most this late.
    pub(crate) p50: Duration,
    /// 99 of 100 samples were at most this late.
    pub(crate) p99: Duration,
    /// The latest.
    pub(crate) max: Duration,
    /// The latest of the last ten seconds.
    pub(crate) recent: Duration,
}

impl Lag {
    /// Takes one measurement.
    pub(crate) fn record(&self, late: Duration) {
        metrics::histogram!("ccm_event_loop_lag_seconds").record(late.as_secs_f64());
        let mut samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if samples.len() == SAMPLES {
            samples.pop_front();
        }
        samples.push_back(late);
    }

    /// The distribution of the last minute.
    pub(crate) fn summary(&self) -> Summary {
        let samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = samples.iter().rev().take(RECENT).max().copied().unwrap_or_default();
        let mut sorted: Vec<Duration> = samples.iter().copied().collect();
        drop(samples);
        sorted.sort_unstable();
        let at = |percent: usize| sorted.get((sorted.len() * percent / 100).min(sorted.len().saturating_sub(1)));
        let (p50, p99) = (at(50).copied().unwrap_or_default(), at(99).copied().unwrap_or_default());
        Summary { p50, p99, max: sorted.last().copied().unwrap_or_default(), recent }
    }

    /// The largest lag of each second of the last minute, oldest first.
    pub(crate) fn seconds(&self) -> Vec<Duration> {
        let samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let samples: Vec<Duration> = samples.iter().copied().collect();
        samples.chunks(10).map(|second| second.iter().max().copied().unwrap_or_default()).collect()
    }
}

/// Measures until the service stops.
pub(crate) async fn watch(site: Arc<Site>) {
    // The thread ends when this sender is dropped.
    let (_alive, ended) = mpsc::channel::<()>();
    let asking = std::thread::Builder::new().name("event-loop-watch".to_owned()).spawn({
        let (site, runtime) = (site.clone(), tokio::runtime::Handle::current());
        move || ask(&site, &runtime, &ended)
    });
    if let Err(error) = asking {
        tracing::warn!(error = %error, "the thread that watches the event loop could not be started");
    }
    loop {
        let due = Instant::now() + PERIOD;
        tokio::select! {
            () = tokio::time::sleep_until(due) => site.lag.record(due.elapsed()),
            () = site.stop.cancelled() => return,
        }
    }
}

/// The thread: asks the event loop to answer and takes the time.
fn ask(site: &Site, runtime: &tokio::runtime::Handle, ended: &mpsc::Receiver<()>) {
    while ended.recv_timeout(ASK_EVERY) == Err(RecvTimeoutError::Timeout) {
        let (answer, answered) = mpsc::channel();
        let asked = std::time::Instant::now();
        runtime.spawn(async move {
            let _ = answer.send(());
        });
        let mut result = answered.recv_timeout(TOO_LATE);
        if result == Err(RecvTimeoutError::Timeout) {
            tracing::warn!("the event loop has not answered for a second; something blocks it");
            result = answered.recv_timeout(Duration::from_secs(600));
        }
        if result == Err(RecvTimeoutError::Disconnected) {
            // The runtime has shut down.
            return;
        }
        site.lag.record(asked.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_is_of_the_last_minute_and_bounded() {
        let lag = Lag::default();
        assert_eq!(lag.summary(), Summary::default());
        lag.record(Duration::from_secs(9));
        for n in 1..=SAMPLES as u64 {
            lag.record(Duration::from_micros(n));
        }
        let summary = lag.summary();
        assert_eq!(summary.max, Duration::from_micros(600), "the nine seconds have left the window");
        assert_eq!((summary.p50, summary.p99), (Duration::from_micros(301), Duration::from_micros(595)));
        assert_eq!(lag.seconds().len(), 60);
    }
}
