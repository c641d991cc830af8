//! Keys that failed: they are not forgotten, and what a run says in the end is true of all keys.

use super::{Kept, pair};
use crate::data;
use crate::servers::{Server, Version};

/// Refuses writes of some keys, for as long as it is wished.
const LIMITED: &str = "user limited on nopass %RW~key:* %R~bad:* &* +@all";

/// A target at which riot's user may not write keys called `bad:…`.
fn limited() -> (Server, Server) {
    let source = Server::start(Version::Redis70);
    let target = Server::with(Version::Redis70).acl(LIMITED).start();
    data::fill_strings(&source, "key:", 5_000, 50);
    (source, target)
}

const WORDS: &[&str] = &[
    "--target-user",
    "limited",
    "--target-pass",
    "x",
    "--round-interval",
    "10ms",
];

#[test]
fn keys_that_failed_are_tried_again_by_the_next_run() {
    let (source, target) = limited();
    data::fill_strings(&source, "bad:", 70, 50);
    let kept = Kept::of(&source, &target).words(WORDS);
    let output = kept.riot().run().exits(1);
    assert_eq!(output.counts().failed, 70);
    let output = output
        .prints("keeps the names of 70 keys that failed: the same command line tries them again");
    let output = output.prints("70 missing");
    assert_eq!(
        kept.record().unwrap()["failed"].as_array().unwrap().len(),
        70,
        "{output}"
    );

    let output = kept
        .riot()
        .run()
        .exits(1)
        .says("70 keys that failed before are tried again");
    assert_eq!((output.counts().scanned, output.counts().failed), (70, 70));

    target.tell("ACL SETUSER limited ~*");
    let output = kept
        .riot()
        .run()
        .exits(0)
        .says("picked up: all keys were copied before");
    assert_eq!((output.counts().scanned, output.counts().written), (70, 70));
    assert!(!kept.file().exists());
    data::assert_same(&source, &target);
}

#[test]
fn keys_that_failed_before_a_kill_are_tried_again_after_it() {
    let (source, target) = limited();
    data::fill_strings(&source, "bad:", 70, 50);
    let kept = Kept::of(&source, &target)
        .words(WORDS)
        .words(&["--rate", "3000"]);
    kept.killed_at(3_000);
    let failed = kept.record().unwrap()["failed"].as_array().unwrap().len();
    assert!(failed > 0);
    // The earlier part has failed: what is said in the end is of all keys.
    let output = kept.riot().run().exits(1);
    output.prints("70 missing");
    target.tell("ACL SETUSER limited ~*");
    kept.riot().run().exits(0);
    data::assert_same(&source, &target);
}

#[test]
fn more_failed_keys_than_are_kept_by_name_are_scanned_again() {
    let (source, target) = limited();
    data::fill_strings(&source, "bad:", 3_000, 50);
    let kept = Kept::of(&source, &target).words(WORDS);
    let output = kept.riot().run().exits(1);
    assert_eq!(output.counts().failed, 3_000);
    let output = output.prints("keeps where the copy is");
    let record = kept.record().unwrap();
    assert_eq!(
        record["failed"].as_array().unwrap().len(),
        1_000,
        "{output}"
    );
    assert_eq!(record["copied"], false);
    target.tell("ACL SETUSER limited ~*");
    kept.riot().run().exits(0);
    assert!(!kept.file().exists());
    data::assert_same(&source, &target);
}

#[test]
fn a_target_that_was_full_gets_the_rest_when_it_has_room() {
    let (source, target) = pair();
    data::fill_strings(&source, "key:", 20_000, 100);
    target.tell("CONFIG SET maxmemory-policy noeviction");
    target.tell("CONFIG SET maxmemory 4mb");
    let kept = Kept::of(&source, &target).words(&["--retry", "never", "--no-verify"]);
    let output = kept.riot().run().exits(1);
    assert!(output.counts().failed > 1_000, "{output}");
    target.tell("CONFIG SET maxmemory 0");
    kept.riot().word("--skip").word("never").run().exits(0);
    assert!(!kept.file().exists());
    data::assert_same(&source, &target);
}

#[test]
fn a_run_that_ends_at_the_first_failure_is_picked_up() {
    let (source, target) = limited();
    data::fill_strings(&source, "bad:", 10, 50);
    let kept = Kept::of(&source, &target)
        .words(WORDS)
        .words(&["--rate", "3000"]);
    let output = kept.riot().words(["--skip", "never"]).run().exits(1);
    output.prints("keeps where the copy is");
    target.tell("ACL SETUSER limited ~*");
    kept.riot().run().exits(0);
    data::assert_same(&source, &target);
}
