//! What changes arrives, between servers and clusters of all sizes, while applications write.

use super::{deleting, sides};
use crate::data;
use crate::live::reconnects::PATIENT;
use crate::live::{equal, listens, live, scanned};
use crate::servers::Version;
use crate::size::size;

/// One source of so many masters, followed by three runs at once: to a server, a small cluster and a larger one.
fn followed(masters: usize, events: &str) {
    let [source, alone, three, five] = sides(Version::Redis70, [masters, 0, 3, 5]);
    let source = source.as_ref();
    let load = deleting();
    load.fill(source);
    data::fill_slots(source);
    let targets = [&alone, &three, &five].map(AsRef::as_ref);
    let (running, _) = load.during(source, size().cluster_load, |progress| {
        let mut running = targets.map(|target| {
            let riot = live(events, &source.uri(), &target.uri());
            riot.words(PATIENT).spawn()
        });
        for riot in &mut running {
            listens(riot);
            scanned(riot);
        }
        progress.more(2000);
        running
    });
    for (riot, target) in running.into_iter().zip(targets) {
        let report = equal(&riot.finish(), source, target);
        let ways = report.json["live"]["ways"].as_array().unwrap();
        assert!(ways.iter().any(|way| way == events), "{report}");
        assert!(report.number(&["changes"]) > 500, "{report}");
        assert!(report.number(&["live", "gap_count"]) == 0, "{report}");
    }
}

#[test]
fn a_server_is_followed_into_servers_and_clusters() {
    followed(0, "keyspace");
}

#[test]
fn a_cluster_of_three_is_followed_into_servers_and_clusters() {
    followed(3, "keyspace");
}

#[test]
fn a_cluster_of_five_is_followed_into_servers_and_clusters() {
    followed(5, "keyspace");
}

#[test]
fn a_cluster_is_followed_by_tracking() {
    followed(3, "tracking");
}
