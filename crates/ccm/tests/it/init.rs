//! `ccm init` as people meet it: the program itself, and a browser that is a few requests.

use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use testkit::clock::TestClock;
use testkit::github::FakeGitHub;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};

fn ccm(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ccm"));
    command.current_dir(dir).args(["--data-dir", "data"]).args(arguments).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The value of an attribute in a page of ours.
fn attribute(page: &str, name: &str) -> String {
    let rest = page.split_once(&format!(" {name}=\"")).unwrap_or_else(|| panic!("no {name} in {page}")).1;
    let value = rest.split('"').next().unwrap();
    value.replace("&quot;", "\"").replace("&lt;", "<").replace("&amp;", "&")
}

/// `ccm init --github-app` at the point where it waits for the person, with the address it shows.
async fn waiting(dir: &Path, github: &FakeGitHub) -> (Child, Lines<BufReader<ChildStderr>>, String) {
    let arguments = ["init", "--github-app", "--security-alerts", "--github", "acme/*", "--organization", "acme"];
    let mut child = ccm(dir, &[&arguments[..], &["--api-url", github.url()]].concat()).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    loop {
        let line = said.next_line().await.unwrap().expect("it says where to go");
        if let Some(page) = line.split_whitespace().find(|word| word.starts_with("http://127.0.0.1:")) {
            let page = page.to_owned();
            return (child, said, page);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_is_made_by_a_form_and_its_keys_are_kept() {
    use std::os::unix::fs::PermissionsExt as _;
    let (github, dir) = (FakeGitHub::start(TestClock::new()).await, tempfile::tempdir().unwrap());
    let (mut child, mut said, page) = waiting(dir.path(), &github).await;
    let browser = reqwest::Client::builder().no_proxy().build().unwrap();
    let form = browser.get(&page).send().await.unwrap().text().await.unwrap();
    let (action, manifest) = (attribute(&form, "action"), attribute(&form, "value"));
    let place = format!("{}/organizations/acme/settings/apps/new?state=", github.url());
    let state = action.strip_prefix(&place).unwrap_or_else(|| panic!("the form goes to {action}"));
    let manifest: Value = serde_json::from_str(&manifest).unwrap();
    assert_eq!(manifest["hook_attributes"]["url"], "https://ccm.invalid/webhooks/github");
    let permissions = &manifest["default_permissions"];
    for alerts in ["vulnerability_alerts", "security_events", "secret_scanning_alerts"] {
        assert_eq!(permissions[alerts], "read", "{permissions}");
    }
    let code = github.register_from_manifest("acme", &manifest);
    let back = manifest["redirect_url"].as_str().unwrap();
    // An answer to somebody else's form, and a name that leads here, are refused.
    let forged = browser.get(format!("{back}?code={code}&state=other")).send().await.unwrap();
    assert_eq!(forged.status(), 403);
    let rebound = browser.get(format!("{back}?code={code}&state={state}")).header("host", "evil.example");
    assert_eq!(rebound.send().await.unwrap().status(), 403);
    assert_eq!(browser.get(format!("{back}?code={code}&state={state}")).send().await.unwrap().status(), 200);

    let mut rest = String::new();
    while let Some(line) = said.next_line().await.unwrap() {
        rest.push_str(&line);
    }
    assert!(child.wait().await.unwrap().success(), "{rest}");
    assert!(rest.contains("/installations/new"), "{rest}");
    let text = std::fs::read_to_string(dir.path().join("ccm.toml")).unwrap();
    let config: toml::Table = text.parse().unwrap();
    assert_eq!(config["sources"]["security-alert"]["enabled"].as_bool(), Some(true));
    let app = config["github"]["app"].as_table().unwrap();
    for key in ["private_key_file", "webhook_secret_file"] {
        let file = app[key].as_str().unwrap();
        assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600, "{file}");
        let secret = std::fs::read_to_string(file).unwrap();
        assert!(!secret.is_empty() && !rest.contains(&secret) && !text.contains(&secret), "{key}");
    }
    let checked = ccm(dir.path(), &["config", "check"]).output().await.unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_existing_file_is_never_replaced_unasked() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("ccm.toml"), "# mine\n").unwrap();
    for arguments in [&["init"][..], &["init", "--github-app", "--github", "me/*"]] {
        let refused = ccm(dir.path(), arguments).output().await.unwrap();
        assert_eq!(refused.status.code(), Some(2), "{arguments:?}");
        assert!(String::from_utf8_lossy(&refused.stderr).contains("--force"), "{arguments:?}");
    }
    assert_eq!(std::fs::read_to_string(dir.path().join("ccm.toml")).unwrap(), "# mine\n");
    assert!(ccm(dir.path(), &["init", "--force", "--github", "me/*"]).status().await.unwrap().success());
    assert!(std::fs::read_to_string(dir.path().join("ccm.toml")).unwrap().contains("repositories = [\"me/*\"]"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_that_github_does_not_know_writes_nothing() {
    let (github, dir) = (FakeGitHub::start(TestClock::new()).await, tempfile::tempdir().unwrap());
    let (mut child, _said, page) = waiting(dir.path(), &github).await;
    let browser = reqwest::Client::builder().no_proxy().build().unwrap();
    let form = browser.get(&page).send().await.unwrap().text().await.unwrap();
    let state = attribute(&form, "action").split_once("state=").unwrap().1.to_owned();
    browser.get(format!("{page}made?code=invented&state={state}")).send().await.unwrap();
    assert_eq!(child.wait().await.unwrap().code(), Some(1));
    assert!(!dir.path().join("ccm.toml").exists());
}
