//! What an operator can set, and what a repository can narrow.
//!
//! These are the sections of `ccm.toml` that the pipeline acts on; the binary reads the file and adds the sections
//! about the code host, the server and the model. Unknown keys are refused, so that a typing error is never a
//! setting that silently does nothing.

mod sources;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use backlog::names::RepoName;
use backlog::quiet::{QuietHours, Zone};
use backlog::rank::RankPolicy;
use backlog::retry::RetryPolicy;
use backlog::room::Caps;
use backlog::time::Timestamp;
use backlog::verdict::DiffPolicy;
use globset::Glob;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use sources::{
    CiSource, DependencySource, HotspotSource, IssueLabelSource, RepositorySources, SarifLevel, SarifSource,
    SecurityAlertSource, Sources, StaleIssueSource, TodoSource, UpdateLevel,
};

/// Everything the pipeline can be told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// Where work is found.
    pub sources: Sources,
    /// How it is proposed.
    pub proposals: Proposals,
    /// Who does it; has a `default`.
    pub agents: BTreeMap<String, AgentSettings>,
    /// What confines them.
    pub sandbox: SandboxSettings,
    /// What their work must satisfy.
    pub verification: Verification,
    /// How much happens at once, and how often.
    pub limits: Limits,
    /// The weights of ranking.
    pub rank: RankPolicy,
    /// Where proposals go instead of into the repository itself.
    pub manager_repository: Option<RepoName>,
}

/// `[proposals]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Proposals {
    /// Where they are shown.
    #[serde(rename = "where")]
    pub place: Place,
    /// The label on a proposal.
    pub label: String,
    /// The label that approves it, when a person with write access sets it.
    pub approval_label: String,
    /// The most open proposals in one repository; 0 proposes nothing by itself.
    pub max_open_per_repository: usize,
    /// The most open proposals in all repositories of one owner; the folders of this machine have one owner.
    pub max_open_per_owner: usize,
    /// The most pull requests that wait for people in one repository; when so many do, nothing new is proposed there.
    pub max_open_pulls_per_repository: usize,
    /// The daily time in which nothing is written that nobody asked for.
    #[schemars(with = "Option<String>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quiet_hours: Option<QuietHours>,
    /// Whose clock the quiet hours are told by.
    #[schemars(with = "String")]
    pub time_zone: Zone,
    /// Globs over `owner/name`: repositories that are worked although their guides do not welcome agents.
    pub ignore_ai_policy: Vec<String>,
}

/// Where proposals are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// As issues on the code host; as cards where it has none.
    #[default]
    Issue,
    /// As cards on the dashboard only: the code host sees nothing before a pull request.
    Dashboard,
}

impl Default for Proposals {
    fn default() -> Self {
        Self {
            place: Place::Issue,
            label: "task-proposal".to_owned(),
            approval_label: "approved-for-dev".to_owned(),
            max_open_per_repository: 5,
            max_open_per_owner: 100,
            max_open_pulls_per_repository: 5,
            quiet_hours: None,
            time_zone: Zone::default(),
            ignore_ai_policy: Vec::new(),
        }
    }
}

impl Proposals {
    /// Whether a repository is worked whatever its guides say about agents.
    #[must_use]
    pub fn ignores_ai_policy(&self, repository: &RepoName) -> bool {
        let fits =
            |glob: &String| Glob::new(glob).is_ok_and(|glob| glob.compile_matcher().is_match(repository.as_str()));
        self.ignore_ai_policy.iter().any(fits)
    }

    /// When the quiet hours end in which `now` lies; `None` outside of them.
    #[must_use]
    pub fn quiet_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.quiet_hours.and_then(|hours| hours.end(&self.time_zone, now))
    }
}

/// Which protocol an agent speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AgentKind {
    /// Claude Code, headless.
    #[default]
    Claude,
    /// Any program that edits files: prompt in, exit code out.
    Command,
}

/// How a `command` agent gets its prompt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PromptBy {
    /// On standard input.
    #[default]
    Stdin,
    /// In a file, whose path replaces `{prompt_file}` in the arguments.
    File,
}

/// `[agents.<name>]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AgentSettings {
    /// The protocol.
    pub kind: AgentKind,
    /// The program; for `claude` the name `claude` on PATH is the default.
    pub program: Option<String>,
    /// Its arguments; of `claude`, what stands before those of its protocol.
    pub args: Vec<String>,
    /// How the prompt reaches a `command`.
    pub prompt: PromptBy,
    /// The model; left out, the agent's own default.
    pub model: Option<String>,
    /// The most one run may cost, in US dollars.
    pub max_cost_usd: f64,
    /// The most all runs of one task may cost together, in US dollars.
    pub max_task_usd: f64,
    /// The most one run may take, in minutes.
    pub max_minutes: u64,
    /// The longest silence, in minutes, before a run counts as stalled.
    pub max_silent_minutes: u64,
    /// The most turns of the model in one run.
    pub max_turns: u32,
}

impl Default for AgentSettings {
    fn default() -> Self {
        Self {
            kind: AgentKind::Claude,
            program: None,
            args: Vec::new(),
            prompt: PromptBy::Stdin,
            model: None,
            max_cost_usd: 5.0,
            max_task_usd: 15.0,
            max_minutes: 60,
            max_silent_minutes: 10,
            max_turns: 100,
        }
    }
}

impl AgentSettings {
    /// The most all runs of one task may cost together, in micro-USD.
    #[must_use]
    pub fn task_micro_usd(&self) -> u64 {
        // Checked to be in 0..=10,000 when the configuration is read.
        (self.max_task_usd * 1_000_000.0).round() as u64
    }

    /// The most one run may cost, in micro-USD.
    #[must_use]
    pub fn budget_micro_usd(&self) -> u64 {
        // Checked to be in 0..=10,000 when the configuration is read.
        (self.max_cost_usd * 1_000_000.0).round() as u64
    }
}

/// What confines agents and checks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SandboxKind {
    /// Linux namespaces through the `bwrap` program.
    #[default]
    Bubblewrap,
    /// Nothing. Agents and checks run with the service's own rights.
    None,
}

/// `[sandbox]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SandboxSettings {
    /// Which kind.
    pub kind: SandboxKind,
    /// Folders outside `/usr` that agents and checks may read, such as a Rust toolchain; their `bin` goes on PATH.
    pub toolchains: Vec<PathBuf>,
}

/// `[verification]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Verification {
    /// What no run may change: a file or a folder (`CODEOWNERS`, `.github/`) from the repository's root, the same
    /// anywhere (`**/CLAUDE.md`), or an ending of file names (`*.lock`). Case does not count.
    pub protected_paths: Vec<String>,
    /// The most files one run may change.
    pub max_files: u64,
    /// The most lines one run may add and remove together.
    pub max_lines: u64,
    /// The most one check may take, in minutes.
    pub check_minutes: u64,
    /// Runs of one task without a delivery before it fails.
    pub max_attempts: u32,
    /// How often one pull request goes back to the agent.
    pub max_rounds: u32,
}

impl Default for Verification {
    fn default() -> Self {
        let diff = DiffPolicy::default();
        let retry = RetryPolicy::default();
        Self {
            protected_paths: diff.protected_paths,
            max_files: diff.max_files,
            max_lines: diff.max_lines,
            check_minutes: 15,
            max_attempts: retry.max_attempts,
            max_rounds: retry.max_rounds,
        }
    }
}

impl Verification {
    /// The limits of trying again.
    #[must_use]
    pub fn retry(&self) -> RetryPolicy {
        RetryPolicy { max_attempts: self.max_attempts, max_rounds: self.max_rounds }
    }
}

/// `[limits]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Agents at work at once on this machine.
    pub concurrent_runs: u32,
    /// Agents at work at once in one repository.
    pub runs_per_repository: u32,
    /// Repositories worked at once by each reconciler.
    pub concurrent_repositories: u32,
    /// Seconds between two questions which repositories changed; the code of those that did is looked at.
    pub scan_seconds: u64,
    /// Seconds between two looks at a repository's open proposals and pull requests; more when many have some, or when
    /// webhooks tell of them.
    pub poll_seconds: u64,
    /// Seconds that running agents get to finish after the first stop signal.
    pub shutdown_seconds: u64,
    /// Days that transcripts of finished runs and events of finished tasks are kept.
    pub keep_days: u64,
    /// GiB that mirrors may take on the disk; beyond it those go that were used longest ago, unless a run reads from them.
    pub mirrors_gib: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            concurrent_runs: 2,
            runs_per_repository: 1,
            concurrent_repositories: 8,
            scan_seconds: 600,
            poll_seconds: 60,
            shutdown_seconds: 20,
            keep_days: 30,
            mirrors_gib: 20,
        }
    }
}

impl Limits {
    /// Time between two questions which repositories changed.
    #[must_use]
    pub fn scan_every(&self) -> Duration {
        Duration::from_secs(self.scan_seconds)
    }

    /// Time between two looks at open proposals and pull requests.
    #[must_use]
    pub fn poll_every(&self) -> Duration {
        Duration::from_secs(self.poll_seconds)
    }
}

/// A repository's own `.github/ccm.toml`. It may only narrow what the operator allows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RepositoryPolicy {
    /// `false` takes the repository out.
    pub enabled: Option<bool>,
    /// The agent to use, one that the operator has configured.
    pub agent: Option<String>,
    /// The commands that verify a change, each run with `sh -c` in a fresh checkout; replaces detection.
    pub checks: Option<Vec<String>>,
    /// Further paths no run may change.
    pub protected_paths: Vec<String>,
    /// A lower limit of changed files.
    pub max_files: Option<u64>,
    /// A lower limit of changed lines.
    pub max_lines: Option<u64>,
    /// A lower limit of a run's cost, in US dollars.
    pub max_cost_usd: Option<f64>,
    /// A lower limit of a run's length, in minutes.
    pub max_minutes: Option<u64>,
    /// A lower limit of open proposals.
    pub max_open_proposals: Option<usize>,
    /// Which sources are wanted.
    pub sources: RepositorySources,
}

/// Where a repository keeps its policy.
pub const POLICY_PATH: &str = ".github/ccm.toml";

impl RepositoryPolicy {
    /// Reads a policy file.
    ///
    /// # Errors
    /// A finished sentence that names the line, or the key, when the file is not valid.
    pub fn parse(text: &str) -> Result<Self, String> {
        let policy: Self = toml::from_str(text).map_err(|error| {
            let before =
                error.span().and_then(|span| text.get(..span.start)).map_or(0, |before| before.matches('\n').count());
            let why = error.message().split_whitespace().collect::<Vec<_>>().join(" ");
            format!("The repository's {POLICY_PATH} is not valid in line {}: {why}. Mend it and push.", before + 1)
        })?;
        match policy.nonsense() {
            Some(why) => Err(format!("The repository's {POLICY_PATH} is not valid: {why}. Mend it and push.")),
            None => Ok(policy),
        }
    }

    /// What is well-formed and still makes no sense.
    fn nonsense(&self) -> Option<&'static str> {
        if self.max_cost_usd.is_some_and(|usd| !(usd.is_finite() && usd > 0.0)) {
            return Some("`max_cost_usd` must be more than 0; `enabled = false` takes the repository out");
        }
        if self.max_minutes == Some(0) {
            return Some("`max_minutes` must be more than 0; `enabled = false` takes the repository out");
        }
        if self.checks.iter().flatten().any(|check| check.trim().is_empty()) {
            return Some("a check in `checks` is empty");
        }
        if self.protected_paths.iter().any(|path| path.trim().is_empty()) {
            return Some("a path in `protected_paths` is empty");
        }
        None
    }

    /// What a run may touch: the operator's policy, narrowed by the repository's.
    #[must_use]
    pub fn diff(&self, operator: &Verification) -> DiffPolicy {
        let mut protected_paths = operator.protected_paths.clone();
        protected_paths.extend(self.protected_paths.iter().cloned());
        DiffPolicy {
            protected_paths,
            max_files: self.max_files.map_or(operator.max_files, |n| n.min(operator.max_files)),
            max_lines: self.max_lines.map_or(operator.max_lines, |n| n.min(operator.max_lines)),
        }
    }

    /// The most that may wait for people: the operator's numbers, narrowed by the repository's.
    #[must_use]
    pub fn caps(&self, operator: &Proposals) -> Caps {
        let most = operator.max_open_per_repository;
        Caps {
            pulls_per_repository: operator.max_open_pulls_per_repository,
            per_repository: self.max_open_proposals.map_or(most, |n| n.min(most)),
            per_owner: operator.max_open_per_owner,
        }
    }

    /// An agent's limits, narrowed by the repository's.
    #[must_use]
    pub fn narrow(&self, mut agent: AgentSettings) -> AgentSettings {
        if let Some(usd) = self.max_cost_usd.filter(|usd| usd.is_finite() && *usd >= 0.0) {
            agent.max_cost_usd = agent.max_cost_usd.min(usd);
        }
        if let Some(minutes) = self.max_minutes {
            agent.max_minutes = agent.max_minutes.min(minutes);
        }
        agent
    }
}
