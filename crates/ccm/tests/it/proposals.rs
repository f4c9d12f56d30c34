//! What is proposed, where and when: cards or issues, caps, the load of reviews, quiet hours.

use std::time::Duration;

use backlog::approval::ContentHash;
use backlog::event::{Actor, Channel};
use backlog::task::Stage;
use pipeline::approve::{self, Decision};
use pipeline::propose::propose_next;
use pipeline::settings::Place;

use crate::story::Story;

const TEN_MINUTES: Duration = Duration::from_secs(600);
const HOUR: Duration = Duration::from_secs(3600);

/// A source file with so many things to do.
fn todos(count: usize) -> String {
    (0..count).map(|n| format!("def f{n}():\n    # TODO: give the function number {n} a body\n    pass\n\n")).collect()
}

async fn in_stage(t: &Story, stage: Stage) -> usize {
    t.tasks().await.iter().filter(|task| task.state.stage() == stage).count()
}

fn waits(t: &Story, repository: &str) -> Option<String> {
    t.ctx.proposing.waits(&repository.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_on_the_dashboard_writes_nothing_to_github_before_the_pull_request() {
    let mut t = Story::start().await;
    t.set(|settings| settings.proposals.place = Place::Dashboard).await;
    t.later(HOUR).await;
    assert_eq!(t.stage().await, Stage::Proposed);
    assert_eq!(t.writes(), Vec::<String>::new());
    let task = t.task().await;
    let seen: Option<ContentHash> = Some(approve::seen(&task));
    let by = Actor::person("maintainer", Channel::Dashboard);
    approve::decide(&t.ctx, &task.id, Decision::Approve(seen), by).await.unwrap();
    t.settle().await;
    assert_eq!(t.stage().await, Stage::InReview, "{}", t.timeline().await);
    let writes = t.writes();
    let (pushes, others): (Vec<_>, Vec<_>) = writes.iter().partition(|write| write.contains("git-receive-pack"));
    assert!(!pushes.is_empty(), "{writes:?}");
    assert_eq!(others, ["POST /repos/me/app/pulls"]);
    let pull = t.github.pulls().remove(0).issue;
    assert!(pull.body.as_deref().is_some_and(|body| body.contains("greet the world") && !body.contains("Closes")));
    t.github.merge(pull.number, "maintainer").await;
    t.later(HOUR).await;
    assert_eq!(t.stage().await, Stage::Done, "{}", t.timeline().await);
    t.end().await;
}

/// Three more repositories with so much to do, of which the last has the best.
async fn with_more(t: &Story) {
    for (name, tag) in [("me/one", "TODO"), ("me/three", "BUG"), ("me/two", "FIXME")] {
        t.github.repo(name).await;
        t.github.commit(name, "Begin", &[("app.py", todos(4).replace("TODO", tag).as_str())]).await;
    }
}

/// How many proposals are open in each.
async fn open(t: &Story) -> [usize; 4] {
    let open = t.tasks().await.into_iter().filter(|task| task.state.stage() == Stage::Proposed);
    let places: Vec<String> = open.map(|task| task.repository.to_string()).collect();
    ["me/app", "me/one", "me/two", "me/three"].map(|name| places.iter().filter(|place| *place == name).count())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_best_of_all_an_owners_repositories_take_its_places_whichever_was_looked_at_first() {
    let mut t = Story::start().await;
    t.set(|settings| settings.proposals.max_open_per_repository = 0).await;
    with_more(&t).await;
    t.later(HOUR).await;
    assert_eq!((in_stage(&t, Stage::Proposed).await, in_stage(&t, Stage::Found).await), (0, 13));
    assert!(waits(&t, "me/one").unwrap().starts_with("The settings allow no proposal here."), "the cap is 0");
    t.set(|settings| {
        settings.proposals.max_open_per_repository = 3;
        settings.proposals.max_open_per_owner = 5;
    })
    .await;
    // By name, so that the repository with the best tasks is looked at after two others.
    t.beat(Duration::ZERO).await;
    assert_eq!(open(&t).await[..2], [0, 0], "places are held back for what is not known yet");
    t.settle().await;
    assert_eq!(open(&t).await, [0, 0, 2, 3]);
    assert_eq!(
        waits(&t, "me/app").unwrap(),
        "The repositories of me have 5 open proposals, and no more may be. Decide about some, and the next ones come."
    );
    // A place that becomes free goes to the best that waits, at once and elsewhere.
    let writes = t.writes().len();
    t.later(HOUR).await;
    assert_eq!((t.writes().len(), open(&t).await), (writes, [0, 0, 2, 3]), "nothing more fits");
    t.clock.advance(TEN_MINUTES);
    t.github.comment(("me/two", 1), "maintainer", "/ccm reject");
    t.github.comment(("me/three", 1), "maintainer", "/ccm reject");
    t.beat(TEN_MINUTES).await;
    t.step().await;
    assert_eq!(open(&t).await, [0, 0, 2, 3], "the next ones of the same two: they have the best");
    assert_eq!(in_stage(&t, Stage::Rejected).await, 2);
    t.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_becomes_free_goes_at_once_to_the_best_that_waits_elsewhere() {
    let mut t = Story::start().await;
    t.github.repo("me/three").await;
    t.github.commit("me/three", "Begin", &[("app.py", todos(1).replace("TODO", "BUG").as_str())]).await;
    t.set(|settings| settings.proposals.max_open_per_owner = 1).await;
    t.settle().await;
    assert_eq!(open(&t).await, [0, 0, 0, 1]);
    t.clock.advance(TEN_MINUTES);
    t.github.comment(("me/three", 1), "maintainer", "/ccm reject");
    t.beat(TEN_MINUTES).await;
    t.step().await;
    assert_eq!(open(&t).await, [1, 0, 0, 0]);
    t.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_has_no_more_open_proposals_than_its_cap_whoever_proposes_at_once() {
    let mut t = Story::start().await;
    with_more(&t).await;
    t.set(|settings| settings.proposals.max_open_per_owner = 0).await;
    t.settle().await;
    let mut settings = (*t.ctx.settings()).clone();
    settings.proposals.max_open_per_owner = 6;
    t.ctx.set_settings(settings);
    let names = ["me/one", "me/two", "me/three"].map(|name| name.parse().unwrap());
    for done in futures::future::join_all(names.iter().map(|name| propose_next(&t.ctx, name))).await {
        done.unwrap();
    }
    assert_eq!((in_stage(&t, Stage::Proposed).await, open(&t).await), (6, [0, 0, 2, 4]));
    t.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_is_parked_holds_no_places_back() {
    let mut t = Story::start().await;
    with_more(&t).await;
    t.github.commit("me/three", "Break it", &[(".github/ccm.toml", "checks = 3\n")]).await;
    t.set(|settings| settings.proposals.max_open_per_owner = 5).await;
    t.settle().await;
    let open = open(&t).await;
    assert_eq!((open.iter().sum::<usize>(), open[3]), (5, 0), "{open:?}");
    t.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_new_is_proposed_while_enough_pull_requests_wait_for_people() {
    let mut t = Story::start().await;
    t.set(|settings| settings.proposals.max_open_pulls_per_repository = 1).await;
    t.settle().await;
    t.github.comment(1, "maintainer", "/ccm approve");
    t.settle().await;
    t.github.commit("me/app", "More to do", &[("more.py", todos(1).as_str())]).await;
    t.later(HOUR).await;
    assert_eq!((in_stage(&t, Stage::InReview).await, in_stage(&t, Stage::Found).await), (1, 1));
    let why = waits(&t, "me/app").unwrap();
    assert!(why.starts_with("1 pull request waits for people, and no more may here."), "{why}");
    let pull = t.github.pulls()[0].issue.number;
    t.github.merge(pull, "maintainer").await;
    t.later(HOUR).await;
    assert_eq!((in_stage(&t, Stage::Proposed).await, waits(&t, "me/app")), (1, None));
    t.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn quiet_hours_hold_back_what_nobody_asked_for_and_nothing_else() {
    let mut t = Story::start().await;
    t.settle().await;
    // A story begins at one o'clock in Berlin.
    t.set(|settings| {
        settings.proposals.quiet_hours = Some("01:00-07:00".parse().unwrap());
        settings.proposals.time_zone = "Europe/Berlin".parse().unwrap();
    })
    .await;
    t.github.commit("me/app", "More to do", &[("more.py", todos(2).as_str())]).await;
    t.later(HOUR).await;
    assert_eq!(waits(&t, "me/app").unwrap(), "Quiet hours: nothing is proposed before 2026-01-01T06:00:00Z.");
    let before = t.writes().len();
    t.github.commit("me/app", "Do it by hand", &[("app.py", "def greet():\n    pass\n")]).await;
    t.later(HOUR).await;
    assert_eq!((in_stage(&t, Stage::Obsolete).await, t.writes().len()), (1, before));
    assert!(t.github.issue(1).open);
    for _ in 0..5 * 60 {
        t.beat(Duration::from_secs(60)).await;
    }
    assert!(!t.github.issue(1).open);
    assert_eq!((in_stage(&t, Stage::Proposed).await, waits(&t, "me/app")), (2, None));
    t.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_asked_for_is_done_in_quiet_hours_too() {
    let mut t = Story::start().await;
    t.settle().await;
    t.set(|settings| settings.proposals.quiet_hours = Some("00:00-23:00".parse().unwrap())).await;
    t.clock.advance(Duration::from_secs(60));
    t.github.comment(1, "maintainer", "/ccm approve");
    t.settle().await;
    assert_eq!(t.stage().await, Stage::InReview, "{}", t.timeline().await);
    t.end().await;
}
