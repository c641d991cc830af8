//! What is reported: the plain values that the counters amount to.

use std::collections::BTreeMap;
use std::fmt;

use hdrhistogram::Histogram;
use serde::{Serialize, Serializer};

use super::live::LiveSummary;
use crate::text::printable;

/// Where a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Reaching both sides.
    Connecting,
    /// Copying the keys that SCAN gives.
    Scanning,
    /// Copying what changes.
    Listening,
    /// Comparing both sides.
    Comparing,
    /// Over.
    Done,
}

/// Why a key was left out, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SkipReason {
    /// Over `--mem-limit`.
    MemoryLimit,
    /// Not of a type that `--key-type` names.
    OtherType,
    /// Gone from the source, where its name at the target depends on its type.
    Nameless,
    /// Read, and with `--dry-run` not written.
    DryRun,
    /// A stream that was looked at by turns and is as it was written last.
    Unchanged,
    /// Not in the source's database, and perhaps it never was: the event may have been another database's.
    OtherDatabase,
    /// A stream without messages (`--stream-prune`).
    EmptyStream,
    /// Gone from the source before it was added to what the target has (`--merge`).
    Gone,
}

/// What was being done with a key when it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// Read from the source.
    Read,
    /// Written to the target.
    Write,
    /// Compared.
    Compare,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Compare => "compare",
        })
    }
}

/// A key that failed for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// The source's database, where the run has several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<u32>,
    /// What was being done.
    pub step: Step,
    /// The key, as the side that failed calls it.
    #[serde(serialize_with = "as_printable")]
    pub key: Vec<u8>,
    /// The server's words, or riot's.
    pub message: String,
}

/// A key that the two sides do not hold alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The key, as the source calls it.
    #[serde(serialize_with = "as_printable")]
    pub key: Vec<u8>,
    /// In what they differ.
    #[serde(flatten)]
    pub kind: DifferenceKind,
}

/// A difference, and where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Found {
    /// The source's database, where the run has several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<u32>,
    /// The difference.
    #[serde(flatten)]
    pub difference: Difference,
}

/// In what the two sides differ. Types are named as TYPE names them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "difference", rename_all = "lowercase")]
pub enum DifferenceKind {
    /// The target does not have the key.
    Missing {
        /// Its type at the source.
        r#type: String,
    },
    /// Another type.
    Type {
        /// At the source.
        expected: String,
        /// At the target.
        found: String,
    },
    /// Another value.
    Value {
        /// The type on both sides.
        r#type: String,
    },
    /// Another expiry: milliseconds left to live, -1 for ever.
    Ttl {
        /// At the source.
        expected: i64,
        /// At the target.
        found: i64,
    },
    /// Only the target has the key.
    Extra,
}

fn as_printable<S: Serializer>(key: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&printable(key))
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands fields over so"
)]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The counters at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Keys there are to go through, where that is known.
    pub total_keys: Option<u64>,
    /// Keys that an earlier run had copied, where this one was picked up.
    #[serde(skip_serializing_if = "is_zero")]
    pub done_before: u64,
    /// The SCAN for copying has come to its end.
    pub scan_complete: bool,
    /// The SCAN for comparing has come to its end.
    pub compare_complete: bool,
    /// Keys taken in.
    pub scanned: u64,
    /// Changed keys taken in, live.
    pub changes: u64,
    /// Keys written.
    pub written: u64,
    /// Keys deleted.
    pub deleted: u64,
    /// Keys left out.
    pub skipped: Skipped,
    /// Keys that failed for good in reading or writing.
    pub failed: u64,
    /// Those of them that failed in reading.
    #[serde(skip)]
    pub failed_reads: u64,
    /// Bytes from the source.
    pub bytes_read: u64,
    /// Bytes to the target.
    pub bytes_written: u64,
    /// Transient errors tried again.
    pub retries: u64,
    /// Keys that followed MOVED or ASK to another node, on either side.
    pub redirections: u64,
    /// Connections opened again.
    pub reconnects: Reconnects,
    /// Keys done again one by one.
    pub redone_alone: u64,
    /// Keys whose payload the target refused.
    pub payload_refused: u64,
    /// Keys copied by the commands of their types.
    pub by_type: u64,
    /// Those of them that were copied in chunks.
    pub in_chunks: u64,
    /// Times that a key changed while it was read in chunks, and was read again.
    pub read_again: u64,
    /// Fields of hashes that have no expiry at the target, which cannot hold it.
    pub lost_field_expiries: u64,
    /// Keys that the target evicted meanwhile.
    pub evicted_keys: u64,
    /// Keys compared.
    pub compared: u64,
    /// Keys that could not be compared.
    pub compare_failed: u64,
    /// Differences that were copied again and are none any more.
    pub repaired: u64,
    /// Differences found.
    pub differences: Differences,
}

/// What one of several databases came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct OfDatabase {
    /// Its number at the source.
    pub source: u32,
    /// And at the target.
    pub target: u32,
    /// Its counters.
    #[serde(flatten)]
    pub counts: Counts,
}

impl Counts {
    /// Keys taken in: from SCAN, and because they changed.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.scanned + self.changes
    }

    /// Keys whose way has ended, however.
    #[must_use]
    pub fn finished(&self) -> u64 {
        self.written + self.deleted + self.skipped.total() + self.failed
    }

    /// Every key taken in was written, deleted, skipped or failed. True of a run that is over.
    #[must_use]
    pub fn adds_up(&self) -> bool {
        self.taken() == self.finished()
    }
}

/// Keys left out, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// Over `--mem-limit`.
    pub memory_limit: u64,
    /// Not of a type that `--key-type` names.
    pub other_type: u64,
    /// Gone, and its name at the target depends on its type.
    pub nameless: u64,
    /// Not written because of `--dry-run`.
    pub dry_run: u64,
    /// Streams that were looked at by turns and had not changed.
    pub unchanged: u64,
    /// Gone keys whose event may have been another database's.
    pub other_database: u64,
    /// Streams without messages.
    pub empty_stream: u64,
    /// Gone from the source before they were added.
    pub gone: u64,
}

impl Skipped {
    /// For any reason.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.memory_limit
            + self.other_type
            + self.nameless
            + self.dry_run
            + self.unchanged
            + self.other_database
            + self.empty_stream
            + self.gone
    }
}

/// Connections opened again, by side.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Reconnects {
    /// To the source.
    pub source: u64,
    /// To the target.
    pub target: u64,
}

impl Reconnects {
    /// To either side.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.source + self.target
    }
}

/// Differences by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Differences {
    /// Not at the target.
    pub missing: u64,
    /// Another type.
    pub r#type: u64,
    /// Another value.
    pub value: u64,
    /// Another expiry.
    pub ttl: u64,
    /// Only at the target.
    pub extra: u64,
}

impl Differences {
    /// Of any kind.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.missing + self.r#type + self.value + self.ttl + self.extra
    }
}

/// Latency by side (`source`, `target`), then by command.
pub type Latencies = BTreeMap<&'static str, BTreeMap<&'static str, Latency>>;

/// How long one command took, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Latency {
    /// How many there were.
    pub count: u64,
    /// Half of them were answered within this.
    pub p50_us: u64,
    /// All but one in a hundred were.
    pub p99_us: u64,
    /// The slowest one.
    pub max_us: u64,
}

impl Latency {
    pub(super) fn of(times: &Histogram<u64>) -> Self {
        Self {
            count: times.len(),
            p50_us: times.value_at_quantile(0.5),
            p99_us: times.value_at_quantile(0.99),
            max_us: times.max(),
        }
    }
}

/// A run's outcome, as it is reported.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Where the run is.
    pub phase: Phase,
    /// Keys were copied, or that was begun.
    pub copied: bool,
    /// Both sides were compared, or that was begun.
    pub verified: bool,
    /// Keys that only the target has were looked for too.
    pub both: bool,
    /// The counters.
    #[serde(flatten)]
    pub counts: Counts,
    /// Since the counters were made.
    pub elapsed_seconds: f64,
    /// Spent copying.
    pub scan_seconds: f64,
    /// Spent copying what changed, after the scan.
    pub listen_seconds: f64,
    /// Spent comparing.
    pub compare_seconds: f64,
    /// The most memory this process held, where the system tells.
    pub peak_memory_bytes: Option<u64>,
    /// Processor time of this process.
    pub cpu_seconds: f64,
    /// Latency, where it was asked for.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub latency: Latencies,
    /// What a live run counts beside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub live: Option<LiveSummary>,
    /// Each database by itself, where the run has several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub databases: Vec<OfDatabase>,
    /// The first failures, by name.
    pub failures: Vec<Failure>,
    /// The first differences, by name.
    pub different_keys: Vec<Found>,
    /// What else the operator has to know.
    pub notes: Vec<String>,
}

impl Summary {
    /// Scanned = written + deleted + skipped + failed.
    #[must_use]
    pub fn adds_up(&self) -> bool {
        self.counts.adds_up()
    }

    /// No key failed, none was evicted and, where it was looked, both sides are equal.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.counts.failed == 0
            && self.counts.evicted_keys == 0
            && self.counts.compare_failed == 0
            && self.counts.differences.total() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_printable_in_json() {
        let difference = Difference {
            key: b"k\xff".to_vec(),
            kind: DifferenceKind::Type {
                expected: "hash".into(),
                found: "string".into(),
            },
        };
        insta::assert_snapshot!(
            serde_json::to_string(&difference).unwrap(),
            @r#"{"key":"k\\xff","difference":"type","expected":"hash","found":"string"}"#
        );
        let failure = Failure {
            database: None,
            step: Step::Write,
            key: b"\0".to_vec(),
            message: "ERR".into(),
        };
        insta::assert_snapshot!(
            serde_json::to_string(&failure).unwrap(),
            @r#"{"step":"write","key":"\\x00","message":"ERR"}"#
        );
    }
}
