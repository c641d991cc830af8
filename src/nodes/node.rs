//! One server of a side.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::wire::Link;

/// The number of no node.
pub(super) const NOBODY: usize = usize::MAX;

/// One server, for as long as the run lasts.
#[derive(Debug)]
pub struct Node {
    number: usize,
    link: Arc<Link>,
    replica_of: AtomicUsize,
    /// Microseconds.
    round_trip: AtomicU64,
    answers: AtomicBool,
    evicted_before: OnceLock<u64>,
}

impl Node {
    pub(super) fn new(number: usize, link: Arc<Link>) -> Self {
        Self {
            number,
            link,
            replica_of: AtomicUsize::new(NOBODY),
            round_trip: AtomicU64::new(0),
            answers: AtomicBool::new(true),
            evicted_before: OnceLock::new(),
        }
    }

    /// Its number among all nodes that were ever known.
    #[must_use]
    pub fn number(&self) -> usize {
        self.number
    }

    /// How it is connected to.
    #[must_use]
    pub fn link(&self) -> &Arc<Link> {
        &self.link
    }

    /// `host:port`.
    #[must_use]
    pub fn address(&self) -> String {
        self.link.endpoint().address.to_string()
    }

    /// What was measured: how long a PING takes; `None`: it does not answer.
    pub fn measured(&self, round_trip: Option<Duration>) {
        self.answers.store(round_trip.is_some(), Relaxed);
        let micros = round_trip.map_or(u64::MAX, |trip| {
            u64::try_from(trip.as_micros()).unwrap_or(u64::MAX)
        });
        self.round_trip.store(micros, Relaxed);
    }

    /// What it had evicted when it was looked at first.
    #[must_use]
    pub fn evicted_before(&self) -> Option<u64> {
        self.evicted_before.get().copied()
    }

    /// It has evicted so much by now: what counts is the first look.
    pub fn evicts_from(&self, evicted: u64) {
        self.evicted_before.get_or_init(|| evicted);
    }

    pub(super) fn answers(&self) -> bool {
        self.answers.load(Relaxed)
    }

    pub(super) fn round_trip(&self) -> u64 {
        self.round_trip.load(Relaxed)
    }

    pub(super) fn follows(&self, master: Option<usize>) {
        self.replica_of.store(master.unwrap_or(NOBODY), Relaxed);
    }

    pub(super) fn was_replica_of(&self) -> Option<usize> {
        Some(self.replica_of.load(Relaxed)).filter(|master| *master != NOBODY)
    }
}
