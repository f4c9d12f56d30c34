//! All files of a commit in one request, for a first look.
//!
//! **Definition.** [`Forge::tip`](crate::Forge::tip) says where the default branch is and which tree that commit has;
//! [`Forge::archive`](crate::Forge::archive) brings the commit's files as a gzipped tar.
//!
//! **Wanted properties.** One request of the core quota for a repository; where its branch is was seen together with
//! forty-nine others when changes were last asked for, else it is one request more. GitHub keeps archives on another host
//! and redirects there: the token does not go along. An archive has a bound, and what is longer is read through git instead.
//!
//! **Known races.** The branch moves between the two: the archive is asked for by the commit, and the next question for
//! changes shows another one.

use backlog::names::{CommitId, RepoName};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;

use super::GitHub;
use crate::{ForgeError, Tip};

/// The longest archive, in bytes.
const ARCHIVE_BYTES: usize = 8 << 20;

const TIP: &str = "query($owner: String!, $name: String!) { repository(owner: $owner, name: $name) { \
    defaultBranchRef { name target { oid ... on Commit { tree { oid } } } } } }";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Repository {
    default_branch_ref: Option<Branch>,
}

#[derive(Deserialize)]
struct Branch {
    name: String,
    target: Target,
}

#[derive(Deserialize)]
struct Target {
    oid: String,
    tree: Object,
}

#[derive(Deserialize)]
struct Object {
    oid: String,
}

impl GitHub {
    /// See [`crate::Forge::tip`].
    pub(super) async fn tip_of(&self, name: &RepoName) -> Result<Option<Tip>, ForgeError> {
        if let Some(tip) = self.shown_tip(name) {
            return Ok(Some(tip));
        }
        if self.queries_refused() {
            return Ok(None);
        }
        let variables = json!({"owner": name.owner(), "name": name.name()});
        let answered = self.client_of(name).await?.query(TIP, &variables).await?;
        let found = answered.data.and_then(|mut data| data.remove("repository"));
        let found = found.and_then(|found| serde_json::from_value::<Repository>(found).ok());
        let Some(Branch { name, target }) = found.and_then(|found| found.default_branch_ref) else { return Ok(None) };
        let (Ok(branch), Ok(commit)) = (name.parse(), target.oid.parse()) else { return Ok(None) };
        Ok(Some(Tip { branch, commit, tree: target.tree.oid }))
    }

    /// See [`crate::Forge::archive`].
    pub(super) async fn archive_of(&self, name: &RepoName, commit: &CommitId) -> Result<Option<Bytes>, ForgeError> {
        let url = self.wire.url(&["repos", name.owner(), name.name(), "tarball", commit.as_str()], &[]);
        Ok(Some(self.client_of(name).await?.read_elsewhere(url, ARCHIVE_BYTES).await?))
    }
}

#[cfg(test)]
mod tests;
