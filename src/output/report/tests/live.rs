//! Reports of live runs made up.

use super::*;
use crate::stats::{Gap, HotKey, LiveSummary};

fn latency(p50_us: u64, p99_us: u64, max_us: u64) -> Latency {
    Latency {
        count: 10_000,
        p50_us,
        p99_us,
        max_us,
    }
}

/// A run that scanned for 3.2 s and then listened for a minute.
fn live() -> Summary {
    let mut summary = good();
    summary.counts.changes = 10_000;
    summary.counts.written += 9_000;
    summary.counts.deleted += 1_000;
    summary.listen_seconds = 61.0;
    summary.live = Some(LiveSummary {
        ways: vec!["keyspace"],
        events: 12_345,
        changes: 10_000,
        waiting: 0,
        most_waiting: 4_321,
        overflowed: 0,
        listen_seconds: 64.2,
        lag: latency(12_000, 41_000, 120_000),
        gap_count: 0,
        open_gaps: 0,
        gaps: Vec::new(),
        hot_keys: Vec::new(),
        unproven: Vec::new(),
    });
    summary
}

fn gaps(closed: usize, open: usize) -> Vec<Gap> {
    (0..closed + open)
        .map(|at| Gap {
            cause: format!("connection {at} lost: ERR\nno"),
            closed: at < closed,
        })
        .collect()
}

/// The live run with other figures.
fn live_but(change: impl FnOnce(&mut LiveSummary)) -> Summary {
    let mut summary = live();
    change(summary.live.as_mut().unwrap());
    summary
}

/// The lines of the live run alone.
fn live_text(change: impl FnOnce(&mut LiveSummary)) -> String {
    crate::output::report::live::lines(live_but(change).live.as_ref().unwrap(), true).join("\n")
}

#[test]
fn a_live_run_tells_what_it_heard_and_proves_it() {
    assert!(live().adds_up());
    insta::assert_snapshot!(report(&live(), ReportFormat::Text), @"
    1,010,214 keys: 1,009,212 written, 1,002 deleted, 0 skipped, 0 failed
    3.2 s, then 1 min 1 s listening, 15,735 keys/s, 144 MB read, 0 retries, peak memory 41 MB
    12,345 events by keyspace notifications, 10,000 changed keys read, at most 4,321 waiting
    lag p50 12 ms, p99 41 ms, max 120 ms
    proof: listened without a break, no changed key waits
    0 missing, 0 type, 0 value, 0 ttl
    ");
}

#[test]
fn a_run_that_listened_alone_has_the_speed_of_its_listening() {
    let mut summary = live();
    summary.scan_seconds = 0.0;
    summary.verified = false;
    summary.counts = Counts {
        changes: 10_000,
        written: 9_000,
        deleted: 1_000,
        bytes_read: 150_994_944,
        ..Counts::default()
    };
    insta::assert_snapshot!(report(&summary, ReportFormat::Text), @"
    10,000 keys: 9,000 written, 1,000 deleted, 0 skipped, 0 failed
    1 min 1 s, 164 keys/s, 2.4 MB/s, 0 retries, peak memory 41 MB
    12,345 events by keyspace notifications, 10,000 changed keys read, at most 4,321 waiting
    lag p50 12 ms, p99 41 ms, max 120 ms
    proof: listened without a break, no changed key waits
    ");
}

#[test]
fn events_are_named_by_the_ways_they_came() {
    let by = |ways: &[&'static str]| {
        let text = live_text(|live| live.ways = ways.to_vec());
        text.lines().next().unwrap().to_owned()
    };
    let lines = [
        by(&["keyspace"]),
        by(&["tracking"]),
        by(&["keyspace", "tracking"]),
        by(&[]),
    ];
    insta::assert_snapshot!(lines.join("\n"), @"
    12,345 events by keyspace notifications, 10,000 changed keys read, at most 4,321 waiting
    12,345 events by client tracking, 10,000 changed keys read, at most 4,321 waiting
    12,345 events by keyspace notifications and client tracking, 10,000 changed keys read, at most 4,321 waiting
    12,345 events, 10,000 changed keys read, at most 4,321 waiting
    ");
}

#[test]
fn a_live_run_in_which_nothing_happened() {
    insta::assert_snapshot!(live_text(|live| {
        live.events = 0;
        live.changes = 0;
        live.most_waiting = 0;
        live.lag.count = 0;
    }), @"
    0 events by keyspace notifications, 0 changed keys read, at most 0 waiting
    proof: listened without a break, no changed key waits
    ");
}

#[test]
fn a_live_run_tells_its_gaps_its_hot_keys_and_what_is_not_proved() {
    let mut summary = live_but(|live| {
        live.overflowed = 1_234;
        live.gaps = gaps(2, 1);
        live.gap_count = 3;
        live.open_gaps = 1;
        live.waiting = 7;
        live.hot_keys = vec![
            HotKey {
                database: None,
                key: b"hot\xff".to_vec(),
                bytes: 45 << 20,
                copies: 120,
            },
            HotKey {
                database: None,
                key: b"counter".to_vec(),
                bytes: 3,
                copies: 2,
            },
        ];
        live.unproven = vec!["INFO is not allowed; ACL SETUSER riot +info".into()];
    });
    summary.counts.written -= 6;
    summary.counts.skipped.unchanged = 5;
    summary.counts.skipped.other_database = 1;
    insta::assert_snapshot!(report(&summary, ReportFormat::Text), @r"
    1,010,214 keys: 1,009,206 written, 1,002 deleted, 6 skipped, 0 failed
    3.2 s, then 1 min 1 s listening, 15,735 keys/s, 144 MB read, 0 retries, peak memory 41 MB
    12,345 events by keyspace notifications, 10,000 changed keys read, at most 4,321 waiting
    lag p50 12 ms, p99 41 ms, max 120 ms
    1,234 changed keys were more than --event-queue holds: their slots were scanned again
    gap, NOT closed: connection 2 lost: ERR\x0ano
    gap, closed: connection 0 lost: ERR\x0ano
    gap, closed: connection 1 lost: ERR\x0ano
    hot key hot\xff: 45 MB in 120 copies
    not proved: INFO is not allowed; ACL SETUSER riot +info
    no proof: 1 gap not closed, 7 changed keys still wait, 1 guarantee not proved
    5 streams looked at and unchanged
    1 key gone, whose event may have been another database's: not deleted
    0 missing, 0 type, 0 value, 0 ttl
    ");
}

#[test]
fn of_many_gaps_the_open_ones_are_named_first_and_the_rest_counted() {
    insta::assert_snapshot!(live_text(|live| {
        live.gaps = gaps(98, 2);
        live.gap_count = 1_200;
        live.open_gaps = 1_102;
    }), @r"
    12,345 events by keyspace notifications, 10,000 changed keys read, at most 4,321 waiting
    lag p50 12 ms, p99 41 ms, max 120 ms
    gap, NOT closed: connection 98 lost: ERR\x0ano
    gap, NOT closed: connection 99 lost: ERR\x0ano
    gap, closed: connection 0 lost: ERR\x0ano
    gap, closed: connection 1 lost: ERR\x0ano
    gap, closed: connection 2 lost: ERR\x0ano
    gap, closed: connection 3 lost: ERR\x0ano
    gap, closed: connection 4 lost: ERR\x0ano
    gap, closed: connection 5 lost: ERR\x0ano
    gap, closed: connection 6 lost: ERR\x0ano
    gap, closed: connection 7 lost: ERR\x0ano
    gap, closed: connection 8 lost: ERR\x0ano
    gap, closed: connection 9 lost: ERR\x0ano
    gap, closed: connection 10 lost: ERR\x0ano
    gap, closed: connection 11 lost: ERR\x0ano
    gap, closed: connection 12 lost: ERR\x0ano
    gap, closed: connection 13 lost: ERR\x0ano
    gap, closed: connection 14 lost: ERR\x0ano
    gap, closed: connection 15 lost: ERR\x0ano
    gap, closed: connection 16 lost: ERR\x0ano
    gap, closed: connection 17 lost: ERR\x0ano
    gap: 1,180 more
    no proof: 1,102 gaps not closed, no changed key waits
    ");
}

#[test]
fn the_proof_is_the_last_line() {
    let proof = |gap_count, open_gaps, waiting| {
        let text = live_text(|live| {
            live.gap_count = gap_count;
            live.open_gaps = open_gaps;
            live.waiting = waiting;
            live.unproven = vec!["nothing".into()];
        });
        text.lines().last().unwrap().to_owned()
    };
    let lines = [
        proof(0, 0, 0),
        proof(1, 0, 1),
        proof(3, 0, 2_000),
        proof(1, 1, 0),
        proof(3, 2, 0),
    ];
    insta::assert_snapshot!(lines.join("\n"), @"
    proof: listened without a break, no changed key waits, 1 guarantee not proved
    proof: 1 gap, closed, 1 changed key still waits, 1 guarantee not proved
    proof: 3 gaps, all closed, 2,000 changed keys still wait, 1 guarantee not proved
    no proof: 1 gap not closed, no changed key waits, 1 guarantee not proved
    no proof: 2 gaps not closed, no changed key waits, 1 guarantee not proved
    ");
}

#[test]
fn json_has_the_live_run_too() {
    let summary = live_but(|live| {
        live.gaps = gaps(1, 0);
        live.gap_count = 1;
        live.hot_keys = vec![HotKey {
            database: None,
            key: b"\xff".to_vec(),
            bytes: 30,
            copies: 3,
        }];
    });
    let text = report(&summary, ReportFormat::Json);
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&value["changes"], &value["listen_seconds"]),
        (&10_000.into(), &61.0.into())
    );
    insta::assert_snapshot!(serde_json::to_string_pretty(&value["live"]).unwrap(), @r#"
    {
      "changes": 10000,
      "events": 12345,
      "gap_count": 1,
      "gaps": [
        {
          "cause": "connection 0 lost: ERR\nno",
          "closed": true
        }
      ],
      "hot_keys": [
        {
          "bytes": 30,
          "copies": 3,
          "key": "\\xff"
        }
      ],
      "lag": {
        "count": 10000,
        "max_us": 120000,
        "p50_us": 12000,
        "p99_us": 41000
      },
      "listen_seconds": 64.2,
      "most_waiting": 4321,
      "open_gaps": 0,
      "overflowed": 0,
      "unproven": [],
      "waiting": 0,
      "ways": [
        "keyspace"
      ]
    }
    "#);
}
