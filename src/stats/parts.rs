//! Counters of several databases, which are one run's together.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::{Counts, Difference, Differences, Found, OfDatabase, Reconnects, Skipped, Stats, lock};
use crate::text::printable;

impl Stats {
    /// Counters for a database of the source, and its number at the target. What they count is the run's, too; what is no
    /// database's own (latency, notes, errors) is counted once for all.
    #[must_use]
    pub fn part(&self, source: u32, target: u32) -> Arc<Self> {
        let part = Arc::new(Self {
            live: self.live.part(source),
            database: Some((source, target)),
            latency: self.latency.clone(),
            waits: self.waits.clone(),
            reports_latency: self.reports_latency,
            read: self.read.clone(),
            wrote: self.wrote.clone(),
            troubles: self.troubles.clone(),
            evicted: self.evicted.clone(),
            failures: self.failures.clone(),
            differences: self.differences.clone(),
            notes: self.notes.clone(),
            ..Self::new(false)
        });
        lock(&self.parts).push(part.clone());
        part
    }

    /// Whether this database of the source is counted here alone.
    #[must_use]
    pub fn is_of(&self, source: u32) -> bool {
        self.database
            .is_some_and(|(database, _)| database == source)
    }

    /// The counters alone, as of now.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let parts = lock(&self.parts);
        let counts = parts.iter().map(|part| part.own_counts());
        counts
            .reduce(Counts::and)
            .unwrap_or_else(|| self.own_counts())
    }

    /// A key as messages name it: with its database where the run has several.
    #[must_use]
    pub fn named(&self, key: &[u8]) -> String {
        match self.database {
            Some((database, _)) => format!("db{database} {}", printable(key)),
            None => printable(key),
        }
    }

    /// What messages about the database begin with, where the run has several.
    #[must_use]
    pub fn label(&self) -> String {
        let label = self.database.map(|(database, _)| format!("db{database}: "));
        label.unwrap_or_default()
    }

    /// A difference with its database, where the run has several.
    #[must_use]
    pub fn found(&self, difference: Difference) -> Found {
        Found {
            database: self.database.map(|(source, _)| source),
            difference,
        }
    }

    pub(super) fn databases(&self) -> Vec<OfDatabase> {
        let parts = lock(&self.parts);
        let of = |part: &Arc<Self>| {
            let (source, target) = part.database?;
            Some(OfDatabase {
                source,
                target,
                counts: part.own_counts(),
            })
        };
        let mut databases: Vec<OfDatabase> = parts.iter().filter_map(of).collect();
        databases.sort_by_key(|database| database.source);
        databases
    }

    pub(super) fn looked_both_ways(&self) -> bool {
        let parts = lock(&self.parts);
        self.both.load(Relaxed) || parts.iter().any(|part| part.both.load(Relaxed))
    }
}

impl Counts {
    /// Both together.
    #[must_use]
    fn and(self, other: Self) -> Self {
        Self {
            total_keys: self
                .total_keys
                .zip(other.total_keys)
                .map(|(one, two)| one + two),
            done_before: self.done_before + other.done_before,
            scan_complete: self.scan_complete && other.scan_complete,
            compare_complete: self.compare_complete && other.compare_complete,
            scanned: self.scanned + other.scanned,
            changes: self.changes + other.changes,
            written: self.written + other.written,
            deleted: self.deleted + other.deleted,
            skipped: self.skipped.and(other.skipped),
            failed: self.failed + other.failed,
            failed_reads: self.failed_reads + other.failed_reads,
            bytes_read: self.bytes_read + other.bytes_read,
            bytes_written: self.bytes_written + other.bytes_written,
            retries: self.retries + other.retries,
            redirections: self.redirections + other.redirections,
            reconnects: Reconnects {
                source: self.reconnects.source + other.reconnects.source,
                target: self.reconnects.target + other.reconnects.target,
            },
            redone_alone: self.redone_alone + other.redone_alone,
            payload_refused: self.payload_refused + other.payload_refused,
            by_type: self.by_type + other.by_type,
            in_chunks: self.in_chunks + other.in_chunks,
            read_again: self.read_again + other.read_again,
            lost_field_expiries: self.lost_field_expiries + other.lost_field_expiries,
            // The server's own count, of all its databases.
            evicted_keys: self.evicted_keys.max(other.evicted_keys),
            compared: self.compared + other.compared,
            compare_failed: self.compare_failed + other.compare_failed,
            repaired: self.repaired + other.repaired,
            differences: self.differences.and(other.differences),
        }
    }
}

impl Skipped {
    fn and(self, other: Self) -> Self {
        Self {
            memory_limit: self.memory_limit + other.memory_limit,
            other_type: self.other_type + other.other_type,
            nameless: self.nameless + other.nameless,
            dry_run: self.dry_run + other.dry_run,
            unchanged: self.unchanged + other.unchanged,
            other_database: self.other_database + other.other_database,
            empty_stream: self.empty_stream + other.empty_stream,
            gone: self.gone + other.gone,
        }
    }
}

impl Differences {
    fn and(self, other: Self) -> Self {
        Self {
            missing: self.missing + other.missing,
            r#type: self.r#type + other.r#type,
            value: self.value + other.value,
            ttl: self.ttl + other.ttl,
            extra: self.extra + other.extra,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::{DifferenceKind, SkipReason, Step};

    #[test]
    fn what_databases_count_is_the_runs() {
        let run = Stats::new(false);
        let (zero, three) = (run.part(0, 0), run.part(3, 1));
        zero.set_total_keys(Some(2));
        three.set_total_keys(Some(5));
        zero.scanned(2);
        zero.written(2);
        three.scanned(5);
        three.written(3);
        three.skipped(SkipReason::Gone, 1);
        three.failed(Step::Read, b"k", "no");
        three.differs(Difference {
            key: b"d".to_vec(),
            kind: DifferenceKind::Extra,
        });
        zero.live.took(4);
        zero.scan_ended();
        three.note("said once");
        zero.note("said once");
        let counts = run.counts();
        assert_eq!((counts.total_keys, counts.taken()), (Some(7), 11));
        assert_eq!(
            (counts.written, counts.failed, counts.skipped.gone),
            (5, 1, 1)
        );
        assert!(!counts.scan_complete && zero.counts().scan_complete);
        let summary = run.summary();
        assert_eq!(summary.notes, ["said once"]);
        assert_eq!(summary.failures[0].database, Some(3));
        assert_eq!(summary.different_keys[0].database, Some(3));
        let databases = summary.databases.iter();
        let databases: Vec<_> = databases.map(|one| (one.source, one.target)).collect();
        assert_eq!(databases, [(0, 0), (3, 1)]);
        assert_eq!(
            (three.named(b"k"), run.named(b"k")),
            ("db3 k".into(), "k".into())
        );
        assert!(Stats::new(false).summary().databases.is_empty());
    }
}
