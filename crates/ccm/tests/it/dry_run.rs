//! `ccm serve --dry-run` over a fleet: the real program, and what GitHub's own record says of it.

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use testkit::github::{FakeGitHub, Kind, Permission};

use crate::real::{RealClock, ccm, serve, until};
use crate::story::{FILES, writes};

/// One function, two things to do: the second is worth more.
const SECOND: &str =
    "def a():\n    # TODO: sort the list of names\n    pass\n\n\ndef b():\n    # FIXME: the sum is wrong\n    pass\n";

const NEW: &str = "def part():\n    # TODO: say goodbye\n    pass\n";

fn configure(dir: &Path, github: &FakeGitHub) {
    let config = format!(
        "[github]\napi_url = \"{}\"\nrepositories = [\"me/*\"]\n[server]\nlisten = \"127.0.0.1:0\"\n\
         [sources.hotspot]\nenabled = true\n[proposals]\nmax_open_per_repository = 1\n",
        github.url()
    );
    std::fs::write(dir.join("ccm.toml"), config).unwrap();
}

/// A fleet in which the service has proposed something, a person has closed one of it, and more has come since.
async fn fleet(dir: &Path) -> (FakeGitHub, String) {
    let github = FakeGitHub::start(Arc::new(RealClock)).await;
    github.user("maintainer", Permission::Write);
    let token = github.token_for("ccm-user");
    for (name, files) in [("me/app", &FILES[..]), ("me/second", &[("b.py", SECOND)])] {
        github.repo(name).await;
        github.commit(name, "Begin", files).await;
    }
    configure(dir, &github);
    let mut service = serve(dir, &token);
    until("two proposals", async || github.issues_in("me/app").len() + github.issues_in("me/second").len() == 2).await;
    service.kill().await.unwrap();
    assert_eq!(github.issue(("me/second", 1)).title, "FIXME: the sum is wrong");
    github.close(("me/second", 1), "maintainer");
    for name in ["me/one", "me/two"] {
        github.repo(name).await;
        github.commit(name, "Begin", &[("part.py", NEW)]).await;
    }
    github.repo("me/fork").await;
    github.commit("me/fork", "Begin", &FILES).await;
    github.repo("me/unwelcome").await;
    github.commit("me/unwelcome", "Say no", &[("CONTRIBUTING.md", "No AI contributions, please.\n")]).await;
    github.repo("me/void").await;
    (github, token)
}

/// What the dry run prints, after checking that GitHub saw no write.
async fn dry_run(dir: &Path, github: &FakeGitHub, token: &str, more: &[&str]) -> String {
    let before = writes(github);
    let arguments = [&["serve", "--dry-run"], more].concat();
    let done = ccm(dir, token, &arguments).output().await.unwrap();
    let (said, remarks) = (String::from_utf8(done.stdout).unwrap(), String::from_utf8_lossy(&done.stderr).into_owned());
    assert!(done.status.success(), "{said}\n{remarks}");
    assert_eq!((writes(github), github.violations()), (before, Vec::<String>::new()));
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_over_a_fleet_reports_what_would_be_proposed_and_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (github, token) = fleet(dir.path()).await;
    let report = dry_run(dir.path(), &github, &token, &[]).await.replace(github.url(), "GITHUB");
    // How many they are depends on what the service had read; the other story counts them.
    let (requests, rest): (Vec<&str>, Vec<&str>) = report.lines().partition(|line| line.starts_with("Requests "));
    assert!(requests.len() == 1 && requests[0].ends_with(" calls over git"), "{requests:?}");
    insta::assert_snapshot!(rest.join("\n"), @"
     REPOSITORY  POINTS  COST  MERGED  TITLE
     me/fork     30      –     –       TODO: greet the world when there is no name
     me/one      30      –     –       TODO: say goodbye
     me/second   30      –     –       TODO: sort the list of names
     me/two      30      –     –       TODO: say goodbye

    Nothing (more) is proposed in:
      me/unwelcome: It does not welcome the work of agents. Its CONTRIBUTING.md says: “No AI contributions, please.” If it is yours and you decide otherwise, name it in `[proposals] ignore_ai_policy`.
      me/void: It has no commits yet. Push one.

    Open already, and left as it is:
      me/app: TODO: greet the world when there is no name (GITHUB/me/app/issues/1)

    Said no to before, and never proposed again:
      me/second: FIXME: the sum is wrong (GITHUB/me/second/issues/1)

    The same in several repositories:
      TODO: greet the world when there is no name: me/app, me/fork
      TODO: say goodbye: me/one, me/two

    Repositories looked at   5 of 7
    New proposals            4, 2 of them a duplicate of another one
    Open already             1
    Said no to before        1
    Expected cost            not known before five tasks of a kind were worked
    At most                  $60.00, if all are approved
    Nothing was written.
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_without_the_database_finds_what_was_proposed_and_closed_before() {
    let dir = tempfile::tempdir().unwrap();
    let (github, token) = fleet(dir.path()).await;
    for file in ["ccm.db", "ccm.db-wal", "ccm.db-shm"] {
        let _ = std::fs::remove_file(dir.path().join("data").join(file));
    }
    let arrived = github.requests().len();
    let report: Value = serde_json::from_str(&dry_run(dir.path(), &github, &token, &["--json"]).await).unwrap();
    let named = |list: &str| -> Vec<String> {
        let mut all: Vec<String> = report[list]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| format!("{} {}", one["repository"], one["title"]))
            .collect();
        all.sort();
        all
    };
    assert_eq!(named("open"), [r#""me/app" "TODO: greet the world when there is no name""#]);
    assert_eq!(named("closed"), [r#""me/second" "FIXME: the sum is wrong""#]);
    assert_eq!(
        named("proposals"),
        [
            r#""me/fork" "TODO: greet the world when there is no name""#,
            r#""me/one" "TODO: say goodbye""#,
            r#""me/second" "TODO: sort the list of names""#,
            r#""me/two" "TODO: say goodbye""#,
        ]
    );
    assert_eq!(report["duplicates"].as_array().unwrap().len(), 2, "the fork, and one of two alike");
    let asked = &github.requests()[arrived..];
    let by_git = asked.iter().filter(|request| request.kind == Kind::Git).count();
    assert_eq!(report["requests"].as_u64().unwrap() as usize, asked.len() - by_git);
    let calls = report["git_calls"].as_u64().unwrap() as usize;
    assert!(0 < calls && calls <= by_git, "{calls} calls made {by_git} requests");
    assert_eq!((report["refused_writes"].as_u64(), report["at_most_usd"].as_f64()), (Some(0), Some(60.0)));
}
