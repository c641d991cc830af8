//! `riot check`: what it says of servers of every kind, with what exit status; and that it changes nothing.

mod modules;
mod rights;
mod sides;
mod words;

use redis::FromRedisValue as _;
use serde_json::Value;

use crate::riot::{Output, Riot, riot};
use crate::servers::{Server, Version};
use crate::store::Store;

const VERSIONS: [Version; 4] = [
    Version::Redis60,
    Version::Redis70,
    Version::Redis80,
    Version::Valkey81,
];

/// `riot check SOURCE TARGET`, with a JSON report.
fn check(source: &dyn Store, target: &dyn Store) -> Riot {
    let words = [
        "check".into(),
        "--report=json".into(),
        source.uri(),
        target.uri(),
    ];
    riot(words)
}

/// A key of each type, none of which expires.
fn fill(store: &dyn Store) {
    for command in [
        "SET string 1",
        "HSET hash f v",
        "RPUSH list a b",
        "SADD set a b",
        "ZADD zset 1 a",
        "XADD stream 1-1 f v",
    ] {
        store.tell(command);
    }
}

/// What a server holds, by key, and how many changes it counts since it was started.
type State = (Vec<(Vec<u8>, Vec<u8>)>, u64);

/// That of every server of a side.
fn state(store: &dyn Store) -> Vec<State> {
    let holders = store.holders(0).into_iter();
    let states = holders.map(|mut connection| {
        let mut keys: Vec<Vec<u8>> = redis::cmd("KEYS").arg("*").query(&mut connection).unwrap();
        keys.sort_unstable();
        let values = keys.into_iter().map(|key| {
            let payload: Vec<u8> = redis::cmd("DUMP").arg(&key).query(&mut connection).unwrap();
            (key, payload)
        });
        let values = values.collect();
        let info: redis::Value = redis::cmd("INFO")
            .arg("persistence")
            .query(&mut connection)
            .unwrap();
        let info = String::from_redis_value(info).unwrap();
        let changes = info
            .lines()
            .find_map(|line| line.strip_prefix("rdb_changes_since_last_save:"));
        (values, changes.unwrap().trim().parse().unwrap())
    });
    states.collect()
}

/// Runs a check, and fails the test where either side is not what it was.
#[track_caller]
fn checked(source: &dyn Store, target: &dyn Store, run: Riot) -> Output {
    let before = (state(source), state(target));
    let output = run.run();
    assert_eq!((state(source), state(target)), before, "{output}");
    output
}

/// The findings of a JSON report.
fn findings(output: &Output) -> Vec<Value> {
    output.report()["findings"].as_array().unwrap().clone()
}

/// What was found of this side under this name: level, text, cure.
fn found(output: &Output, side: &str, name: &str) -> Option<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    findings(output)
        .iter()
        .find(|finding| finding["side"] == side && finding["name"] == name)
        .map(|finding| {
            (
                text(&finding["level"]),
                text(&finding["text"]),
                text(&finding["cure"]),
            )
        })
}

/// Fails the test where that was not found at this level, with these words in its text or its cure.
#[track_caller]
fn finds(output: &Output, side: &str, name: &str, level: &str, words: &[&str]) {
    let Some((is, text, cure)) = found(output, side, name) else {
        panic!("{side} {name} was not found\n{output}");
    };
    assert_eq!(is, level, "{side} {name}: {text}\n{output}");
    for word in words {
        assert!(
            text.contains(word) || cure.contains(word),
            "{side} {name} does not say `{word}`\n{output}"
        );
    }
}

/// The names of all findings of a level.
fn at_level(output: &Output, level: &str) -> Vec<String> {
    let all = findings(output);
    let of_level = all.iter().filter(|finding| finding["level"] == level);
    of_level
        .map(|finding| finding["name"].as_str().unwrap().to_owned())
        .collect()
}

/// A server with a user that has these rights, beside the default one.
fn with_user(version: Version, rules: &str) -> Server {
    let channels = if version.since_70() { "&* " } else { "" };
    Server::with(version)
        .acl(&format!(
            "user default on nopass ~* {channels}+@all\nuser few on >secret {rules}\n"
        ))
        .start()
}

fn as_source(run: Riot) -> Riot {
    run.words(["--source-user", "few", "--source-pass", "secret"])
}

fn as_target(run: Riot) -> Riot {
    run.words(["--target-user", "few", "--target-pass", "secret"])
}

#[test]
fn every_version_is_checked_against_every_other() {
    let rdb = |version| match version {
        Version::Redis60 => 9,
        Version::Redis70 => 10,
        Version::Valkey81 => 11,
        Version::Redis80 => 12,
    };
    let sources = VERSIONS.map(Server::start);
    let targets = VERSIONS.map(Server::start);
    for source in &sources {
        fill(source);
        for target in &targets {
            let output = checked(source, target, check(source, target)).exits(0);
            let reads = rdb(target.version()) >= rdb(source.version());
            let version = format!("(RDB version {})", rdb(source.version()));
            let level = if reads { "ok" } else { "note" };
            finds(&output, "both", "payload", level, &[&version]);
            finds(&output, "source", "rights", "ok", &["user default"]);
            finds(&output, "target", "rights", "ok", &["user default"]);
            finds(&output, "target", "keys", "ok", &["no keys"]);
            finds(&output, "both", "clock", "ok", &[]);
            let report = output.report();
            assert_eq!(report["verdict"], "ready", "{output}");
            assert_eq!(report["source"]["keys"], 6, "{output}");
            assert_eq!(report["target"]["keys"], 0, "{output}");
            assert_eq!(report["source"]["cluster"], false, "{output}");
            assert_eq!(report["source"]["databases"], serde_json::json!([0]));
            let live = checked(source, target, check(source, target).word("--live")).exits(0);
            finds(&live, "source", "events", "ok", &["client tracking"]);
        }
    }
}

#[test]
fn the_text_has_a_line_for_each_finding() {
    let (source, target) = (
        Server::start(Version::Redis70),
        with_user(Version::Redis70, "~* &* +@all -restore -set"),
    );
    fill(&source);
    let run = riot(["check".to_owned(), source.uri(), target.uri()]);
    let output = as_target(run).run().exits(1);
    let lines: Vec<&str> = output.stdout.lines().collect();
    assert!(lines[0].starts_with("source  127.0.0.1:"), "{output}");
    assert!(lines[0].contains("Redis 7.0."), "{output}");
    assert!(lines[0].contains("6 keys"), "{output}");
    assert!(lines[1].starts_with("target  127.0.0.1:"), "{output}");
    for line in [
        "not ready  target  SET is not allowed to user few, and the run needs it: ACL SETUSER few +set",
        "note       target  RESTORE is not allowed to user few, and every key other than a string is copied by the commands of its type: ACL SETUSER few +restore",
        "ok         source  keyspace notifications are off",
        "ok         source  a live run would learn of changes by client tracking",
    ] {
        assert!(lines.contains(&line), "{line}\n{output}");
    }
    let last = lines.last().unwrap();
    assert!(last.starts_with("not ready: 1 to mend, "), "{output}");
    assert!(output.stderr.is_empty(), "{output}");
}
