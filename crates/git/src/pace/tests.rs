use futures::future::join_all;

use super::*;

fn remote(name: &str) -> Remote {
    Remote::public(format!("https://git.example.org/me/{name}.git"))
}

fn limited(retry_after: Option<Duration>) -> GitError {
    GitError::Limited { repository: String::new(), retry_after }
}

/// For how long a call is refused, in seconds; 0 when it is not.
async fn refused(pace: &Pace) -> u64 {
    match pace.turn(&remote("other"), Kind::Fetch).await {
        Err(GitError::Limited { retry_after, .. }) => retry_after.unwrap().as_secs(),
        Err(other) => panic!("{other}"),
        Ok(_) => 0,
    }
}

#[tokio::test(start_paused = true)]
async fn r23_at_most_eight_calls_at_once_at_one_host() {
    let pace = Pace::default();
    let held =
        join_all((0..AT_ONCE).map(async |n| pace.turn(&remote(&n.to_string()), Kind::Fetch).await.unwrap())).await;
    let ninth = remote("ninth");
    let mut ninth = std::pin::pin!(pace.turn(&ninth, Kind::Fetch));
    assert!(futures::poll!(&mut ninth).is_pending());
    assert!(pace.turn(&Remote::public("https://elsewhere.example.org/a/b"), Kind::Fetch).await.is_ok());
    drop(held);
    assert!(ninth.await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn r23_a_repository_gets_two_calls_a_second_and_others_are_not_held_up() {
    let (pace, start) = (Pace::default(), Instant::now());
    let call = async |name: &str| {
        drop(pace.turn(&remote(name), Kind::Fetch).await.unwrap());
        start.elapsed().as_millis()
    };
    let mut at = join_all((0..5).map(|_| call("one"))).await;
    at.sort_unstable();
    assert_eq!(at, [0, 0, 1_000, 1_000, 2_000]);
    assert_eq!(call("two").await, 2_000);
    for _ in 0..100 {
        drop(pace.turn(&remote("one"), Kind::Look).await.unwrap());
    }
    assert_eq!(start.elapsed().as_millis(), 2_000, "a look needs no distance");
}

#[tokio::test(start_paused = true)]
async fn r21_a_repository_gets_four_pushes_a_minute() {
    let (pace, start) = (Pace::default(), Instant::now());
    let mut at = Vec::new();
    for _ in 0..5 {
        drop(pace.turn(&remote("one"), Kind::Push).await.unwrap());
        at.push(start.elapsed().as_secs());
    }
    assert_eq!(at, [0, 0, 1, 1, 60]);
}

#[tokio::test(start_paused = true)]
async fn r23_a_limit_pauses_git_for_that_host_and_doubles_without_a_number() {
    let pace = Pace::default();
    for seconds in [60, 120, 240, 480, 960, 960] {
        let (one, two) =
            (pace.turn(&remote("a"), Kind::Fetch).await.unwrap(), pace.turn(&remote("b"), Kind::Fetch).await.unwrap());
        one.ended(Some(&limited(None)));
        two.ended(Some(&limited(None)));
        drop((one, two));
        assert_eq!(refused(&pace).await, seconds);
        assert!(pace.turn(&Remote::public("https://elsewhere.example.org/a/b"), Kind::Fetch).await.is_ok());
        tokio::time::advance(Duration::from_secs(seconds)).await;
    }
    let turn = pace.turn(&remote("a"), Kind::Fetch).await.unwrap();
    turn.ended(None);
    turn.ended(Some(&limited(Some(Duration::from_secs(30)))));
    assert_eq!(refused(&pace).await, 30);
}

#[tokio::test(start_paused = true)]
async fn folders_need_no_pace_and_a_dropped_wait_leaks_nothing() {
    let pace = Pace::default();
    for _ in 0..100 {
        drop(pace.turn(&Remote::public("/srv/git/shop"), Kind::Push).await.unwrap());
    }
    for _ in 0..3 * AT_ONCE {
        let one = remote("one");
        let mut waiting = std::pin::pin!(pace.turn(&one, Kind::Fetch));
        let _ = futures::poll!(&mut waiting);
    }
    let host = pace.host("https://git.example.org");
    assert_eq!(host.turns.available_permits(), AT_ONCE);
}

#[test]
fn what_is_remembered_of_repositories_is_bounded() {
    let host = Host { turns: Arc::new(Semaphore::new(1)), state: Mutex::default() };
    let now = Instant::now();
    for n in 0..2 * REPOSITORIES {
        let later = now + Duration::from_millis(20) * u32::try_from(n).unwrap();
        assert!(host.start(&n.to_string(), Kind::Fetch, later).unwrap().is_none());
    }
    assert!(host.state().repositories.len() <= REPOSITORIES);
}
