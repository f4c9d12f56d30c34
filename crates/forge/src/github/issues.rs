//! Issues, their labels, comments and history.

use async_trait::async_trait;
use backlog::approval::ContentHash;
use backlog::intent::{IntentKind, IntentState, WriteIntent};
use backlog::names::{RepoName, TaskId, digest};
use backlog::task::IssueLink;
use backlog::time::Timestamp;
use http::{Method, StatusCode};
use serde_json::{Map, Value, json};
use url::Url;

use super::GitHub;
use super::client::{Answer, Failure, Refusal};
use super::governor::Traffic;
use super::model::{self, time};
use super::writes::{Creation, Depth, Receipt, Request};
use crate::marker::{self, Marker};
use crate::sanitize::sanitize;
use crate::{Activity, ActivityKind, ForgeError, IssueClose, IssueDraft, IssuePatch, IssueView};

/// The longest title that GitHub takes, in characters.
const TITLE: usize = 256;
/// The longest body that we send, in characters, without the marker; GitHub takes 65,536.
const BODY: usize = 60_000;
/// Pages of our own issues to look through when nothing is remembered, and after a lost answer.
const DEEP_PAGES: usize = 30;
const SHALLOW_PAGES: usize = 2;
/// Pages of anything else.
pub(super) const PAGES: usize = 30;
/// Numbers after and before the newest listed one that are tried one by one, and how many of them at most.
const BEYOND: u64 = 3;
const BEHIND: u64 = 20;
const PROBES: usize = 10;

/// `title` in one line, cut to what GitHub takes.
pub(super) fn title(title: &str) -> String {
    let line = title.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= TITLE {
        return line;
    }
    line.chars().take(TITLE - 1).chain(['…']).collect()
}

/// `body` without foreign markers, cut to what GitHub takes, with our marker at its end.
pub(super) fn marked(key: &[u8], body: &str, marker: &Marker) -> String {
    format!("{}\n\n{}", cut(&marker::strip(body)), marker::marker(key, marker))
}

fn cut(body: &str) -> String {
    if body.chars().count() <= BODY {
        return body.to_owned();
    }
    let word = "\n\n_This text was cut, because GitHub takes no longer one._";
    let mut cut: String = body.chars().take(BODY - word.len()).collect();
    cut.push_str(word);
    cut
}

/// What a person reads of `body`, for comparing: code hosts rewrite line ends.
pub(super) fn same_text(a: &str, b: &str) -> bool {
    a.replace("\r\n", "\n").trim() == b.replace("\r\n", "\n").trim()
}

pub(super) fn intent(
    kind: IntentKind,
    id: String,
    (repository, task, target): (&RepoName, &TaskId, String),
    sent: &[&str],
    now: Timestamp,
) -> WriteIntent {
    WriteIntent {
        id,
        kind,
        repository: repository.clone(),
        task: task.clone(),
        target,
        hash: digest(sent),
        sends: 0,
        state: IntentState::Planned,
        created_at: now,
        updated_at: now,
    }
}

impl GitHub {
    fn issues_url(&self, repository: &RepoName, query: &[(&str, &str)]) -> Url {
        self.repository_url(repository, &["issues"], query)
    }

    pub(super) fn issue_url(&self, repository: &RepoName, number: u64, rest: &[&str]) -> Url {
        let number = number.to_string();
        let segments = [["issues", &number].as_slice(), rest].concat();
        let query: &[(&str, &str)] = if rest.is_empty() { &[] } else { &[("per_page", "100")] };
        self.repository_url(repository, &segments, query)
    }

    pub(super) async fn issue_model(&self, repository: &RepoName, number: u64) -> Result<model::Issue, Failure> {
        self.client_of(repository).await?.get_json(&self.issue_url(repository, number, &[])).await
    }

    pub(super) fn issue_view(&self, repository: &RepoName, issue: &model::Issue) -> IssueView {
        IssueView {
            link: IssueLink { repository: repository.clone(), number: issue.number, url: issue.html_url.clone() },
            title: issue.title.clone(),
            body: marker::strip(&issue.body),
            open: issue.state != "closed",
            updated_at: time(issue.updated_at.as_deref()),
        }
    }

    pub(super) async fn ensure_issue_of(&self, draft: &IssueDraft) -> Result<IssueView, ForgeError> {
        let ensured = self.ensure(&NewIssue { draft }).await?;
        if ensured.fresh {
            self.add_dropped_labels(draft, &ensured.thing).await?;
        }
        Ok(self.issue_view(&draft.repository, &ensured.thing))
    }

    /// GitHub drops labels without a word when the credential may not set them (F51).
    async fn add_dropped_labels(&self, draft: &IssueDraft, issue: &model::Issue) -> Result<(), ForgeError> {
        let dropped: Vec<String> = draft.labels.iter().filter(|label| !issue.has_label(label)).cloned().collect();
        if dropped.is_empty() {
            return Ok(());
        }
        match self.add_labels(&draft.repository, issue.number, &dropped).await {
            Err(ForgeError::Denied { why, .. } | ForgeError::NotFound(why)) => {
                tracing::warn!(repository = %draft.repository, number = issue.number, ?dropped, why, "the labels were dropped");
                Ok(())
            }
            done => done,
        }
    }

    pub(super) async fn changed_issues_of(
        &self,
        repository: &RepoName,
        since: Timestamp,
    ) -> Result<Vec<IssueView>, ForgeError> {
        let since = since.to_string();
        let query =
            [("state", "all"), ("sort", "updated"), ("direction", "asc"), ("since", &since), ("per_page", "100")];
        // Oldest change first: of a list that is too long the rest is read next time.
        let url = self.issues_url(repository, &query);
        let client = self.client_of(repository).await?;
        let (issues, _): (Vec<model::Issue>, bool) = client.first_pages(url, PAGES, |_| false).await?;
        let plain = issues.iter().filter(|issue| issue.pull_request.is_none());
        Ok(plain.map(|issue| self.issue_view(repository, issue)).collect())
    }

    pub(super) async fn activity_of(&self, link: &IssueLink) -> Result<Vec<Activity>, ForgeError> {
        let client = self.client_of(&link.repository).await?;
        let events: Vec<model::IssueEvent> =
            client.pages(self.issue_url(&link.repository, link.number, &["events"]), PAGES).await?;
        let comments = self.comments(&link.repository, link.number).await?;
        let us = self.us().await?;
        let mut all: Vec<Activity> = Vec::with_capacity(events.len() + comments.len());
        for event in &events {
            let label = event.label.as_ref().map(|label| label.name().to_owned());
            let what = match (event.event.as_str(), label) {
                ("labeled", Some(label)) => ActivityKind::Labeled(label),
                ("unlabeled", Some(label)) => ActivityKind::Unlabeled(label),
                ("closed", _) => ActivityKind::Closed,
                ("reopened", _) => ActivityKind::Reopened,
                _ => continue,
            };
            all.push(Activity {
                id: format!("event-{}", event.id),
                at: time(event.created_at.as_deref()),
                by: event.actor.login.clone(),
                by_person: event.actor.kind == "User",
                by_us: us.is(&event.actor),
                what,
            });
        }
        for comment in &comments {
            all.push(Activity {
                id: format!("comment-{}", comment.id),
                at: time(comment.created_at.as_deref()),
                by: comment.user.login.clone(),
                by_person: comment.user.kind == "User",
                by_us: self.is_our_comment(us, comment),
                what: ActivityKind::Commented(sanitize(&comment.body).trim().to_owned()),
            });
        }
        all.sort_by_key(|activity| activity.at);
        Ok(all)
    }

    /// Whether the service itself wrote a comment. With a personal token the account is a person's as well, who may
    /// comment by hand: only our marker tells the two apart.
    pub(super) fn is_our_comment(&self, us: &super::client::Account, comment: &model::Comment) -> bool {
        us.is(&comment.user) && (comment.user.kind == "Bot" || marker::find(self.key(), &comment.body).is_some())
    }

    pub(super) async fn comments(&self, repository: &RepoName, number: u64) -> Result<Vec<model::Comment>, Failure> {
        self.client_of(repository).await?.pages(self.issue_url(repository, number, &["comments"]), PAGES).await
    }

    pub(super) async fn update_issue_of(&self, link: &IssueLink, patch: &IssuePatch) -> Result<(), ForgeError> {
        let issue = self.issue_model(&link.repository, link.number).await?;
        let mut change = Map::new();
        let there = || ContentHash::of(&issue.title, &marker::strip(&issue.body));
        if patch.instead_of.as_ref().is_some_and(|expected| *expected != there()) {
            return Err(ForgeError::Conflict("somebody has edited the issue".to_owned()));
        }
        if let Some((new_title, new_body)) = &patch.content {
            let new_title = title(new_title);
            let plain = cut(&marker::strip(new_body));
            if new_title != issue.title || !same_text(&plain, &marker::strip(&issue.body)) {
                let body = match marker::find(self.key(), &issue.body) {
                    Some(own) => marked(self.key(), new_body, &own),
                    None => plain,
                };
                change.insert("title".to_owned(), new_title.into());
                change.insert("body".to_owned(), body.into());
            }
        }
        let open = issue.state != "closed";
        let (state, reason) = match patch.state {
            Some(IssueClose::Completed) if open => (Some("closed"), "completed"),
            Some(IssueClose::NotPlanned) if open => (Some("closed"), "not_planned"),
            Some(IssueClose::Reopen) if !open => (Some("open"), "reopened"),
            _ => (None, ""),
        };
        if let Some(state) = state {
            change.insert("state".to_owned(), state.into());
            change.insert("state_reason".to_owned(), reason.into());
        }
        if !change.is_empty() {
            let url = self.issue_url(&link.repository, link.number, &[]);
            self.edit(&link.repository, Method::PATCH, &url, Some(&Value::Object(change))).await?;
        }
        let missing: Vec<String> = patch.add_labels.iter().filter(|label| !issue.has_label(label)).cloned().collect();
        if !missing.is_empty() {
            self.ensure_labels(&link.repository, &missing).await?;
            self.add_labels(&link.repository, link.number, &missing).await?;
        }
        for label in patch.remove_labels.iter().filter(|label| issue.has_label(label)) {
            self.remove_label(&link.repository, link.number, label).await?;
        }
        Ok(())
    }

    async fn add_labels(&self, repository: &RepoName, number: u64, labels: &[String]) -> Result<(), ForgeError> {
        let mut url = self.issue_url(repository, number, &["labels"]);
        url.set_query(None);
        self.edit(repository, Method::POST, &url, Some(&json!({ "labels": labels }))).await.map(drop)
    }

    async fn remove_label(&self, repository: &RepoName, number: u64, label: &str) -> Result<(), ForgeError> {
        let mut url = self.issue_url(repository, number, &["labels", label]);
        url.set_query(None);
        match self.edit(repository, Method::DELETE, &url, None).await {
            Err(ForgeError::NotFound(_)) => Ok(()),
            done => done.map(drop),
        }
    }

    /// Makes sure that labels are defined, once per process and label. Without leave to define them the issue is
    /// made anyway.
    pub(super) async fn ensure_labels(&self, repository: &RepoName, labels: &[String]) -> Result<(), ForgeError> {
        for label in labels {
            let known = (repository.clone(), label.to_ascii_lowercase());
            if self.labels().contains(&known) {
                continue;
            }
            match self.ensure_label(repository, label).await {
                Err(ForgeError::Denied { why, .. }) => {
                    tracing::warn!(%repository, label, why, "the label cannot be defined")
                }
                done => done?,
            }
            self.labels().insert(known);
        }
        Ok(())
    }

    async fn ensure_label(&self, repository: &RepoName, label: &str) -> Result<(), ForgeError> {
        let exact = self.repository_url(repository, &["labels", label], &[]);
        let client = self.client_of(repository).await?;
        match client.get(&exact).await.map_err(ForgeError::from) {
            Err(ForgeError::NotFound(_)) => {}
            found => return found.map(drop),
        }
        let body = json!({ "name": label, "color": "5319e7", "description": "Set by Claude Code Manager (ccm)" });
        match self.edit(repository, Method::POST, &self.repository_url(repository, &["labels"], &[]), Some(&body)).await
        {
            Err(ForgeError::Conflict(_)) => Ok(()),
            done => done.map(drop),
        }
    }

    pub(super) async fn ensure_comment_of(
        &self,
        link: &IssueLink,
        task: &TaskId,
        name: &str,
        body: &str,
    ) -> Result<(), ForgeError> {
        let mark = Marker::of_comment(task, name);
        let body = marked(self.key(), body, &mark);
        let ensured = self.ensure(&NewComment { link, mark, body: &body }).await?;
        if ensured.fresh || same_text(&ensured.thing.body, &body) {
            return Ok(());
        }
        let url = self.comment_url(&link.repository, ensured.thing.id);
        self.edit(&link.repository, Method::PATCH, &url, Some(&json!({ "body": body }))).await.map(drop)
    }

    fn comment_url(&self, repository: &RepoName, id: u64) -> Url {
        let id = id.to_string();
        self.repository_url(repository, &["issues", "comments", &id], &[])
    }

    /// An edit that may be repeated; a redirect tells the repository's new name.
    pub(super) async fn edit(
        &self,
        repository: &RepoName,
        method: Method,
        url: &Url,
        body: Option<&Value>,
    ) -> Result<Answer, ForgeError> {
        self.settle(repository).await?;
        let client = self.client_of(repository).await?;
        match client.edit(Traffic::Edit, method, url, body).await {
            Err(Failure::Moved) => Err(self.moved(repository).await),
            done => Ok(done?),
        }
    }
}

/// The issue of a task.
struct NewIssue<'a> {
    draft: &'a IssueDraft,
}

#[async_trait]
impl Creation for NewIssue<'_> {
    type Thing = model::Issue;

    fn intent(&self, now: Timestamp) -> WriteIntent {
        let IssueDraft { repository, task, title, body, labels: _ } = self.draft;
        let place = (repository, task, String::new());
        intent(IntentKind::Issue, format!("issue:{task}"), place, &[title, body], now)
    }

    fn request(&self, github: &GitHub) -> Request {
        let IssueDraft { repository, task, title: text, body, labels } = self.draft;
        let mark = Marker::of(IntentKind::Issue, task);
        Request {
            url: github.issues_url(repository, &[]),
            body: json!({ "title": title(text), "body": marked(github.key(), body, &mark), "labels": labels }),
            traffic: Traffic::Notice,
        }
    }

    async fn prepare(&self, github: &GitHub) -> Result<(), ForgeError> {
        github.ensure_labels(&self.draft.repository, &self.draft.labels).await
    }

    async fn read(&self, github: &GitHub, number: u64) -> Result<Option<model::Issue>, ForgeError> {
        Ok(Some(github.issue_model(&self.draft.repository, number).await?))
    }

    fn parse(&self, answer: &Answer) -> Result<model::Issue, Failure> {
        answer.json()
    }

    fn receipt(&self, issue: &model::Issue) -> Receipt {
        (issue.number, issue.html_url.clone())
    }

    fn exists_already(&self, _refusal: &Refusal) -> bool {
        false
    }
}

/// Finding what may have been created before.
impl GitHub {
    /// The issue of an intent: by marker and author in the list of our own, which lags; closely, by the newest numbers
    /// that no list shows, one by one.
    pub(super) async fn seek_issue(&self, intent: &WriteIntent, depth: Depth) -> Result<Option<Receipt>, ForgeError> {
        let pages = match depth {
            Depth::Shallow => SHALLOW_PAGES,
            Depth::Deep => DEEP_PAGES,
            Depth::Close => return self.seek_unlisted_issue(intent).await,
        };
        let client = self.client_of(&intent.repository).await?;
        let mut url = self.own_issues_url(&intent.repository).await?;
        for _ in 0..pages {
            let (page, answer): (Vec<model::Issue>, _) = client.get_page(&url).await?;
            for issue in page {
                if self.is_issue_of(intent, &issue).await? {
                    return Ok(Some((issue.number, issue.html_url)));
                }
            }
            match self.wire.next_page(&url, &answer)? {
                Some(next) => url = next,
                None => break,
            }
        }
        Ok(None)
    }

    /// The list of what our account opened, newest first.
    async fn own_issues_url(&self, repository: &RepoName) -> Result<Url, ForgeError> {
        let login = &self.us().await?.login;
        let query = [
            ("creator", login.as_str()),
            ("state", "all"),
            ("sort", "created"),
            ("direction", "desc"),
            ("per_page", "100"),
        ];
        Ok(self.issues_url(repository, &query))
    }

    /// See [`crate::Forge::proposals`].
    pub(super) async fn proposals_of(&self, repository: &RepoName) -> Result<Vec<(TaskId, IssueView)>, ForgeError> {
        let url = self.own_issues_url(repository).await?;
        let listed: Vec<model::Issue> = self.client_of(repository).await?.pages(url, DEEP_PAGES).await?;
        let us = self.us().await?;
        let proposed = listed.iter().filter(|issue| issue.pull_request.is_none() && us.is(&issue.user));
        let with_task = |issue: &model::Issue| {
            let mark = marker::find(self.key(), &issue.body).filter(|mark| mark.kind == IntentKind::Issue)?;
            Some((mark.task, self.issue_view(repository, issue)))
        };
        Ok(proposed.filter_map(with_task).collect())
    }

    async fn seek_unlisted_issue(&self, intent: &WriteIntent) -> Result<Option<Receipt>, ForgeError> {
        let query = [("state", "all"), ("sort", "created"), ("direction", "desc"), ("per_page", "100")];
        let client = self.client_of(&intent.repository).await?;
        let listed: Vec<model::Issue> = client.get_json(&self.issues_url(&intent.repository, &query)).await?;
        let newest = listed.first().map_or(0, |issue| issue.number);
        let gaps = (newest.saturating_sub(BEHIND).max(1)..newest).rev();
        let unseen = gaps.filter(|number| listed.iter().all(|issue| issue.number != *number));
        for number in (newest + 1..=newest + BEYOND).chain(unseen).take(PROBES) {
            match self.issue_model(&intent.repository, number).await {
                Ok(issue) if self.is_issue_of(intent, &issue).await? => return Ok(Some((number, issue.html_url))),
                Ok(_) | Err(Failure::Refused(_)) => {}
                Err(failure) => return Err(failure.into()),
            }
        }
        Ok(None)
    }

    async fn is_issue_of(&self, intent: &WriteIntent, issue: &model::Issue) -> Result<bool, ForgeError> {
        let ours = issue.pull_request.is_none() && self.us().await?.is(&issue.user);
        let mark = Marker::of(IntentKind::Issue, &intent.task);
        Ok(ours && marker::find(self.key(), &issue.body) == Some(mark))
    }

    /// The comment of an intent. A conversation that is gone has none. There is no closer look than its list.
    pub(super) async fn seek_comment(&self, intent: &WriteIntent) -> Result<Option<Receipt>, ForgeError> {
        let Ok(number) = intent.target.parse() else { return Ok(None) };
        let us = self.us().await?;
        let comments = match self.comments(&intent.repository, number).await.map_err(ForgeError::from) {
            Err(ForgeError::NotFound(_)) => return Ok(None),
            comments => comments?,
        };
        let is_it = |comment: &model::Comment| {
            let mark = marker::find(self.key(), &comment.body);
            us.is(&comment.user) && mark.is_some_and(|mark| comment_id(&mark, &intent.repository, number) == intent.id)
        };
        Ok(comments.into_iter().find(is_it).map(|comment| (comment.id, comment.html_url)))
    }
}

/// The id of a comment's intent.
fn comment_id(mark: &Marker, repository: &RepoName, number: u64) -> String {
    format!("comment:{}:{}:{repository}#{number}", mark.task, mark.name)
}

/// The one comment of a name.
struct NewComment<'a> {
    link: &'a IssueLink,
    mark: Marker,
    body: &'a str,
}

#[async_trait]
impl Creation for NewComment<'_> {
    type Thing = model::Comment;

    fn intent(&self, now: Timestamp) -> WriteIntent {
        let IssueLink { repository, number, .. } = self.link;
        let place = (repository, &self.mark.task, number.to_string());
        intent(IntentKind::Comment, comment_id(&self.mark, repository, *number), place, &[self.body], now)
    }

    fn request(&self, github: &GitHub) -> Request {
        let mut url = github.issue_url(&self.link.repository, self.link.number, &["comments"]);
        url.set_query(None);
        Request { url, body: json!({ "body": self.body }), traffic: Traffic::Notice }
    }

    async fn prepare(&self, _github: &GitHub) -> Result<(), ForgeError> {
        Ok(())
    }

    async fn read(&self, github: &GitHub, id: u64) -> Result<Option<model::Comment>, ForgeError> {
        let client = github.client_of(&self.link.repository).await?;
        match client.get_json(&github.comment_url(&self.link.repository, id)).await {
            Err(Failure::Refused(refusal)) if refusal.status == StatusCode::NOT_FOUND => Ok(None),
            found => Ok(Some(found?)),
        }
    }

    fn parse(&self, answer: &Answer) -> Result<model::Comment, Failure> {
        answer.json()
    }

    fn receipt(&self, comment: &model::Comment) -> Receipt {
        (comment.id, comment.html_url.clone())
    }

    fn exists_already(&self, _refusal: &Refusal) -> bool {
        false
    }
}

#[cfg(test)]
mod tests;
