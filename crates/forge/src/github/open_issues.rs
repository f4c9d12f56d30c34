//! The open issues of a repository, with replies and reactions.
//!
//! **Definition.** [`GitHub::open_issues_of`] reads the thousand oldest open issues, or those of them that carry one of
//! some labels. Pull requests are none.
//!
//! **Wanted properties.** Twenty-five issues with their newest comments cost one request and about one point. Comments of
//! programs, and commands to ourselves, are no words of people: else our own proposal would end what it is about.
//!
//! **Design.** By query, oldest first, so that a comment moves nothing to another page. Where queries are refused, by the
//! list, which says when anything changed last and not who did it.

use backlog::approval::CommentCommand;
use backlog::names::RepoName;
use backlog::time::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::GitHub;
use super::client::{Client, Failure};
use super::model::{self, Issue, lenient, time};
use crate::marker;
use crate::{ForgeError, OpenIssue};

/// Issues of one query; it has the newest comments of each.
const PER_QUERY: usize = 25;
/// Queries for one repository: 1,000 issues.
const QUERIES: usize = 40;
/// Pages of the list: as many issues.
const PAGES: usize = 10;

const QUERY: &str = "query($owner: String!, $name: String!, $first: Int!, $after: String, $labels: [String!]) { \
    repository(owner: $owner, name: $name) { issues(first: $first, after: $after, states: [OPEN], labels: $labels, \
    orderBy: {field: CREATED_AT, direction: ASC}) { pageInfo { hasNextPage endCursor } nodes { number title body url \
    createdAt updatedAt author { __typename login } labels(first: 50) { nodes { name } } reactions { totalCount } \
    comments(last: 10) { totalCount nodes { createdAt body author { __typename login } } } } } } }";

#[derive(Debug, Deserialize)]
struct Shown {
    #[serde(default, deserialize_with = "lenient")]
    issues: Page,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    #[serde(default, deserialize_with = "lenient")]
    page_info: PageInfo,
    #[serde(default, deserialize_with = "lenient")]
    nodes: Vec<Node>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageInfo {
    #[serde(default, deserialize_with = "lenient")]
    has_next_page: bool,
    #[serde(default)]
    end_cursor: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Node {
    number: u64,
    #[serde(default, deserialize_with = "lenient")]
    title: String,
    #[serde(default, deserialize_with = "lenient")]
    body: String,
    #[serde(default, deserialize_with = "lenient")]
    url: String,
    created_at: Option<String>,
    updated_at: Option<String>,
    author: Option<Author>,
    #[serde(default, deserialize_with = "lenient")]
    labels: List<model::Label>,
    #[serde(default, deserialize_with = "lenient")]
    reactions: List<Value>,
    #[serde(default, deserialize_with = "lenient")]
    comments: List<Comment>,
}

#[derive(Debug, Default, Deserialize)]
struct Author {
    #[serde(default, rename = "__typename", deserialize_with = "lenient")]
    kind: String,
    #[serde(default, deserialize_with = "lenient")]
    login: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct List<T> {
    #[serde(default, deserialize_with = "lenient")]
    total_count: u64,
    #[serde(default = "Vec::new")]
    nodes: Vec<T>,
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self { total_count: 0, nodes: Vec::new() }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Comment {
    created_at: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    body: String,
    author: Option<Author>,
}

impl GitHub {
    /// See [`crate::Forge::open_issues`].
    pub(super) async fn open_issues_of(
        &self,
        repository: &RepoName,
        labels: &[String],
    ) -> Result<Vec<OpenIssue>, ForgeError> {
        let client = self.client_of(repository).await?;
        match self.issues_by_query(&client, repository, labels).await? {
            Some(issues) => Ok(issues),
            None => self.issues_by_list(&client, repository, labels).await,
        }
    }

    /// `None` when queries are refused.
    async fn issues_by_query(
        &self,
        client: &Client,
        repository: &RepoName,
        labels: &[String],
    ) -> Result<Option<Vec<OpenIssue>>, ForgeError> {
        let (mut found, mut after) = (Vec::new(), None);
        let present = self.present(repository);
        for _ in 0..QUERIES {
            if self.queries_refused() {
                return Ok(None);
            }
            let labels = (!labels.is_empty()).then_some(labels);
            let variables = json!({
                "owner": present.owner(), "name": present.name(), "first": PER_QUERY, "after": after, "labels": labels,
            });
            let mut answered = match client.query(QUERY, &variables).await {
                Err(Failure::Ambiguous(why)) => return Err(ForgeError::Transient { why, retry_at: None }),
                Err(Failure::Refused(refusal)) if refusal.status != http::StatusCode::UNAUTHORIZED => {
                    self.refuse_queries(refusal.said);
                    return Ok(None);
                }
                answered => answered?,
            };
            if answered.is_cut() {
                let why = format!("GitHub gave a part of the issues of {repository} only");
                return Err(ForgeError::Transient { why, retry_at: None });
            }
            let shown = answered.data.as_mut().and_then(|data| data.remove("repository")).unwrap_or_default();
            let Ok(shown) = serde_json::from_value::<Shown>(shown) else {
                return Err(match answered.error_of("repository") {
                    Some("NOT_FOUND") => ForgeError::NotFound(format!("the repository {repository}")),
                    kind => ForgeError::Unexpected(format!("the issues of {repository} were answered with {kind:?}")),
                });
            };
            found.extend(shown.issues.nodes.into_iter().map(|node| self.of_node(repository, node)));
            after = shown.issues.page_info.end_cursor.filter(|_| shown.issues.page_info.has_next_page);
            if after.is_none() {
                break;
            }
        }
        Ok(Some(found))
    }

    fn of_node(&self, repository: &RepoName, node: Node) -> OpenIssue {
        let created_at = time(node.created_at.as_deref());
        let issue = Issue {
            number: node.number,
            html_url: node.url,
            title: node.title,
            body: node.body,
            state: "open".to_owned(),
            labels: node.labels.nodes,
            user: model::User::default(),
            updated_at: node.updated_at,
            created_at: node.created_at,
            comments: node.comments.total_count,
            reactions: model::Reactions { total_count: node.reactions.total_count },
            closed_by: None,
            pull_request: None,
        };
        let author = node.author.unwrap_or_default().login;
        OpenIssue {
            last_word: self.last_word(created_at, &node.comments),
            ..self.open_issue(repository, &issue, author)
        }
    }

    /// When a person wrote last. Where no comment that we see is a person's and there are older ones, the oldest that we
    /// see is the earliest that can be said.
    fn last_word(&self, created_at: Timestamp, comments: &List<Comment>) -> Timestamp {
        let at = |comment: &Comment| time(comment.created_at.as_deref());
        let by_person = |comment: &&Comment| {
            comment.author.as_ref().is_none_or(|author| author.kind != "Bot")
                && marker::find(self.key(), &comment.body).is_none()
                && CommentCommand::parse(&comment.body).is_none()
        };
        let newest = comments.nodes.iter().filter(by_person).map(at).max();
        let all = comments.nodes.len() as u64 >= comments.total_count;
        let bound = comments.nodes.iter().map(at).min().filter(|_| !all);
        newest.or(bound).unwrap_or(created_at).max(created_at)
    }

    async fn issues_by_list(
        &self,
        client: &Client,
        repository: &RepoName,
        labels: &[String],
    ) -> Result<Vec<OpenIssue>, ForgeError> {
        let query = [("state", "open"), ("sort", "created"), ("direction", "asc"), ("per_page", "100")];
        let url = self.repository_url(repository, &["issues"], &query);
        let (issues, _): (Vec<Issue>, bool) = client.first_pages(url, PAGES, |_| false).await?;
        let wanted = |issue: &&Issue| {
            issue.pull_request.is_none() && (labels.is_empty() || labels.iter().any(|label| issue.has_label(label)))
        };
        Ok(issues
            .iter()
            .filter(wanted)
            .map(|issue| self.open_issue(repository, issue, issue.user.login.clone()))
            .collect())
    }

    fn open_issue(&self, repository: &RepoName, issue: &Issue, author: String) -> OpenIssue {
        let view = self.issue_view(repository, issue);
        let created_at = time(issue.created_at.as_deref());
        OpenIssue {
            author,
            labels: issue.labels.iter().map(|label| label.name().to_owned()).collect(),
            reactions: issue.reactions.total_count,
            replies: issue.comments,
            created_at,
            last_word: if issue.comments == 0 { created_at } else { view.updated_at },
            ours: marker::find(self.key(), &issue.body).is_some(),
            issue: view,
        }
    }
}

#[cfg(test)]
mod tests;
