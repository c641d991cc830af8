//! Documents of `RedisJSON` and series of `RedisTimeSeries`, by their commands; no such module is to be had here, so servers of
//! the tests' own have them.

mod series;
mod server;
mod tests;

use std::collections::BTreeMap;

use tokio::runtime::Runtime;

use self::series::Series;
use self::server::{Held, Modules, Value};
use super::count;
use crate::fake::Fake;
use crate::riot::{Output, Riot, riot};
use crate::servers::{Server, Version};

/// A running server with modules.
struct Side {
    // Before the runtime: its tasks end first.
    fake: Fake<Modules>,
    _runtime: Runtime,
}

impl Side {
    fn start(modules: Modules) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let fake = runtime.block_on(Fake::start(modules));
        Self {
            fake,
            _runtime: runtime,
        }
    }

    fn uri(&self) -> String {
        format!("redis://{}", self.fake.address)
    }

    fn keys(&self) -> BTreeMap<Vec<u8>, Held> {
        self.fake.state.lock().unwrap().keys.clone()
    }

    fn called(&self, command: &str) -> bool {
        self.fake.state.lock().unwrap().called.contains(command)
    }
}

const ALL: [&str; 2] = ["JSON", "TS"];
const FAR: i64 = 4_102_444_800_123;

const DOCUMENTS: [&str; 8] = [
    "{\"b\":1,\"a\":[true,null,{\"deep\":[[]]}],\"\":\"\"}",
    "{\"number\":12345678901234567890,\"float\":0.1,\"large\":1e300,\"small\":-5e-324}",
    "{\"text\":\"\u{e4}\u{1f980}\\u0000\\r\\n\\\"\"}",
    "[]",
    "{}",
    "null",
    "-0.5",
    "\"just text\"",
];

fn series() -> Series {
    let mut series = Series::with(&[]).unwrap();
    series.retention = 100_000_000;
    series.labels = vec![
        (b"sensor".to_vec(), b"3".to_vec()),
        (b"a r\r\nea".to_vec(), b"\xff\xfe".to_vec()),
    ];
    series.policy = Some("last".into());
    series.chunk_size = 8192;
    series.samples = [
        (0, 0.0),
        (1, -1.5),
        (5, 0.1 + 0.2),
        (1_000, 1.797_693_134_862_315_7e308),
        (99_999, 5e-324),
    ]
    .into();
    series
}

/// Documents, series and strings, some of them with an expiry.
fn source() -> Modules {
    let mut source = Modules::new("source", &ALL);
    for (n, document) in (0..).zip(DOCUMENTS) {
        let value = Value::Json(document.as_bytes().to_vec());
        source.put(&format!("doc:{n}"), value, (n % 3 == 0).then_some(FAR + n));
    }
    let array: Vec<u32> = (0..50_000).collect();
    let large = serde_json::to_vec(&array).unwrap();
    source.put("doc:large", Value::Json(large), None);
    source.put("ts:1", Value::Series(series()), Some(FAR));
    source.put("ts:empty", Value::Series(Series::with(&[]).unwrap()), None);
    let mut plain = Series::with(&[]).unwrap();
    plain.encoding = "uncompressed".into();
    plain.samples = (0..3000_u32)
        .map(|n| (u64::from(n) * 1000, f64::from(n) / 3.0))
        .collect();
    source.put("ts:plain", Value::Series(plain), None);
    source.put("string", Value::Text(b"text".to_vec()), None);
    source.put("string:expires", Value::Text(b"text".to_vec()), Some(FAR));
    source
}

fn replicate(source: &Side, target: &str) -> Riot {
    riot(["replicate", &source.uri(), target, "--report", "json"])
}

fn copied(words: &[&str]) -> (Side, Side, Output) {
    let (source, target) = (
        Side::start(source()),
        Side::start(Modules::new("target", &ALL)),
    );
    let output = replicate(&source, &target.uri()).words(words).run();
    (source, target, output)
}

#[track_caller]
fn assert_same(source: &Side, target: &Side) {
    let (wanted, found) = (source.keys(), target.keys());
    let names = |keys: &BTreeMap<Vec<u8>, Held>| -> Vec<String> {
        keys.keys()
            .map(|key| key.escape_ascii().to_string())
            .collect()
    };
    assert_eq!(names(&wanted), names(&found));
    for (key, held) in wanted {
        let other = &found[&key];
        assert_eq!(held.expiry, other.expiry, "{}", key.escape_ascii());
        let same = match (&held.value, &other.value) {
            (Value::Series(one), Value::Series(two)) => {
                let bits = |series: &Series| -> Vec<(u64, u64)> {
                    let samples = series.samples.iter();
                    samples
                        .map(|(time, value)| (*time, value.to_bits()))
                        .collect()
                };
                assert_eq!(one.labels, two.labels, "{}", key.escape_ascii());
                assert_eq!(one.retention, two.retention, "{}", key.escape_ascii());
                bits(one) == bits(two)
            }
            (one, two) => one == two,
        };
        assert!(same, "{}", key.escape_ascii());
    }
}

#[test]
fn documents_and_series_arrive_whether_their_payloads_are_refused_or_not_tried() {
    for words in [&["--type", "struct"][..], &[], &["--type", "dump"]] {
        let (source, target, output) = copied(words);
        let output = output.exits(0);
        assert_same(&source, &target);
        assert_eq!(count(&output, "failed"), 0, "{output}");
        if !words.contains(&"struct") {
            assert!(target.called("RESTORE"), "{output}");
        }
        assert!(count(&output, "by_type") >= 12, "{output}");
    }
}

#[test]
fn what_the_target_has_under_the_names_is_replaced() {
    let (source, target) = (
        Side::start(source()),
        Side::start(Modules::new("target", &ALL)),
    );
    {
        let mut state = target.fake.state.lock().unwrap();
        let mut older = series();
        older.samples.insert(77, 7.0);
        older.labels.push((b"older".to_vec(), b"label".to_vec()));
        state.put("ts:1", Value::Series(older), None);
        state.put("ts:plain", Value::Json(b"{}".to_vec()), Some(FAR));
        state.put("ts:empty", Value::Series(series()), Some(FAR));
        state.put("doc:1", Value::Json(b"{\"older\":1}".to_vec()), Some(FAR));
        state.put("doc:2", Value::Series(series()), None);
        state.put("doc:3", Value::Text(b"older".to_vec()), None);
        state.put("string", Value::Json(b"1".to_vec()), Some(FAR));
    }
    replicate(&source, &target.uri())
        .words(["--type", "struct"])
        .run()
        .exits(0);
    assert_same(&source, &target);
}

#[test]
fn a_large_series_goes_in_chunks_and_nobody_sees_half_of_it() {
    let mut modules = Modules::new("source", &ALL);
    let mut large = series();
    large.retention = 0;
    large.samples = (0..120_000_u32)
        .map(|n| (u64::from(n) * 10, f64::from(n) / 7.0))
        .collect();
    modules.put("{tag}large", Value::Series(large), Some(FAR));
    let source = Side::start(modules);
    let target = Side::start(Modules::new("target", &ALL));
    let older = Value::Series(series());
    target
        .fake
        .state
        .lock()
        .unwrap()
        .put("{tag}large", older, None);
    let output = replicate(&source, &target.uri())
        .words(["--big-key", "100KB"])
        .run()
        .exits(0);
    assert_same(&source, &target);
    assert_eq!(count(&output, "in_chunks"), 1, "{output}");
    let longest = source.fake.state.lock().unwrap().longest;
    assert!(longest < 3 << 19, "an answer of {longest} bytes\n{output}");
    let state = target.fake.state.lock().unwrap();
    assert_eq!(state.sizes[b"{tag}large".as_slice()], [120_000], "{output}");
}

/// The lines that name keys which were not copied, by key.
fn not_copied(output: &Output) -> BTreeMap<String, String> {
    let lines = output.stderr.lines().filter_map(|line| {
        let (_, rest) = line.split_once("not copied: ")?;
        let (key, why) = rest.split_once(": ")?;
        Some((key.to_owned(), why.to_owned()))
    });
    lines.collect()
}

/// The documents and the series fail by name, with their module; everything else arrives.
#[track_caller]
fn fails(output: Output, documents: bool, series: bool) {
    let output = output.exits(1);
    let failed = not_copied(&output);
    let mut wanted = 0;
    for (prefix, fails, module) in [("doc:", documents, "json"), ("ts:", series, "timeseries")] {
        let mut found = failed.iter().filter(|(key, _)| key.starts_with(prefix));
        if fails {
            for (key, why) in found.by_ref() {
                let why = why.to_lowercase();
                assert!(why.contains(module), "{key}: {why}\n{output}");
            }
            wanted += if documents && prefix == "doc:" { 9 } else { 3 };
        } else {
            assert!(found.next().is_none(), "{output}");
        }
    }
    assert_eq!(count(&output, "failed"), wanted, "{output}");
    assert_eq!(failed.len() as u64, wanted, "{output}");
    assert_eq!(count(&output, "written"), 14 - wanted, "{output}");
}

#[test]
fn a_target_without_the_modules_is_named_for_each_key() {
    for version in [Version::Redis80, Version::Redis70, Version::Valkey81] {
        for words in [&[][..], &["--type", "struct"], &["--big-key", "100KB"]] {
            let source = Side::start(source());
            let target = Server::start(version);
            let output = replicate(&source, &target.uri()).words(words).run();
            fails(output, true, true);
            assert_eq!(target.keys(0), 2);
            assert_eq!(target.run::<i64>("PEXPIRETIME string:expires"), FAR);
        }
    }
}

#[test]
fn a_target_without_one_of_the_modules() {
    for (has, documents, series) in [("JSON", false, true), ("TS", true, false)] {
        let source = Side::start(source());
        let target = Side::start(Modules::new("target", &[has]));
        let output = replicate(&source, &target.uri())
            .words(["--type", "struct"])
            .run();
        fails(output, documents, series);
        let names = target.keys();
        assert!(
            names
                .keys()
                .all(|key| !key.escape_ascii().to_string().contains("riot-tmp")),
            "{names:?}"
        );
    }
}

#[test]
fn a_type_that_nobody_has_commands_for_is_named() {
    let mut modules = source();
    modules.put("filter", Value::Foreign("MBbloom--"), None);
    let source = Side::start(modules);
    let target = Side::start(Modules::new("target", &ALL));
    let output = replicate(&source, &target.uri()).run().exits(1);
    let failed = not_copied(&output);
    assert_eq!(failed.len(), 1, "{output}");
    assert!(failed["filter"].contains("MBbloom--"), "{output}");
    assert_eq!(count(&output, "written"), 14, "{output}");
}

#[test]
fn documents_are_written_over_and_series_added_to_where_both_are_merged() {
    let (source, target) = (
        Side::start(source()),
        Side::start(Modules::new("target", &ALL)),
    );
    {
        let mut state = target.fake.state.lock().unwrap();
        let mut older = series();
        older.samples = [(3, 3.0), (77, 7.0)].into();
        state.put("ts:1", Value::Series(older), None);
        state.put("doc:1", Value::Json(b"{\"older\":1}".to_vec()), None);
    }
    replicate(&source, &target.uri())
        .words(["--type", "struct", "--merge"])
        .run()
        .exits(0);
    let keys = target.keys();
    assert_eq!(
        keys[b"doc:1".as_slice()].value,
        Value::Json(DOCUMENTS[1].into())
    );
    let Value::Series(merged) = &keys[b"ts:1".as_slice()].value else {
        panic!("{keys:?}");
    };
    let times: Vec<u64> = merged.samples.keys().copied().collect();
    assert_eq!(times, [0, 1, 3, 5, 77, 1_000, 99_999]);
}

#[test]
fn what_is_written_otherwise_is_the_same_and_what_is_another_differs() {
    let (source, target, output) = copied(&["--type", "struct"]);
    output.exits(0);
    let compare = || {
        riot(["compare", &source.uri(), &target.uri(), "--rounds", "1"])
            .words(["--show-diffs"])
            .run()
    };
    {
        let mut state = target.fake.state.lock().unwrap();
        let other = "{ \"a\": [true, null, {\"deep\": [[]]}], \"\": \"\", \"b\": 1 }";
        state.put("doc:0", Value::Json(other.into()), Some(FAR));
        state.put("doc:6", Value::Json(b"-5e-1".to_vec()), Some(FAR + 6));
        let mut labels = series();
        labels.labels.reverse();
        labels.chunk_size = 48;
        state.put("ts:1", Value::Series(labels), Some(FAR));
    }
    compare().exits(0).prints(super::EQUAL);
    {
        let mut state = target.fake.state.lock().unwrap();
        let other =
            b"{\"number\":12345678901234567891,\"float\":0.1,\"large\":1e300,\"small\":-5e-324}";
        state.put("doc:1", Value::Json(other.to_vec()), None);
        let mut empty = Series::with(&[]).unwrap();
        empty.samples.insert(1, 1.0);
        state.put("ts:empty", Value::Series(empty), None);
        let Some(Held {
            value: Value::Series(plain),
            ..
        }) = state.keys.get_mut(b"ts:plain".as_slice())
        else {
            panic!("ts:plain is no series");
        };
        plain.samples.insert(2_999_000, 999.7);
        let mut labels = series();
        labels.labels.pop();
        state.put("ts:1", Value::Series(labels), Some(FAR));
    }
    let output = compare();
    for key in [
        "value ReJSON-RL doc:1",
        "value TSDB-TYPE ts:1",
        "value TSDB-TYPE ts:empty",
        "value TSDB-TYPE ts:plain",
    ] {
        assert!(output.stdout.contains(key), "{key}\n{output}");
    }
    assert!(output.stdout.contains("4 value"), "{output}");
}
