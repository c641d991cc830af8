//! A large key that changes all the time does not hold up the others.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::load::Load;
use super::{Stage, Way, each_way, end, listens, scanned};
use crate::data::{self, run};
use crate::servers::Server;
use crate::size::size;
use crate::wait;

each_way![a_large_sorted_set_that_always_changes_starves_nobody];

/// The longest that a change of another key may take to arrive, but for one in a hundred.
const ALLOWED: Duration = Duration::from_secs(2);

fn fill(source: &Server) {
    let mut c = source.connection();
    let members: Vec<u32> = (0..size().live_members).collect();
    for part in members.chunks(5000) {
        let mut command = redis::cmd("ZADD");
        command.arg("large");
        for member in part {
            command
                .arg(f64::from(*member) / 7.0)
                .arg(data::text(*member, 120));
        }
        command.exec(&mut c).unwrap();
    }
}

/// Changes the large key 50 times a second.
fn change(source: &Server, over: &AtomicBool) {
    let mut c = source.connection();
    let started = Instant::now();
    let mut changes = 0_u32;
    while !over.load(Ordering::Relaxed) {
        let member = data::text(changes % size().live_members, 120);
        run!(c, "ZADD", "large", f64::from(changes), member);
        changes += 1;
        let due = started + changes * Duration::from_millis(20);
        wait::pause(due.saturating_duration_since(Instant::now()));
    }
    eprintln!(
        "{changes} changes of the large key in {:.1?}",
        started.elapsed()
    );
}

/// Sets a key every 20 ms for this long, whatever became of those before: how long each took to be seen at the target.
fn probe(stage: &Stage, time: Duration) -> Vec<Duration> {
    let (mut source, mut target) = (stage.source.connection(), stage.target.connection());
    let started = Instant::now();
    let mut waiting: Vec<(u32, Instant)> = Vec::new();
    let mut times = Vec::new();
    let mut number = 0_u32;
    wait::within(time + wait::SOON, "all probes have arrived", || {
        let due = started + number * Duration::from_millis(20);
        if started.elapsed() < time && due <= Instant::now() {
            run!(source, "SET", format!("probe:{number}"), number);
            // From when it was due: a source that is busy holds up applications too.
            waiting.push((number, due));
            number += 1;
        }
        if waiting.is_empty() {
            return (started.elapsed() >= time).then_some(());
        }
        let mut pipe = redis::pipe();
        for (number, _) in &waiting {
            pipe.cmd("EXISTS").arg(format!("probe:{number}"));
        }
        let arrived: Vec<bool> = pipe.query(&mut target).unwrap();
        let mut arrived = arrived.into_iter();
        waiting.retain(|(_, since)| {
            let here = arrived.next().unwrap();
            if here {
                times.push(since.elapsed());
            }
            !here
        });
        None
    });
    times.sort();
    times
}

fn a_large_sorted_set_that_always_changes_starves_nobody(way: Way) {
    let stage = Stage::new(way);
    fill(&stage.source);
    let load = Load::on(700).writers(2).pause(Duration::from_millis(1));
    load.fill(&stage.source);
    let mut running = stage.replicate().spawn();
    listens(&mut running);
    scanned(&mut running);
    wait::until("the large key has arrived", || {
        let members: u32 = stage.target.run("ZCARD large");
        (members >= size().live_members).then_some(())
    });
    let over = AtomicBool::new(false);
    let (times, done) = std::thread::scope(|scope| {
        let _stop = wait::Stop(&over);
        scope.spawn(|| change(&stage.source, &over));
        load.during(&stage.source, Duration::ZERO, |_| {
            // Long enough for the large key to be copied again and again.
            probe(&stage, 3 * size().live_load)
        })
    });
    done.settle(&stage.source);
    let output = end(running);
    let report = stage.equal(&output);
    let worst = times[times.len() * 99 / 100];
    let told = Duration::from_micros(report.number(&["live", "lag", "p99_us"]));
    eprintln!(
        "{} probes: p50 {:.1?}, p99 {worst:.1?}, max {:.1?}; told p99 {told:.1?}",
        times.len(),
        times[times.len() / 2],
        times[times.len() - 1]
    );
    assert!(worst < ALLOWED, "{worst:.1?}\n{output}");
    assert!(told < ALLOWED, "{told:.1?}\n{output}");
    let hot = &report.json["live"]["hot_keys"][0];
    assert_eq!(hot["key"], "large", "{report}");
}
