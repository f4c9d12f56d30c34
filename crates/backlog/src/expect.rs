//! What a task is likely to take, judged by what was worked here before.
//!
//! **Definition.** [`Worked`] is one task that an agent worked on and whose end is known; [`Expectations`] sums up the
//! newest of them by source and kind; [`Expected`] is what that says about one more of that kind.
//!
//! **Wanted properties.** Only own experience counts, and none below [`ENOUGH`] tasks: no number is better than one out
//! of thin air. The same history gives the same expectation.
//!
//! **Design.** Averages over the newest [`COUNTED`] tasks, so that what many tasks cost together is the sum of what is
//! expected of each, and a better model or agent shows soon. A kind that has too few is judged by its source.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::finding::Source;

/// How many tasks an expectation needs.
pub const ENOUGH: usize = 5;
/// How many tasks an expectation looks back at.
pub const COUNTED: usize = 50;

/// A task that was worked on and has ended: merged, failed, or its pull request closed. What a person stopped on the way
/// says nothing and is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Worked {
    /// What had yielded it.
    pub source: Source,
    /// Its kind within the source.
    pub kind: String,
    /// Whether its pull request was merged.
    pub merged: bool,
    /// What all its runs cost together, in micro-USD.
    pub cost_micro_usd: u64,
    /// How long all its runs took together, in milliseconds.
    pub millis: u64,
}

/// What is expected of one more task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Expected {
    /// The average cost of all runs of a task, in micro-USD.
    pub cost_micro_usd: u64,
    /// The average time that agents worked at a task, in milliseconds.
    pub millis: u64,
    /// How many of the tasks were merged.
    pub merged: usize,
    /// How many tasks this is taken from: [`ENOUGH`] to [`COUNTED`].
    pub tasks: usize,
    /// What they have in common: `todo FIXME`, or `todo` where there are too few of the kind.
    pub like: String,
}

/// What is expected of every kind of task there is experience with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expectations {
    kinds: BTreeMap<(Source, String), Expected>,
    sources: BTreeMap<Source, Expected>,
}

impl Expectations {
    /// Sums up what was worked, newest first.
    #[must_use]
    pub fn of(worked: &[Worked]) -> Self {
        let mut kinds: BTreeMap<(Source, String), Vec<&Worked>> = BTreeMap::new();
        let mut sources: BTreeMap<Source, Vec<&Worked>> = BTreeMap::new();
        for one in worked {
            kinds.entry((one.source.clone(), one.kind.clone())).or_default().push(one);
            sources.entry(one.source.clone()).or_default().push(one);
        }
        let kind = |(key, tasks): ((Source, String), Vec<&Worked>)| {
            let like = format!("{} {}", key.0, key.1).trim().to_owned();
            Some((key, average(&tasks, like)?))
        };
        let source = |(key, tasks): (Source, Vec<&Worked>)| {
            let like = key.to_string();
            Some((key, average(&tasks, like)?))
        };
        Self {
            kinds: kinds.into_iter().filter_map(kind).collect(),
            sources: sources.into_iter().filter_map(source).collect(),
        }
    }

    /// What is expected of a task of this source and kind, where there is enough experience.
    #[must_use]
    pub fn about(&self, source: &Source, kind: &str) -> Option<&Expected> {
        self.kinds.get(&(source.clone(), kind.to_owned())).or_else(|| self.sources.get(source))
    }

    /// All of them: sources first, then their kinds, by name.
    pub fn all(&self) -> impl Iterator<Item = &Expected> {
        self.sources.values().chain(self.kinds.iter().filter(|((_, kind), _)| !kind.is_empty()).map(|(_, of)| of))
    }
}

fn average(tasks: &[&Worked], like: String) -> Option<Expected> {
    let tasks = &tasks[..tasks.len().min(COUNTED)];
    if tasks.len() < ENOUGH {
        return None;
    }
    let mean = |of: fn(&Worked) -> u64| {
        let sum: u128 = tasks.iter().map(|task| u128::from(of(task))).sum();
        u64::try_from(sum / tasks.len() as u128).unwrap_or(u64::MAX)
    };
    Some(Expected {
        cost_micro_usd: mean(|task| task.cost_micro_usd),
        millis: mean(|task| task.millis),
        merged: tasks.iter().filter(|task| task.merged).count(),
        tasks: tasks.len(),
        like,
    })
}
