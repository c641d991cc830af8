//! A replica as the source.

use super::load::Load;
use super::reconnects::PATIENT;
use super::{Stage, Way, each_way, end, listens, scanned};
use crate::data;
use crate::servers::{Server, Version};
use crate::size::size;
use crate::wait;

each_way![
    a_replica_is_followed_under_load,
    a_replica_that_gets_another_master_hides_no_difference,
    a_replica_that_gets_another_master_is_copied_again,
    a_replica_that_becomes_a_master_is_followed,
    a_replica_whose_master_is_restarted_is_followed,
];

fn follows(replica: &Server, master: &Server) {
    replica.tell(&format!("REPLICAOF 127.0.0.1 {}", master.port()));
    wait::until("the replica has its master's data", || {
        let up = replica.info("master_link_status") == "up";
        let port = replica.info("master_port") == master.port().to_string();
        (up && port && replica.info("loading") == "0").then_some(())
    });
}

/// A master, and a stage whose source is its replica.
fn behind(way: Way) -> (Server, Stage) {
    let master = Server::start(Version::Redis70);
    let stage = Stage::new(way);
    follows(&stage.source, &master);
    (master, stage)
}

fn a_replica_is_followed_under_load(way: Way) {
    let (master, stage) = behind(way);
    let load = Load::on(size().live_keys / 5);
    load.fill(&master);
    let (running, done) = load.during(&master, size().live_load, |progress| {
        progress.more(1000);
        let mut running = stage.replicate().spawn();
        listens(&mut running);
        running
    });
    done.settle(&master);
    // Sent before the replica has everything, perhaps: that is riot's to wait for.
    let output = end(running);
    wait::until("the replica has everything", || {
        let offset = |server: &Server, field: &str| server.info(field);
        (offset(&master, "master_repl_offset") == offset(&stage.source, "slave_repl_offset"))
            .then_some(())
    });
    stage.equal(&output);
}

/// Two masters with keys of the same names: those that differ do so by their values alone.
fn two_masters(way: Way) -> (Server, Server, Stage) {
    let (first, stage) = behind(way);
    let second = Server::start(Version::Redis70);
    data::fill_mixed(&first, "mixed:", 800);
    data::fill_mixed(&second, "mixed:", 800);
    for number in 0..300 {
        first.tell(&format!("SET both:{number} one"));
        second.tell(&format!("SET both:{number} two"));
    }
    (first, second, stage)
}

fn a_replica_that_gets_another_master_hides_no_difference(way: Way) {
    let (_first, second, stage) = two_masters(way);
    let mut running = stage.replicate().spawn();
    listens(&mut running);
    scanned(&mut running);
    follows(&stage.source, &second);
    stage.never_a_silent_difference(&end(running));
}

fn a_replica_that_gets_another_master_is_copied_again(way: Way) {
    let (first, second, stage) = two_masters(way);
    for number in 0..50 {
        first.tell(&format!("SET only:first:{number} 1"));
        second.tell(&format!("SET only:second:{number} 1"));
    }
    wait::until("the replica has it", || {
        (stage.source.keys(0) == first.keys(0)).then_some(())
    });
    let mut running = stage.replicate().words(PATIENT).spawn();
    listens(&mut running);
    scanned(&mut running);
    wait::until("everything has arrived", || {
        (stage.target.keys(0) == first.keys(0)).then_some(())
    });
    follows(&stage.source, &second);
    wait::until("a key of the other master has arrived", || {
        let value: Option<String> = stage.target.run("GET only:second:49");
        value
    });
    let report = stage.only_extra(&running.finish());
    assert_eq!(report.extra.len(), 50, "{report}");
    assert!(report.number(&["live", "gap_count"]) >= 1, "{report}");
}

fn a_replica_that_becomes_a_master_is_followed(way: Way) {
    let (master, stage) = behind(way);
    let load = Load::on(1400).that_deletes_nothing();
    load.fill(&master);
    wait::until("the replica has it", || {
        (stage.source.keys(0) == master.keys(0)).then_some(())
    });
    let mut running = stage.replicate().words(PATIENT).spawn();
    listens(&mut running);
    scanned(&mut running);
    stage.source.tell("REPLICAOF NO ONE");
    load.last(&stage.source, size().live_load);
    stage.equal(&running.finish());
}

fn a_replica_whose_master_is_restarted_is_followed(way: Way) {
    let master = Server::with(Version::Redis70).persistent().start();
    let stage = Stage::new(way);
    follows(&stage.source, &master);
    let load = Load::on(1400).that_deletes_nothing();
    load.fill(&master);
    wait::until("the replica has it", || {
        (stage.source.keys(0) == master.keys(0)).then_some(())
    });
    let mut running = stage.replicate().words(PATIENT).spawn();
    let (running, _) = load.during(&master, size().live_load, |progress| {
        listens(&mut running);
        scanned(&mut running);
        progress.more(2000);
        master.kill();
        master.restart();
        progress.more(2000);
        running
    });
    let output = running.finish();
    wait::until("the replica has everything", || {
        let up = stage.source.info("master_link_status") == "up";
        let offset = stage.source.info("slave_repl_offset");
        (up && master.info("master_repl_offset") == offset).then_some(())
    });
    stage.equal(&output);
}
