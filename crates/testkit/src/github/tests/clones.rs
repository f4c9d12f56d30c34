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
