//! One batch of keys as both sides hold it: a digest of each value, its expiry, and what the two amount to.

use xxhash_rust::xxh3::xxh3_128;

use crate::entry::{Key, Millis};
use crate::reading::Road;
use crate::reading::payload::{each_unordered, has_field_expiries, kind};

/// What one side holds under a key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Look {
    /// Not answered yet.
    #[default]
    Unseen,
    /// No such key.
    Gone,
    /// No string, or no such key.
    NoText,
    /// It could not be read like this: it is looked at by itself.
    Odd,
    /// A value.
    Held(Held),
}

/// A value, by its digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Held {
    /// A string as it is, and not a DUMP payload.
    pub(super) text: bool,
    /// 128 bits of xxh3 over the value, or over the payload without its version and checksum: of elements in no order the sum.
    digest: u128,
    /// RDB version of a payload.
    version: u16,
    /// Length of what was read.
    pub(super) len: usize,
    /// Expiry on this side's clock.
    pub(super) expiry: Option<Millis>,
    /// The payload holds expiries of fields, on this side's clock.
    pub(super) field_expiries: bool,
    /// It is of elements, whose number and memory are asked for before they are compared.
    pub(super) elements: bool,
}

impl Held {
    /// Looks at a string.
    pub(super) fn text(value: &[u8], expiry: Option<Millis>) -> Self {
        Self {
            text: true,
            digest: text_digest(value),
            version: 0,
            len: value.len(),
            expiry,
            field_expiries: false,
            elements: false,
        }
    }

    /// Looks at a DUMP payload.
    pub(super) fn payload(payload: &[u8], expiry: Option<Millis>) -> Self {
        // The last ten bytes are the version and a checksum of the whole.
        let body = payload.len().saturating_sub(10);
        let (body, tail) = payload.split_at(body);
        let version = match tail {
            [low, high, ..] => u16::from_le_bytes([*low, *high]),
            _ => 0,
        };
        Self {
            text: false,
            digest: payload_digest(body),
            version,
            len: payload.len(),
            expiry,
            field_expiries: has_field_expiries(payload),
            elements: kind(payload).is_some_and(|kind| kind != b"string" && kind != b"stream"),
        }
    }

    /// The same value, as far as bytes tell. Other bytes may still be the same value, in another encoding.
    pub(super) fn is_same_value(&self, other: &Self) -> bool {
        (self.text, self.digest, self.version, self.len)
            == (other.text, other.digest, other.version, other.len)
    }
}

/// PFCOUNT rewrites a `HyperLogLog`'s cached count, and nothing tells of it: bytes 8 to 15 are left out.
fn text_digest(value: &[u8]) -> u128 {
    match value.get(16..) {
        Some(rest) if value.starts_with(b"HYLL") => {
            let head = value.get(..8).unwrap_or_default();
            xxh3_128(&[head, rest].concat())
        }
        _ => xxh3_128(value),
    }
}

/// A hash table is dumped in an order that is each server's own: two that hold the same have the same elements.
fn payload_digest(body: &[u8]) -> u128 {
    let mut sum = u128::from(body.first().copied().unwrap_or_default());
    let unordered = each_unordered(body, |element| sum = sum.wrapping_add(xxh3_128(element)));
    match unordered {
        Some(()) => sum,
        None => xxh3_128(body),
    }
}

/// A batch that both sides were asked for.
#[derive(Debug)]
pub(super) struct Sheet {
    pub(super) keys: Vec<Key>,
    pub(super) road: Road,
    /// Its keys are of shapes that nothing is known of.
    pub(super) strange: bool,
    pub(super) source: Page,
    pub(super) target: Page,
}

/// What was told of a key before it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Inspected {
    /// Nothing: the server answered with an error.
    Unseen,
    /// MEMORY USAGE and TYPE, where they were asked for.
    Told(Option<u64>, Vec<u8>),
}

/// One side's part of a sheet.
#[derive(Debug, Default)]
pub(super) struct Page {
    /// By the keys' places; empty until all have come.
    pub(super) looks: Vec<Look>,
    /// By the keys' places, of a batch that is looked at before it is read.
    pub(super) inspected: Vec<Inspected>,
    pub(super) is_whole: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_of_one_body_and_version_are_the_same() {
        let payload = |body: &[u8], version: u8, checksum: u8| {
            Held::payload(&[body, &[version, 0], &[checksum; 8]].concat(), None)
        };
        let one = payload(b"\x04abc", 10, 1);
        assert!(one.is_same_value(&payload(b"\x04abc", 10, 2)));
        assert!(!one.is_same_value(&payload(b"\x04abd", 10, 1)));
        assert!(!one.is_same_value(&payload(b"\x04abc", 11, 1)));
    }

    #[test]
    fn the_order_of_a_hash_table_does_not_matter() {
        let held = |body: &[u8]| Held::payload(&[body, &[10, 0], &[7; 8]].concat(), None);
        let set = held(b"\x02\x02\x01a\x01b");
        assert!(set.is_same_value(&held(b"\x02\x02\x01b\x01a")));
        assert!(!set.is_same_value(&held(b"\x02\x02\x01b\x01c")));
        assert!(!set.is_same_value(&held(b"\x04\x01\x01a\x01b")));
        let list = held(b"\x01\x02\x01a\x01b");
        assert!(!list.is_same_value(&held(b"\x01\x02\x01b\x01a")));
    }

    #[test]
    fn a_hyperloglogs_cached_count_does_not_matter() {
        let log = |cache: u8, register: u8| {
            Held::text(
                &[b"HYLL\x01\0\0\0".as_slice(), &[cache; 8], &[register; 40]].concat(),
                None,
            )
        };
        assert!(log(1, 7).is_same_value(&log(2, 7)));
        assert!(!log(1, 7).is_same_value(&log(1, 8)));
        assert!(
            !Held::text(b"HYLX0123456789abc", None)
                .is_same_value(&Held::text(b"HYLX0123456799abc", None))
        );
    }
}
