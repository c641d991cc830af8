//! Which keys are taken, and under which names they arrive.

use std::collections::BTreeSet;

use crate::data::{self, Body, Bytes, Snapshot, run};
use crate::riot::{Output, replicate};
use crate::servers::{Server, Version};

/// A server with `a:0` … `a:N` and `b:0` … of all types.
fn filled() -> Server {
    let server = Server::start(Version::Redis70);
    data::fill_mixed(&server, "a:", 400);
    data::fill_mixed(&server, "b:", 400);
    data::fill_every_type(&server, 0);
    server
}

/// Runs with these words into an empty target, and expects the keys that `wanted` takes, as they are.
fn takes(words: &[&str], wanted: impl Fn(&Bytes, &Body) -> bool) -> Output {
    let (source, target) = (filled(), Server::start(Version::Redis70));
    let output = replicate(&source, &target).words(words).run().exits(0);
    let expected: Snapshot = data::snapshot(&source, 0)
        .into_iter()
        .filter(|(key, value)| wanted(key, &value.body))
        .collect();
    data::assert_snapshots(&expected, &data::snapshot(&target, 0), 0);
    assert_eq!(output.counts().written, expected.len() as u64, "{output}");
    output.prints("0 missing, 0 type, 0 value, 0 ttl")
}

#[test]
fn keys_by_scan_pattern() {
    takes(&["--key-pattern", "a:1*"], |key, _| {
        key.0.starts_with(b"a:1")
    });
    takes(&["--scan-match", "?:7"], |key, _| {
        matches!(key.0.as_slice(), b"a:7" | b"b:7")
    });
}

#[test]
fn keys_by_type() {
    takes(&["--key-type", "hash"], |_, body| {
        matches!(body, Body::Hash(_))
    });
    takes(&["--scan-type", "STRING"], |_, body| {
        matches!(body, Body::Text(_))
    });
    takes(
        &["--key-type", "stream", "--key-pattern", "b:*"],
        |key, body| key.0.starts_with(b"b:") && matches!(body, Body::Stream(_)),
    );
}

#[test]
fn keys_by_regular_expressions_that_match_the_whole_name() {
    takes(&["--key-include=a:\\d", "--type", "auto"], |key, _| {
        key.0.len() == 3 && key.0.starts_with(b"a:")
    });
    takes(
        &["--key-include=[ab]:.*", "--key-exclude=.*[05]"],
        |key, _| {
            (key.0.starts_with(b"a:") || key.0.starts_with(b"b:"))
                && !matches!(key.0.last(), Some(b'0' | b'5'))
        },
    );
    takes(&["--key-include=a:1", "--key-include=b:2"], |key, _| {
        matches!(key.0.as_slice(), b"a:1" | b"b:2")
    });
    // Bytes that are no text.
    takes(&["--key-include=(?s-u:invalid .*\\xff.*)"], |key, _| {
        key.0.starts_with(b"invalid \xff")
    });
}

#[test]
fn keys_by_globs_where_riot_4_took_them() {
    takes(&["--key-include=a:*"], |key, _| key.0.starts_with(b"a:"))
        .says("a:*")
        .says("glob");
    takes(&["--key-include=glob:b:1?"], |key, _| {
        key.0.len() == 4 && key.0.starts_with(b"b:1")
    });
    takes(&["--key-exclude=re:[^a].*|"], |key, _| {
        key.0.first() == Some(&b'a')
    });
}

#[test]
fn several_words_after_one_option_end_before_the_addresses() {
    let (source, target) = (filled(), Server::start(Version::Redis70));
    let words = [
        "replicate",
        "--key-include",
        "a:1",
        "a:2",
        "b:3",
        &source.uri(),
        &target.uri(),
    ];
    crate::riot::riot(words).run().exits(0);
    let found: Vec<Bytes> = data::snapshot(&target, 0).into_keys().collect();
    assert_eq!(
        found,
        [
            Bytes(b"a:1".to_vec()),
            Bytes(b"a:2".to_vec()),
            Bytes(b"b:3".to_vec())
        ]
    );
}

/// The slot of each key, as the server computes it.
fn slots(keys: impl Iterator<Item = Bytes>) -> Vec<(Bytes, u16)> {
    let cluster = Server::with(Version::Redis70)
        .arguments(["--cluster-enabled", "yes"])
        .start();
    let mut c = cluster.connection();
    keys.map(|key| {
        let slot: u16 = redis::cmd("CLUSTER")
            .arg("KEYSLOT")
            .arg(&key.0)
            .query(&mut c)
            .unwrap();
        (key, slot)
    })
    .collect()
}

#[test]
fn keys_by_slots() {
    let (source, target) = (filled(), Server::start(Version::Redis70));
    replicate(&source, &target)
        .words(["--key-slots=0:100", "--key-slots=5000-9000"])
        .run()
        .exits(0);
    let wanted: BTreeSet<Bytes> = slots(data::snapshot(&source, 0).into_keys())
        .into_iter()
        .filter(|(_, slot)| *slot <= 100 || (5000..=9000).contains(slot))
        .map(|(key, _)| key)
        .collect();
    assert!(!wanted.is_empty());
    assert_eq!(
        data::snapshot(&target, 0)
            .into_keys()
            .collect::<BTreeSet<_>>(),
        wanted
    );
}

#[test]
fn shards_are_apart_and_together_everything() {
    let source = filled();
    let mut together = Snapshot::new();
    for shard in ["1/3", "2/3", "3/3"] {
        let target = Server::start(Version::Redis70);
        replicate(&source, &target)
            .words(["--shard", shard])
            .run()
            .exits(0);
        let part = data::snapshot(&target, 0);
        assert!(
            part.keys().all(|key| !together.contains_key(key)),
            "{shard} has keys of another shard"
        );
        assert!(part.len() > 200, "{shard} has {} keys", part.len());
        together.extend(part);
    }
    data::assert_snapshots(&data::snapshot(&source, 0), &together, 0);
}

#[test]
fn keys_over_a_size_are_skipped_counted_and_named() {
    let (source, target) = (
        Server::start(Version::Redis70),
        Server::start(Version::Redis70),
    );
    data::fill_mixed(&source, "small:", 800);
    let mut c = source.connection();
    run!(c, "SET", "large:string", data::text(1, 100_000));
    run!(c, "RPUSH", "large:list", data::text(2, 100_000));
    let output = replicate(&source, &target)
        .words(["--mem-limit", "50KB", "--mem-samples", "0"])
        .run()
        .exits(0);
    let counts = output.counts();
    assert_eq!((counts.written, counts.skipped), (800, 2), "{output}");
    let expected = data::snapshot(&source, 0)
        .into_iter()
        .filter(|(key, _)| key.0.starts_with(b"small:"))
        .collect();
    data::assert_snapshots(&expected, &data::snapshot(&target, 0), 0);
    output.says("large:string").says("large:list");
}

#[test]
fn names_by_a_template() {
    let (source, target) = (
        Server::start(Version::Redis70),
        Server::start(Version::Redis70),
    );
    data::fill_every_type(&source, 3);
    let template = "#{#source.database}>#{#target.database}:#{type}:#{key}:end";
    replicate(&source, &target)
        .words([
            "--source-db",
            "3",
            "--target-db",
            "4",
            "--key-process",
            template,
        ])
        .run()
        .exits(0)
        .prints("0 missing, 0 type, 0 value, 0 ttl");
    let expected: Snapshot = data::snapshot(&source, 3)
        .into_iter()
        .map(|(key, value)| {
            let kind = match &value.body {
                Body::Text(_) => "string",
                Body::List(_) => "list",
                Body::Set(_) => "set",
                Body::Hash(_) => "hash",
                Body::SortedSet(_) => "zset",
                Body::Stream(_) => "stream",
                Body::Vectors(_) => "vectorset",
                Body::Other(kind, _) => kind,
            };
            (
                Bytes([format!("3>4:{kind}:").as_bytes(), &key.0, b":end"].concat()),
                value,
            )
        })
        .collect();
    data::assert_snapshots(&expected, &data::snapshot(&target, 4), 0);
}

#[test]
fn names_by_a_regular_expression() {
    let (source, target) = (filled(), Server::start(Version::Redis70));
    replicate(&source, &target)
        .words([
            "--key-include=[ab]:.*",
            "--key-replace",
            "^(.):(\\d+)$=>$2/$1",
        ])
        .run()
        .exits(0)
        .prints("0 missing, 0 type, 0 value, 0 ttl");
    let expected: Snapshot = data::snapshot(&source, 0)
        .into_iter()
        .filter(|(key, _)| key.0.get(1) == Some(&b':') && matches!(key.0[0], b'a' | b'b'))
        .map(|(key, value)| (Bytes([&key.0[2..], b"/", &key.0[..1]].concat()), value))
        .collect();
    assert_eq!(expected.len(), 800);
    data::assert_snapshots(&expected, &data::snapshot(&target, 0), 0);
}

#[test]
fn a_dry_run_reads_and_writes_nothing() {
    let (source, target) = (filled(), Server::start(Version::Redis70));
    target.tell("SET a:0 stays");
    let output = replicate(&source, &target).word("--dry-run").run();
    let reads = source.calls("mget") + source.calls("get") + source.calls("dump");
    assert!(reads > 0, "nothing was read\n{output}");
    assert_eq!(
        (target.keys(0), target.run::<String>("GET a:0").as_str()),
        (1, "stays")
    );
    let written: u64 = ["set", "mset", "restore", "del", "unlink", "pexpireat"]
        .iter()
        .map(|name| target.calls(name))
        .sum();
    // The one SET is this test's own.
    assert_eq!(written, 1, "{output}");
}

#[test]
fn every_key_is_logged_where_asked() {
    let (source, target) = (
        Server::start(Version::Redis70),
        Server::start(Version::Redis70),
    );
    data::fill_mixed(&source, "mixed:", 16);
    source.run::<()>("SET line\r\nbreak x");
    let output = replicate(&source, &target)
        .words(["--log-keys", "-i"])
        .run()
        .exits(0);
    for number in 0..16 {
        let name = format!("mixed:{number}");
        let lines = output
            .stderr
            .lines()
            .filter(|line| line.split_whitespace().any(|word| word.contains(&name)));
        assert!(
            lines.count() >= 2,
            "{name} is not logged as read and as written\n{output}"
        );
    }
    // A name cannot forge a line.
    output.says("line\\x0d\\x0abreak");
}
