//! What the scripted model does in these tests: decided by what the conversation already holds, so that it can be
//! interrupted anywhere.

use std::sync::Arc;

use serde_json::{Value, json};
use testkit::model::{Conversation, Logged, Script, Turn};

/// The line of the sample that asks for work.
const TODO: &str = "    # TODO: greet the world when there is no name\n";

/// Looks at the environment, reads the file, takes the TODO out, and ends.
pub fn work() -> Script {
    Arc::new(|conversation| next(conversation).unwrap_or_else(|| Turn::Text("The TODO is done.".to_owned())))
}

/// One command, then silence for good.
pub fn begin_and_hang() -> Script {
    Arc::new(|conversation| if used(conversation, "Bash") { Turn::Hang } else { environment() })
}

/// Waits, in short commands, until somebody says `words`; then does the work.
pub fn work_when_told(words: &str) -> Script {
    let words = words.to_owned();
    Arc::new(move |conversation| {
        let told = Value::from(conversation.messages.clone()).to_string().contains(&words);
        match next(conversation) {
            Some(Turn::Tools(calls)) if told || calls[0].name == "Bash" => Turn::Tools(calls),
            Some(_) if !told && conversation.messages.len() < 200 => Turn::bash("sleep 0.2"),
            _ => Turn::Text("The TODO is done.".to_owned()),
        }
    })
}

fn next(conversation: &Conversation) -> Option<Turn> {
    let file = conversation.cwd()?.join("app.py");
    if !used(conversation, "Bash") {
        return Some(environment());
    }
    if !used(conversation, "Read") {
        return Some(Turn::tool("Read", json!({ "file_path": file })));
    }
    let edit = json!({ "file_path": file, "old_string": TODO, "new_string": "" });
    (!used(conversation, "Edit")).then(|| Turn::tool("Edit", edit))
}

fn environment() -> Turn {
    Turn::bash("echo the environment is; env | sort")
}

fn used(conversation: &Conversation, tool: &str) -> bool {
    let blocks = conversation.messages.iter().filter_map(|message| message["content"].as_array()).flatten();
    blocks.into_iter().any(|block| block["type"] == "tool_use" && block["name"] == tool)
}

/// Checks that no secret of the service was in sight of the agent, and that the gateway added the real key.
pub fn assert_secrets_stay_outside(requests: &[Logged], secrets: &[&str]) {
    let said: String = requests.iter().map(|request| request.body.to_string()).collect();
    assert!(said.contains("\\nANTHROPIC_API_KEY=dummy\\n"), "the agent never looked at its environment");
    for secret in secrets {
        assert!(!said.contains(secret), "the agent saw {secret}");
    }
    assert!(!said.contains("GITHUB_TOKEN"));
    for request in requests {
        assert_eq!(request.header("x-api-key"), Some(super::process::MODEL_KEY));
        assert_eq!(request.header("authorization"), None);
    }
}
