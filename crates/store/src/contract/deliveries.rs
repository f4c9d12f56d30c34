//! Deliveries of code hosts.

use std::sync::Arc;
use std::time::Duration;

use backlog::delivery::{About, Delivery};
use backlog::time::Timestamp;

use super::sample::{NOW, REPO, at, repo};
use crate::{DeliveryCounts, OpenDelivery, Store};

fn delivery(id: &str, updated_at: Option<Timestamp>) -> Delivery {
    Delivery {
        id: id.to_owned(),
        event: "issues.labeled".to_owned(),
        about: About::Work(repo(REPO)),
        installation: Some(1),
        sender: Some(7),
        subject: format!("{REPO} issue 1"),
        updated_at,
    }
}

async fn open(store: &dyn Store) -> Vec<String> {
    store.open_deliveries(0).await.unwrap().into_iter().map(|open| open.delivery.id).collect()
}

pub(crate) async fn r47_a_delivery_is_new_once(store: Arc<dyn Store>) {
    let (a, b) = (delivery("a", None), delivery("b", None));
    let both = [a.clone(), b.clone(), a.clone()];
    assert_eq!(store.put_deliveries(&both, NOW, false).await.unwrap(), [true, true, false]);
    assert_eq!(store.put_deliveries(&[b, delivery("c", None)], at(5), true).await.unwrap(), [false, true]);
    assert!(store.knows_delivery("c").await.unwrap());
    assert!(!store.knows_delivery("d").await.unwrap());
    let counts = DeliveryCounts { received: 2, recovered: 1, open: 3, last: Some(at(5)) };
    assert_eq!(store.delivery_counts().await.unwrap(), counts);
}

pub(crate) async fn r47_racing_copies_of_a_delivery_are_one(store: Arc<dyn Store>) {
    let racers: Vec<_> = (0..8)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.put_deliveries(&[delivery("a", None)], NOW, false).await.unwrap() })
        })
        .collect();
    let mut new = 0;
    for racer in racers {
        new += racer.await.unwrap().into_iter().filter(|new| *new).count();
    }
    assert_eq!(new, 1);
}

pub(crate) async fn an_open_delivery_waits_until_its_end(store: Arc<dyn Store>) {
    for (n, id) in ["z", "a", "m"].into_iter().enumerate() {
        store.put_deliveries(&[delivery(id, None)], at(n as i64), false).await.unwrap();
    }
    assert_eq!(store.open_deliveries(2).await.unwrap().len(), 2);
    assert_eq!(open(&*store).await, ["z", "a", "m"]);
    store.end_deliveries(&["a".to_owned(), "nobody".to_owned()]).await.unwrap();
    assert_eq!(open(&*store).await, ["z", "m"]);
    assert_eq!(store.put_deliveries(&[delivery("a", None)], at(9), false).await.unwrap(), [false]);
    assert_eq!(open(&*store).await, ["z", "m"]);
}

pub(crate) async fn the_last_change_of_a_thing_is_known(store: Arc<dyn Store>) {
    store.put_deliveries(&[delivery("new", Some(at(9))), delivery("none", None)], NOW, false).await.unwrap();
    store.put_deliveries(&[delivery("old", Some(at(3)))], at(1), false).await.unwrap();
    assert!(store.open_deliveries(0).await.unwrap().iter().all(|open| open.seen.is_none()));
    store.end_deliveries(&["new".to_owned(), "none".to_owned()]).await.unwrap();
    let left = store.open_deliveries(0).await.unwrap();
    assert_eq!(left, [OpenDelivery { delivery: delivery("old", Some(at(3))), seen: Some(at(9)) }]);
}

pub(crate) async fn r47_a_delivery_is_remembered_for_seven_days(store: Arc<dyn Store>) {
    store.put_deliveries(&[delivery("done", None), delivery("open", None)], NOW, false).await.unwrap();
    store.end_deliveries(&["done".to_owned()]).await.unwrap();
    let week = Duration::from_secs(7 * 86_400);
    store.tidy(NOW.plus(week), NOW).await.unwrap();
    assert!(store.knows_delivery("done").await.unwrap());
    store.tidy(NOW.plus(week + Duration::from_secs(1)), NOW).await.unwrap();
    assert!(!store.knows_delivery("done").await.unwrap());
    // What nobody took up is not forgotten.
    assert_eq!(open(&*store).await, ["open"]);
}
