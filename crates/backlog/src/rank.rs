//! Why this task comes before that one.

mod rules;
#[cfg(test)]
mod tests;

pub use rules::{Rule, rules};

use serde::{Deserialize, Serialize};

use crate::expect::Expected;
use crate::finding::Source;
use crate::task::Task;
use crate::time::{Day, Timestamp};

/// One part of a score.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// What it is, in a few words: `todo FIXME`, `removes risk: says "crash"`, `waiting 90 days`.
    pub name: String,
    /// What it adds (or, negative, takes away).
    pub points: i64,
}

/// A score and its reasons, which add up to it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Score {
    /// The sum; more is earlier.
    pub points: i64,
    /// The parts.
    pub reasons: Vec<Reason>,
}

/// The weights of ranking, in percent of their default effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RankPolicy {
    /// What the work is worth, by source and kind.
    pub value: u32,
    /// Words and dates that say it is urgent.
    pub urgency: u32,
    /// Risk that goes away with it: security, data loss, races.
    pub risk: u32,
    /// What it is likely to cost; subtracts.
    pub effort: u32,
    /// How well such tasks went here before, once there are enough of them.
    pub experience: u32,
    /// How much waiting counts: at 100, a task doubles its points in a year and then grows no more.
    pub ageing: u32,
}

impl Default for RankPolicy {
    fn default() -> Self {
        Self { value: 100, urgency: 100, risk: 100, effort: 100, experience: 100, ageing: 100 }
    }
}

const URGENT: &[&str] = &["urgent", "asap", "before release", "blocker", "broken", "regression", "deadline"];
const RISKY: &[&str] = &[
    "security",
    "vulnerab",
    "injection",
    "unsafe",
    "overflow",
    "data loss",
    "corrupt",
    "race",
    "deadlock",
    "leak",
    "crash",
    "panic",
    "password",
    "secret",
];
const LARGE: &[&str] = &["rewrite", "redesign", "refactor", "everything", "whole", "migrate", "architecture"];

/// Points for a word of [`URGENT`], of [`RISKY`], of [`LARGE`].
const URGENT_POINTS: i64 = 25;
const RISKY_POINTS: i64 = 30;
const LARGE_POINTS: i64 = -20;
/// Points for a date that has passed, and for one within the next [`SOON_DAYS`].
const OVERDUE_POINTS: i64 = 40;
const SOON_POINTS: i64 = 20;
const SOON_DAYS: u64 = 30;
/// Points for naming an issue, for fewer than three words, for being in test code.
const ISSUE_POINTS: i64 = 5;
const TERSE_POINTS: i64 = -15;
const TEST_POINTS: i64 = -10;
/// Points for each reaction and reply, and how many of them count.
const INTEREST_POINTS: i64 = 2;
const MOST_INTEREST: i64 = 20;
/// Points when all tasks like it were merged; taken away when none was.
const EXPERIENCE_POINTS: i64 = 20;

/// Scores a task as seen at `now`; `expected` is what past tasks say about one like it.
#[must_use]
pub fn score(task: &Task, policy: &RankPolicy, expected: Option<&Expected>, now: Timestamp) -> Score {
    let text = format!("{} {}", task.title, task.body).to_lowercase();
    let mut reasons = Vec::new();
    let mut add = |name: String, points: i64, weight: u32| {
        let points = points * i64::from(weight) / 100;
        if points != 0 {
            reasons.push(Reason { name, points });
        }
    };
    let what = match task.source {
        Source::Person => "a person asks for it".to_owned(),
        _ => format!("{} {}", task.source, task.kind).trim().to_owned(),
    };
    add(what, value_of(&task.source, &task.kind), policy.value);
    if let Some(word) = URGENT.iter().find(|word| says(&text, word)) {
        add(format!("urgent: says \"{word}\""), URGENT_POINTS, policy.urgency);
    }
    if let Some((name, points)) = task.due().and_then(|due| urgency(due, Day::of(now))) {
        add(name, points, policy.urgency);
    }
    if let Some(word) = RISKY.iter().find(|word| says(&text, word)) {
        add(format!("removes risk: says \"{word}\""), RISKY_POINTS, policy.risk);
    }
    if task.born_of().is_none() && task.finding.as_ref().is_some_and(|finding| finding.issue.is_some()) {
        add("names an issue".to_owned(), ISSUE_POINTS, policy.value);
    }
    let interest = task.finding.as_ref().map_or(0, |finding| finding.interest);
    if interest > 0 {
        let points = i64::try_from(interest).unwrap_or(MOST_INTEREST).min(MOST_INTEREST) * INTEREST_POINTS;
        add(format!("{interest} reactions and replies"), points, policy.value);
    }
    // A person often says all in the title.
    let words = task.body.split_whitespace().count().max(task.title.split_whitespace().count());
    if words < 3 {
        add("says little".to_owned(), TERSE_POINTS, policy.effort);
    }
    if let Some(word) = LARGE.iter().find(|word| says(&text, word)) {
        add(format!("large: says \"{word}\""), LARGE_POINTS, policy.effort);
    }
    if is_test_path(task.finding.as_ref().map_or("", |finding| finding.path.as_str())) {
        add("in test code".to_owned(), TEST_POINTS, policy.value);
    }
    if let Some(Expected { merged, tasks, .. }) = expected {
        // From 0 to 50 tasks, see `expect`: no overflow.
        let (merged, tasks) = (*merged as i64, (*tasks).max(1) as i64);
        add(
            format!("{merged} of {tasks} like it were merged"),
            (2 * merged - tasks) * EXPERIENCE_POINTS / tasks,
            policy.experience,
        );
    }
    let base: i64 = reasons.iter().map(|reason| reason.points).sum();
    let days = age_days(task, now);
    let ageing =
        base.max(0) * i64::try_from(days.min(365)).unwrap_or(365) / 365 * i64::from(policy.ageing.min(100)) / 100;
    if ageing > 0 {
        let unit = if days == 1 { "day" } else { "days" };
        reasons.push(Reason { name: format!("waiting {days} {unit}"), points: ageing });
    }
    Score { points: base + ageing, reasons }
}

/// Whether a word of `text` begins with `word`: "race" is in "data races", not in "trace".
fn says(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(at, _)| !text[..at].ends_with(char::is_alphanumeric))
}

/// What work of a kind is worth, in points.
pub(crate) fn value_of(source: &Source, kind: &str) -> i64 {
    match source {
        Source::Person => 100,
        Source::SecurityAlert => match kind.rsplit(' ').next() {
            Some("critical") => 120,
            Some("medium") => 60,
            Some("low") => 30,
            _ => 90,
        },
        Source::Ci => 80,
        Source::IssueLabel => 60,
        Source::Dependency => 40,
        Source::Sarif(_) => 40,
        Source::Todo => match kind {
            "BUG" => 55,
            "FIXME" => 50,
            "XXX" => 40,
            "HACK" => 35,
            _ => 30,
        },
        Source::Hotspot => 30,
        Source::StaleIssue => 25,
    }
}

fn is_test_path(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    let stem = name.split_once('.').map_or(name, |(stem, _)| stem);
    path.split('/').any(|part| matches!(part, "test" | "tests" | "testdata" | "__tests__" | "spec" | "fixtures"))
        || stem == "tests"
        || stem.starts_with("test_")
        || stem.ends_with("_test")
        || name.contains(".test.")
        || name.contains(".spec.")
}

/// What it says today that something is to be done by the day `due`.
fn urgency(due: Day, today: Day) -> Option<(String, i64)> {
    if due < today {
        Some((format!("overdue since {due}"), OVERDUE_POINTS))
    } else {
        (due.days_since(today) <= SOON_DAYS).then(|| (format!("due on {due}"), SOON_POINTS))
    }
}

/// The days since the oldest part of it was written, as far as that is known, at least since it was found.
fn age_days(task: &Task, now: Timestamp) -> u64 {
    let written = task.members().filter_map(|finding| finding.written_on).min();
    let age = written.map_or(0, |day| Day::of(now).days_since(day));
    age.max(now.days_since(task.created_at))
}
