//! One request as the handlers see it, and the answers they give.

use std::time::Duration;

use backlog::time::Timestamp;
use bytes::Bytes;
use http::HeaderMap;
use serde_json::{Value, json};

use super::apps::{self, Grant};
use super::permission::Permission;
use super::world::{Found, Repository, World};

/// Where GitHub's error answers point.
const DOCUMENTATION: &str = "https://docs.github.com/rest";

/// What a handler gives back: an answer either way, `Err` only ends the handler early.
pub(super) type Reply = Result<Answer, Answer>;

/// The body of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Payload {
    /// Nothing.
    Empty,
    /// A JSON document.
    Json(Value),
    /// Anything else, with its content type.
    Raw(String, Bytes),
}

/// An answer before headers common to all answers are added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) payload: Payload,
    pub(super) headers: Vec<(String, String)>,
    pub(super) last_modified: Option<Timestamp>,
}

impl Answer {
    /// A JSON answer.
    pub(super) fn json(status: u16, body: Value) -> Self {
        Self { status, payload: Payload::Json(body), headers: Vec::new(), last_modified: None }
    }

    /// 200 with JSON.
    pub(super) fn ok(body: Value) -> Self {
        Self::json(200, body)
    }

    /// An answer without a body.
    pub(super) fn empty(status: u16) -> Self {
        Self { status, payload: Payload::Empty, headers: Vec::new(), last_modified: None }
    }

    /// 200 with other bytes than JSON.
    pub(super) fn raw(content_type: &str, body: impl Into<Bytes>) -> Self {
        let payload = Payload::Raw(content_type.to_owned(), body.into());
        Self { status: 200, payload, headers: Vec::new(), last_modified: None }
    }

    /// Adds a header.
    pub(super) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Says when the object last changed.
    pub(super) fn modified(mut self, at: Timestamp) -> Self {
        self.last_modified = Some(at);
        self
    }

    /// An error in GitHub's usual shape.
    pub(super) fn error(status: u16, message: &str) -> Self {
        let body = json!({"message": message, "documentation_url": DOCUMENTATION, "status": status.to_string()});
        Self::json(status, body)
    }

    /// 404, which also hides what the caller may not see.
    pub(super) fn not_found() -> Self {
        Self::error(404, "Not Found")
    }

    /// 403 with the permission that would have been enough.
    pub(super) fn denied(needed: &str) -> Self {
        Self::error(403, "Resource not accessible by personal access token")
            .with("x-accepted-github-permissions", needed)
    }

    /// 422 about one field, in the array-of-objects shape.
    pub(super) fn invalid(resource: &str, field: &str, code: &str, message: Option<&str>) -> Self {
        let mut error = json!({"resource": resource, "code": code});
        if !field.is_empty() {
            error["field"] = json!(field);
        }
        if let Some(message) = message {
            error["message"] = json!(message);
        }
        let body = json!({
            "message": "Validation Failed", "errors": [error], "documentation_url": DOCUMENTATION, "status": "422",
        });
        Self::json(422, body)
    }

    /// 422 for a field that was not sent at all.
    pub(super) fn missing(field: &str) -> Self {
        Self::error(422, &format!("Invalid request.\n\n\"{field}\" wasn't supplied."))
    }

    /// 500 for a failure of the fake itself; a test that sees it should fail.
    pub(super) fn broken(error: &anyhow::Error) -> Self {
        Self::error(500, &format!("The fake GitHub failed: {error:#}"))
    }
}

/// A request, routed and authenticated.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) method: String,
    /// The path as it came, for links and redirects.
    pub(super) path: String,
    pub(super) query: Vec<(String, String)>,
    pub(super) headers: HeaderMap,
    pub(super) body: Value,
    pub(super) params: Vec<(&'static str, String)>,
    /// Login of the caller; `None` when anonymous.
    pub(super) actor: Option<String>,
    /// The name under which the caller's limits are kept.
    pub(super) account: String,
    /// The App that calls with its own web token.
    pub(super) app: Option<u64>,
    /// What the token of an installation lets the caller do.
    pub(super) grant: Option<Grant>,
    pub(super) now: Timestamp,
    /// Address of the API, without a slash at the end.
    pub(super) base: String,
    /// Address of the other host, where logs are kept.
    pub(super) elsewhere: String,
    /// How long a new object stays out of lists.
    pub(super) hide: Duration,
}

impl Call {
    /// A placeholder of the route's template; empty when the template has none of that name.
    pub(super) fn param(&self, name: &str) -> &str {
        self.params.iter().find(|(have, _)| *have == name).map_or("", |(_, value)| value)
    }

    /// A placeholder that must be a number.
    pub(super) fn number(&self, name: &str) -> Result<u64, Answer> {
        self.param(name).parse().map_err(|_| Answer::not_found())
    }

    /// A query parameter; empty ones count as absent.
    pub(super) fn query(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str());
        found.filter(|value| !value.is_empty())
    }

    /// A text field of the JSON body.
    pub(super) fn text(&self, field: &str) -> Option<&str> {
        self.body.get(field).and_then(Value::as_str)
    }

    /// The strings of an array field of the JSON body, also when they are objects with a `name`.
    pub(super) fn texts(&self, field: &str) -> Vec<String> {
        let items = self.body.get(field).and_then(Value::as_array).into_iter().flatten();
        let name = |item: &Value| item.as_str().or_else(|| item.get("name")?.as_str()).map(str::to_owned);
        items.filter_map(name).collect()
    }

    /// Whether `Accept` asks for this media type's variant, such as `raw` or `sha`.
    pub(super) fn wants(&self, variant: &str) -> bool {
        let accept = self.headers.get("accept").and_then(|value| value.to_str().ok()).unwrap_or_default();
        accept.split([',', ';']).any(|part| {
            part.trim()
                .strip_prefix("application/vnd.github.")
                .is_some_and(|rest| rest.split(['.', '+']).any(|word| word == variant))
        })
    }

    /// The login that acts; anonymous writers are refused before.
    pub(super) fn who(&self) -> &str {
        self.actor.as_deref().unwrap_or("ghost")
    }

    /// The repository of the route, if the caller may see it, as an index into `repos`.
    pub(super) fn repo(&self, world: &World) -> Result<usize, Answer> {
        self.named(world, self.param("owner"), self.param("repo"))
    }

    /// As [`Call::repo`], for a repository that is named elsewhere.
    pub(super) fn named(&self, world: &World, owner: &str, name: &str) -> Result<usize, Answer> {
        match world.find(owner, name) {
            Found::Nowhere => Err(Answer::not_found()),
            Found::Moved(at) => Err(self.moved(world, &world.repos[at])),
            Found::Here(at) if self.permission(world, at) == Permission::None => Err(Answer::not_found()),
            Found::Here(at) if world.repos[at].blocked => {
                let block =
                    json!({"reason": "dmca", "created_at": world.repos[at].created_at.to_string(), "html_url": ""});
                Err(Answer::json(451, json!({"message": "Repository access blocked", "block": block})))
            }
            Found::Here(at) if world.repos[at].forbidden => Err(Answer::error(
                403,
                "Resource protected by organization SAML enforcement. You must grant your OAuth token access to this organization.",
            )),
            Found::Here(at) => Ok(at),
        }
    }

    /// As [`Call::repo`], when the caller wants to change something that needs this permission.
    pub(super) fn repo_to_change(&self, world: &World, least: Permission, needed: &str) -> Result<usize, Answer> {
        let at = self.repo(world)?;
        self.may_change(world, at, least, needed)?;
        Ok(at)
    }

    /// Refuses a change of a repository that the caller may see.
    pub(super) fn may_change(&self, world: &World, at: usize, least: Permission, needed: &str) -> Result<(), Answer> {
        if self.actor.is_none() {
            return Err(Answer::error(401, "Requires authentication"));
        }
        if world.repos[at].archived {
            return Err(Answer::error(403, "Repository was archived so is read-only."));
        }
        if world.permission(at, self.actor.as_deref()) < least {
            return Err(Answer::denied(needed));
        }
        Ok(())
    }

    /// What the caller may do in a repository, as far as roles go.
    pub(super) fn permission(&self, world: &World, at: usize) -> Permission {
        match &self.grant {
            Some(grant) if !apps::sees(world, grant, at) => Permission::None,
            _ => world.permission(at, self.actor.as_deref()),
        }
    }

    /// The App that calls.
    pub(super) fn app(&self) -> Result<u64, Answer> {
        self.app.ok_or_else(|| Answer::error(401, "A JSON web token could not be decoded"))
    }

    /// The repository of the route, whoever calls.
    pub(super) fn here(&self, world: &World) -> Result<usize, Answer> {
        match world.find(self.param("owner"), self.param("repo")) {
            Found::Nowhere => Err(Answer::not_found()),
            Found::Moved(at) => Err(self.moved(world, &world.repos[at])),
            Found::Here(at) => Ok(at),
        }
    }

    fn moved(&self, world: &World, repo: &Repository) -> Answer {
        let rest: Vec<&str> = self.path.split('/').skip(4).collect();
        let mut url = format!("{}/repositories/{}", self.base, repo.id);
        if !rest.is_empty() {
            url = format!("{url}/{}", rest.join("/"));
        }
        if !self.query.is_empty() {
            url = format!("{url}?{}", encode(&self.query));
        }
        let (status, message) = match self.method.as_str() {
            "GET" | "HEAD" => (301, "Moved Permanently"),
            _ => (world.write_redirect, "Temporary Redirect"),
        };
        let body = json!({"message": message, "url": url, "documentation_url": DOCUMENTATION});
        Answer::json(status, body).with("location", url)
    }

    /// The page of `items` asked for, with GitHub's `Link` header.
    pub(super) fn page(&self, items: Vec<Value>) -> Answer {
        let (chosen, link) = self.cut(items);
        let answer = Answer::ok(Value::Array(chosen));
        if let Some(link) = link { answer.with("link", link) } else { answer }
    }

    /// As [`Call::page`], for lists inside an object with `total_count`.
    pub(super) fn page_in(&self, field: &str, items: Vec<Value>) -> Answer {
        let total = items.len();
        let (chosen, link) = self.cut(items);
        let answer = Answer::ok(json!({"total_count": total, field: chosen}));
        if let Some(link) = link { answer.with("link", link) } else { answer }
    }

    fn cut(&self, items: Vec<Value>) -> (Vec<Value>, Option<String>) {
        let number = |name: &str| self.query(name).and_then(|value| value.parse::<usize>().ok());
        let size = number("per_page").unwrap_or(30).clamp(1, 100);
        let page = number("page").unwrap_or(1).max(1);
        let last = items.len().div_ceil(size).max(1);
        let chosen = items.into_iter().skip((page - 1).saturating_mul(size)).take(size).collect();
        let mut links = Vec::new();
        let mut link = |to: usize, rel: &str| links.push(format!("<{}>; rel=\"{rel}\"", self.url_of_page(to)));
        if page > 1 {
            link((page - 1).min(last), "prev");
        }
        if page < last {
            link(page + 1, "next");
            link(last, "last");
        }
        if page > 1 {
            link(1, "first");
        }
        (chosen, (!links.is_empty()).then(|| links.join(", ")))
    }

    fn url_of_page(&self, page: usize) -> String {
        let mut query: Vec<_> = self.query.iter().filter(|(name, _)| name != "page").cloned().collect();
        query.push(("page".to_owned(), page.to_string()));
        format!("{}{}?{}", self.base, self.path, encode(&query))
    }
}

/// A query string.
pub(super) fn encode(query: &[(String, String)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish()
}
