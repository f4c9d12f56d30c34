//! What an agent asks for, and whether it may.
//!
//! **Definition.** A [`Route`] is one of the few calls that exist here; a [`Question`] is the part of a request's body
//! that decides about price and permission.
//!
//! **Wanted properties.** Nothing passes that is not named here. A question makes the API itself reach out into the
//! network (MCP connectors, web and code tools, pictures by URL) only if the configuration says so: a model API that
//! fetches what the agent names would be a second way out of the sandbox.

use http::Method;
use serde::Deserialize;
use serde_json::Value;

use crate::price::Tokens;

/// The calls that pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    /// `POST /v1/messages`: costs money.
    Messages,
    /// `POST /v1/messages/count_tokens`: free, with the same body.
    CountTokens,
    /// `GET /v1/models`: free, without a body.
    Models,
}

impl Route {
    pub(crate) fn of(method: &Method, path: &str) -> Option<Self> {
        match (method.as_str(), path) {
            ("POST", "/v1/messages") => Some(Self::Messages),
            ("POST", "/v1/messages/count_tokens") => Some(Self::CountTokens),
            ("GET", "/v1/models") => Some(Self::Models),
            _ => None,
        }
    }
}

/// Output that is reserved for a stream: most answers are shorter, and a stream can be cut when it is not.
const RESERVED_STREAM_OUTPUT: u64 = 16_000;
const BYTES_PER_TOKEN: u64 = 4;

/// Kinds of tools that the agent itself carries out, or that stay inside the API without reaching out.
const HARMLESS_TOOLS: [&str; 6] = ["custom", "bash_", "text_editor_", "computer_", "memory_", "tool_search_tool_"];

/// The deciding part of a body.
#[derive(Deserialize)]
pub(crate) struct Question {
    pub(crate) model: String,
    #[serde(default)]
    max_tokens: u64,
    stream: Option<bool>,
    speed: Option<String>,
    tools: Option<Vec<Tool>>,
    mcp_servers: Option<Value>,
    container: Option<Value>,
    #[serde(default)]
    messages: Value,
    #[serde(default)]
    system: Value,
}

#[derive(Deserialize)]
struct Tool {
    #[serde(rename = "type")]
    kind: Option<String>,
}

impl Question {
    /// Whether the answer is to be a stream.
    pub(crate) fn streams(&self) -> bool {
        self.stream.unwrap_or(false)
    }

    /// Whether the dearer fast mode is asked for.
    pub(crate) fn is_fast(&self) -> bool {
        self.speed.as_deref().is_some_and(|speed| speed != "standard")
    }

    /// What is reserved before the question is passed on.
    pub(crate) fn estimate(&self, body_bytes: usize) -> Tokens {
        let most = if self.streams() { self.max_tokens.min(RESERVED_STREAM_OUTPUT) } else { self.max_tokens };
        Tokens { output: most, ..self.input_estimate(body_bytes) }
    }

    /// What is charged when no answer tells the usage.
    pub(crate) fn fallback(&self, body_bytes: usize) -> Tokens {
        let input = self.input_estimate(body_bytes);
        if self.streams() { input } else { Tokens { output: self.max_tokens, ..input } }
    }

    fn input_estimate(&self, body_bytes: usize) -> Tokens {
        Tokens { input: (body_bytes as u64).div_ceil(BYTES_PER_TOKEN), ..Tokens::default() }
    }

    /// What in this question would make the API itself reach out, in words.
    pub(crate) fn reaches_out(&self) -> Option<&'static str> {
        let is_harmless = |kind: &str| HARMLESS_TOOLS.iter().any(|harmless| kind.starts_with(harmless));
        let is_given = |value: &Option<Value>| value.as_ref().is_some_and(|value| *value != Value::Array(Vec::new()));
        let mut kinds = self.tools.iter().flatten().filter_map(|tool| tool.kind.as_deref());
        if is_given(&self.mcp_servers) {
            Some("an MCP connector")
        } else if is_given(&self.container) {
            Some("a container")
        } else if kinds.any(|kind| !is_harmless(kind)) {
            Some("a tool that runs on the API's side")
        } else if names_a_url(&self.messages) || names_a_url(&self.system) {
            Some("a document or picture by URL")
        } else {
            None
        }
    }
}

/// Whether a content block has a source that is to be fetched. Arguments of tool calls are data, not content.
fn names_a_url(content: &Value) -> bool {
    match content {
        Value::Array(items) => items.iter().any(names_a_url),
        Value::Object(fields) => {
            fields.get("source").is_some_and(|source| source["type"] == "url")
                || fields.iter().any(|(name, value)| name != "input" && names_a_url(value))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// Whether `model` is one of `allowed`; a name that ends with `*` allows all that begin like it.
pub(crate) fn is_allowed(model: &str, allowed: &[String]) -> bool {
    allowed.iter().any(|name| match name.strip_suffix('*') {
        Some(start) => model.starts_with(start),
        None => model == name,
    })
}

#[cfg(test)]
mod tests {
    use http::Method;
    use serde_json::{Value, json};

    use super::{Question, Route, is_allowed};

    fn question(extra: Value) -> Question {
        let mut body = json!({"model": "m", "max_tokens": 50_000, "messages": []});
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        serde_json::from_value(body).unwrap()
    }

    #[test]
    fn only_three_calls_exist() {
        let cases = [
            (Method::POST, "/v1/messages", Some(Route::Messages)),
            (Method::POST, "/v1/messages/count_tokens", Some(Route::CountTokens)),
            (Method::GET, "/v1/models", Some(Route::Models)),
            (Method::GET, "/v1/messages", None),
            (Method::POST, "/v1/messages/", None),
            (Method::POST, "/v1/messages/batches", None),
            (Method::POST, "/v1/messages/../files", None),
            (Method::POST, "//v1/messages", None),
            (Method::POST, "/v1/files", None),
            (Method::CONNECT, "/v1/messages", None),
        ];
        for (method, path, route) in cases {
            assert_eq!(Route::of(&method, path), route, "{method} {path}");
        }
    }

    #[test]
    fn questions_that_reach_out_are_seen() {
        let picture = |source: Value| json!([{"role": "user", "content": [{"type": "image", "source": source}]}]);
        let by_url = json!({"type": "url", "url": "http://x/"});
        let result = json!({"role": "user", "content": [{"type": "tool_result", "content": picture(by_url.clone())}]});
        let call = json!([{"role": "assistant", "content": [{"type": "tool_use", "input": {"source": by_url}}]}]);
        let cases = [
            (json!({}), None),
            (json!({"tools": [{"name": "Bash"}, {"type": "custom"}, {"type": "bash_20250124"}]}), None),
            (json!({"mcp_servers": [], "container": null}), None),
            (json!({"messages": picture(json!({"type": "base64", "data": ""}))}), None),
            (json!({"messages": call}), None),
            (json!({"messages": picture(by_url)}), Some("a document or picture by URL")),
            (json!({"messages": [result]}), Some("a document or picture by URL")),
            (json!({"tools": [{"type": "web_fetch_20250910"}]}), Some("a tool that runs on the API's side")),
            (json!({"tools": [{"type": "brand_new_1"}]}), Some("a tool that runs on the API's side")),
            (json!({"mcp_servers": [{"url": "http://x"}]}), Some("an MCP connector")),
            (json!({"container": {"skills": []}}), Some("a container")),
        ];
        for (extra, expected) in cases {
            assert_eq!(question(extra.clone()).reaches_out(), expected, "{extra}");
        }
    }

    #[test]
    fn a_field_given_twice_is_no_question() {
        let twice = r#"{"model": "cheap", "max_tokens": 1, "messages": [], "model": "dear"}"#;
        assert!(serde_json::from_str::<Question>(twice).is_err());
        let escaped = r#"{"model": "cheap", "max_tokens": 1, "messages": [], "mod\u0065l": "dear"}"#;
        assert!(serde_json::from_str::<Question>(escaped).is_err());
    }

    #[test]
    fn estimates_follow_size_and_longest_answer() {
        let (stream, whole) = (question(json!({"stream": true})), question(json!({})));
        assert_eq!((stream.estimate(4_001).input, stream.estimate(0).output), (1_001, 16_000));
        assert_eq!((whole.estimate(0).output, whole.fallback(0).output), (50_000, 50_000));
        assert_eq!((stream.fallback(4_000).input, stream.fallback(0).output), (1_000, 0));
        assert!(question(json!({"speed": "fast"})).is_fast() && !question(json!({"speed": "standard"})).is_fast());
    }

    #[test]
    fn models_are_allowed_by_name_or_beginning() {
        let allowed = ["claude-haiku-*".to_owned(), "claude-opus-4-8".to_owned()];
        for (model, expected) in [("claude-haiku-4-5", true), ("claude-opus-4-8", true), ("claude-opus-4-80", false)] {
            assert_eq!(is_allowed(model, &allowed), expected, "{model}");
        }
        assert!(!is_allowed("claude-opus-4-8", &[]));
    }
}
