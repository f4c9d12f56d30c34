//! Who wrote what was found in a folder, and when.
//!
//! **Wanted properties.** Only what is reported is asked for, each file once. Blame is a help: what it cannot say stays
//! unknown, and a line that is not committed as it is has no author yet.
//!
//! **Design.** The last commit is blamed, and believed where its line says what was found: so nothing that the repository's
//! configuration names is run, as it would be for a work tree.

use std::collections::BTreeMap;

use backlog::finding::Finding;
use backlog::names::CommitId;
use backlog::time::Day;
use futures::StreamExt as _;
use git::{Blame, LocalRepository};

use crate::output;

/// Files that are blamed at once, each by a process.
const AT_ONCE: usize = 4;
/// Of how many files it is asked who wrote them.
const FILES: usize = 2_000;

/// Adds author and day to findings, as far as `commit` has them.
pub(super) async fn learn(repository: &LocalRepository, commit: &CommitId, findings: &mut [Finding]) {
    let mut files: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for finding in findings.iter() {
        files.entry(finding.path.clone()).or_default().push(u64::from(finding.line));
    }
    if files.len() > FILES {
        output::remark(&format!("Who wrote what is asked for the first {FILES} of {} files.", files.len()));
    }
    let blamed: BTreeMap<String, BTreeMap<u64, Blame>> = futures::stream::iter(files.into_iter().take(FILES))
        .map(|(path, lines)| async move {
            let blame = repository.blame(commit, &path, &lines).await.unwrap_or_else(|error| {
                tracing::warn!(path, %error, "it is not known who wrote what was found there");
                BTreeMap::new()
            });
            (path, blame)
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    for finding in findings {
        let blame = blamed.get(&finding.path).and_then(|lines| lines.get(&u64::from(finding.line)));
        if let Some(blame) = blame.filter(|blame| says(&blame.text, finding)) {
            finding.author = Some(blame.author.name.clone());
            finding.written_on = Some(Day::of(blame.at));
        }
    }
}

/// Whether a line is the one that was found.
fn says(line: &str, finding: &Finding) -> bool {
    let first = finding.text.lines().next().unwrap_or_default().trim();
    !first.is_empty() && line.contains(first)
}
