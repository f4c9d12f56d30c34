use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::join_all;
use testkit::clock::TestClock;
use testkit::github::{FakeGitHub, Fault};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Barrier;

use super::*;
use crate::RemoteAuth;
use crate::testing::{World, branch};

const OID: &str = "1111111111111111111111111111111111111111";

async fn github() -> (FakeGitHub, Git, Remote) {
    let github = FakeGitHub::start(TestClock::new()).await;
    github.repo("me/app").await;
    github.commit("me/app", "First", &[("a", "1")]).await;
    let remote = with_login(format!("{}/me/app.git", github.url()), &github.token_for("ccm-bot"));
    (github, Git::new("git".into()), remote)
}

fn with_login(url: String, token: &str) -> Remote {
    Remote { url, auth: Some(RemoteAuth { username: "x-access-token".into(), password: token.into() }) }
}

/// A server that answers each request, one a connection, with what `answer` makes of its first line.
async fn server(answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/me/app.git", listener.local_addr().unwrap());
    let answer = Arc::new(answer);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                let request = read_request(&mut stream).await;
                let _gone = stream.write_all(&answer(&request)).await;
            });
        }
    });
    url
}

async fn read_request(stream: &mut TcpStream) -> String {
    let (mut request, mut buffer) = (String::new(), [0; 4096]);
    while !request.contains("\r\n\r\n") || (request.starts_with("POST") && !request.ends_with("0000")) {
        let n = stream.read(&mut buffer).await.unwrap_or(0);
        if n == 0 {
            break;
        }
        request.push_str(&String::from_utf8_lossy(&buffer[..n]));
    }
    request
}

fn http(status: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn listing() -> Vec<u8> {
    let line = format!("{OID} HEAD symref-target:refs/heads/main\n");
    format!("{:04x}{line}0000", line.len() + 4).into_bytes()
}

/// Passes bytes on to `to` and keeps what went each way.
async fn relay(to: String) -> (String, Arc<Mutex<Vec<[Vec<u8>; 2]>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (url, kept) = (format!("http://{}", listener.local_addr().unwrap()), Arc::default());
    let seen: Arc<Mutex<Vec<[Vec<u8>; 2]>>> = Arc::clone(&kept);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(to.trim_start_matches("http://")).await.unwrap();
            let at = {
                let mut seen = seen.lock().unwrap();
                seen.push(Default::default());
                seen.len() - 1
            };
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            tokio::spawn(copy(from_client, to_server, seen.clone(), at, 0));
            tokio::spawn(copy(from_server, to_client, seen.clone(), at, 1));
        }
    });
    (url, kept)
}

async fn copy(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    seen: Arc<Mutex<Vec<[Vec<u8>; 2]>>>,
    at: usize,
    way: usize,
) {
    let mut buffer = [0; 4096];
    while let Ok(n @ 1..) = from.read(&mut buffer).await {
        seen.lock().unwrap()[at][way].extend_from_slice(&buffer[..n]);
        if to.write_all(&buffer[..n]).await.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn f60_among_20_000_refs_one_small_request_finds_the_head() {
    let (github, git, remote) = github().await;
    let (dir, head) = (github.git_dir("me/app"), github.branch("me/app", "main").unwrap());
    let refs: String = (0..20_000).map(|n| format!("{head} refs/tags/v{n:05}\n")).collect();
    fs::write(dir.join("packed-refs"), format!("# pack-refs with: peeled fully-peeled sorted \n{refs}")).unwrap();
    let (url, seen) = relay(github.url().to_owned()).await;
    let through = Remote { url: format!("{url}/me/app.git"), ..remote };
    let found = git.remote_head(through).await.unwrap();
    assert_eq!(found, RemoteHead { branch: Some(branch("main")), commit: Some(head.parse().unwrap()) });
    assert_eq!(
        github.requests_by_route().into_iter().collect::<Vec<_>>(),
        [("POST /{owner}/{repo}.git/git-upload-pack".to_owned(), 1)]
    );
    let seen = seen.lock().unwrap();
    let [up, down] = &seen[0];
    for bytes in [up, down] {
        let text = String::from_utf8_lossy(bytes);
        let (_, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(!body.is_empty() && body.len() < 200, "{} bytes: {body}", body.len());
    }
}

#[tokio::test]
async fn f60_200_000_refs_cost_no_more_than_one() {
    let (github, git, remote) = github().await;
    let (dir, head) = (github.git_dir("me/app"), github.branch("me/app", "main").unwrap());
    let refs: String = (0..200_000).map(|n| format!("{head} refs/heads/b{n:06}\n")).collect();
    let packed = format!("# pack-refs with: peeled fully-peeled sorted \n{refs}{head} refs/heads/main\n");
    fs::write(dir.join("packed-refs"), packed).unwrap();
    let (url, seen) = relay(github.url().to_owned()).await;
    let through = Remote { url: format!("{url}/me/app.git"), ..remote };
    let temp = tempfile::tempdir().unwrap();
    let glance = git.open_glance(temp.path().join("glance"), temp.path().join("mirror"), through).await.unwrap();
    assert_eq!(glance.fetch().await.unwrap().head, Some(head.parse().unwrap()));
    let bytes: usize = seen.lock().unwrap().iter().flatten().map(Vec::len).sum();
    assert!(bytes < 8_000, "{bytes} bytes both ways");
}

#[tokio::test]
async fn f60_a_list_of_200_000_refs_that_nobody_asked_for_is_refused() {
    let line = format!("{OID} refs/heads/branch-with-a-name\n");
    let flood = format!("{:04x}{line}", line.len() + 4).repeat(200_000);
    let url = server(move |_| http("200 OK", format!("{flood}0000").as_bytes())).await;
    let refused = Git::new("git".into()).remote_head(Remote::public(url)).await;
    assert!(matches!(refused, Err(GitError::TooLarge { .. })), "{:?}", refused.map(|_| ()));
}

#[tokio::test]
async fn r23_at_most_eight_questions_at_one_host() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let barrier = Arc::new(Barrier::new(AT_ONCE));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/me/app.git", listener.local_addr().unwrap());
    let (counted, peak) = (now.clone(), most.clone());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (now, most, barrier) = (counted.clone(), peak.clone(), barrier.clone());
            tokio::spawn(async move {
                read_request(&mut stream).await;
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                barrier.wait().await;
                now.fetch_sub(1, Ordering::SeqCst);
                stream.write_all(&http("200 OK", &listing())).await.unwrap();
            });
        }
    });
    let git = Git::new("git".into());
    let found = join_all((0..5 * AT_ONCE).map(|_| git.remote_head(Remote::public(url.clone())))).await;
    assert!(found.iter().all(Result::is_ok), "{found:?}");
    assert_eq!(most.load(Ordering::SeqCst), AT_ONCE);
}

#[tokio::test]
async fn f60_hostile_answers_become_errors() {
    let endless = [b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".to_vec(), vec![b'0'; ANSWER_BYTES + 1]].concat();
    let error_packet = b"0028ERR upload-pack: not allowed to ask\n0000";
    for (answer, expected) in [
        (http("200 OK", b""), "Transient"),
        (http("200 OK", b"00"), "Transient"),
        (http("200 OK", format!("003d{OID} HEAD").as_bytes()), "Transient"),
        (http("200 OK", format!("0032{OID} HEAD\n").as_bytes()), "Transient"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 999\r\n\r\n0000".to_vec(), "Transient"),
        (b"HTTP/1.1 200 OK\r\nconnection: cl".to_vec(), "Transient"),
        (endless, "TooLarge"),
        (http("200 OK", error_packet), "Denied"),
        (http("502 Bad Gateway", b"<html>"), "Transient"),
        (http("429 Too Many Requests", b""), "Limited"),
        (http("200 OK", b"<!DOCTYPE html>"), "Failed"),
        (http("200 OK", b"zzzz0000"), "Failed"),
        (http("200 OK", b"0003"), "Failed"),
        (http("200 OK", b"ffff"), "Failed"),
        (http("200 OK", b"0013not-a-ref HEAD\n0000"), "Failed"),
    ] {
        let shown = String::from_utf8_lossy(&answer[..answer.len().min(90)]).into_owned();
        let url = server(move |_| answer.clone()).await;
        let found = Git::new("git".into()).remote_head(with_login(url, "sesame")).await;
        let error = found.expect_err(&shown);
        assert!(format!("{error:?}").starts_with(expected), "{shown}: {error:?}");
        assert!(!format!("{error:?} {error}").contains("sesame"));
    }
}

#[tokio::test]
async fn f60_an_answer_without_refs_is_an_empty_repository() {
    let url = server(|_| http("200 OK", b"0000")).await;
    let found = Git::new("git".into()).remote_head(Remote::public(url)).await.unwrap();
    assert_eq!(found, RemoteHead { branch: None, commit: None });
}

#[tokio::test]
async fn a_server_that_wants_its_capabilities_asked_for_is_asked_from_then_on() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = asked.clone();
    let url = server(move |request| {
        let mut log = log.lock().unwrap();
        log.push(request.split(' ').next().unwrap().to_owned());
        match (request.starts_with("GET"), log.contains(&"GET".to_owned())) {
            (true, _) => http("200 OK", b"001e# service=git-upload-pack\n0000000eversion 2\n0000"),
            (false, true) => http("200 OK", &listing()),
            (false, false) => http("403 Forbidden", b"no capabilities asked for"),
        }
    })
    .await;
    let git = Git::new("git".into());
    for _ in 0..2 {
        assert_eq!(git.remote_head(Remote::public(url.clone())).await.unwrap().branch, Some(branch("main")));
    }
    assert_eq!(*asked.lock().unwrap(), ["POST", "GET", "POST", "GET", "POST"]);
}

#[tokio::test]
async fn a_server_without_protocol_version_2_is_left_to_the_git_program() {
    let url = server(|request| {
        let first = format!("{OID} HEAD\0symref=HEAD:refs/heads/main object-format=sha1\n");
        let second = format!("{OID} refs/heads/main\n");
        let refs = format!("{:04x}{first}{:04x}{second}0000", first.len() + 4, second.len() + 4);
        let body = format!("001e# service=git-upload-pack\n0000{refs}");
        let kind = "content-type: application/x-git-upload-pack-advertisement";
        match request.starts_with("GET") {
            true => format!(
                "HTTP/1.1 200 OK\r\nconnection: close\r\n{kind}\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            )
            .into_bytes(),
            false => http("415 Unsupported Media Type", b""),
        }
    })
    .await;
    let found = Git::new("git".into()).remote_head(Remote::public(url)).await.unwrap();
    assert_eq!(found, RemoteHead { branch: Some(branch("main")), commit: Some(OID.parse().unwrap()) });
}

#[tokio::test]
async fn f60_too_many_requests_say_how_long_to_wait() {
    let (github, git, remote) = github().await;
    github.fail(Fault::retry_after(429, Duration::from_secs(30)).on("POST /git-upload-pack"));
    let limited = git.remote_head(remote).await.unwrap_err();
    assert!(
        matches!(limited, GitError::Limited { retry_after: Some(wait), .. } if wait.as_secs() == 30),
        "{limited:?}"
    );
}

#[tokio::test]
async fn f31_a_login_never_follows_to_another_origin() {
    let (github, git, remote) = github().await;
    github.fail(Fault::redirect_elsewhere().on("POST /git-upload-pack"));
    let refused = git.remote_head(remote).await.unwrap_err();
    assert!(matches!(&refused, GitError::Denied { message, .. } if message.contains("not sent there")), "{refused:?}");
    assert_eq!(github.violations(), Vec::<String>::new());
    assert_eq!(github.request_count(), 1);
}

#[tokio::test]
async fn f30_a_renamed_repository_is_found_under_its_old_name() {
    let (github, git, remote) = github().await;
    github.rename_repo("me/app", "me/shop");
    assert_eq!(git.remote_head(remote).await.unwrap().branch, Some(branch("main")));
    assert_eq!(github.request_count(), 2);
}

#[tokio::test]
async fn a_repository_that_is_gone_is_not_found_and_a_bad_login_is_denied() {
    let (github, git, remote) = github().await;
    let gone = Remote { url: format!("{}/me/gone.git", github.url()), ..remote.clone() };
    assert!(matches!(git.remote_head(gone).await, Err(GitError::NotFound { .. })));
    assert!(matches!(git.remote_head(with_login(remote.url.clone(), "wrong")).await, Err(GitError::Denied { .. })));
    assert!(git.remote_head(remote.clone()).await.is_ok());
    let before = github.request_count();
    let gone = Remote { url: format!("{}/me/gone.git", github.url()), ..remote };
    assert!(matches!(git.remote_head(gone).await, Err(GitError::NotFound { .. })));
    assert_eq!(github.request_count(), before + 1, "the way is known: the refusal is about the repository");
}

#[tokio::test]
async fn a_folder_is_asked_by_the_git_program() {
    let world = World::new().await;
    let first = world.upstream.commit(&[]).await;
    let found = world.git.remote_head(Remote::public(world.upstream.dir.to_str().unwrap())).await.unwrap();
    assert_eq!(found, RemoteHead { branch: Some(branch("main")), commit: Some(first) });
}
