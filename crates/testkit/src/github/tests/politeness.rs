use super::*;

const ISSUES: &str = "/repos/me/app/issues";

#[tokio::test]
async fn answers_that_replace_the_real_one_execute_nothing() {
    let table = [
        (Fault::bad_gateway(), 502, ""),
        (Fault::retry_after(403, Duration::from_secs(30)), 403, "retry-after=30"),
        (Fault::retry_after_date(429, Duration::from_secs(30)), 429, "retry-after=Thu, 01 Jan 2026 00:00:30 GMT"),
        (Fault::secondary_limit(), 403, "x-ratelimit-remaining=5000"),
        (Fault::content_blocked(), 403, "x-ratelimit-remaining=5000"),
        (Fault::exhausted(429, Duration::from_secs(600)), 429, "x-ratelimit-remaining=0"),
        (Fault::exhausted(403, Duration::from_secs(600)), 403, "x-ratelimit-reset=1767226200"),
        (Fault::denied(), 403, "x-accepted-github-permissions=issues=write"),
        (Fault::status(410, "Gone").with_header("sunset", "soon"), 410, "sunset=soon"),
        (Fault::redirect_elsewhere(), 302, ""),
    ];
    for (fault, status, expected) in table {
        let site = Site::new().await;
        let name = format!("{fault:?}");
        site.github.fail(fault);
        let answer = site.ask(Method::POST, ISSUES).json(&json!({"title": "T"})).send().await.expect("an answer");
        assert_eq!(answer.status(), status, "{name}");
        if let Some((header_name, value)) = expected.split_once('=') {
            assert_eq!(header(&answer, header_name), value, "{name}");
        }
        assert_eq!(site.github.issues(), [], "{name}");
        assert!(!site.github.requests()[0].executed, "{name}");
    }
}

#[tokio::test]
async fn faults_after_the_deed_leave_the_issue_behind() {
    let issue = json!({"title": "T"});
    for fault in [
        Fault::execute_then_status(502),
        Fault::invalid_json(),
        Fault::html(),
        Fault::empty_body(),
        Fault::without_rate_headers(),
    ] {
        let site = Site::new().await;
        let name = format!("{fault:?}");
        site.github.fail(fault.on("POST /issues"));
        let answer = site.ask(Method::POST, ISSUES).json(&issue).send().await.expect("an answer");
        let limited = answer.headers().contains_key("x-ratelimit-limit");
        let whole: Result<Value, _> = answer.json().await;
        assert_eq!((site.github.issues().len(), site.github.requests()[0].executed), (1, true), "{name}");
        assert!(!limited || whole.is_err() || name.contains("502"), "{name}");
    }
    for fault in [Fault::execute_then_drop(), Fault::execute_then_hang()] {
        let site = Site::new().await;
        site.github.fail(fault);
        let request = site.ask(Method::POST, ISSUES).json(&issue).timeout(Duration::from_millis(300)).send().await;
        assert!(request.is_err());
        assert_eq!((site.github.issues().len(), site.github.requests()[0].status), (1, None));
    }
    let site = Site::new().await;
    site.github.fail(Fault::drop_connection());
    assert!(site.ask(Method::POST, ISSUES).json(&issue).send().await.is_err());
    assert_eq!(site.github.issues(), []);
    site.github.fail(Fault::slow(Duration::from_millis(50)));
    assert_eq!(site.post(ISSUES, issue).await.0, 201);
}

#[tokio::test]
async fn a_body_may_never_end() {
    let site = Site::new().await;
    site.github.fail(Fault::endless_body(1024, Duration::from_millis(1)));
    let mut answer = site.response("/user").await;
    let mut received = 0;
    while received < 10_000 {
        received += answer.chunk().await.expect("the connection lives").expect("more").len();
    }
}

#[tokio::test]
async fn faults_hit_the_request_they_name() {
    let site = Site::new().await;
    site.github.fail_nth_request(3, Fault::bad_gateway());
    site.github.fail(Fault::denied().on("GET /repos/{owner}/{repo}").nth(2).forever());
    site.github.fail(Fault::headers("x-poll-interval", "300").on("GET /meta"));
    let mut seen = Vec::new();
    for path in ["/user", "/repos/me/app", "/user", "/repos/me/app", "/user", "/repos/me/app"] {
        seen.push(site.get(path).await.0);
    }
    assert_eq!(seen, [200, 200, 502, 403, 200, 403]);
    site.github.stop_failing();
    assert_eq!(site.get("/repos/me/app").await.0, 200);
    assert_eq!(site.github.request_count(), 7);
    assert_eq!(site.github.requests_by_route()["GET /repos/{owner}/{repo}"], 4);
    site.github.fail(Fault::headers("x-poll-interval", "300").on("GET /meta"));
    assert_eq!(header(&site.response("/meta").await, "x-poll-interval"), "300");
    site.github.fail(Fault::stuck_not_modified());
    assert_eq!(site.get("/meta").await.0, 304);
}

#[tokio::test]
async fn a_new_issue_can_stay_out_of_lists() {
    let site = Site::new().await;
    site.github.fail(Fault::hide_new(Duration::from_secs(90)).on("POST"));
    site.post(ISSUES, json!({"title": "T"})).await;
    assert_eq!(site.get("/repos/me/app/issues/1").await.0, 200);
    assert_eq!(site.get(ISSUES).await.1, json!([]));
    site.clock.advance(Duration::from_secs(90));
    assert_eq!(names(&site.get(ISSUES).await.1, "number"), "1");
}

#[tokio::test]
async fn the_budget_runs_out_and_comes_back() {
    let site = Site::new().await;
    site.github.set_hourly_limit("ccm-bot", 2);
    assert_eq!((site.get("/user").await.0, site.get("/user").await.0), (200, 200));
    assert_eq!(site.github.violations(), [""; 0]);
    let (status, limits) = site.get("/rate_limit").await;
    assert_eq!((status, &limits["resources"]["core"]["remaining"]), (200, &json!(0)));
    assert_eq!(site.github.violations(), [""; 0], "asking about the limits is free");
    let answer = site.response("/user").await;
    assert_eq!((answer.status().as_u16(), header(&answer, "x-ratelimit-reset")), (403, "1767229200"));
    let broken = "request 4 (GET /user) by ccm-bot was sent at 2026-01-01T00:00:00Z although the budget was used up until 2026-01-01T01:00:00Z";
    assert_eq!(site.github.violations(), [broken]);
    site.clock.advance(Duration::from_secs(3600));
    assert_eq!(site.get("/user").await.0, 200);
    assert_eq!(site.github.violations().len(), 1);
}

#[tokio::test]
async fn the_referee_sees_a_breach_of_a_pause() {
    for (fault, pause) in [(Fault::retry_after(429, Duration::from_secs(30)), 30), (Fault::secondary_limit(), 60)] {
        let site = Site::new().await;
        site.github.fail(fault);
        site.get("/user").await;
        site.clock.advance(Duration::from_secs(pause - 1));
        site.get("/user").await;
        let broken = site.github.violations();
        assert!(broken.len() == 1 && broken[0].contains("a pause was in force"), "{broken:?}");
        site.clock.advance(Duration::from_secs(1));
        site.get("/user").await;
        assert_eq!(site.github.violations().len(), 1);
    }
}

#[tokio::test]
async fn the_referee_sees_blind_and_double_creations() {
    let issue = json!({"title": "T", "body": "Text <!-- ccm op=1 -->"});
    let site = Site::new().await;
    site.post(ISSUES, issue.clone()).await;
    site.post(ISSUES, issue.clone()).await;
    let broken = site.github.violations();
    assert_eq!(broken, ["requests 1 and 2 both created <!-- ccm op=1 --> at /repos/me/app/issues"]);

    let site = Site::new().await;
    site.github.fail(Fault::bad_gateway());
    site.post(ISSUES, issue.clone()).await;
    site.post(ISSUES, issue.clone()).await;
    let broken = site.github.violations();
    assert!(broken.len() == 1 && broken[0].contains("without looking first"), "{broken:?}");

    let site = Site::new().await;
    site.github.fail(Fault::bad_gateway());
    site.post(ISSUES, issue.clone()).await;
    site.get(ISSUES).await;
    site.post(ISSUES, issue.clone()).await;
    assert_eq!(site.github.violations(), [""; 0], "it looked, and nothing was there");
}

#[tokio::test]
async fn too_much_content_is_blocked_and_reported() {
    let site = Site::new().await;
    for n in 0..80 {
        assert_eq!(site.post(ISSUES, json!({"title": format!("T{n}")})).await.0, 201);
    }
    let (status, answer) = site.post(ISSUES, json!({"title": "T"})).await;
    assert!(status == 403 && answer["message"].to_string().contains("blocked from content creation"));
    assert_eq!(site.github.violations(), ["ccm-bot used 81 content-creating requests in a minute, 80 are allowed"]);
}

#[tokio::test]
async fn tokens_may_be_long_and_requests_need_a_user_agent() {
    let site = Site::new().await;
    for length in [600, 8000] {
        let token = site.github.token_of_length("ccm-bot", length);
        assert_eq!(token.len(), length);
        let answer = site.client.get(format!("{}/user", site.github.url())).bearer_auth(token).send().await;
        assert_eq!(answer.expect("an answer").status(), 200);
    }
    let nameless = Client::builder().no_proxy().build().expect("a client");
    let answer = nameless.get(format!("{}/user", site.github.url())).bearer_auth(&site.token).send().await;
    assert_eq!(answer.expect("an answer").status(), 403);
}
