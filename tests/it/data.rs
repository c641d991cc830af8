//! Data of every type, and snapshots of what a server holds, read with the types' own commands.

mod carried;
mod slots;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fmt::Write as _;

use redis::{Connection, ConnectionLike, FromRedisValue as _, Value as Answer};

use crate::servers::Version;
use crate::store::{Client, Store};

pub(crate) use self::carried::{
    delivery_times, field_expiries, without_delivery_times, without_last_seen,
};
pub(crate) use self::slots::fill_slots;

/// Midnight before 1 January 10000: an expiry that nobody reaches.
const FAR: i64 = 253_402_300_799_123;

macro_rules! run {
    ($connection:expr, $name:literal $(, $word:expr)* $(,)?) => {{
        let mut command = redis::cmd($name);
        $(command.arg($word);)*
        let answer: redis::RedisResult<redis::Value> = command.query(&mut $connection);
        answer.unwrap_or_else(|error| panic!("{}: {error}", $name))
    }};
}
pub(crate) use run;

/// Milliseconds since the epoch on the server's clock.
pub(crate) fn server_time(connection: &mut dyn ConnectionLike) -> i64 {
    let (seconds, micros): (i64, i64) = redis::cmd("TIME").query(connection).unwrap();
    seconds * 1000 + micros / 1000
}

/// Keys of every type in each of its encodings, with empty values, hostile names, expiries near and far.
pub(crate) fn fill_every_type(store: &dyn Store, database: u16) {
    let mut c = store.client_to(database);
    strings(&mut c);
    collections(&mut c);
    sorted_sets(&mut c);
    streams(&mut c, store.version());
    hostile_names(&mut c);
    expiries(&mut c);
    if store.version().has_field_expiry() {
        run!(
            c,
            "HSET",
            "hash:field-expiry",
            "stays",
            "1",
            "goes",
            "2",
            "goes later",
            "3"
        );
        // A field's expiry has 46 bits: the year 4199 is its last.
        run!(
            c,
            "HPEXPIREAT",
            "hash:field-expiry",
            4_102_444_800_123_i64,
            "FIELDS",
            1,
            "goes later"
        );
        run!(
            c,
            "HPEXPIRE",
            "hash:field-expiry",
            600_000,
            "FIELDS",
            1,
            "goes"
        );
    }
}

fn strings(c: &mut Client) {
    let every_byte: Vec<u8> = (0..=255).collect();
    run!(*c, "SET", "string:int", "1234567890");
    run!(*c, "SET", "string:int:negative", "-42");
    run!(*c, "SET", "string:int:shared", "7");
    run!(*c, "SET", "string:int:largest", i64::MAX);
    run!(*c, "SET", "string:int:too large", "9223372036854775808");
    run!(*c, "SET", "string:leading zero", "007");
    run!(
        *c,
        "SET",
        "string:embedded",
        "short enough for one allocation"
    );
    run!(*c, "SET", "string:raw", "long ".repeat(100));
    run!(*c, "SET", "string:bytes", &every_byte);
    run!(*c, "SET", "string:empty", "");
    run!(
        *c,
        "SET",
        "string:looks like a reply",
        "$-1\r\n*1\r\n+OK\r\n"
    );
    run!(*c, "SET", "string:1MB", text(1, 1 << 20));
    run!(*c, "SET", "string:compresses", "a".repeat(200_000));
    run!(*c, "SETBIT", "bitmap:sparse", 1_000_000, 1);
    run!(
        *c,
        "BITFIELD",
        "bitmap:counters",
        "SET",
        "u8",
        0,
        200,
        "INCRBY",
        "i16",
        64,
        -5
    );
    run!(*c, "PFADD", "hyperloglog:sparse", "a", "b", "c");
    for part in 0..10 {
        let words: Vec<String> = (0..1000).map(|n| format!("{part}-{n}")).collect();
        run!(*c, "PFADD", "hyperloglog:dense", words);
    }
    run!(*c, "PFCOUNT", "hyperloglog:dense");
}

fn collections(c: &mut Client) {
    let every_byte: Vec<u8> = (0..=255).collect();
    let many: Vec<String> = (0..3000).map(|n| format!("element {n}")).collect();
    run!(*c, "RPUSH", "list:small", "a", "1", "", "-7", &every_byte);
    run!(*c, "RPUSH", "list:large", &many);
    run!(
        *c,
        "RPUSH",
        "list:large elements",
        text(2, 20_000),
        "",
        text(3, 70_000)
    );
    run!(*c, "RPUSH", "list:empty element", "");

    run!(
        *c,
        "SADD",
        "set:intset",
        1,
        2,
        -3,
        70_000,
        i64::MAX,
        i64::MIN
    );
    run!(
        *c,
        "SADD",
        "set:intset:large",
        (0..400).map(|n| n * 3).collect::<Vec<i32>>()
    );
    run!(*c, "SADD", "set:small", "a", "b", "", &every_byte);
    run!(*c, "SADD", "set:large", &many);
    run!(*c, "SADD", "set:empty member", "");

    run!(
        *c,
        "HSET",
        "hash:small",
        "field",
        "value",
        "",
        "",
        "number",
        "12",
        &every_byte,
        &every_byte
    );
    let pairs: Vec<(String, String)> = (0..2000)
        .map(|n| (format!("field {n}"), format!("value {n}")))
        .collect();
    run!(*c, "HSET", "hash:large", pairs);
    run!(
        *c,
        "HSET",
        "hash:long value",
        "field",
        text(4, 100_000),
        "other",
        ""
    );
    run!(*c, "HSET", "hash:empty", "", "");
}

fn sorted_sets(c: &mut Client) {
    let scores = [
        ("inf", "+inf"),
        ("negative inf", "-inf"),
        ("seventeen digits", "0.12345678901234567"),
        ("third", "0.33333333333333331"),
        ("large", "1.7976931348623157e308"),
        ("small", "5e-324"),
        ("2^53 + 1", "9007199254740993"),
        ("minus zero", "-0"),
        ("zero", "0"),
        ("", "3.0000000000000004"),
    ];
    for (member, score) in scores {
        run!(*c, "ZADD", "zset:small", score, member);
    }
    for n in 0..1000 {
        run!(
            *c,
            "ZADD",
            "zset:large",
            format!("{}.{n:017}", n % 37),
            format!("member {n}")
        );
    }
    for (member, score) in scores {
        run!(*c, "ZADD", "zset:large", score, member);
    }
    run!(*c, "ZADD", "zset:empty member", "inf", "");
    run!(
        *c,
        "GEOADD",
        "geo",
        "13.361389",
        "38.115556",
        "Palermo",
        "15.087269",
        "37.502669",
        "Catania",
        "-122.27",
        "37.8",
        "Oakland"
    );
}

fn streams(c: &mut Client, version: Version) {
    run!(*c, "XADD", "stream:plain", "1-1", "field", "value", "", "");
    run!(
        *c,
        "XADD",
        "stream:plain",
        "1-2",
        "other fields",
        [0_u8, 255].as_slice()
    );
    for n in 1..=500 {
        run!(
            *c,
            "XADD",
            "stream:large",
            format!("{n}-0"),
            "temperature",
            n,
            "place",
            format!("room {n}")
        );
    }
    run!(*c, "XDEL", "stream:large", "100-0", "101-0", "500-0");

    // Two groups; pending entries of several consumers, delivered more than once, one of them deleted.
    run!(*c, "XGROUP", "CREATE", "stream:large", "readers", "0");
    run!(*c, "XGROUP", "CREATE", "stream:large", "late", "$");
    run!(
        *c,
        "XREADGROUP",
        "GROUP",
        "readers",
        "ann",
        "COUNT",
        20,
        "STREAMS",
        "stream:large",
        ">"
    );
    run!(
        *c,
        "XREADGROUP",
        "GROUP",
        "readers",
        "bob",
        "COUNT",
        5,
        "STREAMS",
        "stream:large",
        ">"
    );
    run!(*c, "XACK", "stream:large", "readers", "1-0", "2-0", "21-0");
    run!(
        *c,
        "XCLAIM",
        "stream:large",
        "readers",
        "cat",
        0,
        "3-0",
        "4-0",
        "RETRYCOUNT",
        7
    );
    run!(*c, "XDEL", "stream:large", "5-0");
    if version.since_70() {
        run!(
            *c,
            "XGROUP",
            "CREATECONSUMER",
            "stream:large",
            "readers",
            "idle consumer"
        );
        run!(
            *c,
            "XGROUP",
            "CREATE",
            "stream:large",
            "counted",
            "10-0",
            "ENTRIESREAD",
            10
        );
    }
    streams_without_entries(c);
}

/// No entries left, but a last id, and groups.
fn streams_without_entries(c: &mut Client) {
    run!(*c, "XADD", "stream:emptied", "7-7", "a", "b");
    run!(*c, "XGROUP", "CREATE", "stream:emptied", "group", "0");
    run!(
        *c,
        "XREADGROUP",
        "GROUP",
        "group",
        "consumer",
        "STREAMS",
        "stream:emptied",
        ">"
    );
    run!(*c, "XDEL", "stream:emptied", "7-7");
    run!(
        *c,
        "XGROUP",
        "CREATE",
        "stream:never filled",
        "group",
        "$",
        "MKSTREAM"
    );
    run!(*c, "XADD", "stream:set id", "1-1", "a", "b");
    run!(*c, "XSETID", "stream:set id", "99-99");
}

fn hostile_names(c: &mut Client) {
    let long = text(5, 10_000);
    let names: [&[u8]; 24] = [
        b"",
        b"\0",
        b"nul\0inside",
        b"line\r\nbreak",
        b"\r\n",
        b"'single' \"double\" `back`",
        b"back\\slash",
        b"glob *",
        b"glob ?",
        b"glob [a-z]",
        b"glob [^x]\\*",
        b"invalid \xff\xfe utf-8 \x80",
        b"\xc3\x28",
        "umlaut \u{e4} and \u{1f980}".as_bytes(),
        b" leading and trailing ",
        b"--help",
        b"$5\r\nhello",
        b"{tag}",
        b"{}empty tag",
        b"}{",
        b"a}b",
        b"#{key}",
        b"\x1b[31mred",
        long.as_bytes(),
    ];
    for (number, name) in names.iter().enumerate() {
        run!(*c, "SET", *name, format!("value of name {number}"));
        run!(
            *c,
            "RPUSH",
            [name, b":list".as_slice()].concat(),
            number,
            *name
        );
    }
}

fn expiries(c: &mut Client) {
    let near = server_time(c) + 600_001;
    for (name, at) in [("far", FAR), ("near", near)] {
        let keys = ["string", "int", "list", "hash", "set", "zset", "stream"]
            .map(|kind| format!("expires:{name}:{kind}"));
        run!(*c, "SET", &keys[0], "text");
        run!(*c, "SET", &keys[1], 5);
        run!(*c, "RPUSH", &keys[2], "a");
        run!(*c, "HSET", &keys[3], "a", "b");
        run!(*c, "SADD", &keys[4], "a");
        run!(*c, "ZADD", &keys[5], 1, "a");
        run!(*c, "XADD", &keys[6], "1-1", "a", "b");
        for key in &keys {
            run!(*c, "PEXPIREAT", key, at);
        }
    }
}

/// `count` strings called `PREFIX0`, `PREFIX1` … of `bytes` bytes each, every value different.
pub(crate) fn fill_strings(store: &dyn Store, prefix: &str, count: u32, bytes: usize) {
    let mut c = store.client();
    let numbers: Vec<u32> = (0..count).collect();
    for part in numbers.chunks(5000) {
        let mut pipe = redis::pipe();
        for number in part {
            pipe.cmd("SET")
                .arg(format!("{prefix}{number}"))
                .arg(text(*number, bytes))
                .ignore();
        }
        pipe.exec(&mut c).unwrap();
    }
}

/// Keys called `PREFIX0` … of all types by turns, some with an expiry; every value different.
pub(crate) fn fill_mixed(store: &dyn Store, prefix: &str, count: u32) {
    let mut c = store.client();
    let expires = server_time(&mut c) + 3_600_000;
    let numbers: Vec<u32> = (0..count).collect();
    for part in numbers.chunks(2000) {
        let mut pipe = redis::pipe();
        for &number in part {
            let key = format!("{prefix}{number}");
            match number % 8 {
                0..=2 => pipe.cmd("SET").arg(&key).arg(text(number, 100)),
                3 => pipe
                    .cmd("HSET")
                    .arg(&key)
                    .arg("number")
                    .arg(number)
                    .arg("text")
                    .arg(text(number, 40)),
                4 => pipe
                    .cmd("RPUSH")
                    .arg(&key)
                    .arg(number)
                    .arg("b")
                    .arg(text(number, 20)),
                5 => pipe.cmd("SADD").arg(&key).arg(number).arg(number + 1),
                6 => pipe
                    .cmd("ZADD")
                    .arg(&key)
                    .arg(f64::from(number) / 3.0)
                    .arg("a")
                    .arg(number)
                    .arg("b"),
                _ => pipe
                    .cmd("XADD")
                    .arg(&key)
                    .arg("1-1")
                    .arg("number")
                    .arg(number),
            };
            if number % 5 == 0 {
                pipe.cmd("PEXPIREAT")
                    .arg(&key)
                    .arg(expires + i64::from(number));
            }
        }
        let _: Vec<Answer> = pipe.query(&mut c).unwrap();
    }
}

/// Text that compresses badly and differs for each seed.
pub(crate) fn text(seed: u32, bytes: usize) -> String {
    let mut state = u64::from(seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut text = format!("{seed}:");
    while text.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let _ = write!(text, "{state:016x}");
    }
    text.truncate(bytes);
    text
}

/// Bytes that show themselves readably.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Bytes(pub(crate) Vec<u8>);

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.0[..self.0.len().min(120)];
        write!(f, "\"{}\"", shown.escape_ascii())?;
        if shown.len() < self.0.len() {
            write!(f, "… {} bytes", self.0.len())?;
        }
        Ok(())
    }
}

/// What only newer servers tell: equal to anything where one side does not tell it.
#[derive(Debug, Clone)]
pub(crate) struct Told<T>(Option<T>);

impl<T: PartialEq> PartialEq for Told<T> {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Some(one), Some(two)) => one == two,
            _ => true,
        }
    }
}

/// A key's value, as its type's own commands tell it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Body {
    /// Any string: text, number, bitmap, `HyperLogLog`.
    Text(Bytes),
    /// In order.
    List(Vec<Bytes>),
    /// Members.
    Set(BTreeSet<Bytes>),
    /// Field, value, and the field's expiry.
    Hash(BTreeMap<Bytes, (Bytes, Told<i64>)>),
    /// Members and the bits of their scores.
    SortedSet(BTreeMap<Bytes, Score>),
    /// Entries, counters, groups.
    Stream(Box<Stream>),
    /// Elements, and their vectors and attributes as they were answered.
    Vectors(BTreeMap<Bytes, String>),
    /// Another type, by its DUMP.
    Other(String, Bytes),
}

/// A score: compared bit for bit, but that minus zero is zero for every server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Score(f64);

impl PartialEq for Score {
    fn eq(&self, other: &Self) -> bool {
        (self.0 + 0.0).to_bits() == (other.0 + 0.0).to_bits()
    }
}

/// A stream.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Stream {
    entries: Vec<(Bytes, Vec<Bytes>)>,
    last_id: Bytes,
    max_deleted: Told<Bytes>,
    added: Told<i64>,
    groups: Vec<Group>,
}

/// A stream's group.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Group {
    name: Bytes,
    last_delivered: Bytes,
    entries_read: Told<Option<i64>>,
    /// Id, consumer, time of delivery, times delivered.
    pending: Vec<(Bytes, Bytes, i64, i64)>,
    /// Name, time last seen, ids pending.
    consumers: Vec<(Bytes, i64, Vec<Bytes>)>,
}

/// Value and expiry of one key.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Value {
    /// The value.
    pub(crate) body: Body,
    /// Milliseconds since the epoch; the first and last possible one where the server cannot tell exactly (6.0).
    pub(crate) expiry: Option<(i64, i64)>,
}

/// Everything that a database holds.
pub(crate) type Snapshot = BTreeMap<Bytes, Value>;

/// Reads everything that a database holds; of a cluster, each master's own keys at that master.
pub(crate) fn snapshot(store: &dyn Store, database: u16) -> Snapshot {
    let mut all = Snapshot::new();
    for mut connection in store.holders(database) {
        let part = snapshot_of(&mut connection, store.version());
        for (key, value) in part {
            let again = all.insert(key.clone(), value);
            assert!(again.is_none(), "two nodes hold {key:?}");
        }
    }
    all
}

/// Reads everything that one server holds.
fn snapshot_of(c: &mut Connection, version: Version) -> Snapshot {
    let mut cursor: u64 = 0;
    let mut seen = BTreeSet::new();
    let mut all = Snapshot::new();
    loop {
        let (next, keys): (u64, Vec<Vec<u8>>) = redis::cmd("SCAN")
            .arg(cursor)
            .arg("COUNT")
            .arg(2000)
            .query(c)
            .unwrap();
        let keys: Vec<Vec<u8>> = keys
            .into_iter()
            .filter(|key| seen.insert(key.clone()))
            .collect();
        read_page(c, version, keys, &mut all);
        cursor = next;
        if cursor == 0 {
            return all;
        }
    }
}

fn read_page(c: &mut Connection, version: Version, keys: Vec<Vec<u8>>, all: &mut Snapshot) {
    if keys.is_empty() {
        return;
    }
    let expiries = expiries_of(c, version, &keys);
    let mut pipe = redis::pipe();
    for key in &keys {
        pipe.cmd("TYPE").arg(key);
    }
    let types: Vec<String> = pipe.query(c).unwrap();
    let mut pipe = redis::pipe();
    for (key, kind) in keys.iter().zip(&types) {
        match kind.as_str() {
            "string" => pipe.cmd("GET").arg(key),
            "list" => pipe.cmd("LRANGE").arg(key).arg(0).arg(-1),
            "set" => pipe.cmd("SMEMBERS").arg(key),
            "hash" => pipe.cmd("HGETALL").arg(key),
            "zset" => pipe.cmd("ZRANGE").arg(key).arg(0).arg(-1).arg("WITHSCORES"),
            "stream" => pipe
                .cmd("XINFO")
                .arg("STREAM")
                .arg(key)
                .arg("FULL")
                .arg("COUNT")
                .arg(0),
            // All of them, each once, in any order.
            "vectorset" => pipe.cmd("VRANDMEMBER").arg(key).arg(1_000_000),
            _ => pipe.cmd("DUMP").arg(key),
        };
    }
    let answers: Vec<Answer> = pipe.query(c).unwrap();
    for (((key, kind), answer), expiry) in keys.into_iter().zip(types).zip(answers).zip(expiries) {
        let body = match kind.as_str() {
            "none" => continue,
            "string" => Body::Text(bytes(answer)),
            "list" => Body::List(list(answer)),
            "set" => Body::Set(list(answer).into_iter().collect()),
            "hash" => Body::Hash(hash(c, version, &key, answer)),
            "zset" => Body::SortedSet(
                pairs(answer)
                    .map(|(member, score)| (member, self::score(&score)))
                    .collect(),
            ),
            "stream" => Body::Stream(Box::new(stream(answer))),
            "vectorset" => Body::Vectors(vectors(c, &key, answer)),
            _ => Body::Other(kind, bytes(answer)),
        };
        all.insert(Bytes(key), Value { body, expiry });
    }
}

fn expiries_of(c: &mut Connection, version: Version, keys: &[Vec<u8>]) -> Vec<Option<(i64, i64)>> {
    if version.since_70() {
        let mut pipe = redis::pipe();
        for key in keys {
            pipe.cmd("PEXPIRETIME").arg(key);
        }
        let answers: Vec<i64> = pipe.query(c).unwrap();
        return answers
            .into_iter()
            .map(|at| (at >= 0).then_some((at, at)))
            .collect();
    }
    let before = server_time(c);
    let mut pipe = redis::pipe();
    for key in keys {
        pipe.cmd("PTTL").arg(key);
    }
    let answers: Vec<i64> = pipe.query(c).unwrap();
    let after = server_time(c) + 1;
    answers
        .into_iter()
        .map(|left| (left >= 0).then_some((before + left, after + left)))
        .collect()
}

fn bytes(answer: Answer) -> Bytes {
    match answer {
        Answer::BulkString(bytes) => Bytes(bytes),
        Answer::SimpleString(text) => Bytes(text.into_bytes()),
        Answer::Int(number) => Bytes(number.to_string().into_bytes()),
        Answer::Nil => Bytes(b"(nil)".to_vec()),
        other => panic!("not a string: {other:?}"),
    }
}

fn array(answer: Answer) -> Vec<Answer> {
    match answer {
        Answer::Array(items) | Answer::Set(items) => items,
        Answer::Map(pairs) => pairs
            .into_iter()
            .flat_map(|(key, value)| [key, value])
            .collect(),
        other => panic!("not an array: {other:?}"),
    }
}

fn list(answer: Answer) -> Vec<Bytes> {
    array(answer).into_iter().map(bytes).collect()
}

fn pairs(answer: Answer) -> impl Iterator<Item = (Bytes, Bytes)> {
    let mut items = list(answer).into_iter();
    std::iter::from_fn(move || items.next().zip(items.next()))
}

fn score(text: &Bytes) -> Score {
    Score(std::str::from_utf8(&text.0).unwrap().parse().unwrap())
}

fn number(answer: &Answer) -> i64 {
    i64::from_redis_value(answer.clone()).unwrap()
}

fn hash(
    c: &mut Connection,
    version: Version,
    key: &[u8],
    answer: Answer,
) -> BTreeMap<Bytes, (Bytes, Told<i64>)> {
    let fields: Vec<(Bytes, Bytes)> = pairs(answer).collect();
    let expiries: Vec<Told<i64>> = if version.has_field_expiry() && !fields.is_empty() {
        let mut command = redis::cmd("HPEXPIRETIME");
        command.arg(key).arg("FIELDS").arg(fields.len());
        for (field, _) in &fields {
            command.arg(&field.0);
        }
        let answers: Vec<i64> = command.query(c).unwrap();
        answers.into_iter().map(|at| Told(Some(at))).collect()
    } else {
        fields.iter().map(|_| Told(None)).collect()
    };
    fields
        .into_iter()
        .zip(expiries)
        .map(|((field, value), expiry)| (field, (value, expiry)))
        .collect()
}

fn vectors(c: &mut Connection, key: &[u8], answer: Answer) -> BTreeMap<Bytes, String> {
    let elements = list(answer).into_iter();
    elements
        .map(|element| {
            let vector = run!(*c, "VEMB", key, &element.0, "RAW");
            let attributes = run!(*c, "VGETATTR", key, &element.0);
            (element, format!("{vector:?} {attributes:?}"))
        })
        .collect()
}

/// The fields of an answer that is a map, or pairs in an array.
fn fields(answer: Answer) -> BTreeMap<String, Answer> {
    let mut items = array(answer).into_iter();
    std::iter::from_fn(move || items.next().zip(items.next()))
        .map(|(name, value)| (String::from_utf8(bytes(name).0).unwrap(), value))
        .collect()
}

fn stream(answer: Answer) -> Stream {
    let mut fields = fields(answer);
    let entries = array(fields.remove("entries").unwrap())
        .into_iter()
        .map(|entry| {
            let mut entry = array(entry).into_iter();
            (bytes(entry.next().unwrap()), list(entry.next().unwrap()))
        });
    let groups = array(fields.remove("groups").unwrap())
        .into_iter()
        .map(group);
    Stream {
        entries: entries.collect(),
        last_id: bytes(fields.remove("last-generated-id").unwrap()),
        max_deleted: Told(fields.remove("max-deleted-entry-id").map(bytes)),
        added: Told(fields.remove("entries-added").map(|answer| number(&answer))),
        groups: groups.collect(),
    }
}

fn group(answer: Answer) -> Group {
    let mut fields = fields(answer);
    let pending_field = if fields.contains_key("pel") {
        "pel"
    } else {
        "pending"
    };
    let pending = array(fields.remove(pending_field).unwrap())
        .into_iter()
        .map(|entry| {
            let entry = array(entry);
            (
                bytes(entry[0].clone()),
                bytes(entry[1].clone()),
                number(&entry[2]),
                number(&entry[3]),
            )
        });
    let consumers = array(fields.remove("consumers").unwrap())
        .into_iter()
        .map(|consumer| {
            let mut consumer = self::fields(consumer);
            let pending_field = if consumer.contains_key("pel") {
                "pel"
            } else {
                "pending"
            };
            let ids = array(consumer.remove(pending_field).unwrap())
                .into_iter()
                .map(|entry| bytes(array(entry)[0].clone()));
            (
                bytes(consumer.remove("name").unwrap()),
                number(&consumer["seen-time"]),
                ids.collect(),
            )
        });
    Group {
        name: bytes(fields.remove("name").unwrap()),
        last_delivered: bytes(fields.remove("last-delivered-id").unwrap()),
        entries_read: Told(
            fields
                .remove("entries-read")
                .map(|answer| (answer != Answer::Nil).then(|| number(&answer))),
        ),
        pending: pending.collect(),
        consumers: consumers.collect(),
    }
}

/// Fails the test where the two sides' database 0 are not the same, byte for byte and expiry for expiry.
#[track_caller]
pub(crate) fn assert_same(source: &dyn Store, target: &dyn Store) {
    assert_snapshots(
        &snapshot(source, 0),
        &snapshot(target, 0),
        source.tolerance().max(target.tolerance()),
    );
}

/// Fails the test where two snapshots differ; expiries may by this many milliseconds.
#[track_caller]
pub(crate) fn assert_snapshots(expected: &Snapshot, found: &Snapshot, tolerance: i64) {
    let differences = differences(expected, found, tolerance);
    assert!(
        differences.is_empty(),
        "{} of {} keys differ:\n{}",
        differences.len(),
        expected.len(),
        differences[..differences.len().min(20)].join("\n")
    );
}

/// What differs between two snapshots, a line each; expiries may by this many milliseconds.
pub(crate) fn differences(expected: &Snapshot, found: &Snapshot, tolerance: i64) -> Vec<String> {
    let mut lines = Vec::new();
    for (key, wanted) in expected {
        let Some(value) = found.get(key) else {
            lines.push(format!("missing {key:?}"));
            continue;
        };
        if wanted.body != value.body {
            lines.push(format!(
                "value   {key:?}\n  expected {}\n  found    {}",
                short(&wanted.body),
                short(&value.body)
            ));
        }
        let same = match (wanted.expiry, value.expiry) {
            (None, None) => true,
            (Some((first, last)), Some((from, to))) => {
                first - tolerance <= to && from <= last + tolerance
            }
            _ => false,
        };
        if !same {
            lines.push(format!(
                "expiry  {key:?}: expected {:?}, found {:?}",
                wanted.expiry, value.expiry
            ));
        }
    }
    lines.extend(
        found
            .keys()
            .filter(|key| !expected.contains_key(key))
            .map(|key| format!("extra   {key:?}")),
    );
    lines
}

fn short(body: &Body) -> String {
    let text = format!("{body:?}");
    let cut = text
        .char_indices()
        .nth(2000)
        .map_or(text.len(), |(index, _)| index);
    text[..cut].to_owned()
}

mod tests {
    use super::*;
    use crate::servers::Server;

    #[test]
    fn the_data_of_every_type_uses_both_encodings_of_each() {
        let server = Server::start(Version::Redis70);
        fill_every_type(&server, 0);
        let mut c = server.connection();
        let keys: Vec<Vec<u8>> = redis::cmd("KEYS").arg("*").query(&mut c).unwrap();
        let mut encodings = BTreeSet::new();
        for key in keys {
            let kind: String = redis::cmd("TYPE").arg(&key).query(&mut c).unwrap();
            let encoding: String = redis::cmd("OBJECT")
                .arg("ENCODING")
                .arg(&key)
                .query(&mut c)
                .unwrap();
            encodings.insert(format!("{kind} {encoding}"));
        }
        let found: Vec<&str> = encodings.iter().map(String::as_str).collect();
        let expected = [
            "hash hashtable",
            "hash listpack",
            "list quicklist",
            "set hashtable",
            "set intset",
            "stream stream",
            "string embstr",
            "string int",
            "string raw",
            "zset listpack",
            "zset skiplist",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_snapshot_notices_every_kind_of_difference() {
        let (one, two) = (
            Server::start(Version::Redis70),
            Server::start(Version::Redis70),
        );
        for server in [&one, &two] {
            for command in [
                "SET text a",
                "RPUSH list a b",
                "ZADD zset 1 a",
                "XADD stream 1-1 a b",
                "SET gone a",
                "SET expires a",
            ] {
                server.tell(command);
            }
        }
        assert_same(&one, &two);
        for command in [
            "SET text b",
            "RPUSH list c",
            "ZADD zset 1.0000000000000002 a",
            "XGROUP CREATE stream g 0",
        ] {
            two.tell(command);
        }
        for command in ["DEL gone", "PEXPIREAT expires 9999999999999", "SET more a"] {
            two.tell(command);
        }
        let found = differences(&snapshot(&one, 0), &snapshot(&two, 0), 0);
        let mut kinds: Vec<String> = found
            .iter()
            .map(|line| {
                line.split_whitespace()
                    .take(2)
                    .collect::<Vec<_>>()
                    .join(" ")
            })
            .collect();
        kinds.sort();
        let expected = [
            "expiry \"expires\":",
            "extra \"more\"",
            "missing \"gone\"",
            "value \"list\"",
            "value \"stream\"",
            "value \"text\"",
            "value \"zset\"",
        ];
        assert_eq!(kinds, expected);
    }
}
