//! The objects of a repository on this machine, read by this process: no program is started.
//!
//! *Definition.* [`Objects`] is a view of one object folder, with its packs, loose objects and alternates. Nothing else of
//! the repository is looked at: no configuration, no refs, no hooks, and nothing is ever written or fetched. See ADR 0015.
//!
//! *Wanted properties.* An object that is not here is told apart from one that is damaged. Whatever the objects hold, the
//! answer has a bound: an object takes at most [`MOST_MEMORY`], a tree at most [`MAX_FILES`](crate::MAX_FILES) files, also where
//! trees hold each other a thousand times. Whoever waits no longer ends the work at the next object.
//!
//! *Design.* The calls block; [`Git::with_objects`] runs them on a blocking thread, at most [`AT_ONCE`] of them, and makes
//! an error of a panic: the objects are somebody else's, and the reader is somebody else's too. Views are opened for one
//! call and see what was fetched meanwhile.
//!
//! *Known race.* A pack that goes away while it is read, because git repacks just then, stays readable: it is mapped. One
//! that goes before is looked for among the new packs.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use backlog::names::CommitId;
use gix_hash::ObjectId;
use gix_object::{Find as _, FindHeader as _, Kind};
use gix_odb::store::init::Options;
use gix_odb::{HandleArc, Store};
use gix_pack::cache::lru::MemoryCappedHashmap;

use crate::error::GitError;
use crate::process::Git;
use crate::read::Blob;

mod trees;

/// How objects are named; repositories with other names are not supported.
const HASH: gix_hash::Kind = gix_hash::Kind::Sha1;
/// The most bytes that one object, or another one that it is packed as a difference of, takes in memory.
pub(crate) const MOST_MEMORY: usize = 64 << 20;
/// How many views are read at once through one [`Git`].
pub(crate) const AT_ONCE: usize = 8;
/// Bytes of unpacked objects that a view keeps because others are packed as differences of them.
const BASES: usize = 8 << 20;

/// The objects of one repository. A clone has its own memory and may go to another thread. Calls block.
#[derive(Clone)]
pub struct Objects {
    handle: HandleArc,
    folder: Arc<PathBuf>,
    stop: Stop,
}

/// Says that nobody waits any more.
#[derive(Clone, Default)]
struct Stop(Arc<AtomicBool>);

/// Stops what was started when whoever waits for it goes away.
struct StopOnDrop(Stop);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}

impl Objects {
    /// The objects in `folder`, a repository's `objects`. Error: [`GitError::Io`].
    pub fn open(folder: PathBuf) -> Result<Self, GitError> {
        Self::stoppable(folder, Stop::default())
    }

    fn stoppable(folder: PathBuf, stop: Stop) -> Result<Self, GitError> {
        let options = Options { alloc_limit_bytes: Some(MOST_MEMORY), ..Options::default() };
        let store = Store::at_opts(folder.clone(), HASH, &mut std::iter::empty(), options)
            .map_err(|source| GitError::Io { path: folder.clone(), source })?;
        let handle = Arc::new(store).to_cache_arc().with_pack_cache(|| Box::new(MemoryCappedHashmap::new(BASES)));
        Ok(Self { handle, folder: Arc::new(folder), stop })
    }

    /// The same, not looking for new packs whenever an object is missing.
    pub(crate) fn without_refresh(mut self) -> Self {
        self.handle.refresh_never();
        self
    }

    /// Whether the commit is here. Error: [`GitError::Damaged`].
    pub fn has_commit(&self, commit: &CommitId) -> Result<bool, GitError> {
        let Some(oid) = id(commit.as_str()) else { return Ok(false) };
        Ok(matches!(self.header(&oid)?, Some((Kind::Commit, _))))
    }

    /// The size of a blob; `None` when no blob of this id is here. Error: [`GitError::Damaged`].
    pub fn size(&self, oid: &str) -> Result<Option<u64>, GitError> {
        let Some(oid) = id(oid) else { return Ok(None) };
        Ok(self.header(&oid)?.filter(|(kind, _)| *kind == Kind::Blob).map(|(_, size)| size))
    }

    /// Reads the blob `oid` of at most `max_bytes`. One that can only be unpacked with more than [`MOST_MEMORY`] is too
    /// large as well. Error: [`GitError::Damaged`].
    pub fn blob(&self, oid: &str, max_bytes: u64) -> Result<Blob, GitError> {
        let Some(oid) = id(oid) else { return Ok(Blob::Missing) };
        match self.header(&oid)? {
            Some((Kind::Blob, size)) if size > max_bytes => Ok(Blob::TooLarge(size)),
            Some((Kind::Blob, size)) => {
                let mut content = Vec::new();
                match self.handle.try_find(&oid, &mut content) {
                    Ok(Some(_)) => {}
                    Ok(None) => return Ok(Blob::Missing),
                    Err(error) if error.is_resource_exhausted() => return Ok(Blob::TooLarge(size)),
                    Err(error) => return Err(self.damaged(&oid, &error)),
                }
                Ok(Blob::Content(content))
            }
            _ => Ok(Blob::Missing),
        }
    }

    /// What kind of object this is, and its size.
    fn header(&self, oid: &ObjectId) -> Result<Option<(Kind, u64)>, GitError> {
        let header = self.handle.try_header(oid).map_err(|error| self.damaged(oid, &error))?;
        Ok(header.map(|header| (header.kind, header.size)))
    }

    /// Reads an object of this kind into `buffer`.
    fn object(&self, oid: &ObjectId, kind: Kind, buffer: &mut Vec<u8>) -> Result<(), GitError> {
        if self.stop.0.load(Ordering::Relaxed) {
            return Err(self.damaged(oid, &"nobody waits for it any more"));
        }
        match self.handle.try_find(oid, buffer).map_err(|error| self.damaged(oid, &error))? {
            Some(found) if found.kind == kind => Ok(()),
            Some(found) => Err(self.damaged(oid, &format!("it is a {} instead of a {kind}", found.kind))),
            None => Err(self.damaged(oid, &"it is missing")),
        }
    }

    fn damaged(&self, oid: &ObjectId, why: &dyn std::fmt::Display) -> GitError {
        GitError::Damaged { folder: self.folder.to_path_buf(), what: format!("object {oid}: {why}") }
    }
}

impl std::fmt::Debug for Objects {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Objects").field(&self.folder).finish()
    }
}

impl Git {
    /// Runs `work` on the objects in `folder`, on a blocking thread. Errors: those of `work`, [`GitError::Timeout`].
    pub(crate) async fn with_objects<T: Send + 'static>(
        &self,
        folder: &Path,
        work: impl FnOnce(Objects) -> Result<T, GitError> + Send + 'static,
    ) -> Result<T, GitError> {
        let turn = self.reading().acquire_owned().await.expect("the semaphore is never closed");
        let (stop, after, folder) = (StopOnDrop(Stop::default()), self.deadlines().network, folder.to_owned());
        let (inner, path) = (stop.0.clone(), folder.clone());
        let reading = tokio::task::spawn_blocking(move || {
            // Work that nobody waits for any more still counts.
            let _turn = turn;
            work(Objects::stoppable(path, inner)?)
        });
        match tokio::time::timeout(after, reading).await {
            Ok(Ok(done)) => done,
            Ok(Err(_)) => Err(GitError::Damaged { folder, what: "the reader failed on them".to_owned() }),
            Err(_) => Err(GitError::Timeout { command: format!("reading {}", folder.display()), after }),
        }
    }
}

/// Whether this is an object's name, not some other revision.
pub(crate) fn is_name(oid: &str) -> bool {
    id(oid).is_some()
}

fn id(oid: &str) -> Option<ObjectId> {
    ObjectId::from_hex(oid.as_bytes()).ok()
}

#[cfg(test)]
mod tests;
