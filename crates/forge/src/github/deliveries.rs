//! Deliveries that GitHub could not bring (R49).
//!
//! **Definition.** GitHub lists what an App's hook was sent in the last three days, with each attempt a line of its own.
//! [`undelivered`] reads what no attempt brought, [`delivery`] what such a one says. Both need no way in from outside.
//!
//! **Design.** Whether an attempt succeeded is read from its status code: the list's own filter for failures leaves out
//! those without one, where no connection was made. Lines of an event that was brought later stay in the list, so that
//! they are told apart by the delivery's id.

use std::collections::BTreeSet;

use backlog::delivery::Delivery;
use backlog::time::Timestamp;
use serde::Deserialize;
use serde_json::value::Value;

use super::client::{Client, Failure};
use super::model::time;
use super::webhook::read_event;
use crate::{Missed, Undelivered};

/// Pages that are read at once: 10,000 attempts.
pub(super) const PAGES: usize = 100;

/// One attempt.
#[derive(Debug, Deserialize)]
pub(super) struct Line {
    id: u64,
    guid: String,
    #[serde(default)]
    delivered_at: Option<String>,
    #[serde(default)]
    status_code: Option<u16>,
}

/// One attempt with what was sent.
#[derive(Debug, Deserialize)]
pub(super) struct Whole {
    guid: String,
    event: String,
    request: Sent,
}

#[derive(Debug, Deserialize)]
struct Sent {
    payload: Value,
}

/// What was not brought since `since`, newest first, from at most so many pages.
pub(super) async fn undelivered(app: &Client, since: Timestamp, pages: usize) -> Result<Undelivered, Failure> {
    let (mut brought, mut missed) = (BTreeSet::new(), Vec::<Missed>::new());
    let mut url = app.wire.url(&["app", "hook", "deliveries"], &[("per_page", "100")]);
    let mut complete = false;
    for _ in 0..pages {
        let answer = app.read(url.clone(), None).await?;
        let lines: Vec<Line> = answer.json()?;
        let reached = lines.iter().any(|line| time(line.delivered_at.as_deref()) < since);
        for line in lines.into_iter().filter(|line| time(line.delivered_at.as_deref()) >= since) {
            match line.status_code {
                Some(200..=299) => {
                    brought.insert(line.guid);
                }
                _ => missed.push(Missed { guid: line.guid, attempt: line.id }),
            }
        }
        match app.wire.next_page(&url, &answer)?.filter(|_| !reached) {
            Some(next) => url = next,
            None => {
                complete = true;
                break;
            }
        }
    }
    let mut seen = BTreeSet::new();
    missed.retain(|missed| !brought.contains(&missed.guid) && seen.insert(missed.guid.clone()));
    Ok(Undelivered { missed, complete })
}

/// What a delivery says, as if it had come.
pub(super) async fn delivery(app: &Client, missed: &Missed) -> Result<Delivery, Failure> {
    let url = app.wire.url(&["app", "hook", "deliveries", &missed.attempt.to_string()], &[]);
    let whole: Whole = app.read(url, None).await?.json()?;
    read_event(&whole.guid, &whole.event, whole.request.payload.to_string().as_bytes())
        .map_err(|refused| Failure::Unexpected(refused.to_string()))
}

#[cfg(test)]
mod tests {
    use testkit::github::{Mishap, Selection};

    use super::super::auth::Credential;
    use super::super::tests::World;
    use super::super::{GitHub, GitHubConfig, Limits};
    use super::*;
    use crate::Forge as _;

    /// A fake GitHub with an App, 150 deliveries of which none came, and the App's forge.
    async fn silent() -> (World, GitHub) {
        let world = World::new().await;
        let app = world.fake.app("worker");
        let installation = world.fake.install(&app, "me", Selection::All);
        world.fake.app_hook("http://127.0.0.1:9/", "secret", installation);
        world.fake.deliveries_suffer(Mishap::Lost(502), 1);
        let issue = i32::try_from(world.fake.open_issue("me", "One", "")).unwrap();
        for n in 1..150 {
            world.fake.comment(issue, "me", &n.to_string());
        }
        assert_eq!(world.fake.deliver_all().await.len(), 150);
        let credential = Credential::App { id: app.id.to_string(), private_key: app.private_key.into() };
        let github = world.github_as(GitHubConfig { credential, ..world.config(Limits::default()) });
        (world, github)
    }

    #[tokio::test]
    async fn r49_every_page_of_the_list_is_read_and_each_says_what_happened() {
        let (world, github) = silent().await;
        let found = github.undelivered(Timestamp(0)).await.unwrap().unwrap();
        assert_eq!((found.missed.len(), found.complete), (150, true));
        let oldest = github.delivery(&found.missed[149]).await.unwrap();
        assert_eq!((oldest.event.as_str(), oldest.subject.as_str()), ("issues.opened", "me/app issue 1"));
        world.fair();
    }

    #[tokio::test]
    async fn a_list_with_more_pages_than_are_read_says_that_it_is_cut() {
        let (_world, github) = silent().await;
        let app = github.auth.app().unwrap();
        let found = undelivered(app, Timestamp(0), 1).await.unwrap();
        assert_eq!((found.missed.len(), found.complete), (100, false));
    }

    #[tokio::test]
    async fn a_token_has_no_list() {
        let world = World::new().await;
        let github = world.github_as(world.config(Limits::default()));
        assert_eq!(github.undelivered(Timestamp(0)).await.unwrap(), None);
    }
}
