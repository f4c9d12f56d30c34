//! The vocabulary and the rules of the backlog.
//!
//! **Definition.** Every word that the product uses about its work (repository, finding, task, approval, run,
//! check, verdict, event) is a type here, and every decision about them is a pure function here.
//!
//! **Wanted properties.** Nothing in this crate reads the time, a database, a file or the network; rules take
//! `now`. A state carries its data, a transition consumes the old state and may refuse.
//!
//! **Design.** [`names`] identify things, [`finding`]s are what discovery sees and
//! [`discovery`] compares with what is known, [`task`] holds the states and
//! their checked transitions, [`rank`] orders them, [`expect`] says what they are likely to take, [`room`] and [`quiet`] say how many are shown to people and when,
//! [`verdict`] and [`review`] judge runs and pull requests,
//! [`retry`] says when to try again, [`welcome`] where agents are not wanted, [`intent`] is a write to a code host before it is sent, [`delivery`] is what a code
//! host says has happened, [`event`] is the line of a timeline.

pub mod alert;
pub mod approval;
pub mod delivery;
pub mod discovery;
pub mod event;
pub mod expect;
pub mod finding;
pub mod intent;
pub mod names;
pub mod quiet;
pub mod rank;
pub mod retry;
pub mod review;
pub mod room;
pub mod run;
#[cfg(test)]
mod sample;
pub mod task;
pub mod time;
pub mod verdict;
pub mod welcome;
