//! What all databases of one run share: its memory, its pace, and how many of its keys may fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::config::Flow;
use crate::packing::Packing;
use crate::queue::Budget;

/// Shared by the databases of one run.
#[derive(Debug)]
pub struct Shared {
    /// Bytes of values (`--mem-budget`).
    pub(super) budget: Budget,
    /// Until when the keys that were taken in are paid for (`--rate`).
    pub(super) paid_until: Arc<Mutex<Option<Instant>>>,
    /// In which form strings are read.
    pub packing: Arc<Packing>,
    /// Keys go by the commands of their types where that is cheaper.
    pub(super) plainly: AtomicBool,
    pub(super) read_failures: AtomicU64,
    pub(super) write_failures: AtomicU64,
    pub(super) over_limit: AtomicBool,
}

impl Shared {
    /// Nothing is spent yet.
    #[must_use]
    pub fn new(flow: &Flow) -> Self {
        Self {
            budget: Budget::new(flow.memory_budget),
            paid_until: Arc::default(),
            packing: Arc::default(),
            plainly: AtomicBool::new(false),
            read_failures: AtomicU64::new(0),
            write_failures: AtomicU64::new(0),
            over_limit: AtomicBool::new(false),
        }
    }

    /// Whether more keys failed than `--skip` allows.
    #[must_use]
    pub fn is_over_limit(&self) -> bool {
        self.over_limit.load(Ordering::Relaxed)
    }
}
