//! Clusters on either side and on both: whatever happens to their nodes and slots, what the target holds in the end is what the
//! source holds.

mod addresses;
mod comparing;
mod copies;
mod failovers;
mod faults;
mod live;
mod lost_writes;
mod read_from;
mod resharding;
mod shards;
mod words;

use std::time::Duration;

use crate::clusters::{Cluster, together};
use crate::data;
use crate::live::load::{Load, Progress};
use crate::live::reconnects::PATIENT;
use crate::live::{Report, equal, listens, live, scanned};
use crate::riot::{Output, Riot};
use crate::servers::{Server, Version};
use crate::size::size;
use crate::store::Store;

/// The closing line where nothing differs.
const EQUAL: &str = "0 missing, 0 type, 0 value, 0 ttl";

/// A cluster of so many masters, or of none: one server alone. Its changes are told by keyspace notifications.
fn side(version: Version, masters: usize) -> Box<dyn Store + Send> {
    if masters > 0 {
        return Box::new(Cluster::with(version, masters, 0).notifying().start());
    }
    let words = ["--notify-keyspace-events", "KA"];
    Box::new(Server::with(version).arguments(words).start())
}

/// One of each, started at once.
fn sides<const N: usize>(version: Version, masters: [usize; N]) -> [Box<dyn Store + Send>; N] {
    std::thread::scope(|scope| {
        let starting = masters.map(|masters| scope.spawn(move || side(version, masters)));
        starting.map(|side| side.join().unwrap())
    })
}

/// Keys of all types and of all kinds of names, on every node.
fn fill(store: &dyn Store) {
    data::fill_every_type(store, 0);
    data::fill_slots(store);
    data::fill_mixed(store, "mixed:", 3000);
}

/// Two clusters of three masters and three replicas.
struct Pair {
    source: Cluster,
    target: Cluster,
}

impl Pair {
    fn new(version: Version) -> Self {
        let start = || Cluster::with(version, 3, 1).notifying().start();
        let (source, target) = together(start, start);
        Self { source, target }
    }

    /// `riot replicate --mode live` by keyspace notifications.
    fn live(&self) -> Riot {
        live("keyspace", &self.source.uri(), &self.target.uri())
    }

    /// Lets it run under this load, and other keys at rest, while `fault` happens, until all is quiet.
    fn through(&self, load: Load, riot: Riot, fault: impl FnOnce(&Progress)) -> Output {
        load.fill(&self.source);
        data::fill_mixed(&self.source, "rests:", size().cluster_keys);
        self.source.replicated();
        let mut running = riot.words(PATIENT).spawn();
        let (running, _) = load.during(&self.source, size().cluster_load, |progress| {
            listens(&mut running);
            scanned(&mut running);
            progress.more(500);
            fault(progress);
            progress.more(500);
            running
        });
        running.finish()
    }

    /// Fails the test where the two do not hold the same, or riot did not say so.
    #[track_caller]
    fn equal(&self, output: &Output) -> Report {
        equal(output, &self.source, &self.target)
    }
}

/// Applications at work, without deletions: for what is a gap on the source's side.
fn keeping() -> Load {
    deleting().that_deletes_nothing()
}

/// Applications at work. They leave the machine's cores room: clusters that starve lose nodes that nobody killed.
fn deleting() -> Load {
    Load::on(size().cluster_keys)
        .grouped()
        .writers(4)
        .pause(Duration::from_millis(1))
}
