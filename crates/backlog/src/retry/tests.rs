use rstest::rstest;

use super::*;

#[rstest]
#[case(0, 30)]
#[case(1, 30)]
#[case(2, 60)]
#[case(3, 120)]
#[case(6, 960)]
#[case(7, 1800)]
#[case(33, 1800)]
#[case(u32::MAX, 1800)]
fn the_pause_doubles_up_to_its_limit(#[case] attempts: u32, #[case] seconds: u64) {
    let pause = backoff(attempts, Duration::from_secs(30), Duration::from_secs(1800));
    assert_eq!(pause, Duration::from_secs(seconds));
}

#[test]
fn the_largest_pauses_do_not_overflow() {
    assert_eq!(backoff(u32::MAX, Duration::MAX, Duration::MAX), Duration::MAX);
    assert_eq!(backoff(2, Duration::MAX, Duration::MAX), Duration::MAX);
    assert_eq!(backoff(40, Duration::ZERO, Duration::MAX), Duration::ZERO);
    // A first pause above the limit is cut as well.
    assert_eq!(backoff(1, Duration::from_secs(9), Duration::from_secs(2)), Duration::from_secs(2));
}

#[rstest]
#[case(1, true, Next::RetryAfter(Duration::from_secs(30)))]
#[case(2, true, Next::RetryAfter(Duration::from_secs(60)))]
#[case(3, true, Next::GiveUp)]
#[case(u32::MAX, true, Next::GiveUp)]
#[case(1, false, Next::GiveUp)]
fn a_task_is_tried_three_times(#[case] attempts: u32, #[case] retryable: bool, #[case] expected: Next) {
    assert_eq!(RetryPolicy::default().after_run(attempts, retryable), expected);
}
