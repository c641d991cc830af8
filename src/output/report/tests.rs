//! Reports of runs made up.

mod live;

use super::*;
use crate::stats::{
    Difference, DifferenceKind, Differences, Failure, Found, Latencies, Latency, Phase, Reconnects,
    Skipped, Step,
};

fn good() -> Summary {
    Summary {
        phase: Phase::Done,
        copied: true,
        verified: true,
        both: false,
        counts: Counts {
            total_keys: Some(1_000_214),
            scan_complete: true,
            scanned: 1_000_214,
            written: 1_000_212,
            deleted: 2,
            bytes_read: 150_994_944,
            bytes_written: 150_000_000,
            compared: 1_000_214,
            ..Counts::default()
        },
        elapsed_seconds: 5.8,
        scan_seconds: 3.2,
        listen_seconds: 0.0,
        live: None,
        compare_seconds: 2.44,
        peak_memory_bytes: Some(41 << 20),
        cpu_seconds: 0.61,
        latency: Latencies::new(),
        databases: Vec::new(),
        failures: Vec::new(),
        different_keys: Vec::new(),
        notes: Vec::new(),
    }
}

fn bad() -> Summary {
    let mut summary = good();
    summary.counts = Counts {
        written: 1_000_000,
        skipped: Skipped {
            memory_limit: 11,
            other_type: 0,
            nameless: 0,
            dry_run: 0,
            unchanged: 0,
            other_database: 0,
            empty_stream: 0,
            gone: 0,
        },
        failed: 200,
        retries: 1,
        redirections: 1,
        reconnects: Reconnects {
            source: 1,
            target: 2,
        },
        redone_alone: 500,
        payload_refused: 3,
        by_type: 1004,
        in_chunks: 2,
        read_again: 1,
        lost_field_expiries: 5,
        evicted_keys: 1,
        compare_failed: 2,
        differences: Differences {
            missing: 123,
            r#type: 54,
            value: 7,
            ttl: 19,
            extra: 0,
        },
        ..summary.counts
    };
    let latency = Latency {
        count: 10,
        p50_us: 310,
        p99_us: 1200,
        max_us: 78_000,
    };
    summary.latency = Latencies::from([
        ("source", [("MGET", latency), ("SCAN", latency)].into()),
        ("target", [("SET", latency)].into()),
    ]);
    summary.failures = (0..25_u8)
        .map(|at| Failure {
            database: None,
            step: Step::Write,
            key: vec![b'k', at],
            message: "ERR no\r\nroom".into(),
        })
        .collect();
    let difference = Difference {
        key: b"m\xff".to_vec(),
        kind: DifferenceKind::Missing {
            r#type: "set".into(),
        },
    };
    summary.different_keys = vec![Found {
        database: None,
        difference,
    }];
    summary.notes = vec!["the target evicts keys: allkeys-lru".into()];
    summary
}

#[test]
fn a_good_run_is_three_lines() {
    assert!(good().adds_up());
    insta::assert_snapshot!(report(&good(), ReportFormat::Text), @"
    1,000,214 keys: 1,000,212 written, 2 deleted, 0 skipped, 0 failed
    3.2 s, 312,567 keys/s, 45 MB/s, 0 retries, peak memory 41 MB
    0 missing, 0 type, 0 value, 0 ttl
    ");
}

#[test]
fn a_run_without_verification_says_nothing_of_differences() {
    insta::assert_snapshot!(report(&Summary { verified: false, ..good() }, ReportFormat::Text), @"
    1,000,214 keys: 1,000,212 written, 2 deleted, 0 skipped, 0 failed
    3.2 s, 312,567 keys/s, 45 MB/s, 0 retries, peak memory 41 MB
    ");
}

#[test]
fn a_run_whose_keys_followed_their_slots_says_how_many() {
    let mut summary = good();
    summary.counts.redirections = 1_200;
    insta::assert_snapshot!(report(&summary, ReportFormat::Text), @"
    1,000,214 keys: 1,000,212 written, 2 deleted, 0 skipped, 0 failed
    3.2 s, 312,567 keys/s, 45 MB/s, 0 retries, 1,200 redirections, peak memory 41 MB
    0 missing, 0 type, 0 value, 0 ttl
    ");
    let json: serde_json::Value =
        serde_json::from_str(&report(&good(), ReportFormat::Json)).unwrap();
    assert_eq!(json["redirections"], 0);
}

#[test]
fn a_comparison_alone() {
    let mut summary = Summary {
        copied: false,
        scan_seconds: 0.0,
        ..good()
    };
    summary.counts = Counts {
        compared: 1_000_214,
        differences: Differences {
            ttl: 19,
            extra: 0,
            ..Differences::default()
        },
        ..Counts::default()
    };
    insta::assert_snapshot!(report(&summary, ReportFormat::Text), @"
    1,000,214 keys: 1,000,214 compared, 0 failed
    2.4 s, 409,924 keys/s, 0 retries, peak memory 41 MB
    0 missing, 0 type, 0 value, 19 ttl
    ");
}

#[test]
fn whatever_went_wrong_has_its_line() {
    insta::assert_snapshot!(report(&bad(), ReportFormat::Text), @r#"
    1,000,214 keys: 1,000,000 written, 2 deleted, 11 skipped, 200 failed
    3.2 s, 312,567 keys/s, 45 MB/s, 1 retry, 1 redirection, peak memory 41 MB
    11 keys over the memory limit, skipped
    3 reconnections: 1 to the source, 2 to the target
    500 keys written again one by one
    1,004 keys copied by the commands of their types
    3 keys with a payload that the target refused
    2 keys copied in chunks
    1 key read again after a change in the middle
    5 fields of hashes without their expiry, which the target cannot hold (HPEXPIREAT: Redis 7.4, Valkey 9)
    1 key evicted by the target
    2 keys could not be compared
    1 key on the way when the run ended
    source MGET: p50 0.3 ms, p99 1.2 ms, max 78 ms
    source SCAN: p50 0.3 ms, p99 1.2 ms, max 78 ms
    target SET: p50 0.3 ms, p99 1.2 ms, max 78 ms
    failed write k\x00: ERR no\x0d\x0aroom
    failed write k\x01: ERR no\x0d\x0aroom
    failed write k\x02: ERR no\x0d\x0aroom
    failed write k\x03: ERR no\x0d\x0aroom
    failed write k\x04: ERR no\x0d\x0aroom
    failed write k\x05: ERR no\x0d\x0aroom
    failed write k\x06: ERR no\x0d\x0aroom
    failed write k\x07: ERR no\x0d\x0aroom
    failed write k\x08: ERR no\x0d\x0aroom
    failed write k\x09: ERR no\x0d\x0aroom
    failed write k\x0a: ERR no\x0d\x0aroom
    failed write k\x0b: ERR no\x0d\x0aroom
    failed write k\x0c: ERR no\x0d\x0aroom
    failed write k\x0d: ERR no\x0d\x0aroom
    failed write k\x0e: ERR no\x0d\x0aroom
    failed write k\x0f: ERR no\x0d\x0aroom
    failed write k\x10: ERR no\x0d\x0aroom
    failed write k\x11: ERR no\x0d\x0aroom
    failed write k\x12: ERR no\x0d\x0aroom
    failed write k\x13: ERR no\x0d\x0aroom
    failed: 182 more
    the target evicts keys: allkeys-lru
    123 missing, 54 type, 7 value, 19 ttl
    "#);
}

#[test]
#[expect(clippy::too_many_lines, reason = "the report is that long")]
fn json_is_one_line_with_everything() {
    let text = report(&bad(), ReportFormat::Json);
    assert_eq!(text.lines().count(), 1);
    let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
    value["failures"].as_array_mut().unwrap().truncate(1);
    insta::assert_snapshot!(serde_json::to_string_pretty(&value).unwrap(), @r#"
    {
      "both": false,
      "by_type": 1004,
      "bytes_read": 150994944,
      "bytes_written": 150000000,
      "changes": 0,
      "compare_complete": false,
      "compare_failed": 2,
      "compare_seconds": 2.44,
      "compared": 1000214,
      "copied": true,
      "cpu_seconds": 0.61,
      "deleted": 2,
      "differences": {
        "extra": 0,
        "missing": 123,
        "ttl": 19,
        "type": 54,
        "value": 7
      },
      "different_keys": [
        {
          "difference": "missing",
          "key": "m\\xff",
          "type": "set"
        }
      ],
      "elapsed_seconds": 5.8,
      "evicted_keys": 1,
      "failed": 200,
      "failures": [
        {
          "key": "k\\x00",
          "message": "ERR no\r\nroom",
          "step": "write"
        }
      ],
      "in_chunks": 2,
      "latency": {
        "source": {
          "MGET": {
            "count": 10,
            "max_us": 78000,
            "p50_us": 310,
            "p99_us": 1200
          },
          "SCAN": {
            "count": 10,
            "max_us": 78000,
            "p50_us": 310,
            "p99_us": 1200
          }
        },
        "target": {
          "SET": {
            "count": 10,
            "max_us": 78000,
            "p50_us": 310,
            "p99_us": 1200
          }
        }
      },
      "listen_seconds": 0.0,
      "lost_field_expiries": 5,
      "notes": [
        "the target evicts keys: allkeys-lru"
      ],
      "payload_refused": 3,
      "peak_memory_bytes": 42991616,
      "phase": "done",
      "read_again": 1,
      "reconnects": {
        "source": 1,
        "target": 2
      },
      "redirections": 1,
      "redone_alone": 500,
      "repaired": 0,
      "retries": 1,
      "scan_complete": true,
      "scan_seconds": 3.2,
      "scanned": 1000214,
      "skipped": {
        "dry_run": 0,
        "empty_stream": 0,
        "gone": 0,
        "memory_limit": 11,
        "nameless": 0,
        "other_database": 0,
        "other_type": 0,
        "unchanged": 0
      },
      "total_keys": 1000214,
      "verified": true,
      "written": 1000000
    }
    "#);
}

#[test]
fn short_is_one_line() {
    insta::assert_snapshot!(report(&bad(), ReportFormat::Short), @"OK:1000011 V:61 >:123 <:0 T:19");
}

#[test]
fn several_databases_have_a_line_each() {
    let mut summary = good();
    let of = |source, target, written| OfDatabase {
        source,
        target,
        counts: Counts {
            scanned: written,
            written,
            compared: written,
            ..Counts::default()
        },
    };
    summary.databases = vec![of(0, 0, 1_000_200), of(3, 1, 14)];
    summary.databases[1].counts.differences.missing = 2;
    summary.failures = vec![Failure {
        database: Some(3),
        step: Step::Read,
        key: b"k".to_vec(),
        message: "no".into(),
    }];
    insta::assert_snapshot!(report(&summary, ReportFormat::Text), @"
    1,000,214 keys: 1,000,212 written, 2 deleted, 0 skipped, 0 failed
    db0: 1,000,200 keys: 1,000,200 written, 0 deleted, 0 skipped, 0 failed
    db3 to db1: 14 keys: 14 written, 0 deleted, 0 skipped, 0 failed, 2 differ
    3.2 s, 312,567 keys/s, 45 MB/s, 0 retries, peak memory 41 MB
    failed read db3 k: no
    0 missing, 0 type, 0 value, 0 ttl
    ");
    summary.copied = false;
    let text = report(&summary, ReportFormat::Text);
    assert!(text.contains("db3 to db1: 14 keys: 14 compared, 0 failed, 2 differ\n"));
}
