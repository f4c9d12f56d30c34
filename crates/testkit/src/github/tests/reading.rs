use super::*;

#[tokio::test]
async fn every_reading_route_answers() {
    let (site, _) = Site::with_pull("Closes #9").await;
    let issue = site.github.open_issue("outsider", "Crash", "It crashes.");
    site.github.label(issue, "bug", "maintainer");
    let comment = site.github.comment(issue, "maintainer", "Seen too.");
    let head = site.github.branch("me/app", "fix").expect("the branch exists");
    let table = [
        ("/user", "/login", json!("ccm-bot")),
        ("/users/me", "/type", json!("User")),
        ("/user/repos", "/0/full_name", json!("me/app")),
        ("/users/me/repos", "/0/default_branch", json!("main")),
        ("/repos/me/app", "/permissions/push", json!(true)),
        ("/repos/ME/App", "/name", json!("app")),
        ("/repos/me/app/collaborators/maintainer/permission", "/permission", json!("write")),
        ("/repos/me/app/issues", "/0/title", json!("Crash")),
        ("/repos/me/app/issues/2", "/labels/0/name", json!("bug")),
        ("/repos/me/app/issues/1", "/pull_request/merged_at", json!(null)),
        ("/repos/me/app/issues/2/comments", "/0/body", json!("Seen too.")),
        ("/repos/me/app/issues/comments", "/0/user/login", json!("maintainer")),
        (&format!("/repos/me/app/issues/comments/{comment}"), "/author_association", json!("COLLABORATOR")),
        ("/repos/me/app/issues/2/events", "/0/event", json!("labeled")),
        ("/repos/me/app/issues/2/events", "/0/actor/login", json!("maintainer")),
        ("/repos/me/app/issues/events", "/0/issue/number", json!(2)),
        ("/repos/me/app/issues/2/timeline", "/1/event", json!("commented")),
        ("/repos/me/app/issues/2/labels", "/0/name", json!("bug")),
        ("/repos/me/app/labels", "/0/name", json!("bug")),
        ("/repos/me/app/labels/bug", "/color", json!("ededed")),
        ("/repos/me/app/git/ref/heads/fix", "/object/sha", json!(head)),
        ("/repos/me/app/branches", "/1/name", json!("main")),
        ("/repos/me/app/branches/fix", "/commit/sha", json!(head)),
        ("/repos/me/app/contents", "/0/name", json!("README.md")),
        ("/repos/me/app/contents/?ref=fix", "/1/type", json!("dir")),
        ("/repos/me/app/contents/src", "/0/path", json!("src/main.rs")),
        ("/repos/me/app/contents/README.md", "/content", json!("IyBBcHAK\n")),
        ("/repos/me/app/commits/fix", "/commit/message", json!("Fix")),
    ];
    site.shows(&table).await;
    assert_eq!(site.github.violations(), [""; 0]);
}

#[tokio::test]
async fn every_reading_route_of_pull_requests_answers() {
    let (site, number) = Site::with_pull("").await;
    site.github.review(number, "maintainer", "CHANGES_REQUESTED", "Not yet.");
    site.github.review_comment(number, "maintainer", "src/main.rs", 1, "Why?");
    let job = site.github.check(number, "test", "failure", "line 1\nboom");
    let run = job + 1;
    let head = site.github.branch("me/app", "fix").expect("the branch exists");
    let table = [
        ("/repos/me/app/pulls", "/0/head/sha", json!(head)),
        ("/repos/me/app/pulls?head=me:fix&state=all", "/0/number", json!(1)),
        ("/repos/me/app/pulls/1", "/mergeable", json!(true)),
        ("/repos/me/app/pulls/1", "/changed_files", json!(1)),
        ("/repos/me/app/pulls/1/files", "/0/patch", json!("@@ -1 +1 @@\n-fn main() {}\n+fn main() { run() }")),
        ("/repos/me/app/pulls/1/reviews", "/0/state", json!("CHANGES_REQUESTED")),
        ("/repos/me/app/pulls/1/comments", "/0/line", json!(1)),
        ("/repos/me/app/pulls/1/requested_reviewers", "/users", json!([])),
        ("/repos/me/app/commits/fix/check-runs", "/check_runs/0/conclusion", json!("failure")),
        (&format!("/repos/me/app/commits/{head}/status"), "/state", json!("pending")),
        (&format!("/repos/me/app/commits/{head}/statuses"), "", json!([])),
        (&format!("/repos/me/app/check-runs/{job}"), "/output/summary", json!("boom")),
        ("/repos/me/app/actions/runs?branch=fix", "/total_count", json!(1)),
        (&format!("/repos/me/app/actions/runs/{run}"), "/conclusion", json!("failure")),
        (&format!("/repos/me/app/actions/runs/{run}/jobs"), "/jobs/0/id", json!(job)),
        (&format!("/repos/me/app/actions/jobs/{job}"), "/status", json!("completed")),
        ("/rate_limit", "/resources/core/limit", json!(5000)),
        ("/versions", "/0", json!("2022-11-28")),
        ("/meta", "/verifiable_password_authentication", json!(false)),
    ];
    site.shows(&table).await;
}

#[tokio::test]
async fn what_is_not_there_or_not_allowed_has_its_status() {
    let site = Site::new().await;
    let issue = site.github.open_issue("me", "One", "");
    site.github.repo("me/gone").await;
    site.github.set_blocked("me/gone", true);
    site.github.repo("me/quiet").await;
    site.github.set_issues_enabled("me/quiet", false);
    let table = [
        ("/nothing", 404),
        ("/repos/me/none", 404),
        ("/repos/me/app/issues/77", 404),
        ("/repos/me/app/issues/x", 404),
        ("/repos/me/app/pulls/1", 404),
        ("/repos/me/app/branches/none", 404),
        ("/repos/me/app/contents/none", 404),
        ("/repos/me/app/collaborators/nobody/permission", 404),
        ("/repos/me/gone", 451),
        ("/repos/me/quiet/issues", 410),
        ("/orgs/none/repos", 404),
        ("/installation/repositories", 403),
    ];
    for (path, expected) in table {
        assert_eq!(site.get(path).await.0, expected, "{path}");
    }
    assert_eq!(issue, 1);
    let bad = site
        .client
        .get(format!("{}/user", site.github.url()))
        .bearer_auth("ghp_wrong")
        .send()
        .await
        .expect("an answer");
    assert_eq!(
        read(bad).await,
        (
            401,
            json!({"documentation_url": "https://docs.github.com/rest", "message": "Bad credentials", "status": "401"})
        )
    );
    site.github.revoke(&site.token);
    assert_eq!(site.get("/user").await.0, 401);
}

#[tokio::test]
async fn private_repositories_exist_only_for_their_people() {
    let site = Site::new().await;
    site.github.set_private("me/app", true);
    assert_eq!(site.get("/repos/me/app").await.0, 200);
    let site = site.acting_as("stranger");
    site.github.permit("me/app", "stranger", Permission::None);
    assert_eq!(site.get("/repos/me/app").await.0, 404);
    let anonymous = site.client.get(format!("{}/repos/me/app", site.github.url())).send().await.expect("an answer");
    assert_eq!((anonymous.status().as_u16(), header(&anonymous, "x-ratelimit-limit")), (404, "60"));
}

#[tokio::test]
async fn the_permission_route_knows_roles_and_their_older_names() {
    let site = Site::new().await;
    site.github.permit("me/app", "tim", Permission::Triage);
    site.github.permit("me/app", "mia", Permission::Maintain);
    site.github.permit_as("me/app", "cus", Permission::Write, "release-captain");
    let table = [
        ("me", "admin", "admin"),
        ("mia", "write", "maintain"),
        ("cus", "write", "release-captain"),
        ("tim", "read", "triage"),
        ("outsider", "read", "read"),
    ];
    for (login, permission, role) in table {
        let (_, body) = site.get(&format!("/repos/me/app/collaborators/{login}/permission")).await;
        assert_eq!((&body["permission"], &body["role_name"]), (&json!(permission), &json!(role)), "{login}");
    }
}

#[tokio::test]
async fn lists_filter_sort_and_page() {
    let site = Site::new().await;
    for n in 1..=5 {
        site.clock.advance(Duration::from_secs(60));
        site.github.open_issue(if n % 2 == 0 { "maintainer" } else { "outsider" }, &format!("Issue {n}"), "");
    }
    site.github.label(2, "bug", "maintainer");
    site.github.close(4, "maintainer");
    let table = [
        ("", "5 3 2 1"),
        ("?state=all&direction=asc", "1 2 3 4 5"),
        ("?state=closed", "4"),
        ("?creator=maintainer&state=all", "4 2"),
        ("?labels=bug", "2"),
        ("?labels=bug,none", ""),
        ("?state=all&sort=updated&since=2026-01-01T00:05:00Z", "5 4 2"),
        ("?per_page=2&page=2&state=all", "3 2"),
        ("?per_page=abc", "5 3 2 1"),
    ];
    for (query, expected) in table {
        let (_, body) = site.get(&format!("/repos/me/app/issues{query}")).await;
        assert_eq!(names(&body, "number"), expected, "{query}");
    }
    let first = site.response("/repos/me/app/issues?state=all&per_page=2").await;
    let link = header(&first, "link").replace(site.github.url(), "");
    assert_eq!(
        link,
        "</repos/me/app/issues?state=all&per_page=2&page=2>; rel=\"next\", \
         </repos/me/app/issues?state=all&per_page=2&page=3>; rel=\"last\""
    );
    let last = site.response("/repos/me/app/issues?state=all&per_page=2&page=3").await;
    assert!(header(&last, "link").ends_with("rel=\"first\"") && !header(&last, "link").contains("next"));
}

#[tokio::test]
async fn not_modified_is_free_and_depends_on_the_token() {
    let site = Site::new().await;
    site.github.open_issue("me", "One", "");
    let path = "/repos/me/app/issues/1";
    let first = site.response(path).await;
    let etag = header(&first, "etag").to_owned();
    assert_eq!(header(&first, "x-ratelimit-remaining"), "4999");
    let again = site.ask(Method::GET, path).header("if-none-match", &etag).send().await.expect("an answer");
    assert_eq!(
        (again.status().as_u16(), header(&again, "x-ratelimit-remaining"), header(&again, "etag")),
        (304, "4999", etag.as_str())
    );
    assert_eq!(again.text().await.expect("a body"), "");
    let since = site.ask(Method::GET, path).header("if-modified-since", header(&first, "last-modified")).send();
    assert_eq!(since.await.expect("an answer").status(), 304);

    let other = Site { token: site.github.token_for("ccm-bot"), ..site };
    let changed = other.ask(Method::GET, path).header("if-none-match", &etag).send().await.expect("an answer");
    assert_eq!(
        (changed.status().as_u16(), header(&changed, "x-ratelimit-remaining")),
        (200, "4998"),
        "one budget per user"
    );
    let etag = header(&changed, "etag").to_owned();
    other.github.change_etag_formula("new");
    let changed = other.ask(Method::GET, path).header("if-none-match", &etag).send().await.expect("an answer");
    assert_eq!(changed.status(), 200);
    assert_eq!(other.github.requests().iter().filter(|request| request.conditional).count(), 4);
}

#[tokio::test]
async fn the_entity_tag_can_be_computed_from_the_request_and_the_body() {
    use sha2::Digest;
    let site = Site::new().await;
    let answer =
        site.ask(Method::GET, "/versions").header("accept", "application/json").send().await.expect("an answer");
    let etag = header(&answer, "etag").to_owned();
    let body = answer.text().await.expect("a body");
    let hash = sha2::Sha256::digest(format!("application/json:Bearer {}:{body}", site.token));
    assert_eq!(etag, format!("W/\"{}\"", hex::encode(hash)));
}

#[tokio::test]
async fn a_commit_is_its_own_entity_tag() {
    let site = Site::new().await;
    let sha = site.github.branch("me/app", "main").expect("the branch exists");
    let ask = |etag: &str| {
        let request =
            site.ask(Method::GET, "/repos/me/app/commits/main").header("accept", "application/vnd.github.sha");
        request.header("if-none-match", format!("\"{etag}\"")).send()
    };
    let answer = ask("0").await.expect("an answer");
    assert_eq!((answer.status().as_u16(), answer.text().await.expect("a body")), (200, sha.clone()));
    assert_eq!(ask(&sha).await.expect("an answer").status(), 304);
}

#[tokio::test]
async fn raw_contents_are_the_bytes() {
    let site = Site::new().await;
    let request = site.ask(Method::GET, "/repos/me/app/contents/src/main.rs?ref=main");
    let answer = request.header("accept", "application/vnd.github.raw+json").send().await.expect("an answer");
    assert_eq!(read(answer).await, (200, json!("fn main() {}\n")));
}

#[tokio::test]
async fn a_log_is_on_another_host() {
    let (site, number) = Site::with_pull("").await;
    let job = site.github.check(number, "test", "failure", "boom");
    let answer = site.response(&format!("/repos/me/app/actions/jobs/{job}/logs")).await;
    let location = header(&answer, "location").to_owned();
    assert_eq!(answer.status(), 302);
    assert!(location.starts_with(site.github.elsewhere()));
    let log = site.client.get(&location).send().await.expect("an answer");
    assert_eq!(log.text().await.expect("a body"), "boom");
    assert_eq!(site.github.violations(), [""; 0]);
    site.client.get(&location).bearer_auth(&site.token).send().await.expect("an answer");
    assert_eq!(site.github.violations().len(), 1, "credentials must not go there");
}

#[tokio::test]
async fn a_renamed_repository_redirects_to_its_id() {
    let site = Site::new().await;
    site.github.open_issue("me", "One", "");
    site.github.rename_repo("me/app", "me/product");
    let answer = site.response("/repos/me/app/issues?state=all").await;
    let location = header(&answer, "location").replace(site.github.url(), "");
    assert_eq!(answer.status(), 301);
    assert!(location.starts_with("/repositories/") && location.ends_with("/issues?state=all"), "{location}");
    assert_eq!(names(&site.get(&location).await.1, "title"), "One");
    assert_eq!(site.post("/repos/me/app/issues", json!({"title": "Two"})).await.0, 307);
    assert_eq!(site.github.issues().len(), 1);
}
