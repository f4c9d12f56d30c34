//! The verbs of stories: what people and other programs do on GitHub, without requests and without permission checks.
//!
//! Verbs panic when they name something that does not exist: the test is wrong then. Issues are named by their number
//! in the first repository, or by `("owner/name", number)`.

mod issues;
mod pulls;
mod repositories;

pub use repositories::PushRule;

use std::sync::MutexGuard;
use std::sync::atomic::AtomicU64;

use backlog::time::Timestamp;

use super::FakeGitHub;
use super::permission::{Access, Permission};
use super::world::{Found, Issue, Pull, Repository, World};

/// An issue or pull request: a number in the first repository, or in a named one.
#[derive(Clone, Debug)]
pub struct IssueRef {
    repo: Option<String>,
    number: u64,
}

impl From<u64> for IssueRef {
    fn from(number: u64) -> Self {
        Self { repo: None, number }
    }
}

impl From<i32> for IssueRef {
    fn from(number: i32) -> Self {
        Self::from(u64::try_from(number).expect("issue numbers are positive"))
    }
}

impl From<(&str, u64)> for IssueRef {
    fn from((repo, number): (&str, u64)) -> Self {
        Self { repo: Some(repo.to_owned()), number }
    }
}

/// What a check is about: a commit, or the head of a pull request.
#[derive(Clone, Debug)]
pub enum Target {
    /// A commit of the first repository.
    Sha(String),
    /// The present head of this pull request.
    Pull(IssueRef),
}

impl From<&str> for Target {
    fn from(sha: &str) -> Self {
        Self::Sha(sha.to_owned())
    }
}

impl From<&String> for Target {
    fn from(sha: &String) -> Self {
        Self::Sha(sha.clone())
    }
}

impl From<u64> for Target {
    fn from(number: u64) -> Self {
        Self::Pull(number.into())
    }
}

impl From<i32> for Target {
    fn from(number: i32) -> Self {
        Self::Pull(number.into())
    }
}

impl From<(&str, u64)> for Target {
    fn from(pull: (&str, u64)) -> Self {
        Self::Pull(pull.into())
    }
}

/// A pull request as it stands: its issue side and the rest.
#[derive(Clone, Debug)]
pub struct PullRequest {
    /// Number, title, body, labels, comments, state.
    pub issue: Issue,
    /// Branches, merge, reviews.
    pub pull: Pull,
}

/// People, tokens and permissions.
impl FakeGitHub {
    /// A user with this permission in every repository, unless [`FakeGitHub::permit`] says otherwise there. Logins
    /// ending in `[bot]` are bots.
    pub fn user(&self, login: &str, permission: Permission) {
        let mut world = self.hub.world();
        world.users.insert(login.to_owned());
        world.everywhere.insert(login.to_owned(), permission);
    }

    /// An organisation: its repositories belong to nobody in particular. Call it before making its repositories.
    pub fn organization(&self, login: &str) {
        self.hub.world().organizations.insert(login.to_owned());
    }

    /// Gives a user a permission in one repository.
    pub fn permit(&self, repo: &str, login: &str, permission: Permission) {
        self.permit_as(repo, login, permission, super::permission::role(permission));
    }

    /// Gives a user a custom role, which has a name of its own and the rights of `permission`.
    pub fn permit_as(&self, repo: &str, login: &str, permission: Permission, role_name: &str) {
        let (mut world, at) = self.at(Some(repo));
        world.users.insert(login.to_owned());
        world.repos[at].access.insert(login.to_owned(), Access { permission, role_name: role_name.to_owned() });
    }

    /// A new token of a user; an unknown user comes into being with write permission everywhere.
    #[must_use]
    pub fn token_for(&self, login: &str) -> String {
        self.token_of_length(login, 40)
    }

    /// As [`FakeGitHub::token_for`], with a token of this many characters (at least 30).
    #[must_use]
    pub fn token_of_length(&self, login: &str, length: usize) -> String {
        let mut world = self.hub.world();
        if world.users.insert(login.to_owned()) {
            world.everywhere.insert(login.to_owned(), Permission::Write);
        }
        let token = format!("ghp_{:0>width$}", world.id(), width = length.saturating_sub(4));
        world.tokens.insert(token.clone(), login.to_owned());
        token
    }

    /// Makes a token invalid.
    pub fn revoke(&self, token: &str) {
        self.hub.world().tokens.remove(token);
    }
}

/// The ways to what verbs change.
impl FakeGitHub {
    /// The world and the index of a repository in it; the first one when none is named.
    pub(super) fn at(&self, repo: Option<&str>) -> (MutexGuard<'_, World>, usize) {
        let world = self.hub.world();
        let Some(name) = repo else {
            assert!(!world.repos.is_empty(), "make a repository first: github.repo(\"me/app\").await");
            return (world, 0);
        };
        let (owner, short) = name.split_once('/').expect("a repository is named owner/name");
        match world.find(owner, short) {
            Found::Here(at) | Found::Moved(at) => (world, at),
            Found::Nowhere => panic!("there is no repository {name}"),
        }
    }

    pub(super) fn change(&self, repo: &str, change: impl FnOnce(&mut Repository)) {
        let (mut world, at) = self.at(Some(repo));
        change(&mut world.repos[at]);
        world.repos[at].updated_at = self.hub.clock.now();
    }

    pub(super) fn with_issue<T>(&self, issue: impl Into<IssueRef>, act: impl FnOnce(&mut World, usize, u64) -> T) -> T {
        let issue = issue.into();
        let (mut world, at) = self.at(issue.repo.as_deref());
        assert!(world.repos[at].issue(issue.number).is_some(), "there is no issue {}", issue.number);
        act(&mut world, at, issue.number)
    }

    pub(super) fn change_issue(&self, issue: impl Into<IssueRef>, act: impl FnOnce(&mut Issue, Timestamp, &AtomicU64)) {
        let now = self.hub.clock.now();
        self.with_issue(issue, |world, at, number| {
            let World { repos, next_id, .. } = world;
            act(repos[at].issue_mut(number).expect("it exists"), now, next_id);
        });
    }
}
