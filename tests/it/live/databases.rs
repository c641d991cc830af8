//! A source with several databases: tracking names keys without their number.

use super::{Report, Stage, Way, each_way, end, listens, scanned};
use crate::data::{self, run};
use crate::wait;

each_way![
    another_databases_changes_are_none_of_ours,
    a_database_other_than_0_is_replicated,
];

/// Keys of the same names in databases 0 and 1 of the source; the target has one that only its own database 0 ever had.
fn stage(way: Way) -> Stage {
    let stage = Stage::new(way);
    data::fill_strings(&stage.source, "ours:", 100, 50);
    let mut other = stage.source.connection_to(1);
    for number in 0..100 {
        run!(other, "SET", format!("ours:{number}"), "of the other");
    }
    run!(other, "SET", "same", "of the other");
    stage.target.tell("SET same from:elsewhere");
    stage
}

#[test]
fn a_key_of_the_same_name_in_another_database_is_deleted_there() {
    let stage = stage(Way::Tracking);
    let mut running = stage.replicate().spawn();
    listens(&mut running);
    scanned(&mut running);
    let mut other = stage.source.connection_to(1);
    run!(other, "DEL", "same");
    run!(other, "DEL", "ours:1");
    stage.source.tell("SET last 1");
    wait::until("a later change has arrived", || {
        let value: Option<String> = stage.target.run("GET last");
        value
    });
    let report = stage.only_extra(&end(running));
    let same: String = stage.target.run("GET same");
    assert_eq!(same, "from:elsewhere", "{report}");
    let extra: Vec<&str> = report.extra.iter().map(String::as_str).collect();
    assert_eq!(extra, ["same"], "{report}");
}

#[test]
fn a_database_that_gets_its_first_keys_while_riot_runs_is_noticed() {
    let stage = Stage::new(Way::Tracking);
    data::fill_strings(&stage.source, "ours:", 100, 50);
    stage.target.tell("SET same from:elsewhere");
    let mut running = stage.replicate().spawn();
    listens(&mut running);
    scanned(&mut running);
    let mut other = stage.source.connection_to(1);
    run!(other, "SET", "same", "of the other");
    run!(other, "SET", "stays", "of the other");
    super::quiet(&running);
    run!(other, "DEL", "same");
    stage.source.tell("SET last 1");
    wait::until("a later change has arrived", || {
        let value: Option<String> = stage.target.run("GET last");
        value
    });
    let report = stage.only_extra(&end(running));
    let same: Option<String> = stage.target.run("GET same");
    assert_eq!(same.as_deref(), Some("from:elsewhere"), "{report}");
}

#[test]
fn keys_of_another_database_that_find_no_room_are_deleted_there_alone() {
    let stage = stage(Way::Tracking);
    data::fill_strings(&stage.target, "theirs:", 2000, 20);
    let mut other = stage.source.connection_to(1);
    for number in 0..2000 {
        run!(other, "SET", format!("theirs:{number}"), "1");
    }
    let mut running = stage.replicate().words(["--event-queue", "10"]).spawn();
    listens(&mut running);
    scanned(&mut running);
    let mut pipe = redis::pipe();
    for number in 0..2000 {
        pipe.cmd("DEL").arg(format!("theirs:{number}")).ignore();
    }
    pipe.exec(&mut other).unwrap();
    stage.source.tell("SET last 1");
    wait::until("a later change has arrived", || {
        let value: Option<String> = stage.target.run("GET last");
        value
    });
    let output = end(running);
    let mut found = data::snapshot(&stage.target, 0);
    found.retain(|key, _| key.0.starts_with(b"theirs:"));
    assert_eq!(found.len(), 2000, "{output}");
    let report = Report::of(&output);
    assert!(report.number(&["live", "overflowed"]) > 0, "{report}");
}

#[test]
fn a_deletion_of_ours_that_tracking_cannot_prove_is_counted() {
    let stage = stage(Way::Tracking);
    stage.target.tell("DEL same");
    let mut running = stage.replicate().spawn();
    listens(&mut running);
    scanned(&mut running);
    stage.source.tell("DEL ours:7");
    stage.only_extra(&end(running));
}

#[test]
fn notifications_of_our_database_prove_a_deletion() {
    let stage = stage(Way::Keyspace);
    stage.target.tell("DEL same");
    let mut running = stage.replicate().spawn();
    listens(&mut running);
    scanned(&mut running);
    stage.source.tell("DEL ours:7");
    run!(stage.source.connection_to(1), "DEL", "ours:8");
    stage.equal(&end(running));
    let left: u64 = stage.target.run("EXISTS ours:7 ours:8");
    assert_eq!(left, 1);
}

fn another_databases_changes_are_none_of_ours(way: Way) {
    let stage = stage(way);
    stage.target.tell("DEL same");
    let mut running = stage.replicate().spawn();
    listens(&mut running);
    scanned(&mut running);
    let mut other = stage.source.connection_to(1);
    for number in 0..100 {
        run!(other, "SET", format!("ours:{number}"), "changed");
        run!(other, "SET", format!("theirs:{number}"), "new");
    }
    stage.equal(&end(running));
}

fn a_database_other_than_0_is_replicated(way: Way) {
    let stage = Stage::new(way);
    stage.source.tell("SET in:zero 1");
    let mut three = stage.source.connection_to(3);
    run!(three, "SET", "before", "1");
    let mut running = stage
        .replicate()
        .words(["--source-db", "3", "--target-db", "3"])
        .spawn();
    listens(&mut running);
    scanned(&mut running);
    run!(three, "SET", "after", "1");
    run!(three, "HSET", "hash", "a", "b");
    stage.source.tell("SET in:zero 2");
    let output = end(running);
    assert_eq!(output.code(), Some(0), "{output}");
    Report::of(&output);
    data::assert_snapshots(
        &data::snapshot(&stage.source, 3),
        &data::snapshot(&stage.target, 3),
        0,
    );
    assert_eq!(stage.target.keys(0), 0);
}
