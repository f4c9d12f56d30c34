//! `ccm init --github-app`: makes a GitHub App of one's own.
//!
//! **Definition.** A page on this machine holds a form with the App's description; sent, it leads to GitHub, where the
//! person confirms, and from there back here with a code, which is exchanged for the App's keys.
//!
//! **Wanted properties.** Only whoever opened the form of this very call can end it: the state is checked. The listener
//! is on the loopback interface and answers to its own name only. The keys are written for their owner alone and stand
//! in no text.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use axum::Router;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use backlog::alert::AlertKind;
use forge::github::manifest::{Manifest, NOWHERE, NewApp, convert};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use url::Url;

use crate::output;

/// How long the person may take: GitHub's code is good for an hour.
const PATIENCE: Duration = Duration::from_secs(3_600);

/// What the person wants.
pub struct Wish {
    /// The REST interface of the server.
    pub api_url: Url,
    /// The organisation that owns the App; `None`: the person.
    pub organization: Option<String>,
    /// Where GitHub reaches the service; `None`: nowhere.
    pub webhook_url: Option<String>,
    /// The kinds of alerts that the App may read and is told of.
    pub alerts: Vec<AlertKind>,
}

/// A new App and where its keys are.
pub struct Made {
    /// Its id.
    pub id: u64,
    /// Where people install it.
    pub install_url: String,
    /// Its private key.
    pub private_key_file: PathBuf,
    /// The secret of its webhooks.
    pub webhook_secret_file: PathBuf,
}

/// One call's page and what came of it.
struct Desk {
    host: String,
    state: String,
    page: String,
    code: Mutex<Option<oneshot::Sender<String>>>,
}

/// Has the person make an App, and stores its keys below `dir`.
///
/// # Errors
/// When nobody ends the form within an hour, GitHub does not give the keys, or they cannot be written.
pub async fn make(wish: &Wish, dir: &Path) -> Result<Made> {
    let listener = TcpListener::bind("127.0.0.1:0").await.context("cannot listen on this machine")?;
    let host = listener.local_addr()?.to_string();
    let state = random()?;
    let manifest = Manifest {
        name: format!("ccm-{}", &random()?[..8]),
        redirect_url: format!("http://{host}/made"),
        webhook_url: wish.webhook_url.clone().unwrap_or_else(|| NOWHERE.to_owned()),
        organization: wish.organization.clone(),
        alerts: wish.alerts.clone(),
    };
    let page = page(manifest.form_url(&wish.api_url, &state).as_str(), &manifest.json(&wish.api_url).to_string());
    let (sender, code) = oneshot::channel();
    let desk = Arc::new(Desk { host: host.clone(), state, page, code: Mutex::new(Some(sender)) });
    let router = Router::new().route("/", get(form)).route("/made", get(made)).with_state(desk);
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(async move {
        let until = async {
            let _ = stopped.await;
        };
        axum::serve(listener, router).with_graceful_shutdown(until).await
    });
    output::remark(&format!("Open http://{host}/ in a browser on this machine and make the App there."));
    let code = tokio::time::timeout(PATIENCE, code).await;
    let _ = stop.send(());
    let Ok(Ok(code)) = code else {
        bail!("nobody made the App within an hour; begin anew with `ccm init --github-app`")
    };
    // The page that was asked for last is still on its way.
    let _ = tokio::time::timeout(Duration::from_secs(5), serving).await;
    keep(convert(&wish.api_url, &code).await?, dir)
}

/// Writes the keys.
fn keep(app: NewApp, dir: &Path) -> Result<Made> {
    let private_key_file = dir.join(format!("github-app-{}.pem", app.id));
    let webhook_secret_file = dir.join(format!("github-app-{}.webhook-secret", app.id));
    write(&private_key_file, &app.pem)?;
    write(&webhook_secret_file, &app.webhook_secret)?;
    let install_url = format!("{}/installations/new", app.html_url.trim_end_matches('/'));
    Ok(Made { id: app.id, install_url, private_key_file, webhook_secret_file })
}

/// Writes a secret into a new file that only its owner may read.
fn write(file: &Path, secret: &SecretString) -> Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let open = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    open.and_then(|mut out| out.write_all(secret.expose_secret().as_bytes()).and_then(|()| out.sync_all()))
        .with_context(|| format!("cannot write {}", file.display()))
}

fn random() -> Result<String> {
    let mut bytes = [0u8; 32];
    getrandom::fill(&mut bytes).context("the system gives no random numbers")?;
    Ok(hex::encode(bytes))
}

fn page(action: &str, manifest: &str) -> String {
    let safe = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;");
    format!(
        "<!doctype html><meta charset=\"utf-8\"><title>Make the App</title>\
         <h1>Make the App</h1><p>GitHub asks you to confirm the App's name and what it may do, and leads you back here.</p>\
         <form method=\"post\" action=\"{}\"><input type=\"hidden\" name=\"manifest\" value=\"{}\">\
         <button>Go on to GitHub</button></form>",
        safe(action),
        safe(manifest)
    )
}

async fn form(State(desk): State<Arc<Desk>>, headers: HeaderMap) -> Response {
    if !is_ours(&desk, &headers) {
        return StatusCode::FORBIDDEN.into_response();
    }
    Html(desk.page.clone()).into_response()
}

/// What GitHub puts into the address it leads back to.
#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    code: String,
    #[serde(default)]
    state: String,
}

async fn made(State(desk): State<Arc<Desk>>, headers: HeaderMap, Query(answer): Query<Answer>) -> Response {
    if !is_ours(&desk, &headers) || answer.state != desk.state || answer.code.is_empty() {
        let why = "This does not belong to the form of this call. Open the address that the terminal shows.";
        return (StatusCode::FORBIDDEN, why).into_response();
    }
    let waiting = desk.code.lock().unwrap_or_else(PoisonError::into_inner).take();
    match waiting.map(|waiting| waiting.send(answer.code)) {
        Some(Ok(())) => "The App is made. Go on in the terminal; it says where to install it.".into_response(),
        _ => (StatusCode::CONFLICT, "The App was made already.").into_response(),
    }
}

/// Whether a request names this listener: no name that somebody's DNS points here.
fn is_ours(desk: &Desk, headers: &HeaderMap) -> bool {
    headers.get(header::HOST).is_some_and(|host| host.as_bytes() == desk.host.as_bytes())
}
