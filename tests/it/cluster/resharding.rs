//! Slots move from node to node, on either side, while keys are copied and while applications write.

use super::{EQUAL, Pair, deleting, keeping};
use crate::clusters::{Cluster, Move, each_version, slot, together};
use crate::data;
use crate::riot::{compare_full, replicate};
use crate::servers::{Server, Version};
use crate::size::size;
use crate::store::Store;
use crate::wait;

each_version![
    slots_move_on_the_source_under_load,
    a_node_joins_the_source_under_load,
    slots_move_and_a_node_joins_on_the_target_under_load,
    a_slot_that_is_half_moved_on_the_source_is_read_whole,
    a_slot_becomes_half_moved_during_a_snapshot,
];

fn slots_move_on_the_source_under_load(version: Version) {
    let pair = Pair::new(version);
    let output = pair.through(deleting(), pair.live(), |_| {
        let (from, to) = (pair.source.node(0), pair.source.node(2));
        pair.source.reshard(&from, &to, size().cluster_slots);
    });
    pair.equal(&output);
}

fn a_node_joins_the_source_under_load(version: Version) {
    let pair = Pair::new(version);
    let output = pair.through(keeping(), pair.live(), |_| {
        let node = pair.source.add_node();
        let from = pair.source.node(1);
        pair.source.reshard(&from, &node, size().cluster_slots);
    });
    pair.equal(&output);
}

fn slots_move_and_a_node_joins_on_the_target_under_load(version: Version) {
    let pair = Pair::new(version);
    let output = pair.through(deleting(), pair.live(), |progress| {
        let [first, second, third] = [0, 1, 2].map(|index| pair.target.node(index));
        pair.target.reshard(&first, &third, size().cluster_slots);
        progress.more(500);
        let node = pair.target.add_node();
        pair.target.reshard(&second, &node, size().cluster_slots);
    });
    let report = pair.equal(&output);
    assert!(report.number(&["redirections"]) > 0, "{report}");
}

/// Keys a second in the snapshots during which slots move.
const RATE: &str = "5000";
/// The same where many slots move.
const LONG_RATE: &str = "2000";

/// Slots move on one of the sides in the middle of a snapshot: from the first node to the last, and from that to the second.
fn during_a_snapshot(side: for<'a> fn(&'a Cluster, &'a Cluster) -> &'a Cluster) {
    let start = || Cluster::start(Version::Redis70, 3, 0);
    let (source, target) = together(start, start);
    data::fill_every_type(&source, 0);
    data::fill_slots(&source);
    data::fill_mixed(&source, "mixed:", size().cluster_snapshot);
    let running = replicate(&source, &target)
        .words(["--rate", LONG_RATE])
        .spawn();
    wait::until("some keys have arrived", || {
        (target.count() > 1000).then_some(())
    });
    let cluster = side(&source, &target);
    let [first, second, third] = [0, 1, 2].map(|index| cluster.node(index));
    cluster.reshard(&first, &third, size().cluster_slots);
    cluster.reshard(&third, &second, size().cluster_slots);
    assert!(target.count() < source.count(), "the snapshot still runs");
    running.finish().exits(0).prints(EQUAL);
    data::assert_same(&source, &target);
}

#[test]
fn slots_move_on_the_source_during_a_snapshot() {
    during_a_snapshot(|source, _| source);
}

#[test]
fn slots_move_on_the_target_during_a_snapshot() {
    during_a_snapshot(|_, target| target);
}

/// Begins to move the slot of a tag with many keys.
fn half_moved(cluster: &Cluster) -> Move {
    let begun = cluster.half_move_away(slot(b"{one}"));
    assert!(begun.moved > 20, "{begun:?}");
    begun
}

/// A slot may stay so for long, as after a move that was broken off: all its keys are copied, and compared.
fn arrives_half_moved(source: &Cluster, target: &Cluster) {
    let patience = ["--reconnect-timeout", "5s"];
    replicate(source, target)
        .words(["--compare", "none"])
        .words(patience)
        .run()
        .exits(0);
    compare_full(source, target)
        .words(patience)
        .run()
        .exits(0)
        .prints(EQUAL);
}

fn a_slot_that_is_half_moved_on_the_source_is_read_whole(version: Version) {
    let start = || Cluster::start(version, 3, 0);
    let (source, target) = together(start, start);
    data::fill_slots(&source);
    let begun = half_moved(&source);
    arrives_half_moved(&source, &target);
    source.finish_move(&begun);
    data::assert_same(&source, &target);
}

/// Keys leave the node whose scan has not come to them for one whose scan is past their places, and the slot stays so.
fn a_slot_becomes_half_moved_during_a_snapshot(version: Version) {
    let source = Cluster::start(version, 3, 0);
    let target = Server::start(version);
    let keys = size().cluster_snapshot;
    data::fill_mixed(&source, "{one}:", keys / 3);
    data::fill_mixed(&source, "mixed:", keys);
    let running = replicate(&source, &target)
        .words(["--rate", RATE, "--no-verify"])
        .spawn();
    wait::until("half of the keys have arrived", || {
        (target.keys(0) > source.count() / 2).then_some(())
    });
    let begun = half_moved(&source);
    assert!(target.keys(0) < source.count(), "the snapshot still runs");
    running.finish().exits(0);
    // Keys of a slot that is half moved are told to those alone who ask for them.
    source.finish_move(&begun);
    data::assert_same(&source, &target);
}

#[test]
fn a_slot_that_is_half_moved_on_the_target_is_written_whole() {
    let start = || Cluster::start(Version::Redis70, 3, 0);
    let (source, target) = together(start, start);
    data::fill_slots(&source);
    // Some keys that the target has are there already, and some are still here.
    for number in 0..50 {
        target.tell(&format!("RPUSH {{one}}:{number} old"));
    }
    let begun = half_moved(&target);
    arrives_half_moved(&source, &target);
    target.finish_move(&begun);
    data::assert_same(&source, &target);
}
