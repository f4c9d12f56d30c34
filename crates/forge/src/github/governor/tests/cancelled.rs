//! Whoever goes away leaves nothing behind.

use super::*;

fn one_at_a_time() -> Limits {
    Limits { concurrency: 1, concurrency_most: 1, ..Limits::default() }
}

#[tokio::test]
async fn a_waiting_operation_that_goes_away_leaves_its_place() {
    let bench = Bench::new();
    let governor = bench.governor(one_at_a_time()).await;
    let held = governor.admit(Traffic::Read).await.unwrap();
    {
        let mut waiting: Vec<_> = (0..100).map(|_| Box::pin(governor.admit(Traffic::Read))).collect();
        for waiting in &mut waiting {
            assert!(futures::poll!(waiting).is_pending());
        }
        assert_eq!(governor.0.local().line.len(), 100);
    }
    assert_eq!(governor.0.local().line.len(), 0);
    drop(held);
    assert_eq!(bench.refused(&governor, Traffic::Read).await, None);
}

/// The head of the line goes away at the moment at which it could go: the next one must learn of it.
#[tokio::test]
async fn a_head_that_goes_away_lets_the_next_one_go() {
    let bench = Bench::new();
    let governor = bench.governor(one_at_a_time()).await;
    let held = governor.admit(Traffic::Read).await.unwrap();
    let mut head = Box::pin(governor.admit(Traffic::Read));
    assert!(futures::poll!(&mut head).is_pending());
    let mut next = Box::pin(governor.admit(Traffic::Read));
    assert!(futures::poll!(&mut next).is_pending());
    drop(held);
    drop(head);
    assert!(next.await.is_ok());
}

#[tokio::test]
async fn a_dropped_permit_gives_back_its_slot_its_gate_and_its_work() {
    let bench = Bench::new();
    let governor = bench.governor(one_at_a_time()).await;
    for _ in 0..5 {
        drop(governor.admit(Traffic::Edit).await.unwrap());
    }
    bench.clock.sleep(seconds(1)).await;
    assert_eq!(governor.0.record.look().gate, None);
    let other = bench.governor(one_at_a_time()).await;
    assert_eq!(bench.refused(&other, Traffic::Edit).await, None);
    assert_eq!(governor.0.local().pools.under_way(), 0);
}

/// An admission is dropped at each of its awaits in turn; a write is possible afterwards every time.
#[tokio::test]
async fn an_admission_that_is_dropped_anywhere_leaks_nothing() {
    for polls in 0..12 {
        let bench = Bench::new();
        let governor = bench.governor(one_at_a_time()).await;
        bench.ledger.be_slow(true);
        {
            let mut write = Box::pin(governor.admit(Traffic::NewPull));
            for _ in 0..polls {
                if futures::poll!(&mut write).is_ready() {
                    break;
                }
            }
        }
        bench.ledger.be_slow(false);
        let at = bench.insist(&governor, Traffic::Edit.into(), Duration::ZERO).await;
        assert!(at <= 1_000, "after {polls} polls it takes {at} ms");
        assert_eq!(governor.0.local().pools.under_way(), 0);
        bench.clock.sleep(seconds(1)).await;
        assert_eq!(governor.0.record.look().gate, None);
    }
}

#[tokio::test]
async fn the_line_is_bounded() {
    let bench = Bench::new();
    let governor = bench.governor(Limits { waiting: 3, ..one_at_a_time() }).await;
    let _held = governor.admit(Traffic::Read).await.unwrap();
    let mut waiting: Vec<_> = (0..4).map(|_| Box::pin(governor.admit(Traffic::Read))).collect();
    for waiting in &mut waiting[..3] {
        assert!(futures::poll!(waiting).is_pending());
    }
    assert!(matches!((&mut waiting[3]).await, Err(Failure::Limited { .. })));
}

/// What one waiting operation holds: its future, its place and its bell.
#[tokio::test]
async fn a_waiting_operation_is_small() {
    let bench = Bench::new();
    let governor = bench.governor(one_at_a_time()).await;
    let admission = governor.admit(Traffic::Read);
    let size = size_of_val(&admission);
    assert!(size < 4 << 10, "{size} bytes");
    assert!(bench.refused(&governor, Traffic::Read).await.is_none());
}
