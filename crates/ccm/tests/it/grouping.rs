//! Proposals that are kept in step with the code: several comments of one function, moved lines.

use std::time::Duration;

use backlog::task::Stage;

use crate::story::{SOURCE, Story};

const HOUR: Duration = Duration::from_secs(3600);

const TWO: &str = "def greet(name):\n    # TODO: greet the world when there is no name\n    \
    # FIXME: say the name in capital letters\n    return 'Hello ' + name\n";

fn body(t: &Story) -> String {
    t.github.issue(1).body.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_comments_of_one_function_are_one_proposal_that_shrinks_and_closes() {
    let t = Story::start().await;
    t.github.commit("me/app", "Ask for more", &[("app.py", TWO)]).await;
    t.settle().await;
    let task = t.task().await;
    assert_eq!((task.members().count(), t.github.issues().len()), (2, 1));
    assert!(t.github.issue(1).title.ends_with(" (and 1 more)"), "{}", t.github.issue(1).title);
    assert!(body(&t).contains("line 2") && body(&t).contains("line 3") && body(&t).contains("capital letters"));

    // The one that the task is named after goes.
    t.github.commit("me/app", "Do a part by hand", &[("app.py", &TWO.replace("TODO", "Note"))]).await;
    t.later(HOUR).await;
    let left = t.task().await;
    assert_eq!((&left.id, left.members().count(), left.state.stage()), (&task.id, 1, Stage::Proposed));
    assert_eq!(t.github.issue(1).title, "FIXME: say the name in capital letters");
    assert!(!body(&t).contains("greet the world") && body(&t).contains("<!-- ccm:v1 "), "{}", body(&t));

    t.github.commit("me/app", "Do the rest", &[("app.py", "def greet(name):\n    return name.upper()\n")]).await;
    t.later(HOUR).await;
    assert_eq!((t.stage().await, t.github.issue(1).open), (Stage::Obsolete, false));
    t.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_worked_as_one_task() {
    let t = Story::start().await;
    t.github.commit("me/app", "Ask for more", &[("app.py", TWO)]).await;
    t.agent("grep -q 'greet the world' \"$HOME/prompt\"\ngrep -q 'capital letters' \"$HOME/prompt\"\nsed -i '/TODO/d;/FIXME/d' app.py");
    t.settle().await;
    t.github.comment(1, "maintainer", "/ccm approve");
    t.settle().await;
    assert_eq!(t.stage().await, Stage::InReview, "{}", t.timeline().await);
    t.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proposal_follows_moved_lines_and_an_approval_of_it_holds() {
    let t = Story::start().await;
    t.settle().await;
    assert!(body(&t).contains("line 2,"), "{}", body(&t));
    t.github.commit("me/app", "Move it", &[("app.py", &format!("import os\n\n{SOURCE}"))]).await;
    t.later(HOUR).await;
    assert!(body(&t).contains("line 4,"), "{}", body(&t));
    let writes = t.writes().len();
    t.later(HOUR).await;
    assert_eq!(t.writes().len(), writes, "it is written once");
    // The approval came before the lines moved once more, and is read after.
    t.github.comment(1, "maintainer", "/ccm approve");
    t.github.commit("me/app", "Move it again", &[("app.py", &format!("import os\nimport sys\n\n{SOURCE}"))]).await;
    t.later(HOUR).await;
    assert_eq!(t.stage().await, Stage::InReview, "{}", t.timeline().await);
    assert!(body(&t).contains("line 4,"), "what was approved stands: {}", body(&t));
    assert!(!t.timeline().await.contains("the text of the proposal changed"), "{}", t.timeline().await);
    t.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_a_person_has_edited_is_never_written_over() {
    let t = Story::start().await;
    t.settle().await;
    t.clock.advance(HOUR);
    t.github.edit_issue(1, "maintainer", Some("Greet the world"), Some("Greet everybody instead."));
    t.github.commit("me/app", "Move it", &[("app.py", &format!("import os\n\n{SOURCE}"))]).await;
    t.later(HOUR).await;
    assert!(body(&t).starts_with("Greet everybody instead."), "{}", body(&t));
    assert_eq!((t.stage().await, t.task().await.finding.unwrap().line), (Stage::Proposed, 4));
    t.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_equal_comments_the_second_is_left_when_the_first_is_merged() {
    let t = Story::start().await;
    let equal = "# TODO: greet the world when there is no name\n";
    t.github.commit("me/app", "Ask once more", &[("more.py", equal)]).await;
    t.agent("sed -i '/TODO/d' app.py");
    t.settle().await;
    assert_eq!(t.github.issues().len(), 2);
    let first = if body(&t).contains("app.py") { 1 } else { 2 };
    t.github.comment(first, "maintainer", "/ccm approve");
    t.settle().await;
    t.github.merge(3, "maintainer").await;
    t.later(HOUR).await;
    let stages: Vec<Stage> = t.tasks().await.iter().map(|task| task.state.stage()).collect();
    assert!(stages.contains(&Stage::Done) && stages.contains(&Stage::Proposed), "{stages:?}");
    let left = t.github.issue(3 - first);
    assert!(left.open && left.body.unwrap().contains("more.py"));
    t.end().await;
}
