//! Who gets in.

use super::*;

#[tokio::test]
async fn nobody_gets_in_without_a_session() {
    let visit = Visit::start().await;
    let task = visit.store(&sample::task("One")).await;
    let id = &task.id;
    for path in ["/", "/repositories", "/health", "/nonsense", &format!("/tasks/{id}")] {
        let answer = visit.get(path).await;
        assert_eq!(answer.status(), StatusCode::SEE_OTHER, "{path}");
        assert!(location(&answer).starts_with("/sign-in"), "{path}");
    }
    for path in ["/api/v1/tasks", "/api/v1/openapi.json", "/api/v1/events", "/api/nonsense"] {
        let answer = visit.get(path).await;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{path}");
        assert!(answer.text().await.unwrap().contains(r#""code":"unauthorized""#), "{path}");
    }
    for path in ["/live?view=board", "/api/v1/events"] {
        assert_eq!(visit.socket(path, &visit.address).await.err(), Some(401), "{path}");
    }
    let approve = visit.post(&format!("/tasks/{id}/approve"), &[("content", "")]).await;
    assert!(location(&approve).starts_with("/sign-in"));
    for path in ["/healthz", "/readyz", "/sign-in", "/assets/style.css", "/assets/htmx/htmx.min.js"] {
        assert_eq!(visit.get(path).await.status(), StatusCode::OK, "{path}");
    }
    visit.stop().await;
}

#[tokio::test]
async fn a_link_signs_in_once_and_looking_at_it_uses_nothing_up() {
    let visit = Visit::start().await;
    let path = format!("/sign-in?code={}&next=/health", visit.code());
    for _ in 0..2 {
        let page = visit.page(&path).await;
        assert!(page.contains(r#"name="next" value="/health""#) && page.contains("Sign in with this browser"));
    }
    let code = visit.code();
    let first = visit.post("/sign-in", &[("secret", &code), ("next", "/health")]).await;
    assert_eq!((first.status(), location(&first)), (StatusCode::SEE_OTHER, "/health"));
    let set = first.headers()[SET_COOKIE].to_str().unwrap();
    assert!(set.ends_with("; Path=/; Max-Age=2592000; HttpOnly; SameSite=Strict"), "{set}");
    let second = visit.post("/sign-in", &[("secret", &code)]).await;
    assert_eq!(second.status(), StatusCode::UNAUTHORIZED);
    assert!(second.text().await.unwrap().contains("used already"));
    visit.stop().await;
}

#[tokio::test]
async fn links_and_sessions_grow_old_and_signing_out_ends_one() {
    let visit = Visit::start().await;
    visit.clock.0.fetch_add(15 * 60_000, Ordering::SeqCst);
    assert_eq!(visit.post("/sign-in", &[("secret", &visit.code())]).await.status(), StatusCode::UNAUTHORIZED);

    let mut visit = Visit::signed_in().await;
    assert_eq!(visit.get("/").await.status(), StatusCode::OK);
    visit.clock.0.fetch_add(30 * 86_400_000, Ordering::SeqCst);
    assert_eq!(visit.get("/").await.status(), StatusCode::SEE_OTHER);

    let answer = visit.post("/sign-in", &[("secret", TOKEN)]).await;
    visit.session = Some(cookie(&answer));
    assert_eq!(visit.get("/").await.status(), StatusCode::OK);
    assert_eq!(visit.post("/sign-out", &[]).await.status(), StatusCode::SEE_OTHER);
    assert_eq!(visit.get("/").await.status(), StatusCode::SEE_OTHER);
    visit.stop().await;
}

#[tokio::test]
async fn after_signing_in_nobody_is_sent_to_another_site() {
    let visit = Visit::start().await;
    for next in ["https://evil.example/", "//evil.example", "/\\evil.example", ""] {
        let answer = visit.post("/sign-in", &[("secret", TOKEN), ("next", next)]).await;
        assert_eq!(location(&answer), "/", "{next}");
    }
    visit.stop().await;
}

#[tokio::test]
async fn guessing_is_limited() {
    let visit = Visit::start().await;
    for _ in 0..20 {
        assert_eq!(visit.post("/sign-in", &[("secret", "guess")]).await.status(), StatusCode::UNAUTHORIZED);
    }
    assert_eq!(visit.post("/sign-in", &[("secret", TOKEN)]).await.status(), StatusCode::TOO_MANY_REQUESTS);
    visit.clock.0.fetch_add(60_000, Ordering::SeqCst);
    assert_eq!(visit.post("/sign-in", &[("secret", TOKEN)]).await.status(), StatusCode::SEE_OTHER);
    visit.stop().await;
}

#[tokio::test]
async fn another_site_can_do_nothing() {
    let visit = Visit::signed_in().await;
    let task = visit.store(&sample::task("One")).await;
    let path = format!("/tasks/{}/reject", task.id);
    for origin in ["https://evil.example", "null", "http://127.0.0.1:1"] {
        assert_eq!(visit.post_from(&path, &[], origin).await.status(), StatusCode::FORBIDDEN, "{origin}");
    }
    let silent = visit.dressed(visit.client.post(visit.url(&path))).send().await.unwrap();
    assert_eq!(silent.status(), StatusCode::FORBIDDEN);
    let api = visit.dressed(visit.client.post(visit.url(&format!("/api/v1{path}")))).send().await.unwrap();
    assert_eq!(api.status(), StatusCode::FORBIDDEN, "a session needs the origin on the API too");
    assert_eq!(visit.ctx.store.task(&task.id).await.unwrap(), Some(task));

    for path in ["/live?view=board", "/api/v1/events"] {
        assert_eq!(visit.socket(path, "https://evil.example").await.err(), Some(403), "{path}");
        assert!(visit.socket(path, &visit.address).await.is_ok(), "{path}");
    }
    let rebound = visit.dressed(visit.client.get(visit.url("/"))).header("host", "evil.example").send().await.unwrap();
    assert_eq!(rebound.status(), StatusCode::FORBIDDEN);
    visit.stop().await;
}

#[tokio::test]
async fn every_answer_forbids_foreign_code() {
    let visit = Visit::signed_in().await;
    for path in ["/", "/sign-in", "/healthz", "/api/v1/tasks", "/nonsense"] {
        let answer = visit.get(path).await;
        let policy = answer.headers()["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'self';"), "{path}: {policy}");
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
    }
    visit.stop().await;
}

#[tokio::test]
async fn a_body_that_is_too_large_is_not_read() {
    let visit = Visit::signed_in().await;
    let large = "x".repeat(300 * 1024);
    let form = visit.post("/tasks", &[("title", &large)]).await;
    assert_eq!(form.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let body = serde_json::json!({ "repository": "acme/app", "title": large });
    let (status, answer) = visit.api("POST", "/api/v1/tasks", Some(&body)).await;
    assert_eq!((status, &answer["error"]["code"]), (413, &Value::from("bad_request")));
    visit.stop().await;
}
