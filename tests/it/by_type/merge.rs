//! Adding to what the target has, type by type.

use std::time::Duration;

use redis::Value;

use super::filling::{KINDS, fill_big};
use super::{assert_carried, assert_no_rubbish, by_type, count, pair};
use crate::data::{self, Snapshot};
use crate::proxy::{Direction, Proxy};
use crate::riot::{Riot, riot};
use crate::servers::{Server, Version};
use crate::wait;

/// What both sides have before, and what the target is to hold afterwards.
struct Sides {
    source: Server,
    target: Server,
    wanted: Server,
}

impl Sides {
    /// One command a line; what the target is to hold is told by commands as well.
    fn new(source: &[&str], target: &[&str], wanted: &[&str]) -> Self {
        let filled = |commands: &[&str]| {
            let server = Server::start(Version::Redis70);
            for command in commands {
                server.tell(command);
            }
            server
        };
        Self {
            source: filled(source),
            target: filled(target),
            wanted: filled(wanted),
        }
    }

    fn merge(&self) -> Riot {
        by_type(&self.source, &self.target).word("--merge")
    }

    #[track_caller]
    fn are_merged(&self) {
        assert_carried(&self.wanted, &self.target);
        assert_no_rubbish(&self.target);
    }
}

#[test]
fn every_type_is_added_to_by_its_own_rule() {
    let sides = Sides::new(
        &[
            "HSET hash b 3 c 4",
            "RPUSH list a b a",
            "SADD set b c",
            "ZADD zset 5 b 6 c",
            "SET string new",
            "XADD stream 5-1 n 5",
            "XADD stream 6-1 n 6",
            "RPUSH only:source a",
        ],
        &[
            "HSET hash a 1 b 2",
            "RPUSH list x a",
            "SADD set a b",
            "ZADD zset 1 a 2 b",
            "SET string old",
            "XADD stream 1-1 n 1",
            "XADD stream 5-0 n 5",
            "SADD only:target a",
        ],
        &[
            "HSET hash a 1 b 3 c 4",
            "RPUSH list x a a b a",
            "SADD set a b c",
            "ZADD zset 1 a 5 b 6 c",
            "SET string new",
            "XADD stream 1-1 n 1",
            "XADD stream 5-0 n 5",
            "XADD stream 5-1 n 5",
            "XADD stream 6-1 n 6",
            "RPUSH only:source a",
            "SADD only:target a",
        ],
    );
    let output = sides.merge().run().exits(0);
    sides.are_merged();
    assert_eq!(count(&output, "written"), 7, "{output}");
}

#[test]
fn the_other_spelling_means_the_same() {
    let sides = Sides::new(
        &["HSET hash b 3"],
        &["HSET hash a 1"],
        &["HSET hash a 1 b 3"],
    );
    by_type(&sides.source, &sides.target)
        .words(["--merge-policy", "merge"])
        .run()
        .exits(0);
    sides.are_merged();
    by_type(&sides.source, &sides.target)
        .words(["--merge-policy", "overwrite"])
        .run()
        .exits(0);
    assert_carried(&sides.source, &sides.target);
}

#[test]
fn expiries_of_the_source_come_along() {
    let add = |first: &str, second: &str, at: &str| {
        let mut commands = Vec::new();
        for (kind, add) in [
            ("hash", "HSET hash WHAT 1"),
            ("list", "RPUSH list WHAT"),
            ("set", "SADD set WHAT"),
            ("zset", "ZADD zset 1 WHAT"),
            ("string", "SET string WHAT"),
        ] {
            for what in [first, second].iter().filter(|what| !what.is_empty()) {
                commands.push(add.replace("WHAT", what));
            }
            commands.push(format!("PEXPIREAT {kind} {at}"));
        }
        commands
    };
    let words = |commands: &[String]| -> Vec<&'static str> {
        let leak = |command: &String| -> &'static str { command.clone().leak() };
        commands.iter().map(leak).collect()
    };
    let source = words(&add("new", "", "4102444800123"));
    let target = words(&add("old", "", "4102444111111"));
    let wanted = words(&add("old", "new", "4102444800123"));
    let sides = Sides::new(&source, &target, &wanted);
    sides.merge().run().exits(0);
    sides.are_merged();
}

#[test]
fn expiries_of_the_target_stay_where_the_source_has_none() {
    for words in [&[][..], &["--big-key", "1"]] {
        let target = [
            "HSET hash a 1",
            "PEXPIREAT hash 4102444800123",
            "ZADD zset 1 a",
            "PEXPIREAT zset 4102444800124",
        ];
        let wanted = [&target[..], &["HSET hash b 2", "ZADD zset 2 b"]].concat();
        let sides = Sides::new(&["HSET hash b 2", "ZADD zset 2 b"], &target, &wanted);
        sides
            .merge()
            .words(words)
            .word("--no-verify")
            .run()
            .exits(0);
        sides.are_merged();
    }
}

#[test]
fn messages_that_are_not_newer_than_the_targets_fail_by_name() {
    for words in [&[][..], &["--big-key", "1KB"]] {
        let sides = Sides::new(
            &[
                "XADD stream 1-1 n 1",
                "XADD stream 9-1 n 9",
                "XADD fine 1-1 n 1",
            ],
            &["XADD stream 5-1 n 5"],
            &[],
        );
        let before = data::snapshot(&sides.target, 0);
        let output = sides.merge().words(words).run().exits(1);
        let named = output
            .stderr
            .lines()
            .any(|line| line.contains("not copied: stream: "));
        assert!(named, "{output}");
        assert_eq!(count(&output, "failed"), 1, "{output}");
        let mut found = data::snapshot(&sides.target, 0);
        found.retain(|key, _| key.0 != b"fine");
        data::assert_snapshots(&before, &found, 0);
        assert_eq!(sides.target.run::<u64>("XLEN fine"), 1);
    }
}

#[test]
fn a_key_of_another_type_fails_by_name_and_is_left_alone() {
    let sides = Sides::new(
        &["HSET key a 1", "SET fine 1"],
        &["RPUSH key a b"],
        &["RPUSH key a b", "SET fine 1"],
    );
    let output = sides.merge().run().exits(1);
    let named = output
        .stderr
        .lines()
        .any(|line| line.contains("not copied: key: ") && line.contains("WRONGTYPE"));
    assert!(named, "{output}");
    sides.are_merged();
}

/// What the target is to hold when the first of these is added to the second: the union, by hand.
fn merged(kind: &str, source: &Snapshot, target: &Snapshot) -> Snapshot {
    use crate::data::Body;
    let key = data::Bytes(kind.as_bytes().to_vec());
    let (new, old) = (&source[&key], &target[&key]);
    let body = match (&new.body, &old.body) {
        (Body::Hash(new), Body::Hash(old)) => {
            let mut all = old.clone();
            all.extend(new.clone());
            Body::Hash(all)
        }
        (Body::SortedSet(new), Body::SortedSet(old)) => {
            let mut all = old.clone();
            all.extend(new.clone());
            Body::SortedSet(all)
        }
        (Body::Set(new), Body::Set(old)) => Body::Set(old.union(new).cloned().collect()),
        (Body::List(new), Body::List(old)) => Body::List([old.clone(), new.clone()].concat()),
        (Body::Text(new), Body::Text(_)) => Body::Text(new.clone()),
        other => panic!("{other:?}"),
    };
    let value = data::Value {
        body,
        expiry: new.expiry,
    };
    [(key, value)].into()
}

#[test]
fn big_values_are_added_in_chunks() {
    for kind in KINDS.into_iter().filter(|kind| *kind != "stream") {
        let (source, target) = pair();
        fill_big(&mut source.connection(), kind, kind.as_bytes(), 20_000, 1);
        // A third of the fields and members are on both sides.
        fill_big(&mut target.connection(), kind, kind.as_bytes(), 6_000, 8);
        let wanted = merged(
            kind,
            &data::snapshot(&source, 0),
            &data::snapshot(&target, 0),
        );
        let output = by_type(&source, &target)
            .words(["--merge", "--big-key", "500KB"])
            .run()
            .exits(0);
        assert_eq!(count(&output, "in_chunks"), 1, "{kind}\n{output}");
        data::assert_snapshots(&wanted, &data::snapshot(&target, 0), 0);
        assert_no_rubbish(&target);
    }
}

#[test]
fn a_big_stream_is_added_in_chunks() {
    let (source, target) = pair();
    let mut c = source.connection();
    fill_big(&mut c, "stream", b"stream", 20_000, 1);
    target.tell("XADD stream 0-1 older message");
    by_type(&source, &target)
        .words(["--merge", "--big-key", "500KB"])
        .run()
        .exits(0);
    assert_eq!(target.run::<u64>("XLEN stream"), 20_001);
    let added: Vec<Value> = target.run("XRANGE stream (0-1 +");
    let wanted: Vec<Value> = source.run("XRANGE stream - +");
    assert!(added == wanted);
    assert_no_rubbish(&target);
}

#[test]
fn a_second_run_adds_to_lists_again_and_changes_nothing_else() {
    let sides = Sides::new(
        &["RPUSH list a b", "SADD set a", "HSET hash a 1"],
        &[],
        &["RPUSH list a b a b", "SADD set a", "HSET hash a 1"],
    );
    for _ in 0..2 {
        sides.merge().run().exits(0);
    }
    sides.are_merged();
}

#[test]
fn what_may_have_been_added_already_is_not_added_again() {
    let ways: [(&str, &[&str], &str); 2] = [
        ("RPUSH key a b", &["--merge"], "LLEN key"),
        (
            "XADD key 1-1 a b",
            &["--merge", "--no-stream-id"],
            "XLEN key",
        ),
    ];
    for (command, words, length) in ways {
        let (source, target) = pair();
        source.tell(command);
        let to_target = Proxy::to(&target.address());
        // The write arrives, its answer does not.
        to_target.delay(Direction::Down, Duration::from_secs(1));
        let running = riot(["replicate".into(), source.uri(), to_target.address()])
            .words(["--type", "struct", "--report", "json"])
            .words(words)
            .spawn();
        let wanted: u64 = source.run(length);
        wait::until("the write has arrived", || {
            (target.run::<u64>(length) == wanted).then_some(())
        });
        to_target.cut();
        to_target.delay(Direction::Down, Duration::ZERO);
        let output = running.finish().exits(1);
        let named = output
            .stderr
            .lines()
            .any(|line| line.contains("not copied: key: "));
        assert!(named, "{output}");
        assert_eq!(target.run::<u64>(length), wanted, "{output}");
    }
}

#[test]
fn a_list_that_changes_while_it_is_added_fails_by_name_and_is_not_added_twice() {
    let (source, target) = pair();
    fill_big(&mut source.connection(), "list", b"key", 40_000, 1);
    let to_source = Proxy::to(&source.address());
    to_source.stall_after(Direction::Down, 1 << 20);
    let running = riot(["replicate".into(), to_source.address(), target.uri()])
        .words(["--type", "struct", "--merge", "--report", "json"])
        .spawn();
    wait::until("the key is being read", || {
        to_source.is_stalled(Direction::Down).then_some(())
    });
    source.tell("LSET key 0 changed");
    to_source.flow(Direction::Down);
    let output = running.finish().exits(1);
    let named = "not copied: key: it changed while it was added";
    assert!(output.stderr.contains(named), "{output}");
    let found: Vec<Vec<u8>> = target.run("LRANGE key 0 -1");
    let distinct: std::collections::HashSet<&Vec<u8>> = found.iter().collect();
    assert_eq!(found.len(), distinct.len(), "{output}");
}
