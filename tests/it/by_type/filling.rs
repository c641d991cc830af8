//! What is hard to carry by commands, and values that are big.

use redis::ConnectionLike;

use crate::data::{self, run};
use crate::servers::Version;
use crate::store::Store;

/// Names and parts of names that only bytes can hold.
pub(super) const ODD: [&[u8]; 8] = [
    b"",
    b"\0",
    b"nul\0inside",
    b"line\r\nbreak",
    b"\xff\xfe\x80",
    b" spaces ",
    b"*1\r\n$4\r\nPING\r\n",
    "\u{e4}\u{1f980}".as_bytes(),
];

/// The types that every server has.
pub(crate) const KINDS: [&str; 6] = ["string", "hash", "list", "set", "zset", "stream"];

/// Everything that `data::fill_every_type` has, and what is hard to carry by commands besides.
pub(super) fn fill(store: &dyn Store) {
    data::fill_every_type(store, 0);
    data::fill_mixed(store, "mixed:", 700);
    let c = &mut store.client();
    odd_names(c);
    large_parts(c);
    pending_of_deleted_messages(c);
    groups(c, store.version());
    ends_of_streams(c);
}

/// Names of the types whose names `data::fill_every_type` leaves plain.
fn odd_names(c: &mut dyn ConnectionLike) {
    for name in ODD {
        let named = |kind: &str| [kind.as_bytes(), name].concat();
        run!(*c, "HSET", named("hash named "), name, name, "f", "v");
        run!(*c, "SADD", named("set named "), name, "member");
        run!(*c, "ZADD", named("zset named "), "-0.5", name);
        run!(*c, "XADD", named("stream named "), "1-1", name, name);
        run!(*c, "PEXPIREAT", named("zset named "), 4_102_444_800_123_i64);
    }
}

/// Values whose parts are over a megabyte: no chunk of small parts holds one.
fn large_parts(c: &mut dyn ConnectionLike) {
    let large = |seed| data::text(seed, 1_300_000);
    run!(*c, "SET", "large:string", data::text(1, 3 << 20));
    run!(*c, "HSET", "large:hash", "a", large(2), large(3), "b");
    run!(*c, "RPUSH", "large:list", "a", large(4), large(5), "b");
    run!(*c, "SADD", "large:set", "a", large(6), "b");
    run!(*c, "ZADD", "large:zset", 1, "a", 2, large(7), 3, "b");
    run!(*c, "XADD", "large:stream", "1-1", "a", large(8));
    run!(*c, "XADD", "large:stream", "1-2", large(9), "b");
    let fields: Vec<String> = (0..3000).map(|n| format!("word {n}")).collect();
    run!(*c, "XADD", "large:stream", "1-3", &fields);
}

/// Messages that are gone and still pending: the first, one in the middle, the last, and all.
fn pending_of_deleted_messages(c: &mut dyn ConnectionLike) {
    for (key, deleted) in [
        ("stream:pending:first", &["1-1"][..]),
        ("stream:pending:middle", &["5-5", "6-6"]),
        ("stream:pending:last", &["9-9"]),
        ("stream:pending:some", &["1-1", "3-3", "7-7", "9-9"]),
        (
            "stream:pending:all",
            &[
                "1-1", "2-2", "3-3", "4-4", "5-5", "6-6", "7-7", "8-8", "9-9",
            ],
        ),
    ] {
        for n in 1..=9 {
            run!(*c, "XADD", key, format!("{n}-{n}"), "n", n);
        }
        run!(*c, "XGROUP", "CREATE", key, "group", 0);
        read(c, key, "group", b"ann", 5);
        read(c, key, "group", b"bob", 4);
        run!(
            *c,
            "XCLAIM",
            key,
            "group",
            "bob",
            0,
            "1-1",
            "5-5",
            "TIME",
            1_500_000_000_123_i64,
            "RETRYCOUNT",
            77
        );
        run!(*c, "XDEL", key, deleted);
    }
    // Trimmed, the server tells of no deleted message at all.
    for (key, left) in [("stream:pending:trimmed", 4), ("stream:pending:cleared", 0)] {
        for n in 1..=9 {
            run!(*c, "XADD", key, format!("{n}-{n}"), "n", n);
        }
        run!(*c, "XGROUP", "CREATE", key, "group", 0);
        read(c, key, "group", b"ann", 3);
        read(c, key, "group", b"bob", 4);
        run!(*c, "XTRIM", key, "MAXLEN", left);
    }
    run!(*c, "XDEL", "stream:pending:trimmed", "7-7");
    // Nobody ever had a message of it.
    run!(*c, "XADD", "stream:all deleted", "8-8", "a", "b");
    run!(*c, "XDEL", "stream:all deleted", "8-8");
    run!(*c, "XADD", "stream:trimmed", "1-0", "a", "b");
    run!(*c, "XADD", "stream:trimmed", "2-0", "a", "b");
    run!(*c, "XTRIM", "stream:trimmed", "MAXLEN", 1);
}

/// Delivers messages that nobody had yet.
pub(super) fn read(
    c: &mut dyn ConnectionLike,
    key: &str,
    group: &str,
    consumer: &[u8],
    count: u32,
) {
    run!(
        *c,
        "XREADGROUP",
        "GROUP",
        group,
        consumer,
        "COUNT",
        count,
        "STREAMS",
        key,
        ">"
    );
}

/// Makes a consumer that has nothing pending: asking for its own history is enough.
pub(super) fn idle(c: &mut dyn ConnectionLike, key: &str, group: &str, consumer: &[u8]) {
    run!(
        *c,
        "XREADGROUP",
        "GROUP",
        group,
        consumer,
        "STREAMS",
        key,
        "0"
    );
}

/// Groups at all places, named by all bytes, with consumers of all kinds.
fn groups(c: &mut dyn ConnectionLike, version: Version) {
    let key = "stream:groups";
    for n in 1..=40 {
        run!(*c, "XADD", key, format!("{n}-0"), "n", n);
    }
    run!(*c, "XDEL", key, "10-0", "40-0");
    for (name, at) in [
        ("at the beginning", "0"),
        ("at a message", "7-0"),
        ("at one that is gone", "10-0"),
        ("between", "20-5"),
        ("at the end", "$"),
        ("beyond the end", "999-9"),
    ] {
        run!(*c, "XGROUP", "CREATE", key, name, at);
        idle(c, key, name, b"the same name everywhere");
    }
    for (number, name) in (1..).zip(ODD) {
        run!(*c, "XGROUP", "CREATE", key, name, 0);
        run!(
            *c,
            "XREADGROUP",
            "GROUP",
            name,
            name,
            "COUNT",
            number,
            "STREAMS",
            key,
            ">"
        );
    }
    run!(*c, "XGROUP", "SETID", key, "at the beginning", "3-0");
    read(c, key, "at the beginning", b"reader", 5);
    for time in 0..3 {
        // Delivered again and again, at a time of its own.
        let last = format!("{}-0", 4 + time);
        run!(
            *c,
            "XCLAIM",
            key,
            "at the beginning",
            "reader",
            0,
            last,
            "TIME",
            1_600_000_000_000_i64 + time
        );
    }
    if version.since_70() {
        for (name, read) in [("counted", 0), ("counted further", 1000)] {
            run!(
                *c,
                "XGROUP",
                "CREATE",
                key,
                name,
                "5-0",
                "ENTRIESREAD",
                read
            );
        }
        run!(*c, "XADD", "stream:counters", "5-5", "a", "b");
        run!(
            *c,
            "XSETID",
            "stream:counters",
            "9-9",
            "ENTRIESADDED",
            1234,
            "MAXDELETEDID",
            "7-7"
        );
    }
}

/// The smallest and the largest ids.
fn ends_of_streams(c: &mut dyn ConnectionLike) {
    let largest = "18446744073709551615-18446744073709551615";
    for id in ["0-1", "0-18446744073709551615", largest] {
        run!(*c, "XADD", "stream:ends", id, "id", id);
    }
    run!(*c, "XGROUP", "CREATE", "stream:ends", "group", 0);
    read(c, "stream:ends", "group", b"reader", 3);
    run!(*c, "XADD", "stream:last is gone", largest, "a", "b");
    run!(*c, "XDEL", "stream:last is gone", largest);
}

/// A value of one of `KINDS` with so many elements of some 110 bytes each, all different for another seed.
pub(crate) fn fill_big(
    c: &mut dyn ConnectionLike,
    kind: &str,
    key: &[u8],
    elements: u32,
    seed: u32,
) {
    let numbers: Vec<u32> = (0..elements).collect();
    for part in numbers.chunks(2000) {
        let texts = part.iter().map(|n| data::text(n * 7 + seed, 100));
        let mut pipe = redis::pipe();
        match kind {
            "string" => {
                let text: Vec<String> = texts.collect();
                pipe.cmd("APPEND").arg(key).arg(text.concat());
            }
            "stream" => {
                for (n, text) in part.iter().zip(texts) {
                    pipe.cmd("XADD").arg(key).arg(format!("{}-{seed}", n + 1));
                    pipe.arg("text").arg(text);
                }
            }
            "hash" => {
                pipe.cmd("HSET").arg(key);
                for (n, text) in part.iter().zip(texts) {
                    pipe.arg(n).arg(text);
                }
            }
            "zset" => {
                pipe.cmd("ZADD").arg(key);
                for (n, text) in part.iter().zip(texts) {
                    pipe.arg(f64::from(*n) / 7.0).arg(text);
                }
            }
            "list" => {
                pipe.cmd("RPUSH").arg(key).arg(texts.collect::<Vec<_>>());
            }
            "set" => {
                pipe.cmd("SADD").arg(key).arg(texts.collect::<Vec<_>>());
            }
            other => panic!("{other}"),
        }
        let _: Vec<redis::Value> = pipe.query(c).unwrap();
    }
    if kind == "stream" {
        run!(*c, "XGROUP", "CREATE", key, "group", 0);
        run!(
            *c,
            "XREADGROUP",
            "GROUP",
            "group",
            "consumer",
            "COUNT",
            elements / 10,
            "STREAMS",
            key,
            ">"
        );
    }
}

/// Under its kind as its name, a value of each of `KINDS`.
pub(super) fn fill_big_kinds(store: &dyn Store, elements: u32, seed: u32) {
    let mut c = store.client();
    for kind in KINDS {
        fill_big(&mut c, kind, kind.as_bytes(), elements, seed);
    }
}
