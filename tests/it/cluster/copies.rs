//! Snapshots between servers and clusters of different sizes: every key arrives, whatever its slot.

use super::{EQUAL, fill, sides};
use crate::data;
use crate::riot::replicate;
use crate::servers::Version;
use crate::store::Store;

/// Everything is copied into an empty target, and the counts say so.
#[track_caller]
fn arrives(source: &dyn Store, target: &dyn Store) {
    let output = replicate(source, target).run().exits(0).prints(EQUAL);
    let (counts, keys) = (output.counts(), source.count());
    assert_eq!((counts.scanned, counts.written), (keys, keys), "{output}");
    data::assert_same(source, target);
    target.flush();
}

#[test]
fn every_pairing_of_servers_and_clusters() {
    let sources = sides(Version::Redis70, [0, 3, 5]);
    let targets = sides(Version::Redis70, [0, 3, 5]);
    for source in &sources {
        fill(source.as_ref());
        for target in &targets {
            arrives(source.as_ref(), target.as_ref());
        }
    }
}

fn other_versions(version: Version) {
    let [alone, three] = sides(version, [0, 3]);
    let [other_alone, other_three, five] = sides(version, [0, 3, 5]);
    for source in [&alone, &three] {
        fill(source.as_ref());
    }
    arrives(three.as_ref(), five.as_ref());
    arrives(alone.as_ref(), other_three.as_ref());
    arrives(three.as_ref(), other_alone.as_ref());
}

#[test]
fn pairings_of_redis_8_0() {
    other_versions(Version::Redis80);
}

#[test]
fn pairings_of_valkey_8_1() {
    other_versions(Version::Valkey81);
}

#[test]
fn every_way_of_reading_and_writing() {
    let [source, target] = sides(Version::Redis70, [3, 5]);
    fill(source.as_ref());
    replicate(source.as_ref(), target.as_ref())
        .word("--multi-exec")
        .run()
        .names(3, &["--multi-exec", "cluster"]);
    let ways: [&[&str]; 4] = [
        &["--type", "dump"],
        &["--threads", "7", "--read-threads", "5", "--batch", "3"],
        &["--source-resp", "2", "--target-resp", "2"],
        &[
            "--scan-count",
            "10",
            "--pipeline",
            "1",
            "--source-pool",
            "1",
            "--target-pool",
            "1",
        ],
    ];
    for words in ways {
        replicate(source.as_ref(), target.as_ref())
            .words(words)
            .run()
            .exits(0)
            .prints(EQUAL);
        data::assert_same(source.as_ref(), target.as_ref());
        target.flush();
    }
}

#[test]
fn keys_get_other_names_and_with_them_other_slots() {
    let [source, target] = sides(Version::Redis70, [3, 5]);
    data::fill_slots(source.as_ref());
    data::fill_mixed(source.as_ref(), "mixed:", 2000);
    replicate(source.as_ref(), target.as_ref())
        .words(["--key-process", "copy:#{key}"])
        .run()
        .exits(0)
        .prints(EQUAL);
    let expected = data::snapshot(source.as_ref(), 0)
        .into_iter()
        .map(|(key, value)| (data::Bytes([b"copy:", &key.0[..]].concat()), value))
        .collect();
    data::assert_snapshots(&expected, &data::snapshot(target.as_ref(), 0), 0);
}
