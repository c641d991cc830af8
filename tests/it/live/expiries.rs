//! Keys that end by themselves: expired, or evicted.

use super::{Stage, Way, each_way, end, listens, scanned};
use crate::data::{self, run};
use crate::servers::{Server, Version};
use crate::wait;

each_way![
    keys_that_expire_vanish_from_the_target,
    a_life_that_is_lengthened_or_taken_away_is_followed,
    keys_that_are_evicted_vanish_from_the_target,
    keys_written_without_expiry_vanish_when_the_sources_expire,
];

fn keys_that_expire_vanish_from_the_target(way: Way) {
    let stage = Stage::new(way);
    data::fill_strings(&stage.source, "stays:", 100, 50);
    data::fill_mixed(&stage.source, "mixed:", 800);
    let mut c = stage.source.connection();
    // Some end before they are read, some between the scan and the end.
    for number in 0..400 {
        run!(c, "PEXPIRE", format!("mixed:{number}"), 1 + number * 5);
    }
    let mut running = stage.replicate().spawn();
    listens(&mut running);
    for number in 0..400 {
        let key = format!("new:{number}");
        run!(c, "SET", &key, number, "PX", 1 + number * 5);
        run!(c, "RPUSH", format!("list:{number}"), number);
        run!(c, "PEXPIRE", format!("list:{number}"), 1 + number * 5);
    }
    scanned(&mut running);
    wait::until("they are gone from both", || {
        let left = |server: &Server| server.keys(0) == 500;
        (left(&stage.source) && left(&stage.target)).then_some(())
    });
    stage.equal(&end(running));
}

fn a_life_that_is_lengthened_or_taken_away_is_followed(way: Way) {
    let stage = Stage::new(way);
    data::fill_strings(&stage.source, "key:", 400, 50);
    let mut c = stage.source.connection();
    for number in 0..400 {
        run!(c, "PEXPIRE", format!("key:{number}"), 3000);
    }
    let mut running = stage.replicate().spawn();
    listens(&mut running);
    for number in 0..100 {
        run!(c, "PERSIST", format!("key:{number}"));
        run!(c, "PEXPIRE", format!("key:{}", 100 + number), 3_600_000);
        run!(c, "SET", format!("key:{}", 200 + number), "no life");
    }
    scanned(&mut running);
    wait::until("the rest is gone from both", || {
        let left = |server: &Server| server.keys(0) == 300;
        (left(&stage.source) && left(&stage.target)).then_some(())
    });
    stage.equal(&end(running));
}

fn keys_that_are_evicted_vanish_from_the_target(way: Way) {
    let source = Server::with(Version::Redis70)
        .arguments([
            "--maxmemory",
            "20mb",
            "--maxmemory-policy",
            "allkeys-random",
        ])
        .start();
    let stage = Stage::with(way, source, Server::start(Version::Redis70));
    data::fill_strings(&stage.source, "first:", 5000, 1000);
    let mut running = stage.replicate().spawn();
    listens(&mut running);
    scanned(&mut running);
    data::fill_strings(&stage.source, "second:", 20_000, 1000);
    let evicted: u64 = stage.source.info("evicted_keys").parse().unwrap();
    assert!(evicted > 1000, "{evicted} keys were evicted");
    // Riot's own reading takes memory too: nothing more is evicted from here on.
    stage.source.tell("CONFIG SET maxmemory 0");
    stage.equal(&end(running));
}

fn keys_written_without_expiry_vanish_when_the_sources_expire(way: Way) {
    let stage = Stage::new(way);
    data::fill_strings(&stage.source, "stays:", 100, 50);
    data::fill_strings(&stage.source, "goes:", 100, 50);
    let mut c = stage.source.connection();
    let mut running = stage.replicate().word("--no-ttl").spawn();
    listens(&mut running);
    scanned(&mut running);
    for number in 0..100 {
        run!(c, "PEXPIRE", format!("goes:{number}"), 300 + number);
        run!(c, "PEXPIRE", format!("stays:{number}"), 3_600_000);
    }
    wait::until("they are gone from both", || {
        let left = |server: &Server| server.keys(0) == 100;
        (left(&stage.source) && left(&stage.target)).then_some(())
    });
    let output = end(running);
    assert_eq!(output.code(), Some(0), "{output}");
    let found = data::snapshot(&stage.target, 0);
    assert!(
        found.values().all(|value| value.expiry.is_none()),
        "{output}"
    );
}
