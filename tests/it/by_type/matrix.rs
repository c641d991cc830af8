//! From each server to each: what the target can hold arrives equal, the rest is named.

use super::filling::fill;
use super::{EQUAL, count, differences, told};
use crate::data::{self, Body, Snapshot, run};
use crate::riot::compare_full;
use crate::servers::{Server, Version};
use crate::store::Store as _;

/// A test for each pair: `default::redis_6_0_to_redis_7_0` and so on.
macro_rules! pairs {
    ($module:ident, $words:expr, $($name:ident: $from:ident $to:ident,)*) => {
        mod $module {
            use crate::servers::Version;

            $(#[test]
            fn $name() {
                super::arrives(Version::$from, Version::$to, &$words);
            })*
        }
    };
}

pairs![default, [],
    redis_6_0_to_redis_6_0: Redis60 Redis60,
    redis_6_0_to_redis_7_0: Redis60 Redis70,
    redis_6_0_to_redis_8_0: Redis60 Redis80,
    redis_6_0_to_valkey_8_1: Redis60 Valkey81,
    redis_7_0_to_redis_6_0: Redis70 Redis60,
    redis_7_0_to_redis_7_0: Redis70 Redis70,
    redis_7_0_to_redis_8_0: Redis70 Redis80,
    redis_7_0_to_valkey_8_1: Redis70 Valkey81,
    redis_8_0_to_redis_6_0: Redis80 Redis60,
    redis_8_0_to_redis_7_0: Redis80 Redis70,
    redis_8_0_to_redis_8_0: Redis80 Redis80,
    redis_8_0_to_valkey_8_1: Redis80 Valkey81,
    valkey_8_1_to_redis_6_0: Valkey81 Redis60,
    valkey_8_1_to_redis_7_0: Valkey81 Redis70,
    valkey_8_1_to_redis_8_0: Valkey81 Redis80,
    valkey_8_1_to_valkey_8_1: Valkey81 Valkey81,
];

pairs![dump, ["--type", "dump"],
    redis_7_0_to_redis_7_0: Redis70 Redis70,
    redis_8_0_to_redis_7_0: Redis80 Redis70,
];

pairs![by_structure, ["--type", "struct"],
    redis_6_0_to_redis_6_0: Redis60 Redis60,
    redis_6_0_to_redis_8_0: Redis60 Redis80,
    redis_7_0_to_redis_6_0: Redis70 Redis60,
    redis_7_0_to_redis_7_0: Redis70 Redis70,
    redis_8_0_to_redis_7_0: Redis80 Redis70,
    redis_8_0_to_redis_8_0: Redis80 Redis80,
    redis_8_0_to_valkey_8_1: Redis80 Valkey81,
    valkey_8_1_to_redis_7_0: Valkey81 Redis70,
    valkey_8_1_to_valkey_8_1: Valkey81 Valkey81,
];

/// The RDB version of a server's payloads: it takes those up to its own.
fn payloads(version: Version) -> u32 {
    match version {
        Version::Redis60 => 9,
        Version::Redis70 => 10,
        Version::Valkey81 => 11,
        Version::Redis80 => 12,
    }
}

/// Vector sets: only Redis 8 has them. Copied by their commands they are compared in a file of their own.
fn fill_vectors(source: &Server) {
    if source.version() == Version::Redis80 {
        let mut c = source.connection();
        for n in 0..20 {
            let words = ["0.5", "-0.25", &format!("{n}.125"), "1"];
            run!(c, "VADD", "vectors", "VALUES", 4, &words, format!("e{n}"));
        }
    }
}

fn is_text(body: &Body) -> bool {
    matches!(body, Body::Text(_))
}

fn is_vectors(body: &Body) -> bool {
    matches!(body, Body::Vectors(_))
}

fn arrives(from: Version, to: Version, words: &[&str]) {
    let (source, target) = (Server::start(from), Server::start(to));
    fill(&source);
    let by_structure = words.contains(&"struct");
    if !by_structure {
        fill_vectors(&source);
    }
    let refused = payloads(from) > payloads(to);
    for server in [&source, &target] {
        server.tell("CONFIG RESETSTAT");
    }
    let all = data::snapshot(&source, 0);
    let (lost, wanted): (Snapshot, Snapshot) = all
        .into_iter()
        .partition(|(_, value)| is_vectors(&value.body) && to != Version::Redis80);
    let output = told(&source, &target)
        .words(words)
        .run()
        .exits(i32::from(!lost.is_empty()));

    let found = data::snapshot(&target, 0);
    let tolerance = source.tolerance().max(target.tolerance());
    let wrong = if refused || by_structure {
        differences(wanted.clone(), found, tolerance)
    } else {
        data::differences(&wanted, &found, tolerance)
    };
    assert!(wrong.is_empty(), "{}\n{output}", wrong.join("\n"));

    assert_eq!(count(&output, "written"), wanted.len() as u64, "{output}");
    assert_eq!(count(&output, "failed"), lost.len() as u64, "{output}");
    let structures = wanted.values().filter(|value| !is_text(&value.body));
    let least = structures.count() as u64;
    let by_type = count(&output, "by_type");
    if refused || by_structure {
        assert!(by_type >= least, "{least} keys and more\n{output}");
    } else {
        assert_eq!(by_type, 0, "{output}");
    }
    let told = count(&output, "payload_refused");
    assert_eq!(told > 0, refused && !by_structure, "{output}");
    if by_structure {
        assert_eq!((source.calls("dump"), target.calls("restore")), (0, 0));
    }
    let expiries = if to.has_field_expiry() {
        0
    } else {
        data::field_expiries(&wanted)
    };
    assert_eq!(count(&output, "lost_field_expiries"), expiries, "{output}");
    for key in lost.keys() {
        let name = key.0.escape_ascii();
        let line = output.stderr.lines().find(|line| {
            line.contains(&format!("not copied: {name}: ")) && line.contains("vectorset")
        });
        assert!(line.is_some(), "{name} is not named\n{output}");
        source.tell(&format!("DEL {name}"));
    }
    if expiries > 0 {
        for server in [&source, &target] {
            server.tell("DEL hash:field-expiry");
        }
    }
    compare_full(&source, &target)
        .words(["--both", "--show-diffs", "--rounds", "1"])
        .run()
        .exits(0)
        .prints(EQUAL);
}

#[test]
fn what_the_target_has_under_the_names_is_replaced() {
    let (source, target) = super::pair();
    fill(&source);
    let mut c = target.connection();
    for (number, (key, value)) in (0..).zip(data::snapshot(&source, 0)) {
        match (&value.body, number % 2) {
            // The same type, with what the source's value does not have.
            (Body::Hash(_), 0) => run!(c, "HSET", &key.0, "left over", "x", "f", "y"),
            (Body::Set(_), 0) => run!(c, "SADD", &key.0, "left over", "member"),
            (Body::SortedSet(_), 0) => run!(c, "ZADD", &key.0, 9, "left over", 9, "a"),
            (Body::List(_), 0) => run!(c, "RPUSH", &key.0, "left over", "a"),
            (Body::Stream(_), 0) => run!(c, "XADD", &key.0, "5-1", "left", "over"),
            // Another type.
            (Body::Text(_), _) => run!(c, "RPUSH", &key.0, "something", "else"),
            _ => run!(c, "SET", &key.0, "something else"),
        };
        if value.expiry.is_none() {
            run!(c, "PEXPIRE", &key.0, 500_000);
        }
    }
    super::by_type(&source, &target).run().exits(0);
    super::assert_carried(&source, &target);
}

#[test]
fn a_second_run_changes_nothing() {
    let (source, target) = super::pair();
    fill(&source);
    for _ in 0..2 {
        super::by_type(&source, &target).run().exits(0);
        super::assert_carried(&source, &target);
    }
}

#[test]
fn resp2_and_resp3_carry_the_same() {
    let (source, target) = (
        Server::start(Version::Redis80),
        Server::start(Version::Redis70),
    );
    fill(&source);
    for resp in ["2", "3"] {
        super::by_type(&source, &target)
            .words(["--source-resp", resp, "--target-resp", resp])
            .run()
            .exits(0);
        super::assert_carried(&source, &target);
        target.tell("FLUSHALL");
    }
}

#[test]
fn small_budgets_and_batches_carry_the_same() {
    let (source, target) = super::pair();
    fill(&source);
    let ways: [&[&str]; 2] = [
        &["--mem-budget", "1MB", "--batch", "1", "--read-batch", "1"],
        &["--threads", "5", "--read-threads", "3", "--pipeline", "4"],
    ];
    for words in ways {
        super::by_type(&source, &target).words(words).run().exits(0);
        super::assert_carried(&source, &target);
        target.tell("FLUSHALL");
    }
}

#[test]
fn names_that_change_on_the_way() {
    let (source, target) = super::pair();
    fill(&source);
    super::by_type(&source, &target)
        .words(["--key-process", "copy:#{key}", "--big-key", "100KB"])
        .run()
        .exits(0);
    let renamed = data::snapshot(&source, 0)
        .into_iter()
        .map(|(key, value)| (data::Bytes([b"copy:", &key.0[..]].concat()), value))
        .collect();
    let wrong = differences(renamed, data::snapshot(&target, 0), 0);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn another_database_carries_the_same() {
    let (source, target) = super::pair();
    data::fill_every_type(&source, 3);
    super::by_type(&source, &target)
        .words(["--source-db", "3", "--target-db", "5", "--big-key", "1KB"])
        .run()
        .exits(0);
    let found = data::snapshot(&target, 5);
    let wrong = differences(data::snapshot(&source, 3), found, 0);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!((target.keys(0), target.keys(3)), (0, 0));
}

#[test]
fn without_expiries_where_none_are_wanted() {
    let (source, target) = super::pair();
    fill(&source);
    super::by_type(&source, &target)
        .words(["--no-ttl", "--big-key", "1KB"])
        .run()
        .exits(0);
    let mut wanted = data::snapshot(&source, 0);
    for value in wanted.values_mut() {
        value.expiry = None;
    }
    let wrong = differences(wanted, data::snapshot(&target, 0), 0);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
