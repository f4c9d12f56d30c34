//! How long answers take, and in which time they wait.
//!
//! Real waiting goes by tokio's clock. Virtual waiting goes by a [`TestClock`] with a driver: hours pass in
//! milliseconds, and how long an answer took can be measured on the clock.

use std::sync::Arc;
use std::time::Duration;

use super::faults;
use crate::clock::{Busy, TestClock};

/// How long the routes take.
#[derive(Debug, Default)]
pub(super) struct Latencies(Vec<(String, Duration)>);

impl Latencies {
    /// From now on requests of this route (see [`super::Fault::on`]; empty means all) take so long.
    pub(super) fn set(&mut self, route: &str, time: Duration) {
        self.0.retain(|(have, _)| have != route);
        self.0.push((route.to_owned(), time));
    }

    /// How long a request takes: what was said last about a route of its kind, a route by name before all.
    pub(super) fn of(&self, method: &str, template: &str) -> Duration {
        let fits = |(route, _): &&(String, Duration)| faults::matches(route, method, template);
        let named = self.0.iter().rev().filter(|(route, _)| !route.is_empty()).find(fits);
        named.or_else(|| self.0.iter().find(|(route, _)| route.is_empty())).map_or(Duration::ZERO, |(_, time)| *time)
    }
}

/// The waiting of one request.
#[derive(Debug)]
pub(super) struct Waiting(Option<Busy>);

impl Waiting {
    /// Begins to answer a request.
    pub(super) fn begin(clock: Option<&Arc<TestClock>>) -> Self {
        Self(clock.map(TestClock::busy))
    }

    /// Whether time is virtual.
    pub(super) fn is_virtual(&self) -> bool {
        self.0.is_some()
    }

    /// Returns after so much time.
    pub(super) async fn sleep(&self, time: Duration) {
        match &self.0 {
            _ if time.is_zero() => {}
            Some(busy) => busy.sleep(time).await,
            None => tokio::time::sleep(time).await,
        }
    }

    /// Never returns.
    pub(super) async fn hang(&self) {
        match &self.0 {
            Some(busy) => busy.hang().await,
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_by_name_goes_before_all_routes() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.of("GET", "/user"), Duration::ZERO);
        latencies.set("POST /graphql", Duration::from_millis(900));
        latencies.set("", Duration::from_millis(50));
        let table = [("GET", "/user", 50), ("POST", "/graphql", 900)];
        for (method, template, expected) in table {
            assert_eq!(latencies.of(method, template), Duration::from_millis(expected));
        }
    }
}
