//! What past tasks say about the next one.

use std::time::Duration;

use backlog::task::Stage;
use pipeline::rank;

use crate::story::Story;

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test(flavor = "multi_thread")]
async fn after_five_ended_tasks_the_next_has_a_price_a_time_and_a_chance() {
    let mut t = Story::start().await;
    t.set(|settings| {
        settings.proposals.max_open_per_repository = 10;
        settings.limits.runs_per_repository = 1;
    })
    .await;
    t.github.commit("me/app", "Begin anew", &[("app.py", "")]).await;
    t.agent("file=$(grep -o 'todo[0-9].py' \"$HOME/prompt\" | head -1)\nsed -i '/TODO/d' $file");
    for n in 1..=5 {
        let path = format!("todo{n}.py");
        t.github.commit("me/app", "More", &[(path.as_str(), &format!("# TODO: write the part number {n}\n"))]).await;
        t.later(HOUR).await;
        assert_eq!(rank::expectations(&t.ctx).await.unwrap().all().count(), 0, "after {} tasks", n - 1);
        let issue = t.github.issues().last().unwrap().number;
        t.github.comment(issue, "maintainer", "/ccm approve");
        t.settle().await;
        let pull = t.github.pulls().last().unwrap().issue.number;
        if n == 5 {
            t.github.close(pull, "maintainer");
        } else {
            t.github.merge(pull, "maintainer").await;
        }
        t.later(HOUR).await;
    }
    t.github.commit("me/app", "More", &[("todo6.py", "# TODO: write the last part\n")]).await;
    t.later(2 * HOUR).await;
    let task = t.tasks().await.into_iter().find(|task| task.state.stage() == Stage::Proposed).unwrap();
    let reasons: Vec<String> =
        task.score.reasons.iter().map(|reason| format!("{:+} {}", reason.points, reason.name)).collect();
    assert_eq!(reasons, ["+30 todo TODO", "+12 4 of 5 like it were merged"]);
    let body = t.github.issues().last().unwrap().body.clone().unwrap();
    assert!(body.contains("4 of the last 5 tasks of todo TODO were merged."), "{body}");
    t.end().await;
}
