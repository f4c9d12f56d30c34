//! Repositories that cannot be worked: parked with a reason that says what mends it, left in peace meanwhile, and taken
//! up again by themselves.

use std::time::Duration;

use backlog::event::EventKind;
use backlog::task::Stage;
use forge::github::Credential;
use store::EventQuery;
use testkit::github::{App, Fault, Permission, Request, Selection};

use crate::story::{POLICY, Story};

const MINUTE: Duration = Duration::from_secs(60);

/// What goes wrong in a repository.
struct Case {
    name: &'static str,
    act: fn(&Story, &str),
    /// What the reason says, with what mends it.
    says: &'static str,
    mend: fn(&Story, &str),
}

const CASES: [Case; 7] = [
    Case {
        name: "me/push",
        act: |t, name| t.github.permit(name, "ccm-user", Permission::Read),
        says: "Give it write access to contents",
        mend: |t, name| t.github.permit(name, "ccm-user", Permission::Write),
    },
    Case {
        name: "me/archived",
        act: |t, name| t.github.set_archived(name, true),
        says: "Unarchive it",
        mend: |t, name| t.github.set_archived(name, false),
    },
    Case { name: "me/deleted", act: hide, says: "Restore its access", mend: show },
    Case {
        name: "me/renamed",
        act: |t, name| t.github.rename_repo(name, "other/renamed"),
        says: "is called other/renamed now. Put that name into ccm.toml",
        mend: |t, name| t.github.rename_repo("other/renamed", name),
    },
    Case {
        name: "me/blocked",
        act: |t, name| t.github.set_blocked(name, true),
        says: "Its owner can settle that with GitHub",
        mend: |t, name| t.github.set_blocked(name, false),
    },
    Case {
        name: "me/forbidden",
        act: |t, name| t.github.set_forbidden(name, true),
        says: "Authorize the token",
        mend: |t, name| t.github.set_forbidden(name, false),
    },
    Case {
        name: "me/issueless",
        act: |t, name| t.github.set_issues_enabled(name, false),
        says: "switch issues on in the repository's settings",
        mend: |t, name| t.github.set_issues_enabled(name, true),
    },
];

/// To everybody else, a repository that may not be seen is not there.
fn hide(t: &Story, name: &str) {
    t.github.permit(name, "ccm-user", Permission::None);
    t.github.set_private(name, true);
}

fn show(t: &Story, name: &str) {
    t.github.set_private(name, false);
    t.github.permit(name, "ccm-user", Permission::Write);
}

/// So many minutes, one after the other, as they pass in the service.
async fn minutes(t: &Story, count: u32) {
    for _ in 0..count {
        t.beat(MINUTE).await;
    }
}

/// A repository with one TODO.
async fn with_work(t: &Story, name: &str) {
    t.github.repo(name).await;
    t.github.commit(name, "Begin", &[("a.py", "# TODO: handle the empty list\n"), (".github/ccm.toml", POLICY)]).await;
}

async fn reason(t: &Story, name: &str) -> Option<String> {
    let known = t.ctx.store.repositories().await.unwrap();
    known.into_iter().find(|known| known.name.as_str() == name)?.parked
}

/// What the timeline tells of a repository's being parked.
async fn told_of(t: &Story, name: &str) -> Vec<String> {
    let events = t.ctx.store.events(&EventQuery { limit: 10_000, ..EventQuery::default() }).await.unwrap();
    let parked = events.iter().filter(|event| event.event.repository.as_str() == name);
    let reason = |event: &backlog::event::Event| match &event.event.kind {
        EventKind::Parked { reason } => Some(reason.clone()),
        _ => None,
    };
    parked.filter_map(reason).collect()
}

/// How often it does.
async fn told(t: &Story, name: &str) -> usize {
    told_of(t, name).await.len()
}

/// The stages of a repository's tasks, by title.
async fn stages(t: &Story, name: &str) -> Vec<Stage> {
    let tasks = t.tasks().await.into_iter().filter(|task| task.repository.as_str() == name);
    tasks.map(|task| task.state.stage()).collect()
}

/// Requests about a repository, or all, since the story's `before`-th.
fn asked(t: &Story, before: u64, about: &str) -> Vec<String> {
    let new = t.github.requests().into_iter().skip(usize::try_from(before).unwrap());
    let about = new.filter(|request: &Request| request.path.contains(about));
    about.map(|request| format!("{} {}", request.method, request.path)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn f30_f50_f64_closed_repositories_are_parked_with_a_reason_left_in_peace_and_come_back() {
    let t = Story::start().await;
    for case in &CASES {
        with_work(&t, case.name).await;
    }
    minutes(&t, 3).await;
    for case in &CASES {
        assert_eq!(stages(&t, case.name).await, [Stage::Proposed], "{}", case.name);
        (case.act)(&t, case.name);
    }
    minutes(&t, 20).await;
    for case in &CASES {
        let reason = reason(&t, case.name).await.unwrap_or_default();
        assert!(reason.contains(case.says), "{}: {reason}", case.name);
    }
    let before = t.github.request_count();
    t.github.commit("me/app", "More", &[("b.py", "# TODO: say goodbye too\n")]).await;
    minutes(&t, 60).await;
    for case in &CASES {
        let asked = asked(&t, before, case.name);
        assert!(asked.len() <= 20, "{}: {} in an hour: {asked:#?}", case.name, asked.len());
        assert_eq!(told(&t, case.name).await, 1, "{}", case.name);
        assert_eq!(stages(&t, case.name).await, [Stage::Proposed], "{}: no task is lost", case.name);
    }
    assert_eq!(stages(&t, "me/app").await.len(), 2, "the others go on");
    for case in &CASES {
        (case.mend)(&t, case.name);
    }
    minutes(&t, 75).await;
    for case in &CASES {
        assert_eq!(reason(&t, case.name).await, None, "{}", case.name);
        t.github.commit(case.name, "More", &[("b.py", "# TODO: say goodbye too\n")]).await;
    }
    minutes(&t, 15).await;
    for case in &CASES {
        assert_eq!(stages(&t, case.name).await, [Stage::Proposed; 2], "{}: the work goes on", case.name);
    }
    t.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f37_a_missing_permission_parks_and_proposes_when_it_is_granted() {
    let t = Story::start().await;
    let text = "Resource not accessible by personal access token";
    let denied = Fault::status(403, text).with_header("x-accepted-github-permissions", "issues=write");
    t.github.fail(denied.on("POST /repos/{owner}/{repo}/issues").forever());
    minutes(&t, 2).await;
    let reason_now = reason(&t, "me/app").await.unwrap_or_default();
    assert!(reason_now.contains("the credential needs issues=write"), "{reason_now}");
    let before = t.github.request_count();
    minutes(&t, 60).await;
    let posts = asked(&t, before, "/repos/me/app/issues").iter().filter(|one| one.starts_with("POST")).count();
    assert!((1..=3).contains(&posts), "{posts} tries in an hour");
    assert_eq!((told(&t, "me/app").await, t.stage().await), (1, Stage::Found));
    t.github.stop_failing();
    minutes(&t, 60).await;
    assert_eq!((reason(&t, "me/app").await, t.stage().await), (None, Stage::Proposed));
    t.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f37_a_permission_that_goes_during_a_run_parks_and_delivers_when_it_is_back() {
    let t = Story::start().await;
    t.settle().await;
    t.github.label(1, "approved-for-dev", "maintainer");
    let denied = Fault::status(403, "Resource not accessible by personal access token");
    t.github.fail(denied.on("POST /repos/{owner}/{repo}/pulls").forever());
    t.settle().await;
    let reason_now = reason(&t, "me/app").await.unwrap_or_default();
    assert!(reason_now.contains("Mend that"), "{reason_now}");
    let before = t.github.request_count();
    for _ in 0..12 {
        t.beat(5 * MINUTE).await;
        pipeline::worker::drain(&t.ctx).await.unwrap();
    }
    let posts = asked(&t, before, "/repos/me/app/pulls").iter().filter(|one| one.starts_with("POST")).count();
    assert!((1..=12).contains(&posts), "{posts} tries in an hour");
    assert_eq!((told(&t, "me/app").await, t.stage().await), (1, Stage::Verifying));
    t.github.stop_failing();
    t.later(60 * MINUTE).await;
    assert_eq!((reason(&t, "me/app").await, t.stage().await), (None, Stage::InReview));
    t.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f32_a_token_that_is_not_accepted_parks_nothing_and_is_told_in_one_notice() {
    let t = Story::start().await;
    for name in ["me/one", "me/two", "me/three"] {
        with_work(&t, name).await;
    }
    minutes(&t, 3).await;
    let before = t.github.request_count();
    t.github.fail(Fault::status(401, "Bad credentials").forever());
    minutes(&t, 60).await;
    let asked = asked(&t, before, "");
    assert!((1..=30).contains(&asked.len()), "{} requests in an hour: {asked:#?}", asked.len());
    for name in ["me/app", "me/one", "me/two", "me/three"] {
        assert_eq!((reason(&t, name).await, stages(&t, name).await), (None, vec![Stage::Proposed]), "{name}");
    }
    let notices = t.ctx.forges.github.as_ref().unwrap().notices();
    let told: Vec<_> = notices.iter().filter(|notice| notice.contains("does not accept the token")).collect();
    assert_eq!(told.len(), 1, "{notices:?}");
    t.github.stop_failing();
    minutes(&t, 20).await;
    t.github.commit("me/one", "More", &[("b.py", "# TODO: say goodbye too\n")]).await;
    minutes(&t, 15).await;
    assert_eq!(stages(&t, "me/one").await, [Stage::Proposed; 2]);
    t.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_the_configuration_names_is_parked_before_it_was_ever_seen() {
    let mut t = Story::start().await;
    t.watch(&["me/app", "me/typo"]).await;
    minutes(&t, 2).await;
    let reason_now = reason(&t, "me/typo").await.unwrap_or_default();
    assert!(reason_now.contains("correct github.repositories"), "{reason_now}");
    let before = t.github.request_count();
    minutes(&t, 60).await;
    assert!(asked(&t, before, "me/typo").len() <= 12, "{:#?}", asked(&t, before, "me/typo"));
    assert_eq!((told(&t, "me/typo").await, reason(&t, "me/app").await), (1, None));
    with_work(&t, "me/typo").await;
    minutes(&t, 30).await;
    assert_eq!((reason(&t, "me/typo").await, stages(&t, "me/typo").await), (None, vec![Stage::Proposed]));
    t.end().await;
}

/// A story that acts as an App, installed in `me` and in `other`, which has a repository `other/app`.
async fn as_app() -> (Story, App, u64) {
    let mut made = None;
    let mut t = Story::start_as(|github| {
        let app = github.app("ccm");
        let there = github.install(&app, "me", Selection::All);
        let _ = github.install(&app, "other", Selection::All);
        let credential = Credential::App { id: app.id.to_string(), private_key: app.private_key.clone().into() };
        made = Some((app, there));
        credential
    })
    .await;
    t.watch(&["me/*", "other/*"]).await;
    with_work(&t, "other/app").await;
    minutes(&t, 3).await;
    for name in ["me/app", "other/app"] {
        assert_eq!((reason(&t, name).await, stages(&t, name).await), (None, vec![Stage::Proposed]), "{name}");
    }
    let (app, there) = made.unwrap();
    (t, app, there)
}

#[tokio::test(flavor = "multi_thread")]
async fn f36_what_an_installation_loses_is_parked_and_comes_back_with_it() {
    let usual: Vec<(&str, &str)> = forge::github::NEEDED.to_vec();
    let less = [("metadata", "read"), ("contents", "read"), ("issues", "write"), ("pull_requests", "write")];
    let (t, app, mut there) = as_app().await;
    for (n, says) in
        ["suspended", "not installed", "the permission contents: write", "not in the list"].into_iter().enumerate()
    {
        match n {
            0 => t.github.suspend(there),
            1 => t.github.uninstall(there),
            2 => t.github.grant(there, &less),
            _ => t.github.select(there, Selection::Only(Vec::new())),
        }
        let told_before = told(&t, "me/app").await;
        minutes(&t, 20).await;
        let reason_now = reason(&t, "me/app").await.unwrap_or_default();
        assert!(reason_now.contains(says), "{says}: {reason_now}");
        let before = t.github.request_count();
        minutes(&t, 60).await;
        let asked = asked(&t, before, "me/app");
        assert!(asked.len() <= 20, "{says}: {} in an hour: {asked:#?}", asked.len());
        assert!(told(&t, "me/app").await - told_before <= 2, "{says}: {:#?}", told_of(&t, "me/app").await);
        assert_eq!(
            (reason(&t, "other/app").await, stages(&t, "me/app").await),
            (None, vec![Stage::Proposed]),
            "{says}"
        );
        match n {
            0 => t.github.unsuspend(there),
            1 => there = t.github.install(&app, "me", Selection::All),
            2 => t.github.grant(there, &usual),
            _ => t.github.select(there, Selection::All),
        }
        minutes(&t, 60).await;
        assert_eq!(reason(&t, "me/app").await, None, "{says}");
    }
    t.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_does_not_welcome_agents_is_left_alone_unless_its_owner_says_otherwise() {
    let mut t = Story::start().await;
    let guide = "# Contributing\n\nBe kind. We do not accept AI-generated pull requests.\n";
    t.github.commit("me/app", "Say no", &[("CONTRIBUTING.md", guide)]).await;
    t.settle().await;
    assert_eq!((t.tasks().await.len(), t.writes()), (0, Vec::new()));
    let parked = t.ctx.store.repositories().await.unwrap()[0].parked.clone().unwrap();
    assert!(parked.contains("Its CONTRIBUTING.md says: “We do not accept AI-generated pull requests.”"), "{parked}");
    t.set(|settings| settings.proposals.ignore_ai_policy = vec!["me/*".to_owned()]).await;
    t.later(Duration::from_secs(3601)).await;
    assert_eq!((t.stage().await, t.ctx.store.repositories().await.unwrap()[0].parked.clone()), (Stage::Proposed, None));
    t.set(|settings| settings.proposals.ignore_ai_policy.clear()).await;
    t.github.commit("me/app", "Say yes", &[("CONTRIBUTING.md", "AI is welcome, as long as you disclose it.\n")]).await;
    t.later(Duration::from_secs(3601)).await;
    assert_eq!(t.ctx.store.repositories().await.unwrap()[0].parked, None);
    t.end().await;
}
