//! Command lines of copying by type: what its options mean, and what they do not go with.

use super::refusals::errors;
use super::*;
use crate::config::Flow;

fn flow(words: &str) -> Flow {
    run(&format!("riot replicate a b {words}")).flow
}

/// What a run does with streams: keeps ids, leaves out empty ones; compares ids, expects empty ones.
fn streams(line: &str) -> (bool, bool, bool, bool) {
    let Config {
        flow, verification, ..
    } = run(line);
    (
        flow.stream_ids,
        !flow.prune_streams,
        verification.message_ids,
        !verification.prune_streams,
    )
}

fn big_key(line: &str) -> Option<u64> {
    run(line).flow.big_key.map(std::num::NonZeroU64::get)
}

#[test]
fn what_is_not_said_of_copying_by_type_has_its_default() {
    for line in [
        "riot replicate a b",
        "riot replicate a b --live",
        "riot replicate a b --type auto --merge-policy overwrite --stream-id propagate --stream-msg-id --big-key 16MB",
        "riot -h a replicate -h b --mode scan",
        "riot compare a b",
        "riot compare a b --repair --stream-id propagate",
    ] {
        let flow = run(line).flow;
        assert_eq!(
            (flow.carriage, flow.merge),
            (Carriage::Auto, false),
            "{line}"
        );
        assert_eq!(big_key(line), Some(16 << 20), "{line}");
        assert_eq!(streams(line), (true, true, true, true), "{line}");
    }
}

#[test]
fn struct_by_each_of_its_names() {
    for (words, carriage) in [
        ("--type struct", Carriage::Struct),
        ("--type STRUCT", Carriage::Struct),
        ("--type ds", Carriage::Struct),
        ("--type DS", Carriage::Struct),
        ("--struct", Carriage::Struct),
        ("--struct --type struct", Carriage::Struct),
        ("--struct --type ds", Carriage::Struct),
        ("--struct --multi-exec", Carriage::Struct),
        ("--struct --dry-run", Carriage::Struct),
        ("--struct --live", Carriage::Struct),
        ("--type dump", Carriage::Dump),
        ("--type Auto", Carriage::Auto),
    ] {
        assert_eq!(flow(words).carriage, carriage, "{words}");
    }
    for line in [
        "riot -h a replicate -h b --type ds",
        "riot -h a -p 1 replicate --struct -h b -p 2",
        "riot-redis -h a replicate -h b --type DS",
        "riot sync a b --struct",
    ] {
        assert_eq!(run(line).flow.carriage, Carriage::Struct, "{line}");
    }
}

#[test]
fn merging_is_asked_for_by_either_name() {
    for (words, merge) in [
        ("--merge", true),
        ("--merge-policy merge", true),
        ("--merge-policy MERGE", true),
        ("--merge --merge-policy merge", true),
        ("--merge-policy overwrite", false),
        ("", false),
    ] {
        for line in [
            format!("riot replicate a b --struct {words}"),
            format!("riot -h a replicate -h b --type ds {words}"),
        ] {
            assert_eq!(run(line.trim()).flow.merge, merge, "{line}");
        }
    }
    // Where nothing changes twice, values may be added.
    assert!(flow("--type struct --merge --mode snapshot --dry-run").merge);
}

#[test]
fn ids_of_messages_are_dropped_by_either_name_and_not_compared_then() {
    for words in [
        "--no-stream-id",
        "--stream-id drop",
        "--stream-id DROP",
        "--no-stream-id --stream-id drop",
        "--no-stream-id --no-stream-msg-id",
    ] {
        for line in [
            format!("riot replicate a b --struct {words}"),
            format!("riot replicate a b --struct --compare full {words}"),
            format!("riot -h a replicate -h b --type ds {words}"),
        ] {
            assert_eq!(streams(&line), (false, true, false, true), "{line}");
        }
        // Compare writes nothing, and a repair keeps the ids.
        for line in [
            format!("riot compare a b {words}"),
            format!("riot compare a b --repair {words}"),
            format!("riot replicate a b --mode compare {words}"),
            format!("riot -h a compare -h b {words}"),
        ] {
            assert_eq!(streams(&line), (true, true, false, true), "{line}");
        }
    }
}

#[test]
fn no_stream_msg_id_is_about_comparing_alone() {
    for line in [
        "riot replicate a b --no-stream-msg-id",
        "riot replicate a b --no-stream-msg-id --type dump",
        "riot replicate a b --no-stream-msg-id --stream-id propagate",
        "riot replicate a b --no-stream-msg-id --live",
        "riot compare a b --no-stream-msg-id",
        "riot compare a b --no-stream-msg-id --stream-id propagate",
    ] {
        assert_eq!(streams(line), (true, true, false, true), "{line}");
    }
}

#[test]
fn empty_streams_are_left_out_and_not_missed() {
    for line in [
        "riot replicate a b --struct --stream-prune",
        "riot replicate a b --live --type struct --stream-prune",
        "riot -h a replicate -h b --type ds --stream-prune",
    ] {
        assert_eq!(streams(line), (true, false, true, false), "{line}");
    }
    for line in [
        "riot compare a b --stream-prune",
        "riot compare a b --repair --stream-prune",
        "riot replicate a b --mode compare --stream-prune",
    ] {
        assert_eq!(streams(line), (true, true, true, false), "{line}");
    }
}

#[test]
fn a_big_key_is_of_any_size() {
    for (size, bytes) in [
        ("512KB", Some(512 << 10)),
        ("5MB", Some(5 << 20)),
        ("1.5gb", Some(3 << 29)),
        ("100", Some(100)),
        ("1", Some(1)),
        ("0", None),
        ("0MB", None),
    ] {
        for line in [
            format!("riot replicate a b --big-key {size}"),
            format!("riot replicate a b --type dump --live --big-key={size}"),
            format!("riot -h a replicate -h b --big-key {size}"),
            format!("riot compare a b --big-key {size}"),
            format!("riot compare a b --repair --big-key {size}"),
        ] {
            assert_eq!(big_key(&line), bytes, "{line}");
        }
    }
}

#[test]
fn what_was_written_for_riot_is_quiet() {
    for line in [
        "riot replicate a b --struct --merge --no-stream-id --stream-prune --big-key 1MB",
        "riot replicate a b --type dump --merge-policy overwrite --stream-id propagate",
        "riot compare a b --no-stream-id --stream-prune --big-key 1MB",
    ] {
        assert_eq!(run_in(line, &[]).1, [""; 0], "{line}");
    }
}

#[test]
fn errors_of_copying_by_type() {
    insta::assert_snapshot!(errors(&[
        "riot replicate a b --type structs",
        "riot replicate a b --struct --type auto",
        "riot replicate a b --struct --type dump",
        "riot replicate a b --struct=true",
        "riot replicate a b --struct --merge-policy append",
        "riot replicate a b --struct --merge --merge-policy overwrite",
        "riot replicate a b --merge",
        "riot replicate a b --merge --type dump",
        "riot replicate a b --merge-policy merge",
        "riot -h a replicate -h b --merge",
        "riot replicate a b --struct --merge --repeat 5m",
        "riot replicate a b --struct --stream-id keep",
        "riot replicate a b --struct --no-stream-id --stream-id propagate",
        "riot replicate a b --struct --no-stream-id --stream-msg-id",
        "riot replicate a b --struct --stream-id drop --stream-msg-id",
        "riot replicate a b --no-stream-msg-id --stream-msg-id",
        "riot replicate a b --no-stream-id",
        "riot replicate a b --stream-id drop --type auto",
        "riot replicate a b --stream-prune",
        "riot replicate a b --live --stream-prune",
        "riot replicate a b --big-key huge",
        "riot replicate a b --big-key -1",
        "riot replicate a b --big-key",
    ]), @"
    riot replicate a b --type structs
      error: --type: 'structs' is none of auto, dump, struct, ds
    riot replicate a b --struct --type auto
      error: --struct: --type says otherwise; give one of them
    riot replicate a b --struct --type dump
      error: --struct: --type says otherwise; give one of them
    riot replicate a b --struct=true
      error: --struct: takes no value
    riot replicate a b --struct --merge-policy append
      error: --merge-policy: 'append' is none of overwrite, merge
    riot replicate a b --struct --merge --merge-policy overwrite
      error: --merge: --merge-policy says otherwise; give one of them
    riot replicate a b --merge
      error: --merge: goes with --type struct
    riot replicate a b --merge --type dump
      error: --merge: goes with --type struct
    riot replicate a b --merge-policy merge
      error: --merge-policy merge: goes with --type struct
    riot -h a replicate -h b --merge
      error: --merge: goes with --type struct
    riot replicate a b --struct --merge --repeat 5m
      error: --merge: does not go with --repeat: what is added twice is there twice; run one snapshot, without --repeat
    riot replicate a b --struct --stream-id keep
      error: --stream-id: 'keep' is none of propagate, drop
    riot replicate a b --struct --no-stream-id --stream-id propagate
      error: --no-stream-id: --stream-id says otherwise; give one of them
    riot replicate a b --struct --no-stream-id --stream-msg-id
      error: --stream-msg-id: --no-stream-id says otherwise; give one of them
    riot replicate a b --struct --stream-id drop --stream-msg-id
      error: --stream-msg-id: --stream-id drop says otherwise; give one of them
    riot replicate a b --no-stream-msg-id --stream-msg-id
      error: --stream-msg-id: --no-stream-msg-id says otherwise; give one of them
    riot replicate a b --no-stream-id
      error: --no-stream-id: goes with --type struct
    riot replicate a b --stream-id drop --type auto
      error: --stream-id drop: goes with --type struct
    riot replicate a b --stream-prune
      error: --stream-prune: goes with --type struct
    riot replicate a b --live --stream-prune
      error: --stream-prune: goes with --type struct
    riot replicate a b --big-key huge
      error: --big-key: 'huge' is no size; write 512KB, 5MB or 1GB
    riot replicate a b --big-key -1
      error: -1: no such option; see riot replicate --help
    riot replicate a b --big-key
      error: --big-key: needs a value
    ");
}

#[test]
fn what_would_be_there_twice_does_not_go_with_live() {
    insta::assert_snapshot!(errors(&[
        "riot replicate a b --live --struct --merge",
        "riot replicate a b --live --merge",
        "riot replicate a b --mode liveonly --type struct --merge-policy merge",
        "riot replicate a b --mode live --struct --no-stream-id",
        "riot replicate a b --mode liveonly --struct --stream-id drop",
        "riot replicate a b --live --no-stream-id",
        "riot -h a replicate -h b --live --type ds --merge",
    ]), @"
    riot replicate a b --live --struct --merge
      error: --merge: does not go with live: a key is copied each time it changes, and what is added twice is there twice; run a snapshot, without live
    riot replicate a b --live --merge
      error: --merge: does not go with live: a key is copied each time it changes, and what is added twice is there twice; run a snapshot, without live
    riot replicate a b --mode liveonly --type struct --merge-policy merge
      error: --merge-policy merge: does not go with live: a key is copied each time it changes, and what is added twice is there twice; run a snapshot, without live
    riot replicate a b --mode live --struct --no-stream-id
      error: --no-stream-id: does not go with live: a stream is copied each time it changes, and its messages would get other ids each time; run a snapshot, without live
    riot replicate a b --mode liveonly --struct --stream-id drop
      error: --stream-id drop: does not go with live: a stream is copied each time it changes, and its messages would get other ids each time; run a snapshot, without live
    riot replicate a b --live --no-stream-id
      error: --no-stream-id: does not go with live: a stream is copied each time it changes, and its messages would get other ids each time; run a snapshot, without live
    riot -h a replicate -h b --live --type ds --merge
      error: --merge: does not go with live: a key is copied each time it changes, and what is added twice is there twice; run a snapshot, without live
    ");
}

#[test]
fn compare_has_what_it_can_do_of_it() {
    insta::assert_snapshot!(errors(&[
        "riot compare a b --type struct",
        "riot compare a b --struct",
        "riot compare a b --merge",
        "riot compare a b --merge-policy overwrite",
        "riot compare a b --repair --struct",
        "riot replicate a b --mode compare --merge",
        "riot compare a b --stream-msg-id --no-stream-msg-id",
        "riot compare a b --stream-msg-id --no-stream-id",
        "riot compare a b --stream-msg-id --stream-id drop",
        "riot compare a b --no-stream-id --stream-id propagate",
        "riot compare a b --stream-id keep",
        "riot compare a b --big-key huge",
    ]), @"
    riot compare a b --type struct
      error: --type: compare writes nothing, so it has no such option
    riot compare a b --struct
      error: --struct: compare writes nothing, so it has no such option
    riot compare a b --merge
      error: --merge: compare writes nothing, so it has no such option
    riot compare a b --merge-policy overwrite
      error: --merge-policy: compare writes nothing, so it has no such option
    riot compare a b --repair --struct
      error: --struct: compare writes nothing, so it has no such option
    riot replicate a b --mode compare --merge
      error: --merge: compare writes nothing, so it has no such option
    riot compare a b --stream-msg-id --no-stream-msg-id
      error: --stream-msg-id: --no-stream-msg-id says otherwise; give one of them
    riot compare a b --stream-msg-id --no-stream-id
      error: --stream-msg-id: --no-stream-id says otherwise; give one of them
    riot compare a b --stream-msg-id --stream-id drop
      error: --stream-msg-id: --stream-id drop says otherwise; give one of them
    riot compare a b --no-stream-id --stream-id propagate
      error: --no-stream-id: --stream-id says otherwise; give one of them
    riot compare a b --stream-id keep
      error: --stream-id: 'keep' is none of propagate, drop
    riot compare a b --big-key huge
      error: --big-key: 'huge' is no size; write 512KB, 5MB or 1GB
    ");
}
