//! Scripts: what the model answers, and the ready ones.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::Conversation;

/// Decides the answer to a request that offers tools.
pub type Script = Arc<dyn Fn(&Conversation) -> Turn + Send + Sync>;

/// One tool call of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolCall {
    /// The tool's name, such as `Bash`.
    pub name: String,
    /// Its arguments.
    pub input: Value,
}

impl ToolCall {
    /// A call of `name` with `input`.
    #[must_use]
    pub fn new(name: &str, input: Value) -> Self {
        Self { name: name.to_owned(), input }
    }
}

/// One answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Turn {
    /// A text, and the model's turn ends.
    Text(String),
    /// Tool calls; their results come with the next request.
    Tools(Vec<ToolCall>),
    /// An HTTP error with the API's envelope.
    Error {
        /// The HTTP status.
        status: u16,
        /// The envelope's `type`, such as `overloaded_error`.
        kind: &'static str,
        /// Seconds for the `retry-after` header.
        retry_after: Option<u32>,
    },
    /// No answer at all; the connection stays open.
    Hang,
    /// A stream that begins and breaks.
    CutStream,
    /// A stream that says this text and then falls silent, without ending.
    Stall(String),
    /// The other turn, with a pause before each event (before the whole answer when it is not streamed).
    Slow(Duration, Box<Turn>),
}

impl Turn {
    /// One tool call.
    #[must_use]
    pub fn tool(name: &str, input: Value) -> Self {
        Self::Tools(vec![ToolCall::new(name, input)])
    }

    /// A shell command.
    #[must_use]
    pub fn bash(command: &str) -> Self {
        Self::tool("Bash", json!({"command": command, "description": "Run a scripted command"}))
    }
}

/// Always says `answer`.
#[must_use]
pub fn text(answer: &str) -> Script {
    let answer = answer.to_owned();
    Arc::new(move |_| Turn::Text(answer.clone()))
}

/// Makes the file at `path` (relative to the working folder) hold `content`, whether it existed or not, and ends.
#[must_use]
pub fn edit_file(path: &str, content: &str) -> Script {
    let (path, content) = (path.to_owned(), content.to_owned());
    in_folder(path, move |file, turn| match turn {
        // Claude Code refuses to overwrite a file that it has not read; reading one that is missing does no harm.
        0 => Some(Turn::tool("Read", json!({"file_path": file}))),
        1 => Some(Turn::tool("Write", json!({"file_path": file, "content": content}))),
        _ => None,
    })
}

/// Replaces the only `old` by `new` in the file at `path` (relative to the working folder), and ends.
#[must_use]
pub fn replace(path: &str, old: &str, new: &str) -> Script {
    let (path, old, new) = (path.to_owned(), old.to_owned(), new.to_owned());
    in_folder(path, move |file, turn| match turn {
        0 => Some(Turn::tool("Read", json!({"file_path": file}))),
        1 => Some(Turn::tool("Edit", json!({"file_path": file, "old_string": old, "new_string": new}))),
        _ => None,
    })
}

fn in_folder(path: String, act: impl Fn(PathBuf, usize) -> Option<Turn> + Send + Sync + 'static) -> Script {
    Arc::new(move |conversation| {
        let Some(folder) = conversation.cwd() else {
            return Turn::Text(
                "The prompt names no working directory, so there is nothing that I can edit.".to_owned(),
            );
        };
        act(folder.join(&path), conversation.turn()).unwrap_or_else(|| Turn::Text(format!("I changed {path}.")))
    })
}

/// Always fails with `status`, under the error type that the API uses for it.
#[must_use]
pub fn errors(status: u16) -> Script {
    let kind = match status {
        400 => "invalid_request_error",
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        504 => "timeout_error",
        529 => "overloaded_error",
        _ => "api_error",
    };
    let retry_after = (status == 429).then_some(1);
    Arc::new(move |_| Turn::Error { status, kind, retry_after })
}

/// Never answers.
#[must_use]
pub fn hang() -> Script {
    Arc::new(|_| Turn::Hang)
}

/// One turn for each request in the order of arrival; the last one repeats. Without turns it says `Done.`.
#[must_use]
pub fn sequence(turns: Vec<Turn>) -> Script {
    let next = AtomicUsize::new(0);
    Arc::new(move |_| {
        let index = next.fetch_add(1, Ordering::Relaxed).min(turns.len().saturating_sub(1));
        turns.get(index).cloned().unwrap_or_else(|| Turn::Text("Done.".to_owned()))
    })
}
