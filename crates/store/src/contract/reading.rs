//! Lists: order, filters, bounds.

use std::sync::Arc;

use backlog::rank::Score;
use backlog::room::Waiting;
use backlog::task::{Stage, Task};

use super::sample::{NOW, REPO, at, repo, run, states, stored, task};
use crate::{Commit, SEARCH_CHARS, Store, TaskFilter};

async fn titles(store: &dyn Store, filter: TaskFilter) -> Vec<String> {
    store.tasks(&filter).await.unwrap().into_iter().map(|task| task.title).collect()
}

pub(crate) async fn tasks_come_best_first(store: Arc<dyn Store>) {
    let scored = |title: &str, points, seconds| Task {
        score: Score { points, reasons: Vec::new() },
        created_at: at(seconds),
        ..task(REPO, title)
    };
    let mut equal = [scored("equal one", 5, 1), scored("equal two", 5, 1)];
    equal.sort_by(|a, b| a.id.cmp(&b.id));
    let order =
        [scored("best", 9, 9), scored("older", 5, 0), equal[0].clone(), equal[1].clone(), scored("worst", -3, 0)];
    let tasks = order.iter().rev().cloned().collect();
    store.commit(Commit { tasks, ..Commit::default() }).await.unwrap();
    let order: Vec<_> = order.into_iter().map(|task| task.title).collect();
    assert_eq!(titles(&*store, TaskFilter::default()).await, order);
    assert_eq!(titles(&*store, TaskFilter { limit: 2, ..TaskFilter::default() }).await, order[..2]);
    assert_eq!(titles(&*store, TaskFilter { limit: usize::MAX, ..TaskFilter::default() }).await, order);
}

pub(crate) async fn filters_narrow(store: Arc<dyn Store>) {
    for (name, title) in [("acme/a", "red"), ("acme/b", "red too"), ("acme/a", "blue")] {
        stored(&*store, task(name, title)).await;
    }
    let mut moved = stored(&*store, task("acme/a", "moved red")).await;
    moved.state = states(&moved).remove(1);
    stored(&*store, moved).await;
    let a = TaskFilter { repository: Some(repo("acme/a")), ..TaskFilter::default() };
    let found = TaskFilter { stages: vec![Stage::Found, Stage::Done], ..a.clone() };
    let red = TaskFilter { search: Some("Red".into()), ..found.clone() };
    assert_eq!(titles(&*store, a).await.len(), 3);
    assert_eq!(titles(&*store, found).await.len(), 2);
    assert_eq!(titles(&*store, red).await, ["red"]);
    for other in ["acm/e", "acme-x/a", "acme0/a", "b/acme"] {
        stored(&*store, task(other, "of another owner")).await;
    }
    let owner = TaskFilter { owner: Some("acme".into()), ..TaskFilter::default() };
    assert_eq!(titles(&*store, owner).await.len(), 4);
}

pub(crate) async fn what_waits_is_counted_by_repository_with_the_best_of_each(store: Arc<dyn Store>) {
    let scored =
        |name: &str, title: &str, points| Task { score: Score { points, reasons: Vec::new() }, ..task(name, title) };
    for (name, title, points) in [
        ("acme/a", "one", 1),
        ("acme/a", "three", 3),
        ("acme/a", "two", 2),
        ("acme/b", "nine", 9),
        ("acme-x/a", "x", 5),
    ] {
        stored(&*store, scored(name, title, points)).await;
    }
    for stage in [Stage::Proposed, Stage::InReview, Stage::Done] {
        let mut moved = stored(&*store, task("acme/b", stage.as_str())).await;
        moved.state = states(&moved).into_iter().find(|state| state.stage() == stage).unwrap();
        stored(&*store, moved).await;
    }
    let waiting = store.waiting("acme", 2).await.unwrap();
    let told = |one: &Waiting| {
        let points: Vec<i64> = one.found.iter().map(|one| one.points).collect();
        (one.repository.to_string(), one.proposed, one.pulls, points)
    };
    let told: Vec<_> = waiting.iter().map(told).collect();
    assert_eq!(told, [("acme/a".to_owned(), 0, 0, vec![3, 2]), ("acme/b".to_owned(), 1, 1, vec![9])]);
    assert_eq!(store.waiting("nobody", 2).await.unwrap(), []);
}

pub(crate) async fn a_search_is_literal(store: Arc<dyn Store>) {
    let texts = ["100% sure", "100 times", "snake_case", "snakeXcase", r"back\slash", "o'clock", "say \"hi\"", "ÄRGER"];
    for text in texts {
        stored(&*store, task(REPO, text)).await;
    }
    stored(&*store, Task { body: "In the BODY.".into(), ..task(REPO, "title") }).await;
    let cases: &[(&str, &[&str])] = &[
        ("100%", &["100% sure"]),
        ("%", &["100% sure"]),
        ("snake_case", &["snake_case"]),
        ("_", &["snake_case"]),
        (r"k\s", &[r"back\slash"]),
        ("O'C", &["o'clock"]),
        ("' OR 1=1 --", &[]),
        ("\"HI\"", &["say \"hi\""]),
        ("ärg", &["ÄRGER"]),
        ("the body", &["title"]),
        ("titlein", &[]),
    ];
    for (search, expected) in cases {
        let filter = TaskFilter { search: Some((*search).to_owned()), ..TaskFilter::default() };
        assert_eq!(titles(&*store, filter).await, *expected, "{search}");
    }
    let all = TaskFilter { search: Some(String::new()), ..TaskFilter::default() };
    assert_eq!(titles(&*store, all).await.len(), texts.len() + 1);
    let endless = TaskFilter { search: Some("%".repeat(100 * SEARCH_CHARS)), ..TaskFilter::default() };
    assert_eq!(titles(&*store, endless).await, [""; 0]);
}

pub(crate) async fn every_stage_is_counted(store: Arc<dyn Store>) {
    let states = states(&task(REPO, "any"));
    for (index, state) in states.iter().enumerate().skip(1) {
        for number in 0..index {
            let task = task(REPO, &format!("{index} {number}"));
            stored(&*store, Task { state: state.clone(), ..task }).await;
        }
    }
    let expected: Vec<_> = Stage::ALL.into_iter().zip(0..).collect();
    assert_eq!(store.stage_counts().await.unwrap(), expected);
}

pub(crate) async fn runs_come_in_order_of_attempts(store: Arc<dyn Store>) {
    let (one, two) = (stored(&*store, task(REPO, "one")).await, stored(&*store, task(REPO, "two")).await);
    let runs = (1..=12).rev().map(|attempt| run(&one, attempt)).collect();
    store.commit(Commit { runs, ..Commit::default() }).await.unwrap();
    let mut newest = run(&two, 1);
    newest.started_at = at(5);
    store.commit(Commit { runs: vec![newest.clone()], ..Commit::default() }).await.unwrap();

    let attempts = |runs: Vec<backlog::run::Run>| -> Vec<String> {
        runs.iter().map(|run| run.id.as_str().rsplit_once('-').unwrap().1.to_owned()).collect()
    };
    let of_task = attempts(store.runs(Some(&one.id), 0).await.unwrap());
    assert_eq!(of_task, (1..=12).map(|attempt| attempt.to_string()).collect::<Vec<_>>());
    assert_eq!(attempts(store.runs(Some(&one.id), 3).await.unwrap()), ["10", "11", "12"]);
    let all = store.runs(None, 2).await.unwrap();
    assert_eq!((&all[0], all[1].started_at, all.len()), (&newest, NOW, 2));
    assert_eq!(store.run(&run(&two, 2).id).await.unwrap(), None);
}

pub(crate) async fn what_was_worked_is_summed_up_newest_first(store: Arc<dyn Store>) {
    for (age, stage) in Stage::ALL.into_iter().enumerate() {
        let mut task = Task { updated_at: at(age as i64), kind: stage.as_str().into(), ..task(REPO, stage.as_str()) };
        let is_it = |state: &backlog::task::TaskState| state.stage() == stage;
        task.state = states(&task).into_iter().find(is_it).unwrap();
        let task = stored(&*store, task).await;
        let runs = [1, 2].map(|attempt| {
            let usage = backlog::run::Usage { cost_micro_usd: u64::from(attempt) * 100, ..Default::default() };
            backlog::run::Run { finished_at: Some(at(i64::from(attempt))), usage, ..run(&task, attempt) }
        });
        store.commit(Commit { runs: runs.to_vec(), ..Commit::default() }).await.unwrap();
    }
    let mut rejected = task(REPO, "rejected before any run");
    rejected.state = states(&rejected).into_iter().find(|state| state.stage() == Stage::Rejected).unwrap();
    stored(&*store, rejected).await;
    let worked = store.worked(0).await.unwrap();
    let lines: Vec<_> =
        worked.iter().map(|one| (one.kind.as_str(), one.merged, one.cost_micro_usd, one.millis)).collect();
    assert_eq!(lines, [("rejected", false, 300, 3_000), ("failed", false, 300, 3_000), ("done", true, 300, 3_000)]);
    assert_eq!(store.worked(1).await.unwrap(), worked[..1]);
}
