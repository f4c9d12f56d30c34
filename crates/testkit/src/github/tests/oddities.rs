//! What GitHub does now and then: each fault really happens.

use super::*;

const ISSUES: &str = "/repos/me/app/issues";

#[tokio::test]
async fn f21_a_search_finds_an_issue_late_and_has_its_own_budget() {
    let site = Site::new().await;
    site.github.set_search_lag(Duration::from_secs(720));
    site.github.open_issue("outsider", "Crash on start", "op=7");
    let search = "/search/issues?q=repo:me/app+is:issue+%22op=7%22";
    assert_eq!(site.get(search).await.1["total_count"], 0);
    site.clock.advance(Duration::from_secs(720));
    let answer = site.response(search).await;
    assert_eq!((header(&answer, "x-ratelimit-resource"), header(&answer, "x-ratelimit-limit")), ("search", "30"));
    let body = read(answer).await.1;
    assert_eq!((&body["items"][0]["number"], &body["incomplete_results"]), (&json!(1), &json!(false)));
    let table =
        [("author:nobody", 0), ("label:bug", 0), ("is:pr", 0), ("state:open+updated:%3E=2026-01-01T00:00:00Z", 1)];
    for (more, expected) in table {
        assert_eq!(site.get(&format!("{search}+{more}")).await.1["total_count"], expected, "{more}");
    }
    assert_eq!(site.get(&format!("/search/issues?q={}", "x".repeat(257))).await.0, 422);
    let code = site.response("/search/code?q=main+repo:me/app").await;
    assert_eq!(header(&code, "x-ratelimit-resource"), "code_search");
    assert_eq!(names(&read(code).await.1["items"], "path"), "src/main.rs");
}

#[tokio::test]
async fn f62_answers_may_be_incomplete_and_say_so() {
    let site = Site::new().await;
    let tree = |body: &Value| (names(&body["tree"], "path"), body["truncated"].clone());
    let path = "/repos/me/app/git/trees/main?recursive=1";
    assert_eq!(tree(&site.get(path).await.1), ("README.md src src/main.rs".to_owned(), json!(false)));
    site.github.set_most_tree_entries(1);
    assert_eq!(tree(&site.get(path).await.1), ("README.md".to_owned(), json!(true)));
    site.github.fail(Fault::field("/incomplete_results", json!(true)));
    assert_eq!(site.get("/search/issues?q=x").await.1["incomplete_results"], true);
}

#[tokio::test]
async fn f30_a_write_to_a_former_name_is_sent_on_with_any_of_the_statuses() {
    let site = Site::new().await;
    site.github.rename_repo("me/app", "me/product");
    for status in [301, 302, 307, 308] {
        site.github.set_write_redirect(status);
        assert_eq!(site.post(ISSUES, json!({"title": "T"})).await.0, status);
        assert_eq!(site.get(ISSUES).await.0, 301);
    }
    assert_eq!(site.github.issues(), []);
}

#[tokio::test]
async fn f31_the_next_page_may_be_said_to_be_elsewhere() {
    let site = Site::new().await;
    site.github.open_issue("me", "One", "");
    site.github.open_issue("me", "Two", "");
    site.github.fail(Fault::link_elsewhere());
    let answer = site.response(&format!("{ISSUES}?per_page=1")).await;
    assert!(header(&answer, "link").starts_with(&format!("<{}/", site.github.elsewhere())));
}

#[tokio::test]
async fn f45_failures_come_at_random_and_the_same_in_every_run() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let site = Site::new().await;
        site.github.fail(Fault::at_random(20, 7));
        let mut statuses = Vec::new();
        for _ in 0..100 {
            statuses.push(site.get("/user").await.0);
        }
        runs.push(statuses);
    }
    let failed = runs[0].iter().filter(|status| **status >= 500).count();
    assert!((10..=30).contains(&failed), "{failed} of 100");
    assert_eq!(runs[0], runs[1]);
}

#[tokio::test]
async fn f46_a_body_may_come_a_byte_at_a_time_or_half() {
    let site = Site::new().await;
    site.github.fail(Fault::dripping_body(Duration::ZERO).on("/versions"));
    let mut answer = site.response("/versions").await;
    let first = answer.chunk().await.expect("the connection lives").expect("a byte");
    assert_eq!(first.len(), 1);
    site.github.fail(Fault::half_a_body());
    let (status, body) = site.get("/versions").await;
    assert!(status == 200 && body.is_string(), "no JSON any more: {body}");
}

#[tokio::test]
async fn f47_f49_values_nobody_knows_and_errors_of_all_shapes() {
    let site = Site::new().await;
    site.github.open_issue("me", "One", "");
    site.github.fail(Fault::field("/state", json!("quarantined")));
    assert_eq!(site.get("/repos/me/app/issues/1").await.1["state"], "quarantined");
    for fault in Fault::unprocessable() {
        site.github.fail(fault.on("POST /issues"));
        let (status, body) = site.post(ISSUES, json!({"title": "T"})).await;
        assert!(status == 422 && !body["errors"].is_null(), "{body}");
    }
    assert_eq!(site.github.issues().len(), 1);
}

#[tokio::test]
async fn f19_an_answer_may_come_after_the_deed_and_late() {
    let site = Site::new().await;
    site.github.fail(Fault::execute_then_status(504).after(Duration::from_millis(20)).on("POST /issues"));
    assert_eq!(site.post(ISSUES, json!({"title": "T"})).await.0, 504);
    assert!(site.github.issues().len() == 1 && site.github.requests()[0].took >= Duration::from_millis(20));
}

#[tokio::test]
async fn f51_f64_labels_are_dropped_and_doors_are_closed() {
    let site = Site::new().await.acting_as("outsider");
    let (status, body) = site.post(ISSUES, json!({"title": "T", "labels": ["bug"]})).await;
    assert_eq!((status, &body["labels"]), (201, &json!([])), "without push access labels are dropped");
    let site = site.acting_as("ccm-bot");
    site.github.set_archived("me/app", true);
    assert_eq!(site.post(ISSUES, json!({"title": "T"})).await.0, 403);
    site.github.set_blocked("me/app", true);
    assert_eq!(site.get(ISSUES).await.0, 451);
    site.github.fail(Fault::status(410, "Gone").with_header("sunset", "Thu, 01 Jan 2026 00:00:00 GMT"));
    let answer = site.response("/user").await;
    assert_eq!((answer.status().as_u16(), header(&answer, "sunset")), (410, "Thu, 01 Jan 2026 00:00:00 GMT"));
}
