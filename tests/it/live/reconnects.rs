//! Connections are lost while applications write: the gap is closed, nothing is missing.

use std::time::{Duration, Instant};

use super::load::{Load, Progress};
use super::{Report, Stage, Way, clients, each_way, kill_client, listens, scanned};
use crate::riot::{Output, Riot};
use crate::servers::{Server, Version};
use crate::size::size;
use crate::wait;

each_way![
    the_subscriber_is_killed_again_and_again,
    the_subscriber_is_killed_while_keys_are_deleted,
    connections_are_killed_at_random,
    connections_to_the_source_are_cut,
    the_source_is_restarted,
    the_source_is_restarted_while_keys_are_deleted,
    the_source_is_restarted_without_its_data,
    a_silent_subscription_is_found,
];

/// Words of a run that ends by itself when everything is quiet, and that gives no key up.
pub(crate) const PATIENT: [&str; 4] = ["--retry", "always", "--idle-timeout", "2s"];

/// Lets riot run under this load while `fault` happens, to its own end.
pub(super) fn through(
    load: Load,
    stage: &Stage,
    riot: Riot,
    fault: impl FnOnce(&Progress),
) -> Output {
    load.fill(&stage.source);
    let mut running = riot.words(PATIENT).spawn();
    let (running, _) = load.during(&stage.source, size().live_load, |progress| {
        listens(&mut running);
        scanned(&mut running);
        progress.more(2000);
        fault(progress);
        progress.more(2000);
        running
    });
    running.finish()
}

/// The load of a test that asks for equality after a gap.
fn keeping() -> Load {
    Load::on(size().live_keys / 5).that_deletes_nothing()
}

/// The load of a test that deletes in a gap.
fn deleting() -> Load {
    Load::on(size().live_keys / 5)
}

/// Fails the test where there were fewer gaps, or one was not closed.
#[track_caller]
pub(crate) fn had_gaps(report: &Report, at_least: u64) {
    let gaps = report.number(&["live", "gap_count"]);
    assert!(gaps >= at_least, "{gaps} gaps\n{report}");
    for gap in report.json["live"]["gaps"].as_array().unwrap() {
        assert!(gap["closed"] == true, "{gap}\n{report}");
        assert!(!gap["cause"].as_str().unwrap().is_empty(), "{report}");
    }
}

/// Kills what listens, so many times, each time once it is there again.
fn kill_listeners(stage: &Stage, progress: &Progress) {
    for _ in 0..size().live_kills {
        let listeners = wait::until("riot listens", || {
            let listeners = stage.way.listeners(&stage.source);
            (!listeners.is_empty()).then_some(listeners)
        });
        if stage.way == Way::Keyspace {
            stage.source.tell("CLIENT KILL TYPE pubsub");
        } else {
            for id in &listeners {
                kill_client(&stage.source, *id);
            }
        }
        progress.more(1000);
    }
}

fn the_subscriber_is_killed_again_and_again(way: Way) {
    let stage = Stage::new(way);
    let output = through(keeping(), &stage, stage.replicate(), |progress| {
        kill_listeners(&stage, progress);
    });
    had_gaps(&stage.equal(&output), 1);
}

fn the_subscriber_is_killed_while_keys_are_deleted(way: Way) {
    let stage = Stage::new(way);
    let output = through(deleting(), &stage, stage.replicate(), |progress| {
        kill_listeners(&stage, progress);
    });
    had_gaps(&stage.only_extra(&output), 1);

    let stage = Stage::new(way);
    let riot = stage.replicate().word("--delete-extra");
    let output = through(deleting(), &stage, riot, |progress| {
        kill_listeners(&stage, progress);
    });
    had_gaps(&stage.equal(&output), 1);
}

fn connections_are_killed_at_random(way: Way) {
    let stage = Stage::new(way);
    let mut rng = fastrand::Rng::with_seed(5);
    let output = through(keeping(), &stage, stage.replicate(), |progress| {
        for _ in 0..size().live_kills * 4 {
            for server in [&stage.source, &stage.target] {
                let clients = clients(server);
                if !clients.is_empty() {
                    kill_client(server, clients[rng.usize(0..clients.len())].0);
                }
            }
            progress.more(500);
        }
    });
    stage.equal(&output);
}

fn connections_to_the_source_are_cut(way: Way) {
    let stage = Stage::new(way);
    let output = through(
        keeping(),
        &stage,
        stage.replicate_by_proxies(),
        |progress| {
            for turn in 0..size().live_kills {
                if turn % 2 == 0 {
                    stage.to_source.cut();
                } else {
                    stage.to_source.reset();
                }
                progress.more(1000);
                wait::until("riot listens", || {
                    (!way.listeners(&stage.source).is_empty()).then_some(())
                });
            }
        },
    );
    had_gaps(&stage.equal(&output), 1);
}

#[test]
fn the_sources_buffer_for_subscribers_is_small() {
    let stage = Stage::new(Way::Keyspace);
    stage.source.tell("CONFIG RESETSTAT");
    let mut command = redis::cmd("CONFIG");
    command
        .arg("SET")
        .arg("client-output-buffer-limit")
        .arg("pubsub 200kb 200kb 1")
        .exec(&mut stage.source.connection())
        .unwrap();
    let load = keeping();
    load.fill(&stage.source);
    let mut running = stage.replicate().words(PATIENT).spawn();
    let (running, _) = load.during(&stage.source, size().live_load, |progress| {
        listens(&mut running);
        scanned(&mut running);
        // Riot itself reads too fast for that: held still, it cannot.
        running.signal("STOP");
        wait::within(
            Duration::from_secs(90),
            "the source drops riot's subscription",
            || {
                let none = Way::Keyspace.listeners(&stage.source).is_empty();
                none.then_some(())
            },
        );
        running.signal("CONT");
        progress.more(2000);
        running
    });
    had_gaps(&stage.equal(&running.finish()), 1);
}

fn persistent(way: Way) -> Stage {
    Stage::with(
        way,
        Server::with(Version::Redis70).persistent().start(),
        Server::start(Version::Redis70),
    )
}

/// Ends the source as a crash does and starts it with its data and its setting.
fn restart_source(stage: &Stage) {
    stage.source.kill();
    stage.source.restart();
    stage.way.prepare(&stage.source);
}

fn the_source_is_restarted(way: Way) {
    let stage = persistent(way);
    let output = through(keeping(), &stage, stage.replicate(), |_| {
        restart_source(&stage);
    });
    had_gaps(&stage.equal(&output), 1);
}

fn the_source_is_restarted_while_keys_are_deleted(way: Way) {
    let stage = persistent(way);
    let output = through(deleting(), &stage, stage.replicate(), |_| {
        restart_source(&stage);
    });
    had_gaps(&stage.only_extra(&output), 1);

    let stage = persistent(way);
    let riot = stage.replicate().word("--delete-extra");
    let output = through(deleting(), &stage, riot, |_| restart_source(&stage));
    had_gaps(&stage.equal(&output), 1);
}

fn the_source_is_restarted_without_its_data(way: Way) {
    let stage = Stage::new(way);
    crate::data::fill_mixed(&stage.source, "before:", 800);
    let output = through(keeping(), &stage, stage.replicate(), |_| {
        restart_source(&stage);
    });
    let report = stage.only_extra(&output);
    let old = report.extra.iter().filter(|key| key.starts_with("before:"));
    assert_eq!(old.count(), 800, "{report}");
    had_gaps(&report, 1);
}

fn a_silent_subscription_is_found(way: Way) {
    let stage = Stage::new(way);
    let load = keeping();
    load.fill(&stage.source);
    let mut running = stage
        .replicate_by_proxies()
        .words(["--source-timeout", "2s"])
        .words(PATIENT)
        .spawn();
    listens(&mut running);
    scanned(&mut running);
    // As when a firewall forgets the connections: riot is told nothing.
    stage.to_source.half_open();
    let started = Instant::now();
    load.last(&stage.source, Duration::from_millis(500));
    stage.source.tell("SET in:the:dark 1");
    wait::until("what was written in the dark has arrived", || {
        let value: Option<String> = stage.target.run("GET in:the:dark");
        value
    });
    eprintln!("found after {:.1?}", started.elapsed());
    had_gaps(&stage.equal(&running.finish()), 1);
}
