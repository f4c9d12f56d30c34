//! Each rule of the governor, in virtual time: sleepers wait beside each other, and hours pass in milliseconds.

mod cancelled;
mod credit;
mod pauses;
mod processes;
mod rates;

use std::sync::Arc;

use futures::future::join_all;
use http::{HeaderMap, StatusCode};
use testkit::clock::{Driver, TestClock};

use super::record::Member;
use super::*;
use crate::github::limit::Limit;
use crate::github::tests::{MemoryLedger, seconds};

#[async_trait]
impl Sleep for TestClock {
    async fn sleep(&self, time: Duration) {
        TestClock::sleep(self, time).await;
    }
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap())).collect()
}

/// The headers of an answer of `core`.
fn told(limit: u64, remaining: u64, reset: Timestamp) -> HeaderMap {
    let (limit, remaining, reset) = (limit.to_string(), remaining.to_string(), (reset.0 / 1000).to_string());
    headers(&[
        ("x-ratelimit-limit", &limit),
        ("x-ratelimit-remaining", &remaining),
        ("x-ratelimit-reset", &reset),
        ("x-ratelimit-resource", "core"),
    ])
}

/// Processes of one actor, and the time that passes for them.
struct Bench {
    clock: Arc<TestClock>,
    ledger: Arc<MemoryLedger>,
    _driver: Driver,
}

impl Bench {
    fn new() -> Self {
        let clock = TestClock::new();
        let _driver = clock.drive(|| 0);
        Self { clock, ledger: Arc::default(), _driver }
    }

    /// One process's governor of the actor `user`.
    async fn governor(&self, limits: Limits) -> Governor {
        self.governor_of("user", limits).await
    }

    async fn governor_of(&self, actor: &str, limits: Limits) -> Governor {
        let sleep: Arc<dyn Sleep> = self.clock.clone();
        let governor = Governor::new(limits, self.ledger.clone(), Arc::default(), self.clock.clone(), sleep);
        governor.remember_under(actor.to_owned()).await.unwrap();
        governor
    }

    /// Milliseconds since the start.
    fn at(&self) -> u64 {
        u64::try_from(self.clock.now().since(TestClock::START).as_millis()).unwrap()
    }

    /// Sends one request that takes `takes`; gives the time at which it left, in milliseconds since the start.
    async fn send(&self, governor: &Governor, ask: impl Into<Ask>, takes: Duration) -> u64 {
        let permit = governor.admit(ask).await.unwrap_or_else(|failure| panic!("{failure:?}"));
        let at = self.at();
        self.clock.sleep(takes).await;
        governor.observe(&permit, StatusCode::OK, &HeaderMap::new()).await.unwrap();
        governor.succeeded(&permit).await.unwrap();
        at
    }

    /// The same, coming back when it is sent away.
    async fn insist(&self, governor: &Governor, ask: Ask, takes: Duration) -> u64 {
        loop {
            match governor.admit(ask.clone()).await {
                Ok(permit) => {
                    let at = self.at();
                    self.clock.sleep(takes).await;
                    governor.observe(&permit, StatusCode::OK, &HeaderMap::new()).await.unwrap();
                    governor.succeeded(&permit).await.unwrap();
                    return at;
                }
                Err(Failure::Limited { until }) => self.clock.sleep(until.since(self.clock.now())).await,
                Err(other) => panic!("{other:?}"),
            }
        }
    }

    /// Until when a request is refused; `None` when it may go.
    async fn refused(&self, governor: &Governor, ask: impl Into<Ask>) -> Option<u64> {
        match governor.admit(ask).await {
            Ok(_) => None,
            Err(Failure::Limited { until }) => Some(u64::try_from(until.since(TestClock::START).as_millis()).unwrap()),
            Err(other) => panic!("{other:?}"),
        }
    }
}

fn urgently(traffic: Traffic) -> Ask {
    Ask { priority: Priority::Urgent, ..Ask::from(traffic) }
}

/// The largest number of starts within any `window` milliseconds.
fn most_within(mut starts: Vec<u64>, window: u64) -> usize {
    starts.sort_unstable();
    let mut oldest = 0;
    let mut most = 0;
    for (at, start) in starts.iter().enumerate() {
        while start - starts[oldest] >= window {
            oldest += 1;
        }
        most = most.max(at - oldest + 1);
    }
    most
}
