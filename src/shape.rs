//! What a key's name tells of its value: keys of one shape (the name without its digits) tend to be of one type and size.
//!
//! A guess that is wrong costs one more round trip, never a wrong copy.

use std::num::NonZeroU64;

use crate::entry::Key;

/// Shapes remembered; a new one takes the place of an old one with the same index.
const SHAPES: usize = 4096;
/// What a value of an unknown shape may weigh: a shape's first keys are read a few at a time.
const UNKNOWN: u32 = 128 * 1024;
/// The least that a value is taken for, with its key and its command.
const LEAST: u32 = 64;
/// Keys of shapes never seen that must have been learnt of before they are taken for alike.
const ENOUGH: u32 = 32;
/// Keys of a shape that must have been weighed, and light, before most of its others are read unweighed.
const WEIGHED: u32 = 256;
/// Of what is even, one key in so many is weighed nevertheless.
const SAMPLED: u64 = 32;
/// A shape is even while its keys weigh less than this part of what a key may weigh that is read at once: where sizes have a long
/// tail, keys of this weight come long before the first that is too heavy.
const LIGHT: u64 = 256;
/// Larger values go by DUMP nevertheless: many of them would be held at once.
const HELD: u32 = 64 * 1024;
/// Keys of a shape that must be alike before it is read by its type's commands.
const PLAIN: u8 = 8;
/// A payload is smaller than the memory that its key takes: by its compression, and by what is between the elements.
const PAYLOAD: u32 = 4;

#[derive(Debug, Clone, Copy, Default)]
struct Shape {
    hash: u64,
    seen: u32,
    largest: u32,
    text: bool,
    /// Keys that were weighed and found light.
    weighed: u32,
    /// One was not light.
    uneven: bool,
    /// Of its last keys, those that are few long values that DUMP does not compress: one that is not counts for two.
    plain: u8,
    /// And those whose payloads were not the same on both sides, which says nothing of their elements: another encoding has the same.
    unlike: u8,
}

impl Shape {
    fn learn(&mut self, text: bool, len: usize) {
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        self.seen = self.seen.saturating_add(1);
        self.text = text;
        // One giant among a million small keys is forgotten again, slowly.
        self.largest = len.max(self.largest - self.largest / 512);
    }

    fn guess(&self) -> Guess {
        Guess {
            text: self.text,
            bytes: self.largest.max(LEAST),
            known: true,
            even: self.weighed >= WEIGHED && !self.uneven,
            plain: self.plain >= PLAIN && self.largest < HELD,
            unlike: self.unlike >= PLAIN && self.largest < HELD,
        }
    }
}

/// What is expected of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one thing that is expected or not"
)]
pub struct Guess {
    /// A string.
    pub text: bool,
    /// Bytes of its value.
    pub bytes: u32,
    /// Keys like it were read before.
    pub known: bool,
    /// Keys like it are light, all that were seen: it need not be weighed.
    pub even: bool,
    /// Keys like it are few long values that DUMP does not compress.
    pub plain: bool,
    /// Payloads of keys like it tell nothing: each has to be compared by its type's commands.
    pub unlike: bool,
}

/// What was learnt of all shapes.
#[derive(Debug)]
pub struct Shapes {
    table: Vec<Shape>,
    strangers: Shape,
    /// Keys of unknown shapes that were asked for and answered.
    met: usize,
    /// Bytes of memory under which a key is light; 0: none is.
    light: u32,
}

impl Default for Shapes {
    fn default() -> Self {
        Self {
            table: vec![Shape::default(); SHAPES],
            strangers: Shape::default(),
            met: 0,
            light: 0,
        }
    }
}

impl Shapes {
    /// Shapes whose keys are weighed before they are read, as they are not to be read at once when they take more than `most` bytes.
    #[must_use]
    pub fn weighing(most: Option<NonZeroU64>) -> Self {
        let light = most.map_or(0, |most| most.get() / LIGHT);
        Self {
            light: u32::try_from(light).unwrap_or(u32::MAX),
            ..Self::default()
        }
    }

    /// What is expected of a key.
    #[must_use]
    pub fn guess(&self, key: &Key) -> Guess {
        let hash = shape_of(key);
        match self.table.get(index(hash)) {
            Some(known) if known.hash == hash && known.seen > 0 => known.guess(),
            _ if self.strangers.seen >= ENOUGH => {
                let guess = self.strangers.guess();
                Guess {
                    bytes: guess.bytes.saturating_mul(4),
                    even: false,
                    plain: false,
                    unlike: false,
                    ..guess
                }
            }
            _ => Guess {
                text: self.strangers.seen == 0 || self.strangers.text,
                bytes: UNKNOWN,
                known: false,
                even: false,
                plain: false,
                unlike: false,
            },
        }
    }

    /// How many keys of unknown shapes may be read at once: more with each that was met.
    #[must_use]
    pub fn strangers_at_once(&self) -> usize {
        self.met.max(2)
    }

    /// Whether nothing was read yet.
    #[must_use]
    pub fn knows_none(&self) -> bool {
        self.met == 0
    }

    /// So many keys of unknown shapes were answered, whatever they turned out to be.
    pub fn meet(&mut self, strangers: usize) {
        self.met = self.met.saturating_add(strangers);
    }

    /// A key turned out to be no string. Its size is not known yet.
    pub fn learn_no_text(&mut self, key: &Key) {
        let hash = shape_of(key);
        let Some(known) = self.table.get_mut(index(hash)) else {
            return;
        };
        if known.hash == hash {
            known.text = false;
        }
        self.strangers.text = false;
    }

    /// Whether a key is weighed although those like it are light.
    #[must_use]
    pub fn is_sampled(key: &Key) -> bool {
        key.road.is_multiple_of(SAMPLED)
    }

    /// What a key takes of memory.
    pub fn weigh(&mut self, key: &Key, bytes: u64) {
        let (hash, light) = (shape_of(key), u64::from(self.light));
        if let Some(known) = self.known(hash) {
            known.weighed = known.weighed.saturating_add(1);
            known.uneven |= bytes >= light;
        }
    }

    /// Whether a payload is larger than those of a shape that was taken for even, as it is no more: its key may be heavy.
    pub fn is_surprise(&mut self, key: &Key, payload: usize) -> bool {
        let (hash, light) = (shape_of(key), self.light);
        let large = payload >= usize::try_from(light / PAYLOAD).unwrap_or(usize::MAX);
        match self.known(hash) {
            Some(known) if large && !known.uneven => {
                known.uneven = true;
                known.weighed >= WEIGHED
            }
            _ => false,
        }
    }

    /// Whether a key that is no string turned out to be few long values that DUMP does not compress.
    pub fn learn_plain(&mut self, key: &Key, plain: bool) {
        let hash = shape_of(key);
        if let Some(known) = self.known(hash) {
            count(&mut known.plain, plain);
        }
    }

    /// Whether a key that is no string turned out to have other payloads on both sides.
    pub fn learn_unlike(&mut self, key: &Key, unlike: bool) {
        let hash = shape_of(key);
        if let Some(known) = self.known(hash) {
            count(&mut known.unlike, unlike);
        }
    }

    fn known(&mut self, hash: u64) -> Option<&mut Shape> {
        let known = self.table.get_mut(index(hash))?;
        (known.hash == hash && known.seen > 0).then_some(known)
    }

    /// What a key turned out to be.
    pub fn learn(&mut self, key: &Key, text: bool, len: usize) {
        let hash = shape_of(key);
        let Some(known) = self.table.get_mut(index(hash)) else {
            return;
        };
        if known.hash != hash || known.seen == 0 {
            *known = Shape {
                hash,
                ..Shape::default()
            };
            self.strangers.learn(text, len);
        }
        known.learn(text, len);
    }
}

/// One more is so, or one is not, which counts for two.
fn count(seen: &mut u8, is_so: bool) {
    *seen = if is_so {
        seen.saturating_add(1)
    } else {
        seen.saturating_sub(2)
    };
}

/// Looks at a key's name, once for all that is asked later.
pub fn look(key: &mut Key) {
    if key.shape == 0 {
        key.shape = shape(&key.name);
    }
}

fn shape_of(key: &Key) -> u64 {
    match key.shape {
        0 => shape(&key.name),
        known => known,
    }
}

fn index(hash: u64) -> usize {
    usize::try_from(hash >> 40).unwrap_or_default() % SHAPES
}

/// Hash of a name in which every run of digits counts as one.
fn shape(name: &[u8]) -> u64 {
    const MIX: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut hash = MIX;
    let mut digits = false;
    // A long name's tail is data: its head tells the shape.
    for byte in name.iter().take(64) {
        let digit = byte.is_ascii_digit();
        if !(digit && digits) {
            let byte = if digit { b'0' } else { *byte };
            hash = (hash.rotate_left(5) ^ u64::from(byte)).wrapping_mul(MIX);
        }
        digits = digit;
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &'static [u8]) -> Key {
        Key::new(name.into(), name)
    }

    #[test]
    fn keys_that_differ_in_digits_share_a_shape() {
        assert_eq!(shape(b"user:1:name"), shape(b"user:20394:name"));
        assert_ne!(shape(b"user:1:name"), shape(b"user:1:mail"));
    }

    #[test]
    fn a_shape_is_learnt_from_its_keys() {
        let mut shapes = Shapes::default();
        assert_eq!(
            shapes.guess(&key(b"h:1")),
            Guess {
                text: true,
                bytes: UNKNOWN,
                known: false,
                even: false,
                plain: false,
                unlike: false
            }
        );
        shapes.learn(&key(b"h:1"), false, 100);
        assert_eq!(
            shapes.guess(&key(b"h:2")),
            Guess {
                text: false,
                bytes: 100,
                known: true,
                even: false,
                plain: false,
                unlike: false
            }
        );
        assert_eq!(shapes.guess(&key(b"other:2")).bytes, UNKNOWN);
    }

    #[test]
    fn names_without_a_shape_are_taken_for_alike_after_a_while() {
        let mut shapes = Shapes::default();
        for number in 0..200u32 {
            let name: String = number
                .to_string()
                .chars()
                .map(|digit| char::from(b'a' + digit as u8 % 26))
                .collect();
            shapes.learn(&Key::new(name.clone().into(), name.as_bytes()), true, 100);
        }
        assert_eq!(
            shapes.guess(&key(b"zzz")),
            Guess {
                text: true,
                bytes: 400,
                known: true,
                even: false,
                plain: false,
                unlike: false
            }
        );
    }

    #[test]
    fn a_giant_is_forgotten_slowly() {
        let mut shapes = Shapes::default();
        shapes.learn(&key(b"k:1"), true, 1_000_000);
        shapes.learn(&key(b"k:2"), true, 10);
        assert!(shapes.guess(&key(b"k:3")).bytes > 900_000);
        for _ in 0..10_000 {
            shapes.learn(&key(b"k:4"), true, 10);
        }
        assert!(shapes.guess(&key(b"k:3")).bytes < 2_000);
    }

    const LARGEST: u64 = 16 << 20;

    fn weighed(count: u64) -> Shapes {
        let mut shapes = Shapes::weighing(NonZeroU64::new(LARGEST));
        for _ in 0..count {
            shapes.learn(&key(b"h:1"), false, 100);
            shapes.weigh(&key(b"h:1"), 200);
        }
        shapes
    }

    #[test]
    fn keys_of_a_shape_whose_keys_are_light_need_not_be_weighed() {
        assert!(!weighed(100).guess(&key(b"h:2")).even);
        let shapes = weighed(300);
        assert!(shapes.guess(&key(b"h:2")).even);
        assert!(!shapes.guess(&key(b"other:2")).even);
    }

    #[test]
    fn one_key_that_is_not_light_makes_its_shape_uneven_for_good() {
        let mut shapes = weighed(300);
        shapes.weigh(&key(b"h:7"), LARGEST / LIGHT);
        for _ in 0..1000 {
            shapes.weigh(&key(b"h:8"), 100);
        }
        assert!(!shapes.guess(&key(b"h:2")).even);
    }

    #[test]
    fn a_large_payload_of_an_even_shape_is_a_surprise_once() {
        let mut shapes = weighed(300);
        assert!(!shapes.is_surprise(&key(b"h:2"), 1000));
        assert!(shapes.is_surprise(&key(b"h:2"), 20_000));
        assert!(!shapes.is_surprise(&key(b"h:2"), 20_000));
        assert!(!shapes.guess(&key(b"h:2")).even);
        // Its keys were all weighed so far: there is nothing to be surprised by.
        assert!(!weighed(100).is_surprise(&key(b"h:2"), 20_000));
    }

    #[test]
    fn keys_of_few_long_values_are_plain_once_enough_of_them_are() {
        let mut shapes = weighed(1);
        for _ in 1..PLAIN {
            shapes.learn_plain(&key(b"h:1"), true);
        }
        assert!(!shapes.guess(&key(b"h:2")).plain);
        shapes.learn_plain(&key(b"h:1"), true);
        assert!(shapes.guess(&key(b"h:2")).plain);
        shapes.learn_plain(&key(b"h:3"), false);
        assert!(!shapes.guess(&key(b"h:2")).plain);
    }

    #[test]
    fn where_little_is_large_nothing_is_light() {
        let mut shapes = Shapes::weighing(NonZeroU64::new(10_000));
        for _ in 0..1000 {
            shapes.learn(&key(b"h:1"), false, 100);
            shapes.weigh(&key(b"h:1"), 200);
        }
        assert!(!shapes.guess(&key(b"h:2")).even);
    }
}
