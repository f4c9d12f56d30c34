//! Repositories, and who may do what in them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;

use backlog::approval::Permission;
use backlog::names::RepoName;
use backlog::time::Timestamp;
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use http::StatusCode;
use url::Url;

use super::auth::{App, Auth, Installed, not_installed};
use super::client::{Client, Failure};
use super::conditional::too_long;
use super::model;
use super::writes::PERMISSION_BELIEVED;
use super::{GitHub, SetupError};
use crate::{ForgeError, RepositoryView, Unreachable};

/// Repositories by name in small letters.
type Found = BTreeMap<String, model::Repository>;

/// Pages of one owner's repositories: 10,000 of them.
const PAGES: usize = 100;
/// How many permissions are remembered.
const PERMISSIONS: usize = 10_000;
/// How many new names are remembered.
const RENAMED: usize = 10_000;

/// Which repositories are meant: globs over `owner/name`, those with `!` take away. Case does not matter.
pub(super) struct Selection {
    include: Vec<String>,
    wanted: GlobSet,
    excluded: GlobSet,
}

/// Where to ask for the repositories of one pattern.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Listing {
    /// One, by its name.
    Exactly(RepoName),
    /// All of one owner.
    Owner(String),
    /// Everything that the credential can see.
    Everything,
}

impl Selection {
    pub(super) fn new(patterns: &[String]) -> Result<Self, SetupError> {
        let build = |patterns: &[&str]| {
            let mut set = GlobSetBuilder::new();
            for pattern in patterns {
                let glob = GlobBuilder::new(pattern).case_insensitive(true).literal_separator(true).build();
                set.add(glob.map_err(|error| SetupError::Pattern((*pattern).to_owned(), error.to_string()))?);
            }
            set.build().map_err(|error| SetupError::Pattern(patterns.join(", "), error.to_string()))
        };
        for pattern in patterns {
            if pattern.trim_start_matches('!').split('/').count() != 2 {
                return Err(SetupError::Pattern(pattern.clone(), "it should read owner/name".to_owned()));
            }
        }
        let (excluded, include): (Vec<&str>, Vec<&str>) =
            patterns.iter().map(String::as_str).partition(|p| p.starts_with('!'));
        let excluded: Vec<&str> = excluded.iter().map(|pattern| pattern.trim_start_matches('!')).collect();
        Ok(Self {
            wanted: build(&include)?,
            excluded: build(&excluded)?,
            include: include.into_iter().map(str::to_owned).collect(),
        })
    }

    fn takes(&self, name: &str) -> bool {
        self.wanted.is_match(name) && !self.excluded.is_match(name)
    }

    /// What to ask for, without asking twice.
    fn listings(&self) -> Vec<Listing> {
        let is_glob = |text: &str| text.contains(['*', '?', '[', '{', '\\']);
        let listing = |pattern: &String| match (pattern.parse::<RepoName>(), pattern.split_once('/')) {
            (Ok(name), _) => Listing::Exactly(name),
            (Err(_), Some((owner, _))) if !is_glob(owner) => Listing::Owner(owner.to_ascii_lowercase()),
            _ => Listing::Everything,
        };
        let mut listings: Vec<Listing> = self.include.iter().map(listing).collect();
        listings.sort();
        listings.dedup();
        listings
    }
}

impl GitHub {
    /// An address below a repository, under its present name as far as known.
    pub(super) fn repository_url(&self, name: &RepoName, rest: &[&str], query: &[(&str, &str)]) -> Url {
        let name = self.present(name);
        self.wire.url(&[["repos", name.owner(), name.name()].as_slice(), rest].concat(), query)
    }

    pub(super) async fn repository_model(&self, name: &RepoName) -> Result<model::Repository, ForgeError> {
        Ok(self.client_of(name).await?.get_json(&self.repository_url(name, &[], &[])).await?)
    }

    /// What a repository is called now, as far as a redirect has told.
    pub(super) fn present(&self, name: &RepoName) -> RepoName {
        self.renamed.lock().unwrap_or_else(PoisonError::into_inner).get(name).unwrap_or(name).clone()
    }

    /// What a write that was answered by a redirect tells the caller. GitHub leads reads to the repository by its id;
    /// the name found there is where everything goes from now on (R32).
    pub(super) async fn moved(&self, old: &RepoName) -> ForgeError {
        let found = match self.repository_model(old).await {
            Ok(repository) => repository.full_name,
            Err(error) => return error,
        };
        match found.parse::<RepoName>() {
            Ok(new) if new != self.present(old) => {
                let why = format!("{old} is called {new} now, and the write goes there");
                let mut renamed = self.renamed.lock().unwrap_or_else(PoisonError::into_inner);
                if renamed.len() >= RENAMED {
                    renamed.clear();
                }
                renamed.insert(old.clone(), new);
                ForgeError::Transient { why, retry_at: Some(self.now()) }
            }
            _ => ForgeError::Conflict(format!("GitHub leads writes to {old} somewhere else than reads ({found})")),
        }
    }

    pub(super) async fn repositories_of_selection(&self) -> Result<Vec<RepositoryView>, ForgeError> {
        let mut found = match &self.auth {
            Auth::Token(client) => self.selected_of_user(client).await?,
            Auth::App(app) => self.selected_of_app(app).await?,
        };
        // A name that is somebody's again leads nowhere else any more.
        self.renamed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|old, _| !found.contains_key(&old.as_str().to_ascii_lowercase()));
        found.retain(|name, _| !self.selection.excluded.is_match(name));
        Ok(found.values().filter_map(|repository| self.view(repository)).collect())
    }

    async fn selected_of_user(&self, client: &Client) -> Result<Found, ForgeError> {
        let (mut found, mut unreachable) = (BTreeMap::new(), Vec::new());
        for listing in self.selection.listings() {
            for repository in self.listed(client, &listing, &mut unreachable).await? {
                let name = repository.full_name.clone();
                // A repository that was renamed is still meant by its old, exact name.
                if self.selection.takes(&name) || matches!(listing, Listing::Exactly(_)) {
                    found.insert(name.to_ascii_lowercase(), repository);
                }
            }
        }
        self.keep_unreachable(unreachable);
        Ok(found)
    }

    /// Keeps what the listing left out, for people to see.
    fn keep_unreachable(&self, unreachable: Vec<Unreachable>) {
        for there in &unreachable {
            let what = there.repository.as_ref().map_or(there.owner.as_str(), RepoName::as_str);
            tracing::warn!(what, why = there.why, "repositories cannot be worked");
        }
        *self.unreachable.lock().unwrap_or_else(PoisonError::into_inner) = unreachable;
    }

    /// The repositories of every installation. An account that cannot be worked is noted and holds up no other.
    async fn selected_of_app(&self, app: &App) -> Result<Found, ForgeError> {
        let (mut found, mut unreachable, mut owners) = (BTreeMap::new(), Vec::new(), BTreeSet::new());
        for there in app.installations().await? {
            owners.insert(there.owner.to_ascii_lowercase());
            match self.of_installation(&there).await {
                Ok(repositories) => {
                    let taken = repositories.into_iter().filter(|found| self.selection.takes(&found.full_name));
                    found.extend(taken.map(|repository| (repository.full_name.to_ascii_lowercase(), repository)));
                }
                Err(failure) => unreachable.push(Unreachable::new(&there.owner, &failure.into())),
            }
        }
        for listing in self.selection.listings() {
            let owner = match &listing {
                Listing::Exactly(name) => name.owner().to_ascii_lowercase(),
                Listing::Owner(owner) => owner.clone(),
                Listing::Everything => continue,
            };
            if owners.insert(owner.clone()) {
                unreachable.push(Unreachable::new(&owner, &not_installed(&owner).into()));
            }
            // A repository that was renamed is still meant by its old, exact name.
            if let Listing::Exactly(name) = listing
                && !found.contains_key(&name.as_str().to_ascii_lowercase())
            {
                match self.repository_model(&name).await {
                    Ok(repository) => drop(found.insert(repository.full_name.to_ascii_lowercase(), repository)),
                    Err(error) => unreachable.push(Unreachable::named(&name, &error)),
                }
            }
        }
        self.keep_unreachable(unreachable);
        Ok(found)
    }

    async fn of_installation(&self, there: &Installed) -> Result<Vec<model::Repository>, Failure> {
        let client = there.works()?;
        let mut url = self.wire.url(&["installation", "repositories"], &[("per_page", "100")]);
        let mut all = Vec::new();
        for _ in 0..PAGES {
            let (page, answer): (model::InstalledRepositories, _) = client.get_page(&url).await?;
            all.extend(page.repositories);
            match self.wire.next_page(&url, &answer)? {
                Some(next) => url = next,
                None => return Ok(all),
            }
        }
        Err(too_long(url.path(), PAGES))
    }

    async fn listed(
        &self,
        client: &Client,
        listing: &Listing,
        unreachable: &mut Vec<Unreachable>,
    ) -> Result<Vec<model::Repository>, ForgeError> {
        match listing {
            Listing::Exactly(name) => match self.repository_model(name).await {
                Err(error @ (ForgeError::NotFound(_) | ForgeError::Denied { .. })) => {
                    unreachable.push(Unreachable::named(name, &error));
                    Ok(Vec::new())
                }
                found => Ok(vec![found?]),
            },
            Listing::Owner(owner) => match self.of_owner(client, owner).await {
                Err(error @ (ForgeError::NotFound(_) | ForgeError::Denied { .. })) => {
                    unreachable.push(Unreachable::new(owner, &error));
                    Ok(Vec::new())
                }
                found => found,
            },
            Listing::Everything => self.pages_of(client, &["user", "repos"], &[]).await,
        }
    }

    async fn of_owner(&self, client: &Client, owner: &str) -> Result<Vec<model::Repository>, ForgeError> {
        if self.us().await?.login.eq_ignore_ascii_case(owner) {
            return self.pages_of(client, &["user", "repos"], &[("affiliation", "owner")]).await;
        }
        match self.pages_of(client, &["orgs", owner, "repos"], &[]).await {
            Err(ForgeError::NotFound(_)) => {}
            found => return found,
        }
        self.pages_of(client, &["users", owner, "repos"], &[]).await
    }

    async fn pages_of(
        &self,
        client: &Client,
        segments: &[&str],
        query: &[(&str, &str)],
    ) -> Result<Vec<model::Repository>, ForgeError> {
        let query = [query, &[("per_page", "100")]].concat();
        Ok(client.pages(self.wire.url(segments, &query), PAGES).await?)
    }

    pub(super) async fn repository_view(&self, name: &RepoName) -> Result<RepositoryView, ForgeError> {
        let repository = self.repository_model(name).await?;
        self.view(&repository)
            .ok_or_else(|| ForgeError::Unexpected(format!("a repository called `{}`", repository.full_name)))
    }

    /// The installations' permissions say what an App may do, not the repository.
    fn view(&self, repository: &model::Repository) -> Option<RepositoryView> {
        viewed(repository, repository.permissions.push || matches!(self.auth, Auth::App(_)))
    }

    /// What a user may do; asked every time.
    pub(super) async fn permission_of(&self, repository: &RepoName, login: &str) -> Result<Permission, ForgeError> {
        let url = self.repository_url(repository, &["collaborators", login, "permission"], &[]);
        match self.client_of(repository).await?.get_json::<model::CollaboratorPermission>(&url).await {
            Err(Failure::Refused(refusal)) if refusal.status == StatusCode::NOT_FOUND => Ok(Permission::None),
            found => Ok(role(&found?)),
        }
    }

    /// What a user may do, as known at most ten minutes ago: good for showing and trusting notes, not for approvals.
    pub(super) async fn known_permission(&self, repository: &RepoName, login: &str) -> Result<Permission, ForgeError> {
        let key = (repository.clone(), login.to_ascii_lowercase());
        let now = self.now();
        if let Some((permission, at)) = self.permissions().get(&key)
            && now.since(*at) < PERMISSION_BELIEVED
        {
            return Ok(*permission);
        }
        let permission = self.permission_of(repository, login).await?;
        let mut known = self.permissions();
        if known.len() >= PERMISSIONS {
            known.clear();
        }
        known.insert(key, (permission, now));
        Ok(permission)
    }
}

fn viewed(repository: &model::Repository, can_push: bool) -> Option<RepositoryView> {
    Some(RepositoryView {
        name: repository.full_name.parse().ok()?,
        default_branch: repository.default_branch.clone(),
        archived: repository.archived,
        has_issues: repository.has_issues.unwrap_or(true),
        can_push,
        path: None,
        pushed_at: Timestamp::parse_rfc3339(&repository.pushed_at),
    })
}

/// The role; an organisation's own role counts as the base role that GitHub gives beside it.
fn role(found: &model::CollaboratorPermission) -> Permission {
    let named = |name: &str| match name {
        "admin" => Some(Permission::Admin),
        "maintain" => Some(Permission::Maintain),
        "write" => Some(Permission::Write),
        "triage" => Some(Permission::Triage),
        "read" => Some(Permission::Read),
        "none" => Some(Permission::None),
        _ => None,
    };
    named(&found.role_name).or_else(|| named(&found.permission)).unwrap_or(Permission::None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selection(patterns: &[&str]) -> Selection {
        Selection::new(&patterns.iter().map(|p| (*p).to_owned()).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn globs_select_and_exclude() {
        let chosen = selection(&["me/*", "org/service-*", "Other/One", "!org/service-secret", "!me/*-old"]);
        let table = [
            ("me/a", true),
            ("ME/A", true),
            ("me/a-old", false),
            ("org/service-a", true),
            ("org/service-secret", false),
            ("org/other", false),
            ("other/one", true),
            ("other/two", false),
        ];
        for (name, expected) in table {
            assert_eq!(chosen.takes(name), expected, "{name}");
        }
    }

    #[test]
    fn patterns_ask_for_as_little_as_possible() {
        let asked = selection(&["me/*", "Me/a*", "org/one", "o*/x", "*/*"]).listings();
        let one: RepoName = "org/one".parse().unwrap();
        assert_eq!(asked, [Listing::Exactly(one), Listing::Owner("me".to_owned()), Listing::Everything]);
    }

    #[test]
    fn patterns_that_cannot_match_are_refused() {
        for pattern in ["me", "a/b/c", "!x", "me/[", ""] {
            assert!(Selection::new(&[pattern.to_owned()]).is_err(), "{pattern}");
        }
    }

    #[test]
    fn roles_of_every_kind_are_understood() {
        let table = [
            ("admin", "admin", Permission::Admin),
            ("write", "maintain", Permission::Maintain),
            ("read", "triage", Permission::Triage),
            ("write", "our-own-role", Permission::Write),
            ("read", "", Permission::Read),
            ("none", "none", Permission::None),
            ("", "", Permission::None),
        ];
        for (permission, role_name, expected) in table {
            let found =
                model::CollaboratorPermission { permission: permission.to_owned(), role_name: role_name.to_owned() };
            assert_eq!(role(&found), expected, "{permission} {role_name}");
        }
    }
}
