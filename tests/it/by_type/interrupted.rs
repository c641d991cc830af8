//! What ends in the middle of a big key: riot, a server, a connection. No half value, and nothing left behind.

use super::filling::{KINDS, fill_big, fill_big_kinds};
use super::{assert_carried, assert_no_rubbish, count, pair, temporary, told};
use crate::data::{self, Snapshot};
use crate::proxy::{Direction, Proxy};
use crate::riot::{Riot, Running, riot};
use crate::servers::{Server, Version};
use crate::store::Store as _;
use crate::wait;

/// Elements of a value of some 7 MB.
const ELEMENTS: u32 = 60_000;
/// In the middle of it.
const MIDDLE: u64 = 3 << 20;

/// Source and target, with a proxy in front of each.
struct Stage {
    source: Server,
    target: Server,
    to_source: Proxy,
    to_target: Proxy,
}

impl Stage {
    /// One big key called `key`, and an older value of it at the target.
    fn of(kind: &str) -> Self {
        Self::with(pair(), kind)
    }

    fn with((source, target): (Server, Server), kind: &str) -> Self {
        fill_big(&mut source.connection(), kind, b"key", ELEMENTS, 1);
        fill_big(&mut target.connection(), kind, b"key", 500, 2);
        source.tell("PEXPIREAT key 4102444800123");
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
            "replicate".into(),
            self.to_source.address(),
            self.to_target.address(),
        ])
        .words(["--big-key", "1MB", "--report", "json"])
    }

    /// Everything has arrived, and nothing else.
    #[track_caller]
    fn arrived(&self) {
        assert_carried(&self.source, &self.target);
        assert_no_rubbish(&self.target);
    }

    /// What the target holds, temporary names left out.
    fn held(&self) -> Snapshot {
        let names = temporary(&self.target);
        let mut held = data::snapshot(&self.target, 0);
        held.retain(|key, _| !names.contains(&key.0.escape_ascii().to_string()));
        held
    }

    /// Starts a run that is in the middle of the key, and stays there.
    fn in_the_middle(&self, kind: &str, words: &[&str]) -> Running {
        self.to_target.stall_after(Direction::Up, MIDDLE);
        let mut running = self.replicate().words(words).spawn();
        wait::until("the run is in the middle of the key", || {
            assert!(running.is_running(), "{}", running.stderr());
            let there = kind == "string" || !temporary(&self.target).is_empty();
            (self.to_target.is_stalled(Direction::Up) && there).then_some(())
        });
        running
    }
}

#[test]
fn a_killed_run_leaves_no_half_value_and_the_next_one_no_rubbish() {
    for kind in KINDS {
        let stage = Stage::of(kind);
        let before = data::snapshot(&stage.target, 0);
        let running = stage.in_the_middle(kind, &[]);
        running.signal("KILL");
        assert_eq!(running.finish().code(), None, "{kind}");
        stage.to_target.cut();
        stage.to_target.flow(Direction::Up);
        data::assert_snapshots(&before, &stage.held(), 0);
        told(&stage.source, &stage.target)
            .words(["--big-key", "1MB"])
            .run()
            .exits(0);
        stage.arrived();
    }
}

#[test]
fn what_a_killed_run_left_ends_by_itself_where_its_key_is_gone() {
    let stage = Stage::of("hash");
    let running = stage.in_the_middle("hash", &[]);
    running.signal("KILL");
    running.finish();
    stage.to_target.cut();
    stage.source.tell("DEL key");
    stage.source.tell("SET another 1");
    told(&stage.source, &stage.target).run().exits(0);
    for name in temporary(&stage.target) {
        let left: i64 = stage.target.run(&format!("PTTL {name}"));
        assert!((1..=15 * 60 * 1000).contains(&left), "{name}: {left} ms");
    }
    assert_eq!(stage.target.run::<u64>("HLEN key"), 500);
}

#[test]
fn a_run_that_is_told_to_stop_leaves_no_rubbish() {
    let stage = Stage::of("zset");
    let running = stage.in_the_middle("zset", &[]);
    running.signal("TERM");
    stage.to_target.flow(Direction::Up);
    let output = running.finish();
    assert!([Some(0), Some(130)].contains(&output.code()), "{output}");
    // What was begun is done: the old value where the key had not been taken from the queue yet.
    let members = if count(&output, "written") == 1 {
        ELEMENTS
    } else {
        500
    };
    assert_eq!(stage.target.run::<u32>("ZCARD key"), members, "{output}");
    assert_no_rubbish(&stage.target);
}

#[test]
fn connections_to_the_target_are_cut_in_the_middle() {
    for kind in KINDS {
        let stage = Stage::of(kind);
        stage.to_target.cut_each(Direction::Up, MIDDLE, 2);
        let output = stage.replicate().run().exits(0);
        assert_eq!(stage.to_target.cuts(), 2, "{kind}\n{output}");
        assert_eq!(count(&output, "written"), 1, "{kind}\n{output}");
        stage.arrived();
    }
}

#[test]
fn answers_of_the_target_are_cut_off() {
    for kind in KINDS {
        let stage = Stage::of(kind);
        // Each of these is somewhere among the answers to one key's commands: to the last of them too.
        for bytes in [1, 40, 200] {
            stage.to_target.cut_after(Direction::Down, 12_000 + bytes);
            stage.replicate().run().exits(0);
            stage.to_target.cut_no_more();
            stage.arrived();
        }
    }
}

#[test]
fn connections_to_the_source_are_cut_in_the_middle() {
    for kind in KINDS {
        let stage = Stage::of(kind);
        stage.to_source.cut_each(Direction::Down, MIDDLE, 2);
        let output = stage.replicate().run().exits(0);
        assert_eq!(stage.to_source.cuts(), 2, "{kind}\n{output}");
        stage.arrived();
    }
}

#[test]
fn connections_are_reset_in_the_middle() {
    for kind in KINDS {
        let stage = Stage::of(kind);
        let running = stage.in_the_middle(kind, &[]);
        stage.to_target.reset();
        stage.to_source.reset();
        stage.to_target.flow(Direction::Up);
        running.finish().exits(0);
        stage.arrived();
    }
}

#[test]
fn the_target_is_killed_in_the_middle_and_comes_back() {
    for kind in ["string", "zset", "stream"] {
        let keeps = || Server::with(Version::Redis70).persistent().start();
        let stage = Stage::with((keeps(), keeps()), kind);
        let running = stage.in_the_middle(kind, &[]);
        stage.target.kill();
        stage.target.restart();
        stage.to_target.flow(Direction::Up);
        running.finish().exits(0);
        stage.arrived();
    }
}

#[test]
fn the_source_is_killed_in_the_middle_and_comes_back() {
    for kind in ["string", "list", "hash"] {
        let keeps = || Server::with(Version::Redis70).persistent().start();
        let stage = Stage::with((keeps(), keeps()), kind);
        stage.to_source.stall_after(Direction::Down, MIDDLE);
        let running = stage.replicate().spawn();
        wait::until("the key is being read", || {
            stage.to_source.is_stalled(Direction::Down).then_some(())
        });
        stage.source.kill();
        stage.source.restart();
        stage.to_source.flow(Direction::Down);
        running.finish().exits(0);
        stage.arrived();
    }
}

#[test]
fn a_target_that_is_lost_for_good_keeps_its_old_value() {
    let stage = Stage::of("zset");
    let before = stage.held();
    let running = stage.in_the_middle("zset", &["--reconnect-timeout", "1s"]);
    stage.to_target.refuse();
    stage.to_target.cut();
    running.finish().exits(3);
    data::assert_snapshots(&before, &stage.held(), 0);
}

#[test]
fn without_reconnecting_the_run_ends_and_no_half_value_is_left() {
    for kind in ["string", "zset"] {
        let (source, target) = pair();
        let stage = Stage::with((source, target), kind);
        let before = data::snapshot(&stage.target, 0);
        stage.to_target.cut_after(Direction::Up, MIDDLE);
        let output = stage.replicate().word("--no-auto-reconnect").run();
        assert!(output.code().is_some_and(|code| code > 0), "{output}");
        data::assert_snapshots(&before, &stage.held(), 0);
        told(&stage.source, &stage.target)
            .words(["--big-key", "1MB"])
            .run()
            .exits(0);
        stage.arrived();
    }
}

#[test]
fn a_target_that_is_full_is_waited_for() {
    let stage = Stage::of("zset");
    let running = stage.in_the_middle("zset", &[]);
    stage.target.tell("CONFIG SET maxmemory 1");
    stage.to_target.flow(Direction::Up);
    wait::until("the target has refused something", || {
        let errors: String = stage.target.run("INFO errorstats");
        errors.contains("errorstat_OOM").then_some(())
    });
    stage.target.tell("CONFIG SET maxmemory 0");
    running.finish().exits(0);
    stage.arrived();
}

#[test]
fn two_runs_at_once_leave_each_others_names_alone() {
    let (source, target) = pair();
    fill_big_kinds(&source, ELEMENTS, 1);
    for kind in KINDS {
        let name = format!("{{second}}{kind}");
        fill_big(&mut source.connection(), kind, name.as_bytes(), ELEMENTS, 3);
    }
    let run = |pattern: &str| {
        told(&source, &target)
            .words(["--big-key", "1MB", "--key-pattern", pattern])
            .spawn()
    };
    let mut first = run("{second}*");
    wait::until("the first run has a temporary name", || {
        assert!(first.is_running(), "{}", first.stderr());
        (!temporary(&target).is_empty()).then_some(())
    });
    let second = run("[a-z]*");
    first.finish().exits(0);
    second.finish().exits(0);
    assert_eq!(target.count(), 12);
    assert_carried(&source, &target);
    assert_no_rubbish(&target);
}

#[test]
fn two_runs_of_the_same_keys_never_leave_a_wrong_value() {
    let (source, target) = pair();
    fill_big_kinds(&source, ELEMENTS, 1);
    let run = || {
        told(&source, &target)
            .words(["--big-key", "1MB", "--skip", "always"])
            .spawn()
    };
    let mut first = run();
    wait::until("the first run has a temporary name", || {
        assert!(first.is_running(), "{}", first.stderr());
        (!temporary(&target).is_empty()).then_some(())
    });
    let outputs = [run(), first].map(Running::finish);
    let (wanted, found) = (data::snapshot(&source, 0), data::snapshot(&target, 0));
    let arrived: Snapshot = wanted
        .into_iter()
        .filter(|(key, _)| found.contains_key(key))
        .collect();
    let wrong = super::differences(arrived.clone(), found, 0);
    assert!(wrong.is_empty(), "{}\n{outputs:?}", wrong.join("\n"));
    let some_failed = outputs.iter().any(|output| output.code() != Some(0));
    assert!(arrived.len() == KINDS.len() || some_failed, "{outputs:?}");
    assert_no_rubbish(&target);
}
