//! Big keys: in chunks, within the budget, in nobody's way, and whole at every moment.

use redis::{ConnectionLike, Value};

use super::filling::{KINDS, fill_big, fill_big_kinds};
use super::reader::{assert_none_slow, seen_during, size_of, time_commands};
use super::{assert_carried, assert_no_rubbish, by_type, count, pair, told};
use crate::data::{self, run};
use crate::riot::Output;
use crate::servers::{Server, Version};
use crate::size::size;

/// Light keys of one shape.
const USERS: u64 = 30_000;
/// What riot may hold besides the budget.
const BESIDES: u64 = 128 << 20;

/// How often commands that give or take a whole value were run since the servers' counts began anew.
fn whole(source: &Server, target: &Server) -> Vec<(&'static str, u64)> {
    let gives = ["get", "mget", "hgetall", "hvals", "smembers", "dump"];
    let gives = gives.map(|command| (command, source.calls(command)));
    let takes = ["mset", "restore"].map(|command| (command, target.calls(command)));
    gives.into_iter().chain(takes).collect()
}

/// How often they are run where there is no key at all: to find out what is allowed.
fn whole_of_nothing(source: &Server, target: &Server) -> Vec<(&'static str, u64)> {
    time_commands(&[source, target]);
    told(source, target).run().exits(0);
    whole(source, target)
}

fn megabytes(bytes: u64) -> String {
    format!("{}MB", bytes >> 20)
}

#[track_caller]
fn assert_within(output: &Output, budget: u64) {
    let limit = budget + BESIDES;
    let told = count(output, "peak_memory_bytes");
    assert!(
        output.peak < limit && told < limit,
        "{} held, {} told, {} allowed\n{output}",
        megabytes(output.peak),
        megabytes(told),
        megabytes(limit)
    );
}

/// A sorted set of some 60 bytes a member.
fn fill_zset(server: &Server) {
    let mut c = server.connection();
    let members: Vec<u32> = (0..size().big_members).collect();
    for part in members.chunks(5000) {
        let mut command = redis::cmd("ZADD");
        command.arg("big:zset");
        for n in part {
            command.arg(f64::from(*n) / 3.0);
            command.arg(format!("member {n:050}"));
        }
        command.exec(&mut c).unwrap();
    }
    run!(c, "PEXPIREAT", "big:zset", 4_102_444_800_123_i64);
}

/// A string of so many bytes, never held here as a whole.
fn fill_string(c: &mut dyn ConnectionLike, key: &str, bytes: usize) {
    const PIECE: usize = 8 << 20;
    // Room for all of it at once: growing it step by step would copy it as often.
    run!(*c, "SETRANGE", key, bytes - 1, "#");
    for (seed, first) in (0..).zip((0..bytes).step_by(PIECE)) {
        let piece = data::text(seed, PIECE.min(bytes - first));
        run!(*c, "SETRANGE", key, first, piece);
    }
}

/// Compares strings piece by piece.
#[track_caller]
fn assert_same_string(source: &Server, target: &Server, key: &str) {
    const PIECE: usize = 8 << 20;
    let (mut one, mut two) = (source.connection(), target.connection());
    let length: usize = source.run(&format!("STRLEN {key}"));
    assert_eq!(target.run::<usize>(&format!("STRLEN {key}")), length);
    for first in (0..length).step_by(PIECE) {
        let last = first + PIECE - 1;
        let wanted = run!(one, "GETRANGE", key, first, last);
        assert!(wanted == run!(two, "GETRANGE", key, first, last), "{first}");
    }
}

#[test]
fn a_large_sorted_set_is_in_nobodys_way() {
    let (source, target) = pair();
    let nothing = whole_of_nothing(&source, &target);
    fill_zset(&source);
    time_commands(&[&source, &target]);
    let budget = 64 << 20;
    let output = told(&source, &target)
        .words(["--mem-budget", "64MB", "--big-key", "1MB"])
        .run()
        .exits(0);
    assert_none_slow(&[&source, &target]);
    assert_within(&output, budget);
    assert_eq!(whole(&source, &target), nothing, "{output}");
    assert_eq!(count(&output, "in_chunks"), 1, "{output}");
    assert_eq!(count(&output, "by_type"), 1, "{output}");
    data::assert_same(&source, &target);
    assert_no_rubbish(&target);
}

#[test]
fn a_string_larger_than_all_that_riot_may_hold() {
    let start = || {
        let words = ["--proto-max-bulk-len", "1gb"];
        Server::with(Version::Redis70).arguments(words).start()
    };
    let (source, target) = (start(), start());
    let size = size();
    let nothing = whole_of_nothing(&source, &target);
    fill_string(&mut source.connection(), "big", size.big_string);
    source.tell("PEXPIREAT big 4102444800123");
    target.tell("SET big older");
    assert!(size.big_string as u64 > size.big_budget + BESIDES);
    time_commands(&[&source, &target]);
    let output = told(&source, &target)
        .words(["--mem-budget", &megabytes(size.big_budget)])
        .run()
        .exits(0);
    assert_none_slow(&[&source, &target]);
    assert_within(&output, size.big_budget);
    assert_eq!(whole(&source, &target), nothing, "{output}");
    // One SET, and no temporary name.
    for command in ["append", "setrange", "rename"] {
        assert_eq!(target.calls(command), 0, "{command}");
    }
    assert_eq!(count(&output, "in_chunks"), 1, "{output}");
    assert_same_string(&source, &target, "big");
    assert_eq!(target.run::<i64>("PEXPIRETIME big"), 4_102_444_800_123);
    assert_no_rubbish(&target);
}

fn fill_users(c: &mut dyn ConnectionLike) {
    let mut pipe = redis::pipe();
    for n in 0..USERS {
        let command = pipe.cmd("HSET").arg(format!("user:{n}"));
        command.arg("name").arg(n).arg("mail").arg(n * 7).ignore();
    }
    pipe.exec(c).unwrap();
}

#[test]
fn light_keys_of_one_shape_are_not_all_weighed() {
    let (source, target) = pair();
    fill_users(&mut source.connection());
    time_commands(&[&source, &target]);
    let output = told(&source, &target).run().exits(0);
    let weighed = source.calls("memory|usage");
    assert!((256..USERS / 2).contains(&weighed), "{weighed}\n{output}");
    data::assert_same(&source, &target);
}

#[test]
fn a_giant_among_light_keys_of_its_shape_is_copied_in_chunks() {
    let (source, target) = pair();
    let mut c = source.connection();
    fill_users(&mut c);
    // Their names give nothing away: one is larger than --big-key, the other only not light.
    fill_big(&mut c, "hash", b"user:777777", 200_000, 3);
    fill_big(&mut c, "hash", b"user:888888", 3_000, 4);
    let memory: u64 = source.run("MEMORY USAGE user:777777");
    assert!(memory > 16 << 20, "{memory}");
    let output = told(&source, &target).run().exits(0);
    assert_eq!(count(&output, "in_chunks"), 1, "{output}");
    assert_eq!(count(&output, "by_type"), 1, "{output}");
    assert_carried(&source, &target);
    assert_no_rubbish(&target);
}

#[test]
fn many_big_keys_pass_within_the_budget() {
    let (source, target) = pair();
    for seed in 0..4 {
        let mut c = source.connection();
        for kind in KINDS {
            fill_big(
                &mut c,
                kind,
                format!("{kind}:{seed}").as_bytes(),
                20_000,
                seed,
            );
        }
    }
    let output = told(&source, &target)
        .words(["--mem-budget", "8MB", "--big-key", "1MB"])
        .run()
        .exits(0);
    assert_within(&output, 8 << 20);
    assert_eq!(count(&output, "in_chunks"), 24, "{output}");
    assert_carried(&source, &target);
    assert_no_rubbish(&target);
}

#[test]
fn the_source_never_holds_more_than_a_few_chunks_of_answers() {
    let (source, target) = pair();
    fill_big_kinds(&source, 60_000, 1);
    for words in [["--type", "auto"], ["--type", "struct"]] {
        // A client with more than this in its output buffer is cut off: each of the values is more.
        most_in_buffer(&source, "4mb");
        let output = told(&source, &target)
            .words(["--big-key", "1MB"])
            .words(words)
            .run()
            .exits(0);
        most_in_buffer(&source, "0");
        assert!(!source.log().contains("output buffer limits"), "{output}");
        let report = output.report();
        assert_eq!(report["reconnects"]["source"], 0, "{output}");
        assert_carried(&source, &target);
        target.tell("FLUSHALL");
    }
}

fn most_in_buffer(server: &Server, bytes: &str) {
    let limit = format!("normal {bytes} 0 0");
    let mut c = server.connection();
    run!(c, "CONFIG", "SET", "client-output-buffer-limit", limit);
}

fn every_type_in_chunks(from: Version, to: Version, words: &[&str]) {
    let (source, target) = (Server::start(from), Server::start(to));
    fill_big_kinds(&source, 20_000, 1);
    for (n, kind) in (0..).zip(KINDS).skip(1).step_by(2) {
        source.tell(&format!("PEXPIREAT {kind} {}", 4_102_444_800_123_i64 + n));
    }
    data::fill_strings(&source, "small:", 500, 20);
    time_commands(&[&source, &target]);
    let output = told(&source, &target)
        .words(["--big-key", "1MB"])
        .words(words)
        .run()
        .exits(0);
    assert_none_slow(&[&source, &target]);
    assert_eq!(count(&output, "in_chunks"), 6, "{output}");
    for (command, least) in [
        ("getrange", 2),
        ("hscan", 2),
        ("lrange", 2),
        ("sscan", 2),
        ("xrange", 2),
        ("xpending", 1),
    ] {
        assert!(source.calls(command) >= least, "{command}\n{output}");
    }
    for whole in ["hgetall", "smembers"] {
        assert_eq!(source.calls(whole), 0, "{whole}\n{output}");
    }
    assert_carried(&source, &target);
    assert_no_rubbish(&target);
}

#[test]
fn every_type_goes_in_chunks_by_default() {
    every_type_in_chunks(Version::Redis70, Version::Redis70, &[]);
}

#[test]
fn every_type_goes_in_chunks_with_dump() {
    every_type_in_chunks(Version::Redis70, Version::Redis70, &["--type", "dump"]);
}

#[test]
fn every_type_goes_in_chunks_from_and_to_redis_6_0() {
    every_type_in_chunks(Version::Redis60, Version::Redis60, &[]);
}

#[test]
fn every_type_goes_in_chunks_to_an_older_version() {
    every_type_in_chunks(Version::Redis80, Version::Redis60, &[]);
}

#[test]
fn every_type_goes_in_chunks_between_valkey_and_redis_8_0() {
    every_type_in_chunks(Version::Redis80, Version::Valkey81, &[]);
    every_type_in_chunks(Version::Valkey81, Version::Redis80, &["--type", "struct"]);
}

#[test]
fn chunks_can_be_turned_off() {
    let (source, target) = pair();
    fill_big_kinds(&source, 20_000, 1);
    let output = told(&source, &target)
        .words(["--big-key", "0"])
        .run()
        .exits(0);
    assert_eq!(count(&output, "in_chunks"), 0, "{output}");
    assert_eq!(count(&output, "by_type"), 0, "{output}");
    data::assert_same(&source, &target);
}

#[test]
fn keys_over_16_mb_go_in_chunks_when_nothing_is_said() {
    let (source, target) = pair();
    let mut c = source.connection();
    fill_big(&mut c, "zset", b"over", 120_000, 1);
    fill_big(&mut c, "zset", b"below", 40_000, 2);
    for (key, over) in [("over", true), ("below", false)] {
        let bytes: u64 = source.run(&format!("MEMORY USAGE {key}"));
        assert_eq!(bytes > 16 << 20, over, "{bytes}");
    }
    let output = told(&source, &target).run().exits(0);
    assert_eq!(count(&output, "in_chunks"), 1, "{output}");
    data::assert_same(&source, &target);
}

/// The sizes that readers of the target see while a value is copied over an older one: the old one, then the new one.
fn never_half(kind: &str, words: &[&str]) {
    let (source, target) = pair();
    fill_big(&mut source.connection(), kind, b"key", 60_000, 1);
    fill_big(&mut target.connection(), kind, b"key", 6_000, 2);
    target.tell("PEXPIRE key 500000");
    let mut kind_of = redis::cmd("TYPE");
    kind_of.arg("key");
    let looks = [kind_of, size_of(kind, "key")];
    let (seen, temporary, output) = seen_during(&target, &looks, || {
        told(&source, &target).words(words).run().exits(0)
    });
    let sizes: Vec<&Value> = seen.iter().map(|answers| &answers[1]).collect();
    let (old, new) = if kind == "string" {
        (600_000, 6_000_000)
    } else {
        (6_000, 60_000)
    };
    assert_eq!(
        sizes,
        [&Value::Int(old), &Value::Int(new)],
        "{kind}\n{output}"
    );
    assert!(temporary == (kind != "string"), "{kind}\n{output}");
    assert_carried(&source, &target);
    assert_no_rubbish(&target);
}

#[test]
fn readers_of_the_target_never_see_half_a_value() {
    for kind in KINDS {
        never_half(kind, &["--big-key", "1MB"]);
    }
}

#[test]
fn nor_do_they_where_everything_goes_by_its_type() {
    for kind in ["string", "hash", "list", "zset"] {
        never_half(kind, &["--type", "struct", "--big-key", "1MB"]);
    }
}

#[test]
fn an_older_value_of_another_type_is_there_until_the_new_one_is() {
    for (old, new) in [("string", "zset"), ("zset", "string"), ("list", "stream")] {
        let (source, target) = pair();
        fill_big(&mut source.connection(), new, b"key", 60_000, 1);
        fill_big(&mut target.connection(), old, b"key", 60_000, 2);
        let mut kind = redis::cmd("TYPE");
        kind.arg("key");
        let (seen, _, _) = seen_during(&target, &[kind], || {
            told(&source, &target)
                .words(["--big-key", "1MB"])
                .run()
                .exits(0)
        });
        let named = |kind: &str| vec![Value::SimpleString(kind.into())];
        assert_eq!(seen, [named(old), named(new)]);
        assert_carried(&source, &target);
    }
}

#[test]
fn temporary_names_are_no_keys_of_the_source() {
    let (source, target) = pair();
    let left = "{key}:riot-tmp:0123456789abcdef";
    for server in [&source, &target] {
        server.tell("SET key value");
    }
    // What is left where the source was a target before.
    source.tell(&format!("RPUSH {left} half"));
    // What only looks like one.
    for name in [
        "riot-tmp:",
        "{key}:riot-tmp:0123456789abcdeg",
        "x:riot-tmp:1",
    ] {
        source.tell(&format!("SET {name} 1"));
    }
    for words in [["--type", "struct"], ["--type", "auto"]] {
        let output = told(&source, &target).words(words).run().exits(0);
        assert_eq!(count(&output, "written"), 4, "{output}");
        assert_eq!(target.keys(0), 4, "{output}");
        assert_eq!(source.keys(0), 5, "nothing is deleted at the source");
    }
}

#[test]
fn a_big_key_over_the_memory_limit_is_skipped() {
    let (source, target) = pair();
    fill_big_kinds(&source, 20_000, 1);
    source.tell("SET small 1");
    let output = by_type(&source, &target)
        .words(["--big-key", "1MB", "--mem-limit", "1MB"])
        .run()
        .exits(0);
    assert_eq!(output.report()["skipped"]["memory_limit"], 6, "{output}");
    assert_eq!(target.keys(0), 1);
}

#[test]
fn a_dry_run_writes_nothing() {
    let (source, target) = pair();
    fill_big_kinds(&source, 20_000, 1);
    by_type(&source, &target)
        .words(["--big-key", "1MB", "--dry-run"])
        .run()
        .exits(0);
    assert_eq!(target.keys(0), 0);
}
