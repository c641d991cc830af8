//! Changed keys whose names found no room: their slots, and as long as there are not too many a hash of each name.

use std::collections::HashSet;

use foldhash::fast::FixedState;

use crate::slots::{SlotSet, slot};

/// Hashes that are kept: 18 MB at most.
const MOST_HASHES: usize = 1_000_000;

/// Changed keys by slot.
#[derive(Debug, Clone, Default)]
pub struct Overflow {
    slots: SlotSet,
    roads: HashSet<u64, FixedState>,
    keys: u64,
    doubtful: bool,
}

impl Overflow {
    /// A key of this name, and this road at the target, changed; `doubtful`: perhaps in another database.
    pub(super) fn add(&mut self, name: &[u8], road: u64, doubtful: bool) {
        self.doubtful |= doubtful;
        self.slots.insert(slot(name));
        if !self.roads.contains(&road) {
            self.keys += 1;
            if self.roads.len() < MOST_HASHES {
                self.roads.insert(road);
            }
        }
    }

    /// Keys that were added; one that came twice may count twice where there are more than a million.
    #[must_use]
    pub fn keys(&self) -> u64 {
        self.keys
    }

    /// Whether any of them may have been another database's.
    #[must_use]
    pub fn is_doubtful(&self) -> bool {
        self.doubtful
    }

    /// Hashes were left out: the slots alone tell what changed, and a deleted key cannot be told from one that only the
    /// target ever had.
    #[must_use]
    pub fn is_blind(&self) -> bool {
        self.keys > self.roads.len() as u64
    }

    /// Whether the key of this name and road may be one of them.
    #[must_use]
    pub fn may_hold(&self, name: &[u8], road: u64) -> bool {
        if !self.is_blind() {
            return self.roads.contains(&road);
        }
        self.slots.contains(slot(name))
    }

    /// The slots of those that were added.
    #[must_use]
    pub fn slots(&self) -> &SlotSet {
        &self.slots
    }
}
