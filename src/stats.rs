//! What happened so far: counters that every stage adds to.

mod kind;
mod latency;
mod live;
mod parts;
mod process;
mod summary;
mod times;
mod trouble;
mod waits;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use self::kind::Tallies;
pub use self::kind::{Kind, Tally};
use self::latency::Histograms;
pub use self::live::{Gap, HotKey, Live, LiveSummary};
pub use self::process::{cpu_time, peak_memory, resident_memory};
pub use self::summary::{
    Counts, Difference, DifferenceKind, Differences, Failure, Found, Latencies, Latency,
    OfDatabase, Phase, Reconnects, SkipReason, Skipped, Step, Summary,
};
pub use self::times::{Command, Times};
pub use self::trouble::Away;
use self::trouble::Troubles;
pub use self::waits::Wait;
use crate::config::Side;

/// Failures, and differences, that are kept with their key's name; beyond that they are only counted.
pub const KEPT: usize = 1000;

/// The counters of a run, shared by its stages. Methods take a count, to be called once a batch. Where a run has several
/// databases, each has counters of its own, and the run's are their sum.
#[derive(Debug)]
pub struct Stats {
    /// What a live run counts beside.
    pub live: Arc<Live>,
    /// The database of the source that is counted, and the target's, where the run has several.
    database: Option<(u32, u32)>,
    parts: Mutex<Vec<Arc<Stats>>>,
    started: Instant,
    latency: Option<Arc<Mutex<Histograms>>>,
    waits: Arc<waits::Waits>,
    /// Latency is for the report, too.
    reports_latency: bool,
    read: Arc<Tallies>,
    wrote: Arc<Tallies>,
    troubles: Arc<Troubles>,
    marks: Mutex<Marks>,
    /// Keys that the source is thought to have; [`UNKNOWN`] where nobody knows.
    total_keys: AtomicU64,
    done_before: AtomicU64,
    scan_complete: AtomicBool,
    compare_complete: AtomicBool,
    scanned: AtomicU64,
    written: AtomicU64,
    deleted: AtomicU64,
    skipped_memory_limit: AtomicU64,
    skipped_other_type: AtomicU64,
    skipped_nameless: AtomicU64,
    skipped_dry_run: AtomicU64,
    skipped_unchanged: AtomicU64,
    skipped_other_database: AtomicU64,
    skipped_empty_stream: AtomicU64,
    skipped_gone: AtomicU64,
    failed: AtomicU64,
    failed_reads: AtomicU64,
    bytes_read: AtomicU64,
    bytes_written: AtomicU64,
    retries: AtomicU64,
    source_redirections: AtomicU64,
    target_redirections: AtomicU64,
    source_reconnects: AtomicU64,
    target_reconnects: AtomicU64,
    redone_alone: AtomicU64,
    payload_refused: AtomicU64,
    by_type: AtomicU64,
    in_chunks: AtomicU64,
    read_again: AtomicU64,
    lost_field_expiries: AtomicU64,
    evicted: Arc<AtomicU64>,
    compared: AtomicU64,
    compare_failed: AtomicU64,
    missing: AtomicU64,
    wrong_type: AtomicU64,
    wrong_value: AtomicU64,
    wrong_ttl: AtomicU64,
    both: AtomicBool,
    extra: AtomicU64,
    repaired: AtomicU64,
    failures: Arc<Mutex<Vec<Failure>>>,
    differences: Arc<Mutex<Vec<Found>>>,
    notes: Arc<Mutex<Vec<String>>>,
}

/// `total_keys` where no number is known.
const UNKNOWN: u64 = u64::MAX;

/// The phases entered, with the time of each.
#[derive(Debug)]
struct Marks {
    phase: Phase,
    since: Instant,
    scanning: Duration,
    listening: Duration,
    comparing: Duration,
    copies: bool,
    compares: bool,
}

impl Marks {
    fn time_in(&self, phase: Phase) -> Duration {
        let before = match phase {
            Phase::Scanning => self.scanning,
            Phase::Listening => self.listening,
            Phase::Comparing => self.comparing,
            Phase::Connecting | Phase::Done => Duration::ZERO,
        };
        before
            + if self.phase == phase {
                self.since.elapsed()
            } else {
                Duration::ZERO
            }
    }
}

impl Stats {
    /// Counters at zero; with `latency` the times of commands are kept too.
    #[must_use]
    pub fn new(latency: bool) -> Self {
        let now = Instant::now();
        Self {
            live: Arc::default(),
            database: None,
            parts: Mutex::default(),
            started: now,
            latency: latency.then(Arc::default),
            waits: Arc::default(),
            reports_latency: latency,
            read: Arc::default(),
            wrote: Arc::default(),
            troubles: Arc::default(),
            marks: Mutex::new(Marks {
                phase: Phase::Connecting,
                since: now,
                scanning: Duration::ZERO,
                listening: Duration::ZERO,
                comparing: Duration::ZERO,
                copies: false,
                compares: false,
            }),
            total_keys: AtomicU64::new(UNKNOWN),
            done_before: AtomicU64::default(),
            scan_complete: AtomicBool::default(),
            compare_complete: AtomicBool::default(),
            scanned: AtomicU64::default(),
            written: AtomicU64::default(),
            deleted: AtomicU64::default(),
            skipped_memory_limit: AtomicU64::default(),
            skipped_other_type: AtomicU64::default(),
            skipped_nameless: AtomicU64::default(),
            skipped_dry_run: AtomicU64::default(),
            skipped_unchanged: AtomicU64::default(),
            skipped_other_database: AtomicU64::default(),
            skipped_empty_stream: AtomicU64::default(),
            skipped_gone: AtomicU64::default(),
            failed: AtomicU64::default(),
            failed_reads: AtomicU64::default(),
            bytes_read: AtomicU64::default(),
            bytes_written: AtomicU64::default(),
            retries: AtomicU64::default(),
            source_redirections: AtomicU64::default(),
            target_redirections: AtomicU64::default(),
            source_reconnects: AtomicU64::default(),
            target_reconnects: AtomicU64::default(),
            redone_alone: AtomicU64::default(),
            payload_refused: AtomicU64::default(),
            by_type: AtomicU64::default(),
            in_chunks: AtomicU64::default(),
            read_again: AtomicU64::default(),
            lost_field_expiries: AtomicU64::default(),
            evicted: Arc::default(),
            compared: AtomicU64::default(),
            compare_failed: AtomicU64::default(),
            missing: AtomicU64::default(),
            wrong_type: AtomicU64::default(),
            wrong_value: AtomicU64::default(),
            wrong_ttl: AtomicU64::default(),
            both: AtomicBool::default(),
            extra: AtomicU64::default(),
            repaired: AtomicU64::default(),
            failures: Arc::default(),
            differences: Arc::default(),
            notes: Arc::default(),
        }
    }

    /// The run enters a phase.
    pub fn enter(&self, phase: Phase) {
        let mut marks = lock(&self.marks);
        let spent = marks.since.elapsed();
        match marks.phase {
            Phase::Scanning => marks.scanning += spent,
            Phase::Listening => marks.listening += spent,
            Phase::Comparing => marks.comparing += spent,
            Phase::Connecting | Phase::Done => {}
        }
        marks.copies |= matches!(phase, Phase::Scanning | Phase::Listening);
        marks.compares |= phase == Phase::Comparing;
        marks.phase = phase;
        marks.since = Instant::now();
    }

    /// The phase the run is in.
    #[must_use]
    pub fn phase(&self) -> Phase {
        lock(&self.marks).phase
    }

    /// How many keys there are to go through: DBSIZE, or `None` where a filter makes that no measure.
    pub fn set_total_keys(&self, total: Option<u64>) {
        self.total_keys.store(total.unwrap_or(UNKNOWN), Relaxed);
    }

    /// Keys that an earlier run has copied, which this one goes on from.
    pub fn set_done_before(&self, keys: u64) {
        self.done_before.store(keys, Relaxed);
    }

    /// The SCAN of the phase that the run is in has come to its end: what it gave is all there is, whatever DBSIZE said.
    pub fn scan_ended(&self) {
        match self.phase() {
            Phase::Comparing => &self.compare_complete,
            _ => &self.scan_complete,
        }
        .store(true, Relaxed);
    }

    /// Keys taken in from SCAN, after the filter.
    pub fn scanned(&self, keys: u64) {
        self.scanned.fetch_add(keys, Relaxed);
    }

    /// Keys written to the target.
    pub fn written(&self, keys: u64) {
        self.written.fetch_add(keys, Relaxed);
    }

    /// Keys gone from the source, so deleted at the target.
    pub fn deleted(&self, keys: u64) {
        self.deleted.fetch_add(keys, Relaxed);
    }

    /// Keys left out.
    pub fn skipped(&self, reason: SkipReason, keys: u64) {
        match reason {
            SkipReason::MemoryLimit => &self.skipped_memory_limit,
            SkipReason::OtherType => &self.skipped_other_type,
            SkipReason::Nameless => &self.skipped_nameless,
            SkipReason::DryRun => &self.skipped_dry_run,
            SkipReason::Unchanged => &self.skipped_unchanged,
            SkipReason::OtherDatabase => &self.skipped_other_database,
            SkipReason::EmptyStream => &self.skipped_empty_stream,
            SkipReason::Gone => &self.skipped_gone,
        }
        .fetch_add(keys, Relaxed);
    }

    /// A key that failed for good. Those of [`Step::Compare`] are counted apart.
    pub fn failed(&self, step: Step, key: &[u8], message: impl Into<String>) {
        match step {
            Step::Read | Step::Write => &self.failed,
            Step::Compare => &self.compare_failed,
        }
        .fetch_add(1, Relaxed);
        if step == Step::Read {
            self.failed_reads.fetch_add(1, Relaxed);
        }
        let mut failures = lock(&self.failures);
        if failures.len() < KEPT {
            failures.push(Failure {
                database: self.database.map(|(source, _)| source),
                step,
                key: key.to_vec(),
                message: message.into(),
            });
        }
    }

    /// Bytes that came from the source.
    pub fn read_bytes(&self, bytes: u64) {
        self.bytes_read.fetch_add(bytes, Relaxed);
    }

    /// Bytes that went to the target.
    pub fn wrote_bytes(&self, bytes: u64) {
        self.bytes_written.fetch_add(bytes, Relaxed);
    }

    /// Transient errors after which a batch or a key was tried again.
    pub fn retried(&self, times: u64) {
        self.retries.fetch_add(times, Relaxed);
    }

    /// Keys that MOVED or ASK sent on to another node of a cluster.
    pub fn redirected(&self, side: Side, count: u64) {
        match side {
            Side::Source => &self.source_redirections,
            Side::Target => &self.target_redirections,
        }
        .fetch_add(count, Relaxed);
    }

    /// A lost connection was opened again.
    pub fn reconnected(&self, side: Side) {
        match side {
            Side::Source => &self.source_reconnects,
            Side::Target => &self.target_reconnects,
        }
        .fetch_add(1, Relaxed);
    }

    /// Keys done again one by one because their batch's command failed as a whole.
    pub fn redone_alone(&self, keys: u64) {
        self.redone_alone.fetch_add(keys, Relaxed);
    }

    /// Keys whose payload the target refused.
    pub fn payload_refused(&self, keys: u64) {
        self.payload_refused.fetch_add(keys, Relaxed);
    }

    /// A key was copied by the commands of its type.
    pub fn copied_by_type(&self, in_chunks: bool, lost_field_expiries: u64) {
        self.by_type.fetch_add(1, Relaxed);
        self.in_chunks.fetch_add(u64::from(in_chunks), Relaxed);
        self.lost_field_expiries
            .fetch_add(lost_field_expiries, Relaxed);
    }

    /// A key changed while it was read in chunks: it is read again.
    pub fn read_again(&self) {
        self.read_again.fetch_add(1, Relaxed);
    }

    /// Keys that the target evicted since the run began, by its own counter.
    ///
    /// What was known before comes back.
    pub fn set_evicted_keys(&self, keys: u64) -> u64 {
        self.evicted.fetch_max(keys, Relaxed)
    }

    /// Keys compared, whatever came out.
    pub fn compared(&self, keys: u64) {
        self.compared.fetch_add(keys, Relaxed);
    }

    /// A difference that is certain: looked at as often as the run looks.
    pub fn differs(&self, difference: Difference) {
        match difference.kind {
            DifferenceKind::Missing { .. } => &self.missing,
            DifferenceKind::Type { .. } => &self.wrong_type,
            DifferenceKind::Value { .. } => &self.wrong_value,
            DifferenceKind::Ttl { .. } => &self.wrong_ttl,
            DifferenceKind::Extra => &self.extra,
        }
        .fetch_add(1, Relaxed);
        let mut differences = lock(&self.differences);
        if differences.len() < KEPT {
            differences.push(self.found(difference));
        }
    }

    /// Keys that only the target has are looked for.
    pub fn looks_both_ways(&self) {
        self.both.store(true, Relaxed);
    }

    /// Differences that were copied again, and are none any more.
    pub fn repaired(&self, keys: u64) {
        self.repaired.fetch_add(keys, Relaxed);
    }

    /// A line for the report; one that is there already is not added again.
    pub fn note(&self, line: impl Into<String>) {
        let line = line.into();
        let mut notes = lock(&self.notes);
        if !notes.contains(&line) {
            notes.push(line);
        }
    }

    fn own_counts(&self) -> Counts {
        let get = |counter: &AtomicU64| counter.load(Relaxed);
        let total = get(&self.total_keys);
        Counts {
            total_keys: (total != UNKNOWN).then_some(total),
            done_before: get(&self.done_before),
            scan_complete: self.scan_complete.load(Relaxed),
            compare_complete: self.compare_complete.load(Relaxed),
            scanned: get(&self.scanned),
            changes: self.live.changes(),
            written: get(&self.written),
            deleted: get(&self.deleted),
            skipped: Skipped {
                memory_limit: get(&self.skipped_memory_limit),
                other_type: get(&self.skipped_other_type),
                nameless: get(&self.skipped_nameless),
                dry_run: get(&self.skipped_dry_run),
                unchanged: get(&self.skipped_unchanged),
                other_database: get(&self.skipped_other_database),
                empty_stream: get(&self.skipped_empty_stream),
                gone: get(&self.skipped_gone),
            },
            failed: get(&self.failed),
            failed_reads: get(&self.failed_reads),
            bytes_read: get(&self.bytes_read),
            bytes_written: get(&self.bytes_written),
            retries: get(&self.retries),
            redirections: get(&self.source_redirections) + get(&self.target_redirections),
            reconnects: Reconnects {
                source: get(&self.source_reconnects),
                target: get(&self.target_reconnects),
            },
            redone_alone: get(&self.redone_alone),
            payload_refused: get(&self.payload_refused),
            by_type: get(&self.by_type),
            in_chunks: get(&self.in_chunks),
            read_again: get(&self.read_again),
            lost_field_expiries: get(&self.lost_field_expiries),
            evicted_keys: get(&self.evicted),
            compared: get(&self.compared),
            compare_failed: get(&self.compare_failed),
            repaired: get(&self.repaired),
            differences: Differences {
                missing: get(&self.missing),
                r#type: get(&self.wrong_type),
                value: get(&self.wrong_value),
                ttl: get(&self.wrong_ttl),
                extra: get(&self.extra),
            },
        }
    }

    /// Everything, as of now.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let marks = lock(&self.marks);
        let (phase, copied, verified) = (marks.phase, marks.copies, marks.compares);
        let (scanning, listening, comparing) = (
            marks.time_in(Phase::Scanning),
            marks.time_in(Phase::Listening),
            marks.time_in(Phase::Comparing),
        );
        drop(marks);
        Summary {
            phase,
            copied,
            verified,
            both: self.looked_both_ways(),
            counts: self.counts(),
            elapsed_seconds: self.started.elapsed().as_secs_f64(),
            scan_seconds: scanning.as_secs_f64(),
            listen_seconds: listening.as_secs_f64(),
            compare_seconds: comparing.as_secs_f64(),
            peak_memory_bytes: peak_memory(),
            cpu_seconds: cpu_time().as_secs_f64(),
            latency: self.latencies(),
            live: self.live.summary(),
            databases: self.databases(),
            failures: lock(&self.failures).clone(),
            different_keys: lock(&self.differences).clone(),
            notes: lock(&self.notes).clone(),
        }
    }
}

/// A panic elsewhere while a counter was locked takes nothing from what was counted.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
