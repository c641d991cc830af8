//! Every version of the source, with its notifications and without.

use std::time::Duration;

use super::load::Load;
use super::{Stage, Way, end, listens, live};
use crate::data;
use crate::servers::{Server, Version};

/// A short load of everything, by what `auto` finds.
fn is_replicated(version: Version) {
    for way in [Way::Tracking, Way::Keyspace] {
        let stage = Stage::with(way, Server::start(version), Server::start(version));
        data::fill_every_type(&stage.source, 0);
        let load = Load::on(1400);
        load.fill(&stage.source);
        let (running, done) = load.during(&stage.source, Duration::from_secs(1), |_| {
            let mut running = live("auto", &stage.source.uri(), &stage.target.uri()).spawn();
            listens(&mut running);
            running
        });
        done.settle(&stage.source);
        let report = stage.equal(&end(running));
        assert_eq!(report.ways(), [way.word()], "{version:?}\n{report}");
    }
}

#[test]
fn redis_6_0_is_replicated() {
    is_replicated(Version::Redis60);
}

#[test]
fn redis_7_0_is_replicated() {
    is_replicated(Version::Redis70);
}

#[test]
fn redis_8_0_is_replicated() {
    is_replicated(Version::Redis80);
}

#[test]
fn valkey_8_1_is_replicated() {
    is_replicated(Version::Valkey81);
}

#[test]
fn an_older_target_that_refuses_payloads_gets_everything_by_its_type() {
    let stage = Stage::with(
        Way::Tracking,
        Server::start(Version::Redis80),
        Server::start(Version::Redis60),
    );
    let load = Load::on(700);
    load.fill(&stage.source);
    let (running, done) = load.during(&stage.source, Duration::from_secs(2), |_| {
        let mut running = stage.replicate().spawn();
        listens(&mut running);
        running
    });
    done.settle(&stage.source);
    let output = end(running).exits(0);
    let all = |server: &Server| data::without_last_seen(data::snapshot(server, 0));
    data::assert_snapshots(&all(&stage.source), &all(&stage.target), 50);
    let report = super::Report::of(&output);
    assert!(report.number(&["by_type"]) > 100, "{output}");
}

#[test]
fn hash_fields_that_end_are_followed() {
    for way in [Way::Tracking, Way::Keyspace] {
        let stage = Stage::with(
            way,
            Server::start(Version::Redis80),
            Server::start(Version::Redis80),
        );
        for number in 0..100 {
            stage
                .source
                .tell(&format!("HSET hash:{number} goes 1 stays 2"));
            stage.source.tell(&format!("HSET all:{number} goes 1"));
        }
        let mut running = stage.replicate().spawn();
        listens(&mut running);
        crate::wait::until("the hashes have arrived", || {
            (stage.target.keys(0) == 200).then_some(())
        });
        for number in 0..100 {
            for key in ["hash", "all"] {
                stage
                    .source
                    .tell(&format!("HPEXPIRE {key}:{number} 300 FIELDS 1 goes"));
            }
        }
        crate::wait::until("hashes without fields are gone from both", || {
            let keys = |server: &Server| server.keys(0);
            (keys(&stage.source) == 100 && keys(&stage.target) == 100).then_some(())
        });
        stage.equal(&end(running));
    }
}
