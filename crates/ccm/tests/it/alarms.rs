//! Red checks and security alerts as work.

use std::time::Duration;

use backlog::task::Stage;
use testkit::github::{AlertKind, FakeGitHub};

use crate::story::Story;

const TEN_MINUTES: Duration = Duration::from_secs(600);

/// A story whose code asks for nothing.
async fn without_todo() -> Story {
    let mut t = Story::start().await;
    t.set(|settings| settings.sources.todo.enabled = false).await;
    t
}

fn head(github: &FakeGitHub) -> String {
    github.branch("me/app", "main").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_red_default_branch_is_proposed_until_it_is_green() {
    let t = without_todo().await;
    t.github.check(&head(&t.github), "build", "success", "fine");
    t.settle().await;
    assert_eq!(t.tasks().await, []);
    t.github.check(&head(&t.github), "test", "failure", "test_sum: expected 4, got 5");
    t.later(TEN_MINUTES).await;
    let issue = t.github.issue(1);
    assert_eq!(issue.title, "The check test of the default branch is red, in the step Run");
    assert!(issue.body.unwrap().contains("expected 4, got 5"));
    t.github.commit("me/app", "Mend it", &[("app.py", "def greet():\n    return 1\n")]).await;
    t.github.check(&head(&t.github), "test", "in_progress", "");
    t.later(TEN_MINUTES).await;
    assert_eq!(t.stage().await, Stage::Proposed, "nothing is known yet");
    t.github.check(&head(&t.github), "test", "success", "fine");
    t.later(TEN_MINUTES).await;
    assert_eq!((t.stage().await, t.github.issue(1).open), (Stage::Obsolete, false), "{}", t.timeline().await);
    assert!(t.github.issue(1).comments[0].body.contains("The check is no longer red"));
    t.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_breaks_anew_is_new_work_and_one_that_stays_red_is_not() {
    let t = without_todo().await;
    let breaks = async |conclusion: &str, n: usize| {
        t.github.commit("me/app", "Change", &[("app.py", &format!("x = {n}\n"))]).await;
        t.github.check(&head(&t.github), "test", conclusion, "boom");
        t.later(TEN_MINUTES).await;
    };
    breaks("failure", 1).await;
    t.clock.advance(Duration::from_secs(60));
    t.github.comment(1, "maintainer", "/ccm reject");
    breaks("failure", 2).await;
    assert_eq!((t.stage().await, t.github.issues().len()), (Stage::Rejected, 1));
    breaks("success", 3).await;
    breaks("failure", 4).await;
    assert_eq!(t.github.issues().iter().filter(|issue| issue.open).count(), 1, "a second one");
    t.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_without_red_checks_costs_no_request_for_them() {
    let t = Story::start().await;
    t.settle().await;
    t.github.commit("me/app", "Change", &[("b.py", "x = 1\n")]).await;
    t.later(TEN_MINUTES).await;
    let routes = t.github.requests_by_route();
    assert!(!routes.keys().any(|route| route.contains("check-runs") || route.contains("alerts")), "{routes:?}");
    t.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_alert_is_proposed_until_it_is_settled() {
    let mut t = without_todo().await;
    t.set(|settings| settings.sources.security_alert.enabled = true).await;
    t.github.alert("me/app", AlertKind::Dependabot, "high", "django", "Django leaks", "requirements.txt");
    t.github.alert("me/app", AlertKind::Dependabot, "low", "jinja", "Jinja loops", "requirements.txt");
    t.settle().await;
    assert_eq!(t.github.issues().len(), 1, "the other one is not as bad");
    assert!(t.github.issue(1).body.unwrap().contains("2.0.1 mends it"));
    t.github.stop_watching_for("me/app", AlertKind::Dependabot);
    t.later(Duration::from_secs(86_400)).await;
    assert_eq!(t.stage().await, Stage::Proposed, "what cannot be read is not gone");
    t.github.watch_for("me/app", AlertKind::Dependabot);
    t.github.settle_alert("me/app", AlertKind::Dependabot, 1);
    t.later(Duration::from_secs(86_400)).await;
    assert_eq!((t.stage().await, t.github.issue(1).open), (Stage::Obsolete, false), "{}", t.timeline().await);
    assert!(t.github.issue(1).comments[0].body.contains("The alert is no longer open"));
    t.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_alerts_about_one_package_are_one_proposal_that_shrinks_and_closes() {
    let mut t = without_todo().await;
    t.set(|settings| settings.sources.security_alert.enabled = true).await;
    for (severity, package, what, path) in [
        ("high", "lodash", "Lodash pollutes", "package.json"),
        ("critical", "lodash", "Lodash runs anything", "web/package.json"),
        ("high", "react", "React leaks", "package.json"),
        ("high", "lodash", "Lodash hangs", "package.json"),
    ] {
        t.github.alert("me/app", AlertKind::Dependabot, severity, package, what, path);
    }
    t.settle().await;
    let issue = |title: &str| t.github.issues().into_iter().find(|issue| issue.title.starts_with(title)).unwrap();
    let (lodash, react) = (issue("lodash: "), issue("react: React leaks"));
    assert_eq!((t.github.issues().len(), lodash.title.ends_with(" (and 2 more)")), (2, true), "{lodash:?}");
    let body = lodash.body.unwrap();
    for (what, number) in [("pollutes", 1), ("runs anything", 2), ("hangs", 4)] {
        assert!(body.contains(what) && body.contains(&format!("/security/dependabot/{number}\n")), "{body}");
    }
    assert_eq!(t.tasks().await[0].kind, "dependabot critical", "it is worth what its worst is");

    // What is raised later is not put under what people were shown, and a no to that holds.
    t.clock.advance(TEN_MINUTES);
    t.github.comment(react.number, "maintainer", "/ccm reject");
    t.github.settle_alert("me/app", AlertKind::Dependabot, 2);
    t.github.alert("me/app", AlertKind::Dependabot, "high", "react", "React crashes", "package.json");
    t.later(Duration::from_secs(86_400)).await;
    let body = t.github.issue(lodash.number).body.unwrap();
    assert!(body.contains("pollutes") && body.contains("hangs") && !body.contains("runs anything"), "{body}");
    assert_eq!(t.github.issues().iter().filter(|issue| issue.open).count(), 2, "lodash, and the new one of react");

    t.github.settle_alert("me/app", AlertKind::Dependabot, 1);
    t.github.settle_alert("me/app", AlertKind::Dependabot, 4);
    t.later(Duration::from_secs(86_400)).await;
    let lodash = t.github.issue(lodash.number);
    assert!(!lodash.open && lodash.comments[0].body.contains("The alerts are no longer open"), "{lodash:?}");
    t.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_of_an_alert_is_told_anywhere() {
    let mut t = without_todo().await;
    t.set(|settings| settings.sources.security_alert.enabled = true).await;
    t.github.alert("me/app", AlertKind::SecretScanning, "", "github_token", "ghp_a_secret_of_theirs", "a.txt");
    t.settle().await;
    let issue = t.github.issue(1);
    assert!(issue.title.contains("A secret in the code: github token"), "{issue:?}");
    assert!(!format!("{issue:?} {:?}", t.task().await).contains("ghp_a_secret"));
    t.end().await;
}
