//! Strings: read by GET or by GETRANGE, compared byte for byte but for a `HyperLogLog`'s cached count.

use bytes::Bytes;

use super::ask::{Answers, Questions};
use super::copy::{Commands, Means, Reader, Step};
use super::{Comparison, End, Ground, Names, Progress};

/// PFCOUNT rewrites these bytes of a `HyperLogLog` without an event; its header is longer.
const CACHE: std::ops::Range<usize> = 8..16;

/// Reads a string from its beginning to its end, a piece a command.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pieces {
    at: usize,
    len: usize,
    step: usize,
}

impl Pieces {
    /// For a string of `len` bytes, `step` bytes a command.
    pub(super) fn new(len: usize, step: usize) -> Self {
        Self { at: 0, len, step }
    }

    /// Bytes of the next piece.
    pub(super) fn next_len(&self) -> usize {
        self.step.min(self.len - self.at)
    }

    /// Asks for the next piece.
    pub(super) fn ask(&self, key: &[u8], out: &mut Questions<'_>) {
        if self.len <= self.step {
            return out.ask(&[b"GET", key]);
        }
        let first = self.at.to_string();
        let last = (self.at + self.next_len() - 1).to_string();
        out.ask(&[b"GETRANGE", key, first.as_bytes(), last.as_bytes()]);
    }

    /// Goes on behind the piece that was asked for.
    pub(super) fn advance(&mut self) {
        self.at += self.next_len();
    }

    /// Whether every piece was asked for.
    pub(super) fn is_done(&self) -> bool {
        self.at >= self.len
    }
}

/// The comparison of one key.
pub(super) struct StringComparison {
    names: Names,
    pieces: Option<Pieces>,
}

impl StringComparison {
    pub(super) fn new(names: Names) -> Self {
        Self {
            names,
            pieces: None,
        }
    }
}

impl Comparison for StringComparison {
    fn weight(&self) -> usize {
        self.pieces.map_or(0, |pieces| pieces.next_len())
    }

    fn ask<'q>(
        &mut self,
        _: &mut Ground<'_>,
        source: &mut Questions<'q>,
        target: &mut Questions<'q>,
    ) {
        if let Some(pieces) = &self.pieces {
            pieces.ask(&self.names.source, source);
            pieces.ask(&self.names.target, target);
        } else {
            source.ask(&[b"STRLEN", &self.names.source]);
            target.ask(&[b"STRLEN", &self.names.target]);
        }
    }

    fn accept(
        &mut self,
        ground: &mut Ground<'_>,
        source: &mut Answers,
        target: &mut Answers,
    ) -> Result<Progress, End> {
        let Some(pieces) = &mut self.pieces else {
            let len = source.size()?;
            if len != target.size()? {
                return Err(End::Differs);
            }
            // An empty string: GET tells it from a key that went.
            self.pieces = Some(Pieces::new(len, ground.chunk));
            return Ok(Progress::More);
        };
        let (ours, theirs): (Bytes, Bytes) = (source.value()?, target.value()?);
        if !same(&ours, &theirs, pieces.at) || ours.len() < pieces.next_len() {
            return Err(End::Differs);
        }
        pieces.advance();
        Ok(if pieces.is_done() {
            Progress::Equal
        } else {
            Progress::More
        })
    }
}

/// Whether two pieces of strings are the same; `at` is where in the strings they begin.
fn same(source: &[u8], target: &[u8], at: usize) -> bool {
    source == target
        || (at == 0
            && source.starts_with(b"HYLL")
            && source.len() == target.len()
            && source.len() > CACHE.end
            && source.get(..CACHE.start) == target.get(..CACHE.start)
            && source.get(CACHE.end..) == target.get(CACHE.end..))
}

/// The copying of one key.
pub(super) struct StringReader {
    key: Bytes,
}

impl StringReader {
    pub(super) fn new(key: Bytes) -> Self {
        Self { key }
    }
}

impl Reader for StringReader {
    fn ask(&mut self, _: &Means, source: &mut Questions<'_>) {
        source.ask(&[b"GET", &self.key]);
    }

    fn accept(&mut self, _: &Means, source: &mut Answers, out: &mut Commands) -> Result<Step, End> {
        out.push(&[b"SET"], [source.value()?]);
        Ok(Step::Done)
    }

    fn length(&self) -> Option<&'static [u8]> {
        Some(b"STRLEN")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cached_count_of_a_hyperloglog_is_no_difference() {
        let sketch = b"HYLL\x01\0\0\0\x11\x22\0\0\0\0\0\x80registers";
        let mut other = *sketch;
        other[9] = 0x77;
        assert!(same(sketch, &other, 0));
        assert!(!same(sketch, &other, 1 << 20), "the middle of a string");
        other[4] = 0;
        assert!(!same(sketch, &other, 0), "the encoding");
        other = *sketch;
        other[16] = b'R';
        assert!(!same(sketch, &other, 0), "a register");
        assert!(!same(b"HYLL0000abcd", b"HYLL0000abce", 0), "no sketch");
        assert!(!same(b"HALL000000000000a", b"HALL000000010000a", 0));
    }

    #[test]
    fn pieces_cover_the_string() {
        let mut pieces = Pieces::new(10, 4);
        let mut seen = Vec::new();
        while !pieces.is_done() {
            seen.push((pieces.at, pieces.next_len()));
            pieces.advance();
        }
        assert_eq!(seen, [(0, 4), (4, 4), (8, 2)]);
        assert_eq!(Pieces::new(0, 4).next_len(), 0);
    }
}
