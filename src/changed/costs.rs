//! Keys that cost much when they were copied last: they rest before they are copied again.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::entry::Key;

/// A key that costs much rests nine times as long as it took: it takes a tenth of the link at most.
const REST: u32 = 9;
/// A costly key that was read and not yet written rests for this long at least.
pub(super) const UNTIL_WRITTEN: Duration = Duration::from_secs(60);
/// Costly keys that are remembered before those that have rested are forgotten.
const MOST: usize = 10_000;

#[derive(Debug, Clone, Copy)]
struct Cost {
    spent: Duration,
    until: Instant,
}

/// Costly keys, by their road.
#[derive(Debug, Default)]
pub(super) struct Costs {
    known: Mutex<HashMap<u64, Cost>>,
    /// How many are known: mostly none, and then nobody waits for the lock.
    len: AtomicUsize,
}

impl Costs {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Cost>> {
        // A panic while the lock was held leaves plain data that is whole between any two statements.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_empty(&self) -> bool {
        self.len.load(Relaxed) == 0
    }

    /// A key turned out to cost little. `true`: it was thought to cost much.
    pub(super) fn forget(&self, road: u64) -> bool {
        if self.is_empty() {
            return false;
        }
        let mut known = self.lock();
        let found = known.remove(&road).is_some();
        self.len.store(known.len(), Relaxed);
        found
    }

    /// A key took so long, and rests for `least` at least.
    pub(super) fn spend(&self, road: u64, took: Duration, least: Duration) {
        let now = Instant::now();
        let mut known = self.lock();
        if known.len() >= MOST {
            known.retain(|_, cost| cost.until > now);
        }
        let cost = known.entry(road).or_insert(Cost {
            spent: Duration::ZERO,
            until: now,
        });
        let before = if least.is_zero() {
            cost.spent
        } else {
            Duration::ZERO
        };
        cost.spent = before + took;
        cost.until = now + (cost.spent * REST).max(least);
        self.len.store(known.len(), Relaxed);
    }

    /// What cost much last time is not taken again before it is written.
    pub(super) fn hold(&self, taken: &[Key]) {
        if self.is_empty() {
            return;
        }
        let mut known = self.lock();
        for key in taken {
            if let Some(cost) = known.get_mut(&key.road) {
                cost.until = Instant::now() + UNTIL_WRITTEN;
            }
        }
    }

    /// Until when a key rests; `None`: it does not.
    pub(super) fn rests_until(&self, road: u64) -> Option<Instant> {
        if self.is_empty() {
            return None;
        }
        self.lock().get(&road).map(|cost| cost.until)
    }

    /// Whether a key rests now.
    pub(super) fn must_rest(&self, road: u64) -> bool {
        self.rests_until(road)
            .is_some_and(|until| until > Instant::now())
    }
}
