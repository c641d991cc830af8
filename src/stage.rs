//! The stages, and what they share: one stage a file, none imports another.

pub mod carry;
mod graves;
mod handover;
mod pipes;
pub mod read;
pub mod scan;
mod shared;
pub mod verify;
pub mod watch;
pub mod write;

pub use self::handover::{Handover, Load};
pub use self::pipes::Home;
pub use self::shared::Shared;

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use tracing::{error, info};

use crate::clock::Clocks;
use crate::config::{Carriage, Flow, Side, SkipLimit};
use crate::entry::{Cause, Entry, Key, Mark, Value};
use crate::error::RunError;
use crate::follow::Follow;
use crate::output::KEYS;
use crate::packing::Packing;
use crate::queue::{Budget, Queues};
use crate::signal::Stop;
use crate::state::Track;
use crate::stats::{Kind, SkipReason, Stats, Step, Tally};

/// What all stages of one run share.
#[derive(Debug)]
pub struct Context {
    /// Counters.
    pub stats: Arc<Stats>,
    /// Lanes, batches, retries.
    pub flow: Flow,
    /// Bytes of values.
    pub budget: Budget,
    /// The queues between the lanes.
    pub queues: Queues,
    /// Both servers' clocks.
    pub clocks: Clocks,
    /// The wish to stop.
    pub stop: Stop,
    /// What the lanes of a live run share.
    pub follow: Option<Arc<Follow>>,
    /// How far the snapshot is, where that is kept.
    pub track: Option<Arc<Track>>,
    source_lost: AtomicBool,
    target_lost: AtomicBool,
    failure: Mutex<Option<RunError>>,
    shared: Arc<Shared>,
    /// Payloads that the target refused before it took one.
    refused_payloads: AtomicU64,
    takes_payloads: AtomicBool,
    by_type: AtomicBool,
}

/// Payloads after which no more are tried, when all were refused.
const REFUSED: u64 = 100;

impl Context {
    /// A fresh run.
    #[must_use]
    pub fn new(stats: Arc<Stats>, flow: Flow, stop: Stop, follow: Option<Arc<Follow>>) -> Self {
        let shared = Arc::new(Shared::new(&flow));
        let by_type = AtomicBool::new(flow.carriage == Carriage::Struct);
        Self {
            stats,
            flow,
            budget: shared.budget.clone(),
            queues: Queues::default(),
            clocks: Clocks::default(),
            stop,
            follow,
            track: None,
            source_lost: AtomicBool::new(false),
            target_lost: AtomicBool::new(false),
            failure: Mutex::new(None),
            shared,
            refused_payloads: AtomicU64::new(0),
            takes_payloads: AtomicBool::new(false),
            by_type,
        }
    }

    /// In which form strings are read.
    #[must_use]
    pub fn packing(&self) -> &Arc<Packing> {
        &self.shared.packing
    }

    /// The run has several databases, which share this.
    #[must_use]
    pub fn sharing(mut self, shared: Option<Arc<Shared>>) -> Self {
        if let Some(shared) = shared {
            self.budget = shared.budget.clone();
            self.shared = shared;
        }
        self
    }

    /// How far the snapshot is is kept there.
    #[must_use]
    pub fn tracked_by(mut self, track: Option<Arc<Track>>) -> Self {
        self.track = track;
        self
    }

    /// A side is lost for good: no key is taken in any more, and what needs that side fails without another try.
    pub fn give_up(&self, failure: RunError) {
        if let RunError::Unusable { side, .. } = &failure {
            self.lost(*side).store(true, Ordering::Relaxed);
        }
        self.stop.drain();
        self.failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(failure);
    }

    /// Whether a side was given up.
    #[must_use]
    pub fn is_lost(&self, side: Side) -> bool {
        self.lost(side).load(Ordering::Relaxed)
    }

    fn lost(&self, side: Side) -> &AtomicBool {
        match side {
            Side::Source => &self.source_lost,
            Side::Target => &self.target_lost,
        }
    }

    /// Whether more keys failed than `--skip` allows.
    #[must_use]
    pub fn is_over_limit(&self) -> bool {
        self.shared.is_over_limit()
    }

    /// Whether a side was given up, or more keys failed than `--skip` allows.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.is_over_limit()
            || self
                .failure
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .is_some()
    }

    /// What ended the run early, if anything did.
    #[must_use]
    pub fn take_failure(&self) -> Option<RunError> {
        self.failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// What becomes of the target's key when the source has none; `others`: other databases of the source have keys.
    fn absence(&self, source: &[u8], key: &Key, others: bool) -> Value {
        let Some(follow) = &self.follow else {
            return Value::Gone;
        };
        follow.streams.forget(source);
        if others {
            follow.other_databases();
        }
        match key.mark.cause() {
            Cause::DoubtfulEvent if others || follow.has_other_databases() => Value::Doubtful,
            // An event tells nothing of the type that the key had.
            Cause::Event | Cause::DoubtfulEvent if !follow.wants_all() => Value::Unwanted,
            Cause::Scan | Cause::Event | Cause::DoubtfulEvent | Cause::Turn => Value::Gone,
        }
    }

    /// Whether what is no string is copied by the commands of its type, without another try.
    #[must_use]
    pub fn copies_by_type(&self) -> bool {
        self.by_type.load(Ordering::Relaxed)
    }

    /// Whether a key goes by the commands of its type where that is cheaper.
    #[must_use]
    pub fn takes_plainly(&self) -> bool {
        self.shared.plainly.load(Ordering::Relaxed)
    }

    /// Keys go by the commands of their types where that is cheaper, from now on.
    pub fn take_plainly(&self) {
        self.shared.plainly.store(true, Ordering::Relaxed);
    }

    /// What is no string is copied by the commands of its type from now on.
    pub fn copy_by_type(&self) {
        self.by_type.store(true, Ordering::Relaxed);
    }

    /// The target refused a payload. When it has refused all so far, no more are tried.
    fn payload_refused(&self, why: &str) {
        self.stats.payload_refused(1);
        let refused = self.refused_payloads.fetch_add(1, Ordering::Relaxed) + 1;
        if refused == REFUSED && !self.takes_payloads.load(Ordering::Relaxed) {
            self.copy_by_type();
            let line = format!(
                "the target refuses the source's payloads ({why}): what is no string is copied by the commands of its type"
            );
            info!("{line}");
            self.stats.note(line);
        }
    }

    /// Entries that the target has, or that newer ones stand for.
    fn succeed(&self, entries: &[Entry]) {
        self.succeed_as(Kind::Other, entries);
    }

    /// The same; `kind` is the type of what was copied by the commands of its type.
    fn succeed_as(&self, kind: Kind, entries: &[Entry]) {
        if let Some(follow) = &self.follow {
            follow.written(&self.stats.live, entries);
        }
        let mut tally = Tally::default();
        let mut deleted = 0;
        for entry in entries {
            let kind = match &entry.value {
                Value::Gone => {
                    deleted += 1;
                    continue;
                }
                Value::Text(_) => Kind::String,
                Value::Payload(payload) => Kind::of_payload(payload),
                Value::ByType(_) => kind,
                Value::Unwanted | Value::Doubtful => Kind::Other,
            };
            tally.add(kind, entry.value_len() as u64);
        }
        self.stats.wrote(&tally);
        self.stats.deleted(deleted);
        if let Some(track) = &self.track {
            track.settle(entries.iter().map(|entry| entry.key.mark));
        }
        if !self.takes_payloads.load(Ordering::Relaxed)
            && entries
                .iter()
                .any(|entry| matches!(entry.value, Value::Payload(_)))
        {
            self.takes_payloads.store(true, Ordering::Relaxed);
        }
        if self.flow.log_keys {
            for entry in entries {
                info!(target: KEYS, "written {}", self.stats.named(&entry.key.name));
            }
        }
    }

    /// A key that is left out.
    fn skip(&self, reason: SkipReason, key: &Key) {
        self.stats.skipped(reason, 1);
        self.ended(key.mark);
    }

    /// A key of this mark is neither written nor deleted.
    fn ended(&self, mark: Mark) {
        self.left_flight(mark);
        if let Some(track) = &self.track {
            track.settle([mark]);
        }
    }

    /// A live run waits no longer for a change of this mark.
    fn left_flight(&self, mark: Mark) {
        if let Some(follow) = &self.follow {
            follow.flight.ended(std::iter::once(mark));
        }
    }

    /// A key of the source failed for good before it had a name at the target.
    fn fail(&self, side: Side, key: &Key, message: &str) {
        self.fail_as(side, &key.name, (&key.name, key.mark), message);
    }

    /// An entry failed for good: it is named as that side calls it.
    fn fail_entry(&self, side: Side, entry: &Entry, message: &str) {
        let source = entry.source_name();
        let name = match side {
            Side::Source => source,
            Side::Target => &entry.key.name,
        };
        self.fail_as(side, name, (source, entry.key.mark), message);
    }

    /// A key failed for good: counted, named, and held against `--skip`.
    fn fail_as(&self, side: Side, key: &[u8], (source, mark): (&Bytes, Mark), message: &str) {
        let (step, failures, limit) = match side {
            Side::Source => (Step::Read, &self.shared.read_failures, self.flow.read_skip),
            Side::Target => (
                Step::Write,
                &self.shared.write_failures,
                self.flow.write_skip,
            ),
        };
        self.stats.failed(step, key, message);
        self.left_flight(mark);
        if self.is_lost(side) {
            // One line told why; a line for each of ten thousand keys would bury it.
            info!("not copied: {}: {message}", self.stats.named(key));
            return;
        }
        if let Some(track) = &self.track {
            track.failed(source, mark);
        }
        error!("not copied: {}: {message}", self.stats.named(key));
        let failed = failures.fetch_add(1, Ordering::Relaxed) + 1;
        if let SkipLimit::Keys(limit) = limit
            && failed > limit
            && !self.shared.over_limit.swap(true, Ordering::Relaxed)
        {
            error!(
                "{failed} keys failed, more than --skip allows: what is in flight drains, then the run ends"
            );
            self.stop.drain();
        }
    }
}
