//! A real client, a real socket, and a scripted model API behind them.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use backlog::names::RunId;
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::model::{ScriptedModel, TokenCounts, Turn, errors, hang, sequence, text};
use tokio::time::timeout;

use crate::{Address, Credential, CredentialKind, Gateway, GatewayConfig, GatewayError, Listen, RunGateway, Usage};

const KEY: &str = "sk-real-0a1b2c3d4e5f";
const ENOUGH: u64 = 100_000_000;
const SOON: Duration = Duration::from_secs(20);

/// A model, a gateway with one open run before it, and a client inside.
struct Bench {
    model: ScriptedModel,
    run: RunGateway,
    inside: reqwest::Client,
    folder: TempDir,
}

impl Bench {
    async fn new(budget: u64) -> Self {
        Self::with(budget, |_| {}).await
    }

    async fn with(budget: u64, change: impl FnOnce(&mut GatewayConfig)) -> Self {
        let model = ScriptedModel::start().await;
        model.require_key(KEY);
        let mut config = config(&model.url());
        change(&mut config);
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("model.sock");
        let run = Gateway::new(config).unwrap().open(&run_id(), budget, Listen::Unix(socket.clone())).await.unwrap();
        Self { model, run, inside: client(&socket), folder }
    }

    fn post(&self, path: &str, body: &Value) -> reqwest::RequestBuilder {
        let request = self.inside.post(format!("http://localhost{path}")).header("x-api-key", "dummy-of-the-agent");
        request.header("content-type", "application/json").body(body.to_string())
    }

    async fn ask(&self, body: &Value) -> (u16, Value) {
        answer(self.post("/v1/messages", body)).await
    }
}

async fn answer(request: reqwest::RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    (status, serde_json::from_str(&response.text().await.unwrap()).unwrap_or(Value::Null))
}

fn config(upstream: &str) -> GatewayConfig {
    let credential = Credential { kind: CredentialKind::ApiKey, secret: KEY.to_owned().into() };
    GatewayConfig::new(upstream.parse().unwrap(), Some(credential))
}

fn client(socket: &Path) -> reqwest::Client {
    reqwest::Client::builder().unix_socket(socket).no_proxy().build().unwrap()
}

fn run_id() -> RunId {
    "3k9d0fz2ha-1".parse().unwrap()
}

fn question(stream: bool) -> Value {
    json!({
        "model": "claude-opus-4-8", "max_tokens": 1000, "stream": stream, "tools": [{"name": "Bash"}],
        "messages": [{"role": "user", "content": "Fix it"}],
    })
}

fn kind(body: &Value) -> &str {
    body["error"]["type"].as_str().unwrap_or_default()
}

/// A port of loopback where nobody listens.
fn nobody() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[tokio::test]
async fn the_key_is_put_in_and_the_agents_own_is_dropped() {
    let bench = Bench::new(ENOUGH).await;
    let request = bench.post("/v1/messages?beta=true", &question(false)).header("authorization", "Bearer dummy");
    let (status, body) = answer(request.header("anthropic-beta", "x").header("accept-encoding", "gzip")).await;
    assert_eq!((status, &body["content"][0]["text"]), (200, &json!("Done.")));
    let sent = &bench.model.requests()[0];
    assert_eq!((sent.path.as_str(), sent.header("x-api-key")), ("/v1/messages?beta=true", Some(KEY)));
    assert_eq!((sent.header("authorization"), sent.header("anthropic-beta")), (None, Some("x")));
    assert_eq!(sent.header("accept-encoding"), Some("identity"));
    assert_eq!(sent.body, question(false));
}

#[tokio::test]
async fn a_bearer_token_goes_into_its_own_header() {
    let credential = Credential { kind: CredentialKind::Bearer, secret: KEY.to_owned().into() };
    let bench = Bench::with(ENOUGH, |config| config.credential = Some(credential)).await;
    assert_eq!(bench.ask(&question(false)).await.0, 200);
    let sent = &bench.model.requests()[0];
    assert_eq!(sent.header("authorization"), Some(format!("Bearer {KEY}").as_str()));
    assert_eq!(sent.header("x-api-key"), None);
}

#[tokio::test]
async fn counting_and_the_model_list_pass_and_cost_nothing() {
    let bench = Bench::new(ENOUGH).await;
    let (_, counted) = answer(bench.post("/v1/messages/count_tokens", &question(false))).await;
    assert_eq!(counted, json!({"input_tokens": 1000}));
    let models = answer(bench.inside.get("http://localhost/v1/models")).await;
    assert_eq!(models.1["data"][0]["id"], "claude-opus-4-8");
    assert_eq!(bench.run.usage(), Usage { requests: 2, ..Usage::default() });
}

#[tokio::test]
async fn a_stream_arrives_while_the_model_is_still_writing() {
    let bench = Bench::new(ENOUGH).await;
    bench.model.set_script(sequence(vec![Turn::Stall("The first words".to_owned())]));
    let mut response = bench.post("/v1/messages", &question(true)).send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream; charset=utf-8");
    let mut seen = String::new();
    while !seen.contains("The first words") {
        let piece = timeout(SOON, response.chunk()).await.unwrap().unwrap().unwrap();
        seen.push_str(std::str::from_utf8(&piece).unwrap());
    }
    assert!(!seen.contains("message_stop"));
}

#[tokio::test]
async fn usage_and_cost_are_the_same_for_a_stream_and_a_whole_answer() {
    let tokens = TokenCounts { input: 1_000, output: 200, cache_read: 10_000, cache_write: 400 };
    let cost = 1_000 * 5 + 200 * 25 + 10_000 / 2 + 400 * 25 / 4;
    for stream in [false, true] {
        let bench = Bench::new(ENOUGH).await;
        bench.model.set_tokens(tokens);
        let mut watch = bench.run.subscribe();
        let body = bench.post("/v1/messages", &question(stream)).send().await.unwrap().text().await.unwrap();
        assert!(body.contains("Done."));
        let expected = Usage {
            input_tokens: 1_000,
            output_tokens: 200,
            cache_read: 10_000,
            cache_write: 400,
            cost_micro_usd: cost,
            requests: 1,
            refused: 0,
        };
        timeout(SOON, watch.wait_for(|usage| *usage == expected)).await.unwrap().unwrap();
        assert_eq!(bench.run.close().await, expected);
    }
}

#[tokio::test]
async fn a_spent_budget_ends_the_run_until_it_is_raised() {
    let bench = Bench::new(7_500).await; // exactly one answer: 1000 × 5 + 100 × 25
    assert_eq!(bench.ask(&question(false)).await.0, 200);
    let (status, body) = bench.ask(&question(false)).await;
    assert_eq!((status, kind(&body)), (402, "billing_error"));
    insta::assert_snapshot!(body["error"]["message"].as_str().unwrap(), @"The run's budget of 0.0075 USD is spent (0.0075 USD for 1 request). Raise the budget to go on.");
    assert_eq!(bench.model.requests().len(), 1);
    bench.run.raise_budget(15_000);
    assert_eq!(bench.ask(&question(false)).await.0, 200);
    let usage = bench.run.close().await;
    assert_eq!((usage.cost_micro_usd, usage.requests, usage.refused), (15_000, 2, 1));
}

#[tokio::test]
async fn parallel_requests_cannot_overspend_by_more_than_one() {
    let bench = Bench::new(20_000).await; // each reserves about 25 000 and costs 7 500
    let (one, all) = (question(false), 12);
    let answers = futures::future::join_all((0..all).map(|_| bench.ask(&one))).await;
    let paid = answers.iter().filter(|(status, _)| *status == 200).count();
    let refused = answers.iter().filter(|(status, _)| *status == 402).count();
    assert_eq!((paid, refused), (3, 9));
    assert_eq!(bench.run.close().await.cost_micro_usd, 22_500);
}

#[tokio::test]
async fn a_stream_is_cut_when_the_budget_ends_in_it() {
    let bench = Bench::new(6_000).await; // 1000 tokens of input, and then 40 of output
    let slow = Turn::Slow(Duration::from_millis(1), Box::new(Turn::Text("words ".repeat(200))));
    bench.model.set_script(sequence(vec![slow]));
    let stream = bench.post("/v1/messages", &question(true)).send().await.unwrap().text().await.unwrap();
    let (_, last) = stream.trim_end().rsplit_once("\n\n").unwrap();
    assert!(last.starts_with("event: error\ndata: {") && last.contains("billing_error"), "{last}");
    assert!(stream.split("\n\n").all(|event| event.is_empty() || event.contains("\ndata: {")), "{stream}");
    let spent = bench.run.close().await.cost_micro_usd;
    assert!((6_000..7_500).contains(&spent), "{spent}");
}

#[tokio::test]
async fn what_is_not_allowed_is_refused_and_never_sent() {
    let bench = Bench::with(ENOUGH, |config| config.allowed_models = Some(vec!["claude-opus-*".to_owned()])).await;
    let with = |field: &str, value: Value| {
        let mut body = question(false);
        body[field] = value;
        body
    };
    let long_query = format!("/v1/messages?{}", "x".repeat(600));
    let cases = [
        (long_query.as_str(), question(false), 403, "permission_error"),
        ("/v1/files", question(false), 403, "permission_error"),
        ("/v1/messages/batches", question(false), 403, "permission_error"),
        ("/", question(false), 403, "permission_error"),
        ("/v1/messages", with("model", "claude-haiku-4-5".into()), 403, "permission_error"),
        ("/v1/messages", with("tools", json!([{"type": "web_fetch_20250910"}])), 403, "permission_error"),
        ("/v1/messages/count_tokens", with("mcp_servers", json!([{"url": "https://x"}])), 403, "permission_error"),
        ("/v1/messages", json!({"max_tokens": 5}), 400, "invalid_request_error"),
        ("/v1/messages", json!("words"), 400, "invalid_request_error"),
    ];
    for (path, body, status, error) in &cases {
        let (got, answer) = answer(bench.post(path, body)).await;
        assert_eq!((got, kind(&answer)), (*status, *error), "{path} {body}");
    }
    assert!(bench.model.requests().is_empty());
    assert_eq!(bench.run.usage(), Usage { refused: cases.len() as u64, ..Usage::default() });
}

#[tokio::test]
async fn server_tools_pass_when_the_configuration_says_so() {
    let bench = Bench::with(ENOUGH, |config| config.allow_server_tools = true).await;
    let mut body = question(false);
    body["tools"] = json!([{"type": "web_search_20250305", "name": "web_search"}]);
    assert_eq!(bench.ask(&body).await.0, 200);
}

#[tokio::test]
async fn a_body_beyond_the_limit_gets_413() {
    let bench = Bench::with(ENOUGH, |config| config.limits.body_bytes = 100_000).await;
    let mut body = question(false);
    body["messages"][0]["content"] = "x".repeat(150_000).into();
    let (status, answer) = bench.ask(&body).await;
    assert_eq!((status, kind(&answer)), (413, "request_too_large"));
    body["messages"][0]["content"] = "x".repeat(90_000).into();
    assert_eq!(bench.ask(&body).await.0, 200);
}

#[tokio::test]
async fn only_so_many_requests_are_with_the_model_at_once() {
    let bench = Bench::with(ENOUGH, |config| config.limits.concurrent = 2).await;
    bench.model.set_script(hang());
    let body = question(true);
    let mut waiting: Vec<_> = (0..5).map(|_| Box::pin(bench.ask(&body))).collect();
    let all = futures::future::join_all(waiting.iter_mut());
    assert!(timeout(Duration::from_millis(300), all).await.is_err());
    assert_eq!(bench.model.requests().len(), 2);
    drop(waiting);
    bench.model.set_script(text("Yes."));
    assert_eq!(timeout(SOON, bench.ask(&body)).await.unwrap().0, 200);
}

#[tokio::test]
async fn only_so_many_connections_are_open_at_once() {
    let bench = Bench::with(ENOUGH, |config| config.limits.connections = 1).await;
    let idle = tokio::net::UnixStream::connect(bench.folder.path().join("model.sock")).await.unwrap();
    let body = question(false);
    let mut asked = Box::pin(bench.ask(&body));
    assert!(timeout(Duration::from_millis(200), &mut asked).await.is_err());
    drop(idle);
    assert_eq!(timeout(SOON, asked).await.unwrap().0, 200);
}

#[tokio::test]
async fn a_request_without_room_in_the_budget_waits_for_the_open_ones() {
    let bench = Bench::with(20_000, |config| config.limits.total = Duration::from_millis(400)).await;
    bench.model.set_script(hang());
    let body = question(false);
    let (first, second) = tokio::join!(bench.ask(&body), async {
        timeout(SOON, bench.model.wait_for_requests(1)).await.unwrap();
        timeout(Duration::from_millis(200), bench.ask(&body)).await
    });
    assert_eq!(first.0, 504);
    assert!(second.is_err(), "it waits: {second:?}");
    assert_eq!(bench.ask(&body).await.0, 402, "the lost answer is charged to its longest");
}

#[tokio::test]
async fn a_model_that_is_down_is_a_502_and_one_that_is_silent_a_504() {
    let down = Bench::with(ENOUGH, |config| config.upstream = nobody().parse().unwrap()).await;
    let (status, body) = down.ask(&question(false)).await;
    assert_eq!((status, kind(&body)), (502, "api_error"));
    assert_eq!(down.run.close().await.cost_micro_usd, 0);

    let silent = Bench::with(ENOUGH, |config| config.limits.idle = Duration::from_millis(50)).await;
    silent.model.set_script(hang());
    let (status, body) = silent.ask(&question(true)).await;
    assert_eq!((status, kind(&body)), (504, "timeout_error"));
    let late = Bench::with(ENOUGH, |config| config.limits.total = Duration::from_millis(50)).await;
    late.model.set_script(hang());
    assert_eq!(late.ask(&question(false)).await.0, 504);

    silent.model.set_script(sequence(vec![Turn::Stall("words".to_owned())]));
    let response = silent.post("/v1/messages", &question(true)).send().await.unwrap();
    assert!(timeout(SOON, response.text()).await.unwrap().is_err(), "a stream that falls silent is broken off");
}

#[tokio::test]
async fn the_models_own_errors_pass_unchanged_and_cost_nothing() {
    let bench = Bench::new(ENOUGH).await;
    bench.model.set_script(errors(429));
    let response = bench.post("/v1/messages", &question(true)).send().await.unwrap();
    assert_eq!((response.status().as_u16(), &response.headers()["retry-after"]), (429, &"1".parse().unwrap()));
    assert!(response.text().await.unwrap().contains("rate_limit_error"));
    assert_eq!(bench.run.close().await, Usage { requests: 1, ..Usage::default() });
}

#[tokio::test]
async fn an_agent_that_hangs_up_has_spent_all_the_same() {
    let bench = Bench::new(ENOUGH).await;
    bench.model.set_script(sequence(vec![Turn::Stall("x".repeat(300))]));
    let mut response = bench.post("/v1/messages", &question(true)).send().await.unwrap();
    while !response.chunk().await.unwrap().unwrap().windows(3).any(|letters| letters == b"xxx") {}
    drop(response);
    let mut watch = bench.run.subscribe();
    timeout(SOON, watch.wait_for(|usage| usage.input_tokens == 1_000)).await.unwrap().unwrap();

    // A whole answer that nobody waits for may have been written to its longest.
    bench.model.set_script(hang());
    let body = question(false);
    let asked = timeout(Duration::from_millis(300), bench.ask(&body)).await;
    assert!(asked.is_err());
    timeout(SOON, watch.wait_for(|usage| usage.output_tokens >= 1_000)).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_broken_stream_costs_what_was_seen() {
    let bench = Bench::new(ENOUGH).await;
    bench.model.set_script(sequence(vec![Turn::CutStream]));
    let response = bench.post("/v1/messages", &question(true)).send().await.unwrap();
    assert!(response.text().await.is_err());
    let usage = bench.run.close().await;
    assert_eq!(usage.input_tokens, 1_000);
    assert!((1..100).contains(&usage.output_tokens), "{usage:?}");
}

#[tokio::test]
async fn closing_and_dropping_remove_the_socket_and_settle() {
    let bench = Bench::new(ENOUGH).await;
    let socket = bench.folder.path().join("model.sock");
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    bench.model.set_script(sequence(vec![Turn::Stall("words".to_owned())]));
    let _open = bench.post("/v1/messages", &question(true)).send().await.unwrap();
    assert_eq!(bench.run.close().await.input_tokens, 1_000);
    assert!(!socket.exists());

    let gateway = Gateway::new(config(&bench.model.url())).unwrap();
    let run = gateway.open(&run_id(), ENOUGH, Listen::Unix(socket.clone())).await.unwrap();
    let taken = gateway.open(&run_id(), ENOUGH, Listen::Unix(socket.clone())).await;
    assert!(matches!(taken, Err(GatewayError::Listen { .. })), "a living socket is not taken away");
    drop(run);
    assert!(!socket.exists());
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let run = gateway.open(&run_id(), ENOUGH, Listen::Unix(socket.clone())).await.unwrap();
    assert_eq!(run.address(), &Address::Unix(socket.clone()), "a dead socket is replaced");
    assert_eq!(client(&socket).get("http://localhost/v1/models").send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_loopback_port_serves_only_who_knows_its_path() {
    let model = ScriptedModel::start().await;
    let gateway = Gateway::new(config(&model.url())).unwrap();
    let run = gateway.open(&run_id(), ENOUGH, Listen::Loopback).await.unwrap();
    let Address::Loopback(url) = run.address().clone() else { panic!("asked for loopback") };
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let ask = |base: String| client.get(format!("{base}/v1/models")).send();
    assert_eq!(ask(url.to_string()).await.unwrap().status(), 200);
    assert_eq!(ask(url.origin().ascii_serialization()).await.unwrap().status(), 404);
    assert_eq!(model.requests().len(), 1);
    let guard = url.path().trim_matches('/').to_owned();
    assert_eq!(guard.len(), 32);
    assert!(!format!("{run:?}").contains(&guard));
}

#[tokio::test]
async fn bad_paths_and_addresses_get_a_clear_error() {
    let gateway = Gateway::new(config("https://api.anthropic.com")).unwrap();
    let long = std::env::temp_dir().join("x".repeat(120));
    let error = gateway.open(&run_id(), 0, Listen::Unix(long.clone())).await.unwrap_err();
    assert!(matches!(&error, GatewayError::PathTooLong { length, .. } if *length == long.as_os_str().len()));
    assert!(error.to_string().ends_with("bytes but the system allows 107; use a shorter data folder"), "{error}");
    for url in ["ftp://x", "http://me:pw@x", "https://x/?key=1", "data:text/plain,x"] {
        assert!(matches!(Gateway::new(config(url)), Err(GatewayError::Upstream(_))), "{url}");
    }
}

#[tokio::test]
async fn the_key_is_in_no_answer_error_or_debug_output() {
    let broken = Credential { kind: CredentialKind::ApiKey, secret: format!("{KEY}\n").into() };
    let mut said = vec![format!("{broken:?}")];
    let mut bad = config("http://127.0.0.1:1");
    said.push(format!("{bad:?}"));
    bad.credential = Some(broken);
    let error = Gateway::new(bad).unwrap_err();
    said.push(format!("{error} {error:?}"));
    let mut with_password = config("http://127.0.0.1:1");
    with_password.upstream = format!("http://u:{KEY}@x").parse().unwrap();
    said.push(format!("{with_password:?} {:?}", Gateway::new(with_password.clone())));

    for bench in [Bench::new(ENOUGH).await, Bench::with(0, |c| c.upstream = nobody().parse().unwrap()).await] {
        bench.model.set_script(errors(400));
        said.push(format!("{:?}", bench.run));
        for path in ["/v1/messages", "/v1/files", "/v1/messages/count_tokens"] {
            let response = bench.post(path, &question(false)).send().await.unwrap();
            said.push(format!("{response:?}"));
            said.push(response.text().await.unwrap());
        }
    }
    for text in &said {
        assert!(!text.contains(KEY), "{text}");
    }
}

#[tokio::test]
async fn an_api_that_repeats_the_key_in_an_error_is_not_believed() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let parrot = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", parrot.local_addr().unwrap());
    let serving = tokio::spawn(async move {
        let (mut stream, _) = parrot.accept().await.unwrap();
        let mut head = vec![0; 4096];
        let length = stream.read(&mut head).await.unwrap();
        let said = String::from_utf8_lossy(&head[..length]).into_owned();
        let answer = format!("HTTP/1.1 401 No\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{said}", said.len());
        stream.write_all(answer.as_bytes()).await.unwrap();
        said
    });
    let bench = Bench::with(ENOUGH, |config| config.upstream = url.parse().unwrap()).await;
    let response = bench.post("/v1/messages", &question(false)).send().await.unwrap();
    let text = response.text().await.unwrap();
    assert!(serving.await.unwrap().contains(KEY), "the parrot did hear it");
    assert!(text.contains("x-api-key: [key]") && !text.contains(KEY), "{text}");
}
