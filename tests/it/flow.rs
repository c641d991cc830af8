//! Lanes, batches, order, pace, transactions, replicas, repetition, signals.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::data;
use crate::proxy::{Direction, Proxy};
use crate::riot::{replicate, riot};
use crate::servers::{Server, Version};
use crate::size::size;
use crate::wait;

/// A source with this many keys of all types, and an empty target.
fn pair(keys: u32) -> (Server, Server) {
    let (source, target) = (
        Server::start(Version::Redis70),
        Server::start(Version::Redis70),
    );
    data::fill_mixed(&source, "mixed:", keys);
    (source, target)
}

#[test]
fn any_number_of_lanes_and_batches_copies_the_same() {
    let (source, target) = pair(3000);
    data::fill_every_type(&source, 0);
    for (threads, batch, read_threads, read_batch, pipeline, queue, count) in [
        ("1", "1", "1", "1", "1", "1", "10"),
        ("1", "50", "8", "7", "2", "10", "100"),
        ("8", "1000", "1", "1000", "16", "100000", "5000"),
        ("3", "17", "5", "13", "4", "64", "1"),
    ] {
        target.tell("FLUSHALL");
        replicate(&source, &target)
            .words([
                "--threads",
                threads,
                "--batch",
                batch,
                "--read-threads",
                read_threads,
                "--read-batch",
                read_batch,
            ])
            .words([
                "--pipeline",
                pipeline,
                "--read-queue",
                queue,
                "--scan-count",
                count,
            ])
            .run()
            .exits(0);
        data::assert_same(&source, &target);
    }
}

/// The values that the target was given for each key, in the order in which it took them.
fn watch_writes(target: &Server) -> std::thread::JoinHandle<Vec<(String, u64)>> {
    let mut socket = UnixStream::connect(target.socket()).unwrap();
    socket.write_all(b"MONITOR\r\n").unwrap();
    let mut lines = BufReader::new(socket).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "+OK");
    std::thread::spawn(move || {
        let pair = regex::Regex::new(r#""(counter:\d+)" "(\d+)""#).unwrap();
        let mut writes = Vec::new();
        for line in lines {
            let line = line.unwrap();
            if line.contains("\"the end\"") {
                break;
            }
            let command = line
                .split('"')
                .nth(1)
                .unwrap_or_default()
                .to_ascii_uppercase();
            if command == "SET" || command == "MSET" {
                writes.extend(
                    pair.captures_iter(&line)
                        .map(|found| (found[1].to_owned(), found[2].parse().unwrap())),
                );
            }
        }
        writes
    })
}

/// Counters only grow. While they do, the keyspace grows and shrinks, so that SCAN gives keys twice, and connections are cut, so
/// that batches are done again.
#[test]
fn an_older_value_never_overwrites_a_newer_one() {
    const COUNTERS: u32 = 500;
    let (source, target) = (
        Server::start(Version::Redis70),
        Server::start(Version::Redis70),
    );
    let proxy = Proxy::to(&target.address());
    let stop = AtomicBool::new(false);
    let writes = watch_writes(&target);
    std::thread::scope(|scope| {
        let (source, stop) = (&source, &stop);
        let counting = scope.spawn(move || {
            let mut c = source.connection();
            let mut round = 0_u32;
            while !stop.load(Ordering::Relaxed) {
                let mut pipe = redis::pipe();
                for counter in 0..COUNTERS {
                    pipe.cmd("INCR").arg(format!("counter:{counter}")).ignore();
                }
                // The table is grown and shrunk while SCAN walks it.
                for number in 0..2000 {
                    if round % 10 < 5 {
                        pipe.cmd("SET")
                            .arg(format!("filler:{round}:{number}"))
                            .arg("x")
                            .ignore();
                    } else {
                        pipe.cmd("UNLINK")
                            .arg(format!("filler:{}:{number}", round - 5))
                            .ignore();
                    }
                }
                pipe.exec(&mut c).unwrap();
                round += 1;
            }
        });
        let stop_at_the_end = wait::Stop(stop);
        wait::until("the counters are there", || {
            (source.keys(0) > u64::from(COUNTERS)).then_some(())
        });
        for turn in 0..size().snapshots_under_writer * 2 {
            let before = proxy.bytes(Direction::Up);
            let mut running = riot(["replicate", &source.address(), &proxy.address()])
                .words([
                    "--compare",
                    "none",
                    "--scan-count",
                    "100",
                    "--retry",
                    "always",
                ])
                .words(["--threads", &(turn % 5 + 1).to_string()])
                .words(["--read-threads", &(turn % 3 + 1).to_string()])
                .words(["--batch", &(turn * 7 % 60 + 1).to_string()])
                .words(["--read-batch", &(turn * 11 % 90 + 1).to_string()])
                .words(["--pipeline", &(turn % 6 + 1).to_string()])
                .spawn();
            // What is asked of the target before anything is written is a few hundred bytes.
            wait::until("keys are written", || {
                let written = proxy.bytes(Direction::Up) > before + 20_000;
                (written || !running.is_running()).then_some(())
            });
            proxy.cut_each(Direction::Up, 3_000 + u64::from(turn) * 1_001, turn % 4);
            proxy.cut_each(Direction::Down, 300 + u64::from(turn) * 101, turn % 3);
            let output = running.finish().exits(0);
            assert_eq!(output.counts().failed, 0, "{output}");
            // The next run asks what the target is before its lanes are there: such a cut ends it, rightly.
            proxy.cut_no_more();
        }
        drop(stop_at_the_end);
        counting.join().unwrap();
    });
    let _: redis::Value = redis::cmd("ECHO")
        .arg("the end")
        .query(&mut target.connection())
        .unwrap();
    let writes = writes.join().unwrap();
    assert!(proxy.cuts() > 0, "no connection was cut");
    assert!(
        writes.len() > COUNTERS as usize,
        "{} writes were seen",
        writes.len()
    );
    let mut newest: HashMap<&str, u64> = HashMap::new();
    for (key, value) in &writes {
        let before = newest.insert(key, *value).unwrap_or(0);
        assert!(before <= *value, "{key}: {value} was written over {before}");
    }
}

#[test]
fn a_rate_is_kept_from_the_first_key_on() {
    let (source, target) = pair(2000);
    let started = Instant::now();
    let mut running = replicate(&source, &target)
        .words(["--rate", "1000", "--compare", "none"])
        .spawn();
    while running.is_running() {
        let arrived = target.keys(0);
        let allowed = started.elapsed().as_secs_f64() * 1000.0 + 250.0;
        assert!(
            arrived as f64 <= allowed,
            "{arrived} keys after {:?}",
            started.elapsed()
        );
    }
    let output = running.finish().exits(0);
    assert!(output.elapsed < Duration::from_secs(5), "{output}");
}

#[test]
fn a_pause_after_each_batch_is_kept() {
    let (source, target) = pair(1000);
    let words = [
        "--threads",
        "1",
        "--batch",
        "100",
        "--read-threads",
        "1",
        "--read-batch",
        "100",
        "--sleep",
        "100ms",
    ];
    let output = replicate(&source, &target)
        .words(words)
        .words(["--compare", "none"])
        .run()
        .exits(0);
    // Ten batches, and nine pauses between them.
    assert!(output.elapsed > Duration::from_millis(900), "{output}");
    data::assert_same(&source, &target);
}

#[test]
fn batches_are_transactions_where_asked() {
    let (source, target) = pair(2000);
    replicate(&source, &target)
        .words(["--multi-exec", "--batch", "100"])
        .run()
        .exits(0);
    data::assert_same(&source, &target);
    let (multi, exec) = (target.calls("multi"), target.calls("exec"));
    assert!(multi >= 20 && multi == exec, "{multi} MULTI, {exec} EXEC");
}

#[test]
fn one_key_s_error_in_a_transaction_stays_its_own() {
    let source = Server::start(Version::Redis70);
    data::fill_mixed(&source, "allowed:", 500);
    source.tell("RPUSH forbidden x");
    source.tell("SET forbidden:string x");
    let target = Server::with(Version::Redis70)
        .acl("user default on nopass ~* &* +@all\nuser writer on >secret %R~* ~allowed:* +@all\n")
        .start();
    let words = [
        "--multi-exec",
        "--target-user",
        "writer",
        "--target-pass",
        "secret",
    ];
    let output = replicate(&source, &target).words(words).run().exits(1);
    let counts = output.counts();
    assert_eq!((counts.written, counts.failed), (500, 2), "{output}");
    assert_eq!(target.keys(0), 500);
}

#[test]
fn replicas_of_the_target_are_waited_for() {
    let (source, target) = pair(2000);
    let replica = Server::with(Version::Redis70)
        .arguments(["--replicaof", &format!("127.0.0.1 {}", target.port())])
        .start();
    wait::until("the replica follows", || {
        (replica.info("master_link_status") == "up").then_some(())
    });
    replicate(&source, &target)
        .words([
            "--wait-replicas",
            "1",
            "--wait-timeout",
            "10s",
            "--batch",
            "100",
        ])
        .run()
        .exits(0);
    assert!(target.calls("wait") >= 10, "{} WAIT", target.calls("wait"));
    // Nothing is left to come: every batch was confirmed.
    data::assert_snapshots(&data::snapshot(&source, 0), &data::snapshot(&replica, 0), 0);
}

#[test]
fn too_few_replicas_are_told() {
    let (source, target) = pair(100);
    let words = ["--wait-replicas", "2", "--wait-timeout", "100ms"];
    let output = replicate(&source, &target).words(words).run();
    output.holds("it says that replicas were missing", |output| {
        output.stderr.contains("replica")
    });
}

#[test]
fn a_repeated_snapshot_takes_what_is_new_and_ends_at_a_signal() {
    let (source, target) = pair(500);
    let mut running = replicate(&source, &target)
        .words(["--repeat", "300ms"])
        .spawn();
    wait::until("the first run is over", || {
        (target.keys(0) == 500).then_some(())
    });
    data::fill_strings(&source, "new:", 100, 20);
    wait::until("the next run brought what is new", || {
        (target.keys(0) == 600).then_some(())
    });
    assert!(running.is_running());
    running.signal("INT");
    let output = running.finish();
    output.holds("the end is in order", |output| {
        !output.stderr.contains("panicked")
    });
    data::assert_same(&source, &target);
}

#[test]
fn the_first_signal_drains_what_is_in_flight() {
    for signal in ["INT", "TERM"] {
        let (source, target) = pair(20_000);
        let running = replicate(&source, &target)
            .words(["--rate", "5000"])
            .spawn();
        wait::until("some keys have arrived", || {
            (target.keys(0) > 1000).then_some(())
        });
        running.signal(signal);
        let output = running.finish().exits(130);
        let counts = output.counts();
        assert_eq!(
            counts.written,
            target.keys(0),
            "the report and the target differ\n{output}"
        );
        assert!(counts.scanned < 20_000, "{output}");
        assert!(output.elapsed < Duration::from_secs(20), "{output}");
        let everything = data::snapshot(&source, 0);
        let arrived = data::snapshot(&target, 0);
        let expected = everything
            .into_iter()
            .filter(|(key, _)| arrived.contains_key(key))
            .collect();
        data::assert_snapshots(&expected, &arrived, 0);
    }
}

#[test]
fn the_second_signal_aborts() {
    let (source, target) = pair(20_000);
    let proxy = Proxy::to(&target.address());
    let mut running = riot([
        "replicate".into(),
        source.uri(),
        proxy.address(),
        "--rate".into(),
        "5000".into(),
    ])
    .deadline(Duration::from_secs(30))
    .spawn();
    wait::until("some keys have arrived", || {
        (target.keys(0) > 1000).then_some(())
    });
    // What is in flight cannot come to its end.
    proxy.stall(Direction::Up);
    proxy.stall(Direction::Down);
    running.signal("INT");
    running.wait_for("stopping: ");
    running.signal("INT");
    let output = running.finish().exits(130);
    assert!(output.elapsed < Duration::from_secs(20), "{output}");
}

#[test]
fn the_way_to_the_source_is_kept_full_too() {
    let (source, target) = pair(20_000);
    let proxy = Proxy::to(&source.address());
    proxy.delay(Direction::Up, Duration::from_millis(50));
    proxy.delay(Direction::Down, Duration::from_millis(50));
    let output = riot(["replicate".into(), proxy.address(), target.uri()])
        .words(["--compare", "none"])
        .run()
        .exits(0);
    data::assert_same(&source, &target);
    // SCAN's own round trips are twenty; a GET at a time would be 2,000 s.
    assert!(output.elapsed < Duration::from_secs(15), "{output}");
}
