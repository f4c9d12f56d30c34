//! Fakes and harness for the tests.

pub mod clock;
pub mod counterparts;
pub mod github;
pub mod model;
