//! Repositories and their git side.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::super::FakeGitHub;
use super::super::bare::{self, Change};
use super::super::world::Repository;

/// What a repository does not take in a push.
#[derive(Clone, Copy, Debug)]
pub enum PushRule<'a> {
    /// Anything on this branch.
    Protected(&'a str),
    /// A branch whose workflows differ from those of the default branch.
    NoWorkflows,
    /// A file of more bytes.
    LargestFile(u64),
    /// A file with this text, which gives a secret away.
    NoSecret(&'a str),
}

impl FakeGitHub {
    /// Makes a public repository `owner/name` with an empty branch `main`. The first one is the default of all verbs.
    ///
    /// # Panics
    /// When git cannot make it.
    pub async fn repo(&self, name: &str) {
        let (owner, short) = name.split_once('/').expect("a repository is named owner/name");
        let now = self.hub.clock.now();
        let (id, owner_kind) = {
            let mut world = self.hub.world();
            let organization = world.organizations.contains(owner);
            if !organization {
                world.users.insert(owner.to_owned());
            }
            (world.id(), if organization { "Organization" } else { "User" })
        };
        let git_dir = self.hub.root.join(format!("{id}.git"));
        bare::init(&git_dir, "main").await.expect("git init works");
        self.hub.world().repos.push(Repository {
            id,
            owner: owner.to_owned(),
            owner_kind,
            name: short.to_owned(),
            former_names: Vec::new(),
            description: None,
            default_branch: "main".to_owned(),
            private: false,
            archived: false,
            blocked: false,
            forbidden: false,
            has_issues: true,
            access: BTreeMap::new(),
            labels: Vec::new(),
            issues: Vec::new(),
            check_runs: Vec::new(),
            runs: Vec::new(),
            statuses: Vec::new(),
            alerts: Vec::new(),
            watched_for: Vec::new(),
            git_dir,
            heads: BTreeMap::new(),
            created_at: now,
            updated_at: now,
            pushed_at: now,
        });
    }

    /// Hides a repository from everybody without a role in it, or shows it again.
    pub fn set_private(&self, repo: &str, private: bool) {
        self.change(repo, |repo| repo.private = private);
    }

    /// Makes a repository read-only, or writable again.
    pub fn set_archived(&self, repo: &str, archived: bool) {
        self.change(repo, |repo| repo.archived = archived);
    }

    /// Switches issues on or off.
    pub fn set_issues_enabled(&self, repo: &str, enabled: bool) {
        self.change(repo, |repo| repo.has_issues = enabled);
    }

    /// Blocks a repository for legal reasons (451), or opens it again.
    pub fn set_blocked(&self, repo: &str, blocked: bool) {
        self.change(repo, |repo| repo.blocked = blocked);
    }

    /// Lets nobody into a repository with their credentials, as organisations with SAML do, or lets them in again.
    pub fn set_forbidden(&self, repo: &str, forbidden: bool) {
        self.change(repo, |repo| repo.forbidden = forbidden);
    }

    /// Renames or moves a repository; the old name redirects.
    pub fn rename_repo(&self, repo: &str, to: &str) {
        let (owner, name) = to.split_once('/').expect("a repository is named owner/name");
        self.change(repo, |repo| {
            repo.former_names.push(repo.full_name());
            owner.clone_into(&mut repo.owner);
            name.clone_into(&mut repo.name);
        });
    }

    /// Refuses every push to a repository with this text (`remote: …`), or accepts pushes again.
    pub fn refuse_pushes(&self, repo: &str, text: Option<&str>) {
        let path = self.git_dir(repo).join("push-refusal");
        match text {
            Some(text) => std::fs::write(path, format!("{text}\n")).expect("the folder is writable"),
            None => std::fs::remove_file(path).expect("pushes were refused before"),
        }
    }

    /// Refuses pushes that break these rules, in GitHub's words; none unless told.
    pub fn set_push_rules(&self, repo: &str, rules: &[PushRule]) {
        let path = self.git_dir(repo).join("push-rules");
        let line = |rule: &PushRule| match rule {
            PushRule::Protected(branch) => format!("protected='{branch}'\n"),
            PushRule::NoWorkflows => "workflows=1\n".to_owned(),
            PushRule::LargestFile(bytes) => format!("largest={bytes}\n"),
            PushRule::NoSecret(text) => format!("secret='{text}'\n"),
        };
        std::fs::write(path, rules.iter().map(line).collect::<String>()).expect("the folder is writable");
    }

    /// Whether git may be asked to leave out files (partial clones); it may unless told.
    pub async fn set_partial_clones(&self, repo: &str, allowed: bool) {
        let value = if allowed { "true" } else { "false" };
        let dir = self.git_dir(repo);
        bare::git(&dir, &["config", "uploadpack.allowFilter", value], b"").await.expect("git keeps its settings");
    }

    /// Makes so many more branches, all at the tip of the default branch.
    pub async fn many_branches(&self, repo: &str, count: usize) {
        let (dir, tip) = (self.git_dir(repo), self.branch(repo, "main").expect("the branch exists"));
        bare::git(&dir, &["pack-refs", "--all"], b"").await.expect("git packs them");
        // Twenty thousand files would take git seconds; the packed list takes one line for each.
        let path = dir.join("packed-refs");
        let packed = std::fs::read_to_string(&path).expect("git made the list");
        let mut lines: Vec<String> = packed.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect();
        lines.extend((0..count).map(|n| format!("{tip} refs/heads/many/{n:06}")));
        let text = format!("# pack-refs with: peeled fully-peeled \n{}\n", lines.join("\n"));
        std::fs::write(path, text).expect("the folder is writable");
    }

    /// Puts a branch somewhere else by force; commits that only it had are lost to it.
    pub async fn reset_branch(&self, repo: &str, branch: &str, to: &str) {
        let dir = self.git_dir(repo);
        bare::git(&dir, &["update-ref", &format!("refs/heads/{branch}"), to], b"").await.expect("the commit exists");
        let (mut world, at) = self.at(Some(repo));
        world.observe(at, self.hub.clock.now());
    }

    /// The folder of the bare repository, for tests that look at or break it directly.
    #[must_use]
    pub fn git_dir(&self, repo: &str) -> PathBuf {
        let (world, at) = self.at(Some(repo));
        world.repos[at].git_dir.clone()
    }

    /// Adds a commit with these files to the default branch; gives its SHA.
    pub async fn commit(&self, repo: &str, message: &str, files: &[(&str, &str)]) -> String {
        self.commit_on(repo, "main", message, files).await
    }

    /// Adds a commit to a branch, which starts at the default branch when it is new; gives its SHA.
    pub async fn commit_on(&self, repo: &str, branch: &str, message: &str, files: &[(&str, &str)]) -> String {
        let changes: Vec<Change<'_>> = files.iter().map(|(path, text)| (*path, Some(text.as_bytes()))).collect();
        self.change_files(repo, branch, message, &changes).await
    }

    /// Adds a commit that removes these files from the default branch; gives its SHA.
    pub async fn remove_files(&self, repo: &str, message: &str, paths: &[&str]) -> String {
        let changes: Vec<Change<'_>> = paths.iter().map(|path| (*path, None)).collect();
        self.change_files(repo, "main", message, &changes).await
    }

    async fn change_files(&self, repo: &str, branch: &str, message: &str, changes: &[Change<'_>]) -> String {
        let now = self.hub.clock.now();
        let (dir, from, owner) = {
            let (world, at) = self.at(Some(repo));
            let repo = &world.repos[at];
            let from = repo.branch(branch).or_else(|| repo.branch(&repo.default_branch));
            (repo.git_dir.clone(), from, repo.owner.clone())
        };
        let _alone = self.hub.git_writes.lock().await;
        let made = bare::commit(&dir, branch, from.as_deref(), &owner, now, message, changes).await;
        let (mut world, at) = self.at(Some(repo));
        world.observe(at, now);
        made.expect("git makes the commit")
    }

    /// The tip of a branch.
    #[must_use]
    pub fn branch(&self, repo: &str, name: &str) -> Option<String> {
        let (world, at) = self.at(Some(repo));
        world.repos[at].branch(name)
    }

    /// The names of all branches.
    #[must_use]
    pub fn branches(&self, repo: &str) -> Vec<String> {
        bare::branches(&self.git_dir(repo)).into_keys().collect()
    }

    /// Deletes a branch, as people do after a merge; an open pull request from it is closed.
    pub async fn delete_branch(&self, repo: &str, name: &str) {
        let dir = self.git_dir(repo);
        bare::git(&dir, &["update-ref", "-d", &format!("refs/heads/{name}")], b"").await.expect("the branch exists");
        let (mut world, at) = self.at(Some(repo));
        world.observe(at, self.hub.clock.now());
    }

    /// The text of a file on a branch; `None` when it is not there.
    pub async fn file_at(&self, repo: &str, branch: &str, path: &str) -> Option<String> {
        let dir = self.git_dir(repo);
        let bytes = bare::git(&dir, &["cat-file", "blob", &format!("refs/heads/{branch}:{path}")], b"").await.ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }
}
