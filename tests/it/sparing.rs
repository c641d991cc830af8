//! The source is spared: `--source-cpu` bounds what a run takes of its time, read from the source's own CPU time.

use std::time::Instant;

use crate::data;
use crate::riot::{replicate, riot};
use crate::servers::{Server, Version};

const KEYS: u32 = 60_000;

/// Seconds of CPU that a server has used.
fn cpu(server: &Server) -> f64 {
    let seconds = |field: &str| server.info(field).parse::<f64>().unwrap();
    seconds("used_cpu_user") + seconds("used_cpu_sys")
}

/// Copies with such a limit, and gives the share of a core that the source was busy for.
fn share(source: &Server, target: &Server, from: &str, limit: &str) -> f64 {
    let (before, began) = (cpu(source), Instant::now());
    let words = ["replicate".into(), from.into(), target.uri()];
    riot(words)
        .words(["--no-verify", "--source-cpu", limit])
        .run()
        .exits(0)
        .holds("what it took", |output| {
            output.stdout.contains(&format!("(--source-cpu {limit})"))
        });
    let share = (cpu(source) - before) / began.elapsed().as_secs_f64();
    data::assert_same(source, target);
    share
}

/// A share of a tenth, on every server, with what a run needs that does not copy.
fn a_tenth(version: Version) {
    let (source, target) = (Server::start(version), Server::start(Version::Valkey81));
    data::fill_strings(&source, "string:", KEYS, 100);
    data::fill_mixed(&source, "mixed:", 2000);
    let share = share(&source, &target, &source.uri(), "10%");
    assert!(share < 0.15, "{share}");
}

#[test]
fn a_run_takes_no_more_than_its_share_redis_6_0() {
    a_tenth(Version::Redis60);
}

#[test]
fn a_run_takes_no_more_than_its_share_redis_8_0() {
    a_tenth(Version::Redis80);
}

#[test]
fn where_info_is_not_allowed_the_share_is_measured_by_answers() {
    let source = Server::with(Version::Redis70)
        .acl("user reader on >pw ~* &* +@all -info")
        .start();
    let target = Server::start(Version::Redis70);
    data::fill_strings(&source, "string:", KEYS, 100);
    let from = format!("redis://reader:pw@{}", source.address());
    let share = share(&source, &target, &from, "20%");
    assert!(share < 0.4, "{share}");
}

#[test]
fn comparing_and_following_take_their_share_alone_too() {
    let (source, target) = (
        Server::start(Version::Redis70),
        Server::start(Version::Redis70),
    );
    data::fill_strings(&source, "string:", KEYS, 100);
    replicate(&source, &target).run().exits(0);
    let (before, began) = (cpu(&source), Instant::now());
    let words = ["compare".into(), source.uri(), target.uri()];
    riot(words).words(["--source-cpu", "10"]).run().exits(0);
    let share = (cpu(&source) - before) / began.elapsed().as_secs_f64();
    assert!(share < 0.15, "{share}");
    target.tell("FLUSHALL");
    source.tell("CONFIG SET notify-keyspace-events KA");
    let (before, began) = (cpu(&source), Instant::now());
    let words = ["replicate".into(), source.uri(), target.uri()];
    riot(words)
        .words(["--live", "--idle-timeout", "300ms", "--source-cpu", "10%"])
        .run()
        .exits(0);
    let share = (cpu(&source) - before) / began.elapsed().as_secs_f64();
    assert!(share < 0.2, "{share}");
    data::assert_same(&source, &target);
}

#[test]
fn a_share_that_is_none_is_refused() {
    for wrong in ["0", "101%", "much", "-5", "%"] {
        riot(["replicate", "127.0.0.1:1", "127.0.0.1:2"])
            .words([&format!("--source-cpu={wrong}")])
            .run()
            .refuses(2, &["--source-cpu", "no share of a core"]);
    }
    riot(["replicate", "127.0.0.1:1", "127.0.0.1:2"])
        .words(["--source-cpu", "10", "--source-pool", "2"])
        .run()
        .refuses(2, &["--source-cpu", "--source-pool must be 3 or more"]);
}
