//! The fake GitHub under GitHub's own descriptions, route by route and field by field: a client's tests against it mean
//! something only where it speaks as GitHub does.

use std::sync::Arc;

use serde_json::{Value, json};
use testkit::github::{AlertKind, FakeGitHub, Permission};
use testkit::judge::Judge;

use super::process::RealClock;

/// Everything of the schema that the fake knows.
const EVERYTHING: &str = "
query($first: Int!, $ids: [ID!]!, $head: GitObjectID!) {
  viewer { __typename id login databaseId url }
  rateLimit { cost nodeCount limit used remaining resetAt }
  r0: repository(owner: \"me\", name: \"app\") { ...All }
  r1: repository(owner: \"me\", name: \"none\") { id }
  nodes(ids: $ids) { __typename id ... on Issue { number } }
}
fragment All on Repository {
  id databaseId name nameWithOwner url isArchived isDisabled isLocked isPrivate hasIssuesEnabled createdAt pushedAt
  updatedAt viewerPermission owner { __typename login }
  defaultBranchRef { id name prefix target { __typename oid abbreviatedOid id ... on Commit { statusCheckRollup { state } } } }
  ref(qualifiedName: \"refs/heads/fix\") { name }
  object(oid: $head) { ... on Commit { authoredDate author { name email date }
    blame(path: \"README.md\") { ranges { startingLine endingLine commit { oid authoredDate author { name } } } } } }
  issue(number: 1) { title }
  pullRequest(number: 2) { title }
  issues(first: $first, states: [OPEN], orderBy: {field: UPDATED_AT, direction: DESC}, filterBy: {since: \"2020-01-01T00:00:00Z\"}) {
    totalCount pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
    nodes { id databaseId number title body state locked url createdAt updatedAt closedAt authorAssociation
      author { __typename login } repository { name } labels(first: 5) { nodes { name } }
      reactions { totalCount }
      comments(last: 5) { totalCount nodes { id databaseId body createdAt updatedAt author { __typename login } } } }
  }
  pullRequests(first: 10, states: [OPEN, MERGED], headRefName: \"fix\", orderBy: {field: CREATED_AT, direction: ASC}) {
    nodes { number state isDraft merged mergedAt headRefName headRefOid baseRefName baseRefOid }
  }
}";

const CREATE: &str =
    "mutation($input: CreateIssueInput!) { createIssue(input: $input) { clientMutationId issue { number } } }";
const MERGE: &str = "mutation($input: MergePullRequestInput!) {
  mergePullRequest(input: $input) { clientMutationId pullRequest { merged state } } }";

struct Client {
    judge: Judge,
    token: String,
    http: reqwest::Client,
}

impl Client {
    async fn graphql(&self, query: &str, variables: Value) -> Value {
        let request = self.http.post(format!("{}/graphql", self.judge.url())).bearer_auth(&self.token);
        request.json(&json!({"query": query, "variables": variables})).send().await.unwrap().json().await.unwrap()
    }

    async fn get(&self, path: &str) -> Value {
        let request = self.http.get(format!("{}{path}", self.judge.url())).bearer_auth(&self.token);
        request.send().await.unwrap().json().await.unwrap()
    }
}

async fn site() -> (FakeGitHub, Client) {
    let github = FakeGitHub::start(Arc::new(RealClock)).await;
    github.repo("me/app").await;
    github.user("maintainer", Permission::Write);
    github.commit("me/app", "Begin", &[("src/app.py", "def greet():\n    pass\n"), ("README.md", "# App\n")]).await;
    github.commit_on("me/app", "fix", "Fix", &[("src/app.py", "def greet(): print(1)\n")]).await;
    let issue = github.open_issue("maintainer", "Crash", "It crashes.");
    github.label(issue, "bug", "maintainer");
    github.comment(issue, "maintainer", "Seen too.");
    github.open_pull("maintainer", "fix", "Fix it", "").await;
    let token = github.token_for("ccm-user");
    let judge = Judge::start(github.url()).await.unwrap();
    let http = reqwest::Client::builder().no_proxy().user_agent("test").build().unwrap();
    (github, Client { judge, token, http })
}

#[tokio::test(flavor = "multi_thread")]
async fn graphql_is_spoken_as_githubs_schema_says() {
    let (github, mut client) = site().await;
    let issue = client.get("/repos/me/app/issues/1").await["node_id"].clone();
    let head = github.branch("me/app", "main").unwrap();
    let answer = client.graphql(EVERYTHING, json!({"first": 20, "ids": [issue], "head": head})).await;
    assert_eq!(answer["data"]["r0"]["object"]["blame"]["ranges"][0]["commit"]["author"]["name"], "me", "{answer:#}");
    assert_eq!(answer["errors"].as_array().map(Vec::len), Some(1), "{answer:#}");
    assert_eq!(answer["data"]["nodes"][0]["number"], 1, "{answer:#}");
    let repository = &answer["data"]["r0"]["id"];
    client.graphql(CREATE, json!({"input": {"repositoryId": repository, "title": "One"}})).await;
    let pull = client.get("/repos/me/app/pulls/2").await;
    let head = &pull["head"]["sha"];
    let merge = json!({"input": {"pullRequestId": pull["node_id"], "expectedHeadOid": head, "mergeMethod": "SQUASH"}});
    let merged = client.graphql(MERGE, merge).await;
    assert_eq!(merged["data"]["mergePullRequest"]["pullRequest"]["merged"], true, "{merged:#}");
    assert_eq!(client.judge.graphql().await.unwrap(), (Vec::new(), Vec::new()));
    assert_eq!(client.judge.wrong_answers(), Vec::<String>::new());
    client.graphql("{ viewer { nothing } }", json!({})).await;
    let (requests, _) = client.judge.graphql().await.unwrap();
    assert!(requests.len() == 1 && requests[0].contains("nothing"), "the judge is awake: {requests:?}");
    assert_eq!(github.violations(), Vec::<String>::new());
    client.judge.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_and_jobs_are_answered_as_github_describes_them() {
    let (github, mut client) = site().await;
    github.alert("me/app", AlertKind::Dependabot, "high", "django", "Django leaks", "requirements.txt");
    github.alert("me/app", AlertKind::CodeScanning, "critical", "py/sql", "SQL is joined", "src/app.py");
    github.alert("me/app", AlertKind::SecretScanning, "", "github_token", "ghp_secret", "README.md");
    let job = github.check(&github.branch("me/app", "main").unwrap(), "test", "failure", "boom");
    let page = "state=open&direction=asc&per_page=100";
    let table = [
        (format!("/repos/me/app/dependabot/alerts?sort=created&{page}"), "/0/dependency/package/name", json!("django")),
        (format!("/repos/me/app/code-scanning/alerts?sort=created&{page}"), "/0/rule/id", json!("py/sql")),
        (format!("/repos/me/app/secret-scanning/alerts?hide_secret=true&{page}"), "/0/secret", Value::Null),
        (format!("/repos/me/app/secret-scanning/alerts?{page}"), "/0/secret", json!("ghp_secret")),
        (format!("/repos/me/app/actions/jobs/{job}"), "/steps/1/conclusion", json!("failure")),
    ];
    for (path, pointer, expected) in table {
        let body = client.get(&path).await;
        assert_eq!(body.pointer(pointer).unwrap_or(&Value::Null), &expected, "{path}: {body:#}");
    }
    assert_eq!(client.judge.wrong_requests(), Vec::<String>::new());
    assert_eq!(client.judge.wrong_answers(), Vec::<String>::new());
    client.judge.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn searches_and_trees_are_answered_as_github_describes_them() {
    let (_github, mut client) = site().await;
    let table = [
        ("/search/issues?q=repo:me/app+is:issue", "/items/0/title", json!("Crash")),
        ("/search/issues?q=repo:me/app+is:pr&sort=updated&order=asc", "/items/0/number", json!(2)),
        ("/search/code?q=greet+repo:me/app", "/items/0/path", json!("src/app.py")),
        ("/repos/me/app/git/trees/main?recursive=1", "/truncated", json!(false)),
        ("/repos/me/app/git/trees/main", "/tree/0/path", json!("README.md")),
    ];
    for (path, pointer, expected) in table {
        let body = client.get(path).await;
        assert_eq!(body.pointer(pointer), Some(&expected), "{path}: {body:#}");
    }
    assert_eq!(client.judge.wrong_requests(), Vec::<String>::new());
    assert_eq!(client.judge.wrong_answers(), Vec::<String>::new());
    client.judge.end().await.unwrap();
}
