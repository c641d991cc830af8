//! A state that does not fit the command line, that cannot be read or kept: nothing is copied, and a line says what to do.

use std::fs;

use super::{Kept, pair};
use crate::data;
use crate::riot::{replicate, riot};

const KEYS: u32 = 5_000;

#[test]
fn other_servers_and_other_options_are_named() {
    let (source, target) = pair();
    let (other, _) = pair();
    data::fill_strings(&source, "key:", KEYS, 50);
    let kept = Kept::of(&source, &target).words(&["--rate", "2000"]);
    kept.killed_at(1_000);
    let before = fs::read_to_string(kept.file()).unwrap();
    let with = |words: &[&str]| {
        replicate(&source, &target)
            .word("--state")
            .word(kept.file())
            .words(words)
    };
    for (words, told) in [
        (
            &["--key-pattern", "key:1*"][..],
            "another --key-pattern: not given then, key:1* now",
        ),
        (&["--key-type", "string"], "another --key-type"),
        (&["--key-include", "key:[12].*"], "another --key-include"),
        (&["--key-exclude", "key:3.*"], "another --key-exclude"),
        (
            &["--key-slots", "0-99"],
            "another --key-slots or --shard: 0-16383 then, 0-99 now",
        ),
        (&["--shard", "1/2"], "another --key-slots or --shard"),
        (&["--mem-limit", "1MB"], "another --mem-limit"),
        (
            &["--key-process", "copy:#{key}"],
            "another --key-process: not given then, copy:#{key} now",
        ),
        (&["--key-replace", "^key=>value"], "another --key-replace"),
        (&["--no-ttl"], "another --no-ttl"),
        (&["--target-db", "3"], "another TARGET"),
    ] {
        with(words)
            .run()
            .refuses(2, &["--state", told, "or another file"]);
    }
    for (from, to, told) in [
        (&other, &target, "another SOURCE"),
        (&source, &other, "another TARGET"),
    ] {
        replicate(from, to)
            .word("--state")
            .word(kept.file())
            .run()
            .refuses(2, &[told]);
    }
    assert_eq!(before, fs::read_to_string(kept.file()).unwrap());
    assert_eq!(other.keys(0), 0);
    kept.riot().run().exits(0).says("picked up at ");
    data::assert_same(&source, &target);
}

#[test]
fn no_password_is_in_the_file() {
    use crate::servers::{Server, Version};
    let server = || Server::with(Version::Redis70).password("s3cret").start();
    let (source, target) = (server(), server());
    data::fill_strings(&source, "key:", KEYS, 50);
    let kept = Kept::of(&source, &target).words(&[
        "--source-pass",
        "s3cret",
        "--target-pass",
        "s3cret",
        "--rate",
        "2000",
    ]);
    kept.killed_at(1_000);
    assert!(!fs::read_to_string(kept.file()).unwrap().contains("s3cret"));
    kept.riot().run().exits(0);
    data::assert_same(&source, &target);
}

#[test]
fn a_file_that_is_none_of_riot_or_damaged_is_left_alone() {
    let (source, target) = pair();
    data::fill_strings(&source, "key:", KEYS, 50);
    let kept = Kept::of(&source, &target).words(&["--rate", "2000"]);
    kept.killed_at(1_000);
    let whole = fs::read_to_string(kept.file()).unwrap();
    let newer = whole.replace("\"riot_state\": 1", "\"riot_state\": 9");
    let copied = target.keys(0);
    for (text, told) in [
        (&whole[..whole.len() / 2], "it is damaged"),
        ("key = value\n", "it is damaged"),
        ("{\"a\": 1}", "it is no state file of riot"),
        (
            &newer,
            "it is of another version of riot (riot_state 9, this one has 1)",
        ),
    ] {
        fs::write(kept.file(), text).unwrap();
        kept.riot().run().refuses(2, &["--state", told]);
        assert_eq!(fs::read_to_string(kept.file()).unwrap(), text);
    }
    assert_eq!(target.keys(0), copied);
    fs::write(kept.file(), "").unwrap();
    kept.riot().run().exits(0);
    data::assert_same(&source, &target);
}

#[test]
fn a_place_that_cannot_be_written_is_told_before_anything_is_copied() {
    let (source, target) = pair();
    data::fill_strings(&source, "key:", KEYS, 50);
    let kept = Kept::of(&source, &target);
    let no = kept.folder.path().join("no/such/file");
    let blocked = kept.folder.path().join("blocked");
    // What is written next cannot be: a folder lies in its place.
    fs::create_dir(kept.folder.path().join("blocked.tmp")).unwrap();
    for (file, told) in [
        (no, "it cannot be opened for writing"),
        (
            kept.folder.path().to_owned(),
            "it cannot be opened for writing",
        ),
        (blocked, "it cannot be written"),
    ] {
        replicate(&source, &target)
            .word("--state")
            .word(file)
            .run()
            .refuses(2, &["--state", told]);
    }
    assert_eq!(target.keys(0), 0);
}

#[test]
fn a_disk_that_is_full_half_way_does_not_end_the_copy() {
    let (source, target) = pair();
    data::fill_strings(&source, "key:", KEYS, 50);
    let kept = Kept::of(&source, &target).words(&["--rate", "2000"]);
    let mut running = kept.until(500);
    let draft = kept.folder.path().join("state.tmp");
    crate::wait::until("the draft's name is taken by a folder", || {
        fs::create_dir(&draft).ok()
    });
    running.wait_for("it cannot be written");
    fs::remove_dir(&draft).unwrap();
    running.wait_for("it is written again");
    running.finish().exits(0);
    assert!(!kept.file().exists());
    data::assert_same(&source, &target);
}

#[test]
fn two_runs_do_not_share_a_file() {
    let (source, target) = pair();
    data::fill_strings(&source, "key:", KEYS, 50);
    let kept = Kept::of(&source, &target).words(&["--rate", "2000"]);
    let running = kept.until(1_000);
    kept.riot()
        .run()
        .refuses(2, &["--state", "another run of riot uses it"]);
    running.finish().exits(0);
    data::assert_same(&source, &target);
}

#[test]
fn what_cannot_be_picked_up_is_refused() {
    let line = |words: &[&str]| {
        riot(["replicate", "127.0.0.1:1", "127.0.0.1:2", "--state", "file"]).words(words.iter())
    };
    line(&["--mode", "live"])
        .run()
        .refuses(2, &["--state", "would be lost"]);
    line(&["--repeat", "1m"])
        .run()
        .refuses(2, &["--state", "--repeat"]);
    line(&["--dry-run"])
        .run()
        .refuses(2, &["--state", "--dry-run"]);
    line(&["--type", "struct", "--merge"])
        .run()
        .refuses(2, &["--merge", "--state"]);
    riot(["compare", "127.0.0.1:1", "127.0.0.1:2", "--state", "file"])
        .run()
        .refuses(2, &["--state", "compare begins anew"]);
}

#[test]
fn a_server_that_does_not_tell_its_run_id_cannot_be_known_again() {
    use crate::servers::{Server, Version};
    let source = Server::with(Version::Redis70)
        .acl("user blind on nopass ~* &* +@all -info")
        .start();
    let (target, _) = pair();
    source.tell("SET a 1");
    let kept = Kept::of(&source, &target).words(&["--source-user", "blind", "--source-pass", "x"]);
    kept.riot()
        .run()
        .exits(3)
        .says("it does not tell its run id, by which --state knows it again (ACL rule +info)");
    assert_eq!(target.keys(0), 0);
}
