use super::*;

fn worked(kind: &str, merged: bool, cost_micro_usd: u64) -> Worked {
    Worked { source: Source::Todo, kind: kind.to_owned(), merged, cost_micro_usd, millis: cost_micro_usd / 10 }
}

fn about(worked: &[Worked], kind: &str) -> Option<(u64, u64, usize, usize, String)> {
    let expectations = Expectations::of(worked);
    let of = expectations.about(&Source::Todo, kind)?;
    Some((of.cost_micro_usd, of.millis, of.merged, of.tasks, of.like.clone()))
}

#[test]
fn four_tasks_are_not_enough_and_five_are() {
    let mut tasks = vec![worked("FIXME", true, 100); 4];
    assert_eq!(about(&tasks, "FIXME"), None);
    tasks.push(worked("FIXME", false, 600));
    assert_eq!(about(&tasks, "FIXME"), Some((200, 20, 4, 5, "todo FIXME".to_owned())));
}

#[test]
fn a_kind_with_too_few_tasks_is_judged_by_its_source() {
    let mut tasks = vec![worked("FIXME", true, 100); 4];
    tasks.push(worked("BUG", false, 600));
    assert_eq!(about(&tasks, "BUG"), Some((200, 20, 4, 5, "todo".to_owned())));
    assert_eq!(about(&tasks, "HACK"), Some((200, 20, 4, 5, "todo".to_owned())));
    assert_eq!(Expectations::of(&tasks).about(&Source::Ci, ""), None);
}

#[test]
fn only_the_newest_tasks_count() {
    let mut tasks = vec![worked("FIXME", true, 100); COUNTED];
    tasks.extend(vec![worked("FIXME", false, 9_000_000); 20]);
    assert_eq!(about(&tasks, "FIXME"), Some((100, 10, COUNTED, COUNTED, "todo FIXME".to_owned())));
}

#[test]
fn huge_numbers_do_not_overflow() {
    let tasks = vec![worked("FIXME", true, u64::MAX); 7];
    assert_eq!(about(&tasks, "FIXME").map(|of| of.0), Some(u64::MAX));
}

#[test]
fn a_source_without_kinds_is_named_by_itself() {
    let tasks = vec![Worked { source: Source::Person, ..worked("", true, 1) }; 5];
    assert_eq!(Expectations::of(&tasks).about(&Source::Person, "").map(|of| of.like.as_str()), Some("person"));
}
