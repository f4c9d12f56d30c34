//! The files of a repository at one commit, and the way to what is in them.
//!
//! **Wanted properties.** What is wanted is brought in one request, however many files. A small text file that was read
//! once, in whichever repository, is not brought again.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Result;
use backlog::names::{BranchName, CommitId, RepoName, digest};
use git::{Blame, Blob, Change, GitError, Glance, TreeFile};
use scan::Selection;

use super::glance;
use super::look::BadPolicy;
use crate::Context;
use crate::settings::{POLICY_PATH, RepositoryPolicy};

/// The largest `.gitattributes` or policy that is read, in bytes.
const SMALL: u64 = 64 << 10;
/// How many `.gitattributes` of a repository are read.
const ATTRIBUTES: usize = 1_000;

/// The files of one commit.
pub struct Content {
    /// The head of the default branch.
    pub commit: CommitId,
    /// The default branch.
    pub default_branch: BranchName,
    /// The files of that commit; sizes are 0 where they are not known.
    pub files: Vec<TreeFile>,
    glance: Glance,
}

impl Content {
    /// What is in a repository now; `None` when it has no commits.
    ///
    /// # Errors
    /// When the code host or git refuses.
    pub(super) async fn now(ctx: &Arc<Context>, name: &RepoName) -> Result<Option<Self>> {
        let glance = glance(ctx, name).await?;
        let fetched = glance.fetch().await?;
        let Some(commit) = fetched.head else { return Ok(None) };
        let tree = glance.files(&commit).await?;
        if tree.truncated {
            let most = tree.files.len();
            tracing::warn!(repository = %name, "it has more than {most} files; only the first {most} are looked at");
        }
        Ok(Some(Self { commit, default_branch: fetched.default_branch, files: tree.files, glance }))
    }

    /// Has the contents of `oids` here, so that [`Content::read`] finds them.
    ///
    /// # Errors
    /// When the code host or git refuses.
    pub(super) async fn bring(&self, oids: &[String]) -> Result<()> {
        Ok(self.glance.bring(oids).await?)
    }

    /// Hands the contents of `oids` to `each` with their places in it, one after the other, in any order.
    ///
    /// # Errors
    /// When git fails.
    pub(super) async fn read(
        &self,
        oids: &[String],
        max_bytes: u64,
        each: impl FnMut(usize, Blob) + Send,
    ) -> Result<()> {
        Ok(self.glance.read_blobs(oids, max_bytes, each).await?)
    }

    /// What differs from an earlier commit; `None` when that is not here any more.
    ///
    /// # Errors
    /// When git fails.
    pub(super) async fn changed_since(&self, commit: &str) -> Result<Option<Vec<Change>>> {
        let Ok(commit) = commit.parse() else { return Ok(None) };
        match self.glance.changed(&commit, &self.commit).await {
            Ok(changes) => Ok(Some(changes)),
            Err(GitError::UnknownCommit { .. } | GitError::TooLarge { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Who wrote a line and when; `None` when the history is not here.
    ///
    /// # Errors
    /// When git fails.
    pub async fn blame(&self, path: &str, line: u64) -> Result<Option<Blame>, GitError> {
        self.glance.blame(&self.commit, path, line).await
    }

    /// The repository's own policy, and what its `.gitattributes` say of its files; the text names what the latter
    /// followed from.
    ///
    /// # Errors
    /// [`BadPolicy`], and when git fails.
    pub(super) async fn rules(&self, ctx: &Arc<Context>) -> Result<(RepositoryPolicy, Selection, String)> {
        let is_attributes = |path: &str| path.rsplit('/').next() == Some(".gitattributes");
        let attributes = self.files.iter().filter(|file| is_attributes(&file.path)).take(ATTRIBUTES);
        let policy = self.files.iter().filter(|file| file.path == POLICY_PATH);
        let wanted: Vec<&TreeFile> = policy.chain(attributes).collect();
        let texts = self.texts(ctx, &wanted).await?;
        let (mut policy, mut selection, mut of) = (RepositoryPolicy::default(), Selection::default(), Vec::new());
        for file in wanted {
            match texts.get(&file.oid) {
                Some(text) if file.path == POLICY_PATH => policy = RepositoryPolicy::parse(text).map_err(BadPolicy)?,
                None if file.path == POLICY_PATH => {
                    let text = format!("Its {POLICY_PATH} is larger than {} KiB. Shorten it.", SMALL >> 10);
                    return Err(BadPolicy(text).into());
                }
                Some(text) => selection.attributes(&file.path, text.as_bytes()),
                None => {}
            }
            if file.path != POLICY_PATH {
                of.extend([file.path.as_str(), file.oid.as_str()]);
            }
        }
        Ok((policy, selection, digest(&of)))
    }

    /// The texts of small files, by their ids; without those that are too large.
    async fn texts(&self, ctx: &Arc<Context>, files: &[&TreeFile]) -> Result<BTreeMap<String, String>> {
        let reader = digest(&["small text"]);
        let oids: Vec<String> = files.iter().map(|file| file.oid.clone()).collect();
        let mut texts: BTreeMap<String, Option<String>> =
            ctx.store.readings(&reader, &oids).await?.into_iter().collect();
        let unknown: Vec<String> = oids.into_iter().filter(|oid| !texts.contains_key(oid)).collect();
        if !unknown.is_empty() {
            self.bring(&unknown).await?;
            let mut read = Vec::new();
            let take = |place: usize, blob| match blob {
                Blob::Content(bytes) => read.push((place, Some(String::from_utf8_lossy(&bytes).into_owned()))),
                Blob::TooLarge(_) => read.push((place, None)),
                Blob::Missing => {}
            };
            self.read(&unknown, SMALL, take).await?;
            let read: Vec<_> = read.into_iter().map(|(place, text)| (unknown[place].clone(), text)).collect();
            ctx.store.put_readings(&reader, &read, ctx.now()).await?;
            texts.extend(read);
        }
        Ok(texts.into_iter().filter_map(|(oid, text)| Some((oid, text?))).collect())
    }
}
