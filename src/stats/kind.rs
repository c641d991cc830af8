//! Keys and bytes by their types, counted a batch at a time.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::Stats;

/// The types that are counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Kind {
    /// A string.
    String,
    /// A hash.
    Hash,
    /// A list.
    List,
    /// A set.
    Set,
    /// A sorted set.
    Zset,
    /// A stream.
    Stream,
    /// A module's type, or one that is not known.
    #[default]
    Other,
}

impl Kind {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 7] = [
        Self::String,
        Self::Hash,
        Self::List,
        Self::Set,
        Self::Zset,
        Self::Stream,
        Self::Other,
    ];

    /// The type that TYPE calls this.
    #[must_use]
    pub fn of(name: &[u8]) -> Self {
        match name {
            b"string" => Self::String,
            b"hash" => Self::Hash,
            b"list" => Self::List,
            b"set" => Self::Set,
            b"zset" => Self::Zset,
            b"stream" => Self::Stream,
            _ => Self::Other,
        }
    }

    /// What TYPE calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Hash => "hash",
            Self::List => "list",
            Self::Set => "set",
            Self::Zset => "zset",
            Self::Stream => "stream",
            Self::Other => "other",
        }
    }
}

/// Keys and bytes of values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// Keys.
    pub keys: u64,
    /// Bytes of their values.
    pub bytes: u64,
}

/// Keys and bytes of each type.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally([Amount; Kind::ALL.len()]);

impl Tally {
    /// One key.
    #[must_use]
    pub fn of(kind: Kind, bytes: u64) -> Self {
        let mut tally = Self::default();
        tally.add(kind, bytes);
        tally
    }

    /// One more key.
    pub fn add(&mut self, kind: Kind, bytes: u64) {
        if let Some(amount) = self.0.get_mut(kind as usize) {
            amount.keys += 1;
            amount.bytes += bytes;
        }
    }

    /// Of all types together.
    #[must_use]
    pub fn total(&self) -> Amount {
        self.0.iter().fold(Amount::default(), |all, one| Amount {
            keys: all.keys + one.keys,
            bytes: all.bytes + one.bytes,
        })
    }

    /// Each type with what was counted of it.
    pub fn each(&self) -> impl Iterator<Item = (Kind, Amount)> {
        Kind::ALL.into_iter().zip(self.0)
    }
}

/// A tally that many add to.
#[derive(Debug, Default)]
pub(super) struct Tallies([(AtomicU64, AtomicU64); Kind::ALL.len()]);

impl Tallies {
    fn add(&self, tally: &Tally) {
        for ((keys, bytes), amount) in self.0.iter().zip(tally.0) {
            if amount.keys > 0 {
                keys.fetch_add(amount.keys, Relaxed);
                bytes.fetch_add(amount.bytes, Relaxed);
            }
        }
    }

    fn so_far(&self) -> Tally {
        let mut tally = Tally::default();
        for ((keys, bytes), amount) in self.0.iter().zip(&mut tally.0) {
            *amount = Amount {
                keys: keys.load(Relaxed),
                bytes: bytes.load(Relaxed),
            };
        }
        tally
    }
}

impl Stats {
    /// Values that came from the source.
    pub fn read(&self, values: &Tally) {
        self.read_bytes(values.total().bytes);
        self.read.add(values);
    }

    /// Keys written to the target.
    pub fn wrote(&self, keys: &Tally) {
        let Amount { keys: count, bytes } = keys.total();
        self.written(count);
        self.wrote_bytes(bytes);
        self.wrote.add(keys);
    }

    /// Values read so far, by type. One that was read twice counts twice.
    #[must_use]
    pub fn read_by_type(&self) -> Tally {
        self.read.so_far()
    }

    /// Keys written so far, by type. They are those of [`Counts::written`](super::Counts::written).
    #[must_use]
    pub fn written_by_type(&self) -> Tally {
        self.wrote.so_far()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_has_its_number_and_its_name() {
        for (number, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, number);
            assert_eq!(Kind::of(kind.name().as_bytes()), kind);
        }
    }

    #[test]
    fn what_is_counted_by_type_is_in_the_totals_too() {
        let stats = Stats::new(false);
        let mut tally = Tally::of(Kind::Hash, 10);
        tally.add(Kind::Hash, 5);
        tally.add(Kind::Other, 1);
        stats.read(&tally);
        stats.wrote(&tally);
        let counts = stats.counts();
        assert_eq!(
            (counts.written, counts.bytes_read, counts.bytes_written),
            (3, 16, 16)
        );
        assert_eq!(stats.written_by_type(), tally);
        assert_eq!(stats.read_by_type().total(), tally.total());
    }
}
