//! Servers that are not what they were: what was kept of them is not trusted.

use super::{Kept, pair, reads};
use crate::data;
use crate::riot::compare_full;
use crate::servers::{Server, Version};

const KEYS: u32 = 20_000;
const WORDS: &[&str] = &["--rate", "10000"];

/// Two servers that keep their data over a restart.
fn lasting() -> (Server, Server) {
    let server = || Server::with(Version::Redis70).persistent().start();
    let (source, target) = (server(), server());
    data::fill_strings(&source, "key:", KEYS, 50);
    (source, target)
}

#[test]
fn a_source_that_was_restarted_is_scanned_from_the_start() {
    let (source, target) = lasting();
    let kept = Kept::of(&source, &target).words(WORDS);
    kept.killed_at(10_000);
    source.kill();
    source.restart();
    let line =
        "the source was restarted or replaced since: its keys are scanned again from the start";
    let output = kept.riot().run().exits(0).says(line).prints(line);
    assert_eq!(output.counts().written, u64::from(KEYS));
    data::assert_same(&source, &target);
}

#[test]
fn a_target_that_was_restarted_gets_all_keys_again() {
    let (source, target) = lasting();
    let kept = Kept::of(&source, &target).words(WORDS);
    kept.killed_at(10_000);
    target.kill();
    target.restart();
    let line = "the target was restarted or replaced since: what was copied may be gone, so all keys are copied again";
    let output = kept.riot().run().exits(0).says(line).prints(line);
    assert_eq!(output.counts().written, u64::from(KEYS));
    data::assert_same(&source, &target);
}

#[test]
fn a_target_that_was_emptied_gets_all_keys_again() {
    let (source, target) = lasting();
    let kept = Kept::of(&source, &target).words(WORDS);
    kept.killed_at(10_000);
    target.tell("FLUSHALL");
    let line = "the target has no keys any more, so all keys are copied again";
    kept.riot().run().exits(0).says(line);
    data::assert_same(&source, &target);
}

#[test]
fn keys_that_the_target_has_lost_meanwhile_are_found_by_the_comparison() {
    let (source, target) = lasting();
    let kept = Kept::of(&source, &target).words(WORDS);
    kept.killed_at(15_000);
    let lost: Vec<String> = target.run("KEYS key:1*7");
    for key in &lost {
        target.tell(&format!("DEL {key}"));
    }
    let output = kept
        .riot()
        .words(["--round-interval", "10ms"])
        .run()
        .exits(1);
    let missing = format!("{} missing, 0 type, 0 value, 0 ttl", lost.len());
    output.prints(&missing);
    assert!(!kept.file().exists(), "to go on would not mend it");
    kept.riot().run().exits(0);
    data::assert_same(&source, &target);
}

#[test]
fn the_servers_are_restarted_while_riot_runs_and_then_it_is_killed() {
    let (source, target) = lasting();
    let kept = Kept::of(&source, &target).words(WORDS);
    let running = kept.until(5_000);
    source.kill();
    source.restart();
    // The scan began again on the new one: its places alone are kept.
    let before = kept.done();
    let record = crate::wait::within(super::LONG, "the new server's places are kept", || {
        let record = kept.record()?;
        let id = source.info("run_id");
        let nodes = record["nodes"].as_array()?.clone();
        let known = nodes.iter().any(|node| node["run_id"] == id.as_str());
        (known && kept.done() > 8_000).then_some(record)
    });
    assert_eq!(
        record["nodes"].as_array().unwrap().len(),
        1,
        "{before}: {record}"
    );
    running.signal("KILL");
    running.finish();
    let reads_before = reads(&source);
    kept.riot()
        .word("--no-verify")
        .run()
        .exits(0)
        .says("picked up at ");
    assert!(reads(&source) - reads_before < 13_000);
    data::assert_same(&source, &target);
}

#[test]
fn another_pause_another_pace_and_the_rest_is_copied() {
    let (source, target) = pair();
    data::fill_strings(&source, "key:", KEYS, 50);
    let kept = Kept::of(&source, &target);
    let running = kept
        .riot()
        .words(["--rate", "5000", "--threads", "1"])
        .spawn();
    crate::wait::until("some keys are done", || (kept.done() > 2_000).then_some(()));
    running.signal("KILL");
    running.finish();
    // What was copied and changes in the pause is not seen: the comparison says so where it can.
    kept.riot()
        .words(["--type", "struct", "--threads", "3", "--scan-count", "77"])
        .run()
        .exits(0);
    compare_full(&source, &target).run().exits(0);
}
