//! Users with few rights: live works by what is left to them, and says what it cannot prove.

use std::time::Duration;

use super::load::Load;
use super::{Report, Stage, Way, assert_same, end, equal, listens, live};
use crate::riot::Output;
use crate::servers::{Server, Version};

/// A short load while a source's user with these rules is used: how it ended.
fn as_user(rules: &str, version: Version, words: &[&str]) -> (Stage, Output) {
    let source = Server::with(version)
        .acl(&format!(
            "user default on nopass ~* &* +@all\nuser few on >secret {rules}\n"
        ))
        .start();
    let stage = Stage::with(Way::Keyspace, source, Server::start(version));
    let load = Load::on(700);
    load.fill(&stage.source);
    let (running, done) = load.during(&stage.source, Duration::from_secs(1), |_| {
        let mut running = live("auto", &stage.source.uri(), &stage.target.uri())
            .words(["--source-user", "few", "--source-pass", "secret"])
            .words(words)
            .spawn();
        listens(&mut running);
        running
    });
    done.settle(&stage.source);
    let output = end(running);
    (stage, output)
}

#[test]
fn a_user_without_channels_is_live_by_tracking() {
    let (stage, output) = as_user("~* resetchannels +@all", Version::Redis70, &[]);
    assert_same(&output, &stage.source, &stage.target);
    let report = Report::of(&output);
    assert_eq!(report.ways(), ["tracking"], "{output}");
    let proved = report.unproven().is_empty();
    assert_eq!(output.code(), Some(i32::from(!proved)), "{output}");
    for line in report.unproven() {
        assert!(line.contains("&__key"), "{output}");
    }
}

#[test]
fn a_reader_is_live_and_ends_with_what_it_could_not_prove() {
    for version in [Version::Redis70, Version::Valkey81] {
        let rules = "~* resetchannels +@read +@connection";
        let (stage, output) = as_user(rules, version, &[]);
        assert_same(&output, &stage.source, &stage.target);
        assert_eq!(output.code(), Some(1), "{output}");
        let report = Report::of(&output);
        assert_eq!(report.ways(), ["tracking"], "{output}");
        let unproven = report.unproven().join("\n");
        assert!(unproven.contains("+info"), "{output}");
        for kind in ["missing", "type", "value", "ttl"] {
            assert_eq!(report.number(&["differences", kind]), 0, "{output}");
        }
    }
}

#[test]
fn a_reader_may_accept_what_it_could_not_prove() {
    let rules = "~* resetchannels +@read +@connection";
    let (stage, output) = as_user(rules, Version::Redis70, &["--accept-unproven"]);
    let report = equal(&output, &stage.source, &stage.target);
    assert!(!report.unproven().is_empty(), "{report}");
}

#[test]
fn keyspace_alone_without_channels_says_which_rule_is_missing() {
    let source = Server::with(Version::Redis70)
        .acl("user default on nopass ~* &* +@all\nuser few on >secret ~* resetchannels +@all\n")
        .start();
    let stage = Stage::with(Way::Keyspace, source, Server::start(Version::Redis70));
    stage.source.tell("SET key 1");
    stage
        .replicate()
        .words(["--source-user", "few", "--source-pass", "secret"])
        .run()
        .exits(3)
        .says("&__key");
    assert_eq!(stage.target.keys(0), 0);
}

#[test]
fn a_user_who_may_not_ask_for_the_setting_listens_both_ways() {
    // As on ElastiCache, which has no CONFIG.
    let (stage, output) = as_user("~* &* +@all -config", Version::Redis70, &[]);
    assert_same(&output, &stage.source, &stage.target);
    let report = Report::of(&output);
    assert_eq!(report.ways(), ["keyspace", "tracking"], "{output}");
    let proved = report.unproven().is_empty();
    assert_eq!(output.code(), Some(i32::from(!proved)), "{output}");
}
