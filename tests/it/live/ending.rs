//! How a live run ends: by a signal, by quiet, at once.

use std::time::{Duration, Instant};

use super::load::Load;
use super::{
    Report, Stage, Way, clients, each_way, end, kill_client, listens, live, quiet, scanned,
};
use crate::data;
use crate::proxy::Direction;
use crate::riot::{Output, Riot, Running, replicate, riot};
use crate::servers::{Server, Version};
use crate::wait;

each_way![
    a_signal_drains_what_was_written_before_it,
    the_last_change_before_the_end_arrives,
    a_run_ends_by_itself_when_all_is_quiet,
    a_signal_during_the_first_scan_says_that_it_is_incomplete,
    a_second_signal_aborts,
    only_changes_are_copied_where_that_was_asked_for,
    changes_alone_keep_a_copy_that_was_made_before_equal,
    a_rotated_password_is_read_again,
];

fn a_signal_drains_what_was_written_before_it(way: Way) {
    for signal in ["TERM", "INT"] {
        let stage = Stage::new(way);
        // The drain takes a while.
        stage
            .to_target
            .delay(Direction::Up, Duration::from_millis(100));
        let load = Load::on(1400);
        load.fill(&stage.source);
        let mut running = stage.replicate_by_proxies().spawn();
        listens(&mut running);
        scanned(&mut running);
        for round in 0..5 {
            data::fill_mixed(&stage.source, &format!("last:{round}:"), 400);
        }
        running.signal(signal);
        stage.equal(&running.finish());
    }
}

fn the_last_change_before_the_end_arrives(way: Way) {
    let stage = Stage::new(way);
    for round in 0..10 {
        stage.source.tell("SET last before");
        stage.source.tell("SET goes 1");
        let mut running = stage.replicate().spawn();
        listens(&mut running);
        scanned(&mut running);
        stage.source.tell("DEL goes");
        // As long as the value before: a comparison that is quick does not see it.
        stage.source.tell(&format!("SET last after{round}"));
        running.signal("TERM");
        stage.equal(&running.finish());
    }
}

fn a_run_ends_by_itself_when_all_is_quiet(way: Way) {
    let stage = Stage::new(way);
    let load = Load::on(1400);
    load.fill(&stage.source);
    let mut running = stage.replicate().words(["--idle-timeout", "1s"]).spawn();
    listens(&mut running);
    let done = load.last(&stage.source, Duration::from_secs(2));
    let quiet = Instant::now();
    assert!(running.is_running(), "it ended under load");
    done.settle(&stage.source);
    let output = running.finish();
    stage.equal(&output);
    assert!(quiet.elapsed() > Duration::from_secs(1), "{output}");
    assert!(quiet.elapsed() < Duration::from_secs(20), "{output}");
}

fn a_signal_during_the_first_scan_says_that_it_is_incomplete(way: Way) {
    let stage = Stage::new(way);
    data::fill_strings(&stage.source, "key:", 20_000, 50);
    let mut running = stage.replicate().words(["--rate", "1000"]).spawn();
    listens(&mut running);
    wait::until("a part has arrived", || {
        (stage.target.keys(0) > 500).then_some(())
    });
    stage.source.tell("SET changed 1");
    running.signal("TERM");
    let output = running.finish().exits(130);
    assert!(stage.target.keys(0) < 20_000, "{output}");
    assert!(output.elapsed < Duration::from_secs(15), "{output}");
    // What was heard has been copied.
    let changed: Option<u32> = stage.target.run("GET changed");
    assert_eq!(changed, Some(1), "{output}");
}

fn a_second_signal_aborts(way: Way) {
    let stage = Stage::new(way);
    let load = Load::on(700);
    load.fill(&stage.source);
    let mut running = stage.replicate_by_proxies().spawn();
    listens(&mut running);
    scanned(&mut running);
    wait::until("everything has arrived", || {
        (stage.target.keys(0) == 700).then_some(())
    });
    stage.to_target.stall(Direction::Up);
    data::fill_mixed(&stage.source, "never:", 400);
    running.signal("TERM");
    wait::until("riot listens no more", || {
        let none = stage.way.listeners(&stage.source).is_empty();
        (none || !running.is_running()).then_some(())
    });
    assert!(running.is_running(), "it ended with changes not written");
    running.signal("TERM");
    let second = Instant::now();
    let output = running.finish().exits(130);
    assert!(second.elapsed() < Duration::from_secs(5), "{output}");
}

/// `riot replicate --mode liveonly`.
fn live_only(stage: &Stage) -> Riot {
    let words = ["replicate", "--mode", "liveonly", "--report", "json"];
    riot(words)
        .words(["--events", stage.way.word()])
        .words([stage.source.uri(), stage.target.uri()])
}

/// Changes keys that were there before and adds 400 others, and ends the run.
fn change_and_end(stage: &Stage, mut running: Running) -> Output {
    listens(&mut running);
    data::fill_mixed(&stage.source, "after:", 400);
    for command in ["SET before:0 changed", "DEL before:1", "DEL after:0"] {
        stage.source.tell(command);
    }
    running.signal("TERM");
    running.finish()
}

fn only_changes_are_copied_where_that_was_asked_for(way: Way) {
    let stage = Stage::new(way);
    data::fill_mixed(&stage.source, "before:", 800);
    let running = live_only(&stage).words(["--compare", "none"]).spawn();
    let output = change_and_end(&stage, running).exits(0);
    let expected: data::Snapshot = data::snapshot(&stage.source, 0)
        .into_iter()
        .filter(|(key, _)| key.0.starts_with(b"after:") || key.0 == b"before:0")
        .collect();
    assert_eq!(expected.len(), 400, "{output}");
    data::assert_snapshots(&expected, &data::snapshot(&stage.target, 0), 0);
}

fn changes_alone_keep_a_copy_that_was_made_before_equal(way: Way) {
    let stage = Stage::new(way);
    data::fill_mixed(&stage.source, "before:", 800);
    replicate(&stage.source, &stage.target).run().exits(0);
    let running = live_only(&stage).spawn();
    let report = stage.equal(&change_and_end(&stage, running));
    assert_eq!(report.number(&["scanned"]), 0, "{report}");
}

fn kill_all(server: &Server) {
    for (id, _) in clients(server) {
        kill_client(server, id);
    }
}

fn a_rotated_password_is_read_again(way: Way) {
    let source = Server::with(Version::Redis70)
        .acl("user default on nopass ~* &* +@all\nuser rotates on >first ~* &* +@all\n")
        .start();
    let stage = Stage::with(way, source, Server::start(Version::Redis70));
    data::fill_mixed(&stage.source, "key:", 400);
    let file = stage.source.folder().join("password");
    std::fs::write(&file, "first\n").unwrap();
    let mut running = live(way.word(), &stage.source.uri(), &stage.target.uri())
        .words(["--source-user", "rotates", "--source-pass-file"])
        .word(&file)
        .words(["--retry", "always"])
        .spawn();
    listens(&mut running);
    scanned(&mut running);
    stage.source.tell("ACL SETUSER rotates resetpass >second");
    kill_all(&stage.source);
    stage.source.tell("SET after:rotation 1");
    // The file comes a little later than the password, as it does.
    wait::until("riot tried the old password", || {
        let refused: Vec<redis::Value> = stage.source.run("ACL LOG");
        (!refused.is_empty()).then_some(())
    });
    std::fs::write(&file, "second\n").unwrap();
    wait::until("riot is back with the new password", || {
        let value: Option<u32> = stage.target.run("GET after:rotation");
        value
    });
    let report = stage.equal(&end_of_gap(running, &stage));
    assert!(report.number(&["live", "gap_count"]) >= 1, "{report}");
}

/// Ends a run after it has closed its gap: it listens, and has read what was written meanwhile.
fn end_of_gap(running: Running, stage: &Stage) -> Output {
    wait::until("both hold the same", || {
        super::differences(&stage.source, &stage.target)
            .is_empty()
            .then_some(())
    });
    quiet(&running);
    end(running)
}

#[test]
fn an_end_with_nothing_to_do_is_quick_and_reports_everything() {
    let stage = Stage::new(Way::Tracking);
    data::fill_every_type(&stage.source, 0);
    let mut running = stage.replicate().spawn();
    listens(&mut running);
    scanned(&mut running);
    let asked = Instant::now();
    let output = end(running);
    assert!(asked.elapsed() < Duration::from_secs(10), "{output}");
    stage.equal(&output);
    let report = Report::of(&output);
    for name in ["events", "changes", "most_waiting", "overflowed"] {
        report.number(&["live", name]);
    }
    for name in ["count", "p50_us", "p99_us", "max_us"] {
        report.number(&["live", "lag", name]);
    }
}
