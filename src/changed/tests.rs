use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::entry::road;

fn set(lanes: usize, capacity: usize) -> Changed {
    Changed::new(Deal::by_road(lanes), capacity, false, Instant::now())
}

fn event(set: &Changed, name: &str) -> bool {
    set.mark(
        name.as_bytes(),
        &Rename::none(),
        0,
        Mark::new(Cause::Event, set.now()),
    )
}

fn names(keys: &[Key]) -> Vec<String> {
    keys.iter()
        .map(|key| String::from_utf8_lossy(&key.name).into_owned())
        .collect()
}

#[test]
fn what_changes_often_is_taken_once_and_in_order() {
    let set = set(1, 100);
    for name in ["b", "a", "b", "c", "a"] {
        assert!(event(&set, name));
    }
    assert_eq!(names(&set.take(0, 2, false)), ["b", "a"]);
    event(&set, "b");
    assert_eq!(names(&set.take(0, 9, false)), ["c", "b"]);
    assert!(set.is_empty() && set.take(0, 9, false).is_empty());
}

#[test]
fn ranks_go_before_the_order() {
    let set = Changed::new(Deal::by_road(1), 100, true, Instant::now());
    for (name, rank) in [("zset", 5), ("string", 0), ("unknown", 200), ("hash", 1)] {
        let mark = Mark::new(Cause::Event, set.now());
        set.mark(name.as_bytes(), &Rename::none(), rank, mark);
    }
    assert_eq!(
        names(&set.take(0, 9, false)),
        ["string", "hash", "zset", "unknown"]
    );
}

#[test]
fn a_certain_event_outweighs_a_doubtful_one_and_keeps_its_time() {
    let set = set(1, 100);
    let times: Vec<Duration> = (1..4).map(Duration::from_millis).collect();
    for (cause, at) in [Cause::Turn, Cause::DoubtfulEvent, Cause::Event]
        .into_iter()
        .zip(&times)
    {
        set.mark(b"k", &Rename::none(), 0, Mark::new(cause, *at));
    }
    let taken = set.take(0, 1, false);
    assert_eq!(
        (taken[0].mark.cause(), taken[0].mark.at()),
        (Cause::Event, times[1])
    );
}

#[test]
fn what_finds_no_room_is_remembered() {
    let set = set(2, 3);
    let kept = (0..10).filter(|n| event(&set, &format!("k{n}"))).count();
    assert_eq!((kept, set.len()), (3, 3));
    assert!(event(&set, "k0"), "it waits already");
    let overflow = set.take_overflow().unwrap();
    assert_eq!(overflow.keys(), 7);
    let held = |name: &str| overflow.may_hold(name.as_bytes(), road(name.as_bytes()));
    assert!(held("k9") && !held("k0") && !held("other"));
    assert!(!set.has_overflow() && set.take_overflow().is_none());
}

#[tokio::test]
async fn a_costly_key_rests_and_the_others_do_not() {
    let set = set(1, 100);
    event(&set, "big");
    let big = set.take(0, 1, false).remove(0);
    set.was_read(&big, Duration::from_millis(2));
    event(&set, "big");
    event(&set, "small");
    assert_eq!(names(&set.take(0, 9, false)), ["small"]);
    assert_eq!(set.len(), 1);
    set.was_written(&big, Duration::from_millis(3));
    let started = Instant::now();
    loop {
        set.filled(0).await;
        let taken = set.take(0, 9, false);
        if !taken.is_empty() {
            assert_eq!(names(&taken), ["big"]);
            break;
        }
    }
    assert!(started.elapsed() >= Duration::from_millis(40));
    event(&set, "big");
    assert!(set.take(0, 9, false).is_empty(), "it is not written yet");
    assert_eq!(names(&set.take(0, 9, true)), ["big"], "in a hurry");
    set.was_light(&big);
    event(&set, "big");
    assert_eq!(names(&set.take(0, 9, false)), ["big"]);
}

proptest! {
    /// Whatever is marked and taken in turn: each key that was marked is taken after its last mark.
    #[test]
    fn no_mark_is_lost(steps in proptest::collection::vec((0u16..300, 0usize..40), 1..200), lanes in 1usize..4, large in any::<bool>()) {
        let set = set(lanes, 150);
        let mut wanted: BTreeMap<String, bool> = BTreeMap::new();
        let mut beyond: BTreeSet<String> = BTreeSet::new();
        for (name, take) in steps {
            let name = if large { "x".repeat(70_000) + &name.to_string() } else { name.to_string() };
            if event(&set, &name) {
                wanted.insert(name, true);
            } else {
                beyond.insert(name);
            }
            for lane in 0..lanes {
                for key in set.take(lane, take, false) {
                    let name = String::from_utf8(key.name.to_vec()).unwrap();
                    prop_assert_eq!(Deal::by_road(lanes).lane_of(&key), lane);
                    prop_assert_eq!(wanted.insert(name, false), Some(true));
                }
            }
        }
        for lane in 0..lanes {
            for key in set.take(lane, usize::MAX, true) {
                let name = String::from_utf8(key.name.to_vec()).unwrap();
                prop_assert_eq!(wanted.insert(name, false), Some(true));
            }
        }
        prop_assert!(set.is_empty());
        prop_assert!(wanted.values().all(|waits| !waits));
        let overflow = set.take_overflow();
        for name in beyond {
            prop_assert!(overflow.as_ref().unwrap().may_hold(name.as_bytes(), road(name.as_bytes())));
        }
    }
}
