//! Who wrote lines, and when: GraphQL's `blame` of many files in one request.
//!
//! **Definition.** [`GitHub::origins_of`] answers for lines of files at commits, of whatever repositories.
//!
//! **Wanted properties.** Ten files cost one request and one point; the lines of one file are asked for once. Nobody
//! waits for an answer that cannot be had: a limit, a refusal or a failure makes the rest [`Origin::Unasked`], and after
//! a refusal nothing is asked for an hour. A file that GitHub cannot tell about costs its own alias only.
//!
//! **Design.** An alias is one file at one commit. GitHub works out the blame of a whole file, which takes it up to
//! seconds, so few files go into one query, and fewer after one that took too long (R43). That is a size of its own: a
//! slow blame says nothing about asking for changes.
//!
//! **Known races.** None: a commit does not change. One that was replaced by a force push is found for a while, and
//! unknown later.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use backlog::time::{Day, Timestamp};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::GitHub;
use super::client::{Client, Failure};
use super::graphql::{Answered, Batches};
use super::model::lenient;
use crate::{Line, Origin};

/// The most files in one query.
const MOST_AT_ONCE: usize = 20;
/// Queries of one call: more files than they hold are left for another time.
const QUERIES: usize = 20;
/// How long nothing is asked after GitHub has refused to tell.
const REFUSED: Duration = Duration::from_secs(3600);

/// What asking for blame remembers.
pub(super) struct Blames {
    batches: Batches,
    refused_until: Mutex<Timestamp>,
}

impl Blames {
    pub(super) fn new(now: Timestamp) -> Self {
        Self { batches: Batches::of_at_most(MOST_AT_ONCE, now), refused_until: Mutex::new(now) }
    }
}

/// A file at a commit: owner, name, commit, path.
type File = [String; 4];

#[derive(Debug, Default, Deserialize)]
struct Blame {
    #[serde(default, deserialize_with = "lenient")]
    ranges: Vec<Range>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Range {
    starting_line: u32,
    ending_line: u32,
    commit: Commit,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Commit {
    authored_date: String,
    author: Option<Author>,
}

#[derive(Debug, Deserialize)]
struct Author {
    name: Option<String>,
}

impl Blame {
    fn origin(&self, line: u32) -> Origin {
        let range = self.ranges.iter().find(|range| (range.starting_line..=range.ending_line).contains(&line));
        let Some(commit) = range.map(|range| &range.commit) else { return Origin::Unknown };
        match Timestamp::parse_rfc3339(&commit.authored_date) {
            Some(at) => Origin::Written {
                by: commit.author.as_ref().and_then(|author| author.name.clone()).filter(|name| !name.is_empty()),
                on: Day::of(at),
            },
            None => Origin::Unknown,
        }
    }
}

impl GitHub {
    /// See [`crate::Forge::origins`].
    pub(super) async fn origins_of(&self, lines: &[Line]) -> Vec<Origin> {
        let mut groups: Vec<(Arc<Client>, Vec<File>)> = Vec::new();
        let file = |line: &Line| -> File {
            let present = self.present(&line.repository);
            [present.owner(), present.name(), line.commit.as_str(), &line.path].map(str::to_owned)
        };
        for line in lines {
            let Ok(client) = self.client_of(&line.repository).await else { continue };
            let place = groups.iter().position(|(other, _)| Arc::ptr_eq(other, &client)).unwrap_or(groups.len());
            if place == groups.len() {
                groups.push((client, Vec::new()));
            }
            let (files, wanted) = (&mut groups[place].1, file(line));
            if !files.contains(&wanted) {
                files.push(wanted);
            }
        }
        let mut known = BTreeMap::new();
        for (client, files) in groups {
            self.blame(&client, files, &mut known).await;
        }
        lines
            .iter()
            .map(|line| known.get(&file(line)).map_or(Origin::Unasked, |blame| blame.origin(line.number)))
            .collect()
    }

    /// Asks for files until all are answered, or until it is plain that they will not be.
    async fn blame(&self, client: &Client, mut rest: Vec<File>, known: &mut BTreeMap<File, Blame>) {
        for _ in 0..QUERIES {
            if rest.is_empty() || self.blame_is_refused() || self.queries_refused() {
                return;
            }
            let size = self.blames.batches.size(self.now()).min(rest.len());
            let batch: Vec<File> = rest.drain(..size).collect();
            let answered = match client.query(&document(size), &variables(&batch)).await {
                Ok(answered) => answered,
                // Too much for the host's ten seconds, most likely (R43).
                Err(Failure::Ambiguous(why)) if size > 1 => {
                    tracing::debug!(why, size, "blame took too long; fewer files are asked for at once");
                    self.blames.batches.halve(size, self.now());
                    rest.splice(..0, batch);
                    continue;
                }
                Err(failure) => {
                    if matches!(failure, Failure::Refused(_) | Failure::Unexpected(_)) {
                        *self.blame_refused_until() = self.now().plus(REFUSED);
                    }
                    let error = crate::ForgeError::from(failure);
                    tracing::info!(%error, "who wrote what is proposed stays unknown for now");
                    return;
                }
            };
            if answered.is_cut() {
                self.blames.batches.halve(size, self.now());
            }
            for (n, file) in batch.into_iter().enumerate() {
                match shown(&answered, n) {
                    // Asked for again, unless even one is too much.
                    None if answered.is_cut() && size > 1 => rest.push(file),
                    shown => drop(known.insert(file, shown.unwrap_or_default())),
                }
            }
        }
    }

    fn blame_is_refused(&self) -> bool {
        *self.blame_refused_until() > self.now()
    }

    fn blame_refused_until(&self) -> std::sync::MutexGuard<'_, Timestamp> {
        self.blames.refused_until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The query for so many files. Nothing of it comes from outside.
fn document(size: usize) -> String {
    let (mut heads, mut fields) = (String::new(), String::new());
    for n in 0..size {
        heads.push_str(&format!("$o{n}: String!, $n{n}: String!, $c{n}: GitObjectID!, $p{n}: String!, "));
        fields.push_str(&format!(
            "f{n}: repository(owner: $o{n}, name: $n{n}) {{ object(oid: $c{n}) {{ ... on Commit {{ blame(path: $p{n}) {{ \
             ranges {{ startingLine endingLine commit {{ authoredDate author {{ name }} }} }} }} }} }} }} "
        ));
    }
    format!("query({}) {{ {fields}}}", heads.trim_end_matches(", "))
}

fn variables(batch: &[File]) -> Value {
    let of_file = |(n, file): (usize, &File)| {
        let names = ["o", "n", "c", "p"].map(|name| format!("{name}{n}"));
        names.into_iter().zip(file.iter().map(|text| json!(text))).collect::<Vec<_>>()
    };
    Value::Object(batch.iter().enumerate().flat_map(of_file).collect::<Map<_, _>>())
}

/// What is shown of the `n`-th file.
fn shown(answered: &Answered, n: usize) -> Option<Blame> {
    let blame = answered.data.as_ref()?.get(&format!("f{n}"))?.get("object")?.get("blame")?;
    serde_json::from_value(blame.clone()).ok()
}

#[cfg(test)]
mod tests;
