//! `ccm.toml`: reading, checking, and saying what is wrong with it.
//!
//! No secret stands in the file: it names environment variables and files. Nothing in it is expanded.

mod github_limits;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use backlog::names::RepoName;
use backlog::rank::RankPolicy;
use pipeline::settings::{AgentSettings, Limits, Proposals, SandboxSettings, Settings, Sources, Verification};
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

pub use github_limits::GitHubLimits;

/// The configuration file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The repositories on GitHub; left out, only local folders are worked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub github: Option<GitHub>,
    /// The dashboard and the database.
    pub server: Server,
    /// Where work is found.
    pub sources: Sources,
    /// How it is proposed.
    pub proposals: Proposals,
    /// Who does it, by name; `default` is used where nothing else is said.
    pub agents: BTreeMap<String, AgentSettings>,
    /// Where the agents' model calls go.
    pub model: Model,
    /// What confines agents and checks.
    pub sandbox: SandboxSettings,
    /// What their work must satisfy.
    pub verification: Verification,
    /// How much happens at once, and how often.
    pub limits: Limits,
    /// The weights of ranking, in percent of their default effect.
    pub rank: RankPolicy,
}

/// `[github]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GitHub {
    /// The REST interface; of GitHub Enterprise Server `https://HOST/api/v3`.
    pub api_url: String,
    /// Where git repositories are, as `<git_url>/OWNER/NAME.git`; left out, derived from `api_url`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub git_url: Option<String>,
    /// The environment variable that holds the token; `GITHUB_TOKEN` when neither it nor `app` is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_env: Option<String>,
    /// The environment variable that holds the secret of GitHub's webhooks; left out, none are taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook_secret_env: Option<String>,
    /// The environment variable that holds the secret before that one, while it is being changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook_previous_secret_env: Option<String>,
    /// The GitHub App to act as, in place of a token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app: Option<App>,
    /// Where proposals go; left out, into the repository itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manager_repository: Option<String>,
    /// Globs over what the token can see; `!org/secret` excludes.
    pub repositories: Vec<String>,
    /// An address where GitHub's operators reach whoever runs this; sent with every request.
    pub contact: String,
    /// The paces, for each account.
    pub limits: GitHubLimits,
}

impl Default for GitHub {
    fn default() -> Self {
        Self {
            api_url: "https://api.github.com".to_owned(),
            git_url: None,
            token_env: None,
            app: None,
            webhook_secret_env: None,
            webhook_previous_secret_env: None,
            manager_repository: None,
            repositories: Vec::new(),
            contact: "none given".to_owned(),
            limits: GitHubLimits::default(),
        }
    }
}

impl GitHub {
    /// The environment variable of the token, when there is no App.
    #[must_use]
    pub fn token_variable(&self) -> &str {
        self.token_env.as_deref().unwrap_or("GITHUB_TOKEN")
    }
}

/// `[github.app]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct App {
    /// Its id, or its client id, as text.
    pub id: String,
    /// The file with its private key, PEM as GitHub gives it; readable by this user only.
    pub private_key_file: PathBuf,
    /// The environment variable that holds the secret of its webhooks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook_secret_env: Option<String>,
    /// The file that holds it, where no variable is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook_secret_file: Option<PathBuf>,
}

/// `[server]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Server {
    /// Where the dashboard listens.
    pub listen: String,
    /// The database, `sqlite:///absolute/path.db`; left out, `ccm.db` in the data folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
}

impl Default for Server {
    fn default() -> Self {
        Self { listen: "127.0.0.1:7878".to_owned(), database: None }
    }
}

/// `[model]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Model {
    /// The Messages interface that the gateway forwards to.
    pub base_url: String,
    /// The environment variable that holds the key; agents never see it.
    pub key_env: String,
}

impl Default for Model {
    fn default() -> Self {
        Self { base_url: "https://api.anthropic.com".to_owned(), key_env: "ANTHROPIC_API_KEY".to_owned() }
    }
}

/// A configuration and where it came from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The file; `None` when there is none and the defaults are in force.
    pub file: Option<PathBuf>,
    /// What it says.
    pub config: Config,
}

/// What is wrong with the configuration. Exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub String);

/// Reads the file that `--config` names, or the first that exists of the usual places.
///
/// # Errors
/// [`ConfigError`] when a named file is not there or anything in it is not valid.
pub fn load(named: Option<&Path>) -> Result<Loaded> {
    let file = match named {
        Some(file) if file.is_file() => Some(file.to_owned()),
        Some(file) => {
            let hint = "name another one with --config, or write one with `ccm init`";
            return Err(ConfigError(format!("there is no configuration file {}; {hint}", file.display())).into());
        }
        None => usual_places().into_iter().find(|file| file.is_file()),
    };
    let Some(file) = file else { return Ok(Loaded { file: None, config: finished(Config::default())? }) };
    let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let config = parse(&text).map_err(|ConfigError(why)| ConfigError(format!("{}: {why}", file.display())))?;
    Ok(Loaded { file: Some(file), config })
}

fn usual_places() -> Vec<PathBuf> {
    let mut places = vec![PathBuf::from("ccm.toml")];
    if let Ok(strategy) = etcetera::choose_base_strategy() {
        places.push(etcetera::BaseStrategy::config_dir(&strategy).join("ccm").join("ccm.toml"));
    }
    places
}

/// Reads a configuration's text.
///
/// # Errors
/// A sentence that names the place and, for an unknown key, the nearest known one.
pub fn parse(text: &str) -> Result<Config, ConfigError> {
    let config = toml::from_str(text).map_err(|error| {
        let mut why = error.to_string().trim_end().to_owned();
        if let Some(hint) = nearest(error.message()) {
            why.push_str(&format!("\nhelp: did you mean `{hint}`?"));
        }
        ConfigError(why)
    })?;
    finished(config)
}

/// The known key nearest to the unknown one that a message of serde names.
fn nearest(message: &str) -> Option<String> {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let unknown = quoted.next().filter(|_| message.starts_with("unknown"))?;
    let (similarity, key) =
        quoted.map(|known| (strsim::jaro_winkler(unknown, known), known)).max_by(|a, b| a.0.total_cmp(&b.0))?;
    (similarity > 0.7).then(|| key.to_owned())
}

/// The longest time that can be set.
const WEEK_MINUTES: u64 = 7 * 24 * 60;

/// Adds the agent `default` where it is missing, and checks what types cannot say.
fn finished(mut config: Config) -> Result<Config, ConfigError> {
    config.agents.entry("default".to_owned()).or_default();
    let wrong = |what: String| Err(ConfigError(what));
    for (name, agent) in &config.agents {
        for (key, usd) in [("max_cost_usd", agent.max_cost_usd), ("max_task_usd", agent.max_task_usd)] {
            if !(usd.is_finite() && (0.0..=10_000.0).contains(&usd)) {
                return wrong(format!("agents.{name}.{key} must be between 0 and 10000"));
            }
        }
        if agent.kind == pipeline::settings::AgentKind::Command && agent.program.is_none() {
            return wrong(format!("agents.{name} has kind \"command\" and needs a `program`"));
        }
        if agent.max_minutes == 0 || agent.max_silent_minutes == 0 || agent.max_turns == 0 {
            return wrong(format!("agents.{name}: max_minutes, max_silent_minutes and max_turns must be at least 1"));
        }
    }
    todo(&config.sources.todo)?;
    issues(&config.sources)?;
    other_sources(&config.sources)?;
    for glob in &config.proposals.ignore_ai_policy {
        globset::Glob::new(glob)
            .map_err(|error| ConfigError(format!("proposals.ignore_ai_policy: `{glob}` is no glob: {error}")))?;
    }
    let limits = &config.limits;
    for (name, value) in [
        ("concurrent_runs", u64::from(limits.concurrent_runs)),
        ("runs_per_repository", u64::from(limits.runs_per_repository)),
        ("concurrent_repositories", u64::from(limits.concurrent_repositories)),
        ("scan_seconds", limits.scan_seconds),
        ("poll_seconds", limits.poll_seconds),
    ] {
        if value == 0 {
            return wrong(format!("limits.{name} must be at least 1"));
        }
    }
    if config.verification.max_attempts == 0 || config.verification.check_minutes == 0 {
        return wrong("verification.max_attempts and verification.check_minutes must be at least 1".to_owned());
    }
    times(&config)?;
    if let Some(github) = &config.github {
        if github.repositories.is_empty() {
            return wrong("github.repositories is empty; name what to watch, such as [\"me/*\"]".to_owned());
        }
        if github.token_env.is_some() && github.app.is_some() {
            return wrong("[github] has both token_env and [github.app]; take one of them out".to_owned());
        }
        if github.app.as_ref().is_some_and(|app| app.id.trim().is_empty()) {
            return wrong("github.app.id is empty; it stands on the App's page in GitHub's settings".to_owned());
        }
        if let Some(name) = &github.manager_repository {
            name.parse::<RepoName>().map_err(|error| ConfigError(format!("github.manager_repository: {error}")))?;
        }
        github.limits.limits()?;
        url(&github.api_url, "github.api_url")?;
        github.git_url.as_ref().map_or(Ok(()), |text| url(text, "github.git_url"))?;
    }
    url(&config.model.base_url, "model.base_url")?;
    if let Some(database) = &config.server.database
        && !database.starts_with("sqlite://")
    {
        return wrong(format!("server.database is `{database}`; this version knows sqlite:///absolute/path.db"));
    }
    Ok(config)
}

/// Times so long that no clock can add them: a slip of the hand, or a way to say "never" that there is not.
fn times(config: &Config) -> Result<(), ConfigError> {
    let limits = &config.limits;
    let agents = config.agents.iter().flat_map(|(name, agent)| {
        let key = move |key: &str| format!("agents.{name}.{key}");
        [
            (key("max_minutes"), agent.max_minutes, WEEK_MINUTES),
            (key("max_silent_minutes"), agent.max_silent_minutes, WEEK_MINUTES),
        ]
    });
    let tools = config.sources.sarif.iter();
    let tools = tools.map(|(name, tool)| (format!("sources.sarif.{name}.minutes"), tool.minutes, WEEK_MINUTES));
    let others = [
        ("verification.check_minutes", config.verification.check_minutes, WEEK_MINUTES),
        ("limits.scan_seconds", limits.scan_seconds, WEEK_MINUTES * 60),
        ("limits.poll_seconds", limits.poll_seconds, WEEK_MINUTES * 60),
        ("limits.shutdown_seconds", limits.shutdown_seconds, WEEK_MINUTES * 60),
    ];
    let others = others.into_iter().map(|(name, value, most)| (name.to_owned(), value, most));
    match agents.chain(tools).chain(others).find(|(_, value, most)| value > most) {
        Some((name, _, most)) => Err(ConfigError(format!("{name} must be at most {most}, which is a week"))),
        None => Ok(()),
    }
}

/// Tags and patterns that would fail the first look.
fn todo(todo: &pipeline::settings::TodoSource) -> Result<(), ConfigError> {
    if todo.tags.is_empty() && todo.enabled {
        let what = "sources.todo.tags is empty; set sources.todo.enabled = false to leave comments alone";
        return Err(ConfigError(what.to_owned()));
    }
    if todo.enabled {
        scan::TodoOptions::new(todo.tags.clone())
            .map_err(|error| ConfigError(format!("sources.todo.tags: {error}")))?;
    }
    scan::Selection::excluding(&todo.exclude).map_err(|error| ConfigError(format!("sources.todo.exclude: {error}")))?;
    Ok(())
}

/// Rules about issues that select nothing, or everything.
fn issues(sources: &Sources) -> Result<(), ConfigError> {
    let wrong = |what: &str| Err(ConfigError(what.to_owned()));
    if !(1..=3_650).contains(&sources.stale_issue.days) {
        return wrong("sources.stale-issue.days must be between 1 and 3650");
    }
    if sources.issue_label.labels.iter().chain(&sources.stale_issue.skip_labels).any(|label| label.trim().is_empty()) {
        return wrong("a label under [sources] is empty; take it out");
    }
    if sources.security_alert.enabled && sources.security_alert.kinds.is_empty() {
        return wrong("sources.security-alert.kinds is empty; set enabled = false to leave alerts alone");
    }
    Ok(())
}

/// Addresses and patterns of the other sources that would fail the first look.
fn other_sources(sources: &Sources) -> Result<(), ConfigError> {
    let dependency = &sources.dependency;
    let addresses =
        [("crates_url", &dependency.crates_url), ("npm_url", &dependency.npm_url), ("pypi_url", &dependency.pypi_url)];
    for (key, address) in addresses {
        url(address, &format!("sources.dependency.{key}"))?;
    }
    for pattern in &dependency.ignore {
        globset::Glob::new(pattern).map_err(|error| ConfigError(format!("sources.dependency.ignore: {error}")))?;
    }
    scan::Selection::excluding(&sources.hotspot.exclude)
        .map_err(|error| ConfigError(format!("sources.hotspot.exclude: {error}")))?;
    for (name, tool) in &sources.sarif {
        let word = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        if !word || name.is_empty() || name.len() > 40 {
            return Err(ConfigError(format!("sources.sarif.{name}: name a tool with letters, digits, `-` and `_`")));
        }
        if let Some(why) = tool.nonsense() {
            return Err(ConfigError(format!("sources.sarif.{name} {why}")));
        }
    }
    Ok(())
}

fn url(text: &str, key: &str) -> Result<(), ConfigError> {
    if text.contains('@') {
        return Err(ConfigError(format!("{key} must not hold a credential; name an environment variable instead")));
    }
    match text.parse::<http::Uri>() {
        Ok(uri) if matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some() => Ok(()),
        _ => Err(ConfigError(format!("{key} is `{text}`, which is no http or https address"))),
    }
}

impl Config {
    /// What the pipeline acts on.
    #[must_use]
    pub fn settings(&self) -> Settings {
        Settings {
            sources: self.sources.clone(),
            proposals: self.proposals.clone(),
            agents: self.agents.clone(),
            sandbox: self.sandbox.clone(),
            verification: self.verification.clone(),
            limits: self.limits.clone(),
            rank: self.rank,
            manager_repository: self
                .github
                .as_ref()
                .and_then(|github| github.manager_repository.as_ref())
                .and_then(|name| name.parse().ok()),
        }
    }
}

/// A secret from the environment; `None` when the variable is not set or empty.
#[must_use]
pub fn secret(variable: &str) -> Option<SecretString> {
    std::env::var(variable).ok().filter(|text| !text.trim().is_empty()).map(|text| text.trim().to_owned().into())
}

/// The JSON schema of the configuration file.
#[must_use]
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(Config).to_value()
}

/// The data folder: the named one, else the XDG one.
///
/// # Errors
/// When the home folder is not known.
pub fn data_dir(named: Option<&Path>) -> Result<PathBuf> {
    if let Some(dir) = named {
        return std::path::absolute(dir).context("the data folder's path cannot be made absolute");
    }
    let strategy = etcetera::choose_base_strategy()
        .map_err(|_| ConfigError("the home folder is not known; name a data folder with --data-dir".to_owned()))?;
    Ok(etcetera::BaseStrategy::data_dir(&strategy).join("ccm"))
}
