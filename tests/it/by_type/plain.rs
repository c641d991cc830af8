//! Hashes and lists of few long values that DUMP cannot compress: their own commands are cheaper.

use super::told;
use crate::data;
use crate::riot::{Output, Riot};
use crate::servers::{Server, Version};
use crate::store::Store as _;

const KEYS: u64 = 5_000;

/// What the long values are made of.
#[derive(Clone, Copy, PartialEq)]
enum Value {
    /// Nothing comes again.
    Random,
    /// One letter.
    Even,
}

/// Hashes and lists, a third of them with expiries.
fn fill(source: &Server, value: Value) {
    let mut random = fastrand::Rng::with_seed(11);
    let mut pipe = redis::pipe();
    for number in 0..KEYS {
        let (hash, list) = (format!("h:{number}"), format!("l:{number}"));
        for field in 0..4 {
            let mut long = vec![b'x'; 1500 + 300 * field];
            if value == Value::Random {
                random.fill(&mut long);
            }
            pipe.cmd("HSET").arg(&hash).arg(field).arg(&long).ignore();
            pipe.cmd("RPUSH").arg(&list).arg(&long).ignore();
        }
        if number % 3 == 0 {
            pipe.cmd("PEXPIRE").arg(&hash).arg(3_600_000).ignore();
            pipe.cmd("PEXPIRE").arg(&list).arg(7_200_000).ignore();
        }
    }
    let () = pipe.query(&mut source.client()).unwrap();
}

fn copy(source: &Server, target: &Server, user: impl Fn(Riot) -> Riot) -> Output {
    let output = user(told(source, target).word("--no-verify"))
        .run()
        .exits(0);
    data::assert_same(source, target);
    output
}

#[test]
fn they_go_by_their_own_commands() {
    for version in [
        Version::Redis60,
        Version::Redis70,
        Version::Redis80,
        Version::Valkey81,
    ] {
        let (source, target) = (Server::start(version), Server::start(version));
        fill(&source, Value::Random);
        let output = copy(&source, &target, |run| run);
        let dumped = source.calls("dump");
        assert!(
            dumped < KEYS,
            "{version:?}: {dumped} of {}\n{output}",
            2 * KEYS
        );
        // One in 32 is read by DUMP, as what those like it are may change.
        assert!(dumped > 2 * KEYS / 64, "{version:?}: {dumped}");
    }
}

#[test]
fn those_that_are_compressed_go_as_payloads() {
    let (source, target) = (
        Server::start(Version::Redis70),
        Server::start(Version::Redis70),
    );
    fill(&source, Value::Even);
    copy(&source, &target, |run| run);
    assert!(source.calls("dump") >= 2 * KEYS, "{}", source.calls("dump"));
}

#[test]
fn users_without_the_commands_of_the_types_lose_nothing() {
    let from = "~* &* +@connection +dump +scan +mget +get +pexpiretime +pttl +multi +exec +memory|usage +time +info";
    let to = "~* &* +@connection +restore +mset +set +del +unlink +pttl +pexpiretime +multi +exec +time +info";
    for (rules_from, rules_to) in [(from, "~* &* +@all"), ("~* &* +@all", to), (from, to)] {
        let user = |rules: &str| {
            let acl = format!("user default on nopass ~* &* +@all\nuser few on >secret {rules}\n");
            Server::with(Version::Redis70).acl(&acl).start()
        };
        let (source, target) = (user(rules_from), user(rules_to));
        fill(&source, Value::Random);
        let run = |run: Riot| {
            run.words(["--source-user", "few", "--source-pass", "secret"])
                .words(["--target-user", "few", "--target-pass", "secret"])
        };
        let output = copy(&source, &target, run);
        assert!(source.calls("dump") > KEYS, "{output}");
    }
}
