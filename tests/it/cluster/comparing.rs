//! Clusters are compared on either side and on both: differences of every kind are found on every node, and mended.

use super::{EQUAL, sides};
use crate::clusters::slot;
use crate::data::{self, run};
use crate::riot::{Riot, compare, compare_full, replicate};
use crate::servers::Version;
use crate::store::Store;

/// The closing line of what `differing` does to the target.
const DIFFERENT: &str = "5 missing, 3 type, 4 value, 6 ttl";

/// Copies keys of all types, then gives the target 18 differences and 7 keys more, all over the slots.
fn differing(source: &dyn Store, target: &dyn Store) {
    data::fill_every_type(source, 0);
    data::fill_slots(source);
    data::fill_strings(source, "key:", 2000, 20);
    replicate(source, target).run().exits(0);
    let mut c = target.client();
    let mut planted = Vec::new();
    let mut name = |number: usize| {
        let name = format!("key:{}", number * 67);
        planted.push(slot(name.as_bytes()));
        name
    };
    for number in 0..5 {
        run!(c, "DEL", name(number));
    }
    for number in 5..8 {
        let name = name(number);
        run!(c, "DEL", &name);
        run!(c, "RPUSH", &name, "a");
    }
    for number in 8..12 {
        run!(c, "APPEND", name(number), "more");
    }
    for number in 12..18 {
        run!(c, "PEXPIRE", name(number), 5_000_000);
    }
    for number in 0..6 {
        let extra = format!("extra:{number}");
        planted.push(slot(extra.as_bytes()));
        run!(c, "SET", &extra, "x");
    }
    run!(c, "SET", b"extra\xff".as_slice(), "x");
    for third in 0..3 {
        let here = |slot: &&u16| **slot / 5462 == third;
        let count = planted.iter().filter(here).count();
        assert!(count >= 4, "{count} in the third no. {third}");
    }
}

fn once(run: Riot) -> Riot {
    run.words(["--rounds", "1"])
}

/// Exactly these differences are found, first without a change, then mended.
fn are_found_and_mended(masters: [usize; 2]) {
    let [source, target] = sides(Version::Redis70, masters);
    let (source, target) = (source.as_ref(), target.as_ref());
    differing(source, target);
    once(compare_full(source, target))
        .run()
        .exits(1)
        .holds("no word of extra keys", |output| {
            output.stdout.lines().last() == Some(DIFFERENT)
        });
    once(compare(source, target))
        .run()
        .exits(1)
        .prints("5 missing, 3 type, 0 value, 6 ttl\n");
    let output = once(compare_full(source, target))
        .words(["--both", "--show-diffs"])
        .run()
        .exits(1)
        .prints(&format!("{DIFFERENT}, 7 extra"));
    for line in ["extra extra:0", "extra extra\\xff", "missing string key:67"] {
        assert!(output.stdout.lines().any(|found| found == line), "{output}");
    }

    let output = once(compare_full(source, target))
        .word("--repair")
        .run()
        .exits(0)
        .prints(EQUAL);
    assert!(output.stdout.contains("18 keys repaired"), "{output}");
    assert_eq!(target.count(), source.count() + 7);
    let output = once(compare_full(source, target))
        .words(["--repair", "--delete-extra"])
        .run()
        .exits(0)
        .prints(&format!("{EQUAL}, 0 extra"));
    assert!(output.stdout.contains("7 keys repaired"), "{output}");
    data::assert_same(source, target);
    compare_full(source, target)
        .word("--both")
        .run()
        .exits(0)
        .prints(&format!("{EQUAL}, 0 extra"));
}

#[test]
fn two_clusters() {
    are_found_and_mended([3, 5]);
}

#[test]
fn a_server_and_a_cluster() {
    are_found_and_mended([0, 3]);
}

#[test]
fn a_cluster_and_a_server() {
    are_found_and_mended([3, 0]);
}
