//! What is known of the host's routes.
//!
//! **Definition.** A *route* is a method and a path without the names and numbers in it. For each it is remembered
//! whether entity tags can be computed there, and whether GitHub has announced its end.
//!
//! **Wanted properties.** A tag is computed only where every answer so far had the tag that we would have computed
//! (R40); whoever runs this hears of each announced end once (R45). The number of routes has a bound.
//!
//! **Design.** GitHub's tag is, as others found out, the SHA-256 of those of the request's `Accept`, `Authorization`
//! and `Cookie` values that the answer's `Vary` lists, each followed by `:`, and of the body. That is nowhere promised,
//! so that one answer with another tag ends it for that route until the program starts again.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use http::HeaderValue;
use sha2::{Digest, Sha256};

use super::client::{ACCEPT, Answer};

/// Routes that are remembered; this client uses about thirty.
const ROUTES: usize = 200;

/// The words in paths that are GitHub's; everything else is a name or a number.
const WORDS: [&str; 36] = [
    "access_tokens",
    "actions",
    "app",
    "branches",
    "check-runs",
    "check-suites",
    "collaborators",
    "comments",
    "commits",
    "deliveries",
    "events",
    "git",
    "graphql",
    "heads",
    "hook",
    "installation",
    "installations",
    "issues",
    "jobs",
    "labels",
    "logs",
    "merge",
    "meta",
    "orgs",
    "permission",
    "pulls",
    "ref",
    "refs",
    "repos",
    "repositories",
    "reviews",
    "status",
    "timeline",
    "user",
    "users",
    "versions",
];

/// Whether tags can be computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Tags {
    #[default]
    Unknown,
    Computable,
    Opaque,
}

#[derive(Default)]
struct Route {
    tags: Tags,
    /// The sentence about its end.
    ends: Option<String>,
}

/// See the module.
#[derive(Default)]
pub(super) struct Routes {
    known: Mutex<BTreeMap<String, Route>>,
    /// Changes that 304s concealed (R41).
    missed: AtomicU64,
}

impl Routes {
    fn with<T: Default>(&self, what: &str, act: impl FnOnce(&mut Route) -> T) -> T {
        let name = name_of(what);
        let mut routes = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if routes.len() >= ROUTES && !routes.contains_key(&name) {
            return T::default();
        }
        act(routes.entry(name).or_default())
    }

    /// Compares the tag of a whole answer with the one that we would have computed.
    pub(super) fn check_tag(&self, answer: &Answer, vary: &str, authorization: &HeaderValue) {
        let Some(tag) = answer.header(http::header::ETAG) else { return };
        let same = computed_tag(tag, vary, authorization, &answer.body).as_deref() == Some(tag);
        let before = self.with(&answer.what, |route| {
            let before = route.tags;
            route.tags = if same && before != Tags::Opaque { Tags::Computable } else { Tags::Opaque };
            before
        });
        if !same && before == Tags::Computable {
            tracing::warn!(
                what = answer.what,
                "GitHub computes entity tags in another way now; they are not guessed there"
            );
        }
    }

    /// Whether tags can be computed where `what`, a method and a path, leads.
    pub(super) fn computable(&self, what: &str) -> bool {
        self.with(what, |route| route.tags == Tags::Computable)
    }

    /// Notes what an answer says about the end of its route or of this version of the interface.
    pub(super) fn observe(&self, answer: &Answer) {
        let dated = ["sunset", "deprecation"].into_iter().find_map(|name| Some((name, answer.header(name)?)));
        let Some((name, when)) = dated else { return };
        let when: String = when.chars().filter(|c| !c.is_control()).take(60).collect();
        let ends = match answer.status {
            http::StatusCode::GONE => format!("GitHub has ended what this ccm uses ({name}: {when}); update ccm."),
            _ => format!("GitHub announces the end of what this ccm uses ({name}: {when}); update ccm in time."),
        };
        let ends = format!("{}: {ends}", name_of(&answer.what));
        let news = self.with(&answer.what, |route| {
            let news = route.ends.as_ref() != Some(&ends);
            route.ends = Some(ends.clone());
            news
        });
        if news {
            metrics::counter!("ccm_github_route_endings_total").increment(1);
            tracing::error!("{ends}");
        }
    }

    /// Counts a change that a 304 concealed.
    pub(super) fn missed(&self, what: &str) {
        self.missed.fetch_add(1, Ordering::Relaxed);
        metrics::counter!("ccm_github_missed_changes_total").increment(1);
        tracing::warn!(what, "GitHub said that something had not changed which had; it is read now");
    }

    /// Everything that whoever runs this should know, as sentences.
    pub(super) fn notices(&self) -> Vec<String> {
        let routes = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut notices: Vec<String> = routes.values().filter_map(|route| route.ends.clone()).collect();
        match self.missed.load(Ordering::Relaxed) {
            0 => {}
            n => notices.push(format!(
                "GitHub said {n} times that something had not changed which had; the daily whole read found it."
            )),
        }
        notices
    }
}

/// The name of the route of a method and a path.
fn name_of(what: &str) -> String {
    let (method, path) = what.split_once(' ').unwrap_or(("GET", what));
    let path = path.strip_prefix("/api/v3").unwrap_or(path).trim_start_matches('/');
    let repository = path.starts_with("repos/");
    let parts = path.split('/').enumerate().map(|(place, part)| {
        let named = repository && (place == 1 || place == 2);
        if WORDS.contains(&part) && !named { part } else { "{}" }
    });
    format!("{method} /{}", parts.collect::<Vec<_>>().join("/"))
}

/// The tag of `body` for a credential, in the form of a `known` one; `None` when that is no SHA-256.
pub(super) fn computed_tag(known: &str, vary: &str, authorization: &HeaderValue, body: &[u8]) -> Option<String> {
    let opening = known.find('"')?;
    let digest = known[opening + 1..].strip_suffix('"')?;
    if digest.len() != 64 || !digest.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let mut hash = Sha256::new();
    // A cookie is never sent.
    for (name, value) in [("accept", ACCEPT.as_bytes()), ("authorization", authorization.as_bytes())] {
        if vary.split(',').any(|listed| listed.trim().eq_ignore_ascii_case(name)) {
            hash.update(value);
            hash.update(b":");
        }
    }
    hash.update(body);
    Some(format!("{}\"{}\"", &known[..opening], hex::encode(hash.finalize())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_has_no_names_and_numbers() {
        for (what, name) in [
            ("GET /repos/me/app/issues/12/comments", "GET /repos/{}/{}/issues/{}/comments"),
            ("GET /api/v3/repos/me/app", "GET /repos/{}/{}"),
            ("GET /orgs/acme/repos", "GET /orgs/{}/repos"),
            ("POST /graphql", "POST /graphql"),
        ] {
            assert_eq!(name_of(what), name);
        }
    }

    #[test]
    fn r45_routes_have_a_bound() {
        let routes = Routes::default();
        for n in 0..2 * ROUTES {
            routes.with(&format!("M{n} /x"), |route| route.tags = Tags::Computable);
        }
        assert_eq!(routes.known.lock().unwrap().len(), ROUTES);
        assert!(!routes.computable("M399 /x"), "what is not remembered is not computed");
    }

    #[test]
    fn r40_a_tag_is_the_digest_of_what_vary_lists_and_the_body() {
        let token = HeaderValue::from_static("Bearer a");
        let known = format!("W/\"{}\"", "0".repeat(64));
        let tag = |vary: &str| computed_tag(&known, vary, &token, b"[]").unwrap();
        let digest = |text: &str| format!("W/\"{}\"", hex::encode(Sha256::digest(text)));
        assert_eq!(tag("Accept, Authorization, Cookie, Accept"), digest(&format!("{ACCEPT}:Bearer a:[]")));
        assert_eq!(tag("accept-encoding, accept"), digest(&format!("{ACCEPT}:[]")));
        assert_eq!(tag(""), digest("[]"));
        for opaque in ["\"0123abc\"", "W/\"xyz\"", "0", "\""] {
            assert_eq!(computed_tag(opaque, "", &token, b""), None, "{opaque}");
        }
    }
}
