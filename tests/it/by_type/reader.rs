//! What others see meanwhile: readers of the target, and everybody who waits for a server.

use std::sync::atomic::{AtomicBool, Ordering};

use redis::{Cmd, Value};

use super::TEMPORARY;
use crate::servers::Server;
use crate::wait;

/// Asks the target the same again and again while `body` runs: its answers in their order, repeats left out, and whether there
/// was a temporary name meanwhile.
pub(super) fn seen_during<T>(
    target: &Server,
    looks: &[Cmd],
    body: impl FnOnce() -> T,
) -> (Vec<Vec<Value>>, bool, T) {
    let over = AtomicBool::new(false);
    let mut pipe = redis::pipe();
    for look in looks {
        pipe.add_command(look.clone());
    }
    let mut temporary = redis::cmd("SCAN");
    temporary.arg(0).arg("MATCH").arg(format!("*{TEMPORARY}*"));
    temporary.arg("COUNT").arg(1000);
    pipe.add_command(temporary);
    let (looked, first_look) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let stop = wait::Stop(&over);
        let looking = scope.spawn(|| {
            let looked = looked;
            let mut c = target.connection();
            let mut seen: Vec<Vec<Value>> = Vec::new();
            let mut was_temporary = false;
            loop {
                let last = over.load(Ordering::Relaxed);
                let mut answers: Vec<Value> = pipe.query(&mut c).unwrap();
                let names: (u64, Vec<Vec<u8>>) =
                    redis::from_redis_value(answers.pop().unwrap()).unwrap();
                was_temporary |= !names.1.is_empty();
                if seen.last() != Some(&answers) {
                    seen.push(answers);
                    // Only the first is waited for.
                    let _ = looked.send(());
                }
                if last {
                    return (seen, was_temporary);
                }
            }
        });
        // What was there before is seen before anything happens.
        first_look.recv().unwrap();
        let given = body();
        drop(stop);
        let (seen, was_temporary) = looking.join().unwrap();
        (seen, was_temporary, given)
    })
}

/// What tells how much of a value is there.
pub(super) fn size_of(kind: &str, key: &str) -> Cmd {
    let mut command = redis::cmd(match kind {
        "string" => "STRLEN",
        "hash" => "HLEN",
        "list" => "LLEN",
        "set" => "SCARD",
        "zset" => "ZCARD",
        "stream" => "XLEN",
        other => panic!("{other}"),
    });
    command.arg(key);
    command
}

/// From now on these servers remember every command of 50 ms and more.
pub(super) fn time_commands(servers: &[&Server]) {
    for server in servers {
        server.runs_first();
        server.tell("CONFIG SET slowlog-max-len 10000");
        server.tell("CONFIG SET slowlog-log-slower-than 50000");
        server.tell("SLOWLOG RESET");
        server.tell("CONFIG RESETSTAT");
    }
}

/// Fails the test where a command of riot's took 50 ms and more at one of these servers.
#[track_caller]
pub(super) fn assert_none_slow(servers: &[&Server]) {
    for server in servers {
        let entries: Vec<Vec<Value>> = server.run("SLOWLOG GET 10000");
        let slow: Vec<String> = entries
            .iter()
            .filter(|entry| entry[5] == Value::BulkString(b"riot".to_vec()))
            .map(|entry| {
                let words = format!("{:?}", entry[3]);
                let words: String = words.chars().take(200).collect();
                format!("{:?} µs: {words}", entry[2])
            })
            .collect();
        assert!(
            slow.is_empty(),
            "{} commands of 50 ms and more at {:?}:\n{}",
            slow.len(),
            server.version(),
            slow.join("\n")
        );
    }
}
