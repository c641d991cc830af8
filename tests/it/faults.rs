//! Faults of networks and servers: nothing lost, nothing doubled, the status right.

use std::time::Duration;

use crate::data;
use crate::proxy::{Direction, Proxy};
use crate::riot::{Riot, replicate, riot};
use crate::servers::{Server, Version};
use crate::size::size;
use crate::wait;

/// Source with data for a fault test, an empty target, and a proxy in front of each.
struct Stage {
    source: Server,
    target: Server,
    to_source: Proxy,
    to_target: Proxy,
}

impl Stage {
    /// Some 300 bytes a key: 9 MB by default.
    fn new() -> Self {
        Self::with(
            Server::start(Version::Redis70),
            Server::start(Version::Redis70),
        )
    }

    fn with(source: Server, target: Server) -> Self {
        data::fill_every_type(&source, 0);
        data::fill_mixed(&source, "mixed:", size().fault_keys / 3);
        data::fill_strings(&source, "string:", size().fault_keys * 2 / 3, 400);
        let (to_source, to_target) = (Proxy::to(&source.address()), Proxy::to(&target.address()));
        Self {
            source,
            target,
            to_source,
            to_target,
        }
    }

    fn replicate(&self) -> Riot {
        riot([
            "replicate",
            &self.to_source.address(),
            &self.to_target.address(),
        ])
    }

    /// Runs it with these words to a good end, and expects everything at the target.
    #[track_caller]
    fn arrives<const N: usize>(&self, words: [&str; N]) {
        self.replicate()
            .words(words)
            .run()
            .exits(0)
            .prints("0 missing, 0 type, 0 value, 0 ttl");
        data::assert_same(&self.source, &self.target);
    }
}

/// As many cuts as the default `--retry-limit` allows one key to see.
const CUTS: u32 = 3;

#[test]
fn connections_to_the_target_are_cut_in_the_middle_of_batches() {
    let stage = Stage::new();
    stage.to_target.cut_each(Direction::Up, 1_500_000, CUTS);
    stage.arrives([]);
    assert_eq!(stage.to_target.cuts(), u64::from(CUTS));
}

#[test]
fn answers_of_the_target_are_cut_off() {
    let stage = Stage::new();
    // Writes arrive, and riot does not hear of it.
    stage.to_target.cut_each(Direction::Down, 10_001, CUTS);
    stage.arrives([]);
    assert_eq!(stage.to_target.cuts(), u64::from(CUTS));
}

#[test]
fn connections_to_the_source_are_cut_in_the_middle_of_answers() {
    let stage = Stage::new();
    stage.to_source.cut_each(Direction::Down, 1_500_000, CUTS);
    stage.arrives([]);
    assert_eq!(stage.to_source.cuts(), u64::from(CUTS));
}

#[test]
fn connections_of_both_sides_are_cut_again_and_again() {
    let stage = Stage::new();
    let cuts = size().cuts;
    stage.to_source.cut_each(Direction::Down, 1_200_000, cuts);
    stage.to_target.cut_each(Direction::Up, 900_000, cuts);
    stage.arrives(["--retry", "always"]);
    let seen = (stage.to_source.cuts(), stage.to_target.cuts());
    assert_eq!(seen, (u64::from(cuts), u64::from(cuts)));
}

#[test]
fn connections_of_both_sides_are_reset() {
    let stage = Stage::new();
    let running = stage.replicate().words(["--rate", "15000"]).spawn();
    for part in [5, 3, 2] {
        let keys = u64::from(size().fault_keys) / part;
        wait::until("a part has arrived", || {
            (stage.target.keys(0) > keys).then_some(())
        });
        stage.to_source.reset();
        stage.to_target.reset();
    }
    running
        .finish()
        .exits(0)
        .prints("0 missing, 0 type, 0 value, 0 ttl");
    data::assert_same(&stage.source, &stage.target);
}

#[test]
fn a_connection_that_a_firewall_forgot_is_noticed_by_the_timeout() {
    for side in ["source", "target"] {
        let stage = Stage::new();
        let words = [
            "--rate",
            "15000",
            "--source-timeout",
            "2s",
            "--target-timeout",
            "2s",
        ];
        let running = stage.replicate().words(words).spawn();
        wait::until("some keys have arrived", || {
            (stage.target.keys(0) > 1000).then_some(())
        });
        if side == "source" {
            stage.to_source.half_open();
        } else {
            stage.to_target.half_open();
        }
        running
            .finish()
            .exits(0)
            .prints("0 missing, 0 type, 0 value, 0 ttl");
        data::assert_same(&stage.source, &stage.target);
    }
}

#[test]
fn a_target_that_stalls_for_a_while_gets_everything() {
    let stage = Stage::new();
    let running = stage.replicate().words(["--rate", "15000"]).spawn();
    wait::until("some keys have arrived", || {
        (stage.target.keys(0) > 1000).then_some(())
    });
    stage.to_target.stall(Direction::Up);
    let held = wait::until("nothing more arrives", || {
        let before = stage.target.keys(0);
        wait::pause(Duration::from_millis(300));
        (stage.target.keys(0) == before).then_some(before)
    });
    assert!(held < stage.source.keys(0));
    stage.to_target.flow(Direction::Up);
    running.finish().exits(0);
    data::assert_same(&stage.source, &stage.target);
}

#[test]
fn the_target_is_restarted_in_the_middle() {
    let stage = Stage::with(
        Server::start(Version::Redis70),
        Server::with(Version::Redis70).persistent().start(),
    );
    let running = replicate(&stage.source, &stage.target)
        .words(["--rate", "15000"])
        .spawn();
    wait::until("some keys have arrived", || {
        (stage.target.keys(0) > 2000).then_some(())
    });
    stage.target.kill();
    stage.target.restart();
    running
        .finish()
        .exits(0)
        .prints("0 missing, 0 type, 0 value, 0 ttl");
    data::assert_same(&stage.source, &stage.target);
}

#[test]
fn the_source_is_restarted_in_the_middle() {
    // Its tables have another order afterwards: an old SCAN cursor would leave keys out.
    let stage = Stage::with(
        Server::with(Version::Redis70).persistent().start(),
        Server::start(Version::Redis70),
    );
    let running = replicate(&stage.source, &stage.target)
        .words(["--rate", "15000"])
        .spawn();
    wait::until("some keys have arrived", || {
        (stage.target.keys(0) > 2000).then_some(())
    });
    stage.source.kill();
    stage.source.restart();
    running
        .finish()
        .exits(0)
        .prints("0 missing, 0 type, 0 value, 0 ttl");
    data::assert_same(&stage.source, &stage.target);
}

#[test]
fn a_target_that_loads_its_data_is_waited_for() {
    // A key takes a millisecond to load: two seconds of LOADING.
    let target = Server::with(Version::Redis70)
        .persistent()
        .arguments([
            "--key-load-delay",
            "1000",
            "--loading-process-events-interval-bytes",
            "1024",
        ])
        .start();
    data::fill_strings(&target, "old:", 2000, 50);
    let source = Server::start(Version::Redis70);
    data::fill_every_type(&source, 0);
    target.kill();
    target.restart_in_background();
    wait::until("the target listens", || {
        std::net::TcpStream::connect(target.address()).ok()
    });
    replicate(&source, &target).run().exits(0);
    assert_eq!(target.keys(0), 2000 + source.keys(0));
}

#[test]
fn a_target_that_is_lost_for_good_ends_the_run_by_its_name() {
    let stage = Stage::new();
    let running = replicate(&stage.source, &stage.target)
        .words(["--rate", "15000", "--reconnect-timeout", "1s"])
        .deadline(Duration::from_secs(30))
        .spawn();
    wait::until("some keys have arrived", || {
        (stage.target.keys(0) > 1000).then_some(())
    });
    stage.target.kill();
    running
        .finish()
        .exits(3)
        .says(&stage.target.address())
        .says("target");
}

#[test]
fn a_source_that_is_lost_for_good_ends_the_run_by_its_name() {
    let stage = Stage::new();
    let running = replicate(&stage.source, &stage.target)
        .words(["--rate", "15000", "--reconnect-timeout", "1s"])
        .deadline(Duration::from_secs(30))
        .spawn();
    wait::until("some keys have arrived", || {
        (stage.target.keys(0) > 1000).then_some(())
    });
    stage.source.kill();
    running
        .finish()
        .exits(3)
        .says(&stage.source.address())
        .says("source");
}

#[test]
fn a_lost_connection_ends_a_run_that_may_not_reconnect() {
    let stage = Stage::new();
    stage.to_target.cut_after(Direction::Up, 2_000_000);
    stage
        .replicate()
        .word("--no-auto-reconnect")
        .run()
        .exits(3)
        .says(&stage.to_target.address());
    assert_eq!(stage.to_target.cuts(), 1);
}

#[test]
fn a_full_target_fails_keys_by_name_and_loses_count_of_none() {
    let target = Server::with(Version::Redis70)
        .arguments(["--maxmemory", "4mb", "--maxmemory-policy", "noeviction"])
        .start();
    let source = Server::start(Version::Redis70);
    data::fill_strings(&source, "key:", 20_000, 400);
    let output = replicate(&source, &target)
        .words(["--compare", "none"])
        .run()
        .exits(1);
    let counts = output.counts();
    assert_eq!(counts.scanned, 20_000, "{output}");
    assert!(counts.failed > 0 && counts.written > 0, "{output}");
    assert_eq!(counts.written, target.keys(0), "{output}");
    output.says("OOM").says("key:");
}

#[test]
fn a_full_target_that_gets_room_again_gets_everything() {
    let target = Server::with(Version::Redis70)
        .arguments(["--maxmemory", "4mb", "--maxmemory-policy", "noeviction"])
        .start();
    let source = Server::start(Version::Redis70);
    data::fill_strings(&source, "key:", 20_000, 400);
    let mut running = replicate(&source, &target)
        .words(["--retry", "always"])
        .spawn();
    running.wait_for("OOM");
    target.tell("CONFIG SET maxmemory 0");
    running
        .finish()
        .exits(0)
        .prints("0 missing, 0 type, 0 value, 0 ttl");
    data::assert_same(&source, &target);
}

#[test]
fn a_read_only_replica_is_no_target() {
    let master = Server::start(Version::Redis70);
    let replica = Server::with(Version::Redis70)
        .arguments(["--replicaof", &format!("127.0.0.1 {}", master.port())])
        .start();
    wait::until("the replica follows", || {
        (replica.info("master_link_status") == "up").then_some(())
    });
    let source = Server::start(Version::Redis70);
    data::fill_every_type(&source, 0);
    replicate(&source, &replica)
        .run()
        .refuses(3, &["replica", &replica.address()]);
    assert_eq!((master.keys(0), replica.keys(0)), (0, 0));
}

#[test]
fn a_slow_way_to_the_target_is_kept_full() {
    let stage = Stage::new();
    stage
        .to_target
        .delay(Direction::Up, Duration::from_millis(200));
    stage
        .to_target
        .delay(Direction::Down, Duration::from_millis(200));
    // One batch at a time, of 500 keys each 400 ms, would take 24 s for 30,000 keys.
    let output = stage
        .replicate()
        .words(["--compare", "none"])
        .run()
        .exits(0);
    assert!(output.elapsed < Duration::from_secs(12), "{output}");
    data::assert_same(&stage.source, &stage.target);
}

#[test]
fn a_key_that_the_target_refuses_fails_alone() {
    let source = Server::start(Version::Redis70);
    let target = Server::with(Version::Redis70)
        .acl("user default on nopass ~* &* +@all\nuser writer on >secret %R~* ~allowed:* +@all\n")
        .start();
    data::fill_mixed(&source, "allowed:", 2000);
    for number in 0..5 {
        source.tell(&format!("SET forbidden:{number} x"));
        source.tell(&format!("RPUSH forbidden:list:{number} x"));
    }
    let output = replicate(&source, &target)
        .words(["--target-user", "writer", "--target-pass", "secret"])
        .run()
        .exits(1);
    let counts = output.counts();
    assert_eq!((counts.written, counts.failed), (2000, 10), "{output}");
    let expected = data::snapshot(&source, 0)
        .into_iter()
        .filter(|(key, _)| key.0.starts_with(b"allowed:"))
        .collect();
    data::assert_snapshots(&expected, &data::snapshot(&target, 0), 0);
    output
        .says("forbidden:list:4")
        .says("forbidden:0")
        .prints("10 missing, 0 type, 0 value, 0 ttl");
}

#[test]
fn skip_never_ends_the_run_at_the_first_failed_key() {
    let source = Server::start(Version::Redis70);
    let target = Server::with(Version::Redis70)
        .acl("user default on nopass ~* &* +@all\nuser writer on >secret %R~* ~allowed:* +@all\n")
        .start();
    data::fill_strings(&source, "forbidden:", 50_000, 50);
    let words = [
        "--target-user",
        "writer",
        "--target-pass",
        "secret",
        "--skip",
        "never",
        "--compare",
        "none",
    ];
    let output = replicate(&source, &target).words(words).run().exits(1);
    let counts = output.counts();
    assert!(counts.failed >= 1 && counts.scanned < 50_000, "{output}");
}
