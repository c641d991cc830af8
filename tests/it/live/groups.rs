//! Consumer groups change with no event at all: exact in the end, and followed before.

use super::{Stage, Way, each_way, end, listens, scanned};
use crate::data::run;
use crate::servers::{Server, Version};
use crate::wait;

each_way![
    a_consumer_that_reads_and_acknowledges_is_exact_at_the_end,
    groups_are_followed_while_it_runs,
    a_group_alone_changes,
];

const STREAMS: u32 = 20;

/// Streams of 40 entries with a group of two consumers.
fn fill(source: &Server) {
    let mut c = source.connection();
    for stream in 0..STREAMS {
        let key = format!("stream:{stream}");
        for entry in 1..=40 {
            run!(c, "XADD", &key, format!("{entry}-1"), "entry", entry);
        }
        run!(c, "XGROUP", "CREATE", &key, "group", "0");
        for consumer in ["ann", "bob"] {
            read(source, &key, consumer, 3);
        }
    }
}

fn read(source: &Server, key: &str, consumer: &str, count: u32) {
    run!(
        source.connection(),
        "XREADGROUP",
        "GROUP",
        "group",
        consumer,
        "COUNT",
        count,
        "STREAMS",
        key,
        ">"
    );
}

/// Reads, acknowledges, claims: no entry is added.
fn consume(source: &Server) {
    let mut c = source.connection();
    for stream in 0..STREAMS {
        let key = format!("stream:{stream}");
        read(source, &key, "ann", 5 + stream % 3);
        run!(c, "XACK", &key, "group", "1-1", "4-1", "7-1");
        run!(
            c,
            "XCLAIM",
            &key,
            "group",
            "bob",
            0,
            "2-1",
            "8-1",
            "RETRYCOUNT",
            9
        );
        // Delivered once more to the one that has them.
        run!(
            c,
            "XREADGROUP",
            "GROUP",
            "group",
            "bob",
            "STREAMS",
            &key,
            "0"
        );
        if source.version().since_70() {
            run!(c, "XAUTOCLAIM", &key, "group", "ann", 0, "0", "COUNT", 2);
        }
    }
}

fn a_consumer_that_reads_and_acknowledges_is_exact_at_the_end(way: Way) {
    for version in [Version::Redis60, Version::Redis70, Version::Valkey81] {
        let stage = Stage::with(way, Server::start(version), Server::start(version));
        fill(&stage.source);
        let mut running = stage.replicate().spawn();
        listens(&mut running);
        scanned(&mut running);
        wait::until("the streams have arrived", || {
            (stage.target.keys(0) == u64::from(STREAMS)).then_some(())
        });
        consume(&stage.source);
        stage.equal(&end(running));
    }
}

fn groups_are_followed_while_it_runs(way: Way) {
    let stage = Stage::new(way);
    fill(&stage.source);
    let mut running = stage.replicate().spawn();
    listens(&mut running);
    scanned(&mut running);
    for _ in 0..2 {
        consume(&stage.source);
        wait::until("the groups have followed", || {
            super::differences(&stage.source, &stage.target)
                .is_empty()
                .then_some(())
        });
    }
    stage.equal(&end(running));
}

/// What tracking has no word for either.
fn a_group_alone_changes(way: Way) {
    let stage = Stage::new(way);
    fill(&stage.source);
    let mut running = stage.replicate().spawn();
    listens(&mut running);
    scanned(&mut running);
    for command in [
        "XGROUP SETID stream:0 group 30-1",
        "XGROUP DELCONSUMER stream:1 group bob",
        "XGROUP CREATE stream:2 second $",
        "XGROUP DESTROY stream:3 group",
        "XGROUP CREATECONSUMER stream:4 group cat",
        "XSETID stream:5 99-9",
    ] {
        stage.source.tell(command);
    }
    stage.equal(&end(running));
}
