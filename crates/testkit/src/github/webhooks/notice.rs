//! What changed since the last look, as events.

use std::collections::BTreeMap;

use backlog::time::Timestamp;
use serde_json::{Value, json};

use super::super::world::{Comment, Issue, IssueEvent, Repository, World};
use super::{Event, bodies};

/// The world as it was seen last.
#[derive(Debug, Default)]
pub(super) struct Seen {
    repositories: BTreeMap<u64, SeenRepository>,
}

#[derive(Clone, Debug)]
struct SeenRepository {
    name: String,
    archived: bool,
    private: bool,
    heads: BTreeMap<String, String>,
    issues: BTreeMap<u64, Issue>,
    /// Status of check runs.
    checks: BTreeMap<u64, &'static str>,
    suites: BTreeMap<u64, &'static str>,
    /// Whether alerts are open, by event and number.
    alerts: BTreeMap<(&'static str, u64), bool>,
}

impl SeenRepository {
    fn of(repo: &Repository) -> Self {
        Self {
            name: repo.full_name(),
            archived: repo.archived,
            private: repo.private,
            heads: repo.heads.clone(),
            issues: repo.issues.iter().map(|issue| (issue.number, issue.clone())).collect(),
            checks: repo.check_runs.iter().map(|run| (run.id, run.status)).collect(),
            suites: repo.runs.iter().map(|run| (run.id, run.status)).collect(),
            alerts: repo.alerts.iter().map(|alert| ((alert.kind.event(), alert.number), alert.open)).collect(),
        }
    }
}

/// One repository, looked at again.
struct Look<'a> {
    base: &'a str,
    world: &'a World,
    at: usize,
    now: Timestamp,
    events: Vec<Event>,
}

impl Seen {
    /// The events since the last call.
    pub(super) fn compare(&mut self, base: &str, world: &World, now: Timestamp) -> Vec<Event> {
        let mut events = Vec::new();
        for (at, repo) in world.repos.iter().enumerate() {
            let mut look = Look { base, world, at, now, events: Vec::new() };
            match self.repositories.get(&repo.id) {
                None => look.tell("repository", "created", &repo.owner, json!({})),
                Some(seen) => look.repository(seen),
            }
            events.append(&mut look.events);
            self.repositories.insert(repo.id, SeenRepository::of(repo));
        }
        events
    }
}

impl Look<'_> {
    fn repo(&self) -> &Repository {
        &self.world.repos[self.at]
    }

    /// An event with what all of a repository have.
    fn tell(&mut self, name: &'static str, action: &str, sender: &str, rest: Value) {
        let body = bodies::event(self.base, self.world, self.at, self.now, action, sender, rest);
        self.events.push(Event { name, repository: Some(self.world.repos[self.at].id), body });
    }

    fn repository(&mut self, seen: &SeenRepository) {
        let (owner, name) = (self.repo().owner.clone(), self.repo().full_name());
        if seen.name != name {
            let (old_owner, old_name) = seen.name.split_once('/').unwrap_or_default();
            if old_owner == owner {
                let changes = json!({"changes": {"repository": {"name": {"from": old_name}}}});
                self.tell("repository", "renamed", &owner, changes);
            } else {
                let from = json!({"user": bodies::user(self.base, old_owner)});
                self.tell("repository", "transferred", &owner, json!({"changes": {"owner": {"from": from}}}));
            }
        }
        if seen.archived != self.repo().archived {
            let action = if self.repo().archived { "archived" } else { "unarchived" };
            self.tell("repository", action, &owner, json!({}));
        }
        if seen.private != self.repo().private {
            let action = if self.repo().private { "privatized" } else { "publicized" };
            self.tell("repository", action, &owner, json!({}));
        }
        self.branches(seen);
        for issue in self.repo().issues.clone() {
            match seen.issues.get(&issue.number) {
                None => {
                    let name = if issue.pull.is_some() { "pull_request" } else { "issues" };
                    self.of_issue(name, "opened", &issue.user.clone(), &issue, json!({}));
                    self.issue(&Issue { events: Vec::new(), comments: Vec::new(), ..issue.clone() }, &issue);
                }
                Some(before) => self.issue(before, &issue),
            }
        }
        self.checks(seen);
        self.alerts(seen);
    }

    fn alerts(&mut self, seen: &SeenRepository) {
        for alert in self.repo().alerts.clone() {
            let event = alert.kind.event();
            let action = match (seen.alerts.get(&(event, alert.number)), alert.open) {
                (None, true) => "created",
                (Some(true), false) => alert.kind.ended(),
                _ => continue,
            };
            let (owner, rest) = (self.repo().owner.clone(), bodies::alert(self.base, self.repo(), &alert, self.now));
            self.tell(event, action, &owner, json!({ "alert": rest }));
        }
    }

    fn branches(&mut self, seen: &SeenRepository) {
        let (heads, owner) = (self.repo().heads.clone(), self.repo().owner.clone());
        for branch in heads.keys().chain(seen.heads.keys()).collect::<std::collections::BTreeSet<_>>() {
            let (before, after) = (seen.heads.get(branch), heads.get(branch));
            if before != after {
                let rest = bodies::push(self.base, self.repo(), branch, before, after, self.now);
                self.tell("push", "", &owner, rest);
            }
        }
    }

    fn of_issue(&mut self, name: &'static str, action: &str, sender: &str, issue: &Issue, rest: Value) {
        let mut object = bodies::of_issue(self.base, self.world, self.at, self.now, issue, name);
        super::super::render::merge_into(&mut object, rest);
        self.tell(name, action, sender, object);
    }

    fn issue(&mut self, before: &Issue, issue: &Issue) {
        let name = if issue.pull.is_some() { "pull_request" } else { "issues" };
        for event in issue.events.iter().skip(before.events.len()) {
            self.history(name, issue, event);
        }
        if before.body != issue.body {
            let changes = json!({"changes": {"body": {"from": before.body.clone().unwrap_or_default()}}});
            self.of_issue(name, "edited", &issue.user.clone(), issue, changes);
        }
        for comment in &issue.comments {
            let old = before.comments.iter().find(|old| old.id == comment.id);
            match old {
                None => self.comment("created", issue, comment, json!({})),
                Some(old) if old.body != comment.body => {
                    self.comment("edited", issue, comment, json!({"changes": {"body": {"from": old.body}}}));
                }
                Some(_) => {}
            }
        }
        for gone in before.comments.iter().filter(|old| issue.comments.iter().all(|new| new.id != old.id)) {
            self.comment("deleted", issue, gone, json!({}));
        }
        self.pull(before, issue);
    }

    fn history(&mut self, name: &'static str, issue: &Issue, event: &IssueEvent) {
        let rest = match (event.kind, &event.label, &event.rename) {
            ("labeled" | "unlabeled", Some(label), _) => json!({"label": bodies::label(self.base, self.repo(), label)}),
            ("renamed", _, Some((from, _))) => json!({"changes": {"title": {"from": from}}}),
            ("closed" | "reopened" | "locked", _, _) => json!({}),
            _ => return,
        };
        let action = if event.kind == "renamed" { "edited" } else { event.kind };
        self.of_issue(name, action, &event.actor, issue, rest);
    }

    fn comment(&mut self, action: &str, issue: &Issue, comment: &Comment, rest: Value) {
        let mut object = bodies::of_comment(self.base, self.repo(), issue, comment);
        super::super::render::merge_into(&mut object, rest);
        self.tell("issue_comment", action, &comment.user, object);
    }

    fn pull(&mut self, before: &Issue, issue: &Issue) {
        let (Some(old), Some(new)) = (&before.pull, &issue.pull) else { return };
        if old.head_sha != new.head_sha {
            let rest = json!({"before": old.head_sha, "after": new.head_sha});
            self.of_issue("pull_request", "synchronize", &issue.user.clone(), issue, rest);
        }
        for review in new.reviews.iter().skip(old.reviews.len()) {
            let review_body = bodies::review(self.base, self.repo(), issue.number, review);
            let rest = json!({"review": review_body});
            self.of_issue("pull_request_review", "submitted", &review.user, issue, rest);
        }
        for comment in new.review_comments.iter().skip(old.review_comments.len()) {
            let rest = json!({"comment": bodies::review_comment(self.base, self.repo(), issue.number, comment)});
            self.of_issue("pull_request_review_comment", "created", &comment.user, issue, rest);
        }
    }

    fn checks(&mut self, seen: &SeenRepository) {
        for run in self.repo().check_runs.clone() {
            let old = seen.checks.get(&run.id);
            if old != Some(&run.status) {
                let action = if run.status == "completed" { "completed" } else { "created" };
                let rest = json!({"check_run": bodies::check_run(self.base, self.repo(), &run)});
                self.tell("check_run", action, "github-actions[bot]", rest);
            }
        }
        for run in self.repo().runs.clone() {
            if run.status == "completed" && seen.suites.get(&run.id) != Some(&"completed") {
                let rest = json!({"check_suite": bodies::check_suite(self.base, self.repo(), &run)});
                self.tell("check_suite", "completed", "github-actions[bot]", rest);
            }
        }
    }
}
