//! Signing in: one-time links and sessions.
//!
//! **Definition.** A *code* is in the link that the service prints at its start; it signs one browser in, once. A
//! *session* is what that browser keeps, in a cookie. The API token signs in too, for a browser far from the terminal.
//!
//! **Wanted properties.** What the database holds lets nobody in: codes and sessions are stored as hashes. Opening a
//! link changes nothing, so that a preview or a scanner of links cannot use it up: the page it shows has a button, and
//! only that button's POST takes the code. Guessing is limited.
//!
//! **Known races.** *Two browsers use a code at once*: the store gives it to one of them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use askama::Template;
use axum::extract::rejection::FormRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Form, Router};
use backlog::time::Timestamp;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::Site;
use crate::fault::Fault;

/// How long a link is good for.
const CODE_LIFE: Duration = Duration::from_secs(15 * 60);
/// How long a session is good for.
const SESSION_LIFE: Duration = Duration::from_secs(30 * 86_400);
/// Wrong attempts within [`ATTEMPTS_PER`] before the door stays shut for its rest.
const ATTEMPTS: u32 = 20;
const ATTEMPTS_PER: Duration = Duration::from_secs(60);
/// Where codes and sessions are kept.
const CODES: &str = "sign-in";
const SESSIONS: &str = "session";
const COOKIE: &str = "ccm_session";

/// The hash of a secret. Secrets here are random and long, so that a plain hash protects them.
pub(crate) fn digest(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

fn key(secret: &str) -> String {
    hex::encode(digest(secret))
}

fn random() -> Result<String> {
    let mut bytes = [0u8; 32];
    getrandom::fill(&mut bytes).context("the system gives no random numbers")?;
    Ok(hex::encode(bytes))
}

/// Whether this is the API token.
pub(crate) fn is_token(site: &Site, text: &str) -> bool {
    digest(text).ct_eq(&site.token).into()
}

/// Makes a code.
pub(crate) async fn new_code(site: &Site) -> Result<String> {
    let code = random()?;
    let until = site.ctx.now().plus(CODE_LIFE);
    site.ctx.store.put_note(CODES, &key(&code), "", Some(until)).await?;
    Ok(code)
}

/// The session that a request's cookie names, if it is a live one.
pub(crate) async fn session(site: &Site, headers: &HeaderMap) -> Result<Option<String>, Fault> {
    let Some(secret) = cookie(headers) else { return Ok(None) };
    let key = key(&secret);
    Ok(site.ctx.store.note(SESSIONS, &key, site.ctx.now()).await?.map(|_| key))
}

fn cookie(headers: &HeaderMap) -> Option<String> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, _)| *name == COOKIE)
        .map(|(_, value)| value.to_owned())
}

/// Counts wrong attempts of all visitors together; secrets of 256 bits need no more than a bound on the work.
#[derive(Default)]
pub(crate) struct Attempts(Mutex<(Timestamp, u32)>);

impl Attempts {
    /// Whether another attempt is taken at `now`.
    fn open(&self, now: Timestamp) -> bool {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if now.since(window.0) >= ATTEMPTS_PER {
            *window = (now, 0);
        }
        window.1 < ATTEMPTS
    }

    fn failed(&self) {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        window.1 = window.1.saturating_add(1);
    }
}

/// `/sign-in` and `/sign-out`.
pub(crate) fn router() -> Router<Arc<Site>> {
    Router::new().route("/sign-in", get(show).post(enter)).route("/sign-out", post(leave))
}

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage<'a> {
    code: &'a str,
    next: &'a str,
    problem: &'a str,
}

#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    code: String,
    #[serde(default)]
    next: String,
}

#[derive(Deserialize)]
struct Entering {
    #[serde(default)]
    secret: String,
    #[serde(default)]
    next: String,
}

async fn show(Query(asked): Query<Asked>) -> Result<Response, Fault> {
    page(StatusCode::OK, &asked.code, &asked.next, "")
}

fn page(status: StatusCode, code: &str, next: &str, problem: &str) -> Result<Response, Fault> {
    let html = SignInPage { code, next: inside(next), problem }.render()?;
    Ok((status, [(header::CACHE_CONTROL, "no-store")], Html(html)).into_response())
}

/// Only a path of this site is gone to after signing in.
fn inside(next: &str) -> &str {
    let own = next.starts_with('/') && !next.starts_with("//") && !next.contains(['\\', '\n', '\r', '\t']);
    if own { next } else { "/" }
}

async fn enter(State(site): State<Arc<Site>>, form: Result<Form<Entering>, FormRejection>) -> Result<Response, Fault> {
    let Ok(Form(entering)) = form else {
        return page(StatusCode::BAD_REQUEST, "", "/", "The form did not arrive whole. Try once more.");
    };
    let now = site.ctx.now();
    if !site.attempts.open(now) {
        let problem = "There were too many wrong attempts. Wait a minute, then try again.";
        return page(StatusCode::TOO_MANY_REQUESTS, "", &entering.next, problem);
    }
    let secret = entering.secret.trim();
    let known = is_token(&site, secret) || site.ctx.store.take_note(CODES, &key(secret), now).await?.is_some();
    if !known {
        site.attempts.failed();
        let problem = "That link was used already or is too old, or the token is wrong. \
                       Start ccm again for a new link, or paste the API token from its data folder.";
        return page(StatusCode::UNAUTHORIZED, "", &entering.next, problem);
    }
    let session = random()?;
    site.ctx.store.put_note(SESSIONS, &key(&session), &site.owner, Some(now.plus(SESSION_LIFE))).await?;
    let cookie = set_cookie(&site, &session, SESSION_LIFE);
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to(inside(&entering.next))).into_response())
}

fn set_cookie(site: &Site, value: &str, life: Duration) -> String {
    let secure = if site.address.starts_with("https:") { "; Secure" } else { "" };
    format!("{COOKIE}={value}; Path=/; Max-Age={}; HttpOnly; SameSite=Strict{secure}", life.as_secs())
}

async fn leave(State(site): State<Arc<Site>>, headers: HeaderMap) -> Result<Response, Fault> {
    if let Some(secret) = cookie(&headers) {
        site.ctx.store.take_note(SESSIONS, &key(&secret), site.ctx.now()).await?;
    }
    let cookie = set_cookie(&site, "", Duration::ZERO);
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to("/sign-in")).into_response())
}
