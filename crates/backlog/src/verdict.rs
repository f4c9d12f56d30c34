//! The decision over a run's work.

use serde::{Deserialize, Serialize};

use crate::run::{ChangedFile, CheckResult};

/// What a change may touch and how large it may be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiffPolicy {
    /// Path prefixes (ending in `/`) or whole paths that a run may not change.
    pub protected_paths: Vec<String>,
    /// The most files a run may change.
    pub max_files: u64,
    /// The most lines a run may add and remove together.
    pub max_lines: u64,
}

impl Default for DiffPolicy {
    /// Workflows, code owners and agents' own instructions are protected; 50 files and 2,000 lines at most.
    fn default() -> Self {
        Self {
            protected_paths: [
                ".github/", "CODEOWNERS", "docs/CODEOWNERS", "CLAUDE.md", "AGENTS.md", ".claude/", ".mcp.json", ".gitmodules",
            ]
            .map(str::to_owned)
            .to_vec(),
            max_files: 50,
            max_lines: 2_000,
        }
    }
}

impl DiffPolicy {
    /// The rule that protects `path`, if any.
    #[must_use]
    pub fn protecting(&self, path: &str) -> Option<&str> {
        self.protected_paths
            .iter()
            .find(|rule| if rule.ends_with('/') { path.starts_with(rule.as_str()) } else { path == rule.as_str() })
            .map(String::as_str)
    }
}

/// The decision over a run's work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may be delivered.
    Good,
    /// It may not. One finished sentence per objection, fit for the agent's next prompt.
    NotGood {
        /// The objections.
        objections: Vec<String>,
    },
}

/// Judges a change by what it touches (`files`), its size and the repository's own `checks`.
#[must_use]
pub fn judge(files: &[ChangedFile], checks: &[CheckResult], policy: &DiffPolicy) -> Verdict {
    let mut objections = Vec::new();
    for file in files {
        if let Some(rule) = policy.protecting(&file.path) {
            objections.push(format!("`{}` may not be changed here (protected by the rule `{rule}`).", file.path));
        }
    }
    let count = files.len() as u64;
    if count > policy.max_files {
        objections.push(format!("The change touches {count} files; at most {} are allowed.", policy.max_files));
    }
    let lines: u64 = files.iter().map(|file| file.added.saturating_add(file.removed)).sum();
    if lines > policy.max_lines {
        objections.push(format!("The change adds and removes {lines} lines; at most {} are allowed.", policy.max_lines));
    }
    for check in checks.iter().filter(|check| !check.passed) {
        objections.push(format!("The check `{}` did not pass ({}).", check.name, check.reason));
    }
    if objections.is_empty() { Verdict::Good } else { Verdict::NotGood { objections } }
}
