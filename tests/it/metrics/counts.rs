//! The numbers are those of what happened.

use std::time::Duration;

use super::{ANYWHERE, address, until};
use crate::data;
use crate::live::load::Load;
use crate::live::{Report, end, live, scanned};
use crate::proxy::Proxy;
use crate::riot::{compare_full, replicate};
use crate::servers::{Server, Version};

/// Rounds so far apart that there is one: its numbers stay to be read.
const ONE_ROUND: [&str; 2] = ["--repeat", "1h"];

fn two() -> (Server, Server) {
    (
        Server::start(Version::Redis70),
        Server::start(Version::Redis70),
    )
}

#[test]
fn a_snapshot_tells_keys_and_bytes_by_type_and_outcome() {
    let (source, target) = two();
    data::fill_strings(&source, "text:", 1000, 50);
    for number in 0..10 {
        let () = source.run(&format!("HSET hash:{number} a 1"));
        let () = source.run(&format!("XADD stream:{number} 1-1 a 1"));
    }
    let mut running = replicate(&source, &target)
        .words(ANYWHERE)
        .words(ONE_ROUND)
        .spawn();
    let address = address(&mut running);
    let scrape = until(&address, "the round is over", |scrape| {
        scrape.is("riot_phase{phase=\"done\"}", 1)
    });
    for (series, value) in [
        ("riot_runs_total", 1),
        ("riot_ready", 1),
        ("riot_source_keys", 1020),
        ("riot_keys_taken_total{origin=\"scan\"}", 1020),
        ("riot_keys_total{outcome=\"written\"}", 1020),
        ("riot_keys_total{outcome=\"failed\"}", 0),
        ("riot_keys_in_flight", 0),
        ("riot_written_keys_total{type=\"string\"}", 1000),
        ("riot_written_keys_total{type=\"hash\"}", 10),
        ("riot_written_keys_total{type=\"stream\"}", 10),
        ("riot_written_bytes_total{type=\"string\"}", 50_000),
        ("riot_read_bytes_total{type=\"string\"}", 50_000),
        ("riot_read_keys_total{type=\"set\"}", 0),
        ("riot_keys_compared_total", 1020),
        ("riot_differences_total{kind=\"missing\"}", 0),
        ("riot_queue_keys{queue=\"read\"}", 0),
        ("riot_memory_held_bytes", 0),
    ] {
        assert_eq!(scrape.count(series), value, "{series}\n{}", scrape.text);
    }
    let round_trips = scrape.sum("riot_round_trip_seconds_count");
    assert!(round_trips > 2, "{}", scrape.text);
    running.signal("TERM");
    running.finish().exits(0);
    data::assert_same(&source, &target);
}

#[test]
fn counters_go_on_from_round_to_round() {
    let (source, target) = two();
    data::fill_strings(&source, "text:", 100, 50);
    let mut running = replicate(&source, &target)
        .words(ANYWHERE)
        .words(["--repeat", "10ms"])
        .spawn();
    let address = address(&mut running);
    let mut before = 0;
    until(&address, "five rounds", |scrape| {
        scrape.find("riot_runs_total").unwrap_or(0.0) >= 5.0
    });
    until(&address, "the rounds are added up", |scrape| {
        scrape.sum("riot_written_keys_total") >= 500
    });
    for _ in 0..20 {
        let now = until(&address, "a scrape", |_| true).sum("riot_written_keys_total");
        assert!(now >= before, "{now} after {before}");
        before = now;
    }
    running.signal("TERM");
    // The signal may come in the middle of a round.
    let output = running.finish();
    assert!(matches!(output.code(), Some(0 | 130)), "{output}");
}

#[test]
fn a_comparison_tells_its_differences_by_kind() {
    let (source, target) = two();
    for server in [&source, &target] {
        data::fill_strings(server, "text:", 100, 50);
    }
    let () = target.run("DEL text:1 text:2 text:3");
    let () = target.run("SET text:4 other");
    let () = target.run("EXPIRE text:5 1000");
    let mut running = compare_full(&source, &target)
        .words(ANYWHERE)
        .words(ONE_ROUND)
        .words(["--rounds", "1"])
        .spawn();
    let address = address(&mut running);
    let scrape = until(&address, "the round is over", |scrape| {
        scrape.is("riot_phase{phase=\"done\"}", 1)
    });
    for (kind, count) in [("missing", 3), ("value", 1), ("ttl", 1), ("type", 0)] {
        let series = format!("riot_differences_total{{kind=\"{kind}\"}}");
        assert_eq!(scrape.count(&series), count, "{series}");
    }
    assert_eq!(scrape.count("riot_keys_compared_total"), 100);
    assert_eq!(scrape.sum("riot_keys_total"), 0);
    running.signal("TERM");
    running.finish().exits(1);
}

#[test]
fn a_full_target_is_told_by_failed_keys_and_classes_of_errors() {
    let source = Server::start(Version::Redis70);
    let target = Server::with(Version::Redis70)
        .arguments(["--maxmemory", "1mb"])
        .start();
    data::fill_strings(&source, "text:", 50, 100);
    let mut running = replicate(&source, &target)
        .words(ANYWHERE)
        .words(ONE_ROUND)
        .words(["--retry-limit", "1"])
        .spawn();
    let address = address(&mut running);
    let scrape = until(&address, "the round is over", |scrape| {
        scrape.is("riot_phase{phase=\"done\"}", 1)
    });
    assert_eq!(scrape.count("riot_keys_failed_total{step=\"write\"}"), 50);
    assert_eq!(scrape.count("riot_keys_failed_total{step=\"read\"}"), 0);
    assert_eq!(scrape.count("riot_keys_total{outcome=\"failed\"}"), 50);
    let errors = |side: &str, class: &str| {
        scrape.count(&format!(
            "riot_errors_total{{class=\"{class}\",side=\"{side}\"}}"
        ))
    };
    assert!(errors("target", "transient") >= 100, "{}", scrape.text);
    assert_eq!(errors("source", "transient"), 0);
    assert_eq!(scrape.count("riot_retries_total"), 50);
    running.signal("TERM");
    running.finish().exits(1);
}

/// What every changed key that was taken in left behind: with any of them forgotten, the lag would grow for ever.
#[test]
fn lost_connections_are_counted_and_nothing_is_left_in_flight() {
    let (source, target) = two();
    let (to_source, to_target) = (Proxy::to(&source.address()), Proxy::to(&target.address()));
    // What is deleted in a gap stays at the target.
    let load = Load::on(500).writers(2).that_deletes_nothing();
    load.fill(&source);
    let mut running = live("tracking", &to_source.address(), &to_target.address())
        .words(ANYWHERE)
        .spawn();
    let address = address(&mut running);
    scanned(&mut running);
    let ((), done) = load.during(&source, Duration::ZERO, |progress| {
        progress.more(1000);
        to_target.refuse();
        to_target.cut();
        until(&address, "the target is away", |scrape| {
            scrape.value("riot_connections_away{side=\"target\"}") >= 1.0
                && scrape.value("riot_errors_total{class=\"connection\",side=\"target\"}") >= 2.0
        });
        to_target.accept();
        until(&address, "the target is back", |scrape| {
            scrape.is("riot_connections_away{side=\"target\"}", 0)
                && scrape.value("riot_reconnects_total{side=\"target\"}") >= 1.0
        });
        to_source.cut();
        until(&address, "the gap is counted and closed", |scrape| {
            scrape.value("riot_gaps_total") >= 1.0
                && scrape.is("riot_gaps_open", 0)
                && scrape.value("riot_reconnects_total{side=\"source\"}") >= 1.0
        });
        progress.more(1000);
    });
    done.settle(&source);
    let scrape = until(&address, "all that changed is written", |scrape| {
        scrape.is("riot_changed_keys", 0)
            && scrape.is("riot_keys_in_flight", 0)
            && scrape.is("riot_current_lag_seconds", 0)
    });
    assert_eq!(
        scrape.sum("riot_written_keys_total"),
        scrape.count("riot_keys_total{outcome=\"written\"}")
    );
    let output = end(running);
    let report = Report::of(&output);
    assert!(report.number(&["live", "gap_count"]) >= 1, "{report}");
    data::assert_same(&source, &target);
}

/// Every fate that a changed key can have takes it out of what is in flight.
#[test]
fn no_fate_leaves_a_changed_key_in_flight() {
    let source = Server::start(Version::Redis70);
    let target = Server::with(Version::Redis70)
        .acl("user default on nopass ~* &* +@all\nuser part on >secret ~key:* ~list* ~big* &* +@all\n")
        .start();
    let to = target.uri().replace("redis://", "redis://part:secret@");
    let () = source.run("CONFIG SET notify-keyspace-events KA");
    let mut running = live("keyspace", &source.uri(), &to)
        .words(ANYWHERE)
        .words(["--key-exclude", "never:.*"])
        .words(["--mem-limit", "4MB", "--big-key", "100KB"])
        .spawn();
    let address = address(&mut running);
    scanned(&mut running);
    for number in 0..200 {
        let () = source.run(&format!("SET key:{number} {number}"));
        let () = source.run(&format!("RPUSH list{number} a b c"));
        let () = source.run(&format!("SET forbidden:{number} {number}"));
        let () = source.run(&format!("SET never:{number} {number}"));
        if number % 2 == 0 {
            let () = source.run(&format!("DEL key:{number}"));
        }
    }
    // Whole, in chunks, and too large.
    for (name, bytes) in [("big1", 300_000), ("big2", 3_000_000), ("big3", 5_000_000)] {
        let text = data::text(1, bytes);
        let () = source.run(&format!("SET {name} {text}"));
    }
    let scrape = until(&address, "each changed key has its fate", |scrape| {
        scrape.value("riot_keys_failed_total{step=\"write\"}") >= 200.0
            && scrape.value("riot_keys_copied_by_type_total{size=\"whole\"}") >= 1.0
            && scrape.value("riot_keys_copied_by_type_total{size=\"chunks\"}") >= 1.0
            && scrape.sum("riot_keys_skipped_total") >= 1
            && scrape.is("riot_changed_keys", 0)
            && scrape.is("riot_keys_in_flight", 0)
            && scrape.is("riot_current_lag_seconds", 0)
    });
    assert!(scrape.value("riot_lag_seconds_count") >= 200.0);
    assert!(
        scrape.value("riot_errors_total{class=\"key\",side=\"target\"}") >= 200.0,
        "{}",
        scrape.text
    );
    running.signal("TERM");
    running.finish().exits(1);
}

#[test]
fn a_dry_run_leaves_nothing_in_flight_and_is_never_ready() {
    let (source, target) = two();
    data::fill_strings(&source, "text:", 100, 50);
    let mut running = live("tracking", &source.uri(), &target.uri())
        .words(ANYWHERE)
        .word("--dry-run")
        .spawn();
    let address = address(&mut running);
    scanned(&mut running);
    for number in 0..50 {
        let () = source.run(&format!("SET text:{number} changed"));
    }
    until(&address, "what changed was read", |scrape| {
        scrape.value("riot_keys_skipped_total{reason=\"dry_run\"}") >= 150.0
            && scrape.is("riot_keys_in_flight", 0)
            && scrape.is("riot_current_lag_seconds", 0)
    });
    let answer = super::http::get(&address, "/readyz");
    assert_eq!(answer.body, "not ready: dry run: nothing is written\n");
    running.signal("TERM");
    running.finish().exits(0);
    assert_eq!(target.keys(0), 0);
}
