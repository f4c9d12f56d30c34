use http::HeaderValue;
use serde_json::json;

use super::*;

const SECRET: &str = "It's a Secret to Everybody";
const BODY: &[u8] = b"Hello, World!";
/// GitHub's documentation gives this signature for that secret and body.
const PUBLISHED: &str = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(*name, HeaderValue::from_str(value).unwrap());
    }
    headers
}

fn secrets(present: &str, previous: Option<&str>) -> Secrets {
    Secrets::new(present.into(), previous.map(Into::into)).unwrap()
}

fn checked(secrets: &Secrets, signature: &str, body: &[u8]) -> bool {
    secrets.check(&headers(&[("x-hub-signature-256", signature)]), body).is_ok()
}

#[test]
fn r46_the_published_test_vector_is_right() {
    assert!(checked(&secrets(SECRET, None), PUBLISHED, BODY));
}

#[test]
fn r46_one_changed_bit_of_the_raw_body_is_noticed() {
    assert!(!checked(&secrets(SECRET, None), PUBLISHED, b"Hello, world!"));
    assert!(!checked(&secrets(SECRET, None), PUBLISHED, b"Hello, World!\n"));
}

#[test]
fn r46_two_secrets_are_accepted_while_one_is_changed() {
    assert!(checked(&secrets("new", Some(SECRET)), PUBLISHED, BODY));
    assert!(checked(&secrets(SECRET, Some("old")), PUBLISHED, BODY));
    assert!(!checked(&secrets("new", Some("old")), PUBLISHED, BODY));
    assert!(!checked(&secrets("new", None), PUBLISHED, BODY));
}

#[test]
fn r46_an_empty_secret_is_none() {
    assert!(Secrets::new("".into(), Some(SECRET.into())).is_none());
    assert!(Secrets::new(" ".into(), None).is_none());
    assert!(checked(&secrets(SECRET, Some("")), PUBLISHED, BODY));
    // Signed with an empty key: an empty previous secret must not accept it.
    let empty = Hmac::<Sha256>::new_from_slice(b"").unwrap().chain_update(BODY).finalize().into_bytes();
    assert!(!checked(&secrets(SECRET, Some("")), &format!("sha256={}", hex::encode(empty)), BODY));
}

#[test]
fn f53_missing_empty_malformed_and_sha1_signatures_are_refused() {
    let secrets = secrets(SECRET, None);
    let short = &PUBLISHED[..PUBLISHED.len() - 1];
    let without_prefix = PUBLISHED.trim_start_matches("sha256=");
    for signature in ["", "sha256=", "sha1=", short, without_prefix, "sha256=zz", "SHA256=00", &format!("{PUBLISHED}0")]
    {
        assert!(!checked(&secrets, signature, BODY), "{signature}");
    }
    let sha1 = headers(&[("x-hub-signature", "sha1=3dca279e731c97c38e3019a075dee9ebbd0a99f0")]);
    assert!(matches!(secrets.check(&sha1, BODY), Err(Refused::Signature(_))));
    let twice = headers(&[("x-hub-signature-256", PUBLISHED), ("x-hub-signature-256", PUBLISHED)]);
    assert!(matches!(secrets.check(&twice, BODY), Err(Refused::Signature(_))));
}

#[test]
fn secrets_stand_in_no_text() {
    assert_eq!(format!("{:?}", secrets(SECRET, Some("older"))), "Secrets(2)");
}

fn event(name: &str, body: &serde_json::Value) -> Delivery {
    read_event("guid", name, body.to_string().as_bytes()).unwrap()
}

#[test]
fn an_event_says_where_to_look() {
    let repository = json!({"full_name": "acme/app", "default_branch": "main"});
    let app: RepoName = "acme/app".parse().unwrap();
    let of = |about: fn(RepoName) -> About| about(app.clone());
    let [work, code, alerts] = [About::Work, About::Code, About::Alerts].map(of);
    let [issues, checks] = [About::Issues, About::Checks].map(of);
    for (name, action, git_ref, about) in [
        ("issues", "labeled", "", &issues),
        ("issue_comment", "created", "", &issues),
        ("pull_request_review", "submitted", "", &work),
        ("check_suite", "completed", "", &checks),
        ("status", "", "", &checks),
        ("secret_scanning_alert", "resolved", "", &alerts),
        ("check_run", "created", "", &About::Nothing),
        ("workflow_run", "requested", "", &About::Nothing),
        ("dependabot_alert", "created", "", &alerts),
        ("push", "", "refs/heads/main", &code),
        ("push", "", "refs/heads/ccm/x", &work),
        ("push", "", "refs/tags/v1", &About::Nothing),
        ("repository", "renamed", "", &About::Repositories),
        ("installation_repositories", "added", "", &About::Repositories),
        ("ping", "", "", &About::Nothing),
        ("an_event_of_next_year", "done", "", &About::Nothing),
    ] {
        let body = json!({"action": action, "repository": repository, "ref": git_ref});
        assert_eq!(event(name, &body).about, *about, "{name} {action} {git_ref}");
    }
}

#[test]
fn only_checks_that_may_be_of_the_default_branch_are_looked_at_there() {
    let app: RepoName = "acme/app".parse().unwrap();
    for (name, branch, rest) in [
        ("check_suite", "main", json!({"check_suite": {"id": 1, "head_branch": "main"}})),
        ("check_suite", "", json!({"check_suite": {"id": 1, "head_branch": null}})),
        ("check_suite", "x", json!({"check_suite": {"id": 1, "head_branch": "ccm/x"}})),
        ("check_run", "main", json!({"check_run": {"id": 1, "check_suite": {"head_branch": "main"}}})),
        ("check_run", "x", json!({"check_run": {"id": 1, "check_suite": {"head_branch": "ccm/x"}}})),
        ("workflow_run", "x", json!({"workflow_run": {"id": 1, "head_branch": "ccm/x"}})),
        ("status", "main", json!({"branches": [{"name": "ccm/x"}, {"name": "main"}]})),
        ("status", "x", json!({"branches": [{"name": "ccm/x"}]})),
        ("status", "x", json!({"branches": []})),
        ("status", "", json!({"branches": "odd"})),
    ] {
        let mut body =
            json!({"action": "completed", "repository": {"full_name": "acme/app", "default_branch": "main"}});
        body.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        let expected = if branch == "x" { About::Work(app.clone()) } else { About::Checks(app.clone()) };
        assert_eq!(event(name, &body).about, expected, "{body}");
    }
    let body = json!({"action": "created", "repository": {"full_name": "acme/app"},
        "alert": {"number": 3, "updated_at": "2026-01-01T00:00:09Z"}});
    assert_eq!(event("dependabot_alert", &body).subject, "acme/app dependabot alert 3");
}

#[test]
fn an_event_says_who_what_and_when() {
    let body = json!({
        "action": "created", "sender": {"id": 7}, "installation": {"id": 99},
        "repository": {"full_name": "acme/app"},
        "issue": {"number": 12, "updated_at": "2026-01-01T00:00:09Z"},
        "comment": {"id": 5, "updated_at": "2026-01-01T00:00:05Z"},
    });
    let delivery = event("issue_comment", &body);
    assert_eq!((delivery.sender, delivery.installation), (Some(7), Some(99)));
    assert_eq!(delivery.event, "issue_comment.created");
    assert_eq!(delivery.subject, "acme/app comment 5");
    assert_eq!(delivery.updated_at, Timestamp::parse_rfc3339("2026-01-01T00:00:05Z"));
    assert_eq!(event("issues", &body).subject, "acme/app issue 12");
}

#[test]
fn odd_fields_make_a_hint_vague_and_no_error() {
    for body in [
        json!({}),
        json!({"action": 3, "repository": "acme/app", "issue": [1], "sender": null, "ref": {}}),
        json!({"repository": {"full_name": "../../etc"}, "issue": {"number": "x", "updated_at": "yesterday"}}),
        json!({"repository": {"full_name": null, "pushed_at": -1.5}, "installation": {"id": "9"}}),
    ] {
        for name in ["issues", "push", "check_run"] {
            let delivery = event(name, &body);
            assert_eq!((delivery.about, delivery.subject.as_str()), (About::Nothing, ""), "{name} {body}");
        }
    }
}

#[test]
fn what_is_no_delivery_is_malformed() {
    for (id, name, body) in [
        ("", "issues", "{}"),
        ("guid", "", "{}"),
        ("guid", "issues", ""),
        ("guid", "issues", "[]"),
        ("guid", "issues", "{\"action\":"),
        ("a b", "issues", "{}"),
        (&"x".repeat(ID_CHARS + 1), "issues", "{}"),
    ] {
        assert!(matches!(read_event(id, name, body.as_bytes()), Err(Refused::Malformed(_))), "{id} {name} {body}");
    }
}

#[test]
fn a_hook_may_send_forms() {
    let headers = headers(&[
        ("x-github-delivery", "guid"),
        ("x-github-event", "issues"),
        ("content-type", "application/x-www-form-urlencoded"),
    ]);
    let delivery = read(&headers, b"payload=%7B%22sender%22%3A%7B%22id%22%3A7%7D%7D").unwrap();
    assert_eq!(delivery.sender, Some(7));
    assert!(matches!(read(&headers, b"other=%7B%7D"), Err(Refused::Malformed(_))));
}
