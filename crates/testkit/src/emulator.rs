//! A GitHub that nobody here wrote: the program `emulate`, judged by GitHub's own OpenAPI description.
//!
//! **Definition.** [`Emulator`] runs `emulate` with one repository and a few people, a [`Judge`] in front of it. The
//! repository's git side is the real `git http-backend` behind the same tokens.
//!
//! **Wanted properties.** A client cannot tell the two sides apart from one code host: what is pushed is in the API
//! before the push is answered, and what the API merges is in git when [`Emulator::as_person`] returns. Nothing of it
//! outlives [`Emulator::end`], and nothing a test that fails.
//!
//! **Design.** [`bridge`] carries commits across by the git data API; both sides compute the same commit ids, which
//! it checks. People speak to `emulate` directly: only the product's requests are judged.
//!
//! **Known differences from GitHub.** No entity tags; the head of a pull request stays what it was when it was
//! opened; any token is somebody's; merging closes no issue; lists of an organisation's repositories are missing.

mod bridge;
mod git;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use backlog::time::Timestamp;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Child;
use tokio::task::JoinHandle;

use crate::counterparts;
use crate::github::bare;
use crate::judge::Judge;
use crate::program::{START, listening, node, serve};
use bridge::Bridge;

/// Starts `emulate` as a library, which is the only way to a free port.
const EMULATE: &str = "import { readFileSync } from 'node:fs';\n\
     const { createEmulator } = await import(process.argv[2]);\n\
     const seed = JSON.parse(readFileSync(process.argv[3], 'utf8'));\n\
     console.log((await createEmulator({ service: 'github', port: 0, seed })).url);\n";

/// What a person may do in the repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A member of the organisation that owns it.
    Owner,
    /// A collaborator with leave to push.
    Writer,
    /// Anybody else.
    Outsider,
}

/// The token of a person.
#[must_use]
pub fn token_of(login: &str) -> String {
    format!("token-of-{login}")
}

/// A running emulator with its referee and its git; ends when dropped.
pub struct Emulator {
    repository: String,
    bare: PathBuf,
    emulate: Child,
    judge: Judge,
    direct: String,
    git: String,
    bridge: Arc<Bridge>,
    http: reqwest::Client,
    tasks: Vec<JoinHandle<()>>,
    _dir: TempDir,
}

impl Drop for Emulator {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Emulator {
    /// Starts everything around one empty repository, `organisation/name`. The first person is an owner.
    ///
    /// # Errors
    /// When a program does not start in time; the message carries what it said.
    pub async fn start(repository: &str, people: &[(&str, Role)]) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let (organisation, name) = repository.split_once('/').context("a repository is organisation/name")?;
        std::fs::write(dir.path().join("emulate.mjs"), EMULATE)?;
        std::fs::write(dir.path().join("seed.json"), seed(organisation, name, people).to_string())?;
        let bare = dir.path().join("git").join(format!("{repository}.git"));
        bare::init(&bare, "main").await?;

        let mut command = node(dir.path());
        let library = counterparts::emulate_entry().with_file_name("api.js");
        command.arg(dir.path().join("emulate.mjs")).arg(library).arg(dir.path().join("seed.json"));
        let (emulate, direct, drain) = listening(command, "http://").await.context("emulate")?;
        let direct = direct.replace("localhost", "127.0.0.1");
        let judge = Judge::start(&direct).await?;

        let http = reqwest::Client::builder().no_proxy().timeout(START).build()?;
        let owner = people.first().context("somebody has to own the repository")?.0;
        let bridge = Arc::new(Bridge::new(&bare, format!("{direct}/repos/{repository}"), token_of(owner), &http));
        let pushers = people.iter().map(|(login, role)| (token_of(login), *role != Role::Outsider)).collect();
        let git = git::over_http(dir.path().join("git"), repository, pushers, Arc::clone(&bridge));
        let (git, task) = serve(git).await?;
        let tasks = vec![drain, task];
        let repository = repository.to_owned();
        let here = Self { repository, bare, emulate, judge, direct, git, bridge, http, tasks, _dir: dir };
        for (login, _) in people.iter().filter(|(_, role)| *role == Role::Writer) {
            let path = format!("/repos/{}/collaborators/{login}", here.repository);
            here.as_person(owner, "PUT", &path, &json!({ "permission": "push" })).await?;
        }
        Ok(here)
    }

    /// Who judges the product's requests; its address is the one that the product is given.
    #[must_use]
    pub fn judge(&self) -> &Judge {
        &self.judge
    }

    /// The start of every clone address.
    #[must_use]
    pub fn git_url(&self) -> &str {
        &self.git
    }

    /// A request of a person, past the judge; `path` begins with a slash. Gives the answer's JSON.
    ///
    /// # Errors
    /// When the answer is no success.
    pub async fn as_person(&self, login: &str, method: &str, path: &str, body: &Value) -> Result<Value> {
        let mut request = self.http.request(method.parse()?, format!("{}{path}", self.direct));
        request = request.bearer_auth(token_of(login));
        if !body.is_null() {
            request = request.json(body);
        }
        let answer = request.send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        if !status.is_success() {
            bail!("{method} {path} by {login}: {status} {text}");
        }
        if path.ends_with("/merge") {
            self.bridge.fetch("main").await?;
        }
        Ok(serde_json::from_str(&text).unwrap_or_default())
    }

    /// What is at a path below the repository, as a person sees it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn read(&self, login: &str, path: &str) -> Result<Value> {
        self.as_person(login, "GET", &format!("/repos/{}/{path}", self.repository), &Value::Null).await
    }

    /// Commits files to `main`, in git and in the API.
    ///
    /// # Errors
    /// When git or the API refuses.
    pub async fn commit(&self, message: &str, at: Timestamp, files: &[(&str, &str)]) -> Result<String> {
        let changes: Vec<bare::Change<'_>> = files.iter().map(|(path, text)| (*path, Some(text.as_bytes()))).collect();
        let from = bare::read_ref(&self.bare, "refs/heads/main");
        // The API ends every message with a line end, so git's must have one too.
        let message = format!("{message}\n");
        let commit = bare::commit(&self.bare, "main", from.as_deref(), "ada", at, &message, &changes).await?;
        self.bridge.mirror().await?;
        Ok(commit)
    }

    /// A file at a revision of the git side.
    ///
    /// # Errors
    /// When it is not there.
    pub async fn file_at(&self, revision: &str, path: &str) -> Result<String> {
        let blob = bare::git(&self.bare, &["cat-file", "blob", &format!("{revision}:{path}")], b"").await?;
        Ok(String::from_utf8(blob)?)
    }

    /// The branches of the git side with their tips.
    #[must_use]
    pub fn branches(&self) -> BTreeMap<String, String> {
        bare::branches(&self.bare)
    }

    /// Ends both programs and waits until they are gone.
    ///
    /// # Errors
    /// When they cannot be ended.
    pub async fn end(mut self) -> Result<()> {
        self.emulate.kill().await?;
        self.judge.end().await
    }
}

fn seed(organisation: &str, name: &str, people: &[(&str, Role)]) -> Value {
    let token = |(login, _): &(&str, Role)| (token_of(login), json!({ "login": login, "scopes": ["repo", "user"] }));
    let tokens: serde_json::Map<String, Value> = people.iter().map(token).collect();
    let users: Vec<Value> = people.iter().map(|(login, _)| json!({ "login": login })).collect();
    let owners = people.iter().filter(|(_, role)| *role == Role::Owner);
    let members: Vec<Value> = owners.map(|(login, _)| json!({ "login": login, "role": "admin" })).collect();
    json!({ "tokens": tokens, "github": {
        "users": users,
        "orgs": [{ "login": organisation, "members": members }],
        "repos": [{ "owner": organisation, "name": name, "auto_init": false }],
    }})
}
