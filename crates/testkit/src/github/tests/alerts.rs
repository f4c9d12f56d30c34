use super::*;
use crate::github::AlertKind;

#[tokio::test]
async fn alerts_are_shown_where_their_kind_is_switched_on() {
    let site = Site::new().await;
    let refused = [("dependabot", 403), ("code-scanning", 404), ("secret-scanning", 404)];
    for (kind, status) in refused {
        assert_eq!(site.get(&format!("/repos/me/app/{kind}/alerts")).await.0, status, "{kind}");
    }
    site.github.alert("me/app", AlertKind::Dependabot, "high", "django", "Django leaks", "requirements.txt");
    site.github.alert("me/app", AlertKind::CodeScanning, "critical", "py/sql", "SQL is joined", "src/db.py");
    site.github.alert("me/app", AlertKind::SecretScanning, "", "github_token", "ghp_secret", "a.txt");
    site.shows(&[
        ("/repos/me/app/dependabot/alerts?state=open", "/0/security_advisory/severity", json!("high")),
        ("/repos/me/app/code-scanning/alerts", "/0/most_recent_instance/location/path", json!("src/db.py")),
        ("/repos/me/app/secret-scanning/alerts", "/0/secret", json!("ghp_secret")),
    ])
    .await;
    let (_, hidden) = site.get("/repos/me/app/secret-scanning/alerts?hide_secret=true").await;
    assert_eq!((&hidden[0]["secret"], &hidden[0]["number"]), (&json!(null), &json!(1)));
    site.github.settle_alert("me/app", AlertKind::Dependabot, 1);
    assert_eq!(site.get("/repos/me/app/dependabot/alerts?state=open").await, (200, json!([])));
}

#[tokio::test]
async fn a_query_shows_replies_reactions_and_whether_the_branch_is_red() {
    let site = Site::new().await;
    site.github.open_issue("outsider", "Crash", "It crashes.");
    site.github.react(1, 3);
    site.github.comment(1, "stale[bot]", "Stale.");
    let query = "{ repository(owner: \"me\", name: \"app\") {
        defaultBranchRef { target { ... on Commit { statusCheckRollup { state } } } }
        issues(first: 5) { nodes { reactions { totalCount } comments(last: 2) { nodes { author { __typename } } } } } } }";
    let ask = async || site.post("/graphql", json!({ "query": query })).await.1["data"]["repository"].clone();
    let first = ask().await;
    let issue = json!({"reactions": {"totalCount": 3}, "comments": {"nodes": [{"author": {"__typename": "Bot"}}]}});
    assert_eq!(first["issues"]["nodes"][0], issue);
    assert_eq!(first["defaultBranchRef"]["target"]["statusCheckRollup"], json!(null));
    let head = site.github.branch("me/app", "main").expect("the branch exists");
    for (conclusion, state) in [("in_progress", "PENDING"), ("failure", "FAILURE"), ("success", "SUCCESS")] {
        site.github.check(&head, "test", conclusion, "");
        assert_eq!(ask().await["defaultBranchRef"]["target"]["statusCheckRollup"]["state"], state);
    }
}
