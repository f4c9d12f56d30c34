use std::fs;
use std::time::Duration;

use rustix::process::{Pid, test_kill_process};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Deadlines, Git, MAX_STDOUT};
use crate::testing::World;
use crate::{GitError, Remote, RemoteAuth};

const SHORT: Deadlines = Deadlines { network: Duration::from_secs(1), local: Duration::from_secs(1) };

#[tokio::test]
async fn versions_are_read_and_old_ones_refused() {
    let world = World::new().await;
    world.git.version().await.unwrap();
    for (said, good) in [
        ("git version 2.38.0", true),
        ("git version 2.50.1 (Apple Git-155)", true),
        ("git version 3.0.windows.1", true),
        ("git version 2.37.9", false),
        ("hello", false),
    ] {
        let git = Git::new(world.script("old-git", &format!("echo '{said}'")).await);
        let version = git.version().await;
        assert_eq!(version.is_ok(), good, "{said}: {version:?}");
        assert!(good || matches!(version, Err(GitError::TooOld { .. })));
    }
    let missing = Git::new(world.path("none")).version().await;
    assert!(matches!(missing, Err(GitError::NotInstalled { .. })), "{missing:?}");
}

#[tokio::test]
async fn a_secret_reaches_git_only_in_the_environment() {
    let world = World::new().await;
    let log = world.path("log");
    // Repeats everything it can see on stderr, as a curious git or proxy might.
    let body = format!(
        "case \"$1\" in init) exec git \"$@\";; esac\n\
         {{ printf '%s\\n' \"$@\"; tr '\\0' '\\n' </proc/$$/cmdline; env | cut -d= -f1; }} >>{log}\n\
         env >&2; exit 128",
        log = log.display()
    );
    let git = Git::new(world.script("curious-git", &body).await);
    let auth = RemoteAuth { username: "x-access-token".into(), password: "ghs_hunter2".into() };
    let encoded = "eC1hY2Nlc3MtdG9rZW46Z2hzX2h1bnRlcjI=";
    let remote = Remote { url: "https://example.invalid/acme/shop.git".into(), auth: Some(auth) };
    let mirror = git.open_mirror(world.path("mirror"), remote).await.unwrap();
    let commit = "a".repeat(40).parse().unwrap();
    let push = mirror.push(&commit, &"fix".parse().unwrap(), None).await.unwrap_err();
    let fetch = mirror.call(["fetch"]).remote(&mirror.remote).ok().await.unwrap_err();
    let files = mirror.files(&commit).await.unwrap_err();

    let shown = format!("{push:?} {push} {fetch:?} {fetch} {files:?} {mirror:?}");
    assert!(shown.contains("Authorization: Basic ***"), "the header was handed over: {shown}");
    let written = fs::read_to_string(&log).unwrap();
    assert!(written.contains("GIT_CONFIG_VALUE_0") && written.contains("fetch"));
    for secret in ["hunter2", encoded] {
        assert!(!shown.contains(secret) && !written.contains(secret));
        let kept = world.git.call(["grep", "--no-index", "-c", secret]).folder(&world.path("mirror"));
        assert!(!kept.test().await.unwrap(), "no file holds it");
    }
}

#[tokio::test]
async fn the_machines_settings_reach_no_call() {
    let world = World::new().await;
    let git = Git::new(
        world
            .script(
                "git-env",
                "env | cut -d= -f1 | grep -Ev '^(GIT_CONFIG_(COUNT|KEY|VALUE).*|PWD|OLDPWD|SHLVL|_)$' | sort",
            )
            .await,
    );
    let inherited = super::INHERITED;
    let names = git.call(["x"]).text().await.unwrap();
    let names: Vec<_> = names.lines().filter(|name| !inherited.contains(name) || *name == "PATH").collect();
    insta::assert_snapshot!(names.join(" "), @"GIT_ASKPASS GIT_CONFIG_GLOBAL GIT_CONFIG_NOSYSTEM GIT_DEFAULT_HASH GIT_DEFAULT_REF_FORMAT GIT_NO_LAZY_FETCH GIT_NO_REPLACE_OBJECTS GIT_OPTIONAL_LOCKS GIT_PAGER GIT_TEMPLATE_DIR GIT_TERMINAL_PROMPT HOME LANG LC_ALL PATH SSH_ASKPASS");
}

#[tokio::test]
async fn a_deadline_ends_the_whole_group() {
    let world = World::new().await;
    let pids = world.path("pids");
    // The child does not listen to a polite request and holds the pipes open.
    let body = format!(
        "(trap '' TERM; while :; do sleep 1; done) & echo $! $$ >{}; while :; do sleep 1; done",
        pids.display()
    );
    let git = Git::with_deadlines(world.script("slow-git", &body).await, SHORT);
    let late = git.call(["fetch"]).ok().await;
    assert!(matches!(late, Err(GitError::Timeout { .. })), "{late:?}");
    gone(&fs::read_to_string(pids).unwrap()).await;
}

#[tokio::test]
async fn a_dropped_call_ends_the_whole_group() {
    let world = World::new().await;
    let pids = world.path("pids");
    let body = format!("(while :; do sleep 1; done) & echo $! $$ >{0}.new; mv {0}.new {0}; wait", pids.display());
    let git = Git::new(world.script("slow-git", &body).await);
    let call = tokio::spawn(git.call(["fetch"]).ok());
    let started = async {
        while !pids.exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), started).await.unwrap();
    call.abort();
    assert!(call.await.is_err_and(|error| error.is_cancelled()));
    gone(&fs::read_to_string(pids).unwrap()).await;
}

/// Waits, bounded, until no process of these ids runs; a dead one that nobody has collected counts as gone.
async fn gone(pids: &str) {
    let alive = |pid: &str| {
        let id = Pid::from_raw(pid.parse().unwrap()).unwrap();
        let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        test_kill_process(id).is_ok() && !state.contains(") Z")
    };
    let all = async {
        while pids.split_whitespace().any(alive) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), all).await.expect("every process is gone");
}

#[tokio::test]
async fn answers_beyond_their_bound_are_cut_off() {
    let world = World::new().await;
    let git = Git::new(world.script("loud-git", "exec cat /dev/zero").await);
    let flood = git.call(["x"]).ok().await;
    assert!(matches!(flood, Err(GitError::TooLarge { .. })), "{flood:?}");
    let (bytes, ended) = git.call(["x"]).prefix(1000).await.unwrap();
    assert!(bytes.len() == 1000 && ended.stopped && bytes.len() < MAX_STDOUT);

    let git = Git::new(world.script("endless-record", "exec yes").await);
    let record = git.call(["x"]).records(&mut |_| std::ops::ControlFlow::Continue(())).await;
    assert!(matches!(record, Err(GitError::TooLarge { .. })), "{record:?}");

    let git = Git::new(world.script("talkative", "yes | head -c 300000 >&2; echo the end >&2; exit 3").await);
    let Err(GitError::Failed { stderr, code, .. }) = git.call(["x"]).ok().await else { panic!("it failed") };
    assert!(stderr.len() <= 4096 && stderr.ends_with("the end") && code == Some(3));
}

#[tokio::test]
async fn no_more_processes_run_than_allowed() {
    let world = World::new().await;
    let folder = world.path("running");
    fs::create_dir(&folder).unwrap();
    let body = format!("mkdir {0}/$$; ls {0} | wc -l; sleep 0.05; rmdir {0}/$$", folder.display());
    let git = Git::new(world.script("counting-git", &body).await);
    let calls = (0..super::MAX_PROCESSES * 2).map(|_| git.call(["x"]).text());
    let most = futures::future::join_all(calls).await.into_iter().map(|n| n.unwrap().trim().parse::<usize>().unwrap());
    let most = most.max().unwrap();
    assert!(most > 1 && most <= super::MAX_PROCESSES, "{most}");
}

#[tokio::test]
async fn what_a_web_server_answers_becomes_a_branch_for_callers() {
    let world = World::new().await;
    for (status, want) in
        [("429 x", "Limited"), ("503 x", "Transient"), ("401 x", "Denied"), ("403 x", "Denied"), ("404 x", "NotFound")]
    {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/acme/shop.git", listener.local_addr().unwrap());
        let server = tokio::spawn(serve(listener, status));
        let auth = RemoteAuth { username: "me".into(), password: "hunter2".into() };
        let mirror = world.git.open_mirror(world.path("m"), Remote { url, auth: Some(auth) }).await.unwrap();
        let error = mirror.fetch().await.unwrap_err();
        assert!(format!("{error:?}").starts_with(want), "{status}: {error:?}");
        server.abort();
    }
}

/// Answers every request with `status`.
async fn serve(listener: tokio::net::TcpListener, status: &'static str) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let mut request = Vec::new();
        // A question ends with a flush packet, everything else with its headers.
        while !request.ends_with(b"\r\n\r\n") && !request.ends_with(b"0000") {
            assert!(stream.read_buf(&mut request).await.unwrap() > 0, "the request ends");
        }
        let request = String::from_utf8(request).unwrap().to_ascii_lowercase();
        let signed = request.contains("authorization: basic bwu6ahvudgvymg==");
        let status = if signed { status } else { "400 no login" };
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
}
