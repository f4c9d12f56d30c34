use super::*;
use backlog::time::Clock;
use futures::future::join_all;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A site whose answers wait on a clock that runs by itself while this client waits for answers.
struct Virtual {
    site: Site,
    under_way: Arc<AtomicUsize>,
    _driver: crate::clock::Driver,
}

impl Virtual {
    async fn get(&self, path: &str) -> u16 {
        self.under_way.fetch_add(1, Ordering::SeqCst);
        let (status, _) = self.site.get(path).await;
        self.under_way.fetch_sub(1, Ordering::SeqCst);
        status
    }

    async fn post(&self, path: &str, body: Value) -> u16 {
        self.under_way.fetch_add(1, Ordering::SeqCst);
        let (status, _) = self.site.post(path, body).await;
        self.under_way.fetch_sub(1, Ordering::SeqCst);
        status
    }

    fn now(&self) -> u64 {
        self.site.clock.now().since(TestClock::START).as_secs()
    }
}

async fn in_virtual_time() -> Virtual {
    let clock = TestClock::new();
    let github = FakeGitHub::in_virtual_time(clock.clone()).await;
    github.repo("me/app").await;
    let token = github.token_for("ccm-bot");
    let client = Client::builder().user_agent("test").no_proxy().build().expect("a client");
    let under_way = Arc::<AtomicUsize>::default();
    let counted = Arc::clone(&under_way);
    let driver = clock.drive(move || counted.load(Ordering::SeqCst));
    Virtual { site: Site { github, clock, token, client }, under_way, _driver: driver }
}

#[tokio::test]
async fn latency_passes_on_the_clock_and_side_by_side() {
    let hub = in_virtual_time().await;
    let site = &hub.site;
    site.github.set_latency(Duration::from_secs(2));
    site.github.set_latency_of("GET /meta", Duration::from_secs(7));
    join_all([hub.get("/user"), hub.get("/meta"), hub.get("/user")]).await;
    assert_eq!(hub.now(), 7);
    site.github.fail(Fault::slow(Duration::from_secs(3600)));
    hub.get("/user").await;
    assert_eq!(hub.now(), 3609);
    let took: Vec<u64> = site.github.requests().iter().map(|request| request.took.as_secs()).collect();
    assert_eq!(took.iter().sum::<u64>(), 2 + 7 + 2 + 3602);
    assert_eq!(site.github.open_requests(), 0);
}

#[tokio::test]
async fn too_much_work_is_noticed_by_how_long_answers_take() {
    let hub = in_virtual_time().await;
    let site = &hub.site;
    site.github.set_latency(Duration::from_secs(9));
    join_all((0..10).map(|_| hub.get("/user"))).await;
    assert_eq!(site.github.violations(), [""; 0]);
    hub.get("/user").await;
    let expected = "ccm-bot used 99000 milliseconds of answers in a minute, 90000 are allowed";
    assert_eq!(site.github.violations(), [expected]);
}

#[tokio::test]
async fn f42_a_document_given_up_takes_ten_seconds() {
    let hub = in_virtual_time().await;
    let site = &hub.site;
    site.github.set_most_aliases(1);
    let status = hub.post("/graphql", json!({"query": "{ a: viewer { login } b: viewer { login } }"})).await;
    assert_eq!((status, hub.now()), (502, 10));
}

#[tokio::test]
async fn merges_say_which_head_they_mean_and_mutations_come_alone() {
    let (site, _) = Site::with_pull("").await;
    site.send(Method::PUT, "/repos/me/app/pulls/1/merge", json!({})).await;
    let merge = "mergePullRequest(input: {pullRequestId: \"x\"}) { clientMutationId }";
    site.post("/graphql", json!({"query": format!("mutation {{ {merge} }}")})).await;
    site.post("/graphql", json!({"query": format!("mutation {{ a: {merge} b: {merge} }}")})).await;
    let nameless = "a merge did not say which head it means";
    assert_eq!(site.github.violations(), [nameless, nameless, "one document had 2 mutations"]);
}
