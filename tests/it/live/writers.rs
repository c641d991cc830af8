//! Applications write at full speed while riot scans and listens: equal in the end.

use std::time::{Duration, Instant};

use super::load::Load;
use super::{Stage, Way, each_way, end, listens};
use crate::proxy::Direction;
use crate::riot::Riot;
use crate::size::size;

each_way![
    eight_writers_and_one_lane,
    eight_writers_and_eight_lanes,
    hot_keys_over_a_long_link,
    more_changed_keys_than_the_set_holds,
    what_is_there_before_and_never_changes,
    a_long_link_to_the_source,
    every_way_to_write_is_as_good,
    a_key_that_always_changes_is_read_once_in_a_flush_interval,
];

/// Lets riot start under this load, ends both, and expects the same on both sides: what riot reported.
#[track_caller]
fn under(load: Load, stage: &Stage, riot: Riot) -> super::Report {
    load.fill(&stage.source);
    let (running, done) = load.during(&stage.source, size().live_load, |progress| {
        progress.more(1000);
        let mut running = riot.spawn();
        listens(&mut running);
        progress.more(1000);
        running
    });
    done.settle(&stage.source);
    let report = stage.equal(&end(running));
    assert_eq!(report.ways(), [stage.way.word()], "{report}");
    let changes = report.number(&["live", "changes"]);
    assert!(changes > 100, "{changes} changes\n{report}");
    report
}

fn eight_writers(way: Way, lanes: &str) {
    let stage = Stage::new(way);
    let words = [
        "--threads",
        lanes,
        "--read-threads",
        lanes,
        "--source-pool",
        "12",
        "--target-pool",
        "12",
    ];
    under(
        Load::on(size().live_keys),
        &stage,
        stage.replicate().words(words),
    );
}

fn eight_writers_and_one_lane(way: Way) {
    eight_writers(way, "1");
}

fn eight_writers_and_eight_lanes(way: Way) {
    eight_writers(way, "8");
}

fn hot_keys_over_a_long_link(way: Way) {
    let stage = Stage::new(way);
    for direction in [Direction::Up, Direction::Down] {
        stage.to_target.delay(direction, Duration::from_millis(25));
    }
    let words = [
        "--threads",
        "8",
        "--read-threads",
        "8",
        "--batch",
        "5",
        "--read-batch",
        "5",
        "--source-pool",
        "12",
        "--target-pool",
        "12",
    ];
    let report = under(
        Load::on(21),
        &stage,
        stage.replicate_by_proxies().words(words),
    );
    let hot = report.json["live"]["hot_keys"].as_array().unwrap();
    assert_eq!(hot.len(), 5, "{report}");
    assert!(
        hot.iter().all(|key| key["copies"].as_u64().unwrap() > 1),
        "{report}"
    );
}

fn more_changed_keys_than_the_set_holds(way: Way) {
    let stage = Stage::new(way);
    // The link is what makes changed keys wait.
    stage
        .to_target
        .delay(Direction::Up, Duration::from_millis(50));
    let report = under(
        Load::on(size().live_keys),
        &stage,
        stage
            .replicate_by_proxies()
            .words(["--event-queue", "100", "--batch", "50"]),
    );
    let overflowed = report.number(&["live", "overflowed"]);
    assert!(overflowed > 0, "{report}");
    let most = report.number(&["live", "most_waiting"]);
    assert!(most <= 100, "{most} keys waited\n{report}");
}

fn what_is_there_before_and_never_changes(way: Way) {
    let stage = Stage::new(way);
    crate::data::fill_every_type(&stage.source, 0);
    under(Load::on(700), &stage, stage.replicate());
}

fn a_key_that_always_changes_is_read_once_in_a_flush_interval(way: Way) {
    let stage = Stage::new(way);
    stage.source.tell("SET hot 0");
    let mut running = stage
        .replicate()
        .words(["--flush-interval", "500ms"])
        .spawn();
    listens(&mut running);
    let mut c = stage.source.connection();
    let started = Instant::now();
    let mut changes = 0_u32;
    while started.elapsed() < Duration::from_secs(3) {
        crate::data::run!(c, "INCR", "hot");
        changes += 1;
    }
    let report = stage.equal(&end(running));
    let copies = report.json["live"]["hot_keys"][0]["copies"]
        .as_u64()
        .unwrap();
    eprintln!("{changes} changes, {copies} copies");
    // Six intervals, the scan, and the end.
    assert!(copies <= 10, "{report}");
    let written = stage.target.calls("set") + stage.target.calls("mset");
    assert!(written <= 12, "{written} writes\n{report}");
}

fn a_long_link_to_the_source(way: Way) {
    let stage = Stage::new(way);
    for direction in [Direction::Up, Direction::Down] {
        stage.to_source.delay(direction, Duration::from_millis(40));
    }
    under(Load::on(1400), &stage, stage.replicate_by_proxies());
}

#[test]
fn notifications_are_heard_in_the_older_protocol() {
    let stage = Stage::new(Way::Keyspace);
    under(
        Load::on(1400),
        &stage,
        stage.replicate().words(["--source-resp", "2"]),
    );
}

/// Riot knows no more than the slot of what found no room: keys that it never wrote are not its own to delete.
#[test]
fn the_targets_own_keys_survive_a_full_set() {
    let stage = Stage::new(Way::Keyspace);
    crate::data::fill_mixed(&stage.target, "own:", 2000);
    let own = crate::data::snapshot(&stage.target, 0);
    stage
        .to_target
        .delay(Direction::Up, Duration::from_millis(50));
    let load = Load::on(size().live_keys);
    load.fill(&stage.source);
    let (running, done) = load.during(&stage.source, size().live_load, |_| {
        let words = ["--event-queue", "100", "--batch", "50"];
        let mut running = stage.replicate_by_proxies().words(words).spawn();
        listens(&mut running);
        running
    });
    done.settle(&stage.source);
    let output = end(running);
    let mut found = crate::data::snapshot(&stage.target, 0);
    found.retain(|key, _| key.0.starts_with(b"own:"));
    let lost = crate::data::differences(&own, &found, 0);
    assert!(lost.is_empty(), "{}\n{output}", super::shown(&lost));
    let report = super::Report::of(&output);
    assert!(report.number(&["live", "overflowed"]) > 0, "{report}");
}

fn every_way_to_write_is_as_good(way: Way) {
    for words in [
        ["--type", "dump"],
        ["--event-order", "priority"],
        ["--pipeline", "1"],
        ["--batch", "1"],
        ["--flush-interval", "1ms"],
    ] {
        let stage = Stage::new(way);
        let load = Load::on(700);
        load.fill(&stage.source);
        let (running, done) = load.during(&stage.source, Duration::from_millis(500), |progress| {
            let mut running = stage.replicate().words(words).spawn();
            listens(&mut running);
            progress.more(1000);
            running
        });
        done.settle(&stage.source);
        stage.equal(&end(running));
    }
}
