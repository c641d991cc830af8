//! Riot itself is held still under full load, as a machine that swaps or is snapshotted: its source does not suffer.

use std::time::{Duration, Instant};

use super::load::Load;
use super::reconnects::PATIENT;
use super::{Stage, Way, each_way, listens, scanned};
use crate::size::size;
use crate::wait;

each_way![a_riot_that_was_held_still_costs_the_source_little];

/// What the source's memory may grow by, once riot goes on.
const ALLOWED: u64 = 64 << 20;

fn a_riot_that_was_held_still_costs_the_source_little(way: Way) {
    let stage = Stage::new(way);
    let load = Load::on(size().live_keys).that_deletes_nothing();
    load.fill(&stage.source);
    let used = || stage.source.info("used_memory").parse::<u64>().unwrap();
    let mut running = stage.replicate().words(PATIENT).spawn();
    let ((running, before, most), _) = load.during(&stage.source, Duration::ZERO, |progress| {
        listens(&mut running);
        scanned(&mut running);
        progress.more(5000);
        running.signal("STOP");
        let stopped = Instant::now();
        wait::within(
            size().live_stopped + wait::SOON,
            "riot was held still long enough",
            || (stopped.elapsed() >= size().live_stopped).then_some(()),
        );
        let before = used();
        running.signal("CONT");
        let going = Instant::now();
        let mut most = before;
        while going.elapsed() < size().live_load {
            most = most.max(used());
            wait::pause(Duration::from_millis(5));
        }
        (running, before, most)
    });
    let output = running.finish();
    let grown = most.saturating_sub(before);
    eprintln!("{} MB at first, {} MB more", before >> 20, grown >> 20);
    assert!(grown <= ALLOWED, "{} MB more\n{output}", grown >> 20);
    stage.equal(&output);
}
