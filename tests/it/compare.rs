//! The full comparison: every kind of difference in every type, named exactly; and what is no difference.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::data::{self, run};
use crate::riot::{Output, compare_full, replicate, riot};
use crate::servers::{Server, Version};
use crate::size::size;

const EQUAL: &str = "0 missing, 0 type, 0 value, 0 ttl";

/// Keys of every type, the same by the same commands on every server.
const KEYS: &[&str] = &[
    "SET string:value one",
    "SET string:longer one",
    "SET string:int 42",
    "SET string:ttl x PX 4000000",
    "SET string:forever x",
    "SET string:type x",
    "SET string:missing x",
    "PFADD log:same a b c",
    "PFADD log:other a b c",
    "SETBIT bits 1000 1",
    "HSET hash:value a 1 b 2 c 3",
    "HSET hash:field a 1 b 2 c 3",
    "HSET hash:less a 1 b 2 c 3",
    "HSET hash:order a 1 b 2 c 3",
    "HSET hash:missing a 1",
    "RPUSH list:value a b c d",
    "RPUSH list:order a b c d",
    "RPUSH list:shorter a b c d",
    "SADD set:member a b c",
    "SADD set:ints 1 2 3",
    "SADD set:less a b c",
    "SADD set:order 1 2 3 x",
    "ZADD zset:score 1 a 2 b 3.5 c",
    "ZADD zset:bit 0.1 a",
    "ZADD zset:inf inf a -inf b",
    "ZADD zset:member 1 a 2 b",
    "GEOADD geo 13.361389 38.115556 Palermo",
    "XADD stream:field 1-1 a 1 b 2",
    "XADD stream:id 1-1 a 1",
    "XADD stream:more 1-1 a 1",
    "XADD stream:last 1-1 a 1",
    "XADD stream:group 1-1 a 1",
    "XGROUP CREATE stream:group g 0",
    "XADD stream:position 1-1 a 1",
    "XADD stream:position 2-1 a 1",
    "XGROUP CREATE stream:position g 0",
    "XADD stream:owner 1-1 a 1",
    "XGROUP CREATE stream:owner g 0",
    "XREADGROUP GROUP g alice STREAMS stream:owner >",
    "XADD stream:deliveries 1-1 a 1",
    "XGROUP CREATE stream:deliveries g 0",
    "XREADGROUP GROUP g alice STREAMS stream:deliveries >",
    "XADD stream:acked 1-1 a 1",
    "XGROUP CREATE stream:acked g 0",
    "XREADGROUP GROUP g alice STREAMS stream:acked >",
];

/// What is done to the target, and what it must be called.
const CHANGES: &[(&str, &str)] = &[
    ("SET string:value two", "value string string:value"),
    ("APPEND string:longer more", "value string string:longer"),
    ("INCR string:int", "value string string:int"),
    ("PFADD log:other d e f", "value string log:other"),
    ("SETBIT bits 999 1", "value string bits"),
    ("DEL string:missing", "missing string string:missing"),
    ("DEL hash:missing", "missing hash hash:missing"),
    ("HSET hash:value b 3", "value hash hash:value"),
    ("HDEL hash:less b", "value hash hash:less"),
    ("LSET list:value 1 x", "value list list:value"),
    ("RPOP list:shorter", "value list list:shorter"),
    ("SADD set:less d", "value set set:less"),
    ("SADD set:ints 4", "value set set:ints"),
    ("ZADD zset:score 2.5 b", "value zset zset:score"),
    ("ZADD zset:bit 0.10000000000000002 a", "value zset zset:bit"),
    ("ZADD zset:inf 1 b", "value zset zset:inf"),
    ("GEOADD geo 13.5 38 Palermo", "value zset geo"),
    ("XADD stream:more 9-9 a 1", "value stream stream:more"),
    ("XSETID stream:last 5-5", "value stream stream:last"),
    (
        "XGROUP CREATE stream:group h 0",
        "value stream stream:group",
    ),
    (
        "XGROUP SETID stream:position g 1-1",
        "value stream stream:position",
    ),
    (
        "XCLAIM stream:owner g bob 0 1-1",
        "value stream stream:owner",
    ),
    (
        "XCLAIM stream:deliveries g alice 0 1-1 RETRYCOUNT 7 FORCE",
        "value stream stream:deliveries",
    ),
    ("XACK stream:acked g 1-1", "value stream stream:acked"),
];

/// Changes of several commands each.
const REBUILT: &[(&[&str], &str)] = &[
    (
        &["DEL string:type", "HSET string:type a 1"],
        "type string:type: expected string but was hash",
    ),
    (
        &["HDEL hash:field b", "HSET hash:field x 2"],
        "value hash hash:field",
    ),
    (
        &["DEL list:order", "RPUSH list:order b a c d"],
        "value list list:order",
    ),
    (
        &["SREM set:member b", "SADD set:member x"],
        "value set set:member",
    ),
    (
        &["ZREM zset:member b", "ZADD zset:member 2 c"],
        "value zset zset:member",
    ),
    (
        &["DEL stream:field", "XADD stream:field 1-1 a 1 b 3"],
        "value stream stream:field",
    ),
    (
        &["DEL stream:id", "XADD stream:id 1-2 a 1"],
        "value stream stream:id",
    ),
];

/// Nothing of this is a difference.
const SAME: &[&str] = &[
    "PFCOUNT log:same",
    "DEL hash:order",
    "HSET hash:order c 3 b 2 a 1",
    "DEL set:order",
    "SADD set:order x 3 2 1",
];

fn filled(version: Version) -> Server {
    let server = Server::start(version);
    for command in KEYS {
        server.tell(command);
    }
    server
}

fn shown(output: &Output) -> BTreeSet<String> {
    let differences = output.stdout.lines().filter(|line| {
        ["missing ", "type ", "value ", "ttl ", "extra "]
            .iter()
            .any(|kind| line.starts_with(kind))
    });
    differences.map(str::to_owned).collect()
}

fn every_difference(source: &Server, target: &Server) {
    for command in SAME {
        target.tell(command);
    }
    compare_full(source, target).run().exits(0).prints(EQUAL);
    let mut expected = BTreeSet::new();
    for (command, line) in CHANGES {
        target.tell(command);
        expected.insert((*line).to_owned());
    }
    for (commands, line) in REBUILT {
        for command in *commands {
            target.tell(command);
        }
        expected.insert((*line).to_owned());
    }
    let output = compare_full(source, target)
        .words(["--show-diffs", "--rounds", "1"])
        .run()
        .exits(1)
        .prints("2 missing, 1 type, 28 value, 0 ttl");
    assert_eq!(shown(&output), expected, "{output}");
}

/// The source's expiries, to the millisecond.
fn give_expiries(source: &Server, target: &Server) {
    let at: i64 = source.run("PEXPIRETIME string:ttl");
    run!(target.connection(), "PEXPIREAT", "string:ttl", at);
}

#[test]
fn every_difference_of_every_type_is_named() {
    let (source, target) = (filled(Version::Redis70), filled(Version::Redis70));
    give_expiries(&source, &target);
    every_difference(&source, &target);
}

#[test]
fn every_difference_is_named_across_versions() {
    let (source, target) = (filled(Version::Redis70), filled(Version::Redis80));
    give_expiries(&source, &target);
    every_difference(&source, &target);
}

#[test]
fn every_difference_is_named_where_transactions_are_not_allowed() {
    let users = "user default on nopass ~* &* +@all -multi -exec\n";
    let servers = [(); 2].map(|()| {
        let server = Server::with(Version::Redis70).acl(users).start();
        for command in KEYS {
            server.tell(command);
        }
        server
    });
    let [source, target] = &servers;
    give_expiries(source, target);
    every_difference(source, target);
}

#[test]
fn expiries_are_compared_with_the_values() {
    let (source, target) = (filled(Version::Redis70), filled(Version::Redis70));
    give_expiries(&source, &target);
    target.tell("PERSIST string:ttl");
    target.tell("PEXPIRE string:forever 5000000");
    let output = compare_full(&source, &target)
        .words(["--show-diffs", "--rounds", "1"])
        .run()
        .exits(1)
        .prints("0 missing, 0 type, 0 value, 2 ttl");
    assert!(
        output
            .stdout
            .contains("ttl string:forever: expected -1 but was "),
        "{output}"
    );
    compare_full(&source, &target)
        .word("--no-ttl")
        .run()
        .exits(0)
        .prints(EQUAL);
}

#[test]
fn a_fields_own_expiry_counts() {
    let (source, target) = (
        Server::start(Version::Redis80),
        Server::start(Version::Redis80),
    );
    for server in [&source, &target] {
        for key in ["same", "other", "none"] {
            server.tell(&format!("HSET {key} a 1 b 2"));
            server.tell(&format!("HPEXPIREAT {key} 4102444800123 FIELDS 1 a"));
        }
    }
    target.tell("HPEXPIREAT other 4102444900123 FIELDS 1 a");
    target.tell("HPERSIST none FIELDS 1 a");
    let output = compare_full(&source, &target)
        .words(["--show-diffs", "--rounds", "1"])
        .run()
        .exits(1);
    let expected = ["value hash other", "value hash none"].map(str::to_owned);
    assert_eq!(shown(&output), BTreeSet::from(expected), "{output}");
}

#[test]
fn streams_may_be_compared_without_their_ids() {
    let (source, target) = (
        Server::start(Version::Redis70),
        Server::start(Version::Redis70),
    );
    source.tell("XADD s 1-1 a 1");
    source.tell("XADD s 2-1 b 2");
    target.tell("XADD s 7-1 a 1");
    target.tell("XADD s 8-1 b 2");
    source.tell("XADD other 1-1 a 1");
    target.tell("XADD other 1-2 a 2");
    source.tell("XADD empty 1-1 a 1");
    source.tell("XDEL empty 1-1");
    let output = compare_full(&source, &target)
        .words(["--no-stream-msg-id", "--stream-prune"])
        .words(["--show-diffs", "--rounds", "1"])
        .run()
        .exits(1);
    let expected = ["value stream other".to_owned()];
    assert_eq!(shown(&output), BTreeSet::from(expected), "{output}");
    let output = compare_full(&source, &target)
        .words(["--show-diffs", "--rounds", "1"])
        .run()
        .exits(1)
        .prints("1 missing, 0 type, 2 value, 0 ttl");
    assert!(output.stdout.contains("missing stream empty"), "{output}");
}

/// Small collections as hash tables, skip lists and nodes of one element.
pub(crate) fn spread_out(server: &Server) {
    for setting in [
        "hash-max-listpack-entries 0",
        "zset-max-listpack-entries 0",
        "set-max-intset-entries 0",
        "list-max-listpack-size 1",
        "stream-node-max-entries 1",
    ] {
        server.tell(&format!("CONFIG SET {setting}"));
    }
}

#[test]
fn other_encodings_are_no_difference() {
    let (source, target) = (
        Server::start(Version::Redis70),
        Server::start(Version::Redis70),
    );
    spread_out(&target);
    for server in [&source, &target] {
        data::fill_mixed(server, "mixed:", 3000);
    }
    for (key, value) in data::snapshot(&source, 0) {
        if let Some((at, _)) = value.expiry {
            run!(target.connection(), "PEXPIREAT", &key.0, at);
        }
    }
    compare_full(&source, &target).run().exits(0).prints(EQUAL);
}

#[test]
fn other_versions_are_no_difference() {
    let (old, new) = (
        Server::start(Version::Redis60),
        Server::start(Version::Redis80),
    );
    data::fill_every_type(&old, 0);
    data::fill_mixed(&old, "mixed:", 2000);
    replicate(&old, &new)
        .words(["--compare", "full"])
        .run()
        .exits(0)
        .prints(EQUAL);
    compare_full(&new, &old).run().exits(0).prints(EQUAL);
}

#[test]
fn every_type_is_equal_after_a_copy() {
    for version in [Version::Redis70, Version::Redis80, Version::Valkey81] {
        let (source, target) = (Server::start(version), Server::start(version));
        data::fill_every_type(&source, 0);
        replicate(&source, &target)
            .words(["--compare", "full"])
            .run()
            .exits(0)
            .prints(EQUAL);
    }
}

#[test]
fn a_changing_database_shows_no_difference_in_keys_that_end_up_equal() {
    let (source, target) = (
        Server::start(Version::Redis70),
        Server::start(Version::Redis70),
    );
    for server in [&source, &target] {
        data::fill_strings(server, "string:", 20_000, 50);
        for number in 0..200 {
            server.tell(&format!("RPUSH list:{number} a"));
        }
    }
    let done = Arc::new(AtomicBool::new(false));
    let writer = {
        let (mut one, mut other) = (source.connection(), target.connection());
        let done = done.clone();
        std::thread::spawn(move || {
            let started = Instant::now();
            let mut random = fastrand::Rng::with_seed(7);
            let mut writes = 0u32;
            while !done.load(Ordering::Relaxed) {
                let commands: Vec<Vec<String>> = (0..10)
                    .map(|_| match random.u32(..4) {
                        0 => vec![
                            "RPUSH".into(),
                            format!("list:{}", random.u32(..200)),
                            "b".into(),
                        ],
                        1 => vec!["DEL".into(), format!("string:{}", random.u32(..20_000))],
                        _ => vec![
                            "SET".into(),
                            format!("string:{}", random.u32(..20_000)),
                            random.u32(..).to_string(),
                        ],
                    })
                    .collect();
                for connection in [&mut one, &mut other] {
                    for words in &commands {
                        let mut command = redis::Cmd::new();
                        for word in words {
                            command.arg(word);
                        }
                        command.exec(connection).unwrap();
                    }
                }
                writes += 10;
                let due = Duration::from_millis(u64::from(writes));
                crate::wait::pause(due.saturating_sub(started.elapsed()));
            }
        })
    };
    let end = Instant::now() + Duration::from_secs(size().changing_seconds);
    while Instant::now() < end {
        compare_full(&source, &target)
            .words(["--show-diffs", "--round-interval", "200", "--rounds", "5"])
            .run()
            .exits(0)
            .prints(EQUAL);
    }
    done.store(true, Ordering::Relaxed);
    writer.join().unwrap();
}

#[test]
fn riot_3s_words_compare_too() {
    let (source, target) = (filled(Version::Redis70), filled(Version::Redis70));
    give_expiries(&source, &target);
    target.tell("SET string:value two");
    let ports = [source.port().to_string(), target.port().to_string()];
    let by_command = riot(["-h", "127.0.0.1", "-p", &ports[0], "compare"]).words([
        "-h",
        "127.0.0.1",
        "-p",
        &ports[1],
        "--rounds",
        "1",
    ]);
    let by_mode = replicate(&source, &target).words(["--mode", "compare", "--rounds", "1"]);
    for run in [by_command, by_mode] {
        run.run()
            .exits(1)
            .prints("0 missing, 0 type, 1 value, 0 ttl");
    }
    replicate(&source, &target)
        .words(["--mode", "compare", "--compare", "quick"])
        .run()
        .exits(0)
        .prints(EQUAL);
    let value: String = target.run("GET string:value");
    assert_eq!(value, "two", "compare writes nothing");
}

#[test]
fn names_and_filters_mean_what_they_mean_in_a_copy() {
    let (source, target) = (filled(Version::Redis70), Server::start(Version::Redis70));
    let names = ["--key-process", "copy:#{type}:#{key}"];
    replicate(&source, &target).words(names).run().exits(0);
    compare_full(&source, &target)
        .words(names)
        .run()
        .exits(0)
        .prints(EQUAL);
    target.tell("HSET copy:hash:hash:value b 7");
    target.tell("DEL copy:string:string:value");
    let output = compare_full(&source, &target)
        .words(names)
        .words(["--show-diffs", "--rounds", "1"])
        .run()
        .exits(1);
    let expected = ["value hash hash:value", "missing string string:value"].map(str::to_owned);
    assert_eq!(shown(&output), BTreeSet::from(expected), "{output}");
    for (filter, line) in [
        (["--key-type", "hash"], "0 missing, 0 type, 1 value, 0 ttl"),
        (
            ["--key-pattern", "string:*"],
            "1 missing, 0 type, 0 value, 0 ttl",
        ),
        (["--key-exclude", ".*:value"], EQUAL),
        (["--mem-limit", "1B"], EQUAL),
    ] {
        compare_full(&source, &target)
            .words(names)
            .words(filter)
            .words(["--rounds", "1"])
            .run()
            .prints(line);
    }
}

#[test]
fn the_json_report_names_the_first_thousand_differences() {
    let (source, target) = (
        Server::start(Version::Redis70),
        Server::start(Version::Redis70),
    );
    data::fill_strings(&source, "key:", 1500, 10);
    data::fill_strings(&target, "key:", 1500, 11);
    let report = compare_full(&source, &target)
        .words(["--report", "json", "--rounds", "1"])
        .run()
        .exits(1)
        .report();
    assert_eq!(report["differences"]["value"], 1500);
    assert_eq!(report["different_keys"].as_array().unwrap().len(), 1000);
    assert_eq!(report["different_keys"][0]["difference"], "value");
    assert_eq!(report["compared"], 1500);
}
