//! `riot ping`: round trips to a server, to a cluster's masters, in every spelling.

use std::time::Duration;

use crate::clusters::Cluster;
use crate::proxy::{Direction, Proxy};
use crate::riot::{Output, riot};
use crate::servers::{Server, Version};

/// The servers of a JSON report.
fn servers(output: &Output) -> Vec<serde_json::Value> {
    output.report()["servers"].as_array().unwrap().clone()
}

#[test]
fn every_version_is_measured() {
    let form = regex::Regex::new(
        r"^127\.0\.0\.1:\d+ +(Redis|Valkey) [\d.]+ +10 round trips: min [\d.]+ ms, avg [\d.]+ ms, p99 [\d.]+ ms, max [\d.]+ ms\n$",
    )
    .unwrap();
    for version in [
        Version::Redis60,
        Version::Redis70,
        Version::Redis80,
        Version::Valkey81,
    ] {
        let server = Server::start(version);
        let output = riot(["ping", &server.uri()]).run().exits(0);
        assert!(form.is_match(&output.stdout), "{output}");
        assert!(output.stderr.is_empty(), "{output}");
        assert!(server.calls("ping") >= 10, "{output}");
    }
}

#[test]
fn the_numbers_are_those_of_the_way() {
    let server = Server::start(Version::Redis70);
    let proxy = Proxy::to(&server.address());
    proxy.delay(Direction::Up, Duration::from_millis(20));
    let words = ["ping", "--report=json", "--count", "4", &proxy.address()];
    let output = riot(words).run().exits(0);
    let [trips] = &servers(&output)[..] else {
        panic!("one server was expected\n{output}");
    };
    let number = |name: &str| trips[name].as_u64().unwrap();
    assert_eq!(number("count"), 4, "{output}");
    assert!(number("min_us") >= 20_000, "{output}");
    assert!(number("min_us") <= number("avg_us"), "{output}");
    assert!(number("avg_us") <= number("p99_us"), "{output}");
    assert!(number("p99_us") <= number("max_us"), "{output}");
}

#[test]
fn every_spelling_names_the_same_server() {
    let server = Server::with(Version::Redis70).password("secret").start();
    server.tell("ACL SETUSER few on >other ~* +ping");
    let port = server.port().to_string();
    let (address, socket) = (server.address(), server.socket());
    let socket = socket.to_str().unwrap();
    for words in [
        &["ping", &address, "--pass", "secret"][..],
        &["ping", &address, "--user", "few", "--pass", "other"],
        &["-p", &port, "-a", "secret", "ping"],
        &["ping", "-h", "127.0.0.1", "-p", &port, "-a", "secret"],
        &["-p", &port, "ping", "--pass=secret", "--count", "1"],
        &["-s", socket, "ping", "-a", "secret"],
    ] {
        let output = riot(words).run().exits(0).never_shows("secret");
        assert_eq!(output.stdout.lines().count(), 1, "{output}");
    }
    riot(["ping", &address])
        .variable("RIOT_SOURCE_PASS", "secret")
        .run()
        .exits(0);
}

#[test]
fn each_master_of_a_cluster_is_measured() {
    let cluster = Cluster::start(Version::Redis70, 3, 0);
    let words = ["ping", "--report=json", &cluster.uri_of(0)];
    let output = riot(words).run().exits(0);
    let mut found: Vec<String> = servers(&output)
        .iter()
        .map(|trips| trips["address"].as_str().unwrap().to_owned())
        .collect();
    let masters = cluster.masters();
    let mut masters: Vec<String> = masters.iter().map(|node| node.address()).collect();
    found.sort_unstable();
    masters.sort_unstable();
    assert_eq!(found, masters, "{output}");
}

#[test]
fn what_cannot_be_reached_ends_with_3() {
    riot(["ping", "127.0.0.1:1"])
        .run()
        .refuses(3, &["127.0.0.1:1: cannot connect"]);
    let server = Server::with(Version::Redis70).password("right").start();
    let words = ["ping", &server.address(), "--pass", "mistyped"];
    riot(words)
        .run()
        .refuses(3, &["WRONGPASS"])
        .never_shows("mistyped");
}

#[test]
fn wrong_words_end_with_2() {
    for (words, named) in [
        (&["ping", "a", "--count", "0"][..], "--count"),
        (&["ping", "a", "b"], "one word too many"),
        (&["ping", "a", "--host", "b"], "--host"),
        (&["-p", "1", "ping", "-p", "2"], "--port"),
    ] {
        riot(words).run().names(2, &[named]);
    }
}

#[test]
fn a_signal_ends_it_with_what_was_measured() {
    let server = Server::start(Version::Redis70);
    let words = ["ping", "--report=json", "--count", "1000000000"];
    let running = riot(words).word(server.address()).spawn();
    crate::wait::until("it has begun", || {
        (server.calls("ping") > 100).then_some(())
    });
    running.signal("INT");
    let output = running.finish().exits(130);
    assert!(
        servers(&output)[0]["count"].as_u64().unwrap() > 100,
        "{output}"
    );
}
