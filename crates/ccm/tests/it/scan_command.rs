//! `ccm scan`: what is printed, and with which exit code.

use std::path::Path;

use serde_json::Value;

use crate::bad_input::{ccm, sample};

async fn printed(dir: &Path, code: i32, args: &[&str]) -> String {
    let output = ccm(dir, args, &[]).await;
    assert_eq!(output.status.code(), Some(code), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn a_line_of_json_holds_what_the_contract_names() {
    let dir = tempfile::tempdir().unwrap();
    sample(dir.path()).await;
    let line: Value =
        serde_json::from_str(&printed(dir.path(), 0, &["scan", "app", "--format", "json"]).await).unwrap();
    let keys: Vec<&str> = line.as_object().unwrap().keys().map(String::as_str).collect();
    for key in [
        "fingerprint",
        "source",
        "kind",
        "repository",
        "commit",
        "path",
        "line",
        "end_line",
        "title",
        "text",
        "author",
        "age_days",
        "written_on",
        "owner",
        "issue",
        "score",
        "reasons",
    ] {
        assert!(keys.contains(&key), "{key} is missing in {keys:?}");
    }
    assert_eq!(
        (line["source"].as_str(), line["kind"].as_str(), line["line"].as_u64()),
        (Some("todo"), Some("TODO"), Some(2))
    );
    assert_eq!(line["reasons"][0]["points"].as_i64(), Some(30), "{line}");
    assert_eq!(line["commit"].as_str().unwrap().len(), 40);
}

#[tokio::test]
async fn sarif_has_a_rule_and_a_place_for_each_result() {
    let dir = tempfile::tempdir().unwrap();
    sample(dir.path()).await;
    std::fs::write(dir.path().join("app/b c.py"), "# FIXME: escape the name of this file\n").unwrap();
    let sarif: Value =
        serde_json::from_str(&printed(dir.path(), 0, &["scan", "app", "--format", "sarif"]).await).unwrap();
    assert_eq!(sarif["version"], "2.1.0");
    let run = &sarif["runs"][0];
    assert_eq!(run["tool"]["driver"]["rules"].as_array().unwrap().len(), 2);
    let uri = "/locations/0/physicalLocation/artifactLocation/uri";
    let uris: Vec<_> = run["results"].as_array().unwrap().iter().map(|result| result.pointer(uri).unwrap()).collect();
    assert_eq!(uris, ["b%20c.py", "app.py"]);
}

#[tokio::test]
async fn a_date_is_a_column_and_what_is_none_is_explained() {
    let dir = tempfile::tempdir().unwrap();
    let app = dir.path().join("app");
    std::fs::create_dir(&app).unwrap();
    std::fs::write(app.join("a.py"), "# TODO(2027-01-31): pay\n\n# TODO(2027-02-30): sleep\n").unwrap();
    let table = printed(dir.path(), 0, &["scan", "app", "--explain"]).await;
    let words: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(words[0], ["POINTS", "REPOSITORY", "PLACE", "DUE", "TITLE"], "{table}");
    assert!(words.iter().any(|row| row[2..] == ["a.py:1", "2027-01-31", "TODO:", "pay"]), "{table}");
    assert!(table.contains("its date is not one like 2027-01-31") && table.contains("a.py:3"), "{table}");
    let json = printed(dir.path(), 0, &["scan", "app", "--format", "json"]).await;
    let due: Vec<Value> =
        json.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["due"].clone()).collect();
    assert_eq!(due.iter().filter(|due| *due == "2027-01-31").count(), 1, "{json}");
    let sarif: Value =
        serde_json::from_str(&printed(dir.path(), 0, &["scan", "app", "--format", "sarif"]).await).unwrap();
    let told: Vec<&Value> =
        sarif["runs"][0]["results"].as_array().unwrap().iter().filter_map(|result| result.get("properties")).collect();
    assert_eq!(told, [&serde_json::json!({"due": "2027-01-31"})]);
}

#[tokio::test]
async fn exit_codes_and_an_empty_folder() {
    let dir = tempfile::tempdir().unwrap();
    sample(dir.path()).await;
    printed(dir.path(), 3, &["scan", "app", "--exit-code"]).await;
    std::fs::create_dir(dir.path().join("empty")).unwrap();
    assert_eq!(printed(dir.path(), 0, &["scan", "empty", "--exit-code"]).await, "");
    // Nothing is stored and nothing is written anywhere.
    let mut left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["app", "empty"]);
}

#[tokio::test]
async fn a_bare_repository_is_read_as_its_checkout_would_be() {
    let dir = tempfile::tempdir().unwrap();
    sample(dir.path()).await;
    for (path, text) in [
        ("b.py", "# TODO: one\nx = 'TODO: none'\n"),
        ("gen.py", "# TODO: made\n"),
        ("vendor/c.py", "# TODO: theirs\n"),
        (".gitattributes", "gen.py linguist-generated\n"),
    ] {
        let path = dir.path().join("app").join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    std::os::unix::fs::symlink("b.py", dir.path().join("app/link.py")).unwrap();
    let commit =
        ["-C", "app", "-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "--quiet", "-m", "more"];
    for args in [&["-C", "app", "add", "--all"][..], &commit, &["clone", "--quiet", "--bare", "app", "app.git"]] {
        let done = tokio::process::Command::new("git").current_dir(dir.path()).args(args).status().await.unwrap();
        assert!(done.success(), "{args:?}");
    }
    for format in ["json", "sarif", "table"] {
        let args =
            |place| ["scan", place, "--format", format, if format == "sarif" { "--source=todo" } else { "--explain" }];
        let folder = printed(dir.path(), 0, &args("app")).await;
        let bare = printed(dir.path(), 0, &args("app.git")).await;
        assert!(folder.contains("one") && !folder.contains("made"), "{folder}");
        assert_eq!(bare.replace("app.git", "app").replace(' ', ""), folder.replace(' ', ""), "{format}");
    }
    let since = printed(dir.path(), 0, &["scan", "app.git", "--since", "HEAD~1", "--format", "json"]).await;
    assert!(since.contains("one") && !since.contains("greet the world"), "{since}");
}

#[tokio::test]
async fn since_a_revision_only_changed_files_count() {
    let dir = tempfile::tempdir().unwrap();
    sample(dir.path()).await;
    let since = ["scan", "app", "--since", "HEAD", "--format", "json"];
    assert_eq!(printed(dir.path(), 0, &since).await, "");
    std::fs::write(dir.path().join("app/new.py"), "# TODO: write this\n").unwrap();
    let found = printed(dir.path(), 0, &since).await;
    assert!(found.contains("write this") && !found.contains("greet the world"), "{found}");
    let output = ccm(dir.path(), &["scan", "app", "--since", "no-such-revision"], &[]).await;
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("--since no-such-revision: name a commit"), "{said}");
}

#[tokio::test]
async fn who_wrote_what_is_committed_is_told_where_it_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    sample(dir.path()).await;
    let app = dir.path().join("app");
    let text = std::fs::read_to_string(app.join("app.py")).unwrap();
    std::fs::write(app.join("app.py"), format!("{text}# TODO: write this too\n")).unwrap();
    std::fs::write(app.join("new.py"), "# TODO: nobody wrote this yet\n").unwrap();
    let plain = printed(dir.path(), 0, &["scan", "app", "--format", "json"]).await;
    assert!(!plain.contains(r#""author":""#), "{plain}");
    let found = printed(dir.path(), 0, &["scan", "app", "--blame", "--format", "json"]).await;
    let known: Vec<bool> = found
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|line| line["author"].is_string() && line["written_on"].is_string() && line["age_days"].is_u64())
        .collect();
    assert_eq!((known.iter().filter(|known| **known).count(), known.len()), (1, 3), "{found}");
    std::fs::create_dir(dir.path().join("plain")).unwrap();
    let output = ccm(dir.path(), &["scan", "plain", "--blame"], &[]).await;
    assert!(String::from_utf8_lossy(&output.stderr).contains("--blame needs a git repository"));
}

#[tokio::test]
async fn what_is_no_place_or_no_source_is_refused_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    sample(dir.path()).await;
    for (arguments, expected) in [
        (["scan", "app/app.py"], "app/app.py is no folder; name the folder that it is in"),
        (["scan", "nowhere"], "nowhere is neither a folder nor OWNER/NAME"),
        (["scan", "--source=nope"], "there is no source `nope`; there are todo, dependency"),
        (["scan", "--source=person"], "there is no source `person`"),
        (["scan", "--source=ci"], "the source ci looks at a code host: name OWNER/NAME"),
    ] {
        let output = ccm(dir.path(), &arguments, &[]).await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && said.contains(expected), "{arguments:?}: {said}");
    }
}

#[tokio::test]
async fn a_folder_named_twice_is_read_once_and_a_long_path_moves_no_row() {
    let dir = tempfile::tempdir().unwrap();
    sample(dir.path()).await;
    let deep = format!("app/{}", "folder/".repeat(40));
    std::fs::create_dir_all(dir.path().join(&deep)).unwrap();
    std::fs::write(dir.path().join(deep).join("deep.py"), "# TODO: shorten this\n").unwrap();
    let table = printed(dir.path(), 0, &["scan", "app", "./app", "app/../app"]).await;
    assert_eq!(table.lines().count(), 3, "{table}");
    assert!(
        table.contains("…") && table.contains("/deep.py:1") && table.lines().all(|line| line.len() < 250),
        "{table}"
    );
}

#[tokio::test]
async fn what_gitignore_hides_and_what_is_vendored_is_left_out() {
    let dir = tempfile::tempdir().unwrap();
    sample(dir.path()).await;
    for (path, text) in [
        ("app/.gitignore", "build/\n"),
        ("app/build/out.py", "# TODO: ignored\n"),
        ("app/vendor/lib.py", "# TODO: vendored\n"),
        ("app/.github/x.yml", "# TODO: hidden folders count\n"),
    ] {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let found = printed(dir.path(), 0, &["scan", "app", "--format", "json"]).await;
    assert!(!found.contains("ignored") && !found.contains("vendored"), "{found}");
    assert!(found.contains("hidden folders count"), "{found}");
}

#[tokio::test]
async fn other_sources_look_at_the_last_commit_of_a_folder() {
    let dir = tempfile::tempdir().unwrap();
    sample(dir.path()).await;
    let registries = testkit::registries::FakeRegistries::start().await;
    registries.publish("crates", "serde", "2.1.3");
    let report = r#"{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"Lint"}},"results":[
        {"ruleId":"no-eval","message":{"text":"Do not use eval."},"locations":[
        {"physicalLocation":{"artifactLocation":{"uri":"app.py"},"region":{"startLine":1}}}]}]}]}"#;
    let [crates, npm, pypi] = registries.urls();
    let toml = format!(
        "[sources.dependency]\ncrates_url = \"{crates}\"\nnpm_url = \"{npm}\"\npypi_url = \"{pypi}\"\n\
         [sources.hotspot]\ncomplexity = 2\nchanges = 1\n[sources.sarif.lint]\nfile = \"lint.sarif\"\n"
    );
    std::fs::write(dir.path().join("ccm.toml"), toml).unwrap();
    for (path, text) in [
        ("Cargo.toml", "[dependencies]\nserde = \"1.0\"\n"),
        ("lint.sarif", report),
        (
            "hot.py",
            "def hot(x):\n    for y in x:\n        if y and x or y:\n            pass\n            # TODO: cool\n    while x: pass\n",
        ),
    ] {
        std::fs::write(dir.path().join("app").join(path), text).unwrap();
    }
    let git = |args: &'static [&'static str]| {
        let mut git = tokio::process::Command::new("git");
        git.args(["-c", "user.name=Ada", "-c", "user.email=ada@example.com"]).args(args);
        git.current_dir(dir.path().join("app")).output()
    };
    git(&["add", "--all"]).await.unwrap();
    git(&["commit", "--quiet", "--message=More"]).await.unwrap();
    let sources = async |more: &[&str]| {
        let args = [&["scan", "app", "--format", "json"], more].concat();
        let mut found: Vec<String> = printed(dir.path(), 0, &args)
            .await
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .map(|line| format!("{} {}", line["source"].as_str().unwrap(), line["path"].as_str().unwrap()))
            .collect();
        found.sort();
        found
    };
    let every = ["dependency Cargo.toml", "hotspot hot.py", "sarif:lint app.py", "todo app.py", "todo hot.py"];
    assert_eq!(sources(&["--source", "todo,hotspot,dependency,sarif"]).await, every);
    assert_eq!(sources(&["--source", "hotspot"]).await, every[1..2]);
    assert_eq!(sources(&["--source", "sarif:lint"]).await, every[2..3]);
    assert_eq!(sources(&[]).await, every[2..], "without a word what is switched on");
    for (source, said) in [("ci", "name OWNER/NAME"), ("sarif:other", "needs a tool"), ("nonsense", "nonsense")] {
        let output = ccm(dir.path(), &["scan", "app", "--source", source], &[]).await;
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && error.contains(said), "{error}");
    }
}
