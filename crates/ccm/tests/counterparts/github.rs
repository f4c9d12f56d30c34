//! The line on ground that is not ours: a GitHub emulator under GitHub's own description, git over HTTP, the real
//! Claude Code in the real sandbox.

use backlog::time::Clock as _;
use serde_json::{Value, json};
use testkit::emulator::{Emulator, Role, token_of};
use testkit::model::ScriptedModel;

use super::process::{FILES, MODEL_KEY, RealClock, Service, claude_config, id, until};
use super::script::{assert_secrets_stay_outside, work};

const PEOPLE: [(&str, Role); 3] =
    [("ccm-user", Role::Owner), ("maintainer", Role::Writer), ("outsider", Role::Outsider)];

#[tokio::test(flavor = "multi_thread")]
async fn a_todo_becomes_a_merged_pull_request_by_the_real_claude_code() {
    let model = ScriptedModel::with_script(work()).await;
    model.require_key(MODEL_KEY);
    let hub = Emulator::start("acme/app", &PEOPLE).await.unwrap();
    hub.commit("Begin", RealClock.now(), &FILES).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let github = format!(
        "[github]\napi_url = \"{}\"\ngit_url = \"{}\"\nrepositories = [\"acme/app\"]\n",
        hub.judge().url(),
        hub.git_url()
    );
    std::fs::write(dir.path().join("ccm.toml"), claude_config(&model.url(), &github)).unwrap();
    let service = Service::serve(dir.path(), &token_of("ccm-user"), &[]).await;

    let issue = proposal(&hub).await;
    assert!(issue["body"].as_str().unwrap().contains("greet the world when there is no name"), "{issue}");
    say(&hub, "outsider", "issues/1/comments", json!({ "body": "/ccm approve" })).await;
    until("the refusal", async || service.timeline().await.contains("outsider has no write access")).await;
    assert_eq!(service.once("proposed").await["runs"], 0);

    say(&hub, "maintainer", "issues/1/labels", json!({ "labels": ["approved-for-dev"] })).await;
    let task = service.once("in_review").await;
    let pull = hub.read("maintainer", "pulls/2").await.unwrap();
    let branch = pull["head"]["ref"].as_str().unwrap();
    assert!(pull["body"].as_str().unwrap().contains("Closes #1."), "{pull}");
    assert_eq!(Some(&pull["head"]["sha"]), hub.branches().get(branch).map(|tip| json!(tip)).as_ref());
    assert_eq!(hub.file_at(branch, "app.py").await.unwrap(), "def greet(name):\n    return 'Hello ' + name\n");
    assert_secrets_stay_outside(&model.messages(), &[MODEL_KEY, &token_of("ccm-user")]);
    let run = service.first_run().await;
    assert!(run["cost_usd"].as_f64().unwrap() > 0.0, "{run}");
    let used: Vec<Value> = service.transcript().await;
    let used: Vec<&str> =
        used.iter().filter(|event| event["type"] == "tool_use").filter_map(|event| event["name"].as_str()).collect();
    assert_eq!(used, ["Bash", "Read", "Edit"]);

    say(&hub, "maintainer", "pulls/2/reviews", json!({ "event": "APPROVE", "body": "" })).await;
    let merge = json!({ "sha": pull["head"]["sha"], "merge_method": "merge" });
    hub.as_person("maintainer", "PUT", "/repos/acme/app/pulls/2/merge", &merge).await.unwrap();
    service.once("done").await;
    until("the issue to be closed", async || hub.read("maintainer", "issues/1").await.unwrap()["state"] == "closed")
        .await;
    assert_eq!(hub.read("maintainer", "issues/1").await.unwrap()["state_reason"], "completed");
    assert!(!hub.file_at("main", "app.py").await.unwrap().contains("TODO"));
    assert_eq!(service.agents_of(&format!("{}-1", id(&task))), 0);
    service.stop().await;
    assert_eq!(hub.judge().wrong_requests(), Vec::<String>::new());
    the_judge_is_awake(&hub).await;
    hub.end().await.unwrap();
}

async fn proposal(hub: &Emulator) -> Value {
    let mut found = Value::Null;
    until("the proposal", async || {
        let issues = hub.read("maintainer", "issues?labels=task-proposal").await.unwrap();
        found = issues[0].clone();
        !found.is_null()
    })
    .await;
    found
}

async fn say(hub: &Emulator, login: &str, path: &str, body: Value) {
    hub.as_person(login, "POST", &format!("/repos/acme/app/{path}"), &body).await.unwrap();
}

/// That nobody complained means something only when somebody would have.
async fn the_judge_is_awake(hub: &Emulator) {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let wrong = http.post(format!("{}/repos/acme/app/pulls", hub.judge().url())).json(&json!({ "base": "main" }));
    wrong.bearer_auth(token_of("ccm-user")).send().await.unwrap();
    let said = hub.judge().wrong_requests();
    assert_ne!(hub.judge().wrong_answers(), Vec::<String>::new(), "the emulator leaves out much that GitHub says");
    assert!(said.len() == 1 && said[0].contains("must have required property 'head'"), "{said:?}");
}
