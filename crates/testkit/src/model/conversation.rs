//! What a request to the Messages API says, in the terms that scripts decide by.

use std::path::PathBuf;

use serde_json::Value;

/// One parsed request.
#[derive(Debug, Clone)]
pub struct Conversation {
    /// The model's name.
    pub model: String,
    /// The system prompt, its blocks joined by newlines.
    pub system: String,
    /// The messages as they arrived.
    pub messages: Vec<Value>,
    /// The names of the offered tools.
    pub tools: Vec<String>,
    /// Whether a stream of events was asked for.
    pub stream: bool,
    /// The most tokens that the answer may have.
    pub max_tokens: u64,
}

impl Conversation {
    /// Reads a request body.
    ///
    /// # Errors
    /// The name of the first required field that is missing.
    pub fn parse(body: Value) -> Result<Self, &'static str> {
        let model = body["model"].as_str().ok_or("model")?.to_owned();
        let max_tokens = body["max_tokens"].as_u64().ok_or("max_tokens")?;
        let messages = body["messages"].as_array().ok_or("messages")?.clone();
        let tools = body["tools"].as_array().map(Vec::as_slice).unwrap_or_default();
        let tools = tools.iter().filter_map(|tool| tool["name"].as_str().map(str::to_owned)).collect();
        let stream = body["stream"].as_bool().unwrap_or(false);
        Ok(Self { model, system: text_of(&body["system"]), messages, tools, stream, max_tokens })
    }

    /// How many rounds of tool results followed the last plain user message: 0 when the user just spoke.
    #[must_use]
    pub fn turn(&self) -> usize {
        let after = self.last_plain_user().map_or(0, |index| index + 1);
        self.messages[after..].iter().filter(|message| has_block(message, "tool_result")).count()
    }

    /// What the user said last, in words, without the reminders that the program puts beside them.
    #[must_use]
    pub fn last_user_text(&self) -> String {
        self.last_plain_user().map_or(String::new(), |index| said(&self.messages[index]["content"]))
    }

    /// The text of the latest tool result.
    #[must_use]
    pub fn last_tool_result(&self) -> Option<String> {
        let results = self.messages.iter().rev().filter_map(|message| message["content"].as_array());
        let latest = results.flat_map(|blocks| blocks.iter().rev()).find(|block| block["type"] == "tool_result")?;
        Some(text_of(&latest["content"]))
    }

    /// The agent's working folder, as its prompt names it.
    #[must_use]
    pub fn cwd(&self) -> Option<PathBuf> {
        let said = self.messages.iter().map(|message| text_of(&message["content"]));
        std::iter::once(self.system.clone()).chain(said).find_map(|text| folder_named_in(&text))
    }

    fn last_plain_user(&self) -> Option<usize> {
        self.messages.iter().rposition(|message| {
            message["role"] == "user" && !has_block(message, "tool_result") && !said(&message["content"]).is_empty()
        })
    }
}

/// The user's own words; what the program itself puts in between is not.
fn said(content: &Value) -> String {
    let is_reminder = |text: &str| {
        let text = text.trim();
        text.starts_with("<system-reminder>") && text.ends_with("</system-reminder>")
    };
    match content {
        Value::String(text) if !is_reminder(text) => text.clone(),
        Value::Array(blocks) => {
            let texts = blocks.iter().filter_map(|block| block["text"].as_str());
            texts.filter(|text| !is_reminder(text)).collect::<Vec<_>>().join("\n")
        }
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => String::new(),
    }
}

fn has_block(message: &Value, kind: &str) -> bool {
    message["content"].as_array().is_some_and(|blocks| blocks.iter().any(|block| block["type"] == kind))
}

fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(blocks) => {
            let texts: Vec<&str> = blocks.iter().filter_map(|block| block["text"].as_str()).collect();
            texts.join("\n")
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => String::new(),
    }
}

fn folder_named_in(text: &str) -> Option<PathBuf> {
    text.lines().find_map(|line| {
        let (label, folder) = line.split_once(": ")?;
        let label = label.to_ascii_lowercase();
        let folder = folder.trim().trim_matches('`');
        (label.ends_with("working directory") && folder.starts_with('/')).then(|| PathBuf::from(folder))
    })
}
