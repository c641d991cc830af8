//! Hash slots of a cluster, and sets of them.

use std::fmt;

/// Number of hash slots of a Redis cluster.
pub const SLOTS: u16 = 16_384;

const WORDS: usize = SLOTS as usize / 64;

/// The key's hash slot, 0 to 16383: CRC16 (XMODEM) of its hash tag, or of the whole key where it has none.
///
/// The tag is what stands between the first `{` and the first `}` after it, unless that is nothing.
#[must_use]
pub fn slot(key: &[u8]) -> u16 {
    crc16::State::<crc16::XMODEM>::calculate(hash_tag(key)) % SLOTS
}

/// The part of the key that decides its slot.
fn hash_tag(key: &[u8]) -> &[u8] {
    let tag = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let after = key.get(open + 1..)?;
        let close = after.iter().position(|byte| *byte == b'}')?;
        after.get(..close)
    });
    tag.filter(|tag| !tag.is_empty()).unwrap_or(key)
}

/// A set of slots: a bit for each.
#[derive(Clone, PartialEq, Eq)]
pub struct SlotSet(Box<[u64; WORDS]>);

impl Default for SlotSet {
    fn default() -> Self {
        Self(Box::new([0; WORDS]))
    }
}

impl SlotSet {
    /// Every slot.
    #[must_use]
    pub fn all() -> Self {
        Self(Box::new([u64::MAX; WORDS]))
    }

    /// The slots within these inclusive ranges.
    #[must_use]
    pub fn of(ranges: &[(u16, u16)]) -> Self {
        let mut set = Self::default();
        for &(first, last) in ranges {
            for slot in first..=last {
                set.insert(slot);
            }
        }
        set
    }

    /// Adds a slot.
    pub fn insert(&mut self, slot: u16) {
        if let Some(word) = self.0.get_mut(usize::from(slot / 64)) {
            *word |= 1 << (slot % 64);
        }
    }

    /// Whether the slot is one of them.
    #[must_use]
    #[inline]
    pub fn contains(&self, slot: u16) -> bool {
        self.0
            .get(usize::from(slot / 64))
            .is_some_and(|word| word & (1 << (slot % 64)) != 0)
    }

    /// Adds all of another set.
    pub fn extend(&mut self, other: &Self) {
        for (word, more) in self.0.iter_mut().zip(other.0.iter()) {
            *word |= more;
        }
    }

    /// Keeps what another set has too.
    pub fn retain(&mut self, other: &Self) {
        for (word, kept) in self.0.iter_mut().zip(other.0.iter()) {
            *word &= kept;
        }
    }

    /// Takes out what another set has.
    pub fn remove(&mut self, other: &Self) {
        for (word, less) in self.0.iter_mut().zip(other.0.iter()) {
            *word &= !less;
        }
    }

    /// The slots as inclusive ranges, in their order and apart.
    #[must_use]
    pub fn ranges(&self) -> Vec<(u16, u16)> {
        let mut ranges: Vec<(u16, u16)> = Vec::new();
        for slot in self.iter() {
            match ranges.last_mut() {
                Some((_, last)) if *last + 1 == slot => *last = slot,
                _ => ranges.push((slot, slot)),
            }
        }
        ranges
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// Whether it is every slot.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.0.iter().all(|word| *word == u64::MAX)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    /// The slots, in their order.
    pub fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        (0..SLOTS).filter(|slot| self.contains(*slot))
    }
}

impl FromIterator<u16> for SlotSet {
    fn from_iter<I: IntoIterator<Item = u16>>(slots: I) -> Self {
        let mut set = Self::default();
        for slot in slots {
            set.insert(slot);
        }
        set
    }
}

impl fmt::Debug for SlotSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SlotSet({} slots)", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_cluster_keyslot() {
        for (key, expected) in [
            (&b""[..], 0),
            (b"123456789", 12_739),
            (b"foo", 12_182),
            (b"user:{1000}.following", slot(b"1000")),
            (b"foo{}{bar}", 8_363),
            (b"foo{{bar}}zap", slot(b"{bar")),
            (b"foo{bar}{zap}", slot(b"bar")),
            (
                b"}foo{bar",
                crc16::State::<crc16::XMODEM>::calculate(b"}foo{bar") % SLOTS,
            ),
        ] {
            assert_eq!(slot(key), expected, "{}", key.escape_ascii());
        }
    }

    #[test]
    fn sets_are_joined_and_cut() {
        let mut set = SlotSet::of(&[(0, 10), (63, 65)]);
        assert_eq!(
            (set.len(), set.contains(64), set.contains(11)),
            (14, true, false)
        );
        set.extend(&SlotSet::of(&[(16_383, 16_383)]));
        set.retain(&SlotSet::of(&[(10, 64), (16_000, 16_383)]));
        assert_eq!(set.iter().collect::<Vec<_>>(), [10, 63, 64, 16_383]);
        assert!(SlotSet::all().is_all() && SlotSet::default().is_empty());
        set.remove(&SlotSet::of(&[(60, 63)]));
        assert_eq!(set.ranges(), [(10, 10), (64, 64), (16_383, 16_383)]);
        assert_eq!(SlotSet::all().ranges(), [(0, 16_383)]);
        assert!(SlotSet::default().ranges().is_empty());
    }
}
