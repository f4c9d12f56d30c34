//! What looks read a repository through: the trees of its default branch, and the blobs that somebody wants.
//!
//! *Definition.* A [`Glance`] of a remote over the network is a bare repository of its own, beside the [`Mirror`] that
//! runs borrow from: it holds the trees of the default branch's commits that were looked at, without history, the small
//! blobs that changed from one to the next, and then the blobs that were asked for. A glance of a folder of this machine is
//! its mirror, which is whole.
//!
//! *Wanted properties.* A look costs what changed: one small request when nothing did, one fetch of the changed trees with
//! their changed blobs, and one of the other blobs wanted, if any, however many. No call fetches an object by itself.
//! Nothing can borrow from a glance, and a glance may be thrown away at any time. What one fetch brings has a bound.
//!
//! *Design.* Only the call that fetches is told of a promisor remote, by its environment; for every other one a missing
//! blob is simply missing. A server that does not filter sends all blobs of the commit, which is right as well. One
//! that refuses single objects is noted in the folder, and from then on all blobs of the commit are fetched from it.
//!
//! *Known race.* A commit that a force push takes away between the two fetches: the blobs are still asked for by their
//! ids, which servers keep for a while; else the look fails and the next one reads the new commit.

use std::path::PathBuf;

use backlog::names::CommitId;

use crate::blame::Blame;
use crate::error::GitError;
use crate::mirror::{Extent, Fetched, Mirror};
use crate::process::{Call, Git};
use crate::read::{Blob, Change, Tree};
use crate::remote::Remote;
use crate::remove::{io_error, remove_folder};

/// Blobs that are asked for in one request: 50 bytes each.
const BATCH: usize = 5_000;
/// Blobs of fewer bytes come with the trees of a later commit, as far as they changed. Sources read no larger ones.
const SMALL: u64 = (1 << 20) + 1;
/// The most bytes of such trees and blobs; with more, the blobs that are wanted are asked for by their ids.
const CHANGED_BYTES: u64 = 64 << 20;
/// Packs after which a glance is made anew, which is cheaper than packing it.
const PACKS: usize = 64;
/// The most bytes that one fetch brings.
pub(crate) const FETCH_BYTES: u64 = 2 << 30;
/// The file in a glance's folder that says that its remote gives no single objects.
const UNFILTERED: &str = "ccm-unfiltered";

/// A glance. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Glance {
    mirror: Mirror,
}

impl Git {
    /// The glance of `remote`: in the folder `partial` for one on the network, else the mirror in the folder `whole`.
    /// Errors as for [`Git::open_mirror`].
    pub async fn open_glance(&self, partial: PathBuf, whole: PathBuf, remote: Remote) -> Result<Glance, GitError> {
        let (dir, extent) =
            if remote.is_on_the_network() { (partial, Extent::Partial) } else { (whole, Extent::Whole) };
        Ok(Glance { mirror: self.open(dir, remote, extent).await? })
    }
}

impl Glance {
    /// Brings the trees up to the remote's default branch, with one request when nothing has moved. Errors: those of the
    /// network, [`GitError::NoDefaultBranch`], [`GitError::TooLarge`].
    pub async fn fetch(&self) -> Result<Fetched, GitError> {
        self.mirror.fetch().await
    }

    /// See [`Mirror::files`]; without sizes for a remote on the network.
    pub async fn files(&self, commit: &CommitId) -> Result<Tree, GitError> {
        self.mirror.files(commit).await
    }

    /// See [`Mirror::changed`].
    pub async fn changed(&self, from: &CommitId, to: &CommitId) -> Result<Vec<Change>, GitError> {
        self.mirror.changed(from, to).await
    }

    /// See [`Mirror::contains`].
    pub async fn contains(&self, commit: &CommitId) -> Result<bool, GitError> {
        self.mirror.contains(commit).await
    }

    /// Fetches those of the blobs that are not here, all in one request. Errors: those of the network,
    /// [`GitError::TooLarge`].
    pub async fn bring(&self, oids: &[String]) -> Result<(), GitError> {
        if self.mirror.extent == Extent::Partial {
            for batch in self.mirror.missing(oids).await?.chunks(BATCH) {
                self.mirror.fetch_blobs(batch).await?;
            }
        }
        Ok(())
    }

    /// See [`Mirror::read_blobs`]; what was not brought may be missing.
    pub async fn read_blobs(
        &self,
        oids: &[String],
        max_bytes: u64,
        each: impl FnMut(usize, Blob) + Send,
    ) -> Result<(), GitError> {
        self.mirror.read_blobs(oids, max_bytes, each).await
    }

    /// Whether more than the last commit is here.
    #[must_use]
    pub fn has_history(&self) -> bool {
        self.mirror.extent == Extent::Whole
    }

    /// See [`Mirror::blame`]; `None` for a remote on the network, of which no history is here.
    pub async fn blame(&self, commit: &CommitId, path: &str, line: u64) -> Result<Option<Blame>, GitError> {
        match self.mirror.extent {
            Extent::Partial => Ok(None),
            Extent::Whole => self.mirror.blame(commit, path, line).await,
        }
    }

    /// Keeps it small. A mirror is packed; what was only looked through is made anew by the next look.
    pub async fn maintain(&self) -> Result<(), GitError> {
        match self.mirror.extent {
            Extent::Whole => self.mirror.maintain().await,
            Extent::Partial => {
                let _writing = self.mirror.write().await?;
                let folder = self.mirror.objects_dir().join("pack");
                let mut entries = tokio::fs::read_dir(&folder).await.map_err(io_error(&folder))?;
                let mut packs = 0;
                while let Some(entry) = entries.next_entry().await.map_err(io_error(&folder))? {
                    packs += usize::from(entry.path().extension().is_some_and(|extension| extension == "pack"));
                }
                if packs > PACKS { remove_folder(self.mirror.dir()).await } else { Ok(()) }
            }
        }
    }
}

impl Mirror {
    /// Fetches the trees of a branch's commit, and with those of a later one the blobs that changed.
    pub(crate) async fn fetch_trees(&self, refspec: &str) -> Result<(), GitError> {
        if self.is_unfiltered().await? {
            return self.fetch_filtered("--no-filter", self.fetch_bytes, refspec).await;
        }
        if self.head().await?.is_some() {
            let small = format!("--filter=blob:limit={SMALL}");
            match self.fetch_filtered(&small, self.fetch_bytes.min(CHANGED_BYTES), refspec).await {
                // Too much has changed: what is wanted of it is asked for afterwards.
                Err(GitError::TooLarge { .. }) => {}
                done => return done,
            }
        }
        self.fetch_filtered("--filter=blob:none", self.fetch_bytes, refspec).await
    }

    async fn fetch_filtered(&self, filter: &str, most: u64, refspec: &str) -> Result<(), GitError> {
        let call = self.promised().at_most(most).arg("--depth=1").arg(filter);
        call.arg("--").arg("origin").arg(refspec).ok().await.map(drop)
    }

    /// Fetches blobs by their ids with one request.
    async fn fetch_blobs(&self, oids: &[String]) -> Result<(), GitError> {
        let _writing = self.write().await?;
        if self.is_unfiltered().await? {
            return Ok(());
        }
        // There is nothing to negotiate about blobs.
        let call = self.promised().config("fetch.negotiationAlgorithm", "noop");
        let wanted = format!("{}\n", oids.join("\n")).into_bytes();
        let refused = match call.arg("--filter=blob:none").arg("--stdin").arg("origin").stdin(wanted).ok().await {
            Err(GitError::Failed { stderr, .. }) if gives_no_objects(&stderr) => stderr,
            done => return done.map(drop),
        };
        tracing::info!(remote = self.remote.url, refused, "it gives no single objects; all files are fetched from it");
        let Some(branch) = self.default_branch().await? else { return Ok(()) };
        let refspec = format!("+refs/heads/{branch}:refs/remotes/origin/{branch}");
        let again = self.promised().arg("--refetch").arg("--depth=1").arg("--no-filter").arg("--").arg("origin");
        again.arg(refspec).ok().await?;
        let marker = self.dir().join(UNFILTERED);
        tokio::fs::write(&marker, "").await.map_err(io_error(&marker))
    }

    async fn is_unfiltered(&self) -> Result<bool, GitError> {
        let marker = self.dir().join(UNFILTERED);
        tokio::fs::try_exists(&marker).await.map_err(io_error(&marker))
    }

    /// A fetch from a remote that has promised all objects that are not here.
    fn promised(&self) -> Call {
        self.fetch_call()
            .config("remote.origin.url", &self.remote.url)
            .config("remote.origin.promisor", "true")
            .at_most(self.fetch_bytes)
    }
}

/// Whether a server says that it gives no objects by their ids.
fn gives_no_objects(stderr: &str) -> bool {
    ["not our ref", "unadvertised object"].iter().any(|words| stderr.contains(words))
}

#[cfg(test)]
mod tests;
