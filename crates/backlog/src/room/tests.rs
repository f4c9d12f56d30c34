use proptest::prelude::*;
use rstest::rstest;

use super::*;

const CAPS: Caps = Caps { pulls_per_repository: 2, per_repository: 5, per_owner: 8 };

#[rstest]
#[case::empty(0, 0, 0, Ok(5))]
#[case::some_are_open(0, 3, 3, Ok(2))]
#[case::the_owner_has_less(0, 1, 7, Ok(1))]
#[case::pulls_below_their_cap_take_no_room(1, 0, 0, Ok(5))]
#[case::pulls(2, 0, 0, Err(Full::Pulls(2)))]
#[case::more_pulls_than_now_allowed(9, 0, 0, Err(Full::Pulls(2)))]
#[case::repository(0, 5, 5, Err(Full::Repository(5)))]
#[case::owner(0, 0, 8, Err(Full::Owner(8)))]
#[case::both(0, 5, 8, Err(Full::Repository(5)))]
#[case::all(2, 5, 8, Err(Full::Pulls(2)))]
fn there_is_room(
    #[case] pulls: usize,
    #[case] repository: usize,
    #[case] owner: usize,
    #[case] expected: Result<usize, Full>,
) {
    assert_eq!(room(&CAPS, &Load { pulls, repository, owner }), expected);
}

#[test]
fn a_cap_of_none_proposes_nothing() {
    let caps = Caps { per_repository: 0, ..CAPS };
    assert_eq!(room(&caps, &Load::default()), Err(Full::Repository(0)));
}

proptest! {
    #[test]
    fn no_cap_is_ever_passed(
        caps in (0usize..9, 0usize..9, 0usize..9), load in (0usize..9, 0usize..9, 0usize..9)
    ) {
        let caps = Caps { pulls_per_repository: caps.0, per_repository: caps.1, per_owner: caps.2 };
        let load = Load { pulls: load.0, repository: load.1, owner: load.2 };
        if let Ok(free) = room(&caps, &load) {
            prop_assert!(free > 0 && load.pulls < caps.pulls_per_repository);
            prop_assert!(load.repository + free <= caps.per_repository && load.owner + free <= caps.per_owner);
        }
    }
}

fn waiting(name: &str, points: &[i64]) -> Waiting {
    let candidate = |(n, points): (usize, &i64)| {
        let id = TaskId::derive(&name.parse().unwrap(), &n.to_string());
        Candidate { id, points: *points, created_at: Timestamp(7) }
    };
    let found = points.iter().enumerate().map(candidate).collect();
    Waiting { repository: name.parse().unwrap(), proposed: 0, pulls: 0, found }
}

#[test]
fn the_best_of_all_repositories_take_the_places_that_are_left() {
    let mut all =
        vec![(waiting("me/a", &[90, 80, 70]), 2), (waiting("me/b", &[85, 10]), 5), (waiting("me/c", &[99]), 0)];
    for _ in 0..3 {
        all.rotate_left(1);
        let names =
            |places| -> Vec<String> { shares(&all, places).iter().map(|(name, _)| name.name().to_owned()).collect() };
        assert_eq!(names(2), ["a", "b"], "the points decide, not the order");
        assert_eq!(names(9), ["a", "b", "a", "b"], "no repository gets more than it has room for");
        assert_eq!(names(0), [""; 0]);
    }
}

#[test]
fn of_equal_points_the_earlier_day_comes_first_and_then_the_smaller_id() {
    let mut same = waiting("me/a", &[5, 5, 5]);
    same.found[0].created_at = Timestamp(86_400_000);
    (same.found[1].created_at, same.found[2].created_at) = (Timestamp(9), Timestamp(8));
    let mut expected: Vec<TaskId> = same.found[1..].iter().map(|one| one.id.clone()).collect();
    expected.sort();
    expected.push(same.found[0].id.clone());
    let chosen: Vec<TaskId> = shares(&[(same, 9)], 9).into_iter().map(|(_, id)| id).collect();
    assert_eq!(chosen, expected);
}

proptest! {
    /// What gets a place before others are known keeps it, as long as enough places are held back for them: so the order
    /// of looks does not matter.
    #[test]
    fn places_that_are_held_back_make_the_order_of_looks_not_matter(
        known in prop::collection::vec(prop::collection::vec(0i64..6, 0..5), 1..4),
        late in prop::collection::vec(0i64..6, 0..5),
        (room, places) in (0usize..4, 0usize..12),
    ) {
        let names = ["me/a", "me/b", "me/c"];
        let mut all: Vec<_> = known.iter().zip(names).map(|(points, name)| (waiting(name, points), room)).collect();
        let early = shares(&all, places.saturating_sub(room));
        all.push((waiting("me/late", &late), room));
        let whole = shares(&all, places);
        prop_assert!(early.iter().all(|one| whole.contains(one)), "{early:?} {whole:?}");
    }
}
