//! Reading code: bytes in, findings out.
//!
//! **Definition.** From a path and the bytes of a file this crate tells which comments ask for work, and turns them
//! into findings with an identity. It also tells where functions are, what a manifest depends on, and what other tools
//! reported.
//!
//! **Wanted properties.** Any bytes are fine: nothing here panics, loops, or takes more than linear time. The same
//! bytes always yield the same findings. Only comments count, never code, strings or documentation strings.
//!
//! **Design.** [`Language`] is a row of a table: how a language writes comments and strings. [`comments`] is one lexer
//! that reads every language by its row. [`Selection`] says which files to read, groups the comments of one into blocks
//! and picks the lines that ask for work. [`findings`](fn@findings) gives them their identity.
//! [`functions`], [`manifest`] and [`sarif`] are readers of their own.

/// Grows with every change of what is found in the same bytes, so that earlier results are not taken for new ones.
pub const ENGINE_VERSION: u32 = 6;

mod findings;
pub mod functions;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod language;
mod lexer;
pub mod manifest;
pub mod sarif;
mod skip;
mod todo;

pub use findings::{FileTodos, findings};
pub use language::Language;
pub use lexer::{Comment, CommentKind, comments};
pub use skip::{InvalidPattern, MAX_FILE_BYTES, MAX_PATTERNS, Selection, Skip};
pub use todo::{InvalidTag, LeftOut, MAX_TAGS, Reason, Todo, TodoOptions};
