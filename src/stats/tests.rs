//! Counters, as they add up.

use std::sync::Arc;

use super::*;

#[test]
fn what_many_threads_count_adds_up() {
    let stats = Arc::new(Stats::new(false));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let stats = Arc::clone(&stats);
            std::thread::spawn(move || {
                for _ in 0..1000 {
                    stats.scanned(10);
                    stats.written(5);
                    stats.deleted(1);
                    stats.skipped(SkipReason::MemoryLimit, 2);
                    stats.skipped(SkipReason::DryRun, 1);
                    stats.failed(Step::Write, b"k\0", "ERR no");
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    let summary = stats.summary();
    assert!(summary.adds_up());
    assert!(!summary.is_clean());
    assert_eq!(summary.counts.scanned, 40_000);
    assert_eq!(summary.counts.failed, 4000);
    assert_eq!(summary.failures.len(), KEPT);
}

#[test]
fn a_key_that_is_lost_does_not_add_up() {
    let stats = Stats::new(false);
    stats.scanned(2);
    stats.written(1);
    assert!(!stats.summary().adds_up());
    assert!(stats.summary().is_clean());
}

#[test]
fn a_failure_to_compare_is_counted_apart() {
    let stats = Stats::new(false);
    stats.failed(Step::Compare, b"k", "NOPERM");
    let summary = stats.summary();
    assert!(summary.adds_up());
    assert!(!summary.is_clean());
    assert_eq!(summary.counts.compare_failed, 1);
}

#[test]
fn differences_are_counted_by_kind() {
    let stats = Stats::new(false);
    stats.differs(Difference {
        key: b"m".to_vec(),
        kind: DifferenceKind::Missing {
            r#type: "set".into(),
        },
    });
    stats.differs(Difference {
        key: b"t".to_vec(),
        kind: DifferenceKind::Ttl {
            expected: 1,
            found: -1,
        },
    });
    let counts = stats.counts();
    assert_eq!(
        counts.differences,
        Differences {
            missing: 1,
            ttl: 1,
            ..Differences::default()
        }
    );
    assert!(!stats.summary().is_clean());
}

#[test]
fn the_phases_have_their_times() {
    let stats = Stats::new(false);
    assert_eq!(stats.phase(), Phase::Connecting);
    assert!(!stats.summary().verified);
    stats.enter(Phase::Scanning);
    stats.enter(Phase::Comparing);
    stats.enter(Phase::Done);
    let summary = stats.summary();
    assert!(summary.copied && summary.verified);
    assert_eq!(summary.phase, Phase::Done);
    assert!(summary.scan_seconds > 0.0 && summary.compare_seconds > 0.0);
    assert!(summary.elapsed_seconds >= summary.scan_seconds + summary.compare_seconds);
}

#[test]
fn a_note_is_kept_once() {
    let stats = Stats::new(false);
    stats.note("the target evicts keys");
    stats.note("the target evicts keys");
    assert_eq!(stats.summary().notes, ["the target evicts keys"]);
}

#[test]
fn redirections_of_both_sides_are_one_number() {
    let stats = Stats::new(false);
    stats.redirected(Side::Source, 10);
    stats.redirected(Side::Target, 2);
    assert_eq!(stats.summary().counts.redirections, 12);
}
