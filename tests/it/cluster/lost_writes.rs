//! A master dies before its replica has what it confirmed: the cluster has lost it, and both sides agree on what is left.

use std::sync::Arc;

use super::Pair;
use crate::clusters::{Cluster, Node, key_in};
use crate::data::{self, run};
use crate::live::reconnects::had_gaps;
use crate::live::{Report, listens, scanned};
use crate::riot::Running;
use crate::servers::Version;
use crate::store::Store;
use crate::wait;

/// Large values, more of them than the sockets between a master and its replica hold.
const VALUES: u32 = 40;
const BYTES: usize = 1 << 20;

/// Their names.
fn key(tag: &str, number: u32) -> String {
    format!("{{{tag}}}:{number}")
}

/// Bytes of each key's value.
fn lengths(cluster: &Cluster, tag: &str) -> Vec<usize> {
    let mut pipe = redis::pipe();
    for number in 0..VALUES {
        pipe.cmd("STRLEN").arg(key(tag, number));
    }
    pipe.query(&mut cluster.client()).unwrap()
}

/// A pair with small values in one slot of the second master of either side, and a run that listens.
fn running() -> (Pair, String, Running) {
    let pair = Pair::new(Version::Redis70);
    let owned = pair.source.slots_of(&pair.source.node(1));
    let tag = key_in(|slot| owned.contains(&slot), "tag");
    data::fill_mixed(&pair.source, "rests:", 1000);
    for number in 0..VALUES {
        run!(pair.source.client(), "SET", key(&tag, number), "before",);
    }
    pair.source.replicated();
    let mut running = pair.live().words(["--retry", "always"]).spawn();
    listens(&mut running);
    scanned(&mut running);
    wait::until("the small values have arrived", || {
        (pair.target.count() == pair.source.count()).then_some(())
    });
    pair.target.replicated();
    (pair, tag, running)
}

/// Holds the replica of a side's second master still.
fn hold_replica(cluster: &Cluster) -> Arc<Node> {
    let replica = cluster.replica_of(&cluster.node(1));
    replica.pause();
    replica
}

/// Overwrites the small values, and waits until the target has the large ones.
fn write_large(pair: &Pair, tag: &str) {
    let mut c = pair.source.client();
    for number in 0..VALUES {
        run!(c, "SET", key(tag, number), data::text(number, BYTES));
    }
    wait::until("the large values have arrived", || {
        let mut lengths = lengths(&pair.target, tag).into_iter();
        lengths.all(|length| length == BYTES).then_some(())
    });
}

/// Ends the second master, then lets its replica go on and take over.
fn lose(cluster: &Cluster, replica: &Node) {
    cluster.node(1).kill();
    replica.resume();
    cluster.settle();
}

/// Waits until the target has what the source has, ends the run, and expects just that.
fn agree(pair: &Pair, tag: &str, running: Running) -> Report {
    wait::until("both sides have the same of the large values", || {
        (lengths(&pair.target, tag) == lengths(&pair.source, tag)).then_some(())
    });
    running.signal("TERM");
    pair.equal(&running.finish())
}

#[test]
fn what_the_source_loses_in_a_failover_is_taken_back() {
    let (pair, tag, running) = running();
    let replica = hold_replica(&pair.source);
    write_large(&pair, &tag);
    lose(&pair.source, &replica);
    let lost = lengths(&pair.source, &tag).pop();
    assert_eq!(lost, Some("before".len()), "the last value is lost");
    had_gaps(&agree(&pair, &tag, running), 1);
}

#[test]
fn what_the_target_loses_in_a_failover_is_written_again() {
    let (pair, tag, running) = running();
    let replica = hold_replica(&pair.target);
    write_large(&pair, &tag);
    lose(&pair.target, &replica);
    had_gaps(&agree(&pair, &tag, running), 1);
}

#[test]
fn what_the_target_loses_while_riot_does_not_look_is_written_again() {
    let (pair, tag, running) = running();
    let replica = hold_replica(&pair.target);
    write_large(&pair, &tag);
    // As when riot's own machine is frozen for a while: the failover is over when it wakes.
    running.signal("STOP");
    lose(&pair.target, &replica);
    let lost = lengths(&pair.target, &tag).pop();
    assert_eq!(lost, Some("before".len()), "the last value is lost");
    running.signal("CONT");
    agree(&pair, &tag, running);
}
