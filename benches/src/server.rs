//! The fake GitHub in a process of its own, so that its memory and its work are not the client's.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use backlog::time::{Clock, Timestamp};
use serde::{Deserialize, Serialize};
use testkit::github::{FakeGitHub, Fault, Kind, Selection};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// What the fake is made of.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Setup {
    /// Owners with so many repositories each: `owner0/repo0000`, …
    pub owners: usize,
    pub repositories: usize,
    /// One installation of an App for each owner; otherwise one token that sees everything.
    pub app: bool,
    /// How many files each has, in one commit.
    pub files: usize,
    /// How long each answer takes.
    pub latency_ms: u64,
    /// Whether it refuses nobody for making too much content.
    pub lax: bool,
    /// Requests an hour of each actor.
    pub hourly: u64,
}

/// How a client gets in.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entrance {
    pub url: String,
    pub token: String,
    /// App id and private key.
    pub app: Option<(u64, String)>,
    pub names: Vec<String>,
}

/// What the fake saw since the last question.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Seen {
    /// Requests, those of git apart.
    pub requests: usize,
    pub git: usize,
    pub violations: Vec<String>,
    /// Executed creations of issues, and the smallest distance between two arrivals of them in milliseconds.
    pub issues: usize,
    pub closest_ms: Option<i64>,
}

/// A fake GitHub in a child process; it ends with this handle.
pub struct Server {
    pub entrance: Entrance,
    _child: Child,
    stdin: ChildStdin,
    stdout: Lines<BufReader<ChildStdout>>,
}

impl Server {
    /// Starts one.
    pub async fn start(setup: &Setup) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["serve-fake", &serde_json::to_string(setup)?])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stdin = child.stdin.take().context("the child has a standard input")?;
        let mut stdout = BufReader::new(child.stdout.take().context("the child has a standard output")?).lines();
        let line = stdout.next_line().await?.context("the fake ended before it started")?;
        Ok(Self { entrance: serde_json::from_str(&line)?, _child: child, stdin, stdout })
    }

    /// What it saw since the start.
    pub async fn seen(&mut self) -> Result<Seen> {
        let line = self.say("seen").await?;
        Ok(serde_json::from_str(&line)?)
    }

    /// From now on GraphQL is refused, as to credentials that may not use it.
    pub async fn refuse_queries(&mut self) -> Result<()> {
        self.say("refuse-queries").await.map(drop)
    }

    /// Somebody pushes a commit to each of the first ten repositories.
    pub async fn push_to_ten(&mut self) -> Result<()> {
        self.say("push-to-ten").await.map(drop)
    }

    /// Somebody pushes a commit to the first repository that changes three files, another one each time.
    pub async fn push_three(&mut self) -> Result<()> {
        self.say("push-three").await.map(drop)
    }

    async fn say(&mut self, what: &str) -> Result<String> {
        self.stdin.write_all(format!("{what}\n").as_bytes()).await?;
        self.stdout.next_line().await?.context("the fake ended")
    }
}

/// The system's clock.
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp(jiff::Timestamp::now().as_millisecond())
    }
}

/// The child: serves until its standard input ends.
pub async fn serve(arguments: &[String]) -> Result<()> {
    let setup: Setup = serde_json::from_str(arguments.first().context("the set-up is missing")?)?;
    let fake = FakeGitHub::start(Arc::new(SystemClock)).await;
    let entrance = populate(&fake, &setup).await;
    fake.set_latency(Duration::from_millis(setup.latency_ms));
    if setup.lax {
        fake.lift_content_limits();
    }
    println!("{}", serde_json::to_string(&entrance)?);
    let mut questions = BufReader::new(tokio::io::stdin()).lines();
    let mut pushed = 0;
    while let Some(question) = questions.next_line().await? {
        if question == "push-three" {
            pushed += 1;
            let paths = ["src/part0001.rs", "src/parts/part0002.rs", "docs/part0003.rs"];
            let texts = paths.map(|path| format!("// Change {pushed} of {path}.\nfn changed() {{}}\n"));
            let files: Vec<(&str, &str)> = paths.into_iter().zip(texts.iter().map(String::as_str)).collect();
            fake.commit(&entrance.names[0], "three", &files).await;
        }
        if question == "refuse-queries" {
            fake.fail(Fault::denied().on("POST /graphql").forever());
        }
        if question == "push-to-ten" {
            for name in entrance.names.iter().take(10) {
                fake.commit(name, "second", &[("src/new.rs", "// TODO: handle what is new here\nfn new() {}\n")]).await;
            }
        }
        println!("{}", serde_json::to_string(&seen(&fake))?);
    }
    Ok(())
}

async fn populate(fake: &FakeGitHub, setup: &Setup) -> Entrance {
    let token = fake.token_for("robot");
    fake.set_hourly_limit("robot", setup.hourly);
    let app = setup.app.then(|| fake.app("bench"));
    let mut names = Vec::new();
    for owner in 0..setup.owners {
        let owner = format!("owner{owner}");
        for n in 0..setup.repositories {
            let name = format!("{owner}/repo{n:04}");
            fake.repo(&name).await;
            if setup.files > 0 {
                let files = tree(n, setup.files);
                let files: Vec<(&str, &str)> =
                    files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
                fake.commit(&name, "first", &files).await;
            }
            names.push(name);
        }
        if let Some(app) = &app {
            fake.install(app, &owner, Selection::All);
        }
    }
    let app = app.map(|app| (app.id, app.private_key));
    Entrance { url: fake.url().to_owned(), token, app, names }
}

/// The files of one repository, in four folders: code that differs from repository to repository, and in every
/// fifteenth file a comment that asks for work.
fn tree(repository: usize, files: usize) -> Vec<(String, String)> {
    let file = |n: usize| {
        let folder = ["", "src/", "src/parts/", "docs/"][n % 4];
        let mut text = format!("//! Part {n} of {repository}.\n");
        for line in 0..40 {
            text.push_str(&format!(
                "pub fn f{line}(x: u64) -> u64 {{\n    x + {}\n}}\n\n",
                repository * files + n + line
            ));
        }
        if n % 15 == 7 {
            text.push_str(&format!("// TODO: make part {n} of {repository} refuse negative numbers\n"));
        }
        (format!("{folder}part{n:04}.rs"), text)
    };
    (0..files).map(file).collect()
}

fn seen(fake: &FakeGitHub) -> Seen {
    let requests = fake.requests();
    let git = requests.iter().filter(|request| request.kind == Kind::Git).count();
    let creations: Vec<_> = requests
        .iter()
        .filter(|request| request.executed && request.method == "POST" && request.route.ends_with("/issues"))
        .map(|request| request.at.0)
        .collect();
    let closest_ms = creations.windows(2).map(|pair| pair[1] - pair[0]).min();
    let issues = creations.len();
    Seen { requests: requests.len() - git, git, violations: fake.violations(), issues, closest_ms }
}
