//! Servers whose clocks differ: a key lives at the target as long as at the source, whatever hour either server takes it to be.

use std::path::Path;
use std::process::Command;

use redis::FromRedisValue;

use crate::data::{self, run};
use crate::riot::{compare_full, replicate, riot};
use crate::servers::{Server, Version};
use crate::wait;

const HOUR: i64 = 3_600_000;
/// How far the clocks of source and target are ahead of the machine's, on which riot runs.
const CLOCKS: [(i64, i64); 4] = [
    (2 * HOUR, 0),
    (0, 2 * HOUR),
    (-2 * HOUR, HOUR + 1_500),
    (700, -400),
];
/// riot takes the difference by half of a round trip.
const DOUBT: i64 = 100;

/// Starts a program with a clock of its own: what it asks for the time is loaded from a library that is built in `folder`.
pub(crate) fn set_ahead(command: &mut Command, folder: &Path, millis: i64) {
    let library = folder.join("ahead.so");
    if !library.exists() {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/clocks/ahead.c");
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .args([&library, &source])
            .output()
            .unwrap();
        assert!(
            built.status.success(),
            "{}",
            String::from_utf8_lossy(&built.stderr)
        );
    }
    command.env("LD_PRELOAD", library);
    command.env("CLOCK_AHEAD_MS", millis.to_string());
}

/// Two servers with these clocks.
fn pair(version: Version, (source, target): (i64, i64)) -> (Server, Server) {
    (
        Server::with(version).clock_ahead(source).start(),
        Server::with(version).clock_ahead(target).start(),
    )
}

fn ask<T: FromRedisValue>(server: &Server, command: &str, key: &str) -> T {
    let mut asked = redis::cmd(command);
    asked.arg(key).query(&mut server.connection()).unwrap()
}

/// What a key has left to live, by its own server.
fn left(server: &Server, key: &str) -> i64 {
    ask(server, "PTTL", key)
}

/// Fails the test where a key does not live as long at the target as at the source.
#[track_caller]
fn lives_as_long(source: &Server, target: &Server, key: &str) {
    let before = left(source, key);
    let at_target = left(target, key);
    let after = left(source, key);
    assert!(
        (after - DOUBT..=before + DOUBT).contains(&at_target),
        "{key} has {at_target} ms left at the target, and {before} to {after} ms at the source"
    );
}

/// Keys of three types with an hour to live, one of which has a year, and one that does not expire.
fn fill(source: &Server) {
    source.tell("SET string v PX 3600000");
    source.tell("SET year v EX 31536000");
    source.tell("SET stays v");
    source.tell("HSET hash f v");
    source.tell("PEXPIRE hash 3600000");
    source.tell("ZADD zset 1 a");
    source.tell("PEXPIRE zset 3600000");
}

const EXPIRING: [&str; 4] = ["string", "year", "hash", "zset"];

#[test]
fn the_servers_of_these_tests_have_the_clocks_that_they_are_given() {
    for version in [
        Version::Redis60,
        Version::Redis70,
        Version::Redis80,
        Version::Valkey81,
    ] {
        for clocks in CLOCKS {
            let (source, target) = pair(version, clocks);
            let before = data::server_time(&mut source.connection());
            let at_target = data::server_time(&mut target.connection());
            let after = data::server_time(&mut source.connection());
            let ahead = clocks.1 - clocks.0;
            let seen = at_target - after..=at_target - before;
            assert!(
                (*seen.start()..=*seen.end() + 1).contains(&ahead),
                "{version:?}: {seen:?} for {ahead}"
            );
        }
    }
}

#[test]
fn a_key_lives_as_long_at_the_target_as_at_the_source() {
    for version in [Version::Redis60, Version::Redis70, Version::Valkey81] {
        for clocks in CLOCKS {
            let (source, target) = pair(version, clocks);
            fill(&source);
            for carriage in ["auto", "dump", "struct"] {
                target.tell("FLUSHALL");
                let run = replicate(&source, &target).words(["--type", carriage]);
                let output = run.words(["--compare", "full"]).run().exits(0);
                output
                    .says("the servers' clocks differ by ")
                    .prints("0 missing, 0 type, 0 value, 0 ttl");
                for key in EXPIRING {
                    lives_as_long(&source, &target, key);
                }
                assert_eq!(left(&target, "stays"), -1);
            }
            compare_full(&source, &target).run().exits(0);
        }
    }
}

#[test]
fn fields_of_hashes_live_as_long() {
    for clocks in CLOCKS {
        let (source, target) = pair(Version::Redis80, clocks);
        source.tell("HSET hash a 1 b 2");
        source.tell("HPEXPIRE hash 3600000 FIELDS 1 a");
        for carriage in ["auto", "struct"] {
            target.tell("FLUSHALL");
            let run = replicate(&source, &target).words(["--type", carriage]);
            let output = run.words(["--compare", "full"]).run();
            let pttl = |server: &Server| -> Vec<i64> { server.run("HPTTL hash FIELDS 2 a b") };
            let (before, at_target, after) = (pttl(&source), pttl(&target), pttl(&source));
            assert_eq!(at_target[1], -1, "{output}");
            assert!(
                (after[0] - DOUBT..=before[0] + DOUBT).contains(&at_target[0]),
                "--type {carriage} {clocks:?}: {at_target:?}, not {before:?}\n{output}"
            );
            output.exits(0);
        }
    }
}

#[test]
fn an_expiry_that_changes_in_a_live_run_is_the_same_time_away() {
    for clocks in CLOCKS {
        let (source, target) = pair(Version::Redis70, clocks);
        fill(&source);
        let mut running = riot(["replicate".into(), source.uri(), target.uri()])
            .words(["--live", "--compare", "full"])
            .spawn();
        running.wait_for("listening: ");
        let mut c = source.connection();
        run!(c, "PEXPIRE", "stays", 1_800_000);
        run!(c, "SET", "later", "v", "PX", 900_000);
        run!(c, "PERSIST", "hash");
        // Over before anybody looks: it is gone by the source's clock, and not by the target's.
        run!(c, "SET", "short", "v", "PX", 300);
        wait::until("what changed is at the target", || {
            let gone = ask::<u8>(&source, "EXISTS", "short") == 0
                && ask::<u8>(&target, "EXISTS", "short") == 0;
            let there = left(&target, "later") > 0 && left(&target, "stays") > 0;
            (gone && there && left(&target, "hash") == -1).then_some(())
        });
        for key in ["stays", "later", "string", "zset", "year"] {
            lives_as_long(&source, &target, key);
        }
        running.signal("TERM");
        running.finish().exits(0);
    }
}

#[test]
fn a_comparison_sees_expiries_that_are_those_of_another_clock() {
    let (source, target) = pair(Version::Redis80, (0, 2 * HOUR));
    // As a copy that does not know of the clocks would: the same instant, which is two hours less to live there.
    let at = data::server_time(&mut source.connection()) + 3 * HOUR;
    for server in [&source, &target] {
        let mut c = server.connection();
        run!(c, "SET", "key", "v");
        run!(c, "PEXPIREAT", "key", at);
        run!(c, "HSET", "hash", "f", "v");
        run!(c, "HPEXPIREAT", "hash", at, "FIELDS", 1, "f");
    }
    let run = || compare_full(&source, &target).words(["--round-interval", "50ms"]);
    run().run().exits(1).prints("1 value, 1 ttl");
    run().word("--repair").run().exits(0);
    lives_as_long(&source, &target, "key");
    let fields: Vec<i64> = target.run("HPTTL hash FIELDS 1 f");
    assert!(
        (3 * HOUR - 60_000..3 * HOUR + DOUBT).contains(&fields[0]),
        "{fields:?}"
    );
}
