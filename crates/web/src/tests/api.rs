//! The REST interface, health and metrics.

use backlog::task::Stage;
use serde_json::json;

use super::*;

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table is read as one thing")]
async fn every_route_answers_as_described() {
    let visit = Visit::start().await;
    let proposed = visit.store(&sample::at(sample::task("Mend the parser"), Stage::Proposed)).await;
    let failed = visit.store(&sample::at(sample::task("Speed it up"), Stage::Failed)).await;
    let run = sample::run(&proposed, "");
    visit.ctx.store.commit(Commit { runs: vec![run.clone()], ..Commit::default() }).await.unwrap();
    let line = r#"{"type":"text","text":"hello"}"#.to_owned();
    visit.ctx.store.append_transcript(&run.id, sample::NOW, &[line]).await.unwrap();
    let (p, f, r) = (&proposed.id, &failed.id, &run.id);
    let content = pipeline::approve::seen(&proposed);
    for (method, path, body, status, pointer, value) in [
        ("GET", "/api/v1/tasks".to_owned(), None, 200, "/tasks/1/state", json!("failed")),
        ("GET", "/api/v1/tasks?state=proposed,failed&search=PARSER".to_owned(), None, 200, "/tasks/0/id", json!(p)),
        ("GET", "/api/v1/tasks?state=nonsense".to_owned(), None, 400, "/error/code", json!("bad_request")),
        ("GET", "/api/v1/tasks?colour=red".to_owned(), None, 400, "/error/code", json!("bad_request")),
        ("GET", format!("/api/v1/tasks/{p}"), None, 200, "/content", json!(content)),
        (
            "GET",
            "/api/v1/tasks/0000000000".to_owned(),
            None,
            404,
            "/error/message",
            json!("There is no task 0000000000."),
        ),
        ("GET", "/api/v1/nonsense".to_owned(), None, 404, "/error/code", json!("not_found")),
        ("PUT", "/api/v1/tasks".to_owned(), None, 405, "/error/code", json!("bad_request")),
        (
            "POST",
            "/api/v1/tasks".to_owned(),
            Some(json!({"repository": "acme/app"})),
            400,
            "/error/code",
            json!("bad_request"),
        ),
        (
            "POST",
            "/api/v1/tasks".to_owned(),
            Some(json!({"repository": "no/no", "title": "x"})),
            422,
            "/error/code",
            json!("refused"),
        ),
        (
            "POST",
            "/api/v1/tasks".to_owned(),
            Some(json!({"repository": "acme/app", "title": "Mine"})),
            201,
            "/title",
            json!("Mine"),
        ),
        (
            "POST",
            format!("/api/v1/tasks/{p}/agent"),
            Some(json!({"agent": "nobody"})),
            422,
            "/error/code",
            json!("refused"),
        ),
        (
            "POST",
            format!("/api/v1/tasks/{p}/agent"),
            Some(json!({"agent": "careful"})),
            200,
            "/agent",
            json!("careful"),
        ),
        ("POST", format!("/api/v1/tasks/{p}/budget"), Some(json!({"usd": -1.0})), 422, "/error/code", json!("refused")),
        ("POST", format!("/api/v1/tasks/{p}/budget"), Some(json!({"usd": 2.5})), 200, "/budget_usd", json!(2.5)),
        (
            "POST",
            format!("/api/v1/tasks/{p}/approve"),
            Some(json!({"content": "stale"})),
            422,
            "/error/code",
            json!("refused"),
        ),
        (
            "POST",
            format!("/api/v1/tasks/{p}/approve"),
            Some(json!({"content": content})),
            200,
            "/state",
            json!("approved"),
        ),
        ("POST", format!("/api/v1/tasks/{p}/approve"), None, 409, "/error/code", json!("invalid_state")),
        (
            "POST",
            format!("/api/v1/tasks/{p}/message"),
            Some(json!({"text": "hi"})),
            422,
            "/error/code",
            json!("refused"),
        ),
        ("POST", format!("/api/v1/tasks/{p}/merge"), None, 422, "/error/code", json!("refused")),
        ("POST", format!("/api/v1/tasks/{p}/reject"), None, 200, "/state", json!("rejected")),
        ("POST", format!("/api/v1/tasks/{f}/retry"), None, 200, "/state", json!("approved")),
        ("POST", format!("/api/v1/tasks/{f}/cancel"), None, 200, "/state", json!("cancelled")),
        ("GET", format!("/api/v1/runs/{r}"), None, 200, "/cost_usd", json!(0.42)),
        ("GET", "/api/v1/runs/0000000000-1".to_owned(), None, 404, "/error/code", json!("not_found")),
        ("GET", format!("/api/v1/runs/{r}/transcript"), None, 200, "/lines/0/event/text", json!("hello")),
        ("GET", format!("/api/v1/runs/{r}/transcript?after=1"), None, 200, "/next", json!(1)),
        ("GET", "/api/v1/repositories".to_owned(), None, 200, "/repositories/0/name", json!("acme/app")),
        ("GET", "/api/v1/events?limit=1".to_owned(), None, 200, "/events/0/what/event", json!("added")),
        ("GET", "/api/v1/openapi.json".to_owned(), None, 200, "/info/title", json!("Claude Code Manager")),
    ] {
        let (got, answer) = visit.api(method, &path, body.as_ref()).await;
        assert_eq!((got, answer.pointer(pointer)), (status, Some(&value)), "{method} {path}: {answer}");
    }
    let events = visit.ctx.store.events(&store::EventQuery::default()).await.unwrap();
    let approved = events.iter().find(|event| event.event.kind == backlog::event::EventKind::Approved).unwrap();
    assert_eq!(approved.event.actor, backlog::event::Actor::person("ada", backlog::event::Channel::Api));
    visit.stop().await;
}

#[tokio::test]
async fn the_description_names_every_route() {
    let description = serde_json::to_value(crate::openapi()).unwrap();
    let routes: Vec<String> = description["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, methods)| methods.as_object().unwrap().keys().map(move |method| format!("{method} {path}")))
        .collect();
    insta::assert_snapshot!(routes.join("\n"), @r"
    get /api/v1/events
    get /api/v1/openapi.json
    get /api/v1/repositories
    get /api/v1/runs/{id}
    get /api/v1/runs/{id}/transcript
    get /api/v1/tasks
    post /api/v1/tasks
    get /api/v1/tasks/{id}
    post /api/v1/tasks/{id}/agent
    post /api/v1/tasks/{id}/approve
    post /api/v1/tasks/{id}/budget
    post /api/v1/tasks/{id}/cancel
    post /api/v1/tasks/{id}/merge
    post /api/v1/tasks/{id}/message
    post /api/v1/tasks/{id}/reject
    post /api/v1/tasks/{id}/retry
    ");
    let visit = Visit::start().await;
    for route in routes {
        let (method, path) = route.split_once(' ').unwrap();
        let path = path.replace("{id}", "0000000000");
        let (_, answer) = visit.api(&method.to_uppercase(), &path, None).await;
        let message = answer.pointer("/error/message").and_then(Value::as_str).unwrap_or_default();
        assert!(!message.starts_with("There is no such route"), "{route}: {answer}");
    }
    visit.stop().await;
}

#[tokio::test]
async fn the_metrics_of_the_contract_are_there() {
    let visit = Visit::signed_in().await;
    visit.page("/").await;
    pipeline::housekeep::measure(&visit.ctx).await.unwrap();
    let read = async || visit.client.get(visit.url("/metrics")).send().await.unwrap().text().await.unwrap();
    let began = std::time::Instant::now();
    let mut text = read().await;
    while !text.contains("ccm_event_loop_lag_seconds_bucket") && began.elapsed() < PATIENCE {
        text = read().await;
    }
    for part in [
        "ccm_event_loop_lag_seconds_bucket{le=\"0.01\"}",
        "ccm_queue_depth{queue=\"run\"} 0",
        "ccm_operations_in_flight{operation=\"run\"} 0",
        "# TYPE ccm_operation_duration_seconds histogram",
        "ccm_operations_total{operation=\"run\",outcome=\"ok\"} 0",
        "ccm_tasks_total{state=\"in_review\"} 0",
        "# TYPE ccm_github_requests_total counter",
        "# TYPE ccm_github_budget_remaining gauge",
        "ccm_agent_cost_usd_total 0",
        "ccm_http_requests_total{method=\"GET\",route=\"/\",status=\"2xx\"}",
        "ccm_http_request_duration_seconds_bucket{route=\"/\",le=\"0.01\"}",
        "# TYPE process_cpu_seconds_total counter",
        "process_resident_memory_bytes ",
        "process_open_fds ",
        "process_start_time_seconds ",
        "process_threads ",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    assert!(!text.contains("route=\"/sign-in?"), "labels hold routes, not addresses");
    let far = visit.client.get(visit.url("/metrics")).header("x-forwarded-for", "192.0.2.1").send().await.unwrap();
    assert_eq!(far.status(), StatusCode::UNAUTHORIZED);
    visit.stop().await;
}

#[tokio::test]
async fn readiness_names_what_is_wrong() {
    let visit = Visit::start().await;
    let (status, answer) = visit.api("GET", "/readyz", None).await;
    assert_eq!((status, &answer["ready"]), (200, &json!(true)), "{answer}");
    let mut broken = repository("acme/app");
    broken.failures = 3;
    visit.ctx.store.put_repository(&broken).await.unwrap();
    let (status, answer) = visit.api("GET", "/readyz", None).await;
    assert_eq!(status, 503);
    assert_eq!(
        answer["checks"][1],
        json!({"name": "forge", "ok": false, "detail": "0 of 1 repositories answered last time"})
    );
    visit.stop().await;
}
