//! Apps against the fake GitHub.

use testkit::github::{App, Fault, Selection};

use super::super::tests::{World, draft, seconds};
use super::super::{GitHub, GitHubConfig, Limits};
use super::*;
use crate::{Forge, ForgeError};

const MINT: &str = "POST /app/installations/{installation_id}/access_tokens";

/// A fake GitHub whose `me` and `org` have installed an App.
struct Two {
    world: World,
    app: App,
    me: u64,
    org: u64,
}

impl Two {
    async fn new() -> Self {
        let world = World::new().await;
        world.fake.organization("org");
        for name in ["org/tool", "org/other", "me/secret"] {
            world.fake.repo(name).await;
            world.fake.set_private(name, true);
        }
        let app = world.fake.app("worker");
        let me = world.fake.install(&app, "me", Selection::All);
        let org = world.fake.install(&app, "org", Selection::Only(vec!["org/tool".to_owned()]));
        Self { world, app, me, org }
    }

    fn github(&self) -> GitHub {
        self.github_of(&["*/*"])
    }

    fn github_of(&self, patterns: &[&str]) -> GitHub {
        let credential =
            Credential::App { id: self.app.id.to_string(), private_key: self.app.private_key.clone().into() };
        let repositories = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
        self.world.github_as(GitHubConfig { credential, repositories, ..self.world.config(Limits::default()) })
    }

    fn mints(&self) -> usize {
        self.world.count(MINT)
    }
}

fn name(text: &str) -> RepoName {
    text.parse().unwrap()
}

async fn names(github: &GitHub) -> Vec<String> {
    github.repositories().await.unwrap().iter().map(|view| view.name.to_string()).collect()
}

#[tokio::test]
async fn r01_each_installation_is_an_actor_and_all_speak_as_the_bot() {
    let two = Two::new().await;
    let github = two.github();
    assert_eq!(github.login().await.unwrap(), "worker[bot]");
    assert_eq!(names(&github).await, ["me/app", "me/secret", "org/tool"]);
    let issue = github.ensure_issue(&draft()).await.unwrap();
    assert_eq!(two.world.fake.issues()[0].user, "worker[bot]");
    assert_eq!(github.ensure_issue(&draft()).await.unwrap().link.number, issue.link.number);
    let (me, org) = (format!("installation-{}", two.me), format!("installation-{}", two.org));
    let actors: std::collections::BTreeSet<String> =
        two.world.fake.requests().into_iter().map(|request| request.actor).collect();
    assert!(actors.contains(&me) && actors.contains(&org), "{actors:?}");
    two.world.fair();
}

#[tokio::test]
async fn r26_f33_a_new_token_is_used_once_github_knows_it() {
    for status in [401, 403, 404] {
        let two = Two::new().await;
        two.world.fake.new_tokens_are_unknown_for(seconds(3), status);
        let github = two.github();
        assert_eq!(github.repository(&name("me/secret")).await.unwrap().name.as_str(), "me/secret");
        assert_eq!(two.mints(), 1, "{status}");
        two.world.fair();
    }
}

#[tokio::test]
async fn r35_f35_a_clock_that_is_off_is_corrected_once() {
    for seconds in [-300, 900] {
        let two = Two::new().await;
        two.world.fake.put_clock_ahead(seconds);
        let github = two.github();
        assert_eq!(names(&github).await.len(), 3);
        let refused = two.world.fake.requests().into_iter().filter(|request| request.status == Some(401)).count();
        assert_eq!(refused, 1);
        two.world.fair();
    }
}

#[tokio::test]
async fn r35_a_key_that_is_none_is_refused_before_anything_is_sent() {
    let two = Two::new().await;
    let credential = Credential::App { id: "1".to_owned(), private_key: "no key".to_owned().into() };
    let config = GitHubConfig { credential, ..two.world.config(Limits::default()) };
    let made = GitHub::new(config, two.world.ledger.clone(), two.world.clock.clone());
    assert!(made.is_err_and(|error| error.to_string().contains("no RSA key in PEM form")));
}

#[tokio::test]
async fn r36_one_token_is_minted_for_all_who_ask_and_renewed_in_time() {
    let two = Two::new().await;
    let github = two.github();
    let here = name("me/app");
    let looks = futures::future::join_all((0..20).map(|_| github.permission(&here, "ann"))).await;
    assert!(looks.iter().all(Result::is_ok));
    assert_eq!(two.mints(), 1);
    two.world.clock.advance(seconds(49 * 60));
    github.repository(&name("me/app")).await.unwrap();
    assert_eq!(two.mints(), 1);
    two.world.clock.advance(seconds(61));
    github.repository(&name("me/app")).await.unwrap();
    assert_eq!(two.mints(), 2, "less than ten minutes were left");
    two.world.fair();
}

#[tokio::test]
async fn r36_f32_a_dead_token_is_replaced_once_and_the_request_repeated() {
    let two = Two::new().await;
    let github = two.github();
    github.repository(&name("me/app")).await.unwrap();
    two.world.clock.advance(seconds(120));
    two.world.fake.revoke_installation_tokens();
    github.repository(&name("me/app")).await.unwrap();
    assert_eq!(two.mints(), 2);
    let number = github.ensure_issue(&draft()).await.unwrap().link.number;
    two.world.clock.advance(seconds(120));
    two.world.fake.revoke_installation_tokens();
    let closed = crate::IssuePatch { state: Some(crate::IssueClose::Completed), ..Default::default() };
    github.update_issue(&super::super::tests::link(number), &closed).await.unwrap();
    two.world.clock.advance(seconds(120));
    two.world.fake.fail(Fault::status(401, "Bad credentials").on("GET /repos/{owner}/{repo}").forever());
    let error = github.repository(&name("me/app")).await.unwrap_err();
    assert!(matches!(error, ForgeError::BadCredential(_)), "only once: {error}");
    two.world.fair();
}

#[tokio::test]
async fn r36_a_push_gets_a_token_for_one_repository_that_ends_with_it() {
    let two = Two::new().await;
    let github = two.github();
    let access = github.git_access(&name("me/secret"), crate::GitUse::Push).await.unwrap();
    let (_, token) = access.login.unwrap();
    let client = reqwest::Client::builder().user_agent("test").no_proxy().build().unwrap();
    let ask = async |path: &str| {
        let url = format!("{}{path}", two.world.fake.url());
        let request = client.get(url).bearer_auth(secrecy::ExposeSecret::expose_secret(&token));
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(ask("/repos/me/secret/contents").await, 404, "empty, but it may look");
    assert_eq!(ask("/repos/me/secret/issues").await, 403);
    assert_eq!(ask("/repos/org/tool").await, 404);
    github.give_back(&name("me/secret"), &token).await;
    assert_eq!(ask("/repos/me/secret").await, 401);
    github.repository(&name("me/secret")).await.unwrap();
    let before = two.mints();
    for repository in ["me/secret", "me/app"] {
        github.git_access(&name(repository), crate::GitUse::Read).await.unwrap();
    }
    assert_eq!(two.mints(), before, "all fetches of an installation share a token");
    two.world.fair();
}

#[tokio::test]
async fn r37_f34_tokens_of_any_length_work_and_stand_in_no_text() {
    for length in [600, 8000] {
        let two = Two::new().await;
        two.world.fake.set_token_length(length);
        let github = two.github();
        github.ensure_issue(&draft()).await.unwrap();
        for (token, _) in two.world.fake.installation_tokens() {
            assert!(token.len() >= length - 10);
            for fault in [Fault::status(403, &format!("your token {token}")), Fault::answer(200, &token)] {
                two.world.fake.fail(fault);
                let error = format!("{0} {0:?}", github.repository(&name("me/app")).await.unwrap_err());
                assert!(!error.contains("ghs_"), "{error}");
            }
        }
        assert!(!two.world.ledger.text().contains("ghs_"));
        two.world.fair();
    }
}

#[tokio::test]
async fn r38_f36_suspended_removed_and_renewed_installations() {
    let two = Two::new().await;
    let github = two.github_of(&["me/*", "org/*"]);
    assert_eq!(names(&github).await, ["me/app", "me/secret", "org/tool"]);
    two.world.fake.suspend(two.org);
    assert_eq!(names(&github).await, ["me/app", "me/secret"], "the other account goes on");
    let [there] = &github.unreachable()[..] else { panic!("one account is suspended") };
    assert!(there.lasting && there.owner == "org" && there.why.contains("is suspended"), "{there:?}");
    let error = github.repository(&name("org/tool")).await.unwrap_err();
    assert!(matches!(&error, ForgeError::Denied { why, .. } if why.contains("suspended")), "{error}");
    two.world.fake.unsuspend(two.org);
    assert_eq!(names(&github).await.len(), 3);
    two.world.clock.advance(seconds(3600));
    let again = two.world.fake.reinstall(&two.app, two.org);
    assert_eq!(github.repository(&name("org/tool")).await.unwrap().name.as_str(), "org/tool", "found again");
    two.world.clock.advance(seconds(3600));
    two.world.fake.uninstall(again);
    let error = github.repository(&name("org/tool")).await.unwrap_err();
    assert!(error.to_string().contains("not installed there any more"), "{error}");
    names(&github).await;
    assert!(github.unreachable().iter().any(|there| there.owner == "org" && there.lasting));
    two.world.fair();
}

#[tokio::test]
async fn f37_a_permission_that_is_taken_away_is_told() {
    let two = Two::new().await;
    let github = two.github();
    assert_eq!(names(&github).await.len(), 3);
    two.world.fake.grant(two.me, &[("metadata", "read"), ("contents", "write"), ("pull_requests", "write")]);
    let error = github.ensure_issue(&draft()).await.unwrap_err();
    assert!(matches!(&error, ForgeError::Denied { .. }), "{error}");
    assert_eq!(names(&github).await, ["org/tool"]);
    let why = &github.unreachable()[0].why;
    assert!(why.contains("lacks the permission issues: write"), "{why}");
    two.world.fair();
}

#[tokio::test]
async fn f45_reads_with_an_app_survive_a_server_that_stumbles() {
    let two = Two::new().await;
    let github = two.github();
    for _ in 0..3 {
        two.world.fake.fail(Fault::bad_gateway().on("GET /repos/{owner}/{repo}"));
    }
    github.repository(&name("me/app")).await.unwrap();
    two.world.fair();
}

#[tokio::test]
async fn f48_an_enterprise_server_without_limit_headers_is_fine() {
    let two = Two::new().await;
    two.world.fake.fail(Fault::without_rate_headers().forever());
    assert_eq!(names(&two.github()).await.len(), 3);
    two.world.fair();
}

#[tokio::test]
async fn f30_with_an_app_a_renamed_repository_gets_one_issue_under_its_new_name() {
    let two = Two::new().await;
    let github = two.github();
    github.repository(&name("me/app")).await.unwrap();
    two.world.fake.rename_repo("me/app", "me/application");
    let issue = two.world.patiently(async || github.ensure_issue(&draft()).await).await.unwrap();
    assert_eq!((issue.link.number, two.world.fake.issues_in("me/application").len()), (1, 1));
    two.world.fair();
}

#[tokio::test]
async fn f31_with_an_app_no_token_leaves_for_another_host() {
    let two = Two::new().await;
    let github = two.github();
    github.repository(&name("me/app")).await.unwrap();
    two.world.fake.fail(Fault::redirect_elsewhere().on("GET /repos/{owner}/{repo}"));
    let error = github.repository(&name("me/app")).await.unwrap_err();
    assert!(error.to_string().contains("another host"), "{error}");
    two.world.fair();
}
