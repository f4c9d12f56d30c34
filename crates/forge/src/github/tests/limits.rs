//! The fault cases of limits, by name; the rules themselves are tested beside the governor.

use futures::future::join_all;

use super::*;

/// One small query over GraphQL.
async fn query(github: &GitHub) -> Result<(), Failure> {
    let client = github.client_of(&app()).await?;
    client.query("query { viewer { login } }", &serde_json::json!({})).await.map(drop)
}

/// A resource that is used up waits for its reset, and no other.
async fn used_up(status: u16) {
    let world = World::new().await;
    let github = world.github();
    github.login().await.unwrap();
    world.fake.fail(Fault::exhausted(status, seconds(600)));
    let wait = wait_of(&ask(&github).await.unwrap_err(), world.clock.now());
    assert!((601..=603).contains(&wait.as_secs()), "{wait:?}");
    let limits = github.limits();
    let paused = |name: &str| limits.iter().find(|limit| limit.resource == name).unwrap().paused_until.is_some();
    assert!(paused("core") && !paused("content"));
    assert!(query(&github).await.is_ok(), "GraphQL goes on");
    world.clock.advance(seconds(603));
    ask(&github).await.unwrap();
    world.fair();
}

#[tokio::test]
async fn f01_a_resource_used_up_with_403_waits_alone() {
    used_up(403).await;
}

#[tokio::test]
async fn f02_a_resource_used_up_with_429_waits_alone() {
    used_up(429).await;
}

/// The whole actor is silent for half a minute.
async fn silent(fault: Fault) {
    let world = World::new().await;
    let github = world.github();
    github.login().await.unwrap();
    world.fake.fail(fault);
    let wait = wait_of(&ask(&github).await.unwrap_err(), world.clock.now());
    assert!((30_000..=33_000).contains(&wait.as_millis()), "{wait:?}");
    let before = world.fake.request_count();
    assert!(matches!(github.ensure_issue(&draft()).await, Err(ForgeError::Limited { .. })));
    assert!(matches!(github.repositories().await, Err(ForgeError::Limited { .. })));
    assert_eq!(world.fake.request_count(), before, "nothing is sent during the pause");
    world.clock.advance(seconds(33));
    ask(&github).await.unwrap();
    world.fair();
}

#[tokio::test]
async fn f03_retry_after_in_seconds_silences_the_actor() {
    silent(Fault::retry_after(403, seconds(30))).await;
}

#[tokio::test]
async fn f04_retry_after_as_a_date_silences_the_actor() {
    silent(Fault::retry_after_date(429, seconds(30))).await;
}

#[tokio::test]
async fn f05_a_secondary_limit_without_a_number_waits_a_minute_and_not_for_the_reset() {
    let world = World::new().await;
    let github = world.github();
    github.login().await.unwrap();
    let far = (world.clock.now().plus(seconds(3_000)).0 / 1_000).to_string();
    let fault = Fault::secondary_limit().with_header("x-ratelimit-remaining", "4000");
    world.fake.fail(fault.with_header("x-ratelimit-reset", &far));
    assert_eq!(wait_of(&ask(&github).await.unwrap_err(), world.clock.now()).as_secs(), 60);
    world.clock.advance(seconds(60));
    ask(&github).await.unwrap();
    world.fair();
}

#[tokio::test]
async fn f06_secondary_limits_in_a_row_double_the_wait_and_the_fifth_fails_the_job() {
    let world = World::new().await;
    let github = world.github();
    github.login().await.unwrap();
    world.fake.fail(Fault::secondary_limit().with_header("x-ratelimit-remaining", "4000").times(5));
    for expected in [60, 120, 240, 480] {
        let wait = wait_of(&ask(&github).await.unwrap_err(), world.clock.now());
        assert_eq!(wait.as_secs(), expected);
        world.clock.advance(wait);
    }
    let fifth = ask(&github).await.unwrap_err();
    assert!(matches!(fifth, ForgeError::Denied { .. }) && fifth.to_string().contains("lower the pace"), "{fifth}");
    assert_eq!(wait_of(&ask(&github).await.unwrap_err(), world.clock.now()).as_secs(), 960);
    world.clock.advance(seconds(960));
    ask(&github).await.unwrap();
    world.fake.fail(Fault::secondary_limit());
    assert_eq!(wait_of(&ask(&github).await.unwrap_err(), world.clock.now()).as_secs(), 60, "a success ends the row");
    world.fair();
}

#[tokio::test]
async fn f07_blocked_content_stops_writing_and_lets_reading_go_on() {
    let world = World::new().await;
    let github = world.github();
    world.fake.fail(Fault::content_blocked().on("POST /issues"));
    let wait = wait_of(&github.ensure_issue(&draft()).await.unwrap_err(), world.clock.now());
    assert_eq!(wait.as_secs(), 15 * 60);
    world.clock.advance(seconds(60));
    ask(&github).await.unwrap();
    assert_eq!(wait_of(&github.ensure_issue(&draft()).await.unwrap_err(), world.clock.now()).as_secs(), 14 * 60);
    world.clock.advance(seconds(14 * 60));
    github.ensure_issue(&draft()).await.unwrap();
    assert_eq!(world.fake.issues().len(), 1);
    world.fair();
}

#[tokio::test]
async fn f08_submitted_too_quickly_closes_content_even_with_a_200() {
    let world = World::new().await;
    let github = world.github();
    github.login().await.unwrap();
    world.fake.fail(Fault::submitted_too_quickly());
    assert!(matches!(query(&github).await, Err(Failure::Limited { .. })));
    world.clock.advance(seconds(60));
    ask(&github).await.unwrap();
    let wait = wait_of(&github.ensure_issue(&draft()).await.unwrap_err(), world.clock.now());
    assert!((13 * 60..=14 * 60).contains(&wait.as_secs()), "{wait:?}");
    world.fair();
}

/// A 403 that no waiting cures is told at once, and nobody waits.
async fn refused(fault: Fault, said: &str) {
    let world = World::new().await;
    let github = world.github();
    world.fake.fail(fault.on("GET /repos/{owner}/{repo}"));
    assert_eq!(ask(&github).await.unwrap_err().to_string(), format!("GET /repos/me/app was refused: {said}"));
    ask(&github).await.unwrap();
    assert_eq!(world.clock.now(), TestClock::START, "nobody waited");
    world.fair();
}

#[tokio::test]
async fn f10_a_missing_permission_is_no_limit() {
    refused(Fault::denied(), "Resource not accessible by integration; the credential needs issues=write").await;
}

#[tokio::test]
async fn f11_a_feature_of_another_plan_is_no_limit() {
    let said = "Upgrade to GitHub Pro or make this repository public to enable this feature.";
    refused(Fault::status(403, said), said).await;
}

/// GitHub with latency in virtual time, and what each process of one account needs.
struct City {
    world: World,
    _driver: testkit::clock::Driver,
}

impl City {
    async fn new() -> Self {
        let clock = TestClock::new();
        let fake = FakeGitHub::in_virtual_time(clock.clone()).await;
        fake.repo("me/app").await;
        fake.commit("me/app", "first", &[("a.txt", "a\n")]).await;
        fake.set_latency(Duration::from_millis(50));
        let token = fake.token_for("robot");
        let _driver = clock.drive(|| 0);
        Self { world: World { fake, clock, ledger: Arc::default(), token }, _driver }
    }

    fn process(&self) -> GitHub {
        let (world, sleep) = (&self.world, self.world.clock.clone());
        GitHub::with_sleep(world.config(Limits::default()), world.ledger.clone(), sleep.clone(), sleep).unwrap()
    }

    /// Reads something that nobody else reads, coming back as often as it is sent away.
    async fn insist(&self, github: &GitHub, n: usize) {
        let name: RepoName = format!("me/app{n}").parse().unwrap();
        loop {
            match github.repository(&name).await {
                Err(ForgeError::Limited { until }) => {
                    self.world.clock.sleep(until.since(self.world.clock.now()).max(seconds(1))).await;
                }
                Err(ForgeError::NotFound(_)) => return,
                other => panic!("{other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn f12_a_thousand_that_wait_for_the_reset_do_not_all_go_at_once() {
    let city = City::new().await;
    city.world.fake.set_hourly_limit("robot", 400);
    let github = city.process();
    github.login().await.unwrap();
    join_all((0..1_000).map(|n| city.insist(&github, n))).await;
    let starts: Vec<i64> = city.world.fake.requests().iter().map(|request| request.at.0).collect();
    let after_a_stop = starts.windows(2).filter(|pair| pair[1] - pair[0] > 600_000).map(|pair| pair[1]);
    let mut resets = 0;
    for reset in after_a_stop {
        resets += 1;
        let first = starts.iter().filter(|at| (reset..reset + 1_000).contains(*at)).count();
        assert!(first <= 20, "{first} in the first second after a reset");
    }
    assert!(resets >= 2, "{resets} resets");
    city.world.fair();
}

#[tokio::test]
async fn f13_ten_limits_at_once_are_one_pause_of_the_longest() {
    let world = World::new().await;
    let github = world.github();
    github.login().await.unwrap();
    for n in 1..=10 {
        world.fake.fail(Fault::retry_after(429, seconds(n * 10)));
    }
    world.fake.tolerate_in_flight(9);
    let names: Vec<RepoName> = (0..10).map(|n| format!("me/app{n}").parse().unwrap()).collect();
    let answers = join_all(names.iter().map(|name| github.repository(name))).await;
    assert!(answers.iter().all(|answer| matches!(answer, Err(ForgeError::Limited { .. }))));
    let wait = wait_of(&ask(&github).await.unwrap_err(), world.clock.now());
    assert!((100..=110).contains(&wait.as_secs()), "{wait:?}");
    world.fair();
}

#[tokio::test]
async fn f14_two_processes_of_one_account_send_no_more_than_one() {
    let city = City::new().await;
    let (one, two) = (city.process(), city.process());
    join_all((0..1_000).map(|n| city.insist([&one, &two][n % 2], n))).await;
    let mut at: Vec<i64> = city.world.fake.requests().iter().map(|request| request.at.0).collect();
    at.sort_unstable();
    let most = at.iter().map(|from| at.iter().filter(|at| (*from..*from + 60_000).contains(*at)).count()).max();
    assert!(most <= Some(450), "{most:?} points in a minute");
    city.world.clock.sleep(seconds(120)).await;
    ask(&one).await.unwrap();
    ask(&two).await.unwrap();
    city.world.fake.fail(Fault::retry_after(429, seconds(120)));
    assert!(matches!(ask(&one).await, Err(ForgeError::Limited { .. })));
    let before = city.world.fake.request_count();
    assert!(matches!(ask(&two).await, Err(ForgeError::Limited { .. })), "the other one knows at once");
    assert_eq!(city.world.fake.request_count(), before);
    city.world.fair();
}

#[tokio::test]
async fn f15_an_answer_that_comes_late_raises_nothing() {
    let world = World::new().await;
    let github = world.github();
    ask(&github).await.unwrap();
    let left = |github: &GitHub| github.limits().iter().find(|limit| limit.resource == "core").unwrap().remaining;
    let before = left(&github);
    world.fake.fail(Fault::headers("x-ratelimit-remaining", "4999"));
    ask(&github).await.unwrap();
    assert!(left(&github) <= before, "{} after {before}", left(&github));
    world.fair();
}

#[tokio::test]
async fn r14_a_pause_survives_a_restart() {
    let world = World::new().await;
    let github = world.github();
    github.login().await.unwrap();
    world.fake.fail(Fault::retry_after(429, seconds(300)));
    ask(&github).await.unwrap_err();
    let before = world.fake.request_count();
    assert!(wait_of(&ask(&world.github()).await.unwrap_err(), world.clock.now()).as_secs() >= 300);
    assert_eq!(world.fake.request_count(), before, "not even the account is asked for");
    world.clock.advance(seconds(330));
    ask(&world.github()).await.unwrap();
    world.fair();
}
