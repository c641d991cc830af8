//! Names in the order in which they came, in chunks: forty bytes a name less than one allocation each.

use std::collections::VecDeque;

use crate::entry::Mark;

/// Bytes of a chunk. A longer name has a chunk of its own.
const CHUNK: usize = 1 << 16;
/// Before each name: its length, its mark, its hash.
const HEADER: usize = 4 + 8 + 8;

/// Where a name lies; never used again within a run.
pub(super) type Place = u64;

/// The names of one rank.
#[derive(Debug, Default)]
pub(super) struct Ring {
    chunks: VecDeque<Vec<u8>>,
    /// Number of the first chunk.
    first: u64,
    /// Bytes of the first chunk that are taken.
    taken: usize,
}

impl Ring {
    /// Puts a name in at the end.
    pub(super) fn push(&mut self, name: &[u8], hash: u64, mark: u64) -> Place {
        let needs = HEADER + name.len();
        let fits = self
            .chunks
            .back()
            .is_some_and(|chunk| chunk.len() + needs <= CHUNK);
        if !fits {
            // One that was emptied and kept would stand before the names for ever.
            if self.chunks.back().is_some_and(Vec::is_empty) {
                self.chunks.pop_back();
                self.first += 1;
            }
            self.chunks.push_back(Vec::with_capacity(needs.max(CHUNK)));
        }
        let number = self.first + self.chunks.len() as u64 - 1;
        let Some(chunk) = self.chunks.back_mut() else {
            return 0;
        };
        let offset = chunk.len();
        let length = u32::try_from(name.len()).unwrap_or(u32::MAX);
        chunk.extend_from_slice(&length.to_le_bytes());
        chunk.extend_from_slice(&mark.to_le_bytes());
        chunk.extend_from_slice(&hash.to_le_bytes());
        chunk.extend_from_slice(name);
        number << 16 | offset as u64
    }

    /// The name at a place.
    pub(super) fn name(&self, place: Place) -> &[u8] {
        let (chunk, offset) = self.locate(place);
        read(chunk, offset).map_or(&[], |(_, name)| name)
    }

    /// The mark at a place.
    pub(super) fn marked(&self, place: Place) -> Option<Mark> {
        let (chunk, offset) = self.locate(place);
        read(chunk, offset).map(|(mark, _)| mark)
    }

    /// Changes the mark at a place.
    pub(super) fn mark(&mut self, place: Place, change: impl FnOnce(Mark) -> Mark) {
        let index = usize::try_from((place >> 16) - self.first).unwrap_or(usize::MAX);
        let offset = usize::try_from(place & 0xffff).unwrap_or_default();
        let Some(bytes) = self
            .chunks
            .get_mut(index)
            .and_then(|chunk| chunk.get_mut(offset + 4..offset + 12))
            .and_then(|bytes| <&mut [u8; 8]>::try_from(bytes).ok())
        else {
            return;
        };
        *bytes = change(Mark::from_bits(u64::from_le_bytes(*bytes)))
            .bits()
            .to_le_bytes();
    }

    /// The hash beside the name at a place.
    pub(super) fn hash(&self, place: Place) -> u64 {
        let (chunk, offset) = self.locate(place);
        chunk
            .get(offset + 12..offset + HEADER)
            .and_then(|bytes| bytes.try_into().ok())
            .map_or(0, u64::from_le_bytes)
    }

    fn locate(&self, place: Place) -> (&[u8], usize) {
        let index = usize::try_from((place >> 16) - self.first).unwrap_or(usize::MAX);
        let offset = usize::try_from(place & 0xffff).unwrap_or_default();
        let chunk = self.chunks.get(index).map_or(&[][..], Vec::as_slice);
        (chunk, offset)
    }

    /// The place of the first name, if there is any.
    pub(super) fn front(&self) -> Option<Place> {
        let chunk = self.chunks.front()?;
        (self.taken < chunk.len()).then_some(self.first << 16 | self.taken as u64)
    }

    /// Takes the first name out.
    pub(super) fn pop(&mut self) -> Option<(Vec<u8>, Mark)> {
        let chunk = self.chunks.front()?;
        let (mark, name) = read(chunk, self.taken)?;
        let found = (name.to_vec(), mark);
        self.taken += HEADER + found.0.len();
        if self.taken >= chunk.len() {
            self.taken = 0;
            self.first += 1;
            let used = self.chunks.pop_front();
            if let Some(mut chunk) = used
                && self.chunks.is_empty()
                && chunk.capacity() <= CHUNK
            {
                chunk.clear();
                self.chunks.push_back(chunk);
            }
        }
        Some(found)
    }
}

fn read(chunk: &[u8], offset: usize) -> Option<(Mark, &[u8])> {
    let length = u32::from_le_bytes(chunk.get(offset..offset + 4)?.try_into().ok()?);
    let mark = u64::from_le_bytes(chunk.get(offset + 4..offset + 12)?.try_into().ok()?);
    let start = offset + HEADER;
    let name = chunk.get(start..start + usize::try_from(length).ok()?)?;
    Some((Mark::from_bits(mark), name))
}
