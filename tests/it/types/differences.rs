//! Every difference of every type is named, and only that.

use std::time::Duration;

use riot::config::Resp;
use riot::stats::DifferenceKind;
use riot::types::{Terms, Verdict};

use super::{ROOMY, ask, base, doubts, endpoint, missing, pair, tell, terms, value, verdicts};
use crate::data;
use crate::servers::Version;
use crate::wait;

/// Differences of one kind each, made at one side of two keys that were the same.
const DIFFERENCES: &[(&str, &[&str])] = &[
    ("string", &["SETRANGE K 2999 x"]),
    ("string", &["SETRANGE K 0 B"]),
    ("string", &["APPEND K x"]),
    ("string", &["SET K "]),
    ("hash", &["HSET K f7 other"]),
    ("hash", &["HDEL K f399"]),
    ("hash", &["HSET K extra x"]),
    ("hash", &["HDEL K f7", "HSET K extra v7"]),
    ("list", &["LSET K 399 x"]),
    ("list", &["LPOP K", "LPOP K", "LPUSH K e0", "LPUSH K e1"]),
    ("list", &["RPOP K"]),
    ("list", &["LPOP K", "RPUSH K e0"]),
    ("set", &["SREM K m7"]),
    ("set", &["SADD K other"]),
    ("set", &["SREM K m7", "SADD K other"]),
    ("zset", &["ZADD K 3.0000000000000004 m3"]),
    ("zset", &["ZADD K inf m399"]),
    ("zset", &["ZREM K m7"]),
    ("zset", &["ZREM K m7", "ZADD K 7 m7x"]),
    ("stream", &["XADD K 201-0 field v"]),
    ("stream", &["XDEL K 7-0"]),
    ("stream", &["XSETID K 999-0"]),
    ("stream", &["XGROUP SETID K late 5-0"]),
    ("stream", &["XGROUP CREATE K third 0"]),
    ("stream", &["XGROUP DESTROY K late"]),
    (
        "stream",
        &["XGROUP DESTROY K late", "XGROUP CREATE K lately $"],
    ),
    ("stream", &["XACK K readers 1-0"]),
    ("stream", &["XCLAIM K readers bob 0 3-0 RETRYCOUNT 1"]),
    ("stream", &["XCLAIM K readers ann 0 20-0 RETRYCOUNT 9"]),
];

/// The same for servers since 7.0.
const NEWER: &[(&str, &[&str])] = &[
    ("stream", &["XGROUP SETID K late 200-0 ENTRIESREAD 7"]),
    (
        "stream",
        &["XSETID K 200-0 ENTRIESADDED 999 MAXDELETEDID 0-0"],
    ),
    (
        "stream",
        &["XSETID K 200-0 ENTRIESADDED 200 MAXDELETEDID 5-0"],
    ),
    ("stream", &["XGROUP CREATECONSUMER K readers idle"]),
];

#[test]
fn each_difference_of_each_type_is_named() {
    for version in [Version::Redis60, Version::Redis80, Version::Valkey81] {
        let (source, target) = pair(version, version);
        let (mut to_source, mut to_target) = (source.connection(), target.connection());
        let newer = if version.since_70() { NEWER } else { &[] };
        let mut names: Vec<Vec<u8>> = Vec::new();
        let mut expected = Vec::new();
        let mut cases: Vec<(&str, &[&str])> = [DIFFERENCES, newer].concat();
        cases.extend(
            ["string", "hash", "list", "set", "zset", "stream"].map(|kind| (kind, [].as_slice())),
        );
        for (number, (kind, commands)) in cases.iter().enumerate() {
            let name = format!("{kind}:{number}");
            let base = base(kind);
            let base: Vec<&str> = base.iter().map(String::as_str).collect();
            tell(&mut to_source, &name, &base);
            tell(&mut to_target, &name, &base);
            expected.push(if commands.is_empty() {
                Verdict::Equal
            } else {
                tell(&mut to_target, &name, commands);
                value(kind)
            });
            names.push(name.into_bytes());
        }
        for (source, target) in [(&source, &target), (&target, &source)] {
            let found = verdicts(source, target, &names, &terms(source, target));
            for ((case, found), expected) in cases.iter().zip(&found).zip(&expected) {
                assert_eq!(found, expected, "{case:?} on {version:?}");
            }
        }
    }
}

#[test]
fn entries_differ_by_fields_values_and_ids() {
    let (source, target) = pair(Version::Redis70, Version::Redis70);
    let cases = [
        ("same", "1-1 a b", "1-1 a b", true, true),
        ("value", "1-1 a b", "1-1 a c", false, false),
        ("field", "1-1 a b", "1-1 b b", false, false),
        ("more", "1-1 a b", "1-1 a b a b", false, false),
        ("order", "1-1 a b c d", "1-1 c d a b", false, false),
        ("id", "1-1 a b", "1-2 a b", false, true),
    ];
    for (name, ours, theirs, ..) in cases {
        for (server, entry) in [(&source, ours), (&target, theirs)] {
            // The same last id: what is left is the entry.
            for n in 0..50 {
                server.tell(&format!("XADD {name} 0-{} before x{n}", n + 1));
            }
            server.tell(&format!("XADD {name} {entry}"));
            server.tell(&format!("XADD {name} 9-9 last one"));
        }
    }
    let names: Vec<Vec<u8>> = cases.iter().map(|case| case.0.into()).collect();
    let with_ids = terms(&source, &target);
    let without_ids = Terms {
        message_ids: false,
        ..with_ids.clone()
    };
    let exact = verdicts(&source, &target, &names, &with_ids);
    let loose = verdicts(&source, &target, &names, &without_ids);
    for ((case, exact), loose) in cases.iter().zip(exact).zip(loose) {
        let as_verdict = |equal: bool| {
            if equal {
                Verdict::Equal
            } else {
                value("stream")
            }
        };
        assert_eq!(exact, as_verdict(case.3), "{case:?}");
        assert_eq!(loose, as_verdict(case.4), "{case:?} without ids");
    }
}

#[test]
fn without_ids_groups_count_by_their_names() {
    let (source, target) = pair(Version::Redis70, Version::Redis70);
    for (server, start) in [(&source, 1), (&target, 1000)] {
        for name in ["positions", "names"] {
            for n in 0..30 {
                server.tell(&format!("XADD {name} {}-0 n {n}", start + n));
            }
            server.tell(&format!("XGROUP CREATE {name} one 0"));
        }
    }
    source.tell("XREADGROUP GROUP one ann COUNT 3 STREAMS positions >");
    target.tell("XGROUP CREATE names two 0");
    let terms = Terms {
        message_ids: false,
        ..terms(&source, &target)
    };
    let names = [b"positions".to_vec(), b"names".to_vec()];
    assert_eq!(
        verdicts(&source, &target, &names, &terms),
        [Verdict::Equal, value("stream")]
    );
}

#[test]
fn missing_comes_before_type_before_value_before_expiry() {
    for (from, to) in [
        (Version::Redis60, Version::Redis80),
        (Version::Redis80, Version::Redis60),
    ] {
        let (source, target) = pair(from, to);
        for command in [
            "SET missing x",
            "SET type x",
            "SET value x",
            "SET ttl x",
            "SET persists x",
            "SET same x",
            "PEXPIREAT same 4102444800123",
            "PEXPIREAT ttl 4102444800123",
            "PEXPIREAT value 4102444800123",
        ] {
            source.tell(command);
        }
        for command in [
            "RPUSH type x",
            "SET value y",
            "SET ttl x",
            "SET persists x",
            "PEXPIREAT persists 4102444800123",
            "SET same x",
            "PEXPIREAT same 4102444800103",
            "SET nowhere x",
        ] {
            target.tell(command);
        }
        let names = [
            "nowhere", "missing", "type", "value", "same", "ttl", "persists",
        ]
        .map(Vec::from);
        let terms = terms(&source, &target);
        let ends = (
            &endpoint(source.port(), Resp::Auto),
            &endpoint(target.port(), Resp::Auto),
        );
        let found = ask(ends, &doubts(&names, 1), &terms, ROOMY).unwrap();
        assert_eq!(
            found[..5],
            [
                Verdict::Gone,
                missing("string"),
                Verdict::Differs(DifferenceKind::Type {
                    expected: "string".into(),
                    found: "list".into()
                }),
                value("string"),
                Verdict::Equal,
            ]
        );
        let left = 4_102_444_800_123 - data::server_time(&mut target.connection());
        let near = |millis: i64| (millis - left).abs() < 60_000;
        assert!(
            matches!(found[5], Verdict::Differs(DifferenceKind::Ttl { expected, found: -1 }) if near(expected)),
            "{found:?}"
        );
        assert!(
            matches!(found[6], Verdict::Differs(DifferenceKind::Ttl { expected: -1, found }) if near(found)),
            "{found:?}"
        );
        let careless = Terms {
            expiry: false,
            ..terms
        };
        let found = ask(ends, &doubts(&names[4..], 1), &careless, ROOMY).unwrap();
        assert_eq!(found, [Verdict::Equal, Verdict::Equal, Verdict::Equal]);
    }
}

#[test]
fn an_empty_stream_is_missing_unless_streams_are_pruned() {
    let (source, target) = pair(Version::Redis60, Version::Redis70);
    source.tell("XGROUP CREATE empty group $ MKSTREAM");
    source.tell("XADD filled 1-1 a b");
    let names = ["empty", "filled"].map(Vec::from);
    let keeping = terms(&source, &target);
    assert_eq!(
        verdicts(&source, &target, &names, &keeping),
        [missing("stream"), missing("stream")]
    );
    let pruning = Terms {
        prune_streams: true,
        ..keeping
    };
    assert_eq!(
        verdicts(&source, &target, &names, &pruning),
        [Verdict::Equal, missing("stream")]
    );
}

#[test]
fn expiries_of_fields_count() {
    let (source, target) = pair(Version::Redis80, Version::Redis80);
    let mut connections = [source.connection(), target.connection()];
    let base = base("hash");
    let base: Vec<&str> = base.iter().map(String::as_str).collect();
    for name in ["near", "far", "none", "small"] {
        for connection in &mut connections {
            if name == "small" {
                tell(connection, name, &["HSET K f7 v", "HSET K f8 v"]);
            } else {
                tell(connection, name, &base);
            }
        }
    }
    let expire = "HPEXPIREAT K 4102444800123 FIELDS 1 f7";
    let [ours, theirs] = &mut connections;
    for name in ["near", "far", "none", "small"] {
        tell(ours, name, &[expire]);
    }
    tell(theirs, "near", &["HPEXPIREAT K 4102444800223 FIELDS 1 f7"]);
    tell(theirs, "far", &["HPEXPIREAT K 4102444801223 FIELDS 1 f7"]);
    tell(theirs, "small", &["HPEXPIREAT K 4102444800123 FIELDS 1 f8"]);
    let terms = Terms {
        tolerance: Duration::from_millis(100),
        ..terms(&source, &target)
    };
    let names = ["near", "far", "none", "small"].map(Vec::from);
    for (source, target) in [(&source, &target), (&target, &source)] {
        assert_eq!(
            verdicts(source, target, &names, &terms),
            [Verdict::Equal, value("hash"), value("hash"), value("hash")]
        );
        let careless = Terms {
            expiry: false,
            ..terms.clone()
        };
        assert_eq!(
            verdicts(source, target, &names, &careless),
            [const { Verdict::Equal }; 4]
        );
    }
}

#[test]
fn fields_that_have_expired_are_not_there_whatever_hlen_counts() {
    let (source, target) = pair(Version::Redis80, Version::Redis80);
    for server in [&source, &target] {
        server.tell("DEBUG SET-ACTIVE-EXPIRE 0");
    }
    let mut connections = [source.connection(), target.connection()];
    let base = base("hash");
    let base: Vec<&str> = base.iter().map(String::as_str).collect();
    let goes = "HPEXPIRE K 1 FIELDS 1 goes";
    for connection in &mut connections {
        for name in ["lags", "extra"] {
            tell(connection, name, &base);
        }
        tell(connection, "all", &["HSET K goes x"]);
    }
    let [ours, theirs] = &mut connections;
    for name in ["lags", "extra"] {
        tell(ours, name, &["HSET K goes x", goes]);
    }
    tell(ours, "all", &[goes]);
    tell(theirs, "extra", &["HSET K other x"]);
    wait::until("the fields have expired", || {
        let fields: Vec<String> = source.run("HKEYS all");
        let field: Option<String> = source.run("HGET lags goes");
        let other: Option<String> = source.run("HGET extra goes");
        (fields.is_empty() && field.is_none() && other.is_none()).then_some(())
    });
    assert_eq!(source.run::<u32>("EXISTS all"), 1);
    let names = ["lags", "extra", "all"].map(Vec::from);
    assert_eq!(
        verdicts(&source, &target, &names, &terms(&source, &target)),
        [Verdict::Equal, value("hash"), Verdict::Gone]
    );
    assert_eq!(
        verdicts(&target, &source, &names, &terms(&source, &target)),
        [Verdict::Equal, value("hash"), missing("hash")]
    );
}
