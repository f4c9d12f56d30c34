//! GitHub's JSON, as little of it as we read.
//!
//! **Wanted properties.** An unknown field, an unknown word and a `null` where GitHub never had one before are no
//! reason to fail: whatever can be optional is, and words stay text until somebody decides on them.

use backlog::time::Timestamp;
use serde::{Deserialize, Deserializer};

/// `null` and a missing field are the default.
pub(super) fn lenient<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(from)?.unwrap_or_default())
}

/// The time of an RFC 3339 text; the epoch when there is none.
pub(super) fn time(text: Option<&str>) -> Timestamp {
    text.and_then(Timestamp::parse_rfc3339).unwrap_or_default()
}

/// Somebody.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct User {
    #[serde(default, deserialize_with = "lenient")]
    pub(super) id: u64,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) login: String,
    #[serde(default, rename = "type", deserialize_with = "lenient")]
    pub(super) kind: String,
}

/// What the credential may do.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct RepositoryPermissions {
    #[serde(default, deserialize_with = "lenient")]
    pub(super) push: bool,
}

/// An App.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct App {
    pub(super) id: u64,
    pub(super) slug: String,
}

/// An App in one account.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Installation {
    pub(super) id: u64,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) account: User,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) permissions: std::collections::BTreeMap<String, String>,
    #[serde(default)]
    pub(super) suspended_at: Option<String>,
}

/// A new token of an installation.
#[derive(Deserialize)]
pub(super) struct InstallationToken {
    pub(super) token: String,
}

/// A page of an installation's repositories.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct InstalledRepositories {
    #[serde(default, deserialize_with = "lenient")]
    pub(super) repositories: Vec<Repository>,
}

/// A repository.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Repository {
    pub(super) full_name: String,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) default_branch: String,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) archived: bool,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) disabled: bool,
    #[serde(default)]
    pub(super) has_issues: Option<bool>,
    /// As GitHub writes it, which sorts by time.
    #[serde(default, deserialize_with = "lenient")]
    pub(super) pushed_at: String,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) updated_at: String,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) open_issues_count: u64,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) permissions: RepositoryPermissions,
    #[serde(default)]
    pub(super) allow_merge_commit: Option<bool>,
    #[serde(default)]
    pub(super) allow_squash_merge: Option<bool>,
}

impl Repository {
    /// The mark of a repository in a list; its second word is the time of the last push.
    pub(super) fn mark(&self) -> String {
        format!("list {} {} {} {}", self.pushed_at, self.updated_at, self.open_issues_count, self.default_branch)
    }
}

/// What a user may do.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct CollaboratorPermission {
    #[serde(default, deserialize_with = "lenient")]
    pub(super) permission: String,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) role_name: String,
}

/// A label; GitHub has them as objects and, in old places, as plain text.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Label {
    Object {
        #[serde(default, deserialize_with = "lenient")]
        name: String,
    },
    Text(String),
}

impl Label {
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Object { name } | Self::Text(name) => name,
        }
    }
}

/// An issue; a pull request when `pull_request` is there.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Issue {
    pub(super) number: u64,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) html_url: String,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) title: String,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) body: String,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) state: String,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) labels: Vec<Label>,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) user: User,
    #[serde(default)]
    pub(super) created_at: Option<String>,
    #[serde(default)]
    pub(super) updated_at: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) comments: u64,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) reactions: Reactions,
    #[serde(default)]
    pub(super) closed_by: Option<User>,
    #[serde(default)]
    pub(super) pull_request: Option<serde_json::Value>,
}

/// Emojis on an issue.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(super) struct Reactions {
    #[serde(default, deserialize_with = "lenient")]
    pub(super) total_count: u64,
}

impl Issue {
    pub(super) fn has_label(&self, name: &str) -> bool {
        self.labels.iter().any(|label| label.name().eq_ignore_ascii_case(name))
    }
}

/// A line of an issue's history.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct IssueEvent {
    #[serde(default, deserialize_with = "lenient")]
    pub(super) id: u64,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) event: String,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) actor: User,
    #[serde(default)]
    pub(super) created_at: Option<String>,
    #[serde(default)]
    pub(super) label: Option<Label>,
}

/// A comment in a conversation.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Comment {
    pub(super) id: u64,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) html_url: String,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) body: String,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) user: User,
    #[serde(default)]
    pub(super) created_at: Option<String>,
}

/// One end of a pull request.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct End {
    #[serde(default, rename = "ref", deserialize_with = "lenient")]
    pub(super) branch: String,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) sha: String,
    #[serde(default)]
    pub(super) repo: Option<EndRepository>,
}

/// The repository of one end of a pull request.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct EndRepository {
    #[serde(default, deserialize_with = "lenient")]
    pub(super) full_name: String,
}

/// A pull request.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct PullRequest {
    pub(super) number: u64,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) html_url: String,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) title: String,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) body: String,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) state: String,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) user: User,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) head: End,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) base: End,
    #[serde(default)]
    pub(super) merged_at: Option<String>,
    #[serde(default)]
    pub(super) merged_by: Option<User>,
    #[serde(default)]
    pub(super) mergeable: Option<bool>,
}

/// A review.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Review {
    pub(super) id: u64,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) user: User,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) body: String,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) state: String,
    #[serde(default)]
    pub(super) submitted_at: Option<String>,
}

/// A comment on a line of the diff.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct LineComment {
    pub(super) id: u64,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) user: User,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) body: String,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) path: String,
    #[serde(default)]
    pub(super) line: Option<u64>,
    #[serde(default)]
    pub(super) original_line: Option<u64>,
    #[serde(default)]
    pub(super) created_at: Option<String>,
}

/// A page of check runs.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct CheckRuns {
    #[serde(default, deserialize_with = "lenient")]
    pub(super) check_runs: Vec<CheckRun>,
}

/// A check run.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct CheckRun {
    pub(super) id: u64,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) name: String,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) status: String,
    #[serde(default)]
    pub(super) conclusion: Option<String>,
    #[serde(default)]
    pub(super) completed_at: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) html_url: String,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) output: CheckOutput,
    #[serde(default)]
    pub(super) app: Option<CheckApp>,
}

/// A job of a workflow.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Job {
    #[serde(default, deserialize_with = "lenient")]
    pub(super) steps: Vec<Step>,
}

/// A step of a job.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Step {
    #[serde(default, deserialize_with = "lenient")]
    pub(super) name: String,
    #[serde(default)]
    pub(super) conclusion: Option<String>,
    #[serde(default)]
    pub(super) started_at: Option<String>,
    #[serde(default)]
    pub(super) completed_at: Option<String>,
}

/// What a check run reports.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct CheckOutput {
    #[serde(default)]
    pub(super) title: Option<String>,
    #[serde(default)]
    pub(super) summary: Option<String>,
    #[serde(default)]
    pub(super) text: Option<String>,
}

/// Who made a check run.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct CheckApp {
    #[serde(default, deserialize_with = "lenient")]
    pub(super) slug: String,
}

/// The commit statuses of a commit, the newest of every context.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct CombinedStatus {
    /// How many there are, also beyond this page.
    #[serde(default, deserialize_with = "lenient")]
    pub(super) total_count: u64,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) statuses: Vec<Status>,
}

/// A commit status.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Status {
    #[serde(default, deserialize_with = "lenient")]
    pub(super) context: String,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) state: String,
    #[serde(default)]
    pub(super) description: Option<String>,
    #[serde(default)]
    pub(super) target_url: Option<String>,
}

/// What GitHub says when it refuses: `message`, and `errors` as objects, plain text, one text, or texts by field.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct ErrorBody {
    #[serde(default, deserialize_with = "lenient")]
    pub(super) message: String,
    #[serde(default)]
    pub(super) errors: serde_json::Value,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) documentation_url: String,
}

impl ErrorBody {
    /// Reads an error answer; a body that is no JSON gives its first 200 characters.
    pub(super) fn read(body: &[u8]) -> Self {
        serde_json::from_slice(body).unwrap_or_else(|_| Self {
            message: String::from_utf8_lossy(body).chars().take(200).collect(),
            ..Self::default()
        })
    }

    /// One line with everything it says, at most 300 characters.
    pub(super) fn sentence(&self) -> String {
        let mut parts = vec![self.message.trim().to_owned()];
        match &self.errors {
            serde_json::Value::Array(errors) => parts.extend(errors.iter().take(5).map(one_error)),
            serde_json::Value::Null => {}
            other => parts.push(one_error(other)),
        }
        parts.retain(|part| !part.is_empty());
        let line: String = parts.join("; ").chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect();
        if line.is_empty() { "no reason given".to_owned() } else { line }
    }
}

fn one_error(error: &serde_json::Value) -> String {
    let text = |name: &str| error.get(name).and_then(serde_json::Value::as_str).unwrap_or_default();
    match error {
        serde_json::Value::String(text) => text.clone(),
        _ if !text("message").is_empty() => text("message").to_owned(),
        serde_json::Value::Object(fields) if text("code").is_empty() => {
            let words = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let told = fields.iter().take(5).map(|(field, value)| format!("{field} {}", words(value)));
            told.collect::<Vec<_>>().join("; ")
        }
        _ => [text("resource"), text("field"), text("code")].join(" ").trim().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_of_every_shape_become_one_line() {
        let table = [
            (r#"{"message":"Bad credentials"}"#, "Bad credentials"),
            (
                r#"{"message":"Validation Failed","errors":[{"resource":"Issue","field":"title","code":"missing_field"}]}"#,
                "Validation Failed; Issue title missing_field",
            ),
            (
                r#"{"message":"Validation Failed","errors":[{"message":"A pull request already exists for a:b."}]}"#,
                "Validation Failed; A pull request already exists for a:b.",
            ),
            (r#"{"message":"Invalid","errors":["body is too long"]}"#, "Invalid; body is too long"),
            (r#"{"message":"Invalid","errors":"nope"}"#, "Invalid; nope"),
            (r#"{"message":"Invalid","errors":{"title":"is long"}}"#, "Invalid; title is long"),
            (r#"{"message":"Invalid","errors":{"labels":["a","b"]}}"#, "Invalid; labels [\"a\",\"b\"]"),
            (r#"{"message":null}"#, "no reason given"),
            ("<html>\nUnicorn", "<html> Unicorn"),
            ("", "no reason given"),
        ];
        for (body, expected) in table {
            assert_eq!(ErrorBody::read(body.as_bytes()).sentence(), expected, "{body}");
        }
    }

    #[test]
    fn unknown_words_and_nulls_are_tolerated() {
        let issue: Issue = serde_json::from_str(
            r#"{"number":7,"state":"frozen","user":null,"body":null,"labels":["plain",{"name":"x","id":1},{"name":null}],"new":{}}"#,
        )
        .unwrap();
        assert_eq!((issue.number, issue.state.as_str(), issue.user.id), (7, "frozen", 0));
        assert!(issue.has_label("PLAIN") && issue.has_label("x") && !issue.has_label("y"));
        let run: CheckRun = serde_json::from_str(r#"{"id":1,"status":"levitating","output":null,"app":null}"#).unwrap();
        assert_eq!(run.status, "levitating");
    }
}
