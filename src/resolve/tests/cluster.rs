//! Command lines that name clusters, and which of their nodes are read.

use super::*;
use crate::config::ReadFrom;

#[test]
fn a_side_is_a_cluster_when_the_words_say_so() {
    for (line, source, target) in [
        ("riot replicate a b", false, false),
        ("riot replicate a b --source-cluster", true, false),
        ("riot replicate a b --target-cluster", false, true),
        (
            "riot compare --source-cluster --target-cluster a b",
            true,
            true,
        ),
        ("riot -c -h a replicate -h b", true, false),
        ("riot -h a replicate -h b -c", false, true),
        (
            "riot --cluster -u redis://a replicate --cluster -u redis://b",
            true,
            true,
        ),
        (
            "riot replicate rediss://u:p@a/0 b --source-cluster",
            true,
            false,
        ),
        (
            "riot replicate a b --source-cluster --source-db 0",
            true,
            false,
        ),
        ("riot replicate a/1 b --target-cluster", false, true),
    ] {
        let config = run(line);
        assert_eq!(
            (config.source.cluster, config.target.cluster),
            (source, target),
            "{line}"
        );
    }
}

#[test]
fn nodes_to_read_from_by_each_of_their_names() {
    for (name, nodes) in [
        ("upstream", ReadFrom::Upstream),
        ("MASTER", ReadFrom::Upstream),
        ("UPSTREAM_PREFERRED", ReadFrom::UpstreamPreferred),
        ("master-preferred", ReadFrom::UpstreamPreferred),
        ("Replica", ReadFrom::Replica),
        ("replica_preferred", ReadFrom::ReplicaPreferred),
        ("any", ReadFrom::Any),
        ("ANY_REPLICA", ReadFrom::AnyReplica),
        ("lowest-latency", ReadFrom::LowestLatency),
    ] {
        for line in [
            format!("riot replicate a b --read-from {name}"),
            format!("riot compare --source-read-from={name} a b"),
            format!("riot -c --read-from {name} -h a replicate -h b"),
            format!("riot -h a replicate -h b --read-from {name}"),
        ] {
            let config = run(&line);
            assert_eq!(
                (config.source.read_from, config.target.read_from),
                (nodes, ReadFrom::Upstream),
                "{line}"
            );
        }
        let line = format!("riot replicate a b --target-read-from {name}");
        let config = run(&line);
        assert_eq!(
            (config.source.read_from, config.target.read_from),
            (ReadFrom::Upstream, nodes),
            "{line}"
        );
    }
}
