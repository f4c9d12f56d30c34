//! Answers as the Messages API writes them.

use axum::body::{Body, Bytes};
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use super::ToolCall;

/// Characters of text in one event of a stream.
const CHUNK: usize = 24;

/// The tokens that an answer says it used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenCounts {
    /// Input tokens that no cache knew.
    pub input: u64,
    /// Output tokens.
    pub output: u64,
    /// Input tokens read from the cache.
    pub cache_read: u64,
    /// Input tokens written to the cache (for five minutes).
    pub cache_write: u64,
}

impl Default for TokenCounts {
    fn default() -> Self {
        Self { input: 1_000, output: 100, cache_read: 0, cache_write: 0 }
    }
}

impl TokenCounts {
    fn json(self, output: u64) -> Value {
        json!({
            "input_tokens": self.input,
            "cache_creation_input_tokens": self.cache_write,
            "cache_read_input_tokens": self.cache_read,
            "cache_creation": {"ephemeral_5m_input_tokens": self.cache_write, "ephemeral_1h_input_tokens": 0},
            "output_tokens": output,
            "service_tier": "standard",
        })
    }
}

/// How a stream ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// With `message_stop`.
    Complete,
    /// With a broken connection in the middle of the text.
    Cut,
    /// Never.
    Silent,
}

/// What all parts of one answer share.
pub(super) struct Reply {
    /// The request's number, which makes ids unique and repeatable.
    pub(super) number: usize,
    pub(super) model: String,
    pub(super) tokens: TokenCounts,
    pub(super) stream: bool,
}

pub(super) fn text_block(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

impl Reply {
    pub(super) fn tool_blocks(&self, calls: &[ToolCall]) -> Vec<Value> {
        let block = |(index, call): (usize, &ToolCall)| {
            let id = format!("toolu_{:06}_{index}", self.number);
            json!({"type": "tool_use", "id": id, "name": call.name, "input": call.input})
        };
        calls.iter().enumerate().map(block).collect()
    }

    /// The answer as one JSON body.
    pub(super) fn whole(&self, blocks: &[Value]) -> Value {
        let mut message = self.message(self.tokens.output);
        message["content"] = blocks.into();
        message["stop_reason"] = stop_reason(blocks).into();
        message
    }

    fn message(&self, output: u64) -> Value {
        json!({
            "id": format!("msg_{:06}", self.number), "type": "message", "role": "assistant", "model": self.model,
            "content": [], "stop_reason": null, "stop_sequence": null, "usage": self.tokens.json(output),
        })
    }

    /// The answer as server-sent events.
    pub(super) fn events(&self, blocks: &[Value], ending: Ending) -> Vec<Bytes> {
        let mut events = vec![json!({"type": "message_start", "message": self.message(1)}), json!({"type": "ping"})];
        for (index, block) in blocks.iter().enumerate() {
            events.extend(block_events(index, block));
        }
        if ending != Ending::Complete {
            events.pop(); // the last block stays open
        } else {
            let delta = json!({"stop_reason": stop_reason(blocks), "stop_sequence": null});
            events
                .push(json!({"type": "message_delta", "delta": delta, "usage": {"output_tokens": self.tokens.output}}));
            events.push(json!({"type": "message_stop"}));
        }
        events.iter().map(event_bytes).collect()
    }
}

fn stop_reason(blocks: &[Value]) -> &'static str {
    if blocks.iter().any(|block| block["type"] == "tool_use") { "tool_use" } else { "end_turn" }
}

fn block_events(index: usize, block: &Value) -> Vec<Value> {
    let mut start = block.clone();
    let (whole, kind, field) = if block["type"] == "text" {
        start["text"] = "".into();
        (block["text"].as_str().unwrap_or_default().to_owned(), "text_delta", "text")
    } else {
        start["input"] = json!({});
        (block["input"].to_string(), "input_json_delta", "partial_json")
    };
    let letters: Vec<char> = whole.chars().collect();
    let mut events = vec![json!({"type": "content_block_start", "index": index, "content_block": start})];
    for piece in letters.chunks(CHUNK) {
        let delta = json!({"type": kind, field: piece.iter().collect::<String>()});
        events.push(json!({"type": "content_block_delta", "index": index, "delta": delta}));
    }
    events.push(json!({"type": "content_block_stop", "index": index}));
    events
}

fn event_bytes(event: &Value) -> Bytes {
    format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap_or_default()).into()
}

pub(super) fn model_list() -> Value {
    let model = |id: &str, name: &str| json!({"type": "model", "id": id, "display_name": name, "created_at": "2026-01-01T00:00:00Z"});
    let data = [model("claude-opus-4-8", "Claude Opus 4.8"), model("claude-haiku-4-5", "Claude Haiku 4.5")];
    json!({"data": data, "has_more": false, "first_id": "claude-opus-4-8", "last_id": "claude-haiku-4-5"})
}

pub(super) fn json(status: u16, body: &Value) -> Response {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = StatusCode::from_u16(status).expect("scripts use real HTTP statuses");
    content_type(response, "application/json")
}

pub(super) fn content_type(mut response: Response, kind: &'static str) -> Response {
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// The API's error envelope.
pub(super) fn error(status: u16, kind: &str, message: &str, retry_after: Option<u32>) -> Response {
    let mut response = json(status, &json!({"type": "error", "error": {"type": kind, "message": message}}));
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}
