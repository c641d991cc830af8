//! A live run over several databases: all at once, and one end for all.

use serde_json::Value;

use super::{ask, only, pair, same};
use crate::data::{self, run};
use crate::live::{Report, live};
use crate::riot::{Output, Riot, Running};
use crate::servers::{Server, Version};
use crate::wait;

const WAYS: [&str; 2] = ["keyspace", "tracking"];

/// Two servers, of which the source tells of changes in this way, with the same names in databases 0 and 3.
fn stage(way: &str) -> (Server, Server) {
    let (source, target) = pair();
    if way == "keyspace" {
        source.tell("CONFIG SET notify-keyspace-events KA");
    }
    for database in [0, 3] {
        let mut connection = source.connection_to(database);
        for key in 0..50 {
            run!(connection, "SET", format!("key:{key}"), database);
        }
        run!(connection, "HSET", "hash", "field", database);
    }
    (source, target)
}

fn all(way: &str, source: &Server, target: &Server) -> Riot {
    live(way, &source.uri(), &target.uri()).words(["--source-db", "all"])
}

/// The same, where keys are deleted: tracking does not tell of which database, and leaves them unless that is wished.
fn deleting(way: &str, source: &Server, target: &Server) -> Riot {
    let wished = (way == "tracking").then_some("--delete-extra");
    all(way, source, target).words(wished)
}

/// Waits until all databases are scanned.
fn scanned(running: &mut Running) {
    running.wait_for("scanning 100 %");
}

/// Waits until a database of the target has this key.
fn arrives(target: &Server, database: u16, key: &str) {
    wait::until(
        &format!("{key} is in database {database} of the target"),
        || {
            let there: bool = ask(target, database, &format!("EXISTS {key}"));
            there.then_some(())
        },
    );
}

fn end(running: Running) -> Output {
    running.signal("TERM");
    running.finish()
}

#[test]
fn every_databases_changes_are_followed() {
    for way in WAYS {
        let (source, target) = stage(way);
        let mut running = deleting(way, &source, &target).spawn();
        scanned(&mut running);
        let (mut zero, mut three) = (source.connection_to(0), source.connection_to(3));
        for key in 0..20 {
            run!(zero, "SET", format!("key:{key}"), "changed");
            run!(three, "RPUSH", format!("new:{key}"), "changed");
        }
        // Of the same name in both, one is deleted; of another the other.
        run!(zero, "DEL", "key:30");
        run!(three, "DEL", "key:31");
        run!(zero, "DEL", "key:32");
        run!(three, "DEL", "key:32");
        run!(three, "RENAME", "key:33", "renamed");
        let output = end(running).exits(0);
        same(&source, &target, &[(0, 0), (3, 3)]);
        only(&target, &[0, 3]);
        let report = Report::of(&output);
        assert_eq!(report.number(&["live", "gap_count"]), 0, "{output}");
        assert_eq!(
            report.json["databases"].as_array().map(Vec::len),
            Some(2),
            "{output}"
        );
        assert!(report.number(&["deleted"]) >= 4, "{output}");
    }
}

#[test]
fn databases_that_go_elsewhere_are_followed_there() {
    for way in WAYS {
        let (source, target) = stage(way);
        let run = deleting(way, &source, &target).words(["--db-map", "3=9"]);
        let mut running = run
            .words(["--key-process", "#{#target.database}:#{key}"])
            .spawn();
        scanned(&mut running);
        run!(source.connection_to(3), "SET", "later", 1);
        run!(source.connection_to(0), "DEL", "key:1");
        end(running).exits(0);
        let later: Option<String> = ask(&target, 9, "GET 9:later");
        assert_eq!(later.as_deref(), Some("1"));
        let left: u64 = ask(&target, 0, "EXISTS 0:key:1");
        let kept: u64 = ask(&target, 9, "EXISTS 9:key:1");
        assert_eq!((left, kept), (0, 1));
        only(&target, &[0, 9]);
    }
}

#[test]
fn a_database_that_gets_its_first_keys_is_followed_too() {
    for way in WAYS {
        let (source, target) = stage(way);
        let mut running = deleting(way, &source, &target).spawn();
        scanned(&mut running);
        let mut eight = source.connection_to(8);
        run!(eight, "SET", "first", 1);
        arrives(&target, 8, "first");
        running.wait_for("database 8 of the source has its first keys, and is followed too");
        run!(eight, "SET", "second", 1);
        run!(eight, "DEL", "first");
        arrives(&target, 8, "second");
        // What comes right before the end has its place, too.
        run!(source.connection_to(11), "SET", "last", 1);
        end(running).exits(0);
        same(&source, &target, &[(0, 0), (3, 3), (8, 8), (11, 11)]);
        only(&target, &[0, 3, 8, 11]);
    }
}

#[test]
fn a_database_that_came_late_is_scanned_before_the_end() {
    let (source, target) = stage("keyspace");
    let mut running = all("keyspace", &source, &target)
        .words(["--rate", "1000"])
        .spawn();
    scanned(&mut running);
    let mut eight = source.connection_to(8);
    let mut pipe = redis::pipe();
    for key in 0..3000 {
        pipe.cmd("SET").arg(format!("late:{key}")).arg(8).ignore();
    }
    pipe.atomic().exec(&mut eight).unwrap();
    wait::until("some late keys are copied", || {
        (target.keys(8) > 200).then_some(())
    });
    end(running).exits(0);
    same(&source, &target, &[(0, 0), (3, 3), (8, 8)]);
}

#[test]
fn what_changes_alone_is_followed_in_each_database() {
    let (source, target) = stage("tracking");
    let words = [
        "replicate",
        "--mode",
        "liveonly",
        "--events",
        "tracking",
        "--source-db",
        "0-15",
        "--no-verify",
    ];
    let mut running = crate::riot::riot(words)
        .words([source.uri(), target.uri()])
        .spawn();
    running.wait_for("listening: client tracking, database 3");
    running.wait_for("listening: client tracking, database 0");
    run!(source.connection_to(3), "SET", "changed", 1);
    run!(source.connection_to(6), "SET", "first", 1);
    arrives(&target, 3, "changed");
    arrives(&target, 6, "first");
    end(running).exits(0);
    assert_eq!((target.keys(0), target.keys(3), target.keys(6)), (0, 1, 1));
}

#[test]
fn a_database_that_is_flushed_or_exchanged_is_a_gap() {
    for way in WAYS {
        let (source, target) = stage(way);
        let run = all(way, &source, &target).word("--delete-extra");
        let mut running = run.spawn();
        scanned(&mut running);
        let _: () = ask(&source, 3, "FLUSHDB");
        run!(source.connection_to(3), "SET", "after", 1);
        arrives(&target, 3, "after");
        running.wait_for("scanned again");
        source.tell("SWAPDB 0 3");
        wait::until("the exchange has arrived", || {
            (target.keys(3) == 51).then_some(())
        });
        let output = end(running).exits(0);
        same(&source, &target, &[(0, 0), (3, 3)]);
        let report = Report::of(&output);
        assert!(report.number(&["live", "gap_count"]) > 0, "{output}");
        assert_eq!(report.number(&["live", "open_gaps"]), 0, "{output}");
    }
}

#[test]
fn a_name_that_only_tracking_told_deletes_nothing_of_the_targets_own() {
    let (source, target) = stage("tracking");
    run!(target.connection_to(0), "SET", "theirs", 1);
    let mut running = all("tracking", &source, &target).spawn();
    scanned(&mut running);
    // Database 3 of the target had no keys at the start; that makes nothing that comes there the run's own.
    run!(target.connection_to(3), "SET", "also theirs", 1);
    let (mut zero, mut three) = (source.connection_to(0), source.connection_to(3));
    run!(three, "SET", "theirs", "of database 3");
    run!(zero, "SET", "also theirs", "of database 0");
    arrives(&target, 3, "theirs");
    arrives(&target, 0, "also theirs");
    run!(zero, "DEL", "also theirs");
    run!(three, "DEL", "theirs");
    run!(zero, "SET", "last", 1);
    arrives(&target, 0, "last");
    let output = end(running).exits(1);
    for (database, key) in [(0, "theirs"), (3, "also theirs")] {
        let mut connection = target.connection_to(database);
        let own: Option<String> = redis::cmd("GET").arg(key).query(&mut connection).unwrap();
        assert_eq!(own.as_deref(), Some("1"), "{output}");
    }
    let output = output.prints("db0 extra theirs\n");
    output.prints("db3 extra also theirs\n");
}

#[test]
fn the_run_ends_when_nothing_changes_in_any_database() {
    let (source, target) = stage("keyspace");
    let run = all("keyspace", &source, &target).words(["--idle-timeout", "1s"]);
    let output = run.run().exits(0);
    same(&source, &target, &[(0, 0), (3, 3)]);
    let report = Report::of(&output);
    assert_eq!(
        report.json["live"]["ways"],
        Value::from(vec!["keyspace"]),
        "{output}"
    );
}

#[test]
fn a_database_that_cannot_be_taken_later_leaves_the_run_unproved() {
    let source = Server::start(Version::Redis70);
    let target = Server::with(Version::Redis70)
        .arguments(["--databases", "4"])
        .start();
    source.tell("SET key 1");
    run!(source.connection_to(2), "SET", "key", 2);
    let run = all("tracking", &source, &target).words(["--db-map", "2=3"]);
    let mut running = run.spawn();
    scanned(&mut running);
    run!(source.connection_to(9), "SET", "nowhere", 1);
    running.wait_for("database 9 of the source is not copied: ");
    run!(source.connection_to(3), "SET", "mixed", 1);
    running.wait_for("database 3 of the source has its first keys, and database 3 of the target has those of database 2");
    let output = end(running).exits(1);
    same(&source, &target, &[(0, 0), (2, 3)]);
    let unproven = Report::of(&output).json["live"]["unproven"].to_string();
    assert!(
        unproven.contains("database 9") && unproven.contains("database 3"),
        "{output}"
    );
}

#[test]
fn without_info_databases_that_come_later_are_found_all_the_same() {
    let users = "user default on nopass ~* &* +@all\nuser reader on >secret ~* &* +@all -info\n";
    let source = Server::with(Version::Redis70).acl(users).start();
    let target = Server::start(Version::Redis70);
    source.tell("SET key 1");
    let run = all("tracking", &source, &target).words([
        "--source-user",
        "reader",
        "--source-pass",
        "secret",
        "--accept-unproven",
    ]);
    let mut running = run.spawn();
    scanned(&mut running);
    run!(source.connection_to(5), "SET", "first", 1);
    arrives(&target, 5, "first");
    // Somebody else's, whose name comes and goes in a database that had no keys a moment ago.
    run!(target.connection_to(0), "SET", "theirs", 1);
    run!(source.connection_to(7), "SET", "theirs", 7);
    let _: u64 = ask(&source, 7, "DEL theirs");
    run!(source.connection_to(5), "SET", "last", 1);
    arrives(&target, 5, "last");
    let output = end(running).exits(1);
    same(&source, &target, &[(5, 5)]);
    output.prints("db0 extra theirs\n");
}

#[test]
fn a_run_that_is_stopped_before_its_scan_is_over_is_interrupted() {
    let (source, target) = stage("tracking");
    for database in [0, 3] {
        data::run!(
            source.connection_to(database),
            "DEBUG",
            "POPULATE",
            3000,
            "many"
        );
    }
    let run = all("tracking", &source, &target).words(["--rate", "500"]);
    let running = run.spawn();
    wait::until("some keys are copied", || {
        (target.keys(0) > 200).then_some(())
    });
    end(running).exits(130);
}

#[test]
fn one_server_is_followed_from_one_database_to_another_by_notifications_alone() {
    let (server, _) = stage("keyspace");
    let run = |way: &str, words: &[&str]| live(way, &server.uri(), &server.uri()).words(words);
    let several = ["--source-db", "3", "--db-map", "3=5"];
    let single = ["--source-db", "3", "--target-db", "6"];
    for (words, to) in [(several, 5), (single, 6)] {
        let words_of_error = ["it is the target, too", "--events keyspace"];
        run("tracking", &words).run().names(3, &words_of_error);
        let mut running = run("keyspace", &words).spawn();
        scanned(&mut running);
        run!(server.connection_to(3), "SET", words[3], 1);
        end(running).exits(0);
        same(&server, &server, &[(3, to)]);
    }
    only(&server, &[0, 3, 5, 6]);
}

#[test]
fn a_database_that_is_sent_elsewhere_may_get_its_first_keys_in_a_source_without_any() {
    for way in WAYS {
        let (source, target) = pair();
        if way == "keyspace" {
            source.tell("CONFIG SET notify-keyspace-events KA");
        }
        // Database 0 has no keys either, and stands in nobody's way.
        let mut running = all(way, &source, &target)
            .words(["--db-map", "3=0"])
            .spawn();
        running.wait_for("listening: ");
        run!(source.connection_to(3), "SET", "first", "v");
        arrives(&target, 0, "first");
        run!(source.connection_to(3), "SET", "second", "v");
        arrives(&target, 0, "second");
        end(running).exits(0);
        same(&source, &target, &[(3, 0)]);
        only(&target, &[0]);
    }
}
