//! Which sources are asked.

use backlog::finding::Source;

use crate::config::{Config, ConfigError};

/// The sources that look at files, and so at folders.
const IN_FOLDERS: &str = "todo, dependency, hotspot, sarif";
/// The sources that look at a code host.
const ON_HOSTS: &str = "issue-label, stale-issue, ci, security-alert";

/// The sources that `--source` names; without it those that are switched on.
pub(super) struct Choice {
    named: Vec<String>,
}

impl Choice {
    /// Reads the names, and switches on in `config` what is named.
    ///
    /// # Errors
    /// When there is no such source, or no tool that writes SARIF is configured.
    pub(super) fn of(named: &[String], config: &mut Config) -> Result<Self, ConfigError> {
        for name in named {
            // `sarif` stands for every tool.
            let known = name.parse::<Source>().is_ok_and(|source| source != Source::Person);
            if name != "sarif" && !known {
                return Err(ConfigError(format!("there is no source `{name}`; there are {IN_FOLDERS}, {ON_HOSTS}")));
            }
            let sources = &mut config.sources;
            match name.as_str() {
                "todo" => sources.todo.enabled = true,
                "dependency" => sources.dependency.enabled = true,
                "hotspot" => sources.hotspot.enabled = true,
                "stale-issue" => sources.stale_issue.enabled = true,
                "ci" => sources.ci.enabled = true,
                "security-alert" => sources.security_alert.enabled = true,
                _ => {}
            }
            let tool = name.strip_prefix("sarif").map(|tool| tool.trim_start_matches(':'));
            if tool.is_some_and(|tool| !sources.sarif.keys().any(|known| tool.is_empty() || known == tool)) {
                let what =
                    format!("{name} needs a tool: add [sources.sarif.NAME] with a `command` or a `file` to ccm.toml");
                return Err(ConfigError(what));
            }
        }
        Ok(Self { named: named.to_vec() })
    }

    /// Whether a source is asked, if it is on.
    pub(super) fn takes(&self, source: &Source) -> bool {
        let is = |name: &String| *name == source.to_string() || (name == "sarif" && matches!(source, Source::Sarif(_)));
        self.named.is_empty() || self.named.iter().any(is)
    }

    /// Whether any other source than `todo` is asked about a folder.
    ///
    /// # Errors
    /// When a source is named that looks at a code host only.
    pub(super) fn more_in_folders(&self, config: &Config) -> Result<bool, ConfigError> {
        let in_folders = |name: &str| name.starts_with("sarif") || IN_FOLDERS.split(", ").any(|known| known == name);
        if let Some(name) = self.named.iter().find(|name| !in_folders(name)) {
            let what = format!("the source {name} looks at a code host: name OWNER/NAME; folders have {IN_FOLDERS}");
            return Err(ConfigError(what));
        }
        let sources = &config.sources;
        let sarif = sources.sarif.keys().any(|tool| self.takes(&Source::Sarif(tool.clone())));
        Ok(sarif
            || (sources.dependency.enabled && self.takes(&Source::Dependency))
            || (sources.hotspot.enabled && self.takes(&Source::Hotspot)))
    }
}
