//! Streams: thousands of pending entries exact to the millisecond, and the options that give up a part of them.

use redis::Value;

use super::filling::{fill_big, idle, read};
use super::{EQUAL, assert_carried, assert_no_rubbish, by_type, count, pair, told};
use crate::data::{self, run};
use crate::riot::{compare_full, riot};
use crate::servers::{Server, Version};
use crate::size::size;
use crate::store::Store as _;

const GROUPS: [&str; 3] = ["readers", "later", "last"];

/// A stream of which the first group has so many pending entries, the second half as many, the third a few: of several
/// consumers, delivered at many times, some of them often, some of messages that are gone.
fn fill_pending(source: &Server, pending: u32) {
    let mut c = source.connection();
    let key = "stream";
    let messages: Vec<u32> = (1..=pending + 500).collect();
    for part in messages.chunks(5000) {
        let mut pipe = redis::pipe();
        for n in part {
            pipe.cmd("XADD").arg(key).arg(format!("{n}-{}", n % 3));
            pipe.arg("n").arg(n).arg("text").arg(data::text(*n, 50));
        }
        let _: Vec<Value> = pipe.query(&mut c).unwrap();
    }
    for (group, at) in GROUPS.into_iter().zip(["0", "100-0", "$"]) {
        run!(c, "XGROUP", "CREATE", key, group, at);
        idle(&mut c, key, group, b"idle");
    }
    let consumers: [&[u8]; 4] = [b"ann", b"", b"bob\r\n\0", b"\xff\xfe"];
    let mut left = pending + 200;
    while left > 0 {
        let some = left.min(500);
        let consumer = consumers[(left / 500) as usize % 4];
        read(&mut c, key, GROUPS[0], consumer, some);
        left -= some;
    }
    read(&mut c, key, GROUPS[1], b"ann", pending / 2);
    for n in 1..=10 {
        run!(c, "XADD", key, format!("9999999-{n}"), "late", n);
    }
    read(&mut c, key, GROUPS[2], b"bob\r\n\0", 5);
    let mut pipe = redis::pipe();
    for n in (1..=pending + 200).step_by(7) {
        let id = format!("{n}-{}", n % 3);
        let consumer = consumers[n as usize / 7 % 4];
        pipe.cmd("XCLAIM").arg(key).arg(GROUPS[0]).arg(consumer);
        pipe.arg(0).arg(&id).arg("TIME");
        pipe.arg(1_600_000_000_000_i64 + i64::from(n) * 1001);
        pipe.arg("RETRYCOUNT").arg(n * 3).arg("JUSTID");
    }
    let _: Vec<Value> = pipe.query(&mut c).unwrap();
    // 200 are done with; 20 of those that are not are gone.
    for n in (1..=400).step_by(2) {
        run!(c, "XACK", key, GROUPS[0], format!("{n}-{}", n % 3));
    }
    for n in (500..600).step_by(5) {
        run!(c, "XDEL", key, format!("{n}-{}", n % 3));
    }
    let summary: Vec<Value> = source.run(&format!("XPENDING stream {}", GROUPS[0]));
    assert_eq!(summary[0], Value::Int(pending.into()));
}

fn pending_entries(from: Version, to: Version, words: &[&str]) {
    let (source, target) = (Server::start(from), Server::start(to));
    fill_pending(&source, size().pending);
    let output = told(&source, &target).words(words).run().exits(0);
    assert_carried(&source, &target);
    assert_no_rubbish(&target);
    assert_eq!(count(&output, "by_type"), 1, "{output}");
    assert_eq!(count(&output, "in_chunks"), 1, "{output}");
    compare_full(&source, &target)
        .words(["--show-diffs", "--rounds", "1"])
        .run()
        .exits(0)
        .prints(EQUAL);
}

#[test]
fn three_groups_and_ten_thousand_pending_entries() {
    pending_entries(Version::Redis70, Version::Redis70, &["--type", "struct"]);
}

#[test]
fn the_same_where_the_payload_is_refused() {
    pending_entries(Version::Redis80, Version::Redis70, &[]);
}

#[test]
fn the_same_in_chunks() {
    pending_entries(Version::Valkey81, Version::Valkey81, &["--big-key", "1KB"]);
}

#[test]
fn the_same_on_redis_6_0() {
    pending_entries(Version::Redis80, Version::Redis60, &[]);
    pending_entries(Version::Redis60, Version::Redis60, &["--type", "struct"]);
}

/// Field and value of every message, in their order.
fn messages(server: &Server, key: &str) -> Vec<Vec<Vec<u8>>> {
    let entries: Vec<(String, Vec<Vec<u8>>)> = redis::cmd("XRANGE")
        .arg(key)
        .arg("-")
        .arg("+")
        .query(&mut server.connection())
        .unwrap();
    entries.into_iter().map(|(_, fields)| fields).collect()
}

fn ids(server: &Server, key: &str) -> Vec<String> {
    let entries: Vec<(String, Vec<Vec<u8>>)> = server.run(&format!("XRANGE {key} - +"));
    entries.into_iter().map(|(id, _)| id).collect()
}

#[test]
fn the_target_gives_new_ids_where_ids_are_dropped() {
    let ways: [&[&str]; 3] = [
        &["--stream-id", "drop"],
        &["--no-stream-id"],
        &["--stream-id", "drop", "--big-key", "100KB"],
    ];
    for words in ways {
        let (source, target) = pair();
        let mut c = source.connection();
        fill_big(&mut c, "stream", b"long", 9_000, 1);
        run!(c, "XGROUP", "DESTROY", "long", "group");
        for n in 1..=5 {
            run!(c, "XADD", "short", format!("{n}-1"), "n", n, "", "\r\n\0");
        }
        run!(c, "PEXPIREAT", "short", 4_102_444_800_123_i64);
        target.tell("XADD short 1-1 older message");
        data::fill_mixed(&source, "mixed:", 7);
        let begun = data::server_time(&mut target.connection());
        let output = by_type(&source, &target).words(words).run().exits(0);
        for key in ["long", "short"] {
            assert_eq!(messages(&source, key), messages(&target, key), "{output}");
            let ids = ids(&target, key);
            let times = ids.iter().map(|id| id.split_once('-').unwrap().0);
            assert!(
                times
                    .map(|time| time.parse::<i64>().unwrap())
                    .all(|time| time >= begun),
                "{:?}",
                &ids[..5]
            );
        }
        assert_eq!(target.run::<i64>("PEXPIRETIME short"), 4_102_444_800_123);
        assert_no_rubbish(&target);
        let full = compare_full(&source, &target).words(["--rounds", "1"]);
        full.run()
            .exits(1)
            .prints("0 missing, 0 type, 2 value, 0 ttl");
        compare_full(&source, &target)
            .words(["--no-stream-msg-id", "--rounds", "1", "--show-diffs"])
            .run()
            .exits(0)
            .prints(EQUAL);
    }
}

/// Last delivered id and pending messages of each group.
fn groups(server: &Server, key: &str) -> Vec<(String, String, u64)> {
    let groups: Vec<std::collections::HashMap<String, Value>> =
        server.run(&format!("XINFO GROUPS {key}"));
    let text = |value: &Value| redis::from_redis_value::<String>(value.clone()).unwrap();
    groups
        .iter()
        .map(|group| {
            let pending = redis::from_redis_value(group["pending"].clone()).unwrap();
            let last = text(&group["last-delivered-id"]);
            (text(&group["name"]), last, pending)
        })
        .collect()
}

#[test]
fn groups_are_behind_as_many_messages_where_ids_are_dropped() {
    for (messages, chunks) in [(300, 0), (6_000, 1)] {
        let (source, target) = pair();
        let mut c = source.connection();
        fill_big(&mut c, "stream", b"stream", messages, 1);
        run!(c, "XGROUP", "DESTROY", "stream", "group");
        run!(c, "XADD", "other", "1-1", "a", "b");
        for (group, at) in [("a", "0"), ("b", "10-1"), ("c", "299-9")] {
            run!(c, "XGROUP", "CREATE", "stream", group, at);
        }
        run!(c, "XGROUP", "CREATE", "other", "first", "0");
        read(&mut c, "stream", "a", b"reader", 5);
        read(&mut c, "other", "first", b"reader", 1);
        let output = by_type(&source, &target)
            .word("--no-stream-id")
            .run()
            .exits(0);
        let ids = ids(&target, "stream");
        let wanted = [("a", 5), ("b", 10), ("c", 299)]
            .map(|(name, read): (&str, usize)| (name.to_owned(), ids[read - 1].clone(), 0));
        assert_eq!(groups(&target, "stream"), wanted, "{output}");
        let report = output.report();
        let notes = report["notes"].as_array().unwrap().iter();
        let told = notes.filter(|note| note.as_str().is_some_and(|note| note.contains("pending")));
        assert_eq!(told.count(), 1, "{output}");
        assert_eq!(count(&output, "in_chunks"), chunks, "{output}");
    }
}

#[test]
fn a_copy_without_ids_is_verified_without_them() {
    let (source, target) = pair();
    let mut c = source.connection();
    fill_big(&mut c, "stream", b"long", 500, 1);
    run!(c, "XGROUP", "DESTROY", "long", "group");
    let words = ["--compare", "full", "--no-stream-msg-id"];
    by_type(&source, &target)
        .words(["--stream-id", "drop"])
        .words(words)
        .run()
        .exits(0);
    assert_eq!(messages(&source, "long"), messages(&target, "long"));
    assert_ne!(ids(&source, "long"), ids(&target, "long"));
}

#[test]
fn ids_are_kept_when_that_is_said() {
    let (source, target) = pair();
    fill_pending(&source, 300);
    by_type(&source, &target)
        .words(["--stream-id", "propagate"])
        .run()
        .exits(0);
    assert_carried(&source, &target);
}

#[test]
fn empty_streams_are_left_out_where_they_are_pruned() {
    let (source, target) = pair();
    for command in [
        "XADD full 1-1 a b",
        "XADD emptied 1-1 a b",
        "XGROUP CREATE emptied group 0",
        "XDEL emptied 1-1",
        "XADD trimmed 1-1 a b",
        "XTRIM trimmed MAXLEN 0",
        "XGROUP CREATE made group $ MKSTREAM",
        "SET string 1",
    ] {
        source.tell(command);
    }
    let output = by_type(&source, &target)
        .word("--stream-prune")
        .run()
        .exits(0);
    assert_eq!(output.report()["skipped"]["empty_stream"], 3, "{output}");
    assert_eq!(count(&output, "written"), 2, "{output}");
    let keys: Vec<String> = target.run("KEYS *");
    assert_eq!(keys.len(), 2, "{keys:?}");
    assert_eq!(target.run::<u64>("EXISTS full string"), 2);
    compare_full(&source, &target)
        .words(["--stream-prune", "--rounds", "1"])
        .run()
        .exits(0)
        .prints(EQUAL);

    // Without it they are copied, empty as they are.
    let output = by_type(&source, &target).run().exits(0);
    assert_eq!(output.report()["skipped"]["empty_stream"], 0, "{output}");
    assert_carried(&source, &target);
}

#[test]
fn the_riot_redis_spelling_of_all_of_it() {
    let (source, target) = pair();
    source.tell("XADD stream 5-1 a b");
    source.tell("XGROUP CREATE made group $ MKSTREAM");
    let (from, to) = (source.port().to_string(), target.port().to_string());
    let words = ["-p", &from, "replicate", "-p", &to, "--type", "ds"];
    riot(words)
        .words(["--no-stream-id", "--stream-prune"])
        .run()
        .exits(0);
    assert_eq!(target.count(), 1);
    assert_ne!(ids(&target, "stream"), ["5-1"]);
}
