//! What flows between stages: keys, and entries read for them.

use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

use bytes::Bytes;
use foldhash::fast::FixedState;

use crate::queue::{Lease, Weight};
use crate::transform::Rename;

/// Milliseconds since the epoch, on a server's clock.
pub type Millis = i64;

/// Why a key is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// A scan gave it.
    Scan,
    /// An event of the run's own database named it.
    Event,
    /// An event named it that may have been another database's.
    DoubtfulEvent,
    /// It is a stream whose turn it is.
    Turn,
}

/// Why a key is looked at, and since when, or of which page of a scan it is: eight bytes, for every key has one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mark(u64);

/// Where the cause lies in a mark.
const CAUSE: u32 = 62;

impl Mark {
    /// A mark of this cause, at a time since the run began.
    #[must_use]
    pub fn new(cause: Cause, at: Duration) -> Self {
        let micros = u64::try_from(at.as_micros()).unwrap_or(u64::MAX) & ((1 << CAUSE) - 1);
        let cause: u64 = match cause {
            Cause::Scan => 0,
            Cause::Event => 1,
            Cause::DoubtfulEvent => 2,
            Cause::Turn => 3,
        };
        Self(cause << CAUSE | micros)
    }

    /// Why the key is looked at.
    #[must_use]
    pub fn cause(self) -> Cause {
        match self.0 >> CAUSE {
            0 => Cause::Scan,
            1 => Cause::Event,
            2 => Cause::DoubtfulEvent,
            _ => Cause::Turn,
        }
    }

    /// When that was, since the run began.
    #[must_use]
    pub fn at(self) -> Duration {
        Duration::from_micros(self.0 & ((1 << CAUSE) - 1))
    }

    /// The mark of a key of this page of a scan whose place is kept: the number is that of [`Track`](crate::state::Track).
    #[must_use]
    pub fn of_page(page: u64) -> Self {
        Self(page & ((1 << CAUSE) - 1))
    }

    /// The page of a key that a scan gave; 0 where no place is kept.
    #[must_use]
    pub fn page(self) -> u64 {
        match self.cause() {
            Cause::Scan => self.0,
            Cause::Event | Cause::DoubtfulEvent | Cause::Turn => 0,
        }
    }

    /// The eight bytes.
    pub(crate) fn bits(self) -> u64 {
        self.0
    }

    /// The mark of these eight bytes.
    pub(crate) fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Whether an event named the key.
    #[must_use]
    pub fn is_event(self) -> bool {
        matches!(self.cause(), Cause::Event | Cause::DoubtfulEvent)
    }
}

/// A key, its bytes as the server has them, and the hash that picks its lanes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Key {
    /// The name; bytes, never text.
    pub name: Bytes,
    /// Hash of the name at the target: a key has one road through the lanes.
    pub road: u64,
    /// Why it is looked at.
    pub mark: Mark,
    /// Hash of the name's shape, once a lane has looked at it; before, 0.
    pub(crate) shape: u64,
}

impl Key {
    /// A key whose lanes are picked by `target`, its name at the target.
    #[must_use]
    pub fn new(name: Bytes, target: &[u8]) -> Self {
        let road = road(target);
        Self {
            name,
            road,
            ..Self::default()
        }
    }

    /// A key of the source, its road that of the name which `rename` gives it.
    #[must_use]
    pub fn at_source(name: Bytes, rename: &Rename) -> Self {
        Self {
            road: source_road(&name, rename),
            name,
            ..Self::default()
        }
    }
}

/// The road of a key of the source: that of its name at the target, where that does not depend on its type.
#[must_use]
pub fn source_road(name: &[u8], rename: &Rename) -> u64 {
    if rename.is_identity() || rename.needs_type() {
        road(name)
    } else {
        road(&rename.apply(name, None))
    }
}

/// The lane of `lanes` that a road takes.
#[must_use]
pub fn lane(road: u64, lanes: usize) -> usize {
    // The high half: the low bits index tables elsewhere.
    usize::try_from(road >> 32).unwrap_or_default() % lanes.max(1)
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
    /// Nothing that the run wants: the target's key is deleted where it is of a type that the run would have written.
    Unwanted,
    /// Nothing, but the key may have been another database's: the target's key is looked for, and left alone.
    Doubtful,
    /// A string.
    Text(Bytes),
    /// A DUMP payload.
    Payload(Bytes),
    /// Not read: it is copied by the commands of its type. Once it is, the bytes that were.
    ByType(u64),
}

/// A key with its value and expiry of one instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name at the target.
    pub key: Key,
    /// The name at the source, where that is another one.
    pub origin: Option<Box<Bytes>>,
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
            Value::Gone | Value::Unwanted | Value::Doubtful => 0,
            Value::Text(bytes) | Value::Payload(bytes) => bytes.len(),
            Value::ByType(bytes) => usize::try_from(*bytes).unwrap_or(usize::MAX),
        }
    }

    /// The name at the source.
    #[must_use]
    pub fn source_name(&self) -> &Bytes {
        self.origin.as_deref().unwrap_or(&self.key.name)
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
    fn a_mark_keeps_its_cause_and_its_time() {
        let at = Duration::from_micros(123_456_789);
        for cause in [Cause::Scan, Cause::Event, Cause::DoubtfulEvent, Cause::Turn] {
            let mark = Mark::new(cause, at);
            assert_eq!((mark.cause(), mark.at()), (cause, at));
        }
        assert_eq!(Mark::default().cause(), Cause::Scan);
        assert_eq!(Mark::default().page(), 0);
        assert_eq!(Mark::of_page(7).page(), 7);
        assert_eq!(Mark::of_page(7).cause(), Cause::Scan);
        assert_eq!(Mark::new(Cause::Event, at).page(), 0);
    }
}
