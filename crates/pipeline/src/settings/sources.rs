//! `[sources]`: where work is found.

use std::collections::BTreeMap;

use backlog::alert::{AlertKind, Severity};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[sources]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Sources {
    /// Comments that ask for work.
    pub todo: TodoSource,
    /// Issues in which nobody has written for long.
    #[serde(rename = "stale-issue")]
    pub stale_issue: StaleIssueSource,
    /// Issues that carry a label.
    #[serde(rename = "issue-label")]
    pub issue_label: IssueLabelSource,
    /// A red default branch.
    pub ci: CiSource,
    /// Dependabot, code scanning and secret scanning alerts.
    #[serde(rename = "security-alert")]
    pub security_alert: SecurityAlertSource,
    /// Outdated direct dependencies.
    pub dependency: DependencySource,
    /// Complex code that changes often.
    pub hotspot: HotspotSource,
    /// What other tools report, by a name for each.
    pub sarif: BTreeMap<String, SarifSource>,
}

/// `[sources.todo]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TodoSource {
    /// Whether it is looked for.
    pub enabled: bool,
    /// The words that begin such a comment.
    pub tags: Vec<String>,
    /// Files that are not read, as patterns of `.gitignore`.
    pub exclude: Vec<String>,
    /// Whether code in Markdown's fences is read.
    pub markdown_fences: bool,
}

impl Default for TodoSource {
    fn default() -> Self {
        Self {
            enabled: true,
            tags: ["TODO", "FIXME", "HACK", "XXX", "BUG"].map(str::to_owned).to_vec(),
            exclude: Vec::new(),
            markdown_fences: false,
        }
    }
}

/// `[sources.stale-issue]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StaleIssueSource {
    /// Whether they are looked for.
    pub enabled: bool,
    /// Days in which no person has written anything; at least 1.
    pub days: u64,
    /// Issues with one of these labels are left alone.
    pub skip_labels: Vec<String>,
    /// Issues with fewer reactions are left alone.
    pub min_reactions: u64,
}

impl Default for StaleIssueSource {
    fn default() -> Self {
        let skip_labels = ["wontfix", "invalid", "duplicate", "question", "discussion"].map(str::to_owned).to_vec();
        Self { enabled: false, days: 90, skip_labels, min_reactions: 0 }
    }
}

/// `[sources.issue-label]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct IssueLabelSource {
    /// The labels, any of which makes an issue work; none looks for none.
    pub labels: Vec<String>,
}

/// `[sources.ci]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CiSource {
    /// Whether it is looked at.
    pub enabled: bool,
}

impl Default for CiSource {
    fn default() -> Self {
        Self { enabled: true }
    }
}

/// `[sources.security-alert]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SecurityAlertSource {
    /// Whether they are looked at.
    pub enabled: bool,
    /// Which kinds.
    pub kinds: Vec<AlertKind>,
    /// Alerts that are less bad are left alone.
    pub min_severity: Severity,
}

impl Default for SecurityAlertSource {
    fn default() -> Self {
        Self { enabled: false, kinds: AlertKind::ALL.to_vec(), min_severity: Severity::High }
    }
}

/// `[sources.dependency]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DependencySource {
    /// Whether it is looked for. Off by default: the names of packages go to the registries.
    pub enabled: bool,
    /// The smallest step to a newer version that counts.
    pub level: UpdateLevel,
    /// Packages that are left alone, as patterns such as `aws-*`.
    pub ignore: Vec<String>,
    /// The sparse index of crates.
    pub crates_url: String,
    /// The registry of npm.
    pub npm_url: String,
    /// The host of PyPI.
    pub pypi_url: String,
}

/// How large a step to a newer version is; below 1.0 the second number counts as the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum UpdateLevel {
    /// Mended only.
    Patch,
    /// Something was added.
    #[default]
    Minor,
    /// Something may break.
    Major,
}

impl Default for DependencySource {
    fn default() -> Self {
        Self {
            enabled: false,
            level: UpdateLevel::default(),
            ignore: Vec::new(),
            crates_url: "https://index.crates.io/".to_owned(),
            npm_url: "https://registry.npmjs.org/".to_owned(),
            pypi_url: "https://pypi.org/".to_owned(),
        }
    }
}

/// `[sources.hotspot]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HotspotSource {
    /// Whether it is looked for.
    pub enabled: bool,
    /// The least complexity of a function that counts.
    pub complexity: u32,
    /// The least number of commits that changed its file.
    pub changes: u32,
    /// How many of the last commits are looked at.
    pub commits: u32,
    /// The most functions of one repository.
    pub most: usize,
    /// Files that are not read, as patterns of `.gitignore`.
    pub exclude: Vec<String>,
}

impl Default for HotspotSource {
    fn default() -> Self {
        Self { enabled: false, complexity: 15, changes: 10, commits: 1_000, most: 3, exclude: Vec::new() }
    }
}

/// `[sources.sarif.<name>]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SarifSource {
    /// A line for the shell that prints SARIF, or writes it to `file`; run in the sandbox, in a checkout of its own.
    pub command: Option<String>,
    /// The file with SARIF: what `command` writes, and without one a file of the repository.
    pub file: Option<String>,
    /// Which results count.
    pub levels: Vec<SarifLevel>,
    /// The most time that `command` may take, in minutes.
    pub minutes: u64,
}

/// How bad a result is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SarifLevel {
    /// A serious problem.
    Error,
    /// A problem.
    Warning,
    /// A small thing.
    Note,
}

impl Default for SarifSource {
    fn default() -> Self {
        Self { command: None, file: None, levels: vec![SarifLevel::Error, SarifLevel::Warning], minutes: 10 }
    }
}

impl SarifSource {
    /// What is wrong with it, if anything.
    #[must_use]
    pub fn nonsense(&self) -> Option<&'static str> {
        let blank = |text: &Option<String>| text.as_ref().is_some_and(|text| text.trim().is_empty());
        if self.command.is_none() && self.file.is_none() {
            return Some("needs a `command` that prints SARIF, or a `file`");
        }
        if blank(&self.command) || blank(&self.file) {
            return Some("has an empty `command` or `file`");
        }
        if self.file.as_ref().is_some_and(|file| file.starts_with('/') || file.split('/').any(|part| part == "..")) {
            return Some("has a `file` outside the repository; name it from the repository's root");
        }
        if self.levels.is_empty() || self.minutes == 0 {
            return Some("needs at least one of `levels`, and `minutes` of at least 1");
        }
        None
    }
}

/// `[sources]` of a repository.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RepositorySources {
    /// `todo = false` leaves the comments of this repository alone.
    pub todo: Option<bool>,
    /// `stale-issue = false` leaves its quiet issues alone.
    #[serde(rename = "stale-issue")]
    pub stale_issue: Option<bool>,
    /// `issue-label = false` leaves its labelled issues alone.
    #[serde(rename = "issue-label")]
    pub issue_label: Option<bool>,
    /// `ci = false` leaves its red checks alone.
    pub ci: Option<bool>,
    /// `security-alert = false` leaves its alerts alone.
    #[serde(rename = "security-alert")]
    pub security_alert: Option<bool>,
    /// `dependency = false` leaves its dependencies alone.
    pub dependency: Option<bool>,
    /// `hotspot = false` leaves its complex code alone.
    pub hotspot: Option<bool>,
    /// `sarif = false` leaves out what other tools report.
    pub sarif: Option<bool>,
}
