//! A key that changes while it is read is read again: what arrives is what the source holds in the end, never two halves.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use super::filling::{KINDS, fill_big};
use super::{assert_carried, assert_no_rubbish, count, pair};
use crate::data::{self, run};
use crate::live::reconnects::PATIENT;
use crate::live::{Report, listens, live, scanned};
use crate::proxy::{Direction, Proxy};
use crate::riot::{Output, riot};
use crate::servers::{Server, Version};
use crate::store::Store as _;
use crate::wait;

/// Elements of a value of some 7 MB.
const ELEMENTS: u32 = 60_000;
/// In the middle of it.
const MIDDLE: u64 = 3 << 20;

/// Copies a big key that these commands change in the middle: once a part of it has been read, and before the rest is.
fn changed(kind: &str, commands: &[&str]) -> Output {
    let (source, target) = pair();
    fill_big(&mut source.connection(), kind, b"key", ELEMENTS, 1);
    source.tell("SET another 1");
    changed_between(&source, &target, |source| {
        for command in commands {
            source.tell(command);
        }
    })
}

fn changed_between(source: &Server, target: &Server, change: impl FnOnce(&Server)) -> Output {
    let to_source = Proxy::to(&source.address());
    to_source.stall_after(Direction::Down, MIDDLE);
    let running = riot(["replicate".into(), to_source.address(), target.uri()])
        .words(["--big-key", "1MB", "--report", "json"])
        .spawn();
    wait::until("the key is being read", || {
        to_source.is_stalled(Direction::Down).then_some(())
    });
    change(source);
    to_source.flow(Direction::Down);
    let output = running.finish().exits(0);
    assert_carried(source, target);
    assert_no_rubbish(target);
    output
}

/// The same for each of these changes alone; each makes it necessary to read the key again.
fn read_again(kind: &str, changes: &[&[&str]]) {
    for commands in changes {
        let output = changed(kind, commands);
        let times = count(&output, "read_again");
        assert_eq!(times, 1, "{kind}: {commands:?}\n{output}");
    }
}

#[test]
fn a_hash() {
    read_again(
        "hash",
        &[
            &["HSET key 0 changed"],
            &["HSET key 59999 changed"],
            &["HDEL key 0 59999"],
            &["HSET key another field"],
        ],
    );
}

#[test]
fn a_list() {
    read_again(
        "list",
        &[
            &["LPOP key"],
            &["LPUSH key first"],
            &["RPUSH key last"],
            &["LSET key 0 changed"],
            // As long as before: nothing but the places has changed.
            &["LPOP key", "RPUSH key last"],
        ],
    );
}

#[test]
fn a_set() {
    read_again("set", &[&["SADD key another"], &["SPOP key 1000"]]);
}

#[test]
fn a_sorted_set() {
    read_again(
        "zset",
        &[
            &["ZADD key -1 another"],
            &["ZADD key 99999 another"],
            // From what was read to what was not, and back.
            &["ZREMRANGEBYRANK key 0 99", "ZADD key 99999 moved"],
            &["ZREMRANGEBYRANK key -100 -1", "ZADD key -1 moved"],
        ],
    );
}

#[test]
fn a_stream() {
    read_again(
        "stream",
        &[
            &["XADD key 99999-1 another message"],
            &["XDEL key 1-1 59999-1"],
            &["XTRIM key MAXLEN 100"],
            &["XGROUP CREATE key second 0"],
        ],
    );
}

#[test]
fn a_string() {
    read_again(
        "string",
        &[
            &["SETRANGE key 0 changed"],
            &["SETRANGE key 5999990 changed"],
            // Its length was told to the target before it changed.
            &["APPEND key longer"],
            &["SET key shorter"],
            &["SETRANGE key 7000000 #"],
        ],
    );
}

#[test]
fn groups_change_with_no_event_at_all() {
    for commands in [
        &["XACK key group 1-1 2-1 6000-1"][..],
        &["XCLAIM key group other 0 1-1 RETRYCOUNT 99"],
        &["XREADGROUP GROUP group other COUNT 1000 STREAMS key >"],
        &["XGROUP SETID key group 5-1"],
        &["XGROUP DESTROY key group"],
    ] {
        // WATCH sees some of them and not others: whether it was read again is not told, what arrives is.
        changed("stream", commands);
    }
}

#[test]
fn a_key_that_goes_is_gone() {
    for kind in KINDS {
        for command in ["UNLINK key", "PEXPIRE key 1"] {
            let (source, target) = pair();
            fill_big(&mut source.connection(), kind, b"key", ELEMENTS, 1);
            fill_big(&mut target.connection(), kind, b"key", 100, 2);
            changed_between(&source, &target, |source| source.tell(command));
        }
    }
}

#[test]
fn a_key_that_becomes_another() {
    for kind in KINDS {
        let other = if kind == "hash" {
            "RPUSH key a b c"
        } else {
            "HSET key a b"
        };
        changed(kind, &["DEL key", other]);
        changed(kind, &["DEL key", "SET key text PX 500000"]);
        // Equal in type and size.
        let (source, target) = pair();
        let mut c = source.connection();
        fill_big(&mut c, kind, b"key", ELEMENTS, 1);
        let mut elsewhere = source.connection_to(1);
        fill_big(&mut elsewhere, kind, b"key", ELEMENTS, 2);
        let output = changed_between(&source, &target, |source| {
            source.tell("UNLINK key");
            run!(elsewhere, "MOVE", "key", 0);
        });
        assert!(count(&output, "read_again") >= 1, "{kind}\n{output}");
    }
}

#[test]
fn an_expiry_that_changes() {
    for kind in KINDS {
        changed(kind, &["PEXPIREAT key 4102444800123"]);
        let (source, target) = pair();
        fill_big(&mut source.connection(), kind, b"key", ELEMENTS, 1);
        source.tell("PEXPIREAT key 4102444800123");
        changed_between(&source, &target, |source| source.tell("PERSIST key"));
    }
}

/// Changes every part of a value, again and again, until it is told to stop.
fn writer(source: &Server, kind: &str, done: &AtomicU32, over: &AtomicBool) {
    let mut c = source.connection();
    while !over.load(Ordering::Relaxed) {
        let n = done.load(Ordering::Relaxed);
        let place = n.wrapping_mul(7919) % ELEMENTS;
        let text = format!("changed {n}");
        match kind {
            "string" => run!(c, "SETRANGE", "key", place * 100, text),
            "hash" => run!(c, "HSET", "key", place, text),
            "list" => run!(c, "LSET", "key", place, text),
            "set" => run!(c, "SADD", "key", text),
            "zset" => run!(c, "ZADD", "key", place, text),
            _ => run!(c, "XADD", "key", "*", "text", text),
        };
        done.store(n + 1, Ordering::Relaxed);
        wait::pause(Duration::from_millis(2));
    }
}

/// Waits for so many more changes.
fn more(done: &AtomicU32, changes: u32) {
    let wanted = done.load(Ordering::Relaxed) + changes;
    wait::until("the key changes", || {
        (done.load(Ordering::Relaxed) >= wanted).then_some(())
    });
}

#[test]
fn a_key_that_a_writer_changes_arrives_as_the_source_has_it_once_the_writer_stops() {
    for kind in KINDS {
        let (source, target) = pair();
        fill_big(&mut source.connection(), kind, b"key", ELEMENTS, 1);
        let to_source = Proxy::to(&source.address());
        to_source.stall_after(Direction::Down, MIDDLE);
        let (done, over) = (AtomicU32::new(0), AtomicBool::new(false));
        let output = std::thread::scope(|scope| {
            let stop = wait::Stop(&over);
            scope.spawn(|| writer(&source, kind, &done, &over));
            let running = riot(["replicate".into(), to_source.address(), target.uri()])
                .words(["--big-key", "1MB", "--report", "json"])
                .spawn();
            wait::until("the key is being read", || {
                to_source.is_stalled(Direction::Down).then_some(())
            });
            more(&done, 20);
            to_source.flow(Direction::Down);
            // It is read again while it still changes.
            more(&done, 10);
            drop(stop);
            running.finish().exits(0)
        });
        assert!(count(&output, "read_again") >= 1, "{kind}\n{output}");
        // A change after the last reading is for the next run to see.
        let output = riot(["replicate".into(), source.address(), target.uri()])
            .words(["--big-key", "1MB", "--report", "json"])
            .run()
            .exits(0);
        assert_eq!(count(&output, "read_again"), 0, "{kind}\n{output}");
        assert_carried(&source, &target);
        assert_no_rubbish(&target);
    }
}

fn live_while_it_changes(kind: &str, version: Version, way: &str) {
    let (source, target) = (Server::start(version), Server::start(version));
    source.tell("CONFIG SET notify-keyspace-events KA");
    fill_big(&mut source.connection(), kind, b"key", ELEMENTS, 1);
    data::fill_mixed(&source, "small:", 200);
    let mut running = live(way, &source.uri(), &target.uri())
        .words(["--big-key", "1MB"])
        .words(PATIENT)
        .spawn();
    let (done, over) = (AtomicU32::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let _stop = wait::Stop(&over);
        scope.spawn(|| writer(&source, kind, &done, &over));
        listens(&mut running);
        more(&done, 300);
        scanned(&mut running);
    });
    let output = running.finish().exits(0);
    let report = Report::of(&output);
    for difference in ["missing", "type", "value", "ttl", "extra"] {
        assert_eq!(report.number(&["differences", difference]), 0, "{output}");
    }
    assert_carried(&source, &target);
    assert_no_rubbish(&target);
    assert_eq!(target.count(), 201);
}

#[test]
fn live_a_big_key_that_changes_all_the_time_is_equal_in_the_end() {
    for kind in KINDS {
        live_while_it_changes(kind, Version::Redis70, "keyspace");
    }
}

#[test]
fn live_by_tracking_too() {
    for kind in ["string", "zset", "stream"] {
        live_while_it_changes(kind, Version::Redis80, "tracking");
    }
}

#[test]
fn live_by_structure_on_an_older_target() {
    let (source, target) = (
        Server::start(Version::Redis80),
        Server::start(Version::Redis70),
    );
    super::filling::fill(&source);
    let mut running = live("tracking", &source.uri(), &target.uri())
        .words(["--big-key", "100KB"])
        .words(PATIENT)
        .spawn();
    listens(&mut running);
    scanned(&mut running);
    for command in [
        "HSET hash:large another field",
        "DEL set:large",
        "XADD stream:large 1000-0 a b",
        "XACK stream:large readers 6-0",
        "RENAME list:large list:renamed",
        "HPEXPIRE hash:large 600000 FIELDS 1 another",
    ] {
        source.tell(command);
    }
    running.finish().exits(0);
    assert_carried(&source, &target);
    assert_no_rubbish(&target);
}
