//! What the benchmarks measure alone: the governor without a request.

use std::sync::Arc;

use backlog::time::Clock;
use http::{HeaderMap, HeaderValue, StatusCode};

use super::governor::{Governor, Limits, RealSleep, Traffic};
use crate::Ledger;

/// A governor of one actor whose requests are answered at once.
pub struct Admissions {
    governor: Governor,
    answer: HeaderMap,
}

impl Admissions {
    /// Over this ledger, alone on its actor.
    ///
    /// # Errors
    /// A text that says why, when the ledger fails.
    pub async fn new(limits: Limits, ledger: Arc<dyn Ledger>, clock: Arc<dyn Clock>) -> Result<Self, String> {
        let breaker = Arc::default();
        let reset = clock.now().0 / 1000 + 3600;
        let governor = Governor::new(limits, ledger, breaker, clock, Arc::new(RealSleep));
        governor.remember_under("user:bench:1".to_owned()).await.map_err(|error| error.to_string())?;
        let mut answer = HeaderMap::new();
        answer.insert("x-ratelimit-limit", HeaderValue::from_static("15000"));
        answer.insert("x-ratelimit-remaining", HeaderValue::from_static("14000"));
        answer.insert("x-ratelimit-resource", HeaderValue::from_static("core"));
        answer.insert("x-ratelimit-reset", HeaderValue::from(reset));
        Ok(Self { governor, answer })
    }

    /// One read: admitted, its answer taken into account.
    ///
    /// # Errors
    /// A text that says why, when it is not admitted at once.
    pub async fn pass(&self) -> Result<(), String> {
        let permit = self.governor.admit(Traffic::Read).await.map_err(|failure| format!("{failure:?}"))?;
        self.governor.observe(&permit, StatusCode::OK, &self.answer).await.map_err(|error| error.to_string())?;
        self.governor.succeeded(&permit).await.map_err(|error| error.to_string())
    }
}
