use super::*;

const ISSUES: &str = "/repos/me/app/issues";
const PULLS: &str = "/repos/me/app/pulls";

#[tokio::test]
async fn an_issue_lives_from_creation_to_closing() {
    let site = Site::new().await;
    let (status, issue) = site.post(ISSUES, json!({"title": "Do it", "body": "Please", "labels": ["new"]})).await;
    assert_eq!((status, &issue["number"], &issue["labels"][0]["name"]), (201, &json!(1), &json!("new")));
    site.clock.advance(Duration::from_secs(5));
    let (_, comment) = site.post("/repos/me/app/issues/1/comments", json!({"body": "Started"})).await;
    let path = format!("/repos/me/app/issues/comments/{}", comment["id"]);
    let (status, edited) = site.send(Method::PATCH, &path, json!({"body": "Done"})).await;
    assert_eq!((status, &edited["body"]), (200, &json!("Done")));
    let (_, labels) = site.post("/repos/me/app/issues/1/labels", json!({"labels": ["a", "b"]})).await;
    assert_eq!(names(&labels, "name"), "new a b");
    let (_, labels) = site.send(Method::DELETE, "/repos/me/app/issues/1/labels/a", json!(null)).await;
    assert_eq!(names(&labels, "name"), "new b");
    let change = json!({"title": "Did it", "state": "closed", "state_reason": "not_planned", "labels": ["b"]});
    let (status, closed) = site.send(Method::PATCH, "/repos/me/app/issues/1", change).await;
    assert_eq!(
        (status, &closed["state_reason"], &closed["closed_by"]["login"]),
        (200, &json!("not_planned"), &json!("ccm-bot"))
    );
    let (_, events) = site.get("/repos/me/app/issues/1/events").await;
    assert_eq!(names(&events, "event"), "labeled labeled labeled unlabeled unlabeled renamed closed");
    assert_eq!(site.github.issue(1).comments[0].body, "Done");
    assert_eq!(site.github.issue(1).updated_at.to_string(), "2026-01-01T00:00:05Z");
    assert_eq!(site.send(Method::DELETE, &path, json!(null)).await.0, 204);
    assert_eq!(site.github.issue(1).comments, []);
}

#[tokio::test]
async fn what_github_refuses_is_refused() {
    let (site, _) = Site::with_pull("").await;
    let main = site.github.branch("me/app", "main").expect("the branch exists");
    let pull = |head: &str, base: &str| json!({"title": "T", "head": head, "base": base});
    let comments = "/repos/me/app/issues/1/comments";
    let refs = "/repos/me/app/git/refs";
    let table = [
        (ISSUES, json!({}), "\"title\" wasn't supplied"),
        (ISSUES, json!({"title": "t".repeat(257)}), "title is too long"),
        (ISSUES, json!({"title": "T", "body": "b".repeat(65_537)}), "body is too long"),
        (comments, json!({"body": ""}), "missing_field"),
        (comments, json!({"body": "b".repeat(65_537)}), "body is too long"),
        ("/repos/me/app/labels", json!({"name": "x", "color": "red"}), "invalid"),
        (PULLS, pull("none", "main"), "\"field\":\"head\""),
        (PULLS, pull("fix", "none"), "\"field\":\"base\""),
        (PULLS, pull("fix", "main"), "A pull request already exists for me:fix."),
        (PULLS, pull("me:fix", "main"), "A pull request already exists for me:fix."),
        (PULLS, pull("main", "main"), "No commits between main and main"),
        (PULLS, json!({"title": "T", "base": "main"}), "missing_field"),
        (refs, json!({"ref": "refs/heads/fix", "sha": main}), "Reference already exists"),
        (refs, json!({"ref": "refs/heads/x", "sha": "0".repeat(40)}), "Object does not exist"),
        (refs, json!({"ref": "x", "sha": main}), "must start with"),
    ];
    for (path, body, expected) in table {
        let (status, answer) = site.post(path, body).await;
        assert_eq!(status, 422, "{path}: {answer}");
        assert!(answer.to_string().replace("\\\"", "\"").contains(expected), "{path}: {answer}");
    }
    let label = json!({"name": "bug", "color": "ff0000", "description": "Broken"});
    assert_eq!(site.post("/repos/me/app/labels", label.clone()).await.0, 201);
    let (status, answer) = site.post("/repos/me/app/labels", label).await;
    assert_eq!((status, &answer["errors"][0]["code"]), (422, &json!("already_exists")));
    let broken = site.ask(Method::POST, ISSUES).body("{").send().await.expect("an answer");
    assert_eq!(broken.status(), 400);
}

#[tokio::test]
async fn outsiders_may_open_issues_but_their_labels_are_dropped() {
    let site = Site::new().await.acting_as("outsider");
    let (status, issue) = site.post(ISSUES, json!({"title": "T", "labels": ["approved-for-dev"]})).await;
    assert_eq!((status, &issue["labels"]), (201, &json!([])));
    assert_eq!(issue["author_association"], "NONE");
    let table = [
        (Method::POST, "/repos/me/app/issues/1/labels", json!({"labels": ["approved-for-dev"]})),
        (Method::POST, PULLS, json!({"title": "T", "head": "main", "base": "main"})),
        (Method::POST, "/repos/me/app/git/refs", json!({"ref": "refs/heads/x", "sha": "0"})),
        (Method::PUT, "/repos/me/app/pulls/1/merge", json!({})),
    ];
    for (method, path, body) in table {
        let answer = site.ask(method, path).json(&body).send().await.expect("an answer");
        assert_eq!(answer.status(), 403, "{path}");
        assert!(header(&answer, "x-accepted-github-permissions").contains("=write"), "{path}");
        assert_eq!(header(&answer, "x-ratelimit-remaining").len(), 4, "no limit: {path}");
    }
    assert_eq!(site.send(Method::PATCH, "/repos/me/app/issues/1", json!({"title": "U"})).await.0, 200, "the own issue");
    let other = site.github.open_issue("me", "Other", "");
    assert_eq!(site.send(Method::PATCH, &format!("{ISSUES}/{other}"), json!({"title": "U"})).await.0, 403);
    site.github.lock(1, "maintainer");
    assert_eq!(site.post("/repos/me/app/issues/1/comments", json!({"body": "B"})).await.0, 403);
    site.github.set_archived("me/app", true);
    assert_eq!(site.post(ISSUES, json!({"title": "T"})).await.1["message"], "Repository was archived so is read-only.");
    let anonymous = site.client.post(format!("{}{ISSUES}", site.github.url())).json(&json!({"title": "T"}));
    assert_eq!(anonymous.send().await.expect("an answer").status(), 401);
}

#[tokio::test]
async fn refs_are_made_moved_and_deleted() {
    let site = Site::new().await;
    let first = site.github.branch("me/app", "main").expect("the branch exists");
    let second = site.github.commit("me/app", "Second", &[("a", "1")]).await;
    let (status, _) = site.post("/repos/me/app/git/refs", json!({"ref": "refs/heads/ccm/t1", "sha": second})).await;
    assert_eq!((status, site.github.branch("me/app", "ccm/t1")), (201, Some(second.clone())));
    let path = "/repos/me/app/git/refs/heads/ccm/t1";
    let (status, answer) = site.send(Method::PATCH, path, json!({"sha": first})).await;
    assert_eq!((status, &answer["message"]), (422, &json!("Update is not a fast forward")));
    assert_eq!(site.send(Method::PATCH, path, json!({"sha": first, "force": true})).await.0, 200);
    assert_eq!(site.github.branch("me/app", "ccm/t1"), Some(first));
    assert_eq!(site.send(Method::DELETE, path, json!(null)).await.0, 204);
    assert_eq!(site.send(Method::DELETE, path, json!(null)).await.0, 422);
    assert_eq!(site.github.branches("me/app"), ["main"]);
}

#[tokio::test]
async fn a_pull_request_follows_its_branch_and_its_merge_moves_the_base() {
    let (site, number) = Site::with_pull("Closes #2").await;
    let issue = site.github.open_issue("me", "Broken", "");
    let before = site.github.branch("me/app", "main").expect("the branch exists");
    let head = site.github.commit_on("me/app", "fix", "More", &[("b", "2")]).await;
    let path = format!("{PULLS}/{number}");
    let (_, pull) = site.get(&path).await;
    assert_eq!((&pull["head"]["sha"], &pull["commits"], &pull["merged"]), (&json!(head), &json!(2), &json!(false)));
    let merge = format!("{path}/merge");
    assert_eq!(site.get(&merge).await.0, 404);
    assert_eq!(site.send(Method::PUT, &merge, json!({"sha": before})).await.0, 409);
    let (status, merged) = site.send(Method::PUT, &merge, json!({"sha": head})).await;
    assert_eq!((status, &merged["merged"]), (200, &json!(true)));
    assert_eq!(site.get(&merge).await.0, 204);
    assert_eq!(site.github.branch("me/app", "main").map(|sha| json!(sha)), Some(merged["sha"].clone()));
    assert_eq!(site.github.file_at("me/app", "main", "b").await.as_deref(), Some("2"));
    let (_, commit) = site.get("/repos/me/app/commits/main").await;
    assert_eq!(names(&commit["parents"], "sha"), format!("{before} {head}"));
    assert_eq!(commit["commit"]["message"], "Merge pull request #1 from me/fix\n\nFix it");
    let (_, pull) = site.get(&path).await;
    assert_eq!((&pull["state"], &pull["merged_by"]["login"]), (&json!("closed"), &json!("ccm-bot")));
    assert!(!site.github.issue(issue).open, "the keyword closed it");
    assert_eq!(site.send(Method::PUT, &merge, json!({})).await.0, 405);
}

#[tokio::test]
async fn merges_that_cannot_be_are_refused() {
    let (site, number) = Site::with_pull("").await;
    let path = format!("{PULLS}/{number}/merge");
    let merge = |body: Value| site.send(Method::PUT, &path, body);
    assert_eq!(
        merge(json!({"merge_method": "rebase"})).await.1["message"],
        "Rebase merges are not allowed on this repository."
    );
    site.github.fail(Fault::base_modified());
    assert_eq!(merge(json!({})).await.1["message"], "Base branch was modified. Review and try the merge again.");
    site.github.commit("me/app", "Clash", &[("src/main.rs", "fn other() {}\n")]).await;
    let (_, pull) = site.get(&format!("{PULLS}/{number}")).await;
    assert_eq!((&pull["mergeable"], &pull["mergeable_state"]), (&json!(false), &json!("dirty")));
    assert_eq!(merge(json!({})).await.0, 405);
    let draft = json!({"title": "T", "head": "next", "base": "main", "draft": true});
    site.github.commit_on("me/app", "next", "Next", &[("c", "3")]).await;
    let (status, draft) = site.post(PULLS, draft).await;
    assert_eq!((status, &draft["draft"]), (201, &json!(true)));
    let (status, answer) = site.send(Method::PUT, &format!("{PULLS}/{}/merge", draft["number"]), json!({})).await;
    assert_eq!((status, &answer["message"]), (405, &json!("Pull Request is still a draft")));
}

#[tokio::test]
async fn mergeable_is_unknown_for_a_while_after_a_push() {
    let (site, number) = Site::with_pull("").await;
    site.github.set_mergeable_after(Duration::from_secs(40));
    let path = format!("{PULLS}/{number}");
    assert_eq!(site.get(&path).await.1["mergeable"], json!(null));
    site.clock.advance(Duration::from_secs(40));
    assert_eq!(site.get(&path).await.1["mergeable"], json!(true));
}

#[tokio::test]
async fn a_squash_has_one_parent() {
    let (site, number) = Site::with_pull("").await;
    let order = json!({"merge_method": "squash", "commit_title": "Fix (#1)"});
    assert_eq!(site.send(Method::PUT, &format!("{PULLS}/{number}/merge"), order).await.0, 200);
    let (_, commit) = site.get("/repos/me/app/commits/main").await;
    assert_eq!(
        (commit["parents"].as_array().map(Vec::len), &commit["commit"]["message"]),
        (Some(1), &json!("Fix (#1)"))
    );
}

#[tokio::test]
async fn deleting_the_head_branch_closes_the_pull_request() {
    let (site, number) = Site::with_pull("").await;
    site.github.delete_branch("me/app", "fix").await;
    let pull = site.github.pull(number);
    assert!(!pull.issue.open && pull.pull.merged_at.is_none());
    assert_eq!(site.send(Method::PATCH, "/repos/me/app/pulls/1", json!({"state": "open"})).await.0, 422);
}

#[tokio::test]
async fn reviews_and_reviewers() {
    let (site, number) = Site::with_pull("").await;
    let path = format!("{PULLS}/{number}");
    let (status, asked) = site.post(&format!("{path}/requested_reviewers"), json!({"reviewers": ["maintainer"]})).await;
    assert_eq!((status, names(&asked["requested_reviewers"], "login")), (201, "maintainer".to_owned()));
    assert_eq!(site.post(&format!("{path}/requested_reviewers"), json!({"reviewers": ["stranger"]})).await.0, 422);
    assert_eq!(site.post(&format!("{path}/reviews"), json!({"event": "APPROVE"})).await.0, 422, "the own one");
    let site = site.acting_as("maintainer");
    let (status, review) = site.post(&format!("{path}/reviews"), json!({"event": "APPROVE", "body": "Good"})).await;
    assert_eq!((status, &review["state"]), (200, &json!("APPROVED")));
    assert_eq!(site.github.pull(number).pull.requested_reviewers, [""; 0]);
}

#[tokio::test]
async fn statuses_add_up() {
    let site = Site::new().await;
    let sha = site.github.branch("me/app", "main").expect("the branch exists");
    let path = format!("/repos/me/app/statuses/{sha}");
    for (context, state, expected) in [
        ("a", "success", "success"),
        ("b", "pending", "pending"),
        ("b", "error", "failure"),
        ("b", "success", "success"),
    ] {
        assert_eq!(site.post(&path, json!({"state": state, "context": context})).await.0, 201);
        assert_eq!(site.get("/repos/me/app/commits/main/status").await.1["state"], expected);
    }
    assert_eq!(site.post(&path, json!({"state": "great"})).await.0, 422);
}
