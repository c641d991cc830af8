//! What flows between stages: keys, and entries read for them.

use std::hash::{BuildHasher, Hasher};

use bytes::Bytes;
use foldhash::fast::FixedState;

use crate::queue::{Lease, Weight};

/// Milliseconds since the epoch, on a server's clock.
pub type Millis = i64;

/// A key, its bytes as the server has them, and the hash that picks its lanes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Key {
    /// The name; bytes, never text.
    pub name: Bytes,
    /// Hash of the name at the target: a key has one road through the lanes.
    pub road: u64,
}

impl Key {
    /// A key whose lanes are picked by `target`, its name at the target.
    #[must_use]
    pub fn new(name: Bytes, target: &[u8]) -> Self {
        let road = road(target);
        Self { name, road }
    }

    /// The lane of `lanes` that this key takes.
    #[must_use]
    pub fn lane(&self, lanes: usize) -> usize {
        // The high half: the low bits index tables elsewhere.
        usize::try_from(self.road >> 32).unwrap_or_default() % lanes.max(1)
    }
}

/// The hash that picks lanes.
#[must_use]
pub fn road(name: &[u8]) -> u64 {
    let mut hasher = FixedState::with_seed(0x72_69_6f_74).build_hasher();
    hasher.write(name);
    hasher.finish()
}

/// What the source holds under a key, as the target is to be given it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Nothing: the target's key is deleted.
    Gone,
    /// A string.
    Text(Bytes),
    /// A DUMP payload.
    Payload(Bytes),
}

/// A key with its value and expiry of one instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name at the target.
    pub key: Key,
    /// The value.
    pub value: Value,
    /// Expiry on the source's clock; `None` is none.
    pub expiry: Option<Millis>,
}

/// What an entry costs beside its bytes: its place in vectors, and its share of buffers.
const OVERHEAD: usize = 128;

impl Entry {
    /// Bytes of the value.
    #[must_use]
    pub fn value_len(&self) -> usize {
        match &self.value {
            Value::Gone => 0,
            Value::Text(bytes) | Value::Payload(bytes) => bytes.len(),
        }
    }

    /// Bytes of memory that the entry holds, for the budget.
    #[must_use]
    pub fn cost(&self) -> usize {
        self.value_len() + self.key.name.len() + OVERHEAD
    }
}

/// Entries of one write lane, in the order in which the source was read.
#[derive(Debug, Default)]
pub struct Parcel {
    /// The entries.
    pub entries: Vec<Entry>,
    /// What they cost together.
    pub bytes: usize,
    /// What they hold of the budget, given back when their fate is known.
    pub lease: Lease,
}

impl Weight for Parcel {
    fn keys(&self) -> usize {
        self.entries.len()
    }

    fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_always_takes_the_same_lane() {
        for lanes in 1..9 {
            for number in 0..100 {
                let name = Bytes::from(format!("key:{number}"));
                let lane = Key::new(name.clone(), &name).lane(lanes);
                assert!(lane < lanes);
                assert_eq!(lane, Key::new(name.clone(), &name).lane(lanes));
            }
        }
    }
}
