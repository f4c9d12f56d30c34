//! The way in: what every request has to pass.
//!
//! **Wanted properties.**
//! - A foreign web page can do nothing: its requests carry its own host (DNS rebinding) or its own origin (forged
//!   forms, foreign sockets), and both are refused; the cookie is not sent across sites.
//! - Programs send the API token in a header that browsers never add by themselves, so the origin does not matter
//!   there.
//! - No inline script or style runs, nothing is loaded from elsewhere, nobody frames the dashboard.

use std::any::Any;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use backlog::event::{Actor, Channel};

use crate::fault::{ApiFault, Fault};
use crate::{Site, sign_in};

/// How long a request may take.
const REQUEST_TIME: Duration = Duration::from_secs(30);

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Visitor {
    /// A browser with a session.
    Session,
    /// A program with the API token.
    Token,
}

/// The person on whose behalf a request acts.
pub(crate) fn actor(site: &Site, channel: Channel) -> Actor {
    Actor::person(site.owner.clone(), channel)
}

/// Host, origin and time: for every request.
pub(crate) async fn check(State(site): State<Arc<Site>>, request: Request, next: Next) -> Response {
    let api = is_api(&request);
    let headers = request.headers();
    if !is_our_host(&site.address, host(headers)) {
        let why = "This address is not one of the service's own. Open it as localhost or by the address it listens on.";
        return refuse(api, Fault::Forbidden(why));
    }
    let reads = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if !reads && !has_token(&site, headers) && !is_same_origin(headers) {
        let why = "This request comes from another site and changes nothing here.";
        return refuse(api, Fault::Forbidden(why));
    }
    match tokio::time::timeout(REQUEST_TIME, next.run(request)).await {
        Ok(response) => response,
        Err(_) => refuse(api, Fault::Busy("The answer took too long. Try again.")),
    }
}

/// A session or the API token: for everything but the door itself.
pub(crate) async fn signed_in(State(site): State<Arc<Site>>, mut request: Request, next: Next) -> Response {
    let headers = request.headers();
    let visitor = if has_token(&site, headers) {
        Some(Visitor::Token)
    } else {
        match sign_in::session(&site, headers).await {
            Ok(session) => session.map(|_| Visitor::Session),
            Err(fault) => return refuse(is_api(&request), fault),
        }
    };
    let Some(visitor) = visitor else { return turn_away(&request) };
    request.extensions_mut().insert(visitor);
    next.run(request).await
}

fn is_api(request: &Request) -> bool {
    request.uri().path().starts_with("/api/")
}

fn turn_away(request: &Request) -> Response {
    if is_api(request) || request.headers().contains_key(header::UPGRADE) {
        return ApiFault(Fault::Unauthorized).into_response();
    }
    let path = request.uri().path();
    let next = if *request.method() == Method::GET && !path.contains(['&', '+', ';']) { path } else { "/" };
    let door = if next == "/" { "/sign-in".to_owned() } else { format!("/sign-in?next={next}") };
    if request.headers().contains_key("hx-request") {
        return (StatusCode::OK, [(HeaderName::from_static("hx-redirect"), door)]).into_response();
    }
    Redirect::to(&door).into_response()
}

fn refuse(api: bool, fault: Fault) -> Response {
    if api { ApiFault(fault).into_response() } else { fault.into_response() }
}

/// Whether the request carries the API token.
pub(crate) fn has_token(site: &Site, headers: &HeaderMap) -> bool {
    let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = value.and_then(|value| value.split_once(' ')).filter(|(kind, _)| kind.eq_ignore_ascii_case("bearer"));
    token.is_some_and(|(_, token)| sign_in::is_token(site, token.trim()))
}

fn host(headers: &HeaderMap) -> &str {
    headers.get(header::HOST).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// A host without its port and brackets.
fn bare(host: &str) -> &str {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split(']').next().unwrap_or_default();
    }
    host.split(':').next().unwrap_or_default()
}

/// Whether a `Host` header names this service. A name that an attacker's DNS points at this machine does not; behind
/// a listener on all addresses any plain address does, because an address cannot be pointed elsewhere.
fn is_our_host(address: &str, host: &str) -> bool {
    let listens = bare(address.split_once("://").map_or(address, |(_, rest)| rest));
    let host = bare(host);
    if host.eq_ignore_ascii_case("localhost") || host.eq_ignore_ascii_case(listens) {
        return true;
    }
    let everywhere = listens.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified());
    matches!(host, "127.0.0.1" | "::1") || everywhere && host.parse::<IpAddr>().is_ok()
}

/// Whether the `Origin` is exactly this host.
pub(crate) fn origin_is_host(headers: &HeaderMap) -> bool {
    let origin = headers.get(header::ORIGIN).and_then(|value| value.to_str().ok());
    let origin = origin.and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
    origin.is_some_and(|origin| origin.eq_ignore_ascii_case(host(headers)))
}

/// Whether a browser says that one of our own pages sent this. A request that says nothing is not trusted.
fn is_same_origin(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    let fetch = site.map(|site| site == b"same-origin" || site == b"none");
    let origin = headers.contains_key(header::ORIGIN).then(|| origin_is_host(headers));
    match (fetch, origin) {
        (None, None) => false,
        (fetch, origin) => fetch != Some(false) && origin != Some(false),
    }
}

/// Headers of every answer.
pub(crate) async fn headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        // Not `no-referrer`: with it, browsers hide the origin of our own forms.
        (header::REFERRER_POLICY, "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// The answer after a bug.
pub(crate) fn panicked(cause: Box<dyn Any + Send + 'static>) -> Response {
    let text = cause.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| cause.downcast_ref::<String>().cloned()).unwrap_or_default();
    ApiFault(Fault::Internal(anyhow::anyhow!("a request handler panicked: {text}"))).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_services_own_names_are_its_host() {
        for (listens, host, ours) in [
            ("http://127.0.0.1:7878", "127.0.0.1:7878", true),
            ("http://127.0.0.1:7878", "LOCALHOST:9000", true),
            ("http://127.0.0.1:7878", "[::1]:7878", true),
            ("http://[::1]:7878", "[::1]:7878", true),
            ("http://127.0.0.1:7878", "evil.example:7878", false),
            ("http://127.0.0.1:7878", "127.0.0.1.evil.example", false),
            ("http://127.0.0.1:7878", "10.0.0.9:7878", false),
            ("http://10.0.0.9:7878", "10.0.0.9:7878", true),
            ("http://0.0.0.0:7878", "10.0.0.9:7878", true),
            ("http://0.0.0.0:7878", "evil.example", false),
            ("http://127.0.0.1:7878", "", false),
        ] {
            assert_eq!(is_our_host(listens, host), ours, "{listens} {host}");
        }
    }

    #[test]
    fn a_form_of_another_site_is_told_from_our_own() {
        for (origin, fetch, ours) in [
            (Some("http://localhost:1"), None, true),
            (Some("http://localhost:1"), Some("same-origin"), true),
            (None, Some("same-origin"), true),
            (Some("http://evil.example"), None, false),
            (Some("http://localhost:2"), None, false),
            (Some("null"), None, false),
            (None, Some("cross-site"), false),
            (None, Some("same-site"), false),
            (Some("http://localhost:1"), Some("cross-site"), false),
            (None, None, false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("host", HeaderValue::from_static("localhost:1"));
            if let Some(origin) = origin {
                headers.insert("origin", HeaderValue::from_static(origin));
            }
            if let Some(fetch) = fetch {
                headers.insert("sec-fetch-site", HeaderValue::from_static(fetch));
            }
            assert_eq!(is_same_origin(&headers), ours, "{origin:?} {fetch:?}");
        }
    }
}
