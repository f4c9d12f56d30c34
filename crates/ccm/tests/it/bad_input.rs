//! Bad input gets a clear answer and loses nothing.

use std::path::Path;
use std::process::Output;
use std::time::Duration;

use testkit::clock::TestClock;
use testkit::github::FakeGitHub;
use tokio::process::Command;

/// The longest a command that has to fail may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs `ccm` in `dir` with nothing of this machine's environment but the path.
pub async fn ccm(dir: &Path, args: &[&str], env: &[(&str, &str)]) -> Output {
    let path = std::env::var("PATH").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_ccm"));
    command.args(args).current_dir(dir).env_clear().env("PATH", path).env("HOME", dir).env("USER", "ada");
    command.envs(env.iter().copied()).kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output()).await;
    output.unwrap_or_else(|_| panic!("{args:?} did not end within {PATIENCE:?}")).unwrap()
}

/// Runs `ccm`, which has to fail with this code, and gives what it said.
async fn refused(dir: &Path, code: i32, args: &[&str], env: &[(&str, &str)]) -> String {
    let output = ccm(dir, args, env).await;
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
    said.replace(&dir.display().to_string(), "DIR")
}

fn config(dir: &Path, text: &str) {
    std::fs::write(dir.join("ccm.toml"), text).unwrap();
}

#[tokio::test]
async fn an_unknown_key_is_refused_with_the_nearest_known_one() {
    let dir = tempfile::tempdir().unwrap();
    config(dir.path(), "[proposals]\naproval_label = \"go\"\n");
    insta::assert_snapshot!(refused(dir.path(), 2, &["config", "check"], &[]).await, @r#"
    error: ccm.toml: TOML parse error at line 2, column 1
      |
    2 | aproval_label = "go"
      | ^^^^^^^^^^^^^
    unknown field `aproval_label`, expected one of `where`, `label`, `approval_label`, `max_open_per_repository`, `max_open_per_owner`, `max_open_pulls_per_repository`, `quiet_hours`, `time_zone`, `ignore_ai_policy`
    help: did you mean `approval_label`?
    "#);
    config(dir.path(), "[servr]\n");
    insta::assert_snapshot!(refused(dir.path(), 2, &["serve"], &[]).await, @r#"
    error: ccm.toml: TOML parse error at line 1, column 2
      |
    1 | [servr]
      |  ^^^^^
    unknown field `servr`, expected one of `github`, `server`, `sources`, `proposals`, `agents`, `model`, `sandbox`, `verification`, `limits`, `rank`
    help: did you mean `server`?
    "#);
}

#[tokio::test]
async fn values_that_cannot_be_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    for (text, says) in [
        ("[agents.default]\nmax_cost_usd = -1.0", "agents.default.max_cost_usd must be between 0 and 10000"),
        ("[agents.x]\nkind = \"command\"", "agents.x has kind \"command\" and needs a `program`"),
        ("[github]\nrepositories = []", "github.repositories is empty"),
        ("[github]\nrepositories = [\"a/*\"]\napi_url = \"https://me:secret@host\"", "must not hold a credential"),
        ("[server]\ndatabase = \"mysql://x\"", "this version knows sqlite:///absolute/path.db"),
        ("[limits]\nconcurrent_runs = 0", "limits.concurrent_runs must be at least 1"),
        ("[verification]\ncheck_minutes = 0", "verification.check_minutes must be at least 1"),
        ("[agents.x]\nmax_minutes = 9223372036854775807", "agents.x.max_minutes must be at most 10080"),
        ("[limits]\nscan_seconds = 9223372036854775807", "limits.scan_seconds must be at most 604800"),
        ("[sources.sarif.x]\nfile = \"a\"\nminutes = 20000", "sources.sarif.x.minutes must be at most 10080"),
        ("[sandbox]\nkind = \"docker\"", "unknown variant `docker`"),
        ("[model]\nbase_url = \"ftp://x\"", "which is no http or https address"),
        ("not toml at all", "ccm.toml"),
    ] {
        config(dir.path(), text);
        let said = refused(dir.path(), 2, &["config", "check"], &[]).await;
        assert!(said.contains(says), "{text}: {said}");
    }
}

#[tokio::test]
async fn a_missing_token_names_the_variable_and_a_wrong_one_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let github = FakeGitHub::start(TestClock::new()).await;
    let url = github.url();
    config(
        dir.path(),
        &format!("[github]\napi_url = \"{url}\"\ntoken_env = \"MY_TOKEN\"\nrepositories = [\"me/app\"]\n"),
    );
    let said = refused(dir.path(), 2, &["scan", "me/app"], &[]).await;
    assert!(said.contains("the environment variable MY_TOKEN that [github] names is not set"), "{said}");
    let said = refused(dir.path(), 1, &["scan", "me/app"], &[("MY_TOKEN", "ghp_wrong")]).await;
    assert!(said.contains("check the token") && !said.contains("ghp_wrong"), "{said}");
    let doctor = ccm(dir.path(), &["doctor"], &[("MY_TOKEN", "ghp_wrong")]).await;
    let said = String::from_utf8(doctor.stdout).unwrap();
    assert!(said.contains("FAIL  github") && said.contains("check the token in MY_TOKEN"), "{said}");
}

#[tokio::test]
async fn a_repository_that_is_not_there_and_a_folder_that_is_no_repository_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let github = FakeGitHub::start(TestClock::new()).await;
    let token = github.token_for("me");
    let url = github.url();
    config(dir.path(), &format!("[github]\napi_url = \"{url}\"\nrepositories = [\"me/none\"]\n"));
    let said = refused(dir.path(), 1, &["scan", "me/none"], &[("GITHUB_TOKEN", &token)]).await;
    assert!(said.contains("me/none"), "{said}");
    std::fs::create_dir(dir.path().join("plain")).unwrap();
    let said = refused(dir.path(), 1, &["serve", "plain"], &[("GITHUB_TOKEN", &token)]).await;
    assert!(said.contains("is not a git repository; run `git init` there"), "{said}");
    let said = refused(dir.path(), 1, &["serve", "nowhere"], &[("GITHUB_TOKEN", &token)]).await;
    assert!(said.contains("no repository at `nowhere`"), "{said}");
}

#[tokio::test]
async fn an_agent_that_is_not_installed_is_named_with_what_installs_it() {
    let dir = tempfile::tempdir().unwrap();
    let doctor = ccm(dir.path(), &["doctor"], &[("PATH", "/usr/bin:/bin")]).await;
    let said = String::from_utf8(doctor.stdout).unwrap();
    assert_eq!(doctor.status.code(), Some(1), "{said}");
    assert!(said.contains("FAIL  agent default: the program `claude` was not found"), "{said}");
    assert!(said.contains("npm install -g @anthropic-ai/claude-code"), "{said}");
}

#[tokio::test]
async fn a_sandbox_that_does_not_work_is_refused_with_what_mends_it() {
    let dir = tempfile::tempdir().unwrap();
    let bin = dir.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    let path = std::env::var_os("PATH").unwrap();
    let git = std::env::split_paths(&path).map(|dir| dir.join("git")).find(|path| path.is_file()).unwrap();
    std::os::unix::fs::symlink(git, bin.join("git")).unwrap();
    sample(dir.path()).await;
    let path = bin.display().to_string();
    let said = refused(dir.path(), 2, &["serve", "app"], &[("PATH", &path)]).await;
    assert!(said.contains("the sandbox bubblewrap does not work here") && said.contains("bubblewrap"), "{said}");
    assert!(said.contains("[sandbox] kind = \"none\""), "{said}");
}

#[tokio::test]
async fn a_port_that_is_taken_and_a_data_folder_that_is_served_are_named() {
    let dir = tempfile::tempdir().unwrap();
    sample(dir.path()).await;
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    config(dir.path(), &format!("[server]\nlisten = \"{address}\"\n"));
    let said = refused(dir.path(), 1, &["serve", "app"], &[]).await.replace(&address, "ADDRESS");
    assert!(
        said.contains("cannot listen on ADDRESS") && said.contains("name another address in [server] listen"),
        "{said}"
    );
}

#[tokio::test]
async fn a_database_from_a_newer_version_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    assert!(ccm(dir.path(), &["--data-dir", "data", "migrate"], &[]).await.status.success());
    let file = dir.path().join("data/ccm.db");
    let pool = sqlx::SqlitePool::connect(&format!("sqlite://{}", file.display())).await.unwrap();
    let newer =
        "INSERT INTO _sqlx_migrations SELECT 9999, 'later', installed_on, 1, checksum, 0 FROM _sqlx_migrations LIMIT 1";
    sqlx::query(newer).execute(&pool).await.unwrap();
    pool.close().await;
    let before = std::fs::read(&file).unwrap();
    let said = refused(dir.path(), 1, &["--data-dir", "data", "tasks"], &[]).await;
    assert!(said.contains("was written by a newer version of ccm") && said.contains("update ccm"), "{said}");
    assert_eq!(before, std::fs::read(&file).unwrap());
}

#[tokio::test]
async fn a_file_that_is_no_database_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("data")).unwrap();
    std::fs::write(
        dir.path().join("data/ccm.db"),
        "these are my notes, not a database, and quite long ones".repeat(40),
    )
    .unwrap();
    let said = refused(dir.path(), 1, &["--data-dir", "data", "tasks"], &[]).await;
    assert!(said.contains("cannot open the database DIR/data/ccm.db"), "{said}");
}

#[tokio::test]
async fn wrong_words_on_the_command_line_say_what_there_is() {
    let dir = tempfile::tempdir().unwrap();
    let data = ["--data-dir", "data"];
    for (args, code, says) in [
        (&["tasks", "show", "nothing"][..], 1, "there is no task nothing; `ccm tasks list` shows them"),
        (&["tasks", "list", "--state", "open"][..], 2, "`open` is no state; there are found, proposed"),
        (&["tasks", "list", "--repo", "app"][..], 2, "`app` is not a repository name such as owner/name"),
        (&["add", "Do it", "--repo", "me/app"][..], 1, "me/app is not watched"),
        (&["scan", "--source", "ci"][..], 2, "the source ci looks at a code host: name OWNER/NAME"),
        (&["scan", "nowhere"][..], 2, "nowhere is neither a folder nor OWNER/NAME"),
        (&["scan", "some/where"][..], 2, "some/where is no folder here, and ccm.toml has no [github] section"),
        (&["--config", "no.toml", "config", "show"][..], 2, "there is no configuration file no.toml"),
        (&["bogus"][..], 2, "unrecognized subcommand 'bogus'"),
    ] {
        let said = refused(dir.path(), code, &[&data[..], args].concat(), &[]).await;
        assert!(said.contains(says), "{args:?}: {said}");
    }
}

/// A small repository in `app`.
pub async fn sample(dir: &Path) {
    let git = git::Git::new("git".into());
    let author = git::Author { name: "Ada".to_owned(), email: "ada@example.com".to_owned() };
    let files = [("app.py", crate::story::SOURCE)];
    let at = backlog::time::Timestamp(1_767_225_600_000);
    git::LocalRepository::create(&git, &dir.join("app"), &files, &author, "Begin", at).await.unwrap();
}

#[tokio::test]
async fn a_detached_head_is_refused_and_a_folder_named_twice_is_one() {
    let dir = tempfile::tempdir().unwrap();
    sample(dir.path()).await;
    let git = |args: &'static [&'static str]| {
        let dir = dir.path().join("app");
        async move { Command::new("git").args(args).current_dir(dir).output().await.unwrap() }
    };
    assert!(git(&["checkout", "--quiet", "--detach"]).await.status.success());
    let said = refused(dir.path(), 1, &["serve", "app"], &[]).await;
    assert!(said.contains("has no default branch; check out a branch there"), "{said}");
    assert!(git(&["checkout", "--quiet", "main"]).await.status.success());
    config(dir.path(), "[server]\nlisten = \"127.0.0.1:0\"\n");
    let mut served = crate::life::Served::of(dir.path(), &["app", "./app"]);
    served.says("Sign in once with").await;
    crate::life::added(dir.path()).await;
    // Were it two, the second would be watched under a name of its own.
    let again = ["--data-dir", "data", "add", "Write it twice", "--repo", "local/app-2"];
    assert!(refused(dir.path(), 1, &again, &[]).await.contains("local/app-2 is not watched"));
    served.stop().await;
}

#[tokio::test]
async fn a_refused_decision_is_said_once() {
    let dir = tempfile::tempdir().unwrap();
    sample(dir.path()).await;
    config(dir.path(), "[server]\nlisten = \"127.0.0.1:0\"\n");
    let served = crate::life::Served::start(dir.path()).await;
    let task = crate::life::added(dir.path()).await;
    let reject = ["--data-dir", "data", "tasks", "reject", &task];
    assert!(ccm(dir.path(), &reject, &[]).await.status.success());
    let said = refused(dir.path(), 1, &reject, &[]).await;
    assert_eq!(said, "error: a task that is rejected cannot be rejected\n");
    served.stop().await;
}
