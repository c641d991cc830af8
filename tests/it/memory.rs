//! Memory is bounded by the budget, whatever the values are.

use crate::compare::spread_out;
use crate::data::{self, run};
use crate::proxy::{Direction, Proxy};
use crate::riot::{Riot, compare_full, replicate, riot};
use crate::servers::{Server, Version};
use crate::size::size;

/// What riot may hold besides the budget.
const BESIDES: u64 = 128 << 20;

fn stays_within(budget: u64, run: Riot) {
    let output = run
        .words(["--mem-budget", &format!("{}MB", budget >> 20)])
        .run()
        .exits(0);
    let limit = budget + BESIDES;
    assert!(
        output.peak < limit,
        "{} MB held, {} MB allowed\n{output}",
        output.peak >> 20,
        limit >> 20
    );
}

/// Large values of strings and lists.
fn large_values() -> Server {
    let source = Server::start(Version::Redis70);
    let mut c = source.connection();
    let size = size();
    for number in 0..size.memory_values {
        let text = data::text(number, size.memory_value);
        if number % 4 == 3 {
            for part in text.as_bytes().chunks(4 << 20) {
                run!(c, "RPUSH", format!("list:{number}"), part);
            }
        } else {
            run!(c, "SET", format!("string:{number}"), &text);
        }
    }
    source
}

#[test]
fn large_values_pass_within_the_budget() {
    let (source, target) = (large_values(), Server::start(Version::Redis70));
    stays_within(64 << 20, replicate(&source, &target));
    data::assert_same(&source, &target);
}

#[test]
fn long_values_among_short_ones_that_expire() {
    let (source, target) = (
        Server::start(Version::Redis70),
        Server::start(Version::Redis70),
    );
    let mut c = source.connection();
    let mut pipe = redis::pipe();
    let short = data::text(0, 100);
    for number in 0..20_000 {
        pipe.cmd("SET")
            .arg(format!("item:{number}"))
            .arg(&short)
            .arg("PX")
            .arg(86_400_000 + number)
            .ignore();
    }
    pipe.exec(&mut c).expect("filled");
    // Of the short ones' shape: what is asked for together is longer than was predicted.
    for number in 0..6_u32 {
        let long = data::text(number, (number as usize + 1) * (5 << 20));
        run!(
            c,
            "SET",
            format!("item:{}", number * 3301),
            &long,
            "PX",
            86_400_000
        );
    }
    let whole = ["--big-key", "0"];
    stays_within(8 << 20, replicate(&source, &target).words(whole));
    data::assert_same(&source, &target);
    stays_within(8 << 20, compare_full(&source, &target));
    run!(target.connection(), "APPEND", "item:6602", "x");
    compare_full(&source, &target)
        .words(["--rounds", "1"])
        .run()
        .exits(1)
        .prints("0 missing, 0 type, 1 value, 0 ttl");
}

#[test]
fn a_slow_target_holds_up_the_reading() {
    let (source, target) = (large_values(), Server::start(Version::Redis70));
    let slow = Proxy::to(&target.address());
    slow.delay(Direction::Up, std::time::Duration::from_millis(100));
    slow.delay(Direction::Down, std::time::Duration::from_millis(100));
    stays_within(
        64 << 20,
        riot(["replicate".into(), source.uri(), slow.address()]),
    );
    data::assert_same(&source, &target);
}

#[test]
fn a_value_over_the_budget_passes_alone() {
    let (source, target) = (
        Server::start(Version::Redis70),
        Server::start(Version::Redis70),
    );
    let text = data::text(1, 12 << 20);
    for name in ["one", "two", "three"] {
        run!(source.connection(), "SET", name, &text);
    }
    data::fill_mixed(&source, "mixed:", 2000);
    stays_within(4 << 20, replicate(&source, &target));
    data::assert_same(&source, &target);
}

#[test]
fn the_source_is_not_asked_for_more_than_it_should_hold() {
    // Values of 300 KB of one shape: a pipeline of 1,000 GETs would make the source hold 300 MB of answers.
    let (source, target) = (
        Server::start(Version::Redis70),
        Server::start(Version::Redis70),
    );
    data::fill_strings(&source, "value:", 600, 300_000);
    let before: u64 = source.info("used_memory").parse().unwrap();
    source.tell("CONFIG RESETSTAT");
    replicate(&source, &target).run().exits(0);
    let peak: u64 = source.info("used_memory_peak").parse().unwrap();
    let more = peak.saturating_sub(before);
    assert!(
        more < 64 << 20,
        "the source held {} MB more than its data",
        more >> 20
    );
    data::assert_same(&source, &target);
}

#[test]
fn comparing_stays_within_the_budget() {
    let size = size();
    let (source, target) = (
        Server::start(Version::Redis70),
        Server::start(Version::Redis70),
    );
    spread_out(&target);
    for server in [&source, &target] {
        data::fill_strings(server, "small:", size.compared_keys, 20);
        for zset in ["zset:one", "zset:two"] {
            let mut c = server.connection();
            for first in (0..size.compared_members).step_by(10_000) {
                let mut command = redis::cmd("ZADD");
                command.arg(zset);
                let last = (first + 10_000).min(size.compared_members);
                for member in first..last {
                    command.arg(f64::from(member) / 3.0);
                    command.arg(format!("member:{member}"));
                }
                command.exec(&mut c).unwrap();
            }
        }
    }
    // Other bytes in the payload: they are compared member by member.
    target.tell("ZADD zset:two -1 member:0");
    let budget = size.compare_budget;
    let output = compare_full(&source, &target)
        .words(["--mem-budget", &format!("{}MB", budget >> 20)])
        .words(["--show-diffs", "--rounds", "1"])
        .deadline(std::time::Duration::from_secs(300))
        .run()
        .exits(1);
    assert!(
        output.stdout.starts_with("value zset zset:two\n"),
        "{output}"
    );
    assert!(
        output.peak < budget + BESIDES,
        "{} MB held\n{output}",
        output.peak >> 20
    );
}

#[test]
fn what_is_read_and_not_written_needs_the_same_memory_for_ten_times_the_keys() {
    let arguments = ["--enable-debug-command", "yes"];
    let source = Server::with(Version::Redis70).arguments(arguments).start();
    let target = Server::start(Version::Redis70);
    let many = size().unwritten_keys;
    let peaks = [many / 10, many].map(|keys| {
        source.tell("FLUSHALL");
        source.tell(&format!("DEBUG POPULATE {keys} key 20"));
        let output = replicate(&source, &target)
            .word("--dry-run")
            .deadline(std::time::Duration::from_secs(300))
            .run()
            .exits(0)
            .holds("all keys read", |output| {
                output.counts().scanned == u64::from(keys)
            });
        output.peak
    });
    assert_eq!(target.keys(0), 0);
    assert!(
        peaks[1] < peaks[0] + (8 << 20) && peaks[1] < 64 << 20,
        "{peaks:?}"
    );
}

#[test]
fn values_longer_than_any_budget_pass_through() {
    let longest = ["--proto-max-bulk-len", "1gb"];
    let source = Server::with(Version::Redis70).arguments(longest).start();
    let target = Server::with(Version::Redis70).arguments(longest).start();
    let mut c = source.connection();
    for name in ["one", "two", "three"] {
        run!(c, "SETRANGE", name, size().longest_string - 4, "last");
        run!(c, "SETRANGE", name, 1 << 20, name);
    }
    let output = replicate(&source, &target)
        .deadline(std::time::Duration::from_secs(300))
        .run()
        .exits(0);
    assert!(output.peak < BESIDES, "{} MB held", output.peak >> 20);
    data::assert_same(&source, &target);
}
