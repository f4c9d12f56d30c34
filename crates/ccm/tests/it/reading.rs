//! What a look reads: what changed, and nothing twice.

use std::time::Duration;

use web::metrics::{Metrics, install};

use crate::story::Story;

const TEN_MINUTES: Duration = Duration::from_secs(600);

/// Contents of files read since the process began.
fn read(metrics: &Metrics) -> u64 {
    count(metrics, "ccm_files_read_total ")
}

/// Runs of the git program since the process began.
fn processes(metrics: &Metrics) -> u64 {
    count(metrics, "ccm_git_processes_total ")
}

fn count(metrics: &Metrics, name: &str) -> u64 {
    let text = metrics.render();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.map_or(0, |count| count.parse().unwrap())
}

/// What was asked since the `before`-th request, by method and route, without questions about issues.
fn asked(t: &Story, before: u64) -> Vec<String> {
    let new = t.github.requests().into_iter().skip(usize::try_from(before).unwrap());
    new.map(|request| format!("{} {}", request.method, request.route)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_commit_only_the_changed_files_are_read() {
    let (t, metrics) = (Story::start().await, install().unwrap());
    let files: Vec<(String, String)> =
        (0..10_000).map(|n| (format!("src/d{}/f{n}.py", n % 97), format!("# file {n}\n"))).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    t.github.commit("me/app", "Much", &files).await;
    t.beat(Duration::ZERO).await;
    assert!(read(&metrics) >= 10_000, "{}", read(&metrics));

    let (whole, before) = (read(&metrics), t.github.request_count());
    let todo = "# TODO: sort the list before it is shown\n";
    let changed = [("src/d0/f0.py", todo), ("src/d1/f1.py", "# changed\n"), ("src/d2/new.py", "# new\n")];
    t.github.commit("me/app", "Change three", &changed).await;
    t.beat(TEN_MINUTES).await;
    assert_eq!(read(&metrics) - whole, 3);
    let git = asked(&t, before).into_iter().filter(|route| route.contains(".git/")).count();
    assert_eq!(git, 6, "where the branch is, its trees, three blobs");
    let paths: Vec<_> = t.tasks().await.into_iter().filter_map(|task| Some(task.finding?.path)).collect();
    assert!(paths.contains(&"src/d0/f0.py".to_owned()), "{paths:?}");

    let (before, ran) = (t.github.request_count(), processes(&metrics));
    t.github.commit("me/app", "Take it out", &[("src/d0/f0.py", "# done\n")]).await;
    t.beat(TEN_MINUTES).await;
    assert_eq!(read(&metrics) - whole, 4);
    let git = asked(&t, before).into_iter().filter(|route| route.contains(".git/")).count();
    assert_eq!(git, 4, "where the branch is, and what changed of its trees and blobs");
    assert_eq!(processes(&metrics) - ran, 1, "the fetch");
    let gone = t.tasks().await.into_iter().find(|task| task.title.contains("sort the list")).unwrap();
    assert!(gone.state.is_final(), "{:?}", gone.state);
    t.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forks_and_moved_files_cost_nothing() {
    let (t, metrics) = (Story::start().await, install().unwrap());
    let text = "# TODO: sort the list before it is shown\n";
    t.github.repo("me/fork").await;
    t.github.commit("me/app", "More", &[("lib/list.py", text), ("lib/other.py", "# nothing to do\n")]).await;
    t.beat(Duration::ZERO).await;
    let before = read(&metrics);
    t.github.commit("me/fork", "The same", &[("lib/list.py", text), ("lib/other.py", "# nothing to do\n")]).await;
    t.github.commit("me/app", "Move", &[("pkg/list.py", text)]).await;
    t.beat(TEN_MINUTES).await;
    assert_eq!(read(&metrics), before);
    let count = |name: &str, tasks: &[backlog::task::Task]| {
        tasks.iter().filter(|task| task.repository.as_str() == name && task.title.contains("sort the list")).count()
    };
    let tasks = t.tasks().await;
    assert_eq!((count("me/fork", &tasks), count("me/app", &tasks)), (1, 2), "{tasks:#?}");
    t.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_attributes_and_other_settings_have_files_read_again() {
    let (mut t, metrics) = (Story::start().await, install().unwrap());
    t.beat(Duration::ZERO).await;
    assert_eq!(t.tasks().await.len(), 1);
    t.github.commit("me/app", "Not ours", &[(".gitattributes", "app.py linguist-vendored\n")]).await;
    t.beat(TEN_MINUTES).await;
    assert!(t.task().await.state.is_final(), "{:?}", t.task().await.state);
    t.github.commit("me/app", "Ours", &[(".gitattributes", "\n")]).await;
    t.beat(TEN_MINUTES).await;
    assert!(!t.task().await.state.is_final());
    let before = read(&metrics);
    t.set(|settings| settings.sources.todo.tags = vec!["FIXME".to_owned()]).await;
    t.later(Duration::from_secs(3600)).await;
    assert!(read(&metrics) > before && t.task().await.state.is_final());
    t.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_changed_repositories_of_many_cost_a_handful_of_requests_each() {
    let t = Story::start().await;
    for n in 0..299 {
        t.github.repo(&format!("me/r{n:03}")).await;
        t.github.commit(&format!("me/r{n:03}"), "Begin", &[("a.py", &format!("# Part {n}\n"))]).await;
    }
    t.beat(Duration::ZERO).await;
    assert!(t.ctx.store.repositories().await.unwrap().iter().all(|repository| repository.scanned.is_some()));
    for n in 0..10 {
        t.github.commit(&format!("me/r{n:03}"), "Go on", &[("b.py", &format!("# TODO: do {n} times\n"))]).await;
    }
    let (before, blames) = (t.github.request_count(), t.github.blames());
    t.beat(TEN_MINUTES).await;
    let (asked, blames) = (asked(&t, before), t.github.blames() - blames);
    assert_eq!(t.tasks().await.len(), 11, "ten new ones");
    let queries = asked.iter().filter(|route| route.contains("graphql")).count();
    // The first one of all waits until the owner's other repositories were looked at, and is proposed now as well.
    assert_eq!((queries - blames, blames), (6, 11), "50 repositories in each, and who wrote what is proposed");
    // A thousand repositories take 20 queries, so that fewer than 150 requests are left of what is promised for them; the
    // benchmark `pass` counts them all.
    assert!(asked.len() - 6 < 130, "{}: {asked:#?}", asked.len());
    t.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_look_is_one_archive_and_no_git() {
    let t = Story::start().await;
    t.beat(Duration::ZERO).await;
    assert_eq!(t.tasks().await.len(), 1);
    let asked = asked(&t, 0);
    let count = |part: &str| asked.iter().filter(|route| route.contains(part)).count();
    assert_eq!((count(".git/"), count("/tarball/"), t.github.request_count_elsewhere()), (0, 1, 1), "{asked:#?}");
    assert!(!t.ctx.paths.glance(&"me/app".parse().unwrap()).exists());
    t.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_an_archive_is_not_the_commit_git_reads_it() {
    let t = Story::start().await;
    t.github.commit("me/app", "Hide it", &[(".gitattributes", "app.py export-ignore\n")]).await;
    t.beat(Duration::ZERO).await;
    assert_eq!(t.task().await.finding.unwrap().path, "app.py");
    assert!(asked(&t, 0).iter().any(|route| route.contains("git-upload-pack")));
    t.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_archives_are_refused_git_reads_it() {
    let t = Story::start().await;
    t.github.fail(testkit::github::Fault::status(403, "No archives here").on("/tarball/{ref}").forever());
    t.beat(Duration::ZERO).await;
    assert_eq!(t.tasks().await.len(), 1);
    assert!(asked(&t, 0).iter().any(|route| route.contains("git-upload-pack")));
    t.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mirrors_beyond_their_budget_go_and_nothing_is_read_again() {
    let (mut t, metrics) = (Story::start().await, install().unwrap());
    t.github.repo("me/left").await;
    t.github.commit("me/left", "Begin", &[("a.py", "# TODO: handle the empty list\n")]).await;
    t.beat(Duration::ZERO).await;
    for name in ["me/app", "me/left"] {
        t.github.commit(name, "Go on", &[("b.py", "# nothing\n")]).await;
    }
    t.beat(TEN_MINUTES).await;
    let here = |t: &Story, name: &str| t.ctx.paths.glance(&name.parse().unwrap()).exists();
    assert!(here(&t, "me/app") && here(&t, "me/left"));
    t.watch(&["me/app"]).await;
    t.ctx.store.remove_repository(&"me/left".parse().unwrap()).await.unwrap();
    pipeline::housekeep::housekeep(&t.ctx).await.unwrap();
    assert!(here(&t, "me/app") && !here(&t, "me/left"), "only what is watched is kept");
    t.set(|settings| settings.limits.mirrors_gib = 0).await;
    pipeline::housekeep::housekeep(&t.ctx).await.unwrap();
    assert!(!here(&t, "me/app"));
    let before = read(&metrics);
    t.github.commit("me/app", "One more", &[("c.py", "# TODO: sort the list before it is shown\n")]).await;
    t.beat(TEN_MINUTES).await;
    assert_eq!(read(&metrics) - before, 1);
    assert!(t.tasks().await.iter().any(|task| task.title.contains("sort the list")));
    t.end().await;
}
