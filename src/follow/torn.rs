//! Slots in which changes may have been missed, until they are scanned again.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::slots::SlotSet;
use crate::stats;

/// The slots of all gaps that no scan has closed.
#[derive(Debug, Default)]
pub struct Torn(Mutex<SlotSet>);

impl Torn {
    fn lock(&self) -> MutexGuard<'_, SlotSet> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes in these slots may have been missed.
    pub fn open(&self, stats: &stats::Live, cause: &str, slots: &SlotSet) {
        let mut torn = self.lock();
        stats.gap(cause);
        torn.extend(slots);
    }

    /// What is to be scanned again, and how many gaps that closes.
    #[must_use]
    pub fn take(&self, stats: &stats::Live) -> (SlotSet, u64) {
        let mut torn = self.lock();
        (std::mem::take(&mut *torn), stats.gaps())
    }

    /// A scan of these slots did not come to its end.
    pub fn put_back(&self, slots: &SlotSet) {
        self.lock().extend(slots);
    }

    /// Whether all of these are to be scanned again already.
    #[must_use]
    pub fn covers(&self, slots: &SlotSet) -> bool {
        let torn = self.lock();
        slots.iter().all(|slot| torn.contains(slot))
    }
}
