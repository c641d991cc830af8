//! The quick comparison: what it counts, what it shows, what it leaves alone.

use std::time::Duration;

use crate::data::{self, run};
use crate::proxy::{Direction, Proxy};
use crate::riot::{compare, replicate, riot};
use crate::servers::{Server, Version};
use crate::wait;

/// Two servers that hold the same.
fn equal() -> (Server, Server) {
    let (source, target) = (
        Server::start(Version::Redis70),
        Server::start(Version::Redis70),
    );
    for server in [&source, &target] {
        data::fill_mixed(server, "mixed:", 2000);
    }
    // Filled one after the other: expiries from one of them.
    for (key, value) in data::snapshot(&source, 0) {
        if let Some((at, _)) = value.expiry {
            run!(target.connection(), "PEXPIREAT", &key.0, at);
        }
    }
    (source, target)
}

#[test]
fn equal_servers_compare_equal_and_stay_untouched() {
    let (source, target) = equal();
    let before = data::snapshot(&target, 0);
    let writes = |server: &Server| -> u64 {
        [
            "set",
            "mset",
            "restore",
            "del",
            "unlink",
            "pexpireat",
            "expire",
            "touch",
        ]
        .iter()
        .map(|name| server.calls(name))
        .sum()
    };
    let counted = (writes(&source), writes(&target));
    let output = compare(&source, &target).run().exits(0);
    assert_eq!(
        output.stdout.lines().last(),
        Some("0 missing, 0 type, 0 value, 0 ttl"),
        "{output}"
    );
    assert_eq!((writes(&source), writes(&target)), counted, "{output}");
    data::assert_snapshots(&before, &data::snapshot(&target, 0), 0);
}

#[test]
fn every_difference_is_counted_and_shown() {
    let (source, target) = equal();
    for command in [
        "DEL mixed:0 mixed:3 mixed:4",
        "SET mixed:12 a-string-now",
        "PERSIST mixed:5",
        "PEXPIREAT mixed:8 4102444800123",
        "SET only-here x",
    ] {
        target.tell(command);
    }
    let mut c = source.connection();
    run!(c, "SET", b"bytes \x00\r\n\xff".as_slice(), "x");
    let output = compare(&source, &target)
        .words(["--show-diffs", "--rounds", "1"])
        .run()
        .exits(1);
    assert_eq!(
        output.stdout.lines().last(),
        Some("4 missing, 1 type, 0 value, 2 ttl"),
        "{output}"
    );
    let expected = [
        "missing string mixed:0",
        "missing hash mixed:3",
        "missing list mixed:4",
        "missing string bytes \\x00\\x0d\\x0a\\xff",
        "type mixed:12: expected list but was string",
    ];
    for line in expected {
        assert!(
            output.stdout.lines().any(|found| found == line),
            "`{line}` is not shown\n{output}"
        );
    }
    let ttl = |key: &str, end: &str| {
        let start = format!("ttl {key}: expected ");
        output
            .stdout
            .lines()
            .any(|line| line.starts_with(&start) && line.ends_with(end))
    };
    assert!(ttl("mixed:5", " but was -1"), "{output}");
    assert!(
        output
            .stdout
            .lines()
            .any(|line| line.starts_with("ttl mixed:8: expected -1 but was ")),
        "{output}"
    );
    assert!(!output.stdout.contains("only-here"), "{output}");
}

#[test]
fn without_show_diffs_only_the_counts_are_printed() {
    let (source, target) = equal();
    target.tell("DEL mixed:0");
    compare(&source, &target)
        .words(["--rounds", "1"])
        .run()
        .exits(1)
        .prints("1 missing, 0 type, 0 value, 0 ttl")
        .never_shows("mixed:0");
}

#[test]
fn expiries_within_the_tolerance_are_equal() {
    let (source, target) = (
        Server::start(Version::Redis70),
        Server::start(Version::Redis70),
    );
    let at = data::server_time(&mut source.connection()) + 3_600_000;
    for (key, difference) in [("none", 0), ("small", 80), ("large", 5000)] {
        run!(source.connection(), "SET", key, "x", "PXAT", at);
        run!(
            target.connection(),
            "SET",
            key,
            "x",
            "PXAT",
            at + difference
        );
    }
    compare(&source, &target)
        .words(["--rounds", "1"])
        .run()
        .exits(1)
        .prints("0 missing, 0 type, 0 value, 1 ttl");
    compare(&source, &target)
        .words(["--rounds", "1", "--ttl-tolerance", "10"])
        .run()
        .exits(1)
        .prints("0 missing, 0 type, 0 value, 2 ttl");
    compare(&source, &target)
        .words(["--ttl-tolerance", "10s"])
        .run()
        .exits(0);
    compare(&source, &target)
        .words(["--no-ttl", "--ttl-tolerance", "1"])
        .run()
        .exits(0);
}

#[test]
fn delays_do_not_make_expiries_differ() {
    let (source, target) = equal();
    let slow = Proxy::to(&target.address());
    slow.delay(Direction::Up, Duration::from_millis(250));
    riot([
        "compare",
        "--quick",
        "--ttl-tolerance",
        "20",
        &source.address(),
        &slow.address(),
    ])
    .run()
    .exits(0);
    riot([
        "compare",
        "--quick",
        "--ttl-tolerance",
        "20",
        &slow.address(),
        &source.address(),
    ])
    .run()
    .exits(0);
}

#[test]
fn a_difference_that_goes_away_between_rounds_is_none() {
    let (source, target) = equal();
    target.tell("DEL mixed:0");
    let running = compare(&source, &target)
        .words(["--rounds", "3", "--round-interval", "2s"])
        .spawn();
    let kind =
        |server: &Server| server.calls("type") + server.calls("pexpiretime") + server.calls("pttl");
    wait::until("the first round looked at the target", || {
        (kind(&target) > 100).then_some(())
    });
    wait::until("the first round is over", || {
        let before = kind(&target);
        wait::pause(Duration::from_millis(200));
        (kind(&target) == before).then_some(())
    });
    let (_, value): (Vec<u8>, Vec<u8>) = (
        Vec::new(),
        redis::cmd("DUMP")
            .arg("mixed:0")
            .query(&mut source.connection())
            .unwrap(),
    );
    let at: i64 = source.run("PEXPIRETIME mixed:0");
    run!(
        target.connection(),
        "RESTORE",
        "mixed:0",
        at,
        value,
        "ABSTTL"
    );
    running
        .finish()
        .exits(0)
        .prints("0 missing, 0 type, 0 value, 0 ttl");
}

#[test]
fn a_key_that_both_lost_is_no_difference() {
    let (source, target) = equal();
    let slow = Proxy::to(&target.address());
    slow.delay(Direction::Up, Duration::from_millis(300));
    let running = riot([
        "compare",
        "--quick",
        "--scan-count",
        "5000",
        &source.address(),
        &slow.address(),
    ])
    .spawn();
    wait::until("the source is scanned", || {
        (source.calls("scan") > 0).then_some(())
    });
    for server in [&source, &target] {
        server.tell("FLUSHALL");
    }
    running
        .finish()
        .exits(0)
        .prints("0 missing, 0 type, 0 value, 0 ttl");
}

#[test]
fn replicate_verifies_what_it_wrote() {
    let (source, target) = (
        Server::start(Version::Redis70),
        Server::start(Version::Redis70),
    );
    data::fill_mixed(&source, "mixed:", 2000);
    let slow = Proxy::to(&target.address());
    let running = riot(["replicate".into(), source.uri(), slow.address()])
        .words(["--rate", "1000", "--rounds", "1"])
        .spawn();
    // Someone deletes what has just arrived, and it is not written again.
    wait::until("keys have arrived", || {
        (target.keys(0) > 1000).then_some(())
    });
    target.tell("FLUSHALL");
    let output = running.finish().exits(1);
    let gone = 2000 - target.keys(0);
    output.prints(&format!("{gone} missing, 0 type, 0 value, 0 ttl"));
}

#[test]
fn compare_none_and_no_verify_look_at_nothing() {
    let (source, target) = (
        Server::start(Version::Redis70),
        Server::start(Version::Redis70),
    );
    data::fill_mixed(&source, "mixed:", 800);
    for word in ["--compare=none", "--no-verify"] {
        target.tell("CONFIG RESETSTAT");
        let output = replicate(&source, &target).word(word).run().exits(0);
        assert!(!output.stdout.contains("missing"), "{output}");
        assert_eq!(target.calls("type"), 0, "{output}");
    }
}

#[test]
fn filters_and_names_hold_for_the_comparison() {
    let (source, target) = (
        Server::start(Version::Redis70),
        Server::start(Version::Redis70),
    );
    data::fill_mixed(&source, "a:", 400);
    data::fill_mixed(&source, "b:", 400);
    let words = ["--key-pattern", "a:*", "--key-process", "copy:#{key}"];
    replicate(&source, &target).words(words).run().exits(0);
    compare(&source, &target).words(words).run().exits(0);
    compare(&source, &target)
        .words(["--rounds", "1"])
        .run()
        .exits(1)
        .prints("800 missing, 0 type, 0 value, 0 ttl");
}

#[test]
fn a_comparison_survives_lost_connections() {
    let (source, target) = equal();
    let (to_source, to_target) = (Proxy::to(&source.address()), Proxy::to(&target.address()));
    to_source.cut_each(Direction::Down, 20_000, 2);
    to_target.cut_each(Direction::Down, 10_000, 2);
    riot([
        "compare",
        "--quick",
        &to_source.address(),
        &to_target.address(),
    ])
    .run()
    .exits(0)
    .prints("0 missing, 0 type, 0 value, 0 ttl");
    assert!(to_source.cuts() + to_target.cuts() >= 2);
}
