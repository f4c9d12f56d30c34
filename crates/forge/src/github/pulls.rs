//! Pull requests: opening, reading, merging, closing.

use async_trait::async_trait;
use backlog::approval::{CommentCommand, Permission};
use backlog::intent::{IntentKind, WriteIntent};
use backlog::names::{CommitId, RepoName};
use backlog::review::{PullState, PullStatus, ReviewNote};
use backlog::task::Pull;
use backlog::time::Timestamp;
use http::{Method, StatusCode};
use serde_json::{Map, Value, json};
use url::Url;

use super::GitHub;
use super::client::{Answer, Failure, Refusal};
use super::governor::{Ask, Traffic};
use super::issues::{self, PAGES, marked, same_text, title};
use super::model::{self, time};
use super::writes::{Creation, Receipt, Request};
use crate::marker::{self, Marker};
use crate::sanitize::sanitize;
use crate::{ForgeError, PullDraft};

/// How often a merge is tried again when its base moved at the same time (R31).
const MERGE_TRIES: u32 = 3;

impl GitHub {
    fn pulls_url(&self, repository: &RepoName, rest: &[&str], query: &[(&str, &str)]) -> Url {
        self.repository_url(repository, &[["pulls"].as_slice(), rest].concat(), query)
    }

    async fn pull_request(&self, repository: &RepoName, number: u64) -> Result<model::PullRequest, ForgeError> {
        Ok(self.client_of(repository).await?.get_json(&self.pulls_url(repository, &[&number.to_string()], &[])).await?)
    }

    pub(super) async fn ensure_pull_request_of(&self, draft: &PullDraft) -> Result<Pull, ForgeError> {
        let as_draft = NewPull { draft, draft_state: draft.draft };
        let ensured = match self.ensure(&as_draft).await {
            // Drafts cost money in private repositories; a pull request that is ready is better than none.
            Err(ForgeError::Unexpected(said)) if draft.draft && said.to_ascii_lowercase().contains("draft") => {
                self.ensure(&NewPull { draft, draft_state: false }).await?
            }
            done => done?,
        };
        let found = ensured.thing;
        if !ensured.fresh && found.state != "closed" {
            self.update_pull(draft, &found).await?;
        }
        Ok(Pull {
            number: Some(found.number),
            url: found.html_url,
            branch: draft.branch.clone(),
            head: draft.head.clone(),
        })
    }

    async fn update_pull(&self, draft: &PullDraft, found: &model::PullRequest) -> Result<(), ForgeError> {
        let mut change = Map::new();
        let body = marked(self.key(), &draft.body, &Marker::of(IntentKind::PullRequest, &draft.task));
        if title(&draft.title) != found.title {
            change.insert("title".to_owned(), title(&draft.title).into());
        }
        if !same_text(&body, &found.body) {
            change.insert("body".to_owned(), body.into());
        }
        if found.base.branch != draft.base {
            change.insert("base".to_owned(), draft.base.clone().into());
        }
        if change.is_empty() {
            return Ok(());
        }
        let url = self.pulls_url(&draft.repository, &[&found.number.to_string()], &[]);
        self.edit(&draft.repository, Method::PATCH, &url, Some(&Value::Object(change))).await.map(drop)
    }

    pub(super) async fn pull_status_of(&self, repository: &RepoName, pull: &Pull) -> Result<PullStatus, ForgeError> {
        let number = number_of(pull)?;
        let found = self.pull_request(repository, number).await?;
        let head: CommitId = found.head.sha.parse().map_err(|error| {
            ForgeError::Unexpected(format!("the head of pull request {number} in {repository}: {error}"))
        })?;
        let state = self.pull_state(repository, &found).await?;
        if state != PullState::Open {
            return Ok(PullStatus { state, head, conflicts: None, checks: Vec::new(), notes: Vec::new() });
        }
        Ok(PullStatus {
            state,
            conflicts: found.mergeable.map(|mergeable| !mergeable),
            checks: self.checks_of(repository, &head).await?,
            notes: self.notes_of(repository, number).await?,
            head,
        })
    }

    async fn pull_state(&self, repository: &RepoName, found: &model::PullRequest) -> Result<PullState, ForgeError> {
        if let Some(at) = &found.merged_at {
            let by = found.merged_by.as_ref().map(|user| user.login.clone());
            return Ok(PullState::Merged { at: time(Some(at)), by });
        }
        if found.state != "closed" {
            return Ok(PullState::Open);
        }
        // Only the issue side of a pull request says who closed it.
        let issue = self.issue_model(repository, found.number).await?;
        Ok(PullState::Closed { by: issue.closed_by.map(|user| user.login) })
    }

    /// What people said, oldest first, without what the service said itself.
    async fn notes_of(&self, repository: &RepoName, number: u64) -> Result<Vec<ReviewNote>, ForgeError> {
        let id = number.to_string();
        let page = [("per_page", "100")];
        let client = self.client_of(repository).await?;
        let reviews: Vec<model::Review> =
            client.pages(self.pulls_url(repository, &[&id, "reviews"], &page), PAGES).await?;
        let lines: Vec<model::LineComment> =
            client.pages(self.pulls_url(repository, &[&id, "comments"], &page), PAGES).await?;
        let comments = self.comments(repository, number).await?;
        let us = self.us().await?;
        let mut notes: Vec<(Timestamp, ReviewNote)> = Vec::new();
        for review in &reviews {
            let asks_for_change = review.state == "CHANGES_REQUESTED";
            if review.state == "PENDING" || (review.body.trim().is_empty() && !asks_for_change) {
                continue;
            }
            let note = self.note(repository, format!("review-{}", review.id), &review.user, &review.body).await?;
            notes.push((time(review.submitted_at.as_deref()), ReviewNote { asks_for_change, ..note }));
        }
        for line in &lines {
            let note = self.note(repository, format!("line-{}", line.id), &line.user, &line.body).await?;
            let place = line.line.or(line.original_line).map(|at| (line.path.clone(), at));
            notes.push((time(line.created_at.as_deref()), ReviewNote { asks_for_change: true, place, ..note }));
        }
        for comment in comments.iter().filter(|comment| !self.is_our_comment(us, comment)) {
            let note = self.note(repository, format!("comment-{}", comment.id), &comment.user, &comment.body).await?;
            let asks_for_change = asks_to_revise(&note.text);
            notes.push((time(comment.created_at.as_deref()), ReviewNote { asks_for_change, ..note }));
        }
        notes.sort_by_key(|(at, _)| *at);
        Ok(notes.into_iter().map(|(_, note)| note).collect())
    }

    /// A note without a place that asks for nothing; only people who may decide are trusted, never apps and bots.
    async fn note(
        &self,
        repository: &RepoName,
        id: String,
        by: &model::User,
        text: &str,
    ) -> Result<ReviewNote, ForgeError> {
        let trusted = by.kind == "User" && self.known_permission(repository, &by.login).await? >= Permission::Write;
        let text = sanitize(text).trim().to_owned();
        Ok(ReviewNote { id, by: by.login.clone(), trusted, text, place: None, asks_for_change: false })
    }

    pub(super) async fn merge_of(
        &self,
        repository: &RepoName,
        pull: &Pull,
        base: &str,
        message: &str,
    ) -> Result<(), ForgeError> {
        self.settle(repository).await?;
        let number = number_of(pull)?;
        let found = self.pull_request(repository, number).await?;
        if found.merged_at.is_some() {
            return Ok(());
        }
        mergeable(&found, pull, base)?;
        let (first, rest) = message.split_once('\n').unwrap_or((message, ""));
        let body = json!({
            "sha": pull.head.as_str(),
            "commit_title": title(first),
            "commit_message": rest.trim(),
            "merge_method": self.merge_method(repository).await?,
        });
        let url = self.pulls_url(repository, &[&number.to_string(), "merge"], &[]);
        let client = self.client_of(repository).await?;
        let mut tries = 0;
        loop {
            tries += 1;
            let failure = match client.edit(Ask::merge(repository), Method::PUT, &url, Some(&body)).await {
                Ok(_) => return Ok(()),
                Err(failure) => failure,
            };
            match failure {
                Failure::Refused(refusal) if refusal.status == StatusCode::METHOD_NOT_ALLOWED => {
                    if !refusal.said.contains("Base branch was modified") {
                        return Err(ForgeError::Denied { what: format!("merging {}", pull.url), why: refusal.said });
                    }
                    if tries > MERGE_TRIES {
                        return Err(ForgeError::Transient { why: refusal.said, retry_at: None });
                    }
                    client.governor.rest(2u32.pow(tries)).await;
                }
                Failure::Moved => return Err(self.moved(repository).await),
                // With the expected head in it a merge may be asked for again: the next call looks first.
                failure => return Err(failure.into()),
            }
        }
    }

    /// A merge commit where the repository allows it, so that the delivered commits stay what they are.
    async fn merge_method(&self, repository: &RepoName) -> Result<&'static str, ForgeError> {
        let repository = self.repository_model(repository).await?;
        Ok(match (repository.allow_merge_commit, repository.allow_squash_merge) {
            (None | Some(true), _) => "merge",
            (Some(false), None | Some(true)) => "squash",
            (Some(false), Some(false)) => "rebase",
        })
    }

    pub(super) async fn close_pull_of(&self, repository: &RepoName, pull: &Pull) -> Result<(), ForgeError> {
        let number = number_of(pull)?;
        if self.pull_request(repository, number).await?.state == "closed" {
            return Ok(());
        }
        let url = self.pulls_url(repository, &[&number.to_string()], &[]);
        self.edit(repository, Method::PATCH, &url, Some(&json!({ "state": "closed" }))).await.map(drop)
    }
}

/// Finding what may have been created before.
impl GitHub {
    /// The pull request of an intent: the open one of its branch, whoever opened it; else a closed one that carries our
    /// marker. Nobody without leave to push can have opened one of a branch of the repository itself. There is no closer
    /// look: GitHub refuses a second one for a branch, so sending again does no harm.
    pub(super) async fn seek_pull(&self, intent: &WriteIntent) -> Result<Option<Receipt>, ForgeError> {
        let WriteIntent { repository, target: branch, .. } = intent;
        let present = self.present(repository);
        let head = format!("{}:{branch}", present.owner());
        let query = [("head", head.as_str()), ("state", "all"), ("per_page", "100")];
        let mut found: Vec<model::PullRequest> =
            self.client_of(repository).await?.get_json(&self.pulls_url(repository, &[], &query)).await?;
        // Some servers ignore the filter.
        found.retain(|pull| {
            let here =
                pull.head.repo.as_ref().is_some_and(|repo| repo.full_name.eq_ignore_ascii_case(present.as_str()));
            here && pull.head.branch == *branch
        });
        let us = self.us().await?;
        let mark = Marker::of(IntentKind::PullRequest, &intent.task);
        let is_ours = |pull: &model::PullRequest| {
            us.is(&pull.user) && marker::find(self.key(), &pull.body).as_ref() == Some(&mark)
        };
        let open = found.iter().find(|pull| pull.state == "open");
        let it = open.or_else(|| found.iter().find(|pull| is_ours(pull)));
        Ok(it.map(|pull| (pull.number, pull.html_url.clone())))
    }
}

fn number_of(pull: &Pull) -> Result<u64, ForgeError> {
    pull.number.ok_or_else(|| ForgeError::NotFound(format!("a pull request for the local branch {}", pull.branch)))
}

/// Refuses to merge what is not what was looked at.
fn mergeable(found: &model::PullRequest, pull: &Pull, base: &str) -> Result<(), ForgeError> {
    let refused = |why: String| Err(ForgeError::Conflict(format!("{} was not merged: {why}", pull.url)));
    if found.state == "closed" {
        return refused("it is closed; open it again first".to_owned());
    }
    if found.head.sha != pull.head.as_str() {
        return refused("its branch has moved since it was looked at; look at it again".to_owned());
    }
    if found.base.branch != base {
        return refused(format!("it goes into {} now instead of {base}", found.base.branch));
    }
    Ok(())
}

/// Whether a comment in the conversation hands the work back: its command is `/ccm revise`.
fn asks_to_revise(text: &str) -> bool {
    match CommentCommand::parse(text) {
        Some(CommentCommand::Unknown(command)) => {
            command.strip_prefix("revise").is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
        }
        _ => false,
    }
}

/// The pull request of a task.
struct NewPull<'a> {
    draft: &'a PullDraft,
    draft_state: bool,
}

#[async_trait]
impl Creation for NewPull<'_> {
    type Thing = model::PullRequest;

    fn intent(&self, now: Timestamp) -> WriteIntent {
        let PullDraft { repository, task, title, body, branch, .. } = self.draft;
        let place = (repository, task, branch.to_string());
        issues::intent(IntentKind::PullRequest, format!("pull_request:{task}"), place, &[title, body], now)
    }

    fn request(&self, github: &GitHub) -> Request {
        let PullDraft { repository, task, title: text, body, branch, base, .. } = self.draft;
        let mark = Marker::of(IntentKind::PullRequest, task);
        let body = json!({
            "title": title(text),
            "body": marked(github.key(), body, &mark),
            "head": branch.as_str(),
            "base": base,
            "draft": self.draft_state,
        });
        Request { url: github.pulls_url(repository, &[], &[]), body, traffic: Traffic::NewPull }
    }

    async fn prepare(&self, _github: &GitHub) -> Result<(), ForgeError> {
        Ok(())
    }

    async fn read(&self, github: &GitHub, number: u64) -> Result<Option<model::PullRequest>, ForgeError> {
        Ok(Some(github.pull_request(&self.draft.repository, number).await?))
    }

    fn parse(&self, answer: &Answer) -> Result<model::PullRequest, Failure> {
        answer.json()
    }

    fn receipt(&self, pull: &model::PullRequest) -> Receipt {
        (pull.number, pull.html_url.clone())
    }

    fn exists_already(&self, refusal: &Refusal) -> bool {
        refusal.status == StatusCode::UNPROCESSABLE_ENTITY && refusal.said.contains("already exists")
    }
}

#[cfg(test)]
mod tests;
