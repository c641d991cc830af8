//! Sets and hashes that are hash tables: each server has an order of its own, and none of it is a difference.

use std::fmt::Write as _;

use crate::data::run;
use crate::riot::compare_full;
use crate::servers::{Server, Version};

const KEYS: usize = 40;
const ELEMENTS: usize = 30;

/// Longer than what a server packs, and one that it compresses.
fn text(number: usize) -> String {
    match number % 3 {
        0 => format!("{number}-{}", "x".repeat(100)),
        1 => (0..12).fold(String::new(), |mut text, part| {
            let _ = write!(text, "{:06x}", (number + 1) * (part + 977) * 7919);
            text
        }),
        _ => format!("{number}"),
    }
}

/// The same keys, their elements added in this order.
fn fill(server: &Server, order: impl Fn(usize) -> usize) {
    let mut pipe = redis::pipe();
    for key in 0..KEYS {
        let (mut set, mut hash) = (redis::cmd("SADD"), redis::cmd("HSET"));
        set.arg(format!("set:{key}"));
        hash.arg(format!("hash:{key}"));
        for place in 0..ELEMENTS {
            let element = order(place);
            set.arg(text(key * ELEMENTS + element));
            hash.arg(format!("field {element}")).arg(text(element));
        }
        pipe.add_command(set).ignore();
        pipe.add_command(hash).ignore();
    }
    pipe.exec(&mut server.connection()).expect("filled");
}

#[test]
fn hash_tables_are_compared_by_their_payloads_whatever_their_order() {
    for version in [
        Version::Redis60,
        Version::Redis70,
        Version::Redis80,
        Version::Valkey81,
    ] {
        let (source, target) = (Server::start(version), Server::start(version));
        fill(&source, |place| place);
        fill(&target, |place| ELEMENTS - 1 - place);
        let encoding: String = source.run("OBJECT ENCODING set:1");
        assert_eq!(encoding, "hashtable");
        compare_full(&source, &target)
            .run()
            .exits(0)
            .prints("0 missing, 0 type, 0 value, 0 ttl");
        for server in [&source, &target] {
            for command in ["smembers", "sscan", "hgetall", "hscan"] {
                assert_eq!(server.calls(command), 0, "{command}, {version:?}");
            }
        }

        // As many members; the values of two fields for each other; one byte.
        run!(target.connection(), "SREM", "set:3", text(3 * ELEMENTS));
        run!(target.connection(), "SADD", "set:3", text(KEYS * ELEMENTS));
        run!(
            target.connection(),
            "HSET",
            "hash:5",
            "field 0",
            text(3),
            "field 3",
            text(0)
        );
        run!(target.connection(), "HSET", "hash:7", "field 2", "3");
        let output = compare_full(&source, &target)
            .words(["--show-diffs", "--rounds", "1"])
            .run()
            .exits(1)
            .prints("0 missing, 0 type, 3 value, 0 ttl");
        for line in ["value set set:3", "value hash hash:5", "value hash hash:7"] {
            assert!(output.stdout.lines().any(|told| told == line), "{output}");
        }
    }
}
