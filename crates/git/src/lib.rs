//! Mirrors: change detection, blobs, checkouts, pushes, through the git program.
//!
//! *Definition.* A [`Mirror`] is a bare repository that follows one [`Remote`]; a [`Checkout`] is a disposable clone in
//! which an agent works; a [`Glance`] is what looks read a remote through, without history and with few blobs; a
//! [`LocalRepository`] is a developer's own folder. What writes or talks to a remote is the `git` program; [`Objects`] are
//! read here, and the question where a remote's branches are goes out by itself.
//!
//! *Wanted properties.*
//! - A secret reaches git only through an environment variable: never an argument, a file, a URL or an error.
//! - No call prompts, hangs beyond its deadline, leaves a process behind or answers with unbounded memory.
//! - Nothing that an agent writes into its checkout, its `.git` included, makes the service execute anything.
//! - Every call is safe to repeat, also after a crash between any two of its steps.
//!
//! *Design.* `process` starts git (environment, deadline, bounds); `error` says what went wrong as a branch that callers
//! take; `ls_refs` asks what moved; `objects` and `refs` read what is on the disk; `mirror`, `read`, `blame` and `push` are
//! the sides of a [`Mirror`]; `glance` is the small one beside it, `archive` a look that needs neither; `checkout` and `local`
//! are the work trees.
//!
//! *Known races.* A mirror's folder belongs to one service process: two would meet at git's own lock files and one
//! would fail; accepted, since data folders are not shared. A branch may move between asking for it and fetching it:
//! the fetched commit is what is reported. An agent that still runs while its checkout is committed gets committed as
//! far as it came; callers stop it first.

mod archive;
mod blame;
mod checkout;
mod error;
mod glance;
mod local;
mod ls_refs;
mod mirror;
mod objects;
mod pace;
mod process;
mod push;
mod read;
mod refs;
mod remote;
mod remove;
#[cfg(test)]
mod testing;

pub use archive::{Unfit, Unpacked, unpack};
pub use blame::Blame;
pub use checkout::{Author, Checkout};
pub use error::{GitError, Rejection};
pub use glance::Glance;
pub use local::{LocalRepository, MergeOutcome};
pub use ls_refs::RemoteHead;
pub use mirror::{Fetched, Mirror};
pub use objects::Objects;
pub use process::{Deadlines, Git, GitVersion, OLDEST_GIT};
pub use push::{Deleted, Pushed};
pub use read::{Blob, Change, ChangeStatus, Diff, DiffFile, MAX_DIFF_BYTES, MAX_FILES, Tree, TreeFile};
pub use remote::{Remote, RemoteAuth};
pub use remove::remove_folder;
