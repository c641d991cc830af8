//! What the servers are: versions, clusters, memory, keys, events, what is not copied.

use super::{as_source, at_level, check, checked, fill, finds, found, with_user};
use crate::clusters::Cluster;
use crate::riot::riot;
use crate::servers::{Server, Version};
use crate::store::Store;
use crate::wait;

#[test]
fn clusters_on_either_side_and_on_both() {
    for version in [Version::Redis70, Version::Valkey81] {
        let (cluster, other) = (Cluster::start(version, 3, 0), Cluster::start(version, 3, 0));
        let server = Server::start(version);
        fill(&cluster);
        fill(&server);
        let sides: [(&dyn Store, &dyn Store); 3] =
            [(&cluster, &server), (&server, &cluster), (&cluster, &other)];
        for (source, target) in sides {
            for words in [&[][..], &["--live"], &["--type", "struct"]] {
                let run = check(source, target).words(words);
                let output = checked(source, target, run).exits(0);
                let report = output.report();
                for (side, store) in [("source", source), ("target", target)] {
                    let nodes = store.holders(0).len();
                    assert_eq!(report[side]["nodes"], nodes, "{output}");
                    assert_eq!(report[side]["cluster"], nodes > 1, "{output}");
                }
                assert_eq!(report["source"]["keys"], 6, "{output}");
                if words != ["--type", "struct"] {
                    finds(&output, "both", "payload", "ok", &[]);
                }
            }
        }
        let run = check(&server, &cluster).word("--multi-exec");
        let output = checked(&server, &cluster, run).exits(1);
        finds(&output, "target", "cluster", "not_ready", &["--multi-exec"]);
    }
}

#[test]
fn a_node_whose_user_lacks_a_right_is_named() {
    let cluster = Cluster::start(Version::Redis70, 3, 0);
    let source = Server::start(Version::Redis70);
    cluster.tell_all("ACL SETUSER few on >secret ~* &* +@all");
    let node = cluster.node(1);
    node.tell("ACL SETUSER few -del");
    let run = super::as_target(check(&source, &cluster));
    let output = checked(&source, &cluster, run).exits(1);
    let address = node.address();
    finds(
        &output,
        "target",
        "del",
        "not_ready",
        &[&address, "ACL SETUSER few +del"],
    );
}

#[test]
fn a_source_without_config_is_listened_to_both_ways() {
    // As on ElastiCache.
    let mut words: Vec<&str> = Vec::new();
    for command in ["CONFIG", "DEBUG", "MIGRATE", "REPLICAOF", "SYNC"] {
        words.extend(["--rename-command", command, ""]);
    }
    for version in super::VERSIONS {
        let source = Server::with(version).arguments(words.clone()).start();
        let target = Server::with(version).arguments(words.clone()).start();
        fill(&source);
        let output = checked(&source, &target, check(&source, &target).word("--live")).exits(0);
        let name = "notify-keyspace-events";
        finds(
            &output,
            "source",
            name,
            "note",
            &["cannot be known", "ElastiCache"],
        );
        let both = "keyspace notifications and client tracking";
        finds(&output, "source", "events", "ok", &[both]);
    }
}

#[test]
fn notifications_are_off_or_on() {
    let (source, target) = (
        Server::start(Version::Redis70),
        Server::start(Version::Redis70),
    );
    let live = |events: &str| check(&source, &target).words(["--live", "--events", events]);
    let output = checked(&source, &target, live("keyspace")).exits(1);
    let cure = "CONFIG SET notify-keyspace-events KA";
    finds(&output, "source", "events", "not_ready", &[cure]);
    finds(&output, "source", "notify-keyspace-events", "ok", &["off"]);
    for events in ["auto", "tracking"] {
        let output = checked(&source, &target, live(events)).exits(0);
        finds(&output, "source", "events", "ok", &["client tracking"]);
    }
    source.tell(cure);
    for events in ["auto", "keyspace"] {
        let output = checked(&source, &target, live(events)).exits(0);
        finds(
            &output,
            "source",
            "events",
            "ok",
            &["learnt by keyspace notifications"],
        );
    }
}

#[test]
fn a_user_without_a_way_of_events_is_not_ready_for_live() {
    let rules = "~* resetchannels +@all -client|tracking";
    let source = with_user(Version::Redis70, rules);
    let target = Server::start(Version::Redis70);
    let run = || as_source(check(&source, &target));
    let output = checked(&source, &target, run().word("--live")).exits(1);
    finds(
        &output,
        "source",
        "events",
        "not_ready",
        &["&__keyspace@0__:*", "+client|tracking"],
    );
    let output = checked(&source, &target, run()).exits(0);
    finds(
        &output,
        "source",
        "events",
        "note",
        &["live run could not", "+client|tracking"],
    );
}

#[test]
fn a_target_that_is_too_small_or_that_evicts() {
    let source = Server::start(Version::Redis70);
    crate::data::fill_strings(&source, "key:", 20_000, 500);
    let target = Server::start(Version::Redis70);
    target.tell("CONFIG SET maxmemory 8mb");
    let output = checked(&source, &target, check(&source, &target)).exits(1);
    finds(
        &output,
        "target",
        "memory",
        "not_ready",
        &["8 MB", "CONFIG SET maxmemory"],
    );
    assert!(found(&output, "target", "eviction").is_none(), "{output}");
    // Of some keys alone nobody knows.
    let some = check(&source, &target).words(["--key-pattern", "a*"]);
    let output = checked(&source, &target, some).exits(0);
    finds(
        &output,
        "target",
        "memory",
        "note",
        &["CONFIG SET maxmemory"],
    );
    target.tell("CONFIG SET maxmemory 100mb");
    target.tell("CONFIG SET maxmemory-policy allkeys-lru");
    let output = checked(&source, &target, check(&source, &target)).exits(0);
    finds(&output, "target", "memory", "ok", &["100 MB"]);
    let cure = "CONFIG SET maxmemory-policy noeviction";
    finds(
        &output,
        "target",
        "eviction",
        "note",
        &["allkeys-lru", cure],
    );
}

#[test]
fn a_source_that_evicts_by_use_is_better_read_from_a_replica() {
    let target = Server::start(Version::Redis70);
    for (version, touches) in [(Version::Redis70, true), (Version::Redis80, false)] {
        let source = Server::with(version)
            .arguments(["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lfu"])
            .start();
        let output = checked(&source, &target, check(&source, &target)).exits(0);
        if touches {
            finds(
                &output,
                "source",
                "eviction",
                "note",
                &["allkeys-lfu", "replica"],
            );
        } else {
            assert!(found(&output, "source", "eviction").is_none(), "{output}");
        }
    }
}

#[test]
fn clocks_that_differ_are_told_with_how_far() {
    for version in super::VERSIONS {
        for (ahead, word) in [(7_200_000, "ahead of"), (-7_200_000, "behind")] {
            let source = Server::start(version);
            let target = Server::with(version).clock_ahead(ahead).start();
            fill(&source);
            let output = checked(&source, &target, check(&source, &target)).exits(0);
            let words = [word, "expiries are corrected for it", "NTP before the run"];
            finds(&output, "both", "clock", "note", &words);
            let (_, text, _) = found(&output, "both", "clock").unwrap();
            let digits: String = text.chars().filter(char::is_ascii_digit).collect();
            let told: i64 = digits.parse().unwrap();
            assert!((told - 7_200_000).abs() < 100, "{text}");
            let report = output.report();
            let offset = |side: &str| report[side]["clock_offset_ms"].as_i64().unwrap();
            let apart = offset("target") - offset("source");
            assert_eq!(apart.abs(), told, "{output}");
        }
    }
}

#[test]
fn a_target_with_keys_of_its_own() {
    let (source, target) = (
        Server::start(Version::Redis70),
        Server::start(Version::Redis70),
    );
    target.tell("SET own 1");
    let output = checked(&source, &target, check(&source, &target)).exits(0);
    finds(&output, "target", "keys", "note", &["1 key of its own"]);
}

#[test]
fn a_target_that_is_too_old_needs_the_commands_of_the_types() {
    let source = Server::start(Version::Redis80);
    fill(&source);
    for version in [Version::Redis70, Version::Valkey81, Version::Redis60] {
        let channels = if version.since_70() { "&* " } else { "" };
        let target = with_user(version, &format!("~* {channels}+@all -hset"));
        let run = super::as_target(check(&source, &target));
        let output = checked(&source, &target, run).exits(1);
        finds(
            &output,
            "both",
            "payload",
            "note",
            &["does not read", "RDB version 12"],
        );
        assert_eq!(at_level(&output, "not_ready"), ["hset"], "{output}");
    }
}

#[test]
fn one_server_on_both_sides() {
    let server = Server::start(Version::Redis70);
    fill(&server);
    let socket = format!("unix://{}", server.socket().display());
    let words = ["check", "--report=json", &server.uri(), &socket];
    let output = checked(&server, &server, riot(words)).exits(1);
    finds(
        &output,
        "both",
        "same database",
        "not_ready",
        &["same server and database"],
    );
    let run = riot(words).words(["--target-db", "1"]);
    checked(&server, &server, run).exits(0);
}

#[test]
fn sides_that_cannot_be_reached() {
    let (server, other) = (
        Server::start(Version::Redis70),
        Server::start(Version::Redis70),
    );
    let nobody = "redis://127.0.0.1:1";
    let words = ["check", "--report=json", &server.uri(), nobody];
    let output = riot(words).run().exits(3);
    finds(
        &output,
        "target",
        "connection",
        "unreachable",
        &["127.0.0.1:1", "cannot connect"],
    );
    assert_eq!(output.report()["verdict"], "unreachable");
    assert_eq!(output.report()["source"]["keys"], 0);
    assert!(output.report()["target"].is_null(), "{output}");
    let words = ["check", nobody, "redis://127.0.0.1:2"];
    let output = riot(words).run().exits(3);
    assert_eq!(
        output.stdout.matches("unreachable  ").count(),
        2,
        "{output}"
    );
    server.tell("CONFIG SET requirepass right");
    let words = ["--source-pass", "mistyped"];
    let run = check(&server, &other).words(words);
    let output = run.run().exits(3).never_shows("mistyped");
    finds(
        &output,
        "source",
        "connection",
        "unreachable",
        &["WRONGPASS"],
    );
}

#[test]
fn a_read_only_replica_is_no_target() {
    let (source, master) = (
        Server::start(Version::Redis70),
        Server::start(Version::Redis70),
    );
    let replica = Server::start(Version::Redis70);
    replica.tell(&format!("REPLICAOF 127.0.0.1 {}", master.port()));
    wait::until("the replica has its master", || {
        (replica.info("master_link_status") == "up").then_some(())
    });
    let output = check(&source, &replica).run().exits(1);
    finds(&output, "target", "role", "not_ready", &[&master.address()]);
    // As the source it is fine, as long as its master can be asked.
    let output = check(&replica, &source).word("--live").run().exits(0);
    finds(&output, "source", "replica", "ok", &[&master.address()]);
    master.kill();
    let output = check(&replica, &source).word("--live").run().exits(1);
    finds(
        &output,
        "source",
        "replica",
        "not_ready",
        &["--accept-unproven"],
    );
    let words = ["--live", "--accept-unproven"];
    check(&replica, &source).words(words).run().exits(0);
}

#[test]
fn what_is_not_copied_is_counted() {
    let source = with_user(Version::Redis70, "~* &* +@all -acl");
    let target = Server::start(Version::Redis70);
    let library = "#!lua name=one\nredis.register_function('f', function() return 1 end)";
    redis::cmd("FUNCTION")
        .arg("LOAD")
        .arg(library)
        .exec(&mut source.connection())
        .unwrap();
    for script in ["return 1", "return 2"] {
        redis::cmd("SCRIPT")
            .arg("LOAD")
            .arg(script)
            .exec(&mut source.connection())
            .unwrap();
    }
    redis::cmd("SET")
        .arg("elsewhere")
        .arg("1")
        .exec(&mut source.connection_to(3))
        .unwrap();
    let output = checked(&source, &target, check(&source, &target)).exits(0);
    finds(
        &output,
        "source",
        "functions",
        "note",
        &["1 library", "FUNCTION RESTORE"],
    );
    finds(
        &output,
        "source",
        "scripts",
        "note",
        &["2 cached scripts", "SCRIPT LOAD"],
    );
    finds(
        &output,
        "source",
        "acl users",
        "note",
        &["1 ACL user is", "ACL SETUSER"],
    );
    finds(
        &output,
        "source",
        "databases",
        "note",
        &["3", "--source-db"],
    );
    let output = checked(&source, &target, as_source(check(&source, &target))).exits(0);
    finds(&output, "source", "acl users", "note", &["cannot be known"]);
}

#[test]
fn a_cluster_that_lacks_slots_or_a_server_that_is_none() {
    let (source, target) = (
        Server::start(Version::Redis70),
        Server::start(Version::Redis70),
    );
    let run = check(&source, &target).word("--target-cluster");
    let output = checked(&source, &target, run).exits(1);
    finds(
        &output,
        "target",
        "connection",
        "not_ready",
        &["no cluster"],
    );
    let node = Server::with(Version::Redis70).cluster().start();
    let words = ["--reconnect-timeout", "100ms"];
    let output = check(&source, &node).words(words).run().exits(1);
    finds(&output, "target", "connection", "not_ready", &["slots"]);
}

#[test]
fn resp2_asks_the_same_and_has_no_tracking() {
    let (source, target) = (
        Server::start(Version::Redis70),
        Server::start(Version::Redis70),
    );
    fill(&source);
    let run = || check(&source, &target).words(["--source-resp", "2", "--target-resp", "2"]);
    let output = checked(&source, &target, run()).exits(0);
    finds(&output, "both", "payload", "ok", &["RDB version 10"]);
    finds(&output, "source", "notify-keyspace-events", "ok", &["off"]);
    finds(&output, "source", "events", "note", &["RESP3"]);
    let output = checked(&source, &target, run().word("--live")).exits(1);
    finds(
        &output,
        "source",
        "events",
        "not_ready",
        &["CONFIG SET notify-keyspace-events KA"],
    );
    source.tell("CONFIG SET notify-keyspace-events KA");
    let output = checked(&source, &target, run().word("--live")).exits(0);
    finds(
        &output,
        "source",
        "notify-keyspace-events",
        "ok",
        &["\"AK\""],
    );
}
