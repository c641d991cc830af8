//! Single lines: a server at the start, a difference.

use std::time::Duration;

use crate::config::{Address, Side};
use crate::stats::{DifferenceKind, Found};
use crate::text::{bytes, milliseconds, printable, thousands};

/// What a server is, in one line with steady columns; what could not be learnt is left blank.
///
/// `source  10.0.0.5:6379      Redis 7.0.15, standalone    1,000,214 keys    145 MB   round trip 0.3 ms`
#[must_use]
pub fn server_line(
    side: Side,
    address: &Address,
    description: &str,
    keys: Option<u64>,
    memory: Option<u64>,
    round_trip: Duration,
) -> String {
    let address = address.to_string();
    let side = side.to_string();
    let keys = keys
        .map(|keys| format!("{} keys", thousands(keys)))
        .unwrap_or_default();
    let memory = memory.map(bytes).unwrap_or_default();
    format!(
        "{side:<6}  {address:<17}  {description:<24}{keys:>18}{memory:>10}   round trip {}",
        milliseconds(round_trip)
    )
}

/// A difference as `--show-diffs` has it: `ttl KEY: expected 1000 but was -1`; where the run has several databases, after that of
/// the source: `db3 missing string KEY`.
#[must_use]
pub fn difference_line(found: &Found) -> String {
    let key = printable(&found.difference.key);
    let line = match &found.difference.kind {
        DifferenceKind::Missing { r#type } => format!("missing {type} {key}"),
        DifferenceKind::Type { expected, found } => {
            format!("type {key}: expected {expected} but was {found}")
        }
        DifferenceKind::Value { r#type } => format!("value {type} {key}"),
        DifferenceKind::Ttl { expected, found } => {
            format!("ttl {key}: expected {expected} but was {found}")
        }
        DifferenceKind::Extra => format!("extra {key}"),
    };
    match found.database {
        Some(database) => format!("db{database} {line}"),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Difference;

    fn tcp(host: &str, port: u16) -> Address {
        Address::Tcp {
            host: host.into(),
            port,
        }
    }

    #[test]
    fn servers_stand_in_columns() {
        let source = server_line(
            Side::Source,
            &tcp("10.0.0.5", 6379),
            "Redis 7.0.15, standalone",
            Some(1_000_214),
            Some(145 << 20),
            Duration::from_micros(310),
        );
        let target = server_line(
            Side::Target,
            &tcp("10.1.0.9", 12_000),
            "Redis 7.4, proxy, TLS",
            Some(0),
            Some(1_060_000),
            Duration::from_millis(78),
        );
        let unknown = server_line(
            Side::Target,
            &tcp("::1", 6379),
            "Valkey 8.1.0, standalone, TLS",
            None,
            None,
            Duration::from_micros(40),
        );
        insta::assert_snapshot!([source, target, unknown].join("\n"), @"
        source  10.0.0.5:6379      Redis 7.0.15, standalone    1,000,214 keys    145 MB   round trip 0.3 ms
        target  10.1.0.9:12000     Redis 7.4, proxy, TLS               0 keys      1 MB   round trip 78 ms
        target  [::1]:6379         Valkey 8.1.0, standalone, TLS                               round trip 0.04 ms
        ");
    }

    #[test]
    fn differences_are_told_as_specified() {
        let lines = [
            DifferenceKind::Missing {
                r#type: "string".into(),
            },
            DifferenceKind::Type {
                expected: "hash".into(),
                found: "string".into(),
            },
            DifferenceKind::Value {
                r#type: "zset".into(),
            },
            DifferenceKind::Ttl {
                expected: 1000,
                found: -1,
            },
            DifferenceKind::Extra,
        ]
        .map(|kind| {
            let difference = Difference {
                key: b"k\n\xff".to_vec(),
                kind,
            };
            let mut found = Found {
                database: None,
                difference,
            };
            let line = difference_line(&found);
            found.database = Some(3);
            assert_eq!(difference_line(&found), format!("db3 {line}"));
            line
        });
        insta::assert_snapshot!(lines.join("\n"), @r#"
        missing string k\x0a\xff
        type k\x0a\xff: expected hash but was string
        value zset k\x0a\xff
        ttl k\x0a\xff: expected 1000 but was -1
        extra k\x0a\xff
        "#);
    }
}
