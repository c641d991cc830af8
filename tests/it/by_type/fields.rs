//! Expiries of hash fields: kept where the target has them, counted where it has not.

use super::{assert_carried, by_type, count, told};
use crate::data::{self, run};
use crate::servers::{Server, Version};
use crate::wait;

/// The year 2100.
const FUTURE: i64 = 4_102_444_800_123;

/// Hashes of 8.0 with field expiries of all kinds; fields that are over are not removed by the server itself.
fn fill(source: &Server) {
    source.tell("DEBUG SET-ACTIVE-EXPIRE 0");
    let mut c = source.connection();
    run!(c, "HSET", "some", "stays", 1, "goes", 2, "", 3, "\r\n\0", 4);
    run!(c, "HPEXPIREAT", "some", FUTURE, "FIELDS", 2, "goes", "");
    let fields: Vec<String> = (0..2000).map(|n| format!("f{n}")).collect();
    for field in &fields {
        run!(c, "HSET", "many", field, "value");
    }
    for (n, field) in (0..).zip(&fields) {
        if n % 3 > 0 {
            run!(c, "HPEXPIREAT", "many", FUTURE + n, "FIELDS", 1, field);
        }
    }
    run!(c, "HSET", "both", "a", 1, "b", 2);
    run!(c, "HPEXPIREAT", "both", FUTURE, "FIELDS", 1, "a");
    run!(c, "PEXPIREAT", "both", FUTURE - 7);
    run!(c, "HSET", "all", "a", 1, "b", 2);
    run!(c, "HPEXPIREAT", "all", FUTURE, "FIELDS", 2, "a", "b");
    run!(c, "HSET", "past", "over", 1, "over too", 2, "stays", 3);
    run!(c, "HPEXPIRE", "past", 1, "FIELDS", 2, "over", "over too");
    run!(c, "HSET", "gone", "over", 1);
    run!(c, "HPEXPIRE", "gone", 1, "FIELDS", 1, "over");
    wait::until("the short lives are over", || {
        let fields: Vec<String> = source.run("HKEYS past");
        let gone: Vec<String> = source.run("HKEYS gone");
        (fields == ["stays"] && gone.is_empty()).then_some(())
    });
}

/// What a reader of the source sees: a hash whose every field is over is not there.
fn seen(source: &Server) -> data::Snapshot {
    let mut all = data::snapshot(source, 0);
    all.remove(&data::Bytes(b"gone".to_vec()));
    all
}

fn arrive(version: Version, words: &[&str]) {
    let (source, target) = (Server::start(Version::Redis80), Server::start(version));
    fill(&source);
    target.tell("HSET gone left over");
    target.tell("HSET some left over");
    let wanted = seen(&source);
    let output = told(&source, &target).words(words).run().exits(0);
    let wrong = super::differences(wanted.clone(), data::snapshot(&target, 0), 0);
    assert!(wrong.is_empty(), "{}\n{output}", wrong.join("\n"));
    let lost = count(&output, "lost_field_expiries");
    let expiries = data::field_expiries(&wanted);
    assert!(expiries > 1300);
    let notes = output
        .stderr
        .lines()
        .filter(|line| line.contains("field") && line.contains("expir"));
    if version.has_field_expiry() {
        assert_eq!((lost, notes.count()), (0, 0), "{output}");
    } else {
        assert_eq!((lost, notes.count()), (expiries, 1), "{output}");
    }
}

#[test]
fn they_are_kept_by_redis_8_0() {
    arrive(Version::Redis80, &["--type", "struct"]);
}

#[test]
fn they_are_kept_in_chunks() {
    arrive(Version::Redis80, &["--big-key", "1KB"]);
}

#[test]
fn they_are_counted_where_redis_7_0_has_none() {
    arrive(Version::Redis70, &[]);
}

#[test]
fn they_are_counted_where_redis_6_0_has_none() {
    arrive(Version::Redis60, &["--type", "struct"]);
}

#[test]
fn they_are_counted_where_valkey_8_1_has_none() {
    arrive(Version::Valkey81, &["--big-key", "1KB"]);
}

#[test]
fn a_run_without_expiries_leaves_them_out_and_counts_none_as_lost() {
    let (source, target) = (
        Server::start(Version::Redis80),
        Server::start(Version::Redis70),
    );
    fill(&source);
    let output = by_type(&source, &target).word("--no-ttl").run().exits(0);
    assert_eq!(count(&output, "lost_field_expiries"), 0, "{output}");
    assert_eq!(target.run::<u64>("HLEN some"), 4);
    assert_eq!(target.run::<i64>("PTTL both"), -1);
}

#[test]
fn an_older_copy_of_the_fields_keeps_no_expiry() {
    let (source, target) = (
        Server::start(Version::Redis80),
        Server::start(Version::Redis80),
    );
    source.tell("HSET hash a 1 b 2 c 3");
    target.tell("HSET hash a 1 b 2 c 3 d 4");
    target.tell(&format!("HPEXPIREAT hash {FUTURE} FIELDS 3 a c d"));
    by_type(&source, &target).run().exits(0);
    assert_carried(&source, &target);
}
