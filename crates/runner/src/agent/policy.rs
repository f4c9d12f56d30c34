//! What an agent may do when it asks.
//!
//! The sandbox is the wall; this is the sign at the door that saves turns and guards paths early. A command run by the
//! agent can get around it, therefore protected paths are checked again in the diff.

use std::path::{Component, Path, PathBuf};

use backlog::verdict::protects;
use serde_json::Value;

/// Tools that need the open network.
const NETWORK_TOOLS: [&str; 2] = ["WebFetch", "WebSearch"];
/// Tools that run commands.
const COMMAND_TOOLS: [&str; 2] = ["Bash", "Monitor"];
/// Tools that change files.
const EDIT_TOOLS: [&str; 4] = ["Edit", "MultiEdit", "NotebookEdit", "Write"];

/// What an agent may do when it asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Whether tools that need the open network make sense.
    pub network: bool,
    /// Whether the agent may run commands. Without a sandbox this is a decision in words.
    pub commands: bool,
    /// Whether files outside the checkout may be edited: harmless in a sandbox, never without one.
    pub edits_elsewhere: bool,
    /// Rules that name what must not be edited, as in [`backlog::verdict::DiffPolicy`].
    pub protected: Vec<String>,
}

/// For an agent inside a sandbox without network.
impl Default for Policy {
    fn default() -> Self {
        Self { network: false, commands: true, edits_elsewhere: true, protected: Vec::new() }
    }
}

/// The answer to an agent that asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It may.
    Allow,
    /// It may not; the text tells the agent why and what to do instead.
    Deny(String),
}

impl Policy {
    /// Whether the agent may use `tool` with `input` while it works on the folder `checkout`.
    #[must_use]
    pub fn decide(&self, tool: &str, input: &Value, checkout: &Path) -> Decision {
        if NETWORK_TOOLS.contains(&tool) && !self.network {
            return Decision::Deny("There is no network here. Work with what the checkout holds.".into());
        }
        if COMMAND_TOOLS.contains(&tool) && !self.commands {
            return Decision::Deny("Commands are switched off for this run. Edit files only.".into());
        }
        if tool == "AskUserQuestion" {
            return Decision::Deny("Nobody is here to answer. Decide yourself and say so in your summary.".into());
        }
        if EDIT_TOOLS.contains(&tool) {
            return self.decide_edit(input, checkout);
        }
        Decision::Allow
    }

    fn decide_edit(&self, input: &Value, checkout: &Path) -> Decision {
        let Some(path) = ["file_path", "notebook_path"].iter().find_map(|key| input[*key].as_str()) else {
            return Decision::Deny("An edit must name its file.".into());
        };
        let path = normal(&checkout.join(path));
        let Ok(inside) = path.strip_prefix(checkout) else {
            return if self.edits_elsewhere {
                Decision::Allow
            } else {
                Decision::Deny(format!("{} is outside the checkout. Edit files of the checkout only.", path.display()))
            };
        };
        let inside_text = inside.to_string_lossy();
        match self.protected.iter().find(|rule| protects(rule, &inside_text)) {
            Some(pattern) => Decision::Deny(format!(
                "{} is protected by `{pattern}` and stays as it is. Do the task without changing it, or say why that \
                 is impossible.",
                inside.display()
            )),
            None => Decision::Allow,
        }
    }
}

/// `path` without `.` and `..`, by its text alone.
fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                out.pop();
            }
            Component::CurDir => {}
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => out.push(part),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;

    fn asked(tool: &str, input: Value) -> bool {
        let policy = Policy {
            network: false,
            commands: false,
            edits_elsewhere: false,
            protected: vec![".github/**".into(), "*.lock".into(), "ci".into()],
        };
        policy.decide(tool, &input, Path::new("/checkout")) == Decision::Allow
    }

    #[rstest]
    #[case("/checkout/src/main.rs", true)]
    #[case("src/main.rs", true)]
    #[case("/checkout/.github/workflows/ci.yml", false)]
    #[case("/checkout/src/../.github/workflows/ci.yml", false)]
    #[case("/checkout/.githubber/x", true)]
    #[case("/checkout/sub/Cargo.lock", false)]
    #[case("/checkout/ci/run.sh", false)]
    #[case("/checkout/circus.rs", true)]
    #[case("/checkout/../etc/passwd", false)]
    #[case("/root/.bashrc", false)]
    fn edits_stay_in_the_checkout_and_off_protected_paths(#[case] path: &str, #[case] allowed: bool) {
        assert_eq!(asked("Write", json!({"file_path": path})), allowed, "{path}");
        assert_eq!(asked("NotebookEdit", json!({"notebook_path": path})), allowed, "{path}");
    }

    #[rstest]
    #[case("WebFetch", false)]
    #[case("Bash", false)]
    #[case("AskUserQuestion", false)]
    #[case("Edit", false)] // names no file
    #[case("Read", true)]
    fn tools_are_allowed_by_purpose(#[case] tool: &str, #[case] allowed: bool) {
        assert_eq!(asked(tool, json!({})), allowed);
    }

    #[test]
    fn the_default_is_for_a_sandbox_commands_yes_network_no() {
        let decide = |tool, input| Policy::default().decide(tool, &input, Path::new("/checkout"));
        assert_eq!(decide("Bash", json!({"command": "make"})), Decision::Allow);
        assert_eq!(decide("Write", json!({"file_path": "/tmp/x"})), Decision::Allow);
        assert!(matches!(decide("WebSearch", json!({})), Decision::Deny(why) if why.contains("no network")));
    }
}
