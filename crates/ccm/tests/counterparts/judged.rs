//! The line on our own fake GitHub, every request and every answer judged by GitHub's own description: the fake goes
//! further than the emulator, and this says that it does not lead astray.

use std::sync::Arc;

use testkit::github::{FakeGitHub, Permission};
use testkit::judge::Judge;

use super::process::{RealClock, Service, until};

const SOURCE: &str = "def greet(name):\n    # TODO: greet the world when there is no name\n    return 'Hello ' + name\n\n\n\
    def part(name):\n    # FIXME: say goodbye in the language of the guest\n    return 'Goodbye ' + name\n\n\n\
    def seats(guests):\n    # HACK: every guest is counted twice\n    return 2 * len(guests)\n";

/// Does what the prompt asks for.
const AGENT: &str = "#!/bin/sh\nset -e\ncat > \"$HOME/prompt\"\n\
    if grep -q 'why not a default' \"$HOME/prompt\"; then sed -i 's/greet(name)/greet(name=\"world\")/' app.py\n\
    elif grep -q 'say goodbye' \"$HOME/prompt\"; then echo 'I know no such language.'\n\
    elif grep -q 'expected 4, got 5' \"$HOME/prompt\"; then echo '# Four.' >> app.py\n\
    else sed -i '/TODO/d' app.py; fi\n";

#[tokio::test(flavor = "multi_thread")]
async fn every_request_and_every_answer_is_as_github_describes_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let github = FakeGitHub::start(Arc::new(RealClock)).await;
    github.repo("me/app").await;
    github.user("maintainer", Permission::Write);
    github
        .commit(
            "me/app",
            "Begin",
            &[
                ("app.py", SOURCE),
                ("check.sh", "test -f app.py\n"),
                (".github/ccm.toml", "checks = [\"sh check.sh\"]\n"),
            ],
        )
        .await;
    let token = github.token_for("ccm-user");
    let mut judge = Judge::start(github.url()).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let agent = dir.path().join("agent.sh");
    std::fs::write(&agent, AGENT).unwrap();
    std::fs::set_permissions(&agent, std::fs::Permissions::from_mode(0o755)).unwrap();
    let config = format!(
        "[github]\napi_url = \"{}\"\ngit_url = \"{}\"\nrepositories = [\"me/*\"]\n[server]\nlisten = \"127.0.0.1:0\"\n\
         [limits]\npoll_seconds = 1\n[agents.default]\nkind = \"command\"\nprogram = \"{}\"\n",
        judge.url(),
        github.url(),
        agent.display()
    );
    std::fs::write(dir.path().join("ccm.toml"), config).unwrap();
    let service = Service::serve(dir.path(), &token, &[]).await;

    until("the proposals", async || github.issues().len() == 3).await;
    let number = |words: &str| {
        github.issues().iter().find(|issue| issue.body.as_deref().unwrap().contains(words)).unwrap().number
    };
    let (greeting, parting, counting) = (number("greet the world"), number("say goodbye"), number("counted twice"));
    github.comment(counting, "maintainer", "/ccm reject");
    until("the rejected proposal to be closed", async || !github.issue(counting).open).await;
    github.label(parting, "approved-for-dev", "maintainer");
    until("the failure on the issue", async || {
        let issue = github.issue(parting);
        issue.comments.len() == 1 && !issue.labels.contains(&"approved-for-dev".to_owned())
    })
    .await;
    github.comment(greeting, "maintainer", "/ccm hurry");
    until("the refusal", async || service.timeline().await.contains("`/ccm hurry` is not a command")).await;
    github.label(greeting, "approved-for-dev", "maintainer");
    until("the review", async || service.timeline().await.contains("in review")).await;
    let first = github.pulls()[0].clone();
    let pull = first.issue.number;
    github.review(pull, "maintainer", "CHANGES_REQUESTED", "why not a default argument?");
    until("the second commit", async || github.pull(pull).pull.head_sha != first.pull.head_sha).await;
    until("the second review", async || service.timeline().await.matches("in review").count() == 2).await;
    let second = github.pull(pull).pull.head_sha;
    github.check(pull, "build", "failure", "test_sum: expected 4, got 5");
    until("the third commit", async || github.pull(pull).pull.head_sha != second).await;
    until("the third review", async || service.timeline().await.matches("in review").count() == 3).await;
    github.merge(pull, "maintainer").await;
    until("the task to be done", async || service.timeline().await.contains("merged by maintainer")).await;
    until("the issue to be closed", async || !github.issue(greeting).open).await;
    let branch = github.file_at("me/app", "main", "app.py").await.unwrap();
    assert!(
        branch.contains("greet(name=\"world\")") && branch.ends_with("# Four.\n") && !branch.contains("TODO"),
        "{branch}"
    );
    service.stop().await;
    assert_eq!(github.violations(), Vec::<String>::new());
    assert_eq!(judge.wrong_requests(), Vec::<String>::new());
    assert_eq!(judge.wrong_answers(), Vec::<String>::new());
    assert_eq!(judge.graphql().await.unwrap(), (Vec::new(), Vec::new()));
    judge.end().await.unwrap();
}
