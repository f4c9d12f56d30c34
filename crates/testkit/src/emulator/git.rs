//! Git over HTTP, for the holders of tokens.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, State};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, Method, Uri, header};

use super::bridge::Bridge;
use crate::github::cgi;
use crate::program::plain;

/// The largest body: a push.
const LARGEST_BODY: usize = 64 << 20;

struct Git {
    root: PathBuf,
    /// The path below which the repository is served, such as `/me/app.git/`.
    prefix: String,
    /// Every token that is good, and whether it may push.
    tokens: BTreeMap<String, bool>,
    bridge: Arc<Bridge>,
}

/// Serves one repository to the holders of `tokens`; what is pushed crosses the bridge before the push is answered.
pub(super) fn over_http(
    root: PathBuf,
    repository: &str,
    tokens: BTreeMap<String, bool>,
    bridge: Arc<Bridge>,
) -> Router {
    let state = Arc::new(Git { root, prefix: format!("/{repository}.git/"), tokens, bridge });
    Router::new().fallback(answer_git).layer(DefaultBodyLimit::max(LARGEST_BODY)).with_state(state)
}

async fn answer_git(
    State(git): State<Arc<Git>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let query = uri.query().unwrap_or_default();
    let push = uri.path().ends_with("/git-receive-pack");
    let Some(may_push) = password(&headers).and_then(|token| git.tokens.get(&token)) else {
        let mut refusal = plain(401, "Authentication required.\n");
        refusal.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Basic realm=\"git\""));
        return refusal;
    };
    if !may_push && (push || query.contains("git-receive-pack")) {
        return plain(403, "No leave to push.\n");
    }
    if !uri.path().starts_with(&git.prefix) {
        return plain(404, "No such repository.\n");
    }
    let request = cgi::Request {
        root: &git.root,
        method: method.as_str(),
        path_info: uri.path(),
        query,
        headers: &headers,
        body: &body,
        user: Some("somebody"),
    };
    let reply = match cgi::http_backend(request).await {
        Ok(reply) => reply,
        Err(error) => return plain(500, &format!("{error:#}\n")),
    };
    if push && let Err(error) = git.bridge.mirror().await {
        return plain(500, &format!("{error:#}\n"));
    }
    let mut response = Response::builder().status(reply.status).header(header::CONTENT_TYPE, reply.content_type);
    for (name, value) in reply.headers {
        response = response.header(name, value);
    }
    response.body(Body::from(reply.body)).unwrap_or_else(|error| plain(500, &error.to_string()))
}

/// The password of basic authentication; the name does not matter, as on GitHub.
fn password(headers: &HeaderMap) -> Option<String> {
    let coded = headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Basic ")?;
    let plain = String::from_utf8(STANDARD.decode(coded).ok()?).ok()?;
    plain.split_once(':').map(|(_, password)| password.to_owned())
}
