//! What is left out, and what names become, holds for changes as it does for the scan.

use super::load::Load;
use super::{Stage, Way, each_way, end, listens, live, scanned};
use crate::data::{self, Snapshot};
use crate::riot::Output;
use crate::wait;
use std::time::Duration;

each_way![
    a_pattern_holds_for_changes,
    an_exclusion_holds_for_changes,
    a_type_holds_for_changes,
    names_are_changed_for_changes_and_deletions,
    shards_make_a_whole,
    nothing_is_written_where_that_was_asked_for,
    a_key_that_stops_being_of_the_wanted_type_is_deleted,
];

/// A load on keys of two prefixes with these words: how it ended.
fn under(stage: &Stage, words: &[&str]) -> Output {
    let (ours, theirs) = (
        Load::on(700).prefix("ours:").writers(4),
        Load::on(700).prefix("theirs:").writers(4),
    );
    ours.fill(&stage.source);
    theirs.fill(&stage.source);
    let mut running = live(stage.way.word(), &stage.source.uri(), &stage.target.uri())
        .words(words)
        .spawn();
    listens(&mut running);
    let time = Duration::from_millis(1500);
    let (done, _) = ours.during(&stage.source, time, |_| theirs.last(&stage.source, time));
    done.settle(&stage.source);
    let output = end(running);
    assert_eq!(output.code(), Some(0), "{output}");
    output
}

/// Fails the test where the target does not hold exactly what `wanted` makes of the source's keys.
#[track_caller]
fn holds(output: &Output, stage: &Stage, wanted: impl Fn(&[u8]) -> Option<Vec<u8>>) {
    let expected: Snapshot = data::snapshot(&stage.source, 0)
        .into_iter()
        .filter_map(|(key, value)| Some((data::Bytes(wanted(&key.0)?), value)))
        .collect();
    assert!(expected.len() > 200, "{output}");
    let found = data::snapshot(&stage.target, 0);
    let differences = data::differences(&expected, &found, 0);
    assert!(
        differences.is_empty(),
        "{}\n{output}",
        super::shown(&differences)
    );
}

fn is_ours(key: &[u8]) -> Option<Vec<u8>> {
    key.starts_with(b"ours:").then(|| key.to_vec())
}

fn a_pattern_holds_for_changes(way: Way) {
    let stage = Stage::new(way);
    let output = under(&stage, &["--key-pattern", "ours:*"]);
    holds(&output, &stage, is_ours);
}

fn an_exclusion_holds_for_changes(way: Way) {
    let stage = Stage::new(way);
    let output = under(&stage, &["--key-exclude", "re:theirs:.*"]);
    holds(&output, &stage, is_ours);
}

fn a_type_holds_for_changes(way: Way) {
    let stage = Stage::new(way);
    let output = under(&stage, &["--key-type", "hash"]);
    let mut expected = data::snapshot(&stage.source, 0);
    expected.retain(|_, value| matches!(value.body, data::Body::Hash(_)));
    assert!(expected.len() > 50, "{output}");
    // Keys that were hashes and are something else now are gone.
    let found = data::snapshot(&stage.target, 0);
    let differences = data::differences(&expected, &found, 0);
    assert!(
        differences.is_empty(),
        "{}\n{output}",
        super::shown(&differences)
    );
}

fn names_are_changed_for_changes_and_deletions(way: Way) {
    let stage = Stage::new(way);
    // A key of the target's own that has a source's name is nobody's to delete.
    stage.target.tell("SET bystander 1");
    stage.source.tell("SET bystander 2");
    let output = under(&stage, &["--key-process", "copy:#{key}"]);
    let own: Option<u32> = stage.target.run("GET bystander");
    assert_eq!(own, Some(1), "{output}");
    stage.target.tell("DEL bystander");
    holds(&output, &stage, |key| {
        Some([b"copy:".as_slice(), key].concat())
    });
}

fn a_key_that_stops_being_of_the_wanted_type_is_deleted(way: Way) {
    let stage = Stage::new(way);
    stage.source.tell("SET becomes:hash 1");
    stage.source.tell("SET stays 1");
    stage.source.tell("HSET never a b");
    let mut running = stage.replicate().words(["--key-type", "string"]).spawn();
    listens(&mut running);
    scanned(&mut running);
    wait::until("the strings have arrived", || {
        (stage.target.keys(0) == 2).then_some(())
    });
    // At no instant is it gone.
    stage.source.tell("RENAME never becomes:hash");
    wait::until("it is gone", || (stage.target.keys(0) == 1).then_some(()));
    assert_eq!(end(running).code(), Some(0));
}

fn shards_make_a_whole(way: Way) {
    let stage = Stage::new(way);
    let load = Load::on(1400);
    load.fill(&stage.source);
    let (runs, done) = load.during(&stage.source, Duration::from_millis(1500), |_| {
        ["1/2", "2/2"].map(|shard| {
            let mut running = stage.replicate().words(["--shard", shard]).spawn();
            listens(&mut running);
            running
        })
    });
    done.settle(&stage.source);
    let outputs = runs.map(end);
    for output in &outputs {
        assert_eq!(output.code(), Some(0), "{output}");
        super::assert_same(output, &stage.source, &stage.target);
    }
}

fn nothing_is_written_where_that_was_asked_for(way: Way) {
    let stage = Stage::new(way);
    data::fill_mixed(&stage.source, "before:", 400);
    stage.target.tell("SET before:0 own");
    stage.target.tell("SET own 1");
    let before = data::snapshot(&stage.target, 0);
    let mut running = stage.replicate().word("--dry-run").spawn();
    listens(&mut running);
    scanned(&mut running);
    data::fill_mixed(&stage.source, "after:", 400);
    stage.source.tell("SET own 2");
    stage.source.tell("DEL own");
    stage.source.tell("DEL before:0");
    stage.source.tell("FLUSHALL");
    let output = end(running);
    data::assert_snapshots(&before, &data::snapshot(&stage.target, 0), 0);
    super::no_panic(&output);
}
