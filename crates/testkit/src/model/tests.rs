use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Conversation, ScriptedModel, TokenCounts, Turn, edit_file, errors, hang, replace, sequence, text};

fn request(messages: &Value) -> Value {
    json!({
        "model": "claude-opus-4-8", "max_tokens": 1000, "messages": messages,
        "system": [{"type": "text", "text": "Be brief."}, {"type": "text", "text": " - Primary working directory: /src/app\n"}],
        "tools": [{"name": "Read"}, {"name": "Write"}],
    })
}

fn result(text: &str) -> Value {
    json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": text}]})
}

fn calls() -> Value {
    json!({"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "Read", "input": {}}]})
}

/// Sends one request on its own connection and returns status line, headers and body, as far as they came.
async fn post(model: &ScriptedModel, path: &str, body: &Value) -> String {
    let host = model.url().replace("http://", "");
    let mut stream = TcpStream::connect(&host).await.unwrap();
    let body = body.to_string();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: {host}\r\nx-api-key: k\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _until_cut = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

#[test]
fn a_conversation_knows_its_turn_folder_and_last_words() {
    let aside = json!({"type": "text", "text": "<system-reminder>the date</system-reminder>\n"});
    let said = json!({"role": "user", "content": [aside, {"type": "text", "text": "Fix it"}, aside]});
    let reminder = json!({"role": "user", "content": "<system-reminder>be kind</system-reminder>"});
    let two = json!([said, calls(), result("one"), calls(), result("two"), reminder]);
    let again = json!([said, calls(), result("one"), {"role": "assistant", "content": "ok"}, said]);
    for (messages, turn, last) in [(json!([said]), 0, None), (two, 2, Some("two")), (again, 0, Some("one"))] {
        let conversation = Conversation::parse(request(&messages)).unwrap();
        assert_eq!(conversation.turn(), turn, "{messages}");
        assert_eq!(conversation.last_tool_result().as_deref(), last);
        assert_eq!(conversation.last_user_text(), "Fix it");
        assert_eq!(conversation.cwd().unwrap().to_str(), Some("/src/app"));
        assert_eq!(conversation.tools, ["Read", "Write"]);
    }
    assert_eq!(Conversation::parse(json!({"model": "m"})).unwrap_err(), "max_tokens");
}

#[test]
fn ready_scripts_read_before_they_change_and_then_stop() {
    let said = json!({"role": "user", "content": "Fix it"});
    let rounds =
        [json!([said]), json!([said, calls(), result("x")]), json!([said, calls(), result("x"), calls(), result("y")])];
    let ask = |script: &super::Script| {
        rounds.iter().map(|round| script(&Conversation::parse(request(round)).unwrap())).collect::<Vec<_>>()
    };
    let file = "/src/app/a/b.txt";
    let read = Turn::tool("Read", json!({"file_path": file}));
    let done = Turn::Text("I changed a/b.txt.".to_owned());
    let write = Turn::tool("Write", json!({"file_path": file, "content": "new"}));
    assert_eq!(ask(&edit_file("a/b.txt", "new")), [read.clone(), write, done.clone()]);
    let edit = Turn::tool("Edit", json!({"file_path": file, "old_string": "o", "new_string": "n"}));
    assert_eq!(ask(&replace("a/b.txt", "o", "n")), [read, edit, done]);
    let (one, two) = (Turn::Text("1".to_owned()), Turn::bash("ls"));
    assert_eq!(ask(&sequence(vec![one.clone(), two.clone()])), [one, two.clone(), two]);
}

#[tokio::test]
async fn a_whole_answer_and_a_stream_carry_the_same_text_and_usage() {
    let model = ScriptedModel::with_script(text("Hello, this is a text of more than one piece.")).await;
    model.set_tokens(TokenCounts { input: 7, output: 5, cache_read: 3, cache_write: 2 });
    let mut body = request(&json!([{"role": "user", "content": "hi"}]));
    let whole = post(&model, "/v1/messages?beta=true", &body).await;
    let whole: Value = serde_json::from_str(whole.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!(whole["content"][0]["text"], "Hello, this is a text of more than one piece.");
    assert_eq!((&whole["usage"]["output_tokens"], &whole["stop_reason"]), (&json!(5), &json!("end_turn")));

    body["stream"] = true.into();
    let stream = post(&model, "/v1/messages", &body).await;
    let events = stream.lines().filter_map(|line| line.strip_prefix("data: "));
    let events: Vec<Value> = events.map(|data| serde_json::from_str(data).unwrap()).collect();
    let text: String = events.iter().filter_map(|event| event["delta"]["text"].as_str()).collect();
    assert_eq!(text, "Hello, this is a text of more than one piece.");
    assert_eq!(events[0]["message"]["usage"]["cache_read_input_tokens"], 3);
    assert_eq!(events[events.len() - 2]["usage"]["output_tokens"], 5);
    assert_eq!(model.messages().len(), 2);
    assert_eq!(model.requests()[0].header("x-api-key"), Some("k"));
}

#[tokio::test]
async fn names_select_scripts_and_calls_without_tools_get_a_short_text() {
    let model = ScriptedModel::with_script(errors(429)).await;
    model.register("kind", text("Yes."));
    let mut body = request(&json!([{"role": "user", "content": "hi"}]));
    assert!(post(&model, "/m/kind/v1/messages", &body).await.contains("Yes."));
    assert!(post(&model, "/m/other/v1/messages", &body).await.starts_with("HTTP/1.1 404"));
    let limited = post(&model, "/v1/messages", &body).await;
    assert!(limited.starts_with("HTTP/1.1 429") && limited.contains("retry-after: 1"), "{limited}");
    assert!(post(&model, "/v1/messages/count_tokens", &body).await.contains(r#"{"input_tokens":1000}"#));
    body["tools"] = json!([]);
    assert!(post(&model, "/v1/messages", &body).await.contains("A small change"));
    model.require_key("another");
    assert!(post(&model, "/v1/messages", &body).await.starts_with("HTTP/1.1 401"));
}

#[tokio::test]
async fn streams_break_and_requests_hang_when_the_script_says_so() {
    let model = ScriptedModel::with_script(sequence(vec![Turn::CutStream])).await;
    model.register("hang", hang());
    let mut body = request(&json!([{"role": "user", "content": "hi"}]));
    body["stream"] = true.into();
    let cut = post(&model, "/v1/messages", &body).await;
    assert!(cut.contains("content_block_delta") && !cut.contains("message_stop"), "{cut}");
    let hung = tokio::time::timeout(Duration::from_millis(100), post(&model, "/m/hang/v1/messages", &body)).await;
    assert!(hung.is_err());
    model.wait_for_requests(2).await;
}
