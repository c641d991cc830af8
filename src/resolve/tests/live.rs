//! Command lines of live replication: what its options mean, and what they do not go with.

use super::*;
use crate::config::{EventOrder, Events, Live};

fn live(words: &str) -> Live {
    let line = format!("riot replicate a b {words}");
    run(&line).live.unwrap_or_else(|| panic!("{line}"))
}

#[test]
fn live_by_each_of_its_names() {
    for (words, scans) in [
        ("--mode live", true),
        ("--mode LIVE", true),
        ("--live", true),
        ("--live --mode live", true),
        ("--mode liveonly", false),
        ("--mode LIVEONLY", false),
        ("--mode live-only", false),
        ("--mode LIVE_ONLY", false),
    ] {
        assert_eq!(live(words).scans, scans, "{words}");
    }
    assert!(run("riot -h a replicate -h b --live").live.is_some());
    assert!(run("riot sync a b --mode live").live.is_some());
    for line in [
        "riot replicate a b",
        "riot replicate a b --mode snapshot",
        "riot replicate a b --mode compare",
        "riot compare a b",
        "riot compare a b --mode scan",
    ] {
        assert!(run(line).live.is_none(), "{line}");
    }
}

#[test]
fn what_is_not_said_of_live_has_its_default() {
    let (config, notices) = run_in("riot replicate a b --mode live", &[]);
    assert_eq!(notices, [""; 0]);
    assert_eq!(config.command, Command::Replicate);
    let live = config.live.unwrap();
    assert_eq!(
        (live.events, live.order, live.queue),
        (Events::Auto, EventOrder::Fifo, 1_000_000)
    );
    assert_eq!(
        (live.flush_interval, live.idle_timeout),
        (Duration::from_millis(50), None)
    );
    assert!(!live.accept_unproven);
    let verification = config.verification;
    assert_eq!(verification.depth, Depth::Quick);
    assert!(!verification.both && !verification.delete_extra);
}

#[test]
fn every_option_of_live_is_carried() {
    let given = live(
        "--mode live --events keyspace --event-queue 5 --event-order priority --flush-interval 10 --idle-timeout 1.5m \
         --accept-unproven",
    );
    assert_eq!(
        (given.events, given.order, given.queue),
        (Events::Keyspace, EventOrder::Priority, 5)
    );
    assert_eq!(
        (given.flush_interval, given.idle_timeout),
        (Duration::from_millis(10), Some(Duration::from_secs(90)))
    );
    assert!(given.accept_unproven);
    for (words, events) in [
        ("auto", Events::Auto),
        ("AUTO", Events::Auto),
        ("Keyspace", Events::Keyspace),
        ("TRACKING", Events::Tracking),
    ] {
        let given = live(&format!("--live --events {words}"));
        assert_eq!(given.events, events, "{words}");
    }
    for (words, order) in [
        ("FIFO", EventOrder::Fifo),
        ("Priority", EventOrder::Priority),
    ] {
        let given = live(&format!("--live --event-order {words}"));
        assert_eq!(given.order, order, "{words}");
    }
    assert_eq!(live("--live --event-queue 1").queue, 1);
}

#[test]
fn a_snapshot_takes_the_options_of_live_and_says_that_they_do_nothing() {
    let line = "riot replicate a b --mode scan --events tracking --event-queue 5 --event-order fifo --flush-interval 50 \
         --idle-timeout 5s --accept-unproven --source-resp 2";
    let (config, notices) = run_in(line, &[]);
    assert!(config.live.is_none());
    insta::assert_snapshot!(notices.join("\n"), @"
    --events: has no effect without --mode live
    --event-queue: has no effect without --mode live
    --event-order: has no effect without --mode live
    --flush-interval: has no effect without --mode live
    --idle-timeout: has no effect without --mode live
    --accept-unproven: has no effect without --mode live
    ");
}

#[test]
fn a_dry_run_and_no_verification_go_with_live() {
    for words in ["--dry-run", "--no-verify", "--compare none"] {
        let config = run(&format!("riot replicate a b --live {words}"));
        assert_eq!(config.verification.depth, Depth::None, "{words}");
        assert!(config.live.is_some(), "{words}");
    }
}

#[test]
fn extra_keys_are_looked_for_and_deleted_apart() {
    for (words, both, delete_extra) in [
        ("--both", true, false),
        ("--delete-extra", false, true),
        ("--both --delete-extra", true, true),
        ("--both --no-verify", false, false),
        ("--delete-extra --no-verify", false, true),
    ] {
        for mode in ["live", "liveonly"] {
            let line = format!("riot replicate a b --mode {mode} {words}");
            let verification = run(&line).verification;
            assert_eq!(
                (verification.both, verification.delete_extra),
                (both, delete_extra),
                "{line}"
            );
        }
    }
    let repair = run("riot compare a b --repair --delete-extra").verification;
    assert!(repair.both && repair.delete_extra && repair.repair);
}

#[test]
fn names_that_can_be_told_back_are_enough_for_live() {
    for words in [
        "--key-process x:#{key}",
        "--key-process #{#source.database}:#{key} --delete-extra",
        "--key-replace a=>b",
        "--key-process #{key}#{key}",
        "--events tracking --source-resp 3",
        "--events tracking --target-resp 2",
        "--events auto --source-resp 2",
        "--events keyspace --source-resp 2",
    ] {
        live(&format!("--live {words}"));
    }
}
