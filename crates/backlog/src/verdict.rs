//! The decision over a run's work.

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::run::{ChangedFile, CheckResult};

/// What a change may touch and how large it may be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiffPolicy {
    /// What a run may not change: a file or a folder with all in it (`CODEOWNERS`, `.github/`, `ci/**`) from the
    /// repository's root, the same anywhere (`**/CLAUDE.md`), or an ending of file names (`*.lock`). Case does not
    /// count, because the file systems of some machines fold it.
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
                ".github/",
                "CODEOWNERS",
                "docs/CODEOWNERS",
                "**/CLAUDE.md",
                "**/AGENTS.md",
                ".claude/",
                ".mcp.json",
                ".gitmodules",
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
        self.protected_paths.iter().find(|rule| protects(rule, path)).map(String::as_str)
    }
}

/// Whether a rule of [`DiffPolicy::protected_paths`] protects a path from the repository's root.
///
/// A file in the place of a protected folder is protected too: it could be a link to one that is not.
#[must_use]
pub fn protects(rule: &str, path: &str) -> bool {
    if let Some(anywhere) = rule.strip_prefix("**/") {
        let below = path.match_indices('/').map(|(at, _)| &path[at + 1..]);
        return std::iter::once(path).chain(below).any(|path| protects(anywhere, path));
    }
    if let Some(ending) = rule.strip_prefix('*').filter(|rest| !rest.starts_with('*')) {
        return ends_with(path, ending);
    }
    let base = rule.trim_start_matches("./").trim_start_matches('/').trim_end_matches('*').trim_end_matches('/');
    let (Some(begin), Some(rest)) = (path.get(..base.len()), path.get(base.len()..)) else { return false };
    !base.is_empty() && begin.eq_ignore_ascii_case(base) && (rest.is_empty() || rest.starts_with('/'))
}

fn ends_with(path: &str, ending: &str) -> bool {
    let from = path.len().checked_sub(ending.len());
    from.and_then(|from| path.get(from..)).is_some_and(|end| end.eq_ignore_ascii_case(ending))
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

/// The most protected files that are named one by one.
const NAMED: usize = 20;

/// Judges a change by what it touches (`files`), its size and the repository's own `checks`.
#[must_use]
pub fn judge(files: &[ChangedFile], checks: &[CheckResult], policy: &DiffPolicy) -> Verdict {
    let mut objections = Vec::new();
    let touched: Vec<(&str, &str)> =
        files.iter().filter_map(|file| Some((file.path.as_str(), policy.protecting(&file.path)?))).collect();
    for (path, rule) in touched.iter().take(NAMED) {
        objections.push(format!("`{path}` may not be changed here: the rule `{rule}` protects it."));
    }
    if touched.len() > NAMED {
        objections.push(format!("The change touches {} more protected files.", touched.len() - NAMED));
    }
    let count = files.len() as u64;
    if count > policy.max_files {
        objections
            .push(format!("The change touches {count} files, and the limit is {}. Change less.", policy.max_files));
    }
    let lines = files.iter().fold(0u64, |sum, file| sum.saturating_add(file.added).saturating_add(file.removed));
    if lines > policy.max_lines {
        objections.push(format!(
            "The change adds and removes {lines} lines, and the limit is {}. Change less.",
            policy.max_lines
        ));
    }
    for check in checks.iter().filter(|check| !check.passed) {
        objections.push(format!("The check `{}` did not pass ({}).", check.name, check.reason));
    }
    if objections.is_empty() { Verdict::Good } else { Verdict::NotGood { objections } }
}
