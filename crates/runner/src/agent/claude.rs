//! Claude Code, headless, driven over its control protocol.
//!
//! **Design.** The CLI reads and writes one JSON object a line. We send `initialize` and the prompt; it sends what it
//! does and asks before it uses a tool; we answer by [`Policy`]. Its tools are narrowed by `--tools`, so
//! that what the policy would refuse anyway is not offered at all and costs neither a turn nor a denial.
//!
//! **The end is judged by the result line only**: it must be there, not be an error, and have no denial. The exit code
//! is 0 for some failures, and the subtype is `success` for a provider's error.
//!
//! **Known race.** A person's message may cross the result line on its way. With `--replay-user-messages` the CLI
//! echoes each message when it takes it up; while one of ours is not echoed, or the result says that turns are queued,
//! the session is not finished. If an echo ever fails to come, the silence watchdog ends the session.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::{Agent, AgentCommand, AgentOutcome, Decision, Exit, Policy, Program, SessionSpec, Step, last_line};
use crate::transcript::{AgentEvent, Usage, bounded, bounded_input};

mod result;

use result::TurnResult;

/// Claude Code, the native program of its npm package; proven with 2.1.330.
#[derive(Clone, Debug)]
pub struct ClaudeCode {
    program: PathBuf,
    first_args: Vec<String>,
    policy: Policy,
    checkout: PathBuf,
    session: Option<String>,
    resumed: Option<String>,
    asked: u64,
    messages_sent: u64,
    messages_taken: u64,
    result: Option<TurnResult>,
    api_error: Option<String>,
    plain_output: String,
    interrupted: bool,
}

impl ClaudeCode {
    /// Runs `program`: a name on the sandbox's `PATH`, or an absolute path.
    #[must_use]
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            first_args: Vec::new(),
            policy: Policy::default(),
            checkout: PathBuf::new(),
            session: None,
            resumed: None,
            asked: 0,
            messages_sent: 0,
            messages_taken: 0,
            result: None,
            api_error: None,
            plain_output: String::new(),
            interrupted: false,
        }
    }

    /// Puts `args` before those of the protocol: for a wrapper, or a program that replays.
    #[must_use]
    pub fn with_args(mut self, args: Vec<String>) -> Self {
        self.first_args = args;
        self
    }

    fn args(&self, spec: &SessionSpec) -> Vec<String> {
        let mut tools = vec!["Edit", "Read", "Write", "NotebookEdit", "Glob", "Grep"];
        if spec.policy.commands {
            tools.extend(["Bash", "TaskStop"]);
        }
        if spec.policy.network {
            tools.extend(["WebFetch", "WebSearch"]);
        }
        let protocol = ["-p", "--input-format", "stream-json", "--output-format", "stream-json"]
            .into_iter()
            .chain(["--verbose", "--replay-user-messages", "--permission-prompt-tool", "stdio"])
            .chain(["--setting-sources", "", "--strict-mcp-config", "--tools"])
            .map(str::to_owned);
        let mut args = self.first_args.clone();
        args.extend(protocol);
        args.push(tools.join(","));
        let options = [
            ("--model", spec.model.clone()),
            ("--max-turns", spec.max_turns.map(|turns| turns.to_string())),
            ("--resume", spec.resume.clone()),
        ];
        for (name, value) in options {
            args.extend(value.map(|value| [name.to_owned(), value]).into_iter().flatten());
        }
        args
    }

    fn request(&mut self, subtype: &str) -> String {
        self.asked += 1;
        json!({
            "type": "control_request",
            "request_id": format!("ccm-{}", self.asked),
            "request": { "subtype": subtype },
        })
        .to_string()
    }

    fn on_system(&mut self, message: &Value, line: &str) -> Vec<Step> {
        let event = match message["subtype"].as_str() {
            Some("init") => {
                let id = text_of(message, "session_id");
                if self.session.as_ref() == Some(&id) {
                    return Vec::new();
                }
                self.session = Some(id.clone());
                AgentEvent::Session { id, model: message["model"].as_str().map(bounded) }
            }
            Some("api_retry") => AgentEvent::Retry {
                attempt: number_of(message, "attempt"),
                of: number_of(message, "max_retries"),
                status: message["error_status"].as_u64().and_then(|status| u16::try_from(status).ok()),
                error: text_of(message, "error"),
                delay_ms: message["retry_delay_ms"].as_f64().map_or(0, |ms| ms.max(0.0) as u64),
            },
            Some("permission_denied") => AgentEvent::PermissionAsked {
                tool: text_of(message, "tool_name"),
                allowed: false,
                reason: message["message"].as_str().map(bounded),
            },
            _ => raw(line),
        };
        vec![Step::Event(event)]
    }

    fn on_assistant(&mut self, message: &Value, line: &str) -> Vec<Step> {
        if let Some(error) = message["error"].as_str() {
            self.api_error = Some(bounded(error));
        }
        let Some(blocks) = message["message"]["content"].as_array() else {
            return vec![Step::Event(raw(line))];
        };
        let events = blocks.iter().map(|block| match block["type"].as_str() {
            Some("text") => AgentEvent::Text { text: text_of(block, "text") },
            Some("thinking") => AgentEvent::Thinking { text: text_of(block, "thinking") },
            Some("tool_use") => AgentEvent::ToolUse {
                id: text_of(block, "id"),
                name: text_of(block, "name"),
                input: bounded_input(&block["input"]),
            },
            _ => raw(&block.to_string()),
        });
        events.map(Step::Event).collect()
    }

    fn on_user(&mut self, message: &Value, line: &str) -> Vec<Step> {
        if message["isReplay"] == true {
            self.messages_taken += 1;
            return Vec::new();
        }
        let Some(blocks) = message["message"]["content"].as_array() else {
            return vec![Step::Event(raw(line))];
        };
        let events = blocks.iter().map(|block| match block["type"].as_str() {
            Some("tool_result") => AgentEvent::ToolResult {
                id: text_of(block, "tool_use_id"),
                text: bounded(&content_text(&block["content"])),
                is_error: block["is_error"] == true,
            },
            Some("text") => AgentEvent::Notice { text: text_of(block, "text") },
            _ => raw(&block.to_string()),
        });
        events.map(Step::Event).collect()
    }

    fn on_control_request(&mut self, message: &Value) -> Vec<Step> {
        let request = &message["request"];
        let subtype = request["subtype"].as_str().unwrap_or_default();
        let id = &message["request_id"];
        if subtype != "can_use_tool" {
            let answer = json!({ "type": "control_response", "response": {
                "subtype": "error", "request_id": id, "error": "this client does not offer that",
            }});
            return vec![Step::Write(answer.to_string())];
        }
        let tool = text_of(request, "tool_name");
        let decision = self.policy.decide(&tool, &request["input"], &self.checkout);
        let (answer, reason) = match decision {
            Decision::Allow => (json!({ "behavior": "allow", "updatedInput": request["input"] }), None),
            Decision::Deny(why) => (json!({ "behavior": "deny", "message": why }), Some(why)),
        };
        let line = json!({ "type": "control_response", "response": {
            "subtype": "success", "request_id": id, "response": answer,
        }});
        let asked = AgentEvent::PermissionAsked { tool, allowed: reason.is_none(), reason };
        vec![Step::Write(line.to_string()), Step::Event(asked)]
    }

    fn on_result(&mut self, message: &Value) -> Vec<Step> {
        let result = TurnResult::read(message);
        let mut steps = vec![
            Step::Event(AgentEvent::Usage(result.usage)),
            Step::Event(AgentEvent::Result {
                succeeded: !result.is_error,
                reason: result.terminal_reason.clone().unwrap_or_else(|| result.subtype.clone()),
                text: result.text.clone(),
                turns: result.turns,
            }),
        ];
        // The first result proves that the prompt was taken, whether or not it was echoed.
        self.messages_taken = self.messages_taken.max(1);
        let more_to_come = result.queued_turns > 0 || self.messages_sent + 1 > self.messages_taken;
        self.result = Some(result);
        if !more_to_come {
            steps.extend([Step::CloseStdin, Step::Finished]);
        }
        steps
    }
}

impl Agent for ClaudeCode {
    fn command(&mut self, spec: &SessionSpec) -> AgentCommand {
        self.policy = spec.policy.clone();
        self.checkout.clone_from(&spec.checkout);
        self.resumed.clone_from(&spec.resume);
        let mut env: Vec<(String, String)> = [
            ("ANTHROPIC_API_KEY", "dummy"),
            ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
            ("DISABLE_AUTOUPDATER", "1"),
            ("DISABLE_TELEMETRY", "1"),
            ("DISABLE_ERROR_REPORTING", "1"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec();
        if let Some(gateway) = &spec.gateway {
            env.push(("ANTHROPIC_BASE_URL".to_owned(), gateway.base_url.clone()));
        }
        let hello = json!({
            "type": "control_request", "request_id": "ccm-0", "request": { "subtype": "initialize" },
        });
        AgentCommand {
            program: Program { path: self.program.clone(), args: self.args(spec), env, read_only: Vec::new() },
            stdin: vec![hello.to_string(), user_line(&spec.prompt)],
            close_stdin_after_prompt: false,
            prompt_file: None,
        }
    }

    fn on_line(&mut self, line: &str) -> Vec<Step> {
        if line.trim().is_empty() {
            return Vec::new();
        }
        let Ok(message) = serde_json::from_str::<Value>(line) else {
            self.plain_output = bounded(line);
            return vec![Step::Event(raw(line))];
        };
        match message["type"].as_str() {
            Some("system") => self.on_system(&message, line),
            Some("assistant") => self.on_assistant(&message, line),
            Some("user") => self.on_user(&message, line),
            Some("control_request") => self.on_control_request(&message),
            Some("result") => self.on_result(&message),
            Some("control_response") => match message["response"]["error"].as_str() {
                Some(error) => vec![Step::Event(AgentEvent::Notice { text: bounded(error) })],
                None => Vec::new(),
            },
            Some("control_cancel_request" | "keep_alive") => Vec::new(),
            _ => vec![Step::Event(raw(line))],
        }
    }

    fn message(&mut self, text: &str) -> Vec<Step> {
        self.messages_sent += 1;
        vec![Step::Write(user_line(text)), Step::Event(AgentEvent::PersonMessage { text: bounded(text) })]
    }

    fn interrupt(&mut self) -> Vec<Step> {
        self.interrupted = true;
        vec![Step::Write(self.request("interrupt"))]
    }

    fn outcome(&mut self, exit: &Exit, stderr_tail: &str) -> AgentOutcome {
        if let Some(result) = &self.result {
            return result.outcome(self.api_error.as_deref(), self.resumed.as_deref(), self.interrupted);
        }
        if exit.ended_by_signal().is_some() || exit.code == Some(0) {
            return AgentOutcome::NoResult { reason: format!("The agent ended without a result ({exit}).") };
        }
        let said = last_line(stderr_tail).or_else(|| last_line(&self.plain_output)).unwrap_or("it said nothing");
        AgentOutcome::Failed {
            reason: format!("The agent did not start ({exit}): {}", bounded(said)),
            retryable: false,
        }
    }
}

fn user_line(text: &str) -> String {
    json!({ "type": "user", "message": { "role": "user", "content": [{ "type": "text", "text": text }] } }).to_string()
}

fn raw(line: &str) -> AgentEvent {
    AgentEvent::Raw { line: bounded(line) }
}

fn text_of(object: &Value, key: &str) -> String {
    bounded(object[key].as_str().unwrap_or_default())
}

fn number_of(object: &Value, key: &str) -> u32 {
    object[key].as_u64().and_then(|n| u32::try_from(n).ok()).unwrap_or(0)
}

/// A tool's answer is a text or a list of blocks, of which the texts count.
fn content_text(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(blocks) => {
            let texts: Vec<&str> = blocks.iter().filter_map(|block| block["text"].as_str()).collect();
            texts.join("\n")
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => content.to_string(),
    }
}

/// What `model_usage_since_last_result` (or, in its absence, `usage` and the total cost) says.
fn usage_of(message: &Value) -> Usage {
    let count = |object: &Value, key: &str| object[key].as_u64().unwrap_or(0);
    let Some(models) = message["model_usage_since_last_result"].as_object() else {
        let usage = &message["usage"];
        return Usage {
            cost_usd: message["total_cost_usd"].as_f64().unwrap_or(0.0),
            input_tokens: count(usage, "input_tokens"),
            output_tokens: count(usage, "output_tokens"),
            cache_read_tokens: count(usage, "cache_read_input_tokens"),
            cache_write_tokens: count(usage, "cache_creation_input_tokens"),
        };
    };
    let mut total = Usage::default();
    for model in models.values() {
        total.add(&Usage {
            cost_usd: model["costUSD"].as_f64().unwrap_or(0.0),
            input_tokens: count(model, "inputTokens"),
            output_tokens: count(model, "outputTokens"),
            cache_read_tokens: count(model, "cacheReadInputTokens"),
            cache_write_tokens: count(model, "cacheCreationInputTokens"),
        });
    }
    total
}

#[cfg(test)]
mod tests;
