//! What exists on the fake GitHub: users, tokens, repositories and everything inside them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use backlog::time::Timestamp;

use super::alerts::Alert;
use super::apps::Apps;
use super::bare;
use super::permission::{Access, Permission};

/// A label definition of a repository.
#[derive(Clone, Debug)]
pub(super) struct Label {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) color: String,
    pub(super) description: Option<String>,
}

/// A comment on an issue or pull request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comment {
    /// GitHub's id.
    pub id: u64,
    /// Login of the author.
    pub user: String,
    /// Markdown text.
    pub body: String,
    /// When it was written.
    pub created_at: Timestamp,
    /// When it was last edited.
    pub updated_at: Timestamp,
    pub(super) association: &'static str,
    pub(super) hidden_until: Timestamp,
}

/// One line of an issue's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssueEvent {
    /// GitHub's id.
    pub id: u64,
    /// GitHub's word: `labeled`, `unlabeled`, `closed`, `reopened`, `renamed`, `merged`, …
    pub kind: &'static str,
    /// Who did it.
    pub actor: String,
    /// When.
    pub at: Timestamp,
    /// The label of `labeled` and `unlabeled`.
    pub label: Option<String>,
    /// Old and new title of `renamed`.
    pub rename: Option<(String, String)>,
    /// The commit of `merged` and of a `closed` by a merge.
    pub commit: Option<String>,
}

/// An issue; a pull request is an issue whose `pull` is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issue {
    /// GitHub's id.
    pub id: u64,
    /// Number in its repository, shared with pull requests.
    pub number: u64,
    /// Title.
    pub title: String,
    /// Markdown text.
    pub body: Option<String>,
    /// Open or closed.
    pub open: bool,
    /// `completed`, `not_planned`, `duplicate` or `reopened`.
    pub state_reason: Option<String>,
    /// Names of its labels, in the order they were added.
    pub labels: Vec<String>,
    /// Login of the author.
    pub user: String,
    /// Logins of the assignees.
    pub assignees: Vec<String>,
    /// How many people reacted to it with an emoji.
    pub reactions: u64,
    /// Whether only people with write access may comment.
    pub locked: bool,
    /// When it was opened.
    pub created_at: Timestamp,
    /// When anything about it last changed.
    pub updated_at: Timestamp,
    /// When it was closed.
    pub closed_at: Option<Timestamp>,
    /// Who closed it.
    pub closed_by: Option<String>,
    /// Its comments, oldest first.
    pub comments: Vec<Comment>,
    /// Its history, oldest first.
    pub events: Vec<IssueEvent>,
    /// What makes it a pull request.
    pub pull: Option<Pull>,
    pub(super) association: &'static str,
    pub(super) hidden_until: Timestamp,
}

/// The part of a pull request that an issue does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pull {
    /// The branch with the change.
    pub head: String,
    /// The branch it goes into.
    pub base: String,
    /// Whether it is a draft.
    pub draft: bool,
    /// Tip of the head branch; follows the branch while the pull request is open.
    pub head_sha: String,
    /// Tip of the base branch; follows the branch while the pull request is open.
    pub base_sha: String,
    /// When the head last moved; GitHub computes `mergeable` anew from here.
    pub head_changed_at: Timestamp,
    /// When it was merged.
    pub merged_at: Option<Timestamp>,
    /// Who merged it.
    pub merged_by: Option<String>,
    /// The commit the merge made.
    pub merge_commit_sha: Option<String>,
    /// Reviews, oldest first.
    pub reviews: Vec<Review>,
    /// Comments on lines of the diff, oldest first.
    pub review_comments: Vec<ReviewComment>,
    /// Logins of people asked for a review.
    pub requested_reviewers: Vec<String>,
}

/// A review of a pull request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Review {
    /// GitHub's id.
    pub id: u64,
    /// Login of the reviewer.
    pub user: String,
    /// `APPROVED`, `CHANGES_REQUESTED`, `COMMENTED` or `DISMISSED`.
    pub state: String,
    /// Markdown text, may be empty.
    pub body: String,
    /// The head it was written against.
    pub commit: String,
    /// When.
    pub submitted_at: Timestamp,
}

/// A comment on one line of a pull request's diff.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReviewComment {
    /// GitHub's id.
    pub id: u64,
    /// The review it belongs to.
    pub review: Option<u64>,
    /// Login of the author.
    pub user: String,
    /// File in the repository.
    pub path: String,
    /// Line in the new file, from 1.
    pub line: u64,
    /// Markdown text.
    pub body: String,
    /// The head it was written against.
    pub commit: String,
    /// When it was written.
    pub created_at: Timestamp,
}

/// A check run on a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckRun {
    /// GitHub's id; the job of a workflow has the same one.
    pub id: u64,
    /// Name shown to people.
    pub name: String,
    /// The commit.
    pub sha: String,
    /// `queued`, `in_progress` or `completed`.
    pub status: &'static str,
    /// `success`, `failure`, … once completed.
    pub conclusion: Option<String>,
    /// Title, summary and text of the output.
    pub output: (Option<String>, Option<String>, Option<String>),
    /// The workflow run it is a job of.
    pub run: u64,
    /// What the job printed.
    pub log: String,
    /// The steps of the job with their conclusions.
    pub steps: Vec<(String, String)>,
    /// When it started.
    pub started_at: Timestamp,
    /// When it ended.
    pub completed_at: Option<Timestamp>,
}

/// A workflow run, the parent of check runs.
#[derive(Clone, Debug)]
pub(super) struct WorkflowRun {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) sha: String,
    pub(super) branch: String,
    pub(super) event: &'static str,
    pub(super) status: &'static str,
    pub(super) conclusion: Option<String>,
    pub(super) at: Timestamp,
}

/// A commit status, the older kind of check.
#[derive(Clone, Debug)]
pub(super) struct Status {
    pub(super) id: u64,
    pub(super) sha: String,
    pub(super) context: String,
    pub(super) state: String,
    pub(super) description: Option<String>,
    pub(super) target_url: Option<String>,
    pub(super) creator: String,
    pub(super) at: Timestamp,
}

/// A repository with its bare git repository on disk.
#[derive(Debug)]
pub(super) struct Repository {
    pub(super) id: u64,
    pub(super) owner: String,
    pub(super) owner_kind: &'static str,
    pub(super) name: String,
    pub(super) former_names: Vec<String>,
    pub(super) description: Option<String>,
    pub(super) default_branch: String,
    pub(super) private: bool,
    pub(super) archived: bool,
    pub(super) blocked: bool,
    /// The owner lets nobody in with this kind of credential.
    pub(super) forbidden: bool,
    pub(super) has_issues: bool,
    pub(super) access: BTreeMap<String, Access>,
    pub(super) labels: Vec<Label>,
    pub(super) issues: Vec<Issue>,
    pub(super) check_runs: Vec<CheckRun>,
    pub(super) runs: Vec<WorkflowRun>,
    pub(super) statuses: Vec<Status>,
    pub(super) alerts: Vec<Alert>,
    /// The kinds of alerts that are switched on.
    pub(super) watched_for: Vec<&'static str>,
    pub(super) git_dir: PathBuf,
    pub(super) heads: BTreeMap<String, String>,
    pub(super) created_at: Timestamp,
    pub(super) updated_at: Timestamp,
    pub(super) pushed_at: Timestamp,
}

impl Repository {
    /// `owner/name`.
    pub(super) fn full_name(&self) -> String {
        format!("{}/{}", self.owner, self.name)
    }

    /// Whether `owner/name` is its present name; case does not matter.
    pub(super) fn has_name(&self, full: &str) -> bool {
        let (owner, name) = full.split_once('/').unwrap_or_default();
        self.owner.eq_ignore_ascii_case(owner) && self.name.eq_ignore_ascii_case(name)
    }

    /// The tip of a branch, read from disk now.
    pub(super) fn branch(&self, name: &str) -> Option<String> {
        bare::read_ref(&self.git_dir, &format!("refs/heads/{name}"))
    }

    /// The issue or pull request with this number.
    pub(super) fn issue(&self, number: u64) -> Option<&Issue> {
        self.issues.iter().find(|issue| issue.number == number)
    }

    /// The issue or pull request with this number, to change.
    pub(super) fn issue_mut(&mut self, number: u64) -> Option<&mut Issue> {
        self.issues.iter_mut().find(|issue| issue.number == number)
    }

    /// The number the next issue or pull request gets.
    pub(super) fn next_number(&self) -> u64 {
        self.issues.last().map_or(1, |issue| issue.number + 1)
    }

    /// Follows branches that moved since the last look: open pull requests get the new head, and are closed when
    /// their head branch is gone.
    pub(super) fn observe_branches(&mut self, now: Timestamp, next_id: &AtomicU64) {
        let heads = bare::branches(&self.git_dir);
        if heads == self.heads {
            return;
        }
        self.pushed_at = now;
        self.updated_at = now;
        for issue in self.issues.iter_mut().filter(|issue| issue.open) {
            let Some(pull) = &mut issue.pull else { continue };
            if let Some(base) = heads.get(&pull.base) {
                pull.base_sha.clone_from(base);
            }
            match heads.get(&pull.head) {
                Some(head) if *head != pull.head_sha => {
                    pull.head_sha.clone_from(head);
                    pull.head_changed_at = now;
                    issue.updated_at = now;
                }
                Some(_) => {}
                None => {
                    let owner = self.owner.clone();
                    issue.set_open(false, None, &owner, now, next_id);
                }
            }
        }
        self.heads = heads;
    }
}

impl Issue {
    /// Appends a line to the history and marks the issue as changed.
    pub(super) fn record(&mut self, kind: &'static str, actor: &str, at: Timestamp, next_id: &AtomicU64) {
        self.updated_at = at;
        self.events.push(IssueEvent {
            id: next_id.fetch_add(1, Ordering::SeqCst),
            kind,
            actor: actor.to_owned(),
            at,
            label: None,
            rename: None,
            commit: None,
        });
    }

    /// Opens or closes the issue with its history line; nothing happens when it already is so.
    pub(super) fn set_open(&mut self, open: bool, reason: Option<&str>, by: &str, at: Timestamp, next_id: &AtomicU64) {
        if self.open == open {
            return;
        }
        self.open = open;
        if open {
            self.state_reason = Some("reopened".to_owned());
            self.closed_at = None;
            self.closed_by = None;
        } else {
            self.state_reason = self.pull.is_none().then(|| reason.unwrap_or("completed").to_owned());
            self.closed_at = Some(at);
            self.closed_by = Some(by.to_owned());
        }
        self.record(if open { "reopened" } else { "closed" }, by, at, next_id);
    }

    /// Adds a label with its history line; nothing happens when it is there.
    pub(super) fn add_label(&mut self, name: &str, by: &str, at: Timestamp, next_id: &AtomicU64) {
        if self.labels.iter().any(|have| have.eq_ignore_ascii_case(name)) {
            return;
        }
        self.labels.push(name.to_owned());
        self.record("labeled", by, at, next_id);
        self.label_last_event(name);
    }

    /// Removes a label with its history line; `false` when it was not there.
    pub(super) fn remove_label(&mut self, name: &str, by: &str, at: Timestamp, next_id: &AtomicU64) -> bool {
        let Some(found) = self.labels.iter().position(|have| have.eq_ignore_ascii_case(name)) else {
            return false;
        };
        let name = self.labels.remove(found);
        self.record("unlabeled", by, at, next_id);
        self.label_last_event(&name);
        true
    }

    /// Changes the title with its history line.
    pub(super) fn rename(&mut self, title: &str, by: &str, at: Timestamp, next_id: &AtomicU64) {
        if self.title == title {
            return;
        }
        let old = std::mem::replace(&mut self.title, title.to_owned());
        self.record("renamed", by, at, next_id);
        if let Some(event) = self.events.last_mut() {
            event.rename = Some((old, title.to_owned()));
        }
    }

    fn label_last_event(&mut self, name: &str) {
        if let Some(event) = self.events.last_mut() {
            event.label = Some(name.to_owned());
        }
    }
}

/// Where a name leads.
pub(super) enum Found {
    /// The repository has this name now (index into `repos`).
    Here(usize),
    /// The repository had this name once.
    Moved(usize),
    /// There is none.
    Nowhere,
}

/// Everything that exists. All indexes stay valid: repositories are never removed.
#[derive(Debug)]
pub(super) struct World {
    pub(super) users: BTreeSet<String>,
    pub(super) organizations: BTreeSet<String>,
    pub(super) everywhere: BTreeMap<String, Permission>,
    pub(super) tokens: BTreeMap<String, String>,
    pub(super) repos: Vec<Repository>,
    pub(super) mergeable_after: Duration,
    /// For how long a search does not find a new issue.
    pub(super) search_lag: Duration,
    /// How many entries a listing of a whole tree has at most.
    pub(super) most_tree_entries: usize,
    /// The status of a write to a former name of a repository.
    pub(super) write_redirect: u16,
    /// How many fields at the top of a GraphQL document the server can do in its ten seconds.
    pub(super) most_aliases: usize,
    /// How many queries asked who wrote something.
    pub(super) blames: usize,
    pub(super) apps: Apps,
    pub(super) next_id: AtomicU64,
}

impl World {
    pub(super) fn new() -> Self {
        Self {
            users: BTreeSet::new(),
            organizations: BTreeSet::new(),
            everywhere: BTreeMap::new(),
            tokens: BTreeMap::new(),
            repos: Vec::new(),
            mergeable_after: Duration::ZERO,
            search_lag: Duration::ZERO,
            most_tree_entries: 100_000,
            write_redirect: 307,
            most_aliases: usize::MAX,
            blames: 0,
            apps: Apps { token_length: 40, ..Apps::default() },
            next_id: AtomicU64::new(1001),
        }
    }

    /// A number no other object has.
    pub(super) fn id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::SeqCst)
    }

    /// Looks a repository up by its present or a former name; case does not matter.
    pub(super) fn find(&self, owner: &str, name: &str) -> Found {
        let here = |repo: &Repository| repo.name.eq_ignore_ascii_case(name) && repo.owner.eq_ignore_ascii_case(owner);
        if let Some(at) = self.repos.iter().position(here) {
            return Found::Here(at);
        }
        let full = format!("{owner}/{name}");
        let moved =
            self.repos.iter().position(|repo| repo.former_names.iter().any(|old| old.eq_ignore_ascii_case(&full)));
        moved.map_or(Found::Nowhere, Found::Moved)
    }

    /// What a user may do in a repository: the given role, else the one given everywhere, else reading if public.
    pub(super) fn permission(&self, repo: usize, login: Option<&str>) -> Permission {
        self.access(repo, login).permission
    }

    /// As [`World::permission`], with the name of the role.
    pub(super) fn access(&self, repo: usize, login: Option<&str>) -> Access {
        let bot = login.is_some_and(|login| self.is_bot_of(repo, login));
        let repo = &self.repos[repo];
        let public = if repo.private { Permission::None } else { Permission::Read };
        let plain =
            |permission: Permission| Access { permission, role_name: super::permission::role(permission).to_owned() };
        let Some(login) = login else { return plain(public) };
        if let Some(access) = repo.access.get(login) {
            return if access.permission < public { plain(public) } else { access.clone() };
        }
        if repo.owner == login {
            return plain(Permission::Admin);
        }
        if bot {
            return plain(Permission::Write);
        }
        plain(self.everywhere.get(login).copied().unwrap_or(Permission::None).max(public))
    }

    /// GitHub's `author_association` of a user in a repository, as it would be shown for something written now.
    pub(super) fn association(&self, repo: usize, login: &str) -> &'static str {
        let here = &self.repos[repo];
        let explicit = here.access.contains_key(login) || self.everywhere.get(login) > Some(&Permission::Read);
        if here.owner == login {
            "OWNER"
        } else if explicit && self.permission(repo, Some(login)) > Permission::Read {
            if here.owner_kind == "Organization" { "MEMBER" } else { "COLLABORATOR" }
        } else if here.issues.iter().any(|i| i.user == login && i.pull.as_ref().is_some_and(|p| p.merged_at.is_some()))
        {
            "CONTRIBUTOR"
        } else {
            "NONE"
        }
    }

    /// Makes sure that a label is defined, with GitHub's grey when it is new.
    pub(super) fn ensure_label(&mut self, repo: usize, name: &str) {
        if self.repos[repo].labels.iter().any(|label| label.name.eq_ignore_ascii_case(name)) {
            return;
        }
        let label = Label { id: self.id(), name: name.to_owned(), color: "ededed".to_owned(), description: None };
        self.repos[repo].labels.push(label);
    }

    /// Follows moved branches of one repository.
    pub(super) fn observe(&mut self, repo: usize, now: Timestamp) {
        self.repos[repo].observe_branches(now, &self.next_id);
    }
}
