//! The dry run over all repositories.

use std::sync::Arc;

use forge::Forge;
use forge::read_only::ReadOnly;
use pipeline::rehearse::rehearse;
use pipeline::{Context, Forges, Paths};
use store::TaskFilter;
use store::sqlite::SqliteStore;
use tempfile::TempDir;

use crate::story::{FILES, Story};

/// The service's parts once more, on a store of its own and a code host that it only reads.
async fn aside(t: &Story, dir: &TempDir) -> (Arc<Context>, Arc<ReadOnly>) {
    let store = Arc::new(SqliteStore::open(&dir.path().join("ccm.db")).await.unwrap());
    let host = Arc::new(ReadOnly::new(t.ctx.forges.github.clone().unwrap()));
    let gateway = gateway::GatewayConfig::new("http://127.0.0.1:9/".parse().unwrap(), None);
    let ctx = Context::new(
        store,
        Forges { github: Some(host.clone()), ..Forges::default() },
        t.ctx.git.clone(),
        t.ctx.clock.clone(),
        gateway::Gateway::new(gateway).unwrap(),
        runner::Kind::None.sandbox().into(),
        Paths { data: dir.path().join("data"), program: "ccm".into() },
        "aside:1".to_owned(),
        (*t.ctx.settings()).clone(),
    );
    (ctx.unwrap(), host)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_says_what_would_be_proposed_and_writes_nothing() {
    let mut t = Story::start().await;
    t.set(|settings| {
        settings.proposals.quiet_hours = Some("00:00-23:00".parse().unwrap());
        settings.proposals.max_open_per_owner = 2;
    })
    .await;
    for name in ["me/fork", "me/third"] {
        t.github.repo(name).await;
        t.github.commit(name, "Begin", &FILES).await;
    }
    t.github.repo("me/closed").await;
    t.github.commit("me/closed", "Say no", &[("CONTRIBUTING.md", "No AI contributions, please.\n")]).await;
    let dir = tempfile::tempdir().unwrap();
    let (ctx, host) = aside(&t, &dir).await;
    let done = rehearse(&ctx).await.unwrap();
    let names: Vec<&str> = done.proposals.iter().map(|task| task.repository.as_str()).collect();
    assert_eq!((names.len(), done.looked_at, done.duplicates.len()), (2, 3, 1), "{done:#?}");
    assert_eq!(done.duplicates[0].len(), 2);
    let held: Vec<String> = done.held.iter().map(|(name, why)| format!("{name}: {why}")).collect();
    assert!(held[0].starts_with("me/closed: It does not welcome the work of agents."), "{held:#?}");
    assert!(held.iter().any(|why| why.contains("The repositories of me have 2 open proposals")), "{held:#?}");
    assert_eq!((t.writes(), host.refused()), (Vec::new(), 0));
    assert_eq!((ctx.progress.far().done, ctx.progress.far().of), (4, 4));
    // The service itself knows nothing of it.
    assert_eq!(t.ctx.store.tasks(&TaskFilter::default()).await.unwrap(), []);
    t.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_host_that_is_only_read_refuses_every_write() {
    let t = Story::start().await;
    t.settle().await;
    let host = ReadOnly::new(t.ctx.forges.github.clone().unwrap());
    let (task, before) = (t.task().await, t.writes());
    let issue = task.state.proposal().unwrap().issue.clone().unwrap();
    let repository = &task.repository;
    let patch = forge::IssuePatch { content: Some(("a".to_owned(), "b".to_owned())), ..forge::IssuePatch::default() };
    assert!(host.update_issue(&issue, &patch).await.is_err());
    assert!(host.ensure_comment(&issue, &task.id, "status", "text").await.is_err());
    assert!(host.git_access(repository, forge::GitUse::Push).await.is_err());
    assert!(host.git_access(repository, forge::GitUse::Read).await.is_ok());
    assert!(host.repository(repository).await.is_ok() && host.issue(&issue).await.is_ok());
    assert_eq!((host.refused(), t.writes()), (3, before));
    t.end().await;
}
