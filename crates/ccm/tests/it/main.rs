//! Stories: the whole service, a few lines a test.

#![allow(unreachable_pub, reason = "tests have no outside; `pub` says what a module offers to the others")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod alarms;
mod anomalies;
mod app;
mod bad_input;
mod decisions;
mod dry_run;
mod expectations;
mod grouping;
mod hardening;
mod init;
mod issues;
mod kill;
mod life;
mod line;
mod mortal;
mod origin;
mod parked;
mod proposals;
mod reading;
mod real;
mod rehearsal;
mod scan_command;
mod sources;
mod story;
mod sweep;
mod webhooks;
