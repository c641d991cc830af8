//! Masters of either side die or step down while applications write: their replicas take over, and nothing is missing.

use super::{Pair, deleting, keeping};
use crate::clusters::{Cluster, each_version, together};
use crate::data;
use crate::live::reconnects::{PATIENT, had_gaps};
use crate::live::{Report, listens, live, scanned};
use crate::servers::{Server, Version};
use crate::store::Store;

each_version![
    a_master_of_the_source_dies,
    a_master_of_the_target_dies,
    masters_of_both_sides_step_down,
];

fn a_master_of_the_source_dies(version: Version) {
    let pair = Pair::new(version);
    let output = pair.through(keeping(), pair.live(), |progress| {
        // The very node that riot was told of.
        let master = pair.source.node(1);
        assert_eq!(master.uri(), pair.source.uri());
        pair.source.failover_by_kill(&master);
        progress.more(500);
        pair.source.restart(&master);
    });
    had_gaps(&pair.equal(&output), 1);
}

fn a_master_of_the_target_dies(version: Version) {
    let pair = Pair::new(version);
    let output = pair.through(deleting(), pair.live(), |progress| {
        let master = pair.target.node(1);
        assert_eq!(master.uri(), pair.target.uri());
        pair.target.failover_by_kill(&master);
        progress.more(500);
        pair.target.restart(&master);
    });
    pair.equal(&output);
}

fn masters_of_both_sides_step_down(version: Version) {
    let pair = Pair::new(version);
    let output = pair.through(keeping(), pair.live(), |progress| {
        for cluster in [&pair.source, &pair.target] {
            let replica = cluster.replica_of(&cluster.node(1));
            cluster.failover_by_command(&replica);
            progress.more(500);
        }
    });
    had_gaps(&pair.equal(&output), 1);
}

#[test]
fn masters_of_both_sides_die_at_once() {
    let pair = Pair::new(Version::Redis70);
    let output = pair.through(keeping(), pair.live(), |_| {
        let dies = |cluster: &Cluster, index| {
            cluster.failover_by_kill(&cluster.node(index));
        };
        together(|| dies(&pair.source, 0), || dies(&pair.target, 2));
    });
    had_gaps(&pair.equal(&output), 1);
}

#[test]
fn deletions_in_a_failover_are_made_up_for_where_it_is_wished() {
    let pair = Pair::new(Version::Redis70);
    let riot = pair.live().word("--delete-extra");
    let output = pair.through(deleting(), riot, |_| {
        pair.source.failover_by_kill(&pair.source.node(1));
    });
    had_gaps(&pair.equal(&output), 1);
}

/// Keys of the test of single shards: some thousands on each, a page of SCAN holds a hundred.
const KEYS: u32 = 15_000;
const PAGE: &str = "100";

#[test]
fn a_gap_of_one_shard_is_closed_by_a_scan_of_that_shard_alone() {
    let source = Cluster::with(Version::Redis70, 3, 1).notifying().start();
    let target = Server::start(Version::Redis70);
    data::fill_strings(&source, "key:", KEYS, 50);
    source.replicated();
    let words = ["--scan-count", PAGE, "--compare", "none"];
    let mut running = live("keyspace", &source.uri(), &target.uri())
        .words(words)
        .words(PATIENT)
        .spawn();
    listens(&mut running);
    scanned(&mut running);
    let (others, heir) = {
        let old = source.node(0);
        let heir = source.replica_of(&old);
        ([source.node(1), source.node(2)], heir)
    };
    let pages = u64::from(KEYS) / 3 / PAGE.parse::<u64>().unwrap();
    let scans = |server: &Server| server.calls("scan");
    let before = others.each_ref().map(|node| scans(node));
    assert!(before.iter().all(|calls| *calls >= pages), "{before:?}");
    let before_heir = scans(&heir);
    source.failover_by_command(&heir);
    let output = running.finish().exits(0);
    let after = others.each_ref().map(|node| scans(node));
    for (before, after) in before.into_iter().zip(after) {
        assert!(
            after - before < pages / 2,
            "{} pages of a shard that had no gap\n{output}",
            after - before
        );
    }
    let rescanned = scans(&heir) - before_heir;
    assert!(rescanned >= pages, "{rescanned} pages\n{output}");
    had_gaps(&Report::of(&output), 1);
    data::assert_same(&source, &target);
}
