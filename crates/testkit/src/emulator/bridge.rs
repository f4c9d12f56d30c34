//! The bridge between a bare repository and the emulator's git data API.
//!
//! **Wanted properties.** Both sides have the same commits under the same ids; a difference is an error, not a wrong
//! test. Crossing twice does nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::github::bare;

/// What is known to be on the other side.
#[derive(Default)]
struct Crossed {
    blobs: BTreeSet<String>,
    commits: BTreeSet<String>,
    branches: BTreeMap<String, String>,
}

pub(super) struct Bridge {
    bare: PathBuf,
    /// The repository in the API.
    api: String,
    token: String,
    http: reqwest::Client,
    /// Its lock also lets one crossing happen at a time.
    crossed: Mutex<Crossed>,
}

impl Bridge {
    pub(super) fn new(bare: &Path, api: String, token: String, http: &reqwest::Client) -> Self {
        Self { bare: bare.to_owned(), api, token, http: http.clone(), crossed: Mutex::default() }
    }

    /// Brings the API's branches to where git's are.
    pub(super) async fn mirror(&self) -> Result<()> {
        let mut crossed = self.crossed.lock().await;
        let branches = bare::branches(&self.bare);
        for (branch, tip) in &branches {
            let known = crossed.branches.get(branch).cloned();
            if known.as_ref() == Some(tip) {
                continue;
            }
            let commits = bare::git_text(&self.bare, &["rev-list", "--reverse", "--topo-order", tip]).await?;
            for commit in commits.lines() {
                if !crossed.commits.contains(commit) {
                    self.send_commit(commit, &mut crossed.blobs).await?;
                    crossed.commits.insert(commit.to_owned());
                }
            }
            if known.is_some() {
                self.call("PATCH", &format!("git/refs/heads/{branch}"), &json!({ "sha": tip, "force": true })).await?;
            } else {
                let new = json!({ "ref": format!("refs/heads/{branch}"), "sha": tip });
                self.call("POST", "git/refs", &new).await?;
            }
        }
        for gone in crossed.branches.keys().filter(|branch| !branches.contains_key(*branch)) {
            self.call("DELETE", &format!("git/refs/heads/{gone}"), &Value::Null).await?;
        }
        crossed.branches = branches;
        Ok(())
    }

    /// Brings a branch of git to where the API's is, after the API has merged.
    pub(super) async fn fetch(&self, branch: &str) -> Result<()> {
        let mut crossed = self.crossed.lock().await;
        let tip = self.call("GET", &format!("git/ref/heads/{branch}"), &Value::Null).await?;
        let tip = text(&tip["object"]["sha"])?.to_owned();
        if crossed.commits.insert(tip.clone()) {
            let commit = self.call("GET", &format!("git/commits/{tip}"), &Value::Null).await?;
            let args = ["hash-object", "-t", "commit", "-w", "--stdin"];
            let made = bare::git(&self.bare, &args, raw_commit(&commit)?.as_bytes()).await?;
            let made = String::from_utf8_lossy(&made).trim().to_owned();
            ensure!(made == tip, "the API's commit {tip} is {made} in git");
        }
        bare::git(&self.bare, &["update-ref", &format!("refs/heads/{branch}"), &tip], b"").await?;
        crossed.branches.insert(branch.to_owned(), tip);
        Ok(())
    }

    async fn send_commit(&self, id: &str, blobs: &mut BTreeSet<String>) -> Result<()> {
        let raw = bare::git_text(&self.bare, &["cat-file", "commit", id]).await?;
        let (head, message) = raw.split_once("\n\n").context("a commit has a message")?;
        let lines = |key: &str| {
            let rests = head.lines().filter_map(move |line| line.strip_prefix(key)?.strip_prefix(' '));
            rests.map(str::to_owned).collect::<Vec<_>>()
        };
        let only = |key: &str| lines(key).into_iter().next().with_context(|| format!("a commit has a {key}"));
        let tree = only("tree")?;
        self.send_tree(&tree, blobs).await?;
        let commit = json!({
            "message": message,
            "tree": tree,
            "parents": lines("parent"),
            "author": person(&only("author")?)?,
            "committer": person(&only("committer")?)?,
        });
        let made = self.call("POST", "git/commits", &commit).await?;
        ensure!(made["sha"] == id, "git's commit {id} is {} in the API", made["sha"]);
        Ok(())
    }

    /// Sends a tree with all that is below it.
    async fn send_tree(&self, id: &str, blobs: &mut BTreeSet<String>) -> Result<()> {
        let listing = bare::git(&self.bare, &["ls-tree", "-r", "-z", id], b"").await?;
        let mut entries = Vec::new();
        for line in String::from_utf8(listing)?.split_terminator('\0') {
            let (about, path) = line.split_once('\t').context("an entry of a tree has a path")?;
            let [mode, kind, blob] = about.split(' ').collect::<Vec<_>>()[..] else { bail!("an odd entry: {line}") };
            if blobs.insert(blob.to_owned()) {
                let content = STANDARD.encode(bare::git(&self.bare, &["cat-file", "blob", blob], b"").await?);
                let made = self.call("POST", "git/blobs", &json!({ "content": content, "encoding": "base64" })).await?;
                ensure!(made["sha"] == blob, "git's file {blob} is {} in the API", made["sha"]);
            }
            entries.push(json!({ "path": path, "mode": mode, "type": kind, "sha": blob }));
        }
        let made = self.call("POST", "git/trees", &json!({ "tree": entries })).await?;
        ensure!(made["sha"] == id, "git's tree {id} is {} in the API", made["sha"]);
        Ok(())
    }

    async fn call(&self, method: &str, path: &str, body: &Value) -> Result<Value> {
        let mut request = self.http.request(method.parse()?, format!("{}/{path}", self.api)).bearer_auth(&self.token);
        if !body.is_null() {
            request = request.json(body);
        }
        let answer = request.send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        ensure!(status.is_success(), "the bridge's {method} {path} was answered with {status}: {text}");
        Ok(serde_json::from_str(&text).unwrap_or_default())
    }
}

/// `Ada <ada@example.com> 1700000000 +0100` as the API has it.
fn person(line: &str) -> Result<Value> {
    let (name, rest) = line.split_once(" <").context("a person has an address")?;
    let (email, time) = rest.split_once("> ").context("a person has a time")?;
    let (seconds, zone) = time.split_once(' ').context("a time has a zone")?;
    ensure!(zone == "+0000", "only commits made in UTC cross the bridge, not {zone}");
    let at = jiff::Timestamp::from_second(seconds.parse()?)?;
    Ok(json!({ "name": name, "email": email, "date": at.to_string() }))
}

/// The API's commit as git stores it.
fn raw_commit(commit: &Value) -> Result<String> {
    let person = |key: &str| -> Result<String> {
        let who = &commit[key];
        let at: jiff::Timestamp = text(&who["date"])?.parse()?;
        Ok(format!("{key} {} <{}> {} +0000\n", text(&who["name"])?, text(&who["email"])?, at.as_second()))
    };
    let mut raw = format!("tree {}\n", text(&commit["tree"]["sha"])?);
    for parent in commit["parents"].as_array().into_iter().flatten() {
        raw.push_str(&format!("parent {}\n", text(&parent["sha"])?));
    }
    let message = text(&commit["message"])?.trim_end_matches('\n');
    Ok(format!("{raw}{}{}\n{message}\n", person("author")?, person("committer")?))
}

fn text(value: &Value) -> Result<&str> {
    value.as_str().with_context(|| format!("the API said {value} where a text belongs"))
}
