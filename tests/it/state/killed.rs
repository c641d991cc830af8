//! riot is killed again and again: the copy is whole in the end, and little of it was read twice.

use super::{Kept, pair, reads};
use crate::by_type::assert_carried;
use crate::by_type::filling::{KINDS, fill_big};
use crate::data;
use crate::riot::{compare_full, replicate};
use crate::servers::{Server, Version};
use crate::size::size;

/// Kills a copy so often, at moments spread over all its keys, and lets it come to its end. By the source's own count fewer than
/// a tenth of the keys were looked up twice.
fn kill_and_pick_up(source: &Server, target: &Server, kills: u32, words: &[&str]) {
    let keys = source.keys(0);
    let whole = Server::start(Version::Redis70);
    let before = reads(source);
    replicate(source, &whole)
        .words(words)
        .word("--no-verify")
        .deadline(super::LONG)
        .run()
        .exits(0);
    let once = reads(source) - before;
    drop(whole);

    let kept = Kept::of(source, target)
        .words(words)
        .words(&["--no-verify"]);
    let before = reads(source);
    let part = keys / u64::from(kills + 1);
    for kill in 1..=u64::from(kills) {
        kept.killed_at(part * kill - fastrand::u64(0..part / 2));
    }
    let output = kept.riot().run().exits(0);
    let all = reads(source) - before;
    let again = all.saturating_sub(once) * 100 / once;
    eprintln!("{keys} keys, {kills} kills: {once} reads at once, {all} with them: {again} % more");
    assert!(again < 10, "{again} % were read twice\n{output}");
    let output = output.says("picked up at ");
    assert!(
        output
            .stdout
            .lines()
            .any(|line| line.starts_with("picked up at ")),
        "{output}"
    );
    assert!(!kept.file().exists(), "nothing is left to be picked up");
    assert_eq!(target.keys(0), keys);
    if keys > 200_000 {
        compare_full(source, target)
            .deadline(super::LONG)
            .run()
            .exits(0);
    } else {
        assert_carried(source, target);
    }
}

#[test]
fn a_copy_of_small_keys_is_killed_again_and_again() {
    let (source, target) = pair();
    data::fill_strings(&source, "key:", size().state_keys, 50);
    let rate = (size().state_keys / 10).to_string();
    kill_and_pick_up(&source, &target, size().state_kills, &["--rate", &rate]);
}

#[test]
fn a_copy_of_all_types_is_killed_however_values_are_carried() {
    for carriage in ["auto", "dump", "struct"] {
        let (source, target) = pair();
        data::fill_mixed(&source, "key:", size().state_mixed);
        let rate = (size().state_mixed / 5).to_string();
        let words = ["--type", carriage, "--rate", &rate];
        kill_and_pick_up(&source, &target, size().state_kills / 2, &words);
    }
}

#[test]
fn a_copy_with_big_keys_in_chunks_is_killed() {
    let (source, target) = pair();
    data::fill_strings(&source, "key:", size().state_mixed, 50);
    for (seed, kind) in (1..).zip(KINDS.iter().cycle().take(60)) {
        let key = format!("big:{seed}");
        fill_big(&mut source.connection(), kind, key.as_bytes(), 3000, seed);
    }
    let rate = (size().state_mixed / 5).to_string();
    let words = ["--big-key", "100KB", "--rate", &rate];
    kill_and_pick_up(&source, &target, size().state_kills, &words);
    assert_eq!(
        target.run::<Vec<String>>("KEYS *:riot-tmp:*"),
        Vec::<String>::new()
    );
}

#[test]
fn what_is_kept_is_little_behind_what_is_copied() {
    let (source, target) = pair();
    data::fill_strings(&source, "key:", size().state_keys, 50);
    let kept = Kept::of(&source, &target);
    let output = kept.killed_at(source.keys(0) / 2);
    let behind = target.keys(0) - kept.done();
    eprintln!("{behind} keys behind, at full speed");
    assert!(behind < 60_000, "{behind} keys\n{output}");
    kept.riot().run().exits(0).says("picked up at ");
    assert!(!kept.file().exists());
}

#[test]
fn a_run_that_was_stopped_in_order_has_nothing_to_read_twice() {
    let (source, target) = pair();
    data::fill_strings(&source, "key:", 20_000, 50);
    let kept = Kept::of(&source, &target).words(&["--no-verify", "--rate", "10000"]);
    let before = reads(&source);
    let running = kept.until(5_000);
    running.signal("TERM");
    running
        .finish()
        .exits(130)
        .prints("keeps where the copy is: the same command line goes on from there");
    assert_eq!(kept.done(), target.keys(0), "all that was taken in is done");
    kept.riot().run().exits(0);
    assert_eq!(reads(&source) - before, 20_000);
    data::assert_same(&source, &target);
}

#[test]
fn a_run_that_was_killed_while_it_compared_goes_on_with_that() {
    let (source, target) = pair();
    data::fill_strings(&source, "key:", 50_000, 50);
    source.tell("SET expires 1 PX 100000000");
    let kept = Kept::of(&source, &target);
    // A difference is looked at again and again: long enough to be killed in.
    let mut running = kept
        .riot()
        .words([
            "--rounds",
            "1000",
            "--progress",
            "log",
            "--progress-rate",
            "10ms",
        ])
        .spawn();
    crate::wait::until("all keys are copied", || {
        assert!(running.is_running(), "{}", running.stderr());
        let record = kept.record()?;
        target.tell("DEL key:7");
        record["copied"].as_bool().unwrap().then_some(())
    });
    running.signal("KILL");
    running.finish();
    replicate(&source, &target)
        .word("--no-verify")
        .run()
        .exits(0);
    let output = kept.riot().run().exits(0);
    assert_eq!(output.counts().scanned, 0, "nothing is copied again");
    output
        .says("picked up: all keys were copied before")
        .prints("0 missing");
    assert!(!kept.file().exists());
}
