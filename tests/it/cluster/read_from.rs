//! Replicas are read where it is wished: the masters of the source are left alone.

use super::{EQUAL, Pair, deleting, keeping, sides};
use crate::clusters::{Cluster, Node, together};
use crate::data::{self, run};
use crate::live::live;
use crate::riot::{Riot, replicate};
use crate::servers::{Server, Version};
use crate::store::Store;

/// Reads of a master that riot only tried out, as what a user may do is tried out.
const TRIED: u64 = 10;

/// What reads values or goes through the keys.
const READS: [&str; 6] = ["scan", "get", "mget", "dump", "getrange", "hscan"];

fn reads(node: &Node) -> u64 {
    READS.iter().map(|command| node.calls(command)).sum()
}

/// Keys of all types, but for the groups of streams: a replica of 7.0 does not know how much a group has read.
fn fill(store: &dyn Store) {
    data::fill_slots(store);
    data::fill_mixed(store, "mixed:", 3000);
}

/// A cluster with replicas that have everything, none of which was read yet, and an empty server.
fn filled() -> (Cluster, Server) {
    let start = || Cluster::with(Version::Redis70, 3, 1).notifying().start();
    let (source, target) = together(start, || Server::start(Version::Redis70));
    fill(&source);
    // Replication does not carry how many entries the group of an empty stream has read.
    run!(source.client(), "DEL", "stream:emptied");
    source.replicated();
    source.tell_all("CONFIG RESETSTAT");
    (source, target)
}

fn from(source: &dyn Store, target: &dyn Store, nodes: &str) -> Riot {
    replicate(source, target).words(["--read-from", nodes])
}

#[test]
fn replicas_alone_are_read_where_it_is_wished() {
    let (source, target) = filled();
    for nodes in ["replica", "any_replica", "REPLICA_PREFERRED"] {
        let output = from(&source, &target, nodes).run().exits(0).prints(EQUAL);
        let [masters, replicas] = [source.masters(), source.replicas()]
            .map(|nodes| nodes.iter().map(|node| reads(node)).collect::<Vec<_>>());
        assert_eq!(output.counts().written, source.count(), "{output}");
        data::assert_same(&source, &target);
        assert!(
            masters.iter().all(|calls| *calls <= TRIED),
            "{masters:?}\n{output}"
        );
        assert!(
            replicas.iter().all(|calls| *calls > 100),
            "{replicas:?}\n{output}"
        );
        target.flush();
        source.tell_all("CONFIG RESETSTAT");
    }
}

#[test]
fn masters_are_read_where_nothing_else_is_wished() {
    let (source, target) = filled();
    for nodes in ["upstream", "master_preferred"] {
        from(&source, &target, nodes).run().exits(0).prints(EQUAL);
        for replica in source.replicas() {
            assert!(reads(&replica) <= TRIED, "{nodes}: {}", reads(&replica));
        }
        data::assert_same(&source, &target);
        target.flush();
        source.tell_all("CONFIG RESETSTAT");
    }
}

#[test]
fn any_node_gives_the_same() {
    let (source, target) = filled();
    for nodes in ["any", "lowest_latency"] {
        from(&source, &target, nodes).run().exits(0).prints(EQUAL);
        data::assert_same(&source, &target);
        target.flush();
    }
    // One replica is gone: its master is read instead, and the others are left alone.
    let gone = source.replica_of(&source.node(0));
    gone.kill();
    source.tell_all("CONFIG RESETSTAT");
    from(&source, &target, "replica-preferred")
        .run()
        .exits(0)
        .prints(EQUAL);
    let masters = [0, 1, 2].map(|index| reads(&source.node(index)));
    assert!(masters[0] > 100, "{masters:?}");
    assert!(masters[1] <= TRIED && masters[2] <= TRIED, "{masters:?}");
    data::assert_same(&source, &target);
}

#[test]
fn a_cluster_without_replicas() {
    let [source, target] = sides(Version::Redis70, [3, 0]);
    let (source, target) = (source.as_ref(), target.as_ref());
    fill(source);
    // One may become known a little later: that is waited for.
    let running = ["replica", "any-replica"].map(|nodes| from(source, target, nodes).spawn());
    for running in running {
        running.finish().names(3, &["replica", "source"]);
    }
    assert_eq!(target.count(), 0);
    for nodes in [
        "replica-preferred",
        "any",
        "lowest-latency",
        "upstream-preferred",
    ] {
        from(source, target, nodes).run().exits(0).prints(EQUAL);
        data::assert_same(source, target);
        target.flush();
    }
}

fn under_load(events: &str) {
    let pair = Pair::new(Version::Redis70);
    let riot =
        live(events, &pair.source.uri(), &pair.target.uri()).words(["--read-from", "replica"]);
    let output = pair.through(deleting(), riot, |progress| progress.more(2000));
    pair.source.replicated();
    pair.equal(&output);
}

#[test]
fn replicas_are_followed_under_load_by_keyspace_notifications() {
    under_load("keyspace");
}

#[test]
fn replicas_are_followed_under_load_by_tracking() {
    under_load("tracking");
}

#[test]
fn a_replica_that_is_read_becomes_the_master() {
    let pair = Pair::new(Version::Redis70);
    let riot = pair.live().words(["--read-from", "replica-preferred"]);
    let output = pair.through(keeping(), riot, |progress| {
        let master = pair.source.node(1);
        pair.source.failover_by_kill(&master);
        progress.more(500);
        pair.source.restart(&master);
    });
    pair.equal(&output);
}
