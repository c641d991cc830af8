use bytes::Bytes;

use super::*;
use crate::entry::Mark;
use crate::slots::SlotSet;

fn record() -> Record {
    Record::new([("SOURCE".to_owned(), "a:1, database 0".to_owned())].into())
}

fn track() -> Track {
    Track::new(record())
}

/// What is kept, with nothing moved.
fn kept(track: &Track) -> Record {
    track.record(&SlotSet::default(), 0)
}

fn cursors(track: &Track) -> Vec<(String, String, bool)> {
    let nodes = kept(track).nodes.into_iter();
    nodes
        .map(|node| (node.run_id, node.cursor, node.done))
        .collect()
}

fn node(run_id: &str, cursor: &str, done: bool) -> (String, String, bool) {
    (run_id.to_owned(), cursor.to_owned(), done)
}

/// So many keys of this page have their fates.
fn settle(track: &Track, mark: Mark, keys: usize) {
    track.settle(std::iter::repeat_n(mark, keys));
}

#[test]
fn a_cursor_is_kept_when_its_page_and_all_before_it_are_done() {
    let track = track();
    let all = SlotSet::all();
    assert!(track.begin(&all, 0).is_all());
    let start = track.start(Some("one"), &all);
    assert_eq!((start.cursor.as_slice(), start.done), (&b"0"[..], false));
    let pages: Vec<Mark> = [(&b"8"[..], 3), (b"4", 2), (b"12", 0), (b"0", 1)]
        .into_iter()
        .map(|(cursor, keys)| track.page(start.scan, cursor, keys))
        .collect();
    assert_eq!(cursors(&track), [node("one", "0", false)]);
    settle(&track, pages[1], 2);
    assert_eq!(cursors(&track), [node("one", "0", false)]);
    track.settle([pages[0], pages[0], pages[3]]);
    assert_eq!(cursors(&track), [node("one", "0", false)]);
    assert!(!track.end(), "a key of the first page has no fate");
    settle(&track, pages[0], 1);
    assert!(track.end());
    let kept = kept(&track);
    assert!(kept.copied && kept.nodes.is_empty() && kept.slots.is_empty());
    assert_eq!(kept.done(), 6);
}

#[test]
fn a_page_without_keys_is_done_with_those_before_it() {
    let track = track();
    let all = SlotSet::all();
    let _ = track.begin(&all, 0);
    let start = track.start(Some("one"), &all);
    let _ = track.page(start.scan, b"8", 0);
    assert_eq!(cursors(&track), [node("one", "8", false)]);
    let page = track.page(start.scan, b"4", 1);
    let _ = track.page(start.scan, b"12", 0);
    assert_eq!(cursors(&track), [node("one", "8", false)]);
    settle(&track, page, 1);
    assert_eq!(cursors(&track), [node("one", "12", false)]);
}

#[test]
fn another_server_behind_the_address_is_scanned_from_the_start() {
    let track = track();
    let all = SlotSet::all();
    let _ = track.begin(&all, 0);
    let start = track.start(Some("one"), &all);
    let early = track.page(start.scan, b"8", 1);
    let late = track.page(start.scan, b"4", 1);
    settle(&track, early, 1);
    let again = track.restart(start.scan, Some("two"), &all);
    assert_eq!(cursors(&track), [node("two", "0", false)]);
    // What was dealt of it before counts for nothing, and what still comes of it neither.
    settle(&track, late, 1);
    assert_eq!(track.page(start.scan, b"0", 5), Mark::default());
    assert_eq!(cursors(&track), [node("two", "0", false)]);
    let last = track.page(again, b"0", 2);
    settle(&track, last, 2);
    assert!(track.end());
    assert_eq!(kept(&track).done(), 2);
}

#[test]
fn a_killed_run_goes_on_where_it_was() {
    let track = track();
    let halves = [SlotSet::of(&[(0, 99)]), SlotSet::of(&[(100, 16_383)])];
    let _ = track.begin(&SlotSet::all(), 0);
    for (run_id, own) in ["one", "two"].into_iter().zip(&halves) {
        let start = track.start(Some(run_id), own);
        let first = track.page(start.scan, b"8", 10);
        settle(&track, first, 10);
        let _ = track.page(start.scan, b"4", 10);
    }
    let text = kept(&track).to_json();
    let found = Record::parse(&text).unwrap();
    assert_eq!(found.done(), 20);

    // Ten slots have moved from the first to the second, and the third is new.
    let track = Track::new(found);
    assert!(track.begin(&SlotSet::all(), 0).is_all());
    let one = track.start(Some("one"), &SlotSet::of(&[(0, 89)]));
    assert_eq!((one.cursor.as_slice(), one.rest.len()), (&b"8"[..], 0));
    assert_eq!(
        cursors(&track).len(),
        2,
        "killed before the second was reached, it is kept"
    );
    let two = track.start(Some("two"), &SlotSet::of(&[(90, 16_000)]));
    assert_eq!(two.cursor, b"8");
    assert_eq!(two.rest.ranges(), [(90, 99)]);
    let three = track.start(Some("three"), &SlotSet::of(&[(16_001, 16_383)]));
    assert_eq!(three.cursor, b"0");
    for scan in [one.scan, two.scan, three.scan] {
        let last = track.page(scan, b"0", 1);
        settle(&track, last, 1);
    }
    let again = track.begin(&two.rest, 0);
    assert_eq!(again.ranges(), [(90, 99)]);
    assert_eq!(kept(&track).slots, [(90, 99)], "all else is done");
    let start = track.start(Some("two"), &two.rest);
    assert_eq!(start.cursor, b"0");
    let last = track.page(start.scan, b"0", 1);
    settle(&track, last, 1);
    assert!(track.end());
    assert_eq!(kept(&track).done(), 24);
}

#[test]
fn slots_that_have_moved_are_not_trusted() {
    let track = track();
    let all = SlotSet::all();
    let _ = track.begin(&all, 0);
    let start = track.start(Some("one"), &all);
    let page = track.page(start.scan, b"8", 1);
    settle(&track, page, 1);
    // They were away and are back.
    let moved = SlotSet::of(&[(7, 9)]);
    let track = Track::new(track.record(&moved, 0));
    let _ = track.begin(&all, 0);
    let start = track.start(Some("one"), &all);
    assert_eq!(
        (start.cursor.as_slice(), start.rest.ranges()),
        (&b"8"[..], vec![(7, 9)])
    );
}

#[test]
fn until_its_last_key_a_pass_is_what_is_kept() {
    let track = track();
    let _ = track.begin(&SlotSet::all(), 0);
    let first = track.start(Some("one"), &SlotSet::all());
    let page = track.page(first.scan, b"0", 2);
    let moved = SlotSet::of(&[(5, 5)]);
    let _ = track.begin(&moved, 3);
    let second = track.start(Some("two"), &moved);
    let other = track.page(second.scan, b"0", 1);
    settle(&track, other, 1);
    assert_eq!(track.version(), Some(0));
    let before = kept(&track);
    assert_eq!(
        (before.slots, before.again),
        (vec![(0, 16_383)], vec![(5, 5)])
    );
    assert_eq!(cursors(&track), [node("one", "0", false)]);
    settle(&track, page, 2);
    assert_eq!(kept(&track).slots, [(5, 5)]);
    assert!(track.end());
}

#[test]
fn failed_keys_are_kept_by_name_as_far_as_there_is_room() {
    let track = track();
    let all = SlotSet::all();
    let _ = track.begin(&all, 0);
    let start = track.start(Some("one"), &all);
    let page = track.page(start.scan, b"8", 1000);
    for key in 0..1000 {
        track.failed(&Bytes::from(format!("key\u{7}{key}")), page);
    }
    assert_eq!(cursors(&track), [node("one", "8", false)]);
    let page = track.page(start.scan, b"0", 1);
    track.failed(&Bytes::from("one more"), page);
    assert!(!track.end() && track.has_overflowed());
    assert_eq!(cursors(&track), [node("one", "8", false)]);

    let track = Track::new(Record::parse(&kept(&track).to_json()).unwrap());
    let again = track.to_retry();
    assert_eq!((again.len(), again[0].as_ref()), (1000, &b"key\x070"[..]));
    assert_eq!(
        kept(&track).failed.len(),
        1000,
        "killed in between, they are still there"
    );
    track.failed(&again[7], Mark::default());
    track.has_retried();
    assert_eq!(
        (track.failures(), kept(&track).failed_keys()),
        (1, vec![again[7].clone()])
    );
}

#[test]
fn a_file_that_cannot_be_trusted_is_refused() {
    let whole = record().to_json();
    assert_eq!(Record::parse(&whole).unwrap(), record());
    let refused = |text: &str| Record::parse(text).unwrap_err();
    for damaged in [
        &whole[..whole.len() / 2],
        "nonsense",
        &whole.replace("\"copied\": false", "\"copied\": 7"),
        &whole.replace("16383", "16384"),
        &whole.replace("\"nodes\": []", "\"nodes\": [{\"run_id\":\"a\",\"slots\":[],\"cursor\":\"x\",\"done\":false,\"keys\":0}]"),
        &whole.replace("\"failed\": []", "\"failed\": [\"6\"]"),
    ] {
        let why = refused(damaged);
        assert!(why.starts_with("it is damaged (") && why.ends_with("remove it to copy all keys from the start"), "{why}");
    }
    assert!(refused("{}").contains("it is no state file of riot"));
    let newer = whole.replace("\"riot_state\": 1", "\"riot_state\": 2");
    assert!(refused(&newer).contains("another version of riot (riot_state 2"));
}

#[test]
fn another_option_is_named() {
    let now = |pairs: &[(&str, &str)]| {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    };
    let same = now(&[("SOURCE", "a:1, database 0")]);
    assert_eq!(record().refuse_other_options(&same), Ok(()));
    let other = now(&[("SOURCE", "b:1, database 0")]);
    assert_eq!(
        record().refuse_other_options(&other).unwrap_err(),
        "it is of a copy with another SOURCE: a:1, database 0 then, b:1, database 0 now; give the same words as then, or another file"
    );
    let more = now(&[("SOURCE", "a:1, database 0"), ("--key-pattern", "a*")]);
    assert!(
        record()
            .refuse_other_options(&more)
            .unwrap_err()
            .contains("another --key-pattern: not given then, a* now")
    );
}

#[test]
fn a_cluster_may_be_reached_by_another_of_its_nodes() {
    let servers = |ids: &[&str]| Servers {
        cluster: true,
        run_ids: ids.iter().map(|id| (*id).to_owned()).collect(),
    };
    let mut record = record();
    record.source = servers(&["one", "two"]);
    let other = [("SOURCE".to_owned(), "b:1, database 0".to_owned())].into();
    assert_eq!(record.refuse_other_options(&other), Ok(()));
    let refused = |ids| record.refuse_other_clusters(&other, (&servers(ids), &servers(&[])));
    assert_eq!(refused(&["three", "two"]), Ok(()));
    assert!(refused(&["three"]).unwrap_err().contains("another SOURCE"));
    let same = record.options.clone();
    assert_eq!(
        record.refuse_other_clusters(&same, (&servers(&["three"]), &servers(&[]))),
        Ok(())
    );
}

#[test]
fn one_run_at_a_time_has_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let (mut file, text) = StateFile::open(&path).unwrap();
    assert_eq!(text, None);
    let refused = || StateFile::open(&path).unwrap_err();
    assert!(refused().contains("another run of riot uses it"));
    file.write("one\n").unwrap();
    assert!(
        refused().contains("another run of riot uses it"),
        "what replaced it is locked too"
    );
    file.write("two\n").unwrap();
    drop(file);
    let (file, text) = StateFile::open(&path).unwrap();
    assert_eq!(text.as_deref(), Some("two\n"));
    file.remove().unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    assert!(
        StateFile::open(&folder.path().join("no/such"))
            .unwrap_err()
            .contains("cannot be opened")
    );
}
