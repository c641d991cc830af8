//! From each server to the others: what the target can read arrives; what it cannot is named.

use crate::data::{self, Body};
use crate::riot::replicate;
use crate::servers::{Server, Version};

fn arrives(from: Version, to: Version) {
    let (source, target) = (Server::start(from), Server::start(to));
    data::fill_every_type(&source, 0);
    data::fill_mixed(&source, "mixed:", 2000);
    replicate(&source, &target)
        .run()
        .exits(0)
        .prints("0 missing, 0 type, 0 value, 0 ttl\n");
    data::assert_same(&source, &target);
}

#[test]
fn redis_6_0_to_redis_7_0() {
    arrives(Version::Redis60, Version::Redis70);
}

#[test]
fn redis_7_0_to_redis_8_0() {
    arrives(Version::Redis70, Version::Redis80);
}

#[test]
fn redis_7_0_to_valkey_8_1() {
    arrives(Version::Redis70, Version::Valkey81);
}

#[test]
fn redis_6_0_to_redis_6_0() {
    arrives(Version::Redis60, Version::Redis60);
}

#[test]
fn redis_8_0_to_redis_8_0() {
    arrives(Version::Redis80, Version::Redis80);
}

#[test]
fn valkey_8_1_to_valkey_8_1() {
    arrives(Version::Valkey81, Version::Valkey81);
}

/// The strings arrive, each other key fails by name with what to do, and the rest of the report is right.
fn refuses_payloads(from: Version, to: Version) {
    let (source, target) = (Server::start(from), Server::start(to));
    data::fill_mixed(&source, "mixed:", 400);
    source.tell("PEXPIREAT mixed:1 4102444800123");
    let output = replicate(&source, &target).run().exits(1);
    let everything = data::snapshot(&source, 0);
    let strings: data::Snapshot = everything
        .clone()
        .into_iter()
        .filter(|(_, value)| matches!(value.body, Body::Text(_)))
        .collect();
    let counts = output.counts();
    assert_eq!(counts.written, strings.len() as u64, "{output}");
    assert_eq!(
        counts.failed,
        (everything.len() - strings.len()) as u64,
        "{output}"
    );
    data::assert_snapshots(&strings, &data::snapshot(&target, 0), 0);

    let missing = format!(
        "{} missing, 0 type, 0 value, 0 ttl",
        everything.len() - strings.len()
    );
    output
        .prints(&missing)
        .says("mixed:3")
        .says("DUMP payload version or checksum are wrong")
        .holds("the line says what to do", |output| {
            output.stderr.contains("struct") || output.stderr.contains("newer")
        });
}

#[test]
fn payloads_of_redis_8_0_are_refused_by_redis_7_0_key_by_key() {
    refuses_payloads(Version::Redis80, Version::Redis70);
}

#[test]
fn payloads_of_redis_7_0_are_refused_by_redis_6_0_key_by_key() {
    refuses_payloads(Version::Redis70, Version::Redis60);
}

#[test]
fn payloads_of_redis_8_0_are_refused_by_valkey_8_1_key_by_key() {
    refuses_payloads(Version::Redis80, Version::Valkey81);
}
