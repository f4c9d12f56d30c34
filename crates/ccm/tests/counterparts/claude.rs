//! The real Claude Code, in the real sandbox, on a local repository, with a model that follows a script.

use std::path::Path;

use serde_json::{Value, json};
use testkit::model::{ScriptedModel, TokenCounts};

use super::process::{Service, claude_config, git, id, repository, until};
use super::script::{begin_and_hang, work, work_when_told};

async fn local(dir: &Path, model: &ScriptedModel, more: &str) -> Service {
    if !dir.join("app").exists() {
        repository(&dir.join("app")).await;
        std::fs::write(dir.join("ccm.toml"), claude_config(&model.url(), more)).unwrap();
    }
    Service::serve(dir, "", &["app"]).await
}

async fn delivered(dir: &Path, task: &Value) -> String {
    git(&dir.join("app"), &["show", &format!("{}:app.py", task["branch"].as_str().unwrap())]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_service_resumes_the_conversation_of_its_agent() {
    let model = ScriptedModel::with_script(begin_and_hang()).await;
    let dir = tempfile::tempdir().unwrap();
    let first = local(dir.path(), &model, "").await;
    let run = format!("{}-1", id(&first.approve().await));
    until("the agent to wait for the model", async || {
        model.messages().iter().any(|request| request.body.to_string().contains("the environment is"))
            && first.transcript().await.iter().any(|event| event["type"] == "tool_result")
    })
    .await;
    assert_ne!(first.agents_of(&run), 0);
    first.kill().await;
    let before = model.messages().len();
    model.set_script(work());

    let second = local(dir.path(), &model, "").await;
    let task = second.once("in_review").await;
    assert!(!delivered(dir.path(), &task).await.contains("TODO"));
    assert_eq!((task["runs"].as_u64(), task["run"].as_str()), (Some(1), Some(run.as_str())));
    let resumed = &model.messages()[before..];
    let resumed =
        resumed.iter().find(|request| request.body["tools"].as_array().is_some_and(|tools| !tools.is_empty()));
    let resumed = resumed.unwrap().body.to_string();
    assert!(resumed.contains("the environment is") && resumed.contains("You were interrupted"), "{resumed}");
    assert!(second.first_run().await["cost_usd"].as_f64().unwrap() > 0.0);
    assert_eq!(second.agents_of(&run), 0);
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_ends_when_its_budget_is_spent() {
    let model = ScriptedModel::with_script(work()).await;
    // At five dollars for a million tokens in and twenty-five for a million out, each answer costs 0.75 dollars.
    model.set_tokens(TokenCounts { input: 100_000, output: 10_000, ..TokenCounts::default() });
    let dir = tempfile::tempdir().unwrap();
    let service = local(dir.path(), &model, "model = \"claude-opus-4-8\"\nmax_cost_usd = 1.5").await;
    service.approve().await;
    let task = service.once("failed").await;
    assert_eq!(task["failure"], "The run's budget of $1.50 is spent. Give it more, then retry.");
    let run = service.first_run().await;
    assert_eq!((&run["outcome"], &run["cost_usd"]), (&json!("over_budget"), &json!(1.5)));
    assert_eq!(model.messages().len(), 2);
    assert_eq!(git(&dir.path().join("app"), &["branch", "--list", "ccm/*"]).await, "");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_reaches_the_agent_at_work() {
    let words = "please mind the gap";
    let model = ScriptedModel::with_script(work_when_told(words)).await;
    let dir = tempfile::tempdir().unwrap();
    let service = local(dir.path(), &model, "").await;
    let task = service.approve().await;
    until("the agent at work", async || model.messages().len() >= 3).await;
    service.post(&format!("tasks/{}/message", id(&task)), json!({ "text": words })).await;
    let task = service.once("in_review").await;
    assert!(!delivered(dir.path(), &task).await.contains("TODO"));
    let heard = |request: &testkit::model::Logged| request.body["messages"].to_string().contains(words);
    assert!(!heard(&model.messages()[0]) && model.messages().iter().any(heard));
    let said = json!({ "type": "person_message", "text": words });
    assert!(service.transcript().await.contains(&said));
    service.stop().await;
}
