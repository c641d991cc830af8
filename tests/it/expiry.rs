//! Value and expiry belong together, and an expiry is an instant: neither queues nor delays move it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::data::{self, run};
use crate::proxy::{Direction, Proxy};
use crate::riot::{replicate, riot};
use crate::servers::{Server, Version};
use crate::size::size;
use crate::wait;

/// Writes A without and B with an expiry to each key by turns, while snapshots are taken; fails where one of the target's keys
/// has the value of one write and the expiry of another.
fn value_and_expiry_belong_together(version: Version, carriage: &str) {
    let (source, target) = (Server::start(version), Server::start(version));
    let keys = size().contended_keys;
    let stop = AtomicBool::new(false);
    let rounds = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let (source, stop, rounds) = (&source, &stop, &rounds);
        for first in 0..2 {
            scope.spawn(move || {
                let mut c = source.connection();
                let mut turn = first;
                while !stop.load(Ordering::Relaxed) {
                    for part in (0..keys).collect::<Vec<u32>>().chunks(50) {
                        let mut pipe = redis::pipe();
                        for key in part {
                            let command = pipe.cmd("SET").arg(format!("key:{key}"));
                            if (turn + key) % 2 == 0 {
                                command.arg("A").ignore();
                            } else {
                                command.arg("B").arg("PX").arg(600_000).ignore();
                            }
                        }
                        pipe.exec(&mut c).unwrap();
                    }
                    turn += 1;
                    rounds.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let stop_at_the_end = wait::Stop(stop);
        wait::until("the writer has written every key", || {
            (rounds.load(Ordering::Relaxed) > 2).then_some(())
        });
        for _ in 0..size().snapshots_under_writer {
            let before = rounds.load(Ordering::Relaxed);
            replicate(source, &target)
                .words([
                    "--compare",
                    "none",
                    "--type",
                    carriage,
                    "--read-batch",
                    "100",
                ])
                .run()
                .exits(0);
            let during = rounds.load(Ordering::Relaxed) - before;
            let found = data::snapshot(&target, 0);
            assert_eq!(
                found.len(),
                keys as usize,
                "after {during} rounds of the writer"
            );
            for (key, value) in found {
                let expires = value.expiry.is_some();
                match &value.body {
                    data::Body::Text(text) if text.0 == b"A" => {
                        assert!(!expires, "{key:?}: A with B's expiry");
                    }
                    data::Body::Text(text) if text.0 == b"B" => {
                        assert!(expires, "{key:?}: B without its expiry");
                    }
                    other => panic!("{key:?}: {other:?}"),
                }
            }
        }
        drop(stop_at_the_end);
    });
}

#[test]
fn value_and_expiry_are_of_one_write_with_mget() {
    value_and_expiry_belong_together(Version::Redis70, "auto");
}

#[test]
fn value_and_expiry_are_of_one_write_with_dump() {
    value_and_expiry_belong_together(Version::Redis70, "dump");
}

#[test]
fn value_and_expiry_are_of_one_write_on_redis_6_0() {
    value_and_expiry_belong_together(Version::Redis60, "auto");
}

#[test]
fn the_way_does_not_lengthen_a_life() {
    let (source, target) = (
        Server::start(Version::Redis70),
        Server::start(Version::Redis70),
    );
    data::fill_every_type(&source, 0);
    data::fill_mixed(&source, "mixed:", 2000);
    let (to_source, to_target) = (Proxy::to(&source.address()), Proxy::to(&target.address()));
    for proxy in [&to_source, &to_target] {
        proxy.delay(Direction::Up, Duration::from_millis(120));
        proxy.delay(Direction::Down, Duration::from_millis(30));
    }
    riot(["replicate", &to_source.address(), &to_target.address()])
        .run()
        .exits(0);
    data::assert_same(&source, &target);
}

#[test]
fn a_key_that_expires_on_the_way_does_not_live_on() {
    let (source, target) = (
        Server::start(Version::Redis70),
        Server::start(Version::Redis70),
    );
    let mut c = source.connection();
    let now = data::server_time(&mut c);
    for number in 0..2000_i64 {
        run!(
            c,
            "SET",
            format!("short:{number}"),
            "x",
            "PXAT",
            now + 300 + number
        );
        run!(c, "HSET", format!("hash:{number}"), "a", "b");
        run!(c, "PEXPIREAT", format!("hash:{number}"), now + 300 + number);
        // The target still has an older life of the same key.
        run!(target.connection(), "SET", format!("short:{number}"), "old");
    }
    run!(c, "SET", "stays", "x");
    let slow = Proxy::to(&target.address());
    slow.delay(Direction::Up, Duration::from_millis(400));
    let output = riot(["replicate".into(), source.uri(), slow.address()])
        .run()
        .exits(0);
    // 2.3 s after the start none may be left on either side, nor be written with a longer life. A key that expired before SCAN
    // came by is none of this run's: its older life at the target stays.
    let known = data::snapshot(&target, 0);
    for (key, value) in &known {
        let expiry = value.expiry.map(|(at, _)| at);
        let limit = now + 300 + 2000;
        let old = matches!(&value.body, data::Body::Text(text) if text.0 == b"old");
        assert!(
            key.0 == b"stays" || old || expiry.is_some_and(|at| at <= limit),
            "{key:?} {value:?}\n{output}"
        );
    }
    assert!(known.contains_key(&data::Bytes(b"stays".to_vec())));
}

#[test]
fn a_key_that_is_gone_when_it_is_read_is_deleted_at_the_target() {
    let (source, target) = (
        Server::start(Version::Redis70),
        Server::start(Version::Redis70),
    );
    data::fill_strings(&source, "key:", 20_000, 20);
    data::fill_strings(&target, "key:", 20_000, 10);
    // One page has all names, and what riot asks next arrives long after that page has come.
    let slow = Proxy::to(&source.address());
    slow.delay(Direction::Up, Duration::from_millis(700));
    let running = riot(["replicate".into(), slow.address(), target.uri()])
        .words(["--scan-count", "100000"])
        .spawn();
    wait::until("the page has come", || {
        (slow.bytes(Direction::Down) > 100_000).then_some(())
    });
    source.tell("FLUSHALL");
    let output = running.finish().exits(0);
    let counts = output.counts();
    assert!(
        counts.deleted > 0,
        "nothing was caught between SCAN and its read\n{output}"
    );
    assert_eq!(target.keys(0), 20_000 - counts.deleted, "{output}");
}

#[test]
fn no_ttl_drops_every_expiry() {
    let (source, target) = (
        Server::start(Version::Redis70),
        Server::start(Version::Redis70),
    );
    data::fill_every_type(&source, 0);
    replicate(&source, &target)
        .word("--no-ttl")
        .run()
        .exits(0)
        .prints("0 missing, 0 type, 0 value, 0 ttl");
    let mut expected = data::snapshot(&source, 0);
    for value in expected.values_mut() {
        value.expiry = None;
    }
    data::assert_snapshots(&expected, &data::snapshot(&target, 0), 0);
}

#[test]
fn a_way_that_is_slow_in_one_direction_is_no_difference_of_clocks() {
    // Half of the round trip is not when the server read its clock: what may be the way must not move an expiry.
    let (source, target) = (
        Server::start(Version::Redis70),
        Server::start(Version::Redis70),
    );
    data::fill_every_type(&source, 0);
    let slow = Proxy::to(&target.address());
    slow.delay(Direction::Up, Duration::from_millis(400));
    riot(["replicate".into(), source.uri(), slow.address()])
        .run()
        .exits(0);
    data::assert_same(&source, &target);
}

#[test]
fn expiries_that_come_while_it_runs_are_copied_with_their_values() {
    let (source, target) = (
        Server::start(Version::Redis70),
        Server::start(Version::Redis70),
    );
    // None has an expiry, so riot asks for none.
    data::fill_strings(&source, "key:", 20_000, 20);
    let slow = Proxy::to(&source.address());
    slow.delay(Direction::Up, Duration::from_millis(100));
    let running = riot(["replicate".into(), slow.address(), target.uri()])
        .words(["--no-verify", "--read-batch", "200", "--pipeline", "1"])
        .spawn();
    wait::until("half of it is copied", || {
        (target.keys(0) > 8_000).then_some(())
    });
    let at = data::server_time(&mut source.connection()) + 3_600_000;
    let mut c = source.connection();
    for part in (0..20_000).collect::<Vec<u32>>().chunks(500) {
        let mut pipe = redis::pipe();
        for number in part {
            pipe.cmd("PEXPIREAT").arg(format!("key:{number}")).arg(at);
            pipe.ignore();
        }
        pipe.exec(&mut c).unwrap();
    }
    let output = running.finish().exits(0);
    let mut with = 0;
    for (key, value) in data::snapshot(&target, 0) {
        if let Some((found, _)) = value.expiry {
            assert_eq!(found, at, "{key:?}\n{output}");
            with += 1;
        }
    }
    assert_eq!(target.keys(0), 20_000, "{output}");
    assert!(
        (1_000..12_000).contains(&with),
        "{with} keys were read after they had an expiry\n{output}"
    );
}

#[test]
fn a_source_that_is_held_up_while_it_tells_expiries_shortens_no_life() {
    // Before 7.0 an expiry is told as what is left of it, counted from the TIME of the same transaction.
    let (source, target) = (
        Server::start(Version::Redis60),
        Server::start(Version::Redis70),
    );
    let at = data::server_time(&mut source.connection()) + 3_600_000;
    let mut c = source.connection();
    for part in (0..size().held_keys).collect::<Vec<u32>>().chunks(2000) {
        let mut pipe = redis::pipe();
        for key in part {
            pipe.cmd("SET")
                .arg(format!("key:{key}"))
                .arg("text")
                .ignore();
            pipe.cmd("PEXPIREAT").arg(format!("key:{key}")).arg(at);
            pipe.ignore();
        }
        pipe.exec(&mut c).unwrap();
    }
    for carriage in ["struct", "dump"] {
        let running = replicate(&source, &target)
            .words(["--compare", "none", "--type", carriage])
            .spawn();
        let over = AtomicBool::new(false);
        let output = std::thread::scope(|scope| {
            let _stop = wait::Stop(&over);
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    source.pause();
                    wait::pause(Duration::from_millis(30));
                    source.resume();
                    wait::pause(Duration::from_millis(15));
                }
            });
            running.finish().exits(0)
        });
        let found = data::snapshot(&target, 0);
        assert_eq!(found.len(), size().held_keys as usize, "{output}");
        for (key, value) in found {
            let (told, _) = value.expiry.expect("every key has an expiry");
            assert!(
                (at - 20..=at).contains(&told),
                "{key:?}: {}\n{output}",
                told - at
            );
        }
        target.tell("FLUSHALL");
    }
}
