//! Nodes as their cluster calls them: by host names, by TLS certificates for those, by no name at all, through any node.

use super::{EQUAL, fill};
use crate::certificates::Authority;
use crate::clusters::{Cluster, Plan, together};
use crate::data;
use crate::live::live;
use crate::live::reconnects::PATIENT;
use crate::riot::{replicate, riot};
use crate::servers::{Server, Version};
use crate::store::Store;

fn plan(version: Version) -> Plan {
    Cluster::with(version, 3, 0).notifying()
}

/// Copies from a cluster to one of the same kind, by these addresses.
fn arrives(source: &Cluster, target: &Cluster, uris: [String; 2], words: &[&str]) {
    let [from, to] = uris;
    fill(source);
    riot(["replicate", &from, &to])
        .words(words)
        .run()
        .exits(0)
        .prints(EQUAL);
    data::assert_same(source, target);
    target.flush();
    live("keyspace", &from, &to)
        .words(words)
        .words(PATIENT)
        .run()
        .exits(0);
    data::assert_same(source, target);
}

#[test]
fn nodes_are_called_by_their_host_names() {
    let start = || plan(Version::Valkey81).hostname("localhost").start();
    let (source, target) = together(start, start);
    let names: Vec<redis::Value> = source.run("CLUSTER SLOTS");
    assert!(format!("{names:?}").contains("localhost"), "{names:?}");
    let uris = [&source, &target].map(Store::uri);
    arrives(&source, &target, uris, &[]);
}

#[test]
fn nodes_without_a_name_are_where_the_first_one_is() {
    let kind = ["--cluster-preferred-endpoint-type", "unknown-endpoint"];
    let start = || plan(Version::Redis70).arguments(kind).start();
    let (source, target) = together(start, start);
    let uris = [&source, &target].map(Store::uri);
    arrives(&source, &target, uris, &[]);
}

#[test]
fn nodes_speak_tls_under_their_host_names() {
    let authority = Authority::new();
    // For the name alone: an address does not do.
    let files = authority.server(&["localhost"]);
    let client = authority.client();
    let start = || {
        plan(Version::Redis70)
            .hostname("localhost")
            .tls(&files, &client)
            .start()
    };
    let (source, target) = together(start, start);
    let ca = authority.file().to_str().unwrap();
    let uris = [&source, &target].map(Store::uri);
    assert!(uris[0].starts_with("rediss://localhost:"), "{uris:?}");
    let words = ["--source-cacert", ca, "--target-cacert", ca];
    arrives(&source, &target, uris, &words);
}

#[test]
fn nodes_speak_tls_under_their_addresses() {
    let authority = Authority::new();
    let files = authority.server(&["localhost", "127.0.0.1"]);
    let client = authority.client();
    let source = plan(Version::Redis80).tls(&files, &client).start();
    let target = Server::start(Version::Redis80);
    fill(&source);
    replicate(&source, &target)
        .words(["--source-cacert", authority.file().to_str().unwrap()])
        .run()
        .exits(0)
        .prints(EQUAL);
    data::assert_same(&source, &target);
}

#[test]
fn a_cluster_is_reached_through_any_node() {
    let start = || Cluster::start(Version::Redis70, 3, 1);
    let (source, target) = together(start, start);
    fill(&source);
    source.replicated();
    // The first three are masters, the others are replicas.
    for [from, to] in [[0, 5], [4, 2], [5, 3]] {
        riot(["replicate", &source.uri_of(from), &target.uri_of(to)])
            .run()
            .exits(0)
            .prints(EQUAL);
        data::assert_same(&source, &target);
        target.flush();
    }
}

#[test]
fn every_node_asks_for_the_password() {
    let start = || plan(Version::Redis70).password("s3cret").start();
    let (source, target) = together(start, start);
    let uris = [&source, &target].map(Store::uri);
    let words = ["--source-pass", "s3cret", "--target-pass", "s3cret"];
    arrives(&source, &target, uris, &words);
}
