use testkit::github::Fault;

use super::super::tests::{World, app, draft, seconds};
use crate::{Forge as _, OpenIssue};

fn lines(issues: &[OpenIssue]) -> Vec<String> {
    let line = |one: &OpenIssue| {
        let OpenIssue { issue, author, reactions, replies, .. } = one;
        format!("{} {author} {} +{reactions} {replies}", issue.link.number, one.labels.join(","))
    };
    issues.iter().map(line).collect()
}

#[tokio::test]
async fn open_issues_come_with_labels_replies_and_reactions() {
    let world = World::new().await;
    world.fake.open_issue("ann", "Slow", "It is slow.");
    world.fake.label(1, "perf", "ann");
    world.fake.react(1, 3);
    world.fake.comment(1, "bob", "Here too.");
    world.fake.open_issue("bob", "Done", "");
    world.fake.close(2, "bob");
    world.fake.open_issue("bob", "Crash", "");
    let github = world.github();
    for _ in 0..2 {
        assert_eq!(lines(&github.open_issues(&app(), &[]).await.unwrap()), ["1 ann perf +3 1", "3 bob  +0 0"]);
        let labelled = github.open_issues(&app(), &["perf".to_owned()]).await.unwrap();
        assert_eq!(lines(&labelled), ["1 ann perf +3 1"]);
        assert_eq!(labelled[0].issue, github.issue(&labelled[0].issue.link).await.unwrap());
        // The second time by the list.
        world.fake.fail(Fault::status(403, "no").on("POST /graphql").forever());
    }
    world.fair();
}

#[tokio::test]
async fn programs_and_commands_have_no_word_in_an_issue() {
    let world = World::new().await;
    let github = world.github();
    github.ensure_issue(&draft()).await.unwrap();
    let opened = world.fake.open_issue("ann", "Slow", "");
    let last_word = async || github.open_issues(&app(), &[]).await.unwrap()[1].last_word;
    let mut at = vec![last_word().await];
    for (by, text) in [("stale[bot]", "Stale."), ("ann", "/ccm approve"), ("bob", "Still slow.")] {
        world.clock.advance(seconds(60));
        world.fake.comment(opened, by, text);
        at.push(last_word().await);
    }
    world.clock.advance(seconds(60));
    let link = github.open_issues(&app(), &[]).await.unwrap()[1].issue.link.clone();
    github.ensure_comment(&link, &super::super::tests::task(), "status", "Proposed.").await.unwrap();
    at.push(last_word().await);
    assert!(at[0] == at[1] && at[1] == at[2] && at[2] < at[3] && at[3] == at[4], "{at:?}");
    let ours: Vec<bool> = github.open_issues(&app(), &[]).await.unwrap().iter().map(|one| one.ours).collect();
    assert_eq!(ours, [true, false]);
    world.fair();
}

#[tokio::test]
async fn many_issues_are_read_by_pages_and_not_without_end() {
    let world = World::new().await;
    for n in 0..1_030 {
        world.clock.advance(seconds(1));
        world.fake.open_issue("ann", &format!("Issue {n}"), "");
    }
    let found = world.github().open_issues(&app(), &[]).await.unwrap();
    assert_eq!((found.len(), found[999].issue.title.as_str()), (1_000, "Issue 999"));
    assert_eq!(world.count("POST /graphql"), 40);
    world.fair();
}
