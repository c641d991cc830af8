//! Read buffers that are used again once nothing refers to them: memory that is in the cache, and that no kernel has to clear.

use bytes::{Bytes, BytesMut};

/// Bytes of a read buffer.
pub(crate) const CHUNK: usize = 128 * 1024;
/// Used-up buffers that are remembered; their values are on their way to the other side.
const REMEMBERED: usize = 48;

/// The buffers of one connection that were read full.
#[derive(Debug, Default)]
pub(crate) struct Chunks {
    used: Vec<Bytes>,
}

impl Chunks {
    /// An empty buffer of at least `bytes`.
    pub(crate) fn take(&mut self, bytes: usize) -> BytesMut {
        if bytes > CHUNK {
            return BytesMut::with_capacity(bytes);
        }
        // The one that was used last is the likeliest to be in the cache.
        while let Some(free) = self.used.iter().rposition(Bytes::is_unique) {
            if let Ok(mut buffer) = self.used.remove(free).try_into_mut() {
                buffer.clear();
                buffer.reserve(CHUNK);
                return buffer;
            }
        }
        BytesMut::with_capacity(CHUNK)
    }

    /// A buffer was read full: it is used again when nothing refers to it any more.
    pub(crate) fn retire(&mut self, buffer: BytesMut) {
        if self.used.len() >= REMEMBERED {
            self.used.remove(0);
        }
        self.used.push(buffer.freeze());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_used_again_when_its_values_are_gone() {
        let mut chunks = Chunks::default();
        let mut first = chunks.take(1);
        first.extend_from_slice(b"value");
        let place = first.as_ptr();
        let value = first.split_to(3).freeze();
        chunks.retire(first);
        assert_ne!(chunks.take(1).as_ptr(), place, "a value still lies in it");
        drop(value);
        let again = chunks.take(1);
        assert_eq!(again.as_ptr(), place);
        assert!(again.is_empty() && again.capacity() >= CHUNK);
    }

    #[test]
    fn a_long_value_has_a_buffer_of_its_own() {
        assert!(Chunks::default().take(CHUNK * 3).capacity() >= CHUNK * 3);
    }
}
