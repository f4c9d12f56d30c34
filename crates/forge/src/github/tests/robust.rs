//! GitHub on bad days: failures at random, slow bodies, answers of odd shapes, things that move.

use super::*;

const CREATE: &str = "POST /repos/{owner}/{repo}/issues";

/// Calls again as late as asked, until the answer is final or patience ends.
async fn settled(world: &World, github: &GitHub, draft: &IssueDraft) -> Option<ForgeError> {
    for _ in 0..60 {
        match github.ensure_issue(draft).await {
            Err(ForgeError::Transient { retry_at, .. }) => {
                world.clock.set(retry_at.unwrap_or_else(|| world.clock.now().plus(seconds(60))).max(world.clock.now()));
            }
            Err(ForgeError::Limited { until }) => world.clock.set(until.max(world.clock.now())),
            Ok(_) => return None,
            Err(other) => return Some(other),
        }
    }
    panic!("still waiting after 60 calls");
}

#[tokio::test]
async fn f45_failures_at_random_make_no_second_issue() {
    for (percent, seed) in [(5, 11), (20, 12), (60, 13)] {
        let world = World::new().await;
        let github = world.github();
        github.login().await.unwrap();
        world.fake.fail(Fault::at_random(percent, seed));
        let (mut given_up, mut titles) = (0, Vec::new());
        for n in 0..8 {
            let task = format!("3k9d0fz2h{n}").parse().unwrap();
            let draft = IssueDraft { task, title: format!("Proposal {n}"), ..draft() };
            given_up += usize::from(settled(&world, &github, &draft).await.is_some());
        }
        titles.extend(world.fake.issues().into_iter().map(|issue| issue.title));
        let made = titles.len();
        titles.sort();
        titles.dedup();
        assert_eq!(titles.len(), made, "{percent} %: twice the same");
        assert!(made + given_up >= 8, "{percent} %: {made} made, {given_up} for a person");
        assert!(percent > 20 || given_up == 0, "{percent} %: {given_up} for a person");
        world.fair();
    }
}

#[tokio::test]
async fn f46_a_body_of_a_byte_now_and_then_is_cut_off() {
    let world = World::new().await;
    let limits = Limits { request_timeout: Duration::from_millis(300), tries: 2, ..Limits::default() };
    let github = world.github_with(limits);
    world.fake.fail(Fault::dripping_body(Duration::from_millis(50)).on("GET /repos/{owner}/{repo}").times(2));
    let error = ask(&github).await.unwrap_err();
    assert!(matches!(error, ForgeError::Transient { .. }), "{error}");
    ask(&github).await.unwrap();
    world.fair();
}

#[tokio::test]
async fn f49_what_is_wrong_is_told_in_any_shape() {
    for fault in Fault::unprocessable() {
        let world = World::new().await;
        let name = format!("{fault:?}");
        world.fake.fail(fault.on(CREATE));
        let error = world.github().ensure_issue(&draft()).await.unwrap_err();
        assert!(matches!(&error, ForgeError::Unexpected(why) if why.contains("title")), "{name}: {error}");
        assert_eq!(world.count(CREATE), 1, "not sent again");
        world.fair();
    }
}

#[tokio::test]
async fn f30_no_redirect_of_a_write_is_followed_blindly() {
    for status in [301, 302, 307, 308] {
        let world = World::new().await;
        let github = world.github();
        world.fake.set_write_redirect(status);
        world.fake.rename_repo("me/app", "me/application");
        let error = github.ensure_issue(&draft()).await.unwrap_err();
        assert!(error.to_string().contains("me/application"), "{status}: {error}");
        assert!(world.fake.issues_in("me/application").is_empty());
        world.patiently(async || github.ensure_issue(&draft()).await).await.unwrap();
        assert_eq!(world.fake.issues_in("me/application").len(), 1, "{status}");
        world.fair();
    }
}

#[tokio::test]
async fn f64_a_closed_door_is_a_refusal_and_asked_once() {
    let world = World::new().await;
    let github = world.github();
    github.login().await.unwrap();
    world.fake.set_archived("me/app", true);
    let error = github.ensure_issue(&draft()).await.unwrap_err();
    assert!(matches!(error, ForgeError::Denied { .. }), "{error}");
    assert!(world.count(CREATE) <= 1);
    world.fake.set_blocked("me/app", true);
    let error = ask(&github).await.unwrap_err();
    assert!(matches!(error, ForgeError::Denied { .. }), "{error}");
    world.fair();
}
