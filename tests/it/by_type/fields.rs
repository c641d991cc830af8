//! Expiries of hash fields: kept where the target has them, counted where it has not.

use super::{assert_carried, by_type, count, told};
use crate::data::{self, run};
use crate::riot::replicate;
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
    let mut pipe = redis::pipe();
    for n in 0..8000 {
        let field = format!("field {n}");
        pipe.cmd("HSET").arg("many").arg(&field);
        pipe.arg(data::text(n, 70));
        if n % 3 > 0 {
            pipe.cmd("HPEXPIREAT")
                .arg("many")
                .arg(FUTURE + i64::from(n));
            pipe.arg("FIELDS").arg(1).arg(&field);
        }
    }
    let _: Vec<redis::Value> = pipe.query(&mut c).unwrap();
    run!(c, "HSET", "both", "a", 1, "b", 2);
    run!(c, "HPEXPIREAT", "both", FUTURE, "FIELDS", 1, "a");
    run!(c, "PEXPIREAT", "both", FUTURE - 7);
    run!(c, "HSET", "all", "a", 1, "b", 2);
    run!(c, "HPEXPIREAT", "all", FUTURE, "FIELDS", 2, "a", "b");
    run!(c, "HSET", "past", "over", 1, "over too", 2, "stays", 3);
    run!(c, "HPEXPIRE", "past", 1, "FIELDS", 2, "over", "over too");
    wait::until("the short lives are over", || {
        let fields: Vec<String> = source.run("HKEYS past");
        (fields == ["stays"]).then_some(())
    });
}

fn arrive(version: Version, words: &[&str]) {
    let (source, target) = (Server::start(Version::Redis80), Server::start(version));
    fill(&source);
    target.tell("HSET some left over");
    let wanted = data::snapshot(&source, 0);
    let output = told(&source, &target).words(words).run().exits(0);
    let wrong = super::differences(wanted.clone(), data::snapshot(&target, 0), 0);
    assert!(wrong.is_empty(), "{}\n{output}", wrong.join("\n"));
    let lost = count(&output, "lost_field_expiries");
    let expiries = data::field_expiries(&wanted);
    assert!(expiries > 5000);
    // A second run, to see how a person is told.
    let output = replicate(&source, &target).words(words).run().exits(0);
    let mut lines = output
        .stdout
        .lines()
        .filter(|line| line.contains("fields of hashes"));
    if version.has_field_expiry() {
        assert_eq!((lost, lines.next()), (0, None), "{output}");
    } else {
        let line = lines.next().unwrap_or_default().replace(',', "");
        assert_eq!(lost, expiries, "{output}");
        assert!(line.starts_with(&format!("{expiries} ")), "{output}");
        assert_eq!(lines.next(), None, "{output}");
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

#[test]
fn a_hash_whose_every_field_is_over_is_gone() {
    for words in [&["--type", "struct"][..], &["--big-key", "1"]] {
        let (source, target) = (
            Server::start(Version::Redis80),
            Server::start(Version::Redis70),
        );
        // As on a replica, which removes nothing by itself.
        source.tell("DEBUG SET-ACTIVE-EXPIRE 0");
        source.tell("HSET gone over 1");
        source.tell("HPEXPIRE gone 1 FIELDS 1 over");
        source.tell("SET another 1");
        wait::until("the field is over", || {
            let fields: Vec<String> = source.run("HKEYS gone");
            fields.is_empty().then_some(())
        });
        target.tell("HSET gone left over");
        told(&source, &target).words(words).run().exits(0);
        assert_eq!(target.run::<Vec<String>>("KEYS *"), ["another"]);
    }
}
