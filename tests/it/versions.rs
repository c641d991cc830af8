//! From each server to those that read its payloads; `by_type::matrix` has the others.

use crate::data;
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
