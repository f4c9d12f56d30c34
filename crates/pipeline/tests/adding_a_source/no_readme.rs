//! The source `no-readme`: a repository that does not say what it is.

use anyhow::Result;
use async_trait::async_trait;
use backlog::finding::{self, Finding, Fingerprint};
use pipeline::discover::source::{Look, Moves, Source};
use pipeline::settings::{RepositoryPolicy, Sources};

/// See the module.
pub(super) struct NoReadme;

#[async_trait]
impl Source for NoReadme {
    fn name(&self) -> finding::Source {
        // A real one gets a variant of its own.
        finding::Source::Sarif("no-readme".to_owned())
    }

    fn is_on(&self, _: &Sources, _: &RepositoryPolicy) -> bool {
        true
    }

    fn moves(&self) -> Moves {
        Moves { with_code: true, ..Moves::default() }
    }

    fn signature(&self, _: &Sources) -> String {
        "1".to_owned()
    }

    async fn findings(&self, look: &Look<'_>) -> Result<Vec<Finding>> {
        if look.content.files.iter().any(|file| file.path.to_lowercase().starts_with("readme")) {
            return Ok(Vec::new());
        }
        let kind = "readme".to_owned();
        Ok(vec![Finding {
            // What makes it this work and no other: never a line, and here not even a path.
            fingerprint: Fingerprint::of(&self.name(), &kind, "no readme", 0),
            source: self.name(),
            kind,
            repository: look.repository.clone(),
            commit: Some(look.content.commit.clone()),
            path: String::new(),
            line: 0,
            end_line: 0,
            title: "Write a README".to_owned(),
            text: "The repository has no README. Write one: what it is, how it is built, how it is used.".to_owned(),
            author: None,
            written_on: None,
            owner: None,
            issue: None,
            due: None,
            url: String::new(),
            interest: 0,
            group: None,
        }])
    }
}
