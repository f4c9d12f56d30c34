//! Fakes and harness for the tests.

pub mod counterparts;
