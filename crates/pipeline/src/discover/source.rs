//! What yields findings.
//!
//! **Definition.** A [`Source`] says what work there is in one repository now. Each is one file beside this one, and a
//! line in [`all`].
//!
//! **Wanted properties.** A source is asked only when its answer may have changed. Each file is read at most once in a
//! look, whatever many sources want it. What cannot be known now changes nothing.
//!
//! **Design.** A source that reads files names them and keeps of each a small text ([`Reader`]), which follows from the
//! file alone; from these, and from what else it asks, it makes its findings. What it yields replaces what it yielded
//! before: the task of a missing finding becomes obsolete.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use async_trait::async_trait;
use backlog::finding::{self, Finding};
use backlog::names::RepoName;
use git::Mirror;
use scan::Selection;

use super::content::Content;
use crate::Context;
use crate::settings::{RepositoryPolicy, Sources};

/// Something that yields findings.
#[async_trait]
pub trait Source: Send + Sync + 'static {
    /// Its name on findings and tasks.
    fn name(&self) -> finding::Source;

    /// Whether it is asked here, by the operator's settings and the repository's own.
    fn is_on(&self, settings: &Sources, policy: &RepositoryPolicy) -> bool;

    /// When what it yields may have changed.
    fn moves(&self) -> Moves;

    /// The settings that decide what it yields: other settings are a reason to ask again.
    fn signature(&self, settings: &Sources) -> String;

    /// What reads files for it; `None` when it reads none. `selection` knows the repository's `.gitattributes`.
    ///
    /// # Errors
    /// When the settings make no sense; they were checked when the configuration was read.
    fn reader(&self, _settings: &Sources, _selection: &Selection) -> Result<Option<Arc<dyn Reader>>> {
        Ok(None)
    }

    /// All that there is now.
    ///
    /// # Errors
    /// When it cannot be known now: then everything stays as it was, and it is asked again.
    async fn findings(&self, look: &Look<'_>) -> Result<Vec<Finding>>;
}

/// Reads files for a source. Runs on the CPU pool.
pub trait Reader: Send + Sync {
    /// Whether and how the file at `path` of `size` bytes is read. Files with the same answer and the same content yield
    /// the same text, wherever they are.
    fn wants(&self, path: &str, size: u64) -> Option<String>;

    /// What is kept of it; `None` for nothing.
    fn read(&self, path: &str, bytes: &[u8]) -> Option<String>;
}

/// When what a source yields may have changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moves {
    /// With every commit on the default branch.
    pub with_code: bool,
    /// When something happened on the code host: an issue, a check, an alert.
    pub with_host: bool,
    /// By mere time; asked again after so long.
    pub every: Option<Duration>,
    /// Whether mere time may be waited for longer where nobody pushes any more.
    pub sleeps: bool,
}

/// One look at a repository, as a source gets it.
pub struct Look<'a> {
    /// Everything else.
    pub ctx: &'a Arc<Context>,
    /// The repository.
    pub repository: &'a RepoName,
    /// Its files at the head of its default branch.
    pub content: &'a Content,
    /// Its own policy.
    pub policy: &'a RepositoryPolicy,
    /// What the source's reader kept of each file, by path.
    pub kept: BTreeMap<String, String>,
}

impl<'a> Look<'a> {
    /// Before anything was read.
    pub(super) fn of(
        ctx: &'a Arc<Context>,
        repository: &'a RepoName,
        content: &'a Content,
        policy: &'a RepositoryPolicy,
    ) -> Self {
        Self { ctx, repository, content, policy, kept: BTreeMap::new() }
    }

    /// The repository's mirror with the whole history, brought up to date. It takes a full fetch where none was made for
    /// a run yet: for sources that are off unless somebody wants them.
    ///
    /// # Errors
    /// When the code host or git refuses.
    pub async fn mirror(&self) -> Result<Mirror> {
        let mirror = super::mirror(self.ctx, self.repository).await?;
        mirror.fetch().await?;
        Ok(mirror)
    }
}

/// Every source, in the order of asking.
#[must_use]
pub fn all(settings: &Sources) -> Vec<Box<dyn Source>> {
    let mut all: Vec<Box<dyn Source>> = vec![
        Box::new(super::todo::Todo),
        Box::new(super::issue_label::IssueLabel),
        Box::new(super::stale_issue::StaleIssue),
        Box::new(super::ci::Ci),
        Box::new(super::security_alert::SecurityAlert),
        Box::new(super::dependency::Dependency),
        Box::new(super::hotspot::Hotspot),
    ];
    all.extend(settings.sarif.keys().map(|tool| Box::new(super::sarif::Sarif::new(tool)) as Box<dyn Source>));
    all
}
