use std::sync::atomic::{AtomicUsize, Ordering};

use futures::future::{join, join_all};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[test]
fn the_clock_moves_only_when_told() {
    let clock = TestClock::new();
    assert_eq!(clock.now().to_string(), "2026-01-01T00:00:00Z");
    clock.advance(seconds(90));
    assert_eq!(clock.now().to_string(), "2026-01-01T00:01:30Z");
    clock.set(Timestamp(0));
    assert_eq!(clock.now(), Timestamp(0));
}

#[tokio::test]
async fn a_sleeper_wakes_by_hand_too() {
    let clock = TestClock::new();
    let sleeper = tokio::spawn({
        let clock = Arc::clone(&clock);
        async move { clock.sleep(seconds(5)).await }
    });
    clock.events.notified().await;
    clock.advance(seconds(4));
    tokio::task::yield_now().await;
    assert!(!sleeper.is_finished());
    clock.advance(seconds(1));
    sleeper.await.unwrap();
}

#[tokio::test]
async fn sleepers_wait_beside_each_other_and_wake_in_order() {
    let clock = TestClock::new();
    let _driver = clock.drive(|| 0);
    let woken = Mutex::new(Vec::new());
    let sleep = async |n: u64| {
        clock.sleep(seconds(n)).await;
        woken.lock().unwrap().push(n);
    };
    join_all([3_600, 1, 7_200, 2, 0].map(sleep)).await;
    assert_eq!(*woken.lock().unwrap(), [0, 1, 2, 3_600, 7_200]);
    assert_eq!(clock.now(), TestClock::START.plus(seconds(7_200)), "not the sum");
}

#[tokio::test]
async fn a_dropped_sleeper_moves_no_time() {
    let clock = TestClock::new();
    let _driver = clock.drive(|| 0);
    let first = futures::future::select(Box::pin(clock.sleep(seconds(9))), Box::pin(clock.sleep(seconds(1)))).await;
    drop(first);
    clock.sleep(seconds(1)).await;
    assert_eq!(clock.now(), TestClock::START.plus(seconds(2)));
    assert!(clock.state().sleepers.is_empty());
}

#[tokio::test]
async fn time_stands_while_something_is_busy() {
    let clock = TestClock::new();
    let _driver = clock.drive(|| 0);
    let busy = clock.busy();
    let work = async {
        tokio::task::spawn_blocking(|| (0..200_000_u64).fold(0, u64::wrapping_add)).await.unwrap();
        assert_eq!(clock.now(), TestClock::START);
        drop(busy);
    };
    join(work, clock.sleep(seconds(1))).await;
}

/// A hundred clients ask a server with a latency of 50 ms through real sockets, each ten times, one after the other.
#[tokio::test]
async fn requests_through_sockets_take_their_virtual_latency_and_no_more() {
    let clock = TestClock::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = Arc::clone(&clock);
    let server = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let clock = Arc::clone(&serving);
            tokio::spawn(async move {
                while stream.read_u8().await.is_ok() {
                    let busy = clock.busy();
                    busy.sleep(Duration::from_millis(50)).await;
                    stream.write_u8(1).await.unwrap();
                }
            });
        }
    });
    let under_way = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&under_way);
    let _driver = clock.drive(move || counted.load(Ordering::SeqCst));
    let client = async || {
        let mut stream = TcpStream::connect(address).await.unwrap();
        for _ in 0..10 {
            under_way.fetch_add(1, Ordering::SeqCst);
            stream.write_u8(1).await.unwrap();
            stream.read_u8().await.unwrap();
            under_way.fetch_sub(1, Ordering::SeqCst);
        }
    };
    join_all((0..100).map(|_| client())).await;
    assert_eq!(clock.now(), TestClock::START.plus(Duration::from_millis(500)));
    server.abort();
}
