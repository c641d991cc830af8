//! `/readyz`: the signal for the cutover.

use super::{ANYWHERE, address, http, until};
use crate::data;
use crate::live::{end, live};
use crate::riot::replicate;
use crate::servers::{Server, Version};
use crate::wait;

/// Asks until the answer has this status and holds these words.
#[track_caller]
fn answers(address: &str, status: u16, words: &str) -> String {
    wait::until(&format!("/readyz answers {status}, {words}"), || {
        let answer = http::get(address, "/readyz");
        (answer.status == status && answer.body.contains(words)).then_some(answer.body)
    })
}

#[test]
fn a_live_run_is_ready_after_its_scan_and_while_the_target_keeps_up() {
    let (source, target) = (
        Server::start(Version::Redis70),
        Server::start(Version::Redis70),
    );
    data::fill_strings(&source, "key:", 2000, 50);
    let mut running = live("tracking", &source.uri(), &target.uri())
        .words(ANYWHERE)
        .words([
            "--ready-lag",
            "500ms",
            "--rate",
            "1000",
            "--scan-count",
            "10",
        ])
        .spawn();
    let address = address(&mut running);
    let why = answers(&address, 503, "not ready: scan ");
    let form = regex::Regex::new(r"^not ready: scan \d{1,2} %\n$").unwrap();
    assert!(form.is_match(&why), "{why:?}");
    assert_eq!(answers(&address, 200, ""), "ready\n");
    assert_eq!(target.keys(0), 2000, "it is ready when all is copied");

    // One change is enough: it waits as long as the target does.
    target.pause();
    let () = source.run("SET key:1 changed");
    let why = answers(&address, 503, "lag ");
    let form = regex::Regex::new(r"^not ready: lag \d+\.\d s\n$").unwrap();
    assert!(form.is_match(&why), "{why:?}");
    let first = until(&address, "it is told", |scrape| {
        scrape.value("riot_current_lag_seconds") >= 0.5 && scrape.is("riot_ready", 0)
    });
    until(&address, "the lag grows", |scrape| {
        scrape.value("riot_current_lag_seconds") > first.value("riot_current_lag_seconds") + 0.3
    });
    assert_eq!(http::get(&address, "/healthz").body, "alive\n");
    target.resume();
    assert_eq!(answers(&address, 200, ""), "ready\n");
    let value: String = target.run("GET key:1");
    assert_eq!(value, "changed");
    end(running).exits(0);
    data::assert_same(&source, &target);
}

#[test]
fn a_source_that_is_gone_leaves_a_gap_open() {
    let (source, target) = (
        Server::with(Version::Redis70).persistent().start(),
        Server::start(Version::Redis70),
    );
    data::fill_strings(&source, "key:", 100, 50);
    let mut running = live("tracking", &source.uri(), &target.uri())
        .words(ANYWHERE)
        .spawn();
    let address = address(&mut running);
    assert_eq!(answers(&address, 200, ""), "ready\n");
    source.kill();
    answers(&address, 503, "gap open");
    source.restart();
    assert_eq!(answers(&address, 200, ""), "ready\n");
    end(running);
    data::assert_same(&source, &target);
}

#[test]
fn a_snapshot_is_ready_when_the_copy_is_done() {
    let (source, target) = (
        Server::start(Version::Redis70),
        Server::start(Version::Redis70),
    );
    data::fill_strings(&source, "key:", 1000, 50);
    let mut running = replicate(&source, &target)
        .words(ANYWHERE)
        .words(["--rate", "1000", "--scan-count", "10", "--repeat", "1h"])
        .spawn();
    let address = address(&mut running);
    answers(&address, 503, "not ready: scan ");
    answers(&address, 200, "ready: the copy is done");
    answers(
        &address,
        200,
        "ready: the copy is done, and will be done again",
    );
    running.signal("TERM");
    running.finish().exits(0);

    // One that does not repeat compares at the end, as slowly as it copies here, and says so.
    let mut running = replicate(&source, &target)
        .words(ANYWHERE)
        .words(["--rate", "1000", "--scan-count", "10"])
        .spawn();
    let address = self::address(&mut running);
    answers(
        &address,
        200,
        "ready: the copy is done, and both sides are compared",
    );
    running.finish().exits(0);
}

#[test]
fn a_comparison_is_not_ready_before_its_end() {
    let (source, target) = (
        Server::start(Version::Redis70),
        Server::start(Version::Redis70),
    );
    for server in [&source, &target] {
        data::fill_strings(server, "key:", 1000, 50);
    }
    let mut running = crate::riot::compare(&source, &target)
        .words(ANYWHERE)
        .words(["--rate", "1000", "--scan-count", "10", "--repeat", "1h"])
        .spawn();
    let address = address(&mut running);
    answers(&address, 503, "not ready: comparing ");
    answers(&address, 200, "ready: both sides were compared");
    running.signal("TERM");
    running.finish().exits(0);
}

#[test]
fn a_source_that_hangs_is_not_taken_for_one_without_changes() {
    let (source, target) = (
        Server::start(Version::Redis70),
        Server::start(Version::Redis70),
    );
    let mut running = live("tracking", &source.uri(), &target.uri())
        .words(ANYWHERE)
        .spawn();
    let address = address(&mut running);
    assert_eq!(answers(&address, 200, ""), "ready\n");
    source.pause();
    answers(&address, 503, "cannot be asked");
    source.resume();
    assert_eq!(answers(&address, 200, ""), "ready\n");
    end(running).exits(0);
}
