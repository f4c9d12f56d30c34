//! Which of several equal comments is which.
//!
//! **Definition.** Comments of the same words are told apart by an ordinal, which a scan counts anew at every look. When
//! one of them goes, or another one comes, the same ordinals name other comments. Here those that tasks know keep their
//! fingerprints, by their places.
//!
//! **Wanted properties.** Work that is done takes no equal work with it. A comment that is new beside a rejected one is
//! new. The same input gives the same answer, in time that grows with the number of findings times its logarithm.
//!
//! **Design.** What stands where it stood keeps what it had. Of the others, files that hold as many as before keep them
//! in order; the rest goes to the comment in the same place, else to the nearest in the same file, else to the first that
//! is left. Tasks whose comment is expected to go choose last: under review, then those whose work was gone, then those
//! whose work is done.
//!
//! **Known race.** Of equal comments in one file of which people took one away, nobody can say which it was: the wrong one
//! may count as gone. Their number is right, and so is what is asked for. With the database lost, comments that follow a
//! done one get other fingerprints, and are proposed once more.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::finding::{Finding, Fingerprint};
use crate::task::{Stage, Task};

/// The words of a comment: kind, text, title, white space and letters folded. The title tells apart what says nothing
/// but the tag.
type Words = (String, String, String);

/// Gives `findings` of comments, by path and line, the fingerprints under which tasks know them.
pub(super) fn tell_apart<'a>(known: impl Iterator<Item = &'a Task>, findings: &mut [Finding]) {
    let known: Vec<(u8, &Finding)> =
        known.flat_map(|task| task.members().map(|member| (patience(task), member))).collect();
    // Most comments are where they were: their words need not be looked at.
    let still: HashMap<&Fingerprint, &Finding> =
        known.iter().filter(|(patience, _)| *patience == 0).map(|(_, member)| (&member.fingerprint, *member)).collect();
    let settled = |finding: &Finding| {
        let before = still.get(&finding.fingerprint);
        before.is_some_and(|before| before.path == finding.path && before.line == finding.line)
    };
    let open: Vec<usize> = (0..findings.len()).filter(|index| !settled(&findings[*index])).collect();
    if open.is_empty() {
        return;
    }
    let settled: HashSet<Fingerprint> =
        findings.iter().filter(|finding| settled(finding)).map(|finding| finding.fingerprint.clone()).collect();
    let mut places: HashMap<Words, Vec<usize>> = HashMap::new();
    for index in open {
        places.entry(words(&findings[index])).or_default().push(index);
    }
    let mut members: HashMap<Words, Vec<(u8, &Finding)>> = HashMap::new();
    for (patience, member) in known.into_iter().filter(|(_, member)| !settled.contains(&member.fingerprint)) {
        members.entry(words(member)).or_default().push((patience, member));
    }
    for (words, places) in places {
        let Some(mut members) = members.remove(&words) else { continue };
        members.sort_by(|(a_patience, a), (b_patience, b)| (a_patience, place(a)).cmp(&(b_patience, place(b))));
        for (index, fingerprint) in assigned(&members, &places, findings) {
            findings[index].fingerprint = fingerprint;
        }
    }
}

/// How late a task chooses among equal comments.
fn patience(task: &Task) -> u8 {
    match task.state.stage() {
        Stage::InReview => 1,
        Stage::Obsolete => 2,
        Stage::Done => 3,
        Stage::Found
        | Stage::Proposed
        | Stage::Approved
        | Stage::Running
        | Stage::Verifying
        | Stage::Failed
        | Stage::Rejected
        | Stage::Cancelled => 0,
    }
}

fn words(finding: &Finding) -> Words {
    let fold = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
    (finding.kind.clone(), fold(&finding.text), fold(&finding.title))
}

fn place(finding: &Finding) -> (&str, u32, &Fingerprint) {
    (&finding.path, finding.line, &finding.fingerprint)
}

/// The fingerprint of each of `places`, which hold the same words; `members` are those that tasks know, the impatient
/// first.
fn assigned<'a>(
    members: &'a [(u8, &'a Finding)],
    places: &[usize],
    findings: &'a [Finding],
) -> Vec<(usize, Fingerprint)> {
    let spot = |index: &usize| (findings[*index].path.as_str(), findings[*index].line, *index);
    let mut free: Free<'_> = places.iter().map(spot).collect();
    let mut given = Vec::with_capacity(places.len());
    let mut waiting: [Vec<&Finding>; 4] = Default::default();
    let mut files: BTreeMap<&str, Vec<(u8, &Finding)>> = BTreeMap::new();
    for (patience, member) in members {
        match patience {
            0 | 1 => files.entry(&member.path).or_default().push((*patience, member)),
            _ => waiting[usize::from(*patience)].push(member),
        }
    }
    for (path, mut known) in files {
        let there: Vec<_> = free.range((path, 0, 0)..=(path, u32::MAX, usize::MAX)).copied().collect();
        if there.len() == known.len() {
            known.sort_by(|(_, a), (_, b)| place(a).cmp(&place(b)));
            for one in &there {
                free.remove(one);
            }
            given.extend(there.iter().zip(known).map(|(one, (_, member))| (one.2, member.fingerprint.clone())));
        } else {
            known.into_iter().for_each(|(patience, member)| waiting[usize::from(patience)].push(member));
        }
    }
    for mut waiting in waiting {
        for pick in [same_place, nearest, first] {
            waiting.retain(|member| {
                let Some(one) = pick(&free, member) else { return true };
                free.remove(&one);
                given.push((one.2, member.fingerprint.clone()));
                false
            });
        }
    }
    let taken: BTreeSet<&Fingerprint> = members.iter().map(|(_, member)| &member.fingerprint).collect();
    let own = places.iter().map(|index| findings[*index].fingerprint.clone());
    let more = (1..).map(|n| findings[places[0]].fingerprint.again(n));
    let mut unused = own.chain(more).filter(|fingerprint| !taken.contains(fingerprint));
    given.extend(free.iter().filter_map(|one| Some((one.2, unused.next()?))));
    given
}

/// The findings that nobody took yet: path, line and number of each.
type Free<'a> = BTreeSet<(&'a str, u32, usize)>;

fn same_place<'a>(free: &Free<'a>, member: &'a Finding) -> Option<(&'a str, u32, usize)> {
    free.range((member.path.as_str(), member.line, 0)..=(&member.path, member.line, usize::MAX)).next().copied()
}

fn nearest<'a>(free: &Free<'a>, member: &'a Finding) -> Option<(&'a str, u32, usize)> {
    let (path, line) = (member.path.as_str(), member.line);
    let above = free.range((path, 0, 0)..(path, line, 0)).next_back();
    let below = free.range((path, line, 0)..=(path, u32::MAX, usize::MAX)).next();
    above.into_iter().chain(below).min_by_key(|(_, other, _)| other.abs_diff(line)).copied()
}

fn first<'a>(free: &Free<'a>, _: &'a Finding) -> Option<(&'a str, u32, usize)> {
    free.first().copied()
}
