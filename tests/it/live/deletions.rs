//! Deletions: they arrive, and those that nobody can hear of are reported by name, and carried out where that was asked for.

use std::collections::BTreeSet;

use super::reconnects::PATIENT;
use super::{Report, Stage, Way, each_way, end, listens, scanned};
use crate::data;
use crate::riot::{Output, Riot};
use crate::wait;

each_way![
    every_way_to_lose_a_key_arrives,
    deletions_in_a_gap_are_named_exactly,
    deletions_in_a_gap_are_carried_out_where_that_was_asked_for,
    the_targets_own_keys_survive_without_delete_extra,
    filters_hold_for_what_is_deleted,
];

fn every_way_to_lose_a_key_arrives(way: Way) {
    let stage = Stage::new(way);
    for command in [
        "SET stays 1",
        "SET del 1",
        "SET unlink 1",
        "SET getdel 1",
        "SET rename 1",
        "SET move 1",
        "RPUSH pop 1",
        "SADD srem 1",
        "HSET hdel 1 1",
        "ZADD zrem 1 1",
        "SET expire 1",
        "SET past 1",
        "SET script 1",
        "SET transaction 1",
        "RPUSH store 1",
        "SET again 1",
    ] {
        stage.source.tell(command);
    }
    let mut running = stage.replicate().spawn();
    listens(&mut running);
    wait::until("everything has arrived", || {
        (stage.target.keys(0) == stage.source.keys(0)).then_some(())
    });
    for command in [
        "DEL del",
        "UNLINK unlink",
        "GETDEL getdel",
        "RENAME rename stays",
        "LPOP pop",
        "SREM srem 1",
        "HDEL hdel 1",
        "ZREM zrem 1",
        "EXPIRE expire 0",
        "PEXPIREAT past 1000",
        "SORT nothing STORE store",
        "DEL again",
        "SET again 2",
        "DEL again",
        // With keys in two databases tracking's names prove no deletion.
        if way == Way::Keyspace {
            "MOVE move 1"
        } else {
            "DEL move"
        },
    ] {
        stage.source.tell(command);
    }
    let mut c = stage.source.connection();
    let script = "redis.call('DEL', KEYS[1])";
    data::run!(c, "EVAL", script, 1, "script");
    redis::pipe()
        .atomic()
        .cmd("SET")
        .arg("transaction")
        .arg(2)
        .cmd("DEL")
        .arg("transaction")
        .exec(&mut c)
        .unwrap();
    assert_eq!(stage.source.keys(0), 1);
    wait::until("all but one are gone from the target", || {
        (stage.target.keys(0) == 1).then_some(())
    });
    stage.equal(&end(running));
}

/// Keys whose names begin with `gap:` are deleted while riot cannot reach the source.
fn deleted_in_a_gap(stage: &Stage, riot: Riot) -> Output {
    let own = stage.target.keys(0);
    data::fill_mixed(&stage.source, "gap:", 200);
    data::fill_mixed(&stage.source, "stays:", 800);
    let mut running = riot.words(PATIENT).spawn();
    listens(&mut running);
    scanned(&mut running);
    // Not one key is under way: what is deleted now is deleted in the gap.
    wait::until("everything has arrived", || {
        (stage.target.keys(0) == own + 1000).then_some(())
    });
    stage.to_source.refuse();
    stage.to_source.cut();
    let mut c = stage.source.connection();
    for number in 0..200 {
        data::run!(c, "DEL", format!("gap:{number}"));
    }
    // Half of them come back, as something else.
    for number in 0..100 {
        data::run!(c, "SET", format!("gap:{number}"), "new");
    }
    stage.source.tell("SET stays:new 1");
    stage.to_source.accept();
    running.finish()
}

#[track_caller]
fn had_a_gap(report: &Report) {
    assert!(report.number(&["live", "gap_count"]) >= 1, "{report}");
    assert!(report.number(&["live", "open_gaps"]) == 0, "{report}");
}

fn deletions_in_a_gap_are_named_exactly(way: Way) {
    let stage = Stage::new(way);
    let output = deleted_in_a_gap(&stage, stage.replicate_by_proxies());
    let report = stage.only_extra(&output);
    let expected: BTreeSet<String> = (100..200).map(|number| format!("gap:{number}")).collect();
    assert_eq!(report.extra, expected);
    had_a_gap(&report);
}

fn deletions_in_a_gap_are_carried_out_where_that_was_asked_for(way: Way) {
    let stage = Stage::new(way);
    let riot = stage.replicate_by_proxies().word("--delete-extra");
    let output = deleted_in_a_gap(&stage, riot);
    had_a_gap(&stage.equal(&output));
}

fn the_targets_own_keys_survive_without_delete_extra(way: Way) {
    let stage = Stage::new(way);
    data::fill_mixed(&stage.target, "own:", 50);
    let output = deleted_in_a_gap(&stage, stage.replicate_by_proxies());
    let report = stage.only_extra(&output);
    assert_eq!(report.extra.len(), 150, "{report}");
    let own = (0..50).filter(|number| report.extra.contains(&format!("own:{number}")));
    assert_eq!(own.count(), 50, "{report}");
}

fn filters_hold_for_what_is_deleted(way: Way) {
    let stage = Stage::new(way);
    data::fill_mixed(&stage.target, "own:", 50);
    let riot =
        stage
            .replicate_by_proxies()
            .words(["--delete-extra", "--key-exclude", "glob:own:*"]);
    let output = deleted_in_a_gap(&stage, riot);
    assert!(output.code() == Some(0), "{output}");
    had_a_gap(&Report::of(&output));
    let (own, rest) = data::snapshot(&stage.target, 0)
        .into_iter()
        .partition(|(key, _)| key.0.starts_with(b"own:"));
    let own: data::Snapshot = own;
    assert_eq!(own.len(), 50, "{output}");
    data::assert_snapshots(&data::snapshot(&stage.source, 0), &rest, 0);
}
