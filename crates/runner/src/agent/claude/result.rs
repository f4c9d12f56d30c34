//! Claude Code's result line, and what it means.

use serde_json::Value;

use super::{number_of, text_of, usage_of};
use crate::agent::AgentOutcome;
use crate::transcript::{Usage, bounded};

/// The result line of one turn.
#[derive(Clone, Debug)]
pub(super) struct TurnResult {
    pub(super) is_error: bool,
    pub(super) subtype: String,
    pub(super) terminal_reason: Option<String>,
    pub(super) text: String,
    pub(super) turns: u32,
    pub(super) queued_turns: u64,
    pub(super) usage: Usage,
    api_status: Option<u64>,
    errors: Vec<String>,
    denials: Vec<String>,
}

impl TurnResult {
    pub(super) fn read(message: &Value) -> Self {
        let list = |key: &str| message[key].as_array().cloned().unwrap_or_default();
        Self {
            // A result that does not say whether it is an error is none of success.
            is_error: message["is_error"].as_bool().unwrap_or(true),
            subtype: text_of(message, "subtype"),
            terminal_reason: message["terminal_reason"].as_str().map(bounded),
            text: text_of(message, "result"),
            turns: number_of(message, "num_turns"),
            queued_turns: message["queued_turn_count"].as_u64().unwrap_or(0),
            usage: usage_of(message),
            api_status: message["api_error_status"].as_u64(),
            errors: list("errors").iter().filter_map(Value::as_str).take(20).map(bounded).collect(),
            denials: list("permission_denials").iter().take(20).map(denial).collect(),
        }
    }

    /// What the session came to. `api_error` is the word of the last message for a failed model call, `resumed` the
    /// session that was asked for, `interrupted` whether we asked the agent to stop.
    pub(super) fn outcome(&self, api_error: Option<&str>, resumed: Option<&str>, interrupted: bool) -> AgentOutcome {
        let failed = |reason: String, retryable| AgentOutcome::Failed { reason, retryable };
        let reason = self.terminal_reason.as_deref().unwrap_or_default();
        if reason == "api_error" || (self.is_error && self.api_status.is_some()) {
            return self.model_call_failed(api_error);
        }
        if self.is_error && interrupted {
            return failed("The agent was asked to stop and stopped.".into(), false);
        }
        if let Some(id) = resumed.filter(|_| self.errors.iter().any(|e| e.starts_with("No conversation found"))) {
            return AgentOutcome::UnknownSession { id: id.to_owned() };
        }
        match self.subtype.as_str() {
            "error_max_turns" => {
                let turns = self.turns.saturating_sub(1);
                failed(format!("The agent used up its {turns} turns before it was done."), false)
            }
            "error_max_budget_usd" => failed("The agent used up its budget before it was done.".into(), false),
            _ if self.is_error => failed(format!("The agent broke off: {}", self.said()), true),
            _ if !self.denials.is_empty() => failed(
                format!("The agent was denied what it asked for: {}. {}", self.denials.join(", "), self.text),
                false,
            ),
            _ => AgentOutcome::Succeeded { summary: self.text.clone() },
        }
    }

    fn model_call_failed(&self, api_error: Option<&str>) -> AgentOutcome {
        let said = self.said();
        let failed = |retryable| AgentOutcome::Failed { reason: format!("The model call failed: {said}"), retryable };
        match self.api_status {
            Some(429 | 529) => AgentOutcome::LimitedByProvider { reason: said },
            Some(408 | 500..) => failed(true),
            Some(_) => failed(false),
            // No answer at all; not being signed in looks the same but for the message's own word.
            None => failed(api_error != Some("authentication_failed")),
        }
    }

    fn said(&self) -> String {
        match (self.text.is_empty(), self.errors.is_empty()) {
            (false, _) => self.text.clone(),
            (true, false) => self.errors.join("; "),
            (true, true) => format!("{} without further words", self.subtype),
        }
    }
}

/// A denied call in few words: the tool, and the file or command.
fn denial(denied: &Value) -> String {
    let tool = text_of(denied, "tool_name");
    let input = &denied["tool_input"];
    let what = ["file_path", "notebook_path", "command", "url", "path"].iter().find_map(|key| input[*key].as_str());
    match what {
        Some(what) => format!("{tool} {}", what.chars().take(200).collect::<String>()),
        None => tool,
    }
}
