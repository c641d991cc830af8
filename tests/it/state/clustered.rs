//! A cluster's copy is killed, and the cluster is another one when it is picked up.

use super::{Kept, reads};
use crate::clusters::{Cluster, each_version, slot, together};
use crate::data;
use crate::servers::{Server, Version};
use crate::size::size;
use crate::store::Store;

/// A copy that takes some seconds.
fn paced(keys: u32) -> [String; 4] {
    [
        "--rate".into(),
        (keys / 4).to_string(),
        "--reconnect-timeout".into(),
        "60s".into(),
    ]
}

/// A cluster with keys, and a target of its own.
struct Pair {
    source: Cluster,
    target: Server,
    keys: u64,
}

impl Pair {
    fn new(version: Version, replicas: usize) -> Self {
        let source = Cluster::start(version, 3, replicas);
        data::fill_mixed(&source, "key:", size().state_mixed);
        if replicas > 0 {
            source.replicated();
        }
        Self {
            keys: source.count(),
            source,
            target: Server::start(version),
        }
    }

    /// A copy, killed in the middle; `change`, and it is picked up.
    fn around(&self, change: impl FnOnce(&Cluster), line: Option<&str>) {
        self.copy_around(change, line);
        self.assert_same();
    }

    fn copy_around(&self, change: impl FnOnce(&Cluster), line: Option<&str>) {
        let words = paced(size().state_mixed);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let kept = Kept::of(&self.source, &self.target).words(&words);
        kept.killed_at(self.keys / 2);
        change(&self.source);
        let output = kept.riot().run().exits(0).says("picked up at ");
        if let Some(line) = line {
            assert!(output.stderr.contains(line), "`{line}`\n{output}");
        }
        assert!(!kept.file().exists());
    }

    fn assert_same(&self) {
        data::assert_snapshots(
            &data::snapshot(&self.source, 0),
            &data::snapshot(&self.target, 0),
            self.source.tolerance(),
        );
    }
}

each_version![
    nothing_has_changed,
    slots_have_moved,
    a_master_has_failed_over,
    a_slot_is_half_moved,
];

fn nothing_has_changed(version: Version) {
    let pair = Pair::new(version, 0);
    let whole = Server::start(version);
    let before = reads(&pair.source);
    crate::riot::replicate(&pair.source, &whole)
        .word("--no-verify")
        .run()
        .exits(0);
    let once = reads(&pair.source) - before;
    let words = paced(size().state_mixed);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let kept = Kept::of(&pair.source, &pair.target)
        .words(&words)
        .words(&["--no-verify"]);
    let before = reads(&pair.source);
    for part in 1..=2 {
        kept.killed_at(pair.keys * part / 3);
    }
    kept.riot().run().exits(0);
    let again = (reads(&pair.source) - before).saturating_sub(once) * 100 / once;
    eprintln!("{} keys, 2 kills: {again} % were read twice", pair.keys);
    // A page of each of three nodes is much of so few keys.
    assert!(again < 25, "{again} % were read twice");
    data::assert_same(&pair.source, &pair.target);
}

fn slots_have_moved(version: Version) {
    let change = |source: &Cluster| {
        let (from, to) = (source.node(0), source.node(2));
        source.reshard(&from, &to, size().cluster_slots);
    };
    Pair::new(version, 0).around(
        change,
        Some("slots have moved since the copy was begun: they are scanned from the start"),
    );
}

fn a_master_has_failed_over(version: Version) {
    let change = |source: &Cluster| {
        source.failover_by_kill(&source.node(1));
    };
    let line = "1 of the 3 source nodes that were scanned were restarted or replaced since";
    Pair::new(version, 1).around(change, Some(line));
}

fn a_slot_is_half_moved(version: Version) {
    let mut pair = Pair::new(version, 0);
    data::fill_mixed(&pair.source, "{one}:", size().state_mixed / 4);
    pair.keys = pair.source.count();
    let mut begun = None;
    let half_move = |source: &Cluster| begun = Some(source.half_move_away(slot(b"{one}")));
    pair.copy_around(half_move, None);
    // Keys of a slot that is half moved are told to those alone who ask for them.
    pair.source.finish_move(&begun.expect("a move"));
    pair.assert_same();
}

#[test]
fn a_node_joins_and_takes_over_everything_of_another() {
    let pair = Pair::new(Version::Redis70, 0);
    pair.around(
        |source| {
            let node = source.add_node();
            let from = source.node(1);
            let all = source.slots_of(&from).len();
            source.reshard(&from, &node, all / 2);
        },
        None,
    );
}

#[test]
fn slots_move_while_riot_runs_and_then_it_is_killed() {
    let pair = Pair::new(Version::Redis70, 0);
    let words = paced(size().state_mixed);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let kept = Kept::of(&pair.source, &pair.target).words(&words);
    let running = kept.until(pair.keys / 4);
    pair.source
        .reshard(&pair.source.node(0), &pair.source.node(1), 50);
    running.signal("KILL");
    running.finish();
    kept.riot().run().exits(0);
    data::assert_snapshots(
        &data::snapshot(&pair.source, 0),
        &data::snapshot(&pair.target, 0),
        pair.source.tolerance(),
    );
}

#[test]
fn a_cluster_at_the_target_that_lost_a_master_gets_all_keys_again() {
    let start = || Cluster::start(Version::Redis70, 3, 1);
    let fill = || {
        let source = Server::start(Version::Redis70);
        data::fill_mixed(&source, "key:", size().state_mixed);
        source
    };
    let (source, target) = together(fill, start);
    let words = paced(size().state_mixed);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let kept = Kept::of(&source, &target).words(&words);
    kept.killed_at(source.keys(0) / 2);
    target.failover_by_kill(&target.node(1));
    let line = "the target was restarted or replaced since: what was copied may be gone, so all keys are copied again";
    kept.riot().run().exits(0).says(line);
    data::assert_same(&source, &target);
}
