//! What one run has spent and may spend.
//!
//! **Definition.** A [`Ledger`] holds a run's budget, its usage and what open requests have reserved. A
//! [`Reservation`] is one open request's part of it.
//!
//! **Wanted properties.** No request starts once the budget is spent. Open requests together never promise more than
//! the budget, except that one request alone may always start: its price is known only afterwards, and an agent that
//! could never use the last part of its budget would be capped twice. So the overspend is at most that of one request,
//! and a streamed request is cut as soon as what it has visibly cost reaches the budget (see `relay`).
//!
//! **Design.** One mutex, never held across an await; a watch channel publishes each change, and those who wait for
//! room (their reservation does not fit beside the others) wait on it. A reservation shrinks as its real cost is
//! charged, and what is left of it is released when it is dropped, whichever way the request ended.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::price::{Tariff, Tokens};

/// What a run has used so far, open requests included as far as their tokens are known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Input tokens that no cache knew.
    pub input_tokens: u64,
    /// Output tokens, thinking included.
    pub output_tokens: u64,
    /// Input tokens read from the cache.
    pub cache_read: u64,
    /// Input tokens written to the cache.
    pub cache_write: u64,
    /// The cost at list prices, in micro-USD.
    pub cost_micro_usd: u64,
    /// Requests that were passed on to the model API.
    pub requests: u64,
    /// Requests that were refused here.
    pub refused: u64,
}

impl Usage {
    fn replace(&mut self, old: (&Tokens, u64), new: (&Tokens, u64)) {
        let swap = |total: &mut u64, old: u64, new: u64| *total = total.saturating_sub(old).saturating_add(new);
        let writes = |tokens: &Tokens| tokens.cache_write.saturating_add(tokens.cache_write_hour);
        swap(&mut self.input_tokens, old.0.input, new.0.input);
        swap(&mut self.output_tokens, old.0.output, new.0.output);
        swap(&mut self.cache_read, old.0.cache_read, new.0.cache_read);
        swap(&mut self.cache_write, writes(old.0), writes(new.0));
        swap(&mut self.cost_micro_usd, old.1, new.1);
    }
}

struct Book {
    usage: Usage,
    budget: u64,
    /// What open requests may still cost beyond what is in `usage` already.
    reserved: u64,
    /// How many requests are open.
    open: usize,
}

/// The account of one run.
pub(crate) struct Ledger {
    book: Mutex<Book>,
    published: watch::Sender<Usage>,
}

/// The budget is spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spent {
    pub(crate) budget: u64,
    pub(crate) usage: Usage,
}

enum Admission {
    Granted,
    Spent(Spent),
    NoRoomYet,
}

impl Ledger {
    /// An account with `budget` micro-USD and nothing spent.
    pub(crate) fn new(budget: u64) -> Self {
        let book = Book { usage: Usage::default(), budget, reserved: 0, open: 0 };
        Self { book: Mutex::new(book), published: watch::Sender::new(Usage::default()) }
    }

    pub(crate) fn usage(&self) -> Usage {
        self.book().usage
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Usage> {
        self.published.subscribe()
    }

    /// Sets the budget if it is higher than the present one.
    pub(crate) fn raise_budget(&self, budget: u64) {
        self.change(|book| book.budget = book.budget.max(budget));
    }

    pub(crate) fn count_request(&self) {
        self.change(|book| book.usage.requests += 1);
    }

    pub(crate) fn count_refusal(&self) {
        self.change(|book| book.usage.refused += 1);
    }

    /// The budget and the usage, if the budget is spent.
    pub(crate) fn spent(&self) -> Option<Spent> {
        let book = self.book();
        (book.usage.cost_micro_usd >= book.budget).then_some(Spent { budget: book.budget, usage: book.usage })
    }

    /// Waits until a request that may cost `estimate` fits beside the open ones.
    pub(crate) async fn admit(self: &Arc<Self>, tariff: Tariff, estimate: u64) -> Result<Reservation, Spent> {
        loop {
            let mut changes = self.published.subscribe(); // before the look, so that no change is missed
            match self.try_admit(estimate) {
                Admission::Granted => {
                    let ledger = Arc::clone(self);
                    return Ok(Reservation { ledger, tariff, reserved: estimate, tokens: Tokens::default(), cost: 0 });
                }
                Admission::Spent(spent) => return Err(spent),
                Admission::NoRoomYet => changes.changed().await.expect("the sender lives in self"),
            }
        }
    }

    fn try_admit(&self, estimate: u64) -> Admission {
        if let Some(spent) = self.spent() {
            return Admission::Spent(spent);
        }
        let mut book = self.book();
        let promised = book.usage.cost_micro_usd.saturating_add(book.reserved).saturating_add(estimate);
        if book.open > 0 && promised > book.budget {
            return Admission::NoRoomYet;
        }
        book.open += 1;
        book.reserved = book.reserved.saturating_add(estimate);
        Admission::Granted
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, act: impl FnOnce(&mut Book)) {
        let usage = {
            let mut book = self.book();
            act(&mut book);
            self.published.send_replace(book.usage);
            book.usage
        };
        tracing::trace!(cost_micro_usd = usage.cost_micro_usd, requests = usage.requests, "usage changed");
    }
}

/// One open request's part of a ledger.
pub(crate) struct Reservation {
    ledger: Arc<Ledger>,
    tariff: Tariff,
    reserved: u64,
    tokens: Tokens,
    cost: u64,
}

impl Reservation {
    /// Says what the request has used so far; replaces what was said before.
    pub(crate) fn charge(&mut self, tokens: Tokens) {
        if tokens == self.tokens {
            return;
        }
        let cost = self.tariff.cost(&tokens);
        let (old, new) = ((&self.tokens, self.cost), (&tokens, cost));
        let (was, is) = (self.reserved.saturating_sub(self.cost), self.reserved.saturating_sub(cost));
        self.ledger.change(|book| {
            book.usage.replace(old, new);
            book.reserved = book.reserved.saturating_sub(was).saturating_add(is);
        });
        (self.tokens, self.cost) = (tokens, cost);
    }

    /// The ledger's state, if its budget is spent.
    pub(crate) fn spent(&self) -> Option<Spent> {
        self.ledger.spent()
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let rest = self.reserved.saturating_sub(self.cost);
        self.ledger.change(|book| {
            book.reserved = book.reserved.saturating_sub(rest);
            book.open = book.open.saturating_sub(1);
        });
        let Tokens { input, output, cache_read, cache_write, cache_write_hour, searches: _ } = self.tokens;
        let writes = cache_write.saturating_add(cache_write_hour);
        for (kind, count) in [("input", input), ("output", output), ("cache_read", cache_read), ("cache_write", writes)]
        {
            metrics::counter!("ccm_agent_tokens_total", "kind" => kind).increment(count);
        }
        // Counters of the facade are whole numbers; a gauge that only grows carries the fractions of a USD.
        metrics::gauge!("ccm_agent_cost_usd_total").increment(self.cost as f64 / 1e6);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::FutureExt;

    use super::{Ledger, Spent};
    use crate::price::{Tariff, Tokens};

    fn tariff() -> Tariff {
        Tariff::of("claude-opus-4-8", false, &[]) // 25 micro-USD for an output token
    }

    fn output(output: u64) -> Tokens {
        Tokens { output, ..Tokens::default() }
    }

    #[tokio::test]
    async fn one_request_may_always_start_and_the_next_waits_until_it_fits() {
        let ledger = Arc::new(Ledger::new(1_000));
        let mut first = ledger.admit(tariff(), 5_000).await.map_err(|_| "spent").unwrap();
        let mut second = Box::pin(ledger.admit(tariff(), 500));
        assert!((&mut second).now_or_never().is_none());
        first.charge(output(10));
        assert!((&mut second).now_or_never().is_none());
        drop(first);
        assert!((&mut second).now_or_never().is_some_and(|admitted| admitted.is_ok()));
        assert_eq!(ledger.usage().cost_micro_usd, 250);
    }

    #[tokio::test]
    async fn a_waiting_request_is_refused_when_the_budget_is_spent_meanwhile_and_admitted_when_it_is_raised() {
        let ledger = Arc::new(Ledger::new(1_000));
        let mut first = ledger.admit(tariff(), 900).await.map_err(|_| "spent").unwrap();
        let mut waiting = Box::pin(ledger.admit(tariff(), 500));
        assert!((&mut waiting).now_or_never().is_none());
        first.charge(output(40));
        let refused = (&mut waiting).now_or_never().and_then(Result::err);
        assert_eq!(refused, Some(Spent { budget: 1_000, usage: ledger.usage() }));
        ledger.raise_budget(500); // lower: changes nothing
        assert!(ledger.admit(tariff(), 500).now_or_never().is_some_and(|admitted| admitted.is_err()));
        ledger.raise_budget(2_000);
        assert!(ledger.admit(tariff(), 500).now_or_never().is_some_and(|admitted| admitted.is_ok()));
    }

    #[tokio::test]
    async fn a_later_charge_replaces_the_earlier_one_and_the_watch_sees_it() {
        let ledger = Arc::new(Ledger::new(1_000_000));
        let seen = ledger.subscribe();
        let mut open = ledger.admit(tariff(), 100).await.map_err(|_| "spent").unwrap();
        open.charge(output(50)); // an estimate
        open.charge(Tokens { input: 4, output: 40, cache_read: 3, cache_write: 2, cache_write_hour: 1, searches: 0 });
        let usage = *seen.borrow();
        assert_eq!((usage.input_tokens, usage.output_tokens, usage.cache_read, usage.cache_write), (4, 40, 3, 3));
        drop(open);
        assert_eq!(*seen.borrow(), usage);
        let book = ledger.book();
        assert_eq!((book.reserved, book.open), (0, 0));
    }
}
