use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::sample::{NOW, finding, repo, task};

fn days(n: i64) -> Timestamp {
    Timestamp(NOW.0 + n * 86_400_000)
}

/// What is expected after so many tasks, so many of them merged.
fn expected(merged: usize, tasks: usize) -> Expected {
    Expected { cost_micro_usd: 420_000, millis: 60_000, merged, tasks, like: "todo".to_owned() }
}

fn reasons(task: &Task, now: Timestamp) -> String {
    let score = score(task, &RankPolicy::default(), None, now);
    let parts: Vec<String> =
        score.reasons.iter().map(|reason| format!("{:+} {}", reason.points, reason.name)).collect();
    format!("{} = {}", score.points, parts.join(", "))
}

#[test]
fn a_score_comes_with_its_reasons() {
    let old = Task::of_finding(
        crate::finding::Finding { written_on: Some(Day::of(days(-300))), ..finding("FIXME", "sort the menu again") },
        NOW,
    );
    let linked =
        Task::of_finding(crate::finding::Finding { issue: Some(12), ..finding("TODO", "sort the whole menu") }, NOW);
    let tested =
        crate::finding::Finding { path: "tests/cart.rs".to_owned(), ..finding("XXX", "wait for the server here") };
    let person = Task::of_person(repo(), "Sort the menu by name".to_owned(), String::new(), NOW);
    let of_source = |source: Source, kind: &str, interest| {
        let kind = kind.to_owned();
        let issue = Some(12);
        Task::of_finding(crate::finding::Finding { source, kind, issue, interest, ..finding("", "sort the menu") }, NOW)
    };
    let lines = [
        reasons(&task("TODO", "sort the menu"), NOW),
        reasons(&task("TODO", "fix"), NOW),
        reasons(&task("BUG", "crash when the cart is empty, urgent"), NOW),
        reasons(&task("HACK", "trace the embrace"), NOW),
        reasons(&old, NOW),
        reasons(&old, days(1)),
        reasons(&old, days(65)),
        reasons(&task("FIXME", "sort the menu"), days(1)),
        reasons(&linked, NOW),
        reasons(&Task::of_finding(tested, NOW), NOW),
        reasons(&person, NOW),
        reasons(&of_source(Source::StaleIssue, "", 500), NOW),
        reasons(&of_source(Source::IssueLabel, "agent", 3), NOW),
        reasons(&of_source(Source::SecurityAlert, "dependabot critical", 0), NOW),
    ];
    insta::assert_snapshot!(lines.join("\n"), @r#"
    30 = +30 todo TODO
    15 = +30 todo TODO, -15 says little
    110 = +55 todo BUG, +25 urgent: says "urgent", +30 removes risk: says "crash"
    35 = +35 todo HACK
    91 = +50 todo FIXME, +41 waiting 300 days
    91 = +50 todo FIXME, +41 waiting 301 days
    100 = +50 todo FIXME, +50 waiting 365 days
    50 = +50 todo FIXME
    15 = +30 todo TODO, +5 names an issue, -20 large: says "whole"
    30 = +40 todo XXX, -10 in test code
    100 = +100 a person asks for it
    65 = +25 stale-issue, +40 500 reactions and replies
    66 = +60 issue-label agent, +6 3 reactions and replies
    125 = +120 security-alert dependabot critical, +5 names an issue
    "#);
}

#[rstest]
#[case(-400, "+40 overdue since 2025-12-11")]
#[case(-1, "+40 overdue since 2027-01-14")]
#[case(0, "+20 due on 2027-01-15")]
#[case(30, "+20 due on 2027-02-14")]
#[case(31, "")]
fn a_date_counts_from_thirty_days_before(#[case] until: i64, #[case] expected: &str) {
    let with = |due| crate::finding::Finding { due: Some(due), ..finding("FIXME", "sort the menu again") };
    let far = Day::of(days(1_000));
    let task = task("FIXME", "sort").about(vec![with(far), with(Day::of(days(until)))]);
    let expected = if expected.is_empty() { "50 = +50 todo FIXME".to_owned() } else { expected.to_owned() };
    assert!(reasons(&task, NOW).contains(&expected), "the earliest counts: {}", reasons(&task, NOW));
}

#[test]
fn a_score_changes_when_the_day_does() {
    let with = |day| crate::finding::Finding { due: Some(Day::of(days(day))), ..finding("FIXME", "sort the menu") };
    let task = Task::of_finding(with(31), NOW);
    let unaged = |now| score(&task, &RankPolicy { ageing: 0, ..RankPolicy::default() }, None, now).points;
    let points: Vec<i64> = [0, 1, 31, 32].map(|day| unaged(days(day))).into();
    assert_eq!(points, [50, 70, 70, 90]);
}

#[rstest]
#[case("src/cart.rs", false)]
#[case("src/contest.rs", false)]
#[case("src/latest/cart.rs", false)]
#[case("", false)]
#[case("tests/cart.rs", true)]
#[case("src/cart/tests.rs", true)]
#[case("pkg/cart_test.go", true)]
#[case("test_cart.py", true)]
#[case("web/cart.test.ts", true)]
#[case("web/cart.spec.ts", true)]
#[case("web/__tests__/cart.ts", true)]
fn test_code_is_known_by_its_path(#[case] path: &str, #[case] expected: bool) {
    assert_eq!(is_test_path(path), expected, "{path}");
}

#[rstest]
#[case("a data race", "race", true)]
#[case("data_race", "race", true)]
#[case("races", "race", true)]
#[case("trace", "race", false)]
#[case("trace and race", "race", true)]
#[case("grüße-race", "race", true)]
fn a_word_counts_from_its_beginning(#[case] text: &str, #[case] word: &str, #[case] expected: bool) {
    assert_eq!(says(text, word), expected, "{text}");
}

#[test]
fn waiting_doubles_the_points_in_a_year_and_then_stops() {
    let task = task("FIXME", "sort the menu");
    let points = |now, ageing| score(&task, &RankPolicy { ageing, ..RankPolicy::default() }, None, now).points;
    assert_eq!(points(NOW, 100), 50);
    assert_eq!(points(days(-10), 100), 50);
    assert_eq!(points(days(365), 100), 100);
    assert_eq!(points(days(20_000), 100), 100);
    assert_eq!(points(days(365), 50), 75);
    assert_eq!(points(days(365), 1_000_000), 100);
}

#[test]
fn a_weight_of_zero_switches_its_part_off() {
    let task = task("FIXME", "rewrite this before release, it may crash");
    let expected = expected(5, 6);
    let names = |policy: &RankPolicy| -> Vec<String> {
        score(&task, policy, Some(&expected), days(30)).reasons.into_iter().map(|reason| reason.name).collect()
    };
    let all = RankPolicy::default();
    let parts = [
        (RankPolicy { value: 0, ..all }, "todo FIXME"),
        (RankPolicy { urgency: 0, ..all }, "urgent: says \"before release\""),
        (RankPolicy { risk: 0, ..all }, "removes risk: says \"crash\""),
        (RankPolicy { effort: 0, ..all }, "large: says \"rewrite\""),
        (RankPolicy { experience: 0, ..all }, "5 of 6 like it were merged"),
        (RankPolicy { ageing: 0, ..all }, "waiting 30 days"),
    ];
    for (policy, part) in &parts {
        let kept = names(policy);
        assert!(names(&all).iter().any(|name| name == part), "{part}");
        assert!(!kept.iter().any(|name| name == part), "{part} is in {kept:?}");
        assert_eq!(kept.len(), parts.len() - 1);
    }
    let nothing = RankPolicy { value: 0, urgency: 0, risk: 0, effort: 0, experience: 0, ageing: 0 };
    assert_eq!(score(&task, &nothing, Some(&expected), days(30)), Score::default());
}

#[rstest]
#[case(0, 5, -20)]
#[case(1, 4, -10)]
#[case(3, 6, 0)]
#[case(9, 12, 10)]
#[case(50, 50, 20)]
fn what_went_well_before_comes_earlier(#[case] merged: usize, #[case] tasks: usize, #[case] points: i64) {
    let task = task("FIXME", "sort the menu again");
    let scored = score(&task, &RankPolicy::default(), Some(&expected(merged, tasks)), NOW);
    assert_eq!(scored.points, 50 + points);
    let said = scored.reasons.iter().map(|reason| reason.name.as_str()).nth(1);
    assert_eq!(said, (points != 0).then_some(format!("{merged} of {tasks} like it were merged")).as_deref());
}

#[test]
fn weights_are_read_strictly() {
    let policy: RankPolicy = serde_json::from_str(r#"{"risk": 0}"#).unwrap();
    assert_eq!(policy, RankPolicy { risk: 0, ..RankPolicy::default() });
    assert!(serde_json::from_str::<RankPolicy>(r#"{"risks": 0}"#).is_err());
}

#[test]
fn the_rules_say_what_the_score_does() {
    let policy = RankPolicy { risk: 50, ageing: 300, ..RankPolicy::default() };
    let all = rules(&policy);
    let points = |begins: &str| all.iter().find(|rule| rule.what.starts_with(begins)).unwrap().points.clone();
    assert_eq!(points("a comment FIXME"), "+50");
    assert_eq!(points("a word of risk that goes away: security, "), "+15");
    assert_eq!(
        (points("sounds large"), points("how many"), points("waiting")),
        ("-20".to_owned(), "-20 to +20".to_owned(), "up to +100 %".to_owned())
    );
    let weights: std::collections::BTreeSet<&str> = all.iter().map(|rule| rule.weight).collect();
    let keys = serde_json::to_value(policy).unwrap();
    let keys: std::collections::BTreeSet<&str> = keys.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(weights, keys, "every weight has a rule, and every rule a weight");
}

proptest! {
    #[test]
    fn the_reasons_add_up(
        text in "(urgent|crash|race|rewrite|menu|a| ){0,8}",
        kind in "(TODO|FIXME|HACK|XXX|BUG)",
        written in prop::option::of(any::<i64>()),
        due in prop::option::of(any::<i64>()),
        weights in any::<[u32; 6]>(),
        merged in prop::option::of(0usize..=50),
        now in any::<i64>(),
    ) {
        let [value, urgency, risk, effort, experience, ageing] = weights;
        let expected = merged.map(|merged| expected(merged, 50));
        let policy = RankPolicy { value, urgency, risk, effort, experience, ageing };
        let written_on = written.map(|at| Day::of(Timestamp(at)));
        let due = due.map(|at| Day::of(Timestamp(at)));
        let task = Task::of_finding(crate::finding::Finding { written_on, due, ..finding(&kind, &text) }, NOW);
        let score = score(&task, &policy, expected.as_ref(), Timestamp(now));
        prop_assert_eq!(score.points, score.reasons.iter().map(|reason| reason.points).sum::<i64>());
        let unaged = super::score(&task, &RankPolicy { ageing: 0, ..policy }, expected.as_ref(), Timestamp(now)).points;
        prop_assert!(score.points >= unaged && score.points <= unaged.max(unaged.saturating_mul(2)));
    }
}
