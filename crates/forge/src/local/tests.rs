use std::sync::Mutex;

use testkit::clock::TestClock;

use super::*;

/// Branches of one folder: name, head, and which commits are in `main`.
#[derive(Default)]
struct Fake {
    heads: Mutex<Vec<(String, CommitId)>>,
    merged: Mutex<Vec<CommitId>>,
    refuse: Mutex<Option<BranchError>>,
}

#[async_trait]
impl Branches for Fake {
    async fn default_branch(&self, path: &Path) -> Result<String, BranchError> {
        if path.ends_with("broken") {
            Err(BranchError::Failed("no repository".to_owned()))
        } else {
            Ok("main".to_owned())
        }
    }

    async fn head(&self, _path: &Path, branch: &str) -> Result<Option<CommitId>, BranchError> {
        Ok(self.heads.lock().unwrap().iter().find(|(name, _)| name == branch).map(|(_, head)| head.clone()))
    }

    async fn is_merged(&self, _path: &Path, commit: &CommitId, _into: &str) -> Result<bool, BranchError> {
        Ok(self.merged.lock().unwrap().contains(commit))
    }

    async fn merge(&self, path: &Path, branch: &str, _into: &str, _message: &str) -> Result<(), BranchError> {
        if let Some(error) = self.refuse.lock().unwrap().take() {
            return Err(error);
        }
        let head = self.head(path, branch).await?.unwrap();
        self.merged.lock().unwrap().push(head);
        Ok(())
    }

    async fn delete(&self, _path: &Path, branch: &str) -> Result<(), BranchError> {
        self.heads.lock().unwrap().retain(|(name, _)| name != branch);
        Ok(())
    }
}

fn commit(digit: &str) -> CommitId {
    digit.repeat(40).parse().unwrap()
}

fn name() -> RepoName {
    "local/app".parse().unwrap()
}

fn bench() -> (Local, Arc<Fake>) {
    let fake = Arc::new(Fake::default());
    fake.heads.lock().unwrap().push(("ccm/x".to_owned(), commit("a")));
    let folders =
        vec![(name(), PathBuf::from("/srv/app")), ("local/broken".parse().unwrap(), PathBuf::from("/srv/broken"))];
    (Local::new("ann".to_owned(), folders, fake.clone(), TestClock::new()), fake)
}

fn draft(head: &str) -> PullDraft {
    PullDraft {
        repository: name(),
        task: "3k9d0fz2ha".parse().unwrap(),
        title: String::new(),
        body: String::new(),
        branch: "ccm/x".parse().unwrap(),
        head: commit(head),
        base: "main".to_owned(),
        draft: false,
    }
}

#[tokio::test]
async fn folders_are_repositories_without_issues() {
    let (local, _) = bench();
    let found = local.repositories().await.unwrap();
    assert_eq!(found.len(), 1, "a folder that cannot be read is left out");
    assert_eq!((found[0].path.as_deref(), found[0].has_issues), (Some("/srv/app"), false));
    assert_eq!(local.git_access(&name(), GitUse::Read).await.unwrap().url, "/srv/app");
    assert_eq!(local.permission(&name(), "ann").await.unwrap(), Permission::Admin);
    assert_eq!(local.permission(&name(), "mallory").await.unwrap(), Permission::None);
    assert!(matches!(local.repository(&"local/none".parse().unwrap()).await, Err(ForgeError::NotFound(_))));
    assert!(matches!(local.changed_issues(&name(), Timestamp(0)).await, Err(ForgeError::Denied { .. })));
}

#[tokio::test]
async fn a_pull_request_is_its_branch() {
    let (local, fake) = bench();
    let pull = local.ensure_pull_request(&draft("a")).await.unwrap();
    assert_eq!((pull.number, pull.url.as_str()), (None, "/srv/app#ccm/x"));
    assert!(matches!(local.ensure_pull_request(&draft("b")).await, Err(ForgeError::Conflict(_))));
    assert_eq!(local.pull_status(&name(), &pull, "main").await.unwrap().state, PullState::Open);
    local.merge(&name(), &pull, "main", "Merge it").await.unwrap();
    local.merge(&name(), &pull, "main", "Merge it").await.unwrap();
    assert_eq!(fake.merged.lock().unwrap().len(), 1);
    let merged = PullState::Merged { at: TestClock::START, by: None };
    assert_eq!(local.pull_status(&name(), &pull, "main").await.unwrap().state, merged);
    fake.heads.lock().unwrap().clear();
    assert_eq!(local.pull_status(&name(), &pull, "main").await.unwrap().state, merged, "the branch may go");
}

#[tokio::test]
async fn closing_deletes_the_branch() {
    let (local, _) = bench();
    let pull = local.ensure_pull_request(&draft("a")).await.unwrap();
    local.close_pull(&name(), &pull).await.unwrap();
    assert_eq!(local.pull_status(&name(), &pull, "main").await.unwrap().state, PullState::Closed { by: None });
    assert!(matches!(local.merge(&name(), &pull, "main", "m").await, Err(ForgeError::NotFound(_))));
    assert!(matches!(local.ensure_pull_request(&draft("a")).await, Err(ForgeError::NotFound(_))));
}

#[tokio::test]
async fn a_merge_that_cannot_be_is_said_in_gits_words() {
    let (local, fake) = bench();
    let pull = local.ensure_pull_request(&draft("a")).await.unwrap();
    *fake.refuse.lock().unwrap() = Some(BranchError::Dirty("save your changes first".to_owned()));
    let error = local.merge(&name(), &pull, "main", "m").await.unwrap_err();
    assert!(matches!(&error, ForgeError::Conflict(why) if why == "save your changes first"));
    fake.heads.lock().unwrap()[0].1 = commit("b");
    assert!(matches!(local.merge(&name(), &pull, "main", "m").await, Err(ForgeError::Conflict(_))), "it moved");
}
