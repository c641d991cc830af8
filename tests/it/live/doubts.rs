//! What nobody says aloud: notifications that are off, too few, or switched off; databases flushed or swapped. Riot finds out,
//! and never ends with 0 and a difference.

use std::time::Duration;

use super::load::Load;
use super::{
    Report, Stage, Way, each_way, end, listens, live, never_a_silent_difference, only_extra, quiet,
    scanned,
};
use crate::data;
use crate::riot::{Output, Running};
use crate::servers::Server;
use crate::size::size;
use crate::wait;

each_way![
    the_source_is_flushed_under_load,
    every_kind_of_flush_is_noticed_at_once,
    a_flush_is_carried_out_where_that_was_asked_for,
    databases_are_swapped,
    a_statistic_that_is_reset_hides_nothing,
];

fn set_notifications(source: &Server, classes: &str) {
    redis::cmd("CONFIG")
        .arg("SET")
        .arg("notify-keyspace-events")
        .arg(classes)
        .exec(&mut source.connection())
        .unwrap();
}

/// `--events auto`.
fn auto(stage: &Stage) -> crate::riot::Riot {
    live("auto", &stage.source.uri(), &stage.target.uri())
}

/// A short load with these notifications and `--events auto`: equal, by these ways.
fn by_itself(classes: &str, ways: &[&str]) {
    let stage = Stage::new(Way::Tracking);
    set_notifications(&stage.source, classes);
    let load = Load::on(size().live_keys / 5);
    load.fill(&stage.source);
    let (running, done) = load.during(&stage.source, size().live_load, |_| {
        let mut running = auto(&stage).spawn();
        listens(&mut running);
        running
    });
    done.settle(&stage.source);
    let report = stage.equal(&end(running));
    assert_eq!(report.ways(), ways, "{report}");
}

#[test]
fn notifications_that_are_off_are_not_needed() {
    by_itself("", &["tracking"]);
}

#[test]
fn notifications_of_everything_are_used() {
    by_itself("KEA", &["keyspace"]);
}

#[test]
fn notifications_of_expiries_alone_are_not_relied_on() {
    by_itself("Kx", &["tracking"]);
}

#[test]
fn notifications_of_some_types_are_not_relied_on() {
    by_itself("Kg$lshzxe", &["tracking"]);
}

#[test]
fn keyspace_alone_asks_for_the_notifications_that_are_missing() {
    for classes in ["", "Kx", "EA", "Kg$lshzxe"] {
        let stage = Stage::new(Way::Keyspace);
        set_notifications(&stage.source, classes);
        stage.source.tell("SET key 1");
        let output = stage.replicate().run().exits(3);
        output
            .says("CONFIG SET notify-keyspace-events")
            .says("ElastiCache");
        assert_eq!(stage.target.keys(0), 0, "{classes}");
    }
}

/// A running riot that has copied 1,000 keys, and what `--events` was.
fn at_rest(stage: &Stage, events: &str, words: &[&str]) -> Running {
    data::fill_strings(&stage.source, "rest:", 1000, 50);
    let mut running = live(events, &stage.source.uri(), &stage.target.uri())
        .words(words)
        .spawn();
    listens(&mut running);
    scanned(&mut running);
    wait::until("everything has arrived", || {
        (stage.target.keys(0) == 1000).then_some(())
    });
    running
}

#[test]
fn notifications_that_are_switched_off_hide_no_difference() {
    for events in ["keyspace", "auto"] {
        // Same type, same length, no expiry: no quick comparison sees it.
        for command in [
            "SET rest:7 x",
            "DEL rest:8",
            "SET more 1",
            "EXPIRE rest:9 1000",
        ] {
            let stage = Stage::new(Way::Keyspace);
            let running = at_rest(&stage, events, &[]);
            set_notifications(&stage.source, "");
            stage.source.tell(command);
            let output = end(running);
            stage.never_a_silent_difference(&output);
        }
    }
}

#[test]
fn notifications_that_are_off_for_a_moment_hide_no_difference() {
    for events in ["keyspace", "auto"] {
        let stage = Stage::new(Way::Keyspace);
        let running = at_rest(&stage, events, &[]);
        set_notifications(&stage.source, "");
        stage.source.tell("SET rest:7 x");
        set_notifications(&stage.source, "KA");
        stage.never_a_silent_difference(&end(running));
    }
}

#[test]
fn notifications_that_lose_a_class_hide_no_difference() {
    for events in ["keyspace", "auto"] {
        let stage = Stage::new(Way::Keyspace);
        stage.source.tell("HSET hash field 1");
        let load = Load::on(700).prefix("other:");
        load.fill(&stage.source);
        let mut running = live(events, &stage.source.uri(), &stage.target.uri()).spawn();
        listens(&mut running);
        scanned(&mut running);
        // All but those of hashes.
        set_notifications(&stage.source, "Kg$lszxetd");
        stage.source.tell("HSET hash field 2");
        let done = load.last(&stage.source, Duration::from_millis(500));
        done.settle(&stage.source);
        stage.never_a_silent_difference(&end(running));
    }
}

#[test]
fn notifications_switched_off_for_long_are_found_out_and_replaced() {
    let stage = Stage::new(Way::Keyspace);
    let load = Load::on(size().live_keys / 5).that_deletes_nothing();
    load.fill(&stage.source);
    let mut running = auto(&stage).spawn();
    let (running, _) = load.during(&stage.source, Duration::ZERO, |progress| {
        listens(&mut running);
        scanned(&mut running);
        progress.more(1000);
        set_notifications(&stage.source, "");
        // The ten seconds, and the time to see it.
        wait::within(Duration::from_secs(40), "riot listens by tracking", || {
            (!Way::Tracking.listeners(&stage.source).is_empty()).then_some(())
        });
        progress.more(1000);
        running
    });
    let output = end_when_quiet(running);
    let report = stage.equal(&output);
    assert!(report.ways().contains(&"tracking"), "{report}");
    assert!(report.number(&["live", "gap_count"]) >= 1, "{report}");
}

/// Ends a run once it has nothing to do: a scan that a gap asked for is through.
fn end_when_quiet(running: Running) -> Output {
    quiet(&running);
    end(running)
}

fn the_source_is_flushed_under_load(way: Way) {
    for delete in [false, true] {
        let stage = Stage::new(way);
        let load = Load::on(size().live_keys / 5).that_deletes_nothing();
        load.fill(&stage.source);
        let words: &[&str] = if delete { &["--delete-extra"] } else { &[] };
        let mut running = stage
            .replicate()
            .words(words)
            .words(super::reconnects::PATIENT)
            .spawn();
        let (running, done) = load.during(&stage.source, Duration::ZERO, |progress| {
            listens(&mut running);
            scanned(&mut running);
            progress.more(2000);
            stage.source.tell("FLUSHALL");
            progress.more(2000);
            running
        });
        done.settle(&stage.source);
        let output = running.finish();
        if delete {
            stage.equal(&output);
        } else {
            let report = stage.only_extra(&output);
            assert!(!report.extra.is_empty(), "{report}");
        }
    }
}

fn every_kind_of_flush_is_noticed_at_once(way: Way) {
    for command in ["FLUSHALL", "FLUSHDB", "FLUSHALL ASYNC", "FLUSHDB ASYNC"] {
        let stage = Stage::new(way);
        let running = at_rest(&stage, way.word(), &[]);
        stage.source.tell(command);
        stage.source.tell("SET rest:1 after");
        stage.never_a_silent_difference(&end(running));
    }
}

fn a_flush_is_carried_out_where_that_was_asked_for(way: Way) {
    let stage = Stage::new(way);
    let running = at_rest(&stage, way.word(), &["--delete-extra"]);
    stage.source.tell("FLUSHALL");
    stage.source.tell("SET rest:1 after");
    wait::until("the target has what is left", || {
        (stage.target.keys(0) == 1).then_some(())
    });
    stage.equal(&end(running));
}

fn databases_are_swapped(way: Way) {
    // At once, and once riot has had the time to look.
    for patient in [false, true] {
        let stage = Stage::new(way);
        let mut other = stage.source.connection_to(1);
        for number in 0..500 {
            data::run!(other, "SET", format!("rest:{number}"), "of the other");
        }
        data::run!(other, "SET", "only here", "1");
        let running = at_rest(&stage, way.word(), &[]);
        stage.source.tell("SWAPDB 0 1");
        if patient {
            wait::until("the other database's keys have arrived", || {
                let value: Option<String> = stage.target.run("GET rest:499");
                (value.as_deref() == Some("of the other")).then_some(())
            });
            let output = end_when_quiet(running);
            let report = Report::of(&output);
            assert!(report.number(&["live", "gap_count"]) >= 1, "{output}");
            only_extra(&output, &stage.source, &stage.target);
        } else {
            never_a_silent_difference(&end(running), &stage.source, &stage.target);
        }
    }
}

fn a_statistic_that_is_reset_hides_nothing(way: Way) {
    let stage = Stage::new(way);
    stage.source.tell("SET count 1");
    stage.source.tell("FLUSHDB");
    let running = at_rest(&stage, way.word(), &[]);
    // The count of flushes is then what it was, or lower.
    stage.source.tell("FLUSHDB");
    stage.source.tell("CONFIG RESETSTAT");
    stage.source.tell("SET rest:1 after");
    stage.never_a_silent_difference(&end(running));
}
