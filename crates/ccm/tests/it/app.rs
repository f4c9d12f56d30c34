//! The whole line with a GitHub App in two accounts.

use std::sync::Mutex;
use std::time::Duration;

use backlog::task::Stage;
use forge::github::Credential;
use testkit::github::Selection;

use crate::story::{FILES, Story};

#[tokio::test(flavor = "multi_thread")]
async fn an_app_works_in_two_accounts_and_the_one_that_suspends_it_is_parked() {
    let app = Mutex::new(None);
    let mut t = Story::start_as(|github| {
        let made = github.app("worker");
        github.install(&made, "me", Selection::All);
        let (id, private_key) = (made.id.to_string(), made.private_key.clone().into());
        *app.lock().unwrap() = Some(made);
        Credential::App { id, private_key }
    })
    .await;
    let app = app.into_inner().unwrap().unwrap();
    t.github.organization("org");
    t.github.repo("org/tool").await;
    t.github.set_private("org/tool", true);
    t.github.commit("org/tool", "Begin", &FILES).await;
    let org = t.github.install(&app, "org", Selection::All);
    t.watch(&["me/*", "org/*"]).await;
    t.settle().await;
    for repository in ["me/app", "org/tool"] {
        let issues = t.github.issues_in(repository);
        assert_eq!((issues.len(), issues[0].user.as_str()), (1, "worker[bot]"), "{repository}");
        t.github.label((repository, 1), "approved-for-dev", "maintainer");
    }
    t.settle().await;
    for repository in ["me/app", "org/tool"] {
        assert_eq!(t.github.pull((repository, 2)).issue.user, "worker[bot]");
    }
    let ended = t.github.installation_tokens().iter().filter(|(_, lives)| !lives).count();
    assert_eq!(ended, 2, "each push's token ends with it");

    t.github.suspend(org);
    t.github.merge(("me/app", 2), "maintainer").await;
    t.later(Duration::from_secs(3600)).await;
    let mut stages: Vec<Stage> = t.tasks().await.iter().map(|task| task.state.stage()).collect();
    stages.sort_by_key(|stage| *stage == Stage::Done);
    assert_eq!(stages, [Stage::InReview, Stage::Done]);
    let repositories = t.ctx.store.repositories().await.unwrap();
    let parked = repositories.iter().find(|repository| repository.name.as_str() == "org/tool").unwrap();
    assert!(parked.parked.as_ref().is_some_and(|why| why.contains("suspended")), "{parked:?}");
    t.end().await;
}
