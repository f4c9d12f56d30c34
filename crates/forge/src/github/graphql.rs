//! GraphQL: many repositories in one request.
//!
//! **Definition.** [`Client::query`] sends one document and gives what it was answered, field by field. [`Batches`]
//! says how many repositories, or files, go into one.
//!
//! **Wanted properties.** Names travel as variables, never as text of the document; what GitHub says about limits with
//! a 200 is a limit (R13); a part of an answer is used, and what is missing in it is asked for again (R43); a document
//! holds one mutation at most (R30), and this one sends none.
//!
//! **Known races.** None: a query changes nothing and may be sent again.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use backlog::time::Timestamp;
use http::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use url::Url;

use super::client::{Client, Failure};
use super::governor::{Ask, Resource, Traffic};
use super::model::lenient;

/// What a query was answered.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Answered {
    /// By alias; `None` when nothing of the document was executed.
    #[serde(default)]
    pub(super) data: Option<Map<String, Value>>,
    #[serde(default, deserialize_with = "lenient")]
    errors: Vec<Trouble>,
}

/// One error of an answer.
#[derive(Debug, Deserialize)]
struct Trouble {
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    path: Option<Vec<Value>>,
    #[serde(default)]
    message: Option<String>,
}

impl Answered {
    /// The type of the error about an alias.
    pub(super) fn error_of(&self, alias: &str) -> Option<&str> {
        let about = |error: &&Trouble| error.path.as_ref().and_then(|path| path.first()?.as_str()) == Some(alias);
        self.errors.iter().find(about)?.kind.as_deref()
    }

    /// Whether the document was too much for GitHub.
    pub(super) fn is_cut(&self) -> bool {
        self.errors.iter().any(|error| error.kind.as_deref() == Some("RESOURCE_LIMITS_EXCEEDED"))
    }

    fn says(&self) -> String {
        let said = self.errors.iter().filter_map(|error| error.message.as_deref()).next().unwrap_or("nothing");
        said.chars().filter(|c| !c.is_control()).take(200).collect()
    }
}

impl Client {
    /// Sends a query, once.
    ///
    /// A document that GitHub refuses as a whole is [`Failure::Unexpected`].
    pub(super) async fn query(&self, document: &str, variables: &Value) -> Result<Answered, Failure> {
        self.account().await?;
        let permit = self.governor.admit(Ask::of(Traffic::Read, Resource::Graphql)).await?;
        let body = json!({ "query": document, "variables": variables });
        let answer = self.send(&permit, Method::POST, &graphql_url(&self.wire.api_url), Some(&body)).await?;
        let answered: Answered = answer.json()?;
        if answered.data.is_none() && !answered.is_cut() {
            return Err(Failure::Unexpected(format!("the query was refused: {}", answered.says())));
        }
        Ok(answered)
    }
}

/// `/graphql` beside the root of the REST interface; `/api/graphql` on an enterprise server.
fn graphql_url(api_url: &Url) -> Url {
    let mut url = api_url.clone();
    let path = url.path().trim_end_matches('/');
    let path = path.strip_suffix("/v3").unwrap_or(path);
    url.set_path(&format!("{path}/graphql"));
    url
}

/// How many repositories, or files, go into one query (R43).
#[derive(Debug)]
pub(super) struct Batches {
    most: usize,
    at: Mutex<Size>,
}

#[derive(Clone, Copy, Debug)]
struct Size {
    size: usize,
    since: Timestamp,
}

impl Batches {
    const GROWS_EVERY: Duration = Duration::from_secs(3600);

    /// Begins with half of `most`.
    pub(super) fn of_at_most(most: usize, now: Timestamp) -> Self {
        Self { most, at: Mutex::new(Size { size: most / 2, since: now }) }
    }

    /// The present size; a tenth more for each hour that went well.
    pub(super) fn size(&self, now: Timestamp) -> usize {
        let mut at = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        while at.size < self.most && now.since(at.since) >= Self::GROWS_EVERY {
            at.size = (at.size + (at.size / 10).max(1)).min(self.most);
            at.since = at.since.plus(Self::GROWS_EVERY);
        }
        if at.size == self.most {
            at.since = now;
        }
        at.size
    }

    /// A batch of `size` was too much: half of it from now on.
    pub(super) fn halve(&self, size: usize, now: Timestamp) {
        let mut at = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        *at = Size { size: (size / 2).max(1).min(at.size), since: now };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_beside_rest_or_below_api() {
        for (api, graphql) in [
            ("https://api.github.com", "https://api.github.com/graphql"),
            ("https://ghe.example/api/v3/", "https://ghe.example/api/graphql"),
            ("http://127.0.0.1:1", "http://127.0.0.1:1/graphql"),
        ] {
            assert_eq!(graphql_url(&api.parse().unwrap()).as_str(), graphql);
        }
    }

    #[test]
    fn r43_a_batch_halves_at_once_and_grows_by_a_tenth_an_hour() {
        let start = Timestamp(0);
        let hours = |n: u64| start.plus(Duration::from_secs(3600 * n));
        let batches = Batches::of_at_most(100, start);
        assert_eq!((batches.size(start), batches.size(hours(1))), (50, 55));
        batches.halve(55, hours(1));
        batches.halve(27, hours(1));
        assert_eq!((batches.size(hours(1)), batches.size(hours(2)), batches.size(hours(3))), (13, 14, 15));
        assert_eq!(batches.size(hours(100)), 100, "never more than GitHub takes");
        for _ in 0..20 {
            batches.halve(batches.size(hours(100)), hours(100));
        }
        assert_eq!(batches.size(hours(100)), 1, "never less than one");
    }
}
