//! Issues and what is said on them.

use super::super::world::Issue;
use super::super::{FakeGitHub, discussion, issues};
use super::IssueRef;

impl FakeGitHub {
    /// Somebody opens an issue in the first repository; gives its number.
    pub fn open_issue(&self, by: &str, title: &str, body: &str) -> u64 {
        self.open_issue_at(None, by, title, body)
    }

    /// Somebody opens an issue in a named repository; gives its number.
    pub fn open_issue_in(&self, repo: &str, by: &str, title: &str, body: &str) -> u64 {
        self.open_issue_at(Some(repo), by, title, body)
    }

    fn open_issue_at(&self, repo: Option<&str>, by: &str, title: &str, body: &str) -> u64 {
        let (mut world, at) = self.at(repo);
        let issue = issues::open(&world, at, by, title, Some(body), self.hub.clock.now());
        let number = issue.number;
        world.repos[at].issues.push(issue);
        number
    }

    /// Somebody adds a label.
    pub fn label(&self, issue: impl Into<IssueRef>, name: &str, by: &str) {
        let now = self.hub.clock.now();
        self.with_issue(issue, |world, at, number| issues::put_labels(world, at, number, &[name.to_owned()], by, now));
    }

    /// People react to an issue with an emoji; that is no change of it.
    pub fn react(&self, issue: impl Into<IssueRef>, people: u64) {
        self.with_issue(issue, |world, at, number| {
            world.repos[at].issue_mut(number).expect("it exists").reactions += people;
        });
    }

    /// Somebody removes a label.
    pub fn unlabel(&self, issue: impl Into<IssueRef>, name: &str, by: &str) {
        self.change_issue(issue, |issue, now, ids| {
            assert!(issue.remove_label(name, by, now, ids), "no label {name} to remove")
        });
    }

    /// Somebody comments; gives the comment's id.
    pub fn comment(&self, issue: impl Into<IssueRef>, by: &str, text: &str) -> u64 {
        let now = self.hub.clock.now();
        self.with_issue(issue, |world, at, number| {
            discussion::say(world, at, number, by, text, now).expect("it exists")
        })
    }

    /// Somebody edits a comment.
    pub fn edit_comment(&self, issue: impl Into<IssueRef>, comment: u64, text: &str) {
        self.change_issue(issue, |issue, now, _| {
            let found = issue.comments.iter_mut().find(|have| have.id == comment).expect("the comment exists");
            text.clone_into(&mut found.body);
            found.updated_at = now;
            issue.updated_at = now;
        });
    }

    /// Somebody deletes a comment.
    pub fn delete_comment(&self, issue: impl Into<IssueRef>, comment: u64) {
        self.change_issue(issue, |issue, now, _| {
            issue.comments.retain(|have| have.id != comment);
            issue.updated_at = now;
        });
    }

    /// Somebody edits the title, the text, or both.
    pub fn edit_issue(&self, issue: impl Into<IssueRef>, by: &str, title: Option<&str>, body: Option<&str>) {
        self.change_issue(issue, |issue, now, ids| {
            if let Some(title) = title {
                issue.rename(title, by, now, ids);
            }
            if let Some(body) = body {
                issue.body = Some(body.to_owned());
            }
            issue.updated_at = now;
        });
    }

    /// Somebody closes an issue or pull request.
    pub fn close(&self, issue: impl Into<IssueRef>, by: &str) {
        self.change_issue(issue, |issue, now, ids| issue.set_open(false, None, by, now, ids));
    }

    /// Somebody opens it again.
    pub fn reopen(&self, issue: impl Into<IssueRef>, by: &str) {
        self.change_issue(issue, |issue, now, ids| issue.set_open(true, None, by, now, ids));
    }

    /// Somebody locks the discussion.
    pub fn lock(&self, issue: impl Into<IssueRef>, by: &str) {
        self.change_issue(issue, |issue, now, ids| {
            issue.locked = true;
            issue.record("locked", by, now, ids);
        });
    }

    /// All issues of the first repository, without pull requests.
    #[must_use]
    pub fn issues(&self) -> Vec<Issue> {
        let (world, at) = self.at(None);
        world.repos[at].issues.iter().filter(|issue| issue.pull.is_none()).cloned().collect()
    }

    /// All issues of a named repository, without pull requests.
    #[must_use]
    pub fn issues_in(&self, repo: &str) -> Vec<Issue> {
        let (world, at) = self.at(Some(repo));
        world.repos[at].issues.iter().filter(|issue| issue.pull.is_none()).cloned().collect()
    }

    /// An issue or pull request as it stands.
    #[must_use]
    pub fn issue(&self, issue: impl Into<IssueRef>) -> Issue {
        self.with_issue(issue, |world, at, number| world.repos[at].issue(number).expect("it exists").clone())
    }
}
