//! The comparison by types: equal values are equal in any encoding, every difference is named, whole or in chunks.

use std::time::{Duration, Instant};

use bytes::Bytes;
use redis::{Connection, Value};
use riot::config::{Address, Endpoint, Password, Resp, Side};
use riot::entry::Key;
use riot::error::Lost;
use riot::stats::DifferenceKind;
use riot::types::{Doubt, Terms, Verdict, compare};

use crate::data::{self, run};
use crate::proxy::{Direction, Proxy};
use crate::servers::{Server, Version};
use crate::wait;

/// More than any value here has: small values are read whole.
const ROOMY: usize = 64 << 20;
/// Less than any value here has: all are read in the smallest chunks.
const TIGHT: usize = 1;

fn endpoint(port: u16, resp: Resp) -> Endpoint {
    Endpoint {
        side: Side::Source,
        address: Address::Tcp {
            host: "127.0.0.1".into(),
            port,
        },
        tls: None,
        user: None,
        password: Password::None,
        database: 0,
        client_name: "riot".into(),
        resp,
        connect_timeout: Duration::from_secs(20),
        command_timeout: Duration::from_secs(60),
        pool: 8,
    }
}

fn terms(source: &Server, target: &Server) -> Terms {
    Terms {
        source_pexpiretime: source.version().since_70(),
        target_pexpiretime: target.version().since_70(),
        source_time: true,
        target_time: true,
        expiry: true,
        tolerance: Duration::from_secs(30),
        message_ids: true,
        prune_streams: false,
    }
}

fn doubts(keys: &[Vec<u8>], bytes: usize) -> Vec<Doubt> {
    let doubt = |name: &Vec<u8>| Doubt {
        key: Key::new(Bytes::from(name.clone()), name),
        target: Bytes::from(name.clone()),
        bytes,
    };
    keys.iter().map(doubt).collect()
}

fn ask(
    (source, target): (&Endpoint, &Endpoint),
    doubts: &[Doubt],
    terms: &Terms,
    budget: usize,
) -> Result<Vec<Verdict>, (Side, Lost)> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut source = riot::wire::connect(source).await.unwrap();
        let mut target = riot::wire::connect(target).await.unwrap();
        let verdicts = compare(&mut source, &mut target, doubts, terms, 0, budget).await;
        if verdicts.is_ok() {
            for connection in [&mut source, &mut target] {
                let pong = connection.request(&[b"PING"]).await.unwrap();
                assert_eq!(
                    pong.text().as_deref(),
                    Some("PONG"),
                    "answers are left over"
                );
            }
        }
        verdicts
    })
}

/// The verdicts on keys, which must be the same in both versions of RESP, whole and in chunks, of known and unknown size.
fn verdicts(source: &Server, target: &Server, keys: &[Vec<u8>], terms: &Terms) -> Vec<Verdict> {
    let mut found: Option<Vec<Verdict>> = None;
    for resp in [Resp::Two, Resp::Three] {
        let ends = (
            &endpoint(source.port(), resp),
            &endpoint(target.port(), resp),
        );
        for (bytes, budget) in [(100, ROOMY), (0, ROOMY), (10 << 20, TIGHT), (0, TIGHT)] {
            let now = ask(ends, &doubts(keys, bytes), terms, budget).unwrap();
            let before = found.get_or_insert_with(|| now.clone());
            for ((key, now), before) in keys.iter().zip(&now).zip(before.iter()) {
                assert_eq!(
                    now,
                    before,
                    "{} in {resp:?} with {bytes} bytes in {budget}",
                    key.escape_ascii()
                );
            }
        }
    }
    found.unwrap()
}

fn keys(server: &Server) -> Vec<Vec<u8>> {
    server.run("KEYS *")
}

fn assert_all_equal(source: &Server, target: &Server, keys: &[Vec<u8>]) {
    let found = verdicts(source, target, keys, &terms(source, target));
    for (key, verdict) in keys.iter().zip(found) {
        assert_eq!(verdict, Verdict::Equal, "{}", key.escape_ascii());
    }
}

fn value(kind: &str) -> Verdict {
    Verdict::Differs(DifferenceKind::Value {
        r#type: kind.into(),
    })
}

fn missing(kind: &str) -> Verdict {
    Verdict::Differs(DifferenceKind::Missing {
        r#type: kind.into(),
    })
}

fn pair(source: Version, target: Version) -> (Server, Server) {
    (Server::start(source), Server::start(target))
}

/// A server that holds every collection in its large encoding.
fn expanded(version: Version) -> Server {
    let server = Server::start(version);
    let settings = if version == Version::Redis60 {
        ["hash-max-ziplist-entries", "zset-max-ziplist-entries"]
    } else {
        ["hash-max-listpack-entries", "zset-max-listpack-entries"]
    };
    for setting in settings {
        server.tell(&format!("CONFIG SET {setting} 0"));
    }
    server.tell("CONFIG SET set-max-intset-entries 0");
    server.tell("CONFIG SET stream-node-max-entries 3");
    let list = if version == Version::Redis60 {
        "list-max-ziplist-size"
    } else {
        "list-max-listpack-size"
    };
    server.tell(&format!("CONFIG SET {list} 2"));
    if !matches!(version, Version::Redis60 | Version::Redis70) {
        server.tell("CONFIG SET set-max-listpack-entries 0");
    }
    server
}

#[test]
fn equal_values_are_equal_in_any_encoding() {
    for version in [Version::Redis70, Version::Redis80, Version::Valkey81] {
        let (source, target) = (Server::start(version), expanded(version));
        for server in [&source, &target] {
            data::fill_every_type(server, 0);
        }
        for key in ["hash:small", "set:intset", "zset:small"] {
            let encoding = format!("OBJECT ENCODING {key}");
            let (one, other): (String, String) = (source.run(&encoding), target.run(&encoding));
            assert_ne!(one, other, "{key} on {version:?}");
        }
        let keys = keys(&source);
        assert!(keys.len() > 80);
        assert_all_equal(&source, &target, &keys);
        assert_all_equal(&target, &source, &keys);
    }
}

#[test]
fn equal_values_are_equal_across_versions() {
    for (source, target) in [
        (Version::Redis60, Version::Redis80),
        (Version::Redis70, Version::Valkey81),
    ] {
        let (source, target) = pair(source, target);
        for server in [&source, &target] {
            data::fill_every_type(server, 0);
            server.tell("DEL hash:field-expiry");
        }
        if !source.version().since_70() {
            let mut c = target.connection();
            run!(c, "XGROUP", "DESTROY", "stream:large", "counted");
            run!(
                c,
                "XGROUP",
                "DELCONSUMER",
                "stream:large",
                "readers",
                "idle consumer"
            );
        }
        let keys = keys(&source);
        assert_all_equal(&source, &target, &keys);
        assert_all_equal(&target, &source, &keys);
    }
}

/// Runs commands in which `K` stands for the key.
fn tell(connection: &mut Connection, key: &str, commands: &[&str]) {
    let mut pipe = redis::pipe();
    for command in commands {
        let mut words = command.split(' ');
        pipe.cmd(words.next().unwrap());
        for word in words {
            pipe.arg(if word == "K" { key } else { word });
        }
    }
    let answers: redis::RedisResult<Vec<Value>> = pipe.query(connection);
    answers.unwrap_or_else(|error| panic!("{commands:?}: {error}"));
}

/// What each type begins with: enough elements for many chunks.
fn base(kind: &str) -> Vec<String> {
    let row = |command: &str, element: &dyn Fn(u32) -> String| {
        let elements: Vec<String> = (0..400).map(element).collect();
        vec![format!("{command} K {}", elements.join(" "))]
    };
    match kind {
        "string" => vec!["SETRANGE K 3000 end".into(), "SETRANGE K 0 begin".into()],
        "hash" => row("HSET", &|n| format!("f{n} v{n}")),
        "list" => row("RPUSH", &|n| format!("e{n}")),
        "set" => row("SADD", &|n| format!("m{n}")),
        "zset" => row("ZADD", &|n| format!("{n} m{n}")),
        "stream" => {
            let mut commands: Vec<String> = (1..=200)
                .map(|n| format!("XADD K {n}-0 field v{n} other x"))
                .collect();
            commands.extend(
                [
                    "XGROUP CREATE K readers 0",
                    "XGROUP CREATE K late $",
                    "XREADGROUP GROUP readers ann COUNT 20 STREAMS K >",
                    "XREADGROUP GROUP readers bob COUNT 5 STREAMS K >",
                ]
                .map(String::from),
            );
            commands
        }
        other => panic!("no base for {other}"),
    }
}

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
fn a_count_that_pfcount_cached_is_no_difference() {
    let (source, target) = pair(Version::Redis70, Version::Redis70);
    for server in [&source, &target] {
        for name in ["counted", "added"] {
            let words: Vec<String> = (0..2000).map(|n| n.to_string()).collect();
            server.tell(&format!("PFADD {name} {}", words.join(" ")));
        }
    }
    source.tell("PFCOUNT counted");
    target.tell("PFADD added another-one");
    let one: Vec<u8> = source.run("GET counted");
    let other: Vec<u8> = target.run("GET counted");
    assert_ne!(one, other);
    let names = ["counted", "added"].map(Vec::from);
    assert_eq!(
        verdicts(&source, &target, &names, &terms(&source, &target)),
        [Verdict::Equal, value("string")]
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

#[test]
fn an_error_on_one_key_is_that_keys_alone() {
    let source = Server::start(Version::Redis70);
    let target = Server::with(Version::Redis70)
        .acl("user default on nopass ~* &* +@all\nuser app on >secret ~open:* &* +@all\n")
        .start();
    for server in [&source, &target] {
        server.tell("SET open:1 x");
        server.tell("SET closed x");
        server.tell("RPUSH open:2 a b");
    }
    let mut limited = endpoint(target.port(), Resp::Auto);
    limited.user = Some("app".into());
    limited.password = Password::Fixed("secret".into());
    let names = ["open:1", "closed", "open:2"].map(Vec::from);
    let found = ask(
        (&endpoint(source.port(), Resp::Auto), &limited),
        &doubts(&names, 1),
        &terms(&source, &target),
        ROOMY,
    )
    .unwrap();
    assert_eq!((&found[0], &found[2]), (&Verdict::Equal, &Verdict::Equal));
    assert!(
        matches!(&found[1], Verdict::Failed(Side::Target, error) if error.starts_with("NOPERM")),
        "{found:?}"
    );
}

#[test]
fn a_server_that_cannot_answer_now_is_an_error_of_its_side() {
    let (source, target) = pair(Version::Redis70, Version::Redis70);
    for server in [&source, &target] {
        server.tell("SET key x");
    }
    let ends = (
        &endpoint(source.port(), Resp::Auto),
        &endpoint(target.port(), Resp::Auto),
    );
    target.tell("CONFIG SET replica-serve-stale-data no");
    target.tell("REPLICAOF 127.0.0.1 1");
    let (side, lost) = ask(
        ends,
        &doubts(&[b"key".to_vec()], 1),
        &terms(&source, &target),
        ROOMY,
    )
    .unwrap_err();
    assert_eq!(side, Side::Target);
    assert!(lost.to_string().contains("MASTERDOWN"), "{lost}");
}

#[test]
fn a_batch_takes_few_round_trips() {
    let (source, target) = pair(Version::Redis70, Version::Redis70);
    for server in [&source, &target] {
        data::fill_mixed(server, "mixed:", 400);
    }
    let names = keys(&source);
    let (to_source, to_target) = (Proxy::to(&source.address()), Proxy::to(&target.address()));
    for proxy in [&to_source, &to_target] {
        proxy.delay(Direction::Up, Duration::from_millis(100));
    }
    let port = |proxy: &Proxy| proxy.address().rsplit(':').next().unwrap().parse().unwrap();
    let ends = (
        &endpoint(port(&to_source), Resp::Auto),
        &endpoint(port(&to_target), Resp::Auto),
    );
    let started = Instant::now();
    let found = ask(ends, &doubts(&names, 200), &terms(&source, &target), ROOMY).unwrap();
    let took = started.elapsed();
    assert!(
        found.iter().all(|verdict| *verdict == Verdict::Equal),
        "{found:?}"
    );
    // One round trip a key would be 40 s.
    assert!(took < Duration::from_secs(4), "{took:?}");
}
