//! A vector as a server keeps it, and one that a server keeps so when it is added.
//!
//! What is added is divided by its norm (the root of its squares' sum), which is kept beside, and then quantized: as it is,
//! in 8 bits (255 steps from minus to plus its largest component, the range), or by its signs alone.

use bytes::Bytes;

use crate::types::ask::{array, bytes};
use crate::wire::Reply;

/// Largest difference of two components, norms or ranges that counts as none, as a part of the larger.
///
/// A copy's norm is computed anew, in 32 bits and in the order that the server likes: measured up to 32,768 components it is
/// off by two millionths at most.
const TOLERANCE: f32 = 1e-5;
/// Steps of 8 bits on either side of zero.
const STEPS: u8 = 127;
/// How far from the middle of a step a component can be: a server rounds from a half on.
const CELL: f64 = 0.4999;
/// Halvings in search of a norm: what is left is below what 32 bits tell.
const HALVINGS: u32 = 48;

/// How vectors are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quantization {
    None,
    Eight,
    Binary,
}

impl Quantization {
    /// As VINFO and VEMB RAW have it.
    pub(super) fn of(name: &[u8]) -> Option<Self> {
        match name {
            b"f32" | b"fp32" => Some(Self::None),
            b"int8" | b"q8" => Some(Self::Eight),
            b"bin" => Some(Self::Binary),
            _ => None,
        }
    }

    /// VADD's word for it.
    pub(super) fn word(self) -> &'static [u8] {
        match self {
            Self::None => b"NOQUANT",
            Self::Eight => b"Q8",
            Self::Binary => b"BIN",
        }
    }
}

/// What VEMB RAW tells.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Raw {
    quantization: Quantization,
    blob: Bytes,
    norm: f32,
    /// The largest component: of 8 bits alone.
    range: f32,
}

impl Raw {
    /// VEMB's answer with RAW.
    pub(super) fn of(reply: Reply) -> Option<Self> {
        let mut parts = array(reply)?.into_iter();
        let quantization = Quantization::of(&bytes(parts.next()?)?)?;
        let blob = bytes(parts.next()?)?;
        let norm = single(parts.next()?)?;
        let range = match quantization {
            Quantization::Eight => single(parts.next()?)?,
            Quantization::None | Quantization::Binary => 0.0,
        };
        Some(Self {
            quantization,
            blob,
            norm,
            range,
        })
    }

    /// Whether both are the same but for what the server's arithmetic makes of a copy.
    pub(super) fn is_near(&self, other: &Self) -> bool {
        self.quantization == other.quantization
            && near(self.norm, other.norm)
            && near(self.range, other.range)
            && (self.blob == other.blob
                || (self.quantization == Quantization::None
                    && self.blob.len() == other.blob.len()
                    && components(&self.blob)
                        .zip(components(&other.blob))
                        .all(|(one, other)| near(one, other))))
    }

    /// A vector of which a server keeps the same. `None` where the bytes are not of so many components.
    pub(super) fn vector(&self, dimensions: usize) -> Option<Vec<f32>> {
        let len = match self.quantization {
            Quantization::None => dimensions.checked_mul(size_of::<f32>())?,
            Quantization::Eight => dimensions,
            Quantization::Binary => dimensions.div_ceil(64) * size_of::<u64>(),
        };
        if self.blob.len() != len {
            return None;
        }
        if self.norm.is_infinite() {
            // Its squares were beyond 32 bits, and nothing is left of it: nothing is left of this one, either.
            return Some(vec![f32::MAX; dimensions]);
        }
        Some(match self.quantization {
            Quantization::None => {
                let parts = components(&self.blob);
                parts.map(|part| part * self.norm).collect()
            }
            Quantization::Eight => self.of_steps(),
            Quantization::Binary => self.of_signs(dimensions),
        })
    }

    /// The middles of the steps make a vector that is a little longer or shorter than the one that was added, so that the
    /// norm, and with it the range, would not be the same again. So all but the largest component are moved outwards or
    /// inwards, alike, within their steps, until the norm is right: the vector that was added was one of these.
    fn of_steps(&self) -> Vec<f32> {
        let steps: Vec<i8> = self.blob.iter().map(|byte| byte.cast_signed()).collect();
        let largest = steps.iter().map(|step| step.unsigned_abs()).max();
        let largest = largest.unwrap_or_default();
        let first = steps
            .iter()
            .position(|step| step.unsigned_abs() == largest)
            .unwrap_or_default();
        let mut counts = [0_u32; 129];
        for step in &steps {
            if let Some(count) = counts.get_mut(usize::from(step.unsigned_abs())) {
                *count += 1;
            }
        }
        let unit = f64::from(self.range) / f64::from(STEPS);
        let moved = |step: u8, by: f64| (f64::from(step) + by).clamp(0.0, f64::from(STEPS));
        let square = |step: f64| (step * unit).powi(2);
        let norm = |by: f64| {
            let all = (0..=u8::MAX).zip(counts);
            let sum: f64 = all
                .map(|(step, count)| f64::from(count) * square(moved(step, by)))
                .sum();
            // The largest component stays where it is.
            sum - square(moved(largest, by)) + square(f64::from(largest))
        };
        let (mut inwards, mut outwards) = (-CELL, CELL);
        for _ in 0..HALVINGS {
            let middle = f64::midpoint(inwards, outwards);
            if norm(middle) < 1.0 {
                inwards = middle;
            } else {
                outwards = middle;
            }
        }
        let vector = steps.iter().enumerate().map(|(place, step)| {
            let size = step.unsigned_abs();
            let size = if place == first {
                f64::from(size)
            } else {
                moved(size, inwards)
            };
            let sign = if *step < 0 { -1.0 } else { 1.0 };
            to_single(sign * size * unit * f64::from(self.norm))
        });
        vector.collect()
    }

    /// One component has the norm; of the others no more than the sign is seen. In a sum of equal squares errors would add up.
    fn of_signs(&self, dimensions: usize) -> Vec<f32> {
        let bits = self
            .blob
            .iter()
            .flat_map(|byte| (0..8).map(move |bit| (byte >> bit) & 1 == 1));
        let sizes = std::iter::once(self.norm).chain(std::iter::repeat(self.norm * 1e-6));
        let vector = bits
            .zip(sizes)
            .map(|(positive, size)| if positive { size } else { -size });
        vector.take(dimensions).collect()
    }
}

/// A blob's numbers.
fn components(blob: &[u8]) -> impl Iterator<Item = f32> {
    let parts = blob.chunks_exact(size_of::<f32>());
    parts.filter_map(|part| Some(f32::from_le_bytes(part.try_into().ok()?)))
}

#[expect(clippy::float_cmp, reason = "what is the same is near, infinities too")]
fn near(one: f32, other: f32) -> bool {
    let larger = one.abs().max(other.abs()).max(f32::MIN_POSITIVE);
    one == other || (one - other).abs() <= TOLERANCE * larger
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the nearest of 32 bits is what is wanted"
)]
fn to_single(number: f64) -> f32 {
    number as f32
}

/// A number's text; RESP3's doubles come as theirs.
fn single(reply: Reply) -> Option<f32> {
    let text = match reply {
        Reply::Integer(number) => return number.to_string().parse().ok(),
        reply => bytes(reply)?,
    };
    std::str::from_utf8(&text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a server keeps of a vector.
    fn keep(quantization: Quantization, vector: &[f32]) -> Raw {
        let norm = vector.iter().map(|part| part * part).sum::<f32>().sqrt();
        let norm = if norm == 0.0 { 1.0 } else { norm };
        let unit: Vec<f32> = vector.iter().map(|part| part / norm).collect();
        let range = unit
            .iter()
            .fold(0.0, |range: f32, part| range.max(part.abs()));
        #[expect(clippy::cast_possible_truncation, reason = "127 at most")]
        let step = |part: &f32| (part / range * f32::from(STEPS)).round() as i8;
        let blob: Vec<u8> = match quantization {
            Quantization::None => unit.iter().flat_map(|part| part.to_le_bytes()).collect(),
            Quantization::Eight => unit.iter().map(|part| step(part).cast_unsigned()).collect(),
            Quantization::Binary => {
                let mut words = vec![0_u64; vector.len().div_ceil(64)];
                for (place, part) in unit.iter().enumerate() {
                    words[place / 64] |= u64::from(*part > 0.0) << (place % 64);
                }
                words.iter().flat_map(|word| word.to_le_bytes()).collect()
            }
        };
        Raw {
            quantization,
            blob: blob.into(),
            norm,
            range: if quantization == Quantization::Eight {
                range
            } else {
                0.0
            },
        }
    }

    fn assert_kept(quantization: Quantization, vector: &[f32]) {
        let raw = keep(quantization, vector);
        let again = keep(quantization, &raw.vector(vector.len()).unwrap());
        assert!(raw.is_near(&again), "{raw:?} became {again:?}");
    }

    proptest! {
        #[test]
        fn a_copy_of_a_vector_is_kept_as_the_vector_is(
            vector in prop::collection::vec(-1.0..1.0_f32, 1..200),
            scale in -12..12_i32,
        ) {
            let scale = 10_f32.powi(scale);
            let vector: Vec<f32> = vector.iter().map(|part| part * scale).collect();
            for quantization in [Quantization::None, Quantization::Eight, Quantization::Binary] {
                assert_kept(quantization, &vector);
            }
        }
    }

    #[test]
    fn vectors_that_have_no_direction() {
        for quantization in [
            Quantization::None,
            Quantization::Eight,
            Quantization::Binary,
        ] {
            assert_kept(quantization, &[0.0, 0.0, -0.0]);
            assert_kept(quantization, &[1e30, -1e30]);
            assert_kept(quantization, &[1e-30, 1e-30]);
            assert_kept(quantization, &[-3.0]);
        }
    }

    #[test]
    fn answers_that_make_no_sense_are_none() {
        let word = |text: &'static [u8]| Reply::Bytes(Bytes::from_static(text));
        let eight = |blob| Reply::Array(vec![word(b"int8"), word(blob), word(b"2"), word(b"0.5")]);
        let raw = Raw::of(eight(b"\x7f\x81")).unwrap();
        assert_eq!((raw.norm, raw.range), (2.0, 0.5));
        assert_eq!(raw.vector(3), None);
        assert_eq!(Raw::of(Reply::Array(vec![word(b"int8"), word(b"x")])), None);
        assert_eq!(Raw::of(word(b"int8")), None);
    }

    #[test]
    fn a_step_is_a_difference_and_a_rounding_is_none() {
        let raw = keep(Quantization::Eight, &[3.0, 4.0]);
        let with = |norm: f32, blob: &'static [u8]| Raw {
            norm,
            blob: Bytes::from_static(blob),
            ..raw.clone()
        };
        assert_eq!(raw.blob.as_ref(), [95, 127]);
        assert!(raw.is_near(&with(5.000_01, &[95, 127])));
        assert!(!raw.is_near(&with(5.001, &[95, 127])));
        assert!(!raw.is_near(&with(5.0, &[96, 127])));
        let plain = keep(Quantization::None, &[3.0, 4.0]);
        assert!(plain.is_near(&keep(Quantization::None, &[3.000_001, 4.0])));
        assert!(!plain.is_near(&keep(Quantization::None, &[3.001, 4.0])));
    }
}
