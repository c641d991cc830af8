//! The target is away for a while: riot listens on, and nothing is lost, deletions neither.

use super::load::Load;
use super::reconnects::through;
use super::{Stage, Way, clients, each_way, end, kill_client, listens, scanned};
use crate::servers::{Server, Version};
use crate::size::size;
use crate::wait;
use std::time::Duration;

each_way![
    the_target_is_restarted,
    the_target_is_restarted_without_its_data,
    the_target_is_held_still,
    a_target_that_evicts_is_no_success,
    connections_to_the_target_are_cut,
    connections_to_the_target_are_killed,
];

fn load() -> Load {
    Load::on(size().live_keys / 5)
}

fn the_target_is_restarted(way: Way) {
    let stage = Stage::with(
        way,
        Server::start(Version::Redis70),
        Server::with(Version::Redis70).persistent().start(),
    );
    let output = through(load(), &stage, stage.replicate(), |progress| {
        stage.target.kill();
        progress.more(2000);
        stage.target.restart();
    });
    // What it had confirmed and lost with a crash would be a gap: riot cannot know that nothing was.
    stage.equal(&output);
}

fn the_target_is_restarted_without_its_data(way: Way) {
    let stage = Stage::new(way);
    let output = through(load(), &stage, stage.replicate(), |progress| {
        stage.target.kill();
        progress.more(2000);
        stage.target.restart();
    });
    stage.equal(&output);
}

fn a_target_that_evicts_is_no_success(way: Way) {
    let target = Server::with(Version::Redis70)
        .arguments(["--maxmemory", "4mb", "--maxmemory-policy", "allkeys-random"])
        .start();
    let stage = Stage::with(way, Server::start(Version::Redis70), target);
    let mut running = stage.replicate().words(["--compare", "none"]).spawn();
    listens(&mut running);
    scanned(&mut running);
    crate::data::fill_strings(&stage.source, "key:", 10_000, 1000);
    wait::until("the target evicts", || {
        let evicted: u64 = stage.target.info("evicted_keys").parse().unwrap();
        (evicted > 1000).then_some(())
    });
    let output = end(running);
    assert_eq!(output.code(), Some(1), "{output}");
    output.says("evict");
}

fn the_target_is_held_still(way: Way) {
    let stage = Stage::new(way);
    let output = through(load(), &stage, stage.replicate(), |_| {
        stage.target.pause();
        wait::pause(Duration::from_secs(3));
        stage.target.resume();
    });
    let report = stage.equal(&output);
    assert_eq!(report.number(&["live", "gap_count"]), 0, "{report}");
}

fn connections_to_the_target_are_cut(way: Way) {
    let stage = Stage::new(way);
    let output = through(load(), &stage, stage.replicate_by_proxies(), |progress| {
        for turn in 0..size().live_kills {
            if turn % 2 == 0 {
                stage.to_target.cut();
            } else {
                stage.to_target.reset();
            }
            progress.more(2000);
        }
    });
    let report = stage.equal(&output);
    assert_eq!(report.number(&["live", "gap_count"]), 0, "{report}");
}

fn connections_to_the_target_are_killed(way: Way) {
    let stage = Stage::new(way);
    let output = through(load(), &stage, stage.replicate(), |progress| {
        for _ in 0..size().live_kills {
            for (id, _) in clients(&stage.target) {
                kill_client(&stage.target, id);
            }
            progress.more(2000);
        }
    });
    stage.equal(&output);
}
