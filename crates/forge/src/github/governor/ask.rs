//! What is asked of the governor: kind, resource, and whom it is for.

use std::time::Duration;

use backlog::names::RepoName;

use super::Limits;
use super::line::Lane;

/// What a request is to the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::github) enum Traffic {
    /// Looks: GET, or a GraphQL query.
    Read,
    /// Changes something without telling anybody.
    Edit,
    /// Tells people: counts as content.
    Notice,
    /// As [`Traffic::Notice`], for a new pull request.
    NewPull,
    /// As [`Traffic::Notice`], for a merge.
    Merge,
    /// Makes a token. Changes nothing that people see, so it needs no gate.
    Mint,
}

impl Traffic {
    pub(super) fn is_write(self) -> bool {
        !matches!(self, Self::Read | Self::Mint)
    }

    pub(super) fn is_content(self) -> bool {
        matches!(self, Self::Notice | Self::NewPull | Self::Merge)
    }
}

/// What GitHub counts apart, as far as we know before it has told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::github) enum Resource {
    Core,
    Graphql,
    Search,
    CodeSearch,
}

impl Resource {
    /// What a path draws on.
    pub(in crate::github) fn of_path(path: &str) -> Self {
        if path.ends_with("/search/code") {
            Self::CodeSearch
        } else if path.ends_with("/graphql") {
            Self::Graphql
        } else if path.starts_with("/search/") || path.contains("/v3/search/") {
            Self::Search
        } else {
            Self::Core
        }
    }

    pub(super) fn guess(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::Graphql => "graphql",
            Self::Search => "search",
            Self::CodeSearch => "code_search",
        }
    }

    /// Which pool of points and work it draws on.
    pub(super) fn kind(self) -> usize {
        usize::from(self == Self::Graphql)
    }

    pub(super) fn spacing(self, limits: &Limits) -> Option<Duration> {
        match self {
            Self::Core | Self::Graphql => None,
            Self::Search => Some(limits.search_spacing),
            Self::CodeSearch => Some(limits.code_search_spacing),
        }
    }
}

/// Whom a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::github) enum Priority {
    /// Nobody waits; stops at a fifth of what is left (R4).
    Background,
    /// A person waits; goes first, and to the last.
    Urgent,
}

tokio::task_local! {
    static URGENT: ();
}

/// Runs `future` as what a person waits for: its requests to a code host go before all others, and may use what
/// background work leaves. Tasks that it spawns do not inherit this.
pub async fn urgent<F: Future>(future: F) -> F::Output {
    URGENT.scope((), future).await
}

/// What is asked of the governor.
#[derive(Clone, Debug)]
pub(in crate::github) struct Ask {
    pub(in crate::github) traffic: Traffic,
    pub(in crate::github) resource: Resource,
    pub(in crate::github) priority: Priority,
    /// The repository that a merge is in.
    pub(in crate::github) repository: Option<RepoName>,
}

impl From<Traffic> for Ask {
    fn from(traffic: Traffic) -> Self {
        let priority = if URGENT.try_with(|()| ()).is_ok() { Priority::Urgent } else { Priority::Background };
        Self { traffic, resource: Resource::Core, priority, repository: None }
    }
}

impl Ask {
    /// Of this resource.
    pub(in crate::github) fn of(traffic: Traffic, resource: Resource) -> Self {
        Self { resource, ..Self::from(traffic) }
    }

    /// A merge in this repository.
    pub(in crate::github) fn merge(repository: &RepoName) -> Self {
        Self { repository: Some(repository.clone()), ..Self::from(Traffic::Merge) }
    }

    pub(super) fn points(&self) -> u64 {
        if self.traffic == Traffic::Read { 1 } else { 5 }
    }

    pub(super) fn lane(&self) -> Lane {
        (self.traffic.is_write(), self.resource)
    }
}
