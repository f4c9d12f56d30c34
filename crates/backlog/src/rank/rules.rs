//! The rules of ranking as a person reads them.

use super::{
    EXPERIENCE_POINTS, INTEREST_POINTS, ISSUE_POINTS, LARGE, LARGE_POINTS, MOST_INTEREST, OVERDUE_POINTS, RISKY,
    RISKY_POINTS, RankPolicy, SOON_DAYS, SOON_POINTS, TERSE_POINTS, TEST_POINTS, URGENT, URGENT_POINTS, value_of,
};
use crate::finding::Source;

/// One rule: what it looks at, and what it adds or takes away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The key of its weight in `[rank]`.
    pub weight: &'static str,
    /// The weight in force, in percent.
    pub percent: u32,
    /// What it looks at, in words.
    pub what: String,
    /// The points at that weight, such as `+25` or `-20 to +20`.
    pub points: String,
}

/// Every rule in the order in which a score lists its reasons, at the weights of `policy`.
#[must_use]
pub fn rules(policy: &RankPolicy) -> Vec<Rule> {
    let weighed = |points: i64, percent: u32| points * i64::from(percent) / 100;
    let rule = |weight, percent, what: String, points: i64| {
        let points = format!("{:+}", weighed(points, percent));
        Rule { weight, percent, what, points }
    };
    let words = |what: &str, words: &[&str]| format!("{what}: {}", words.join(", "));
    let mut rules: Vec<Rule> = kinds()
        .into_iter()
        .map(|(source, kind, what)| rule("value", policy.value, what.to_owned(), value_of(&source, kind)))
        .collect();
    rules.extend([
        rule("urgency", policy.urgency, words("a word of urgency", URGENT), URGENT_POINTS),
        rule(
            "urgency",
            policy.urgency,
            "overdue: a date that it names, as in TODO: due 2027-01-31, has passed".to_owned(),
            OVERDUE_POINTS,
        ),
        rule(
            "urgency",
            policy.urgency,
            format!("due: such a date is today or in the next {SOON_DAYS} days"),
            SOON_POINTS,
        ),
        rule("risk", policy.risk, words("a word of risk that goes away", RISKY), RISKY_POINTS),
        rule("value", policy.value, "names an issue, as in TODO(#12)".to_owned(), ISSUE_POINTS),
        Rule {
            weight: "value",
            percent: policy.value,
            what: "reactions to an issue and replies in it".to_owned(),
            points: format!("up to {:+}", weighed(INTEREST_POINTS * MOST_INTEREST, policy.value)),
        },
        rule("effort", policy.effort, "says less than three words".to_owned(), TERSE_POINTS),
        rule("effort", policy.effort, words("sounds large", LARGE), LARGE_POINTS),
        rule("value", policy.value, "is in test code".to_owned(), TEST_POINTS),
    ]);
    let most = weighed(EXPERIENCE_POINTS, policy.experience);
    rules.push(Rule {
        weight: "experience",
        percent: policy.experience,
        what: "how many tasks like it were merged here, once at least five have ended".to_owned(),
        points: format!("{:+} to {most:+}", -most),
    });
    rules.push(Rule {
        weight: "ageing",
        percent: policy.ageing,
        what: "waiting: its age in days, of at most a year, times the points above".to_owned(),
        points: format!("up to +{} %", policy.ageing.min(100)),
    });
    rules
}

/// Every source and kind that has points of its own, the most valuable first.
fn kinds() -> Vec<(Source, &'static str, &'static str)> {
    let mut kinds = vec![
        (Source::Person, "", "a person asks for it"),
        (Source::SecurityAlert, "critical", "a critical security alert"),
        (Source::SecurityAlert, "", "another security alert"),
        (Source::SecurityAlert, "medium", "a security alert of medium severity"),
        (Source::SecurityAlert, "low", "a security alert of low severity"),
        (Source::Ci, "", "the default branch is red"),
        (Source::IssueLabel, "", "an issue with a label that the settings name"),
        (Source::Todo, "BUG", "a comment BUG"),
        (Source::Todo, "FIXME", "a comment FIXME"),
        (Source::Todo, "XXX", "a comment XXX"),
        (Source::Dependency, "", "an outdated dependency"),
        (Source::Sarif(String::new()), "", "what a tool reports in SARIF"),
        (Source::Todo, "HACK", "a comment HACK"),
        (Source::Todo, "TODO", "another comment that asks for work"),
        (Source::Hotspot, "", "complex and much-changed code"),
        (Source::StaleIssue, "", "an issue nobody has touched for long"),
    ];
    kinds.sort_by_key(|(source, kind, _)| std::cmp::Reverse(value_of(source, kind)));
    kinds
}
