//! What changed: asking for all repositories at once.
//!
//! **Definition.** Each repository has a *mark*, a text that is another one when something happened in it that matters.
//! [`GitHub::changes_of`] takes the marks of the last time and says which repositories have another one now, which were
//! renamed, and which cannot be worked any more.
//!
//! **Wanted properties.** A thousand repositories that have not changed cost at most twenty requests; a repository that
//! is gone, archived or forbidden says so by itself and holds up no other; a failure never passes for "unchanged".
//!
//! **Design.** Two ways, the first that the credential can go. By *query*: fifty repositories in one GraphQL request,
//! with their default branch's commit, what its checks amount to, and the newest change of an issue and of a pull request. By *listing*: the
//! repositories of each owner, last push first, read up to the newest push that is known; issues show in it only as
//! their number. What neither answers is [`Change::Unasked`]: git can be asked for that.
//!
//! **Known races.** What happens between two pages of a list may move a repository from one to the other: it was read
//! twice then, or it is found the next time, since its push is newer than the watermark.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use backlog::names::{CommitId, RepoName};
use backlog::time::Timestamp;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::GitHub;
use super::client::{Client, Failure};
use super::graphql::Answered;
use super::head::Rollup;
use super::model::{self, lenient};
use crate::{Change, ForgeError, Known, Tip};

/// The most repositories in one query (R43).
pub(super) const MOST_AT_ONCE: usize = 100;
/// How long a credential that may not query is not tried again.
const NO_QUERIES: Duration = Duration::from_secs(3600);
/// Queries for a single repository that may fail in a row: then it is the host that fails.
const SINGLES: usize = 3;
/// An owner with fewer repositories is not worth a listing.
const WORTH_LISTING: usize = 5;
/// How many repositories' heads are remembered.
const HEADS: usize = 100_000;
/// Pages of one owner's repositories: 10,000 of them.
const PAGES: usize = 100;

const FIELDS: &str = "fragment Now on Repository { nameWithOwner isArchived isDisabled hasIssuesEnabled \
    defaultBranchRef { name target { oid ... on Commit { tree { oid } statusCheckRollup { state } } } } \
    issues(first: 1, orderBy: {field: UPDATED_AT, direction: DESC}) { nodes { updatedAt } } \
    pullRequests(first: 1, orderBy: {field: UPDATED_AT, direction: DESC}) { nodes { updatedAt } } }";

/// Why repositories are asked for in another way than by query, and until when.
#[derive(Clone, Debug, Default)]
pub(super) struct Queries {
    refused: Option<(String, Timestamp)>,
    /// The heads that the last query showed, and what their checks amounted to.
    heads: BTreeMap<RepoName, (Tip, Rollup)>,
}

/// A repository as a query shows it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Now {
    name_with_owner: String,
    #[serde(default, deserialize_with = "lenient")]
    is_archived: bool,
    #[serde(default, deserialize_with = "lenient")]
    is_disabled: bool,
    #[serde(default, deserialize_with = "lenient")]
    has_issues_enabled: bool,
    default_branch_ref: Option<Branch>,
    #[serde(default, deserialize_with = "lenient")]
    issues: Newest,
    #[serde(default, deserialize_with = "lenient")]
    pull_requests: Newest,
}

#[derive(Debug, Deserialize)]
struct Branch {
    name: String,
    target: Option<Target>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Target {
    oid: String,
    tree: Option<Tree>,
    status_check_rollup: Option<State>,
}

#[derive(Debug, Deserialize)]
struct Tree {
    oid: String,
}

#[derive(Debug, Deserialize)]
struct State {
    #[serde(default, deserialize_with = "lenient")]
    state: String,
}

#[derive(Debug, Default, Deserialize)]
struct Newest {
    #[serde(default, deserialize_with = "lenient")]
    nodes: Vec<Updated>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Updated {
    updated_at: String,
}

impl Now {
    fn head(&self) -> Option<&Target> {
        self.default_branch_ref.as_ref()?.target.as_ref()
    }

    fn tip(&self) -> Option<Tip> {
        let (branch, head) = (self.default_branch_ref.as_ref()?, self.head()?);
        Some(Tip {
            branch: branch.name.parse().ok()?,
            commit: head.oid.parse().ok()?,
            tree: head.tree.as_ref()?.oid.clone(),
        })
    }

    fn rollup(&self) -> Rollup {
        Rollup::of(self.head().and_then(|head| Some(head.status_check_rollup.as_ref()?.state.as_str())))
    }

    fn mark(&self) -> String {
        let branch = self.default_branch_ref.as_ref();
        let oid = self.head().map_or("", |target| target.oid.as_str());
        let checks = match self.rollup() {
            Rollup::Calm => "calm",
            Rollup::Pending => "pending",
            Rollup::Red => "red",
        };
        let newest = |list: &Newest| list.nodes.first().map_or("-", |node| node.updated_at.as_str()).to_owned();
        format!(
            "query {oid} {checks} {} {} {} {}",
            branch.map_or("", |branch| branch.name.as_str()),
            newest(&self.issues),
            newest(&self.pull_requests),
            self.has_issues_enabled
        )
    }
}

impl GitHub {
    /// See [`crate::Forge::changes`].
    pub(super) async fn changes_of(&self, known: &[Known]) -> Result<Vec<(RepoName, Change)>, ForgeError> {
        let mut groups: Vec<(Arc<Client>, Vec<&Known>)> = Vec::new();
        let mut found = Vec::with_capacity(known.len());
        for one in known {
            let client = match self.client_of(&one.name).await {
                // One account that is closed holds up no other.
                Err(Failure::Refused(refusal)) if refusal.status == StatusCode::FORBIDDEN => {
                    let why = format!("{}.", ForgeError::from(refusal));
                    found.push((one.name.clone(), Change::Closed(why)));
                    continue;
                }
                client => client?,
            };
            match groups.iter_mut().find(|(other, _)| Arc::ptr_eq(other, &client)) {
                Some((_, group)) => group.push(one),
                None => groups.push((client, vec![one])),
            }
        }
        for (client, group) in groups {
            found.extend(match self.by_query(&client, &group).await? {
                Some(changes) => changes,
                None => self.by_listing(&client, &group).await?,
            });
        }
        Ok(found)
    }

    /// How repositories are asked for, and why.
    pub(super) fn way_of_asking(&self) -> String {
        let queries = self.queries.lock().unwrap_or_else(PoisonError::into_inner);
        match &queries.refused {
            None => format!(
                "Changes are asked for with GraphQL, up to {} repositories in one request: the credential may.",
                self.batches.size(self.now())
            ),
            Some((why, _)) => format!(
                "Changes are asked for with lists of each owner's repositories, and with git where that would not pay, \
                 because GraphQL is refused: {why}. Comments and labels are seen when proposals are polled."
            ),
        }
    }

    /// By GraphQL; `None` when the credential may not.
    async fn by_query(&self, client: &Client, known: &[&Known]) -> Result<Option<Vec<(RepoName, Change)>>, ForgeError> {
        if self.queries_refused() {
            return Ok(None);
        }
        let (mut found, mut rest, mut failed) = (Vec::with_capacity(known.len()), known.to_vec(), 0);
        while !rest.is_empty() {
            let size = self.batches.size(self.now()).min(rest.len());
            let batch: Vec<&Known> = rest.drain(..size).collect();
            match client.query(&document(size), &variables(&batch)).await {
                Ok(answered) => {
                    failed = 0;
                    if answered.is_cut() {
                        self.batches.halve(size, self.now());
                    }
                    self.keep_heads(&batch, &answered);
                    let (answers, unanswered) = judge(&batch, &answered);
                    if answers.is_empty() && size == 1 {
                        found.push((batch[0].name.clone(), Change::Unasked));
                        continue;
                    }
                    found.extend(answers);
                    rest.splice(..0, unanswered);
                }
                // Too much for the host's ten seconds, most likely (R43).
                Err(Failure::Ambiguous(why)) => {
                    self.batches.halve(size, self.now());
                    failed += usize::from(size == 1);
                    if failed >= SINGLES {
                        return Err(ForgeError::Transient { why, retry_at: None });
                    }
                    if size == 1 {
                        found.push((batch[0].name.clone(), Change::Unasked));
                    } else {
                        rest.splice(..0, batch);
                    }
                }
                Err(Failure::Refused(refusal)) if refusal.status != StatusCode::UNAUTHORIZED => {
                    self.refuse_queries(refusal.said);
                    return Ok(None);
                }
                Err(Failure::Unexpected(why)) => {
                    self.refuse_queries(why);
                    return Ok(None);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Some(found))
    }

    /// Keeps the heads and what their checks amount to. Where the credential may not see all of it, nothing is known.
    fn keep_heads(&self, batch: &[&Known], answered: &Answered) {
        let mut queries = self.queries.lock().unwrap_or_else(PoisonError::into_inner);
        if queries.heads.len() > HEADS {
            queries.heads.clear();
        }
        for (n, one) in batch.iter().enumerate() {
            let alias = format!("r{n}");
            let now = shown(answered, &alias).filter(|_| answered.error_of(&alias).is_none());
            match now.and_then(|now| Some((now.tip()?, now.rollup()))) {
                Some(head) => queries.heads.insert(one.name.clone(), head),
                None => queries.heads.remove(&one.name),
            };
        }
    }

    /// What the checks of a head amount to, where the last query showed that head.
    pub(super) fn rollup_of(&self, repository: &RepoName, head: &CommitId) -> Option<Rollup> {
        let queries = self.queries.lock().unwrap_or_else(PoisonError::into_inner);
        queries.heads.get(repository).filter(|(tip, _)| tip.commit == *head).map(|(_, rollup)| *rollup)
    }

    /// The head that the last query showed, where it was asked for this repository.
    pub(super) fn shown_tip(&self, repository: &RepoName) -> Option<Tip> {
        let queries = self.queries.lock().unwrap_or_else(PoisonError::into_inner);
        queries.heads.get(repository).map(|(tip, _)| tip.clone())
    }

    pub(super) fn queries_refused(&self) -> bool {
        let mut queries = self.queries.lock().unwrap_or_else(PoisonError::into_inner);
        if queries.refused.as_ref().is_some_and(|(_, until)| *until <= self.now()) {
            queries.refused = None;
        }
        queries.refused.is_some()
    }

    pub(super) fn refuse_queries(&self, why: String) {
        tracing::warn!(why, "GraphQL cannot be used; changes are asked for in another way");
        let until = self.now().plus(NO_QUERIES);
        self.queries.lock().unwrap_or_else(PoisonError::into_inner).refused = Some((why, until));
    }

    /// By the lists of owners' repositories.
    async fn by_listing(&self, client: &Client, known: &[&Known]) -> Result<Vec<(RepoName, Change)>, ForgeError> {
        let mut owners: BTreeMap<String, Vec<&Known>> = BTreeMap::new();
        for one in known {
            owners.entry(one.name.owner().to_ascii_lowercase()).or_default().push(one);
        }
        let mut found = Vec::with_capacity(known.len());
        for (owner, group) in owners {
            let unasked = |one: &&Known| (one.name.clone(), Change::Unasked);
            if group.len() < WORTH_LISTING {
                found.extend(group.iter().map(unasked));
                continue;
            }
            match self.listing_of(client, &owner, &group).await {
                Ok(changes) => found.extend(changes),
                Err(ForgeError::NotFound(_) | ForgeError::Denied { .. }) => found.extend(group.iter().map(unasked)),
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    async fn listing_of(
        &self,
        client: &Client,
        owner: &str,
        group: &[&Known],
    ) -> Result<Vec<(RepoName, Change)>, ForgeError> {
        // Only when every one was seen before is the rest of the list known.
        let pushed = |one: &&Known| Some(one.mark.strip_prefix("list ")?.split(' ').next()?.to_owned());
        let marks: Option<Vec<String>> = group.iter().map(pushed).collect();
        let watermark = marks.and_then(|marks| marks.into_iter().max());
        let enough = |page: &[model::Repository]| {
            watermark.as_ref().is_some_and(|mark| page.last().is_some_and(|last| last.pushed_at < *mark))
        };
        let order = [("sort", "pushed"), ("direction", "desc"), ("per_page", "100")];
        let mine = self.us().await?.login.eq_ignore_ascii_case(owner);
        let url = match mine {
            true => self.wire.url(&["user", "repos"], &[order.as_slice(), &[("affiliation", "owner")]].concat()),
            false => self.wire.url(&["orgs", owner, "repos"], &order),
        };
        let (listed, whole) = match client.first_pages::<model::Repository>(url, PAGES, enough).await {
            Err(Failure::Refused(refusal)) if refusal.status == StatusCode::NOT_FOUND && !mine => {
                client.first_pages(self.wire.url(&["users", owner, "repos"], &order), PAGES, enough).await?
            }
            listed => listed?,
        };
        Ok(group
            .iter()
            .map(|one| {
                let here = listed.iter().find(|listed| listed.full_name.eq_ignore_ascii_case(one.name.as_str()));
                let change = match here {
                    Some(repository) if repository.disabled => disabled(),
                    Some(repository) if repository.archived => archived(),
                    Some(repository) => changed(one, repository.mark()),
                    // Renamed, moved or gone: asking for it tells.
                    None if whole => Change::Unasked,
                    None => Change::Nothing,
                };
                (one.name.clone(), change)
            })
            .collect())
    }
}

/// The query for so many repositories. Nothing of it comes from outside.
fn document(size: usize) -> String {
    let mut heads = String::new();
    let mut fields = String::new();
    for n in 0..size {
        heads.push_str(&format!("$o{n}: String!, $n{n}: String!, "));
        fields.push_str(&format!("r{n}: repository(owner: $o{n}, name: $n{n}) {{ ...Now }} "));
    }
    format!("query({}) {{ {fields}}} {FIELDS}", heads.trim_end_matches(", "))
}

fn variables(batch: &[&Known]) -> Value {
    let pairs = batch
        .iter()
        .enumerate()
        .flat_map(|(n, one)| [(format!("o{n}"), json!(one.name.owner())), (format!("n{n}"), json!(one.name.name()))]);
    Value::Object(pairs.collect())
}

/// What is shown of one repository.
fn shown(answered: &Answered, alias: &str) -> Option<Now> {
    let value = answered.data.as_ref().and_then(|data| data.get(alias)).filter(|value| !value.is_null())?;
    serde_json::from_value(value.clone()).ok()
}

/// What a batch was answered, and which of it were not.
pub(super) fn judge<'a>(batch: &[&'a Known], answered: &Answered) -> (Vec<(RepoName, Change)>, Vec<&'a Known>) {
    let (mut answers, mut unanswered) = (Vec::new(), Vec::new());
    for (n, one) in batch.iter().enumerate() {
        let alias = format!("r{n}");
        let change = match (shown(answered, &alias), answered.error_of(&alias)) {
            (Some(now), _) if now.is_disabled => disabled(),
            (Some(now), _) if now.is_archived => archived(),
            (Some(now), _) => match now.name_with_owner.parse::<RepoName>() {
                Ok(name) if !name.as_str().eq_ignore_ascii_case(one.name.as_str()) => Change::Renamed(name),
                Ok(_) | Err(_) => changed(one, now.mark()),
            },
            (None, Some("NOT_FOUND")) => Change::Closed(
                "It is not there any more, or the credential may not see it. Restore its access, or take it out of \
                 ccm.toml."
                    .to_owned(),
            ),
            (None, Some("FORBIDDEN" | "INSUFFICIENT_SCOPES")) => Change::Closed(
                "The credential may not read it. Authorize the token for its organization (single sign-on), or exclude \
                 the repository."
                    .to_owned(),
            ),
            (None, None | Some("RESOURCE_LIMITS_EXCEEDED")) if answered.is_cut() => {
                unanswered.push(*one);
                continue;
            }
            (None, _) => Change::Unasked,
        };
        answers.push((one.name.clone(), change));
    }
    (answers, unanswered)
}

fn changed(known: &Known, mark: String) -> Change {
    if known.mark == mark { Change::Nothing } else { Change::Something(mark) }
}

fn archived() -> Change {
    Change::Closed("It is archived and takes no changes. Unarchive it, or exclude it in ccm.toml.".to_owned())
}

fn disabled() -> Change {
    Change::Closed(
        "GitHub has disabled it, for a legal notice or an unpaid bill. Its owner can settle that with GitHub; or exclude \
         it in ccm.toml."
            .to_owned(),
    )
}

#[cfg(test)]
mod tests;
