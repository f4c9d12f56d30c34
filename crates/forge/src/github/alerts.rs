//! Open alerts: Dependabot, code scanning, secret scanning.
//!
//! **Definition.** [`GitHub::alerts_of`] reads the alerts of the kinds that are asked for.
//!
//! **Wanted properties.** A kind that is switched off, or that the credential may not read, is told in a notice and parks
//! nothing. No secret is read: it is asked for without, what comes all the same is not taken over, and an answer that may
//! hold one is stored nowhere.
//!
//! **Design.** Conditional reads, except for secrets. An App's token for this holds nothing but these permissions
//! ([`Scope::Alerts`](super::auth::Scope)).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;

use backlog::alert::{AlertKind, Severity};
use backlog::names::RepoName;
use http::StatusCode;
use serde::Deserialize;
use url::Url;

use super::GitHub;
use super::client::{Client, Failure};
use super::model::{lenient, time};
use crate::sanitize::{masked, visible};
use crate::{Alert, Alerts, ForgeError};

/// Pages of one kind: 1,000 alerts.
const PAGES: usize = 10;
/// The longest text of an alert, and the longest title, in characters.
const TEXT: usize = 3_000;
const TITLE: usize = 200;

/// The repositories whose alerts of a kind cannot be read, with what GitHub said last.
pub(super) type Unread = BTreeMap<AlertKind, (BTreeSet<RepoName>, String)>;

#[derive(Debug, Deserialize)]
struct Shown {
    number: u64,
    #[serde(default, deserialize_with = "lenient")]
    html_url: String,
    #[serde(default)]
    created_at: Option<String>,
    // Dependabot.
    #[serde(default, deserialize_with = "lenient")]
    dependency: Dependency,
    #[serde(default, deserialize_with = "lenient")]
    security_advisory: Advisory,
    #[serde(default, deserialize_with = "lenient")]
    security_vulnerability: Vulnerability,
    // Code scanning.
    #[serde(default, deserialize_with = "lenient")]
    rule: Rule,
    #[serde(default, deserialize_with = "lenient")]
    tool: Named,
    #[serde(default, deserialize_with = "lenient")]
    most_recent_instance: Instance,
    // Secret scanning; `secret` is left out on purpose.
    #[serde(default, deserialize_with = "lenient")]
    secret_type: String,
    #[serde(default, deserialize_with = "lenient")]
    secret_type_display_name: String,
    #[serde(default, deserialize_with = "lenient")]
    validity: String,
    #[serde(default, deserialize_with = "lenient")]
    first_location_detected: Location,
}

#[derive(Debug, Default, Deserialize)]
struct Named {
    #[serde(default, deserialize_with = "lenient")]
    name: String,
}

#[derive(Debug, Default, Deserialize)]
struct Package {
    #[serde(default, deserialize_with = "lenient")]
    ecosystem: String,
    #[serde(default, deserialize_with = "lenient")]
    name: String,
}

#[derive(Debug, Default, Deserialize)]
struct Dependency {
    #[serde(default, deserialize_with = "lenient")]
    package: Package,
    #[serde(default, deserialize_with = "lenient")]
    manifest_path: String,
}

#[derive(Debug, Default, Deserialize)]
struct Advisory {
    #[serde(default, deserialize_with = "lenient")]
    ghsa_id: String,
    #[serde(default)]
    cve_id: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    summary: String,
    #[serde(default, deserialize_with = "lenient")]
    description: String,
}

#[derive(Debug, Default, Deserialize)]
struct Vulnerability {
    #[serde(default, deserialize_with = "lenient")]
    severity: String,
    #[serde(default, deserialize_with = "lenient")]
    vulnerable_version_range: String,
    #[serde(default)]
    first_patched_version: Option<Patched>,
}

#[derive(Debug, Deserialize)]
struct Patched {
    #[serde(default, deserialize_with = "lenient")]
    identifier: String,
}

#[derive(Debug, Default, Deserialize)]
struct Rule {
    #[serde(default)]
    id: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    severity: String,
    #[serde(default)]
    security_severity_level: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    description: String,
}

#[derive(Debug, Default, Deserialize)]
struct Instance {
    #[serde(default, deserialize_with = "lenient")]
    message: Message,
    #[serde(default, deserialize_with = "lenient")]
    location: Location,
}

#[derive(Debug, Default, Deserialize)]
struct Message {
    #[serde(default, deserialize_with = "lenient")]
    text: String,
}

#[derive(Debug, Default, Deserialize)]
struct Location {
    #[serde(default, deserialize_with = "lenient")]
    path: String,
    #[serde(default, deserialize_with = "lenient")]
    start_line: u32,
    #[serde(default, deserialize_with = "lenient")]
    end_line: u32,
}

impl GitHub {
    /// See [`crate::Forge::alerts`].
    pub(super) async fn alerts_of(&self, repository: &RepoName, kinds: &[AlertKind]) -> Result<Alerts, ForgeError> {
        let client = self.client_of(repository).await?;
        let mut alerts = Alerts::default();
        for kind in kinds {
            match self.alerts_of_kind(&client, repository, *kind).await {
                Ok(found) => {
                    self.note_unread(*kind, repository, None);
                    alerts.open.extend(found.into_iter().map(|shown| alert(*kind, shown)));
                }
                Err(Failure::Refused(refusal))
                    if matches!(refusal.status, StatusCode::FORBIDDEN | StatusCode::NOT_FOUND) =>
                {
                    self.note_unread(*kind, repository, Some(refusal.said));
                    alerts.unread.push(*kind);
                }
                Err(failure) => return Err(failure.into()),
            }
        }
        Ok(alerts)
    }

    async fn alerts_of_kind(
        &self,
        client: &Client,
        repository: &RepoName,
        kind: AlertKind,
    ) -> Result<Vec<Shown>, Failure> {
        let query = [("state", "open"), ("sort", "created"), ("direction", "asc"), ("per_page", "100")];
        let path = [kind.as_str(), "alerts"];
        if kind != AlertKind::SecretScanning {
            let url = self.repository_url(repository, &path, &query);
            return Ok(client.first_pages(url, PAGES, |_| false).await?.0);
        }
        let url = self.repository_url(repository, &path, &[query.as_slice(), &[("hide_secret", "true")]].concat());
        self.unstored_pages(client, url).await
    }

    /// Pages of a list of which nothing is stored. Costs a request even where nothing changed.
    async fn unstored_pages(&self, client: &Client, mut url: Url) -> Result<Vec<Shown>, Failure> {
        client.account().await?;
        let mut all = Vec::new();
        for _ in 0..PAGES {
            let answer = client.read(url.clone(), None).await?;
            all.extend(answer.json::<Vec<Shown>>()?);
            match self.wire.next_page(&url, &answer)? {
                Some(next) => url = next,
                None => break,
            }
        }
        Ok(all)
    }

    fn note_unread(&self, kind: AlertKind, repository: &RepoName, said: Option<String>) {
        let mut unread = self.unread_alerts.lock().unwrap_or_else(PoisonError::into_inner);
        match said {
            Some(said) => {
                let (repositories, last) = unread.entry(kind).or_default();
                repositories.insert(repository.clone());
                *last = said;
            }
            None => {
                if let Some((repositories, _)) = unread.get_mut(&kind) {
                    repositories.remove(repository);
                }
            }
        }
    }

    /// Which alerts cannot be read, and what mends it.
    pub(super) fn alert_notices(&self) -> Vec<String> {
        let unread = self.unread_alerts.lock().unwrap_or_else(PoisonError::into_inner);
        let notice = |(kind, (repositories, said)): (&AlertKind, &(BTreeSet<RepoName>, String))| {
            let first = repositories.first()?;
            let (name, permission, count) = (kind.as_str(), permission(*kind), repositories.len());
            Some(format!(
                "{name} alerts cannot be read in {count} of the repositories, such as {first} ({said}). Switch them on \
                 there, give the credential the permission {permission}: read, or leave {name} out of \
                 sources.security-alert.kinds."
            ))
        };
        unread.iter().filter_map(notice).collect()
    }
}

/// The permission of an App, or of a fine-grained token, that reads alerts of a kind.
#[must_use]
pub fn permission(kind: AlertKind) -> &'static str {
    match kind {
        AlertKind::Dependabot => "vulnerability_alerts",
        AlertKind::CodeScanning => "security_events",
        AlertKind::SecretScanning => "secret_scanning_alerts",
    }
}

fn severity(word: &str) -> Severity {
    match word {
        "critical" => Severity::Critical,
        "high" | "error" => Severity::High,
        "low" | "note" | "none" => Severity::Low,
        _ => Severity::Medium,
    }
}

fn alert(kind: AlertKind, shown: Shown) -> Alert {
    let (severity, title, text, location) = match kind {
        AlertKind::Dependabot => dependabot(&shown),
        AlertKind::CodeScanning => code_scanning(&shown),
        AlertKind::SecretScanning => secret_scanning(&shown),
    };
    let cut = |text: &str, most: usize| -> String { visible(text).trim().chars().take(most).collect() };
    Alert {
        kind,
        number: shown.number,
        url: shown.html_url,
        severity,
        package: package(&shown.dependency.package),
        title: cut(&title.split_whitespace().collect::<Vec<_>>().join(" "), TITLE),
        text: cut(&masked(&text), TEXT),
        path: location.path.clone(),
        line: location.start_line,
        end_line: location.end_line.max(location.start_line),
        opened_at: time(shown.created_at.as_deref()),
    }
}

/// The ecosystem and the name of a package; empty where one of them is not told.
fn package(Package { ecosystem, name }: &Package) -> String {
    let named = !ecosystem.is_empty() && !name.is_empty();
    if named { format!("{ecosystem} {name}").chars().take(TITLE).collect() } else { String::new() }
}

type Parts = (Severity, String, String, Location);

fn dependabot(shown: &Shown) -> Parts {
    let Shown { dependency, security_advisory: advisory, security_vulnerability: weakness, .. } = shown;
    let package = &dependency.package.name;
    let id = advisory.cve_id.as_ref().unwrap_or(&advisory.ghsa_id);
    let mend = match &weakness.first_patched_version {
        Some(patched) => {
            format!("Versions {} are affected; {} mends it.", weakness.vulnerable_version_range, patched.identifier)
        }
        None => format!("Versions {} are affected; no version mends it yet.", weakness.vulnerable_version_range),
    };
    let text = format!(
        "{package} in {}: {} ({id})\n{mend}\n\n{}",
        dependency.manifest_path, advisory.summary, advisory.description
    );
    let location = Location { path: dependency.manifest_path.clone(), ..Location::default() };
    (severity(&weakness.severity), format!("{package}: {}", advisory.summary), text, location)
}

fn code_scanning(shown: &Shown) -> Parts {
    let Shown { rule, tool, most_recent_instance: instance, .. } = shown;
    let bad = severity(rule.security_severity_level.as_ref().unwrap_or(&rule.severity));
    let id = rule.id.as_deref().unwrap_or_default();
    let text = format!("{} reports {id}: {}\n\n{}", tool.name, rule.description, instance.message.text);
    let Location { path, start_line, end_line } = &instance.location;
    let location = Location { path: path.clone(), start_line: *start_line, end_line: *end_line };
    (bad, rule.description.clone(), text, location)
}

fn secret_scanning(shown: &Shown) -> Parts {
    let name =
        if shown.secret_type_display_name.is_empty() { &shown.secret_type } else { &shown.secret_type_display_name };
    let bad = match shown.validity.as_str() {
        "active" => Severity::Critical,
        "inactive" => Severity::Medium,
        _ => Severity::High,
    };
    let text = format!(
        "A secret of the kind {name} is in the code. Its value is not shown here. Whoever owns it has to revoke it: taking \
         it out of the code does not take it out of the history."
    );
    let Location { path, start_line, end_line } = &shown.first_location_detected;
    let location = Location { path: path.clone(), start_line: *start_line, end_line: *end_line };
    (bad, format!("A secret in the code: {name}"), text, location)
}

#[cfg(test)]
mod tests;
