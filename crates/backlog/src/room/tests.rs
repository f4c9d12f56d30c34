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
