//! The suite that every [`Store`](crate::Store) passes.
//!
//! **Definition.** A story is a function that gets an empty store and panics when a promise of the trait is broken.
//!
//! **Design.** [`contract!`] makes one test of each story; an implementation calls it with the path of a function that
//! returns an empty store and what keeps it alive. A story that is not listed is dead code, which the build refuses.

pub(crate) mod commits;
pub(crate) mod deliveries;
pub(crate) mod feed;
pub(crate) mod keeping;
pub(crate) mod leases;
pub(crate) mod order;
pub(crate) mod reading;
pub(crate) mod sample;

/// One test per story, for the implementation that `$open` opens: `async fn() -> (Arc<dyn Store>, impl Sized)`.
macro_rules! contract {
    ($open:path) => {
        $crate::contract::stories!($open, commits: [
            everything_is_written_together, every_state_is_read_as_it_was_written, a_conflict_writes_nothing,
            a_known_task_is_not_inserted_again, one_of_many_racing_writers_wins, a_lost_lease_writes_nothing,
            a_cancelled_caller_leaves_all_or_nothing,
        ]);
        $crate::contract::stories!($open, leases: [
            workers_never_get_the_same_job, a_lease_ends_with_its_time_and_fences_its_holder,
            a_lease_that_nobody_else_claimed_still_holds, a_renewed_lease_is_not_claimed,
            a_repository_has_so_many_leases, a_retry_waits_and_may_not_count, a_done_job_is_gone_for_good,
            an_open_job_is_queued_once, dropped_jobs_take_the_lease_along, dead_workers_are_released,
            only_the_wanted_kinds_are_claimed,
        ]);
        $crate::contract::stories!($open, order: [claims_follow_the_model]);
        $crate::contract::stories!($open, reading: [
            tasks_come_best_first, filters_narrow, a_search_is_literal,
            what_waits_is_counted_by_repository_with_the_best_of_each, every_stage_is_counted,
            runs_come_in_order_of_attempts, what_was_worked_is_summed_up_newest_first,
        ]);
        $crate::contract::stories!($open, feed: [
            events_are_numbered_ordered_and_filtered, changes_are_told_in_order, a_refused_commit_tells_nothing,
            a_listener_that_lags_learns_of_it, a_transcript_is_numbered_and_paged, a_transcript_has_a_bound,
            an_event_number_is_never_used_again, a_list_of_events_has_a_bound,
        ]);
        $crate::contract::stories!($open, keeping: [
            a_repository_is_replaced_and_forgotten, open_intents_come_oldest_first, a_note_expires,
            a_note_is_taken_once, a_note_is_swapped_only_when_it_is_as_expected, one_of_many_swaps_wins,
            tidying_keeps_what_is_young_or_open, a_content_is_read_once_by_each_reader, a_probe_writes,
        ]);
        $crate::contract::stories!($open, deliveries: [
            r47_a_delivery_is_new_once, r47_racing_copies_of_a_delivery_are_one, an_open_delivery_waits_until_its_end,
            the_last_change_of_a_thing_is_known, r47_a_delivery_is_remembered_for_seven_days,
        ]);
    };
}

macro_rules! stories {
    ($open:path, $topic:ident: [$($story:ident),+ $(,)?]) => {
        mod $topic {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $story() {
                    let (store, _keep) = $open().await;
                    $crate::contract::$topic::$story(store).await;
                }
            )+
        }
    };
}

pub(crate) use {contract, stories};
