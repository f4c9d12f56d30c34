//! The demo's agent: replays a recorded session in the protocol of Claude Code, and really makes its changes.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::sample::{Edit, RECORDINGS};
use crate::{DONE, output};

/// The pause between two steps, so that a person can watch.
const PACE: Duration = Duration::from_millis(400);

/// Reads the prompt, replays what was recorded for it, and ends when its input does.
///
/// # Errors
/// When the input is not the protocol, or a file cannot be changed.
pub async fn replay() -> Result<u8> {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let message: Value = serde_json::from_str(&line).context("the input is not JSON")?;
        match message["type"].as_str() {
            Some("control_request") => say(&json!({
                "type": "control_response",
                "response": { "subtype": "success", "request_id": message["request_id"], "response": {} },
            })),
            Some("user") => work(&message["message"]["content"].to_string()).await?,
            _ => {}
        }
    }
    Ok(DONE)
}

async fn work(prompt: &str) -> Result<()> {
    let session = "replay";
    say(&json!({ "type": "system", "subtype": "init", "session_id": session, "model": "recorded", "tools": ["Edit"] }));
    let recording = RECORDINGS.iter().find(|recording| prompt.contains(recording.about));
    let (summary, turns) = match recording {
        Some(recording) => {
            speak(&format!("(replayed) {}", recording.plan)).await;
            for (n, edit) in recording.edits.iter().enumerate() {
                change(n, edit).await?;
            }
            (recording.summary, recording.edits.len() + 1)
        }
        None => ("(replayed) Nothing was recorded for this task, so nothing is changed.", 1),
    };
    speak(summary).await;
    say(&json!({
        "type": "result", "subtype": "success", "is_error": false, "session_id": session, "num_turns": turns,
        "total_cost_usd": 0.0, "usage": { "input_tokens": 0, "output_tokens": 0 }, "permission_denials": [],
        "result": summary,
    }));
    Ok(())
}

async fn change(n: usize, edit: &Edit) -> Result<()> {
    let id = format!("edit-{n}");
    let input = json!({ "file_path": edit.path, "old_string": edit.old, "new_string": edit.new });
    assistant(&json!({ "type": "tool_use", "id": id, "name": "Edit", "input": input }));
    tokio::time::sleep(PACE).await;
    let text = tokio::fs::read_to_string(edit.path).await.with_context(|| format!("cannot read {}", edit.path))?;
    let found = text.contains(edit.old);
    if found {
        tokio::fs::write(edit.path, text.replacen(edit.old, edit.new, 1)).await?;
    }
    let answer = if found { "The file was changed." } else { "The text was not found." };
    say(&json!({
        "type": "user",
        "message": { "role": "user", "content": [
            { "type": "tool_result", "tool_use_id": id, "content": answer, "is_error": !found }
        ] },
    }));
    Ok(())
}

async fn speak(text: &str) {
    assistant(&json!({ "type": "text", "text": text }));
    tokio::time::sleep(PACE).await;
}

fn assistant(block: &Value) {
    say(&json!({ "type": "assistant", "message": { "role": "assistant", "content": [block] } }));
}

fn say(message: &Value) {
    output::line(&message.to_string());
}
