//! The comparison by types: equal values are equal in any encoding, whole or in chunks, in both versions of RESP.

mod chunks;
mod differences;

use std::time::Duration;

use bytes::Bytes;
use redis::{Connection, Value};
use riot::config::{Address, Endpoint, Password, Resp, Side};
use riot::entry::Key;
use riot::error::Lost;
use riot::stats::DifferenceKind;
use riot::types::{Doubt, Terms, Verdict, compare};

use crate::data::{self, run};
use crate::servers::{Server, Version};

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
        cluster: false,
        read_from: riot::config::ReadFrom::Upstream,
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
        for key in ["hash:empty", "set:intset", "zset:small"] {
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
