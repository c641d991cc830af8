//! A link that is slower than the servers: strings that DUMP compresses travel as payloads.

use std::time::Duration;

use crate::data;
use crate::proxy::{Direction, Proxy};
use crate::riot::{Output, replicate, riot};
use crate::servers::{Server, Version};
use crate::size::size;
use crate::store::Store;

/// Both servers, and a link to one of them.
struct Pair {
    source: Server,
    target: Server,
    keys: u32,
}

/// What a string is made of.
#[derive(Clone, Copy)]
enum Value {
    /// Words that come again and again.
    Json,
    /// Nothing comes again.
    Random,
}

impl Pair {
    fn new((from, to): (Version, Version), value: Value) -> Self {
        let source = Server::start(from);
        let keys = size().packing;
        let mut c = source.client();
        let mut random = fastrand::Rng::with_seed(7);
        for part in (0..keys).collect::<Vec<_>>().chunks(1000) {
            let mut pipe = redis::pipe();
            for number in part {
                let value = match value {
                    Value::Json => format!(
                        "{{\"id\": {number}, {}}}",
                        "\"name\": \"customer\", \"orders\": [1, 2, 3], ".repeat(20)
                    )
                    .into_bytes(),
                    Value::Random => {
                        let mut bytes = vec![0; 1000];
                        random.fill(&mut bytes);
                        bytes
                    }
                };
                pipe.cmd("SET")
                    .arg(format!("doc:{number}"))
                    .arg(value)
                    .ignore();
                if number % 3 == 0 {
                    pipe.cmd("PEXPIRE")
                        .arg(format!("doc:{number}"))
                        .arg(3_600_000)
                        .ignore();
                }
            }
            let () = pipe.query(&mut c).unwrap();
        }
        Self {
            source,
            target: Server::start(to),
            keys,
        }
    }

    /// A copy over a link to one of the servers that carries two megabytes a second.
    fn copy(&self, slow: Side) -> Output {
        let server = match slow {
            Side::Source => &self.source,
            Side::Target => &self.target,
        };
        let proxy = Proxy::to(&server.address());
        for direction in [Direction::Up, Direction::Down] {
            proxy.delay(direction, Duration::from_millis(2));
            proxy.carry(direction, 2_000_000);
        }
        let at = format!("redis://{}", proxy.address());
        let (from, to) = match slow {
            Side::Source => (at, self.target.uri()),
            Side::Target => (self.source.uri(), at),
        };
        let output = riot([
            "replicate",
            &from,
            &to,
            "--debug",
            "--no-verify",
            "--mem-budget",
            "1mb",
        ])
        .run()
        .exits(0);
        data::assert_same(&self.source, &self.target);
        output
    }

    /// More than are read by DUMP to try it, and fewer than where most are.
    fn some(&self) -> u64 {
        u64::from(self.keys) / 4
    }

    fn dumped(&self) -> u64 {
        self.source.calls("dump")
    }
}

/// The side that is far away.
#[derive(Clone, Copy)]
enum Side {
    Source,
    Target,
}

const SAME: (Version, Version) = (Version::Redis70, Version::Redis70);

#[test]
fn to_a_far_target_most_strings_go_as_payloads() {
    let pair = Pair::new(SAME, Value::Json);
    pair.copy(Side::Target)
        .says("strings are read by DUMP and written by RESTORE");
    let (dumped, restored) = (pair.dumped(), pair.target.calls("restore"));
    assert!(dumped > pair.some(), "{dumped} of {}", pair.keys);
    assert!(restored > pair.some(), "{restored} of {}", pair.keys);
}

#[test]
fn from_a_far_source_most_strings_go_as_payloads() {
    let pair = Pair::new((Version::Redis60, Version::Redis80), Value::Json);
    pair.copy(Side::Source)
        .says("strings are read by DUMP and written by RESTORE");
    let dumped = pair.dumped();
    assert!(dumped > pair.some(), "{dumped} of {}", pair.keys);
}

#[test]
fn strings_that_are_not_compressed_go_as_they_are() {
    let pair = Pair::new(SAME, Value::Random);
    pair.copy(Side::Target)
        .says("strings are read by MGET: payloads have");
    let dumped = pair.dumped();
    assert!(dumped < pair.some(), "{dumped} of {}", pair.keys);
}

#[test]
fn to_a_target_of_older_payloads_strings_go_as_they_are() {
    let pair = Pair::new((Version::Redis80, Version::Redis60), Value::Json);
    pair.copy(Side::Target);
    let dumped = pair.dumped();
    assert!(dumped < pair.some(), "{dumped} of {}", pair.keys);
}

#[test]
fn near_servers_are_asked_by_mget() {
    let pair = Pair::new(SAME, Value::Json);
    replicate(&pair.source, &pair.target).run().exits(0);
    let dumped = pair.dumped();
    assert!(dumped < pair.some(), "{dumped} of {}", pair.keys);
    data::assert_same(&pair.source, &pair.target);
}
