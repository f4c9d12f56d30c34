//! What a session leaves behind: one bounded record for each thing an agent said or did.
//!
//! Every text is cut at [`TEXT_LIMIT`] with a note of how much is missing, so that no agent can fill the database.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The longest text of one record, in bytes, without the note that something was left out.
pub const TEXT_LIMIT: usize = 16 * 1024;

/// The longest text inside a tool's input once the whole input is over [`TEXT_LIMIT`].
const INPUT_TEXT_LIMIT: usize = 2 * 1024;

/// One thing that happened in a session, as the transcript stores it and the dashboard shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum AgentEvent {
    /// The agent named its conversation; needed for resuming.
    Session {
        /// The agent's own id of the conversation.
        id: String,
        /// The model it uses, where it says so.
        model: Option<String>,
    },
    /// The agent spoke, or a plain command wrote a line.
    Text {
        /// What it said.
        text: String,
    },
    /// The agent thought aloud.
    Thinking {
        /// What it thought.
        text: String,
    },
    /// The agent called a tool.
    ToolUse {
        /// The call, as its result refers to it.
        id: String,
        /// The tool.
        name: String,
        /// The tool's input, with long texts cut.
        input: Value,
    },
    /// A tool answered.
    ToolResult {
        /// The call that it answers.
        id: String,
        /// The answer.
        text: String,
        /// Whether the tool failed.
        is_error: bool,
    },
    /// What the session has used since the last such record.
    Usage(Usage),
    /// A model call failed and the agent will try again.
    Retry {
        /// Which attempt failed, from 1.
        attempt: u32,
        /// How many attempts there are.
        of: u32,
        /// HTTP status, where there was one.
        status: Option<u16>,
        /// What went wrong.
        error: String,
        /// How long the agent waits, in milliseconds.
        delay_ms: u64,
    },
    /// The agent asked whether it may use a tool, and was answered.
    PermissionAsked {
        /// The tool.
        tool: String,
        /// Whether it may.
        allowed: bool,
        /// Why not.
        reason: Option<String>,
    },
    /// A person spoke to the running agent.
    PersonMessage {
        /// What they said.
        text: String,
    },
    /// Something that the supervision has to say about the session.
    Notice {
        /// A finished sentence.
        text: String,
    },
    /// A line of the agent's error output.
    Stderr {
        /// The line.
        text: String,
    },
    /// The agent's own word on how a turn ended.
    Result {
        /// Whether it calls the turn a success.
        succeeded: bool,
        /// The agent's own word for the reason.
        reason: String,
        /// Its closing words.
        text: String,
        /// Model turns used.
        turns: u32,
    },
    /// A line that this version does not know; kept as it came.
    Raw {
        /// The line.
        line: String,
    },
}

/// What a session used. The gateway's meter is the truth for money; this is what the agent itself says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Price in US dollars, by the agent's own list.
    pub cost_usd: f64,
    /// Tokens read, without cached ones.
    pub input_tokens: u64,
    /// Tokens written.
    pub output_tokens: u64,
    /// Tokens read from the provider's cache.
    pub cache_read_tokens: u64,
    /// Tokens written to the provider's cache.
    pub cache_write_tokens: u64,
}

impl Usage {
    /// Adds what `more` used.
    pub fn add(&mut self, more: &Self) {
        self.cost_usd += more.cost_usd;
        self.input_tokens = self.input_tokens.saturating_add(more.input_tokens);
        self.output_tokens = self.output_tokens.saturating_add(more.output_tokens);
        self.cache_read_tokens = self.cache_read_tokens.saturating_add(more.cache_read_tokens);
        self.cache_write_tokens = self.cache_write_tokens.saturating_add(more.cache_write_tokens);
    }
}

/// `text`, cut at [`TEXT_LIMIT`] with a note of what is missing.
#[must_use]
pub fn bounded(text: &str) -> String {
    cut(text, TEXT_LIMIT)
}

fn cut(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(limit);
    format!("{} … {} bytes left out", &text[..end], text.len() - end)
}

/// A tool's input with its long texts cut; replaced by its size when even that is over [`TEXT_LIMIT`].
#[must_use]
pub fn bounded_input(input: &Value) -> Value {
    let size = input.to_string().len();
    if size <= TEXT_LIMIT {
        return input.clone();
    }
    let smaller = cut_texts(input);
    if smaller.to_string().len() <= TEXT_LIMIT { smaller } else { serde_json::json!({ "bytes_left_out": size }) }
}

fn cut_texts(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(cut(text, INPUT_TEXT_LIMIT)),
        Value::Array(items) => Value::Array(items.iter().map(cut_texts).collect()),
        Value::Object(fields) => Value::Object(fields.iter().map(|(k, v)| (k.clone(), cut_texts(v))).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn long_texts_are_cut_between_characters_and_say_so() {
        assert_eq!(bounded("short"), "short");
        let long = "é".repeat(TEXT_LIMIT);
        let text = bounded(&long);
        assert!(text.len() < TEXT_LIMIT + 40, "{}", text.len());
        assert!(text.ends_with(&format!(" … {TEXT_LIMIT} bytes left out")), "{}", &text[text.len() - 40..]);
    }

    #[test]
    fn a_tools_input_keeps_its_shape_until_even_that_is_too_much() {
        let one_long = json!({"file_path": "a.txt", "content": "x".repeat(100_000)});
        let kept = bounded_input(&one_long);
        assert_eq!(kept["file_path"], "a.txt");
        assert!(kept.to_string().len() <= TEXT_LIMIT);
        let many: Vec<Value> = (0..100_000).map(Value::from).collect();
        assert!(bounded_input(&Value::Array(many))["bytes_left_out"].as_u64().is_some_and(|n| n > 500_000));
    }

    #[test]
    fn records_are_tagged_so_that_a_stored_transcript_reads_back() {
        let event = AgentEvent::Usage(Usage { cost_usd: 0.5, input_tokens: 3, ..Usage::default() });
        let stored = serde_json::to_string(&event).unwrap();
        assert!(stored.starts_with(r#"{"type":"usage","cost_usd":0.5"#), "{stored}");
        assert_eq!(serde_json::from_str::<AgentEvent>(&stored).unwrap(), event);
    }
}
