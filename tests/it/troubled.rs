//! Servers that are full, or busy with a script, and keys that a user may not see: nothing is lost, and nothing is called equal that
//! was not compared.

use std::time::Duration;

use crate::data::{self, run};
use crate::riot::{replicate, riot};
use crate::servers::{Server, Version};
use crate::size::size;
use crate::wait;

/// From here on it holds more than it may, and must not evict: it refuses what needs memory, and transactions of anything.
fn overfill(server: &Server) {
    server.tell("CONFIG SET maxmemory-policy noeviction");
    server.tell("CONFIG SET maxmemory 1mb");
    let refused: Result<String, _> = redis::cmd("SET")
        .arg("one:more")
        .arg("x")
        .query(&mut server.connection());
    assert!(refused.unwrap_err().to_string().contains("OOM"));
}

fn a_full_source_is_copied_and_compared(version: Version) {
    let (source, target) = (Server::start(version), Server::start(version));
    data::fill_every_type(&source, 0);
    data::fill_mixed(&source, "mixed:", 20_000);
    overfill(&source);
    let output = replicate(&source, &target)
        .words(["--compare", "full"])
        .run()
        .exits(0);
    // Redis 8.0 and Valkey 8.1 take transactions of reads.
    let queued: Result<(), _> = redis::pipe()
        .atomic()
        .cmd("PING")
        .exec(&mut source.connection());
    let told = output.stderr.contains("it is full (maxmemory)");
    assert_eq!(told, queued.is_err(), "{output}");
    data::assert_same(&source, &target);
    target.tell("DEL mixed:0");
    // Both sides are full now.
    overfill(&target);
    riot(["compare".into(), source.uri(), target.uri()])
        .words(["--rounds", "1"])
        .run()
        .exits(1)
        .prints("1 missing, 0 type, 0 value, 0 ttl");
}

#[test]
fn a_full_source_is_copied_and_compared_redis_6_0() {
    a_full_source_is_copied_and_compared(Version::Redis60);
}

#[test]
fn a_full_source_is_copied_and_compared_redis_7_0() {
    a_full_source_is_copied_and_compared(Version::Redis70);
}

#[test]
fn a_full_source_is_copied_and_compared_redis_8_0() {
    a_full_source_is_copied_and_compared(Version::Redis80);
}

#[test]
fn a_full_source_is_copied_and_compared_valkey_8_1() {
    a_full_source_is_copied_and_compared(Version::Valkey81);
}

#[test]
fn a_source_that_becomes_full_half_way_is_copied() {
    let (source, target) = (
        Server::start(Version::Redis70),
        Server::start(Version::Redis70),
    );
    data::fill_mixed(&source, "mixed:", 10_000);
    let running = replicate(&source, &target)
        .words(["--rate", "4000"])
        .spawn();
    wait::until("a part of it is copied", || {
        (target.keys(0) > 1000).then_some(())
    });
    overfill(&source);
    running.finish().exits(0);
    data::assert_same(&source, &target);
}

#[test]
fn a_source_that_is_busy_with_a_script_half_way_is_waited_for() {
    let (source, target) = (
        Server::start(Version::Redis70),
        Server::start(Version::Redis70),
    );
    source.tell("CONFIG SET lua-time-limit 20");
    data::fill_mixed(&source, "mixed:", 10_000);
    let running = replicate(&source, &target)
        .words(["--rate", "4000", "--skip-limit", "0"])
        .spawn();
    wait::until("a part of it is copied", || {
        (target.keys(0) > 1000).then_some(())
    });
    // Several times, so that every kind of question meets one.
    for _ in 0..5 {
        let script = "local started = redis.call('TIME') \
             local function now(t) return t[1] * 1000 + t[2] / 1000 end \
             while now(redis.call('TIME')) - now(started) < 250 do end";
        let () = redis::cmd("EVAL")
            .arg(script)
            .arg(0)
            .query(&mut source.connection())
            .unwrap();
        wait::pause(Duration::from_millis(20));
    }
    running.finish().exits(0);
    data::assert_same(&source, &target);
}

#[test]
fn keys_that_cannot_be_looked_at_are_not_called_equal() {
    let source = Server::with(Version::Redis70)
        .acl("user default on nopass ~* &* +@all\nuser some on >secret ~open:* &* +@all\n")
        .start();
    let target = Server::start(Version::Redis70);
    for server in [&source, &target] {
        data::fill_mixed(server, "open:", 700);
        data::fill_mixed(server, "hidden:", 700);
    }
    let from = source.uri().replace("redis://", "redis://some:secret@");
    let output = riot(["compare".into(), from, target.uri()])
        .words(["--rounds", "1"])
        .run();
    assert_ne!(output.code(), Some(0), "{output}");
}

#[test]
fn middling_values_among_short_ones_that_expire_are_all_copied() {
    let (source, target) = (
        Server::start(Version::Redis70),
        Server::start(Version::Redis70),
    );
    let mut c = source.connection();
    let (short, middling) = (data::text(0, 100), data::text(1, 30_000));
    for part in (0..size().contended_keys.max(20_000))
        .collect::<Vec<u32>>()
        .chunks(1000)
    {
        let mut pipe = redis::pipe();
        for number in part {
            // Of one shape: what is asked for together is many times as long as was predicted.
            let text = if number % 10 == 3 { &middling } else { &short };
            pipe.cmd("SET").arg(format!("item:{number}")).arg(text);
            pipe.arg("PX").arg(86_400_000 + number).ignore();
        }
        pipe.exec(&mut c).unwrap();
    }
    for _ in 0..3 {
        replicate(&source, &target)
            .words(["--no-verify"])
            .run()
            .exits(0);
        data::assert_same(&source, &target);
        target.tell("FLUSHALL");
    }
}

#[test]
fn one_huge_field_among_small_ones_goes_in_chunks() {
    let (source, target) = (
        Server::start(Version::Redis70),
        Server::start(Version::Redis70),
    );
    let mut c = source.connection();
    // MEMORY USAGE looks at five fields of it, and most often finds it small.
    let huge = data::text(5, 6 << 20);
    for number in 0..20 {
        let key = format!("hash:{number}");
        let mut pipe = redis::pipe();
        for field in 0..1000 {
            pipe.cmd("HSET")
                .arg(&key)
                .arg(field)
                .arg(field * 3)
                .ignore();
        }
        if number % 5 == 1 {
            pipe.cmd("HSET").arg(&key).arg("huge").arg(&huge).ignore();
        }
        pipe.exec(&mut c).unwrap();
    }
    run!(c, "PEXPIRE", "hash:1", 3_600_000);
    let huge_fields = |prefix: &str| {
        let lengths = (0..20).map(|number| {
            let length: u32 = target.run(&format!("HSTRLEN {prefix}hash:{number} huge"));
            length
        });
        lengths.filter(|length| *length == 6 << 20).count()
    };
    let runs: [(&[&str], &str); 3] = [
        (&[], ""),
        (&["--type", "dump"], ""),
        (&["--key-process", "#{type}:#{key}"], "hash:"),
    ];
    for (words, prefix) in runs {
        replicate(&source, &target)
            .words(["--big-key", "4MB", "--compare", "full"])
            .words(words)
            .run()
            .exits(0);
        assert_eq!((target.keys(0), huge_fields(prefix)), (20, 4), "{words:?}");
        if prefix.is_empty() {
            data::assert_same(&source, &target);
        }
        target.tell("FLUSHALL");
    }
}

#[test]
fn long_values_without_transactions_stay_within_the_budget() {
    for full in [true, false] {
        let source = Server::with(Version::Redis70)
            .acl("user default on nopass ~* &* +@all\nuser some on >secret ~* &* +@all -multi -exec\n")
            .start();
        let target = Server::start(Version::Redis70);
        let mut c = source.connection();
        let mut pipe = redis::pipe();
        for number in 0..4000 {
            let text = match number {
                0..2000 => data::text(number, 100),
                _ if number % 100 == 0 => data::text(number, 3 << 20),
                _ if number % 10 == 0 => data::text(number, 90_000),
                _ => data::text(number, 100),
            };
            pipe.cmd("SET")
                .arg(format!("item:{number}"))
                .arg(text)
                .ignore();
            if number % 3 == 0 {
                pipe.cmd("PEXPIRE").arg(format!("item:{number}"));
                pipe.arg(86_400_000 + number).ignore();
            }
        }
        for number in 0..200 {
            let key = format!("hash:{number}");
            pipe.cmd("HSET").arg(key).arg("field");
            pipe.arg(data::text(
                number,
                if number % 10 == 7 { 1 << 20 } else { 50 },
            ))
            .ignore();
        }
        pipe.exec(&mut c).unwrap();
        let mut from = source.uri();
        if full {
            overfill(&source);
        } else {
            from = from.replace("redis://", "redis://some:secret@");
        }
        for carriage in ["auto", "dump"] {
            let output = riot(["replicate".into(), from.clone(), target.uri()])
                .words([
                    "--compare",
                    "full",
                    "--mem-budget",
                    "16MB",
                    "--type",
                    carriage,
                ])
                .run()
                .exits(0);
            let held = output.peak >> 20;
            assert!(held < 16 + 16, "{held} MB\n{output}");
            data::assert_same(&source, &target);
            target.tell("FLUSHALL");
        }
    }
}
