//! What an operator says of clusters, and what is said to an operator.

use super::{EQUAL, fill, sides};
use crate::clusters::{Cluster, together};
use crate::data;
use crate::riot::{compare, replicate, riot};
use crate::servers::{Server, Version};
use crate::store::Store;

#[test]
fn a_cluster_may_be_named_one_and_is_found_out_without() {
    let [source, target] = sides(Version::Redis70, [3, 3]);
    let (source, target) = (source.as_ref(), target.as_ref());
    fill(source);
    let flags = ["--source-cluster", "--target-cluster"];
    let named = replicate(source, target).words(flags).run().exits(0);
    data::assert_same(source, target);
    target.flush();
    let found_out = replicate(source, target).run().exits(0).says("cluster");
    data::assert_same(source, target);
    // Each side is told of in one line more.
    let lines = |text: &str| text.lines().filter(|line| line.contains("cluster")).count();
    assert!(
        lines(&found_out.stderr) > lines(&named.stderr),
        "{named}\n{found_out}"
    );
    compare(source, target)
        .words(flags)
        .run()
        .exits(0)
        .prints(EQUAL);
}

#[test]
fn riot_3s_words_name_clusters_too() {
    let [source, target] = sides(Version::Redis70, [3, 5]);
    let (source, target) = (source.as_ref(), target.as_ref());
    fill(source);
    riot(["-u", &source.uri(), "--cluster", "replicate"])
        .words(["-u", &target.uri(), "-c"])
        .run()
        .exits(0)
        .prints(EQUAL);
    data::assert_same(source, target);
    target.flush();
    let port = |store: &dyn Store| store.uri().rsplit_once(':').unwrap().1.to_owned();
    riot(["-p", &port(source), "replicate", "-p", &port(target)])
        .run()
        .exits(0)
        .prints(EQUAL);
    data::assert_same(source, target);
}

#[test]
fn a_cluster_has_one_database() {
    let [cluster, server] = sides(Version::Redis70, [3, 0]);
    let (cluster, server) = (cluster.as_ref(), server.as_ref());
    server.tell("SET here 1");
    cluster.tell("SET there 1");
    replicate(cluster, server)
        .words(["--source-cluster", "--source-db", "3"])
        .run()
        .names(2, &["cluster", "database"]);
    replicate(server, cluster)
        .words(["--target-cluster", "--target-db", "3"])
        .run()
        .names(2, &["cluster", "database"]);
    replicate(cluster, server)
        .words(["--source-db", "3"])
        .run()
        .names(3, &["cluster", "database"]);
    let target = format!("{}/3", cluster.uri());
    riot(["replicate", &server.uri(), &target])
        .run()
        .names(3, &["cluster", "database"]);
    assert_eq!(
        (cluster.count(), server.count()),
        (1, 1),
        "nothing was written"
    );
    replicate(cluster, server)
        .words(["--source-cluster", "--source-db", "0"])
        .run()
        .exits(0);
    assert_eq!(server.count(), 2);
}

#[test]
fn a_server_that_is_no_cluster_is_not_taken_for_one() {
    let [one, other] = sides(Version::Redis70, [0, 0]);
    let (one, other) = (one.as_ref(), other.as_ref());
    one.tell("SET key value");
    for flag in ["--source-cluster", "--target-cluster"] {
        let side = &flag[2..8];
        replicate(one, other)
            .word(flag)
            .run()
            .names(3, &[side, "cluster"]);
    }
    assert_eq!(other.count(), 0);
}

#[test]
fn a_cluster_takes_database_0_of_a_server_with_several() {
    let (source, target) = together(
        || Server::start(Version::Redis70),
        || Cluster::start(Version::Redis70, 3, 0),
    );
    data::fill_every_type(&source, 0);
    data::fill_strings(&source, "key:", 500, 20);
    data::fill_every_type(&source, 3);
    replicate(&source, &target)
        .run()
        .exits(0)
        .prints(EQUAL)
        .says("database 3")
        .prints("database 3");
    data::assert_same(&source, &target);
    // Any one of them can be chosen.
    target.flush();
    replicate(&source, &target)
        .words(["--source-db", "3"])
        .run()
        .exits(0)
        .prints(EQUAL);
    data::assert_snapshots(&data::snapshot(&source, 3), &data::snapshot(&target, 0), 0);
}

#[test]
fn one_cluster_is_not_both_sides() {
    let cluster = Cluster::start(Version::Redis70, 3, 1);
    fill(&cluster);
    let before = data::snapshot(&cluster, 0);
    cluster.replicated();
    // Two masters; a master and another's replica; a replica and its own master.
    for [from, to] in [[0, 1], [0, 5], [4, 1]] {
        riot(["replicate", &cluster.uri_of(from), &cluster.uri_of(to)])
            .run()
            .names(3, &["same"]);
    }
    riot(["replicate", &cluster.uri_of(0), &cluster.uri_of(0)])
        .run()
        .names(2, &["same"]);
    data::assert_snapshots(&before, &data::snapshot(&cluster, 0), 0);
}
