//! The order of claims, against a model: many made-up histories, the same ones in every run.

use std::cmp::Reverse;
use std::sync::Arc;

use backlog::names::TaskId;
use backlog::task::Task;
use backlog::time::Timestamp;

use super::sample::{at, job, task};
use crate::{Commit, Job, JobEnd, JobKind, NewJob, Store};

const HISTORIES: u64 = 12;
const STEPS: usize = 40;

/// Made-up numbers (xorshift), the same for the same seed.
struct Dice(u64);

impl Dice {
    /// A number below `sides`.
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    fn seconds(&mut self) -> i64 {
        i64::try_from(self.roll(40)).unwrap()
    }
}

/// What the store should know of a job. The order of queueing is the order in the list.
#[derive(Clone, Debug)]
struct Known {
    new: NewJob,
    held_until: Option<Timestamp>,
    claims: u32,
}

/// Which of `known` is claimed next: the rule in its plainest form.
fn expected(known: &[Known], kinds: &[JobKind], per_repository: usize, now: Timestamp) -> Option<usize> {
    let live = |job: &Known| job.held_until.is_some_and(|until| until > now);
    let busy =
        |job: &Known| known.iter().filter(|other| live(other) && other.new.repository == job.new.repository).count();
    let due = |job: &Known| job.new.run_after <= now && !live(job) && kinds.contains(&job.new.kind);
    (0..known.len())
        .filter(|&index| due(&known[index]) && busy(&known[index]) < per_repository)
        .min_by_key(|&index| (Reverse(known[index].new.rank), known[index].new.run_after, index))
}

async fn queue(store: &dyn Store, tasks: &[Task], dice: &mut Dice) -> Vec<Known> {
    let mut enqueue = Vec::new();
    for task in tasks {
        let kind = JobKind::ALL[usize::try_from(dice.roll(3)).unwrap()];
        let rank = i64::try_from(dice.roll(3)).unwrap();
        enqueue.push(NewJob { rank, run_after: at(dice.seconds()), ..job(task, kind) });
    }
    store.commit(Commit { enqueue: enqueue.clone(), ..Commit::default() }).await.unwrap();
    enqueue.into_iter().map(|new| Known { new, held_until: None, claims: 0 }).collect()
}

/// Ends a claimed job as the dice say, in the store and in the model. Half of the jobs are left to their lease's end.
async fn end(store: &dyn Store, known: &mut Vec<Known>, index: usize, claimed: &Job, now: Timestamp, dice: &mut Dice) {
    let end = match dice.roll(4) {
        0 => {
            known.remove(index);
            JobEnd::Done
        }
        1 => {
            let (at, counts) = (Timestamp(now.0 + dice.seconds() * 500), dice.roll(2) == 0);
            let job = &mut known[index];
            (job.held_until, job.new.run_after) = (None, at);
            job.claims -= u32::from(!counts);
            JobEnd::Retry { at, counts }
        }
        _ => return,
    };
    store.commit(Commit { job: Some((claimed.lease(), Some(end))), ..Commit::default() }).await.unwrap();
}

pub(crate) async fn claims_follow_the_model(store: Arc<dyn Store>) {
    let names = ["acme/a", "acme/b", "acme/c"];
    let tasks: Vec<Task> = (0..15).map(|n| task(names[n % names.len()], &format!("number {n}"))).collect();
    let ids: Vec<TaskId> = tasks.iter().map(|task| task.id.clone()).collect();
    store.commit(Commit { tasks: tasks.clone(), ..Commit::default() }).await.unwrap();
    for seed in 1..=HISTORIES {
        let dice = &mut Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut known = queue(&*store, &tasks, dice).await;
        let mut seconds = 0;
        for step in 0..STEPS {
            seconds += dice.seconds() / 8;
            let (now, until) = (at(seconds), at(seconds + 1 + dice.seconds()));
            let kinds: Vec<_> = JobKind::ALL.into_iter().filter(|_| dice.roll(3) > 0).collect();
            let per_repository = u32::try_from(dice.roll(4)).unwrap();
            let claimed = store.claim("w", &kinds, per_repository, now, until).await.unwrap();
            let index = expected(&known, &kinds, per_repository as usize, now);
            let wanted = index.map(|index| (&known[index].new.task, known[index].new.kind, known[index].claims + 1));
            let got = claimed.as_ref().map(|job| (&job.task, job.kind, job.claims));
            assert_eq!(got, wanted, "history {seed}, step {step}, at {seconds} s: {known:#?}");
            if let (Some(index), Some(claimed)) = (index, claimed) {
                known[index].claims += 1;
                known[index].held_until = Some(until);
                end(&*store, &mut known, index, &claimed, now, dice).await;
            }
        }
        assert_eq!(store.jobs().await.unwrap().len(), known.len());
        store.commit(Commit { drop_jobs: ids.clone(), ..Commit::default() }).await.unwrap();
    }
}
