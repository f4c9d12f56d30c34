use rstest::rstest;
use testkit::clock::TestClock;
use testkit::registries::FakeRegistries;

use super::*;

/// Remembers in memory.
#[derive(Default)]
struct Notes(Mutex<BTreeMap<String, String>>);

#[async_trait]
impl Memory for Notes {
    async fn recall(&self, _: &str, key: &str) -> Result<Option<String>, String> {
        Ok(self.0.lock().unwrap().get(key).cloned())
    }

    async fn remember(&self, _: &str, key: &str, value: &str, _: Timestamp) -> Result<(), String> {
        self.0.lock().unwrap().insert(key.to_owned(), value.to_owned());
        Ok(())
    }
}

struct World {
    fake: FakeRegistries,
    clock: Arc<TestClock>,
    registries: Registries,
    addresses: Addresses,
}

impl World {
    async fn start() -> Self {
        let (fake, clock) = (FakeRegistries::start().await, TestClock::new());
        let [crates, npm, pypi] = fake.urls().map(|url| url.parse().unwrap());
        let registries = Registries::new("ccm/test", Arc::new(Notes::default()), clock.clone());
        Self { fake, clock, registries, addresses: Addresses { crates, npm, pypi } }
    }

    async fn newest(&self, registry: Registry, name: &str) -> Result<Option<String>, RegistryError> {
        self.registries.newest(&self.addresses, registry, name).await
    }

    async fn known(&self, name: &str) -> Option<String> {
        self.newest(Registry::Crates, name).await.unwrap()
    }
}

#[rstest]
#[case(Registry::Crates, "crates", "serde", &["1.0.0", "1.0.200", "2.0.0-rc.1", "1.0.9"], "1.0.200", "/crates/se/rd/serde")]
#[case(Registry::Crates, "crates", "log", &["0.4.1+build"], "0.4.1", "/crates/3/l/log")]
#[case(Registry::Crates, "crates", "cc", &["1.0.0"], "1.0.0", "/crates/2/cc")]
#[case(Registry::Npm, "npm", "react", &["17.0.0", "18.2.0"], "18.2.0", "/npm/react/latest")]
#[case(Registry::Npm, "npm", "@scope/part", &["1.0.0"], "1.0.0", "/npm/@scope%2Fpart/latest")]
#[case(Registry::Npm, "npm", "next", &["1.0.0-beta"], "", "/npm/next/latest")]
#[case(Registry::PyPi, "pypi", "django", &["5.1", "5.1.post1"], "5.1.post1", "/pypi-host/pypi/django/json")]
#[case(Registry::PyPi, "pypi", "early", &["1.0rc1"], "", "/pypi-host/pypi/early/json")]
#[tokio::test]
async fn each_registry_is_asked_in_its_own_way(
    #[case] registry: Registry,
    #[case] at: &str,
    #[case] name: &str,
    #[case] versions: &[&str],
    #[case] newest: &str,
    #[case] path: &str,
) {
    let world = World::start().await;
    versions.iter().for_each(|version| world.fake.publish(at, name, version));
    assert_eq!(world.newest(registry, name).await.unwrap().unwrap_or_default(), newest);
    assert_eq!((world.fake.requests(), world.fake.user_agents()), (vec![path.to_owned()], vec!["ccm/test".to_owned()]));
}

#[tokio::test]
async fn withdrawn_versions_and_unknown_packages_are_no_versions() {
    let world = World::start().await;
    for version in ["1.0.0", "1.1.0"] {
        world.fake.publish("crates", "serde", version);
        world.fake.publish("pypi", "old", version);
        world.fake.yank("pypi", "old", version);
    }
    world.fake.yank("crates", "serde", "1.1.0");
    assert_eq!(world.known("serde").await.as_deref(), Some("1.0.0"));
    assert_eq!(world.known("unknown").await, None);
    assert_eq!(world.newest(Registry::PyPi, "old").await.unwrap(), None);
}

#[tokio::test]
async fn an_answer_holds_a_day_and_is_then_asked_about_by_its_tag() {
    let world = World::start().await;
    world.fake.publish("crates", "serde", "1.0.0");
    for hours in [0, 12, 11] {
        world.clock.advance(Duration::from_hours(hours));
        assert_eq!(world.known("serde").await.as_deref(), Some("1.0.0"));
    }
    assert_eq!(world.fake.requests().len(), 1);
    world.clock.advance(FRESH);
    assert_eq!(world.known("serde").await.as_deref(), Some("1.0.0"));
    assert_eq!((world.fake.requests().len(), world.fake.not_modified()), (2, 1));
    world.fake.publish("crates", "serde", "2.0.0");
    world.clock.advance(FRESH);
    assert_eq!(world.known("serde").await.as_deref(), Some("2.0.0"));
}

#[tokio::test]
async fn a_registry_that_fails_is_left_alone_and_what_it_said_holds() {
    let world = World::start().await;
    world.fake.publish("crates", "serde", "1.0.0");
    world.fake.publish("npm", "react", "18.0.0");
    assert_eq!(world.known("serde").await.as_deref(), Some("1.0.0"));
    world.clock.advance(FRESH);
    world.fake.fail(Some((503, None)));
    for _ in 0..5 {
        assert_eq!(world.known("serde").await.as_deref(), Some("1.0.0"), "the older answer");
    }
    assert_eq!(world.fake.requests().len(), 4, "three failures, then none");
    assert!(matches!(world.newest(Registry::Crates, "log").await, Err(RegistryError::Paused { .. })));
    world.fake.fail(None);
    assert_eq!(world.newest(Registry::Npm, "react").await.unwrap().as_deref(), Some("18.0.0"), "another registry");
    world.clock.advance(PAUSE);
    assert_eq!(world.newest(Registry::Crates, "log").await.unwrap(), None, "it is asked again");
}

#[tokio::test]
async fn a_registry_may_ask_for_a_pause_of_at_most_a_day() {
    let world = World::start().await;
    for (asked, waits) in [(3_600, Duration::from_hours(1)), (9_999_999, LONGEST_PAUSE), (0, PAUSE)] {
        let name = &format!("p{asked}");
        world.fake.fail(Some((429, Some(asked))));
        assert!(matches!(world.newest(Registry::Crates, name).await, Err(RegistryError::Unavailable { .. })));
        world.fake.fail(None);
        world.clock.advance(waits - Duration::from_secs(1));
        assert!(matches!(world.newest(Registry::Crates, name).await, Err(RegistryError::Paused { .. })), "{asked}");
        world.clock.advance(Duration::from_secs(1));
        assert_eq!(world.newest(Registry::Crates, name).await.unwrap(), None);
    }
}

#[tokio::test]
async fn an_endless_answer_and_a_name_that_leads_elsewhere_are_refused() {
    let world = World::start().await;
    world.fake.publish("crates", "serde", "1.0.0");
    world.fake.pad(MAX_BODY_BYTES);
    let error = world.newest(Registry::Crates, "serde").await.unwrap_err().to_string();
    assert!(error.contains("longer than"), "{error}");
    for name in ["..", "", ".hidden", "a/../../b"] {
        assert!(world.newest(Registry::PyPi, name).await.is_err(), "{name}");
    }
    assert_eq!(world.fake.requests().len(), 1);
}

#[tokio::test]
async fn another_address_answers_for_itself() {
    let mut world = World::start().await;
    world.fake.publish("crates", "serde", "1.0.0");
    assert_eq!(world.known("serde").await.as_deref(), Some("1.0.0"));
    let other = FakeRegistries::start().await;
    other.publish("crates", "serde", "3.0.0");
    world.addresses.crates = other.urls()[0].parse().unwrap();
    assert_eq!(world.known("serde").await.as_deref(), Some("3.0.0"));
}
