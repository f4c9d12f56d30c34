use super::*;

impl Site {
    async fn query(&self, text: &str) -> Value {
        let (status, body) = self.post("/graphql", json!({"query": text})).await;
        assert_eq!(status, 200, "{body:#}");
        body
    }
}

#[tokio::test]
async fn many_repositories_are_read_at_once() {
    let (site, _) = Site::with_pull("").await;
    site.github.open_issue("outsider", "Crash", "It crashes.");
    let head = site.github.branch("me/app", "main").expect("the branch exists");
    let body = site
        .query(
            "query { viewer { login databaseId } rateLimit { cost remaining resetAt }
               r0: repository(owner: \"me\", name: \"app\") { ...All } }
             fragment All on Repository {
               nameWithOwner isArchived isDisabled isLocked pushedAt updatedAt
               defaultBranchRef { name target { oid ... on Commit { oid } } }
               issues(first: 20, states: [OPEN], orderBy: {field: UPDATED_AT, direction: DESC}) {
                 totalCount nodes { number title author { login } } pageInfo { hasNextPage endCursor } }
               pullRequests(first: 20) { nodes { __typename number headRefOid } } }",
        )
        .await;
    let repo = &body["data"]["r0"];
    assert_eq!(body["data"]["viewer"]["login"], "ccm-bot");
    assert_eq!(body["data"]["rateLimit"], json!({"cost": 1, "remaining": 4999, "resetAt": "2026-01-01T01:00:00Z"}));
    assert_eq!(repo["defaultBranchRef"], json!({"name": "main", "target": {"oid": head}}));
    assert_eq!(repo["issues"]["nodes"], json!([{"number": 2, "title": "Crash", "author": {"login": "outsider"}}]));
    assert_eq!(repo["pullRequests"]["nodes"][0]["__typename"], "PullRequest");
    assert_eq!(site.github.requests()[0].kind, Kind::Query);
}

#[tokio::test]
async fn f44_one_missing_or_forbidden_alias_leaves_the_others() {
    let site = Site::new().await;
    for (name, setup) in [("me/secret", true), ("me/closed", false)] {
        site.github.repo(name).await;
        if setup {
            site.github.set_private(name, true);
        } else {
            site.github.set_forbidden(name, true);
        }
    }
    let site = site.acting_as("stranger");
    site.github.permit("me/secret", "stranger", Permission::None);
    let one = |alias: &str, name: &str| format!("{alias}: repository(owner: \"me\", name: \"{name}\") {{ id }}");
    let all = ["app", "secret", "closed", "none"].iter().enumerate();
    let all: Vec<String> = all.map(|(n, name)| one(&format!("r{n}"), name)).collect();
    let body = site.query(&format!("{{ {} }}", all.join(" "))).await;
    assert!(body["data"]["r0"]["id"].is_string() && body["data"]["r1"].is_null() && body["data"]["r2"].is_null());
    assert_eq!(names(&body["errors"], "type"), "NOT_FOUND FORBIDDEN NOT_FOUND");
    assert_eq!(body["errors"][1]["path"], json!(["r2"]));
    let id = body["data"]["r0"]["id"].as_str().expect("an id");
    let body =
        site.query(&format!("{{ nodes(ids: [\"{id}\", \"bm9uZTE=\"]) {{ ... on Repository {{ name }} }} }}")).await;
    assert_eq!(body["data"]["nodes"], json!([{"name": "app"}, null]));
    assert_eq!(body["errors"][0]["path"], json!(["nodes", 1]));
}

#[tokio::test]
async fn a_document_costs_what_its_connections_could_ask_for() {
    let site = Site::new().await;
    let repo = |n: usize, fields: &str| format!("r{n}: repository(owner: \"me\", name: \"app\") {{ {fields} }}");
    let table = [
        ("id", 1),
        ("issues(first: 20) { nodes { id } } pullRequests(first: 20) { nodes { id } }", 1),
        (
            "issues(first: 20) { nodes { labels(first: 10) { nodes { name } } } }
             pullRequests(first: 20) { nodes { labels(first: 10) { nodes { name } } } }",
            21,
        ),
    ];
    for (fields, expected) in table {
        let all: Vec<String> = (0..50).map(|n| repo(n, fields)).collect();
        let body = site.query(&format!("{{ rateLimit {{ cost }} {} }}", all.join(" "))).await;
        assert_eq!(body["data"]["rateLimit"]["cost"], expected, "{fields}");
    }
    assert_eq!(site.get("/rate_limit").await.1["resources"]["graphql"]["used"], 23);
    let core = &site.get("/rate_limit").await.1["resources"]["core"]["used"];
    assert_eq!(core, 0, "the buckets are apart");
}

#[tokio::test]
async fn what_is_wrong_with_a_document_refuses_all_of_it() {
    let site = Site::new().await;
    let table = [
        ("{ repository(owner: \"me\", name: \"app\") { stars } }", "Field 'stars' doesn't exist on type 'Repository'"),
        ("{ repository(owner: \"me\"", "Parse error"),
        ("{ repository(owner: \"me\", name: \"app\") { issues { totalCount } } }", "You must provide a `first`"),
        (
            "{ repository(owner: \"me\", name: \"app\") { issues(first: 101) { totalCount } } }",
            "Requesting 101 records",
        ),
        (
            "query($owner: String!) { repository(owner: $owner, name: \"app\") { id } }",
            "Variable $owner of type String!",
        ),
    ];
    for (text, expected) in table {
        let body = site.query(text).await;
        let message = body["errors"][0]["message"].as_str().expect("an error");
        assert!(message.starts_with(expected) && body.get("data").is_none(), "{message}");
    }
}

#[tokio::test]
async fn f09_an_empty_bucket_is_a_200_with_an_error() {
    let site = Site::new().await;
    site.github.set_limit("ccm-bot", "graphql", 1);
    for expected in [Value::Null, json!("RATE_LIMITED")] {
        let answer = site.ask(Method::POST, "/graphql").json(&json!({"query": "{ viewer { login } }"})).send().await;
        let answer = answer.expect("an answer");
        assert_eq!(
            (header(&answer, "x-ratelimit-remaining"), header(&answer, "x-ratelimit-resource")),
            ("0", "graphql")
        );
        assert_eq!(read(answer).await.1["errors"][0]["type"], expected);
    }
    assert_eq!(site.get("/user").await.0, 200, "other resources go on");
}

#[tokio::test]
async fn f42_f43_too_much_at_once_is_a_502_or_partial_data() {
    let site = Site::new().await;
    let two = "{ b: viewer { login } a: viewer { login } }";
    site.github.set_most_aliases(1);
    assert_eq!(site.post("/graphql", json!({"query": two})).await.0, 502);
    site.github.set_most_aliases(2);
    site.github.fail(Fault::partial_data(1));
    let body = site.query(two).await;
    assert_eq!(body["data"], json!({"a": null, "b": {"login": "ccm-bot"}}));
    assert_eq!(
        (&body["errors"][0]["type"], &body["errors"][0]["path"]),
        (&json!("RESOURCE_LIMITS_EXCEEDED"), &json!(["a"]))
    );
    assert_eq!(site.query(two).await.get("errors"), None);
}

const CREATE: &str = "mutation($input: CreateIssueInput!) { createIssue(input: $input) { issue { number title } } }";

#[tokio::test]
async fn f08_creations_that_come_too_fast_are_refused_in_a_200() {
    let site = Site::new().await;
    let id = site.get("/repos/me/app").await.1["node_id"].clone();
    let create = async || {
        let variables = json!({"input": {"repositoryId": id, "title": "One"}});
        site.post("/graphql", json!({"query": CREATE, "variables": variables})).await.1
    };
    assert_eq!(create().await["data"]["createIssue"]["issue"], json!({"number": 1, "title": "One"}));
    site.github.fail(Fault::submitted_too_quickly());
    let body = create().await;
    assert_eq!(
        (&body["data"]["createIssue"], &body["errors"][0]["message"]),
        (&Value::Null, &json!("was submitted too quickly"))
    );
    assert_eq!(site.github.issues().len(), 1);
    assert_eq!(site.github.requests()[1].kind, Kind::ContentMutation);
}

#[tokio::test]
async fn f25_a_merge_with_another_head_than_expected_is_refused() {
    let (site, number) = Site::with_pull("").await;
    let id = site.get("/repos/me/app/pulls/1").await.1["node_id"].clone();
    let head = site.github.pull(number).pull.head_sha;
    let text = "mutation($input: MergePullRequestInput!) {
        mergePullRequest(input: $input) { clientMutationId pullRequest { merged state } } }";
    let merge = async |oid: &str| {
        let input = json!({"pullRequestId": id, "expectedHeadOid": oid, "clientMutationId": "7"});
        site.post("/graphql", json!({"query": text, "variables": {"input": input}})).await.1
    };
    let refused = merge(&"0".repeat(40)).await;
    assert_eq!(
        (&refused["errors"][0]["type"], &refused["data"]["mergePullRequest"]),
        (&json!("UNPROCESSABLE"), &Value::Null)
    );
    let merged = json!({"clientMutationId": "7", "pullRequest": {"merged": true, "state": "MERGED"}});
    assert_eq!(merge(&head).await["data"]["mergePullRequest"], merged);
}
