//! Webhooks against what GitHub publishes of them: its examples are read, and the fake's bodies fit its schemas.

use std::process::Stdio;

use backlog::delivery::About;
use forge::github::webhook::read_event;
use serde_json::{Value, json};
use testkit::clock::TestClock;
use testkit::counterparts;
use testkit::github::{Delivery, FakeGitHub};
use tokio::io::AsyncWriteExt as _;

/// Validates a list of events by the schema of each, and prints what does not fit.
const JUDGE: &str = r##"
const [, , ajv, schema] = process.argv;
const Ajv = require(ajv);
const judge = new (Ajv.default ?? Ajv)({ strict: false, validateFormats: false, allErrors: true });
judge.addSchema(require(schema), "hooks");
let text = "";
process.stdin.on("data", (chunk) => (text += chunk)).on("end", () => {
  for (const { event, action, body } of JSON.parse(text)) {
    const name = action ? `${event}$${action}` : `${event}$event`;
    const check = judge.getSchema(`hooks#/definitions/${name}`);
    if (!check) console.log(`${name}: GitHub has no such event`);
    else if (!check(body)) for (const e of check.errors) console.log(`${name}${e.instancePath}: ${e.message} ${JSON.stringify(e.params)}`);
  }
});
"##;

#[test]
fn every_published_example_is_read() {
    let text = std::fs::read_to_string(counterparts::webhook_examples()).unwrap();
    let events: Vec<Value> = serde_json::from_str(&text).unwrap();
    let mut read = 0;
    for event in &events {
        let name = event["name"].as_str().unwrap();
        for example in event["examples"].as_array().unwrap() {
            let delivery = read_event("guid", name, example.to_string().as_bytes())
                .unwrap_or_else(|error| panic!("{name}: {error}\n{example}"));
            assert_eq!(delivery.sender, example["sender"]["id"].as_u64(), "{name}");
            let fits = match name {
                "pull_request" | "pull_request_review" => matches!(delivery.about, About::Work(_)),
                "issues" | "issue_comment" | "label" => matches!(delivery.about, About::Issues(_)),
                "status" => matches!(delivery.about, About::Work(_) | About::Checks(_)),
                "dependabot_alert" | "code_scanning_alert" | "secret_scanning_alert" => {
                    matches!(delivery.about, About::Alerts(_))
                }
                _ => true,
            };
            assert!(fits, "{name}: {delivery:?}");
            let list = matches!(name, "installation" | "installation_repositories" | "repository");
            assert!(!list || delivery.about == About::Repositories, "{name}: {delivery:?}");
            assert!(!(name == "issues" || name == "pull_request") || delivery.updated_at.is_some(), "{name}");
            read += 1;
        }
    }
    assert!(read > 300, "only {read} examples");
}

/// A GitHub in which everything happens that it can tell of.
async fn eventful() -> Vec<Delivery> {
    let github = FakeGitHub::start(TestClock::new()).await;
    github.organization("acme");
    github.repo("me/app").await;
    github.commit("me/app", "Begin", &[("a", "1")]).await;
    // Nobody listens there; what was not brought is in the list all the same.
    github.app_hook("http://127.0.0.1:9/", "s", 7);
    github.repo("acme/lib").await;
    github.open_issue("me", "One", "Text");
    github.label(1, "bug", "me");
    let comment = github.comment(1, "outsider", "Hello");
    github.deliver_all().await;
    github.edit_comment(1, comment, "Goodbye");
    github.edit_issue(1, "me", Some("Two"), Some("Other text"));
    github.unlabel(1, "bug", "me");
    github.deliver_all().await;
    github.delete_comment(1, comment);
    github.close(1, "me");
    github.deliver_all().await;
    github.reopen(1, "me");
    let head = github.commit_on("me/app", "work", "Change", &[("a", "2")]).await;
    let pull = github.open_pull("me", "work", "Change", "Closes #1").await;
    github.label(i32::try_from(pull).unwrap(), "bug", "me");
    github.review(pull, "outsider", "CHANGES_REQUESTED", "No");
    github.review_comment(pull, "outsider", "a", 1, "Here");
    github.check(&head, "build", "in_progress", "");
    github.deliver_all().await;
    github.check(pull, "build", "failure", "red");
    github.commit_on("me/app", "work", "Again", &[("a", "3")]).await;
    github.deliver_all().await;
    github.merge(pull, "me").await;
    github.deliver_all().await;
    github.delete_branch("me/app", "work").await;
    github.set_archived("me/app", true);
    github.set_private("me/app", true);
    github.rename_repo("acme/lib", "acme/library");
    for action in ["created", "suspend", "unsuspend", "deleted"] {
        github.installation_event(action);
    }
    github.deliver_all().await;
    github.deliveries()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fakes_webhooks_fit_the_published_schemas() {
    let deliveries = eventful().await;
    let events: Vec<Value> = deliveries
        .iter()
        .map(|delivery| json!({"event": delivery.event, "action": delivery.action, "body": delivery.body}))
        .collect();
    let kinds: std::collections::BTreeSet<String> = deliveries
        .iter()
        .map(|delivery| format!("{}.{}", delivery.event, delivery.action.as_deref().unwrap_or_default()))
        .collect();
    assert!(kinds.len() >= 25, "{kinds:?}");
    let mut judge = tokio::process::Command::new(counterparts::node())
        .args(["-e", JUDGE, "judge"])
        .args([counterparts::ajv(), counterparts::webhook_schemas()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let text = serde_json::to_vec(&events).unwrap();
    let mut stdin = judge.stdin.take().unwrap();
    let feeding = tokio::spawn(async move { stdin.write_all(&text).await });
    let verdict = judge.wait_with_output().await.unwrap();
    feeding.await.unwrap().unwrap();
    assert!(verdict.status.success(), "{}", String::from_utf8_lossy(&verdict.stderr));
    assert_eq!(String::from_utf8_lossy(&verdict.stdout), "");
    for delivery in &deliveries {
        let body = delivery.body.to_string();
        read_event(&delivery.guid, &delivery.event, body.as_bytes()).expect("our parser reads it");
    }
}
