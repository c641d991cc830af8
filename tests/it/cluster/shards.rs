//! One replication as several runs, each with a range of the slots: together they copy every key, and each key once.

use super::{fill, sides};
use crate::clusters::slot;
use crate::data::{self, Snapshot};
use crate::riot::{Riot, replicate};
use crate::servers::Version;
use crate::store::Store;

fn json(source: &dyn Store, target: &dyn Store) -> Riot {
    replicate(source, target).words(["--report", "json"])
}

/// The keys of the I-th of three ranges of slots.
fn third(all: &Snapshot, number: usize) -> Snapshot {
    let starts = [0, 5461, 10_922, 16_384];
    let range = starts[number - 1]..starts[number];
    let keys = all.iter();
    keys.filter(|(key, _)| range.contains(&slot(&key.0)))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// Three runs at once.
fn three_runs(masters: [usize; 2]) {
    let [source, target] = sides(Version::Redis70, masters);
    let (source, target) = (source.as_ref(), target.as_ref());
    fill(source);
    let all = data::snapshot(source, 0);
    let running = [1, 2, 3].map(|number| {
        let shard = format!("{number}/3");
        json(source, target).words(["--shard", &shard]).spawn()
    });
    let mut written = Vec::new();
    for (running, number) in running.into_iter().zip(1..) {
        let report = running.finish().exits(0).report();
        let count = report["written"].as_u64().unwrap();
        assert_eq!(count, third(&all, number).len() as u64, "{report}");
        written.push(count);
    }
    assert_eq!(written.iter().sum::<u64>(), all.len() as u64);
    data::assert_same(source, target);
}

#[test]
fn three_runs_from_cluster_to_cluster() {
    three_runs([3, 3]);
}

#[test]
fn three_runs_from_a_server_to_a_cluster() {
    three_runs([0, 3]);
}

#[test]
fn a_run_learns_from_its_surroundings_which_part_is_its_own() {
    let [source, target] = sides(Version::Redis70, [3, 0]);
    let (source, target) = (source.as_ref(), target.as_ref());
    fill(source);
    let all = data::snapshot(source, 0);
    let run = || json(source, target);
    // Kubernetes and AWS Batch count from 0.
    let auto = || run().words(["--shard", "auto/3"]);
    let runs = [
        (2, run().words(["--shard", "2/3"])),
        (2, run().variable("RIOT_SHARD", "2/3")),
        (
            1,
            run()
                .words(["--shard", "1/3"])
                .variable("RIOT_SHARD", "2/3"),
        ),
        (2, auto().variable("JOB_COMPLETION_INDEX", "1")),
        (1, auto().variable("AWS_BATCH_JOB_ARRAY_INDEX", "0")),
        (3, auto().variable("AWS_BATCH_JOB_ARRAY_INDEX", "2")),
        (
            3,
            run()
                .variable("RIOT_SHARD", "auto/3")
                .variable("JOB_COMPLETION_INDEX", "2"),
        ),
    ];
    for (number, riot) in runs {
        let report = riot.run().exits(0).report();
        let expected = third(&all, number);
        assert_eq!(report["written"], expected.len(), "{report}");
        data::assert_snapshots(&expected, &data::snapshot(target, 0), 0);
        target.flush();
    }
}

#[test]
fn a_part_that_is_none_is_refused() {
    let [source, target] = sides(Version::Redis70, [0, 0]);
    let (source, target) = (source.as_ref(), target.as_ref());
    let auto = || replicate(source, target).words(["--shard", "auto/3"]);
    auto().run().names(2, &["JOB_COMPLETION_INDEX"]);
    for index in ["3", "-1", "x", "1.5"] {
        auto()
            .variable("JOB_COMPLETION_INDEX", index)
            .run()
            .names(2, &["JOB_COMPLETION_INDEX"]);
    }
    for shard in ["4/3", "0/3", "auto", "auto/0", "3"] {
        replicate(source, target)
            .variable("RIOT_SHARD", shard)
            .run()
            .names(2, &["RIOT_SHARD"]);
    }
}
