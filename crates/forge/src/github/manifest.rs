//! Making a GitHub App from a manifest.
//!
//! **Definition.** A person sends a form with the App's description to GitHub, GitHub sends the person back with a code,
//! and the code is exchanged for the App's keys, once, within an hour. [`Manifest`] is the form, [`convert`] the
//! exchange.
//!
//! **Wanted properties.** The App asks for no more than the product uses: never for workflows, administration, secrets
//! or members. Its keys stand in no text.

use std::time::Duration;

use backlog::alert::AlertKind;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use super::alerts::permission;
use super::client::API_VERSION;
use super::wire::is_loopback;
use super::{NEEDED, derived_git_url};

/// An address that nobody has (RFC 2606): deliveries to it fail and are asked for instead.
pub const NOWHERE: &str = "https://ccm.invalid/webhooks/github";
/// The events. Those about installations come unasked; `check_run`, `status` and `workflow_run` are too noisy.
const EVENTS: &[&str] = &[
    "issues",
    "issue_comment",
    "label",
    "pull_request",
    "pull_request_review",
    "pull_request_review_comment",
    "pull_request_review_thread",
    "push",
    "check_suite",
    "repository",
];
/// How long the exchange may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// The most bytes of its answer.
const ANSWER_BYTES: usize = 1 << 20;

/// An App to be made.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// Its name, unique on the server, at most 34 characters.
    pub name: String,
    /// Where GitHub sends the person with the code.
    pub redirect_url: String,
    /// Where webhooks go; [`NOWHERE`] when GitHub cannot reach the service.
    pub webhook_url: String,
    /// The organisation that will own it; `None`: the person.
    pub organization: Option<String>,
    /// The kinds of alerts that it may read and is told of.
    pub alerts: Vec<AlertKind>,
}

impl Manifest {
    /// Where the form is sent, for the server with this API.
    #[must_use]
    pub fn form_url(&self, api_url: &Url, state: &str) -> Url {
        let mut url = derived_git_url(api_url);
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty();
            if let Some(organization) = &self.organization {
                path.extend(["organizations", organization]);
            }
            path.extend(["settings", "apps", "new"]);
        }
        url.query_pairs_mut().append_pair("state", state);
        url
    }

    /// The form's field `manifest`.
    #[must_use]
    pub fn json(&self, api_url: &Url) -> Value {
        let needed = NEEDED.iter().copied().chain(self.alerts.iter().map(|kind| (permission(*kind), "read")));
        let permissions: serde_json::Map<String, Value> =
            needed.map(|(name, level)| (name.to_owned(), json!(level))).collect();
        let events: Vec<&str> = EVENTS.iter().copied().chain(self.alerts.iter().map(|kind| told_by(*kind))).collect();
        json!({
            "name": self.name,
            "url": derived_git_url(api_url).as_str(),
            "description": "Claude Code Manager: finds work, asks, has an agent do it, opens the pull request.",
            "hook_attributes": {"url": self.webhook_url, "active": true},
            "redirect_url": self.redirect_url,
            "public": false,
            "default_permissions": permissions,
            "default_events": events,
        })
    }
}

/// The event that tells of an alert.
fn told_by(kind: AlertKind) -> &'static str {
    match kind {
        AlertKind::Dependabot => "dependabot_alert",
        AlertKind::CodeScanning => "code_scanning_alert",
        AlertKind::SecretScanning => "secret_scanning_alert",
    }
}

/// A new App.
#[derive(Debug, Deserialize)]
pub struct NewApp {
    /// Its id.
    pub id: u64,
    /// Its name in addresses.
    pub slug: String,
    /// Its page.
    pub html_url: String,
    /// Its private key, PEM.
    pub pem: SecretString,
    /// What its webhooks are signed with.
    pub webhook_secret: SecretString,
}

/// Why there is no App.
#[derive(Debug, thiserror::Error)]
pub enum ConvertError {
    /// The code is no code, was used already, or is older than an hour.
    #[error("GitHub does not know this code (any more); begin anew with `ccm init --github-app`")]
    Code,
    /// GitHub did not answer as it should.
    #[error("GitHub did not give the App's keys ({0}); begin anew, and delete the App that was made")]
    Answer(String),
}

/// Exchanges the code for the App's keys. Can be done once.
///
/// # Errors
/// See [`ConvertError`].
pub async fn convert(api_url: &Url, code: &str) -> Result<NewApp, ConvertError> {
    if code.is_empty() || code.len() > 200 || !code.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)) {
        return Err(ConvertError::Code);
    }
    let failed = |error: reqwest::Error| ConvertError::Answer(error.without_url().to_string());
    let mut url = api_url.clone();
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(["app-manifests", code, "conversions"]);
    }
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).timeout(PATIENCE);
    let client = if is_loopback(api_url) { client.no_proxy() } else { client };
    let request = client.build().map_err(failed)?.post(url);
    let request = request
        .header("user-agent", format!("ccm/{} (Claude Code Manager)", env!("CARGO_PKG_VERSION")))
        .header("accept", "application/vnd.github+json")
        .header("x-github-api-version", API_VERSION);
    let mut response = request.send().await.map_err(failed)?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        body.extend_from_slice(&chunk);
        if body.len() > ANSWER_BYTES {
            return Err(ConvertError::Answer("the answer is too long".to_owned()));
        }
    }
    match response.status().as_u16() {
        201 => {}
        404 | 422 => return Err(ConvertError::Code),
        status => return Err(ConvertError::Answer(format!("status {status}"))),
    }
    // Without the text of the error: it may quote a key.
    serde_json::from_slice(&body).map_err(|_| ConvertError::Answer("the answer is not what it should be".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(organization: Option<&str>) -> Manifest {
        Manifest {
            name: "ccm-ada".to_owned(),
            redirect_url: "http://127.0.0.1:1/made".to_owned(),
            webhook_url: NOWHERE.to_owned(),
            organization: organization.map(str::to_owned),
            alerts: Vec::new(),
        }
    }

    #[test]
    fn alerts_are_asked_for_where_they_are_wanted_and_nowhere_else() {
        let json = |alerts: &[AlertKind]| {
            let wanted = Manifest { alerts: alerts.to_vec(), ..manifest(None) };
            wanted.json(&"https://api.github.com".parse().unwrap())
        };
        let asks = |json: &Value, name: &str| json["default_permissions"][name] == "read";
        let hears = |json: &Value, name: &str| json["default_events"].as_array().unwrap().iter().any(|one| one == name);
        let (none, some) = (json(&[]), json(&[AlertKind::Dependabot, AlertKind::SecretScanning]));
        for (permission, event, wanted) in [
            ("vulnerability_alerts", "dependabot_alert", true),
            ("secret_scanning_alerts", "secret_scanning_alert", true),
            ("security_events", "code_scanning_alert", false),
        ] {
            assert!(!asks(&none, permission) && !hears(&none, event), "{none}");
            assert_eq!((asks(&some, permission), hears(&some, event)), (wanted, wanted), "{some}");
        }
        assert!(["issues", "check_suite", "push"].iter().all(|event| hears(&none, event)), "{none}");
    }

    #[test]
    fn the_form_goes_to_the_servers_own_page() {
        for (api, organization, page) in [
            ("https://api.github.com", None, "https://github.com/settings/apps/new?state=s%26"),
            (
                "https://api.github.com/",
                Some("acme"),
                "https://github.com/organizations/acme/settings/apps/new?state=s%26",
            ),
            ("https://ghe.acme.example/api/v3", None, "https://ghe.acme.example/settings/apps/new?state=s%26"),
        ] {
            let url = manifest(organization).form_url(&api.parse().unwrap(), "s&");
            assert_eq!(url.as_str(), page);
        }
    }

    #[test]
    fn the_app_asks_for_nothing_that_is_never_given() {
        let json = manifest(None).json(&"https://api.github.com".parse().unwrap());
        let permissions = json["default_permissions"].as_object().unwrap();
        for never in ["workflows", "administration", "secrets", "members", "organization_secrets"] {
            assert!(!permissions.contains_key(never), "{never}");
        }
        assert_eq!(json["public"], false);
        // GitHub refuses a manifest that subscribes to what comes unasked.
        assert!(!json["default_events"].as_array().unwrap().iter().any(|event| event == "installation"));
    }

    #[tokio::test]
    async fn what_is_no_code_is_never_sent() {
        for code in ["", "a/b", "../x", "a b", &"x".repeat(201)] {
            let answer = convert(&"http://127.0.0.1:1".parse().unwrap(), code).await;
            assert!(matches!(answer, Err(ConvertError::Code)), "{code}");
        }
    }
}
