//! Lines of progress at moments made up.

use proptest::prelude::*;

use super::*;
use crate::stats::{Differences, Skipped};

const RATES: Rates = Rates {
    keys: 312_400.0,
    bytes: 47_185_920.0,
};

/// A run that follows no changes.
fn at(phase: Phase, counts: &Counts, rates: Rates, took: Option<Duration>) -> Progress {
    Progress::new(phase, counts, rates, took, None)
}

fn scanning() -> Counts {
    Counts {
        total_keys: Some(1_000_214),
        scanned: 713_000,
        written: 712_340,
        ..Counts::default()
    }
}

fn lines(progress: &Progress) -> String {
    format!(
        "{}\n{}",
        progress.bar_line(config::Progress::Bar, false, 120),
        progress.log_line(&Latencies::new())
    )
}

#[test]
fn a_scan_on_its_way() {
    let progress = at(Phase::Scanning, &scanning(), RATES, None);
    insta::assert_snapshot!(lines(&progress), @"
    Scanning   71% ━━━━━━━━━━━━━━━━━╸         712,340/1,000,214 keys     312k/s     45 MB/s   1 s left
    scanning 71 %: 712,340 of 1,000,214 keys, 312k/s, 45 MB/s, 1 s left
    ");
    insta::assert_snapshot!(
        progress.bar_line(config::Progress::Bar, true, 120).replace('\x1b', "^"), @"Scanning   71% ^[36m━━━━━━━━━━━━━━━━━╸^[0m^[2m━━━━━━━^[0m  712,340/1,000,214 keys     312k/s     45 MB/s   1 s left");
    insta::assert_snapshot!(progress.bar_line(config::Progress::Block, false, 120), @"Scanning   71% █████████████████▊         712,340/1,000,214 keys     312k/s     45 MB/s   1 s left");
    insta::assert_snapshot!(progress.bar_line(config::Progress::Ascii, false, 120), @"Scanning   71% [================>      ]  712,340/1,000,214 keys     312k/s     45 MB/s   1 s left");
}

#[test]
fn a_scan_that_was_picked_up_begins_where_the_one_before_was() {
    let counts = Counts {
        done_before: 700_000,
        scanned: 13_000,
        written: 12_340,
        ..scanning()
    };
    let progress = at(Phase::Scanning, &counts, RATES, None);
    insta::assert_snapshot!(progress.log_line(&Latencies::new()), @"scanning 71 %: 712,340 of 1,000,214 keys, 312k/s, 45 MB/s, 1 s left");
    let over = Counts {
        scan_complete: true,
        written: 13_000,
        ..counts
    };
    let progress = at(
        Phase::Scanning,
        &over,
        RATES,
        Some(Duration::from_millis(3210)),
    );
    insta::assert_snapshot!(progress.log_line(&Latencies::new()), @"scanning 100 %: 713,000 keys, 312k/s, 45 MB/s, 3.2 s");
}

#[test]
fn on_a_narrow_terminal_the_bar_gives_way() {
    let progress = at(Phase::Scanning, &scanning(), RATES, None);
    let lines =
        [95, 80, 70].map(|columns| progress.bar_line(config::Progress::Bar, false, columns));
    insta::assert_snapshot!(lines.join("\n"), @"
    Scanning   71% ━━━━━━━━━━━━━━╸        712,340/1,000,214 keys     312k/s     45 MB/s   1 s left
    Scanning   71% ━━━━    712,340/1,000,214 keys     312k/s     45 MB/s   1 s left
    Scanning   71%  712,340/1,000,214 keys     312k/s     45 MB/s   1 s left
    ");
}

#[test]
fn a_scan_that_is_over() {
    let counts = Counts {
        scan_complete: true,
        scanned: 1_000_200,
        written: 1_000_100,
        skipped: Skipped {
            memory_limit: 100,
            other_type: 0,
            nameless: 0,
            dry_run: 0,
            unchanged: 0,
            other_database: 0,
            empty_stream: 0,
            gone: 0,
        },
        ..scanning()
    };
    let progress = at(
        Phase::Scanning,
        &counts,
        RATES,
        Some(Duration::from_millis(3210)),
    );
    insta::assert_snapshot!(lines(&progress), @"
    Scanning  100% ━━━━━━━━━━━━━━━━━━━━━━━━━  1,000,200 keys             312k/s     45 MB/s   3.2 s
    scanning 100 %: 1,000,200 keys, 312k/s, 45 MB/s, 3.2 s
    ");
}

#[test]
fn a_scan_with_filters_has_no_percents_until_it_has_ended() {
    let counts = Counts {
        total_keys: None,
        ..scanning()
    };
    insta::assert_snapshot!(lines(&at(Phase::Scanning, &counts, RATES, None)), @"
    Scanning   712,340 keys           312k/s     45 MB/s
    scanning: 712,340 keys, 312k/s, 45 MB/s
    ");
    let counts = Counts {
        scan_complete: true,
        ..counts
    };
    insta::assert_snapshot!(lines(&at(Phase::Scanning, &counts, RATES, None)), @"
    Scanning   99% ━━━━━━━━━━━━━━━━━━━━━━━━╸  712,340/713,000 keys   312k/s     45 MB/s   1 s left
    scanning 99 %: 712,340 of 713,000 keys, 312k/s, 45 MB/s, 1 s left
    ");
}

#[test]
fn a_comparison() {
    let counts = Counts {
        total_keys: Some(1_000_214),
        compared: 400_000,
        differences: Differences {
            missing: 1,
            ..Differences::default()
        },
        ..Counts::default()
    };
    let rates = Rates {
        keys: 410_000.0,
        bytes: 0.0,
    };
    insta::assert_snapshot!(lines(&at(Phase::Comparing, &counts, rates, None)), @"
    Comparing  39% ━━━━━━━━━╸                 400,000/1,000,214 keys     410k/s   1 differ   2 s left
    comparing 39 %: 400,000 of 1,000,214 keys, 410k/s, 1 differ, 2 s left
    ");
    let counts = Counts {
        compared: 1_000_214,
        compare_complete: true,
        ..counts
    };
    let over = at(
        Phase::Comparing,
        &counts,
        rates,
        Some(Duration::from_millis(2440)),
    );
    insta::assert_snapshot!(lines(&over), @"
    Comparing 100% ━━━━━━━━━━━━━━━━━━━━━━━━━  1,000,214 keys             410k/s   1 differ   2.4 s
    comparing 100 %: 1,000,214 keys, 410k/s, 1 differ, 2.4 s
    ");
}

const EVENTS: Rates = Rates {
    keys: 9_800.0,
    bytes: 47_185_920.0,
};

fn following() -> Following {
    Following {
        events: 12_345,
        waiting: 4_321,
        lag: Some(Latency {
            count: 900,
            p50_us: 12_000,
            p99_us: 41_000,
            max_us: 120_000,
        }),
    }
}

#[test]
fn a_run_that_listens() {
    let at = |took, following| {
        lines(&Progress::new(
            Phase::Listening,
            &scanning(),
            EVENTS,
            took,
            following,
        ))
    };
    insta::assert_snapshot!(at(None, Some(following())), @"
    Listening  12,345 events   4,321 waiting   lag p50 12 ms p99 41 ms   9.8k/s
    listening: 12,345 events, 4,321 waiting, 9.8k/s, lag p50 12 ms p99 41 ms
    ");
    let quiet = Following {
        lag: None,
        ..following()
    };
    insta::assert_snapshot!(at(None, Some(quiet)), @"
    Listening  12,345 events   4,321 waiting   9.8k/s
    listening: 12,345 events, 4,321 waiting, 9.8k/s
    ");
    let over = Following {
        waiting: 0,
        ..following()
    };
    insta::assert_snapshot!(at(Some(Duration::from_secs(63)), Some(over)), @"
    Listening  12,345 events   0 waiting   lag p50 12 ms p99 41 ms   9.8k/s   1 min 3 s
    listening: 12,345 events, 0 waiting, 9.8k/s, lag p50 12 ms p99 41 ms, 1 min 3 s
    ");
    insta::assert_snapshot!(at(None, None), @"
    Listening  0 events   0 waiting   9.8k/s
    listening: 0 events, 0 waiting, 9.8k/s
    ");
}

#[test]
fn a_lag_of_no_changes_is_left_out_and_a_long_one_is_in_seconds() {
    let live = crate::stats::Live::default();
    live.listens(&["tracking"]);
    live.heard(3);
    live.set_waiting(2);
    let shown = |lag| Following::new(&live, Some(lag));
    assert_eq!(
        shown(live.recent_lag()),
        Following {
            events: 3,
            waiting: 2,
            lag: None
        }
    );
    live.lag([Duration::from_secs(125)].into_iter());
    let lag = shown(live.recent_lag()).lag().unwrap();
    assert_eq!(lag, "lag p50 2 min 5 s p99 2 min 5 s");
    assert_eq!(
        [40, 310, 78_000, 9_999_000].map(lag_time),
        ["0.04 ms", "0.3 ms", "78 ms", "9999 ms"]
    );
}

#[test]
fn a_scan_beside_which_changes_are_followed() {
    let counts = Counts {
        changes: 2_000,
        written: 714_340,
        ..scanning()
    };
    let at = |counts: &Counts, took| {
        lines(&Progress::new(
            Phase::Scanning,
            counts,
            RATES,
            took,
            Some(Following {
                lag: None,
                ..following()
            }),
        ))
    };
    insta::assert_snapshot!(at(&counts, None), @"
    Scanning   71% ━━━━━━━━╸     714,340/1,002,214 keys     312k/s     45 MB/s   12,345 events   4,321 waiting   1 s left
    scanning 71 %: 714,340 of 1,002,214 keys, 312k/s, 45 MB/s, 12,345 events, 4,321 waiting, 1 s left
    ");
    // A changed key is on its way when the scan is over.
    let over = Counts {
        scan_complete: true,
        scanned: 1_000_200,
        written: 1_002_100,
        ..counts
    };
    insta::assert_snapshot!(at(&over, Some(Duration::from_millis(3210))), @"
    Scanning  100% ━━━━━━━━━━━━  1,002,100 keys             312k/s     45 MB/s   12,345 events   4,321 waiting   3.2 s
    scanning 100 %: 1,002,100 keys, 312k/s, 45 MB/s, 12,345 events, 4,321 waiting, 3.2 s
    ");
    let cut = Counts {
        scan_complete: false,
        ..over
    };
    insta::assert_snapshot!(at(&cut, Some(Duration::from_millis(3210))), @"
    Scanning   99% ━━━━━━━━━━━╸  1,002,100/1,002,214 keys   312k/s     45 MB/s   12,345 events   4,321 waiting   3.2 s
    scanning 99 %: 1,002,100 of 1,002,214 keys, 312k/s, 45 MB/s, 12,345 events, 4,321 waiting, 3.2 s
    ");
}

#[test]
fn latency_is_in_the_log_line() {
    let latency = Latency {
        count: 5,
        p50_us: 300,
        p99_us: 1200,
        max_us: 78_000,
    };
    let latencies = Latencies::from([("source", [("MGET", latency)].into())]);
    let progress = at(Phase::Scanning, &scanning(), RATES, None);
    insta::assert_snapshot!(progress.log_line(&latencies), @"scanning 71 %: 712,340 of 1,000,214 keys, 312k/s, 45 MB/s, 1 s left, source MGET p50 0.3 ms p99 1.2 ms max 78 ms");
}

#[test]
fn an_empty_source_is_done_at_once() {
    let counts = Counts {
        total_keys: Some(0),
        scan_complete: true,
        ..Counts::default()
    };
    let progress = at(
        Phase::Scanning,
        &counts,
        Rates::default(),
        Some(Duration::ZERO),
    );
    assert_eq!(progress.percent(), Some(100));
}

proptest! {
    #[test]
    fn a_bar_is_never_over_and_keeps_its_width(
        total: Option<u64>, scanned: u64, written: u64, complete: bool, rate in 0.0..1e12, colours: bool,
        columns in 0..200_usize, width in LEAST_WIDTH..30,
    ) {
        let counts =
            Counts { total_keys: total, scanned, written, scan_complete: complete, ..Counts::default() };
        let progress = at(Phase::Scanning, &counts, Rates { keys: rate, bytes: rate }, None);
        prop_assert!(progress.percent().is_none_or(|percent| percent <= 100));
        let _ = progress.log_line(&Latencies::new());
        for style in [config::Progress::Bar, config::Progress::Block, config::Progress::Ascii] {
            let _ = progress.bar_line(style, colours, columns);
            for part in [0.0, 0.001, 0.5, 0.999, 1.0, 7.0, f64::NAN] {
                prop_assert_eq!(bar(style, width, part, false).chars().count(), width);
            }
        }
    }
}
