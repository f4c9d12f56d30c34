//! Who wrote what is proposed and when, and by when it is to be done.

use std::time::Duration;

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
