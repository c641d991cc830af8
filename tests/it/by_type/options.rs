//! Copying by type beside everything else that a run may be told: filters, transactions, repair, live chains, clocks.

use super::filling::{KINDS, fill, fill_big, fill_big_kinds};
use super::reader::{seen_during, size_of};
use super::{EQUAL, assert_carried, assert_no_rubbish, by_type, count, differences, pair, told};
use crate::data;
use crate::live::reconnects::PATIENT;
use crate::live::{listens, live, scanned};
use crate::riot::{compare_full, replicate};
use crate::servers::{Server, Version};
use crate::store::Store as _;
use crate::wait;

#[test]
fn one_type_alone() {
    let (source, target) = pair();
    data::fill_every_type(&source, 0);
    fill_big_kinds(&source, 8_000, 1);
    for kind in ["hash", "stream", "string"] {
        by_type(&source, &target)
            .words(["--key-type", kind, "--big-key", "500KB"])
            .run()
            .exits(0);
        let mut wanted = data::snapshot(&source, 0);
        wanted.retain(|_, value| match value.body {
            data::Body::Hash(_) => kind == "hash",
            data::Body::Stream(_) => kind == "stream",
            data::Body::Text(_) => kind == "string",
            _ => false,
        });
        let wrong = differences(wanted, data::snapshot(&target, 0), 0);
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        target.tell("FLUSHALL");
    }
}

#[test]
fn in_transactions_and_waiting_for_a_replica() {
    let (source, target) = pair();
    let replica = Server::start(Version::Redis70);
    replica.tell(&format!("REPLICAOF 127.0.0.1 {}", target.port()));
    wait::until("the replica follows", || {
        (replica.info("master_link_status") == "up").then_some(())
    });
    fill(&source);
    fill_big_kinds(&source, 8_000, 1);
    by_type(&source, &target)
        .words([
            "--multi-exec",
            "--wait-replicas",
            "1",
            "--wait-timeout",
            "5s",
        ])
        .words(["--big-key", "500KB"])
        .run()
        .exits(0);
    assert_carried(&source, &target);
    // What a replica is told of pending entries is as the master has it.
    wait::until("the replica has everything", || {
        let offset = target.info("master_repl_offset");
        (replica.info("slave_repl_offset") == offset).then_some(())
    });
    assert_carried(&source, &replica);
    assert_no_rubbish(&replica);
}

#[test]
fn what_differs_is_repaired_by_type_and_in_chunks() {
    let (source, target) = (
        Server::start(Version::Redis80),
        Server::start(Version::Redis70),
    );
    data::fill_every_type(&source, 0);
    fill_big_kinds(&source, 8_000, 1);
    source.tell("DEL hash:field-expiry");
    told(&source, &target).run().exits(0);
    for command in [
        "HDEL hash 5",
        "RPUSH list another",
        "SPOP set 3",
        "ZADD zset 99 another",
        "XGROUP DESTROY stream group",
        "SETRANGE string 5 changed",
        "DEL hash:large",
        "HSET hash:small field other",
        "XDEL stream:large 7-0",
        "PERSIST expires:far:list",
    ] {
        target.tell(command);
    }
    compare_full(&source, &target)
        .words(["--repair", "--big-key", "500KB", "--rounds", "1"])
        .run()
        .exits(0);
    assert_carried(&source, &target);
    assert_no_rubbish(&target);
    compare_full(&source, &target).run().exits(0).prints(EQUAL);
}

#[test]
fn a_full_comparison_after_the_copy_finds_nothing() {
    for (from, to) in [
        (Version::Redis80, Version::Redis60),
        (Version::Redis80, Version::Valkey81),
    ] {
        let (source, target) = (Server::start(from), Server::start(to));
        fill(&source);
        fill_big_kinds(&source, 8_000, 1);
        source.tell("DEL hash:field-expiry");
        replicate(&source, &target)
            .words(["--compare", "full", "--big-key", "500KB"])
            .run()
            .exits(0)
            .prints(EQUAL);
    }
}

#[test]
fn temporary_names_of_the_target_are_no_extra_keys() {
    let (source, target) = pair();
    data::fill_mixed(&source, "mixed:", 50);
    told(&source, &target).run().exits(0);
    target.tell("RPUSH {1}:riot-tmp:0123456789abcdef half");
    compare_full(&source, &target)
        .words(["--both", "--repair", "--delete-extra"])
        .run()
        .exits(0)
        .prints("0 ttl, 0 extra");
    assert_eq!(target.count(), 51, "somebody else may be at it");
}

#[test]
fn what_is_live_from_the_target_on_sees_whole_values_alone() {
    let (first, middle) = pair();
    let last = Server::start(Version::Redis70);
    fill_big_kinds(&first, 60_000, 1);
    fill_big_kinds(&middle, 600, 2);
    let mut following = live("tracking", &middle.uri(), &last.uri())
        .words(["--big-key", "1MB"])
        .words(PATIENT)
        .spawn();
    listens(&mut following);
    scanned(&mut following);
    wait::until("the older values have arrived", || {
        (last.count() == KINDS.len() as u64).then_some(())
    });
    let sizes = KINDS.map(|kind| size_of(kind, kind));
    let (seen, _, output) = seen_during(&last, &sizes, || {
        told(&first, &middle)
            .words(["--big-key", "1MB"])
            .run()
            .exits(0);
        following.finish().exits(0)
    });
    for (index, kind) in KINDS.iter().enumerate() {
        let sizes: std::collections::HashSet<String> = seen
            .iter()
            .map(|answers| format!("{:?}", answers[index]))
            .collect();
        assert_eq!(sizes.len(), 2, "{kind}: {sizes:?}\n{output}");
    }
    assert_carried(&first, &last);
    assert_carried(&middle, &last);
    assert_no_rubbish(&last);
}

#[test]
fn payloads_that_are_all_refused_are_not_tried_for_ever() {
    let (source, target) = (
        Server::start(Version::Redis80),
        Server::start(Version::Redis70),
    );
    data::fill_mixed(&source, "mixed:", 40_000);
    let output = told(&source, &target).run().exits(0);
    assert_carried(&source, &target);
    let structures = 40_000 * 5 / 8;
    let by_type = count(&output, "by_type");
    assert!((structures..=40_000).contains(&by_type), "{output}");
    // The first hundred, and what was on its way by then.
    let refused = count(&output, "payload_refused");
    assert!(
        (100..structures / 2).contains(&refused),
        "{refused} payloads tried\n{output}"
    );
}

#[test]
fn some_payloads_that_are_refused_leave_the_others_as_they_are() {
    // The target knows the type of one key alone by its commands: its payload is too long.
    let (source, target) = pair();
    data::fill_mixed(&source, "mixed:", 2_000);
    for n in 0..20 {
        let key = format!("long:{n}");
        fill_big(&mut source.connection(), "list", key.as_bytes(), 15_000, n);
    }
    target.tell("CONFIG SET proto-max-bulk-len 1mb");
    let output = told(&source, &target).run().exits(0);
    assert_eq!(count(&output, "by_type"), 20, "{output}");
    assert_eq!(count(&output, "payload_refused"), 20, "{output}");
    data::assert_same(&source, &target);
}

/// What is gone, what is newer than what is being copied, and what is of another type by now: each has its turn.
#[test]
fn live_keys_that_come_and_go_while_they_are_copied_by_structure() {
    let (source, target) = pair();
    source.tell("CONFIG SET notify-keyspace-events KA");
    let mut running = live("keyspace", &source.uri(), &target.uri())
        .words(["--type", "struct", "--flush-interval", "1ms"])
        .words(PATIENT)
        .spawn();
    listens(&mut running);
    let mut c = source.connection();
    for round in 0..600_u32 {
        let mut pipe = redis::pipe();
        for n in 0..20_u32 {
            let key = format!("key:{n}");
            pipe.cmd("DEL").arg(&key);
            match (round + n) % 4 {
                0 => {}
                1 | 2 => {
                    pipe.cmd("HSET").arg(&key).arg("round").arg(round);
                }
                _ => {
                    pipe.cmd("SET").arg(&key).arg(round);
                }
            }
        }
        pipe.exec(&mut c).unwrap();
    }
    scanned(&mut running);
    running.finish().exits(0);
    assert_carried(&source, &target);
    assert_eq!(source.count(), 15);
}
