//! Clusters that are not whole: an end with a clear line or a good end, and never a run that hangs.

use std::time::Duration;

use super::{EQUAL, fill};
use crate::clusters::{Cluster, slot, together};
use crate::data;
use crate::riot::{Output, Riot, replicate};
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
    ends_badly(&impatient(&server, &cluster).run(), "target");
    ends_badly(&impatient(&cluster, &server).run(), "source");

    // The other slots work: all but that slot's keys could arrive, and that is no good end.
    cluster.tell_all("CONFIG SET cluster-require-full-coverage no");
    has_state(&cluster, "ok");
    ends_badly(&impatient(&server, &cluster).run(), "target");
    ends_badly(&impatient(&cluster, &server).run(), "source");
}

/// A snapshot that lasts some seconds, once it has begun.
fn slow(riot: Riot, target: &dyn Store) -> crate::riot::Running {
    let running = riot.words(["--rate", "5000"]).spawn();
    wait::until("some keys have arrived", || {
        (target.count() > 1000).then_some(())
    });
    running
}

#[test]
fn a_node_that_is_lost_for_good_ends_the_run() {
    let start = || {
        Cluster::with(Version::Redis70, 3, 0)
            .patience(Duration::from_millis(1500))
            .start()
    };
    for side in ["source", "target"] {
        let (cluster, server) = together(start, || Server::start(Version::Redis70));
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
}

#[test]
fn a_node_that_is_held_up_for_a_while_gets_and_gives_everything() {
    let [source, target] = [(); 2].map(|()| {
        Cluster::with(Version::Redis70, 3, 0)
            .patience(Duration::from_millis(1500))
            .start()
    });
    data::fill_slots(&source);
    data::fill_mixed(&source, "mixed:", size().cluster_snapshot);
    for cluster in [&source, &target] {
        target.flush();
        let running = slow(replicate(&source, &target), &target);
        let (held, other) = (cluster.node(0), cluster.node(1));
        held.pause();
        // Long enough for the others to take it for lost and to refuse commands.
        wait::until("the others take it for lost", || {
            let text: String = other.run("CLUSTER INFO");
            text.contains("cluster_state:fail").then_some(())
        });
        held.resume();
        cluster.settle();
        running.finish().exits(0).prints(EQUAL);
        data::assert_same(&source, &target);
    }
}
