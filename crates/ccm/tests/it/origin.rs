//! Who wrote what is proposed and when, and by when it is to be done.

use std::time::Duration;

use backlog::task::Stage;
use testkit::github::Fault;

use crate::story::{SOURCE, Story};

const DAY: Duration = Duration::from_secs(86_400);

fn body(t: &Story) -> String {
    t.github.issue(1).body.unwrap()
}

/// The reasons of the only task that say something about a date.
async fn dates(t: &Story) -> Vec<(String, i64)> {
    let reasons = t.task().await.score.reasons.into_iter();
    let about = |name: &str| name.starts_with("due") || name.starts_with("overdue");
    reasons.filter(|reason| about(&reason.name)).map(|reason| (reason.name, reason.points)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_date_is_shown_and_counts_more_as_it_comes_and_passes() {
    let t = Story::start().await;
    let dated = SOURCE.replace("TODO:", "TODO(2026-03-01):");
    t.github.commit("me/app", "Name a date", &[("app.py", &dated)]).await;
    t.settle().await;
    assert!(body(&t).contains(", due 2026-03-01:"), "{}", body(&t));
    assert_eq!(dates(&t).await, []);
    let written = t.writes().len();
    for (days, expected) in
        [(30, "due on 2026-03-01 +20"), (29, "due on 2026-03-01 +20"), (1, "overdue since 2026-03-01 +40")]
    {
        t.later(DAY * days).await;
        let [(name, points)] = &dates(&t).await[..] else { panic!("{:?}", dates(&t).await) };
        assert_eq!(format!("{name} {points:+}"), expected);
    }
    assert_eq!(t.writes().len(), written, "points alone are no reason to write");
    t.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proposal_names_who_wrote_the_comment_and_when_for_one_request() {
    let t = Story::start().await;
    t.clock.advance(DAY * 400);
    let two = format!("{SOURCE}\n\ndef part():\n    # FIXME: say goodbye in the language of the guest\n    pass\n");
    t.github.commit("me/app", "Ask for more", &[("app.py", &two)]).await;
    t.settle().await;
    let issue = |n| t.github.issue(n).body.unwrap();
    let (old, new) = if issue(1).contains("greet the world") { (issue(1), issue(2)) } else { (issue(2), issue(1)) };
    assert!(old.contains("line 2, written by `me` on 2026-01-01:") && old.contains("waiting 400 days"), "{old}");
    assert!(new.contains("line 7, written by `me` on 2027-02-05:") && !new.contains("waiting"), "{new}");
    assert_eq!(t.github.blames(), 1, "both comments are asked for together");
    // Moved lines keep it; nothing is asked for again.
    t.github.commit("me/app", "Move it", &[("app.py", &format!("import os\n\n{two}"))]).await;
    t.later(DAY).await;
    let issues = [issue(1), issue(2)].concat();
    assert!(issues.contains("line 4, written by `me` on 2026-01-01:"), "{issues}");
    assert_eq!((t.github.blames(), t.tasks().await.len()), (1, 2));
    t.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proposal_does_not_wait_for_who_wrote_the_comment() {
    let t = Story::start().await;
    t.github.fail(Fault::status(403, "Resource not accessible by personal access token").on("POST /graphql").forever());
    t.settle().await;
    assert_eq!((t.stage().await, t.github.blames()), (Stage::Proposed, 0));
    assert!(body(&t).contains("In `app.py`, line 2:"), "{}", body(&t));
    t.end().await;
}
