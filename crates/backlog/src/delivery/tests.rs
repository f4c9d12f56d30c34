use super::*;

fn delivery(subject: &str, updated_at: Option<i64>) -> Delivery {
    Delivery {
        id: "d".to_owned(),
        event: "issues.edited".to_owned(),
        about: About::Work("acme/app".parse().unwrap()),
        installation: None,
        sender: Some(7),
        subject: subject.to_owned(),
        updated_at: updated_at.map(Timestamp),
    }
}

#[test]
fn only_a_thing_that_was_seen_later_makes_an_event_old() {
    for (subject, updated_at, seen, old) in [
        ("acme/app issue 1", Some(5), Some(6), true),
        ("acme/app issue 1", Some(6), Some(6), false),
        ("acme/app issue 1", Some(7), Some(6), false),
        ("acme/app issue 1", Some(5), None, false),
        ("acme/app issue 1", None, Some(6), false),
        ("", Some(5), Some(6), false),
    ] {
        let delivery = delivery(subject, updated_at);
        assert_eq!(delivery.is_older_than(seen.map(Timestamp)), old, "{subject:?} {updated_at:?} {seen:?}");
    }
}

#[test]
fn a_delivery_is_read_as_it_was_written() {
    let repository: RepoName = "acme/app".parse().unwrap();
    let of = |about: fn(RepoName) -> About| about(repository.clone());
    let [code, alerts, issues, checks] = [About::Code, About::Alerts, About::Issues, About::Checks].map(of);
    for about in [code, alerts, issues, checks, About::Work(repository.clone()), About::Repositories, About::Nothing] {
        let delivery = Delivery { about, ..delivery("s", Some(1)) };
        let text = serde_json::to_string(&delivery).unwrap();
        assert_eq!(serde_json::from_str::<Delivery>(&text).unwrap(), delivery, "{text}");
    }
}
