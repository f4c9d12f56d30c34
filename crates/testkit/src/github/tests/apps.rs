use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};

use super::*;
use crate::github::{App, Selection};

/// A web token of this App that was made and ends so many seconds from now.
fn web_token(site: &Site, app: &App, issuer: &Value, made: i64, ends: i64) -> String {
    let now = backlog::time::Clock::now(&*site.clock).0 / 1000;
    let claims = json!({"iss": issuer, "iat": now + made, "exp": now + ends});
    let key = EncodingKey::from_rsa_pem(app.private_key.as_bytes()).expect("a key");
    encode(&Header::new(Algorithm::RS256), &claims, &key).expect("a signature")
}

fn as_app(site: &mut Site, app: &App) {
    site.token = web_token(site, app, &json!(app.id), -60, 540);
}

/// Becomes the bearer of a new token of an installation.
async fn as_installation(site: &mut Site, app: &App, installation: u64, scope: Value) {
    as_app(site, app);
    let (status, body) = site.post(&format!("/app/installations/{installation}/access_tokens"), scope).await;
    assert_eq!(status, 201, "{body}");
    site.token = body["token"].as_str().expect("a token").to_owned();
}

async fn site_with_app() -> (Site, App, u64) {
    let site = Site::new().await;
    site.github.repo("me/secret").await;
    site.github.set_private("me/secret", true);
    let app = site.github.app("worker");
    let installation = site.github.install(&app, "me", Selection::All);
    (site, app, installation)
}

#[tokio::test]
async fn web_tokens_are_judged_by_signature_and_times() {
    let (mut site, app, _) = site_with_app().await;
    let table = [
        (json!(app.id), -60, 540, 200),
        (json!(app.id.to_string()), -60, 600, 200),
        (json!(app.id), -60, 601, 401),
        (json!(app.id), 1, 300, 401),
        (json!(app.id), -700, 0, 401),
        (json!(1), -60, 540, 404),
    ];
    for (issuer, made, ends, expected) in table {
        site.token = web_token(&site, &app, &issuer, made, ends);
        assert_eq!(site.get("/app").await.0, expected, "{issuer} {made} {ends}");
    }
    as_app(&mut site, &app);
    assert_eq!(site.get("/user").await.0, 403, "a web token is for the App only");
    let signature = site.token.rfind('.').expect("three parts");
    site.token.replace_range(signature + 1..signature + 9, "AAAAAAAA");
    assert_eq!(site.get("/app").await.0, 401);
    site.github.put_clock_ahead(-300);
    as_app(&mut site, &app);
    let (_, body) = site.get("/app").await;
    assert_eq!(body["message"], "'Expiration time' claim ('exp') is too far in the future");
}

#[tokio::test]
async fn tokens_hold_what_they_were_asked_for_and_no_longer_than_an_hour() {
    let (mut site, app, id) = site_with_app().await;
    as_installation(&mut site, &app, id, json!({"repositories": ["app"], "permissions": {"issues": "write"}})).await;
    let issue = json!({"title": "New"});
    let (_, made) = site.post("/repos/me/app/issues", issue.clone()).await;
    assert_eq!((&made["user"]["login"], &made["user"]["type"]), (&json!("worker[bot]"), &json!("Bot")));
    assert_eq!(site.post("/repos/me/secret/issues", issue).await.0, 404);
    assert_eq!(site.get("/repos/me/app/pulls").await.0, 403);
    assert_eq!(site.get("/user").await.0, 403);
    assert_eq!(names(&site.get("/installation/repositories").await.1["repositories"], "name"), "app");
    site.clock.advance(Duration::from_secs(3600));
    assert_eq!(site.get("/repos/me/app").await.0, 401);
    as_installation(&mut site, &app, id, json!({})).await;
    assert_eq!(names(&site.get("/installation/repositories").await.1["repositories"], "name"), "app secret");
    assert_eq!(site.send(Method::DELETE, "/installation/token", json!({})).await.0, 204);
    assert_eq!(site.get("/repos/me/app").await.0, 401);
    as_app(&mut site, &app);
    let path = format!("/app/installations/{id}/access_tokens");
    assert_eq!(site.post(&path, json!({"permissions": {"administration": "write"}})).await.0, 422);
    assert_eq!(site.post(&path, json!({"repositories": ["nowhere"]})).await.0, 422);
}

#[tokio::test]
async fn installations_are_listed_suspended_removed_and_made_again() {
    let (mut site, app, id) = site_with_app().await;
    site.github.organization("org");
    site.github.repo("org/tool").await;
    let other = site.github.install(&app, "org", Selection::Only(vec!["org/tool".to_owned()]));
    as_app(&mut site, &app);
    assert_eq!(names(&site.get("/app/installations").await.1, "id"), format!("{id} {other}"));
    for path in ["/repos/org/tool/installation", "/orgs/org/installation"] {
        assert_eq!(site.get(path).await.1["id"], other, "{path}");
    }
    assert_eq!(site.get("/users/me/installation").await.1["id"], id);
    as_installation(&mut site, &app, id, json!({})).await;
    site.github.suspend(id);
    assert_eq!(site.get("/repos/me/app").await.0, 403);
    as_app(&mut site, &app);
    let mint = format!("/app/installations/{id}/access_tokens");
    assert_eq!(site.post(&mint, json!({})).await.0, 403);
    let again = site.github.reinstall(&app, id);
    assert_eq!(site.post(&mint, json!({})).await.0, 404);
    assert_eq!(site.get("/repos/me/app/installation").await.1["id"], again);
}

#[tokio::test]
async fn f33_and_f34_new_tokens_may_be_unknown_and_long() {
    let (mut site, app, id) = site_with_app().await;
    site.github.set_token_length(8000);
    for status in [401, 403, 404] {
        site.github.new_tokens_are_unknown_for(Duration::from_secs(3), status);
        as_installation(&mut site, &app, id, json!({})).await;
        assert!(site.token.len() >= 7990);
        assert_eq!(site.get("/repos/me/app").await.0, status);
        site.clock.advance(Duration::from_secs(3));
        assert_eq!(site.get("/repos/me/app").await.0, 200);
    }
}

#[tokio::test]
async fn a_manifest_becomes_an_app_once() {
    let (site, ..) = site_with_app().await;
    let manifest = json!({"name": "My CCM", "default_permissions": {"issues": "write"}, "default_events": ["push"]});
    let code = site.github.register_from_manifest("me", &manifest);
    let path = format!("/app-manifests/{code}/conversions");
    let (status, app) = site.post(&path, json!({})).await;
    assert_eq!((status, &app["slug"], &app["permissions"]["issues"]), (201, &json!("my-ccm"), &json!("write")));
    assert!(app["pem"].as_str().is_some_and(|pem| pem.starts_with("-----BEGIN ")));
    assert_eq!(site.post(&path, json!({})).await.0, 404);
    let late = site.github.register_from_manifest("me", &manifest);
    site.clock.advance(Duration::from_secs(3600));
    assert_eq!(site.post(&format!("/app-manifests/{late}/conversions"), json!({})).await.0, 404);
}
