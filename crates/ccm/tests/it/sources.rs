//! Each source from the world to a proposal and back: the work disappears, the proposal closes.

use std::time::Duration;

use backlog::task::Stage;
use pipeline::settings::{SarifSource, Settings};
use testkit::registries::FakeRegistries;

use crate::story::Story;

/// A story without its comment, with other sources.
async fn story(change: impl FnOnce(&mut Settings)) -> Story {
    let mut t = Story::start().await;
    t.set(|settings| {
        settings.sources.todo.enabled = false;
        change(settings);
    })
    .await;
    t
}

/// Titles of the issues that are open.
fn open(t: &Story) -> Vec<String> {
    t.github.issues().into_iter().filter(|issue| issue.open).map(|issue| issue.title).collect()
}

/// Why the tool `lint` failed, if it did.
async fn failure(t: &Story) -> Option<String> {
    t.ctx.store.note("sarif-failures", "me/app lint", t.ctx.now()).await.unwrap()
}

async fn with_registries(registries: &FakeRegistries) -> Story {
    let [crates, npm, pypi] = registries.urls();
    story(|settings| {
        let dependency = &mut settings.sources.dependency;
        (dependency.enabled, dependency.ignore) = (true, vec!["kept-*".to_owned()]);
        (dependency.crates_url, dependency.npm_url, dependency.pypi_url) = (crates, npm, pypi);
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outdated_dependency_is_proposed_once_and_closed_when_it_is_updated() {
    let registries = FakeRegistries::start().await;
    registries.publish("crates", "serde", "2.1.3");
    registries.publish("npm", "react", "17.0.9");
    registries.publish("crates", "kept-back", "9.0.0");
    let t = with_registries(&registries).await;
    let manifest = "[dependencies]\nserde = \"1.0\"\nkept-back = \"1\"\n";
    let files = [
        ("Cargo.toml", manifest),
        ("part/Cargo.toml", manifest),
        ("package.json", "{\"dependencies\":{\"react\":\"^17.0.2\"}}"),
    ];
    t.github.commit("me/app", "Depend", &files).await;
    t.settle().await;
    assert_eq!(open(&t), ["Update serde from 1.0 to 2.1"]);
    let body = t.github.issues()[0].body.clone().unwrap();
    assert!(body.contains("- Cargo.toml, line 2: `1.0`") && body.contains("- part/Cargo.toml, line 2"), "{body}");

    registries.publish("crates", "serde", "2.2.0");
    t.later(Duration::from_hours(25)).await;
    t.later(Duration::from_hours(13)).await;
    assert_eq!(open(&t).len(), 1, "the same step");
    assert!(t.task().await.finding.unwrap().text.contains("2.2.0"), "it says what is the newest now");

    t.github.commit("me/app", "Update", &[("Cargo.toml", "[dependencies]\nserde = \"2.2\"\n")]).await;
    t.settle().await;
    assert_eq!(open(&t).len(), 1, "the other manifest still asks for it");
    t.github.commit("me/app", "Update the part", &[("part/Cargo.toml", "[dependencies]\nserde = \"2.2\"\n")]).await;
    t.settle().await;
    assert_eq!((open(&t), t.stage().await), (vec![], Stage::Obsolete));
    t.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_pushes_any_more_registries_are_asked_a_seventh_as_often() {
    let registries = FakeRegistries::start().await;
    registries.publish("crates", "serde", "1.0.0");
    registries.publish("crates", "rand", "1.0.0");
    let t = with_registries(&registries).await;
    t.github.repo("me/sleepy").await;
    let manifest = |name: &str| format!("[dependencies]\n{name} = \"1.0\"\n");
    t.github.commit("me/sleepy", "Depend", &[("Cargo.toml", &manifest("rand"))]).await;
    t.github.commit("me/app", "Depend", &[("Cargo.toml", &manifest("serde"))]).await;
    t.settle().await;
    t.clock.advance(Duration::from_hours(91 * 24));
    t.github.commit("me/app", "Work on", &[("app.py", "x = 1\n")]).await;
    t.settle().await;
    registries.publish("crates", "serde", "3.0.0");
    registries.publish("crates", "rand", "3.0.0");
    t.later(Duration::from_hours(25)).await;
    let sleepy = || t.github.issues_in("me/sleepy").len();
    assert_eq!((open(&t).as_slice(), sleepy()), (&["Update serde from 1.0 to 3.0".to_owned()][..], 0));
    t.later(Duration::from_hours(40)).await;
    assert_eq!(sleepy(), 0, "not yet");
    t.later(Duration::from_hours(20)).await;
    assert_eq!(sleepy(), 1, "a bounded time later");
    t.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_is_away_neither_makes_nor_ends_a_proposal() {
    let registries = FakeRegistries::start().await;
    registries.publish("pypi", "django", "5.1");
    let t = with_registries(&registries).await;
    t.github.commit("me/app", "Depend", &[("requirements.txt", "Django==3.2\nflask==1.0\n")]).await;
    t.settle().await;
    assert_eq!(open(&t), ["Update django from 3.2 to 5.1"]);
    registries.publish("pypi", "flask", "3.0");
    registries.fail(Some((503, None)));
    t.later(Duration::from_hours(25)).await;
    assert_eq!(open(&t), ["Update django from 3.2 to 5.1"]);
    registries.fail(None);
    t.later(Duration::from_hours(25)).await;
    assert_eq!(open(&t).len(), 2);
    t.end().await;
}

/// A Python function with this many forks.
fn complex(name: &str, forks: usize) -> String {
    format!("def {name}(x):\n{}    return x\n\n", "    if x:\n        x = 1\n".repeat(forks))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_complex_function_that_changes_often_is_proposed_until_it_is_simple() {
    let t = story(|settings| {
        let hotspot = &mut settings.sources.hotspot;
        (hotspot.enabled, hotspot.changes, hotspot.most) = (true, 3, 1);
    })
    .await;
    let quiet = complex("quiet", 90);
    t.github.commit("me/app", "Begin", &[("quiet.py", quiet.as_str())]).await;
    for round in 0..3 {
        let busy = format!("{}{}# {round}\n", complex("busy", 20), complex("small", 1));
        t.github.commit("me/app", "Change", &[("busy.py", busy.as_str())]).await;
    }
    t.settle().await;
    assert_eq!(open(&t), ["Simplify the function busy"]);
    let issue = &t.github.issues()[0];
    assert!(issue.body.as_deref().unwrap().contains("20 or more ways through it"), "{:?}", issue.body);
    let edits = t.writes().len();
    let again = format!("{}{}# again\n", complex("busy", 20), complex("small", 1));
    t.github.commit("me/app", "Change", &[("busy.py", again.as_str())]).await;
    t.settle().await;
    assert_eq!(t.writes().len(), edits, "one change more is no news");
    t.github.commit("me/app", "Simplify", &[("busy.py", complex("busy", 2).as_str())]).await;
    t.settle().await;
    assert_eq!((open(&t), t.stage().await), (vec![], Stage::Obsolete));
    t.end().await;
}

/// A report about one place.
fn report(rule: &str, uri: &str, line: u32) -> String {
    format!(
        r#"{{"version":"2.1.0","runs":[{{"tool":{{"driver":{{"name":"Lint"}}}},"results":[
        {{"ruleId":"{rule}","level":"error","message":{{"text":"Do not use eval."}},"locations":[{{"physicalLocation":
        {{"artifactLocation":{{"uri":"{uri}"}},"region":{{"startLine":{line}}}}}}}]}},
        {{"ruleId":"style","level":"note","message":{{"text":"A note."}}}}]}}]}}"#
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_tool_reports_in_a_file_is_proposed_until_it_is_gone() {
    let file = Some("reports/lint.sarif".to_owned());
    let t = story(|settings| {
        settings.sources.sarif.insert("lint".to_owned(), SarifSource { file, ..SarifSource::default() });
    })
    .await;
    t.settle().await;
    assert_eq!(open(&t), Vec::<String>::new());
    t.github.commit("me/app", "Report", &[("reports/lint.sarif", &report("no-eval", "app.py", 2))]).await;
    t.settle().await;
    assert_eq!(open(&t), ["Do not use eval."]);
    let task = t.task().await;
    let finding = task.finding.as_ref().unwrap();
    assert_eq!((task.source.to_string().as_str(), finding.path.as_str(), finding.line), ("sarif:lint", "app.py", 2));
    t.github.commit("me/app", "Report again", &[("reports/lint.sarif", &report("no-eval", "app.py", 3))]).await;
    t.settle().await;
    assert_eq!((open(&t).len(), t.task().await.finding.unwrap().line), (1, 3), "the line moved");
    t.github.remove_files("me/app", "Clean", &["reports/lint.sarif"]).await;
    t.settle().await;
    assert_eq!((open(&t), t.stage().await), (vec![], Stage::Obsolete));
    t.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_runs_in_the_sandbox_and_what_it_prints_is_proposed() {
    // It finds its own folder absolute, says something on its error output, fails as linters do, and has no network.
    let tool = "echo 'reading…' >&2; test -f app.py || exit 0; sed \"s|PLACE|file://$PWD/app.py|\" report; exit 1";
    let t = story(|settings| {
        let command = Some(tool.to_owned());
        settings.sources.sarif.insert("lint".to_owned(), SarifSource { command, ..SarifSource::default() });
    })
    .await;
    t.github.commit("me/app", "Add", &[("report", &report("no-eval", "PLACE", 2))]).await;
    t.settle().await;
    assert_eq!(open(&t), ["Do not use eval."]);
    assert_eq!(t.task().await.finding.unwrap().path, "app.py");
    t.github.commit("me/app", "Mend", &[("report", "{\"version\":\"2.1.0\",\"runs\":[]}")]).await;
    t.settle().await;
    assert_eq!((failure(&t).await, open(&t), t.stage().await), (None, vec![], Stage::Obsolete));
    t.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_that_fails_holds_up_nothing_else_and_says_why() {
    let mut t = story(|settings| {
        settings.sources.todo.enabled = true;
        let command = Some("echo 'lint: no such rule' >&2".to_owned());
        settings.sources.sarif.insert("lint".to_owned(), SarifSource { command, ..SarifSource::default() });
    })
    .await;
    t.github.commit("me/app", "Add", &[("new.py", "# TODO: write this\n")]).await;
    t.settle().await;
    assert!(open(&t).contains(&"TODO: write this".to_owned()), "{:?}", open(&t));
    let known = t.ctx.store.repositories().await.unwrap();
    assert!(known.iter().all(|repository| repository.parked.is_none() && repository.scanned.is_some()), "{known:?}");
    let why = t.ctx.progress.silent(&"me/app".parse().unwrap()).unwrap();
    assert!(why.contains("sarif:lint") && why.contains("wrote nothing") && why.contains("no such rule"), "{why}");
    t.set(|settings| settings.sources.sarif.clear()).await;
    t.later(Duration::from_hours(1)).await;
    assert_eq!(t.ctx.progress.silent(&"me/app".parse().unwrap()), None);
    t.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_that_fails_changes_nothing_and_is_not_run_again_at_once() {
    let mut t = story(|settings| {
        let (command, file) = (Some("echo run; cp report out".to_owned()), Some("out".to_owned()));
        settings.sources.sarif.insert("lint".to_owned(), SarifSource { command, file, ..SarifSource::default() });
    })
    .await;
    t.github.commit("me/app", "Add", &[("report", &report("no-eval", "app.py", 2))]).await;
    t.settle().await;
    assert_eq!(open(&t), ["Do not use eval."]);
    t.github.commit("me/app", "Break", &[("report", "no JSON")]).await;
    t.settle().await;
    assert_eq!(open(&t), ["Do not use eval."], "nothing is known, so nothing changes");
    let why = failure(&t).await.unwrap();
    assert!(why.contains("it is no SARIF"), "{why}");
    t.later(Duration::from_hours(1)).await;
    assert_eq!(failure(&t).await, Some(why), "it was not run again");
    t.set(|settings| settings.sources.sarif.clear()).await;
    t.later(Duration::from_hours(1)).await;
    assert_eq!((open(&t), t.stage().await), (vec![], Stage::Obsolete), "a tool that is taken out has no findings");
    t.end().await;
}
