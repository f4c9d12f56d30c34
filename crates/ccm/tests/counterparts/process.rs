//! The real service in a process of its own, spoken to through its REST interface.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use backlog::time::{Clock, Timestamp};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// The longest any step may take: the service, the agent and the browser live in real time.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// The files of the sample repository: one TODO, and a check that passes.
pub const FILES: [(&str, &str); 3] = [
    ("app.py", "def greet(name):\n    # TODO: greet the world when there is no name\n    return 'Hello ' + name\n"),
    ("check.sh", "set -e\ntest -f app.py\n"),
    (".github/ccm.toml", "checks = [\"sh check.sh\"]\n"),
];

/// The key that only the gateway may know.
pub const MODEL_KEY: &str = "sk-ant-invented-for-the-gateway";

/// The system's clock.
pub struct RealClock;

impl Clock for RealClock {
    #[expect(clippy::disallowed_methods, reason = "the service under test runs in a process of its own, in real time")]
    fn now(&self) -> Timestamp {
        Timestamp(jiff::Timestamp::now().as_millisecond())
    }
}

/// Looks again and again until it holds.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < PATIENCE, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A repository with [`FILES`] in a folder, made by git itself.
pub async fn repository(path: &Path) {
    for (name, text) in FILES {
        let file = path.join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }
    let who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com"];
    for args in
        [vec!["init", "--quiet", "--initial-branch=main"], vec!["add", "--all"], vec!["commit", "--quiet", "-mBegin"]]
    {
        git(path, &[who.as_slice(), &args].concat()).await;
    }
}

/// What git says in a folder.
pub async fn git(path: &Path, args: &[&str]) -> String {
    let mut command = Command::new("git");
    command.args(args).current_dir(path).env_clear().env("PATH", std::env::var("PATH").unwrap());
    command.env("HOME", path).env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
    let output = command.output().await.unwrap();
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The part of `ccm.toml` that has the real Claude Code work against a model of ours.
pub fn claude_config(model: &str, more: &str) -> String {
    let claude = testkit::counterparts::claude();
    format!(
        "[server]\nlisten = \"127.0.0.1:0\"\n[limits]\npoll_seconds = 1\n[model]\nbase_url = \"{model}\"\n\
         [agents.default]\nkind = \"claude\"\nprogram = \"{}\"\nmax_minutes = 3\n{more}\n",
        claude.display()
    )
}

/// A running service; killed when dropped.
pub struct Service {
    child: Child,
    address: String,
    /// The link that signs one browser in.
    pub sign_in: String,
    data: PathBuf,
    http: reqwest::Client,
    said: Arc<Mutex<String>>,
}

impl Drop for Service {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the service said:\n{}", self.said.lock().unwrap());
        }
    }
}

impl Service {
    /// Runs `ccm` in a folder with nothing of this machine's environment, until it says where its dashboard is.
    pub async fn start(dir: &Path, token: &str, args: &[&str]) -> Self {
        std::fs::create_dir_all(dir.join("tmp")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_ccm"));
        command.args(args).current_dir(dir).env_clear().kill_on_drop(true);
        command.env("PATH", std::env::var("PATH").unwrap()).env("HOME", dir).env("TMPDIR", dir.join("tmp"));
        command.env("GITHUB_TOKEN", token).env("ANTHROPIC_API_KEY", MODEL_KEY);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let said = Arc::new(Mutex::new(String::new()));
        let mut address = String::new();
        let reading = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                said.lock().unwrap().push_str(&format!("{line}\n"));
                if let Some(rest) = line.strip_prefix("ccm is at ") {
                    rest.clone_into(&mut address);
                }
                if let Some(link) = line.strip_prefix("Sign in once with ") {
                    return link.to_owned();
                }
            }
            panic!("the service ended:\n{}", said.lock().unwrap());
        };
        let sign_in = tokio::time::timeout(PATIENCE, reading).await.expect("the service starts in time");
        let keeps = said.clone();
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                keeps.lock().unwrap().push_str(&format!("{line}\n"));
            }
        });
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { child, address, sign_in, data: data_below(dir), http, said }
    }

    /// `ccm serve` on the data folder `data` below `dir`.
    pub async fn serve(dir: &Path, token: &str, paths: &[&str]) -> Self {
        let args = [&["-v", "--data-dir", "data", "serve"], paths].concat();
        Self::start(dir, token, &args).await
    }

    /// The API token, for signing in without the link.
    pub fn token(&self) -> String {
        std::fs::read_to_string(self.data.join("api.token")).unwrap().trim().to_owned()
    }

    /// An address of the dashboard.
    pub fn page(&self, path: &str) -> String {
        format!("{}{path}", self.address)
    }

    async fn ask(&self, request: reqwest::RequestBuilder) -> Value {
        let answer = request.bearer_auth(self.token()).send().await.unwrap();
        let (status, body) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{status} {body}");
        serde_json::from_str(&body).unwrap()
    }

    /// What is at a path of the REST interface.
    pub async fn get(&self, path: &str) -> Value {
        self.ask(self.http.get(self.page(&format!("/api/v1/{path}")))).await
    }

    /// Does something through the REST interface.
    pub async fn post(&self, path: &str, body: Value) -> Value {
        self.ask(self.http.post(self.page(&format!("/api/v1/{path}"))).json(&body)).await
    }

    /// The only task, once there is one.
    pub async fn task(&self) -> Option<Value> {
        let mut tasks = self.get("tasks").await["tasks"].as_array().unwrap().clone();
        assert!(tasks.len() <= 1, "{tasks:#?}");
        tasks.pop()
    }

    /// The only task, once it is in a state. A task that has failed on the way is the end of the test.
    pub async fn once(&self, state: &str) -> Value {
        let mut found = Value::Null;
        until(&format!("a task that is {state}"), async || {
            found = self.task().await.unwrap_or_default();
            let failed = found["state"] == "failed" && state != "failed";
            assert!(!failed, "{}\n{}", found["failure"], self.said.lock().unwrap());
            found["state"] == state
        })
        .await;
        found
    }

    /// Approves the only task as soon as it is proposed.
    pub async fn approve(&self) -> Value {
        let task = self.once("proposed").await;
        self.post(&format!("tasks/{}/approve", id(&task)), json!({ "content": task["content"] })).await
    }

    /// The first run of the only task.
    pub async fn first_run(&self) -> Value {
        let task = self.task().await.unwrap();
        self.get(&format!("runs/{}-1", id(&task))).await
    }

    /// The records of its transcript.
    pub async fn transcript(&self) -> Vec<Value> {
        let task = self.task().await.unwrap();
        let lines = self.get(&format!("runs/{}-1/transcript?limit=1000", id(&task))).await;
        lines["lines"].as_array().unwrap().iter().map(|line| line["event"].clone()).collect()
    }

    /// The sentences of the timeline.
    pub async fn timeline(&self) -> String {
        let events = self.get("events?limit=1000").await;
        events["events"]
            .as_array()
            .unwrap()
            .iter()
            .map(|event| format!("{}\n", event["text"].as_str().unwrap()))
            .collect()
    }

    /// How many processes belong to a run.
    pub fn agents_of(&self, run: &str) -> usize {
        let paths = pipeline::Paths { data: self.data.clone(), program: PathBuf::new() };
        runner::processes_of(&paths.marker(run)).len()
    }

    /// Kills the service without a word.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Asks the service to end, and waits until it has.
    pub async fn stop(mut self) {
        let pid = rustix::process::Pid::from_raw(self.child.id().unwrap().cast_signed()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let status = tokio::time::timeout(PATIENCE, self.child.wait()).await.expect("it ends by itself").unwrap();
        assert_eq!(status.code(), Some(0));
    }
}

/// The data folder that `serve` was told, or the one that `demo` made in its own folder.
fn data_below(dir: &Path) -> PathBuf {
    let mut made = std::fs::read_dir(dir.join("tmp")).unwrap().map(|entry| entry.unwrap().path().join("data"));
    made.find(|path| path.exists()).unwrap_or_else(|| dir.join("data"))
}

/// A task's id.
pub fn id(task: &Value) -> &str {
    task["id"].as_str().unwrap()
}
