//! The fake as its clients see it: over HTTP, and through git.

use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};

use super::{FakeGitHub, Fault, Kind, Permission};
use crate::clock::TestClock;
use std::sync::Arc;

mod alerts;
mod apps;
mod changes;
mod clones;
mod graphql;
mod oddities;
mod politeness;
mod reading;
mod waiting;

/// A GitHub with `me/app`, a bot that may write, and a client of the bot.
struct Site {
    github: FakeGitHub,
    clock: Arc<TestClock>,
    token: String,
    client: Client,
}

impl Site {
    async fn new() -> Self {
        let clock = TestClock::new();
        let github = FakeGitHub::start(clock.clone()).await;
        github.user("maintainer", Permission::Write);
        github.user("outsider", Permission::Read);
        github.repo("me/app").await;
        github.commit("me/app", "First", &[("README.md", "# App\n"), ("src/main.rs", "fn main() {}\n")]).await;
        let token = github.token_for("ccm-bot");
        let policy = reqwest::redirect::Policy::none();
        let client = Client::builder().user_agent("test").redirect(policy).no_proxy().build().expect("a client");
        Self { github, clock, token, client }
    }

    /// A pull request from a new branch, as number 1 or the next free one.
    async fn with_pull(body: &str) -> (Self, u64) {
        let site = Self::new().await;
        site.github.commit_on("me/app", "fix", "Fix", &[("src/main.rs", "fn main() { run() }\n")]).await;
        let number = site.github.open_pull("ccm-bot", "fix", "Fix it", body).await;
        (site, number)
    }

    fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.github.url())).bearer_auth(&self.token)
    }

    async fn send(&self, method: Method, path: &str, body: Value) -> (u16, Value) {
        read(self.ask(method, path).json(&body).send().await.expect("an answer")).await
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        read(self.response(path).await).await
    }

    async fn response(&self, path: &str) -> Response {
        self.ask(Method::GET, path).send().await.expect("an answer")
    }

    async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        self.send(Method::POST, path, body).await
    }

    /// Asks every path for what is at a JSON pointer.
    async fn shows(&self, table: &[(&str, &str, Value)]) {
        for (path, pointer, expected) in table {
            let (status, body) = self.get(path).await;
            assert_eq!((status, body.pointer(pointer)), (200, Some(expected)), "{path}: {body:#}");
        }
    }

    /// As another user from now on.
    fn acting_as(mut self, login: &str) -> Self {
        self.token = self.github.token_for(login);
        self
    }
}

async fn read(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let text = response.text().await.expect("a body");
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
}

fn names(items: &Value, field: &str) -> String {
    let items = items.as_array().expect("a list").iter();
    items.map(|item| item[field].to_string().trim_matches('"').to_owned()).collect::<Vec<_>>().join(" ")
}
