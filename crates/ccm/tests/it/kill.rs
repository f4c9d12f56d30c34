//! `kill -9` of the real service in the middle of a run or of a write, then a restart.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use testkit::github::{FakeGitHub, Fault, Permission};

use crate::real::{PATIENCE, RealClock, serve, until};

/// The service's configuration for a GitHub at this address.
fn configure(dir: &Path, api_url: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    let agent = dir.join("agent.sh");
    // The first time it hangs; its home outlives the service, so the second time it works.
    let script = "#!/bin/sh\nset -e\nif ! test -e \"$HOME/seen\"; then touch \"$HOME/seen\"; sleep 600; fi\nsed -i '/TODO/d' app.py\n";
    std::fs::write(&agent, script).unwrap();
    std::fs::set_permissions(&agent, std::fs::Permissions::from_mode(0o755)).unwrap();
    let config = format!(
        "[github]\napi_url = \"{api_url}\"\nrepositories = [\"me/app\"]\n[server]\nlisten = \"127.0.0.1:0\"\n\
         [agents.default]\nkind = \"command\"\nprogram = \"{}\"\n[limits]\npoll_seconds = 1\n",
        agent.display()
    );
    std::fs::write(dir.join("ccm.toml"), config).unwrap();
}

/// A repository with one TODO.
async fn github() -> (FakeGitHub, String) {
    let github = FakeGitHub::start(Arc::new(RealClock)).await;
    github.repo("me/app").await;
    github.user("maintainer", Permission::Write);
    let files = [
        ("app.py", crate::story::SOURCE),
        ("check.sh", crate::story::CHECK),
        (".github/ccm.toml", crate::story::POLICY),
    ];
    github.commit("me/app", "Begin", &files).await;
    let token = github.token_for("ccm-user");
    (github, token)
}

/// The process is gone between the send and the answer: what it sent was executed and it never knew.
#[tokio::test(flavor = "multi_thread")]
async fn f22_a_service_killed_between_send_and_answer_finds_its_issue_again() {
    let (github, token) = github().await;
    let dir = tempfile::tempdir().unwrap();
    configure(dir.path(), github.url());
    github.fail(Fault::execute_then_hang().on("POST /repos/{owner}/{repo}/issues"));
    let mut first = serve(dir.path(), &token);
    until("the issue", async || github.issues().len() == 1).await;
    first.kill().await.unwrap();
    let mut second = serve(dir.path(), &token);
    github.label(1, "approved-for-dev", "maintainer");
    until("the agent", async || run_folder(dir.path()).is_some_and(|run| run.join("home/seen").exists())).await;
    second.kill().await.unwrap();
    assert_eq!((github.issues().len(), github.requests_matching("POST /repos/{owner}/{repo}/issues").len()), (1, 1));
    assert_eq!(github.violations(), Vec::<String>::new());
}

/// The only run's folder.
fn run_folder(dir: &Path) -> Option<PathBuf> {
    Some(std::fs::read_dir(dir.join("data/runs")).ok()?.next()?.ok()?.path())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_service_goes_on_where_it_was_and_does_nothing_twice() {
    let (github, token) = github().await;
    let dir = tempfile::tempdir().unwrap();
    configure(dir.path(), github.url());

    let mut first = serve(dir.path(), &token);
    until("the proposal", async || github.issues().len() == 1).await;
    github.label(1, "approved-for-dev", "maintainer");
    until("the agent", async || run_folder(dir.path()).is_some_and(|run| run.join("home/seen").exists())).await;
    let run = run_folder(dir.path()).unwrap().file_name().unwrap().to_string_lossy().into_owned();
    let paths = pipeline::Paths { data: dir.path().join("data"), program: PathBuf::new() };
    let run = paths.marker(&run);
    assert!(!runner::processes_of(&run).is_empty());
    first.kill().await.unwrap();
    // Bubblewrap dies with its parent, and everything inside with it.
    until("the processes of the run to end", async || runner::processes_of(&run).is_empty()).await;

    let mut second = serve(dir.path(), &token);
    until("the pull request", async || github.pulls().len() == 1).await;
    github.merge(2, "maintainer").await;
    until("the issue to be closed", async || !github.issue(1).open).await;
    let pid = rustix::process::Pid::from_raw(second.id().unwrap().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let status = tokio::time::timeout(PATIENCE, second.wait()).await.expect("it ends by itself").unwrap();
    assert_eq!(status.code(), Some(0));
    assert_eq!((github.issues().len(), github.pulls().len()), (1, 1));
    assert_eq!(runner::processes_of(&run), []);
    assert_eq!(github.violations(), Vec::<String>::new());
}

/// Without a sandbox nothing ends with the service.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_services_tool_left_behind_is_ended_at_the_next_start() {
    let (github, token) = github().await;
    let dir = tempfile::tempdir().unwrap();
    let seen = dir.path().join("seen");
    let tool = format!("test -e {0} && exit 1; touch {0}; sleep 600 & sleep 600", seen.display());
    let config = format!(
        "[github]\napi_url = \"{}\"\nrepositories = [\"me/app\"]\n[server]\nlisten = \"127.0.0.1:0\"\n\
         [sandbox]\nkind = \"none\"\n[sources.sarif.lint]\ncommand = \"{tool}\"\n",
        github.url()
    );
    std::fs::write(dir.path().join("ccm.toml"), config).unwrap();
    let id = format!("sarif-{}", &backlog::names::digest(&["me/app", "lint"])[..16]);
    let folder = dir.path().join("data/runs").join(&id);
    let marker = pipeline::Paths { data: dir.path().join("data"), program: PathBuf::new() }.marker(&id);

    let mut first = serve(dir.path(), &token);
    until("the tool", async || seen.exists() && runner::processes_of(&marker).len() >= 2).await;
    let left = runner::processes_of(&marker);
    first.kill().await.unwrap();
    assert!(!runner::processes_of(&marker).is_empty() && folder.exists(), "nobody ends it yet");

    let mut second = serve(dir.path(), &token);
    until("the end of what is left", async || {
        runner::processes_of(&marker).iter().all(|process| !left.contains(process))
    })
    .await;
    until("the end of the tool's second run", async || !folder.exists() && runner::processes_of(&marker).is_empty())
        .await;
    second.kill().await.unwrap();
}
