//! What GitHub says has just happened.
//!
//! **Definition.** [`Secrets`] tell GitHub's requests from anybody else's; [`read`] makes a [`Delivery`] of a body.
//!
//! **Wanted properties.** Nothing of a body is looked at before its signature was found right, over the bytes as they
//! came and in constant time (R46). Whatever GitHub sends is read: an unknown event, an unknown action, a missing or
//! odd field make a hint vaguer, never an error. No text of a body is kept but names and ids.
//!
//! **Design.** Two secrets are accepted, so that one can be changed while requests signed with the other are on their
//! way. The body is read into the few fields of [`Payload`]; a push with thousands of commits costs no memory for them.

use std::fmt;

use backlog::delivery::{About, Delivery, ID_CHARS};
use backlog::names::RepoName;
use backlog::time::Timestamp;
use hmac::{Hmac, KeyInit, Mac};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::IgnoredAny;
use sha2::Sha256;

/// The most bytes of a delivery's body: GitHub sends none above 25 MB.
pub const BODY_BYTES: usize = 25 * 1024 * 1024;
/// The most characters of an event's name that are kept.
const EVENT_CHARS: usize = 100;

/// The most bytes of a subject that are kept; GitHub's names of branches have at most 255.
const SUBJECT_BYTES: usize = 500;

/// Why a delivery is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It does not prove that it comes from GitHub. Answer 401.
    #[error("the signature {0}; check that GitHub and this service have the same webhook secret")]
    Signature(&'static str),
    /// It is signed, but no delivery. Answer 400.
    #[error("this is no delivery of GitHub: {0}")]
    Malformed(&'static str),
}

/// The secrets that GitHub signs with: the present one and, while it is being changed, the previous one.
#[derive(Clone)]
pub struct Secrets(Vec<SecretString>);

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({})", self.0.len())
    }
}

impl Secrets {
    /// `None` when the secret is empty: then everybody could sign. An empty previous one is left out.
    #[must_use]
    pub fn new(present: SecretString, previous: Option<SecretString>) -> Option<Self> {
        let empty = |secret: &SecretString| secret.expose_secret().trim().is_empty();
        if empty(&present) {
            return None;
        }
        Some(Self([Some(present), previous.filter(|secret| !empty(secret))].into_iter().flatten().collect()))
    }

    /// Checks the signature in `headers` over the body as it came (R46).
    ///
    /// # Errors
    /// [`Refused::Signature`] when it is missing, empty, malformed, of another algorithm, or wrong.
    pub fn check(&self, headers: &HeaderMap, body: &[u8]) -> Result<(), Refused> {
        let signature = Self::signature(headers)?;
        let mut right = false;
        // Both are always computed, so that the time does not tell which one is in use.
        for secret in &self.0 {
            let mut code = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes())
                .map_err(|_| Refused::Signature("cannot be computed"))?;
            code.update(body);
            right |= code.verify_slice(&signature).is_ok();
        }
        if right { Ok(()) } else { Err(Refused::Signature("does not fit")) }
    }

    /// The signature that a request carries, before anything is known about its body.
    ///
    /// # Errors
    /// [`Refused::Signature`] when there is none of the form `sha256=` and 64 hexadecimal digits, or more than one.
    pub fn signature(headers: &HeaderMap) -> Result<[u8; 32], Refused> {
        let mut given = headers.get_all("x-hub-signature-256").iter();
        let (Some(value), None) = (given.next(), given.next()) else {
            return Err(Refused::Signature("X-Hub-Signature-256 is missing, or there is more than one"));
        };
        let digits = value.as_bytes().strip_prefix(b"sha256=").unwrap_or_default();
        let mut signature = [0; 32];
        hex::decode_to_slice(digits, &mut signature).map_err(|_| Refused::Signature("is malformed"))?;
        Ok(signature)
    }
}

/// Reads a delivery whose signature was checked.
///
/// # Errors
/// [`Refused::Malformed`] when it has no id or event, or its body is no JSON object.
pub fn read(headers: &HeaderMap, body: &[u8]) -> Result<Delivery, Refused> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let form = text(CONTENT_TYPE.as_str()).starts_with("application/x-www-form-urlencoded");
    let payload = form.then(|| url::form_urlencoded::parse(body).find(|(name, _)| name == "payload"));
    match payload {
        Some(None) => Err(Refused::Malformed("the form has no field `payload`")),
        Some(Some((_, json))) => read_event(text("x-github-delivery"), text("x-github-event"), json.as_bytes()),
        None => read_event(text("x-github-delivery"), text("x-github-event"), body),
    }
}

/// As [`read`], for an event that was asked for instead of being sent.
///
/// # Errors
/// As [`read`].
pub fn read_event(id: &str, event: &str, body: &[u8]) -> Result<Delivery, Refused> {
    if id.is_empty() || id.len() > ID_CHARS || !id.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Refused::Malformed("X-GitHub-Delivery is missing or no id"));
    }
    if event.is_empty() || event.len() > EVENT_CHARS || !event.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Refused::Malformed("X-GitHub-Event is missing or no name"));
    }
    // Serde would take a list for the fields in their order.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(Refused::Malformed("the body is no JSON object"));
    }
    let payload: Payload =
        serde_json::from_slice(body).map_err(|_| Refused::Malformed("the body is no JSON object"))?;
    let action: String = payload.action.get().into_iter().flat_map(|action| action.chars()).take(EVENT_CHARS).collect();
    let (thing, updated_at) = payload.thing(event);
    let repository = payload.repository.get();
    let name = repository.and_then(|repository| repository.full_name.get());
    let subject = match (name, thing) {
        (Some(name), Some(thing)) if updated_at.is_some() && name.len() + thing.len() < SUBJECT_BYTES => {
            format!("{name} {thing}")
        }
        _ => String::new(),
    };
    Ok(Delivery {
        id: id.to_owned(),
        event: if action.is_empty() { event.to_owned() } else { format!("{event}.{action}") },
        about: payload.about(event, &action),
        installation: payload.installation.get().and_then(|installation| installation.id.get()).copied(),
        sender: payload.sender.get().and_then(|sender| sender.id.get()).copied(),
        subject,
        updated_at,
    })
}

/// A field that may be missing, null, or of a form that this version does not know.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Maybe<T> {
    Is(T),
    Not(IgnoredAny),
}

impl<T> Default for Maybe<T> {
    fn default() -> Self {
        Self::Not(IgnoredAny)
    }
}

impl<T> Maybe<T> {
    fn get(&self) -> Option<&T> {
        match self {
            Self::Is(value) => Some(value),
            Self::Not(_) => None,
        }
    }
}

/// The few fields that are read.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Payload {
    action: Maybe<String>,
    repository: Maybe<Repository>,
    installation: Maybe<Thing>,
    sender: Maybe<Thing>,
    issue: Maybe<Thing>,
    pull_request: Maybe<Thing>,
    comment: Maybe<Thing>,
    review: Maybe<Thing>,
    check_run: Maybe<CheckRun>,
    check_suite: Maybe<Thing>,
    workflow_run: Maybe<Thing>,
    alert: Maybe<Thing>,
    branches: Maybe<Vec<Maybe<Branch>>>,
    #[serde(rename = "ref")]
    git_ref: Maybe<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Repository {
    full_name: Maybe<String>,
    default_branch: Maybe<String>,
    pushed_at: Maybe<Moment>,
}

/// Anything with an id and a time of change.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Thing {
    id: Maybe<u64>,
    number: Maybe<u64>,
    updated_at: Maybe<Moment>,
    submitted_at: Maybe<Moment>,
    completed_at: Maybe<Moment>,
    head_branch: Maybe<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CheckRun {
    #[serde(flatten)]
    run: Thing,
    check_suite: Maybe<Thing>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Branch {
    name: Maybe<String>,
}

/// GitHub writes times as text, and in pushes as seconds.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Moment {
    Text(String),
    Seconds(i64),
}

impl Moment {
    fn at(&self) -> Option<Timestamp> {
        match self {
            Self::Text(text) => Timestamp::parse_rfc3339(text),
            Self::Seconds(seconds) => Some(Timestamp(seconds.saturating_mul(1000))),
        }
    }
}

impl Thing {
    fn changed_at(&self) -> Option<Timestamp> {
        [&self.updated_at, &self.submitted_at, &self.completed_at].into_iter().find_map(|at| at.get()?.at())
    }
}

impl Payload {
    /// Where the event says to look.
    fn about(&self, event: &str, action: &str) -> About {
        let repository = self.repository.get().and_then(|repository| repository.full_name.get());
        let name: Option<RepoName> = repository.and_then(|name| name.parse().ok());
        match (event, name) {
            (
                "installation"
                | "installation_repositories"
                | "installation_target"
                | "repository"
                | "public"
                | "member"
                | "membership"
                | "organization"
                | "team"
                | "team_add",
                _,
            ) => About::Repositories,
            ("push", Some(name)) => self.pushed(name),
            ("check_run" | "check_suite" | "workflow_run", Some(name)) if action == "completed" => {
                self.checked(name, &[self.branch_of(event)])
            }
            ("status", Some(name)) => {
                let branches: Vec<Option<&String>> = match self.branches.get() {
                    Some(branches) => branches.iter().map(|branch| branch.get()?.name.get()).collect(),
                    None => vec![None],
                };
                self.checked(name, &branches)
            }
            ("issues" | "issue_comment" | "label" | "sub_issues", Some(name)) => About::Issues(name),
            (
                "pull_request"
                | "pull_request_review"
                | "pull_request_review_comment"
                | "pull_request_review_thread"
                | "merge_group",
                Some(name),
            ) => About::Work(name),
            ("dependabot_alert" | "code_scanning_alert" | "secret_scanning_alert", Some(name)) => About::Alerts(name),
            _ => About::Nothing,
        }
    }

    /// The branch whose checks an event is about.
    fn branch_of(&self, event: &str) -> Option<&String> {
        match event {
            "check_run" => self.check_run.get()?.check_suite.get()?.head_branch.get(),
            "check_suite" => self.check_suite.get()?.head_branch.get(),
            _ => self.workflow_run.get()?.head_branch.get(),
        }
    }

    /// Checks of a branch that is not known may be those of the default branch.
    fn checked(&self, name: RepoName, branches: &[Option<&String>]) -> About {
        let default = self.repository.get().and_then(|repository| repository.default_branch.get());
        let is_default = |branch: &Option<&String>| match (branch, default) {
            (Some(branch), Some(default)) => *branch == default,
            _ => true,
        };
        if branches.iter().any(is_default) { About::Checks(name) } else { About::Work(name) }
    }

    fn pushed(&self, name: RepoName) -> About {
        let branch = self.git_ref.get().and_then(|name| name.strip_prefix("refs/heads/"));
        let default = self.repository.get().and_then(|repository| repository.default_branch.get());
        match (branch, default) {
            (Some(branch), Some(default)) if branch != default => About::Work(name),
            (Some(_), _) => About::Code(name),
            (None, _) => About::Nothing,
        }
    }

    /// The thing that changed and when, by the event's name: a comment's event holds its issue too.
    fn thing(&self, event: &str) -> (Option<String>, Option<Timestamp>) {
        let (word, thing) = match event {
            "issues" | "sub_issues" => ("issue", self.issue.get()),
            "issue_comment" => ("comment", self.comment.get()),
            "pull_request" => ("pull request", self.pull_request.get()),
            "pull_request_review" => ("review", self.review.get()),
            "pull_request_review_comment" => ("review comment", self.comment.get()),
            "check_run" => ("check run", self.check_run.get().map(|check| &check.run)),
            "check_suite" => ("check suite", self.check_suite.get()),
            "workflow_run" => ("workflow run", self.workflow_run.get()),
            "dependabot_alert" => ("dependabot alert", self.alert.get()),
            "code_scanning_alert" => ("code scanning alert", self.alert.get()),
            "secret_scanning_alert" => ("secret scanning alert", self.alert.get()),
            "push" => {
                let pushed = self.repository.get().and_then(|repository| repository.pushed_at.get());
                return (self.git_ref.get().cloned(), pushed.and_then(Moment::at));
            }
            _ => return (None, None),
        };
        let Some(thing) = thing else { return (None, None) };
        let id = thing.number.get().or(thing.id.get());
        (id.map(|id| format!("{word} {id}")), thing.changed_at())
    }
}

#[cfg(test)]
mod tests;
