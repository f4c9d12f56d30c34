//! Everything that is read from outside, fed with anything.
//!
//! **Definition.** A *target* is a function from any bytes to nothing: it gives them to parsers and judges what comes
//! out. The bytes are lines `name: value`, an empty line, and a body, as in HTTP.
//!
//! **Wanted properties.** No input makes a target panic. Each judgement is made in another way than the code that it
//! judges, from what GitHub publishes or from what must hold of any input.
//!
//! **Design.** `crates/forge/fuzz` hands these functions to a fuzzer that is guided by coverage; the tests feed them
//! with its seeds, with what it found, and with changed seeds.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use backlog::delivery::{Delivery, ID_CHARS};
use backlog::intent::WriteIntent;
use backlog::names::RepoName;
use backlog::time::{Clock, Timestamp};
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http::header::{ETAG, VARY};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::Sha256;
use url::Url;

use super::client::Answer;
use super::governor::{Limits, RealSleep};
use super::limit::{LONGEST, Limit, classify};
use super::route::{Routes, computed_tag};
use super::wire::Wire;
use super::{changes, conditional, deliveries, graphql, model, webhook};
use crate::marker::{Marker, find, marker as marked, strip};
use crate::{Known, Ledger, LedgerError, sanitize};

/// The time that it always is here, 2001-09-09.
const NOW: Timestamp = Timestamp(1_000_000_000_000);
/// The secret that the seeds are signed with, and the key of the markers in them.
const KEY: &str = "It's a Secret to Everybody";
/// Headers of one message; servers and clients of HTTP take no more.
const HEADERS: usize = 100;

/// A target.
pub type Target = fn(&[u8]);
/// Every target, by the name of its folder of seeds.
pub const TARGETS: [(&str, Target); 5] =
    [("webhook", webhook), ("headers", headers), ("json", json), ("limit", limit), ("marker", marker)];

/// The headers and the body of an input.
fn message(mut input: &[u8]) -> (HeaderMap, &[u8]) {
    let mut headers = HeaderMap::new();
    while let Some(end) = input.iter().position(|byte| *byte == b'\n') {
        let (line, rest) = (&input[..end], &input[end + 1..]);
        input = rest;
        if line.is_empty() || headers.len() >= HEADERS {
            break;
        }
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let (name, value) = line.split_at(colon);
        let value = value.strip_prefix(b":").unwrap_or_default().trim_ascii();
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
    (headers, input)
}

/// Signatures and bodies of webhooks.
pub fn webhook(input: &[u8]) {
    let (mut headers, body) = message(input);
    let secrets = webhook::Secrets::new(KEY.into(), Some("another".into())).expect("they are not empty");
    let code = |key: &str| -> [u8; 32] {
        let code = Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect("HMAC takes a key of any length");
        code.chain_update(body).finalize().into_bytes().into()
    };
    let given = webhook::Secrets::signature(&headers);
    let right = given.as_ref().is_ok_and(|given| *given == code(KEY) || *given == code("another"));
    assert_eq!(secrets.check(&headers, body).is_ok(), right, "the right signature is taken, and nothing else");
    headers.remove("x-hub-signature-256");
    assert!(secrets.check(&headers, body).is_err(), "without a signature nothing is taken");
    let signature = format!("sha256={}", hex::encode(code("another")));
    headers.insert("x-hub-signature-256", signature.parse().expect("digits are a value"));
    assert!(secrets.check(&headers, body).is_ok(), "so is one by the previous secret");
    assert!(secrets.check(&headers, &[body, b" "].concat()).is_err(), "one byte more is another body");
    for name in ["issues", "issue_comment", "push", "check_run", "pull_request_review"] {
        let _ = webhook::read_event("guid", name, body).map(|delivery| kept(&delivery));
    }
    if let Ok(delivery) = webhook::read(&headers, body) {
        kept(&delivery);
    }
}

/// A delivery is small, and comes back from where it is kept as it was.
fn kept(delivery: &Delivery) {
    assert!(!delivery.id.is_empty() && delivery.id.len() <= ID_CHARS);
    assert!(!delivery.event.is_empty() && delivery.event.chars().count() <= 201, "{}", delivery.event);
    assert!(delivery.subject.len() <= 500, "a subject of {} bytes", delivery.subject.len());
    let text = serde_json::to_string(delivery).expect("a delivery is JSON");
    assert_eq!(serde_json::from_str::<Delivery>(&text).ok().as_ref(), Some(delivery));
}

/// What answers say beside their body: pages, intervals, tags, ends of routes.
pub fn headers(input: &[u8]) {
    let (headers, body) = message(input);
    let vary = headers.get(VARY).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let status = if body.first() == Some(&b'!') { StatusCode::GONE } else { StatusCode::OK };
    let what = "GET /repos/a/b".to_owned();
    let answer = Answer { status, headers, body: Bytes::copy_from_slice(body), what, token: None };
    let page: Url = "https://github.example/api/v3/repos/a/b/issues".parse().expect("an address");
    if let Ok(Some(next)) = wire().next_page(&page, &answer) {
        assert_eq!(next.origin(), page.origin(), "the token stays with its origin");
    }
    if let Some(at) = conditional::poll_at(&answer, NOW) {
        assert!(at >= NOW && at <= NOW.plus(Duration::from_secs(3600)));
    }
    let authorization = HeaderValue::from_static("Bearer token");
    let routes = Routes::default();
    routes.check_tag(&answer, &vary, &authorization);
    routes.observe(&answer);
    for notice in routes.notices() {
        assert!(notice.chars().count() < 300 && !notice.chars().any(char::is_control), "{notice:?}");
    }
    let Some(known) = answer.header(ETAG) else { return };
    let Some(tag) = computed_tag(known, &vary, &authorization, body) else { return };
    assert_eq!(tag.len(), known.len(), "a tag has the form of the known one");
    assert_eq!(computed_tag(&tag, &vary, &authorization, body).as_ref(), Some(&tag), "it is its own tag");
    assert_ne!(computed_tag(known, &vary, &authorization, &[body, b" "].concat()), Some(tag), "of this body only");
}

/// Every form of GitHub's JSON.
pub fn json(input: &[u8]) {
    let value = serde_json::from_slice::<Value>(input).ok();
    let value = value.as_ref();
    read::<model::User>(input, value, &[]);
    read::<model::CollaboratorPermission>(input, value, &[]);
    read::<model::Label>(input, value, &[]);
    read::<model::Issue>(input, value, &["number"]);
    read::<model::IssueEvent>(input, value, &[]);
    read::<model::Comment>(input, value, &["id"]);
    read::<model::PullRequest>(input, value, &["number"]);
    read::<model::Review>(input, value, &["id"]);
    read::<model::LineComment>(input, value, &["id"]);
    read::<model::CheckRuns>(input, value, &[]);
    read::<model::CheckRun>(input, value, &["id"]);
    read::<model::CombinedStatus>(input, value, &[]);
    read::<graphql::Answered>(input, value, &[]);
    read::<model::App>(input, value, &["id", "slug"]);
    // A permission without a level is none that GitHub has.
    read::<model::Installation>(input, value, &["id", "permissions"]);
    read::<model::InstallationToken>(input, value, &["token"]);
    read::<model::InstalledRepositories>(input, value, &[]);
    read::<deliveries::Line>(input, value, &["id", "guid"]);
    read::<deliveries::Whole>(input, value, &["guid", "event", "request"]);
    if let Some(repository) = read::<model::Repository>(input, value, &["full_name"]) {
        assert!(repository.mark().starts_with("list "));
    }
    let sentence = model::ErrorBody::read(input).sentence();
    assert!(!sentence.is_empty() && sentence.chars().count() <= 300 && !sentence.chars().any(char::is_control));
    if let Ok(answered) = serde_json::from_slice::<graphql::Answered>(input) {
        judged(&answered);
    }
}

/// Reads one form; and where that works, a `null` in any other place than the needed ones changes nothing about it.
fn read<T: DeserializeOwned>(input: &[u8], value: Option<&Value>, needed: &[&str]) -> Option<T> {
    let read = serde_json::from_slice::<T>(input).ok()?;
    let Some(Value::Object(fields)) = value.filter(|_| input.len() < 4096) else { return Some(read) };
    for name in fields.keys().filter(|name| !needed.contains(&name.as_str())) {
        let mut fields = fields.clone();
        fields[name] = Value::Null;
        let nulled = serde_json::from_value::<T>(Value::Object(fields));
        assert!(nulled.is_ok(), "{}: null as {name}: {:?}", std::any::type_name::<T>(), nulled.err());
    }
    let objects = fields.iter().filter_map(|(name, field)| Some((name, field.as_object()?)));
    for (name, inner) in objects.filter(|(name, _)| !needed.contains(&name.as_str())) {
        for part in inner.keys() {
            let mut fields = fields.clone();
            fields[name][part] = Value::Null;
            let nulled = serde_json::from_value::<T>(Value::Object(fields));
            assert!(nulled.is_ok(), "{}: null as {name}.{part}: {:?}", std::any::type_name::<T>(), nulled.err());
        }
    }
    Some(read)
}

/// Each repository that was asked for is told about once, or asked for again.
fn judged(answered: &graphql::Answered) {
    let known = |name: &str| Known { name: name.parse().expect("a name"), mark: String::new() };
    let known = [known("acme/app"), known("acme/tool")];
    let asked: Vec<&Known> = known.iter().collect();
    let (answers, unanswered) = changes::judge(&asked, answered);
    assert_eq!(answers.len() + unanswered.len(), asked.len());
    assert!(unanswered.is_empty() || answered.is_cut(), "only a document that was too much is sent again");
}

/// Whether an answer is a limit. The header `status` is the status, `graphql` says that it answers a query.
pub fn limit(input: &[u8]) {
    let (headers, body) = message(input);
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let status = text("status").and_then(|code| StatusCode::from_bytes(code.as_bytes()).ok()).unwrap_or_default();
    let graphql = headers.contains_key("graphql");
    let found = classify(status, &headers, body, graphql, NOW);
    match found {
        Some(Limit::Pause(wait) | Limit::Content(Some(wait))) => assert!(wait <= LONGEST),
        Some(Limit::Empty(until)) => assert!(until <= NOW.plus(LONGEST)),
        Some(Limit::Secondary | Limit::Content(None)) | None => {}
    }
    let said = String::from_utf8_lossy(body).to_ascii_lowercase();
    let words = ["secondary", "abuse", "too quickly", "blocked from content creation"];
    // An escape in JSON may spell any word.
    let words = said.contains('\\') || words.iter().any(|word| said.contains(word));
    let waits = headers.contains_key("retry-after");
    let used_up = text("x-ratelimit-remaining").and_then(|left| left.trim().parse::<u64>().ok()) == Some(0);
    match (status.as_u16(), graphql) {
        (429, _) => assert!(found.is_some(), "a 429 is a limit"),
        (403, _) if waits || used_up => assert!(found.is_some(), "a wait or an empty quota is a limit"),
        (403, _) => assert!(words || found.is_none(), "a bare 403 is a refusal, not {found:?}"),
        (200, true) => assert!(words || found.is_none() || said.contains("rate_limited"), "{found:?} of nothing"),
        _ => assert_eq!(found, None, "{status} is no limit"),
    }
}

/// Markers in texts that anybody wrote, and what is left of such a text for an agent.
pub fn marker(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let own = Marker::of_comment(&"3k9d0fz2ha".parse().expect("an id"), "status");
    let mark = marked(KEY.as_bytes(), &own);
    if let Some(found) = find(KEY.as_bytes(), &text) {
        let mark = marked(KEY.as_bytes(), &found);
        let code = mark.rsplit_once("mac=").map(|(_, code)| code.trim_end_matches(" -->"));
        assert!(code.is_some_and(|code| text.contains(code)), "only who has seen its code can write {found:?}");
    }
    assert_eq!(find(b"a key that signed nothing", &text), None);
    let below = |text: &str| format!("{text}\n\n{mark}");
    assert_eq!(find(KEY.as_bytes(), &below(&text)).as_ref(), Some(&own), "no text hides the marker below it");
    let plain = strip(&text);
    assert!(!plain.contains("<!-- ccm:v1 "), "nothing of a marker is left in {plain:?}");
    assert_eq!(strip(&plain), plain);
    assert_eq!(strip(&below(&plain)), plain, "what is read again is what was written");
    let seen = sanitize::sanitize(&text);
    assert!(!seen.contains("<!--") && sanitize::sanitize(&seen) == seen, "{seen:?}");
    assert_eq!(sanitize::visible(&seen), seen);
}

/// A way to a host that nothing is sent to.
fn wire() -> &'static Wire {
    static WIRE: OnceLock<Wire> = OnceLock::new();
    WIRE.get_or_init(|| {
        let host = "https://github.example/api/v3".parse().expect("an address");
        Wire::new(host, "ccm", Limits::default(), Arc::new(Nothing), Arc::new(Nothing), Arc::new(RealSleep))
            .expect("a client")
    })
}

/// Remembers nothing, and knows one time.
struct Nothing;

impl Clock for Nothing {
    fn now(&self) -> Timestamp {
        NOW
    }
}

#[async_trait]
impl Ledger for Nothing {
    async fn intent(&self, _: &str) -> Result<Option<WriteIntent>, LedgerError> {
        Ok(None)
    }

    async fn swap_intent(&self, _: Option<&WriteIntent>, _: &WriteIntent) -> Result<bool, LedgerError> {
        Ok(false)
    }

    async fn open_intents(&self, _: &RepoName) -> Result<Vec<WriteIntent>, LedgerError> {
        Ok(Vec::new())
    }

    async fn recall(&self, _: &str, _: &str) -> Result<Option<String>, LedgerError> {
        Ok(None)
    }

    async fn remember(&self, _: &str, _: &str, _: &str, _: Option<Timestamp>) -> Result<(), LedgerError> {
        Ok(())
    }

    async fn swap(
        &self,
        _: &str,
        _: &str,
        _: Option<&str>,
        _: &str,
        _: Option<Timestamp>,
    ) -> Result<bool, LedgerError> {
        Ok(false)
    }
}

#[cfg(test)]
mod tests;
