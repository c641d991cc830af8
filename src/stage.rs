//! The stages, and what they share: one stage a file, none imports another.

mod pipes;
pub mod read;
pub mod scan;
pub mod verify;
pub mod watch;
pub mod write;

pub use self::pipes::Home;

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tracing::{error, info};

use crate::clock::Clocks;
use crate::config::{Flow, Side, SkipLimit};
use crate::error::RunError;
use crate::follow::Follow;
use crate::queue::Budget;
use crate::signal::Stop;
use crate::stats::{Stats, Step};
use crate::text::printable;

/// What all stages of one run share.
#[derive(Debug)]
pub struct Context {
    /// Counters.
    pub stats: Arc<Stats>,
    /// Lanes, batches, retries.
    pub flow: Flow,
    /// Bytes of values.
    pub budget: Budget,
    /// Both servers' clocks.
    pub clocks: Clocks,
    /// The wish to stop.
    pub stop: Stop,
    /// What the lanes of a live run share.
    pub follow: Option<Arc<Follow>>,
    source_lost: AtomicBool,
    target_lost: AtomicBool,
    failure: Mutex<Option<RunError>>,
    read_failures: AtomicU64,
    write_failures: AtomicU64,
    over_limit: AtomicBool,
}

impl Context {
    /// A fresh run.
    #[must_use]
    pub fn new(stats: Arc<Stats>, flow: Flow, stop: Stop, follow: Option<Arc<Follow>>) -> Self {
        let budget = Budget::new(flow.memory_budget);
        Self {
            stats,
            flow,
            budget,
            clocks: Clocks::default(),
            stop,
            follow,
            source_lost: AtomicBool::new(false),
            target_lost: AtomicBool::new(false),
            failure: Mutex::new(None),
            read_failures: AtomicU64::new(0),
            write_failures: AtomicU64::new(0),
            over_limit: AtomicBool::new(false),
        }
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
        self.over_limit.load(Ordering::Relaxed)
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

    /// A key failed for good: counted, named, and held against `--skip`.
    pub fn fail(&self, side: Side, key: &[u8], message: &str) {
        let (step, failures, limit) = match side {
            Side::Source => (Step::Read, &self.read_failures, self.flow.read_skip),
            Side::Target => (Step::Write, &self.write_failures, self.flow.write_skip),
        };
        self.stats.failed(step, key, message);
        if self.is_lost(side) {
            // One line told why; a line for each of ten thousand keys would bury it.
            info!("not copied: {}: {message}", printable(key));
            return;
        }
        error!("not copied: {}: {message}", printable(key));
        let failed = failures.fetch_add(1, Ordering::Relaxed) + 1;
        if let SkipLimit::Keys(limit) = limit
            && failed > limit
            && !self.over_limit.swap(true, Ordering::Relaxed)
        {
            error!(
                "{failed} keys failed, more than --skip allows: what is in flight drains, then the run ends"
            );
            self.stop.drain();
        }
    }
}
