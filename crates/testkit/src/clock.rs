//! The clock of tests: it stands still until a test moves it, or runs as fast as the world has nothing else to do.
//!
//! **Definition.** [`TestClock`] is a [`Clock`] with sleepers. A test moves it by hand ([`TestClock::advance`],
//! [`TestClock::set`]), or lets [`TestClock::drive`] move it to the next sleeper whenever the world is quiet.
//!
//! **Wanted properties.** Under a driver, sleepers that wait at the same time wait beside each other, as in real life;
//! hours pass in milliseconds; virtual time stands still while anything really happens: a task that can run, a request
//! on its way, a process at work. Sleepers wake in the order of their time, and of their coming where it is equal.
//!
//! **Design.** The driver is a task that gives way again and again. On a runtime of one thread everything that can run
//! gets its turn in between, sockets included, so after [`CALM_TURNS`] turns in which nothing went to sleep or began or
//! ended, nothing can run. What happens outside of that thread holds a [`Busy`]; a server's request holds one too and
//! sleeps its latency through it. A client's requests under way that no server has yet are told by the closure that
//! `drive` gets. So the world is quiet when nothing is busy and every request under way is asleep at a server.
//!
//! **Known races.** On a runtime with several threads giving way proves nothing: drive only on one thread. A request
//! whose client went away sleeps at the server until its connection is seen to be closed; during these microseconds
//! another request on its way can be taken for it, and time may move a little early. Both leave every order of events
//! possible in real life.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use backlog::time::{Clock, Timestamp};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// After how many turns of the scheduler without an event the world counts as quiet. The longest chain of wakes
/// between two events (connection, channel, body, caller) is about half of it.
const CALM_TURNS: u32 = 16;
/// After how many turns without quiet the driver begins to leave the processor to others.
const PATIENT_TURNS: u32 = 2_000;
/// After how long without quiet, in real time, the driver says on stderr what it waits for.
const STUCK: Duration = Duration::from_secs(10);

/// A clock that only moves by [`TestClock::advance`], [`TestClock::set`] and a driver. Share it as an `Arc`.
#[derive(Debug)]
pub struct TestClock {
    state: Mutex<State>,
    events: Notify,
}

#[derive(Debug, Default)]
struct State {
    now: Timestamp,
    /// By time of waking and order of coming.
    sleepers: BTreeMap<(Timestamp, u64), Waker>,
    /// Counts sleepers and beginnings and ends of [`Busy`], and so tells whether anything happened.
    happened: u64,
    busy: usize,
    dozing: usize,
}

impl State {
    fn happen(&mut self) -> u64 {
        self.happened += 1;
        self.happened
    }
}

impl TestClock {
    /// Where every new test clock stands: 2026-01-01T00:00:00Z.
    pub const START: Timestamp = Timestamp(1_767_225_600_000);

    /// A clock standing at [`TestClock::START`].
    #[must_use]
    pub fn new() -> Arc<Self> {
        Self::at(Self::START)
    }

    /// A clock standing at `now`.
    #[must_use]
    pub fn at(now: Timestamp) -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(State { now, ..State::default() }), events: Notify::new() })
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        self.set(self.now().plus(by));
    }

    /// Puts the clock to `now`, forward or back, and wakes whose time has come.
    pub fn set(&self, now: Timestamp) {
        let due: Vec<Waker> = {
            let mut state = self.state();
            state.now = now;
            state.happen();
            let later = state.sleepers.split_off(&(Timestamp(now.0.saturating_add(1)), 0));
            std::mem::replace(&mut state.sleepers, later).into_values().collect()
        };
        due.into_iter().for_each(Waker::wake);
    }

    /// Returns when the clock has moved by `time`, at once when that is nothing.
    pub async fn sleep(&self, time: Duration) {
        let (until, number) = {
            let mut state = self.state();
            (state.now.plus(time), state.happen())
        };
        let _place = Place { clock: self, key: (until, number) };
        poll_fn(|context| {
            let mut state = self.state();
            if state.now >= until {
                return Poll::Ready(());
            }
            state.sleepers.insert((until, number), context.waker().clone());
            self.events.notify_one();
            Poll::Pending
        })
        .await;
    }

    /// Says that something goes on outside of what the driver sees, until the result is dropped.
    #[must_use]
    pub fn busy(self: &Arc<Self>) -> Busy {
        let mut state = self.state();
        state.happen();
        state.busy += 1;
        Busy { clock: Arc::clone(self) }
    }

    /// Moves the clock to the next sleeper whenever the world is quiet, until the result is dropped. `under_way` counts
    /// the requests that clients have sent and not seen the answer of; with several clients, of all together.
    #[must_use]
    pub fn drive(self: &Arc<Self>, under_way: impl Fn() -> usize + Send + Sync + 'static) -> Driver {
        let clock = Arc::clone(self);
        Driver(tokio::spawn(async move {
            loop {
                clock.quiet(&under_way).await;
                let next = clock.state().sleepers.keys().next().map(|(at, _)| *at);
                match next {
                    Some(at) => clock.set(at),
                    None => clock.events.notified().await,
                }
            }
        }))
    }

    /// Returns when nothing can happen without time moving on.
    async fn quiet(&self, under_way: &impl Fn() -> usize) {
        let (mut calm, mut seen, mut turns) = (0, 0, 0);
        let mut told = Instant::now();
        while calm < CALM_TURNS {
            tokio::task::yield_now().await;
            turns += 1;
            let (happened, busy, dozing) = {
                let state = self.state();
                (state.happened, state.busy, state.dozing)
            };
            if happened != seen {
                (calm, seen) = (0, happened);
            } else if busy == 0 && under_way() <= dozing {
                calm += 1;
            } else {
                calm = 0;
                if turns > PATIENT_TURNS {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                if told.elapsed() > STUCK {
                    told = Instant::now();
                    let under_way = under_way();
                    eprintln!("virtual time stands: {busy} busy, {under_way} under way, {dozing} asleep at servers");
                }
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        self.state().now
    }
}

/// A sleeper's place; it is given up when the sleeper is dropped.
struct Place<'a> {
    clock: &'a TestClock,
    key: (Timestamp, u64),
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.clock.state();
        state.sleepers.remove(&self.key);
        state.happen();
    }
}

/// Something that goes on in real time; see [`TestClock::busy`].
#[derive(Debug)]
pub struct Busy {
    clock: Arc<TestClock>,
}

impl Busy {
    /// Virtual latency: meanwhile it is not busy, and its request counts as asleep.
    pub async fn sleep(&self, time: Duration) {
        let _doze = Doze::begin(&self.clock);
        self.clock.sleep(time).await;
    }

    /// Never returns: a request that hangs until its client goes away.
    pub async fn hang(&self) {
        let _doze = Doze::begin(&self.clock);
        std::future::pending::<()>().await;
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let mut state = self.clock.state();
        state.happen();
        state.busy -= 1;
    }
}

/// A [`Busy`] that is asleep at the moment.
struct Doze<'a>(&'a TestClock);

impl<'a> Doze<'a> {
    fn begin(clock: &'a TestClock) -> Self {
        let mut state = clock.state();
        state.happen();
        state.busy -= 1;
        state.dozing += 1;
        drop(state);
        Self(clock)
    }
}

impl Drop for Doze<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.happen();
        state.busy += 1;
        state.dozing -= 1;
    }
}

/// Moves a clock until it is dropped; see [`TestClock::drive`].
#[derive(Debug)]
pub struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests;
