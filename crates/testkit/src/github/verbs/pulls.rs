//! Pull requests, reviews and checks.

use super::super::pulls::{Draft, Order};
use super::super::world::{CheckRun, ReviewComment, WorkflowRun};
use super::super::{FakeGitHub, bare, pulls, reviews};
use super::{IssueRef, PullRequest, Target};

impl FakeGitHub {
    /// Somebody opens a pull request from a branch of the first repository into `main`; gives its number.
    ///
    /// # Panics
    /// When GitHub would refuse it.
    pub async fn open_pull(&self, by: &str, head: &str, title: &str, body: &str) -> u64 {
        let now = self.hub.clock.now();
        let (head, base) = (head, "main");
        let draft = Draft { title, body: Some(body), head, base, draft: false, by, now, hidden_until: now };
        pulls::propose(&self.hub, 0, draft).await.expect("GitHub accepts the pull request")
    }

    /// Somebody reviews; `state` is `APPROVED`, `CHANGES_REQUESTED`, `COMMENTED` or `DISMISSED`. Gives the review's id.
    pub fn review(&self, pull: impl Into<IssueRef>, by: &str, state: &str, text: &str) -> u64 {
        let now = self.hub.clock.now();
        self.with_issue(pull, |world, at, number| {
            reviews::judge(world, at, number, by, state, text, now).expect("it is a pull request")
        })
    }

    /// Somebody comments on a line of the diff; belongs to the reviewer's last review if there is one. Gives its id.
    pub fn review_comment(&self, pull: impl Into<IssueRef>, by: &str, path: &str, line: u64, text: &str) -> u64 {
        let now = self.hub.clock.now();
        self.with_issue(pull, |world, at, number| {
            let id = world.id();
            let issue = world.repos[at].issue_mut(number).expect("it exists");
            issue.updated_at = now;
            let pull = issue.pull.as_mut().expect("it is a pull request");
            pull.review_comments.push(ReviewComment {
                id,
                review: pull.reviews.iter().rev().find(|review| review.user == by).map(|review| review.id),
                user: by.to_owned(),
                path: path.to_owned(),
                line,
                body: text.to_owned(),
                commit: pull.head_sha.clone(),
                created_at: now,
            });
            id
        })
    }

    /// A check reports: `conclusion` is GitHub's (`success`, `failure`, …), or `queued` or `in_progress` while it has
    /// none. Makes a workflow run with one job that printed `log`. Gives the id of the check run, which is the job's.
    pub fn check(&self, target: impl Into<Target>, name: &str, conclusion: &str, log: &str) -> u64 {
        let (repo, sha) = match target.into() {
            Target::Sha(sha) => (None, sha),
            Target::Pull(pull) => (pull.repo.clone(), self.pull(pull).pull.head_sha),
        };
        let (mut world, at) = self.at(repo.as_deref());
        let (id, run, now) = (world.id(), world.id(), self.hub.clock.now());
        let status = match conclusion {
            "queued" => "queued",
            "in_progress" => "in_progress",
            _ => "completed",
        };
        let conclusion = (status == "completed").then(|| conclusion.to_owned());
        let repo = &mut world.repos[at];
        let heads = bare::branches(&repo.git_dir);
        let branch = heads.into_iter().find(|(_, tip)| *tip == sha).map(|(branch, _)| branch).unwrap_or_default();
        repo.runs.push(WorkflowRun {
            id: run,
            name: "CI".to_owned(),
            sha: sha.clone(),
            event: if branch == repo.default_branch { "push" } else { "pull_request" },
            branch,
            status,
            conclusion: conclusion.clone(),
            at: now,
        });
        let title = conclusion.as_ref().map(|conclusion| format!("{name}: {conclusion}"));
        let ended = conclusion.clone().unwrap_or_default();
        let summary = (!log.is_empty()).then(|| log.lines().last().unwrap_or_default().to_owned());
        repo.check_runs.push(CheckRun {
            id,
            name: name.to_owned(),
            sha,
            status,
            conclusion,
            output: (title, summary, None),
            run,
            log: log.to_owned(),
            steps: vec![("Set up job".to_owned(), "success".to_owned()), ("Run".to_owned(), ended)],
            started_at: now,
            completed_at: (status == "completed").then_some(now),
        });
        id
    }

    /// Somebody merges a pull request; gives the commit made on the base branch.
    ///
    /// # Panics
    /// When GitHub would refuse.
    pub async fn merge(&self, pull: impl Into<IssueRef>, by: &str) -> String {
        let pull = pull.into();
        let at = self.at(pull.repo.as_deref()).1;
        let order =
            Order { expected: None, method: "merge", title: None, message: None, by, now: self.hub.clock.now() };
        pulls::carry_out(&self.hub, at, pull.number, order).await.expect("GitHub merges")
    }

    /// All pull requests of the first repository.
    #[must_use]
    pub fn pulls(&self) -> Vec<PullRequest> {
        let (mut world, at) = self.at(None);
        world.observe(at, self.hub.clock.now());
        let found = world.repos[at].issues.iter().cloned();
        found.filter_map(|issue| Some(PullRequest { pull: issue.pull.clone()?, issue })).collect()
    }

    /// A pull request as it stands.
    #[must_use]
    pub fn pull(&self, pull: impl Into<IssueRef>) -> PullRequest {
        let now = self.hub.clock.now();
        self.with_issue(pull, |world, at, number| {
            world.observe(at, now);
            let issue = world.repos[at].issue(number).expect("it exists").clone();
            PullRequest { pull: issue.pull.clone().expect("it is a pull request"), issue }
        })
    }
}
