//! Looking both ways, and mending what differs.

use crate::data::{self, run};
use crate::riot::{Riot, compare_full, replicate};
use crate::servers::{Server, Version};

/// Two servers with differences of every kind, and keys that only the target has.
fn differing() -> (Server, Server) {
    let (source, target) = (
        Server::start(Version::Redis70),
        Server::start(Version::Redis70),
    );
    data::fill_every_type(&source, 0);
    data::fill_strings(&source, "key:", 2000, 20);
    replicate(&source, &target).run().exits(0);
    for command in [
        "DEL key:1 key:2",
        "SET key:3 other",
        "APPEND key:4 more",
        "PEXPIRE key:5 5000000",
        "DEL key:6",
        "RPUSH key:6 a",
        "SET extra:1 x",
        "HSET extra:2 a 1",
    ] {
        target.tell(command);
    }
    run!(target.connection(), "SET", b"extra\xff".as_slice(), "x");
    (source, target)
}

/// How many of the keys are there that only the target was given.
fn extra_keys(target: &Server) -> u64 {
    redis::cmd("EXISTS")
        .arg(&["extra:1".as_bytes(), b"extra:2", b"extra\xff"])
        .query(&mut target.connection())
        .unwrap()
}

fn once(run: Riot) -> Riot {
    run.words(["--rounds", "1"])
}

const DIFFERENT: &str = "2 missing, 1 type, 2 value, 1 ttl";

#[test]
fn keys_that_only_the_target_has_are_found() {
    let (source, target) = differing();
    once(compare_full(&source, &target))
        .run()
        .exits(1)
        .holds("no word of extra keys", |output| {
            output.stdout.lines().last() == Some(DIFFERENT)
        });
    let output = once(compare_full(&source, &target))
        .words(["--both", "--show-diffs"])
        .run()
        .exits(1)
        .prints(&format!("{DIFFERENT}, 3 extra"));
    for line in ["extra extra:1", "extra extra:2", "extra extra\\xff"] {
        assert!(output.stdout.lines().any(|found| found == line), "{output}");
    }
    once(compare_full(&source, &target))
        .words(["--both", "--report", "short"])
        .run()
        .exits(1)
        .holds("all in one line", |output| {
            output.stdout.contains(" V:3 >:2 <:3 T:1")
        });
    for (filter, extra) in [
        (["--key-pattern", "key:*"], 0),
        (["--key-type", "hash"], 1),
        (["--key-include", "extra:.*"], 2),
    ] {
        once(compare_full(&source, &target))
            .words(filter)
            .word("--both")
            .run()
            .holds("the run's own filters hold", |output| {
                output.stdout.contains(&format!(", {extra} extra"))
            });
    }
}

#[test]
fn extra_keys_are_found_under_their_new_names() {
    let (source, target) = (
        Server::start(Version::Redis70),
        Server::start(Version::Redis70),
    );
    data::fill_every_type(&source, 0);
    for names in [
        ["--key-process", "copy:#{key}"],
        ["--key-process", "#{type}/#{key}"],
    ] {
        target.tell("FLUSHALL");
        replicate(&source, &target).words(names).run().exits(0);
        once(compare_full(&source, &target))
            .words(names)
            .word("--both")
            .run()
            .exits(0)
            .prints("0 ttl, 0 extra");
        target.tell("SET copy:nobody x");
        target.tell("SET string/nobody x");
        target.tell("SET another x");
        once(compare_full(&source, &target))
            .words(names)
            .word("--both")
            .run()
            .exits(1)
            .prints("0 ttl, 1 extra");
    }
}

#[test]
fn a_repair_leaves_both_equal_but_for_extra_keys() {
    let (source, target) = differing();
    let output = once(compare_full(&source, &target))
        .word("--repair")
        .run()
        .exits(0)
        .prints("0 missing, 0 type, 0 value, 0 ttl");
    assert!(output.stdout.contains("6 keys repaired"), "{output}");
    assert_eq!(
        extra_keys(&target),
        3,
        "what only the target has is left alone"
    );
    run!(
        target.connection(),
        "DEL",
        "extra:1",
        "extra:2",
        b"extra\xff".as_slice()
    );
    data::assert_same(&source, &target);
}

#[test]
fn extra_keys_are_deleted_where_it_is_wished() {
    let (source, target) = differing();
    let output = once(compare_full(&source, &target))
        .words(["--repair", "--delete-extra"])
        .run()
        .exits(0)
        .prints("0 missing, 0 type, 0 value, 0 ttl, 0 extra");
    assert!(output.stdout.contains("9 keys repaired"), "{output}");
    data::assert_same(&source, &target);
}

#[test]
fn a_repair_deletes_within_the_runs_own_filters() {
    let (source, target) = differing();
    once(compare_full(&source, &target))
        .words(["--repair", "--delete-extra", "--key-pattern", "extra:*"])
        .run()
        .exits(0);
    let left: Vec<u64> = ["extra:1", "extra:2", "key:1", "key:3"]
        .iter()
        .map(|key| target.run(&format!("EXISTS {key}")))
        .collect();
    assert_eq!(left, [0, 0, 0, 1]);
    assert_eq!(extra_keys(&target), 1);
}

#[test]
fn a_dry_repair_writes_nothing() {
    let (source, target) = differing();
    let before = data::snapshot(&target, 0);
    once(compare_full(&source, &target))
        .words(["--repair", "--delete-extra", "--dry-run"])
        .run()
        .exits(1)
        .prints(&format!("{DIFFERENT}, 3 extra"));
    data::assert_snapshots(&before, &data::snapshot(&target, 0), 0);
}

#[test]
fn a_copy_may_look_both_ways_too() {
    let (source, target) = differing();
    once(replicate(&source, &target))
        .words(["--compare", "full", "--both"])
        .run()
        .exits(1)
        .prints("0 missing, 0 type, 0 value, 0 ttl, 3 extra");
}
