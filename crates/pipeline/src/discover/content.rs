//! The files of a repository at one commit, and the way to what is in them.
//!
//! **Wanted properties.** What is wanted is brought in one request, however many files. A small text file that was read
//! once, in whichever repository, is not brought again. The first look takes no git process where the code host gives
//! archives: it costs little time and one request.
//!
//! **Design.** [`way`] says what is cheapest. An archive that does not have exactly the files of the commit's tree, or
//! that cannot be had, is no failure: the repository is read through git then. What an archive brought but was not kept
//! is fetched through git as well.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use backlog::names::{BranchName, CommitId, RepoName, digest};
use backlog::welcome;
use git::{Blame, Blob, Change, GitError, Glance, TreeFile};
use scan::Selection;
use store::Reading;
use tokio::sync::OnceCell;

use super::glance;
use super::look::BadPolicy;
use super::source::{self, Reader};
use crate::settings::{POLICY_PATH, RepositoryPolicy};
use crate::{Context, wording};

/// The largest `.gitattributes` or policy that is read, in bytes.
const SMALL: u64 = 64 << 10;
/// How many `.gitattributes` of a repository are read.
const ATTRIBUTES: usize = 1_000;

/// How many files that guide contributors are read.
const GUIDES: usize = 16;

/// What a repository says about how it is worked.
#[derive(Default)]
pub(super) struct Rules {
    /// Its own policy.
    pub policy: RepositoryPolicy,
    /// What its `.gitattributes` say of its files.
    pub selection: Selection,
    /// Names what the selection followed from.
    pub of: String,
    /// That it does not welcome agents: which file says so, and how.
    pub unwelcome: Option<String>,
}

/// Whether a file says how the repository is to be read and worked.
fn is_rule(path: &str) -> bool {
    path == POLICY_PATH || is_attributes(path) || welcome::is_guide(path)
}

fn is_attributes(path: &str) -> bool {
    path.rsplit('/').next() == Some(".gitattributes")
}

/// The files of one commit.
pub struct Content {
    /// The head of the default branch.
    pub commit: CommitId,
    /// The default branch.
    pub default_branch: BranchName,
    /// The files of that commit; sizes are 0 where they are not known.
    pub files: Vec<TreeFile>,
    /// Contents that came along, by their ids.
    held: HashMap<String, Vec<u8>>,
    /// What everything else is read through, once it is needed.
    glance: OnceCell<Glance>,
    ctx: Arc<Context>,
    name: RepoName,
}

/// How the files of a repository are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// All of them in one archive, in memory.
    Archive,
    /// The trees, then the contents that are wanted, through git.
    Git,
}

/// What is cheapest. An archive costs one request of the hourly quota and no process; git costs no quota, some processes
/// and some disk, and pays from the second look on, which needs only what changed. A quarter of the quota is left for
/// people's own affairs. `quota`: what is left of it, and how much it is, where that is known.
fn way(first: bool, quota: Option<(u64, u64)>) -> Way {
    let scarce = quota.is_some_and(|(left, limit)| left.saturating_mul(4) < limit);
    if first && !scarce { Way::Archive } else { Way::Git }
}

impl Content {
    /// What is in a repository now, which is looked at for the `first` time or again; `None` when it has no commits.
    ///
    /// # Errors
    /// When the code host or git refuses.
    pub(super) async fn now(ctx: &Arc<Context>, name: &RepoName, first: bool) -> Result<Option<Self>> {
        let limits = ctx.forges.of(name)?.limits();
        let core = limits.iter().filter(|limit| limit.resource == "core").min_by_key(|limit| limit.remaining);
        let way = way(first, core.map(|core| (core.remaining, core.limit)));
        tracing::debug!(repository = %name, ?way, "reads what is there");
        if way == Way::Archive {
            match Self::archived(ctx, name).await {
                Ok(Some(content)) => {
                    metrics::counter!("ccm_looks_total", "way" => "archive").increment(1);
                    return Ok(Some(content));
                }
                Ok(None) => {}
                Err(error) => tracing::debug!(repository = %name, error = format!("{error:#}"), "not by an archive"),
            }
        }
        let glance = glance(ctx, name).await?;
        let fetched = glance.fetch().await?;
        let Some(commit) = fetched.head else { return Ok(None) };
        let tree = glance.files(&commit).await?;
        metrics::counter!("ccm_looks_total", "way" => "git").increment(1);
        if tree.truncated {
            let most = tree.files.len();
            tracing::warn!(repository = %name, "it has more than {most} files; only the first {most} are looked at");
        }
        Ok(Some(Self {
            commit,
            default_branch: fetched.default_branch,
            files: tree.files,
            held: HashMap::new(),
            glance: OnceCell::new_with(Some(glance)),
            ctx: ctx.clone(),
            name: name.clone(),
        }))
    }

    /// The same from an archive; `None` when there is none.
    async fn archived(ctx: &Arc<Context>, name: &RepoName) -> Result<Option<Self>> {
        let forge = ctx.forges.of(name)?;
        let Some(tip) = forge.tip(name).await? else { return Ok(None) };
        let Some(archive) = forge.archive(name, &tip.commit).await? else { return Ok(None) };
        let settings = ctx.settings();
        let mut readers: Vec<Arc<dyn Reader>> = Vec::new();
        for source in source::all(&settings.sources) {
            if source.is_on(&settings.sources, &RepositoryPolicy::default()) {
                readers.extend(source.reader(&settings.sources, &Selection::default())?);
            }
        }
        let unpacked = ctx
            .on_cpu(move || {
                git::unpack(&archive, &tip.tree, |path, size| {
                    is_rule(path) || readers.iter().any(|reader| reader.wants(path, size).is_some())
                })
            })
            .await?
            .context("the archive is not the commit")?;
        Ok(Some(Self {
            commit: tip.commit,
            default_branch: tip.branch,
            files: unpacked.files,
            held: unpacked.contents,
            glance: OnceCell::new(),
            ctx: ctx.clone(),
            name: name.clone(),
        }))
    }

    /// What is read through that no archive brought.
    async fn glance(&self) -> Result<&Glance> {
        let open = || async {
            let glance = glance(&self.ctx, &self.name).await?;
            glance.fetch().await?;
            Ok(glance)
        };
        self.glance.get_or_try_init(open).await
    }

    /// Has the contents of `oids` here, so that [`Content::read`] finds them.
    ///
    /// # Errors
    /// When the code host or git refuses.
    pub(super) async fn bring(&self, oids: &[String]) -> Result<()> {
        let away: Vec<String> = oids.iter().filter(|oid| !self.held.contains_key(*oid)).cloned().collect();
        if away.is_empty() { Ok(()) } else { Ok(self.glance().await?.bring(&away).await?) }
    }

    /// Hands the contents of `oids` to `each` with their places in it, one after the other, in any order.
    ///
    /// # Errors
    /// When git fails.
    pub(super) async fn read(
        &self,
        oids: &[String],
        max_bytes: u64,
        mut each: impl FnMut(usize, Blob) + Send,
    ) -> Result<()> {
        let mut away = Vec::new();
        for (place, oid) in oids.iter().enumerate() {
            match self.held.get(oid) {
                Some(bytes) if bytes.len() as u64 > max_bytes => each(place, Blob::TooLarge(bytes.len() as u64)),
                Some(bytes) => each(place, Blob::Content(bytes.clone())),
                None => away.push(place),
            }
        }
        if away.is_empty() {
            return Ok(());
        }
        let oids: Vec<String> = away.iter().map(|place| oids[*place].clone()).collect();
        Ok(self.glance().await?.read_blobs(&oids, max_bytes, |place, blob| each(away[place], blob)).await?)
    }

    /// Whether the next look will see what differs from this one.
    pub(super) fn has_trees(&self) -> bool {
        self.glance.initialized()
    }

    /// What differs from an earlier commit; `None` when that is not here any more.
    ///
    /// # Errors
    /// When git fails.
    pub(super) async fn changed_since(&self, commit: &str) -> Result<Option<Vec<Change>>> {
        let (Ok(commit), Some(glance)) = (commit.parse(), self.glance.get()) else { return Ok(None) };
        match glance.changed(&commit, &self.commit).await {
            Ok(changes) => Ok(Some(changes)),
            Err(GitError::UnknownCommit { .. } | GitError::TooLarge { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether [`Content::blame`] can say anything.
    pub(super) fn has_history(&self) -> bool {
        self.glance.get().is_some_and(Glance::has_history)
    }

    /// Who wrote a line and when; `None` when the history is not here.
    ///
    /// # Errors
    /// When git fails.
    pub async fn blame(&self, path: &str, line: u64) -> Result<Option<Blame>, GitError> {
        match self.glance.get() {
            Some(glance) => glance.blame(&self.commit, path, line).await,
            None => Ok(None),
        }
    }

    /// What the repository says about how it is worked.
    ///
    /// # Errors
    /// [`BadPolicy`], and when git fails.
    pub(super) async fn rules(&self, ctx: &Arc<Context>) -> Result<Rules> {
        let attributes = self.files.iter().filter(|file| is_attributes(&file.path)).take(ATTRIBUTES);
        let guides = self.files.iter().filter(|file| welcome::is_guide(&file.path)).take(GUIDES);
        let policy = self.files.iter().filter(|file| file.path == POLICY_PATH);
        let wanted: Vec<&TreeFile> = policy.chain(guides).chain(attributes).collect();
        let texts = self.texts(ctx, &wanted).await?;
        let (mut rules, mut of) = (Rules::default(), Vec::new());
        for file in wanted {
            let text = texts.get(&file.oid);
            if file.path == POLICY_PATH {
                let text = text.ok_or_else(|| {
                    BadPolicy(format!("Its {POLICY_PATH} is larger than {} KiB. Shorten it.", SMALL >> 10))
                })?;
                rules.policy = RepositoryPolicy::parse(text).map_err(BadPolicy)?;
            } else if is_attributes(&file.path) {
                text.into_iter().for_each(|text| rules.selection.attributes(&file.path, text.as_bytes()));
                of.extend([file.path.as_str(), file.oid.as_str()]);
            } else if rules.unwelcome.is_none() {
                let said = text.and_then(|text| welcome::unwelcome(&file.path, text));
                rules.unwelcome = said.map(|said| wording::unwelcome(&file.path, &said));
            }
        }
        rules.of = digest(&of);
        Ok(rules)
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
            let reading = |(place, text): (usize, Option<String>)| Reading {
                reader: reader.clone(),
                blob: unknown[place].clone(),
                text,
            };
            let read: Vec<Reading> = read.into_iter().map(reading).collect();
            ctx.store.put_readings(&read, ctx.now()).await?;
            texts.extend(read.into_iter().map(|reading| (reading.blob, reading.text)));
        }
        Ok(texts.into_iter().filter_map(|(oid, text)| Some((oid, text?))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_look_takes_an_archive_while_the_quota_lasts() {
        for (first, quota, expected) in [
            (true, None, Way::Archive),
            (true, Some((5_000, 5_000)), Way::Archive),
            (true, Some((1_250, 5_000)), Way::Archive),
            (true, Some((1_249, 5_000)), Way::Git),
            (true, Some((0, 60)), Way::Git),
            (false, None, Way::Git),
            (false, Some((5_000, 5_000)), Way::Git),
        ] {
            assert_eq!(way(first, quota), expected, "{first} {quota:?}");
        }
    }
}
