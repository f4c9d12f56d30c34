use super::super::PushRule;
use super::*;
use base64::Engine;
use std::path::Path;

/// Runs git as a client with this token; gives success and everything it said.
async fn git(dir: &Path, token: Option<&str>, args: &[&str]) -> (bool, String) {
    let mut command = super::super::bare::command(dir);
    for who in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{who}_NAME"), "t").env(format!("GIT_{who}_EMAIL"), "t@example.com");
    }
    if let Some(token) = token {
        let pair = base64::engine::general_purpose::STANDARD.encode(format!("x-access-token:{token}"));
        command.args(["-c", &format!("http.extraHeader=Authorization: Basic {pair}")]);
    }
    command.args(args);
    let output = super::super::bare::communicate(command, b"").await.expect("git runs");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

#[tokio::test]
async fn git_clones_fetches_partially_and_pushes() {
    let site = Site::new().await;
    let (dir, token) = (tempfile::tempdir().expect("a folder"), site.token.clone());
    let url = format!("{}/me/app.git", site.github.url());
    let (done, said) =
        git(dir.path(), None, &["clone", "--quiet", "--filter=blob:none", "--depth=1", &url, "app"]).await;
    assert!(done, "{said}");
    let app = dir.path().join("app");
    std::fs::write(app.join("new.txt"), "new\n").expect("a file");
    assert!(git(&app, None, &["switch", "--quiet", "-c", "topic"]).await.0);
    assert!(git(&app, None, &["add", "new.txt"]).await.0);
    assert!(git(&app, None, &["commit", "--quiet", "-m", "New"]).await.0);
    let (done, said) = git(&app, None, &["push", "origin", "topic"]).await;
    assert!(!done && said.contains("could not read Username"), "{said}");
    let (done, said) = git(&app, Some("ghp_wrong"), &["push", "origin", "topic"]).await;
    assert!(!done && said.contains("could not read Username"), "{said}");
    let outsider = site.github.token_for("outsider");
    let (done, said) = git(&app, Some(&outsider), &["push", "origin", "topic"]).await;
    assert!(!done && said.contains("403"), "{said}");
    let (done, said) = git(&app, Some(&token), &["push", "origin", "topic"]).await;
    assert!(done, "{said}");
    assert_eq!(site.github.file_at("me/app", "topic", "new.txt").await.as_deref(), Some("new\n"));
    let number = site.github.open_pull("ccm-bot", "topic", "New", "").await;
    std::fs::write(app.join("new.txt"), "newer\n").expect("a file");
    assert!(git(&app, None, &["commit", "--quiet", "-am", "Newer"]).await.0);
    assert!(git(&app, Some(&token), &["push", "origin", "topic"]).await.0);
    let (_, pushed) = git(&app, None, &["rev-parse", "HEAD"]).await;
    assert_eq!(site.github.pull(number).pull.head_sha, pushed.trim());
    assert!(!site.github.requests_matching("POST /{owner}/{repo}.git/git-upload-pack").is_empty());
    assert_eq!(site.github.requests_matching("POST /{owner}/{repo}.git/git-receive-pack").len(), 2);
    assert!(site.github.requests().iter().all(|request| request.kind == Kind::Git));
    assert_eq!(site.github.violations(), [""; 0]);
}

#[tokio::test]
async fn private_and_renamed_repositories_and_refused_pushes() {
    let site = Site::new().await;
    let dir = tempfile::tempdir().expect("a folder");
    let url = format!("{}/me/app.git", site.github.url());
    site.github.set_private("me/app", true);
    let (done, said) = git(dir.path(), None, &["ls-remote", &url]).await;
    assert!(!done && said.contains("could not read Username"), "{said}");
    let stranger = site.github.token_for("stranger");
    site.github.permit("me/app", "stranger", Permission::None);
    let (done, said) = git(dir.path(), Some(&stranger), &["ls-remote", &url]).await;
    assert!(!done && said.contains("not found"), "{said}");
    site.github.rename_repo("me/app", "me/product");
    let (done, said) = git(dir.path(), Some(&site.token), &["clone", "--quiet", &url, "app"]).await;
    assert!(done, "{said}");
    let app = dir.path().join("app");
    let url = format!("{}/me/product.git", site.github.url());
    site.github.refuse_pushes("me/product", Some("GH006: Protected branch update failed for refs/heads/main."));
    let (done, said) = git(&app, Some(&site.token), &["push", &url, "HEAD:refs/heads/x"]).await;
    assert!(!done && said.contains("remote: GH006: Protected branch"), "{said}");
    site.github.refuse_pushes("me/product", None);
    assert!(git(&app, Some(&site.token), &["push", &url, "HEAD:refs/heads/x"]).await.0);
    site.github.set_archived("me/product", true);
    let (done, said) = git(&app, Some(&site.token), &["push", &url, "HEAD:refs/heads/y"]).await;
    assert!(!done && said.contains("403"), "{said}");
    site.github.fail(Fault::status(429, "Too many").on("GET /info/refs"));
    assert!(git(&app, Some(&site.token), &["ls-remote", &url]).await.1.contains("429"));
}

/// A clone of `me/app` with one more commit in it, and what a push of it says.
async fn pushed(site: &Site, branch: &str, file: &str, content: &str) -> (bool, String) {
    let dir = tempfile::tempdir().expect("a folder");
    let url = format!("{}/me/app.git", site.github.url());
    assert!(git(dir.path(), None, &["clone", "--quiet", &url, "app"]).await.0);
    let app = dir.path().join("app");
    let file = app.join(file);
    std::fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
    std::fs::write(file, content).expect("a file");
    assert!(git(&app, None, &["add", "--all"]).await.0);
    assert!(git(&app, None, &["commit", "--quiet", "-m", "New"]).await.0);
    git(&app, Some(&site.token), &["push", "origin", &format!("HEAD:refs/heads/{branch}")]).await
}

#[tokio::test]
async fn f61_pushes_are_refused_in_githubs_words() {
    let site = Site::new().await;
    let rules =
        [PushRule::Protected("main"), PushRule::NoWorkflows, PushRule::LargestFile(1000), PushRule::NoSecret("hush")];
    site.github.set_push_rules("me/app", &rules);
    let workflow = "refusing to allow a GitHub App to create or update workflow `.github/workflows/ci.yml` without `workflows` permission";
    let long = "x".repeat(1001);
    let table = [
        ("main", "a.txt", "a", "GH006: Protected branch update failed", "(protected branch hook declined)"),
        ("fix", ".github/workflows/ci.yml", "on: push", workflow, "remote rejected"),
        ("fix", "long.txt", long.as_str(), "GH001: Large files detected", "(pre-receive hook declined)"),
        ("fix", "a.txt", "key: hush", "GH013", "(push declined due to repository rule violations)"),
    ];
    for (branch, file, content, said, reason) in table {
        let (done, text) = pushed(&site, branch, file, content).await;
        assert!(!done && text.contains(said) && text.contains(reason), "{text}");
    }
    let (done, text) = pushed(&site, "fix", "a.txt", "fine").await;
    assert!(done, "{text}");
}

#[tokio::test]
async fn f60_git_may_break_off_lose_branches_and_know_no_filters() {
    let site = Site::new().await;
    let dir = tempfile::tempdir().expect("a folder");
    let url = format!("{}/me/app.git", site.github.url());
    site.github.fail(Fault::half_a_body().on("POST /git-upload-pack").nth(2));
    let (done, said) = git(dir.path(), None, &["clone", &url, "broken"]).await;
    assert!(!done && (said.contains("early EOF") || said.contains("unexpected disconnect")), "{said}");
    site.github.set_partial_clones("me/app", false).await;
    let (_, said) = git(dir.path(), None, &["clone", "--filter=blob:none", &url, "whole"]).await;
    assert!(said.contains("filtering not recognized"), "{said}");
    let first = site.github.branch("me/app", "main").expect("the branch exists");
    site.github.commit("me/app", "Second", &[("b.txt", "b\n")]).await;
    site.github.reset_branch("me/app", "main", &first).await;
    assert_eq!(site.github.branch("me/app", "main"), Some(first));
    site.github.many_branches("me/app", 20_000).await;
    let (_, said) = git(dir.path(), None, &["ls-remote", "--heads", &url]).await;
    assert_eq!(said.lines().count(), 20_001);
}
