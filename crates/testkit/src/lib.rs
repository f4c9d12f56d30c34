//! Fakes and harness for the tests.

pub mod clock;
pub mod counterparts;
pub mod emulator;
pub mod fuzz;
pub mod github;
pub mod judge;
pub mod model;
mod program;
pub mod registries;
pub mod scissors;
