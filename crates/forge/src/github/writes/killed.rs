//! The process dies, or only its connection breaks, at any byte of a write: in the end there is exactly one of it.

use std::cell::Cell;
use std::time::Duration;

use backlog::intent::IntentKind;
use backlog::names::{BranchName, TaskId};
use backlog::task::Pull;
use backlog::time::Clock;
use testkit::scissors::{Scissors, Way};

use crate::github::tests::{VirtualSleep, World, app, draft, link, task};
use crate::github::{GitHub, GitHubConfig, Limits, issues};
use crate::{Forge, ForgeError, IssueDraft, Ledger, PullDraft};

/// What happens at the byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// The process dies; another one starts on the same memory.
    Dies,
    /// The connection breaks, and the process lives.
    Breaks,
}

/// A world whose GitHub is reached through scissors.
struct Line {
    world: World,
    scissors: Scissors,
}

impl Line {
    async fn new() -> Self {
        let world = World::new().await;
        let scissors = Scissors::before(world.fake.url()).await;
        Self { world, scissors }
    }

    fn github(&self) -> GitHub {
        let limits = Limits { patience: Duration::from_secs(3600), ..Limits::default() };
        let config = GitHubConfig { api_url: self.scissors.url().parse().unwrap(), ..self.world.config(limits) };
        let sleep = std::sync::Arc::new(VirtualSleep(self.world.clock.clone()));
        GitHub::with_sleep(config, self.world.ledger.clone(), self.world.clock.clone(), sleep).unwrap()
    }

    /// So that the next thing done is the create call and nothing else.
    async fn plan(&self, kind: IntentKind, id: String, task: &TaskId, target: &str) {
        let place = (&app(), task, target.to_owned());
        let intent = issues::intent(kind, id, place, &[], self.world.clock.now());
        assert!(self.world.ledger.swap_intent(None, &intent).await.unwrap());
    }

    /// Does `act`, which begins with the write, and cuts after the `n`-th byte; then goes on until it is done. Gives
    /// whether it came to the cut.
    async fn cut_at<T>(
        &self,
        (way, n, fate): (Way, usize, Fate),
        act: impl AsyncFn(&GitHub) -> Result<T, ForgeError>,
    ) -> bool {
        let mut github = self.github();
        github.login().await.unwrap();
        self.scissors.cut_after(way, n);
        let came = Cell::new(false);
        let cut = async {
            self.scissors.cut().await;
            came.set(true);
            if fate == Fate::Breaks {
                self.scissors.mend();
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            biased;
            () = cut => {}
            _ = act(&github) => {}
        }
        if fate == Fate::Dies || !came.get() {
            drop(github);
            self.scissors.mend();
            github = self.github();
        }
        self.world.patiently(async || act(&github).await).await.unwrap();
        came.get()
    }
}

fn nth_task(n: usize) -> TaskId {
    TaskId::derive(&app(), &n.to_string())
}

/// How many things one world has at most, so that its lists stay short.
const CROWD: usize = 25;

/// Cuts one write after another, each at a later byte of this way, with either fate in turn, until one is whole. `write`
/// does the `n`-th in its world, cut at the place, and says whether it came to the cut.
async fn at_every_byte(
    way: Way,
    step: impl Fn(usize) -> usize,
    write: impl AsyncFn(&Line, usize, (Way, usize, Fate)) -> bool,
) {
    let (mut byte, mut done) = (1, 0);
    loop {
        let line = Line::new().await;
        for n in 0..CROWD {
            let fate = if usize::is_multiple_of(done, 2) { Fate::Dies } else { Fate::Breaks };
            if !write(&line, n, (way, byte, fate)).await {
                assert!(byte > 300, "the write had {byte} bytes and was cut {done} times only");
                return line.world.fair();
            }
            done += 1;
            byte += step(byte);
        }
        line.world.fair();
    }
}

async fn cut_issue(line: &Line, n: usize, place: (Way, usize, Fate)) -> bool {
    let task = nth_task(n);
    line.plan(IntentKind::Issue, format!("issue:{task}"), &task, "").await;
    let draft = IssueDraft { task, labels: Vec::new(), ..draft() };
    let cut = line.cut_at(place, async |github| github.ensure_issue(&draft).await).await;
    assert_eq!(line.world.fake.issues().len(), n + 1, "{place:?}");
    cut
}

#[tokio::test]
async fn r27_an_issue_is_one_whatever_byte_of_its_request_is_the_last() {
    at_every_byte(Way::There, |_| 2, cut_issue).await;
}

#[tokio::test]
async fn r27_an_issue_is_one_whatever_byte_of_its_answer_is_the_last() {
    at_every_byte(Way::Back, |byte| if byte < 900 { 7 } else { 67 }, cut_issue).await;
}

async fn cut_comment(line: &Line, n: usize, place: (Way, usize, Fate)) -> bool {
    let number = line.world.fake.open_issue("ann", "Slow", "");
    line.plan(
        IntentKind::Comment,
        format!("comment:{}:status:{}#{number}", task(), app()),
        &task(),
        &number.to_string(),
    )
    .await;
    let link = link(number);
    let cut = line.cut_at(place, async |github| github.ensure_comment(&link, &task(), "status", "working").await).await;
    assert_eq!(line.world.fake.issue(number).comments.len(), 1, "{place:?} {n}");
    cut
}

#[tokio::test]
async fn r27_a_comment_is_one_whatever_byte_of_its_request_is_the_last() {
    at_every_byte(Way::There, |_| 5, cut_comment).await;
}

#[tokio::test]
async fn r27_a_comment_is_one_whatever_byte_of_its_answer_is_the_last() {
    at_every_byte(Way::Back, |byte| if byte < 900 { 13 } else { 97 }, cut_comment).await;
}

/// A branch of its own with one commit.
async fn pushed(line: &Line, n: usize) -> PullDraft {
    let task = nth_task(n);
    let branch = BranchName::of_task(&task, "Handle the empty list");
    let (file, text) = (format!("{n}.txt"), format!("{n}\n"));
    let head = line.world.fake.commit_on("me/app", branch.as_str(), "Handle it", &[(&file, &text)]).await;
    PullDraft {
        repository: app(),
        task,
        title: "Handle the empty list".to_owned(),
        body: "Closes #1.".to_owned(),
        branch,
        head: head.parse().unwrap(),
        base: "main".to_owned(),
        draft: false,
    }
}

async fn cut_pull(line: &Line, n: usize, place: (Way, usize, Fate)) -> bool {
    let draft = pushed(line, n).await;
    let id = format!("pull_request:{}", draft.task);
    line.plan(IntentKind::PullRequest, id, &draft.task, draft.branch.as_str()).await;
    let cut = line.cut_at(place, async |github| github.ensure_pull_request(&draft).await).await;
    assert_eq!(line.world.fake.pulls().len(), n + 1, "{place:?}");
    cut
}

#[tokio::test]
async fn r27_a_pull_request_is_one_whatever_byte_of_its_request_is_the_last() {
    at_every_byte(Way::There, |_| 11, cut_pull).await;
}

#[tokio::test]
async fn r27_a_pull_request_is_one_whatever_byte_of_its_answer_is_the_last() {
    at_every_byte(Way::Back, |byte| if byte < 900 { 29 } else { 301 }, cut_pull).await;
}

/// The merge with the looks around it: they are cut as well.
async fn cut_merge(line: &Line, n: usize, place: (Way, usize, Fate)) -> bool {
    let draft = pushed(line, n).await;
    let number = line.world.fake.open_pull("robot", draft.branch.as_str(), "Handle it", "").await;
    let pull = Pull { number: Some(number), url: String::new(), branch: draft.branch, head: draft.head };
    let cut = line.cut_at(place, async |github| again(github.merge(&app(), &pull, "main", "Merge it").await)).await;
    let merges = line.world.fake.requests_matching("PUT /merge").iter().filter(|merge| merge.executed).count();
    assert_eq!((line.world.fake.pull(number).pull.merged_at.is_some(), merges), (true, n + 1), "{place:?}");
    cut
}

/// A merge may be asked for again at once: whoever does looks first.
fn again<T>(done: Result<T, ForgeError>) -> Result<T, ForgeError> {
    match done {
        Err(ForgeError::Transient { why, retry_at: None }) => {
            Err(ForgeError::Transient { why, retry_at: Some(backlog::time::Timestamp(0)) })
        }
        done => done,
    }
}

#[tokio::test]
async fn r31_a_merge_is_one_whatever_byte_of_its_requests_is_the_last() {
    at_every_byte(Way::There, |_| 61, cut_merge).await;
}

#[tokio::test]
async fn r31_a_merge_is_one_whatever_byte_of_its_answers_is_the_last() {
    at_every_byte(Way::Back, |_| 599, cut_merge).await;
}
