//! Real processes: scripted agents in real sandboxes.
#![allow(clippy::unwrap_used, reason = "a test may panic, and so may what it is built from")]

mod checks;
mod harness;
mod sandboxes;
mod sessions;
