//! Clusters that are not whole: an end with a clear line or a good end, and never a run that hangs.

use std::time::Duration;

use super::{EQUAL, fill};
use crate::clusters::{Cluster, slot, together};
use crate::data;
use crate::riot::{Output, Riot, Running, replicate};
use crate::servers::{Server, Version};
use crate::size::size;
use crate::store::Store;
use crate::wait;

/// A run that waits for three seconds where it has to wait.
fn impatient(source: &dyn Store, target: &dyn Store) -> Riot {
    replicate(source, target)
        .words(["--reconnect-timeout", "3s"])
        .deadline(Duration::from_secs(40))
}

/// Not 0, and a line that tells of slots or of the cluster.
#[track_caller]
fn ends_badly(output: &Output, side: &str) {
    let status = output.code();
    assert!(status == Some(1) || status == Some(3), "{output}");
    let clear = output
        .stderr
        .lines()
        .any(|line| line.contains(side) && (line.contains("slot") || line.contains("CLUSTERDOWN")));
    assert!(clear, "no clear line\n{output}");
    let panics = output.stderr.contains("panicked at");
    assert!(!panics, "a panic\n{output}");
}

/// From the server to the cluster and back, at once.
fn both_ways_end_badly(server: &Server, cluster: &Cluster) {
    let (to, from) = (
        impatient(server, cluster).spawn(),
        impatient(cluster, server).spawn(),
    );
    ends_badly(&to.finish(), "target");
    ends_badly(&from.finish(), "source");
}

/// Waits until every node says of the cluster's state that it is this.
fn has_state(cluster: &Cluster, state: &str) {
    let wanted = format!("cluster_state:{state}");
    wait::until(&wanted, || {
        let says = |text: String| text.contains(&wanted);
        let mut nodes = cluster.nodes().into_iter();
        nodes
            .all(|node| says(node.run("CLUSTER INFO")))
            .then_some(())
    });
}

#[test]
fn a_slot_without_a_master() {
    let (cluster, server) = together(
        || Cluster::start(Version::Redis70, 3, 0),
        || Server::start(Version::Redis70),
    );
    fill(&server);
    cluster.lose_slot(slot(b"mixed:1"));
    has_state(&cluster, "fail");
    both_ways_end_badly(&server, &cluster);

    // The other slots work: all but that slot's keys could arrive, and that is no good end.
    cluster.tell_all("CONFIG SET cluster-require-full-coverage no");
    has_state(&cluster, "ok");
    both_ways_end_badly(&server, &cluster);
}

/// A snapshot that lasts some seconds, once it has begun.
fn slow(riot: Riot, target: &dyn Store) -> Running {
    let running = riot.words(["--rate", "5000"]).spawn();
    wait::until("some keys have arrived", || {
        (target.count() > 1000).then_some(())
    });
    running
}

/// A cluster whose nodes are soon taken for lost, though nobody can take over.
fn hasty() -> Cluster {
    Cluster::with(Version::Redis70, 3, 0)
        .patience(Duration::from_millis(1500))
        .start()
}

/// A node of the source or of the target dies in the middle.
fn a_node_is_lost(side: &str) {
    let (cluster, server) = together(hasty, || Server::start(Version::Redis70));
    let (source, target): (&dyn Store, &dyn Store) = if side == "source" {
        (&cluster, &server)
    } else {
        (&server, &cluster)
    };
    data::fill_mixed(source, "mixed:", size().cluster_snapshot);
    let running = slow(impatient(source, target), target);
    cluster.node(2).kill();
    running.finish().exits(3).says(side);
}

#[test]
fn a_node_that_is_lost_for_good_ends_the_run() {
    together(|| a_node_is_lost("source"), || a_node_is_lost("target"));
}

#[test]
fn nodes_that_are_held_up_for_a_while_get_and_give_everything() {
    let (source, target) = together(hasty, hasty);
    data::fill_slots(&source);
    data::fill_mixed(&source, "mixed:", size().cluster_snapshot);
    let running = slow(replicate(&source, &target), &target);
    for cluster in [&source, &target] {
        let (held, other) = (cluster.node(0), cluster.node(1));
        held.pause();
        // Long enough for the others to take it for lost and to refuse commands.
        wait::until("the others take it for lost", || {
            let text: String = other.run("CLUSTER INFO");
            text.contains("cluster_state:fail").then_some(())
        });
        held.resume();
        cluster.settle();
    }
    running.finish().exits(0).prints(EQUAL);
    data::assert_same(&source, &target);
}
