use testkit::github::{AlertKind as Kind, Fault};

use super::super::tests::{World, app};
use super::*;
use crate::Forge as _;

fn lines(alerts: &Alerts) -> Vec<String> {
    let line = |one: &Alert| {
        format!(
            "{}-{} {} {} {}:{}",
            one.kind.as_str(),
            one.number,
            one.severity.as_str(),
            one.title,
            one.path,
            one.line
        )
    };
    alerts.open.iter().map(line).collect()
}

async fn alarmed() -> World {
    let world = World::new().await;
    world.fake.alert("me/app", Kind::Dependabot, "high", "django", "Django leaks", "requirements.txt");
    world.fake.alert("me/app", Kind::CodeScanning, "critical", "py/sql", "SQL is joined", "src/db.py");
    world.fake.alert("me/app", Kind::SecretScanning, "", "github_token", "ghp_a_secret_of_theirs", "a.txt");
    world
}

#[tokio::test]
async fn alerts_of_every_kind_are_read() {
    let world = alarmed().await;
    world.fake.settle_alert("me/app", Kind::Dependabot, 1);
    world.fake.alert("me/app", Kind::Dependabot, "low", "jinja", "Jinja loops", "requirements.txt");
    let found = world.github().alerts(&app(), &AlertKind::ALL).await.unwrap();
    assert_eq!(
        lines(&found),
        [
            "dependabot-2 low jinja: Jinja loops requirements.txt:0",
            "code-scanning-1 critical SQL is joined src/db.py:7",
            "secret-scanning-1 critical A secret in the code: github token :0",
        ]
    );
    assert!(found.open[0].text.contains("< 2.0.1 are affected; 2.0.1 mends it"), "{found:?}");
    world.fair();
}

#[tokio::test]
async fn kinds_that_are_off_or_forbidden_are_a_notice_and_no_failure() {
    let world = World::new().await;
    world.fake.watch_for("me/app", Kind::Dependabot);
    let github = world.github();
    let found = github.alerts(&app(), &AlertKind::ALL).await.unwrap();
    assert_eq!(found.unread, [AlertKind::CodeScanning, AlertKind::SecretScanning]);
    let notices = github.notices().join("\n");
    assert!(notices.contains("such as me/app (no analysis found)") && !notices.contains("dependabot"), "{notices}");
    world.fake.watch_for("me/app", Kind::CodeScanning);
    github.alerts(&app(), &[AlertKind::CodeScanning]).await.unwrap();
    assert!(!github.notices().join("\n").contains("code-scanning"));
    world.fake.fail(Fault::status(503, "down").on("GET /repos/{owner}/{repo}/code-scanning/alerts").times(4));
    let down = github.alerts(&app(), &[AlertKind::CodeScanning]).await;
    assert!(matches!(down, Err(ForgeError::Transient { .. })), "what is down is not what is empty");
    world.fair();
}

#[tokio::test]
async fn a_secret_is_neither_told_nor_stored_even_by_a_server_that_tells_it() {
    let world = alarmed().await;
    let github = world.github();
    let told = r#"[{"number": 1, "secret": "ghp_a_secret_of_theirs", "secret_type": "github_token"}]"#;
    world.fake.fail(Fault::answer(200, told).on("GET /repos/{owner}/{repo}/secret-scanning/alerts"));
    let found = github.alerts(&app(), &[AlertKind::SecretScanning]).await.unwrap();
    assert_eq!(lines(&found), ["secret-scanning-1 high A secret in the code: github_token :0"]);
    assert!(!format!("{found:?} {}", world.ledger.text()).contains("ghp_a_secret"));
    let asked = world.fake.requests_matching("GET /repos/{owner}/{repo}/secret-scanning/alerts");
    assert!(asked.iter().all(|request| request.path.contains("hide_secret=true")), "{asked:?}");
    world.fair();
}

#[tokio::test]
async fn unchanged_alerts_cost_nothing() {
    let world = alarmed().await;
    let kinds = [AlertKind::Dependabot, AlertKind::CodeScanning];
    world.github().alerts(&app(), &kinds).await.unwrap();
    let before = world.fake.requests().len();
    world.github().alerts(&app(), &kinds).await.unwrap();
    let again = &world.fake.requests()[before..];
    let alerts = again.iter().filter(|request| request.path.contains("/alerts"));
    assert!(alerts.clone().count() == 2 && alerts.clone().all(|request| request.status == Some(304)), "{again:?}");
    world.fair();
}
