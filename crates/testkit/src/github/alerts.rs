//! Alerts: Dependabot, code scanning and secret scanning, each switched on for a repository or not.

use backlog::time::Timestamp;
use serde_json::{Value, json};

use super::FakeGitHub;
use super::call::{Answer, Call, Reply};
use super::render::repository_url;
use super::world::{Repository, World};

/// What raises an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A dependency with a known weakness.
    Dependabot,
    /// A tool that reads code.
    CodeScanning,
    /// A secret in the code.
    SecretScanning,
}

impl Kind {
    /// The event that tells of one.
    pub(super) fn event(self) -> &'static str {
        match self {
            Self::Dependabot => "dependabot_alert",
            Self::CodeScanning => "code_scanning_alert",
            Self::SecretScanning => "secret_scanning_alert",
        }
    }

    /// The state of one whose reason is gone, which is also what its event calls it.
    pub(super) fn ended(self) -> &'static str {
        if self == Self::SecretScanning { "resolved" } else { "fixed" }
    }

    /// The part of the route.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Dependabot => "dependabot",
            Self::CodeScanning => "code-scanning",
            Self::SecretScanning => "secret-scanning",
        }
    }

    /// What is answered where it is switched off.
    fn off(self) -> Answer {
        match self {
            Self::Dependabot => Answer::error(403, "Dependabot alerts are disabled for this repository."),
            Self::CodeScanning => Answer::error(404, "no analysis found"),
            Self::SecretScanning => Answer::error(404, "Secret scanning is disabled on this repository."),
        }
    }
}

/// An alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// What raised it.
    pub kind: Kind,
    /// Counts per repository and kind.
    pub number: u64,
    /// `critical`, `high`, `medium` or `low`; secrets have none.
    pub severity: String,
    /// The package, the rule, or the kind of secret.
    pub subject: String,
    /// What it says; for a secret the secret itself.
    pub text: String,
    /// The manifest, or the file.
    pub path: String,
    /// The line in the file.
    pub line: u64,
    /// Whether it is open.
    pub open: bool,
    /// When it was raised.
    pub at: Timestamp,
}

impl FakeGitHub {
    /// Switches a kind of alerts on in a repository.
    pub fn watch_for(&self, repo: &str, kind: Kind) {
        self.change(repo, |repo| repo.watched_for.push(kind.name()));
    }

    /// Switches a kind of alerts off in a repository.
    pub fn stop_watching_for(&self, repo: &str, kind: Kind) {
        self.change(repo, |repo| repo.watched_for.retain(|name| *name != kind.name()));
    }

    /// Raises an alert in a repository, and switches its kind on; gives its number. `subject` is the package, the rule
    /// or the kind of secret, `text` what the alert says, or the secret itself.
    pub fn alert(&self, repo: &str, kind: Kind, severity: &str, subject: &str, text: &str, path: &str) -> u64 {
        self.watch_for(repo, kind);
        let (mut world, at) = self.at(Some(repo));
        let number = world.repos[at].alerts.iter().filter(|alert| alert.kind == kind).count() as u64 + 1;
        world.repos[at].alerts.push(Alert {
            kind,
            number,
            severity: severity.to_owned(),
            subject: subject.to_owned(),
            text: text.to_owned(),
            path: path.to_owned(),
            line: 7,
            open: true,
            at: self.hub.clock.now(),
        });
        number
    }

    /// The reason for an alert is gone.
    pub fn settle_alert(&self, repo: &str, kind: Kind, number: u64) {
        let (mut world, at) = self.at(Some(repo));
        let mut alerts = world.repos[at].alerts.iter_mut();
        alerts.find(|alert| alert.kind == kind && alert.number == number).expect("the alert exists").open = false;
    }
}

/// The alerts of a kind that were asked for.
fn list(call: &Call, world: &World, kind: Kind, show: fn(&Call, &Repository, &Alert) -> Value) -> Reply {
    let repo = &world.repos[call.repo(world)?];
    if !repo.watched_for.contains(&kind.name()) {
        return Err(kind.off());
    }
    let state = |alert: &Alert| if alert.open { "open" } else { kind.ended() };
    let wanted = |alert: &&Alert| alert.kind == kind && call.query("state").is_none_or(|want| want == state(alert));
    let mut found: Vec<&Alert> = repo.alerts.iter().filter(wanted).collect();
    if call.query("direction") != Some("asc") {
        found.reverse();
    }
    let shown = found.into_iter().map(|alert| {
        let mut object = show(call, repo, alert);
        object["state"] = json!(state(alert));
        object
    });
    Ok(call.page(shown.collect()))
}

/// What all alerts have.
fn base(call: &Call, repo: &Repository, alert: &Alert) -> Value {
    let (name, time) = (alert.kind.name(), alert.at.to_string());
    json!({
        "number": alert.number, "created_at": time, "updated_at": time,
        "url": format!("{}/{name}/alerts/{}", repository_url(&call.base, repo), alert.number),
        "html_url": format!("{}/{}/security/{name}/{}", call.base, repo.full_name(), alert.number),
    })
}

/// `GET /repos/{owner}/{repo}/dependabot/alerts`
pub(super) fn dependabot(call: &Call, world: &mut World) -> Reply {
    list(call, world, Kind::Dependabot, |call, repo, alert| {
        let package = json!({"ecosystem": "npm", "name": alert.subject});
        let weakness = json!({
            "package": package, "severity": alert.severity, "vulnerable_version_range": "< 2.0.1",
            "first_patched_version": {"identifier": "2.0.1"},
        });
        let mut object = base(call, repo, alert);
        let extra = json!({
            "dependency": {
                "package": package, "manifest_path": alert.path, "scope": "runtime", "relationship": "direct",
            },
            "security_advisory": {
                "ghsa_id": "GHSA-rf4j-j272-fj86", "cve_id": "CVE-2018-6188", "summary": alert.text,
                "description": alert.text, "vulnerabilities": [weakness], "severity": alert.severity,
                "cvss": {"vector_string": null, "score": 7.5}, "cwes": [], "references": [],
                "identifiers": [{"type": "CVE", "value": "CVE-2018-6188"}],
                "published_at": alert.at.to_string(), "updated_at": alert.at.to_string(), "withdrawn_at": null,
            },
            "security_vulnerability": weakness, "dismissed_at": null, "dismissed_by": null, "dismissed_reason": null,
            "dismissed_comment": null, "fixed_at": null,
        });
        super::render::merge_into(&mut object, extra);
        object
    })
}

/// `GET /repos/{owner}/{repo}/code-scanning/alerts`
pub(super) fn code_scanning(call: &Call, world: &mut World) -> Reply {
    list(call, world, Kind::CodeScanning, |call, repo, alert| {
        let mut object = base(call, repo, alert);
        let instances = format!("{}/instances", object["url"].as_str().unwrap_or_default());
        let extra = json!({
            "instances_url": instances, "fixed_at": null, "dismissed_by": null, "dismissed_at": null,
            "dismissed_reason": null, "dismissed_comment": null,
            "rule": {
                "id": alert.subject, "name": alert.subject, "severity": "error", "tags": ["security"],
                "description": alert.text, "security_severity_level": alert.severity,
            },
            "tool": {"name": "CodeQL", "guid": null, "version": "2.4.0"},
            "most_recent_instance": {
                "ref": format!("refs/heads/{}", repo.default_branch), "analysis_key": "codeql.yml:analyze",
                "category": "codeql.yml:analyze", "environment": "{}", "state": "open",
                "commit_sha": repo.branch(&repo.default_branch).unwrap_or_default(), "message": {"text": alert.text},
                "location": {
                    "path": alert.path, "start_line": alert.line, "end_line": alert.line, "start_column": 1,
                    "end_column": 9,
                },
                "classifications": [],
            },
        });
        super::render::merge_into(&mut object, extra);
        object
    })
}

/// `GET /repos/{owner}/{repo}/secret-scanning/alerts`: tells the secret unless asked not to.
pub(super) fn secret_scanning(call: &Call, world: &mut World) -> Reply {
    list(call, world, Kind::SecretScanning, |call, repo, alert| {
        let mut object = base(call, repo, alert);
        let locations = format!("{}/locations", object["url"].as_str().unwrap_or_default());
        let hidden = call.query("hide_secret") == Some("true");
        let extra = json!({
            "locations_url": locations, "resolution": null, "resolved_at": null, "resolved_by": null,
            "resolution_comment": null, "secret_type": alert.subject,
            "secret_type_display_name": alert.subject.replace('_', " "), "push_protection_bypassed": false,
            "push_protection_bypassed_by": null, "push_protection_bypassed_at": null, "validity": "active",
        });
        super::render::merge_into(&mut object, extra);
        if !hidden {
            object["secret"] = json!(alert.text);
        }
        object
    })
}
